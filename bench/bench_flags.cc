// SPDX-License-Identifier: Apache-2.0
// Looking flags up in a compiled snapshot, beside what one would reach for first: a
// std::unordered_map of strings under a shared lock. Then what a change costs the writer: reading a
// file and compiling. The number of flags is the argument.
#include <benchmark/benchmark.h>

#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "edge/state/flags.h"

namespace
{
constexpr size_t kAsked = 16; /* keys looked up by turns, as a few routes would */

struct World {
    std::string text = "{";
    std::vector<std::string> keys;
    std::vector<pc_bytes> asked;
    std::vector<uint64_t> hashes;
    std::vector<std::string> asked_text;
    pc_flag_layer *layer = nullptr;
    pc_flags *flags = nullptr;
    std::unordered_map<std::string, std::string> map;
    std::shared_mutex lock;

    explicit World(size_t n)
    {
        for (size_t i = 0; i < n; i++) {
            keys.push_back("service" + std::to_string(i % 37) + ".enable_feature_" +
                           std::to_string(i));
            text += (i ? ",\"" : "\"") + keys.back() + "\":true";
            map[keys.back()] = "true";
        }
        text += "}";
        pc_flag_layer_parse_file_text(pc_bytes_of(text.data(), text.size()), &layer, nullptr);
        pc_flags_compile(layer, nullptr, nullptr, &flags, nullptr);
        for (size_t i = 0; i < kAsked; i++) {
            const std::string &key = keys[i * 7919 % n];
            asked.push_back(pc_bytes_of(key.data(), key.size()));
            hashes.push_back(pc_flag_hash(asked.back()));
            asked_text.push_back(key);
        }
    }

    ~World()
    {
        pc_flags_free(flags);
        pc_flag_layer_free(layer);
    }
    World(const World &) = delete;
    World &operator=(const World &) = delete;
};

/* The key comes with the request: hash and look-up. */
void LookUp(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    size_t i = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(pc_flags_find(w.flags, w.asked[i % kAsked]));
        i++;
    }
}
BENCHMARK(LookUp)->Arg(16)->Arg(1000)->Arg(4096);

/* The key stands in a route: hashed once, when the configuration was read. */
void LookUpHashed(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    size_t i = 0;
    for (auto _ : state) {
        size_t k = i++ % kAsked;
        benchmark::DoNotOptimize(pc_flags_find_hashed(w.flags, w.asked[k], w.hashes[k]));
    }
}
BENCHMARK(LookUpHashed)->Arg(16)->Arg(1000)->Arg(4096);

void LookUpMissing(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    pc_bytes key = PC_LIT("service1.enable_what_nobody_knows");
    for (auto _ : state)
        benchmark::DoNotOptimize(pc_flags_find(w.flags, key));
}
BENCHMARK(LookUpMissing)->Arg(1000);

/* What every decision asks without being told to. */
void Maintenance(benchmark::State &state)
{
    World w(16);
    pc_flags *flags = w.flags;
    for (auto _ : state) {
        benchmark::DoNotOptimize(flags);
        bool on = flags->maintenance;
        benchmark::DoNotOptimize(on);
    }
}
BENCHMARK(Maintenance);

void LookUpBaseline(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    size_t i = 0;
    for (auto _ : state) {
        std::shared_lock<std::shared_mutex> guard(w.lock);
        auto found = w.map.find(w.asked_text[i++ % kAsked]);
        benchmark::DoNotOptimize(found->second.data());
    }
}
BENCHMARK(LookUpBaseline)->Arg(16)->Arg(1000)->Arg(4096);

void ReadFile(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    for (auto _ : state) {
        pc_flag_layer *layer = nullptr;
        if (pc_flag_layer_parse_file_text(pc_bytes_of(w.text.data(), w.text.size()), &layer,
                                          nullptr) != 0)
            state.SkipWithError("the file is refused");
        pc_flag_layer_free(layer);
    }
}
BENCHMARK(ReadFile)->Arg(16)->Arg(4096)->Unit(benchmark::kMicrosecond);

void Compile(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    for (auto _ : state) {
        pc_flags *flags = nullptr;
        if (pc_flags_compile(w.layer, nullptr, nullptr, &flags, nullptr) != 0)
            state.SkipWithError("it does not compile");
        state.counters["bytes"] = static_cast<double>(flags->bytes);
        pc_flags_free(flags);
    }
}
BENCHMARK(Compile)->Arg(16)->Arg(4096)->Unit(benchmark::kMicrosecond);

} // namespace

BENCHMARK_MAIN();
