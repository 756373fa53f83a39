/* SPDX-License-Identifier: Apache-2.0
 * Chunked bodies: what decodes to what, and what is refused, each however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/wire/chunked.h"
#include "support/parser_kit.h"

#define BODY_MAX 4096

struct state {
    struct pc_chunked decoder;
    size_t body_n;
    uint8_t body[BODY_MAX];
};

static void start(void *state)
{
    pc_chunked_init(&((struct state *)state)->decoder, BODY_MAX);
}

/* The trace is written at the end only: "<status> <decoded body> <bytes left over>". */
static ptrdiff_t feed(void *state, uint8_t *buf, size_t n, struct pc_buf *trace)
{
    struct state *s = state;
    size_t body = 0, used = 0;
    int rc = pc_chunked_decode(&s->decoder, buf, n, &body, &used);
    if (rc < 0) {
        pc_buf_fmt(trace, "%d", -rc);
        return -1;
    }
    assert_true(body <= used && used <= n && s->body_n + body <= BODY_MAX);
    memcpy(s->body + s->body_n, buf, body);
    s->body_n += body;
    assert_true(s->decoder.body_bytes == s->body_n);
    if (rc == 0) {
        assert_int_equal(used, n);
        return (ptrdiff_t)used;
    }
    pc_buf_lit(trace, "200 ");
    pc_buf_json(trace, pc_bytes_of(s->body, s->body_n));
    return -1;
}

static const struct pc_kit_subject subject = {
    .name = "chunked",
    .state_bytes = sizeof(struct state),
    .start = start,
    .feed = feed,
};

#define ROW(want, message)                                                                         \
    {                                                                                              \
        want, sizeof message - 1, message                                                          \
    }

static const struct row {
    const char *want; /* "" means: not complete */
    size_t n;
    const char *message;
} rows[] = {
    ROW("200 ", "0\r\n\r\n"),
    ROW("200 abc", "3\r\nabc\r\n0\r\n\r\n"),
    ROW("200 abcdef", "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\nGET / HTTP/1.1\r\n"),
    ROW("200 abcdefghijklmnop", "A\r\nabcdefghij\r\n06\r\nklmnop\r\n000\r\n\r\n"),
    ROW("200 abcdefghij", "a\r\nabcdefghij\r\n0\r\n\r\n"),
    ROW("200 \\r\\n", "2\r\n\r\n\r\n0\r\n\r\n"),
    ROW("200 a", "1;x\r\na\r\n0;y=z;w=\"q r\"\r\n\r\n"),
    ROW("200 a", "1\r\na\r\n0\r\nTrailer: v\r\nX:\r\n\r\n"),
    ROW("200 a", "0000000000000001\r\na\r\n0\r\n\r\n"),
    ROW("", "3\r\nab"),
    ROW("", "3\r\nabc\r\n"),
    ROW("", "0\r\n"),
    ROW("", "0\r\n\r"),
    ROW("400", "\r\n"),
    ROW("400", "\n"),
    ROW("400", "x\r\n"),
    ROW("400", "-1\r\n"),
    ROW("400", "+1\r\na\r\n"),
    ROW("400", "0x1\r\na\r\n"),
    ROW("400", " 1\r\na\r\n"),
    ROW("400", "1 \r\na\r\n"),
    ROW("400", "1 ;x\r\na\r\n"),
    ROW("400", "1\na\r\n"),
    ROW("400", "1\ra"),
    ROW("400", "1\r\nab"),
    ROW("400", "1\r\na\n0\r\n\r\n"),
    ROW("400", "1\r\na\rx"),
    ROW("400", "1\r\na0\r\n\r\n"),
    ROW("400", "00000000000000001\r\na\r\n"),
    ROW("400", "1;\x01\r\na\r\n"),
    ROW("400", "1;a\nb\r\n"),
    ROW("400", "1;a\0b\r\n"),
    ROW("400", ";x\r\n"),
    ROW("413", "1001\r\n"),
    ROW("413", "FFFFFFFFFFFFFFFF\r\n"),
    ROW("413", "1\r\na\r\n1000\r\n"),
    ROW("413", "1\r\na\r\nffffffffffffffff;x\r\n"),
    ROW("400", "0\r\n X: y\r\n\r\n"),
    ROW("400", "0\r\n: y\r\n\r\n"),
    ROW("400", "0\r\nX y\r\n\r\n"),
    ROW("400", "0\r\nX : y\r\n\r\n"),
    ROW("400", "0\r\nX: \0\r\n\r\n"),
    ROW("400", "0\r\nX: y\n\r\n"),
    ROW("400", "0\r\nX: y\r\r\n"),
    ROW("400", "0\r\nX\r\n\r\n"),
    ROW("400", "0\r\n\n"),
    ROW("400", "0\r\n\rx"),
};

static void each_body_gives_its_result_however_it_is_cut(void **unused)
{
    (void)unused;
    static uint8_t text[PC_KIT_TRACE_MAX];
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_buf trace = pc_buf_of(text, sizeof text);
        pc_kit_check(&subject, rows[i].message, pc_bytes_of(rows[i].message, rows[i].n), &trace);
        if (!pc_bytes_eq_str(pc_bytes_of(text, trace.len), rows[i].want))
            fail_msg("row %zu %s: wanted %s, got %.*s", i, rows[i].message, rows[i].want,
                     (int)trace.len, (const char *)text);
    }
}

/* The result for "<head><n times x><tail>". */
static int verdict_of_run(const char *head, size_t n, const char *tail)
{
    static uint8_t message[PC_KIT_MESSAGE_MAX], text[PC_KIT_TRACE_MAX];
    struct pc_buf b = pc_buf_of(message, sizeof message), trace = pc_buf_of(text, sizeof text);
    struct state *s = calloc(1, sizeof *s);
    assert_non_null(s);
    pc_buf_str(&b, head);
    while (n-- > 0)
        pc_buf_char(&b, 'x');
    pc_buf_str(&b, tail);
    start(s);
    feed(s, message, b.len, &trace);
    free(s);
    return trace.len >= 3 ? (text[0] - '0') * 100 + (text[1] - '0') * 10 + text[2] - '0' : 0;
}

static void limits_hold_to_the_byte(void **unused)
{
    (void)unused;
    const char *trailer_end = ":\r\n\r\n";
    assert_int_equal(verdict_of_run("0;", PC_CHUNKED_EXTENSION_BYTES, "\r\n\r\n"), 200);
    assert_int_equal(verdict_of_run("0;", PC_CHUNKED_EXTENSION_BYTES + 1, "\r\n\r\n"), 400);
    /* The line's ':' and CR count; its LF does not. */
    assert_int_equal(verdict_of_run("0\r\n", PC_CHUNKED_TRAILER_BYTES - 2, trailer_end), 200);
    assert_int_equal(verdict_of_run("0\r\n", PC_CHUNKED_TRAILER_BYTES - 1, trailer_end), 431);
    assert_int_equal(verdict_of_run("1000\r\n", BODY_MAX, "\r\n0\r\n\r\n"), 200);
}

static void the_corpus_gives_one_result_however_it_is_cut(void **unused)
{
    (void)unused;
    assert_true(pc_kit_corpus(&subject, PC_SOURCE_DIR "/tests/wire/corpus/chunked") >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_body_gives_its_result_however_it_is_cut),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(the_corpus_gives_one_result_however_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
