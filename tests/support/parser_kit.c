/* SPDX-License-Identifier: Apache-2.0
 * The parser kit. One thread; keeps two mapped areas for the life of the process. */
#include "support/parser_kit.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* The end of an area of PC_KIT_MESSAGE_MAX bytes before a page that must not be touched. */
static uint8_t *guard_end(void)
{
    static uint8_t *end;
    if (!end) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint8_t *area = mmap(NULL, PC_KIT_MESSAGE_MAX + page, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(area, MAP_FAILED);
        end = area + PC_KIT_MESSAGE_MAX;
        assert_int_equal(mprotect(end, page, PROT_NONE), 0);
    }
    return end;
}

uint8_t *pc_kit_guarded(struct pc_bytes bytes)
{
    assert_true(bytes.n <= PC_KIT_MESSAGE_MAX);
    uint8_t *at = guard_end() - bytes.n;
    if (bytes.n)
        memcpy(at, bytes.p, bytes.n);
    return at;
}

struct run {
    const struct pc_kit_subject *subject;
    void *state;
    struct pc_buf *trace;
    size_t consumed; /* of the message, by an accumulating parser */
    bool over;
};

/* Everything up to `upto` has arrived; `from` is where the last arrival ended. */
static void arrive(struct run *r, struct pc_bytes message, size_t from, size_t upto)
{
    const struct pc_kit_subject *s = r->subject;
    while (!r->over) {
        size_t at = s->accumulates ? r->consumed : from;
        uint8_t *buf = pc_kit_guarded(pc_bytes_of(message.p + at, upto - at));
        ptrdiff_t used = s->feed(r->state, buf, upto - at, r->trace);
        assert_true(used <= (ptrdiff_t)(upto - at));
        r->over = used < 0 || (!s->accumulates && (size_t)used < upto - at);
        if (!s->accumulates || used <= 0)
            return;
        r->consumed += (size_t)used;
    }
}

/* Feeds the message in pieces that end at `first`, then every `step` bytes. */
static void run_cut(const struct pc_kit_subject *s, void *state, struct pc_bytes message,
                    size_t first, size_t step, struct pc_buf *trace)
{
    struct run r = {.subject = s, .state = state, .trace = trace};
    memset(state, 0, s->state_bytes);
    trace->len = 0;
    trace->overflow = false;
    s->start(state);
    for (size_t at = 0, next = first; !r.over; at = next, next += step) {
        if (next > message.n)
            next = message.n;
        arrive(&r, message, at, next);
        if (next == message.n)
            break;
    }
    assert_false(trace->overflow);
}

static void expect_same(const char *label, const char *how, size_t cut, const struct pc_buf *want,
                        const struct pc_buf *got)
{
    if (want->len == got->len && memcmp(want->p, got->p, want->len) == 0)
        return;
    fail_msg("%s: %s at %zu gives\n%.*s\ninstead of\n%.*s", label, how, cut, (int)got->len,
             (const char *)got->p, (int)want->len, (const char *)want->p);
}

void pc_kit_check(const struct pc_kit_subject *subject, const char *label, struct pc_bytes message,
                  struct pc_buf *ret_trace)
{
    void *state = malloc(subject->state_bytes), *memory = malloc(2 * PC_KIT_TRACE_MAX);
    assert_true(state && memory);
    struct pc_buf whole = pc_buf_of(memory, PC_KIT_TRACE_MAX);
    struct pc_buf other = pc_buf_of((char *)memory + PC_KIT_TRACE_MAX, PC_KIT_TRACE_MAX);
    run_cut(subject, state, message, message.n, 1, &whole);
    run_cut(subject, state, message, 1, 1, &other);
    expect_same(label, "byte by byte", 1, &whole, &other);
    for (size_t cut = 1; cut < message.n; cut++) {
        run_cut(subject, state, message, cut, message.n, &other);
        expect_same(label, "a split", cut, &whole, &other);
    }
    if (ret_trace)
        pc_buf_put(ret_trace, whole.p, whole.len);
    free(memory);
    free(state);
}

static size_t read_file(const char *path, uint8_t *buf)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot read %s", path);
    size_t n = fread(buf, 1, PC_KIT_MESSAGE_MAX, f);
    fclose(f);
    return n;
}

static int no_dot_files(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

size_t pc_kit_corpus(const struct pc_kit_subject *subject, const char *folder)
{
    char path[1024];
    struct dirent **entries;
    int count = scandir(folder, &entries, no_dot_files, alphasort);
    if (count <= 0)
        fail_msg("no corpus in %s", folder);
    uint8_t *message = malloc(PC_KIT_MESSAGE_MAX), *text = malloc(PC_KIT_TRACE_MAX);
    assert_true(message && text);
    for (int i = 0; i < count; i++) {
        struct pc_buf trace = pc_buf_of(text, PC_KIT_TRACE_MAX);
        const char *name = entries[i]->d_name;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        size_t n = read_file(path, message);
        pc_kit_check(subject, name, pc_bytes_of(message, n), &trace);
        if (!memmem(text, trace.len, name, strcspn(name, "-")))
            fail_msg("%s: the trace is\n%.*s", name, (int)trace.len, (const char *)text);
        free(entries[i]);
    }
    free(entries);
    free(message);
    free(text);
    return (size_t)count;
}
