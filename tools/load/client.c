/* SPDX-License-Identifier: Apache-2.0
 * Blocking sockets with a time limit, one buffer for answers. */
#include "load/client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "load/expect.h"
#include "load/target.h"

enum { ANSWER_MAX = 256 << 10, TIMEOUT_S = 30 };

struct ld_client {
    int fd;
    size_t begin, end; /* of what was received and not read */
    uint8_t buffer[ANSWER_MAX];
};

bool ld_client_open(const struct ld_options *o, struct ld_client **ret_client,
                    struct ld_problem *problem)
{
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    struct ld_address address;
    if (!ld_target_resolve(o, &address, problem))
        return false;
    struct ld_client *c = calloc(1, sizeof *c);
    if (!c)
        return ld_problem_set(problem, "out of memory");
    c->fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address.storage, address.bytes) < 0) {
        ld_problem_set(problem, "set-up: connecting to the server: %s", pc_strerror(-errno));
        ld_client_close(c);
        return false;
    }
    *ret_client = c;
    return true;
}

void ld_client_close(struct ld_client *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

bool ld_client_send(struct ld_client *c, const struct ld_request *r, struct ld_problem *problem)
{
    for (unsigned i = 0; i < r->piece_count; i++)
        for (size_t done = 0; done < r->pieces[i].bytes;) {
            const ssize_t n = send(c->fd, r->pieces[i].at + done, r->pieces[i].bytes - done,
                                   MSG_NOSIGNAL | (i + 1 < r->piece_count ? MSG_MORE : 0));
            if (n < 0 && errno != EINTR)
                return ld_problem_set(problem, "set-up: sending: %s", pc_strerror(-errno));
            done += n > 0 ? (size_t)n : 0;
        }
    return true;
}

/* More bytes behind those that are there. */
static bool receive(struct ld_client *c, struct ld_problem *problem)
{
    if (c->begin > 0) {
        memmove(c->buffer, c->buffer + c->begin, c->end - c->begin);
        c->end -= c->begin;
        c->begin = 0;
    }
    if (c->end == sizeof c->buffer)
        return ld_problem_set(problem, "set-up: an answer is larger than %d bytes", ANSWER_MAX);
    ssize_t n;
    do {
        n = recv(c->fd, c->buffer + c->end, sizeof c->buffer - c->end, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return ld_problem_set(problem, "set-up: the server %s",
                              n == 0            ? "closed the connection"
                              : errno == EAGAIN ? "gave no answer in 30 s"
                                                : pc_strerror(-errno));
    c->end += (size_t)n;
    return true;
}

bool ld_client_read(struct ld_client *c, struct ld_client_answer *ret_answer,
                    struct ld_problem *problem)
{
    const uint8_t *blank;
    struct pc_bytes length_text;
    uint64_t length = 0;
    while (!(blank = memmem(c->buffer + c->begin, c->end - c->begin, "\r\n\r\n", 4)))
        if (!receive(c, problem))
            return false;
    const size_t head_n = (size_t)(blank + 4 - (c->buffer + c->begin));
    const struct pc_bytes head = pc_bytes_of(c->buffer + c->begin, head_n);
    if (head_n < 13 || memcmp(head.p, "HTTP/1.", 7) != 0)
        return ld_problem_set(problem, "set-up: the server does not speak HTTP/1.1");
    const int status = (head.p[9] - '0') * 100 + (head.p[10] - '0') * 10 + (head.p[11] - '0');
    if (ld_find_field(head, "Content-Length", &length_text) &&
        (pc_bytes_to_u64(length_text, &length) || length > ANSWER_MAX - head_n))
        return ld_problem_set(problem, "set-up: an answer is larger than %d bytes", ANSWER_MAX);
    while (c->end - c->begin < head_n + length)
        if (!receive(c, problem))
            return false;
    *ret_answer =
        (struct ld_client_answer){status, pc_bytes_of(c->buffer + c->begin, head_n),
                                  pc_bytes_of(c->buffer + c->begin + head_n, (size_t)length)};
    c->begin += head_n + (size_t)length;
    return true;
}
