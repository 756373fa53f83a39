/* SPDX-License-Identifier: Apache-2.0
 * Building a static B+-tree over sorted keys: level 0 as given, then each level from the one below.
 * Owns the tree's one piece of memory. */
#include "edge/state/ip_tree.h"

#include <stdlib.h>

static uint32_t keys_of(const struct pc_ip_tree *t)
{
    return t->wide ? PC_IP_WIDE_KEYS : PC_IP_NARROW_KEYS;
}

/* Blocks of each level, from the keys up to the one block that is the root. */
static void measure(struct pc_ip_tree *t)
{
    uint32_t blocks = (t->n + keys_of(t) - 1) / keys_of(t);
    t->levels = 0;
    while (t->n > 0) {
        PC_ASSERT(t->levels < PC_IP_TREE_LEVELS_MAX);
        t->blocks[t->levels++] = blocks;
        t->bytes += (size_t)blocks * PC_CACHE_LINE;
        if (blocks == 1)
            break;
        blocks = (blocks + keys_of(t)) / (keys_of(t) + 1);
    }
}

int pc_ip_tree_new(uint32_t n, bool wide, struct pc_ip_tree *ret_t)
{
    struct pc_ip_tree t = {.n = n, .wide = wide};
    measure(&t);
    uint8_t *at = t.bytes ? aligned_alloc(PC_CACHE_LINE, t.bytes) : NULL;
    if (t.bytes && !at)
        return -ENOMEM;
    for (unsigned h = 0; h < t.levels; h++) {
        t.level[h] = at;
        at += (size_t)t.blocks[h] * PC_CACHE_LINE;
    }
    *ret_t = t;
    return 0;
}

static void put(struct pc_ip_tree *t, unsigned level, size_t index, uint64_t key)
{
    if (t->wide)
        ((uint64_t *)t->level[level])[index] = key ^ PC_IP_WIDE_BIAS;
    else
        ((uint32_t *)t->level[level])[index] = (uint32_t)key ^ PC_IP_NARROW_BIAS;
}

void pc_ip_tree_set(struct pc_ip_tree *t, uint32_t index, uint64_t key)
{
    PC_ASSERT(index < t->n);
    put(t, 0, index, key);
}

/* The smallest key under block k of a level: the first of its leftmost leaf. */
static uint64_t smallest(const struct pc_ip_tree *t, unsigned level, size_t k)
{
    for (; level > 0; level--)
        k *= keys_of(t) + 1;
    size_t index = k * keys_of(t);
    PC_ASSERT(index < t->n);
    return t->wide ? pc_ip_tree_wide_key(t, (uint32_t)index)
                   : pc_ip_tree_narrow_key(t, (uint32_t)index);
}

void pc_ip_tree_index(struct pc_ip_tree *t)
{
    uint32_t keys = keys_of(t);
    if (t->levels == 0)
        return;
    for (size_t i = t->n; i < (size_t)t->blocks[0] * keys; i++)
        put(t, 0, i, UINT64_MAX);
    for (unsigned h = 1; h < t->levels; h++) {
        for (size_t i = 0; i < (size_t)t->blocks[h] * keys; i++) {
            size_t child = i / keys * (keys + 1) + i % keys + 1;
            put(t, h, i, child < t->blocks[h - 1] ? smallest(t, h - 1, child) : UINT64_MAX);
        }
    }
}

void pc_ip_tree_free(struct pc_ip_tree *t)
{
    free(t->level[0]);
    *t = (struct pc_ip_tree){0};
}
