/* SPDX-License-Identifier: Apache-2.0
 * What a protocol may do with a connection, and what happens where it leaves functions out. */
#include <setjmp.h>
#include <stdarg.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "support/loop_server.h"

/* A protocol of one function that understands nothing; it may write where it reads. */
static size_t swallow(struct pc_conn *c, uint8_t *p, size_t n)
{
    (void)c;
    memset(p, 0, n);
    return n;
}

static void start_bare(struct loop_server *s,
                       size_t (*input)(struct pc_conn *c, uint8_t *p, size_t n))
{
    loop_server_init(s);
    s->protocol = (struct pc_protocol){.name = "bare", .input = input};
    loop_server_start(s);
}

static void a_protocol_of_input_alone_closes_when_the_peer_does(void **state)
{
    struct loop_server s;
    (void)state;
    start_bare(&s, swallow);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "anything\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static void a_protocol_without_drain_is_closed_after_flushing(void **state)
{
    struct loop_server s;
    (void)state;
    start_bare(&s, swallow);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "anything\n");
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, recv_bytes) == 9);
    pc_loop_stop(s.loop, 5000);
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static size_t arm_deadline(struct pc_conn *c, uint8_t *p, size_t n)
{
    memset(p, 0, n);
    pc_conn_deadline(c, 1);
    return n;
}

static void a_deadline_without_timeout_function_aborts(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol = (struct pc_protocol){
        .name = "bare", .input = arm_deadline, .deadline_ms = {0, 1}
    };
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "x");
    (void)loop_client_end(fd);
    close(fd);
    loop_server_stop(&s, 1000);
}

static size_t arm_and_clear(struct pc_conn *c, uint8_t *p, size_t n)
{
    memset(p, 0, n);
    pc_conn_deadline(c, 0); /* class 0 has no duration: never */
    pc_conn_deadline(c, 1);
    pc_conn_clear_deadline(c, 1);
    pc_conn_deadline(c, 2);
    return n;
}

static void tell_deadline(struct pc_conn *c, unsigned deadline)
{
    (void)pc_conn_write(c, deadline == 2 ? PC_LIT("two") : PC_LIT("other"));
    pc_conn_close_after_flush(c);
}

static void a_cleared_deadline_does_not_pass(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol = (struct pc_protocol){
        .name = "bare",
        .input = arm_and_clear,
        .timeout = tell_deadline,
        .deadline_ms = {0, 1, 80}
    };
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "x");
    loop_client_expect(fd, "two");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static int refuse_open(struct pc_conn *c)
{
    (void)pc_conn_write(c, PC_LIT("not sent"));
    return -EPERM;
}

static void never_closed(struct pc_conn *c)
{
    (void)c;
    abort();
}

static void a_connection_whose_open_fails_is_closed_without_closed(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol = (struct pc_protocol){
        .name = "bare", .input = swallow, .open = refuse_open, .closed = never_closed};
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    (void)loop_client_end(fd);
    close(fd);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, closed) == 1);
    loop_server_stop(&s, 1000);
}

/* Calls everything in an order that makes no sense; only the last word counts. */
static size_t fiddle(struct pc_conn *c, uint8_t *p, size_t n)
{
    memset(p, 0, n);
    pc_conn_resume(c);
    pc_conn_pause(c);
    pc_conn_pause(c);
    pc_conn_resume(c);
    pc_conn_resume(c);
    uint8_t *small = pc_conn_reserve(c, 10);
    PC_ASSERT(small);
    PC_ASSERT(pc_conn_reserve(c, 100000)); /* replaces the first, in another chunk */
    pc_conn_commit(c, 0);
    uint8_t *last = pc_conn_reserve(c, 5);
    memcpy(last, "final", 5);
    pc_conn_commit(c, 5);
    PC_ASSERT(pc_conn_output_bytes(c) == 5);
    PC_ASSERT(pc_conn_write(c, (struct pc_bytes){NULL, 0}));
    PC_ASSERT(pc_conn_expect(c, PC_INPUT_MAX_DEFAULT + 1) == PC_E_TOO_LARGE);
    PC_ASSERT(pc_conn_get(c->core, pc_conn_ref(c)) == c);
    pc_conn_close_after_flush(c);
    pc_conn_close_after_flush(c);
    pc_conn_deadline(c, 0);
    PC_ASSERT(pc_conn_closing(c));
    PC_ASSERT(!pc_conn_get(c->core, pc_conn_ref(c)));
    return n;
}

static void calls_in_any_order_do_no_harm(void **state)
{
    struct loop_server s;
    (void)state;
    start_bare(&s, fiddle);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "x");
    loop_client_expect(fd, "final");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static size_t abort_and_write(struct pc_conn *c, uint8_t *p, size_t n)
{
    pc_conn_abort(c);
    pc_conn_abort(c);
    PC_ASSERT(!pc_conn_reserve(c, 1));
    PC_ASSERT(!pc_conn_write(c, pc_bytes_of(p, n)));
    pc_conn_commit(c, 0);
    pc_conn_close_after_flush(c);
    pc_conn_pause(c);
    pc_conn_resume(c);
    return 0;
}

static void after_an_abort_nothing_has_an_effect(void **state)
{
    struct loop_server s;
    (void)state;
    start_bare(&s, abort_and_write);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "x");
    (void)loop_client_end(fd);
    close(fd);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, closed) == 1);
    loop_server_stop(&s, 1000);
}

static void speak_at_eof(struct pc_conn *c)
{
    (void)pc_conn_write(c, PC_LIT("you left"));
    pc_conn_close_after_flush(c);
}

static void eof_is_the_protocols_to_answer(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol = (struct pc_protocol){.name = "bare", .input = swallow, .eof = speak_at_eof};
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    loop_client_expect(fd, "you left");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

/* ---- who is there ---- */

static int tell_peer(struct pc_conn *c)
{
    char ip[INET6_ADDRSTRLEN] = "-", text[128];
    if (c->peer.family == PC_PEER_V4)
        inet_ntop(AF_INET, c->peer.ip, ip, sizeof ip);
    else if (c->peer.family == PC_PEER_V6)
        inet_ntop(AF_INET6, c->peer.ip, ip, sizeof ip);
    snprintf(text, sizeof text, "%u %s %u\n", c->peer.family, ip, c->peer.port);
    (void)pc_conn_write(c, pc_bytes_str(text));
    return 0;
}

static int connect_v6(const char *name)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    a.sin6_port = htons((uint16_t)strtoul(strrchr(name, ':') + 1, NULL, 10));
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void assert_peer(int fd, unsigned family, const char *ip)
{
    char want[128];
    struct sockaddr_storage own;
    socklen_t n = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &n), 0);
    uint16_t port = 0;
    if (family != PC_PEER_UNIX)
        memcpy(&port, (char *)&own + offsetof(struct sockaddr_in, sin_port), sizeof port);
    snprintf(want, sizeof want, "%u %s %u\n", family, ip, ntohs(port));
    loop_client_expect(fd, want);
    close(fd);
}

static void the_peer_is_known(void **state)
{
    struct loop_server s;
    char path[64];
    struct pc_why why;
    int v6;
    (void)state;
    snprintf(path, sizeof path, "unix:/tmp/pc-loop-conn-%d.sock", (int)getpid());
    loop_server_init(&s);
    s.protocol = (struct pc_protocol){.name = "bare", .input = swallow, .open = tell_peer};
    loop_server_listen(&s, NULL);
    loop_server_listen(&s, path);
    bool has_v6 = pc_listener_open("[::1]:0", 0, 0, &v6, &why) == 0;
    if (has_v6) {
        close(v6);
        loop_server_listen(&s, "[::1]:0");
    }
    loop_server_start(&s);
    assert_peer(loop_client(&s, 0), PC_PEER_V4, "127.0.0.1");
    assert_peer(loop_client(&s, 1), PC_PEER_UNIX, "-");
    if (has_v6)
        assert_peer(connect_v6(s.names[2]), PC_PEER_V6, "::1");
    loop_server_stop(&s, 1000);
}

/* ---- cores ---- */

static void a_core_that_does_not_take_its_connections_gets_no_more(void **state)
{
    struct loop_server s;
    static int fds[700];
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max; /* both ends of every connection are ours */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    loop_server_init(&s);
    s.config.cores = 2;
    s.config.overload_ms = 60000;
    loop_server_start(&s);
    for (int i = 0; i < 2; i++) {
        char core[3];
        fds[i] = loop_client(&s, 0);
        loop_client_send(fds[i], "core\n");
        loop_client_read(fds[i], core, 2);
        if (core[0] == '1')
            loop_client_send(fds[i], "expensive 300000\n");
    }
    /* Half of them are meant for the busy core; its mailbox holds fewer. */
    for (int i = 2; i < 700; i++)
        fds[i] = loop_client(&s, 0);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, opened) == 700);
    for (int i = 2; i < 700; i++) {
        loop_client_send(fds[i], "echo in\n");
        loop_client_expect(fds[i], "in\n");
    }
    for (int i = 0; i < 700; i++)
        close(fds[i]);
    loop_server_stop(&s, 1000);
}

static _Atomic int running_on = -1;

static void note_cpu(struct pc_core *core)
{
    (void)core;
    atomic_store(&running_on, sched_getcpu());
}

static void a_core_runs_on_the_cpu_it_is_pinned_to(void **state)
{
    struct loop_server s;
    cpu_set_t allowed;
    int cpu = CPU_SETSIZE - 1;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    while (!CPU_ISSET(cpu, &allowed))
        cpu--;
    loop_server_init(&s);
    s.config.cpus = &cpu;
    s.config.hooks.turn_start = note_cpu;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "echo x\n");
    loop_client_expect(fd, "x\n");
    assert_int_equal(atomic_load(&running_on), cpu);
    close(fd);
    loop_server_stop(&s, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_protocol_of_input_alone_closes_when_the_peer_does),
        cmocka_unit_test(a_protocol_without_drain_is_closed_after_flushing),
        cmocka_unit_test(a_deadline_without_timeout_function_aborts),
        cmocka_unit_test(a_cleared_deadline_does_not_pass),
        cmocka_unit_test(a_connection_whose_open_fails_is_closed_without_closed),
        cmocka_unit_test(calls_in_any_order_do_no_harm),
        cmocka_unit_test(after_an_abort_nothing_has_an_effect),
        cmocka_unit_test(eof_is_the_protocols_to_answer),
        cmocka_unit_test(the_peer_is_known),
        cmocka_unit_test(a_core_that_does_not_take_its_connections_gets_no_more),
        cmocka_unit_test(a_core_runs_on_the_cpu_it_is_pinned_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
