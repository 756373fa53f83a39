/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 response heads, written into a pc_buf of the caller. Pure; any thread.
 *
 *   pc_http1_write_status(b, 200, date);
 *   pc_http1_write_field(b, "Content-Type", PC_LIT("application/json"));
 *   pc_http1_write_end(b, body.n, PC_HTTP1_KEEP);
 *   pc_buf_bytes(b, body);
 *
 * What does not fit sets b->overflow and nothing else. A field value can never end its line:
 * control bytes in it are written as spaces, whoever supplied it. */
#ifndef PC_EDGE_WIRE_HTTP1_WRITE_H
#define PC_EDGE_WIRE_HTTP1_WRITE_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(code, reason): every status that leaves this server. */
#define PC_HTTP_STATUSES(X)                                                                        \
    X(100, "Continue")                                                                             \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(204, "No Content")                                                                           \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(407, "Proxy Authentication Required")                                                        \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(507, "Insufficient Storage")

#define PC_HTTP_DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Formats a Date value; not terminated. Callers format once a second and pass the string on. */
void pc_http_date(int64_t now_ms, char ret_date[PC_HTTP_DATE_BYTES]);

/* The reason phrase; "" for a status not in the table. */
const char *pc_http_status_text(unsigned status);

/* "HTTP/1.1 <status> <reason>" and, unless empty, the Date field. Asserts a status of the table. */
void pc_http1_write_status(struct pc_buf *b, unsigned status, struct pc_bytes date);

/* One field. The name is a literal of ours. */
void pc_http1_write_field(struct pc_buf *b, const char *name, struct pc_bytes value);
void pc_http1_write_field_u64(struct pc_buf *b, const char *name, uint64_t value);
/* Only the value, with control bytes as spaces: for fields composed of several parts. */
void pc_http1_write_value(struct pc_buf *b, struct pc_bytes value);

enum pc_http1_connection {
    PC_HTTP1_KEEP,    /* HTTP/1.1 keep-alive: says nothing */
    PC_HTTP1_KEEP_10, /* HTTP/1.0 keep-alive: "Connection: keep-alive" */
    PC_HTTP1_CLOSE,   /* "Connection: close" */
};

#define PC_HTTP1_NO_LENGTH UINT64_MAX /* 204, 304 and streams that end with the connection */

/* Content-Length, Connection, and the empty line. For HEAD pass the length GET would have. */
void pc_http1_write_end(struct pc_buf *b, uint64_t content_length,
                        enum pc_http1_connection connection);

/* The interim answer to Expect: 100-continue. */
#define PC_HTTP1_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

#ifdef __cplusplus
}
#endif
#endif
