/* SPDX-License-Identifier: Apache-2.0
 * What goes over a loop's connections: requests taken from the source, sends, answers, and
 * connections that come and go. Runs on the loop's thread. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "load/loop.h"

/* --- open loop: connections by how much they have outstanding ------------------------------- */

static void unlink_level(struct ld_loop *l, struct ld_conn *c)
{
    const unsigned level = (unsigned)c->level;
    if (c->before != LD_LEVEL_NONE)
        l->conns[c->before].after = c->after;
    else
        l->level_first[level] = c->after;
    if (c->after != LD_LEVEL_NONE)
        l->conns[c->after].before = c->before;
    else
        l->level_last[level] = c->before;
    if (l->level_first[level] == LD_LEVEL_NONE)
        l->level_used &= ~(UINT64_C(1) << level);
    c->level = -1;
}

static void link_level(struct ld_loop *l, struct ld_conn *c, unsigned level)
{
    const uint32_t index = ld_loop_index(l, c);
    c->before = l->level_last[level];
    c->after = LD_LEVEL_NONE;
    if (c->before != LD_LEVEL_NONE)
        l->conns[c->before].after = index;
    else
        l->level_first[level] = index;
    l->level_last[level] = index;
    l->level_used |= UINT64_C(1) << level;
    c->level = (int32_t)level;
}

static bool has_room(const struct ld_loop *l, const struct ld_conn *c)
{
    return c->state == LD_CONN_OPEN && !c->sending && !c->reopen && c->in_flight < l->plan->depth &&
           c->out_room - c->out_bytes >= l->request_bytes_max;
}

void ld_loop_relevel(struct ld_loop *l, struct ld_conn *c)
{
    if (!l->plan->open_loop || !c->driven)
        return;
    const int32_t level =
        has_room(l, c) ? (int32_t)pc_min_u64(c->in_flight, LD_LEVELS - 1) : -1; /* L2 */
    if (level == c->level)
        return;
    if (c->level >= 0)
        unlink_level(l, c);
    if (level >= 0)
        link_level(l, c, (unsigned)level);
}

/* --- requests ------------------------------------------------------------------------------- */

void ld_loop_mark_dirty(struct ld_loop *l, struct ld_conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    l->dirty[l->dirty_count++] = ld_loop_index(l, c);
}

static void submit_send(struct ld_loop *l, struct ld_conn *c)
{
    PC_ASSERT(!c->sending && c->out_done < c->out_bytes); /* C1 */
    c->sending = true;
    ld_ring_send(&l->ring, c->fd, c->out + c->out_done, c->out_bytes - c->out_done,
                 ld_op_pack(LD_OP_SEND, ld_loop_index(l, c), c->generation));
}

static void add_wishes(struct ld_loop *l, struct ld_conn *c)
{
    while (c->wish_first && has_room(l, c)) {
        struct ld_wish *w = ld_conn_take_wish(c);
        ld_conn_append_wish(c, w, l->now_ns);
        free(w);
        l->wishes--;
        l->outstanding++;
    }
}

/* Takes the source's next request for the connection. */
static bool add_next(struct ld_loop *l, struct ld_conn *c, int64_t due_ns)
{
    struct ld_request r;
    if (l->source->ops->next(l->source, ld_loop_index(l, c), due_ns, &r) != LD_NEXT_REQUEST)
        return false;
    ld_conn_append(c, &r, due_ns, l->now_ns);
    l->outstanding++;
    l->may_send--;
    return true;
}

void ld_loop_fill(struct ld_loop *l, struct ld_conn *c)
{
    if (c->sending || c->state != LD_CONN_OPEN)
        return;
    add_wishes(l, c);
    if (!l->plan->open_loop && c->driven && !l->stopping)
        while (l->may_send && has_room(l, c))
            if (!add_next(l, c, l->now_ns)) {
                c->dry = l->any_dry = true;
                break;
            }
    if (c->out_bytes)
        submit_send(l, c);
    ld_loop_relevel(l, c);
}

void ld_loop_issue_due(struct ld_loop *l)
{
    while (l->schedule.next_ns <= l->now_ns && l->level_used && l->may_send) {
        struct ld_conn *c = &l->conns[l->level_first[__builtin_ctzll(l->level_used)]];
        PC_ASSERT_SLOW(has_room(l, c)); /* L2 */
        if (add_next(l, c, l->schedule.next_ns)) {
            ld_loop_mark_dirty(l, c);
            ld_loop_relevel(l, c);
        } else {
            l->active->skipped++;
        }
        ld_schedule_pop(&l->schedule);
    }
}

static void flush_one(struct ld_loop *l, struct ld_conn *c)
{
    c->dirty = false;
    if (c->reopen && c->in_flight == 0 && c->state == LD_CONN_OPEN)
        ld_loop_drop(l, c, LD_FAIL_END);
    else
        ld_loop_fill(l, c);
}

void ld_loop_flush(struct ld_loop *l)
{
    /* Filling one connection may make the source want something on others. It ends: a connection
     * with a send in flight takes nothing. */
    while (l->dirty_count) {
        uint32_t *const now = l->dirty;
        const unsigned n = l->dirty_count;
        l->dirty = l->flushing;
        l->flushing = now;
        l->dirty_count = 0;
        for (unsigned i = 0; i < n; i++)
            flush_one(l, &l->conns[now[i]]);
    }
}

/* --- connections ---------------------------------------------------------------------------- */

/* No answer in time: an error, and in the percentiles with the least its answer would have taken.
 * Left out, a server that answers half of the requests at once and the others never would look
 * fast. */
static void record_timeout(struct ld_loop *l, const struct ld_pending *p)
{
    const int64_t age_ns = l->now_ns - p->due_ns;
    ld_hdr_record(&l->active->classes[p->class].latency, pc_max_i64(age_ns, l->plan->timeout_ns));
}

static void count_failure(struct ld_loop *l, uint8_t class, enum ld_failure failure)
{
    if (failure == LD_FAIL_END)
        return;
    l->active->errors[failure]++;
    l->active->classes[class].errors++;
}

void ld_loop_fail_pending(struct ld_loop *l, struct ld_conn *c, enum ld_failure failure)
{
    while (c->in_flight) {
        const struct ld_source_ops *ops = l->source->ops;
        const struct ld_pending p = *ld_conn_oldest(c);
        ld_conn_pop(c);
        l->outstanding--;
        count_failure(l, p.class, failure);
        if (failure == LD_FAIL_TIMEOUT)
            record_timeout(l, &p);
        if (ops->failed)
            ops->failed(l->source, ld_loop_index(l, c), p.class, p.cookie, failure);
    }
}

void ld_loop_fail_wishes(struct ld_loop *l, struct ld_conn *c, enum ld_failure failure)
{
    for (struct ld_wish *w; (w = ld_conn_take_wish(c));) {
        const struct ld_source_ops *ops = l->source->ops;
        l->wishes--;
        count_failure(l, w->what.class, failure);
        if (ops->failed)
            ops->failed(l->source, ld_loop_index(l, c), w->what.class, w->what.cookie, failure);
        free(w);
    }
}

static int new_socket(const struct ld_loop_plan *plan)
{
    const int on = 1, family = plan->address.ss_family;
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* A connect that failed: an error, and another try later, less and less often; none once the run
 * is over. */
void ld_loop_connect_failed(struct ld_loop *l, struct ld_conn *c, enum ld_failure failure)
{
    const unsigned doublings = (unsigned)pc_min_u64(c->tries++, 7);
    l->active->errors[failure]++;
    if (c->fd >= 0) {
        (void)shutdown(c->fd, SHUT_RDWR); /* ends a connect that holds the socket open */
        close(c->fd);
    }
    c->fd = -1;
    c->generation++;
    ld_conn_set_state(c, LD_CONN_CLOSED);
    if (l->stopping)
        return;
    c->retry_ns = l->now_ns + pc_min_i64(LD_RETRY_NS << doublings, LD_SECOND_NS);
    l->housekeep_ns = pc_min_i64(l->housekeep_ns, c->retry_ns);
}

void ld_loop_connect(struct ld_loop *l, struct ld_conn *c)
{
    PC_ASSERT(c->state == LD_CONN_CLOSED);
    c->retry_ns = 0;
    c->fd = new_socket(l->plan);
    if (c->fd < 0) {
        ld_loop_connect_failed(l, c, LD_FAIL_CONNECT);
        return;
    }
    c->connect_ns = l->now_ns;
    ld_conn_set_state(c, LD_CONN_CONNECTING);
    ld_ring_connect(&l->ring, c->fd, &l->plan->address, l->plan->address_bytes,
                    ld_op_pack(LD_OP_CONNECT, ld_loop_index(l, c), c->generation));
}

void ld_loop_drop(struct ld_loop *l, struct ld_conn *c, enum ld_failure failure)
{
    ld_loop_fail_pending(l, c, failure);
    if (c->state == LD_CONN_OPEN)
        l->open_count--;
    (void)shutdown(c->fd, SHUT_RDWR); /* ends the receive that holds the socket open */
    close(c->fd);
    c->fd = -1;
    c->generation++; /* C3 */
    c->sending = c->reopen = c->dry = false;
    c->out_bytes = c->out_done = 0;
    ld_parser_reset(&c->parser);
    ld_conn_set_state(c, LD_CONN_CLOSED);
    ld_loop_relevel(l, c);
    if (!l->stopping)
        ld_loop_connect(l, c);
}

static void arm_recv(struct ld_loop *l, struct ld_conn *c)
{
    ld_ring_recv(&l->ring, c->fd, ld_op_pack(LD_OP_RECV, ld_loop_index(l, c), c->generation));
}

static void on_connect(struct ld_loop *l, struct ld_conn *c, int res)
{
    if (res < 0) {
        ld_loop_connect_failed(l, c, LD_FAIL_CONNECT);
        return;
    }
    ld_conn_set_state(c, LD_CONN_OPEN);
    l->open_count++;
    l->active->reconnects += c->connected_before;
    c->connected_before = true;
    c->tries = 0;
    arm_recv(l, c);
    ld_loop_mark_dirty(l, c);
    ld_loop_relevel(l, c);
}

/* --- answers -------------------------------------------------------------------------------- */

static void judge(struct ld_loop *l, struct ld_conn *c, const struct ld_pending *p,
                  const struct ld_answer *a, struct ld_class_tally *class)
{
    char why[LD_WHY_BYTES];
    why[0] = 0;
    const enum ld_verdict verdict =
        l->source->ops->answered(l->source, ld_loop_index(l, c), p->class, p->cookie, a, why);
    if (PC_LIKELY(verdict == LD_RIGHT))
        return;
    l->wrong_ever++;
    l->wrong_allows_ever += verdict == LD_WRONG_ALLOW;
    l->active->wrong++;
    class->wrong++;
    l->active->wrong_allows += verdict == LD_WRONG_ALLOW;
    class->wrong_allows += verdict == LD_WRONG_ALLOW;
    l->wrong(l->wrong_arg, verdict == LD_WRONG_ALLOW, l->plan->supply->classes[p->class].name, why);
}

static void on_answer(struct ld_loop *l, struct ld_conn *c, struct ld_answer *a)
{
    const struct ld_pending p = *ld_conn_oldest(c);
    struct ld_tally *t = l->active;
    struct ld_class_tally *class = &t->classes[p.class];
    ld_conn_pop(c);
    l->outstanding--;
    a->due_ns = p.due_ns;
    a->sent_ns = p.sent_ns;
    a->received_ns = l->now_ns;
    l->answered_ever++;
    t->answered++;
    class->requests++;
    ld_hdr_record(&class->latency, l->now_ns - p.due_ns);
    if (l->plan->supply->classes[p.class].in_total) {
        t->answered_in_total++;
        if (l->plan->open_loop)
            ld_hdr_record(&t->service, l->now_ns - p.sent_ns);
    }
    judge(l, c, &p, a, class);
}

/* The bytes of one receive. false: the connection was dropped. */
static bool take_bytes(struct ld_loop *l, struct ld_conn *c, const uint8_t *p, size_t n)
{
    const struct ld_protocol *protocol = l->plan->protocol;
    while (n) {
        struct ld_answer a;
        size_t used = 0;
        /* Bytes nobody asked for are no answer, not even the beginning of one: kept, they would
         * become the front of the next request's answer, and every later one that of its neighbour.
         */
        const bool asked = c->in_flight > 0;
        const bool no_body = asked && ld_conn_oldest(c)->no_body;
        const enum ld_parse done =
            asked ? protocol->parse(&c->parser, p, n, no_body, &used, &a) : LD_PARSE_BAD;
        if (done == LD_PARSE_MORE)
            return true;
        if (done == LD_PARSE_BAD) {
            l->active->errors[LD_FAIL_MALFORMED] += !asked;
            ld_loop_drop(l, c, LD_FAIL_MALFORMED);
            return false;
        }
        on_answer(l, c, &a);
        if (c->parser.closes) {
            ld_loop_drop(l, c, LD_FAIL_RESET);
            return false;
        }
        p += used;
        n -= used;
    }
    return true;
}

/* The server closed, or the connection broke. */
static void on_end(struct ld_loop *l, struct ld_conn *c, int res)
{
    struct ld_answer a;
    if (res == 0 && c->in_flight && l->plan->protocol->end(&c->parser, &a) == LD_PARSE_ANSWER)
        on_answer(l, c, &a);
    ld_loop_drop(l, c, LD_FAIL_RESET);
}

static void on_recv(struct ld_loop *l, struct ld_conn *c, const struct io_uring_cqe *cqe)
{
    if (cqe->res <= 0 && cqe->res != -ENOBUFS) {
        on_end(l, c, cqe->res);
        return;
    }
    if (cqe->res > 0) {
        const unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        l->active->bytes_received += (uint64_t)cqe->res;
        const bool lives = take_bytes(l, c, ld_ring_buffer(&l->ring, id), (size_t)cqe->res);
        ld_ring_give_back(&l->ring, id);
        if (!lives)
            return;
        if (c->reopen)
            ld_loop_mark_dirty(l, c);
        ld_loop_fill(l, c);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_recv(l, c);
}

static void on_send(struct ld_loop *l, struct ld_conn *c, int res)
{
    c->sending = false;
    if (res <= 0) {
        ld_loop_drop(l, c, LD_FAIL_RESET);
        return;
    }
    l->active->bytes_sent += (uint64_t)res;
    c->out_done += (size_t)res;
    if (c->out_done < c->out_bytes) {
        submit_send(l, c);
        return;
    }
    c->out_bytes = c->out_done = 0;
    ld_loop_fill(l, c);
}

void ld_loop_on_completion(struct ld_loop *l, const struct io_uring_cqe *cqe)
{
    const enum ld_op op = ld_op_kind(cqe->user_data);
    if (op == LD_OP_TIMER) {
        l->timer_ns = INT64_MAX;
        return;
    }
    struct ld_conn *c = &l->conns[ld_op_conn(cqe->user_data)];
    if (PC_UNLIKELY(c->generation != ld_op_generation(cqe->user_data))) { /* C3 */
        if (cqe->flags & IORING_CQE_F_BUFFER)
            ld_ring_give_back(&l->ring, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        return;
    }
    switch (op) {
    case LD_OP_RECV: on_recv(l, c, cqe); break;
    case LD_OP_SEND: on_send(l, c, cqe->res); break;
    case LD_OP_CONNECT: on_connect(l, c, cqe->res); break;
    case LD_OP_TIMER: break;
    }
}
