/* SPDX-License-Identifier: Apache-2.0
 * One writer changes a table of tiny segments, so that it rebuilds, splits and doubles all the
 * time; readers on other threads hold it to "acknowledged before the lookup began => found", and
 * one more thread exports. The work is bounded, not the time. In a PC_TORTURE build every insert
 * rebuilds its segment and both sides yield at random; under ThreadSanitizer and
 * AddressSanitizer a segment used after its grace period is reported where it happens, elsewhere
 * the checking builds poison it. Canaries acknowledge too early and must be caught.
 *
 * Four families of fingerprints, each with its own oracle:
 *   plain    id i expires at BASE + i; found from its acknowledgement until `floor` passes it
 *   raised   revoked again and again, later each time; found with at least the acknowledged time
 *   toggled  revoked and cleared in turn; while its version does not change, exactly that
 *   never    revoked by nobody; never found */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "edge/state/rcu.h"
#include "edge/state/revocations.h"

#define BASE INT64_C(1800000000000)

enum {
    READERS = 3,
    FAMILY = 16, /* raised, and toggled */
    STEPS = PC_TORTURE    ? 8000
            : PC_RCU_TSAN ? 20000
                          : 160000,
    SEGMENT_ENTRIES = PC_TORTURE ? 32 : 256,
    KEPT = STEPS / 4,          /* plain ids that are not reaped yet */
    CANARY_STEPS = 40 * STEPS, /* by then the canary must have been caught */
};

enum { PLAIN = 1, RAISED, TOGGLED, NEVER };

enum canary { NO_CANARY, ACKNOWLEDGE_BEFORE_REVOKE, ACKNOWLEDGE_BEFORE_RAISE };

/* Written by the writer, read by all, unless said otherwise. */
static struct {
    struct pc_revocations *table;
    enum canary canary;
    _Atomic uint64_t acknowledged; /* plain ids below it */
    _Atomic uint64_t floor;        /* plain ids below it may be reaped */
    _Atomic uint64_t raised[FAMILY];
    _Atomic uint64_t toggled[FAMILY]; /* odd: revoked; even: clear; changing: see toggle() */
    _Atomic bool stop;
    _Atomic uint64_t violations, lookups, exports; /* counted by readers */
} w;

static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static uint64_t fingerprint(unsigned family, uint64_t id)
{
    return hash((uint64_t)family << 56 | id);
}

static void expect(bool holds)
{
    if (!holds)
        atomic_fetch_add(&w.violations, 1);
}

/* ---- the writer ---- */

static void acknowledge(_Atomic uint64_t *what, uint64_t value)
{
    atomic_store_explicit(what, value, memory_order_release);
}

static void revoke_plain(uint64_t id)
{
    if (w.canary == ACKNOWLEDGE_BEFORE_REVOKE) {
        acknowledge(&w.acknowledged, id + 1);
        sched_yield();
    }
    int r = pc_revocations_revoke(w.table, fingerprint(PLAIN, id), BASE + (int64_t)id,
                                  BASE + (int64_t)id, 0);
    assert_int_equal(r, 1);
    acknowledge(&w.acknowledged, id + 1);
}

static void raise_one(uint64_t i, uint64_t step)
{
    if (w.canary == ACKNOWLEDGE_BEFORE_RAISE) {
        acknowledge(&w.raised[i], step);
        sched_yield();
    }
    assert_int_equal(pc_revocations_revoke(w.table, fingerprint(RAISED, i), BASE + (int64_t)step,
                                           INT64_MAX, BASE + (int64_t)step),
                     1);
    acknowledge(&w.raised[i], step);
}

/* Versions 4n+1: revoked, 4n+3: clear; even ones while that changes. */
static void toggle(uint64_t i, uint64_t step)
{
    uint64_t version = atomic_load_explicit(&w.toggled[i], memory_order_relaxed);
    uint64_t fp = fingerprint(TOGGLED, i);
    /* Sequentially consistent, as in a sequence lock: readers that see any effect of the change
     * must not see the old version afterwards. */
    atomic_store(&w.toggled[i], version + 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (version % 4 == 1)
        pc_revocations_clear(w.table, fp, BASE + (int64_t)step, INT64_MAX);
    else
        pc_revocations_revoke(w.table, fp, BASE + (int64_t)step, INT64_MAX, 0);
    acknowledge(&w.toggled[i], version + 2);
}

static void reap_below(uint64_t id)
{
    atomic_store(&w.floor, id);
    atomic_thread_fence(memory_order_seq_cst);
    pc_revocations_reap(w.table, BASE + (int64_t)id, 2000);
}

static void write_all(uint64_t steps)
{
    for (uint64_t i = 0; i < FAMILY; i++) { /* to begin with: raised to 1, clear */
        raise_one(i, 1);
        atomic_store(&w.toggled[i], 3);
    }
    for (uint64_t step = 2; step < steps && atomic_load(&w.violations) == 0; step++) {
        revoke_plain(step - 2);
        if (step % 4 == 0)
            raise_one(step / 4 % FAMILY, step);
        if (step % 4 == 2)
            toggle(step / 4 % FAMILY, step);
        if (step % 16 == 0 && step > KEPT)
            reap_below(step - KEPT);
        if (step % 8 == 0)
            pc_rcu_quiescent();
    }
}

/* ---- readers ---- */

/* Half of the readers' looks go as those of a queue do: what approaching denies is not looked at.
 */
static bool find(uint64_t fp, bool approached, struct pc_revoked *ret_revoked)
{
    if (approached && !pc_revocations_approach(w.table, fp))
        return false;
    return pc_revocations_find(w.table, fp, BASE, ret_revoked);
}

static void look_for_plain(uint64_t x)
{
    uint64_t acknowledged = atomic_load_explicit(&w.acknowledged, memory_order_acquire);
    if (acknowledged == 0)
        return;
    /* Half of the time the newest ones: they are where the writer is. */
    uint64_t back = x & 1 ? x / 2 % 4 : x / 2 % KEPT;
    uint64_t id = acknowledged - 1 - pc_min_u64(back, acknowledged - 1);
    struct pc_revoked r = {0};
    bool found = find(fingerprint(PLAIN, id), x >> 8 & 1, &r);
    atomic_thread_fence(memory_order_seq_cst);
    expect(found || id < atomic_load(&w.floor));
    expect(!found || r.revoked_at_ms == BASE + (int64_t)id || id == 0);
}

static void look_for_raised(uint64_t x)
{
    uint64_t i = x % FAMILY;
    uint64_t acknowledged = atomic_load_explicit(&w.raised[i], memory_order_acquire);
    struct pc_revoked r = {0};
    bool found = find(fingerprint(RAISED, i), x >> 8 & 1, &r);
    expect(acknowledged == 0 || (found && r.revoked_at_ms >= BASE + (int64_t)acknowledged));
}

static void look_for_toggled(uint64_t x)
{
    uint64_t i = x % FAMILY;
    uint64_t before = atomic_load_explicit(&w.toggled[i], memory_order_acquire);
    bool found = find(fingerprint(TOGGLED, i), x >> 8 & 1, NULL);
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t after = atomic_load(&w.toggled[i]);
    if (before == after && before % 2 == 1)
        expect(found == (before % 4 == 1));
}

static void *reader(void *arg)
{
    uint64_t x = (uintptr_t)arg, n = 0;
    pc_rcu_thread_register();
    for (; !atomic_load_explicit(&w.stop, memory_order_relaxed); n++) {
        x = hash(x);
        look_for_plain(x);
        look_for_raised(x >> 16);
        look_for_toggled(x >> 24);
        expect(!pc_revocations_find(w.table, fingerprint(NEVER, x), BASE, NULL));
        if (x >> 56 == 0) { /* as if asleep */
            pc_rcu_offline();
            sched_yield();
            pc_rcu_online();
        } else if (x >> 60 == 1) { /* a turn makes several decisions */
            pc_rcu_quiescent();
        }
        atomic_fetch_add_explicit(&w.lookups, 1, memory_order_relaxed);
    }
    pc_rcu_thread_unregister();
    return NULL;
}

/* ---- the exporter ---- */

/* Notes which plain ids a block holds: an entry's revoked_at says which it is. */
static void note_ids(const uint8_t *block, int64_t size, uint8_t *seen)
{
    const int64_t epoch = INT64_C(1704067200000);
    size_t entry = 8 + 5 * (size_t)block[6];
    for (const uint8_t *p = block + 24; p < block + size; p += entry) {
        uint64_t fp, revoked_at = 0;
        memcpy(&fp, p, 8);
        memcpy(&revoked_at, p + 13, 5);
        int64_t id = epoch + (int64_t)revoked_at - BASE;
        if (id >= 0 && id < CANARY_STEPS && fp == fingerprint(PLAIN, (uint64_t)id))
            seen[id / 8] |= (uint8_t)(1 << id % 8);
    }
}

static void export_once(uint8_t *block, uint8_t *seen)
{
    struct pc_revocations_cursor cursor = {0};
    uint64_t end = atomic_load_explicit(&w.acknowledged, memory_order_acquire);
    int64_t size;
    memset(seen, 0, CANARY_STEPS / 8 + 1);
    while ((size = pc_revocations_export(w.table, &cursor, block, PC_REVOCATIONS_BLOCK_MAX_BYTES)) >
           0) {
        if (block[5] == 0)
            note_ids(block, size, seen);
        pc_rcu_quiescent();
    }
    expect(size == 0);
    atomic_thread_fence(memory_order_seq_cst);
    for (uint64_t id = atomic_load(&w.floor); id < end; id++)
        expect(seen[id / 8] >> id % 8 & 1);
    atomic_fetch_add(&w.exports, 1);
}

static void *exporter(void *arg)
{
    uint8_t *block = malloc(PC_REVOCATIONS_BLOCK_MAX_BYTES), *seen = malloc(CANARY_STEPS / 8 + 1);
    (void)arg;
    pc_rcu_thread_register();
    while (!atomic_load_explicit(&w.stop, memory_order_relaxed))
        export_once(block, seen);
    pc_rcu_thread_unregister();
    free(block);
    free(seen);
    return NULL;
}

/* ---- runs ---- */

static struct pc_revocations_stats run(enum canary canary, bool with_cutoff, uint64_t steps)
{
    pthread_t threads[READERS + 1];
    memset(&w, 0, sizeof w);
    w.canary = canary;
    struct pc_revocations_options options = {.with_cutoff = with_cutoff,
                                             .segment_entries = SEGMENT_ENTRIES};
    assert_int_equal(pc_revocations_new(&options, &w.table), 0);
    for (uintptr_t i = 0; i <= READERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i == READERS ? exporter : reader, (void *)(i + 1)),
            0);
    write_all(steps);
    while (atomic_load(&w.lookups) == 0 || atomic_load(&w.exports) == 0) {
        pc_rcu_quiescent();
        sched_yield();
    }
    atomic_store(&w.stop, true);
    pc_rcu_offline();
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    pc_rcu_online();
    struct pc_revocations_stats s;
    pc_revocations_read_stats(w.table, &s);
    pc_revocations_free(w.table);
    print_message("%lu lookups, %lu exports; %lu rebuilds, %lu splits, %lu doublings\n",
                  (unsigned long)atomic_load(&w.lookups), (unsigned long)atomic_load(&w.exports),
                  (unsigned long)s.rebuilds, (unsigned long)s.splits, (unsigned long)s.doublings);
    return s;
}

static void what_was_acknowledged_is_found_by_every_reader(void **state)
{
    (void)state;
    struct pc_revocations_stats s = run(NO_CANARY, false, STEPS);
    assert_int_equal(atomic_load(&w.violations), 0);
    assert_true(s.rebuilds > 100 && s.splits > 10 && s.doublings > 3);
}

static void what_was_acknowledged_is_found_with_cutoffs_too(void **state)
{
    (void)state;
    struct pc_revocations_stats s = run(NO_CANARY, true, STEPS / 2);
    assert_int_equal(atomic_load(&w.violations), 0);
    assert_true(s.rebuilds > 50 && s.splits > 10 && s.doublings > 3);
}

static void acknowledging_a_revoke_too_early_is_caught(void **state)
{
    (void)state;
    run(ACKNOWLEDGE_BEFORE_REVOKE, false, CANARY_STEPS);
    assert_true(atomic_load(&w.violations) > 0);
}

static void acknowledging_a_raise_too_early_is_caught(void **state)
{
    (void)state;
    run(ACKNOWLEDGE_BEFORE_RAISE, true, CANARY_STEPS);
    assert_true(atomic_load(&w.violations) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_found_by_every_reader),
        cmocka_unit_test(what_was_acknowledged_is_found_with_cutoffs_too),
        cmocka_unit_test(acknowledging_a_revoke_too_early_is_caught),
        cmocka_unit_test(acknowledging_a_raise_too_early_is_caught),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_thread_unregister();
    return failed;
}
