/* SPDX-License-Identifier: Apache-2.0
 * What a revocation means on top of the dense tables: times, merging, clears, blocks of a
 * snapshot. Owns two tables in one arena: `main`, which readers look at and which holds exactly
 * what is refused, and `side`, for the writer, with the whole state of every fingerprint that was
 * ever cleared. The writer thread runs all of it but find, prefetch and export.
 *
 * M1  A fingerprint is in `main` if and only if it is refused (R1), with the maxima of its state.
 * M2  A fingerprint with a cleared_at is in `side` with its whole state, until it expires.
 * M3  A clear is entered in `side` before the fingerprint is killed in `main`.
 *
 * Why a fuzzy export is enough (R4). Let P be the last change applied before the export began;
 * every later change is replayed. All state merges by maximum, so importing may only miss
 * something, never invent it, and it misses nothing of what was known at P: the export reads all
 * of `main`, then all of `side`. What was in `side` at P is there still (M2), only larger. What
 * was in `main` at P is met there, or was killed before the export came by; then its state went
 * to `side` first (M3), which is read later. Segments replaced meanwhile were complete copies of
 * what they replaced (T2, T4). So blocks + replay >= state at P + later changes = the state, and
 * since every value exported stems from a change that is part of the state, also <=.
 * The exception is what reap() removed: it had expired for good.
 *
 * A block, all numbers low byte first:
 *    0  "PCRV"              4  format 1     5  part (0 main, 1 side)
 *    6  columns 2..4        7  bits of the prefix that count
 *    8  prefix, 8 bytes    16  count, 4 bytes    20  zeros, 4 bytes
 *   24  count times: fingerprint 8 bytes, then `columns` times of 5 bytes (as in a segment)
 * Valid: sizes agree exactly, the columns fit part and table, every fingerprint has the prefix. */
#include "edge/state/revocations.h"

#include <pthread.h>
#include <stdlib.h>

#include "edge/state/revocations_table.h"
#include "edge/state/revocations_walk.h"

#define SIDE_COLUMNS PC_REV_COLUMNS

#define BLOCK_HEAD_BYTES 24
#define BLOCK_FORMAT     1
static const uint8_t block_magic[4] = {'P', 'C', 'R', 'V'};

/* Room asked for beside the segments a batch of changes may replace (pc_revocations_has_room). */
#define ROOM_SPARE_BLOCKS (2 * PC_REVSEG_BLOCKS_MAX)

_Static_assert(PC_REVOCATIONS_BLOCK_MAX_BYTES >=
                   BLOCK_HEAD_BYTES + PC_REVSEG_BLOCKS_MAX * PC_ARENA_BLOCK_BYTES,
               "an entry of a block takes less than its slot of a segment");

struct pc_revocations {
    struct pc_revtab main; /* first: what readers look at */
    struct pc_revtab side;
    struct pc_revseg_pool pool;
    pthread_t owner;
    bool owned;
};

/* The thread that changes the table first is its writer. */
static void assert_on_writer(struct pc_revocations *t)
{
    if (!t->owned) {
        t->owner = pthread_self();
        t->owned = true;
    }
    PC_ASSERT(pthread_equal(t->owner, pthread_self()));
    PC_ASSERT(pc_rcu_is_online());
}

/* ---- life ---- */

static void destroy(struct pc_revocations *t)
{
    pc_revtab_destroy(&t->main);
    pc_revtab_destroy(&t->side);
    pc_arena_free(t->pool.arena);
    free(t);
}

int pc_revocations_new(const struct pc_revocations_options *options, struct pc_revocations **ret_t)
{
    size_t limit = options->memory_limit_bytes;
    uint32_t entries = options->segment_entries;
    if (entries == 0)
        entries = PC_REVOCATIONS_SEGMENT_ENTRIES_MAX;
    if (entries < 16 || entries > PC_REVOCATIONS_SEGMENT_ENTRIES_MAX)
        return -EINVAL;
    struct pc_revocations *t = aligned_alloc(PC_CACHE_LINE, sizeof *t);
    if (!t)
        return -ENOMEM;
    memset(t, 0, sizeof *t);
    int r = pc_arena_new(limit ? limit : PC_REVOCATIONS_MEMORY_DEFAULT_BYTES, &t->pool.arena);
    if (r == 0) {
        t->pool.base = pc_arena_base(t->pool.arena);
        t->pool.retired_limit_bytes = options->retired_limit_bytes
                                          ? options->retired_limit_bytes
                                          : PC_REVOCATIONS_RETIRED_DEFAULT_BYTES;
        r = pc_revtab_init(&t->main, &t->pool, options->with_cutoff ? 3 : 2, entries);
    }
    if (r == 0)
        r = pc_revtab_init(&t->side, &t->pool, SIDE_COLUMNS, entries);
    if (r < 0) {
        destroy(t);
        return r;
    }
    *ret_t = t;
    return 0;
}

void pc_revocations_free(struct pc_revocations *t)
{
    if (!t)
        return;
    pc_rcu_barrier(); /* what is on its way back to the pool arrives before the pool goes */
    destroy(t);
}

void pc_revocations_disown(struct pc_revocations *t)
{
    assert_on_writer(t);
    t->owned = false;
}

/* ---- readers ---- */

static inline __attribute__((always_inline)) struct pc_revocation_place
place_in(const struct pc_revocations *t, uint64_t word, unsigned columns, uint64_t fp)
{
    struct pc_revseg_place p = pc_revseg_start(pc_revtab_word_address(word), t->main.base,
                                               (uint32_t)(word >> 48), columns, fp);
    bool last = p.group + 1 == pc_revseg_groups_per_block(columns);
    return (struct pc_revocation_place){word, p.at,
                                        last ? NULL : p.at + pc_revseg_group_bytes(columns)};
}

/* The word's 16 upper bits are the number of groups, so that the segment's own second line, which
 * the writer changes, is never touched. */
static inline struct pc_revocation_place place_of(const struct pc_revocations *t, uint64_t fp)
{
    uint64_t word = pc_revtab_word(&t->main, fp);
    return t->main.columns == 2 ? place_in(t, word, 2, fp) : place_in(t, word, 3, fp);
}

bool pc_revocations_approach(const struct pc_revocations *t, uint64_t fp)
{
    PC_ASSERT_SLOW(pc_rcu_is_online());
    uint64_t word = pc_revtab_word(&t->main, fp);
    const struct pc_revseg *s = pc_revtab_word_address(word);
    uint32_t groups = (uint32_t)(word >> 48);
    pc_rev_torture_point();
    return t->main.columns == 2 ? pc_revseg_approach(s, t->main.base, groups, 2, fp)
                                : pc_revseg_approach(s, t->main.base, groups, 3, fp);
}

/* One look-up in four goes on in the next group, because the home group is full. */
struct pc_revocation_place pc_revocations_seek(const struct pc_revocations *t, uint64_t fp)
{
    struct pc_revocation_place place = place_of(t, fp);
    __builtin_prefetch(place.home);
    __builtin_prefetch(place.next);
    return place;
}

void pc_revocations_prefetch(const struct pc_revocations *t, uint64_t fp)
{
    (void)pc_revocations_seek(t, fp);
}

static __attribute__((noinline)) bool find_in_segment(const struct pc_revocations *t, uint64_t word,
                                                      uint64_t fp, int64_t now_ms,
                                                      struct pc_revoked *ret_revoked)
{
    const struct pc_revseg *s = pc_revtab_word_address(word);
    uint32_t groups = (uint32_t)(word >> 48);
    struct pc_revseg_probe probe;
    pc_rev_torture_point();
    if (t->main.columns == 2)
        pc_revseg_walk(s, t->main.base, groups, 2, fp, &probe);
    else
        pc_revseg_walk(s, t->main.base, groups, 3, fp, &probe);
    if (PC_LIKELY(probe.copies == 0) || probe.max.at[PC_REV_EXPIRY] < pc_rev_time_encode(now_ms))
        return false;
    if (ret_revoked)
        *ret_revoked = (struct pc_revoked){
            .revoked_at_ms = pc_rev_time_decode(probe.max.at[PC_REV_REVOKED]),
            .expires_at_ms = pc_rev_time_decode(probe.max.at[PC_REV_EXPIRY]),
            .cutoff_ms = pc_rev_time_decode(probe.max.at[PC_REV_CUTOFF]),
        };
    return true;
}

bool pc_revocations_find_at(const struct pc_revocations *t, const struct pc_revocation_place *place,
                            uint64_t fp, int64_t now_ms, struct pc_revoked *ret_revoked)
{
    uint32_t empty;
    PC_ASSERT_SLOW(pc_rcu_is_online());
    pc_rev_torture_point();
    /* Most look-ups end where they begin, or one group on: nothing there has this tag, and there
     * is an EMPTY slot (S3). These are the first two steps of the walk. */
    if (pc_revseg_match(place->home, pc_revseg_tag(fp), &empty) == 0) {
        if (PC_LIKELY(empty))
            return false;
        pc_rev_torture_point();
        if (place->next && !pc_revseg_match(place->next, pc_revseg_tag(fp), &empty) && empty)
            return false;
    }
    return find_in_segment(t, place->word, fp, now_ms, ret_revoked);
}

bool pc_revocations_find(const struct pc_revocations *t, uint64_t fp, int64_t now_ms,
                         struct pc_revoked *ret_revoked)
{
    struct pc_revocation_place place = place_of(t, fp);
    return pc_revocations_find_at(t, &place, fp, now_ms, ret_revoked);
}

/* ---- the writer ---- */

static bool is_refused(const struct pc_rev_times *s)
{
    return s->at[PC_REV_REVOKED] != 0 && s->at[PC_REV_REVOKED] >= s->at[PC_REV_CLEARED];
}

/* All that is known of fp. */
static bool whole_state(const struct pc_revocations *t, uint64_t fp, struct pc_rev_times *ret_state)
{
    struct pc_rev_times side = {0};
    bool known = pc_revtab_get(&t->main, fp, ret_state);
    if (PC_UNLIKELY(t->side.entries > 0))
        known |= pc_revtab_get(&t->side, fp, &side);
    pc_rev_times_merge(ret_state, &side);
    return known;
}

/* Raises the state of fp to at least `delta`; 1 if that changed anything. */
static int merge(struct pc_revocations *t, uint64_t fp, const struct pc_rev_times *delta)
{
    struct pc_rev_times state = *delta;
    int changed = 0;
    if (PC_UNLIKELY(t->side.entries > 0 || delta->at[PC_REV_CLEARED])) {
        whole_state(t, fp, &state);
        pc_rev_times_merge(&state, delta);
        if (state.at[PC_REV_CLEARED]) /* M2, M3 */
            changed = pc_revtab_raise(&t->side, fp, &state);
        if (changed < 0)
            return changed;
    }
    if (!is_refused(&state))
        return pc_revtab_kill(&t->main, fp) || changed; /* M1 */
    struct pc_rev_times visible = state;
    visible.at[PC_REV_CLEARED] = 0;
    if (t->main.columns == 2)
        visible.at[PC_REV_CUTOFF] = 0;
    int r = pc_revtab_raise(&t->main, fp, &visible); /* M1 */
    return r < 0 ? r : r || changed;
}

int pc_revocations_revoke(struct pc_revocations *t, uint64_t fp, int64_t revoked_at_ms,
                          int64_t expires_at_ms, int64_t cutoff_ms)
{
    struct pc_rev_times delta = {0};
    assert_on_writer(t);
    PC_ASSERT(revoked_at_ms != INT64_MIN);
    delta.at[PC_REV_EXPIRY] = pc_rev_time_encode(expires_at_ms);
    delta.at[PC_REV_REVOKED] = pc_rev_time_encode(revoked_at_ms);
    if (t->main.columns > 2)
        delta.at[PC_REV_CUTOFF] = pc_rev_time_encode(cutoff_ms);
    return merge(t, fp, &delta);
}

int pc_revocations_clear(struct pc_revocations *t, uint64_t fp, int64_t cleared_at_ms,
                         int64_t expires_at_ms)
{
    struct pc_rev_times delta = {0};
    assert_on_writer(t);
    PC_ASSERT(cleared_at_ms != INT64_MIN);
    delta.at[PC_REV_EXPIRY] = pc_rev_time_encode(expires_at_ms);
    delta.at[PC_REV_CLEARED] = pc_rev_time_encode(cleared_at_ms);
    return merge(t, fp, &delta);
}

bool pc_revocations_state(struct pc_revocations *t, uint64_t fp,
                          struct pc_revocation_state *ret_state)
{
    struct pc_rev_times state;
    assert_on_writer(t);
    if (!whole_state(t, fp, &state))
        return false;
    *ret_state = (struct pc_revocation_state){
        .revoked_at_ms = pc_rev_time_decode(state.at[PC_REV_REVOKED]),
        .cleared_at_ms = pc_rev_time_decode(state.at[PC_REV_CLEARED]),
        .expires_at_ms = pc_rev_time_decode(state.at[PC_REV_EXPIRY]),
        .cutoff_ms = pc_rev_time_decode(state.at[PC_REV_CUTOFF]),
        .refused = is_refused(&state),
    };
    return true;
}

uint32_t pc_revocations_reap(struct pc_revocations *t, int64_t expired_before_ms, uint32_t budget)
{
    int64_t left = budget;
    assert_on_writer(t);
    /* PC_REV_TIME_NEVER is below nothing, so what never expires stays. */
    uint64_t before = pc_rev_time_encode(expired_before_ms);
    pc_revseg_settle(&t->pool);
    pc_arena_trim(t->pool.arena); /* only then is it known whether segments should move */
    uint32_t n = pc_revtab_reap(&t->main, before, &left);
    n += pc_revtab_reap(&t->side, before, &left);
    pc_arena_trim(t->pool.arena);
    return n;
}

/* A change replaces at most one segment of each table by two, and a segment has to take more
 * than 1/64 of its entries before it is replaced again. */
bool pc_revocations_has_room(struct pc_revocations *t, uint32_t changes)
{
    struct pc_arena_stats a;
    assert_on_writer(t);
    pc_arena_read_stats(t->pool.arena, &a);
    uint64_t segments = t->main.segments + t->side.segments + changes / 16;
    uint64_t blocks = pc_min_u64((uint64_t)changes * 2, segments) * 2 * PC_REVSEG_BLOCKS_MAX;
    uint64_t retired = t->pool.retired_bytes - t->pool.returned_bytes;
    return a.limit_bytes - a.used_bytes >= (blocks + ROOM_SPARE_BLOCKS) * PC_ARENA_BLOCK_BYTES &&
           retired < t->pool.retired_limit_bytes / 2;
}

void pc_revocations_read_stats(struct pc_revocations *t, struct pc_revocations_stats *ret_stats)
{
    struct pc_arena_stats a;
    assert_on_writer(t);
    pc_arena_read_stats(t->pool.arena, &a);
    *ret_stats = (struct pc_revocations_stats){
        .entries = t->main.entries,
        .cleared = t->side.entries,
        .slots = t->main.slots + t->side.slots,
        .used = t->main.used + t->side.used,
        .segments = t->main.segments,
        .directory_bits = t->main.bits,
        .used_bytes = a.used_bytes,
        .resident_bytes = a.resident_bytes,
        .retired_bytes = t->pool.retired_bytes - t->pool.returned_bytes,
        .rebuilds = t->main.rebuilds + t->side.rebuilds,
        .splits = t->main.splits + t->side.splits,
        .doublings = t->main.doublings + t->side.doublings,
        .rebuilds_put_off = t->main.put_off + t->side.put_off,
        .reap_passes = t->main.reap_passes,
    };
}

/* ---- blocks ---- */

static void put_le(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_le(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

static size_t entry_bytes(unsigned columns)
{
    return 8 + PC_REV_TIME_BYTES * (size_t)columns;
}

static size_t write_block(const struct pc_revseg *s, unsigned part, uint8_t *buf)
{
    struct pc_revseg_iter it = {0};
    uint8_t *p = buf + BLOCK_HEAD_BYTES;
    uint32_t count = 0;
    for (; pc_revseg_next(s, &it); count++) {
        put_le(p, it.fp, 8);
        p += 8;
        for (unsigned c = 0; c < s->columns; c++, p += PC_REV_TIME_BYTES)
            put_le(p, it.times.at[c], PC_REV_TIME_BYTES);
    }
    memset(buf, 0, BLOCK_HEAD_BYTES);
    memcpy(buf, block_magic, sizeof block_magic);
    buf[4] = BLOCK_FORMAT;
    buf[5] = (uint8_t)part;
    buf[6] = s->columns;
    buf[7] = s->bits;
    put_le(buf + 8, s->prefix, 8);
    put_le(buf + 16, count, 4);
    return (size_t)(p - buf);
}

int64_t pc_revocations_export(const struct pc_revocations *t, struct pc_revocations_cursor *cursor,
                              uint8_t *buf, size_t buf_bytes)
{
    PC_ASSERT(pc_rcu_is_online());
    if (buf_bytes < PC_REVOCATIONS_BLOCK_MAX_BYTES)
        return PC_E_TOO_LARGE;
    if (cursor->part > 1)
        return 0;
    unsigned part = cursor->part;
    const struct pc_revseg *s = pc_revtab_segment(part ? &t->side : &t->main, cursor->next);
    PC_ASSERT(s->prefix == cursor->next); /* T4 */
    cursor->next = s->bits ? s->prefix + ((uint64_t)1 << (64 - s->bits)) : 0;
    cursor->part = (uint8_t)(part + (cursor->next == 0));
    return (int64_t)write_block(s, part, buf);
}

/* A block being read. */
struct block {
    unsigned part, columns, bits;
    uint64_t prefix;
    uint32_t count;
    const uint8_t *entries;
    uint32_t at; /* next entry */
};

static bool next_entry(void *context, uint64_t *ret_fp, struct pc_rev_times *ret_times)
{
    struct block *b = context;
    if (b->at == b->count)
        return false;
    const uint8_t *p = b->entries + b->at++ * entry_bytes(b->columns);
    *ret_fp = get_le(p, 8);
    *ret_times = (struct pc_rev_times){0};
    for (unsigned c = 0; c < b->columns; c++)
        ret_times->at[c] = get_le(p + 8 + (size_t)c * PC_REV_TIME_BYTES, PC_REV_TIME_BYTES);
    return true;
}

static bool has_prefix(const struct block *b, uint64_t fp)
{
    return b->bits == 0 || (fp ^ b->prefix) >> (64 - b->bits) == 0;
}

/* Checks everything a block promises; touches no table. */
static int open_block(const struct pc_revocations *t, struct pc_bytes s, struct block *ret_block)
{
    if (s.n < BLOCK_HEAD_BYTES || memcmp(s.p, block_magic, sizeof block_magic) != 0)
        return PC_E_DAMAGED;
    if (s.p[4] > BLOCK_FORMAT)
        return PC_E_VERSION;
    struct block b = {
        .part = s.p[5],
        .columns = s.p[6],
        .bits = s.p[7],
        .prefix = get_le(s.p + 8, 8),
        .count = (uint32_t)get_le(s.p + 16, 4),
        .entries = s.p + BLOCK_HEAD_BYTES,
    };
    bool shape = s.p[4] == BLOCK_FORMAT && b.part <= 1 && b.columns >= 2 &&
                 b.columns <= SIDE_COLUMNS && (b.columns == SIDE_COLUMNS) == (b.part == 1) &&
                 b.bits <= PC_REVTAB_DIRECTORY_BITS_MAX && get_le(s.p + 20, 4) == 0;
    if (!shape || (s.n - BLOCK_HEAD_BYTES) / entry_bytes(b.columns) != b.count ||
        (s.n - BLOCK_HEAD_BYTES) % entry_bytes(b.columns) != 0 ||
        (b.prefix & (UINT64_MAX >> b.bits)) != 0)
        return PC_E_DAMAGED;
    if (b.part == 0 && b.columns != t->main.columns)
        return PC_E_UNSUPPORTED;
    uint64_t fp;
    struct pc_rev_times times;
    for (struct block it = b; next_entry(&it, &fp, &times);)
        if (!has_prefix(&b, fp) || (b.part == 0 && times.at[PC_REV_REVOKED] == 0))
            return PC_E_DAMAGED;
    *ret_block = b;
    return 0;
}

int pc_revocations_import(struct pc_revocations *t, struct pc_bytes block)
{
    struct block b;
    assert_on_writer(t);
    int r = open_block(t, block, &b);
    if (r < 0)
        return r;
    if (b.part == 0 && t->side.entries == 0 &&
        pc_revtab_bulk(&t->main, b.prefix, b.bits, b.count, next_entry, &b, &r))
        return r;
    uint64_t fp;
    struct pc_rev_times times;
    while (next_entry(&b, &fp, &times)) {
        r = merge(t, fp, &times);
        if (r < 0)
            return r;
    }
    return 0;
}
