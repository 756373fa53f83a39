/* SPDX-License-Identifier: Apache-2.0
 * Follows the journal while it is being written: its batches in order, from a position up to the
 * durable one, each read from its file once. What is derived from the journal after the fact (the
 * audit, the outbox) is derived through this.
 *
 * The reader knows nothing of what records mean. It reads files only: what the writer has made
 * durable was written before, so no lock is shared with it beyond a look at the table of segments.
 *
 * T1  Every record with after < position <= durable is handed out exactly once, in order, whole
 *     batches at a time, none beyond the durable position.
 * T2  pc_tail_position() only grows; everything up to it was handed out, or is a mark of the
 *     journal itself, or was lost in damage that an operator has accepted (salvage).
 * T3  The reader holds nothing back: who needs segments kept tells pc_journal_retire() so.
 *
 * One thread per reader; any number of readers. The journal must outlive it. */
#ifndef PC_JOURNAL_TAIL_H
#define PC_JOURNAL_TAIL_H

#include "edge/journal/journal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is read at once; a batch always fits. */
#define PC_TAIL_BUFFER_BYTES (PC_JOURNAL_BATCH_BYTES_MAX + (256u << 10))

struct pc_tail;

/* What one append wrote. */
struct pc_tail_batch {
    uint64_t first, last; /* positions of its records, without a hole */
    uint64_t incarnation; /* of the start that wrote it */
    int64_t time_ms;      /* now_ms of its append */
    struct pc_bytes rest; /* taken by pc_tail_record(); valid until the next pc_tail_next() */
    uint64_t next;        /* position of the next record in rest */
};

/* A reader behind position `after` (0 = from the beginning). */
int pc_tail_open(struct pc_journal *j, uint64_t after, struct pc_tail **ret_tail);
void pc_tail_close(struct pc_tail *t);
/* Goes to another position, forward or back. */
void pc_tail_seek(struct pc_tail *t, uint64_t after);

/* 1: the next batch that holds records behind the position (of the first one after a seek only
 * those behind it). 0: nothing more is durable yet. -ENOENT: the record behind the position was
 * retired; pc_tail_oldest() tells where the journal begins now. PC_E_DAMAGED: the disk lost what it
 * held. -errno: it cannot be read. After an error the position is what it was: call again. */
int pc_tail_next(struct pc_tail *t, struct pc_tail_batch *ret_batch);
/* Takes the next record of a batch; false after the last. */
bool pc_tail_record(struct pc_tail_batch *batch, struct pc_record *ret_record);

/* Everything up to here has been handed out (T2). */
uint64_t pc_tail_position(const struct pc_tail *t);
/* The first position that is still in a segment. */
uint64_t pc_tail_oldest(const struct pc_tail *t);

#ifdef __cplusplus
}
#endif
#endif
