/* SPDX-License-Identifier: Apache-2.0
 * Reading issuers' key files. A shared secret (HS*) comes from a file of its own and is turned into
 * a key set, so that one path judges all keys. */
#include "edge/api/trust_load.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base64url.h"
#include "base/log.h"
#include "base/secret.h"
#include "edge/api/load_file.h"

static void warn(void *arg, const char *text)
{
    pc_log_event(PC_LOG_WARN, "jwks_warning", "issuer %s: %s", (const char *)arg, text);
}

static int load_jwks(const struct pc_config_issuer *i, struct pc_jwks **ret, struct pc_why *why)
{
    struct pc_why inner = {{0}};
    size_t n = 0;
    uint8_t *text = NULL;
    int rc = pc_load_file(i->jwks_file, PC_JWKS_BYTES_MAX, &text, &n, &inner);
    if (rc == 0)
        rc = pc_jwks_parse(pc_bytes_of(text, n), i->allow_hmac, warn, (void *)(uintptr_t)i->name,
                           ret, &inner);
    free(text);
    return rc < 0 ? pc_fail(why, rc, "issuer %s, %s: %.300s", i->name, i->jwks_file, inner.text)
                  : 0;
}

/* Whether the secret is long enough for all HS algorithms the issuer names; algorithms: bits. */
static int check_secret(const struct pc_jwks *keys, uint32_t algorithms, struct pc_why *why)
{
    PC_ASSERT(keys->count == 1);
    if (algorithms & PC_ALGS_HMAC & ~keys->keys[0]->algorithms)
        return pc_fail(why, PC_E_UNSUPPORTED,
                       "too short: HS256 takes 32 bytes, HS384 48 and HS512 64");
    return 0;
}

static int load_secret(const struct pc_config_issuer *i, uint32_t algorithms, struct pc_jwks **ret,
                       struct pc_why *why)
{
    struct pc_why inner = {{0}};
    struct pc_secret secret;
    uint8_t text[2 * PC_SECRET_MAX + 64], encoded[2 * PC_SECRET_MAX];
    int rc = pc_secret_read(i->hmac_secret_file, &secret, &inner);
    if (rc == 0) {
        struct pc_buf b = pc_buf_of(text, sizeof text), e = pc_buf_of(encoded, sizeof encoded);
        pc_base64url_encode(pc_secret_bytes(&secret), &e);
        pc_buf_lit(&b, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"");
        pc_buf_put(&b, e.p, e.len);
        pc_buf_lit(&b, "\"}]}");
        rc = pc_jwks_parse(pc_bytes_of(b.p, b.len), true, NULL, NULL, ret, &inner);
        pc_wipe(text, sizeof text);
        pc_wipe(encoded, sizeof encoded);
    }
    pc_wipe(&secret, sizeof secret);
    if (rc == 0)
        rc = check_secret(*ret, algorithms, &inner);
    return rc < 0
               ? pc_fail(why, rc, "issuer %s, %s: %.300s", i->name, i->hmac_secret_file, inner.text)
               : 0;
}

/* Settings with the arrays they point to. */
struct settings {
    struct pc_issuer_settings s;
    struct pc_bytes audiences[PC_AUDIENCES_MAX], types[PC_TYPES_MAX];
    struct pc_jwks *keys;
};

static int copy_words(const struct pc_words *words, struct pc_bytes *dst, size_t max,
                      const char *key, const char *issuer, struct pc_why *why)
{
    if (words->n > max)
        return pc_fail(why, PC_E_TOO_LARGE, "issuer %s: at most %zu %s", issuer, max, key);
    for (unsigned i = 0; i < words->n; i++)
        dst[i] = pc_bytes_str(words->v[i]);
    return 0;
}

static int read_algorithms(const struct pc_config_issuer *i, uint32_t *bits, struct pc_why *why)
{
    if (i->algorithms.n == 0)
        return 0;
    *bits = 0;
    for (unsigned k = 0; k < i->algorithms.n; k++) {
        enum pc_alg alg = pc_alg_of_name(pc_bytes_str(i->algorithms.v[k]));
        if (alg == PC_ALG_NONE)
            return pc_fail(why, -EINVAL, "issuer %s: there is no algorithm %s", i->name,
                           i->algorithms.v[k]);
        *bits |= PC_ALG_BIT(alg);
    }
    return 0;
}

/* An empty name in the configuration switches a claim off; the default has an alternative name. */
static void read_claims(const struct pc_config_issuer *i, struct pc_claim_names *names)
{
    struct pc_claim_names configured = {
        .session = pc_bytes_str(i->claims.session),
        .family = pc_bytes_str(i->claims.family),
        .client = pc_bytes_str(i->claims.client),
        .scopes = pc_bytes_str(i->claims.scopes),
        .roles = pc_bytes_str(i->claims.roles),
    };
    if (pc_bytes_eq(configured.client, names->client))
        configured.client_instead = names->client_instead;
    if (pc_bytes_eq(configured.scopes, names->scopes))
        configured.scopes_instead = names->scopes_instead;
    *names = configured;
}

static int read_settings(const struct pc_config_issuer *i, struct settings *ret, struct pc_why *why)
{
    struct pc_issuer_settings *s = &ret->s;
    pc_issuer_settings_init(s, pc_bytes_str(i->name));
    s->skew_ms = i->clock_skew_ms;
    s->max_lifetime_ms = i->max_token_lifetime_ms;
    s->require_jti = i->require_jti;
    s->require_session = i->require_sid;
    s->trust_iat_ms = i->trust_iat_ms;
    s->allow_secrets = i->allow_hmac;
    s->audiences = ret->audiences;
    s->audience_count = i->audiences.n;
    s->types = ret->types;
    s->type_count = i->typ.n;
    read_claims(i, &s->claims);
    int rc = read_algorithms(i, &s->algorithms, why);
    if (rc == 0)
        rc = copy_words(&i->audiences, ret->audiences, PC_AUDIENCES_MAX, "audiences", i->name, why);
    if (rc == 0)
        rc = copy_words(&i->typ, ret->types, PC_TYPES_MAX, "typ", i->name, why);
    if (rc == 0 && i->jwks_file && i->jwks_file[0])
        rc = load_jwks(i, &ret->keys, why);
    else if (rc == 0 && i->hmac_secret_file && i->hmac_secret_file[0])
        rc = load_secret(i, s->algorithms, &ret->keys, why);
    if (rc == 0 && i->allow_hmac)
        pc_log_event(PC_LOG_WARN, "hmac_issuer",
                     "issuer %s shares a secret with this server: whoever holds it can sign tokens",
                     i->name);
    return rc;
}

int pc_trust_load(const struct pc_config *c, struct pc_trust **ret_draft, struct pc_why *why)
{
    struct pc_trust_source sources[PC_CONFIG_ISSUERS_MAX];
    struct settings *settings = calloc(c->issuer_count + 1, sizeof *settings);
    int rc = settings ? 0 : pc_fail(why, -ENOMEM, "no memory for the issuers");
    PC_ASSERT(c->issuer_count <= PC_CONFIG_ISSUERS_MAX);
    for (unsigned i = 0; i < c->issuer_count && rc == 0; i++) {
        rc = read_settings(&c->issuers[i], &settings[i], why);
        sources[i] = (struct pc_trust_source){&settings[i].s, settings[i].keys};
    }
    if (rc == 0)
        rc = pc_trust_build(sources, c->issuer_count, ret_draft, why);
    for (unsigned i = 0; settings && i < c->issuer_count; i++)
        pc_jwks_free(settings[i].keys);
    free(settings);
    return rc;
}
