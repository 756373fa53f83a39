/* SPDX-License-Identifier: Apache-2.0
 * From the socket to the protocol: multishot receive into lent buffers, delivery in place, and
 * what is kept when a message is incomplete or its connection paused.
 *
 *   lent buffer --(nothing kept, not paused)--> input() --rest--> kept chunk
 *        \------(something kept, or paused)-----------append----> kept chunk --> input()
 *
 * A lent buffer goes back to the kernel before the next completion is looked at, so a slow or
 * paused connection never holds one. */
#include "edge/loop/internal.h"

#include <string.h>

static size_t input_max(const struct conn *c)
{
    size_t max = c->pub.protocol->input_max_bytes;
    return max ? max : PC_INPUT_MAX_DEFAULT;
}

static size_t kept_bytes(const struct conn *c)
{
    return c->in ? chunk_bytes(c->in) : 0;
}

bool recv_wanted(const struct conn *c)
{
    if (c->peer_done)
        return false;
    if (c->state == CONN_OPEN)
        return !c->pause || kept_bytes(c) < PAUSED_INPUT_BYTES;
    /* Reading on while flushing and lingering shows us the peer's end. */
    return c->state == CONN_FLUSHING || c->state == CONN_LINGERING;
}

void recv_arm(struct core *k, struct conn *c)
{
    if (c->recv_armed || !recv_wanted(c))
        return;
    struct io_uring_sqe *sqe = ring_sqe(&k->ring);
    io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RING_BUFFER_GROUP;
    c->recv_armed = true;
    c->in_flight++;
    ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_RECV, c->slot, c->generation));
}

/* Too much is waiting unread: let the kernel's window close. */
static void stop_receiving(struct core *k, struct conn *c)
{
    if (!c->recv_armed || c->recv_cancel)
        return;
    struct io_uring_sqe *sqe = ring_sqe(&k->ring);
    io_uring_prep_cancel64(sqe, op_encode(PC_OP_LOOP_RECV, c->slot, c->generation), 0);
    c->recv_cancel = true;
    c->in_flight++;
    CORE_COUNT(k, recv_stops, 1);
    ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_RECV_CANCEL, c->slot, c->generation));
}

/* Whatever the result, the receive's own completion tells how it ended. */
void recv_cancel_done(struct core *k, struct conn *c, int res, unsigned flags)
{
    (void)res;
    (void)flags;
    PC_ASSERT(c->in_flight > 0 && c->recv_cancel);
    c->in_flight--;
    c->recv_cancel = false;
    conn_settled(k, c);
}

/* Room for n more bytes behind those kept. */
static int make_room(struct core *k, struct conn *c, size_t n)
{
    struct chunk *in = c->in;
    size_t have = kept_bytes(c);
    if (in && chunk_room(in) >= n)
        return 0;
    if (in && in->capacity - have >= n && in->off >= have) {
        /* Moving costs at most what was consumed before. */
        memcpy(in->data, in->data + in->off, have);
        in->off = 0;
        in->len = have;
        return 0;
    }
    size_t wanted = pc_max_u64(pc_max_u64(have + n, 2 * have), c->expected);
    struct chunk *grown = pool_get(&k->pool, wanted);
    if (!grown)
        return -ENOMEM;
    if (in) {
        memcpy(grown->data, in->data + in->off, have);
        grown->len = have;
        pool_put(&k->pool, in);
    }
    c->in = grown;
    return 0;
}

static void keep(struct core *k, struct conn *c, const uint8_t *p, size_t n)
{
    if (make_room(k, c, n) < 0) {
        CORE_COUNT(k, no_memory, 1);
        pc_conn_abort(&c->pub);
        return;
    }
    memcpy(c->in->data + c->in->len, p, n);
    c->in->len += n;
    if (c->pause && kept_bytes(c) >= PAUSED_INPUT_BYTES)
        stop_receiving(k, c);
}

static void drop_kept(struct core *k, struct conn *c)
{
    if (c->in)
        pool_put(&k->pool, c->in);
    c->in = NULL;
    c->expected = 0;
}

int pc_conn_expect(struct pc_conn *pub, size_t total_bytes)
{
    struct conn *c = conn_of(pub);
    PC_ASSERT_ON_CORE(pub->core);
    if (total_bytes > input_max(c))
        return PC_E_TOO_LARGE;
    /* The bytes may be being parsed right now: they stay, only the next growth is sized. */
    c->expected = total_bytes;
    return 0;
}

/* Delivers what is kept, once. */
static void deliver_kept(struct core *k, struct conn *c)
{
    struct chunk *in = c->in;
    size_t n = kept_bytes(c);
    size_t used = c->pub.protocol->input(&c->pub, in->data + in->off, n);
    PC_ASSERT(used <= n && c->in == in);
    in->off += used;
    if (used == n || c->state != CONN_OPEN) {
        drop_kept(k, c);
    } else if (used == 0 && !c->pause && n >= input_max(c)) {
        CORE_COUNT(k, input_overflows, 1);
        pc_conn_abort(&c->pub);
    }
}

static void tell_eof(struct conn *c)
{
    c->eof_told = true;
    if (c->pub.protocol->eof)
        c->pub.protocol->eof(&c->pub);
    else
        pc_conn_close_after_flush(&c->pub);
}

/* Kept bytes and the end of the stream, as far as the connection takes them now. */
void recv_deliver(struct core *k, struct conn *c)
{
    if (c->state != CONN_OPEN || c->pause)
        return;
    if (c->in)
        deliver_kept(k, c);
    if (c->peer_done && !c->eof_told && !c->pause && c->state == CONN_OPEN)
        tell_eof(c);
}

/* The one place where received bytes enter (TLS would open its records here). */
static void conn_received(struct core *k, struct conn *c, uint8_t *p, size_t n)
{
    if (PC_UNLIKELY(c->in || c->pause)) {
        keep(k, c, p, n);
        recv_deliver(k, c);
        return;
    }
    size_t used = c->pub.protocol->input(&c->pub, p, n);
    PC_ASSERT(used <= n);
    if (PC_UNLIKELY(used < n) && c->state == CONN_OPEN)
        keep(k, c, p + used, n - used);
}

/* ---- completions ---- */

static void received(struct core *k, struct conn *c, unsigned n, unsigned flags)
{
    PC_ASSERT(flags & IORING_CQE_F_BUFFER);
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    PC_ASSERT(n <= k->ring.buffer_bytes);
    CORE_COUNT(k, recvs, 1);
    CORE_COUNT(k, recv_bytes, n);
    if (PC_LIKELY(c->state == CONN_OPEN))
        conn_received(k, c, ring_buffer(&k->ring, id), n);
    ring_buffer_return(&k->ring, id);
}

static void on_end(struct core *k, struct conn *c)
{
    c->peer_done = true;
    if (c->state == CONN_OPEN)
        conn_work(k, c, WORK_DELIVER);
    else if (c->state == CONN_LINGERING)
        pc_conn_abort(&c->pub);
    else if (c->state == CONN_FLUSHING)
        conn_work(k, c, WORK_FLUSH);
}

static void on_no_buffers(struct core *k, struct conn *c)
{
    /* All are back when this turn ends, and then it is armed again. */
    CORE_COUNT(k, recv_no_buffers, 1);
    conn_work(k, c, WORK_RECV);
}

static void on_retry(struct core *k, struct conn *c)
{
    conn_work(k, c, WORK_RECV);
}

static void on_lost(struct core *k, struct conn *c)
{
    (void)k;
    pc_conn_abort(&c->pub);
}

/* What a receive that brought no bytes means; the last row is for everything else. */
static const struct recv_row {
    int res;
    void (*then)(struct core *, struct conn *);
} recv_rows[] = {
    {0,           on_end       },
    {-ENOBUFS,    on_no_buffers},
    {-ECANCELED,  on_retry     },
    {-EINTR,      on_retry     },
    {-EAGAIN,     on_retry     },
    {-ECONNRESET, on_lost      },
    {INT32_MIN,   on_lost      },
};

void recv_done(struct core *k, struct conn *c, int res, unsigned flags)
{
    PC_ASSERT(c->recv_armed && c->in_flight > 0);
    bool ended = !(flags & IORING_CQE_F_MORE);
    if (ended) {
        c->recv_armed = false;
        c->in_flight--;
    }
    /* A receive that the kernel moved to a worker takes its buffer before it knows the result. */
    if (PC_UNLIKELY(res <= 0 && flags & IORING_CQE_F_BUFFER))
        ring_buffer_return(&k->ring, flags >> IORING_CQE_BUFFER_SHIFT);
    if (PC_LIKELY(res > 0)) {
        received(k, c, (unsigned)res, flags);
        if (ended && c->state != CONN_CLOSING)
            conn_work(k, c, WORK_RECV);
    } else if (c->state != CONN_CLOSING) {
        size_t i = 0;
        while (recv_rows[i].res != res && recv_rows[i].res != INT32_MIN)
            i++;
        recv_rows[i].then(k, c);
    }
    conn_settled(k, c);
}

/* ---- pausing ---- */

void pc_conn_pause(struct pc_conn *pub)
{
    PC_ASSERT_ON_CORE(pub->core);
    conn_of(pub)->pause |= PAUSE_PROTOCOL;
}

void pc_conn_resume(struct pc_conn *pub)
{
    struct conn *c = conn_of(pub);
    PC_ASSERT_ON_CORE(pub->core);
    if (!(c->pause & PAUSE_PROTOCOL))
        return;
    c->pause &= (uint8_t)~PAUSE_PROTOCOL;
    if (!c->pause && c->state == CONN_OPEN)
        conn_work(core_of(pub), c, WORK_DELIVER | WORK_RECV);
}
