/* SPDX-License-Identifier: Apache-2.0
 * The history of events: numbers, publishing, what is overwritten and who is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/event_log.h"

static uint8_t text[PC_EVENT_BYTES_MAX + 16];

static struct pc_event_log *make(size_t bytes)
{
    struct pc_event_log *log = NULL;
    assert_int_equal(pc_event_log_new(bytes, &log), 0);
    return log;
}

/* Event `number` of the given size: its bytes depend on both. */
static struct pc_bytes event_of(uint64_t number, size_t n)
{
    static uint8_t bytes[PC_EVENT_BYTES_MAX];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(number * 31 + i * 7);
    return pc_bytes_of(bytes, n);
}

static int read_it(const struct pc_event_log *log, uint64_t number, struct pc_bytes *ret,
                   unsigned *ret_type)
{
    struct pc_buf b = pc_buf_of(text, sizeof text);
    int rc = pc_event_log_read(log, number, &b, ret_type);
    *ret = pc_bytes_of(b.p, b.len);
    return rc;
}

static void expect(const struct pc_event_log *log, uint64_t number, size_t n, unsigned type)
{
    struct pc_bytes got, want = event_of(number, n);
    unsigned got_type;
    assert_int_equal(read_it(log, number, &got, &got_type), 0);
    assert_int_equal(got_type, type);
    assert_true(pc_bytes_eq(got, want));
}

static void events_are_read_once_published(void **state)
{
    (void)state;
    struct pc_event_log *log = make(PC_EVENT_LOG_BYTES_MIN);
    struct pc_bytes got;
    unsigned type = 77;
    assert_int_equal(pc_event_log_next(log), 1);
    assert_int_equal(pc_event_log_floor(log), 1);
    assert_false(pc_event_log_publish(log));
    pc_event_log_append(log, 3, event_of(1, 10));
    assert_int_equal(pc_event_log_next(log), 1);
    assert_int_equal(read_it(log, 1, &got, &type), -EAGAIN);
    assert_int_equal(type, 77); /* untouched */
    pc_event_log_append(log, 4, event_of(2, 0));
    assert_true(pc_event_log_publish(log));
    assert_false(pc_event_log_publish(log));
    assert_int_equal(pc_event_log_next(log), 3);
    expect(log, 1, 10, 3);
    expect(log, 2, 0, 4);
    assert_int_equal(read_it(log, 3, &got, &type), -EAGAIN);
    assert_int_equal(read_it(log, UINT64_MAX, &got, &type), -EAGAIN);
    assert_int_equal(read_it(log, 0, &got, &type), -ESTALE);
    pc_event_log_free(log);
}

static void reading_appends_to_the_buffer(void **state)
{
    (void)state;
    struct pc_event_log *log = make(PC_EVENT_LOG_BYTES_MIN);
    struct pc_buf b = pc_buf_of(text, sizeof text);
    unsigned type;
    pc_event_log_append(log, 0, PC_LIT("world"));
    pc_event_log_publish(log);
    pc_buf_lit(&b, "hello ");
    assert_int_equal(pc_event_log_read(log, 1, &b, &type), 0);
    assert_true(pc_bytes_eq(pc_bytes_of(b.p, b.len), PC_LIT("hello world")));
    assert_int_equal(pc_event_log_read(log, 2, &b, &type), -EAGAIN);
    assert_int_equal(b.len, 11);
    pc_event_log_free(log);
}

/* I2, I3: whatever the sizes, what is at or above the floor reads back exactly, what is below is
 * refused, and the memory is used: about its size of events is kept. */
static void the_oldest_give_way(void **state)
{
    (void)state;
    struct pc_event_log *log = make(PC_EVENT_LOG_BYTES_MIN);
    static size_t sizes[5000];
    unsigned seed = 7, type;
    struct pc_bytes got;
    uint64_t overwritten = 0;
    for (uint64_t number = 1; number < PC_COUNT(sizes); number++) {
        size_t n = (size_t)rand_r(&seed) % (number % 50 ? 300 : PC_EVENT_BYTES_MAX + 1);
        sizes[number] = n;
        pc_event_log_append(log, number % 256, event_of(number, n));
        assert_true(pc_event_log_publish(log));
        uint64_t floor = pc_event_log_floor(log);
        assert_true(floor <= number);
        size_t kept = 0;
        for (uint64_t i = floor; i <= number; i++) {
            expect(log, i, sizes[i], i % 256);
            kept += sizes[i] + 24;
        }
        assert_true(kept >= PC_EVENT_LOG_BYTES_MIN - PC_EVENT_BYTES_MAX - 24 || floor == 1);
        if (floor > 1) {
            assert_int_equal(read_it(log, floor - 1, &got, &type), -ESTALE);
            overwritten = floor;
        }
    }
    assert_true(overwritten > 1000);
    pc_event_log_free(log);
}

/* Many small events run out of places before they run out of bytes. */
static void places_are_bounded_too(void **state)
{
    (void)state;
    struct pc_event_log *log = make(PC_EVENT_LOG_BYTES_MIN);
    uint64_t places = PC_EVENT_LOG_BYTES_MIN / 64;
    for (uint64_t number = 1; number <= 3 * places; number++)
        pc_event_log_append(log, 1, event_of(number, 1));
    pc_event_log_publish(log);
    assert_int_equal(pc_event_log_floor(log), 2 * places + 1);
    for (uint64_t number = 2 * places + 1; number <= 3 * places; number++)
        expect(log, number, 1, 1);
    pc_event_log_free(log);
}

/* More appended than fits before it is published: the floor never passes what readers may ask. */
static void a_batch_larger_than_the_history(void **state)
{
    (void)state;
    struct pc_event_log *log = make(PC_EVENT_LOG_BYTES_MIN);
    for (uint64_t number = 1; number <= 10; number++)
        pc_event_log_append(log, 1, event_of(number, PC_EVENT_BYTES_MAX));
    assert_int_equal(pc_event_log_floor(log), 1);
    assert_int_equal(pc_event_log_next(log), 1);
    pc_event_log_publish(log);
    assert_int_equal(pc_event_log_next(log), 11);
    assert_int_equal(pc_event_log_floor(log), 8);
    expect(log, 8, PC_EVENT_BYTES_MAX, 1);
    expect(log, 10, PC_EVENT_BYTES_MAX, 1);
    pc_event_log_free(log);
}

static void sizes_are_checked(void **state)
{
    (void)state;
    struct pc_event_log *log = NULL;
    assert_int_equal(pc_event_log_new(PC_EVENT_LOG_BYTES_MIN - 1, &log), -EINVAL);
    assert_int_equal(pc_event_log_new((size_t)PC_EVENT_LOG_BYTES_MAX + 1, &log), -EINVAL);
    assert_null(log);
    log = make(PC_EVENT_LOG_BYTES_MIN + 1);
    assert_in_range(pc_event_log_bytes(log), 2 * PC_EVENT_LOG_BYTES_MIN,
                    2 * PC_EVENT_LOG_BYTES_MIN * 5 / 4);
    pc_event_log_free(log);
    pc_event_log_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_read_once_published),
        cmocka_unit_test(reading_appends_to_the_buffer),
        cmocka_unit_test(the_oldest_give_way),
        cmocka_unit_test(places_are_bounded_too),
        cmocka_unit_test(a_batch_larger_than_the_history),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
