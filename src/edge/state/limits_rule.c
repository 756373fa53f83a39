/* SPDX-License-Identifier: Apache-2.0
 * The two algorithms on one 64-bit state. Pure arithmetic in whole numbers; any thread.
 *
 * gcra: the state is the theoretical arrival time, monotonic nanoseconds: when the debt is paid.
 * Taking cost c makes it max(state, now) + c * interval, allowed while that is no more than
 * `tolerance` ahead of now. 0, like any time that has passed, owes nothing.
 *
 * window: two counters; windows begin at multiples of the period.
 *
 *   bit 63      62 … 40               39 … 20                      19 … 0
 *     0     number of the window   cost in the window before   cost in this window
 *
 * The number is kept modulo 2^23: a key that comes back after 2^23 periods to the period (97 days
 * for 1 s, 239 years for 15 min) finds its old counters valid for at most two periods more. */
#include "edge/state/limits_rule.h"

#define WINDOW_BITS 23
#define WINDOW_MASK ((INT64_C(1) << WINDOW_BITS) - 1)
#define COUNT_BITS  20
#define COUNT_MASK  ((UINT64_C(1) << COUNT_BITS) - 1)
_Static_assert(COUNT_MASK == (uint64_t)PC_LIMIT_WINDOW_COST_MAX, "a counter holds every count");

/* Derives the rest of a rule; false: beyond what a state holds. */
static bool derive(struct pc_limit_rule *r)
{
    /* Rounded up: never more than the policy. */
    r->interval_ns = r->period_ns / r->count + (r->period_ns % r->count != 0);
    return !__builtin_mul_overflow(r->burst, r->interval_ns, &r->tolerance_ns) &&
           r->tolerance_ns < PC_LIMIT_TIME_MAX;
}

static int check_window(const struct pc_limit_rule *r, struct pc_why *why)
{
    if (r->burst != r->count)
        return pc_fail(why, -EINVAL, "a window has no burst of its own: leave it out");
    if (r->count > PC_LIMIT_WINDOW_COST_MAX)
        return pc_fail(why, -ERANGE, "a window counts to %lld at most: use gcra",
                       (long long)PC_LIMIT_WINDOW_COST_MAX);
    if (r->period_ns < PC_LIMIT_WINDOW_MIN_NS)
        return pc_fail(why, -ERANGE, "a window must be 1 s at least: use gcra");
    return 0;
}

int pc_limit_rule_set(struct pc_limit_rule *rule, enum pc_limit_algorithm algorithm,
                      const struct pc_rate *rate, int64_t burst, bool fail_closed,
                      struct pc_why *why)
{
    struct pc_limit_rule r = {.algorithm = algorithm,
                              .fail_closed = fail_closed,
                              .count = rate->count,
                              .period_ns = rate->period_ns,
                              .burst = burst ? burst : rate->count};
    /* Half the burst at a third of the rate (3 halved is 1) takes half as long again. */
    if (!derive(&r) || r.tolerance_ns >= PC_LIMIT_TIME_MAX / 4)
        return pc_fail(why, -ERANGE, "the burst would take more than 18 years to come back");
    int err = algorithm == PC_LIMIT_WINDOW ? check_window(&r, why) : 0;
    if (!err)
        *rule = r;
    return err;
}

struct pc_limit_rule pc_limit_rule_halved(const struct pc_limit_rule *rule, int64_t least)
{
    struct pc_limit_rule r = *rule;
    PC_ASSERT(least >= 1 && least <= r.burst);
    r.count = pc_max_i64(r.count / 2, r.algorithm == PC_LIMIT_WINDOW ? least : 1);
    r.burst = pc_max_i64(r.burst / 2, least);
    bool fits = derive(&r);
    PC_ASSERT(fits);
    return r;
}

/* ---- gcra ---- */

static void gcra(const struct pc_limit_rule *rule, uint64_t *state, int64_t cost, int64_t now_ns,
                 struct pc_limit_result *r)
{
    int64_t debt_ns = pc_max_i64((int64_t)*state - now_ns, 0), added_ns, next_ns;
    bool finite = !__builtin_mul_overflow(cost, rule->interval_ns, &added_ns) &&
                  !__builtin_add_overflow(debt_ns, added_ns, &next_ns);
    r->allowed = finite && next_ns <= rule->tolerance_ns;
    if (r->allowed) {
        debt_ns = next_ns;
        if (cost)
            *state = (uint64_t)pc_max_i64(now_ns + next_ns, 0);
    } else {
        bool never = !finite || added_ns > rule->tolerance_ns;
        r->retry_after_ns = never ? PC_LIMIT_NEVER : next_ns - rule->tolerance_ns;
    }
    r->reset_ns = debt_ns;
    int64_t left_ns = rule->tolerance_ns - debt_ns;
    r->remaining = left_ns > 0 ? left_ns / rule->interval_ns : 0;
}

/* ---- window ---- */

struct window {
    int64_t number;
    int64_t elapsed_ns; /* since it began; below 0 on a thread whose clock is behind */
    int64_t before, now;
};

/* What a state means at a time: the counters moved on to the present window. */
static struct window window_at(const struct pc_limit_rule *rule, uint64_t state, int64_t now_ns)
{
    struct window w = {.number = now_ns / rule->period_ns};
    int64_t age = (w.number - (int64_t)(state >> (2 * COUNT_BITS))) & WINDOW_MASK;
    int64_t before = (int64_t)(state >> COUNT_BITS & COUNT_MASK);
    int64_t now = (int64_t)(state & COUNT_MASK);
    if (age == WINDOW_MASK) /* another thread's clock is in the next window already */
        w.number++;
    if (age == 0 || age == WINDOW_MASK) {
        w.before = before;
        w.now = now;
    } else if (age == 1) {
        w.before = now;
    }
    w.elapsed_ns = now_ns - w.number * rule->period_ns;
    return w;
}

static uint64_t window_state(const struct window *w)
{
    return (uint64_t)(w->number & WINDOW_MASK) << (2 * COUNT_BITS) |
           (uint64_t)w->before << COUNT_BITS | (uint64_t)w->now;
}

/* a * b / c, exactly; the quotient must fit. */
static int64_t scale(int64_t a, int64_t b, int64_t c, bool up)
{
    uint64_t product;
    PC_ASSERT(c > 0);
    if (PC_LIKELY(!__builtin_mul_overflow((uint64_t)a, (uint64_t)b, &product)))
        return (int64_t)(product / (uint64_t)c + (up && product % (uint64_t)c != 0));
    unsigned __int128 wide = (unsigned __int128)(uint64_t)a * (uint64_t)b;
    return (int64_t)(wide / (uint64_t)c + (up && wide % (uint64_t)c != 0));
}

/* What the window before still weighs. */
static int64_t weight(const struct window *w, int64_t period_ns)
{
    if (w->before == 0)
        return 0;
    return scale(w->before, period_ns - pc_max_i64(w->elapsed_ns, 0), period_ns, true);
}

/* From now until `cost` passes, if nobody takes anything. */
static int64_t window_retry_ns(const struct pc_limit_rule *rule, const struct window *w,
                               int64_t cost)
{
    const int64_t period_ns = rule->period_ns, room = rule->count - w->now - cost;
    if (cost > rule->count)
        return PC_LIMIT_NEVER;
    if (room >= 0) /* when the window before weighs `room` */
        return period_ns - scale(room, period_ns, w->before, false) - w->elapsed_ns;
    /* In the next window, when this one weighs what leaves room. */
    int64_t left_ns = scale(rule->count - cost, period_ns, w->now, false);
    return period_ns - w->elapsed_ns + period_ns - left_ns;
}

static void window(const struct pc_limit_rule *rule, uint64_t *state, int64_t cost, int64_t now_ns,
                   struct pc_limit_result *r)
{
    struct window w = window_at(rule, *state, now_ns);
    int64_t used = weight(&w, rule->period_ns) + w.now;
    PC_ASSERT(cost >= 0);
    r->allowed = cost <= rule->count - used;
    if (r->allowed) {
        w.now += cost;
        used += cost;
        if (cost)
            *state = window_state(&w);
    } else {
        r->retry_after_ns = window_retry_ns(rule, &w, cost);
    }
    r->window = w.number;
    r->remaining = pc_max_i64(rule->count - used, 0);
    r->reset_ns = w.now      ? 2 * rule->period_ns - w.elapsed_ns
                  : w.before ? rule->period_ns - w.elapsed_ns
                             : 0;
}

/* ---- both ---- */

void pc_limit_evaluate(const struct pc_limit_rule *rule, uint64_t *state, int64_t cost,
                       int64_t now_ns, struct pc_limit_result *ret_result)
{
    struct pc_limit_result r = {.limit = rule->burst};
    PC_ASSERT(now_ns > 0 && now_ns < PC_LIMIT_TIME_MAX);
    PC_ASSERT_SLOW(!(*state >> 63));
    if (rule->algorithm == PC_LIMIT_GCRA)
        gcra(rule, state, cost, now_ns, &r);
    else
        window(rule, state, cost, now_ns, &r);
    r.cost = r.allowed ? cost : 0;
    PC_ASSERT_SLOW(!(*state >> 63) && r.remaining >= 0);
    *ret_result = r;
}

static bool weighs_nothing(const struct pc_limit_rule *rule, uint64_t state, int64_t now_ns)
{
    struct window w = window_at(rule, state, now_ns);
    return w.now == 0 && w.before == 0;
}

/* A window is looked at from both ends of what clocks may differ by: from the early end alone, one
 * that a faster clock has just begun is two ahead, which no longer looks like one of ours. */
bool pc_limit_is_idle(const struct pc_limit_rule *rule, uint64_t state, int64_t now_ns)
{
    if (rule->algorithm == PC_LIMIT_GCRA)
        return (int64_t)state <= now_ns - PC_LIMIT_SKEW_NS || state == 0;
    return weighs_nothing(rule, state, pc_max_i64(now_ns - PC_LIMIT_SKEW_NS, 0)) &&
           weighs_nothing(rule, state, now_ns);
}

int64_t pc_limit_owed(const struct pc_limit_rule *rule, uint64_t state, int64_t now_ns)
{
    if (rule->algorithm == PC_LIMIT_GCRA)
        return pc_max_i64((int64_t)state - now_ns, 0);
    struct window w = window_at(rule, state, now_ns);
    return weight(&w, rule->period_ns) + w.now;
}

bool pc_limit_below_half(const struct pc_limit_rule *rule, int64_t owed)
{
    return owed < (rule->algorithm == PC_LIMIT_GCRA ? rule->tolerance_ns : rule->count) / 2;
}

/* A later window was begun meanwhile: what was taken counts in the one before. */
static uint64_t window_undo(uint64_t state, const struct pc_limit_result *taken)
{
    int64_t age = ((int64_t)(state >> (2 * COUNT_BITS)) - taken->window) & WINDOW_MASK;
    unsigned shift = age == 0 ? 0 : COUNT_BITS;
    if (age > 1)
        return state;
    uint64_t count = state >> shift & COUNT_MASK;
    return state - (pc_min_u64(count, (uint64_t)taken->cost) << shift);
}

uint64_t pc_limit_undo(const struct pc_limit_rule *rule, uint64_t state,
                       const struct pc_limit_result *taken)
{
    if (rule->algorithm == PC_LIMIT_WINDOW)
        return window_undo(state, taken);
    /* It was allowed, so this is at most the tolerance. */
    return (uint64_t)pc_max_i64((int64_t)state - taken->cost * rule->interval_ns, 0);
}
