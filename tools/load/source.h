/* SPDX-License-Identifier: Apache-2.0
 * The seam between what is asked (workloads) and how it is sent (the engine).
 *
 * A supply is made once for a run and is shared, read-only, by the generator threads; it opens one
 * source per thread. A source is asked for the next request, is shown every answer and judges it.
 * Everything of a source runs on its own thread, from that thread's loop: it takes no lock, makes
 * no system call and never waits (a request of ours that is late is the server's latency to the
 * one who measures). What sources share, they share by atomics of their own.
 *
 * Connections are numbered per thread: 0 .. place.connections - 1 are driven by the engine (closed
 * loop: each asks for its next request as soon as it has room; open loop: the one with the fewest
 * requests outstanding gets the request that is due); the place.idle ones after them are opened and
 * left alone, except for what the source does with them by its hands.
 *
 *     supply ── open(place, hands) ──► source        (once per thread, before the run)
 *     engine ── next(conn, now)    ──► request       (copied into the connection's buffer at once)
 *     engine ── answered(…)        ──► verdict       (or failed(…): no answer will come)
 *     source ── hands.send / reopen / wake_at / record ──► engine
 *
 * Invariants, kept by the engine:
 *   S1 every request taken by next() or hands.send() that was sent ends in exactly one answered()
 *      or failed(); one still unsent or unanswered when the run ends ends in failed(LD_FAIL_END).
 *   S2 answers of one connection come in the order of its requests.
 *   S3 no call into a source happens inside another call into it: hands only queue. */
#ifndef LD_SOURCE_H
#define LD_SOURCE_H

#include <jansson.h>

#include "base/def.h"

enum {
    LD_PIECES_MAX = 4,
    LD_CLASSES_MAX = 32,
    LD_NAME_BYTES = 48,
    LD_WHY_BYTES = 240,             /* what was wrong with an answer, with its NUL */
    LD_PROBLEM_BYTES = 512,         /* why something could not be begun, with its NUL */
    LD_REQUEST_BYTES_MAX = 1 << 20, /* one request, all pieces */
    LD_BODY_BYTES_MAX = 1 << 20,  /* of an answer, shown to the source; the rest is only counted */
    LD_HEAD_BYTES_MAX = 64 << 10, /* of an answer: beyond it the answer is malformed */
    LD_HANDS_QUEUE_MAX = 65536,   /* requests given to hands.send and not yet sent, per thread */
};

/* A clear text for people that names what is wrong. Filled by the function that failed. */
struct ld_problem {
    char text[LD_PROBLEM_BYTES];
};

/* Sets the text; returns false, so that `return ld_problem_set(p, …)` reads well. */
bool ld_problem_set(struct ld_problem *problem, const char *format, ...) PC_PRINTF(2, 3);

/* A kind of request, or of time measured: counted and with a histogram of its own. */
struct ld_class {
    const char *name; /* [a-z0-9_-], as in the report */
    const char *help;
    /* false: its latencies stay out of the latency and the rate of the whole run (set-up work,
     * revocations beside decisions, probes); it is counted and reported by itself all the same. */
    bool in_total;
    /* true: no request is of this class; the source records times with hands.record(). */
    bool is_measure;
};

struct ld_piece {
    const uint8_t *at;
    uint32_t bytes;
};

/* One request, whole, in the bytes of the protocol (the HTTP header block with its blank line, the
 * RESP array): the pieces one after the other. They are copied before next() is called again or
 * hands.send() returns, so they may stand in memory of the source that it uses again. */
struct ld_request {
    struct ld_piece pieces[LD_PIECES_MAX];
    uint8_t piece_count;
    uint8_t class;   /* index into the supply's classes */
    bool is_head;    /* HTTP: an answer to HEAD has no body whatever its header says */
    uint64_t cookie; /* the source's own; comes back with the answer */
};

struct ld_answer {
    int status;          /* HTTP: the code; RESP: the first byte: + - : $ * */
    const uint8_t *head; /* HTTP: status line and header block; RESP: the first line, no CR LF */
    uint32_t head_bytes;
    /* HTTP: without the chunks' framing. RESP: a bulk string's bytes, for an array all that
     * follows its first line, raw; nil: body NULL and 0 bytes. */
    const uint8_t *body;
    uint32_t body_bytes; /* at most LD_BODY_BYTES_MAX */
    bool cut;            /* there was more body than that */
    int64_t due_ns;      /* monotonic: when it should have been sent (closed loop: = sent) */
    int64_t sent_ns;     /* handed to the kernel */
    int64_t received_ns;
};

enum ld_verdict {
    LD_RIGHT,
    LD_WRONG,       /* not what was expected: a refusal of a good token, another body, 5xx */
    LD_WRONG_ALLOW, /* allowed what had to be refused: reported loudly, the run fails */
};

enum ld_failure {
    LD_FAIL_CONNECT,   /* the connection could not be made */
    LD_FAIL_RESET,     /* closed or reset before the answer */
    LD_FAIL_TIMEOUT,   /* no answer in --timeout */
    LD_FAIL_MALFORMED, /* bytes that are no answer; the connection is closed */
    LD_FAIL_END,       /* the run ended first; no error */
    LD_FAILURES
};

enum ld_next {
    LD_NEXT_REQUEST,
    /* Closed loop: nothing for this connection now; it is asked again after the next answer on it,
     * after the source's next tick and once per LD_ASK_AGAIN_NS. Open loop: this arrival passes
     * without a request (counted as skipped). */
    LD_NEXT_NOTHING,
};

enum { LD_ASK_AGAIN_NS = 1000000 };

struct ld_source;

/* What a source may ask of its loop, from any of its calls. Each only queues. */
struct ld_hands {
    void *loop;
    /* A request of the source's own accord, beside the loop's pace, to this connection (idle ones
     * too), before any other it may have waiting. False: LD_HANDS_QUEUE_MAX are waiting. */
    bool (*send)(void *loop, unsigned conn, const struct ld_request *request);
    /* Close the connection once its outstanding answers came, and open it anew (counted). */
    void (*reopen)(void *loop, unsigned conn);
    /* Call tick() at that time (monotonic), once; an earlier wish stands. */
    void (*wake_at)(void *loop, int64_t at_ns);
    /* A time measured by the source, for a class with is_measure. Ignored in the warm-up. */
    void (*record)(void *loop, uint8_t class, int64_t ns);
};

/* Where a source stands in the run. */
struct ld_place {
    unsigned thread, threads;
    unsigned first_connection;  /* of this thread, counted over all threads (driven ones) */
    unsigned connections, idle; /* of this thread */
    unsigned all_connections, all_idle;
    uint64_t seed;                  /* of this thread: the same for the same --seed and thread */
    int64_t warmup_ns, duration_ns; /* the run begins when start() is called */
};

struct ld_source_ops {
    /* The run begins. May send, wake; may be NULL. */
    void (*start)(struct ld_source *, int64_t now_ns);
    /* now_ns: in open loop the time the request was due. The pieces of the one after it should be
     * prefetched here: a token out of millions is a cache miss. */
    enum ld_next (*next)(struct ld_source *, unsigned conn, int64_t now_ns, struct ld_request *);
    /* why: filled when the answer is not right (the first few are shown). */
    enum ld_verdict (*answered)(struct ld_source *, unsigned conn, uint8_t class, uint64_t cookie,
                                const struct ld_answer *, char why[LD_WHY_BYTES]);
    void (*failed)(struct ld_source *, unsigned conn, uint8_t class, uint64_t cookie,
                   enum ld_failure);                  /* may be NULL */
    void (*tick)(struct ld_source *, int64_t now_ns); /* may be NULL */
    /* Open loop with a profile (a day of a gateway): requests per second of this thread's source so
     * long after the run began. NULL: --rate. Read again after at most 10 ms. */
    double (*rate_per_s)(struct ld_source *, int64_t since_start_ns);
    void (*close)(struct ld_source *);
};

/* Embed as the first member. */
struct ld_source {
    const struct ld_source_ops *ops;
};

struct ld_supply;

struct ld_supply_ops {
    /* NULL: problem says why. The source lives until its close(). */
    struct ld_source *(*open)(struct ld_supply *, const struct ld_place *, const struct ld_hands *,
                              struct ld_problem *);
    /* What the report says about it: a new object (parameters, populations, results of its own),
     * called after all sources were closed. May be NULL. */
    json_t *(*describe)(struct ld_supply *);
    void (*close)(struct ld_supply *);
};

/* Embed as the first member. */
struct ld_supply {
    const struct ld_supply_ops *ops;
    const char *name;
    const struct ld_class *classes;
    unsigned class_count;       /* 1 .. LD_CLASSES_MAX */
    unsigned idle_connections;  /* opened beside the driven ones, over all threads */
    uint32_t request_bytes_max; /* of one request: sizes the buffers */
    bool has_profile;           /* its sources have rate_per_s: the loop is open */
    bool resp;                  /* its requests are RESP, not HTTP */
};

#endif
