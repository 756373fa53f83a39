/* SPDX-License-Identifier: Apache-2.0
 * Setting up the ring of ring.h, and its submissions. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load/ring.h"

static struct io_uring_sqe *entry(struct ld_ring *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    if (!sqe) {
        io_uring_submit(&r->uring);
        sqe = io_uring_get_sqe(&r->uring);
    }
    PC_ASSERT(sqe); /* the kernel takes all that was submitted (SUBMIT_ALL) */
    return sqe;
}

void ld_ring_connect(struct ld_ring *r, int fd, const void *address, unsigned bytes, uint64_t data)
{
    struct io_uring_sqe *sqe = entry(r);
    io_uring_prep_connect(sqe, fd, address, bytes);
    sqe->user_data = data;
}

void ld_ring_recv(struct ld_ring *r, int fd, uint64_t data)
{
    struct io_uring_sqe *sqe = entry(r);
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = LD_RING_GROUP;
    sqe->user_data = data;
}

void ld_ring_send(struct ld_ring *r, int fd, const uint8_t *p, size_t n, uint64_t data)
{
    struct io_uring_sqe *sqe = entry(r);
    io_uring_prep_send(sqe, fd, p, n, MSG_NOSIGNAL);
    sqe->user_data = data;
}

void ld_ring_timer(struct ld_ring *r, struct __kernel_timespec *after, uint64_t data)
{
    struct io_uring_sqe *sqe = entry(r);
    io_uring_prep_timeout(sqe, after, 0, 0);
    sqe->user_data = data;
}

static bool open_buffers(struct ld_ring *r, struct ld_problem *problem)
{
    void *ring_memory = NULL;
    r->memory = malloc((size_t)LD_RING_BUFFERS * LD_RING_BUFFER_BYTES);
    if (!r->memory ||
        posix_memalign(&ring_memory, 4096, LD_RING_BUFFERS * sizeof(struct io_uring_buf)) != 0)
        return ld_problem_set(problem, "no memory for receive buffers");
    r->buffers = ring_memory;
    io_uring_buf_ring_init(r->buffers);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)ring_memory,
                                   .ring_entries = LD_RING_BUFFERS,
                                   .bgid = LD_RING_GROUP};
    const int err = io_uring_register_buf_ring(&r->uring, &reg, 0);
    if (err < 0)
        return ld_problem_set(problem,
                              "io_uring refuses a ring of buffers (%s): Linux 6.1 is needed",
                              strerror(-err));
    for (unsigned i = 0; i < LD_RING_BUFFERS; i++)
        ld_ring_give_back(r, i);
    ld_ring_show_buffers(r);
    return true;
}

bool ld_ring_open(struct ld_ring *r, struct ld_problem *problem)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = 4 * LD_RING_ENTRIES};
    *r = (struct ld_ring){0};
    const int err = io_uring_queue_init_params(LD_RING_ENTRIES, &r->uring, &params);
    if (err < 0)
        return ld_problem_set(problem,
                              "io_uring is refused (%s): it needs Linux 6.1 or newer and a "
                              "seccomp profile and kernel.io_uring_disabled that allow it",
                              strerror(-err));
    r->open = true;
    if (open_buffers(r, problem))
        return true;
    ld_ring_close(r);
    return false;
}

void ld_ring_close(struct ld_ring *r)
{
    if (r->open)
        io_uring_queue_exit(&r->uring);
    free(r->buffers);
    free(r->memory);
    *r = (struct ld_ring){0};
}
