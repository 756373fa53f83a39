/* SPDX-License-Identifier: Apache-2.0
 * Writing HTTP answers. Every answer carries Date, X-Request-ID and, if it has a body that a
 * browser could render, the headers that keep a browser from doing anything with it. */
#include "edge/api/call.h"

#include <stdarg.h>
#include <stdio.h>

/* Status line, Date, ids, CORS, length: everything of a head but fields and challenge. */
#define HEAD_BYTES 1536
#define ID_FIELD   "X-Request-ID: "
_Static_assert(PC_OK_HEAD_BYTES ==
                   sizeof "HTTP/1.1 200 OK\r\nDate: \r\n" ID_FIELD - 1 + PC_HTTP_DATE_BYTES,
               "what turn_clock() writes");

#define CONTENT_POLICY "default-src 'none'; frame-ancestors 'none'"

static void write_security_fields(struct pc_buf *b, const char *policy)
{
    pc_buf_lit(b, "X-Content-Type-Options: nosniff\r\n"
                  "X-Frame-Options: DENY\r\n");
    pc_http1_write_field(b, "Content-Security-Policy",
                         policy ? pc_bytes_str(policy) : PC_LIT(CONTENT_POLICY));
    pc_buf_lit(b, "Referrer-Policy: no-referrer\r\n"
                  "Cache-Control: no-store\r\n");
}

static void count_status(struct pc_call *call, unsigned status)
{
    struct pc_worker *w = call->worker;
    static const unsigned slots[6] = {PC_M_HTTP_5XX, PC_M_HTTP_1XX, PC_M_HTTP_2XX,
                                      PC_M_HTTP_3XX, PC_M_HTTP_4XX, PC_M_HTTP_5XX};
    pc_metric_inc(w->metrics, slots[status / 100 % 6]);
    /* Those answered within the turn share one clock reading at its end (worker.c). */
    if (call->parked)
        pc_histogram_record(w->metrics, PC_H_REQUEST_HTTP,
                            (uint64_t)(w->core->now_ns - call->started_ns), 1);
    else
        w->http_requests++;
}

/* Whatever depends on the second only is written once a second. */
PC_COLD static void turn_clock(struct pc_worker *w)
{
    struct pc_buf b = pc_buf_of(w->ok_head, sizeof w->ok_head);
    pc_http_date(w->core->now_ms, w->date);
    pc_http1_write_status(&b, 200, pc_bytes_of(w->date, sizeof w->date));
    pc_buf_lit(&b, ID_FIELD);
    PC_ASSERT(b.len == sizeof w->ok_head && !b.overflow);
    w->date_from_ms = w->core->now_ms - w->core->now_ms % 1000;
    w->date_until_ms = w->date_from_ms + 1000;
}

/* Status line, Date, and the name of the field that follows. */
static void write_status(struct pc_buf *b, struct pc_worker *w, unsigned status)
{
    if (PC_UNLIKELY(w->core->now_ms >= w->date_until_ms || w->core->now_ms < w->date_from_ms))
        turn_clock(w);
    if (PC_LIKELY(status == 200)) {
        pc_buf_put(b, w->ok_head, sizeof w->ok_head);
        return;
    }
    pc_http1_write_status(b, status, pc_bytes_of(w->date, sizeof w->date));
    pc_buf_lit(b, ID_FIELD);
}

static void write_cors(struct pc_buf *b, const struct pc_call *call)
{
    if (call->cors_origin_n == 0)
        return;
    pc_http1_write_field(b, "Access-Control-Allow-Origin",
                         pc_bytes_of(call->cors_origin, call->cors_origin_n));
    pc_buf_lit(b, "Vary: Origin\r\n"
                  "Access-Control-Expose-Headers: X-Request-ID, Retry-After\r\n");
}

static void write_head(struct pc_buf *b, struct pc_call *call, const struct pc_reply *r)
{
    write_status(b, call->worker, r->status);
    if (PC_LIKELY(call->request_id_n == PC_UUID_CHARS)) /* ours: a copy of constant size */
        pc_buf_put(b, call->request_id, PC_UUID_CHARS);
    else
        pc_buf_bytes(b, pc_call_request_id(call));
    pc_buf_lit(b, "\r\n");
    if (r->content_type) {
        pc_http1_write_field(b, "Content-Type", pc_bytes_str(r->content_type));
        write_security_fields(b, r->content_policy);
    }
    if (r->challenge)
        pc_http1_write_field(b, "WWW-Authenticate", pc_bytes_str(r->challenge));
    if (r->retry_after_s)
        pc_http1_write_field_u64(b, "Retry-After", r->retry_after_s);
    write_cors(b, call);
    pc_buf_bytes(b, r->fields);
    pc_buf_bytes(b, r->more);
    pc_http1_write_end(b, r->endless ? PC_HTTP1_NO_LENGTH : r->body.n,
                       !call->keep_alive  ? PC_HTTP1_CLOSE
                       : call->minor == 0 ? PC_HTTP1_KEEP_10
                                          : PC_HTTP1_KEEP);
}

void pc_call_reply(struct pc_call *call, const struct pc_reply *r)
{
    PC_ASSERT(!call->replied);
    call->replied = true;
    call->status = r->status;
    count_status(call, r->status);
    size_t room = HEAD_BYTES + r->fields.n + r->more.n + (call->head ? 0 : r->body.n) +
                  (r->challenge ? strlen(r->challenge) : 0);
    uint8_t *p = pc_conn_reserve(call->conn, room);
    if (!p)
        return; /* the connection is being aborted */
    struct pc_buf b = pc_buf_of(p, room);
    write_head(&b, call, r);
    if (!call->head)
        pc_buf_bytes(&b, r->body);
    PC_ASSERT(!b.overflow);
    pc_conn_commit(call->conn, b.len);
    if (!call->keep_alive && !call->stream)
        pc_conn_close_after_flush(call->conn);
}

struct pc_buf pc_call_scratch(struct pc_call *call)
{
    return pc_buf_of(call->worker->scratch, PC_WORKER_SCRATCH_BYTES);
}

void pc_call_reply_json(struct pc_call *call, unsigned status, struct pc_bytes body)
{
    struct pc_reply r = {.status = status, .content_type = "application/json", .body = body};
    pc_call_reply(call, &r);
}

void pc_error_body(struct pc_buf *b, const char *code, struct pc_bytes message,
                   struct pc_bytes request_id)
{
    pc_buf_lit(b, "{\"error\":{\"code\":");
    pc_buf_json_str(b, pc_bytes_str(code));
    pc_buf_lit(b, ",\"message\":");
    pc_buf_json_str(b, message);
    pc_buf_lit(b, ",\"request_id\":");
    pc_buf_json_str(b, request_id);
    pc_buf_lit(b, "}}\n");
}

static void reply_error(struct pc_call *call, struct pc_reply *r, const char *code,
                        const char *message)
{
    uint8_t body[2048];
    struct pc_buf b = pc_buf_of(body, sizeof body);
    pc_error_body(&b, code, pc_bytes_str(message), pc_call_request_id(call));
    PC_ASSERT(!b.overflow);
    r->content_type = "application/json";
    r->body = pc_bytes_of(b.p, b.len);
    pc_call_reply(call, r);
}

void pc_call_reply_error(struct pc_call *call, unsigned status, const char *code, const char *fmt,
                         ...)
{
    char message[512];
    struct pc_reply r = {.status = status};
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    reply_error(call, &r, code, message);
}

void pc_call_reply_busy(struct pc_call *call, const char *code, const char *message,
                        unsigned retry_after_s)
{
    struct pc_reply r = {.status = 503, .retry_after_s = retry_after_s};
    reply_error(call, &r, code, message);
}
