/* SPDX-License-Identifier: Apache-2.0
 * Feature flags: four layers compiled into one immutable snapshot.
 *
 *   built in  <  file (flags_file.c)  <  runtime, by an administrator  <  environment (FLAG_*)
 *
 * A later layer wins. A flag's type and description are those of the lowest layer that knows it, so
 * that a value never changes the type its readers rely on: another type is refused where it comes
 * in (a file with line and column, the environment at start, an administrator with 400). Should a
 * new file give a type that an older runtime value lacks, that value is ignored and reported.
 *
 * Layers and snapshots own all they point to. Pure: no clock, no I/O. Any thread may build them.
 *
 * I1  A snapshot is constant once pc_flags_compile() returned it; any number of threads read it.
 * I2  flags[] is sorted by key; the look-up table holds each index once and is at most half full.
 * I3  Every value is one complete JSON text without white space outside strings, of its type. */
#ifndef PC_STATE_FLAGS_H
#define PC_STATE_FLAGS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"
#include "edge/state/rcu.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_FLAG_KEY_MAX         128       /* bytes */
#define PC_FLAG_VALUE_MAX       4096      /* bytes of JSON */
#define PC_FLAG_TEXT_MAX        512       /* bytes of a category or description */
#define PC_FLAG_VALUE_DEPTH_MAX 8         /* of an object */
#define PC_FLAG_VALUE_TOKENS    512       /* JSON values in one flag */
#define PC_FLAG_FILE_BYTES_MAX  (1 << 20) /* of the file */
#define PC_FLAG_FILE_MAX        4096      /* flags in the file */
#define PC_FLAG_RUNTIME_MAX     4096      /* flags that hold a runtime value */
#define PC_FLAG_ENVIRONMENT_MAX 256       /* variables FLAG_* */

enum pc_flag_type {
    PC_FLAG_NO_TYPE, /* what no flag can hold: null, an array */
    PC_FLAG_BOOLEAN,
    PC_FLAG_STRING,
    PC_FLAG_INTEGER, /* fits 64 bits */
    PC_FLAG_NUMBER,  /* takes integers too */
    PC_FLAG_OBJECT
};
/* "boolean", …: as answers and messages name it. */
const char *pc_flag_type_name(enum pc_flag_type type);

/* Where the value that counts comes from. */
enum pc_flag_source {
    PC_FLAG_FROM_DEFAULT,
    PC_FLAG_FROM_FILE,
    PC_FLAG_FROM_ADMIN,
    PC_FLAG_FROM_ENVIRONMENT
};

struct pc_flag {
    struct pc_bytes key;
    struct pc_bytes value;       /* I3 */
    struct pc_bytes attach;      /* "key":value, a member of a JSON object */
    struct pc_bytes category;    /* may be empty */
    struct pc_bytes description; /* may be empty */
    struct pc_bytes source;      /* "default", "file", "admin:<who>", "environment" */
    struct pc_bytes variable;    /* FLAG_… that holds it; else empty */
    uint64_t hash;               /* pc_flag_hash(key) */
    enum pc_flag_type type;
    enum pc_flag_source from;
    bool has_runtime; /* an administrator's value exists, counting or not */
    bool ephemeral;   /* that value is gone at the next start */
};

struct pc_flag_slot {
    uint32_t tag;   /* upper half of the hash */
    uint32_t index; /* of flags[] plus 1; 0: empty */
};

struct pc_flags {
    struct pc_rcu_head head; /* for whoever publishes it */
    bool maintenance;        /* maintenance.mode_enabled */
    bool rate_limit_strict;  /* api.rate_limit_strict */
    uint32_t count, runtime_count;
    uint32_t ignored; /* runtime values of a type that is no longer the flag's */
    uint32_t mask;    /* slots - 1 */
    const struct pc_flag_slot *slots;
    const struct pc_flag *flags;         /* I2 */
    const struct pc_flag *first_ignored; /* NULL when there is none */
    size_t bytes;                        /* of memory, all included */
};

/* Who an actor of the audit is in a flag's source: "token:ops" set it as "admin:ops". */
struct pc_bytes pc_flag_actor_name(struct pc_bytes actor);

/* ---- look-up: no allocation, some nanoseconds ---- */

/* To be computed once where a key is known beforehand (a route's list of flags). */
uint64_t pc_flag_hash(struct pc_bytes key);
/* NULL when there is no such flag. */
const struct pc_flag *pc_flags_find_hashed(const struct pc_flags *f, struct pc_bytes key,
                                           uint64_t hash);
const struct pc_flag *pc_flags_find(const struct pc_flags *f, struct pc_bytes key);

/* ---- layers ---- */

struct pc_flag_layer; /* one layer, parsed; constant afterwards */
struct pc_registers;  /* edge/state/registers.h */

/* A JSON file: flagd definitions ({"flags":{key:{"state","variants","defaultVariant",
 * "metadata":{"category","description"}}}}), the short form {key: value}, or short values below
 * "flags". On failure *why begins with "line L column C: ". PC_E_SYNTAX, PC_E_DUPLICATE,
 * PC_E_TOO_LARGE, PC_E_UNSUPPORTED (targeting), -EINVAL or -ENOMEM. */
int pc_flag_layer_parse_file_text(struct pc_bytes text, struct pc_flag_layer **ret_layer,
                                  struct pc_why *why);
/* The FLAG_* variables of an environment; names are resolved when compiled, because which key is
 * meant depends on the keys that are known. environ may be NULL. */
int pc_flag_layer_from_environ(char *const *environ, struct pc_flag_layer **ret_layer,
                               struct pc_why *why);
void pc_flag_layer_free(struct pc_flag_layer *layer);
/* Flags (or variables) in it; 0 for NULL. */
uint32_t pc_flag_layer_count(const struct pc_flag_layer *layer);

/* ---- compiling ---- */

/* Any layer may be NULL. Copies everything: the layers may be freed. -EINVAL: a variable cannot be
 * one of the flags (unknown character, ambiguous name, other type); PC_E_FULL: more than
 * PC_FLAG_RUNTIME_MAX runtime values; -ENOMEM. */
int pc_flags_compile(const struct pc_flag_layer *file, const struct pc_registers *runtime,
                     const struct pc_flag_layer *environment, struct pc_flags **ret,
                     struct pc_why *why);
void pc_flags_free(struct pc_flags *f);

/* Calls fn for every flag that came (was NULL), went (is NULL), or changed its value or type, in
 * the order of keys. old may be NULL. */
typedef void pc_flags_change_fn(void *ctx, const struct pc_flag *was, const struct pc_flag *is);
void pc_flags_compare(const struct pc_flags *old, const struct pc_flags *fresh,
                      pc_flags_change_fn *fn, void *ctx);

/* ---- values an administrator sends ---- */

/* Whether a key is one: letters, digits, '_' and '-' in parts separated by single dots, beginning
 * with a letter or digit. -EINVAL says in *why what is wrong. */
int pc_flag_key_check(struct pc_bytes key, struct pc_why *why);
/* Checks a parsed value for a flag of type `type` (PC_FLAG_NO_TYPE: any) and writes it as I3 says.
 * -EINVAL names both types; PC_E_TOO_LARGE; *ret_type may be NULL. */
int pc_flag_value_write(const struct pc_json *doc, const struct pc_json_token *value,
                        enum pc_flag_type type, struct pc_buf *b, enum pc_flag_type *ret_type,
                        struct pc_why *why);

#ifdef __cplusplus
}
#endif
#endif
