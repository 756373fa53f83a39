/* SPDX-License-Identifier: Apache-2.0
 * Verifying JSON Web Tokens (RFC 7515, 7519, 8725; JWS compact serialization only).
 *
 * Three steps, so that a caller can charge a budget before the expensive one:
 *   pc_jwt_peek()         parses, finds issuer and key, says what the signature will cost;
 *   pc_jwt_verify_peeked() checks the signature and everything about the claims that does not
 *                          depend on the time: its result may be cached under the generation of the
 *                          snapshot (trust.h, I2);
 *   pc_times_check()       checks exp, nbf and iat against now: on every use, cached or not.
 * Nothing a token says is believed before its signature was verified, except for choosing the key
 * among those of the issuer it names. Pure apart from BoringSSL's own small allocations. */
#ifndef PC_EDGE_JOSE_JWT_H
#define PC_EDGE_JOSE_JWT_H

#include "base/json.h"
#include "edge/jose/trust.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_TOKEN_BYTES_MAX 8192
/* Last second of the year 9999: a larger NumericDate is milliseconds by mistake. */
#define PC_NUMERIC_DATE_MAX_S INT64_C(253402300799)

/* X(code, HTTP status, RFC 6750 error, text). No error for TOKEN_MISSING (RFC 6750, 3.1). */
#define PC_TOKEN_ERRORS(X)                                                                         \
    X(TOKEN_MISSING, 401, "", "no token was presented")                                            \
    X(TOKEN_MALFORMED, 401, "invalid_token", "the token is not a well-formed JWT")                 \
    X(TOKEN_TOO_LARGE, 401, "invalid_token", "the token is larger than its limit")                 \
    X(TOKEN_ALGORITHM, 401, "invalid_token", "the token's algorithm is not allowed")               \
    X(TOKEN_CRITICAL, 401, "invalid_token", "the token has a critical header nobody understands")  \
    X(TOKEN_TYPE, 401, "invalid_token", "the token is of a type that is not accepted")             \
    X(TOKEN_ISSUER_UNKNOWN, 401, "invalid_token", "the token's issuer is not trusted")             \
    X(TOKEN_KEY_UNKNOWN, 401, "invalid_token", "the token's signing key is not known")             \
    X(TOKEN_KEY_REVOKED, 401, "invalid_token", "the token's signing key was revoked")              \
    X(TOKEN_SIGNATURE_INVALID, 401, "invalid_token", "the token's signature is not valid")         \
    X(TOKEN_CLAIM_MISSING, 401, "invalid_token", "the token lacks a required claim")               \
    X(TOKEN_LIFETIME, 401, "invalid_token", "the token lives longer than its issuer may allow")    \
    X(TOKEN_AUDIENCE, 401, "invalid_token", "the token is meant for another audience")             \
    X(TOKEN_EXPIRED, 401, "invalid_token", "the token has expired")                                \
    X(TOKEN_NOT_YET_VALID, 401, "invalid_token", "the token is not valid yet")                     \
    X(TOKEN_ISSUED_IN_FUTURE, 401, "invalid_token", "the token was issued in the future")          \
    X(TOKEN_REVOKED, 401, "invalid_token", "the token was revoked")                                \
    X(SESSION_REVOKED, 401, "invalid_token", "the token's session was revoked")                    \
    X(FAMILY_REVOKED, 401, "invalid_token", "the token's family was revoked")                      \
    X(SUBJECT_REVOKED, 401, "invalid_token", "the subject's tokens were revoked")                  \
    X(CLIENT_REVOKED, 401, "invalid_token", "the client's tokens were revoked")                    \
    X(ISSUER_REVOKED, 401, "invalid_token", "the issuer's tokens were revoked")                    \
    X(ALL_REVOKED, 401, "invalid_token", "all tokens issued until now were revoked")

enum pc_token_error {
    PC_TOKEN_OK = 0,
#define PC_TOKEN_ERROR_ENUM(code, status, rfc6750, text) PC_##code,
    PC_TOKEN_ERRORS(PC_TOKEN_ERROR_ENUM)
#undef PC_TOKEN_ERROR_ENUM
        PC_TOKEN_ERROR_COUNT
};

struct pc_token_error_info {
    const char *code;    /* "TOKEN_EXPIRED" */
    const char *text;    /* for people */
    const char *rfc6750; /* "invalid_token"; "": the challenge carries no error */
    unsigned status;     /* of HTTP */
};
#ifndef __cplusplus /* where a function may not be named as a struct is */
/* err is not PC_TOKEN_OK. */
const struct pc_token_error_info *pc_token_error_info(enum pc_token_error err);
#endif

/* Times of a token. What is missing never refuses here, and a missing iat is before every cutoff.
 */
struct pc_token_times {
    int64_t exp_ms; /* INT64_MAX: none */
    int64_t nbf_ms; /* INT64_MIN: none; rounded up */
    int64_t iat_ms; /* INT64_MIN: none; rounded down, a whole second is its beginning */
};

/* What a verified token says. Byte runs lie in the scratch memory (or the snapshot) and contain no
 * control characters, so they may stand in header fields; ids have at most PC_ID_MAX bytes and
 * neither begin nor end with a space. A claim that is absent, null or empty has n = 0. */
struct pc_claims {
    const struct pc_issuer *issuer; /* in the snapshot */
    uint32_t key;                   /* index in pc_trust.keys */
    enum pc_alg alg;
    struct pc_token_times times;
    struct pc_bytes subject, jti, session, family, client;
    /* Lists, separated by single spaces. Scopes contain none themselves (such a token is refused);
     * in roles and audiences a space is written %20 and a percent sign %25. */
    struct pc_bytes scopes, roles, audiences;
};

/* Memory for one verification; one per core is enough. Claims and peeked tokens point into it. */
#define PC_JWT_VALUES_MAX 1024 /* JSON values and names of header or payload */
struct pc_jwt_scratch {
    uint8_t header[PC_TOKEN_BYTES_MAX], payload[PC_TOKEN_BYTES_MAX];
    uint8_t signature[PC_RSA_BITS_MAX / 8];
    uint8_t strings[2 * PC_TOKEN_BYTES_MAX];
    struct pc_json_token tokens[PC_JWT_VALUES_MAX];
};

/* A parsed token that nobody has verified. */
struct pc_jwt {
    const struct pc_trust *trust;
    const struct pc_issuer *issuer;
    struct pc_key_choice keys;
    enum pc_alg alg;
    uint32_t cost_ns; /* of its signature at worst: all keys to be tried */
    struct pc_bytes signed_part, signature;
    struct pc_json payload;
    struct pc_jwt_scratch *scratch;
    size_t strings_used; /* of scratch->strings */
};

/* All three take the snapshot the caller loaded for this decision; results point into it. */
enum pc_token_error pc_jwt_peek(const struct pc_trust *trust, struct pc_bytes token,
                                struct pc_jwt_scratch *scratch, struct pc_jwt *ret_jwt);
enum pc_token_error pc_jwt_verify_peeked(const struct pc_jwt *jwt, struct pc_claims *ret_claims);
/* Both. The times are NOT checked: call pc_times_check() as well. */
enum pc_token_error pc_jwt_verify(const struct pc_trust *trust, struct pc_bytes token,
                                  struct pc_jwt_scratch *scratch, struct pc_claims *ret_claims);

/* PC_TOKEN_OK, or the first of expired, not yet valid, issued in the future. A token lives until
 * exp + skew, exclusively. */
enum pc_token_error pc_times_check(const struct pc_token_times *times, int64_t skew_ms,
                                   int64_t now_ms);

#ifdef __cplusplus
}
#endif
#endif
