/* SPDX-License-Identifier: Apache-2.0
 * A Change in memory, and its protobuf form (change.proto, which owns the format).
 *
 * The codec is written by hand because it runs once per mutation on the writer and must neither
 * allocate nor need NUL-terminated strings; tests/unit/link compares it with protobuf-c's.
 * Pure; any thread. */
#ifndef PC_LINK_CHANGE_H
#define PC_LINK_CHANGE_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a Change names; the numbers are those of change.proto and stand in files. */
enum pc_kind {
    PC_KIND_NONE = 0,
    PC_KIND_TOKEN = 1,
    PC_KIND_SESSION = 2,
    PC_KIND_FAMILY = 3,
    PC_KIND_SUBJECT = 4,
    PC_KIND_CLIENT = 5,
    PC_KIND_KEY = 6,
    PC_KIND_ISSUER = 7,
    PC_KIND_ALL = 8,
    PC_KIND_FLAG = 9,     /* id = the flag's key, value = its JSON text */
    PC_KIND_IP_RULE = 10, /* id = "<set> <network>", value = "allow" or "deny" */
    PC_KIND_ADMIN = 11, /* for the audit only: id = the action, value = what and with what result */
    PC_KIND_COUNT
};

/* Revocations are revoked and cleared, flags and IP rules set and unset, the rest is noted. */
enum pc_op {
    PC_OP_NONE = 0,
    PC_OP_REVOKE = 1,
    PC_OP_CLEAR = 2,
    PC_OP_SET = 3,
    PC_OP_UNSET = 4,
    PC_OP_NOTE = 5,
    PC_OP_COUNT
};

/* Limits of one Change; checked where a Change is made, and again when one is decoded. */
#define PC_ISSUER_MAX     256
#define PC_ID_MAX         512
#define PC_ACTOR_MAX      128
#define PC_SOURCE_MAX     64
#define PC_REQUEST_ID_MAX 128
#define PC_REASON_MAX     512
#define PC_VALUE_MAX      8192
/* What an encoded Change has beside its texts, at most. */
#define PC_CHANGE_FIXED_MAX 160
/* No encoded Change is larger; those without a value are at most the first. */
#define PC_CHANGE_PLAIN_MAX                                                                        \
    (PC_ISSUER_MAX + PC_ID_MAX + PC_ACTOR_MAX + PC_SOURCE_MAX + PC_REQUEST_ID_MAX +                \
     PC_REASON_MAX + PC_CHANGE_FIXED_MAX)
#define PC_CHANGE_ENCODED_MAX (PC_CHANGE_PLAIN_MAX + PC_VALUE_MAX + 8)

/* Times are milliseconds since the Unix epoch; hlc is milliseconds << 16 | counter. The byte runs
 * are borrowed. Field meanings: change.proto. */
struct pc_change {
    uint64_t node, incarnation, sequence, hlc;
    enum pc_kind kind;
    enum pc_op op;
    struct pc_bytes issuer, id;
    int64_t at_ms, expires_at_ms, cutoff_ms;
    struct pc_bytes actor, source, request_id, reason;
    bool remote;
    struct pc_bytes value;
    bool ephemeral; /* SET: only until this node is started again */
};

/* "token", "session", …; NULL for a number that is no kind. */
const char *pc_kind_name(enum pc_kind kind);
/* Of a revocation's kind; PC_KIND_NONE when the name is none. */
enum pc_kind pc_kind_of_name(struct pc_bytes name);
/* "revoke", "clear", "set", "unset", "note"; NULL for a number that is no operation. */
const char *pc_op_name(enum pc_op op);

/* Revocations come first. */
#define PC_REVOCATION_KINDS_END (PC_KIND_ALL + 1)
static inline bool pc_kind_is_revocation(enum pc_kind kind)
{
    return kind >= PC_KIND_TOKEN && kind < PC_REVOCATION_KINDS_END;
}
/* Kinds whose last value wins: registers.h. */
static inline bool pc_kind_is_register(enum pc_kind kind)
{
    return kind == PC_KIND_FLAG || kind == PC_KIND_IP_RULE;
}
/* Whether the operation makes sense for the kind. */
bool pc_kind_takes(enum pc_kind kind, enum pc_op op);

/* Kinds whose entries carry a cutoff when they are entries of a table. */
static inline bool pc_kind_has_cutoff(enum pc_kind kind)
{
    return kind == PC_KIND_SUBJECT || kind == PC_KIND_CLIENT;
}

/* Appends the encoding; sets b->overflow when it does not fit. */
void pc_change_encode(const struct pc_change *c, struct pc_buf *b);
/* Decodes all of s; byte runs of *ret_change point into s. Unknown fields are skipped.
 * PC_E_DAMAGED for anything that is no Change within the limits above. */
int pc_change_decode(struct pc_bytes s, struct pc_change *ret_change);

#ifdef __cplusplus
}
#endif
#endif
