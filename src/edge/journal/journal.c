/* SPDX-License-Identifier: Apache-2.0
 * The open journal: appending, syncing, sealing, new segments, retiring, reading back. Owns the
 * segment appended to and the one prepared. Threads: journal.h; invariants: journal_private.h. */
#include "edge/journal/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "edge/journal/journal_private.h"
#include "edge/journal/le.h"
#include "edge/journal/walk.h"

/* A new segment is filled with writes of this size. */
#define FILL_BYTES (1u << 20)
/* The rest of a full one with writes of this size. */
#define FINISH_BYTES (64u << 10)

static void assert_on_writer(struct pc_journal *j)
{
    if (!j->writer_known) {
        j->writer = pthread_self();
        j->writer_known = true;
    }
    PC_ASSERT(pthread_equal(j->writer, pthread_self()));
}

/* The one setter of `failed` (I4). */
static int fail(struct pc_journal *j, int err, const char *what)
{
    PC_ASSERT(err < 0 && atomic_load(&j->failed) == 0);
    snprintf(j->failed_text, sizeof j->failed_text, "%s of segment-%010llu at byte %u failed: %s",
             what, (unsigned long long)j->number, j->offset, pc_strerror(err));
    atomic_store_explicit(&j->failed, err, memory_order_release);
    return err;
}

/* Allocating first finds a full disk before anything is written; writing zeros turns the reserved
 * blocks into plain ones, so that a later sync has no metadata to write. */
static int fill_segment(struct pc_journal *j, int fd, uint64_t number)
{
    const struct pc_file_ops *ops = j->dir.ops;
    int err = ops->allocate(ops->ctx, fd, j->segment_bytes);
    if (err < 0 && err != -EOPNOTSUPP)
        return err;
    uint8_t *chunk = calloc(1, (size_t)pc_min_u64(FILL_BYTES, j->segment_bytes));
    if (!chunk)
        return -ENOMEM;
    struct pc_segment_header h = {j->id, number, j->segment_bytes};
    pc_segment_header_encode(&h, chunk);
    err = 0;
    for (uint32_t at = 0; err == 0 && at < j->segment_bytes; at += FILL_BYTES) {
        size_t n = (size_t)pc_min_u64(FILL_BYTES, j->segment_bytes - at);
        err = pc_file_write_all(ops, fd, chunk, n, at);
        memset(chunk, 0, PC_SECTOR_BYTES);
    }
    free(chunk);
    return err == 0 ? ops->sync(ops->ctx, fd) : err;
}

int pc_journal_make_segment(struct pc_journal *j, uint64_t number)
{
    const struct pc_file_ops *ops = j->dir.ops;
    char name[PC_DIR_NAME_BYTES];
    if (number > UINT32_MAX)
        return PC_E_TOO_LARGE;
    pc_dir_segment_name(number, name);
    int fd = ops->open(ops->ctx, j->dir.fd, PC_DIR_SEGMENT_NEW,
                       PC_FILE_WRITE | PC_FILE_CREATE | PC_FILE_EMPTY);
    if (fd < 0)
        return fd;
    int err = fill_segment(j, fd, number);
    if (err == 0)
        err = ops->rename(ops->ctx, j->dir.fd, PC_DIR_SEGMENT_NEW, name); /* I6 */
    else
        ops->unlink(ops->ctx, j->dir.fd, PC_DIR_SEGMENT_NEW); /* gives the space back */
    if (err == 0)
        err = ops->sync_dir(ops->ctx, j->dir.fd);
    if (err == 0)
        return fd;
    ops->close(ops->ctx, fd);
    return err;
}

/* prepare_lock held. */
static int make_next(struct pc_journal *j)
{
    if (j->next_fd >= 0)
        return 0;
    int fd = pc_journal_make_segment(j, j->next_number);
    atomic_store_explicit(&j->full, fd < 0, memory_order_relaxed);
    if (fd < 0)
        return fd;
    j->next_fd = fd;
    atomic_store_explicit(&j->next_ready, true, memory_order_relaxed);
    return 0;
}

int pc_journal_prepare_next(struct pc_journal *j)
{
    pthread_mutex_lock(&j->prepare_lock);
    int err = make_next(j);
    pthread_mutex_unlock(&j->prepare_lock);
    return err;
}

bool pc_journal_wants_segment(const struct pc_journal *j)
{
    return !atomic_load_explicit(&j->next_ready, memory_order_relaxed) && !pc_journal_failed(j);
}

int pc_journal_add_entry(struct pc_journal *j, const struct pc_segment_entry *e)
{
    int err = 0;
    pthread_mutex_lock(&j->table_lock);
    if (j->entries_n == j->entries_cap) {
        size_t cap = j->entries_cap ? 2 * j->entries_cap : 16;
        struct pc_segment_entry *grown = realloc(j->entries, cap * sizeof *grown);
        if (grown) {
            j->entries = grown;
            j->entries_cap = cap;
        } else {
            err = -ENOMEM;
        }
    }
    if (err == 0) {
        PC_ASSERT(j->entries_n == 0 || j->entries[j->entries_n - 1].number < e->number);
        j->entries[j->entries_n++] = *e;
    }
    pthread_mutex_unlock(&j->table_lock);
    return err;
}

void pc_journal_use_segment(struct pc_journal *j, int fd, uint64_t number, uint32_t offset,
                            uint32_t end)
{
    PC_ASSERT(fd >= 0 && offset >= PC_SECTOR_BYTES && offset % PC_SECTOR_BYTES == 0);
    PC_ASSERT(number > j->number && offset <= end);
    if (j->fd >= 0)
        j->dir.ops->close(j->dir.ops->ctx, j->fd);
    j->fd = fd;
    j->number = number;
    j->offset = offset;
    j->end = end;
}

static int force_sync(struct pc_journal *j)
{
    uint64_t appended = atomic_load_explicit(&j->appended, memory_order_relaxed);
    int err = j->dir.ops->sync(j->dir.ops->ctx, j->fd);
    if (err < 0)
        return fail(j, err, "sync");
    PC_ASSERT(appended >= atomic_load(&j->durable)); /* I3 */
    atomic_store_explicit(&j->durable, appended, memory_order_release);
    return 0;
}

static int sync_segment(struct pc_journal *j)
{
    return pc_journal_durable(j) == pc_journal_appended(j) ? 0 : force_sync(j);
}

/* I2. The rest of the segment is written with zeros once more: reads show zeros there, but after a
 * cut whose sync failed in an earlier process the disk may still hold what was cut, and show it
 * after a crash behind the last batch, where it would look like damage. The rest is small: what was
 * to be appended does not fit. */
static int finish_segment(struct pc_journal *j)
{
    static const uint8_t zeros[FINISH_BYTES];
    for (uint32_t at = j->offset; at < j->end; at += FINISH_BYTES) {
        size_t n = (size_t)pc_min_u64(FINISH_BYTES, j->end - at);
        int err = pc_file_write_all(j->dir.ops, j->fd, zeros, n, at);
        if (err < 0)
            return fail(j, err, "write");
    }
    return force_sync(j);
}

static void close_entry(struct pc_journal *j)
{
    pthread_mutex_lock(&j->table_lock);
    PC_ASSERT(j->entries_n > 0 && j->entries[j->entries_n - 1].number == j->number);
    j->entries[j->entries_n - 1].last = atomic_load(&j->appended);
    pthread_mutex_unlock(&j->table_lock);
}

/* Goes on in the next segment. Whatever fails before the old one is synced is not sticky. */
static int roll(struct pc_journal *j)
{
    pthread_mutex_lock(&j->prepare_lock);
    int err = make_next(j);
    if (err == 0)
        err = finish_segment(j); /* I2 */
    if (err == 0) {
        struct pc_segment_entry e = {.number = j->next_number,
                                     .first = atomic_load(&j->appended) + 1};
        close_entry(j);
        err = pc_journal_add_entry(j, &e);
    }
    if (err == 0) {
        pc_journal_use_segment(j, j->next_fd, j->next_number, PC_SECTOR_BYTES, j->segment_bytes);
        j->next_fd = -1;
        j->next_number++;
        atomic_store_explicit(&j->next_ready, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&j->prepare_lock);
    return err;
}

/* Writes the batch whose records (length bytes, count) stand in the buffer. */
static int write_batch(struct pc_journal *j, uint32_t length, uint32_t count, uint32_t flags,
                       int64_t now_ms)
{
    uint32_t padded = pc_batch_padded(length);
    uint64_t appended = atomic_load_explicit(&j->appended, memory_order_relaxed);
    PC_ASSERT(atomic_load(&j->failed) == 0);         /* I4 */
    PC_ASSERT(padded <= j->end - j->offset);         /* the caller made room */
    PC_ASSERT(atomic_load(&j->durable) <= appended); /* I3 */
    struct pc_batch b = {
        .incarnation = j->incarnation,
        .first = appended + 1,
        .durable = atomic_load(&j->durable),
        .time_ms = now_ms,
        .segment = j->number,
        .offset = j->offset,
        .count = count,
        .flags = flags,
        .records = {NULL, length}
    };
    pc_batch_finish(&b, j->id, j->buffer);
    int err = pc_file_write_all(j->dir.ops, j->fd, j->buffer, padded, j->offset);
    if (err < 0)
        return fail(j, err, "write");
    j->offset += padded; /* I1 */
    j->sealed = flags != 0;
    atomic_store_explicit(&j->appended, pc_batch_last(&b), memory_order_release);
    return 0;
}

static int make_room(struct pc_journal *j, uint32_t length)
{
    uint32_t padded = pc_batch_padded(length);
    PC_ASSERT(padded <= j->buffer_bytes && j->buffer_bytes <= j->segment_bytes - PC_SECTOR_BYTES);
    return padded > j->end - j->offset ? roll(j) : 0;
}

/* Copies records with their lengths into the buffer; PC_E_TOO_LARGE beyond the limits. */
static int pack(struct pc_journal *j, const struct pc_bytes *records, size_t n,
                uint32_t *ret_length)
{
    size_t room = (size_t)pc_min_u64(PC_JOURNAL_BATCH_BYTES_MAX, j->buffer_bytes - PC_BATCH_HEADER);
    struct pc_buf b = pc_buf_of(j->buffer + PC_BATCH_HEADER, room);
    if (n > PC_JOURNAL_BATCH_RECORDS_MAX)
        return PC_E_TOO_LARGE;
    for (size_t i = 0; i < n; i++) {
        uint8_t length[4];
        if (records[i].n > PC_JOURNAL_RECORD_BYTES_MAX)
            return PC_E_TOO_LARGE;
        pc_le_put32(length, (uint32_t)records[i].n);
        pc_buf_put(&b, length, sizeof length);
        pc_buf_bytes(&b, records[i]);
    }
    if (b.overflow)
        return PC_E_TOO_LARGE;
    *ret_length = (uint32_t)b.len;
    return 0;
}

int pc_journal_append(struct pc_journal *j, const struct pc_bytes *records, size_t n,
                      int64_t now_ms, uint64_t *ret_first)
{
    uint32_t length = 0;
    assert_on_writer(j);
    PC_ASSERT(n > 0);
    int err = pc_journal_failed(j);
    if (err == 0)
        err = pack(j, records, n, &length);
    if (err == 0)
        err = make_room(j, length);
    if (err < 0)
        return err;
    uint64_t first = pc_journal_appended(j) + 1;
    err = write_batch(j, length, (uint32_t)n, 0, now_ms);
    if (err == 0)
        *ret_first = first;
    return err;
}

int pc_journal_sync(struct pc_journal *j, uint64_t *ret_durable)
{
    assert_on_writer(j);
    int err = pc_journal_failed(j);
    if (err == 0)
        err = sync_segment(j);
    if (err == 0)
        *ret_durable = pc_journal_durable(j);
    return err;
}

int pc_journal_mark(struct pc_journal *j, uint32_t flags, const void *payload, size_t n,
                    int64_t now_ms)
{
    PC_ASSERT(flags != 0 && n <= PC_SALVAGE_BYTES);
    if (n)
        memcpy(j->buffer + PC_BATCH_HEADER, payload, n);
    int err = make_room(j, (uint32_t)n);
    if (err == 0)
        err = write_batch(j, (uint32_t)n, 0, flags, now_ms);
    return err == 0 ? sync_segment(j) : err;
}

int pc_journal_seal(struct pc_journal *j, int64_t now_ms)
{
    assert_on_writer(j);
    int err = pc_journal_failed(j);
    if (err == 0)
        err = sync_segment(j);
    if (err < 0 || j->sealed)
        return err;
    return pc_journal_mark(j, PC_BATCH_SEAL, NULL, 0, now_ms);
}

/* The oldest segment if it lies at or below position and may go: its number, or 0. */
static uint64_t retirable(struct pc_journal *j, uint64_t position)
{
    uint64_t number = 0;
    pthread_mutex_lock(&j->table_lock);
    position = pc_min_u64(position, j->snapshot_newest);
    /* I5: a segment is given up only when the next one's first batch is durable. */
    if (j->entries_n > 1 && j->entries[0].last <= position && j->entries[1].first &&
        j->entries[1].first <= pc_journal_durable(j))
        number = j->entries[0].number;
    j->entries[0].going |= number != 0;
    pthread_mutex_unlock(&j->table_lock);
    return number;
}

static void drop_oldest_entry(struct pc_journal *j, uint64_t number)
{
    pthread_mutex_lock(&j->table_lock);
    PC_ASSERT(j->entries_n > 1 && j->entries[0].number == number);
    j->entries_n--;
    memmove(j->entries, j->entries + 1, j->entries_n * sizeof *j->entries);
    pthread_mutex_unlock(&j->table_lock);
}

int pc_journal_retire(struct pc_journal *j, uint64_t position, unsigned *ret_freed)
{
    char name[PC_DIR_NAME_BYTES];
    unsigned freed = 0;
    uint64_t number;
    int err = 0;
    pthread_mutex_lock(&j->retire_lock);
    /* One by one from the oldest, each durably before the next, and the same one again after a
     * failure: neither a crash nor an error may leave a hole. */
    while (err == 0 && (number = retirable(j, position)) != 0) {
        pc_dir_segment_name(number, name);
        err = j->dir.ops->unlink(j->dir.ops->ctx, j->dir.fd, name);
        if (err == 0 || err == -ENOENT)
            err = j->dir.ops->sync_dir(j->dir.ops->ctx, j->dir.fd);
        if (err == 0) {
            drop_oldest_entry(j, number);
            freed++;
        }
    }
    pthread_mutex_unlock(&j->retire_lock);
    if (ret_freed)
        *ret_freed = freed;
    return err;
}

/* One pc_journal_read. */
struct reading {
    uint64_t after, upto;
    int (*each)(void *arg, const struct pc_record *record);
    void *arg;
    int answer; /* of each() */
    bool done;
};

static int read_batch(void *arg, const struct pc_batch *b, bool loose)
{
    struct reading *r = arg;
    struct pc_bytes rest = b->records;
    struct pc_record record = {
        b->first, b->incarnation, b->time_ms, {NULL, 0}
    };
    if (loose)
        return PC_E_DAMAGED;
    for (uint32_t i = 0; i < b->count; i++, record.position++) {
        bool got = pc_batch_next_record(&rest, &record.bytes);
        PC_ASSERT(got);
        if (record.position <= r->after || record.position > r->upto)
            continue;
        r->answer = r->each(r->arg, &record);
        if (r->answer)
            return -ECANCELED;
    }
    r->done = pc_batch_last(b) >= r->upto;
    return r->done ? -ECANCELED : 0;
}

/* table_lock held. Only the oldest segment is ever being removed, never the last. */
static const struct pc_segment_entry *oldest_kept(const struct pc_journal *j)
{
    PC_ASSERT(j->entries_n > (j->entries[0].going ? 1 : 0));
    return &j->entries[j->entries[0].going];
}

/* The numbers of the segments that hold positions in (after, upto]; the caller frees them. */
static int segments_of_range(struct pc_journal *j, uint64_t after, uint64_t upto,
                             uint64_t **ret_numbers, size_t *ret_n)
{
    int err = 0;
    size_t n = 0;
    pthread_mutex_lock(&j->table_lock);
    uint64_t *numbers = malloc(j->entries_n * sizeof *numbers);
    if (!numbers)
        err = -ENOMEM;
    else if (oldest_kept(j)->first > after + 1)
        err = -ENOENT;
    for (size_t i = 0; err == 0 && i < j->entries_n; i++) {
        const struct pc_segment_entry *e = &j->entries[i];
        if ((i + 1 == j->entries_n || e->last > after) && e->first <= upto && !e->going)
            numbers[n++] = e->number;
    }
    pthread_mutex_unlock(&j->table_lock);
    if (err) {
        free(numbers);
        return err;
    }
    *ret_numbers = numbers;
    *ret_n = n;
    return 0;
}

int pc_journal_read(struct pc_journal *j, uint64_t after, uint64_t upto,
                    int (*each)(void *arg, const struct pc_record *record), void *arg)
{
    struct reading r = {.after = after, .upto = upto, .each = each, .arg = arg};
    struct pc_findings findings = {.mode = PC_RECOVER_STRICT};
    struct pc_walk w = {.dir = j->dir,
                        .journal_id = j->id,
                        .mark_segment = j->mark_segment,
                        .findings = &findings,
                        .batch = read_batch,
                        .arg = &r};
    uint64_t *numbers;
    size_t n;
    if (upto > pc_journal_durable(j))
        return -EINVAL;
    if (after >= upto)
        return 0;
    int err = segments_of_range(j, after, upto, &numbers, &n);
    if (err)
        return err;
    err = pc_walk_run(&w, numbers, n);
    free(numbers);
    pc_dir_image_free(&w.image);
    if (r.answer || r.done)
        return r.answer;
    /* Everything asked for is durable, so the walk must have come to its end. */
    return err ? err : PC_E_DAMAGED;
}

uint64_t pc_journal_appended(const struct pc_journal *j)
{
    return atomic_load_explicit(&j->appended, memory_order_acquire);
}

uint64_t pc_journal_durable(const struct pc_journal *j)
{
    return atomic_load_explicit(&j->durable, memory_order_acquire);
}

int pc_journal_failed(const struct pc_journal *j)
{
    return atomic_load_explicit(&j->failed, memory_order_acquire);
}

void pc_journal_snapshot_done(struct pc_journal *j, uint64_t position)
{
    pthread_mutex_lock(&j->table_lock);
    if (position > j->snapshot_newest) {
        j->snapshot_previous = j->snapshot_newest;
        j->snapshot_newest = position;
    }
    pthread_mutex_unlock(&j->table_lock);
}

void pc_journal_status(struct pc_journal *j, struct pc_journal_status *ret_status)
{
    struct pc_journal_status s = {.failed = pc_journal_failed(j)};
    s.durable = pc_journal_durable(j); /* before appended, so that it is never the larger (I3) */
    s.appended = pc_journal_appended(j);
    pthread_mutex_lock(&j->table_lock);
    s.oldest = oldest_kept(j)->first;
    s.snapshot_position = j->snapshot_newest;
    s.previous_snapshot = j->snapshot_previous;
    s.segments = (unsigned)j->entries_n;
    s.bytes_used = (uint64_t)j->entries_n * j->segment_bytes;
    pthread_mutex_unlock(&j->table_lock);
    s.next_ready = atomic_load_explicit(&j->next_ready, memory_order_relaxed);
    s.full = atomic_load_explicit(&j->full, memory_order_relaxed);
    if (s.failed)
        memcpy(s.failed_text, j->failed_text, sizeof s.failed_text);
    *ret_status = s;
}
