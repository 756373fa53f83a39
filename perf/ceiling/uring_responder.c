/* SPDX-License-Identifier: Apache-2.0
 * The least an io_uring server can do: multishot accept and recv into provided buffers, count the
 * requests, send that many fixed answers, one send per connection and turn, one system call per
 * turn. The ceiling portcullis-edge is measured against; one thread.
 * Usage: perf-uring-responder http|resp [answer bytes [congestion control [pause ms, every ms]]];
 * prints its port. With a pause it stands still for that long once in each interval: what an honest
 * generator must show.
 */
#include <liburing.h>
#include <time.h>

#include "base/clock.h"

#include "perf.h"

enum {
    CONNECTIONS_MAX = 4096,
    RING_ENTRIES = 1024,
    BUFFERS = 1024, /* power of two */
    BUFFER_BYTES = 16384,
    BUFFER_GROUP = 1,
    BATCH_MAX = 256, /* completions looked at per turn */
};

/* user_data: the operation in the low byte, the descriptor above. */
enum operation { OP_ACCEPT, OP_RECV, OP_SEND };

struct connection {
    struct request_counter counter;
    uint64_t owed_bytes; /* answers not yet handed to the kernel */
    size_t sending_at;   /* where in the run the send in flight began; always within one answer */
    bool sending, dirty, open;
};

struct responder {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    uint8_t *memory;
    struct answers answers;
    int listener;
    unsigned dirty_count;
    int dirty[CONNECTIONS_MAX];
    struct connection connections[CONNECTIONS_MAX];
};

static struct io_uring_sqe *new_sqe(struct responder *r, enum operation op, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
    if (!sqe) {
        io_uring_submit(&r->ring);
        sqe = io_uring_get_sqe(&r->ring);
    }
    if (!sqe)
        die("submission queue", ENOSPC);
    sqe->user_data = (uint64_t)op | (uint64_t)fd << 8;
    return sqe;
}

static void arm_accept(struct responder *r)
{
    struct io_uring_sqe *sqe = new_sqe(r, OP_ACCEPT, r->listener);
    const uint64_t data = sqe->user_data;
    io_uring_prep_multishot_accept(sqe, r->listener, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = data;
}

static void arm_recv(struct responder *r, int fd)
{
    struct io_uring_sqe *sqe = new_sqe(r, OP_RECV, fd);
    const uint64_t data = sqe->user_data;
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = data;
}

static void start_send(struct responder *r, int fd)
{
    struct connection *c = &r->connections[fd];
    const struct answers *a = &r->answers;
    size_t n = pc_min_u64(c->owed_bytes, a->one_bytes * a->most - c->sending_at);
    struct io_uring_sqe *sqe = new_sqe(r, OP_SEND, fd);
    const uint64_t data = sqe->user_data;
    io_uring_prep_send(sqe, fd, a->run + c->sending_at, n, MSG_NOSIGNAL);
    sqe->user_data = data;
    c->sending = true;
}

static void mark_dirty(struct responder *r, int fd)
{
    if (r->connections[fd].dirty)
        return;
    r->connections[fd].dirty = true;
    r->dirty[r->dirty_count++] = fd;
}

static void on_accept(struct responder *r, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_accept(r);
    if (cqe->res < 0)
        return;
    if (cqe->res >= CONNECTIONS_MAX)
        die("accept", EMFILE);
    no_delay(cqe->res);
    r->connections[cqe->res] = (struct connection){.open = true};
    arm_recv(r, cqe->res);
}

static void give_back(struct responder *r, unsigned id)
{
    io_uring_buf_ring_add(r->buffers, r->memory + (size_t)id * BUFFER_BYTES, BUFFER_BYTES,
                          (unsigned short)id, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(r->buffers, 1);
}

static void close_when_idle(struct connection *c, int fd)
{
    if (!c->open && !c->sending)
        close(fd);
}

static void on_recv(struct responder *r, const struct io_uring_cqe *cqe, int fd)
{
    struct connection *c = &r->connections[fd];
    if (cqe->res <= 0 && cqe->res != -ENOBUFS) {
        c->open = false;
        c->owed_bytes = 0;
        close_when_idle(c, fd);
        return;
    }
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        c->owed_bytes += r->answers.one_bytes *
                         count_requests(&r->answers, &c->counter,
                                        r->memory + (size_t)id * BUFFER_BYTES, (size_t)cqe->res);
        give_back(r, id);
        mark_dirty(r, fd);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_recv(r, fd);
}

static void on_send(struct responder *r, const struct io_uring_cqe *cqe, int fd)
{
    struct connection *c = &r->connections[fd];
    c->sending = false;
    if (cqe->res < 0 || !c->open) {
        close_when_idle(c, fd);
        return;
    }
    c->owed_bytes -= (uint64_t)cqe->res;
    c->sending_at = (c->sending_at + (size_t)cqe->res) % r->answers.one_bytes;
    if (c->owed_bytes)
        mark_dirty(r, fd);
}

static void dispatch(struct responder *r, const struct io_uring_cqe *cqe)
{
    const int fd = (int)(cqe->user_data >> 8);
    switch ((enum operation)(cqe->user_data & 0xff)) {
    case OP_ACCEPT: on_accept(r, cqe); break;
    case OP_RECV: on_recv(r, cqe, fd); break;
    case OP_SEND: on_send(r, cqe, fd); break;
    }
}

static void send_what_is_owed(struct responder *r)
{
    for (unsigned i = 0; i < r->dirty_count; i++) {
        struct connection *c = &r->connections[r->dirty[i]];
        c->dirty = false;
        if (c->open && !c->sending && c->owed_bytes)
            start_send(r, r->dirty[i]);
    }
    r->dirty_count = 0;
}

/* Stands still once per interval; the first interval begins with the first turn. */
struct pause {
    int64_t length_ns, every_ns, next_ns;
};

static void pause_if_due(struct pause *p)
{
    const int64_t now_ns = pc_clock_mono_ns();
    if (p->next_ns && now_ns >= p->next_ns) {
        const struct timespec ts = {p->length_ns / 1000000000, p->length_ns % 1000000000};
        nanosleep(&ts, NULL);
    }
    while (p->next_ns <= now_ns)
        p->next_ns = (p->next_ns ? p->next_ns : now_ns) + p->every_ns;
}

static void set_up(struct responder *r)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = 4 * RING_ENTRIES};
    int err = io_uring_queue_init_params(RING_ENTRIES, &r->ring, &params);
    if (err < 0)
        die("io_uring", err);
    void *ring_memory = NULL;
    r->memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
    if (!r->memory || posix_memalign(&ring_memory, 4096, BUFFERS * sizeof(struct io_uring_buf)))
        die("buffers", ENOMEM);
    r->buffers = ring_memory;
    io_uring_buf_ring_init(r->buffers);
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring_memory, .ring_entries = BUFFERS, .bgid = BUFFER_GROUP};
    err = io_uring_register_buf_ring(&r->ring, &reg, 0);
    if (err < 0)
        die("io_uring_register_buf_ring", err);
    for (unsigned i = 0; i < BUFFERS; i++)
        give_back(r, i);
}

int main(int argc, char **argv)
{
    static struct responder r;
    struct pause pause = {0};
    if (argc > 5)
        pause = (struct pause){.length_ns = strtol(argv[4], NULL, 10) * 1000000,
                               .every_ns = strtol(argv[5], NULL, 10) * 1000000};
    r.answers = answers_of(argc, argv);
    r.listener = listen_anywhere(argc, argv);
    set_up(&r);
    arm_accept(&r);
    for (;;) {
        struct io_uring_cqe *cqes[BATCH_MAX];
        int err = io_uring_submit_and_wait(&r.ring, 1);
        if (err < 0 && err != -EINTR)
            die("io_uring_enter", err);
        if (pause.every_ns > 0)
            pause_if_due(&pause);
        unsigned n = io_uring_peek_batch_cqe(&r.ring, cqes, BATCH_MAX);
        for (unsigned i = 0; i < n; i++)
            dispatch(&r, cqes[i]);
        io_uring_cq_advance(&r.ring, n);
        send_what_is_owed(&r);
    }
}
