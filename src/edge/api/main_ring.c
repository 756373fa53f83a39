/* SPDX-License-Identifier: Apache-2.0
 * Poll requests on a ring; see main_ring.h. Main thread only. */
#include "edge/api/main_ring.h"

#include <poll.h>

#define ENTRIES 16

int pc_main_ring_open(struct pc_main_ring *r, struct pc_why *why)
{
    *r = (struct pc_main_ring){.count = 0};
    return ring_open(&r->ring, &(struct ring_config){.entries = ENTRIES}, why);
}

void pc_main_ring_close(struct pc_main_ring *r)
{
    ring_close(&r->ring);
}

uint32_t pc_main_ring_add(struct pc_main_ring *r, int fd)
{
    PC_ASSERT(r->count < PC_MAIN_RING_FDS && fd >= 0);
    r->fds[r->count] = fd;
    return 1u << r->count++;
}

static void arm(struct pc_main_ring *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        if (r->armed >> i & 1)
            continue;
        struct io_uring_sqe *sqe = ring_sqe(&r->ring);
        io_uring_prep_poll_add(sqe, r->fds[i], POLLIN);
        ring_sqe_done(&r->ring, sqe, i);
        r->armed |= 1u << i;
    }
}

/* Takes the completions there are. A poll that failed counts as readable: whoever reads the
 * descriptor then meets the error. */
static uint32_t reap(struct pc_main_ring *r)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    uint32_t ready = 0;
    io_uring_for_each_cqe(&r->ring.u, head, cqe)
    {
        PC_ASSERT(cqe->user_data < r->count);
        ready |= 1u << cqe->user_data;
        n++;
    }
    io_uring_cq_advance(&r->ring.u, n);
    r->armed &= ~ready;
    return ready;
}

uint32_t pc_main_ring_wait(struct pc_main_ring *r, int64_t timeout_ns)
{
    arm(r);
    ring_enter_wait(&r->ring, timeout_ns);
    return reap(r);
}
