/* SPDX-License-Identifier: Apache-2.0
 * See audit.h. Owns audit.jsonl while the server runs, and a reader of the journal. */
#include "edge/writer/audit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "edge/journal/lines.h"
#include "edge/journal/tail.h"
#include "link/audit_line.h"

#define NS_PER_MS INT64_C(1000000)

static const char why_retired[] =
    "these records are no longer in the journal and were never derived: the audit was off";
/* A place in the file, and what it stands for. */
struct mark {
    uint64_t offset;           /* in audit.jsonl */
    uint64_t position;         /* every record up to here has its line before offset */
    uint64_t named;            /* the last position that a line before offset names */
    struct pc_audit_hash hash; /* of the line before offset: the next one's prev */
    uint64_t number;           /* first position in the file; 0 while it is empty */
};

struct pc_audit {
    struct pc_audit_options o;
    const struct pc_file_ops *ops;
    int dir, fd; /* -1: not open */
    struct pc_tail *tail;
    bool begun; /* the files were looked at: `synced` says where audit.jsonl is good to */
    struct mark written, synced;
    uint64_t ahead_to;      /* the file went on to there, the journal did not; 0 = no, or noted */
    bool gap_due;           /* that is still to be written */
    int64_t dirty_since_ns; /* the oldest unsynced line; 0: none */
    int64_t retry_ns;       /* not before; 0: nothing failed */
    uint8_t *out;           /* lines to be written at written.offset */
    size_t out_n;
    uint32_t out_lines;
    uint64_t out_named;            /* by the last line in out */
    struct pc_audit_hash out_hash; /* of the last line in out */
    uint8_t *line;                 /* PC_AUDIT_LINE_MAX */

    /* [any] */
    _Atomic uint64_t synced_position, synced_named, position, lines, failures;
    atomic_bool failing;
    pthread_mutex_t lock; /* guards why */
    char why[256];
};

int pc_audit_new(const struct pc_audit_options *o, struct pc_audit **ret_a)
{
    struct pc_audit *a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->o = *o;
    a->o.file_bytes = o->file_bytes ? o->file_bytes : PC_AUDIT_FILE_BYTES;
    a->ops = o->files ? o->files : pc_file_posix();
    a->dir = a->fd = -1;
    a->out = malloc(PC_AUDIT_BUFFER_BYTES + PC_AUDIT_LINE_MAX);
    a->line = malloc(PC_AUDIT_LINE_MAX);
    pthread_mutex_init(&a->lock, NULL);
    int rc = a->out && a->line ? pc_tail_open(o->journal, 0, &a->tail) : -ENOMEM;
    if (rc < 0) {
        pc_audit_free(a);
        return rc;
    }
    *ret_a = a;
    return 0;
}

static void close_file(struct pc_audit *a)
{
    if (a->fd >= 0)
        a->ops->close(a->ops->ctx, a->fd);
    a->fd = -1;
}

void pc_audit_free(struct pc_audit *a)
{
    if (!a)
        return;
    close_file(a);
    if (a->dir >= 0)
        a->ops->close(a->ops->ctx, a->dir);
    pc_tail_close(a->tail);
    pthread_mutex_destroy(&a->lock);
    free(a->out);
    free(a->line);
    free(a);
}

/* ---- what others see ---- */

uint64_t pc_audit_synced(const struct pc_audit *a)
{
    return atomic_load_explicit(&a->synced_position, memory_order_acquire);
}

uint64_t pc_audit_named(const struct pc_audit *a)
{
    return atomic_load_explicit(&a->synced_named, memory_order_acquire);
}

void pc_audit_status(struct pc_audit *a, struct pc_audit_status *ret_status)
{
    struct pc_audit_status s = {.position = atomic_load(&a->position)};
    uint64_t durable = pc_journal_durable(a->o.journal);
    s.synced = pc_audit_synced(a);
    s.behind = durable > s.position ? durable - s.position : 0;
    s.lines = atomic_load(&a->lines);
    s.failures = atomic_load(&a->failures);
    s.failing = atomic_load(&a->failing);
    pthread_mutex_lock(&a->lock);
    memcpy(s.why, a->why, sizeof s.why);
    pthread_mutex_unlock(&a->lock);
    *ret_status = s;
}

static int failed(struct pc_audit *a, int err, const char *what)
{
    char text[sizeof a->why];
    PC_ASSERT(err < 0);
    snprintf(text, sizeof text, "%s: %s", what, pc_strerror(err));
    pthread_mutex_lock(&a->lock);
    memcpy(a->why, text, sizeof text);
    pthread_mutex_unlock(&a->lock);
    return err;
}

/* The one place where it begins or ends to fail. */
static void set_failing(struct pc_audit *a, bool failing)
{
    if (failing)
        atomic_fetch_add(&a->failures, 1);
    if (failing == atomic_load(&a->failing))
        return;
    atomic_store(&a->failing, failing);
    if (failing)
        pc_log_event(PC_LOG_ERROR, "audit_failed",
                     "%s; decisions and mutations go on, the journal keeps the records and it is "
                     "tried again every %d ms",
                     a->why, PC_AUDIT_RETRY_MS);
    else
        pc_log_event(PC_LOG_INFO, "audit_recovered", "the audit is derived again");
}

/* ---- opening: how far is the file whole? ---- */

/* What a walk over a file finds. */
struct survey {
    struct mark good;  /* behind the last line of an unbroken chain from the file's first line */
    struct mark last;  /* behind the last whole line, if its positions can be told */
    uint64_t size;     /* of the file */
    uint64_t oldest;   /* position the journal begins at */
    uint64_t doubtful; /* offset of the first line of a record that is still in the journal */
    bool doubt;        /* there is one */
    uint64_t bad_line; /* the first one that breaks the chain; 0 = none */
};

static void survey_line(struct survey *s, const struct pc_line *line)
{
    struct pc_audit_entry e;
    struct pc_audit_hash hash;
    bool known = pc_audit_line_parse(line->text, &e) == 0;
    pc_audit_line_hash(line->text, &hash);
    struct mark m = {.offset = line->offset + line->text.n + 1,
                     .position = known ? e.last : s->last.position,
                     .named = known ? e.last : s->last.named,
                     .hash = hash,
                     .number = s->last.number ? s->last.number
                               : known        ? e.first
                                              : 1};
    bool follows = known && (line->number == 1 || memcmp(&e.prev, &s->last.hash, sizeof hash) == 0);
    if (!s->doubt && known && e.last >= s->oldest) {
        s->doubt = true;
        s->doubtful = line->offset;
    }
    if (!s->bad_line && follows)
        s->good = m;
    else if (!s->bad_line)
        s->bad_line = line->number;
    s->last = m;
}

static int survey_file(struct pc_audit *a, int fd, struct survey *s)
{
    struct pc_lines lines;
    struct pc_line line;
    int rc = pc_lines_open(&lines, a->ops, fd, PC_AUDIT_LINE_MAX);
    if (rc < 0)
        return rc;
    for (rc = 1; rc > 0;) {
        rc = pc_lines_next(&lines, &line);
        if (rc == PC_E_TOO_LARGE) { /* no line of ours; but some may follow it */
            s->bad_line = s->bad_line ? s->bad_line : lines.number + 1;
            rc = pc_lines_skip(&lines);
        } else if (rc > 0 && !line.whole) {
            break;
        } else if (rc > 0) {
            survey_line(s, &line);
        }
    }
    pc_lines_close(&lines);
    int err = a->ops->size(a->ops->ctx, fd, &s->size);
    return rc < 0 ? rc : err;
}

static int find_newest(void *arg, const char *name)
{
    uint64_t *newest = arg;
    *newest = pc_max_u64(*newest, pc_audit_older_number(name));
    return 0;
}

/* The end of the newest older file, where the chain goes on in an empty audit.jsonl. */
static int end_of_older(struct pc_audit *a, struct mark *ret)
{
    char name[PC_AUDIT_NAME_BYTES];
    uint64_t newest = 0;
    struct survey s = {0};
    int rc = a->ops->list(a->ops->ctx, a->dir, find_newest, &newest);
    if (rc < 0 || newest == 0)
        return rc < 0 ? failed(a, rc, "listing the data directory") : 0;
    pc_audit_older_name(newest, name);
    int fd = a->ops->open(a->ops->ctx, a->dir, name, 0);
    rc = fd < 0 ? fd : survey_file(a, fd, &s);
    if (fd >= 0)
        a->ops->close(a->ops->ctx, fd);
    if (rc < 0)
        return failed(a, rc, name);
    *ret = (struct mark){.position = s.last.position, .named = s.last.named, .hash = s.last.hash};
    return 0;
}

static int cut(struct pc_audit *a, uint64_t offset)
{
    int rc = a->ops->truncate(a->ops->ctx, a->fd, offset);
    return rc < 0 ? failed(a, rc, "cutting " PC_AUDIT_FILE) : 0;
}

/* A4: decides where the file goes on. */
static void choose_end(const struct survey *s, struct mark *ret)
{
    /* The journal gives again what is behind the whole part; not if its segments are gone. */
    bool derivable = s->good.position + 1 >= s->oldest;
    const struct mark *end = s->bad_line && !derivable ? &s->last : &s->good;
    if (s->bad_line && !derivable)
        pc_log_event(PC_LOG_ERROR, "audit_damaged",
                     PC_AUDIT_FILE ":%llu does not follow from the line before, and its records "
                                   "are no longer in the journal: it is left as it is",
                     (unsigned long long)s->bad_line);
    else if (end->offset < s->size)
        pc_log_event(PC_LOG_WARN, "audit_cut",
                     PC_AUDIT_FILE ": the %llu bytes behind position %llu are not whole%s; they "
                                   "are derived again from the journal",
                     (unsigned long long)(s->size - end->offset), (unsigned long long)end->position,
                     s->bad_line ? " or were changed" : "");
    *ret = *end;
}

/* Writes a part of the file once more, as it is read: a sync that failed in an earlier process may
 * have left it in memory only, and no other sync would tell. Everything of records that are no
 * longer in the journal is durable (A2). */
static int write_again(struct pc_audit *a, uint64_t from, uint64_t to)
{
    int rc = 0;
    for (uint64_t at = from; rc == 0 && at < to; at += PC_AUDIT_BUFFER_BYTES) {
        size_t n = (size_t)pc_min_u64(PC_AUDIT_BUFFER_BYTES, to - at);
        rc = pc_file_read_all(a->ops, a->fd, a->out, n, at);
        if (rc == 0)
            rc = pc_file_write_all(a->ops, a->fd, a->out, n, at);
    }
    return rc < 0 ? failed(a, rc, "writing the end of " PC_AUDIT_FILE " again") : 0;
}

static int open_files(struct pc_audit *a)
{
    if (a->dir < 0)
        a->dir = a->ops->open_dir(a->ops->ctx, a->o.data_dir, false);
    if (a->dir < 0)
        return failed(a, a->dir, "opening the data directory");
    /* A renaming that is not durable yet must not be overtaken by the new file's name. */
    int rc = a->ops->sync_dir(a->ops->ctx, a->dir);
    if (rc < 0)
        return failed(a, rc, "syncing the data directory");
    a->fd = a->ops->open(a->ops->ctx, a->dir, PC_AUDIT_FILE, PC_FILE_WRITE | PC_FILE_CREATE);
    if (a->fd < 0)
        return failed(a, a->fd, "opening " PC_AUDIT_FILE);
    rc = a->ops->sync_dir(a->ops->ctx, a->dir);
    return rc < 0 ? failed(a, rc, "syncing the data directory") : 0;
}

static void settle_synced(struct pc_audit *a)
{
    a->synced = a->written;
    a->dirty_since_ns = 0;
    /* A2: a file that somebody shortened meanwhile takes nothing back. */
    if (a->synced.position > atomic_load(&a->synced_position))
        atomic_store_explicit(&a->synced_position, a->synced.position, memory_order_release);
    if (a->synced.named > atomic_load(&a->synced_named))
        atomic_store_explicit(&a->synced_named, a->synced.named, memory_order_release);
}

/* What stands in memory about this file since it was opened first is enough, unless it is shorter:
 * somebody put another one in its place. */
static int end_known(struct pc_audit *a, struct mark *ret)
{
    uint64_t size;
    int rc = a->ops->size(a->ops->ctx, a->fd, &size);
    if (rc < 0)
        return failed(a, rc, "reading " PC_AUDIT_FILE);
    *ret = a->synced;
    ret->offset = pc_min_u64(size, a->synced.offset);
    return 0;
}

static int end_surveyed(struct pc_audit *a, struct mark *ret)
{
    struct survey s = {.oldest = pc_tail_oldest(a->tail)};
    struct mark older = {0};
    int rc = survey_file(a, a->fd, &s);
    if (rc < 0)
        return failed(a, rc, "reading " PC_AUDIT_FILE);
    if (s.good.number == 0)
        rc = end_of_older(a, &older);
    if (s.good.number == 0)
        s.good = older;
    if (s.last.number == 0)
        s.last = older;
    if (rc < 0)
        return rc;
    choose_end(&s, ret);
    return s.doubt ? write_again(a, s.doubtful, ret->offset) : 0;
}

/* A journal that ends before this file is another one, or lost its end: its records get lines
 * behind those that are there. */
static void check_ahead(struct pc_audit *a, struct mark *end)
{
    if (a->begun || end->position < a->o.start_position)
        return;
    a->ahead_to = end->position;
    end->position = a->o.start_position;
    end->named = 0; /* by another journal */
    pc_log_event(PC_LOG_ERROR, "audit_ahead",
                 PC_AUDIT_FILE " goes to position %llu, but the journal only to %llu",
                 (unsigned long long)a->ahead_to, (unsigned long long)a->o.start_position);
}

/* A3, A4: finds the place to go on at, and makes everything before it durable. */
static int resume(struct pc_audit *a)
{
    struct mark end = {0};
    int rc = open_files(a);
    if (rc == 0)
        rc = a->begun ? end_known(a, &end) : end_surveyed(a, &end);
    /* Also where nothing is behind it: an earlier cut may not have become durable. */
    if (rc == 0)
        rc = cut(a, end.offset);
    if (rc < 0)
        return rc;
    rc = a->ops->sync(a->ops->ctx, a->fd);
    if (rc < 0)
        return failed(a, rc, "syncing " PC_AUDIT_FILE);
    check_ahead(a, &end);
    a->begun = true;
    a->written = end;
    a->out_n = a->out_lines = 0;
    a->out_hash = end.hash;
    a->out_named = end.named;
    a->gap_due = a->ahead_to != 0;
    pc_tail_seek(a->tail, end.position);
    settle_synced(a);
    return 0;
}

/* ---- deriving ---- */

static void keep_line(struct pc_audit *a, struct pc_bytes line, uint64_t first, uint64_t last)
{
    PC_ASSERT(a->out_n + line.n <= PC_AUDIT_BUFFER_BYTES + PC_AUDIT_LINE_MAX);
    memcpy(a->out + a->out_n, line.p, line.n);
    a->out_n += line.n;
    a->out_lines++;
    a->out_named = last;
    if (a->written.number == 0)
        a->written.number = first;
}

static int write_out(struct pc_audit *a)
{
    if (a->out_n == 0)
        return 0;
    int rc = pc_file_write_all(a->ops, a->fd, a->out, a->out_n, a->written.offset);
    if (rc < 0)
        return failed(a, rc, "writing " PC_AUDIT_FILE);
    a->written.offset += a->out_n;
    a->written.hash = a->out_hash;
    atomic_fetch_add(&a->lines, a->out_lines);
    a->out_n = a->out_lines = 0;
    return 0;
}

static int make_room(struct pc_audit *a)
{
    return a->out_n >= PC_AUDIT_BUFFER_BYTES ? write_out(a) : 0;
}

static int put_gap(struct pc_audit *a, uint64_t first, uint64_t last, int64_t wall_ms,
                   const char *why)
{
    struct pc_bytes line =
        pc_audit_gap(a->line, a->o.node, first, last, wall_ms, why, &a->out_hash, &a->out_hash);
    keep_line(a, line, first, last);
    return make_room(a);
}

static int end_line(struct pc_audit *a, struct pc_audit_line *l)
{
    keep_line(a, pc_audit_line_end(l, &a->out_hash, &a->out_hash), l->first, l->last);
    return make_room(a);
}

static int derive(struct pc_audit *a, struct pc_tail_batch *b)
{
    struct pc_audit_line l;
    struct pc_record record;
    char digest[2 * PC_SHA256_BYTES];
    bool open = false;
    int rc = 0;
    while (rc == 0 && pc_tail_record(b, &record)) {
        struct pc_change c;
        pc_audit_change(record.bytes, digest, &c);
        if (open && pc_audit_line_takes(&l, &c)) {
            pc_audit_line_add(&l, &c);
            continue;
        }
        if (open)
            rc = end_line(a, &l);
        pc_audit_line_begin(&l, a->line, &c, record.position, record.time_ms);
        open = true;
    }
    return rc == 0 && open ? end_line(a, &l) : rc;
}

static int skip_retired(struct pc_audit *a, int64_t wall_ms)
{
    uint64_t oldest = pc_tail_oldest(a->tail), first = pc_tail_position(a->tail) + 1;
    if (oldest <= first)
        return 0; /* retired while we looked: the next look finds its place */
    pc_log_event(PC_LOG_WARN, "audit_gap", "positions %llu to %llu: %s", (unsigned long long)first,
                 (unsigned long long)oldest - 1, why_retired);
    pc_tail_seek(a->tail, oldest - 1);
    return put_gap(a, first, oldest - 1, wall_ms, why_retired);
}

/* What the journal gives from here on comes behind lines with higher positions. */
static void put_due_gap(struct pc_audit *a, int64_t wall_ms)
{
    char why[PC_AUDIT_GAP_MAX + 1];
    if (!a->gap_due)
        return;
    a->gap_due = false;
    snprintf(why, sizeof why,
             "the lines above go to position %llu, which this journal does not have: it was "
             "replaced, or lost its end",
             (unsigned long long)a->ahead_to);
    put_gap(a, a->o.start_position, a->o.start_position, wall_ms, why);
}

/* Derives about a buffer's worth; *ret_more: there may be more. */
static int derive_some(struct pc_audit *a, int64_t wall_ms, bool *ret_more)
{
    size_t produced = 0, most = PC_AUDIT_BUFFER_BYTES;
    /* Up to the size of a file, as far as batches allow. */
    if (a->written.offset < a->o.file_bytes)
        most = (size_t)pc_min_u64(most, a->o.file_bytes - a->written.offset);
    put_due_gap(a, wall_ms);
    for (;;) {
        struct pc_tail_batch b;
        size_t before = a->out_n;
        int rc = pc_tail_next(a->tail, &b);
        if (rc == -ENOENT)
            rc = skip_retired(a, wall_ms);
        else if (rc < 0)
            return failed(a, rc, "reading the journal back");
        else if (rc == 0)
            break;
        else
            rc = derive(a, &b);
        if (rc < 0)
            return rc;
        produced += a->out_n > before ? a->out_n - before : PC_AUDIT_BUFFER_BYTES;
        if (produced >= most) {
            *ret_more = true;
            break;
        }
    }
    int rc = write_out(a);
    if (rc < 0)
        return rc;
    a->written.position = pc_tail_position(a->tail); /* marks at the end, too */
    a->written.named = a->out_named;
    atomic_store(&a->position, a->written.position);
    return 0;
}

/* ---- syncing and new files ---- */

static int sync_file(struct pc_audit *a)
{
    if (a->written.offset != a->synced.offset) {
        int rc = a->ops->sync(a->ops->ctx, a->fd);
        if (rc < 0)
            return failed(a, rc, "syncing " PC_AUDIT_FILE);
        a->ahead_to = 0;
    }
    settle_synced(a);
    return 0;
}

/* The file is complete: it gets its name, and the next step begins a new one. */
static int rotate(struct pc_audit *a)
{
    char name[PC_AUDIT_NAME_BYTES];
    uint64_t newest = 0;
    int rc = sync_file(a);
    if (rc < 0)
        return rc;
    rc = a->ops->list(a->ops->ctx, a->dir, find_newest, &newest);
    if (rc < 0)
        return failed(a, rc, "listing the data directory");
    pc_audit_older_name(pc_max_u64(a->synced.number, newest + 1), name);
    rc = a->ops->rename(a->ops->ctx, a->dir, PC_AUDIT_FILE, name);
    if (rc < 0)
        return failed(a, rc, "renaming " PC_AUDIT_FILE);
    close_file(a);
    /* What has this name from now on is another file. */
    a->synced.offset = a->synced.number = 0;
    return resume(a);
}

static int sync_what_is_due(struct pc_audit *a, int64_t now_ns, bool sync)
{
    bool dirty = a->written.offset != a->synced.offset;
    if (!dirty) {
        settle_synced(a); /* marks only */
        return 0;
    }
    if (a->written.offset >= a->o.file_bytes)
        return rotate(a);
    if (a->dirty_since_ns == 0)
        a->dirty_since_ns = now_ns;
    return sync || now_ns - a->dirty_since_ns >= PC_AUDIT_SYNC_MS * NS_PER_MS ? sync_file(a) : 0;
}

int64_t pc_audit_work(struct pc_audit *a, int64_t now_ns, int64_t wall_ms, bool sync)
{
    bool more = false;
    if (a->retry_ns > now_ns && !sync)
        return a->retry_ns - now_ns;
    int rc = a->fd < 0 ? resume(a) : 0;
    if (rc == 0)
        rc = derive_some(a, wall_ms, &more);
    if (rc == 0)
        rc = sync_what_is_due(a, now_ns, sync);
    if (rc < 0) {
        close_file(a);
        a->retry_ns = now_ns + PC_AUDIT_RETRY_MS * NS_PER_MS;
        set_failing(a, true);
        return PC_AUDIT_RETRY_MS * NS_PER_MS;
    }
    a->retry_ns = 0;
    set_failing(a, false);
    if (more)
        return 0;
    if (a->dirty_since_ns)
        return pc_max_i64(a->dirty_since_ns + PC_AUDIT_SYNC_MS * NS_PER_MS - now_ns, 0);
    return INT64_MAX;
}
