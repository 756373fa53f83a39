/* SPDX-License-Identifier: Apache-2.0
 * Rate limits of one policy: a table of fixed size that any thread charges without a lock.
 *
 * The caller brings the key's fingerprint (keyed by a secret: nobody outside can aim at a line),
 * the rule and the time. A key is remembered only while it owes something: an entry whose debt is
 * paid is free to be taken by another key. Pure: no I/O, no clock; memory is taken once.
 *
 * What is exact, for one key on any number of threads (checked against a model):
 *   gcra    admitted cost in any span of time t <= burst + t / interval, where interval is
 *           period / count rounded up to a nanosecond;
 *   window  cost admitted in the current period + what the previous one still weighs <= count,
 *           where the previous period's cost weighs by the part of it that a window of one period
 *           ending now still covers, rounded up.
 * What is not: an entry taken away before its debt was paid, which only happens when both lines of
 * a newcomer are full of keys that owe something; it is counted (evicted_active), needs a key below
 * half its burst as victim, and is never done for a fail_closed rule. */
#ifndef PC_EDGE_STATE_LIMITS_H
#define PC_EDGE_STATE_LIMITS_H

#include "base/rate.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_LIMIT_SLOTS_PER_LINE 4
#define PC_LIMIT_SLOT_BYTES     16
/* max_keys keys fill 7 of 10 slots: 22.9 bytes a key. There 3 keys of 1,000 find both lines full.
 */
#define PC_LIMIT_FILL_PERCENT    70
#define PC_LIMIT_KEYS_MAX        (UINT64_C(1) << 31)
#define PC_LIMIT_WINDOW_COST_MAX ((INT64_C(1) << 20) - 1) /* count of a window rule */
#define PC_LIMIT_WINDOW_MIN_NS   INT64_C(1000000000)      /* period of a window rule */
/* A debt is taken for paid only so long after it was, on the clock of the thread that looks:
 * threads of one table may differ by so much without anybody gaining a token by it. */
#define PC_LIMIT_SKEW_NS INT64_C(1000000000)
/* Times are below this, debts too: their sum fits in 63 bits. */
#define PC_LIMIT_TIME_MAX (INT64_C(1) << 61)
#define PC_LIMIT_NEVER    INT64_MAX /* retry_after_ns: this cost can never pass */

/* A compiled rule: make one with pc_limit_rule_set(), read any member. */
struct pc_limit_rule {
    enum pc_limit_algorithm algorithm;
    bool fail_closed; /* never evicts what still owes something */
    int64_t count, period_ns;
    int64_t burst;        /* = count for window */
    int64_t interval_ns;  /* gcra: period / count, rounded up */
    int64_t tolerance_ns; /* gcra: burst * interval */
};

/* burst 0: the count. -ERANGE when burst times interval is beyond PC_LIMIT_TIME_MAX, or the rate
 * beyond what `window` holds (PC_LIMIT_WINDOW_*); -EINVAL for a window with a burst of its own. */
int pc_limit_rule_set(struct pc_limit_rule *rule, enum pc_limit_algorithm algorithm,
                      const struct pc_rate *rate, int64_t burst, bool fail_closed,
                      struct pc_why *why);
/* The rule with count and burst halved, never below 1: strict mode. What may come at once stays at
 * `least` (1 to the burst), which one decision costs: half a limit is not none. */
struct pc_limit_rule pc_limit_rule_halved(const struct pc_limit_rule *rule, int64_t least);

enum pc_take {
    PC_TAKE_ALLOWED, /* and charged */
    PC_TAKE_REFUSED, /* nothing was charged */
    PC_TAKE_NO_ROOM  /* not decided: no slot for the key; limit is set, the rest is 0 */
};

struct pc_limit_result {
    int64_t limit;     /* the most that can pass at once */
    int64_t remaining; /* what could still pass now, after this */
    int64_t reset_ns;  /* until the whole limit is there again; 0: it is */
    /* Refused: until the same cost could pass if nobody else took anything; 0 when allowed;
     * PC_LIMIT_NEVER when the cost is above the limit. */
    int64_t retry_after_ns;
    /* What was charged, for pc_limits_give_back(). */
    int64_t cost;
    int64_t window; /* window rules: which one was charged */
    bool allowed;
};

/* What one thread did to a table; only that thread writes, any may read. Gauges are differences:
 * their sum over all threads is meant. */
struct pc_limit_counters {
    uint64_t occupied;       /* slots filled less slots emptied */
    uint64_t evicted_idle;   /* entries taken over that owed nothing any more */
    uint64_t evicted_active; /* … that still did: somebody's limit began anew */
    uint64_t no_room;
};

struct pc_limit_table;

/* For so many keys at one time; zeroed memory is touched only as keys come. -ENOMEM, -ERANGE. */
int pc_limits_new(uint64_t max_keys, struct pc_limit_table **ret_table);
void pc_limits_free(struct pc_limit_table *t);

/* The two lines of a key are on their way. */
void pc_limits_prefetch(const struct pc_limit_table *t, uint64_t fp);

/* Charges cost if the rule allows it; cost 0 changes nothing. fp must not be 0
 * (pc_limit_fingerprint()); 0 <= cost; 0 < now_ns < PC_LIMIT_TIME_MAX. `counters` is the calling
 * thread's own. */
enum pc_take pc_limits_take(struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                            int64_t cost, int64_t now_ns, struct pc_limit_counters *counters,
                            struct pc_limit_result *ret_result);

/* Whether cost would pass, and what is left without it; nothing is changed. */
void pc_limits_peek(const struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                    int64_t cost, int64_t now_ns, struct pc_limit_result *ret_result);

/* Undoes an allowed take of the same rule and key: what another limit of the same decision refused
 * was not used. Harmless when the entry is gone. */
void pc_limits_give_back(struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                         const struct pc_limit_result *taken);

/* Forgets a key; whether it was known. */
bool pc_limits_reset(struct pc_limit_table *t, uint64_t fp, struct pc_limit_counters *counters);

/* A keyed fingerprint of a key's bytes, never 0. */
uint64_t pc_limit_fingerprint(const uint8_t key[16], struct pc_bytes text);

struct pc_limit_shape {
    uint64_t slots, bytes;
};
struct pc_limit_shape pc_limits_shape(const struct pc_limit_table *t);

/* The arithmetic of the algorithms alone, on a state word, for the table and CL.THROTTLE; *state is
 * the new one when allowed and cost is not 0. */
void pc_limit_evaluate(const struct pc_limit_rule *rule, uint64_t *state, int64_t cost,
                       int64_t now_ns, struct pc_limit_result *ret_result);

#ifdef __cplusplus
}
#endif
#endif
