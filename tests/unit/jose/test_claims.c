/* SPDX-License-Identifier: Apache-2.0
 * What the claims of a genuine token say, which of them are refused, and the times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "edge/jose/jwt.h"
#include "support/mint.h"

#define ISS "https://issuer.example"
/* A payload with what is always required. */
#define CLAIMS(more) "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":1000,\"exp\":2000" more "}"

static struct mint_key *key;
static struct pc_jwt_scratch scratch;
static uint8_t memory[32 << 10];

static int make_key(void **state)
{
    (void)state;
    key = mint_key_new(PC_ALG_HS256, "k"); /* cheap: the claims do not care */
    return 0;
}

static int free_key(void **state)
{
    (void)state;
    mint_key_free(key);
    return 0;
}

static struct pc_issuer_settings usual(void)
{
    struct pc_issuer_settings s;
    pc_issuer_settings_init(&s, PC_LIT(ISS));
    s.algorithms = PC_ALGS_HMAC;
    s.allow_secrets = true;
    return s;
}

/* The claims point into scratch, and the issuer is gone when this returns. */
static enum pc_token_error verify(const struct pc_issuer_settings *s, const char *payload,
                                  struct pc_claims *ret_claims)
{
    struct pc_trust *t = mint_trust(s, (const struct mint_key *const *)&key, 1);
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    mint_token(&b, key, PC_ALG_HS256, payload);
    enum pc_token_error err = pc_jwt_verify(t, pc_bytes_of(b.p, b.len), &scratch, ret_claims);
    pc_trust_free(t);
    return err;
}

static struct pc_claims accepted(const struct pc_issuer_settings *s, const char *payload)
{
    struct pc_claims c = {.key = 0};
    enum pc_token_error err = verify(s, payload, &c);
    if (err)
        fail_msg("%s: %s", payload, pc_token_error_info(err)->code);
    return c;
}

static void assert_refused(const struct pc_issuer_settings *s, const char *payload,
                           enum pc_token_error expected)
{
    struct pc_claims c;
    enum pc_token_error err = verify(s, payload, &c);
    if (err != expected)
        fail_msg("%s: %s", payload, err ? pc_token_error_info(err)->code : "accepted");
}

#define assert_text(bytes, text)                                                                   \
    do {                                                                                           \
        if (!pc_bytes_eq_str((bytes), (text)))                                                     \
            fail_msg("\"%.*s\"", (int)(bytes).n, (const char *)(bytes).p);                         \
    } while (0)

static void reads_the_usual_claims(void **state)
{
    struct pc_issuer_settings s = usual();
    struct pc_claims c = accepted(
        &s, CLAIMS(",\"sub\":\"al\\u0069ce\",\"sid\":\"s1\",\"fam\":\"f1\",\"client_id\":\"app\","
                   "\"azp\":\"other\",\"scope\":\"read  write \",\"roles\":[\"a\",\"b\"],"
                   "\"aud\":[\"x\",\"y\"],\"nbf\":900"));
    (void)state;
    assert_text(c.subject, "alice");
    assert_text(c.jti, "j");
    assert_text(c.session, "s1");
    assert_text(c.family, "f1");
    assert_text(c.client, "app");
    assert_text(c.scopes, "read write");
    assert_text(c.roles, "a b");
    assert_text(c.audiences, "x y");
    assert_int_equal(c.times.exp_ms, 2000000);
    assert_int_equal(c.times.iat_ms, 1000000);
    assert_int_equal(c.times.nbf_ms, 900000);
}

static void absent_null_and_empty_claims_are_the_same(void **state)
{
    static const char *const rows[] = {
        CLAIMS(""),
        CLAIMS(",\"sub\":null,\"sid\":null,\"fam\":null,\"client_id\":null,\"scope\":null,"
               "\"roles\":null,\"aud\":null"),
        CLAIMS(",\"sub\":\"\",\"sid\":\"\",\"fam\":\"\",\"client_id\":\"\",\"scope\":\"\","
               "\"roles\":[],\"aud\":[]"),
        CLAIMS(",\"scope\":\"  \",\"roles\":[\"\",\"\"]"),
    };
    struct pc_issuer_settings s = usual();
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_claims c = accepted(&s, rows[i]);
        assert_int_equal(c.subject.n + c.session.n + c.family.n + c.client.n, 0);
        assert_int_equal(c.scopes.n + c.roles.n + c.audiences.n, 0);
        assert_int_equal(c.times.nbf_ms, INT64_MIN);
    }
}

static void names_of_claims_are_configurable(void **state)
{
    struct pc_issuer_settings s = usual();
    s.claims.session = PC_LIT("session_state");
    s.claims.client = PC_LIT("cid");
    s.claims.roles = PC_LIT("realm_access.roles");
    s.claims.family = (struct pc_bytes){NULL, 0};
    struct pc_claims c = accepted(
        &s, CLAIMS(",\"sid\":\"no\",\"session_state\":\"yes\",\"cid\":\"c\",\"fam\":\"no\","
                   "\"realm_access\":{\"roles\":[\"admin\",\"user\"]},\"scp\":[\"r\",\"w\"]"));
    (void)state;
    assert_text(c.session, "yes");
    assert_text(c.client, "c");
    assert_text(c.roles, "admin user");
    assert_text(c.scopes, "r w");
    assert_int_equal(c.family.n, 0);
    c = accepted(&s, CLAIMS(",\"azp\":\"instead\""));
    assert_text(c.client, "instead");
}

static void a_claim_with_dots_in_its_name_comes_before_a_path(void **state)
{
    struct pc_issuer_settings s = usual();
    s.claims.roles = PC_LIT("https://x.example/roles");
    struct pc_claims c = accepted(&s, CLAIMS(",\"https://x.example/roles\":\"a\","
                                             "\"https://x\":{\"example/roles\":\"b\"}"));
    (void)state;
    assert_text(c.roles, "a");
    c = accepted(&s, CLAIMS(",\"https://x\":{\"example/roles\":\"b\"}"));
    assert_text(c.roles, "b");
    c = accepted(&s, CLAIMS(",\"https://x\":{\"example\":\"b\"}"));
    assert_int_equal(c.roles.n, 0);
    c = accepted(&s, CLAIMS(",\"https://x\":[]"));
    assert_int_equal(c.roles.n, 0);
}

static void elements_of_lists_cannot_pretend_to_be_two(void **state)
{
    struct pc_issuer_settings s = usual();
    struct pc_claims c = accepted(
        &s, CLAIMS(",\"roles\":[\"Domain Admins\",\"100%\",\"\\u0041\\u0020b\"],\"aud\":\"a b\""));
    (void)state;
    assert_text(c.roles, "Domain%20Admins 100%25 A%20b");
    assert_text(c.audiences, "a%20b");
    assert_refused(&s, CLAIMS(",\"scope\":[\"read write\"]"), PC_TOKEN_MALFORMED);
    c = accepted(&s, CLAIMS(",\"scope\":[\"\\u0072ead\",\"wr\\u0069te\",\"x\"]"));
    assert_text(c.scopes, "read write x");
}

static void strings_that_cannot_stand_in_a_header_are_refused(void **state)
{
    static const char *const claims[] = {"sub",       "jti",   "sid",   "fam",
                                         "client_id", "scope", "roles", "aud"};
    static const char *const values[] = {
        "\"a\\u0000b\"", "\"a\\r\\nX-Evil: 1\"",
        "\"\\u001f\"",   "\"\\u007f\"",
        "\"\\t\"",       "1",
        "true",          "{\"a\":1}",
    };
    struct pc_issuer_settings s = usual();
    char payload[512];
    (void)state;
    s.require_jti = false;
    for (size_t c = 0; c < PC_COUNT(claims); c++) {
        for (size_t v = 0; v < PC_COUNT(values); v++) {
            snprintf(payload, sizeof payload,
                     "{\"iss\":\"" ISS "\",\"iat\":1000,\"exp\":2000,\"%s\":%s}", claims[c],
                     values[v]);
            assert_refused(&s, payload, PC_TOKEN_MALFORMED);
            snprintf(payload, sizeof payload,
                     "{\"iss\":\"" ISS "\",\"iat\":1000,\"exp\":2000,\"%s\":[%s]}", claims[c],
                     values[v]);
            assert_refused(&s, payload, PC_TOKEN_MALFORMED);
        }
    }
}

static void ids_keep_their_limit_and_their_edges(void **state)
{
    struct pc_issuer_settings s = usual();
    char payload[1024], id[PC_ID_MAX + 2];
    (void)state;
    memset(id, 'x', sizeof id);
    id[PC_ID_MAX] = 0;
    snprintf(payload, sizeof payload, CLAIMS(",\"sub\":\"%s\""), id);
    assert_int_equal(accepted(&s, payload).subject.n, PC_ID_MAX);
    id[PC_ID_MAX] = 'x';
    id[PC_ID_MAX + 1] = 0;
    snprintf(payload, sizeof payload, CLAIMS(",\"sub\":\"%s\""), id);
    assert_refused(&s, payload, PC_TOKEN_MALFORMED);
    assert_text(accepted(&s, CLAIMS(",\"sub\":\"a b\"")).subject, "a b");
    assert_refused(&s, CLAIMS(",\"sub\":\" a\""), PC_TOKEN_MALFORMED);
    assert_refused(&s, CLAIMS(",\"sub\":\"a \""), PC_TOKEN_MALFORMED);
    assert_text(accepted(&s, CLAIMS(",\"sub\":\"J\xc3\xbcrgen\"")).subject, "J\xc3\xbcrgen");
}

static void a_list_that_outgrows_the_scratch_is_refused(void **state)
{
    static char payload[PC_TOKEN_BYTES_MAX];
    struct pc_issuer_settings s = usual();
    struct pc_buf b = pc_buf_of(payload, sizeof payload);
    (void)state;
    pc_buf_lit(&b, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":1000,\"exp\":2000,\"roles\":[\"");
    for (int i = 0; i < 5800; i++)
        pc_buf_char(&b, '%');
    pc_buf_put(&b, "\"]}", 4);
    assert_refused(&s, payload, PC_TOKEN_TOO_LARGE);
}

static void required_claims_are_required(void **state)
{
    struct pc_issuer_settings s = usual();
    (void)state;
    assert_refused(&s, "{\"iss\":\"" ISS "\",\"iat\":1,\"exp\":2}", PC_TOKEN_CLAIM_MISSING);
    assert_refused(&s, "{\"iss\":\"" ISS "\",\"jti\":\"\",\"iat\":1,\"exp\":2}",
                   PC_TOKEN_CLAIM_MISSING);
    assert_refused(&s, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"exp\":2}", PC_TOKEN_CLAIM_MISSING);
    assert_refused(&s, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":2}", PC_TOKEN_CLAIM_MISSING);
    assert_refused(&s, "{\"jti\":\"j\",\"iat\":1,\"exp\":2}", PC_TOKEN_CLAIM_MISSING);
    assert_refused(&s, "{\"iss\":7,\"jti\":\"j\",\"iat\":1,\"exp\":2}", PC_TOKEN_MALFORMED);
    s.require_session = true;
    assert_refused(&s, CLAIMS(""), PC_TOKEN_CLAIM_MISSING);
    accepted(&s, CLAIMS(",\"sid\":\"s\""));
    s.require_session = s.require_jti = false;
    s.max_lifetime_ms = 0;
    struct pc_claims c = accepted(&s, "{\"iss\":\"" ISS "\"}");
    assert_int_equal(c.times.exp_ms, INT64_MAX);
    assert_int_equal(c.times.iat_ms, INT64_MIN);
    assert_int_equal(pc_times_check(&c.times, 0, INT64_MAX - 1), PC_TOKEN_OK);
    assert_int_equal(pc_times_check(&c.times, 0, 0), PC_TOKEN_OK);
}

static void one_audience_must_be_among_the_issuers(void **state)
{
    static const char *const good[] = {"\"api\"", "[\"api\"]", "[\"x\",\"other api\"]",
                                       "\"\\u0061pi\""};
    static const char *const bad[] = {"\"x\"", "\"API\"", "[]",      "[\"x\",\"y\"]",
                                      "\"\"",  "null",    "\"api \""};
    const struct pc_bytes audiences[] = {PC_LIT("api"), PC_LIT("other api")};
    struct pc_issuer_settings s = usual();
    char payload[256];
    (void)state;
    s.audiences = audiences;
    s.audience_count = 2;
    for (size_t i = 0; i < PC_COUNT(good); i++) {
        snprintf(payload, sizeof payload, CLAIMS(",\"aud\":%s"), good[i]);
        accepted(&s, payload);
    }
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        snprintf(payload, sizeof payload, CLAIMS(",\"aud\":%s"), bad[i]);
        assert_refused(&s, payload, PC_TOKEN_AUDIENCE);
    }
    assert_refused(&s, CLAIMS(""), PC_TOKEN_AUDIENCE);
}

static void types_are_configurable(void **state)
{
    const struct pc_bytes types[] = {PC_LIT("application/at+jwt")};
    const struct pc_bytes none[] = {
        {NULL, 0}
    };
    struct pc_issuer_settings s = usual();
    (void)state;
    s.types = types;
    s.type_count = 1;
    assert_refused(&s, CLAIMS(""), PC_TOKEN_TYPE); /* mint_token() says JWT */
    s.types = none;
    assert_refused(&s, CLAIMS(""), PC_TOKEN_TYPE);
}

/* --- times ------------------------------------------------------------------------------- */

static void lifetimes_are_limited_exactly(void **state)
{
    struct pc_issuer_settings s = usual();
    (void)state;
    s.max_lifetime_ms = 1000 * 1000;
    accepted(&s, CLAIMS(""));
    s.max_lifetime_ms--;
    assert_refused(&s, CLAIMS(""), PC_TOKEN_LIFETIME);
}

static void dates_are_read_exactly_and_in_range(void **state)
{
    static const char *const bad[] = {"-1",   "-0.5", "253402300800",  "1e300", "\"1\"",
                                      "null", "[1]",  "1700000000000", "true",  "{}"};
    static const char *const names[] = {"exp", "iat", "nbf"};
    struct pc_issuer_settings s = usual();
    char payload[256];
    (void)state;
    s.max_lifetime_ms = 0;
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        for (size_t k = 0; k < PC_COUNT(names); k++) {
            snprintf(payload, sizeof payload, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"%s\":%s}",
                     names[k], bad[i]);
            assert_refused(&s, payload, PC_TOKEN_MALFORMED);
        }
    }
    struct pc_claims c = accepted(&s, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"exp\":1700000000.9999,"
                                      "\"iat\":1.7e9,\"nbf\":1699999999.0001}");
    assert_int_equal(c.times.exp_ms, 1700000000999);
    assert_int_equal(c.times.iat_ms, 1700000000000);
    assert_int_equal(c.times.nbf_ms, 1699999999001);
    c = accepted(&s, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"exp\":253402300799}");
    assert_int_equal(c.times.exp_ms, 253402300799000);
}

static void iat_ms_is_believed_only_if_configured_and_both_agree(void **state)
{
    static const struct {
        const char *more;
        int64_t iat_ms;
    } rows[] = {
        {",\"iat_ms\":1000789",     1000789},
        {",\"iat_ms\":1000000",     1000000},
        {",\"iat_ms\":1000999",     1000999},
        {",\"iat_ms\":1001000",     1000000},
        {",\"iat_ms\":999999",      1000000},
        {",\"iat_ms\":\"1000789\"", 1000000},
        {",\"iat_ms\":-1",          1000000},
        {",\"iat_ms\":1000789.5",   1000000},
        {",\"iat_ms\":null",        1000000},
        {"",                        1000000},
    };
    struct pc_issuer_settings s = usual();
    char payload[256];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        snprintf(payload, sizeof payload, CLAIMS("%s"), rows[i].more);
        s.trust_iat_ms = false;
        assert_int_equal(accepted(&s, payload).times.iat_ms, 1000000);
        s.trust_iat_ms = true;
        assert_int_equal(accepted(&s, payload).times.iat_ms, rows[i].iat_ms);
    }
    assert_int_equal(accepted(&s, "{\"iss\":\"" ISS "\",\"jti\":\"j\",\"iat\":1000.5,\"exp\":2000,"
                                  "\"iat_ms\":1000789}")
                         .times.iat_ms,
                     1000500);
}

static void times_are_judged_with_the_skew(void **state)
{
    const struct pc_token_times t = {.exp_ms = 2000000, .nbf_ms = 900000, .iat_ms = 1000000};
    static const struct {
        int64_t skew_ms, now_ms;
        enum pc_token_error err;
    } rows[] = {
        {0,    1000000,   PC_TOKEN_OK              },
        {0,    1999999,   PC_TOKEN_OK              },
        {0,    2000000,   PC_TOKEN_EXPIRED         },
        {5000, 2004999,   PC_TOKEN_OK              },
        {5000, 2005000,   PC_TOKEN_EXPIRED         },
        {0,    999999,    PC_TOKEN_ISSUED_IN_FUTURE},
        {5000, 995000,    PC_TOKEN_OK              },
        {5000, 994999,    PC_TOKEN_ISSUED_IN_FUTURE},
        {0,    899999,    PC_TOKEN_NOT_YET_VALID   },
        {5000, 894999,    PC_TOKEN_NOT_YET_VALID   },
        {0,    INT64_MAX, PC_TOKEN_EXPIRED         },
        {5000, INT64_MIN, PC_TOKEN_NOT_YET_VALID   },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        assert_int_equal(pc_times_check(&t, rows[i].skew_ms, rows[i].now_ms), rows[i].err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_usual_claims),
        cmocka_unit_test(absent_null_and_empty_claims_are_the_same),
        cmocka_unit_test(names_of_claims_are_configurable),
        cmocka_unit_test(a_claim_with_dots_in_its_name_comes_before_a_path),
        cmocka_unit_test(elements_of_lists_cannot_pretend_to_be_two),
        cmocka_unit_test(strings_that_cannot_stand_in_a_header_are_refused),
        cmocka_unit_test(ids_keep_their_limit_and_their_edges),
        cmocka_unit_test(a_list_that_outgrows_the_scratch_is_refused),
        cmocka_unit_test(required_claims_are_required),
        cmocka_unit_test(one_audience_must_be_among_the_issuers),
        cmocka_unit_test(types_are_configurable),
        cmocka_unit_test(lifetimes_are_limited_exactly),
        cmocka_unit_test(dates_are_read_exactly_and_in_range),
        cmocka_unit_test(iat_ms_is_believed_only_if_configured_and_both_agree),
        cmocka_unit_test(times_are_judged_with_the_skew),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
