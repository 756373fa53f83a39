/* SPDX-License-Identifier: Apache-2.0
 * The table's inside, shared by ip_build.c and ip_table.c only. */
#ifndef PC_EDGE_STATE_IP_TABLE_PRIVATE_H
#define PC_EDGE_STATE_IP_TABLE_PRIVATE_H

#include "edge/state/ip_table.h"
#include "edge/state/ip_tree.h"

#define PC_IP_NO_RULE UINT32_MAX

/* A rule without its address. */
struct pc_ip_meta {
    uint32_t parent; /* PC_IP_NO_RULE: none */
    uint32_t reason; /* where it stands in `reasons` */
    uint32_t expiry; /* index in `expiries`; 0: never */
    uint8_t bits;
    bool deny;
};

/* A filter in front of the search: a bit for the first 16 bits of v4 addresses, or a hash of the
 * first 32 of v6 ones; 0 where no rule can match. Most clients are on no list, and lists fill a
 * small part of the address space. */
#define PC_IP_FILTER_BITS  65536u
#define PC_IP_FILTER_BYTES (PC_IP_FILTER_BITS / 8)

/* The rules of one family. The tree's keys are v4 addresses, or the upper halves of v6 ones; of
 * equal keys rank() finds the last. */
struct pc_ip_family {
    struct pc_ip_tree tree;
    uint64_t *low;    /* [n], v6 only: lower halves */
    uint64_t *filter; /* NULL: it would not be worth its memory, or let too much pass */
    struct pc_ip_meta *meta;
    uint32_t n;
};

struct pc_ip_table {
    struct pc_ip_family v4, v6;
    int64_t *expiries; /* [0] is INT64_MAX */
    uint8_t *reasons;  /* each a length of two bytes (native) and the text; at 0 the empty one */
    size_t bytes;
};

/* An address as two numbers; v4 stands in the upper 32 bits of hi. */
struct pc_ip_key {
    uint64_t hi, lo;
};

static inline uint64_t pc_ip_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline struct pc_ip_key pc_ip_key_of(const struct pc_ip *ip)
{
    return (struct pc_ip_key){pc_ip_be64(ip->b), pc_ip_be64(ip->b + 8)};
}

static inline struct pc_ip_key pc_ip_family_key(const struct pc_ip_family *f, uint32_t i)
{
    if (f->tree.wide)
        return (struct pc_ip_key){pc_ip_tree_wide_key(&f->tree, i), f->low[i]};
    return (struct pc_ip_key){(uint64_t)pc_ip_tree_narrow_key(&f->tree, i) << 32, 0};
}

static inline uint32_t pc_ip_filter_bit(bool v6, uint64_t hi)
{
    return v6 ? (uint32_t)(hi >> 32) * 0x9e3779b1u >> 16 : (uint32_t)(hi >> 48);
}

static inline bool pc_ip_filter_passes(const struct pc_ip_family *f, bool v6, uint64_t hi)
{
    uint32_t bit = pc_ip_filter_bit(v6, hi);
    return !f->filter || (f->filter[bit / 64] >> (bit % 64) & 1);
}

/* How many leading bits are equal: 0 to 128. */
static inline unsigned pc_ip_common_bits(struct pc_ip_key a, struct pc_ip_key b)
{
    if (a.hi != b.hi)
        return (unsigned)__builtin_clzll(a.hi ^ b.hi);
    return a.lo == b.lo ? 128 : 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
}

#endif
