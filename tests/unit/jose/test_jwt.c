/* SPDX-License-Identifier: Apache-2.0
 * Tokens: their form, their header, the choice of the key, the signature, and that every refusal
 * has its own code. What the claims say is test_claims.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/nid.h>

#include "base/base64url.h"
#include "edge/jose/jwt.h"
#include "support/mint.h"

#define ISS "https://issuer.example"
#define NOW INT64_C(1700000000)

/* One key per kind; RSA keys are slow to make, so all tests share them. */
static struct mint_key *keys[5];
static const enum pc_alg kinds[5] = {PC_ALG_EDDSA, PC_ALG_ES256, PC_ALG_ES384, PC_ALG_RS256,
                                     PC_ALG_HS256};
static struct pc_trust *trust;
static struct pc_jwt_scratch scratch;
static uint8_t token_memory[32 << 10];

static struct pc_issuer_settings settings_of(const char *name)
{
    struct pc_issuer_settings s;
    pc_issuer_settings_init(&s, pc_bytes_str(name));
    s.algorithms = PC_ALGS_ASYMMETRIC | PC_ALGS_HMAC;
    s.allow_secrets = true;
    return s;
}

static int make_keys(void **state)
{
    static const char *const kids[5] = {"ed", "p256", "p384", "rsa", "secret"};
    struct pc_issuer_settings s = settings_of(ISS);
    (void)state;
    for (int i = 0; i < 5; i++)
        keys[i] = mint_key_new(kinds[i], kids[i]);
    trust = mint_trust(&s, (const struct mint_key *const *)keys, 5);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    pc_trust_free(trust);
    for (int i = 0; i < 5; i++)
        mint_key_free(keys[i]);
    return 0;
}

static struct mint_key *key_for(enum pc_alg alg)
{
    switch (alg) {
    case PC_ALG_EDDSA: return keys[0];
    case PC_ALG_ES256: return keys[1];
    case PC_ALG_ES384: return keys[2];
    case PC_ALG_HS256:
    case PC_ALG_HS384:
    case PC_ALG_HS512: return keys[4];
    default: return keys[3];
    }
}

static const char *usual_claims(void)
{
    static uint8_t text[512];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    mint_claims(&b, ISS, "alice", "j1", NOW, NULL);
    return (const char *)text;
}

static struct pc_bytes usual_token(enum pc_alg alg)
{
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    mint_token(&b, key_for(alg), alg, usual_claims());
    return pc_bytes_of(b.p, b.len);
}

static struct pc_bytes signed_with(enum pc_alg alg, const char *header, const char *payload)
{
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    mint_sign(&b, key_for(alg), alg, header, payload);
    return pc_bytes_of(b.p, b.len);
}

static enum pc_token_error verify(struct pc_bytes token)
{
    struct pc_claims c;
    return pc_jwt_verify(trust, token, &scratch, &c);
}

#define assert_refused(err, token)                                                                 \
    assert_string_equal(pc_token_error_info(verify(token))->code,                                  \
                        pc_token_error_info(PC_##err)->code)

/* --- what is accepted -------------------------------------------------------------------- */

static void verifies_every_algorithm(void **state)
{
    (void)state;
    for (int i = 1; i < PC_ALG_COUNT; i++) {
        enum pc_alg alg = (enum pc_alg)i;
        struct pc_bytes token = usual_token(alg);
        struct pc_claims c;
        struct pc_jwt jwt;
        assert_int_equal(pc_jwt_peek(trust, token, &scratch, &jwt), PC_TOKEN_OK);
        assert_int_equal(jwt.cost_ns, pc_key_cost_ns(trust->keys[jwt.keys.keys[0]].key, alg));
        assert_int_equal(pc_jwt_verify_peeked(&jwt, &c), PC_TOKEN_OK);
        assert_int_equal(c.alg, alg);
        assert_ptr_equal(c.issuer, &trust->issuers[0]);
        assert_true(pc_bytes_eq_str(c.subject, "alice"));
        assert_true(pc_bytes_eq_str(c.jti, "j1"));
        assert_int_equal(c.times.exp_ms, (NOW + 900) * 1000);
    }
}

static void a_change_of_any_character_is_refused(void **state)
{
    static const enum pc_alg algs[] = {PC_ALG_EDDSA, PC_ALG_HS256, PC_ALG_RS256};
    (void)state;
    for (size_t a = 0; a < PC_COUNT(algs); a++) {
        struct pc_bytes token = usual_token(algs[a]);
        for (size_t i = 0; i < token.n; i++) {
            uint8_t was = token_memory[i];
            token_memory[i] = was == 'A' ? 'B' : 'A';
            assert_int_not_equal(verify(token), PC_TOKEN_OK);
            token_memory[i] = was;
        }
        assert_int_equal(verify(token), PC_TOKEN_OK);
    }
}

static void no_prefix_is_accepted_or_read_beyond(void **state)
{
    uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct pc_bytes token = usual_token(PC_ALG_HS256);
    (void)state;
    assert_int_equal(mprotect(page + 4096, 4096, PROT_NONE), 0);
    for (size_t n = 0; n <= token.n; n++) {
        uint8_t *at = page + 4096 - n;
        memcpy(at, token.p, n);
        enum pc_token_error err = verify(pc_bytes_of(at, n));
        assert_int_equal(err == PC_TOKEN_OK, n == token.n);
    }
    munmap(page, 8192);
}

/* --- form -------------------------------------------------------------------------------- */

static void refuses_what_is_no_compact_jws(void **state)
{
    static const char *const rows[] = {
        "x",
        ".",
        "..",
        "e30.e30",
        "e30.e30.AA.AA",
        "e30.e30.AA.",
        ".e30.A",
        "e30..AA",
        "e30=.e30.",
        "e30.e30 .AA",
        " e30.e30.AA",
        "e30.e30.AA\n",
        "W10.e30.AA" /* [] */,
        "e30.W10.AA",
        "e30.e31.AA" /* stray bits */,
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        assert_refused(TOKEN_MALFORMED, pc_bytes_str(rows[i]));
    assert_refused(TOKEN_MISSING, PC_LIT(""));
}

static void stray_bits_and_padding_in_any_part_are_refused(void **state)
{
    struct pc_bytes token = usual_token(PC_ALG_EDDSA);
    (void)state;
    for (int i = 0; i < 4; i++) { /* of 64 bytes the last character has four bits to spare */
        token_memory[token.n - 1]++;
        assert_refused(TOKEN_MALFORMED, token);
    }
    token = usual_token(PC_ALG_EDDSA);
    token_memory[token.n] = '=';
    assert_refused(TOKEN_MALFORMED, pc_bytes_of(token.p, token.n + 1));
}

static void a_token_of_8_kib_is_accepted_and_one_byte_more_refused(void **state)
{
    static char payload[2 * PC_TOKEN_BYTES_MAX];
    static char more[PC_TOKEN_BYTES_MAX];
    struct pc_bytes token;
    size_t pad = 5000;
    (void)state;
    do { /* base64 grows in steps; find the sizes around the limit */
        memset(more, 'a', pad);
        more[pad] = 0;
        snprintf(payload, sizeof payload,
                 "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":1,\"exp\":2,"
                 "\"x\":\"%s\"}",
                 more);
        token = signed_with(PC_ALG_HS256, "{\"alg\":\"HS256\",\"kid\":\"secret\"}", payload);
        if (token.n <= PC_TOKEN_BYTES_MAX)
            assert_int_equal(verify(token), PC_TOKEN_OK);
        else
            assert_refused(TOKEN_TOO_LARGE, token);
        pad += token.n < PC_TOKEN_BYTES_MAX - 64 ? 32 : 1;
    } while (token.n <= PC_TOKEN_BYTES_MAX);
    assert_true(token.n <= PC_TOKEN_BYTES_MAX + 2);
}

/* --- header ------------------------------------------------------------------------------ */

static void judges_the_header(void **state)
{
    static const struct {
        const char *header;
        enum pc_token_error err;
    } rows[] = {
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\"}",                                  PC_TOKEN_OK         },
        {"{\"alg\":\"Ed25519\",\"kid\":\"ed\"}",                                PC_TOKEN_OK         },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"typ\":\"at+JWT\"}",               PC_TOKEN_OK         },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"typ\":\"application/at+jwt\"}",   PC_TOKEN_OK         },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"cty\":\"json\"}",                 PC_TOKEN_OK         },
        {"{\"alg\":\"EdDSA\",\"k\\u0069d\":\"\\u0065d\"}",                      PC_TOKEN_OK         },
        {"{}",                                                                  PC_TOKEN_MALFORMED  },
        {"{\"kid\":\"ed\"}",                                                    PC_TOKEN_MALFORMED  },
        {"{\"alg\":null}",                                                      PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"\"}",                                                      PC_TOKEN_MALFORMED  },
        {"{\"alg\":[\"EdDSA\"]}",                                               PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}",                               PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"\\u0061lg\":\"none\"}",                          PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"kid\":7}",                                       PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\"} ",                                 PC_TOKEN_OK         },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\"}x",                                 PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"typ\":1}",                        PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"cty\":1}",                        PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"none\"}",                                                  PC_TOKEN_ALGORITHM  },
        {"{\"alg\":\"nOnE\",\"kid\":\"ed\"}",                                   PC_TOKEN_ALGORITHM  },
        {"{\"alg\":\"eddsa\",\"kid\":\"ed\"}",                                  PC_TOKEN_ALGORITHM  },
        {"{\"alg\":\"ES512\",\"kid\":\"ed\"}",                                  PC_TOKEN_ALGORITHM  },
        {"{\"alg\":\"ES256\",\"kid\":\"ed\"}",                                  PC_TOKEN_ALGORITHM  },
        {"{\"alg\":\"HS256\",\"kid\":\"ed\"}",                                  PC_TOKEN_ALGORITHM  },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"crit\":[\"exp\"]}",               PC_TOKEN_CRITICAL   },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"crit\":[\"b64\"],\"b64\":false}", PC_TOKEN_CRITICAL   },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"b64\":true}",                     PC_TOKEN_CRITICAL   },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"crit\":[]}",                      PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"crit\":\"exp\"}",                 PC_TOKEN_MALFORMED  },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"cty\":\"JWT\"}",                  PC_TOKEN_TYPE       },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"typ\":\"JOSE\"}",                 PC_TOKEN_TYPE       },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"typ\":\"secevent+jwt\"}",         PC_TOKEN_TYPE       },
        {"{\"alg\":\"EdDSA\",\"kid\":\"ED\"}",                                  PC_TOKEN_KEY_UNKNOWN},
        {"{\"alg\":\"EdDSA\",\"kid\":\"ed\\u0000\"}",                           PC_TOKEN_KEY_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        enum pc_token_error err = verify(signed_with(PC_ALG_EDDSA, rows[i].header, usual_claims()));
        if (err != rows[i].err)
            fail_msg("%s: %s", rows[i].header, err ? pc_token_error_info(err)->code : "accepted");
    }
}

static void deep_nesting_is_refused_before_the_signature(void **state)
{
    char deep[200];
    (void)state;
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"iss\":", 7);
    deep[sizeof deep - 1] = 0;
    assert_refused(TOKEN_MALFORMED, signed_with(PC_ALG_EDDSA, "{\"alg\":\"EdDSA\"}", deep));
    memcpy(deep, "{\"alg\":", 7);
    assert_refused(TOKEN_MALFORMED, signed_with(PC_ALG_EDDSA, deep, usual_claims()));
}

/* --- keys -------------------------------------------------------------------------------- */

static void keys_that_a_token_brings_along_are_never_used(void **state)
{
    struct mint_key *mine = mint_key_new(PC_ALG_EDDSA, "ed");
    uint8_t header[1024] = {0};
    struct pc_buf h = pc_buf_of(header, sizeof header - 1);
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    (void)state;
    pc_buf_lit(&h, "{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"jku\":\"https://evil.example\",\"x5u\":"
                   "\"https://evil.example\",\"x5c\":[\"AA==\"],\"jwk\":");
    mint_jwk(&h, mine, NULL);
    pc_buf_lit(&h, "}");
    mint_sign(&b, mine, PC_ALG_EDDSA, (char *)header, usual_claims());
    assert_refused(TOKEN_SIGNATURE_INVALID, pc_bytes_of(b.p, b.len));
    mint_key_free(mine);
}

static void a_public_key_is_no_hmac_secret(void **state)
{
    /* The classic: HS256 over the text of the public key, naming that key or naming none. */
    uint8_t jwk[1024] = {0};
    struct pc_buf j = pc_buf_of(jwk, sizeof jwk);
    (void)state;
    mint_jwk(&j, keys[3], NULL);
    struct mint_key *forger = mint_secret_new(pc_bytes_of(jwk, j.len), "rsa");
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    mint_token(&b, forger, PC_ALG_HS256, usual_claims());
    assert_refused(TOKEN_ALGORITHM, pc_bytes_of(b.p, b.len));
    b.len = 0;
    mint_sign(&b, forger, PC_ALG_HS256, "{\"alg\":\"HS256\"}", usual_claims());
    assert_refused(TOKEN_SIGNATURE_INVALID, pc_bytes_of(b.p, b.len));
    mint_key_free(forger);
}

static void an_issuer_must_allow_the_algorithm(void **state)
{
    struct pc_issuer_settings s = settings_of(ISS);
    struct pc_claims c;
    s.algorithms = PC_ALG_BIT(PC_ALG_ES256);
    struct pc_trust *strict = mint_trust(&s, (const struct mint_key *const *)keys, 5);
    (void)state;
    for (int i = 1; i < PC_ALG_COUNT; i++) {
        struct pc_bytes token = usual_token((enum pc_alg)i);
        assert_int_equal(pc_jwt_verify(strict, token, &scratch, &c),
                         i == PC_ALG_ES256 ? PC_TOKEN_OK : PC_TOKEN_ALGORITHM);
    }
    pc_trust_free(strict);
}

/* Two issuers, each with an Ed25519 key; the kids may be equal. */
static struct pc_trust *two_issuers(const struct mint_key *a, const struct mint_key *b)
{
    struct pc_issuer_settings sa = settings_of("a"), sb = settings_of("b");
    struct pc_jwks *ja = mint_read_jwks(&a, 1), *jb = mint_read_jwks(&b, 1);
    struct pc_trust_source sources[] = {
        {&sa, ja},
        {&sb, jb}
    };
    struct pc_trust *t;
    assert_int_equal(pc_trust_build(sources, 2, &t, NULL), 0);
    pc_trust_seal(t, NULL);
    pc_jwks_free(ja);
    pc_jwks_free(jb);
    return t;
}

static enum pc_token_error verify_as(const struct pc_trust *t, const struct mint_key *key,
                                     const char *iss)
{
    uint8_t claims[512];
    struct pc_buf c = pc_buf_of(claims, sizeof claims);
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    struct pc_claims out;
    mint_claims(&c, iss, "alice", "j1", NOW, NULL);
    mint_token(&b, key, PC_ALG_EDDSA, (char *)claims);
    return pc_jwt_verify(t, pc_bytes_of(b.p, b.len), &scratch, &out);
}

static void a_key_of_another_issuer_is_not_found(void **state)
{
    struct mint_key *a = mint_key_new(PC_ALG_EDDSA, "ka"), *b = mint_key_new(PC_ALG_EDDSA, "kb");
    struct mint_key *c = mint_key_new(PC_ALG_EDDSA, "ka");
    struct pc_trust *t = two_issuers(a, b);
    (void)state;
    assert_int_equal(verify_as(t, a, "a"), PC_TOKEN_OK);
    assert_int_equal(verify_as(t, b, "b"), PC_TOKEN_OK);
    assert_int_equal(verify_as(t, a, "b"), PC_TOKEN_KEY_UNKNOWN);
    pc_trust_free(t);
    t = two_issuers(a, c); /* both call their key "ka" */
    assert_int_equal(verify_as(t, a, "a"), PC_TOKEN_OK);
    assert_int_equal(verify_as(t, a, "b"), PC_TOKEN_SIGNATURE_INVALID);
    assert_int_equal(verify_as(t, c, "b"), PC_TOKEN_OK);
    assert_int_equal(verify_as(t, a, "c"), PC_TOKEN_ISSUER_UNKNOWN);
    pc_trust_free(t);
    mint_key_free(a);
    mint_key_free(b);
    mint_key_free(c);
}

static void without_a_kid_a_few_keys_are_tried(void **state)
{
    const struct mint_key *five[5];
    struct pc_issuer_settings s = settings_of(ISS);
    struct pc_claims c;
    struct pc_jwt jwt;
    (void)state;
    for (int i = 0; i < 5; i++)
        five[i] = mint_key_new(PC_ALG_EDDSA, "");
    struct pc_trust *four = mint_trust(&s, five, 4), *all = mint_trust(&s, five, 5);
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    mint_token(&b, five[3], PC_ALG_EDDSA, usual_claims());
    struct pc_bytes token = pc_bytes_of(b.p, b.len);
    assert_int_equal(pc_jwt_peek(four, token, &scratch, &jwt), PC_TOKEN_OK);
    assert_int_equal(jwt.cost_ns, 4 * pc_alg_cost_ns(PC_ALG_EDDSA));
    assert_int_equal(pc_jwt_verify_peeked(&jwt, &c), PC_TOKEN_OK);
    assert_int_equal(c.key, 3);
    assert_int_equal(pc_jwt_verify(all, token, &scratch, &c), PC_TOKEN_KEY_UNKNOWN);
    pc_trust_free(four);
    pc_trust_free(all);
    for (int i = 0; i < 5; i++)
        mint_key_free((struct mint_key *)(uintptr_t)five[i]);
}

static void a_revoked_key_signs_nothing_whatever_iat_says(void **state)
{
    struct pc_trust *draft;
    struct pc_claims c;
    struct pc_bytes thumbprint = pc_bytes_str(trust->keys[0].key->thumbprint);
    (void)state;
    assert_int_equal(pc_trust_clone(trust, &draft), 0);
    assert_int_equal(pc_trust_set_key_revoked(draft, PC_LIT(ISS), thumbprint, true), 1);
    pc_trust_seal(draft, trust);
    struct pc_bytes token = usual_token(PC_ALG_EDDSA);
    assert_int_equal(pc_jwt_verify(trust, token, &scratch, &c), PC_TOKEN_OK);
    assert_int_equal(pc_jwt_verify(draft, token, &scratch, &c), PC_TOKEN_KEY_REVOKED);
    token = signed_with(PC_ALG_EDDSA, "{\"alg\":\"EdDSA\"}", usual_claims()); /* without kid */
    assert_int_equal(pc_jwt_verify(draft, token, &scratch, &c), PC_TOKEN_KEY_REVOKED);
    assert_int_equal(pc_jwt_verify(draft, usual_token(PC_ALG_ES256), &scratch, &c), PC_TOKEN_OK);
    pc_trust_free(draft);
}

/* --- signatures -------------------------------------------------------------------------- */

/* The usual token of alg with other signature bytes. */
static struct pc_bytes with_signature(enum pc_alg alg, struct pc_bytes sig)
{
    struct pc_bytes token = usual_token(alg);
    const uint8_t *dot = memrchr(token.p, '.', token.n);
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    b.len = (size_t)(dot + 1 - token.p);
    pc_base64url_encode(sig, &b);
    return pc_bytes_of(b.p, b.len);
}

static struct pc_bytes signature_of(struct pc_bytes token, uint8_t *out, size_t cap)
{
    const uint8_t *dot = memrchr(token.p, '.', token.n);
    size_t n = 0;
    struct pc_bytes part = pc_bytes_of(dot + 1, (size_t)(token.p + token.n - dot - 1));
    assert_int_equal(pc_base64url_decode(part, out, cap, &n), 0);
    return pc_bytes_of(out, n);
}

/* Both (r, s) and (r, n - s) are signatures, so anybody can make a second token of the same claims:
 * tokens are named by issuer and jti, never by their bytes. */
static void ecdsa_signatures_are_malleable_but_the_jti_is_not(void **state)
{
    uint8_t sig[64];
    struct pc_claims c;
    struct pc_bytes token = usual_token(PC_ALG_ES256);
    signature_of(token, sig, sizeof sig);
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *s = BN_bin2bn(sig + 32, 32, NULL);
    (void)state;
    assert_true(BN_sub(s, EC_GROUP_get0_order(group), s));
    assert_true(BN_bn2bin_padded(sig + 32, 32, s));
    BN_free(s);
    EC_GROUP_free(group);
    const uint8_t *dot = memrchr(token.p, '.', token.n);
    struct pc_buf b = pc_buf_of(token_memory, sizeof token_memory);
    b.len = (size_t)(dot + 1 - token.p);
    pc_base64url_encode(pc_bytes_of(sig, 64), &b);
    assert_int_equal(pc_jwt_verify(trust, pc_bytes_of(b.p, b.len), &scratch, &c), PC_TOKEN_OK);
    assert_true(pc_bytes_eq_str(c.jti, "j1"));
}

static void ecdsa_takes_r_and_s_in_full_length_only(void **state)
{
    /* A DER signature, as other systems write them: SEQUENCE { INTEGER 1, INTEGER 1 }. */
    static const uint8_t der[] = {0x30, 6, 2, 1, 1, 2, 1, 1};
    uint8_t sig[96] = {0};
    (void)state;
    assert_refused(TOKEN_SIGNATURE_INVALID,
                   with_signature(PC_ALG_ES256, pc_bytes_of(der, sizeof der)));
    assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(PC_ALG_ES256, pc_bytes_of(sig, 64)));
    assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(PC_ALG_ES256, pc_bytes_of(sig, 96)));
    assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(PC_ALG_ES384, pc_bytes_of(sig, 64)));
    assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(PC_ALG_ES384, pc_bytes_of(sig, 96)));
}

static void truncated_and_empty_signatures_are_refused(void **state)
{
    uint8_t sig[512];
    (void)state;
    for (int i = 1; i < PC_ALG_COUNT; i++) {
        enum pc_alg alg = (enum pc_alg)i;
        struct pc_bytes whole = signature_of(usual_token(alg), sig, sizeof sig);
        assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(alg, pc_bytes_of(sig, whole.n - 1)));
        assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(alg, pc_bytes_of(sig, 0)));
        assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(alg, pc_bytes_of(sig, whole.n / 2)));
    }
    static uint8_t long_one[PC_RSA_BITS_MAX / 8 + 1];
    assert_refused(TOKEN_SIGNATURE_INVALID,
                   with_signature(PC_ALG_RS256, pc_bytes_of(long_one, sizeof long_one)));
}

static void pss_salts_must_be_as_long_as_the_digest(void **state)
{
    static const int salts[] = {0, 20, 31, 33, 64};
    uint8_t sig[512];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(salts); i++) {
        struct pc_bytes token = usual_token(PC_ALG_PS256);
        const uint8_t *dot = memrchr(token.p, '.', token.n);
        size_t n =
            mint_pss_signature(keys[3], PC_ALG_PS256, salts[i],
                               pc_bytes_of(token.p, (size_t)(dot - token.p)), sig, sizeof sig);
        assert_refused(TOKEN_SIGNATURE_INVALID, with_signature(PC_ALG_PS256, pc_bytes_of(sig, n)));
    }
}

static void the_digest_of_another_algorithm_does_not_verify(void **state)
{
    (void)state;
    assert_refused(
        TOKEN_SIGNATURE_INVALID,
        signed_with(PC_ALG_RS256, "{\"alg\":\"RS384\",\"kid\":\"rsa\"}", usual_claims()));
    assert_refused(
        TOKEN_SIGNATURE_INVALID,
        signed_with(PC_ALG_RS256, "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", usual_claims()));
    assert_refused(
        TOKEN_SIGNATURE_INVALID,
        signed_with(PC_ALG_HS512, "{\"alg\":\"HS256\",\"kid\":\"secret\"}", usual_claims()));
}

/* --- codes ------------------------------------------------------------------------------- */

/* One token per code that this module gives; the later ones belong to the decision. */
static void every_refusal_has_its_code(void **state)
{
    static const char ed[] = "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}";
    static const char longest[] = "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":0,\"exp\":86401}";
    bool reached[PC_TOKEN_ERROR_COUNT] = {false};
    struct pc_claims c;
    (void)state;
    reached[verify(PC_LIT(""))] = true;
    reached[verify(PC_LIT("a.b.c"))] = true;
    memset(token_memory, 'a', PC_TOKEN_BYTES_MAX + 1);
    reached[verify(pc_bytes_of(token_memory, PC_TOKEN_BYTES_MAX + 1))] = true;
    reached[verify(signed_with(PC_ALG_EDDSA, "{\"alg\":\"none\"}", "{}"))] = true;
    reached[verify(signed_with(PC_ALG_EDDSA, "{\"alg\":\"EdDSA\",\"crit\":[\"x\"]}", "{}"))] = true;
    reached[verify(
        signed_with(PC_ALG_EDDSA, "{\"alg\":\"EdDSA\",\"typ\":\"x\"}", usual_claims()))] = true;
    reached[verify(signed_with(PC_ALG_EDDSA, ed, "{\"iss\":\"x\"}"))] = true;
    reached[verify(
        signed_with(PC_ALG_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"x\"}", usual_claims()))] = true;
    reached[verify(signed_with(PC_ALG_ES256, ed, usual_claims()))] = true;
    reached[verify(signed_with(PC_ALG_EDDSA, ed, "{\"iss\":\"" ISS "\"}"))] = true;
    reached[verify(signed_with(PC_ALG_EDDSA, ed, longest))] = true;

    struct pc_issuer_settings s = settings_of(ISS);
    const struct pc_bytes audience = PC_LIT("api");
    s.audiences = &audience;
    s.audience_count = 1;
    struct pc_trust *t = mint_trust(&s, (const struct mint_key *const *)keys, 1);
    reached[pc_jwt_verify(t, usual_token(PC_ALG_EDDSA), &scratch, &c)] = true;
    pc_trust_free(t);
    assert_int_equal(pc_trust_clone(trust, &t), 0);
    pc_trust_set_key_revoked(t, PC_LIT("*"), pc_bytes_str(trust->keys[0].key->thumbprint), true);
    pc_trust_seal(t, trust);
    reached[pc_jwt_verify(t, usual_token(PC_ALG_EDDSA), &scratch, &c)] = true;
    pc_trust_free(t);

    struct pc_bytes token = signed_with(PC_ALG_EDDSA, ed,
                                        "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":1000,"
                                        "\"nbf\":900,\"exp\":2000}");
    assert_int_equal(pc_jwt_verify(trust, token, &scratch, &c), PC_TOKEN_OK);
    reached[pc_times_check(&c.times, 5000, 2005000)] = true;
    reached[pc_times_check(&c.times, 5000, 894999)] = true;
    reached[pc_times_check(&c.times, 5000, 994999)] = true;
    for (int i = 1; i < PC_TOKEN_REVOKED; i++)
        if (!reached[i])
            fail_msg("%s was not reached", pc_token_error_info((enum pc_token_error)i)->code);
}

static void every_code_has_text_and_a_challenge(void **state)
{
    (void)state;
    for (int i = 1; i < PC_TOKEN_ERROR_COUNT; i++) {
        const struct pc_token_error_info *info = pc_token_error_info((enum pc_token_error)i);
        assert_int_equal(info->status, 401);
        assert_true(strlen(info->text) > 10);
        assert_string_equal(info->rfc6750, i == PC_TOKEN_MISSING ? "" : "invalid_token");
    }
    assert_string_equal(pc_token_error_info(PC_SESSION_REVOKED)->code, "SESSION_REVOKED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_every_algorithm),
        cmocka_unit_test(a_change_of_any_character_is_refused),
        cmocka_unit_test(no_prefix_is_accepted_or_read_beyond),
        cmocka_unit_test(refuses_what_is_no_compact_jws),
        cmocka_unit_test(stray_bits_and_padding_in_any_part_are_refused),
        cmocka_unit_test(a_token_of_8_kib_is_accepted_and_one_byte_more_refused),
        cmocka_unit_test(judges_the_header),
        cmocka_unit_test(deep_nesting_is_refused_before_the_signature),
        cmocka_unit_test(keys_that_a_token_brings_along_are_never_used),
        cmocka_unit_test(a_public_key_is_no_hmac_secret),
        cmocka_unit_test(an_issuer_must_allow_the_algorithm),
        cmocka_unit_test(a_key_of_another_issuer_is_not_found),
        cmocka_unit_test(without_a_kid_a_few_keys_are_tried),
        cmocka_unit_test(a_revoked_key_signs_nothing_whatever_iat_says),
        cmocka_unit_test(ecdsa_signatures_are_malleable_but_the_jti_is_not),
        cmocka_unit_test(ecdsa_takes_r_and_s_in_full_length_only),
        cmocka_unit_test(truncated_and_empty_signatures_are_refused),
        cmocka_unit_test(pss_salts_must_be_as_long_as_the_digest),
        cmocka_unit_test(the_digest_of_another_algorithm_does_not_verify),
        cmocka_unit_test(every_refusal_has_its_code),
        cmocka_unit_test(every_code_has_text_and_a_challenge),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
