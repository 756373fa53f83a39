/* SPDX-License-Identifier: Apache-2.0
 * The search for a rate, against simulated servers whose true limit is known: it is found, noise
 * does not carry it away, far runs are set aside, and every end is told from the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "load/sweep.h"
#include "load/sweep_json.h"

/* An M/M/1 server: its latency at a percentile is known in closed form. */
struct server {
    double capacity_per_s;
    double noise;     /* factor of latency up to 1 + noise */
    double far_share; /* of the runs */
    uint64_t wrong_from_run;
    uint64_t seed, runs;
};

static double draw(struct server *v)
{
    v->seed = v->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (double)(v->seed >> 40) / (double)(1 << 24);
}

static struct ld_sweep_run run_at(struct server *v, const struct ld_slo *slo, double rate)
{
    double free_per_s = v->capacity_per_s - rate;
    struct ld_sweep_run r = {.asked_per_s = rate,
                             .achieved_per_s = fmin(rate, v->capacity_per_s),
                             .cpu_us = 4,
                             .requests = 1000,
                             .due = (uint64_t)(1000 * fmax(1, rate / v->capacity_per_s)),
                             .far = draw(v) < v->far_share};
    double noise = 1 + v->noise * draw(v);
    double mean_us = free_per_s > 0 ? 1e6 / free_per_s : 1e9;
    for (unsigned i = 0; i < slo->n; i++)
        r.objective_us[i] =
            mean_us * -log(1 - slo->terms[i].percentile / 100) * noise * (r.far ? 3 : 1);
    r.p50_us = mean_us * 0.69 * noise;
    if (v->wrong_from_run && ++v->runs >= v->wrong_from_run)
        r.wrong_answers = 1;
    return r;
}

static const struct ld_sweep_settings usual = {.from_per_s = 1000,
                                               .to_per_s = INFINITY,
                                               .factor = 2,
                                               .resolution = 0.02,
                                               .repeats = 3,
                                               .far_retries = 6};

/* The sweep is large; the tests share one. */
static struct ld_sweep sweep;

static void search(struct server v, const char *objective, const struct ld_sweep_settings *o)
{
    struct ld_slo slo;
    struct ld_problem problem;
    assert_true(ld_slo_parse(objective, &slo, &problem));
    assert_true(ld_sweep_begin(&sweep, o, &problem));
    for (double rate; (rate = ld_sweep_next(&sweep)) > 0;) {
        struct ld_sweep_run r = run_at(&v, &slo, rate);
        ld_sweep_add(&sweep, &slo, &r);
        assert_true(sweep.run_count <= LD_SWEEP_RUNS_MAX);
    }
    assert_true(sweep.end != LD_SWEEP_GOES_ON);
    assert_true(ld_sweep_next(&sweep) == 0); /* and stays so */
}

/* Rate at which p99 of M/M/1 is that limit. */
static double truth(double capacity_per_s, double limit_us)
{
    return capacity_per_s - 1e6 * -log(0.01) / limit_us;
}

static void the_limit_of_a_quiet_server_is_found(void **state)
{
    (void)state;
    search((struct server){.capacity_per_s = 200000, .seed = 1}, "p99<1ms", &usual);
    double limit = truth(200000, 1000);
    assert_int_equal(sweep.end, LD_SWEEP_FOUND);
    assert_true(sweep.holds_per_s <= limit && sweep.holds_per_s > 0.98 * limit);
    assert_true(sweep.breaks_per_s >= limit && sweep.breaks_per_s < 1.02 * limit);
    assert_true(ld_sweep_best(&sweep)->rate_per_s == sweep.holds_per_s);
}

static void noise_does_not_carry_it_away(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        search((struct server){.capacity_per_s = 200000, .noise = 0.5, .seed = seed}, "p99<1ms",
               &usual);
        assert_int_equal(sweep.end, LD_SWEEP_FOUND);
        /* With latency between 1 and 1.5 times the model's the limit lies between these. */
        assert_true(sweep.holds_per_s > 0.97 * truth(200000, 1000 / 1.5));
        assert_true(sweep.holds_per_s < 1.01 * truth(200000, 1000));
    }
}

static void far_runs_are_set_aside_and_counted(void **state)
{
    (void)state;
    search((struct server){.capacity_per_s = 200000, .far_share = 0.4, .seed = 7}, "p99<1ms",
           &usual);
    double limit = truth(200000, 1000);
    assert_int_equal(sweep.end, LD_SWEEP_FOUND);
    assert_true(sweep.set_aside > 0);
    assert_true(sweep.holds_per_s <= limit && sweep.holds_per_s > 0.97 * limit);
    unsigned aside = 0;
    for (unsigned i = 0; i < sweep.run_count; i++)
        aside += sweep.runs[i].set_aside;
    assert_int_equal(aside, sweep.set_aside);
}

static void where_all_runs_are_far_they_judge_and_it_is_said(void **state)
{
    (void)state;
    search((struct server){.capacity_per_s = 200000, .far_share = 1, .seed = 7}, "p99<1ms", &usual);
    assert_int_equal(sweep.end, LD_SWEEP_FOUND);
    assert_int_equal(sweep.set_aside, 0);
    for (unsigned i = 0; i < sweep.step_count; i++) {
        assert_true(sweep.steps[i].far);
        assert_int_equal(sweep.steps[i].judged, 9);
    }
}

static void wrong_answers_break_any_rate(void **state)
{
    (void)state;
    search((struct server){.capacity_per_s = 200000, .seed = 1, .wrong_from_run = 1}, "p99<1ms",
           &usual);
    assert_int_equal(sweep.end, LD_SWEEP_NONE_HOLDS);
    assert_null(ld_sweep_best(&sweep));
    assert_string_equal(sweep.runs[0].why_not, "wrong answers");
}

/* Judged against what was due, not against the rate: random arrivals are seldom exactly as many. */
static void a_rate_that_is_not_reached_does_not_hold(void **state)
{
    static const struct {
        double achieved_per_s;
        uint64_t requests, errors, due;
        bool held;
    } rows[] = {
        {1000, 98,  0, 100, false},
        {1000, 99,  0, 100, true },
        {900,  900, 0, 900, true }, /* few were due by chance, and all were answered */
        {1000, 97,  2, 100, true }, /* errors are judged by their own share */
        {1100, 0,   0, 0,   false},
    };
    (void)state;
    struct ld_slo slo;
    assert_true(ld_slo_parse("max<1h,errors<=5%", &slo, NULL));
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        assert_true(ld_sweep_begin(&sweep, &usual, NULL));
        const struct ld_sweep_run r = {.asked_per_s = ld_sweep_next(&sweep),
                                       .achieved_per_s = rows[i].achieved_per_s,
                                       .requests = rows[i].requests,
                                       .errors = rows[i].errors,
                                       .due = rows[i].due};
        ld_sweep_add(&sweep, &slo, &r);
        assert_int_equal(sweep.runs[0].held, rows[i].held);
    }
    assert_string_equal(sweep.runs[0].why_not, "no answers");
}

static void errors_hold_up_to_the_share_stated(void **state)
{
    (void)state;
    struct ld_slo slo;
    struct ld_sweep_run r = {.asked_per_s = 1000,
                             .achieved_per_s = 1000,
                             .requests = 99,
                             .errors = 1,
                             .due = 100,
                             .errors_percent = 1};
    for (int allowed = 0; allowed < 2; allowed++) {
        assert_true(ld_slo_parse(allowed ? "p99<1h,errors<=1%" : "p99<1h", &slo, NULL));
        assert_true(ld_sweep_begin(&sweep, &usual, NULL));
        assert_true(ld_sweep_next(&sweep) == 1000);
        ld_sweep_add(&sweep, &slo, &r);
        assert_int_equal(sweep.runs[0].held, allowed);
    }
}

static void the_highest_rate_allowed_ends_it(void **state)
{
    (void)state;
    struct ld_sweep_settings o = usual;
    o.to_per_s = 5000;
    search((struct server){.capacity_per_s = 200000, .seed = 1}, "p99<1ms", &o);
    assert_int_equal(sweep.end, LD_SWEEP_ALL_HOLD);
    assert_true(sweep.holds_per_s == 5000);
}

static void a_first_rate_that_breaks_is_searched_downwards(void **state)
{
    (void)state;
    struct ld_sweep_settings o = usual;
    o.from_per_s = 1e6;
    search((struct server){.capacity_per_s = 200000, .seed = 1}, "p99<1ms", &o);
    assert_int_equal(sweep.end, LD_SWEEP_FOUND);
    assert_true(fabs(sweep.holds_per_s / truth(200000, 1000) - 1) < 0.03);
}

static void the_spread_leaves_out_what_was_set_aside(void **state)
{
    (void)state;
    struct ld_slo slo;
    assert_true(ld_slo_parse("p99<1ms", &slo, NULL));
    assert_true(ld_sweep_begin(&sweep, &usual, NULL));
    static const double cpu[] = {4, 6, 100, 5};
    for (size_t i = 0; i < PC_COUNT(cpu); i++) {
        struct ld_sweep_run r = {.asked_per_s = ld_sweep_next(&sweep),
                                 .achieved_per_s = 1000,
                                 .requests = 1,
                                 .cpu_us = cpu[i],
                                 .far = i == 2};
        ld_sweep_add(&sweep, &slo, &r);
    }
    assert_true(sweep.steps[0].done && sweep.steps[0].set_aside == 1);
    struct ld_spread s =
        ld_sweep_spread(&sweep, &sweep.steps[0], offsetof(struct ld_sweep_run, cpu_us));
    assert_true(s.median == 5 && s.least == 4 && s.greatest == 6);
    s = ld_sweep_spread(&sweep, &sweep.steps[0], offsetof(struct ld_sweep_run, errors_percent));
    assert_true(s.median == 0);
}

static void a_sweep_is_read_back_from_its_json(void **state)
{
    static struct ld_sweep again;
    (void)state;
    struct ld_slo slo, slo_again;
    struct ld_machine machine = {.cpu_model = "a model", .cpus = 2}, machine_again;
    struct ld_sweep_about about_again;
    struct ld_problem problem;
    search((struct server){.capacity_per_s = 200000, .noise = 0.5, .far_share = 0.3, .seed = 5},
           "p99<1ms,p50<1ms", &usual);
    assert_true(ld_slo_parse("p99<1ms,p50<1ms", &slo, &problem));
    const struct ld_sweep_about about = {"a command", "then", "open loop", &slo, &machine, NULL};
    json_t *o = ld_sweep_to_json(&sweep, &about);
    assert_non_null(o);
    assert_true(ld_sweep_from_json(o, &again, &about_again, &slo_again, &machine_again, &problem));
    assert_int_equal(again.run_count, sweep.run_count);
    assert_int_equal(again.set_aside, sweep.set_aside);
    assert_int_equal(again.end, sweep.end);
    assert_true(again.holds_per_s == sweep.holds_per_s);
    assert_string_equal(about_again.command, "a command");
    assert_string_equal(machine_again.cpu_model, "a model");
    json_array_remove(json_object_get(o, "runs"), 0); /* what is left is not what was searched */
    assert_false(
        ld_sweep_from_json(o, &again, &about_again, &slo_again, &machine_again, &problem) &&
        again.run_count == sweep.run_count);
    json_decref(o);
}

static void settings_that_cannot_work_are_refused_by_name(void **state)
{
    static const struct {
        struct ld_sweep_settings o;
        const char *named;
    } rows[] = {
        {{0, 1, 2, 0.1, 3, 0},    "--from"       },
        {{10, 5, 2, 0.1, 3, 0},   "--to"         },
        {{10, 50, 1, 0.1, 3, 0},  "--step-factor"},
        {{10, 50, 2, 0, 3, 0},    "--resolution" },
        {{10, 50, 2, 0.1, 2, 0},  "--repeats"    },
        {{10, 50, 2, 0.1, 0, 0},  "--repeats"    },
        {{10, 50, 2, 0.1, 3, 99}, "--far-retries"},
        {{NAN, 50, 2, 0.1, 3, 0}, "--from"       },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct ld_problem problem;
        assert_false(ld_sweep_begin(&sweep, &rows[i].o, &problem));
        assert_non_null(strstr(problem.text, rows[i].named));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sweep_is_read_back_from_its_json),
        cmocka_unit_test(the_limit_of_a_quiet_server_is_found),
        cmocka_unit_test(noise_does_not_carry_it_away),
        cmocka_unit_test(far_runs_are_set_aside_and_counted),
        cmocka_unit_test(where_all_runs_are_far_they_judge_and_it_is_said),
        cmocka_unit_test(wrong_answers_break_any_rate),
        cmocka_unit_test(a_rate_that_is_not_reached_does_not_hold),
        cmocka_unit_test(errors_hold_up_to_the_share_stated),
        cmocka_unit_test(the_highest_rate_allowed_ends_it),
        cmocka_unit_test(a_first_rate_that_breaks_is_searched_downwards),
        cmocka_unit_test(the_spread_leaves_out_what_was_set_aside),
        cmocka_unit_test(settings_that_cannot_work_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
