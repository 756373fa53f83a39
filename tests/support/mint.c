/* SPDX-License-Identifier: Apache-2.0
 * The signing side of JOSE, for tests only: the server never holds a private key. Uses BoringSSL
 * directly and shares nothing with src/edge/jose but base64url, so that a mistake there shows. */
#include "support/mint.h"

#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/nid.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "base/base64url.h"

struct mint_key {
    enum pc_key_type type;
    char kid[PC_KID_MAX + 1];
    uint8_t ed_public[32], ed_private[64];
    EC_KEY *ec;
    RSA *rsa;
    uint8_t secret[PC_SECRET_BYTES_MAX];
    size_t secret_n;
};

static struct mint_key *new_key(enum pc_key_type type, const char *kid)
{
    struct mint_key *k = calloc(1, sizeof *k);
    PC_ASSERT(k && strlen(kid) <= PC_KID_MAX);
    k->type = type;
    memcpy(k->kid, kid, strlen(kid));
    return k;
}

struct mint_key *mint_key_from_seed(const uint8_t seed[32], const char *kid)
{
    struct mint_key *k = new_key(PC_KEY_ED25519, kid);
    ED25519_keypair_from_seed(k->ed_public, k->ed_private, seed);
    return k;
}

struct mint_key *mint_rsa_new(unsigned bits, const char *kid)
{
    struct mint_key *k = new_key(PC_KEY_RSA, kid);
    BIGNUM *e = BN_new();
    k->rsa = RSA_new();
    PC_ASSERT(e && k->rsa && BN_set_word(e, RSA_F4));
    PC_ASSERT(RSA_generate_key_ex(k->rsa, (int)bits, e, NULL));
    BN_free(e);
    return k;
}

struct mint_key *mint_secret_new(struct pc_bytes secret, const char *kid)
{
    struct mint_key *k = new_key(PC_KEY_SECRET, kid);
    PC_ASSERT(secret.n <= sizeof k->secret);
    memcpy(k->secret, secret.p, secret.n);
    k->secret_n = secret.n;
    return k;
}

static struct mint_key *new_point(enum pc_key_type type, int nid, const char *kid)
{
    struct mint_key *k = new_key(type, kid);
    k->ec = EC_KEY_new_by_curve_name(nid);
    PC_ASSERT(k->ec && EC_KEY_generate_key(k->ec));
    return k;
}

struct mint_key *mint_key_new(enum pc_alg alg, const char *kid)
{
    uint8_t random[64];
    RAND_bytes(random, sizeof random);
    switch (alg) {
    case PC_ALG_EDDSA: return mint_key_from_seed(random, kid);
    case PC_ALG_ES256: return new_point(PC_KEY_P256, NID_X9_62_prime256v1, kid);
    case PC_ALG_ES384: return new_point(PC_KEY_P384, NID_secp384r1, kid);
    case PC_ALG_HS256:
    case PC_ALG_HS384:
    case PC_ALG_HS512: return mint_secret_new(pc_bytes_of(random, sizeof random), kid);
    default: return mint_rsa_new(2048, kid);
    }
}

void mint_key_free(struct mint_key *key)
{
    if (!key)
        return;
    EC_KEY_free(key->ec);
    RSA_free(key->rsa);
    free(key);
}

/* --- publishing -------------------------------------------------------------------------- */

static void put_number(struct pc_buf *b, const char *name, const void *p, size_t n)
{
    pc_buf_fmt(b, ",\"%s\":\"", name);
    pc_base64url_encode(pc_bytes_of(p, n), b);
    pc_buf_char(b, '"');
}

static void put_bignum(struct pc_buf *b, const char *name, const BIGNUM *v)
{
    uint8_t raw[PC_RSA_BITS_MAX / 8];
    put_number(b, name, raw, BN_bn2bin(v, raw));
}

static void put_point(struct pc_buf *b, const struct mint_key *key)
{
    uint8_t point[1 + 2 * 48];
    size_t n = EC_POINT_point2oct(EC_KEY_get0_group(key->ec), EC_KEY_get0_public_key(key->ec),
                                  POINT_CONVERSION_UNCOMPRESSED, point, sizeof point, NULL);
    pc_buf_fmt(b, "\"kty\":\"EC\",\"crv\":\"%s\"", key->type == PC_KEY_P256 ? "P-256" : "P-384");
    put_number(b, "x", point + 1, n / 2);
    put_number(b, "y", point + 1 + n / 2, n / 2);
}

void mint_jwk(struct pc_buf *b, const struct mint_key *key, const char *more)
{
    pc_buf_char(b, '{');
    switch (key->type) {
    case PC_KEY_ED25519:
        pc_buf_lit(b, "\"kty\":\"OKP\",\"crv\":\"Ed25519\"");
        put_number(b, "x", key->ed_public, 32);
        break;
    case PC_KEY_P256:
    case PC_KEY_P384: put_point(b, key); break;
    case PC_KEY_RSA:
        pc_buf_lit(b, "\"kty\":\"RSA\"");
        put_bignum(b, "n", RSA_get0_n(key->rsa));
        put_bignum(b, "e", RSA_get0_e(key->rsa));
        break;
    case PC_KEY_SECRET:
        pc_buf_lit(b, "\"kty\":\"oct\"");
        put_number(b, "k", key->secret, key->secret_n);
        break;
    }
    if (key->kid[0]) {
        pc_buf_lit(b, ",\"kid\":");
        pc_buf_json_str(b, pc_bytes_str(key->kid));
    }
    pc_buf_str(b, more ? more : "");
    pc_buf_char(b, '}');
}

void mint_jwks(struct pc_buf *b, const struct mint_key *const *keys, size_t n)
{
    pc_buf_lit(b, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        pc_buf_str(b, i ? "," : "");
        mint_jwk(b, keys[i], NULL);
    }
    pc_buf_lit(b, "]}");
}

/* --- signing ----------------------------------------------------------------------------- */

static const EVP_MD *digest_of(enum pc_alg alg)
{
    switch (alg) {
    case PC_ALG_ES256:
    case PC_ALG_RS256:
    case PC_ALG_PS256:
    case PC_ALG_HS256: return EVP_sha256();
    case PC_ALG_ES384:
    case PC_ALG_RS384:
    case PC_ALG_PS384:
    case PC_ALG_HS384: return EVP_sha384();
    default: return EVP_sha512();
    }
}

static size_t sign_point(const struct mint_key *key, const uint8_t *digest, size_t n, uint8_t *sig)
{
    const BIGNUM *r, *s;
    size_t half = key->type == PC_KEY_P256 ? 32 : 48;
    ECDSA_SIG *rs = ECDSA_do_sign(digest, n, key->ec);
    PC_ASSERT(rs);
    ECDSA_SIG_get0(rs, &r, &s);
    PC_ASSERT(BN_bn2bin_padded(sig, half, r) && BN_bn2bin_padded(sig + half, half, s));
    ECDSA_SIG_free(rs);
    return 2 * half;
}

static size_t sign_pss(const struct mint_key *key, enum pc_alg alg, int salt_bytes,
                       const uint8_t *digest, size_t n, uint8_t *sig, size_t cap)
{
    const EVP_MD *md = digest_of(alg);
    size_t sig_n = 0;
    PC_ASSERT(RSA_sign_pss_mgf1(key->rsa, &sig_n, sig, cap, digest, n, md, md, salt_bytes));
    return sig_n;
}

static size_t sign_rsa(const struct mint_key *key, enum pc_alg alg, const uint8_t *digest, size_t n,
                       uint8_t *sig, size_t cap)
{
    unsigned sig_n = 0;
    PC_ASSERT(cap >= RSA_size(key->rsa));
    if (alg == PC_ALG_PS256 || alg == PC_ALG_PS384 || alg == PC_ALG_PS512)
        return sign_pss(key, alg, (int)n, digest, n, sig, cap);
    PC_ASSERT(RSA_sign(EVP_MD_type(digest_of(alg)), digest, n, sig, &sig_n, key->rsa));
    return sig_n;
}

size_t mint_pss_signature(const struct mint_key *key, enum pc_alg alg, int salt_bytes,
                          struct pc_bytes data, uint8_t *ret_sig, size_t cap)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    PC_ASSERT(EVP_Digest(data.p, data.n, digest, &n, digest_of(alg), NULL));
    return sign_pss(key, alg, salt_bytes, digest, n, ret_sig, cap);
}

size_t mint_signature(const struct mint_key *key, enum pc_alg alg, struct pc_bytes data,
                      uint8_t *ret_sig, size_t cap)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    PC_ASSERT(cap >= EVP_MAX_MD_SIZE + 32);
    PC_ASSERT(EVP_Digest(data.p, data.n, digest, &n, digest_of(alg), NULL));
    switch (key->type) {
    case PC_KEY_ED25519:
        PC_ASSERT(ED25519_sign(ret_sig, data.p, data.n, key->ed_private));
        return 64;
    case PC_KEY_P256:
    case PC_KEY_P384: return sign_point(key, digest, n, ret_sig);
    case PC_KEY_RSA: return sign_rsa(key, alg, digest, n, ret_sig, cap);
    default:
        PC_ASSERT(HMAC(digest_of(alg), key->secret, key->secret_n, data.p, data.n, ret_sig, &n));
        return n;
    }
}

void mint_sign(struct pc_buf *b, const struct mint_key *key, enum pc_alg alg, const char *header,
               const char *payload)
{
    uint8_t sig[PC_RSA_BITS_MAX / 8];
    size_t start = b->len;
    pc_base64url_encode(pc_bytes_str(header), b);
    pc_buf_char(b, '.');
    pc_base64url_encode(pc_bytes_str(payload), b);
    struct pc_bytes data = pc_bytes_of(b->p + start, b->len - start);
    size_t n = mint_signature(key, alg, data, sig, sizeof sig);
    pc_buf_char(b, '.');
    pc_base64url_encode(pc_bytes_of(sig, n), b);
    PC_ASSERT(!b->overflow);
}

void mint_token(struct pc_buf *b, const struct mint_key *key, enum pc_alg alg, const char *payload)
{
    uint8_t header[2 * PC_KID_MAX + 64];
    struct pc_buf h = pc_buf_of(header, sizeof header);
    pc_buf_fmt(&h, "{\"alg\":\"%s\",\"typ\":\"JWT\"", pc_alg_name(alg));
    if (key->kid[0]) {
        pc_buf_lit(&h, ",\"kid\":");
        pc_buf_json_str(&h, pc_bytes_str(key->kid));
    }
    pc_buf_put(&h, "}", 2);
    PC_ASSERT(!h.overflow);
    mint_sign(b, key, alg, (const char *)header, payload);
}

void mint_claims(struct pc_buf *b, const char *iss, const char *sub, const char *jti, int64_t iat_s,
                 const char *more)
{
    pc_buf_lit(b, "{\"iss\":");
    pc_buf_json_str(b, pc_bytes_str(iss));
    pc_buf_lit(b, ",\"sub\":");
    pc_buf_json_str(b, pc_bytes_str(sub));
    pc_buf_lit(b, ",\"jti\":");
    pc_buf_json_str(b, pc_bytes_str(jti));
    pc_buf_fmt(b, ",\"iat\":%lld,\"exp\":%lld", (long long)iat_s, (long long)iat_s + 900);
    pc_buf_str(b, more ? more : "");
    pc_buf_put(b, "}", 2); /* NUL-terminated for mint_token(), but not counted */
    PC_ASSERT(!b->overflow);
    b->len--;
}

EVP_PKEY *mint_evp(const struct mint_key *key)
{
    EVP_PKEY *evp = NULL;
    if (key->type == PC_KEY_SECRET)
        return NULL;
    if (key->type == PC_KEY_ED25519)
        evp = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->ed_public, 32);
    else
        evp = EVP_PKEY_new();
    PC_ASSERT(evp);
    PC_ASSERT(!key->ec || EVP_PKEY_set1_EC_KEY(evp, key->ec));
    PC_ASSERT(!key->rsa || EVP_PKEY_set1_RSA(evp, key->rsa));
    return evp;
}

struct pc_bytes mint_secret(const struct mint_key *key)
{
    return pc_bytes_of(key->secret, key->secret_n);
}

/* --- trusting what was minted ------------------------------------------------------------ */

struct pc_jwks *mint_read_jwks(const struct mint_key *const *keys, size_t n)
{
    static uint8_t text[PC_JWKS_BYTES_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_jwks *set = NULL;
    mint_jwks(&b, keys, n);
    PC_ASSERT(!b.overflow);
    int rc = pc_jwks_parse(pc_bytes_of(text, b.len), true, NULL, NULL, &set, NULL);
    PC_ASSERT(rc == 0);
    return set;
}

struct pc_trust *mint_trust(const struct pc_issuer_settings *settings,
                            const struct mint_key *const *keys, size_t n)
{
    struct pc_jwks *set = mint_read_jwks(keys, n);
    struct pc_trust_source source = {settings, set};
    struct pc_trust *t = NULL;
    int rc = pc_trust_build(&source, 1, &t, NULL);
    PC_ASSERT(rc == 0);
    pc_trust_seal(t, NULL);
    pc_jwks_free(set);
    return t;
}
