/* SPDX-License-Identifier: Apache-2.0
 * From rules to a table: collect, sort, fold duplicates, link parents, index. One thread. A million
 * rules take a few hundred milliseconds and 32 MB beside the table itself. */
#include <stdlib.h>

#include "base/siphash.h"
#include "edge/state/ip_table.h"
#include "edge/state/ip_table_private.h"

#define REASON_LENGTH_BYTES 2

struct record {
    struct pc_ip_key key;
    uint32_t reason, expiry;
    uint8_t family, bits;
    bool deny;
};

struct pc_ip_builder {
    struct record *records;
    uint32_t n, cap;
    int64_t *expiries;
    uint32_t expiry_n, expiry_cap;
    uint8_t *reasons;
    uint32_t reasons_n, reasons_cap;
    uint32_t *known; /* reasons by hash: where they stand, 0 = free; at most half full */
    uint32_t known_n, known_cap;
};

/* ---- collecting ---- */

/* Makes room for `more` beyond n of a growing array; *cap counts elements. */
static int grow(void *array, uint32_t *cap, uint32_t n, uint32_t more, size_t element_bytes)
{
    void *old, *grown;
    uint64_t want = (uint64_t)n + more, room = *cap ? *cap : 64;
    if (want <= *cap)
        return 0;
    while (room < want)
        room *= 2;
    memcpy(&old, array, sizeof old);
    grown = realloc(old, room * element_bytes);
    if (!grown)
        return -ENOMEM;
    memcpy(array, &grown, sizeof grown);
    *cap = (uint32_t)room;
    return 0;
}

static struct pc_bytes reason_at(const struct pc_ip_builder *b, uint32_t at)
{
    uint16_t n;
    memcpy(&n, b->reasons + at, sizeof n);
    return pc_bytes_of(b->reasons + at + REASON_LENGTH_BYTES, n);
}

static int append_reason(struct pc_ip_builder *b, struct pc_bytes reason, uint32_t *ret_at)
{
    uint16_t n = (uint16_t)reason.n;
    uint32_t at = b->reasons_n;
    if (at + REASON_LENGTH_BYTES + reason.n > PC_IP_REASON_BYTES_MAX)
        return PC_E_FULL;
    int rc = grow(&b->reasons, &b->reasons_cap, at, REASON_LENGTH_BYTES + n, 1);
    if (rc < 0)
        return rc;
    memcpy(b->reasons + at, &n, sizeof n);
    if (n)
        memcpy(b->reasons + at + REASON_LENGTH_BYTES, reason.p, n);
    b->reasons_n = at + REASON_LENGTH_BYTES + n;
    *ret_at = at;
    return 0;
}

/* The slot where the reason stands, or would stand. The key of the hash is no secret: who writes
 * rules may slow down nobody but himself. */
static uint32_t *slot_of(const struct pc_ip_builder *b, struct pc_bytes reason)
{
    static const uint8_t key[16] = {0};
    uint32_t i = (uint32_t)pc_siphash13(key, reason.p, reason.n);
    for (;; i++) {
        uint32_t *slot = &b->known[i & (b->known_cap - 1)];
        if (*slot == 0 || pc_bytes_eq(reason_at(b, *slot), reason))
            return slot;
    }
}

static int grow_known(struct pc_ip_builder *b)
{
    struct pc_ip_builder old = *b;
    uint32_t cap = old.known_cap ? 2 * old.known_cap : 256;
    if (2 * (old.known_n + 1) <= old.known_cap)
        return 0;
    uint32_t *known = calloc(cap, sizeof *known);
    if (!known)
        return -ENOMEM;
    b->known = known;
    b->known_cap = cap;
    for (uint32_t i = 0; i < old.known_cap; i++)
        if (old.known[i])
            *slot_of(b, reason_at(b, old.known[i])) = old.known[i];
    free(old.known);
    return 0;
}

/* The same words stand in a table once: lists repeat them. */
static int keep_reason(struct pc_ip_builder *b, struct pc_bytes reason, uint32_t *ret_at)
{
    int rc = reason.n ? grow_known(b) : 0;
    if (rc < 0)
        return rc;
    if (reason.n == 0) {
        *ret_at = 0;
        return 0;
    }
    uint32_t *slot = slot_of(b, reason);
    if (*slot == 0) {
        rc = append_reason(b, reason, slot);
        b->known_n += rc == 0;
    }
    *ret_at = *slot;
    return rc;
}

static int keep_expiry(struct pc_ip_builder *b, int64_t expires_at_ms, uint32_t *ret_index)
{
    /* Rules of one import often expire together. */
    if (b->expiries[b->expiry_n - 1] != expires_at_ms && expires_at_ms != INT64_MAX) {
        int rc = grow(&b->expiries, &b->expiry_cap, b->expiry_n, 1, sizeof *b->expiries);
        if (rc < 0)
            return rc;
        b->expiries[b->expiry_n++] = expires_at_ms;
    }
    *ret_index = expires_at_ms == INT64_MAX ? 0 : b->expiry_n - 1;
    return 0;
}

/* What stands at index 0 of both: never, and no reason. */
static int begin(struct pc_ip_builder *b)
{
    uint32_t at;
    int rc = grow(&b->expiries, &b->expiry_cap, 0, 1, sizeof *b->expiries);
    if (rc == 0)
        rc = append_reason(b, PC_LIT(""), &at);
    if (rc < 0)
        return rc;
    PC_ASSERT(at == 0);
    b->expiries[0] = INT64_MAX;
    b->expiry_n = 1;
    return 0;
}

int pc_ip_builder_new(struct pc_ip_builder **ret_b)
{
    struct pc_ip_builder *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    *ret_b = b;
    return 0;
}

static void empty(struct pc_ip_builder *b)
{
    free(b->records);
    free(b->expiries);
    free(b->reasons);
    free(b->known);
    *b = (struct pc_ip_builder){0};
}

void pc_ip_builder_free(struct pc_ip_builder *b)
{
    if (!b)
        return;
    empty(b);
    free(b);
}

int pc_ip_builder_add(struct pc_ip_builder *b, const struct pc_ip_rule *rule)
{
    PC_ASSERT(rule->cidr.ip.family == 4 || rule->cidr.ip.family == 6);
    PC_ASSERT(rule->cidr.bits <= (rule->cidr.ip.family == 4 ? 32 : 128));
    PC_ASSERT(rule->reason.n <= PC_IP_REASON_MAX);
    struct record r = {.key = pc_ip_key_of(&rule->cidr.ip),
                       .family = rule->cidr.ip.family,
                       .bits = rule->cidr.bits,
                       .deny = rule->deny};
    if (b->n >= PC_IP_TABLE_RULES_MAX)
        return PC_E_FULL;
    int rc = b->expiry_n ? 0 : begin(b);
    if (rc == 0)
        rc = grow(&b->records, &b->cap, b->n, 1, sizeof *b->records);
    if (rc == 0)
        rc = keep_reason(b, rule->reason, &r.reason);
    if (rc == 0)
        rc = keep_expiry(b, rule->expires_at_ms, &r.expiry);
    if (rc == 0)
        b->records[b->n++] = r;
    return rc;
}

/* ---- sorting ---- */

static int order(const void *left, const void *right)
{
    const struct record *a = left, *b = right;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->key.hi != b->key.hi)
        return a->key.hi < b->key.hi ? -1 : 1;
    if (a->key.lo != b->key.lo)
        return a->key.lo < b->key.lo ? -1 : 1;
    return (int)a->bits - (int)b->bits;
}

static struct pc_ip address_of(const struct record *r)
{
    struct pc_ip ip = {.family = r->family};
    for (unsigned i = 0; i < 8; i++) {
        ip.b[i] = (uint8_t)(r->key.hi >> (56 - 8 * i));
        ip.b[8 + i] = (uint8_t)(r->key.lo >> (56 - 8 * i));
    }
    return ip;
}

static int contradiction(const struct record *r, struct pc_why *why)
{
    struct pc_cidr cidr = {address_of(r), r->bits};
    char text[PC_CIDR_TEXT_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    pc_cidr_format(&cidr, &b);
    return pc_fail(why, PC_E_DUPLICATE, "%.*s is both allowed and denied", (int)b.len, text);
}

/* Sorted, and each network once: I1. */
static int fold(struct pc_ip_builder *b, struct pc_why *why)
{
    uint32_t kept = 0;
    if (b->n > 1)
        qsort(b->records, b->n, sizeof *b->records, order);
    for (uint32_t i = 0; i < b->n; i++) {
        struct record *r = &b->records[i], *last = kept ? &b->records[kept - 1] : NULL;
        if (!last || order(last, r) != 0) {
            b->records[kept++] = *r;
            continue;
        }
        if (last->deny != r->deny)
            return contradiction(r, why);
        if (b->expiries[r->expiry] > b->expiries[last->expiry] ||
            (b->expiries[r->expiry] == b->expiries[last->expiry] && last->reason == 0))
            *last = *r;
    }
    b->n = kept;
    return 0;
}

/* ---- the table ---- */

/* I2: the rules that contain the one at hand form a stack, because networks never overlap by
 * halves and the containing ones stand before it. */
static void link_parents(struct pc_ip_family *f)
{
    uint32_t top = PC_IP_NO_RULE;
    for (uint32_t i = 0; i < f->n; i++) {
        struct pc_ip_key key = pc_ip_family_key(f, i);
        while (top != PC_IP_NO_RULE &&
               pc_ip_common_bits(pc_ip_family_key(f, top), key) < f->meta[top].bits)
            top = f->meta[top].parent;
        PC_ASSERT(top == PC_IP_NO_RULE || f->meta[top].bits < f->meta[i].bits);
        f->meta[i].parent = top;
        top = i;
    }
}

/* Fewer rules are searched as quickly. */
#define FILTER_RULES_MIN 32u
/* Bits one rule may set; a shorter v6 prefix would set them all over the hash. */
#define FILTER_RULE_BITS 256u

/* The bits of all addresses the rule contains; false if they are too many. */
static bool filter_rule(struct pc_ip_family *f, bool v6, uint64_t hi, unsigned bits)
{
    unsigned index_bits = v6 ? 32 : 16;
    uint64_t count = bits < index_bits ? UINT64_C(1) << (index_bits - bits) : 1;
    if (v6 && count > FILTER_RULE_BITS)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t bit = pc_ip_filter_bit(v6, hi + (i << (64 - index_bits)));
        f->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
    }
    return true;
}

/* It stays only if it keeps most addresses out. Without memory the table works without. */
static void make_filter(struct pc_ip_family *f, bool v6)
{
    uint32_t set = 0;
    bool good = true;
    if (f->n < FILTER_RULES_MIN)
        return;
    f->filter = calloc(1, PC_IP_FILTER_BYTES);
    for (uint32_t i = 0; f->filter && i < f->n && good; i++)
        good = filter_rule(f, v6, pc_ip_family_key(f, i).hi, f->meta[i].bits);
    for (uint32_t i = 0; f->filter && i < PC_IP_FILTER_BITS / 64; i++)
        set += (uint32_t)__builtin_popcountll(f->filter[i]);
    if (good && set <= PC_IP_FILTER_BITS / 2)
        return;
    free(f->filter);
    f->filter = NULL;
}

static int make_family(struct pc_ip_family *f, const struct record *records, uint32_t n, bool wide)
{
    f->n = n;
    int rc = pc_ip_tree_new(n, wide, &f->tree);
    if (rc < 0)
        return rc;
    f->meta = n ? malloc(n * sizeof *f->meta) : NULL;
    f->low = n && wide ? malloc(n * sizeof *f->low) : NULL;
    if (n && (!f->meta || (wide && !f->low)))
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        const struct record *r = &records[i];
        pc_ip_tree_set(&f->tree, i, wide ? r->key.hi : r->key.hi >> 32);
        if (wide)
            f->low[i] = r->key.lo;
        f->meta[i] = (struct pc_ip_meta){
            .reason = r->reason, .expiry = r->expiry, .bits = r->bits, .deny = r->deny};
    }
    pc_ip_tree_index(&f->tree);
    link_parents(f);
    make_filter(f, wide);
    return 0;
}

static size_t family_bytes(const struct pc_ip_family *f)
{
    return f->tree.bytes + f->n * (sizeof *f->meta + (f->low ? sizeof *f->low : 0)) +
           (f->filter ? PC_IP_FILTER_BYTES : 0);
}

/* Gives back what doubling took too much; a failure to shrink changes nothing. */
static void *trim(void *p, size_t bytes)
{
    void *trimmed = realloc(p, bytes);
    return trimmed ? trimmed : p;
}

static int make(struct pc_ip_builder *b, struct pc_ip_table *t)
{
    uint32_t n4 = 0;
    while (n4 < b->n && b->records[n4].family == 4)
        n4++;
    int rc = b->expiry_n ? 0 : begin(b);
    if (rc == 0)
        rc = make_family(&t->v4, b->records, n4, false);
    if (rc == 0)
        rc = make_family(&t->v6, n4 ? b->records + n4 : b->records, b->n - n4, true);
    if (rc < 0)
        return rc;
    t->expiries = trim(b->expiries, b->expiry_n * sizeof *b->expiries);
    t->reasons = trim(b->reasons, b->reasons_n);
    b->expiries = NULL;
    b->reasons = NULL;
    t->bytes = sizeof *t + family_bytes(&t->v4) + family_bytes(&t->v6) +
               b->expiry_n * sizeof *t->expiries + b->reasons_n;
    return 0;
}

int pc_ip_builder_finish(struct pc_ip_builder *b, struct pc_ip_table **ret_t, struct pc_why *why)
{
    int rc = fold(b, why);
    if (rc < 0)
        return rc;
    struct pc_ip_table *t = calloc(1, sizeof *t);
    rc = t ? make(b, t) : -ENOMEM;
    if (rc < 0) {
        pc_ip_table_free(t);
        return pc_fail(why, rc, "no memory for %u IP rules", b->n);
    }
    empty(b);
    *ret_t = t;
    return 0;
}
