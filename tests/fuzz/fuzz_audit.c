/* SPDX-License-Identifier: Apache-2.0
 * The lines of audit.jsonl as `audit verify` and a start read them: whatever the bytes are, nothing
 * is read beyond them, a line that is accepted names what it says, and the check ends. The input is
 * a file's content; the records of a journal are made of it too. */
#include <stdlib.h>
#include <string.h>

#include "link/audit_check.h"

struct reading {
    struct pc_bytes file, rest;
    uint64_t line;
};

static int next_line(void *ctx, struct pc_audit_given *ret_line)
{
    struct reading *r = ctx;
    if (r->rest.n == 0)
        return 0;
    const uint8_t *newline = memchr(r->rest.p, '\n', r->rest.n);
    size_t n = newline ? (size_t)(newline - r->rest.p) : r->rest.n;
    *ret_line = (struct pc_audit_given){
        pc_bytes_of(r->rest.p, n), newline != NULL, {"audit.jsonl", ++r->line}
    };
    n += newline != NULL;
    r->rest = pc_bytes_of(r->rest.p + n, r->rest.n - n);
    return 1;
}

static void tell(void *ctx, const struct pc_audit_place *place, const char *text)
{
    (void)ctx;
    (void)place;
    PC_ASSERT(text[0]);
}

static void check_entry(struct pc_bytes line)
{
    struct pc_audit_entry e;
    if (pc_audit_line_parse(line, &e) < 0)
        return;
    PC_ASSERT(e.first <= e.last && e.time.n == 24);
    PC_ASSERT(e.time.p > line.p && e.time.p + e.time.n < line.p + line.n);
    PC_ASSERT(!memchr(line.p, '\n', line.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct reading r = {
        .file = {data, n},
          .rest = {data, n}
    };
    struct pc_audit_check c = {.tell = tell, .next = next_line, .ctx = &r, .running = n & 1};
    struct pc_audit_given line;
    if (pc_audit_check_begin(&c) < 0)
        return 0;
    while (next_line(&r, &line) > 0) {
        check_entry(line.text);
        pc_audit_check_line(&c, &line);
    }
    r.rest = r.file;
    /* Records at positions the lines may name, with bytes of the input. */
    for (uint64_t position = 1; position < 40; position++) {
        size_t at = (size_t)(position * 7) % (n + 1);
        size_t part = n - at < 64 ? n - at : 64;
        PC_ASSERT(pc_audit_check_record(&c, position, (int64_t)position,
                                        pc_bytes_of(data + at, part)) >= 0);
    }
    PC_ASSERT(pc_audit_check_end(&c, 40) >= 0);
    pc_audit_check_free(&c);
    return 0;
}
