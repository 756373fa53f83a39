/* SPDX-License-Identifier: Apache-2.0
 * When a core counts as overloaded, and what happens to new connections then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "edge/loop/overload.h"
#include "support/loop_server.h"

#define MS INT64_C(1000000)

/* Turns of the given length for so long; returns the new time. */
static int64_t turns(struct overload *o, int64_t now_ns, int64_t turn_ns, int64_t for_ns)
{
    int64_t end_ns = now_ns + for_ns;
    while (now_ns < end_ns) {
        now_ns += turn_ns;
        overload_sample(o, turn_ns, now_ns);
    }
    return now_ns;
}

static void only_a_standing_delay_is_overload(void **state)
{
    struct overload o;
    int64_t now = 1000 * MS;
    (void)state;
    overload_init(&o, 5 * MS, now);
    now = turns(&o, now, 4 * MS, 1000 * MS);
    assert_false(o.overloaded);
    /* Long turns with a short one in each window: a burst, not a queue that never empties. */
    for (int i = 0; i < 20; i++) {
        now = turns(&o, now, 20 * MS, 80 * MS);
        now = turns(&o, now, 1 * MS, 1 * MS);
        assert_false(o.overloaded);
    }
    now = turns(&o, now, 6 * MS, 300 * MS);
    assert_true(o.overloaded);
    /* Between half the target and the target it stays as it is. */
    now = turns(&o, now, 3 * MS, 300 * MS);
    assert_true(o.overloaded);
    now = turns(&o, now, 2 * MS, 300 * MS);
    assert_false(o.overloaded);
}

static void a_sleep_ends_overload(void **state)
{
    struct overload o;
    int64_t now = 1000 * MS;
    (void)state;
    overload_init(&o, 5 * MS, now);
    now = turns(&o, now, 8 * MS, 300 * MS);
    assert_true(o.overloaded);
    overload_sample(&o, 0, now + 200 * MS);
    assert_false(o.overloaded);
}

static void the_start_of_overload_is_reported_once(void **state)
{
    struct overload o;
    int64_t now = 0, starts = 0;
    (void)state;
    overload_init(&o, 5 * MS, now);
    for (int i = 0; i < 200; i++) {
        now += 7 * MS;
        starts += overload_sample(&o, 7 * MS, now);
    }
    assert_int_equal(starts, 1);
}

/* Two connections keep the only core busy with turns of 8 ms or more. */
static void an_overloaded_core_refuses_new_connections_and_serves_the_others(void **state)
{
    struct loop_server s;
    int busy[2];
    (void)state;
    loop_server_init(&s);
    loop_server_start(&s);
    struct pc_core *core = pc_loop_core(s.loop, 0);
    for (int i = 0; i < 2; i++) {
        busy[i] = loop_client(&s, 0);
        for (int j = 0; j < 8; j++)
            loop_client_send(busy[i], "expensive 8000\n");
    }
    int64_t end_ms = loop_server_now_ms() + 10000;
    while (!pc_core_overloaded(core)) {
        assert_true(loop_server_now_ms() < end_ms);
        for (int i = 0; i < 2; i++) {
            loop_client_expect(busy[i], "done\n");
            loop_client_send(busy[i], "expensive 8000\n");
        }
    }
    int refused = loop_client(&s, 0);
    /* The core goes on being overloaded while it still has work; should it have recovered by the
     * time it accepts, the newcomer is served instead. */
    loop_client_send(refused, "echo in\n");
    char got[4];
    loop_client_read(refused, got, 3);
    assert_true(memcmp(got, "bus", 3) == 0 || memcmp(got, "in\n", 3) == 0);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 8; j++)
            loop_client_expect(busy[i], "done\n");
    LOOP_AWAIT(!pc_core_overloaded(core)); /* although nothing happens any more */
    close(refused);
    int again = loop_client(&s, 0);
    loop_client_send(again, "echo in\n");
    loop_client_expect(again, "in\n");
    close(again);
    for (int i = 0; i < 2; i++)
        close(busy[i]);
    loop_server_stop(&s, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_standing_delay_is_overload),
        cmocka_unit_test(a_sleep_ends_overload),
        cmocka_unit_test(the_start_of_overload_is_reported_once),
        cmocka_unit_test(an_overloaded_core_refuses_new_connections_and_serves_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
