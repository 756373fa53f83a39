/* SPDX-License-Identifier: Apache-2.0
 * Two threads pass a line to and fro (bounce.h).
 *
 * I1 turn is even: the first thread's; odd: the second's. Only the one whose turn it is stores.
 * I2 nothing else lies in the line. Release and acquire order nothing but the turn itself: a
 * relaxed ball would measure the same; they say what is meant. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "load/bounce.h"

enum { ROUNDS = 9, BOUNCES = 20000 };

struct ball {
    _Atomic uint32_t turn PC_ALIGNED_LINE; /* I1 I2 */
    double rounds[ROUNDS] PC_ALIGNED_LINE; /* the first thread's, read after it ended */
};

static void wait_for(const struct ball *b, uint32_t turn)
{
    while (atomic_load_explicit(&b->turn, memory_order_acquire) != turn)
        ;
}

static void *serve(void *arg)
{
    struct ball *b = arg;
    for (uint32_t round = 0, i = 0; round < ROUNDS; round++) {
        const int64_t start_ns = pc_clock_mono_ns();
        for (const uint32_t end = i + BOUNCES; i < end; i++) {
            atomic_store_explicit(&b->turn, 2 * i + 1, memory_order_release);
            wait_for(b, 2 * i + 2);
        }
        b->rounds[round] = (double)(pc_clock_mono_ns() - start_ns) / (2.0 * BOUNCES);
    }
    return NULL;
}

static void *answer(void *arg)
{
    struct ball *b = arg;
    for (uint32_t i = 0; i < ROUNDS * BOUNCES; i++) {
        wait_for(b, 2 * i + 1);
        atomic_store_explicit(&b->turn, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int start(pthread_t *ret_id, unsigned cpu, void *(*run)(void *), struct ball *b)
{
    pthread_attr_t attr;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attr);
    pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
    const int err = pthread_create(ret_id, &attr, run, b);
    pthread_attr_destroy(&attr);
    return err;
}

bool ld_bounce_measure(unsigned cpu, unsigned other_cpu, double *ret_one_way_ns,
                       struct ld_problem *problem)
{
    struct ball b = {.turn = 0};
    pthread_t first, second;
    if (cpu == other_cpu || cpu >= CPU_SETSIZE || other_cpu >= CPU_SETSIZE)
        return ld_problem_set(problem, "CPUs %u and %u are no pair", cpu, other_cpu);
    int err = start(&first, cpu, serve, &b);
    if (err)
        return ld_problem_set(problem, "CPU %u: %s", cpu, strerror(err));
    err = start(&second, other_cpu, answer, &b);
    if (err)
        answer(&b); /* the first one waits for somebody */
    else
        pthread_join(second, NULL);
    pthread_join(first, NULL);
    if (err)
        return ld_problem_set(problem, "CPU %u: %s", other_cpu, strerror(err));
    qsort(b.rounds, ROUNDS, sizeof(b.rounds[0]), by_value);
    *ret_one_way_ns = b.rounds[ROUNDS / 2];
    return true;
}
