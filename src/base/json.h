/* SPDX-License-Identifier: Apache-2.0
 * A strict RFC 8259 reader over memory of the caller: no allocation, no copy, no recursion.
 *
 * pc_json_parse() checks the whole text and describes it in an array of tokens; the getters then
 * read values from tokens. Refused besides bad syntax: bytes after the value, a byte order mark,
 * invalid UTF-8, escapes of lone surrogates, and two members of one object whose names are equal
 * once unescaped, because two readers of such an object disagree about what it says.
 * Pure; any thread. A parsed document may be read by several threads. */
#ifndef PC_BASE_JSON_H
#define PC_BASE_JSON_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pc_json_type {
    PC_JSON_ABSENT = 0, /* of a NULL token: there is no such member or element */
    PC_JSON_NULL,
    PC_JSON_BOOL,
    PC_JSON_NUMBER,
    PC_JSON_STRING,
    PC_JSON_ARRAY,
    PC_JSON_OBJECT
};

/* One value or one member name. Tokens stand in the order of the text; the members of an object
 * are pairs (name, value), so a name is always followed by its value. */
struct pc_json_token {
    uint32_t start; /* offset in the text; of a string: after the quote */
    uint32_t n;     /* bytes in the text; of a string: without the quotes */
    uint32_t next;  /* index of the first token behind this value and all that is in it */
    uint32_t count; /* elements or members; of a name: a hash, private to json.c */
    uint8_t type;   /* enum pc_json_type */
    bool escaped;   /* a string that contains a backslash */
};

struct pc_json {
    struct pc_bytes text; /* borrowed */
    const struct pc_json_token *tokens;
    uint32_t count;
};

/* What one document may cost. The number of tokens is limited by the caller's array; comparing
 * names is quadratic in `members`, so that stays small. 0 in a field means its default. */
struct pc_json_limits {
    uint32_t bytes;   /* of text */
    uint32_t depth;   /* of containers, at most PC_JSON_DEPTH_MAX; [] is depth 1 */
    uint32_t members; /* of one object */
};
#define PC_JSON_BYTES_DEFAULT   (1u << 20)
#define PC_JSON_DEPTH_DEFAULT   16
#define PC_JSON_DEPTH_MAX       64
#define PC_JSON_MEMBERS_DEFAULT 256
/* Bytes of one number that pc_json_number() converts. */
#define PC_JSON_NUMBER_MAX 128

/* Where and why a text was refused. `what` is a constant such as "duplicate member". */
struct pc_json_error {
    uint32_t offset;
    const char *what;
};

/* Parses all of text. 0, PC_E_SYNTAX, PC_E_DUPLICATE, or PC_E_TOO_LARGE (text, tokens, depth,
 * members). limits NULL: the defaults. error may be NULL; it is set on failure only. The document
 * borrows text and tokens. */
int pc_json_parse(struct pc_bytes text, struct pc_json_token *tokens, uint32_t max_tokens,
                  const struct pc_json_limits *limits, struct pc_json *ret_doc,
                  struct pc_json_error *error);

/* Line and column (both from 1; the column counts bytes) of an offset, for messages. */
void pc_json_place(struct pc_bytes text, uint32_t offset, uint32_t *ret_line, uint32_t *ret_column);
/* "line L column C: what" into why; returns err. */
int pc_json_explain(struct pc_why *why, int err, struct pc_bytes text,
                    const struct pc_json_error *error);

static inline const struct pc_json_token *pc_json_root(const struct pc_json *doc)
{
    return doc->tokens;
}

static inline enum pc_json_type pc_json_type(const struct pc_json_token *t)
{
    return t ? (enum pc_json_type)t->type : PC_JSON_ABSENT;
}

/* The value of a member; NULL when there is none or object is no object (or NULL). */
const struct pc_json_token *pc_json_member(const struct pc_json *doc,
                                           const struct pc_json_token *object, const char *name);
const struct pc_json_token *pc_json_find(const struct pc_json *doc,
                                         const struct pc_json_token *object, struct pc_bytes name);

/* First and following element of an array, or name of an object's member; NULL at the end and for
 * anything that is no container. The value of a name is pc_json_value(name). */
const struct pc_json_token *pc_json_first(const struct pc_json *doc,
                                          const struct pc_json_token *container);
const struct pc_json_token *pc_json_next(const struct pc_json *doc,
                                         const struct pc_json_token *container,
                                         const struct pc_json_token *at);
static inline const struct pc_json_token *pc_json_value(const struct pc_json_token *name)
{
    return name + 1;
}
#define PC_JSON_FOREACH(doc, container, at)                                                        \
    for (const struct pc_json_token *at = pc_json_first((doc), (container)); at;                   \
         at = pc_json_next((doc), (container), at))

/* The getters: 0; -ENOENT for NULL (an absent member); -EINVAL for a value of another type. */

/* The text of a string or name. It is borrowed from the document unless it contains escapes; then
 * it is unescaped into scratch (PC_E_TOO_LARGE if it does not fit or scratch is NULL). The result
 * may contain any character, NUL included. */
int pc_json_string(const struct pc_json *doc, const struct pc_json_token *t, struct pc_buf *scratch,
                   struct pc_bytes *ret_string);
/* Whether t is a string or name equal to s once unescaped; false for NULL. */
bool pc_json_equals(const struct pc_json *doc, const struct pc_json_token *t, const char *s);
bool pc_json_equals_bytes(const struct pc_json *doc, const struct pc_json_token *t,
                          struct pc_bytes s);
int pc_json_bool(const struct pc_json *doc, const struct pc_json_token *t, bool *ret_value);
/* A number with an integral value, however written (1e3, 2.0). -ERANGE when it is not integral
 * or does not fit. Exact: no floating point is involved. */
int pc_json_i64(const struct pc_json *doc, const struct pc_json_token *t, int64_t *ret_value);
/* floor(number * 10^digits), exactly; digits is 0 to 18. *ret_cut (may be NULL): whether rounding
 * changed the value. -ERANGE when it does not fit. */
int pc_json_scaled(const struct pc_json *doc, const struct pc_json_token *t, unsigned digits,
                   int64_t *ret_value, bool *ret_cut);
/* The nearest double; -ERANGE for an overflow or a number longer than PC_JSON_NUMBER_MAX. */
int pc_json_number(const struct pc_json *doc, const struct pc_json_token *t, double *ret_value);

/* The bytes of any value as they stand in the text (strings with their quotes). */
struct pc_bytes pc_json_raw(const struct pc_json *doc, const struct pc_json_token *t);

#ifdef __cplusplus
}
#endif
#endif
