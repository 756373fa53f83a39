/* SPDX-License-Identifier: Apache-2.0
 * See inspect.h. Owns nothing but the open directory and the lock on it. */
#include "edge/journal/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/journal/survey.h"

struct pc_inspect {
    struct pc_dir dir;
    int lock_fd; /* -1: nobody ever locked it (a copy), or not wanted */
    char *path;
};

static int take_lock(struct pc_inspect *i, bool even_if_locked, struct pc_why *why)
{
    int fd = pc_dir_lock(&i->dir, i->path, 0, why);
    i->lock_fd = fd >= 0 ? fd : -1;
    return fd >= 0 || fd == -ENOENT || (fd == PC_E_LOCKED && even_if_locked) ? 0 : fd;
}

int pc_inspect_open(const char *dir, const struct pc_file_ops *ops, bool even_if_locked,
                    struct pc_inspect **ret_inspect, struct pc_why *why)
{
    struct pc_inspect *i = calloc(1, sizeof *i);
    char *path = strdup(dir);
    if (!i || !path) {
        free(i);
        free(path);
        return pc_fail(why, -ENOMEM, "out of memory");
    }
    i->dir.ops = ops ? ops : pc_file_posix();
    i->path = path;
    i->lock_fd = -1;
    i->dir.fd = i->dir.ops->open_dir(i->dir.ops->ctx, dir, false);
    int err = i->dir.fd < 0 ? pc_fail(why, i->dir.fd, "cannot open the directory %s: %s", dir,
                                      pc_strerror(i->dir.fd))
                            : take_lock(i, even_if_locked, why);
    if (err) {
        pc_inspect_close(i);
        return err;
    }
    *ret_inspect = i;
    return 0;
}

void pc_inspect_close(struct pc_inspect *i)
{
    if (!i)
        return;
    if (i->lock_fd >= 0)
        i->dir.ops->close(i->dir.ops->ctx, i->lock_fd);
    if (i->dir.fd >= 0)
        i->dir.ops->close(i->dir.ops->ctx, i->dir.fd);
    free(i->path);
    free(i);
}

static int explain(const struct pc_inspect *i, const struct pc_findings *f, int err,
                   struct pc_why *why)
{
    if (err == 0)
        return 0;
    if (f->refused)
        return pc_findings_result(f, why);
    return pc_fail(why, err, "cannot read %s: %s", i->path, pc_strerror(err));
}

/* One pc_inspect_files: the segments of the listing, filled in while the survey runs. */
struct files {
    struct pc_inspect *i;
    struct pc_survey survey;
    struct pc_inspect_file *segments;
    size_t n;
};

static struct pc_inspect_file *file_of(struct files *f, uint64_t number)
{
    for (size_t k = 0; k < f->n; k++)
        if (f->segments[k].number == number)
            return &f->segments[k];
    return NULL;
}

static int count_batch(void *arg, const struct pc_batch *b, bool loose)
{
    (void)loose;
    struct pc_inspect_file *file = file_of(arg, b->segment);
    if (!file)
        return 0; /* made after the directory was listed */
    if (file->batches++ == 0) {
        file->first = b->first;
        file->from_ms = b->time_ms;
    }
    file->marks += b->count == 0;
    file->records += b->count;
    file->last = pc_batch_last(b);
    file->to_ms = b->time_ms;
    file->used_bytes = b->offset + b->padded;
    file->prepared = false;
    return 0;
}

static void note_damage(void *ctx, const struct pc_finding *finding)
{
    struct pc_inspect_file *file = file_of(ctx, finding->segment);
    if (!file)
        return;
    file->damaged = true;
    file->prepared = false;
}

static int size_of(const struct pc_inspect *i, const char *name, uint64_t *ret_bytes)
{
    int fd = i->dir.ops->open(i->dir.ops->ctx, i->dir.fd, name, 0);
    if (fd < 0)
        return fd;
    int err = i->dir.ops->size(i->dir.ops->ctx, fd, ret_bytes);
    i->dir.ops->close(i->dir.ops->ctx, fd);
    return err;
}

static int list_segments(struct files *f)
{
    struct pc_dir_listing l;
    int err = pc_dir_list(&f->i->dir, &l);
    if (err < 0)
        return err;
    f->segments = calloc(l.segments.n + 1, sizeof *f->segments);
    if (!f->segments)
        err = -ENOMEM;
    for (size_t k = 0; err == 0 && k < l.segments.n; k++) {
        struct pc_inspect_file *file = &f->segments[f->n++];
        file->kind = PC_INSPECT_SEGMENT;
        file->number = l.segments.v[k];
        file->prepared = true;
        pc_dir_segment_name(file->number, file->name);
        err = size_of(f->i, file->name, &file->bytes);
    }
    pc_dir_listing_free(&l);
    return err;
}

static int tell_snapshot(struct files *f, uint64_t position,
                         int (*each)(void *arg, const struct pc_inspect_file *file), void *arg)
{
    struct pc_inspect_file file = {.kind = PC_INSPECT_SNAPSHOT, .last = position};
    struct pc_snapshot_reader *r;
    pc_dir_snapshot_name(position, file.name);
    int verdict = pc_snapshot_reader_open(&f->i->dir, f->survey.journal_id, position, &r);
    if (verdict < 0)
        return verdict;
    file.damaged = verdict != PC_HEADER_VALID;
    if (!file.damaged) {
        const struct pc_snapshot_info *info = pc_snapshot_info(r);
        file.blocks = info->blocks;
        file.from_ms = file.to_ms = info->created_ms;
        pc_snapshot_reader_close(r);
    }
    int err = size_of(f->i, file.name, &file.bytes);
    return err < 0 ? err : each(arg, &file);
}

static int tell_files(struct files *f, int (*each)(void *arg, const struct pc_inspect_file *file),
                      void *arg)
{
    int err = 0;
    if (f->survey.listing.identity) {
        struct pc_inspect_file file = {.kind = PC_INSPECT_IDENTITY, .name = PC_DIR_IDENTITY};
        file.damaged = !f->survey.identity_valid;
        err = size_of(f->i, file.name, &file.bytes);
        if (err == 0)
            err = each(arg, &file);
    }
    for (size_t k = 0; err == 0 && k < f->n; k++)
        err = each(arg, &f->segments[k]);
    for (size_t k = 0; err == 0 && k < f->survey.listing.snapshots.n; k++)
        err = tell_snapshot(f, f->survey.listing.snapshots.v[k], each, arg);
    return err;
}

int pc_inspect_files(struct pc_inspect *i,
                     int (*each)(void *arg, const struct pc_inspect_file *file), void *arg,
                     struct pc_why *why)
{
    struct files f = {.i = i};
    struct pc_findings findings = {.mode = PC_RECOVER_SALVAGE, .tell = note_damage, .ctx = &f};
    f.survey =
        (struct pc_survey){.dir = i->dir, .findings = &findings, .batch = count_batch, .arg = &f};
    int err = list_segments(&f);
    if (err == 0)
        err = pc_survey_run(&f.survey);
    err = explain(i, &findings, err, why);
    if (err == 0)
        err = tell_files(&f, each, arg);
    pc_survey_free(&f.survey);
    free(f.segments);
    return err;
}

/* One pc_inspect_records. */
struct dump {
    uint64_t after, upto;
    int (*each)(void *arg, const struct pc_record *record, const struct pc_inspect_place *place);
    void *arg;
    int answer;
};

static int dump_batch(void *arg, const struct pc_batch *b, bool loose)
{
    struct dump *d = arg;
    struct pc_bytes rest = b->records;
    struct pc_record record = {
        b->first, b->incarnation, b->time_ms, {NULL, 0}
    };
    struct pc_inspect_place place = {b->segment, b->offset, b->durable, loose};
    if (b->count == 0)
        return 0;
    for (; d->answer == 0 && pc_batch_next_record(&rest, &record.bytes); record.position++)
        if (record.position > d->after && record.position <= d->upto)
            d->answer = d->each(d->arg, &record, &place);
    return d->answer ? -ECANCELED : 0;
}

int pc_inspect_records(struct pc_inspect *i, uint64_t after, uint64_t upto,
                       int (*each)(void *arg, const struct pc_record *record,
                                   const struct pc_inspect_place *place),
                       void *arg, struct pc_why *why)
{
    struct dump d = {.after = after, .upto = upto, .each = each, .arg = arg};
    struct pc_findings findings = {.mode = PC_RECOVER_SALVAGE};
    struct pc_survey s = {.dir = i->dir, .findings = &findings, .batch = dump_batch, .arg = &d};
    int err = pc_survey_run(&s);
    pc_survey_free(&s);
    if (d.answer)
        return d.answer;
    return err ? explain(i, &findings, err, why) : pc_findings_result(&findings, why);
}

static int note_durable(void *arg, const struct pc_batch *b, bool loose)
{
    uint64_t *position = arg;
    (void)loose;
    *position = pc_max_u64(*position, b->durable);
    return 0;
}

int pc_inspect_durable(struct pc_inspect *i, uint64_t *ret_position, struct pc_why *why)
{
    uint64_t position = 0;
    struct pc_findings findings = {.mode = PC_RECOVER_SALVAGE};
    struct pc_survey s = {
        .dir = i->dir, .findings = &findings, .batch = note_durable, .arg = &position};
    int err = pc_survey_run(&s);
    pc_survey_free(&s);
    err = err ? explain(i, &findings, err, why) : pc_findings_result(&findings, why);
    if (err == 0)
        *ret_position = position;
    return err;
}

static int count_records(void *arg, const struct pc_batch *b, bool loose)
{
    (void)loose;
    *(uint64_t *)arg += b->count;
    return 0;
}

/* A start reads snapshots only until it finds a whole one; here the older ones are read too. */
static int verify_older(struct pc_inspect *i, const struct pc_survey *s)
{
    for (size_t k = 0; k < s->listing.snapshots.n; k++) {
        uint64_t position = s->listing.snapshots.v[k];
        struct pc_snapshot_reader *r = NULL;
        if (position >= s->snapshot_position)
            break;
        int verdict = pc_snapshot_reader_open(&i->dir, s->journal_id, position, &r);
        if (verdict < 0)
            return verdict;
        pc_snapshot_reader_close(r);
        struct pc_found found = {.condition = PC_FOUND_SNAPSHOT_FALLBACK, .position = position};
        if (verdict != PC_HEADER_VALID)
            pc_findings_add(s->findings, &found);
    }
    return 0;
}

int pc_inspect_verify(struct pc_inspect *i, enum pc_recover_mode mode,
                      void (*finding)(void *arg, const struct pc_finding *finding), void *arg,
                      struct pc_inspect_summary *ret_summary, struct pc_why *why)
{
    uint64_t records = 0;
    struct pc_findings findings = {.mode = mode, .tell = finding, .ctx = arg};
    struct pc_survey s = {
        .dir = i->dir, .findings = &findings, .batch = count_records, .arg = &records};
    int err = pc_survey_run(&s);
    if (err == 0 && s.journal_id)
        err = verify_older(i, &s);
    *ret_summary = (struct pc_inspect_summary){
        .findings = findings.count,
        .segments = s.listing.segments.n,
        .snapshots = s.listing.snapshots.n,
        .batches = s.walk.batches,
        .records = records,
        .position = s.walk.end.expected ? s.walk.end.expected - 1 : 0,
        .snapshot_position = s.snapshot_position,
        .journal_id = s.journal_id,
        .last_time_ms = s.walk.batches ? s.walk.end.time_ms : INT64_MIN,
    };
    pc_survey_free(&s);
    if (err == 0)
        return pc_findings_result(&findings, why);
    return explain(i, &findings, err, why);
}
