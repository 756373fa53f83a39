/* SPDX-License-Identifier: Apache-2.0
 * The histogram against the sorted values themselves: three significant digits over the whole
 * range, merging, saturation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "load/hdr.h"
#include "load/hdr_log.h"
#include "load/schedule.h"

enum { VALUES = 20000 };

static struct ld_hdr a, b, c;

static void fresh(void)
{
    ld_hdr_reset(&a);
    ld_hdr_reset(&b);
    ld_hdr_reset(&c);
}

static int by_value(const void *x, const void *y)
{
    const int64_t p = *(const int64_t *)x, q = *(const int64_t *)y;
    return (p > q) - (p < q);
}

static void every_slot_follows_the_one_before(void **state)
{
    int64_t next_ns = 0;
    (void)state;
    for (unsigned slot = 0; slot < LD_HDR_SLOTS; slot++) {
        assert_true(ld_hdr_slot_low_ns(slot) == next_ns);
        assert_int_equal(ld_hdr_slot(ld_hdr_slot_low_ns(slot)), slot);
        assert_int_equal(ld_hdr_slot(ld_hdr_slot_high_ns(slot)), slot);
        const int64_t width = ld_hdr_slot_high_ns(slot) - next_ns + 1;
        assert_true(width == 1 || width * 1024 <= ld_hdr_slot_low_ns(slot));
        next_ns = ld_hdr_slot_high_ns(slot) + 1;
    }
    assert_true(next_ns > LD_HDR_HIGHEST_NS);
}

static void percentiles_are_those_of_the_values(void **state)
{
    static int64_t values[VALUES];
    static const double shares[] = {0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    uint64_t random = 7;
    (void)state;
    fresh();
    for (int i = 0; i < VALUES; i++) {
        values[i] = (int64_t)exp(ld_schedule_uniform(&random) * log((double)LD_HDR_HIGHEST_NS));
        ld_hdr_record(&a, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), by_value);
    for (size_t i = 0; i < PC_COUNT(shares); i++) {
        const double rank = ceil(shares[i] * VALUES - 1e-6);
        const int64_t exact = values[rank < 1 ? 0 : (size_t)rank - 1];
        const int64_t found = ld_hdr_percentile_ns(&a, shares[i]);
        assert_true(found >= exact && (double)found <= (double)exact * (1 + 1.0 / 1024) + 1);
    }
    assert_true(ld_hdr_percentile_ns(&a, 1) == values[VALUES - 1]);
    assert_true(a.min_ns == values[0] && a.max_ns == values[VALUES - 1]);
}

static void merging_is_recording_into_one(void **state)
{
    uint64_t random = 9;
    (void)state;
    fresh();
    for (int i = 0; i < VALUES; i++) {
        const int64_t ns = (int64_t)(ld_schedule_uniform(&random) * 1e9);
        ld_hdr_record(i % 3 ? &a : &b, ns);
        ld_hdr_record(&c, ns);
    }
    ld_hdr_merge(&a, &b);
    assert_int_equal(a.count, c.count);
    assert_true(a.min_ns == c.min_ns && a.max_ns == c.max_ns);
    assert_memory_equal(a.counts, c.counts, sizeof(a.counts));
    assert_true(fabs(ld_hdr_mean_ns(&a) - ld_hdr_mean_ns(&c)) < 1);
}

static void what_is_out_of_range_is_counted_at_its_end(void **state)
{
    (void)state;
    fresh();
    ld_hdr_record(&a, -5);
    ld_hdr_record(&a, INT64_MAX);
    ld_hdr_record_n(&a, 1000, 0);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.saturated, 1);
    assert_true(a.min_ns == 0 && a.max_ns == LD_HDR_HIGHEST_NS);
    assert_true(ld_hdr_percentile_ns(&a, 1) == LD_HDR_HIGHEST_NS);
}

static void an_empty_one_has_no_percentile(void **state)
{
    struct ld_hdr_step step = {0};
    (void)state;
    fresh();
    assert_true(ld_hdr_percentile_ns(&a, 0.99) == 0);
    assert_false(ld_hdr_next(&a, &step));
    ld_hdr_merge(&a, &b);
    assert_int_equal(a.count, 0);
}

static void resetting_empties_it(void **state)
{
    (void)state;
    fresh();
    ld_hdr_record_n(&a, 123456, 77);
    ld_hdr_reset(&a);
    assert_memory_equal(&a, &b, sizeof(a));
}

static void the_encoded_form_begins_as_the_format_says(void **state)
{
    (void)state;
    fresh();
    ld_hdr_record(&a, 1000000);
    char *text = ld_hdr_encode(&a);
    assert_non_null(text);
    assert_memory_equal(text, "HISTFAAA", 8); /* be32 0x1c849314, and a length below 65536 */
    assert_int_equal(strlen(text) % 4, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_follows_the_one_before),
        cmocka_unit_test(percentiles_are_those_of_the_values),
        cmocka_unit_test(merging_is_recording_into_one),
        cmocka_unit_test(what_is_out_of_range_is_counted_at_its_end),
        cmocka_unit_test(an_empty_one_has_no_percentile),
        cmocka_unit_test(resetting_empties_it),
        cmocka_unit_test(the_encoded_form_begins_as_the_format_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
