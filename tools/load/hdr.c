/* SPDX-License-Identifier: Apache-2.0
 * The histogram of hdr.h: what is not on the way of every answer. */
#include <string.h>

#include "load/hdr.h"

enum { HALF = 1 << LD_HDR_HALF_BITS };

void ld_hdr_reset(struct ld_hdr *h)
{
    if (h->count || h->saturated)
        memset(h->counts, 0, sizeof(h->counts));
    h->count = h->saturated = 0;
    h->min_ns = h->max_ns = 0;
    h->sum_ns = 0;
}

void ld_hdr_record_n(struct ld_hdr *h, int64_t ns, uint64_t n)
{
    if (n == 0)
        return;
    if (ns < 0)
        ns = 0;
    if (ns > LD_HDR_HIGHEST_NS) {
        ns = LD_HDR_HIGHEST_NS;
        h->saturated += n;
    }
    h->min_ns = h->count ? pc_min_i64(h->min_ns, ns) : ns;
    h->max_ns = h->count ? pc_max_i64(h->max_ns, ns) : ns;
    h->counts[ld_hdr_slot(ns)] += n;
    h->count += n;
    h->sum_ns += (double)ns * (double)n;
}

void ld_hdr_merge(struct ld_hdr *into, const struct ld_hdr *from)
{
    if (from->count == 0)
        return;
    into->min_ns = into->count ? pc_min_i64(into->min_ns, from->min_ns) : from->min_ns;
    into->max_ns = into->count ? pc_max_i64(into->max_ns, from->max_ns) : from->max_ns;
    into->count += from->count;
    into->saturated += from->saturated;
    into->sum_ns += from->sum_ns;
    const unsigned last = ld_hdr_slot(from->max_ns);
    for (unsigned i = ld_hdr_slot(from->min_ns); i <= last; i++)
        into->counts[i] += from->counts[i];
}

/* Slots below 2·HALF are one wide; from there HALF slots to each doubling. */
static unsigned slot_shift(unsigned slot)
{
    return slot < 2 * HALF ? 0 : (slot >> LD_HDR_HALF_BITS) - 1;
}

int64_t ld_hdr_slot_low_ns(unsigned slot)
{
    const unsigned k = slot_shift(slot);
    PC_ASSERT(slot < LD_HDR_SLOTS);
    return (int64_t)(slot - (k << LD_HDR_HALF_BITS)) << k;
}

int64_t ld_hdr_slot_high_ns(unsigned slot)
{
    return ld_hdr_slot_low_ns(slot) + (INT64_C(1) << slot_shift(slot)) - 1;
}

int64_t ld_hdr_percentile_ns(const struct ld_hdr *h, double q)
{
    const double exact = q * (double)h->count;
    /* The smallest count that is at least the share; what rounding adds must not move it. */
    uint64_t target = (uint64_t)(exact * (1 - 1e-12));
    if ((double)target < exact * (1 - 1e-12))
        target++;
    target = pc_min_u64(pc_max_u64(target, 1), h->count);
    for (struct ld_hdr_step step = {0}; ld_hdr_next(h, &step);)
        if (step.up_to >= target)
            return pc_min_i64(step.high_ns, h->max_ns);
    return 0;
}

double ld_hdr_mean_ns(const struct ld_hdr *h)
{
    return h->count ? h->sum_ns / (double)h->count : 0;
}

bool ld_hdr_next(const struct ld_hdr *h, struct ld_hdr_step *step)
{
    if (step->up_to >= h->count)
        return false;
    unsigned i = step->slot;
    while (i < LD_HDR_SLOTS && h->counts[i] == 0)
        i++;
    PC_ASSERT(i < LD_HDR_SLOTS); /* count is the sum of counts */
    *step = (struct ld_hdr_step){.slot = i + 1,
                                 .high_ns = ld_hdr_slot_high_ns(i),
                                 .count = h->counts[i],
                                 .up_to = step->up_to + h->counts[i]};
    return true;
}
