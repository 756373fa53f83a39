/* SPDX-License-Identifier: Apache-2.0
 * From rules to the router: reads patterns, orders shapes and rules by R1, refuses rules that are
 * alike (R2). Allocates; runs on whichever thread loads the configuration. */
#include <stdlib.h>

#include "edge/state/routes.h"
#include "edge/state/routes_private.h"

#define HOST_MAX 253

/* A pattern as it was read. */
struct pattern {
    struct pc_route_shape shape;
    struct pc_bytes literal[PC_ROUTE_SEGMENTS_MAX];
    uint64_t sum; /* of the literals' hashes */
};

struct compiler {
    struct pc_routes *r;
    const struct pc_route_rule *rules;
    struct pc_why *why;
    uint32_t text_cap, literal_cap;
};

static int refuse(struct compiler *c, unsigned rule, const char *key, const char *what,
                  const char *value)
{
    return pc_fail(c->why, -EINVAL, "routes[%u].%s: %s: %s", rule, key, what, value);
}

static uint32_t add_text(struct compiler *c, struct pc_bytes text)
{
    uint32_t off = c->r->text_n;
    PC_ASSERT(text.n <= c->text_cap - off);
    memcpy(c->r->texts + off, text.p, text.n);
    c->r->text_n += (uint32_t)text.n;
    return off;
}

/* ---- patterns ---- */

static bool is_hex(uint8_t c)
{
    c = pc_route_lower(c);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Why a segment cannot stand in a pattern; NULL if it can. */
static const char *wrong_with(struct pc_bytes s)
{
    if (s.n == 0)
        return "empty segments never match";
    if (pc_bytes_eq(s, PC_LIT(".")) || pc_bytes_eq(s, PC_LIT("..")))
        return "dot segments never match";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c < 0x20 || c == 0x7f || c == '\\')
            return "a control byte or backslash never matches";
        if (c == ';')
            return "paths are compared without parameters, so \";\" never matches";
        if (c == '?' || c == '#')
            return "a path has no query and no fragment";
        if (c == '*')
            return "\"*\" stands alone, as the last segment";
        if (c == '{' || c == '}')
            return "\"{name}\" is a whole segment";
        if (c == '%' && i + 2 < s.n && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]))
            return "paths are compared decoded: write the character itself";
    }
    return s.n > UINT16_MAX ? "a segment is too long" : NULL;
}

static bool is_open(struct pc_bytes s)
{
    if (s.n < 3 || s.p[0] != '{' || s.p[s.n - 1] != '}')
        return false;
    for (size_t i = 1; i + 1 < s.n; i++) {
        uint8_t c = pc_route_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static const char *add_segment(struct pattern *p, struct pc_bytes s)
{
    unsigned at = p->shape.depth;
    const char *wrong = is_open(s) ? NULL : wrong_with(s);
    if (wrong)
        return wrong;
    if (at == PC_ROUTE_SEGMENTS_MAX)
        return "too many segments";
    p->literal[at] = is_open(s) ? pc_bytes_of(NULL, 0) : s;
    if (is_open(s))
        p->shape.open |= 1u << at;
    else
        p->sum += pc_route_segment_hash(s.p, s.n, at);
    p->shape.depth++;
    return NULL;
}

static const char *read_pattern(struct pc_bytes path, struct pattern *p)
{
    p->shape = (struct pc_route_shape){0, PC_SHAPE_ANY, 0};
    p->sum = 0;
    if (path.n == 0)
        return NULL;
    if (path.p[0] != '/')
        return "must begin with \"/\"";
    p->shape.kind = PC_SHAPE_WHOLE;
    for (size_t i = 1; i < path.n;) {
        const uint8_t *slash = memchr(path.p + i, '/', path.n - i);
        size_t n = slash ? (size_t)(slash - path.p) - i : path.n - i;
        struct pc_bytes segment = pc_bytes_of(path.p + i, n);
        i += n + 1; /* past the slash: a trailing one does not count */
        if (pc_bytes_eq(segment, PC_LIT("*")) && !slash) {
            p->shape.kind = PC_SHAPE_PREFIX;
            return NULL;
        }
        const char *wrong = add_segment(p, segment);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* ---- shapes ---- */

static unsigned literals_of(const struct pc_route_shape *s)
{
    return s->depth - (unsigned)__builtin_popcount(s->open);
}

/* Of two masks, the one whose first difference is a literal comes first. */
static int compare_open(uint32_t a, uint32_t b)
{
    uint32_t first = (a ^ b) & -(a ^ b);
    return first == 0 ? 0 : a & first ? 1 : -1;
}

/* R1, the path's part: negative when a is the more specific. */
static int compare_shapes(const void *pa, const void *pb)
{
    const struct pc_route_shape *a = pa, *b = pb;
    if (a->kind != b->kind)
        return (int)a->kind - (int)b->kind;
    if (a->kind == PC_SHAPE_PREFIX && a->depth != b->depth)
        return (int)b->depth - (int)a->depth;
    if ((a->open == 0) != (b->open == 0))
        return a->open ? 1 : -1;
    if (literals_of(a) != literals_of(b))
        return (int)literals_of(b) - (int)literals_of(a);
    if (a->depth != b->depth)
        return (int)b->depth - (int)a->depth;
    return compare_open(a->open, b->open);
}

static bool fits(const struct pc_route_shape *s, unsigned segments)
{
    return s->kind == PC_SHAPE_WHOLE ? s->depth == segments : s->depth <= segments;
}

static int collect_shapes(struct compiler *c, unsigned n)
{
    struct pc_routes *r = c->r;
    struct pattern p;
    for (unsigned i = 0; i < n; i++) {
        const char *wrong = read_pattern(pc_bytes_str(c->rules[i].path), &p);
        if (wrong)
            return refuse(c, i, "path", wrong, c->rules[i].path);
        r->needs |= p.shape.kind == PC_SHAPE_ANY ? 0 : PC_ROUTE_NEEDS_PATH;
        r->shapes[r->shape_n++] = p.shape;
    }
    qsort(r->shapes, r->shape_n, sizeof *r->shapes, compare_shapes);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->shape_n; i++)
        if (i == 0 || compare_shapes(&r->shapes[kept - 1], &r->shapes[i]) != 0)
            r->shapes[kept++] = r->shapes[i];
    r->shape_n = kept;
    return 0;
}

/* Which shapes a look-up asks for, by the length of its path. */
static int list_fits(struct pc_routes *r)
{
    uint32_t n = 0;
    for (unsigned segments = 0; segments <= PC_ROUTE_SEGMENTS_MAX + 1; segments++)
        for (uint32_t i = 0; i < r->shape_n; i++)
            n += fits(&r->shapes[i], segments);
    r->fits = malloc((n ? n : 1) * sizeof *r->fits);
    if (!r->fits)
        return -ENOMEM;
    for (unsigned segments = 0; segments <= PC_ROUTE_SEGMENTS_MAX + 1; segments++) {
        r->fit_from[segments] = r->fit_n;
        for (uint32_t i = 0; i < r->shape_n; i++)
            if (fits(&r->shapes[i], segments))
                r->fits[r->fit_n++] = (uint16_t)i;
    }
    r->fit_from[PC_ROUTE_SEGMENTS_MAX + 2] = r->fit_n;
    PC_ASSERT(r->fit_n == n);
    return 0;
}

static uint32_t shape_of(const struct pc_routes *r, const struct pc_route_shape *shape)
{
    const struct pc_route_shape *found =
        bsearch(shape, r->shapes, r->shape_n, sizeof *r->shapes, compare_shapes);
    PC_ASSERT(found != NULL);
    return (uint32_t)(found - r->shapes);
}

/* ---- buckets ---- */

static bool same_pattern(const struct pc_routes *r, const struct pc_route_bucket *b,
                         const struct pattern *p)
{
    for (uint32_t i = 0; i < b->literal_n; i++) {
        const struct pc_route_literal *l = &r->literals[b->literals + i];
        if (!pc_bytes_eq(pc_bytes_of(r->texts + l->off, l->n), p->literal[l->at]))
            return false;
    }
    return true;
}

static uint32_t add_bucket(struct compiler *c, const struct pattern *p, uint32_t shape,
                           uint64_t hash)
{
    struct pc_routes *r = c->r;
    struct pc_route_bucket *b = &r->buckets[r->bucket_n];
    *b = (struct pc_route_bucket){.hash = hash, .shape = shape, .literals = r->literal_n};
    for (unsigned i = 0; i < p->shape.depth; i++) {
        if (p->shape.open >> i & 1)
            continue;
        PC_ASSERT(r->literal_n < c->literal_cap);
        r->literals[r->literal_n++] = (struct pc_route_literal){
            add_text(c, p->literal[i]), (uint16_t)p->literal[i].n, (uint16_t)i};
        b->literal_n++;
    }
    return r->bucket_n++;
}

static uint32_t bucket_of(struct compiler *c, const struct pattern *p)
{
    struct pc_routes *r = c->r;
    uint32_t shape = shape_of(r, &p->shape);
    uint64_t hash = pc_route_shape_hash(&p->shape, p->sum);
    uint32_t i = (uint32_t)hash & r->slot_mask;
    for (; r->slots[i].bucket; i = (i + 1) & r->slot_mask) {
        const struct pc_route_bucket *b = &r->buckets[r->slots[i].bucket - 1];
        if (b->hash == hash && b->shape == shape && same_pattern(r, b, p))
            return r->slots[i].bucket - 1;
    }
    uint32_t bucket = add_bucket(c, p, shape, hash);
    r->slots[i] = (struct pc_route_slot){(uint32_t)(hash >> 32), bucket + 1};
    return bucket;
}

/* ---- methods and hosts ---- */

static bool is_token(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || (unsigned char)*s >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *s))
            return false;
    return true;
}

/* The bits of the rule's methods; 0 for any. */
static int read_methods(struct compiler *c, unsigned rule, uint32_t *ret_bits)
{
    const struct pc_words *words = c->rules[rule].methods;
    struct pc_routes *r = c->r;
    *ret_bits = 0;
    for (unsigned w = 0; words && w < words->n; w++) {
        struct pc_bytes name = pc_bytes_str(words->v[w]);
        uint32_t i = 0;
        if (name.n == 0 || !is_token(words->v[w]))
            return refuse(c, rule, "methods", "no method has this name", words->v[w]);
        while (
            i < r->method_n &&
            !pc_bytes_eq_nocase(pc_bytes_of(r->texts + r->methods[i].off, r->methods[i].n), name))
            i++;
        if (i == PC_ROUTE_METHODS_MAX)
            return refuse(c, rule, "methods", "more than 32 different methods", words->v[w]);
        if (i == r->method_n)
            r->methods[r->method_n++] =
                (struct pc_route_method){add_text(c, name), (uint32_t)name.n};
        if (pc_bytes_eq_nocase(name, PC_LIT("GET")))
            r->get_bit = 1u << i;
        *ret_bits |= 1u << i;
        r->needs |= PC_ROUTE_NEEDS_METHOD;
    }
    return 0;
}

static bool is_host(struct pc_bytes s)
{
    if (s.n == 0 || s.n > HOST_MAX || s.p[0] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = pc_route_lower(s.p[i]);
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.' || c == ':' || c == '~';
        if (!ok)
            return false;
    }
    return true;
}

static int read_host(struct compiler *c, unsigned rule, const char *word, struct pc_route_entry *e)
{
    struct pc_bytes host = pc_bytes_str(word);
    e->host_kind =
        host.n > 2 && host.p[0] == '*' && host.p[1] == '.' ? PC_HOST_SUFFIX : PC_HOST_EXACT;
    if (e->host_kind == PC_HOST_SUFFIX)
        host = pc_bytes_of(host.p + 2, host.n - 2);
    struct pc_bytes name = pc_route_host_of(host);
    if (memchr(host.p, ']', host.n) ? name.n + 2 != host.n : name.n + 1 < host.n)
        return refuse(c, rule, "hosts", "hosts are compared without their port", word);
    if (!is_host(name))
        return refuse(c, rule, "hosts", "not a host, nor \"*.suffix\"", word);
    e->host = c->r->text_n;
    if (e->host_kind == PC_HOST_SUFFIX)
        add_text(c, PC_LIT("."));
    uint32_t at = add_text(c, name);
    for (size_t i = 0; i < name.n; i++)
        c->r->texts[at + i] = pc_route_lower(name.p[i]);
    e->host_n = (uint16_t)(c->r->text_n - e->host);
    e->host_hash = e->host_kind == PC_HOST_EXACT ? pc_route_hash(c->r->texts + at, name.n) : 0;
    c->r->needs |= PC_ROUTE_NEEDS_HOST;
    return 0;
}

static int add_entries(struct compiler *c, unsigned rule)
{
    const struct pc_words *hosts = c->rules[rule].hosts;
    struct pattern p;
    struct pc_route_entry e = {.listeners = c->rules[rule].listeners, .route = rule};
    const char *wrong = read_pattern(pc_bytes_str(c->rules[rule].path), &p);
    PC_ASSERT(wrong == NULL); /* read before */
    int rc = read_methods(c, rule, &e.methods);
    e.bucket = bucket_of(c, &p);
    e.host_kind = PC_HOST_ANY;
    if (rc == 0 && (!hosts || hosts->n == 0))
        c->r->entries[c->r->entry_n++] = e;
    for (unsigned i = 0; hosts && i < hosts->n && rc == 0; i++) {
        rc = read_host(c, rule, hosts->v[i], &e);
        if (rc == 0)
            c->r->entries[c->r->entry_n++] = e;
    }
    return rc;
}

/* ---- order, and rules that are alike ---- */

static int compare_entries(const void *pa, const void *pb, void *texts)
{
    const struct pc_route_entry *a = pa, *b = pb;
    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    if (a->host_kind != b->host_kind)
        return (int)a->host_kind - (int)b->host_kind;
    if (a->host_hash != b->host_hash)
        return a->host_hash < b->host_hash ? -1 : 1;
    if (a->host_n != b->host_n)
        return a->host_n > b->host_n ? -1 : 1;
    int order = memcmp((uint8_t *)texts + a->host, (uint8_t *)texts + b->host, a->host_n);
    if (order)
        return order;
    return a->route < b->route ? -1 : a->route > b->route;
}

static bool same_host(const struct pc_routes *r, const struct pc_route_entry *a,
                      const struct pc_route_entry *b)
{
    return a->bucket == b->bucket && a->host_kind == b->host_kind && a->host_n == b->host_n &&
           memcmp(r->texts + a->host, r->texts + b->host, a->host_n) == 0;
}

/* Both any, or both named with one in common: a request of that one scores the same for both. */
static bool overlap(uint32_t a, uint32_t b)
{
    return a && b ? (a & b) != 0 : a == b;
}

static int check_alike(struct compiler *c)
{
    const struct pc_routes *r = c->r;
    for (uint32_t i = 0; i < r->entry_n; i++) {
        const struct pc_route_entry *a = &r->entries[i];
        for (uint32_t k = i + 1; k < r->entry_n && same_host(r, a, &r->entries[k]); k++) {
            const struct pc_route_entry *b = &r->entries[k];
            if (overlap(a->methods, b->methods) && overlap(a->listeners, b->listeners))
                return pc_fail(c->why, -EINVAL,
                               "routes[%u] (%s) and routes[%u] (%s): nothing tells them apart",
                               a->route, c->rules[a->route].name, b->route,
                               c->rules[b->route].name);
        }
    }
    return 0;
}

static void fill_buckets(struct pc_routes *r)
{
    for (uint32_t i = r->entry_n; i-- > 0;) {
        struct pc_route_bucket *b = &r->buckets[r->entries[i].bucket];
        b->entries = i;
        b->exact_n += r->entries[i].host_kind == PC_HOST_EXACT;
        b->suffix_n += r->entries[i].host_kind == PC_HOST_SUFFIX;
        b->any_n += r->entries[i].host_kind == PC_HOST_ANY;
    }
}

/* ---- the whole ---- */

/* Upper bounds, so that nothing grows later. */
static void measure(const struct pc_route_rule *rules, unsigned n, struct compiler *c,
                    uint32_t *ret_entries)
{
    uint32_t entries = 0, texts = 1, literals = 1;
    for (unsigned i = 0; i < n; i++) {
        const struct pc_route_rule *rule = &rules[i];
        entries += rule->hosts && rule->hosts->n ? rule->hosts->n : 1;
        for (const char *s = rule->path; s && *s; s++)
            literals += *s == '/';
        texts += rule->path ? (uint32_t)strlen(rule->path) : 0;
        for (unsigned w = 0; rule->hosts && w < rule->hosts->n; w++)
            texts += (uint32_t)strlen(rule->hosts->v[w]);
        for (unsigned w = 0; rule->methods && w < rule->methods->n; w++)
            texts += (uint32_t)strlen(rule->methods->v[w]);
    }
    *ret_entries = entries;
    c->text_cap = texts;
    c->literal_cap = literals;
}

static int allocate(struct compiler *c, unsigned n)
{
    struct pc_routes *r = c->r;
    uint32_t entries, slots = 2;
    measure(c->rules, n, c, &entries);
    while (slots < 2 * n)
        slots *= 2;
    r->slot_mask = slots - 1;
    r->shapes = calloc(n ? n : 1, sizeof *r->shapes);
    r->buckets = calloc(n ? n : 1, sizeof *r->buckets);
    r->entries = calloc(entries ? entries : 1, sizeof *r->entries);
    r->literals = calloc(c->literal_cap, sizeof *r->literals);
    r->slots = calloc(slots, sizeof *r->slots);
    r->texts = malloc(c->text_cap);
    if (!r->shapes || !r->buckets || !r->entries || !r->literals || !r->slots || !r->texts)
        return pc_fail(c->why, -ENOMEM, "no memory for the routes");
    return 0;
}

static int compile(struct compiler *c, unsigned n)
{
    int rc = allocate(c, n);
    if (rc == 0)
        rc = collect_shapes(c, n);
    if (rc == 0 && list_fits(c->r) < 0)
        rc = pc_fail(c->why, -ENOMEM, "no memory for the routes");
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = add_entries(c, i);
    if (rc < 0)
        return rc;
    qsort_r(c->r->entries, c->r->entry_n, sizeof *c->r->entries, compare_entries, c->r->texts);
    fill_buckets(c->r);
    return check_alike(c);
}

int pc_routes_compile(const struct pc_route_rule *rules, unsigned n, struct pc_routes **ret_routes,
                      struct pc_why *why)
{
    struct compiler c = {.rules = rules, .why = why};
    if (n > PC_ROUTES_MAX)
        return pc_fail(why, -EINVAL, "routes: at most %u", PC_ROUTES_MAX);
    c.r = calloc(1, sizeof *c.r);
    if (!c.r)
        return pc_fail(why, -ENOMEM, "no memory for the routes");
    c.r->rules = n;
    int rc = compile(&c, n);
    if (rc < 0) {
        pc_routes_free(c.r);
        return rc;
    }
    *ret_routes = c.r;
    return 0;
}

void pc_routes_free(struct pc_routes *r)
{
    if (!r)
        return;
    free(r->shapes);
    free(r->buckets);
    free(r->entries);
    free(r->literals);
    free(r->slots);
    free(r->texts);
    free(r->fits);
    free(r);
}
