/* SPDX-License-Identifier: Apache-2.0
 * Removal of expired entries against clocks that run, slew, step and disagree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "edge/writer/clock_guard.h"
#include "edge/writer/hlc.h"

#define T0   INT64_C(1800000000000)
#define NS_S INT64_C(1000000000)

static void run_seconds(struct pc_clock_guard *g, int64_t *wall, int64_t *mono, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        *wall += 1000;
        *mono += NS_S;
        pc_clock_guard_tick(g, *wall, *mono);
    }
}

static void nothing_is_removed_before_sixty_seconds(void **state)
{
    (void)state;
    struct pc_clock_guard g;
    int64_t wall = T0, mono = 5 * NS_S;
    pc_clock_guard_start(&g, wall, mono, T0 - 1000);
    run_seconds(&g, &wall, &mono, 59);
    assert_true(pc_clock_guard_expired_before(&g) == INT64_MIN);
    run_seconds(&g, &wall, &mono, 1);
    assert_true(pc_clock_guard_expired_before(&g) == T0);
    run_seconds(&g, &wall, &mono, 1000);
    assert_true(pc_clock_guard_expired_before(&g) == wall - PC_CLOCK_HOLD_MS);
}

static void a_step_in_either_direction_stops_removal(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct pc_clock_guard g;
        int64_t wall = T0, mono = 0;
        pc_clock_guard_start(&g, wall, mono, 0);
        run_seconds(&g, &wall, &mono, 100);
        wall += sign * 3600000;
        assert_true(pc_clock_guard_tick(&g, wall, mono));
        run_seconds(&g, &wall, &mono, 1000);
        assert_int_equal(g.state, PC_CLOCK_STEPPED);
        assert_true(pc_clock_guard_expired_before(&g) == INT64_MIN);
        pc_clock_guard_confirm(&g, wall, mono);
        int64_t confirmed = wall;
        run_seconds(&g, &wall, &mono, 59);
        assert_true(pc_clock_guard_expired_before(&g) == INT64_MIN);
        run_seconds(&g, &wall, &mono, 1);
        assert_true(pc_clock_guard_expired_before(&g) == confirmed);
    }
}

static void a_slew_is_no_step(void **state)
{
    (void)state;
    struct pc_clock_guard g;
    int64_t wall = T0, mono = 0;
    pc_clock_guard_start(&g, wall, mono, 0);
    for (int i = 0; i < 10000; i++) {
        wall += 1001; /* 1000 ppm: twice what the kernel slews */
        mono += NS_S;
        assert_false(pc_clock_guard_tick(&g, wall, mono));
    }
    assert_true(pc_clock_guard_expired_before(&g) > T0);
}

static void a_gap_to_the_journal_needs_a_confirmation(void **state)
{
    (void)state;
    struct pc_clock_guard g;
    pc_clock_guard_start(&g, T0, 0, T0 + PC_CLOCK_START_GAP_MS + 1);
    assert_int_equal(g.state, PC_CLOCK_START_GAP);
    pc_clock_guard_start(&g, T0, 0, T0 - PC_CLOCK_START_GAP_MS - 1);
    assert_int_equal(g.state, PC_CLOCK_START_GAP);
    pc_clock_guard_start(&g, T0, 0, T0 - PC_CLOCK_START_GAP_MS);
    assert_int_equal(g.state, PC_CLOCK_TRUSTED);
}

static void hybrid_clock_never_goes_back(void **state)
{
    (void)state;
    struct pc_hlc h = {0};
    uint64_t a = pc_hlc_next(&h, T0), b = pc_hlc_next(&h, T0 - 5000), c = pc_hlc_next(&h, T0 + 1);
    assert_true(a < b && b < c);
    assert_int_equal(pc_hlc_ms(a), T0);
    assert_int_equal(pc_hlc_ms(c), T0 + 1);
    pc_hlc_seen(&h, (uint64_t)(T0 + 10) << 16);
    assert_true(pc_hlc_ms(pc_hlc_next(&h, T0)) == T0 + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_removed_before_sixty_seconds),
        cmocka_unit_test(a_step_in_either_direction_stops_removal),
        cmocka_unit_test(a_slew_is_no_step),
        cmocka_unit_test(a_gap_to_the_journal_needs_a_confirmation),
        cmocka_unit_test(hybrid_clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
