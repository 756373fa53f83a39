/* SPDX-License-Identifier: Apache-2.0
 * getrandom(2), UUIDv7 and xoshiro256++. */
#include "base/random.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"

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

/*  0                 6        8                 16
 *  | unix time in ms | 7 rand | 10 rand … rand |      (version 7, variant 10) */
void pc_uuid7(int64_t now_ms, const uint8_t random[16], char ret_text[PC_UUID_CHARS])
{
    uint64_t high, low;
    char hex[32];
    memcpy(&high, random, sizeof high);
    memcpy(&low, random + 8, sizeof low);
    high = be64toh(high), low = be64toh(low);
    high = (uint64_t)now_ms << 16 | 0x7000 | (high & 0x0fff);
    low = UINT64_C(2) << 62 | (low & (UINT64_MAX >> 2));
    put_hex32((uint32_t)(high >> 32), hex);
    put_hex32((uint32_t)high, hex + 8);
    put_hex32((uint32_t)(low >> 32), hex + 16);
    put_hex32((uint32_t)low, hex + 24);
    memcpy(ret_text, hex, 8);
    memcpy(ret_text + 9, hex + 8, 4);
    memcpy(ret_text + 14, hex + 12, 4);
    memcpy(ret_text + 19, hex + 16, 4);
    memcpy(ret_text + 24, hex + 20, 12);
    ret_text[8] = ret_text[13] = ret_text[18] = ret_text[23] = '-';
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
