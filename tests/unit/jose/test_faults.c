/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop: reading a key set, building and cloning a snapshot with the first, second, …
 * allocation failing, until one run needs no more. Every failure says so, and nothing leaks (the
 * counter here; the sanitizers see the rest).
 *
 * The sources are compiled into this program with their allocations replaced. */
#include "support/faulty_alloc.h"

#include "edge/jose/key.c"   /* NOLINT(bugprone-suspicious-include) */
#include "edge/jose/jwk.c"   /* NOLINT(bugprone-suspicious-include) */
#include "edge/jose/trust.c" /* NOLINT(bugprone-suspicious-include) */

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char jwks_text[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

/* The whole life of a snapshot; how far it came. */
static int live_through(struct pc_why *why)
{
    struct pc_jwks *set = NULL;
    struct pc_trust *t = NULL, *clone = NULL;
    struct pc_issuer_settings s;
    int rc = pc_jwks_parse(pc_bytes_str(jwks_text), false, NULL, NULL, &set, why);
    if (rc)
        return rc;
    pc_issuer_settings_init(&s, PC_LIT("i"));
    struct pc_trust_source source = {&s, set};
    rc = pc_trust_build(&source, 1, &t, why);
    pc_jwks_free(set);
    if (rc)
        return rc;
    pc_trust_seal(t, NULL);
    rc = pc_trust_clone(t, &clone);
    if (rc == 0)
        pc_trust_seal(clone, t);
    pc_trust_free(t);
    pc_trust_free(clone);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    int rc;
    (void)state;
    fails_at = 0;
    do {
        struct pc_why why = {""};
        fails_at++;
        allocations = 0;
        rc = live_through(&why);
        assert_int_equal(live, 0);
        assert_true(rc == 0 || rc == -ENOMEM);
    } while (rc);
    assert_true(fails_at > 8);
    assert_true(allocations < fails_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
