/* SPDX-License-Identifier: Apache-2.0
 * IP sets: compiling what is configured, joining it with runtime rules, matching. Any thread; no
 * clock, no I/O. */
#include "edge/state/ip_sets.h"

#include <stdlib.h>

#include "edge/state/ip_list.h"
#include "edge/state/registers.h"

#define GLOBAL_NAME "global"

struct configured_set {
    char name[PC_IP_SET_NAME_MAX + 1];
    bool otherwise_deny;
    struct pc_ip_table *table;
};

struct pc_ip_configured {
    uint64_t rules;
    size_t bytes;
    unsigned n;
    struct configured_set sets[]; /* the first is global */
};

/* Who made a runtime rule, and when. */
struct author {
    uint32_t actor, actor_n; /* in the group's texts */
    int64_t at_ms;
};

/* The runtime rules of one set, which may not be configured. */
struct group {
    char name[PC_IP_SET_NAME_MAX + 1];
    struct pc_ip_table *table;
    struct author *authors; /* [rules of the table], in its order */
    uint8_t *texts;
};

/* A set as matched. */
struct joined_set {
    const struct pc_ip_table *configured, *runtime; /* runtime may be NULL */
    bool otherwise_deny;
    bool has_rules;
};

/* A set as listed: configured, or known by runtime rules only. */
struct listed_set {
    const char *name;
    const struct pc_ip_table *configured;
    const struct group *group;
};

struct pc_ip_sets {
    const struct pc_ip_configured *configured;
    struct joined_set *sets; /* as many as configured */
    struct group *groups;    /* by name */
    size_t group_n;
    struct listed_set *listed; /* by name */
    size_t listed_n;
    int64_t next_expiry_ms;
    struct pc_ip_sets_stats stats;
};

/* ---- keys ---- */

bool pc_ip_set_name_valid(struct pc_bytes name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '_' && c != '-' && c != '.')
            return false;
    }
    return name.n > 0 && name.n <= PC_IP_SET_NAME_MAX;
}

void pc_ip_key_format(struct pc_bytes set, const struct pc_cidr *cidr, struct pc_buf *b)
{
    pc_buf_bytes(b, set);
    pc_buf_char(b, ' ');
    pc_cidr_format(cidr, b);
}

int pc_ip_key_parse(struct pc_bytes key, struct pc_bytes *ret_set, struct pc_cidr *ret_cidr)
{
    const uint8_t *blank = key.n ? memchr(key.p, ' ', key.n) : NULL;
    if (!blank || key.n > PC_IP_KEY_MAX)
        return -EINVAL;
    char again[PC_IP_KEY_MAX];
    struct pc_buf b = pc_buf_of(again, sizeof again);
    struct pc_bytes set = pc_bytes_of(key.p, (size_t)(blank - key.p));
    struct pc_cidr cidr;
    if (!pc_ip_set_name_valid(set) ||
        pc_cidr_parse(pc_bytes_of(blank + 1, key.n - set.n - 1), &cidr))
        return -EINVAL;
    pc_ip_key_format(set, &cidr, &b);
    if (!pc_bytes_eq(pc_bytes_of(b.p, b.len), key))
        return -EINVAL; /* two spellings would be two rules */
    *ret_set = set;
    *ret_cidr = cidr;
    return 0;
}

/* ---- the configured part ---- */

static int add_words(struct pc_ip_builder *b, const char *const *words, unsigned n, bool deny,
                     struct pc_why *why)
{
    struct pc_ip_rule rule = {.deny = deny, .expires_at_ms = INT64_MAX};
    for (unsigned i = 0; i < n; i++) {
        int rc = pc_cidr_parse_why(pc_bytes_str(words[i]), &rule.cidr, why);
        if (rc < 0)
            return rc;
        rc = pc_ip_builder_add(b, &rule);
        if (rc < 0)
            return pc_fail(why, rc, "%s", pc_strerror(rc));
    }
    return 0;
}

static int add_list(struct pc_ip_builder *b, const struct pc_ip_set_source *s, struct pc_why *why)
{
    struct pc_ip_list list = pc_ip_list_of(s->list, !s->otherwise_deny);
    struct pc_ip_rule rule;
    struct pc_why inner;
    int rc;
    if (s->list.n > PC_IP_LIST_BYTES_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "%s: larger than 256 MiB", s->list_name);
    while ((rc = pc_ip_list_next(&list, &rule, &inner)) > 0) {
        rc = pc_ip_builder_add(b, &rule);
        if (rc < 0)
            return pc_fail(why, rc, "%s: line %u: %s", s->list_name, list.line, pc_strerror(rc));
    }
    return rc < 0 ? pc_fail(why, rc, "%s: %s", s->list_name, inner.text) : 0;
}

static int compile_set(const struct pc_ip_set_source *s, struct configured_set *set,
                       struct pc_why *why)
{
    struct pc_ip_builder *b;
    int rc = pc_ip_builder_new(&b);
    if (rc < 0)
        return pc_fail(why, rc, "no memory");
    rc = add_words(b, s->allow, s->allow_n, false, why);
    if (rc == 0)
        rc = add_words(b, s->deny, s->deny_n, true, why);
    if (rc == 0)
        rc = add_list(b, s, why);
    if (rc == 0)
        rc = pc_ip_builder_finish(b, &set->table, why);
    pc_ip_builder_free(b);
    return rc;
}

static int fill_set(struct pc_ip_configured *c, struct configured_set *set,
                    const struct pc_ip_set_source *s, struct pc_why *why)
{
    struct pc_bytes name = pc_bytes_str(s->name);
    struct pc_why inner;
    if (!pc_ip_set_name_valid(name))
        return pc_fail(why, -EINVAL, "IP set \"%.64s\": a name is of letters, digits, _, - and .",
                       s->name);
    if (set->table)
        return pc_fail(why, PC_E_DUPLICATE, "IP set %s: configured twice", s->name);
    memcpy(set->name, s->name, name.n + 1);
    set->otherwise_deny = s->otherwise_deny;
    int rc = compile_set(s, set, &inner);
    if (rc < 0)
        return pc_fail(why, rc, "IP set %s: %.440s", s->name, inner.text);
    c->rules += pc_ip_table_count(set->table);
    c->bytes += pc_ip_table_bytes(set->table);
    return 0;
}

int pc_ip_configured_new(const struct pc_ip_set_source *sets, unsigned n,
                         struct pc_ip_configured **ret_c, struct pc_why *why)
{
    static const struct pc_ip_set_source global = {.name = GLOBAL_NAME};
    struct pc_ip_configured *c = calloc(1, sizeof *c + (n + 1) * sizeof c->sets[0]);
    int rc = 0;
    if (!c)
        return pc_fail(why, -ENOMEM, "no memory for IP sets");
    c->n = 1;
    c->bytes = sizeof *c + (n + 1) * sizeof c->sets[0];
    for (unsigned i = 0; i < n && rc == 0; i++) {
        unsigned at = pc_ip_configured_find(c, pc_bytes_str(sets[i].name));
        if (strcmp(sets[i].name, GLOBAL_NAME) == 0)
            at = PC_IP_GLOBAL;
        else if (at == PC_IP_NO_SET)
            at = c->n++;
        rc = fill_set(c, &c->sets[at], &sets[i], why);
    }
    if (rc == 0 && !c->sets[PC_IP_GLOBAL].table)
        rc = fill_set(c, &c->sets[PC_IP_GLOBAL], &global, why);
    if (rc < 0) {
        pc_ip_configured_free(c);
        return rc;
    }
    *ret_c = c;
    return 0;
}

void pc_ip_configured_free(struct pc_ip_configured *c)
{
    for (unsigned i = 0; c && i < c->n; i++)
        pc_ip_table_free(c->sets[i].table);
    free(c);
}

unsigned pc_ip_configured_find(const struct pc_ip_configured *c, struct pc_bytes name)
{
    for (unsigned i = 0; i < c->n; i++)
        if (pc_bytes_eq_str(name, c->sets[i].name))
            return i;
    return PC_IP_NO_SET;
}

uint64_t pc_ip_configured_rules(const struct pc_ip_configured *c)
{
    return c->rules;
}

size_t pc_ip_configured_bytes(const struct pc_ip_configured *c)
{
    return c->bytes;
}

/* ---- runtime rules ---- */

/* A register as a rule; false if it is none. */
static bool rule_of(const struct pc_register *r, struct pc_bytes *ret_set, struct pc_ip_rule *ret)
{
    struct pc_ip_rule rule = {.deny = pc_bytes_eq_str(r->value, "deny"),
                              .expires_at_ms = r->expires_at_ms,
                              .reason = r->reason};
    if (!rule.deny && !pc_bytes_eq_str(r->value, "allow"))
        return false;
    if (r->reason.n > PC_IP_REASON_MAX || pc_ip_key_parse(r->key, ret_set, &rule.cidr) < 0)
        return false;
    *ret = rule;
    return true;
}

/* A walk over the registers that are rules. */
struct rules {
    const struct pc_registers *registers;
    int64_t expired_before_ms; /* those are left out */
    size_t at, before;         /* `before`: to step back by one */
    const struct pc_register *reg;
    struct pc_bytes set;
    struct pc_ip_rule rule;
};

static bool next_rule(struct rules *w)
{
    do {
        w->before = w->at;
        w->reg = pc_registers_next(w->registers, &w->at);
    } while (w->reg &&
             (w->reg->expires_at_ms < w->expired_before_ms || !rule_of(w->reg, &w->set, &w->rule)));
    return w->reg != NULL;
}

static bool next_rule_of(struct rules *w, struct pc_bytes set)
{
    if (!next_rule(w))
        return false;
    if (pc_bytes_eq(w->set, set))
        return true;
    w->at = w->before;
    return false;
}

/* Puts each rule's author where the table has the rule. */
static int keep_authors(struct group *g, struct rules w, struct pc_bytes set, size_t texts_n)
{
    uint32_t n = pc_ip_table_count(g->table), used = 0;
    g->authors = calloc(n, sizeof *g->authors);
    g->texts = malloc(texts_n + 1);
    if (!g->authors || !g->texts)
        return -ENOMEM;
    while (next_rule_of(&w, set)) {
        uint32_t i = pc_ip_table_seek(g->table, &w.rule.cidr) - 1;
        struct pc_bytes actor = w.reg->actor;
        PC_ASSERT(i < n && used + actor.n <= texts_n);
        g->authors[i] = (struct author){used, (uint32_t)actor.n, w.reg->at_ms};
        if (actor.n)
            memcpy(g->texts + used, actor.p, actor.n);
        used += (uint32_t)actor.n;
    }
    return 0;
}

/* All rules of the set whose first one *w stands before; moves it behind them. */
static int make_group(struct pc_ip_sets *s, struct group *g, struct rules *w, struct pc_bytes set,
                      struct pc_ip_builder *b)
{
    struct rules first = *w;
    size_t texts_n = 0, n = 0;
    memcpy(g->name, set.p, set.n);
    while (next_rule_of(w, set)) {
        int rc = pc_ip_builder_add(b, &w->rule);
        if (rc < 0)
            return rc;
        texts_n += w->reg->actor.n;
        n++;
        s->next_expiry_ms = pc_min_i64(s->next_expiry_ms, w->rule.expires_at_ms);
    }
    int rc = pc_ip_builder_finish(b, &g->table, NULL);
    if (rc == 0)
        rc = keep_authors(g, first, set, texts_n);
    s->stats.runtime_rules += n;
    s->stats.runtime_bytes +=
        texts_n + n * sizeof *g->authors + sizeof *g + (rc == 0 ? pc_ip_table_bytes(g->table) : 0);
    return rc;
}

/* One group for each set that runtime rules name: the keys are sorted, and a blank comes before
 * every character of a name, so that the rules of a set stand together and the sets by name. */
static int make_groups(struct pc_ip_sets *s, struct rules w, struct pc_ip_builder *b,
                       struct pc_why *why)
{
    struct rules ahead = w;
    struct pc_bytes set = {NULL, 0};
    size_t sets = 0, rules = 0;
    for (; next_rule(&ahead); rules++) {
        sets += !set.p || !pc_bytes_eq(set, ahead.set);
        set = ahead.set;
    }
    if (rules > PC_IP_RUNTIME_RULES_MAX)
        return pc_fail(why, PC_E_FULL, "more than %u IP rules at run time",
                       PC_IP_RUNTIME_RULES_MAX);
    s->groups = sets ? calloc(sets, sizeof *s->groups) : NULL;
    if (sets && !s->groups)
        return pc_fail(why, -ENOMEM, "no memory for IP rules");
    while (s->group_n < sets) {
        ahead = w;
        bool found = next_rule(&ahead);
        PC_ASSERT(found);
        int rc = make_group(s, &s->groups[s->group_n++], &w, ahead.set, b);
        if (rc < 0)
            return pc_fail(why, rc, "no memory for IP rules");
    }
    return 0;
}

static const struct group *group_of(const struct pc_ip_sets *s, const char *name)
{
    size_t low = 0, high = s->group_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(s->groups[middle].name, name);
        if (order == 0)
            return &s->groups[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- joining both ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct listed_set *)a)->name, ((const struct listed_set *)b)->name);
}

static int join(struct pc_ip_sets *s)
{
    const struct pc_ip_configured *c = s->configured;
    s->sets = calloc(c->n, sizeof *s->sets);
    s->listed = calloc(c->n + s->group_n, sizeof *s->listed);
    if (!s->sets || !s->listed)
        return -ENOMEM;
    for (unsigned i = 0; i < c->n; i++) {
        const struct configured_set *set = &c->sets[i];
        const struct group *g = group_of(s, set->name);
        s->sets[i] = (struct joined_set){set->table, g ? g->table : NULL, set->otherwise_deny,
                                         g || pc_ip_table_count(set->table) > 0};
        s->listed[s->listed_n++] = (struct listed_set){set->name, set->table, g};
    }
    for (size_t i = 0; i < s->group_n; i++) {
        const struct group *g = &s->groups[i];
        if (pc_ip_configured_find(c, pc_bytes_str(g->name)) != PC_IP_NO_SET)
            continue;
        s->listed[s->listed_n++] = (struct listed_set){g->name, NULL, g};
        s->stats.dormant_rules += pc_ip_table_count(g->table);
    }
    qsort(s->listed, s->listed_n, sizeof *s->listed, by_name);
    s->stats.configured_rules = c->rules;
    s->stats.configured_bytes = c->bytes;
    s->stats.runtime_bytes +=
        sizeof *s + c->n * sizeof *s->sets + (c->n + s->group_n) * sizeof *s->listed;
    return 0;
}

int pc_ip_sets_compile(const struct pc_ip_configured *c, const struct pc_registers *runtime,
                       int64_t expired_before_ms, struct pc_ip_sets **ret_s, struct pc_why *why)
{
    struct rules rules = {.registers = runtime, .expired_before_ms = expired_before_ms};
    struct pc_ip_sets *s = calloc(1, sizeof *s);
    struct pc_ip_builder *b = NULL;
    if (!s || pc_ip_builder_new(&b) < 0) {
        free(s);
        return pc_fail(why, -ENOMEM, "no memory for IP rules");
    }
    s->configured = c;
    s->next_expiry_ms = INT64_MAX;
    int rc = make_groups(s, rules, b, why);
    if (rc == 0 && join(s) < 0)
        rc = pc_fail(why, -ENOMEM, "no memory for IP rules");
    pc_ip_builder_free(b);
    if (rc < 0) {
        pc_ip_sets_free(s);
        return rc;
    }
    *ret_s = s;
    return 0;
}

void pc_ip_sets_free(struct pc_ip_sets *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->group_n; i++) {
        pc_ip_table_free(s->groups[i].table);
        free(s->groups[i].authors);
        free(s->groups[i].texts);
    }
    free(s->groups);
    free(s->sets);
    free(s->listed);
    free(s);
}

unsigned pc_ip_sets_count(const struct pc_ip_sets *s)
{
    return s->configured->n;
}

const char *pc_ip_sets_name(const struct pc_ip_sets *s, unsigned set)
{
    PC_ASSERT(set < s->configured->n);
    return s->configured->sets[set].name;
}

unsigned pc_ip_sets_find(const struct pc_ip_sets *s, struct pc_bytes name)
{
    return pc_ip_configured_find(s->configured, name);
}

/* ---- matching ---- */

void pc_ip_sets_match(const struct pc_ip_sets *s, unsigned set, const struct pc_ip *ip,
                      int64_t now_ms, struct pc_ip_match *ret_match)
{
    PC_ASSERT(set < s->configured->n);
    const struct joined_set *e = &s->sets[set];
    struct pc_ip_hit configured, runtime;
    bool by_configured = pc_ip_table_match(e->configured, ip, now_ms, &configured);
    bool by_runtime = e->runtime && pc_ip_table_match(e->runtime, ip, now_ms, &runtime);
    if (by_runtime && (!by_configured || runtime.bits >= configured.bits))
        *ret_match =
            (struct pc_ip_match){runtime.deny, PC_IP_FROM_RUNTIME, e->runtime, runtime.rule};
    else if (by_configured)
        *ret_match = (struct pc_ip_match){configured.deny, PC_IP_FROM_CONFIGURED, e->configured,
                                          configured.rule};
    else if (PC_UNLIKELY(ip->family == 0 && e->has_rules))
        *ret_match = (struct pc_ip_match){true, PC_IP_FROM_NO_ADDRESS, NULL, 0};
    else
        *ret_match = (struct pc_ip_match){e->otherwise_deny, PC_IP_FROM_DEFAULT, NULL, 0};
}

bool pc_ip_match_rule(const struct pc_ip_match *m, struct pc_ip_rule *ret_rule)
{
    if (!m->table)
        return false;
    pc_ip_table_rule(m->table, m->rule, ret_rule);
    return true;
}

const char *pc_ip_source_name(enum pc_ip_source source)
{
    static const char *const names[] = {"default", "configured", "runtime", "no_address"};
    PC_ASSERT((size_t)source < PC_COUNT(names));
    return names[source];
}

int64_t pc_ip_sets_next_expiry_ms(const struct pc_ip_sets *s)
{
    return s->next_expiry_ms;
}

/* ---- listing ---- */

static const struct pc_ip_table *table_of(const struct listed_set *set, enum pc_ip_source source)
{
    if (source == PC_IP_FROM_CONFIGURED)
        return set->configured;
    return set->group ? set->group->table : NULL;
}

/* Rule `index` of the source, if it has so many and is wanted. */
static bool list_at(const struct listed_set *set, enum pc_ip_source source,
                    const struct pc_ip_place *place, uint32_t index, struct pc_ip_listed *ret)
{
    const struct pc_ip_table *t = table_of(set, source);
    bool wanted = place->only == PC_IP_FROM_DEFAULT || place->only == source;
    if (!wanted || !t || index >= pc_ip_table_count(t))
        return false;
    struct pc_ip_listed found = {
        .set = pc_bytes_str(set->name), .source = source, .dormant = !set->configured};
    pc_ip_table_rule(t, index, &found.rule);
    if (source == PC_IP_FROM_RUNTIME) {
        const struct author *a = &set->group->authors[index];
        found.actor = pc_bytes_of(set->group->texts + a->actor, a->actor_n);
        found.at_ms = a->at_ms;
    }
    *ret = found;
    return true;
}

/* Of the set the place is in: what is behind it. */
static bool list_behind(const struct listed_set *set, const struct pc_ip_place *place,
                        struct pc_ip_listed *ret)
{
    const struct pc_ip_table *t = table_of(set, place->source);
    uint32_t index = t ? pc_ip_table_seek(t, &place->cidr) : 0;
    return list_at(set, place->source, place, index, ret) ||
           (place->source == PC_IP_FROM_CONFIGURED &&
            list_at(set, PC_IP_FROM_RUNTIME, place, 0, ret));
}

bool pc_ip_sets_next(const struct pc_ip_sets *s, struct pc_ip_place *place,
                     struct pc_ip_listed *ret_rule)
{
    bool found = false;
    for (size_t i = 0; i < s->listed_n && !found; i++) {
        const struct listed_set *set = &s->listed[i];
        int order = strcmp(set->name, place->set);
        if (order == 0)
            found = list_behind(set, place, ret_rule);
        else if (order > 0)
            found = list_at(set, PC_IP_FROM_CONFIGURED, place, 0, ret_rule) ||
                    list_at(set, PC_IP_FROM_RUNTIME, place, 0, ret_rule);
    }
    if (!found)
        return false;
    memset(place->set, 0, sizeof place->set);
    memcpy(place->set, ret_rule->set.p, ret_rule->set.n);
    place->source = ret_rule->source;
    place->cidr = ret_rule->rule.cidr;
    return true;
}

bool pc_ip_sets_runtime_rule(const struct pc_ip_sets *s, struct pc_bytes set,
                             const struct pc_cidr *cidr, struct pc_ip_listed *ret_rule)
{
    static const struct pc_ip_place anywhere;
    char name[PC_IP_SET_NAME_MAX + 1] = {0};
    struct pc_ip_listed found;
    if (set.n > PC_IP_SET_NAME_MAX)
        return false;
    memcpy(name, set.p, set.n);
    const struct group *g = group_of(s, name);
    struct listed_set listed = {.name = g ? g->name : NULL, .group = g};
    uint32_t behind = g ? pc_ip_table_seek(g->table, cidr) : 0;
    if (behind == 0 || !list_at(&listed, PC_IP_FROM_RUNTIME, &anywhere, behind - 1, &found) ||
        found.rule.cidr.bits != cidr->bits || !pc_ip_eq(&found.rule.cidr.ip, &cidr->ip))
        return false;
    found.dormant = pc_ip_sets_find(s, set) == PC_IP_NO_SET;
    *ret_rule = found;
    return true;
}

void pc_ip_sets_read_stats(const struct pc_ip_sets *s, struct pc_ip_sets_stats *ret_stats)
{
    *ret_stats = s->stats;
}
