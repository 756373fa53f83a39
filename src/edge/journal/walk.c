/* SPDX-License-Identifier: Apache-2.0
 * See walk.h. What makes it exact:
 *
 * I1  A batch belongs to the log if its first position is the one after the batch before it, and it
 *     was written by the same start, or begins one. (So what an earlier start wrote and a later one
 * cut off does not come back.) I2  Where that fails, the log has a gap. The gap is damage if a
 * later batch says that the position it begins at was durable, or if a later segment was written to
 * (a segment is begun only when everything before it is synced), or if it begins at no known
 * position (a segment is freed only when the next one holds a durable batch). Otherwise a crash
 * explains it. I3  So an unexplained gap lies in the last segment ever written to, and cutting
 * there loses nothing that was acknowledged as durable, except in the case recovery.h names. */
#include "edge/journal/walk.h"

#include <stdio.h>

static struct pc_bytes image_bytes(const struct pc_walk *w)
{
    return pc_bytes_of(w->image.p, w->image.n);
}

static bool accepted(const struct pc_walk *w, uint64_t segment)
{
    return segment < w->mark_segment;
}

static void report(struct pc_walk *w, enum pc_recovery_condition c, uint64_t segment,
                   uint64_t offset, uint64_t position, const char *detail)
{
    struct pc_found found = {.condition = c,
                             .accepted = accepted(w, segment),
                             .segment = segment,
                             .offset = offset,
                             .position = position,
                             .detail = detail};
    pc_findings_add(w->findings, &found);
}

static void drop_gap(struct pc_walk *w, unsigned i)
{
    memmove(&w->gaps[i], &w->gaps[i + 1], (w->gaps_n - i - 1) * sizeof w->gaps[0]);
    w->gaps_n--;
}

static void report_damage(struct pc_walk *w, const struct pc_walk_gap *g)
{
    report(w, PC_FOUND_DAMAGED, g->segment, g->offset, g->before.expected, NULL);
}

/* I2: a batch that is valid says that everything up to `durable` was synced before it. */
static void prove_durable(struct pc_walk *w, uint64_t durable)
{
    for (unsigned i = 0; i < w->gaps_n;) {
        if (w->gaps[i].before.expected > durable) {
            i++;
            continue;
        }
        report_damage(w, &w->gaps[i]);
        drop_gap(w, i);
    }
}

/* I2: this segment has been written to, so everything in earlier ones was synced. */
static void prove_earlier_segments(struct pc_walk *w)
{
    for (unsigned i = 0; i < w->gaps_n;) {
        if (w->gaps[i].segment == w->number) {
            i++;
            continue;
        }
        report_damage(w, &w->gaps[i]);
        drop_gap(w, i);
    }
}

static void open_gap(struct pc_walk *w, uint32_t offset, bool stale)
{
    struct pc_walk_gap g = {
        .before = w->end, .segment = w->number, .offset = offset, .stale = stale};
    w->loose = !accepted(w, w->number);
    if (w->end.expected == 0 || accepted(w, w->number))
        report_damage(w, &g);
    else if (w->gaps_n < PC_WALK_GAPS_MAX)
        w->gaps[w->gaps_n++] = g;
    /* Else it need not be kept: it lies behind those that are, so what proves it to be damage
     * proves them too, and the log is cut at the first of them. */
}

/* A salvage mark opens its segment and may leave a hole before it. */
static bool is_salvage_mark(const struct pc_batch *b)
{
    return b->flags & PC_BATCH_SALVAGE && b->offset == PC_SECTOR_BYTES;
}

/* I1 */
static bool belongs(const struct pc_walk *w, const struct pc_batch *b)
{
    if (is_salvage_mark(b))
        return b->first >= w->end.expected;
    if (w->end.incarnation && b->incarnation != w->end.incarnation && !(b->flags & PC_BATCH_START))
        return false;
    return w->end.expected == 0 || b->first == w->end.expected;
}

static int accept(struct pc_walk *w, const struct pc_batch *b)
{
    prove_durable(w, b->durable);
    for (unsigned i = 0; i < w->gaps_n; i++)
        w->gaps[i].later++;
    if (is_salvage_mark(b))
        w->loose = false;
    struct pc_walk_end *e = &w->end;
    if (e->segment != b->segment || b->durable == b->first - 1)
        e->window_offset = b->offset;
    e->segment = b->segment;
    e->offset = b->offset + b->padded;
    e->expected = pc_batch_last(b) + 1;
    e->incarnation = b->incarnation;
    e->sealed = b->flags != 0;
    e->time_ms = b->time_ms;
    w->highest = pc_max_u64(w->highest, pc_batch_last(b));
    w->batches++;
    return w->batch ? w->batch(w->arg, b, w->loose) : 0;
}

/* The offset of the next batch at or after `offset` that can follow in the log, or the end. */
static uint32_t find_next(const struct pc_walk *w, uint32_t offset, struct pc_batch *ret_batch)
{
    uint32_t end = (uint32_t)w->image.n;
    for (; offset < end; offset += PC_SECTOR_BYTES) {
        if (pc_batch_parse(image_bytes(w), offset, w->number, w->journal_id, ret_batch) ==
                PC_BATCH_VALID &&
            ret_batch->first >= w->end.expected)
            break;
    }
    return offset < end ? offset : end;
}

static int walk_body(struct pc_walk *w)
{
    uint32_t offset = PC_SECTOR_BYTES, n = (uint32_t)w->image.n;
    while (offset < n) {
        struct pc_batch b;
        enum pc_batch_verdict v =
            pc_batch_parse(image_bytes(w), offset, w->number, w->journal_id, &b);
        if (v != PC_BATCH_VALID || !belongs(w, &b)) {
            if (pc_all_zero(w->image.p + offset, n - offset))
                return 0;
            open_gap(w, offset, v == PC_BATCH_STALE);
            offset = find_next(w, offset, &b);
            if (offset == n)
                return 0;
        }
        int err = accept(w, &b);
        if (err)
            return err;
        offset += b.padded;
    }
    return 0;
}

/* False when the body of this segment is not to be looked at. */
static bool check_header(struct pc_walk *w, uint64_t size)
{
    struct pc_segment_header h;
    switch (pc_segment_header_parse(image_bytes(w), w->journal_id, w->number, &h)) {
    case PC_HEADER_VERSION:
        report(w, PC_FOUND_SEGMENT_VERSION, w->number, 0, 0, NULL);
        return false;
    case PC_HEADER_FOREIGN:
        report(w, PC_FOUND_SEGMENT_FOREIGN, w->number, 0, 0, NULL);
        return false;
    case PC_HEADER_DAMAGED: report(w, PC_FOUND_SEGMENT_HEADER, w->number, 0, 0, NULL); return true;
    case PC_HEADER_VALID: break;
    }
    if (h.bytes != size) {
        char detail[80];
        snprintf(detail, sizeof detail, "%llu bytes instead of %llu", (unsigned long long)size,
                 (unsigned long long)h.bytes);
        report(w, PC_FOUND_SEGMENT_SIZE, w->number, 0, 0, detail);
    }
    return true;
}

static void check_missing(struct pc_walk *w, uint64_t previous)
{
    if (previous == 0 || w->number == previous + 1)
        return;
    char detail[80];
    snprintf(detail, sizeof detail, "%llu of them", (unsigned long long)(w->number - previous - 1));
    report(w, PC_FOUND_SEGMENT_MISSING, previous + 1, 0, w->end.expected, detail);
    /* What was lost is said; the walk goes on from whatever comes next. */
    w->loose = !accepted(w, previous + 1);
    w->end.expected = 0;
    w->end.incarnation = 0;
}

static int walk_segment(struct pc_walk *w, uint64_t number)
{
    char name[PC_DIR_NAME_BYTES];
    uint64_t size;
    uint64_t previous = w->number;
    w->number = number;
    check_missing(w, previous);
    pc_dir_segment_name(number, name);
    int err = pc_dir_load(&w->dir, name, PC_JOURNAL_SEGMENT_BYTES_MAX, &w->image, &size);
    if (err < 0) {
        struct pc_found found = {
            .condition = pc_recovery_of_errno(err, false), .err = err, .segment = number};
        pc_findings_add(w->findings, &found);
        return err;
    }
    if (!check_header(w, size) || w->image.n <= PC_SECTOR_BYTES)
        return 0;
    if (!pc_all_zero(w->image.p + PC_SECTOR_BYTES, w->image.n - PC_SECTOR_BYTES))
        prove_earlier_segments(w);
    return walk_body(w);
}

int pc_walk_run(struct pc_walk *w, const uint64_t *numbers, size_t n)
{
    w->end = (struct pc_walk_end){.expected = n && numbers[0] == 1 ? 1 : 0, .time_ms = INT64_MIN};
    for (size_t i = 0; i < n; i++) {
        int err = walk_segment(w, numbers[i]);
        if (err)
            return err;
    }
    return 0;
}

const struct pc_walk_gap *pc_walk_report_tail(struct pc_walk *w,
                                              enum pc_recovery_action *ret_action)
{
    if (w->gaps_n == 0)
        return NULL;
    const struct pc_walk_gap *g = &w->gaps[0];
    char detail[80];
    snprintf(detail, sizeof detail, "%u valid batches after it", g->later);
    enum pc_recovery_condition c = g->later   ? PC_FOUND_TAIL_UNSYNCED
                                   : g->stale ? PC_FOUND_TAIL_STALE
                                              : PC_FOUND_TAIL_TORN;
    struct pc_found found = {.condition = c,
                             .segment = g->segment,
                             .offset = g->offset,
                             .position = g->before.expected,
                             .detail = g->later ? detail : NULL};
    *ret_action = pc_findings_add(w->findings, &found);
    return g;
}
