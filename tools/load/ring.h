/* SPDX-License-Identifier: Apache-2.0
 * One generator thread's io_uring with its ring of receive buffers. Owned by the thread that made
 * it (SINGLE_ISSUER); completions are only made while that thread waits (DEFER_TASKRUN). */
#ifndef LD_RING_H
#define LD_RING_H

#include <liburing.h>

#include "load/source.h"

enum {
    LD_RING_ENTRIES = 4096,
    LD_RING_BUFFERS = 512, /* power of two */
    LD_RING_BUFFER_BYTES = 32768,
    LD_RING_GROUP = 1,
    LD_RING_BATCH = 512, /* completions looked at per turn */
};

/* user_data: operation, connection, and the connection's generation: what completes after its
 * connection was closed belongs to nobody. */
enum ld_op { LD_OP_CONNECT, LD_OP_RECV, LD_OP_SEND, LD_OP_TIMER };

static inline uint64_t ld_op_pack(enum ld_op op, uint32_t conn, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint64_t)conn << 8 | (uint64_t)op;
}

static inline enum ld_op ld_op_kind(uint64_t data)
{
    return (enum ld_op)(data & 0xff);
}

static inline uint32_t ld_op_conn(uint64_t data)
{
    return (uint32_t)(data >> 8) & 0xffffff;
}

static inline uint32_t ld_op_generation(uint64_t data)
{
    return (uint32_t)(data >> 32);
}

struct ld_ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffers;
    uint8_t *memory;
    unsigned to_give; /* buffers added and not yet shown to the kernel */
    bool open;
};

bool ld_ring_open(struct ld_ring *, struct ld_problem *);
void ld_ring_close(struct ld_ring *);

/* An entry with its user_data set; prep helpers of liburing 2.3 clear user_data, so the caller
 * preps first what it gets and sets the data last: use ld_ring_*() below. Never NULL. */
void ld_ring_connect(struct ld_ring *, int fd, const void *address, unsigned bytes, uint64_t data);
void ld_ring_recv(struct ld_ring *, int fd, uint64_t data);
void ld_ring_send(struct ld_ring *, int fd, const uint8_t *p, size_t n, uint64_t data);
void ld_ring_timer(struct ld_ring *, struct __kernel_timespec *, uint64_t data);

static inline uint8_t *ld_ring_buffer(const struct ld_ring *r, unsigned id)
{
    return r->memory + (size_t)id * LD_RING_BUFFER_BYTES;
}

static inline void ld_ring_give_back(struct ld_ring *r, unsigned id)
{
    io_uring_buf_ring_add(r->buffers, ld_ring_buffer(r, id), LD_RING_BUFFER_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(LD_RING_BUFFERS),
                          (int)r->to_give++);
}

static inline void ld_ring_show_buffers(struct ld_ring *r)
{
    if (r->to_give) {
        io_uring_buf_ring_advance(r->buffers, (int)r->to_give);
        r->to_give = 0;
    }
}

#endif
