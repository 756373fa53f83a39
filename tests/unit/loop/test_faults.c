/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop: a short scenario with fault 1, 2, 3, ... of each kind until it ends without
 * the fault firing. After a soft fault everything is answered all the same; after a hard one
 * connections may be lost, but nothing leaks, hangs or asserts. */
#include <setjmp.h>
#include <stdarg.h>
#include <dirent.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "edge/loop/faults.h"
#include "support/loop_server.h"

/* Above all errno values: what is done to the submission instead of failing it. */
enum { MULTISHOT_ENDS = 1, SHORT = 2 };

struct fault_row {
    const char *name;
    enum pc_loop_op op; /* NONE: allocations */
    int what;           /* -errno, or one of the above */
    bool hard;
};

static const struct fault_row rows[] = {
    {"accept: out of descriptors",  PC_OP_LOOP_ACCEPT,        -EMFILE,        false},
    {"accept: the peer had gone",   PC_OP_LOOP_ACCEPT,        -ECONNABORTED,  false},
    {"accept: cancelled",           PC_OP_LOOP_ACCEPT,        -ECANCELED,     false},
    {"accept: multishot ends",      PC_OP_LOOP_ACCEPT,        MULTISHOT_ENDS, false},
    {"receive: no buffers",         PC_OP_LOOP_RECV,          -ENOBUFS,       false},
    {"receive: cancelled",          PC_OP_LOOP_RECV,          -ECANCELED,     false},
    {"receive: interrupted",        PC_OP_LOOP_RECV,          -EINTR,         false},
    {"receive: multishot ends",     PC_OP_LOOP_RECV,          MULTISHOT_ENDS, false},
    {"receive: reset",              PC_OP_LOOP_RECV,          -ECONNRESET,    true },
    {"receive: timed out",          PC_OP_LOOP_RECV,          -ETIMEDOUT,     true },
    {"send: one byte only",         PC_OP_LOOP_SEND,          SHORT,          false},
    {"send: interrupted",           PC_OP_LOOP_SEND,          -EINTR,         false},
    {"send: try again",             PC_OP_LOOP_SEND,          -EAGAIN,        false},
    {"send: cancelled",             PC_OP_LOOP_SEND,          -ECANCELED,     false},
    {"send: broken pipe",           PC_OP_LOOP_SEND,          -EPIPE,         true },
    {"send: no memory",             PC_OP_LOOP_SEND,          -ENOMEM,        true },
    {"cancel a receive: not found", PC_OP_LOOP_RECV_CANCEL,   -ENOENT,        false},
    {"cancel a receive: too late",  PC_OP_LOOP_RECV_CANCEL,   -EALREADY,      false},
    {"cancel an accept: not found", PC_OP_LOOP_ACCEPT_CANCEL, -ENOENT,        false},
    {"wake-up: cancelled",          PC_OP_LOOP_WAKE,          -ECANCELED,     false},
    {"wake-up: multishot ends",     PC_OP_LOOP_WAKE,          MULTISHOT_ENDS, false},
    {"allocation fails",            PC_OP_LOOP_NONE,          0,              true },
};

/* Used by the one core's thread; read after it has ended. */
struct injector {
    const struct fault_row *row;
    unsigned k, seen;
    bool fired;
};

static bool due(struct injector *f, enum pc_loop_op op)
{
    if (f->row->op != op || ++f->seen != f->k)
        return false;
    f->fired = true;
    return true;
}

static int on_submission(void *ctx, enum pc_loop_op op, struct io_uring_sqe *sqe)
{
    struct injector *f = ctx;
    if (op == PC_OP_LOOP_NONE || !due(f, op))
        return 0;
    if (f->row->what < 0)
        return f->row->what;
    if (f->row->what == SHORT && sqe->opcode == IORING_OP_SEND)
        sqe->len = 1;
    else if (f->row->what == SHORT)
        ((struct msghdr *)(uintptr_t)sqe->addr)->msg_iovlen = 1;
    else if (op == PC_OP_LOOP_WAKE)
        sqe->len &= ~(unsigned)IORING_POLL_ADD_MULTI;
    else
        sqe->ioprio = 0; /* IORING_RECV_MULTISHOT, IORING_ACCEPT_MULTISHOT */
    return 0;
}

static bool on_allocation(void *ctx, size_t bytes)
{
    (void)bytes;
    return !due(ctx, PC_OP_LOOP_NONE);
}

/* ---- clients that may be disappointed ---- */

static bool try_send(int fd, const char *text)
{
    size_t n = strlen(text);
    return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool try_expect(int fd, const char *text)
{
    char got[64];
    size_t n = strlen(text), have = 0;
    while (have < n) {
        ssize_t part = recv(fd, got + have, n - have, 0);
        if (part <= 0)
            return false;
        have += (size_t)part;
    }
    return memcmp(got, text, n) == 0;
}

static bool try_read(int fd, size_t n)
{
    char got[4096];
    while (n > 0) {
        ssize_t part = recv(fd, got, n < sizeof got ? n : sizeof got, 0);
        if (part <= 0)
            return false;
        n -= (size_t)part;
    }
    return true;
}

static bool echoes(int fd)
{
    return try_send(fd, "echo one\necho two\n") && try_expect(fd, "one\ntwo\n");
}

/* Large answers in several chunks. */
static bool reads_much(int fd)
{
    return try_send(fd, "big 50000\nbig 600000\n") && try_read(fd, 650002);
}

static bool is_eaten(int fd)
{
    static const char body[20000];
    return try_send(fd, "eat 20000\n") && send(fd, body, sizeof body, MSG_NOSIGNAL) > 0 &&
           try_expect(fd, "ate 20000\n");
}

/* Parked with more input than is kept, so that receiving is cancelled and armed again. */
static bool waits(struct loop_server *s, int fd)
{
    char lines[2000];
    memset(lines, 'y', sizeof lines);
    memcpy(lines, "echo ", 5);
    lines[sizeof lines - 1] = 0;
    lines[sizeof lines - 2] = '\n';
    int before = atomic_load(&s->waiting_count), closed = atomic_load(&s->closed);
    if (!try_send(fd, "wait\n"))
        return false;
    LOOP_AWAIT(atomic_load(&s->waiting_count) > before || atomic_load(&s->closed) > closed);
    if (atomic_load(&s->waiting_count) == before)
        return false;
    for (int i = 0; i < 40; i++)
        if (!try_send(fd, lines))
            return false;
    LOOP_AWAIT(LOOP_SERVER_SUM(s, recv_stops) > 0 || atomic_load(&s->closed) > closed);
    loop_server_answer(s, before, "go");
    return try_expect(fd, "go\n") && try_read(fd, 40 * (strlen(lines) - 5));
}

static bool leaves(int fd)
{
    char byte;
    return try_send(fd, "quit\n") && try_expect(fd, "bye\n") && recv(fd, &byte, 1, 0) == 0;
}

static bool scenario(struct loop_server *s)
{
    int a = loop_client(s, 0), b = loop_client(s, 0);
    char byte;
    bool ok = echoes(a) && reads_much(a) && waits(s, a);
    ok &= echoes(b) && is_eaten(b) && leaves(b);
    ok &= shutdown(a, SHUT_WR) == 0 && recv(a, &byte, 1, 0) == 0;
    int c = loop_client(s, 0);
    ok &= echoes(c);
    close(a);
    close(b);
    /* c is still open when the server stops. */
    pc_loop_stop(s->loop, 2000);
    ok &= try_expect(c, "draining\n");
    close(c);
    return ok;
}

static int open_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Returns whether the fault fired. */
static bool run_once(const struct fault_row *row, unsigned k)
{
    struct loop_server s;
    struct injector f = {.row = row, .k = k};
    struct pc_loop_faults faults = {&f, on_submission, on_allocation};
    int before = open_descriptors();
    loop_server_init(&s);
    s.config.faults = &faults;
    s.config.accept_retry_ms = 1;
    s.config.linger_ms = 20;
    s.config.recv_buffers = 8;
    s.config.output_max_bytes = 100000;
    loop_server_start(&s);
    bool ok = scenario(&s);
    loop_server_stop(&s, 2000);
    if (!ok && !row->hard)
        fail_msg("%s, number %u: the scenario failed", row->name, k);
    if (open_descriptors() != before)
        fail_msg("%s, number %u: a descriptor leaked", row->name, k);
    return f.fired;
}

static void no_fault_leaks_hangs_or_asserts(void **state)
{
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        unsigned k = 1;
        while (run_once(&rows[i], k))
            k++;
        print_message("    %-30s %u times\n", rows[i].name, k - 1);
        assert_true(k > 1); /* the scenario must reach every kind of fault */
    }
}

static int no_accept(void *ctx, enum pc_loop_op op, struct io_uring_sqe *sqe)
{
    (void)ctx;
    (void)sqe;
    return op == PC_OP_LOOP_ACCEPT ? -EMFILE : 0;
}

static void an_accept_that_waits_does_not_hold_up_the_stop(void **state)
{
    struct loop_server s;
    struct pc_loop_faults faults = {.submission = no_accept};
    (void)state;
    loop_server_init(&s);
    s.config.cores = 2;
    s.config.faults = &faults;
    s.config.accept_retry_ms = 3600 * 1000;
    loop_server_listen(&s, NULL);
    loop_server_listen(&s, NULL);
    loop_server_start(&s);
    LOOP_AWAIT(LOOP_SERVER_SUM(&s, accept_errors) == 2);
    loop_server_stop(&s, 3600 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_accept_that_waits_does_not_hold_up_the_stop),
        cmocka_unit_test(no_fault_leaks_hangs_or_asserts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
