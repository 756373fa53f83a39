/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/1 parser as a subject of the parser kit: pipelined heads; the trace says of each what
 * was found, as text that does not depend on where the buffer was. */
#ifndef PC_TESTS_WIRE_HTTP1_SUBJECT_H
#define PC_TESTS_WIRE_HTTP1_SUBJECT_H

#include "edge/wire/http1.h"
#include "support/parser_kit.h"

struct http1_state {
    struct pc_http_request request;
    struct pc_http1_limits limits;
};

static void http1_start(void *state)
{
    struct http1_state *s = state;
    pc_http1_reset(&s->request);
    s->limits = pc_http1_limits_default;
}

static void trace_part(struct pc_buf *trace, const char *name, struct pc_bytes value)
{
    pc_buf_fmt(trace, " %s=", name);
    pc_buf_json_str(trace, value);
}

static void trace_request(const struct pc_http_request *r, struct pc_buf *trace)
{
    pc_buf_fmt(trace, "200 %u.%u", 1, r->minor);
    trace_part(trace, "method", pc_http_bytes(r, r->method_name));
    trace_part(trace, "authority", pc_http_authority(r));
    trace_part(trace, "path", pc_http_path(r));
    if (r->has_query)
        trace_part(trace, "query", pc_http_query(r));
    pc_buf_fmt(trace, " length=%lu%s%s%s\n", (unsigned long)r->content_length,
               r->chunked ? " chunked" : "", r->keep_alive ? " keep-alive" : " close",
               r->expect_continue ? " expect" : "");
    for (size_t i = 0; i < r->n_fields; i++) {
        trace_part(trace, "", pc_http_bytes(r, r->fields[i].name));
        trace_part(trace, "", pc_http_bytes(r, r->fields[i].value));
        pc_buf_fmt(trace, " %u\n", r->fields[i].id);
    }
}

static ptrdiff_t http1_feed(void *state, uint8_t *buf, size_t n, struct pc_buf *trace)
{
    struct http1_state *s = state;
    int rc = pc_http1_parse(&s->request, &s->limits, buf, n);
    if (rc == PC_HTTP1_MORE)
        return 0;
    if (rc < 0) {
        pc_buf_fmt(trace, "%d %s\n", -rc, pc_http1_reason_text(pc_http1_reason(&s->request)));
        return -1;
    }
    trace_request(&s->request, trace);
    pc_http1_reset(&s->request);
    return rc;
}

static const struct pc_kit_subject http1_subject = {
    .name = "http1",
    .state_bytes = sizeof(struct http1_state),
    .accumulates = true,
    .start = http1_start,
    .feed = http1_feed,
};

#endif
