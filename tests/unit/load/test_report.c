/* SPDX-License-Identifier: Apache-2.0
 * A report is the same after it was written and read; what is no report is refused by name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "load/report.h"

static void fill(struct ld_report *r)
{
    static struct ld_hdr h;
    ld_report_init(r);
    ld_hdr_reset(&h);
    for (int i = 1; i <= 100000; i++)
        ld_hdr_record(&h, i * 1000);
    snprintf(r->started_at, sizeof(r->started_at), "2026-11-20T00:00:00Z");
    r->command = strdup("portcullis-load run --url 'a b'");
    r->options = json_pack("{s:i}", "seed", 1);
    r->open_loop = true;
    r->requests = 100000;
    r->errors[LD_FAIL_TIMEOUT] = 7;
    r->wrong_answers = 2;
    r->whys[0] = strdup("wrong answer (x): expected 200, got 500");
    ld_latency_of(&r->latency, &h);
    ld_latency_of(&r->service, &h);
    r->class_count = 1;
    r->classes = calloc(1, sizeof(*r->classes));
    snprintf(r->classes[0].name, sizeof(r->classes[0].name), "request");
    r->classes[0].in_total = true;
    ld_latency_of(&r->classes[0].latency, &h);
    r->second_count = 1;
    r->seconds = calloc(1, sizeof(*r->seconds));
    r->seconds[0] = (struct ld_second){.at_s = 1, .rate_per_s = 1e5, .server_cpu = NAN};
    r->server.known = true;
    r->server.from = strdup("pid 1");
    r->server.cpu_us_per_request = 4.25;
}

static void a_report_survives_json(void **state)
{
    struct ld_report first, second;
    struct ld_problem problem;
    (void)state;
    fill(&first);
    json_t *once = ld_report_to_json(&first);
    assert_true(ld_report_from_json(&second, once, &problem));
    json_t *twice = ld_report_to_json(&second);
    assert_true(json_equal(once, twice));
    assert_true(second.open_loop && isnan(second.server.instructions));
    assert_true(isnan(second.seconds[0].server_cpu) && isnan(second.placement.before_ns));
    assert_int_equal(ld_report_errors(&second), 7);
    assert_int_equal(second.latency.curve_count, first.latency.curve_count);
    json_decref(once);
    json_decref(twice);
    ld_report_free(&first);
    ld_report_free(&second);
}

static void percentiles_and_curve_are_the_histograms(void **state)
{
    struct ld_report r;
    (void)state;
    fill(&r);
    const struct ld_latency *l = &r.latency;
    assert_true(fabs(l->p50 - 50000) < 50 && fabs(l->p99_9 - 99900) < 100);
    assert_true(l->max == 100000 && l->min == 1);
    assert_true(l->curve_count > 20 && l->curve_count <= LD_CURVE_MAX);
    for (unsigned i = 1; i < l->curve_count; i++)
        assert_true(l->curve[i].q > l->curve[i - 1].q && l->curve[i].us >= l->curve[i - 1].us);
    assert_true(l->curve[l->curve_count - 1].q == 1);
    assert_int_equal(l->curve[l->curve_count - 1].count, 100000);
    ld_report_free(&r);
}

static void what_a_workload_left_out_is_said(void **state)
{
    struct ld_report r;
    char text[4096] = "";
    (void)state;
    fill(&r);
    r.workload = json_pack("{s:{s:i,s:i}}", "left_out", "probes", 5, "paced", 0);
    FILE *f = fmemopen(text, sizeof(text), "w");
    ld_report_print(&r, f);
    fclose(f);
    assert_non_null(strstr(text, "LEFT OUT     5 probes"));
    ld_report_free(&r);
}

static void what_was_clamped_is_said(void **state)
{
    static struct ld_hdr h;
    struct ld_report r;
    char text[4096] = "";
    (void)state;
    fill(&r);
    ld_hdr_reset(&h);
    ld_hdr_record_n(&h, LD_HDR_HIGHEST_NS + 1, 3);
    ld_latency_of(&r.latency, &h);
    json_t *o = ld_report_to_json(&r), *latency = json_object_get(o, "latency_us");
    assert_int_equal(json_integer_value(json_object_get(latency, "saturated")), 3);
    FILE *f = fmemopen(text, sizeof(text), "w");
    ld_report_print(&r, f);
    fclose(f);
    assert_non_null(strstr(text, "3 beyond the range"));
    json_decref(o);
    ld_report_free(&r);
}

static void what_is_no_report_is_refused(void **state)
{
    struct ld_report good, ret;
    struct ld_problem problem;
    (void)state;
    fill(&good);
    static const struct {
        const char *member, *in_text;
    } rows[] = {
        {"format",     "'format'"  },
        {"loop",       "'loop'"    },
        {"latency_us", "'p50'"     },
        {"errors",     "errors."   },
        {"classes",    "'classes'" },
        {"series",     "'series'"  },
        {"requests",   "'requests'"}
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        json_t *o = ld_report_to_json(&good);
        json_object_set_new(o, rows[i].member, json_string("?"));
        if (strcmp(rows[i].member, "loop") == 0)
            json_object_del(o, "loop");
        assert_false(ld_report_from_json(&ret, o, &problem));
        assert_non_null(strstr(problem.text, rows[i].in_text));
        json_decref(o);
    }
    assert_false(ld_report_read_json(&ret, "/nonexistent", &problem));
    assert_non_null(strstr(problem.text, "/nonexistent"));
    ld_report_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_survives_json),
        cmocka_unit_test(percentiles_and_curve_are_the_histograms),
        cmocka_unit_test(what_a_workload_left_out_is_said),
        cmocka_unit_test(what_was_clamped_is_said),
        cmocka_unit_test(what_is_no_report_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
