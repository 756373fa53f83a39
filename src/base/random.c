/* SPDX-License-Identifier: Apache-2.0
 * getrandom(2), UUIDv7 and xoshiro256++. */
#include "base/random.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"

#if !PC_PORTABLE && defined(__SSSE3__)
#define RANDOM_SSE 1
#include <tmmintrin.h>
#else
#define RANDOM_SSE 0
#endif

void pc_random_bytes(void *dst, size_t n)
{
    uint8_t *p = dst;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        PC_ASSERT(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

uint64_t pc_random_u64(void)
{
    uint64_t x;
    pc_random_bytes(&x, sizeof x);
    return x;
}

#if RANDOM_SSE

/* The 16 bytes' nibbles become 32 digits, which are moved apart by the dashes. */
static inline void put_uuid(uint64_t high, uint64_t low, char text[PC_UUID_CHARS])
{
    const __m128i nibble = _mm_set1_epi8(15);
    const __m128i digits = _mm_setr_epi8('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b',
                                         'c', 'd', 'e', 'f');
    __m128i x = _mm_set_epi64x((int64_t)htobe64(low), (int64_t)htobe64(high));
    __m128i upper = _mm_and_si128(_mm_srli_epi16(x, 4), nibble), lower = _mm_and_si128(x, nibble);
    __m128i a = _mm_shuffle_epi8(digits, _mm_unpacklo_epi8(upper, lower)); /* digits 0..15 */
    __m128i b = _mm_shuffle_epi8(digits, _mm_unpackhi_epi8(upper, lower)); /* digits 16..31 */
    __m128i front =
        _mm_shuffle_epi8(/* characters 0..15 */
                         a, _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -1, 8, 9, 10, 11, -1, 12, 13));
    __m128i back =
        _mm_shuffle_epi8(/* characters 20..35 */
                         b, _mm_setr_epi8(1, 2, 3, -1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    front = _mm_or_si128(front, _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, '-', 0, 0, 0, 0, '-', 0, 0));
    back = _mm_or_si128(back, _mm_cvtsi32_si128('-' << 24));
    uint32_t rest = (uint32_t)_mm_cvtsi128_si32(_mm_alignr_epi8(b, a, 14)); /* 14, 15, 16 */
    rest = (rest & 0xffff) | (uint32_t)'-' << 16 | (rest & 0xff0000) << 8;
    _mm_storeu_si128((void *)text, front);
    memcpy(text + 16, &rest, sizeof rest);
    _mm_storeu_si128((void *)(text + 20), back);
}

#else

/* Eight hexadecimal digits at once: the nibbles are spread over the bytes of a word, and those
 * from 10 on get the distance from '0' + 10 to 'a' added. */
static inline void put_hex32(uint32_t value, char dst[8])
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x = value;
    x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
    x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (x + 6 * ones) >> 4 & ones;
    x = htobe64(x + '0' * ones + ('a' - '0' - 10) * letters);
    memcpy(dst, &x, sizeof x);
}

static inline void put_uuid(uint64_t high, uint64_t low, char text[PC_UUID_CHARS])
{
    char hex[32];
    put_hex32((uint32_t)(high >> 32), hex);
    put_hex32((uint32_t)high, hex + 8);
    put_hex32((uint32_t)(low >> 32), hex + 16);
    put_hex32((uint32_t)low, hex + 24);
    memcpy(text, hex, 8);
    memcpy(text + 9, hex + 8, 4);
    memcpy(text + 14, hex + 12, 4);
    memcpy(text + 19, hex + 16, 4);
    memcpy(text + 24, hex + 20, 12);
    text[8] = text[13] = text[18] = text[23] = '-';
}

#endif

/*  0                 6        8                 16
 *  | unix time in ms | 7 rand | 10 rand … rand |      (version 7, variant 10) */
void pc_uuid7(int64_t now_ms, const uint8_t random[16], char ret_text[PC_UUID_CHARS])
{
    uint64_t high, low;
    memcpy(&high, random, sizeof high);
    memcpy(&low, random + 8, sizeof low);
    high = be64toh(high), low = be64toh(low);
    high = (uint64_t)now_ms << 16 | 0x7000 | (high & 0x0fff);
    low = UINT64_C(2) << 62 | (low & (UINT64_MAX >> 2));
    put_uuid(high, low, ret_text);
    _Static_assert(PC_UUID_CHARS == 36, "32 digits, 4 dashes");
}

void pc_prng_seed(struct pc_prng *g, const uint8_t seed[32])
{
    memcpy(g->s, seed, sizeof g->s);
    g->s[0] |= 1; /* the all-zero state would stay zero */
}

static inline uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t pc_prng_u64(struct pc_prng *g)
{
    uint64_t *s = g->s, result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}
