/* SPDX-License-Identifier: Apache-2.0
 * A server over the event loop for tests: a line protocol with one command per thing the loop
 * must be able to do, and blocking clients. Ports are the kernel's choice.
 *
 *   echo TEXT   -> TEXT            big N    -> N times 'x', newline
 *   core        -> core index      eat N    -> takes the next N bytes, then "ate N"
 *   quit        -> bye, close      abort    -> closes at once
 *   wait TEXT   -> pauses; another thread answers (loop_server_answer)
 *   idle        -> starts deadline 0; "timeout 0" and close when it passes
 *   later       -> pauses; a message of the core to itself answers "later"
 *   expensive N -> burns N microseconds, then "done" */
#ifndef PC_TESTS_LOOP_SERVER_H
#define PC_TESTS_LOOP_SERVER_H

#include <stdatomic.h>

#include "edge/loop/conn.h"
#include "edge/loop/core.h"
#include "edge/loop/listener.h"

#define LOOP_SERVER_LISTENERS 4
#define LOOP_SERVER_WAITING   64

struct loop_server {
    struct pc_loop *loop;
    struct pc_protocol protocol;
    struct pc_loop_config config;
    struct pc_listener listeners[LOOP_SERVER_LISTENERS];
    char names[LOOP_SERVER_LISTENERS][PC_LISTENER_NAME_MAX];
    /* Connections that said "wait"; the first waiting_count entries are valid when one core
     * fills them in order. */
    struct pc_conn_ref waiting[LOOP_SERVER_WAITING];
    _Atomic int waiting_taken, waiting_count;
    _Atomic int opened, closed, drained, messages, stale, timeouts;
    _Atomic int64_t most_output;
};

/* Fills in protocol and configuration; change them before loop_server_start(). */
void loop_server_init(struct loop_server *s);
/* Adds a listener; a NULL address is 127.0.0.1:0. */
void loop_server_listen(struct loop_server *s, const char *address);
/* Adds the default listener where there is none, and starts. */
void loop_server_start(struct loop_server *s);
/* Stops, joins, checks that every open() had its closed(), frees. */
void loop_server_stop(struct loop_server *s, unsigned grace_ms);
/* Waits until `count` connections said "wait". */
void loop_server_await_waiting(struct loop_server *s, int count);
/* Answers the i-th waiting connection from this thread (the extra producer). */
void loop_server_answer(struct loop_server *s, int i, const char *text);
/* The sum of a counter over the cores. */
#define LOOP_SERVER_SUM(s, name) loop_server_sum((s), offsetof(struct pc_core_counters, name))
uint64_t loop_server_sum(struct loop_server *s, size_t offset);
/* Waits (at most 10 s) until the condition holds. */
#define LOOP_AWAIT(cond)                                                                           \
    do {                                                                                           \
        int64_t await_end_ = loop_server_now_ms() + 10000;                                         \
        while (!(cond))                                                                            \
            loop_server_await_step(await_end_, #cond);                                             \
    } while (0)
int64_t loop_server_now_ms(void);
void loop_server_await_step(int64_t end_ms, const char *what);

/* A blocking client socket with 10 s time-outs. */
int loop_client(const struct loop_server *s, int listener);
/* The same, or -1 when nobody listens any more. */
int loop_client_try(const struct loop_server *s, int listener);
void loop_client_send(int fd, const char *text);
/* Reads exactly strlen(text) bytes and compares. */
void loop_client_expect(int fd, const char *text);
/* Reads n bytes. */
void loop_client_read(int fd, void *p, size_t n);
/* The peer closed: end of stream (true) or reset (false). */
bool loop_client_end(int fd);

#endif
