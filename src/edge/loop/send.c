/* SPDX-License-Identifier: Apache-2.0
 * From the protocol to the socket: a chain of chunks per connection, one send in flight, one per
 * turn.
 *
 *   out_head: |~~sent~~|== off ... len ==|  ->  |====|  ->  out_tail: |====| reserved |  room  |
 *                       \________ out_bytes ______________________________/
 *
 * A send without MSG_WAITALL reports what it got rid of at once, so a slow reader frees memory and
 * shows progress; the rest goes with the next send. */
#include "edge/loop/internal.h"

#include <string.h>
#include <sys/socket.h>

/* The first chunk is sized by what recent turns wrote, so that pipelined answers leave in one
 * piece; later ones are at least this large. */
#define OUT_NEXT_CHUNK (16u << 10)
#define OUT_HINT_MAX   (64u << 10)

static size_t output_max(const struct core *k, const struct conn *c)
{
    size_t max = c->pub.protocol->output_max_bytes;
    return max ? max : k->config->output_max_bytes;
}

static PC_COLD uint8_t *give_up(struct core *k, struct conn *c)
{
    CORE_COUNT(k, no_memory, 1);
    pc_conn_abort(&c->pub);
    return NULL;
}

static uint8_t *add_chunk(struct core *k, struct conn *c, size_t n)
{
    if (c->out_bytes + n > k->config->output_hard_max_bytes)
        return give_up(k, c);
    size_t want = pc_max_u64(n, c->out_tail ? OUT_NEXT_CHUNK - sizeof(struct chunk) : c->out_hint);
    struct chunk *chunk = pool_get(&k->pool, want);
    if (!chunk)
        return give_up(k, c);
    if (c->out_tail)
        c->out_tail->next = chunk;
    else
        c->out_head = chunk;
    c->out_tail = chunk;
    return chunk->data;
}

uint8_t *pc_conn_reserve(struct pc_conn *pub, size_t n)
{
    struct conn *c = conn_of(pub);
    struct core *k = core_of(pub);
    PC_ASSERT_ON_CORE(pub->core);
    c->reserved = n;
    if (PC_UNLIKELY(c->state == CONN_CLOSING))
        return NULL;
    if (PC_LIKELY(c->out_tail && chunk_room(c->out_tail) >= n))
        return c->out_tail->data + c->out_tail->len;
    return add_chunk(k, c, n);
}

void pc_conn_commit(struct pc_conn *pub, size_t n)
{
    struct conn *c = conn_of(pub);
    struct core *k = core_of(pub);
    PC_ASSERT(n <= c->reserved);
    c->reserved = 0;
    if (PC_UNLIKELY(c->state == CONN_CLOSING || n == 0))
        return;
    PC_ASSERT(n <= chunk_room(c->out_tail));
    c->out_tail->len += n;
    c->out_bytes += n;
    if (PC_UNLIKELY(c->out_bytes >= output_max(k, c)) && !(c->pause & PAUSE_OUTPUT)) {
        c->pause |= PAUSE_OUTPUT;
        CORE_COUNT(k, output_full, 1);
    }
    if (!c->send_busy)
        conn_work(k, c, WORK_FLUSH);
}

bool pc_conn_write(struct pc_conn *pub, struct pc_bytes s)
{
    uint8_t *p = pc_conn_reserve(pub, s.n);
    if (!p)
        return false;
    if (s.n)
        memcpy(p, s.p, s.n);
    pc_conn_commit(pub, s.n);
    return true;
}

size_t pc_conn_output_bytes(const struct pc_conn *pub)
{
    return conn_of(pub)->out_bytes;
}

bool pc_conn_output_full(const struct pc_conn *pub)
{
    return conn_of(pub)->pause & PAUSE_OUTPUT;
}

/* ---- sending ---- */

/* Several chunks in one send. The kernel copies the vector when it is submitted
 * (IORING_FEAT_SUBMIT_STABLE), so it lives until the next enter. Returns the bytes, 0 when this
 * turn's vectors are used up. */
static size_t prepare_vector(struct core *k, struct conn *c, struct io_uring_sqe *sqe)
{
    if (k->msgs_used == SEND_MSGS)
        return 0;
    struct send_msg *m = &k->msgs[k->msgs_used++];
    size_t bytes = 0, n = 0;
    for (struct chunk *chunk = c->out_head; chunk && n < SEND_IOV_MAX; chunk = chunk->next) {
        if (!chunk_bytes(chunk))
            continue;
        m->iov[n++] = (struct iovec){chunk->data + chunk->off, chunk_bytes(chunk)};
        bytes += chunk_bytes(chunk);
    }
    m->hdr = (struct msghdr){.msg_iov = m->iov, .msg_iovlen = n};
    io_uring_prep_sendmsg(sqe, c->fd, &m->hdr, MSG_NOSIGNAL);
    return bytes;
}

/* Reservations that were not used may have left empty chunks in front. */
static void drop_empty_heads(struct core *k, struct conn *c)
{
    while (PC_UNLIKELY(!chunk_bytes(c->out_head))) {
        struct chunk *head = c->out_head;
        PC_ASSERT(head->next);
        c->out_head = head->next;
        pool_put(&k->pool, head);
    }
}

/* The one place where bytes leave (TLS would seal its records here). */
void send_start(struct core *k, struct conn *c)
{
    if (c->send_busy || c->out_bytes == 0)
        return;
    drop_empty_heads(k, c);
    struct io_uring_sqe *sqe = ring_sqe(&k->ring);
    struct chunk *head = c->out_head;
    c->sending = PC_UNLIKELY(head->next) ? prepare_vector(k, c, sqe) : 0;
    if (!c->sending) {
        c->sending = chunk_bytes(head);
        io_uring_prep_send(sqe, c->fd, head->data + head->off, c->sending, MSG_NOSIGNAL);
    }
    c->send_busy = true;
    c->in_flight++;
    c->out_hint = (uint32_t)pc_min_u64(c->out_bytes, OUT_HINT_MAX);
    CORE_COUNT(k, sends, 1);
    conn_set_deadline(k, c, DEADLINE_STALL, (int64_t)k->config->send_stall_ms * 1000000);
    ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_SEND, c->slot, c->generation));
}

/* n bytes have left: frees the chunks they were in. The last one is kept while open reservations
 * or later writes may use it, unless it is empty now. */
static void advance(struct core *k, struct conn *c, size_t n)
{
    PC_ASSERT(n <= c->out_bytes && n <= c->sending);
    c->out_bytes -= n;
    while (c->out_head) {
        struct chunk *head = c->out_head;
        size_t part = pc_min_u64(n, chunk_bytes(head));
        head->off += part;
        n -= part;
        if (chunk_bytes(head))
            return;
        c->out_head = head->next;
        pool_put(&k->pool, head);
    }
    c->out_tail = NULL;
    c->reserved = 0;
    PC_ASSERT(n == 0 && c->out_bytes == 0);
}

/* Output was taken: input may go on where it had been stopped for it. */
static void after_progress(struct core *k, struct conn *c)
{
    if (c->pause & PAUSE_OUTPUT && c->out_bytes <= output_max(k, c) / 2) {
        c->pause &= (uint8_t)~PAUSE_OUTPUT;
        if (!c->pause && c->state == CONN_OPEN)
            conn_work(k, c, WORK_DELIVER | WORK_RECV);
    }
    if (c->out_bytes || c->state == CONN_FLUSHING)
        conn_work(k, c, WORK_FLUSH);
    if (!c->out_bytes)
        c->deadlines[DEADLINE_STALL] = WHEEL_NEVER;
}

static void on_send_retry(struct core *k, struct conn *c)
{
    conn_work(k, c, WORK_FLUSH);
}

static void on_send_lost(struct core *k, struct conn *c)
{
    CORE_COUNT(k, send_errors, 1);
    pc_conn_abort(&c->pub);
}

/* What a send that failed means; the last row is for everything else. */
static const struct send_row {
    int res;
    void (*then)(struct core *, struct conn *);
} send_rows[] = {
    {-EINTR,     on_send_retry},
    {-EAGAIN,    on_send_retry},
    {-ECANCELED, on_send_retry},
    {-EPIPE,     on_send_lost },
    {INT32_MIN,  on_send_lost },
};

void send_done(struct core *k, struct conn *c, int res, unsigned flags)
{
    (void)flags;
    PC_ASSERT(c->send_busy && c->in_flight > 0);
    c->in_flight--;
    c->send_busy = false;
    if (PC_LIKELY(res > 0)) {
        CORE_COUNT(k, send_bytes, res);
        if ((size_t)res < c->sending)
            CORE_COUNT(k, short_sends, 1);
        if (c->state != CONN_CLOSING) {
            advance(k, c, (size_t)res);
            after_progress(k, c);
        }
    } else if (c->state != CONN_CLOSING) {
        size_t i = 0;
        while (send_rows[i].res != res && send_rows[i].res != INT32_MIN)
            i++;
        send_rows[i].then(k, c);
    }
    conn_settled(k, c);
}
