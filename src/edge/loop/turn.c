/* SPDX-License-Identifier: Apache-2.0
 * A core's turn: enter the kernel, hand out completions, messages and deadlines, settle every
 * connection that has something to do, and again. The order is the one core.h describes. */
#include "edge/loop/internal.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"

/* An enter that might sleep but came back sooner than this did not: something was waiting. */
#define NOT_ASLEEP_NS 10000
/* Completions are given back to the kernel in steps of this many. */
#define REAP_STEP 32

int64_t core_mono_ns(const struct core *k)
{
    return k->config->clock_mono_ns ? k->config->clock_mono_ns(k->config->user)
                                    : pc_clock_mono_ns();
}

int64_t core_wall_ms(const struct core *k)
{
    return k->config->clock_wall_ms ? k->config->clock_wall_ms(k->config->user)
                                    : pc_clock_wall_ms();
}

static void hook(struct core *k, void (*fn)(struct pc_core *))
{
    if (fn)
        fn(&k->pub);
}

/* ---- completions ---- */

static void wake_done(struct core *k, uint32_t slot, int res, unsigned flags)
{
    (void)slot;
    (void)res; /* the reason to be awake is in the mailbox, not here */
    if (!(flags & IORING_CQE_F_MORE))
        k->wake_armed = false;
}

static void accept_cancelled(struct core *k, uint32_t slot, int res, unsigned flags)
{
    (void)res;
    (void)flags;
    accept_cancel_done(k, slot);
}

static void nothing_done(struct core *k, uint32_t slot, int res, unsigned flags)
{
    (void)k;
    (void)slot;
    (void)res;
    (void)flags;
}

/* The one dispatch: operations of a connection, and the others. */
static const struct op_row {
    void (*conn)(struct core *, struct conn *, int res, unsigned flags);
    void (*other)(struct core *, uint32_t slot, int res, unsigned flags);
} op_rows[PC_LOOP_OP_COUNT] = {
    [PC_OP_LOOP_NONE] = {.other = nothing_done},
    [PC_OP_LOOP_WAKE] = {.other = wake_done},
    [PC_OP_LOOP_ACCEPT] = {.other = accept_done},
    [PC_OP_LOOP_ACCEPT_CANCEL] = {.other = accept_cancelled},
    [PC_OP_LOOP_RECV] = {.conn = recv_done},
    [PC_OP_LOOP_RECV_CANCEL] = {.conn = recv_cancel_done},
    [PC_OP_LOOP_SEND] = {.conn = send_done},
    [PC_OP_LOOP_CLOSE] = {.other = nothing_done},
};

/* L1 makes this impossible; should a kernel do it all the same, the buffer is not lost. */
static PC_COLD void stale(struct core *k, unsigned flags)
{
    CORE_COUNT(k, stale_cqes, 1);
    if (flags & IORING_CQE_F_BUFFER)
        ring_buffer_return(&k->ring, flags >> IORING_CQE_BUFFER_SHIFT);
}

static void dispatch(struct core *k, const struct io_uring_cqe *cqe)
{
    struct op_token t = op_decode(cqe->user_data);
    const struct op_row *row = &op_rows[t.op];
    if (PC_UNLIKELY(!row->conn)) {
        row->other(k, t.slot, cqe->res, cqe->flags);
        return;
    }
    struct conn *c = core_slot(k, t.slot);
    if (PC_UNLIKELY(!c || c->generation != t.generation)) {
        stale(k, cqe->flags);
        return;
    }
    row->conn(k, c, cqe->res, cqe->flags);
}

static void reap_synthetic(struct core *k)
{
    struct io_uring_cqe made_up[RING_SYNTHETIC_MAX];
    unsigned n = k->ring.synthetic_count;
    for (unsigned i = 0; i < n; i++)
        made_up[i] = k->ring.synthetic[i];
    k->ring.synthetic_count = 0;
    for (unsigned i = 0; i < n; i++)
        dispatch(k, &made_up[i]);
}

/* Those that were there when the turn began: what comes later waits, so that turns stay short. */
static void reap(struct core *k)
{
    struct io_uring_cq *cq = &k->ring.u.cq;
    unsigned n = io_uring_cq_ready(&k->ring.u);
    for (unsigned i = 0; i < n;) {
        unsigned step = (unsigned)pc_min_u64(n - i, REAP_STEP);
        unsigned head = *cq->khead;
        for (unsigned j = 0; j < step; j++)
            dispatch(k, &cq->cqes[(head + j) & cq->ring_mask]);
        io_uring_cq_advance(&k->ring.u, step);
        i += step;
    }
    CORE_COUNT(k, cqes, n);
    if (PC_UNLIKELY(k->ring.synthetic_count))
        reap_synthetic(k);
    ring_buffers_flush(&k->ring);
}

/* ---- timers ---- */

static void run_timers(struct core *k)
{
    struct wheel_entry *e;
    while ((e = wheel_next(&k->wheel, k->pub.now_ns)) != NULL)
        conn_timer(k, PC_CONTAINER_OF(e, struct conn, timer));
    if (PC_LIKELY(k->timers_due_ns > k->pub.now_ns))
        return;
    k->timers_due_ns = INT64_MAX;
    for (unsigned i = 0; i < k->timer_count; i++) {
        struct core_timer *t = &k->timers[i];
        if (t->due_ns <= k->pub.now_ns) {
            t->due_ns = k->pub.now_ns + t->period_ns;
            t->fn(&k->pub, t->arg);
        }
        k->timers_due_ns = pc_min_i64(k->timers_due_ns, t->due_ns);
    }
}

int pc_core_timer(struct pc_core *core, unsigned period_ms, void (*fn)(struct pc_core *, void *),
                  void *arg)
{
    struct core *k = core_in(core);
    PC_ASSERT_ON_CORE(core);
    PC_ASSERT(period_ms > 0 && fn);
    if (k->timer_count == PC_CORE_TIMERS_MAX)
        return PC_E_FULL;
    struct core_timer *t = &k->timers[k->timer_count++];
    *t = (struct core_timer){.period_ns = (int64_t)period_ms * 1000000, .fn = fn, .arg = arg};
    t->due_ns = core->now_ns + t->period_ns;
    k->timers_due_ns = pc_min_i64(k->timers_due_ns, t->due_ns);
    return 0;
}

/* ---- stopping ---- */

static void for_each_open(struct core *k, void (*fn)(struct core *, struct conn *))
{
    for (unsigned i = 0; i < k->block_count * CONN_BLOCK; i++) {
        struct conn *c = core_slot(k, i);
        if (c->state != CONN_FREE && c->state != CONN_CLOSING)
            fn(k, c);
    }
}

static void cut(struct core *k, struct conn *c)
{
    CORE_COUNT(k, cut, 1);
    pc_conn_abort(&c->pub);
}

static void check_stop(struct core *k)
{
    int64_t stop_ns = atomic_load_explicit(&k->pub.loop->stop_ns, memory_order_acquire);
    if (PC_LIKELY(stop_ns == INT64_MAX))
        return;
    k->stop_ns = stop_ns;
    if (!k->pub.stopping) {
        k->pub.stopping = true;
        accept_stop(k);
        for_each_open(k, conn_drain);
    }
    if (k->pub.now_ns >= stop_ns && !k->cut) {
        k->cut = true;
        for_each_open(k, cut);
    }
}

/* Nothing is left and nothing can come (I4). The order of the two looks matters: a hand-over is
 * pushed before its core reports its accepts done. */
static bool ended(struct core *k)
{
    if (!k->pub.stopping || k->conn_count > 0)
        return false;
    uint32_t done = atomic_load_explicit(&k->pub.loop->accepts_done, memory_order_acquire);
    return done == k->config->cores && mailbox_empty(k);
}

/* ---- settling connections ---- */

/* Connections that may go on. Each at most once per turn; what asks again waits for the next, so
 * that one connection cannot keep the core. */
static void deliver_resumed(struct core *k)
{
    for (struct conn *c = k->work_first; c; c = c->work_next) {
        if (!(c->work & WORK_DELIVER))
            continue;
        c->work &= (uint8_t)~WORK_DELIVER;
        recv_deliver(k, c);
    }
}

/* All output of a closing connection has left: our side is shut, so that the peer sees the end
 * after the last byte; reading on keeps the kernel from answering its bytes with a reset, which
 * would destroy what it has not read yet. */
static void flushed(struct core *k, struct conn *c)
{
    if (c->peer_done || shutdown(c->fd, SHUT_WR) < 0) {
        pc_conn_abort(&c->pub);
        return;
    }
    conn_set_state(c, CONN_LINGERING);
    conn_set_deadline(k, c, DEADLINE_LINGER, (int64_t)k->config->linger_ms * 1000000);
    recv_arm(k, c);
}

static void settle(struct core *k, struct conn *c, unsigned work)
{
    if (c->state != CONN_CLOSING && work & WORK_FLUSH) {
        send_start(k, c);
        if (c->state == CONN_FLUSHING && !c->send_busy)
            flushed(k, c);
    }
    if (c->state != CONN_CLOSING && work & WORK_RECV)
        recv_arm(k, c);
}

/* The list is taken whole: what is added meanwhile (a close, a delivery for the next turn) is
 * looked at in the next round or turn. */
static void settle_all(struct core *k)
{
    struct conn *c = k->work_first;
    k->work_first = NULL;
    k->work_last = &k->work_first;
    while (c) {
        struct conn *next = c->work_next;
        unsigned work = c->work;
        c->on_work_list = false;
        c->work = 0;
        if (c->state == CONN_CLOSING && work & WORK_CLOSE)
            conn_teardown(k, c);
        else if (c->state != CONN_CLOSING) {
            settle(k, c, work);
            if (work & WORK_DELIVER)
                conn_work(k, c, WORK_DELIVER);
        }
        c = next;
    }
}

/* ---- the kernel ---- */

static void arm_wake(struct core *k)
{
    if (PC_LIKELY(k->wake_armed))
        return;
    struct io_uring_sqe *sqe = ring_sqe(&k->ring);
    io_uring_prep_poll_multishot(sqe, pc_waker_fd(k->waker), POLLIN);
    k->wake_armed = true;
    ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_WAKE, 0, 0));
}

/* Something that was set by other threads and is not in the ring. Looked at after
 * pc_waker_prepare(), so that nothing slips between the look and the sleep (I3). */
static bool news(struct core *k)
{
    return !mailbox_empty(k) || ended(k) ||
           atomic_load_explicit(&k->pub.loop->stop_ns, memory_order_acquire) != k->stop_ns;
}

static int64_t until_due_ns(const struct core *k, int64_t now_ns)
{
    int64_t due = pc_min_i64(wheel_due_ns(&k->wheel), k->timers_due_ns);
    due = pc_min_i64(due, k->accept_retry_ns);
    if (!k->cut)
        due = pc_min_i64(due, k->stop_ns);
    /* An idle core must not stay marked as overloaded: other cores look at the mark. */
    if (k->overload.overloaded)
        due = pc_min_i64(due, k->overload.window_end_ns);
    return due == INT64_MAX ? -1 : pc_max_i64(due - now_ns, 0);
}

static void sleep_in_kernel(struct core *k)
{
    pc_waker_prepare(k->waker);
    if (!news(k)) {
        int64_t before_ns = core_mono_ns(k);
        hook(k, k->config->hooks.rcu_offline);
        ring_enter_wait(&k->ring, until_due_ns(k, before_ns));
        hook(k, k->config->hooks.rcu_online);
        k->slept = core_mono_ns(k) - before_ns > NOT_ASLEEP_NS;
        CORE_COUNT(k, sleeps, 1);
    }
    pc_waker_finish(k->waker);
}

/* Once per turn. A turn that has submissions does not sleep with them: sends complete inside the
 * call, so a wait would end at once, and not waiting tells apart having slept from having been
 * kept busy, which is what overload is measured by. */
static void enter_kernel(struct core *k)
{
    bool submit = ring_unsubmitted(&k->ring) > 0;
    k->slept = false;
    if (submit || k->work_first || ring_ready(&k->ring)) {
        ring_enter(&k->ring);
        k->msgs_used = 0;
        if (k->work_first || ring_ready(&k->ring))
            return;
    }
    sleep_in_kernel(k);
}

static void read_clocks(struct core *k)
{
    int64_t before_ns = k->pub.now_ns;
    k->pub.now_ns = core_mono_ns(k);
    k->pub.now_ms = core_wall_ms(k);
    int64_t delay_ns = k->slept ? 0 : k->pub.now_ns - before_ns;
    if (overload_sample(&k->overload, delay_ns, k->pub.now_ns))
        CORE_COUNT(k, overload_starts, 1);
    atomic_store_explicit(&k->shared.overloaded, k->overload.overloaded, memory_order_relaxed);
    atomic_store_explicit(&k->shared.queue_delay_ns, (uint64_t)k->overload.smoothed_ns,
                          memory_order_relaxed);
    atomic_store_explicit(&k->shared.pool_bytes, k->pool.used_bytes + k->pool.kept_bytes,
                          memory_order_relaxed);
}

static void turn(struct core *k)
{
    const struct pc_loop_hooks *hooks = &k->config->hooks;
    enter_kernel(k);
    read_clocks(k);
    CORE_COUNT(k, turns, 1);
    hook(k, hooks->turn_start);
    reap(k);
    mailbox_drain(k);
    run_timers(k);
    check_stop(k);
    deliver_resumed(k);
    hook(k, hooks->turn_end);
    settle_all(k);
    accept_arm_due(k);
    arm_wake(k);
    hook(k, hooks->rcu_quiescent);
}

void core_run(struct core *k)
{
    accept_start(k);
    arm_wake(k);
    while (!ended(k))
        turn(k);
    ring_enter(&k->ring); /* the last descriptors are closed by what is still to be submitted */
    PC_ASSERT(k->conn_count == 0 && !k->work_first);
}
