/* SPDX-License-Identifier: Apache-2.0
 * Checks audit lines: the chain of hashes, the order of positions, and, as far as the journal still
 * has them, that each line says what its records say and none is missing.
 *
 * Two passes over the same lines, oldest first: pc_audit_check_line() for each, then for each
 * record of the journal pc_audit_check_record(), which takes the lines again from `next`. So memory
 * does not grow with the files. No I/O of its own; one thread.
 *
 * What it can find: a line changed, removed, put in or moved, because the one behind it names its
 * hash; the end cut off, because the journal still has the records. What it cannot: a forger who
 * writes the whole chain anew behind a change whose records the journal no longer has. Keep the
 * hash of a line elsewhere (a log collector) against that. */
#ifndef PC_LINK_AUDIT_CHECK_H
#define PC_LINK_AUDIT_CHECK_H

#include "link/audit_line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Problems told one by one; more are only counted. */
#define PC_AUDIT_PROBLEMS_TOLD 100

struct pc_audit_place {
    const char *file;
    uint64_t line; /* from 1 */
};

struct pc_audit_given {
    struct pc_bytes text; /* without its newline */
    bool whole;           /* it had one */
    struct pc_audit_place place;
};

struct pc_audit_check {
    /* Set by the caller. */
    struct pc_audit_hash prev; /* what the first line must name; zeros unless older files are
                                  known to be elsewhere */
    bool running;              /* somebody writes: a last line without an end is no problem */
    void (*tell)(void *ctx, const struct pc_audit_place *place, const char *text);
    /* Second pass: 1 and the next line, 0 at the end, or -errno. */
    int (*next)(void *ctx, struct pc_audit_given *ret_line);
    void *ctx;

    /* Results. */
    unsigned problems, gaps;
    uint64_t lines, compared; /* lines seen; of them compared with the journal */
    uint64_t last_position;   /* of the last line */

    /* Private. */
    uint64_t base; /* lines before this one are about another journal */
    struct pc_audit_place last;
    struct pc_audit_merge *merge;
};

int pc_audit_check_begin(struct pc_audit_check *c); /* the fields above are set */
void pc_audit_check_free(struct pc_audit_check *c);
/* First pass. */
void pc_audit_check_line(struct pc_audit_check *c, const struct pc_audit_given *line);
/* Second pass: the journal's records in order. time_ms: of its batch. 0 or what next() failed with.
 */
int pc_audit_check_record(struct pc_audit_check *c, uint64_t position, int64_t time_ms,
                          struct pc_bytes record);
/* After the last record; upto: the position of the journal's end. */
int pc_audit_check_end(struct pc_audit_check *c, uint64_t upto);

#ifdef __cplusplus
}
#endif
#endif
