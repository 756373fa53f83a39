/* SPDX-License-Identifier: Apache-2.0
 * What the programs of perf/ share: giving up, listening, and counting requests in a stream.
 * Nothing here is part of the server. */
#ifndef PC_PERF_H
#define PC_PERF_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/def.h"

static inline __attribute__((noreturn)) void die(const char *what, int err)
{
    fprintf(stderr, "%s: %s\n", what, strerror(err < 0 ? -err : err));
    exit(1);
}

static inline void no_delay(int fd)
{
    const int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        die("TCP_NODELAY", errno);
}

/* A listening socket on the loopback, on a port of the kernel's choice, which is printed. The
 * congestion control is the one portcullis-edge takes there, so that the ceiling has the same
 * transport; argv[3] names another ("-": what the system has). */
static inline int listen_anywhere(int argc, char **argv)
{
    const char *congestion = argc > 3 ? argv[3] : "reno";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && strcmp(congestion, "-") != 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)) < 0)
        die(congestion, errno);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("listen", errno);
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

/* Where one connection stands in its stream of requests. */
struct request_counter {
    uint8_t last[3]; /* HTTP: the bytes before this chunk */
    int64_t args;    /* RESP: bulk strings still to come */
    int64_t skip;    /* RESP: bytes of the current one still to come */
    int64_t number;  /* RESP: digits of the current line so far */
    uint8_t line;    /* RESP: the first byte of the current line, 0 between lines */
};

/* Ends of HTTP requests (no bodies) in the chunk. */
static inline unsigned count_http(struct request_counter *c, const uint8_t *p, size_t n)
{
    unsigned found = 0;
    const uint8_t *end = p + n, *nl = p;
    while ((nl = memchr(nl, '\n', (size_t)(end - nl)))) {
        uint8_t before[3];
        for (int i = 0; i < 3; i++) {
            ptrdiff_t at = nl - p - 3 + i;
            before[i] = at >= 0 ? p[at] : c->last[at + 3];
        }
        found += memcmp(before, "\r\n\r", 3) == 0;
        nl++;
    }
    if (n < 3) {
        memmove(c->last, c->last + n, 3 - n);
        memcpy(c->last + 3 - n, p, n);
    } else {
        memcpy(c->last, end - 3, 3);
    }
    return found;
}

/* The end of a RESP header line: *N opens a command of N bulk strings, $N a string of N bytes. */
static inline bool end_resp_line(struct request_counter *c)
{
    const uint8_t kind = c->line;
    c->line = 0;
    if (kind == '*')
        c->args = c->number;
    else if (kind == '$')
        c->skip = c->number + 2;
    return kind == '*' && c->args == 0;
}

/* Ends of RESP commands (arrays of bulk strings) in the chunk. */
static inline unsigned count_resp(struct request_counter *c, const uint8_t *p, size_t n)
{
    unsigned found = 0;
    const uint8_t *end = p + n;
    while (p < end) {
        if (c->skip > 0) {
            int64_t step = pc_min_i64(c->skip, end - p);
            p += step;
            c->skip -= step;
            found += c->skip == 0 && --c->args == 0;
        } else if (c->line == 0) {
            c->line = *p++;
            c->number = 0;
        } else if (*p == '\n') {
            p++;
            found += end_resp_line(c);
        } else {
            if (*p != '\r')
                c->number = c->number * 10 + (*p - '0');
            p++;
        }
    }
    return found;
}

/* The fixed answers. One run of many copies, so that any number of them is one send without a
 * copy. */
struct answers {
    bool resp;
    uint8_t *run;
    size_t one_bytes; /* one answer */
    unsigned most;    /* answers in the run */
};

/* argv: "http" or "resp", and for http the bytes an answer should have at least. */
static inline struct answers answers_of(int argc, char **argv)
{
    struct answers a = {.resp = argc > 1 && strcmp(argv[1], "resp") == 0, .most = 4096};
    const size_t want = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    char one[4096];
    int n;
    if (a.resp) {
        n = snprintf(one, sizeof(one), ":0\r\n");
    } else {
        n = snprintf(one, sizeof(one), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        if (want > (size_t)n + 7 && want < sizeof(one))
            n += snprintf(one + n, sizeof(one) - (size_t)n, "X: %0*d\r\n", (int)want - n - 7, 0);
        n += snprintf(one + n, sizeof(one) - (size_t)n, "\r\n");
    }
    a.one_bytes = (size_t)n;
    a.run = malloc(a.one_bytes * a.most);
    if (!a.run)
        die("answers", ENOMEM);
    for (unsigned i = 0; i < a.most; i++)
        memcpy(a.run + i * a.one_bytes, one, a.one_bytes);
    return a;
}

static inline unsigned count_requests(const struct answers *a, struct request_counter *c,
                                      const uint8_t *p, size_t n)
{
    return a->resp ? count_resp(c, p, n) : count_http(c, p, n);
}

#endif
