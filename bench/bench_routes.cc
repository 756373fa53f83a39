/* SPDX-License-Identifier: Apache-2.0
 * Matching a request to its route: the compiled router beside what one would write first, a list
 * of patterns tried in order of specificity. 10 and 1,000 routes, a third each of exact paths,
 * templates and prefixes; requests that match one of them, in random order. */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "edge/state/routes.h"

namespace
{
constexpr size_t kRequests = 1024;

struct World {
    std::vector<std::string> names, patterns, paths;
    std::vector<pc_route_rule> rules;
    pc_routes *routes = nullptr;

    explicit World(size_t n)
    {
        static const char *const tails[] = {"/items", "/{id}/items", "/*"};
        for (size_t i = 0; i < n; i++) {
            names.push_back("route-" + std::to_string(i));
            patterns.push_back("/api/service-" + std::to_string(i) + tails[i % 3]);
        }
        for (size_t i = 0; i < n; i++) {
            pc_route_rule rule{};
            rule.name = names[i].c_str();
            rule.path = patterns[i].c_str();
            rules.push_back(rule);
        }
        if (pc_routes_compile(rules.data(), static_cast<unsigned>(n), &routes, nullptr) < 0)
            abort();
        std::mt19937_64 rng(42);
        static const char *const ends[] = {"/items", "/12345678/items", "/some/where/below"};
        for (size_t i = 0; i < kRequests; i++) {
            size_t route = rng() % n;
            paths.push_back("/api/service-" + std::to_string(route) + ends[route % 3]);
        }
    }
    ~World()
    {
        pc_routes_free(routes);
    }
    World(const World &) = delete;
    World &operator=(const World &) = delete;
};

void routes_match(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    size_t i = 0;
    pc_route_request request{};
    request.method = pc_bytes_str("GET");
    request.host = pc_bytes_str("api.example");
    for (auto _ : state) {
        const std::string &path = w.paths[i++ % kRequests];
        request.path = pc_bytes_of(path.data(), path.size());
        uint32_t route = pc_routes_find(w.routes, &request);
        if (route == PC_ROUTE_NONE)
            abort();
        benchmark::DoNotOptimize(route);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(routes_match)->Arg(10)->Arg(1000);

/* One pattern after the other, segment by segment. */
bool matches(const std::string &pattern, const std::string &path)
{
    size_t p = 0, s = 0;
    while (p < pattern.size()) {
        if (pattern[p] == '*')
            return true;
        if (pattern[p] == '{') {
            p = pattern.find('}', p) + 1;
            size_t end = path.find('/', s);
            s = end == std::string::npos ? path.size() : end;
            continue;
        }
        if (s >= path.size() || path[s] != pattern[p])
            return false;
        p++;
        s++;
    }
    return s == path.size();
}

void list_of_patterns(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    std::vector<std::string> order;
    for (size_t kind = 0; kind < 3; kind++)
        for (size_t i = kind; i < w.patterns.size(); i += 3)
            order.push_back(w.patterns[i]);
    size_t i = 0;
    for (auto _ : state) {
        const std::string &path = w.paths[i++ % kRequests];
        size_t found = order.size();
        for (size_t k = 0; k < order.size() && found == order.size(); k++)
            if (matches(order[k], path))
                found = k;
        if (found == order.size())
            abort();
        benchmark::DoNotOptimize(found);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(list_of_patterns)->Arg(10)->Arg(1000);
} // namespace

BENCHMARK_MAIN();
