/* SPDX-License-Identifier: Apache-2.0
 * NH over 64-bit words, twice, then SipHash to choose a cache line. Pure; no tables, no
 * intrinsics: one 64 x 64 -> 128 bit multiplication per 16 bytes and pass is what it costs.
 *
 * The function (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999; RFC 4418 with
 * 32-bit words). A token of n bytes is written as its whole 16-byte blocks, its last 16 bytes
 * once more if it does not end on a block (padded with zeros if it has fewer), and the pair (n, 0):
 * p pairs of 64-bit words m[0..2p-1], different ones for different tokens. With key words k,
 *
 *     H_t(m) = sum over i < p of (m[2i] + k[2i+2t]) * (m[2i+1] + k[2i+1+2t])   mod 2^128
 *
 * where the inner additions are modulo 2^64; the digest is (H_0, H_1), 256 bits, all compared.
 *
 * Why one collision has probability at most 2^-126 over the key, for any two fixed tokens:
 *  - Equally many pairs. Let i be the last pair that differs, say in its first word. Pairs behind
 *    it cancel, so H_0 - H_0' does not contain k[2i+3]. Fix every key word but that one; then
 *    H_1 - H_1' = A(b + y) - A'(b' + y) + const with A != A' and y = k[2i+3] uniform, and at most
 *    one y in 2^64 makes it zero (UMAC, theorem 4.1). The same argument for H_0 with y = k[2i+1]:
 *    together 2^-128.
 *  - Different numbers of pairs. The last pair of the longer one meets two key words in H_1 that
 *    H_0 does not use. With all else fixed, H_1 = H_1' asks that a product of two uniform 64-bit
 *    words equal one constant: at most 2^65 of 2^128 pairs do (the constant 0; any other has
 *    fewer than 2^65 divisors). Likewise H_0: together 2^-126.
 *
 * Why that is enough against somebody who chooses tokens after seeing our answers. NH alone must
 * not be shown: differences of outputs, even of a few bits, tell about the key. Nothing of it is.
 * Outputs are compared within the process for equality only, and the choice of line and tag,
 * which eviction and timing may betray, is SipHash-1-3 of the output under an independent key: a
 * PRF. As long as no two tokens collide, all that can be observed is therefore independent of the
 * NH key, so choosing adaptively is no better than choosing in advance, and the union bound holds:
 * q tokens tried against n cached entries succeed with probability at most q n 2^-126. For a
 * core that sees 10^6 new tokens a second for ten years with 2^16 entries that is below 2^-61. The
 * key lives as long as the process. A successful collision would still have to meet an unexpired
 * entry of the same trust generation, and revocation is never keyed by this digest. */
#include "edge/state/token_hash.h"

#include "base/siphash.h"

typedef unsigned __int128 u128;

static inline uint64_t load_word(const uint8_t *p)
{
    /* Digests never leave the process, so its byte order is as good as any. */
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

struct nh_state {
    u128 pass0, pass1;
};

/* One pair of message words into both passes; k points at its four key words. */
static inline void nh_pair(struct nh_state *s, uint64_t m0, uint64_t m1, const uint64_t *k)
{
    s->pass0 += (u128)(m0 + k[0]) * (m1 + k[1]);
    s->pass1 += (u128)(m0 + k[2]) * (m1 + k[3]);
}

static inline void nh_block(struct nh_state *s, const uint8_t *p, const uint64_t *k)
{
    nh_pair(s, load_word(p), load_word(p + 8), k);
}

void pc_token_hash_key_init(struct pc_token_hash_key *key, const void *random_bytes)
{
    memcpy(key, random_bytes, sizeof(*key));
}

struct pc_token_digest pc_token_hash(const struct pc_token_hash_key *key, struct pc_bytes token)
{
    PC_ASSERT(token.n > 0 && token.n <= PC_TOKEN_HASH_MAX_BYTES);
    struct nh_state s = {0, 0};
    const uint64_t *k = key->nh;
    const uint8_t *p = token.p;
    size_t left = token.n;
    /* Four pairs a turn: enough products in flight to hide the carries. */
    for (; left >= 64; left -= 64, p += 64, k += 8) {
        nh_block(&s, p, k);
        nh_block(&s, p + 16, k + 2);
        nh_block(&s, p + 32, k + 4);
        nh_block(&s, p + 48, k + 6);
    }
    for (; left >= 16; left -= 16, p += 16, k += 2)
        nh_block(&s, p, k);
    if (left) {
        uint8_t padded[16] = {0};
        const uint8_t *last = token.p + token.n - 16;
        if (token.n < 16)
            last = memcpy(padded, token.p, token.n);
        nh_block(&s, last, k);
        k += 2;
    }
    nh_pair(&s, token.n, 0, k);
    PC_ASSERT_SLOW(k + 4 <= key->nh + PC_TOKEN_HASH_NH_WORDS);

    struct pc_token_digest d = {
        .nh = {(uint64_t)s.pass0, (uint64_t)(s.pass0 >> 64), (uint64_t)s.pass1,
               (uint64_t)(s.pass1 >> 64)}
    };
    d.index = pc_siphash13(key->index, d.nh, sizeof(d.nh));
    return d;
}
