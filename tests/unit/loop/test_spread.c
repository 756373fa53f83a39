/* SPDX-License-Identifier: Apache-2.0
 * Few, long-lived connections are spread evenly over the cores, also after many of them have
 * been replaced; limits refuse politely. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <fcntl.h>
#include <cmocka.h>

#include "support/loop_server.h"

#define CORES       4
#define CONNECTIONS 64

/* The fullest core has at most 1.25 times the mean, and nobody's connection is missing. */
static void assert_even(struct loop_server *s)
{
    uint64_t most = 0, sum = 0;
    for (unsigned i = 0; i < CORES; i++) {
        struct pc_core_counters c;
        pc_core_counters(pc_loop_core(s->loop, i), &c);
        most = c.connections > most ? c.connections : most;
        sum += c.connections;
    }
    assert_int_equal(sum, CONNECTIONS);
    assert_true(most * CORES * 4 <= sum * 5);
}

static int connected(const struct loop_server *s)
{
    int fd = loop_client(s, 0);
    loop_client_send(fd, "echo in\n");
    loop_client_expect(fd, "in\n");
    return fd;
}

static void connections_are_even_after_a_thousand_random_replacements(void **state)
{
    struct loop_server s;
    int fds[CONNECTIONS];
    (void)state;
    loop_server_init(&s);
    s.config.cores = CORES;
    loop_server_start(&s);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = connected(&s);
    assert_even(&s);
    srand(1);
    for (int i = 0; i < 1000; i++) {
        int victim = rand() % CONNECTIONS;
        close(fds[victim]);
        fds[victim] = connected(&s);
    }
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, connections) == CONNECTIONS);
    assert_even(&s);
    assert_true(LOOP_SERVER_SUM(&s, handed_over) > 0);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    loop_server_stop(&s, 1000);
}

static void a_burst_of_connections_is_even_before_any_of_them_speaks(void **state)
{
    struct loop_server s;
    int fds[CONNECTIONS];
    (void)state;
    loop_server_init(&s);
    s.config.cores = CORES;
    loop_server_start(&s);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = loop_client(&s, 0);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, connections) == CONNECTIONS);
    assert_even(&s);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    loop_server_stop(&s, 1000);
}

static void at_the_connection_limit_a_new_one_is_refused_politely(void **state)
{
    struct loop_server s;
    int fds[6];
    (void)state;
    loop_server_init(&s);
    s.config.cores = 2;
    s.config.connections_max = 3;
    loop_server_start(&s);
    for (int i = 0; i < 6; i++)
        fds[i] = connected(&s);
    int refused = loop_client(&s, 0);
    loop_client_expect(refused, "busy\n");
    assert_true(loop_client_end(refused));
    close(refused);
    assert_int_equal(LOOP_SERVER_SUM(&s, refused_limit), 1);
    /* Once one has gone there is room again. */
    close(fds[3]);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, connections) == 5);
    fds[3] = connected(&s);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    loop_server_stop(&s, 1000);
}

static void running_out_of_descriptors_only_delays_accepting(void **state)
{
    struct loop_server s;
    struct rlimit before, low;
    int fillers[256], filled = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = PC_COUNT(fillers); /* the kernel notes the limit when the accept is armed */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    loop_server_init(&s);
    s.config.accept_retry_ms = 20;
    loop_server_start(&s);
    int first = connected(&s);
    while ((fillers[filled] = dup(first)) >= 0)
        filled++;
    close(fillers[--filled]); /* room for the client's own end */
    int second = loop_client(&s, 0);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, accept_errors) >= 2);
    loop_client_send(first, "echo still served\n");
    loop_client_expect(first, "still served\n");
    while (filled > 0)
        close(fillers[--filled]);
    loop_client_send(second, "echo late\n");
    loop_client_expect(second, "late\n");
    close(first);
    close(second);
    loop_server_stop(&s, 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_even_after_a_thousand_random_replacements),
        cmocka_unit_test(a_burst_of_connections_is_even_before_any_of_them_speaks),
        cmocka_unit_test(at_the_connection_limit_a_new_one_is_refused_politely),
        cmocka_unit_test(running_out_of_descriptors_only_delays_accepting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
