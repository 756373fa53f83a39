/* SPDX-License-Identifier: Apache-2.0
 * The loop's small parts alone: user_data, the buffer pool, the timer wheel against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "edge/loop/core.h"
#include "edge/loop/op.h"
#include "edge/loop/pool.h"
#include "edge/loop/wheel.h"

static void user_data_survives_the_round_trip(void **state)
{
    const uint32_t values[] = {0, 1, 63, 255, 65536, PC_SLOTS_MAX - 1};
    (void)state;
    for (unsigned op = 0; op < PC_LOOP_OP_COUNT; op++)
        for (size_t i = 0; i < PC_COUNT(values); i++) {
            uint32_t generation = values[i] * 255 + 7;
            struct op_token t = op_decode(op_encode((enum pc_loop_op)op, values[i], generation));
            assert_int_equal(t.op, op);
            assert_int_equal(t.slot, values[i]);
            assert_int_equal(t.generation, generation);
        }
}

static void the_pool_reuses_what_it_gave(void **state)
{
    struct pool p = {.keep_max_bytes = 1 << 20};
    (void)state;
    struct chunk *a = pool_get(&p, 100), *b = pool_get(&p, 100);
    pool_put(&p, a);
    pool_put(&p, b);
    assert_ptr_equal(pool_get(&p, 50), b); /* most recently used first */
    assert_ptr_equal(pool_get(&p, 50), a);
    pool_put(&p, a);
    pool_put(&p, b);
    pool_empty(&p);
}

static void every_size_gets_enough_room(void **state)
{
    struct pool p = {.keep_max_bytes = 8 << 20};
    (void)state;
    for (size_t n = 1; n < 8 << 20; n = n * 3 / 2 + 1) {
        struct chunk *c = pool_get(&p, n);
        assert_non_null(c);
        assert_true(chunk_room(c) >= n);
        memset(c->data, 0x5a, n);
        pool_put(&p, c);
    }
    assert_null(pool_get(&p, SIZE_MAX));
    assert_true(p.kept_bytes <= p.keep_max_bytes);
    pool_empty(&p);
}

static void the_pool_keeps_no_more_than_it_may(void **state)
{
    struct pool p = {.keep_max_bytes = 10000};
    struct chunk *chain = NULL;
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct chunk *c = pool_get(&p, 2000);
        c->next = chain;
        chain = c;
    }
    pool_put_chain(&p, chain);
    assert_true(p.kept_bytes <= 10000);
    pool_empty(&p);
}

/* ---- the wheel ---- */

#define ENTRIES 200

struct timed {
    struct wheel_entry entry;
    int64_t deadline_ns; /* what the owner wants now; WHEEL_NEVER: nothing */
};

static void check_fired(struct timed *t, int64_t now_ns, int64_t before_ns)
{
    assert_true(t->deadline_ns <= now_ns);
    /* At most one tick late, as far as the wheel was asked often enough. */
    assert_true(before_ns < t->deadline_ns + PC_TIMER_TICK_NS);
    t->deadline_ns = WHEEL_NEVER;
}

/* Random deadlines, put off, cleared and brought forward at random, in steps of time from
 * nothing to several turns of the wheel. */
static void the_wheel_fires_like_a_sorted_list(void **state)
{
    static struct wheel w;
    static struct timed timed[ENTRIES];
    int64_t now = 777 * INT64_C(1000000007);
    int fired = 0;
    (void)state;
    srand(7);
    wheel_init(&w, now);
    for (int i = 0; i < ENTRIES; i++) {
        wheel_entry_init(&timed[i].entry);
        timed[i].deadline_ns = WHEEL_NEVER;
    }
    for (int step = 0; step < 20000; step++) {
        struct timed *t = &timed[rand() % ENTRIES];
        int64_t before = now;
        t->deadline_ns = rand() % 8 == 0
                             ? WHEEL_NEVER
                             : now + (int64_t)(rand() % 100000) * (rand() % 2 ? 1000 : 1000000);
        if (t->deadline_ns != WHEEL_NEVER)
            wheel_cover(&w, &t->entry, t->deadline_ns, now);
        now += (int64_t)(rand() % 1000) * (rand() % 50 ? 10000 : 30000000);
        struct wheel_entry *e;
        while ((e = wheel_next(&w, now)) != NULL) {
            struct timed *up = PC_CONTAINER_OF(e, struct timed, entry);
            if (up->deadline_ns <= now) {
                check_fired(up, now, before);
                fired++;
            } else if (up->deadline_ns != WHEEL_NEVER) {
                wheel_cover(&w, &up->entry, up->deadline_ns, now);
            }
        }
        for (int i = 0; i < ENTRIES; i++) {
            assert_true(timed[i].deadline_ns > now - PC_TIMER_TICK_NS);
            if (timed[i].deadline_ns != WHEEL_NEVER)
                assert_true(wheel_due_ns(&w) <= timed[i].deadline_ns + PC_TIMER_TICK_NS);
        }
    }
    assert_true(fired > 1000);
}

static void an_empty_wheel_is_never_due(void **state)
{
    static struct wheel w;
    struct wheel_entry e;
    (void)state;
    wheel_init(&w, 0);
    wheel_entry_init(&e);
    assert_true(wheel_due_ns(&w) == WHEEL_NEVER);
    wheel_put(&w, &e, 1, 0);
    assert_true(wheel_due_ns(&w) == PC_TIMER_TICK_NS);
    wheel_remove(&w, &e);
    wheel_remove(&w, &e);
    assert_true(wheel_due_ns(&w) == WHEEL_NEVER);
    assert_null(wheel_next(&w, INT64_C(1) << 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_data_survives_the_round_trip),
        cmocka_unit_test(the_pool_reuses_what_it_gave),
        cmocka_unit_test(every_size_gets_enough_room),
        cmocka_unit_test(the_pool_keeps_no_more_than_it_may),
        cmocka_unit_test(the_wheel_fires_like_a_sorted_list),
        cmocka_unit_test(an_empty_wheel_is_never_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
