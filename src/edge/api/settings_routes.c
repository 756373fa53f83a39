/* SPDX-License-Identifier: Apache-2.0
 * Compiling routes: every name becomes what it names, every word is checked where it can be wrong,
 * and the router learns the rules. Main thread. */
#include <stdlib.h>

#include "edge/api/settings_private.h"
#include "edge/state/flags.h"

#define FIELD "X-Portcullis-Route: "

/* What all routes point into; sized before anything is filled in. */
struct pc_settings_memory {
    struct pc_bytes *words;
    const struct pc_policy **limits;
    unsigned *ip_sets;
    struct pc_route_flag *flags;
    uint8_t *text;
    size_t word_n, limit_n, ip_set_n, flag_n, text_n;
    size_t text_cap;
};

static size_t length_of(const struct pc_words *words)
{
    size_t n = 0;
    for (unsigned i = 0; i < words->n; i++)
        n += strlen(words->v[i]) + 1;
    return n;
}

/* A role may grow to three times its length: every character written as %20 or %25. */
static void measure(const struct pc_config *c, struct pc_settings_memory *m)
{
    *m = (struct pc_settings_memory){.text_cap = sizeof FIELD + 16};
    for (unsigned i = 0; i < c->route_count; i++) {
        const struct pc_config_route *r = &c->routes[i];
        m->word_n += r->scopes.n + r->roles.n;
        m->limit_n += r->limits.n;
        m->ip_set_n += r->ip_sets.n;
        m->flag_n += r->flags.n;
        m->text_cap +=
            sizeof FIELD + 2 + strlen(r->name) + length_of(&r->scopes) + 3 * length_of(&r->roles);
    }
}

static struct pc_settings_memory *allocate(const struct pc_config *c)
{
    struct pc_settings_memory *m = malloc(sizeof *m);
    if (!m)
        return NULL;
    measure(c, m);
    m->words = calloc(m->word_n + 1, sizeof *m->words);
    m->limits = calloc(m->limit_n + 1, sizeof *m->limits);
    m->ip_sets = calloc(m->ip_set_n + 1, sizeof *m->ip_sets);
    m->flags = calloc(m->flag_n + 1, sizeof *m->flags);
    m->text = malloc(m->text_cap);
    m->word_n = m->limit_n = m->ip_set_n = m->flag_n = m->text_n = 0;
    return m;
}

static bool complete(const struct pc_settings_memory *m)
{
    return m->words && m->limits && m->ip_sets && m->flags && m->text;
}

static void free_memory(struct pc_settings_memory *m)
{
    if (!m)
        return;
    free(m->words);
    free(m->limits);
    free(m->ip_sets);
    free(m->flags);
    free(m->text);
    free(m);
}

/* One route being compiled. */
struct draft {
    struct pc_settings *s;
    const struct pc_config_route *config;
    unsigned index;
    struct pc_route *route;
    struct pc_settings_memory *m;
    struct pc_why *why;
};

static int refuse(const struct draft *d, const char *key, const char *what, const char *value)
{
    return pc_fail(d->why, -EINVAL, "routes[%u].%s: %s: %s", d->index, key, what, value);
}

static void put_text(struct pc_settings_memory *m, const void *p, size_t n)
{
    PC_ASSERT(n <= m->text_cap - m->text_n);
    memcpy(m->text + m->text_n, p, n);
    m->text_n += n;
}

static struct pc_bytes text_since(const struct pc_settings_memory *m, size_t from)
{
    return pc_bytes_of(m->text + from, m->text_n - from);
}

static void name_route(struct pc_route *r, struct pc_settings_memory *m, const char *name)
{
    size_t from = m->text_n;
    r->name = pc_bytes_str(name);
    put_text(m, FIELD, sizeof FIELD - 1);
    put_text(m, name, r->name.n);
    put_text(m, "\r\n", 2);
    r->field = text_since(m, from);
}

/* ---- scopes and roles ---- */

/* RFC 6749, 3.3: what a scope may be made of; also what may stand in a quoted string. */
static bool is_scope(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (*s <= ' ' || *s > '~' || *s == '"' || *s == '\\')
            return false;
    return true;
}

static int compile_scopes(struct draft *d)
{
    const struct pc_words *words = &d->config->scopes;
    size_t from = d->m->text_n;
    d->route->scopes = d->m->words + d->m->word_n;
    for (unsigned i = 0; i < words->n; i++) {
        if (!is_scope(words->v[i]))
            return refuse(d, "scopes", "not a scope (RFC 6749, 3.3)", words->v[i]);
        if (i)
            put_text(d->m, " ", 1);
        put_text(d->m, words->v[i], strlen(words->v[i]));
        d->m->words[d->m->word_n++] = pc_bytes_str(words->v[i]);
    }
    d->route->scope_n = words->n;
    d->route->scope_list = text_since(d->m, from);
    if (d->route->scope_list.n > PC_ROUTE_CHALLENGE_BYTES)
        return refuse(d, "scopes", "together longer than 1024 bytes", d->config->name);
    return 0;
}

/* As the claims of a verified token hold them (jwt.h): a space is %20 and a percent sign %25. */
static void compile_roles(struct draft *d)
{
    const struct pc_words *words = &d->config->roles;
    d->route->roles = d->m->words + d->m->word_n;
    for (unsigned i = 0; i < words->n; i++) {
        size_t from = d->m->text_n;
        for (const char *s = words->v[i]; *s; s++) {
            if (*s == ' ' || *s == '%')
                put_text(d->m, *s == ' ' ? "%20" : "%25", 3);
            else
                put_text(d->m, s, 1);
        }
        d->m->words[d->m->word_n++] = text_since(d->m, from);
    }
    d->route->role_n = words->n;
}

/* Nobody presents a scope or a role without a token. */
static int check_authentication(const struct draft *d)
{
    static const char *const names[] = {"required", "optional", "none"};
    if (d->route->authentication == PC_AUTH_REQUIRED || d->route->scope_n + d->route->role_n == 0)
        return 0;
    return refuse(d, d->route->scope_n ? "scopes" : "roles",
                  "need authentication \"required\", which is here",
                  names[d->route->authentication]);
}

/* ---- limits, IP sets, flags ---- */

/* Those charged before the token first, otherwise in their order. */
static int compile_limits(struct draft *d)
{
    const struct pc_words *words = &d->config->limits;
    d->route->limits = d->m->limits + d->m->limit_n;
    if (words->n > PC_ROUTE_LIMITS_MAX)
        return refuse(d, "limits", "at most 8", d->config->name);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < words->n; i++) {
            const struct pc_policy *p = pc_policy_find(d->s->policies, pc_bytes_str(words->v[i]));
            PC_ASSERT(p != NULL); /* the configuration was checked */
            for (unsigned k = 0; k < i; k++)
                if (strcmp(words->v[k], words->v[i]) == 0)
                    return refuse(d, "limits", "named twice", words->v[i]);
            if (p->pre_auth != (pass == 0))
                continue;
            d->m->limits[d->m->limit_n++] = p;
            d->route->limit_n++;
            d->route->pre_n += pass == 0;
        }
    }
    return 0;
}

static void compile_route_sets(struct draft *d)
{
    const struct pc_words *words = &d->config->ip_sets;
    d->route->ip_sets = d->m->ip_sets + d->m->ip_set_n;
    for (unsigned i = 0; i < words->n; i++) {
        unsigned set = pc_ip_configured_find(d->s->ip_configured, pc_bytes_str(words->v[i]));
        PC_ASSERT(set != PC_IP_NO_SET); /* the configuration was checked */
        if (set == PC_IP_GLOBAL)
            continue;
        d->m->ip_sets[d->m->ip_set_n++] = set;
        d->route->ip_set_n++;
    }
}

static int compile_flags(struct draft *d)
{
    const struct pc_words *words = &d->config->flags;
    d->route->flags = d->m->flags + d->m->flag_n;
    for (unsigned i = 0; i < words->n; i++) {
        struct pc_bytes key = pc_bytes_str(words->v[i]);
        struct pc_why inner = {{0}};
        if (pc_flag_key_check(key, &inner) < 0)
            return refuse(d, "flags", inner.text, words->v[i]);
        d->m->flags[d->m->flag_n++] = (struct pc_route_flag){key, pc_flag_hash(key)};
    }
    d->route->flag_n = words->n;
    return 0;
}

static int compile_route(struct draft *d)
{
    const struct pc_config_route *c = d->config;
    *d->route = (struct pc_route){
        .config = c,
        .authentication = (enum pc_authentication)c->authentication,
        .sensitive = c->sensitive,
        .maintenance_exempt = c->maintenance_exempt,
        .shadow = c->shadow,
    };
    name_route(d->route, d->m, c->name);
    int rc = compile_scopes(d);
    if (rc == 0) {
        compile_roles(d);
        rc = check_authentication(d);
    }
    if (rc == 0)
        rc = compile_limits(d);
    if (rc == 0)
        rc = compile_flags(d);
    if (rc == 0)
        compile_route_sets(d);
    return rc;
}

/* ---- the router ---- */

static unsigned listener_index(const struct pc_config *running, const char *name)
{
    for (unsigned i = 0; i < running->listener_count; i++)
        if (strcmp(running->listeners[i].name, name) == 0)
            return i;
    return PC_LISTENER_ABSENT;
}

static uint32_t listener_bits(const struct pc_config *running, const struct pc_words *names)
{
    uint32_t bits = 0;
    _Static_assert(PC_CONFIG_LISTENERS_MAX < PC_LISTENER_ABSENT, "a bit for every listener");
    for (unsigned i = 0; i < names->n; i++)
        bits |= 1u << listener_index(running, names->v[i]);
    return bits;
}

static int compile_router(struct pc_settings *s, const struct pc_config *running,
                          struct pc_why *why)
{
    unsigned n = s->config->route_count;
    struct pc_route_rule *rules = calloc(n ? n : 1, sizeof *rules);
    if (!rules)
        return pc_fail(why, -ENOMEM, "no memory for the routes");
    for (unsigned i = 0; i < n; i++) {
        const struct pc_config_route *r = &s->config->routes[i];
        rules[i] = (struct pc_route_rule){
            .name = r->name,
            .path = r->path,
            .hosts = &r->hosts,
            .methods = &r->methods,
            .listeners = listener_bits(running, &r->listeners),
        };
    }
    int rc = pc_routes_compile(rules, n, &s->router, why);
    free(rules);
    if (rc == 0)
        s->needs = pc_routes_needs(s->router);
    return rc;
}

static int compare_names(const void *pa, const void *pb)
{
    const struct pc_route *const *a = pa, *const *b = pb;
    return strcmp((*a)->config->name, (*b)->config->name);
}

static int compile_all(struct pc_settings *s, struct pc_why *why)
{
    for (unsigned i = 0; i < s->config->route_count; i++) {
        struct draft d = {s, &s->config->routes[i], i, &s->routes[i], s->memory, why};
        int rc = compile_route(&d);
        if (rc < 0)
            return rc;
        s->by_name[i] = &s->routes[i];
        s->charges |= s->routes[i].limit_n > 0;
    }
    qsort(s->by_name, s->config->route_count, sizeof(struct pc_route *), compare_names);
    return 0;
}

int pc_settings_compile_routes(struct pc_settings *s, const struct pc_config *running,
                               struct pc_why *why)
{
    size_t room = s->config->route_count ? s->config->route_count : 1;
    s->routes = calloc(room, sizeof *s->routes);
    s->by_name = calloc(room, sizeof(struct pc_route *));
    s->memory = allocate(s->config);
    if (!s->routes || !s->by_name || !s->memory || !complete(s->memory))
        return pc_fail(why, -ENOMEM, "no memory for the routes");
    s->default_route = (struct pc_route){.authentication = PC_AUTH_REQUIRED};
    name_route(&s->default_route, s->memory, "default");
    int rc = compile_all(s, why);
    return rc < 0 ? rc : compile_router(s, running, why);
}

void pc_settings_free_routes(struct pc_settings *s)
{
    pc_routes_free(s->router);
    free(s->routes);
    free(s->by_name);
    free_memory(s->memory);
    s->router = NULL;
    s->routes = NULL;
    s->by_name = NULL;
    s->memory = NULL;
}

const struct pc_route *pc_settings_route(const struct pc_settings *s, struct pc_bytes name)
{
    unsigned from = 0, n = s->config->route_count;
    while (n) {
        unsigned half = n / 2;
        const struct pc_route *r = s->by_name[from + half];
        size_t common = r->name.n < name.n ? r->name.n : name.n;
        int order = common ? memcmp(r->name.p, name.p, common) : 0;
        if (order == 0 && r->name.n == name.n)
            return r;
        bool before = order < 0 || (order == 0 && r->name.n < name.n);
        from += before ? half + 1 : 0;
        n = before ? n - half - 1 : half;
    }
    return pc_bytes_eq(name, s->default_route.name) ? &s->default_route : NULL;
}
