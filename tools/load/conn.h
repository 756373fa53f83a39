/* SPDX-License-Identifier: Apache-2.0
 * One connection of a generator thread: its socket, the requests sent and not answered (oldest
 * first), the bytes of the send in flight, where it stands in its stream of answers.
 *
 *     CLOSED ──begin_connect──► CONNECTING ──► OPEN ──close──► CLOSED (a new generation)
 *
 * Invariants:
 *   C1 at most one send is in flight; `out` is not touched meanwhile.
 *   C2 in_flight counts the pending requests, those in `out` included; at most `depth`.
 *   C3 a completion whose generation is not the connection's is nobody's (its buffer is given
 *      back all the same). */
#ifndef LD_CONN_H
#define LD_CONN_H

#include "load/protocol.h"

enum ld_conn_state { LD_CONN_CLOSED, LD_CONN_CONNECTING, LD_CONN_OPEN };

/* A request sent (or about to be). */
struct ld_pending {
    int64_t due_ns, sent_ns;
    uint64_t cookie;
    uint8_t class;
    bool no_body;
};

/* A request of a source's own accord that waits for room. */
struct ld_wish {
    struct ld_wish *next;
    struct ld_pending what; /* due_ns: when the source asked */
    uint32_t bytes;
    uint8_t data[];
};

struct ld_conn {
    int fd; /* -1: none */
    uint32_t generation;
    uint8_t state; /* enum ld_conn_state, set by ld_conn_set_state() only */
    bool sending, dirty, reopen, dry, connected_before;
    bool driven;         /* the engine gives it requests; false: idle */
    bool timed;          /* a request was sent on it: worth a look for timeouts */
    uint32_t depth_mask; /* of the ring of pending ones */
    uint32_t first, in_flight;
    struct ld_pending *pending;
    uint8_t *out;
    size_t out_bytes, out_done, out_room;
    struct ld_wish *wish_first, *wish_last;
    struct ld_parser parser;
    int64_t connect_ns; /* CONNECTING: since then */
    int64_t retry_ns;   /* CLOSED: not before; 0: nothing to wait for */
    unsigned tries;     /* connects that failed in a row */
    /* Open loop: the list of connections with so many outstanding (engine.c). */
    int32_t level; /* -1: in none */
    uint32_t before, after;
};

void ld_conn_set_state(struct ld_conn *, enum ld_conn_state);

/* Room for depth requests and one send. false: no memory. */
bool ld_conn_make(struct ld_conn *, unsigned depth, size_t out_room);
void ld_conn_free(struct ld_conn *);

/* The request's bytes into `out`, itself to the pending ones. There must be room for both. */
void ld_conn_append(struct ld_conn *, const struct ld_request *, int64_t due_ns, int64_t now_ns);
void ld_conn_append_wish(struct ld_conn *, const struct ld_wish *, int64_t now_ns);

static inline struct ld_pending *ld_conn_oldest(struct ld_conn *c)
{
    return &c->pending[c->first & c->depth_mask];
}

static inline void ld_conn_pop(struct ld_conn *c)
{
    c->first++;
    c->in_flight--;
}

/* A copy of the request; NULL: no memory. */
struct ld_wish *ld_wish_new(const struct ld_request *, int64_t now_ns);
void ld_conn_add_wish(struct ld_conn *, struct ld_wish *);
struct ld_wish *ld_conn_take_wish(struct ld_conn *); /* NULL: none */

static inline size_t ld_request_bytes(const struct ld_request *r)
{
    size_t n = 0;
    for (unsigned i = 0; i < r->piece_count; i++)
        n += r->pieces[i].bytes;
    return n;
}

#endif
