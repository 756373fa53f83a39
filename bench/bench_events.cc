/* SPDX-License-Identifier: Apache-2.0
 * The history of events beside a ring of strings under a mutex: adding one revocation, reading one,
 * and a batch told to cores of which none, or one, watches. */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "edge/state/event_log.h"
#include "edge/writer/events.h"

namespace
{

constexpr size_t kEventBytes = 120; /* an encoded revocation, about */
constexpr size_t kLogBytes = 1 << 20;
constexpr unsigned kBatch = 64;

pc_bytes event()
{
    static const std::string text(kEventBytes, 'x');
    return pc_bytes_of(text.data(), text.size());
}

struct Log {
    pc_event_log *log = nullptr;
    uint64_t at = 1;
    Log()
    {
        if (pc_event_log_new(kLogBytes, &log) != 0)
            std::abort();
    }
    ~Log()
    {
        pc_event_log_free(log);
    }
    void add(pc_bytes s)
    {
        pc_event_log_append(log, 1, s);
        pc_event_log_publish(log);
    }
    size_t read(uint8_t *into)
    {
        pc_buf b = pc_buf_of(into, PC_EVENT_BYTES_MAX);
        unsigned type;
        if (pc_event_log_read(log, at, &b, &type) != 0)
            std::abort();
        return b.len;
    }
};

/* What it replaces: as many strings as fit the same memory. */
struct Locked {
    std::mutex lock;
    std::vector<std::string> ring{kLogBytes / kEventBytes};
    size_t next = 0;
    void add(pc_bytes s)
    {
        std::lock_guard<std::mutex> guard(lock);
        ring[next++ % ring.size()].assign(reinterpret_cast<const char *>(s.p), s.n);
    }
    size_t read(uint8_t *into)
    {
        std::lock_guard<std::mutex> guard(lock);
        const std::string &s = ring[0];
        memcpy(into, s.data(), s.size());
        return s.size();
    }
};

template <class History> void add(benchmark::State &state)
{
    History history;
    pc_bytes s = event();
    for (auto _ : state)
        history.add(s);
    state.SetItemsProcessed(state.iterations());
}

template <class History> void read(benchmark::State &state)
{
    History history;
    std::vector<uint8_t> into(PC_EVENT_BYTES_MAX);
    history.add(event());
    for (auto _ : state)
        benchmark::DoNotOptimize(history.read(into.data()));
    state.SetItemsProcessed(state.iterations());
}

/* What a batch of revocations costs the writer beyond its journal; posting itself is free here. */
void tell(benchmark::State &state)
{
    pc_events_options options = {};
    pc_events *events = nullptr;
    options.cores = 8;
    options.flag_bytes = PC_EVENTS_FLAG_BYTES;
    options.revocation_bytes = PC_EVENTS_REVOCATION_BYTES;
    options.post = [](void *, unsigned, void *) {};
    if (pc_events_new(&options, &events) != 0)
        std::abort();
    if (state.range(0))
        pc_events_watch(events, 3, 1u << PC_STREAM_REVOCATIONS, 1);
    for (auto _ : state) {
        for (unsigned i = 0; i < kBatch; i++)
            pc_events_add_revocation(events, event());
        pc_events_tell(events);
        if (state.range(0))
            pc_events_nudged(events, 3);
    }
    state.SetItemsProcessed(state.iterations() * kBatch);
    pc_events_free(events);
}

BENCHMARK(add<Log>)->Name("add/log");
BENCHMARK(add<Locked>)->Name("add/strings_under_mutex");
BENCHMARK(read<Log>)->Name("read/log");
BENCHMARK(read<Locked>)->Name("read/strings_under_mutex");
BENCHMARK(tell)->Name("tell_64/watching_cores")->Arg(0)->Arg(1);

} // namespace

BENCHMARK_MAIN();
