/* SPDX-License-Identifier: Apache-2.0
 * The queueing model against closed forms and a simulated queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <stdint.h>

#include "base/def.h"
#include "load/queueing.h"

static void a_mixture_has_the_moments_of_its_parts(void **state)
{
    (void)state;
    const struct ld_service_kind kinds[] = {
        {0.9, 4,  0},
        {0.1, 54, 0}
    };
    struct ld_service s = ld_queueing_mix(kinds, 2);
    assert_true(fabs(s.mean_us - 9) < 1e-9);
    /* E[S^2] = 0.9 * 16 + 0.1 * 2916 = 306; 306 / 81 - 1 */
    assert_true(fabs(s.scv - (306.0 / 81 - 1)) < 1e-9);
    const struct ld_service_kind one = {1, 5, 0.5};
    s = ld_queueing_mix(&one, 1);
    assert_true(fabs(s.mean_us - 5) < 1e-9 && fabs(s.scv - 0.5) < 1e-9);
    s = ld_queueing_mix(&one, 0);
    assert_true(s.mean_us == 0 && s.scv == 0);
}

static void m_m_1_is_exact(void **state)
{
    (void)state;
    const struct ld_service s = {10, 1};
    for (int tenths = 1; tenths < 10; tenths++)
        for (int i = 0; i < 6; i++) {
            double rho = tenths / 10.0, p = 50 + i * 9.9;
            double t = ld_queueing_wait_us(&s, rho, p);
            double beyond = rho * exp(-(1 - rho) * t / s.mean_us); /* P(wait > t) */
            assert_true(t == 0 ? rho <= 1 - p / 100 + 1e-12 : fabs(beyond - (1 - p / 100)) < 1e-9);
        }
}

static void a_full_core_never_answers(void **state)
{
    (void)state;
    const struct ld_service s = {10, 1};
    assert_true(isinf(ld_queueing_wait_us(&s, 1, 50)));
    assert_true(isinf(ld_queueing_wait_us(&s, 2, 50)));
    assert_true(isinf(ld_queueing_wait_us(&s, 0.5, 100)));
    assert_true(ld_queueing_wait_us(&s, 0, 99) == 0);
}

static double draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return ((double)(*seed >> 40) + 0.5) / (double)(1 << 24);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Lindley's recursion for a core that answers known tokens in 4 us and verifies one of ten. */
static void a_simulated_core_waits_as_predicted(void **state)
{
    enum { N = 400000 };
    (void)state;
    const struct ld_service_kind kinds[] = {
        {0.9, 4,  0},
        {0.1, 54, 0}
    };
    struct ld_service s = ld_queueing_mix(kinds, 2);
    double *waits = calloc(N, sizeof(*waits));
    assert_non_null(waits);
    uint64_t seed = 11;
    const double rho = 0.7;
    double wait = 0, mean = 0;
    for (int i = 0; i < N; i++) {
        waits[i] = wait;
        mean += wait / N;
        double service = draw(&seed) < 0.1 ? 54 : 4;
        wait = fmax(wait + service + s.mean_us / rho * log(draw(&seed)), 0);
    }
    qsort(waits, N, sizeof(*waits), by_value);
    double formula = rho * s.mean_us * (1 + s.scv) / (2 * (1 - rho));
    assert_true(fabs(mean / formula - 1) < 0.05);
    double p99 = ld_queueing_wait_us(&s, rho, 99), p90 = ld_queueing_wait_us(&s, rho, 90);
    assert_true(fabs(waits[N / 100 * 99] / p99 - 1) < 0.15);
    assert_true(fabs(waits[N / 10 * 9] / p90 - 1) < 0.25);
    free(waits);
}

static void the_load_allowed_is_the_highest_below_the_limit(void **state)
{
    (void)state;
    const struct ld_service s = {10, 1};
    const struct ld_floor f = {
        {{0.5, 99, 100}, {0.8, 99, 200}},
        2
    };
    double load = ld_queueing_load(&s, &f, 99, 400, 0.95);
    assert_true(load > 0 && load < 0.95);
    assert_true(ld_queueing_latency_us(&s, &f, load, 99) < 400);
    assert_true(ld_queueing_latency_us(&s, &f, load + 0.002, 99) >= 400);
    assert_true(ld_queueing_load(&s, &f, 99, 1e9, 0.8) == 0.8);
    assert_true(ld_queueing_load(&s, &f, 99, 105, 0.8) == 0); /* the floor alone is more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mixture_has_the_moments_of_its_parts),
        cmocka_unit_test(m_m_1_is_exact),
        cmocka_unit_test(a_full_core_never_answers),
        cmocka_unit_test(a_simulated_core_waits_as_predicted),
        cmocka_unit_test(the_load_allowed_is_the_highest_below_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
