/* SPDX-License-Identifier: Apache-2.0
 * The verified-token cache: an index of 8-way sets, one cache line each, over a ring of entries;
 * and a small table of refused tokens. Owned by one core thread, no locks. Never reads a clock,
 * never allocates after creation.
 *
 *   index line (64 bytes)              ring (memory_bytes, units of 64 bytes)
 *   +---------------------------+      +-----------+-------+------------------+--------
 *   | tag[8]  16 bits each, 0 = |      | entry 192 | blob  | entry 192 | blob | ...
 *   |         free              |      +-----------+-------+------------------+--------
 *   | ref[8]  unit in the ring  |        ^ tail: oldest              ^ head: next one goes here
 *   | used    one bit per way   |      An entry lies in one piece: the index line and the entry's
 *   +---------------------------+      first line are the misses of a hit, the rest is prefetched.
 *
 * A ring instead of size classes: blobs from 100 bytes to 4 KiB share the memory without
 * fragments or classes that run dry. To make room the tail advances: dead entries are dropped,
 * an entry used since it was written moves to the head once more (second chance), others are
 * evicted. A full set evicts within itself, dead ones first; what it drops stays in the ring as
 * dead until the tail comes by.
 *
 *   I1  A way with a tag names a live entry whose digest belongs to this set, and every live entry
 *       is named by exactly one way.
 *   I2  used_units is the sum of the sizes from tail to head; it never exceeds the ring.
 *   I3  live never exceeds the configured number of entries.
 *   I4  The good tokens and the failures share no memory: neither can evict the other. */
#include "edge/state/token_cache.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/err.h"

enum {
    WAYS = 8,
    UNIT_BYTES = 64,
    FAILURE_WAYS = 4,
    /* Entries moved to the head per insert at most, so that an insert is bounded. Those in use
     * gather in runs; passing a run evicts one in this many, which is then verified again. */
    RESCUES_MAX = 32,
    RING_ENTRIES_MIN = 4,
    HUGE_PAGE_BYTES = 2 << 20,
};

struct index_line {
    uint16_t tag[WAYS];
    uint32_t ref[WAYS];
    uint8_t used;
    uint8_t unused[15];
} PC_ALIGNED_LINE;

enum entry_state { ENTRY_DEAD, ENTRY_LIVE };

/* Line 0 is what a hit compares and reads first. */
struct entry {
    uint64_t nh[4];
    uint64_t index;
    uint32_t units; /* of this entry, blob included; from here to the next one */
    uint32_t state;
    struct pc_cached_token token;
    uint8_t blob[];
} PC_ALIGNED_LINE;

struct failure {
    uint64_t nh[4];
    uint64_t trust_generation;
    int64_t until_ms; /* 0, as mapped: free */
    uint32_t code;
    uint8_t unused[12];
} PC_ALIGNED_LINE;

_Static_assert(sizeof(struct index_line) == PC_CACHE_LINE, "one set is one cache line");
_Static_assert(sizeof(struct entry) == 3 * PC_CACHE_LINE, "three lines before the blob");
_Static_assert(sizeof(struct failure) == PC_CACHE_LINE, "one failure is one cache line");

#define ENTRY_UNITS_MAX ((sizeof(struct entry) + PC_TOKEN_CACHE_BLOB_MAX_BYTES) / UNIT_BYTES)

struct pc_token_cache {
    struct index_line *lines;
    struct entry *ring;
    struct failure *failures;
    uint64_t set_mask, failure_mask; /* sets - 1 */
    uint32_t ring_units;
    uint32_t head, tail, used_units;
    uint32_t entries_max, live;
    uint32_t failure_hand; /* which way of a full failure set goes next */
    const void *owner;
    size_t map_bytes;
    void *map;
    struct pc_token_cache_stats stats;
};

/* Its address names the calling thread; bound on first use, because the thread that creates a
 * core's state need not be the core. */
static _Thread_local char this_thread;

static void assert_owner(struct pc_token_cache *c)
{
    if (PC_UNLIKELY(c->owner == NULL))
        c->owner = &this_thread;
    PC_ASSERT(c->owner == &this_thread);
}

/* --- creation --------------------------------------------------------------------------- */

static uint64_t round_up_pow2(uint64_t n)
{
    return n <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(n - 1));
}

static size_t align_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

struct layout {
    uint64_t sets, failure_sets;
    size_t ring_bytes, failures_at, ring_at, total_bytes;
};

static int layout_of(const struct pc_token_cache_options *o, struct layout *ret_layout)
{
    uint64_t entries = o->entries ? o->entries : PC_TOKEN_CACHE_ENTRIES_DEFAULT;
    uint64_t failures = o->failures ? o->failures : PC_TOKEN_CACHE_FAILURES_DEFAULT;
    size_t memory = o->memory_bytes ? o->memory_bytes : entries * PC_TOKEN_CACHE_BYTES_PER_ENTRY;
    memory = pc_max_u64(memory, RING_ENTRIES_MIN * ENTRY_UNITS_MAX * UNIT_BYTES);
    if (entries > PC_TOKEN_CACHE_ENTRIES_MAX || failures > PC_TOKEN_CACHE_ENTRIES_MAX ||
        memory / UNIT_BYTES >= UINT32_MAX)
        return -EINVAL;
    /* Twice as many ways as entries: with sets half full, about 1 % of inserts meet a full set. */
    struct layout l = {.sets = round_up_pow2(2 * entries) / WAYS,
                       .failure_sets = round_up_pow2(failures) / FAILURE_WAYS,
                       .ring_bytes = align_up(memory, UNIT_BYTES)};
    l.sets = pc_max_u64(l.sets, 1);
    l.failure_sets = pc_max_u64(l.failure_sets, 1);
    l.failures_at = l.sets * sizeof(struct index_line);
    l.ring_at = l.failures_at + l.failure_sets * FAILURE_WAYS * sizeof(struct failure);
    l.total_bytes = align_up(l.ring_at + l.ring_bytes, HUGE_PAGE_BYTES);
    *ret_layout = l;
    return 0;
}

/* Pages come zeroed and become resident when first touched; huge ones, because hits are spread
 * over all of it. */
static int map_memory(struct pc_token_cache *c, size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    (void)madvise(p, bytes, MADV_HUGEPAGE); /* an optimisation only */
    c->map = p;
    c->map_bytes = bytes;
    return 0;
}

int pc_token_cache_create(const struct pc_token_cache_options *options,
                          struct pc_token_cache **ret_cache)
{
    struct layout l;
    int err = layout_of(options, &l);
    if (err)
        return err;
    struct pc_token_cache *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    err = map_memory(c, l.total_bytes);
    if (err) {
        free(c);
        return err;
    }
    uint8_t *base = c->map;
    c->lines = (void *)base;
    c->failures = (void *)(base + l.failures_at);
    c->ring = (void *)(base + l.ring_at);
    c->set_mask = l.sets - 1;
    c->failure_mask = l.failure_sets - 1;
    c->ring_units = (uint32_t)(l.ring_bytes / UNIT_BYTES);
    c->entries_max = options->entries ? options->entries : PC_TOKEN_CACHE_ENTRIES_DEFAULT;
    *ret_cache = c;
    return 0;
}

void pc_token_cache_destroy(struct pc_token_cache *c)
{
    if (!c)
        return;
    munmap(c->map, c->map_bytes);
    free(c);
}

/* --- index ------------------------------------------------------------------------------- */

static inline struct index_line *line_of(const struct pc_token_cache *c, uint64_t index)
{
    return &c->lines[index & c->set_mask];
}

/* The high bits, which do not choose the set; 0 means a free way. */
static inline uint16_t tag_of(uint64_t index)
{
    uint16_t tag = (uint16_t)(index >> 48);
    return tag ? tag : 1;
}

static inline struct entry *entry_at(const struct pc_token_cache *c, uint32_t unit)
{
    return (void *)((uint8_t *)c->ring + (size_t)unit * UNIT_BYTES);
}

static inline uint32_t unit_of(const struct pc_token_cache *c, const struct entry *e)
{
    return (uint32_t)(((const uint8_t *)e - (const uint8_t *)c->ring) / UNIT_BYTES);
}

/* The way of this digest in its line, or -1. */
static inline int find_way(const struct pc_token_cache *c, const struct index_line *line,
                           const struct pc_token_digest *d)
{
    const uint16_t tag = tag_of(d->index);
    for (int way = 0; way < WAYS; way++)
        if (line->tag[way] == tag &&
            PC_LIKELY(pc_token_digest_eq(entry_at(c, line->ref[way])->nh, d->nh)))
            return way;
    return -1;
}

static int way_of_entry(const struct pc_token_cache *c, const struct entry *e)
{
    const struct index_line *line = line_of(c, e->index);
    const uint32_t unit = unit_of(c, e);
    for (int way = 0; way < WAYS; way++)
        if (line->tag[way] && line->ref[way] == unit)
            return way;
    return -1;
}

/* The entry's bytes stay where they are until the tail comes by. */
static void drop_way(struct pc_token_cache *c, struct index_line *line, int way)
{
    struct entry *e = entry_at(c, line->ref[way]);
    PC_ASSERT(e->state == ENTRY_LIVE && line->tag[way] == tag_of(e->index)); /* I1 */
    PC_ASSERT(c->live > 0);
    e->state = ENTRY_DEAD;
    line->tag[way] = 0;
    line->used &= (uint8_t) ~(1u << way);
    c->live--;
}

static bool is_dead(const struct entry *e, uint64_t trust_generation, int64_t now_ms)
{
    return e->token.trust_generation != trust_generation || e->token.exp_ms < now_ms;
}

static void evict_way(struct pc_token_cache *c, struct index_line *line, int way, bool dead)
{
    if (dead)
        c->stats.evicted_dead++;
    else
        c->stats.evicted_live++;
    drop_way(c, line, way);
}

/* A free way of the line, made free if need be: the dead first, then second chance. */
static int take_way(struct pc_token_cache *c, struct index_line *line, uint64_t trust_generation,
                    int64_t now_ms)
{
    for (int way = 0; way < WAYS; way++)
        if (!line->tag[way])
            return way;
    for (int way = 0; way < WAYS; way++)
        if (is_dead(entry_at(c, line->ref[way]), trust_generation, now_ms)) {
            evict_way(c, line, way, true);
            return way;
        }
    if (line->used == UINT8_MAX)
        line->used = 0;
    int way = __builtin_ctz(~(unsigned)line->used);
    PC_ASSERT(way < WAYS);
    evict_way(c, line, way, false);
    return way;
}

/* --- ring -------------------------------------------------------------------------------- */

static void advance_tail(struct pc_token_cache *c)
{
    uint32_t units = entry_at(c, c->tail)->units;
    PC_ASSERT(units > 0 && units <= c->used_units && units <= c->ring_units - c->tail); /* I2 */
    c->tail += units;
    c->used_units -= units;
    if (c->tail == c->ring_units)
        c->tail = 0;
}

/* Free units from head to the end of the ring, or to the tail. */
static uint32_t room_at_head(const struct pc_token_cache *c)
{
    if (c->used_units == c->ring_units)
        return 0;
    return (c->head >= c->tail ? c->ring_units : c->tail) - c->head;
}

static struct entry *claim_units(struct pc_token_cache *c, uint32_t units)
{
    PC_ASSERT(units <= room_at_head(c) && units <= c->ring_units - c->used_units); /* I2 */
    struct entry *e = entry_at(c, c->head);
    e->units = units;
    e->state = ENTRY_DEAD;
    c->head += units;
    c->used_units += units;
    if (c->head == c->ring_units)
        c->head = 0;
    return e;
}

/* What is left between head and the end of the ring becomes a dead entry of its own. */
static void pad_to_end(struct pc_token_cache *c)
{
    claim_units(c, c->ring_units - c->head);
}

/* Moves the live entry at the tail to the head. There is always room: its own, once the tail has
 * passed it. Old and new place may overlap, or be the same. */
static void rescue_tail(struct pc_token_cache *c, struct index_line *line, int way)
{
    const struct entry *old = entry_at(c, c->tail);
    const uint32_t units = old->units;
    advance_tail(c);
    if (room_at_head(c) < units)
        pad_to_end(c);
    struct entry *moved = claim_units(c, units);
    memmove(moved, old, (size_t)units * UNIT_BYTES);
    moved->state = ENTRY_LIVE;
    moved->token.blob = moved->blob;
    line->ref[way] = unit_of(c, moved);
    line->used &= (uint8_t) ~(1u << way);
    PC_ASSERT(moved->units == units && line->tag[way] == tag_of(moved->index)); /* I1 */
    c->stats.rescued++;
}

/* Passes the oldest entry; *rescues is how many used ones may still be kept. */
static void reclaim_tail(struct pc_token_cache *c, uint64_t trust_generation, int64_t now_ms,
                         int *rescues)
{
    PC_ASSERT(c->used_units > 0);
    const struct entry *e = entry_at(c, c->tail);
    if (e->state == ENTRY_DEAD) {
        advance_tail(c);
        return;
    }
    struct index_line *line = line_of(c, e->index);
    const int way = way_of_entry(c, e);
    PC_ASSERT(way >= 0); /* I1 */
    const bool dead = is_dead(e, trust_generation, now_ms);
    const bool used = line->used >> way & 1;
    if (!dead && used && *rescues > 0) {
        --*rescues;
        rescue_tail(c, line, way);
    } else {
        evict_way(c, line, way, dead);
        advance_tail(c);
    }
}

/* Room for one entry of this size, in one piece. */
static struct entry *allocate(struct pc_token_cache *c, uint32_t units, uint64_t trust_generation,
                              int64_t now_ms)
{
    int rescues = RESCUES_MAX;
    while (c->live >= c->entries_max) /* I3 */
        reclaim_tail(c, trust_generation, now_ms, &rescues);
    while (room_at_head(c) < units) {
        bool at_end = c->used_units < c->ring_units && c->head >= c->tail;
        if (c->used_units == 0)
            c->head = c->tail = 0;
        else if (at_end)
            pad_to_end(c);
        else
            reclaim_tail(c, trust_generation, now_ms, &rescues);
    }
    return claim_units(c, units);
}

/* --- good tokens ------------------------------------------------------------------------- */

void pc_token_cache_prefetch(const struct pc_token_cache *c, const struct pc_token_digest *d)
{
    __builtin_prefetch(line_of(c, d->index));
}

void pc_token_cache_prefetch_entry(const struct pc_token_cache *c, const struct pc_token_digest *d)
{
    const struct index_line *line = line_of(c, d->index);
    for (int way = 0; way < WAYS; way++)
        if (line->tag[way] == tag_of(d->index)) {
            const uint8_t *p = (const uint8_t *)entry_at(c, line->ref[way]);
            __builtin_prefetch(p);
            __builtin_prefetch(p + PC_CACHE_LINE);
            __builtin_prefetch(p + sizeof(struct entry));
        }
}

struct pc_cached_token *pc_token_cache_find(struct pc_token_cache *c,
                                            const struct pc_token_digest *d,
                                            uint64_t trust_generation)
{
    assert_owner(c);
    struct index_line *line = line_of(c, d->index);
    int way = find_way(c, line, d);
    if (way < 0) {
        c->stats.misses++;
        return NULL;
    }
    struct entry *e = entry_at(c, line->ref[way]);
    if (PC_UNLIKELY(e->token.trust_generation != trust_generation)) {
        c->stats.misses++;
        c->stats.stale++;
        return NULL;
    }
    line->used |= (uint8_t)(1u << way);
    c->stats.hits++;
    return &e->token;
}

static void fill_entry(struct entry *e, const struct pc_token_digest *d,
                       const struct pc_cached_token *token)
{
    memcpy(e->nh, d->nh, sizeof(e->nh));
    e->index = d->index;
    e->state = ENTRY_LIVE;
    e->token = *token;
    e->token.blob = e->blob;
    if (token->blob_bytes)
        memcpy(e->blob, token->blob, token->blob_bytes);
}

struct pc_cached_token *pc_token_cache_insert(struct pc_token_cache *c,
                                              const struct pc_token_digest *d,
                                              const struct pc_cached_token *token, int64_t now_ms)
{
    assert_owner(c);
    if (token->blob_bytes > PC_TOKEN_CACHE_BLOB_MAX_BYTES)
        return NULL;
    struct index_line *line = line_of(c, d->index);
    int way = find_way(c, line, d);
    if (way >= 0) {
        drop_way(c, line, way);
        c->stats.replaced++;
    }
    uint32_t units =
        (uint32_t)(align_up(sizeof(struct entry) + token->blob_bytes, UNIT_BYTES) / UNIT_BYTES);
    struct entry *e = allocate(c, units, token->trust_generation, now_ms);
    way = take_way(c, line, token->trust_generation, now_ms);
    fill_entry(e, d, token);
    line->tag[way] = tag_of(d->index);
    line->ref[way] = unit_of(c, e);
    c->live++;
    c->stats.inserted++;
    PC_ASSERT(c->live <= c->entries_max); /* I3 */
    return &e->token;
}

void pc_cached_token_set_any(struct pc_cached_token *token, const uint64_t fp_any[PC_SCOPE_COUNT])
{
    memcpy(token->fp_any, fp_any, sizeof(token->fp_any));
    token->fp_any_ready = 1;
}

/* --- refused tokens ---------------------------------------------------------------------- */

static struct failure *failure_set(const struct pc_token_cache *c, const struct pc_token_digest *d)
{
    return &c->failures[(d->index & c->failure_mask) * FAILURE_WAYS];
}

bool pc_token_cache_find_failure(struct pc_token_cache *c, const struct pc_token_digest *d,
                                 uint64_t trust_generation, int64_t now_ms, uint32_t *ret_code)
{
    assert_owner(c);
    const struct failure *set = failure_set(c, d);
    for (int way = 0; way < FAILURE_WAYS; way++)
        if (pc_token_digest_eq(set[way].nh, d->nh) && now_ms < set[way].until_ms &&
            set[way].trust_generation == trust_generation) {
            *ret_code = set[way].code;
            c->stats.failure_hits++;
            return true;
        }
    return false;
}

/* The same token's way, else one that says nothing any more, else the next in turn. */
static struct failure *take_failure(struct pc_token_cache *c, const struct pc_token_digest *d,
                                    uint64_t trust_generation, int64_t now_ms)
{
    struct failure *set = failure_set(c, d);
    struct failure *over = NULL;
    for (int way = 0; way < FAILURE_WAYS; way++) {
        if (pc_token_digest_eq(set[way].nh, d->nh))
            return &set[way];
        if (set[way].until_ms <= now_ms || set[way].trust_generation != trust_generation)
            over = &set[way];
    }
    return over ? over : &set[c->failure_hand++ % FAILURE_WAYS];
}

void pc_token_cache_insert_failure(struct pc_token_cache *c, const struct pc_token_digest *d,
                                   uint64_t trust_generation, uint32_t code, int64_t until_ms,
                                   int64_t now_ms)
{
    assert_owner(c);
    struct failure *f = take_failure(c, d, trust_generation, now_ms);
    PC_ASSERT((void *)f >= (void *)c->failures && (void *)(f + 1) <= (void *)c->ring); /* I4 */
    *f = (struct failure){.trust_generation = trust_generation, .until_ms = until_ms, .code = code};
    memcpy(f->nh, d->nh, sizeof(f->nh));
    c->stats.failure_inserted++;
}

struct pc_token_cache_stats pc_token_cache_get_stats(const struct pc_token_cache *c)
{
    struct pc_token_cache_stats s = c->stats;
    s.entries = c->live;
    s.bytes_used = (uint64_t)c->used_units * UNIT_BYTES;
    s.bytes_total = c->map_bytes;
    return s;
}
