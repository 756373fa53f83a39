/* SPDX-License-Identifier: Apache-2.0
 * See audit_check.h. */
#include "link/audit_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORD_BYTES_MAX (64u << 10) /* of the journal */

/* The second pass: a line, and what its records make of it. */
struct pc_audit_merge {
    bool have, ended; /* a line is at hand; there are no more */
    uint64_t skip;    /* lines still to be passed over */
    struct pc_audit_entry entry;
    struct pc_audit_place place;
    size_t text_n;
    uint64_t next;   /* the position its next record must have; 0: it cannot be compared */
    uint64_t oldest; /* the first record given */
    struct pc_audit_line again;
    uint64_t missing_first, missing_last, missing; /* records without a line, told together */
    bool missing_at_end;
    uint8_t text[PC_AUDIT_LINE_MAX], again_text[PC_AUDIT_LINE_MAX];
    uint8_t first_record[RECORD_BYTES_MAX]; /* the texts of again.first_change */
};

static void problem(struct pc_audit_check *c, const struct pc_audit_place *place, const char *fmt,
                    ...) PC_PRINTF(3, 4);
static void problem(struct pc_audit_check *c, const struct pc_audit_place *place, const char *fmt,
                    ...)
{
    char text[512];
    va_list args;
    if (c->problems++ >= PC_AUDIT_PROBLEMS_TOLD)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->tell(c->ctx, place, text);
}

int pc_audit_check_begin(struct pc_audit_check *c)
{
    c->merge = calloc(1, sizeof *c->merge);
    return c->merge ? 0 : -ENOMEM;
}

void pc_audit_check_free(struct pc_audit_check *c)
{
    free(c->merge);
    c->merge = NULL;
}

/* ---- first pass ---- */

static void check_chain(struct pc_audit_check *c, const struct pc_audit_given *line,
                        const struct pc_audit_entry *e)
{
    if (memcmp(&e->prev, &c->prev, sizeof c->prev) == 0)
        return;
    if (c->lines == 1)
        problem(c, &line->place,
                "the chain does not begin here: older files are missing (if they were moved away "
                "on purpose, give the hash of their last line)");
    else
        problem(c, &line->place,
                "it does not follow from %s:%llu: that line was changed, or lines are missing "
                "between them",
                c->last.file, (unsigned long long)c->last.line);
}

static void check_order(struct pc_audit_check *c, const struct pc_audit_given *line,
                        const struct pc_audit_entry *e)
{
    c->gaps += e->gap;
    if (e->first > c->last_position)
        return;
    if (e->gap)
        c->base = c->lines - 1; /* what follows is about another journal */
    else
        problem(c, &line->place, "its position %llu is not behind %llu, the line before",
                (unsigned long long)e->first, (unsigned long long)c->last_position);
}

void pc_audit_check_line(struct pc_audit_check *c, const struct pc_audit_given *line)
{
    struct pc_audit_entry e;
    if (!line->whole) {
        if (!c->running)
            problem(c, &line->place, "the last line has no end: a start of the server repairs it");
        return;
    }
    int rc = pc_audit_line_parse(line->text, &e);
    c->lines++;
    if (rc < 0) {
        problem(c, &line->place, "%s",
                rc == PC_E_VERSION ? "a newer version wrote it" : "it is no line of the audit");
    } else {
        check_chain(c, line, &e);
        check_order(c, line, &e);
        c->last_position = e.last;
    }
    pc_audit_line_hash(line->text, &c->prev);
    c->last = line->place;
}

/* ---- second pass ---- */

/* Whether the journal had what the line at hand speaks of. */
static void leave_line(struct pc_audit_check *c)
{
    struct pc_audit_merge *m = c->merge;
    if (m->have && !m->entry.gap && m->next && m->next <= m->entry.last && m->oldest &&
        m->entry.first >= m->oldest)
        problem(c, &m->place, "the journal has no record at position %llu",
                (unsigned long long)m->next);
    m->have = false;
}

/* The next line that can be read, from the base on. 1, 0 or -errno. */
static int take_line(struct pc_audit_check *c)
{
    struct pc_audit_merge *m = c->merge;
    struct pc_audit_given line;
    int rc;
    leave_line(c);
    while ((rc = c->next(c->ctx, &line)) > 0 && line.whole) {
        if (m->skip < c->base) {
            m->skip++;
            continue;
        }
        if (pc_audit_line_parse(line.text, &m->entry) < 0 || line.text.n >= sizeof m->text)
            continue;
        memcpy(m->text, line.text.p, line.text.n);
        m->text_n = line.text.n;
        m->place = line.place;
        m->next = m->entry.first;
        m->have = true;
        return 1;
    }
    m->ended = true;
    return rc < 0 ? rc : 0;
}

static void tell_missing(struct pc_audit_check *c)
{
    struct pc_audit_merge *m = c->merge;
    if (m->missing == 0)
        return;
    if (m->missing_at_end)
        problem(c, &c->last,
                "the file ends here, but the journal has %llu more records, positions %llu to "
                "%llu: it was cut short, or the server did not end in order (a start lets it "
                "catch up)",
                (unsigned long long)m->missing, (unsigned long long)m->missing_first,
                (unsigned long long)m->missing_last);
    else
        problem(c, &m->place,
                "before this line %llu records of the journal are missing, positions %llu to %llu",
                (unsigned long long)m->missing, (unsigned long long)m->missing_first,
                (unsigned long long)m->missing_last);
    m->missing = 0;
}

static void note_missing(struct pc_audit_check *c, uint64_t position)
{
    struct pc_audit_merge *m = c->merge;
    if (m->missing++ == 0)
        m->missing_first = position;
    m->missing_last = position;
    m->missing_at_end = m->ended;
}

/* Adds a record to what the line should be. */
static void add_again(struct pc_audit_check *c, uint64_t position, int64_t time_ms,
                      struct pc_bytes record)
{
    struct pc_audit_merge *m = c->merge;
    char digest[2 * PC_SHA256_BYTES];
    struct pc_change change;
    if (position != m->next) {
        m->next = 0; /* the journal lost some of them */
        return;
    }
    m->next++;
    if (position != m->entry.first) {
        pc_audit_change(record, digest, &change);
        if (pc_audit_line_takes(&m->again, &change)) {
            pc_audit_line_add(&m->again, &change);
            return;
        }
        problem(c, &m->place, "the record at position %llu is of another call",
                (unsigned long long)position);
        m->next = 0;
        return;
    }
    PC_ASSERT(record.n <= sizeof m->first_record);
    memcpy(m->first_record, record.p, record.n);
    pc_audit_change(pc_bytes_of(m->first_record, record.n), digest, &change);
    pc_audit_line_begin(&m->again, m->again_text, &change, position, time_ms);
}

/* All records of the line are there: it must be what they say. */
static void compare(struct pc_audit_check *c)
{
    struct pc_audit_merge *m = c->merge;
    struct pc_audit_hash hash;
    struct pc_bytes again = pc_audit_line_end(&m->again, &m->entry.prev, &hash);
    c->compared++;
    again.n--;
    if (!pc_bytes_eq(again, pc_bytes_of(m->text, m->text_n)))
        problem(c, &m->place, "it was changed; the journal says: %.*s%s",
                (int)pc_min_u64(again.n, 400), (const char *)again.p, again.n > 400 ? "…" : "");
}

int pc_audit_check_record(struct pc_audit_check *c, uint64_t position, int64_t time_ms,
                          struct pc_bytes record)
{
    struct pc_audit_merge *m = c->merge;
    if (m->oldest == 0)
        m->oldest = position;
    while (!m->ended && (!m->have || m->entry.last < position)) {
        int rc = take_line(c);
        if (rc < 0)
            return rc;
    }
    if (m->ended) {
        if (!m->missing_at_end)
            tell_missing(c);
        note_missing(c, position);
        return 0;
    }
    if (position < m->entry.first) {
        note_missing(c, position);
        return 0;
    }
    tell_missing(c);
    if (m->entry.gap) {
        problem(c, &m->place, "it says that position %llu is gone, but the journal has it",
                (unsigned long long)position);
        return 0;
    }
    add_again(c, position, time_ms, record);
    if (position == m->entry.last && m->next)
        compare(c);
    return 0;
}

int pc_audit_check_end(struct pc_audit_check *c, uint64_t upto)
{
    struct pc_audit_merge *m = c->merge;
    int rc = 0;
    tell_missing(c);
    while (rc >= 0 && !m->ended && (!m->have || m->entry.last <= upto || !c->running))
        rc = take_line(c);
    return rc < 0 ? rc : 0;
}
