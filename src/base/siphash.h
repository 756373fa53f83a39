/* SPDX-License-Identifier: Apache-2.0
 * SipHash (Aumasson and Bernstein): a keyed hash that outsiders without the key cannot aim.
 * 2-4 for fingerprints that are stored; 1-3 where only a table's layout depends on it.
 * Pure; any thread. */
#ifndef PC_BASE_SIPHASH_H
#define PC_BASE_SIPHASH_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

uint64_t pc_siphash24(const uint8_t key[16], const void *data, size_t n);
uint64_t pc_siphash13(const uint8_t key[16], const void *data, size_t n);

/* SipHash-2-4 of texts that begin alike: what they share is absorbed once. end(begin(a), b) is the
 * hash of a and b in a row. */
struct pc_siphash24_head {
    uint64_t v0, v1, v2, v3;
    uint64_t tail; /* the last n % 8 bytes, not absorbed yet */
    uint64_t n;
};
void pc_siphash24_begin(struct pc_siphash24_head *head, const uint8_t key[16], const void *data,
                        size_t n);
uint64_t pc_siphash24_end(const struct pc_siphash24_head *head, const void *data, size_t n);

#ifdef __cplusplus
}
#endif
#endif
