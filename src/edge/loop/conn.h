/* SPDX-License-Identifier: Apache-2.0
 * Connections as a protocol sees them: the function table a protocol fills in, and what it may do
 * with a connection. The loop moves bytes and knows nothing of what they mean.
 *
 * Everything here runs on the core that owns the connection (asserted) and never blocks. Any of
 * these functions may be called from any callback; none of them calls a callback back: effects
 * (sending, redelivery, closed()) happen at the end of the turn.
 *
 * Invariants:
 *  I1 A connection belongs to one core from open() to closed(); no other thread touches it. Others
 *     hold a struct pc_conn_ref, and only the owning core turns it into a pointer, or into NULL
 * once the connection has gone. I2 closed() is called exactly once for each open() that returned 0,
 * as the last callback. I3 input() is never called while the connection is paused, has too much
 * output queued or is closing; bytes are delivered in order, none twice, none lost until then. I4
 * At most one send is in flight per connection; all that was queued in a turn leaves in one. I5
 * Memory per connection is bounded: input by input_max_bytes plus what one turn's receive delivers,
 * output by output_max_bytes plus what one message writes (the protocol looks at
 *     pc_conn_output_full() between messages).
 *
 * TLS will sit between socket and protocol where bytes pass in exactly two functions:
 * conn_received() (recv.c) and send_start() (send.c). */
#ifndef PC_LOOP_CONN_H
#define PC_LOOP_CONN_H

#include "base/bytes.h"
#include "edge/loop/core.h"

/* Bytes of protocol state inside the connection, zeroed before open(). */
#define PC_CONN_STATE_BYTES 192
/* Deadline classes a protocol may use. */
#define PC_DEADLINES 6
/* input_max_bytes where the protocol says 0. */
#define PC_INPUT_MAX_DEFAULT (64u << 10)

struct pc_conn;

/* A protocol's functions and limits; constant while the loop runs. Only input is obligatory. */
struct pc_protocol {
    const char *name;
    /* Sent (as far as the socket takes it at once) to a connection that is refused because of a
     * connection limit or overload; empty: it is just closed. */
    struct pc_bytes refusal;
    /* Duration of each deadline class; a class of 0 is never set. */
    uint32_t deadline_ms[PC_DEADLINES];
    /* Most unconsumed bytes kept for one connection: the largest message that must be seen whole.
     * When that many are held unpaused and input() still consumes nothing, the connection is
     * aborted (counter input_overflows); protocols should have answered "too large" before. */
    size_t input_max_bytes;
    /* Output of one connection at which reading from it stops; 0: the loop's output_max_bytes. */
    size_t output_max_bytes;

    /* A new connection; non-zero closes it at once (closed() is then not called). */
    int (*open)(struct pc_conn *c);
    /* n > 0 bytes that were not consumed yet, contiguous, writable (in-place parsing), valid during
     * the call only. Returns how many are done with; the rest is delivered again, at the front of
     * more bytes, or unchanged after pc_conn_resume() or when output has drained. */
    size_t (*input)(struct pc_conn *c, uint8_t *p, size_t n);
    /* A deadline passed; it is cleared before the call. NULL: pc_conn_abort(). */
    void (*timeout)(struct pc_conn *c, unsigned deadline);
    /* The peer will send no more, and all it sent was delivered (unconsumed rest included). Held
     * back while paused. NULL: pc_conn_close_after_flush(). */
    void (*eof)(struct pc_conn *c);
    /* The connection is gone: free what belongs to it. Nothing may be called on c. */
    void (*closed)(struct pc_conn *c);
    /* The server stops: close now if idle, else after the current answer. Called once, also for
     * connections accepted while stopping. NULL: pc_conn_close_after_flush(). */
    void (*drain)(struct pc_conn *c);
};

/* Who is at the other end. Unix sockets have family PC_PEER_UNIX and no address. */
enum pc_peer_family { PC_PEER_UNKNOWN = 0, PC_PEER_UNIX, PC_PEER_V4, PC_PEER_V6 };
struct pc_peer {
    uint8_t ip[16]; /* v4 in the first 4 bytes; v4-mapped v6 is reported as v4 */
    uint16_t port;
    uint8_t family;
    bool unvouched; /* set by a protocol: a proxy that could not say for whom it speaks, or for
                       whom of its own machine */
};

/* The public part of a connection. `user` and `state` belong to the protocol. */
struct pc_conn {
    struct pc_core *core;
    const struct pc_protocol *protocol;
    const struct pc_listener *listener;
    void *user;
    struct pc_peer peer;
    uint8_t state[PC_CONN_STATE_BYTES] __attribute__((aligned(16)));
};

/* The protocol's inline state as its own type:
 *     struct http *h = pc_conn_state(c);   with _Static_assert(sizeof(struct http) <= …) */
static inline void *pc_conn_state(struct pc_conn *c)
{
    return c->state;
}

/* Names a connection in messages between threads; valid for ever, because it is checked on use. */
struct pc_conn_ref {
    uint32_t slot;
    uint32_t generation;
    uint16_t core;
};
struct pc_conn_ref pc_conn_ref(const struct pc_conn *c);
/* NULL when the connection is gone or closing. PC_ASSERTs that ref.core is this core. */
struct pc_conn *pc_conn_get(struct pc_core *core, struct pc_conn_ref ref);

/* ---- input ---- */

/* Stop calling input() and eof(), e.g. while an answer is awaited. Idempotent. About 32 KiB more
 * are read; then the kernel's window closes. */
void pc_conn_pause(struct pc_conn *c);
/* Undo it: unconsumed bytes are delivered again later in this turn, or in the next. Idempotent. */
void pc_conn_resume(struct pc_conn *c);
/* The message that begins at the first unconsumed byte has this many bytes: room is made at once
 * instead of by doubling. PC_E_TOO_LARGE beyond input_max_bytes. */
int pc_conn_expect(struct pc_conn *c, size_t total_bytes);

/* ---- output ---- */

/* n contiguous writable bytes at the end of the output, or NULL: no memory, or more than
 * output_hard_max_bytes queued; the connection is then aborted and the caller gives up. Each
 * reserve replaces the one before; what is not committed is not sent. */
uint8_t *pc_conn_reserve(struct pc_conn *c, size_t n);
/* The first n of the reserved bytes belong to the output; they leave at the end of the turn. */
void pc_conn_commit(struct pc_conn *c, size_t n);
/* reserve + copy + commit; false where reserve gives NULL. */
bool pc_conn_write(struct pc_conn *c, struct pc_bytes s);
/* Bytes queued and not yet taken by the kernel. */
size_t pc_conn_output_bytes(const struct pc_conn *c);
/* At or above output_max_bytes: input() should return before it handles the next message; it is
 * called again when the output has drained to half. */
bool pc_conn_output_full(const struct pc_conn *c);

/* ---- life ---- */

/* No more input; what is queued is sent, then the write side is shut and what the peer still sends
 * is read and dropped for a bounded time, so that the last answer is not destroyed by a reset. */
void pc_conn_close_after_flush(struct pc_conn *c);
/* Close at once, dropping queued output. Idempotent. */
void pc_conn_abort(struct pc_conn *c);
/* close_after_flush or abort was called: writing is allowed but pointless after an abort. */
bool pc_conn_closing(const struct pc_conn *c);

/* ---- deadlines ---- */

/* (Re)starts deadline class `deadline`: timeout() is called when its duration has passed since this
 * turn's now_ns, at most PC_TIMER_TICK_NS late. Costs a store; call it as often as wanted. */
void pc_conn_deadline(struct pc_conn *c, unsigned deadline);
void pc_conn_clear_deadline(struct pc_conn *c, unsigned deadline);

#endif
