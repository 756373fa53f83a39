/* SPDX-License-Identifier: Apache-2.0
 * Draws: Zipf's law holds for exponents below, at and above 1, also for one key and for millions;
 * uniform is uniform; the same seed draws the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "load/zipf.h"

static struct pc_prng prng_of(uint8_t seed)
{
    struct pc_prng g;
    uint8_t bytes[32];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(seed * 37 + i * 101);
    pc_prng_seed(&g, bytes);
    return g;
}

/* Chi-squared over the ranks, those expected fewer than ten times together. A correct sampler
 * exceeds five standard deviations once in millions of seeds, and this seed is fixed. */
static void assert_law(uint64_t n, double exponent)
{
    enum { DRAWS = 400000 };
    struct ld_zipf z;
    struct pc_prng g = prng_of(1);
    unsigned *seen = calloc(n, sizeof *seen);
    double sum = 0, chi = 0, rest_expected = 0, rest_seen = 0;
    unsigned cells = 0;
    assert_non_null(seen);
    ld_zipf_init(&z, n, exponent);
    for (int i = 0; i < DRAWS; i++) {
        const uint64_t k = ld_zipf_draw(&z, &g);
        assert_true(k < n);
        seen[k]++;
    }
    for (uint64_t k = 0; k < n; k++)
        sum += pow((double)k + 1, -exponent);
    for (uint64_t k = 0; k < n; k++) {
        const double expected = DRAWS * pow((double)k + 1, -exponent) / sum;
        if (expected < 10) {
            rest_expected += expected;
            rest_seen += seen[k];
            continue;
        }
        chi += (seen[k] - expected) * (seen[k] - expected) / expected;
        cells++;
    }
    if (rest_expected > 10) {
        chi += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
        cells++;
    }
    free(seen);
    assert_true(cells < 2 || chi < cells + 5 * sqrt(2.0 * cells));
}

static void zipf_s_law_holds(void **state)
{
    (void)state;
    assert_law(1, 1);
    assert_law(2, 0.5);
    assert_law(100, 0.2);
    assert_law(1000, 0.99);
    assert_law(1000, 1);
    assert_law(1000, 1.000001);
    assert_law(100000, 1.2);
    assert_law(100000, 2.5);
}

static void an_exponent_of_zero_is_uniform(void **state)
{
    (void)state;
    assert_law(1000, 0);
}

static void large_populations_are_drawn_to_their_end(void **state)
{
    struct ld_zipf z;
    struct pc_prng g = prng_of(2);
    uint64_t highest = 0;
    (void)state;
    ld_zipf_init(&z, 100000000, 0.5);
    for (int i = 0; i < 100000; i++)
        highest = pc_max_u64(highest, ld_zipf_draw(&z, &g));
    assert_in_range(highest, 99000000, 99999999);
    ld_zipf_init(&z, 100000000, LD_ZIPF_EXPONENT_MAX);
    for (int i = 0; i < 1000; i++)
        assert_in_range(ld_zipf_draw(&z, &g), 0, 100);
}

static void the_same_seed_draws_the_same(void **state)
{
    struct ld_zipf z;
    struct pc_prng a = prng_of(3), b = prng_of(3);
    (void)state;
    ld_zipf_init(&z, 1000000, 0.9);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ld_zipf_draw(&z, &a), ld_zipf_draw(&z, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipf_s_law_holds),
        cmocka_unit_test(an_exponent_of_zero_is_uniform),
        cmocka_unit_test(large_populations_are_drawn_to_their_end),
        cmocka_unit_test(the_same_seed_draws_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
