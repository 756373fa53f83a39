/* SPDX-License-Identifier: Apache-2.0
 * Flags and IP rules on the writer: from registers to the snapshots that cores read.
 *
 * A batch's Changes are merged and compiled into drafts before they are journaled, so that a flag
 * that cannot be, or want of memory, refuses the batch and changes nothing; once durable the
 * drafts only have to be published. Writer thread only. */
#include <stdlib.h>

#include "edge/writer/writer_private.h"

/* How long a removal, or a rule that has expired, is remembered: nothing older arrives after that.
 */
#define FORGET_MS (INT64_C(30) * 24 * 3600 * 1000)
/* … and at least, when there is no room for more: whoever bans addresses for minutes at a time
 * would otherwise fill everything with rules that are long over. */
#define FORGET_EARLY_MS (INT64_C(3600) * 1000)
/* Registers of a kind: what may be in effect, and as many removals. */
#define FLAG_REGISTERS_MAX    (2u * PC_FLAG_RUNTIME_MAX)
#define IP_RULE_REGISTERS_MAX (2u * PC_IP_RUNTIME_RULES_MAX)

/* An expired IP rule stays in the snapshots for a while: a small step back of the clock must not
 * find it gone. */
#define IP_LINGER_MS (60 * 1000)

static int64_t ip_expired_before(const struct pc_writer *w)
{
    return pc_writer_wall(w) - IP_LINGER_MS;
}

static int compile_ip_sets(struct pc_writer *w, const struct pc_registers *rules,
                           struct pc_ip_sets **ret_s, struct pc_why *why)
{
    int64_t before_ms = ip_expired_before(w);
    int rc = pc_ip_sets_compile(w->rules.ip_configured, rules, before_ms, ret_s, why);
    if (rc == 0)
        w->rules.ip_left_out_before_ms = before_ms;
    return rc;
}

struct pc_register pc_rules_register(const struct pc_change *c)
{
    PC_ASSERT(pc_kind_is_register(c->kind));
    return (struct pc_register){
        .key = c->id,
        .value = c->value,
        .actor = c->actor,
        .reason = c->reason,
        .hlc = c->hlc,
        .node = c->node,
        .at_ms = c->at_ms,
        .expires_at_ms = c->expires_at_ms ? c->expires_at_ms : INT64_MAX,
        .deleted = c->op == PC_OP_UNSET,
        .ephemeral = c->ephemeral,
    };
}

static struct pc_registers **registers_of(struct pc_rules *r, enum pc_kind kind)
{
    return kind == PC_KIND_FLAG ? &r->flag_values : &r->ip_rules;
}

/* Forgetting is for ever, so it goes by a clock that did not step; INT64_MIN: nothing is. */
static int64_t forget_before(const struct pc_writer *w, int64_t age_ms)
{
    int64_t seen_ms = pc_clock_guard_expired_before(&w->clock);
    return seen_ms == INT64_MIN ? INT64_MIN : seen_ms - age_ms;
}

/* The registers of a kind with the batch's Changes merged in. */
static int draft_registers(struct pc_writer *w, enum pc_kind kind, uint32_t count, size_t max,
                           struct pc_registers **ret_draft)
{
    struct pc_register *changes = malloc(count * sizeof *changes);
    size_t n = 0;
    if (!changes)
        return -ENOMEM;
    for (size_t i = 0; i < w->batch_jobs; i++)
        for (uint32_t k = 0; k < w->batch[i]->count; k++)
            if (w->batch[i]->items[k].change.kind == kind)
                changes[n++] = pc_rules_register(&w->batch[i]->items[k].change);
    PC_ASSERT(n == count);
    const struct pc_registers *old = *registers_of(&w->rules, kind);
    int rc = pc_registers_merge(old, changes, n, forget_before(w, FORGET_MS), max, ret_draft);
    if (rc == PC_E_FULL)
        rc = pc_registers_merge(old, changes, n, forget_before(w, FORGET_EARLY_MS), max, ret_draft);
    free(changes);
    return rc;
}

int pc_rules_draft(struct pc_writer *w, const struct pc_room *room)
{
    struct pc_rules *r = &w->rules;
    int rc = 0;
    PC_ASSERT(!r->draft_flag_values && !r->draft_ip_rules);
    PC_ASSERT(!r->draft.flags && !r->draft.ip_sets);
    if (room->flags) {
        rc = draft_registers(w, PC_KIND_FLAG, room->flags, FLAG_REGISTERS_MAX,
                             &r->draft_flag_values);
        if (rc == 0)
            rc = pc_flags_compile(r->flag_file, r->draft_flag_values, w->o.flag_environment,
                                  &r->draft.flags, NULL);
    }
    if (rc == 0 && room->ip_rules) {
        rc = draft_registers(w, PC_KIND_IP_RULE, room->ip_rules, IP_RULE_REGISTERS_MAX,
                             &r->draft_ip_rules);
        if (rc == 0)
            rc = compile_ip_sets(w, r->draft_ip_rules, &r->draft.ip_sets, NULL);
    }
    return rc;
}

static void take(struct pc_registers **current, struct pc_registers **draft)
{
    if (!*draft)
        return;
    pc_registers_free(*current); /* nobody else reads them: snapshots hold copies */
    *current = *draft;
    *draft = NULL;
}

void pc_rules_take(struct pc_writer *w, struct pc_parts *parts)
{
    struct pc_rules *r = &w->rules;
    PC_ASSERT(!!r->draft_flag_values == !!r->draft.flags);
    PC_ASSERT(!!r->draft_ip_rules == !!r->draft.ip_sets);
    take(&r->flag_values, &r->draft_flag_values);
    take(&r->ip_rules, &r->draft_ip_rules);
    parts->flags = r->draft.flags;
    parts->ip_sets = r->draft.ip_sets;
    r->draft = (struct pc_parts){0};
}

void pc_rules_drop(struct pc_writer *w)
{
    struct pc_rules *r = &w->rules;
    pc_registers_free(r->draft_flag_values);
    pc_registers_free(r->draft_ip_rules);
    r->draft_flag_values = r->draft_ip_rules = NULL;
    pc_parts_free(&r->draft);
    r->draft = (struct pc_parts){0};
}

void pc_rules_free(struct pc_writer *w)
{
    pc_rules_drop(w);
    pc_registers_free(w->rules.flag_values);
    pc_registers_free(w->rules.ip_rules);
    pc_flag_layer_free(w->rules.flag_file);
}

int pc_rules_merge(struct pc_writer *w, enum pc_kind kind, const struct pc_register *changes,
                   size_t n)
{
    struct pc_registers **current = registers_of(&w->rules, kind), *merged;
    /* Whether the clock is right is not known yet. */
    int rc = pc_registers_merge(*current, changes, n, INT64_MIN, SIZE_MAX, &merged);
    if (rc < 0)
        return rc;
    pc_registers_free(*current);
    *current = merged;
    return 0;
}

int pc_rules_compile(struct pc_writer *w, struct pc_parts *parts, struct pc_why *why)
{
    struct pc_rules *r = &w->rules;
    struct pc_flags *flags = NULL;
    int rc = pc_flags_compile(r->flag_file, r->flag_values, w->o.flag_environment, &flags, why);
    if (rc == 0)
        rc = compile_ip_sets(w, r->ip_rules, &parts->ip_sets, why);
    if (rc < 0)
        pc_flags_free(flags);
    else
        parts->flags = flags;
    return rc;
}

void pc_rules_tick(struct pc_writer *w)
{
    struct pc_rules *r = &w->rules;
    struct pc_parts parts = {0};
    const struct pc_ip_sets *now = pc_tables_view(w->tables)->ip_sets;
    /* A clock that went back: what had expired by it may decide again. */
    bool back = ip_expired_before(w) < r->ip_left_out_before_ms;
    /* Twice the time, so that rules that expire one by one are taken out together. */
    if (!back && pc_ip_sets_next_expiry_ms(now) >= ip_expired_before(w) - IP_LINGER_MS)
        return;
    /* Without memory it is tried again: what has expired decides nothing meanwhile. */
    if (pc_writer_reserve_view(w) == 0 &&
        compile_ip_sets(w, r->ip_rules, &parts.ip_sets, NULL) == 0)
        pc_writer_publish(w, &parts);
}

/* ---- into a snapshot ---- */

static void encode(struct pc_buf *b, enum pc_kind kind, const struct pc_register *r)
{
    struct pc_change c = {
        .node = r->node,
        .hlc = r->hlc,
        .kind = kind,
        .op = r->deleted ? PC_OP_UNSET : PC_OP_SET,
        .id = r->key,
        .value = r->value,
        .actor = r->actor,
        .reason = r->reason,
        .at_ms = r->at_ms,
        .expires_at_ms = r->expires_at_ms == INT64_MAX ? 0 : r->expires_at_ms,
        .remote = true, /* never to be exported again */
    };
    uint32_t n;
    size_t at = b->len;
    pc_buf_put(b, &(uint32_t){0}, sizeof n);
    pc_change_encode(&c, b);
    n = (uint32_t)(b->len - at - sizeof n);
    PC_ASSERT(!b->overflow);
    memcpy(b->p + at, &n, sizeof n);
}

static size_t encoded_max(const struct pc_registers *r)
{
    size_t n = 0;
    for (size_t i = 0; r && i < r->count; i++)
        n += r->at[i].key.n + r->at[i].value.n + r->at[i].actor.n + r->at[i].reason.n +
             PC_JOB_CHANGE_OVERHEAD + sizeof(uint32_t);
    return n;
}

static void encode_all(struct pc_buf *b, enum pc_kind kind, const struct pc_registers *r)
{
    for (size_t i = 0; r && i < r->count; i++)
        if (!r->at[i].ephemeral)
            encode(b, kind, &r->at[i]);
}

int pc_rules_encode(const struct pc_writer *w, uint8_t **ret_bytes, size_t *ret_n)
{
    size_t cap = encoded_max(w->rules.flag_values) + encoded_max(w->rules.ip_rules);
    uint8_t *bytes = malloc(cap + 1);
    if (!bytes)
        return -ENOMEM;
    struct pc_buf b = pc_buf_of(bytes, cap);
    encode_all(&b, PC_KIND_FLAG, w->rules.flag_values);
    encode_all(&b, PC_KIND_IP_RULE, w->rules.ip_rules);
    *ret_bytes = bytes;
    *ret_n = b.len;
    return 0;
}
