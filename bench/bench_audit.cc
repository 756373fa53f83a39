// SPDX-License-Identifier: Apache-2.0
// Lines of the audit, beside what one would reach for first: building the same object with jansson
// and dumping it, without the chain. The number of Changes in the line is the argument.
#include <benchmark/benchmark.h>
#include <jansson.h>

#include <cstdlib>
#include <string>
#include <vector>

/* C lets a function and a struct share a name (sha256.h). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "link/audit_line.h"
#pragma GCC diagnostic pop

namespace
{
constexpr int64_t kTimeMs = 1763632800123;

struct World {
    std::vector<std::string> ids;
    std::vector<pc_change> changes;
    std::vector<uint8_t> buffer = std::vector<uint8_t>(PC_AUDIT_LINE_MAX);

    explicit World(size_t n)
    {
        for (size_t i = 0; i < n; i++)
            ids.push_back("01a1f934-ea08-780a-acd6-46bbbecd" + std::to_string(1000 + i));
        for (const std::string &id : ids) {
            pc_change c = {};
            c.node = 0xb9e631469b4d151b;
            c.kind = PC_KIND_TOKEN;
            c.op = PC_OP_REVOKE;
            c.issuer = pc_bytes_str("https://login.example");
            c.id = pc_bytes_of(id.data(), id.size());
            c.expires_at_ms = kTimeMs + 900000;
            c.actor = pc_bytes_str("token:operations");
            c.source = pc_bytes_str("192.0.2.17");
            c.request_id = pc_bytes_str("01a1f934-ea08-780a-acd6-46bbbecda11d");
            c.reason = pc_bytes_str("stolen laptop");
            changes.push_back(c);
        }
    }
};

void line(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    pc_audit_hash hash = {};
    size_t bytes = 0;
    for (auto _ : state) {
        pc_audit_line l;
        pc_audit_line_begin(&l, w.buffer.data(), &w.changes[0], 1, kTimeMs);
        for (size_t i = 1; i < w.changes.size(); i++)
            pc_audit_line_add(&l, &w.changes[i]);
        bytes += pc_audit_line_end(&l, &hash, &hash).n;
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * w.changes.size()));
    state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(line)->Arg(1)->Arg(10)->Arg(100);

json_t *text(pc_bytes s)
{
    return json_stringn(reinterpret_cast<const char *>(s.p), s.n);
}

void line_by_jansson(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    size_t bytes = 0;
    for (auto _ : state) {
        json_t *changes = json_array();
        for (const pc_change &c : w.changes)
            json_array_append_new(changes, json_pack("{s:s,s:s,s:o,s:o,s:f}", "op", "revoke",
                                                     "kind", "token", "issuer", text(c.issuer),
                                                     "id", text(c.id), "expires_at",
                                                     static_cast<double>(c.expires_at_ms) / 1000));
        const pc_change &c = w.changes[0];
        json_t *object =
            json_pack("{s:i,s:s,s:s,s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "v", 1, "time",
                      "2025-11-20T10:00:00.123Z", "node", "b9e631469b4d151b", "first",
                      json_int_t{1}, "last", static_cast<json_int_t>(w.changes.size()), "actor",
                      text(c.actor), "source", text(c.source), "request_id", text(c.request_id),
                      "reason", text(c.reason), "changes", changes);
        char *dumped = json_dumps(object, JSON_COMPACT);
        bytes += strlen(dumped);
        free(dumped);
        json_decref(object);
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * w.changes.size()));
    state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(line_by_jansson)->Arg(1)->Arg(10)->Arg(100);

void read_line(benchmark::State &state)
{
    World w(static_cast<size_t>(state.range(0)));
    pc_audit_hash hash = {};
    pc_audit_line l;
    pc_audit_line_begin(&l, w.buffer.data(), &w.changes[0], 1, kTimeMs);
    for (size_t i = 1; i < w.changes.size(); i++)
        pc_audit_line_add(&l, &w.changes[i]);
    pc_bytes whole = pc_audit_line_end(&l, &hash, &hash);
    whole.n--;
    for (auto _ : state) {
        pc_audit_entry e;
        benchmark::DoNotOptimize(pc_audit_line_parse(whole, &e));
        pc_audit_line_hash(whole, &hash);
    }
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * whole.n));
}
BENCHMARK(read_line)->Arg(1)->Arg(100);
} // namespace

BENCHMARK_MAIN();
