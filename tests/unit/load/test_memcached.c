/* SPDX-License-Identifier: Apache-2.0
 * memcached's one-line answers: the same however they are cut, and everything else malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <string.h>

#include "load/protocol.h"

/* All answers of the text, fed in pieces of step bytes, joined by commas; "bad" after what is not
 * one. */
static void read_all(const char *text, size_t step, char *out, size_t room)
{
    struct ld_parser parser = {0};
    const size_t n = strlen(text);
    *out = '\0';
    for (size_t at = 0; at < n;) {
        struct ld_answer a;
        size_t used = 0;
        const size_t piece = pc_min_u64(step, n - at);
        const enum ld_parse done =
            ld_memcached.parse(&parser, (const uint8_t *)text + at, piece, false, &used, &a);
        assert_in_range(used, 1, piece);
        at += used;
        const size_t length = strlen(out);
        if (done == LD_PARSE_BAD) {
            snprintf(out + length, room - length, "bad");
            break;
        }
        if (done == LD_PARSE_ANSWER)
            snprintf(out + length, room - length, "%.*s,", (int)a.head_bytes, (const char *)a.head);
    }
    ld_parser_reset(&parser);
}

static void check(const char *text, const char *expected)
{
    char found[256];
    for (size_t step = 1; step <= strlen(text); step++) {
        read_all(text, step, found, sizeof(found));
        assert_string_equal(found, expected);
    }
}

static void lines_are_answers(void **state)
{
    (void)state;
    check("HD\r\n", "HD,");
    check("HD\r\nEN\r\nSTORED\r\nSERVER_ERROR out of memory\r\n",
          "HD,EN,STORED,SERVER_ERROR out of memory,");
}

static void what_is_no_line_is_malformed(void **state)
{
    (void)state;
    check("HD\n", "bad");
    check("\r\n", "bad");
    check("+OK\r\n", "bad");
    check("HD\r\nVA 1\r\n1\r\n", "HD,bad");
    check("VALUE key 0 1\r\n1\r\nEND\r\n", "bad");
}

static void a_line_without_end_is_malformed(void **state)
{
    struct ld_parser parser = {0};
    struct ld_answer a;
    uint8_t line[LD_LINE_MAX];
    size_t used;
    (void)state;
    memset(line, 'A', sizeof(line));
    assert_int_equal(ld_memcached.parse(&parser, line, sizeof(line), false, &used, &a),
                     LD_PARSE_MORE);
    assert_int_equal(ld_memcached.parse(&parser, line, 1, false, &used, &a), LD_PARSE_BAD);
    assert_int_equal(ld_memcached.end(&parser, &a), LD_PARSE_BAD);
    ld_parser_reset(&parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_answers),
        cmocka_unit_test(what_is_no_line_is_malformed),
        cmocka_unit_test(a_line_without_end_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
