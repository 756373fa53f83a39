/* SPDX-License-Identifier: Apache-2.0
 * The loop moves bytes: many clients, pipelining, both socket families, large answers, slow
 * readers, half-close, resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "support/loop_server.h"

static void one_line_comes_back(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "echo hello\n");
    loop_client_expect(fd, "hello\n");
    close(fd);
    loop_server_stop(&s, 1000);
}

static void many_clients_on_tcp_and_unix_sockets(void **state)
{
    struct loop_server s;
    char path[64], text[64];
    int fds[200];
    (void)state;
    snprintf(path, sizeof path, "unix:/tmp/pc-loop-echo-%d.sock", (int)getpid());
    loop_server_init(&s);
    s.config.cores = 3;
    loop_server_listen(&s, NULL);
    loop_server_listen(&s, path);
    loop_server_start(&s);
    for (int i = 0; i < 200; i++)
        fds[i] = loop_client(&s, i % 2);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 200; i++) {
            snprintf(text, sizeof text, "echo client %d round %d\n", i, round);
            loop_client_send(fds[i], text);
        }
        for (int i = 0; i < 200; i++) {
            snprintf(text, sizeof text, "client %d round %d\n", i, round);
            loop_client_expect(fds[i], text);
        }
    }
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    loop_server_stop(&s, 1000);
}

static void pipelined_lines_are_answered_in_order_however_they_are_split(void **state)
{
    struct loop_server s;
    char all[1 << 16], want[64];
    size_t n = 0;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    for (int i = 0; i < 2000; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "echo line %d\n", i);
    for (size_t piece = 1; piece < n; piece = piece * 7 + 3) {
        int fd = loop_client(&s, 0);
        for (size_t at = 0; at < n; at += piece) {
            size_t part = n - at < piece ? n - at : piece;
            assert_int_equal(send(fd, all + at, part, MSG_NOSIGNAL), part);
        }
        for (int i = 0; i < 2000; i++) {
            snprintf(want, sizeof want, "line %d\n", i);
            loop_client_expect(fd, want);
        }
        close(fd);
    }
    loop_server_stop(&s, 1000);
}

static void a_message_larger_than_a_receive_buffer_is_seen_whole(void **state)
{
    struct loop_server s;
    static char body[1 << 20];
    (void)state;
    loop_server_init(&s);
    s.protocol.input_max_bytes = sizeof body + 64;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    memset(body, 'b', sizeof body);
    for (int i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof text, "eat %zu\n", sizeof body);
        loop_client_send(fd, text);
        size_t sent = 0;
        while (sent < sizeof body) {
            ssize_t k = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);
            assert_true(k > 0);
            sent += (size_t)k;
        }
        snprintf(text, sizeof text, "ate %zu\n", sizeof body);
        loop_client_expect(fd, text);
    }
    close(fd);
    loop_server_stop(&s, 1000);
}

static void a_message_beyond_the_input_limit_ends_the_connection(void **state)
{
    struct loop_server s;
    static char junk[1 << 16];
    (void)state;
    loop_server_init(&s);
    s.protocol.input_max_bytes = 8192;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    memset(junk, 'j', sizeof junk);
    (void)send(fd, junk, sizeof junk, MSG_NOSIGNAL);
    loop_client_end(fd);
    close(fd);
    assert_int_equal(LOOP_SERVER_SUM(&s, input_overflows), 1);
    loop_server_stop(&s, 1000);
}

static void a_slow_reader_bounds_what_is_queued_for_it(void **state)
{
    struct loop_server s;
    static char got[100001];
    enum { ANSWERS = 400, SIZE = 100000 };
    (void)state;
    loop_server_init(&s);
    s.config.output_max_bytes = 300000;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    for (int i = 0; i < ANSWERS; i++)
        loop_client_send(fd, "big 100000\n");
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, output_full) > 0);
    /* Another connection is served meanwhile. */
    int other = loop_client(&s, 0);
    loop_client_send(other, "echo here\n");
    loop_client_expect(other, "here\n");
    close(other);
    for (int i = 0; i < ANSWERS; i++) {
        loop_client_read(fd, got, SIZE + 1);
        assert_int_equal(got[SIZE], '\n');
        assert_int_equal(got[0], 'x');
    }
    assert_true(atomic_load(&s.most_output) <= 300000 + SIZE + 1);
    close(fd);
    loop_server_stop(&s, 1000);
}

static void a_reader_that_takes_nothing_is_cut(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.config.send_stall_ms = 50;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "big 30000000\n");
    LOOP_AWAIT(atomic_load(&s.closed) == 1);
    assert_int_equal(LOOP_SERVER_SUM(&s, send_stalls), 1);
    close(fd);
    loop_server_stop(&s, 1000);
}

static void output_beyond_the_hard_limit_aborts(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    s.config.output_hard_max_bytes = 1 << 20;
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "big 2000000\n");
    loop_client_end(fd);
    close(fd);
    loop_server_stop(&s, 1000);
}

static void half_close_still_gets_the_answers(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "echo one\necho two\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    loop_client_expect(fd, "one\ntwo\n");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static void half_close_while_paused_waits_for_the_answer(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "wait\necho after\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    loop_server_await_waiting(&s, 1);
    loop_server_answer(&s, 0, "answer");
    loop_client_expect(fd, "answer\nafter\n");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static void a_paused_connection_stops_reading_and_loses_nothing(void **state)
{
    struct loop_server s;
    char text[64];
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "wait\n");
    loop_server_await_waiting(&s, 1);
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "echo a rather long line number %d\n", i);
        loop_client_send(fd, text);
    }
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, recv_stops) > 0);
    loop_server_answer(&s, 0, "go");
    loop_client_expect(fd, "go\n");
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "a rather long line number %d\n", i);
        loop_client_expect(fd, text);
    }
    close(fd);
    loop_server_stop(&s, 1000);
}

static void an_answer_for_a_connection_that_went_finds_nobody(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "wait\n");
    loop_server_await_waiting(&s, 1);
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    LOOP_AWAIT(atomic_load(&s.closed) == 1);
    int again = loop_client(&s, 0); /* takes over the slot */
    loop_client_send(again, "echo x\n");
    loop_client_expect(again, "x\n");
    loop_server_answer(&s, 0, "late");
    LOOP_AWAIT(atomic_load(&s.stale) == 1);
    loop_client_send(again, "echo y\n");
    loop_client_expect(again, "y\n");
    close(again);
    loop_server_stop(&s, 1000);
}

static void the_last_answer_survives_unread_input(void **state)
{
    struct loop_server s;
    static char junk[200000];
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    memset(junk, 'j', sizeof junk);
    for (int i = 0; i < 20; i++) {
        int fd = loop_client(&s, 0);
        loop_client_send(fd, "quit\n");
        (void)send(fd, junk, sizeof junk, MSG_NOSIGNAL);
        loop_client_expect(fd, "bye\n");
        assert_true(loop_client_end(fd));
        close(fd);
    }
    loop_server_stop(&s, 1000);
}

static void an_abort_closes_at_once(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "abort\n");
    loop_client_end(fd);
    close(fd);
    LOOP_AWAIT(atomic_load(&s.closed) == 1);
    loop_server_stop(&s, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_comes_back),
        cmocka_unit_test(many_clients_on_tcp_and_unix_sockets),
        cmocka_unit_test(pipelined_lines_are_answered_in_order_however_they_are_split),
        cmocka_unit_test(a_message_larger_than_a_receive_buffer_is_seen_whole),
        cmocka_unit_test(a_message_beyond_the_input_limit_ends_the_connection),
        cmocka_unit_test(a_slow_reader_bounds_what_is_queued_for_it),
        cmocka_unit_test(a_reader_that_takes_nothing_is_cut),
        cmocka_unit_test(output_beyond_the_hard_limit_aborts),
        cmocka_unit_test(half_close_still_gets_the_answers),
        cmocka_unit_test(half_close_while_paused_waits_for_the_answer),
        cmocka_unit_test(a_paused_connection_stops_reading_and_loses_nothing),
        cmocka_unit_test(an_answer_for_a_connection_that_went_finds_nobody),
        cmocka_unit_test(the_last_answer_survives_unread_input),
        cmocka_unit_test(an_abort_closes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
