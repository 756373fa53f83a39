/* SPDX-License-Identifier: Apache-2.0
 * The example vectors of RFC 7515 (appendix A), 7519 (section 3.1, 6.1), 7638 and 8037. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/base64url.h"
#include "edge/jose/jwt.h"

/* {"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true} */
#define PAYLOAD                                                                                    \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"                             \
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

#define HS256_KEY                                                                                  \
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"              \
    "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define HS256_TOKEN                                                                                \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD                                            \
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

#define RS256_KEY                                                                                  \
    "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0"     \
    "l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b"         \
    "32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"         \
    "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"         \
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}"
#define RS256_TOKEN                                                                                \
    "eyJhbGciOiJSUzI1NiJ9." PAYLOAD                                                                \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"    \
    "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSj"    \
    "tQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh"    \
    "6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

#define ES256_KEY                                                                                  \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","     \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define ES256_TOKEN                                                                                \
    "eyJhbGciOiJFUzI1NiJ9." PAYLOAD                                                                \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

#define NONE_TOKEN "eyJhbGciOiJub25lIn0." PAYLOAD "."

#define ED25519_KEY                                                                                \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static struct pc_jwt_scratch scratch;

static struct pc_jwks *read_key(const char *jwk)
{
    struct pc_jwks *set = NULL;
    struct pc_why why;
    if (pc_jwks_parse(pc_bytes_str(jwk), true, NULL, NULL, &set, &why))
        fail_msg("%s", why.text);
    assert_int_equal(set->count, 1);
    return set;
}

/* The issuer "joe" as those examples need it. */
static enum pc_token_error verify(const char *jwk, const char *token, struct pc_claims *ret_claims)
{
    struct pc_jwks *set = read_key(jwk);
    struct pc_issuer_settings s;
    struct pc_trust *t;
    pc_issuer_settings_init(&s, PC_LIT("joe"));
    s.algorithms = PC_ALGS_ASYMMETRIC | PC_ALGS_HMAC;
    s.allow_secrets = true;
    s.max_lifetime_ms = 0;
    s.require_jti = false;
    struct pc_trust_source source = {&s, set};
    assert_int_equal(pc_trust_build(&source, 1, &t, NULL), 0);
    pc_trust_seal(t, NULL);
    enum pc_token_error err = pc_jwt_verify(t, pc_bytes_str(token), &scratch, ret_claims);
    pc_trust_free(t);
    pc_jwks_free(set);
    return err;
}

static void rfc_7515_a1_to_a3_verify_as_rfc_7519_3_1_says(void **state)
{
    static const struct {
        const char *key, *token;
        enum pc_alg alg;
    } rows[] = {
        {HS256_KEY, HS256_TOKEN, PC_ALG_HS256},
        {RS256_KEY, RS256_TOKEN, PC_ALG_RS256},
        {ES256_KEY, ES256_TOKEN, PC_ALG_ES256},
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_claims c;
        assert_int_equal(verify(rows[i].key, rows[i].token, &c), PC_TOKEN_OK);
        assert_int_equal(c.alg, rows[i].alg);
        assert_int_equal(c.times.exp_ms, 1300819380000);
        assert_int_equal(c.times.iat_ms, INT64_MIN);
        assert_int_equal(pc_times_check(&c.times, 0, 1300819379999), PC_TOKEN_OK);
        assert_int_equal(pc_times_check(&c.times, 0, 1300819380000), PC_TOKEN_EXPIRED);
        assert_int_equal(c.jti.n, 0);
    }
}

static void rfc_7515_examples_verify_under_their_own_key_only(void **state)
{
    struct pc_claims c;
    (void)state;
    assert_int_equal(verify(RS256_KEY, ES256_TOKEN, &c), PC_TOKEN_KEY_UNKNOWN);
    assert_int_equal(verify(ES256_KEY, HS256_TOKEN, &c), PC_TOKEN_KEY_UNKNOWN);
}

static void rfc_7515_a4_es512_is_not_supported(void **state)
{
    /* {"alg":"ES512"} . Payload . */
    struct pc_claims c;
    (void)state;
    assert_int_equal(
        verify(ES256_KEY, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wA", &c),
        PC_TOKEN_ALGORITHM);
}

static void rfc_7515_a5_and_7519_6_1_unsecured_tokens_are_refused(void **state)
{
    struct pc_claims c;
    (void)state;
    assert_int_equal(verify(HS256_KEY, NONE_TOKEN, &c), PC_TOKEN_ALGORITHM);
}

static void rfc_7638_3_1_thumbprint(void **state)
{
    struct pc_jwks *set = read_key(
        "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfA"
        "AtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXA"
        "rwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIq"
        "bw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\","
        "\"kid\":\"2011-04-29\"}");
    (void)state;
    assert_string_equal(set->keys[0]->thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_true(pc_bytes_eq_str(set->keys[0]->kid, "2011-04-29"));
    assert_int_equal(set->keys[0]->algorithms, PC_ALG_BIT(PC_ALG_RS256));
    pc_jwks_free(set);
}

static void rfc_8037_a3_thumbprint_and_a5_signature(void **state)
{
    static const char sig[] =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    struct pc_bytes data = PC_LIT("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
    uint8_t raw[64];
    size_t n;
    struct pc_jwks *set = read_key(ED25519_KEY);
    (void)state;
    assert_string_equal(set->keys[0]->thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_int_equal(pc_base64url_decode(pc_bytes_str(sig), raw, sizeof raw, &n), 0);
    assert_true(pc_key_verify(set->keys[0], PC_ALG_EDDSA, data, pc_bytes_of(raw, n)));
    raw[40] ^= 1;
    assert_false(pc_key_verify(set->keys[0], PC_ALG_EDDSA, data, pc_bytes_of(raw, n)));
    pc_jwks_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_7515_a1_to_a3_verify_as_rfc_7519_3_1_says),
        cmocka_unit_test(rfc_7515_examples_verify_under_their_own_key_only),
        cmocka_unit_test(rfc_7515_a4_es512_is_not_supported),
        cmocka_unit_test(rfc_7515_a5_and_7519_6_1_unsecured_tokens_are_refused),
        cmocka_unit_test(rfc_7638_3_1_thumbprint),
        cmocka_unit_test(rfc_8037_a3_thumbprint_and_a5_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
