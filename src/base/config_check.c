/* SPDX-License-Identifier: Apache-2.0
 * What no single key can say: derived values, and the rules over several keys. Pure but for the
 * memory of the configuration. Every message begins with the path of the key to change. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/config_internal.h"

#define ISSUER_NAME_MAX 256
#define NAME_MAX_CHARS  32
#define JOURNAL_BLOCK   4096
#define FRACTION_MIN    0.001

static const char *const algorithms[] = {"EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512",
                                         "PS256", "PS384", "PS512", "HS256", "HS384", "HS512"};

static const struct {
    const char *name;
    unsigned bit;
} roles[] = {
    {"gateway", PC_ROLE_GATEWAY},
    {"public",  PC_ROLE_PUBLIC },
    {"admin",   PC_ROLE_ADMIN  }
};

static int refuse(struct pc_why *why, const char *list, unsigned i, const char *key,
                  const char *what, const char *value)
{
    return pc_fail(why, -EINVAL, "%s[%u].%s: %s%s%.200s", list, i, key, what, value ? ": " : "",
                   value ? value : "");
}

/* ---- Listeners. ---- */

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= NAME_MAX_CHARS &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

static int derive_roles(struct pc_config_loader *l, unsigned i, struct pc_config_listener *each)
{
    each->role_bits = 0;
    for (unsigned w = 0; w < each->roles.n; w++) {
        unsigned bit = 0;
        for (unsigned k = 0; k < PC_COUNT(roles); k++)
            if (strcmp(each->roles.v[w], roles[k].name) == 0)
                bit = roles[k].bit;
        if (!bit)
            return refuse(l->why, "listeners", i, "roles", "must be gateway, public or admin",
                          each->roles.v[w]);
        each->role_bits |= bit;
    }
    return each->role_bits ? 0 : refuse(l->why, "listeners", i, "roles", "names no role", NULL);
}

static int derive_peers(struct pc_config_loader *l, unsigned i, struct pc_config_listener *each)
{
    const struct pc_words *w = &each->trusted_peers;
    each->peers = pc_config_alloc(l->config, (w->n + 1) * sizeof *each->peers);
    if (!each->peers)
        return pc_fail(l->why, -ENOMEM, "out of memory");
    for (unsigned k = 0; k < w->n; k++) {
        if (strcmp(w->v[k], "unix") == 0)
            each->trust_unix_peers = true;
        else if (pc_cidr_parse(pc_bytes_str(w->v[k]), &each->peers[each->peer_count]) == 0)
            each->peer_count++;
        else
            return refuse(l->why, "listeners", i, "trusted_peers",
                          "not a network such as 10.0.0.0/8", w->v[k]);
    }
    if (each->forwarded != PC_CLIENT_IS_PEER && w->n == 0)
        return refuse(l->why, "listeners", i, "trusted_peers",
                      "must name the proxies that forwarded headers are believed from", NULL);
    if (each->proxy_protocol && w->n == 0)
        return refuse(l->why, "listeners", i, "trusted_peers",
                      "must name the proxies that send PROXY headers", NULL);
    return 0;
}

static int derive_protocol(struct pc_config_loader *l, unsigned i, struct pc_config_listener *each)
{
    if (each->protocols.n != 1)
        return refuse(l->why, "listeners", i, "protocols", "must be one of http1 and resp", NULL);
    if (strcmp(each->protocols.v[0], "http1") == 0)
        each->protocol = PC_PROTOCOL_HTTP1;
    else if (strcmp(each->protocols.v[0], "resp") == 0)
        each->protocol = PC_PROTOCOL_RESP;
    else
        return refuse(l->why, "listeners", i, "protocols", "must be http1 or resp",
                      each->protocols.v[0]);
    return 0;
}

/* Port 0 asks for any port, so several may ask. */
static bool same_address(const struct pc_address *a, const struct pc_address *b)
{
    return a->ip.family == b->ip.family && pc_ip_eq(&a->ip, &b->ip) && a->port == b->port &&
           strcmp(a->path, b->path) == 0 && (a->ip.family == 0 || a->port != 0);
}

static int derive_listener(struct pc_config_loader *l, unsigned i)
{
    struct pc_config_listener *all = l->config->listeners, *each = &all[i];
    if (!is_name(each->name))
        return refuse(l->why, "listeners", i, "name", "must be of letters, digits, _, - and .",
                      each->name);
    if (pc_address_parse(pc_bytes_str(each->address), &each->parsed))
        return refuse(l->why, "listeners", i, "address",
                      "not an address such as 127.0.0.1:8080, [::1]:8080 or unix:/path",
                      each->address);
    for (unsigned k = 0; k < i; k++) {
        if (strcmp(all[k].name, each->name) == 0)
            return refuse(l->why, "listeners", i, "name", "used twice", each->name);
        if (same_address(&all[k].parsed, &each->parsed))
            return refuse(l->why, "listeners", i, "address", "used twice", each->address);
    }
    int err = derive_protocol(l, i, each);
    if (!err)
        err = derive_roles(l, i, each);
    return err ? err : derive_peers(l, i, each);
}

/* ---- Issuers. ---- */

static const struct pc_config_issuer *find_issuer(const struct pc_config *c, const char *name)
{
    for (unsigned i = 0; i < c->issuer_count; i++)
        if (strcmp(c->issuers[i].name, name) == 0)
            return &c->issuers[i];
    return NULL;
}

static int check_algorithms(struct pc_why *why, unsigned i, const struct pc_config_issuer *each)
{
    bool hmac = false, asymmetric = false;
    for (unsigned w = 0; w < each->algorithms.n; w++) {
        const char *name = each->algorithms.v[w];
        unsigned k = 0;
        while (k < PC_COUNT(algorithms) && strcmp(algorithms[k], name) != 0)
            k++;
        if (k == PC_COUNT(algorithms))
            return refuse(why, "issuers", i, "algorithms", "not an algorithm known here", name);
        *(name[0] == 'H' ? &hmac : &asymmetric) = true;
    }
    if (!hmac && !asymmetric)
        return refuse(why, "issuers", i, "algorithms", "names none", NULL);
    if (hmac && !each->allow_hmac)
        return refuse(why, "issuers", i, "allow_hmac", "must be true for HS algorithms", NULL);
    if (hmac && !*each->hmac_secret_file)
        return refuse(why, "issuers", i, "hmac_secret_file", "must name the secret", NULL);
    if (!hmac && (each->allow_hmac || *each->hmac_secret_file))
        return refuse(why, "issuers", i, "algorithms", "has no HS algorithm, but HMAC is set up",
                      NULL);
    if (asymmetric && !*each->jwks_file)
        return refuse(why, "issuers", i, "jwks_file", "must name the issuer's key set", NULL);
    return 0;
}

static int check_issuer(const struct pc_config *c, unsigned i, struct pc_why *why)
{
    const struct pc_config_issuer *each = &c->issuers[i];
    size_t n = strlen(each->name);
    if (n == 0 || n > ISSUER_NAME_MAX || strcmp(each->name, "*") == 0)
        return refuse(why, "issuers", i, "name", "must be the iss of its tokens", NULL);
    if (find_issuer(c, each->name) != each)
        return refuse(why, "issuers", i, "name", "used twice", each->name);
    return check_algorithms(why, i, each);
}

/* ---- RESP prefixes. ---- */

static int check_prefix(const struct pc_config *c, unsigned i, struct pc_why *why)
{
    const struct pc_config_prefix *each = &c->prefixes[i];
    static const char list[] = "resp.prefixes";
    if (!*each->prefix)
        return refuse(why, list, i, "prefix", "must not be empty", NULL);
    for (unsigned k = 0; k < i; k++)
        if (strcmp(c->prefixes[k].prefix, each->prefix) == 0)
            return refuse(why, list, i, "prefix", "used twice", each->prefix);
    if (*each->issuer && !find_issuer(c, each->issuer))
        return refuse(why, list, i, "issuer", "no such issuer is configured", each->issuer);
    /* The built-in prefix stays without an issuer; then its commands say what is missing. */
    bool written = each->source[0] != PC_FROM_DEFAULT; /* row 0 is the prefix itself */
    if (!*each->issuer && c->issuer_count > 1 && written)
        return refuse(why, list, i, "issuer", "must be named: several are configured", NULL);
    return 0;
}

/* ---- Routes, limit policies, IP sets. ---- */

/* One of a list's names. */
struct names {
    const char *list, *what;
    const char *(*name)(const struct pc_config *c, unsigned i);
    unsigned count;
};

static const char *listener_name(const struct pc_config *c, unsigned i)
{
    return c->listeners[i].name;
}

static const char *policy_name(const struct pc_config *c, unsigned i)
{
    return c->limit_policies[i].name;
}

static const char *ip_set_name(const struct pc_config *c, unsigned i)
{
    return c->ip_sets[i].name;
}

static const char *route_name(const struct pc_config *c, unsigned i)
{
    return c->routes[i].name;
}

static bool has_name(const struct pc_config *c, const struct names *n, const char *name)
{
    for (unsigned i = 0; i < n->count; i++)
        if (strcmp(n->name(c, i), name) == 0)
            return true;
    return false;
}

static int check_names(const struct pc_config *c, const struct names *n, struct pc_why *why)
{
    for (unsigned i = 0; i < n->count; i++) {
        const char *name = n->name(c, i);
        if (!is_name(name))
            return refuse(why, n->list, i, "name", "must be of letters, digits, _, - and .", name);
        for (unsigned k = 0; k < i; k++)
            if (strcmp(n->name(c, k), name) == 0)
                return refuse(why, n->list, i, "name", "used twice", name);
    }
    return 0;
}

static int check_words(const struct pc_config *c, unsigned i, const char *key,
                       const struct pc_words *words, const struct names *known, struct pc_why *why)
{
    for (unsigned w = 0; w < words->n; w++)
        if (!has_name(c, known, words->v[w]) && strcmp(words->v[w], known->what) != 0)
            return refuse(why, "routes", i, key, "names what is not configured", words->v[w]);
    return 0;
}

/* The names of each list, and that routes name only what exists. */
static int check_rules(const struct pc_config *c, struct pc_why *why)
{
    const struct names routes = {"routes", "", route_name, c->route_count},
                       policies = {"limit_policies", "", policy_name, c->limit_policy_count},
                       listeners = {"listeners", "", listener_name, c->listener_count},
                       sets = {"ip_sets", "global", ip_set_name, c->ip_set_count};
    int err = check_names(c, &routes, why);
    if (!err)
        err = check_names(c, &policies, why);
    if (!err)
        err = check_names(c, &sets, why);
    for (unsigned i = 0; i < c->route_count && !err; i++) {
        const struct pc_config_route *each = &c->routes[i];
        err = check_words(c, i, "listeners", &each->listeners, &listeners, why);
        if (!err)
            err = check_words(c, i, "limits", &each->limits, &policies, why);
        if (!err)
            err = check_words(c, i, "ip_sets", &each->ip_sets, &sets, why);
    }
    return err;
}

/* A rate where the configuration has the text of one. What a policy makes of it is checked where it
 * is compiled. */
static int check_rate(const char *text, struct pc_why *said)
{
    struct pc_rate rate;
    return pc_rate_parse(pc_bytes_str(text), &rate, said);
}

static int check_rates(const struct pc_config *c, struct pc_why *why)
{
    struct pc_why said;
    for (unsigned i = 0; i < c->limit_policy_count; i++)
        if (check_rate(c->limit_policies[i].rate, &said))
            return refuse(why, "limit_policies", i, "rate", said.text, c->limit_policies[i].rate);
    if (check_rate(c->admin.failed_credentials, &said))
        return pc_fail(why, -EINVAL, "admin.failed_credentials: %s: %s", said.text,
                       c->admin.failed_credentials);
    return 0;
}

/* The policies that exist without any configuration; attached to nothing. */
static const struct {
    const char *name, *rate, *algorithm, *fail_mode;
} shipped[] = {
    {"ip",             "60/min",     "gcra",   "open"  },
    {"general",        "1000/15min", "gcra",   "open"  },
    {"login",          "10/15min",   "window", "closed"},
    {"refresh",        "20/15min",   "window", "closed"},
    {"password_reset", "3/h",        "window", "closed"},
    {"email",          "10/h",       "window", "open"  },
};

static int add_shipped_policies(struct pc_config_loader *l)
{
    const struct pc_key *list = pc_config_key(&pc_config_root, "limit_policies");
    struct pc_config_loader defaults = {l->config, "default", PC_FROM_DEFAULT, l->why, 0};
    for (unsigned i = 0; i < PC_COUNT(shipped); i++) {
        struct pc_config *c = l->config;
        const struct names names = {"", "", policy_name, c->limit_policy_count};
        struct pc_record r;
        if (has_name(c, &names, shipped[i].name))
            continue;
        if (c->limit_policy_count == PC_CONFIG_POLICIES_MAX)
            return pc_fail(l->why, PC_E_TOO_LARGE, "limit_policies: no room for the shipped %s",
                           shipped[i].name);
        const char *const values[][2] = {
            {"name",      shipped[i].name     },
            {"rate",      shipped[i].rate     },
            {"algorithm", shipped[i].algorithm},
            {"fail_mode", shipped[i].fail_mode},
        };
        int err = pc_config_add_entry(&defaults, list, &r);
        for (size_t k = 0; k < PC_COUNT(values) && !err; k++)
            err = pc_config_set(&defaults, &r, pc_config_key(r.table, values[k][0]),
                                pc_bytes_str(values[k][1]));
        if (err)
            return err;
    }
    return 0;
}

/* ---- Single values that depend on each other. ---- */

static int check_origins(const struct pc_config *c, struct pc_why *why)
{
    for (unsigned i = 0; i < c->cors.origins.n; i++) {
        const char *origin = c->cors.origins.v[i], *host = strstr(origin, "://");
        if (!host || !host[3] || strpbrk(host + 3, "/?# *"))
            return pc_fail(why, -EINVAL,
                           "cors.origins: not an origin such as https://app.example: %.200s",
                           origin);
    }
    return 0;
}

struct rule {
    bool holds;
    const char *says;
};
#define RULE(condition, words)                                                                     \
    {                                                                                              \
        .holds = (condition), .says = (words)                                                      \
    }

/* The rules that only compare values: what must hold, and what is said otherwise. */
static int check_values(const struct pc_config *c, struct pc_why *why)
{
    const struct rule rules[] = {
        RULE(*c->data_dir, "data_dir: must not be empty"),
        RULE(c->listener_count > 0, "listeners: names none"),
        RULE((c->limits.writer_queue & (c->limits.writer_queue - 1)) == 0,
             "limits.writer_queue: must be a power of two"),
        RULE(c->journal.segment_bytes % JOURNAL_BLOCK == 0,
             "journal.segment: must be a multiple of 4KiB"),
        RULE(c->journal.outbox_max_bytes >= 2 * c->journal.segment_bytes,
             "journal.outbox_max: must hold at least two segments"),
        RULE(c->signature_budget.fraction >= FRACTION_MIN,
             "signature_budget.fraction: must be at least 0.001, or no new token is ever accepted"),
        RULE(c->signature_budget.client_share >= FRACTION_MIN &&
                 c->signature_budget.client_share <= c->signature_budget.fraction,
             "signature_budget.client_share: must be at least 0.001 and at most the fraction"),
        RULE(!c->cors.allow_all || c->dev, "cors.allow_all: only in development mode (--dev)"),
        RULE(!*c->admin.issuer || find_issuer(c, c->admin.issuer),
             "admin.issuer: no such issuer is configured"),
    };
    for (size_t i = 0; i < PC_COUNT(rules); i++)
        if (!rules[i].holds)
            return pc_fail(why, -EINVAL, "%s", rules[i].says);
    return check_origins(c, why);
}

static int derive_tokens_file(struct pc_config_loader *l)
{
    struct pc_config *c = l->config;
    char path[PC_CONFIG_TEXT_MAX + 32];
    if (*c->admin.tokens_file)
        return 0;
    int n = snprintf(path, sizeof path, "%s/admin_tokens.json", c->data_dir);
    PC_ASSERT(n > 0 && (size_t)n < sizeof path);
    c->admin.tokens_file = pc_config_strdup(c, pc_bytes_of(path, (size_t)n));
    return c->admin.tokens_file ? 0 : pc_fail(l->why, -ENOMEM, "out of memory");
}

static int check_reach(const struct pc_config *c, unsigned i, bool have_admin_tokens,
                       struct pc_why *why)
{
    const struct pc_config_listener *each = &c->listeners[i];
    const struct pc_key_table *t = &pc_config_key(&pc_config_root, "listeners")->list->table;
    if (pc_address_is_local(&each->parsed))
        return 0;
    if (c->dev)
        return refuse(why, "listeners", i, "address",
                      "development mode listens on this machine only", each->address);
    if (each->source[pc_config_key(t, "roles") - t->keys] == PC_FROM_DEFAULT)
        return refuse(why, "listeners", i, "roles",
                      "must say what other machines may ask (gateway, public, admin) on",
                      each->address);
    if (!have_admin_tokens && !*c->admin.issuer && !*c->admin.token_file)
        return pc_fail(why, -EINVAL,
                       "admin.token_file: other machines can reach %.200s, but no administrator "
                       "exists: set it or admin.issuer, or run portcullis admin-token create",
                       each->address);
    return 0;
}

int pc_config_check(const struct pc_config *c, bool have_admin_tokens, struct pc_why *why)
{
    int err = 0;
    for (unsigned i = 0; i < c->listener_count && !err; i++)
        err = check_reach(c, i, have_admin_tokens, why);
    return err;
}

int pc_config_derive(struct pc_config_loader *l)
{
    struct pc_config *c = l->config;
    int err = check_values(c, l->why);
    for (unsigned i = 0; i < c->listener_count && !err; i++)
        err = derive_listener(l, i);
    for (unsigned i = 0; i < c->issuer_count && !err; i++)
        err = check_issuer(c, i, l->why);
    for (unsigned i = 0; i < c->prefix_count && !err; i++)
        err = check_prefix(c, i, l->why);
    if (!err)
        err = add_shipped_policies(l);
    if (!err)
        err = check_rules(c, l->why);
    if (!err)
        err = check_rates(c, l->why);
    return err ? err : derive_tokens_file(l);
}
