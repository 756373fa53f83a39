/* SPDX-License-Identifier: Apache-2.0
 * Reading the question (check.h) and writing the decision. Nothing allocates: values stand in the
 * worker's array, texts in the body or, unescaped, in the first half of its scratch memory, and the
 * answer in the second. */
#include "edge/api/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "edge/api/endpoint.h"
#include "edge/wire/path.h"

#define TEXT_BYTES   (PC_WORKER_SCRATCH_BYTES / 2)
#define ANSWER_BYTES (PC_WORKER_SCRATCH_BYTES - TEXT_BYTES)
#define COST_MAX     INT64_C(1000000)
#define STEPS_BYTES  (48u << 10)

/* The question being read. */
struct asked {
    struct pc_worker *w;
    struct pc_question q;
    struct pc_asked_limit limits[PC_ASKED_LIMITS_MAX];
    struct pc_bytes flags[PC_ASKED_FLAGS_MAX];
    const struct pc_flag *found[PC_ASKED_FLAGS_MAX]; /* of the view; NULL: there is none */
    unsigned flag_n;
    const struct pc_json *doc;
    const struct pc_json_token *headers;
    struct pc_buf texts;
    struct pc_check_refusal *refusal;
};

static int refuse(struct asked *a, const char *code, const char *fmt, ...) PC_PRINTF(3, 4);
static int refuse(struct asked *a, const char *code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    a->refusal->code = code;
    vsnprintf(a->refusal->text, sizeof a->refusal->text, fmt, args);
    va_end(args);
    return -EINVAL;
}

/* A string; `what` names it in the refusal. */
static int read_text(struct asked *a, const struct pc_json_token *value, const char *what,
                     struct pc_bytes *ret_text)
{
    int rc = pc_json_string(a->doc, value, &a->texts, ret_text);
    if (rc == PC_E_TOO_LARGE)
        return refuse(a, "BAD_REQUEST", "%s is too long", what);
    return rc < 0 ? refuse(a, "BAD_REQUEST", "%s must be a string", what) : 0;
}

typedef int member_fn(struct asked *a, const struct pc_json_token *value);
struct member {
    const char *name;
    member_fn *read;
};

static int read_members(struct asked *a, const struct pc_json_token *object, const char *what,
                        const struct member *members, size_t n)
{
    PC_JSON_FOREACH(a->doc, object, name)
    {
        size_t i = 0;
        while (i < n && !pc_json_equals(a->doc, name, members[i].name))
            i++;
        if (i == n)
            return refuse(a, "BAD_REQUEST", "unknown member \"%.*s\" of %s",
                          (int)pc_min_u64(name->n, 64), (const char *)a->doc->text.p + name->start,
                          what);
        int rc = members[i].read(a, pc_json_value(name));
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- "request" ---- */

static int read_method(struct asked *a, const struct pc_json_token *value)
{
    a->q.said |= PC_ROUTE_NEEDS_METHOD;
    return read_text(a, value, "request.method", &a->q.method);
}

static int read_host(struct asked *a, const struct pc_json_token *value)
{
    int rc = read_text(a, value, "request.host", &a->q.host);
    if (rc < 0)
        return rc;
    if (a->q.host.n == 0 || !pc_authority_valid(a->q.host))
        return refuse(a, "BAD_REQUEST", "request.host must be a host, with or without port");
    a->q.said |= PC_ROUTE_NEEDS_HOST;
    return 0;
}

static int read_path(struct asked *a, const struct pc_json_token *value)
{
    struct pc_bytes raw;
    int rc = read_text(a, value, "request.path", &raw);
    if (rc < 0)
        return rc;
    const uint8_t *query = raw.n ? memchr(raw.p, '?', raw.n) : NULL;
    if (query)
        raw.n = (size_t)(query - raw.p);
    _Static_assert(PC_CANONICAL_PATH_MAX <= PC_DECISION_KEYS_AT, "a path has room");
    if (raw.n > PC_CANONICAL_PATH_MAX ||
        pc_path_canonical(raw, a->w->decision_scratch, PC_CANONICAL_PATH_MAX, &a->q.path) < 0)
        return refuse(a, "PATH_AMBIGUOUS", "request.path cannot be read in one way only");
    a->q.said |= PC_ROUTE_NEEDS_PATH;
    return 0;
}

static int read_ip(struct asked *a, const struct pc_json_token *value)
{
    struct pc_bytes text;
    int rc = read_text(a, value, "request.ip", &text);
    if (rc < 0)
        return rc;
    if (pc_ip_parse(text, &a->q.client) < 0)
        return refuse(a, "BAD_REQUEST", "request.ip must be an IP address");
    a->q.client_malformed = false;
    return 0;
}

/* The first value of a header field; names compare without case. */
static struct pc_bytes header_of(void *ctx, struct pc_bytes name)
{
    struct asked *a = ctx;
    struct pc_bytes found;
    PC_JSON_FOREACH(a->doc, a->headers, member)
    {
        if (pc_json_string(a->doc, member, &a->texts, &found) < 0 ||
            !pc_bytes_eq_nocase(found, name))
            continue;
        const struct pc_json_token *value = pc_json_value(member);
        if (pc_json_type(value) == PC_JSON_ARRAY)
            value = pc_json_first(a->doc, value);
        if (pc_json_string(a->doc, value, &a->texts, &found) == 0)
            return found;
    }
    return pc_bytes_of(NULL, 0);
}

static int read_header_value(struct asked *a, const struct pc_json_token *value)
{
    bool good = pc_json_type(value) == PC_JSON_STRING;
    if (pc_json_type(value) == PC_JSON_ARRAY) {
        good = true;
        PC_JSON_FOREACH(a->doc, value, each)
        good = good && pc_json_type(each) == PC_JSON_STRING;
    }
    return good ? 0
                : refuse(a, "BAD_REQUEST", "request.headers must hold strings or lists of them");
}

static int read_headers(struct asked *a, const struct pc_json_token *value)
{
    if (pc_json_type(value) != PC_JSON_OBJECT)
        return refuse(a, "BAD_REQUEST", "request.headers must be an object");
    PC_JSON_FOREACH(a->doc, value, name)
    {
        int rc = read_header_value(a, pc_json_value(name));
        if (rc < 0)
            return rc;
    }
    a->headers = value;
    a->q.header = header_of;
    a->q.header_ctx = a;
    return 0;
}

static int read_request(struct asked *a, const struct pc_json_token *value)
{
    static const struct member members[] = {
        {"method",  read_method },
        {"host",    read_host   },
        {"path",    read_path   },
        {"headers", read_headers},
        {"ip",      read_ip     },
    };
    if (pc_json_type(value) != PC_JSON_OBJECT)
        return refuse(a, "BAD_REQUEST", "request must be an object");
    return read_members(a, value, "request", members, PC_COUNT(members));
}

/* ---- "limits" ---- */

static int read_policy(struct asked *a, const struct pc_json_token *value)
{
    struct pc_bytes name;
    int rc = read_text(a, value, "limits[].policy", &name);
    if (rc < 0)
        return rc;
    a->limits[a->q.limit_n].policy = pc_policy_find(a->q.view->settings->policies, name);
    if (!a->limits[a->q.limit_n].policy)
        return refuse(a, "POLICY_UNKNOWN", "no limit policy is named \"%.*s\"",
                      (int)pc_min_u64(name.n, 64), (const char *)name.p);
    return 0;
}

static int read_key(struct asked *a, const struct pc_json_token *value)
{
    struct pc_bytes *key = &a->limits[a->q.limit_n].key;
    int rc = read_text(a, value, "limits[].key", key);
    if (rc < 0)
        return rc;
    return key->n && key->n <= PC_LIMIT_KEY_MAX
               ? 0
               : refuse(a, "BAD_REQUEST", "limits[].key must have 1 to %d bytes", PC_LIMIT_KEY_MAX);
}

static int read_cost(struct asked *a, const struct pc_json_token *value)
{
    int64_t *cost = &a->limits[a->q.limit_n].cost;
    if (pc_json_i64(a->doc, value, cost) < 0 || *cost < 0 || *cost > COST_MAX)
        return refuse(a, "BAD_REQUEST", "limits[].cost must be a number from 0 to %lld",
                      (long long)COST_MAX);
    return 0;
}

static int read_limit(struct asked *a, const struct pc_json_token *value)
{
    static const struct member members[] = {
        {"policy", read_policy},
        {"key",    read_key   },
        {"cost",   read_cost  },
    };
    struct pc_asked_limit *limit = &a->limits[a->q.limit_n];
    *limit = (struct pc_asked_limit){.cost = -1};
    if (pc_json_type(value) != PC_JSON_OBJECT)
        return refuse(a, "BAD_REQUEST", "limits must hold objects");
    int rc = read_members(a, value, "limits[]", members, PC_COUNT(members));
    if (rc < 0)
        return rc;
    if (!limit->policy)
        return refuse(a, "BAD_REQUEST", "limits[] must name a policy");
    if (limit->cost < 0)
        limit->cost = limit->policy->cost;
    a->q.limit_n++;
    return 0;
}

static int read_limits(struct asked *a, const struct pc_json_token *value)
{
    if (pc_json_type(value) != PC_JSON_ARRAY)
        return refuse(a, "BAD_REQUEST", "limits must be an array");
    if (value->count > PC_ASKED_LIMITS_MAX)
        return refuse(a, "BAD_REQUEST", "limits: at most %d", PC_ASKED_LIMITS_MAX);
    PC_JSON_FOREACH(a->doc, value, each)
    {
        int rc = read_limit(a, each);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the rest of the question ---- */

static int read_token(struct asked *a, const struct pc_json_token *value)
{
    return read_text(a, value, "token", &a->q.token);
}

static int read_route(struct asked *a, const struct pc_json_token *value)
{
    struct pc_bytes name;
    int rc = read_text(a, value, "route", &name);
    if (rc < 0)
        return rc;
    a->q.route = pc_settings_route(a->q.view->settings, name);
    return a->q.route ? 0
                      : refuse(a, "ROUTE_UNKNOWN", "no route is named \"%.*s\"",
                               (int)pc_min_u64(name.n, 64), (const char *)name.p);
}

static bool is_asked(const struct asked *a, struct pc_bytes flag)
{
    for (unsigned i = 0; i < a->flag_n; i++)
        if (pc_bytes_eq(a->flags[i], flag))
            return true;
    return false;
}

PC_COLD static int refuse_flag(struct asked *a, struct pc_bytes key)
{
    struct pc_why why = {{0}};
    if (pc_flag_key_check(key, &why) == 0)
        return 0; /* there could be such a flag */
    return refuse(a, "FLAG_KEY_INVALID", "flags[]: %.200s", why.text);
}

static int read_flags(struct asked *a, const struct pc_json_token *value)
{
    struct pc_bytes key;
    if (pc_json_type(value) != PC_JSON_ARRAY)
        return refuse(a, "BAD_REQUEST", "flags must be an array");
    if (value->count > PC_ASKED_FLAGS_MAX)
        return refuse(a, "BAD_REQUEST", "flags: at most %d", PC_ASKED_FLAGS_MAX);
    PC_JSON_FOREACH(a->doc, value, each)
    {
        int rc = read_text(a, each, "flags[]", &key);
        if (rc < 0)
            return rc;
        const struct pc_flag *flag = pc_flags_find(a->q.view->flags, key);
        if (!flag && (rc = refuse_flag(a, key)) < 0)
            return rc;
        if (is_asked(a, key))
            continue;
        a->flags[a->flag_n] = key;
        a->found[a->flag_n++] = flag;
    }
    return 0;
}

static int read_context(struct asked *a, const struct pc_json_token *value)
{
    return pc_json_type(value) == PC_JSON_OBJECT
               ? 0
               : refuse(a, "BAD_REQUEST", "context must be an object");
}

static int read_question(struct asked *a, struct pc_bytes body, struct pc_json *doc)
{
    static const struct pc_json_limits limits = {PC_JSON_BYTES_DEFAULT, PC_JSON_DEPTH_DEFAULT,
                                                 PC_JSON_MEMBERS_DEFAULT};
    static const struct member members[] = {
        {"token",   read_token  },
        {"request", read_request},
        {"route",   read_route  },
        {"limits",  read_limits },
        {"flags",   read_flags  },
        {"context", read_context},
    };
    struct pc_json_error error;
    struct pc_why why;
    int rc = pc_json_parse(body, a->w->json, PC_WORKER_JSON_TOKENS, &limits, doc, &error);
    if (rc < 0) {
        pc_json_explain(&why, rc, body, &error);
        return refuse(a, "JSON_INVALID", "%.200s", why.text);
    }
    a->doc = doc;
    if (pc_json_type(pc_json_root(doc)) != PC_JSON_OBJECT)
        return refuse(a, "BAD_REQUEST", "the body must be an object");
    return read_members(a, pc_json_root(doc), "the body", members, PC_COUNT(members));
}

/* ---- the answer ---- */

static void put_name(struct pc_buf *b, const char *name)
{
    pc_buf_lit(b, ",\"");
    pc_buf_str(b, name);
    pc_buf_lit(b, "\":");
}

static void put_text(struct pc_buf *b, const char *name, struct pc_bytes value)
{
    put_name(b, name);
    if (value.n)
        pc_buf_json_str(b, value);
    else
        pc_buf_lit(b, "null");
}

static void put_list(struct pc_buf *b, const char *name, struct pc_bytes words)
{
    bool first = true;
    put_name(b, name);
    pc_buf_char(b, '[');
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

static void put_expiry(struct pc_buf *b, int64_t exp_ms)
{
    put_name(b, "expires_at");
    if (exp_ms == INT64_MAX)
        pc_buf_lit(b, "null");
    else
        pc_buf_i64(b, exp_ms / 1000);
}

static void put_claims(struct pc_buf *b, const struct pc_cached_token *t)
{
    if (!t) {
        pc_buf_lit(b, ",\"subject\":null,\"client\":null,\"session\":null,\"jti\":null,"
                      "\"issuer\":null,\"scopes\":[],\"roles\":[],\"expires_at\":null");
        return;
    }
    put_text(b, "subject", pc_token_part(t, PC_PART_SUBJECT));
    put_text(b, "client", pc_token_part(t, PC_PART_CLIENT));
    put_text(b, "session", pc_token_part(t, PC_PART_SESSION));
    put_text(b, "jti", pc_token_part(t, PC_PART_JTI));
    put_text(b, "issuer", pc_token_part(t, PC_PART_ISSUER));
    put_list(b, "scopes", pc_token_part(t, PC_PART_SCOPES));
    put_list(b, "roles", pc_token_part(t, PC_PART_ROLES));
    put_expiry(b, t->exp_ms);
}

static void put_limits(struct pc_buf *b, const struct pc_decision *d)
{
    put_name(b, "limits");
    pc_buf_char(b, '[');
    for (unsigned i = 0; i < d->charge_n; i++) {
        if (i)
            pc_buf_char(b, ',');
        pc_charge_write_json(b, &d->charges[i]);
    }
    pc_buf_char(b, ']');
}

/* Those asked for, null where there is none, and those of the route. */
static void put_flags(struct pc_buf *b, const struct asked *a, const struct pc_decision *d)
{
    const struct pc_flags *flags = a->q.view->flags;
    bool first = true;
    put_name(b, "flags");
    pc_buf_char(b, '{');
    for (unsigned i = 0; i < a->flag_n; i++) {
        const struct pc_flag *flag = a->found[i];
        if (!first)
            pc_buf_char(b, ',');
        first = false;
        pc_buf_json_str(b, a->flags[i]);
        pc_buf_char(b, ':');
        pc_buf_bytes(b, flag ? flag->value : PC_LIT("null"));
    }
    for (unsigned i = 0; d->allow && i < d->route->flag_n; i++) {
        const struct pc_route_flag *f = &d->route->flags[i];
        const struct pc_flag *flag = pc_flags_find_hashed(flags, f->key, f->hash);
        if (!flag || is_asked(a, f->key))
            continue;
        if (!first)
            pc_buf_char(b, ',');
        first = false;
        pc_buf_bytes(b, flag->attach);
    }
    pc_buf_char(b, '}');
}

/* What to pass on to whoever serves the request, as /v1/auth would say it. */
static void put_headers(struct pc_buf *b, const struct pc_decision *d)
{
    put_name(b, "headers");
    pc_buf_char(b, '{');
    if (d->allow) {
#define PUT_HEADER(part, name)                                                                     \
    pc_buf_lit(b, "\"" name "\":");                                                                \
    pc_buf_json_str(b, d->identity ? pc_token_part(d->identity, PC_PART_##part)                    \
                                   : pc_bytes_of(NULL, 0));                                        \
    pc_buf_char(b, ',');
        PC_IDENTITY_HEADERS(PUT_HEADER)
#undef PUT_HEADER
        pc_buf_lit(b, "\"X-Portcullis-Route\":");
        pc_buf_json_str(b, d->route->name);
    }
    if (d->allow && d->code) {
        pc_buf_lit(b, ",\"X-Portcullis-Shadow\":");
        pc_buf_json_str(b, pc_bytes_str(pc_decision_code_info(d->code)->code));
    }
    pc_buf_char(b, '}');
}

static void put_outcome(struct pc_buf *b, const struct pc_decision *d)
{
    const struct pc_decision_code_info *info =
        pc_decision_code_info(d->allow ? PC_DECISION_OK : d->code);
    pc_buf_str(b, d->allow ? "{\"allow\":true,\"code\":\"" : "{\"allow\":false,\"code\":\"");
    pc_buf_str(b, info->code);
    pc_buf_lit(b, "\",\"status\":");
    pc_buf_u64(b, info->status);
}

static void put_answer(struct pc_buf *b, const struct asked *a, const struct pc_decision *d)
{
    put_outcome(b, d);
    /* A refused token still says whose it is. One that passes only because its route is in shadow
     * mode must not: who reads "allow" and "subject" would take its word. */
    put_claims(b, d->allow ? d->identity : d->verdict.token);
    put_limits(b, d);
    put_flags(b, a, d);
    put_headers(b, d);
    pc_buf_char(b, '}');
}

/* ---- the whole ---- */

/* Whether this may charge a limit. Routes are told apart by the decision only: where one of them
 * has limits, all count. */
static bool charges(const struct asked *a)
{
    return a->q.limit_n > 0 ||
           (a->q.route ? a->q.route->limit_n > 0 : a->q.view->settings->charges);
}

static int begin(struct pc_worker *w, struct pc_bytes body, const struct pc_check_asker *asker,
                 struct pc_check_result *ret, struct asked *a, struct pc_json *doc)
{
    a->w = w;
    a->q = (struct pc_question){
        .view = pc_server_view(w->server),
        .client = asker->client,
        .client_malformed = asker->client_malformed,
        .listener = asker->listener,
        .limits = a->limits,
        .dry_run = asker->explain,
    };
    a->flag_n = 0;
    a->headers = NULL;
    a->texts = pc_buf_of(w->scratch, TEXT_BYTES);
    a->refusal = &ret->refusal;
    ret->settings = a->q.view->settings;
    int rc = read_question(a, body, doc);
    return rc == 0 && asker->may_only_look && charges(a) ? -EACCES : rc;
}

static void explain(struct asked *a, struct pc_decision *d, struct pc_buf *answer)
{
    uint8_t text[STEPS_BYTES];
    struct pc_buf steps = pc_buf_of(text, sizeof text);
    struct pc_trace trace = {&steps, 0};
    a->q.trace = &trace;
    pc_decision_make(a->w, &a->q, d);
    answer->overflow = steps.overflow;
    put_outcome(answer, d);
    put_text(answer, "route", d->route ? d->route->name : pc_bytes_of(NULL, 0));
    put_text(answer, "shadow",
             d->allow && d->code ? pc_bytes_str(pc_decision_code_info(d->code)->code)
                                 : pc_bytes_of(NULL, 0));
    put_name(answer, "steps");
    pc_buf_char(answer, '[');
    pc_buf_put(answer, steps.p, steps.len);
    pc_buf_lit(answer, "]}");
}

int pc_check(struct pc_worker *w, struct pc_bytes body, const struct pc_check_asker *asker,
             struct pc_check_result *ret)
{
    struct asked a;
    struct pc_json doc;
    struct pc_buf answer = pc_buf_of(w->scratch + TEXT_BYTES, ANSWER_BYTES);
    int rc = begin(w, body, asker, ret, &a, &doc);
    if (rc < 0)
        return rc;
    if (asker->explain) {
        explain(&a, &ret->decision, &answer);
    } else {
        pc_decision_make(w, &a.q, &ret->decision);
        put_answer(&answer, &a, &ret->decision);
    }
    ret->answer = pc_bytes_of(answer.p, answer.len);
    return answer.overflow ? PC_E_TOO_LARGE : 0;
}

static void handle(struct pc_call *call, bool explain_it)
{
    struct pc_check_asker asker = {
        .client = call->client,
        .client_malformed = call->client_malformed,
        .listener = pc_listener_of(call->conn)->index,
        .explain = explain_it,
    };
    struct pc_check_result result;
    int rc = pc_check(call->worker, call->body, &asker, &result);
    if (rc == -EINVAL) {
        pc_call_reply_error(call, 400, result.refusal.code, "%s", result.refusal.text);
        return;
    }
    if (!explain_it)
        pc_log_decision(call, result.settings, &result.decision);
    if (rc < 0)
        pc_call_reply_error(call, 500, "ANSWER_TOO_LARGE",
                            "the token's claims or the flags are too large");
    else
        pc_call_reply_json(call, 200, result.answer);
}

void pc_handle_check(struct pc_call *call)
{
    handle(call, false);
}

void pc_handle_explain(struct pc_call *call)
{
    handle(call, true);
}
