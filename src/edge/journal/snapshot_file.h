/* SPDX-License-Identifier: Apache-2.0
 * The snapshot file: its format and its verifying reader. This header owns the format.
 *
 * All numbers little-endian, every checksum a CRC-32C, every block at a multiple of 8.
 *
 *     0   8  magic "PCSNAPSH"            these three fields keep their place in every version
 *     8   4  format version
 *     12  4  checksum of the other 60 bytes
 *     16  8  journal id
 *     24  8  position covered; the file's name repeats it
 *     32  8  created, milliseconds since the Unix epoch
 *     40 16  the caller's key id
 *     56  8  zero
 *
 *     then blocks:
 *     0   4  section
 *     4   4  length of the bytes
 *     8   4  number of the block, from 0 (low 32 bits)
 *     12  4  checksum of the 12 bytes before, the bytes, and the padding
 *     16     the bytes, padded with zeros to a multiple of 8
 *
 *     and at the end of the file one block of section 0xffffffff, not counted, whose bytes are
 *     0   8  count of blocks
 *     8   8  position covered
 *     16  4  checksum of all blocks' checksums in order
 *     20  4  zero
 *
 * So a block that is missing, doubled, moved or from another snapshot does not verify, nor does a
 * file cut short or with something appended. */
#ifndef PC_JOURNAL_SNAPSHOT_FILE_H
#define PC_JOURNAL_SNAPSHOT_FILE_H

#include "edge/journal/dir.h"
#include "edge/journal/format.h"
#include "edge/journal/snapshot.h"

#define PC_SNAPSHOT_HEADER       64u
#define PC_SNAPSHOT_BLOCK_HEADER 16u
#define PC_SNAPSHOT_TRAILER      24u
#define PC_SNAPSHOT_PADDED(n)    (((n) + 7u) & ~(size_t)7u)

void pc_snapshot_header_encode(const struct pc_snapshot_info *info, uint64_t journal_id,
                               uint8_t out[PC_SNAPSHOT_HEADER]);
/* Sets position, created_ms and key_id of *ret_info for PC_HEADER_VALID. */
enum pc_header_verdict pc_snapshot_header_parse(struct pc_bytes s, uint64_t journal_id,
                                                struct pc_snapshot_info *ret_info);
void pc_snapshot_block_encode(uint32_t section, uint64_t index, struct pc_bytes bytes,
                              uint8_t out[PC_SNAPSHOT_BLOCK_HEADER]);

/* Opens and verifies the whole file. A verdict, or an -errno of the disk; *ret_reader is set for
 * PC_HEADER_VALID only and stands before the first block. */
int pc_snapshot_reader_open(const struct pc_dir *d, uint64_t journal_id, uint64_t position,
                            struct pc_snapshot_reader **ret_reader);
void pc_snapshot_reader_close(struct pc_snapshot_reader *r);

#endif
