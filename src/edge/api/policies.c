/* SPDX-License-Identifier: Apache-2.0
 * Compiling limit policies, and their stores. Stores are counted references: the main thread makes
 * and takes them, whoever frees the last configuration that used one frees it. */
#include "edge/api/policies.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "edge/api/policies_internal.h"

/* ---- stores ---- */

static void release_store(struct pc_policy_store *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pc_limits_free(s->table);
    free(s->lanes);
    free(s->name);
    free(s);
}

static struct pc_policy_store *new_store(const struct pc_config_limit_policy *c, unsigned cores,
                                         const struct pc_limit_rule *rule, const uint8_t secret[16])
{
    struct pc_policy_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    s->cores = cores;
    memcpy(s->secret, secret, sizeof s->secret);
    s->id = pc_siphash13(secret, c->name, strlen(c->name));
    s->max_keys = c->max_keys;
    s->algorithm = rule->algorithm;
    s->period_ns = rule->algorithm == PC_LIMIT_WINDOW ? rule->period_ns : 0;
    s->name = strdup(c->name);
    s->lanes = aligned_alloc(PC_CACHE_LINE, cores * sizeof s->lanes[0]);
    if (s->lanes)
        memset(s->lanes, 0, cores * sizeof s->lanes[0]);
    if (s->name && s->lanes && pc_limits_new(c->max_keys, &s->table) == 0)
        return s;
    release_store(s);
    return NULL;
}

/* The old one while what it counted still means the same, else a new one. */
static struct pc_policy_store *store_for(const struct pc_config_limit_policy *c,
                                         const struct pc_policies *old, unsigned cores,
                                         const struct pc_limit_rule *rule, const uint8_t secret[16])
{
    const struct pc_policy *p = old ? pc_policy_find(old, pc_bytes_str(c->name)) : NULL;
    int64_t period_ns = rule->algorithm == PC_LIMIT_WINDOW ? rule->period_ns : 0;
    if (!p || p->store->max_keys != c->max_keys || p->store->algorithm != rule->algorithm ||
        p->store->period_ns != period_ns || p->store->cores != cores)
        return new_store(c, cores, rule, secret);
    __atomic_add_fetch(&p->store->refs, 1, __ATOMIC_RELAXED);
    return p->store;
}

/* ---- keys ---- */

static const char *const plain_words[] = {
    [PC_KEY_OF_IP] = "ip",           [PC_KEY_OF_SUBJECT] = "subject", [PC_KEY_OF_CLIENT] = "client",
    [PC_KEY_OF_SESSION] = "session", [PC_KEY_OF_ROUTE] = "route",
};

static bool is_field_name(struct pc_bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              s.p[i] == '-' || s.p[i] == '_'))
            return false;
    return s.n > 0;
}

/* What follows a prefix, copied to *texts in lower case or as it is. */
static struct pc_bytes keep_text(char **texts, const char *text, bool lower)
{
    struct pc_bytes kept = pc_bytes_of(*texts, strlen(text));
    for (const char *c = text; *c; c++)
        *(*texts)++ = lower && *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    return kept;
}

static bool parse_word(const char *word, char **texts, struct pc_limit_part *part)
{
    for (unsigned i = 0; i < PC_COUNT(plain_words); i++) {
        if (strcmp(word, plain_words[i]) == 0) {
            *part = (struct pc_limit_part){
                (enum pc_limit_word)i, {NULL, 0}
            };
            return true;
        }
    }
    if (strncmp(word, "header:", 7) == 0) {
        *part = (struct pc_limit_part){PC_KEY_OF_HEADER, keep_text(texts, word + 7, true)};
        return is_field_name(part->text);
    }
    if (strncmp(word, "literal:", 8) != 0)
        return false;
    *part = (struct pc_limit_part){PC_KEY_OF_LITERAL, keep_text(texts, word + 8, false)};
    return part->text.n > 0 && part->text.n <= PC_LIMIT_VALUE_MAX;
}

static bool needs_token(enum pc_limit_word word)
{
    return word == PC_KEY_OF_SUBJECT || word == PC_KEY_OF_CLIENT || word == PC_KEY_OF_SESSION;
}

static int compile_key(const struct pc_config_limit_policy *c, unsigned i, char **texts,
                       struct pc_policy *p, struct pc_why *why)
{
    if (c->key.n == 0 || c->key.n > PC_LIMIT_PARTS_MAX)
        return pc_fail(why, -EINVAL, "limit_policies[%u].key: must have 1 to %d words", i,
                       PC_LIMIT_PARTS_MAX);
    p->pre_auth = true;
    for (unsigned w = 0; w < c->key.n; w++) {
        if (!parse_word(c->key.v[w], texts, &p->parts[w]))
            return pc_fail(why, -EINVAL,
                           "limit_policies[%u].key: \"%s\" is none of ip, subject, client, "
                           "session, route, header:<name>, literal:<text of 1 to %d bytes>",
                           i, c->key.v[w], PC_LIMIT_VALUE_MAX);
        p->pre_auth = p->pre_auth && !needs_token(p->parts[w].word);
    }
    p->part_count = c->key.n;
    return 0;
}

/* ---- compiling ---- */

static int compile_rule(const struct pc_config_limit_policy *c, unsigned i, struct pc_policy *p,
                        struct pc_why *why)
{
    struct pc_why said = {""};
    struct pc_rate rate;
    int err = pc_rate_parse(pc_bytes_str(c->rate), &rate, &said);
    if (err)
        return pc_fail(why, err, "limit_policies[%u].rate: \"%s\": %s", i, c->rate, said.text);
    err = pc_limit_rule_set(&p->rule, (enum pc_limit_algorithm)c->algorithm, &rate,
                            (int64_t)c->burst, c->fail_mode == PC_FAIL_CLOSED, &said);
    if (err)
        return pc_fail(why, err, "limit_policies[%u].%s: %s", i, err == -EINVAL ? "burst" : "rate",
                       said.text);
    if ((int64_t)c->cost > p->rule.burst)
        return pc_fail(why, -ERANGE,
                       "limit_policies[%u].cost: %llu is more than ever passes (%lld)", i,
                       (unsigned long long)c->cost, (long long)p->rule.burst);
    p->strict_rule = pc_limit_rule_halved(&p->rule, (int64_t)c->cost);
    return 0;
}

static int compile_one(const struct pc_config_limit_policy *c, unsigned i,
                       const struct pc_policies *old, unsigned cores, const uint8_t secret[16],
                       char **texts, struct pc_policy *p, struct pc_why *why)
{
    int err = compile_rule(c, i, p, why);
    if (!err)
        err = compile_key(c, i, texts, p, why);
    if (err)
        return err;
    p->cost = (int64_t)c->cost;
    p->shadow = c->shadow;
    p->ipv6_prefix = (uint8_t)c->ipv6_prefix;
    p->store = store_for(c, old, cores, &p->rule, secret);
    if (!p->store)
        return pc_fail(why, -ENOMEM, "limit_policies[%u].max_keys: no memory for %llu keys", i,
                       (unsigned long long)c->max_keys);
    p->name = p->store->name;
    if (!pc_policy_render_fields(p))
        return pc_fail(why, -EINVAL, "limit_policies[%u].name: too long", i);
    return 0;
}

static size_t texts_of(const struct pc_config *c)
{
    size_t n = 1;
    for (unsigned i = 0; i < c->limit_policy_count; i++)
        for (unsigned w = 0; w < c->limit_policies[i].key.n; w++)
            n += strlen(c->limit_policies[i].key.v[w]);
    return n;
}

static int no_memory(struct pc_why *why)
{
    return pc_fail(why, -ENOMEM, "limit_policies: no memory");
}

int pc_policies_compile(const struct pc_config *c, const struct pc_policies *old, unsigned cores,
                        const uint8_t secret[16], struct pc_policies **ret_policies,
                        struct pc_why *why)
{
    const unsigned n = c->limit_policy_count;
    struct pc_policies *p = calloc(1, sizeof *p + n * sizeof p->policies[0]);
    PC_ASSERT(cores > 0 && n <= PC_CONFIG_POLICIES_MAX);
    if (!p)
        return no_memory(why);
    char *texts = p->texts = malloc(texts_of(c));
    int err = texts ? 0 : no_memory(why);
    for (unsigned i = 0; i < n && !err; i++) {
        p->count = i + 1;
        err =
            compile_one(&c->limit_policies[i], i, old, cores, secret, &texts, &p->policies[i], why);
    }
    if (err)
        pc_policies_free(p);
    else
        *ret_policies = p;
    return err;
}

void pc_policies_free(struct pc_policies *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->count; i++)
        release_store(p->policies[i].store);
    free(p->texts);
    free(p);
}

unsigned pc_policies_count(const struct pc_policies *p)
{
    return p->count;
}

const struct pc_policy *pc_policies_at(const struct pc_policies *p, unsigned i)
{
    PC_ASSERT(i < p->count);
    return &p->policies[i];
}

const struct pc_policy *pc_policy_find(const struct pc_policies *p, struct pc_bytes name)
{
    for (unsigned i = 0; i < p->count; i++)
        if (pc_bytes_eq_str(name, p->policies[i].name))
            return &p->policies[i];
    return NULL;
}
