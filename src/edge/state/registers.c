/* SPDX-License-Identifier: Apache-2.0
 * Merging registers: both sides sorted, then one pass; everything lands in one allocation. */
#include "edge/state/registers.h"

#include <stdlib.h>

/* Order of the array: by key, the durable one first. */
static int compare_place(const struct pc_register *a, const struct pc_register *b)
{
    size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
    int order = n ? memcmp(a->key.p, b->key.p, n) : 0;
    if (order == 0 && a->key.n != b->key.n)
        order = a->key.n < b->key.n ? -1 : 1;
    return order ? order : (int)a->ephemeral - (int)b->ephemeral;
}

/* Whether a was written after b; equal stamps name the same write. */
static bool is_newer(const struct pc_register *a, const struct pc_register *b)
{
    return a->hlc != b->hlc ? a->hlc > b->hlc : a->node > b->node;
}

/* By place, the newest of one place first. */
static int compare_changes(const void *x, const void *y)
{
    const struct pc_register *const *a = x, *const *b = y;
    int order = compare_place(*a, *b);
    return order ? order : is_newer(*a, *b) ? -1 : is_newer(*b, *a) ? 1 : 0;
}

static bool is_forgotten(const struct pc_register *r, int64_t before_ms)
{
    return (r->deleted && r->at_ms < before_ms) || r->expires_at_ms < before_ms;
}

static bool same_key(const struct pc_register *a, const struct pc_register *b)
{
    return pc_bytes_eq(a->key, b->key);
}

/* Whether `r` stays, given the durable register before it (NULL: none): an ephemeral one only if
 * the durable one of its key is not newer, be that one itself forgotten. */
static bool survives(const struct pc_register *r, const struct pc_register *durable,
                     int64_t forget_before_ms)
{
    if (r->ephemeral && durable && same_key(durable, r) && is_newer(durable, r))
        return false;
    return !is_forgotten(r, forget_before_ms);
}

/* Merges two sorted runs into out; returns how many remain. */
static size_t merge(const struct pc_registers *old, const struct pc_register **changes, size_t n,
                    int64_t forget_before_ms, const struct pc_register **out)
{
    size_t a = 0, b = 0, kept = 0, old_n = old ? old->count : 0;
    const struct pc_register *durable = NULL;
    while (a < old_n || b < n) {
        int order = a == old_n ? 1 : b == n ? -1 : compare_place(&old->at[a], changes[b]);
        const struct pc_register *winner = order <= 0 ? &old->at[a] : changes[b];
        if (order == 0 && is_newer(changes[b], winner))
            winner = changes[b];
        a += order <= 0;
        /* Of the changes of one place the newest stands first: skip the rest. */
        while (b < n && compare_place(changes[b], winner) == 0)
            b++;
        if (survives(winner, durable, forget_before_ms))
            out[kept++] = winner;
        if (!winner->ephemeral)
            durable = winner;
    }
    return kept;
}

static struct pc_bytes keep(uint8_t **at, struct pc_bytes s)
{
    struct pc_bytes kept = pc_bytes_of(*at, s.n);
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

static int copy(const struct pc_register *const *from, size_t n, struct pc_registers **ret_r)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += from[i]->key.n + from[i]->value.n + from[i]->actor.n + from[i]->reason.n;
    struct pc_registers *r = malloc(sizeof *r + n * sizeof r->at[0] + bytes);
    if (!r)
        return -ENOMEM;
    uint8_t *at = (uint8_t *)&r->at[n], *end = at + bytes;
    r->count = n;
    for (size_t i = 0; i < n; i++) {
        r->at[i] = *from[i];
        r->at[i].key = keep(&at, from[i]->key);
        r->at[i].value = keep(&at, from[i]->value);
        r->at[i].actor = keep(&at, from[i]->actor);
        r->at[i].reason = keep(&at, from[i]->reason);
    }
    PC_ASSERT(at == end);
    *ret_r = r;
    return 0;
}

int pc_registers_merge(const struct pc_registers *old, const struct pc_register *changes, size_t n,
                       int64_t forget_before_ms, size_t max, struct pc_registers **ret_r)
{
    size_t most = n + (old ? old->count : 0);
    const struct pc_register **run = malloc((n + most + 1) * sizeof *run);
    if (!run)
        return -ENOMEM;
    const struct pc_register **out = run + n;
    for (size_t i = 0; i < n; i++)
        run[i] = &changes[i];
    qsort(run, n, sizeof *run, compare_changes);
    size_t kept = merge(old, run, n, forget_before_ms, out);
    PC_ASSERT(kept <= most);
    int rc = kept > max ? PC_E_FULL : copy(out, kept, ret_r);
    free(run);
    return rc;
}

void pc_registers_free(struct pc_registers *r)
{
    free(r);
}

/* The first register whose key is not below `key`. */
static size_t lower_bound(const struct pc_registers *r, struct pc_bytes key)
{
    const struct pc_register wanted = {.key = key};
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_place(&r->at[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of the one or two registers of the key at `at`, the one in effect; *ret_next is behind them. */
static const struct pc_register *in_effect(const struct pc_registers *r, size_t at,
                                           size_t *ret_next)
{
    const struct pc_register *first = &r->at[at];
    if (at + 1 == r->count || !same_key(first, first + 1)) {
        *ret_next = at + 1;
        return first;
    }
    *ret_next = at + 2;
    return is_newer(first + 1, first) ? first + 1 : first;
}

const struct pc_register *pc_registers_find(const struct pc_registers *r, struct pc_bytes key)
{
    size_t next, at = r ? lower_bound(r, key) : 0;
    if (!r || at == r->count || !pc_bytes_eq(r->at[at].key, key))
        return NULL;
    return in_effect(r, at, &next);
}

const struct pc_register *pc_registers_next(const struct pc_registers *r, size_t *at)
{
    while (r && *at < r->count) {
        const struct pc_register *found = in_effect(r, *at, at);
        if (!found->deleted)
            return found;
    }
    return NULL;
}
