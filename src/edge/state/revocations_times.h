/* SPDX-License-Identifier: Apache-2.0
 * The times of a revocation as the tables keep them: 40-bit numbers in columns, merged by maximum.
 * Private to edge/state/revocations*. Pure.
 *
 *   0              never set; orders before every time
 *   1 … 2^40 - 2   milliseconds since the beginning of 2024
 *   2^40 - 1       never ends */
#ifndef PC_EDGE_STATE_REVOCATIONS_TIMES_H
#define PC_EDGE_STATE_REVOCATIONS_TIMES_H

#include <string.h>

#include "base/def.h"

#define PC_REV_EPOCH_MS   INT64_C(1704067200000)
#define PC_REV_TIME_NEVER (((uint64_t)1 << 40) - 1)
#define PC_REV_TIME_BYTES 5

/* Columns of a record. */
enum { PC_REV_EXPIRY, PC_REV_REVOKED, PC_REV_CUTOFF, PC_REV_CLEARED, PC_REV_COLUMNS };

struct pc_rev_times {
    uint64_t at[PC_REV_COLUMNS];
};

/* What lies outside is held at the ends. Whole milliseconds are kept exactly, so there is nothing
 * to round between them. INT64_MIN is "never set". */
static inline uint64_t pc_rev_time_encode(int64_t ms)
{
    if (ms == INT64_MIN)
        return 0;
    if (ms <= PC_REV_EPOCH_MS)
        return 1;
    return pc_min_u64((uint64_t)(ms - PC_REV_EPOCH_MS), PC_REV_TIME_NEVER);
}

static inline int64_t pc_rev_time_decode(uint64_t time)
{
    if (time == 0)
        return INT64_MIN;
    return time == PC_REV_TIME_NEVER ? INT64_MAX : PC_REV_EPOCH_MS + (int64_t)time;
}

/* In a record: five bytes, low byte first. */
static inline uint64_t pc_rev_time_load(const uint8_t *p)
{
    uint32_t low;
    memcpy(&low, p, sizeof low);
    return low | (uint64_t)p[4] << 32;
}

static inline void pc_rev_time_store(uint8_t *p, uint64_t time)
{
    uint32_t low = (uint32_t)time;
    memcpy(p, &low, sizeof low);
    p[4] = (uint8_t)(time >> 32);
}

static inline void pc_rev_times_merge(struct pc_rev_times *into, const struct pc_rev_times *from)
{
    for (unsigned c = 0; c < PC_REV_COLUMNS; c++)
        into->at[c] = pc_max_u64(into->at[c], from->at[c]);
}

#endif
