/* SPDX-License-Identifier: Apache-2.0
 * See survey.h. Read-only; one thread. */
#include "edge/journal/survey.h"

#include <stdio.h>

/* The sectors of a segment's header and of a mark that opens it. */
#define HEAD_BYTES (2u * PC_SECTOR_BYTES)

static void found(struct pc_survey *s, enum pc_recovery_condition c, uint64_t position,
                  const char *detail)
{
    struct pc_found f = {.condition = c, .position = position, .detail = detail};
    pc_findings_add(s->findings, &f);
}

static int read_error(struct pc_survey *s, int err, const char *name)
{
    struct pc_found f = {.condition = pc_recovery_of_errno(err, false), .err = err, .detail = name};
    pc_findings_add(s->findings, &f);
    return err;
}

static int load(struct pc_survey *s, const char *name, size_t max)
{
    uint64_t size;
    int err = pc_dir_load(&s->dir, name, max, &s->walk.image, &size);
    return err < 0 ? read_error(s, err, name) : 0;
}

static struct pc_bytes image(const struct pc_survey *s)
{
    return pc_bytes_of(s->walk.image.p, s->walk.image.n);
}

/* Remembers the newest salvage mark; the journal id from any header if nothing gave it before. */
static int read_head(struct pc_survey *s, uint64_t number)
{
    char name[PC_DIR_NAME_BYTES];
    struct pc_segment_header h;
    struct pc_batch b;
    pc_dir_segment_name(number, name);
    int err = load(s, name, HEAD_BYTES);
    if (err)
        return err;
    if (s->journal_id == 0 && pc_segment_header_parse(image(s), 0, number, &h) == PC_HEADER_VALID)
        s->journal_id = h.journal_id;
    if (s->mark_first == 0 && s->journal_id &&
        pc_batch_parse(image(s), PC_SECTOR_BYTES, number, s->journal_id, &b) == PC_BATCH_VALID &&
        b.flags & PC_BATCH_SALVAGE) {
        s->mark = pc_salvage_mark_of(&b);
        s->mark_first = b.first;
        s->walk.mark_segment = number;
    }
    return 0;
}

static int read_heads(struct pc_survey *s)
{
    for (size_t i = s->listing.segments.n; i-- > 0;) {
        int err = read_head(s, s->listing.segments.v[i]);
        if (err)
            return err;
    }
    return 0;
}

/* The first position of the oldest segment, from its first batch (whose size can be anything). */
static int read_oldest(struct pc_survey *s)
{
    char name[PC_DIR_NAME_BYTES];
    struct pc_batch b;
    if (s->listing.segments.n == 0)
        return 0;
    uint64_t number = s->listing.segments.v[0];
    pc_dir_segment_name(number, name);
    int err = load(s, name, PC_SECTOR_BYTES + PC_BATCH_PADDED_MAX);
    if (err)
        return err;
    if (pc_batch_parse(image(s), PC_SECTOR_BYTES, number, s->journal_id, &b) == PC_BATCH_VALID)
        s->oldest_first = b.first;
    else if (number == 1)
        s->oldest_first = 1; /* the first start did not get as far as its mark */
    return 0;
}

static int read_identity(struct pc_survey *s)
{
    if (!s->listing.identity)
        return 0;
    int err = load(s, PC_DIR_IDENTITY, PC_IDENTITY_BYTES);
    if (err)
        return err;
    switch (pc_identity_parse(image(s), &s->journal_id)) {
    case PC_HEADER_VALID: s->identity_valid = true; break;
    case PC_HEADER_VERSION: found(s, PC_FOUND_IDENTITY_VERSION, 0, NULL); break;
    default: found(s, PC_FOUND_IDENTITY_DAMAGED, 0, NULL);
    }
    return 0;
}

/* Whether the segments continue a state that covers `position`, or an operator accepted, with the
 * newest salvage mark, that they do not. */
static bool segments_reach(const struct pc_survey *s, uint64_t position)
{
    if (s->oldest_first && s->oldest_first <= position + 1)
        return true;
    if (s->mark_first == 0)
        return false;
    return s->mark_first <= position + 1 || (s->mark.snapshot_position == position &&
                                             s->listing.segments.v[0] <= s->mark.oldest_segment);
}

/* Opens the newest snapshot that is whole; *ret_damaged is the newest that is not (0 = none). */
static int newest_whole(struct pc_survey *s, struct pc_snapshot_reader **ret_reader,
                        uint64_t *ret_damaged)
{
    for (size_t i = s->listing.snapshots.n; i-- > 0;) {
        uint64_t position = s->listing.snapshots.v[i];
        char name[PC_DIR_NAME_BYTES];
        pc_dir_snapshot_name(position, name);
        int verdict = pc_snapshot_reader_open(&s->dir, s->journal_id, position, ret_reader);
        if (verdict < 0)
            return read_error(s, verdict, name);
        switch ((enum pc_header_verdict)verdict) {
        case PC_HEADER_VALID: return 0;
        case PC_HEADER_VERSION: found(s, PC_FOUND_SNAPSHOT_VERSION, position, name); break;
        case PC_HEADER_FOREIGN: found(s, PC_FOUND_SNAPSHOT_FOREIGN, position, name); break;
        case PC_HEADER_DAMAGED: *ret_damaged = pc_max_u64(*ret_damaged, position); break;
        }
    }
    return 0;
}

static void judge_start(struct pc_survey *s, uint64_t damaged)
{
    if (s->listing.segments.n == 0) {
        found(s, PC_FOUND_SEGMENTS_GONE, s->snapshot_position, NULL);
        return;
    }
    bool reach = segments_reach(s, s->snapshot_position);
    if (damaged)
        found(s, reach ? PC_FOUND_SNAPSHOT_FALLBACK : PC_FOUND_SNAPSHOT_DAMAGED, damaged, NULL);
    else if (!reach && s->snapshot_position)
        found(s, PC_FOUND_SEGMENT_MISSING, s->snapshot_position + 1,
              "the oldest segment begins after the end of the snapshot");
    else if (!reach)
        found(s, PC_FOUND_SNAPSHOT_MISSING, s->oldest_first, NULL);
}

static int choose_snapshot(struct pc_survey *s)
{
    struct pc_snapshot_reader *r = NULL;
    uint64_t damaged = 0;
    int err = newest_whole(s, &r, &damaged);
    if (err)
        return err;
    if (r) {
        s->snapshot_position = pc_snapshot_info(r)->position;
        s->snapshot_created_ms = pc_snapshot_info(r)->created_ms;
    }
    judge_start(s, damaged);
    /* A refused start need not load anything. */
    if (r && s->snapshot && !s->findings->refused)
        err = s->snapshot(s->arg, r);
    pc_snapshot_reader_close(r);
    return err;
}

/* The newest snapshot by name says that the journal once was durable that far. */
static void check_ahead(struct pc_survey *s)
{
    size_t n = s->listing.snapshots.n;
    const struct pc_walk_end *end = s->gap ? &s->gap->before : &s->walk.end;
    if (n == 0 || s->listing.segments.n == 0)
        return;
    uint64_t newest = s->listing.snapshots.v[n - 1];
    s->walk.highest = pc_max_u64(s->walk.highest, newest);
    if (newest >= end->expected)
        found(s, PC_FOUND_SNAPSHOT_AHEAD, end->expected, NULL);
}

static int walk(struct pc_survey *s)
{
    s->walk.dir = s->dir;
    s->walk.journal_id = s->journal_id;
    s->walk.findings = s->findings;
    s->walk.batch = s->batch;
    s->walk.arg = s->arg;
    s->walk.number = 0;
    int err = pc_walk_run(&s->walk, s->listing.segments.v, s->listing.segments.n);
    if (err)
        return err;
    s->gap = pc_walk_report_tail(&s->walk, &s->gap_action);
    check_ahead(s);
    return 0;
}

int pc_survey_run(struct pc_survey *s)
{
    int err = pc_dir_list(&s->dir, &s->listing);
    if (err < 0)
        return read_error(s, err, NULL);
    if (!s->listing.identity && s->listing.segments.n == 0 && s->listing.snapshots.n == 0) {
        s->empty = true;
        found(s, PC_FOUND_EMPTY, 0, NULL);
        return 0;
    }
    err = read_identity(s);
    if (err == 0)
        err = read_heads(s);
    if (err)
        return err;
    if (s->journal_id == 0) {
        found(s, PC_FOUND_IDENTITY_UNKNOWN, 0, NULL);
        return 0;
    }
    if (!s->listing.identity)
        found(s, PC_FOUND_IDENTITY_MISSING, 0, NULL);
    err = read_oldest(s);
    if (err == 0)
        err = choose_snapshot(s);
    return err ? err : walk(s);
}

void pc_survey_free(struct pc_survey *s)
{
    pc_dir_listing_free(&s->listing);
    pc_dir_image_free(&s->walk.image);
}
