/* SPDX-License-Identifier: Apache-2.0
 * The same work as uring_responder.c, but through the event loop of src/edge/loop: what the engine
 * itself costs is the difference between the two.
 * Usage: perf-loop-responder http|resp [answer bytes [congestion control]]; prints its port. */
#include <signal.h>

#include "edge/loop/conn.h"
#include "perf.h"

_Static_assert(sizeof(struct request_counter) <= PC_CONN_STATE_BYTES, "fits the connection");

static size_t count_and_answer(struct pc_conn *c, uint8_t *p, size_t n)
{
    const struct answers *a = c->listener->user;
    unsigned owed = count_requests(a, pc_conn_state(c), p, n);
    while (owed) {
        unsigned part = (unsigned)pc_min_u64(owed, a->most);
        uint8_t *out = pc_conn_reserve(c, part * a->one_bytes);
        if (!out)
            return n;
        memcpy(out, a->run, part * a->one_bytes);
        pc_conn_commit(c, part * a->one_bytes);
        owed -= part;
    }
    return n;
}

int main(int argc, char **argv)
{
    struct pc_why why = {""};
    struct answers answers = answers_of(argc, argv);
    const struct pc_protocol protocol = {.name = "fixed", .input = count_and_answer};
    const struct pc_listener listener = {
        .fd = listen_anywhere(argc, argv), .protocol = &protocol, .user = &answers};
    const struct pc_loop_config config = {.listeners = &listener, .listener_count = 1};
    struct pc_loop *loop = NULL;
    if (pc_loop_new(&config, &loop, &why) || pc_loop_start(loop, &why)) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    pause();
    return 0;
}
