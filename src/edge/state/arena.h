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

#define PC_ARENA_BLOCK_BYTES ((size_t)16 << 10)
#define PC_ARENA_HUGE_BYTES  ((size_t)2 << 20)
/* Wholly free huge pages that trimming keeps for the next blocks. */
#define PC_ARENA_KEEP_HUGE 2
/* Block numbers take 24 bits: 256 GiB. */
#define PC_ARENA_BLOCKS_MAX ((uint32_t)1 << 24)

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

/* Where block 0 stands; block n follows at n * PC_ARENA_BLOCK_BYTES. Never changes. */
uint8_t *pc_arena_base(const struct pc_arena *a);
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
