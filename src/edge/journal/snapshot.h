/* SPDX-License-Identifier: Apache-2.0
 * Snapshots: a checksummed container of opaque blocks that stands for all records up to a position.
 * The caller decides what sections mean.
 *
 * Writing streams to a temporary file, which is synced, renamed and the directory synced; only then
 * does the snapshot exist and are older ones removed (two are kept). A failure leaves the
 * older snapshots untouched and is not sticky. One snapshot may be written at a time, by any one
 * thread. A reader hands out blocks of a file that was verified from end to end before. */
#ifndef PC_JOURNAL_SNAPSHOT_H
#define PC_JOURNAL_SNAPSHOT_H

#include "edge/journal/journal.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_SNAPSHOT_BLOCK_BYTES_MAX (4u << 20)
#define PC_SNAPSHOTS_KEPT           2u
#define PC_SNAPSHOT_KEY_ID_BYTES    16u
/* Sections are the caller's, below this. */
#define PC_SNAPSHOT_SECTION_END 0xffffffffu

struct pc_snapshot_writer;

struct pc_snapshot_info {
    uint64_t position; /* every record at or below is contained */
    int64_t created_ms;
    uint8_t key_id[PC_SNAPSHOT_KEY_ID_BYTES]; /* the caller's: which fingerprint key it used */
    uint64_t blocks;
    uint64_t bytes; /* of the file */
};

/* position must be durable in j and not before the newest snapshot (else -EINVAL), and what the
 * caller writes must contain every record at or below it; containing later ones too is harmless
 * where applying twice is. -EBUSY while another snapshot is being written. */
int pc_snapshot_begin(struct pc_journal *j, uint64_t position,
                      const uint8_t key_id[PC_SNAPSHOT_KEY_ID_BYTES], int64_t now_ms,
                      struct pc_snapshot_writer **ret_writer, struct pc_why *why);
/* Appends one block, 1 … PC_SNAPSHOT_BLOCK_BYTES_MAX bytes (better 64 KiB than 64 B). The bytes are
 * copied. After an error only abort or commit (which returns that error) is left. */
int pc_snapshot_block(struct pc_snapshot_writer *w, uint32_t section, const void *p, size_t n);
/* Ends the writer in every case. 0: the snapshot is durable and the newest. */
int pc_snapshot_commit(struct pc_snapshot_writer *w, struct pc_why *why);
/* Ends the writer and removes what it wrote. NULL is allowed. */
void pc_snapshot_abort(struct pc_snapshot_writer *w);

/* The reader given to replay->snapshot; valid only during that call. */
const struct pc_snapshot_info *pc_snapshot_info(const struct pc_snapshot_reader *r);
/* 1 and the next block (borrowed until the next call, its start aligned to 8 bytes), or 0 after the
 * last; negative if the disk no longer gives what it gave when the file was verified. */
int pc_snapshot_next(struct pc_snapshot_reader *r, uint32_t *ret_section,
                     struct pc_bytes *ret_block);

#ifdef __cplusplus
}
#endif
#endif
