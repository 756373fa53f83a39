/* SPDX-License-Identifier: Apache-2.0
 * The single-producer single-consumer queue; invariants I1-I4 stand in spsc.h. */
#include "base/spsc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pc_spsc {
    /* Written by the producer only; `tail` is read by the consumer. */
    PC_ALIGNED_LINE _Atomic uint64_t tail;
    uint64_t head_seen; /* I4: the producer's copy of head */
    /* Written by the consumer only; `head` is read by the producer. */
    PC_ALIGNED_LINE _Atomic uint64_t head;
    uint64_t tail_seen; /* I4: the consumer's copy of tail */
    /* Constant after pc_spsc_new(). */
    PC_ALIGNED_LINE uint64_t mask;
    void *slots[];
};

int pc_spsc_new(size_t capacity, struct pc_spsc **ret_q)
{
    size_t n = 1;
    if (capacity < 1 || capacity > PC_SPSC_CAPACITY_MAX)
        return -EINVAL;
    while (n < capacity)
        n *= 2;
    size_t bytes = sizeof(struct pc_spsc) + n * sizeof(void *);
    bytes = (bytes + PC_CACHE_LINE - 1) & ~(size_t)(PC_CACHE_LINE - 1);
    struct pc_spsc *q = aligned_alloc(PC_CACHE_LINE, bytes);
    if (!q)
        return -ENOMEM;
    memset(q, 0, bytes);
    atomic_init(&q->tail, 0);
    atomic_init(&q->head, 0);
    q->mask = n - 1;
    *ret_q = q;
    return 0;
}

void pc_spsc_free(struct pc_spsc *q)
{
    free(q);
}

/* Producer: how many slots are free, reloading head only when the copy shows fewer than wanted. */
static size_t room(struct pc_spsc *q, uint64_t tail, size_t wanted)
{
    size_t capacity = q->mask + 1;
    if (capacity - (tail - q->head_seen) < wanted)
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire); /* I3 */
    PC_ASSERT(tail - q->head_seen <= capacity);
    return capacity - (tail - q->head_seen);
}

bool pc_spsc_push(struct pc_spsc *q, void *item)
{
    PC_ASSERT(item);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* I1: our own */
    if (PC_UNLIKELY(room(q, tail, 1) == 0))
        return false;
    q->slots[tail & q->mask] = item;
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release); /* I2 */
    return true;
}

size_t pc_spsc_room(struct pc_spsc *q)
{
    return room(q, atomic_load_explicit(&q->tail, memory_order_relaxed), q->mask + 1);
}

size_t pc_spsc_pop_many(struct pc_spsc *q, void **items, size_t max)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed); /* I1: our own */
    if (q->tail_seen - head < max)
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire); /* I2 */
    size_t n = (size_t)pc_min_u64(q->tail_seen - head, max);
    PC_ASSERT(q->tail_seen - head <= q->mask + 1);
    for (size_t i = 0; i < n; i++)
        items[i] = q->slots[(head + i) & q->mask];
    if (n)
        atomic_store_explicit(&q->head, head + n, memory_order_release); /* I3 */
    return n;
}

void *pc_spsc_pop(struct pc_spsc *q)
{
    void *item = NULL;
    return pc_spsc_pop_many(q, &item, 1) ? item : NULL;
}

bool pc_spsc_empty(const struct pc_spsc *q)
{
    return atomic_load_explicit(&q->head, memory_order_relaxed) ==
           atomic_load_explicit(&q->tail, memory_order_acquire);
}

size_t pc_spsc_count(const struct pc_spsc *q)
{
    /* head first: the other order could show more pops than pushes. */
    uint64_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
    return (size_t)pc_min_u64(tail - head, q->mask + 1);
}

size_t pc_spsc_capacity(const struct pc_spsc *q)
{
    return q->mask + 1;
}
