/* SPDX-License-Identifier: Apache-2.0
 * Numbers in files: little-endian at any address. Pure. */
#ifndef PC_JOURNAL_LE_H
#define PC_JOURNAL_LE_H

#include <string.h>

#include "base/def.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal's files are little-endian: add byte swaps here"
#endif

static inline uint32_t pc_le_get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t pc_le_get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void pc_le_put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void pc_le_put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

#endif
