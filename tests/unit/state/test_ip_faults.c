/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop over IP sets: loading a configuration and compiling runtime rules with the
 * first, second, … allocation failing, until one run needs no more. Every failure says -ENOMEM, and
 * nothing leaks (the counter here; the sanitizers see the rest).
 *
 * The sources are compiled into this program with their allocations replaced. */
#include "support/faulty_alloc.h"

#include "edge/state/ip_build.c" /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/ip_sets.c"  /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/ip_table.c" /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/ip_tree.c"  /* NOLINT(bugprone-suspicious-include) */

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct pc_registers *runtime;

static int live_through(void)
{
    static const char *const allow[] = {"192.0.2.0/24", "2001:db8::/32"};
    const struct pc_ip_set_source sets[] = {
        {.name = "office", .allow = allow,                                                        .allow_n = 2},
        {.name = "global",
         .list = PC_LIT(
             "10.0.0.0/8 expires=2026-12-24 # a\n10.1.0.0/16 expires=1000000000 # b\n::1 # c\n"),
         .list_name = "file"                                                                                  },
    };
    struct pc_ip_configured *c;
    struct pc_ip_sets *s;
    struct pc_why why = {{0}};
    int rc = pc_ip_configured_new(sets, 2, &c, &why);
    if (rc < 0)
        return rc;
    rc = pc_ip_sets_compile(c, runtime, 0, &s, &why);
    if (rc == 0)
        pc_ip_sets_free(s);
    pc_ip_configured_free(c);
    return rc;
}

static void every_failed_allocation_is_survived(void **state)
{
    const struct pc_register rules[] = {
        {.key = PC_LIT("global 192.0.2.0/24"), .value = PC_LIT("deny"),  .expires_at_ms = 5     },
        {.key = PC_LIT("global ::/0"),         .value = PC_LIT("allow"), .reason = PC_LIT("why")},
        {.key = PC_LIT("other 192.0.2.0/24"),  .value = PC_LIT("deny"),  .actor = PC_LIT("me")  },
    };
    int rc = -ENOMEM;
    (void)state;
    assert_int_equal(pc_registers_merge(NULL, rules, PC_COUNT(rules), 0, SIZE_MAX, &runtime), 0);
    for (fails_at = 1; rc < 0; fails_at++) {
        allocations = 0;
        rc = live_through();
        assert_int_equal(live, 0);
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_true(fails_at < 1000);
        /* Shrinking an array is the one thing that may fail and go unnoticed. */
        if (rc == 0 && allocations >= fails_at)
            rc = -ENOMEM;
    }
    assert_true(fails_at > 20);
    pc_registers_free(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
