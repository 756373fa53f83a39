/* SPDX-License-Identifier: Apache-2.0
 * The journal: an append-only log of opaque records in a data directory, recovered at open.
 *
 * Positions. Every record has a position, a number that only grows; a mark of the journal itself
 * (a start, a seal) takes one too, so positions of records have holes. "Durable position P" says:
 * everything at or below P survives a crash. 0 is before everything.
 *
 * Threads. Open and close run when no other thread knows the journal. The thread that first
 * appends, syncs or seals is the writer (asserted); no other may do so. Any thread may call the
 * functions marked [any]; they never make the writer wait, except that a writer that needs a new
 * segment waits for one being prepared. Snapshots (snapshot.h) may be written by any one thread.
 *
 * Failure is sticky. Once a write or a sync of a segment failed, nothing can be acknowledged any
 * more: every later append and sync returns that error, and no sync is tried again (the kernel may
 * have dropped the pages it could not write). Failing to create a new segment (disk full) is not
 * sticky: the append is refused, nothing was written, a later one may succeed. */
#ifndef PC_JOURNAL_JOURNAL_H
#define PC_JOURNAL_JOURNAL_H

#include "base/bytes.h"
#include "base/err.h"
#include "edge/journal/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Limits. A batch is what one append writes. */
#define PC_JOURNAL_SEGMENT_BYTES     (16u << 20) /* default */
#define PC_JOURNAL_SEGMENT_BYTES_MIN (4u << 10)
#define PC_JOURNAL_SEGMENT_BYTES_MAX (256u << 20)
#define PC_JOURNAL_RECORD_BYTES_MAX  (64u << 10)
#define PC_JOURNAL_BATCH_BYTES_MAX   (1u << 20) /* with 4 bytes for each record */
#define PC_JOURNAL_BATCH_RECORDS_MAX 16384u

struct pc_journal;
struct pc_snapshot_reader;

enum pc_recover_mode {
    PC_RECOVER_NORMAL,  /* cut a torn tail, refuse damage that could hide an acknowledged record */
    PC_RECOVER_STRICT,  /* refuse a torn tail too */
    PC_RECOVER_SALVAGE, /* keep every batch that is valid, go on without the rest */
    PC_RECOVER_MODES
};

struct pc_journal_options {
    const char *dir;               /* created (0700) if absent; its parent must exist */
    const struct pc_file_ops *ops; /* must outlive the journal; NULL = pc_file_posix() */
    uint32_t segment_bytes;        /* 0 = default; a multiple of 512 */
    enum pc_recover_mode recover;
    uint64_t incarnation; /* random, new at every start, not 0; durable when open returns */
    uint64_t new_id;      /* random, not 0: names the journal if this open creates it */
    int64_t now_ms;
    int pid; /* written into the lock file */
};

struct pc_record {
    uint64_t position;
    uint64_t incarnation; /* of the start that wrote it */
    int64_t time_ms;      /* now_ms of its append */
    struct pc_bytes bytes;
};

/* One thing recovery found and what it did about it; recovery.h lists conditions and actions. */
struct pc_finding {
    int condition;     /* enum pc_recovery_condition */
    int action;        /* enum pc_recovery_action */
    uint64_t segment;  /* 0 = none */
    uint64_t offset;   /* in that segment */
    uint64_t position; /* the first position concerned; 0 = unknown */
    char text[320];    /* for people: what, where, and what was done or is to be done */
};

/* What the caller gets while the journal opens, in this order: at most one snapshot, verified from
 * end to end before; then every record after it. A negative answer ends the open with that error
 * (why is left as the callback left it). If open fails, whatever was handed out must be thrown
 * away. */
struct pc_replay {
    void *ctx;
    int (*snapshot)(void *ctx, struct pc_snapshot_reader *snapshot);
    int (*record)(void *ctx, const struct pc_record *record);
    void (*finding)(void *ctx, const struct pc_finding *finding); /* NULL = not wanted */
};

/* What recovery ended with. */
struct pc_recovered {
    bool created;               /* the directory held no journal */
    uint64_t journal_id;        /* random name of this journal, the same for its whole life */
    uint64_t snapshot_position; /* 0 = started without a snapshot */
    uint64_t position;          /* durable: the start mark of this incarnation */
    uint64_t records;           /* handed to replay->record */
    int64_t last_time_ms;       /* of the last batch, else of the snapshot; INT64_MIN = none */
    unsigned findings;          /* 0 = clean */
};

/* Locks the directory, recovers, makes the new incarnation durable. PC_E_LOCKED: another server
 * has it (why names the directory and its pid). PC_E_DAMAGED, PC_E_VERSION: refused, why says what
 * to do. -errno: the file system refused something; why names file and operation. */
int pc_journal_open(const struct pc_journal_options *options, const struct pc_replay *replay,
                    struct pc_journal **ret_journal, struct pc_recovered *ret_recovered,
                    struct pc_why *why);
/* Does not sync: seal first. Releases the lock. NULL is allowed. */
void pc_journal_close(struct pc_journal *j);

/* Writes n > 0 records as one batch; they get the positions *ret_first … *ret_first + n - 1. They
 * are not durable before a sync. PC_E_TOO_LARGE: beyond a limit above (nothing written, not
 * sticky); -ENOSPC, … without pc_journal_failed(): no new segment could be made. */
int pc_journal_append(struct pc_journal *j, const struct pc_bytes *records, size_t n,
                      int64_t now_ms, uint64_t *ret_first);
/* Makes everything appended durable and tells the position. Free when nothing is new. */
int pc_journal_sync(struct pc_journal *j, uint64_t *ret_durable);
/* For an idle writer: syncs, then appends and syncs a mark that says how far the journal is
 * durable, so that later damage of the last batch is told from a torn write. Free when the last
 * batch is such a mark already. */
int pc_journal_seal(struct pc_journal *j, int64_t now_ms);

/* [any] Makes the next segment (written full of zeros, synced) unless it is ready. Call it after
 * open and whenever pc_journal_wants_segment(); without it the writer does it itself, within an
 * append. An error is not sticky. */
int pc_journal_prepare_next(struct pc_journal *j);
/* [any] Whether pc_journal_prepare_next() has something to do. One load. */
bool pc_journal_wants_segment(const struct pc_journal *j);

/* [any] Frees the segments that lie wholly at or below position. The caller takes the minimum of
 * what a snapshot covers and what the outbox has handed on; more than the newest durable snapshot
 * covers is never freed. ret_freed may be NULL. */
int pc_journal_retire(struct pc_journal *j, uint64_t position, unsigned *ret_freed);

/* [any] Reads whole segments: ask for many records at once, keep fresh ones in memory.
 * Calls each() for the records with after < position <= upto, in order; upto must be durable
 * and what is asked for not retired meanwhile. A non-zero answer of each() ends it and is returned;
 * PC_E_DAMAGED if the disk lost what it held; -ENOENT if some of it was retired. */
int pc_journal_read(struct pc_journal *j, uint64_t after, uint64_t upto,
                    int (*each)(void *arg, const struct pc_record *record), void *arg);

/* [any] Position of the last record appended, and known durable. */
uint64_t pc_journal_appended(const struct pc_journal *j);
uint64_t pc_journal_durable(const struct pc_journal *j);
/* [any] 0, or the sticky error. */
int pc_journal_failed(const struct pc_journal *j);

/* [any] For health and metrics. */
struct pc_journal_status {
    uint64_t appended, durable;
    uint64_t oldest;            /* first position still in a segment */
    uint64_t snapshot_position; /* newest durable snapshot; 0 = none */
    uint64_t previous_snapshot; /* the one before: keep segments back to it, as a fallback */
    uint64_t bytes_used;        /* written since the oldest segment began */
    unsigned segments;          /* in use, without the prepared one */
    bool next_ready;
    bool full;             /* the last attempt to make a segment failed */
    int failed;            /* sticky error */
    char failed_text[160]; /* "" or which operation on which file failed */
};
void pc_journal_status(struct pc_journal *j, struct pc_journal_status *ret_status);

#ifdef __cplusplus
}
#endif
#endif
