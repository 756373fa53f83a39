/* SPDX-License-Identifier: Apache-2.0
 * Walks the segments of a directory from front to back, checks every byte of them, hands out the
 * batches that belong to the log and reports what does not. Read-only; used by recovery, by reading
 * back and by the offline tool. One thread at a time; no state outside struct pc_walk. */
#ifndef PC_JOURNAL_WALK_H
#define PC_JOURNAL_WALK_H

#include "edge/journal/dir.h"
#include "edge/journal/format.h"
#include "edge/journal/recovery.h"

/* Places where the log breaks off that no later batch has explained yet: the first so many. */
#define PC_WALK_GAPS_MAX 32u

/* Where the log stands after the last batch that belongs to it. */
struct pc_walk_end {
    uint64_t expected;      /* first position of the next batch; 0 = any */
    uint64_t incarnation;   /* of the last batch; 0 = any */
    uint64_t segment;       /* of the last batch; 0 = none yet */
    uint32_t offset;        /* behind it */
    uint32_t window_offset; /* in that segment, no later batch proves durable what lies behind */
    bool sealed;            /* the last batch is a mark */
    int64_t time_ms;        /* of the last batch; INT64_MIN = none */
};

struct pc_walk_gap {
    struct pc_walk_end before; /* the end of the log if it is cut here */
    uint64_t segment;
    uint32_t offset;
    unsigned later; /* valid batches after it */
    bool stale;
};

struct pc_walk {
    /* Set by the caller before pc_walk_run. */
    struct pc_dir dir;
    uint64_t journal_id;
    uint64_t mark_segment; /* opened by the newest salvage mark; 0 = none */
    struct pc_findings *findings;
    /* Every batch in order. loose: the log has a hole before it that nobody accepted. A non-zero
     * answer ends the walk and is returned. NULL = not wanted. */
    int (*batch)(void *arg, const struct pc_batch *b, bool loose);
    void *arg;

    /* Results. */
    struct pc_walk_end end;
    uint64_t highest; /* of all positions seen or claimed durable */
    uint64_t batches;
    struct pc_walk_gap gaps[PC_WALK_GAPS_MAX]; /* still unexplained, oldest first */
    unsigned gaps_n;

    /* Private. */
    uint64_t number; /* segment being walked */
    bool loose;
    struct pc_dir_image image;
};

/* Walks the given segments (ascending numbers). 0, the batch callback's answer, or an error of the
 * disk (which has been reported as a finding). Gaps that a crash can explain stay in w->gaps; all
 * else is reported. The caller frees w->image. */
int pc_walk_run(struct pc_walk *w, const uint64_t *numbers, size_t n);

/* Reports the first gap that is left, if any, and returns it (NULL = the tail is clean). */
const struct pc_walk_gap *pc_walk_report_tail(struct pc_walk *w,
                                              enum pc_recovery_action *ret_action);

#endif
