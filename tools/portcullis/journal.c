/* SPDX-License-Identifier: Apache-2.0
 * portcullis journal ls, dump and verify: looks into a data directory without changing it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "edge/journal/inspect.h"
#include "link/change.h"

#define RECORD_TEXT_MAX (8 * PC_CHANGE_ENCODED_MAX)

static int open_journal(const struct cli *c, struct pc_inspect **ret_inspect)
{
    char dir[CLI_PATH_MAX];
    struct pc_why why;
    struct pc_config *config;
    if (c->arg_count) {
        snprintf(dir, sizeof dir, "%s", c->args[0]);
    } else {
        int status = cli_load_config(c, &config);
        if (status)
            return status;
        snprintf(dir, sizeof dir, "%s", config->data_dir);
        pc_config_free(config);
    }
    if (pc_inspect_open(dir, NULL, c->o.force, ret_inspect, &why))
        return cli_fail(CLI_NO, "%s", why.text);
    return CLI_OK;
}

/* ---- ls ---- */

static int print_file(void *arg, const struct pc_inspect_file *f)
{
    char from[32] = "", to[32] = "";
    (void)arg;
    if (f->batches || f->kind == PC_INSPECT_SNAPSHOT) {
        cli_format_time(f->from_ms, from);
        cli_format_time(f->to_ms, to);
    }
    printf("%-36s %12" PRIu64 " bytes", f->name, f->bytes);
    if (f->kind == PC_INSPECT_SEGMENT && f->prepared)
        printf("  prepared");
    else if (f->kind == PC_INSPECT_SEGMENT)
        printf("  positions %" PRIu64 "-%" PRIu64 ", %" PRIu64 " records in %" PRIu64
               " batches, %s to %s",
               f->first, f->last, f->records, f->batches, from, to);
    else if (f->kind == PC_INSPECT_SNAPSHOT)
        printf("  covers up to %" PRIu64 ", %s", f->last, to);
    printf("%s\n", f->damaged ? "  DAMAGED" : "");
    return 0;
}

int cli_journal_ls(struct cli *c)
{
    struct pc_inspect *i = NULL;
    struct pc_why why;
    int status = open_journal(c, &i);
    if (status)
        return status;
    if (pc_inspect_files(i, print_file, NULL, &why))
        status = cli_fail(CLI_NO, "%s", why.text);
    pc_inspect_close(i);
    return status;
}

/* ---- dump ---- */

static void put_text(struct pc_buf *b, const char *key, struct pc_bytes value)
{
    if (value.n == 0)
        return;
    pc_buf_fmt(b, ",\"%s\":", key);
    pc_buf_json_str(b, value);
}

static void put_time(struct pc_buf *b, const char *key, int64_t ms)
{
    char text[32];
    cli_format_time(ms, text);
    pc_buf_fmt(b, ",\"%s\":\"%s\"", key, text);
}

static void put_change(struct pc_buf *b, const struct pc_change *change)
{
    const char *kind = pc_kind_name(change->kind);
    pc_buf_fmt(b, ",\"op\":\"%s\",\"kind\":\"%s\"",
               change->op == PC_OP_CLEAR ? "unrevoke" : pc_op_name(change->op), kind ? kind : "?");
    put_text(b, "issuer", change->issuer);
    put_text(b, "id", change->id);
    put_text(b, "value", change->value);
    put_time(b, "at", change->at_ms);
    put_time(b, "expires_at", change->expires_at_ms ? change->expires_at_ms : INT64_MAX);
    if (change->cutoff_ms)
        put_time(b, "cutoff", change->cutoff_ms);
    put_text(b, "actor", change->actor);
    put_text(b, "source", change->source);
    put_text(b, "request_id", change->request_id);
    put_text(b, "reason", change->reason);
    pc_buf_fmt(b, ",\"node\":\"%016" PRIx64 "\",\"sequence\":%" PRIu64, change->node,
               change->sequence);
}

/* A record that is no Change is something of the writer's own; its size is all that is said. */
static int print_record(void *arg, const struct pc_record *record,
                        const struct pc_inspect_place *place)
{
    char *text = arg;
    struct pc_change change;
    struct pc_buf b = pc_buf_of(text, RECORD_TEXT_MAX);
    pc_buf_fmt(&b, "{\"position\":%" PRIu64 ",\"segment\":%" PRIu64, record->position,
               place->segment);
    put_time(&b, "written", record->time_ms);
    if (pc_change_decode(record->bytes, &change) == 0)
        put_change(&b, &change);
    else
        pc_buf_fmt(&b, ",\"other_bytes\":%zu", record->bytes.n);
    if (place->after_damage)
        pc_buf_lit(&b, ",\"after_damage\":true");
    pc_buf_lit(&b, "}\n");
    PC_ASSERT(!b.overflow);
    return fwrite(text, 1, b.len, stdout) == b.len ? 0 : -EIO;
}

int cli_journal_dump(struct cli *c)
{
    struct pc_inspect *i = NULL;
    struct pc_why why = {"writing the output failed"};
    char *text = malloc(RECORD_TEXT_MAX);
    if (!text)
        return cli_fail(CLI_NO, "out of memory");
    int status = open_journal(c, &i);
    if (status) {
        free(text);
        return status;
    }
    if (pc_inspect_records(i, 0, UINT64_MAX, print_record, text, &why))
        status = cli_fail(CLI_NO, "%s", why.text);
    pc_inspect_close(i);
    free(text);
    return status;
}

/* ---- verify ---- */

static void print_finding(void *arg, const struct pc_finding *finding)
{
    (void)arg;
    printf("%s\n", finding->text);
}

static bool recover_mode(const char *name, enum pc_recover_mode *ret_mode)
{
    static const char *const names[] = {"normal", "strict", "salvage"};
    for (unsigned i = 0; i < PC_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *ret_mode = (enum pc_recover_mode)i;
            return true;
        }
    return false;
}

int cli_journal_verify(struct cli *c)
{
    struct pc_inspect *i = NULL;
    struct pc_inspect_summary s;
    struct pc_why why = {""};
    char last[32] = "never";
    enum pc_recover_mode mode = PC_RECOVER_NORMAL;
    if (c->o.recover && !recover_mode(c->o.recover, &mode))
        return cli_usage(c, "--recover must be normal, strict or salvage");
    int status = open_journal(c, &i);
    if (status)
        return status;
    int err = pc_inspect_verify(i, mode, print_finding, NULL, &s, &why);
    pc_inspect_close(i);
    if (s.last_time_ms != INT64_MIN)
        cli_format_time(s.last_time_ms, last);
    printf("%" PRIu64 " segments, %" PRIu64 " snapshots, %" PRIu64 " records in %" PRIu64
           " batches; up to position %" PRIu64 " of %s; %u findings\n",
           s.segments, s.snapshots, s.records, s.batches, s.position, last, s.findings);
    if (err)
        return cli_fail(CLI_NO, "a start would refuse: %s", why.text);
    printf("a start would accept it\n");
    return CLI_OK;
}
