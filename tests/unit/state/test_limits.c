/* SPDX-License-Identifier: Apache-2.0
 * The limit table: both algorithms, what is exact about the answers, giving back, forgetting, and
 * who is pushed out when there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/limits.h"

#define MS INT64_C(1000000)
#define S  (1000 * MS)
#define T0 (12345 * S)

static struct pc_limit_rule rule_of(enum pc_limit_algorithm algorithm, const char *rate,
                                    int64_t burst, bool fail_closed)
{
    struct pc_limit_rule rule;
    struct pc_rate parsed;
    assert_int_equal(pc_rate_parse(pc_bytes_str(rate), &parsed, NULL), 0);
    assert_int_equal(pc_limit_rule_set(&rule, algorithm, &parsed, burst, fail_closed, NULL), 0);
    return rule;
}

struct rig {
    struct pc_limit_table *table;
    struct pc_limit_counters counters;
    struct pc_limit_result r;
};

static struct rig rig_of(uint64_t max_keys)
{
    struct rig rig = {0};
    assert_int_equal(pc_limits_new(max_keys, &rig.table), 0);
    return rig;
}

static enum pc_take take(struct rig *rig, const struct pc_limit_rule *rule, uint64_t key,
                         int64_t cost, int64_t now_ns)
{
    struct pc_bytes text = pc_bytes_of(&key, sizeof key);
    uint64_t fp = pc_limit_fingerprint((const uint8_t *)"0123456789abcdef", text);
    return pc_limits_take(rig->table, rule, fp, cost, now_ns, &rig->counters, &rig->r);
}

static uint64_t fp_of(uint64_t key)
{
    return pc_limit_fingerprint((const uint8_t *)"0123456789abcdef", pc_bytes_of(&key, sizeof key));
}

static void a_burst_passes_then_the_rate_holds(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "60/min", 5, false);
    struct rig g = rig_of(100);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(take(&g, &rule, 1, 1, T0), PC_TAKE_ALLOWED);
        assert_int_equal(g.r.limit, 5);
        assert_int_equal(g.r.remaining, 4 - i);
        assert_int_equal(g.r.reset_ns, (i + 1) * S);
        assert_int_equal(g.r.retry_after_ns, 0);
    }
    assert_int_equal(take(&g, &rule, 1, 1, T0), PC_TAKE_REFUSED);
    assert_int_equal(g.r.remaining, 0);
    assert_int_equal(g.r.reset_ns, 5 * S);
    assert_int_equal(g.r.retry_after_ns, 1 * S);
    assert_int_equal(take(&g, &rule, 1, 1, T0 + S - 1), PC_TAKE_REFUSED);
    assert_int_equal(g.r.retry_after_ns, 1);
    assert_int_equal(take(&g, &rule, 1, 1, T0 + S), PC_TAKE_ALLOWED);
    assert_int_equal(take(&g, &rule, 2, 1, T0), PC_TAKE_ALLOWED);
    assert_int_equal(g.counters.occupied, 2);
    pc_limits_free(g.table);
}

static void a_period_that_does_not_divide_never_gives_more(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "7/min", 1, false);
    struct rig g = rig_of(100);
    int64_t now_ns = T0;
    assert_int_equal(rule.interval_ns, 8571428572);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(take(&g, &rule, 1, 1, now_ns), PC_TAKE_ALLOWED);
        assert_int_equal(take(&g, &rule, 1, 1, now_ns), PC_TAKE_REFUSED);
        now_ns += g.r.retry_after_ns;
    }
    assert_true(now_ns - T0 >= 8 * (60 * S / 7));
    pc_limits_free(g.table);
}

static void a_window_counts_what_the_one_before_still_covers(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_WINDOW, "10/min", 0, false);
    struct rig g = rig_of(100);
    int64_t begin_ns = 1000 * 60 * S;
    assert_int_equal(take(&g, &rule, 1, 8, begin_ns + 30 * S), PC_TAKE_ALLOWED);
    assert_int_equal(g.r.remaining, 2);
    assert_int_equal(g.r.reset_ns, 90 * S);
    assert_int_equal(take(&g, &rule, 1, 3, begin_ns + 30 * S), PC_TAKE_REFUSED);
    /* 8 of the window before weigh 7 when an eighth of the next one has passed. */
    assert_int_equal(g.r.retry_after_ns, 30 * S + 60 * S / 8);
    assert_int_equal(take(&g, &rule, 1, 3, begin_ns + 60 * S + 60 * S / 8 - 1), PC_TAKE_REFUSED);
    assert_int_equal(g.r.retry_after_ns, 1);
    assert_int_equal(take(&g, &rule, 1, 3, begin_ns + 60 * S + 60 * S / 8), PC_TAKE_ALLOWED);
    assert_int_equal(g.r.remaining, 0);
    assert_int_equal(take(&g, &rule, 1, 0, begin_ns + 179 * S), PC_TAKE_ALLOWED);
    assert_int_equal(g.r.remaining, 9); /* a sixtieth of 3, rounded up */
    assert_int_equal(take(&g, &rule, 1, 10, begin_ns + 180 * S), PC_TAKE_ALLOWED);
    pc_limits_free(g.table);
}

static void a_cost_above_the_limit_never_passes(void **state)
{
    (void)state;
    static const enum pc_limit_algorithm both[] = {PC_LIMIT_GCRA, PC_LIMIT_WINDOW};
    for (unsigned i = 0; i < PC_COUNT(both); i++) {
        struct pc_limit_rule rule = rule_of(both[i], "10/min", 0, false);
        struct rig g = rig_of(100);
        assert_int_equal(take(&g, &rule, 1, 11, T0), PC_TAKE_REFUSED);
        assert_true(g.r.retry_after_ns == PC_LIMIT_NEVER);
        assert_int_equal(g.r.remaining, 10);
        assert_int_equal(take(&g, &rule, 1, INT64_MAX, T0), PC_TAKE_REFUSED);
        assert_int_equal(g.counters.occupied, 0);
        pc_limits_free(g.table);
    }
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "10/min", 0, false);
    struct rig g = rig_of(100);
    assert_int_equal(take(&g, &rule, 1, 0, T0), PC_TAKE_ALLOWED);
    assert_int_equal(g.r.remaining, 10);
    assert_int_equal(g.r.reset_ns, 0);
    take(&g, &rule, 1, 4, T0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take(&g, &rule, 1, 0, T0), PC_TAKE_ALLOWED);
        assert_int_equal(g.r.remaining, 6);
        pc_limits_peek(g.table, &rule, fp_of(1), 7, T0, &g.r);
        assert_false(g.r.allowed);
        assert_int_equal(g.r.remaining, 6);
        assert_int_equal(g.r.retry_after_ns, 6 * S);
        pc_limits_peek(g.table, &rule, fp_of(1), 6, T0, &g.r);
        assert_true(g.r.allowed);
        assert_int_equal(g.r.remaining, 6);
    }
    pc_limits_peek(g.table, &rule, fp_of(2), 1, T0, &g.r);
    assert_true(g.r.allowed);
    assert_int_equal(g.counters.occupied, 1);
    pc_limits_free(g.table);
}

static void what_is_given_back_can_be_taken_again(void **state)
{
    (void)state;
    static const enum pc_limit_algorithm both[] = {PC_LIMIT_GCRA, PC_LIMIT_WINDOW};
    for (unsigned i = 0; i < PC_COUNT(both); i++) {
        struct pc_limit_rule rule = rule_of(both[i], "10/min", 0, false);
        struct rig g = rig_of(100);
        assert_int_equal(take(&g, &rule, 1, 4, T0), PC_TAKE_ALLOWED);
        assert_int_equal(take(&g, &rule, 1, 5, T0), PC_TAKE_ALLOWED);
        struct pc_limit_result taken = g.r;
        assert_int_equal(take(&g, &rule, 1, 2, T0), PC_TAKE_REFUSED);
        pc_limits_give_back(g.table, &rule, fp_of(1), &g.r); /* nothing was taken */
        pc_limits_give_back(g.table, &rule, fp_of(1), &taken);
        assert_int_equal(take(&g, &rule, 1, 0, T0), PC_TAKE_ALLOWED);
        assert_int_equal(g.r.remaining, 6);
        pc_limits_give_back(g.table, &rule, fp_of(2), &taken); /* an unknown key */
        pc_limits_free(g.table);
    }
}

static void giving_back_finds_the_window_it_was_taken_in(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_WINDOW, "10/min", 0, false);
    struct rig g = rig_of(100);
    int64_t begin_ns = 1000 * 60 * S;
    take(&g, &rule, 1, 4, begin_ns + 59 * S);
    struct pc_limit_result taken = g.r;
    take(&g, &rule, 1, 1, begin_ns + 60 * S);
    pc_limits_give_back(g.table, &rule, fp_of(1), &taken);
    take(&g, &rule, 1, 0, begin_ns + 60 * S);
    assert_int_equal(g.r.remaining, 9);
    take(&g, &rule, 1, 1, begin_ns + 180 * S);
    pc_limits_give_back(g.table, &rule, fp_of(1), &taken); /* long gone */
    take(&g, &rule, 1, 0, begin_ns + 180 * S);
    assert_int_equal(g.r.remaining, 9);
    pc_limits_free(g.table);
}

static void a_key_that_was_reset_begins_anew(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "3/h", 0, true);
    struct rig g = rig_of(100);
    take(&g, &rule, 1, 3, T0);
    assert_int_equal(take(&g, &rule, 1, 1, T0), PC_TAKE_REFUSED);
    assert_true(pc_limits_reset(g.table, fp_of(1), &g.counters));
    assert_false(pc_limits_reset(g.table, fp_of(1), &g.counters));
    assert_int_equal(g.counters.occupied, 0);
    assert_int_equal(take(&g, &rule, 1, 3, T0), PC_TAKE_ALLOWED);
    pc_limits_free(g.table);
}

static void strict_mode_lets_one_decision_pass(void **state)
{
    (void)state;
    static const enum pc_limit_algorithm algorithms[] = {PC_LIMIT_GCRA, PC_LIMIT_WINDOW};
    struct rig g = rig_of(100);
    for (unsigned i = 0; i < PC_COUNT(algorithms); i++) {
        struct pc_limit_rule rule = rule_of(algorithms[i], "50/h", 0, true);
        struct pc_limit_rule half = pc_limit_rule_halved(&rule, 40);
        assert_int_equal(half.burst, 40);
        assert_int_equal(half.count, algorithms[i] == PC_LIMIT_GCRA ? 25 : 40);
        assert_int_equal(take(&g, &half, 1 + i, 40, T0), PC_TAKE_ALLOWED);
        assert_int_equal(take(&g, &half, 1 + i, 40, T0), PC_TAKE_REFUSED);
    }
    pc_limits_free(g.table);
}

static void strict_mode_halves_but_never_below_one(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "60/min", 0, false);
    struct pc_limit_rule half = pc_limit_rule_halved(&rule, 1);
    assert_int_equal(half.burst, 30);
    assert_int_equal(half.interval_ns, 2 * S);
    assert_int_equal(half.tolerance_ns, rule.tolerance_ns);
    rule = rule_of(PC_LIMIT_WINDOW, "3/h", 0, true);
    half = pc_limit_rule_halved(&rule, 1);
    assert_int_equal(half.count, 1);
    assert_true(half.fail_closed);
    half = pc_limit_rule_halved(&half, 1);
    assert_int_equal(half.count, 1);
    assert_int_equal(half.burst, 1);
    /* What was taken before counts on: 3 of 3 are more than 1. */
    struct rig g = rig_of(100);
    take(&g, &rule, 1, 3, T0);
    assert_int_equal(take(&g, &half, 1, 1, T0), PC_TAKE_REFUSED);
    assert_int_equal(g.r.remaining, 0);
    int64_t later_ns = T0 + g.r.retry_after_ns;
    assert_int_equal(take(&g, &half, 1, 1, later_ns - 1), PC_TAKE_REFUSED);
    assert_int_equal(take(&g, &half, 1, 1, later_ns), PC_TAKE_ALLOWED);
    pc_limits_free(g.table);
}

static void a_thread_whose_clock_is_behind_is_not_given_more(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_WINDOW, "2/s", 0, false);
    struct rig g = rig_of(100);
    int64_t begin_ns = 1000 * S;
    assert_int_equal(take(&g, &rule, 1, 2, begin_ns), PC_TAKE_ALLOWED);
    assert_int_equal(take(&g, &rule, 1, 1, begin_ns - 300 * MS), PC_TAKE_REFUSED);
    assert_int_equal(g.r.retry_after_ns, 300 * MS + S + S / 2);
    assert_int_equal(g.r.reset_ns, 300 * MS + 2 * S);
    rule = rule_of(PC_LIMIT_GCRA, "2/s", 0, false);
    assert_int_equal(take(&g, &rule, 2, 2, begin_ns), PC_TAKE_ALLOWED);
    assert_int_equal(take(&g, &rule, 2, 1, begin_ns - 300 * MS), PC_TAKE_REFUSED);
    pc_limits_free(g.table);
}

static void rules_that_cannot_be_kept_are_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        enum pc_limit_algorithm algorithm;
        struct pc_rate rate;
        int64_t burst;
        const char *word;
    } rows[] = {
        {PC_LIMIT_WINDOW, {10, 60 * S},                           5,          "burst"},
        {PC_LIMIT_WINDOW, {PC_LIMIT_WINDOW_COST_MAX + 1, 60 * S}, 0,          "gcra" },
        {PC_LIMIT_WINDOW, {10, S / 2},                            0,          "1 s"  },
        {PC_LIMIT_GCRA,   {1, PC_RATE_PERIOD_MAX_NS},             1000000000, "years"},
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_limit_rule rule = {.count = -7};
        struct pc_why why = {""};
        assert_true(pc_limit_rule_set(&rule, rows[i].algorithm, &rows[i].rate, rows[i].burst, false,
                                      &why) < 0);
        assert_int_equal(rule.count, -7);
        assert_non_null(strstr(why.text, rows[i].word));
    }
    struct pc_limit_table *t = NULL;
    assert_int_equal(pc_limits_new(0, &t), -ERANGE);
    assert_int_equal(pc_limits_new(PC_LIMIT_KEYS_MAX + 1, &t), -ERANGE);
    assert_null(t);
}

/* ---- room ---- */

static void a_table_holds_its_keys_in_24_bytes_each(void **state)
{
    (void)state;
    enum { KEYS = 200000 };
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "10/h", 0, true);
    struct rig g = rig_of(KEYS);
    struct pc_limit_shape shape = pc_limits_shape(g.table);
    assert_true(shape.bytes <= 24 * (uint64_t)KEYS);
    assert_int_equal(shape.bytes, shape.slots * PC_LIMIT_SLOT_BYTES);
    for (uint64_t i = 0; i < KEYS; i++)
        take(&g, &rule, i, 1, T0);
    assert_true(g.counters.no_room < KEYS / 200);
    assert_int_equal(g.counters.occupied + g.counters.no_room, KEYS);
    assert_int_equal(g.counters.evicted_idle + g.counters.evicted_active, 0);
    pc_limits_free(g.table);
}

static void entries_that_owe_nothing_make_room_first(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "10/s", 0, true);
    struct rig g = rig_of(1000);
    int64_t now_ns = T0;
    for (uint64_t i = 0; i < 50000; i++) {
        assert_int_equal(take(&g, &rule, i, 1, now_ns), PC_TAKE_ALLOWED);
        now_ns += 10 * MS; /* at most some 110 keys are not idle: debt 0.1 s + 1 s of skew */
    }
    assert_int_equal(g.counters.evicted_active, 0);
    assert_int_equal(g.counters.no_room, 0);
    assert_true(g.counters.evicted_idle > 40000);
    pc_limits_free(g.table);
}

static void a_window_is_idle_when_neither_counter_weighs(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_WINDOW, "10/s", 0, true);
    struct rig g = rig_of(1000);
    int64_t now_ns = T0;
    for (uint64_t i = 0; i < 20000; i++) {
        assert_int_equal(take(&g, &rule, i, 1, now_ns), PC_TAKE_ALLOWED);
        now_ns += 10 * MS;
    }
    assert_int_equal(g.counters.evicted_active + g.counters.no_room, 0);
    assert_true(g.counters.evicted_idle > 15000);
    pc_limits_free(g.table);
}

/* A second is the shortest window and as much as clocks may differ: one that a faster clock has
 * just begun is not taken for an old one. */
static void a_window_that_a_faster_clock_began_is_not_idle(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_WINDOW, "2/s", 0, true);
    struct rig g = rig_of(1);
    uint64_t key = 1;
    int64_t begin_ns = 1000 * S;
    struct pc_limit_shape shape = pc_limits_shape(g.table);
    for (; key <= shape.slots; key++)
        assert_int_equal(take(&g, &rule, key, 2, begin_ns + MS), PC_TAKE_ALLOWED);
    assert_int_equal(take(&g, &rule, key, 1, begin_ns - MS), PC_TAKE_NO_ROOM);
    assert_int_equal(g.counters.evicted_idle, 0);
    pc_limits_free(g.table);
}

enum { VICTIMS = 300, ATTACKS = 200000 };

/* A flood of fresh keys against keys that have used so much; how many of those still count. */
static unsigned survivors_of_a_flood(struct rig *g, const struct pc_limit_rule *rule, int64_t used)
{
    unsigned survivors = 0;
    for (uint64_t v = 0; v < VICTIMS; v++)
        assert_int_equal(take(g, rule, v, used, T0), PC_TAKE_ALLOWED);
    for (uint64_t i = 0; i < ATTACKS; i++)
        take(g, rule, 1000000 + i, 1, T0 + (int64_t)i);
    for (uint64_t v = 0; v < VICTIMS; v++) {
        pc_limits_peek(g->table, rule, fp_of(v), 1, T0 + ATTACKS, &g->r);
        survivors += g->r.remaining <= g->r.limit - used + 1;
    }
    return survivors;
}

static void a_flood_of_fresh_keys_frees_nobody_above_half_a_burst(void **state)
{
    (void)state;
    static const enum pc_limit_algorithm both[] = {PC_LIMIT_GCRA, PC_LIMIT_WINDOW};
    for (unsigned i = 0; i < PC_COUNT(both); i++) {
        struct pc_limit_rule rule = rule_of(both[i], "60/min", 0, false);
        struct rig g = rig_of(1000);
        assert_int_equal(survivors_of_a_flood(&g, &rule, 31), VICTIMS);
        /* Nor does it pass unnoticed. */
        assert_true(g.counters.evicted_active > ATTACKS / 2);
        pc_limits_free(g.table);
    }
}

static void a_flood_pushes_out_its_own_keys_before_those_that_used_more(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "60/min", 0, false);
    struct rig g = rig_of(1000);
    assert_int_equal(survivors_of_a_flood(&g, &rule, 10), VICTIMS);
    pc_limits_free(g.table);
}

static void a_policy_that_fails_closed_pushes_out_nobody(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_WINDOW, "10/15min", 0, true);
    struct rig g = rig_of(1000);
    assert_int_equal(survivors_of_a_flood(&g, &rule, 1), VICTIMS);
    assert_int_equal(g.counters.evicted_active, 0);
    assert_true(g.counters.no_room > ATTACKS / 2);
    assert_int_equal(take(&g, &rule, 77, 0, T0), PC_TAKE_ALLOWED); /* known: still decided */
    pc_limits_free(g.table);
}

static void when_all_owe_much_there_is_no_room(void **state)
{
    (void)state;
    struct pc_limit_rule rule = rule_of(PC_LIMIT_GCRA, "60/min", 0, false);
    struct rig g = rig_of(10);
    unsigned full = 0;
    for (uint64_t i = 0; i < 1000; i++)
        full += take(&g, &rule, i, 40, T0) == PC_TAKE_NO_ROOM;
    assert_int_equal(full, g.counters.no_room);
    assert_int_equal(g.counters.occupied, pc_limits_shape(g.table).slots);
    assert_int_equal(g.counters.evicted_active, 0);
    pc_limits_free(g.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_then_the_rate_holds),
        cmocka_unit_test(a_period_that_does_not_divide_never_gives_more),
        cmocka_unit_test(a_window_counts_what_the_one_before_still_covers),
        cmocka_unit_test(a_cost_above_the_limit_never_passes),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(what_is_given_back_can_be_taken_again),
        cmocka_unit_test(giving_back_finds_the_window_it_was_taken_in),
        cmocka_unit_test(a_key_that_was_reset_begins_anew),
        cmocka_unit_test(strict_mode_halves_but_never_below_one),
        cmocka_unit_test(strict_mode_lets_one_decision_pass),
        cmocka_unit_test(a_thread_whose_clock_is_behind_is_not_given_more),
        cmocka_unit_test(rules_that_cannot_be_kept_are_refused_in_words),
        cmocka_unit_test(a_table_holds_its_keys_in_24_bytes_each),
        cmocka_unit_test(entries_that_owe_nothing_make_room_first),
        cmocka_unit_test(a_window_is_idle_when_neither_counter_weighs),
        cmocka_unit_test(a_window_that_a_faster_clock_began_is_not_idle),
        cmocka_unit_test(a_flood_of_fresh_keys_frees_nobody_above_half_a_burst),
        cmocka_unit_test(a_flood_pushes_out_its_own_keys_before_those_that_used_more),
        cmocka_unit_test(a_policy_that_fails_closed_pushes_out_nobody),
        cmocka_unit_test(when_all_owe_much_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
