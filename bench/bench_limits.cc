/* SPDX-License-Identifier: Apache-2.0
 * Taking from a limit, beside the obvious way: a std::unordered_map of the same arithmetic under a
 * mutex. hot: one key; warm: 1,000 keys; cold: 1,000,000 keys in random order (PC_BENCH_FULL=1 adds
 * 10,000,000); ahead: cold keys whose lines were asked for sixteen takes before, as pipelined
 * requests do. Two threads: on one key, and each on its own. bytes_per_key is the memory of a table
 * filled with as many keys as it is for. */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "edge/state/limits.h"

namespace
{
constexpr int64_t kSecond = 1000000000;
constexpr int64_t kBegin = 86400 * kSecond;

uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return (x ^ x >> 31) | 1;
}

/* So generous that nothing is refused: the cost of charging is what is measured. */
pc_limit_rule rule_of(pc_limit_algorithm algorithm)
{
    pc_limit_rule rule{};
    pc_rate rate{1000000, kSecond};
    if (pc_limit_rule_set(&rule, algorithm, &rate, 0, false, nullptr) < 0)
        std::abort();
    return rule;
}

struct FreeTable {
    void operator()(pc_limit_table *t) const
    {
        pc_limits_free(t);
    }
};
using Table = std::unique_ptr<pc_limit_table, FreeTable>;

Table new_table(uint64_t keys)
{
    pc_limit_table *t = nullptr;
    if (pc_limits_new(keys, &t) < 0)
        std::abort();
    return Table(t);
}

uint64_t fill(pc_limit_table *t, const pc_limit_rule &rule, uint64_t keys)
{
    pc_limit_counters counters{};
    pc_limit_result r{};
    for (uint64_t i = 0; i < keys; i++)
        pc_limits_take(t, &rule, hash(i), 1, kBegin, &counters, &r);
    return counters.occupied;
}

/* Random order without the cost of making it: the n-th key asked for. */
uint64_t key_at(uint64_t n, uint64_t keys)
{
    return hash(hash(n) % keys);
}

/* Time goes on by a microsecond a take, as it would. */
void take(benchmark::State &state, pc_limit_algorithm algorithm, bool ahead)
{
    const auto keys = static_cast<uint64_t>(state.range(0));
    const pc_limit_rule rule = rule_of(algorithm);
    Table table = new_table(keys < 1024 ? 1024 : keys);
    const uint64_t occupied = fill(table.get(), rule, keys);
    pc_limit_counters counters{};
    pc_limit_result r{};
    uint64_t n = 0;
    for (auto _ : state) {
        if (ahead)
            pc_limits_prefetch(table.get(), key_at(n + 16, keys));
        pc_limits_take(table.get(), &rule, key_at(n, keys), 1,
                       kBegin + static_cast<int64_t>(n) * 1000, &counters, &r);
        benchmark::DoNotOptimize(r);
        n++;
    }
    if (keys >= 1024)
        state.counters["bytes_per_key"] =
            static_cast<double>(pc_limits_shape(table.get()).bytes) / static_cast<double>(occupied);
}

void sizes(benchmark::internal::Benchmark *b)
{
    b->Arg(1)->Arg(1000)->Arg(1000000);
    if (std::getenv("PC_BENCH_FULL"))
        b->Arg(10000000);
}

void gcra(benchmark::State &state)
{
    take(state, PC_LIMIT_GCRA, false);
}
BENCHMARK(gcra)->Apply(sizes);

void window(benchmark::State &state)
{
    take(state, PC_LIMIT_WINDOW, false);
}
BENCHMARK(window)->Apply(sizes);

void gcra_ahead(benchmark::State &state)
{
    take(state, PC_LIMIT_GCRA, true);
}
BENCHMARK(gcra_ahead)->Apply(sizes);

/* A refusal is answered without writing. */
void gcra_refused(benchmark::State &state)
{
    pc_limit_rule rule{};
    pc_rate rate{1, 3600 * kSecond};
    if (pc_limit_rule_set(&rule, PC_LIMIT_GCRA, &rate, 0, false, nullptr) < 0)
        std::abort();
    Table table = new_table(1024);
    fill(table.get(), rule, 1);
    pc_limit_counters counters{};
    pc_limit_result r{};
    for (auto _ : state) {
        pc_limits_take(table.get(), &rule, hash(0), 1, kBegin, &counters, &r);
        benchmark::DoNotOptimize(r);
    }
}
BENCHMARK(gcra_refused);

/* ---- the baseline ---- */

struct Baseline {
    std::mutex mutex;
    std::unordered_map<uint64_t, int64_t> arrival;

    bool take(uint64_t key, int64_t interval, int64_t tolerance, int64_t now)
    {
        std::lock_guard<std::mutex> guard(mutex);
        int64_t &tat = arrival[key];
        const int64_t next = (tat > now ? tat : now) + interval;
        if (next - now > tolerance)
            return false;
        tat = next;
        return true;
    }
};

void map_mutex(benchmark::State &state)
{
    const auto keys = static_cast<uint64_t>(state.range(0));
    const pc_limit_rule rule = rule_of(PC_LIMIT_GCRA);
    Baseline b;
    for (uint64_t i = 0; i < keys; i++)
        b.take(hash(i), rule.interval_ns, rule.tolerance_ns, kBegin);
    uint64_t n = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(b.take(key_at(n, keys), rule.interval_ns, rule.tolerance_ns,
                                        kBegin + static_cast<int64_t>(n) * 1000));
        n++;
    }
}
BENCHMARK(map_mutex)->Apply(sizes);

/* ---- two threads ---- */

Table shared_table;
std::unique_ptr<Baseline> shared_map;

uint64_t key_of_thread(const benchmark::State &state, uint64_t n)
{
    return state.range(0) ? hash(n % 1000 * 2 + static_cast<uint64_t>(state.thread_index()))
                          : hash(0);
}

void two_threads(benchmark::State &state)
{
    const pc_limit_rule rule = rule_of(PC_LIMIT_GCRA);
    if (state.thread_index() == 0)
        shared_table = new_table(100000);
    pc_limit_counters counters{};
    pc_limit_result r{};
    uint64_t n = 0;
    for (auto _ : state) {
        pc_limits_take(shared_table.get(), &rule, key_of_thread(state, n), 1,
                       kBegin + static_cast<int64_t>(n) * 1000, &counters, &r);
        benchmark::DoNotOptimize(r);
        n++;
    }
}
BENCHMARK(two_threads)->ArgName("own_keys")->Arg(0)->Arg(1)->Threads(2)->UseRealTime();

void two_threads_map_mutex(benchmark::State &state)
{
    const pc_limit_rule rule = rule_of(PC_LIMIT_GCRA);
    if (state.thread_index() == 0)
        shared_map = std::make_unique<Baseline>();
    uint64_t n = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(shared_map->take(key_of_thread(state, n), rule.interval_ns,
                                                  rule.tolerance_ns,
                                                  kBegin + static_cast<int64_t>(n) * 1000));
        n++;
    }
}
BENCHMARK(two_threads_map_mutex)->ArgName("own_keys")->Arg(0)->Arg(1)->Threads(2)->UseRealTime();
} // namespace

BENCHMARK_MAIN();
