/* SPDX-License-Identifier: Apache-2.0
 * Minting. Each thread takes every n-th chunk of the records; threads share only the plan and the
 * run of memory they write to, in chunks of their own. A signature is nearly all of the cost, so
 * kinds whose signature is made up cost nearly nothing. */
#include "load/mint.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64url.h"
#include "base/err.h"
#include "base/random.h"

enum {
    CHUNK_RECORDS = 256,
    THREADS_MAX = 256,
    PART_BYTES_MAX = 4096, /* of a header or of claims */
    CLIENTS = 16,
    EXPIRED_SINCE_S = 3600, /* beyond every clock skew that makes sense */
};

#define UNKNOWN_ISSUER "https://unknown-issuer.example"
#define UNKNOWN_KID    "unknown-key"

struct minter {
    const struct ld_mint_plan *plan;
    struct ld_tokens *tokens;
    unsigned number, of;
    bool failed;
    pthread_t thread;
};

/* ---- One token. ---- */

static void put_roles(struct pc_buf *b, const char *roles)
{
    pc_buf_lit(b, "\"roles\":[");
    for (const char *at = roles; *at;) {
        size_t n = strcspn(at, ",");
        if (n) {
            pc_buf_str(b, at == roles ? "" : ",");
            pc_buf_json_str(b, pc_bytes_of(at, n));
        }
        at += n + (at[n] == ',');
    }
    pc_buf_lit(b, "],");
}

/* exp - iat is the lifetime for every kind: the kind is all that is wrong with a token. */
static void put_claims(struct pc_buf *b, const struct ld_mint_plan *p, uint64_t i,
                       enum ld_token_kind kind, const char *jti)
{
    const unsigned long user = (unsigned long)i;
    int64_t iat_s = p->now_ms / 1000;
    if (kind == LD_TOKEN_EXPIRED)
        iat_s -= p->lifetime_s + EXPIRED_SINCE_S;
    pc_buf_lit(b, "{\"iss\":");
    pc_buf_json_str(b, pc_bytes_str(kind == LD_TOKEN_UNKNOWN_ISSUER ? UNKNOWN_ISSUER : p->issuer));
    pc_buf_fmt(b,
               ",\"sub\":\"user-%08lu\",\"jti\":\"%.*s\",\"sid\":\"session-%08lu\","
               "\"fam\":\"family-%08lu\",\"client_id\":\"web-%02lu\",\"iat\":%lld,\"exp\":%lld,",
               user, LD_JTI_CHARS, jti, user, user, user % CLIENTS, (long long)iat_s,
               (long long)(iat_s + p->lifetime_s));
    if (kind == LD_TOKEN_NOT_YET_VALID)
        pc_buf_fmt(b, "\"nbf\":%lld,", (long long)(iat_s + p->lifetime_s - 1));
    put_roles(b, p->roles ? p->roles : LD_ROLES_DEFAULT);
    pc_buf_lit(b, "\"scope\":");
    pc_buf_json_str(b, pc_bytes_str(p->scopes ? p->scopes : LD_SCOPES_DEFAULT));
    pc_buf_char(b, '}');
}

static void put_head(struct pc_buf *b, const struct ld_mint_plan *p, enum ld_token_kind kind)
{
    const char *kid = kind == LD_TOKEN_UNKNOWN_KEY ? UNKNOWN_KID : ld_key_kid(p->key);
    pc_buf_fmt(b, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":", ld_key_alg(p->key));
    pc_buf_json_str(b, pc_bytes_str(kid));
    pc_buf_char(b, '}');
}

/* Whether the server would have to check this signature against a key to refuse the token, or
 * refuses it for what it says: made up, it costs nothing to mint. */
static bool is_signed(enum ld_token_kind kind)
{
    return kind == LD_TOKEN_GOOD || kind == LD_TOKEN_REVOKED || kind == LD_TOKEN_EXPIRED ||
           kind == LD_TOKEN_NOT_YET_VALID;
}

static bool put_signature(struct pc_buf *b, const struct ld_mint_plan *p, enum ld_token_kind kind,
                          struct pc_prng *random)
{
    uint8_t signature[LD_SIGNATURE_MAX];
    int n = (int)ld_key_signature_bytes(p->key);
    if (is_signed(kind)) {
        n = ld_key_sign(p->key, pc_bytes_of(b->p, b->len), signature);
        if (n < 0)
            return false;
    } else {
        for (int at = 0; at < n; at += 8) {
            const uint64_t r = pc_prng_u64(random);
            memcpy(signature + at, &r, (size_t)(n - at < 8 ? n - at : 8));
        }
    }
    pc_buf_char(b, '.');
    pc_base64url_encode(pc_bytes_of(signature, (size_t)n), b);
    return !b->overflow;
}

/* Two ways to be no token: a part too few, and a character no part may have. */
static void spoil(struct pc_buf *b, uint64_t i)
{
    uint8_t *dot = memchr(b->p, '.', b->len);
    PC_ASSERT(dot);
    if (i % 2)
        *dot = '-';
    else
        dot[1] = '~';
}

static bool make_token(const struct ld_mint_plan *p, uint64_t i, enum ld_token_kind kind,
                       struct pc_prng *random, const char *jti, struct pc_buf *b)
{
    uint8_t head[PART_BYTES_MAX], claims[PART_BYTES_MAX];
    struct pc_buf h = pc_buf_of(head, sizeof head), c = pc_buf_of(claims, sizeof claims);
    put_head(&h, p, kind);
    put_claims(&c, p, i, kind, jti);
    pc_base64url_encode(pc_bytes_of(h.p, h.len), b);
    pc_buf_char(b, '.');
    pc_base64url_encode(pc_bytes_of(c.p, c.len), b);
    if (h.overflow || c.overflow || b->overflow || !put_signature(b, p, kind, random))
        return false;
    if (kind == LD_TOKEN_MALFORMED)
        spoil(b, i);
    return true;
}

/* Random numbers of record i alone, so that the same plan makes the same ids on any number of
 * threads. */
static void seed_of(uint64_t seed, uint64_t i, struct pc_prng *ret_random)
{
    const uint64_t words[4] = {seed, i, seed ^ UINT64_C(0x9e3779b97f4a7c15), ~i};
    uint8_t bytes[32];
    memcpy(bytes, words, sizeof bytes);
    pc_prng_seed(ret_random, bytes);
    for (int k = 0; k < 8; k++) /* the words above have few bits set */
        (void)pc_prng_u64(ret_random);
}

static bool mint_one(const struct ld_mint_plan *p, uint64_t i, enum ld_token_kind kind,
                     struct ld_token *ret_token, uint8_t text[LD_TOKENS_STRIDE_MAX],
                     char sub[LD_SUB_MAX + 1], char jti[LD_JTI_CHARS])
{
    struct pc_buf b = pc_buf_of(text, LD_TOKENS_STRIDE_MAX);
    struct pc_prng random;
    uint64_t words[2];
    uint8_t bytes[16];
    seed_of(p->seed, i, &random);
    words[0] = pc_prng_u64(&random);
    words[1] = pc_prng_u64(&random);
    memcpy(bytes, words, sizeof bytes);
    pc_uuid7(p->now_ms, bytes, jti);
    if (!make_token(p, i, kind, &random, jti, &b))
        return false;
    int n = snprintf(sub, LD_SUB_MAX + 1, "user-%08lu", (unsigned long)i);
    *ret_token = (struct ld_token){pc_bytes_of(b.p, b.len), pc_bytes_of(sub, (size_t)n), jti, kind};
    return true;
}

/* ---- All of them. ---- */

static enum ld_token_kind kind_of(const struct ld_tokens *t, uint64_t i)
{
    unsigned kind = 0;
    while (i >= t->first[kind] + t->of_kind[kind])
        kind++;
    return (enum ld_token_kind)kind;
}

static void *mint_chunks(void *arg)
{
    struct minter *m = arg;
    uint8_t text[LD_TOKENS_STRIDE_MAX];
    char sub[LD_SUB_MAX + 1], jti[LD_JTI_CHARS];
    struct ld_token token;
    const uint64_t step = (uint64_t)m->of * CHUNK_RECORDS;
    for (uint64_t from = (uint64_t)m->number * CHUNK_RECORDS; from < m->tokens->count; from += step)
        for (uint64_t i = from; i < pc_min_u64(from + CHUNK_RECORDS, m->tokens->count); i++) {
            if (!mint_one(m->plan, i, kind_of(m->tokens, i), &token, text, sub, jti)) {
                m->failed = true;
                return NULL;
            }
            ld_tokens_put(m->tokens, i, &token);
        }
    return NULL;
}

static unsigned thread_count(const struct ld_mint_plan *p, uint64_t count)
{
    cpu_set_t set;
    unsigned n = p->threads;
    if (n == 0)
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    n = (unsigned)pc_min_u64(n, THREADS_MAX);
    return (unsigned)pc_max_u64(1, pc_min_u64(n, count / CHUNK_RECORDS));
}

static bool mint_all(const struct ld_mint_plan *p, struct ld_tokens *t, struct ld_problem *problem)
{
    const unsigned n = thread_count(p, t->count);
    struct minter *minters = calloc(n, sizeof *minters);
    bool ok = minters != NULL;
    unsigned begun = 0;
    if (!ok)
        return ld_problem_set(problem, "out of memory");
    for (; begun < n && ok; begun++) {
        minters[begun] = (struct minter){.plan = p, .tokens = t, .number = begun, .of = n};
        int err = pthread_create(&minters[begun].thread, NULL, mint_chunks, &minters[begun]);
        if (err) {
            ok = ld_problem_set(problem, "a thread to mint with: %s", pc_strerror(-err));
            break;
        }
    }
    for (unsigned i = 0; i < begun; i++) {
        pthread_join(minters[i].thread, NULL);
        if (minters[i].failed)
            ok = ld_problem_set(problem, "a token could not be signed");
    }
    free(minters);
    return ok;
}

/* The longest token of the plan: numbers have a fixed width, so the last of each kind tells. */
static bool find_stride(const struct ld_mint_plan *p, uint32_t *ret_stride,
                        struct ld_problem *problem)
{
    uint8_t text[LD_TOKENS_STRIDE_MAX];
    char sub[LD_SUB_MAX + 1], jti[LD_JTI_CHARS];
    struct ld_token token;
    size_t longest = 0;
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++) {
        if (p->count_of_kind[kind] == 0)
            continue;
        if (!mint_one(p, LD_TOKENS_COUNT_MAX, (enum ld_token_kind)kind, &token, text, sub, jti))
            return ld_problem_set(problem, "the claims are too long for a token of %d bytes",
                                  LD_TOKENS_STRIDE_MAX - 64);
        longest = pc_max_u64(longest, token.text.n);
    }
    if (longest > LD_TOKENS_STRIDE_MAX - 64)
        return ld_problem_set(problem, "tokens would be longer than %d bytes",
                              LD_TOKENS_STRIDE_MAX - 64);
    *ret_stride = (uint32_t)(64 + (longest + 63) / 64 * 64);
    return true;
}

bool ld_mint(const struct ld_mint_plan *plan, const char *path, struct ld_tokens *ret_tokens,
             struct ld_problem *problem)
{
    struct ld_tokens t;
    uint32_t stride = 0;
    const int64_t now_s = plan->now_ms / 1000;
    if (plan->lifetime_s < 1 || plan->lifetime_s > INT32_MAX)
        return ld_problem_set(problem, "a lifetime is at least 1s and at most 68 years");
    if (!find_stride(plan, &stride, problem) ||
        !ld_tokens_create(path, plan->count_of_kind, stride, plan->issuer, &t, problem))
        return false;
    if (!mint_all(plan, &t, problem) ||
        !ld_tokens_seal(&t, now_s, now_s + plan->lifetime_s, problem)) {
        ld_tokens_close(&t);
        return false;
    }
    *ret_tokens = t;
    return true;
}

/* ---- Shares. ---- */

void ld_mint_split(uint64_t count, const double share[LD_TOKEN_KINDS],
                   uint64_t ret_count[LD_TOKEN_KINDS])
{
    double sum = 0;
    uint64_t given = 0;
    unsigned first = LD_TOKEN_KINDS;
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        sum += share[kind];
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++) {
        ret_count[kind] = 0;
        if (share[kind] > 0 && given < count) {
            const uint64_t exact = (uint64_t)((double)count * share[kind] / sum);
            ret_count[kind] = pc_min_u64(pc_max_u64(exact, 1), count - given);
            given += ret_count[kind];
            first = first == LD_TOKEN_KINDS ? kind : first;
        }
    }
    if (first < LD_TOKEN_KINDS)
        ret_count[first] += count - given;
}

bool ld_mint_read_mix(const char *text, double ret_share[LD_TOKEN_KINDS],
                      struct ld_problem *problem)
{
    double share[LD_TOKEN_KINDS] = {0};
    double sum = 0;
    for (const char *at = text; *at;) {
        const size_t n = strcspn(at, "=,");
        const enum ld_token_kind kind = ld_token_kind_of_name(pc_bytes_of(at, n));
        char *end = NULL;
        if (kind == LD_TOKEN_KINDS || at[n] != '=')
            return ld_problem_set(problem, "'%s': expected KIND=SHARE; there is no kind '%.*s'",
                                  text, (int)n, at);
        share[kind] = strtod(at + n + 1, &end);
        if (end == at + n + 1 || (*end && *end != ',') || !(share[kind] >= 0) || share[kind] > 1e9)
            return ld_problem_set(problem, "'%s': the share of %s is no number", text,
                                  ld_token_kind_name(kind));
        sum += share[kind];
        at = *end ? end + 1 : end;
    }
    if (!(sum > 0))
        return ld_problem_set(problem, "'%s': no kind of token has a share", text);
    memcpy(ret_share, share, sizeof share);
    return true;
}
