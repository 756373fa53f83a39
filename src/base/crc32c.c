/* SPDX-License-Identifier: Apache-2.0
 * CRC-32C with the processor's instruction where the build allows it (x86-64-v2 has SSE4.2), else
 * with a small table. Pure; any thread. */
#include "base/crc32c.h"

#include <string.h>

#if defined(__SSE4_2__) && !PC_PORTABLE
#include <nmmintrin.h>
#define HARDWARE_CRC 1
#else
#define HARDWARE_CRC 0
#endif

#define POLYNOMIAL 0x82f63b78u
#define STEP(c)    (((c) >> 1) ^ (POLYNOMIAL & (0u - ((c)&1))))
#define STEP2(c)   STEP(STEP(c))
#define STEP4(c)   STEP2(STEP2(c))

/* The register after one nibble, computed by the compiler; 16 entries used twice per byte fit one
 * cache line, and the portable path need not be the fast one. */
static const uint32_t nibble[16] = {
    STEP4(0u), STEP4(1u), STEP4(2u),  STEP4(3u),  STEP4(4u),  STEP4(5u),  STEP4(6u),  STEP4(7u),
    STEP4(8u), STEP4(9u), STEP4(10u), STEP4(11u), STEP4(12u), STEP4(13u), STEP4(14u), STEP4(15u),
};

uint32_t pc_crc32c_portable(uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

uint32_t pc_crc32c(uint32_t crc, const void *data, size_t n)
{
#if HARDWARE_CRC
    const uint8_t *p = data;
    uint64_t c = ~crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; n; p++, n--)
        c = _mm_crc32_u8((uint32_t)c, *p);
    return ~(uint32_t)c;
#else
    return pc_crc32c_portable(crc, data, n);
#endif
}
