/* SPDX-License-Identifier: Apache-2.0
 * The search for the highest rate that meets an objective: raised by a factor until it breaks, then
 * bisected, every rate tried several times. Pure: it is asked for the next rate and told what a run
 * at that rate found; who runs (sweep_command.c) and who simulates (the tests) is not its business.
 *
 *   W1 a rate holds if more than half of its judged runs held; a run held if every term of the
 *      objective did, 99 % of the requests that were due were answered or failed, errors stayed
 *      within the objective's share and no answer was wrong. What was due is counted: random
 * arrivals are seldom as many as the rate says (of 1000 about 32 more or fewer), and that is no
 * server's fault. W2 `holds` is always below `breaks` (both NAN until known): a rate that broke is
 * never tried higher, so that one lucky run above it cannot raise the result. W3 runs while the
 * CPUs were far apart are set aside, up to `far_retries` per rate; a rate that saw no other runs is
 * judged by them, and says so. */
#ifndef LD_SWEEP_H
#define LD_SWEEP_H

#include <jansson.h>

#include "load/report.h"
#include "load/slo.h"

enum {
    LD_SWEEP_STEPS_MAX = 64,
    LD_SWEEP_REPEATS_MAX = 31,
    LD_SWEEP_RUNS_MAX = 2048,
    LD_SWEEP_DOWN_MAX = 12, /* steps below the first rate while none holds */
};
#define LD_SWEEP_REACHED 0.99 /* of the requests due */

struct ld_sweep_settings {
    double from_per_s, to_per_s; /* to: INFINITY is no end but the limits above */
    double factor;               /* > 1 */
    double resolution;           /* bisect until breaks / holds <= 1 + resolution */
    unsigned repeats;            /* odd: a majority always exists */
    unsigned far_retries;
};

struct ld_sweep_run {
    double asked_per_s, achieved_per_s;
    double objective_us[LD_SLO_TERMS_MAX];
    double p50_us, p90_us, p99_us, p99_9_us, max_us;
    double cpu_us; /* of the server, per request; NAN: not asked for */
    double errors_percent;
    uint64_t requests, errors, wrong_answers, wrong_allows;
    uint64_t due;        /* answered, failed, unsent or unanswered */
    bool far;            /* the CPUs were, before or after */
    bool set_aside;      /* W3 */
    bool held;           /* W1 */
    const char *why_not; /* a literal; NULL if it held */
};

struct ld_sweep_step {
    double rate_per_s;
    unsigned first_run, runs; /* consecutive in ld_sweep.runs */
    unsigned judged, held, set_aside;
    bool done, holds, far; /* far: judged by far runs, for want of others */
};

enum ld_sweep_end {
    LD_SWEEP_GOES_ON,
    LD_SWEEP_FOUND,      /* bracketed as closely as asked */
    LD_SWEEP_ALL_HOLD,   /* the last rate allowed still holds */
    LD_SWEEP_NONE_HOLDS, /* not even far below the first */
    LD_SWEEP_TOO_MANY,   /* steps or runs */
};

struct ld_sweep {
    struct ld_sweep_settings settings;
    enum ld_sweep_end end;
    double holds_per_s, breaks_per_s; /* W2 */
    unsigned step_count, run_count, set_aside;
    struct ld_sweep_step steps[LD_SWEEP_STEPS_MAX];
    struct ld_sweep_run runs[LD_SWEEP_RUNS_MAX];
};

bool ld_sweep_begin(struct ld_sweep *s, const struct ld_sweep_settings *settings,
                    struct ld_problem *problem);

/* The rate to run next; 0: the sweep is over (s->end says why). */
double ld_sweep_next(struct ld_sweep *s);

/* What the run at that rate found; judges it (held, why_not, set_aside are filled here). */
void ld_sweep_add(struct ld_sweep *s, const struct ld_slo *slo, const struct ld_sweep_run *run);

/* The figures of a run that a sweep needs. */
void ld_sweep_run_of(struct ld_sweep_run *ret_run, const struct ld_slo *slo, double asked_per_s,
                     const struct ld_report *report);

/* The latency at a percentile (0 … 100) from the curve: the next measured point above. */
double ld_latency_at_us(const struct ld_latency *l, double percentile);

/* Median, least and greatest of a figure over the judged runs of a step; NAN if there are none.
 * offset is that of a double in struct ld_sweep_run. */
struct ld_spread {
    double median, least, greatest;
};
struct ld_spread ld_sweep_spread(const struct ld_sweep *s, const struct ld_sweep_step *step,
                                 size_t offset);

/* The step of the highest rate that holds; NULL if none does. */
const struct ld_sweep_step *ld_sweep_best(const struct ld_sweep *s);

/* One sentence: the result with its spread, why it ended. */
void ld_sweep_sentence(const struct ld_sweep *s, const struct ld_slo *slo, char *dst, size_t cap);

#endif
