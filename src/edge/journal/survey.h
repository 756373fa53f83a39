/* SPDX-License-Identifier: Apache-2.0
 * Looks over a data directory without changing it: which journal it is, which snapshot to start
 * from, and a walk over all segments. Recovery acts on the result; the offline tool prints it. */
#ifndef PC_JOURNAL_SURVEY_H
#define PC_JOURNAL_SURVEY_H

#include "edge/journal/snapshot_file.h"
#include "edge/journal/walk.h"

struct pc_survey {
    /* Set by the caller. */
    struct pc_dir dir;
    struct pc_findings *findings;
    /* At most once, before any batch; a negative answer ends the survey. NULL = not wanted. */
    int (*snapshot)(void *arg, struct pc_snapshot_reader *snapshot);
    /* As in struct pc_walk. */
    int (*batch)(void *arg, const struct pc_batch *b, bool loose);
    void *arg;

    /* Results. */
    struct pc_dir_listing listing;
    bool empty; /* no journal here: nothing else is set */
    uint64_t journal_id;
    bool identity_valid;
    uint64_t oldest_first; /* first position of the oldest segment; 0 = unknown */
    struct pc_salvage_mark mark;
    uint64_t mark_first;        /* position of the newest salvage mark; 0 = none */
    uint64_t snapshot_position; /* the one chosen; 0 = none */
    int64_t snapshot_created_ms;
    struct pc_walk walk;
    const struct pc_walk_gap *gap; /* the unexplained tail, in walk.gaps; NULL = clean */
    enum pc_recovery_action gap_action;
};

/* 0, a callback's answer, or an error of the disk, which has been reported as a finding too. What
 * is wrong with the data is in the findings only. pc_survey_free in every case. */
int pc_survey_run(struct pc_survey *s);
void pc_survey_free(struct pc_survey *s);

#endif
