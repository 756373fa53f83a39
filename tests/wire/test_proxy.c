/* SPDX-License-Identifier: Apache-2.0
 * PROXY protocol headers: what says what, and what is refused, each however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/crc32c.h"
#include "edge/wire/proxy.h"
#include "support/parser_kit.h"

static void put_end(struct pc_buf *b, const struct pc_ip *ip, uint16_t port)
{
    pc_ip_format(ip, b);
    pc_buf_fmt(b, " %u ", port);
}

/* The parser keeps nothing between calls. */
static void start(void *state)
{
    (void)state;
}

/* "v1 192.0.2.1 1 192.0.2.2 2 rest 14", "v2 local", "v1 unknown", or an error's name. */
static ptrdiff_t feed(void *state, uint8_t *buf, size_t n, struct pc_buf *trace)
{
    static const struct {
        int rc;
        const char *name;
    } errors[] = {
        {PC_E_SYNTAX,      "syntax"     },
        {PC_E_TOO_LARGE,   "large"      },
        {PC_E_UNSUPPORTED, "unsupported"},
        {PC_E_DAMAGED,     "damaged"    },
    };
    struct pc_proxy h;
    (void)state;
    int rc = pc_proxy_parse(buf, n, &h);
    for (size_t i = 0; i < PC_COUNT(errors); i++)
        if (rc == errors[i].rc)
            pc_buf_str(trace, errors[i].name);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return 0;
    assert_true((size_t)rc <= n && rc <= PC_PROXY_HEADER_MAX);
    assert_true(h.version == 2 || rc <= PC_PROXY_V1_MAX);
    pc_buf_fmt(trace, "v%u ", h.version);
    if (h.known) {
        assert_false(h.local);
        put_end(trace, &h.source, h.source_port);
        put_end(trace, &h.destination, h.destination_port);
    } else {
        pc_buf_str(trace, h.local ? "local " : "unknown ");
    }
    pc_buf_fmt(trace, "in %d", rc);
    return -1; /* the header is all that is parsed */
}

static const struct pc_kit_subject subject = {
    .name = "proxy",
    .state_bytes = 1,
    .accumulates = true,
    .start = start,
    .feed = feed,
};

static void check(const char *want, const void *message, size_t n)
{
    static uint8_t memory[PC_KIT_TRACE_MAX];
    struct pc_buf trace = pc_buf_of(memory, sizeof memory);
    pc_kit_check(&subject, want, pc_bytes_of(message, n), &trace);
    if (!pc_bytes_eq_str(pc_bytes_of(trace.p, trace.len), want))
        fail_msg("\"%.*s\": wanted \"%s\", got \"%.*s\"", (int)n, (const char *)message, want,
                 (int)trace.len, (const char *)trace.p);
}

#define ROW(want, message)                                                                         \
    {                                                                                              \
        want, sizeof message - 1, message                                                          \
    }

struct row {
    const char *want; /* "": more is needed */
    size_t n;
    const char *message;
};

static const struct row lines[] = {
    ROW("v1 192.0.2.1 56324 198.51.100.1 443 in 45",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n"),
    ROW("v1 2001:db8::1 1 2001:db8::2 65535 in 44",
        "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"),
    ROW("v1 192.0.2.1 0 192.0.2.2 0 in 50", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 0 0\r\n"),
    ROW("v1 unknown in 15", "PROXY UNKNOWN\r\n*1\r\n"),
    ROW("v1 unknown in 47", "PROXY UNKNOWN whatever stands here, 1 2 3 4 5\r\n"),
    ROW("v1 unknown in 107",
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535 .............................."
        ".................\r\n"),
    ROW("large", "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535 "
                 "................................................\r\n"),
    ROW("", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r"),
    ROW("", "PROXY"),
    ROW("", "P"),
    ROW("syntax", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW("syntax", "POST / HTTP/1.1\r\n"),
    ROW("syntax", "PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n"),
    ROW("syntax", "PROXY TCP6 192.0.2.1 2001:db8::1 1 2\r\n"),
    ROW("syntax", "PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"),
    ROW("syntax", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX"),
    ROW("syntax", "PROXY TCP4\t192.0.2.1"),
    ROW("syntax", "PROXY TCP4 192.0.2.1\0"),
};

static void lines_of_version_1(void **state)
{
    (void)state;
    for (size_t i = 0; i < PC_COUNT(lines); i++)
        check(lines[i].want, lines[i].message, lines[i].n);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb" /* 192.0.2.1 198.51.100.1 */
#define SIXTEEN   "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static const struct row headers[] = {
    ROW("v2 192.0.2.1 56324 198.51.100.1 443 in 28", SIGNATURE "\x21\x11\x00\x0c" V4 "GET /"),
    ROW("v2 2001:db8::1 1 :: 2 in 52",
        SIGNATURE "\x21\x21\x00\x24 \x01\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" SIXTEEN "\0\x01\0\x02"),
    ROW("v2 192.0.2.1 1 :: 2 in 52", SIGNATURE
        "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01" SIXTEEN "\0\x01\0\x02"),
    ROW("v2 local in 16", SIGNATURE "\x20\x00\x00\x00PING\r\n"),
    ROW("v2 local in 28", SIGNATURE "\x20\x11\x00\x0c" V4),
    ROW("v2 local in 19", SIGNATURE "\x20\xee\x00\x03\x03\xff\xff"), /* all of it is skipped */
    ROW("v2 unknown in 16", SIGNATURE "\x21\x00\x00\x00"),
    ROW("v2 unknown in 19", SIGNATURE "\x21\x00\x00\x03\x04\x00\x00"),
    /* TLVs: PP2_TYPE_NOOP, PP2_TYPE_AUTHORITY */
    ROW("v2 192.0.2.1 56324 198.51.100.1 443 in 36",
        SIGNATURE "\x21\x11\x00\x14" V4 "\x04\x00\x00\x02\x00\x02hi"),
    ROW("", SIGNATURE),
    ROW("", SIGNATURE "\x21\x11\x00\x0c"),
    ROW("", SIGNATURE "\x21\x11\x00\x0d" V4),
    ROW("syntax", "\r\n\r\nQUIT"),
    ROW("unsupported", SIGNATURE "\x11"),
    ROW("unsupported", SIGNATURE "\x31"),
    ROW("syntax", SIGNATURE "\x22"),
    ROW("syntax", SIGNATURE "\x21\x10"),
    ROW("syntax", SIGNATURE "\x21\x41"),
    ROW("unsupported", SIGNATURE "\x21\x12"),
    ROW("unsupported", SIGNATURE "\x21\x22"),
    ROW("syntax", SIGNATURE "\x21\x11\x00\x0b"),
    ROW("syntax", SIGNATURE "\x21\x21\x00\x23"),
    ROW("syntax", SIGNATURE "\x21\x31\x00\x0c"),
    ROW("large", SIGNATURE "\x21\x11\x0f\xf1"),
    ROW("large", SIGNATURE "\x20\x00\xff\xff"),
    /* TLVs that end too early, and an empty checksum */
    ROW("syntax", SIGNATURE "\x21\x11\x00\x0d" V4 "\x04"),
    ROW("syntax", SIGNATURE "\x21\x11\x00\x10" V4 "\x04\x00\x02\x00"),
    ROW("syntax", SIGNATURE "\x21\x11\x00\x0f" V4 "\x03\x00\x00"),
    ROW("damaged", SIGNATURE "\x21\x11\x00\x13" V4 "\x03\x00\x04\x00\x00\x00\x00"),
};

static void headers_of_version_2(void **state)
{
    (void)state;
    for (size_t i = 0; i < PC_COUNT(headers); i++)
        check(headers[i].want, headers[i].message, headers[i].n);
}

static void a_unix_socket_has_no_address(void **state)
{
    uint8_t header[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/a.sock";
    (void)state;
    check("v2 unknown in 232", header, sizeof header);
}

static void put_crc(uint8_t *header, size_t n, size_t at)
{
    uint32_t crc = pc_crc32c(0, header, n);
    for (unsigned i = 0; i < 4; i++)
        header[at + i] = (uint8_t)(crc >> (24 - 8 * i));
}

static void the_checksum_covers_the_whole_header(void **state)
{
    uint8_t header[] = SIGNATURE "\x21\x11\x00\x18" V4 "\x03\x00\x04\0\0\0\0\x02\x00\x02hi";
    size_t n = sizeof header - 1;
    (void)state;
    put_crc(header, n, 31);
    check("v2 192.0.2.1 56324 198.51.100.1 443 in 40", header, n);
    for (size_t i = 16; i < n; i++) {
        struct pc_proxy h;
        header[i] ^= 1;
        int rc = pc_proxy_parse(header, n, &h);
        assert_true(rc == PC_E_DAMAGED || rc == PC_E_SYNTAX || (rc > 0 && i == 28));
        header[i] ^= 1; /* byte 28 turns the type of the TLV into another */
    }
}

static void two_checksums_are_refused(void **state)
{
    uint8_t header[] = SIGNATURE "\x21\x11\x00\x1a" V4 "\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0";
    (void)state;
    check("syntax", header, sizeof header - 1);
}

static void tlvs_are_counted(void **state)
{
    uint8_t header[16 + 12 + 3 * (PC_PROXY_TLVS_MAX + 1)] = SIGNATURE "\x21\x11\x00\x0c" V4;
    (void)state;
    for (size_t i = 28; i < sizeof header; i += 3)
        header[i] = 4;
    header[14] = 0;
    header[15] = (uint8_t)(12 + 3 * PC_PROXY_TLVS_MAX);
    check("v2 192.0.2.1 56324 198.51.100.1 443 in 220", header, sizeof header - 3);
    header[15] += 3;
    check("large", header, sizeof header);
}

static void the_largest_header_is_taken(void **state)
{
    static uint8_t header[PC_PROXY_HEADER_MAX + 5] = SIGNATURE "\x21\x11\x0f\xf0" V4 "\x04\x0f\xe1";
    (void)state;
    check("v2 192.0.2.1 56324 198.51.100.1 443 in 4096", header, sizeof header);
}

static void the_corpus_is_cut_everywhere(void **state)
{
    (void)state;
    assert_true(pc_kit_corpus(&subject, PC_SOURCE_DIR "/tests/fuzz/corpus/proxy") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_version_1),
        cmocka_unit_test(headers_of_version_2),
        cmocka_unit_test(a_unix_socket_has_no_address),
        cmocka_unit_test(the_checksum_covers_the_whole_header),
        cmocka_unit_test(two_checksums_are_refused),
        cmocka_unit_test(tlvs_are_counted),
        cmocka_unit_test(the_largest_header_is_taken),
        cmocka_unit_test(the_corpus_is_cut_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
