/* SPDX-License-Identifier: Apache-2.0
 * Building, changing and searching snapshots of what is trusted (trust.h has the invariants).
 * Drafts belong to the thread that made them; sealed snapshots are read by all. No clock, no I/O;
 * allocates when building and cloning, never when searching.
 *
 * Clones share a body: the settings, copied into one block of memory, and the table of names. */
#include "edge/jose/trust.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/sha.h>

struct pc_trust_body {
    atomic_uint refs;
    struct pc_issuer *issuers;
    uint32_t *slots; /* by hash of the name: issuer index + 1, or 0 */
    uint32_t slot_mask;
};

void pc_issuer_settings_init(struct pc_issuer_settings *s, struct pc_bytes name)
{
    *s = (struct pc_issuer_settings){
        .name = name,
        .algorithms = PC_ALGS_ASYMMETRIC,
        .skew_ms = PC_SKEW_DEFAULT_MS,
        .max_lifetime_ms = PC_LIFETIME_DEFAULT_MS,
        .require_jti = true,
        .claims.session = PC_LIT("sid"),
        .claims.family = PC_LIT("fam"),
        .claims.client = PC_LIT("client_id"),
        .claims.client_instead = PC_LIT("azp"),
        .claims.scopes = PC_LIT("scope"),
        .claims.scopes_instead = PC_LIT("scp"),
        .claims.roles = PC_LIT("roles"),
    };
}

/* --- checking settings ------------------------------------------------------------------- */

/* The names of claims in a fixed order. */
#define CLAIM_NAMES 7
static void list_claim_names(struct pc_claim_names *c, struct pc_bytes *ret_names[CLAIM_NAMES])
{
    struct pc_bytes *names[CLAIM_NAMES] = {&c->session,        &c->family, &c->client,
                                           &c->client_instead, &c->scopes, &c->scopes_instead,
                                           &c->roles};
    memcpy(ret_names, names, sizeof names);
}

static const char *wrong_with_lists(const struct pc_issuer_settings *s)
{
    struct pc_issuer_settings copy = *s;
    struct pc_bytes *names[CLAIM_NAMES];
    list_claim_names(&copy.claims, names);
    for (int i = 0; i < CLAIM_NAMES; i++)
        if (names[i]->n > PC_CLAIM_NAME_MAX)
            return "a claim name is longer than 128 bytes";
    if (s->audience_count > PC_AUDIENCES_MAX)
        return "more than 32 audiences";
    for (size_t i = 0; i < s->audience_count; i++)
        if (s->audiences[i].n == 0)
            return "an audience is empty";
    return s->type_count > PC_TYPES_MAX ? "more than 8 token types" : NULL;
}

/* NULL, or what is wrong. */
static const char *wrong_with(const struct pc_issuer_settings *s)
{
    if (s->name.n == 0 || s->name.n > PC_ISSUER_MAX)
        return "its name is empty or longer than 256 bytes";
    if (pc_bytes_eq(s->name, PC_LIT("*")))
        return "\"*\" means all issuers and names none";
    for (size_t i = 0; i < s->name.n; i++)
        if (s->name.p[i] < 0x20 || s->name.p[i] == 0x7f)
            return "a control character in its name";
    if (s->algorithms == 0 || (s->algorithms & ~(PC_ALGS_ASYMMETRIC | PC_ALGS_HMAC)))
        return "no algorithm, or one that is not known";
    if ((s->algorithms & PC_ALGS_HMAC) && !s->allow_secrets)
        return "HS256, HS384 and HS512 need the explicit permission to use shared secrets";
    if (s->skew_ms < 0 || s->skew_ms > PC_SKEW_MAX_MS)
        return "a clock skew outside 0 to 10 minutes";
    if (s->max_lifetime_ms < 0)
        return "a negative maximum lifetime";
    return wrong_with_lists(s);
}

/* --- the table of names ------------------------------------------------------------------ */

/* FNV-1a. Names come from the configuration; a stranger's `iss` is only searched for, so it can
 * cost a short walk but never fill the table. */
static uint32_t hash_name(struct pc_bytes name)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ name.p[i]) * 16777619u;
    return h;
}

/* The slot of a name, or the empty one where it belongs. */
static uint32_t *find_slot(const struct pc_trust_body *body, struct pc_bytes name)
{
    uint32_t at = hash_name(name) & body->slot_mask;
    while (body->slots[at] && !pc_bytes_eq(body->issuers[body->slots[at] - 1].s.name, name))
        at = (at + 1) & body->slot_mask;
    return &body->slots[at];
}

const struct pc_issuer *pc_trust_find_issuer(const struct pc_trust *t, struct pc_bytes name)
{
    if (name.n > PC_ISSUER_MAX)
        return NULL;
    uint32_t slot = *find_slot(t->body, name);
    return slot ? &t->issuers[slot - 1] : NULL;
}

/* --- copying settings into one block ----------------------------------------------------- */

/* While p is NULL nothing is copied and `used` only counts. */
struct block {
    uint8_t *p;
    size_t used;
};

static void *block_take(struct block *b, const void *src, size_t n)
{
    void *to = b->p ? b->p + b->used : NULL;
    if (to && n)
        memcpy(to, src, n);
    b->used += (n + 7) & ~(size_t)7;
    return to;
}

static void copy_string(struct block *b, struct pc_bytes *s)
{
    s->p = block_take(b, s->p, s->n);
}

static const struct pc_bytes *copy_list(struct block *b, const struct pc_bytes *list, size_t n)
{
    struct pc_bytes *copy = block_take(b, list, n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        struct pc_bytes s = list[i];
        copy_string(b, &s);
        if (copy)
            copy[i] = s;
    }
    return copy;
}

static void copy_settings(struct block *b, struct pc_issuer_settings *s)
{
    struct pc_bytes *names[CLAIM_NAMES];
    list_claim_names(&s->claims, names);
    for (int i = 0; i < CLAIM_NAMES; i++)
        copy_string(b, names[i]);
    copy_string(b, &s->name);
    s->audiences = copy_list(b, s->audiences, s->audience_count);
    s->types = copy_list(b, s->types, s->type_count);
}

static uint32_t slots_for(size_t n)
{
    uint32_t slots = 2;
    while (slots < 2 * n)
        slots *= 2;
    return slots;
}

/* The body without its table of names filled; NULL if memory is short. */
static struct pc_trust_body *new_body(const struct pc_trust_source *sources, size_t n)
{
    struct block b = {NULL, 0};
    for (size_t i = 0; i < n; i++) {
        struct pc_issuer_settings s = *sources[i].settings;
        copy_settings(&b, &s);
    }
    uint32_t slots = slots_for(n);
    size_t issuers_at = sizeof(struct pc_trust_body);
    size_t slots_at = issuers_at + n * sizeof(struct pc_issuer);
    size_t strings_at = slots_at + slots * sizeof(uint32_t);
    uint8_t *memory = calloc(1, strings_at + b.used);
    if (!memory)
        return NULL;
    struct pc_trust_body *body = (struct pc_trust_body *)(void *)memory;
    atomic_init(&body->refs, 1);
    body->issuers = (struct pc_issuer *)(void *)(memory + issuers_at);
    body->slots = (uint32_t *)(void *)(memory + slots_at);
    body->slot_mask = slots - 1;
    b = (struct block){memory + strings_at, 0};
    for (size_t i = 0; i < n; i++) {
        body->issuers[i].s = *sources[i].settings;
        body->issuers[i].index = (uint32_t)i;
        copy_settings(&b, &body->issuers[i].s);
    }
    return body;
}

static void unref_body(struct pc_trust_body *body)
{
    unsigned before = atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel);
    PC_ASSERT(before > 0);
    if (before == 1)
        free(body);
}

/* --- life -------------------------------------------------------------------------------- */

/* A draft over a body, whose reference it takes over; keys are still empty. NULL: no memory. */
static struct pc_trust *new_draft(struct pc_trust_body *body, uint32_t issuers, uint32_t keys)
{
    struct pc_trust *t = calloc(1, sizeof *t);
    struct pc_issuer_status *status = calloc(issuers + 1, sizeof *status);
    struct pc_trusted_key *trusted = calloc(keys + 1, sizeof *trusted);
    if (!t || !status || !trusted) {
        unref_body(body);
        free(t);
        free(status);
        free(trusted);
        return NULL;
    }
    t->issuer_count = issuers;
    t->issuers = body->issuers;
    t->status = status;
    t->keys = trusted;
    t->all_cutoff_ms = PC_CUTOFF_NONE;
    t->body = body;
    for (uint32_t i = 0; i < issuers; i++)
        status[i].cutoff_ms = PC_CUTOFF_NONE;
    return t;
}

void pc_trust_free(struct pc_trust *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->key_count; i++)
        pc_key_unref(t->keys[i].key);
    unref_body(t->body);
    free(t->status);
    free(t->keys);
    free(t);
}

static void add_keys(struct pc_trust *t, struct pc_issuer *issuer, const struct pc_jwks *jwks)
{
    issuer->first_key = t->key_count;
    issuer->key_count = jwks ? jwks->count : 0;
    for (uint32_t i = 0; i < issuer->key_count; i++)
        t->keys[t->key_count++] = (struct pc_trusted_key){pc_key_ref(jwks->keys[i]), false};
}

/* A secret that everybody may read is none, whichever issuer publishes it. */
static int check_secrets(const struct pc_trust *t, struct pc_why *why)
{
    for (uint32_t i = 0; i < t->key_count; i++)
        for (uint32_t k = 0; k < t->key_count; k++)
            if (pc_key_secret_is_public_key(t->keys[i].key, t->keys[k].key))
                return pc_fail(why, PC_E_UNSUPPORTED, "the shared secret %s is the public key %s",
                               t->keys[i].key->thumbprint, t->keys[k].key->thumbprint);
    return 0;
}

static int name_issuers(struct pc_trust_body *body, size_t n, struct pc_why *why)
{
    for (uint32_t i = 0; i < n; i++) {
        struct pc_bytes name = body->issuers[i].s.name;
        uint32_t *slot = find_slot(body, name);
        if (*slot)
            return pc_fail(why, PC_E_DUPLICATE, "issuer %.*s is configured twice", (int)name.n,
                           (const char *)name.p);
        *slot = i + 1;
    }
    return 0;
}

int pc_trust_build(const struct pc_trust_source *sources, size_t n, struct pc_trust **ret_draft,
                   struct pc_why *why)
{
    uint32_t keys = 0;
    if (n > PC_TRUST_ISSUERS_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "more than 256 issuers");
    for (size_t i = 0; i < n; i++) {
        const struct pc_issuer_settings *s = sources[i].settings;
        const char *wrong = wrong_with(s);
        if (wrong)
            return pc_fail(why, -EINVAL, "issuer %.*s: %s", (int)pc_min_u64(s->name.n, 64),
                           s->name.n ? (const char *)s->name.p : "", wrong);
        keys += sources[i].keys ? sources[i].keys->count : 0;
    }
    struct pc_trust_body *body = new_body(sources, n);
    struct pc_trust *t = body ? new_draft(body, (uint32_t)n, keys) : NULL;
    if (!t)
        return pc_fail(why, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        add_keys(t, &body->issuers[i], sources[i].keys);
    PC_ASSERT(t->key_count == keys);
    int rc = name_issuers(body, n, why);
    if (rc == 0)
        rc = check_secrets(t, why);
    if (rc)
        pc_trust_free(t);
    else
        *ret_draft = t;
    return rc;
}

int pc_trust_clone(const struct pc_trust *t, struct pc_trust **ret_draft)
{
    unsigned before = atomic_fetch_add_explicit(&t->body->refs, 1, memory_order_relaxed);
    PC_ASSERT(before > 0);
    struct pc_trust *draft = new_draft(t->body, t->issuer_count, t->key_count);
    if (!draft)
        return -ENOMEM;
    memcpy(draft->status, t->status, t->issuer_count * sizeof *t->status);
    memcpy(draft->keys, t->keys, t->key_count * sizeof *t->keys);
    for (uint32_t i = 0; i < t->key_count; i++)
        pc_key_ref(t->keys[i].key);
    draft->key_count = t->key_count;
    draft->all_cutoff_ms = t->all_cutoff_ms;
    draft->wildcard_kinds = t->wildcard_kinds;
    *ret_draft = draft;
    return 0;
}

/* --- changing a draft -------------------------------------------------------------------- */

static bool is_named(const struct pc_issuer *issuer, struct pc_bytes name)
{
    return pc_bytes_eq(name, PC_LIT("*")) || pc_bytes_eq(name, issuer->s.name);
}

unsigned pc_trust_set_key_revoked(struct pc_trust *draft, struct pc_bytes issuer,
                                  struct pc_bytes thumbprint, bool revoked)
{
    unsigned named = 0;
    PC_ASSERT(draft->generation == 0); /* I1 */
    for (uint32_t i = 0; i < draft->issuer_count; i++) {
        const struct pc_issuer *in = &draft->issuers[i];
        for (uint32_t k = in->first_key; is_named(in, issuer) && k < in->first_key + in->key_count;
             k++) {
            if (!pc_bytes_eq_str(thumbprint, draft->keys[k].key->thumbprint))
                continue;
            draft->keys[k].revoked = revoked;
            named++;
        }
    }
    return named;
}

unsigned pc_trust_set_issuer_status(struct pc_trust *draft, struct pc_bytes issuer,
                                    struct pc_issuer_status status)
{
    unsigned named = 0;
    PC_ASSERT(draft->generation == 0); /* I1 */
    for (uint32_t i = 0; i < draft->issuer_count; i++) {
        if (!is_named(&draft->issuers[i], issuer))
            continue;
        draft->status[i] = status;
        named++;
    }
    return named;
}

/* --- sealing: the digest of everything that I2 is about ----------------------------------- */

static void digest_number(SHA256_CTX *c, uint64_t v)
{
    SHA256_Update(c, &v, sizeof v); /* compared within one process only: byte order is no matter */
}

static void digest_string(SHA256_CTX *c, struct pc_bytes s)
{
    digest_number(c, s.n);
    SHA256_Update(c, s.p, s.n);
}

static void digest_list(SHA256_CTX *c, const struct pc_bytes *list, size_t n)
{
    digest_number(c, n);
    for (size_t i = 0; i < n; i++)
        digest_string(c, list[i]);
}

static void digest_settings(SHA256_CTX *c, const struct pc_issuer_settings *settings)
{
    struct pc_issuer_settings s = *settings;
    struct pc_bytes *names[CLAIM_NAMES];
    digest_string(c, s.name);
    digest_number(c, s.algorithms);
    digest_number(c, s.allow_secrets);
    digest_number(c, (uint64_t)s.skew_ms);
    digest_number(c, (uint64_t)s.max_lifetime_ms);
    digest_number(c, (s.require_jti ? 1u : 0) | (s.require_session ? 2u : 0) |
                         (s.trust_iat_ms ? 4u : 0));
    digest_list(c, s.audiences, s.audience_count);
    digest_list(c, s.types, s.type_count);
    list_claim_names(&s.claims, names);
    for (int i = 0; i < CLAIM_NAMES; i++)
        digest_string(c, *names[i]);
}

static void digest_trust(const struct pc_trust *t, uint8_t ret_digest[32])
{
    SHA256_CTX c;
    SHA256_Init(&c);
    digest_number(&c, t->issuer_count);
    for (uint32_t i = 0; i < t->issuer_count; i++) {
        digest_settings(&c, &t->issuers[i].s);
        digest_number(&c, t->issuers[i].key_count);
    }
    for (uint32_t i = 0; i < t->key_count; i++) {
        const struct pc_key *key = t->keys[i].key;
        digest_string(&c, key->kid);
        digest_string(&c, pc_bytes_str(key->thumbprint));
        digest_number(&c, key->algorithms);
        digest_number(&c, t->keys[i].revoked);
    }
    SHA256_Final(ret_digest, &c);
}

void pc_trust_seal(struct pc_trust *draft, const struct pc_trust *previous)
{
    PC_ASSERT(draft->generation == 0); /* I1 */
    PC_ASSERT(!previous || previous->generation > 0);
    digest_trust(draft, draft->digest);
    bool same = previous && memcmp(previous->digest, draft->digest, sizeof draft->digest) == 0;
    draft->generation = previous ? previous->generation + !same : 1; /* I2 */
}

/* --- searching keys ---------------------------------------------------------------------- */

void pc_trust_find_keys(const struct pc_trust *t, const struct pc_issuer *issuer,
                        struct pc_bytes kid, enum pc_alg alg, struct pc_key_choice *ret_choice)
{
    struct pc_key_choice choice = {.count = 0};
    bool revoked = false, other = false, too_many = false;
    for (uint32_t i = issuer->first_key; i < issuer->first_key + issuer->key_count; i++) {
        const struct pc_key *key = t->keys[i].key;
        if (kid.n && !pc_bytes_eq(kid, key->kid))
            continue;
        if (!(key->algorithms & PC_ALG_BIT(alg)))
            other |= kid.n > 0;
        else if (t->keys[i].revoked)
            revoked = true; /* I3 */
        else if (choice.count == PC_TRUST_TRIES_MAX)
            too_many = true;
        else
            choice.keys[choice.count++] = i;
    }
    choice.count = too_many ? 0 : choice.count;
    choice.revoked = choice.count == 0 && !too_many && revoked;
    choice.other_algorithm = choice.count == 0 && !too_many && !revoked && other;
    *ret_choice = choice;
}
