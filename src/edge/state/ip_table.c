/* SPDX-License-Identifier: Apache-2.0
 * Matching and listing of a compiled IP table. No lock, no allocation, no clock. */
#include "edge/state/ip_table.h"

#include <stdlib.h>

#include "edge/state/ip_table_private.h"

/* ---- matching ---- */

/* Of the rules up to `i`, whose upper halves are at most key.hi: the last that begins at or before
 * key. Rules longer than /64 share their upper half with others, so this may have to go back: in
 * doubling steps, then by halves. PC_IP_NO_RULE: none. */
static uint32_t last_v6(const struct pc_ip_family *f, uint32_t i, struct pc_ip_key key)
{
    uint32_t step = 1, high = i; /* behind the answer */
    if (PC_LIKELY(pc_ip_tree_wide_key(&f->tree, i) != key.hi || f->low[i] <= key.lo))
        return i;
    uint32_t low;
    for (;;) {
        if (high == 0)
            return PC_IP_NO_RULE;
        low = high > step ? high - step : 0;
        if (pc_ip_tree_wide_key(&f->tree, low) != key.hi || f->low[low] <= key.lo)
            break;
        high = low;
        step *= 2;
    }
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (pc_ip_tree_wide_key(&f->tree, middle) != key.hi || f->low[middle] <= key.lo)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Every rule that contains the key contains rule i too, or is it: I1. They are found on the way
 * over its parents, and agree with it in their bits, so that comparing the key once is enough. */
static uint32_t climb(const struct pc_ip_table *t, const struct pc_ip_family *f, uint32_t i,
                      unsigned common, int64_t now_ms)
{
    while (i != PC_IP_NO_RULE) {
        const struct pc_ip_meta *m = &f->meta[i];
        if (m->bits <= common && PC_LIKELY(m->expiry == 0 || t->expiries[m->expiry] > now_ms))
            break;
        i = m->parent;
    }
    return i;
}

bool pc_ip_table_match(const struct pc_ip_table *t, const struct pc_ip *ip, int64_t now_ms,
                       struct pc_ip_hit *ret_hit)
{
    const struct pc_ip_family *f = ip->family == 6 ? &t->v6 : &t->v4;
    struct pc_ip_key key = pc_ip_key_of(ip);
    uint32_t i;
    if (PC_UNLIKELY(ip->family == 0) || !pc_ip_filter_passes(f, ip->family == 6, key.hi))
        return false;
    if (ip->family == 4)
        i = pc_ip_tree_rank_narrow(&f->tree, (uint32_t)(key.hi >> 32));
    else
        i = pc_ip_tree_rank_wide(&f->tree, key.hi);
    if (i-- == 0)
        return false;
    if (ip->family == 6) {
        i = last_v6(f, i, key);
        if (i == PC_IP_NO_RULE)
            return false;
    }
    i = climb(t, f, i, pc_ip_common_bits(key, pc_ip_family_key(f, i)), now_ms);
    if (i == PC_IP_NO_RULE)
        return false;
    ret_hit->rule = ip->family == 4 ? i : t->v4.n + i;
    ret_hit->bits = f->meta[i].bits;
    ret_hit->deny = f->meta[i].deny;
    return true;
}

/* ---- listing ---- */

uint32_t pc_ip_table_count(const struct pc_ip_table *t)
{
    return t->v4.n + t->v6.n;
}

static void put_be64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 8; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

void pc_ip_table_rule(const struct pc_ip_table *t, uint32_t index, struct pc_ip_rule *ret_rule)
{
    PC_ASSERT(index < pc_ip_table_count(t));
    const struct pc_ip_family *f = index < t->v4.n ? &t->v4 : &t->v6;
    uint32_t i = index < t->v4.n ? index : index - t->v4.n;
    const struct pc_ip_meta *m = &f->meta[i];
    struct pc_ip_key key = pc_ip_family_key(f, i);
    struct pc_ip_rule rule = {.deny = m->deny, .expires_at_ms = t->expiries[m->expiry]};
    uint16_t n;
    rule.cidr.ip.family = f->tree.wide ? 6 : 4;
    rule.cidr.bits = m->bits;
    put_be64(rule.cidr.ip.b, key.hi);
    put_be64(rule.cidr.ip.b + 8, key.lo);
    memcpy(&n, t->reasons + m->reason, sizeof n);
    rule.reason = pc_bytes_of(t->reasons + m->reason + sizeof n, n);
    *ret_rule = rule;
}

/* How many rules of the family stand at or before (key, bits). */
static uint32_t upper_bound(const struct pc_ip_family *f, struct pc_ip_key key, unsigned bits)
{
    uint32_t low = 0, high = f->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct pc_ip_key at = pc_ip_family_key(f, middle);
        bool behind = at.hi != key.hi   ? at.hi > key.hi
                      : at.lo != key.lo ? at.lo > key.lo
                                        : f->meta[middle].bits > bits;
        if (behind)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

uint32_t pc_ip_table_seek(const struct pc_ip_table *t, const struct pc_cidr *cidr)
{
    struct pc_ip_key key = pc_ip_key_of(&cidr->ip);
    if (cidr->ip.family == 4)
        return upper_bound(&t->v4, key, cidr->bits);
    return cidr->ip.family == 6 ? t->v4.n + upper_bound(&t->v6, key, cidr->bits) : 0;
}

size_t pc_ip_table_bytes(const struct pc_ip_table *t)
{
    return t->bytes;
}

static void free_family(struct pc_ip_family *f)
{
    pc_ip_tree_free(&f->tree);
    free(f->low);
    free(f->filter);
    free(f->meta);
}

void pc_ip_table_free(struct pc_ip_table *t)
{
    if (!t)
        return;
    free_family(&t->v4);
    free_family(&t->v6);
    free(t->expiries);
    free(t->reasons);
    free(t);
}
