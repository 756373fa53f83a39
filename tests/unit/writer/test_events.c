/* SPDX-License-Identifier: Apache-2.0
 * Who is nudged and how often (writer/events.h I2, I3), and making the histories while the k-th
 * allocation fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "edge/writer/events.h"
#include "support/fake_malloc.h"

#define CORES      3
#define FAULTS_MAX 100 /* more than the histories allocate */

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
    long before = fake_malloc_live();
    long k = 0;
    do {
        struct pc_events *e = NULL;
        fake_malloc_fail_at(++k);
        int rc = make(&e);
        fake_malloc_fail_at(0);
        assert_int_equal(rc, fake_malloc_fired() ? -ENOMEM : 0);
        pc_events_free(e);
        assert_int_equal(fake_malloc_live(), before);
    } while (fake_malloc_fired() && k < FAULTS_MAX);
    assert_true(!fake_malloc_works() || (k > 5 && k < FAULTS_MAX));
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
