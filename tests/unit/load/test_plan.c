/* SPDX-License-Identifier: Apache-2.0
 * The planner: what it answers agrees with itself and with sums done by hand, grows with what is
 * asked, and names every place where it goes beyond the points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "load/plan.h"

#define WHOLE PC_SOURCE_DIR "/tests/fuzz/corpus/load_points/whole.json"

static struct ld_points points;
static struct ld_plan plan;
static struct ld_problem problem;

static int read_points(void **state)
{
    (void)state;
    return ld_points_read(WHOLE, &points, &problem) ? 0 : -1;
}

static struct ld_plan_ask usual(const char *slo)
{
    struct ld_plan_ask a;
    ld_plan_ask_init(&a);
    a.target_per_s = 2e6;
    a.entries[LD_TABLE_REVOKED] = 5e6;
    a.entries[LD_TABLE_LIMIT_KEYS] = 10e6;
    a.revocations_per_s = 100;
    a.cores_per_node = 2;
    assert_true(ld_slo_parse(slo, &a.slo, &problem));
    return a;
}

static bool warned(const char *name)
{
    for (size_t i = 0; i < plan.warnings_n; i++)
        if (!strcmp(plan.warnings[i].name, name))
            return true;
    return false;
}

static void the_answer_agrees_with_sums_by_hand(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<2ms");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    /* Nothing is verified: CPU per request on two cores, about 4.9 us, at 80 %. */
    assert_true(fabs(plan.cpu_us - 4.9) < 0.1 && plan.new_share == 0);
    double node_per_s = 0.8 * 2e6 / plan.cpu_us;
    assert_true(fabs(plan.node_per_s - node_per_s) < 1);
    assert_true(plan.nodes == ceil(2e6 / node_per_s) + 1);
    assert_true(plan.load_lost <= 0.8 + 1e-9 && plan.load_normal < plan.load_lost);
    /* 5 M revoked at about 24.2 B, 10 M keys at about 22.9 B, 12 MB empty. */
    assert_true(fabs(plan.memory_bytes - (12e6 + 122e6 + 229e6)) < 3e6);
    assert_true(plan.memory_part[LD_TABLE_SESSIONS] == 0);
    assert_true(fabs(plan.in_bits_per_s - 2e6 / (plan.nodes - 1) * 860 * 8) < 1);
    assert_true(plan.change_bits_per_s == 100 * 120 * 8);
    assert_true(plan.hub_bits_per_s == plan.nodes * 100 * 120 * 8);
    assert_true(plan.fits && plan.reachable);
    assert_int_equal(plan.needs[0].resource, LD_RESOURCE_CPU);
    for (size_t i = 1; i < plan.needs_n; i++)
        assert_true(plan.needs[i].factor >= plan.needs[i - 1].factor);
}

static void every_further_demand_costs(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<2ms");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    double nodes = plan.nodes, memory = plan.memory_bytes;
    a.nodes_lost = 3;
    assert_true(ld_plan_make(&a, &points, &plan, &problem) && plan.nodes == nodes + 2);
    a.target_per_s *= 2;
    assert_true(ld_plan_make(&a, &points, &plan, &problem) && plan.nodes > 1.8 * nodes);
    a = usual("p99<2ms");
    a.entries[LD_TABLE_SESSIONS] = 2e6;
    assert_true(ld_plan_make(&a, &points, &plan, &problem) && plan.memory_bytes > memory + 40e6);
    a = usual("p99<2ms");
    a.load_max = 0.5;
    assert_true(ld_plan_make(&a, &points, &plan, &problem) && plan.nodes > 1.5 * (nodes - 1));
}

static void a_tighter_objective_needs_more_nodes_until_it_cannot_be_met(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<800us");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_true(plan.load_allowed < 0.8 && plan.load_allowed > 0.3 && plan.reachable);
    assert_true(plan.terms[0].lost_us < 800);
    a = usual("p99<500us");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_false(plan.reachable);
    assert_true(warned("objective-below-floor"));
    assert_true(plan.load_allowed == 0.8);
}

static void tokens_are_verified_by_every_core_that_sees_them(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<5ms");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    double nodes = plan.nodes;
    a.tokens = 50e6;
    a.token_lifetime_s = 3600; /* each asked about 144 times */
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    double cores = (plan.nodes - 1) * 2;
    double seen = cores * (1 - pow(1 - 1 / cores, 144));
    assert_true(fabs(plan.seen_by - seen) < 0.01 * seen);
    assert_true(plan.new_share >= 0.99 * seen / 144);
    assert_true(plan.nodes > nodes && warned("verification-dominates"));
    a.cores_per_token = 1;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_true(plan.seen_by <= 1 && plan.new_share < 0.02);
    assert_false(warned("verification-dominates"));
}

static void a_cache_too_small_is_seen(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<5ms");
    a.tokens = 50e6;
    a.cores_per_token = 1;
    a.cache_entries = 65536;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_true(plan.new_share > 0.5 && warned("cache-too-small"));
}

static void cores_are_found_for_nodes_given(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<2ms");
    a.cores_per_node = 0;
    a.nodes = 4;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    double cores = plan.cores_per_node;
    assert_true(plan.nodes == 4 && plan.fits && cores > 2);
    assert_true(warned("cores-beyond-measured") && warned("few-core-counts"));
    a.cores_per_node = cores - 1;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_false(plan.fits); /* one less does not carry it */
    assert_true(warned("exceeds-cpu"));
}

static void what_lies_beyond_the_points_is_named(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p95<2ms");
    a.entries[LD_TABLE_REVOKED] = 100e6;
    a.target_per_s = 20e6;
    a.load_max = 0.95;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_true(warned("revoked-beyond-measured"));
    assert_false(warned("limit_keys-beyond-measured"));
    assert_true(warned("load-beyond-measured"));
    assert_true(warned("percentile-not-measured"));
    assert_true(warned("cluster-not-measured"));
    assert_false(warned("cores-beyond-measured"));
    assert_false(warned("quick-points"));
}

static void what_breaks_first_is_found(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<2ms");
    a.network_bits_per_s = 1e9;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_int_equal(plan.needs[0].resource, LD_RESOURCE_NETWORK_IN);
    assert_false(plan.fits);
    a = usual("p99<2ms");
    a.revocations_per_s = 500000;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_true(warned("exceeds-writer"));
    a = usual("p99<2ms");
    a.memory_bytes = 0x1p20;
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_true(warned("exceeds-memory"));
}

static void predictions_are_compared_with_what_was_measured(void **state)
{
    (void)state;
    struct ld_plan_ask a = usual("p99<2ms");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    assert_int_equal(plan.checks_n, 3);
    for (size_t i = 0; i < plan.checks_n; i++)
        assert_true(isfinite(plan.checks[i].error) && fabs(plan.checks[i].error) < 0.5);
}

static void questions_that_make_no_sense_are_refused_by_name(void **state)
{
    static const struct {
        size_t offset;
        double value;
        const char *named;
    } rows[] = {
        {offsetof(struct ld_plan_ask, target_per_s),     0,    "--target"         },
        {offsetof(struct ld_plan_ask, target_per_s),     1e15, "--target"         },
        {offsetof(struct ld_plan_ask, nodes),            1,    "--nodes-lost"     },
        {offsetof(struct ld_plan_ask, nodes),            1e9,  "--nodes"          },
        {offsetof(struct ld_plan_ask, cores_per_node),   1e6,  "--cores-per-node" },
        {offsetof(struct ld_plan_ask, load_max),         1,    "--load-max"       },
        {offsetof(struct ld_plan_ask, token_lifetime_s), 0,    "--token-lifetime" },
        {offsetof(struct ld_plan_ask, memory_bytes),     0,    "--memory-per-node"},
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct ld_plan_ask a = usual("p99<2ms");
        memcpy((char *)&a + rows[i].offset, &rows[i].value, sizeof(double));
        assert_false(ld_plan_make(&a, &points, &plan, &problem));
        assert_non_null(strstr(problem.text, rows[i].named));
    }
}

static void text_and_json_say_the_same(void **state)
{
    (void)state;
    char *text = NULL, nodes[64];
    size_t n = 0;
    struct ld_plan_ask a = usual("p99<500us,p50<1ms");
    assert_true(ld_plan_make(&a, &points, &plan, &problem));
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    ld_plan_print(&plan, f);
    fclose(f);
    snprintf(nodes, sizeof(nodes), "%.0f (1 may be lost)", plan.nodes);
    assert_non_null(strstr(text, nodes));
    for (size_t i = 0; i < plan.warnings_n; i++)
        assert_non_null(strstr(text, plan.warnings[i].text));
    for (unsigned i = 0; ld_plan_model_sentence(i); i++)
        assert_non_null(strstr(text, ld_plan_model_sentence(i)));
    free(text);
    json_t *o = ld_plan_to_json(&plan, "a command");
    assert_non_null(o);
    const json_t *answer = json_object_get(o, "answer");
    assert_true(json_number_value(json_object_get(answer, "nodes")) == plan.nodes);
    assert_true(json_is_false(json_object_get(answer, "objective_reachable")));
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), plan.warnings_n);
    assert_int_equal(json_array_size(json_object_get(o, "objective")), 2);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_agrees_with_sums_by_hand),
        cmocka_unit_test(every_further_demand_costs),
        cmocka_unit_test(a_tighter_objective_needs_more_nodes_until_it_cannot_be_met),
        cmocka_unit_test(tokens_are_verified_by_every_core_that_sees_them),
        cmocka_unit_test(a_cache_too_small_is_seen),
        cmocka_unit_test(cores_are_found_for_nodes_given),
        cmocka_unit_test(what_lies_beyond_the_points_is_named),
        cmocka_unit_test(what_breaks_first_is_found),
        cmocka_unit_test(predictions_are_compared_with_what_was_measured),
        cmocka_unit_test(questions_that_make_no_sense_are_refused_by_name),
        cmocka_unit_test(text_and_json_say_the_same),
    };
    return cmocka_run_group_tests(tests, read_points, NULL);
}
