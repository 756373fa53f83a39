/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/1.0 and HTTP/1.1 request head, strict by RFC 9110 and RFC 9112.
 *
 * Pure: bytes in, a struct pc_http_request out; no I/O, no allocation, no clock, any thread. It
 * looks at each byte once: when the head is not complete the request remembers where it stopped,
 * and the answer does not depend on how the bytes were cut. It never writes to the buffer.
 *
 * Decisions where the RFCs leave a choice, always the one that leaves no room for smuggling:
 * - lines end in CRLF; a bare LF or CR is 400; at most one empty line before the request line;
 * - Content-Length twice, or as a list, is 400 even if the values agree; so is Host twice;
 * - Transfer-Encoding: exactly "chunked"; other codings 501; chunked not last, or twice, 400;
 *   together with Content-Length, or in HTTP/1.0, 400;
 * - an absolute target's host replaces the Host field (RFC 9112 section 3.2.2), userinfo is 400;
 * - a target may hold any visible ASCII but '#'; the path is judged later by path.h;
 * - field values may hold obs-text (0x80..0xff) and tabs, no other control byte;
 * - HTTP/1.2..1.9 count as 1.1; other major versions are 505; an empty Host is allowed. */
#ifndef PC_EDGE_WIRE_HTTP1_H
#define PC_EDGE_WIRE_HTTP1_H

#include "edge/wire/http.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Limits: request line + header block may not exceed PC_HTTP_HEAD_MAX together. */
#define PC_HTTP1_REQUEST_LINE_BYTES 8192       /* without CRLF; 414 */
#define PC_HTTP1_HEADER_BYTES       16384      /* field lines with CRLF and the last CRLF; 431 */
#define PC_HTTP1_BODY_BYTES         (1u << 20) /* sized or chunked; 413 */
#define PC_HTTP1_METHOD_BYTES       32         /* 501 */

struct pc_http1_limits {
    uint32_t request_line_bytes;
    uint32_t header_bytes;
    uint32_t fields; /* at most PC_HTTP_FIELDS_MAX; 431 */
    uint64_t body_bytes;
};

extern const struct pc_http1_limits pc_http1_limits_default;

/* X(NAME, status, text): why a head was refused. */
#define PC_HTTP1_REASONS(X)                                                                        \
    X(NONE, 200, "fine")                                                                           \
    X(METHOD, 400, "the method is not a token followed by one space")                              \
    X(METHOD_LONG, 501, "the method is longer than any known method")                              \
    X(CONNECT, 501, "CONNECT is not supported")                                                    \
    X(TARGET, 400, "the request target is not a valid URI reference")                              \
    X(TARGET_BYTE, 400, "a byte that is not visible ASCII in the request target")                  \
    X(VERSION_SYNTAX, 400, "the request line does not end in HTTP/x.y and CRLF")                   \
    X(VERSION, 505, "this HTTP version is not supported")                                          \
    X(LINE_LONG, 414, "the request line is too long")                                              \
    X(FIELD_NAME, 400, "a field name is not a token followed by a colon")                          \
    X(FOLDED, 400, "a folded field line")                                                          \
    X(FIELD_BYTE, 400, "a control byte in a field value")                                          \
    X(BARE_CR, 400, "a CR that is not followed by LF")                                             \
    X(BARE_LF, 400, "a LF without CR before it")                                                   \
    X(FIELDS_MANY, 431, "too many fields")                                                         \
    X(HEADER_LARGE, 431, "the header block is too large")                                          \
    X(HOST_MISSING, 400, "HTTP/1.1 without Host")                                                  \
    X(HOST_REPEATED, 400, "more than one Host")                                                    \
    X(HOST_SYNTAX, 400, "Host is not host[:port]")                                                 \
    X(LENGTH_REPEATED, 400, "more than one Content-Length")                                        \
    X(LENGTH_SYNTAX, 400, "Content-Length is not a decimal number")                                \
    X(LENGTH_AND_CODING, 400, "both Content-Length and Transfer-Encoding")                         \
    X(CODING_SYNTAX, 400, "Transfer-Encoding is malformed, or chunked is not last")                \
    X(CODING_UNKNOWN, 501, "a transfer coding other than chunked")                                 \
    X(CODING_HTTP10, 400, "Transfer-Encoding in HTTP/1.0")                                         \
    X(CONNECTION_SYNTAX, 400, "Connection is not a list of tokens")                                \
    X(EXPECT_UNKNOWN, 417, "an expectation other than 100-continue")                               \
    X(BODY_LARGE, 413, "the body is too large")

enum pc_http1_reason {
#define PC_HTTP1_REASON_ENUM(name, status, text) PC_HTTP1_##name,
    PC_HTTP1_REASONS(PC_HTTP1_REASON_ENUM)
#undef PC_HTTP1_REASON_ENUM
        PC_HTTP1_REASON_COUNT
};

#define PC_HTTP1_MORE 0 /* the head is not complete */
#define PC_HTTP1_PREFACE                                                                           \
    (-1) /* "PRI * HTTP/2.0": the client speaks HTTP/2 with prior knowledge                        \
          */

/* Makes *r ready for the first byte of a request; cheap, once per request. */
void pc_http1_reset(struct pc_http_request *r);

/* base[0..n) is everything received since pc_http1_reset(); between two calls it may grow and
 * move, not change. Returns the bytes of the head (> 0; the body follows it), PC_HTTP1_MORE,
 * PC_HTTP1_PREFACE, or -(HTTP status): then answer it and close, nothing behind it can be
 * trusted. After a result other than MORE, reset before the next call. */
int pc_http1_parse(struct pc_http_request *r, const struct pc_http1_limits *limits,
                   const uint8_t *base, size_t n);

/* Has any byte of a request been seen (an empty line does not count)? Decides between the idle
 * and the header timeout. */
bool pc_http1_started(const struct pc_http_request *r);

/* Why the last parse was refused; text of the table, never NULL. */
enum pc_http1_reason pc_http1_reason(const struct pc_http_request *r);
const char *pc_http1_reason_text(enum pc_http1_reason reason);

#ifdef __cplusplus
}
#endif
#endif
