/* SPDX-License-Identifier: Apache-2.0
 * The whole decision in process: 700-byte tokens that were verified before, a route out of ten, one
 * limit by subject, tables of 1,000,000 revoked ids, cutoffs and limit keys, none of which is in
 * the processor's caches when the tokens are many. Beside it what one would write first: standard
 * containers of strings behind a mutex, and a list of routes. */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "support/decision_kit.h"

namespace
{
constexpr uint32_t kEntries = 1000000;
constexpr uint32_t kTokenBytes = 700;

const char *const kConfig =
    "routes:\n"
    "  - {name: r0, path: /catalog/*, authentication: none}\n"
    "  - {name: r1, path: /orders, methods: [GET]}\n"
    "  - {name: r2, path: \"/orders/{id}\", scopes: [read], limits: [one]}\n"
    "  - {name: r3, path: \"/orders/{id}/items\"}\n"
    "  - {name: r4, path: /admin/*, roles: [staff]}\n"
    "  - {name: r5, path: \"/users/{id}\"}\n"
    "  - {name: r6, path: /users/me}\n"
    "  - {name: r7, path: /login, authentication: none}\n"
    "  - {name: r8, path: /static/*, authentication: none}\n"
    "  - {name: r9, path: /health, authentication: none}\n"
    "limit_policies:\n"
    "  - {name: one, rate: 1000000000/s, key: [subject], max_keys: 1200000}\n";

/* Filling the tables takes seconds and benchmarks are begun several times: the last kit is kept. */
decision_kit *kit_of(uint32_t tokens)
{
    static decision_kit *kept = nullptr;
    static uint32_t kept_tokens = 0;
    if (kept && kept_tokens == tokens)
        return kept;
    if (kept)
        decision_kit_free(kept);
    decision_kit_options o{};
    o.config = kConfig;
    o.method = "GET";
    o.host = "shop.example";
    o.path = "/orders/12345678";
    o.tokens = tokens;
    o.entries = kEntries;
    o.policy = "one";
    o.token_bytes = kTokenBytes;
    kept_tokens = tokens;
    kept = decision_kit_new(&o);
    return kept;
}

/* Far from what was asked last, so that no line is still in a cache. */
uint32_t stride(uint32_t i, uint32_t n)
{
    return static_cast<uint32_t>(i * uint64_t{2654435761u} % n);
}

template <void (*Ask)(decision_kit *, uint32_t)> void run(benchmark::State &state)
{
    const auto tokens = static_cast<uint32_t>(state.range(0));
    decision_kit *kit = kit_of(tokens);
    uint32_t i = 0;
    for (auto _ : state) {
        Ask(kit, stride(i, tokens));
        if (++i % 16 == 0) /* a turn of the loop */
            decision_kit_pass(kit, 10000);
    }
    state.SetItemsProcessed(state.iterations());
}

void whole_decision(benchmark::State &state)
{
    run<decision_kit_decide>(state);
}

void token_alone(benchmark::State &state)
{
    run<decision_kit_token_only>(state);
}
BENCHMARK(whole_decision)->Arg(1);
BENCHMARK(token_alone)->Arg(1);
BENCHMARK(whole_decision)->Arg(1024);
BENCHMARK(token_alone)->Arg(1024);
BENCHMARK(whole_decision)->Arg(16384);
BENCHMARK(token_alone)->Arg(16384);

/* ---- the plain way ---- */

struct Plain {
    struct Claims {
        std::string subject, session, jti, scopes;
        int64_t exp_ms;
    };
    std::mutex mutex;
    std::unordered_map<std::string, Claims> tokens;
    std::unordered_set<std::string> ids;
    std::unordered_map<std::string, int64_t> cutoffs, limits;
    std::vector<std::string> asked;
    std::vector<std::pair<std::string, std::string>> routes;

    explicit Plain(uint32_t n)
    {
        for (uint32_t i = 0; i < kEntries; i++) {
            ids.insert("jti:other-" + std::to_string(i));
            cutoffs.emplace("sub:other-" + std::to_string(i), 0);
            limits.emplace("one:other-" + std::to_string(i), 0);
        }
        for (uint32_t i = 0; i < n; i++) {
            std::string token(kTokenBytes, 'x');
            token += std::to_string(i);
            std::string id = std::to_string(i);
            tokens.emplace(token, Claims{"user-" + id, "session-" + id, id, "read write", 1});
            asked.push_back(token);
        }
        for (const char *p : {"/catalog/*", "/orders", "/orders/", "/admin/*", "/users/", "/login"})
            routes.emplace_back(p, "read");
    }

    bool decide(const std::string &token, const std::string &path, int64_t now)
    {
        std::lock_guard<std::mutex> lock(mutex);
        const std::string *scope = nullptr;
        for (const auto &route : routes)
            if (path.compare(0, route.first.size(), route.first) == 0)
                scope = &route.second;
        auto found = tokens.find(token);
        if (!scope || found == tokens.end())
            return false;
        const Claims &c = found->second;
        if (ids.count("jti:" + c.jti) || ids.count("sid:" + c.session) ||
            cutoffs.count("sub:" + c.subject) || c.scopes.find(*scope) == std::string::npos)
            return false;
        int64_t &state = limits["one:" + c.subject];
        if (state > now + 1000000000)
            return false;
        state = (state > now ? state : now) + 1;
        return true;
    }
};

void plain_containers(benchmark::State &state)
{
    const auto tokens = static_cast<uint32_t>(state.range(0));
    static Plain *kept = nullptr;
    if (!kept || kept->asked.size() != tokens) {
        delete kept;
        kept = new Plain(tokens);
    }
    Plain &plain = *kept;
    const std::string path = "/orders/12345678";
    uint32_t i = 0;
    for (auto _ : state) {
        if (!plain.decide(plain.asked[stride(i, tokens)], path, i))
            abort();
        i++;
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(plain_containers)->Arg(1)->Arg(1024)->Arg(16384);
} // namespace

BENCHMARK_MAIN();
