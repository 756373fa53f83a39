/* SPDX-License-Identifier: Apache-2.0
 * A segment of the revocation table: an open-addressing table of 16-slot groups in up to 21 blocks
 * of the arena. Private to edge/state/revocations*. Readers on any core (revocations_walk.h), one
 * writer.
 *
 *   struct pc_revseg   the blocks' numbers (one line), then what the writer needs (another)
 *   block   0  group 0, group 1, … as many as fit whole: 53, 42 or 34
 *   group   0  16 tags, a byte each: 0 EMPTY, 1 DEAD, 2..254 from the fingerprint, 255 never
 *          16  16 fingerprints, 8 bytes each
 *         144  16 records of `columns` times, 40 bits each, low byte first: expiry, revoked_at,
 *              [cutoff, [cleared_at]]
 *
 * A group takes 304, 384 or 464 bytes, multiples of 16: its tags never straddle a cache line, so
 * a lookup that finds nothing normally reads one line. The fingerprint's bits 63… choose the
 * segment, bits 8-39 the group (by multiplication), bits 0-7 the tag: three independent choices.
 * An entry stands in the first group from its home group on that had an EMPTY slot.
 *
 * S1  A tag goes EMPTY -> live -> DEAD, and never back, while the segment is published.
 * S2  Fingerprint and record are written before the tag becomes live (release) and never after.
 * S3  Every group between an entry's home group and its own is without EMPTY (from S1 and the
 *     rule of insertion), so a reader may stop at the first group with an EMPTY tag.
 * S4  A published segment always keeps an EMPTY tag, and loops are bounded by its groups anyway.
 * S5  Of several slots with one fingerprint (copies) a later one holds the maximum of all columns,
 *     so the maximum over those a reader sees is never less than what was there when it began.
 * S6  blocks, prefix, groups, bits and columns never change once published; the rest belongs to
 *     the writer, and after retirement to the grace period. */
#ifndef PC_EDGE_STATE_REVOCATIONS_SEGMENT_H
#define PC_EDGE_STATE_REVOCATIONS_SEGMENT_H

#include <stdatomic.h>
#include <string.h>

#include "base/def.h"
#include "edge/state/arena.h"
#include "edge/state/rcu.h"
#include "edge/state/revocations_times.h"

#if PC_TORTURE
#include <sched.h>
#endif

enum { PC_REVSEG_EMPTY = 0, PC_REVSEG_DEAD = 1, PC_REVSEG_LIVE = 2, PC_REVSEG_POISON = 255 };

#define PC_REVSEG_SLOTS_PER_GROUP 16
#define PC_REVSEG_GROUP_HEAD      (16 + 16 * 8)
#define PC_REVSEG_BLOCKS_MAX      21

/* Where segments come from and go to: shared by the tables of one instance. */
struct pc_revseg_pool {
    struct pc_arena *arena;
    uint8_t *base;                      /* of the arena */
    struct pc_revseg *free;             /* unused descriptors */
    uint64_t retired_limit_bytes;       /* of the difference of the next two */
    uint64_t retired_bytes;             /* ever handed to a grace period */
    uint64_t returned_bytes;            /* ever come back from it */
    struct pc_revseg *_Atomic returned; /* pushed by liburcu's thread, taken by the writer */
};

struct pc_revseg {
    uint8_t blocks[PC_CACHE_LINE]; /* 24 bits each; S6 */
    uint64_t prefix;               /* of all fingerprints here, left-aligned; S6 */
    uint16_t groups;
    uint8_t bits; /* how many of prefix count */
    uint8_t columns;
    uint32_t used;     /* writer: slots that are not EMPTY */
    uint32_t entries;  /* writer: distinct live fingerprints */
    uint32_t copies;   /* writer: slots filled although their fingerprint had one */
    uint64_t earliest; /* writer: no fingerprint here expires before this */
    struct pc_revseg_pool *pool;
    union {
        struct pc_rcu_head head; /* while it waits for the grace period */
        struct pc_revseg *next;  /* on its way back, and unused */
    };
};
_Static_assert(sizeof(struct pc_revseg) == 2 * PC_CACHE_LINE, "readers need only the first line");

/* In torture builds every step of readers and writer may be the place where the other runs. */
#if PC_TORTURE
static inline void pc_rev_torture_point(void)
{
    static _Thread_local uint32_t state;
    if (state == 0)
        state = (uint32_t)(uintptr_t)&state | 1; /* differs between threads */
    state = state * 1664525 + 1013904223;
    if (state >> 28 == 0)
        sched_yield();
}
#else
static inline void pc_rev_torture_point(void)
{
}
#endif

static inline uint32_t pc_revseg_group_bytes(unsigned columns)
{
    return PC_REVSEG_GROUP_HEAD + PC_REVSEG_SLOTS_PER_GROUP * PC_REV_TIME_BYTES * columns;
}

static inline uint32_t pc_revseg_groups_per_block(unsigned columns)
{
    return (uint32_t)PC_ARENA_BLOCK_BYTES / pc_revseg_group_bytes(columns);
}

static inline uint8_t *pc_revseg_block(const struct pc_revseg *s, const uint8_t *base,
                                       uint32_t index)
{
    uint32_t number;
    memcpy(&number, s->blocks + 3 * (size_t)index, sizeof number); /* one byte too many */
    return pc_arena_block(base, number & 0xffffff);
}

static inline uint32_t pc_revseg_slots(const struct pc_revseg *s)
{
    return (uint32_t)s->groups * PC_REVSEG_SLOTS_PER_GROUP;
}

/* 2..254, evenly. */
static inline uint8_t pc_revseg_tag(uint64_t fp)
{
    return (uint8_t)(PC_REVSEG_LIVE + ((fp & 0xff) * 253 >> 8));
}

static inline uint32_t pc_revseg_home(uint64_t fp, uint32_t groups)
{
    return (uint32_t)((uint64_t)(uint32_t)(fp >> 8) * groups >> 32);
}

static inline uint64_t pc_revseg_fingerprint(const uint8_t *group, unsigned slot)
{
    uint64_t fp;
    memcpy(&fp, group + 16 + 8 * slot, sizeof fp);
    return fp;
}

static inline uint8_t *pc_revseg_record(const uint8_t *group, unsigned slot, unsigned columns)
{
    return (uint8_t *)(uintptr_t)group + PC_REVSEG_GROUP_HEAD +
           (size_t)slot * columns * PC_REV_TIME_BYTES;
}

/* What walking the groups of a fingerprint brings. */
struct pc_revseg_probe {
    struct pc_rev_times max; /* over all copies; zeros beyond the segment's columns */
    uint32_t copies;
    uint32_t distance; /* groups walked beyond the first */
    uint8_t *group;    /* the first with an EMPTY slot, and that slot: where an insert goes */
    uint32_t slot;
};

/* ---- the writer's side: revocations_segment.c ---- */

void pc_revseg_probe(const struct pc_revseg *s, uint64_t fp, struct pc_revseg_probe *ret_probe);
/* The most slots a segment can have. */
uint32_t pc_revseg_slots_max(unsigned columns);
/* `slots` rounded up to whole blocks. */
uint32_t pc_revseg_whole_slots(unsigned columns, uint32_t slots);
/* An empty, unpublished segment of at least `slots` slots, filling whole blocks; NULL: no memory
 * (or more than pc_revseg_slots_max). */
struct pc_revseg *pc_revseg_new(struct pc_revseg_pool *pool, unsigned columns, uint32_t slots,
                                uint64_t prefix, unsigned bits);
/* An unpublished segment: free at once. */
void pc_revseg_discard(struct pc_revseg *s);
/* Adds a slot at the place a probe of this very state found (S2). */
void pc_revseg_insert(struct pc_revseg *s, const struct pc_revseg_probe *probe, uint64_t fp,
                      const struct pc_rev_times *times);
/* Merges into an unpublished segment, in place. */
void pc_revseg_absorb(struct pc_revseg *s, uint64_t fp, const struct pc_rev_times *times);
/* Absorbs all of `from`, each fingerprint into the one its bit `shift` names. Both are empty, or
 * the same. */
void pc_revseg_absorb_all(struct pc_revseg *const into[2], const struct pc_revseg *from,
                          unsigned shift);
/* All live copies become DEAD; returns how many. */
uint32_t pc_revseg_kill(struct pc_revseg *s, uint64_t fp);
/* Unpublished before: free for the writer after a grace period. */
void pc_revseg_retire(struct pc_revseg *s);
uint32_t pc_revseg_highest_block(const struct pc_revseg *s);
/* Takes in what came back; pc_revseg_new does it too. */
void pc_revseg_settle(struct pc_revseg_pool *pool);

/* Visits live slots, any thread that holds the segment by RCU. Zeroed to begin. */
struct pc_revseg_iter {
    uint32_t index;       /* of the next slot */
    const uint8_t *group; /* its group, once begun */
    uint64_t fp;
    struct pc_rev_times times;
};
bool pc_revseg_next(const struct pc_revseg *s, struct pc_revseg_iter *iter);

#endif
