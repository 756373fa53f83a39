/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 on a connection: heads, bodies, routing, deadlines. The protocol table for the loop.
 *
 * One request is handled at a time; pipelined ones wait in the input. A request is consumed when
 * it is dispatched, so whatever a parked handler still needs it has copied. */
#include <stdlib.h>

#include "base/log.h"
#include "edge/api/endpoint.h"
#include "edge/api/principal.h"
#include "edge/api/proxied.h"
#include "edge/api/unseen.h"
#include "edge/wire/forwarded.h"
#include "edge/wire/path.h"

enum http_deadline {
    DEADLINE_HEADER,
    DEADLINE_BODY,
    DEADLINE_IDLE,
    DEADLINE_REQUEST,
    DEADLINE_DRAIN,
    DEADLINE_STREAM
};

/* While the server stops, a connection without a request gets this long to send one: what was on
 * its way is answered, with Connection: close, and nobody is refused. */
#define DRAIN_MS 1000
/* A body up to here is awaited before anything is said, so that a refusal can keep the connection.
 */
#define SMALL_BODY_BYTES (16u << 10)

/* Of paths up to here the endpoint is remembered. */
#define LAST_PATH_MAX 32

/* STREAM is the last: the answer goes on until the connection ends. */
enum http_stage { STAGE_HEAD, STAGE_BODY, STAGE_STREAM };

/* Path and method of the request before, where they are all that chose its endpoint: gateways ask
 * the same thing again and again. */
struct last_route {
    const struct pc_endpoint *endpoint;
    uint8_t path[LAST_PATH_MAX];
    uint8_t n; /* 0: nothing */
    uint8_t method;
};

struct http_conn {
    struct last_route last;
    struct pc_call call;
    struct pc_http_request req;
    struct pc_chunked chunked;
    enum http_stage stage;
    size_t head_n;
    size_t body_raw; /* chunked: bytes behind the head already decoded */
    size_t body_n;   /* chunked: decoded bytes behind the head */
    bool admitted;   /* a large body is awaited: its head was found good */
    bool head_timed; /* the header deadline runs: trickled bytes must not restart it */
    bool body_timed;
    bool draining;  /* the server stops: this request is the last */
    bool newcomer;  /* came while the core was overloaded: shed first */
    bool proxy_due; /* a PROXY header must come before the first request */
};

static struct http_conn *http_of(struct pc_conn *c)
{
    return c->user;
}

/* ---- request ids and trace context ---- */

static bool sane_request_id(struct pc_bytes id)
{
    if (id.n == 0 || id.n > PC_REQUEST_ID_TAKEN_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        uint8_t c = id.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '-' && c != '_' && c != '.' && c != ':' && c != '=' && c != '+')
            return false;
    }
    return true;
}

static void make_request_id(struct pc_call *call)
{
    uint64_t random[2] = {pc_prng_u64(&call->worker->prng), pc_prng_u64(&call->worker->prng)};
    pc_uuid7(call->worker->core->now_ms, (const uint8_t *)random, call->request_id);
    call->request_id_n = PC_UUID_CHARS;
}

static void take_ids(struct pc_call *call, const struct pc_http_request *r)
{
    struct pc_bytes id = pc_http_value(r, PC_FIELD_X_REQUEST_ID);
    if (PC_UNLIKELY(id.n) && !pc_http_repeated(r, PC_FIELD_X_REQUEST_ID) && sane_request_id(id)) {
        memcpy(call->request_id, id.p, id.n);
        call->request_id_n = (uint8_t)id.n;
    } else {
        make_request_id(call);
    }
    struct pc_bytes trace = pc_http_value(r, PC_FIELD_TRACEPARENT);
    call->traceparent_n = 0;
    if (trace.n == PC_TRACEPARENT_BYTES && trace.p[2] == '-' && trace.p[35] == '-') {
        memcpy(call->traceparent, trace.p, trace.n);
        call->traceparent_n = PC_TRACEPARENT_BYTES;
    }
}

/* ---- who asks ---- */

static void find_client(struct pc_call *call, const struct pc_http_request *r)
{
    const struct pc_config_listener *l = pc_listener_of(call->conn)->config;
    struct pc_client_addr found;
    call->client = pc_conn_ip(call->conn);
    call->client_malformed = false;
    if (PC_LIKELY(l->forwarded == PC_CLIENT_IS_PEER) || !pc_conn_is_trusted(call->conn))
        return;
    /* All field lines: the last ones are the trusted proxies' word. */
    struct pc_bytes values[PC_HTTP_FIELDS_MAX];
    bool rfc7239 = l->forwarded == PC_CLIENT_FORWARDED;
    size_t n = pc_http_values(r, rfc7239 ? PC_FIELD_FORWARDED : PC_FIELD_X_FORWARDED_FOR, values,
                              PC_COUNT(values));
    struct pc_ip peer = call->client;
    PC_ASSERT(n <= PC_COUNT(values));
    pc_forwarded_client(rfc7239 ? PC_FORWARDED_RFC7239 : PC_FORWARDED_X_FOR, values, n, &peer,
                        l->peers, l->peer_count, &found);
    call->client = found.ip;
    call->client_malformed = found.malformed;
}

static void take_origin(struct pc_call *call, const struct pc_http_request *r)
{
    const struct pc_config *c = pc_server_settings(call->worker->server)->config;
    struct pc_bytes origin = pc_http_value(r, PC_FIELD_ORIGIN);
    bool allowed = c->cors.allow_all;
    call->cors_origin_n = 0;
    if (PC_LIKELY(origin.n == 0) || origin.n > PC_CORS_ORIGIN_MAX)
        return;
    for (unsigned i = 0; i < c->cors.origins.n && !allowed; i++)
        allowed = pc_bytes_eq_str(origin, c->cors.origins.v[i]);
    if (!allowed)
        return;
    memcpy(call->cors_origin, origin.p, origin.n);
    call->cors_origin_n = (uint16_t)origin.n;
}

/* ---- dispatch ---- */

static void reply_methods(struct pc_call *call, unsigned status, uint32_t methods)
{
    uint8_t text[512], body[512];
    struct pc_buf fields = pc_buf_of(text, sizeof text), b = pc_buf_of(body, sizeof body);
    pc_buf_lit(&fields, "Allow: ");
    pc_methods_write(&fields, methods | PC_METHOD_BIT(OPTIONS));
    pc_buf_lit(&fields, "\r\n");
    if (status == 204 && call->cors_origin_n) {
        pc_buf_lit(&fields, "Access-Control-Allow-Methods: ");
        pc_methods_write(&fields, methods);
        pc_buf_lit(&fields,
                   "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, "
                   "X-Request-ID, traceparent, Last-Event-ID\r\nAccess-Control-Max-Age: 600\r\n");
    }
    struct pc_reply r = {.status = status, .fields = pc_bytes_of(fields.p, fields.len)};
    if (status == 405) {
        pc_error_body(&b, "METHOD_NOT_ALLOWED", PC_LIT("this path does not take this method"),
                      pc_call_request_id(call));
        r.content_type = "application/json";
        r.body = pc_bytes_of(b.p, b.len);
    }
    pc_call_reply(call, &r);
}

/* Calls that need a credential are logged (log_call): each of them, but for what services ask all
 * day long. */
static bool is_administrative(const struct pc_call *call)
{
    return call->endpoint && call->endpoint->permission > PC_PERMISSION_DECIDE;
}

/* Whoever may ask is no news; a limit that is reached is counted. */
static bool is_routine(const struct pc_call *call)
{
    return call->endpoint->routine && call->principal.role != PC_ADMIN_NONE && call->status != 403;
}

static void keep_for_log(struct pc_call *call, const struct pc_http_request *r)
{
    call->method = r->method;
    call->path_kept_n = (uint8_t)pc_min_u64(call->path.n, PC_CALL_PATH_KEPT_MAX);
    memcpy(call->path_kept, call->path.p, call->path_kept_n);
}

static bool route(struct pc_call *call, const struct pc_http_request *r)
{
    uint32_t methods;
    if (call->path.n >= 5 && memcmp(call->path.p, "/api/", 5) == 0)
        call->path = pc_bytes_of(call->path.p + 4, call->path.n - 4);
    call->endpoint = pc_endpoint_find(call, (enum pc_http_method)r->method, call->path, &methods);
    if (is_administrative(call))
        keep_for_log(call, r);
    if (call->endpoint)
        return true;
    if (methods == 0)
        pc_call_reply_error(call, 404, "NOT_FOUND", "no such path");
    else
        reply_methods(call, r->method == PC_METHOD_OPTIONS ? 204 : 405, methods);
    return false;
}

/* Only paths that are their own canonical form (borrowed from the head as they are), and endpoints
 * without parameters and without a log line. */
static void remember_route(struct http_conn *h, const struct pc_http_request *r)
{
    const struct pc_endpoint *e = h->call.endpoint;
    struct pc_bytes raw = pc_http_path(r);
    h->last.n = 0;
    if (raw.n > LAST_PATH_MAX || raw.p != h->call.path.p || raw.n != h->call.path.n ||
        is_administrative(&h->call) || strpbrk(e->path, "{*"))
        return;
    memcpy(h->last.path, raw.p, raw.n);
    h->last.n = (uint8_t)raw.n;
    h->last.method = r->method;
    h->last.endpoint = e;
}

static bool recall_route(struct http_conn *h, const struct pc_http_request *r)
{
    struct pc_bytes raw = pc_http_path(r);
    if (raw.n != h->last.n || r->method != h->last.method ||
        memcmp(raw.p, h->last.path, raw.n) != 0)
        return false;
    h->call.path = raw;
    h->call.endpoint = h->last.endpoint;
    return true;
}

/* Listener, readiness and permission: what stands before every handler. */
static bool admit(struct pc_call *call)
{
    const struct pc_endpoint *e = call->endpoint;
    if (!(e->roles & pc_listener_of(call->conn)->roles)) {
        pc_call_reply_error(call, 404, "WRONG_LISTENER",
                            "this path is not served by this listener");
        return false;
    }
    if (!e->while_starting && PC_UNLIKELY(!pc_writer_ready(call->worker->server->writer))) {
        pc_call_reply_busy(call, "NOT_READY", "recovery is not complete yet", 1);
        return false;
    }
    return pc_principal_admit(call, e->permission);
}

/* While a core's queue is too long, connections that came during it are answered 503; those it
 * already had keep their service. */
static bool shed(const struct http_conn *h, struct pc_call *call)
{
    if (PC_LIKELY(!h->newcomer) || !pc_core_overloaded(call->worker->core) ||
        call->endpoint->while_starting)
        return false;
    pc_metric_inc(call->worker->metrics, PC_M_SHED);
    pc_call_reply_busy(call, "OVERLOADED", "this core's queue is too long; try again", 1);
    return true;
}

/* Of an administrative call. */
PC_COLD static void log_call(const struct pc_call *call)
{
    uint8_t text[16];
    struct pc_buf method = pc_buf_of(text, sizeof text);
    const char *role = pc_admin_role_name(call->principal.role);
    if (is_routine(call))
        return;
    pc_methods_write(&method, 1u << call->method);
    struct pc_log *l = pc_log_begin(PC_LOG_INFO, "admin_call");
    pc_log_bytes(l, "request_id", pc_call_request_id(call));
    if (call->traceparent_n)
        pc_log_bytes(l, "traceparent", pc_bytes_of(call->traceparent, call->traceparent_n));
    pc_log_bytes(l, "method", pc_bytes_of(method.p, method.len));
    pc_log_bytes(l, "path", pc_bytes_of(call->path_kept, call->path_kept_n));
    pc_log_str(l, "user", call->principal.actor);
    pc_log_str(l, "role", role ? role : "");
    pc_log_u64(l, "status", call->status);
    pc_log_i64(l, "duration_ms", (call->worker->core->now_ns - call->started_ns) / 1000000);
    pc_log_end(l);
}

/* The answer is queued: on to the next request. */
static void finish(struct http_conn *h, struct pc_conn *c)
{
    if (PC_UNLIKELY(is_administrative(&h->call)))
        log_call(&h->call);
    pc_conn_clear_deadline(c, DEADLINE_REQUEST);
    pc_http1_reset(&h->req);
    h->stage = STAGE_HEAD;
    if (h->draining && !pc_conn_closing(c))
        pc_conn_close_after_flush(c);
}

/* The answer goes on: from here on only its ticks, the peer's end and the server's end it. */
static void enter_stream(struct http_conn *h, struct pc_conn *c)
{
    if (PC_UNLIKELY(is_administrative(&h->call)))
        log_call(&h->call);
    pc_conn_clear_deadline(c, DEADLINE_REQUEST);
    pc_conn_clear_deadline(c, DEADLINE_IDLE);
    pc_http1_reset(&h->req);
    h->stage = STAGE_STREAM;
    if (h->draining)
        pc_call_stream_end(&h->call);
    else
        pc_conn_deadline(c, DEADLINE_STREAM);
}

static void dispatch(struct http_conn *h, struct pc_conn *c, struct pc_bytes body)
{
    struct pc_call *call = &h->call;
    call->body = body;
    if (!shed(h, call))
        call->endpoint->handle(call);
    if (PC_UNLIKELY(call->unseen_waits))
        return;
    PC_ASSERT(call->replied != call->parked);
    if (call->replied) {
        if (PC_UNLIKELY(call->stream != NULL))
            enter_stream(h, c);
        else
            finish(h, c);
        return;
    }
    pc_conn_pause(c);
    pc_conn_deadline(c, DEADLINE_REQUEST);
}

void pc_call_park(struct pc_call *call)
{
    PC_ASSERT(!call->replied && !call->parked);
    call->parked = true;
}

/* ---- heads and bodies ---- */

static void refuse(struct http_conn *h, unsigned status, const char *text)
{
    static const struct {
        unsigned status;
        unsigned slot;
        const char *code;
    } refusals[] = {
        {400, PC_M_HTTP_REFUSED_400, "BAD_REQUEST"       },
        {408, PC_M_HTTP_REFUSED_408, "REQUEST_TIMEOUT"   },
        {413, PC_M_HTTP_REFUSED_413, "BODY_TOO_LARGE"    },
        {414, PC_M_HTTP_REFUSED_414, "URI_TOO_LONG"      },
        {417, PC_M_HTTP_REFUSED_400, "EXPECTATION_FAILED"},
        {431, PC_M_HTTP_REFUSED_431, "HEADERS_TOO_LARGE" },
        {501, PC_M_HTTP_REFUSED_501, "NOT_IMPLEMENTED"   },
        {503, PC_M_HTTP_REFUSED_503, "REQUEST_TIMEOUT"   },
        {505, PC_M_HTTP_REFUSED_505, "HTTP_VERSION"      },
    };
    unsigned i = 0;
    while (i + 1 < PC_COUNT(refusals) && refusals[i].status != status)
        i++;
    pc_metric_inc(h->call.worker->metrics, refusals[i].slot);
    h->call.keep_alive = false;
    pc_call_reply_error(&h->call, status, refusals[i].code, "%s", text);
}

/* A fresh call; the request's fields are read by begin(). */
static void reset_call(struct http_conn *h, struct pc_conn *c)
{
    struct pc_call *call = &h->call;
    call->worker = pc_worker_of(c);
    call->conn = c;
    call->endpoint = NULL;
    call->principal.role = PC_ADMIN_NONE;
    call->principal.actor[0] = 0;
    call->parked = call->replied = call->head = false;
    call->unseen_waits = call->unseen_due = false;
    call->stream = NULL;
    call->minor = 1;
    call->keep_alive = !h->draining;
    call->cors_origin_n = call->traceparent_n = 0;
    call->started_ns = call->worker->core->now_ns;
    call->req = &h->req;
    h->body_raw = h->body_n = 0;
    h->admitted = false;
}

/* Behind this prefix stands the path of somebody else's request. Its dots must not lead out of the
 * prefix to an endpoint of ours, whose 200 the gateway would take for an allow. */
static bool climbs_out(struct pc_bytes raw, uint8_t *scratch)
{
    static const struct pc_bytes prefixes[] = {
        {(const uint8_t *)"/v1/auth/envoy/",     15},
        {(const uint8_t *)"/api/v1/auth/envoy/", 19}
    };
    struct pc_bytes path;
    for (size_t i = 0; i < PC_COUNT(prefixes); i++) {
        size_t n = prefixes[i].n - 1; /* the rest begins with the slash */
        if (raw.n > n && memcmp(raw.p, prefixes[i].p, prefixes[i].n) == 0)
            return pc_path_canonical(pc_bytes_of(raw.p + n, raw.n - n), scratch,
                                     PC_CANONICAL_PATH_MAX, &path) < 0;
    }
    return false;
}

static bool canonical_path(struct pc_call *call, const struct pc_http_request *r, uint8_t *scratch)
{
    struct pc_bytes raw = pc_http_path(r);
    if (!climbs_out(raw, scratch) &&
        pc_path_canonical(raw, scratch, PC_CANONICAL_PATH_MAX, &call->path) == 0)
        return true;
    pc_call_reply_error(call, 400, "PATH_AMBIGUOUS",
                        "the path holds an encoded slash, a backslash, a control byte, a double "
                        "encoding or leaves the root");
    return false;
}

/* The head is complete: everything that does not depend on the body. `whole`: the body is there
 * too; otherwise a refusal ends the connection, because the rest of the body is not awaited. */
static bool begin(struct http_conn *h, uint8_t *path_scratch, bool whole)
{
    struct pc_call *call = &h->call;
    const struct pc_http_request *r = &h->req;
    call->minor = r->minor;
    call->head = r->method == PC_METHOD_HEAD;
    call->keep_alive = r->keep_alive && !h->draining && whole;
    call->query = pc_http_query(r);
    take_ids(call, r);
    find_client(call, r);
    take_origin(call, r);
    if (PC_LIKELY(recall_route(h, r)))
        return admit(call);
    if (!canonical_path(call, r, path_scratch) || !route(call, r))
        return false;
    remember_route(h, r);
    return admit(call);
}

/* -1: refused and answered; 0: more is needed; 1: *ret_used bytes hold the whole body. */
static int read_chunked(struct http_conn *h, struct pc_conn *c, uint8_t *p, size_t n,
                        size_t *ret_used)
{
    uint8_t *raw = p + h->head_n + h->body_raw;
    size_t got = 0, used = 0;
    int rc = pc_chunked_decode(&h->chunked, raw, n - h->head_n - h->body_raw, &got, &used);
    if (rc < 0) {
        refuse(h, (unsigned)-rc, "the chunked body is malformed or too large");
        return -1;
    }
    memmove(p + h->head_n + h->body_n, raw, got);
    h->body_raw += used;
    h->body_n += got;
    if (rc == 0 && n >= c->protocol->input_max_bytes) {
        refuse(h, 413, "the chunks are too small for a body of this size");
        return -1;
    }
    *ret_used = h->head_n + h->body_raw;
    return rc;
}

static int read_body(struct http_conn *h, struct pc_conn *c, uint8_t *p, size_t n, size_t *ret_used)
{
    if (h->req.chunked)
        return read_chunked(h, c, p, n, ret_used);
    size_t total = h->head_n + h->req.content_length;
    h->body_n = h->req.content_length;
    *ret_used = total;
    if (n >= total)
        return 1;
    if (pc_conn_expect(c, total) < 0) {
        refuse(h, 413, "the body is too large");
        return -1;
    }
    return 0;
}

static void start_body(struct http_conn *h, struct pc_conn *c, const struct pc_config *config)
{
    h->stage = STAGE_BODY;
    /* A connection with a request is not idle, however long its body or its answer takes. */
    pc_conn_clear_deadline(c, DEADLINE_IDLE);
    if (h->head_timed)
        pc_conn_clear_deadline(c, DEADLINE_HEADER);
    h->head_timed = false;
    if (h->req.chunked)
        pc_chunked_init(&h->chunked, config->http.body_bytes);
}

/* Parses a head. Returns bytes to consume at once (an answered or refused request), or 0. */
static bool take_head(struct http_conn *h, struct pc_conn *c, const uint8_t *p, size_t n)
{
    const struct pc_config *config = pc_worker_of(c)->server->started_as;
    struct pc_http1_limits limits = {(uint32_t)config->http.request_line_bytes,
                                     (uint32_t)config->http.header_bytes,
                                     (uint32_t)config->http.fields, config->http.body_bytes};
    int rc = pc_http1_parse(&h->req, &limits, p, n);
    if (rc == PC_HTTP1_MORE)
        return false;
    reset_call(h, c);
    if (rc > 0) {
        h->head_n = (size_t)rc;
        start_body(h, c, config);
        return true;
    }
    make_request_id(&h->call);
    if (rc == PC_HTTP1_PREFACE)
        refuse(h, 505, "HTTP/2 is not spoken here");
    else
        refuse(h, (unsigned)-rc, pc_http1_reason_text(pc_http1_reason(&h->req)));
    return false;
}

/* Whether what is still to come is worth a refusal that ends the connection. */
static bool is_large(const struct pc_http_request *r, size_t have)
{
    return r->expect_continue || (r->chunked ? have : r->content_length) > SMALL_BODY_BYTES;
}

/* The body will take a while. Who may not ask at all is told now, so that strangers cannot fill our
 * memory with bodies; the others are told to go on. */
static void await_body(struct http_conn *h, struct pc_conn *c, uint8_t *path_scratch, size_t have)
{
    if (!h->body_timed) {
        h->body_timed = true;
        pc_conn_deadline(c, DEADLINE_BODY);
    }
    if (h->admitted || !is_large(&h->req, have))
        return;
    h->admitted = begin(h, path_scratch, false);
    if (!h->admitted)
        finish(h, c);
    else if (h->req.expect_continue)
        pc_conn_write(c, PC_LIT(PC_HTTP1_CONTINUE));
}

/* Handles at most one request; returns the bytes it took, 0 if there is none yet. */
static size_t input_one(struct http_conn *h, struct pc_conn *c, uint8_t *p, size_t n)
{
    uint8_t path_scratch[PC_CANONICAL_PATH_MAX];
    size_t used = 0;
    if (h->stage == STAGE_HEAD && !take_head(h, c, p, n))
        return 0;
    h->req.base = p;
    int rc = read_body(h, c, p, n, &used);
    if (rc == 0)
        await_body(h, c, path_scratch, n);
    if (rc <= 0)
        return 0;
    if (h->body_timed)
        pc_conn_clear_deadline(c, DEADLINE_BODY);
    h->body_timed = false;
    if (begin(h, path_scratch, true))
        dispatch(h, c, pc_bytes_of(p + h->head_n, h->body_n));
    else
        finish(h, c);
    /* One that waits for its turn is begun again from its head, which stays parsed. */
    return PC_LIKELY(!h->call.unseen_waits) ? used : 0;
}

/* Between requests the connection may idle; once a head has begun it must end in time. */
static void time_head(struct http_conn *h, struct pc_conn *c, bool started)
{
    if (!started) {
        pc_conn_deadline(c, DEADLINE_IDLE);
        return;
    }
    if (h->head_timed)
        return;
    h->head_timed = true;
    pc_conn_clear_deadline(c, DEADLINE_IDLE);
    pc_conn_deadline(c, DEADLINE_HEADER);
}

static size_t http_input(struct pc_conn *c, uint8_t *p, size_t n)
{
    struct http_conn *h = http_of(c);
    size_t used = 0;
    if (PC_UNLIKELY(h->proxy_due)) {
        ptrdiff_t taken = pc_proxied_take(c, p, n);
        if (taken <= 0)
            return 0;
        h->proxy_due = false;
        used = (size_t)taken;
    }
    while (used < n && h->stage != STAGE_STREAM && !h->call.parked && !pc_conn_closing(c) &&
           !pc_conn_output_full(c)) {
        size_t taken = input_one(h, c, p + used, n - used);
        if (taken == 0)
            break;
        used += taken;
    }
    if (PC_UNLIKELY(h->stage == STAGE_STREAM))
        return n; /* what is sent behind it will never be answered */
    if (h->call.parked || pc_conn_closing(c))
        return used;
    if (h->stage == STAGE_HEAD)
        time_head(h, c, used < n);
    return used;
}

/* ---- life ---- */

static int http_open(struct pc_conn *c)
{
    bool proxy_due;
    int rc = pc_proxied_open(c, &proxy_due);
    struct http_conn *h = rc == 0 ? calloc(1, sizeof *h) : NULL;
    if (!h)
        return rc < 0 ? rc : -ENOMEM;
    c->user = h;
    h->proxy_due = proxy_due; /* in the time of the first header */
    pc_http1_reset(&h->req);
    h->newcomer = pc_core_overloaded(c->core);
    reset_call(h, c);
    pc_metric_inc(h->call.worker->metrics, PC_M_CONNECTIONS_ACCEPTED_HTTP);
    pc_metric_add(h->call.worker->metrics, PC_M_CONNECTIONS_OPEN_HTTP, 1);
    h->head_timed = true;
    pc_conn_deadline(c, DEADLINE_HEADER);
    return 0;
}

static void http_closed(struct pc_conn *c)
{
    struct pc_call *call = &http_of(c)->call;
    if (call->stream)
        call->stream->ended(call);
    pc_unseen_forget(call);
    pc_metric_sub(pc_worker_of(c)->metrics, PC_M_CONNECTIONS_OPEN_HTTP, 1);
    free(c->user);
}

static bool is_idle(const struct http_conn *h)
{
    return h->stage == STAGE_HEAD && !pc_http1_started(&h->req) && !h->call.parked;
}

static void http_timeout(struct pc_conn *c, unsigned deadline)
{
    struct http_conn *h = http_of(c);
    if (deadline == DEADLINE_DRAIN) {
        if (is_idle(h))
            pc_conn_close_after_flush(c);
        return;
    }
    if (deadline == DEADLINE_STREAM) {
        pc_conn_deadline(c, DEADLINE_STREAM);
        h->call.stream->tick(&h->call);
        return;
    }
    bool idle = deadline == DEADLINE_IDLE || is_idle(h);
    if (h->proxy_due)
        pc_proxied_timeout(c);
    pc_metric_inc(h->call.worker->metrics,
                  idle ? PC_M_CONNECTIONS_CLOSED_IDLE : PC_M_CONNECTIONS_CLOSED_TIMEOUT);
    if (idle) {
        pc_conn_abort(c);
        return;
    }
    if (deadline == DEADLINE_REQUEST) {
        /* The one who should have replied finds the connection gone. */
        h->call.parked = false;
        refuse(h, 503, "the request was not answered in time; it may still be carried out");
        if (PC_UNLIKELY(is_administrative(&h->call)))
            log_call(&h->call);
        return;
    }
    if (h->stage == STAGE_HEAD)
        reset_call(h, c);
    make_request_id(&h->call);
    refuse(h, 408, "the request did not arrive in time");
}

static void http_drain(struct pc_conn *c)
{
    struct http_conn *h = http_of(c);
    h->draining = true;
    h->call.keep_alive = false;
    if (h->call.stream)
        pc_call_stream_end(&h->call);
    else if (is_idle(h))
        pc_conn_deadline(c, DEADLINE_DRAIN);
}

/* The call was parked and is answered now: go on reading. */
void pc_call_done(struct pc_call *call)
{
    struct http_conn *h = PC_CONTAINER_OF(call, struct http_conn, call);
    PC_ASSERT(call->parked && call->replied);
    call->parked = false;
    finish(h, call->conn);
    if (!pc_conn_closing(call->conn)) {
        pc_conn_deadline(call->conn, DEADLINE_IDLE);
        pc_conn_resume(call->conn);
    }
}

struct pc_call *pc_call_of(struct pc_conn *c)
{
    struct http_conn *h = http_of(c);
    return h->call.parked ? &h->call : NULL;
}

void pc_http_protocol_init(struct pc_protocol *p, const struct pc_config *c)
{
    *p = (struct pc_protocol){
        .name = "http/1.1",
        .refusal = PC_LIT("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                          "Content-Length: 0\r\nConnection: close\r\n\r\n"),
        .deadline_ms = {[DEADLINE_HEADER] = (uint32_t)c->http.header_timeout_ms,
                        [DEADLINE_BODY] = (uint32_t)c->http.body_timeout_ms,
                        [DEADLINE_IDLE] = (uint32_t)c->http.idle_timeout_ms,
                        [DEADLINE_REQUEST] = (uint32_t)c->http.request_timeout_ms,
                        [DEADLINE_DRAIN] = DRAIN_MS,
                        [DEADLINE_STREAM] = (uint32_t)c->events.heartbeat_ms},
 /* Head and body must be seen whole, with room for the framing of chunks. */
        .input_max_bytes =
            c->http.request_line_bytes + c->http.header_bytes + 2 * c->http.body_bytes + 4096,
        .open = http_open,
        .input = http_input,
        .timeout = http_timeout,
        .closed = http_closed,
        .drain = http_drain,
    };
}
