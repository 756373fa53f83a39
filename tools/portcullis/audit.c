/* SPDX-License-Identifier: Apache-2.0
 * portcullis audit verify and tail: reads audit.jsonl and the files before it, beside a running
 * server or not, without changing anything. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "edge/journal/inspect.h"
#include "edge/journal/lines.h"
#include "link/audit_check.h"

#define FILES_MAX 10000u
#define TAIL_MAX  100000u
/* A running server writes its lines a moment after their records: what is missing is looked for
 * again so often before it is called missing. */
#define ATTEMPTS_MAX 15
#define PAUSE_MS     200

/* The files, oldest first, and a place in them. */
struct files {
    int dir;
    char (*names)[PC_AUDIT_NAME_BYTES];
    size_t n, at;
    struct pc_lines lines;
    bool open;
};

static const struct pc_file_ops *ops(void)
{
    return pc_file_posix();
}

static int data_dir(const struct cli *c, char dir[CLI_PATH_MAX])
{
    struct pc_config *config;
    if (c->arg_count) {
        snprintf(dir, CLI_PATH_MAX, "%s", c->args[0]);
        return CLI_OK;
    }
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    snprintf(dir, CLI_PATH_MAX, "%s", config->data_dir);
    pc_config_free(config);
    return CLI_OK;
}

/* ---- files ---- */

static int add_name(void *arg, const char *name)
{
    struct files *f = arg;
    if (!pc_audit_older_number(name))
        return 0;
    if (f->n + 1 >= FILES_MAX)
        return PC_E_TOO_LARGE;
    memcpy(f->names[f->n++], name, strlen(name) + 1);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void close_file(struct files *f)
{
    if (f->open) {
        ops()->close(NULL, f->lines.fd);
        pc_lines_close(&f->lines);
    }
    f->open = false;
}

static void files_free(struct files *f)
{
    close_file(f);
    if (f->dir >= 0)
        ops()->close(NULL, f->dir);
    free(f->names);
}

static int files_list(const char *dir, struct files *f)
{
    *f = (struct files){.dir = ops()->open_dir(NULL, dir, false)};
    if (f->dir < 0)
        return f->dir;
    f->names = calloc(FILES_MAX, sizeof *f->names);
    if (!f->names)
        return -ENOMEM;
    int rc = ops()->list(NULL, f->dir, add_name, f);
    if (rc < 0)
        return rc;
    qsort(f->names, f->n, sizeof *f->names, compare_names);
    memcpy(f->names[f->n++], PC_AUDIT_FILE, sizeof PC_AUDIT_FILE);
    return 0;
}

static void files_rewind(struct files *f)
{
    close_file(f);
    f->at = 0;
}

/* Opens the next one; 0 when there is none. The last may not exist: a new one begins with its first
 * line. */
static int open_next(struct files *f)
{
    if (f->at == f->n)
        return 0;
    int fd = ops()->open(NULL, f->dir, f->names[f->at], 0);
    if (fd == -ENOENT && f->at + 1 == f->n)
        return 0;
    int rc = fd < 0 ? fd : pc_lines_open(&f->lines, ops(), fd, PC_AUDIT_LINE_MAX);
    f->open = rc == 0;
    if (rc < 0 && fd >= 0)
        ops()->close(NULL, fd);
    return rc < 0 ? rc : 1;
}

static int next_line(void *ctx, struct pc_audit_given *ret_line)
{
    struct files *f = ctx;
    struct pc_line line;
    for (;;) {
        int rc = f->open ? 1 : open_next(f);
        if (rc <= 0)
            return rc;
        rc = pc_lines_next(&f->lines, &line);
        if (rc < 0)
            return rc;
        if (rc > 0) {
            *ret_line = (struct pc_audit_given){
                line.text, line.whole, {f->names[f->at], line.number}
            };
            if (!line.whole && f->at + 1 < f->n) { /* comes no more: on to the next file */
                close_file(f);
                f->at++;
            }
            return 1;
        }
        close_file(f);
        f->at++;
    }
}

/* ---- verify ---- */

struct verifying {
    struct files files;
    struct pc_audit_check check;
    FILE *out; /* the problems of this attempt */
    int err;
};

static void tell(void *ctx, const struct pc_audit_place *place, const char *text)
{
    struct verifying *v = PC_CONTAINER_OF(ctx, struct verifying, files);
    if (place->file)
        fprintf(v->out, "%s:%" PRIu64 ": %s\n", place->file, place->line, text);
    else
        fprintf(v->out, "%s: %s\n", PC_AUDIT_FILE, text);
}

static int see_record(void *arg, const struct pc_record *record,
                      const struct pc_inspect_place *place)
{
    struct verifying *v = arg;
    (void)place;
    v->err = pc_audit_check_record(&v->check, record->position, record->time_ms, record->bytes);
    return v->err;
}

static int check_lines(struct verifying *v)
{
    struct pc_audit_given line;
    int rc;
    while ((rc = next_line(&v->files, &line)) > 0) {
        pc_audit_check_line(&v->check, &line);
        if (!line.whole && v->files.at + 1 == v->files.n)
            return 0;
    }
    return rc;
}

static int check_journal(struct verifying *v, struct pc_inspect *i, struct pc_why *why)
{
    /* What the server wrote last may not be durable yet, and has no line before it is. What has one
     * is. */
    uint64_t upto = UINT64_MAX;
    if (v->check.running) {
        int rc = pc_inspect_durable(i, &upto, why);
        if (rc)
            return rc;
        upto = pc_max_u64(upto, v->check.last_position);
    }
    files_rewind(&v->files);
    int rc = pc_inspect_records(i, 0, upto, see_record, v, why);
    if (rc == 0)
        rc = pc_audit_check_end(&v->check, upto);
    return rc;
}

static int attempt(struct verifying *v, const char *dir, struct pc_inspect *i, struct pc_why *why)
{
    int rc = files_list(dir, &v->files);
    if (rc == 0)
        rc = pc_audit_check_begin(&v->check);
    if (rc == 0)
        rc = check_lines(v);
    if (rc < 0)
        return pc_fail(why, rc, "cannot read the audit in %s: %s", dir, pc_strerror(rc));
    rc = check_journal(v, i, why);
    return rc && v->err ? pc_fail(why, rc, "cannot read the audit again: %s", pc_strerror(rc)) : rc;
}

static int open_journal(const char *dir, struct pc_inspect **ret_i, bool *ret_running)
{
    struct pc_why why;
    int rc = pc_inspect_open(dir, NULL, false, ret_i, &why);
    *ret_running = rc == PC_E_LOCKED;
    if (rc == PC_E_LOCKED)
        rc = pc_inspect_open(dir, NULL, true, ret_i, &why);
    return rc ? cli_fail(CLI_NO, "%s", why.text) : CLI_OK;
}

static void report(const struct verifying *v)
{
    printf("%zu file%s, %" PRIu64 " lines up to position %" PRIu64 ", %" PRIu64
           " of them compared with the journal; %u gaps, %u problems\n",
           v->files.n, v->files.n == 1 ? "" : "s", v->check.lines, v->check.last_position,
           v->check.compared, v->check.gaps, v->check.problems);
}

/* One look at everything. *ret_again: a server that writes may have caused what was found. */
static int verify_once(const char *dir, const struct pc_audit_hash *prev, bool last,
                       bool *ret_again)
{
    struct pc_inspect *i = NULL;
    struct pc_why why = {""};
    char *text = NULL;
    size_t text_n;
    bool running = false;
    int status = open_journal(dir, &i, &running);
    if (status)
        return status;
    struct verifying v = {.files = {.dir = -1}, .out = open_memstream(&text, &text_n)};
    v.check = (struct pc_audit_check){
        .prev = *prev, .running = running, .tell = tell, .next = next_line, .ctx = &v.files};
    int rc = v.out ? attempt(&v, dir, i, &why) : pc_fail(&why, -ENOMEM, "out of memory");
    if (v.out)
        fclose(v.out);
    *ret_again = (rc || v.check.problems) && running && !last;
    if (!*ret_again) {
        fputs(text ? text : "", stdout);
        if (rc == 0)
            report(&v);
        status = rc                 ? cli_fail(CLI_NO, "%s", why.text)
                 : v.check.problems ? cli_fail(CLI_NO, "the audit is not whole")
                                    : CLI_OK;
    }
    pc_audit_check_free(&v.check);
    files_free(&v.files);
    pc_inspect_close(i);
    free(text);
    return status;
}

int cli_audit_verify(struct cli *c)
{
    char dir[CLI_PATH_MAX];
    struct pc_audit_hash prev = {{0}};
    if (c->o.prev && pc_hex_decode(pc_bytes_str(c->o.prev), prev.b, sizeof prev.b) < 0)
        return cli_usage(c, "--prev must be a SHA-256 of 64 hexadecimal digits");
    int status = data_dir(c, dir);
    bool again = true;
    for (int i = 1; status == CLI_OK && again; i++) {
        status = verify_once(dir, &prev, i == ATTEMPTS_MAX, &again);
        if (again)
            poll(NULL, 0, PAUSE_MS);
    }
    return status;
}

/* ---- tail ---- */

static int put_line(const struct pc_line *line)
{
    if (fwrite(line->text.p, 1, line->text.n, stdout) != line->text.n || putchar('\n') == EOF)
        return -EIO;
    return 0;
}

/* Goes to the beginning of the n-th line from the end. */
static int seek_back(struct pc_lines *l, uint64_t n)
{
    uint64_t size, lines = 0;
    static uint8_t piece[1u << 16];
    int rc = ops()->size(NULL, l->fd, &size);
    for (uint64_t at = size; rc == 0 && at > 0;) {
        size_t part = (size_t)pc_min_u64(sizeof piece, at);
        rc = pc_file_read_all(ops(), l->fd, piece, part, at - part);
        for (size_t i = part; rc == 0 && i-- > 0;) {
            if (piece[i] != '\n' || lines++ < n)
                continue;
            l->offset = at - part + i + 1;
            return 0;
        }
        at -= part;
    }
    return rc;
}

/* Whether the name leads to another file by now. */
static bool was_replaced(const struct files *f)
{
    struct stat opened, named;
    return fstat(f->lines.fd, &opened) == 0 &&
           fstatat(f->dir, PC_AUDIT_FILE, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_ino != named.st_ino;
}

static int print_lines(struct files *f)
{
    struct pc_line line;
    int rc;
    while ((rc = pc_lines_next(&f->lines, &line)) > 0 && line.whole) {
        rc = put_line(&line);
        if (rc < 0)
            return rc;
    }
    fflush(stdout);
    return rc < 0 ? rc : ferror(stdout) ? -EIO : 0;
}

static int follow(struct files *f)
{
    for (;;) {
        bool replaced = was_replaced(f); /* asked first: what the old one holds is all there then */
        int rc = print_lines(f);
        if (rc < 0)
            return rc;
        if (replaced) {
            close_file(f);
            rc = open_next(f);
            if (rc < 0)
                return rc;
            continue;
        }
        poll(NULL, 0, PAUSE_MS);
    }
}

static int tail(struct files *f, uint64_t n, bool on)
{
    f->at = f->n - 1;
    int rc = open_next(f);
    if (rc == 0)
        return on ? -ENOENT : 0;
    if (rc > 0)
        rc = seek_back(&f->lines, n);
    if (rc == 0)
        rc = print_lines(f);
    return rc == 0 && on ? follow(f) : rc;
}

int cli_audit_tail(struct cli *c)
{
    char dir[CLI_PATH_MAX];
    struct files f = {.dir = -1};
    uint64_t n = 10;
    if (c->o.lines && (pc_bytes_to_u64(pc_bytes_str(c->o.lines), &n) < 0 || n > TAIL_MAX))
        return cli_usage(c, "--lines must be a number up to %u", TAIL_MAX);
    int status = data_dir(c, dir);
    if (status)
        return status;
    int rc = files_list(dir, &f);
    if (rc == 0)
        rc = tail(&f, n, c->o.follow);
    files_free(&f);
    return rc < 0 ? cli_fail(CLI_NO, "cannot read %s/%s: %s", dir, PC_AUDIT_FILE, pc_strerror(rc))
                  : CLI_OK;
}
