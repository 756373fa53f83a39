/* SPDX-License-Identifier: Apache-2.0
 * Forward auth: the decision a proxy asks for with its client's own header fields, answered by
 * status and header fields alone. Runs on a core.
 *
 * What the original request was, the gateway says in fields of its own; they are believed because
 * the endpoint is open to trusted peers and gateways only. Of several fields that say the same
 * thing a client may have sent one itself, past a gateway that sets another: where they differ
 * the request is refused. */
#include <stdio.h>

#include "edge/api/decision.h"
#include "edge/api/endpoint.h"
#include "edge/api/principal.h"
#include "edge/api/unseen.h"
#include "edge/wire/path.h"

#define ENVOY_PREFIX_BYTES (sizeof "/v1/auth/envoy" - 1)

/* ---- the original request ---- */

/* A value that may be told more than once, as long as it is the same. False: it differs. */
static bool agree(struct pc_bytes *have, struct pc_bytes value,
                  bool (*equal)(struct pc_bytes a, struct pc_bytes b))
{
    if (have->n == 0)
        *have = value;
    return equal(*have, value);
}

static bool same_bytes(struct pc_bytes a, struct pc_bytes b)
{
    return pc_bytes_eq(a, b);
}

/* Ports are no part of a route's host. */
static bool same_host(struct pc_bytes a, struct pc_bytes b)
{
    return pc_authority_valid(a) && pc_authority_valid(b) &&
           pc_bytes_eq_nocase(pc_authority_host(a), pc_authority_host(b));
}

/* The path of one of the fields that tell the target; with host[:port] where it is absolute. */
static enum pc_decision_code read_target(const struct pc_call *call, enum pc_http_field_id field,
                                         uint8_t *scratch, struct pc_question *q)
{
    struct pc_uri uri;
    struct pc_bytes target = pc_http_value(call->req, field), path;
    if (PC_LIKELY(target.n == 0))
        return PC_DECISION_OK;
    if (PC_UNLIKELY(pc_http_repeated(call->req, field)))
        return PC_DECISION_PATH_AMBIGUOUS;
    if (PC_LIKELY(pc_path_is_target(target)))
        return agree(&q->path, target, same_bytes) ? PC_DECISION_OK
                                                   : PC_DECISION_ORIGINAL_REQUEST_AMBIGUOUS;
    if (pc_uri_split(target, &uri) < 0 ||
        pc_path_canonical(uri.path, scratch, PC_CANONICAL_PATH_MAX, &path) < 0)
        return PC_DECISION_PATH_AMBIGUOUS;
    if (!agree(&q->path, path, same_bytes) ||
        (uri.authority.n && !agree(&q->host, uri.authority, same_host)))
        return PC_DECISION_ORIGINAL_REQUEST_AMBIGUOUS;
    return PC_DECISION_OK;
}

static enum pc_decision_code read_second_target(const struct pc_call *call,
                                                enum pc_http_field_id field, struct pc_question *q)
{
    uint8_t scratch[PC_CANONICAL_PATH_MAX]; /* only compared with the first */
    struct pc_question first = *q;
    enum pc_decision_code code = read_target(call, field, scratch, q);
    q->path = first.path;
    return code;
}

/* An ambiguous original path is refused also where no route asks for it: somebody behind us may. */
static enum pc_decision_code read_path(const struct pc_call *call, struct pc_question *q)
{
    static const enum pc_http_field_id fields[] = {
        PC_FIELD_X_FORWARDED_URI,
        PC_FIELD_X_ORIGINAL_URI,
        PC_FIELD_X_ORIGINAL_URL,
    };
    enum pc_decision_code code = PC_DECISION_OK;
    for (size_t i = 0; i < PC_COUNT(fields) && !code; i++) {
        if (!pc_http_has(call->req, fields[i]))
            continue;
        code = q->path.n ? read_second_target(call, fields[i], q)
                         : read_target(call, fields[i], call->worker->decision_scratch, q);
    }
    if (q->path.n)
        q->said |= PC_ROUTE_NEEDS_PATH;
    return code;
}

/* A field that is told once, or not at all. */
static bool read_single(const struct pc_call *call, enum pc_http_field_id field,
                        struct pc_bytes *have, bool (*equal)(struct pc_bytes a, struct pc_bytes b))
{
    struct pc_bytes value = pc_http_value(call->req, field);
    if (value.n == 0)
        return true;
    return !pc_http_repeated(call->req, field) && agree(have, value, equal);
}

static enum pc_decision_code read_host(const struct pc_call *call, struct pc_question *q)
{
    if (!read_single(call, PC_FIELD_X_FORWARDED_HOST, &q->host, same_host))
        return PC_DECISION_ORIGINAL_REQUEST_AMBIGUOUS;
    if (q->host.n)
        q->said |= PC_ROUTE_NEEDS_HOST;
    return PC_DECISION_OK;
}

static enum pc_decision_code read_method(const struct pc_call *call, struct pc_question *q)
{
    if (!read_single(call, PC_FIELD_X_FORWARDED_METHOD, &q->method, same_bytes) ||
        !read_single(call, PC_FIELD_X_ORIGINAL_METHOD, &q->method, same_bytes))
        return PC_DECISION_ORIGINAL_REQUEST_AMBIGUOUS;
    if (q->method.n)
        q->said |= PC_ROUTE_NEEDS_METHOD;
    return PC_DECISION_OK;
}

/* Host and method only where a route asks for them. */
static enum pc_decision_code read_forwarded(const struct pc_call *call, struct pc_question *q)
{
    unsigned needs = q->view->settings->needs;
    enum pc_decision_code code = read_path(call, q);
    if (!code && (needs & PC_ROUTE_NEEDS_HOST))
        code = read_host(call, q);
    if (!code && (needs & PC_ROUTE_NEEDS_METHOD))
        code = read_method(call, q);
    return code;
}

/* Envoy's request is its client's, with the prefix before the path: nothing is missing. */
static enum pc_decision_code read_envoy(const struct pc_call *call, struct pc_question *q)
{
    PC_ASSERT(call->path.n > ENVOY_PREFIX_BYTES);
    q->path = pc_bytes_of(call->path.p + ENVOY_PREFIX_BYTES, call->path.n - ENVOY_PREFIX_BYTES);
    q->host = pc_http_authority(call->req);
    q->method = pc_http_bytes(call->req, call->req->method_name);
    q->said = PC_ROUTE_NEEDS_PATH | PC_ROUTE_NEEDS_METHOD | (q->host.n ? PC_ROUTE_NEEDS_HOST : 0);
    return PC_DECISION_OK;
}

static struct pc_bytes header_of(void *ctx, struct pc_bytes name)
{
    return pc_http_value_by_name(ctx, name);
}

/* ---- the answer ---- */

/* RFC 6750, 3: the value of WWW-Authenticate; NULL where there is none. */
static const char *write_challenge(const struct pc_decision *d, char *text, size_t n)
{
    const struct pc_decision_code_info *info = pc_decision_code_info(d->code);
    const char *error = "insufficient_scope";
    if (d->code != PC_DECISION_INSUFFICIENT_SCOPE) {
        if (d->code > PC_DECISION_TOKEN_LAST)
            return NULL;
        error = pc_token_error_info((enum pc_token_error)d->code)->rfc6750;
    }
    int length = snprintf(text, n, "Bearer realm=\"portcullis\"");
    if (error[0])
        length += snprintf(text + length, n - (size_t)length,
                           ", error=\"%s\", error_description=\"%s\"", error, info->text);
    if (d->code == PC_DECISION_INSUFFICIENT_SCOPE)
        length += snprintf(text + length, n - (size_t)length, ", scope=\"%.*s\"",
                           (int)d->route->scope_list.n, (const char *)d->route->scope_list.p);
    PC_ASSERT((size_t)length < n);
    return text;
}

/* nginx's auth_request understands 2xx, 401 and 403; everything else would become a 500. Of a 403
 * it passes on no body. */
static void map_status(struct pc_reply *r, struct pc_buf *more)
{
    if (r->status == 401)
        return;
    if (r->status != 403)
        pc_http1_write_field_u64(more, "X-Portcullis-Status", r->status);
    r->status = 403;
    r->content_type = NULL;
    r->body.n = 0;
}

PC_COLD static void refuse(struct pc_call *call, const struct pc_decision *d, struct pc_buf *more,
                           bool nginx)
{
    const struct pc_decision_code_info *info = pc_decision_code_info(d->code);
    char challenge[PC_ROUTE_CHALLENGE_BYTES + 256];
    uint8_t body[1024];
    struct pc_buf b = pc_buf_of(body, sizeof body);
    struct pc_reply r = {.status = info->status, .retry_after_s = d->retry_after_s};
    r.challenge = write_challenge(d, challenge, sizeof challenge);
    pc_error_body(&b, info->code, pc_bytes_str(info->text), pc_call_request_id(call));
    PC_ASSERT(!b.overflow);
    r.content_type = "application/json";
    r.body = pc_bytes_of(b.p, b.len);
    if (nginx)
        map_status(&r, more);
    PC_ASSERT(!more->overflow);
    r.more = pc_bytes_of(more->p, more->len);
    pc_call_reply(call, &r);
}

static void answer(struct pc_call *call, const struct pc_question *q, const struct pc_decision *d,
                   bool nginx)
{
    uint8_t text[PC_DECISION_FIELDS_MAX];
    struct pc_buf more = pc_buf_of(text, sizeof text);
    pc_decision_write_fields(&more, q->view, d);
    if (PC_UNLIKELY(!d->allow)) {
        refuse(call, d, &more, nginx);
        return;
    }
    PC_ASSERT(!more.overflow);
    struct pc_reply r = {
        .status = 200,
        .fields = pc_decision_identity_fields(d),
        .more = pc_bytes_of(more.p, more.len),
    };
    pc_call_reply(call, &r);
}

static void forward_auth(struct pc_call *call,
                         enum pc_decision_code (*read)(const struct pc_call *call,
                                                       struct pc_question *q),
                         bool nginx)
{
    struct pc_decision d;
    struct pc_question q = {
        .view = pc_server_view(call->worker->server),
        .token = pc_bearer(call->req),
        .client = call->client,
        .client_malformed = call->client_malformed,
        .listener = pc_listener_of(call->conn)->index,
        .header = header_of,
        .header_ctx = call->req,
        .may_wait = !call->unseen_due && !call->req->chunked, /* chunks are decoded in place */
    };
    enum pc_decision_code code = read(call, &q);
    if (PC_UNLIKELY(code))
        pc_decision_refuse(call->worker, code, &d);
    else
        pc_decision_make(call->worker, &q, &d);
    if (PC_UNLIKELY(pc_decision_is_later(&d))) {
        pc_unseen_wait(call);
        return;
    }
    pc_log_decision(call, q.view->settings, &d);
    answer(call, &q, &d, nginx);
}

void pc_handle_auth(struct pc_call *call)
{
    forward_auth(call, read_forwarded, false);
}

void pc_handle_auth_nginx(struct pc_call *call)
{
    forward_auth(call, read_forwarded, true);
}

void pc_handle_auth_envoy(struct pc_call *call)
{
    forward_auth(call, read_envoy, false);
}
