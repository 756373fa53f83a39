/* SPDX-License-Identifier: Apache-2.0
 * Looking a request up in the router; see routes.h for what it promises, routes_private.h for how
 * it is laid out. */
#include "edge/state/routes.h"

#include "edge/state/routes_private.h"

#define HOST_MAX 255 /* of a name that can match a rule */

/* A path cut into segments. sum[i] is the hash of the first i of them. */
struct cut {
    unsigned n; /* PC_ROUTE_SEGMENTS_MAX + 1: more than fit */
    struct {
        const uint8_t *p;
        size_t n;
        uint64_t hash;
    } at[PC_ROUTE_SEGMENTS_MAX];
    uint64_t sum[PC_ROUTE_SEGMENTS_MAX + 1];
};

/* The request with what is computed once per look-up. */
struct probe {
    uint32_t method, listener; /* bits */
    bool is_head;
    uint8_t host[HOST_MAX];
    size_t host_n;
    uint64_t host_hash;
};

/* ---- the path ---- */

/* The top bit of the first byte that is `byte`, and perhaps of later ones. */
static uint64_t first_of(uint64_t word, uint8_t byte)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t x = word ^ ones * byte;
    return (x - ones) & ~x & tops;
}

/* Eight bytes, the first one lowest. */
static uint64_t load_in_order(const uint8_t *p)
{
    uint64_t word = pc_route_load64(p);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(word) : word;
}

/* The first '/' or ';' in [p, end), or end. From `begin` on the bytes may be read. */
static const uint8_t *segment_end(const uint8_t *begin, const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word = load_in_order(p), found = first_of(word, '/') | first_of(word, ';');
        if (found)
            return p + __builtin_ctzll(found) / 8;
    }
    if (p < end && end - begin >= 8) {
        /* The last eight bytes again, those before p shifted out. */
        uint64_t word = load_in_order(end - 8) >> 8 * (8 - (end - p));
        uint64_t found = first_of(word, '/') | first_of(word, ';');
        return found ? p + __builtin_ctzll(found) / 8 : end;
    }
    while (p < end && *p != '/' && *p != ';')
        p++;
    return p;
}

/* R3: without parameters, without empty segments. */
static void cut_path(struct pc_bytes path, struct cut *cut)
{
    const uint8_t *p = path.p, *end = path.p + path.n;
    unsigned n = 0;
    cut->sum[0] = 0;
    while (p < end) {
        const uint8_t *stop = segment_end(path.p, p, end);
        size_t length = (size_t)(stop - p);
        if (length && n == PC_ROUTE_SEGMENTS_MAX) {
            n++;
            break;
        }
        if (length) {
            cut->at[n].p = p;
            cut->at[n].n = length;
            cut->at[n].hash = pc_route_segment_hash(p, length, n);
            cut->sum[n + 1] = cut->sum[n] + cut->at[n].hash;
            n++;
        }
        while (stop < end && *stop != '/') /* parameters */
            stop++;
        p = stop < end ? stop + 1 : end;
    }
    cut->n = n;
}

static uint64_t hash_in_shape(const struct pc_route_shape *s, const struct cut *cut)
{
    uint64_t sum = cut->sum[s->depth];
    for (uint32_t open = s->open; open; open &= open - 1)
        sum -= cut->at[__builtin_ctz(open)].hash;
    return pc_route_shape_hash(s, sum);
}

static bool literals_equal(const struct pc_routes *r, const struct pc_route_bucket *b,
                           const struct cut *cut)
{
    for (uint32_t i = 0; i < b->literal_n; i++) {
        const struct pc_route_literal *l = &r->literals[b->literals + i];
        if (l->n != cut->at[l->at].n || memcmp(r->texts + l->off, cut->at[l->at].p, l->n) != 0)
            return false;
    }
    return true;
}

static const struct pc_route_bucket *find_bucket(const struct pc_routes *r, uint32_t shape,
                                                 const struct cut *cut)
{
    uint64_t hash = hash_in_shape(&r->shapes[shape], cut);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint32_t i = (uint32_t)hash & r->slot_mask;; i = (i + 1) & r->slot_mask) {
        const struct pc_route_slot *slot = &r->slots[i];
        if (slot->bucket == 0)
            return NULL;
        const struct pc_route_bucket *b = &r->buckets[slot->bucket - 1];
        if (slot->tag == tag && b->shape == shape && literals_equal(r, b, cut))
            return b;
    }
}

/* ---- host, method, listener ---- */

/* 0: does not match; more: the more specific (R1), HEAD covered by GET coming after HEAD (R4). */
static unsigned score(const struct pc_routes *r, const struct pc_route_entry *e,
                      const struct probe *probe)
{
    unsigned method = 0;
    if (e->listeners && !(e->listeners & probe->listener))
        return 0;
    if (e->methods & probe->method)
        method = 2;
    else if (probe->is_head && (e->methods & r->get_bit))
        method = 1;
    else if (e->methods)
        return 0;
    return 1 + method * 2 + (e->listeners != 0);
}

static bool ends_with(const struct probe *probe, const uint8_t *suffix, size_t n)
{
    return probe->host_n > n && memcmp(probe->host + probe->host_n - n, suffix, n) == 0;
}

static bool host_matches(const struct pc_routes *r, const struct pc_route_entry *e,
                         const struct probe *probe)
{
    const uint8_t *host = r->texts + e->host;
    switch (e->host_kind) {
    case PC_HOST_EXACT:
        return e->host_hash == probe->host_hash && e->host_n == probe->host_n &&
               memcmp(host, probe->host, e->host_n) == 0;
    case PC_HOST_SUFFIX: return ends_with(probe, host, e->host_n);
    default: return true;
    }
}

/* The best of the entries from..to: those of one host stand together, and all that match here
 * have the same one, except among suffixes, where the longest come first. */
static uint32_t best_of(const struct pc_routes *r, uint32_t from, uint32_t to,
                        const struct probe *probe)
{
    uint32_t route = PC_ROUTE_NONE;
    unsigned best = 0, length = 0;
    for (uint32_t i = from; i < to; i++) {
        const struct pc_route_entry *e = &r->entries[i];
        if (best && e->host_n != length)
            break;
        if (!host_matches(r, e, probe))
            continue;
        unsigned s = score(r, e, probe);
        if (s > best) {
            best = s;
            length = e->host_n;
            route = e->route;
        }
    }
    return route;
}

static uint32_t first_with_hash(const struct pc_routes *r, uint32_t from, uint32_t n, uint64_t hash)
{
    while (n) {
        uint32_t half = n / 2;
        if (r->entries[from + half].host_hash < hash) {
            from += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return from;
}

static uint32_t find_entry(const struct pc_routes *r, const struct pc_route_bucket *b,
                           const struct probe *probe)
{
    uint32_t exact_end = b->entries + b->exact_n, suffix_end = exact_end + b->suffix_n;
    if (b->exact_n) {
        uint32_t from = first_with_hash(r, b->entries, b->exact_n, probe->host_hash), to = from;
        while (to < exact_end && r->entries[to].host_hash == probe->host_hash)
            to++;
        uint32_t route = best_of(r, from, to, probe);
        if (route != PC_ROUTE_NONE)
            return route;
    }
    if (b->suffix_n) {
        uint32_t route = best_of(r, exact_end, suffix_end, probe);
        if (route != PC_ROUTE_NONE)
            return route;
    }
    return best_of(r, suffix_end, suffix_end + b->any_n, probe);
}

static uint32_t method_bit(const struct pc_routes *r, struct pc_bytes method)
{
    for (uint32_t i = 0; i < r->method_n; i++)
        if (r->methods[i].n == method.n &&
            pc_bytes_eq_nocase(pc_bytes_of(r->texts + r->methods[i].off, method.n), method))
            return 1u << i;
    return 0;
}

static void fold_host(struct pc_bytes host, struct probe *probe)
{
    host = pc_route_host_of(host);
    probe->host_n = 0;
    probe->host_hash = 0;
    if (host.n > sizeof probe->host)
        return; /* longer than a name can be: no rule has it */
    for (size_t i = 0; i < host.n; i++)
        probe->host[i] = pc_route_lower(host.p[i]);
    probe->host_n = host.n;
    probe->host_hash = pc_route_hash(probe->host, host.n);
}

uint32_t pc_routes_find(const struct pc_routes *r, const struct pc_route_request *request)
{
    struct probe probe;
    struct cut cut;
    probe.listener = 1u << request->listener;
    probe.host_hash = probe.host_n = 0;
    probe.method = r->needs & PC_ROUTE_NEEDS_METHOD ? method_bit(r, request->method) : 0;
    probe.is_head =
        r->get_bit && request->method.n == 4 && pc_bytes_eq_nocase(request->method, PC_LIT("HEAD"));
    if (r->needs & PC_ROUTE_NEEDS_HOST)
        fold_host(request->host, &probe);
    if (r->needs & PC_ROUTE_NEEDS_PATH)
        cut_path(request->path, &cut);
    else
        cut.n = 0, cut.sum[0] = 0;
    PC_ASSERT_SLOW(cut.n <= PC_ROUTE_SEGMENTS_MAX + 1 && request->listener < 32);
    for (uint32_t i = r->fit_from[cut.n]; i < r->fit_from[cut.n + 1]; i++) {
        const struct pc_route_bucket *b = find_bucket(r, r->fits[i], &cut);
        uint32_t route = b ? find_entry(r, b, &probe) : PC_ROUTE_NONE;
        if (route != PC_ROUTE_NONE)
            return route;
    }
    return PC_ROUTE_NONE;
}

unsigned pc_routes_needs(const struct pc_routes *r)
{
    return r->needs;
}

size_t pc_routes_bytes(const struct pc_routes *r)
{
    return sizeof *r + r->shape_n * sizeof *r->shapes + r->bucket_n * sizeof *r->buckets +
           r->entry_n * sizeof *r->entries + r->literal_n * sizeof *r->literals + r->text_n +
           (r->slot_mask + 1) * sizeof *r->slots + r->fit_n * sizeof *r->fits;
}
