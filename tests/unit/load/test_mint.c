/* SPDX-License-Identifier: Apache-2.0
 * Minting: what was minted is what the edge's own verifier says it is, for every form of key and
 * every kind of token; the token file holds it; damage is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/crc32c.h"
#include "edge/jose/jwt.h"
#include "load/mint.h"

#define ISS    "https://issuer.example"
#define NOW_MS INT64_C(1700000000000)

static char dir[32], key_file[64], token_file[64];
static struct pc_jwt_scratch scratch;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/pc-mint-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(key_file, sizeof key_file, "%s/key", dir);
    snprintf(token_file, sizeof token_file, "%s/tokens", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(key_file);
    unlink(token_file);
    return rmdir(dir);
}

static struct ld_mint_plan plan_of(const struct ld_key *key)
{
    struct ld_mint_plan p = {
        .key = key, .issuer = ISS, .now_ms = NOW_MS, .lifetime_s = 900, .seed = 7};
    for (int kind = 0; kind < LD_TOKEN_KINDS; kind++)
        p.count_of_kind[kind] = 4;
    return p;
}

/* Trusts a key through the key set that is published for it. */
static struct pc_trust *trust_of(const struct ld_key *key)
{
    uint8_t text[4096];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_issuer_settings s;
    struct pc_jwks *set = NULL;
    struct pc_trust *t = NULL;
    assert_true(ld_key_write_jwks(key, &b));
    assert_int_equal(pc_jwks_parse(pc_bytes_of(text, b.len), false, NULL, NULL, &set, NULL), 0);
    pc_issuer_settings_init(&s, pc_bytes_str(ISS));
    struct pc_trust_source source = {&s, set};
    assert_int_equal(pc_trust_build(&source, 1, &t, NULL), 0);
    pc_trust_seal(t, NULL);
    pc_jwks_free(set);
    return t;
}

/* What the server would say about a token at NOW. */
static enum pc_token_error verdict(const struct pc_trust *trust, const struct ld_token *token)
{
    struct pc_claims claims;
    const enum pc_token_error err = pc_jwt_verify(trust, token->text, &scratch, &claims);
    if (err != PC_TOKEN_OK)
        return err;
    assert_true(pc_bytes_eq(claims.subject, token->sub));
    assert_true(pc_bytes_eq(claims.jti, pc_bytes_of(token->jti, LD_JTI_CHARS)));
    return pc_times_check(&claims.times, 5000, NOW_MS + 1);
}

static void assert_kinds(const struct ld_key *key, const struct ld_tokens *t)
{
    static const enum pc_token_error expected[LD_TOKEN_KINDS] = {
        [LD_TOKEN_GOOD] = PC_TOKEN_OK,
        [LD_TOKEN_REVOKED] = PC_TOKEN_OK,
        [LD_TOKEN_EXPIRED] = PC_TOKEN_EXPIRED,
        [LD_TOKEN_MALFORMED] = PC_TOKEN_MALFORMED,
        [LD_TOKEN_UNKNOWN_ISSUER] = PC_TOKEN_ISSUER_UNKNOWN,
        [LD_TOKEN_UNKNOWN_KEY] = PC_TOKEN_KEY_UNKNOWN,
        [LD_TOKEN_BAD_SIGNATURE] = PC_TOKEN_SIGNATURE_INVALID,
        [LD_TOKEN_NOT_YET_VALID] = PC_TOKEN_NOT_YET_VALID,
    };
    struct pc_trust *trust = trust_of(key);
    for (uint64_t i = 0; i < t->count; i++) {
        const struct ld_token token = ld_tokens_at(t, i);
        assert_int_equal(verdict(trust, &token), expected[token.kind]);
    }
    pc_trust_free(trust);
}

static void mint_and_check(const struct ld_key *key)
{
    struct ld_mint_plan p = plan_of(key);
    struct ld_problem problem = {""};
    struct ld_tokens t;
    if (!ld_mint(&p, NULL, &t, &problem))
        fail_msg("%s", problem.text);
    assert_int_equal(t.count, 4 * LD_TOKEN_KINDS);
    assert_kinds(key, &t);
    ld_tokens_close(&t);
}

static void write_pem(EVP_PKEY *pkey)
{
    FILE *f = fopen(key_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
}

static struct ld_key *load(const char *alg)
{
    struct ld_key *key = NULL;
    struct ld_problem problem = {""};
    if (!ld_key_load(key_file, alg, &key, &problem))
        fail_msg("%s", problem.text);
    return key;
}

static void check_pem(EVP_PKEY *pkey, const char *const *algs)
{
    write_pem(pkey);
    EVP_PKEY_free(pkey);
    for (; *algs; algs++) {
        struct ld_key *key = load(*algs);
        assert_string_equal(ld_key_alg(key), *algs);
        mint_and_check(key);
        ld_key_free(key);
    }
}

static void every_kind_of_token_is_what_it_says_with_a_new_key(void **state)
{
    struct ld_key *key, *again;
    struct ld_problem problem;
    (void)state;
    assert_true(ld_key_generate(&key, &problem));
    assert_true(ld_key_save(key, key_file, &problem));
    mint_and_check(key);
    again = load(NULL);
    assert_string_equal(ld_key_kid(again), ld_key_kid(key));
    mint_and_check(again);
    ld_key_free(key);
    ld_key_free(again);
}

static void points_sign_as_es256_and_es384(void **state)
{
    static const int curves[] = {NID_X9_62_prime256v1, NID_secp384r1};
    static const char *const algs[][2] = {
        {"ES256", NULL},
        {"ES384", NULL}
    };
    (void)state;
    for (int i = 0; i < 2; i++) {
        EVP_PKEY *pkey = EVP_PKEY_new();
        EC_KEY *ec = EC_KEY_new_by_curve_name(curves[i]);
        assert_true(EC_KEY_generate_key(ec) && EVP_PKEY_assign_EC_KEY(pkey, ec));
        check_pem(pkey, algs[i]);
    }
}

static void rsa_keys_sign_in_all_ways(void **state)
{
    static const char *const algs[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", NULL};
    EVP_PKEY *pkey = EVP_PKEY_new();
    RSA *rsa = RSA_new();
    BIGNUM *e = BN_new();
    (void)state;
    assert_true(BN_set_word(e, RSA_F4) && RSA_generate_key_ex(rsa, 2048, e, NULL));
    BN_free(e);
    assert_true(EVP_PKEY_assign_RSA(pkey, rsa));
    check_pem(pkey, algs);
}

static void bad_key_files_are_named(void **state)
{
    struct ld_key *key;
    struct ld_problem problem;
    (void)state;
    assert_false(ld_key_load("/nowhere/key", NULL, &key, &problem));
    assert_non_null(strstr(problem.text, "/nowhere/key: No such file"));
    FILE *f = fopen(key_file, "w");
    fputs("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", f);
    fclose(f);
    assert_false(ld_key_load(key_file, NULL, &key, &problem));
    assert_non_null(strstr(problem.text, "no private key"));
    assert_true(ld_key_generate(&key, &problem) && ld_key_save(key, key_file, &problem));
    ld_key_free(key);
    assert_false(ld_key_load(key_file, "RS256", &key, &problem));
    assert_non_null(strstr(problem.text, "cannot sign with RS256"));
}

/* ---- The file. ---- */

static struct ld_key *mint_to_file(uint64_t each, unsigned threads, struct ld_tokens *ret_tokens)
{
    struct ld_key *key;
    struct ld_problem problem;
    assert_true(ld_key_generate(&key, &problem));
    struct ld_mint_plan p = plan_of(key);
    for (int kind = 0; kind < LD_TOKEN_KINDS; kind++)
        p.count_of_kind[kind] = each;
    p.threads = threads;
    if (!ld_mint(&p, token_file, ret_tokens, &problem))
        fail_msg("%s", problem.text);
    return key;
}

static void the_file_holds_what_was_minted(void **state)
{
    struct ld_tokens made, read;
    struct ld_problem problem = {""};
    (void)state;
    struct ld_key *key = mint_to_file(100, 3, &made);
    if (!ld_tokens_open(token_file, &read, &problem))
        fail_msg("%s", problem.text);
    assert_int_equal(read.count, 100 * LD_TOKEN_KINDS);
    assert_int_equal(read.expires_at_s, NOW_MS / 1000 + 900);
    assert_string_equal(read.issuer, ISS);
    assert_int_equal(read.mapping_bytes, made.mapping_bytes);
    assert_memory_equal(read.mapping, made.mapping, made.mapping_bytes);
    assert_kinds(key, &read);
    ld_tokens_close(&made);
    ld_tokens_close(&read);
    ld_key_free(key);
}

static void subjects_are_distinct_and_tokens_have_a_usual_size(void **state)
{
    struct ld_tokens t;
    (void)state;
    struct ld_key *key = mint_to_file(3, 1, &t);
    for (uint64_t i = 0; i < t.count; i++) {
        char sub[32];
        const struct ld_token token = ld_tokens_at(&t, i);
        snprintf(sub, sizeof sub, "user-%08u", (unsigned)i);
        assert_true(pc_bytes_eq_str(token.sub, sub));
        assert_in_range(token.text.n, 600, 800);
        for (uint64_t k = 0; k < i; k++)
            assert_memory_not_equal(ld_tokens_at(&t, k).jti, token.jti, LD_JTI_CHARS);
    }
    ld_tokens_close(&t);
    ld_key_free(key);
}

static void damage_is_noticed_wherever_it_is(void **state)
{
    struct ld_tokens made, t;
    struct ld_problem problem;
    (void)state;
    struct ld_key *key = mint_to_file(2, 1, &made);
    const size_t n = made.mapping_bytes;
    uint8_t *copy = malloc(n);
    for (size_t at = 0; at < 512; at++) {
        memcpy(copy, made.mapping, n);
        copy[at] ^= 1;
        assert_false(ld_tokens_read("damaged", copy, n, &t, &problem));
        assert_non_null(strstr(problem.text, "damaged:"));
    }
    for (size_t cut = 1; cut < n; cut += 97) {
        memcpy(copy, made.mapping, n);
        assert_false(ld_tokens_read("cut", copy, n - cut, &t, &problem));
    }
    memcpy(copy, made.mapping, n);
    copy[LD_TOKENS_HEAD + made.stride + 1] = 0xff; /* the second token's length */
    assert_false(ld_tokens_read("record", copy, n, &t, &problem));
    assert_non_null(strstr(problem.text, "record 1"));
    free(copy);
    ld_tokens_close(&made);
    ld_key_free(key);
}

/* ---- Shares. ---- */

static void shares_become_counts(void **state)
{
    double share[LD_TOKEN_KINDS];
    uint64_t count[LD_TOKEN_KINDS], sum = 0;
    struct ld_problem problem;
    (void)state;
    assert_true(ld_mint_read_mix("good=90,revoked=9.9,expired=0.1", share, &problem));
    ld_mint_split(100, share, count);
    assert_int_equal(count[LD_TOKEN_REVOKED], 9);
    assert_int_equal(count[LD_TOKEN_EXPIRED], 1); /* no share is rounded away */
    for (int kind = 0; kind < LD_TOKEN_KINDS; kind++)
        sum += count[kind];
    assert_int_equal(sum, 100);
    assert_false(ld_mint_read_mix("good=1,great=2", share, &problem));
    assert_non_null(strstr(problem.text, "'great'"));
    assert_false(ld_mint_read_mix("good=x", share, &problem));
    assert_false(ld_mint_read_mix("good=0", share, &problem));
    assert_false(ld_mint_read_mix("good=-1", share, &problem));
}

/* ---- Files. ---- */

static void files_with_keys_or_tokens_are_the_owners_alone(void **state)
{
    static const char *const names[] = {"key", "tokens", "text", "requests"};
    char directory[] = "/tmp/pc-mint-XXXXXX", path[PC_COUNT(names)][64];
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < PC_COUNT(names); i++)
        snprintf(path[i], sizeof path[i], "%s/%s", directory, names[i]);
    char *argv[] = {(char *)"mint",
                    (char *)"--generate-key",
                    (char *)"--key",
                    path[0],
                    (char *)"--out",
                    path[1],
                    (char *)"--text",
                    path[2],
                    (char *)"--requests",
                    path[3],
                    (char *)"--count",
                    (char *)"2",
                    (char *)"--issuer",
                    (char *)"https://issuer",
                    NULL};
    assert_int_equal(ld_mint_main((int)PC_COUNT(argv) - 1, argv), 0);
    for (size_t i = 0; i < PC_COUNT(names); i++) {
        assert_int_equal(stat(path[i], &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(unlink(path[i]), 0);
    }
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_token_is_what_it_says_with_a_new_key),
        cmocka_unit_test(points_sign_as_es256_and_es384),
        cmocka_unit_test(rsa_keys_sign_in_all_ways),
        cmocka_unit_test(bad_key_files_are_named),
        cmocka_unit_test(the_file_holds_what_was_minted),
        cmocka_unit_test(subjects_are_distinct_and_tokens_have_a_usual_size),
        cmocka_unit_test(damage_is_noticed_wherever_it_is),
        cmocka_unit_test(shares_become_counts),
        cmocka_unit_test(files_with_keys_or_tokens_are_the_owners_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
