/* SPDX-License-Identifier: Apache-2.0
 * The main thread's own small io_uring: it sleeps here until one of its descriptors (signals,
 * file events, errands of the cores) is readable or its time is up.
 *
 * Each descriptor has one poll request, made again whenever it completed: like poll(2) it tells
 * what is readable at the time of the wait, but nothing is handed to the kernel again that is still
 * armed there. The thread that opened it is the only one that may use it. */
#ifndef PC_API_MAIN_RING_H
#define PC_API_MAIN_RING_H

#include "edge/loop/ring.h"

#define PC_MAIN_RING_FDS 8

struct pc_main_ring {
    struct ring ring;
    unsigned count;
    int fds[PC_MAIN_RING_FDS];
    uint32_t armed; /* bits: a poll request is with the kernel */
};

/* On failure why says what refused io_uring and what to change. */
int pc_main_ring_open(struct pc_main_ring *r, struct pc_why *why);
void pc_main_ring_close(struct pc_main_ring *r);

/* Adds a descriptor, which stays open as long as the ring; its bit in what a wait returns. */
uint32_t pc_main_ring_add(struct pc_main_ring *r, int fd);

/* Sleeps until a descriptor is readable (or closed at its other end), timeout_ns has passed
 * (negative: for ever) or a signal came; the bits of those that are. May return 0 early. */
uint32_t pc_main_ring_wait(struct pc_main_ring *r, int64_t timeout_ns);

#endif
