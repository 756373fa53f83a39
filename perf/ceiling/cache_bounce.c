/* SPDX-License-Identifier: Apache-2.0
 * How long a cache line takes from one CPU to another and what that says about a run: the host
 * moves virtual CPUs, and loopback figures with them near and far apart cannot be compared.
 * Usage: perf-cache-bounce [CPU CPU]; prints {"one_way_ns":N}: the median of several rounds. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "perf.h"

enum { ROUNDS = 9, BOUNCES = 20000 };

/* Even: the first thread's turn; odd: the second's. */
static struct {
    _Atomic uint32_t turn;
} PC_ALIGNED_LINE ball;

static void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    int err = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (err)
        die("affinity", err);
}

static void wait_for(uint32_t turn)
{
    while (atomic_load_explicit(&ball.turn, memory_order_acquire) != turn)
        ;
}

static void *answer(void *cpu)
{
    pin_to(*(int *)cpu);
    for (uint32_t i = 0; i < ROUNDS * BOUNCES; i++) {
        wait_for(2 * i + 1);
        atomic_store_explicit(&ball.turn, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int cpus[2] = {0, 1};
    for (int i = 0; i < 2 && argc == 3; i++)
        cpus[i] = (int)strtol(argv[i + 1], NULL, 10);
    pthread_t other;
    int err = pthread_create(&other, NULL, answer, &cpus[1]);
    if (err)
        die("thread", err);
    pin_to(cpus[0]);
    double rounds[ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        int64_t start = pc_clock_mono_ns();
        for (uint32_t i = round * BOUNCES; i < (round + 1) * BOUNCES; i++) {
            atomic_store_explicit(&ball.turn, 2 * i + 1, memory_order_release);
            wait_for(2 * i + 2);
        }
        rounds[round] = (double)(pc_clock_mono_ns() - start) / (2.0 * BOUNCES);
    }
    pthread_join(other, NULL);
    qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
    printf("{\"one_way_ns\":%.1f}\n", rounds[ROUNDS / 2]);
    return 0;
}
