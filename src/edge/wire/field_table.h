/* SPDX-License-Identifier: Apache-2.0
 * Which known field is this name? Private to this folder.
 *
 * One slot per name, computed from its length, first and last letter: the table is filled at
 * compile time, and two names on one slot do not compile (choose other factors). */
#ifndef PC_EDGE_WIRE_FIELD_TABLE_H
#define PC_EDGE_WIRE_FIELD_TABLE_H

#include "edge/wire/http.h"

#define PC_FIELD_SLOTS 128
#define PC_FIELD_SLOT(n, first, last)                                                              \
    (((unsigned)(n) + (unsigned)(first)*8u + (unsigned)(last)*5u) % PC_FIELD_SLOTS)
#define PC_FIELD_NAME_MIN 4 /* the comparison below reads 4 bytes at least */
#define PC_FIELD_NAME_MAX 31

struct pc_field_entry {
    uint8_t n;
    char name[PC_FIELD_NAME_MAX];
};

extern const struct pc_field_entry pc_field_entries[PC_FIELD_COUNT];
extern const uint8_t pc_field_slots[PC_FIELD_SLOTS];

static inline uint64_t pc_load64(const void *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint32_t pc_load32(const void *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Is p[0..n), made of tchars, equal to a lower-case name but for case? Setting bit 5 maps no other
 * tchar to a letter, digit or '-', so it is exact. The last load overlaps the one before. */
static inline bool pc_field_name_eq(const uint8_t *p, const char *name, size_t n)
{
    const uint64_t bit5 = UINT64_C(0x2020202020202020);
    if (n < 8) {
        uint32_t diff = (pc_load32(p) | (uint32_t)bit5) ^ pc_load32(name);
        diff |= (pc_load32(p + n - 4) | (uint32_t)bit5) ^ pc_load32(name + n - 4);
        return diff == 0;
    }
    uint64_t diff = (pc_load64(p + n - 8) | bit5) ^ pc_load64(name + n - 8);
    for (size_t i = 0; i + 8 < n; i += 8)
        diff |= (pc_load64(p + i) | bit5) ^ pc_load64(name + i);
    return diff == 0;
}

/* The name must be a token. */
static inline uint8_t pc_field_lookup(const uint8_t *name, size_t n)
{
    if (n < PC_FIELD_NAME_MIN)
        return PC_FIELD_OTHER;
    uint8_t id = pc_field_slots[PC_FIELD_SLOT(n, name[0] | 0x20, name[n - 1] | 0x20)];
    const struct pc_field_entry *e = &pc_field_entries[id];
    return e->n == n && pc_field_name_eq(name, e->name, n) ? id : (uint8_t)PC_FIELD_OTHER;
}

#endif
