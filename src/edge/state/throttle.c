/* SPDX-License-Identifier: Apache-2.0
 * CL.THROTTLE: rule, charge, and the five answers. Pure; any thread. */
#include "edge/state/throttle.h"

#define SECOND_NS      INT64_C(1000000000)
#define MILLISECOND_NS INT64_C(1000000)
#define MICROSECOND_NS INT64_C(1000)

const char *pc_throttle_error_text(enum pc_throttle_error error)
{
    static const char *const texts[PC_THROTTLE_ERRORS] = {
        [PC_THROTTLE_OK] = "",
        [PC_THROTTLE_ZERO_RATE] = "Cell error: Store error: Zero rates are not supported",
        [PC_THROTTLE_NEGATIVE_RATE] = "ERR count and period must be positive",
        [PC_THROTTLE_TOO_LARGE] =
            "ERR out of range: the whole limit must come back within 73 years",
        [PC_THROTTLE_EXPIRE] = "Cell error: Store error: Error while setting key expire",
        [PC_THROTTLE_NO_ROOM] = "BUSY no room for another key: raise resp.throttle_keys",
    };
    PC_ASSERT((unsigned)error < PC_THROTTLE_ERRORS);
    return texts[error];
}

/* The interval is rounded down by way of a double: tokens come as fast as redis-cell's. */
static enum pc_throttle_error make_rule(const struct pc_throttle_call *c,
                                        struct pc_limit_rule *rule)
{
    int64_t period_ns;
    if (c->count == 0 || c->period_s == 0)
        return PC_THROTTLE_ZERO_RATE;
    if (c->count < 0 || c->period_s < 0)
        return PC_THROTTLE_NEGATIVE_RATE;
    if (__builtin_mul_overflow(c->period_s, SECOND_NS, &period_ns))
        return PC_THROTTLE_TOO_LARGE;
    *rule = (struct pc_limit_rule){
        .algorithm = PC_LIMIT_GCRA,
        .fail_closed = true, /* nobody's limit begins anew for a flood of keys */
        .count = c->count,
        .period_ns = period_ns,
        .interval_ns = (int64_t)((double)period_ns / (double)c->count),
    };
    if (rule->interval_ns == 0)
        return PC_THROTTLE_ZERO_RATE;
    if (__builtin_add_overflow(c->max_burst, 1, &rule->burst) ||
        __builtin_mul_overflow(rule->burst, rule->interval_ns, &rule->tolerance_ns) ||
        rule->tolerance_ns >= PC_LIMIT_TIME_MAX || rule->tolerance_ns <= -PC_LIMIT_TIME_MAX)
        return PC_THROTTLE_TOO_LARGE;
    return PC_THROTTLE_OK;
}

/* Whole seconds by way of a double, and one more for milliseconds beyond. */
static int64_t seconds_of(int64_t ns)
{
    int64_t whole = ns / SECOND_NS, rest_ns = ns % SECOND_NS;
    double s = (double)whole + (double)rest_ns / (double)SECOND_NS;
    return (int64_t)s + (rest_ns / MILLISECOND_NS > 0);
}

/* In microseconds, by way of a double; below one microsecond a token they divide by zero. */
static int64_t remaining_of(const struct pc_limit_rule *rule, int64_t left_ns)
{
    int64_t left_us = left_ns / MICROSECOND_NS, interval_us = rule->interval_ns / MICROSECOND_NS;
    if (left_ns <= -rule->interval_ns)
        return 0;
    if (interval_us == 0)
        return left_us > 0 ? INT64_MAX : left_us < 0 ? INT64_MIN : 0;
    return (int64_t)((double)left_us / (double)interval_us);
}

/* Whether giving back would pass and leave less debt than none, to the millisecond. */
static bool gives_too_much(const struct pc_limit_table *t, const struct pc_limit_rule *rule,
                           uint64_t fp, int64_t quantity, int64_t now_ns)
{
    struct pc_limit_result r;
    int64_t given_ns;
    pc_limits_peek(t, rule, fp, 0, now_ns, &r);
    if (__builtin_mul_overflow(quantity, rule->interval_ns, &given_ns))
        return true;
    int64_t left_ns = r.reset_ns + given_ns;
    return left_ns <= rule->tolerance_ns && left_ns <= -MILLISECOND_NS;
}

enum pc_throttle_error pc_throttle(struct pc_limit_table *t, uint64_t fp,
                                   const struct pc_throttle_call *call, int64_t now_ns,
                                   struct pc_limit_counters *counters,
                                   struct pc_throttle_answer *ret_answer)
{
    struct pc_limit_rule rule;
    struct pc_limit_result r;
    enum pc_throttle_error error = make_rule(call, &rule);
    if (error)
        return error;
    if (call->quantity < 0 && gives_too_much(t, &rule, fp, call->quantity, now_ns))
        return PC_THROTTLE_EXPIRE;
    if (pc_limits_take(t, &rule, fp, call->quantity, now_ns, counters, &r) == PC_TAKE_NO_ROOM)
        return PC_THROTTLE_NO_ROOM;
    *ret_answer = (struct pc_throttle_answer){
        .limited = !r.allowed,
        .limit = rule.burst,
        .remaining = remaining_of(&rule, rule.tolerance_ns - r.reset_ns),
        .retry_after_s =
            r.allowed || r.retry_after_ns == PC_LIMIT_NEVER ? -1 : seconds_of(r.retry_after_ns),
        .reset_after_s = seconds_of(r.reset_ns),
    };
    return PC_THROTTLE_OK;
}
