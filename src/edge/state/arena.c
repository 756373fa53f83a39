/* SPDX-License-Identifier: Apache-2.0
 * The block arena. Address space is reserved once without access; it becomes writable in steps as
 * higher blocks are taken, so that an unused arena costs nothing even where overcommit is off.
 * A bit per block says whether it is taken: a huge page is three words. The owner thread only. */
#include "edge/state/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_POISON(p, n)   __asan_poison_memory_region((p), (n))
#define ARENA_UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define ARENA_POISON(p, n)   ((void)(p), (void)(n))
#define ARENA_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define WORDS_PER_HUGE ((PC_ARENA_HUGE_BLOCKS + 63) / 64)
#define GROW_HUGE      8 /* made writable at a time */
#define POISON_BYTE    0xff

struct huge {
    uint64_t taken[WORDS_PER_HUGE];
    bool touched; /* may be resident */
};

struct pc_arena {
    void *mapping; /* what mmap gave; base is its first huge-page boundary */
    size_t mapping_bytes;
    uint8_t *base;
    struct huge *huge;
    uint32_t n_huge, writable;   /* in huge pages */
    uint32_t lowest;             /* no huge page below it has a free block */
    uint32_t used;               /* blocks */
    uint32_t n_touched, n_empty; /* empty: touched and wholly free */
};

int pc_arena_new(size_t limit_bytes, struct pc_arena **ret_arena)
{
    size_t n_huge = (limit_bytes + PC_ARENA_HUGE_BYTES - 1) / PC_ARENA_HUGE_BYTES;
    if (n_huge == 0 || n_huge > PC_ARENA_BYTES_MAX / PC_ARENA_HUGE_BYTES)
        return -EINVAL;
    struct pc_arena *a = calloc(1, sizeof *a);
    struct huge *huge = calloc(n_huge, sizeof *huge);
    size_t bytes = (n_huge + 1) * PC_ARENA_HUGE_BYTES; /* one more to align within */
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!a || !huge || p == MAP_FAILED) {
        if (p != MAP_FAILED)
            munmap(p, bytes);
        free(huge);
        free(a);
        return -ENOMEM;
    }
    /* Advice only: without huge pages the tables work, a lookup costs a TLB miss more. */
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    uintptr_t aligned = ((uintptr_t)p + PC_ARENA_HUGE_BYTES - 1) & ~(PC_ARENA_HUGE_BYTES - 1);
    a->mapping = p;
    a->mapping_bytes = bytes;
    a->base = (uint8_t *)aligned;
    a->huge = huge;
    a->n_huge = (uint32_t)n_huge;
    *ret_arena = a;
    return 0;
}

void pc_arena_free(struct pc_arena *a)
{
    if (!a)
        return;
    ARENA_UNPOISON(a->base, a->writable * PC_ARENA_HUGE_BYTES);
    munmap(a->mapping, a->mapping_bytes);
    free(a->huge);
    free(a);
}

uint8_t *pc_arena_base(const struct pc_arena *a)
{
    return a->base;
}

static bool is_empty(const struct huge *h)
{
    uint64_t any = 0;
    for (uint32_t w = 0; w < WORDS_PER_HUGE; w++)
        any |= h->taken[w];
    return any == 0;
}

/* The lowest free block of a huge page, or PC_ARENA_HUGE_BLOCKS: the last word has more bits than
 * there are blocks. */
static uint32_t free_block(const struct huge *h)
{
    for (uint32_t w = 0; w < WORDS_PER_HUGE; w++)
        if (~h->taken[w])
            return (uint32_t)pc_min_u64(w * 64 + (uint32_t)__builtin_ctzll(~h->taken[w]),
                                        PC_ARENA_HUGE_BLOCKS);
    return PC_ARENA_HUGE_BLOCKS;
}

static bool make_writable(struct pc_arena *a, uint32_t index)
{
    if (index < a->writable)
        return true;
    uint32_t end = (uint32_t)pc_min_u64(a->n_huge, index + GROW_HUGE);
    if (mprotect(a->base + a->writable * PC_ARENA_HUGE_BYTES,
                 (end - a->writable) * PC_ARENA_HUGE_BYTES, PROT_READ | PROT_WRITE) != 0)
        return false;
    a->writable = end;
    return true;
}

int32_t pc_arena_take(struct pc_arena *a)
{
    while (a->lowest < a->n_huge && free_block(&a->huge[a->lowest]) == PC_ARENA_HUGE_BLOCKS)
        a->lowest++; /* A2 */
    if (a->lowest == a->n_huge || !make_writable(a, a->lowest))
        return -ENOMEM;
    struct huge *h = &a->huge[a->lowest];
    uint32_t i = free_block(h);
    PC_ASSERT(!(h->taken[i / 64] >> (i % 64) & 1)); /* A1 */
    if (h->touched)
        a->n_empty -= is_empty(h);
    else
        a->n_touched++;
    h->touched = true;
    h->taken[i / 64] |= (uint64_t)1 << (i % 64);
    a->used++;
    uint32_t block = a->lowest << PC_ARENA_INDEX_BITS | i;
    ARENA_UNPOISON(pc_arena_block(a->base, block), PC_ARENA_BLOCK_BYTES);
    return (int32_t)block;
}

void pc_arena_trim(struct pc_arena *a)
{
    /* The upper ones go, A2 needs the lower ones first. */
    for (uint32_t i = a->writable; i-- > 0 && a->n_empty > PC_ARENA_KEEP_HUGE;) {
        struct huge *h = &a->huge[i];
        void *p = a->base + i * PC_ARENA_HUGE_BYTES;
        if (!h->touched || !is_empty(h) || madvise(p, PC_ARENA_HUGE_BYTES, MADV_DONTNEED) != 0)
            continue;
        h->touched = false;
        a->n_touched--;
        a->n_empty--;
    }
}

void pc_arena_give(struct pc_arena *a, uint32_t block)
{
    uint32_t index = block >> PC_ARENA_INDEX_BITS, i = block & ((1u << PC_ARENA_INDEX_BITS) - 1);
    PC_ASSERT(index < a->n_huge && i < PC_ARENA_HUGE_BLOCKS && a->used > 0);
    struct huge *h = &a->huge[index];
    PC_ASSERT(h->taken[i / 64] >> (i % 64) & 1); /* A1 */
    h->taken[i / 64] &= ~((uint64_t)1 << (i % 64));
    a->used--;
    a->lowest = (uint32_t)pc_min_u64(a->lowest, index);
    ARENA_POISON(pc_arena_block(a->base, block), PC_ARENA_BLOCK_BYTES);
    a->n_empty += is_empty(h);
}

void pc_arena_poison(const struct pc_arena *a, uint32_t block)
{
    uint8_t *p = pc_arena_block(a->base, block);
    if (PC_TORTURE || PC_EXPENSIVE_ASSERTS)
        memset(p, POISON_BYTE, PC_ARENA_BLOCK_BYTES);
    ARENA_POISON(p, PC_ARENA_BLOCK_BYTES);
}

void pc_arena_read_stats(const struct pc_arena *a, struct pc_arena_stats *ret_stats)
{
    *ret_stats = (struct pc_arena_stats){
        .limit_bytes = (size_t)a->n_huge * PC_ARENA_HUGE_BLOCKS * PC_ARENA_BLOCK_BYTES,
        .used_bytes = a->used * PC_ARENA_BLOCK_BYTES,
        .resident_bytes = a->n_touched * PC_ARENA_HUGE_BYTES,
    };
}
