/* SPDX-License-Identifier: Apache-2.0
 * Key sets: what is read, skipped with a warning, and refused; and verification with single keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base64url.h"
#include "support/mint.h"

#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED   "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\""
#define P256                                                                                       \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","      \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define SECRET                                                                                     \
    "\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"" /* 0 to 31             \
                                                                             */
#define ED_ALGS PC_ALG_BIT(PC_ALG_EDDSA)

static unsigned warnings;
static char warning[600];

static void warn(void *arg, const char *text)
{
    (void)arg;
    warnings++;
    snprintf(warning, sizeof warning, "%s", text);
}

static int parse(const char *text, bool secrets, struct pc_jwks **ret_set, struct pc_why *why)
{
    warnings = 0;
    return pc_jwks_parse(pc_bytes_str(text), secrets, warn, NULL, ret_set, why);
}

static struct pc_jwks *parsed(const char *text)
{
    struct pc_jwks *set = NULL;
    struct pc_why why;
    if (parse(text, true, &set, &why))
        fail_msg("%s: %s", text, why.text);
    return set;
}

static void reads_every_kind_of_key(void **state)
{
    (void)state;
    for (int alg = 1; alg < PC_ALG_COUNT; alg++) {
        struct mint_key *key = mint_key_new((enum pc_alg)alg, "a kid");
        struct pc_jwks *set = mint_read_jwks((const struct mint_key *const *)&key, 1);
        assert_int_equal(set->count, 1);
        assert_true(set->keys[0]->algorithms & PC_ALG_BIT(alg));
        assert_true(pc_bytes_eq_str(set->keys[0]->kid, "a kid"));
        assert_int_equal(strlen(set->keys[0]->thumbprint), PC_THUMBPRINT_CHARS);
        pc_jwks_free(set);
        mint_key_free(key);
    }
}

static void a_key_verifies_its_own_algorithms_only(void **state)
{
    static const enum pc_alg kinds[] = {PC_ALG_EDDSA, PC_ALG_ES256, PC_ALG_ES384, PC_ALG_RS256,
                                        PC_ALG_HS256};
    struct pc_bytes data = PC_LIT("data");
    uint8_t sig[512];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(kinds); i++) {
        struct mint_key *key = mint_key_new(kinds[i], "");
        struct pc_jwks *set = mint_read_jwks((const struct mint_key *const *)&key, 1);
        size_t n = mint_signature(key, kinds[i], data, sig, sizeof sig);
        for (int alg = 0; alg < PC_ALG_COUNT; alg++)
            assert_int_equal(
                pc_key_verify(set->keys[0], (enum pc_alg)alg, data, pc_bytes_of(sig, n)),
                alg == (int)kinds[i]);
        /* one byte less, one more, none */
        assert_false(pc_key_verify(set->keys[0], kinds[i], data, pc_bytes_of(sig, n - 1)));
        sig[n] = 0;
        assert_false(pc_key_verify(set->keys[0], kinds[i], data, pc_bytes_of(sig, n + 1)));
        assert_false(pc_key_verify(set->keys[0], kinds[i], data, pc_bytes_of(sig, 0)));
        pc_jwks_free(set);
        mint_key_free(key);
    }
}

static void alg_restricts_a_key(void **state)
{
    struct pc_jwks *set = parsed("{\"keys\":[{" ED ",\"alg\":\"EdDSA\"}]}");
    (void)state;
    assert_int_equal(set->keys[0]->algorithms, ED_ALGS);
    pc_jwks_free(set);
    set = parsed("{" ED ",\"alg\":\"Ed25519\",\"use\":\"sig\",\"key_ops\":[\"verify\"]}");
    assert_int_equal(set->keys[0]->algorithms, ED_ALGS);
    pc_jwks_free(set);
    set = parsed("{" SECRET ",\"alg\":\"HS256\"}");
    assert_int_equal(set->keys[0]->algorithms, PC_ALG_BIT(PC_ALG_HS256));
    pc_jwks_free(set);
}

static void skips_what_is_of_no_use_with_a_warning(void **state)
{
    static const char *const rows[] = {
        "{\"kty\":\"XYZ\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{" ED ",\"use\":\"enc\"}",
        "{" ED ",\"key_ops\":[\"deriveKey\"]}",
        "{" P256 ",\"alg\":\"ECDH-ES\"}",
        "{" P256 ",\"alg\":\"ECDH-ES\",\"use\":\"enc\",\"key_ops\":[]}",
        "{" ED ",\"kid\":\"b\"}", /* repeated */
    };
    char text[1024];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        snprintf(text, sizeof text, "{\"keys\":[{" ED ",\"kid\":\"b\"},\n%s]}", rows[i]);
        struct pc_jwks *set = parsed(text);
        assert_int_equal(set->count, 1);
        assert_int_equal(warnings, 1);
        assert_non_null(strstr(warning, "line 2 column 1: key 1 skipped: "));
        pc_jwks_free(set);
    }
}

static void refuses_the_whole_set_for_what_is_wrong(void **state)
{
    static const struct {
        const char *key, *what;
    } rows[] = {
        {"7",                                                                        "no object"                     },
        {"{}",                                                                       "no \"kty\""                    },
        {"{\"kty\":1}",                                                              "\"kty\" is not a usable string"},
        {"{\"kty\":\"EC\"}",                                                         "no \"crv\""                    },
        {"{\"kty\":\"oct\",\"crv\":\"P-256\",\"k\":\"AA\"}",                         "\"crv\" does not fit"          },
        {"{\"kty\":\"RSA\",\"crv\":\"P-256\",\"n\":\"AA\",\"e\":\"AQAB\"}",          "\"crv\" does not fit"          },
        {"{" ED ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}",           "a private key"                 },
        {"{\"kty\":\"XYZ\",\"p\":\"AA\"}",                                           "a private key"                 },
        {"{" ED ",\"alg\":\"ES256\"}",                                               "\"alg\" does not fit"          },
        {"{" P256 ",\"alg\":\"ES384\"}",                                             "\"alg\" does not fit"          },
        {"{" P256 ",\"alg\":\"HS256\"}",                                             "\"alg\" does not fit"          },
        {"{" ED ",\"use\":\"sig\",\"key_ops\":[\"encrypt\"]}",                       "disagree"                      },
        {"{" ED ",\"use\":\"enc\",\"key_ops\":[\"verify\"]}",                        "disagree"                      },
        {"{" ED ",\"use\":\"enc\",\"alg\":\"EdDSA\"}",                               "disagree"                      },
        {"{" ED ",\"key_ops\":\"verify\"}",                                          "no array"                      },
        {"{" ED ",\"key_ops\":[1]}",                                                 "no string"                     },
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",                                    "\"x\" is missing"              },
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",                       "has 32 bytes, not 1"           },
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "=\"}",                "not base64url"                 },
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",             "have 32 bytes"                 },
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" ED_X "\",\"y\":\"" ED_X "\"}",
         "not on P-256"                                                                                              },
        {"{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\"}",                            "below 2048 bits"               },
        {"{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg\"}",   "31 bytes"                      },
        {"{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",  "one byte"                      },
        {"{" P256 ",\"kid\":\"b\",\"kid\":\"c\"}",                                   "duplicate member"              },
    };
    char text[1024];
    struct pc_why why;
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_jwks *set = NULL;
        snprintf(text, sizeof text, "{\"keys\":[{" ED ",\"kid\":\"b\"},\n%s]}", rows[i].key);
        if (parse(text, true, &set, &why) >= 0)
            fail_msg("accepted: %s", rows[i].key);
        if (!strstr(why.text, rows[i].what) || !strstr(why.text, "line 2 "))
            fail_msg("%s: %s", rows[i].key, why.text);
        assert_null(set);
    }
}

static void refuses_files_that_are_no_key_set(void **state)
{
    static const char *const rows[] = {
        "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":", "\"kty\"", "{\"keys\":[]} x"};
    struct pc_jwks *set = NULL;
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        assert_true(parse(rows[i], true, &set, NULL) < 0);
    set = parsed("{\"keys\":[]}");
    assert_int_equal(set->count, 0);
    pc_jwks_free(set);
}

static void two_keys_may_share_a_kid_if_their_algorithms_differ(void **state)
{
    struct pc_jwks *set = NULL;
    struct pc_why why;
    struct mint_key *a = mint_key_new(PC_ALG_EDDSA, "same"),
                    *b = mint_key_new(PC_ALG_EDDSA, "same");
    uint8_t text[1024] = {0};
    struct pc_buf buf = pc_buf_of(text, sizeof text - 1);
    (void)state;
    set = parsed("{\"keys\":[{" ED ",\"kid\":\"same\"},{" P256 ",\"kid\":\"same\"}]}");
    assert_int_equal(set->count, 2);
    pc_jwks_free(set);
    mint_jwks(&buf, (const struct mint_key *const[]){a, b}, 2);
    assert_int_equal(parse((char *)text, true, &set, &why), PC_E_DUPLICATE);
    assert_non_null(strstr(why.text, "another key has this \"kid\""));
    mint_key_free(a);
    mint_key_free(b);
}

static void sets_and_names_have_limits(void **state)
{
    static uint8_t text[1 << 16];
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    struct pc_jwks *set = NULL;
    struct pc_why why;
    (void)state;
    for (int kids = PC_JWKS_KEYS_MAX; kids <= PC_JWKS_KEYS_MAX + 1; kids++) {
        b.len = 0;
        pc_buf_lit(&b, "{\"keys\":[{\"kty\":\"XYZ\"}");
        for (int i = 0; i < kids; i++)
            pc_buf_fmt(&b, ",{" ED ",\"kid\":\"%d\"}", i);
        pc_buf_put(&b, "]}", 3);
        int rc = parse((char *)text, false, &set, &why);
        assert_int_equal(rc, kids == PC_JWKS_KEYS_MAX ? 0 : PC_E_TOO_LARGE);
        if (rc == 0)
            pc_jwks_free(set);
    }
    for (int n = PC_KID_MAX; n <= PC_KID_MAX + 1; n++) {
        b.len = 0;
        pc_buf_fmt(&b, "{" ED ",\"kid\":\"%0*d\"}", n, 0);
        pc_buf_put(&b, "", 1);
        int rc = parse((char *)text, false, &set, &why);
        assert_int_equal(rc, n == PC_KID_MAX ? 0 : PC_E_TOO_LARGE);
        if (rc == 0)
            pc_jwks_free(set);
    }
}

/* A modulus of n bytes, all ones but the last bits. */
static int parse_modulus(size_t n, uint8_t last, struct pc_why *why)
{
    uint8_t modulus[2000], text[4096];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_jwks *set = NULL;
    memset(modulus, 0xff, n);
    modulus[n - 1] = last;
    pc_buf_lit(&b, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
    pc_base64url_encode(pc_bytes_of(modulus, n), &b);
    pc_buf_put(&b, "\"}", 3);
    int rc = parse((char *)text, false, &set, why);
    if (rc == 0)
        pc_jwks_free(set);
    return rc;
}

static void rsa_moduli_must_be_sane(void **state)
{
    struct pc_why why;
    (void)state;
    assert_int_equal(parse_modulus(PC_RSA_BITS_MIN / 8, 0xfd, &why), 0);
    assert_int_equal(parse_modulus(PC_RSA_BITS_MAX / 8, 0xfd, &why), 0);
    assert_int_equal(parse_modulus(PC_RSA_BITS_MAX / 8 + 1, 0xfd, &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "above 8192 bits"));
    assert_int_equal(parse_modulus(PC_RSA_BITS_MIN / 8, 0xfe, &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "even"));
}

static void a_secret_needs_permission(void **state)
{
    struct pc_jwks *set = NULL;
    struct pc_why why;
    (void)state;
    assert_int_equal(parse("{" SECRET "}", false, &set, &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "do not allow"));
}

/* RFC 7518, 3.2: no digest is longer than the secret. */
static void a_secret_is_used_for_digests_up_to_its_own_length(void **state)
{
    static const struct {
        size_t n;
        uint32_t algorithms;
    } rows[] = {
        {32, PC_ALG_BIT(PC_ALG_HS256)                           },
        {47, PC_ALG_BIT(PC_ALG_HS256)                           },
        {48, PC_ALG_BIT(PC_ALG_HS256) | PC_ALG_BIT(PC_ALG_HS384)},
        {63, PC_ALG_BIT(PC_ALG_HS256) | PC_ALG_BIT(PC_ALG_HS384)},
        {64, PC_ALGS_HMAC                                       },
    };
    uint8_t bytes[64];
    struct pc_jwks *set = NULL;
    struct pc_why why;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct mint_key *key = mint_secret_new(pc_bytes_of(bytes, rows[i].n), "");
        set = mint_read_jwks((const struct mint_key *const *)&key, 1);
        assert_int_equal(set->keys[0]->algorithms, rows[i].algorithms);
        pc_jwks_free(set);
        mint_key_free(key);
    }
    assert_int_equal(parse("{" SECRET ",\"alg\":\"HS384\"}", true, &set, &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "too short"));
}

/* A JWK of a secret with these bytes. */
static int parse_secret(struct pc_bytes bytes, struct pc_why *why)
{
    uint8_t text[4096] = {0};
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    struct mint_key *key = mint_secret_new(bytes, "");
    struct pc_jwks *set = NULL;
    mint_jwk(&b, key, NULL);
    mint_key_free(key);
    int rc = parse((char *)text, true, &set, why);
    if (rc == 0)
        pc_jwks_free(set);
    return rc;
}

static void a_file_of_a_public_key_is_no_secret(void **state)
{
    /* RFC 8410: the SubjectPublicKeyInfo of an Ed25519 key. */
    static const uint8_t spki[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b,
                                     0x65, 0x70, 0x03, 0x21, 0x00, 0x19, 0xbf};
    struct pc_why why;
    (void)state;
    assert_int_equal(parse_secret(pc_bytes_of(spki, sizeof spki), &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "public key"));
    assert_int_equal(parse_secret(PC_LIT("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"), &why),
                     PC_E_UNSUPPORTED);
    assert_int_equal(parse_secret(PC_LIT("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"\"}"), &why),
                     PC_E_UNSUPPORTED);
    assert_int_equal(parse_secret(PC_LIT("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO"), &why),
                     PC_E_UNSUPPORTED);
    assert_int_equal(parse_secret(PC_LIT("an ordinary secret of enough bytes"), &why), 0);
}

static void short_rsa_keys_are_refused(void **state)
{
    uint8_t text[1024] = {0};
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    struct mint_key *key = mint_rsa_new(1024, "");
    struct pc_jwks *set = NULL;
    struct pc_why why;
    (void)state;
    mint_jwk(&b, key, NULL);
    assert_int_equal(parse((char *)text, false, &set, &why), PC_E_UNSUPPORTED);
    assert_non_null(strstr(why.text, "below 2048 bits"));
    mint_key_free(key);
}

/* An RSA key set whose exponent's text is replaced. */
static int parse_with_exponent(const struct mint_key *key, const char *exponent, struct pc_why *why)
{
    char text[1024] = {0}, *e;
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    struct pc_jwks *set = NULL;
    mint_jwk(&b, key, NULL);
    e = strstr(text, "\"AQAB\"");
    assert_non_null(e);
    *e = 0;
    char with[1100];
    snprintf(with, sizeof with, "%s\"%s\"}", text, exponent);
    int rc = parse(with, false, &set, why);
    if (rc == 0)
        pc_jwks_free(set);
    return rc;
}

static void rsa_exponents_must_be_sane(void **state)
{
    struct mint_key *key = mint_rsa_new(2048, "");
    struct pc_why why;
    (void)state;
    assert_int_equal(parse_with_exponent(key, "AQAB", &why), 0);
    assert_int_equal(parse_with_exponent(key, "AAEAAQ", &why), 0); /* with a leading zero */
    assert_int_equal(parse_with_exponent(key, "Aw", &why), 0);     /* 3 */
    assert_true(parse_with_exponent(key, "AQ", &why) < 0);         /* 1 */
    assert_true(parse_with_exponent(key, "AQAA", &why) < 0);       /* even */
    assert_true(parse_with_exponent(key, "AQAAAAE", &why) < 0);    /* 2^32 + 1 */
    mint_key_free(key);
}

static void an_rsa_key_costs_by_the_square_of_its_modulus(void **state)
{
    struct mint_key *keys[2] = {mint_rsa_new(2048, "a"), mint_rsa_new(3072, "b")};
    struct pc_jwks *set = mint_read_jwks((const struct mint_key *const *)keys, 2);
    uint32_t usual = pc_key_cost_ns(set->keys[0], PC_ALG_RS256);
    (void)state;
    assert_in_range(usual, pc_alg_cost_ns(PC_ALG_RS256) - 64, pc_alg_cost_ns(PC_ALG_RS256));
    assert_in_range(pc_key_cost_ns(set->keys[1], PC_ALG_RS256), usual * 2, usual * 3);
    pc_jwks_free(set);
    for (int i = 0; i < 2; i++)
        mint_key_free(keys[i]);
}

static void points_under_which_anybody_can_sign_are_refused(void **state)
{
    static const char *const weak[] = {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* zeroed memory, of order 4 */
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* the neutral element */
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA", /* the same with the sign of x */
        "7P_______________________________________38", /* of order 2 */
        "7f_______________________________________38", /* zero, written otherwise */
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", /* of order 8 */
        "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
    };
    char text[128];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(weak); i++) {
        struct pc_jwks *set = NULL;
        struct pc_why why = {""};
        snprintf(text, sizeof text, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%.43s\"}",
                 weak[i]);
        assert_int_equal(parse(text, false, &set, &why), PC_E_UNSUPPORTED);
        if (!strstr(why.text, "anybody can sign"))
            fail_msg("%s: %s", weak[i], why.text);
    }
}

static void keys_stay_until_their_last_owner_leaves(void **state)
{
    struct pc_jwks *set = parsed("{" ED "}");
    const struct pc_key *key = pc_key_ref(set->keys[0]);
    (void)state;
    pc_jwks_free(set);
    assert_int_equal(key->algorithms, ED_ALGS);
    pc_key_unref(key);
}

static void names_of_algorithms(void **state)
{
    (void)state;
    for (int alg = 1; alg < PC_ALG_COUNT; alg++) {
        assert_int_equal(pc_alg_of_name(pc_bytes_str(pc_alg_name((enum pc_alg)alg))), alg);
        assert_true(pc_alg_cost_ns((enum pc_alg)alg) > 0);
    }
    assert_int_equal(pc_alg_of_name(PC_LIT("none")), PC_ALG_NONE);
    assert_int_equal(pc_alg_of_name(PC_LIT("None")), PC_ALG_NONE);
    assert_int_equal(pc_alg_of_name(PC_LIT("es256")), PC_ALG_NONE);
    assert_int_equal(pc_alg_of_name(PC_LIT("")), PC_ALG_NONE);
    assert_int_equal(PC_ALGS_ASYMMETRIC & PC_ALGS_HMAC, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_key),
        cmocka_unit_test(a_key_verifies_its_own_algorithms_only),
        cmocka_unit_test(alg_restricts_a_key),
        cmocka_unit_test(skips_what_is_of_no_use_with_a_warning),
        cmocka_unit_test(refuses_the_whole_set_for_what_is_wrong),
        cmocka_unit_test(refuses_files_that_are_no_key_set),
        cmocka_unit_test(two_keys_may_share_a_kid_if_their_algorithms_differ),
        cmocka_unit_test(sets_and_names_have_limits),
        cmocka_unit_test(rsa_moduli_must_be_sane),
        cmocka_unit_test(a_secret_needs_permission),
        cmocka_unit_test(a_secret_is_used_for_digests_up_to_its_own_length),
        cmocka_unit_test(a_file_of_a_public_key_is_no_secret),
        cmocka_unit_test(short_rsa_keys_are_refused),
        cmocka_unit_test(rsa_exponents_must_be_sane),
        cmocka_unit_test(an_rsa_key_costs_by_the_square_of_its_modulus),
        cmocka_unit_test(points_under_which_anybody_can_sign_are_refused),
        cmocka_unit_test(keys_stay_until_their_last_owner_leaves),
        cmocka_unit_test(names_of_algorithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
