/* SPDX-License-Identifier: Apache-2.0
 * When requests are due in an open loop: constant or Poisson arrivals at a rate that may change
 * over time. Pure: no clock, no random source but its own seeded one.
 *
 * The queue of requests that are due and wait for a connection is this schedule: next_ns only moves
 * on when a request was taken, so however long connections are busy, each arrival keeps the time
 * it was due, none is dropped, and no memory grows with the delay.
 *
 *     rate over time     a piecewise constant λ(t), each piece read where it begins
 *     constant           the k-th arrival is where ∫λ reaches k + phase   (phase: thread/threads)
 *     Poisson            … where ∫λ reaches the sum of k exponential draws */
#ifndef LD_SCHEDULE_H
#define LD_SCHEDULE_H

#include "base/def.h"

/* How long a rate that was read holds, at most. */
#define LD_SCHEDULE_PIECE_NS INT64_C(10000000)

struct ld_schedule {
    /* Rate per second so long after the start; NULL: rate_per_s. */
    double (*rate_of)(void *arg, int64_t since_start_ns);
    void *arg;
    double rate_per_s;
    bool poisson;
    uint64_t random; /* state of the generator, never 0 */
    int64_t start_ns;
    int64_t next_ns; /* the next arrival; INT64_MAX: none before horizon_ns */
    /* Private: the position in time up to which λ was integrated, the part of a ns beyond it, and
     * what is left to integrate to the next arrival. */
    int64_t at_ns;
    double fraction_ns, left;
    int64_t piece_end_ns;
    double piece_rate;
    int64_t horizon_ns;
};

/* Arrivals from start_ns to horizon_ns. phase in [0, 1): where constant arrivals begin. */
void ld_schedule_begin(struct ld_schedule *, int64_t start_ns, int64_t horizon_ns, double phase,
                       uint64_t seed);

/* Goes on to the arrival after next_ns. */
void ld_schedule_pop(struct ld_schedule *);

/* What a thread draws from: independent of other threads' and of other seeds'. */
uint64_t ld_schedule_seed(uint64_t seed, unsigned thread);

/* A uniform draw in (0, 1]. */
double ld_schedule_uniform(uint64_t *state);

#endif
