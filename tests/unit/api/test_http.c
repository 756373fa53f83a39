/* SPDX-License-Identifier: Apache-2.0
 * HTTP on a connection in memory: how requests are cut out of bytes, what is refused before it is
 * routed, request ids, clients behind proxies, deadlines, the end of a connection, and a flood of
 * bad signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "edge/api/endpoint.h"
#include "edge/api/decision.h"
#include "edge/api/proxied.h"
#include "edge/api/unseen.h"
#include "edge/state/rcu.h"
#include "support/fake_conn.h"

#define NOW_S (RIG_WALL_MS / 1000)

static struct rig rig;
static struct rig_core core;
static struct fake_conn conn;
static struct sim_disk *disk;

static int setup(void **state)
{
    (void)state;
    disk = sim_disk_new(1);
    rig_init(&rig, disk);
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
    core.core.now_ms = RIG_WALL_MS;
    fake_conn_open_http(&conn, &core);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_conn_close(&conn);
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    return 0;
}

static void reopen(void)
{
    fake_conn_close(&conn);
    fake_conn_open_http(&conn, &core);
}

static unsigned ask(const char *request)
{
    if (conn.closing)
        reopen();
    fake_conn_ask(&conn, &rig, request);
    return fake_conn_status(&conn);
}

static bool has(const char *text)
{
    conn.out[conn.out_n] = 0;
    return strstr((const char *)conn.out, text) != NULL;
}

static unsigned count(const char *text)
{
    unsigned n = 0;
    conn.out[conn.out_n] = 0;
    for (const char *p = (const char *)conn.out; (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

#define CHECK_BODY "{\"token\":\"x\",\"context\":{}}"

/* The same answers, however the bytes arrive. */
static void requests_do_not_depend_on_how_their_bytes_arrive(void **state)
{
    (void)state;
    static const char requests[] =
        "GET /liveness HTTP/1.1\r\nHost: h\r\n\r\n"
        "POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n\r\n" CHECK_BODY
        "POST /v1/check HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\n{\"tok\r\n15\r\nen\":\"x\",\"context\":{}}\r\n0\r\n\r\n"
        "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n";
    for (size_t split = 1; split < sizeof requests - 1; split++) {
        conn.out_n = 0;
        fake_conn_feed(&conn, pc_bytes_of(requests, split));
        fake_conn_feed(&conn, pc_bytes_of(requests + split, sizeof requests - 1 - split));
        assert_int_equal(count("HTTP/1.1 200 OK\r\n"), 3);
        assert_int_equal(count("TOKEN_MALFORMED"), 2);
        assert_int_equal(count("HTTP/1.1 404"), 1);
        assert_int_equal(conn.in_n, 0);
        assert_false(conn.closing);
    }
    conn.out_n = 0;
    for (size_t i = 0; i < sizeof requests - 1; i++)
        fake_conn_feed(&conn, pc_bytes_of(requests + i, 1));
    assert_int_equal(count("HTTP/1.1 200 OK\r\n"), 3);
}

/* A connection remembers where its last request went; another path or method goes elsewhere. */
static void each_request_finds_its_own_endpoint(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        unsigned status;
    } asked[] = {
        {"GET /liveness",     200},
        {"GET /liveness",     200},
        {"POST /liveness",    405},
        {"GET /liveness",     200},
        {"GET /livenes",      404},
        {"GET /liveness/",    404},
        {"GET /api/liveness", 200},
        {"GET /api/liveness", 200},
        {"GET /readiness",    200},
        {"GET /liveness",     200},
        {"GET /./liveness",   200},
        {"GET /liveness",     200},
        {"GET /v1/flags/a",   404},
        {"GET /flags/none",   401},
        {"GET /v1/check",     405},
        {"GET /%6civeness",   200},
        {"OPTIONS /liveness", 204},
        {"HEAD /liveness",    200},
        {"GET /liveness?a=b", 200},
    };
    for (size_t i = 0; i < PC_COUNT(asked); i++) {
        char request[128];
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: h\r\n\r\n", asked[i].line);
        if (ask(request) != asked[i].status)
            fail_msg("%zu %s -> %.200s", i, asked[i].line, (const char *)conn.out);
    }
}

static void what_is_no_request_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        unsigned status;
    } cases[] = {
        {"nonsense\r\n\r\n",                                                               400},
        {"GET /\r\n\r\n",                                                                  400},
        {"GET / HTTP/1.1\r\n\r\n",                                                         400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",                                   400},
        {"GET / HTTP/9.9\r\nHost: a\r\n\r\n",                                              505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",                                               505},
        {"POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",                400},
        {"POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",      413},
        {"POST /v1/check HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",          501},
        {"POST /v1/check HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",                          417},
    };
    for (unsigned i = 0; i < PC_COUNT(cases); i++) {
        if (ask(cases[i].bytes) != cases[i].status)
            fail_msg("%s -> %.200s", cases[i].bytes, (const char *)conn.out);
        assert_true(conn.closing);
        assert_true(has("Connection: close\r\n") && has("X-Request-ID: "));
    }
}

static void strangers_are_refused_before_their_large_body(void **state)
{
    (void)state;
    assert_int_equal(401,
                     ask("POST /v1/revoke HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n{"));
    assert_true(conn.closing); /* the rest of the body is not awaited */
    reopen();
    fake_conn_ask(&conn, &rig,
                  "POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Length: 26\r\n"
                  "Expect: 100-continue\r\n\r\n");
    assert_true(has("HTTP/1.1 100 Continue\r\n\r\n"));
    conn.out_n = 0;
    fake_conn_feed(&conn, PC_LIT(CHECK_BODY));
    assert_true(has("HTTP/1.1 200 OK"));
}

static void request_ids_are_taken_over_when_sane(void **state)
{
    (void)state;
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nX-Request-ID: abc-123_X.y:z=+\r\n\r\n");
    assert_true(has("X-Request-ID: abc-123_X.y:z=+\r\n"));
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nX-Request-ID: a b\"c\r\n\r\n");
    assert_false(has("a b"));
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nX-Request-ID: a\r\nX-Request-ID: b\r\n\r\n");
    assert_false(has("X-Request-ID: a\r\n") || has("X-Request-ID: b\r\n"));
    assert_true(has("X-Request-ID: "));
    ask("GET /nowhere HTTP/1.1\r\nHost: h\r\nX-Request-ID: trace-me\r\n\r\n");
    assert_true(has("\"request_id\":\"trace-me\""));
}

static void connections_are_kept_as_the_version_says(void **state)
{
    (void)state;
    ask("GET /liveness HTTP/1.0\r\nHost: h\r\n\r\n");
    assert_true(conn.closing && has("Connection: close"));
    ask("GET /liveness HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
    assert_true(!conn.closing && has("Connection: keep-alive"));
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_true(conn.closing && has("Connection: close"));
    /* HEAD: the same head, no body. */
    ask("HEAD /liveness HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(has("Content-Length: 15\r\n") && !has("alive\":"));
}

static void browsers_are_let_in_by_origin_only(void **state)
{
    (void)state;
    static const char *origins[] = {"https://good"};
    core.settings->config->cors.origins = (struct pc_words){origins, 1};
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nOrigin: https://good\r\n\r\n");
    assert_true(has("Access-Control-Allow-Origin: https://good\r\n") && has("Vary: Origin"));
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nOrigin: https://bad\r\n\r\n");
    assert_false(has("Access-Control"));
    ask("OPTIONS /v1/check HTTP/1.1\r\nHost: h\r\nOrigin: https://good\r\n\r\n");
    assert_true(has("Access-Control-Allow-Methods: POST"));
    core.settings->config->cors.allow_all = true;
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\nOrigin: https://any\r\n\r\n");
    assert_true(has("Access-Control-Allow-Origin"));
}

/* Off this machine nobody decides without being trusted or having a credential. */
static void decisions_are_for_trusted_peers(void **state)
{
    (void)state;
    static const char request[] = "GET /v1/auth HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_int_equal(401, ask(request));
    assert_true(has("TOKEN_MISSING"));
    conn.conn.peer.ip[0] = 9;
    assert_int_equal(401, ask(request));
    assert_true(has("CREDENTIAL_MISSING") && has("trusted_peers"));
    conn.conn.peer.family = PC_PEER_UNIX;
    assert_int_equal(401, ask(request));
    assert_true(has("TOKEN_MISSING"));
}

/* 127.0.0.1 in the header of a proxy elsewhere is the proxy's machine, not this one. */
static void a_proxy_elsewhere_makes_nobody_local(void **state)
{
    (void)state;
    const struct pc_bytes header = PC_LIT("PROXY TCP4 127.0.0.1 192.0.2.1 1 2\r\n");
    const struct pc_bytes local = PC_LIT("PROXY TCP6 ::1 ::1 1 2\r\n");
    assert_int_equal(pc_proxied_take(&conn.conn, local.p, local.n), local.n);
    assert_true(pc_conn_is_local(&conn.conn));
    reopen();
    conn.conn.peer.ip[0] = 9;
    assert_int_equal(pc_proxied_take(&conn.conn, header.p, header.n), header.n);
    assert_false(pc_conn_is_local(&conn.conn));
    assert_int_equal(401, ask("GET /v1/auth HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(has("CREDENTIAL_MISSING"));
}

static void deadlines_end_what_does_not_arrive(void **state)
{
    (void)state;
    /* An idle connection goes without a word. */
    conn.protocol.timeout(&conn.conn, 2);
    assert_true(conn.aborted);
    reopen();
    fake_conn_feed(&conn, PC_LIT("GET /live"));
    conn.protocol.timeout(&conn.conn, 0);
    assert_true(has("HTTP/1.1 408") && conn.closing);
    reopen();
    fake_conn_feed(&conn,
                   PC_LIT("POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{"));
    conn.out_n = 0;
    conn.protocol.timeout(&conn.conn, 1);
    assert_true(has("HTTP/1.1 408") && conn.closing);
}

static void a_server_that_stops_answers_what_was_on_its_way(void **state)
{
    (void)state;
    fake_conn_feed(&conn, PC_LIT("GET /live"));
    conn.protocol.drain(&conn.conn);
    assert_false(conn.closing);
    fake_conn_feed(&conn, PC_LIT("ness HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(has("HTTP/1.1 200 OK") && has("Connection: close") && conn.closing);
    reopen();
    conn.protocol.drain(&conn.conn);
    ask("GET /liveness HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(has("HTTP/1.1 200 OK") && conn.closing);
}

/* The answer comes when the writer is done; what was pipelined behind it waits for it. */
static void a_parked_request_holds_back_those_behind_it(void **state)
{
    (void)state;
    static const uint8_t random[40] = {1};
    char credential[PC_ADMIN_TOKEN_TEXT_MAX], requests[1024];
    assert_int_equal(0, pc_admin_tokens_create(&core.settings->admins, "op", PC_ADMIN_OPERATOR,
                                               NOW_S, INT64_MAX, random, credential));
    int n = snprintf(requests, sizeof requests,
                     "POST /v1/revoke HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
                     "Content-Length: 14\r\n\r\n{\"kind\":\"all\"}"
                     "GET /liveness HTTP/1.1\r\nHost: h\r\n\r\n",
                     credential);
    fake_conn_feed(&conn, pc_bytes_of(requests, (size_t)n));
    assert_int_equal(conn.out_n, 0);
    fake_conn_run_writer(&conn, &rig);
    assert_int_equal(count("HTTP/1.1 200 OK"), 2);
    assert_true(strstr((const char *)conn.out, "revoked") <
                strstr((const char *)conn.out, "alive"));
    /* A connection that goes meanwhile is not answered, and nothing is lost. */
    fake_conn_feed(&conn, pc_bytes_of(requests, (size_t)n));
    conn.closing = true;
    conn.out_n = 0;
    fake_conn_run_writer(&conn, &rig);
    assert_int_equal(conn.out_n, 0);
    assert_int_equal(core.worker.jobs_under_way, 0);
}

/* Signature work has a budget: beyond it 503, never 401, and tokens that are known go on. */
static void a_flood_of_bad_signatures_does_not_touch_known_tokens(void **state)
{
    (void)state;
    struct pc_verify_budget_options small = {
        .share_permille = 10, .client_permille = 10, .burst_ms = 1};
    char known[RIG_TOKEN_MAX], bad[RIG_TOKEN_MAX], request[RIG_TOKEN_MAX + 128];
    uint8_t seed[32] = {77};
    struct mint_key *forger = mint_key_from_seed(seed, "key-0");
    rig_token(&rig, 0, "u", "known", NOW_S, "", known);
    assert_int_equal(PC_TOKEN_OK, rig_decide(&core, &rig, known));
    pc_verify_budget_destroy(core.worker.budget);
    assert_int_equal(0, pc_verify_budget_create(&small, core.core.now_ns, &core.worker.budget));
    unsigned refused = 0, busy = 0;
    for (unsigned i = 0; i < 60; i++) {
        char jti[16];
        snprintf(jti, sizeof jti, "bad-%u", i);
        rig_token_by(forger, rig_issuer(0), "u", jti, NOW_S, "", bad);
        conn.out_n = 0;
        int n = snprintf(request, sizeof request,
                         "GET /v1/auth%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
                         i % 2 ? "" : "/nginx", bad);
        fake_conn_feed(&conn, pc_bytes_of(request, (size_t)n));
        unsigned status = fake_conn_status(&conn);
        refused += status == 401;
        busy += status == (i % 2 ? 503 : 403) &&
                has(i % 2 ? "VERIFY_BUDGET_EXHAUSTED" : "X-Portcullis-Status: 503");
        conn.out_n = 0;
        n = snprintf(request, sizeof request,
                     "GET /v1/auth HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", known);
        fake_conn_feed(&conn, pc_bytes_of(request, (size_t)n));
        assert_int_equal(200, fake_conn_status(&conn));
    }
    assert_true(refused > 0 && busy > 0);
    assert_int_equal(refused + busy, 60);
    mint_key_free(forger);
}

/* Writes a forward auth request with a token of its own into text; returns its length. */
static size_t unseen_request(char *text, size_t room, const char *jti)
{
    char token[RIG_TOKEN_MAX];
    rig_token(&rig, 0, "u", jti, NOW_S, "", token);
    return (size_t)snprintf(text, room,
                            "GET /v1/auth HTTP/1.1\r\nHost: h\r\nX-Request-ID: %s\r\n"
                            "Authorization: Bearer %s\r\n\r\n",
                            jti, token);
}

/* Fills text with n requests, each with a token not seen before. */
static size_t unseen_requests(char *text, size_t room, unsigned n, const char *prefix)
{
    size_t used = 0;
    for (unsigned i = 0; i < n; i++) {
        char jti[32];
        snprintf(jti, sizeof jti, "%s-%03u", prefix, i);
        used += unseen_request(text + used, room - used, jti);
    }
    return used;
}

/* A few tokens not seen before in each turn; the others wait, in order, and lose nothing. */
static void tokens_not_seen_before_take_their_turn(void **state)
{
    (void)state;
    enum { REQUESTS = 3 * PC_UNSEEN_PER_TURN };
    static char text[(REQUESTS + 1) * (RIG_TOKEN_MAX + 128)];
    size_t n = unseen_requests(text, sizeof text, REQUESTS, "unseen");
    n += (size_t)snprintf(text + n, sizeof text - n, "GET /liveness HTTP/1.1\r\nHost: h\r\n\r\n");
    const uint64_t *decided = &core.worker.metrics->slot[PC_M_DECISIONS + PC_DECISION_OK];
    uint64_t before = *decided;
    fake_conn_receive(&conn, pc_bytes_of(text, n));
    assert_int_equal(count("HTTP/1.1 200 OK"), PC_UNSEEN_PER_TURN);
    assert_true(conn.paused);
    unsigned turns = 0;
    while (fake_conn_end_turn(&conn))
        turns++;
    assert_int_equal(turns, REQUESTS / PC_UNSEEN_PER_TURN - 1);
    assert_int_equal(count("HTTP/1.1 200 OK"), REQUESTS + 1);
    assert_int_equal(*decided - before, REQUESTS);
    assert_int_equal(conn.in_n, 0);
    assert_false(conn.paused || conn.closing);
    const char *p = (const char *)conn.out;
    for (unsigned i = 0; i < REQUESTS; i++) {
        char id[64];
        snprintf(id, sizeof id, "unseen-%03u", i);
        p = strstr(p, id);
        assert_non_null(p);
    }
    /* Known ones do not wait, whoever does. */
    conn.out_n = 0;
    n -= sizeof "GET /liveness HTTP/1.1\r\nHost: h\r\n\r\n" - 1;
    fake_conn_receive(&conn, pc_bytes_of(text, n));
    assert_int_equal(count("HTTP/1.1 200 OK"), REQUESTS);
    assert_false(fake_conn_end_turn(&conn));
}

/* Whose connection goes while it waits leaves the list; others come after it. */
static void a_connection_that_goes_while_it_waits_is_forgotten(void **state)
{
    (void)state;
    enum { REQUESTS = PC_UNSEEN_PER_TURN + 1 };
    static char text[REQUESTS * (RIG_TOKEN_MAX + 128)];
    size_t n = unseen_requests(text, sizeof text, REQUESTS, "first");
    fake_conn_receive(&conn, pc_bytes_of(text, n));
    assert_true(conn.paused && core.worker.unseen.first != NULL);
    reopen();
    assert_null(core.worker.unseen.first);
    assert_null(core.worker.unseen.last);
    assert_false(fake_conn_end_turn(&conn));
    n = unseen_requests(text, sizeof text, REQUESTS, "second");
    fake_conn_feed(&conn, pc_bytes_of(text, n));
    assert_int_equal(count("HTTP/1.1 200 OK"), REQUESTS);
}

static void a_page_is_for_those_who_rather_have_it(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool html;
    } cases[] = {
        {"",                                                                false},
        {"*/*",                                                             false},
        {"application/json",                                                false},
        {"text/html",                                                       true },
        {"TEXT/HTML",                                                       true },
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true },
        {"text/html, */*",                                                  true },
        {"application/json, text/html",                                     false},
        {"text/html, application/json;q=0.9",                               true },
        {"text/html;q=0.5, application/json;q=0.9",                         false},
        {"text/html;q=0.5, */*",                                            false},
        {"text/html;q=0",                                                   false},
        {"text/html;q=0.001",                                               true },
        {"text/html; q=1.0 , application/json ; q=0.999",                   true },
        {"text/html;q=9",                                                   false},
        {"text/html;level=1",                                               true },
        {",,text/html,,",                                                   true },
        {"text/htmlx, text/htm",                                            false},
        {"text/html;q=",                                                    false},
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        if (pc_accept_prefers_html(pc_bytes_str(cases[i].accept)) != cases[i].html)
            fail_msg("%s", cases[i].accept);
    assert_int_equal(200, ask("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n"));
    assert_true(has("Content-Type: text/html; charset=utf-8\r\n") && has("Vary: Accept\r\n"));
    assert_true(has("default-src 'none'; style-src 'unsafe-inline'") && has("<!DOCTYPE html>"));
    assert_int_equal(200, ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(has("Content-Type: application/json\r\n") && has("Vary: Accept\r\n"));
    assert_true(has("default-src 'none'; frame-ancestors 'none'\r\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_page_is_for_those_who_rather_have_it),
        TEST(requests_do_not_depend_on_how_their_bytes_arrive),
        TEST(each_request_finds_its_own_endpoint),
        TEST(what_is_no_request_ends_the_connection),
        TEST(strangers_are_refused_before_their_large_body),
        TEST(request_ids_are_taken_over_when_sane),
        TEST(connections_are_kept_as_the_version_says),
        TEST(browsers_are_let_in_by_origin_only),
        TEST(decisions_are_for_trusted_peers),
        TEST(a_proxy_elsewhere_makes_nobody_local),
        TEST(deadlines_end_what_does_not_arrive),
        TEST(a_server_that_stops_answers_what_was_on_its_way),
        TEST(a_parked_request_holds_back_those_behind_it),
        TEST(a_flood_of_bad_signatures_does_not_touch_known_tokens),
        TEST(tokens_not_seen_before_take_their_turn),
        TEST(a_connection_that_goes_while_it_waits_is_forgotten),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
