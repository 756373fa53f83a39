/* SPDX-License-Identifier: Apache-2.0
 * The verifying snapshot reader: a window over the file, filled with large reads (not a mapping:
 * there a disk error would kill the process instead of giving an error). One thread per reader. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "edge/journal/le.h"
#include "edge/journal/snapshot_file.h"

/* Room for two of the largest blocks, so that moving a rest to the front is rare. */
#define WINDOW_BYTES (2u * (PC_SNAPSHOT_BLOCK_BYTES_MAX + PC_SNAPSHOT_BLOCK_HEADER))

static const uint8_t snapshot_magic[8] = {'P', 'C', 'S', 'N', 'A', 'P', 'S', 'H'};

struct pc_snapshot_reader {
    struct pc_dir dir;
    int fd;
    struct pc_snapshot_info info;
    uint8_t *window;
    size_t cap, have, at; /* bytes in the window; where the next block begins */
    uint64_t loaded;      /* offset in the file behind the window */
    uint64_t index;       /* of the next block */
    uint32_t chain;       /* checksum of the checksums so far */
    bool ended;
};

static uint32_t snapshot_header_crc(const uint8_t *p)
{
    return pc_crc32c(pc_crc32c(0, p, 12), p + 16, PC_SNAPSHOT_HEADER - 16);
}

void pc_snapshot_header_encode(const struct pc_snapshot_info *info, uint64_t journal_id,
                               uint8_t out[PC_SNAPSHOT_HEADER])
{
    memset(out, 0, PC_SNAPSHOT_HEADER);
    memcpy(out, snapshot_magic, 8);
    pc_le_put32(out + 8, PC_FORMAT_VERSION);
    pc_le_put64(out + 16, journal_id);
    pc_le_put64(out + 24, info->position);
    pc_le_put64(out + 32, (uint64_t)info->created_ms);
    memcpy(out + 40, info->key_id, PC_SNAPSHOT_KEY_ID_BYTES);
    pc_le_put32(out + 12, snapshot_header_crc(out));
}

enum pc_header_verdict pc_snapshot_header_parse(struct pc_bytes s, uint64_t journal_id,
                                                struct pc_snapshot_info *ret_info)
{
    if (s.n < PC_SNAPSHOT_HEADER || memcmp(s.p, snapshot_magic, 8) != 0 ||
        pc_le_get32(s.p + 12) != snapshot_header_crc(s.p))
        return PC_HEADER_DAMAGED;
    if (pc_le_get32(s.p + 8) > PC_FORMAT_VERSION)
        return PC_HEADER_VERSION;
    if (journal_id && pc_le_get64(s.p + 16) != journal_id)
        return PC_HEADER_FOREIGN;
    ret_info->position = pc_le_get64(s.p + 24);
    ret_info->created_ms = (int64_t)pc_le_get64(s.p + 32);
    memcpy(ret_info->key_id, s.p + 40, PC_SNAPSHOT_KEY_ID_BYTES);
    return PC_HEADER_VALID;
}

static uint32_t block_crc(const uint8_t *header, const uint8_t *p, size_t n, size_t zeros)
{
    static const uint8_t padding[8];
    uint32_t crc = pc_crc32c(pc_crc32c(0, header, 12), p, n);
    return pc_crc32c(crc, padding, zeros);
}

void pc_snapshot_block_encode(uint32_t section, uint64_t index, struct pc_bytes bytes,
                              uint8_t out[PC_SNAPSHOT_BLOCK_HEADER])
{
    pc_le_put32(out, section);
    pc_le_put32(out + 4, (uint32_t)bytes.n);
    pc_le_put32(out + 8, (uint32_t)index);
    pc_le_put32(out + 12, block_crc(out, bytes.p, bytes.n, PC_SNAPSHOT_PADDED(bytes.n) - bytes.n));
}

/* Makes n bytes from r->at on available: 0, PC_E_DAMAGED where the file ends before, or -errno. */
static int window_need(struct pc_snapshot_reader *r, size_t n)
{
    if (r->have - r->at >= n)
        return 0;
    memmove(r->window, r->window + r->at, r->have - r->at);
    r->have -= r->at;
    r->at = 0;
    PC_ASSERT(n <= r->cap);
    int64_t got =
        r->dir.ops->pread(r->dir.ops->ctx, r->fd, r->window + r->have, r->cap - r->have, r->loaded);
    if (got < 0)
        return (int)got;
    r->have += (size_t)got;
    r->loaded += (uint64_t)got;
    return r->have >= n ? 0 : PC_E_DAMAGED;
}

/* The trailer must agree with what was read, and be the end of the file. */
static int check_trailer(struct pc_snapshot_reader *r, struct pc_bytes block)
{
    if (block.n != PC_SNAPSHOT_TRAILER || pc_le_get64(block.p) != r->index ||
        pc_le_get64(block.p + 8) != r->info.position || pc_le_get32(block.p + 16) != r->chain ||
        pc_le_get32(block.p + 20) != 0)
        return PC_E_DAMAGED;
    r->ended = true;
    return r->loaded - (r->have - r->at) == r->info.bytes ? 0 : PC_E_DAMAGED;
}

int pc_snapshot_next(struct pc_snapshot_reader *r, uint32_t *ret_section,
                     struct pc_bytes *ret_block)
{
    if (r->ended)
        return 0;
    int err = window_need(r, PC_SNAPSHOT_BLOCK_HEADER);
    if (err)
        return err;
    uint32_t length = pc_le_get32(r->window + r->at + 4);
    size_t padded = PC_SNAPSHOT_PADDED((size_t)length);
    if (length == 0 || length > PC_SNAPSHOT_BLOCK_BYTES_MAX ||
        PC_SNAPSHOT_BLOCK_HEADER + padded > r->info.bytes - PC_SNAPSHOT_HEADER)
        return PC_E_DAMAGED;
    err = window_need(r, PC_SNAPSHOT_BLOCK_HEADER + padded);
    if (err)
        return err;
    const uint8_t *header = r->window + r->at;
    struct pc_bytes block = {header + PC_SNAPSHOT_BLOCK_HEADER, length};
    if (pc_le_get32(header + 8) != (uint32_t)r->index ||
        pc_le_get32(header + 12) != block_crc(header, block.p, padded, 0))
        return PC_E_DAMAGED;
    r->at += PC_SNAPSHOT_BLOCK_HEADER + padded;
    uint32_t section = pc_le_get32(header);
    if (section == PC_SNAPSHOT_SECTION_END)
        return check_trailer(r, block);
    r->chain = pc_crc32c(r->chain, header + 12, 4);
    r->index++;
    *ret_section = section;
    *ret_block = block;
    return 1;
}

static void rewind_reader(struct pc_snapshot_reader *r)
{
    r->have = r->at = 0;
    r->loaded = PC_SNAPSHOT_HEADER;
    r->index = 0;
    r->chain = 0;
    r->ended = false;
}

/* A verdict or -errno. */
static int verify(struct pc_snapshot_reader *r, uint64_t journal_id, uint64_t position)
{
    uint8_t header[PC_SNAPSHOT_HEADER];
    int err = pc_file_read_all(r->dir.ops, r->fd, header, sizeof header, 0);
    if (err < 0)
        return err == -ENODATA ? PC_HEADER_DAMAGED : err;
    enum pc_header_verdict v =
        pc_snapshot_header_parse(pc_bytes_of(header, sizeof header), journal_id, &r->info);
    if (v != PC_HEADER_VALID)
        return v;
    if (r->info.position != position)
        return PC_HEADER_FOREIGN;
    uint32_t section;
    struct pc_bytes block;
    rewind_reader(r);
    do {
        err = pc_snapshot_next(r, &section, &block);
    } while (err > 0);
    if (err < 0)
        return err == PC_E_DAMAGED ? PC_HEADER_DAMAGED : err;
    r->info.blocks = r->index;
    rewind_reader(r);
    return PC_HEADER_VALID;
}

static int reader_begin(struct pc_snapshot_reader *r, const char *name)
{
    r->fd = r->dir.ops->open(r->dir.ops->ctx, r->dir.fd, name, 0);
    if (r->fd < 0)
        return r->fd;
    int err = r->dir.ops->size(r->dir.ops->ctx, r->fd, &r->info.bytes);
    if (err < 0)
        return err;
    r->cap = (size_t)pc_min_u64(r->info.bytes + 8, WINDOW_BYTES);
    r->window = malloc(r->cap);
    return r->window ? 0 : -ENOMEM;
}

int pc_snapshot_reader_open(const struct pc_dir *d, uint64_t journal_id, uint64_t position,
                            struct pc_snapshot_reader **ret_reader)
{
    char name[PC_DIR_NAME_BYTES];
    struct pc_snapshot_reader *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->dir = *d;
    pc_dir_snapshot_name(position, name);
    int err = reader_begin(r, name);
    if (err == 0)
        err = verify(r, journal_id, position);
    if (err == PC_HEADER_VALID)
        *ret_reader = r;
    else
        pc_snapshot_reader_close(r);
    return err;
}

void pc_snapshot_reader_close(struct pc_snapshot_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        r->dir.ops->close(r->dir.ops->ctx, r->fd);
    free(r->window);
    free(r);
}

const struct pc_snapshot_info *pc_snapshot_info(const struct pc_snapshot_reader *r)
{
    return &r->info;
}
