/* SPDX-License-Identifier: Apache-2.0
 * The history of events under readers that it overruns: what a reader believes is whole and in
 * order (I2-I4 of event_log.h; ThreadSanitizer watches), and a reader that asks for the newest
 * never waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/event_log.h"

#define READERS   3
#define EVENTS    UINT64_C(60000)
#define SIZE_MAX_ 2000

struct reader {
    const struct pc_event_log *log;
    pthread_t thread;
    unsigned seed;
    uint64_t good, stale, wrong;
};

static atomic_uint ready;

/* The size and every byte of an event follow from its number. */
static size_t size_of(uint64_t number)
{
    return (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % SIZE_MAX_;
}

static uint8_t byte_of(uint64_t number, size_t i)
{
    return (uint8_t)(number * 131 + i * 17);
}

static bool is_whole(uint64_t number, unsigned type, struct pc_bytes s)
{
    bool whole = s.n == size_of(number) && type == (number & 0xff);
    for (size_t i = 0; whole && i < s.n; i++)
        whole = s.p[i] == byte_of(number, i);
    return whole;
}

/* Reads on from where it stands; overrun, it jumps to the oldest there is, where the appender is
 * busy overwriting. */
static void *read_all(void *arg)
{
    struct reader *r = arg;
    uint8_t *text = malloc(PC_EVENT_BYTES_MAX);
    uint64_t number = 1;
    atomic_fetch_add(&ready, 1);
    while (number <= EVENTS) {
        struct pc_buf b = pc_buf_of(text, PC_EVENT_BYTES_MAX);
        unsigned type = 0;
        int rc = pc_event_log_read(r->log, number, &b, &type);
        if (rc == 0) {
            r->good++;
            r->wrong += !is_whole(number, type, pc_bytes_of(b.p, b.len));
            number++;
            if (rand_r(&r->seed) % 64 == 0)
                sched_yield();
        } else if (rc == -ESTALE) {
            r->stale++;
            uint64_t floor = pc_event_log_floor(r->log);
            r->wrong += floor <= number; /* it was overwritten, so the floor is above it */
            number = floor;
        } else {
            sched_yield();
        }
    }
    free(text);
    return NULL;
}

static void append_all(struct pc_event_log *log)
{
    static uint8_t bytes[SIZE_MAX_];
    unsigned seed = 5;
    for (uint64_t number = 1; number <= EVENTS; number++) {
        size_t n = size_of(number);
        for (size_t i = 0; i < n; i++)
            bytes[i] = byte_of(number, i);
        pc_event_log_append(log, number & 0xff, pc_bytes_of(bytes, n));
        unsigned dice = (unsigned)rand_r(&seed);
        if (dice % 4 == 0 || number == EVENTS)
            pc_event_log_publish(log);
        if (dice % 128 == 1)
            sched_yield();
    }
}

static void what_is_believed_is_whole(void **state)
{
    (void)state;
    struct pc_event_log *log = NULL;
    struct reader readers[READERS];
    uint64_t good = 0, stale = 0;
    assert_int_equal(pc_event_log_new(PC_EVENT_LOG_BYTES_MIN, &log), 0);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.log = log, .seed = i + 1};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    while (atomic_load(&ready) < READERS)
        sched_yield();
    append_all(log);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].wrong, 0);
        good += readers[i].good;
        stale += readers[i].stale;
    }
    print_message("%llu events read, %llu times overrun\n", (unsigned long long)good,
                  (unsigned long long)stale);
    assert_true(good > 0);
    assert_true(stale > 0); /* otherwise this showed nothing */
    pc_event_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_believed_is_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
