/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1 heads: what is refused and with which status, what is accepted, each however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "wire/http1_subject.h"

/* A row is a message (may hold NUL, hence its size) and the verdict on its (first) head. */
#define ROW(status, message)                                                                       \
    {                                                                                              \
        status, sizeof message - 1, message                                                        \
    }
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

static const struct row {
    int status;
    size_t n;
    const char *message;
} rows[] = {
    /* Request line. */
    ROW(200, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ROW(400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\nHost: a\n\n"),
    ROW(400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ROW(400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / HTTP/11.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / HTTP 1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET / XTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ROW(505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    ROW(505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    ROW(200, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ROW(1, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ROW(505, "PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ROW(505, "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"),
    ROW(400, "PRI * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "G:T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(501, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ROW(501, "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(501, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), /* TLS on a plain listener */
    /* Target. */
    ROW(200, "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET /a? HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET /?a?b=/c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET /{a}|\"<>^`\\ HTTP/1.1\r\nHost: a\r\n\r\n"), /* the path is judged later */
    ROW(400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET HTTPS://b:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(200, "GET http://[::1]:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET http://b:x/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET http://b/# HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(400, "GET http://b/ HTTP/1.1\r\n\r\n"), /* Host is wanted even then */
    /* Host. */
    ROW(400, "GET / HTTP/1.1\r\n\r\n"),
    ROW(400, "GET / HTTP/1.2\r\n\r\n"),
    ROW(200, "GET / HTTP/1.0\r\n\r\n"),
    ROW(400, GET "Host: a\r\n\r\n"),
    ROW(400, GET "HOST: b\r\n\r\n"),
    ROW(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    ROW(200, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ROW(200, "GET / HTTP/1.1\r\nHost: a.b-c_d~e:80\r\n\r\n"),
    ROW(200, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    ROW(200, "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: [v1.a]\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: a%41\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"),
    /* Field lines. */
    ROW(400, GET "X : y\r\n\r\n"),
    ROW(400, GET "X\t: y\r\n\r\n"),
    ROW(400, GET " X: y\r\n\r\n"),
    ROW(400, GET "X: y\r\n z\r\n\r\n"),
    ROW(400, GET "X: y\r\n\tz\r\n\r\n"),
    ROW(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"), /* blank line start after the request line */
    ROW(400, GET "X y\r\n\r\n"),
    ROW(400, GET "X\r\n\r\n"),
    ROW(400, GET ": y\r\n\r\n"),
    ROW(400, GET "X\xc3\xa9: y\r\n\r\n"),
    ROW(400, GET "X(: y\r\n\r\n"),
    ROW(400, GET "X\0: y\r\n\r\n"),
    ROW(400, GET "X: \0\r\n\r\n"),
    ROW(400, GET "X: a\x01z\r\n\r\n"),
    ROW(400, GET "X: a\x0bz\r\n\r\n"),
    ROW(400, GET "X: a\x1fz\r\n\r\n"),
    ROW(400, GET "X: a\x7fz\r\n\r\n"),
    ROW(400, GET "X: a\nz\r\n\r\n"),
    ROW(400, GET "X: a\n\r\n"),
    ROW(400, GET "X: a\rz\r\n\r\n"),
    ROW(400, GET "X: a\r\r\n\r\n"),
    ROW(400, GET "X: a\r\n\n"),
    ROW(400, GET "X: a\r\n\r\r\n"),
    ROW(400, GET "X: a\r\n\ra"),
    ROW(400, GET "\n\n"),
    ROW(200, GET "X: a\tb c\r\n\r\n"),
    ROW(200, GET "X: caf\xc3\xa9 \x80\xff\r\n\r\n"),
    ROW(200, GET "X:\r\n\r\n"),
    ROW(200, GET "X: \t \r\n\r\n"),
    ROW(200, GET "X:a:b\r\n\r\n"),
    ROW(200, GET "!#$%&'*+-.^_`|~09azAZ: y\r\n\r\n"),
    /* Content-Length. */
    ROW(200, GET "Content-Length: 0\r\n\r\n"),
    ROW(200, GET "Content-Length: 0005\r\n\r\n"),
    ROW(200, GET "Content-Length: 1048576\r\n\r\n"),
    ROW(413, GET "Content-Length: 1048577\r\n\r\n"),
    ROW(413, GET "Content-Length: 18446744073709551615\r\n\r\n"),
    ROW(400, GET "Content-Length: 18446744073709551616\r\n\r\n"),
    ROW(400, GET "Content-Length: 184467440737095516150\r\n\r\n"),
    ROW(400, GET "Content-Length: +5\r\n\r\n"),
    ROW(400, GET "Content-Length: -5\r\n\r\n"),
    ROW(400, GET "Content-Length: 0x5\r\n\r\n"),
    ROW(400, GET "Content-Length: 5 5\r\n\r\n"),
    ROW(400, GET "Content-Length: 5,5\r\n\r\n"),
    ROW(400, GET "Content-Length: 5, 6\r\n\r\n"),
    ROW(400, GET "Content-Length: 5.0\r\n\r\n"),
    ROW(400, GET "Content-Length: five\r\n\r\n"),
    ROW(400, GET "Content-Length:\r\n\r\n"),
    ROW(400, GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    ROW(400, GET "Content-Length: 5\r\ncontent-length: 6\r\n\r\n"),
    /* Transfer-Encoding. */
    ROW(200, GET "Transfer-Encoding: chunked\r\n\r\n"),
    ROW(200, GET "transfer-encoding: CHUNKED\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    ROW(400, GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(400, GET "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n"),
    ROW(501, GET "Transfer-Encoding: gzip\r\n\r\n"),
    ROW(501, GET "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    ROW(501, GET "Transfer-Encoding: gzip;q=1, chunked\r\n\r\n"),
    ROW(501, GET "Transfer-Encoding: identity\r\n\r\n"),
    ROW(501, GET "Transfer-Encoding: xchunked\r\n\r\n"),
    ROW(501, GET "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked, gzip\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked;a=b\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding:\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: ,chunked\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chunked,\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: chun ked\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: \xc3\xa9\r\n\r\n"),
    ROW(400, GET "Transfer-Encoding: x\x0b"
                 "chunked\r\n\r\n"),
    ROW(400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    /* Connection and Expect. */
    ROW(200, GET "Connection: close\r\n\r\n"),
    ROW(200, GET "Connection: keep-alive, , Upgrade\r\n\r\n"),
    ROW(400, GET "Connection: a b\r\n\r\n"),
    ROW(400, GET "Connection: close; x\r\n\r\n"),
    ROW(200, GET "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
    ROW(200, GET "Expect: 100-Continue\r\n\r\n"),
    ROW(417, GET "Expect: 200-ok\r\n\r\n"),
    ROW(417, GET "Expect: 100-continue, x\r\n\r\n"),
    ROW(417, GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
    ROW(417, GET "Expect:\r\n\r\n"),
    /* A refusal must not depend on what follows. */
    ROW(200, GET "\r\nGET / HTTP/1.1\nHost: smuggled\r\n\r\n"),
};

static void each_message_gets_its_status_however_it_is_cut(void **unused)
{
    (void)unused;
    static uint8_t text[PC_KIT_TRACE_MAX];
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        char label[64], want[16];
        struct pc_buf trace = pc_buf_of(text, sizeof text);
        snprintf(label, sizeof label, "row %zu", i);
        int n = snprintf(want, sizeof want, "%d ", rows[i].status);
        pc_kit_check(&http1_subject, label, pc_bytes_of(rows[i].message, rows[i].n), &trace);
        if (trace.len < (size_t)n || memcmp(trace.p, want, (size_t)n))
            fail_msg("row %zu %s: wanted %s but\n%.*s", i, rows[i].message, want, (int)trace.len,
                     (const char *)trace.p);
    }
}

static void the_corpus_gives_one_result_however_it_is_cut(void **unused)
{
    (void)unused;
    assert_true(pc_kit_corpus(&http1_subject, PC_SOURCE_DIR "/tests/wire/corpus/http1") > 10);
}

/* A request whose line and header block have exactly these sizes. */
static struct pc_bytes sized_request(uint8_t *buf, size_t line_bytes, size_t header_bytes)
{
    struct pc_buf b = pc_buf_of(buf, PC_KIT_MESSAGE_MAX);
    pc_buf_lit(&b, "GET /");
    while (b.len < line_bytes - 9)
        pc_buf_char(&b, 'a');
    pc_buf_lit(&b, " HTTP/1.1\r\n");
    size_t fields_at = b.len;
    pc_buf_lit(&b, "Host: a\r\nX: ");
    while (b.len - fields_at < header_bytes - 4)
        pc_buf_char(&b, 'b');
    pc_buf_lit(&b, "\r\n\r\n");
    assert_true(!b.overflow && b.len == line_bytes + 2 + header_bytes);
    return pc_bytes_of(buf, b.len);
}

/* Two cuts per position would take minutes at this size; byte by byte shows the same. */
static int verdict_byte_by_byte(const struct pc_http1_limits *limits, struct pc_bytes message)
{
    static struct pc_http_request r;
    pc_http1_reset(&r);
    int whole = pc_http1_parse(&r, limits, pc_kit_guarded(message), message.n);
    int rc = 0;
    pc_http1_reset(&r);
    for (size_t n = 1; n <= message.n && rc == 0; n++)
        rc = pc_http1_parse(&r, limits, pc_kit_guarded(pc_bytes_of(message.p, n)), n);
    assert_int_equal(whole, rc);
    return rc;
}

static void limits_hold_to_the_byte(void **unused)
{
    (void)unused;
    uint8_t *buf = malloc(PC_KIT_MESSAGE_MAX);
    assert_non_null(buf);
    const struct pc_http1_limits *limits = &pc_http1_limits_default;
    const size_t line = PC_HTTP1_REQUEST_LINE_BYTES, block = PC_HTTP1_HEADER_BYTES;
    assert_int_equal(verdict_byte_by_byte(limits, sized_request(buf, line, block)),
                     line + 2 + block);
    assert_int_equal(verdict_byte_by_byte(limits, sized_request(buf, line + 1, 100)), -414);
    assert_int_equal(verdict_byte_by_byte(limits, sized_request(buf, 100, block + 1)), -431);
    struct pc_http1_limits small = {64, 64, 2, 10};
    assert_int_equal(verdict_byte_by_byte(&small, sized_request(buf, 64, 64)), 64 + 2 + 64);
    assert_int_equal(verdict_byte_by_byte(&small, sized_request(buf, 65, 64)), -414);
    assert_int_equal(verdict_byte_by_byte(&small, sized_request(buf, 64, 65)), -431);
    free(buf);
}

static void a_hundred_fields_are_taken_and_one_more_is_not(void **unused)
{
    (void)unused;
    static uint8_t buf[4096];
    for (int extra = 0; extra <= 1; extra++) {
        struct pc_buf b = pc_buf_of(buf, sizeof buf);
        pc_buf_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < PC_HTTP_FIELDS_MAX + extra; i++)
            pc_buf_lit(&b, "a: b\r\n");
        pc_buf_lit(&b, "\r\n");
        int rc = verdict_byte_by_byte(&pc_http1_limits_default, pc_bytes_of(buf, b.len));
        assert_int_equal(rc, extra ? -431 : (int)b.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_gets_its_status_however_it_is_cut),
        cmocka_unit_test(the_corpus_gives_one_result_however_it_is_cut),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(a_hundred_fields_are_taken_and_one_more_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
