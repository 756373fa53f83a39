/* SPDX-License-Identifier: Apache-2.0
 * The audit: derives <data_dir>/audit.jsonl from the journal's durable records. Format of the
 * lines: link/audit_line.h. The writer runs it on a thread of its own (background.c).
 *
 * The file is derived, so nobody waits for it: a disk that takes no more of it stops neither
 * decisions nor mutations. But the journal keeps what the audit has not passed, so that nothing is
 * lost, until outbox_max_bytes ends mutations.
 *
 * A1  A line is written only when its records are durable, and behind the line before it.
 * A2  pc_audit_synced() is a position up to which every record's line is durable; it only grows
 *     while the server runs. Segments beyond pc_audit_named() are not retired: marks of the journal
 *     take positions but have no lines, so this is all that a start can learn from the file, and
 *     what lies between would look lost to it.
 * A3  Whatever fails, the file is taken back to what is known durable and derived again from there,
 *     so a failed sync or a torn write leaves no line twice, and no half line before another.
 * A4  At a start the chain of hashes tells how far the file is whole. What a crash left behind that
 *     is cut; its records are still in the journal (A2). Damage of older lines, whose records are
 *     gone, is reported and left as it is.
 *
 * Files: audit.jsonl. Beyond audit.file_bytes it becomes audit.<position of its first line, 20
 * digits>.jsonl (or the next higher number, so that names ascend) and the chain goes on in a new
 * one. Files under such names are complete and durable and may be moved away.
 *
 * One thread at a time calls everything but what is marked [any]. */
#ifndef PC_WRITER_AUDIT_H
#define PC_WRITER_AUDIT_H

#include "edge/journal/journal.h"

#define PC_AUDIT_FILE_BYTES   (256u << 20) /* default of audit.file_bytes */
#define PC_AUDIT_RETRY_MS     1000         /* after a failure */
#define PC_AUDIT_SYNC_MS      1000         /* a written line waits so long for its sync at most */
#define PC_AUDIT_BUFFER_BYTES (1u << 20)   /* what one write and one call of pc_audit_work() take */

struct pc_audit;

struct pc_audit_options {
    struct pc_journal *journal;
    uint64_t start_position; /* of this start's mark: no record of an earlier one is beyond it */
    const char *data_dir;
    const struct pc_file_ops *files; /* NULL = the real ones */
    uint64_t file_bytes;             /* 0 = default */
    uint64_t node;
};

struct pc_audit_status {
    uint64_t position; /* everything up to here has its line */
    uint64_t synced;   /* A2 */
    uint64_t behind;   /* durable positions beyond it */
    uint64_t lines;    /* written since the start */
    uint64_t failures;
    bool failing;
    char why[256]; /* "" or what failed last */
};

int pc_audit_new(const struct pc_audit_options *o, struct pc_audit **ret_a);
/* Nothing is written or synced. NULL is allowed. */
void pc_audit_free(struct pc_audit *a);

/* One step: opens the files, derives what is durable, writes, syncs what is due (`sync`: all of
 * it). Returns in how many nanoseconds it has something to do by itself: 0 = at once, there is
 * more; INT64_MAX = when more has become durable. */
int64_t pc_audit_work(struct pc_audit *a, int64_t now_ns, int64_t wall_ms, bool sync);

/* [any] */
uint64_t pc_audit_synced(const struct pc_audit *a);
/* The last position that a durable line names, at most pc_audit_synced(): what may be retired. */
uint64_t pc_audit_named(const struct pc_audit *a);
void pc_audit_status(struct pc_audit *a, struct pc_audit_status *ret_status);

#endif
