/* SPDX-License-Identifier: Apache-2.0
 * A small array searched in order: it is touched by mutations of three rare kinds only. */
#include "edge/writer/scopes.h"

#include <stdlib.h>

void pc_scopes_free(struct pc_scopes *s)
{
    free(s->at);
    *s = (struct pc_scopes){0};
}

int pc_scopes_reserve(struct pc_scopes *s, size_t more)
{
    /* A clear of an issuer touches two entries. */
    size_t need = s->count + 2 * more;
    if (need <= s->cap)
        return 0;
    size_t cap = pc_max_u64(need, 2 * s->cap);
    struct pc_scope *at = realloc(s->at, cap * sizeof *at);
    if (!at)
        return -ENOMEM;
    s->at = at;
    s->cap = cap;
    return 0;
}

static bool absolute_of(const struct pc_change *c)
{
    return c->kind == PC_KIND_KEY || (c->kind == PC_KIND_ISSUER && c->cutoff_ms == 0);
}

const struct pc_scope *pc_scopes_find(const struct pc_scopes *s, enum pc_kind kind, bool absolute,
                                      struct pc_bytes issuer, struct pc_bytes id)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct pc_scope *e = &s->at[i];
        if (e->kind == kind && e->absolute == absolute && pc_bytes_eq_str(issuer, e->issuer) &&
            pc_bytes_eq_str(id, e->id))
            return e;
    }
    return NULL;
}

static void copy_text(char *dst, size_t cap, struct pc_bytes src)
{
    PC_ASSERT(src.n < cap);
    if (src.n)
        memcpy(dst, src.p, src.n);
    dst[src.n] = 0;
}

static struct pc_scope *find_or_add(struct pc_scopes *s, const struct pc_change *c, bool absolute)
{
    const struct pc_scope *found = pc_scopes_find(s, c->kind, absolute, c->issuer, c->id);
    if (found)
        return &s->at[found - s->at];
    PC_ASSERT(s->count < s->cap);
    struct pc_scope *e = &s->at[s->count++];
    *e = (struct pc_scope){.kind = c->kind,
                           .absolute = absolute,
                           .revoked_at_ms = INT64_MIN,
                           .cleared_at_ms = INT64_MIN,
                           .expires_at_ms = INT64_MIN,
                           .cutoff_ms = INT64_MIN};
    copy_text(e->issuer, sizeof e->issuer, c->issuer);
    copy_text(e->id, sizeof e->id, c->id);
    return e;
}

static bool raise_to(int64_t *field, int64_t value)
{
    if (value <= *field)
        return false;
    *field = value;
    return true;
}

bool pc_scopes_merge(struct pc_scopes *s, const struct pc_change *c)
{
    PC_ASSERT(pc_scopes_holds(c->kind));
    int64_t expires = c->expires_at_ms ? c->expires_at_ms : INT64_MAX;
    if (c->op == PC_OP_REVOKE) {
        struct pc_scope *e = find_or_add(s, c, absolute_of(c));
        bool changed = raise_to(&e->revoked_at_ms, c->at_ms);
        changed |= raise_to(&e->expires_at_ms, expires);
        changed |= !e->absolute && raise_to(&e->cutoff_ms, c->cutoff_ms);
        return changed;
    }
    PC_ASSERT(c->op == PC_OP_CLEAR);
    bool changed = false;
    if (c->kind != PC_KIND_ALL)
        changed |= raise_to(&find_or_add(s, c, true)->cleared_at_ms, c->at_ms);
    if (c->kind != PC_KIND_KEY)
        changed |= raise_to(&find_or_add(s, c, false)->cleared_at_ms, c->at_ms);
    return changed;
}
