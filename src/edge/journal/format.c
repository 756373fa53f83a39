/* SPDX-License-Identifier: Apache-2.0
 * Encoding and checking of the formats drawn in format.h. Pure; every parser here takes bytes that
 * a disk may have made up, and reads nothing outside what it is given. */
#include "edge/journal/format.h"

#include "base/crc32c.h"
#include "edge/journal/le.h"

static const uint8_t segment_magic[8] = {'P', 'C', 'S', 'E', 'G', 'M', 'N', 'T'};
static const uint8_t identity_magic[8] = {'P', 'C', 'J', 'R', 'N', 'L', 'I', 'D'};
static const uint8_t batch_magic[4] = {'P', 'C', 'B', '1'};

enum { VERSION_AT = 8, HEADER_CRC_AT = 12, HEADER_FIELDS_AT = 16 };
enum {
    B_CRC = 4,
    B_LENGTH = 8,
    B_COUNT = 12,
    B_INCARNATION = 16,
    B_FIRST = 24,
    B_DURABLE = 32,
    B_PLACE = 40,
    B_TIME = 48,
    B_FLAGS = 56,
    B_ZERO = 60
};

bool pc_all_zero(const uint8_t *p, size_t n)
{
    /* Comparing a buffer with itself shifted by one lets memcmp's wide loop do the work. */
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Checksum of a file header of n bytes without its own checksum field. */
static uint32_t header_crc(const uint8_t *p, size_t n)
{
    return pc_crc32c(pc_crc32c(0, p, HEADER_CRC_AT), p + HEADER_FIELDS_AT, n - HEADER_FIELDS_AT);
}

static void header_finish(uint8_t *p, size_t n, const uint8_t magic[8])
{
    memcpy(p, magic, 8);
    pc_le_put32(p + VERSION_AT, PC_FORMAT_VERSION);
    pc_le_put32(p + HEADER_CRC_AT, header_crc(p, n));
}

static enum pc_header_verdict header_check(struct pc_bytes s, size_t n, const uint8_t magic[8])
{
    if (s.n < n || memcmp(s.p, magic, 8) != 0 ||
        pc_le_get32(s.p + HEADER_CRC_AT) != header_crc(s.p, n))
        return PC_HEADER_DAMAGED;
    return pc_le_get32(s.p + VERSION_AT) > PC_FORMAT_VERSION ? PC_HEADER_VERSION : PC_HEADER_VALID;
}

void pc_segment_header_encode(const struct pc_segment_header *h, uint8_t sector[PC_SECTOR_BYTES])
{
    PC_ASSERT(h->journal_id != 0 && h->number != 0 && h->number <= UINT32_MAX);
    memset(sector, 0, PC_SECTOR_BYTES);
    pc_le_put64(sector + 16, h->journal_id);
    pc_le_put64(sector + 24, h->number);
    pc_le_put64(sector + 32, h->bytes);
    header_finish(sector, PC_SECTOR_BYTES, segment_magic);
}

enum pc_header_verdict pc_segment_header_parse(struct pc_bytes s, uint64_t journal_id,
                                               uint64_t number,
                                               struct pc_segment_header *ret_header)
{
    enum pc_header_verdict v = header_check(s, PC_SECTOR_BYTES, segment_magic);
    if (v != PC_HEADER_VALID)
        return v;
    struct pc_segment_header h = {pc_le_get64(s.p + 16), pc_le_get64(s.p + 24),
                                  pc_le_get64(s.p + 32)};
    if ((journal_id && h.journal_id != journal_id) || (number && h.number != number))
        return PC_HEADER_FOREIGN;
    if (h.journal_id == 0 || h.number == 0 || h.bytes < PC_SECTOR_BYTES)
        return PC_HEADER_DAMAGED;
    *ret_header = h;
    return PC_HEADER_VALID;
}

void pc_identity_encode(uint64_t journal_id, int64_t created_ms, uint8_t out[PC_IDENTITY_BYTES])
{
    memset(out, 0, PC_IDENTITY_BYTES);
    pc_le_put64(out + 16, journal_id);
    pc_le_put64(out + 24, (uint64_t)created_ms);
    header_finish(out, PC_IDENTITY_BYTES, identity_magic);
}

enum pc_header_verdict pc_identity_parse(struct pc_bytes s, uint64_t *ret_journal_id)
{
    enum pc_header_verdict v = header_check(s, PC_IDENTITY_BYTES, identity_magic);
    if (v == PC_HEADER_VALID)
        *ret_journal_id = pc_le_get64(s.p + 16);
    return v;
}

static uint32_t batch_crc(const uint8_t *p, uint32_t padded, uint64_t journal_id)
{
    uint8_t id[8];
    pc_le_put64(id, journal_id);
    uint32_t crc = pc_crc32c(pc_crc32c(0, id, sizeof id), p, B_CRC);
    return pc_crc32c(crc, p + B_LENGTH, padded - B_LENGTH);
}

void pc_batch_finish(const struct pc_batch *b, uint64_t journal_id, uint8_t *dst)
{
    uint32_t length = (uint32_t)b->records.n, padded = pc_batch_padded(length);
    PC_ASSERT(b->records.n <= PC_JOURNAL_BATCH_BYTES_MAX);
    PC_ASSERT(b->first > b->durable && b->offset % PC_SECTOR_BYTES == 0);
    memcpy(dst, batch_magic, sizeof batch_magic);
    pc_le_put32(dst + B_LENGTH, length);
    pc_le_put32(dst + B_COUNT, b->count);
    pc_le_put64(dst + B_INCARNATION, b->incarnation);
    pc_le_put64(dst + B_FIRST, b->first);
    pc_le_put64(dst + B_DURABLE, b->durable);
    pc_le_put64(dst + B_PLACE, b->segment << 32 | b->offset);
    pc_le_put64(dst + B_TIME, (uint64_t)b->time_ms);
    pc_le_put32(dst + B_FLAGS, b->flags);
    pc_le_put32(dst + B_ZERO, 0);
    memset(dst + PC_BATCH_HEADER + length, 0, padded - PC_BATCH_HEADER - length);
    pc_le_put32(dst + B_CRC, batch_crc(dst, padded, journal_id));
}

/* Length prefixes add up to exactly count records. */
static bool records_fit(struct pc_bytes records, uint32_t count)
{
    struct pc_bytes record;
    for (uint32_t i = 0; i < count; i++) {
        if (records.n < 4 || pc_le_get32(records.p) > records.n - 4)
            return false;
        pc_batch_next_record(&records, &record);
    }
    return records.n == 0;
}

/* What a checksum cannot say: fields that no version of the writer would have written. */
static bool batch_sane(const struct pc_batch *b)
{
    const uint32_t known = PC_BATCH_SEAL | PC_BATCH_START | PC_BATCH_SALVAGE;
    if (b->flags & ~known || b->first <= b->durable ||
        b->first > UINT64_MAX - PC_JOURNAL_BATCH_RECORDS_MAX || b->incarnation == 0)
        return false;
    if (b->flags == 0)
        return b->count > 0 && b->count <= PC_JOURNAL_BATCH_RECORDS_MAX &&
               records_fit(b->records, b->count);
    return b->count == 0 && b->records.n == (b->flags & PC_BATCH_SALVAGE ? PC_SALVAGE_BYTES : 0);
}

enum pc_batch_verdict pc_batch_parse(struct pc_bytes segment, uint32_t offset, uint64_t number,
                                     uint64_t journal_id, struct pc_batch *ret_batch)
{
    if (offset > segment.n)
        return PC_BATCH_DAMAGED;
    return pc_batch_parse_at(pc_bytes_of(segment.p + offset, segment.n - offset), offset, number,
                             journal_id, ret_batch);
}

enum pc_batch_verdict pc_batch_parse_at(struct pc_bytes from_offset, uint32_t offset,
                                        uint64_t number, uint64_t journal_id,
                                        struct pc_batch *ret_batch)
{
    const uint8_t *p = from_offset.p;
    PC_ASSERT(offset % PC_SECTOR_BYTES == 0);
    if (from_offset.n < PC_SECTOR_BYTES)
        return PC_BATCH_DAMAGED;
    if (memcmp(p, batch_magic, sizeof batch_magic) != 0)
        return PC_BATCH_DAMAGED;
    uint32_t length = pc_le_get32(p + B_LENGTH);
    if (length > PC_JOURNAL_BATCH_BYTES_MAX || pc_batch_padded(length) > from_offset.n)
        return PC_BATCH_DAMAGED;
    if (pc_le_get32(p + B_CRC) != batch_crc(p, pc_batch_padded(length), journal_id) ||
        pc_le_get32(p + B_ZERO) != 0)
        return PC_BATCH_DAMAGED;
    if (pc_le_get64(p + B_PLACE) != (number << 32 | offset))
        return PC_BATCH_STALE;
    struct pc_batch b = {
        .incarnation = pc_le_get64(p + B_INCARNATION),
        .first = pc_le_get64(p + B_FIRST),
        .durable = pc_le_get64(p + B_DURABLE),
        .time_ms = (int64_t)pc_le_get64(p + B_TIME),
        .segment = number,
        .offset = offset,
        .count = pc_le_get32(p + B_COUNT),
        .flags = pc_le_get32(p + B_FLAGS),
        .padded = pc_batch_padded(length),
        .records = {p + PC_BATCH_HEADER, length},
    };
    if (!batch_sane(&b))
        return PC_BATCH_DAMAGED;
    *ret_batch = b;
    return PC_BATCH_VALID;
}

bool pc_batch_next_record(struct pc_bytes *rest, struct pc_bytes *ret_record)
{
    if (rest->n < 4)
        return false;
    uint32_t n = pc_le_get32(rest->p);
    PC_ASSERT(n <= rest->n - 4);
    *ret_record = pc_bytes_of(rest->p + 4, n);
    *rest = pc_bytes_of(rest->p + 4 + n, rest->n - 4 - n);
    return true;
}

void pc_salvage_mark_encode(const struct pc_salvage_mark *m, uint8_t out[PC_SALVAGE_BYTES])
{
    pc_le_put64(out, m->snapshot_position);
    pc_le_put64(out + 8, m->oldest_segment);
}

struct pc_salvage_mark pc_salvage_mark_of(const struct pc_batch *b)
{
    PC_ASSERT(b->flags & PC_BATCH_SALVAGE && b->records.n == PC_SALVAGE_BYTES);
    return (struct pc_salvage_mark){pc_le_get64(b->records.p), pc_le_get64(b->records.p + 8)};
}
