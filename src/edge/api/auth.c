/* SPDX-License-Identifier: Apache-2.0
 * Forward auth: the decision a proxy asks for with the client's own headers, answered by status
 * and header fields alone. Runs on a core. */
#include "edge/api/decide.h"
#include "edge/api/principal.h"
#include "edge/wire/path.h"

/* The original request's target as proxies report it; only believed from trusted peers. */
static const enum pc_http_field_id target_fields[] = {
    PC_FIELD_X_FORWARDED_URI,
    PC_FIELD_X_ORIGINAL_URI,
    PC_FIELD_X_ORIGINAL_URL,
};

/* An ambiguous original path is refused here, before anybody matches rules against it. */
static bool original_path_is_sane(const struct pc_call *call)
{
    uint8_t scratch[PC_CANONICAL_PATH_MAX];
    struct pc_uri uri;
    struct pc_bytes path;
    for (size_t i = 0; i < PC_COUNT(target_fields); i++) {
        struct pc_bytes target = pc_http_value(call->req, target_fields[i]);
        if (PC_LIKELY(target.n == 0))
            continue;
        if (pc_http_repeated(call->req, target_fields[i]) || pc_uri_split(target, &uri) < 0 ||
            pc_path_canonical(uri.path, scratch, sizeof scratch, &path) < 0)
            return false;
    }
    return true;
}

static void allow(struct pc_call *call, const struct pc_verdict *v)
{
    struct pc_reply r = {.status = 200, .fields = pc_token_part(v->token, PC_PART_HEADERS)};
    pc_call_reply(call, &r);
}

/* nginx's auth_request understands 2xx, 401 and 403; everything else would become a 500. */
static void refuse_for_nginx(struct pc_call *call, unsigned status)
{
    uint8_t text[64];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    pc_http1_write_field_u64(&b, "X-Portcullis-Status", status);
    struct pc_reply r = {.status = 403, .fields = pc_bytes_of(b.p, b.len)};
    pc_call_reply(call, &r);
}

static void forward_auth(struct pc_call *call, bool nginx)
{
    struct pc_verdict v;
    if (PC_UNLIKELY(!original_path_is_sane(call))) {
        if (nginx)
            refuse_for_nginx(call, 400);
        else
            pc_call_reply_error(call, 400, "PATH_AMBIGUOUS",
                                "the original request's path cannot be read in one way only");
        return;
    }
    pc_decide(call->worker, pc_bearer(call->req), &call->client, &v);
    pc_log_decision(call, &v);
    if (PC_LIKELY(!v.busy && v.error == PC_TOKEN_OK))
        allow(call, &v);
    else if (!v.busy)
        pc_call_reply_token_error(call, v.error);
    else if (nginx)
        refuse_for_nginx(call, 503);
    else
        pc_call_reply_busy(call, pc_verdict_code(&v), "too many signatures to verify",
                           (unsigned)(v.retry_ns / 1000000000 + 1));
}

void pc_handle_auth(struct pc_call *call)
{
    forward_auth(call, false);
}

void pc_handle_auth_nginx(struct pc_call *call)
{
    forward_auth(call, true);
}

void pc_handle_auth_envoy(struct pc_call *call)
{
    /* The original path follows the prefix and was canonicalised as part of ours. */
    forward_auth(call, false);
}
