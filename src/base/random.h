/* SPDX-License-Identifier: Apache-2.0
 * Random bytes from the kernel, and UUIDs made of random bytes the caller passes in. The first is
 * a system call: start-up, the command and top loops only; everything below takes its randomness
 * as an argument. */
#ifndef PC_BASE_RANDOM_H
#define PC_BASE_RANDOM_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills dst. Stops the process when the kernel cannot deliver: nothing here is safe without. */
void pc_random_bytes(void *dst, size_t n);
uint64_t pc_random_u64(void);

#define PC_UUID_CHARS 36

/* UUIDv7 (RFC 9562) of now_ms and 16 random bytes (10 of them are used), lower case, not
 * terminated. Pure. */
void pc_uuid7(int64_t now_ms, const uint8_t random[16], char ret_text[PC_UUID_CHARS]);

/* A small fast generator for places that need a stream of unpredictable-enough numbers without
 * system calls (request ids, sampling, jitter); seed it from pc_random_bytes. Owner thread only;
 * never for keys or tokens. (xoshiro256++) */
struct pc_prng {
    uint64_t s[4];
};
/* The seed may be anything; a zero state is avoided. */
void pc_prng_seed(struct pc_prng *g, const uint8_t seed[32]);
uint64_t pc_prng_u64(struct pc_prng *g);

#ifdef __cplusplus
}
#endif
#endif
