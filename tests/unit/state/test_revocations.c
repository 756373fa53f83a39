/* SPDX-License-Identifier: Apache-2.0
 * The revocation table on one thread: lookups, merging in every order, growth, reaping, limits of
 * memory. Snapshots have their own file; concurrency is in tests/torture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge/state/rcu.h"
#include "edge/state/revocations.h"

/* Where every insert rebuilds, or is watched, fewer do. */
#define SMALL (PC_TORTURE || PC_RCU_TSAN)

#define NOW       INT64_C(1800000000000)
#define NEVER     INT64_MAX
#define UNSET     INT64_MIN
#define Y2024     INT64_C(1704067200000)
#define LAST_TIME (Y2024 + (INT64_C(1) << 40) - 2)

static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static struct pc_revocations *new_table(struct pc_revocations_options options)
{
    struct pc_revocations *t = NULL;
    assert_int_equal(pc_revocations_new(&options, &t), 0);
    return t;
}

static struct pc_revocations_stats stats_of(struct pc_revocations *t)
{
    struct pc_revocations_stats s;
    pc_revocations_read_stats(t, &s);
    return s;
}

/* ---- one entry ---- */

static void an_entry_is_found_until_it_expires_and_not_after(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    struct pc_revoked r = {0};
    assert_false(pc_revocations_find(t, 1, NOW, &r));
    assert_int_equal(pc_revocations_revoke(t, 1, NOW - 5, NOW + 10, 0), 1);
    pc_revocations_prefetch(t, 1);
    assert_true(pc_revocations_find(t, 1, NOW, &r));
    assert_true(r.revoked_at_ms == NOW - 5 && r.expires_at_ms == NOW + 10 && r.cutoff_ms == UNSET);
    assert_true(pc_revocations_find(t, 1, NOW + 10, NULL));
    assert_false(pc_revocations_find(t, 1, NOW + 11, NULL));
    assert_false(pc_revocations_find(t, 2, NOW, NULL));
    pc_revocations_free(t);
}

static void a_cutoff_is_kept_where_the_table_has_them(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){.with_cutoff = true});
    struct pc_revoked r = {0};
    assert_int_equal(pc_revocations_revoke(t, 9, NOW, NOW + 10, NOW + 5000), 1);
    assert_true(pc_revocations_find(t, 9, NOW, &r));
    assert_true(r.cutoff_ms == NOW + 5000);
    assert_int_equal(pc_revocations_revoke(t, 9, NOW, NOW + 10, NOW + 4000), 0);
    assert_int_equal(pc_revocations_revoke(t, 9, NOW, NOW + 10, NOW + 6000), 1);
    assert_true(pc_revocations_find(t, 9, NOW, &r));
    assert_true(r.cutoff_ms == NOW + 6000);
    pc_revocations_free(t);
}

static void times_outside_40_bits_are_held_towards_refusal(void **state)
{
    (void)state;
    const struct {
        int64_t given, kept;
    } rows[] = {
        {NEVER,         NEVER    },
        {LAST_TIME + 1, NEVER    },
        {LAST_TIME,     LAST_TIME},
        {Y2024 + 1,     Y2024 + 1},
        {Y2024,         Y2024 + 1},
        {0,             Y2024 + 1},
        {-1,            Y2024 + 1},
        {NEVER - 1,     NEVER    },
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_revocations *t = new_table((struct pc_revocations_options){.with_cutoff = true});
        struct pc_revoked r = {0};
        pc_revocations_revoke(t, i, rows[i].given, rows[i].given, rows[i].given);
        assert_true(pc_revocations_find(t, i, rows[i].given, &r));
        assert_true(r.revoked_at_ms == rows[i].kept && r.cutoff_ms == rows[i].kept);
        assert_true(r.expires_at_ms == rows[i].kept);
        assert_int_equal(pc_revocations_find(t, i, NEVER, NULL), rows[i].kept == NEVER);
        pc_revocations_free(t);
    }
}

static void fingerprints_of_any_bits_are_entries_like_others(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    const uint64_t odd[] = {0, 1, 2, 0xff, 0x100, UINT64_MAX, UINT64_MAX - 1, 1ull << 63};
    for (size_t i = 0; i < PC_COUNT(odd); i++) {
        assert_false(pc_revocations_find(t, odd[i], NOW, NULL));
        assert_int_equal(pc_revocations_revoke(t, odd[i], NOW, NOW, 0), 1);
        for (size_t j = 0; j <= i; j++)
            assert_true(pc_revocations_find(t, odd[j], NOW, NULL));
    }
    assert_int_equal(stats_of(t).entries, PC_COUNT(odd));
    pc_revocations_free(t);
}

/* ---- merging: every order gives the same (R1) ---- */

struct op {
    bool clear;
    int64_t at, expires, cutoff;
};

/* The whole definition of R1. */
struct model {
    int64_t revoked_at, cleared_at, expires, cutoff;
};

static const struct model nothing = {UNSET, UNSET, UNSET, UNSET};

static void model_apply(struct model *m, const struct op *op)
{
    m->expires = pc_max_i64(m->expires, op->expires);
    if (op->clear) {
        m->cleared_at = pc_max_i64(m->cleared_at, op->at);
        return;
    }
    m->revoked_at = pc_max_i64(m->revoked_at, op->at);
    m->cutoff = pc_max_i64(m->cutoff, op->cutoff);
}

static bool model_refuses(const struct model *m)
{
    return m->revoked_at != UNSET && m->revoked_at >= m->cleared_at;
}

static void apply(struct pc_revocations *t, uint64_t fp, const struct op *op)
{
    int r = op->clear ? pc_revocations_clear(t, fp, op->at, op->expires)
                      : pc_revocations_revoke(t, fp, op->at, op->expires, op->cutoff);
    assert_true(r >= 0);
}

static void expect_state(struct pc_revocations *t, uint64_t fp, const struct model *m, bool cutoffs)
{
    struct pc_revocation_state s;
    struct pc_revoked r;
    assert_true(pc_revocations_state(t, fp, &s));
    assert_true(s.revoked_at_ms == m->revoked_at && s.cleared_at_ms == m->cleared_at);
    assert_true(s.expires_at_ms == m->expires && s.cutoff_ms == (cutoffs ? m->cutoff : UNSET));
    assert_int_equal(s.refused, model_refuses(m));
    assert_int_equal(pc_revocations_find(t, fp, NOW, &r), s.refused && m->expires >= NOW);
    assert_true(pc_revocations_approach(t, fp) || !s.refused);
    if (s.refused && m->expires >= NOW) {
        assert_true(r.revoked_at_ms == m->revoked_at && r.expires_at_ms == m->expires);
        assert_true(r.cutoff_ms == (cutoffs ? m->cutoff : UNSET));
    }
}

/* Applies all permutations of ops (Heap's algorithm), each to a fingerprint of its own, and
 * compares after every step. */
static void expect_all_orders_agree(struct pc_revocations *t, const struct op *ops, unsigned n,
                                    bool cutoffs, uint64_t *fp)
{
    unsigned order[8], c[8] = {0}, i = 0;
    assert_true(n <= PC_COUNT(order));
    for (unsigned k = 0; k < n; k++)
        order[k] = k;
    for (bool more = true; more;) {
        struct model m = nothing;
        uint64_t id = hash(++*fp);
        for (unsigned k = 0; k < n; k++) {
            apply(t, id, &ops[order[k]]);
            model_apply(&m, &ops[order[k]]);
            expect_state(t, id, &m, cutoffs);
        }
        while (i < n && c[i] >= i)
            c[i++] = 0;
        more = i < n;
        if (more) {
            unsigned a = i % 2 ? c[i] : 0, swap = order[a];
            order[a] = order[i];
            order[i] = swap;
            c[i]++;
            i = 0;
        }
    }
}

static void revoke_clear_newer_revoke_and_replays_agree_in_every_order(void **state)
{
    (void)state;
    const struct op sets[][6] = {
  /* revoke, clear, newer revoke with a shorter expiry, and replays of each */
        {{false, 100, NOW + 90, 100},
         {true, 200, NOW + 50, 0},
         {false, 300, NOW + 10, 50},
         {false, 100, NOW + 90, 100},
         {true, 200, NOW + 50, 0},
         {false, 300, NOW + 10, 50} },
 /* the clear is newest */
        {{false, 100, NOW + 90, 100},
         {false, 150, NOW + 95, 90},
         {true, 200, NOW + 50, 0},
         {false, 100, NOW + 90, 100},
         {true, 120, NOW + 50, 0},
         {false, 110, NOW + 99, 300}},
 /* ties refuse */
        {{false, 200, NOW + 90, 100},
         {true, 200, NOW + 50, 0},
         {false, 100, NOW + 10, 500},
         {true, 100, NOW + 200, 0},
         {true, 200, NOW, 0},
         {false, 200, NOW + 10, 50} },
 /* expired, never, and a clear long before */
        {{false, 100, NOW - 1, 100},
         {true, 50, NOW - 2, 0},
         {false, 100, NOW - 3, 7},
         {true, 101, NOW - 1, 0},
         {false, 101, NEVER, NEVER},
         {true, 99, NOW, 0}         },
    };
    for (int cutoffs = 0; cutoffs < 2; cutoffs++) {
        struct pc_revocations *t = new_table(
            (struct pc_revocations_options){.with_cutoff = cutoffs, .segment_entries = 256});
        uint64_t fp = 0;
        for (size_t i = 0; i < PC_COUNT(sets); i++) {
            struct op ops[6];
            for (unsigned k = 0; k < 6; k++) {
                ops[k] = sets[i][k];
                ops[k].at += NOW - 1000;
                ops[k].cutoff = ops[k].clear             ? UNSET
                                : ops[k].cutoff == NEVER ? NEVER
                                                         : ops[k].cutoff + NOW;
            }
            expect_all_orders_agree(t, ops, 6, cutoffs, &fp);
            pc_rcu_quiescent();
        }
        pc_revocations_free(t);
    }
}

static void a_change_that_raises_nothing_says_so(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    assert_int_equal(pc_revocations_revoke(t, 5, NOW, NOW + 9, 0), 1);
    uint64_t used = stats_of(t).used;
    for (int i = 0; i < 10; i++)
        assert_int_equal(pc_revocations_revoke(t, 5, NOW - i, NOW + 9 - i, 0), 0);
    assert_int_equal(stats_of(t).used, used);
    assert_int_equal(pc_revocations_clear(t, 5, NOW - 1, NOW), 1); /* remembered, still refused */
    assert_true(pc_revocations_find(t, 5, NOW, NULL));
    assert_int_equal(pc_revocations_clear(t, 5, NOW - 1, NOW), 0);
    assert_int_equal(pc_revocations_clear(t, 5, NOW + 1, NOW), 1);
    assert_false(pc_revocations_find(t, 5, NOW, NULL));
    assert_int_equal(pc_revocations_revoke(t, 5, NOW, NOW + 9, 0), 0);
    assert_int_equal(stats_of(t).entries, 0);
    assert_int_equal(stats_of(t).cleared, 1);
    pc_revocations_free(t);
}

static void raising_one_entry_again_and_again_does_not_fill_the_table(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){.with_cutoff = true});
    for (uint64_t i = 0; i < 2000; i++)
        pc_revocations_revoke(t, hash(i), NOW, NOW + 1, NOW);
    for (int i = 0; i < (SMALL ? 3000 : 50000); i++) {
        assert_int_equal(pc_revocations_revoke(t, hash(7), NOW + i, NOW + i, NOW + i + 1), 1);
        pc_rcu_quiescent();
    }
    struct pc_revoked r;
    assert_true(pc_revocations_find(t, hash(7), NOW, &r));
    assert_true(r.cutoff_ms == NOW + (SMALL ? 3000 : 50000));
    assert_int_equal(stats_of(t).entries, 2000);
    assert_true(stats_of(t).slots < 10000);
    pc_revocations_free(t);
}

/* ---- many entries ---- */

static void thousands_of_entries_are_found_and_others_are_not(void **state)
{
    (void)state;
    const uint64_t n = SMALL ? 2000 : 120000;
    struct pc_revocations *t =
        new_table((struct pc_revocations_options){.segment_entries = SMALL ? 64 : 2000});
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(pc_revocations_revoke(t, hash(i), NOW + (int64_t)i, NEVER, 0), 1);
        assert_true(pc_revocations_find(t, hash(i), NOW, NULL));
        if (i % 64 == 0)
            pc_rcu_quiescent();
    }
    for (uint64_t i = 0; i < n; i++) {
        struct pc_revoked r;
        assert_true(pc_revocations_find(t, hash(i), NOW, &r));
        assert_true(r.revoked_at_ms == NOW + (int64_t)i && r.expires_at_ms == NEVER);
        assert_false(pc_revocations_find(t, hash(n + i), NOW, NULL));
    }
    struct pc_revocations_stats s = stats_of(t);
    assert_int_equal(s.entries, n);
    assert_true(s.segments > 16 && s.splits == s.segments - 1 && s.doublings == s.directory_bits);
    assert_int_equal(s.rebuilds_put_off, 0);
    pc_revocations_free(t);
}

static void random_changes_agree_with_a_naive_model(void **state)
{
    (void)state;
    enum { IDS = 3000, STEPS = SMALL ? 6000 : 60000 };
    static struct model model[IDS];
    for (int cutoffs = 0; cutoffs < 2; cutoffs++) {
        struct pc_revocations *t = new_table(
            (struct pc_revocations_options){.with_cutoff = cutoffs, .segment_entries = 128});
        for (unsigned i = 0; i < IDS; i++)
            model[i] = nothing;
        for (uint64_t step = 0; step < STEPS; step++) {
            uint64_t x = hash(step * 2 + (uint64_t)cutoffs);
            unsigned id = (unsigned)(x % IDS);
            struct op op = {.clear = x >> 32 & 1,
                            .at = NOW + (int64_t)(x >> 40 & 15),
                            .expires = NOW + (int64_t)(x >> 48 & 15),
                            .cutoff = NOW + (int64_t)(x >> 52 & 15)};
            op.cutoff = op.clear ? UNSET : op.cutoff;
            apply(t, hash(id), &op);
            model_apply(&model[id], &op);
            expect_state(t, hash(id), &model[id], cutoffs);
            if (step % 64 == 0)
                pc_rcu_quiescent();
        }
        unsigned refused = 0;
        for (unsigned i = 0; i < IDS; i++) {
            if (model[i].expires != UNSET)
                expect_state(t, hash(i), &model[i], cutoffs);
            refused += model_refuses(&model[i]);
        }
        assert_int_equal(stats_of(t).entries, refused);
        pc_revocations_free(t);
    }
}

/* Whoever is refused at any time is approached as such: it is the look-up that may say no. Those
 * that are not are mostly told apart by their tags alone. */
static void approaching_tells_most_of_the_absent_and_none_of_the_present(void **state)
{
    (void)state;
    const unsigned n = SMALL ? 1000 : 60000;
    for (int cutoffs = 0; cutoffs < 2; cutoffs++) {
        struct pc_revocations *t = new_table((struct pc_revocations_options){
            .with_cutoff = cutoffs, .segment_entries = SMALL ? 64 : 2000});
        unsigned absent_but_worth_a_look = 0;
        assert_false(pc_revocations_approach(t, hash(0)));
        for (unsigned i = 0; i < n; i++) {
            pc_revocations_revoke(t, hash(i), NOW, i % 2 ? NOW - 1 : NEVER, NOW);
            assert_true(pc_revocations_approach(t, hash(i)));
            if (i % 64 == 0)
                pc_rcu_quiescent();
        }
        for (unsigned i = 0; i < n; i += 3)
            pc_revocations_clear(t, hash(i), NOW + 1, NEVER);
        pc_revocations_reap(t, NOW, UINT32_MAX);
        for (unsigned i = 0; i < n; i++) {
            bool refused = i % 3 != 0 && i % 2 == 0; /* not cleared, and never expires */
            assert_int_equal(pc_revocations_find(t, hash(i), INT64_MIN, NULL), refused);
            assert_true(pc_revocations_approach(t, hash(i)) || !refused);
            absent_but_worth_a_look += pc_revocations_approach(t, hash(n + i));
        }
        assert_true(absent_but_worth_a_look < n / 5);
        pc_revocations_free(t);
    }
}

/* ---- reaping ---- */

static void reaping_removes_what_expired_before_and_nothing_else(void **state)
{
    (void)state;
    const unsigned n = SMALL ? 500 : 20000;
    struct pc_revocations *t = new_table((struct pc_revocations_options){.segment_entries = 500});
    for (unsigned i = 0; i < n; i++) { /* a third each: expired, at the border, never */
        int64_t expiry = i % 3 == 0 ? NOW - 1 : i % 3 == 1 ? NOW : NEVER;
        pc_revocations_revoke(t, hash(i), NOW - 100, expiry, 0);
        pc_rcu_quiescent();
    }
    pc_revocations_clear(t, hash(n + 1), NOW, NOW - 1);
    pc_revocations_clear(t, hash(n + 2), NOW, NOW);
    assert_int_equal(pc_revocations_reap(t, INT64_MIN, UINT32_MAX), 0);
    assert_int_equal(pc_revocations_reap(t, NOW, UINT32_MAX), (n + 2) / 3 + 1);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pc_revocations_find(t, hash(i), INT64_MIN, NULL), i % 3 != 0);
    struct pc_revocation_state s;
    assert_false(pc_revocations_state(t, hash(n + 1), &s));
    assert_true(pc_revocations_state(t, hash(n + 2), &s));
    assert_int_equal(pc_revocations_reap(t, NEVER, UINT32_MAX), (n + 1) / 3 + 1);
    assert_int_equal(stats_of(t).entries, n / 3);
    assert_int_equal(stats_of(t).cleared, 0);
    pc_revocations_free(t);
}

static void an_entry_with_copies_is_reaped_by_its_latest_expiry(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    pc_revocations_revoke(t, 77, NOW, NOW - 10, 0);
    pc_revocations_revoke(t, 77, NOW, NOW + 10, 0);
    assert_int_equal(pc_revocations_reap(t, NOW, UINT32_MAX), 0);
    assert_true(pc_revocations_find(t, 77, NOW, NULL));
    assert_int_equal(pc_revocations_reap(t, NOW + 11, UINT32_MAX), 1);
    assert_false(pc_revocations_find(t, 77, INT64_MIN, NULL));
    assert_int_equal(stats_of(t).entries, 0);
    pc_revocations_free(t);
}

static void reaping_in_small_steps_comes_round_and_gives_memory_back(void **state)
{
    (void)state;
    const unsigned n = SMALL ? 1000 : 400000;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    for (unsigned i = 0; i < n; i++) {
        pc_revocations_revoke(t, hash(i), NOW, NOW + 1, 0);
        if (i % 64 == 0)
            pc_rcu_quiescent();
    }
    uint64_t removed = 0, calls = 0;
    uint64_t before = stats_of(t).resident_bytes;
    while (stats_of(t).reap_passes == 0) {
        removed += pc_revocations_reap(t, NOW + 2, 1000);
        pc_rcu_quiescent();
        calls++;
    }
    assert_int_equal(removed, n);
    assert_true(calls >= stats_of(t).segments);
    pc_rcu_barrier();
    pc_revocations_reap(t, INT64_MIN, 0);
    assert_int_equal(stats_of(t).retired_bytes, 0);
    assert_true(SMALL || stats_of(t).resident_bytes < before);
    assert_true(PC_TORTURE || stats_of(t).used_bytes <= (stats_of(t).segments + 2) * (16 << 10));
    pc_revocations_free(t);
}

/* ---- when memory is short ---- */

static void at_the_memory_limit_changes_fail_and_nothing_is_lost(void **state)
{
    (void)state;
    if (PC_TORTURE)
        return; /* a grace period per insert takes minutes */
    struct pc_revocations *t =
        new_table((struct pc_revocations_options){.memory_limit_bytes = (size_t)2 << 20});
    assert_true(pc_revocations_has_room(t, 0));
    assert_false(pc_revocations_has_room(t, 100000));
    uint64_t n = 0;
    int r = 1;
    for (; r == 1 && n < 200000; n++) {
        r = pc_revocations_revoke(t, hash(n), NOW, NOW, 0);
        if (stats_of(t).retired_bytes) {
            pc_rcu_barrier();
            pc_revocations_reap(t, INT64_MIN, 0); /* takes in what came back */
        }
    }
    assert_int_equal(r, -ENOMEM);
    assert_false(pc_revocations_has_room(t, 1));
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(pc_revocations_find(t, hash(i), NOW, NULL), i < n - 1);
    assert_true(n > 40000 && stats_of(t).rebuilds_put_off > 0);
    /* A merge needs a slot too, but a clear that finds one entry's memory in `side` works. */
    assert_true(pc_revocations_clear(t, hash(0), NOW + 1, NOW) >= 0);
    assert_false(pc_revocations_find(t, hash(0), NOW, NULL));
    assert_true(pc_revocations_reap(t, NOW + 1, UINT32_MAX) >= n - 2);
    pc_revocations_free(t);
}

static void while_no_grace_period_ends_rebuilds_are_put_off(void **state)
{
    (void)state;
    struct pc_revocations *t =
        new_table((struct pc_revocations_options){.retired_limit_bytes = (size_t)256 << 10});
    uint64_t n = 0;
    int r = 1;
    while (r == 1) /* this thread is online and never quiescent */
        r = pc_revocations_revoke(t, hash(n++), NOW, NOW, 0);
    assert_int_equal(r, PC_E_FULL);
    assert_true(PC_TORTURE || stats_of(t).rebuilds_put_off > 0);
    assert_false(pc_revocations_has_room(t, 1));
    for (uint64_t i = 0; i + 1 < n; i++)
        assert_true(pc_revocations_find(t, hash(i), NOW, NULL));
    pc_rcu_barrier();
    pc_revocations_reap(t, INT64_MIN, 1);
    assert_true(pc_revocations_has_room(t, 1));
    assert_int_equal(pc_revocations_revoke(t, hash(n - 1), NOW, NOW, 0), 1);
    pc_revocations_free(t);
}

static void fingerprints_that_share_too_much_are_refused_not_lost(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){.segment_entries = 16});
    unsigned n = 0;
    int r = 1;
    while (r == 1 && n < 2000) { /* no directory tells them apart */
        r = pc_revocations_revoke(t, hash(n++) >> 20, NOW, NOW, 0);
        pc_rcu_quiescent();
    }
    assert_int_equal(r, PC_E_FULL);
    for (unsigned i = 0; i + 1 < n; i++)
        assert_true(pc_revocations_find(t, hash(i) >> 20, NOW, NULL));
    pc_revocations_free(t);
}

/* ---- ownership ---- */

#if !PC_RCU_TSAN
static void *change_from_another_thread(void *arg)
{
    pc_rcu_thread_register();
    pc_revocations_revoke(arg, 1, NOW, NOW, 0);
    return NULL;
}

static void a_second_writer_thread_is_stopped(void **state)
{
    (void)state;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    pc_revocations_revoke(t, 1, NOW, NOW, 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        if (pthread_create(&thread, NULL, change_from_another_thread, t) == 0)
            pthread_join(thread, NULL);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pc_revocations_free(t);
}
#endif

static void *change_and_leave(void *arg)
{
    pc_rcu_thread_register();
    pc_revocations_revoke(arg, 2, NOW, NOW, 0);
    pc_revocations_disown(arg);
    pc_rcu_thread_unregister();
    return NULL;
}

static void a_disowned_table_takes_its_next_writer(void **state)
{
    (void)state;
    pthread_t thread;
    struct pc_revocations *t = new_table((struct pc_revocations_options){0});
    pc_revocations_revoke(t, 1, NOW, NOW, 0);
    pc_revocations_disown(t);
    assert_int_equal(pthread_create(&thread, NULL, change_and_leave, t), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pc_revocations_revoke(t, 3, NOW, NOW, 0);
    assert_int_equal(stats_of(t).entries, 3);
    pc_revocations_free(t);
}

static int set_up(void **state)
{
    (void)state;
    pc_rcu_thread_register();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pc_rcu_thread_unregister();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_found_until_it_expires_and_not_after),
        cmocka_unit_test(a_cutoff_is_kept_where_the_table_has_them),
        cmocka_unit_test(times_outside_40_bits_are_held_towards_refusal),
        cmocka_unit_test(fingerprints_of_any_bits_are_entries_like_others),
        cmocka_unit_test(revoke_clear_newer_revoke_and_replays_agree_in_every_order),
        cmocka_unit_test(a_change_that_raises_nothing_says_so),
        cmocka_unit_test(raising_one_entry_again_and_again_does_not_fill_the_table),
        cmocka_unit_test(thousands_of_entries_are_found_and_others_are_not),
        cmocka_unit_test(random_changes_agree_with_a_naive_model),
        cmocka_unit_test(approaching_tells_most_of_the_absent_and_none_of_the_present),
        cmocka_unit_test(reaping_removes_what_expired_before_and_nothing_else),
        cmocka_unit_test(an_entry_with_copies_is_reaped_by_its_latest_expiry),
        cmocka_unit_test(reaping_in_small_steps_comes_round_and_gives_memory_back),
        cmocka_unit_test(at_the_memory_limit_changes_fail_and_nothing_is_lost),
        cmocka_unit_test(while_no_grace_period_ends_rebuilds_are_put_off),
        cmocka_unit_test(fingerprints_that_share_too_much_are_refused_not_lost),
#if !PC_RCU_TSAN
        cmocka_unit_test(a_second_writer_thread_is_stopped),
#endif
        cmocka_unit_test(a_disowned_table_takes_its_next_writer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
