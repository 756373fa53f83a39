/* SPDX-License-Identifier: Apache-2.0
 * A bounded queue of pointers between exactly two threads: one pushes, one pops. No lock, no
 * allocation and no system call after pc_spsc_new(). Sleeping is base/waker.h's business.
 *
 *   slots[capacity], capacity a power of two; positions grow for ever and are masked on use
 *
 *        head (next to pop)          tail (next to fill)
 *          v                           v
 *   ... | item | item | item | item |  free  | free ...        0 <= tail - head <= capacity
 *
 * Invariants:
 *  I1 tail is stored only by the producer, head only by the consumer.
 *  I2 A slot is written before the release store of tail that covers it; the consumer reads it
 *     after the acquire load of tail that showed it. So what the producer wrote to the pointed-to
 *     object before the push is visible to the consumer after the pop.
 *  I3 A slot is read before the release store of head that frees it; the producer overwrites it
 *     after the acquire load of head that showed it free.
 *  I4 Each side keeps a copy of the other's position and reloads it only when the copy says full
 *     or empty: an old copy errs towards full or empty, never towards losing an item. While both
 *     are busy they share a cache line once per batch, not once per item.
 *
 * The atomics live in the .c file so that this header also compiles as C++; LTO inlines them. */
#ifndef PC_BASE_SPSC_H
#define PC_BASE_SPSC_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_SPSC_CAPACITY_MAX (1u << 24)

struct pc_spsc;

/* capacity is rounded up to a power of two, 1 ... PC_SPSC_CAPACITY_MAX. -EINVAL or -ENOMEM. */
int pc_spsc_new(size_t capacity, struct pc_spsc **ret_q);
/* Neither side may use the queue any more; what is still in it belongs to the caller. NULL is
 * allowed. */
void pc_spsc_free(struct pc_spsc *q);

/* Producer: false when full (the item is not taken). item may not be NULL. */
bool pc_spsc_push(struct pc_spsc *q, void *item) PC_WARN_UNUSED;
/* Producer: at least this many pushes will succeed. */
size_t pc_spsc_room(struct pc_spsc *q);

/* Consumer: the oldest item, or NULL when empty. */
void *pc_spsc_pop(struct pc_spsc *q);
/* Consumer: up to max items in order, freed with one store; returns how many. */
size_t pc_spsc_pop_many(struct pc_spsc *q, void **items, size_t max);
/* Consumer: looks at the producer's position itself, never at the copy of it, which is what the
 * recheck before sleeping needs (base/waker.h). */
bool pc_spsc_empty(const struct pc_spsc *q);

/* Any thread: how many items there were a moment ago; for metrics. */
size_t pc_spsc_count(const struct pc_spsc *q);
size_t pc_spsc_capacity(const struct pc_spsc *q);

#ifdef __cplusplus
}
#endif
#endif
