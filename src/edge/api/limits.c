/* SPDX-License-Identifier: Apache-2.0
 * POST, GET and DELETE /v1/limits/{policy}/{key}; GET /admin/limits/top.
 *
 * The key is what the policy's template makes of a request (policies.h), or any text the caller
 * counts by. An answer that refuses has the same members as one that allows, and "error" beside
 * them. */
#include "edge/api/limits.h"

#include <stdlib.h>

#include "edge/api/audit_note.h"
#include "edge/api/decision_codes.h"
#include "edge/api/endpoint.h"
#include "edge/api/offload.h"
#include "edge/api/settings.h"

/* JSON values of a body: {"cost":n}. */
#define BODY_TOKENS_MAX 8
/* A key at six bytes a byte (\u0000), and all the rest. */
#define ANSWER_MAX (6 * PC_LIMIT_KEY_MAX + 2048)
/* Entries of /admin/limits/top. */
#define TOP_ENTRIES_MAX 100

/* ---- the question ---- */

struct pc_limit_user pc_limit_user_of(struct pc_worker *w, const struct pc_view *view)
{
    return (struct pc_limit_user){.core = w->core->index,
                                  .strict = view->flags->rate_limit_strict,
                                  .now_ns = w->core->now_ns,
                                  .now_ms = w->core->now_ms,
                                  .top = w->top};
}

/* One question about one key; false: replied to. */
struct question {
    struct pc_limit_user user;
    struct pc_charge charge;
    uint8_t key[PC_LIMIT_KEY_MAX];
};

static bool bad(struct pc_call *call, const char *text)
{
    pc_call_reply_error(call, 400, "BAD_REQUEST", "%s", text);
    return false;
}

static bool read_cost(struct pc_call *call, int64_t *cost)
{
    static const struct pc_json_limits limits = {1024, 2, BODY_TOKENS_MAX};
    struct pc_json_token tokens[BODY_TOKENS_MAX];
    struct pc_json_error error;
    struct pc_json doc;
    struct pc_why why;
    if (call->body.n == 0)
        return true;
    int rc = pc_json_parse(call->body, tokens, BODY_TOKENS_MAX, &limits, &doc, &error);
    if (rc < 0) {
        pc_json_explain(&why, rc, call->body, &error);
        pc_call_reply_error(call, 400, "JSON_INVALID", "%.200s", why.text);
        return false;
    }
    if (pc_json_type(pc_json_root(&doc)) != PC_JSON_OBJECT)
        return bad(call, "the body must be an object");
    PC_JSON_FOREACH(&doc, pc_json_root(&doc), name)
    {
        if (!pc_json_equals(&doc, name, "cost"))
            return bad(call, "the body may have the member cost and no other");
        if (pc_json_i64(&doc, pc_json_value(name), cost) < 0 || *cost < 0 ||
            *cost > PC_RATE_COUNT_MAX)
            return bad(call, "cost must be a whole number from 0 to 1000000000");
    }
    return true;
}

/* The policy and the key of the path. cost < 0: the policy's. */
static bool open_question(struct pc_call *call, int64_t cost, struct question *q)
{
    struct pc_worker *w = call->worker;
    const struct pc_view *view = pc_server_view(w->server);
    const struct pc_policy *p = pc_policy_find(view->settings->policies, call->params[0]);
    struct pc_buf text = pc_buf_of(q->key, sizeof q->key);
    if (!p) {
        pc_call_reply_error(call, 404, "POLICY_UNKNOWN", "there is no limit policy \"%.*s\"",
                            (int)pc_min_u64(call->params[0].n, 64),
                            (const char *)call->params[0].p);
        return false;
    }
    q->user = pc_limit_user_of(w, view);
    if (pc_charge_of_key(&q->charge, p, cost < 0 ? p->cost : cost, call->params[1], &text) < 0) {
        pc_call_reply_error(call, 400, "BAD_REQUEST", "the key must have 1 to %d bytes",
                            PC_LIMIT_KEY_MAX);
        return false;
    }
    return true;
}

/* ---- the answer ---- */

static enum pc_decision_code code_of(enum pc_limit_outcome outcome)
{
    switch (outcome) {
    case PC_LIMIT_PASSED: return PC_DECISION_OK;
    case PC_LIMIT_SHADOWED:
    case PC_LIMIT_EXCEEDED: return PC_DECISION_RATE_LIMITED;
    case PC_LIMIT_UNCOUNTED:
    case PC_LIMIT_UNAVAILABLE: break;
    }
    return PC_DECISION_LIMIT_UNAVAILABLE;
}

/* Everything of the answer but the closing brace: the members of limits[] and some more. */
static void put_answer(struct pc_buf *b, const struct pc_charge *c)
{
    pc_buf_fmt(
        b, "{\"allow\":%s,\"code\":\"%s\",\"key\":", pc_limit_passes(c->outcome) ? "true" : "false",
        pc_decision_code_info(code_of(c->outcome))->code);
    pc_buf_json_str(b, c->key);
    pc_buf_fmt(b, ",\"cost\":%lld,", (long long)c->cost);
    size_t brace = b->len;
    pc_charge_write_json(b, c);
    PC_ASSERT(!b->overflow && b->p[brace] == '{' && b->p[b->len - 1] == '}');
    memmove(b->p + brace, b->p + brace + 1, b->len - brace - 1);
    b->len -= 2;
}

static void put_error(struct pc_call *call, struct pc_buf *b, const struct pc_charge *c)
{
    const struct pc_decision_code_info *info = pc_decision_code_info(code_of(c->outcome));
    pc_buf_lit(b, ",\"error\":{\"code\":");
    pc_buf_json_str(b, pc_bytes_str(info->code));
    pc_buf_lit(b, ",\"message\":");
    pc_buf_json_str(b, c->outcome == PC_LIMIT_EXCEEDED && c->result.retry_after_ns == PC_LIMIT_NEVER
                           ? PC_LIT("the cost is above the limit: it never passes")
                           : pc_bytes_str(info->text));
    pc_buf_lit(b, ",\"request_id\":");
    pc_buf_json_str(b, pc_call_request_id(call));
    pc_buf_char(b, '}');
}

static void reply_charge(struct pc_call *call, const struct pc_charge *c, unsigned status)
{
    uint8_t body[ANSWER_MAX], fields[PC_LIMIT_FIELDS_MAX(1)];
    struct pc_buf b = pc_buf_of(body, sizeof body), f = pc_buf_of(fields, sizeof fields);
    put_answer(&b, c);
    if (status != 200)
        put_error(call, &b, c);
    pc_buf_lit(&b, "}\n");
    pc_limits_write_fields(&f, c, 1);
    PC_ASSERT(!b.overflow && !f.overflow);
    pc_call_reply(
        call, &(struct pc_reply){.status = status,
                                 .content_type = "application/json",
                                 .body = pc_bytes_of(b.p, b.len),
                                 .fields = pc_bytes_of(f.p, f.len),
                                 .retry_after_s = status != 200 ? pc_charge_retry_after_s(c) : 0});
}

void pc_handle_limit_take(struct pc_call *call)
{
    struct question q;
    int64_t cost = -1;
    if (!read_cost(call, &cost) || !open_question(call, cost, &q))
        return;
    pc_charges_take(&q.charge, 1, &q.user);
    reply_charge(call, &q.charge,
                 pc_limit_passes(q.charge.outcome)
                     ? 200
                     : pc_decision_code_info(code_of(q.charge.outcome))->status);
}

void pc_handle_limit_peek(struct pc_call *call)
{
    struct question q;
    if (!open_question(call, -1, &q))
        return;
    pc_charges_peek(&q.charge, 1, &q.user);
    reply_charge(call, &q.charge, 200);
}

void pc_handle_limit_reset(struct pc_call *call)
{
    struct question q;
    uint8_t body[ANSWER_MAX];
    struct pc_buf b = pc_buf_of(body, sizeof body);
    if (!open_question(call, -1, &q))
        return;
    bool known = pc_charge_reset(&q.charge, &q.user);
    pc_buf_lit(&b, "{\"policy\":");
    pc_buf_json_str(&b, pc_bytes_str(q.charge.policy->name));
    pc_buf_lit(&b, ",\"key\":");
    pc_buf_json_str(&b, q.charge.key);
    pc_buf_fmt(&b, ",\"reset\":%s}\n", known ? "true" : "false");
    PC_ASSERT(!b.overflow);
    pc_audit_note_reply(call, "limit_reset", pc_bytes_of(b.p, b.len));
}

/* ---- top ---- */

static void put_entry(struct pc_buf *b, const struct pc_top_entry *e, bool first)
{
    pc_buf_str(b, first ? "\n{\"policy\":" : ",\n{\"policy\":");
    pc_buf_json_str(b, pc_bytes_str(e->policy));
    pc_buf_lit(b, ",\"key\":");
    pc_buf_json_str(b, pc_bytes_str(e->key));
    pc_buf_fmt(b,
               ",\"count\":%llu,\"error\":%llu,\"refused\":%llu,\"near_limit\":%llu,"
               "\"last_ms\":%lld}",
               (unsigned long long)e->count, (unsigned long long)e->error,
               (unsigned long long)e->refused, (unsigned long long)e->near, (long long)e->last_ms);
}

static void no_memory(struct pc_errand *e)
{
    e->status = 503;
    e->code = "NO_MEMORY";
    pc_fail(&e->why, 0, "no memory for the list");
}

static void render_top(struct pc_server *s, struct pc_errand *e)
{
    const size_t room = (size_t)TOP_ENTRIES_MAX * (6 * (PC_TOP_TEXT_MAX + PC_TOP_POLICY_MAX) + 256);
    struct pc_top_entry *all = malloc((size_t)s->cores * PC_TOP_KEYS * sizeof *all);
    unsigned n = 0;
    e->body = malloc(room);
    if (!all || !e->body) {
        free(all);
        no_memory(e);
        return;
    }
    for (unsigned i = 0; i < s->cores; i++)
        n += pc_top_keys_read(s->workers[i].top, all + n);
    n = pc_top_entries_merge(all, n);
    struct pc_buf b = pc_buf_of(e->body, room);
    pc_buf_fmt(&b, "{\"half_life_s\":%lld,\"keys\":[",
               (long long)(PC_TOP_HALF_LIFE_NS / 1000000000));
    for (unsigned i = 0; i < n && i < TOP_ENTRIES_MAX; i++)
        put_entry(&b, &all[i], i == 0);
    pc_buf_lit(&b, "]}\n");
    PC_ASSERT(!b.overflow);
    free(all);
    e->status = 200;
    e->content_type = "application/json";
    e->body_n = b.len;
}

void pc_handle_limits_top(struct pc_call *call)
{
    pc_offload(call, render_top);
}
