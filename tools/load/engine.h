/* SPDX-License-Identifier: Apache-2.0
 * The generator threads of a run as the main thread sees them: started, connected, released
 * together, their counts collected once per interval, joined. Main thread only.
 *
 *     open ─► (connected, waiting) ─► start ─► collect … ─► finish ─► close */
#ifndef LD_ENGINE_H
#define LD_ENGINE_H

#include "load/loop.h"
#include "load/report.h"

struct ld_engine;

struct ld_engine_setup {
    struct ld_loop_plan plan;
    unsigned threads, connections;
    uint64_t seed;
    const unsigned *cpus; /* cpu_count 0: not pinned */
    unsigned cpu_count;
    atomic_bool *stop; /* set by whoever wants the run to end early */
};

/* Of the whole run, warm-up and drain included. */
struct ld_engine_totals {
    uint64_t answered, wrong, wrong_allows;
};

/* Returns with all connections made. NULL: problem. */
struct ld_engine *ld_engine_open(const struct ld_engine_setup *, struct ld_problem *);
/* The warm-up begins now on all threads; measuring at measure_start_ns. */
void ld_engine_start(struct ld_engine *, int64_t measure_start_ns);
/* Adds one interval of every thread to *into, if all have one ready. */
bool ld_engine_collect(struct ld_engine *, struct ld_tally *into);
bool ld_engine_ended(struct ld_engine *); /* all threads are past their drain */
/* Joins. *into gets what was left of the measured part, *drain what came after. false: problem. */
bool ld_engine_finish(struct ld_engine *, struct ld_tally *into, struct ld_tally *drain,
                      struct ld_problem *);
/* After finish. */
struct ld_engine_totals ld_engine_totals(const struct ld_engine *);
bool ld_engine_interrupted(const struct ld_engine *);
/* The texts go to the caller. */
void ld_engine_take_whys(struct ld_engine *, char *whys[LD_WHYS_MAX]);
void ld_engine_close(struct ld_engine *);

#endif
