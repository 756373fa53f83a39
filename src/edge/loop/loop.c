/* SPDX-License-Identifier: Apache-2.0
 * The set of cores: allocation, start-up with one answer for all, stop, join, and what other
 * threads may ask. Runs on the controlling thread, except core_main(). */
#include "edge/loop/internal.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- configuration ---- */

static void default_unsigned(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void default_size(size_t *value, size_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void set_defaults(struct pc_loop_config *c)
{
    default_unsigned(&c->cores, 1);
    default_unsigned(&c->mailbox_entries, 1024);
    default_unsigned(&c->ring_entries, 1024);
    default_unsigned(&c->recv_buffers, 256);
    default_unsigned(&c->recv_buffer_bytes, 16384);
    default_unsigned(&c->connections_max, 16384);
    default_size(&c->output_max_bytes, 256 << 10);
    default_size(&c->output_hard_max_bytes, 64 << 20);
    default_size(&c->pool_bytes, 16 << 20);
    default_unsigned(&c->send_stall_ms, 30000);
    default_unsigned(&c->linger_ms, 1000);
    default_unsigned(&c->overload_ms, 5);
    default_unsigned(&c->accept_retry_ms, 100);
}

static int check_config(const struct pc_loop_config *c, struct pc_why *why)
{
    if (c->cores > PC_CORES_MAX)
        return pc_fail(why, -EINVAL, "%u cores; at most %u are supported", c->cores, PC_CORES_MAX);
    if (c->listener_count > PC_LISTENERS_MAX)
        return pc_fail(why, -EINVAL, "%u listeners; at most %u are supported", c->listener_count,
                       PC_LISTENERS_MAX);
    if (c->recv_buffers & (c->recv_buffers - 1) || c->recv_buffers > 32768)
        return pc_fail(why, -EINVAL, "%u receive buffers: must be a power of two up to 32768",
                       c->recv_buffers);
    if (c->ring_entries > 32768)
        return pc_fail(why, -EINVAL, "%u ring entries; at most 32768", c->ring_entries);
    if (c->connections_max > PC_SLOTS_MAX - CONN_BLOCK)
        return pc_fail(why, -EINVAL, "%u connections per core; at most %u", c->connections_max,
                       PC_SLOTS_MAX - CONN_BLOCK);
    for (unsigned i = 0; i < c->listener_count; i++)
        if (!c->listeners[i].protocol || !c->listeners[i].protocol->input)
            return pc_fail(why, -EINVAL, "listener %u has no protocol", i);
    return 0;
}

/* ---- allocation ---- */

static void core_free(struct core *k)
{
    if (!k)
        return;
    for (unsigned i = 0; k->mailbox && i < k->producers; i++)
        pc_spsc_free(k->mailbox[i]);
    free(k->mailbox);
    free(k->blocks);
    pc_waker_free(k->waker);
    free(k);
}

static int core_new(struct pc_loop *loop, unsigned index, struct core **ret_core)
{
    size_t bytes = (sizeof(struct core) + PC_CACHE_LINE - 1) & ~(size_t)(PC_CACHE_LINE - 1);
    struct core *k = aligned_alloc(PC_CACHE_LINE, bytes);
    if (!k)
        return -ENOMEM;
    memset(k, 0, bytes);
    k->pub.loop = loop;
    k->pub.user = loop->config.user;
    k->pub.index = (uint16_t)index;
    k->config = &loop->config;
    k->work_last = &k->work_first;
    k->stop_ns = k->timers_due_ns = k->accept_retry_ns = INT64_MAX;
    k->pool.keep_max_bytes = loop->config.pool_bytes;
    k->pool.faults = loop->config.faults;
    k->producers = loop->config.cores + loop->config.extra_producers;
    /* A few more than connections_max: acceptors count before they hand over. */
    k->block_max = loop->config.connections_max / CONN_BLOCK + 2;
    k->blocks = calloc(k->block_max, sizeof *k->blocks);
    k->mailbox = calloc(k->producers, sizeof(struct pc_spsc *));
    int err = k->blocks && k->mailbox ? pc_waker_new(&k->waker) : -ENOMEM;
    for (unsigned i = 0; i < k->producers && !err; i++)
        err = pc_spsc_new(i < loop->config.cores ? CORE_MAILBOX : loop->config.mailbox_entries,
                          &k->mailbox[i]);
    if (err) {
        core_free(k);
        return err;
    }
    *ret_core = k;
    return 0;
}

static void free_cores(struct pc_loop *loop)
{
    for (unsigned i = 0; loop->cores && i < loop->config.cores; i++)
        core_free(loop->cores[i]);
    free(loop->cores);
    pthread_cond_destroy(&loop->changed);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

int pc_loop_new(const struct pc_loop_config *config, struct pc_loop **ret_loop, struct pc_why *why)
{
    struct pc_loop_config checked = *config;
    set_defaults(&checked);
    int err = check_config(&checked, why);
    if (err)
        return err;
    struct pc_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return pc_fail(why, -ENOMEM, "no memory for the event loop");
    loop->config = checked;
    for (unsigned i = 0; i < checked.listener_count; i++)
        loop->listeners[i] = checked.listeners[i];
    loop->config.listeners = loop->listeners;
    for (unsigned i = 0; i < checked.cores && checked.cpus; i++)
        loop->cpus[i] = checked.cpus[i];
    loop->config.cpus = checked.cpus ? loop->cpus : NULL;
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->changed, NULL);
    atomic_init(&loop->stop_ns, INT64_MAX);
    PC_ASSERT(checked.cores > 0);
    loop->cores = calloc(checked.cores, sizeof *loop->cores);
    err = loop->cores ? 0 : -ENOMEM;
    for (unsigned i = 0; i < checked.cores && !err; i++)
        err = core_new(loop, i, &loop->cores[i]);
    if (err) {
        free_cores(loop);
        return pc_fail(why, err, "cannot allocate %u cores: %s", checked.cores, pc_strerror(err));
    }
    *ret_loop = loop;
    return 0;
}

void pc_loop_free(struct pc_loop *loop)
{
    if (!loop)
        return;
    PC_ASSERT(!loop->started || loop->joined);
    for (unsigned i = 0; i < loop->config.cores; i++)
        mailbox_discard(loop->cores[i]);
    for (unsigned i = 0; i < loop->config.listener_count; i++)
        if (loop->listeners[i].fd >= 0)
            close(loop->listeners[i].fd);
    free_cores(loop);
}

/* ---- a core's thread ---- */

static int pin(unsigned index, int cpu, struct pc_why *why)
{
    cpu_set_t set;
    if (cpu < 0)
        return 0;
    if (cpu >= CPU_SETSIZE)
        return pc_fail(why, -EINVAL, "core %u: there is no CPU %d", index, cpu);
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        return pc_fail(why, -errno, "core %u cannot be pinned to CPU %d: %s", index, cpu,
                       pc_strerror(-errno));
    return 0;
}

static int core_begin(struct core *k, struct pc_why *why)
{
    const struct pc_loop_config *c = k->config;
    char name[16];
    snprintf(name, sizeof name, "pc-core-%u", (unsigned)k->pub.index);
    (void)pthread_setname_np(k->self, name); /* for people only */
    int err = c->cpus ? pin(k->pub.index, c->cpus[k->pub.index], why) : 0;
    if (err)
        return err;
    struct ring_config rc = {.entries = c->ring_entries,
                             .recv_buffers = c->recv_buffers,
                             .recv_buffer_bytes = c->recv_buffer_bytes,
                             .masked_features = c->masked_features,
                             .faults = c->faults};
    err = ring_open(&k->ring, &rc, why);
    if (err)
        return err;
    k->pub.now_ns = core_mono_ns(k);
    k->pub.now_ms = core_wall_ms(k);
    wheel_init(&k->wheel, k->pub.now_ns);
    overload_init(&k->overload, (int64_t)c->overload_ms * 1000000, k->pub.now_ns);
    return c->hooks.thread_start ? c->hooks.thread_start(&k->pub, why) : 0;
}

/* Also after a start that failed, but not before all cores have reported. */
static void core_end(struct core *k)
{
    ring_close(&k->ring);
    conns_free(k);
    pool_empty(&k->pool);
}

/* Reports how the start went and waits for the others. True: run. */
static bool report_and_wait(struct core *k, int err, const struct pc_why *why)
{
    struct pc_loop *loop = k->pub.loop;
    pthread_mutex_lock(&loop->lock);
    loop->ready++;
    if (err) {
        loop->failed++;
        if (!loop->err) {
            loop->err = err;
            loop->why = *why;
        }
    } else {
        loop->features = k->ring.features;
    }
    pthread_cond_broadcast(&loop->changed);
    while (!loop->go && !loop->give_up)
        pthread_cond_wait(&loop->changed, &loop->lock);
    bool run = loop->go;
    pthread_mutex_unlock(&loop->lock);
    return run;
}

static void *core_main(void *arg)
{
    struct core *k = arg;
    struct pc_why why = {""};
    k->self = pthread_self();
    int err = core_begin(k, &why);
    bool run = report_and_wait(k, err, &why);
    if (run)
        core_run(k);
    if (!err && k->config->hooks.thread_stop)
        k->config->hooks.thread_stop(&k->pub);
    core_end(k);
    return NULL;
}

/* ---- start and stop ---- */

static int make_threads(struct pc_loop *loop, struct pc_why *why)
{
    sigset_t all, before;
    int err = 0;
    /* Signals are the main thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < loop->config.cores && !err; i++) {
        struct core *k = loop->cores[i];
        err = -pthread_create(&k->thread, NULL, core_main, k);
        k->thread_made = !err;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        return pc_fail(why, err, "cannot start the core threads: %s", pc_strerror(err));
    return 0;
}

static void join_threads(struct pc_loop *loop)
{
    for (unsigned i = 0; i < loop->config.cores; i++) {
        if (loop->cores[i]->thread_made)
            pthread_join(loop->cores[i]->thread, NULL);
        loop->cores[i]->thread_made = false;
    }
    loop->joined = true;
}

int pc_loop_start(struct pc_loop *loop, struct pc_why *why)
{
    PC_ASSERT(!loop->started);
    loop->started = true;
    int err = make_threads(loop, why);
    unsigned made = 0;
    for (unsigned i = 0; i < loop->config.cores; i++)
        made += loop->cores[i]->thread_made;
    pthread_mutex_lock(&loop->lock);
    while (loop->ready < made)
        pthread_cond_wait(&loop->changed, &loop->lock);
    if (!err && loop->err) {
        err = loop->err;
        if (why)
            *why = loop->why;
    }
    loop->go = !err;
    loop->give_up = err != 0;
    pthread_cond_broadcast(&loop->changed);
    pthread_mutex_unlock(&loop->lock);
    if (err)
        join_threads(loop);
    return err;
}

void pc_loop_stop(struct pc_loop *loop, unsigned grace_ms)
{
    int64_t at = core_mono_ns(loop->cores[0]) + (int64_t)grace_ms * 1000000;
    int64_t before = atomic_load_explicit(&loop->stop_ns, memory_order_relaxed);
    /* A second stop can only come sooner. */
    while (at < before &&
           !atomic_compare_exchange_weak_explicit(&loop->stop_ns, &before, at, memory_order_release,
                                                  memory_order_relaxed))
        ;
    for (unsigned i = 0; i < loop->config.cores; i++)
        pc_core_notify(&loop->cores[i]->pub);
}

void pc_loop_join(struct pc_loop *loop)
{
    PC_ASSERT(loop->started);
    if (!loop->joined)
        join_threads(loop);
}

/* ---- questions ---- */

unsigned pc_loop_cores(const struct pc_loop *loop)
{
    return loop->config.cores;
}

struct pc_core *pc_loop_core(struct pc_loop *loop, unsigned index)
{
    PC_ASSERT(index < loop->config.cores);
    return &loop->cores[index]->pub;
}

uint32_t pc_loop_features(const struct pc_loop *loop)
{
    return loop->features;
}

void pc_core_counters(const struct pc_core *core, struct pc_core_counters *ret_counters)
{
    const struct core_shared *s = &core_in_const(core)->shared;
#define COPY_COUNTER(name, help)                                                                   \
    ret_counters->name = atomic_load_explicit(&s->name, memory_order_relaxed);
    PC_CORE_COUNTERS(COPY_COUNTER)
#undef COPY_COUNTER
    ret_counters->connections = atomic_load_explicit(&s->connections, memory_order_relaxed);
    ret_counters->queue_delay_ns = atomic_load_explicit(&s->queue_delay_ns, memory_order_relaxed);
    ret_counters->pool_bytes = atomic_load_explicit(&s->pool_bytes, memory_order_relaxed);
}

bool pc_core_overloaded(const struct pc_core *core)
{
    const struct core *k = core_in_const(core);
    return atomic_load_explicit(&k->shared.overloaded, memory_order_relaxed);
}

void pc_core_assert_on(const struct pc_core *core)
{
    PC_ASSERT(pthread_equal(pthread_self(), core_in_const(core)->self));
}
