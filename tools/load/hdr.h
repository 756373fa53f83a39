/* SPDX-License-Identifier: Apache-2.0
 * A histogram of times with three significant decimal digits from 1 ns to an hour, in fixed memory
 * (about 264 KiB): the layout of HdrHistogram, so that its log format needs no conversion.
 *
 *     bucket 0: values 0 .. 2047, one slot each
 *     bucket k: values 1024·2^k .. 2048·2^k - 1, 1024 slots of width 2^k      (k = 1 .. 31)
 *
 * A slot is at most 1/1024 of its value wide. A value beyond the range counts as the largest one
 * and in `saturated`; percentiles are the highest value equivalent to the slot's (so never less
 * than what was recorded), but never more than max. One owner at a time; no locks. */
#ifndef LD_HDR_H
#define LD_HDR_H

#include "base/def.h"

enum {
    LD_HDR_DIGITS = 3,
    LD_HDR_HALF_BITS = 10, /* 2^10 slots per bucket: half a sub-bucket range of 2048 */
    LD_HDR_BUCKETS = 32,
    LD_HDR_SLOTS = (LD_HDR_BUCKETS + 1) << LD_HDR_HALF_BITS,
};
#define LD_HDR_LOWEST_NS  INT64_C(1)
#define LD_HDR_HIGHEST_NS INT64_C(3600000000000)

struct ld_hdr {
    uint64_t count; /* sum of counts */
    uint64_t saturated;
    int64_t min_ns, max_ns; /* exact (clamped to the range); undefined while count is 0 */
    double sum_ns;
    uint64_t counts[LD_HDR_SLOTS];
};

void ld_hdr_reset(struct ld_hdr *);
void ld_hdr_record_n(struct ld_hdr *, int64_t ns, uint64_t n); /* negative counts as 0 */
void ld_hdr_merge(struct ld_hdr *into, const struct ld_hdr *from);

static inline unsigned ld_hdr_slot(int64_t ns)
{
    const unsigned k = 63 - LD_HDR_HALF_BITS -
                       (unsigned)__builtin_clzll((uint64_t)ns | ((2U << LD_HDR_HALF_BITS) - 1));
    return (k << LD_HDR_HALF_BITS) + (unsigned)(ns >> k);
}

/* Lowest and highest value of a slot. */
int64_t ld_hdr_slot_low_ns(unsigned slot);
int64_t ld_hdr_slot_high_ns(unsigned slot);

static inline void ld_hdr_record(struct ld_hdr *h, int64_t ns)
{
    if (PC_LIKELY(ns >= 0 && ns <= LD_HDR_HIGHEST_NS && h->count)) {
        h->counts[ld_hdr_slot(ns)]++;
        h->count++;
        h->sum_ns += (double)ns;
        if (ns > h->max_ns)
            h->max_ns = ns;
        if (ns < h->min_ns)
            h->min_ns = ns;
        return;
    }
    ld_hdr_record_n(h, ns, 1);
}

/* The value at or below which the share q (0 … 1) of the recorded ones lies; 0 when empty. */
int64_t ld_hdr_percentile_ns(const struct ld_hdr *, double q);
double ld_hdr_mean_ns(const struct ld_hdr *); /* 0 when empty */

/* The used slots from the lowest up. Begin with slot = 0; false: no more. */
struct ld_hdr_step {
    unsigned slot;   /* where to go on */
    int64_t high_ns; /* of the slot found */
    uint64_t count;  /* in it */
    uint64_t up_to;  /* in it and below */
};
bool ld_hdr_next(const struct ld_hdr *, struct ld_hdr_step *);

#endif
