// SPDX-License-Identifier: Apache-2.0
// The journal's append and sync beside a plain write() + fdatasync() on a growing file, appends
// without the disk, replay and snapshot reading, and CRC-32C. Files go to $TMPDIR or the current
// directory; a file system in memory would make the syncs meaningless.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/crc32c.h"
// In C a function may have the name of the struct it fills in; C++ only warns about it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "edge/journal/journal.h"
#include "edge/journal/snapshot.h"
#pragma GCC diagnostic pop

namespace
{

constexpr size_t kRecordBytes = 200; // about one Change

std::string scratch_dir()
{
    const char *tmp = getenv("TMPDIR");
    std::string path = std::string(tmp ? tmp : ".") + "/bench-journal-XXXXXX";
    if (!mkdtemp(path.data()))
        abort();
    return path;
}

void remove_dir(const std::string &path)
{
    DIR *dir = opendir(path.c_str());
    while (dirent *entry = dir ? readdir(dir) : nullptr)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(path.c_str());
}

struct Replayed {
    uint64_t records = 0, bytes = 0;
};

int take_record(void *ctx, const pc_record *record)
{
    auto *r = static_cast<Replayed *>(ctx);
    r->records++;
    r->bytes += record->bytes.n;
    return 0;
}

int take_snapshot(void *ctx, pc_snapshot_reader *snapshot)
{
    auto *r = static_cast<Replayed *>(ctx);
    uint32_t section;
    pc_bytes block;
    while (pc_snapshot_next(snapshot, &section, &block) > 0)
        r->bytes += block.n;
    return 0;
}

pc_journal *open_journal(const std::string &dir, Replayed *replayed)
{
    pc_journal_options options = {};
    options.dir = dir.c_str();
    options.incarnation = 1;
    options.new_id = 1;
    options.pid = 1;
    pc_replay replay = {replayed, take_snapshot, take_record, nullptr};
    pc_journal *j = nullptr;
    pc_recovered recovered;
    pc_why why;
    if (pc_journal_open(&options, &replay, &j, &recovered, &why) < 0) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
    return j;
}

std::vector<pc_bytes> records_of(size_t n)
{
    static const std::vector<uint8_t> payload(kRecordBytes, 'x');
    return std::vector<pc_bytes>(n, pc_bytes_of(payload.data(), payload.size()));
}

// Keeps the disk from filling up: a snapshot of everything, then the segments go.
void shed(pc_journal *j)
{
    static const uint8_t key[PC_SNAPSHOT_KEY_ID_BYTES] = {};
    pc_snapshot_writer *w;
    if (pc_snapshot_begin(j, pc_journal_durable(j), key, 1, &w, nullptr) < 0 ||
        pc_snapshot_commit(w, nullptr) < 0 || pc_journal_retire(j, UINT64_MAX, nullptr) < 0)
        abort();
}

void run_appends(benchmark::State &state, bool sync)
{
    std::string dir = scratch_dir();
    Replayed replayed;
    pc_journal *j = open_journal(dir, &replayed);
    auto records = records_of(static_cast<size_t>(state.range(0)));
    uint64_t first, durable, since = 0;
    for (auto _ : state) {
        int err = pc_journal_append(j, records.data(), records.size(), 1, &first);
        if (err == 0 && sync)
            err = pc_journal_sync(j, &durable);
        if (err < 0)
            state.SkipWithError("append or sync failed");
        since += records.size() * kRecordBytes;
        if (since < (8u << 20))
            continue;
        since = 0;
        state.PauseTiming(); // what another thread does in the server
        pc_journal_sync(j, &durable);
        shed(j);
        pc_journal_prepare_next(j);
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    pc_journal_close(j);
    remove_dir(dir);
}

void journal_append_sync(benchmark::State &state)
{
    run_appends(state, true);
}
BENCHMARK(journal_append_sync)->Arg(1)->Arg(16)->Arg(256)->UseRealTime();

void journal_append(benchmark::State &state)
{
    run_appends(state, false);
}
BENCHMARK(journal_append)->Arg(1)->Arg(16)->Arg(256);

// Baseline: what a server does that just appends to a file.
void plain_write_fdatasync(benchmark::State &state)
{
    std::string dir = scratch_dir(), path = dir + "/log";
    std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)) * kRecordBytes, 'x');
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    for (auto _ : state)
        if (write(fd, bytes.data(), bytes.size()) < 0 || fdatasync(fd) < 0)
            state.SkipWithError("write or fdatasync failed");
    state.SetItemsProcessed(state.iterations() * state.range(0));
    close(fd);
    remove_dir(dir);
}
BENCHMARK(plain_write_fdatasync)->Arg(1)->Arg(16)->Arg(256)->UseRealTime();

void plain_write(benchmark::State &state)
{
    std::string dir = scratch_dir(), path = dir + "/log";
    std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)) * kRecordBytes, 'x');
    int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
    off_t at = 0;
    for (auto _ : state) {
        if (pwrite(fd, bytes.data(), bytes.size(), at) < 0)
            state.SkipWithError("write failed");
        at = (at + static_cast<off_t>(bytes.size())) % (16 << 20);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    close(fd);
    remove_dir(dir);
}
BENCHMARK(plain_write)->Arg(1)->Arg(16)->Arg(256);

// Start with n records in the log.
void journal_replay(benchmark::State &state)
{
    std::string dir = scratch_dir();
    Replayed replayed;
    pc_journal *j = open_journal(dir, &replayed);
    auto records = records_of(256);
    uint64_t first, durable;
    for (int64_t n = 0; n < state.range(0); n += 256)
        if (pc_journal_append(j, records.data(), records.size(), 1, &first) < 0)
            abort();
    pc_journal_sync(j, &durable);
    pc_journal_close(j);
    uint64_t bytes = 0, seen = 0;
    for (auto _ : state) {
        replayed = Replayed();
        j = open_journal(dir, &replayed);
        state.PauseTiming();
        pc_journal_close(j);
        state.ResumeTiming();
        bytes += replayed.bytes;
        seen += replayed.records;
    }
    state.SetBytesProcessed(static_cast<int64_t>(bytes));
    state.SetItemsProcessed(static_cast<int64_t>(seen));
    remove_dir(dir);
}
BENCHMARK(journal_replay)->Arg(100000)->Unit(benchmark::kMillisecond)->Iterations(5);

// Start from a snapshot of so many MiB: verified, then handed out.
void snapshot_start(benchmark::State &state)
{
    std::string dir = scratch_dir();
    Replayed replayed;
    pc_journal *j = open_journal(dir, &replayed);
    static const uint8_t key[PC_SNAPSHOT_KEY_ID_BYTES] = {};
    std::vector<uint8_t> block(256 << 10, 'x');
    pc_snapshot_writer *w;
    if (pc_snapshot_begin(j, 1, key, 1, &w, nullptr) < 0)
        abort();
    for (int64_t n = 0; n < state.range(0) * 4; n++)
        pc_snapshot_block(w, 1, block.data(), block.size());
    if (pc_snapshot_commit(w, nullptr) < 0)
        abort();
    pc_journal_close(j);
    uint64_t bytes = 0;
    for (auto _ : state) {
        replayed = Replayed();
        j = open_journal(dir, &replayed);
        state.PauseTiming();
        pc_journal_close(j);
        state.ResumeTiming();
        bytes += replayed.bytes;
    }
    state.SetBytesProcessed(static_cast<int64_t>(bytes));
    remove_dir(dir);
}
BENCHMARK(snapshot_start)->Arg(16)->Arg(256)->Unit(benchmark::kMillisecond)->Iterations(5);

// Baseline: reading such a file once.
void plain_read(benchmark::State &state)
{
    std::string dir = scratch_dir(), path = dir + "/file";
    std::vector<uint8_t> block(1 << 20, 'x');
    int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
    for (int64_t n = 0; n < state.range(0); n++)
        if (write(fd, block.data(), block.size()) < 0)
            abort();
    for (auto _ : state)
        for (int64_t n = 0; n < state.range(0); n++)
            if (pread(fd, block.data(), block.size(), n << 20) < 0)
                state.SkipWithError("read failed");
    state.SetBytesProcessed(state.iterations() * (state.range(0) << 20));
    close(fd);
    remove_dir(dir);
}
BENCHMARK(plain_read)->Arg(256)->Unit(benchmark::kMillisecond)->Iterations(5);

void crc32c(benchmark::State &state)
{
    std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 'x');
    uint32_t crc = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(crc = pc_crc32c(crc, bytes.data(), bytes.size()));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c)->Arg(256)->Arg(4096)->Arg(1 << 20);

void crc32c_portable(benchmark::State &state)
{
    std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 'x');
    uint32_t crc = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(crc = pc_crc32c_portable(crc, bytes.data(), bytes.size()));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_portable)->Arg(4096);

} // namespace

BENCHMARK_MAIN();
