/* SPDX-License-Identifier: Apache-2.0
 * Tokens one core has verified, and, apart from them, tokens it has refused. One cache per core,
 * used by one thread only (bound to the first that uses it, asserted); no locks, no clock.
 *
 * It remembers facts that hold as long as the trust generation does: this token was genuine, this
 * is what it says. It never decides: exp, nbf, audience, cutoffs and revocations are evaluated by
 * the caller on every hit.
 *
 * All memory is reserved at creation and becomes resident as it is first used; find and insert
 * allocate nothing. Failures live in a table of their own, so bad tokens never evict good ones. */
#ifndef PC_EDGE_STATE_TOKEN_CACHE_H
#define PC_EDGE_STATE_TOKEN_CACHE_H

#include "edge/state/token_hash.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_TOKEN_CACHE_ENTRIES_DEFAULT  65536
#define PC_TOKEN_CACHE_ENTRIES_MAX      (1u << 24)
#define PC_TOKEN_CACHE_FAILURES_DEFAULT 4096
#define PC_TOKEN_CACHE_BYTES_PER_ENTRY  768 /* default memory_bytes / entries */
#define PC_TOKEN_CACHE_BLOB_MAX_BYTES   4096

/* No nbf, no iat: earlier than anything, so a missing iat is before every cutoff. */
#define PC_TOKEN_TIME_MISSING INT64_MIN

/* The fingerprints a decision looks up; 0 = the token has no such claim. */
enum pc_token_scope {
    PC_SCOPE_TOKEN,
    PC_SCOPE_SESSION,
    PC_SCOPE_FAMILY,
    PC_SCOPE_SUBJECT,
    PC_SCOPE_CLIENT,
    PC_SCOPE_COUNT
};

/* What is kept of one genuine token. The cache copies it, blob included, and hands out its own
 * copy; `blob` then points behind it. Its layout is the caller's: rendered identity headers,
 * claims, a table of offsets. */
struct pc_cached_token {
    uint64_t trust_generation;
    int64_t exp_ms;              /* INT64_MAX: none */
    int64_t nbf_ms;              /* PC_TOKEN_TIME_MISSING: none */
    int64_t iat_ms;              /* PC_TOKEN_TIME_MISSING: none */
    uint64_t fp[PC_SCOPE_COUNT]; /* keyed with the token's issuer */
    const uint8_t *blob;
    uint32_t blob_bytes;
    uint32_t issuer;                 /* index in the trust snapshot of that generation */
    uint32_t key;                    /* likewise */
    uint32_t fp_any_ready;           /* 1: fp_any is filled in */
    uint64_t fp_any[PC_SCOPE_COUNT]; /* keyed with issuer "*"; see pc_cached_token_set_any */
    uint64_t demands_met;            /* the caller's: number of the demands it last met; 0: none */
};

struct pc_token_cache_options {
    uint32_t entries;    /* good tokens at most; 0: default */
    uint32_t failures;   /* refused tokens at most; 0: default */
    size_t memory_bytes; /* for good tokens and their blobs; 0: entries x the default above */
};

struct pc_token_cache_stats {
    uint64_t hits, misses;
    uint64_t stale; /* misses because the entry had another trust generation */
    uint64_t inserted, replaced;
    uint64_t evicted_dead; /* expired, or of another trust generation */
    uint64_t evicted_live; /* good ones that had to go: the cache is too small */
    uint64_t rescued;      /* used since last looked at, and kept once more */
    uint64_t failure_hits, failure_inserted;
    uint64_t entries;     /* now */
    uint64_t bytes_used;  /* of memory_bytes, now */
    uint64_t bytes_total; /* reserved for everything */
};

struct pc_token_cache;

/* 0, -ENOMEM, or -EINVAL for options out of range. */
int pc_token_cache_create(const struct pc_token_cache_options *options,
                          struct pc_token_cache **ret_cache);
void pc_token_cache_destroy(struct pc_token_cache *cache);

/* Starts loading the index line for a digest, and later (once that has arrived) the entry it
 * names. Callers with several tokens in hand prefetch them all before the first find. */
void pc_token_cache_prefetch(const struct pc_token_cache *cache,
                             const struct pc_token_digest *digest);
void pc_token_cache_prefetch_entry(const struct pc_token_cache *cache,
                                   const struct pc_token_digest *digest);

/* The entry verified under this trust generation, or NULL. Valid until the next insert into this
 * cache. */
struct pc_cached_token *pc_token_cache_find(struct pc_token_cache *cache,
                                            const struct pc_token_digest *digest,
                                            uint64_t trust_generation);

/* Keeps a copy of token, in place of any entry with this digest. now_ms serves only to evict
 * expired entries first. Returns the copy, or NULL if the blob is above its limit. */
struct pc_cached_token *pc_token_cache_insert(struct pc_token_cache *cache,
                                              const struct pc_token_digest *digest,
                                              const struct pc_cached_token *token, int64_t now_ms);

/* Fills in the fingerprints under issuer "*", once somebody needs them. */
void pc_cached_token_set_any(struct pc_cached_token *token, const uint64_t fp_any[PC_SCOPE_COUNT]);

/* Refused under this trust generation, and at now_ms still to be refused without looking again:
 * true and the code it was refused with. */
bool pc_token_cache_find_failure(struct pc_token_cache *cache, const struct pc_token_digest *digest,
                                 uint64_t trust_generation, int64_t now_ms, uint32_t *ret_code);

/* Only for what time cannot mend before until_ms: a bad signature, not a token that is not yet
 * valid. */
void pc_token_cache_insert_failure(struct pc_token_cache *cache,
                                   const struct pc_token_digest *digest, uint64_t trust_generation,
                                   uint32_t code, int64_t until_ms, int64_t now_ms);

struct pc_token_cache_stats pc_token_cache_get_stats(const struct pc_token_cache *cache);

#ifdef __cplusplus
}
#endif
#endif
