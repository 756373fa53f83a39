/* SPDX-License-Identifier: Apache-2.0
 * A static B+-tree over sorted integers: how many keys are at most x? One cache line a level.
 *
 * A block is one line: 16 keys of 32 bits, or 8 of 64 ("wide"). Level 0 holds the keys in order,
 * padded with the largest. Block k of level h has the children (B+1)k .. (B+1)k+B of level h-1, and
 * its key i is the smallest under child i+1. Counting a block's keys <= x without a branch gives
 * the child to go to; a million keys are 5 (or 7) lines, of which the upper ones stay cached.
 *
 * Counting is a plain loop of constant length, which compilers turn into vector code.
 * Immutable once pc_ip_tree_index() ran; any thread reads. */
#ifndef PC_EDGE_STATE_IP_TREE_H
#define PC_EDGE_STATE_IP_TREE_H

#include "base/err.h"

#if !PC_PORTABLE && defined(__SSE4_2__)
#define PC_IP_TREE_SSE 1
#include <nmmintrin.h>
#else
#define PC_IP_TREE_SSE 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define PC_IP_TREE_LEVELS_MAX 10

struct pc_ip_tree {
    void *level[PC_IP_TREE_LEVELS_MAX]; /* uint32_t, or uint64_t if wide */
    uint32_t blocks[PC_IP_TREE_LEVELS_MAX];
    unsigned levels; /* 0: no keys */
    uint32_t n;
    bool wide;
    size_t bytes;
};

/* Room for n keys, to be set in order; then pc_ip_tree_index(). -ENOMEM. */
int pc_ip_tree_new(uint32_t n, bool wide, struct pc_ip_tree *ret_t);
void pc_ip_tree_set(struct pc_ip_tree *t, uint32_t index, uint64_t key);
void pc_ip_tree_index(struct pc_ip_tree *t);
void pc_ip_tree_free(struct pc_ip_tree *t);

#define PC_IP_NARROW_KEYS 16u
#define PC_IP_WIDE_KEYS   8u

/* Keys are stored with the sign bit turned over: the order is then that of signed numbers, the only
 * ones that SSE compares. */
#define PC_IP_NARROW_BIAS 0x80000000u
#define PC_IP_WIDE_BIAS   0x8000000000000000u

static inline uint32_t pc_ip_tree_narrow_key(const struct pc_ip_tree *t, uint32_t i)
{
    return ((const uint32_t *)t->level[0])[i] ^ PC_IP_NARROW_BIAS;
}

static inline uint64_t pc_ip_tree_wide_key(const struct pc_ip_tree *t, uint32_t i)
{
    return ((const uint64_t *)t->level[0])[i] ^ PC_IP_WIDE_BIAS;
}

/* How many of a block's keys are <= x, all of them biased. */
#if PC_IP_TREE_SSE
static inline uint32_t pc_ip_count_narrow(const int32_t *keys, int32_t x)
{
    const __m128i *k = (const __m128i *)(const void *)keys, v = _mm_set1_epi32(x);
    __m128i low = _mm_packs_epi32(_mm_cmpgt_epi32(k[0], v), _mm_cmpgt_epi32(k[1], v));
    __m128i high = _mm_packs_epi32(_mm_cmpgt_epi32(k[2], v), _mm_cmpgt_epi32(k[3], v));
    uint32_t greater = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
    return (uint32_t)__builtin_ctz(greater | 1u << 16); /* sorted: the first greater one */
}

static inline uint32_t pc_ip_count_wide(const int64_t *keys, int64_t x)
{
    const __m128i *k = (const __m128i *)(const void *)keys, v = _mm_set1_epi64x(x);
    __m128i low = _mm_packs_epi32(_mm_cmpgt_epi64(k[0], v), _mm_cmpgt_epi64(k[1], v));
    __m128i high = _mm_packs_epi32(_mm_cmpgt_epi64(k[2], v), _mm_cmpgt_epi64(k[3], v));
    uint32_t greater = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
    return (uint32_t)__builtin_ctz(greater | 1u << 16) / 2; /* two bytes stand for a key */
}
#else
static inline uint32_t pc_ip_count_narrow(const int32_t *keys, int32_t x)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < PC_IP_NARROW_KEYS; i++)
        n += keys[i] <= x;
    return n;
}

static inline uint32_t pc_ip_count_wide(const int64_t *keys, int64_t x)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < PC_IP_WIDE_KEYS; i++)
        n += keys[i] <= x;
    return n;
}
#endif

/* How many keys are <= x. Padding counts where x is the largest number: hence the limits. */
static inline uint32_t pc_ip_tree_rank_narrow(const struct pc_ip_tree *t, uint32_t x)
{
    uint32_t k = 0;
    int32_t biased = (int32_t)(x ^ PC_IP_NARROW_BIAS);
    if (t->levels == 0)
        return 0;
    for (unsigned h = t->levels - 1; h > 0; h--) {
        const int32_t *keys = (const int32_t *)t->level[h] + (size_t)k * PC_IP_NARROW_KEYS;
        k = k * (PC_IP_NARROW_KEYS + 1) + pc_ip_count_narrow(keys, biased);
        k = k < t->blocks[h - 1] ? k : t->blocks[h - 1] - 1;
    }
    const int32_t *keys = (const int32_t *)t->level[0] + (size_t)k * PC_IP_NARROW_KEYS;
    k = k * PC_IP_NARROW_KEYS + pc_ip_count_narrow(keys, biased);
    return k < t->n ? k : t->n;
}

static inline uint32_t pc_ip_tree_rank_wide(const struct pc_ip_tree *t, uint64_t x)
{
    uint32_t k = 0;
    int64_t biased = (int64_t)(x ^ PC_IP_WIDE_BIAS);
    if (t->levels == 0)
        return 0;
    for (unsigned h = t->levels - 1; h > 0; h--) {
        const int64_t *keys = (const int64_t *)t->level[h] + (size_t)k * PC_IP_WIDE_KEYS;
        k = k * (PC_IP_WIDE_KEYS + 1) + pc_ip_count_wide(keys, biased);
        k = k < t->blocks[h - 1] ? k : t->blocks[h - 1] - 1;
    }
    const int64_t *keys = (const int64_t *)t->level[0] + (size_t)k * PC_IP_WIDE_KEYS;
    k = k * PC_IP_WIDE_KEYS + pc_ip_count_wide(keys, biased);
    return k < t->n ? k : t->n;
}

#ifdef __cplusplus
}
#endif
#endif
