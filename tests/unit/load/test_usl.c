/* SPDX-License-Identifier: Apache-2.0
 * The fits: they find back the law that made the points, also under noise; costs are never
 * negative; two sizes do not pretend to know two costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>

#include "load/usl.h"

static size_t make(struct ld_usl_point *p, const struct ld_usl *law, const double *sizes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (struct ld_usl_point){sizes[i], ld_usl_rate(law, sizes[i])};
    return n;
}

static const double sizes[] = {1, 2, 4, 8, 16, 32};

static void the_law_is_found_back(void **state)
{
    static const struct ld_usl laws[] = {
        {.lambda = 200000, .sigma = 0.03, .kappa = 0.0005},
        {.lambda = 1,      .sigma = 0,    .kappa = 0.002 },
        {.lambda = 5e6,    .sigma = 0.2,  .kappa = 0     },
        {.lambda = 1000,   .sigma = 0,    .kappa = 0     },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(laws); i++) {
        struct ld_usl_point p[PC_COUNT(sizes)];
        struct ld_usl u;
        size_t n = make(p, &laws[i], sizes, PC_COUNT(sizes));
        assert_true(ld_usl_fit(p, n, LD_USL_FULL, &u, NULL));
        assert_true(fabs(u.lambda / laws[i].lambda - 1) < 1e-6);
        assert_true(fabs(u.sigma - laws[i].sigma) < 1e-6);
        assert_true(fabs(u.kappa - laws[i].kappa) < 1e-6);
        assert_true(u.r_squared > 0.999999 && u.error_max < 1e-6);
        assert_int_equal(u.distinct, PC_COUNT(sizes));
        assert_true(u.n_max == 32);
    }
}

static void noise_moves_it_little(void **state)
{
    (void)state;
    struct ld_usl law = {.lambda = 200000, .sigma = 0.03, .kappa = 0.0005}, u;
    struct ld_usl_point p[5 * PC_COUNT(sizes)];
    uint64_t seed = 42;
    for (size_t i = 0; i < PC_COUNT(p); i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        double noise = 0.97 + 0.06 * (double)(seed >> 40) / (double)(1 << 24);
        double n = sizes[i % PC_COUNT(sizes)];
        p[i] = (struct ld_usl_point){n, ld_usl_rate(&law, n) * noise};
    }
    assert_true(ld_usl_fit(p, PC_COUNT(p), LD_USL_FULL, &u, NULL));
    assert_true(fabs(ld_usl_rate(&u, 32) / ld_usl_rate(&law, 32) - 1) < 0.05);
    assert_true(u.error_max < 0.08 && u.error_max > 0);
    assert_true(u.r_squared > 0.98);
}

static void faster_than_linear_is_taken_for_linear(void **state)
{
    (void)state;
    struct ld_usl_point p[] = {
        {1, 100},
        {2, 210}
    };
    struct ld_usl u;
    assert_true(ld_usl_fit(p, 2, LD_USL_FULL, &u, NULL));
    assert_true(u.sigma == 0 && u.kappa == 0);
    assert_true(u.error_max > 0.02);
}

static void two_sizes_give_one_cost_in_either_form(void **state)
{
    (void)state;
    struct ld_usl_point p[] = {
        {1, 100},
        {2, 190}
    };
    struct ld_usl s, k;
    assert_true(ld_usl_fit(p, 2, LD_USL_SIGMA_ONLY, &s, NULL));
    assert_true(ld_usl_fit(p, 2, LD_USL_KAPPA_ONLY, &k, NULL));
    assert_true(s.kappa == 0 && s.sigma > 0.05 && s.sigma < 0.06);
    assert_true(k.sigma == 0 && k.kappa > 0.025 && k.kappa < 0.03);
    assert_true(fabs(ld_usl_rate(&s, 2) - ld_usl_rate(&k, 2)) < 1e-6);
    assert_true(ld_usl_rate(&s, 32) > 2 * ld_usl_rate(&k, 32)); /* what extrapolation cannot know */
    assert_true(isinf(ld_usl_peak(&s)) && ld_usl_peak(&k) < 7);
}

static void one_size_scales_linearly(void **state)
{
    (void)state;
    struct ld_usl_point p[] = {
        {1, 100},
        {1, 102},
        {1, 98 }
    };
    struct ld_usl u;
    assert_true(ld_usl_fit(p, 3, LD_USL_FULL, &u, NULL));
    assert_true(fabs(ld_usl_rate(&u, 4) - 400) < 1);
    assert_int_equal(u.distinct, 1);
}

static void points_that_are_none_are_refused(void **state)
{
    static const struct ld_usl_point bad[] = {
        {0,   1       },
        {1,   0       },
        {1,   -1      },
        {NAN, 1       },
        {1,   INFINITY}
    };
    (void)state;
    struct ld_usl u;
    struct ld_problem problem;
    assert_false(ld_usl_fit(bad, 0, LD_USL_FULL, &u, &problem));
    for (size_t i = 0; i < PC_COUNT(bad); i++)
        assert_false(ld_usl_fit(&bad[i], 1, LD_USL_FULL, &u, &problem));
}

static void a_line_is_found_back(void **state)
{
    (void)state;
    const double x[] = {1e6, 5e6, 1e7}, y[] = {1e7 + 24e6, 1e7 + 120e6, 1e7 + 240e6};
    struct ld_line l;
    struct ld_problem problem;
    assert_true(ld_line_fit(x, y, 3, &l, NULL));
    assert_true(fabs(l.slope - 24) < 1e-6 && fabs(l.intercept - 1e7) < 1);
    assert_true(l.r_squared > 0.999 && l.x_max == 1e7);
    assert_true(ld_line_fit(x, y, 1, &l, NULL)); /* one point: through the origin */
    assert_true(l.intercept == 0 && fabs(l.slope - 34) < 1e-6);
    const double zero = 0;
    assert_false(ld_line_fit(&zero, y, 1, &l, &problem));
    assert_false(ld_line_fit(x, y, 0, &l, &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_law_is_found_back),
        cmocka_unit_test(noise_moves_it_little),
        cmocka_unit_test(faster_than_linear_is_taken_for_linear),
        cmocka_unit_test(two_sizes_give_one_cost_in_either_form),
        cmocka_unit_test(one_size_scales_linearly),
        cmocka_unit_test(points_that_are_none_are_refused),
        cmocka_unit_test(a_line_is_found_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
