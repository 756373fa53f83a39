/* SPDX-License-Identifier: Apache-2.0
 * Writing snapshots: a stream into a temporary file that takes its name only when it is complete
 * and synced. Owns the file until commit or abort; runs on one thread beside the writer, of which
 * it touches only what journal_private.h allows. Format: snapshot_file.h. */
#include "edge/journal/snapshot.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "edge/journal/journal_private.h"
#include "edge/journal/le.h"
#include "edge/journal/snapshot_file.h"

#define BUFFER_BYTES (1u << 20)
/* Synced along the way, so that no burst of writing stands in the way of the journal's syncs. */
#define SYNC_EVERY_BYTES (8u << 20)

struct pc_snapshot_writer {
    struct pc_journal *j;
    int fd;
    int err; /* the first failure; nothing is written after it */
    uint64_t position;
    uint64_t blocks;
    uint32_t chain;
    uint64_t offset, unsynced;
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

static void flush(struct pc_snapshot_writer *w)
{
    const struct pc_file_ops *ops = w->j->dir.ops;
    if (w->err == 0 && w->used)
        w->err = pc_file_write_all(ops, w->fd, w->buffer, w->used, w->offset);
    w->offset += w->used;
    w->unsynced += w->used;
    w->used = 0;
    if (w->err == 0 && w->unsynced >= SYNC_EVERY_BYTES) {
        w->err = ops->sync(ops->ctx, w->fd);
        w->unsynced = 0;
    }
}

static void put(struct pc_snapshot_writer *w, const void *p, size_t n)
{
    const uint8_t *from = p;
    while (n) {
        size_t part = (size_t)pc_min_u64(n, BUFFER_BYTES - w->used);
        memcpy(w->buffer + w->used, from, part);
        w->used += part;
        from += part;
        n -= part;
        if (w->used == BUFFER_BYTES)
            flush(w);
    }
}

static void put_block(struct pc_snapshot_writer *w, uint32_t section, struct pc_bytes bytes)
{
    static const uint8_t padding[8];
    uint8_t header[PC_SNAPSHOT_BLOCK_HEADER];
    pc_snapshot_block_encode(section, w->blocks, bytes, header);
    put(w, header, sizeof header);
    put(w, bytes.p, bytes.n);
    put(w, padding, PC_SNAPSHOT_PADDED(bytes.n) - bytes.n);
    if (section == PC_SNAPSHOT_SECTION_END)
        return;
    w->chain = pc_crc32c(w->chain, header + 12, 4);
    w->blocks++;
}

/* Frees the writer and the right to write a snapshot. */
static void end_writer(struct pc_snapshot_writer *w)
{
    struct pc_journal *j = w->j;
    if (w->fd >= 0)
        j->dir.ops->close(j->dir.ops->ctx, w->fd);
    free(w);
    PC_ASSERT(atomic_load(&j->snapshotting));
    atomic_store(&j->snapshotting, false);
}

int pc_snapshot_begin(struct pc_journal *j, uint64_t position,
                      const uint8_t key_id[PC_SNAPSHOT_KEY_ID_BYTES], int64_t now_ms,
                      struct pc_snapshot_writer **ret_writer, struct pc_why *why)
{
    struct pc_snapshot_info info = {.position = position, .created_ms = now_ms};
    uint8_t header[PC_SNAPSHOT_HEADER];
    struct pc_journal_status status;
    pc_journal_status(j, &status);
    if (position == 0 || position > status.durable || position < status.snapshot_position)
        return pc_fail(why, -EINVAL,
                       "a snapshot of position %llu: not durable yet or before the newest",
                       (unsigned long long)position);
    if (atomic_exchange(&j->snapshotting, true))
        return pc_fail(why, -EBUSY, "another snapshot is being written");
    struct pc_snapshot_writer *w = calloc(1, sizeof *w);
    if (!w) {
        atomic_store(&j->snapshotting, false);
        return pc_fail(why, -ENOMEM, "out of memory for a snapshot");
    }
    w->j = j;
    w->position = position;
    w->fd = j->dir.ops->open(j->dir.ops->ctx, j->dir.fd, PC_DIR_SNAPSHOT_NEW,
                             PC_FILE_WRITE | PC_FILE_CREATE | PC_FILE_EMPTY);
    if (w->fd < 0) {
        int err = pc_fail(why, w->fd, "cannot create %s/" PC_DIR_SNAPSHOT_NEW ": %s", j->path,
                          pc_strerror(w->fd));
        end_writer(w);
        return err;
    }
    memcpy(info.key_id, key_id, PC_SNAPSHOT_KEY_ID_BYTES);
    pc_snapshot_header_encode(&info, j->id, header);
    put(w, header, sizeof header);
    *ret_writer = w;
    return 0;
}

int pc_snapshot_block(struct pc_snapshot_writer *w, uint32_t section, const void *p, size_t n)
{
    PC_ASSERT(section != PC_SNAPSHOT_SECTION_END);
    PC_ASSERT(n > 0 && n <= PC_SNAPSHOT_BLOCK_BYTES_MAX);
    if (w->err == 0)
        put_block(w, section, pc_bytes_of(p, n));
    return w->err;
}

static void put_trailer(struct pc_snapshot_writer *w)
{
    uint8_t trailer[PC_SNAPSHOT_TRAILER] = {0};
    pc_le_put64(trailer, w->blocks);
    pc_le_put64(trailer + 8, w->position);
    pc_le_put32(trailer + 16, w->chain);
    put_block(w, PC_SNAPSHOT_SECTION_END, pc_bytes_of(trailer, sizeof trailer));
    flush(w);
}

/* Complete and synced first, then named, then the name made durable: only that order is safe. */
static int publish(struct pc_snapshot_writer *w)
{
    const struct pc_dir *d = &w->j->dir;
    char name[PC_DIR_NAME_BYTES];
    put_trailer(w);
    if (w->err)
        return w->err;
    int err = d->ops->sync(d->ops->ctx, w->fd);
    if (err < 0)
        return err;
    pc_dir_snapshot_name(w->position, name);
    err = d->ops->rename(d->ops->ctx, d->fd, PC_DIR_SNAPSHOT_NEW, name);
    return err == 0 ? d->ops->sync_dir(d->ops->ctx, d->fd) : err;
}

/* All but the newest durable one and the one before. Those that stay by mistake go next time. */
static void remove_older(struct pc_journal *j)
{
    struct pc_dir_listing l;
    char name[PC_DIR_NAME_BYTES];
    if (pc_dir_list(&j->dir, &l) < 0)
        return;
    for (size_t i = 0; i < l.snapshots.n; i++) {
        uint64_t position = l.snapshots.v[i];
        if (position == j->snapshot_newest || position == j->snapshot_previous)
            continue;
        pc_dir_snapshot_name(position, name);
        j->dir.ops->unlink(j->dir.ops->ctx, j->dir.fd, name);
    }
    pc_dir_listing_free(&l);
}

int pc_snapshot_commit(struct pc_snapshot_writer *w, struct pc_why *why)
{
    struct pc_journal *j = w->j;
    int err = publish(w);
    if (err < 0) {
        pc_fail(why, err, "cannot write a snapshot into %s: %s", j->path, pc_strerror(err));
        pc_snapshot_abort(w);
        return err;
    }
    pc_journal_snapshot_done(j, w->position);
    remove_older(j);
    end_writer(w);
    return 0;
}

void pc_snapshot_abort(struct pc_snapshot_writer *w)
{
    if (!w)
        return;
    const struct pc_dir *d = &w->j->dir;
    d->ops->unlink(d->ops->ctx, d->fd, PC_DIR_SNAPSHOT_NEW);
    end_writer(w);
}
