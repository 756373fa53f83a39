/* SPDX-License-Identifier: Apache-2.0
 * What the loop's own files share: the whole of a core and of a connection. Nothing outside this
 * folder includes it.
 *
 * A connection's life (conn_set_state() is the only setter):
 *
 *   FREE -> OPEN -> FLUSHING -> LINGERING -> CLOSING -> FREE
 *             \________\____________\_________^
 *
 *   OPEN       input is delivered
 *   FLUSHING   no more input; queued output leaves
 *   LINGERING  output has left and our write side is shut; what still comes is dropped
 *   CLOSING    waits until no operation of it is in flight; then the descriptor is closed
 *
 * Invariants:
 *  L1 A slot is freed only when in_flight is 0, so no completion can belong to a later tenant.
 *  L2 A connection with pending work (work != 0) is on the core's work list, once.
 *  L3 Chunks given to a send stay until its completion: bytes are appended behind, never moved. */
#ifndef PC_LOOP_INTERNAL_H
#define PC_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/spsc.h"
#include "base/waker.h"
#include "edge/loop/conn.h"
#include "edge/loop/overload.h"
#include "edge/loop/pool.h"
#include "edge/loop/ring.h"
#include "edge/loop/wheel.h"

#define CONN_BLOCK    64 /* connections allocated together */
#define SEND_IOV_MAX  16 /* chunks in one send */
#define SEND_MSGS     64 /* sends of several chunks prepared between two enters */
#define MAILBOX_BATCH 64
#define CORE_MAILBOX  256 /* entries from core to core: hand-overs, mostly */
/* While paused, reading stops when so much is waiting. */
#define PAUSED_INPUT_BYTES (32u << 10)

/* The loop's own deadlines stand behind the protocol's. */
enum { DEADLINE_STALL = PC_DEADLINES, DEADLINE_LINGER, DEADLINE_COUNT };

enum conn_state { CONN_FREE, CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_CLOSING, CONN_STATES };

/* Reasons not to deliver input. */
enum { PAUSE_PROTOCOL = 1, PAUSE_OUTPUT = 2 };

/* What is to be done for a connection before the turn ends. */
enum { WORK_DELIVER = 1, WORK_RECV = 2, WORK_FLUSH = 4, WORK_CLOSE = 8 };

struct core;

/* Line by line: what every completion touches stands together, behind the public part (whose own
 * fields fill the first line, and the protocol's state the next three). */
struct conn {
    struct pc_conn pub;
    PC_ALIGNED_LINE uint32_t slot;
    uint32_t generation;
    int fd;
    uint8_t state; /* enum conn_state */
    uint8_t pause; /* PAUSE_ */
    uint8_t work;  /* WORK_ */
    uint8_t in_flight;
    bool on_work_list : 1;
    bool opened : 1;      /* open() returned 0: closed() is owed */
    bool recv_armed : 1;  /* a receive is in flight */
    bool recv_cancel : 1; /* and is being cancelled */
    bool send_busy : 1;   /* a send is in flight */
    bool peer_done : 1;   /* the peer's end of stream was seen */
    bool eof_told : 1;
    bool drained : 1;  /* drain() was called */
    uint32_t out_hint; /* size of the last turns' output: the first chunk's size */
    struct conn *work_next;
    struct chunk *in; /* kept input; NULL: none */
    struct chunk *out_head, *out_tail;
    size_t out_bytes;                /* committed and not taken by the kernel */
    PC_ALIGNED_LINE size_t reserved; /* of the last pc_conn_reserve() */
    size_t sending;                  /* bytes of the send in flight */
    size_t expected;                 /* size of the message being received, as far as known */
    struct wheel_entry timer;
    int64_t deadlines[DEADLINE_COUNT];
    struct conn *free_next;
};

struct send_msg {
    struct msghdr hdr;
    struct iovec iov[SEND_IOV_MAX];
};

/* One listener's accept on the core that owns it. */
struct acceptor {
    const struct pc_listener *listener;
    unsigned index;
    bool owned, armed, cancelling, finished;
    int64_t retry_ns; /* not before; 0: at once */
};

struct core_timer {
    int64_t period_ns, due_ns;
    void (*fn)(struct pc_core *, void *);
    void *arg;
};

/* Other threads read these; the owner writes. */
struct core_shared {
    PC_ALIGNED_LINE _Atomic uint32_t load; /* connections given to the core and not gone */
    _Atomic bool overloaded;
    _Atomic uint64_t queue_delay_ns, pool_bytes, connections;
#define CORE_COUNTER_ATOMIC(name, help) _Atomic uint64_t name;
    PC_CORE_COUNTERS(CORE_COUNTER_ATOMIC)
#undef CORE_COUNTER_ATOMIC
};

struct core {
    struct pc_core pub;
    const struct pc_loop_config *config;
    struct ring ring;
    struct pool pool;
    struct wheel wheel;
    struct overload overload;
    struct conn *work_first, **work_last;
    struct conn **blocks;
    unsigned block_count, block_max;
    struct conn *free_conns;
    unsigned conn_count; /* slots in use */
    struct acceptor acceptors[PC_LISTENERS_MAX];
    unsigned accepting;      /* acceptors not finished */
    int64_t accept_retry_ns; /* earliest retry; INT64_MAX: none */
    bool accepts_done;       /* reported to the loop */
    struct core_timer timers[PC_CORE_TIMERS_MAX];
    unsigned timer_count;
    int64_t timers_due_ns;
    int64_t stop_ns; /* cut what is left; INT64_MAX: not stopping */
    bool cut;
    bool wake_armed;
    bool slept; /* the last enter waited for something to happen */
    struct send_msg msgs[SEND_MSGS];
    unsigned msgs_used;
    unsigned producers;
    struct pc_spsc **mailbox; /* [producers] */
    struct pc_waker *waker;
    struct core_shared shared;
    /* Start-up and end, under the loop's lock. */
    pthread_t thread; /* as the controlling thread knows it */
    pthread_t self;   /* as the thread itself does */
    bool thread_made;
};

struct pc_loop {
    struct pc_loop_config config;
    struct pc_listener listeners[PC_LISTENERS_MAX];
    int cpus[PC_CORES_MAX];
    struct core **cores;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned ready, failed; /* cores that finished starting */
    bool go, give_up;       /* all ready: run; or end again */
    struct pc_why why;
    int err;
    _Atomic uint32_t accepts_done; /* cores whose accepts are finished (I4) */
    _Atomic int64_t stop_ns;       /* monotonic deadline; INT64_MAX: run */
    uint32_t features;
    bool started, joined;
};

/* Counters have one writer, so a plain load and store suffice; atomic only for the readers. */
#define CORE_COUNT(core, name, n)                                                                  \
    atomic_store_explicit(&(core)->shared.name,                                                    \
                          atomic_load_explicit(&(core)->shared.name, memory_order_relaxed) +       \
                              (uint64_t)(n),                                                       \
                          memory_order_relaxed)

/* The public part stands first in the whole. */
static inline struct core *core_in(struct pc_core *core)
{
    return PC_CONTAINER_OF(core, struct core, pub);
}

static inline const struct core *core_in_const(const struct pc_core *core)
{
    return (const struct core *)(const void *)core;
}

static inline struct core *core_of(const struct pc_conn *c)
{
    return core_in(c->core);
}

static inline struct conn *conn_of(const struct pc_conn *c)
{
    return (struct conn *)(uintptr_t)c;
}

/* The slot's connection; NULL when it was never used. */
static inline struct conn *core_slot(struct core *k, uint32_t slot)
{
    return slot / CONN_BLOCK < k->block_count ? &k->blocks[slot / CONN_BLOCK][slot % CONN_BLOCK]
                                              : NULL;
}

/* conn.c */
void conn_set_state(struct conn *c, enum conn_state to);
void conn_work(struct core *k, struct conn *c, unsigned work);
/* Takes fd over, whatever happens. */
void conn_open(struct core *k, int fd, const struct pc_listener *listener);
void conn_drain(struct core *k, struct conn *c);
void conn_timer(struct core *k, struct conn *c);
void conn_set_deadline(struct core *k, struct conn *c, unsigned which, int64_t after_ns);
void conn_teardown(struct core *k, struct conn *c);
/* An operation of c completed; frees the slot if c was waiting for it. */
void conn_settled(struct core *k, struct conn *c);
void conns_free(struct core *k);

/* recv.c */
void recv_arm(struct core *k, struct conn *c);
void recv_done(struct core *k, struct conn *c, int res, unsigned flags);
void recv_cancel_done(struct core *k, struct conn *c, int res, unsigned flags);
void recv_deliver(struct core *k, struct conn *c);
bool recv_wanted(const struct conn *c);

/* send.c */
void send_start(struct core *k, struct conn *c);
void send_done(struct core *k, struct conn *c, int res, unsigned flags);

/* accept.c */
void accept_start(struct core *k);
void accept_arm_due(struct core *k);
void accept_done(struct core *k, uint32_t slot, int res, unsigned flags);
void accept_cancel_done(struct core *k, uint32_t slot);
void accept_stop(struct core *k);
/* A descriptor became free: retry at once. */
void accept_descriptor_freed(struct core *k);
void accept_handed_over(struct core *k, void *msg);

/* mailbox.c */
bool mailbox_post(struct core *k, unsigned producer, void *msg);
bool mailbox_empty(struct core *k);
void mailbox_drain(struct core *k);
void mailbox_discard(struct core *k);

/* turn.c */
/* Turns until the core has stopped and nothing is left. */
void core_run(struct core *k);
int64_t core_mono_ns(const struct core *k);
int64_t core_wall_ms(const struct core *k);

#endif
