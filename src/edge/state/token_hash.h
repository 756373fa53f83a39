/* SPDX-License-Identifier: Apache-2.0
 * A keyed hash of the exact bytes of a token: the name under which the verified-token cache
 * keeps what it knows. Pure; the key is random bytes given by the caller, drawn once per process,
 * never written anywhere, never sent.
 *
 * Two inputs with equal digests are taken to be the same token without comparing the bytes, so a
 * collision would let one token pass as another. token_hash.c states why an attacker who chooses
 * all tokens, and sees every answer and its timing, succeeds with probability at most
 * (tokens sent) x (entries cached) x 2^-126, plus the advantage against SipHash as a PRF. */
#ifndef PC_EDGE_STATE_TOKEN_HASH_H
#define PC_EDGE_STATE_TOKEN_HASH_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Longer tokens are refused before they are hashed (asserted). */
#define PC_TOKEN_HASH_MAX_BYTES 8192
/* Key words of NH: one pair per 16 bytes of token, one for the length, one for the second pass. */
#define PC_TOKEN_HASH_NH_WORDS (2 * (PC_TOKEN_HASH_MAX_BYTES / 16 + 2))

struct pc_token_hash_key {
    uint64_t nh[PC_TOKEN_HASH_NH_WORDS];
    uint8_t index[16];
};

/* `nh` decides equality, all of it; `index` chooses where to look and decides nothing. */
struct pc_token_digest {
    uint64_t nh[4];
    uint64_t index;
};

/* Fills the key from sizeof(struct pc_token_hash_key) uniformly random bytes. */
void pc_token_hash_key_init(struct pc_token_hash_key *key, const void *random_bytes);

/* The digest of token; 1 to PC_TOKEN_HASH_MAX_BYTES bytes of any value. */
struct pc_token_digest pc_token_hash(const struct pc_token_hash_key *key, struct pc_bytes token);

static inline bool pc_token_digest_eq(const uint64_t a[4], const uint64_t b[4])
{
    return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

#ifdef __cplusplus
}
#endif
#endif
