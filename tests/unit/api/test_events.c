/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/events on a connection in memory, fed by the real writer: what is told to whom, in which
 * frames, where a client goes on, what happens to one that is slow, overrun or no longer allowed,
 * and how a stream ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/api/call.h"
#include "edge/api/endpoint.h"
#include "edge/api/event_wish.h"
#include "support/fake_conn.h"

#define NOW_S      (RIG_WALL_MS / 1000)
#define TICK       5 /* the deadline of streams */
#define EPOCH_TEXT "00000065766e7473"

enum { GATEWAY, VIEWER, OPERATOR, CREDENTIALS };

static struct rig rig;
static struct rig_core core;
static struct fake_conn conn;
static struct sim_disk *disk;
static char credentials[CREDENTIALS][PC_ADMIN_TOKEN_TEXT_MAX];

static void add_credential(unsigned i, const char *name, enum pc_admin_role role)
{
    uint8_t random[40] = {(uint8_t)(i + 1)};
    int rc = pc_admin_tokens_create(&core.settings->admins, name, role, NOW_S - 100, NOW_S + 3600,
                                    random, credentials[i]);
    assert_int_equal(rc, 0);
}

static int setup(void **state)
{
    (void)state;
    disk = sim_disk_new(1);
    rig_init(&rig, disk);
    rig.options.segment_bytes = 4u << 20;
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
    core.core.now_ms = RIG_WALL_MS;
    add_credential(GATEWAY, "gw", PC_ADMIN_GATEWAY);
    add_credential(VIEWER, "eyes", PC_ADMIN_VIEWER);
    add_credential(OPERATOR, "op", PC_ADMIN_OPERATOR);
    fake_conn_open_http(&conn, &core);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_conn_close(&conn);
    assert_int_equal(core.worker.streams.count, 0);
    assert_int_equal(core.worker.streams.behind, 0);
    assert_null(core.worker.streams.first);
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    return 0;
}

static unsigned ask(unsigned who, const char *target, const char *more)
{
    char request[1024];
    if (conn.closing || core.worker.streams.count) {
        fake_conn_close(&conn);
        fake_conn_open_http(&conn, &core);
    }
    snprintf(request, sizeof request,
             "GET /v1/events%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n%s\r\n", target,
             credentials[who], more);
    fake_conn_ask(&conn, &rig, request);
    return fake_conn_status(&conn);
}

static const char *text(void)
{
    conn.out[conn.out_n] = 0;
    return (const char *)conn.out;
}

static bool has(const char *part)
{
    return strstr(text(), part) != NULL;
}

static unsigned count(const char *part)
{
    unsigned n = 0;
    for (const char *p = text(); (p = strstr(p, part)); p += strlen(part))
        n++;
    return n;
}

/* What the loop does between two turns of the writer and of the core. */
static void turn(void)
{
    if (atomic_exchange(&rig.nudges, 0))
        pc_event_streams_nudged(&core.worker);
    pc_event_streams_turn_end(&core.worker);
}

static void heartbeat(void)
{
    conn.protocol.timeout(&conn.conn, TICK);
}

static void revoke(const char *id)
{
    assert_int_equal(0, rig_revoke_until(&rig, PC_KIND_TOKEN, id, RIG_WALL_MS + 60000));
}

static void set_flag(const char *key, const char *value)
{
    struct pc_change c = {.kind = PC_KIND_FLAG,
                          .op = value ? PC_OP_SET : PC_OP_UNSET,
                          .id = pc_bytes_str(key),
                          .value = pc_bytes_str(value),
                          .actor = PC_LIT("token:op")};
    assert_int_equal(0, rig_run(&rig, rig_job(&c, 1), NULL));
}

static uint64_t metric(unsigned id)
{
    return pc_metric_get(core.worker.metrics, id);
}

/* ---- what is told ---- */

static void a_stream_begins_with_where_it_stands(void **state)
{
    (void)state;
    assert_int_equal(200, ask(OPERATOR, "", ""));
    assert_true(has("Content-Type: text/event-stream\r\n"));
    assert_true(has("Transfer-Encoding: chunked\r\n") && has("Connection: close\r\n"));
    assert_false(has("Content-Length"));
    assert_true(has("retry: 2000\nid: " EPOCH_TEXT "-1-1\n\n"));
    assert_false(has("event:"));
    assert_int_equal(conn.deadlines, 1u << TICK); /* no other runs */
    assert_false(conn.closing);
    assert_int_equal(metric(PC_M_EVENT_STREAMS_OPEN), 1);
}

static void a_revocation_is_told_to_operators(void **state)
{
    (void)state;
    ask(OPERATOR, "", "");
    conn.out_n = 0;
    revoke("a\"b");
    assert_int_equal(atomic_load(&rig.nudges), 1);
    turn();
    assert_true(has("id: " EPOCH_TEXT "-1-2\nevent: revocation\ndata: {\"op\":\"revoke\",\"kind\":"
                    "\"token\",\"issuer\":\"issuer-0\",\"id\":\"a\\\"b\",\"at\":1800000000.000,"
                    "\"expires_at\":1800000060.000"));
    assert_true(has("}\n\n\r\n")); /* the end of the frame, and of its chunk */
    assert_int_equal(0, rig_commit(&rig, PC_KIND_TOKEN, PC_OP_CLEAR, rig_issuer(0), "a\"b"));
    turn();
    assert_true(has("\"op\":\"clear\""));
    assert_int_equal(metric(PC_M_EVENTS_SENT_REVOCATION), 2);
}

static void flags_are_told_to_everybody_revocations_are_not(void **state)
{
    (void)state;
    static const unsigned roles[] = {GATEWAY, VIEWER};
    for (unsigned i = 0; i < PC_COUNT(roles); i++) {
        assert_int_equal(200, ask(roles[i], "", ""));
        assert_true(has("-0\n\n")); /* no place among revocations */
        conn.out_n = 0;
        revoke("x");
        assert_int_equal(atomic_load(&rig.nudges), 0); /* nobody here wants to know */
        set_flag("ui.new", i ? "2" : "1");
        turn();
        assert_int_equal(count("event: "), 1);
        assert_true(has("event: flag\ndata: {\"key\":\"ui.new\",\"value\":"));
        assert_true(has("\"type\":\"integer\",\"source\":\"admin:op\"}\n\n"));
        assert_int_equal(403, ask(roles[i], "?types=revocation", ""));
        assert_int_equal(403, ask(roles[i], "?types=flag,revocation", ""));
    }
}

static void only_effective_changes_of_flags_are_told(void **state)
{
    (void)state;
    ask(OPERATOR, "?types=flag", "");
    conn.out_n = 0;
    set_flag("ui.new", "1");
    set_flag("ui.new", "1");
    set_flag("ui.new", NULL);
    turn();
    assert_int_equal(count("event: flag\n"), 2);
    assert_true(has("{\"key\":\"ui.new\",\"value\":null,\"type\":\"integer\",\"source\":null}"));
}

static void many_flags_at_once_are_one_event(void **state)
{
    (void)state;
    char keys[PC_EVENTS_FLAGS_ONE_BY_ONE + 1][16];
    struct pc_change c[PC_COUNT(keys)];
    for (unsigned i = 0; i < PC_COUNT(keys); i++) {
        snprintf(keys[i], sizeof keys[i], "many.k%u", i);
        c[i] = (struct pc_change){.kind = PC_KIND_FLAG,
                                  .op = PC_OP_SET,
                                  .id = pc_bytes_str(keys[i]),
                                  .value = PC_LIT("true")};
    }
    ask(GATEWAY, "", "");
    conn.out_n = 0;
    assert_int_equal(0, rig_run(&rig, rig_job(c, PC_COUNT(c) - 1), NULL));
    turn();
    assert_int_equal(count("event: flag\n"), PC_EVENTS_FLAGS_ONE_BY_ONE);
    conn.out_n = 0;
    for (unsigned i = 0; i < PC_COUNT(keys); i++)
        c[i].value = PC_LIT("false");
    assert_int_equal(0, rig_run(&rig, rig_job(c, PC_COUNT(c)), NULL));
    turn();
    assert_int_equal(count("event: "), 1);
    assert_true(has("event: flags\ndata: {\"changed\":65,\"total\":"));
}

static void types_choose(void **state)
{
    (void)state;
    ask(OPERATOR, "?types=revocation", "");
    conn.out_n = 0;
    set_flag("ui.new", "1");
    revoke("x");
    turn();
    assert_int_equal(count("event: "), 1);
    assert_true(has("id: " EPOCH_TEXT "-0-2\nevent: revocation\n"));
}

static void a_wrong_query_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"?types=",
                                        "?types=x",
                                        "?types=flag&types=flag",
                                        "?surprise=1",
                                        "?types=flag%2",
                                        "?types=flag,,revocation",
                                        "?last_event_id=a&last_event_id=b",
                                        "?&types=flag"};
    for (unsigned i = 0; i < PC_COUNT(wrong); i++) {
        if (ask(OPERATOR, wrong[i], "") != 400)
            fail_msg("%s: %s", wrong[i], text());
        assert_true(has("BAD_REQUEST"));
    }
    assert_int_equal(200, ask(OPERATOR, "?types=flag%2Crevocation", ""));
}

/* ---- going on ---- */

static void a_client_goes_on_where_it_left_off(void **state)
{
    (void)state;
    revoke("one");
    set_flag("ui.new", "1");
    revoke("two");
    assert_int_equal(200, ask(OPERATOR, "", "Last-Event-ID: " EPOCH_TEXT "-1-2\r\n"));
    assert_false(has("reset") || has("\"one\""));
    assert_true(has("\"two\"") && has("ui.new"));
    /* The last id of that stream: nothing is told twice. */
    assert_int_equal(200, ask(OPERATOR, "?last_event_id=" EPOCH_TEXT "-2-3", ""));
    assert_false(has("event:"));
    /* A kind the old stream did not carry was not missed. */
    assert_int_equal(200, ask(OPERATOR, "", "Last-Event-ID: " EPOCH_TEXT "-2-0\r\n"));
    assert_false(has("event:"));
    assert_true(has("id: " EPOCH_TEXT "-2-3\n\n"));
    /* The field wins over the query. */
    assert_int_equal(200, ask(OPERATOR, "?last_event_id=" EPOCH_TEXT "-1-1",
                              "Last-Event-ID: " EPOCH_TEXT "-2-3\r\n"));
    assert_false(has("event:"));
}

static void an_id_that_is_not_ours_is_answered_with_reset(void **state)
{
    (void)state;
    static const char *const ids[] = {"0000000000000001-1-1", "x",
                                      EPOCH_TEXT "-7-1",      EPOCH_TEXT "-1",
                                      EPOCH_TEXT "-1-1-1",    EPOCH_TEXT "-99999999999999999999-1"};
    char field[128];
    revoke("old");
    for (unsigned i = 0; i < PC_COUNT(ids); i++) {
        snprintf(field, sizeof field, "Last-Event-ID: %s\r\n", ids[i]);
        assert_int_equal(200, ask(OPERATOR, "?types=flag", field));
        assert_true(has("id: " EPOCH_TEXT "-1-0\nevent: reset\ndata: {\"reason\":\"unknown_id\","
                        "\"types\":[\"flag\"]}\n\n"));
    }
    assert_int_equal(200, ask(OPERATOR, "", "Last-Event-ID: x\r\n"));
    assert_true(has("\"types\":[\"flag\",\"revocation\"]"));
    assert_false(has("\"old\""));
}

static void revoke_many(unsigned n)
{
    char id[16];
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof id, "m%u", i);
        revoke(id);
        rig_forget(&rig);
    }
}

static void an_id_that_is_too_old_is_answered_with_reset(void **state)
{
    (void)state;
    set_flag("ui.new", "1");
    revoke_many(2000);
    assert_true(pc_event_log_floor(pc_events_log(rig.events, PC_STREAM_REVOCATIONS)) > 1);
    /* Only the history that was overrun; the other goes on. */
    assert_int_equal(200, ask(OPERATOR, "", "Last-Event-ID: " EPOCH_TEXT "-1-1\r\n"));
    assert_true(has("event: reset\ndata: {\"reason\":\"unknown_id\",\"types\":[\"revocation\"]}"));
    assert_true(has("ui.new"));
    assert_false(has("event: revocation"));
}

/* ---- slow readers ---- */

static void a_reader_that_is_overrun_is_told(void **state)
{
    (void)state;
    ask(OPERATOR, "", "");
    conn.out_n = 0;
    conn.full = true;
    revoke_many(2000);
    turn();
    assert_int_equal(conn.out_n, 0);
    assert_int_equal(core.worker.streams.behind, 1);
    conn.full = false;
    turn();
    assert_true(has("event: reset\ndata: {\"reason\":\"overrun\",\"types\":[\"revocation\"]}\n\n"));
    assert_int_equal(core.worker.streams.behind, 0);
    assert_false(has("event: revocation"));
    revoke("after");
    turn();
    assert_true(has("\"after\""));
}

static void a_slow_reader_catches_up_turn_by_turn(void **state)
{
    (void)state;
    ask(OPERATOR, "", "");
    conn.out_n = 0;
    revoke_many(300);
    turn();
    for (unsigned i = 0; core.worker.streams.behind && i < 100; i++)
        turn();
    assert_int_equal(count("event: revocation"), 300);
    for (const char *p = text(); (p = strstr(p, "id: " EPOCH_TEXT)); p += 4)
        assert_ptr_not_equal(strstr(p, "-1-"), NULL);
}

static void a_reader_that_does_not_catch_up_is_cut_off(void **state)
{
    (void)state;
    ask(OPERATOR, "", "");
    conn.out_n = 0;
    conn.full = true;
    revoke("x");
    turn();
    heartbeat();
    assert_false(conn.closing);
    assert_int_equal(conn.out_n, 0); /* no heartbeat on top of it */
    heartbeat();
    assert_true(conn.closing);
    assert_true(has("event: dropped\ndata: {\"reason\":\"slow\"}\n\n\r\n0\r\n\r\n"));
    assert_int_equal(metric(PC_M_EVENT_STREAMS_SLOW), 1);
    assert_int_equal(metric(PC_M_EVENT_STREAMS_OPEN), 0);
    conn.full = false;
}

static void a_reader_that_caught_up_between_heartbeats_stays(void **state)
{
    (void)state;
    ask(OPERATOR, "", "");
    for (unsigned i = 0; i < 4; i++) {
        conn.full = true;
        revoke(i % 2 ? "x" : "y");
        turn();
        heartbeat();
        conn.full = false;
        turn();
    }
    heartbeat();
    assert_false(conn.closing);
}

/* ---- the end ---- */

static void heartbeats_are_comments(void **state)
{
    (void)state;
    ask(GATEWAY, "", "");
    conn.out_n = 0;
    heartbeat();
    assert_string_equal(text(), "e\r\n: still here\n\n\r\n");
    assert_true(conn.deadlines & 1u << TICK);
}

static void a_stream_ends_with_its_credential(void **state)
{
    (void)state;
    ask(OPERATOR, "", "");
    heartbeat();
    assert_false(conn.closing);
    assert_int_equal(0, pc_admin_tokens_revoke(&core.settings->admins, "op", NOW_S));
    heartbeat();
    assert_true(conn.closing);
    assert_true(has("event: dropped\ndata: {\"reason\":\"credential\"}"));
    ask(VIEWER, "", "");
    core.core.now_ms += 3601 * 1000;
    heartbeat();
    assert_true(conn.closing);
    assert_int_equal(metric(PC_M_EVENT_STREAMS_CREDENTIAL), 2);
}

static void the_servers_stop_ends_streams_in_order(void **state)
{
    (void)state;
    ask(GATEWAY, "", "");
    conn.out_n = 0;
    core.core.stopping = true;
    conn.protocol.drain(&conn.conn);
    assert_true(conn.closing);
    assert_string_equal(text(), "0\r\n\r\n");
    assert_int_equal(metric(PC_M_EVENT_STREAMS_SHUTDOWN), 1);
    core.core.stopping = false;
}

static void what_comes_behind_is_dropped(void **state)
{
    (void)state;
    ask(GATEWAY, "", "");
    conn.out_n = 0;
    fake_conn_feed(&conn, PC_LIT("GET /liveness HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_int_equal(conn.in_n, 0);
    assert_int_equal(conn.out_n, 0);
    assert_false(conn.closing);
    fake_conn_close(&conn); /* the peer goes: teardown looks for what is left */
    assert_int_equal(core.worker.streams.count, 0);
    assert_int_equal(metric(PC_M_EVENT_STREAMS_GONE), 1);
    fake_conn_open_http(&conn, &core);
}

static void head_and_http_1_0(void **state)
{
    (void)state;
    char request[512];
    snprintf(request, sizeof request,
             "HEAD /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
             credentials[GATEWAY]);
    fake_conn_ask(&conn, &rig, request);
    assert_int_equal(fake_conn_status(&conn), 200);
    assert_true(conn.closing);
    assert_int_equal(core.worker.streams.count, 0);
    assert_false(has("retry:"));
    fake_conn_close(&conn);
    fake_conn_open_http(&conn, &core);
    snprintf(request, sizeof request, "GET /v1/events HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n",
             credentials[GATEWAY]);
    fake_conn_ask(&conn, &rig, request);
    assert_int_equal(fake_conn_status(&conn), 200);
    assert_false(has("chunked"));
    assert_true(has("\r\n\r\n: portcullis")); /* the body begins at once */
    conn.protocol.drain(&conn.conn);
    assert_true(conn.closing);
}

/* The loop aborts a connection it has no memory for: nothing is written any more, and what belongs
 * to the stream goes with the connection. */
static void without_memory_a_stream_ends(void **state)
{
    (void)state;
    conn.no_memory = true;
    assert_int_equal(0, ask(OPERATOR, "", ""));
    assert_true(conn.aborted);
    assert_int_equal(core.worker.streams.count, 0);
    fake_conn_close(&conn);
    fake_conn_open_http(&conn, &core);
    assert_int_equal(200, ask(OPERATOR, "", ""));
    conn.no_memory = true;
    revoke("x");
    turn();
    assert_true(conn.aborted);
    revoke("y");
    turn();
    assert_int_equal(core.worker.streams.count, 1); /* until the loop says that it is gone */
}

static void streams_are_bounded(void **state)
{
    (void)state;
    core.worker.streams.count = (unsigned)core.server.started_as->events.max_streams;
    /* ask() would take the count for a stream of its own. */
    char request[512];
    snprintf(request, sizeof request,
             "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
             credentials[GATEWAY]);
    fake_conn_ask(&conn, &rig, request);
    assert_int_equal(fake_conn_status(&conn), 503);
    assert_true(has("TOO_MANY_STREAMS") && has("Retry-After: 5\r\n"));
    assert_false(conn.closing); /* the connection may be used again */
    assert_int_equal(metric(PC_M_EVENT_STREAMS_REFUSED), 1);
    core.worker.streams.count = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_begins_with_where_it_stands),
        TEST(a_revocation_is_told_to_operators),
        TEST(flags_are_told_to_everybody_revocations_are_not),
        TEST(only_effective_changes_of_flags_are_told),
        TEST(many_flags_at_once_are_one_event),
        TEST(types_choose),
        TEST(a_wrong_query_is_refused),
        TEST(a_client_goes_on_where_it_left_off),
        TEST(an_id_that_is_not_ours_is_answered_with_reset),
        TEST(an_id_that_is_too_old_is_answered_with_reset),
        TEST(a_reader_that_is_overrun_is_told),
        TEST(a_slow_reader_catches_up_turn_by_turn),
        TEST(a_reader_that_does_not_catch_up_is_cut_off),
        TEST(a_reader_that_caught_up_between_heartbeats_stays),
        TEST(heartbeats_are_comments),
        TEST(a_stream_ends_with_its_credential),
        TEST(the_servers_stop_ends_streams_in_order),
        TEST(what_comes_behind_is_dropped),
        TEST(head_and_http_1_0),
        TEST(without_memory_a_stream_ends),
        TEST(streams_are_bounded),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
