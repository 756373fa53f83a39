/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78): the checksum of everything on disk.
 * Pure; any thread. */
#ifndef PC_BASE_CRC32C_H
#define PC_BASE_CRC32C_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Continues the checksum crc over n more bytes; start with 0. So for any split of a message,
 * pc_crc32c(pc_crc32c(0, a), b) is the checksum of a followed by b. */
uint32_t pc_crc32c(uint32_t crc, const void *data, size_t n);

/* The same without special instructions (what other processors use); for tests. */
uint32_t pc_crc32c_portable(uint32_t crc, const void *data, size_t n);

#ifdef __cplusplus
}
#endif
#endif
