/* SPDX-License-Identifier: Apache-2.0
 * Byte helpers: numbers in decimal, comparisons without case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

static void expect_number(uint64_t value)
{
    char want[32];
    int n = snprintf(want, sizeof want, "%llu", (unsigned long long)value);
    uint8_t *exact = malloc((size_t)n); /* the sanitizer sees a byte too many */
    assert_non_null(exact);
    struct pc_buf b = pc_buf_of(exact, (size_t)n);
    pc_buf_u64(&b, value);
    assert_false(b.overflow);
    assert_int_equal(b.len, n);
    assert_memory_equal(exact, want, (size_t)n);
    b = pc_buf_of(exact, (size_t)n - 1);
    pc_buf_u64(&b, value);
    assert_true(b.overflow && b.len == 0);
    free(exact);
}

static void numbers_are_written_as_the_c_library_writes_them(void **state)
{
    (void)state;
    uint64_t power = 1;
    for (int digits = 1; digits <= 20; digits++, power *= 10)
        for (uint64_t around = 0; around < 3; around++)
            expect_number(power + around - 1);
    for (unsigned bit = 0; bit < 64; bit++)
        expect_number(UINT64_C(1) << bit);
    expect_number(UINT64_MAX);
}

/* One byte differs, by each bit, at each place. */
static void case_is_all_that_may_differ(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++) {
        uint8_t a[40], b[40];
        for (size_t i = 0; i < n; i++)
            a[i] = b[i] = (uint8_t)("aZ-9~[@`{"[i % 9]);
        assert_true(pc_bytes_eq_nocase(pc_bytes_of(a, n), pc_bytes_of(b, n)));
        assert_false(pc_bytes_eq_nocase(pc_bytes_of(a, n), pc_bytes_of(b, n - 1)));
        for (size_t at = 0; at < n * 8; at++) {
            b[at / 8] ^= (uint8_t)(1u << at % 8);
            bool letter = (a[at / 8] | 0x20) >= 'a' && (a[at / 8] | 0x20) <= 'z';
            bool same = pc_bytes_eq_nocase(pc_bytes_of(a, n), pc_bytes_of(b, n));
            assert_int_equal(same, letter && at % 8 == 5);
            b[at / 8] = a[at / 8];
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_the_c_library_writes_them),
        cmocka_unit_test(case_is_all_that_may_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
