/* SPDX-License-Identifier: Apache-2.0
 * RESP2 commands: arguments found and errors told, each however the input is cut. Errors are
 * worded as redis-server 7.0 words them where it has them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/wire/resp.h"
#include "support/parser_kit.h"

struct state {
    struct pc_resp_parser parser;
    struct pc_resp_limits limits;
    struct pc_resp_command command;
};

static void start(void *state)
{
    struct state *s = state;
    s->limits = pc_resp_limits_default;
    memset(&s->command, 0xa5, sizeof s->command);
}

static void start_unauthenticated(void *state)
{
    start(state);
    ((struct state *)state)->limits.unauthenticated = true;
}

/* A command becomes a line [arg|arg] (with ! if foreign), an error the line Redis would send. */
static ptrdiff_t feed(void *state, uint8_t *buf, size_t n, struct pc_buf *trace)
{
    struct state *s = state;
    int rc = pc_resp_parse(&s->parser, &s->limits, buf, n, &s->command);
    if (rc < 0) {
        pc_resp_write_protocol_error(trace, &s->parser);
        return -1;
    }
    if (rc == 0)
        return 0;
    pc_buf_str(trace, s->command.foreign ? "![" : "[");
    for (size_t i = 0; i < s->command.argc; i++) {
        pc_buf_str(trace, i ? "|" : "");
        pc_buf_json(trace, s->command.argv[i]);
    }
    pc_buf_lit(trace, "]");
    return rc;
}

static const struct pc_kit_subject subject = {
    .name = "resp",
    .state_bytes = sizeof(struct state),
    .accumulates = true,
    .start = start,
    .feed = feed,
};

#define ROW(want, message)                                                                         \
    {                                                                                              \
        want, sizeof message - 1, message                                                          \
    }
#define ERR(text) "-ERR Protocol error: " text "\r\n"

static const struct row {
    const char *want;
    size_t n;
    const char *message;
} rows[] = {
    /* Arrays. */
    ROW("[PING]", "*1\r\n$4\r\nPING\r\n"),
    ROW("[EXISTS|bl:a]", "*2\r\n$6\r\nEXISTS\r\n$4\r\nbl:a\r\n"),
    ROW("[SET||\\r\\n]", "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n"),
    ROW("[A][B][C|d]", "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n*2\r\n$1\r\nC\r\n$1\r\nd\r\n"),
    ROW("[A]", "*1\r\n$1\r\nA\r\n*1\r\n$1\r\n"),
    ROW("[][]", "*0\r\n*-1\r\n"),
    ROW("[]", "*-100\r\n"),
    ROW("", "*2\r\n$1\r\na\r\n$"),
    ROW("", "*"),
    ROW("", "*1024\r"),
    ROW(ERR("invalid multibulk length"), "*1025\r\n"),
    ROW(ERR("invalid multibulk length"), "*a\r\n"),
    ROW(ERR("invalid multibulk length"), "*\r\n"),
    ROW(ERR("invalid multibulk length"), "*01\r\n"),
    ROW(ERR("invalid multibulk length"), "*+1\r\n"),
    ROW(ERR("invalid multibulk length"), "*-0\r\n"),
    ROW(ERR("invalid multibulk length"), "* 1\r\n"),
    ROW(ERR("invalid multibulk length"), "*1 \r\n"),
    ROW(ERR("invalid multibulk length"), "*1\n"),
    ROW(ERR("invalid multibulk length"), "*1\rx"),
    ROW(ERR("invalid multibulk length"), "*2147483648\r\n"),
    ROW(ERR("invalid multibulk length"), "*99999999999999999999\r\n"),
    ROW(ERR("expected '$', got 'P'"), "*1\r\nPING\r\n"),
    ROW(ERR("expected '$', got '*'"), "*1\r\n*1\r\n"),
    ROW(ERR("expected '$', got ' '"), "*1\r\n\r\n"),
    ROW(ERR("expected '$', got ':'"), "*2\r\n$1\r\na\r\n:1\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$-1\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$x\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$00\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$1x\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$65537\r\n"),
    ROW(ERR("invalid bulk length"), "*1\r\n$99999999999\r\n"),
    ROW(ERR("bulk is not followed by CRLF"), "*1\r\n$1\r\nab\r\n"),
    ROW(ERR("bulk is not followed by CRLF"), "*1\r\n$1\r\na\n\n"),
    ROW("[A]" ERR("expected '$', got '!'"), "*1\r\n$1\r\nA\r\n*1\r\n!\r\n"),
    /* Inline commands. */
    ROW("[PING]", "PING\r\n"),
    ROW("[PING]", "PING\n"),
    ROW("[EXISTS|bl:a]", "  EXISTS \t bl:a  \r\n"),
    ROW("[][][A]", "\r\n\nA\r\n"),
    ROW("[]", "   \r\n"),
    ROW("[SET|a b|c\\\"d]", "SET \"a b\" \"c\\\"d\"\r\n"),
    ROW("[SET|a\\nb\\t\\u0007\\u0008\\rz]", "SET \"a\\nb\\t\\a\\b\\r\\z\"\r\n"),
    ROW("[SET|Aa\\u0001xg1|\\\\]", "SET \"\\x41\\x61\\x01\\xg1\" \"\\\\\"\r\n"),
    ROW("[SET|a'b\\\"|c\\\\d]", "SET 'a\\'b\"' 'c\\d'\r\n"),
    ROW("[SET||]", "SET \"\" ''\r\n"),
    ROW("[SET|foobar|x]", "SET foo\"bar\" x\r\n"),
    ROW("[SET|foobar]", "SET foo'bar'\r\n"),
    ROW(ERR("NUL byte in inline request"), "GET a\0b c\r\n"),
    ROW("[A|b]", "A \x0b\x0c b\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET \"a\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET 'a\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET \"a\"b\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET 'a'b\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET \"a\\\"\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET \"a\\\r\n"),
    ROW(ERR("unbalanced quotes in request"), "SET \"\"\"\r\n"),
    ROW("", "PING"),
    /* Cross-protocol requests. */
    ROW("![POST|/|HTTP/1.1]![Host:|localhost]", "POST / HTTP/1.1\r\nHost: localhost\r\n"),
    ROW("![post]", "*1\r\n$4\r\npost\r\n"),
    ROW("![hOsT:]", "hOsT:\n"),
    ROW("[GET|/|HTTP/1.1]", "GET / HTTP/1.1\r\n"),
    ROW("[POSTS][HOST]", "POSTS\r\nHOST\r\n"),
};

static void check_rows(const struct pc_kit_subject *s, const struct row *row, size_t n)
{
    static uint8_t text[PC_KIT_TRACE_MAX];
    for (size_t i = 0; i < n; i++) {
        struct pc_buf trace = pc_buf_of(text, sizeof text);
        pc_kit_check(s, row[i].message, pc_bytes_of(row[i].message, row[i].n), &trace);
        if (!pc_bytes_eq_str(pc_bytes_of(text, trace.len), row[i].want))
            fail_msg("row %zu %s: wanted %s, got %.*s", i, row[i].message, row[i].want,
                     (int)trace.len, (const char *)text);
    }
}

static void each_command_gives_its_result_however_it_is_cut(void **unused)
{
    (void)unused;
    check_rows(&subject, rows, PC_COUNT(rows));
}

static void before_auth_the_limits_are_those_of_redis(void **unused)
{
    (void)unused;
    struct pc_kit_subject before_auth = subject;
    before_auth.start = start_unauthenticated;
    static const struct row before_auth_rows[] = {
        ROW("[AUTH|x]", "*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"),
        ROW("", "*10\r\n"),
        ROW(ERR("unauthenticated multibulk length"), "*11\r\n"),
        ROW("", "*1\r\n$16384\r\n"),
        ROW(ERR("unauthenticated bulk length"), "*1\r\n$16385\r\n"),
        ROW(ERR("invalid bulk length"), "*1\r\n$65537\r\n"),
    };
    check_rows(&before_auth, before_auth_rows, PC_COUNT(before_auth_rows));
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

/* A byte replaced, put in or taken out, mostly by one that means something. */
static size_t mutate(uint8_t *p, size_t n, uint64_t *x)
{
    static const char telling[] = "\r\n\r\n*$$0012359-+ab\"' \0";
    size_t at = next_random(x) % (n + 1);
    uint8_t byte = next_random(x) % 8 ? (uint8_t)telling[next_random(x) % (sizeof telling - 1)]
                                      : (uint8_t)next_random(x);
    switch (next_random(x) % 3) {
    case 0: p[at < n ? at : n - 1] = byte; return n;
    case 1:
        memmove(p + at + 1, p + at, n - at);
        p[at] = byte;
        return n + 1;
    default:
        if (at == n || n == 1)
            return n;
        memmove(p + at, p + at + 1, n - at - 1);
        return n - 1;
    }
}

static void start_narrow(void *state)
{
    start(state);
    ((struct state *)state)->limits = (struct pc_resp_limits){
        .args = 3, .bulk_bytes = 12, .inline_bytes = 40, .command_bytes = 48};
}

/* A command that is there entire is parsed in one go, cut behind its first line by the parser that
 * goes on: both must agree about every input. */
static void what_is_almost_a_command_gives_one_result_however_it_is_cut(void **unused)
{
    (void)unused;
    static const char *const seeds[] = {
        "*1\r\n$4\r\nPING\r\n",
        "*2\r\n$6\r\nEXISTS\r\n$4\r\nbl:a\r\n*1\r\n$1\r\nA\r\n",
        "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n\r\n345678\r\n12\r\n",
        "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n",
        "*2\r\n$4\r\npost\r\n$0\r\n\r\n*0\r\n*0\r\n*-1\r\n",
        "*2\r\n$1\r\na\r\n$13\r\n0123456789abc\r\n",
        "*3\r\n$9\r\n012345678\r\n$9\r\n012345678\r\n$10\r\n0123456789\r\n",
        "*5\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$10\r\n0123456789\r\n",
    };
    static void (*const starts[])(void *) = {start, start_unauthenticated, start_narrow};
    uint64_t x = 88172645463325252;
    for (unsigned round = 0; round < 6000; round++) {
        struct pc_kit_subject s = subject;
        uint8_t message[256];
        char label[32];
        const char *seed = seeds[round % PC_COUNT(seeds)];
        size_t n = strlen(seed);
        memcpy(message, seed, n);
        for (uint64_t changes = next_random(&x) % 4; changes > 0; changes--)
            n = mutate(message, n, &x);
        snprintf(label, sizeof label, "mutation %u", round);
        s.start = starts[next_random(&x) % PC_COUNT(starts)];
        pc_kit_check(&s, label, pc_bytes_of(message, n), NULL);
    }
}

static void the_corpus_gives_one_result_however_it_is_cut(void **unused)
{
    (void)unused;
    assert_true(pc_kit_corpus(&subject, PC_SOURCE_DIR "/tests/wire/corpus/resp") >= 5);
}

/* Feeds as bytes come in, 97 at a time; returns what the last call did. */
static int verdict_in_pieces(const struct pc_resp_limits *limits, uint8_t *message, size_t n,
                             struct pc_resp_parser *parser)
{
    static struct pc_resp_command command;
    *parser = (struct pc_resp_parser){0};
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0;) {
        at = at + 97 < n ? at + 97 : n;
        rc = pc_resp_parse(parser, limits, message, at, &command);
    }
    return rc;
}

static void limits_hold_to_the_byte(void **unused)
{
    (void)unused;
    struct pc_resp_limits limits = {
        .args = 4, .bulk_bytes = 300, .inline_bytes = 200, .command_bytes = 500};
    struct pc_resp_parser parser;
    static uint8_t message[1024];
    /* An inline line of exactly 200 bytes with its end, and one more. */
    memset(message, 'a', sizeof message);
    message[199] = '\n';
    assert_int_equal(verdict_in_pieces(&limits, message, 200, &parser), 200);
    message[199] = 'a', message[200] = '\n';
    assert_int_equal(verdict_in_pieces(&limits, message, 201, &parser), -EPROTO);
    assert_int_equal(parser.error, PC_RESP_E_INLINE_LONG);
    /* Four words and one more. */
    memcpy(message, "a b c d\n", 8);
    assert_int_equal(verdict_in_pieces(&limits, message, 8, &parser), 8);
    memcpy(message, "a b c d e\n", 10);
    assert_int_equal(verdict_in_pieces(&limits, message, 10, &parser), -EPROTO);
    /* Two bulks make 500 bytes, and one more. */
    for (int extra = 0; extra <= 1; extra++) {
        struct pc_buf b = pc_buf_of(message, sizeof message);
        pc_buf_fmt(&b, "*2\r\n$300\r\n%0300d\r\n$%d\r\n%0*d\r\n", 0, 180 + extra, 180 + extra, 0);
        assert_int_equal(b.len, 500 + extra);
        assert_int_equal(verdict_in_pieces(&limits, message, b.len, &parser),
                         extra ? -EPROTO : 500);
        assert_int_equal(parser.error, extra ? PC_RESP_E_COMMAND_LARGE : PC_RESP_E_NONE);
    }
}

static void a_thousand_keys_in_pieces_are_all_found(void **unused)
{
    (void)unused;
    static uint8_t message[64 * 1024];
    static struct pc_resp_command command;
    struct pc_resp_parser parser = {0};
    struct pc_buf b = pc_buf_of(message, sizeof message);
    pc_resp_write_array(&b, PC_RESP_ARGS_MAX);
    pc_resp_write_bulk(&b, PC_LIT("DEL"));
    for (int i = 1; i < PC_RESP_ARGS_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "bl:%d", i);
        pc_resp_write_bulk(&b, pc_bytes_str(key));
    }
    assert_false(b.overflow);
    for (size_t n = 1; n < b.len; n++)
        assert_int_equal(pc_resp_parse(&parser, &pc_resp_limits_default, message, n, &command), 0);
    assert_int_equal(pc_resp_parse(&parser, &pc_resp_limits_default, message, b.len, &command),
                     b.len);
    assert_int_equal(command.argc, PC_RESP_ARGS_MAX);
    assert_true(pc_bytes_eq_str(command.argv[1], "bl:1"));
    assert_true(pc_bytes_eq_str(command.argv[1023], "bl:1023"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_gives_its_result_however_it_is_cut),
        cmocka_unit_test(before_auth_the_limits_are_those_of_redis),
        cmocka_unit_test(what_is_almost_a_command_gives_one_result_however_it_is_cut),
        cmocka_unit_test(the_corpus_gives_one_result_however_it_is_cut),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(a_thousand_keys_in_pieces_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
