/* SPDX-License-Identifier: Apache-2.0
 * How readers, and the writer before it inserts, walk the groups of a segment from a fingerprint's
 * home group on. Private to edge/state/revocations*. Any core that holds the segment by RCU; the
 * layout, S1 to S6 and why this may run beside the writer are in revocations_segment.h. Writes
 * nothing, owns nothing. */
#ifndef PC_EDGE_STATE_REVOCATIONS_WALK_H
#define PC_EDGE_STATE_REVOCATIONS_WALK_H

#include "edge/state/revocations_segment.h"

#if !PC_PORTABLE
#include <emmintrin.h>
#endif

/* A bit per slot whose tag is `tag`, and per slot that is EMPTY. Acquire: what S2 wrote before
 * a live tag is visible after this saw it. */
#if PC_PORTABLE
static inline uint32_t pc_revseg_match(const uint8_t *group, uint8_t tag, uint32_t *ret_empty)
{
    uint32_t match = 0, empty = 0;
    for (unsigned i = 0; i < PC_REVSEG_SLOTS_PER_GROUP; i++) {
        uint8_t t = __atomic_load_n(group + i, __ATOMIC_ACQUIRE);
        PC_ASSERT_SLOW(t != PC_REVSEG_POISON);
        match |= (uint32_t)(t == tag) << i;
        empty |= (uint32_t)(t == PC_REVSEG_EMPTY) << i;
    }
    *ret_empty = empty;
    return match;
}
#else
static inline uint32_t pc_revseg_match(const uint8_t *group, uint8_t tag, uint32_t *ret_empty)
{
    /* One aligned 16-byte load, which may be torn into smaller ones but no smaller than a byte.
     * x86 keeps loads in order and stores in order; the barrier keeps the compiler from moving
     * the loads of fields before it: together that is acquire against S2's release. */
    __m128i tags = *(const volatile __m128i *)(const void *)group;
    __asm__ volatile("" ::: "memory");
    PC_ASSERT_SLOW(!_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)0xff))));
    *ret_empty = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_setzero_si128()));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag)));
}
#endif

/* A place in the walk over groups from a home group on. */
struct pc_revseg_place {
    uint32_t block, group; /* of the segment, of the block */
    uint8_t *at;
};

static inline __attribute__((always_inline)) struct pc_revseg_place
pc_revseg_start(const struct pc_revseg *s, const uint8_t *base, uint32_t n_groups, unsigned columns,
                uint64_t fp)
{
    uint32_t g = pc_revseg_home(fp, n_groups);
    struct pc_revseg_place p = {.block = g / pc_revseg_groups_per_block(columns)};
    p.group = g - p.block * pc_revseg_groups_per_block(columns);
    p.at = pc_revseg_block(s, base, p.block) + (size_t)p.group * pc_revseg_group_bytes(columns);
    return p;
}

static inline __attribute__((always_inline)) void
pc_revseg_advance(const struct pc_revseg *s, const uint8_t *base, uint32_t n_groups,
                  unsigned columns, struct pc_revseg_place *p)
{
    const uint32_t per_block = pc_revseg_groups_per_block(columns);
    p->at += pc_revseg_group_bytes(columns);
    if (++p->group < per_block)
        return;
    p->group = 0;
    p->block = (p->block + 1) * per_block == n_groups ? 0 : p->block + 1;
    p->at = pc_revseg_block(s, base, p->block);
}

/* The tags are there: asks for what those of the home group and of the next point at. False: the
 * walk would find nothing (S3). Entries further away, which are rare, are walked to unprepared. */
static inline __attribute__((always_inline)) bool pc_revseg_approach(const struct pc_revseg *s,
                                                                     const uint8_t *base,
                                                                     uint32_t n_groups,
                                                                     unsigned columns, uint64_t fp)
{
    const uint8_t tag = pc_revseg_tag(fp);
    struct pc_revseg_place p = pc_revseg_start(s, base, n_groups, columns, fp);
    uint32_t matches = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t empty, m = pc_revseg_match(p.at, tag, &empty);
        for (matches |= m; m; m &= m - 1) {
            unsigned slot = (unsigned)__builtin_ctz(m);
            const uint8_t *record = pc_revseg_record(p.at, slot, columns);
            __builtin_prefetch(p.at + 16 + 8 * slot);
            __builtin_prefetch(record);
            __builtin_prefetch(record + (size_t)columns * PC_REV_TIME_BYTES - 1);
        }
        if (PC_LIKELY(empty))
            return matches != 0;
        pc_revseg_advance(s, base, n_groups, columns, &p);
    }
    return true;
}

/* Inlined into its callers so that `columns` and what they ignore of the result fold away. */
static inline __attribute__((always_inline)) void
pc_revseg_walk(const struct pc_revseg *s, const uint8_t *base, uint32_t n_groups, unsigned columns,
               uint64_t fp, struct pc_revseg_probe *ret_probe)
{
    const uint8_t tag = pc_revseg_tag(fp);
    struct pc_revseg_place p = pc_revseg_start(s, base, n_groups, columns, fp);
    __builtin_prefetch(p.at + pc_revseg_group_bytes(columns));
    *ret_probe = (struct pc_revseg_probe){0};
    for (uint32_t n = 0; n < n_groups; n++) { /* S4 */
        uint32_t empty;
        pc_rev_torture_point();
        for (uint32_t m = pc_revseg_match(p.at, tag, &empty); m; m &= m - 1) {
            unsigned slot = (unsigned)__builtin_ctz(m);
            if (pc_revseg_fingerprint(p.at, slot) != fp)
                continue;
            const uint8_t *record = pc_revseg_record(p.at, slot, columns);
            for (unsigned c = 0; c < columns; c++) {
                uint64_t time = pc_rev_time_load(record + (size_t)c * PC_REV_TIME_BYTES);
                ret_probe->max.at[c] = pc_max_u64(ret_probe->max.at[c], time);
            }
            ret_probe->copies++;
        }
        if (PC_LIKELY(empty)) { /* S3 */
            ret_probe->group = p.at;
            ret_probe->slot = (uint32_t)__builtin_ctz(empty);
            ret_probe->distance = n;
            return;
        }
        pc_revseg_advance(s, base, n_groups, columns, &p);
    }
    ret_probe->distance = n_groups;
}

#endif
