// SPDX-License-Identifier: Apache-2.0
// HTTP/1 request heads: what a gateway sends for one decision (a 700-byte bearer token, a dozen
// fields), beside a plain parser that splits lines with memchr and checks nothing.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "edge/wire/chunked.h"
#include "edge/wire/http1.h"
#include "edge/wire/http1_write.h"
#include "edge/wire/path.h"

namespace
{

std::string token(size_t n)
{
    std::string s = "Bearer ";
    while (s.size() < n + 7)
        s += "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."[s.size() * 7 % 65];
    return s;
}

// What nginx's auth_request sends: few fields.
std::string request_small()
{
    return "GET /v1/auth HTTP/1.1\r\nHost: portcullis:8080\r\nAuthorization: " + token(700) +
           "\r\nX-Original-URI: /orders/17?expand=items\r\nX-Original-Method: GET\r\n"
           "X-Real-IP: 203.0.113.7\r\nX-Request-ID: 0192f5a0-7d3c-7abc-8def-0123456789ab\r\n\r\n";
}

// What Traefik's ForwardAuth sends.
std::string request_large()
{
    return "GET /v1/auth HTTP/1.1\r\nHost: portcullis:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux "
           "x86_64) AppleWebKit/537.36\r\nAuthorization: " +
           token(700) +
           "\r\nAccept: */*\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: shop.example\r\n"
           "X-Forwarded-Method: POST\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n"
           "X-Forwarded-Uri: /orders/17?expand=items\r\nAccept-Encoding: gzip\r\n\r\n";
}

void run(benchmark::State &state, const std::string &text)
{
    static pc_http_request r;
    const auto *p = reinterpret_cast<const uint8_t *>(text.data());
    for (auto _ : state) {
        pc_http1_reset(&r);
        int rc = pc_http1_parse(&r, &pc_http1_limits_default, p, text.size());
        if (rc != static_cast<int>(text.size()))
            state.SkipWithError("refused");
        benchmark::DoNotOptimize(r.seen);
    }
    state.counters["head_bytes"] = static_cast<double>(text.size());
}

void http1_small(benchmark::State &state)
{
    run(state, request_small());
}
BENCHMARK(http1_small);

void http1_large(benchmark::State &state)
{
    run(state, request_large());
}
BENCHMARK(http1_large);

// The head arrives in two halves.
void http1_resumed(benchmark::State &state)
{
    static pc_http_request r;
    std::string text = request_small();
    const auto *p = reinterpret_cast<const uint8_t *>(text.data());
    for (auto _ : state) {
        pc_http1_reset(&r);
        if (pc_http1_parse(&r, &pc_http1_limits_default, p, text.size() / 2) != 0 ||
            pc_http1_parse(&r, &pc_http1_limits_default, p, text.size()) <= 0)
            state.SkipWithError("refused");
        benchmark::DoNotOptimize(r.seen);
    }
}
BENCHMARK(http1_resumed);

// Baseline: lines by memchr, the names that matter by strncasecmp, no validation.
void baseline_memchr(benchmark::State &state, const std::string &text)
{
    struct header {
        const char *name, *value;
        size_t name_n, value_n;
    };
    static header headers[100];
    static const char *const wanted[] = {"host",           "authorization",     "content-length",
                                         "connection",     "transfer-encoding", "expect",
                                         "x-original-uri", "x-request-id"};
    for (auto _ : state) {
        const char *p = text.data(), *end = p + text.size();
        size_t n = 0, known = 0;
        const char *eol = static_cast<const char *>(memchr(p, '\n', end - p));
        for (p = eol + 1; p < end && *p != '\r'; p = eol + 1) {
            eol = static_cast<const char *>(memchr(p, '\n', end - p));
            const char *colon = static_cast<const char *>(memchr(p, ':', eol - p));
            const char *value = colon + 1;
            while (*value == ' ')
                value++;
            headers[n] = {p, value, static_cast<size_t>(colon - p),
                          static_cast<size_t>(eol - 1 - value)};
            for (const char *w : wanted)
                if (strlen(w) == headers[n].name_n && strncasecmp(p, w, headers[n].name_n) == 0)
                    known++;
            n++;
        }
        benchmark::DoNotOptimize(known);
        benchmark::DoNotOptimize(headers);
    }
}

void baseline_memchr_small(benchmark::State &state)
{
    baseline_memchr(state, request_small());
}
BENCHMARK(baseline_memchr_small);

void baseline_memchr_large(benchmark::State &state)
{
    baseline_memchr(state, request_large());
}
BENCHMARK(baseline_memchr_large);

void path_canonical(benchmark::State &state, const char *text)
{
    uint8_t scratch[256];
    pc_bytes raw = pc_bytes_str(text), path = {};
    for (auto _ : state) {
        benchmark::DoNotOptimize(raw);
        if (pc_path_canonical(raw, scratch, sizeof scratch, &path))
            state.SkipWithError("refused");
        benchmark::DoNotOptimize(path);
    }
}

void path_borrowed(benchmark::State &state)
{
    path_canonical(state, "/api/v1/customers/0192f5a0/orders/17/items");
}
BENCHMARK(path_borrowed);

void path_decoded(benchmark::State &state)
{
    path_canonical(state, "/api/v1/customers/%30192f5a0/./orders/17/items");
}
BENCHMARK(path_decoded);

void chunked_4k(benchmark::State &state)
{
    std::string text = "1000\r\n" + std::string(4096, 'x') + "\r\n0\r\n\r\n", work;
    for (auto _ : state) {
        pc_chunked c;
        size_t body = 0, used = 0;
        work = text;
        pc_chunked_init(&c, 1 << 20);
        if (pc_chunked_decode(&c, reinterpret_cast<uint8_t *>(&work[0]), work.size(), &body,
                              &used) != 1)
            state.SkipWithError("refused");
        benchmark::DoNotOptimize(body);
    }
}
BENCHMARK(chunked_4k);

void response_head(benchmark::State &state)
{
    uint8_t memory[1024];
    for (auto _ : state) {
        pc_buf b = pc_buf_of(memory, sizeof memory);
        pc_http1_write_status(&b, 200, PC_LIT("Fri, 20 Nov 2026 10:00:00 GMT"));
        pc_http1_write_field(&b, "X-Request-ID", PC_LIT("0192f5a0-7d3c-7abc-8def-0123456789ab"));
        pc_http1_write_field(&b, "X-Portcullis-Subject", PC_LIT("alice@example.org"));
        pc_http1_write_field(&b, "X-Portcullis-Scopes", PC_LIT("orders:read orders:write"));
        pc_http1_write_end(&b, 0, PC_HTTP1_KEEP);
        benchmark::DoNotOptimize(b.len);
    }
}
BENCHMARK(response_head);

} // namespace

BENCHMARK_MAIN();
