/* SPDX-License-Identifier: Apache-2.0
 * A generator thread's turns (loop.h): waiting, what the clock brings, the end of the run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "load/loop.h"

/* --- what a source may ask ------------------------------------------------------------------ */

static bool hand_send(void *arg, unsigned conn, const struct ld_request *request)
{
    struct ld_loop *l = arg;
    PC_ASSERT(conn < l->conn_count && ld_request_bytes(request) <= l->request_bytes_max);
    if (l->wishes >= LD_HANDS_QUEUE_MAX || l->stopping)
        return false;
    struct ld_wish *w = ld_wish_new(request, l->now_ns);
    if (!w)
        return false;
    l->wishes++;
    ld_conn_add_wish(&l->conns[conn], w);
    ld_loop_mark_dirty(l, &l->conns[conn]);
    return true;
}

static void hand_reopen(void *arg, unsigned conn)
{
    struct ld_loop *l = arg;
    PC_ASSERT(conn < l->conn_count);
    l->conns[conn].reopen = true;
    ld_loop_mark_dirty(l, &l->conns[conn]);
}

static void hand_wake_at(void *arg, int64_t at_ns)
{
    struct ld_loop *l = arg;
    l->wake_ns = pc_min_i64(l->wake_ns, at_ns);
    l->housekeep_ns = pc_min_i64(l->housekeep_ns, at_ns);
}

static void hand_record(void *arg, uint8_t class, int64_t ns)
{
    struct ld_loop *l = arg;
    PC_ASSERT(l->plan->supply->classes[class].is_measure);
    l->active->classes[class].requests++;
    ld_hdr_record(&l->active->classes[class].latency, ns);
}

/* --- waiting -------------------------------------------------------------------------------- */

static struct __kernel_timespec timespec_of(int64_t ns)
{
    return (struct __kernel_timespec){ns / LD_SECOND_NS, ns % LD_SECOND_NS};
}

/* A timer of the ring, so that the wait itself needs none: cheap when the next thing is far. */
static void keep_timer(struct ld_loop *l)
{
    if (l->timer_ns <= l->housekeep_ns)
        return;
    struct __kernel_timespec *ts = &l->timers[l->timer_index++ % LD_TIMERS];
    *ts = timespec_of(pc_max_i64(l->housekeep_ns - l->now_ns, 1));
    l->timer_ns = l->housekeep_ns;
    ld_ring_timer(&l->ring, ts, ld_op_pack(LD_OP_TIMER, 0, 0));
}

/* Open loop: until something is due, which is only worth waking for if a connection could take it.
 * The last LD_SPIN_NS are spun: waking a sleeping CPU takes about as long. */
static int wait_for_due(struct ld_loop *l)
{
    const int64_t now_ns = pc_clock_mono_ns(); /* the turn itself took its time */
    const int64_t left_ns = l->schedule.next_ns - now_ns;
    if (left_ns <= LD_SPIN_NS)
        return io_uring_submit_and_get_events(&l->ring.uring);
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = timespec_of(left_ns - LD_SPIN_NS);
    return io_uring_submit_and_wait_timeout(&l->ring.uring, &cqe, 1, &ts, NULL);
}

static bool wait_for_events(struct ld_loop *l)
{
    keep_timer(l);
    ld_ring_show_buffers(&l->ring);
    const bool due_matters = l->plan->open_loop && !l->stopping && l->level_used &&
                             l->schedule.next_ns < l->housekeep_ns && l->may_send;
    const int err = due_matters ? wait_for_due(l) : io_uring_submit_and_wait(&l->ring.uring, 1);
    if (err >= 0 || err == -EINTR || err == -ETIME || err == -EAGAIN || err == -EBUSY)
        return true;
    return ld_problem_set(&l->problem, "io_uring_enter: %s", strerror(-err));
}

static void take_completions(struct ld_loop *l)
{
    struct io_uring_cqe *cqes[LD_RING_BATCH];
    const unsigned n = io_uring_peek_batch_cqe(&l->ring.uring, cqes, LD_RING_BATCH);
    for (unsigned i = 0; i < n; i++)
        ld_loop_on_completion(l, cqes[i]);
    io_uring_cq_advance(&l->ring.uring, n);
}

/* --- intervals ------------------------------------------------------------------------------ */

static uint64_t waiting_now(const struct ld_loop *l)
{
    const int64_t late_ns = l->now_ns - l->schedule.next_ns;
    if (!l->plan->open_loop || late_ns <= 0)
        return 0;
    return 1 + (uint64_t)((double)late_ns * l->schedule.piece_rate / 1e9);
}

/* Hands the active counts to main, if main has given back the other ones (L3). */
static bool hand_over(struct ld_loop *l)
{
    struct ld_tally *spare = atomic_exchange_explicit(&l->spare, NULL, memory_order_acquire);
    if (!spare)
        return false;
    PC_ASSERT(!atomic_load_explicit(&l->ready, memory_order_relaxed));
    l->active->end_ns = l->now_ns;
    l->active->warmup = !l->measuring;
    l->active->waiting = waiting_now(l);
    spare->begin_ns = l->now_ns;
    atomic_store_explicit(&l->ready, l->active, memory_order_release);
    l->active = spare;
    return true;
}

/* The interval is over. The counts of the warm-up never run on into the measured part. */
static void cross_boundary(struct ld_loop *l)
{
    const bool handed = hand_over(l);
    if (l->now_ns >= l->start_ns && !l->measuring) {
        if (!handed) {
            ld_tally_reset(l->active);
            l->active->begin_ns = l->now_ns;
        }
        l->measuring = true;
    }
    while (l->boundary_ns <= l->now_ns)
        l->boundary_ns += LD_SECOND_NS;
}

/* --- what the clock brings ------------------------------------------------------------------ */

static void check_timeouts(struct ld_loop *l)
{
    for (unsigned i = 0; i < l->conn_count; i++) {
        struct ld_conn *c = &l->conns[i];
        if (c->state == LD_CONN_OPEN && c->in_flight &&
            l->now_ns - ld_conn_oldest(c)->sent_ns > l->plan->timeout_ns)
            ld_loop_drop(l, c, LD_FAIL_TIMEOUT);
        else if (c->state == LD_CONN_CONNECTING && l->now_ns - c->connect_ns > l->plan->timeout_ns)
            ld_loop_connect_failed(l, c, LD_FAIL_TIMEOUT);
        if (l->stopping || !c->retry_ns)
            continue;
        if (c->retry_ns <= l->now_ns)
            ld_loop_connect(l, c);
        else
            l->housekeep_ns = pc_min_i64(l->housekeep_ns, c->retry_ns);
    }
}

static void ask_again(struct ld_loop *l)
{
    l->any_dry = false;
    for (unsigned i = 0; i < l->place.connections; i++)
        if (l->conns[i].dry) {
            l->conns[i].dry = false;
            ld_loop_fill(l, &l->conns[i]);
        }
}

static void housekeep(struct ld_loop *l)
{
    l->housekeep_ns = l->now_ns + (l->any_dry ? LD_ASK_AGAIN_NS : LD_HOUSEKEEP_NS);
    if (l->wake_ns <= l->now_ns) {
        l->wake_ns = INT64_MAX;
        if (l->source->ops->tick && !l->stopping)
            l->source->ops->tick(l->source, l->now_ns);
    }
    check_timeouts(l);
    if (l->any_dry && !l->stopping)
        ask_again(l);
    if (l->now_ns >= l->boundary_ns && !l->stopping)
        cross_boundary(l);
    if (atomic_load_explicit(l->stop, memory_order_relaxed) && !l->stopping) {
        l->interrupted = true;
        l->end_ns = pc_min_i64(l->end_ns, l->now_ns);
    }
    const int64_t next_ns = l->stopping ? l->drain_end_ns : pc_min_i64(l->boundary_ns, l->end_ns);
    l->housekeep_ns = pc_min_i64(l->housekeep_ns, pc_min_i64(next_ns, l->wake_ns));
}

/* --- the end -------------------------------------------------------------------------------- */

/* What is due by now and was never sent: each with its age. */
static void count_unsent(struct ld_loop *l)
{
    if (!l->plan->open_loop)
        return;
    for (; l->schedule.next_ns <= l->end_ns; ld_schedule_pop(&l->schedule)) {
        l->drain->unsent++;
        ld_hdr_record(&l->drain->unsent_age, l->now_ns - l->schedule.next_ns);
    }
}

/* No request goes out any more; answers to those that did are waited for. */
static void begin_drain(struct ld_loop *l)
{
    l->stopping = true;
    if (!l->measuring) /* interrupted in the warm-up */
        ld_tally_reset(l->active);
    l->active->end_ns = l->now_ns;
    l->active->waiting = waiting_now(l);
    l->last = l->active;
    l->active = l->drain;
    l->drain->begin_ns = l->now_ns;
    count_unsent(l);
    for (unsigned i = 0; i < l->conn_count; i++)
        ld_loop_fail_wishes(l, &l->conns[i], LD_FAIL_END);
    l->drain_end_ns = l->now_ns + LD_DRAIN_NS;
    l->housekeep_ns = l->now_ns;
}

static void end_drain(struct ld_loop *l)
{
    for (unsigned i = 0; i < l->conn_count; i++) {
        struct ld_conn *c = &l->conns[i];
        for (uint32_t k = 0; k < c->in_flight; k++) {
            const struct ld_pending *p = &c->pending[(c->first + k) & c->depth_mask];
            l->drain->unanswered++;
            ld_hdr_record(&l->drain->classes[p->class].latency, l->now_ns - p->due_ns);
        }
        ld_loop_fail_pending(l, c, LD_FAIL_END);
    }
    l->drain->end_ns = l->now_ns;
}

/* --- opening and running -------------------------------------------------------------------- */

static void turn(struct ld_loop *l)
{
    l->now_ns = pc_clock_mono_ns();
    if (l->now_ns >= l->housekeep_ns)
        housekeep(l);
    take_completions(l);
    if (l->plan->open_loop && !l->stopping)
        ld_loop_issue_due(l);
    if (l->dirty_count)
        ld_loop_flush(l);
}

static bool make_conns(struct ld_loop *l)
{
    const unsigned driven = l->place.connections;
    l->conn_count = driven + l->place.idle;
    l->request_bytes_max = l->plan->supply->request_bytes_max;
    size_t out = pc_min_u64((uint64_t)l->request_bytes_max * l->plan->depth, LD_OUT_BYTES);
    out = pc_max_u64(out, l->request_bytes_max);
    l->conns = calloc(l->conn_count, sizeof(*l->conns));
    l->dirty = calloc(l->conn_count, sizeof(*l->dirty));
    l->flushing = calloc(l->conn_count, sizeof(*l->flushing));
    if (!l->conns || !l->dirty || !l->flushing)
        return ld_problem_set(&l->problem, "no memory for %u connections", l->conn_count);
    for (unsigned i = 0; i < l->conn_count; i++) {
        if (!ld_conn_make(&l->conns[i], l->plan->depth, out))
            return ld_problem_set(&l->problem, "no memory for %u connections", l->conn_count);
        l->conns[i].driven = i < driven;
    }
    for (unsigned i = 0; i < LD_LEVELS; i++)
        l->level_first[i] = l->level_last[i] = LD_LEVEL_NONE;
    return true;
}

static bool make_tallies(struct ld_loop *l)
{
    const unsigned n = l->plan->supply->class_count;
    struct ld_tally *spare = ld_tally_new(n);
    l->active = ld_tally_new(n);
    l->drain = ld_tally_new(n);
    atomic_store_explicit(&l->spare, spare, memory_order_relaxed);
    return spare && l->active && l->drain ? true : ld_problem_set(&l->problem, "no memory");
}

/* Connects everything before the run begins (nothing is sent: nobody flushes). They come in order,
 * few at a time, so that a listener's queue is not overrun. */
enum { CONNECTING_MAX = 64 };

static bool connect_all(struct ld_loop *l)
{
    unsigned begun = 0;
    l->now_ns = pc_clock_mono_ns();
    const int64_t deadline_ns = pc_add_sat_i64(l->now_ns, l->plan->timeout_ns);
    l->housekeep_ns = l->now_ns + LD_HOUSEKEEP_NS;
    while (l->open_count < l->conn_count) {
        while (begun < l->conn_count && begun < l->open_count + CONNECTING_MAX)
            ld_loop_connect(l, &l->conns[begun++]);
        if (!wait_for_events(l))
            return false;
        l->now_ns = pc_clock_mono_ns();
        take_completions(l);
        if (l->now_ns >= l->housekeep_ns) {
            l->housekeep_ns = l->now_ns + LD_HOUSEKEEP_NS;
            check_timeouts(l);
        }
        if (l->now_ns > deadline_ns || atomic_load_explicit(l->stop, memory_order_relaxed))
            return ld_problem_set(&l->problem, "only %u of %u connections could be made%s",
                                  l->open_count, l->conn_count,
                                  l->now_ns > deadline_ns ? " before the timeout" : "");
    }
    l->dirty_count = 0;
    for (unsigned i = 0; i < l->conn_count; i++)
        l->conns[i].dirty = false;
    return true;
}

bool ld_loop_open(struct ld_loop *l)
{
    l->hands = (struct ld_hands){.loop = l,
                                 .send = hand_send,
                                 .reopen = hand_reopen,
                                 .wake_at = hand_wake_at,
                                 .record = hand_record};
    l->wake_ns = l->timer_ns = INT64_MAX;
    if (!ld_ring_open(&l->ring, &l->problem) || !make_conns(l) || !make_tallies(l))
        return false;
    if (!connect_all(l))
        return false;
    l->source = l->plan->supply->ops->open(l->plan->supply, &l->place, &l->hands, &l->problem);
    return l->source != NULL;
}

static double profile_of(void *arg, int64_t since_start_ns)
{
    struct ld_loop *l = arg;
    return l->source->ops->rate_per_s(l->source, since_start_ns);
}

static void begin(struct ld_loop *l, int64_t measure_start_ns)
{
    const struct ld_loop_plan *plan = l->plan;
    l->now_ns = pc_clock_mono_ns();
    l->start_ns = measure_start_ns;
    l->end_ns = plan->request_count ? INT64_MAX : measure_start_ns + plan->duration_ns;
    l->boundary_ns = measure_start_ns;
    while (l->boundary_ns - LD_SECOND_NS > l->now_ns)
        l->boundary_ns -= LD_SECOND_NS;
    ld_tally_reset(l->active); /* errors of connecting */
    l->active->begin_ns = l->now_ns;
    l->measuring = measure_start_ns <= l->now_ns;
    if (l->measuring)
        l->boundary_ns = measure_start_ns + LD_SECOND_NS;
    l->housekeep_ns = l->now_ns;
    if (plan->open_loop) {
        l->schedule.rate_of = plan->supply->has_profile ? profile_of : NULL;
        l->schedule.arg = l;
        l->schedule.rate_per_s = plan->rate_per_s / l->place.threads;
        l->schedule.poisson = plan->poisson;
        ld_schedule_begin(&l->schedule, measure_start_ns - plan->warmup_ns, l->end_ns,
                          (double)l->place.thread / l->place.threads, l->place.seed);
    }
    if (l->source->ops->start)
        l->source->ops->start(l->source, l->now_ns);
    for (unsigned i = 0; i < l->conn_count; i++) {
        ld_loop_relevel(l, &l->conns[i]);
        ld_loop_mark_dirty(l, &l->conns[i]);
    }
}

void ld_loop_run(struct ld_loop *l, int64_t measure_start_ns)
{
    const bool counted = l->plan->request_count != 0;
    begin(l, measure_start_ns);
    ld_loop_flush(l);
    while (wait_for_events(l)) {
        turn(l);
        if (l->stopping ? l->outstanding == 0 || l->now_ns >= l->drain_end_ns
                        : l->now_ns >= l->end_ns || (counted && !l->may_send && !l->outstanding)) {
            if (l->stopping)
                break;
            l->end_ns = pc_min_i64(l->end_ns, l->now_ns);
            begin_drain(l);
        }
    }
    if (!l->stopping) /* the ring broke */
        begin_drain(l);
    end_drain(l);
}

void ld_loop_close(struct ld_loop *l)
{
    if (l->source)
        l->source->ops->close(l->source);
    /* The ring first: nothing of it may still point into what is freed. */
    ld_ring_close(&l->ring);
    for (unsigned i = 0; l->conns && i < l->conn_count; i++) {
        if (l->conns[i].fd >= 0)
            close(l->conns[i].fd);
        ld_conn_free(&l->conns[i]);
    }
    free(l->conns);
    free(l->dirty);
    free(l->flushing);
    l->conns = NULL;
    l->dirty = l->flushing = NULL;
    l->source = NULL;
}
