/* SPDX-License-Identifier: Apache-2.0
 * The verified-token cache and its hash, beside what one would reach for first: AES-GMAC or
 * SHA-256 for the hash, a std::unordered_map under a mutex for the cache. 65,536 tokens of 700
 * bytes, visited in an order that has nothing to do with the order of insertion. */
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <openssl/aead.h>
#include <openssl/sha.h>

#include "base/siphash.h"
#include "edge/state/token_cache.h"

namespace
{
constexpr size_t kTokens = 65536;
constexpr size_t kTokenBytes = 700;
constexpr uint32_t kBlobBytes = 300;
constexpr size_t kBatch = 16;
constexpr int64_t kNowMs = 1800000000000;

struct World {
    std::mt19937_64 rng{42};
    std::unique_ptr<pc_token_hash_key> key{new pc_token_hash_key};
    std::vector<std::string> tokens;
    std::vector<std::string> strangers;
    std::vector<pc_token_digest> digests, strange_digests;

    World()
    {
        std::string bytes(sizeof(*key), 0);
        std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(rng()); });
        pc_token_hash_key_init(key.get(), bytes.data());
        make(tokens, digests);
        make(strangers, strange_digests);
    }

    void make(std::vector<std::string> &list, std::vector<pc_token_digest> &hashes)
    {
        static const char alphabet[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for (size_t i = 0; i < kTokens; i++) {
            std::string token(kTokenBytes, '.');
            std::generate(token.begin(), token.end(), [&] { return alphabet[rng() & 63]; });
            list.push_back(token);
            hashes.push_back(hash(token));
        }
    }

    pc_token_digest hash(const std::string &token) const
    {
        return pc_token_hash(key.get(), pc_bytes_of(token.data(), token.size()));
    }

    std::vector<size_t> shuffled()
    {
        std::vector<size_t> order(kTokens);
        std::iota(order.begin(), order.end(), 0);
        std::shuffle(order.begin(), order.end(), rng);
        return order;
    }
};

World &world()
{
    static World w;
    return w;
}

pc_cached_token sample_token(const uint8_t *blob)
{
    pc_cached_token t{};
    t.trust_generation = 1;
    t.exp_ms = kNowMs + 3600000;
    t.nbf_ms = PC_TOKEN_TIME_MISSING;
    t.blob = blob;
    t.blob_bytes = kBlobBytes;
    return t;
}

struct FullCache {
    pc_token_cache *cache = nullptr;

    FullCache()
    {
        static const uint8_t blob[kBlobBytes] = {};
        const pc_cached_token t = sample_token(blob);
        pc_token_cache_options options{};
        if (pc_token_cache_create(&options, &cache) != 0)
            abort();
        for (size_t i : world().shuffled())
            pc_token_cache_insert(cache, &world().digests[i], &t, kNowMs);
    }
    ~FullCache()
    {
        pc_token_cache_destroy(cache);
    }
    FullCache(const FullCache &) = delete;
    FullCache &operator=(const FullCache &) = delete;
};

struct MapBaseline {
    std::mutex mutex;
    std::unordered_map<std::string, std::pair<pc_cached_token, std::string>> map;

    MapBaseline()
    {
        static const uint8_t blob[kBlobBytes] = {};
        map.reserve(kTokens);
        for (size_t i : world().shuffled())
            map.emplace(world().tokens[i],
                        std::make_pair(sample_token(blob), std::string(kBlobBytes, 'x')));
    }
};

std::string token_of(benchmark::State &state)
{
    std::string token(static_cast<size_t>(state.range(0)), 'x');
    std::generate(token.begin(), token.end(), [] { return static_cast<char>(world().rng()); });
    return token;
}

void hash_nh(benchmark::State &state)
{
    std::string token = token_of(state);
    for (auto _ : state)
        benchmark::DoNotOptimize(world().hash(token));
}
BENCHMARK(hash_nh)->Arg(250)->Arg(700)->Arg(2000);

void hash_gmac_boringssl(benchmark::State &state)
{
    std::string token = token_of(state);
    const uint8_t key[16] = {1}, nonce[12] = {};
    EVP_AEAD_CTX ctx;
    if (!EVP_AEAD_CTX_init(&ctx, EVP_aead_aes_128_gcm(), key, sizeof key, 16, nullptr))
        abort();
    for (auto _ : state) {
        uint8_t tag[16];
        size_t tag_len = 0;
        EVP_AEAD_CTX_seal(&ctx, tag, &tag_len, sizeof tag, nonce, sizeof nonce, nullptr, 0,
                          reinterpret_cast<const uint8_t *>(token.data()), token.size());
        benchmark::DoNotOptimize(tag);
    }
    EVP_AEAD_CTX_cleanup(&ctx);
}
BENCHMARK(hash_gmac_boringssl)->Arg(250)->Arg(700)->Arg(2000);

void hash_siphash24(benchmark::State &state)
{
    std::string token = token_of(state);
    const uint8_t key[16] = {1};
    for (auto _ : state)
        benchmark::DoNotOptimize(pc_siphash24(key, token.data(), token.size()));
}
BENCHMARK(hash_siphash24)->Arg(250)->Arg(700)->Arg(2000);

void hash_sha256_boringssl(benchmark::State &state)
{
    std::string token = token_of(state);
    for (auto _ : state) {
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA256(reinterpret_cast<const uint8_t *>(token.data()), token.size(), digest);
        benchmark::DoNotOptimize(digest);
    }
}
BENCHMARK(hash_sha256_boringssl)->Arg(250)->Arg(700)->Arg(2000);

/* What a decision reads of a hit: the facts and the first bytes of the blob. */
void read_entry(const pc_cached_token *t)
{
    if (!t)
        return;
    benchmark::DoNotOptimize(t->exp_ms + static_cast<int64_t>(t->fp[0]) + t->blob[0]);
}

/* From the bytes, as the baseline below: most of both is fetching 46 MB of tokens, which a server
 * has just received and finds in its cache. */
void cache_hit_with_hash(benchmark::State &state)
{
    FullCache full;
    size_t i = 0;
    for (auto _ : state) {
        pc_token_digest d = world().hash(world().tokens[i++ % kTokens]);
        read_entry(pc_token_cache_find(full.cache, &d, 1));
    }
    pc_token_cache_stats s = pc_token_cache_get_stats(full.cache);
    state.counters["hit_ratio"] =
        static_cast<double>(s.hits) / static_cast<double>(s.hits + s.misses);
}
BENCHMARK(cache_hit_with_hash);

void cache_hit(benchmark::State &state)
{
    FullCache full;
    size_t i = 0;
    for (auto _ : state)
        read_entry(pc_token_cache_find(full.cache, &world().digests[i++ % kTokens], 1));
}
BENCHMARK(cache_hit);

/* The tokens of one pipelined batch: lines first, then entries, then the finds. */
void cache_hit_batch_of_16(benchmark::State &state)
{
    FullCache full;
    size_t start = 0;
    for (auto _ : state) {
        const pc_token_digest *batch = &world().digests[start];
        start = (start + kBatch) % kTokens;
        for (size_t i = 0; i < kBatch; i++)
            pc_token_cache_prefetch(full.cache, &batch[i]);
        for (size_t i = 0; i < kBatch; i++)
            pc_token_cache_prefetch_entry(full.cache, &batch[i]);
        for (size_t i = 0; i < kBatch; i++)
            read_entry(pc_token_cache_find(full.cache, &batch[i], 1));
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBatch));
}
BENCHMARK(cache_hit_batch_of_16);

void cache_miss(benchmark::State &state)
{
    FullCache full;
    size_t i = 0;
    for (auto _ : state)
        read_entry(pc_token_cache_find(full.cache, &world().strange_digests[i++ % kTokens], 1));
}
BENCHMARK(cache_miss);

/* Into a full cache: every insert evicts. */
void cache_insert_when_full(benchmark::State &state)
{
    FullCache full;
    static const uint8_t blob[kBlobBytes] = {};
    const pc_cached_token t = sample_token(blob);
    size_t i = 0;
    for (auto _ : state) {
        const auto &list = i / kTokens % 2 ? world().digests : world().strange_digests;
        benchmark::DoNotOptimize(pc_token_cache_insert(full.cache, &list[i % kTokens], &t, kNowMs));
        i++;
    }
}
BENCHMARK(cache_insert_when_full);

void baseline_map(benchmark::State &state, const std::vector<std::string> &tokens)
{
    MapBaseline baseline;
    size_t i = 0;
    for (auto _ : state) {
        std::lock_guard<std::mutex> lock(baseline.mutex);
        auto it = baseline.map.find(tokens[i++ % kTokens]);
        if (it != baseline.map.end())
            benchmark::DoNotOptimize(it->second.first.exp_ms + it->second.second[0]);
    }
}

void baseline_unordered_map_mutex_hit(benchmark::State &state)
{
    baseline_map(state, world().tokens);
}
BENCHMARK(baseline_unordered_map_mutex_hit);

void baseline_unordered_map_mutex_miss(benchmark::State &state)
{
    baseline_map(state, world().strangers);
}
BENCHMARK(baseline_unordered_map_mutex_miss);
} // namespace

BENCHMARK_MAIN();
