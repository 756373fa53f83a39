/* SPDX-License-Identifier: Apache-2.0
 * Page runs for table segments: one reserved region of address space, advised to huge pages.
 * Owned by one thread (the writer); only pc_arena_return may be called from others.
 *
 * A1  Runs are multiples of PC_ARENA_PAGE_BYTES and never overlap; free neighbours are joined.
 * A2  A run given to pc_arena_return is not handed out again before the owner's next allocation
 *     (which drains the returns), and nobody touches it after the call.
 * A3  Wholly free huge pages beyond a small reserve go back to the system. */
#ifndef PC_EDGE_STATE_ARENA_H
#define PC_EDGE_STATE_ARENA_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_ARENA_PAGE_BYTES ((size_t)4096)
#define PC_ARENA_HUGE_BYTES ((size_t)2 << 20)
/* Wholly free huge pages kept for the next allocations. */
#define PC_ARENA_KEEP_HUGE 4

struct pc_arena;

/* First bytes of a run on its way back; overwrites what was there. */
struct pc_arena_returned {
    struct pc_arena_returned *next;
    size_t bytes;
};

struct pc_arena_stats {
    size_t limit_bytes;
    size_t used_bytes;     /* handed out, including what is on its way back */
    size_t free_bytes;     /* in holes below the highest run */
    size_t resident_bytes; /* huge pages ever touched and not given back */
    size_t holes;
};

/* Reserves limit_bytes (rounded up to huge pages) of address space; -errno if refused. */
int pc_arena_new(size_t limit_bytes, struct pc_arena **ret_arena);
/* All runs are gone with it. */
void pc_arena_free(struct pc_arena *a);

/* A page-aligned run with undefined contents; NULL if the limit is reached. */
void *pc_arena_alloc(struct pc_arena *a, size_t bytes);
/* The same, but only from a hole that lies wholly below `limit`: for moving runs down. */
void *pc_arena_alloc_below(struct pc_arena *a, size_t bytes, const void *limit);
/* By the owner: the run is free at once. */
void pc_arena_release(struct pc_arena *a, void *run, size_t bytes);
/* By any thread, lock-free: the run is free at the owner's next allocation. */
void pc_arena_return(struct pc_arena *a, void *run, size_t bytes);
/* By the owner: takes in what was returned and gives wholly free huge pages back (A3). */
void pc_arena_settle(struct pc_arena *a);
void pc_arena_read_stats(const struct pc_arena *a, struct pc_arena_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
