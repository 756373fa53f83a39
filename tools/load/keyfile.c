/* SPDX-License-Identifier: Apache-2.0
 * Reading and making private keys, and JWS signatures (RFC 7515, 7518, 8037), with BoringSSL.
 * Whatever allocates inside BoringSSL is reported as out of memory or as a bad key; private bytes
 * on the stack are wiped. Nothing here is fast but signing. */
#include "load/keyfile.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64url.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/sha256.h"

#define KEY_FILE_MAX  (64 * 1024)
#define ED25519_BYTES 32
#define MEMBERS_MAX   2048 /* the public members of a JWK: RSA-8192 has 1366 characters of n */

/* What an algorithm needs: the type of key, the curve, a digest. */
struct algorithm {
    const char *name;
    int type, curve; /* EVP_PKEY_…, NID_… or 0 */
    const EVP_MD *(*digest)(void);
    bool pss;
};
static const struct algorithm algorithms[] = {
    {"EdDSA", EVP_PKEY_ED25519, 0,                    NULL,       false},
    {"ES256", EVP_PKEY_EC,      NID_X9_62_prime256v1, EVP_sha256, false},
    {"ES384", EVP_PKEY_EC,      NID_secp384r1,        EVP_sha384, false},
    {"RS256", EVP_PKEY_RSA,     0,                    EVP_sha256, false},
    {"RS384", EVP_PKEY_RSA,     0,                    EVP_sha384, false},
    {"RS512", EVP_PKEY_RSA,     0,                    EVP_sha512, false},
    {"PS256", EVP_PKEY_RSA,     0,                    EVP_sha256, true },
    {"PS384", EVP_PKEY_RSA,     0,                    EVP_sha384, true },
    {"PS512", EVP_PKEY_RSA,     0,                    EVP_sha512, true },
};

struct ld_key {
    EVP_PKEY *pkey;
    const struct algorithm *alg;
    char kid[LD_KID_MAX + 1];
};

static int curve_of(const EVP_PKEY *pkey)
{
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(pkey);
    return ec ? EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) : 0;
}

static const struct algorithm *find_algorithm(const EVP_PKEY *pkey, const char *name)
{
    for (size_t i = 0; i < PC_COUNT(algorithms); i++) {
        const struct algorithm *a = &algorithms[i];
        bool fits = EVP_PKEY_id(pkey) == a->type && (!a->curve || curve_of(pkey) == a->curve);
        if (fits && (!name || strcmp(a->name, name) == 0))
            return a;
    }
    return NULL;
}

/* ---- The public half. ---- */

static void put_number(struct pc_buf *b, const char *name, const BIGNUM *v, size_t n)
{
    uint8_t raw[LD_SIGNATURE_MAX];
    if (n == 0)
        n = BN_num_bytes(v);
    if (n > sizeof raw || !BN_bn2bin_padded(raw, n, v)) {
        b->overflow = true;
        return;
    }
    pc_buf_fmt(b, "\"%s\":\"", name);
    pc_base64url_encode(pc_bytes_of(raw, n), b);
    pc_buf_char(b, '"');
}

static void put_ed25519(struct pc_buf *b, const EVP_PKEY *pkey)
{
    uint8_t raw[ED25519_BYTES];
    size_t n = sizeof raw;
    if (!EVP_PKEY_get_raw_public_key(pkey, raw, &n) || n != sizeof raw) {
        b->overflow = true;
        return;
    }
    pc_buf_lit(b, "\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    pc_base64url_encode(pc_bytes_of(raw, n), b);
    pc_buf_char(b, '"');
}

static void put_point(struct pc_buf *b, const struct ld_key *k)
{
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(k->pkey);
    const size_t coordinate = k->alg->curve == NID_X9_62_prime256v1 ? 32 : 48;
    BIGNUM *x = BN_new(), *y = BN_new();
    if (x && y &&
        EC_POINT_get_affine_coordinates_GFp(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec), x, y,
                                            NULL)) {
        pc_buf_fmt(b, "\"crv\":\"%s\",\"kty\":\"EC\",", coordinate == 32 ? "P-256" : "P-384");
        put_number(b, "x", x, coordinate);
        pc_buf_char(b, ',');
        put_number(b, "y", y, coordinate);
    } else {
        b->overflow = true;
    }
    BN_free(x);
    BN_free(y);
}

/* The required members in the order of RFC 7638, so that a hash of them is the thumbprint. */
static void put_members(struct pc_buf *b, const struct ld_key *k)
{
    if (k->alg->type == EVP_PKEY_ED25519) {
        put_ed25519(b, k->pkey);
    } else if (k->alg->type == EVP_PKEY_EC) {
        put_point(b, k);
    } else {
        const RSA *rsa = EVP_PKEY_get0_RSA(k->pkey);
        put_number(b, "e", RSA_get0_e(rsa), 0);
        pc_buf_lit(b, ",\"kty\":\"RSA\",");
        put_number(b, "n", RSA_get0_n(rsa), 0);
    }
}

static int set_thumbprint(struct ld_key *k)
{
    uint8_t text[MEMBERS_MAX], digest[PC_SHA256_BYTES];
    struct pc_buf b = pc_buf_of(text, sizeof text), kid = pc_buf_of(k->kid, LD_KID_MAX);
    pc_buf_char(&b, '{');
    put_members(&b, k);
    pc_buf_char(&b, '}');
    if (b.overflow)
        return PC_E_UNSUPPORTED;
    pc_sha256(text, b.len, digest);
    pc_base64url_encode(pc_bytes_of(digest, sizeof digest), &kid);
    k->kid[kid.len] = 0;
    return 0;
}

bool ld_key_write_jwks(const struct ld_key *k, struct pc_buf *b)
{
    pc_buf_lit(b, "{\"keys\":[{");
    put_members(b, k);
    pc_buf_fmt(b, ",\"alg\":\"%s\",\"use\":\"sig\",\"kid\":", k->alg->name);
    pc_buf_json_str(b, pc_bytes_str(k->kid));
    pc_buf_lit(b, "}]}\n");
    return !b->overflow;
}

/* ---- Loading. ---- */

static EVP_PKEY *pkey_of_jwk(const json_t *doc, char ret_kid[LD_KID_MAX + 1])
{
    uint8_t d[ED25519_BYTES];
    size_t n = 0;
    const char *kty = json_string_value(json_object_get(doc, "kty"));
    const char *crv = json_string_value(json_object_get(doc, "crv"));
    const char *text = json_string_value(json_object_get(doc, "d"));
    const char *kid = json_string_value(json_object_get(doc, "kid"));
    if (!kty || !crv || !text || strcmp(kty, "OKP") != 0 || strcmp(crv, "Ed25519") != 0 ||
        pc_base64url_decode(pc_bytes_str(text), d, sizeof d, &n) || n != sizeof d)
        return NULL;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d, sizeof d);
    pc_wipe(d, sizeof d);
    if (kid && strlen(kid) <= LD_KID_MAX)
        memcpy(ret_kid, kid, strlen(kid) + 1);
    return pkey;
}

static EVP_PKEY *pkey_of_text(const char *text, size_t n, char ret_kid[LD_KID_MAX + 1])
{
    EVP_PKEY *pkey = NULL;
    json_t *doc = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    if (doc) {
        pkey = pkey_of_jwk(doc, ret_kid);
        json_decref(doc);
        return pkey;
    }
    BIO *bio = BIO_new_mem_buf(text, (ssize_t)n);
    if (bio)
        pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return pkey;
}

static bool read_key_file(const char *path, char *ret_text, size_t *ret_n,
                          struct ld_problem *problem)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return ld_problem_set(problem, "%s: %s", path, pc_strerror(-errno));
    size_t n = fread(ret_text, 1, KEY_FILE_MAX, f);
    bool bad = ferror(f) || n == KEY_FILE_MAX;
    fclose(f);
    if (bad)
        return ld_problem_set(problem, "%s: cannot be read, or is no key file", path);
    *ret_n = n;
    return true;
}

/* Takes pkey over, also when it fails. */
static int make_key(EVP_PKEY *pkey, const char *alg, const char *kid, struct ld_key **ret_key)
{
    const struct algorithm *a = find_algorithm(pkey, alg);
    struct ld_key *k = a ? calloc(1, sizeof *k) : NULL;
    int err = a ? -ENOMEM : PC_E_UNSUPPORTED;
    if (k) {
        k->pkey = pkey;
        k->alg = a;
        memcpy(k->kid, kid, strlen(kid));
        err = *kid ? 0 : set_thumbprint(k);
    }
    if (err) {
        EVP_PKEY_free(pkey);
        free(k);
        return err;
    }
    *ret_key = k;
    return 0;
}

bool ld_key_load(const char *path, const char *alg, struct ld_key **ret_key,
                 struct ld_problem *problem)
{
    static _Thread_local char text[KEY_FILE_MAX];
    char kid[LD_KID_MAX + 1] = "";
    size_t n = 0;
    if (!read_key_file(path, text, &n, problem))
        return false;
    EVP_PKEY *pkey = pkey_of_text(text, n, kid);
    pc_wipe(text, n);
    if (!pkey)
        return ld_problem_set(
            problem, "%s: no private key as JWK (Ed25519, with d) or PEM without a password", path);
    if (make_key(pkey, alg, kid, ret_key))
        return ld_problem_set(problem, "%s: this key cannot sign with %s", path,
                              alg ? alg : "any algorithm known here");
    return true;
}

bool ld_key_generate(struct ld_key **ret_key, struct ld_problem *problem)
{
    uint8_t seed[ED25519_BYTES];
    RAND_bytes(seed, sizeof seed);
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    pc_wipe(seed, sizeof seed);
    if (!pkey || make_key(pkey, NULL, "", ret_key))
        return ld_problem_set(problem, "out of memory for a key");
    return true;
}

bool ld_key_save(const struct ld_key *k, const char *path, struct ld_problem *problem)
{
    uint8_t text[MEMBERS_MAX], d[ED25519_BYTES];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_why why = {""};
    size_t n = sizeof d;
    if (k->alg->type != EVP_PKEY_ED25519 || !EVP_PKEY_get_raw_private_key(k->pkey, d, &n))
        return ld_problem_set(problem, "%s: only Ed25519 keys are written", path);
    pc_buf_char(&b, '{');
    put_members(&b, k);
    pc_buf_lit(&b, ",\"kid\":");
    pc_buf_json_str(&b, pc_bytes_str(k->kid));
    pc_buf_lit(&b, ",\"d\":\"");
    pc_base64url_encode(pc_bytes_of(d, n), &b);
    pc_buf_lit(&b, "\"}\n");
    PC_ASSERT(!b.overflow);
    bool ok = pc_secret_write(path, pc_bytes_of(text, b.len), &why) == 0;
    pc_wipe(d, sizeof d);
    pc_wipe(text, sizeof text);
    return ok ? true : ld_problem_set(problem, "%s", why.text);
}

void ld_key_free(struct ld_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

const char *ld_key_alg(const struct ld_key *k)
{
    return k->alg->name;
}

const char *ld_key_kid(const struct ld_key *k)
{
    return k->kid;
}

/* ---- Signing. ---- */

size_t ld_key_signature_bytes(const struct ld_key *k)
{
    if (k->alg->type == EVP_PKEY_EC)
        return k->alg->curve == NID_X9_62_prime256v1 ? 64 : 96;
    return (size_t)EVP_PKEY_size(k->pkey);
}

/* ECDSA in JWS is r and s side by side, not DER. */
static int ecdsa_raw(const uint8_t *der, size_t n, size_t coordinate, uint8_t *ret_raw)
{
    const BIGNUM *r, *s;
    ECDSA_SIG *sig = ECDSA_SIG_from_bytes(der, n);
    if (!sig)
        return PC_E_SYNTAX;
    ECDSA_SIG_get0(sig, &r, &s);
    bool ok = BN_bn2bin_padded(ret_raw, coordinate, r) &&
              BN_bn2bin_padded(ret_raw + coordinate, coordinate, s);
    ECDSA_SIG_free(sig);
    return ok ? (int)(2 * coordinate) : PC_E_SYNTAX;
}

int ld_key_sign(const struct ld_key *k, struct pc_bytes text,
                uint8_t ret_signature[LD_SIGNATURE_MAX])
{
    uint8_t made[LD_SIGNATURE_MAX];
    size_t n = sizeof made;
    EVP_MD_CTX ctx;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX_init(&ctx);
    bool ok =
        EVP_DigestSignInit(&ctx, &pctx, k->alg->digest ? k->alg->digest() : NULL, NULL, k->pkey);
    if (ok && k->alg->pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, -1); /* as long as the digest */
    ok = ok && EVP_DigestSign(&ctx, made, &n, text.p, text.n);
    EVP_MD_CTX_cleanup(&ctx);
    if (!ok)
        return PC_E_UNSUPPORTED;
    if (k->alg->type == EVP_PKEY_EC)
        return ecdsa_raw(made, n, ld_key_signature_bytes(k) / 2, ret_signature);
    memcpy(ret_signature, made, n);
    return (int)n;
}
