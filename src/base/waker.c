/* SPDX-License-Identifier: Apache-2.0
 * The wake-up handshake; the argument stands in waker.h. */
#include "base/waker.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct pc_waker {
    PC_ALIGNED_LINE _Atomic uint32_t sleeping;
    int fd;
};

int pc_waker_new(struct pc_waker **ret_w)
{
    struct pc_waker *w = aligned_alloc(PC_CACHE_LINE, sizeof *w);
    if (!w)
        return -ENOMEM;
    atomic_init(&w->sleeping, 0);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->fd < 0) {
        int err = -errno;
        free(w);
        return err;
    }
    *ret_w = w;
    return 0;
}

void pc_waker_free(struct pc_waker *w)
{
    if (!w)
        return;
    close(w->fd);
    free(w);
}

bool pc_waker_notify(struct pc_waker *w)
{
    uint64_t one = 1;
    atomic_thread_fence(memory_order_seq_cst); /* I1: after the push, before the load */
    if (PC_LIKELY(!atomic_load_explicit(&w->sleeping, memory_order_relaxed)))
        return false;
    if (!atomic_exchange_explicit(&w->sleeping, 0, memory_order_acq_rel))
        return false; /* I2: another producer was first */
    /* EAGAIN would mean a counter of 2^64-2, which a counter of single wake-ups never reaches. */
    ssize_t n = write(w->fd, &one, sizeof one);
    PC_ASSERT(n == (ssize_t)sizeof one);
    return true;
}

void pc_waker_prepare(struct pc_waker *w)
{
    atomic_store_explicit(&w->sleeping, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* I1: before the look at the queues */
}

void pc_waker_finish(struct pc_waker *w)
{
    atomic_store_explicit(&w->sleeping, 0, memory_order_relaxed);
}

int pc_waker_fd(const struct pc_waker *w)
{
    return w->fd;
}

void pc_waker_drain(struct pc_waker *w)
{
    uint64_t count;
    ssize_t n = read(w->fd, &count, sizeof count);
    PC_ASSERT(n == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
}

bool pc_waker_wait(struct pc_waker *w, int64_t timeout_ns)
{
    struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
    struct timespec limit = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    int n = ppoll(&pfd, 1, timeout_ns < 0 ? NULL : &limit, NULL);
    if (n <= 0)
        return n < 0; /* a signal counts as a wake-up: it may be spurious (I3) */
    pc_waker_drain(w);
    return true;
}

bool pc_waker_sleeping(const struct pc_waker *w)
{
    return atomic_load_explicit(&w->sleeping, memory_order_relaxed) != 0;
}
