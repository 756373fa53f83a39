/* SPDX-License-Identifier: Apache-2.0
 * GET /flags, GET, POST and DELETE /flags/{key}, POST /admin/flags/reload.
 *
 * A flag is read from the view; a change goes to the writer and is answered when it is durable and
 * visible. Runs on a core, but for what is offloaded: reading the file again, and a list too large
 * for the core's scratch memory. */
#include <stdlib.h>

#include "edge/api/endpoint.h"
#include "edge/api/flags_api.h"
#include "edge/api/main_tasks.h"
#include "edge/api/mutate.h"
#include "edge/api/offload.h"
#include "edge/api/submit.h"

#define LIST_BYTES_FIRST (256u << 10)
#define LIST_BYTES_MAX   (256u << 20) /* more than any set of flags within its limits needs */

/* ---- reading ---- */

static void put_member(struct pc_buf *b, const char *name, struct pc_bytes text)
{
    pc_buf_fmt(b, ",\"%s\":", name);
    pc_buf_json_str(b, text);
}

static void put_value(struct pc_buf *b, struct pc_bytes value)
{
    pc_buf_lit(b, "\"value\":");
    pc_buf_bytes(b, value);
}

static void put_list(struct pc_buf *b, const struct pc_flags *f)
{
    pc_buf_fmt(b, "{\"message\":\"%u flags\",\"flags\":{", f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        const struct pc_flag *flag = &f->flags[i];
        pc_buf_str(b, i ? "," : "");
        pc_buf_json_str(b, flag->key);
        pc_buf_lit(b, ":{");
        put_value(b, flag->value);
        put_member(b, "source", flag->source);
        put_member(b, "type", pc_bytes_str(pc_flag_type_name(flag->type)));
        put_member(b, "category", flag->category);
        put_member(b, "description", flag->description);
        pc_buf_char(b, '}');
    }
    pc_buf_fmt(b, "},\"total\":%u}\n", f->count);
}

/* Main thread: the same into memory as large as it takes. */
static void render_list(struct pc_server *s, struct pc_errand *e)
{
    pc_rcu_online();
    const struct pc_flags *f = pc_server_view(s)->flags;
    for (size_t cap = LIST_BYTES_FIRST; cap <= LIST_BYTES_MAX; cap *= 2) {
        free(e->body);
        e->body = malloc(cap);
        if (!e->body)
            break;
        struct pc_buf b = pc_buf_of(e->body, cap);
        put_list(&b, f);
        e->body_n = b.len;
        if (!b.overflow)
            break;
    }
    pc_rcu_offline();
    e->status = 200;
    e->content_type = "application/json";
    if (e->body)
        return;
    e->status = 503;
    e->code = "NO_MEMORY";
    pc_fail(&e->why, 0, "no memory to list the flags");
}

void pc_handle_flags(struct pc_call *call)
{
    struct pc_buf b = pc_call_scratch(call);
    put_list(&b, pc_server_view(call->worker->server)->flags);
    if (b.overflow)
        pc_offload(call, render_list);
    else
        pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

static void reply_not_found(struct pc_call *call, struct pc_bytes key)
{
    pc_call_reply_error(call, 404, "FLAG_NOT_FOUND", "there is no flag %.*s",
                        (int)pc_min_u64(key.n, PC_FLAG_KEY_MAX), (const char *)key.p);
}

/* "key", "value" and "source", which all answers about one flag have. */
static void put_flag(struct pc_buf *b, const struct pc_flag *flag)
{
    pc_buf_lit(b, "\"flag\":{\"key\":");
    pc_buf_json_str(b, flag->key);
    pc_buf_char(b, ',');
    put_value(b, flag->value);
    put_member(b, "source", flag->source);
}

void pc_handle_flag(struct pc_call *call)
{
    struct pc_bytes key = call->params[0];
    const struct pc_flag *flag = pc_flags_find(pc_server_view(call->worker->server)->flags, key);
    struct pc_buf b = pc_call_scratch(call);
    if (!flag) {
        reply_not_found(call, key);
        return;
    }
    pc_buf_lit(&b, "{\"message\":");
    pc_buf_json_str(&b, flag->description.n ? flag->description : flag->key);
    pc_buf_char(&b, ',');
    put_flag(&b, flag);
    put_member(&b, "type", pc_bytes_str(pc_flag_type_name(flag->type)));
    put_member(&b, "category", flag->category);
    pc_buf_lit(&b, "}}\n");
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

/* ---- what an administrator sends ---- */

struct wish {
    struct pc_json doc;
    const struct pc_json_token *value;
    bool ephemeral;
    struct pc_bytes reason;
    struct pc_buf texts;
    struct pc_mutation_refusal refusal;
};

static int bad(struct wish *w, const char *text)
{
    return pc_mutation_refuse(&w->refusal, 400, "BAD_REQUEST", "%s", text);
}

static int read_reason(struct wish *w, const struct pc_json_token *v)
{
    if (pc_json_type(v) != PC_JSON_STRING)
        return bad(w, "reason must be a string");
    if (pc_json_string(&w->doc, v, &w->texts, &w->reason) < 0 || w->reason.n > PC_REASON_MAX)
        return pc_mutation_refuse(&w->refusal, 400, "BAD_REQUEST", "reason has at most %d bytes",
                                  PC_REASON_MAX);
    return 0;
}

static int read_member(struct wish *w, const struct pc_json_token *name)
{
    const struct pc_json_token *v = pc_json_value(name);
    if (pc_json_equals(&w->doc, name, "value")) {
        w->value = v;
        return 0;
    }
    if (pc_json_equals(&w->doc, name, "reason"))
        return read_reason(w, v);
    if (!pc_json_equals(&w->doc, name, "ephemeral"))
        return pc_mutation_refuse(&w->refusal, 400, "BAD_REQUEST",
                                  "unknown member \"%.*s\" (there are value, ephemeral and reason)",
                                  (int)pc_min_u64(name->n, 64),
                                  (const char *)w->doc.text.p + name->start);
    return pc_json_bool(&w->doc, v, &w->ephemeral) < 0 ? bad(w, "ephemeral must be true or false")
                                                       : 0;
}

static int read_body(struct pc_call *call, struct wish *w)
{
    struct pc_json_error error;
    struct pc_why why = {{0}};
    int rc =
        pc_json_parse(call->body, call->worker->json, PC_WORKER_JSON_TOKENS, NULL, &w->doc, &error);
    if (rc < 0) {
        pc_json_explain(&why, rc, call->body, &error);
        return pc_mutation_refuse(&w->refusal, 400, "JSON_INVALID", "%.200s", why.text);
    }
    if (pc_json_type(pc_json_root(&w->doc)) != PC_JSON_OBJECT)
        return bad(w, "expected an object: {\"value\": …}");
    PC_JSON_FOREACH(&w->doc, pc_json_root(&w->doc), name)
    {
        if (rc == 0)
            rc = read_member(w, name);
    }
    if (rc == 0 && !w->value)
        return bad(w, "value is missing");
    return rc;
}

/* Whether the flag takes a runtime value now; flag is NULL for a new one. */
static int check_room(const struct pc_flags *f, const struct pc_flag *flag, struct wish *w)
{
    if (flag && flag->variable.n)
        return pc_mutation_refuse(&w->refusal, 409, "FLAG_HELD_BY_ENVIRONMENT",
                                  "the environment variable %.*s holds this flag",
                                  (int)flag->variable.n, (const char *)flag->variable.p);
    if (f->runtime_count >= PC_FLAG_RUNTIME_MAX && !(flag && flag->has_runtime))
        return pc_mutation_refuse(&w->refusal, 409, "FLAGS_FULL",
                                  "at most %d flags may hold a runtime value: remove one first",
                                  PC_FLAG_RUNTIME_MAX);
    return 0;
}

static int check_key(struct pc_bytes key, struct wish *w)
{
    struct pc_why why = {{0}};
    if (pc_flag_key_check(key, &why) < 0)
        return pc_mutation_refuse(&w->refusal, 400, "FLAG_KEY_INVALID", "%.200s", why.text);
    return 0;
}

/* The Change that sets the flag, or why it cannot be; the value is written to b. */
static int resolve(struct pc_call *call, struct wish *w, struct pc_buf *b, struct pc_change *c)
{
    const struct pc_flags *f = pc_server_view(call->worker->server)->flags;
    struct pc_bytes key = call->params[0];
    const struct pc_flag *flag = pc_flags_find(f, key);
    struct pc_why why = {{0}};
    int rc = check_key(key, w);
    if (rc == 0)
        rc = read_body(call, w);
    if (rc == 0)
        rc = check_room(f, flag, w);
    if (rc < 0)
        return rc;
    rc = pc_flag_value_write(&w->doc, w->value, flag ? flag->type : PC_FLAG_NO_TYPE, b, NULL, &why);
    if (rc < 0)
        return pc_mutation_refuse(&w->refusal, 400,
                                  rc == PC_E_TOO_LARGE ? "FLAG_TOO_LARGE" : "FLAG_TYPE_MISMATCH",
                                  "%.*s: %.200s", (int)key.n, (const char *)key.p, why.text);
    *c = (struct pc_change){.kind = PC_KIND_FLAG,
                            .op = PC_OP_SET,
                            .id = key,
                            .value = pc_bytes_of(b->p, b->len),
                            .reason = w->reason,
                            .ephemeral = w->ephemeral};
    return 0;
}

static void submit(struct pc_call *call, struct pc_change *c, void (*done)(struct pc_job *))
{
    uint8_t address[PC_IP_TEXT_MAX];
    pc_call_stamp(call, c, address);
    struct pc_job *job = pc_job_new(1, c->id.n + c->value.n + c->reason.n + c->actor.n +
                                           c->source.n + c->request_id.n);
    if (!job) {
        pc_call_reply_busy(call, "NO_MEMORY", "no memory for this change", 1);
        return;
    }
    int rc = pc_job_add(job, c);
    PC_ASSERT(rc == 0);
    pc_call_submit(call, job, done);
}

/* Replies and frees; `answer` writes what to say to a change that was made. */
static void finish(struct pc_job *job, void (*answer)(struct pc_call *, const struct pc_change *))
{
    struct pc_call *call = pc_call_of_job(job);
    if (call && job->result == 0)
        answer(call, &job->items[0].change);
    else if (call)
        pc_call_reply_job_failed(call, job->result);
    if (call)
        pc_call_done(call);
    pc_job_free(job);
}

/* From the Change, not from the view: somebody else may have set it again meanwhile. */
static void answer_set(struct pc_call *call, const struct pc_change *c)
{
    struct pc_buf b = pc_call_scratch(call);
    struct pc_bytes who = pc_flag_actor_name(c->actor);
    pc_buf_lit(&b, "{\"message\":\"the flag was set\",\"flag\":{\"key\":");
    pc_buf_json_str(&b, c->id);
    pc_buf_char(&b, ',');
    put_value(&b, c->value);
    pc_buf_lit(&b, ",\"source\":\"admin:");
    pc_buf_json(&b, who);
    pc_buf_lit(&b, "\"}");
    if (c->ephemeral)
        pc_buf_lit(&b, ",\"warning\":\"this value is ephemeral: it is gone at the next start\"");
    pc_buf_lit(&b, "}\n");
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

static void set_done(struct pc_job *job)
{
    finish(job, answer_set);
}

void pc_handle_flag_set(struct pc_call *call)
{
    uint8_t value[PC_FLAG_VALUE_MAX + 1], reason[PC_REASON_MAX];
    struct wish w = {.texts = pc_buf_of(reason, sizeof reason)};
    struct pc_buf b = pc_buf_of(value, sizeof value);
    struct pc_change c;
    if (resolve(call, &w, &b, &c) < 0)
        pc_call_reply_error(call, w.refusal.status, w.refusal.code, "%s", w.refusal.text);
    else
        submit(call, &c, set_done);
}

/* ---- removing a runtime value ---- */

/* What counts now, from the view: the layer below was uncovered. */
static void answer_removed(struct pc_call *call, const struct pc_change *c)
{
    const struct pc_flag *flag = pc_flags_find(pc_server_view(call->worker->server)->flags, c->id);
    struct pc_buf b = pc_call_scratch(call);
    pc_buf_lit(&b, "{\"message\":\"the runtime value was removed\",");
    if (flag)
        put_flag(&b, flag);
    pc_buf_str(&b, flag ? "}}\n" : "\"flag\":null}\n");
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

static void remove_done(struct pc_job *job)
{
    finish(job, answer_removed);
}

void pc_handle_flag_remove(struct pc_call *call)
{
    struct pc_bytes key = call->params[0];
    const struct pc_flag *flag = pc_flags_find(pc_server_view(call->worker->server)->flags, key);
    struct pc_change c = {.kind = PC_KIND_FLAG, .op = PC_OP_UNSET, .id = key};
    if (!flag)
        reply_not_found(call, key);
    else if (!flag->has_runtime)
        pc_call_reply_error(call, 404, "FLAG_NOT_SET",
                            "%.*s holds no runtime value: its value comes from %.*s", (int)key.n,
                            (const char *)key.p, (int)flag->source.n, (const char *)flag->source.p);
    else
        submit(call, &c, remove_done);
}

/* ---- reload ---- */

static void reload(struct pc_server *s, struct pc_errand *e)
{
    uint8_t text[128];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    int rc = pc_server_reload_flags(s, &e->why);
    if (rc < 0) {
        e->status = rc == -EAGAIN ? 503 : 400;
        e->code = "RELOAD_REFUSED";
        return;
    }
    pc_rcu_online();
    pc_buf_fmt(&b, "{\"message\":\"flags were read again\",\"total\":%u}\n",
               pc_server_view(s)->flags->count);
    pc_rcu_offline();
    e->status = 200;
    e->content_type = "application/json";
    e->body = (uint8_t *)strndup((const char *)b.p, b.len);
    e->body_n = e->body ? b.len : 0;
}

void pc_handle_flags_reload(struct pc_call *call)
{
    pc_offload_noted(call, "flags_reload", reload);
}

/* ---- metrics ---- */

void pc_flags_measure(struct pc_server *s)
{
    struct pc_metrics_block *m = pc_metrics_main(s->metrics);
    unsigned by_source[PC_FLAG_FROM_ENVIRONMENT + 1] = {0};
    pc_rcu_online();
    const struct pc_flags *f = pc_server_view(s)->flags;
    for (uint32_t i = 0; i < f->count; i++)
        by_source[f->flags[i].from]++;
    pc_metric_set(m, PC_M_FLAGS_BYTES, f->bytes);
    pc_metric_set(m, PC_M_FLAGS_IGNORED, f->ignored);
    pc_metric_set(m, PC_M_MAINTENANCE, f->maintenance);
    pc_rcu_offline();
    for (unsigned i = 0; i < PC_COUNT(by_source); i++)
        pc_metric_set(m, PC_M_FLAGS_DEFAULT + i, by_source[i]);
}
