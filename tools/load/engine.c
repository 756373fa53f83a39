/* SPDX-License-Identifier: Apache-2.0
 * The threads of engine.h. What is shared between them and the main thread: the handshake of the
 * start (under the mutex), the first wrong answers (under the mutex: they are rare), and the counts
 * that are handed over without a lock (loop.h, L3). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/engine.h"

struct thread {
    pthread_t id;
    bool begun;
    struct ld_engine *engine;
    struct ld_loop loop;
};

struct ld_engine {
    struct ld_engine_setup setup;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned connected, failed; /* under lock */
    bool released, abandoned;   /* under lock */
    int64_t measure_start_ns;   /* under lock, set with released */
    char *whys[LD_WHYS_MAX];    /* under lock */
    unsigned why_count;
    atomic_uint ended;
    unsigned thread_count;
    struct thread threads[];
};

static void on_wrong(void *arg, bool allow, const char *class, const char *why)
{
    struct ld_engine *e = arg;
    pthread_mutex_lock(&e->lock);
    /* The last place is kept for a wrong allow: it must not drown in others. */
    if (e->why_count + !allow < LD_WHYS_MAX) {
        const char *kind = allow ? "WRONG ALLOW" : "wrong answer";
        if (asprintf(&e->whys[e->why_count], "%s (%s): %s", kind, class, why) >= 0)
            fprintf(stderr, "portcullis-load: %s\n", e->whys[e->why_count++]);
    }
    pthread_mutex_unlock(&e->lock);
}

/* Says how opening went and waits to be let go. false: the run does not take place. */
static bool wait_for_release(struct ld_engine *e, bool opened)
{
    pthread_mutex_lock(&e->lock);
    e->connected += opened;
    e->failed += !opened;
    pthread_cond_broadcast(&e->changed);
    while (!e->released && !e->abandoned)
        pthread_cond_wait(&e->changed, &e->lock);
    const bool go = e->released;
    pthread_mutex_unlock(&e->lock);
    return go && opened;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct ld_engine *e = t->engine;
    if (wait_for_release(e, ld_loop_open(&t->loop)))
        ld_loop_run(&t->loop, e->measure_start_ns);
    ld_loop_close(&t->loop);
    atomic_fetch_add_explicit(&e->ended, 1, memory_order_release);
    return NULL;
}

/* Thread i's part of n things. */
static unsigned part_of(unsigned n, unsigned i, unsigned threads)
{
    return n / threads + (i < n % threads);
}

static void prepare(struct ld_engine *e, unsigned i)
{
    const struct ld_engine_setup *s = &e->setup;
    struct ld_loop *l = &e->threads[i].loop;
    const unsigned n = s->threads, idle = s->plan.supply->idle_connections;
    const uint64_t count = s->plan.request_count;
    e->threads[i].engine = e;
    l->plan = &e->setup.plan;
    l->place = (struct ld_place){.thread = i,
                                 .threads = n,
                                 .connections = part_of(s->connections, i, n),
                                 .idle = part_of(idle, i, n),
                                 .all_connections = s->connections,
                                 .all_idle = idle,
                                 .seed = ld_schedule_seed(s->seed, i),
                                 .warmup_ns = s->plan.warmup_ns,
                                 .duration_ns = s->plan.duration_ns};
    for (unsigned k = 0; k < i; k++)
        l->place.first_connection += part_of(s->connections, k, n);
    l->may_send = count ? count / n + (i < count % n) : UINT64_MAX;
    l->stop = s->stop;
    l->wrong = on_wrong;
    l->wrong_arg = e;
}

static bool start_thread(struct ld_engine *e, unsigned i, struct ld_problem *problem)
{
    const struct ld_engine_setup *s = &e->setup;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (s->cpu_count) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(s->cpus[i % s->cpu_count], &set);
        pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
    }
    const int err = pthread_create(&e->threads[i].id, &attr, thread_main, &e->threads[i]);
    pthread_attr_destroy(&attr);
    e->threads[i].begun = err == 0;
    return err == 0 ? true
                    : ld_problem_set(problem, "thread %u on CPU %u: %s", i,
                                     s->cpu_count ? s->cpus[i % s->cpu_count] : 0, strerror(err));
}

static void join_all(struct ld_engine *e)
{
    for (unsigned i = 0; i < e->thread_count; i++)
        if (e->threads[i].begun)
            pthread_join(e->threads[i].id, NULL);
    for (unsigned i = 0; i < e->thread_count; i++)
        e->threads[i].begun = false;
}

static void abandon(struct ld_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->abandoned = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    join_all(e);
}

static bool wait_connected(struct ld_engine *e, struct ld_problem *problem)
{
    pthread_mutex_lock(&e->lock);
    while (e->connected + e->failed < e->thread_count)
        pthread_cond_wait(&e->changed, &e->lock);
    const bool good = e->failed == 0;
    pthread_mutex_unlock(&e->lock);
    for (unsigned i = 0; !good && i < e->thread_count; i++)
        if (e->threads[i].loop.problem.text[0])
            *problem = e->threads[i].loop.problem;
    return good;
}

struct ld_engine *ld_engine_open(const struct ld_engine_setup *setup, struct ld_problem *problem)
{
    struct ld_engine *e = calloc(1, sizeof(*e) + setup->threads * sizeof(e->threads[0]));
    if (!e) {
        ld_problem_set(problem, "no memory");
        return NULL;
    }
    e->setup = *setup;
    e->thread_count = setup->threads;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    bool good = true;
    for (unsigned i = 0; i < e->thread_count; i++)
        prepare(e, i);
    for (unsigned i = 0; good && i < e->thread_count; i++)
        good = start_thread(e, i, problem);
    if (good && wait_connected(e, problem))
        return e;
    abandon(e);
    ld_engine_close(e);
    return NULL;
}

void ld_engine_start(struct ld_engine *e, int64_t measure_start_ns)
{
    pthread_mutex_lock(&e->lock);
    e->measure_start_ns = measure_start_ns;
    e->released = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

bool ld_engine_collect(struct ld_engine *e, struct ld_tally *into)
{
    bool any_measured = false;
    for (unsigned i = 0; i < e->thread_count; i++) {
        const struct ld_tally *t =
            atomic_load_explicit(&e->threads[i].loop.ready, memory_order_acquire);
        if (!t)
            return false;
        any_measured |= !t->warmup;
    }
    for (unsigned i = 0; i < e->thread_count; i++) {
        struct ld_loop *l = &e->threads[i].loop;
        struct ld_tally *t = atomic_load_explicit(&l->ready, memory_order_acquire);
        /* A thread may be an interval ahead of another if main was late: what was measured is not
         * thrown away with the other's warm-up. */
        if (!t->warmup || !any_measured)
            ld_tally_merge(into, t);
        ld_tally_reset(t);
        atomic_store_explicit(&l->ready, NULL, memory_order_relaxed);
        atomic_store_explicit(&l->spare, t, memory_order_release); /* L3: after ready is empty */
    }
    return true;
}

bool ld_engine_ended(struct ld_engine *e)
{
    return atomic_load_explicit(&e->ended, memory_order_acquire) == e->thread_count;
}

bool ld_engine_finish(struct ld_engine *e, struct ld_tally *into, struct ld_tally *drain,
                      struct ld_problem *problem)
{
    join_all(e);
    for (unsigned i = 0; i < e->thread_count; i++) {
        struct ld_loop *l = &e->threads[i].loop;
        struct ld_tally *ready = atomic_load_explicit(&l->ready, memory_order_acquire);
        if (l->problem.text[0]) {
            *problem = l->problem;
            return false;
        }
        if (ready && !ready->warmup)
            ld_tally_merge(into, ready);
        if (l->measuring)
            ld_tally_merge(into, l->last);
        ld_tally_merge(drain, l->drain);
    }
    return true;
}

struct ld_engine_totals ld_engine_totals(const struct ld_engine *e)
{
    struct ld_engine_totals t = {0};
    for (unsigned i = 0; i < e->thread_count; i++) {
        const struct ld_loop *l = &e->threads[i].loop;
        t.answered += l->answered_ever;
        t.wrong += l->wrong_ever;
        t.wrong_allows += l->wrong_allows_ever;
    }
    return t;
}

bool ld_engine_interrupted(const struct ld_engine *e)
{
    bool any = false;
    for (unsigned i = 0; i < e->thread_count; i++)
        any |= e->threads[i].loop.interrupted;
    return any;
}

void ld_engine_take_whys(struct ld_engine *e, char *whys[LD_WHYS_MAX])
{
    memcpy(whys, e->whys, sizeof(e->whys));
    memset(e->whys, 0, sizeof(e->whys));
}

/* The counts of a loop, wherever they are: active, handed over, or given back. */
static void free_tallies(struct ld_loop *l)
{
    free(atomic_load_explicit(&l->ready, memory_order_relaxed));
    free(atomic_load_explicit(&l->spare, memory_order_relaxed));
    if (l->last) {
        free(l->last); /* active is the drain by then */
        free(l->drain);
    } else {
        free(l->active);
        free(l->drain);
    }
}

void ld_engine_close(struct ld_engine *e)
{
    for (unsigned i = 0; i < e->thread_count; i++)
        free_tallies(&e->threads[i].loop);
    for (unsigned i = 0; i < LD_WHYS_MAX; i++)
        free(e->whys[i]);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->changed);
    free(e);
}
