/* SPDX-License-Identifier: Apache-2.0
 * The SPSC queue beside a deque under a mutex: uncontended on one thread, and between two. */
#include <benchmark/benchmark.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "base/spsc.h"
#include "base/waker.h"

namespace
{

constexpr size_t kCapacity = 1024;
int item;

struct Spsc {
    pc_spsc *q = nullptr;
    Spsc()
    {
        if (pc_spsc_new(kCapacity, &q) != 0)
            std::abort();
    }
    ~Spsc()
    {
        pc_spsc_free(q);
    }
    bool push(void *p)
    {
        return pc_spsc_push(q, p);
    }
    void *pop()
    {
        return pc_spsc_pop(q);
    }
};

struct Locked {
    std::mutex lock;
    std::deque<void *> q;
    bool push(void *p)
    {
        std::lock_guard<std::mutex> guard(lock);
        if (q.size() == kCapacity)
            return false;
        q.push_back(p);
        return true;
    }
    void *pop()
    {
        std::lock_guard<std::mutex> guard(lock);
        if (q.empty())
            return nullptr;
        void *p = q.front();
        q.pop_front();
        return p;
    }
};

template <class Queue> void push_pop(benchmark::State &state)
{
    Queue queue;
    for (auto _ : state) {
        benchmark::DoNotOptimize(queue.push(&item));
        benchmark::DoNotOptimize(queue.pop());
    }
    state.SetItemsProcessed(state.iterations());
}

/* The other thread takes everything away; both yield when they cannot go on. */
template <class Queue> void between_threads(benchmark::State &state)
{
    Queue queue;
    std::atomic<bool> stop{false};
    std::thread consumer([&] {
        while (!stop.load(std::memory_order_relaxed))
            if (!queue.pop())
                std::this_thread::yield();
    });
    for (auto _ : state)
        while (!queue.push(&item))
            std::this_thread::yield();
    stop = true;
    consumer.join();
    state.SetItemsProcessed(state.iterations());
}

/* What telling an awake consumer costs: one fence, no system call. */
void notify_awake(benchmark::State &state)
{
    pc_waker *w = nullptr;
    if (pc_waker_new(&w) != 0)
        std::abort();
    for (auto _ : state)
        benchmark::DoNotOptimize(pc_waker_notify(w));
    pc_waker_free(w);
}

BENCHMARK(push_pop<Spsc>)->Name("push_pop/spsc");
BENCHMARK(push_pop<Locked>)->Name("push_pop/deque_under_mutex");
BENCHMARK(between_threads<Spsc>)->Name("between_threads/spsc")->UseRealTime();
BENCHMARK(between_threads<Locked>)->Name("between_threads/deque_under_mutex")->UseRealTime();
BENCHMARK(notify_awake);

} // namespace

BENCHMARK_MAIN();
