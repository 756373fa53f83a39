/* SPDX-License-Identifier: Apache-2.0
 * SipHash-c-d over little-endian words, written from the paper. Pure; any thread. */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32) + s->v3;
    s->v2 += s->v1;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

/* One load; compilers do not make one of the loop below. */
static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof(x));
    return le64toh(x);
}

/* Up to 7 bytes as a little-endian number on any processor. */
static inline uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static inline void absorb(struct state *s, uint64_t word, int rounds)
{
    s->v3 ^= word;
    for (int i = 0; i < rounds; i++)
        sip_round(s);
    s->v0 ^= word;
}

static inline struct state start(const uint8_t key[16])
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    /* The ASCII of "somepseudorandomlygeneratedbytes". */
    return (struct state){k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                          k1 ^ 0x7465646279746573};
}

/* The last n bytes, at most 7, at p. Where eight lie before their end, those are loaded, and what
 * stands in front shifted out. */
static inline uint64_t load_rest(const uint8_t *p, size_t n, bool eight_before_end)
{
    if (eight_before_end && n)
        return load_le64(p + n - 8) >> 8 * (8 - n);
    return load_le(p, n);
}

static inline uint64_t finish(struct state *s, uint64_t last_word, int rounds, int final_rounds)
{
    absorb(s, last_word, rounds);
    s->v2 ^= 0xff;
    for (int i = 0; i < final_rounds; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline __attribute__((always_inline)) uint64_t
siphash(const uint8_t key[16], const uint8_t *p, size_t n, int rounds, int final_rounds)
{
    struct state s = start(key);
    uint64_t length = (uint64_t)n << 56;
    bool long_enough = n >= 8;
    for (; n >= 8; p += 8, n -= 8)
        absorb(&s, load_le64(p), rounds);
    return finish(&s, length | load_rest(p, n, long_enough), rounds, final_rounds);
}

uint64_t pc_siphash24(const uint8_t key[16], const void *data, size_t n)
{
    return siphash(key, data, n, 2, 4);
}

uint64_t pc_siphash13(const uint8_t key[16], const void *data, size_t n)
{
    return siphash(key, data, n, 1, 3);
}

void pc_siphash24_begin(struct pc_siphash24_head *head, const uint8_t key[16], const void *data,
                        size_t n)
{
    const uint8_t *p = data;
    struct state s = start(key);
    head->n = n;
    for (; n >= 8; p += 8, n -= 8)
        absorb(&s, load_le64(p), 2);
    head->tail = load_le(p, n);
    head->v0 = s.v0;
    head->v1 = s.v1;
    head->v2 = s.v2;
    head->v3 = s.v3;
}

/* Words straddle the seam: each is what is left of the one before and the front of the next. */
uint64_t pc_siphash24_end(const struct pc_siphash24_head *head, const void *data, size_t n)
{
    const uint8_t *p = data;
    struct state s = {head->v0, head->v1, head->v2, head->v3};
    const unsigned shift = 8 * (unsigned)(head->n % 8);
    uint64_t left = head->tail, length = (head->n + n) << 56;
    bool long_enough = n >= 8;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word = load_le64(p);
        absorb(&s, left | word << shift, 2);
        left = word >> 1 >> (63 - shift); /* in two: shifting by 64 is undefined */
    }
    uint64_t rest = load_rest(p, n, long_enough);
    left |= rest << shift;
    if (8 * n + shift >= 64) {
        absorb(&s, left, 2);
        left = rest >> 1 >> (63 - shift);
    }
    return finish(&s, length | left, 2, 4);
}
