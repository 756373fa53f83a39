/* SPDX-License-Identifier: Apache-2.0
 * See tail.h. Reads a segment front to back in pieces; the table of segments (journal_private.h)
 * says which one holds a position and where one ends. */
#include "edge/journal/tail.h"

#include <stdlib.h>

#include "edge/journal/journal_private.h"

struct pc_tail {
    struct pc_journal *j;
    uint64_t position; /* everything up to here was handed out (T2) */

    /* The segment being read; fd -1: none. */
    int fd;
    uint64_t number;
    uint64_t size;
    uint64_t offset;  /* of the next batch in the file */
    uint64_t highest; /* position of the last batch seen in it; 0 = none yet */

    /* A piece of it: have bytes from file offset at on. */
    uint8_t *buffer;
    uint64_t at;
    size_t have;
};

int pc_tail_open(struct pc_journal *j, uint64_t after, struct pc_tail **ret_tail)
{
    struct pc_tail *t = calloc(1, sizeof *t);
    uint8_t *buffer = aligned_alloc(PC_SECTOR_BYTES, PC_TAIL_BUFFER_BYTES);
    if (!t || !buffer) {
        free(t);
        free(buffer);
        return -ENOMEM;
    }
    _Static_assert(PC_TAIL_BUFFER_BYTES >= PC_BATCH_PADDED_MAX, "a batch fits");
    t->j = j;
    t->position = after;
    t->fd = -1;
    t->buffer = buffer;
    *ret_tail = t;
    return 0;
}

static void leave_segment(struct pc_tail *t)
{
    if (t->fd >= 0)
        t->j->dir.ops->close(t->j->dir.ops->ctx, t->fd);
    t->fd = -1;
    t->have = 0;
}

void pc_tail_close(struct pc_tail *t)
{
    if (!t)
        return;
    leave_segment(t);
    free(t->buffer);
    free(t);
}

void pc_tail_seek(struct pc_tail *t, uint64_t after)
{
    leave_segment(t);
    t->position = after;
}

uint64_t pc_tail_position(const struct pc_tail *t)
{
    return t->position;
}

/* table_lock held. The first segment that is not being removed. */
static size_t first_kept(const struct pc_journal *j)
{
    PC_ASSERT(j->entries_n > (j->entries[0].going ? 1u : 0u));
    return j->entries[0].going ? 1 : 0;
}

uint64_t pc_tail_oldest(const struct pc_tail *t)
{
    pthread_mutex_lock(&t->j->table_lock);
    uint64_t first = t->j->entries[first_kept(t->j)].first;
    pthread_mutex_unlock(&t->j->table_lock);
    return first;
}

/* The segment that holds the first position behind `after`: its entry. -ENOENT: it was retired. */
static int find_segment(struct pc_journal *j, uint64_t after, struct pc_segment_entry *ret_entry)
{
    int err = -ENOENT;
    pthread_mutex_lock(&j->table_lock);
    size_t i = first_kept(j);
    /* first is 0 while nothing is known to be in it: then it is the only one and the beginning. */
    if (j->entries[i].first <= after + 1) {
        while (i + 1 < j->entries_n && j->entries[i].last <= after)
            i++;
        *ret_entry = j->entries[i];
        err = 0;
    }
    pthread_mutex_unlock(&j->table_lock);
    return err;
}

/* What the segment being read ends with; 0 while it is appended to. -ENOENT: retired under us. */
static int last_of_segment(const struct pc_tail *t, uint64_t *ret_last)
{
    struct pc_journal *j = t->j;
    int err = -ENOENT;
    pthread_mutex_lock(&j->table_lock);
    for (size_t i = first_kept(j); i < j->entries_n; i++) {
        if (j->entries[i].number != t->number)
            continue;
        *ret_last = i + 1 < j->entries_n ? j->entries[i].last : 0;
        err = 0;
    }
    pthread_mutex_unlock(&j->table_lock);
    return err;
}

static int enter_segment(struct pc_tail *t)
{
    const struct pc_file_ops *ops = t->j->dir.ops;
    struct pc_segment_entry e;
    char name[PC_DIR_NAME_BYTES];
    int err = find_segment(t->j, t->position, &e);
    if (err < 0)
        return err;
    pc_dir_segment_name(e.number, name);
    int fd = ops->open(ops->ctx, t->j->dir.fd, name, 0);
    if (fd < 0)
        return fd;
    err = ops->size(ops->ctx, fd, &t->size);
    if (err < 0) {
        ops->close(ops->ctx, fd);
        return err;
    }
    t->fd = fd;
    t->number = e.number;
    t->offset = PC_SECTOR_BYTES;
    t->highest = 0;
    t->have = 0;
    return 0;
}

/* Makes the buffer hold what the file holds from t->offset on, as far as it goes. */
static int fill(struct pc_tail *t)
{
    const struct pc_file_ops *ops = t->j->dir.ops;
    size_t n = (size_t)pc_min_u64(PC_TAIL_BUFFER_BYTES, t->size - t->offset);
    t->have = 0;
    int64_t got = ops->pread(ops->ctx, t->fd, t->buffer, n, t->offset);
    if (got < 0)
        return (int)got;
    t->at = t->offset;
    t->have = (size_t)got & ~(size_t)(PC_SECTOR_BYTES - 1);
    return 0;
}

static enum pc_batch_verdict parse(const struct pc_tail *t, struct pc_batch *b)
{
    if (t->offset < t->at || t->offset >= t->at + t->have)
        return PC_BATCH_DAMAGED;
    size_t skip = (size_t)(t->offset - t->at);
    return pc_batch_parse_at(pc_bytes_of(t->buffer + skip, t->have - skip), (uint32_t)t->offset,
                             t->number, t->j->id, b);
}

/* The batch at t->offset; what the buffer holds may be older than the file, so a batch that is not
 * whole in it is read again before it is judged. 0, -errno or PC_E_DAMAGED. */
static int look(struct pc_tail *t, struct pc_batch *b)
{
    if (parse(t, b) == PC_BATCH_VALID)
        return 0;
    int err = t->offset < t->size ? fill(t) : PC_E_DAMAGED;
    if (err < 0)
        return err;
    return parse(t, b) == PC_BATCH_VALID ? 0 : PC_E_DAMAGED;
}

/* Behind damage that an operator has accepted: the next batch that can follow. PC_E_DAMAGED when
 * the segment holds none. */
static int look_further(struct pc_tail *t, struct pc_batch *b)
{
    for (; t->offset < t->size; t->offset += PC_SECTOR_BYTES) {
        uint64_t whole = pc_min_u64(t->size, t->offset + PC_BATCH_PADDED_MAX);
        int err = t->at + t->have < whole ? fill(t) : 0;
        if (err < 0)
            return err;
        if (parse(t, b) == PC_BATCH_VALID && b->first > t->highest)
            return 0;
    }
    return PC_E_DAMAGED;
}

/* 1: *b is the next batch of the segment; 0: this segment holds no more. */
static int next_in_segment(struct pc_tail *t, uint64_t last, struct pc_batch *b)
{
    if (last && pc_max_u64(t->highest, t->position) >= last)
        return 0;
    int err = look(t, b);
    if (err == PC_E_DAMAGED && t->number < t->j->mark_segment) {
        err = look_further(t, b);
        if (err == PC_E_DAMAGED)
            return 0;
    }
    return err < 0 ? err : 1;
}

static struct pc_tail_batch hand_out(struct pc_tail *t, const struct pc_batch *b)
{
    struct pc_tail_batch out = {.first = b->first,
                                .last = pc_batch_last(b),
                                .incarnation = b->incarnation,
                                .time_ms = b->time_ms,
                                .rest = b->records,
                                .next = b->first};
    struct pc_bytes skipped;
    while (out.next <= t->position && pc_batch_next_record(&out.rest, &skipped))
        out.next++;
    out.first = out.next;
    return out;
}

/* One step: a batch taken (1), nothing to hand out in it (0), nothing more yet (-EAGAIN), or an
 * error. */
static int step(struct pc_tail *t, uint64_t durable, struct pc_tail_batch *ret_batch)
{
    struct pc_batch b;
    uint64_t last = 0;
    int err = t->fd < 0 ? enter_segment(t) : 0;
    if (err == 0)
        err = last_of_segment(t, &last);
    if (err < 0)
        return err;
    int got = next_in_segment(t, last, &b);
    if (got < 0)
        return got;
    if (got == 0) {
        PC_ASSERT(last); /* only what is complete ends */
        t->position = pc_max_u64(t->position, last);
        leave_segment(t);
        return 0;
    }
    if (pc_batch_last(&b) > durable)
        return -EAGAIN; /* T1 */
    t->offset += b.padded;
    t->highest = pc_batch_last(&b);
    if (t->highest <= t->position)
        return 0;
    if (b.count)
        *ret_batch = hand_out(t, &b);
    t->position = t->highest;
    return b.count != 0;
}

int pc_tail_next(struct pc_tail *t, struct pc_tail_batch *ret_batch)
{
    /* Read first: what is durable by now was written before, so the file shows it. */
    uint64_t durable = pc_journal_durable(t->j);
    int rc = 0;
    while (rc == 0 && t->position < durable)
        rc = step(t, durable, ret_batch);
    if (rc < 0 && rc != -EAGAIN)
        leave_segment(t);
    return rc == -EAGAIN ? 0 : rc;
}

bool pc_tail_record(struct pc_tail_batch *batch, struct pc_record *ret_record)
{
    struct pc_bytes bytes;
    if (!pc_batch_next_record(&batch->rest, &bytes))
        return false;
    *ret_record = (struct pc_record){batch->next++, batch->incarnation, batch->time_ms, bytes};
    return true;
}
