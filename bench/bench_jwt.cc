/* SPDX-License-Identifier: Apache-2.0
 * Verifying a token per algorithm beside BoringSSL's verification of the same signature alone: the
 * difference is what parsing, key choice and claims cost. Then the parts: reading JSON beside
 * jansson, base64url beside BoringSSL's base64. */
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include <jansson.h>
#include <openssl/base64.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rsa.h>

#include "base/base64url.h"
#include "base/json.h"
#include "edge/jose/jwt.h"
#include "support/mint.h"

namespace
{
const char *const kPayload =
    "{\"iss\":\"https://issuer.example\",\"sub\":\"0192f3c4-7d1e-7a5b-9c3d-2e4f6a8b0c1d\","
    "\"aud\":[\"https://api.example\",\"https://admin.example\"],\"jti\":"
    "\"0192f3c4-7d1e-7a5b-9c3d-2e4f6a8b0c1e\",\"sid\":\"0192f3c4-7d1e-7a5b-9c3d-2e4f6a8b0c1f\","
    "\"client_id\":\"web\",\"scope\":\"orders:read orders:write profile\",\"roles\":[\"user\","
    "\"editor\"],\"iat\":1800000000,\"nbf\":1800000000,\"exp\":1800000900}";

/* One key of the algorithm, a snapshot that trusts it, and a token of it. */
struct World {
    pc_alg alg;
    mint_key *key;
    pc_trust *trust;
    std::string token, data, sig; /* sig as BoringSSL takes it */
    std::unique_ptr<pc_jwt_scratch> scratch{new pc_jwt_scratch};

    explicit World(pc_alg a) : alg(a), key(mint_key_new(a, "kid"))
    {
        pc_issuer_settings s;
        pc_issuer_settings_init(&s, pc_bytes_str("https://issuer.example"));
        s.algorithms = PC_ALGS_ASYMMETRIC | PC_ALGS_HMAC;
        s.allow_secrets = true;
        trust = mint_trust(&s, &key, 1);
        uint8_t room[4096];
        pc_buf b = pc_buf_of(room, sizeof room);
        mint_token(&b, key, alg, kPayload);
        token.assign(reinterpret_cast<char *>(room), b.len);
        data = token.substr(0, token.rfind('.'));
        size_t n = mint_signature(key, alg, bytes(data), room, sizeof room);
        sig.assign(reinterpret_cast<char *>(room), n);
        if (alg == PC_ALG_ES256 || alg == PC_ALG_ES384)
            sig = to_der(room, n);
    }

    ~World()
    {
        pc_trust_free(trust);
        mint_key_free(key);
    }

    static pc_bytes bytes(const std::string &s)
    {
        return pc_bytes_of(s.data(), s.size());
    }

    static std::string to_der(const uint8_t *rs, size_t n)
    {
        ECDSA_SIG *sig = ECDSA_SIG_new();
        ECDSA_SIG_set0(sig, BN_bin2bn(rs, n / 2, nullptr), BN_bin2bn(rs + n / 2, n / 2, nullptr));
        uint8_t *out;
        size_t out_n;
        PC_ASSERT(ECDSA_SIG_to_bytes(&out, &out_n, sig));
        std::string der(reinterpret_cast<char *>(out), out_n);
        OPENSSL_free(out);
        ECDSA_SIG_free(sig);
        return der;
    }
};

const EVP_MD *digest_of(pc_alg alg)
{
    std::string bits = std::string(pc_alg_name(alg)).substr(2);
    return alg == PC_ALG_EDDSA ? nullptr
           : bits == "256"     ? EVP_sha256()
           : bits == "384"     ? EVP_sha384()
                               : EVP_sha512();
}

void token(benchmark::State &state, pc_alg alg)
{
    World w(alg);
    pc_claims c;
    for (auto _ : state) {
        pc_token_error err = pc_jwt_verify(w.trust, World::bytes(w.token), w.scratch.get(), &c);
        PC_ASSERT(err == PC_TOKEN_OK);
    }
    state.counters["token_bytes"] = static_cast<double>(w.token.size());
}

void peek(benchmark::State &state, pc_alg alg)
{
    World w(alg);
    pc_jwt jwt;
    for (auto _ : state) {
        pc_token_error err = pc_jwt_peek(w.trust, World::bytes(w.token), w.scratch.get(), &jwt);
        PC_ASSERT(err == PC_TOKEN_OK);
    }
}

bool verify_raw(EVP_PKEY *evp, const World &w)
{
    bssl::ScopedEVP_MD_CTX ctx;
    EVP_PKEY_CTX *pkey_ctx;
    if (!EVP_DigestVerifyInit(ctx.get(), &pkey_ctx, digest_of(w.alg), nullptr, evp))
        return false;
    if (pc_alg_name(w.alg)[0] == 'P' &&
        (!EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) ||
         !EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, -1)))
        return false;
    return EVP_DigestVerify(ctx.get(), World::bytes(w.sig).p, w.sig.size(), World::bytes(w.data).p,
                            w.data.size());
}

bool verify_raw_hmac(const World &w)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n;
    pc_bytes secret = mint_secret(w.key), data = World::bytes(w.data);
    HMAC(digest_of(w.alg), secret.p, secret.n, data.p, data.n, mac, &n);
    return n == w.sig.size() && CRYPTO_memcmp(mac, w.sig.data(), n) == 0;
}

void raw(benchmark::State &state, pc_alg alg)
{
    World w(alg);
    EVP_PKEY *evp = mint_evp(w.key);
    for (auto _ : state) {
        bool good = evp ? verify_raw(evp, w) : verify_raw_hmac(w);
        PC_ASSERT(good);
    }
    EVP_PKEY_free(evp);
}

#define ALGORITHM(name, text, key, bits, cost)                                                     \
    BENCHMARK_CAPTURE(token, text, PC_ALG_##name);                                                 \
    BENCHMARK_CAPTURE(raw, text, PC_ALG_##name);
PC_ALGORITHMS(ALGORITHM)
BENCHMARK_CAPTURE(peek, EdDSA, PC_ALG_EDDSA);

void json_ours(benchmark::State &state)
{
    pc_json_token tokens[128];
    pc_json doc;
    pc_bytes text = pc_bytes_str(kPayload);
    for (auto _ : state) {
        int rc = pc_json_parse(text, tokens, 128, nullptr, &doc, nullptr);
        PC_ASSERT(rc == 0);
        benchmark::DoNotOptimize(pc_json_member(&doc, pc_json_root(&doc), "exp"));
    }
    state.SetBytesProcessed(static_cast<int64_t>(text.n * state.iterations()));
}
BENCHMARK(json_ours);

void json_jansson(benchmark::State &state)
{
    pc_bytes text = pc_bytes_str(kPayload);
    for (auto _ : state) {
        json_error_t error;
        json_t *j = json_loadb(kPayload, text.n, JSON_REJECT_DUPLICATES, &error);
        PC_ASSERT(j);
        benchmark::DoNotOptimize(json_object_get(j, "exp"));
        json_decref(j);
    }
    state.SetBytesProcessed(static_cast<int64_t>(text.n * state.iterations()));
}
BENCHMARK(json_jansson);

void base64url_ours(benchmark::State &state)
{
    std::string text(600, 'a');
    uint8_t out[600];
    size_t n;
    for (auto _ : state) {
        int rc = pc_base64url_decode(World::bytes(text), out, sizeof out, &n);
        PC_ASSERT(rc == 0);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<int64_t>(text.size() * state.iterations()));
}
BENCHMARK(base64url_ours);

void base64_boringssl(benchmark::State &state)
{
    std::string text(600, 'a');
    uint8_t out[600];
    size_t n;
    for (auto _ : state) {
        int good = EVP_DecodeBase64(out, &n, sizeof out, World::bytes(text).p, text.size());
        PC_ASSERT(good);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<int64_t>(text.size() * state.iterations()));
}
BENCHMARK(base64_boringssl);
} // namespace

BENCHMARK_MAIN();
