/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop over a reload of flags: reading the file and the environment and compiling
 * with the first, second, … allocation failing, until one run needs no more. Every failure says so
 * and leaves nothing behind.
 *
 * The sources are compiled into this program with their allocations replaced. */
#include "support/faulty_alloc.h"

#include "edge/state/flags.c"         /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/flags_builtin.c" /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/flags_file.c"    /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/flags_compile.c" /* NOLINT(bugprone-suspicious-include) */
#include "edge/state/flags_environ.c" /* NOLINT(bugprone-suspicious-include) */

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int reload(const char *text, struct pc_flags **flags, struct pc_why *why)
{
    char *environ[] = {(char *)(uintptr_t) "FLAG_CACHE_TTL_SECONDS=5", NULL};
    struct pc_flag_layer *file = NULL, *environment = NULL;
    struct pc_flags *fresh = NULL;
    int rc = pc_flag_layer_parse_file_text(pc_bytes_str(text), &file, why);
    if (rc == 0)
        rc = pc_flag_layer_from_environ(environ, &environment, why);
    if (rc == 0)
        rc = pc_flags_compile(file, NULL, environment, &fresh, why);
    if (rc == 0) {
        pc_flags_free(*flags);
        *flags = fresh;
    }
    pc_flag_layer_free(file);
    pc_flag_layer_free(environment);
    return rc;
}

static void every_allocation_of_a_reload_may_fail(void **state)
{
    int rc;
    (void)state;
    fails_at = 0;
    do {
        struct pc_why why = {""};
        struct pc_flags *flags = NULL;
        unsigned k = ++fails_at;
        fails_at = 0;
        assert_int_equal(reload("{\"x\":\"old\"}", &flags, NULL), 0);
        fails_at = k;
        allocations = 0;
        rc = reload("{\"x\":\"new\"}", &flags, &why);
        assert_true(rc == 0 || (rc == -ENOMEM && why.text[0]));
        const struct pc_flag *x = pc_flags_find(flags, PC_LIT("x"));
        assert_true(pc_bytes_eq(x->value, rc ? PC_LIT("\"old\"") : PC_LIT("\"new\"")));
        pc_flags_free(flags);
        assert_int_equal(live, 0);
    } while (rc);
    assert_int_equal(fails_at, 6); /* tokens, layer, environment, drafts, snapshot, and none */
}

static void a_refused_file_leaves_nothing_behind(void **state)
{
    static const char *const bad[] = {"{", "{\"a\":null}", "{\"flags\":1}", "{\"b\":1,\"a\":[]}"};
    (void)state;
    fails_at = 0;
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        struct pc_flags *flags = NULL;
        assert_true(reload(bad[i], &flags, NULL) < 0);
        assert_null(flags);
        assert_int_equal(live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_of_a_reload_may_fail),
                                       cmocka_unit_test(a_refused_file_leaves_nothing_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
