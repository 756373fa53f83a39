/* SPDX-License-Identifier: Apache-2.0
 * A connection's life: slab, states, pending work, deadlines, tearing down. See conn.h and
 * internal.h for the invariants. */
#include "edge/loop/internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Which state may follow which. */
static const uint8_t may_follow[CONN_STATES] = {
    [CONN_FREE] = 1 << CONN_OPEN,
    [CONN_OPEN] = 1 << CONN_FLUSHING | 1 << CONN_CLOSING,
    [CONN_FLUSHING] = 1 << CONN_LINGERING | 1 << CONN_CLOSING,
    [CONN_LINGERING] = 1 << CONN_CLOSING,
    [CONN_CLOSING] = 1 << CONN_FREE,
};

void conn_set_state(struct conn *c, enum conn_state to)
{
    struct core *k = core_of(&c->pub);
    PC_ASSERT(may_follow[c->state] & 1u << to);
    if (to == CONN_OPEN)
        k->conn_count++;
    else if (to == CONN_FREE)
        k->conn_count--;
    c->state = (uint8_t)to;
    atomic_store_explicit(&k->shared.connections, k->conn_count, memory_order_relaxed);
}

void conn_work(struct core *k, struct conn *c, unsigned work)
{
    c->work |= (uint8_t)work;
    if (c->on_work_list)
        return;
    c->on_work_list = true; /* L2 */
    c->work_next = NULL;
    *k->work_last = c;
    k->work_last = &c->work_next;
}

/* ---- slab ---- */

static PC_COLD int add_block(struct core *k)
{
    const struct pc_loop_faults *faults = k->config->faults;
    size_t bytes = CONN_BLOCK * sizeof(struct conn);
    if (k->block_count == k->block_max)
        return PC_E_FULL;
    if (faults && faults->allocation && !faults->allocation(faults->ctx, bytes))
        return -ENOMEM;
    struct conn *block = aligned_alloc(PC_CACHE_LINE, bytes);
    if (!block)
        return -ENOMEM;
    memset(block, 0, bytes);
    for (unsigned i = CONN_BLOCK; i-- > 0;) {
        block[i].slot = k->block_count * CONN_BLOCK + i;
        block[i].generation = 1;
        block[i].free_next = k->free_conns;
        k->free_conns = &block[i];
    }
    k->blocks[k->block_count++] = block;
    return 0;
}

static struct conn *take_slot(struct core *k)
{
    if (!k->free_conns && add_block(k) < 0)
        return NULL;
    struct conn *c = k->free_conns;
    PC_ASSERT(c->state == CONN_FREE && c->in_flight == 0);
    k->free_conns = c->free_next;
    return c;
}

static void free_slot(struct core *k, struct conn *c)
{
    PC_ASSERT(c->in_flight == 0); /* L1 */
    PC_ASSERT(!c->in && !c->out_head && !c->on_work_list);
    conn_set_state(c, CONN_FREE);
    c->generation++; /* references and late completions no longer match */
    c->free_next = k->free_conns;
    k->free_conns = c;
    atomic_fetch_sub_explicit(&k->shared.load, 1, memory_order_relaxed);
}

void conns_free(struct core *k)
{
    for (unsigned i = 0; i < k->block_count; i++)
        free(k->blocks[i]);
    free(k->blocks);
    k->blocks = NULL;
    k->block_count = 0;
}

/* ---- opening ---- */

static void set_v4(struct pc_peer *peer, const void *ip)
{
    peer->family = PC_PEER_V4;
    memcpy(peer->ip, ip, 4);
}

static void read_peer(int fd, struct pc_peer *peer)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } a;
    socklen_t n = sizeof a;
    memset(peer, 0, sizeof *peer);
    if (getpeername(fd, &a.any, &n) < 0)
        return; /* it has already gone: PC_PEER_UNKNOWN */
    if (a.any.sa_family == AF_UNIX) {
        peer->family = PC_PEER_UNIX;
    } else if (a.any.sa_family == AF_INET) {
        set_v4(peer, &a.v4.sin_addr);
        peer->port = ntohs(a.v4.sin_port);
    } else if (a.any.sa_family == AF_INET6) {
        peer->port = ntohs(a.v6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr)) {
            set_v4(peer, a.v6.sin6_addr.s6_addr + 12);
            return;
        }
        peer->family = PC_PEER_V6;
        memcpy(peer->ip, a.v6.sin6_addr.s6_addr, 16);
    }
}

static void init_conn(struct core *k, struct conn *c, int fd, const struct pc_listener *listener)
{
    uint32_t slot = c->slot, generation = c->generation;
    memset(c, 0, sizeof *c);
    c->slot = slot;
    c->generation = generation;
    c->fd = fd;
    c->pub.core = &k->pub;
    c->pub.listener = listener;
    c->pub.protocol = listener->protocol;
    wheel_entry_init(&c->timer);
    for (unsigned i = 0; i < DEADLINE_COUNT; i++)
        c->deadlines[i] = WHEEL_NEVER;
}

void conn_open(struct core *k, int fd, const struct pc_listener *listener)
{
    struct conn *c = take_slot(k);
    if (!c) {
        CORE_COUNT(k, no_memory, 1);
        atomic_fetch_sub_explicit(&k->shared.load, 1, memory_order_relaxed);
        close(fd);
        return;
    }
    init_conn(k, c, fd, listener);
    read_peer(fd, &c->pub.peer);
    conn_set_state(c, CONN_OPEN);
    CORE_COUNT(k, opened, 1);
    if (c->pub.protocol->open && c->pub.protocol->open(&c->pub) != 0) {
        pc_conn_abort(&c->pub);
        return;
    }
    c->opened = true;
    if (k->pub.stopping)
        conn_drain(k, c);
    if (k->cut)
        pc_conn_abort(&c->pub);
    conn_work(k, c, WORK_RECV);
}

void conn_drain(struct core *k, struct conn *c)
{
    if (c->drained || c->state != CONN_OPEN)
        return;
    c->drained = true;
    CORE_COUNT(k, drained, 1);
    if (c->pub.protocol->drain)
        c->pub.protocol->drain(&c->pub);
    else
        pc_conn_close_after_flush(&c->pub);
}

struct pc_conn_ref pc_conn_ref(const struct pc_conn *pub)
{
    const struct conn *c = conn_of(pub);
    return (struct pc_conn_ref){c->slot, c->generation, pub->core->index};
}

struct pc_conn *pc_conn_get(struct pc_core *core, struct pc_conn_ref ref)
{
    PC_ASSERT_ON_CORE(core);
    PC_ASSERT(ref.core == core->index);
    struct conn *c = core_slot(core_in(core), ref.slot);
    if (!c || c->generation != ref.generation || c->state != CONN_OPEN)
        return NULL;
    return &c->pub;
}

/* ---- deadlines ---- */

void conn_set_deadline(struct core *k, struct conn *c, unsigned which, int64_t after_ns)
{
    int64_t at = k->pub.now_ns + after_ns;
    c->deadlines[which] = at;
    wheel_cover(&k->wheel, &c->timer, at, k->pub.now_ns);
}

void pc_conn_deadline(struct pc_conn *pub, unsigned deadline)
{
    struct conn *c = conn_of(pub);
    PC_ASSERT_ON_CORE(pub->core);
    PC_ASSERT(deadline < PC_DEADLINES);
    uint32_t ms = pub->protocol->deadline_ms[deadline];
    if (ms && c->state == CONN_OPEN)
        conn_set_deadline(core_of(pub), c, deadline, (int64_t)ms * 1000000);
}

void pc_conn_clear_deadline(struct pc_conn *pub, unsigned deadline)
{
    PC_ASSERT(deadline < PC_DEADLINES);
    conn_of(pub)->deadlines[deadline] = WHEEL_NEVER; /* the wheel notices when its place comes up */
}

static void clear_protocol_deadlines(struct conn *c)
{
    for (unsigned i = 0; i < PC_DEADLINES; i++)
        c->deadlines[i] = WHEEL_NEVER;
}

static void deadline_passed(struct core *k, struct conn *c, unsigned which)
{
    if (which == DEADLINE_STALL)
        CORE_COUNT(k, send_stalls, 1);
    if (which >= PC_DEADLINES || !c->pub.protocol->timeout) {
        pc_conn_abort(&c->pub);
        return;
    }
    CORE_COUNT(k, timeouts, 1);
    c->pub.protocol->timeout(&c->pub, which);
}

/* c's place in the wheel came up. */
void conn_timer(struct core *k, struct conn *c)
{
    int64_t earliest = WHEEL_NEVER;
    for (unsigned i = 0; i < DEADLINE_COUNT && c->state != CONN_CLOSING; i++) {
        if (c->deadlines[i] <= k->pub.now_ns) {
            c->deadlines[i] = WHEEL_NEVER;
            deadline_passed(k, c, i);
        }
    }
    if (c->state == CONN_CLOSING)
        return;
    for (unsigned i = 0; i < DEADLINE_COUNT; i++)
        earliest = pc_min_i64(earliest, c->deadlines[i]);
    if (earliest != WHEEL_NEVER)
        wheel_cover(&k->wheel, &c->timer, earliest, k->pub.now_ns);
}

/* ---- closing ---- */

bool pc_conn_closing(const struct pc_conn *pub)
{
    return conn_of(pub)->state != CONN_OPEN;
}

void pc_conn_close_after_flush(struct pc_conn *pub)
{
    struct conn *c = conn_of(pub);
    PC_ASSERT_ON_CORE(pub->core);
    if (c->state != CONN_OPEN)
        return;
    conn_set_state(c, CONN_FLUSHING);
    clear_protocol_deadlines(c);
    conn_work(core_of(pub), c, WORK_FLUSH);
}

void pc_conn_abort(struct pc_conn *pub)
{
    struct conn *c = conn_of(pub);
    PC_ASSERT_ON_CORE(pub->core);
    if (c->state == CONN_CLOSING)
        return;
    conn_set_state(c, CONN_CLOSING);
    conn_work(core_of(pub), c, WORK_CLOSE);
}

static void close_descriptor(struct core *k, struct conn *c)
{
    struct io_uring_sqe *sqe = ring_sqe(&k->ring);
    io_uring_prep_close(sqe, c->fd);
    /* Nobody waits for it: only a failure is reported. */
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    ring_sqe_done(&k->ring, sqe, op_encode(PC_OP_LOOP_CLOSE, 0, 0));
    c->fd = -1;
    accept_descriptor_freed(k);
}

/* The end of a connection, called from the turn's end: no callback is on the stack. */
void conn_teardown(struct core *k, struct conn *c)
{
    PC_ASSERT(c->state == CONN_CLOSING);
    CORE_COUNT(k, closed, 1);
    wheel_remove(&k->wheel, &c->timer);
    if (c->opened && c->pub.protocol->closed)
        c->pub.protocol->closed(&c->pub);
    c->opened = false;
    if (c->in)
        pool_put(&k->pool, c->in);
    c->in = NULL;
    /* Makes what is in flight complete; queued output stays until then (L3). */
    if (c->in_flight)
        (void)shutdown(c->fd, SHUT_RDWR);
    conn_settled(k, c);
}

void conn_settled(struct core *k, struct conn *c)
{
    /* WORK_CLOSE pending: teardown has not run yet and will come here itself. */
    if (c->state != CONN_CLOSING || c->in_flight || c->work & WORK_CLOSE)
        return;
    pool_put_chain(&k->pool, c->out_head);
    c->out_head = c->out_tail = NULL;
    close_descriptor(k, c);
    free_slot(k, c);
}
