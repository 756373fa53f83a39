/* SPDX-License-Identifier: Apache-2.0
 * Counters, gauges and latency histograms, and their Prometheus text.
 *
 * Every thread that counts has its own block: one per core, one for the writer, one for the main
 * thread. The tables below (PC_METRICS, PC_HISTOGRAMS) are the complete list; a slot is an index
 * known at compile time, so counting is one load and one store.
 *
 * Invariants (cited in metrics.c and its tests):
 *   I1  only its owner writes a block: plain arithmetic and a relaxed atomic store; anyone may read
 *       with relaxed loads. A reader may see counters of slightly different moments, never a torn
 * one. I2  counters never decrease; a rendered histogram has non-decreasing buckets and its +Inf
 *       bucket equals its count.
 *   I3  labels come from fixed sets only: never an id, an address or anything a client sent. */
#ifndef PC_BASE_METRICS_H
#define PC_BASE_METRICS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/metrics_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Slots: PC_M_<ID>. A vector V(ID, size, …) has slots PC_M_<ID> … PC_M_<ID> + size - 1. */
enum pc_metric {
#define PC_METRIC_F(name, type, scope, help)
#define PC_METRIC_S(id, labels) PC_M_##id,
#define PC_METRIC_V(id, size)   PC_M_##id, PC_M_##id##_LAST = PC_M_##id + (size)-1,
    PC_METRICS(PC_METRIC_F, PC_METRIC_S, PC_METRIC_V)
#undef PC_METRIC_F
#undef PC_METRIC_S
#undef PC_METRIC_V
        PC_M_COUNT
};

enum pc_histogram {
#define PC_HISTOGRAM_F(name, scale, first, last, help)
#define PC_HISTOGRAM_S(id, labels) PC_H_##id,
    PC_HISTOGRAMS(PC_HISTOGRAM_F, PC_HISTOGRAM_S)
#undef PC_HISTOGRAM_F
#undef PC_HISTOGRAM_S
        PC_H_COUNT
};

/* Log-linear buckets: values below 4 have their own; above, each power of two is split in 4, so a
 * bucket is at most 25 % wide. 2^42 ns is 73 minutes; larger values count in the last bucket. */
#define PC_HISTOGRAM_BUCKETS 164

struct pc_histogram_data {
    uint64_t sum;
    uint64_t bucket[PC_HISTOGRAM_BUCKETS];
};

struct pc_metrics_block {
    uint64_t slot[PC_M_COUNT];
    struct pc_histogram_data histogram[PC_H_COUNT];
} PC_ALIGNED_LINE;

/* Owner only (I1). */
static inline void pc_metric_add(struct pc_metrics_block *b, unsigned slot, uint64_t n)
{
    PC_ASSERT_SLOW(slot < PC_M_COUNT);
    __atomic_store_n(&b->slot[slot], b->slot[slot] + n, __ATOMIC_RELAXED);
}

static inline void pc_metric_inc(struct pc_metrics_block *b, unsigned slot)
{
    pc_metric_add(b, slot, 1);
}

/* Gauges only. A sum over blocks is rendered, so one block may hold what another took away. */
static inline void pc_metric_sub(struct pc_metrics_block *b, unsigned slot, uint64_t n)
{
    pc_metric_add(b, slot, 0 - n);
}

static inline void pc_metric_set(struct pc_metrics_block *b, unsigned slot, uint64_t value)
{
    PC_ASSERT_SLOW(slot < PC_M_COUNT);
    __atomic_store_n(&b->slot[slot], value, __ATOMIC_RELAXED);
}

static inline uint64_t pc_metric_get(const struct pc_metrics_block *b, unsigned slot)
{
    return __atomic_load_n(&b->slot[slot], __ATOMIC_RELAXED);
}

static inline unsigned pc_histogram_bucket_of(uint64_t value)
{
    if (value < 4)
        return (unsigned)value;
    unsigned e = 63 - (unsigned)__builtin_clzll(value);
    unsigned at = (e - 1) * 4 + (unsigned)((value >> (e - 2)) & 3);
    return at < PC_HISTOGRAM_BUCKETS ? at : PC_HISTOGRAM_BUCKETS - 1;
}

/* Counts value (nanoseconds, or the unit of the table's row) n times: a turn that answers 16
 * pipelined requests together may record them in one call. Owner only. */
static inline void pc_histogram_record(struct pc_metrics_block *b, unsigned histogram,
                                       uint64_t value, uint64_t n)
{
    struct pc_histogram_data *h = &b->histogram[histogram];
    uint64_t *bucket = &h->bucket[pc_histogram_bucket_of(value)];
    __atomic_store_n(bucket, *bucket + n, __ATOMIC_RELAXED);
    __atomic_store_n(&h->sum, h->sum + value * n, __ATOMIC_RELAXED);
}

/* Label texts of the vectors, for instance `result="deny",code="TOKEN_EXPIRED"`, literals that
 * the layer above owns; rows after the count stay out of the output. */
struct pc_metrics_labels {
    const char *const *texts;
    unsigned count;
};
struct pc_metrics_names {
    struct pc_metrics_labels decisions, shadow_decisions, resp_commands;
};

struct pc_metrics;

/* Blocks for `cores` cores, the writer and the main thread, all zero. */
int pc_metrics_create(unsigned cores, const struct pc_metrics_names *names,
                      struct pc_metrics **ret_metrics);
void pc_metrics_destroy(struct pc_metrics *m);
struct pc_metrics_block *pc_metrics_core(struct pc_metrics *m, unsigned core);
struct pc_metrics_block *pc_metrics_writer(struct pc_metrics *m);
struct pc_metrics_block *pc_metrics_main(struct pc_metrics *m);

/* Sums over all blocks; any thread. */
uint64_t pc_metrics_total(const struct pc_metrics *m, unsigned slot);
/* The value below which the fraction q (0 … 1) of all recorded ones lie: the upper end of its
 * bucket; 0 when nothing was recorded. */
uint64_t pc_metrics_quantile(const struct pc_metrics *m, unsigned histogram, double q);

/* What the renderer says about the process; sampled by the thread that renders (system calls). */
struct pc_metrics_process {
    uint64_t rss_bytes, virtual_bytes, open_fds, max_fds, threads;
    double cpu_seconds, start_time_seconds;
    const char *version, *compiler, *crypto; /* build info; literals, any may be NULL */
};
void pc_metrics_sample_process(struct pc_metrics_process *ret_process);

/* No rendering is longer (asserted by a test with every slot at its longest). */
#define PC_METRICS_TEXT_MAX (256 * 1024)
/* Appends the Prometheus text (version 0.0.4). Any thread; touches no core. */
void pc_metrics_render(const struct pc_metrics *m, const struct pc_metrics_process *process,
                       struct pc_buf *b);
#define PC_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#ifdef __cplusplus
}
#endif
#endif
