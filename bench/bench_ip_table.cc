/* SPDX-License-Identifier: Apache-2.0
 * The longest-prefix match beside plain baselines: a linear scan (10 rules), a hash map for each
 * prefix length (the usual way without a trie), 10, 10 k and 1 M rules, v4 and v6 half and half.
 *
 * "cached": 1,024 addresses in turn, drawn at random, nine in ten inside a rule; their cache lines
 * stay. "cold": 4 M addresses, so that the lower lines of the table come from memory. The counter
 * bytes_per_rule is all memory of the table. */
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "edge/state/ip_list.h"
#include "edge/state/ip_sets.h"
#include "edge/state/registers.h"

namespace
{

struct Rules {
    std::vector<pc_ip_rule> v;
    std::vector<pc_ip> addresses;
};

void mask(pc_cidr &c)
{
    for (unsigned i = c.bits; i < 128; i++)
        c.ip.b[i / 8] &= static_cast<uint8_t>(~(0x80 >> (i % 8)));
}

/* Lengths as block lists have them: v4 mostly /24 and hosts, v6 mostly /48, /64 and hosts. */
pc_cidr draw(std::mt19937_64 &random, bool v6)
{
    static const uint8_t lengths4[] = {32, 32, 32, 32, 24, 24, 24, 22, 20, 16};
    static const uint8_t lengths6[] = {128, 128, 64, 64, 64, 56, 48, 48, 40, 32};
    pc_cidr c{};
    c.ip.family = v6 ? 6 : 4;
    for (unsigned i = 0; i < (v6 ? 16u : 4u); i++)
        c.ip.b[i] = static_cast<uint8_t>(random());
    if (v6)
        c.ip.b[0] = 0x20;
    c.bits = v6 ? lengths6[random() % 10] : lengths4[random() % 10];
    mask(c);
    return c;
}

pc_ip inside(std::mt19937_64 &random, const pc_cidr &c)
{
    pc_ip ip = c.ip;
    for (unsigned i = c.bits; i < (ip.family == 6 ? 128u : 32u); i++)
        ip.b[i / 8] |= static_cast<uint8_t>(random() % 2 << (7 - i % 8));
    return ip;
}

/* n networks, no two equal. */
const Rules &rules(size_t n, size_t addresses)
{
    static std::map<std::pair<size_t, size_t>, Rules> made;
    Rules &r = made[{n, addresses}];
    if (!r.v.empty())
        return r;
    std::mt19937_64 random(n);
    for (size_t i = 0; i < n; i++) {
        pc_ip_rule rule{};
        rule.cidr = draw(random, i % 2);
        rule.deny = true;
        rule.expires_at_ms = INT64_MAX;
        r.v.push_back(rule);
    }
    for (size_t i = 0; i < addresses; i++) {
        bool hit = random() % 10 != 0;
        r.addresses.push_back(hit ? inside(random, r.v[random() % n].cidr)
                                  : draw(random, i % 2).ip);
    }
    return r;
}

pc_ip_table *build(const Rules &r)
{
    pc_ip_builder *b;
    pc_ip_table *t;
    pc_why why;
    if (pc_ip_builder_new(&b))
        std::abort();
    for (const pc_ip_rule &rule : r.v)
        if (pc_ip_builder_add(b, &rule))
            std::abort();
    if (pc_ip_builder_finish(b, &t, &why))
        std::abort();
    pc_ip_builder_free(b);
    return t;
}

constexpr size_t kHot = 1024, kCold = 4u << 20;

void table_match(benchmark::State &state, size_t addresses)
{
    const Rules &r = rules(static_cast<size_t>(state.range(0)), addresses);
    pc_ip_table *t = build(r);
    pc_ip_hit hit;
    size_t i = 0, found = 0;
    for (auto _ : state)
        found += pc_ip_table_match(t, &r.addresses[i++ & (addresses - 1)], 1, &hit);
    benchmark::DoNotOptimize(found);
    state.counters["bytes_per_rule"] =
        static_cast<double>(pc_ip_table_bytes(t)) / pc_ip_table_count(t);
    state.counters["MiB"] = static_cast<double>(pc_ip_table_bytes(t)) / (1 << 20);
    state.SetItemsProcessed(state.iterations());
    pc_ip_table_free(t);
}

void table_cached(benchmark::State &state)
{
    table_match(state, kHot);
}

void table_cold(benchmark::State &state)
{
    table_match(state, kCold);
}

/* Clients that are on no list, as most are: the filter says so. */
void unlisted_cached(benchmark::State &state)
{
    const Rules &r = rules(static_cast<size_t>(state.range(0)), kHot);
    std::mt19937_64 random(9);
    std::vector<pc_ip> strangers;
    for (size_t i = 0; i < kHot; i++)
        strangers.push_back(draw(random, i % 2).ip);
    pc_ip_table *t = build(r);
    pc_ip_hit hit;
    size_t i = 0, found = 0;
    for (auto _ : state)
        found += pc_ip_table_match(t, &strangers[i++ & (kHot - 1)], 1, &hit);
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
    pc_ip_table_free(t);
}

/* The search's worst case: a million hosts of one /64, which share the tree's key. */
void one_network_cached(benchmark::State &state)
{
    std::mt19937_64 random(1);
    Rules r;
    pc_cidr network{};
    network.ip.family = 6;
    network.ip.b[0] = 0x20;
    network.bits = 64;
    for (int64_t i = 0; i < state.range(0); i++) {
        pc_ip_rule rule{};
        rule.cidr.ip = inside(random, network);
        rule.cidr.bits = 128;
        rule.expires_at_ms = INT64_MAX;
        r.v.push_back(rule);
    }
    pc_ip_table *t = build(r);
    pc_ip_hit hit;
    size_t i = 0, found = 0;
    for (auto _ : state)
        found += pc_ip_table_match(t, &r.v[i++ & (kHot - 1)].cidr.ip, 1, &hit);
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
    pc_ip_table_free(t);
}

std::string list_of(const Rules &r, const char *tail)
{
    std::string text;
    for (const pc_ip_rule &rule : r.v) {
        char line[PC_CIDR_TEXT_MAX];
        pc_buf b = pc_buf_of(line, sizeof line);
        pc_cidr_format(&rule.cidr, &b);
        text.append("deny ").append(line, b.len).append(tail);
    }
    return text;
}

pc_ip_configured *configured(const std::string &text)
{
    pc_ip_set_source source{};
    pc_ip_configured *c;
    source.name = "global";
    source.list = pc_bytes_of(text.data(), text.size());
    source.list_name = "bench";
    if (pc_ip_configured_new(&source, 1, &c, nullptr))
        std::abort();
    return c;
}

/* What administrators added: hosts of 10.0.0.0/8. */
pc_registers *runtime(size_t n)
{
    std::vector<std::string> keys(n);
    std::vector<pc_register> rules(n);
    pc_registers *r;
    for (size_t i = 0; i < n; i++) {
        keys[i] = "global 10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) +
                  "." + std::to_string(i & 255) + "/32";
        rules[i].key = pc_bytes_str(keys[i].c_str());
        rules[i].value = PC_LIT("deny");
        rules[i].actor = PC_LIT("token:operator");
        rules[i].reason = PC_LIT("seen in logs");
        rules[i].expires_at_ms = INT64_MAX;
    }
    if (pc_registers_merge(nullptr, rules.data(), n, 0, SIZE_MAX, &r))
        std::abort();
    return r;
}

/* What a decision calls: configured and runtime rules of a set, with its default. */
void sets_cached(benchmark::State &state)
{
    const Rules &r = rules(static_cast<size_t>(state.range(0)), kHot);
    pc_ip_configured *c = configured(list_of(r, "\n"));
    pc_registers *added = runtime(static_cast<size_t>(state.range(1)));
    pc_ip_sets *s;
    pc_ip_match m;
    if (pc_ip_sets_compile(c, added, 0, &s, nullptr))
        std::abort();
    size_t i = 0, denied = 0;
    for (auto _ : state) {
        pc_ip_sets_match(s, PC_IP_GLOBAL, &r.addresses[i++ & (kHot - 1)], 1, &m);
        denied += m.deny;
    }
    benchmark::DoNotOptimize(denied);
    state.SetItemsProcessed(state.iterations());
    pc_ip_sets_free(s);
    pc_registers_free(added);
    pc_ip_configured_free(c);
}

/* What the writer does for each batch that adds or removes runtime rules. */
void compile_runtime(benchmark::State &state)
{
    pc_ip_configured *c = configured("");
    pc_registers *added = runtime(static_cast<size_t>(state.range(0)));
    for (auto _ : state) {
        pc_ip_sets *s;
        if (pc_ip_sets_compile(c, added, 0, &s, nullptr))
            std::abort();
        pc_ip_sets_free(s);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    pc_registers_free(added);
    pc_ip_configured_free(c);
}

/* From the text of a list file to the table, as on a reload. */
void load_list(benchmark::State &state)
{
    std::string text =
        list_of(rules(static_cast<size_t>(state.range(0)), kHot), " # seen in logs\n");
    for (auto _ : state)
        pc_ip_configured_free(configured(text));
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

void linear_cached(benchmark::State &state)
{
    const Rules &r = rules(static_cast<size_t>(state.range(0)), kHot);
    size_t i = 0, found = 0;
    for (auto _ : state) {
        const pc_ip &ip = r.addresses[i++ & (kHot - 1)];
        const pc_ip_rule *best = nullptr;
        for (const pc_ip_rule &rule : r.v)
            if (pc_cidr_contains(&rule.cidr, &ip) && (!best || rule.cidr.bits > best->cidr.bits))
                best = &rule;
        found += best != nullptr;
    }
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
}

struct Hash {
    size_t operator()(const pc_ip &ip) const
    {
        uint64_t a, b;
        std::memcpy(&a, ip.b, 8);
        std::memcpy(&b, ip.b + 8, 8);
        return (a * 0x9e3779b97f4a7c15u ^ b) * 0xff51afd7ed558ccdu >> 20;
    }
};
struct Equal {
    bool operator()(const pc_ip &a, const pc_ip &b) const
    {
        return pc_ip_eq(&a, &b);
    }
};

/* A hash map for each length that occurs, longest first. */
void map_cached(benchmark::State &state)
{
    const Rules &r = rules(static_cast<size_t>(state.range(0)), kHot);
    std::map<int, std::unordered_map<pc_ip, bool, Hash, Equal>, std::greater<int>> maps[2];
    for (const pc_ip_rule &rule : r.v)
        maps[rule.cidr.ip.family == 6][rule.cidr.bits][rule.cidr.ip] = true;
    size_t i = 0, found = 0;
    for (auto _ : state) {
        const pc_ip &ip = r.addresses[i++ & (kHot - 1)];
        for (const auto &[bits, map] : maps[ip.family == 6]) {
            pc_cidr c{ip, static_cast<uint8_t>(bits)};
            mask(c);
            if (map.find(c.ip) != map.end()) {
                found++;
                break;
            }
        }
    }
    benchmark::DoNotOptimize(found);
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(table_cached)->Arg(10)->Arg(10000)->Arg(1000000);
BENCHMARK(table_cold)->Arg(1000000);
BENCHMARK(unlisted_cached)->Arg(1000)->Arg(10000);
BENCHMARK(one_network_cached)->Arg(1000000);
BENCHMARK(sets_cached)->Args({10, 0})->Args({10000, 0})->Args({1000000, 0});
BENCHMARK(sets_cached)->Args({1000000, 1000})->Args({1000000, 65536});
BENCHMARK(compile_runtime)->Arg(10)->Arg(1000)->Arg(65536)->Unit(benchmark::kMicrosecond);
BENCHMARK(linear_cached)->Arg(10)->Arg(10000);
BENCHMARK(map_cached)->Arg(10)->Arg(10000)->Arg(1000000);
BENCHMARK(load_list)->Arg(10000)->Arg(1000000)->Unit(benchmark::kMillisecond);

} // namespace

BENCHMARK_MAIN();
