/* SPDX-License-Identifier: Apache-2.0
 * The directory and the life of segments: rebuild, split, doubling, reaping, bulk loading. The
 * writer thread runs all of it; revocations_table.h has the invariants T1-T5 and the word formats.
 *
 * Why a lookup that begins after an insert was acknowledged finds it (R2). Let X go into segment
 * S, which directory D names at that time (T2), and let a lookup begin after the acknowledgement:
 * whatever carried that (a ring between threads, a socket, another machine) orders all that the
 * writer had stored until then before the lookup's loads. A load may return a value stored before
 * it or one stored later, never one that an earlier store had already replaced. So:
 * (a) The root yields D or a later directory, because D was published before X went in.
 * (b) The word found there names S or something built, directly or not, from S with X in it: D's
 *     word named S then, words only move on to successors (T2), and a later directory begins as
 *     a copy. An outdated D is frozen; its word is from before the doubling, or S itself.
 * (c) If it names S, X's tag was stored before: the lookup sees it live, as DEAD (a clear or reap
 *     came since, and the answer may be either) and never EMPTY. Every group before it was full
 *     when X went in and has been since (S1, S3), so the walk gets there. Fingerprint and times
 *     are read after the tag, and stand there before it (S2).
 * (d) If it names a successor, that was filled before its word was released, and the word is
 *     loaded with acquire; it holds X, or one slot with the maxima of X and its copies.
 * (e) A raise adds a slot and leaves the older copies alone, so (c) holds for each of them: what
 *     is found is never less than what was acknowledged. Killing an older copy instead would not
 *     do: the tags of a group are not read in one instant, and a lookup could read the new slot
 *     before it is live and the old one after its death.
 * (f) No memory is reused before the lookup's thread is quiescent (T3), and a lookup keeps nothing
 *     it loaded. The segment's list of blocks is part of what (d) orders, and never changes (S6).
 * A lookup that overlaps a clear and the next revoke may find nothing although its tags say so at
 * different times: between the two the answer was indeed "not revoked", within the lookup. */
#include "edge/state/revocations_table.h"

#include <stdlib.h>

#include "base/err.h"

/* Directory memory: the words, preceded by what is needed to retire it. */
struct directory {
    struct pc_rcu_head head;
    PC_ALIGNED_LINE uint64_t words[];
};
_Static_assert(sizeof(void *) == 8, "words pack a 48-bit address");

/* Growth from one size to the next, in percent. */
#define GROWTH_PERCENT 112
/* After a rebuild at least 1/64 and a few more entries fit before the next. */
#define ROOM_SHIFT 6
#define ROOM_MIN   4
/* And at most 1/8 for copies. */
#define COPIES_ROOM_SHIFT 3
/* A probe this long in a segment with this much waste (copies, dead) is worth a rebuild: where the
 * waste is this very fingerprint's, or a part of all slots, or the probe is longer still. Full as
 * segments are, some probes are long without much waste, and a rebuild would not shorten them. */
#define PROBE_GROUPS_MAX   8
#define PROBE_WASTE_MIN    32
#define PROBE_WASTE_SHIFT  4
#define PROBE_GROUPS_NEVER 32
/* Reaping rebuilds a segment when 1 in this many used slots is waste. */
#define REAP_WASTE 8
/* What looking at a segment's header costs in slots, and the part of its slots a rebuild costs. */
#define VISIT_COST    16
#define REBUILD_SHIFT 2
/* Segments move down while more than this is resident but unused, and 1/128 of what is used. */
#define HOLES_MIN_BYTES (PC_ARENA_KEEP_HUGE * PC_ARENA_HUGE_BYTES)
#define HOLES_SHIFT     7

static uint64_t pack(unsigned high, const void *address)
{
    PC_ASSERT((uintptr_t)address >> 48 == 0 && high <= UINT16_MAX);
    return (uint64_t)high << 48 | (uintptr_t)address;
}

static uint64_t segment_word(const struct pc_revseg *s)
{
    return pack(s->groups, s);
}

/* The first `bits` bits of x as a number. */
static uint64_t top_bits(uint64_t x, unsigned bits)
{
    return bits ? x >> (64 - bits) : 0;
}

static uint64_t *words_of(const struct pc_revtab *t)
{
    return pc_revtab_word_address(t->root); /* the writer wrote it */
}

/* ---- sizes ---- */

static uint32_t fill_of(uint32_t slots)
{
    return slots * PC_REVTAB_FILL_PERCENT / 100;
}

/* A rebuild leaves room for some more than n entries. Where it folds copies, as many and more will
 * come again: what is revoked a second time would otherwise pay for a rebuild of a segment that
 * does not grow, and is full again at once. */
static uint32_t with_room(uint32_t n, uint32_t copies)
{
    uint32_t again = (uint32_t)pc_min_u64((uint64_t)copies * 2, n >> COPIES_ROOM_SHIFT);
    return n + (uint32_t)pc_max_u64(n >> ROOM_SHIFT, again) + ROOM_MIN;
}

/* How many used slots a segment may have before it is rebuilt. */
static uint32_t threshold(const struct pc_revtab *t, const struct pc_revseg *s)
{
    return (uint32_t)pc_min_u64(fill_of(pc_revseg_slots(s)), t->segment_entries);
}

/* The size of a segment: made for `entries`, it has `slots`. */
struct size {
    uint32_t entries, slots;
};

/* The next size, of a series in steps of 1.12, for the entries wanted. Each segment has its own
 * series: the golden ratio spreads the starting points of neighbours evenly over a step, so that
 * segments are rebuilt, and split, at different times and their average fill is steady while the
 * table grows. */
static struct size next_size(const struct pc_revtab *t, uint64_t prefix, unsigned bits,
                             uint32_t wanted)
{
    uint32_t phase = (uint32_t)top_bits(prefix, bits) * 0x9e3779b9u;
    uint32_t slots_max = pc_revseg_slots_max(t->columns);
    uint64_t at = (uint64_t)8 << 16;
    at += ((at * (GROWTH_PERCENT - 100) / 100) * phase) >> 32;
    for (;; at = at * GROWTH_PERCENT / 100) {
        uint32_t entries = (uint32_t)(at >> 16);
        uint32_t slots = (uint32_t)((uint64_t)entries * 100 / PC_REVTAB_FILL_PERCENT) + 1;
        slots = pc_revseg_whole_slots(t->columns, slots);
        if (fill_of(slots) >= wanted)
            return (struct size){entries, (uint32_t)pc_min_u64(slots, slots_max)};
    }
}

/* ---- publishing ---- */

static void account(struct pc_revtab *t, const struct pc_revseg *s, int sign)
{
    t->slots += (uint64_t)(int64_t)(sign * (int64_t)pc_revseg_slots(s));
    t->used += (uint64_t)(int64_t)(sign * (int64_t)s->used);
    t->entries += (uint64_t)(int64_t)(sign * (int64_t)s->entries);
    t->segments += (uint64_t)(int64_t)sign;
}

/* The words of s now name s. */
static void publish(struct pc_revtab *t, struct pc_revseg *s)
{
    uint64_t word = segment_word(s);
    uint64_t first = top_bits(s->prefix, t->bits);
    uint64_t count = (uint64_t)1 << (t->bits - s->bits);
    PC_ASSERT(s->bits <= t->bits && s->used < pc_revseg_slots(s));
    for (uint64_t i = count; i-- > 0;) { /* T4 */
        pc_rcu_publish(&words_of(t)[first + i], word);
        pc_rev_torture_point();
    }
    account(t, s, 1);
}

/* s was unpublished; readers may still hold it (T3). */
static void retire(struct pc_revtab *t, struct pc_revseg *s)
{
    PC_ASSERT_SLOW(pc_revtab_segment(t, s->prefix) != s);
    account(t, s, -1);
    pc_revseg_retire(s);
}

static void free_directory(struct pc_rcu_head *head)
{
    free(PC_CONTAINER_OF(head, struct directory, head));
}

static struct directory *new_directory(unsigned bits)
{
    size_t bytes = sizeof(struct directory) + (sizeof(uint64_t) << bits);
    return aligned_alloc(PC_CACHE_LINE,
                         (bytes + PC_CACHE_LINE - 1) / PC_CACHE_LINE * PC_CACHE_LINE);
}

static void publish_directory(struct pc_revtab *t, struct directory *d, unsigned bits)
{
    t->bits = bits;
    pc_rcu_publish(&t->root, pack(63 - bits, d->words));
}

static int double_directory(struct pc_revtab *t)
{
    PC_ASSERT(t->bits < PC_REVTAB_DIRECTORY_BITS_MAX);
    uint64_t *old_words = words_of(t);
    struct directory *old = PC_CONTAINER_OF(old_words, struct directory, words);
    struct directory *d = new_directory(t->bits + 1);
    if (!d)
        return -ENOMEM;
    for (size_t i = 0; i < (size_t)2 << t->bits; i++)
        d->words[i] = old_words[i / 2];
    publish_directory(t, d, t->bits + 1);
    t->doublings++;
    pc_rcu_retire(&old->head, free_directory);
    return 0;
}

/* What a segment may hold at the fill it is rebuilt at. */
static uint32_t entries_max(unsigned columns)
{
    return (uint32_t)((uint64_t)pc_revseg_slots_max(columns) * PC_REVTAB_FILL_PERCENT / 100);
}

int pc_revtab_init(struct pc_revtab *t, struct pc_revseg_pool *pool, unsigned columns,
                   uint32_t segment_entries)
{
    *t = (struct pc_revtab){
        .pool = pool,
        .base = pool->base,
        .columns = columns,
        .segment_entries = (uint32_t)pc_min_u64(segment_entries, entries_max(columns)),
    };
    struct directory *d = new_directory(0);
    struct pc_revseg *s = d ? pc_revseg_new(pool, columns, 1, 0, 0) : NULL;
    if (!s) {
        free(d);
        return -ENOMEM;
    }
    d->words[0] = segment_word(s);
    account(t, s, 1);
    publish_directory(t, d, 0);
    return 0;
}

void pc_revtab_destroy(struct pc_revtab *t)
{
    if (t->root)
        free(PC_CONTAINER_OF(words_of(t), struct directory, words));
}

/* ---- rebuild and split ---- */

/* The successor takes over all words of s. */
static void replace(struct pc_revtab *t, struct pc_revseg *s, struct pc_revseg *successor)
{
    struct pc_revseg *both[2] = {successor, successor};
    pc_revseg_absorb_all(both, s, 0);
    PC_ASSERT(successor->entries == s->entries);
    publish(t, successor);
    retire(t, s);
}

static int rebuild(struct pc_revtab *t, struct pc_revseg *s, uint32_t slots)
{
    struct pc_revseg *n = pc_revseg_new(t->pool, t->columns, slots, s->prefix, s->bits);
    if (!n)
        return -ENOMEM;
    replace(t, s, n);
    t->rebuilds++;
    return 0;
}

/* Slots for one half of a split: its live slots, but copies will be folded. */
static struct pc_revseg *new_half(struct pc_revtab *t, const struct pc_revseg *s, uint32_t live,
                                  uint64_t prefix)
{
    uint32_t entries = (uint32_t)pc_min_u64(live, s->entries);
    struct size size = next_size(t, prefix, s->bits + 1u, with_room(entries, 0));
    return pc_revseg_new(t->pool, t->columns, size.slots, prefix, s->bits + 1u);
}

static int split(struct pc_revtab *t, struct pc_revseg *s)
{
    PC_ASSERT(s->bits < PC_REVTAB_DIRECTORY_BITS_MAX);
    if (s->bits == t->bits) {
        int r = double_directory(t);
        if (r < 0)
            return r;
    }
    unsigned shift = 63u - s->bits;
    uint32_t live[2] = {0};
    struct pc_revseg_iter it = {0};
    while (pc_revseg_next(s, &it))
        live[it.fp >> shift & 1]++;
    struct pc_revseg *half[2];
    half[0] = new_half(t, s, live[0], s->prefix);
    half[1] = half[0] ? new_half(t, s, live[1], s->prefix | (uint64_t)1 << shift) : NULL;
    if (!half[1]) {
        if (half[0])
            pc_revseg_discard(half[0]); /* nobody saw it */
        return -ENOMEM;
    }
    pc_revseg_absorb_all(half, s, shift);
    PC_ASSERT(half[0]->entries + half[1]->entries == s->entries);
    publish(t, half[1]); /* T4 */
    publish(t, half[0]);
    retire(t, s);
    t->splits++;
    return 0;
}

/* What waits for the end of grace periods is bounded (T5). */
static bool may_retire(const struct pc_revtab *t)
{
    const struct pc_revseg_pool *p = t->pool;
    return p->retired_bytes - p->returned_bytes < p->retired_limit_bytes;
}

/* Replaces s by something with room for one more, and perhaps for copies; 0 or why not. */
static int make_room(struct pc_revtab *t, struct pc_revseg *s, uint32_t copies)
{
    uint32_t wanted = with_room(s->entries, copies);
    struct size size = next_size(t, s->prefix, s->bits, wanted);
    if (!may_retire(t))
        return PC_E_FULL;
    if (pc_max_u64(size.entries, wanted) <= t->segment_entries)
        return rebuild(t, s, size.slots);
    if (s->bits < PC_REVTAB_DIRECTORY_BITS_MAX)
        return split(t, s);
    /* Only fingerprints that are not keyed hashes come here: no room unless there is waste. */
    return s->entries < t->segment_entries ? rebuild(t, s, pc_revseg_slots(s)) : PC_E_FULL;
}

/* ---- changes ---- */

bool pc_revtab_get(const struct pc_revtab *t, uint64_t fp, struct pc_rev_times *ret_times)
{
    struct pc_revseg_probe probe;
    pc_revseg_probe(pc_revtab_segment(t, fp), fp, &probe);
    *ret_times = probe.max;
    return probe.copies > 0;
}

static bool is_long(const struct pc_revseg *s, const struct pc_revseg_probe *probe)
{
    uint32_t waste = s->used - s->entries;
    return probe->distance >= PROBE_GROUPS_MAX && waste >= PROBE_WASTE_MIN &&
           (probe->copies >= PROBE_WASTE_MIN || waste >= s->used >> PROBE_WASTE_SHIFT ||
            probe->distance >= PROBE_GROUPS_NEVER);
}

static bool wants_room(const struct pc_revtab *t, const struct pc_revseg *s,
                       const struct pc_revseg_probe *probe)
{
    if (PC_TORTURE)
        return true;
    return s->used >= threshold(t, s) || !probe->group || PC_UNLIKELY(is_long(s, probe));
}

static bool is_brimful(const struct pc_revseg *s)
{
    uint32_t slots = pc_revseg_slots(s);
    return s->used + 1 + slots / PC_REVTAB_RESERVE_SLOTS >= slots;
}

/* The segment to insert fp into and the place there, after whatever rebuild is due. Given is what
 * a walk found just now. */
static int find_place(struct pc_revtab *t, uint64_t fp, struct pc_revseg **segment,
                      struct pc_revseg_probe *probe)
{
    /* A split may leave everything on one side: at worst each bit of the directory once. */
    for (unsigned n = 0; n <= PC_REVTAB_DIRECTORY_BITS_MAX; n++) {
        struct pc_revseg *s = *segment;
        bool once = PC_TORTURE && n > 0 && s->used < threshold(t, s);
        int r = wants_room(t, s, probe) && !once ? make_room(t, s, s->copies) : 1;
        if (r < 0 && is_brimful(s))
            return r;
        if (r != 0) {
            t->put_off += r < 0;
            return 0;
        }
        *segment = pc_revtab_segment(t, fp);
        pc_revseg_probe(*segment, fp, probe);
    }
    return PC_E_FULL;
}

int pc_revtab_raise(struct pc_revtab *t, uint64_t fp, const struct pc_rev_times *times)
{
    struct pc_revseg *s = pc_revtab_segment(t, fp);
    struct pc_revseg_probe probe;
    pc_revseg_probe(s, fp, &probe);
    struct pc_rev_times merged = probe.max;
    bool known = probe.copies > 0;
    pc_rev_times_merge(&merged, times);
    if (known && memcmp(&merged, &probe.max, sizeof merged) == 0)
        return 0;
    int r = find_place(t, fp, &s, &probe);
    if (r < 0)
        return r;
    PC_ASSERT((probe.copies > 0) == known);
    pc_revseg_insert(s, &probe, fp, &merged); /* S5 */
    t->used++;
    t->entries += !known;
    return 1;
}

bool pc_revtab_kill(struct pc_revtab *t, uint64_t fp)
{
    bool killed = pc_revseg_kill(pc_revtab_segment(t, fp), fp) > 0;
    PC_ASSERT(!killed || t->entries > 0);
    t->entries -= killed;
    return killed;
}

/* ---- reaping ---- */

/* Kills what has expired wholly. A copy with an earlier expiry than its fingerprint's maximum
 * stays until a rebuild folds it. */
static uint32_t reap_segment(struct pc_revtab *t, struct pc_revseg *s, uint64_t before)
{
    struct pc_revseg_iter it = {0};
    uint64_t earliest = UINT64_MAX;
    uint32_t killed = 0;
    while (pc_revseg_next(s, &it)) {
        uint64_t expiry = it.times.at[PC_REV_EXPIRY];
        if (expiry < before) {
            struct pc_revseg_probe probe;
            pc_revseg_probe(s, it.fp, &probe);
            expiry = probe.max.at[PC_REV_EXPIRY];
            if (expiry < before) {
                bool removed = pc_revtab_kill(t, it.fp);
                PC_ASSERT(removed);
                killed++;
                continue;
            }
        }
        earliest = pc_min_u64(earliest, expiry);
    }
    s->earliest = earliest;
    return killed;
}

/* Whether s stands above where all blocks would fit, while much below is free: a rebuild takes the
 * lowest blocks, so that the upper end empties and goes back to the system. */
static bool stands_high(const struct pc_revseg *s)
{
    struct pc_arena_stats a;
    pc_arena_read_stats(s->pool->arena, &a);
    return a.resident_bytes > a.used_bytes + (a.used_bytes >> HOLES_SHIFT) + HOLES_MIN_BYTES &&
           pc_arena_ordinal(pc_revseg_highest_block(s)) > a.used_bytes / PC_ARENA_BLOCK_BYTES;
}

/* Rebuilds a segment that holds much waste, or stands high. For want of memory it stays as it is.
 */
static bool squeeze(struct pc_revtab *t, struct pc_revseg *s)
{
    bool wasteful = s->used - s->entries > s->used / REAP_WASTE;
    return (wasteful || stands_high(s)) && make_room(t, s, 0) == 0;
}

uint32_t pc_revtab_reap(struct pc_revtab *t, uint64_t before, int64_t *budget)
{
    uint32_t killed = 0;
    for (uint64_t n = t->segments; n > 0 && *budget > 0; n--) {
        struct pc_revseg *s = pc_revtab_segment(t, t->reap_next);
        uint64_t end = s->bits ? s->prefix + ((uint64_t)1 << (64 - s->bits)) : 0;
        *budget -= VISIT_COST;
        if (s->earliest < before) {
            *budget -= pc_revseg_slots(s);
            killed += reap_segment(t, s, before);
        }
        if (squeeze(t, s))
            *budget -= pc_revseg_slots(s) >> REBUILD_SHIFT;
        t->reap_next = end;
        t->reap_passes += end == 0;
    }
    return killed;
}

/* ---- bulk loading ---- */

/* Splits the empty segment that covers (prefix, bits) until one has exactly that range. */
static int carve(struct pc_revtab *t, uint64_t prefix, unsigned bits)
{
    struct pc_revseg *s;
    while ((s = pc_revtab_segment(t, prefix))->bits < bits) {
        PC_ASSERT(s->used == 0);
        int r = split(t, s);
        if (r < 0)
            return r;
    }
    return 0;
}

bool pc_revtab_bulk(struct pc_revtab *t, uint64_t prefix, unsigned bits, uint32_t n,
                    pc_revtab_source source, void *context, int *ret_error)
{
    struct pc_revseg *s = pc_revtab_segment(t, prefix);
    uint32_t slots_max = pc_revseg_slots_max(t->columns);
    uint32_t most = slots_max - slots_max / PC_REVTAB_RESERVE_SLOTS;
    if (s->used || s->bits > bits || bits > PC_REVTAB_DIRECTORY_BITS_MAX || n > most)
        return false;
    *ret_error = carve(t, prefix, bits);
    if (*ret_error < 0)
        return true;
    s = pc_revtab_segment(t, prefix);
    PC_ASSERT(s->bits == bits && s->prefix == prefix);
    uint32_t slots = next_size(t, prefix, bits, with_room(n, 0)).slots;
    struct pc_revseg *full = pc_revseg_new(t->pool, t->columns, slots, prefix, bits);
    if (!full) {
        *ret_error = -ENOMEM;
        return true;
    }
    uint64_t fp;
    struct pc_rev_times times;
    while (source(context, &fp, &times))
        pc_revseg_absorb(full, fp, &times);
    publish(t, full);
    retire(t, s);
    return true;
}
