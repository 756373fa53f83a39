/* SPDX-License-Identifier: Apache-2.0
 * The bytes on disk: they are what format.h draws, and what is not that is told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "edge/journal/format.h"
#include "edge/journal/le.h"

#define ID     0x1122334455667788ull
#define OFFSET 1024u

static uint8_t segment[8192];

/* A batch of the records "ab", "" and "cde" at OFFSET of segment 3. */
static struct pc_batch put_batch(void)
{
    static const uint8_t records[] = {2, 0, 0, 0, 'a', 'b', 0, 0, 0, 0, 3, 0, 0, 0, 'c', 'd', 'e'};
    struct pc_batch b = {
        .incarnation = 0xabc,
        .first = 41,
        .durable = 40,
        .time_ms = 1700000000123,
        .segment = 3,
        .offset = OFFSET,
        .count = 3,
        .records = {NULL, sizeof records}
    };
    memset(segment, 0, sizeof segment);
    memcpy(segment + OFFSET + PC_BATCH_HEADER, records, sizeof records);
    pc_batch_finish(&b, ID, segment + OFFSET);
    return b;
}

static enum pc_batch_verdict parse_at(uint32_t offset, uint64_t number, uint64_t id,
                                      struct pc_batch *ret)
{
    return pc_batch_parse(pc_bytes_of(segment, sizeof segment), offset, number, id, ret);
}

static void a_batch_comes_back(void **state)
{
    (void)state;
    struct pc_batch b;
    struct pc_bytes record;
    put_batch();
    assert_int_equal(parse_at(OFFSET, 3, ID, &b), PC_BATCH_VALID);
    assert_int_equal(b.incarnation, 0xabc);
    assert_int_equal(b.first, 41);
    assert_int_equal(pc_batch_last(&b), 43);
    assert_int_equal(b.durable, 40);
    assert_int_equal(b.time_ms, 1700000000123);
    assert_int_equal(b.padded, 512);
    assert_true(pc_batch_next_record(&b.records, &record) && pc_bytes_eq_str(record, "ab"));
    assert_true(pc_batch_next_record(&b.records, &record) && pc_bytes_eq_str(record, ""));
    assert_true(pc_batch_next_record(&b.records, &record) && pc_bytes_eq_str(record, "cde"));
    assert_false(pc_batch_next_record(&b.records, &record));
}

/* Files outlive programs: if this fails, the version must grow. */
static void the_layout_is_the_documented_one(void **state)
{
    (void)state;
    const uint8_t *p = segment + OFFSET;
    put_batch();
    assert_memory_equal(p, "PCB1", 4);
    assert_int_equal(pc_le_get32(p + 8), 17);
    assert_int_equal(pc_le_get32(p + 12), 3);
    assert_int_equal(pc_le_get64(p + 16), 0xabc);
    assert_int_equal(pc_le_get64(p + 24), 41);
    assert_int_equal(pc_le_get64(p + 32), 40);
    assert_int_equal(pc_le_get64(p + 40), 3ull << 32 | OFFSET);
    assert_int_equal(pc_le_get64(p + 48), 1700000000123);
    assert_int_equal(pc_le_get64(p + 56), 0);
    uint8_t id[8];
    pc_le_put64(id, ID);
    uint32_t crc = pc_crc32c(pc_crc32c(pc_crc32c(0, id, 8), p, 4), p + 8, 504);
    assert_int_equal(pc_le_get32(p + 4), crc);

    uint8_t sector[PC_SECTOR_BYTES];
    struct pc_segment_header h = {ID, 3, 8192};
    pc_segment_header_encode(&h, sector);
    assert_memory_equal(sector, "PCSEGMNT\1\0\0\0", 12);
    assert_int_equal(pc_le_get64(sector + 16), ID);
    assert_int_equal(pc_le_get64(sector + 24), 3);
    assert_int_equal(pc_le_get64(sector + 32), 8192);
    assert_int_equal(pc_le_get32(sector + 12),
                     pc_crc32c(pc_crc32c(0, sector, 12), sector + 16, 496));
}

static void every_bit_of_a_batch_is_covered(void **state)
{
    (void)state;
    struct pc_batch b;
    put_batch();
    for (uint32_t bit = 0; bit < 512 * 8; bit++) {
        segment[OFFSET + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(parse_at(OFFSET, 3, ID, &b), PC_BATCH_VALID);
        segment[OFFSET + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(parse_at(OFFSET, 3, ID, &b), PC_BATCH_VALID);
}

static void a_batch_counts_only_where_it_was_written(void **state)
{
    (void)state;
    struct pc_batch b;
    put_batch();
    assert_int_equal(parse_at(OFFSET, 4, ID, &b), PC_BATCH_STALE);
    assert_int_equal(parse_at(OFFSET, 3, ID + 1, &b), PC_BATCH_DAMAGED);
    memcpy(segment + 4096, segment + OFFSET, 512);
    assert_int_equal(parse_at(4096, 3, ID, &b), PC_BATCH_STALE);
    assert_int_equal(parse_at(0, 3, ID, &b), PC_BATCH_DAMAGED);
    assert_int_equal(parse_at(sizeof segment, 3, ID, &b), PC_BATCH_DAMAGED);
}

/* Refinishes the batch after a field was changed, so that the checksum is right. */
static void fix_crc(uint32_t padded)
{
    uint8_t id[8], *p = segment + OFFSET;
    pc_le_put64(id, ID);
    pc_le_put32(p + 4, pc_crc32c(pc_crc32c(pc_crc32c(0, id, 8), p, 4), p + 8, padded - 8));
}

static void fields_no_writer_would_write_are_damage_whatever_the_checksum(void **state)
{
    (void)state;
    struct pc_batch b;
    uint8_t *p = segment + OFFSET;
    const struct {
        uint32_t at;
        uint64_t value;
        size_t n;
    } wrong[] = {
        {12, 2,          4}, /* a record too few */
        {12, 4,          4}, /* one too many */
        {12, 0,          4}, /* none, and no mark */
        {12, UINT32_MAX, 4}, /* beyond the limit */
        {16, 0,          8}, /* no incarnation */
        {24, 40,         8}, /* not after the durable position */
        {24, UINT64_MAX, 8}, /* the positions would wrap */
        {32, 41,         8}, /* durable before it was written */
        {56, 1,          4}, /* a mark with records */
        {56, 8,          4}, /* an unknown flag */
        {60, 1,          4}, /* not zero */
        {64, 1,          4}, /* a length that does not add up */
        {64, UINT32_MAX, 4}, /* one beyond the batch */
    };
    for (size_t i = 0; i < PC_COUNT(wrong); i++) {
        put_batch();
        memcpy(p + wrong[i].at, &wrong[i].value, wrong[i].n);
        fix_crc(512);
        assert_int_equal(parse_at(OFFSET, 3, ID, &b), PC_BATCH_DAMAGED);
    }
    put_batch();
    fix_crc(512);
    assert_int_equal(parse_at(OFFSET, 3, ID, &b), PC_BATCH_VALID);
}

static void marks_have_no_records(void **state)
{
    (void)state;
    struct pc_batch b = {.incarnation = 1, .first = 9, .segment = 1, .offset = 512};
    struct pc_salvage_mark mark = {7, 8};
    b.flags = PC_BATCH_SEAL;
    pc_batch_finish(&b, ID, segment + 512);
    struct pc_batch got;
    assert_int_equal(parse_at(512, 1, ID, &got), PC_BATCH_VALID);
    assert_int_equal(pc_batch_last(&got), 9); /* it takes a position */
    b.flags = PC_BATCH_START | PC_BATCH_SALVAGE;
    pc_batch_finish(&b, ID, segment + 512);
    assert_int_equal(parse_at(512, 1, ID, &got), PC_BATCH_DAMAGED);
    b.records.n = PC_SALVAGE_BYTES;
    pc_salvage_mark_encode(&mark, segment + 512 + PC_BATCH_HEADER);
    pc_batch_finish(&b, ID, segment + 512);
    assert_int_equal(parse_at(512, 1, ID, &got), PC_BATCH_VALID);
    mark = pc_salvage_mark_of(&got);
    assert_int_equal(mark.snapshot_position, 7);
    assert_int_equal(mark.oldest_segment, 8);
}

static void headers_say_newer_foreign_or_damaged(void **state)
{
    (void)state;
    uint8_t sector[PC_SECTOR_BYTES];
    struct pc_segment_header h = {ID, 3, 8192}, got;
    struct pc_bytes s = {sector, sizeof sector};
    pc_segment_header_encode(&h, sector);
    assert_int_equal(pc_segment_header_parse(s, ID, 3, &got), PC_HEADER_VALID);
    assert_int_equal(pc_segment_header_parse(s, 0, 0, &got), PC_HEADER_VALID);
    assert_int_equal(got.bytes, 8192);
    assert_int_equal(pc_segment_header_parse(s, ID, 4, &got), PC_HEADER_FOREIGN);
    assert_int_equal(pc_segment_header_parse(s, 5, 3, &got), PC_HEADER_FOREIGN);
    for (uint32_t bit = 0; bit < sizeof sector * 8; bit++) {
        sector[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(pc_segment_header_parse(s, ID, 3, &got), PC_HEADER_DAMAGED);
        sector[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    s.n--;
    assert_int_equal(pc_segment_header_parse(s, ID, 3, &got), PC_HEADER_DAMAGED);

    uint8_t identity[PC_IDENTITY_BYTES];
    uint64_t id = 0;
    pc_identity_encode(ID, 1, identity);
    s = pc_bytes_of(identity, sizeof identity);
    assert_int_equal(pc_identity_parse(s, &id), PC_HEADER_VALID);
    assert_int_equal(id, ID);
    pc_le_put32(identity + 8, 2);
    assert_int_equal(pc_identity_parse(s, &id), PC_HEADER_DAMAGED);
    pc_le_put32(identity + 12, pc_crc32c(pc_crc32c(0, identity, 12), identity + 16, 48));
    assert_int_equal(pc_identity_parse(s, &id), PC_HEADER_VERSION);
}

/* Cut at every length, its end against a page that must not be touched. */
static void parsers_read_nothing_beyond_the_end(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *m = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(m != MAP_FAILED);
    assert_int_equal(mprotect(m + 2 * page, page, PROT_NONE), 0);
    struct pc_batch b;
    struct pc_segment_header h;
    put_batch();
    memcpy(segment, segment + OFFSET, 512);
    for (size_t n = 0; n <= 1024; n++) {
        uint8_t *p = m + 2 * page - n;
        memcpy(p, segment, n);
        enum pc_batch_verdict v = pc_batch_parse(pc_bytes_of(p, n), 0, 3, ID, &b);
        assert_int_equal(v, n < 512 ? PC_BATCH_DAMAGED : PC_BATCH_STALE);
        pc_segment_header_parse(pc_bytes_of(p, n), ID, 3, &h);
    }
    munmap(m, 3 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_comes_back),
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(every_bit_of_a_batch_is_covered),
        cmocka_unit_test(a_batch_counts_only_where_it_was_written),
        cmocka_unit_test(fields_no_writer_would_write_are_damage_whatever_the_checksum),
        cmocka_unit_test(marks_have_no_records),
        cmocka_unit_test(headers_say_newer_foreign_or_damaged),
        cmocka_unit_test(parsers_read_nothing_beyond_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
