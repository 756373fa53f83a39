/* SPDX-License-Identifier: Apache-2.0
 * What journal.c, open.c and snapshot.c share: the open journal. Not for others.
 *
 * I1  The log is written by one thread; a batch is written behind the last one, never over it.
 * I2  A segment is begun only when everything in the one before it is synced, to its last byte.
 * I3  durable <= appended, both only grow, and durable never passes what a sync that succeeded has
 *     covered.
 * I4  Once failed is set it never changes, and neither position moves any more.
 * I5  The oldest segment left always holds a durable batch, so that a start finds its position.
 * I6  A file gets its name as a segment only when it is full of zeros behind its header and synced.
 */
#ifndef PC_JOURNAL_PRIVATE_H
#define PC_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "edge/journal/dir.h"
#include "edge/journal/format.h"

/* Positions given up after a salvage, so that none of a lost record is given out again. */
#define PC_SALVAGE_JUMP (1ull << 32)

struct pc_segment_entry {
    uint64_t number, first, last; /* 0 while nothing is known to be in it */
    bool going;                   /* being removed: no longer to be read */
};

struct pc_journal {
    /* Constant after open. */
    struct pc_dir dir;
    char *path;
    int lock_fd;
    uint64_t id, incarnation;
    uint32_t segment_bytes;
    uint64_t mark_segment;

    /* The writer's alone. */
    pthread_t writer;
    bool writer_known;
    int fd; /* of the segment appended to */
    uint64_t number;
    uint32_t offset, end; /* in it: of the next batch, of the file */
    bool sealed;          /* the last batch is a mark */
    uint8_t *buffer;      /* one batch */
    uint32_t buffer_bytes;

    /* Written by the writer, read by anyone. */
    _Atomic uint64_t appended, durable;
    char failed_text[160]; /* set before failed */
    _Atomic int failed;

    /* Under prepare_lock: the next segment. next_ready is a hint for anyone. */
    pthread_mutex_t prepare_lock;
    int next_fd; /* -1 = not made */
    uint64_t next_number;
    atomic_bool next_ready, full;

    /* Under table_lock. The last entry is the segment appended to; its `last` is not kept. */
    pthread_mutex_t table_lock;
    struct pc_segment_entry *entries;
    size_t entries_n, entries_cap;
    uint64_t snapshot_newest, snapshot_previous;

    /* One retire, one snapshot at a time. */
    pthread_mutex_t retire_lock;
    atomic_bool snapshotting;
};

/* Makes a segment file: zeros, synced, under its name, directory synced. Returns its descriptor. */
int pc_journal_make_segment(struct pc_journal *j, uint64_t number);
/* Adds a segment to the table; what it appends to if it is the last. */
int pc_journal_add_entry(struct pc_journal *j, const struct pc_segment_entry *e);
/* Goes on in segment `number`, open as fd, at offset. */
void pc_journal_use_segment(struct pc_journal *j, int fd, uint64_t number, uint32_t offset,
                            uint32_t end);
/* Appends a mark (n bytes of payload, given by SALVAGE only) and syncs it. */
int pc_journal_mark(struct pc_journal *j, uint32_t flags, const void *payload, size_t n,
                    int64_t now_ms);
/* A snapshot is durable: it becomes the newest. */
void pc_journal_snapshot_done(struct pc_journal *j, uint64_t position);

#endif
