/* SPDX-License-Identifier: Apache-2.0
 * Building, filling and retiring segments: the writer's side of revocations_segment.h, where the
 * layout and the invariants S1-S6 stand. The writer thread runs it (iteration: any RCU thread). */
#include "edge/state/revocations_segment.h"

#include "edge/state/revocations_walk.h"

void pc_revseg_probe(const struct pc_revseg *s, uint64_t fp, struct pc_revseg_probe *ret_probe)
{
    /* A constant number of columns folds into the arithmetic of the loop. */
    switch (s->columns) {
    case 2: pc_revseg_walk(s, s->pool->base, s->groups, 2, fp, ret_probe); break;
    case 3: pc_revseg_walk(s, s->pool->base, s->groups, 3, fp, ret_probe); break;
    default: pc_revseg_walk(s, s->pool->base, s->groups, 4, fp, ret_probe);
    }
}

uint32_t pc_revseg_slots_max(unsigned columns)
{
    return PC_REVSEG_BLOCKS_MAX * pc_revseg_groups_per_block(columns) * PC_REVSEG_SLOTS_PER_GROUP;
}

uint32_t pc_revseg_whole_slots(unsigned columns, uint32_t slots)
{
    uint32_t per_block = pc_revseg_groups_per_block(columns) * PC_REVSEG_SLOTS_PER_GROUP;
    return (slots + per_block - 1) / per_block * per_block;
}

/* ---- from and to the pool ---- */

/* Cuts a block into descriptors. They are few (two lines per some ten thousand entries), so the
 * block is never given back. */
static int more_descriptors(struct pc_revseg_pool *pool)
{
    int32_t block = pc_arena_take(pool->arena);
    if (block < 0)
        return block;
    struct pc_revseg *s = (void *)pc_arena_block(pool->base, (uint32_t)block);
    for (size_t i = 0; i < PC_ARENA_BLOCK_BYTES / sizeof *s; i++) {
        s[i].next = pool->free;
        pool->free = &s[i];
    }
    return 0;
}

static uint32_t block_number(const struct pc_revseg *s, uint32_t index)
{
    return s->blocks[3 * index] | (uint32_t)s->blocks[3 * index + 1] << 8 |
           (uint32_t)s->blocks[3 * index + 2] << 16;
}

static uint32_t blocks_of(const struct pc_revseg *s)
{
    return s->groups / pc_revseg_groups_per_block(s->columns);
}

uint32_t pc_revseg_highest_block(const struct pc_revseg *s)
{
    uint32_t highest = 0;
    for (uint32_t n = blocks_of(s), i = 0; i < n; i++)
        highest = (uint32_t)pc_max_u64(highest, block_number(s, i));
    return highest;
}

/* A block for s, all EMPTY: it may have served before. */
static int add_block(struct pc_revseg *s)
{
    uint32_t index = blocks_of(s), group_bytes = pc_revseg_group_bytes(s->columns);
    int32_t number = pc_arena_take(s->pool->arena);
    if (number < 0)
        return number;
    PC_ASSERT(index < PC_REVSEG_BLOCKS_MAX && (uint32_t)number < PC_ARENA_NUMBERS_MAX);
    for (unsigned i = 0; i < 3; i++)
        s->blocks[3 * index + i] = (uint8_t)((uint32_t)number >> 8 * i);
    uint8_t *p = pc_revseg_block(s, s->pool->base, index);
    for (uint32_t g = 0; g < pc_revseg_groups_per_block(s->columns); g++)
        memset(p + (size_t)g * group_bytes, PC_REVSEG_EMPTY, PC_REVSEG_SLOTS_PER_GROUP);
    s->groups = (uint16_t)(s->groups + pc_revseg_groups_per_block(s->columns));
    return 0;
}

/* Without this every insert at the limit of memory would clear blocks only to give them back. */
static bool has_blocks(const struct pc_revseg_pool *pool, unsigned columns, uint32_t slots)
{
    struct pc_arena_stats a;
    pc_arena_read_stats(pool->arena, &a);
    uint32_t groups = pc_revseg_whole_slots(columns, slots) / PC_REVSEG_SLOTS_PER_GROUP;
    size_t blocks = groups / pc_revseg_groups_per_block(columns);
    return a.limit_bytes - a.used_bytes >= blocks * PC_ARENA_BLOCK_BYTES;
}

struct pc_revseg *pc_revseg_new(struct pc_revseg_pool *pool, unsigned columns, uint32_t slots,
                                uint64_t prefix, unsigned bits)
{
    PC_ASSERT(columns >= 2 && columns <= PC_REV_COLUMNS);
    pc_revseg_settle(pool);
    if (slots > pc_revseg_slots_max(columns) || !has_blocks(pool, columns, slots) ||
        (!pool->free && more_descriptors(pool) < 0))
        return NULL;
    struct pc_revseg *s = pool->free;
    pool->free = s->next;
    *s = (struct pc_revseg){
        .prefix = prefix,
        .bits = (uint8_t)bits,
        .columns = (uint8_t)columns,
        .earliest = UINT64_MAX,
        .pool = pool,
    };
    do {
        if (add_block(s) < 0) {
            pc_revseg_discard(s);
            return NULL;
        }
    } while (pc_revseg_slots(s) < slots);
    return s;
}

void pc_revseg_discard(struct pc_revseg *s)
{
    struct pc_revseg_pool *pool = s->pool;
    for (uint32_t n = blocks_of(s), i = 0; i < n; i++)
        pc_arena_give(pool->arena, block_number(s, i));
    s->next = pool->free;
    pool->free = s;
}

static size_t bytes_of(const struct pc_revseg *s)
{
    return blocks_of(s) * PC_ARENA_BLOCK_BYTES;
}

/* On liburcu's thread, when no reader can hold the segment any more. */
static void give_back(struct pc_rcu_head *head)
{
    struct pc_revseg *s = PC_CONTAINER_OF(head, struct pc_revseg, head);
    struct pc_revseg_pool *pool = s->pool;
    for (uint32_t n = blocks_of(s), i = 0; i < n; i++)
        pc_arena_poison(pool->arena, block_number(s, i));
    s->next = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&pool->returned, &s->next, s,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

void pc_revseg_retire(struct pc_revseg *s)
{
    s->pool->retired_bytes += bytes_of(s);
    pc_rcu_retire(&s->head, give_back);
}

void pc_revseg_settle(struct pc_revseg_pool *pool)
{
    if (!atomic_load_explicit(&pool->returned, memory_order_relaxed))
        return;
    /* Taking the whole list at once leaves no window for ABA. */
    struct pc_revseg *s = atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (s) {
        struct pc_revseg *next = s->next;
        pool->returned_bytes += bytes_of(s);
        pc_revseg_discard(s);
        s = next;
    }
    PC_ASSERT(pool->returned_bytes <= pool->retired_bytes);
}

/* ---- slots ---- */

static void store_record(uint8_t *record, unsigned columns, const struct pc_rev_times *times)
{
    for (unsigned c = 0; c < columns; c++)
        pc_rev_time_store(record + (size_t)c * PC_REV_TIME_BYTES, times->at[c]);
}

void pc_revseg_insert(struct pc_revseg *s, const struct pc_revseg_probe *probe, uint64_t fp,
                      const struct pc_rev_times *times)
{
    uint8_t *group = probe->group;
    PC_ASSERT(group && group[probe->slot] == PC_REVSEG_EMPTY); /* S1 */
    PC_ASSERT(s->used + 1 < pc_revseg_slots(s));               /* S4 */
    memcpy(group + 16 + 8 * (size_t)probe->slot, &fp, sizeof fp);
    store_record(pc_revseg_record(group, probe->slot, s->columns), s->columns, times);
    pc_rev_torture_point();
    __atomic_store_n(&group[probe->slot], pc_revseg_tag(fp), __ATOMIC_RELEASE); /* S2 */
    s->used++;
    s->entries += probe->copies == 0;
    s->copies += probe->copies != 0;
    s->earliest = pc_min_u64(s->earliest, times->at[PC_REV_EXPIRY]);
}

/* Calls for each live slot of fp: overwrites its record, or kills it. Returns how many. */
static uint32_t change_copies(struct pc_revseg *s, uint64_t fp, const struct pc_rev_times *times)
{
    const uint8_t *base = s->pool->base;
    struct pc_revseg_place p = pc_revseg_start(s, base, s->groups, s->columns, fp);
    uint32_t changed = 0, empty = 0;
    for (uint32_t n = 0; n < s->groups && !empty; n++) { /* S3 */
        for (uint32_t m = pc_revseg_match(p.at, pc_revseg_tag(fp), &empty); m; m &= m - 1) {
            unsigned slot = (unsigned)__builtin_ctz(m);
            if (pc_revseg_fingerprint(p.at, slot) != fp)
                continue;
            pc_rev_torture_point();
            if (times)
                store_record(pc_revseg_record(p.at, slot, s->columns), s->columns, times);
            else
                __atomic_store_n(&p.at[slot], PC_REVSEG_DEAD, __ATOMIC_RELEASE); /* S1 */
            changed++;
        }
        pc_revseg_advance(s, base, s->groups, s->columns, &p);
    }
    return changed;
}

void pc_revseg_absorb(struct pc_revseg *s, uint64_t fp, const struct pc_rev_times *times)
{
    struct pc_revseg_probe probe;
    pc_revseg_probe(s, fp, &probe);
    if (probe.copies == 0) {
        pc_revseg_insert(s, &probe, fp, times);
        return;
    }
    /* Nobody else sees this segment yet, so S2 does not bind. `earliest` may stay too early. */
    struct pc_rev_times merged = probe.max;
    pc_rev_times_merge(&merged, times);
    uint32_t changed = change_copies(s, fp, &merged);
    PC_ASSERT(changed == 1 && probe.copies == 1);
}

/* A bit per slot in use: neither EMPTY nor DEAD. */
static inline uint32_t live_slots(const uint8_t *group)
{
#if PC_PORTABLE
    uint32_t live = 0;
    for (unsigned i = 0; i < PC_REVSEG_SLOTS_PER_GROUP; i++)
        live |= (uint32_t)(group[i] >= PC_REVSEG_LIVE) << i;
    return live;
#else
    __m128i tags = *(const __m128i *)(const void *)group;
    __m128i raised = _mm_max_epu8(tags, _mm_set1_epi8(PC_REVSEG_LIVE));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, raised));
#endif
}

/* Raises a record to the maximum with another. */
static void merge_record(uint8_t *into, const uint8_t *from, unsigned columns)
{
    for (unsigned c = 0; c < columns; c++, into += PC_REV_TIME_BYTES, from += PC_REV_TIME_BYTES)
        pc_rev_time_store(into, pc_max_u64(pc_rev_time_load(into), pc_rev_time_load(from)));
}

/* Adds a slot to an unpublished segment; or merges into the one of the same fingerprint, which is
 * looked for only if there may be one. */
static inline __attribute__((always_inline)) void put(struct pc_revseg *s, const uint8_t *base,
                                                      unsigned columns, bool copies, uint64_t fp,
                                                      const uint8_t *record)
{
    struct pc_revseg_place p = pc_revseg_start(s, base, s->groups, columns, fp);
    const uint8_t tag = pc_revseg_tag(fp);
    uint32_t empty, match;
    for (;;) { /* S4 ends it */
        match = pc_revseg_match(p.at, tag, &empty);
        for (; copies && match; match &= match - 1) {
            unsigned at = (unsigned)__builtin_ctz(match);
            if (pc_revseg_fingerprint(p.at, at) == fp) {
                merge_record(pc_revseg_record(p.at, at, columns), record, columns);
                return;
            }
        }
        if (PC_LIKELY(empty))
            break;
        pc_revseg_advance(s, base, s->groups, columns, &p);
    }
    unsigned slot = (unsigned)__builtin_ctz(empty);
    memcpy(p.at + 16 + 8 * (size_t)slot, &fp, sizeof fp);
    memcpy(pc_revseg_record(p.at, slot, columns), record, (size_t)columns * PC_REV_TIME_BYTES);
    p.at[slot] = tag;
    s->used++;
    s->entries++;
    s->earliest = pc_min_u64(s->earliest, pc_rev_time_load(record));
}

/* The order of the slots is about that of their new places, so both segments are walked through
 * once. */
static inline __attribute__((always_inline)) void take_over(struct pc_revseg *const into[2],
                                                            const struct pc_revseg *from,
                                                            unsigned shift, unsigned columns,
                                                            bool copies)
{
    const uint8_t *base = from->pool->base;
    const uint32_t per_block = pc_revseg_groups_per_block(columns);
    _Static_assert(PC_REV_EXPIRY == 0, "put() takes the first time for the expiry");
    for (uint32_t g = 0; g < from->groups; g++) {
        const uint8_t *group = pc_revseg_block(from, base, g / per_block) +
                               (size_t)(g % per_block) * pc_revseg_group_bytes(columns);
        for (uint32_t live = live_slots(group); live; live &= live - 1) {
            unsigned slot = (unsigned)__builtin_ctz(live);
            uint64_t fp = pc_revseg_fingerprint(group, slot);
            struct pc_revseg *s = into[fp >> shift & 1];
            PC_ASSERT(s->used + 1 < pc_revseg_slots(s)); /* S4 */
            put(s, base, columns, copies, fp, pc_revseg_record(group, slot, columns));
        }
    }
}

void pc_revseg_absorb_all(struct pc_revseg *const into[2], const struct pc_revseg *from,
                          unsigned shift)
{
    PC_ASSERT(into[0]->used == 0 && into[1]->used == 0);
    if (from->columns > 2)
        take_over(into, from, shift, from->columns, true);
    else if (from->copies)
        take_over(into, from, shift, 2, true);
    else
        take_over(into, from, shift, 2, false);
}

uint32_t pc_revseg_kill(struct pc_revseg *s, uint64_t fp)
{
    uint32_t killed = change_copies(s, fp, NULL);
    PC_ASSERT(killed == 0 || s->entries > 0);
    s->entries -= killed > 0;
    return killed;
}

bool pc_revseg_next(const struct pc_revseg *s, struct pc_revseg_iter *iter)
{
    const uint32_t group_bytes = pc_revseg_group_bytes(s->columns);
    const uint32_t per_block = pc_revseg_groups_per_block(s->columns);
    const uint32_t slots = pc_revseg_slots(s);
    while (iter->index < slots) {
        unsigned slot = iter->index % PC_REVSEG_SLOTS_PER_GROUP;
        uint32_t g = iter->index / PC_REVSEG_SLOTS_PER_GROUP;
        if (slot == 0)
            iter->group = g % per_block ? iter->group + group_bytes
                                        : pc_revseg_block(s, s->pool->base, g / per_block);
        iter->index++;
        uint8_t tag = __atomic_load_n(&iter->group[slot], __ATOMIC_ACQUIRE);
        PC_ASSERT_SLOW(tag != PC_REVSEG_POISON);
        if (tag < PC_REVSEG_LIVE)
            continue;
        const uint8_t *record = pc_revseg_record(iter->group, slot, s->columns);
        iter->fp = pc_revseg_fingerprint(iter->group, slot);
        for (unsigned c = 0; c < s->columns; c++)
            iter->times.at[c] = pc_rev_time_load(record + (size_t)c * PC_REV_TIME_BYTES);
        return true;
    }
    return false;
}
