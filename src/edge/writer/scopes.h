/* SPDX-License-Identifier: Apache-2.0
 * Revocations that are not entries of a table: keys, issuers and `all`.
 *
 * There are few of them and they are kept in full, so that they can be listed, put into snapshots
 * and worked into the trust snapshot. Each is a state (revoked_at, cleared_at, expiry, cutoff)
 * merged by maximum, like every entry; an issuer has two, the absolute one and the cutoff, since
 * one may be revoked and cleared without the other.
 *
 * Owned by the writer thread; no clock, no I/O. */
#ifndef PC_WRITER_SCOPES_H
#define PC_WRITER_SCOPES_H

#include "link/change.h"

#define PC_SCOPES_MAX 65536 /* new ones beyond it are refused; what is durable is always taken */

struct pc_scope {
    enum pc_kind kind; /* KEY, ISSUER or ALL */
    bool absolute;     /* KEY always; ISSUER: without a cutoff */
    char issuer[PC_ISSUER_MAX + 1];
    char id[PC_ID_MAX + 1];
    int64_t revoked_at_ms, cleared_at_ms; /* INT64_MIN = never */
    int64_t expires_at_ms;                /* INT64_MAX = never */
    int64_t cutoff_ms;                    /* INT64_MIN for absolute ones */
};

struct pc_scopes {
    struct pc_scope *at;
    size_t count, cap;
};

static inline bool pc_scope_refuses(const struct pc_scope *s, int64_t now_ms)
{
    return s->revoked_at_ms != INT64_MIN && s->revoked_at_ms >= s->cleared_at_ms &&
           now_ms < s->expires_at_ms;
}

static inline bool pc_scopes_holds(enum pc_kind kind)
{
    return kind == PC_KIND_KEY || kind == PC_KIND_ISSUER || kind == PC_KIND_ALL;
}

void pc_scopes_free(struct pc_scopes *s);
/* Room for `more` Changes, or -ENOMEM; pc_scopes_merge() cannot fail after it. */
int pc_scopes_reserve(struct pc_scopes *s, size_t more);
/* Whether `more` new Changes stay within the limit (a clear of an issuer makes two entries). */
static inline bool pc_scopes_has_room(const struct pc_scopes *s, size_t more)
{
    return s->count + 2 * more <= PC_SCOPES_MAX;
}
/* Merges a Change of a kind it holds. True when something changed. */
bool pc_scopes_merge(struct pc_scopes *s, const struct pc_change *c);
/* NULL when there is none. `absolute` matters for ISSUER only. */
const struct pc_scope *pc_scopes_find(const struct pc_scopes *s, enum pc_kind kind, bool absolute,
                                      struct pc_bytes issuer, struct pc_bytes id);

#endif
