// SPDX-License-Identifier: Apache-2.0
// The small things every thread does: hashing, counting, logging; each beside what one would
// otherwise take.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/siphash.h"
// In C a function may have the name of the struct it fills in; C++ only warns about it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "base/sha256.h"
#pragma GCC diagnostic pop

namespace
{

const uint8_t key[16] = {1, 2, 3};

std::vector<uint8_t> bytes(size_t n)
{
    std::vector<uint8_t> v(n);
    for (size_t i = 0; i < n; i++)
        v[i] = static_cast<uint8_t>(i * 31);
    return v;
}

void siphash24(benchmark::State &state)
{
    auto v = bytes(static_cast<size_t>(state.range(0)));
    for (auto _ : state)
        benchmark::DoNotOptimize(pc_siphash24(key, v.data(), v.size()));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(siphash24)->Arg(36)->Arg(700);

void baseline_std_hash(benchmark::State &state)
{
    auto v = bytes(static_cast<size_t>(state.range(0)));
    std::string_view text(reinterpret_cast<const char *>(v.data()), v.size());
    for (auto _ : state)
        benchmark::DoNotOptimize(std::hash<std::string_view>{}(text));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(baseline_std_hash)->Arg(36)->Arg(700);

// A line of the audit with one revocation has about 400 bytes.
void sha256(benchmark::State &state)
{
    auto v = bytes(400);
    for (auto _ : state) {
        struct pc_sha256 s;
        uint8_t digest[PC_SHA256_BYTES];
        pc_sha256_init(&s);
        s.portable = state.range(0) != 0;
        pc_sha256_update(&s, v.data(), v.size());
        pc_sha256_final(&s, digest);
        benchmark::DoNotOptimize(digest);
    }
    state.SetBytesProcessed(state.iterations() * 400);
}
BENCHMARK(sha256)->ArgName("portable")->Arg(0)->Arg(1);

struct pc_metrics *new_metrics()
{
    static const struct pc_metrics_names names = {};
    struct pc_metrics *m = nullptr;
    if (pc_metrics_create(4, &names, &m) != 0)
        return nullptr;
    return m;
}

void count_and_time_a_request(benchmark::State &state)
{
    struct pc_metrics *m = new_metrics();
    struct pc_metrics_block *b = pc_metrics_core(m, 0);
    uint64_t ns = 800;
    for (auto _ : state) {
        pc_metric_inc(b, PC_M_HTTP_2XX);
        pc_histogram_record(b, PC_H_REQUEST_HTTP, ns++, 1);
        benchmark::ClobberMemory();
    }
    pc_metrics_destroy(m);
}
BENCHMARK(count_and_time_a_request);

void baseline_count_under_a_mutex(benchmark::State &state)
{
    std::mutex lock;
    uint64_t count = 0, buckets[64] = {};
    uint64_t ns = 800;
    for (auto _ : state) {
        std::lock_guard<std::mutex> held(lock);
        count++;
        buckets[63 - __builtin_clzll(ns++)]++;
        benchmark::ClobberMemory();
    }
    benchmark::DoNotOptimize(count);
    benchmark::DoNotOptimize(buckets);
}
BENCHMARK(baseline_count_under_a_mutex);

void render_metrics(benchmark::State &state)
{
    struct pc_metrics *m = new_metrics();
    std::vector<char> text(PC_METRICS_TEXT_MAX);
    for (auto _ : state) {
        struct pc_buf b = pc_buf_of(text.data(), text.size());
        pc_metrics_render(m, nullptr, &b);
        benchmark::DoNotOptimize(b.len);
    }
    pc_metrics_destroy(m);
}
BENCHMARK(render_metrics);

void put_line(struct pc_log *l)
{
    pc_log_str(l, "request_id", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    pc_log_str(l, "code", "TOKEN_EXPIRED");
    pc_log_i64(l, "status", 401);
    pc_log_end(l);
}

// Only the producer's part is timed: the ring is emptied between runs of a quarter of it.
void log_line(benchmark::State &state)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct pc_logger *logger = nullptr;
    if (fd < 0 || pc_log_open(fd, PC_LOG_INFO, &logger) != 0 || pc_log_attach(logger) != 0) {
        state.SkipWithError("no logger");
        return;
    }
    unsigned n = 0;
    for (auto _ : state) {
        put_line(pc_log_begin(PC_LOG_INFO, "decision"));
        if (++n % (PC_LOG_RING_LINES / 4) == 0) {
            state.PauseTiming();
            pc_log_flush(logger);
            state.ResumeTiming();
        }
    }
    pc_log_close(logger);
    close(fd);
}
BENCHMARK(log_line);

void baseline_log_line_by_stdio(benchmark::State &state)
{
    FILE *f = fopen("/dev/null", "w");
    if (!f) {
        state.SkipWithError("no /dev/null");
        return;
    }
    setvbuf(f, nullptr, _IOLBF, BUFSIZ); // as standard error's lines: one write each
    for (auto _ : state) {
        time_t now = time(nullptr);
        struct tm tm;
        char text[32];
        gmtime_r(&now, &tm);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        fprintf(f,
                "{\"time\":\"%s\",\"level\":\"info\",\"event\":\"decision\",\"request_id\":\"%s\","
                "\"code\":\"%s\",\"status\":%d}\n",
                text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "TOKEN_EXPIRED", 401);
    }
    fclose(f);
}
BENCHMARK(baseline_log_line_by_stdio);

} // namespace

BENCHMARK_MAIN();
