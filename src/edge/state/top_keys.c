/* SPDX-License-Identifier: Apache-2.0
 * Space-Saving over a fixed array; each entry guarded by a version (a sequence lock whose readers
 * never hold up the writer). All words are relaxed atomics: whole, and ordered by the version. */
#include "edge/state/top_keys.h"

#include <errno.h>
#include <stdlib.h>

/* A reader tries this often; an entry hammered all the while is left out of the copy. */
#define READ_ATTEMPTS 64

#define ENTRY_WORDS (sizeof(struct pc_top_entry) / sizeof(uint64_t))
_Static_assert(sizeof(struct pc_top_entry) % sizeof(uint64_t) == 0, "copied by words");

struct entry {
    uint64_t version; /* I2 */
    uint64_t words[ENTRY_WORDS];
};

struct pc_top_keys {
    /* Owner only. */
    int64_t halved_ns;
    unsigned used;
    uint64_t ids[PC_TOP_KEYS];    /* searched without touching the entries */
    uint64_t counts[PC_TOP_KEYS]; /* likewise for the smallest */
    struct pc_top_entry own[PC_TOP_KEYS];
    /* Written by the owner, read by all. */
    struct entry entries[PC_TOP_KEYS];
};

int pc_top_keys_new(struct pc_top_keys **ret_top)
{
    struct pc_top_keys *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    *ret_top = t;
    return 0;
}

void pc_top_keys_free(struct pc_top_keys *t)
{
    free(t);
}

/* ---- the owner ---- */

static void publish(struct pc_top_keys *t, unsigned i)
{
    struct entry *e = &t->entries[i];
    uint64_t version = __atomic_load_n(&e->version, __ATOMIC_RELAXED), words[ENTRY_WORDS];
    PC_ASSERT(version % 2 == 0); /* I1 */
    memcpy(words, &t->own[i], sizeof words);
    __atomic_store_n(&e->version, version + 1, __ATOMIC_RELAXED);
    for (size_t w = 0; w < ENTRY_WORDS; w++) /* each release: none is seen before the odd version */
        __atomic_store_n(&e->words[w], words[w], __ATOMIC_RELEASE);
    __atomic_store_n(&e->version, version + 2, __ATOMIC_RELEASE);
}

static void halve(struct pc_top_keys *t, int64_t now_ns)
{
    if (t->halved_ns == 0 || now_ns - t->halved_ns < PC_TOP_HALF_LIFE_NS) {
        t->halved_ns = t->halved_ns ? t->halved_ns : now_ns;
        return;
    }
    int64_t times = pc_min_i64((now_ns - t->halved_ns) / PC_TOP_HALF_LIFE_NS, 63);
    t->halved_ns = now_ns;
    for (unsigned i = 0; i < t->used; i++) {
        struct pc_top_entry *e = &t->own[i];
        e->count >>= times;
        e->error >>= times;
        e->refused >>= times;
        e->near >>= times;
        t->counts[i] = e->count;
        publish(t, i);
    }
}

/* A key that holds a zero must not look like the shorter one before it: SUB stands in. */
static void copy_text(char *to, size_t max, struct pc_bytes from)
{
    size_t n = from.n < max ? from.n : max;
    memset(to, 0, max + 1);
    for (size_t i = 0; i < n; i++)
        to[i] = from.p[i] ? (char)from.p[i] : '\x1a';
}

/* A new key takes a free place, or that of the smallest count, which it keeps as its error. */
static unsigned place_for(struct pc_top_keys *t, uint64_t id, struct pc_bytes policy,
                          struct pc_bytes key)
{
    unsigned at = t->used;
    uint64_t count = 0;
    if (at == PC_TOP_KEYS) {
        at = 0;
        for (unsigned i = 1; i < PC_TOP_KEYS; i++)
            at = t->counts[i] < t->counts[at] ? i : at;
        count = t->counts[at];
    } else {
        t->used++;
    }
    struct pc_top_entry *e = &t->own[at];
    *e = (struct pc_top_entry){.id = id, .count = count, .error = count};
    copy_text(e->policy, PC_TOP_POLICY_MAX, policy);
    copy_text(e->key, PC_TOP_TEXT_MAX, key);
    t->ids[at] = id;
    return at;
}

void pc_top_keys_add(struct pc_top_keys *t, enum pc_top_event event, uint64_t id,
                     struct pc_bytes policy, struct pc_bytes key, int64_t now_ns, int64_t now_ms)
{
    unsigned at = 0;
    id = id ? id : 1;
    halve(t, now_ns);
    while (at < t->used && t->ids[at] != id)
        at++;
    if (at == t->used)
        at = place_for(t, id, policy, key);
    struct pc_top_entry *e = &t->own[at];
    PC_ASSERT(e->id == id);
    t->counts[at] = ++e->count;
    *(event == PC_TOP_REFUSED ? &e->refused : &e->near) += 1;
    e->last_ms = now_ms;
    publish(t, at);
}

/* ---- anybody ---- */

static bool read_entry(const struct entry *e, struct pc_top_entry *ret_entry)
{
    uint64_t words[ENTRY_WORDS];
    for (int attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
        uint64_t version = __atomic_load_n(&e->version, __ATOMIC_ACQUIRE);
        if (version == 0)
            return false;
        for (size_t w = 0; w < ENTRY_WORDS; w++) /* acquire: none later than the check below */
            words[w] = __atomic_load_n(&e->words[w], __ATOMIC_ACQUIRE);
        if (version % 2 == 0 && __atomic_load_n(&e->version, __ATOMIC_RELAXED) == version) {
            memcpy(ret_entry, words, sizeof words); /* I2 */
            return true;
        }
    }
    return false;
}

unsigned pc_top_keys_read(const struct pc_top_keys *t, struct pc_top_entry *entries)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PC_TOP_KEYS; i++)
        n += read_entry(&t->entries[i], &entries[n]);
    return n;
}

static int by_id(const void *a, const void *b)
{
    const struct pc_top_entry *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int by_rank(const void *a, const void *b)
{
    const struct pc_top_entry *x = a, *y = b;
    if (x->refused != y->refused)
        return x->refused > y->refused ? -1 : 1;
    if (x->near != y->near)
        return x->near > y->near ? -1 : 1;
    return by_id(a, b);
}

unsigned pc_top_entries_merge(struct pc_top_entry *entries, unsigned n)
{
    unsigned m = 0;
    qsort(entries, n, sizeof entries[0], by_id);
    for (unsigned i = 0; i < n; i++) {
        if (m == 0 || entries[m - 1].id != entries[i].id) {
            entries[m++] = entries[i];
            continue;
        }
        struct pc_top_entry *e = &entries[m - 1];
        e->count += entries[i].count;
        e->error += entries[i].error;
        e->refused += entries[i].refused;
        e->near += entries[i].near;
        e->last_ms = pc_max_i64(e->last_ms, entries[i].last_ms);
    }
    qsort(entries, m, sizeof entries[0], by_rank);
    return m;
}
