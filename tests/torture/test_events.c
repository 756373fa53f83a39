/* SPDX-License-Identifier: Apache-2.0
 * The nudges of cores under real threads: a core that watches learns of every event although it
 * sleeps without a time limit worth the name, has at most one nudge under way, and may begin and
 * end watching at any moment (I1-I4 of writer/events.h; ThreadSanitizer watches). */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/spsc.h"
#include "base/waker.h"
#include "edge/writer/events.h"
#include "link/change.h"

#define CORES       3u
#define EVENTS      UINT64_C(40000)
#define SLEEP_LIMIT (INT64_C(20) * 1000000000)

struct core {
    struct pc_events *events;
    struct pc_spsc *mailbox; /* one place: I3 */
    struct pc_waker *waker;
    pthread_t thread;
    unsigned index, seed;
    uint64_t at, seen, missed, watches;
};

static struct core cores[CORES];

static void post(void *ctx, unsigned core, void *nudge)
{
    (void)ctx;
    bool posted = pc_spsc_push(cores[core].mailbox, nudge);
    PC_ASSERT(posted); /* I3 */
    pc_waker_notify(cores[core].waker);
}

static void sleep_until_nudged(struct core *c)
{
    void *nudge;
    while (!(nudge = pc_spsc_pop(c->mailbox))) {
        pc_waker_prepare(c->waker);
        if (pc_spsc_empty(c->mailbox))
            PC_ASSERT(pc_waker_wait(c->waker, SLEEP_LIMIT)); /* I1: no event without a nudge */
        pc_waker_finish(c->waker);
    }
    PC_ASSERT(nudge == pc_events_nudge(c->events, c->index));
    pc_events_nudged(c->events, c->index);
}

static void read_all(struct core *c)
{
    const struct pc_event_log *log = pc_events_log(c->events, PC_STREAM_REVOCATIONS);
    uint8_t *text = malloc(PC_EVENT_BYTES_MAX);
    for (;;) {
        struct pc_buf b = pc_buf_of(text, PC_EVENT_BYTES_MAX);
        unsigned type;
        int rc = pc_event_log_read(log, c->at, &b, &type);
        if (rc == -EAGAIN)
            break;
        if (rc == -ESTALE) {
            c->missed += pc_event_log_next(log) - c->at;
            c->at = pc_event_log_next(log);
            continue;
        }
        uint64_t number;
        PC_ASSERT(type == PC_EVENT_REVOCATION && b.len == sizeof number);
        memcpy(&number, b.p, sizeof number);
        PC_ASSERT(number == c->at);
        c->seen++;
        c->at++;
    }
    free(text);
}

/* Watches, with breaks; a break ends where it began to watch anew: what was told meanwhile was
 * nobody's here. Nudges of the time before may still arrive. */
static void *watch(void *arg)
{
    struct core *c = arg;
    const struct pc_event_log *log = pc_events_log(c->events, PC_STREAM_REVOCATIONS);
    while (c->at <= EVENTS) {
        pc_events_watch(c->events, c->index, 1u << PC_STREAM_REVOCATIONS, 1);
        c->at = pc_event_log_next(log); /* I1: in this order */
        c->watches++;
        do {
            if (c->at > EVENTS)
                break;
            sleep_until_nudged(c);
            read_all(c);
        } while (rand_r(&c->seed) % 8);
        pc_events_watch(c->events, c->index, 1u << PC_STREAM_REVOCATIONS, -1);
    }
    return NULL;
}

static void *tell(void *arg)
{
    struct pc_events *events = arg;
    unsigned seed = 11;
    for (uint64_t number = 1; number <= EVENTS; number++) {
        pc_events_add_revocation(events, pc_bytes_of(&number, sizeof number));
        unsigned dice = (unsigned)rand_r(&seed);
        if (dice % 3 == 0 || number == EVENTS)
            pc_events_tell(events);
        if (dice % 16 == 1)
            sched_yield();
    }
    return NULL;
}

static void no_watcher_sleeps_through_an_event(void **state)
{
    (void)state;
    struct pc_events_options options = {.cores = CORES,
                                        .epoch = 1,
                                        .flag_bytes = PC_EVENT_LOG_BYTES_MIN,
                                        .revocation_bytes = 8 * PC_EVENT_LOG_BYTES_MIN,
                                        .post = post};
    struct pc_events *events = NULL;
    pthread_t writer;
    assert_int_equal(pc_events_new(&options, &events), 0);
    for (unsigned i = 0; i < CORES; i++) {
        cores[i] = (struct core){.events = events, .index = i, .seed = i + 1};
        assert_int_equal(pc_spsc_new(1, &cores[i].mailbox), 0);
        assert_int_equal(pc_waker_new(&cores[i].waker), 0);
        assert_int_equal(pthread_create(&cores[i].thread, NULL, watch, &cores[i]), 0);
    }
    assert_int_equal(pthread_create(&writer, NULL, tell, events), 0);
    pthread_join(writer, NULL);
    for (unsigned i = 0; i < CORES; i++) {
        pthread_join(cores[i].thread, NULL);
        print_message("core %u: %llu events seen, %llu overrun, in %llu watches\n", i,
                      (unsigned long long)cores[i].seen, (unsigned long long)cores[i].missed,
                      (unsigned long long)cores[i].watches);
        assert_true(cores[i].seen > 0);
        pc_spsc_free(cores[i].mailbox);
        pc_waker_free(cores[i].waker);
    }
    pc_events_free(events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_watcher_sleeps_through_an_event)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
