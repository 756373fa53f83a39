/* SPDX-License-Identifier: Apache-2.0
 * Deadlines and periodic functions in virtual time: never early, at most one tick late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "support/loop_server.h"

#define MS INT64_C(1000000)

static _Atomic int64_t virtual_ns;
static _Atomic int ticks;

static int64_t read_virtual(void *user)
{
    (void)user;
    return atomic_load(&virtual_ns);
}

/* Moves time and waits until the core has seen it. */
static void advance(struct loop_server *s, int64_t by_ns)
{
    atomic_fetch_add(&virtual_ns, by_ns);
    for (int i = 0; i < 2; i++) {
        /* A message that is handled began its turn after the clock had moved; the timers of that
         * turn have run when the next one is handled. */
        int before = atomic_load(&s->messages);
        loop_server_answer(s, 0, "nobody");
        LOOP_AWAIT(atomic_load(&s->messages) > before);
    }
}

static void start(struct loop_server *s)
{
    loop_server_init(s);
    atomic_store(&virtual_ns, INT64_C(5000) * MS);
    s->config.clock_mono_ns = read_virtual;
    s->waiting[0] = (struct pc_conn_ref){.slot = 999999};
    loop_server_start(s);
}

static void a_deadline_is_not_early_and_at_most_a_tick_late(void **state)
{
    struct loop_server s;
    (void)state;
    start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "idle\necho set\n");
    loop_client_expect(fd, "set\n");
    advance(&s, 99 * MS);
    assert_int_equal(atomic_load(&s.timeouts), 0);
    advance(&s, 1 * MS + PC_TIMER_TICK_NS);
    assert_int_equal(atomic_load(&s.timeouts), 1);
    loop_client_expect(fd, "timeout 0\n");
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

static void touching_a_connection_puts_its_deadline_off(void **state)
{
    struct loop_server s;
    (void)state;
    start(&s);
    int fd = loop_client(&s, 0);
    for (int i = 0; i < 50; i++) {
        loop_client_send(fd, "idle\necho set\n");
        loop_client_expect(fd, "set\n");
        advance(&s, 90 * MS);
    }
    assert_int_equal(atomic_load(&s.timeouts), 0);
    advance(&s, 10 * MS + PC_TIMER_TICK_NS);
    assert_int_equal(atomic_load(&s.timeouts), 1);
    loop_client_expect(fd, "timeout 0\n");
    close(fd);
    loop_server_stop(&s, 1000);
}

static void count_tick(struct pc_core *core, void *arg)
{
    (void)core;
    (void)arg;
    atomic_fetch_add(&ticks, 1);
}

static int add_timer(struct pc_core *core, struct pc_why *why)
{
    (void)why;
    for (int i = 0; i < PC_CORE_TIMERS_MAX; i++)
        PC_ASSERT(pc_core_timer(core, i == 0 ? 250 : 1000000, count_tick, NULL) == 0);
    PC_ASSERT(pc_core_timer(core, 250, count_tick, NULL) == PC_E_FULL);
    return 0;
}

static void a_periodic_function_runs_once_per_period(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    atomic_store(&virtual_ns, INT64_C(5000) * MS);
    atomic_store(&ticks, 0);
    s.config.clock_mono_ns = read_virtual;
    s.config.hooks.thread_start = add_timer;
    s.waiting[0] = (struct pc_conn_ref){.slot = 999999};
    loop_server_start(&s);
    advance(&s, 249 * MS);
    assert_int_equal(atomic_load(&ticks), 0);
    for (int i = 1; i <= 10; i++) {
        advance(&s, 250 * MS);
        assert_int_equal(atomic_load(&ticks), i);
    }
    advance(&s, 10000 * MS); /* what was missed is not caught up */
    assert_int_equal(atomic_load(&ticks), 11);
    loop_server_stop(&s, 1000);
}

static void a_closed_peer_that_keeps_sending_is_lingered_with_for_a_bounded_time(void **state)
{
    struct loop_server s;
    (void)state;
    start(&s);
    int fd = loop_client(&s, 0);
    loop_client_send(fd, "quit\n");
    loop_client_expect(fd, "bye\n");
    assert_true(loop_client_end(fd));
    loop_client_send(fd, "still talking\n");
    advance(&s, 500 * MS);
    assert_int_equal(atomic_load(&s.closed), 0);
    advance(&s, 500 * MS + PC_TIMER_TICK_NS);
    LOOP_AWAIT(atomic_load(&s.closed) == 1);
    close(fd);
    loop_server_stop(&s, 1000);
}

/* With the machine's own clock, so that the sleep in the kernel is what is tested. */
static void a_sleeping_core_wakes_for_a_deadline(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    int fd = loop_client(&s, 0);
    int64_t before_ms = loop_server_now_ms();
    loop_client_send(fd, "idle\n");
    loop_client_expect(fd, "timeout 0\n");
    assert_true(loop_server_now_ms() - before_ms >= 99);
    assert_true(loop_client_end(fd));
    close(fd);
    loop_server_stop(&s, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_is_not_early_and_at_most_a_tick_late),
        cmocka_unit_test(touching_a_connection_puts_its_deadline_off),
        cmocka_unit_test(a_periodic_function_runs_once_per_period),
        cmocka_unit_test(a_closed_peer_that_keeps_sending_is_lingered_with_for_a_bounded_time),
        cmocka_unit_test(a_sleeping_core_wakes_for_a_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
