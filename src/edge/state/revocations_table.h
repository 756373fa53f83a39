/* SPDX-License-Identifier: Apache-2.0
 * An extendible hash table of segments: the dense table under edge/state/revocations.h, which
 * knows merging but not what the columns mean. Private to edge/state/revocations*.
 *
 *   root word        bits 48-63: shift (63 - directory bits)   bits 0-47: address of words[]
 *   directory word   bits 48-63: groups of the segment         bits 0-47: address of the segment
 *
 * A lookup loads root word, directory word, the segment's block numbers (all in the first levels
 * of the cache: 136 bytes per some ten thousand entries), then the tag line. Words are loaded with
 * acquire and published with release.
 *
 * T1  Every directory word names a segment whose prefix covers that word's fingerprints.
 * T2  A segment is replaced by publishing complete successors; from then on it is frozen: the
 *     writer changes only segments that the current directory names.
 * T3  An unpublished segment or directory is retired after the last word naming it was replaced.
 * T4  The words of a segment are replaced from the last to the first, so an ascending export that
 *     saw a child sees its sibling too, never the parent.
 * T5  Retirement waits for nobody; when too much waits for grace periods, or memory is refused,
 *     rebuilds are put off and segments are filled beyond their threshold instead. */
#ifndef PC_EDGE_STATE_REVOCATIONS_TABLE_H
#define PC_EDGE_STATE_REVOCATIONS_TABLE_H

#include "edge/state/revocations_segment.h"

#define PC_REVTAB_DIRECTORY_BITS_MAX 20
/* A segment is rebuilt when used slots reach this share, which with growth steps of 1.12 (of whole
 * blocks) staggered over the segments fills them to 0.83 on average. */
#define PC_REVTAB_FILL_PERCENT 88
/* When no memory can be had: the share of slots that stays EMPTY is 1 in this many. */
#define PC_REVTAB_RESERVE_SLOTS 32

struct pc_revtab {
    /* Readers and writer. Only `root` changes. */
    uint64_t root;
    const uint8_t *base; /* of the arena */
    uint32_t columns;
    uint32_t segment_entries; /* more are split */
    struct pc_revseg_pool *pool;

    /* The writer's own. */
    PC_ALIGNED_LINE uint32_t bits; /* of the directory */
    uint64_t entries, slots, used, segments;
    uint64_t rebuilds, splits, doublings, put_off;
    uint64_t reap_next; /* prefix where reaping goes on */
    uint64_t reap_passes;
};

static inline void *pc_revtab_word_address(uint64_t word)
{
    return (void *)(uintptr_t)(word & (((uint64_t)1 << 48) - 1));
}

/* The directory word of fp. */
static inline uint64_t pc_revtab_word(const struct pc_revtab *t, uint64_t fp)
{
    uint64_t root = pc_rcu_load(&t->root);
    const uint64_t *words = pc_revtab_word_address(root);
    pc_rev_torture_point();
    return pc_rcu_load(&words[(fp >> 1) >> (root >> 48)]); /* in two: shifting by 64 is undefined */
}

static inline struct pc_revseg *pc_revtab_segment(const struct pc_revtab *t, uint64_t fp)
{
    return pc_revtab_word_address(pc_revtab_word(t, fp)); /* T1 */
}

int pc_revtab_init(struct pc_revtab *t, struct pc_revseg_pool *pool, unsigned columns,
                   uint32_t segment_entries);

/* The directory; the segments go with the arena. */
void pc_revtab_destroy(struct pc_revtab *t);

/* All below: the writer. */

/* Maximum over what is known of fp; false (and zeros) if nothing is. */
bool pc_revtab_get(const struct pc_revtab *t, uint64_t fp, struct pc_rev_times *ret_times);
/* Merges; 1 if that raised a maximum, else 0. -ENOMEM or PC_E_FULL: unchanged. */
int pc_revtab_raise(struct pc_revtab *t, uint64_t fp, const struct pc_rev_times *times);
/* Whether there was something to kill. */
bool pc_revtab_kill(struct pc_revtab *t, uint64_t fp);
/* Removes what expires before `before` in about `budget` slots, and squeezes out waste. Returns
 * entries removed and takes what it looked at from *budget. */
uint32_t pc_revtab_reap(struct pc_revtab *t, uint64_t before, int64_t *budget);

/* Where bulk loading takes its entries from; false at the end. */
typedef bool (*pc_revtab_source)(void *context, uint64_t *ret_fp, struct pc_rev_times *ret_times);
/* Builds the segment of exactly (prefix, bits) from n entries; false, with nothing done, unless
 * that range is empty and n fit one segment. *ret_error becomes 0 or -ENOMEM. */
bool pc_revtab_bulk(struct pc_revtab *t, uint64_t prefix, unsigned bits, uint32_t n,
                    pc_revtab_source source, void *context, int *ret_error);

#endif
