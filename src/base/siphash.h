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

#ifdef __cplusplus
}
#endif
#endif
