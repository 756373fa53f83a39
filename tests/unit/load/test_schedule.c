/* SPDX-License-Identifier: Apache-2.0
 * Due times in virtual time: constant and Poisson arrivals, rates that change, and that latency
 * counted from them shows a server's pause, which a closed loop does not see. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "load/hdr.h"
#include "load/schedule.h"

#define SECOND INT64_C(1000000000)
#define MS     INT64_C(1000000)

static uint64_t count_all(struct ld_schedule *s, int64_t *ret_last_ns)
{
    uint64_t n = 0;
    for (int64_t last_ns = 0; s->next_ns != INT64_MAX; ld_schedule_pop(s), n++) {
        assert_true(s->next_ns >= last_ns);
        last_ns = s->next_ns;
        *ret_last_ns = last_ns;
    }
    return n;
}

static void constant_arrivals_are_even(void **state)
{
    struct ld_schedule s = {.rate_per_s = 3};
    int64_t last_ns = 0;
    (void)state;
    ld_schedule_begin(&s, 100, 10 * SECOND, 0, 1); /* ends just before the 31st */
    for (int k = 0; k < 30; k++) {
        assert_true(llabs(s.next_ns - (100 + (int64_t)(k * 1e9 / 3))) <= 1);
        ld_schedule_pop(&s);
    }
    assert_true(s.next_ns == INT64_MAX);
    ld_schedule_pop(&s);
    assert_true(s.next_ns == INT64_MAX);
    s.rate_per_s = 1e6;
    ld_schedule_begin(&s, 0, SECOND, 0.5, 1);
    assert_true(s.next_ns == 500);
    assert_in_range(count_all(&s, &last_ns), 999999, 1000001);
}

/* Threads begin at different phases: together they are as even as one. */
static void threads_interleave(void **state)
{
    struct ld_schedule s = {.rate_per_s = 1000};
    (void)state;
    for (int thread = 0; thread < 4; thread++) {
        ld_schedule_begin(&s, 0, SECOND, thread / 4.0, 1);
        assert_true(s.next_ns == thread * MS / 4);
    }
}

static void poisson_arrivals_have_their_rate_and_spread(void **state)
{
    struct ld_schedule s = {.rate_per_s = 10000, .poisson = true};
    double sum = 0, squares = 0;
    uint64_t n = 0;
    (void)state;
    ld_schedule_begin(&s, 0, 20 * SECOND, 0, 42);
    for (int64_t last_ns = 0; s.next_ns != INT64_MAX; ld_schedule_pop(&s), n++) {
        const double gap = (double)(s.next_ns - last_ns);
        last_ns = s.next_ns;
        sum += gap;
        squares += gap * gap;
    }
    const double mean = sum / (double)n, spread = sqrt(squares / (double)n - mean * mean);
    assert_in_range(n, 198000, 202000);
    assert_true(fabs(mean - 1e5) < 1e3);
    assert_true(fabs(spread / mean - 1) < 0.02); /* exponential: as wide as its mean */
}

static void a_seed_repeats_its_arrivals(void **state)
{
    struct ld_schedule a = {.rate_per_s = 777, .poisson = true}, b = a;
    (void)state;
    ld_schedule_begin(&a, 5, 5 + 3 * SECOND, 0, 99);
    ld_schedule_begin(&b, 5, 5 + 3 * SECOND, 0, 99);
    while (a.next_ns != INT64_MAX) {
        assert_true(a.next_ns == b.next_ns);
        ld_schedule_pop(&a);
        ld_schedule_pop(&b);
    }
}

/* Nothing in the first second, then a ramp from 0 to 2000/s over two. */
static double ramp(void *arg, int64_t since_ns)
{
    (void)arg;
    return since_ns < SECOND ? 0 : (double)(since_ns - SECOND) / 1e6;
}

static void a_profile_is_followed(void **state)
{
    (void)state;
    for (int poisson = 0; poisson < 2; poisson++) {
        struct ld_schedule s = {.rate_of = ramp, .poisson = poisson};
        int64_t last_ns = 0;
        ld_schedule_begin(&s, 0, 3 * SECOND, 0.5, 3);
        assert_true(s.next_ns > SECOND);
        assert_in_range(count_all(&s, &last_ns), 1850, 2150); /* the area: 2000 */
        assert_true(last_ns > 3 * SECOND - 20 * MS);
    }
}

static void no_rate_is_no_arrival(void **state)
{
    struct ld_schedule s = {.rate_per_s = 0};
    (void)state;
    ld_schedule_begin(&s, 0, SECOND, 0.5, 1);
    assert_true(s.next_ns == INT64_MAX);
}

/* A server that answers in 10 us and pauses 500 ms once in 5 s; one connection. When it is free
 * again after something that began at t. */
static int64_t served_by(int64_t t_ns)
{
    const int64_t into_ns = t_ns % (5 * SECOND), pause_ns = 2 * SECOND;
    if (into_ns >= pause_ns && into_ns < pause_ns + 500 * MS)
        t_ns += pause_ns + 500 * MS - into_ns;
    return t_ns + 10000;
}

static void a_pause_shows_in_an_open_loop_and_hides_in_a_closed_one(void **state)
{
    static struct ld_hdr open, closed;
    struct ld_schedule s = {.rate_per_s = 10000};
    int64_t free_ns = 0;
    (void)state;
    ld_hdr_reset(&open);
    ld_hdr_reset(&closed);
    for (ld_schedule_begin(&s, 0, 20 * SECOND, 0, 1); s.next_ns != INT64_MAX; ld_schedule_pop(&s)) {
        free_ns = served_by(pc_max_i64(s.next_ns, free_ns));
        ld_hdr_record(&open, free_ns - s.next_ns);
    }
    for (int64_t now_ns = 0; now_ns < 20 * SECOND; now_ns = free_ns) {
        free_ns = served_by(now_ns);
        ld_hdr_record(&closed, free_ns - now_ns);
    }
    assert_in_range(open.count, 199999, 200000);
    assert_in_range(ld_hdr_percentile_ns(&open, 0.99), 440 * MS, 500 * MS + MS);
    assert_in_range(ld_hdr_percentile_ns(&open, 0.5), 9000, 11000);
    assert_in_range(ld_hdr_percentile_ns(&closed, 0.9999), 9000, 11000); /* it lies */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_arrivals_are_even),
        cmocka_unit_test(threads_interleave),
        cmocka_unit_test(poisson_arrivals_have_their_rate_and_spread),
        cmocka_unit_test(a_seed_repeats_its_arrivals),
        cmocka_unit_test(a_profile_is_followed),
        cmocka_unit_test(no_rate_is_no_arrival),
        cmocka_unit_test(a_pause_shows_in_an_open_loop_and_hides_in_a_closed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
