/* SPDX-License-Identifier: Apache-2.0
 * SHA-256, written from FIPS 180-4, with the processor's instructions where it has them (x86-64-v2
 * does not promise them: asked at run time). Pure; any thread. */
#include "base/sha256.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && !PC_PORTABLE
#include <immintrin.h>
#include <sys/platform/x86.h>
#define HARDWARE_SHA 1
#define WITH_SHA     static inline __attribute__((always_inline, target("sha,sse4.1")))
#else
#define HARDWARE_SHA 0
#endif

#define BLOCK_BYTES 64

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotr(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

static void schedule(uint32_t w[64], const uint8_t block[BLOCK_BYTES])
{
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
}

/* v: the working variables of the standard. Instead of moving each to the next one, a round that
 * is the t-th finds its `a` t places further down. */
static inline __attribute__((always_inline)) void step(uint32_t v[8], int t, uint32_t kw)
{
    uint32_t a = v[-t & 7], b = v[(1 - t) & 7], c = v[(2 - t) & 7];
    uint32_t e = v[(4 - t) & 7], f = v[(5 - t) & 7], g = v[(6 - t) & 7];
    uint32_t s1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
    uint32_t t1 = v[(7 - t) & 7] + s1 + ((e & f) ^ (~e & g)) + kw;
    uint32_t s0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
    v[(3 - t) & 7] += t1;
    v[(7 - t) & 7] = t1 + s0 + ((a & b) ^ (a & c) ^ (b & c));
}

static void compress_portable(uint32_t h[8], const uint8_t *p, size_t blocks)
{
    for (; blocks; p += BLOCK_BYTES, blocks--) {
        uint32_t w[64], v[8];
        schedule(w, p);
        memcpy(v, h, sizeof v);
        for (int t = 0; t < 64; t += 8) {
            step(v, 0, k[t] + w[t]);
            step(v, 1, k[t + 1] + w[t + 1]);
            step(v, 2, k[t + 2] + w[t + 2]);
            step(v, 3, k[t + 3] + w[t + 3]);
            step(v, 4, k[t + 4] + w[t + 4]);
            step(v, 5, k[t + 5] + w[t + 5]);
            step(v, 6, k[t + 6] + w[t + 6]);
            step(v, 7, k[t + 7] + w[t + 7]);
        }
        for (int i = 0; i < 8; i++)
            h[i] += v[i];
    }
}

#if HARDWARE_SHA
/* The instructions keep the working variables as two vectors, a b e f and c d g h from the highest
 * lane down. One does two rounds and makes a new first vector of both; the old first one is the
 * new second one. Four words of the schedule stand in a vector, the first in the lowest lane. */
struct lanes {
    __m128i abef, cdgh, w[4];
};

/* Four rounds with the i-th four words of the schedule. */
WITH_SHA void four_rounds(struct lanes *l, unsigned i)
{
    __m128i kw =
        _mm_add_epi32(l->w[i % 4], _mm_loadu_si128((const __m128i *)(const void *)(k + 4 * i)));
    l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, kw);
    l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(kw, 0x0e));
}

/* Replaces the i-th four words by those 16 words on. */
WITH_SHA void advance(struct lanes *l, unsigned i)
{
    __m128i seventh = _mm_alignr_epi8(l->w[(i + 3) % 4], l->w[(i + 2) % 4], 4);
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(l->w[i % 4], l->w[(i + 1) % 4]), seventh);
    l->w[i % 4] = _mm_sha256msg2_epu32(sum, l->w[(i + 3) % 4]);
    four_rounds(l, i);
}

WITH_SHA void one_block(struct lanes *l, const uint8_t *p)
{
    const __m128i big_endian =
        _mm_set_epi64x(INT64_C(0x0c0d0e0f08090a0b), INT64_C(0x0405060700010203));
    for (unsigned i = 0; i < 4; i++) {
        __m128i words = _mm_loadu_si128((const __m128i *)(const void *)(p + (size_t)16 * i));
        l->w[i] = _mm_shuffle_epi8(words, big_endian);
        four_rounds(l, i);
    }
    for (unsigned i = 4; i < 16; i += 4) {
        advance(l, i);
        advance(l, i + 1);
        advance(l, i + 2);
        advance(l, i + 3);
    }
}

__attribute__((target("sha,sse4.1"))) static void compress_hardware(uint32_t h[8], const uint8_t *p,
                                                                    size_t blocks)
{
    struct lanes l = {.abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]),
                      .cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7])};
    for (; blocks; p += BLOCK_BYTES, blocks--) {
        const struct lanes before = l;
        one_block(&l, p);
        l.abef = _mm_add_epi32(l.abef, before.abef);
        l.cdgh = _mm_add_epi32(l.cdgh, before.cdgh);
    }
    h[0] = (uint32_t)_mm_extract_epi32(l.abef, 3);
    h[1] = (uint32_t)_mm_extract_epi32(l.abef, 2);
    h[2] = (uint32_t)_mm_extract_epi32(l.cdgh, 3);
    h[3] = (uint32_t)_mm_extract_epi32(l.cdgh, 2);
    h[4] = (uint32_t)_mm_extract_epi32(l.abef, 1);
    h[5] = (uint32_t)_mm_extract_epi32(l.abef, 0);
    h[6] = (uint32_t)_mm_extract_epi32(l.cdgh, 1);
    h[7] = (uint32_t)_mm_extract_epi32(l.cdgh, 0);
}
#endif

static void compress(struct pc_sha256 *s, const uint8_t *p, size_t blocks)
{
#if HARDWARE_SHA
    /* The C library asked the processor once, at the start: asking is slow in a virtual machine. */
    if (!s->portable && CPU_FEATURE_ACTIVE(SHA)) {
        compress_hardware(s->h, p, blocks);
        return;
    }
#endif
    compress_portable(s->h, p, blocks);
}

void pc_sha256_init(struct pc_sha256 *s)
{
    *s = (struct pc_sha256){
        .h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
              0x5be0cd19}
    };
}

void pc_sha256_update(struct pc_sha256 *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    size_t at = s->bytes % BLOCK_BYTES;
    s->bytes += n;
    if (at) {
        size_t take = pc_min_u64(n, BLOCK_BYTES - at);
        memcpy(s->block + at, p, take);
        p += take;
        n -= take;
        if (at + take < BLOCK_BYTES)
            return;
        compress(s, s->block, 1);
    }
    if (n >= BLOCK_BYTES)
        compress(s, p, n / BLOCK_BYTES);
    if (n % BLOCK_BYTES)
        memcpy(s->block, p + n / BLOCK_BYTES * BLOCK_BYTES, n % BLOCK_BYTES);
}

void pc_sha256_final(struct pc_sha256 *s, uint8_t ret_digest[PC_SHA256_BYTES])
{
    static const uint8_t padding[64] = {0x80};
    uint64_t bits = s->bytes * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    /* One 0x80 and zeros up to 56 of 64, then the length. */
    pc_sha256_update(s, padding, 1 + (119 - s->bytes % 64) % 64);
    pc_sha256_update(s, length, sizeof length);
    PC_ASSERT(s->bytes % 64 == 0);
    for (int i = 0; i < 32; i++)
        ret_digest[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void pc_sha256(const void *data, size_t n, uint8_t ret_digest[PC_SHA256_BYTES])
{
    struct pc_sha256 s;
    pc_sha256_init(&s);
    pc_sha256_update(&s, data, n);
    pc_sha256_final(&s, ret_digest);
}
