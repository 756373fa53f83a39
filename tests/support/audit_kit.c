/* SPDX-License-Identifier: Apache-2.0
 * See audit_kit.h. */
#include "support/audit_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/journal/lines.h"

#define FILES_MAX 256u

struct reading {
    struct audit_kit *kit;
    const struct pc_file_ops *ops;
    char names[FILES_MAX][PC_AUDIT_NAME_BYTES];
    size_t files, at;
    struct pc_lines lines;
    bool open;
    int dir;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int add_name(void *arg, const char *name)
{
    struct reading *r = arg;
    if (!pc_audit_older_number(name))
        return 0;
    PC_ASSERT(r->files + 1 < FILES_MAX);
    snprintf(r->names[r->files++], PC_AUDIT_NAME_BYTES, "%s", name);
    return 0;
}

static void list_files(struct reading *r, const char *dir)
{
    r->dir = r->ops->open_dir(r->ops->ctx, dir, false);
    PC_ASSERT(r->dir >= 0);
    int rc = r->ops->list(r->ops->ctx, r->dir, add_name, r);
    PC_ASSERT(rc == 0);
    qsort(r->names, r->files, PC_AUDIT_NAME_BYTES, compare_names);
    snprintf(r->names[r->files++], PC_AUDIT_NAME_BYTES, "%s", PC_AUDIT_FILE);
}

static void close_file(struct reading *r)
{
    if (r->open) {
        r->ops->close(r->ops->ctx, r->lines.fd);
        pc_lines_close(&r->lines);
    }
    r->open = false;
}

/* False when there is none left. */
static bool open_next(struct reading *r)
{
    if (r->at == r->files)
        return false;
    int fd = r->ops->open(r->ops->ctx, r->dir, r->names[r->at], 0);
    if (fd == -ENOENT && r->at + 1 == r->files)
        return false;
    PC_ASSERT(fd >= 0);
    int rc = pc_lines_open(&r->lines, r->ops, fd, PC_AUDIT_LINE_MAX);
    PC_ASSERT(rc == 0);
    r->open = true;
    return true;
}

static int next_line(void *ctx, struct pc_audit_given *ret_line)
{
    struct reading *r = ctx;
    struct pc_line line;
    while (r->open || open_next(r)) {
        int rc = pc_lines_next(&r->lines, &line);
        PC_ASSERT(rc >= 0);
        if (rc > 0) {
            PC_ASSERT(line.whole || r->at + 1 == r->files);
            *ret_line = (struct pc_audit_given){
                line.text, line.whole, {r->names[r->at], line.number}
            };
            return 1;
        }
        close_file(r);
        r->at++;
    }
    return 0;
}

static void tell(void *ctx, const struct pc_audit_place *place, const char *text)
{
    struct audit_kit *k = ((struct reading *)ctx)->kit;
    if (!k->first_problem[0])
        snprintf(k->first_problem, sizeof k->first_problem, "%s:%llu: %s",
                 place->file ? place->file : PC_AUDIT_FILE, (unsigned long long)place->line, text);
}

static int check_record(void *arg, const struct pc_record *record)
{
    return pc_audit_check_record(arg, record->position, record->time_ms, record->bytes);
}

unsigned audit_kit_verify(struct audit_kit *k, const struct pc_file_ops *ops, const char *dir,
                          struct pc_journal *j)
{
    static struct reading r;
    struct pc_audit_given line;
    struct pc_journal_status status;
    memset(&r, 0, sizeof r);
    *k = (struct audit_kit){0};
    r.kit = k;
    r.ops = ops;
    list_files(&r, dir);
    k->files = r.files;
    struct pc_audit_check *c = &k->result;
    *c = (struct pc_audit_check){.tell = tell, .next = next_line, .ctx = &r};
    int rc = pc_audit_check_begin(c);
    PC_ASSERT(rc == 0);
    while (next_line(&r, &line) > 0) {
        pc_audit_check_line(c, &line);
        if (!line.whole)
            break;
    }
    close_file(&r);
    r.at = 0;
    pc_journal_status(j, &status);
    rc = pc_journal_read(j, status.oldest - 1, status.durable, check_record, c);
    PC_ASSERT(rc == 0);
    rc = pc_audit_check_end(c, status.durable);
    PC_ASSERT(rc == 0);
    close_file(&r);
    ops->close(ops->ctx, r.dir);
    pc_audit_check_free(c);
    return c->problems;
}
