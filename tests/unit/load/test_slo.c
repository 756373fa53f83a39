/* SPDX-License-Identifier: Apache-2.0
 * Objectives: what is understood, what is refused and why, and where exactly a latency holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "load/slo.h"

static void an_objective_is_read(void **state)
{
    (void)state;
    struct ld_slo s;
    struct ld_problem problem;
    assert_true(ld_slo_parse("p99.9<2ms", &s, &problem));
    assert_int_equal(s.n, 1);
    assert_true(fabs(s.terms[0].percentile - 99.9) < 1e-9);
    assert_true(fabs(s.terms[0].limit_us - 2000) < 1e-9);
    assert_false(s.terms[0].or_equal);
    assert_true(s.errors_percent == 0);
    assert_string_equal(s.text, "p99.9<2ms");
}

static void terms_are_joined_by_commas(void **state)
{
    (void)state;
    struct ld_slo s;
    char name[16];
    assert_true(ld_slo_parse("p50<=200us,p99<1ms,max<1s,errors<0.1%", &s, NULL));
    assert_int_equal(s.n, 3);
    assert_true(s.terms[0].or_equal);
    assert_string_equal(ld_slo_term_name(&s.terms[1], name, sizeof(name)), "p99");
    assert_string_equal(ld_slo_term_name(&s.terms[2], name, sizeof(name)), "max");
    assert_true(fabs(s.errors_percent - 0.1) < 1e-12);
}

static void what_is_no_objective_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "p99",
        "p99>2ms",
        "p99<",
        "p99<2",
        "p99<2ms,",
        "p0<1ms",
        "p100<1ms",
        "p99..9<1ms",
        "p-1<1ms",
        "p99<-1ms",
        "p99<0ms",
        "q99<1ms",
        "max",
        "errors<1%",
        "p99<1ms,errors<1",
        "p99<1ms,errors<200%",
        "p1e1<1ms",
        "p0x10<1ms",
        "p99<1ms p50<1ms",
        "p1<1s,p2<1s,p3<1s,p4<1s,p5<1s,p6<1s,p7<1s,p8<1s,p9<1s",
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct ld_slo s = {.n = 77};
        struct ld_problem problem = {{0}};
        assert_false(ld_slo_parse(rows[i], &s, &problem));
        assert_int_equal(s.n, 77); /* untouched */
        assert_non_null(strstr(problem.text, "objective"));
    }
}

static void a_limit_itself_holds_only_where_stated(void **state)
{
    (void)state;
    struct ld_slo s;
    assert_true(ld_slo_parse("p99<1ms,p50<=1ms", &s, NULL));
    assert_false(ld_slo_term_holds(&s.terms[0], 1000));
    assert_true(ld_slo_term_holds(&s.terms[0], 999.9));
    assert_true(ld_slo_term_holds(&s.terms[1], 1000));
    assert_false(ld_slo_term_holds(&s.terms[1], 1000.1));
    assert_false(ld_slo_term_holds(&s.terms[0], NAN)); /* nothing measured is no success */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_objective_is_read),
        cmocka_unit_test(terms_are_joined_by_commas),
        cmocka_unit_test(what_is_no_objective_is_refused),
        cmocka_unit_test(a_limit_itself_holds_only_where_stated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
