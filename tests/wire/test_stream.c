/* SPDX-License-Identifier: Apache-2.0
 * A connection's bytes from head to body to the next head, as a server reads them: where one
 * request ends and the next begins must not depend on how the bytes are cut. Also an example of
 * how the parsers are put together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/wire/chunked.h"
#include "edge/wire/http1.h"
#include "support/parser_kit.h"

#define BODY_MAX 256

struct state {
    enum { IN_HEAD, IN_SIZED, IN_CHUNKED } at;
    struct pc_http_request request;
    struct pc_http1_limits limits;
    struct pc_chunked chunked;
    size_t body_n;
    uint8_t body[BODY_MAX];
};

static void start(void *state)
{
    struct state *s = state;
    s->limits = pc_http1_limits_default;
    s->limits.body_bytes = BODY_MAX;
    pc_http1_reset(&s->request);
}

static void end_request(struct state *s, struct pc_buf *trace)
{
    pc_buf_lit(trace, "[");
    pc_buf_json(trace, pc_bytes_of(s->body, s->body_n));
    pc_buf_lit(trace, "]");
    s->body_n = 0;
    s->at = IN_HEAD;
    pc_http1_reset(&s->request);
}

static ptrdiff_t refuse(int status, struct pc_buf *trace)
{
    pc_buf_fmt(trace, "%d", status);
    return -1;
}

static ptrdiff_t feed_head(struct state *s, const uint8_t *buf, size_t n, struct pc_buf *trace)
{
    int rc = pc_http1_parse(&s->request, &s->limits, buf, n);
    if (rc < 0)
        return refuse(-rc, trace);
    if (rc == PC_HTTP1_MORE)
        return 0;
    pc_buf_json(trace, pc_http_path(&s->request));
    pc_chunked_init(&s->chunked, BODY_MAX);
    s->at = s->request.chunked ? IN_CHUNKED : IN_SIZED;
    if (s->at == IN_SIZED && s->request.content_length == 0)
        end_request(s, trace);
    return rc;
}

static ptrdiff_t feed_sized(struct state *s, const uint8_t *buf, size_t n, struct pc_buf *trace)
{
    size_t left = s->request.content_length - s->body_n, take = n < left ? n : left;
    memcpy(s->body + s->body_n, buf, take);
    s->body_n += take;
    if (s->body_n == s->request.content_length)
        end_request(s, trace);
    return (ptrdiff_t)take;
}

static ptrdiff_t feed_chunked(struct state *s, uint8_t *buf, size_t n, struct pc_buf *trace)
{
    size_t body = 0, used = 0;
    int rc = pc_chunked_decode(&s->chunked, buf, n, &body, &used);
    if (rc < 0)
        return refuse(-rc, trace);
    memcpy(s->body + s->body_n, buf, body);
    s->body_n += body;
    if (rc == 1)
        end_request(s, trace);
    return (ptrdiff_t)used;
}

static ptrdiff_t feed(void *state, uint8_t *buf, size_t n, struct pc_buf *trace)
{
    struct state *s = state;
    switch (s->at) {
    case IN_SIZED: return feed_sized(s, buf, n, trace);
    case IN_CHUNKED: return feed_chunked(s, buf, n, trace);
    default: return feed_head(s, buf, n, trace);
    }
}

static const struct pc_kit_subject subject = {
    .name = "stream",
    .state_bytes = sizeof(struct state),
    .accumulates = true,
    .start = start,
    .feed = feed,
};

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: h\r\n"

static const struct {
    const char *message, *want;
} rows[] = {
    {GET("/a") GET("/b") GET("/c"),                                                               "/a[]/b[]/c[]"},
    {POST("/a") "Content-Length: 3\r\n\r\nabc" GET("/b"),                                         "/a[abc]/b[]" },
    {POST("/a") "Content-Length: 0\r\n\r\n" GET("/b"),                                            "/a[]/b[]"    },
    {POST("/a") "Content-Length: 3\r\n\r\nabc\r\n" GET("/b"),                                     "/a[abc]/b[]" },
    {POST("/a") "Content-Length: 3\r\n\r\nabc\r\n\r\n" GET("/b"),                                 "/a[abc]400"  },
    {POST("/a") "Content-Length: 3\r\n\r\nabcd" GET("/b"),                                        "/a[abc]/b[]" }, /* "dGET" is a method */
    {POST("/a") "Content-Length: 3\r\n\r\nab",                                                    "/a"          },
    {POST("/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n" GET("/b"),
     "/a[abcde]/b[]"                                                                                            },
    {POST("/a") "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET("/b"),                          "/a[]/b[]"    },
    {POST("/a") "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\nContent-Length: 5\r\n\r\n" GET(
         "/b"),
     "/a[]/b[]"                                                                                                 }, /* trailers change nothing */
    {POST("/a") "Transfer-Encoding: chunked\r\n\r\n3\r\nabcGET / HTTP/1.1\r\n",                   "/a400"       },
    {POST("/a") "Transfer-Encoding: chunked\r\n\r\n" GET("/b"),                                   "/a400"       },
    {POST("/a") "Transfer-Encoding: chunked\r\n\r\n101\r\n",                                      "/a413"       },
    {POST("/a") "Content-Length: 257\r\n\r\n",                                                    "413"         },
 /* Request smuggling: nothing behind the first refusal is read. */
    {POST("/a") "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET("/evil"),
     "400"                                                                                                      },
    {POST("/a") "Transfer-Encoding: xchunked\r\n\r\n" GET("/evil"),                               "501"         },
    {POST("/a") "Transfer-Encoding:\x0b"
                "chunked\r\n\r\n" GET("/evil"),
     "400"                                                                                                      },
    {POST("/a") "Content-Length: 5\r\nContent-Length: 0\r\n\r\n" GET("/evil"),                    "400"         },
    {GET("/a") "GET /b HTTP/1.1\r\nHost: h\nX: y\r\n\r\n" GET("/evil"),                           "/a[]400"     },
};

static void requests_end_where_they_end_however_they_are_cut(void **unused)
{
    (void)unused;
    static uint8_t text[PC_KIT_TRACE_MAX];
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_buf trace = pc_buf_of(text, sizeof text);
        pc_kit_check(&subject, rows[i].message, pc_bytes_str(rows[i].message), &trace);
        if (!pc_bytes_eq_str(pc_bytes_of(text, trace.len), rows[i].want))
            fail_msg("row %zu %s: wanted %s, got %.*s", i, rows[i].message, rows[i].want,
                     (int)trace.len, (const char *)text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_end_where_they_end_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
