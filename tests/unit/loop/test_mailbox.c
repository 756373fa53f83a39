/* SPDX-License-Identifier: Apache-2.0
 * Messages from many threads to the cores: all arrive, each producer's in order, none waits for an
 * unrelated event, and those that come too late are discarded. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/waker.h"
#include "edge/loop/core.h"

#define CORES     2
#define PRODUCERS 3
#define MESSAGES  20000

struct numbered {
    uint64_t number;
};

struct receiver {
    struct pc_loop *loop;
    struct pc_waker *back;
    uint64_t next[CORES][CORES + PRODUCERS]; /* owned by the core */
    _Atomic uint64_t received, out_of_order, forwarded, discarded;
};

static void on_number(struct pc_core *core, unsigned producer, void *msg)
{
    struct receiver *r = core->user;
    struct numbered *m = msg;
    if (m->number != r->next[core->index][producer]++)
        atomic_fetch_add(&r->out_of_order, 1);
    atomic_fetch_add(&r->received, 1);
    free(m);
    pc_waker_notify(r->back);
}

static void count_discarded(void *msg)
{
    free(msg);
}

static void start(struct receiver *r, void (*message)(struct pc_core *, unsigned, void *),
                  unsigned entries)
{
    struct pc_why why = {""};
    struct pc_loop_config config = {
        .cores = CORES,
        .extra_producers = PRODUCERS,
        .mailbox_entries = entries,
        .recv_buffers = 8,
        .recv_buffer_bytes = 4096,
        .hooks = {.message = message, .discard = count_discarded},
        .user = r
    };
    memset(r, 0, sizeof *r);
    assert_int_equal(pc_waker_new(&r->back), 0);
    assert_int_equal(pc_loop_new(&config, &r->loop, &why), 0);
    assert_int_equal(pc_loop_start(r->loop, &why), 0);
}

static void stop(struct receiver *r)
{
    pc_loop_stop(r->loop, 1000);
    pc_loop_join(r->loop);
    pc_loop_free(r->loop);
    pc_waker_free(r->back);
}

/* Sleeps until the cores have received so many. */
static void await_received(struct receiver *r, uint64_t wanted)
{
    while (atomic_load(&r->received) < wanted) {
        pc_waker_prepare(r->back);
        if (atomic_load(&r->received) < wanted)
            PC_ASSERT(pc_waker_wait(r->back, INT64_C(10000000000)));
        pc_waker_finish(r->back);
    }
}

struct sender {
    struct receiver *r;
    unsigned producer;
};

static void post(struct receiver *r, unsigned core, unsigned producer, uint64_t number)
{
    struct numbered *m = malloc(sizeof *m);
    PC_ASSERT(m);
    m->number = number;
    while (!pc_core_post(pc_loop_core(r->loop, core), producer, m)) {
        pc_core_notify(pc_loop_core(r->loop, core));
        sched_yield();
    }
}

static void *send_many(void *arg)
{
    struct sender *s = arg;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        for (unsigned core = 0; core < CORES; core++)
            post(s->r, core, s->producer, i);
        if (i % 7 == 0 || i == MESSAGES - 1)
            for (unsigned core = 0; core < CORES; core++)
                pc_core_notify(pc_loop_core(s->r->loop, core));
    }
    return NULL;
}

static void every_producers_messages_arrive_in_order(void **state)
{
    struct receiver r;
    struct sender senders[PRODUCERS];
    pthread_t threads[PRODUCERS];
    (void)state;
    start(&r, on_number, 64);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        senders[i] = (struct sender){&r, CORES + i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    await_received(&r, (uint64_t)CORES * PRODUCERS * MESSAGES);
    assert_int_equal(atomic_load(&r.out_of_order), 0);
    stop(&r);
}

/* The core is asleep each time: a lost wake-up would hang here. */
static void a_single_message_wakes_a_sleeping_core(void **state)
{
    struct receiver r;
    (void)state;
    start(&r, on_number, 64);
    for (uint64_t i = 0; i < 2000; i++) {
        unsigned core = (unsigned)(i % CORES);
        post(&r, core, CORES, i / CORES);
        pc_core_notify(pc_loop_core(r.loop, core));
        await_received(&r, i + 1);
    }
    assert_int_equal(atomic_load(&r.out_of_order), 0);
    stop(&r);
}

/* Core to core: a message goes round until its number is used up. */
static void pass_on(struct pc_core *core, unsigned producer, void *msg)
{
    struct receiver *r = core->user;
    struct numbered *m = msg;
    (void)producer;
    if (m->number-- == 0) {
        free(m);
        atomic_fetch_add(&r->received, 1);
        pc_waker_notify(r->back);
        return;
    }
    struct pc_core *to = pc_loop_core(core->loop, (core->index + 1u) % CORES);
    atomic_fetch_add(&r->forwarded, 1);
    PC_ASSERT(pc_core_post_room(to, core->index, 1));
    PC_ASSERT(pc_core_post(to, core->index, m));
    pc_core_notify(to);
}

static void cores_send_to_each_other(void **state)
{
    struct receiver r;
    (void)state;
    start(&r, pass_on, 64);
    post(&r, 0, CORES, 3000);
    pc_core_notify(pc_loop_core(r.loop, 0));
    await_received(&r, 1);
    assert_int_equal(atomic_load(&r.forwarded), 3000);
    stop(&r);
}

static void a_full_mailbox_refuses(void **state)
{
    struct receiver r;
    struct pc_why why;
    (void)state;
    memset(&r, 0, sizeof r);
    struct pc_loop_config config = {
        .extra_producers = 1, .mailbox_entries = 4, .hooks = {.discard = count_discarded}};
    assert_int_equal(pc_loop_new(&config, &r.loop, &why), 0);
    struct pc_core *core = pc_loop_core(r.loop, 0);
    assert_true(pc_core_post_room(core, 1, 4));
    for (int i = 0; i < 4; i++)
        assert_true(pc_core_post(core, 1, malloc(8)));
    assert_false(pc_core_post_room(core, 1, 1));
    void *extra = malloc(8);
    assert_false(pc_core_post(core, 1, extra));
    free(extra);
    pc_loop_free(r.loop); /* discards the four: the leak checker knows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_producers_messages_arrive_in_order),
        cmocka_unit_test(a_single_message_wakes_a_sleeping_core),
        cmocka_unit_test(cores_send_to_each_other),
        cmocka_unit_test(a_full_mailbox_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
