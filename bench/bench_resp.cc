// SPDX-License-Identifier: Apache-2.0
// RESP2: pipelined EXISTS, beside a plain parser that walks the same bytes with strtol and
// collects strings.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "edge/wire/resp.h"

namespace
{

constexpr int depth = 16;
const char uuid[] = "0192f5a0-7d3c-7abc-8def-0123456789ab";

std::string bulk(const std::string &s)
{
    return "$" + std::to_string(s.size()) + "\r\n" + s + "\r\n";
}

std::string pipeline(const std::vector<std::string> &args)
{
    std::string one = "*" + std::to_string(args.size()) + "\r\n", all;
    for (const auto &a : args)
        one += bulk(a);
    for (int i = 0; i < depth; i++)
        all += one;
    return all;
}

void run(benchmark::State &state, std::string text)
{
    static pc_resp_command c;
    pc_resp_parser parser = {};
    auto *start = reinterpret_cast<uint8_t *>(&text[0]);
    for (auto _ : state) {
        uint8_t *p = start, *end = start + text.size();
        while (p < end) {
            int rc = pc_resp_parse(&parser, &pc_resp_limits_default, p,
                                   static_cast<size_t>(end - p), &c);
            if (rc <= 0) {
                state.SkipWithError("refused");
                return;
            }
            benchmark::DoNotOptimize(c.argv);
            p += rc;
        }
    }
    state.SetItemsProcessed(state.iterations() * depth);
}

void resp_exists(benchmark::State &state)
{
    run(state, pipeline({"EXISTS", std::string("bl:") + uuid}));
}
BENCHMARK(resp_exists);

void resp_set_ex(benchmark::State &state)
{
    run(state, pipeline({"SET", std::string("bl:") + uuid, "1", "EX", "3600"}));
}
BENCHMARK(resp_set_ex);

void resp_ping(benchmark::State &state)
{
    run(state, pipeline({"PING"}));
}
BENCHMARK(resp_ping);

void resp_inline_exists(benchmark::State &state)
{
    std::string all;
    for (int i = 0; i < depth; i++)
        all += std::string("EXISTS bl:") + uuid + "\r\n";
    run(state, all);
}
BENCHMARK(resp_inline_exists);

// Baseline: strtol for the lengths, a vector of strings for the arguments.
void baseline_strings_exists(benchmark::State &state)
{
    std::string text = pipeline({"EXISTS", std::string("bl:") + uuid});
    for (auto _ : state) {
        const char *p = text.c_str(), *end = p + text.size();
        while (p < end) {
            char *q;
            std::vector<std::string> args;
            long n = strtol(p + 1, &q, 10);
            p = q + 2;
            while (n-- > 0) {
                long len = strtol(p + 1, &q, 10);
                args.emplace_back(q + 2, static_cast<size_t>(len));
                p = q + 2 + len + 2;
            }
            benchmark::DoNotOptimize(args);
        }
    }
    state.SetItemsProcessed(state.iterations() * depth);
}
BENCHMARK(baseline_strings_exists);

// Baseline: the same without copies.
void baseline_strtol_exists(benchmark::State &state)
{
    std::string text = pipeline({"EXISTS", std::string("bl:") + uuid});
    static pc_bytes args[8];
    for (auto _ : state) {
        const char *p = text.c_str(), *end = p + text.size();
        while (p < end) {
            char *q;
            long n = strtol(p + 1, &q, 10);
            p = q + 2;
            for (long i = 0; i < n; i++) {
                long len = strtol(p + 1, &q, 10);
                args[i] = pc_bytes_of(q + 2, static_cast<size_t>(len));
                p = q + 2 + len + 2;
            }
            benchmark::DoNotOptimize(args);
        }
    }
    state.SetItemsProcessed(state.iterations() * depth);
}
BENCHMARK(baseline_strtol_exists);

void reply_integers(benchmark::State &state)
{
    uint8_t memory[256];
    for (auto _ : state) {
        pc_buf b = pc_buf_of(memory, sizeof memory);
        for (int i = 0; i < depth; i++)
            pc_resp_write_int(&b, i & 1);
        benchmark::DoNotOptimize(b.len);
    }
    state.SetItemsProcessed(state.iterations() * depth);
}
BENCHMARK(reply_integers);

} // namespace

BENCHMARK_MAIN();
