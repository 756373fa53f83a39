/* SPDX-License-Identifier: Apache-2.0
 * Bytes a disk may have made up, as a segment, a snapshot or the identity file of a data directory.
 * The first byte chooses; with the lowest bit set the checksums are put right first, so that what
 * lies behind them is reached too. Whatever comes, the survey ends, reads nothing outside, and
 * hands out only batches whose positions ascend and whose records add up. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "edge/journal/le.h"
#include "edge/journal/survey.h"

#define ID        0x1122334455667788ull
#define FILE_MAX  (64u << 10)
#define POSITION  42u
#define DIR_FD    100
#define SNAP_HEAD 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct disk {
    const char *name[2];
    struct pc_bytes bytes[2];
};

static int fuzz_open(void *ctx, int dir, const char *name, unsigned flags)
{
    const struct disk *d = ctx;
    (void)dir;
    (void)flags;
    for (int i = 0; i < 2; i++)
        if (d->name[i] && strcmp(d->name[i], name) == 0)
            return i;
    return -ENOENT;
}

static void fuzz_close(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
}

static int64_t fuzz_pread(void *ctx, int fd, void *buf, size_t n, uint64_t offset)
{
    const struct disk *d = ctx;
    const struct pc_bytes *f = &d->bytes[fd];
    if (offset >= f->n)
        return 0;
    n = n < f->n - offset ? n : f->n - offset;
    memcpy(buf, f->p + offset, n);
    return (int64_t)n;
}

static int fuzz_size(void *ctx, int fd, uint64_t *ret_size)
{
    const struct disk *d = ctx;
    *ret_size = d->bytes[fd].n;
    return 0;
}

static int fuzz_list(void *ctx, int dir, int (*each)(void *arg, const char *name), void *arg)
{
    const struct disk *d = ctx;
    (void)dir;
    for (int i = 0; i < 2; i++) {
        int err = d->name[i] ? each(arg, d->name[i]) : 0;
        if (err)
            return err;
    }
    return 0;
}

static void fix_header(uint8_t *p, size_t n)
{
    pc_le_put32(p + 12, pc_crc32c(pc_crc32c(0, p, 12), p + 16, n - 16));
}

static void fix_segment(uint8_t *p, size_t n)
{
    uint8_t id[8];
    pc_le_put64(id, ID);
    if (n < PC_SECTOR_BYTES)
        return;
    pc_le_put64(p + 16, ID);
    fix_header(p, PC_SECTOR_BYTES);
    for (size_t at = PC_SECTOR_BYTES; at + PC_SECTOR_BYTES <= n; at += PC_SECTOR_BYTES) {
        uint32_t length = pc_le_get32(p + at + 8);
        if (memcmp(p + at, "PCB1", 4) != 0 || length > FILE_MAX || pc_batch_padded(length) > n - at)
            continue;
        pc_le_put64(p + at + 40, 1ull << 32 | at);
        uint32_t crc = pc_crc32c(pc_crc32c(0, id, 8), p + at, 4);
        pc_le_put32(p + at + 4, pc_crc32c(crc, p + at + 8, pc_batch_padded(length) - 8));
    }
}

static void fix_snapshot(uint8_t *p, size_t n)
{
    uint32_t chain = 0;
    if (n < SNAP_HEAD)
        return;
    pc_le_put64(p + 16, ID);
    pc_le_put64(p + 24, POSITION);
    fix_header(p, SNAP_HEAD);
    for (size_t at = SNAP_HEAD; at + PC_SNAPSHOT_BLOCK_HEADER <= n;) {
        size_t length = pc_le_get32(p + at + 4), padded = PC_SNAPSHOT_PADDED(length);
        if (padded > n - at - PC_SNAPSHOT_BLOCK_HEADER)
            return;
        if (pc_le_get32(p + at) == PC_SNAPSHOT_SECTION_END && padded >= PC_SNAPSHOT_TRAILER)
            pc_le_put32(p + at + PC_SNAPSHOT_BLOCK_HEADER + 16, chain);
        uint32_t crc = pc_crc32c(0, p + at, 12);
        pc_le_put32(p + at + 12, pc_crc32c(crc, p + at + PC_SNAPSHOT_BLOCK_HEADER, padded));
        chain = pc_crc32c(chain, p + at + 12, 4);
        at += PC_SNAPSHOT_BLOCK_HEADER + padded;
    }
}

static int take_batch(void *arg, const struct pc_batch *b, bool loose)
{
    uint64_t *last = arg;
    struct pc_bytes rest = b->records, record;
    uint32_t n = 0;
    (void)loose;
    PC_ASSERT(b->first > *last && b->durable < b->first);
    *last = pc_batch_last(b);
    while (b->count && pc_batch_next_record(&rest, &record))
        n++;
    PC_ASSERT(n == b->count);
    return 0;
}

static int take_snapshot(void *arg, struct pc_snapshot_reader *r)
{
    uint32_t section;
    struct pc_bytes block;
    int got;
    (void)arg;
    while ((got = pc_snapshot_next(r, &section, &block)) > 0)
        PC_ASSERT(block.n > 0 && section != PC_SNAPSHOT_SECTION_END);
    PC_ASSERT(got == 0); /* it was verified before */
    return 0;
}

static void survey(struct disk *d)
{
    struct pc_file_ops ops = {.ctx = d,
                              .open = fuzz_open,
                              .close = fuzz_close,
                              .pread = fuzz_pread,
                              .size = fuzz_size,
                              .list = fuzz_list};
    for (int mode = 0; mode < PC_RECOVER_MODES; mode++) {
        uint64_t last = 0;
        struct pc_findings findings = {.mode = (enum pc_recover_mode)mode};
        struct pc_survey s = {
            .dir = {&ops, DIR_FD},
            .findings = &findings,
            .snapshot = take_snapshot,
            .batch = take_batch,
            .arg = &last
        };
        pc_survey_run(&s);
        pc_survey_free(&s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t identity[PC_IDENTITY_BYTES];
    if (size < 1 || size > FILE_MAX)
        return 0;
    size_t n = size - 1;
    uint8_t *copy = malloc(n ? n : 1); /* of exactly this size, for AddressSanitizer */
    if (!copy)
        return 0;
    memcpy(copy, data + 1, n);
    pc_identity_encode(ID, 1, identity);
    struct disk d = {
        {PC_DIR_IDENTITY,             NULL     },
        {{identity, sizeof identity}, {copy, n}}
    };
    bool fix = data[0] & 1;
    switch (data[0] >> 1 & 3) {
    case 0:
    case 1:
        d.name[1] = "segment-0000000001";
        if (fix)
            fix_segment(copy, n);
        break;
    case 2:
        d.name[1] = "snapshot-00000000000000000042";
        if (fix)
            fix_snapshot(copy, n);
        break;
    default:
        d.name[0] = NULL;
        d.name[1] = PC_DIR_IDENTITY;
        if (fix && n >= PC_IDENTITY_BYTES)
            fix_header(copy, PC_IDENTITY_BYTES);
    }
    survey(&d);
    free(copy);
    return 0;
}
