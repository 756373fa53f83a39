/* SPDX-License-Identifier: Apache-2.0
 * Verification keys: making them, their thumbprints, and verifying with them. Owns BoringSSL's
 * objects for a key; they are only read after pc_key_from_…() returned, so any thread may verify.
 * Never signs, never reads a file. */
#include "edge/jose/key.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/curve25519.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>

#include "base/base64url.h"

struct key {
    struct pc_key pub;
    atomic_uint refs;                 /* any thread */
    EC_KEY *ec;                       /* PC_KEY_P256, PC_KEY_P384 */
    RSA *rsa;                         /* PC_KEY_RSA */
    size_t n;                         /* bytes used of raw */
    uint8_t raw[PC_SECRET_BYTES_MAX]; /* PC_KEY_ED25519: the point; PC_KEY_SECRET: the secret */
    uint8_t kid[PC_KID_MAX];
};

/* --- algorithms -------------------------------------------------------------------------- */

struct algorithm {
    const char *name;
    enum pc_key_type key;
    unsigned digest_bits;
    uint32_t cost_ns;
};
#define ALGORITHM_ROW(name, text, key, bits, cost) {text, key, bits, cost},
static const struct algorithm algorithms[PC_ALG_COUNT] = {
    {"(unknown)", PC_KEY_SECRET, 0, 0},
    PC_ALGORITHMS(ALGORITHM_ROW)
};
#undef ALGORITHM_ROW

enum pc_alg pc_alg_of_name(struct pc_bytes name)
{
    for (int alg = PC_ALG_NONE + 1; alg < PC_ALG_COUNT; alg++)
        if (pc_bytes_eq_str(name, algorithms[alg].name))
            return (enum pc_alg)alg;
    return pc_bytes_eq(name, PC_LIT("Ed25519")) ? PC_ALG_EDDSA : PC_ALG_NONE;
}

const char *pc_alg_name(enum pc_alg alg)
{
    PC_ASSERT(alg < PC_ALG_COUNT);
    return algorithms[alg].name;
}

uint32_t pc_alg_cost_ns(enum pc_alg alg)
{
    PC_ASSERT(alg < PC_ALG_COUNT);
    return algorithms[alg].cost_ns;
}

uint32_t pc_key_cost_ns(const struct pc_key *key, enum pc_alg alg)
{
    uint32_t cost_ns = pc_alg_cost_ns(alg), k = key->modulus_bits / 256;
    return key->type == PC_KEY_RSA ? cost_ns / 64 * k * k : cost_ns;
}

uint32_t pc_algs_of_type(enum pc_key_type type)
{
    uint32_t bits = 0;
    for (int alg = PC_ALG_NONE + 1; alg < PC_ALG_COUNT; alg++)
        if (algorithms[alg].key == type)
            bits |= PC_ALG_BIT(alg);
    return bits;
}

static const EVP_MD *digest_of(enum pc_alg alg)
{
    switch (algorithms[alg].digest_bits) {
    case 256: return EVP_sha256();
    case 384: return EVP_sha384();
    default: return EVP_sha512();
    }
}

/* --- life -------------------------------------------------------------------------------- */

static struct key *new_key(const struct pc_key_head *head, enum pc_key_type type)
{
    PC_ASSERT(head->algorithms && !(head->algorithms & ~pc_algs_of_type(type)));
    PC_ASSERT(head->kid.n <= PC_KID_MAX);
    struct key *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    atomic_init(&k->refs, 1);
    if (head->kid.n)
        memcpy(k->kid, head->kid.p, head->kid.n);
    k->pub.type = type;
    k->pub.algorithms = head->algorithms;
    k->pub.kid = pc_bytes_of(k->kid, head->kid.n);
    return k;
}

static struct key *private_of(const struct pc_key *key)
{
    return PC_CONTAINER_OF((struct pc_key *)(uintptr_t)key, struct key, pub);
}

const struct pc_key *pc_key_ref(const struct pc_key *key)
{
    unsigned before = atomic_fetch_add_explicit(&private_of(key)->refs, 1, memory_order_relaxed);
    PC_ASSERT(before > 0);
    return key;
}

void pc_key_unref(const struct pc_key *key)
{
    struct key *k = private_of(key);
    unsigned before = atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel);
    PC_ASSERT(before > 0);
    if (before > 1)
        return;
    EC_KEY_free(k->ec);
    RSA_free(k->rsa);
    OPENSSL_cleanse(k->raw, sizeof k->raw);
    free(k);
}

/* Ends a maker: the key on success, otherwise nothing is left. */
static int give(struct key *k, int err, const struct pc_key **ret_key)
{
    if (err == 0)
        *ret_key = &k->pub;
    else if (k)
        pc_key_unref(&k->pub);
    ERR_clear_error();
    return err;
}

/* --- thumbprints: RFC 7638, the required members in the order of their names -------------- */

struct thumb {
    struct pc_buf b;
    uint8_t text[PC_BASE64URL_ENCODED(PC_RSA_BITS_MAX / 8) + 128];
};

static void thumb_name(struct thumb *t, const char *name)
{
    pc_buf_str(&t->b, t->b.len ? ",\"" : "{\"");
    pc_buf_str(&t->b, name);
    pc_buf_str(&t->b, "\":\"");
}

static void thumb_text(struct thumb *t, const char *name, const char *value)
{
    thumb_name(t, name);
    pc_buf_str(&t->b, value);
    pc_buf_str(&t->b, "\"");
}

static void thumb_number(struct thumb *t, const char *name, struct pc_bytes value)
{
    thumb_name(t, name);
    pc_base64url_encode(value, &t->b);
    pc_buf_str(&t->b, "\"");
}

/* crv and name_b may be NULL: the type has none. */
static void set_thumbprint(struct key *k, const char *crv, const char *kty, const char *name_a,
                           struct pc_bytes a, const char *name_b, struct pc_bytes b)
{
    struct thumb t;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    t.b = pc_buf_of(t.text, sizeof t.text);
    if (crv)
        thumb_text(&t, "crv", crv);
    if (strcmp(name_a, "kty") < 0) /* e, k */
        thumb_number(&t, name_a, a);
    thumb_text(&t, "kty", kty);
    if (strcmp(name_a, "kty") > 0) /* x */
        thumb_number(&t, name_a, a);
    if (name_b) /* n, y */
        thumb_number(&t, name_b, b);
    pc_buf_str(&t.b, "}");
    PC_ASSERT(!t.b.overflow);
    SHA256(t.text, t.b.len, digest);
    OPENSSL_cleanse(t.text, t.b.len); /* may have held a secret */
    struct pc_buf out = pc_buf_of(k->pub.thumbprint, PC_THUMBPRINT_CHARS);
    pc_base64url_encode(pc_bytes_of(digest, sizeof digest), &out);
    PC_ASSERT(out.len == PC_THUMBPRINT_CHARS);
}

/* --- making ------------------------------------------------------------------------------ */

/* Ed25519 takes any point of the curve for a key, but under one of these anybody can sign: its
 * multiples are so few that a signature can be guessed. Zeroed memory is one of them. The value is
 * y, little-endian, without the sign of x; what is not below 2^255 - 19 is no proper encoding. */
static bool is_weak_point(const uint8_t x[ED25519_PUBLIC_KEY_LEN])
{
    static const uint8_t order_8[2][ED25519_PUBLIC_KEY_LEN] = {
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
         0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
         0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
         0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
         0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}
    };
    uint8_t y[ED25519_PUBLIC_KEY_LEN], middle_or = 0, middle_and = 0xff;
    memcpy(y, x, sizeof y);
    y[31] &= 0x7f;
    for (int i = 1; i < 31; i++) {
        middle_or |= y[i];
        middle_and &= y[i];
    }
    if (middle_or == 0 && y[31] == 0 && y[0] <= 1) /* order 4 and 1 */
        return true;
    if (middle_and == 0xff && y[31] == 0x7f && y[0] >= 0xec) /* order 2, and no encodings */
        return true;
    return memcmp(y, order_8[0], sizeof y) == 0 || memcmp(y, order_8[1], sizeof y) == 0;
}

int pc_key_from_ed25519(const struct pc_key_head *head, struct pc_bytes x,
                        const struct pc_key **ret_key, struct pc_why *why)
{
    if (x.n != ED25519_PUBLIC_KEY_LEN)
        return pc_fail(why, PC_E_UNSUPPORTED, "an Ed25519 key has %d bytes, not %zu",
                       ED25519_PUBLIC_KEY_LEN, x.n);
    if (is_weak_point(x.p))
        return pc_fail(why, PC_E_UNSUPPORTED, "an Ed25519 key under which anybody can sign");
    struct key *k = new_key(head, PC_KEY_ED25519);
    if (!k)
        return pc_fail(why, -ENOMEM, "out of memory");
    memcpy(k->raw, x.p, x.n);
    k->n = x.n;
    set_thumbprint(k, "Ed25519", "OKP", "x", x, NULL, x);
    return give(k, 0, ret_key);
}

static size_t coordinate_bytes(enum pc_key_type type)
{
    return type == PC_KEY_P256 ? 32 : 48;
}

/* NULL if memory is short or the point is not on the curve. */
static EC_KEY *point_of(enum pc_key_type type, struct pc_bytes x, struct pc_bytes y)
{
    EC_KEY *ec =
        EC_KEY_new_by_curve_name(type == PC_KEY_P256 ? NID_X9_62_prime256v1 : NID_secp384r1);
    BIGNUM *bx = BN_bin2bn(x.p, x.n, NULL), *by = BN_bin2bn(y.p, y.n, NULL);
    bool good = ec && bx && by && EC_KEY_set_public_key_affine_coordinates(ec, bx, by);
    BN_free(bx);
    BN_free(by);
    if (!good) {
        EC_KEY_free(ec);
        return NULL;
    }
    return ec;
}

int pc_key_from_point(const struct pc_key_head *head, enum pc_key_type type, struct pc_bytes x,
                      struct pc_bytes y, const struct pc_key **ret_key, struct pc_why *why)
{
    const char *curve = type == PC_KEY_P256 ? "P-256" : "P-384";
    size_t n = coordinate_bytes(type);
    if (x.n != n || y.n != n)
        return pc_fail(why, PC_E_UNSUPPORTED, "coordinates of %s have %zu bytes, not %zu and %zu",
                       curve, n, x.n, y.n);
    struct key *k = new_key(head, type);
    if (!k)
        return pc_fail(why, -ENOMEM, "out of memory");
    k->ec = point_of(type, x, y);
    if (!k->ec)
        return give(k, pc_fail(why, PC_E_UNSUPPORTED, "the point is not on %s", curve), ret_key);
    set_thumbprint(k, curve, "EC", "x", x, "y", y);
    return give(k, 0, ret_key);
}

static struct pc_bytes without_leading_zeros(struct pc_bytes s)
{
    while (s.n && s.p[0] == 0)
        s = pc_bytes_of(s.p + 1, s.n - 1);
    return s;
}

/* NULL, or what is wrong. Both numbers are without leading zeros. */
static const char *weak_rsa(struct pc_bytes n, struct pc_bytes e)
{
    /* Bits of the first byte plus those of the others. */
    size_t bits = n.n ? (n.n - 1) * 8 + (size_t)(32 - __builtin_clz(n.p[0])) : 0;
    if (bits < PC_RSA_BITS_MIN)
        return "an RSA modulus below 2048 bits";
    if (bits > PC_RSA_BITS_MAX)
        return "an RSA modulus above 8192 bits";
    if (!(n.p[n.n - 1] & 1))
        return "an even RSA modulus";
    if (e.n == 0 || (e.n == 1 && e.p[0] < 3) || !(e.p[e.n - 1] & 1))
        return "an RSA exponent that is even or below 3";
    if (e.n > 4)
        return "an RSA exponent above 32 bits";
    return NULL;
}

/* NULL if memory is short or BoringSSL refuses the numbers. */
static RSA *rsa_of(struct pc_bytes n, struct pc_bytes e)
{
    RSA *rsa = RSA_new();
    BIGNUM *bn = BN_bin2bn(n.p, n.n, NULL), *be = BN_bin2bn(e.p, e.n, NULL);
    if (!rsa || !bn || !be || !RSA_set0_key(rsa, bn, be, NULL)) {
        BN_free(bn);
        BN_free(be);
        RSA_free(rsa);
        return NULL;
    }
    if (!RSA_check_key(rsa)) {
        RSA_free(rsa);
        return NULL;
    }
    return rsa;
}

int pc_key_from_rsa(const struct pc_key_head *head, struct pc_bytes modulus,
                    struct pc_bytes exponent, const struct pc_key **ret_key, struct pc_why *why)
{
    modulus = without_leading_zeros(modulus); /* some producers write the sign byte */
    exponent = without_leading_zeros(exponent);
    const char *weak = weak_rsa(modulus, exponent);
    if (weak)
        return pc_fail(why, PC_E_UNSUPPORTED, "%s", weak);
    struct key *k = new_key(head, PC_KEY_RSA);
    if (!k)
        return pc_fail(why, -ENOMEM, "out of memory");
    k->rsa = rsa_of(modulus, exponent);
    if (!k->rsa)
        return give(k, pc_fail(why, PC_E_UNSUPPORTED, "an unusable RSA key"), ret_key);
    k->pub.modulus_bits = RSA_bits(k->rsa);
    set_thumbprint(k, NULL, "RSA", "e", exponent, "n", modulus);
    return give(k, 0, ret_key);
}

/* Whether the bytes are somebody's published key in one of the usual files: everybody could sign
 * with it. */
static bool is_published_key(struct pc_bytes s)
{
    static const char *const starts[] = {"-----BEGIN", "ssh-", "ecdsa-sha2-"};
    for (size_t i = 0; i < PC_COUNT(starts); i++)
        if (s.n >= strlen(starts[i]) && memcmp(s.p, starts[i], strlen(starts[i])) == 0)
            return true;
    /* A JWK. The brace alone is the first byte of every 256th random secret. */
    if (s.n && s.p[0] == '{' && memmem(s.p, s.n, "\"kty\"", 5))
        return true;
    CBS spki, pkcs1;
    CBS_init(&spki, s.p, s.n);
    CBS_init(&pkcs1, s.p, s.n);
    EVP_PKEY *a = EVP_parse_public_key(&spki);
    RSA *b = RSA_parse_public_key(&pkcs1);
    bool published = a || b;
    EVP_PKEY_free(a);
    RSA_free(b);
    return published;
}

/* RFC 7518, 3.2: a secret has at least as many bytes as the digest. */
static uint32_t algs_of_secret(size_t n)
{
    uint32_t bits = 0;
    for (int alg = PC_ALG_NONE + 1; alg < PC_ALG_COUNT; alg++)
        if (algorithms[alg].key == PC_KEY_SECRET && n >= algorithms[alg].digest_bits / 8)
            bits |= PC_ALG_BIT(alg);
    return bits;
}

int pc_key_from_secret(const struct pc_key_head *head, struct pc_bytes secret,
                       const struct pc_key **ret_key, struct pc_why *why)
{
    struct pc_key_head able = {head->kid, head->algorithms & algs_of_secret(secret.n)};
    if (secret.n < PC_SECRET_BYTES_MIN || secret.n > PC_SECRET_BYTES_MAX)
        return pc_fail(why, PC_E_UNSUPPORTED, "a secret of %zu bytes, not %d to %d", secret.n,
                       PC_SECRET_BYTES_MIN, PC_SECRET_BYTES_MAX);
    if (!able.algorithms)
        return pc_fail(why, PC_E_UNSUPPORTED, "a secret of %zu bytes, too short for its \"alg\"",
                       secret.n);
    if (memcmp(secret.p, secret.p + 1, secret.n - 1) == 0)
        return pc_fail(why, PC_E_UNSUPPORTED, "a secret that is one byte repeated");
    if (is_published_key(secret)) {
        ERR_clear_error();
        return pc_fail(why, PC_E_UNSUPPORTED, "a secret that is a public key");
    }
    struct key *k = new_key(&able, PC_KEY_SECRET);
    if (!k)
        return give(k, pc_fail(why, -ENOMEM, "out of memory"), ret_key);
    memcpy(k->raw, secret.p, secret.n);
    k->n = secret.n;
    set_thumbprint(k, NULL, "oct", "k", secret, NULL, secret);
    return give(k, 0, ret_key);
}

/* The numbers of a public key as one run: point without its form byte, or modulus. */
static size_t public_numbers(const struct key *k, uint8_t out[PC_RSA_BITS_MAX / 8])
{
    if (k->ec) {
        uint8_t point[1 + 2 * 48];
        size_t n = EC_POINT_point2oct(EC_KEY_get0_group(k->ec), EC_KEY_get0_public_key(k->ec),
                                      POINT_CONVERSION_UNCOMPRESSED, point, sizeof point, NULL);
        PC_ASSERT(n == 1 + 2 * coordinate_bytes(k->pub.type));
        memcpy(out, point + 1, n - 1);
        return n - 1;
    }
    if (k->rsa)
        return BN_bn2bin(RSA_get0_n(k->rsa), out);
    memcpy(out, k->raw, k->n);
    return k->n;
}

bool pc_key_secret_is_public_key(const struct pc_key *secret, const struct pc_key *other)
{
    uint8_t numbers[PC_RSA_BITS_MAX / 8];
    const struct key *s = private_of(secret), *o = private_of(other);
    if (secret->type != PC_KEY_SECRET || other->type == PC_KEY_SECRET)
        return false;
    size_t n = public_numbers(o, numbers);
    /* Also with a form or sign byte before it, or a coordinate alone. */
    return memmem(numbers, n, s->raw, s->n) || memmem(s->raw, s->n, numbers, n);
}

/* --- verifying --------------------------------------------------------------------------- */

struct digest {
    uint8_t bytes[EVP_MAX_MD_SIZE];
    unsigned n;
};

static bool hash(enum pc_alg alg, struct pc_bytes data, struct digest *ret_digest)
{
    return EVP_Digest(data.p, data.n, ret_digest->bytes, &ret_digest->n, digest_of(alg), NULL);
}

static bool verify_ecdsa(const struct key *k, enum pc_alg alg, struct pc_bytes data,
                         struct pc_bytes sig)
{
    struct digest d;
    size_t n = coordinate_bytes(k->pub.type);
    if (sig.n != 2 * n || !hash(alg, data, &d))
        return false;
    ECDSA_SIG *rs = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig.p, n, NULL), *s = BN_bin2bn(sig.p + n, n, NULL);
    if (!rs || !r || !s || !ECDSA_SIG_set0(rs, r, s)) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(rs);
        return false;
    }
    bool good = ECDSA_do_verify(d.bytes, d.n, rs, k->ec) == 1;
    ECDSA_SIG_free(rs);
    return good;
}

static bool verify_rsa(const struct key *k, enum pc_alg alg, struct pc_bytes data,
                       struct pc_bytes sig)
{
    struct digest d;
    const EVP_MD *md = digest_of(alg);
    if (sig.n != RSA_size(k->rsa) || !hash(alg, data, &d))
        return false;
    if (alg == PC_ALG_PS256 || alg == PC_ALG_PS384 || alg == PC_ALG_PS512)
        return RSA_verify_pss_mgf1(k->rsa, d.bytes, d.n, md, md, -1 /* as the digest */, sig.p,
                                   sig.n) == 1;
    return RSA_verify(EVP_MD_type(md), d.bytes, d.n, sig.p, sig.n, k->rsa) == 1;
}

static bool verify_hmac(const struct key *k, enum pc_alg alg, struct pc_bytes data,
                        struct pc_bytes sig)
{
    struct digest d;
    if (!HMAC(digest_of(alg), k->raw, k->n, data.p, data.n, d.bytes, &d.n))
        return false;
    return sig.n == d.n && CRYPTO_memcmp(sig.p, d.bytes, d.n) == 0;
}

bool pc_key_verify(const struct pc_key *key, enum pc_alg alg, struct pc_bytes data,
                   struct pc_bytes sig)
{
    const struct key *k = private_of(key);
    bool good = false;
    PC_ASSERT(alg < PC_ALG_COUNT);
    if (alg == PC_ALG_NONE || !(key->algorithms & PC_ALG_BIT(alg)))
        return false;
    PC_ASSERT(algorithms[alg].key == key->type);
    switch (key->type) {
    case PC_KEY_ED25519:
        good = sig.n == ED25519_SIGNATURE_LEN && ED25519_verify(data.p, data.n, sig.p, k->raw);
        break;
    case PC_KEY_P256:
    case PC_KEY_P384: good = verify_ecdsa(k, alg, data, sig); break;
    case PC_KEY_RSA: good = verify_rsa(k, alg, data, sig); break;
    case PC_KEY_SECRET: good = verify_hmac(k, alg, data, sig); break;
    }
    if (!good)
        ERR_clear_error(); /* BoringSSL queues errors per thread */
    return good;
}
