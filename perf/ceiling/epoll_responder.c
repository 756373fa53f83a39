/* SPDX-License-Identifier: Apache-2.0
 * The plainest epoll server: reads, counts the requests, sends that many fixed answers in one
 * call. What a readiness loop costs when the work is nothing.
 * Usage: perf-epoll-responder http|resp [answer bytes [congestion control]]; prints its port. */
#include <sys/epoll.h>

#include "perf.h"

enum { CONNECTIONS_MAX = 4096, EVENTS_MAX = 512, BUFFER_BYTES = 65536 };

static void serve(const struct answers *a, struct request_counter *counters, int fd)
{
    static uint8_t buffer[BUFFER_BYTES];
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    if (n <= 0) {
        close(fd);
        return;
    }
    unsigned found = count_requests(a, &counters[fd], buffer, (size_t)n);
    for (size_t left = a->one_bytes * found; left > 0;) {
        size_t part = pc_min_u64(left, a->one_bytes * a->most);
        ssize_t sent = send(fd, a->run, part, MSG_NOSIGNAL | MSG_WAITALL);
        if (sent <= 0 || (size_t)sent % a->one_bytes)
            return; /* blocking socket: only a peer that went away gets here */
        left -= (size_t)sent;
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl", errno);
}

static void welcome(int epoll, int listener, struct request_counter *counters)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || fd >= CONNECTIONS_MAX)
        die("accept", fd < 0 ? errno : EMFILE);
    no_delay(fd);
    counters[fd] = (struct request_counter){0};
    watch(epoll, fd);
}

int main(int argc, char **argv)
{
    static struct request_counter counters[CONNECTIONS_MAX];
    static struct epoll_event events[EVENTS_MAX];
    const struct answers a = answers_of(argc, argv);
    const int listener = listen_anywhere(argc, argv);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1", errno);
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                welcome(epoll, listener, counters);
            else
                serve(&a, counters, events[i].data.fd);
    }
}
