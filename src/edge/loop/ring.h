/* SPDX-License-Identifier: Apache-2.0
 * One core's io_uring: set-up with an explanation when it is refused, submission slots, one
 * io_uring_enter per turn, and the ring of receive buffers lent to the kernel. Owned by the core's
 * thread from ring_open() to ring_close(). Knows nothing of connections.
 *
 * The kernel is entered with our own call rather than liburing's, because liburing 2.3 cannot pass
 * newer enter flags and hides whether a call may sleep. NO_SQARRAY must never be passed through
 * liburing 2.3: it would write to an array that is not there. */
#ifndef PC_LOOP_RING_H
#define PC_LOOP_RING_H

#include <liburing.h>

#include "base/err.h"
#include "edge/loop/faults.h"

/* Completions made up by fault injection that wait for the next reap. */
#define RING_SYNTHETIC_MAX 64

struct ring_config {
    unsigned entries;
    unsigned recv_buffers; /* 0: none are lent */
    unsigned recv_buffer_bytes;
    uint32_t masked_features;
    const struct pc_loop_faults *faults;
};

struct ring {
    struct io_uring u;
    uint32_t features;    /* enum pc_loop_feature in use */
    unsigned enter_flags; /* for every enter */
    bool open;
    /* Provided buffers: buffer i is at memory + i * buffer_bytes. */
    struct io_uring_buf_ring *lent;
    uint8_t *memory;
    size_t lent_bytes, memory_bytes;
    unsigned buffers, buffer_bytes;
    unsigned returned; /* added to the ring, not yet made visible */
    const struct pc_loop_faults *faults;
    struct io_uring_cqe synthetic[RING_SYNTHETIC_MAX];
    unsigned synthetic_count;
};

/* On failure why says what refused it and what to change. */
int ring_open(struct ring *r, const struct ring_config *config, struct pc_why *why);
void ring_close(struct ring *r);

/* A zeroed submission; submits what is there first when the queue is full. */
struct io_uring_sqe *ring_sqe(struct ring *r);
/* To be called once for each submission when it is complete: gives user_data and the faults. */
void ring_sqe_done(struct ring *r, struct io_uring_sqe *sqe, uint64_t user_data);

static inline unsigned ring_unsubmitted(const struct ring *r)
{
    return r->u.sq.sqe_tail - r->u.sq.sqe_head;
}

/* Submits, lets the kernel deliver, does not sleep. */
void ring_enter(struct ring *r);
/* The same, and sleeps until a completion comes, timeout_ns passes (negative: never) or a signal.
 */
void ring_enter_wait(struct ring *r, int64_t timeout_ns);

/* Completions there are now. */
static inline unsigned ring_ready(const struct ring *r)
{
    return io_uring_cq_ready(&r->u) + r->synthetic_count;
}

static inline uint8_t *ring_buffer(struct ring *r, unsigned id)
{
    PC_ASSERT(id < r->buffers);
    return r->memory + (size_t)id * r->buffer_bytes;
}

/* Gives buffer id back; the kernel sees it after ring_buffers_flush(). */
void ring_buffer_return(struct ring *r, unsigned id);
void ring_buffers_flush(struct ring *r);

#define RING_BUFFER_GROUP 0

#endif
