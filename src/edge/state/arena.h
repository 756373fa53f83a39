/* SPDX-License-Identifier: Apache-2.0
 * Blocks of one size for the dense tables, in one reserved region of address space advised to huge
 * pages. Owned by one thread, the writer; readers only follow addresses below the base.
 *
 * One size, because segments all grow at about the same rate: what one outgrows is always a little
 * too small for the next, so with runs of pages a fifth of the memory stood in holes (measured).
 *
 * A1  A block is handed out to one taker at a time; its contents are undefined then.
 * A2  The lowest free block is taken first, so that the upper end empties.
 * A3  Wholly free huge pages beyond a small reserve go back to the system when it is trimmed: once
 *     in a while and not at once, because the next blocks would make the system clear them again.
 */
#ifndef PC_EDGE_STATE_ARENA_H
#define PC_EDGE_STATE_ARENA_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 130 blocks fill a huge page but for 512 bytes; and a block holds whole groups of entries (53 of
 * 304 bytes, 42 of 384) but for 16 bytes, or none: of 16 KiB it left 272. Lines stay aligned. */
#define PC_ARENA_BLOCK_BYTES ((size_t)252 * PC_CACHE_LINE)
#define PC_ARENA_HUGE_BYTES  ((size_t)2 << 20)
#define PC_ARENA_HUGE_BLOCKS ((uint32_t)(PC_ARENA_HUGE_BYTES / PC_ARENA_BLOCK_BYTES))
/* Wholly free huge pages that trimming keeps for the next blocks. */
#define PC_ARENA_KEEP_HUGE 1
/* Block numbers take 24 bits, the huge page's number above the 8 of the block's in it: 128 GiB. */
#define PC_ARENA_INDEX_BITS  8
#define PC_ARENA_NUMBERS_MAX ((uint32_t)1 << 24)
#define PC_ARENA_BYTES_MAX                                                                         \
    (((size_t)PC_ARENA_NUMBERS_MAX >> PC_ARENA_INDEX_BITS) * PC_ARENA_HUGE_BYTES)

struct pc_arena;

struct pc_arena_stats {
    size_t limit_bytes;
    size_t used_bytes;     /* handed out */
    size_t resident_bytes; /* huge pages touched and not given back */
};

/* Reserves limit_bytes (rounded up to huge pages) of address space; -ENOMEM if refused. */
int pc_arena_new(size_t limit_bytes, struct pc_arena **ret_arena);
/* All blocks are gone with it. */
void pc_arena_free(struct pc_arena *a);

/* Where the first huge page stands. Never changes. */
uint8_t *pc_arena_base(const struct pc_arena *a);
static inline uint8_t *pc_arena_block(const uint8_t *base, uint32_t number)
{
    uint32_t index = number & ((1u << PC_ARENA_INDEX_BITS) - 1);
    return (uint8_t *)(uintptr_t)base + (number >> PC_ARENA_INDEX_BITS) * PC_ARENA_HUGE_BYTES +
           index * PC_ARENA_BLOCK_BYTES;
}
/* How many blocks stand below a block, and the number of the block with so many below. */
static inline uint32_t pc_arena_ordinal(uint32_t number)
{
    return (number >> PC_ARENA_INDEX_BITS) * PC_ARENA_HUGE_BLOCKS +
           (number & ((1u << PC_ARENA_INDEX_BITS) - 1));
}
static inline uint32_t pc_arena_number(uint32_t ordinal)
{
    return ordinal / PC_ARENA_HUGE_BLOCKS << PC_ARENA_INDEX_BITS | ordinal % PC_ARENA_HUGE_BLOCKS;
}
/* A block's number, or -ENOMEM at the limit or if the system has no memory. */
int32_t pc_arena_take(struct pc_arena *a);
void pc_arena_give(struct pc_arena *a, uint32_t block);
void pc_arena_trim(struct pc_arena *a); /* A3 */
void pc_arena_read_stats(const struct pc_arena *a, struct pc_arena_stats *ret_stats);

/* For any thread that knows a block is nobody's any more, before it is given: in checking builds
 * a late reader then meets poison (0xff). */
void pc_arena_poison(const struct pc_arena *a, uint32_t block);

#ifdef __cplusplus
}
#endif
#endif
