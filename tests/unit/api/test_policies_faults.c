/* SPDX-License-Identifier: Apache-2.0
 * Compiling limit policies, and compiling them again over the old ones, while the k-th allocation
 * fails, for every k: it is refused with words, nothing leaks, and what was counted before is still
 * there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "edge/api/policies.h"
#include "support/fake_malloc.h"

#define FAULTS_MAX 1000 /* more than compiling allocates */

static const uint8_t secret[16] = "0123456789abcdef";

static int compile(const struct pc_config *c, const struct pc_policies *old,
                   struct pc_policies **ret)
{
    struct pc_why why = {""};
    int err = pc_policies_compile(c, old, 2, secret, ret, &why);
    assert_true(err == 0 || (err == -ENOMEM && strstr(why.text, "no memory")));
    return err;
}

static int64_t remaining(const struct pc_policies *p)
{
    uint8_t text[PC_LIMIT_KEY_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_limit_user user = {.now_ns = 1000000000};
    struct pc_charge c;
    assert_int_equal(pc_charge_of_key(&c, pc_policies_at(p, 0), 1, PC_LIT("k"), &b), 0);
    pc_charges_peek(&c, 1, &user);
    return c.result.remaining;
}

static void charge(const struct pc_policies *p)
{
    uint8_t text[PC_LIMIT_KEY_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_limit_user user = {.now_ns = 1000000000};
    struct pc_charge c;
    assert_int_equal(pc_charge_of_key(&c, pc_policies_at(p, 0), 1, PC_LIT("k"), &b), 0);
    assert_int_equal(pc_charges_take(&c, 1, &user), -1);
}

/* Compiles with every allocation failing in turn until none did; the number of failures. */
static long fail_each(const struct pc_config *c, const struct pc_policies *old,
                      struct pc_policies **ret)
{
    for (long k = 1; k < FAULTS_MAX; k++) {
        long before = fake_malloc_live();
        fake_malloc_fail_at(k);
        int err = compile(c, old, ret);
        fake_malloc_fail_at(0);
        if (err == 0 && !fake_malloc_fired())
            return k - 1;
        assert_int_equal(err, -ENOMEM); /* nothing here can be done without */
        assert_int_equal(fake_malloc_live(), before);
        if (old)
            assert_int_equal(remaining(old), 9);
    }
    fail_msg("it allocates more than %d times", FAULTS_MAX);
    return 0;
}

static void a_failed_allocation_refuses_and_leaves_the_old_ones(void **state)
{
    static const char *words[] = {"ip", "header:x", "literal:a"};
    struct pc_config_limit_policy rows[] = {
        {.name = "a", .rate = "10/h", .key = {words, 1}, .cost = 1, .max_keys = 1024},
        {.name = "b", .rate = "10/h", .key = {words, 3}, .cost = 1, .max_keys = 1024},
    };
    struct pc_config c = {.limit_policies = rows, .limit_policy_count = PC_COUNT(rows)};
    struct pc_policies *p = NULL, *again = NULL;
    (void)state;
    long before = fake_malloc_live();
    long failures = fail_each(&c, NULL, &p);
    assert_true(failures > 8 || !fake_malloc_works());
    charge(p);
    rows[1].max_keys = 2048; /* the second gets a table of its own, the first keeps its */
    failures = fail_each(&c, p, &again);
    assert_true(failures > 4 || !fake_malloc_works());
    pc_policies_free(p);
    assert_int_equal(remaining(again), 9);
    pc_policies_free(again);
    assert_int_equal(fake_malloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_allocation_refuses_and_leaves_the_old_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
