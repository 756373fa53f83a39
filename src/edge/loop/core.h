/* SPDX-License-Identifier: Apache-2.0
 * The engine: N core threads, each with its own io_uring, connections, timers and mailbox. It
 * moves bytes between sockets and a protocol's function table (conn.h) and messages between
 * threads, and knows nothing of what either means.
 *
 * A core's turn:
 *     enter the kernel once (submit what the last turn made, sleep if there is nothing to do)
 *     read the clocks; turn_start()
 *     completions in a batch: accept, receive -> protocol input(), sent
 *     mailbox -> message(); timers -> timeout(); resumed connections -> input()
 *     turn_end(); every connection with new output gets one send
 *     rcu_quiescent(), or rcu_offline() / rcu_online() around a sleep
 *
 * A core with nothing to do sleeps in the kernel at once. Polling for 50 us first was measured: one
 * lone connection gets 36 k instead of 19 k answers a second at 25 instead of 19 us of CPU each,
 * and from 8 connections on nothing changes; a CPU that the writer and the network need is not
 * worth it.
 *
 * Invariants:
 *  I1 Only its own thread touches a core's ring, connections, timers and counters
 *     (PC_ASSERT_ON_CORE). Others use pc_core_post/notify, pc_core_counters, pc_core_overloaded.
 *  I2 A mailbox queue has one producer: producer i < cores is core i, the others are handed out by
 *     the application.
 *  I3 A core sleeps only after declaring itself asleep and finding its mailbox empty
 *     (base/waker.h), so no message waits for an unrelated event.
 *  I4 A core thread ends only when no core can hand it a connection any more. */
#ifndef PC_LOOP_CORE_H
#define PC_LOOP_CORE_H

#include "base/err.h"

#define PC_CORES_MAX       256
#define PC_LISTENERS_MAX   64
#define PC_CORE_TIMERS_MAX 16
/* Deadlines and core timers fire at most this late. */
#define PC_TIMER_TICK_NS (INT64_C(1) << 25) /* 33.6 ms */

struct pc_conn;
struct pc_core;
struct pc_loop;
struct pc_protocol;

/* Optional features newer than Linux 6.1: used where the kernel has them and the configuration
 * does not mask them. */
enum pc_loop_feature {
    PC_FEATURE_NO_IOWAIT = 1 << 0, /* a sleeping ring is not counted as I/O wait */
};

/* Where connections come from. The descriptor is bound and listening (listener.h); the loop takes
 * it over and closes it. `user` is the application's (roles, trusted peers). */
struct pc_listener {
    int fd;
    const struct pc_protocol *protocol;
    void *user;
};

/* The application's functions, all called on the core's thread; any may be NULL. */
struct pc_loop_hooks {
    /* First and last thing on a core's thread (register with RCU, per-core tables). A failure stops
     * the start; thread_stop is called for those that had started. */
    int (*thread_start)(struct pc_core *core, struct pc_why *why);
    void (*thread_stop)(struct pc_core *core);
    void (*turn_start)(struct pc_core *core); /* now_ms and now_ns are fresh */
    void (*turn_end)(struct pc_core *core);   /* may still write to connections */
    void (*message)(struct pc_core *core, unsigned producer, void *msg);
    void (*rcu_quiescent)(struct pc_core *core);
    void (*rcu_offline)(struct pc_core *core);
    void (*rcu_online)(struct pc_core *core);
    /* A message that was still queued when its core had ended; called by pc_loop_free(). */
    void (*discard)(void *msg);
};

/* Fault injection for tests (tests/unit/loop): NULL in production, one predictable branch then.
 * See faults.h. */
struct pc_loop_faults;

/* 0 means the default given here. */
struct pc_loop_config {
    unsigned cores;               /* 1 */
    const int *cpus;              /* [cores], copied: pin core i to cpus[i]; NULL, -1: not */
    unsigned extra_producers;     /* threads other than cores that post messages: 0 */
    unsigned mailbox_entries;     /* per extra producer and core, 1024; from core to core 256 */
    unsigned ring_entries;        /* submission queue, 1024; completion queue 4 x that */
    unsigned recv_buffers;        /* provided to the kernel per core, power of two, 256 */
    unsigned recv_buffer_bytes;   /* 16384 */
    unsigned connections_max;     /* per core, 16384 */
    size_t output_max_bytes;      /* per connection, then reading stops: 256 KiB */
    size_t output_hard_max_bytes; /* per connection, then it is aborted: 64 MiB */
    size_t pool_bytes;            /* unused buffers kept per core, 16 MiB */
    unsigned send_stall_ms;       /* output taken by nobody for so long: abort, 30 s */
    unsigned linger_ms;           /* after the last answer, 1 s */
    unsigned overload_ms;         /* standing queue delay that counts as overload, 5 */
    unsigned accept_retry_ms;     /* after running out of descriptors, 100 */
    uint32_t masked_features;     /* pc_loop_feature bits not to use */
    const struct pc_listener *listeners; /* copied */
    unsigned listener_count;
    struct pc_loop_hooks hooks;
    void *user; /* pc_core.user starts as this */
    const struct pc_loop_faults *faults;
    /* Clocks; NULL: the system's. For tests that own time. */
    int64_t (*clock_mono_ns)(void *user);
    int64_t (*clock_wall_ms)(void *user);
};

/* The public part of a core. The clocks are read once per turn. */
struct pc_core {
    struct pc_loop *loop;
    void *user;     /* the application's per-core state, set in thread_start */
    int64_t now_ms; /* wall */
    int64_t now_ns; /* monotonic */
    uint16_t index;
    bool stopping; /* pc_loop_stop() was noticed: finish and close */
};

/* X(name, help): owner-written counters of one core. */
#define PC_CORE_COUNTERS(X)                                                                        \
    X(turns, "turns of the loop")                                                                  \
    X(sleeps, "turns that slept in the kernel")                                                    \
    X(cqes, "completions handled")                                                                 \
    X(accepted, "connections accepted by this core's listeners")                                   \
    X(accept_errors, "accepts that failed")                                                        \
    X(handed_over, "accepted connections given to another core")                                   \
    X(opened, "connections opened here")                                                           \
    X(closed, "connections closed here")                                                           \
    X(refused_limit, "connections refused at the connection limit")                                \
    X(refused_overload, "connections refused because every core was overloaded")                   \
    X(recvs, "receives that brought bytes")                                                        \
    X(recv_bytes, "bytes received")                                                                \
    X(recv_no_buffers, "receives that found no provided buffer")                                   \
    X(recv_stops, "receives stopped because too much input waited")                                \
    X(sends, "sends submitted")                                                                    \
    X(send_bytes, "bytes taken by the kernel")                                                     \
    X(short_sends, "sends that took only a part")                                                  \
    X(send_errors, "connections lost while sending")                                               \
    X(send_stalls, "connections cut because their output was not taken")                           \
    X(output_full, "times a connection's output limit stopped its input")                          \
    X(input_overflows, "connections cut because a message exceeded the input limit")               \
    X(no_memory, "connections cut because memory was short")                                       \
    X(timeouts, "protocol deadlines that passed")                                                  \
    X(messages, "mailbox messages handled")                                                        \
    X(overload_starts, "times the core became overloaded")                                         \
    X(stale_cqes, "completions for a connection that was gone")                                    \
    X(drained, "connections asked to finish because the server stops")                             \
    X(cut, "connections cut at the stop deadline")

struct pc_core_counters {
#define PC_COUNTER_FIELD(name, help) uint64_t name;
    PC_CORE_COUNTERS(PC_COUNTER_FIELD)
#undef PC_COUNTER_FIELD
    uint64_t connections;    /* open now */
    uint64_t queue_delay_ns; /* smoothed */
    uint64_t pool_bytes;     /* buffers in use and kept */
};

/* ---- life of the loop; one controlling thread ---- */

/* Can this process use io_uring as needed? 0, or an error with the reason and what to change.
 * ret_features: the optional ones that are there. Also what `doctor` shows. */
int pc_loop_check(uint32_t *ret_features, struct pc_why *why);

/* Allocates; starts nothing. On failure the listeners' descriptors stay the caller's. */
int pc_loop_new(const struct pc_loop_config *config, struct pc_loop **ret_loop, struct pc_why *why);
/* Starts the threads and returns when all of them accept connections, or none is left. */
int pc_loop_start(struct pc_loop *loop, struct pc_why *why);
/* Asks all cores to stop: no more accepts, drain() for every connection; what is still open after
 * grace_ms is cut. Any thread, also a second time with a shorter grace. Does not wait. */
void pc_loop_stop(struct pc_loop *loop, unsigned grace_ms);
/* Waits until all core threads have ended (after pc_loop_stop). */
void pc_loop_join(struct pc_loop *loop);
/* Before start or after join; closes the listeners. NULL is allowed. */
void pc_loop_free(struct pc_loop *loop);

unsigned pc_loop_cores(const struct pc_loop *loop);
struct pc_core *pc_loop_core(struct pc_loop *loop, unsigned index);
/* Optional features in use, after the start. */
uint32_t pc_loop_features(const struct pc_loop *loop);

/* ---- from other threads (and from cores) ---- */

/* Producer `producer` (I2) queues msg (not NULL, even address) for the core. False when its queue
 * is full: nothing was posted. The core is woken only by pc_core_notify(), once per batch. */
bool pc_core_post(struct pc_core *core, unsigned producer, void *msg) PC_WARN_UNUSED;
void pc_core_notify(struct pc_core *core);
/* The producer's next `n` posts will succeed. */
bool pc_core_post_room(struct pc_core *core, unsigned producer, size_t n);

/* Any thread: a consistent-enough copy of the counters. */
void pc_core_counters(const struct pc_core *core, struct pc_core_counters *ret_counters);
/* Any thread: the standing queue delay is above overload_ms. The loop refuses new connections
 * while every core is overloaded; shedding requests is the protocols' business. */
bool pc_core_overloaded(const struct pc_core *core);

/* ---- on the core's own thread ---- */

/* PC_ASSERTs that the calling thread is the core's. */
void pc_core_assert_on(const struct pc_core *core);
#define PC_ASSERT_ON_CORE(core) pc_core_assert_on(core)

/* Calls fn every period_ms (first after one period), at most PC_TIMER_TICK_NS late, not caught up.
 * In thread_start or later; PC_E_FULL beyond PC_CORE_TIMERS_MAX. */
int pc_core_timer(struct pc_core *core, unsigned period_ms, void (*fn)(struct pc_core *, void *),
                  void *arg);

#endif
