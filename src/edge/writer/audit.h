/* SPDX-License-Identifier: Apache-2.0
 * The audit: derives <data_dir>/audit.jsonl from the journal's durable records, on a thread of its
 * own. Format of the lines: link/audit_line.h.
 *
 * The file is derived, so nobody waits for it: a disk that takes no more of it stops neither
 * decisions nor mutations. But the journal keeps what the audit has not passed, so that nothing is
 * lost, until outbox_max_bytes ends mutations.
 *
 * A1  A line is written only when its records are durable, and after the line before it.
 * A2  pc_audit_synced() is a position up to which every record's line is durable in the file; it
 *     only grows while the server runs. Segments beyond it are not retired.
 * A3  Whatever fails, the file is taken back to what is known durable and derived again from there;
 *     so a failed sync or a torn write never leaves a line twice, or half a line before another.
 * A4  After a crash the last whole line says where to go on; a torn one is cut.
 *
 * Files: audit.jsonl, and behind audit.file_bytes it becomes audit.<position of its first line, 20
 * digits>.jsonl; the chain of hashes goes on in the next one. Older files may be moved away.
 *
 * The thread that runs it (or a simulation's) calls everything but what is marked [any]. */
#ifndef PC_WRITER_AUDIT_H
#define PC_WRITER_AUDIT_H

#include "base/metrics.h"
#include "edge/journal/journal.h"
#include "edge/journal/tail.h"

#define PC_AUDIT_FILE         "audit.jsonl"
#define PC_AUDIT_FILE_BYTES   (256u << 20) /* default of audit.file_bytes */
#define PC_AUDIT_RETRY_MS     1000         /* after a failure */
#define PC_AUDIT_SYNC_MS      1000         /* the longest a written line waits for its sync */
#define PC_AUDIT_BUFFER_BYTES (1u << 20)   /* lines of this size go out in one write */
#define PC_AUDIT_NAME_BYTES   40

struct pc_audit;

struct pc_audit_options {
    struct pc_journal *journal;
    const char *data_dir;
    const struct pc_file_ops *files; /* NULL = the real ones */
    uint64_t file_bytes;             /* a new file beyond this */
    uint64_t node;
    struct pc_metrics_block *metrics; /* written by the audit's thread alone */
};

struct pc_audit_status {
    uint64_t position; /* of the last line written */
    uint64_t synced;   /* A2 */
    uint64_t behind;   /* durable positions that have no line yet */
    uint64_t lines;    /* since the start */
    bool failing;
    char why[256]; /* "" or what failed last */
};

int pc_audit_new(const struct pc_audit_options *o, struct pc_audit **ret_a, struct pc_why *why);
void pc_audit_free(struct pc_audit *a);

/* One step: opens the file if it is not open, derives what is durable, writes, syncs what is due.
 * Returns the nanoseconds until it has something to do by itself (0: at once, more is there;
 * INT64_MAX: nothing until somebody makes more durable). `sync_now`: what is written is synced
 * before it returns. */
int64_t pc_audit_work(struct pc_audit *a, int64_t now_ns, bool sync_now);

/* [any] */
uint64_t pc_audit_synced(const struct pc_audit *a);
void pc_audit_status(struct pc_audit *a, struct pc_audit_status *ret_status);

#endif
