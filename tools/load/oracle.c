/* SPDX-License-Identifier: Apache-2.0
 * The shared knowledge of the sources; see the invariants in oracle.h. */
#include "load/oracle.h"

#include <stdlib.h>

#define SLACK_NS INT64_C(2000000) /* between our reading of the clock and the server's */

static bool has_ask(const struct ld_workload *w, enum ld_ask ask)
{
    for (unsigned i = 0; i < w->request_count; i++)
        if (w->requests[i].ask == ask)
            return true;
    return false;
}

/* Half of the good tokens, the coldest ones, may be revoked: the rest keeps the traffic going. */
static bool init_revocations(struct ld_oracle *o, const struct ld_tokens *tokens)
{
    const uint64_t good = tokens->of_kind[LD_TOKEN_GOOD];
    if (!has_ask(o->w, LD_ASK_REVOKE))
        return true;
    o->victims = good / 2;
    o->victims_from = tokens->first[LD_TOKEN_GOOD] + good;
    o->revoked_ns = calloc(tokens->count, sizeof *o->revoked_ns);
    o->events = calloc(LD_EVENTS_MAX, sizeof *o->events);
    return o->revoked_ns && o->events;
}

static void init_flags(struct ld_oracle *o)
{
    for (unsigned i = 0; i < o->w->request_count; i++)
        if (o->w->requests[i].ask == LD_ASK_SET_FLAG)
            o->flags[o->w->requests[i].flag].changes = true;
    for (unsigned i = 0; i < o->w->flag_count; i++) {
        struct ld_flag_state *f = &o->flags[i];
        f->first = o->w->flags[i].value ? strtoll(o->w->flags[i].value, NULL, 10) : 0;
        atomic_store(&f->sent, f->first);
        atomic_store(&f->acked, f->first);
    }
}

bool ld_oracle_init(struct ld_oracle *o, const struct ld_workload *w,
                    const struct ld_tokens *tokens, const uint64_t counted[LD_WL_REQUESTS_MAX],
                    struct ld_problem *problem)
{
    *o = (struct ld_oracle){.w = w, .tokens = tokens->count, .keys = w->keys.count};
    bool ok = init_revocations(o, tokens);
    for (unsigned i = 0; i < w->request_count && ok; i++)
        if (counted[i]) {
            o->allowed[i] = calloc(counted[i], sizeof *o->allowed[i]);
            ok = o->allowed[i] != NULL;
        }
    init_flags(o);
    if (ok)
        return true;
    ld_oracle_free(o);
    return ld_problem_set(problem, "out of memory for what the answers are checked against");
}

void ld_oracle_free(struct ld_oracle *o)
{
    free((void *)o->revoked_ns);
    free(o->events);
    for (unsigned i = 0; i < LD_WL_REQUESTS_MAX; i++)
        free((void *)o->allowed[i]);
    *o = (struct ld_oracle){.w = NULL};
}

void ld_oracle_begin(struct ld_oracle *o, int64_t now_ns)
{
    int64_t none = 0;
    (void)atomic_compare_exchange_strong_explicit(&o->start_ns, &none, now_ns, memory_order_relaxed,
                                                  memory_order_relaxed); /* O5 */
}

/* ---- Revocations. ---- */

bool ld_oracle_take_victim(struct ld_oracle *o, uint64_t *ret_token)
{
    const uint64_t n = atomic_fetch_add_explicit(&o->victims_taken, 1, memory_order_relaxed);
    if (n >= o->victims || n >= LD_EVENTS_MAX)
        return false;
    *ret_token = o->victims_from - 1 - n;
    PC_ASSERT(*ret_token < o->tokens);
    atomic_store_explicit(&o->revoked_ns[*ret_token], 1, memory_order_release); /* O1 */
    return true;
}

void ld_oracle_acknowledge(struct ld_oracle *o, uint64_t token, int64_t now_ns,
                           uint32_t connections)
{
    PC_ASSERT(atomic_load(&o->revoked_ns[token]) == 1 && now_ns > 1); /* O1 */
    atomic_store_explicit(&o->revoked_ns[token], now_ns, memory_order_release);
    const uint32_t at = atomic_fetch_add_explicit(&o->event_count, 1, memory_order_relaxed);
    PC_ASSERT(at < LD_EVENTS_MAX);
    struct ld_event *e = &o->events[at];
    e->acked_ns = now_ns;
    atomic_store_explicit(&e->left, connections, memory_order_relaxed);
    atomic_store_explicit(&e->token, (uint32_t)token + 1, memory_order_release); /* O2 */
}

enum ld_standing ld_oracle_standing(const struct ld_oracle *o, uint64_t token, int64_t sent_ns)
{
    if (!o->revoked_ns)
        return LD_STANDS;
    const int64_t at_ns = atomic_load_explicit(&o->revoked_ns[token], memory_order_acquire);
    if (at_ns == 0)
        return LD_STANDS;
    return at_ns > 1 && sent_ns > at_ns ? LD_REVOKED : LD_EITHER; /* O1 */
}

/* ---- Limits. ---- */

/* gcra: a burst, then one an interval. window: two counters admit at most twice the count in any
 * period, and one count more for each further one. */
static uint64_t may_admit(const struct ld_wl_policy *p, int64_t span_ns)
{
    const double periods = (double)span_ns / (double)p->rate.period_ns;
    if (p->window)
        return (uint64_t)p->rate.count * (2 + (uint64_t)periods);
    const uint64_t burst = p->burst ? p->burst : (uint64_t)p->rate.count;
    return burst + 1 + (uint64_t)(periods * (double)p->rate.count);
}

uint64_t ld_oracle_count_allow(struct ld_oracle *o, unsigned request, uint64_t key, int64_t now_ns,
                               uint64_t *ret_bound)
{
    const struct ld_wl_policy *p = &o->w->policies[o->w->requests[request].policy];
    const int64_t start_ns = atomic_load_explicit(&o->start_ns, memory_order_relaxed);
    *ret_bound = may_admit(p, now_ns - start_ns + SLACK_NS);
    /* O3 */
    return 1 + atomic_fetch_add_explicit(&o->allowed[request][key], 1, memory_order_relaxed);
}

/* ---- Flags. ---- */

bool ld_oracle_begin_flag(struct ld_oracle *o, unsigned flag, int64_t *ret_value)
{
    struct ld_flag_state *f = &o->flags[flag];
    PC_ASSERT(f->changes);
    if (atomic_exchange_explicit(&f->busy, true, memory_order_acquire))
        return false; /* O4 */
    *ret_value = 1 + atomic_fetch_add_explicit(&f->sent, 1, memory_order_relaxed);
    return true;
}

void ld_oracle_end_flag(struct ld_oracle *o, unsigned flag, int64_t value, bool ok, int64_t now_ns)
{
    struct ld_flag_state *f = &o->flags[flag];
    PC_ASSERT(atomic_load(&f->busy)); /* O4 */
    if (ok) {
        atomic_store_explicit(&f->acked_ns[value % LD_FLAG_HISTORY], now_ns, memory_order_relaxed);
        atomic_store_explicit(&f->acked, value, memory_order_release);
    } else {
        atomic_store_explicit(&f->doubt, true, memory_order_relaxed);
    }
    atomic_store_explicit(&f->busy, false, memory_order_release);
}

bool ld_oracle_flag_may_be(const struct ld_oracle *o, unsigned flag, int64_t value, int64_t sent_ns,
                           int64_t *ret_least, int64_t *ret_most)
{
    const struct ld_flag_state *f = &o->flags[flag];
    int64_t least = atomic_load_explicit(&f->acked, memory_order_acquire);
    const int64_t oldest = pc_max_i64(f->first, least - LD_FLAG_HISTORY + 2);
    while (least > oldest && atomic_load_explicit(&f->acked_ns[least % LD_FLAG_HISTORY],
                                                  memory_order_relaxed) >= sent_ns)
        least--;
    if (atomic_load_explicit(&f->doubt, memory_order_relaxed))
        least = f->first;
    *ret_least = least;
    *ret_most = atomic_load_explicit(&f->sent, memory_order_relaxed);
    return value >= *ret_least && value <= *ret_most;
}
