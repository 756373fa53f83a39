/* SPDX-License-Identifier: Apache-2.0
 * Starting and stopping: draining, cutting at the deadline, connections that arrive while the
 * server stops, failures at the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "support/loop_server.h"

static void stopping_asks_every_connection_to_finish(void **state)
{
    struct loop_server s;
    int fds[10];
    (void)state;
    loop_server_init(&s);
    s.config.cores = 2;
    loop_server_start(&s);
    for (int i = 0; i < 10; i++) {
        fds[i] = loop_client(&s, 0);
        loop_client_send(fds[i], "echo a\n");
        loop_client_expect(fds[i], "a\n");
    }
    pc_loop_stop(s.loop, 5000);
    for (int i = 0; i < 10; i++) {
        loop_client_expect(fds[i], "draining\n");
        assert_true(loop_client_end(fds[i]));
        close(fds[i]);
    }
    pc_loop_join(s.loop);
    assert_int_equal(atomic_load(&s.drained), 10);
    assert_int_equal(LOOP_SERVER_SUM(&s, cut), 0);
    loop_server_stop(&s, 0);
}

/* A protocol that takes no notice of the drain. */
static void ignore_drain(struct pc_conn *c)
{
    (void)c;
}

static void what_does_not_finish_is_cut_at_the_deadline(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol.drain = ignore_drain;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "wait\n");
    loop_server_await_waiting(&s, 1);
    pc_loop_stop(s.loop, 50);
    loop_client_end(fd);
    pc_loop_join(s.loop);
    assert_int_equal(LOOP_SERVER_SUM(&s, cut), 1);
    close(fd);
    loop_server_stop(&s, 0);
}

static void a_second_stop_can_only_be_sooner(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol.drain = ignore_drain;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "echo x\n");
    loop_client_expect(fd, "x\n");
    pc_loop_stop(s.loop, 3600 * 1000);
    pc_loop_stop(s.loop, 0);
    pc_loop_stop(s.loop, 3600 * 1000);
    loop_client_end(fd);
    close(fd);
    loop_server_stop(&s, 0);
}

static void a_parked_request_is_answered_while_stopping(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.protocol.drain = ignore_drain;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "wait\nquit\n");
    loop_server_await_waiting(&s, 1);
    pc_loop_stop(s.loop, 5000);
    loop_server_answer(&s, 0, "durable");
    loop_client_expect(fd, "durable\nbye\n");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 0);
}

/* Connections race with the stop; whatever the accept still took must have been opened, drained
 * and closed (checked in loop_server_stop), and nothing hangs. Later ones are refused. */
static void connections_that_arrive_while_stopping_are_not_lost(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct loop_server s;
        int fds[40];
        loop_server_init(&s);
        s.config.cores = 4;
        s.config.linger_ms = 20;
        loop_server_start(&s);
        for (int i = 0; i < 40; i++) {
            fds[i] = loop_client_try(&s, 0);
            assert_true(fds[i] >= 0 || i > 4 * round);
            if (i == 4 * round)
                pc_loop_stop(s.loop, 5000);
        }
        loop_server_stop(&s, 5000);
        for (int i = 0; i < 40; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
}

static void a_loop_that_never_started_can_be_freed(void **state)
{
    struct loop_server s;
    struct pc_why why;
    (void)state;
    loop_server_init(&s);
    loop_server_listen(&s, NULL);
    s.config.listeners = s.listeners;
    assert_int_equal(pc_loop_new(&s.config, &s.loop, &why), 0);
    pc_loop_free(s.loop);
    pc_loop_free(NULL);
}

static int started[3], ended[3];

static int fail_on_core_1(struct pc_core *core, struct pc_why *why)
{
    started[core->index]++;
    return core->index == 1 ? pc_fail(why, -ENOMEM, "core 1 has no table") : 0;
}

static void count_end(struct pc_core *core)
{
    ended[core->index]++;
}

static void a_core_that_cannot_start_stops_the_others_and_says_why(void **state)
{
    struct loop_server s;
    struct pc_why why;
    (void)state;
    loop_server_init(&s);
    s.config.cores = 3;
    s.config.hooks.thread_start = fail_on_core_1;
    s.config.hooks.thread_stop = count_end;
    assert_int_equal(pc_loop_new(&s.config, &s.loop, &why), 0);
    assert_int_equal(pc_loop_start(s.loop, &why), -ENOMEM);
    assert_string_equal(why.text, "core 1 has no table");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(started[i], 1);
        assert_int_equal(ended[i], i != 1);
    }
    pc_loop_free(s.loop);
}

static void a_cpu_that_does_not_exist_is_explained(void **state)
{
    struct loop_server s;
    struct pc_why why;
    const int cpus[] = {-1, 1000000};
    (void)state;
    loop_server_init(&s);
    s.config.cores = 2;
    s.config.cpus = cpus;
    assert_int_equal(pc_loop_new(&s.config, &s.loop, &why), 0);
    assert_int_equal(pc_loop_start(s.loop, &why), -EINVAL);
    assert_non_null(strstr(why.text, "1000000"));
    pc_loop_free(s.loop);
}

static void assert_refused(struct pc_loop_config bad)
{
    struct pc_loop *loop = NULL;
    struct pc_why why = {""};
    assert_int_equal(pc_loop_new(&bad, &loop, &why), -EINVAL);
    assert_true(why.text[0] != 0);
}

static void impossible_configurations_are_refused(void **state)
{
    const struct pc_listener nothing = {.fd = -1};
    (void)state;
    assert_refused((struct pc_loop_config){.cores = PC_CORES_MAX + 1});
    assert_refused((struct pc_loop_config){.recv_buffers = 100});
    assert_refused((struct pc_loop_config){.ring_entries = 1 << 20});
    assert_refused((struct pc_loop_config){.connections_max = 1 << 24});
    assert_refused((struct pc_loop_config){.listeners = &nothing, .listener_count = 1});
    assert_refused((struct pc_loop_config){.listener_count = PC_LISTENERS_MAX + 1});
}

static void newer_features_can_be_masked(void **state)
{
    struct loop_server s;
    uint32_t there = 0;
    struct pc_why why;
    (void)state;
    assert_int_equal(pc_loop_check(&there, &why), 0);
    loop_server_init(&s);
    s.config.masked_features = UINT32_MAX;
    loop_server_start(&s);
    assert_int_equal(pc_loop_features(s.loop), 0);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "echo old kernel\n");
    loop_client_expect(fd, "old kernel\n");
    close(fd);
    loop_server_stop(&s, 1000);
    loop_server_init(&s);
    loop_server_start(&s);
    assert_int_equal(pc_loop_features(s.loop), there);
    loop_server_stop(&s, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_asks_every_connection_to_finish),
        cmocka_unit_test(what_does_not_finish_is_cut_at_the_deadline),
        cmocka_unit_test(a_second_stop_can_only_be_sooner),
        cmocka_unit_test(a_parked_request_is_answered_while_stopping),
        cmocka_unit_test(connections_that_arrive_while_stopping_are_not_lost),
        cmocka_unit_test(a_loop_that_never_started_can_be_freed),
        cmocka_unit_test(a_core_that_cannot_start_stops_the_others_and_says_why),
        cmocka_unit_test(a_cpu_that_does_not_exist_is_explained),
        cmocka_unit_test(impossible_configurations_are_refused),
        cmocka_unit_test(newer_features_can_be_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
