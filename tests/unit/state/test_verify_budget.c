/* SPDX-License-Identifier: Apache-2.0
 * The signature budget: what a flood may cost, and who is still served during it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "edge/state/verify_budget.h"

#define MS   INT64_C(1000000)
#define S    (1000 * MS)
#define COST (143 * INT64_C(1000)) /* P-256 */
#define T0   (77 * S)

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static struct pc_verify_budget *budget_of(uint32_t share, uint32_t client, uint32_t burst_ms,
                                          uint32_t clients)
{
    struct pc_verify_budget_options o = {share, client, burst_ms, clients};
    struct pc_verify_budget *b = NULL;
    assert_int_equal(pc_verify_budget_create(&o, T0, &b), 0);
    return b;
}

static void a_burst_passes_then_the_rate_holds(void **state)
{
    (void)state;
    struct pc_verify_budget *b = budget_of(500, 500, 100, 16);
    assert_true(pc_verify_budget_charge(b, 1, 100 * MS, T0, NULL));
    int64_t retry = 0;
    assert_false(pc_verify_budget_charge(b, 1, MS, T0, &retry));
    assert_int_equal(retry, 2 * MS);
    assert_false(pc_verify_budget_charge(b, 1, MS, T0 + retry - 2, NULL));
    assert_true(pc_verify_budget_charge(b, 1, MS, T0 + retry, NULL));
    struct pc_verify_budget_stats s = pc_verify_budget_get_stats(b);
    assert_int_equal(s.charged_ns, 101 * MS);
    assert_int_equal(s.refused_core, 2);
    pc_verify_budget_destroy(b);
}

static void one_client_alone_may_use_more_than_its_share(void **state)
{
    (void)state;
    struct pc_verify_budget *b = budget_of(500, 50, 100, 16);
    int64_t granted = 0;
    for (int64_t now = T0; now < T0 + 10 * S; now += MS / 10)
        if (pc_verify_budget_charge(b, 1, COST, now, NULL))
            granted += COST;
    /* Half of ten seconds, and the burst down to the reserve. */
    assert_in_range(granted, 4900 * MS, 5100 * MS);
    pc_verify_budget_destroy(b);
}

static void a_flooding_client_leaves_the_others_served(void **state)
{
    (void)state;
    struct pc_verify_budget *b = budget_of(500, 50, 100, 64);
    int refused = 0;
    for (int64_t step = 0; step < 100000; step++) {
        int64_t now = T0 + step * MS / 10;
        for (int i = 0; i < 5; i++)
            (void)pc_verify_budget_charge(b, 666, COST, now, NULL);
        /* Three others verify a new token every 10 ms: 1.4 % of the core each. */
        if (step % 100 < 3)
            refused += !pc_verify_budget_charge(b, 1 + (uint64_t)step % 100, COST, now, NULL);
    }
    assert_int_equal(refused, 0);
    assert_true(pc_verify_budget_get_stats(b).refused_client > 0);
    pc_verify_budget_destroy(b);
}

static void many_addresses_get_no_more_than_the_core_has(void **state)
{
    (void)state;
    const uint32_t tables[] = {4, 1024, 65536};
    for (size_t i = 0; i < PC_COUNT(tables); i++) {
        struct pc_verify_budget *b = budget_of(300, 30, 50, tables[i]);
        int64_t granted = 0;
        for (int64_t now = T0; now < T0 + 4 * S; now += MS / 50)
            if (pc_verify_budget_charge(b, rng(), COST, now, NULL))
                granted += COST;
        assert_in_range(granted, 1100 * MS, (1200 + 50) * MS); /* I2 */
        assert_int_equal(granted, pc_verify_budget_get_stats(b).charged_ns);
        pc_verify_budget_destroy(b);
    }
}

static void being_forgotten_does_not_refill_a_bucket(void **state)
{
    (void)state;
    /* One set of four; five clients, all spent. The newcomer inherits what is left. */
    struct pc_verify_budget *b = budget_of(1000, 10, 1000, 4);
    for (uint64_t client = 1; client <= 4; client++)
        assert_true(pc_verify_budget_charge(b, client, 10 * MS, T0, NULL));
    assert_true(pc_verify_budget_charge(b, 9, 500 * MS - 40 * MS, T0, NULL));
    assert_false(pc_verify_budget_charge(b, 5, COST, T0, NULL));
    assert_false(pc_verify_budget_charge(b, 1, COST, T0, NULL));
    assert_int_equal(pc_verify_budget_get_stats(b).refused_client, 2);
    pc_verify_budget_destroy(b);
}

static void the_retry_time_is_when_it_passes(void **state)
{
    (void)state;
    struct pc_verify_budget *b = budget_of(200, 20, 100, 64);
    int64_t now = T0;
    for (int i = 0; i < 20000; i++) {
        int64_t cost = (int64_t)(rng() % (uint64_t)(2 * MS)) + 1;
        uint64_t client = rng() % 3;
        int64_t retry = -1;
        if (!pc_verify_budget_charge(b, client, cost, now, &retry)) {
            assert_true(retry > 0);
            now += retry + 10;
            assert_true(pc_verify_budget_charge(b, client, cost, now, NULL));
        }
        now += (int64_t)(rng() % 1000);
    }
    pc_verify_budget_destroy(b);
}

static void a_cost_above_the_bucket_never_passes(void **state)
{
    (void)state;
    struct pc_verify_budget *b = budget_of(1000, 1000, 1, 4);
    int64_t retry = 0;
    assert_false(pc_verify_budget_charge(b, 1, MS + 1, T0, &retry));
    assert_int_equal(retry, INT64_MAX);
    assert_true(pc_verify_budget_charge(b, 1, 0, T0, NULL));
    pc_verify_budget_destroy(b);
}

static void time_that_stands_still_or_jumps_does_no_harm(void **state)
{
    (void)state;
    struct pc_verify_budget *b = budget_of(500, 500, 10, 4);
    assert_true(pc_verify_budget_charge(b, 1, 10 * MS, T0, NULL));
    assert_false(pc_verify_budget_charge(b, 1, MS, T0 - 5 * S, NULL));
    assert_false(pc_verify_budget_charge(b, 1, MS, T0, NULL));
    assert_true(pc_verify_budget_charge(b, 1, 10 * MS, INT64_MAX, NULL));
    assert_false(pc_verify_budget_charge(b, 1, 1, INT64_MAX, NULL));
    pc_verify_budget_destroy(b);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    const struct pc_verify_budget_options bad[] = {
        {1001, 0,   0,     0                               },
        {100,  101, 0,     0                               },
        {0,    0,   10001, 0                               },
        {0,    0,   0,     PC_VERIFY_BUDGET_CLIENTS_MAX + 1},
    };
    struct pc_verify_budget *b = NULL;
    for (size_t i = 0; i < PC_COUNT(bad); i++)
        assert_int_equal(pc_verify_budget_create(&bad[i], T0, &b), -EINVAL);
    assert_null(b);
    pc_verify_budget_destroy(budget_of(0, 0, 0, 0));
    pc_verify_budget_destroy(budget_of(10, 0, 0, 0)); /* below the default of a client */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_then_the_rate_holds),
        cmocka_unit_test(one_client_alone_may_use_more_than_its_share),
        cmocka_unit_test(a_flooding_client_leaves_the_others_served),
        cmocka_unit_test(many_addresses_get_no_more_than_the_core_has),
        cmocka_unit_test(being_forgotten_does_not_refill_a_bucket),
        cmocka_unit_test(the_retry_time_is_when_it_passes),
        cmocka_unit_test(a_cost_above_the_bucket_never_passes),
        cmocka_unit_test(time_that_stands_still_or_jumps_does_no_harm),
        cmocka_unit_test(options_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
