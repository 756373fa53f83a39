/* SPDX-License-Identifier: Apache-2.0
 * Snapshots of what is trusted: what is refused when one is built, what a generation means (I2),
 * and that a revoked key stays revoked (I3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "edge/jose/trust.h"
#include "support/mint.h"

static struct mint_key *a, *b;

static int make_keys(void **state)
{
    (void)state;
    a = mint_key_new(PC_ALG_EDDSA, "a");
    b = mint_key_new(PC_ALG_ES256, "b");
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    mint_key_free(a);
    mint_key_free(b);
    return 0;
}

static struct pc_issuer_settings named(const char *name)
{
    struct pc_issuer_settings s;
    pc_issuer_settings_init(&s, pc_bytes_str(name));
    return s;
}

/* A draft of one issuer "i" with the keys a and b. */
static struct pc_trust *draft_of(const struct pc_issuer_settings *s)
{
    const struct mint_key *keys[] = {a, b};
    struct pc_jwks *set = mint_read_jwks(keys, 2);
    struct pc_trust_source source = {s, set};
    struct pc_trust *t;
    assert_int_equal(pc_trust_build(&source, 1, &t, NULL), 0);
    pc_jwks_free(set);
    return t;
}

static void issuers_are_found_by_their_exact_name(void **state)
{
    static char names[PC_TRUST_ISSUERS_MAX][32];
    static struct pc_issuer_settings settings[PC_TRUST_ISSUERS_MAX];
    static struct pc_trust_source sources[PC_TRUST_ISSUERS_MAX];
    struct pc_trust *t;
    char longest[PC_ISSUER_MAX + 2];
    (void)state;
    for (int i = 0; i < PC_TRUST_ISSUERS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "https://issuer-%d", i);
        settings[i] = named(names[i]);
        sources[i].settings = &settings[i];
    }
    assert_int_equal(pc_trust_build(sources, PC_TRUST_ISSUERS_MAX, &t, NULL), 0);
    for (int i = 0; i < PC_TRUST_ISSUERS_MAX; i++) {
        const struct pc_issuer *found = pc_trust_find_issuer(t, pc_bytes_str(names[i]));
        assert_ptr_equal(found, &t->issuers[i]);
        assert_int_equal(found->index, i);
        assert_ptr_not_equal(found->s.name.p, names[i]); /* the snapshot owns its strings */
    }
    assert_null(pc_trust_find_issuer(t, PC_LIT("https://issuer-")));
    assert_null(pc_trust_find_issuer(t, PC_LIT("https://issuer-1/")));
    assert_null(pc_trust_find_issuer(t, PC_LIT("")));
    memset(longest, 'x', sizeof longest);
    assert_null(pc_trust_find_issuer(t, pc_bytes_of(longest, sizeof longest)));
    pc_trust_free(t);
}

static void a_snapshot_may_be_empty(void **state)
{
    struct pc_trust *t, *clone;
    (void)state;
    assert_int_equal(pc_trust_build(NULL, 0, &t, NULL), 0);
    assert_null(pc_trust_find_issuer(t, PC_LIT("x")));
    pc_trust_seal(t, NULL);
    assert_int_equal(pc_trust_clone(t, &clone), 0);
    pc_trust_seal(clone, t);
    assert_int_equal(clone->generation, 1);
    pc_trust_free(clone);
    pc_trust_free(t);
    pc_trust_free(NULL);
}

static void assert_wrong(const struct pc_issuer_settings *s, const char *what)
{
    struct pc_trust_source source = {s, NULL};
    struct pc_trust *t = NULL;
    struct pc_why why;
    assert_true(pc_trust_build(&source, 1, &t, &why) < 0);
    if (!strstr(why.text, what))
        fail_msg("%s", why.text);
    assert_null(t);
}

static void refuses_settings_out_of_range(void **state)
{
    static struct pc_bytes many[PC_AUDIENCES_MAX + 1];
    static char longest[PC_ISSUER_MAX + 2];
    struct pc_issuer_settings s;
    (void)state;
    s = named("");
    assert_wrong(&s, "empty");
    memset(longest, 'x', sizeof longest - 1);
    s = named(longest);
    assert_wrong(&s, "longer than 256");
    s = named("*");
    assert_wrong(&s, "\"*\"");
    s = named("a\nb");
    assert_wrong(&s, "control character");
    s = named("i");
    s.algorithms = 0;
    assert_wrong(&s, "no algorithm");
    s.algorithms = PC_ALG_BIT(PC_ALG_COUNT);
    assert_wrong(&s, "not known");
    s.algorithms = PC_ALG_BIT(PC_ALG_HS256);
    assert_wrong(&s, "explicit permission");
    s = named("i");
    s.skew_ms = -1;
    assert_wrong(&s, "skew");
    s.skew_ms = PC_SKEW_MAX_MS + 1;
    assert_wrong(&s, "skew");
    s = named("i");
    s.max_lifetime_ms = -1;
    assert_wrong(&s, "lifetime");
    s = named("i");
    s.audiences = many;
    s.audience_count = PC_COUNT(many);
    assert_wrong(&s, "audiences");
    s.audience_count = 1;
    assert_wrong(&s, "audience is empty");
    s = named("i");
    s.types = many;
    s.type_count = PC_TYPES_MAX + 1;
    assert_wrong(&s, "types");
    s = named("i");
    s.claims.roles = pc_bytes_of(longest, PC_CLAIM_NAME_MAX + 1);
    assert_wrong(&s, "claim name");
}

static void refuses_two_issuers_of_one_name(void **state)
{
    struct pc_issuer_settings one = named("same"), two = named("same");
    struct pc_trust_source sources[] = {
        {&one, NULL},
        {&two, NULL}
    };
    struct pc_trust *t;
    struct pc_why why;
    (void)state;
    assert_int_equal(pc_trust_build(sources, 2, &t, &why), PC_E_DUPLICATE);
    assert_string_equal(why.text, "issuer same is configured twice");
}

static void a_public_key_of_any_issuer_is_no_secret_of_another(void **state)
{
    static const uint8_t seed[32] = {1, 2, 3};
    struct pc_issuer_settings public = named("public"), secret = named("secret");
    struct mint_key *ed = mint_key_from_seed(seed, "ed");
    uint8_t text[512] = {0};
    struct pc_buf buf = pc_buf_of(text, sizeof text - 1);
    struct pc_jwks *sets[2];
    struct pc_trust *t;
    struct pc_why why;
    (void)state;
    mint_jwk(&buf, ed, NULL);
    /* {"kty":"OKP","crv":"Ed25519","x":"…"…} becomes {"kty":"oct","k":"…"…} */
    char *x = strstr((char *)text, "\"x\":\"") + 5, oct[256];
    snprintf(oct, sizeof oct, "{\"kty\":\"oct\",\"k\":\"%.43s\"}", x);
    sets[0] = mint_read_jwks((const struct mint_key *const *)&ed, 1);
    assert_int_equal(pc_jwks_parse(pc_bytes_str(oct), true, NULL, NULL, &sets[1], NULL), 0);
    secret.algorithms = PC_ALGS_HMAC;
    secret.allow_secrets = true;
    struct pc_trust_source sources[] = {
        {&public, sets[0]},
        {&secret, sets[1]}
    };
    assert_int_equal(pc_trust_build(sources, 2, &t, &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "is the public key"));
    assert_int_equal(pc_trust_build(sources + 1, 1, &t, &why), 0); /* nobody can know */
    pc_trust_free(t);
    pc_jwks_free(sets[0]);
    pc_jwks_free(sets[1]);
    mint_key_free(ed);
}

/* --- I2 ---------------------------------------------------------------------------------- */

static uint64_t generation_after(const struct pc_issuer_settings *s, const struct pc_trust *before)
{
    struct pc_trust *t = draft_of(s);
    pc_trust_seal(t, before);
    uint64_t generation = t->generation;
    pc_trust_free(t);
    return generation;
}

static void the_generation_grows_with_any_setting(void **state)
{
    const struct pc_bytes list[] = {PC_LIT("x")};
    const struct pc_issuer_settings usual = named("i");
    struct pc_issuer_settings s[20];
    size_t n = 0;
    struct pc_trust *first = draft_of(&usual);
    (void)state;
    pc_trust_seal(first, NULL);
    assert_int_equal(first->generation, 1);
    assert_int_equal(generation_after(&usual, first), 1); /* reloaded, but unchanged */
    for (n = 0; n < PC_COUNT(s); n++)
        s[n] = usual;
    n = 0;
    s[n++].name = PC_LIT("j");
    s[n++].algorithms = PC_ALG_BIT(PC_ALG_EDDSA);
    s[n++].allow_secrets = true;
    s[n++].skew_ms++;
    s[n++].max_lifetime_ms = 0;
    s[n++].require_jti = false;
    s[n++].require_session = true;
    s[n++].trust_iat_ms = true;
    s[n].audiences = list;
    s[n++].audience_count = 1;
    s[n].types = list;
    s[n++].type_count = 1;
    s[n++].claims.session = PC_LIT("x");
    s[n++].claims.family = PC_LIT("x");
    s[n++].claims.client = PC_LIT("x");
    s[n++].claims.client_instead = PC_LIT("x");
    s[n++].claims.scopes = PC_LIT("x");
    s[n++].claims.scopes_instead = PC_LIT("x");
    s[n++].claims.roles = PC_LIT("x");
    for (size_t i = 0; i < n; i++)
        if (generation_after(&s[i], first) != 2)
            fail_msg("setting %zu does not count", i);
    pc_trust_free(first);
}

static void the_generation_grows_with_keys(void **state)
{
    const struct pc_issuer_settings usual = named("i");
    struct pc_trust *first = draft_of(&usual), *t;
    const struct mint_key *one[] = {a}, *swapped[] = {b, a};
    (void)state;
    pc_trust_seal(first, NULL);
    t = mint_trust(&usual, one, 1);
    assert_memory_not_equal(t->digest, first->digest, sizeof t->digest);
    pc_trust_free(t);
    t = mint_trust(&usual, swapped, 2); /* key indices would mean other keys */
    assert_memory_not_equal(t->digest, first->digest, sizeof t->digest);
    pc_trust_free(t);
    assert_int_equal(pc_trust_clone(first, &t), 0);
    pc_trust_set_key_revoked(t, PC_LIT("i"), pc_bytes_str(first->keys[1].key->thumbprint), true);
    pc_trust_seal(t, first);
    assert_int_equal(t->generation, 2);
    pc_trust_free(t);
    pc_trust_free(first);
}

static void the_generation_stays_with_cutoffs(void **state)
{
    const struct pc_issuer_settings usual = named("i");
    struct pc_trust *first = draft_of(&usual), *t;
    const struct pc_issuer_status gone = {.revoked = true, .cutoff_ms = 5};
    (void)state;
    pc_trust_seal(first, NULL);
    assert_int_equal(first->all_cutoff_ms, PC_CUTOFF_NONE);
    assert_int_equal(first->status[0].cutoff_ms, PC_CUTOFF_NONE);
    assert_int_equal(pc_trust_clone(first, &t), 0);
    assert_int_equal(pc_trust_set_issuer_status(t, PC_LIT("i"), gone), 1);
    assert_int_equal(pc_trust_set_issuer_status(t, PC_LIT("*"), gone), 1);
    assert_int_equal(pc_trust_set_issuer_status(t, PC_LIT("j"), gone), 0);
    t->all_cutoff_ms = 7;
    t->wildcard_kinds = 1u << PC_KIND_SUBJECT;
    pc_trust_seal(t, first);
    assert_int_equal(t->generation, 1);
    assert_true(t->status[0].revoked);
    assert_false(first->status[0].revoked); /* I1 */
    struct pc_trust *again;
    assert_int_equal(pc_trust_clone(t, &again), 0);
    assert_int_equal(again->all_cutoff_ms, 7);
    assert_int_equal(again->status[0].cutoff_ms, 5);
    assert_int_equal(again->wildcard_kinds, 1u << PC_KIND_SUBJECT);
    pc_trust_free(first);
    pc_trust_free(t);
    pc_trust_free(again);
}

/* --- keys -------------------------------------------------------------------------------- */

static void keys_are_found_by_kid_and_algorithm(void **state)
{
    const struct pc_issuer_settings usual = named("i");
    struct pc_trust *t = draft_of(&usual);
    const struct pc_issuer *i = &t->issuers[0];
    struct pc_key_choice c;
    (void)state;
    pc_trust_find_keys(t, i, PC_LIT("a"), PC_ALG_EDDSA, &c);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.keys[0], 0);
    pc_trust_find_keys(t, i, PC_LIT("b"), PC_ALG_ES256, &c);
    assert_int_equal(c.keys[0], 1);
    pc_trust_find_keys(t, i, PC_LIT("b"), PC_ALG_EDDSA, &c);
    assert_true(c.count == 0 && c.other_algorithm && !c.revoked);
    pc_trust_find_keys(t, i, PC_LIT("c"), PC_ALG_EDDSA, &c);
    assert_true(c.count == 0 && !c.other_algorithm && !c.revoked);
    pc_trust_find_keys(t, i, PC_LIT(""), PC_ALG_ES256, &c);
    assert_int_equal(c.count, 1);
    pc_trust_find_keys(t, i, PC_LIT(""), PC_ALG_RS256, &c);
    assert_true(c.count == 0 && !c.other_algorithm && !c.revoked);
    pc_trust_free(t);
}

static void a_revoked_key_is_found_no_more_until_it_is_cleared(void **state)
{
    const struct pc_issuer_settings usual = named("i");
    struct pc_trust *t = draft_of(&usual);
    struct pc_bytes thumbprint = pc_bytes_str(t->keys[0].key->thumbprint);
    struct pc_key_choice c;
    (void)state;
    assert_int_equal(pc_trust_set_key_revoked(t, PC_LIT("j"), thumbprint, true), 0);
    assert_int_equal(pc_trust_set_key_revoked(t, PC_LIT("i"), PC_LIT("x"), true), 0);
    assert_int_equal(pc_trust_set_key_revoked(t, PC_LIT("i"), thumbprint, true), 1);
    pc_trust_find_keys(t, &t->issuers[0], PC_LIT("a"), PC_ALG_EDDSA, &c);
    assert_true(c.count == 0 && c.revoked);
    pc_trust_find_keys(t, &t->issuers[0], PC_LIT(""), PC_ALG_EDDSA, &c);
    assert_true(c.count == 0 && c.revoked);
    assert_int_equal(pc_trust_set_key_revoked(t, PC_LIT("*"), thumbprint, false), 1);
    pc_trust_find_keys(t, &t->issuers[0], PC_LIT("a"), PC_ALG_EDDSA, &c);
    assert_true(c.count == 1 && !c.revoked);
    pc_trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(issuers_are_found_by_their_exact_name),
        cmocka_unit_test(a_snapshot_may_be_empty),
        cmocka_unit_test(refuses_settings_out_of_range),
        cmocka_unit_test(refuses_two_issuers_of_one_name),
        cmocka_unit_test(a_public_key_of_any_issuer_is_no_secret_of_another),
        cmocka_unit_test(the_generation_grows_with_any_setting),
        cmocka_unit_test(the_generation_grows_with_keys),
        cmocka_unit_test(the_generation_stays_with_cutoffs),
        cmocka_unit_test(keys_are_found_by_kid_and_algorithm),
        cmocka_unit_test(a_revoked_key_is_found_no_more_until_it_is_cleared),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
