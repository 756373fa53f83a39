/* SPDX-License-Identifier: Apache-2.0
 * The bytes of segments and of the identity file: encoding and checking. This header owns the
 * format. Pure: no I/O, no allocation; any thread.
 *
 * A data directory holds
 *
 *     lock                             held by the server; contains its pid
 *     journal.id                       identity: which journal this is
 *     segment-0000000001 …             the log, in files numbered without a hole
 *     segment.new, snapshot.new        being made; removed at open
 *     snapshot-00000000000000000042 …  named by the position covered (snapshot_file.h)
 *
 * All numbers are little-endian. Every checksum is a CRC-32C.
 *
 * Segment: a header sector, then batches, each at a multiple of 512, then zeros to the end. A file
 * gets its name only when it is complete, full of zeros and synced, so a header is never torn: a
 * bad one is damage. It is written before the segment's first position is known; that stands in the
 * segment's first batch.
 *
 *     0   8  magic "PCSEGMNT"            these three fields keep their place in every version,
 *     8   4  format version              so that a newer one is told from a damaged one
 *     12  4  checksum of the other 508 bytes
 *     16  8  journal id
 *     24  8  segment number
 *     32  8  size of the file in bytes
 *     40     zeros up to 512
 *
 * Batch: what one append wrote, padded with zeros to a multiple of 512, so that a later append
 * never rewrites a sector that holds acknowledged records.
 *
 *     0   4  magic "PCB1"
 *     4   4  checksum of the journal id and of all other bytes with the padding
 *     8   4  length of the records in bytes, their prefixes included
 *     12  4  count of records
 *     16  8  incarnation that wrote it
 *     24  8  first position; a batch takes max(count, 1) positions
 *     32  8  durable position known before it was written; less than the first position
 *     40  8  place: segment number << 32 | offset of this batch in the file
 *     48  8  time, milliseconds since the Unix epoch
 *     56  4  flags
 *     60  4  zero
 *     64     count times: length (4), bytes; then padding
 *
 * A batch is valid where it stands if magic, bounds, checksum, place and structure agree; it
 * belongs to the log if its first position is the one after the batch before. So bytes that a disk
 * kept from an earlier segment, or a batch copied elsewhere, never count. The journal id, which
 * never leaves the directory, keys the checksum: no text inside a record can pass for a batch.
 *
 * A mark is a batch without records. SEAL says how far the journal is durable while it is idle.
 * START is the first batch of an incarnation, durable before anything else of it. START|SALVAGE
 * opens a segment after damage that an operator accepted: what is broken before it stops no later
 * start. Its 16 bytes say what that start had: position of its snapshot (or 0), number of its
 * oldest segment.
 *
 * Identity file (journal.id), written once, after the first START is durable: so a directory that
 * has it but no segments has lost them.
 *
 *     0   8  magic "PCJRNLID"
 *     8   4  format version
 *     12  4  checksum of the other 60 bytes
 *     16  8  journal id
 *     24  8  created, milliseconds since the Unix epoch
 *     32     zeros up to 64
 */
#ifndef PC_JOURNAL_FORMAT_H
#define PC_JOURNAL_FORMAT_H

#include "base/bytes.h"
#include "edge/journal/journal.h"

#define PC_FORMAT_VERSION 1u
#define PC_SECTOR_BYTES   512u
#define PC_BATCH_HEADER   64u
#define PC_IDENTITY_BYTES 64u
#define PC_SALVAGE_BYTES  16u
/* The largest batch with header and padding. */
#define PC_BATCH_PADDED_MAX                                                                        \
    ((PC_BATCH_HEADER + PC_JOURNAL_BATCH_BYTES_MAX + PC_SECTOR_BYTES - 1) & ~(PC_SECTOR_BYTES - 1))

enum pc_batch_flags { PC_BATCH_SEAL = 1, PC_BATCH_START = 2, PC_BATCH_SALVAGE = 4 };

struct pc_batch {
    uint64_t incarnation, first, durable;
    int64_t time_ms;
    uint64_t segment;
    uint32_t offset;
    uint32_t count, flags;
    uint32_t padded;         /* bytes it takes in the file */
    struct pc_bytes records; /* length-prefixed; borrowed */
};

/* Position of the last thing in it. */
static inline uint64_t pc_batch_last(const struct pc_batch *b)
{
    return b->first + (b->count ? b->count - 1 : 0);
}

/* What stands at an offset of a segment. */
enum pc_batch_verdict {
    PC_BATCH_VALID,
    PC_BATCH_DAMAGED, /* zeros too */
    PC_BATCH_STALE,   /* whole, but it was written for another place */
};

enum pc_header_verdict {
    PC_HEADER_VALID,
    PC_HEADER_DAMAGED,
    PC_HEADER_VERSION, /* whole, but newer than this program */
    PC_HEADER_FOREIGN, /* of another journal, or another segment's */
};

struct pc_segment_header {
    uint64_t journal_id, number, bytes;
};

void pc_segment_header_encode(const struct pc_segment_header *h, uint8_t sector[PC_SECTOR_BYTES]);
/* *ret_header is set for PC_HEADER_VALID only. n < PC_SECTOR_BYTES is damage. journal_id 0 or
 * number 0: any. */
enum pc_header_verdict pc_segment_header_parse(struct pc_bytes s, uint64_t journal_id,
                                               uint64_t number,
                                               struct pc_segment_header *ret_header);

void pc_identity_encode(uint64_t journal_id, int64_t created_ms, uint8_t out[PC_IDENTITY_BYTES]);
enum pc_header_verdict pc_identity_parse(struct pc_bytes s, uint64_t *ret_journal_id);

/* Bytes a batch with so many bytes of records takes. */
static inline uint32_t pc_batch_padded(uint32_t length)
{
    return (PC_BATCH_HEADER + length + PC_SECTOR_BYTES - 1) & ~(PC_SECTOR_BYTES - 1);
}

/* Completes a batch in place: dst holds b->records.n bytes of records from PC_BATCH_HEADER on and
 * pc_batch_padded(b->records.n) bytes of room; the rest comes from b (its records.p is not read).
 * Header, padding and checksum are written. */
void pc_batch_finish(const struct pc_batch *b, uint64_t journal_id, uint8_t *dst);
/* Judges the batch at offset (a multiple of 512) of a segment's bytes. *ret_batch is set for
 * PC_BATCH_VALID only. */
enum pc_batch_verdict pc_batch_parse(struct pc_bytes segment, uint32_t offset, uint64_t number,
                                     uint64_t journal_id, struct pc_batch *ret_batch);
/* The same where only the bytes from offset on are at hand. */
enum pc_batch_verdict pc_batch_parse_at(struct pc_bytes from_offset, uint32_t offset,
                                        uint64_t number, uint64_t journal_id,
                                        struct pc_batch *ret_batch);
/* Takes the next record off *rest; false after the last. Only for records of a valid batch. */
bool pc_batch_next_record(struct pc_bytes *rest, struct pc_bytes *ret_record);

/* The payload of a START|SALVAGE mark. */
struct pc_salvage_mark {
    uint64_t snapshot_position, oldest_segment;
};
void pc_salvage_mark_encode(const struct pc_salvage_mark *m, uint8_t out[PC_SALVAGE_BYTES]);
struct pc_salvage_mark pc_salvage_mark_of(const struct pc_batch *b);

/* Whether all n bytes are zero. */
bool pc_all_zero(const uint8_t *p, size_t n);

#endif
