/* SPDX-License-Identifier: Apache-2.0
 * getrandom(2), UUIDv7 and xoshiro256++. */
#include "base/random.h"

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

/*  0                 6        8                 16
 *  | unix time in ms | 7 rand | 10 rand … rand |      (version 7, variant 10) */
void pc_uuid7(int64_t now_ms, const uint8_t random[16], char ret_text[PC_UUID_CHARS])
{
    static const uint8_t dash_before[] = {4, 6, 8, 10};
    uint8_t id[16];
    memcpy(id, random, sizeof id);
    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
    id[6] = (uint8_t)(0x70 | (id[6] & 0x0f));
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3f));
    size_t at = 0, dash = 0;
    for (size_t i = 0; i < sizeof id; i++) {
        if (dash < PC_COUNT(dash_before) && dash_before[dash] == i) {
            ret_text[at++] = '-';
            dash++;
        }
        pc_hex_encode(id + i, 1, ret_text + at);
        at += 2;
    }
    PC_ASSERT(at == PC_UUID_CHARS);
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
