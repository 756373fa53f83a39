/* SPDX-License-Identifier: Apache-2.0
 * The SPSC queue and the waker with both sides on one thread; the torture test has two. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/spsc.h"
#include "base/waker.h"

static void items_come_out_in_order_over_many_wraps(void **state)
{
    struct pc_spsc *q;
    uintptr_t in = 1, out = 1;
    (void)state;
    assert_int_equal(pc_spsc_new(8, &q), 0);
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < round % 9; i++)
            assert_true(pc_spsc_push(q, (void *)in++));
        assert_int_equal(pc_spsc_count(q), in - out);
        while (out < in)
            assert_int_equal((uintptr_t)pc_spsc_pop(q), out++);
        assert_null(pc_spsc_pop(q));
    }
    pc_spsc_free(q);
}

static void a_full_queue_refuses_and_an_empty_one_gives_nothing(void **state)
{
    struct pc_spsc *q;
    int item;
    (void)state;
    assert_int_equal(pc_spsc_new(3, &q), 0);
    assert_int_equal(pc_spsc_capacity(q), 4);
    assert_true(pc_spsc_empty(q));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pc_spsc_room(q), 4 - i);
        assert_true(pc_spsc_push(q, &item));
    }
    assert_false(pc_spsc_push(q, &item));
    assert_false(pc_spsc_empty(q));
    assert_ptr_equal(pc_spsc_pop(q), &item);
    assert_true(pc_spsc_push(q, &item));
    assert_false(pc_spsc_push(q, &item));
    pc_spsc_free(q);
}

static void many_are_popped_at_once(void **state)
{
    struct pc_spsc *q;
    void *got[16];
    (void)state;
    assert_int_equal(pc_spsc_new(16, &q), 0);
    for (uintptr_t i = 1; i <= 10; i++)
        assert_true(pc_spsc_push(q, (void *)i));
    assert_int_equal(pc_spsc_pop_many(q, got, 4), 4);
    assert_int_equal((uintptr_t)got[3], 4);
    assert_int_equal(pc_spsc_pop_many(q, got, 16), 6);
    assert_int_equal((uintptr_t)got[5], 10);
    assert_int_equal(pc_spsc_pop_many(q, got, 16), 0);
    pc_spsc_free(q);
}

static void impossible_capacities_are_refused(void **state)
{
    struct pc_spsc *q = NULL;
    (void)state;
    assert_int_equal(pc_spsc_new(0, &q), -EINVAL);
    assert_int_equal(pc_spsc_new(PC_SPSC_CAPACITY_MAX + 1, &q), -EINVAL);
    assert_null(q);
    pc_spsc_free(NULL);
}

static void an_awake_consumer_costs_its_producer_no_system_call(void **state)
{
    struct pc_waker *w;
    (void)state;
    assert_int_equal(pc_waker_new(&w), 0);
    assert_false(pc_waker_notify(w));
    pc_waker_prepare(w);
    assert_true(pc_waker_sleeping(w));
    pc_waker_finish(w);
    assert_false(pc_waker_notify(w));
    pc_waker_free(w);
    pc_waker_free(NULL);
}

static void a_sleeping_consumer_is_woken_once(void **state)
{
    struct pc_waker *w;
    (void)state;
    assert_int_equal(pc_waker_new(&w), 0);
    pc_waker_prepare(w);
    assert_true(pc_waker_notify(w));
    assert_false(pc_waker_notify(w)); /* the first one did it */
    assert_true(pc_waker_wait(w, -1));
    pc_waker_finish(w);
    pc_waker_prepare(w);
    assert_false(pc_waker_wait(w, 1000000)); /* nothing is left over */
    pc_waker_finish(w);
    pc_waker_free(w);
}

/* A canary: the interleaving that loses a wake-up when the consumer looks at its queue only before
 * it declares itself asleep, and why looking again afterwards saves it. */
static void the_second_look_is_what_saves_a_wake_up(void **state)
{
    struct pc_spsc *q;
    struct pc_waker *w;
    int item;
    (void)state;
    assert_int_equal(pc_spsc_new(4, &q), 0);
    assert_int_equal(pc_waker_new(&w), 0);
    assert_true(pc_spsc_empty(q)); /* consumer: first look */
    assert_true(pc_spsc_push(q, &item));
    assert_false(pc_waker_notify(w)); /* producer: sees an awake consumer */
    pc_waker_prepare(w);
    assert_false(pc_spsc_empty(q));          /* consumer: the second look finds it */
    assert_false(pc_waker_wait(w, 1000000)); /* and without it would have slept on */
    pc_waker_finish(w);
    pc_waker_free(w);
    pc_spsc_free(q);
}

static void a_late_wake_up_only_shortens_the_next_sleep(void **state)
{
    struct pc_waker *w;
    (void)state;
    assert_int_equal(pc_waker_new(&w), 0);
    pc_waker_prepare(w);
    assert_true(pc_waker_notify(w));
    pc_waker_finish(w); /* woke by itself before it saw the write */
    pc_waker_prepare(w);
    assert_true(pc_waker_wait(w, -1)); /* spurious */
    pc_waker_finish(w);
    pc_waker_drain(w); /* does not block on an empty counter */
    pc_waker_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_over_many_wraps),
        cmocka_unit_test(a_full_queue_refuses_and_an_empty_one_gives_nothing),
        cmocka_unit_test(many_are_popped_at_once),
        cmocka_unit_test(impossible_capacities_are_refused),
        cmocka_unit_test(an_awake_consumer_costs_its_producer_no_system_call),
        cmocka_unit_test(a_sleeping_consumer_is_woken_once),
        cmocka_unit_test(the_second_look_is_what_saves_a_wake_up),
        cmocka_unit_test(a_late_wake_up_only_shortens_the_next_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
