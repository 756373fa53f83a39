/* SPDX-License-Identifier: Apache-2.0
 * Reading {"token", "request", "route", "limits", "flags", "context"} and writing the decision.
 * Nothing allocates: the values stand in the worker's array, texts in the body. */
#include "edge/api/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "edge/api/endpoint.h"
#include "edge/wire/path.h"

struct question {
    struct pc_bytes token;
};

static int refuse(struct pc_check_refusal *r, const char *code, const char *fmt, ...)
    PC_PRINTF(3, 4);
static int refuse(struct pc_check_refusal *r, const char *code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    r->code = code;
    vsnprintf(r->text, sizeof r->text, fmt, args);
    va_end(args);
    return -EINVAL;
}

typedef int member_fn(const struct pc_json *doc, const struct pc_json_token *value,
                      struct question *q, struct pc_buf *texts, struct pc_check_refusal *r);

static int read_token(const struct pc_json *doc, const struct pc_json_token *value,
                      struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    if (pc_json_string(doc, value, texts, &q->token) < 0)
        return refuse(r, "BAD_REQUEST", "token must be a string");
    return 0;
}

/* Routes come with the route table; until then a request's path is only checked for sanity. */
static int read_request(const struct pc_json *doc, const struct pc_json_token *value,
                        struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    uint8_t scratch[PC_CANONICAL_PATH_MAX];
    struct pc_bytes raw, path;
    (void)q;
    if (pc_json_type(value) != PC_JSON_OBJECT)
        return refuse(r, "BAD_REQUEST", "request must be an object");
    const struct pc_json_token *p = pc_json_member(doc, value, "path");
    if (!p)
        return 0;
    if (pc_json_string(doc, p, texts, &raw) < 0)
        return refuse(r, "BAD_REQUEST", "request.path must be a string");
    const uint8_t *query = raw.n ? memchr(raw.p, '?', raw.n) : NULL;
    if (query)
        raw.n = (size_t)(query - raw.p);
    if (raw.n > sizeof scratch || pc_path_canonical(raw, scratch, sizeof scratch, &path) < 0)
        return refuse(r, "PATH_AMBIGUOUS", "request.path cannot be read in one way only");
    return 0;
}

static int read_context(const struct pc_json *doc, const struct pc_json_token *value,
                        struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    (void)doc, (void)q, (void)texts;
    return pc_json_type(value) == PC_JSON_OBJECT
               ? 0
               : refuse(r, "BAD_REQUEST", "context must be an object");
}

static int read_route(const struct pc_json *doc, const struct pc_json_token *value,
                      struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    (void)doc, (void)value, (void)q, (void)texts;
    return refuse(r, "ROUTE_NOT_CONFIGURED", "no routes are configured");
}

/* An empty list asks for nothing. */
static int read_limits(const struct pc_json *doc, const struct pc_json_token *value,
                       struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    (void)doc, (void)q, (void)texts;
    if (pc_json_type(value) != PC_JSON_ARRAY)
        return refuse(r, "BAD_REQUEST", "limits must be an array");
    return value->count == 0 ? 0 : refuse(r, "LIMITS_NOT_CONFIGURED", "no limits are configured");
}

static int read_flags(const struct pc_json *doc, const struct pc_json_token *value,
                      struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    (void)doc, (void)q, (void)texts;
    if (pc_json_type(value) != PC_JSON_ARRAY)
        return refuse(r, "BAD_REQUEST", "flags must be an array");
    return value->count == 0 ? 0 : refuse(r, "FLAGS_NOT_CONFIGURED", "no flags are configured");
}

static const struct {
    const char *name;
    member_fn *read;
} members[] = {
    {"token",   read_token  },
    {"request", read_request},
    {"route",   read_route  },
    {"limits",  read_limits },
    {"flags",   read_flags  },
    {"context", read_context},
};

static int read_member(const struct pc_json *doc, const struct pc_json_token *name,
                       struct question *q, struct pc_buf *texts, struct pc_check_refusal *r)
{
    for (size_t i = 0; i < PC_COUNT(members); i++)
        if (pc_json_equals(doc, name, members[i].name))
            return members[i].read(doc, pc_json_value(name), q, texts, r);
    return refuse(r, "BAD_REQUEST", "unknown member \"%.*s\"", (int)pc_min_u64(name->n, 64),
                  (const char *)doc->text.p + name->start);
}

static int read_question(struct pc_worker *w, struct pc_bytes body, struct question *q,
                         struct pc_check_refusal *r)
{
    static const struct pc_json_limits limits = {PC_JSON_BYTES_DEFAULT, PC_JSON_DEPTH_DEFAULT,
                                                 PC_JSON_MEMBERS_DEFAULT};
    struct pc_buf texts = pc_buf_of(w->scratch, PC_WORKER_SCRATCH_BYTES);
    struct pc_json_error error;
    struct pc_json doc;
    struct pc_why why;
    int rc = pc_json_parse(body, w->json, PC_WORKER_JSON_TOKENS, &limits, &doc, &error);
    if (rc < 0) {
        pc_json_explain(&why, rc, body, &error);
        return refuse(r, "JSON_INVALID", "%.200s", why.text);
    }
    if (pc_json_type(pc_json_root(&doc)) != PC_JSON_OBJECT)
        return refuse(r, "BAD_REQUEST", "the body must be an object");
    PC_JSON_FOREACH(&doc, pc_json_root(&doc), name)
    {
        rc = read_member(&doc, name, q, &texts, r);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the answer ---- */

static void put_text(struct pc_buf *b, const char *name, struct pc_bytes value)
{
    pc_buf_lit(b, ",\"");
    pc_buf_str(b, name);
    pc_buf_lit(b, "\":");
    if (value.n)
        pc_buf_json_str(b, value);
    else
        pc_buf_lit(b, "null");
}

static void put_list(struct pc_buf *b, const char *name, struct pc_bytes words)
{
    bool first = true;
    pc_buf_lit(b, ",\"");
    pc_buf_str(b, name);
    pc_buf_lit(b, "\":[");
    while (words.n) {
        const uint8_t *space = memchr(words.p, ' ', words.n);
        size_t n = space ? (size_t)(space - words.p) : words.n;
        if (!first)
            pc_buf_char(b, ',');
        first = false;
        pc_buf_json_str(b, pc_bytes_of(words.p, n));
        words = pc_bytes_of(words.p + n + (space != NULL), words.n - n - (space != NULL));
    }
    pc_buf_char(b, ']');
}

static void put_headers(struct pc_buf *b, const struct pc_cached_token *t)
{
    bool first = true;
    pc_buf_lit(b, ",\"headers\":{");
#define PUT_HEADER(part, name)                                                                     \
    if (!first)                                                                                    \
        pc_buf_char(b, ',');                                                                       \
    first = false;                                                                                 \
    pc_buf_lit(b, "\"" name "\":");                                                                \
    pc_buf_json_str(b, pc_token_part(t, PC_PART_##part));
    PC_IDENTITY_HEADERS(PUT_HEADER)
#undef PUT_HEADER
    pc_buf_char(b, '}');
}

static void put_expiry(struct pc_buf *b, int64_t exp_ms)
{
    pc_buf_lit(b, ",\"expires_at\":");
    if (exp_ms == INT64_MAX)
        pc_buf_lit(b, "null");
    else
        pc_buf_i64(b, exp_ms / 1000);
}

static unsigned status_of(const struct pc_verdict *v)
{
    if (v->busy)
        return 503;
    return v->error ? pc_token_error_info(v->error)->status : 200;
}

static void put_answer(struct pc_buf *b, const struct pc_verdict *v)
{
    bool allow = !v->busy && v->error == PC_TOKEN_OK;
    pc_buf_fmt(b, "{\"allow\":%s,\"code\":\"%s\",\"status\":%u", allow ? "true" : "false",
               pc_verdict_code(v), status_of(v));
    if (v->token) {
        put_text(b, "subject", pc_token_part(v->token, PC_PART_SUBJECT));
        put_text(b, "client", pc_token_part(v->token, PC_PART_CLIENT));
        put_text(b, "session", pc_token_part(v->token, PC_PART_SESSION));
        put_text(b, "jti", pc_token_part(v->token, PC_PART_JTI));
        put_text(b, "issuer", pc_token_part(v->token, PC_PART_ISSUER));
        put_list(b, "scopes", pc_token_part(v->token, PC_PART_SCOPES));
        put_list(b, "roles", pc_token_part(v->token, PC_PART_ROLES));
        put_expiry(b, v->token->exp_ms);
    } else {
        pc_buf_lit(b, ",\"subject\":null,\"client\":null,\"session\":null,\"jti\":null,"
                      "\"issuer\":null,\"scopes\":[],\"roles\":[],\"expires_at\":null");
    }
    pc_buf_lit(b, ",\"limits\":[],\"flags\":{}");
    if (allow)
        put_headers(b, v->token);
    else
        pc_buf_lit(b, ",\"headers\":{}");
    pc_buf_char(b, '}');
}

int pc_check(struct pc_worker *w, struct pc_bytes body, const struct pc_ip *client,
             struct pc_buf *answer, struct pc_verdict *ret_verdict,
             struct pc_check_refusal *ret_refusal)
{
    struct question q = {
        .token = {NULL, 0}
    };
    int rc = read_question(w, body, &q, ret_refusal);
    if (rc < 0)
        return rc;
    pc_decide(w, q.token, client, ret_verdict);
    put_answer(answer, ret_verdict);
    return 0;
}

void pc_handle_check(struct pc_call *call)
{
    struct pc_check_refusal refusal;
    struct pc_verdict v;
    uint8_t body[2 * PC_TOKEN_BYTES_MAX + 4096];
    struct pc_buf b = pc_buf_of(body, sizeof body);
    if (pc_check(call->worker, call->body, &call->client, &b, &v, &refusal) < 0) {
        pc_call_reply_error(call, 400, refusal.code, "%s", refusal.text);
        return;
    }
    pc_log_decision(call, &v);
    pc_buf_char(&b, '\n');
    if (b.overflow) {
        pc_call_reply_error(call, 500, "ANSWER_TOO_LARGE", "the token's claims are too large");
        return;
    }
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}
