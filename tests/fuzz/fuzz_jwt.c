/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a token. An input that begins with '+' is header "|" payload instead and is signed
 * here with a secret of the issuer, so that the fuzzer gets past the signature to the claims. */
#include <openssl/hmac.h>

#include "base/base64url.h"
#include "edge/jose/jwt.h"

#define KEYS                                                                                       \
    "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"k\":"                                             \
    "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"},"                                            \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":"                                    \
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"                                            \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","     \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: the fuzzer only reads it. */
static const struct pc_trust *the_trust(void)
{
    static struct pc_trust *t;
    struct pc_jwks *set = NULL;
    struct pc_issuer_settings s;
    if (t)
        return t;
    PC_ASSERT(pc_jwks_parse(PC_LIT(KEYS), true, NULL, NULL, &set, NULL) == 0);
    pc_issuer_settings_init(&s, PC_LIT("i"));
    s.algorithms = PC_ALGS_ASYMMETRIC | PC_ALGS_HMAC;
    s.allow_secrets = true;
    s.require_jti = false;
    s.trust_iat_ms = true;
    s.max_lifetime_ms = 0;
    s.claims.roles = PC_LIT("realm_access.roles");
    struct pc_trust_source source = {&s, set};
    PC_ASSERT(pc_trust_build(&source, 1, &t, NULL) == 0);
    pc_trust_seal(t, NULL);
    pc_jwks_free(set);
    return t;
}

static struct pc_bytes sign(const uint8_t *data, size_t size, struct pc_buf *b)
{
    uint8_t secret[32], mac[32];
    unsigned n = sizeof mac;
    const uint8_t *bar = memchr(data, '|', size);
    size_t header_n = bar ? (size_t)(bar - data) : size, skip = bar ? header_n + 1 : size;
    for (int i = 0; i < 32; i++)
        secret[i] = (uint8_t)i;
    pc_base64url_encode(pc_bytes_of(data, header_n), b);
    pc_buf_char(b, '.');
    pc_base64url_encode(pc_bytes_of(data + skip, size - skip), b);
    HMAC(EVP_sha256(), secret, sizeof secret, b->p, b->len, mac, &n);
    pc_buf_char(b, '.');
    pc_base64url_encode(pc_bytes_of(mac, sizeof mac), b);
    return pc_bytes_of(b->p, b->overflow ? 0 : b->len);
}

static void check_text(struct pc_bytes s, size_t max)
{
    PC_ASSERT(s.n <= max);
    for (size_t i = 0; i < s.n; i++)
        PC_ASSERT(s.p[i] >= 0x20 && s.p[i] != 0x7f);
    PC_ASSERT(s.n == 0 || (s.p[0] != ' ' && s.p[s.n - 1] != ' '));
}

static void check_list(struct pc_bytes s)
{
    check_text(s, 3 * PC_TOKEN_BYTES_MAX);
    PC_ASSERT(s.n == 0 || !memmem(s.p, s.n, "  ", 2));
}

static void check_claims(const struct pc_claims *c)
{
    PC_ASSERT(pc_bytes_eq(c->issuer->s.name, PC_LIT("i")));
    check_text(c->subject, PC_ID_MAX);
    check_text(c->jti, PC_ID_MAX);
    check_text(c->session, PC_ID_MAX);
    check_text(c->family, PC_ID_MAX);
    check_text(c->client, PC_ID_MAX);
    check_list(c->scopes);
    check_list(c->roles);
    check_list(c->audiences);
    PC_ASSERT(c->times.exp_ms >= 0);
    pc_times_check(&c->times, PC_SKEW_DEFAULT_MS, 1700000000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pc_jwt_scratch scratch;
    static uint8_t room[2 * PC_TOKEN_BYTES_MAX];
    struct pc_buf b = pc_buf_of(room, sizeof room);
    struct pc_claims c;
    struct pc_jwt jwt;
    struct pc_bytes token =
        size && data[0] == '+' ? sign(data + 1, size - 1, &b) : pc_bytes_of(data, size);
    enum pc_token_error peeked = pc_jwt_peek(the_trust(), token, &scratch, &jwt);
    PC_ASSERT(peeked || (jwt.cost_ns > 0 && jwt.keys.count > 0));
    enum pc_token_error err = pc_jwt_verify(the_trust(), token, &scratch, &c);
    PC_ASSERT(err < PC_TOKEN_EXPIRED && (!peeked || err == peeked));
    if (!err)
        check_claims(&c);
    return 0;
}
