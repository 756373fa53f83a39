/* SPDX-License-Identifier: Apache-2.0
 * Many threads on few keys never admit more than the policy, whatever happens around them: they
 * insert the same keys at the same moment, other keys come and go in the same lines, charges are
 * given back, clocks of threads differ. In a PC_TORTURE build threads yield at random between any
 * two accesses. Canaries break the table's promises through its own interface and must be caught.
 *
 * Every round has its own keys and stands still in time, so that a burst is all that may pass; the
 * oracle counts what each thread was allowed, less what it gave back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "edge/state/limits.h"

#define S  INT64_C(1000000000)
#define T0 (86400 * S)

enum {
    THREADS = 4,
    HOT = 4,   /* keys all threads fight for in a round */
    BURST = 7, /* of each */
    ROUNDS = PC_TORTURE ? 1500 : 6000,
    SHOTS = 24, /* takes of one thread in a round */
};

enum canary { NO_CANARY, RESET_HALFWAY };

struct world {
    struct pc_limit_table *table;
    struct pc_limit_rule rule;
    enum canary canary;
    bool crowd;      /* other keys of the round fill the lines and are pushed out */
    bool late_clock; /* odd threads' clocks are behind */
    pthread_barrier_t barrier;
    _Atomic int64_t admitted[ROUNDS][HOT];
};

struct worker {
    struct world *w;
    unsigned index;
    uint64_t rng;
    struct pc_limit_counters counters;
};

static uint64_t rng(struct worker *me)
{
    me->rng ^= me->rng << 13;
    me->rng ^= me->rng >> 7;
    me->rng ^= me->rng << 17;
    return me->rng;
}

static uint64_t fp_of(uint64_t round, uint64_t key)
{
    uint64_t words[2] = {round, key};
    return pc_limit_fingerprint((const uint8_t *)"0123456789abcdef",
                                pc_bytes_of(words, sizeof words));
}

/* A round lasts no time for threads; between rounds so much passes that all debts are paid. */
static int64_t time_of(const struct worker *me, unsigned round)
{
    int64_t late_ns = me->w->late_clock && me->index % 2 ? S / 2 : 0;
    return T0 + (int64_t)round * 600 * S - late_ns;
}

static void shoot(struct worker *me, unsigned round, unsigned key)
{
    struct world *w = me->w;
    struct pc_limit_result r;
    int64_t cost = 1 + (int64_t)(rng(me) % 2), now_ns = time_of(me, round);
    uint64_t fp = fp_of(round, key);
    if (pc_limits_take(w->table, &w->rule, fp, cost, now_ns, &me->counters, &r) != PC_TAKE_ALLOWED)
        return;
    atomic_fetch_add(&w->admitted[round][key], cost);
    if (rng(me) % 4 == 0) { /* first the oracle: what is given back may be taken at once */
        atomic_fetch_sub(&w->admitted[round][key], cost);
        pc_limits_give_back(w->table, &w->rule, fp, &r);
    }
}

static void crowd(struct worker *me, unsigned round)
{
    struct pc_limit_result r;
    uint64_t key = HOT + rng(me) % 200;
    pc_limits_take(me->w->table, &me->w->rule, fp_of(round, key), 1, time_of(me, round),
                   &me->counters, &r);
}

static void *work(void *arg)
{
    struct worker *me = arg;
    struct world *w = me->w;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&w->barrier);
        for (unsigned i = 0; i < SHOTS; i++) {
            if (w->canary == RESET_HALFWAY && i == SHOTS / 2)
                pc_limits_reset(w->table, fp_of(round, 0), &me->counters);
            if (w->crowd && rng(me) % 2)
                crowd(me, round);
            shoot(me, round, (unsigned)(rng(me) % HOT));
        }
    }
    return NULL;
}

/* How many keys admitted more than the burst; what was given back is never counted as admitted. */
static unsigned overruns(struct world *w, uint64_t max_keys, struct pc_limit_counters *ret_sum)
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    unsigned over = 0;
    assert_int_equal(pc_limits_new(max_keys, &w->table), 0);
    pthread_barrier_init(&w->barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.w = w, .index = i, .rng = 77 + i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ret_sum->occupied += workers[i].counters.occupied;
        ret_sum->evicted_idle += workers[i].counters.evicted_idle;
        ret_sum->evicted_active += workers[i].counters.evicted_active;
        ret_sum->no_room += workers[i].counters.no_room;
    }
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned key = 0; key < HOT; key++)
            over += atomic_load(&w->admitted[round][key]) > BURST;
    pthread_barrier_destroy(&w->barrier);
    pc_limits_free(w->table);
    return over;
}

static struct world *world_of(enum pc_limit_algorithm algorithm, bool fail_closed)
{
    struct world *w = calloc(1, sizeof *w);
    const struct pc_rate rate = {BURST, 600 * S / 4};
    assert_non_null(w);
    assert_int_equal(pc_limit_rule_set(&w->rule, algorithm, &rate, 0, fail_closed, NULL), 0);
    return w;
}

static void check(enum pc_limit_algorithm algorithm, uint64_t max_keys, bool with_crowd)
{
    struct world *w = world_of(algorithm, true);
    struct pc_limit_counters sum = {0};
    w->crowd = with_crowd;
    w->late_clock = with_crowd; /* a window then begins between two clocks */
    assert_int_equal(overruns(w, max_keys, &sum), 0);
    assert_int_equal(sum.evicted_active, 0);
    assert_true(sum.evicted_idle > ROUNDS); /* keys did come and go */
    assert_true((int64_t)sum.occupied > 0);
    free(w);
}

static void gcra_never_admits_more(void **state)
{
    (void)state;
    check(PC_LIMIT_GCRA, 64, false);
}

static void window_never_admits_more(void **state)
{
    (void)state;
    check(PC_LIMIT_WINDOW, 64, false);
}

static void nor_in_a_crowd_that_fills_the_lines(void **state)
{
    (void)state;
    check(PC_LIMIT_GCRA, 96, true);
    check(PC_LIMIT_WINDOW, 96, true);
}

/* When all is over every slot is empty, or some key's only one: each is counted once. */
static void no_slot_is_lost(void **state)
{
    (void)state;
    struct world *w = world_of(PC_LIMIT_GCRA, true);
    struct pc_limit_counters sum = {0};
    assert_int_equal(overruns(w, 64, &sum), 0);
    assert_true(sum.occupied <= 96);
    free(w);
}

static void a_canary_that_forgets_a_key_is_caught(void **state)
{
    (void)state;
    struct world *w = world_of(PC_LIMIT_GCRA, true);
    struct pc_limit_counters sum = {0};
    w->canary = RESET_HALFWAY;
    assert_true(overruns(w, 64, &sum) > 0);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcra_never_admits_more),
        cmocka_unit_test(window_never_admits_more),
        cmocka_unit_test(nor_in_a_crowd_that_fills_the_lines),
        cmocka_unit_test(no_slot_is_lost),
        cmocka_unit_test(a_canary_that_forgets_a_key_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
