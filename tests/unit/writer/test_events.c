/* SPDX-License-Identifier: Apache-2.0
 * Who is nudged and how often (writer/events.h I2, I3), and making the histories while the k-th
 * allocation fails. The allocator is this file's own; sanitizers bring theirs, so there it only
 * runs without faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "edge/writer/events.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
#endif

#define CORES      3
#define FAULTS_MAX 100 /* more than the histories allocate */

static long calls, fail_at, live;

#if OWN_ALLOCATOR
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static bool fails(void)
{
    return fail_at && ++calls == fail_at;
}

void *malloc(size_t n)
{
    void *p = fails() ? NULL : __libc_malloc(n);
    live += p != NULL;
    return p;
}

void *calloc(size_t n, size_t size)
{
    void *p = fails() ? NULL : __libc_calloc(n, size);
    live += p != NULL;
    return p;
}

void *aligned_alloc(size_t alignment, size_t n)
{
    void *p = fails() ? NULL : __libc_memalign(alignment, n);
    live += p != NULL;
    return p;
}

void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}
#endif

static unsigned posted[CORES];
static struct pc_events *events;

static void post(void *ctx, unsigned core, void *nudge)
{
    assert_ptr_equal(ctx, posted);
    assert_ptr_equal(nudge, pc_events_nudge(events, core));
    posted[core]++;
}

static int make(struct pc_events **ret)
{
    struct pc_events_options options = {.cores = CORES,
                                        .epoch = 7,
                                        .flag_bytes = PC_EVENT_LOG_BYTES_MIN,
                                        .revocation_bytes = 2 * PC_EVENT_LOG_BYTES_MIN,
                                        .post = post,
                                        .ctx = posted};
    return pc_events_new(&options, ret);
}

static int setup(void **state)
{
    (void)state;
    memset(posted, 0, sizeof posted);
    return make(&events);
}

static int teardown(void **state)
{
    (void)state;
    pc_events_free(events);
    events = NULL;
    return 0;
}

static void expect(unsigned a, unsigned b, unsigned c)
{
    assert_int_equal(posted[0], a);
    assert_int_equal(posted[1], b);
    assert_int_equal(posted[2], c);
}

static void revoke(void)
{
    pc_events_add_revocation(events, PC_LIT("a change"));
}

static void only_cores_that_watch_are_nudged(void **state)
{
    (void)state;
    revoke();
    pc_events_tell(events);
    expect(0, 0, 0);
    assert_int_equal(pc_event_log_next(pc_events_log(events, PC_STREAM_REVOCATIONS)), 2);
    pc_events_watch(events, 1, 1u << PC_STREAM_REVOCATIONS, 1);
    pc_events_watch(events, 2, 1u << PC_STREAM_FLAGS, 1);
    pc_events_tell(events);
    expect(0, 0, 0); /* nothing was added */
    revoke();
    expect(0, 0, 0); /* nor told */
    pc_events_tell(events);
    expect(0, 1, 0); /* core 2 watches something else */
    pc_events_watch(events, 1, 1u << PC_STREAM_REVOCATIONS, -1);
    pc_events_nudged(events, 1); /* one may arrive when nobody watches any more */
    revoke();
    pc_events_tell(events);
    expect(0, 1, 0);
}

static void one_nudge_is_under_way_at_most(void **state)
{
    (void)state;
    pc_events_watch(events, 0, 1u << PC_STREAM_REVOCATIONS, 1);
    pc_events_watch(events, 0, 1u << PC_STREAM_REVOCATIONS | 1u << PC_STREAM_FLAGS, 1);
    for (unsigned i = 0; i < 5; i++) {
        revoke();
        pc_events_tell(events);
    }
    expect(1, 0, 0);
    pc_events_nudged(events, 0);
    revoke();
    pc_events_tell(events);
    expect(2, 0, 0);
    pc_events_nudged(events, 0);
}

static void the_first_flags_are_compared_with_none(void **state)
{
    (void)state;
    struct pc_flags *built_in = NULL;
    assert_int_equal(pc_flags_compile(NULL, NULL, NULL, &built_in, NULL), 0);
    pc_events_watch(events, 2, 1u << PC_STREAM_FLAGS, 1);
    pc_events_add_flags(events, NULL, built_in);
    pc_events_add_flags(events, built_in, built_in);
    pc_events_tell(events);
    expect(0, 0, 1);
    assert_int_equal(pc_event_log_next(pc_events_log(events, PC_STREAM_FLAGS)),
                     built_in->count + 1);
    pc_flags_free(built_in);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    long before = live;
    int rc = -1;
    for (fail_at = 1; rc != 0 && fail_at < FAULTS_MAX; fail_at++) {
        struct pc_events *e = NULL;
        calls = 0;
        rc = make(&e);
        if (rc == 0) {
            pc_events_free(e);
        } else {
            assert_int_equal(rc, -ENOMEM);
            assert_null(e);
        }
        assert_int_equal(live, before);
    }
    assert_int_equal(rc, 0);
    assert_true(!OWN_ALLOCATOR || fail_at > 5);
    fail_at = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_cores_that_watch_are_nudged),
        TEST(one_nudge_is_under_way_at_most),
        TEST(the_first_flags_are_compared_with_none),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
