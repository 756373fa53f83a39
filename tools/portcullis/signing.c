/* SPDX-License-Identifier: Apache-2.0
 * Reading and making private keys, and JWS signatures (RFC 7515, 7518, 8037), with OpenSSL. */
#include "signing.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/sha256.h"

#define ED25519_BYTES 32
#define B64_KEY_CHARS 44 /* 32 bytes in base64url, terminated */
#define KEY_FILE_MAX  (64 * 1024)

/* What an algorithm needs: the type of key, a digest, and for ECDSA the size of a coordinate. */
struct algorithm {
    const char *name;
    int type; /* EVP_PKEY_… */
    int bits; /* of the curve; 0: any */
    const char *digest;
    bool pss;
};
static const struct algorithm algorithms[] = {
    {"EdDSA", EVP_PKEY_ED25519, 0,   NULL,     false},
    {"ES256", EVP_PKEY_EC,      256, "SHA256", false},
    {"ES384", EVP_PKEY_EC,      384, "SHA384", false},
    {"RS256", EVP_PKEY_RSA,     0,   "SHA256", false},
    {"RS384", EVP_PKEY_RSA,     0,   "SHA384", false},
    {"RS512", EVP_PKEY_RSA,     0,   "SHA512", false},
    {"PS256", EVP_PKEY_RSA,     0,   "SHA256", true },
    {"PS384", EVP_PKEY_RSA,     0,   "SHA384", true },
    {"PS512", EVP_PKEY_RSA,     0,   "SHA512", true },
};

static const struct algorithm *find_algorithm(EVP_PKEY *key, const char *name)
{
    for (size_t i = 0; i < PC_COUNT(algorithms); i++) {
        const struct algorithm *a = &algorithms[i];
        bool fits = EVP_PKEY_get_base_id(key) == a->type &&
                    (a->bits == 0 || EVP_PKEY_get_bits(key) == a->bits);
        if (fits && (!name || strcmp(a->name, name) == 0))
            return a;
    }
    return NULL;
}

/* ---- JWK ---- */

static void encode(const void *p, size_t n, char *dst, size_t size)
{
    struct pc_buf b = pc_buf_of(dst, size - 1);
    pc_base64url_encode(pc_bytes_of(p, n), &b);
    PC_ASSERT(!b.overflow);
    dst[b.len] = 0;
}

/* RFC 7638 for an Ed25519 key: SHA-256 of its required members in order, without blanks. */
static void thumbprint(const char *x, char ret_kid[THUMBPRINT_MAX])
{
    char text[128];
    uint8_t digest[PC_SHA256_BYTES];
    int n = snprintf(text, sizeof text, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    PC_ASSERT(n > 0 && (size_t)n < sizeof text);
    pc_sha256(text, (size_t)n, digest);
    encode(digest, sizeof digest, ret_kid, THUMBPRINT_MAX);
}

static bool public_of(EVP_PKEY *key, char ret_x[B64_KEY_CHARS])
{
    uint8_t raw[ED25519_BYTES];
    size_t n = sizeof raw;
    if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1 || n != sizeof raw)
        return false;
    encode(raw, n, ret_x, B64_KEY_CHARS);
    return true;
}

static EVP_PKEY *key_of_jwk(const json_t *doc, char ret_kid[THUMBPRINT_MAX])
{
    uint8_t d[ED25519_BYTES];
    char x[B64_KEY_CHARS];
    size_t n = 0;
    const char *kty = json_string_value(json_object_get(doc, "kty"));
    const char *crv = json_string_value(json_object_get(doc, "crv"));
    const char *text = json_string_value(json_object_get(doc, "d"));
    const char *kid = json_string_value(json_object_get(doc, "kid"));
    if (!kty || !crv || !text || strcmp(kty, "OKP") != 0 || strcmp(crv, "Ed25519") != 0 ||
        pc_base64url_decode(pc_bytes_str(text), d, sizeof d, &n) || n != sizeof d)
        return NULL;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d, sizeof d);
    pc_wipe(d, sizeof d);
    if (key && kid && strlen(kid) < THUMBPRINT_MAX)
        memcpy(ret_kid, kid, strlen(kid) + 1);
    else if (key && public_of(key, x))
        thumbprint(x, ret_kid);
    return key;
}

/* ---- Loading. ---- */

static EVP_PKEY *key_of_text(const char *text, size_t n, char ret_kid[THUMBPRINT_MAX])
{
    EVP_PKEY *key = NULL;
    json_t *doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    ret_kid[0] = 0;
    if (doc) {
        key = key_of_jwk(doc, ret_kid);
        json_decref(doc);
        return key;
    }
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    if (bio)
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

int signing_key_load(const char *path, const char *alg, struct signing_key *ret_key)
{
    struct signing_key k = {.key = NULL};
    size_t n;
    char *text = cli_read_file(path, KEY_FILE_MAX, &n);
    if (!text)
        return CLI_NO;
    k.key = key_of_text(text, n, k.kid);
    pc_wipe(text, n);
    free(text);
    if (!k.key)
        return cli_fail(CLI_NO, "%s: no private key as JWK (Ed25519) or PEM without a password",
                        path);
    const struct algorithm *a = find_algorithm(k.key, alg);
    if (!a) {
        signing_key_free(&k);
        return cli_fail(CLI_NO, "%s: this key cannot sign with %s", path,
                        alg ? alg : "any algorithm known here");
    }
    k.alg = a->name;
    *ret_key = k;
    return CLI_OK;
}

void signing_key_free(struct signing_key *k)
{
    EVP_PKEY_free(k->key);
    k->key = NULL;
}

/* ---- Signing. ---- */

/* ECDSA in JWS is r and s side by side, not the DER that OpenSSL makes. */
static bool ecdsa_raw(const uint8_t *der, size_t n, size_t coordinate, uint8_t *ret_raw)
{
    const uint8_t *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_raw, (int)coordinate) >= 0 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_raw + coordinate, (int)coordinate) >= 0;
    ECDSA_SIG_free(sig);
    return ok;
}

static bool sign_raw(const struct signing_key *k, const struct algorithm *a, struct pc_bytes text,
                     uint8_t *signature, size_t *n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey = NULL;
    bool ok = ctx && EVP_DigestSignInit_ex(ctx, &pkey, a->digest, NULL, NULL, k->key, NULL) == 1;
    if (ok && a->pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestSign(ctx, signature, n, text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

int signing_sign(const struct signing_key *k, struct pc_bytes text, char *ret_signature,
                 size_t size)
{
    uint8_t signature[SIGNATURE_MAX], raw[SIGNATURE_MAX];
    size_t n = sizeof signature;
    const struct algorithm *a = find_algorithm(k->key, k->alg);
    PC_ASSERT(a);
    bool ok = sign_raw(k, a, text, signature, &n);
    if (ok && a->type == EVP_PKEY_EC) {
        size_t coordinate = (size_t)a->bits / 8;
        ok = ecdsa_raw(signature, n, coordinate, raw);
        memcpy(signature, raw, n = 2 * coordinate);
    }
    if (!ok)
        return cli_fail(CLI_NO, "signing failed: %s", ERR_error_string(ERR_get_error(), NULL));
    encode(signature, n, ret_signature, size);
    return CLI_OK;
}

/* ---- A new key. ---- */

static bool private_of(EVP_PKEY *key, char ret_d[B64_KEY_CHARS])
{
    uint8_t raw[ED25519_BYTES];
    size_t n = sizeof raw;
    bool ok = EVP_PKEY_get_raw_private_key(key, raw, &n) == 1 && n == sizeof raw;
    if (ok)
        encode(raw, n, ret_d, B64_KEY_CHARS);
    pc_wipe(raw, sizeof raw);
    return ok;
}

int signing_generate(char **ret_jwk, char **ret_jwks)
{
    char d[B64_KEY_CHARS], x[B64_KEY_CHARS], kid[THUMBPRINT_MAX];
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bool ok = key && private_of(key, d) && public_of(key, x);
    EVP_PKEY_free(key);
    if (!ok)
        return cli_fail(CLI_NO, "making a key failed");
    thumbprint(x, kid);
    json_t *jwk = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "kid", kid,
                            "x", x, "d", d);
    json_t *jwks = json_pack("{s:[{s:s, s:s, s:s, s:s, s:s, s:s}]}", "keys", "kty", "OKP", "crv",
                             "Ed25519", "alg", "EdDSA", "use", "sig", "kid", kid, "x", x);
    *ret_jwk = jwk ? json_dumps(jwk, JSON_INDENT(2)) : NULL;
    *ret_jwks = jwks ? json_dumps(jwks, JSON_INDENT(2)) : NULL;
    pc_wipe(d, sizeof d);
    json_decref(jwk);
    json_decref(jwks);
    if (*ret_jwk && *ret_jwks)
        return CLI_OK;
    free(*ret_jwk);
    free(*ret_jwks);
    return cli_fail(CLI_NO, "out of memory");
}
