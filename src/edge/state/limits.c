/* SPDX-License-Identifier: Apache-2.0
 * The table of a limit policy: lines of four slots (limits_slot.h), two candidate lines a key,
 * both known from its fingerprint. Any thread calls anything; nobody waits for anybody: a failed
 * swap means that another thread's succeeded, and costs a bounded pause. Owns its memory; never
 * allocates after creation.
 *
 *   line   0  slot 0   16  slot 1   32  slot 2   48  slot 3        64 bytes, aligned
 *
 * A key that is not there is inserted tentative: nobody may charge it yet. Whoever meets a
 * tentative slot, its inserter or anybody else looking for the key, first looks at all the other
 * slots of the key and settles:
 *
 *   another one is not tentative   this one is emptied, that one is used
 *   another one stands lower       this one is emptied, that one is settled
 *   another one stands higher      that one is emptied
 *
 * and only after a look that found nothing else swaps it to charged.
 *
 *   I1  A slot changes only by a swap of fingerprint and state together, so no charge is lost and
 *       none lands on another key.
 *   I2  A fingerprint is in at most one slot that is not tentative. (Of two, let p have been
 *       written before q, both tentative. Whoever charges q first looked at p, and that look came
 *       after q was written, so after p was: it saw p, or p's removal. If p stood lower or was
 *       charged, q was not charged. If p stood higher, it was emptied first; p's own charge then
 *       failed, unless it came before and was seen.) Each insert has its own number in the state,
 *       so that a slot emptied and written anew is not taken for the one that was looked at.
 *   I3  A slot that owes something is taken over only by a rule that is not fail_closed, only when
 *       neither line has an empty or idle slot, and only if it owes less than half the burst.
 *   I4  A refusal was computed from a state that belonged to the key: the fingerprint is read
 *       again after the state. */
#include "edge/state/limits.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/siphash.h"
#include "edge/state/limits_rule.h"
#include "edge/state/limits_slot.h"

#define LINE_BYTES (PC_LIMIT_SLOTS_PER_LINE * PC_LIMIT_SLOT_BYTES)
/* Tables from this size on ask for huge pages: a miss costs less, a first touch more. */
#define HUGE_FROM_BYTES (UINT64_C(32) << 20)
#define HUGE_BYTES      (UINT64_C(2) << 20)
/* Inserts of one key draw their numbers from the same counter; inserts of others mostly not. */
#define SERIALS 64
/* Of a thread that lost a line; a pause is 40 to 140 cycles, so it comes back after 0.5 to 2 us. */
#define PAUSES_FIRST        48u
#define PAUSE_DOUBLINGS_MAX 1u

struct line {
    struct pc_limit_slot slot[PC_LIMIT_SLOTS_PER_LINE];
};
_Static_assert(sizeof(struct line) == PC_CACHE_LINE, "a line is a cache line");

struct serial {
    uint64_t next; /* any thread, atomic */
} PC_ALIGNED_LINE;

struct pc_limit_table {
    struct line *lines;
    uint64_t line_count; /* constant, like everything but serials and lines */
    void *memory;
    struct serial serials[SERIALS];
};

/* ---- creation ---- */

/* Zeroed pages come when they are touched. */
static int allocate(struct pc_limit_table *t)
{
    uint64_t bytes = t->line_count * LINE_BYTES;
    uint64_t align = bytes >= HUGE_FROM_BYTES ? HUGE_BYTES : PC_CACHE_LINE;
    t->memory = calloc(1, bytes + align);
    if (!t->memory)
        return -ENOMEM;
    t->lines = (struct line *)(((uintptr_t)t->memory + align - 1) & ~(uintptr_t)(align - 1));
    if (align == HUGE_BYTES)
        (void)madvise(t->lines, bytes & ~(HUGE_BYTES - 1), MADV_HUGEPAGE);
    return 0;
}

int pc_limits_new(uint64_t max_keys, struct pc_limit_table **ret_table)
{
    if (max_keys == 0 || max_keys > PC_LIMIT_KEYS_MAX)
        return -ERANGE;
    struct pc_limit_table *t = aligned_alloc(PC_CACHE_LINE, sizeof *t);
    if (!t)
        return -ENOMEM;
    *t = (struct pc_limit_table){0};
    uint64_t slots = (max_keys * 100 + PC_LIMIT_FILL_PERCENT - 1) / PC_LIMIT_FILL_PERCENT;
    t->line_count = (slots + PC_LIMIT_SLOTS_PER_LINE - 1) / PC_LIMIT_SLOTS_PER_LINE;
    if (allocate(t) < 0) {
        free(t);
        return -ENOMEM;
    }
    *ret_table = t;
    return 0;
}

void pc_limits_free(struct pc_limit_table *t)
{
    if (!t)
        return;
    free(t->memory);
    free(t);
}

struct pc_limit_shape pc_limits_shape(const struct pc_limit_table *t)
{
    return (struct pc_limit_shape){t->line_count * PC_LIMIT_SLOTS_PER_LINE,
                                   t->line_count * LINE_BYTES};
}

uint64_t pc_limit_fingerprint(const uint8_t key[16], struct pc_bytes text)
{
    uint64_t fp = pc_siphash24(key, text.p, text.n);
    return fp ? fp : 1;
}

/* ---- looking ---- */

/* The two lines: the upper and the lower half of the fingerprint, scaled to the number of lines.
 * They may be the same. */
static struct line *line_of(const struct pc_limit_table *t, uint64_t fp, unsigned which)
{
    uint64_t half = which ? fp & 0xffffffff : fp >> 32;
    return &t->lines[half * t->line_count >> 32];
}
_Static_assert(PC_LIMIT_KEYS_MAX <= UINT64_C(1) << 31, "half a fingerprint reaches every line");

void pc_limits_prefetch(const struct pc_limit_table *t, uint64_t fp)
{
    __builtin_prefetch(line_of(t, fp, 0), 1);
    __builtin_prefetch(line_of(t, fp, 1), 1);
}

static bool is_tentative(uint64_t state)
{
    return (state & PC_LIMIT_TENTATIVE) != 0;
}

/* The state of a slot if it is the key's; I4. */
static bool read_state(const struct pc_limit_slot *s, uint64_t fp, uint64_t *ret_state)
{
    if (PC_LIKELY(pc_limit_load_fp(s) != fp))
        return false;
    uint64_t state = pc_limit_load_state(s);
    if (pc_limit_load_fp(s) != fp)
        return false;
    *ret_state = state;
    return true;
}

/* A slot of the key, and what was in it. */
struct found {
    struct pc_limit_slot *slot; /* NULL: none */
    uint64_t state;
};

/* The slot to use: the one that is not tentative, else the lowest. */
static struct found look_up(const struct pc_limit_table *t, uint64_t fp)
{
    struct found best = {0};
    for (unsigned which = 0; which < 2; which++) {
        struct line *line = line_of(t, fp, which);
        for (unsigned i = 0; i < PC_LIMIT_SLOTS_PER_LINE; i++) {
            struct pc_limit_slot *s = &line->slot[i];
            uint64_t state;
            if (!read_state(s, fp, &state))
                continue;
            if (PC_LIKELY(!is_tentative(state)))
                return (struct found){s, state};
            if (!best.slot || s < best.slot)
                best = (struct found){s, state};
        }
    }
    return best;
}

/* ---- counting; only the owner writes, so a plain add that others see whole ---- */

static void count(struct pc_limit_counters *c, size_t counter, uint64_t n)
{
    uint64_t *at = (uint64_t *)c + counter / sizeof(uint64_t);
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
#define COUNT(counters, field, n) count((counters), offsetof(struct pc_limit_counters, field), (n))

static bool empty_slot(struct pc_limit_slot *s, uint64_t fp, uint64_t state,
                       struct pc_limit_counters *counters)
{
    if (!pc_limit_swap(s, (struct pc_limit_pair){fp, state}, (struct pc_limit_pair){0, 0}))
        return false;
    COUNT(counters, occupied, (uint64_t)-1);
    return true;
}

/* ---- inserting ---- */

/* A place for a newcomer. */
struct place {
    struct pc_limit_slot *slot; /* NULL: none */
    struct pc_limit_pair holds;
    enum { TAKE_EMPTY, TAKE_IDLE, TAKE_ACTIVE, TAKE_NONE } how; /* the best first */
    int64_t owed; /* TAKE_ACTIVE: the least is taken, so that fresh keys push out one another */
};

static struct place place_of(struct pc_limit_slot *s, const struct pc_limit_rule *rule,
                             int64_t now_ns)
{
    struct place p = {
        .slot = s, .holds = {pc_limit_load_fp(s), 0},
             .how = TAKE_EMPTY
    };
    if (p.holds.fp == 0)
        return p;
    p.how = TAKE_NONE;
    p.holds.state = pc_limit_load_state(s);
    if (is_tentative(p.holds.state))
        return p;
    if (pc_limit_is_idle(rule, p.holds.state, now_ns)) {
        p.how = TAKE_IDLE;
        return p;
    }
    p.owed = pc_limit_owed(rule, p.holds.state, now_ns);
    if (!rule->fail_closed && pc_limit_below_half(rule, p.owed))
        p.how = TAKE_ACTIVE; /* I3 */
    return p;
}

/* The best place in one line, and how many of its slots nobody could have for nothing. */
static struct place choose(struct line *line, const struct pc_limit_rule *rule, int64_t now_ns,
                           unsigned *ret_busy)
{
    struct place best = {.how = TAKE_NONE};
    unsigned busy = 0;
    for (unsigned i = 0; i < PC_LIMIT_SLOTS_PER_LINE; i++) {
        struct place p = place_of(&line->slot[i], rule, now_ns);
        busy += p.how >= TAKE_ACTIVE;
        if (p.how < best.how || (p.how == best.how && p.owed < best.owed))
            best = p;
    }
    *ret_busy = busy;
    return best;
}

/* For nothing, from the line with more of it: that is what lets both fill to the brim. Else the
 * least debt of both. */
static struct place choose_of_both(const struct pc_limit_table *t, const struct pc_limit_rule *rule,
                                   uint64_t fp, int64_t now_ns)
{
    unsigned busy_a, busy_b;
    struct place a = choose(line_of(t, fp, 0), rule, now_ns, &busy_a);
    struct place b = choose(line_of(t, fp, 1), rule, now_ns, &busy_b);
    if (a.how <= TAKE_IDLE && b.how <= TAKE_IDLE)
        return busy_b < busy_a ? b : a;
    if (a.how != b.how)
        return a.how < b.how ? a : b;
    return b.owed < a.owed ? b : a;
}

enum insertion { INSERTED, CHANGED, FULL };

static enum insertion insert(struct pc_limit_table *t, const struct pc_limit_rule *rule,
                             uint64_t fp, int64_t now_ns, struct pc_limit_counters *counters,
                             struct found *ret_own)
{
    struct place p = choose_of_both(t, rule, fp, now_ns);
    if (p.how == TAKE_NONE)
        return FULL;
    uint64_t serial =
        __atomic_add_fetch(&t->serials[fp % SERIALS].next, 1, __ATOMIC_RELAXED); /* I2 */
    struct pc_limit_pair tentative = {fp, PC_LIMIT_TENTATIVE | serial};
    if (!pc_limit_swap(p.slot, p.holds, tentative))
        return CHANGED;
    if (p.how == TAKE_EMPTY)
        COUNT(counters, occupied, 1);
    else if (p.how == TAKE_IDLE)
        COUNT(counters, evicted_idle, 1);
    else
        COUNT(counters, evicted_active, 1);
    *ret_own = (struct found){p.slot, tentative.state};
    return INSERTED;
}

/* Whether a tentative slot is the only one of its key now. Any thread may settle any slot. */
static bool settle(struct pc_limit_table *t, uint64_t fp, const struct found *own,
                   struct pc_limit_counters *counters)
{
    PC_ASSERT(is_tentative(own->state));
    for (unsigned which = 0; which < 2; which++) {
        struct line *line = line_of(t, fp, which);
        for (unsigned i = 0; i < PC_LIMIT_SLOTS_PER_LINE; i++) {
            struct pc_limit_slot *s = &line->slot[i];
            uint64_t state;
            if (s == own->slot || pc_limit_load_fp(s) != fp)
                continue;
            if (!read_state(s, fp, &state))
                return false; /* it changes just now: look again */
            if (!is_tentative(state) || s < own->slot) {
                empty_slot(own->slot, fp, own->state, counters);
                return false;
            }
            if (!empty_slot(s, fp, state, counters))
                return false; /* charged meanwhile, or gone */
        }
    }
    return true;
}

/* ---- taking ---- */

/* Charges the key's slot; false: it changed meanwhile. */
static bool charge(const struct pc_limit_rule *rule, uint64_t fp, const struct found *f,
                   int64_t cost, int64_t now_ns, struct pc_limit_result *r)
{
    uint64_t state = f->state;
    pc_limit_evaluate(rule, &state, cost, now_ns, r);
    if (state == f->state)
        return true; /* refused, or nothing to charge; I4 by look_up() */
    return pc_limit_swap(f->slot, (struct pc_limit_pair){fp, f->state},
                         (struct pc_limit_pair){fp, state});
}

/* After a swap that failed, another thread has the line and will want it again at once. Asking for
 * it back as fast as possible makes it travel for every take; who leaves it alone for longer than
 * the journey takes (100 to 500 ns) lets the other do dozens on one. */
static PC_COLD void yield_line(unsigned *failures)
{
    const unsigned steps = PAUSES_FIRST << pc_min_u64((*failures)++, PAUSE_DOUBLINGS_MAX);
    for (unsigned i = 0; i < steps; i++)
        pc_limit_pause();
}

/* Settles a tentative slot and charges it; false: start over. */
static bool charge_first(struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                         const struct found *own, int64_t cost, int64_t now_ns,
                         struct pc_limit_counters *counters, struct pc_limit_result *r)
{
    uint64_t state = 0;
    pc_limit_evaluate(rule, &state, cost, now_ns, r);
    if (!r->allowed || cost <= 0)
        return true; /* refused whatever becomes of the slot: a charge only makes it worse */
    if (!settle(t, fp, own, counters))
        return false;
    return pc_limit_swap(own->slot, (struct pc_limit_pair){fp, own->state},
                         (struct pc_limit_pair){fp, state}); /* I2 */
}

/* A key that is not there owes nothing; a refusal, or no cost, needs no slot. */
static bool passes_unknown(const struct pc_limit_rule *rule, int64_t cost, int64_t now_ns,
                           struct pc_limit_result *r)
{
    uint64_t state = 0;
    pc_limit_evaluate(rule, &state, cost, now_ns, r);
    return r->allowed && cost > 0;
}

enum pc_take pc_limits_take(struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                            int64_t cost, int64_t now_ns, struct pc_limit_counters *counters,
                            struct pc_limit_result *ret_result)
{
    struct pc_limit_result r;
    unsigned failures = 0;
    PC_ASSERT(fp != 0);
    for (;;) {
        struct found f = look_up(t, fp);
        if (PC_LIKELY(f.slot && !is_tentative(f.state))) {
            if (PC_LIKELY(charge(rule, fp, &f, cost, now_ns, &r)))
                break;
            yield_line(&failures);
            continue;
        }
        if (!f.slot) {
            if (!passes_unknown(rule, cost, now_ns, &r))
                break;
            enum insertion done = insert(t, rule, fp, now_ns, counters, &f);
            if (done == FULL) {
                COUNT(counters, no_room, 1);
                *ret_result = (struct pc_limit_result){.limit = rule->burst};
                return PC_TAKE_NO_ROOM;
            }
            if (done == CHANGED)
                continue;
        }
        if (charge_first(t, rule, fp, &f, cost, now_ns, counters, &r))
            break;
    }
    *ret_result = r;
    return r.allowed ? PC_TAKE_ALLOWED : PC_TAKE_REFUSED;
}

void pc_limits_peek(const struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                    int64_t cost, int64_t now_ns, struct pc_limit_result *ret_result)
{
    struct pc_limit_result would;
    struct found f = look_up(t, fp);
    uint64_t state = f.slot && !is_tentative(f.state) ? f.state : 0, same = state;
    pc_limit_evaluate(rule, &state, cost, now_ns, &would);
    pc_limit_evaluate(rule, &same, 0, now_ns, ret_result);
    ret_result->allowed = would.allowed;
    ret_result->retry_after_ns = would.retry_after_ns;
}

void pc_limits_give_back(struct pc_limit_table *t, const struct pc_limit_rule *rule, uint64_t fp,
                         const struct pc_limit_result *taken)
{
    if (!taken->allowed || taken->cost <= 0)
        return;
    for (;;) {
        struct found f = look_up(t, fp);
        if (!f.slot || is_tentative(f.state))
            return; /* evicted or reset meanwhile */
        uint64_t state = pc_limit_undo(rule, f.state, taken);
        if (state == f.state || pc_limit_swap(f.slot, (struct pc_limit_pair){fp, f.state},
                                              (struct pc_limit_pair){fp, state}))
            return;
    }
}

bool pc_limits_reset(struct pc_limit_table *t, uint64_t fp, struct pc_limit_counters *counters)
{
    for (;;) {
        struct found f = look_up(t, fp);
        if (!f.slot)
            return false;
        if (empty_slot(f.slot, fp, f.state, counters))
            return true;
    }
}
