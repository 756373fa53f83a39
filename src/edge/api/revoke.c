/* SPDX-License-Identifier: Apache-2.0
 * POST and DELETE /v1/revoke, GET /v1/revocations/{kind}/{id}.
 *
 * A body is one object or an array of them; either all of it is done or nothing. The answer leaves
 * when the writer has made it durable and visible. */
#include <stdlib.h>

#include "base/config_value.h"
#include "edge/api/decide.h"
#include "edge/api/endpoint.h"
#include "edge/api/mutate.h"
#include "edge/api/submit.h"

/* JSON values of one body: an array of PC_JOB_CHANGES_MAX objects of ten members. */
#define BODY_TOKENS_MAX 131072u

struct reading {
    struct pc_call *call;
    struct pc_json doc;
    struct pc_buf texts; /* unescaped strings */
    enum pc_op op;
    struct pc_mutation_refusal refusal;
};

typedef int member_fn(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish);

static int bad(struct reading *r, const char *text)
{
    return pc_mutation_refuse(&r->refusal, 400, "BAD_REQUEST", "%s", text);
}

static int read_string(struct reading *r, const struct pc_json_token *v, const char *what,
                       struct pc_bytes *ret)
{
    if (pc_json_string(&r->doc, v, &r->texts, ret) == 0)
        return 0;
    return pc_mutation_refuse(&r->refusal, 400, "BAD_REQUEST", "%s must be a string", what);
}

static int read_kind(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    struct pc_bytes name;
    int rc = read_string(r, v, "kind", &name);
    if (rc < 0)
        return rc;
    wish->kind = pc_kind_of_name(name);
    return wish->kind
               ? 0
               : pc_mutation_refuse(&r->refusal, 400, "KIND_UNKNOWN", "there is no kind \"%.*s\"",
                                    (int)pc_min_u64(name.n, 64), (const char *)name.p);
}

static int read_issuer(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    wish->have_issuer = true;
    return read_string(r, v, "issuer", &wish->issuer);
}

static int read_id(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    return read_string(r, v, "id", &wish->id);
}

static int read_reason(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    return read_string(r, v, "reason", &wish->reason);
}

/* Seconds as a number, or a duration such as "15m". */
static int read_ttl(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    struct pc_bytes text;
    int rc = pc_json_type(v) == PC_JSON_STRING ? pc_json_string(&r->doc, v, &r->texts, &text)
                                               : pc_json_scaled(&r->doc, v, 3, &wish->ttl_ms, NULL);
    if (rc == 0 && pc_json_type(v) == PC_JSON_STRING)
        rc = pc_duration_parse(text, &wish->ttl_ms);
    if (rc < 0 || wish->ttl_ms <= 0)
        return pc_mutation_refuse(&r->refusal, 400, "TTL_INVALID",
                                  "ttl is a positive number of seconds or a duration like \"15m\"");
    return 0;
}

static int read_expires_at(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    if (pc_json_scaled(&r->doc, v, 3, &wish->expires_at_ms, NULL) < 0 || wish->expires_at_ms <= 0)
        return pc_mutation_refuse(&r->refusal, 400, "TTL_INVALID",
                                  "expires_at is a time in Unix seconds");
    return 0;
}

static int read_cutoff(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    return pc_json_bool(&r->doc, v, &wish->cutoff) < 0 ? bad(r, "cutoff must be true or false") : 0;
}

/* The claims of a decision live in the core's cache only until the next one: copy what is used. */
static int keep(struct reading *r, struct pc_bytes *s)
{
    size_t at = r->texts.len;
    pc_buf_bytes(&r->texts, *s);
    if (r->texts.overflow)
        return pc_mutation_refuse(&r->refusal, 413, "BODY_TOO_LARGE", "too many tokens at once");
    *s = pc_bytes_of(r->texts.p + at, s->n);
    return 0;
}

static int read_token(struct reading *r, const struct pc_json_token *v, struct pc_wish *wish)
{
    struct pc_bytes token;
    int rc = read_string(r, v, "token", &token);
    if (rc == 0)
        rc = pc_mutation_of_token(r->call->worker, token, &r->call->client, wish, &r->refusal);
    if (rc == 0)
        rc = keep(r, &wish->id);
    return rc;
}

static const struct {
    const char *name;
    member_fn *read;
} members[] = {
    {"kind",       read_kind      },
    {"issuer",     read_issuer    },
    {"id",         read_id        },
    {"ttl",        read_ttl       },
    {"expires_at", read_expires_at},
    {"reason",     read_reason    },
    {"cutoff",     read_cutoff    },
    {"token",      read_token     },
};

static int read_member(struct reading *r, const struct pc_json_token *name, struct pc_wish *wish)
{
    for (size_t i = 0; i < PC_COUNT(members); i++)
        if (pc_json_equals(&r->doc, name, members[i].name))
            return members[i].read(r, pc_json_value(name), wish);
    return pc_mutation_refuse(&r->refusal, 400, "BAD_REQUEST", "unknown member \"%.*s\"",
                              (int)pc_min_u64(name->n, 64),
                              (const char *)r->doc.text.p + name->start);
}

/* A token names kind, issuer and id itself. */
static int check_members(struct reading *r, const struct pc_json_token *object)
{
    if (!pc_json_member(&r->doc, object, "token"))
        return 0;
    if (pc_json_member(&r->doc, object, "kind") || pc_json_member(&r->doc, object, "issuer") ||
        pc_json_member(&r->doc, object, "id"))
        return bad(r, "give token, or kind, issuer and id");
    return 0;
}

static int read_object(struct reading *r, const struct pc_json_token *object, struct pc_change *c)
{
    struct pc_wish wish = {.op = r->op};
    if (pc_json_type(object) != PC_JSON_OBJECT)
        return bad(r, "expected an object, or an array of objects");
    int rc = check_members(r, object);
    PC_JSON_FOREACH(&r->doc, object, name)
    {
        if (rc == 0)
            rc = read_member(r, name, &wish);
    }
    return rc < 0 ? rc
                  : pc_mutation_resolve(r->call->worker, &wish, r->call->principal.role, c,
                                        &r->refusal);
}

static int add(struct reading *r, const struct pc_json_token *object, struct pc_job *job)
{
    uint8_t address[PC_IP_TEXT_MAX];
    struct pc_change c;
    int rc = read_object(r, object, &c);
    if (rc < 0)
        return rc;
    pc_call_stamp(r->call, &c, address);
    if (pc_job_add(job, &c) < 0)
        return pc_mutation_refuse(&r->refusal, 413, "BATCH_TOO_LARGE",
                                  "this batch does not fit one journal record group: send less "
                                  "than %d entries and 1 MB at once",
                                  PC_JOB_CHANGES_MAX);
    return 0;
}

static struct pc_job *job_for(struct reading *r, uint32_t count)
{
    size_t audit = PC_ACTOR_MAX + PC_SOURCE_MAX + PC_REQUEST_ID_MAX;
    size_t want = r->doc.text.n + (size_t)count * (audit + PC_ISSUER_MAX);
    size_t room = PC_JOB_BYTES_MAX - (size_t)count * PC_JOB_CHANGE_OVERHEAD;
    if (count == 0) {
        bad(r, "an empty array");
        return NULL;
    }
    if (count > PC_JOB_CHANGES_MAX) {
        pc_mutation_refuse(&r->refusal, 413, "BATCH_TOO_LARGE", "at most %d entries at once",
                           PC_JOB_CHANGES_MAX);
        return NULL;
    }
    struct pc_job *job = pc_job_new(count, pc_min_u64(want, room));
    if (!job)
        pc_mutation_refuse(&r->refusal, 503, "NO_MEMORY", "no memory for this batch");
    return job;
}

static struct pc_job *read_job(struct reading *r)
{
    const struct pc_json_token *root = pc_json_root(&r->doc);
    bool array = pc_json_type(root) == PC_JSON_ARRAY;
    struct pc_job *job = job_for(r, array ? root->count : 1);
    if (!job)
        return NULL;
    int rc = array ? 0 : add(r, root, job);
    PC_JSON_FOREACH(&r->doc, array ? root : NULL, element)
    {
        if (rc == 0)
            rc = add(r, element, job);
    }
    if (rc == 0)
        return job;
    pc_job_free(job);
    return NULL;
}

/* ---- the answer ---- */

static void put_time(struct pc_buf *b, const char *name, int64_t ms)
{
    pc_buf_fmt(b, ",\"%s\":", name);
    if (ms <= 0 || ms == INT64_MAX)
        pc_buf_lit(b, "null");
    else
        pc_buf_fmt(b, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
}

static void put_change(struct pc_buf *b, const struct pc_change *c)
{
    pc_buf_fmt(b, ",\"kind\":\"%s\",\"issuer\":", pc_kind_name(c->kind));
    pc_buf_json_str(b, c->issuer);
    pc_buf_lit(b, ",\"id\":");
    pc_buf_json_str(b, c->id);
}

static void answer_done(struct pc_call *call, const struct pc_job *job)
{
    struct pc_buf b = pc_call_scratch(call);
    const struct pc_job_item *first = &job->items[0];
    uint32_t changed = 0;
    bool revoke = first->change.op == PC_OP_REVOKE;
    for (uint32_t i = 0; i < job->count; i++)
        changed += job->items[i].was_refused != revoke;
    pc_buf_fmt(&b, "{\"%s\":%u,\"changed\":%u", revoke ? "revoked" : "unrevoked", job->count,
               changed);
    if (job->count == 1) {
        put_change(&b, &first->change);
        put_time(&b, revoke ? "revoked_at" : "cleared_at", first->change.at_ms);
        if (revoke)
            put_time(&b, "expires_at", first->change.expires_at_ms);
        if (first->change.cutoff_ms)
            put_time(&b, "cutoff", first->change.cutoff_ms);
    }
    pc_buf_lit(&b, "}\n");
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

static void mutation_done(struct pc_job *job)
{
    struct pc_call *call = pc_call_of_job(job);
    if (call && job->result == 0)
        answer_done(call, job);
    else if (call)
        pc_call_reply_job_failed(call, job->result);
    if (call)
        pc_call_done(call);
    pc_job_free(job);
}

static void mutate(struct pc_call *call, struct pc_json_token *tokens, uint32_t max, uint8_t *texts,
                   enum pc_op op)
{
    static const struct pc_json_limits limits = {PC_JSON_BYTES_DEFAULT, PC_JSON_DEPTH_DEFAULT,
                                                 PC_JSON_MEMBERS_DEFAULT};
    struct reading r = {.call = call, .op = op, .texts = pc_buf_of(texts, 2 * call->body.n)};
    struct pc_json_error error;
    struct pc_why why;
    int rc = pc_json_parse(call->body, tokens, max, &limits, &r.doc, &error);
    if (rc < 0) {
        pc_json_explain(&why, rc, call->body, &error);
        pc_call_reply_error(call, 400, "JSON_INVALID", "%.300s", why.text);
        return;
    }
    struct pc_job *job = read_job(&r);
    if (job)
        pc_call_submit(call, job, mutation_done);
    else
        pc_call_reply_error(call, r.refusal.status, r.refusal.code, "%s", r.refusal.text);
}

static void handle(struct pc_call *call, enum pc_op op)
{
    uint32_t max = (uint32_t)pc_min_u64(call->body.n / 2 + 16, BODY_TOKENS_MAX);
    size_t tokens_n = (size_t)max * sizeof(struct pc_json_token);
    uint8_t *memory = malloc(tokens_n + 2 * call->body.n);
    if (!memory) {
        pc_call_reply_busy(call, "NO_MEMORY", "no memory to read this body", 1);
        return;
    }
    mutate(call, (struct pc_json_token *)(void *)memory, max, memory + tokens_n, op);
    free(memory);
}

void pc_handle_revoke(struct pc_call *call)
{
    handle(call, PC_OP_REVOKE);
}

void pc_handle_unrevoke(struct pc_call *call)
{
    handle(call, PC_OP_CLEAR);
}

/* ---- GET /v1/revocations/{kind}/{id} ---- */

static int look_up_task(struct pc_writer *w, struct pc_job *job)
{
    pc_writer_look_up(w, &job->items[0].change, &job->items[0].state);
    return 0;
}

static void look_up_done(struct pc_job *job)
{
    struct pc_call *call = pc_call_of_job(job);
    const struct pc_revocation_state *state = &job->items[0].state;
    if (call) {
        struct pc_buf b = pc_call_scratch(call);
        pc_buf_fmt(&b, "{\"revoked\":%s", state->refused ? "true" : "false");
        put_change(&b, &job->items[0].change);
        put_time(&b, "since", state->revoked_at_ms);
        put_time(&b, "cleared_at", state->cleared_at_ms);
        put_time(&b, "expires_at", state->expires_at_ms);
        put_time(&b, "cutoff", state->cutoff_ms);
        pc_buf_lit(&b, "}\n");
        pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
        pc_call_done(call);
    }
    pc_job_free(job);
}

/* Percent-decodes a value of the query into b. */
static int decode_value(struct pc_bytes raw, struct pc_buf *b, struct pc_bytes *ret)
{
    size_t start = b->len;
    for (size_t i = 0; i < raw.n; i++) {
        uint8_t c = raw.p[i];
        if (c == '%') {
            if (i + 2 >= raw.n || pc_hex_decode(pc_bytes_of(raw.p + i + 1, 2), &c, 1) < 0)
                return -EINVAL;
            i += 2;
        }
        pc_buf_put(b, &c, 1);
    }
    *ret = pc_bytes_of(b->p + start, b->len - start);
    return b->overflow ? -EINVAL : 0;
}

/* issuer=…&id=…, each at most once, nothing else. */
static int read_query(struct pc_bytes query, struct pc_buf *b, struct pc_wish *wish)
{
    while (query.n) {
        const uint8_t *end = memchr(query.p, '&', query.n);
        size_t n = end ? (size_t)(end - query.p) : query.n;
        struct pc_bytes pair = pc_bytes_of(query.p, n), *field = NULL;
        size_t name_n = 0;
        if (n >= 7 && memcmp(pair.p, "issuer=", 7) == 0) {
            field = &wish->issuer;
            name_n = 7;
        } else if (n >= 3 && memcmp(pair.p, "id=", 3) == 0) {
            field = &wish->id;
            name_n = 3;
        }
        if (!field || field->n ||
            decode_value(pc_bytes_of(pair.p + name_n, n - name_n), b, field) < 0)
            return -EINVAL;
        query = pc_bytes_of(query.p + n + (end != NULL), query.n - n - (end != NULL));
    }
    return 0;
}

/* The path names the id, or "-" where it stands in the query (it may hold a slash, which no path
 * may) or there is none (issuer, all). */
static int read_look_up(struct pc_call *call, struct pc_buf *texts, struct pc_change *c,
                        struct pc_mutation_refusal *refusal)
{
    struct pc_wish wish = {.op = PC_OP_CLEAR, .kind = pc_kind_of_name(call->params[0])};
    if (read_query(call->query, texts, &wish) < 0)
        return pc_mutation_refuse(refusal, 400, "BAD_REQUEST",
                                  "the query may hold issuer=… and id=…, percent-encoded");
    bool named = !pc_bytes_eq_str(call->params[1], "-");
    if (named && wish.id.n)
        return pc_mutation_refuse(refusal, 400, "BAD_REQUEST",
                                  "give the id in the path or in the query, not in both");
    if (named && wish.kind == PC_KIND_ISSUER)
        wish.issuer = call->params[1];
    else if (named && wish.kind != PC_KIND_ALL)
        wish.id = call->params[1];
    wish.have_issuer = wish.issuer.n != 0;
    return pc_mutation_resolve(call->worker, &wish, PC_ADMIN_ADMIN, c, refusal);
}

void pc_handle_revocation(struct pc_call *call)
{
    struct pc_mutation_refusal refusal;
    struct pc_buf texts = pc_call_scratch(call);
    struct pc_change c;
    if (read_look_up(call, &texts, &c, &refusal) < 0) {
        pc_call_reply_error(call, refusal.status, refusal.code, "%s", refusal.text);
        return;
    }
    struct pc_job *job = pc_job_new(1, c.issuer.n + c.id.n);
    if (!job) {
        pc_call_reply_busy(call, "NO_MEMORY", "no memory to look this up", 1);
        return;
    }
    pc_job_add(job, &c);
    job->task = look_up_task;
    pc_call_submit(call, job, look_up_done);
}
