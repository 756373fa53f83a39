/* SPDX-License-Identifier: Apache-2.0
 * Making keys and tokens for tests and benchmarks. Everything that fails aborts: a test that
 * cannot mint has nothing to say. */
#ifndef PC_TESTS_SUPPORT_MINT_H
#define PC_TESTS_SUPPORT_MINT_H

#include "edge/jose/trust.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A private key with a kid ("" for none), good for all algorithms of its type. */
struct mint_key;

/* Generates the key an algorithm needs. RSA keys have 2048 bits and take some 100 ms: share them
 * within a test program. HMAC secrets have 64 bytes. */
struct mint_key *mint_key_new(enum pc_alg alg, const char *kid);
/* Ed25519 from a seed of 32 bytes: the same key in every run. */
struct mint_key *mint_key_from_seed(const uint8_t seed[32], const char *kid);
struct mint_key *mint_rsa_new(unsigned bits, const char *kid);
struct mint_key *mint_secret_new(struct pc_bytes secret, const char *kid);
void mint_key_free(struct mint_key *key);

/* {"kty":…}: the public part (an HMAC secret as it is). `more` is put in verbatim, such as
 * ",\"use\":\"sig\"", and may be NULL. */
void mint_jwk(struct pc_buf *b, const struct mint_key *key, const char *more);
/* {"keys":[…]} */
void mint_jwks(struct pc_buf *b, const struct mint_key *const *keys, size_t n);

/* A compact JWS of exactly these header and payload texts. */
void mint_sign(struct pc_buf *b, const struct mint_key *key, enum pc_alg alg, const char *header,
               const char *payload);
/* The same with the usual header {"alg":…,"typ":"JWT","kid":…} (no kid if the key has none). */
void mint_token(struct pc_buf *b, const struct mint_key *key, enum pc_alg alg, const char *payload);
/* The usual claims, NUL-terminated: {"iss":…,"sub":…,"jti":…,"iat":…,"exp":iat+900 … more}. */
void mint_claims(struct pc_buf *b, const char *iss, const char *sub, const char *jti, int64_t iat_s,
                 const char *more);

/* The raw signature: for baselines and for tests that tamper. Returns its length. */
size_t mint_signature(const struct mint_key *key, enum pc_alg alg, struct pc_bytes data,
                      uint8_t *ret_sig, size_t cap);

/* RSASSA-PSS with a salt of another length than the digest's. */
size_t mint_pss_signature(const struct mint_key *key, enum pc_alg alg, int salt_bytes,
                          struct pc_bytes data, uint8_t *ret_sig, size_t cap);

/* The key as an EVP_PKEY to be freed with EVP_PKEY_free(); NULL for a secret. For baselines. */
struct evp_pkey_st *mint_evp(const struct mint_key *key);
/* The bytes of a secret. */
struct pc_bytes mint_secret(const struct mint_key *key);

/* The key set that mint_jwks() would publish, read back. */
struct pc_jwks *mint_read_jwks(const struct mint_key *const *keys, size_t n);
/* A sealed snapshot of one issuer with these keys; pc_trust_free() it. */
struct pc_trust *mint_trust(const struct pc_issuer_settings *settings,
                            const struct mint_key *const *keys, size_t n);

#ifdef __cplusplus
}
#endif
#endif
