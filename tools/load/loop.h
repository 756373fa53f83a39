/* SPDX-License-Identifier: Apache-2.0
 * One generator thread: its ring, connections, source and schedule. Everything is the thread's own
 * but what is said to be shared.
 *
 * A turn: wait for completions (or for the time something is due) → read the clock once → what the
 * clock brings (interval over, run over, timeouts, ticks) → completions → requests that are due →
 * one send per connection that has any. That one reading of the clock is the time of arrival of all
 * answers of the turn and the time of sending of all requests of the turn: our own work within the
 * turn counts as the server's time, never the other way round.
 *
 * Invariants:
 *   L1 the source is never called from inside one of its own calls: hands only queue (S3).
 *   L2 open loop: a connection is in the list of its level exactly if it could take a request now
 *      (open, no send in flight, room for one more, not about to be reopened).
 *   L3 `active` is written by this thread only. It is handed over by storing it into `ready`
 *      (release) after its last write; main takes it from there (acquire), reads it, empties it,
 *      and stores it into `spare` (release). There are two, so while `spare` holds one `ready` is
 *      empty. If main is late the interval is simply longer. */
#ifndef LD_LOOP_H
#define LD_LOOP_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "load/conn.h"
#include "load/ring.h"
#include "load/schedule.h"
#include "load/tally.h"

enum {
    LD_LEVELS = 64, /* outstanding requests that are told apart when one is chosen */
    LD_LEVEL_NONE = UINT32_MAX,
    LD_OUT_BYTES = 256 << 10, /* one send, unless a single request is larger */
    LD_TIMERS = 16,
};
#define LD_HOUSEKEEP_NS INT64_C(100000000)  /* timeouts, the stop flag: looked at this often */
#define LD_DRAIN_NS     INT64_C(1000000000) /* after the end: answers are waited for this long */
#define LD_SPIN_NS      INT64_C(50000)      /* nearer than this a due time is spun for, not slept */
#define LD_SECOND_NS    INT64_C(1000000000)
#define LD_RETRY_NS     INT64_C(10000000) /* after a failed connect, doubled up to LD_SECOND_NS */

/* What all threads of a run are given. Read-only while they run. */
struct ld_loop_plan {
    const struct ld_protocol *protocol;
    struct ld_supply *supply;
    struct sockaddr_storage address;
    unsigned address_bytes;
    bool open_loop, poisson;
    double rate_per_s; /* of all threads */
    unsigned depth;
    int64_t timeout_ns;
    int64_t warmup_ns, duration_ns;
    uint64_t request_count; /* of all threads; 0: for the duration */
};

struct ld_loop {
    const struct ld_loop_plan *plan;
    struct ld_place place;
    struct ld_ring ring;
    struct ld_hands hands;
    struct ld_source *source;
    struct ld_conn *conns; /* place.connections driven ones, then place.idle */
    unsigned conn_count, open_count;
    uint32_t request_bytes_max;
    struct ld_schedule schedule;
    int64_t now_ns, start_ns, end_ns;
    int64_t boundary_ns;  /* the active interval ends */
    int64_t housekeep_ns; /* when the clock brings something next */
    int64_t wake_ns;      /* hands.wake_at; INT64_MAX: none */
    int64_t drain_end_ns;
    int64_t timer_ns; /* the earliest timer in the ring; INT64_MAX: none */
    struct __kernel_timespec timers[LD_TIMERS];
    unsigned timer_index;
    uint64_t may_send; /* --count: what is left of this thread's share */
    bool measuring, stopping, any_dry;
    uint64_t outstanding; /* over all connections */
    unsigned wishes;
    uint32_t *dirty;    /* connections with something to send or to reopen */
    uint32_t *flushing; /* the same, those of this turn */
    unsigned dirty_count;
    uint64_t level_used; /* bit k: level k has connections */
    uint32_t level_first[LD_LEVELS], level_last[LD_LEVELS];
    struct ld_tally *active;       /* L3 */
    struct ld_tally *last, *drain; /* read by main once the thread has ended */
    /* Warm-up and drain included: an answer is checked at any time. */
    uint64_t answered_ever, wrong_ever, wrong_allows_ever;
    bool interrupted;
    struct ld_problem problem;
    /* Shared. */
    _Atomic(struct ld_tally *) ready, spare;
    atomic_bool *stop; /* main asks for the end */
    void (*wrong)(void *arg, bool allow, const char *class, const char *why); /* takes a lock */
    void *wrong_arg;
};

/* Makes the ring, connects. On the loop's thread. false: loop->problem. */
bool ld_loop_open(struct ld_loop *);
/* From the beginning of the warm-up (now) to the end of the drain. */
void ld_loop_run(struct ld_loop *, int64_t measure_start_ns);
/* On the loop's thread, too. */
void ld_loop_close(struct ld_loop *);

/* --- between loop.c and traffic.c ----------------------------------------------------------- */

void ld_loop_mark_dirty(struct ld_loop *, struct ld_conn *);
void ld_loop_relevel(struct ld_loop *, struct ld_conn *);
void ld_loop_connect(struct ld_loop *, struct ld_conn *);
void ld_loop_connect_failed(struct ld_loop *, struct ld_conn *, enum ld_failure);
/* Fails what is outstanding, closes, and connects anew unless the run is over. */
void ld_loop_drop(struct ld_loop *, struct ld_conn *, enum ld_failure);
void ld_loop_on_completion(struct ld_loop *, const struct io_uring_cqe *);
/* What the connection may send now, in one send. */
void ld_loop_fill(struct ld_loop *, struct ld_conn *);
/* Open loop: all that is due and finds a connection. */
void ld_loop_issue_due(struct ld_loop *);
void ld_loop_flush(struct ld_loop *);
void ld_loop_fail_pending(struct ld_loop *, struct ld_conn *, enum ld_failure);
void ld_loop_fail_wishes(struct ld_loop *, struct ld_conn *, enum ld_failure);

static inline uint32_t ld_loop_index(const struct ld_loop *l, const struct ld_conn *c)
{
    return (uint32_t)(c - l->conns);
}

#endif
