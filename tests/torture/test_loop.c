/* SPDX-License-Identifier: Apache-2.0
 * Many clients that do anything at any time: pipeline, read slowly or not at all, close with a
 * reset or in the middle of a message, half-close; and a server that stops while they do. Answers
 * that arrive are right, every open() has its closed(), nothing leaks (sanitizers). */
#include <setjmp.h>
#include <stdarg.h>
#include <liburing.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "edge/loop/faults.h"
#include "support/loop_server.h"

#define CLIENTS 4
#define ROUNDS  150

struct client {
    struct loop_server *s;
    pthread_t thread;
    unsigned seed;
    bool hurried;      /* the server stops meanwhile: connections may be lost */
    uint64_t answered; /* complete answers seen */
};

static unsigned below(struct client *c, unsigned n)
{
    return (unsigned)rand_r(&c->seed) % n;
}

/* False when the connection is gone. */
static bool put(int fd, const char *text, size_t n)
{
    return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool get(int fd, char *p, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t part = recv(fd, p + have, n - have, 0);
        if (part <= 0)
            return false;
        have += (size_t)part;
    }
    return true;
}

/* While the server stops, "draining" may come instead of an answer or among several. */
static bool right(struct client *c, const char *got, const char *want, size_t n)
{
    bool same = memcmp(got, want, n) == 0;
    PC_ASSERT(same || c->hurried);
    c->answered += same;
    return same;
}

static bool ask(struct client *c, int fd, const char *question, const char *answer)
{
    char got[128];
    size_t n = strlen(answer);
    return put(fd, question, strlen(question)) && get(fd, got, n) && right(c, got, answer, n);
}

static bool pipeline(struct client *c, int fd)
{
    char text[4096], want[64], got[64];
    size_t n = 0;
    unsigned lines = 1 + below(c, 100), tag = below(c, 1000);
    for (unsigned i = 0; i < lines; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "echo %u.%u\n", tag, i);
    /* In two pieces, so that lines are cut anywhere. */
    size_t cut = below(c, (unsigned)n);
    if (!put(fd, text, cut) || !put(fd, text + cut, n - cut))
        return false;
    for (unsigned i = 0; i < lines; i++) {
        size_t len = (size_t)snprintf(want, sizeof want, "%u.%u\n", tag, i);
        if (!get(fd, got, len) || !right(c, got, want, len))
            return false;
    }
    return true;
}

static bool big_answer(struct client *c, int fd)
{
    static _Thread_local char got[300001];
    char text[32];
    unsigned size = 1 + below(c, 300000), part = below(c, 4) ? size + 1 : below(c, size);
    snprintf(text, sizeof text, "big %u\n", size);
    if (!put(fd, text, strlen(text)) || !get(fd, got, part))
        return false;
    return part == size + 1; /* else leaves the rest unread */
}

static bool eaten(struct client *c, int fd)
{
    static const char body[30000];
    char text[32], answer[32];
    unsigned size = 1 + below(c, 30000);
    snprintf(text, sizeof text, "eat %u\n", size);
    snprintf(answer, sizeof answer, "ate %u\n", size);
    if (!put(fd, text, strlen(text)))
        return false;
    if (below(c, 5) == 0)
        return put(fd, body, size / 2) && false; /* leaves in the middle */
    return put(fd, body, size) && ask(c, fd, "", answer);
}

static bool parked(struct client *c, int fd)
{
    if (below(c, 3) == 0)
        return put(fd, "later\necho x\n", 13) && false; /* does not wait for the answer */
    return ask(c, fd, "later\necho behind\n", "later\nbehind\n");
}

static bool last_words(struct client *c, int fd)
{
    char byte;
    if (!ask(c, fd, "quit\necho not answered\n", "bye\n"))
        return false;
    PC_ASSERT(c->hurried || recv(fd, &byte, 1, 0) == 0);
    return false;
}

static bool half_closed(struct client *c, int fd)
{
    char got[8];
    if (!put(fd, "echo end\n", 9) || shutdown(fd, SHUT_WR) < 0 || !get(fd, got, 4))
        return false;
    (void)right(c, got, "end\n", 4);
    return false;
}

/* What a client may do; false: it leaves the connection. */
static bool (*const acts[])(struct client *, int) = {
    pipeline, pipeline, big_answer, eaten, parked, last_words, half_closed,
};

static void leave(struct client *c, int fd)
{
    struct linger reset = {.l_onoff = 1};
    if (below(c, 3) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

static void *misbehave(void *arg)
{
    struct client *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        int fd = loop_client_try(c->s, (int)below(c, 2));
        PC_ASSERT(fd >= 0 || c->hurried);
        if (fd < 0)
            break; /* the server has stopped */
        unsigned left = 1 + below(c, 12);
        while (left-- > 0 && acts[below(c, PC_COUNT(acts))](c, fd))
            ;
        leave(c, fd);
    }
    return NULL;
}

static void run_clients(struct loop_server *s, struct client *clients, bool hurried)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.s = s, .seed = i + 1, .hurried = hurried};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, misbehave, &clients[i]), 0);
    }
}

/* Every tenth operation goes wrong in a way that must not show. */
static int soft_fault(void *ctx, enum pc_loop_op op, struct io_uring_sqe *sqe)
{
    static const int errors[] = {-ECANCELED, -EINTR, -ENOBUFS};
    static _Thread_local unsigned seed = 4711;
    (void)ctx;
    if (rand_r(&seed) % 10)
        return 0;
    if (op == PC_OP_LOOP_RECV || op == PC_OP_LOOP_ACCEPT) {
        sqe->ioprio = 0; /* multishot no more */
        return rand_r(&seed) % 2 ? 0 : errors[rand_r(&seed) % 3];
    }
    if (op == PC_OP_LOOP_SEND && sqe->opcode == IORING_OP_SEND)
        sqe->len = 1 + (unsigned)rand_r(&seed) % sqe->len;
    if (op == PC_OP_LOOP_SEND)
        return rand_r(&seed) % 2 ? 0 : errors[rand_r(&seed) % 2];
    return op == PC_OP_LOOP_WAKE ? -ECANCELED : op == PC_OP_LOOP_RECV_CANCEL ? -EALREADY : 0;
}

static const struct pc_loop_faults soft_faults = {.submission = soft_fault};

static void set_up(struct loop_server *s, const struct pc_loop_faults *faults)
{
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/pc-loop-torture-%d.sock", (int)getpid());
    loop_server_init(s);
    s->config.cores = 3;
    s->config.recv_buffers = 8; /* often used up */
    s->config.output_max_bytes = 50000;
    s->config.linger_ms = 50;
    s->config.accept_retry_ms = 1;
    s->config.faults = faults;
    loop_server_listen(s, NULL);
    loop_server_listen(s, path);
    loop_server_start(s);
}

static void serve_all(const struct pc_loop_faults *faults)
{
    struct loop_server s;
    struct client clients[CLIENTS];
    uint64_t answered = 0;
    set_up(&s, faults);
    run_clients(&s, clients, false);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        answered += clients[i].answered;
    }
    assert_true(answered > CLIENTS * ROUNDS / 2);
    loop_server_stop(&s, 5000);
}

static void clients_that_do_anything_get_right_answers(void **state)
{
    (void)state;
    serve_all(NULL);
}

static void soft_faults_everywhere_change_no_answer(void **state)
{
    (void)state;
    serve_all(&soft_faults);
}

static void the_server_may_stop_at_any_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        struct loop_server s;
        struct client clients[CLIENTS];
        set_up(&s, round % 3 == 2 ? &soft_faults : NULL);
        run_clients(&s, clients, true);
        LOOP_AWAIT(LOOP_SERVER_SUM(&s, accepted) > 40 * (round + 1));
        /* Closes the listening sockets too: clients still in the backlog are reset, others
         * refused. */
        loop_server_stop(&s, round % 2 ? 100 : 0);
        for (unsigned i = 0; i < CLIENTS; i++)
            pthread_join(clients[i].thread, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_do_anything_get_right_answers),
        cmocka_unit_test(soft_faults_everywhere_change_no_answer),
        cmocka_unit_test(the_server_may_stop_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
