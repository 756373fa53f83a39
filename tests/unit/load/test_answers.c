/* SPDX-License-Identifier: Apache-2.0
 * Answers of HTTP/1.1 and RESP: what is understood and what is malformed, whole, byte by byte and
 * cut in two at every byte, always against a page that must not be touched. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "load/protocol.h"
#include "support/parser_kit.h"

enum { TRACE = 4096 };

struct reader {
    const struct ld_protocol *protocol;
    struct ld_parser parser;
    bool no_body, bad;
    char trace[TRACE];
    size_t n;
};

static void note(struct reader *r, const struct ld_answer *a)
{
    r->n += (size_t)snprintf(r->trace + r->n, TRACE - r->n, "%d%s[%.*s]", a->status,
                             r->parser.closes ? "!" : "", (int)a->body_bytes,
                             a->body ? (const char *)a->body : "");
    if (r->protocol == &ld_resp)
        r->n += (size_t)snprintf(r->trace + r->n, TRACE - r->n, "%.*s", (int)a->head_bytes,
                                 (const char *)a->head);
}

static void feed(struct reader *r, const char *text, size_t n)
{
    for (size_t at = 0; at < n && !r->bad;) {
        struct ld_answer a;
        size_t used = 0;
        const uint8_t *p = pc_kit_guarded(pc_bytes_of((const uint8_t *)text + at, n - at));
        const enum ld_parse done = r->protocol->parse(&r->parser, p, n - at, r->no_body, &used, &a);
        assert_true(used <= n - at);
        if (done == LD_PARSE_ANSWER)
            note(r, &a);
        else if (done == LD_PARSE_MORE)
            assert_int_equal(used, n - at);
        r->bad = done == LD_PARSE_BAD;
        at += used;
    }
}

static void finish(struct reader *r, bool closed, const char *expected)
{
    struct ld_answer a;
    if (closed && !r->bad && r->protocol->end(&r->parser, &a) == LD_PARSE_ANSWER)
        note(r, &a);
    if (r->bad)
        snprintf(r->trace + r->n, TRACE - r->n, "bad");
    assert_string_equal(r->trace, expected);
    ld_parser_reset(&r->parser);
}

/* closed: the connection ends after the text. */
static void check(const struct ld_protocol *protocol, bool no_body, bool closed, const char *text,
                  const char *expected)
{
    const size_t n = strlen(text);
    for (size_t cut = 0; cut <= n; cut++) {
        struct reader r = {.protocol = protocol, .no_body = no_body};
        feed(&r, text, cut);
        feed(&r, text + cut, n - cut);
        finish(&r, closed, expected);
    }
    struct reader r = {.protocol = protocol, .no_body = no_body};
    for (size_t i = 0; i < n; i++)
        feed(&r, text + i, 1);
    finish(&r, closed, expected);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void http(const char *text, const char *expected)
{
    check(&ld_http1, false, false, text, expected);
}

static void a_length_frames_the_body(void **state)
{
    (void)state;
    http(OK "Content-Length: 0\r\n\r\n", "200[]");
    http(OK "content-LENGTH:\t5 \r\nX: y\r\n\r\nhello", "200[hello]");
    http(OK "Content-Length: 2\r\n\r\nab" OK "Content-Length: 1\r\n\r\nc", "200[ab]200[c]");
    http("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n", "204[]304[]");
    http("HTTP/1.1 403\nContent-Length: 1\n\nx", "403[x]");
}

static void chunks_are_joined(void **state)
{
    (void)state;
    http(OK "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
         "200[hello!]");
    http(OK "Transfer-Encoding: chunked\r\n\r\n00A\r\n0123456789\r\n0\r\nT: v\r\nU: w\r\n\r\n" OK
            "Content-Length: 0\r\n\r\n",
         "200[0123456789]200[]");
    http(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200[]");
}

static void interim_answers_are_passed_over(void **state)
{
    (void)state;
    http("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK
         "Content-Length: 1\r\n\r\nx",
         "200[x]");
    http("HTTP/1.1 101 Switching Protocols\r\n\r\n", "bad");
}

static void closing_is_seen(void **state)
{
    (void)state;
    http(OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", "200![x]");
    http("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "200![]");
    http("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "200[]");
    check(&ld_http1, false, true, OK "\r\nall until the end", "200![all until the end]");
    check(&ld_http1, false, true, OK "Content-Length: 5\r\n\r\nhel", "");
    check(&ld_http1, false, true, "HTTP/1.1 200", "");
}

static void an_answer_to_head_has_no_body(void **state)
{
    (void)state;
    check(&ld_http1, true, false, OK "Content-Length: 500\r\n\r\n" OK "\r\n", "200[]200[]");
}

static void what_is_no_http_is_malformed(void **state)
{
    static const char *const texts[] = {
        "+PONG\r\n",
        "\r\n" OK,
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        OK "Content-Length: x\r\n\r\n",
        OK "Content-Length: \r\n\r\n",
        OK "Content-Length: -1\r\n\r\n",
        OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK "Content-Length: 9999999999999999999\r\n\r\n",
        OK "Transfer-Encoding: gzip\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nx\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n1g\r\na\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(texts); i++)
        http(texts[i], "bad");
}

/* Reads text + count fillers + tail in pieces; returns what became of it. */
static enum ld_parse read_large(const struct ld_protocol *protocol, const char *text, size_t count,
                                const char *tail, struct ld_answer *ret_answer)
{
    static struct ld_parser parser;
    static char filler[8192];
    size_t used;
    memset(filler, 'x', sizeof(filler));
    ld_parser_reset(&parser);
    enum ld_parse done =
        protocol->parse(&parser, (const uint8_t *)text, strlen(text), false, &used, ret_answer);
    for (size_t left = count; left && done == LD_PARSE_MORE;) {
        const size_t part = pc_min_u64(left, sizeof(filler));
        done = protocol->parse(&parser, (const uint8_t *)filler, part, false, &used, ret_answer);
        left -= part;
    }
    if (done == LD_PARSE_MORE)
        done =
            protocol->parse(&parser, (const uint8_t *)tail, strlen(tail), false, &used, ret_answer);
    const uint32_t kept = ret_answer->body_bytes;
    ld_parser_reset(&parser);
    ret_answer->body_bytes = kept;
    return done;
}

static void limits_hold(void **state)
{
    struct ld_answer a = {0};
    (void)state;
    assert_int_equal(read_large(&ld_http1, OK "X: ", LD_HEAD_BYTES_MAX, "\r\n\r\n", &a),
                     LD_PARSE_BAD);
    assert_int_equal(read_large(&ld_http1, OK "Content-Length: 3000001\r\n\r\n", 3000000, "x", &a),
                     LD_PARSE_ANSWER);
    assert_true(a.cut);
    assert_int_equal(a.body_bytes, LD_BODY_BYTES_MAX);
    assert_int_equal(read_large(&ld_resp, "$1048576\r\n", 1048576, "\r\n", &a), LD_PARSE_ANSWER);
    assert_int_equal(a.body_bytes, 1048576);
    assert_int_equal(read_large(&ld_resp, "$1048577\r\n", 10, "", &a), LD_PARSE_BAD);
    assert_int_equal(read_large(&ld_resp, "+", LD_LINE_MAX, "\r\n", &a), LD_PARSE_BAD);
    assert_int_equal(read_large(&ld_resp, "*1048577\r\n", 1, "", &a), LD_PARSE_BAD);
}

static void resp(const char *text, const char *expected)
{
    check(&ld_resp, false, false, text, expected);
}

static void every_type_of_resp_is_read(void **state)
{
    (void)state;
    resp("+OK\r\n", "43[]+OK");
    resp("-ERR no\r\n:-17\r\n:9223372036854775807\r\n",
         "45[]-ERR no58[]:-1758[]:9223372036854775807");
    resp("$5\r\nhello\r\n$0\r\n\r\n$-1\r\n", "36[hello]$536[]$036[]$-1");
    resp("$4\r\n\r\n\r\n\r\n", "36[\r\n\r\n]$4");
    resp("*0\r\n*-1\r\n+\r\n", "42[]*042[]*-143[]+");
    resp("*2\r\n:1\r\n$2\r\nab\r\n:2\r\n", "42[:1\r\n$2\r\nab\r\n]*258[]:2");
    resp("*3\r\n*1\r\n:1\r\n*0\r\n*1\r\n*2\r\n+a\r\n-b\r\n+z\r\n",
         "42[*1\r\n:1\r\n*0\r\n*1\r\n*2\r\n+a\r\n-b\r\n]*343[]+z");
}

static void what_is_no_resp_is_malformed(void **state)
{
    static const char *const texts[] = {
        "HTTP/1.1 400 x\r\n",
        "+OK\n",
        "\r\n",
        ":\r\n",
        ":1x\r\n",
        ":99999999999999999999\r\n",
        "$-2\r\n",
        "$3\r\nabcd\r\n",
        "*-2\r\n",
        "*1\r\n!\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(texts); i++)
        resp(texts[i], "bad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_length_frames_the_body),
        cmocka_unit_test(chunks_are_joined),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(closing_is_seen),
        cmocka_unit_test(an_answer_to_head_has_no_body),
        cmocka_unit_test(what_is_no_http_is_malformed),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(every_type_of_resp_is_read),
        cmocka_unit_test(what_is_no_resp_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
