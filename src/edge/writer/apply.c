/* SPDX-License-Identifier: Apache-2.0
 * From a wish to a Change, and from a Change to the tables. Writer thread only.
 *
 * Stamping decides what a mutation means (when it was revoked, until when, which cutoff);
 * applying only merges, so that replay, duplication and reordering are harmless. */
#include "edge/writer/writer_private.h"

#include <stdlib.h>

#include "edge/state/rcu.h"

/* What a Change needs to know of the issuers it concerns; "*" concerns all of them. */
struct issuer_terms {
    int64_t skew_ms;
    int64_t lifetime_ms; /* INT64_MAX: unlimited */
};

static void add_terms(struct issuer_terms *terms, const struct pc_issuer_settings *s)
{
    int64_t lifetime = s->max_lifetime_ms ? s->max_lifetime_ms : INT64_MAX;
    terms->skew_ms = pc_max_i64(terms->skew_ms, s->skew_ms);
    terms->lifetime_ms = pc_max_i64(terms->lifetime_ms, lifetime);
}

static struct issuer_terms terms_of(const struct pc_trust *trust, struct pc_bytes issuer)
{
    struct issuer_terms terms = {0, 0};
    bool any = issuer.n == 0 || pc_bytes_eq_str(issuer, "*");
    unsigned found = 0;
    for (uint32_t i = 0; i < trust->issuer_count; i++) {
        if (!any && !pc_bytes_eq(trust->issuers[i].s.name, issuer))
            continue;
        add_terms(&terms, &trust->issuers[i].s);
        found++;
    }
    /* An issuer that is not configured (any more) may come back with any lifetime. */
    return found ? terms : (struct issuer_terms){PC_SKEW_MAX_MS, INT64_MAX};
}

uint64_t pc_writer_fingerprint(const struct pc_writer *w, const struct pc_change *c)
{
    return pc_tables_of(w->tables, c->kind)
               ? pc_tables_fingerprint(w->tables, c->kind, c->issuer, c->id)
               : 0;
}

void pc_writer_prefetch(const struct pc_writer *w, const struct pc_job_item *item)
{
    if (item->fingerprint)
        pc_revocations_prefetch(pc_tables_of(w->tables, item->change.kind), item->fingerprint);
}

/* The state of the id before this Change, from the table or the scopes. */
static void state_before(struct pc_writer *w, const struct pc_change *c, uint64_t fingerprint,
                         struct pc_revocation_state *s)
{
    *s = (struct pc_revocation_state){INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, false};
    if (fingerprint) {
        pc_revocations_state(pc_tables_of(w->tables, c->kind), fingerprint, s);
        return;
    }
    for (int absolute = 0; absolute <= 1; absolute++) {
        const struct pc_scope *e = pc_scopes_find(&w->scopes, c->kind, absolute, c->issuer, c->id);
        if (!e)
            continue;
        s->revoked_at_ms = pc_max_i64(s->revoked_at_ms, e->revoked_at_ms);
        s->cleared_at_ms = pc_max_i64(s->cleared_at_ms, e->cleared_at_ms);
        s->expires_at_ms = pc_max_i64(s->expires_at_ms, e->expires_at_ms);
        s->cutoff_ms = pc_max_i64(s->cutoff_ms, e->cutoff_ms);
        s->refused |= pc_scope_refuses(e, INT64_MIN);
    }
}

static int64_t never_as_zero(int64_t expires_ms)
{
    return expires_ms == INT64_MAX ? 0 : expires_ms;
}

/* A cutoff reaches the issuer's skew beyond now, because a token's iat may be ahead by that much;
 * it lasts until the last token it covers has expired. */
static void stamp_cutoff(struct pc_change *c, const struct issuer_terms *terms, int64_t now_ms)
{
    c->cutoff_ms = now_ms + terms->skew_ms;
    c->expires_at_ms = never_as_zero(pc_add_sat_i64(c->cutoff_ms, terms->lifetime_ms));
}

static void stamp_revoke(struct pc_change *c, const struct pc_revocation_state *before,
                         const struct issuer_terms *terms, int64_t now_ms)
{
    /* A tie refuses, so equal to cleared_at is enough to win. */
    c->at_ms = pc_max_i64(now_ms, before->cleared_at_ms);
    switch (c->kind) {
    case PC_KIND_SUBJECT:
    case PC_KIND_CLIENT:
    case PC_KIND_ALL: stamp_cutoff(c, terms, now_ms); break;
    case PC_KIND_ISSUER:
        /* The asker says "cutoff" by any value but 0; absolute ones never expire. */
        if (c->cutoff_ms)
            stamp_cutoff(c, terms, now_ms);
        else
            c->expires_at_ms = 0;
        break;
    case PC_KIND_KEY: c->expires_at_ms = 0; break;
    default: break; /* token, session, family: the asker gave the expiry; 0 = never */
    }
}

static void stamp_clear(struct pc_change *c, const struct pc_revocation_state *before,
                        const struct issuer_terms *terms, int64_t now_ms)
{
    c->at_ms = pc_max_i64(now_ms, pc_add_sat_i64(before->revoked_at_ms, 1));
    c->cutoff_ms = 0;
    /* Remembered as long as a revoke it overrides could still arrive and matter. */
    int64_t lasts = pc_add_sat_i64(now_ms + terms->skew_ms, terms->lifetime_ms);
    c->expires_at_ms = never_as_zero(pc_max_i64(before->expires_at_ms, lasts));
}

/* What was there before is asked only of revocations, whose stamp depends on it. */
static void stamp_revocation(struct pc_writer *w, struct pc_job_item *item, int64_t wall_ms)
{
    struct pc_change *c = &item->change;
    struct pc_revocation_state before;
    struct issuer_terms terms = terms_of(pc_tables_trust(w->tables), c->issuer);
    int64_t now_ms = pc_hlc_ms(c->hlc);
    state_before(w, c, item->fingerprint, &before);
    item->was_refused =
        before.refused && wall_ms < pc_add_sat_i64(before.expires_at_ms, terms.skew_ms);
    if (c->op == PC_OP_REVOKE)
        stamp_revoke(c, &before, &terms, now_ms);
    else
        stamp_clear(c, &before, &terms, now_ms);
}

void pc_writer_stamp(struct pc_writer *w, struct pc_job_item *item, int64_t wall_ms)
{
    struct pc_change *c = &item->change;
    PC_ASSERT(pc_kind_takes(c->kind, c->op));
    c->node = w->node;
    c->incarnation = w->incarnation;
    c->sequence = ++w->sequence;
    c->hlc = pc_hlc_next(&w->hlc, wall_ms);
    c->remote = false;
    if (pc_kind_is_revocation(c->kind))
        stamp_revocation(w, item, wall_ms);
    else
        c->at_ms = pc_hlc_ms(c->hlc);
    PC_ASSERT(c->at_ms > 0);
}

void pc_room_add(struct pc_room *room, const struct pc_change *c)
{
    if (c->kind == PC_KIND_FLAG)
        room->flags++;
    else if (c->kind == PC_KIND_IP_RULE)
        room->ip_rules++;
    else if (c->kind == PC_KIND_ADMIN)
        return;
    else if (pc_scopes_holds(c->kind))
        room->scopes++;
    else if (pc_kind_has_cutoff(c->kind))
        room->cutoffs++;
    else
        room->ids++;
    room->publish |= pc_scopes_holds(c->kind) || pc_bytes_eq_str(c->issuer, "*");
}

int pc_writer_reserve(struct pc_writer *w, const struct pc_room *room)
{
    int rc = pc_scopes_reserve(&w->scopes, room->scopes);
    if (rc < 0)
        return rc;
    if (!pc_revocations_has_room(w->tables->ids, room->ids) ||
        !pc_revocations_has_room(w->tables->cutoffs, room->cutoffs))
        return -ENOMEM;
    if (room->publish)
        rc = pc_writer_reserve_publish(w);
    else if (room->flags || room->ip_rules)
        rc = pc_writer_reserve_view(w);
    return rc;
}

static void apply_entry(struct pc_revocations *t, const struct pc_change *c, uint64_t fp)
{
    int64_t expires = c->expires_at_ms ? c->expires_at_ms : INT64_MAX;
    int rc = c->op == PC_OP_REVOKE ? pc_revocations_revoke(t, fp, c->at_ms, expires, c->cutoff_ms)
                                   : pc_revocations_clear(t, fp, c->at_ms, expires);
    /* Room was reserved; a Change that is durable and cannot be applied must not be survived. */
    PC_ASSERT(rc >= 0);
}

bool pc_writer_apply(struct pc_writer *w, const struct pc_change *c, uint64_t fingerprint)
{
    struct pc_revocations *t = pc_tables_of(w->tables, c->kind);
    if (!pc_kind_is_revocation(c->kind)) /* registers are drafted as a whole: rules.c */
        return false;
    if (!t)
        return pc_scopes_merge(&w->scopes, c);
    apply_entry(t, c, fingerprint);
    uint32_t bit = UINT32_C(1) << c->kind;
    if (c->op != PC_OP_REVOKE || !pc_bytes_eq_str(c->issuer, "*") || (w->wildcard & bit))
        return false;
    w->wildcard |= bit;
    return true;
}

/* ---- the trust snapshot ---- */

static bool concerns(const struct pc_scope *e, const struct pc_issuer *issuer)
{
    return strcmp(e->issuer, "*") == 0 || pc_bytes_eq_str(issuer->s.name, e->issuer);
}

static struct pc_issuer_status status_of(const struct pc_scopes *s, const struct pc_issuer *issuer)
{
    struct pc_issuer_status status = {false, PC_CUTOFF_NONE};
    for (size_t i = 0; i < s->count; i++) {
        const struct pc_scope *e = &s->at[i];
        if (e->kind != PC_KIND_ISSUER || !concerns(e, issuer) || !pc_scope_refuses(e, INT64_MIN))
            continue;
        if (e->absolute)
            status.revoked = true;
        else
            status.cutoff_ms = pc_max_i64(status.cutoff_ms, e->cutoff_ms);
    }
    return status;
}

static void revoke_keys(const struct pc_scopes *s, struct pc_trust *draft)
{
    /* Two passes: what any scope refuses stays refused, whatever another scope cleared. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < s->count; i++) {
            const struct pc_scope *e = &s->at[i];
            if (e->kind == PC_KIND_KEY && pc_scope_refuses(e, INT64_MIN) == (pass == 1))
                pc_trust_set_key_revoked(draft, pc_bytes_str(e->issuer), pc_bytes_str(e->id),
                                         pass == 1);
        }
    }
}

static void work_in_scopes(const struct pc_writer *w, struct pc_trust *draft)
{
    const struct pc_scopes *s = &w->scopes;
    revoke_keys(s, draft);
    for (uint32_t i = 0; i < draft->issuer_count; i++)
        pc_trust_set_issuer_status(draft, draft->issuers[i].s.name,
                                   status_of(s, &draft->issuers[i]));
    const struct pc_scope *all = pc_scopes_find(s, PC_KIND_ALL, false, PC_LIT(""), PC_LIT(""));
    draft->all_cutoff_ms =
        all && pc_scope_refuses(all, INT64_MIN) ? all->cutoff_ms : PC_CUTOFF_NONE;
    draft->wildcard_kinds = w->wildcard;
}

static void free_retired(struct pc_rcu_head *head)
{
    struct pc_view *v = PC_CONTAINER_OF(head, struct pc_view, head);
    pc_parts_free(&v->dead);
    free(v);
}

int pc_writer_reserve_view(struct pc_writer *w)
{
    if (!w->spare_view)
        w->spare_view = calloc(1, sizeof *w->spare_view);
    return w->spare_view ? 0 : -ENOMEM;
}

int pc_writer_reserve_publish(struct pc_writer *w)
{
    int rc = pc_writer_reserve_view(w);
    if (rc == 0 && !w->spare_draft)
        rc = pc_trust_clone(pc_tables_trust(w->tables), &w->spare_draft);
    return rc;
}

/* Works what was revoked into a new trust snapshot; made from what is replaced, the clone in
 * reserve is of no use any more. */
static void finish_trust(struct pc_writer *w, struct pc_trust *draft)
{
    const struct pc_trust *old = pc_tables_trust(w->tables);
    if (draft != w->spare_draft)
        pc_trust_free(w->spare_draft);
    w->spare_draft = NULL;
    work_in_scopes(w, draft);
    pc_trust_seal(draft, old);
    PC_ASSERT(draft->generation >= old->generation);
    pc_metric_set(w->o.metrics, PC_M_TRUST_GENERATION, draft->generation);
}

/* One member: the fresh one goes into the new view and the old one dies with the old view. */
#define REPLACE(member)                                                                            \
    do {                                                                                           \
        if (fresh->member) {                                                                       \
            old->dead.member = old->parts.member;                                                  \
            v->parts.member = fresh->member;                                                       \
        }                                                                                          \
    } while (0)

void pc_writer_publish(struct pc_writer *w, const struct pc_parts *fresh)
{
    struct pc_view *old = pc_rcu_load(&w->tables->view), *v = w->spare_view;
    /* A durable Change that cannot be shown must not be acknowledged: it was reserved. */
    PC_ASSERT(v != NULL);
    w->spare_view = NULL;
    if (fresh->trust)
        finish_trust(w, fresh->trust);
    v->parts = old->parts;
    REPLACE(trust);
    REPLACE(flags);
    REPLACE(ip_sets);
    REPLACE(settings);
    if (fresh->settings) {
        old->dead.free_settings = old->parts.free_settings;
        v->parts.free_settings = fresh->free_settings;
    }
    v->trust = v->parts.trust;
    v->flags = v->parts.flags;
    v->ip_sets = v->parts.ip_sets;
    v->settings = v->parts.settings;
    PC_ASSERT(v->trust && v->flags && v->ip_sets);
    pc_rcu_publish(&w->tables->view, v);
    /* What recovery brings back is no news. */
    if (fresh->flags && w->o.events &&
        atomic_load_explicit(&w->state, memory_order_relaxed) != PC_WRITER_RECOVERING)
        pc_events_add_flags(w->o.events, old->flags, v->flags);
    pc_rcu_retire(&old->head, free_retired);
}

void pc_writer_look_up(struct pc_writer *w, const struct pc_change *c,
                       struct pc_revocation_state *ret_state)
{
    int64_t skew_ms = terms_of(pc_tables_trust(w->tables), c->issuer).skew_ms;
    state_before(w, c, pc_writer_fingerprint(w, c), ret_state);
    ret_state->refused &= pc_writer_wall(w) < pc_add_sat_i64(ret_state->expires_at_ms, skew_ms);
}
