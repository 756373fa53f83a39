/* SPDX-License-Identifier: Apache-2.0
 * See loop_server.h. */
#include "support/loop_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define CLIENT_TIMEOUT_S 10

struct line_state {
    uint64_t eat; /* bytes that "eat" still waits for, all at once */
};

static struct loop_server *server_of(struct pc_conn *c)
{
    return c->listener->user;
}

static void say(struct pc_conn *c, const char *text)
{
    (void)pc_conn_write(c, pc_bytes_str(text));
}

/* ---- commands ---- */

static void do_echo(struct pc_conn *c, const char *rest)
{
    say(c, rest);
    say(c, "\n");
}

static void do_core(struct pc_conn *c, const char *rest)
{
    char text[32];
    (void)rest;
    snprintf(text, sizeof text, "%u\n", (unsigned)c->core->index);
    say(c, text);
}

static void do_quit(struct pc_conn *c, const char *rest)
{
    (void)rest;
    say(c, "bye\n");
    pc_conn_close_after_flush(c);
}

static void do_abort(struct pc_conn *c, const char *rest)
{
    (void)rest;
    pc_conn_abort(c);
}

static void do_big(struct pc_conn *c, const char *rest)
{
    size_t n = strtoul(rest, NULL, 10);
    uint8_t *p = pc_conn_reserve(c, n + 1);
    if (!p)
        return;
    memset(p, 'x', n);
    p[n] = '\n';
    pc_conn_commit(c, n + 1);
}

static void do_eat(struct pc_conn *c, const char *rest)
{
    struct line_state *s = pc_conn_state(c);
    s->eat = strtoul(rest, NULL, 10);
}

static void do_wait(struct pc_conn *c, const char *rest)
{
    struct loop_server *s = server_of(c);
    int i = atomic_fetch_add(&s->waiting_taken, 1);
    (void)rest;
    PC_ASSERT(i < LOOP_SERVER_WAITING);
    s->waiting[i] = pc_conn_ref(c);
    pc_conn_pause(c);
    atomic_fetch_add(&s->waiting_count, 1); /* publishes the entry */
}

static void do_idle(struct pc_conn *c, const char *rest)
{
    (void)rest;
    pc_conn_deadline(c, 0);
}

static void do_expensive(struct pc_conn *c, const char *rest)
{
    int64_t end_ns = pc_clock_mono_ns() + strtol(rest, NULL, 10) * 1000;
    while (pc_clock_mono_ns() < end_ns)
        ;
    say(c, "done\n");
}

struct answer {
    struct pc_conn_ref ref;
    char text[64];
};

static void do_later(struct pc_conn *c, const char *rest)
{
    struct answer *a = calloc(1, sizeof *a);
    PC_ASSERT(a);
    (void)rest;
    a->ref = pc_conn_ref(c);
    memcpy(a->text, "later\n", sizeof "later\n");
    pc_conn_pause(c);
    if (!pc_core_post(c->core, c->core->index, a)) {
        free(a); /* the mailbox is full: the client is disappointed, nothing else */
        pc_conn_abort(c);
    }
}

static const struct command {
    const char *word;
    void (*fn)(struct pc_conn *, const char *rest);
} commands[] = {
    {"echo",      do_echo     },
    {"core",      do_core     },
    {"quit",      do_quit     },
    {"abort",     do_abort    },
    {"big",       do_big      },
    {"eat",       do_eat      },
    {"wait",      do_wait     },
    {"later",     do_later    },
    {"idle",      do_idle     },
    {"expensive", do_expensive},
};

static void run_line(struct pc_conn *c, char *line)
{
    char *space = strchr(line, ' ');
    if (space)
        *space = 0;
    for (size_t i = 0; i < PC_COUNT(commands); i++) {
        if (strcmp(commands[i].word, line) == 0) {
            commands[i].fn(c, space ? space + 1 : "");
            return;
        }
    }
    say(c, "what?\n");
}

/* ---- protocol ---- */

static int line_open(struct pc_conn *c)
{
    atomic_fetch_add(&server_of(c)->opened, 1);
    return 0;
}

static size_t take_eaten(struct pc_conn *c, struct line_state *s, size_t n)
{
    char text[64];
    if (n < s->eat) {
        PC_ASSERT(pc_conn_expect(c, s->eat) == 0);
        return 0;
    }
    size_t eaten = s->eat;
    snprintf(text, sizeof text, "ate %zu\n", eaten);
    say(c, text);
    s->eat = 0;
    return eaten;
}

static void note_output(struct pc_conn *c)
{
    struct loop_server *s = server_of(c);
    int64_t bytes = (int64_t)pc_conn_output_bytes(c);
    int64_t most = atomic_load(&s->most_output);
    while (bytes > most && !atomic_compare_exchange_weak(&s->most_output, &most, bytes))
        ;
}

static size_t line_input(struct pc_conn *c, uint8_t *p, size_t n)
{
    struct line_state *state = pc_conn_state(c);
    size_t done = 0;
    while (done < n && !pc_conn_closing(c) && !pc_conn_output_full(c)) {
        if (state->eat) {
            size_t eaten = take_eaten(c, state, n - done);
            if (!eaten)
                break;
            done += eaten;
            continue;
        }
        uint8_t *end = memchr(p + done, '\n', n - done);
        if (!end)
            break;
        *end = 0;
        char *line = (char *)p + done;
        done = (size_t)(end - p) + 1;
        bool waits = strncmp(line, "wait", 4) == 0 || strncmp(line, "later", 5) == 0;
        run_line(c, line);
        note_output(c);
        if (waits)
            break;
    }
    return done;
}

static void line_timeout(struct pc_conn *c, unsigned deadline)
{
    char text[32];
    atomic_fetch_add(&server_of(c)->timeouts, 1);
    snprintf(text, sizeof text, "timeout %u\n", deadline);
    say(c, text);
    pc_conn_close_after_flush(c);
}

static void line_closed(struct pc_conn *c)
{
    atomic_fetch_add(&server_of(c)->closed, 1);
}

static void line_drain(struct pc_conn *c)
{
    atomic_fetch_add(&server_of(c)->drained, 1);
    say(c, "draining\n");
    pc_conn_close_after_flush(c);
}

/* ---- messages ---- */

static void on_message(struct pc_core *core, unsigned producer, void *msg)
{
    struct loop_server *s = core->user;
    struct answer *a = msg;
    struct pc_conn *c = pc_conn_get(core, a->ref);
    (void)producer;
    atomic_fetch_add(&s->messages, 1);
    if (c) {
        say(c, a->text);
        pc_conn_resume(c);
    } else {
        atomic_fetch_add(&s->stale, 1);
    }
    free(a);
}

void loop_server_answer(struct loop_server *s, int i, const char *text)
{
    struct answer *a = calloc(1, sizeof *a);
    PC_ASSERT(a);
    a->ref = s->waiting[i];
    snprintf(a->text, sizeof a->text, "%s\n", text);
    struct pc_core *core = pc_loop_core(s->loop, a->ref.core);
    PC_ASSERT(pc_core_post(core, s->config.cores, a));
    pc_core_notify(core);
}

/* ---- the server ---- */

void loop_server_init(struct loop_server *s)
{
    memset(s, 0, sizeof *s);
    s->protocol = (struct pc_protocol){
        .name = "lines",
        .refusal = PC_LIT("busy\n"),
        .deadline_ms = {100, 300},
        .open = line_open,
        .input = line_input,
        .timeout = line_timeout,
        .closed = line_closed,
        .drain = line_drain
    };
    s->config = (struct pc_loop_config){
        .cores = 1,
        .extra_producers = 1,
        .recv_buffers = 32,
        .recv_buffer_bytes = 4096,
        .hooks = {.message = on_message, .discard = free},
        .user = s
    };
}

void loop_server_listen(struct loop_server *s, const char *address)
{
    struct pc_why why = {""};
    unsigned i = s->config.listener_count++;
    PC_ASSERT(i < LOOP_SERVER_LISTENERS);
    s->listeners[i] = (struct pc_listener){.protocol = &s->protocol, .user = s};
    if (pc_listener_open(address ? address : "127.0.0.1:0", 0, 0600, &s->listeners[i].fd, &why)) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
    PC_ASSERT(pc_listener_name(s->listeners[i].fd, s->names[i]) == 0);
}

void loop_server_start(struct loop_server *s)
{
    struct pc_why why = {""};
    if (s->config.listener_count == 0)
        loop_server_listen(s, NULL);
    s->config.listeners = s->listeners;
    if (pc_loop_new(&s->config, &s->loop, &why) || pc_loop_start(s->loop, &why)) {
        fprintf(stderr, "%s\n", why.text);
        abort();
    }
}

void loop_server_stop(struct loop_server *s, unsigned grace_ms)
{
    pc_loop_stop(s->loop, grace_ms);
    pc_loop_join(s->loop);
    PC_ASSERT(atomic_load(&s->opened) == atomic_load(&s->closed));
    PC_ASSERT(LOOP_SERVER_SUM(s, stale_cqes) == 0);
    PC_ASSERT(LOOP_SERVER_SUM(s, connections) == 0);
    pc_loop_free(s->loop);
    s->loop = NULL;
    for (unsigned i = 0; i < s->config.listener_count; i++)
        pc_listener_unlink(s->names[i]);
}

uint64_t loop_server_sum(struct loop_server *s, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < pc_loop_cores(s->loop); i++) {
        struct pc_core_counters counters;
        pc_core_counters(pc_loop_core(s->loop, i), &counters);
        uint64_t value;
        memcpy(&value, (const char *)&counters + offset, sizeof value);
        sum += value;
    }
    return sum;
}

int64_t loop_server_now_ms(void)
{
    return pc_clock_mono_ns() / 1000000;
}

void loop_server_await_step(int64_t end_ms, const char *what)
{
    if (loop_server_now_ms() > end_ms) {
        fprintf(stderr, "waited in vain for: %s\n", what);
        abort();
    }
    (void)poll(NULL, 0, 1);
}

void loop_server_await_waiting(struct loop_server *s, int count)
{
    LOOP_AWAIT(atomic_load(&s->waiting_count) >= count);
}

/* ---- clients ---- */

static int connect_to(const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    const struct sockaddr *a = (const struct sockaddr *)&in;
    socklen_t n = sizeof in;
    if (strncmp(name, "unix:", 5) == 0) {
        snprintf(un.sun_path, sizeof un.sun_path, "%s", name + 5);
        a = (const struct sockaddr *)&un;
        n = sizeof un;
    } else {
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in.sin_port = htons((uint16_t)strtoul(strrchr(name, ':') + 1, NULL, 10));
    }
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PC_ASSERT(fd >= 0);
    if (connect(fd, a, n) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int loop_client_try(const struct loop_server *s, int listener)
{
    struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_S};
    int fd = connect_to(s->names[listener]), one = 1;
    if (fd >= 0) {
        /* Refused by a Unix socket, which does not wait anyway. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    return fd;
}

int loop_client(const struct loop_server *s, int listener)
{
    int fd = loop_client_try(s, listener);
    PC_ASSERT(fd >= 0);
    return fd;
}

void loop_client_send(int fd, const char *text)
{
    size_t n = strlen(text);
    PC_ASSERT(send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n);
}

void loop_client_read(int fd, void *p, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t got = recv(fd, (char *)p + have, n - have, 0);
        PC_ASSERT(got > 0);
        have += (size_t)got;
    }
}

void loop_client_expect(int fd, const char *text)
{
    char got[256];
    size_t n = strlen(text);
    PC_ASSERT(n < sizeof got);
    loop_client_read(fd, got, n);
    got[n] = 0;
    if (strcmp(got, text) != 0)
        fprintf(stderr, "expected \"%s\", got \"%s\"\n", text, got);
    PC_ASSERT(strcmp(got, text) == 0);
}

bool loop_client_end(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    PC_ASSERT(n == 0 || (n < 0 && errno == ECONNRESET));
    return n == 0;
}
