/* SPDX-License-Identifier: Apache-2.0
 * The revocation table beside a std::unordered_map under a mutex, and beside a pointer chase over
 * as much memory, which is what one memory access costs. Lookups come in three forms:
 *   serial   one finishes before the next begins (a fence): the latency, as the chase measures it
 *   stream   one after the other, as far as the processor overlaps them
 *   four     four prefetched together, then found: what a decision does
 * 1,000 and 1,000,000 entries; PC_BENCH_FULL=1 adds 10,000,000. */
#include <benchmark/benchmark.h>

#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "edge/state/rcu.h"
#include "edge/state/revocations.h"

namespace
{
constexpr int64_t kNowMs = 1800000000000;
constexpr int64_t kExpiresMs = kNowMs + 86400000;
constexpr uint64_t kAbsent = uint64_t{1} << 40; /* numbers from here on are in no table */

uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Later lookups wait for earlier ones. */
void serialize()
{
#if defined(__x86_64__)
    __asm__ volatile("lfence" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

struct FreeTable {
    void operator()(pc_revocations *t) const
    {
        pc_revocations_free(t);
    }
};
using Table = std::unique_ptr<pc_revocations, FreeTable>;

Table new_table()
{
    pc_revocations_options options{};
    pc_revocations *t = nullptr;
    if (pc_revocations_new(&options, &t) < 0)
        std::abort();
    return Table(t);
}

void fill(pc_revocations *t, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        if (pc_revocations_revoke(t, hash(i), kNowMs, kExpiresMs, 0) < 0)
            std::abort();
        if (i % 256 == 0)
            pc_rcu_quiescent();
    }
}

pc_revocations_stats stats_of(pc_revocations *t)
{
    pc_revocations_stats s{};
    pc_revocations_read_stats(t, &s);
    return s;
}

/* Filled once per size, shared by the benchmarks. */
pc_revocations *table_of(uint64_t n)
{
    static auto &tables = *new std::map<uint64_t, Table>;
    Table &t = tables[n];
    if (!t) {
        t = new_table();
        fill(t.get(), 0, n);
        pc_rcu_barrier();
        pc_revocations_reap(t.get(), INT64_MIN, UINT32_MAX); /* closes holes */
        pc_rcu_barrier();
        pc_revocations_reap(t.get(), INT64_MIN, 0);
    }
    return t.get();
}

void count_memory(benchmark::State &state, pc_revocations *t, double entries)
{
    pc_revocations_stats s = stats_of(t);
    state.counters["bytes_per_entry"] = static_cast<double>(s.used_bytes) / entries;
    state.counters["resident_per_entry"] = static_cast<double>(s.resident_bytes) / entries;
}

/* ---- lookups ---- */

enum Outcome { kMiss, kHit };

uint64_t key(Outcome outcome, uint64_t x, uint64_t n)
{
    return outcome == kHit ? hash(x % n) : hash(kAbsent | x);
}

template <Outcome outcome, bool serial> void BM_Find(benchmark::State &state)
{
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    pc_revocations *t = table_of(n);
    uint64_t x = 1, found = 0;
    for (auto _ : state) {
        x = hash(x) >> 24;
        found += pc_revocations_find(t, key(outcome, x, n), kNowMs, nullptr);
        if (serial)
            serialize();
    }
    if (found != (outcome == kHit ? static_cast<uint64_t>(state.iterations()) : 0))
        state.SkipWithError("wrong answer");
    count_memory(state, t, static_cast<double>(n));
    pc_rcu_quiescent();
}

template <Outcome outcome> void BM_FindFour(benchmark::State &state)
{
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    pc_revocations *t = table_of(n);
    uint64_t x = 1, found = 0;
    for (auto _ : state) {
        uint64_t keys[4];
        for (uint64_t &k : keys) {
            x = hash(x) >> 24;
            k = key(outcome, x, n);
            pc_revocations_prefetch(t, k);
        }
        for (uint64_t k : keys)
            found += pc_revocations_find(t, k, kNowMs, nullptr);
        serialize(); /* a decision ends */
    }
    if (found != (outcome == kHit ? 4 * static_cast<uint64_t>(state.iterations()) : 0))
        state.SkipWithError("wrong answer");
    pc_rcu_quiescent();
}

struct Baseline {
    struct Entry {
        int64_t revoked_at, expires_at;
    };
    std::mutex mutex;
    std::unordered_map<uint64_t, Entry> map;

    bool find(uint64_t fp)
    {
        std::lock_guard<std::mutex> lock(mutex);
        auto it = map.find(fp);
        return it != map.end() && it->second.expires_at >= kNowMs;
    }
};

Baseline &baseline_of(uint64_t n)
{
    static auto &maps = *new std::map<uint64_t, Baseline>;
    Baseline &b = maps[n];
    if (b.map.empty())
        for (uint64_t i = 0; i < n; i++)
            b.map[hash(i)] = {kNowMs, kExpiresMs};
    return b;
}

template <Outcome outcome, bool serial> void BM_MapUnderMutex(benchmark::State &state)
{
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    Baseline &b = baseline_of(n);
    uint64_t x = 1, found = 0;
    for (auto _ : state) {
        x = hash(x) >> 24;
        found += b.find(key(outcome, x, n));
        if (serial)
            serialize();
    }
    benchmark::DoNotOptimize(found);
}

/* A random cycle over the lines of as much memory as the table takes, in huge pages like it. */
void BM_PointerChase(benchmark::State &state)
{
    constexpr size_t kLine = 64 / sizeof(uint64_t);
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    const size_t huge = size_t{2} << 20;
    const size_t bytes = (stats_of(table_of(n)).used_bytes + huge - 1) / huge * huge;
    auto *memory = static_cast<uint64_t *>(std::aligned_alloc(huge, bytes));
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    std::vector<uint32_t> order(stats_of(table_of(n)).used_bytes / 64);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937_64 rng(7);
    std::shuffle(order.begin() + 1, order.end(), rng);
    for (size_t i = 0; i < order.size(); i++)
        memory[order[i] * kLine] = order[(i + 1) % order.size()];
    uint64_t at = 0;
    for (auto _ : state) {
        at = memory[at * kLine];
        serialize();
    }
    benchmark::DoNotOptimize(at);
    std::free(memory);
}

/* ---- changes ---- */

/* Grows a table from nothing, with all its rebuilds and splits: inserts per second. */
void BM_Insert(benchmark::State &state)
{
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    Table t;
    for (auto _ : state) {
        state.PauseTiming();
        t = new_table();
        state.ResumeTiming();
        fill(t.get(), 0, n);
    }
    state.counters["rebuilds"] = static_cast<double>(stats_of(t.get()).rebuilds);
    state.SetItemsProcessed(static_cast<int64_t>(n) * state.iterations());
}

void BM_MapInsertUnderMutex(benchmark::State &state)
{
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    for (auto _ : state) {
        Baseline b;
        for (uint64_t i = 0; i < n; i++) {
            std::lock_guard<std::mutex> lock(b.mutex);
            b.map[hash(i)] = {kNowMs, kExpiresMs};
        }
        state.PauseTiming();
        b.map.clear();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(static_cast<int64_t>(n) * state.iterations());
}

/* The one insert, of those after `range`, that rebuilds (or splits) the table's only segment. */
void BM_SegmentRebuild(benchmark::State &state)
{
    uint64_t n = 0;
    for (auto _ : state) {
        Table t = new_table();
        n = static_cast<uint64_t>(state.range(0));
        fill(t.get(), 0, n);
        const pc_revocations_stats before = stats_of(t.get());
        std::chrono::duration<double> took{};
        for (pc_revocations_stats s = before;
             s.rebuilds + s.splits == before.rebuilds + before.splits; s = stats_of(t.get())) {
            auto start = std::chrono::steady_clock::now();
            fill(t.get(), n, n + 1);
            took = std::chrono::steady_clock::now() - start;
            n++;
        }
        state.SetIterationTime(took.count());
    }
    state.counters["entries"] = static_cast<double>(n);
}

/* ---- snapshots ---- */

std::vector<std::vector<uint8_t>> export_all(pc_revocations *t)
{
    std::vector<std::vector<uint8_t>> blocks;
    std::vector<uint8_t> buf(PC_REVOCATIONS_BLOCK_MAX_BYTES);
    pc_revocations_cursor cursor{};
    int64_t size;
    while ((size = pc_revocations_export(t, &cursor, buf.data(), buf.size())) > 0) {
        blocks.emplace_back(buf.begin(), buf.begin() + size);
        pc_rcu_quiescent();
    }
    return blocks;
}

void BM_Export(benchmark::State &state)
{
    pc_revocations *t = table_of(static_cast<uint64_t>(state.range(0)));
    std::vector<uint8_t> buf(PC_REVOCATIONS_BLOCK_MAX_BYTES);
    for (auto _ : state) {
        pc_revocations_cursor cursor{};
        while (pc_revocations_export(t, &cursor, buf.data(), buf.size()) > 0)
            pc_rcu_quiescent();
    }
}

void BM_Import(benchmark::State &state)
{
    const uint64_t n = static_cast<uint64_t>(state.range(0));
    auto blocks = export_all(table_of(n));
    for (auto _ : state) {
        Table t = new_table();
        for (const auto &block : blocks) {
            if (pc_revocations_import(t.get(), pc_bytes_of(block.data(), block.size())) < 0)
                std::abort();
            pc_rcu_quiescent();
        }
        state.PauseTiming();
        if (stats_of(t.get()).entries != n)
            std::abort();
        count_memory(state, t.get(), static_cast<double>(n));
        t.reset();
        state.ResumeTiming();
    }
}

/* ---- what a reader pays for RCU ---- */

uint64_t shared_value = 42;
uint64_t *shared_pointer = &shared_value;

void BM_RcuRead(benchmark::State &state)
{
    uint64_t sum = 0;
    for (auto _ : state)
        sum += *pc_rcu_load(&shared_pointer);
    benchmark::DoNotOptimize(sum);
}

void BM_RcuReadAndQuiescent(benchmark::State &state)
{
    uint64_t sum = 0;
    for (auto _ : state) {
        sum += *pc_rcu_load(&shared_pointer);
        pc_rcu_quiescent();
    }
    benchmark::DoNotOptimize(sum);
}

void BM_SharedMutexRead(benchmark::State &state)
{
    static std::shared_mutex mutex;
    uint64_t sum = 0;
    for (auto _ : state) {
        std::shared_lock<std::shared_mutex> lock(mutex);
        sum += *shared_pointer;
    }
    benchmark::DoNotOptimize(sum);
}

using Function = void (*)(benchmark::State &);

benchmark::internal::Benchmark *register_sizes(const char *name, Function function,
                                               const std::vector<int64_t> &sizes)
{
    auto *b = benchmark::RegisterBenchmark(name, function);
    for (int64_t n : sizes)
        b->Arg(n);
    return b;
}

void register_all()
{
    std::vector<int64_t> sizes{1000, 1000000};
    const char *full = std::getenv("PC_BENCH_FULL");
    if (full && full[0] == '1')
        sizes.push_back(10000000);
    register_sizes("miss/serial", BM_Find<kMiss, true>, sizes);
    register_sizes("miss/serial/pointer_chase", BM_PointerChase, sizes);
    register_sizes("miss/serial/map_under_mutex", BM_MapUnderMutex<kMiss, true>, sizes);
    register_sizes("hit/serial", BM_Find<kHit, true>, sizes);
    register_sizes("hit/serial/map_under_mutex", BM_MapUnderMutex<kHit, true>, sizes);
    register_sizes("miss/stream", BM_Find<kMiss, false>, sizes);
    register_sizes("miss/stream/map_under_mutex", BM_MapUnderMutex<kMiss, false>, sizes);
    register_sizes("hit/stream", BM_Find<kHit, false>, sizes);
    register_sizes("hit/stream/map_under_mutex", BM_MapUnderMutex<kHit, false>, sizes);
    register_sizes("miss/four_prefetched", BM_FindFour<kMiss>, sizes);
    register_sizes("hit/four_prefetched", BM_FindFour<kHit>, sizes);
    const auto ms = benchmark::kMillisecond;
    register_sizes("insert", BM_Insert, sizes)->Unit(ms);
    register_sizes("insert/map_under_mutex", BM_MapInsertUnderMutex, sizes)->Unit(ms);
    register_sizes("segment_rebuild", BM_SegmentRebuild, {1000, 8000, 13000})
        ->UseManualTime()
        ->Iterations(20)
        ->Unit(benchmark::kMicrosecond);
    register_sizes("export", BM_Export, sizes)->Unit(ms);
    register_sizes("import", BM_Import, sizes)->Unit(ms);
    benchmark::RegisterBenchmark("rcu_read", BM_RcuRead);
    benchmark::RegisterBenchmark("rcu_read/and_quiescent", BM_RcuReadAndQuiescent);
    benchmark::RegisterBenchmark("rcu_read/shared_mutex", BM_SharedMutexRead);
}
} // namespace

int main(int argc, char **argv)
{
    pc_rcu_thread_register();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 1;
    register_all();
    benchmark::RunSpecifiedBenchmarks();
    pc_rcu_thread_unregister();
    return 0;
}
