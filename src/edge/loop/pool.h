/* SPDX-License-Identifier: Apache-2.0
 * Buffers for unconsumed input and queued output of one core: power-of-two classes with a free
 * list each, most recently used first (its lines are still in the cache). One thread; in steady
 * state it never calls the allocator. Internal to the loop.
 *
 *   chunk: | next, class | off ... len ... capacity |     data[off, len) is what is queued */
#ifndef PC_LOOP_POOL_H
#define PC_LOOP_POOL_H

#include "edge/loop/faults.h"

#define POOL_SMALLEST_LOG2 11 /* 2 KiB */
#define POOL_LARGEST_LOG2  20 /* 1 MiB; larger ones come from the allocator each time */
#define POOL_CLASSES       (POOL_LARGEST_LOG2 - POOL_SMALLEST_LOG2 + 1)

struct chunk {
    struct chunk *next;
    size_t capacity; /* bytes in data */
    size_t off, len;
    unsigned class; /* POOL_CLASSES: not pooled */
    uint8_t data[];
};

struct pool {
    struct chunk *free[POOL_CLASSES];
    size_t kept_bytes, used_bytes;
    size_t keep_max_bytes;
    const struct pc_loop_faults *faults;
};

/* A chunk with room for at least n bytes, off = len = 0, or NULL. */
struct chunk *pool_get(struct pool *p, size_t n);
void pool_put(struct pool *p, struct chunk *c);
/* Gives a whole chain back; NULL is allowed. */
void pool_put_chain(struct pool *p, struct chunk *c);
/* All chunks are back (asserted): frees what was kept. */
void pool_empty(struct pool *p);

static inline size_t chunk_bytes(const struct chunk *c)
{
    return c->len - c->off;
}

static inline size_t chunk_room(const struct chunk *c)
{
    return c->capacity - c->len;
}

#endif
