/* SPDX-License-Identifier: Apache-2.0
 * Accepting connections and spreading them over the cores.
 *
 * Each listener has one multishot accept, on core (listener index mod cores). The acceptor gives a
 * new connection to the core with the fewest, counted exactly: the count grows when a connection
 * is assigned, before its core has seen it, and shrinks when the core has closed it. Measured with
 * 64 connections on 4 cores, fullest core over the mean: accepting the same socket on every ring
 * 4.0 (the kernel wakes one of them, always the same), SO_REUSEPORT 1.28 on average and up to 1.8
 * (it hashes), this at most 1.25. A gateway keeps few connections for long, so exact beats fast
 * here; a hand-over costs one wake-up per connection, not per request. */
#include "edge/loop/internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* A hand-over travels through the mailbox as an odd "address" (application messages are even):
 *   63        24 23       8 7   1  0
 *  | descriptor |  listener |  0 | 1 | */
#define HANDOVER_BIT 1u

static void *handover_encode(int fd, unsigned listener)
{
    return (void *)((uintptr_t)(unsigned)fd << 24 | (uintptr_t)listener << 8 | HANDOVER_BIT);
}

void accept_handed_over(struct core *k, void *msg)
{
    uintptr_t bits = (uintptr_t)msg;
    unsigned listener = (unsigned)(bits >> 8) & 0xffff;
    PC_ASSERT(bits & HANDOVER_BIT && listener < k->config->listener_count);
    conn_open(k, (int)(bits >> 24), &k->pub.loop->listeners[listener]);
}

/* ---- choosing a core ---- */

static uint32_t load_of(const struct core *k)
{
    return atomic_load_explicit(&k->shared.load, memory_order_relaxed);
}

/* The core with the fewest connections among those that take any; NULL when none does. A tie goes
 * to the acceptor's own core, which needs no hand-over. */
static struct core *choose(struct core *self, bool *ret_overload)
{
    struct pc_loop *loop = self->pub.loop;
    struct core *best = NULL;
    *ret_overload = false;
    for (unsigned i = 0; i < loop->config.cores; i++) {
        struct core *k = loop->cores[(self->pub.index + i) % loop->config.cores];
        if (load_of(k) >= k->config->connections_max)
            continue;
        if (pc_core_overloaded(&k->pub)) {
            *ret_overload = true;
            continue;
        }
        if (!best || load_of(k) < load_of(best))
            best = k;
    }
    return best;
}

static void refuse(struct core *k, int fd, const struct pc_listener *listener, bool overload)
{
    struct pc_bytes words = listener->protocol->refusal;
    if (overload)
        CORE_COUNT(k, refused_overload, 1);
    else
        CORE_COUNT(k, refused_limit, 1);
    if (words.n) {
        (void)send(fd, words.p, words.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        /* Without this the refusal could be destroyed by the reset for what the peer had sent. */
        (void)shutdown(fd, SHUT_WR);
    }
    close(fd);
}

static void assign(struct core *self, int fd, const struct acceptor *a)
{
    bool overload = false;
    struct core *to = self->pub.stopping ? self : choose(self, &overload);
    CORE_COUNT(self, accepted, 1);
    if (!to) {
        refuse(self, fd, a->listener, overload);
        return;
    }
    atomic_fetch_add_explicit(&to->shared.load, 1, memory_order_relaxed);
    if (to != self) {
        if (mailbox_post(to, self->pub.index, handover_encode(fd, a->index))) {
            pc_core_notify(&to->pub);
            CORE_COUNT(self, handed_over, 1);
            return;
        }
        /* Its mailbox is full: it has enough to do. */
        atomic_fetch_sub_explicit(&to->shared.load, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->shared.load, 1, memory_order_relaxed);
    }
    conn_open(self, fd, a->listener);
}

/* ---- the multishot accept ---- */

static void arm(struct core *k, struct acceptor *a)
{
    struct io_uring_sqe *sqe = ring_sqe(&k->ring);
    io_uring_prep_multishot_accept(sqe, a->listener->fd, NULL, NULL, SOCK_CLOEXEC);
    a->armed = true;
    a->retry_ns = 0;
    ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_ACCEPT, a->index, 0));
}

void accept_start(struct core *k)
{
    const struct pc_loop_config *config = k->config;
    int one = 1;
    for (unsigned i = 0; i < config->listener_count; i++) {
        struct acceptor *a = &k->acceptors[i];
        *a = (struct acceptor){.listener = &k->pub.loop->listeners[i],
                               .index = i,
                               .owned = i % config->cores == k->pub.index};
        if (a->owned) {
            /* Answers leave in one send per turn, so waiting for more to send can only delay them.
             * Accepted sockets inherit it; a Unix socket refuses it. */
            (void)setsockopt(a->listener->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            k->accepting++;
            arm(k, a);
        }
    }
    k->accept_retry_ns = INT64_MAX;
}

void accept_arm_due(struct core *k)
{
    if (PC_LIKELY(k->accept_retry_ns > k->pub.now_ns))
        return;
    k->accept_retry_ns = INT64_MAX;
    for (unsigned i = 0; i < k->config->listener_count; i++) {
        struct acceptor *a = &k->acceptors[i];
        if (!a->owned || a->armed || k->pub.stopping)
            continue;
        if (a->retry_ns <= k->pub.now_ns)
            arm(k, a);
        else
            k->accept_retry_ns = pc_min_i64(k->accept_retry_ns, a->retry_ns);
    }
}

static void retry_after(struct core *k, struct acceptor *a, int64_t delay_ns)
{
    a->retry_ns = k->pub.now_ns + delay_ns;
    k->accept_retry_ns = pc_min_i64(k->accept_retry_ns, a->retry_ns);
}

void accept_descriptor_freed(struct core *k)
{
    if (PC_LIKELY(k->accept_retry_ns == INT64_MAX))
        return;
    for (unsigned i = 0; i < k->config->listener_count; i++)
        k->acceptors[i].retry_ns = 0;
    k->accept_retry_ns = k->pub.now_ns;
}

/* An accept is over for good. Its socket is closed now, not at the end: who connects meanwhile
 * shall be refused, or wait in the backlog if a successor or supervisor has the socket too. */
static void finish(struct core *k, struct acceptor *a)
{
    struct pc_listener *l = &k->pub.loop->listeners[a->index];
    if (a->finished)
        return;
    PC_ASSERT(k->accepting > 0 && a->owned && !a->armed);
    a->finished = true;
    k->accepting--;
    close(l->fd);
    l->fd = -1; /* only its owner looks at it */
}

/* The last accept of the last core lets the cores end (I4). */
static void report_if_finished(struct core *k)
{
    struct pc_loop *loop = k->pub.loop;
    if (k->accepting > 0 || k->accepts_done)
        return;
    k->accepts_done = true;
    uint32_t done = atomic_fetch_add_explicit(&loop->accepts_done, 1, memory_order_acq_rel) + 1;
    PC_ASSERT(done <= loop->config.cores);
    for (unsigned i = 0; i < loop->config.cores && done == loop->config.cores; i++)
        pc_core_notify(&loop->cores[i]->pub);
}

/* Failures that concern one connection only, or nothing: the accept goes on at once. After all
 * others (no descriptors, no memory, a socket that is none) it waits accept_retry_ms, or until a
 * connection closes. */
static const int accept_go_on[] = {-ECONNABORTED, -ECANCELED, -EINTR,    -EAGAIN,
                                   -EPROTO,       -EPERM,     -ENETDOWN, -EHOSTUNREACH};

static void accept_failed(struct core *k, struct acceptor *a, int res)
{
    int64_t delay_ns = (int64_t)k->config->accept_retry_ms * 1000000;
    if (res != -ECANCELED)
        CORE_COUNT(k, accept_errors, 1);
    for (size_t i = 0; i < PC_COUNT(accept_go_on); i++)
        if (accept_go_on[i] == res)
            delay_ns = 0;
    retry_after(k, a, delay_ns);
}

void accept_done(struct core *k, uint32_t slot, int res, unsigned flags)
{
    PC_ASSERT(slot < k->config->listener_count);
    struct acceptor *a = &k->acceptors[slot];
    PC_ASSERT(a->owned && a->armed);
    if (!(flags & IORING_CQE_F_MORE))
        a->armed = false;
    if (res >= 0)
        assign(k, res, a);
    else
        accept_failed(k, a, res);
    if (a->armed)
        return;
    if (k->pub.stopping) {
        finish(k, a);
        report_if_finished(k);
    } else if (res >= 0) {
        retry_after(k, a, 0);
    }
}

void accept_cancel_done(struct core *k, uint32_t slot)
{
    PC_ASSERT(slot < k->config->listener_count);
    struct acceptor *a = &k->acceptors[slot];
    a->cancelling = false;
    if (a->armed) /* the cancellation itself failed: again */
        accept_stop(k);
}

/* The socket may be shared with our successor, so it is not shut down: the accept is cancelled.
 * Connections it still brings are served. */
void accept_stop(struct core *k)
{
    PC_ASSERT(k->pub.stopping);
    for (unsigned i = 0; i < k->config->listener_count; i++) {
        struct acceptor *a = &k->acceptors[i];
        if (!a->owned || a->cancelling)
            continue;
        if (!a->armed) {
            finish(k, a);
            continue;
        }
        struct io_uring_sqe *sqe = ring_sqe(&k->ring);
        io_uring_prep_cancel64(sqe, op_encode(PC_OP_LOOP_ACCEPT, i, 0), 0);
        a->cancelling = true;
        ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_ACCEPT_CANCEL, i, 0));
    }
    report_if_finished(k);
}
