/* SPDX-License-Identifier: Apache-2.0
 * One slot of a limit table: 16 bytes that change only as a whole.
 *
 *   0  8  fingerprint   0: empty
 *   8  8  state         bit 63 set: tentative (limits.c), else the algorithm's word
 *
 * Written only by a 128-bit compare-and-swap of both words; read as two words, so a reader looks
 * at the fingerprint again, or swaps.
 *
 * Memory order: settling an insert needs, of two threads that each write a slot and then read the
 * other's, that at least one sees the other (store, then load: the one reordering x86 does). So
 * every access is sequentially consistent; on x86 that makes loads no dearer, and the swap is a
 * locked instruction anyway. Nothing else is published through a slot. */
#ifndef PC_EDGE_STATE_LIMITS_SLOT_H
#define PC_EDGE_STATE_LIMITS_SLOT_H

#include "base/def.h"

#if PC_TORTURE
#include <sched.h>
#endif

struct pc_limit_slot {
    uint64_t fp, state;
} __attribute__((aligned(16)));

/* What a slot holds. */
struct pc_limit_pair {
    uint64_t fp, state;
};

#define PC_LIMIT_TENTATIVE (UINT64_C(1) << 63)

/* In torture builds every access may be the place where another thread runs. */
#if PC_TORTURE
static inline void pc_limit_torture_point(void)
{
    static _Thread_local uint32_t state;
    if (state == 0)
        state = (uint32_t)(uintptr_t)&state | 1; /* differs between threads */
    state = state * 1664525 + 1013904223;
    if (state >> 29 == 0)
        sched_yield();
}
#else
static inline void pc_limit_torture_point(void)
{
}
#endif

/* Some tens of cycles of doing nothing, as the processor likes to be told. */
static inline void pc_limit_pause(void)
{
#if defined(__x86_64__) && !PC_PORTABLE
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static inline uint64_t pc_limit_load_fp(const struct pc_limit_slot *s)
{
    return __atomic_load_n(&s->fp, __ATOMIC_SEQ_CST);
}

static inline uint64_t pc_limit_load_state(const struct pc_limit_slot *s)
{
    pc_limit_torture_point();
    return __atomic_load_n(&s->state, __ATOMIC_SEQ_CST);
}

static inline bool pc_limit_swap(struct pc_limit_slot *s, struct pc_limit_pair old,
                                 struct pc_limit_pair new_pair)
{
    typedef unsigned __int128 both;
    union {
        struct pc_limit_pair pair;
        both whole;
    } from = {.pair = old}, to = {.pair = new_pair};
    pc_limit_torture_point();
#if defined(__x86_64__) && !PC_PORTABLE
    /* gcc calls libatomic for __atomic of 16 bytes, but inlines this. */
    return __sync_bool_compare_and_swap((both *)(void *)s, from.whole, to.whole);
#else
    return __atomic_compare_exchange_n((both *)(void *)s, &from.whole, to.whole, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
#endif
}

#endif
