/* SPDX-License-Identifier: Apache-2.0
 * Verification keys: JSON Web Keys (RFC 7517, 7518, 8037), their RFC 7638 thumbprints, and
 * signature verification with them.
 *
 * A key, not a token, decides which algorithms may be used with it: `algorithms` of a key is
 * computed from its type (and its "alg", if any) when it is read, and pc_key_verify() refuses
 * everything else. So a public key can never serve as an HMAC secret.
 *
 * Keys and key sets are immutable and counted; all threads may verify with one key. Reading a key
 * set allocates and belongs on the writer; verifying never touches the file system or a clock. */
#ifndef PC_EDGE_JOSE_JWK_H
#define PC_EDGE_JOSE_JWK_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, JOSE name, kind of key, digest bits, cost of a verification in ns as measured by
 * bench_jwt). The cost feeds the signature budget. */
#define PC_ALGORITHMS(X)                                                                           \
    X(EDDSA, "EdDSA", PC_KEY_ED25519, 512, 50000)                                                  \
    X(ES256, "ES256", PC_KEY_P256, 256, 143000)                                                    \
    X(ES384, "ES384", PC_KEY_P384, 384, 460000)                                                    \
    X(RS256, "RS256", PC_KEY_RSA, 256, 15000)                                                      \
    X(RS384, "RS384", PC_KEY_RSA, 384, 15000)                                                      \
    X(RS512, "RS512", PC_KEY_RSA, 512, 15000)                                                      \
    X(PS256, "PS256", PC_KEY_RSA, 256, 15000)                                                      \
    X(PS384, "PS384", PC_KEY_RSA, 384, 15000)                                                      \
    X(PS512, "PS512", PC_KEY_RSA, 512, 15000)                                                      \
    X(HS256, "HS256", PC_KEY_SECRET, 256, 500)                                                     \
    X(HS384, "HS384", PC_KEY_SECRET, 384, 1500)                                                    \
    X(HS512, "HS512", PC_KEY_SECRET, 512, 1500)

enum pc_alg {
    PC_ALG_NONE = 0, /* no algorithm we know; never "none", which is not known either */
#define PC_ALG_ENUM(name, text, key, bits, cost) PC_ALG_##name,
    PC_ALGORITHMS(PC_ALG_ENUM)
#undef PC_ALG_ENUM
        PC_ALG_COUNT
};

enum pc_key_type { PC_KEY_ED25519, PC_KEY_P256, PC_KEY_P384, PC_KEY_RSA, PC_KEY_SECRET };

/* Sets of algorithms are bits. */
#define PC_ALG_BIT(alg) (1u << (alg))
#define PC_ALGS_HMAC                                                                               \
    (PC_ALG_BIT(PC_ALG_HS256) | PC_ALG_BIT(PC_ALG_HS384) | PC_ALG_BIT(PC_ALG_HS512))
#define PC_ALGS_ASYMMETRIC ((PC_ALG_BIT(PC_ALG_COUNT) - 2) & ~PC_ALGS_HMAC)

/* By JOSE name, exactly; PC_ALG_NONE if unknown. "Ed25519" (RFC 9864) is EdDSA, because no other
 * curve of it is supported. */
enum pc_alg pc_alg_of_name(struct pc_bytes name);
const char *pc_alg_name(enum pc_alg alg);
/* Estimated nanoseconds of one verification; RSA with 2048 bits. */
uint32_t pc_alg_cost_ns(enum pc_alg alg);

#define PC_KID_MAX          256
#define PC_THUMBPRINT_CHARS 43 /* SHA-256 in base64url */
#define PC_JWKS_BYTES_MAX   (256u << 10)
#define PC_JWKS_KEYS_MAX    64 /* usable keys of one set */
#define PC_RSA_BITS_MIN     2048
#define PC_RSA_BITS_MAX     8192
#define PC_SECRET_BYTES_MIN 32 /* for HS256; HS384 takes 48, HS512 64 (RFC 7518, 3.2) */
#define PC_SECRET_BYTES_MAX 1024

struct pc_key {
    enum pc_key_type type;
    uint32_t algorithms;                      /* bits: what it may verify */
    uint32_t modulus_bits;                    /* of an RSA key; otherwise 0 */
    struct pc_bytes kid;                      /* n = 0: has none */
    char thumbprint[PC_THUMBPRINT_CHARS + 1]; /* RFC 7638, NUL-terminated */
};

struct pc_jwks {
    uint32_t count;
    const struct pc_key *keys[PC_JWKS_KEYS_MAX];
};

/* Called once for each entry of a key set that was skipped, and for other oddities. */
typedef void pc_warn_fn(void *arg, const char *text);

/* Reads {"keys":[…]} or one key object. Skipped with a warning: keys of an unknown kty or crv, for
 * encryption, and repeated ones. Everything else that is wrong refuses the whole set with the
 * line and what is wrong (PC_E_*): bad JSON; members that contradict one another; a private key; a
 * weak key; an "oct" secret unless allow_secrets; two keys of one kid that could verify the same
 * algorithm. An empty set is valid. `warn` may be NULL. */
int pc_jwks_parse(struct pc_bytes text, bool allow_secrets, pc_warn_fn *warn, void *warn_arg,
                  struct pc_jwks **ret_jwks, struct pc_why *why);
void pc_jwks_free(struct pc_jwks *jwks);

/* Estimated nanoseconds of one verification with this key: RSA grows with the square of the
 * modulus. */
uint32_t pc_key_cost_ns(const struct pc_key *key, enum pc_alg alg);

/* Shared ownership. */
const struct pc_key *pc_key_ref(const struct pc_key *key);
void pc_key_unref(const struct pc_key *key);

/* Whether sig is the key's signature of data; false also if alg is none of key->algorithms.
 * ECDSA signatures are r || s of exactly the curve's size; (r, n - s) is valid too, so the bytes of
 * a token must never identify it. HMACs are compared in constant time. */
bool pc_key_verify(const struct pc_key *key, enum pc_alg alg, struct pc_bytes data,
                   struct pc_bytes sig);

/* Whether the bytes of a secret contain the numbers of another public key, or are part of them. (A
 * secret that is a file of a public key, such as PEM or DER, is refused when it is read.) */
bool pc_key_secret_is_public_key(const struct pc_key *secret, const struct pc_key *other);

#ifdef __cplusplus
}
#endif
#endif
