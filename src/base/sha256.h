/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 (FIPS 180-4), small, for what needs it outside of tokens: the chain of the audit's lines,
 * hashes of administrator tokens and of the configuration. Here so that this library depends on
 * neither of the two TLS libraries. Not for secrets whose timing an attacker can watch.
 * Pure; any thread. */
#ifndef PC_BASE_SHA256_H
#define PC_BASE_SHA256_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_SHA256_BYTES 32

struct pc_sha256 {
    uint32_t h[8];
    uint64_t bytes; /* total length so far */
    uint8_t block[64];
    bool portable; /* without the processor's instructions: for tests, after pc_sha256_init() */
};

void pc_sha256_init(struct pc_sha256 *s);
void pc_sha256_update(struct pc_sha256 *s, const void *data, size_t n);
void pc_sha256_final(struct pc_sha256 *s, uint8_t ret_digest[PC_SHA256_BYTES]);

/* All three at once. */
void pc_sha256(const void *data, size_t n, uint8_t ret_digest[PC_SHA256_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
