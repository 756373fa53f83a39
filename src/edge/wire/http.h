/* SPDX-License-Identifier: Apache-2.0
 * A request head, whatever version of HTTP brought it: method, target, fields, framing.
 *
 * It owns no bytes. Everything is an offset into one head buffer of the caller (req->base), at
 * most 64 KiB long, so the buffer may move between reads: set base and all accessors follow.
 * Plain data: belongs to the connection's core; no function here does I/O, allocates or waits. */
#ifndef PC_EDGE_WIRE_HTTP_H
#define PC_EDGE_WIRE_HTTP_H

#include "base/bytes.h"
#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME): the token is the name. Any other token is PC_METHOD_OTHER: forward-auth gateways pass
 * the client's method on, whatever it is. CONNECT is refused by the parser (501). */
#define PC_HTTP_METHODS(X) X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(PATCH) X(OPTIONS) X(TRACE)

enum pc_http_method {
    PC_METHOD_OTHER,
#define PC_METHOD_ENUM(name) PC_METHOD_##name,
    PC_HTTP_METHODS(PC_METHOD_ENUM)
#undef PC_METHOD_ENUM
        PC_METHOD_COUNT
};

/* The method of exactly these bytes (case matters). */
enum pc_http_method pc_http_method_of(struct pc_bytes name);

/* What may happen when a field comes twice. */
enum pc_http_repeat {
    PC_REPEAT_LIST, /* a list: the fields together are one value, in their order */
    PC_REPEAT_FLAG, /* a singleton: the repetition is only recorded (pc_http_repeated) */
    PC_REPEAT_FAIL, /* a singleton that frames or routes the message: 400 */
};

/* The fields resolved while parsing. X(ID, "name", first, last, repeat): first and last are the
 * name's first and last letter, from which the look-up slot is computed at compile time; two
 * names on one slot do not compile, a wrong letter fails unit.wire.http1. */
#define PC_HTTP_FIELDS(X)                                                                          \
    X(HOST, "host", 'h', 't', PC_REPEAT_FAIL)                                                      \
    X(CONTENT_LENGTH, "content-length", 'c', 'h', PC_REPEAT_FAIL)                                  \
    X(TRANSFER_ENCODING, "transfer-encoding", 't', 'g', PC_REPEAT_LIST)                            \
    X(CONNECTION, "connection", 'c', 'n', PC_REPEAT_LIST)                                          \
    X(EXPECT, "expect", 'e', 't', PC_REPEAT_FAIL)                                                  \
    X(UPGRADE, "upgrade", 'u', 'e', PC_REPEAT_LIST)                                                \
    X(AUTHORIZATION, "authorization", 'a', 'n', PC_REPEAT_FLAG)                                    \
    X(COOKIE, "cookie", 'c', 'e', PC_REPEAT_LIST)                                                  \
    X(CONTENT_TYPE, "content-type", 'c', 'e', PC_REPEAT_FLAG)                                      \
    X(CONTENT_ENCODING, "content-encoding", 'c', 'g', PC_REPEAT_LIST)                              \
    X(ACCEPT, "accept", 'a', 't', PC_REPEAT_LIST)                                                  \
    X(ACCEPT_ENCODING, "accept-encoding", 'a', 'g', PC_REPEAT_LIST)                                \
    X(ACCEPT_LANGUAGE, "accept-language", 'a', 'e', PC_REPEAT_LIST)                                \
    X(USER_AGENT, "user-agent", 'u', 't', PC_REPEAT_FLAG)                                          \
    X(ORIGIN, "origin", 'o', 'n', PC_REPEAT_FLAG)                                                  \
    X(REFERER, "referer", 'r', 'r', PC_REPEAT_FLAG)                                                \
    X(AC_REQUEST_METHOD, "access-control-request-method", 'a', 'd', PC_REPEAT_FLAG)                \
    X(AC_REQUEST_HEADERS, "access-control-request-headers", 'a', 's', PC_REPEAT_LIST)              \
    X(IF_NONE_MATCH, "if-none-match", 'i', 'h', PC_REPEAT_LIST)                                    \
    X(LAST_EVENT_ID, "last-event-id", 'l', 'd', PC_REPEAT_FLAG)                                    \
    X(X_REQUEST_ID, "x-request-id", 'x', 'd', PC_REPEAT_FLAG)                                      \
    X(TRACEPARENT, "traceparent", 't', 't', PC_REPEAT_FLAG)                                        \
    X(TRACESTATE, "tracestate", 't', 'e', PC_REPEAT_LIST)                                          \
    X(FORWARDED, "forwarded", 'f', 'd', PC_REPEAT_LIST)                                            \
    X(X_FORWARDED_FOR, "x-forwarded-for", 'x', 'r', PC_REPEAT_LIST)                                \
    X(X_FORWARDED_PROTO, "x-forwarded-proto", 'x', 'o', PC_REPEAT_FLAG)                            \
    X(X_FORWARDED_HOST, "x-forwarded-host", 'x', 't', PC_REPEAT_FLAG)                              \
    X(X_FORWARDED_URI, "x-forwarded-uri", 'x', 'i', PC_REPEAT_FLAG)                                \
    X(X_FORWARDED_METHOD, "x-forwarded-method", 'x', 'd', PC_REPEAT_FLAG)                          \
    X(X_ORIGINAL_URI, "x-original-uri", 'x', 'i', PC_REPEAT_FLAG)                                  \
    X(X_ORIGINAL_URL, "x-original-url", 'x', 'l', PC_REPEAT_FLAG)                                  \
    X(X_ORIGINAL_METHOD, "x-original-method", 'x', 'd', PC_REPEAT_FLAG)                            \
    X(X_REAL_IP, "x-real-ip", 'x', 'p', PC_REPEAT_FLAG)                                            \
    X(X_API_KEY, "x-api-key", 'x', 'y', PC_REPEAT_FLAG)

enum pc_http_field_id {
    PC_FIELD_OTHER,
#define PC_FIELD_ENUM(id, name, first, last, repeat) PC_FIELD_##id,
    PC_HTTP_FIELDS(PC_FIELD_ENUM)
#undef PC_FIELD_ENUM
        PC_FIELD_COUNT
};

/* The field of a name in any case; PC_FIELD_OTHER when it is not in the table. */
enum pc_http_field_id pc_http_field_of(struct pc_bytes name);
/* The name in lower case; "" for PC_FIELD_OTHER. */
struct pc_bytes pc_http_field_name(enum pc_http_field_id id);

#define PC_HTTP_FIELDS_MAX 100 /* fields of one request; more is 431 */
#define PC_HTTP_HEAD_MAX   UINT16_MAX

struct pc_http_span {
    uint16_t off, n;
};

struct pc_http_field {
    struct pc_http_span name, value; /* the value without surrounding blanks */
    uint8_t id;                      /* enum pc_http_field_id */
};

enum pc_http_form {
    PC_FORM_ORIGIN,   /* /path?query */
    PC_FORM_ABSOLUTE, /* http://host/path?query: its host counts, the Host field does not */
    PC_FORM_ASTERISK, /* OPTIONS * */
};

struct pc_http_request {
    const uint8_t *base;     /* first byte of the head; follow a moved buffer by setting it */
    uint64_t content_length; /* 0 when absent or chunked */
    uint64_t seen;           /* bit per enum pc_http_field_id */
    uint64_t repeated;       /* bit per field that came more than once, lists too */
    uint16_t head_n;         /* bytes of the whole head */
    struct pc_http_span method_name, target;
    struct pc_http_span authority; /* host[:port] of the target or of Host; may be empty */
    struct pc_http_span path;      /* as sent, undecoded; see pc_http_path() */
    struct pc_http_span query;     /* without '?'; has_query tells "/a?" from "/a" */
    uint8_t method;                /* enum pc_http_method */
    uint8_t form;                  /* enum pc_http_form */
    uint8_t minor;                 /* 0 or 1 */
    bool has_query;
    bool chunked;         /* the body is chunked; otherwise content_length bytes follow */
    bool keep_alive;      /* the client allows another request on this connection */
    bool expect_continue; /* the client waits for 100 before it sends its body */
    uint8_t n_fields;
    /* Where the HTTP/1 parser stands (http1.c); nobody else reads or writes these. */
    struct {
        uint8_t state;
        bool connection_close, connection_keep_alive, any_coding;
        uint16_t line; /* start of the line being read */
        uint16_t pos;  /* first byte not yet examined */
        uint16_t mark; /* end of the method, or length of the field name */
        uint16_t fields_at;
        uint8_t reason; /* enum pc_http1_reason */
    } scan;
    uint8_t known[PC_FIELD_COUNT]; /* index of the first such field; valid if seen */
    struct pc_http_field fields[PC_HTTP_FIELDS_MAX];
};

static inline struct pc_bytes pc_http_bytes(const struct pc_http_request *r, struct pc_http_span s)
{
    return (struct pc_bytes){r->base + s.off, s.n};
}

static inline bool pc_http_has(const struct pc_http_request *r, enum pc_http_field_id id)
{
    return r->seen >> id & 1;
}

static inline bool pc_http_repeated(const struct pc_http_request *r, enum pc_http_field_id id)
{
    return r->repeated >> id & 1;
}

/* The value of the first such field; {NULL, 0} when there is none (empty fields have p set). */
static inline struct pc_bytes pc_http_value(const struct pc_http_request *r,
                                            enum pc_http_field_id id)
{
    if (!pc_http_has(r, id))
        return (struct pc_bytes){NULL, 0};
    return pc_http_bytes(r, r->fields[r->known[id]].value);
}

/* All values of a field in order: the first `max` of them; returns how many there are. */
size_t pc_http_values(const struct pc_http_request *r, enum pc_http_field_id id,
                      struct pc_bytes *values, size_t max);

/* The first field of any name, in any case; {NULL, 0} when there is none. Linear: for names from
 * the configuration, not for the table above. */
struct pc_bytes pc_http_value_by_name(const struct pc_http_request *r, struct pc_bytes name);

/* The path as sent; "/" where the target is http://host, "*" for OPTIONS *. */
static inline struct pc_bytes pc_http_path(const struct pc_http_request *r)
{
    return r->path.n ? pc_http_bytes(r, r->path) : PC_LIT("/");
}

static inline struct pc_bytes pc_http_query(const struct pc_http_request *r)
{
    return pc_http_bytes(r, r->query);
}

static inline struct pc_bytes pc_http_authority(const struct pc_http_request *r)
{
    return pc_http_bytes(r, r->authority);
}

#ifdef __cplusplus
}
#endif
#endif
