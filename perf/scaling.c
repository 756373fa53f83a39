/* SPDX-License-Identifier: Apache-2.0
 * Decisions in process by 1 … THREADS threads, each a core of its own over the same tables of
 * ENTRIES revocations, cutoffs and limit keys: what cores cost each other, with no generator beside
 * them. Usage: perf-scaling THREADS SECONDS TOKENS ENTRIES; prints one JSON object: for every
 * number of threads the rate, and the mean and squared coefficient of variation of single
 * decisions. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "support/decision_kit.h"

enum { THREADS_MAX = 64, SAMPLES = 200000, TURN = 16, TURNS_PER_LOOK = 64 };

static const char config[] =
    "routes:\n"
    "  - {name: orders, path: \"/orders/{id}\", scopes: [read], limits: [one]}\n"
    "limit_policies:\n"
    "  - {name: one, rate: 1000000000/s, key: [subject], max_keys: 1200000}\n";

/* All threads of one measurement begin together and end together. */
struct race {
    struct decision_kit *kit;
    uint32_t tokens;
    unsigned threads;
    pthread_barrier_t ready;
    atomic_bool over;
};

struct runner {
    struct race *race;
    unsigned index;
    uint64_t decisions;
    int64_t ns;
};

/* Far from what was asked last, so that no line is still in a cache; each thread its own order. */
static uint32_t token_of(const struct runner *r, uint64_t i)
{
    return (uint32_t)((i * 2654435761u + r->index * 40503u) % r->race->tokens);
}

static void pin_to(unsigned index)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && index-- == 0)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one))
        (void)pthread_setaffinity_np(pthread_self(), sizeof one, &one); /* fewer CPUs: they share */
}

static void *run(void *argument)
{
    struct runner *r = argument;
    pin_to(r->index);
    struct decision_kit_hand *hand = decision_kit_hand_new(r->race->kit);
    pthread_barrier_wait(&r->race->ready);
    int64_t began = pc_clock_mono_ns();
    while (!atomic_load_explicit(&r->race->over, memory_order_relaxed))
        for (int turn = 0; turn < TURNS_PER_LOOK; turn++) {
            for (int i = 0; i < TURN; i++)
                decision_kit_hand_decide(hand, token_of(r, r->decisions++));
            decision_kit_hand_pass(hand, 1000);
        }
    r->ns = pc_clock_mono_ns() - began;
    decision_kit_hand_free(hand);
    return NULL;
}

static double measure(struct decision_kit *kit, uint32_t tokens, unsigned threads, double seconds)
{
    struct race race = {.kit = kit, .tokens = tokens, .threads = threads};
    struct runner runners[THREADS_MAX] = {{0}};
    pthread_t ids[THREADS_MAX];
    double per_s = 0;
    /* What earlier hands charged to the limits lies in the past of these. */
    decision_kit_pass(kit, INT64_C(3600000000000));
    pthread_barrier_init(&race.ready, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        runners[i] = (struct runner){.race = &race, .index = i};
        int err = pthread_create(&ids[i], NULL, run, &runners[i]);
        PC_ASSERT(err == 0);
    }
    decision_kit_rest(true);
    pthread_barrier_wait(&race.ready);
    struct timespec span = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&span, NULL);
    atomic_store(&race.over, true);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        per_s += (double)runners[i].decisions * 1e9 / (double)runners[i].ns;
    }
    decision_kit_rest(false);
    pthread_barrier_destroy(&race.ready);
    return per_s;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One decision at a time; the clock's own time is taken off. The slowest of a thousand are left
 * out: a thread that was preempted says how busy the machine is, which the floor of latency holds.
 */
static void sample(struct decision_kit *kit, uint32_t tokens, double *ret_us, double *ret_scv)
{
    enum { KEPT = SAMPLES - SAMPLES / 1000 };
    static double ns[SAMPLES];
    double sum = 0, squares = 0, clock_ns = 0;
    for (int i = 0; i < SAMPLES; i++) {
        int64_t t0 = pc_clock_mono_ns();
        ns[i] = (double)(pc_clock_mono_ns() - t0);
    }
    qsort(ns, SAMPLES, sizeof *ns, by_value);
    clock_ns = ns[SAMPLES / 2];
    for (uint32_t i = 0; i < SAMPLES; i++) {
        int64_t t0 = pc_clock_mono_ns();
        decision_kit_decide(kit, (uint32_t)(i * UINT64_C(2654435761) % tokens));
        ns[i] = (double)(pc_clock_mono_ns() - t0) - clock_ns;
        if (i % TURN == 0)
            decision_kit_pass(kit, 10000);
    }
    qsort(ns, SAMPLES, sizeof *ns, by_value);
    for (int i = 0; i < KEPT; i++) {
        sum += ns[i];
        squares += ns[i] * ns[i];
    }
    double mean = sum / KEPT;
    *ret_us = mean / 1e3;
    *ret_scv = squares / KEPT / (mean * mean) - 1;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: perf-scaling THREADS SECONDS TOKENS ENTRIES\n");
        return 2;
    }
    unsigned threads = (unsigned)strtoul(argv[1], NULL, 10);
    double seconds = strtod(argv[2], NULL), us, scv;
    uint32_t tokens = (uint32_t)strtoul(argv[3], NULL, 10);
    uint32_t entries = (uint32_t)strtoul(argv[4], NULL, 10);
    if (!threads || threads > THREADS_MAX || !(seconds > 0 && seconds < 3600) || !tokens ||
        !entries) {
        fprintf(stderr, "perf-scaling: 1 to %d threads, some seconds, tokens and entries\n",
                THREADS_MAX);
        return 2;
    }
    struct decision_kit_options o = {.config = config,
                                     .method = "GET",
                                     .host = "shop.example",
                                     .path = "/orders/12345678",
                                     .tokens = tokens,
                                     .entries = entries,
                                     .policy = "one",
                                     .token_bytes = 700};
    struct decision_kit *kit = decision_kit_new(&o);
    sample(kit, tokens, &us, &scv);
    printf("{\"decision_us\": %.4f, \"decision_scv\": %.4f, \"in_process\": [", us,
           scv > 0 ? scv : 0);
    for (unsigned n = 1; n <= threads; n++)
        printf("%s{\"threads\": %u, \"per_s\": %.0f}", n > 1 ? ", " : "", n,
               measure(kit, tokens, n, seconds));
    puts("]}");
    decision_kit_free(kit);
    return 0;
}
