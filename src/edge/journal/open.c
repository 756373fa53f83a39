/* SPDX-License-Identifier: Apache-2.0
 * Opening a journal: lock, survey, act on what was found, make the new incarnation durable. Runs
 * before any other thread knows the journal.
 *
 * Nothing is written before everything was looked at and nothing refused. Then, in this order: the
 * names of the files are made durable; the tail is cut; the last batches, which no later one proves
 * durable, are written once more (a sync that failed in an earlier process may have left them in
 * memory only); both are synced; a segment is opened behind a salvage mark, or the start mark
 * appended to the last one; the identity file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "edge/journal/journal_private.h"
#include "edge/journal/survey.h"

#define COPY_BYTES (1u << 20)

/* One pc_journal_open. */
struct opening {
    struct pc_journal *j;
    const struct pc_journal_options *options;
    const struct pc_replay *replay;
    struct pc_findings findings;
    struct pc_survey survey;
    struct pc_recovered recovered;
};

static int check_options(const struct pc_journal_options *o, struct pc_why *why)
{
    uint32_t n = o->segment_bytes;
    PC_ASSERT(o->incarnation != 0 && o->new_id != 0 && o->pid > 0);
    PC_ASSERT(o->recover < PC_RECOVER_MODES);
    if (n && (n < PC_JOURNAL_SEGMENT_BYTES_MIN || n > PC_JOURNAL_SEGMENT_BYTES_MAX ||
              n % PC_SECTOR_BYTES))
        return pc_fail(why, -EINVAL, "segments of %u bytes: not a multiple of %u from %u to %u", n,
                       PC_SECTOR_BYTES, PC_JOURNAL_SEGMENT_BYTES_MIN, PC_JOURNAL_SEGMENT_BYTES_MAX);
    return 0;
}

static struct pc_journal *journal_new(const struct pc_journal_options *o)
{
    struct pc_journal *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->dir = (struct pc_dir){o->ops ? o->ops : pc_file_posix(), -1};
    j->lock_fd = j->fd = j->next_fd = -1;
    j->incarnation = o->incarnation;
    j->segment_bytes = o->segment_bytes ? o->segment_bytes : PC_JOURNAL_SEGMENT_BYTES;
    pthread_mutex_init(&j->prepare_lock, NULL);
    pthread_mutex_init(&j->table_lock, NULL);
    pthread_mutex_init(&j->retire_lock, NULL);
    j->path = strdup(o->dir);
    /* Room for the largest batch that fits a segment, whichever limit is met first. */
    j->buffer_bytes = (uint32_t)pc_min_u64(PC_BATCH_PADDED_MAX, j->segment_bytes - PC_SECTOR_BYTES);
    j->buffer = aligned_alloc(PC_SECTOR_BYTES, j->buffer_bytes);
    if (j->path && j->buffer)
        return j;
    pc_journal_close(j);
    return NULL;
}

static void close_fd(struct pc_journal *j, int fd)
{
    if (fd >= 0)
        j->dir.ops->close(j->dir.ops->ctx, fd);
}

void pc_journal_close(struct pc_journal *j)
{
    if (!j)
        return;
    PC_ASSERT(!atomic_load(&j->snapshotting));
    close_fd(j, j->fd);
    close_fd(j, j->next_fd);
    close_fd(j, j->lock_fd); /* last of the files: only now may another server begin */
    close_fd(j, j->dir.fd);
    pthread_mutex_destroy(&j->prepare_lock);
    pthread_mutex_destroy(&j->table_lock);
    pthread_mutex_destroy(&j->retire_lock);
    free(j->entries);
    free(j->buffer);
    free(j->path);
    free(j);
}

/* A disk error while acting: a finding like any other, whose row says what to do. */
static int disk_failed(struct opening *o, int err, bool writing, const char *what)
{
    struct pc_found found = {
        .condition = pc_recovery_of_errno(err, writing), .err = err, .detail = what};
    pc_findings_add(&o->findings, &found);
    return err;
}

static int take_directory(struct opening *o, struct pc_why *why)
{
    struct pc_journal *j = o->j;
    j->dir.fd = j->dir.ops->open_dir(j->dir.ops->ctx, j->path, true);
    if (j->dir.fd < 0)
        return disk_failed(o, j->dir.fd, true, j->path);
    int fd = pc_dir_lock(&j->dir, j->path, o->options->pid, why);
    if (fd == PC_E_LOCKED)
        return fd;
    if (fd < 0)
        return disk_failed(o, fd, true, PC_DIR_LOCK);
    j->lock_fd = fd;
    return 0;
}

static int on_snapshot(void *arg, struct pc_snapshot_reader *snapshot)
{
    struct opening *o = arg;
    o->recovered.snapshot_position = pc_snapshot_info(snapshot)->position;
    o->recovered.last_time_ms = pc_snapshot_info(snapshot)->created_ms;
    return o->replay->snapshot ? o->replay->snapshot(o->replay->ctx, snapshot) : 0;
}

/* Keeps the segment table: what each segment holds. */
static int note_entry(struct pc_journal *j, const struct pc_batch *b)
{
    struct pc_segment_entry e = {.number = b->segment, .first = b->first, .last = pc_batch_last(b)};
    size_t n = j->entries_n;
    if (n == 0 || j->entries[n - 1].number != b->segment)
        return pc_journal_add_entry(j, &e);
    j->entries[n - 1].last = e.last;
    return 0;
}

static int on_batch(void *arg, const struct pc_batch *b, bool loose)
{
    struct opening *o = arg;
    struct pc_bytes rest = b->records;
    struct pc_record record = {
        b->first, b->incarnation, b->time_ms, {NULL, 0}
    };
    /* Behind a hole the log is not to be trusted; only salvage takes what it can get. */
    if (o->findings.refused || (loose && o->options->recover != PC_RECOVER_SALVAGE))
        return 0;
    int err = note_entry(o->j, b);
    for (uint32_t i = 0; err == 0 && i < b->count; i++, record.position++) {
        bool got = pc_batch_next_record(&rest, &record.bytes);
        PC_ASSERT(got);
        if (record.position <= o->survey.snapshot_position)
            continue;
        o->recovered.records++;
        err = o->replay->record(o->replay->ctx, &record);
    }
    return err;
}

static int open_segment(struct pc_journal *j, uint64_t number, uint64_t *ret_size)
{
    char name[PC_DIR_NAME_BYTES];
    pc_dir_segment_name(number, name);
    int fd = j->dir.ops->open(j->dir.ops->ctx, j->dir.fd, name, PC_FILE_WRITE);
    if (fd < 0)
        return fd;
    int err = j->dir.ops->size(j->dir.ops->ctx, fd, ret_size);
    if (err == 0)
        return fd;
    close_fd(j, fd);
    return err;
}

/* Overwrites [from, to) with zeros, or with its own bytes, so that the next sync writes it. */
static int rewrite(struct pc_journal *j, int fd, uint64_t from, uint64_t to, bool zero)
{
    uint8_t *chunk = calloc(1, (size_t)pc_min_u64(COPY_BYTES, to - from + 1));
    if (!chunk)
        return -ENOMEM;
    int err = 0;
    for (uint64_t at = from; err == 0 && at < to; at += COPY_BYTES) {
        size_t n = (size_t)pc_min_u64(COPY_BYTES, to - at);
        if (!zero)
            err = pc_file_read_all(j->dir.ops, fd, chunk, n, at);
        if (err == 0)
            err = pc_file_write_all(j->dir.ops, fd, chunk, n, at);
    }
    free(chunk);
    return err == 0 ? j->dir.ops->sync(j->dir.ops->ctx, fd) : err;
}

static int cut_tail(struct opening *o)
{
    const struct pc_walk_gap *gap = o->survey.gap;
    uint64_t size;
    if (!gap || o->survey.gap_action != PC_RECOVERY_CUT)
        return 0;
    int fd = open_segment(o->j, gap->segment, &size);
    if (fd < 0)
        return disk_failed(o, fd, true, "opening the segment to cut");
    int err = rewrite(o->j, fd, gap->offset, size, true);
    close_fd(o->j, fd);
    return err < 0 ? disk_failed(o, err, true, "cutting the tail") : 0;
}

/* Goes on behind the last batch, which is made durable first. */
static int resume_segment(struct opening *o, const struct pc_walk_end *end)
{
    uint64_t size;
    int fd = open_segment(o->j, end->segment, &size);
    if (fd < 0)
        return disk_failed(o, fd, true, "opening the last segment");
    pc_journal_use_segment(o->j, fd, end->segment, end->offset, (uint32_t)size);
    o->j->sealed = end->sealed;
    int err = rewrite(o->j, fd, end->window_offset, end->offset, false);
    return err < 0 ? disk_failed(o, err, true, "writing the last batches again") : 0;
}

/* Takes the first segment as it is if an earlier start got no further than making it. */
static int first_segment(struct opening *o)
{
    const struct pc_dir_numbers *segments = &o->survey.listing.segments;
    struct pc_journal *j = o->j;
    uint64_t size = j->segment_bytes;
    struct pc_segment_entry e = {.number = 1, .first = 1};
    int fd = segments->n ? open_segment(j, 1, &size) : pc_journal_make_segment(j, 1);
    if (fd < 0)
        return disk_failed(o, fd, true, "making the first segment");
    pc_journal_use_segment(j, fd, 1, PC_SECTOR_BYTES, (uint32_t)size);
    int err = pc_journal_add_entry(j, &e);
    return err < 0 ? disk_failed(o, err, true, "the table of segments") : 0;
}

/* A new segment behind everything that is there, for the salvage mark. */
static int salvage_segment(struct opening *o)
{
    const struct pc_dir_numbers *segments = &o->survey.listing.segments;
    struct pc_journal *j = o->j;
    uint64_t number = segments->n ? segments->v[segments->n - 1] + 1 : 1;
    struct pc_segment_entry e = {.number = number, .first = pc_journal_appended(j) + 1};
    int fd = pc_journal_make_segment(j, number);
    if (fd < 0)
        return disk_failed(o, fd, true, "making a segment after the damage");
    pc_journal_use_segment(j, fd, number, PC_SECTOR_BYTES, j->segment_bytes);
    j->mark_segment = number;
    int err = pc_journal_add_entry(j, &e);
    return err < 0 ? disk_failed(o, err, true, "the table of segments") : 0;
}

/* Where the log ends once the tail is cut, if it is. */
static const struct pc_walk_end *last_end(const struct pc_survey *s)
{
    return s->gap && s->gap_action == PC_RECOVERY_CUT ? &s->gap->before : &s->walk.end;
}

/* Opens the segment to append to and sets the positions to those of the recovered log. */
static int place_writer(struct opening *o)
{
    const struct pc_survey *s = &o->survey;
    struct pc_journal *j = o->j;
    struct pc_walk_end end = *last_end(s);
    uint64_t position = end.expected ? end.expected - 1 : 0;
    if (o->findings.skipped)
        position = pc_max_u64(s->walk.highest, s->snapshot_position) + PC_SALVAGE_JUMP;
    j->mark_segment = s->walk.mark_segment;
    atomic_store(&j->appended, position);
    atomic_store(&j->durable, position);
    j->snapshot_newest = s->snapshot_position;
    if (o->findings.skipped)
        return salvage_segment(o);
    return end.segment ? resume_segment(o, &end) : first_segment(o);
}

/* A segment prepared by an earlier process is taken over; one of another size is made anew. */
static int adopt_next(struct opening *o)
{
    const struct pc_dir_numbers *segments = &o->survey.listing.segments;
    struct pc_journal *j = o->j;
    uint64_t size;
    j->next_number = j->number + 1;
    for (size_t i = segments->n; i-- > 0 && segments->v[i] >= j->next_number;) {
        if (segments->v[i] != j->next_number)
            continue;
        int fd = open_segment(j, j->next_number, &size);
        if (fd < 0)
            return disk_failed(o, fd, true, "opening the prepared segment");
        if (size != j->segment_bytes) {
            close_fd(j, fd);
            return 0;
        }
        j->next_fd = fd;
        atomic_store(&j->next_ready, true);
    }
    return 0;
}

static int write_start(struct opening *o)
{
    struct pc_journal *j = o->j;
    uint8_t payload[PC_SALVAGE_BYTES];
    const struct pc_dir_numbers *segments = &o->survey.listing.segments;
    struct pc_salvage_mark mark = {o->survey.snapshot_position,
                                   segments->n ? segments->v[0] : j->number};
    uint32_t flags = PC_BATCH_START | (o->findings.skipped ? PC_BATCH_SALVAGE : 0u);
    size_t n = o->findings.skipped ? sizeof payload : 0;
    pc_salvage_mark_encode(&mark, payload);
    int err = pc_journal_mark(j, flags, payload, n, o->options->now_ms);
    return err < 0 ? disk_failed(o, err, true, "writing the start mark") : 0;
}

static int write_identity(struct opening *o)
{
    uint8_t identity[PC_IDENTITY_BYTES];
    if (o->survey.identity_valid)
        return 0;
    pc_identity_encode(o->j->id, o->options->now_ms, identity);
    int err =
        pc_dir_replace(&o->j->dir, PC_DIR_IDENTITY_NEW, PC_DIR_IDENTITY, identity, sizeof identity);
    return err < 0 ? disk_failed(o, err, true, "writing " PC_DIR_IDENTITY) : 0;
}

/* A process that died, or could not sync, may have left names that are seen but not durable; what
 * is built on them now would go with them at a crash. */
static int keep_names(struct opening *o)
{
    int err = o->j->dir.ops->sync_dir(o->j->dir.ops->ctx, o->j->dir.fd);
    return err < 0 ? disk_failed(o, err, true, "syncing the directory") : 0;
}

static int act(struct opening *o)
{
    int err = keep_names(o);
    o->j->id = o->survey.journal_id ? o->survey.journal_id : o->options->new_id;
    if (err == 0 && o->survey.listing.leftovers) {
        err = pc_dir_remove_leftovers(&o->j->dir);
        if (err < 0)
            disk_failed(o, err, true, "removing unfinished files");
    }
    if (err == 0)
        err = cut_tail(o);
    if (err == 0)
        err = place_writer(o);
    if (err == 0)
        err = adopt_next(o);
    if (err == 0)
        err = write_start(o);
    return err ? err : write_identity(o);
}

static int recover(struct opening *o, struct pc_why *why)
{
    int err = take_directory(o, why);
    if (err)
        return err;
    o->survey.dir = o->j->dir;
    err = pc_survey_run(&o->survey);
    if (err == 0)
        err = pc_findings_result(&o->findings, why);
    return err ? err : act(o);
}

static void tell_result(struct opening *o)
{
    struct pc_recovered *r = &o->recovered;
    r->created = o->survey.empty;
    r->journal_id = o->j->id;
    r->position = pc_journal_durable(o->j);
    r->findings = o->findings.count - (o->survey.empty ? 1 : 0);
    /* Of the last batch, not the largest: a clock that was once far ahead may be right again. */
    if (!o->survey.empty && last_end(&o->survey)->time_ms != INT64_MIN)
        r->last_time_ms = last_end(&o->survey)->time_ms;
}

int pc_journal_open(const struct pc_journal_options *options, const struct pc_replay *replay,
                    struct pc_journal **ret_journal, struct pc_recovered *ret_recovered,
                    struct pc_why *why)
{
    int err = check_options(options, why);
    if (err)
        return err;
    struct opening o = {.options = options, .replay = replay};
    o.findings.mode = options->recover;
    o.findings.tell = replay->finding;
    o.findings.ctx = replay->ctx;
    o.survey.findings = &o.findings;
    o.survey.snapshot = on_snapshot;
    o.survey.batch = on_batch;
    o.survey.arg = &o;
    o.recovered.last_time_ms = INT64_MIN;
    pc_fail(why, 0, "%s", "");
    o.j = journal_new(options);
    if (!o.j)
        return pc_fail(why, -ENOMEM, "out of memory");
    err = recover(&o, why);
    if (err == 0)
        tell_result(&o);
    else if (o.findings.refused)
        pc_findings_result(&o.findings, why);
    pc_survey_free(&o.survey);
    if (err) {
        pc_journal_close(o.j);
        /* Neither a refusal nor the lock, and a callback that failed did not say why. */
        if (why && !why->text[0])
            pc_fail(why, err, "recovery of %s stopped: %s", options->dir, pc_strerror(err));
        return err;
    }
    *ret_journal = o.j;
    *ret_recovered = o.recovered;
    return 0;
}
