/* SPDX-License-Identifier: Apache-2.0
 * Cache, signature, times, revocations: in this order.
 *
 * What depends only on the token's bytes and the trust generation is cached; what depends on time
 * or on revocations is evaluated on every use. The trust snapshot is loaded once per decision,
 * after that decision's bytes arrived, and never kept beyond it. */
#include "edge/api/decide.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "edge/api/unseen.h"

/* How long a refused token is refused again without looking; the trust generation ends it sooner.
 */
#define FAILURE_TTL_MS 60000

/* ---- the blob: claims and rendered headers of one token ---- */

struct part_index {
    uint16_t off, n;
};

#define BLOB_INDEX_BYTES (PC_PART_COUNT * sizeof(struct part_index))

struct pc_bytes pc_token_part(const struct pc_cached_token *t, enum pc_part part)
{
    struct part_index index;
    PC_ASSERT(part < PC_PART_COUNT && t->blob_bytes >= BLOB_INDEX_BYTES);
    memcpy(&index, t->blob + part * sizeof index, sizeof index);
    return pc_bytes_of(t->blob + index.off, index.n);
}

static void set_part(struct pc_buf *b, enum pc_part part, size_t off)
{
    struct part_index index = {(uint16_t)off, (uint16_t)(b->len - off)};
    if (!b->overflow)
        memcpy(b->p + part * sizeof index, &index, sizeof index);
}

static void put_header(struct pc_buf *b, enum pc_part part, const char *name, struct pc_bytes value)
{
    pc_buf_str(b, name);
    pc_buf_lit(b, ": ");
    size_t off = b->len;
    pc_buf_bytes(b, value);
    set_part(b, part, off);
    pc_buf_lit(b, "\r\n");
}

/* Claims hold no control characters (jwt.h), so they can stand in header fields as they are. The
 * parts point into the header block: nothing is kept twice. */
static void render_blob(const struct pc_claims *c, struct pc_buf *b)
{
    const struct pc_bytes values[PC_PART_COUNT] = {
        [PC_PART_SUBJECT] = c->subject,       [PC_PART_CLIENT] = c->client,
        [PC_PART_SESSION] = c->session,       [PC_PART_JTI] = c->jti,
        [PC_PART_ISSUER] = c->issuer->s.name, [PC_PART_SCOPES] = c->scopes,
        [PC_PART_ROLES] = c->roles,
    };
    b->len = BLOB_INDEX_BYTES;
    size_t family = b->len;
    pc_buf_bytes(b, c->family);
    set_part(b, PC_PART_FAMILY, family);
    size_t headers = b->len;
#define PUT_HEADER(part, name) put_header(b, PC_PART_##part, name, values[PC_PART_##part]);
    PC_IDENTITY_HEADERS(PUT_HEADER)
#undef PUT_HEADER
    set_part(b, PC_PART_HEADERS, headers);
    PC_ASSERT(!b->overflow && b->len <= UINT16_MAX);
}

/* ---- a token that is not in the cache ---- */

static const struct {
    enum pc_kind kind;
    enum pc_part part;
} scopes[PC_SCOPE_COUNT] = {
    [PC_SCOPE_TOKEN] = {PC_KIND_TOKEN,   PC_PART_JTI    },
    [PC_SCOPE_SESSION] = {PC_KIND_SESSION, PC_PART_SESSION},
    [PC_SCOPE_FAMILY] = {PC_KIND_FAMILY,  PC_PART_FAMILY },
    [PC_SCOPE_SUBJECT] = {PC_KIND_SUBJECT, PC_PART_SUBJECT},
    [PC_SCOPE_CLIENT] = {PC_KIND_CLIENT,  PC_PART_CLIENT },
};

static void fingerprint(const struct pc_worker *w, const struct pc_cached_token *t,
                        struct pc_bytes issuer, uint64_t fp[PC_SCOPE_COUNT])
{
    for (unsigned i = 0; i < PC_SCOPE_COUNT; i++) {
        struct pc_bytes id = pc_token_part(t, scopes[i].part);
        fp[i] = id.n ? pc_tables_fingerprint(w->server->tables, scopes[i].kind, issuer, id) : 0;
    }
}

/* Turns verified claims into what the cache keeps; returns the cache's copy, or the worker's own
 * when the token is too large to be cached. */
static struct pc_cached_token *remember(struct pc_worker *w, const struct pc_trust *trust,
                                        const struct pc_token_digest *digest,
                                        const struct pc_claims *c)
{
    struct pc_buf blob = pc_buf_of(w->blob, PC_WORKER_BLOB_BYTES);
    struct pc_cached_token *t = &w->uncached;
    render_blob(c, &blob);
    *t = (struct pc_cached_token){
        .trust_generation = trust->generation,
        .exp_ms = c->times.exp_ms,
        .nbf_ms = c->times.nbf_ms,
        .iat_ms = c->times.iat_ms,
        .blob = w->blob,
        .blob_bytes = (uint32_t)blob.len,
        .issuer = c->issuer->index,
        .key = c->key,
    };
    fingerprint(w, t, c->issuer->s.name, t->fp);
    struct pc_cached_token *kept = pc_token_cache_insert(w->cache, digest, t, w->core->now_ms);
    return kept ? kept : t;
}

/* The client's keyed hash, so that nobody can aim at another's budget. Of IPv6 the first half: who
 * has an address has 2^64 of them. */
static uint64_t hash_client(const struct pc_worker *w, const struct pc_ip *client)
{
    return pc_siphash13(w->server->client_key, client->b,
                        client->family == 6 ? sizeof client->b / 2 : sizeof client->b);
}

static bool charge(struct pc_worker *w, uint32_t cost_ns, const struct pc_ip *client,
                   struct pc_verdict *v)
{
    if (pc_verify_budget_charge(w->budget, hash_client(w, client), cost_ns, w->core->now_ns,
                                &v->retry_ns))
        return true;
    v->busy = true;
    return false;
}

static void verify(struct pc_worker *w, const struct pc_trust *trust,
                   const struct pc_token_query *query, const struct pc_ip *client,
                   struct pc_verdict *v)
{
    const struct pc_token_digest *digest = &query->digest;
    struct pc_jwt jwt;
    struct pc_claims claims;
    uint32_t code;
    bool failed =
        pc_token_cache_find_failure(w->cache, digest, trust->generation, w->core->now_ms, &code);
    if (!failed && query->may_wait && !pc_unseen_now(w)) {
        v->later = true;
        return;
    }
    pc_metric_inc(w->metrics, PC_M_TOKEN_CACHE_MISS);
    if (failed) {
        pc_metric_inc(w->metrics, PC_M_TOKEN_CACHE_FAILURE_HIT);
        v->error = (enum pc_token_error)code;
        return;
    }
    v->error = pc_jwt_peek(trust, query->token, w->jwt, &jwt);
    if (v->error || !charge(w, jwt.cost_ns, client, v))
        return;
    v->error = pc_jwt_verify_peeked(&jwt, &claims);
    bool genuine = v->error != PC_TOKEN_SIGNATURE_INVALID;
    pc_metric_inc(w->metrics, genuine ? PC_M_SIGNATURES_VALID : PC_M_SIGNATURES_INVALID);
    if (v->error) {
        pc_token_cache_insert_failure(w->cache, digest, trust->generation, (uint32_t)v->error,
                                      w->core->now_ms + FAILURE_TTL_MS, w->core->now_ms);
        return;
    }
    v->token = remember(w, trust, digest, &claims);
}

/* ---- revocations ---- */

static const enum pc_token_error scope_errors[PC_SCOPE_COUNT] = {
    [PC_SCOPE_TOKEN] = PC_TOKEN_REVOKED,   [PC_SCOPE_SESSION] = PC_SESSION_REVOKED,
    [PC_SCOPE_FAMILY] = PC_FAMILY_REVOKED, [PC_SCOPE_SUBJECT] = PC_SUBJECT_REVOKED,
    [PC_SCOPE_CLIENT] = PC_CLIENT_REVOKED,
};

static bool is_cutoff(unsigned scope)
{
    return scope == PC_SCOPE_SUBJECT || scope == PC_SCOPE_CLIENT;
}

static const struct pc_revocations *table_of(const struct pc_tables *t, unsigned scope)
{
    return is_cutoff(scope) ? t->cutoffs : t->ids;
}

/* A missing iat (INT64_MIN) is at or before every cutoff; no cutoff covers nothing. */
static bool cut_off(int64_t iat_ms, int64_t cutoff_ms)
{
    return cutoff_ms != PC_CUTOFF_NONE && iat_ms <= cutoff_ms;
}

/* All lines are on their way before the first is needed. */
static void seek(const struct pc_tables *t, const uint64_t fp[PC_SCOPE_COUNT],
                 struct pc_revocation_place places[PC_SCOPE_COUNT])
{
    for (unsigned i = 0; i < PC_SCOPE_COUNT; i++)
        if (fp[i])
            places[i] = pc_revocations_seek(table_of(t, i), fp[i]);
}

static enum pc_token_error look_up(const struct pc_tables *t, const uint64_t fp[PC_SCOPE_COUNT],
                                   const struct pc_revocation_place places[PC_SCOPE_COUNT],
                                   int64_t iat_ms, int64_t now_ms)
{
    struct pc_revoked revoked;
    for (unsigned i = 0; i < PC_SCOPE_COUNT; i++) {
        if (!fp[i] || !pc_revocations_find_at(table_of(t, i), &places[i], fp[i], now_ms, &revoked))
            continue;
        if (!is_cutoff(i) || cut_off(iat_ms, revoked.cutoff_ms))
            return scope_errors[i];
    }
    return PC_TOKEN_OK;
}

#define WILDCARD_KINDS                                                                             \
    (1u << PC_KIND_TOKEN | 1u << PC_KIND_SESSION | 1u << PC_KIND_FAMILY | 1u << PC_KIND_SUBJECT |  \
     1u << PC_KIND_CLIENT)

static enum pc_token_error look_up_wildcards(struct pc_worker *w, struct pc_cached_token *t,
                                             int64_t now_ms)
{
    struct pc_revocation_place places[PC_SCOPE_COUNT];
    if (!t->fp_any_ready) {
        uint64_t fp[PC_SCOPE_COUNT];
        fingerprint(w, t, PC_LIT("*"), fp);
        pc_cached_token_set_any(t, fp);
    }
    seek(w->server->tables, t->fp_any, places);
    return look_up(w->server->tables, t->fp_any, places, t->iat_ms, now_ms);
}

static enum pc_token_error check_revocations(struct pc_worker *w, const struct pc_trust *trust,
                                             struct pc_cached_token *t,
                                             const struct pc_revocation_place *places)
{
    const struct pc_issuer_status *issuer = &trust->status[t->issuer];
    int64_t now_ms = w->core->now_ms - trust->issuers[t->issuer].s.skew_ms;
    if (issuer->revoked || cut_off(t->iat_ms, issuer->cutoff_ms))
        return PC_ISSUER_REVOKED;
    if (cut_off(t->iat_ms, trust->all_cutoff_ms))
        return PC_ALL_REVOKED;
    enum pc_token_error error = look_up(w->server->tables, t->fp, places, t->iat_ms, now_ms);
    if (error == PC_TOKEN_OK && PC_UNLIKELY(trust->wildcard_kinds & WILDCARD_KINDS))
        error = look_up_wildcards(w, t, now_ms);
    pc_metric_inc(w->metrics, error ? PC_M_REVOCATION_REVOKED : PC_M_REVOCATION_CLEAR);
    return error;
}

/* ---- the decision ---- */

void pc_token_prefetch(const struct pc_worker *w, struct pc_bytes token,
                       struct pc_token_query *ret_query)
{
    ret_query->token = token;
    ret_query->may_wait = false;
    if (token.n == 0 || token.n > PC_TOKEN_BYTES_MAX)
        return;
    ret_query->digest = pc_token_hash(w->server->hash_key, token);
    pc_token_cache_prefetch(w->cache, &ret_query->digest);
}

void pc_token_prefetch_entry(const struct pc_worker *w, const struct pc_token_query *query)
{
    if (query->token.n && query->token.n <= PC_TOKEN_BYTES_MAX)
        pc_token_cache_prefetch_entry(w->cache, &query->digest);
}

void pc_token_identify(struct pc_worker *w, const struct pc_trust *trust,
                       const struct pc_token_query *query, const struct pc_ip *client,
                       struct pc_verdict *ret_verdict)
{
    struct pc_verdict *v = ret_verdict;
    struct pc_bytes token = query->token;
    pc_verdict_init(v);
    if (token.n == 0 || token.n > PC_TOKEN_BYTES_MAX) {
        v->error = token.n ? PC_TOKEN_TOO_LARGE : PC_TOKEN_MISSING;
        return;
    }
    v->token = pc_token_cache_find(w->cache, &query->digest, trust->generation);
    if (PC_LIKELY(v->token != NULL))
        pc_metric_inc(w->metrics, PC_M_TOKEN_CACHE_HIT);
    else
        verify(w, trust, query, client, v);
    if (!v->token)
        return;
    v->issuer = &trust->issuers[v->token->issuer];
    seek(w->server->tables, v->token->fp, v->places);
}

void pc_token_check(struct pc_worker *w, const struct pc_trust *trust, struct pc_verdict *v)
{
    PC_ASSERT(v->token && v->issuer && !v->error);
    /* The cache's entry, or the worker's own: both belong to this core. */
    struct pc_cached_token *t = (struct pc_cached_token *)(uintptr_t)v->token;
    struct pc_token_times times = {t->exp_ms, t->nbf_ms, t->iat_ms};
    v->error = pc_times_check(&times, v->issuer->s.skew_ms, w->core->now_ms);
    if (v->error == PC_TOKEN_OK)
        v->error = check_revocations(w, trust, t, v->places);
}

void pc_decide(struct pc_worker *w, struct pc_bytes token, const struct pc_ip *client,
               struct pc_verdict *ret_verdict)
{
    const struct pc_trust *trust = pc_server_trust(w->server);
    struct pc_token_query query;
    PC_ASSERT_SLOW(pc_rcu_is_online());
    pc_token_prefetch(w, token, &query);
    pc_token_identify(w, trust, &query, client, ret_verdict);
    if (ret_verdict->token)
        pc_token_check(w, trust, ret_verdict);
}
