/* SPDX-License-Identifier: Apache-2.0
 * Hybrid logical clock (Kulkarni et al. 2014): milliseconds << 16 | counter.
 *
 * Owned by the writer thread. Strictly increasing, never behind the wall clock it is given, and
 * carried on from the journal after a restart, so that a clock set back cannot make a newer
 * revocation look older. */
#ifndef PC_WRITER_HLC_H
#define PC_WRITER_HLC_H

#include "base/def.h"

struct pc_hlc {
    uint64_t last;
};

static inline int64_t pc_hlc_ms(uint64_t stamp)
{
    return (int64_t)(stamp >> 16);
}

/* The next stamp. The counter carries into the milliseconds when one millisecond sees more than
 * 65,536 events. */
static inline uint64_t pc_hlc_next(struct pc_hlc *h, int64_t wall_ms)
{
    uint64_t physical = wall_ms > 0 ? (uint64_t)wall_ms << 16 : 0;
    h->last = pc_max_u64(h->last + 1, physical);
    return h->last;
}

/* Never issue a stamp at or below one that was seen (a journal record of our own). */
static inline void pc_hlc_seen(struct pc_hlc *h, uint64_t stamp)
{
    h->last = pc_max_u64(h->last, stamp);
}

#endif
