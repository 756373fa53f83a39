/* SPDX-License-Identifier: Apache-2.0
 * Which answers are right: decisions about every kind of token, revocations before and after their
 * acknowledgement, limits by count and time, flags that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "load/expect.h"

#define SENT_NS INT64_C(1000000000)

static const char file[] =
    "name: w\ndescription: d\n"
    "keys: { count: 4 }\ntokens: { count: 8 }\n"
    "policies: [{ name: p, rate: 10/s, burst: 3 }, { name: q, rate: 5/s, algorithm: window }]\n"
    "flags: [{ key: still, value: '\"on\"' }, { key: moving, value: \"100\" }]\n"
    "requests:\n"
    "  - { name: auth, ask: auth, weight: 1, path: /, tolerate: [VERIFY_BUDGET_EXHAUSTED] }\n"
    "  - { name: limit, ask: limit, weight: 1, path: /, policy: p }\n"
    "  - { name: check, ask: check, weight: 1, path: /, flag: still }\n"
    "  - { name: read, ask: flag, weight: 1, path: /, flag: moving }\n"
    "  - { name: set, ask: set_flag, weight: 1, path: /, flag: moving }\n"
    "  - { name: revoke, ask: revoke, weight: 1, path: / }\n"
    "  - { name: window, ask: limit, weight: 1, path: /, policy: q }\n";

enum { AUTH, LIMIT, CHECK, READ, SET, REVOKE, WINDOW };

static struct ld_workload *w;
static struct ld_oracle oracle;
static char why[LD_WHY_BYTES];

static int setup(void **state)
{
    struct ld_problem problem = {""};
    const struct ld_tokens tokens = {.count = 8, .of_kind = {[LD_TOKEN_GOOD] = 8}};
    const uint64_t counted[LD_WL_REQUESTS_MAX] = {[LIMIT] = 4, [WINDOW] = 4};
    (void)state;
    if (!ld_workload_read("f", pc_bytes_str(file), &w, &problem) ||
        !ld_oracle_init(&oracle, w, &tokens, counted, &problem))
        fail_msg("%s", problem.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ld_oracle_free(&oracle);
    ld_workload_free(w);
    return 0;
}

static enum ld_verdict ask_at(const struct ld_asked *q, int status, const char *head,
                              const char *body, int64_t sent_ns)
{
    bool tolerated;
    const struct ld_answer a = {.status = status,
                                .head = (const uint8_t *)head,
                                .head_bytes = (uint32_t)strlen(head),
                                .body = (const uint8_t *)body,
                                .body_bytes = (uint32_t)strlen(body),
                                .sent_ns = sent_ns,
                                .received_ns = sent_ns + 1000};
    why[0] = 0;
    return ld_expect(q, &oracle, &a, &tolerated, why);
}

static struct ld_asked asked(unsigned request, enum ld_token_kind kind, uint64_t token)
{
    return (struct ld_asked){
        .w = w,
        .request = request,
        .token = {PC_LIT("t"), PC_LIT("user-1"), "", kind},
        .token_index = token,
        .key = PC_LIT("key-1"),
        .key_index = 1
    };
}

#define ALICE         "HTTP/1.1 200 OK\r\nx-portcullis-subject: user-1\r\nContent-Length: 0\r\n\r\n"
#define BOB           "HTTP/1.1 200 OK\r\nX-Portcullis-Subject: user-2\r\n\r\n"
#define REFUSED(code) "{\"error\":{\"code\":\"" code "\",\"message\":\"x\"}}"

static void forward_auth_is_judged_by_the_kind_of_token(void **state)
{
    static const char *const codes[LD_TOKEN_KINDS] = {
        NULL,
        REFUSED("TOKEN_REVOKED"),
        REFUSED("TOKEN_EXPIRED"),
        REFUSED("TOKEN_MALFORMED"),
        REFUSED("TOKEN_ISSUER_UNKNOWN"),
        REFUSED("TOKEN_KEY_UNKNOWN"),
        REFUSED("TOKEN_SIGNATURE_INVALID"),
        REFUSED("TOKEN_NOT_YET_VALID"),
    };
    (void)state;
    for (unsigned kind = 1; kind < LD_TOKEN_KINDS; kind++) {
        const struct ld_asked q = asked(AUTH, (enum ld_token_kind)kind, 0);
        assert_int_equal(ask_at(&q, 401, "", codes[kind], SENT_NS), LD_RIGHT);
        assert_int_equal(ask_at(&q, 401, "", REFUSED("TOKEN_AUDIENCE"), SENT_NS), LD_WRONG);
        assert_int_equal(ask_at(&q, 200, ALICE, "", SENT_NS), LD_WRONG_ALLOW);
        assert_non_null(strstr(why, ld_token_kind_name((enum ld_token_kind)kind)));
        assert_int_equal(ask_at(&q, 503, "", REFUSED("VERIFY_BUDGET_EXHAUSTED"), SENT_NS),
                         LD_RIGHT);
        assert_int_equal(ask_at(&q, 503, "", REFUSED("OVERLOADED"), SENT_NS), LD_WRONG);
    }
    const struct ld_asked good = asked(AUTH, LD_TOKEN_GOOD, 0);
    assert_int_equal(ask_at(&good, 200, ALICE, "", SENT_NS), LD_RIGHT);
    assert_int_equal(ask_at(&good, 200, BOB, "", SENT_NS), LD_WRONG_ALLOW);
    assert_non_null(strstr(why, "allowed as 'user-2'; asked about 'user-1'"));
    assert_int_equal(ask_at(&good, 401, "", REFUSED("TOKEN_REVOKED"), SENT_NS), LD_WRONG);
    assert_int_equal(ask_at(&good, 502, "", "", SENT_NS), LD_WRONG);
}

static void a_revocation_divides_requests_by_when_they_were_sent(void **state)
{
    uint64_t victim;
    (void)state;
    assert_true(ld_oracle_take_victim(&oracle, &victim));
    assert_int_equal(victim, 7);
    const struct ld_asked q = asked(AUTH, LD_TOKEN_GOOD, victim);
    assert_int_equal(ask_at(&q, 200, ALICE, "", SENT_NS), LD_RIGHT); /* asked, not acknowledged */
    assert_int_equal(ask_at(&q, 401, "", REFUSED("TOKEN_REVOKED"), SENT_NS), LD_RIGHT);
    ld_oracle_acknowledge(&oracle, victim, SENT_NS, 3);
    assert_int_equal(ask_at(&q, 200, ALICE, "", SENT_NS - 1), LD_RIGHT); /* it was on its way */
    assert_int_equal(ask_at(&q, 200, ALICE, "", SENT_NS + 1), LD_WRONG_ALLOW);
    assert_non_null(strstr(why, "sent after the acknowledgement"));
    assert_int_equal(ask_at(&q, 401, "", REFUSED("TOKEN_REVOKED"), SENT_NS + 1), LD_RIGHT);
    assert_int_equal(atomic_load(&oracle.event_count), 1);
    assert_int_equal(atomic_load(&oracle.events[0].token), victim + 1);
    for (int i = 0; i < 3; i++)
        assert_true(ld_oracle_take_victim(&oracle, &victim));
    assert_false(ld_oracle_take_victim(&oracle, &victim)); /* half of them keep the traffic going */
}

#define TAKEN                                                                                      \
    "{\"allow\":true,\"code\":\"OK\",\"key\":\"key-1\",\"policy\":\"%s\",\"limit\":3,"             \
    "\"remaining\":%d,\"reset_ms\":1,\"retry_after_ms\":%d}"

static enum ld_verdict take(unsigned request, int status, const char *policy, int remaining,
                            int retry_ms, int64_t at_ns)
{
    static const char refused[] = "{\"code\":\"RATE_LIMITED\",\"key\":\"key-1\",\"policy\":\"p\","
                                  "\"limit\":3,\"remaining\":0,\"reset_ms\":1,"
                                  "\"retry_after_ms\":5}";
    char body[256];
    const struct ld_asked q = asked(request, LD_TOKEN_GOOD, 0);
    snprintf(body, sizeof body, TAKEN, policy, remaining, retry_ms);
    return ask_at(&q, status, "", status == 429 ? refused : body, at_ns);
}

static void a_limit_admits_its_burst_and_its_rate_and_no_more(void **state)
{
    (void)state;
    oracle.start_ns = SENT_NS;
    for (int i = 0; i < 4; i++) /* burst + the one that a reading of the clock may hide */
        assert_int_equal(take(LIMIT, 200, "p", 0, 0, SENT_NS), LD_RIGHT);
    assert_int_equal(take(LIMIT, 429, "p", 0, 5, SENT_NS), LD_RIGHT);
    assert_int_equal(take(LIMIT, 200, "p", 0, 0, SENT_NS), LD_WRONG_ALLOW);
    assert_non_null(strstr(why, "limit p, key number 1: allowed 5 times; by now 4"));
    assert_int_equal(take(LIMIT, 200, "p", 0, 0, SENT_NS + 200000000), LD_RIGHT); /* two more */
    assert_int_equal(take(LIMIT, 200, "p", 0, 0, SENT_NS + 200000000), LD_WRONG_ALLOW);
}

static void a_window_admits_two_counts_at_most_at_once(void **state)
{
    (void)state;
    oracle.start_ns = SENT_NS;
    for (int i = 0; i < 10; i++)
        assert_int_equal(take(WINDOW, 200, "q", 0, 0, SENT_NS), LD_RIGHT);
    assert_int_equal(take(WINDOW, 200, "q", 0, 0, SENT_NS), LD_WRONG_ALLOW);
}

static void what_a_limit_says_has_to_be_possible(void **state)
{
    (void)state;
    assert_int_equal(take(LIMIT, 200, "p", 4, 0, SENT_NS), LD_WRONG); /* more left than there is */
    assert_int_equal(take(LIMIT, 200, "p", 1, 7, SENT_NS), LD_WRONG); /* allowed, and wait? */
    assert_int_equal(take(LIMIT, 200, "q", 1, 0, SENT_NS), LD_WRONG); /* another's answer */
    assert_int_equal(take(LIMIT, 500, "p", 1, 0, SENT_NS), LD_WRONG);
}

#define DECISION(allow, code, subject)                                                             \
    "{\"allow\": " allow ",\"code\":\"" code "\",\"subject\":\"" subject                           \
    "\",\"flags\":{\"still\":\"on\"},\"headers\":{\"code\":\"no\"}}"

static void a_full_decision_is_read_from_its_body(void **state)
{
    const struct ld_asked good = asked(CHECK, LD_TOKEN_GOOD, 0);
    const struct ld_asked bad = asked(CHECK, LD_TOKEN_EXPIRED, 0);
    (void)state;
    assert_int_equal(ask_at(&good, 200, "", DECISION("true", "OK", "user-1"), SENT_NS), LD_RIGHT);
    assert_int_equal(ask_at(&good, 200, "", DECISION("true", "OK", "user-3"), SENT_NS),
                     LD_WRONG_ALLOW);
    assert_int_equal(ask_at(&good, 200, "", DECISION("false", "TOKEN_EXPIRED", ""), SENT_NS),
                     LD_WRONG);
    assert_int_equal(ask_at(&bad, 200, "", DECISION("false", "TOKEN_EXPIRED", ""), SENT_NS),
                     LD_RIGHT);
    assert_int_equal(ask_at(&bad, 200, "", DECISION("true", "OK", "user-1"), SENT_NS),
                     LD_WRONG_ALLOW);
    assert_int_equal(ask_at(&good, 200, "",
                            "{\"allow\":true,\"subject\":\"user-1\",\"flags\":{\"still\":\"off\"}}",
                            SENT_NS),
                     LD_WRONG);
    assert_non_null(strstr(why, "flag still is off"));
    assert_int_equal(ask_at(&good, 200, "", "", SENT_NS), LD_WRONG);
}

static enum ld_verdict read_flag(int value, int64_t sent_ns)
{
    char body[64];
    const struct ld_asked q = asked(READ, LD_TOKEN_GOOD, 0);
    snprintf(body, sizeof body, "{\"flag\":{\"value\":%d}}", value);
    return ask_at(&q, 200, "", body, sent_ns);
}

static void a_flag_never_goes_back_behind_its_acknowledgement(void **state)
{
    int64_t value, other;
    (void)state;
    assert_int_equal(read_flag(100, 10), LD_RIGHT);
    assert_int_equal(read_flag(101, 10), LD_WRONG); /* nobody set it */
    assert_true(ld_oracle_begin_flag(&oracle, 1, &value));
    assert_int_equal(value, 101);
    assert_false(ld_oracle_begin_flag(&oracle, 1, &other));
    assert_int_equal(read_flag(100, 10), LD_RIGHT);
    assert_int_equal(read_flag(101, 10), LD_RIGHT);
    ld_oracle_end_flag(&oracle, 1, value, true, 20);
    assert_int_equal(read_flag(100, 19), LD_RIGHT);
    assert_int_equal(read_flag(100, 21), LD_WRONG);
    assert_non_null(strstr(why, "it can only be 101 to 101"));
    assert_int_equal(read_flag(101, 21), LD_RIGHT);
    assert_true(ld_oracle_begin_flag(&oracle, 1, &value));
    ld_oracle_end_flag(&oracle, 1, value, false, 30); /* nobody knows whether it was set */
    assert_int_equal(read_flag(101, 40), LD_RIGHT);
    assert_int_equal(read_flag(102, 40), LD_RIGHT);
}

static void members_and_fields_are_found_and_only_they(void **state)
{
    struct pc_bytes v;
    (void)state;
    assert_true(ld_find_member(PC_LIT("{\"a\\\"x\":1,\"x\" : \"y\\\"z\"}"), "x", &v));
    assert_true(pc_bytes_eq_str(v, "y\\\"z"));
    assert_true(ld_find_member(PC_LIT("{\"limits\":[1],\"limit\":12}"), "limit", &v));
    assert_true(pc_bytes_eq_str(v, "12"));
    assert_false(ld_find_member(PC_LIT("{\"a\":\"limit\"}"), "limit", &v));
    assert_false(ld_find_member(PC_LIT("\"limit"), "limit", &v));
    assert_false(ld_find_member(PC_LIT(""), "limit", &v));
    assert_true(ld_find_field(PC_LIT("H\r\nABC: 1\r\nab:  2 \r\n"), "Ab", &v));
    assert_true(pc_bytes_eq_str(v, "2 "));
    assert_false(ld_find_field(PC_LIT("ab: 1\r\n"), "ab", &v)); /* the status line is none */
    assert_false(ld_find_field(PC_LIT("H\r\nab"), "ab", &v));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH(forward_auth_is_judged_by_the_kind_of_token),
        WITH(a_revocation_divides_requests_by_when_they_were_sent),
        WITH(a_limit_admits_its_burst_and_its_rate_and_no_more),
        WITH(a_window_admits_two_counts_at_most_at_once),
        WITH(what_a_limit_says_has_to_be_possible),
        WITH(a_full_decision_is_read_from_its_body),
        WITH(a_flag_never_goes_back_behind_its_acknowledgement),
        WITH(members_and_fields_are_found_and_only_they),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
