/* SPDX-License-Identifier: Apache-2.0
 * The SPSC queue and the waker between real threads with random yields: order, visibility of what
 * an item points to (I2, I3: ThreadSanitizer watches the plain fields), and no lost wake-up: a
 * consumer that sleeps until its time limit with something in a queue fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/spsc.h"
#include "base/waker.h"

#define PRODUCERS   3
#define ITEMS       60000
#define ITEM_RING   256 /* more than any capacity used: items come back before they are reused */
#define SLEEP_LIMIT (INT64_C(20) * 1000000000)

/* Plain fields, ordered by the queue alone. */
struct item {
    uint64_t number, check;
};

/* One producer's way to the consumer, and the way back for used items. */
struct lane {
    struct pc_spsc *there, *back;
    struct pc_waker *consumer, *producer;
    pthread_t thread;
    unsigned seed;
    struct item items[ITEM_RING];
    uint64_t next, wrong; /* the consumer's */
};

static uint64_t check_of(uint64_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

static void maybe_yield(unsigned *seed)
{
    if (rand_r(seed) % 16 == 0)
        sched_yield();
}

static bool anything(const struct lane *lanes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!pc_spsc_empty(lanes[i].there))
            return true;
    return false;
}

static struct item *free_item(struct lane *l)
{
    struct item *item;
    while (!(item = pc_spsc_pop(l->back))) {
        pc_waker_prepare(l->producer);
        if (pc_spsc_empty(l->back))
            PC_ASSERT(pc_waker_wait(l->producer, SLEEP_LIMIT)); /* I1 */
        pc_waker_finish(l->producer);
    }
    return item;
}

static void *produce(void *arg)
{
    struct lane *l = arg;
    for (uint64_t i = 0; i < ITEMS; i++) {
        struct item *item = free_item(l);
        item->number = i;
        item->check = check_of(i);
        while (!pc_spsc_push(l->there, item)) {
            pc_waker_notify(l->consumer);
            sched_yield();
        }
        maybe_yield(&l->seed);
        /* Notifying once per batch, but never before sleeping on `back` without having done so. */
        if (rand_r(&l->seed) % 4 == 0 || i == ITEMS - 1 || pc_spsc_empty(l->back))
            pc_waker_notify(l->consumer);
    }
    return NULL;
}

static void take(struct lane *l, unsigned *seed)
{
    void *items[8];
    size_t n = pc_spsc_pop_many(l->there, items, 1 + (size_t)(rand_r(seed) % 8));
    for (size_t i = 0; i < n; i++) {
        struct item *item = items[i];
        l->wrong += item->number != l->next++ || item->check != check_of(item->number);
        item->check = 0; /* the producer must see this before it writes again */
        PC_ASSERT(pc_spsc_push(l->back, item));
    }
    if (n)
        pc_waker_notify(l->producer);
}

static void consume(struct lane *lanes, struct pc_waker *w)
{
    unsigned seed = 99;
    uint64_t taken = 0;
    while (taken < (uint64_t)PRODUCERS * ITEMS) {
        uint64_t before = taken;
        taken = 0;
        for (unsigned p = 0; p < PRODUCERS; p++) {
            take(&lanes[p], &seed);
            taken += lanes[p].next;
        }
        maybe_yield(&seed);
        if (taken > before || taken == (uint64_t)PRODUCERS * ITEMS)
            continue;
        pc_waker_prepare(w);
        if (!anything(lanes, PRODUCERS))
            PC_ASSERT(pc_waker_wait(w, SLEEP_LIMIT)); /* I1 */
        pc_waker_finish(w);
    }
}

static void open_lane(struct lane *l, size_t capacity, struct pc_waker *consumer, unsigned seed)
{
    *l = (struct lane){.consumer = consumer, .seed = seed};
    assert_int_equal(pc_spsc_new(capacity, &l->there), 0);
    assert_int_equal(pc_spsc_new(ITEM_RING, &l->back), 0);
    assert_int_equal(pc_waker_new(&l->producer), 0);
    for (unsigned i = 0; i < ITEM_RING; i++)
        assert_true(pc_spsc_push(l->back, &l->items[i]));
}

static void run_lanes(size_t capacity)
{
    static struct lane lanes[PRODUCERS];
    struct pc_waker *consumer;
    assert_int_equal(pc_waker_new(&consumer), 0);
    for (unsigned p = 0; p < PRODUCERS; p++)
        open_lane(&lanes[p], capacity, consumer, p + 1);
    for (unsigned p = 0; p < PRODUCERS; p++)
        assert_int_equal(pthread_create(&lanes[p].thread, NULL, produce, &lanes[p]), 0);
    consume(lanes, consumer);
    for (unsigned p = 0; p < PRODUCERS; p++) {
        pthread_join(lanes[p].thread, NULL);
        assert_int_equal(lanes[p].wrong, 0);
        assert_true(pc_spsc_empty(lanes[p].there));
        pc_spsc_free(lanes[p].there);
        pc_spsc_free(lanes[p].back);
        pc_waker_free(lanes[p].producer);
    }
    pc_waker_free(consumer);
}

static void nothing_is_lost_reordered_or_slept_through(void **state)
{
    const size_t capacities[] = {1, 2, 8, 128};
    (void)state;
    for (size_t i = 0; i < PC_COUNT(capacities); i++)
        run_lanes(capacities[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_reordered_or_slept_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
