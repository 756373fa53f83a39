/* SPDX-License-Identifier: Apache-2.0
 * What the router's compiler (routes_compile.c) builds and its look-up (routes.c) reads; private to
 * the two.
 *
 * Patterns fall into shapes: how many segments, which of them are literal, and whether anything may
 * follow. There are few shapes and many patterns, so a look-up asks for each shape that fits the
 * path's length, the most specific first, one hash table for "these literals in this shape" (R1).
 * The hash of literals is a sum over positions; the sum over a whole path is known once, and a
 * shape's is that of its first segments less those it leaves open.
 *
 *   bucket   one pattern: its literals, and the rules that share it, ordered by host
 *   entry    one rule with one of its hosts */
#ifndef PC_EDGE_STATE_ROUTES_PRIVATE_H
#define PC_EDGE_STATE_ROUTES_PRIVATE_H

#include "edge/state/routes.h"

#define PC_ROUTE_METHODS_MAX 32 /* different ones in all rules */

enum pc_route_shape_kind { PC_SHAPE_WHOLE, PC_SHAPE_PREFIX, PC_SHAPE_ANY };

struct pc_route_shape {
    uint32_t open; /* bit i: segment i is {…} */
    uint8_t kind;  /* enum pc_route_shape_kind */
    uint8_t depth; /* segments */
};

struct pc_route_literal {
    uint32_t off; /* in texts */
    uint16_t n;
    uint16_t at; /* which segment */
};

/* Entries with an exact host come first, ordered by hash; then suffixes, longest first; then any.
 */
struct pc_route_bucket {
    uint64_t hash;
    uint32_t shape;
    uint32_t literals, literal_n;
    uint32_t entries;
    uint32_t exact_n, suffix_n, any_n;
};

struct pc_route_entry {
    uint64_t host_hash; /* of exact ones */
    uint32_t host;      /* in texts; of a suffix with its dot: ".example" */
    uint16_t host_n;
    uint8_t host_kind; /* enum pc_route_host */
    uint32_t methods;  /* 0: any */
    uint32_t listeners;
    uint32_t route;
    uint32_t bucket;
};

enum pc_route_host { PC_HOST_EXACT, PC_HOST_SUFFIX, PC_HOST_ANY };

struct pc_route_slot {
    uint32_t tag;    /* upper half of the hash */
    uint32_t bucket; /* index + 1; 0: empty */
};

struct pc_route_method {
    uint32_t off; /* in texts */
    uint32_t n;
};

struct pc_routes {
    unsigned needs, rules;
    uint32_t shape_n, bucket_n, entry_n, literal_n, text_n, method_n;
    uint32_t get_bit, head_bit; /* of methods; 0: no rule names it */
    uint32_t slot_mask;
    struct pc_route_shape *shapes; /* most specific first */
    struct pc_route_bucket *buckets;
    struct pc_route_entry *entries;
    struct pc_route_literal *literals;
    struct pc_route_slot *slots;
    uint8_t *texts;
    struct pc_route_method methods[PC_ROUTE_METHODS_MAX];
    /* The shapes that fit a path of so many segments (the last one: more than fit a pattern). */
    uint32_t fit_from[PC_ROUTE_SEGMENTS_MAX + 3];
    uint16_t *fits;
    uint32_t fit_n;
};

#define PC_ROUTE_PRIME_1 UINT64_C(0x9e3779b97f4a7c15)
#define PC_ROUTE_PRIME_2 UINT64_C(0xd6e8feb86659fd93)

static inline uint64_t pc_route_load64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t pc_route_load32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Not keyed: the table holds what the configuration says, and a request adds nothing to it, so
 * nobody can make it slow by choosing names; equal hashes are compared byte by byte. */
static inline uint64_t pc_route_hash(const uint8_t *p, size_t n)
{
    uint64_t h = n * PC_ROUTE_PRIME_2, last;
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            h = (h ^ pc_route_load64(p + i)) * PC_ROUTE_PRIME_1;
            h ^= h >> 32;
        }
        last = pc_route_load64(p + n - 8);
    } else if (n >= 4) {
        last = pc_route_load32(p) << 32 | pc_route_load32(p + n - 4);
    } else {
        last = n ? (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
    }
    h = (h ^ last) * PC_ROUTE_PRIME_1;
    return h ^ h >> 29;
}

/* What segment `at` adds to the sum. */
static inline uint64_t pc_route_segment_hash(const uint8_t *p, size_t n, unsigned at)
{
    uint64_t h = (pc_route_hash(p, n) + at) * PC_ROUTE_PRIME_2;
    return h ^ h >> 32;
}

static inline uint64_t pc_route_shape_hash(const struct pc_route_shape *s, uint64_t sum)
{
    uint64_t h = sum + ((uint64_t)s->open << 16 | (uint64_t)s->depth << 8 | s->kind);
    h *= PC_ROUTE_PRIME_1;
    return h ^ h >> 31;
}

/* The host of "host:port", without the dot that ends an absolute name. */
static inline struct pc_bytes pc_route_host_of(struct pc_bytes host)
{
    const uint8_t *colon, *close;
    if (host.n && host.p[0] == '[' && (close = memchr(host.p, ']', host.n)))
        return pc_bytes_of(host.p + 1, (size_t)(close - host.p - 1));
    colon = host.n ? memchr(host.p, ':', host.n) : NULL;
    /* More than one colon: an IPv6 address without brackets. */
    if (colon && !memchr(colon + 1, ':', host.n - (size_t)(colon + 1 - host.p)))
        host.n = (size_t)(colon - host.p);
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    return host;
}

static inline uint8_t pc_route_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

#endif
