/* SPDX-License-Identifier: Apache-2.0
 * RESP commands over a connection in memory: a token blacklist as applications keep it in Redis,
 * in order, with the permissions of the connection, down to the writer's tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "edge/api/resp_conn.h"
#include "edge/state/rcu.h"
#include "support/fake_conn.h"

#define ISSUER "issuer-0"
#define NOW_S  (RIG_WALL_MS / 1000)

static struct rig rig;
static struct rig_core core;
static struct fake_conn conn;
static struct sim_disk *disk;
static struct pc_config_prefix prefixes[] = {
    {.prefix = "bl:",     .issuer = ISSUER, .value = "1", .form = PC_PREFIX_JTI         },
    {.prefix = "bl:tok:", .issuer = "",     .value = "1", .form = PC_PREFIX_TOKEN       },
    {.prefix = "free:",
     .issuer = ISSUER,
     .value = "x",
     .form = PC_PREFIX_JTI,
     .allow_unrevoke = true},
    {.prefix = "any:",                   .issuer = "",                    .value = "1",  .form = PC_PREFIX_JTI},
};
static char operator_token[PC_ADMIN_TOKEN_TEXT_MAX], gateway_token[PC_ADMIN_TOKEN_TEXT_MAX];

static int setup(void **state)
{
    (void)state;
    static const uint8_t random[2][40] = {{1}, {2}};
    disk = sim_disk_new(1);
    rig_init(&rig, disk);
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
    core.settings->config->prefixes = prefixes;
    core.settings->config->prefix_count = PC_COUNT(prefixes);
    pc_admin_tokens_create(&core.settings->admins, "op", PC_ADMIN_OPERATOR, NOW_S, INT64_MAX,
                           random[0], operator_token);
    pc_admin_tokens_create(&core.settings->admins, "gw", PC_ADMIN_GATEWAY, NOW_S, INT64_MAX,
                           random[1], gateway_token);
    core.core.now_ns = 1;
    assert_int_equal(pc_limits_new(1000, &core.server.throttle), 0);
    fake_conn_open_resp(&conn, &core);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_conn_end_turn(&conn);
    fake_conn_close(&conn);
    pc_limits_free(core.server.throttle);
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    return 0;
}

static void reopen(void)
{
    fake_conn_close(&conn);
    fake_conn_open_resp(&conn, &core);
}

/* Inline commands, one per line; the replies. */
static const char *ask(const char *commands)
{
    char bytes[8192];
    size_t n = 0;
    for (const char *p = commands; *p; p++) {
        if (*p == '\n')
            bytes[n++] = '\r';
        bytes[n++] = *p;
    }
    bytes[n++] = '\r';
    bytes[n++] = '\n';
    bytes[n] = 0;
    return fake_conn_ask(&conn, &rig, bytes);
}

static void expect(const char *commands, const char *replies)
{
    const char *got = ask(commands);
    if (strcmp(got, replies) != 0)
        fail_msg("%s\n-> %s\ninstead of %s", commands, got, replies);
}

static void expect_prefix(const char *commands, const char *reply)
{
    const char *got = ask(commands);
    if (strncmp(got, reply, strlen(reply)) != 0)
        fail_msg("%s\n-> %s\ninstead of %s…", commands, got, reply);
}

static void log_in(const char *token)
{
    char command[256];
    snprintf(command, sizeof command, "AUTH %s", token);
    expect(command, "+OK\r\n");
}

static void a_stranger_may_only_read(void **state)
{
    (void)state;
    expect("PING", "+PONG\r\n");
    expect("EXISTS bl:a", ":0\r\n");
    expect_prefix("SET bl:a 1 EX 60", "-NOAUTH");
    expect_prefix("DEL bl:a", "-NOAUTH");
    expect_prefix("AUTH nonsense", "-WRONGPASS");
    conn.conn.peer.ip[0] = 9; /* not this machine */
    expect_prefix("EXISTS bl:a", "-NOAUTH");
    expect_prefix("PING", "-NOAUTH"); /* as Redis with a password */
    log_in(gateway_token);
    expect("PING", "+PONG\r\n");
}

static void a_blacklist_works_as_in_redis(void **state)
{
    (void)state;
    log_in(gateway_token);
    expect("SET bl:a 1 EX 60\nEXISTS bl:a\nGET bl:a\nTTL bl:a\nPTTL bl:a",
           "+OK\r\n:1\r\n$1\r\n1\r\n:60\r\n:60000\r\n");
    expect("EXISTS bl:a bl:b bl:a\nGET bl:b\nTTL bl:b\nPTTL bl:b", ":2\r\n$-1\r\n:-2\r\n:-2\r\n");
    expect("SETEX bl:c 10 1\nPSETEX bl:d 10 1\nEXISTS bl:c bl:d", "+OK\r\n+OK\r\n:2\r\n");
    expect("SET bl:e 1\nTTL bl:e", "+OK\r\n:3605\r\n"); /* as long as a token can live */
    expect("EXPIRE bl:a 600\nTTL bl:a\nEXPIRE bl:zz 5", ":1\r\n:600\r\n:0\r\n");
    expect("EXPIRE bl:a 1\nTTL bl:a", ":1\r\n:600\r\n"); /* never shorter */
    expect("SET bl:f 1 PXAT 1800000005000\nPTTL bl:f\nSET bl:g 1 EXAT 1800000007\nTTL bl:g",
           "+OK\r\n:5000\r\n+OK\r\n:7\r\n");
    assert_true(rig_look_up(&rig, PC_KIND_TOKEN, ISSUER, "a").refused);
    rig.wall_ms += 600000 + RIG_SKEW_MS;
    expect("EXISTS bl:a", ":1\r\n"); /* honoured to the end of the skew */
    rig.wall_ms++;
    expect("EXISTS bl:a\nTTL bl:a", ":0\r\n:-2\r\n");
}

static void unrevoking_needs_an_operator_or_a_prefix_that_allows_it(void **state)
{
    (void)state;
    log_in(gateway_token);
    expect("SET bl:a 1 EX 60\nSET free:b 1 EX 60", "+OK\r\n+OK\r\n");
    expect_prefix("DEL bl:a", "-NOPERM");
    expect("EXISTS bl:a", ":1\r\n");
    expect("DEL free:b\nEXISTS free:b\nDEL free:b", ":1\r\n:0\r\n:0\r\n");
    reopen();
    log_in(operator_token);
    expect("DEL bl:a bl:nothing\nEXISTS bl:a", ":1\r\n:0\r\n");
    expect("SET bl:a 1 EX 60\nEXISTS bl:a\nDEL bl:a\nEXISTS bl:a\nSET bl:a 1 EX 60\nEXISTS bl:a",
           "+OK\r\n:1\r\n:1\r\n:0\r\n+OK\r\n:1\r\n");
}

static void keys_are_ids_or_whole_tokens(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX], command[RIG_TOKEN_MAX + 64];
    log_in(gateway_token);
    rig_token(&rig, 1, "u", "j7", NOW_S, "", token);
    snprintf(command, sizeof command, "SET bl:tok:%s 1", token);
    expect(command, "+OK\r\n");
    struct pc_revocation_state s = rig_look_up(&rig, PC_KIND_TOKEN, "issuer-1", "j7");
    assert_true(s.refused);
    assert_int_equal(s.expires_at_ms, RIG_WALL_MS + 900000); /* the token's own */
    snprintf(command, sizeof command, "EXISTS bl:tok:%s", token);
    expect(command, ":1\r\n");
    expect_prefix("SET bl:tok:x.y.z 1", "-ERR TOKEN_MALFORMED");
    expect_prefix("SET other:a 1", "-ERR key");
    expect_prefix("SET bl: 1", "-ERR");
    expect_prefix("EXISTS any:a", "-ERR prefix"); /* two issuers, and it names none */
}

static void bad_commands_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *command, *reply;
    } cases[] = {
        {"SET bl:a 1 EX",        "-ERR syntax error"       },
        {"SET bl:a 1 EX 0",      "-ERR invalid expire time"},
        {"SET bl:a 1 EX -5",     "-ERR invalid expire time"},
        {"SET bl:a 1 EX x",      "-ERR value is not"       },
        {"SET bl:a 1 EX 5 PX 5", "-ERR syntax error"       },
        {"SET bl:a 1 NX",        "-ERR SET options"        },
        {"SET bl:a 1 WHAT",      "-ERR syntax error"       },
        {"SET bl:a",             "-ERR wrong number"       },
        {"SETEX bl:a x 1",       "-ERR value is not"       },
        {"SETEX bl:a 0 1",       "-ERR invalid expire time"},
        {"GET",                  "-ERR wrong number"       },
        {"FLUSHALL",             "-ERR unknown command"    },
        {"SELECT 1",             "-ERR"                    },
        {"PC.REVOKE subject",    "-ERR"                    },
        {"PC.CHECK {",           "-ERR JSON_INVALID"       },
    };
    log_in(operator_token);
    for (unsigned i = 0; i < PC_COUNT(cases); i++)
        expect_prefix(cases[i].command, cases[i].reply);
    expect("PING\nSELECT 0\nECHO hi", "+PONG\r\n+OK\r\n$2\r\nhi\r\n");
}

static void an_error_does_not_overtake_the_mutations_before_it(void **state)
{
    (void)state;
    log_in(gateway_token);
    const char *got =
        ask("SET bl:a 1 EX 60\nSET other:x 1\nSET bl:b 1 EX 60\nDEL bl:a\nEXISTS bl:b");
    assert_memory_equal(got, "+OK\r\n-ERR key", 13);
    const char *noperm = strstr(got, "+OK\r\n-NOPERM");
    assert_non_null(noperm);
    assert_non_null(strstr(noperm, ":1\r\n"));
}

static void a_failed_journal_is_an_error_and_reads_go_on(void **state)
{
    (void)state;
    log_in(gateway_token);
    expect("SET bl:a 1 EX 60", "+OK\r\n");
    sim_disk_fault(disk, SIM_SYNC, 1, false);
    expect_prefix("SET bl:b 1 EX 60", "-");
    expect_prefix("SET bl:b 1 EX 60", "-");
    expect("EXISTS bl:a bl:b", ":1\r\n");
}

static void every_command_answers_something(void **state)
{
    (void)state;
    log_in(operator_token);
    for (size_t i = 0; i < pc_resp_row_count; i++) {
        const struct pc_resp_row *row = &pc_resp_rows[i];
        char command[256];
        int arity = row->arity < 0 ? -row->arity : row->arity;
        int n = snprintf(command, sizeof command, "%s", row->name);
        for (int k = 1; k < arity; k++)
            n += snprintf(command + n, sizeof command - (size_t)n, " bl:x");
        if (strcmp(row->name, "QUIT") == 0)
            continue;
        assert_true(strlen(ask(command)) > 2);
        if (conn.closing)
            reopen();
        log_in(operator_token);
    }
    expect("QUIT", "+OK\r\n");
    assert_true(conn.closing);
}

static void http_on_this_port_is_cut_off(void **state)
{
    (void)state;
    fake_conn_ask(&conn, &rig, "POST /v1/revoke HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(conn.closing);
}

/* ---- look-ups that were put off: one queue for all connections of a core ---- */

#define OTHERS 3

static struct fake_conn others[OTHERS];

static void open_others(void)
{
    char command[256];
    snprintf(command, sizeof command, "AUTH %s\r\n", gateway_token);
    for (unsigned i = 0; i < OTHERS; i++) {
        fake_conn_open_resp(&others[i], &core);
        fake_conn_feed(&others[i], pc_bytes_str(command));
        others[i].out_n = 0;
    }
}

static void close_others(void)
{
    fake_conn_end_turn(&conn);
    for (unsigned i = 0; i < OTHERS; i++)
        fake_conn_close(&others[i]);
}

static void bring(struct fake_conn *f, const char *commands)
{
    fake_conn_receive(f, pc_bytes_str(commands));
}

static void expect_output(struct fake_conn *f, const char *replies)
{
    f->out[f->out_n] = 0;
    assert_string_equal((const char *)f->out, replies);
    f->out_n = 0;
}

static uint32_t put_off(void)
{
    return ((struct pc_worker *)core.core.user)->ahead.n;
}

static void look_ups_of_all_connections_are_answered_at_the_end_of_the_turn(void **state)
{
    (void)state;
    log_in(gateway_token);
    expect("SET bl:a 1\nSET free:b 1", "+OK\r\n+OK\r\n");
    conn.out_n = 0;
    open_others();
    bring(&others[0], "EXISTS bl:a\r\n");
    bring(&others[1], "GET free:b\r\nEXISTS bl:c\r\n");
    bring(&others[2], "GET bl:c\r\n");
    bring(&others[0], "EXISTS free:b\r\nEXISTS free:c\r\n");
    bring(&conn, "CL.THROTTLE k 1 1 60\r\nEXISTS bl:a\r\nCL.THROTTLE k 1 1 60\r\n");
    assert_int_equal(put_off(), 9);
    for (unsigned i = 0; i < OTHERS; i++)
        assert_int_equal(others[i].out_n, 0);
    fake_conn_end_turn(&conn);
    assert_int_equal(put_off(), 0);
    expect_output(&others[0], ":1\r\n:1\r\n:0\r\n");
    expect_output(&others[1], "$1\r\nx\r\n:0\r\n");
    expect_output(&others[2], "$-1\r\n");
    expect_output(&conn, "*5\r\n:0\r\n:2\r\n:1\r\n:-1\r\n:60\r\n:1\r\n"
                         "*5\r\n:0\r\n:2\r\n:0\r\n:-1\r\n:120\r\n");
    close_others();
}

static void a_full_queue_is_answered_and_goes_on(void **state)
{
    (void)state;
    static char memory[2][8 * PC_RESP_AHEAD_MAX];
    struct pc_buf want[2] = {pc_buf_of(memory[0], sizeof memory[0]),
                             pc_buf_of(memory[1], sizeof memory[1])};
    log_in(gateway_token);
    expect("SET bl:a 1", "+OK\r\n");
    open_others();
    for (unsigned i = 0; i < 2 * PC_RESP_AHEAD_MAX + 5; i++) {
        bool there = i % 3 == 0;
        bring(&others[i % 2], there ? "EXISTS bl:a\r\n" : "EXISTS bl:none\r\n");
        pc_buf_str(&want[i % 2], there ? ":1\r\n" : ":0\r\n");
        assert_int_equal(put_off(), i % PC_RESP_AHEAD_MAX + 1);
    }
    fake_conn_end_turn(&conn);
    for (unsigned i = 0; i < 2; i++) {
        pc_buf_char(&want[i], 0);
        assert_false(want[i].overflow);
        expect_output(&others[i], memory[i]);
    }
    close_others();
}

static void whoever_replies_answers_first_what_all_put_off(void **state)
{
    (void)state;
    static const struct {
        const char *command, *reply;
    } rows[] = {
        {"PING\r\n",             "+PONG\r\n"                                           },
        {"ECHO x\r\n",           "$1\r\nx\r\n"                                         },
        {"TTL bl:none\r\n",      ":-2\r\n"                                             },
        {"EXISTS bl:a bl:b\r\n", ":0\r\n"                                              },
        {"SELECT 1\r\n",         "-ERR DB index is out of range\r\n"                   },
        {"GET\r\n",              "-ERR wrong number of arguments for 'get' command\r\n"},
        {"*1\r\n$x\r\n",         "-ERR Protocol error: invalid bulk length\r\n"        },
        {"QUIT\r\n",             "+OK\r\n"                                             },
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        char want[128];
        open_others();
        bring(&others[1], "EXISTS bl:a\r\n");
        bring(&others[0], "EXISTS bl:a\r\nGET bl:a\r\n");
        bring(&others[0], rows[i].command);
        assert_int_equal(put_off(), 0);
        snprintf(want, sizeof want, ":0\r\n$-1\r\n%s", rows[i].reply);
        expect_output(&others[0], want);
        expect_output(&others[1], ":0\r\n");
        close_others();
    }
}

static void a_mutation_is_not_seen_by_the_look_ups_before_it_and_is_by_those_after(void **state)
{
    (void)state;
    log_in(gateway_token);
    open_others();
    conn.out_n = 0;
    bring(&others[0], "EXISTS bl:m\r\n");
    bring(&conn, "EXISTS bl:m\r\nSET bl:m 1\r\nEXISTS bl:m\r\n");
    assert_int_equal(put_off(), 0); /* given to the writer: nobody before it waits any more */
    expect_output(&others[0], ":0\r\n");
    expect_output(&conn, ":0\r\n"); /* the one behind it waits for its answer */
    fake_conn_run_writer(&conn, &rig);
    expect_output(&conn, "+OK\r\n:1\r\n");
    bring(&others[0], "EXISTS bl:m\r\n");
    fake_conn_end_turn(&conn);
    expect_output(&others[0], ":1\r\n");
    close_others();
}

/* The answer to a mutation of one connection comes while look-ups of others are put off. */
static void an_acknowledged_revocation_is_seen_by_all_that_waits(void **state)
{
    (void)state;
    log_in(gateway_token);
    open_others();
    conn.out_n = 0;
    bring(&conn, "SET bl:w 1\r\n");
    bring(&others[0], "EXISTS bl:w\r\n");
    bring(&others[1], "PING\r\nGET bl:w\r\n");
    fake_conn_run_writer(&conn, &rig);
    expect_output(&conn, "+OK\r\n");
    expect_output(&others[0], ":0\r\n"); /* PING had it answered, before the commit */
    expect_output(&others[1], "+PONG\r\n$1\r\n1\r\n");
    close_others();
}

static void a_connection_that_goes_leaves_the_others_their_answers(void **state)
{
    (void)state;
    open_others();
    bring(&others[0], "EXISTS bl:a\r\n");
    bring(&others[1], "EXISTS bl:a\r\nEXISTS bl:b\r\nGET bl:a\r\nCL.THROTTLE k 1 1 60\r\n");
    bring(&others[2], "EXISTS bl:a\r\nCL.THROTTLE k -1 1 60\r\n");
    bring(&others[0], "GET bl:a\r\n");
    pc_conn_abort(&others[1].conn); /* its descriptor failed, a browser is behind it, … */
    others[2].no_memory = true;     /* … or its output finds no memory */
    fake_conn_end_turn(&conn);
    expect_output(&others[0], ":0\r\n$-1\r\n");
    assert_int_equal(others[1].out_n, 0);
    assert_true(others[2].aborted && others[2].out_n == 0);
    close_others();
}

static void at_the_end_of_input_what_was_put_off_is_answered_before_the_close(void **state)
{
    (void)state;
    open_others();
    bring(&others[0], "EXISTS bl:a\r\n");
    bring(&others[1], "EXISTS bl:a\r\n");
    others[0].protocol.eof(&others[0].conn);
    assert_true(others[0].closing && !others[0].aborted);
    expect_output(&others[0], ":0\r\n");
    expect_output(&others[1], ":0\r\n");
    close_others();
}

/* Right when its turn came, wrong when it is answered: what was asked with a right is answered. */
static void a_credential_withdrawn_ends_what_comes_later_not_what_was_put_off(void **state)
{
    (void)state;
    conn.conn.peer.ip[0] = 9;
    log_in(gateway_token);
    conn.out_n = 0;
    bring(&conn, "EXISTS bl:a\r\n");
    core.settings->admins.count = 0;
    fake_conn_end_turn(&conn);
    expect_output(&conn, ":0\r\n");
    conn.conn.core->now_ns++; /* another turn */
    bring(&conn, "EXISTS bl:a\r\n");
    expect_output(&conn, "-NOAUTH Authentication required.\r\n");
}

/* Half a command behind a full output: we do not read on, so its rest is not late. */
static void who_cannot_bring_the_rest_of_a_command_is_not_cut_for_it(void **state)
{
    (void)state;
    unsigned command_deadline = 0;
    conn.out_n = 0;
    bring(&conn, "EXISTS bl:a\r\n*2\r\n$6\r\n");
    while (!(conn.deadlines >> command_deadline & 1) || command_deadline == 0)
        command_deadline++; /* the other one is that of idle connections */
    conn.full = true;       /* as found when the queue was answered */
    fake_conn_end_turn(&conn);
    conn.deadlines &= ~(1u << command_deadline);
    conn.protocol.timeout(&conn.conn, command_deadline);
    assert_false(conn.closing);
    assert_true(conn.deadlines >> command_deadline & 1);
    conn.full = false;
    conn.protocol.timeout(&conn.conn, command_deadline);
    assert_true(conn.aborted);
}

/* A configuration is installed between two commands of one turn. */
static void a_prefix_means_what_it_does_when_its_command_comes(void **state)
{
    (void)state;
    log_in(gateway_token);
    expect("SET free:z 1", "+OK\r\n");
    open_others();
    bring(&others[0], "GET free:z\r\n");
    rig_install(&rig, "issuers:\n  - {name: " ISSUER ", jwks_file: k.json, audiences: [a]}\n"
                      "resp:\n  prefixes:\n    - {prefix: 'new:', issuer: " ISSUER ", value: '2'}\n"
                      "    - {prefix: 'free:', issuer: " ISSUER ", value: now}\n");
    bring(&others[0], "GET free:z\r\nGET new:z\r\nGET free:y\r\n");
    assert_int_equal(put_off(), 4);
    fake_conn_end_turn(&conn);
    expect_output(&others[0], "$1\r\nx\r\n$3\r\nnow\r\n$1\r\n2\r\n$-1\r\n");
    close_others();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stranger_may_only_read),
        TEST(a_blacklist_works_as_in_redis),
        TEST(unrevoking_needs_an_operator_or_a_prefix_that_allows_it),
        TEST(keys_are_ids_or_whole_tokens),
        TEST(bad_commands_are_told_apart),
        TEST(an_error_does_not_overtake_the_mutations_before_it),
        TEST(a_failed_journal_is_an_error_and_reads_go_on),
        TEST(every_command_answers_something),
        TEST(http_on_this_port_is_cut_off),
        TEST(look_ups_of_all_connections_are_answered_at_the_end_of_the_turn),
        TEST(a_full_queue_is_answered_and_goes_on),
        TEST(whoever_replies_answers_first_what_all_put_off),
        TEST(a_mutation_is_not_seen_by_the_look_ups_before_it_and_is_by_those_after),
        TEST(an_acknowledged_revocation_is_seen_by_all_that_waits),
        TEST(a_connection_that_goes_leaves_the_others_their_answers),
        TEST(at_the_end_of_input_what_was_put_off_is_answered_before_the_close),
        TEST(who_cannot_bring_the_rest_of_a_command_is_not_cut_for_it),
        TEST(a_prefix_means_what_it_does_when_its_command_comes),
        TEST(a_credential_withdrawn_ends_what_comes_later_not_what_was_put_off),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
