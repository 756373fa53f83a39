/* SPDX-License-Identifier: Apache-2.0
 * What the generator threads know together of the server's state while they change it: which tokens
 * were revoked and when that was acknowledged, how often each limit key was allowed, which value a
 * flag was set to. From it follows which answers are right.
 *
 * Shared by all sources, no locks. Invariants:
 *   O1 a token's revoked_ns goes 0 (never) → 1 (asked, the answer is not known) → a time, and
 * stays. The time is read after the acknowledgement was; the loop stamps a request before its first
 *      byte is sent. So sent_ns > revoked_ns means: sent after the acknowledgement was read, on
 *      whatever thread; such a request must be refused. With 1, either answer is right.
 *   O2 an event is published by storing its token (release) after its other fields; whoever reads
 *      the token (acquire) sees them. Events are never reused.
 *   O3 `allowed` only grows, by one for each allow that was read. Everything counted in it was
 *      admitted between the start of the run and the time it was read, so it is bounded by what the
 *      policy admits in that time; counters of several threads need no order between them.
 *   O4 at most one request that sets a given flag is outstanding; its values are 1, 2, 3 … above
 *      the first one. A value read is right if it is none that was never sent, and not older than
 *      the last one acknowledged before the reading request was sent.
 *   O5 start_ns goes from 0 to the time the first of the threads began, once, before any of them
 *      sends; the others begin within SLACK_NS (oracle.c) of it or later. It is a number by itself:
 *      nothing else is read because of it, so relaxed order is enough. */
#ifndef LD_ORACLE_H
#define LD_ORACLE_H

#include <stdatomic.h>

#include "load/workload.h"

enum {
    LD_EVENTS_MAX = 1 << 20, /* revocations of one run */
    LD_FLAG_HISTORY = 64,    /* acknowledged values of a flag that are remembered */
};

struct ld_event {
    _Atomic uint32_t token; /* index + 1; 0: not published */
    _Atomic uint32_t left;  /* connections that have not seen the refusal yet */
    int64_t acked_ns;
};

struct ld_flag_state {
    int64_t first; /* the value before the run */
    bool changes;  /* some request sets it: values are numbers then */
    _Atomic bool busy;
    _Atomic bool doubt;    /* a set had no answer: the order is not known any more */
    _Atomic int64_t sent;  /* the highest value sent */
    _Atomic int64_t acked; /* the highest one acknowledged */
    _Atomic int64_t acked_ns[LD_FLAG_HISTORY]; /* by value */
};

struct ld_oracle {
    const struct ld_workload *w;
    _Atomic int64_t start_ns; /* O5; 0: not begun */
    uint64_t tokens, keys;
    _Atomic int64_t *revoked_ns;    /* by token; NULL: nothing is revoked during the run */
    uint64_t victims_from, victims; /* tokens that may be revoked, from the last one down */
    _Atomic uint64_t victims_taken;
    struct ld_event *events;
    _Atomic uint32_t event_count;
    _Atomic uint32_t *allowed[LD_WL_REQUESTS_MAX]; /* by request with a policy, then by key */
    struct ld_flag_state flags[LD_WL_FLAGS_MAX];
};

/* counted[i]: how many keys request i counts; 0: it has no policy. */
bool ld_oracle_init(struct ld_oracle *o, const struct ld_workload *w,
                    const struct ld_tokens *tokens, const uint64_t counted[LD_WL_REQUESTS_MAX],
                    struct ld_problem *);
void ld_oracle_free(struct ld_oracle *o);

/* A thread begins. */
void ld_oracle_begin(struct ld_oracle *o, int64_t now_ns);

/* ---- Revocations. ---- */

/* A token nobody revoked yet; false: there are no more. It counts as asked. */
bool ld_oracle_take_victim(struct ld_oracle *o, uint64_t *ret_token);
/* The acknowledgement was read, now. Publishes the event; connections: how many must see it. */
void ld_oracle_acknowledge(struct ld_oracle *o, uint64_t token, int64_t now_ns,
                           uint32_t connections);

enum ld_standing { LD_STANDS, LD_EITHER, LD_REVOKED };
/* How a good token stood for a request sent then. */
enum ld_standing ld_oracle_standing(const struct ld_oracle *o, uint64_t token, int64_t sent_ns);

/* ---- Limits. ---- */

/* One more allow was read at now_ns. ret_bound: how many may be by then. Returns the count. */
uint64_t ld_oracle_count_allow(struct ld_oracle *o, unsigned request, uint64_t key, int64_t now_ns,
                               uint64_t *ret_bound);

/* ---- Flags. ---- */

/* The next value to set; false: a set is outstanding already. */
bool ld_oracle_begin_flag(struct ld_oracle *o, unsigned flag, int64_t *ret_value);
/* ok: acknowledged. Otherwise nobody knows. */
void ld_oracle_end_flag(struct ld_oracle *o, unsigned flag, int64_t value, bool ok, int64_t now_ns);
/* Whether a request sent then may have read this value; else the bounds. */
bool ld_oracle_flag_may_be(const struct ld_oracle *o, unsigned flag, int64_t value, int64_t sent_ns,
                           int64_t *ret_least, int64_t *ret_most);

#endif
