/* SPDX-License-Identifier: Apache-2.0
 * GET, POST and DELETE /admin/ip-rules.
 *
 * Rules are read from the view, page by page; a page goes on behind a network and not at a number,
 * so it does not matter what changed since the one before. A change goes to the writer and is
 * answered when it is durable and every later decision obeys it. A body is one object or an array;
 * either all of it is done or nothing. Runs on a core. */
#include <stdlib.h>

#include "base/config_value.h"
#include "edge/api/endpoint.h"
#include "edge/api/ip_rules.h"
#include "edge/api/mutate.h"
#include "edge/api/submit.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX     1000
/* Room that one more rule and the end of the answer may take: texts with every character escaped.
 */
#define RULE_ROOM (6 * (PC_IP_REASON_MAX + PC_ACTOR_MAX + PC_IP_SET_NAME_MAX) + 512)
/* Members of one object, its braces and commas: values of an array of PC_JOB_CHANGES_MAX. */
#define BODY_TOKENS_MAX (PC_JOB_CHANGES_MAX * 14u + 16)
#define TTL_MAX_MS      (INT64_C(10) * 366 * 24 * 3600 * 1000)
#define DEFAULT_SET     "global"

static const struct pc_ip_sets *sets_of(const struct pc_call *call)
{
    return pc_server_view(call->worker->server)->ip_sets;
}

/* ---- writing rules ---- */

static void put_text(struct pc_buf *b, const char *name, struct pc_bytes text)
{
    pc_buf_fmt(b, ",\"%s\":", name);
    pc_buf_json_str(b, text);
}

static void put_time(struct pc_buf *b, const char *name, int64_t ms)
{
    pc_buf_fmt(b, ",\"%s\":", name);
    if (ms == INT64_MAX)
        pc_buf_lit(b, "null");
    else
        pc_buf_fmt(b, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
}

static void put_rule(struct pc_buf *b, const struct pc_ip_listed *l, int64_t now_ms)
{
    uint8_t text[PC_CIDR_TEXT_MAX];
    struct pc_buf cidr = pc_buf_of(text, sizeof text);
    pc_cidr_format(&l->rule.cidr, &cidr);
    pc_buf_lit(b, "{\"set\":");
    pc_buf_json_str(b, l->set);
    put_text(b, "cidr", pc_bytes_of(cidr.p, cidr.len));
    put_text(b, "action", pc_bytes_str(l->rule.deny ? "deny" : "allow"));
    put_text(b, "source", pc_bytes_str(pc_ip_source_name(l->source)));
    put_text(b, "reason", l->rule.reason);
    if (l->source == PC_IP_FROM_RUNTIME) {
        put_text(b, "actor", l->actor);
        put_time(b, "created_at", l->at_ms);
    }
    put_time(b, "expires_at", l->rule.expires_at_ms);
    if (l->rule.expires_at_ms <= now_ms)
        pc_buf_lit(b, ",\"expired\":true");
    if (l->dormant)
        pc_buf_lit(b, ",\"dormant\":true");
    pc_buf_char(b, '}');
}

/* ---- GET ---- */

struct page {
    struct pc_ip_place place;
    bool one_set; /* and no other */
    char set[PC_IP_SET_NAME_MAX + 1];
    uint64_t limit;
    struct pc_mutation_refusal refusal;
};

static int bad_query(struct page *p, const char *text)
{
    return pc_mutation_refuse(&p->refusal, 400, "BAD_REQUEST", "%s", text);
}

static int read_source(struct pc_bytes text, enum pc_ip_source *ret)
{
    for (unsigned s = PC_IP_FROM_CONFIGURED; s <= PC_IP_FROM_RUNTIME; s++) {
        if (pc_bytes_eq_str(text, pc_ip_source_name((enum pc_ip_source)s))) {
            *ret = (enum pc_ip_source)s;
            return 0;
        }
    }
    return -EINVAL;
}

static struct pc_bytes cut(struct pc_bytes *s, uint8_t at)
{
    const uint8_t *end = s->n ? memchr(s->p, at, s->n) : NULL;
    size_t n = end ? (size_t)(end - s->p) : s->n;
    struct pc_bytes front = pc_bytes_of(s->p, n);
    n += end != NULL;
    *s = pc_bytes_of(s->p + n, s->n - n);
    return front;
}

/* "runtime:global:192.0.2.0/24", as the page before said it. */
static int read_after(struct page *p, struct pc_bytes text)
{
    struct pc_bytes source = cut(&text, ':'), set = cut(&text, ':');
    if (read_source(source, &p->place.source) < 0 || !pc_ip_set_name_valid(set) ||
        pc_cidr_parse(text, &p->place.cidr) < 0)
        return bad_query(p, "after is what \"next\" of the page before said");
    memset(p->place.set, 0, sizeof p->place.set);
    memcpy(p->place.set, set.p, set.n);
    return 0;
}

static int read_parameter(struct page *p, struct pc_bytes name, struct pc_bytes value,
                          struct pc_bytes *after)
{
    if (pc_bytes_eq_str(name, "after")) {
        *after = value;
        return 0;
    }
    if (pc_bytes_eq_str(name, "set")) {
        if (!pc_ip_set_name_valid(value))
            return bad_query(p, "set is the name of an IP set");
        memset(p->set, 0, sizeof p->set);
        memcpy(p->set, value.p, value.n);
        p->one_set = true;
        return 0;
    }
    if (pc_bytes_eq_str(name, "source"))
        return read_source(value, &p->place.only) < 0
                   ? bad_query(p, "source is configured or runtime")
                   : 0;
    if (!pc_bytes_eq_str(name, "limit"))
        return bad_query(p, "the query may hold set, source, limit and after");
    if (pc_bytes_to_u64(value, &p->limit) < 0 || p->limit < 1 || p->limit > PAGE_MAX)
        return bad_query(p, "limit is 1 to 1000");
    return 0;
}

/* Percent-decodes into b; "+" stays. */
static int decode(struct pc_bytes raw, struct pc_buf *b, struct pc_bytes *ret)
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

static int read_page(struct page *p, struct pc_bytes query)
{
    uint8_t memory[1024];
    struct pc_buf texts = pc_buf_of(memory, sizeof memory);
    struct pc_bytes after = {NULL, 0};
    while (query.n) {
        struct pc_bytes value = cut(&query, '&'), name = cut(&value, '=');
        if (decode(value, &texts, &value) < 0)
            return bad_query(p, "a value of the query is no percent-encoded text, or too long");
        int rc = read_parameter(p, name, value, &after);
        if (rc < 0)
            return rc;
    }
    if (after.n)
        return read_after(p, after);
    if (p->one_set) { /* before its first rule */
        memcpy(p->place.set, p->set, sizeof p->set);
        p->place.source = PC_IP_FROM_CONFIGURED;
    }
    return 0;
}

static void put_next(struct pc_buf *b, const struct pc_ip_place *place, bool more)
{
    pc_buf_lit(b, "],\"next\":");
    if (!more) {
        pc_buf_lit(b, "null");
        return;
    }
    pc_buf_fmt(b, "\"%s:%s:", pc_ip_source_name(place->source), place->set);
    pc_cidr_format(&place->cidr, b);
    pc_buf_char(b, '"');
}

static void put_page(struct pc_buf *b, const struct pc_ip_sets *s, struct page *p, int64_t now_ms)
{
    struct pc_ip_sets_stats stats;
    struct pc_ip_listed l;
    struct pc_ip_place ahead = p->place;
    uint64_t n = 0;
    bool more;
    pc_buf_lit(b, "{\"rules\":[");
    while ((more = pc_ip_sets_next(s, &ahead, &l) &&
                   !(p->one_set && strcmp(ahead.set, p->set) != 0)) &&
           n < p->limit && b->cap - b->len > 2 * RULE_ROOM) {
        pc_buf_str(b, n++ ? "," : "");
        put_rule(b, &l, now_ms);
        p->place = ahead;
    }
    pc_ip_sets_read_stats(s, &stats);
    put_next(b, &p->place, more);
    pc_buf_fmt(b, ",\"total\":{\"configured\":%llu,\"runtime\":%llu,\"dormant\":%llu}}\n",
               (unsigned long long)stats.configured_rules, (unsigned long long)stats.runtime_rules,
               (unsigned long long)stats.dormant_rules);
}

void pc_handle_ip_rules(struct pc_call *call)
{
    struct page p = {.limit = PAGE_DEFAULT};
    if (read_page(&p, call->query) < 0) {
        pc_call_reply_error(call, p.refusal.status, p.refusal.code, "%s", p.refusal.text);
        return;
    }
    struct pc_buf b = pc_call_scratch(call);
    put_page(&b, sets_of(call), &p, call->worker->core->now_ms);
    PC_ASSERT(!b.overflow);
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

/* ---- reading a change ---- */

struct wish {
    struct pc_bytes set, action, reason;
    struct pc_cidr cidr;
    bool have_cidr;
    int64_t ttl_ms, expires_at_ms; /* 0: not given */
};

struct reading {
    struct pc_call *call;
    struct pc_json doc;
    struct pc_buf texts; /* unescaped strings, and keys */
    enum pc_op op;
    struct pc_job *job;
    uint32_t fresh; /* rules that are not there yet */
    struct pc_mutation_refusal refusal;
};

typedef int member_fn(struct reading *r, const struct pc_json_token *v, struct wish *w);

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

static int read_set(struct reading *r, const struct pc_json_token *v, struct wish *w)
{
    return read_string(r, v, "set", &w->set);
}

static int read_cidr(struct reading *r, const struct pc_json_token *v, struct wish *w)
{
    struct pc_bytes text;
    struct pc_why why;
    int rc = read_string(r, v, "cidr", &text);
    if (rc < 0)
        return rc;
    if (pc_cidr_parse_why(text, &w->cidr, &why) < 0)
        return pc_mutation_refuse(&r->refusal, 400, "CIDR_INVALID", "%.240s", why.text);
    w->have_cidr = true;
    return 0;
}

static int read_action(struct reading *r, const struct pc_json_token *v, struct wish *w)
{
    int rc = read_string(r, v, "action", &w->action);
    if (rc == 0 && !pc_bytes_eq_str(w->action, "allow") && !pc_bytes_eq_str(w->action, "deny"))
        return bad(r, "action is \"allow\" or \"deny\"");
    return rc;
}

static int read_reason(struct reading *r, const struct pc_json_token *v, struct wish *w)
{
    int rc = read_string(r, v, "reason", &w->reason);
    bool sane = w->reason.n <= PC_IP_REASON_MAX;
    for (size_t i = 0; rc == 0 && sane && i < w->reason.n; i++)
        sane = w->reason.p[i] >= 0x20 && w->reason.p[i] != 0x7f;
    if (rc == 0 && !sane)
        return pc_mutation_refuse(&r->refusal, 400, "REASON_INVALID",
                                  "a reason is at most %d bytes without control characters",
                                  PC_IP_REASON_MAX);
    return rc;
}

/* Seconds as a number, or a duration such as "15m". */
static int read_ttl(struct reading *r, const struct pc_json_token *v, struct wish *w)
{
    struct pc_bytes text;
    int rc = pc_json_type(v) == PC_JSON_STRING ? pc_json_string(&r->doc, v, &r->texts, &text)
                                               : pc_json_scaled(&r->doc, v, 3, &w->ttl_ms, NULL);
    if (rc == 0 && pc_json_type(v) == PC_JSON_STRING)
        rc = pc_duration_parse(text, &w->ttl_ms);
    if (rc < 0 || w->ttl_ms <= 0 || w->ttl_ms > TTL_MAX_MS)
        return pc_mutation_refuse(&r->refusal, 400, "TTL_INVALID",
                                  "ttl is a positive number of seconds or a duration like \"15m\", "
                                  "at most 10 years");
    return 0;
}

static int read_expires_at(struct reading *r, const struct pc_json_token *v, struct wish *w)
{
    if (pc_json_scaled(&r->doc, v, 3, &w->expires_at_ms, NULL) < 0 ||
        w->expires_at_ms <= r->call->worker->core->now_ms)
        return pc_mutation_refuse(&r->refusal, 400, "TTL_INVALID",
                                  "expires_at is a time to come in Unix seconds");
    return 0;
}

/* What stands in a body, and whether to remove takes it too. */
static const struct {
    const char *name;
    member_fn *read;
    bool to_remove;
} members[] = {
    {"set",        read_set,        true },
    {"cidr",       read_cidr,       true },
    {"reason",     read_reason,     true },
    {"action",     read_action,     false},
    {"ttl",        read_ttl,        false},
    {"expires_at", read_expires_at, false},
};

static int read_member(struct reading *r, const struct pc_json_token *name, struct wish *w)
{
    for (size_t i = 0; i < PC_COUNT(members); i++)
        if ((r->op == PC_OP_SET || members[i].to_remove) &&
            pc_json_equals(&r->doc, name, members[i].name))
            return members[i].read(r, pc_json_value(name), w);
    return pc_mutation_refuse(&r->refusal, 400, "BAD_REQUEST",
                              "unknown member \"%.*s\" (there are set, cidr%s and reason)",
                              (int)pc_min_u64(name->n, 64),
                              (const char *)r->doc.text.p + name->start,
                              r->op == PC_OP_SET ? ", action, ttl, expires_at" : "");
}

static int read_wish(struct reading *r, const struct pc_json_token *object, struct wish *w)
{
    int rc = 0;
    if (pc_json_type(object) != PC_JSON_OBJECT)
        return bad(r, "expected an object, or an array of objects");
    PC_JSON_FOREACH(&r->doc, object, name)
    {
        if (rc == 0)
            rc = read_member(r, name, w);
    }
    if (rc == 0 && !w->have_cidr)
        return bad(r, "cidr is missing");
    if (rc == 0 && r->op == PC_OP_SET && w->action.n == 0)
        return bad(r, "action is missing: \"allow\" or \"deny\"");
    if (rc == 0 && w->ttl_ms && w->expires_at_ms)
        return pc_mutation_refuse(&r->refusal, 400, "TTL_INVALID",
                                  "give ttl or expires_at, not both");
    return rc;
}

/* Adding to a set that nobody asks is a slip; removing from one is tidying up. */
static int check_known(struct reading *r, const struct wish *w)
{
    const struct pc_ip_sets *s = sets_of(r->call);
    struct pc_ip_listed there;
    bool known = pc_ip_sets_runtime_rule(s, w->set, &w->cidr, &there);
    if (r->op == PC_OP_SET && pc_ip_sets_find(s, w->set) == PC_IP_NO_SET)
        return pc_mutation_refuse(
            &r->refusal, 404, "IP_SET_NOT_FOUND", "no IP set \"%.*s\" is configured",
            (int)pc_min_u64(w->set.n, PC_IP_SET_NAME_MAX), (const char *)w->set.p);
    if (r->op == PC_OP_UNSET && !known) {
        char text[PC_CIDR_TEXT_MAX];
        struct pc_buf b = pc_buf_of(text, sizeof text);
        pc_cidr_format(&w->cidr, &b);
        return pc_mutation_refuse(&r->refusal, 404, "IP_RULE_NOT_FOUND",
                                  "set %.*s has no runtime rule for %.*s (configured ones are "
                                  "changed in the configuration)",
                                  (int)pc_min_u64(w->set.n, PC_IP_SET_NAME_MAX),
                                  (const char *)w->set.p, (int)b.len, text);
    }
    r->fresh += !known;
    return 0;
}

static int add(struct reading *r, const struct pc_json_token *object)
{
    struct wish w = {.set = PC_LIT(DEFAULT_SET)};
    uint8_t key[PC_IP_KEY_MAX], address[PC_IP_TEXT_MAX];
    struct pc_buf b = pc_buf_of(key, sizeof key);
    int rc = read_wish(r, object, &w);
    if (rc == 0)
        rc = check_known(r, &w);
    if (rc < 0)
        return rc;
    pc_ip_key_format(w.set, &w.cidr, &b);
    PC_ASSERT(!b.overflow);
    struct pc_change c = {.kind = PC_KIND_IP_RULE,
                          .op = r->op,
                          .id = pc_bytes_of(b.p, b.len),
                          .value = w.action,
                          .expires_at_ms =
                              w.ttl_ms ? r->call->worker->core->now_ms + w.ttl_ms : w.expires_at_ms,
                          .reason = w.reason};
    pc_call_stamp(r->call, &c, address);
    if (pc_job_add(r->job, &c) < 0)
        return pc_mutation_refuse(&r->refusal, 413, "BATCH_TOO_LARGE",
                                  "this batch does not fit one journal record group: send less "
                                  "than %d rules and 1 MB at once",
                                  PC_JOB_CHANGES_MAX);
    return 0;
}

static int make_job(struct reading *r, uint32_t count)
{
    size_t each = PC_IP_KEY_MAX + PC_ACTOR_MAX + PC_SOURCE_MAX + PC_REQUEST_ID_MAX;
    if (count == 0)
        return bad(r, "an empty array");
    if (count > PC_JOB_CHANGES_MAX)
        return pc_mutation_refuse(&r->refusal, 413, "BATCH_TOO_LARGE", "at most %d rules at once",
                                  PC_JOB_CHANGES_MAX);
    size_t room = PC_JOB_BYTES_MAX - (size_t)count * PC_JOB_CHANGE_OVERHEAD;
    r->job = pc_job_new(count, pc_min_u64(r->doc.text.n + count * each, room));
    return r->job ? 0
                  : pc_mutation_refuse(&r->refusal, 503, "NO_MEMORY", "no memory for this batch");
}

static int refuse_full(struct pc_mutation_refusal *refusal, const struct pc_ip_sets_stats *stats)
{
    return pc_mutation_refuse(
        refusal, 409, "IP_RULES_FULL",
        "at most %u IP rules at run time, and there are %llu: remove some, or "
        "put them into a list file",
        PC_IP_RUNTIME_RULES_MAX, (unsigned long long)stats->runtime_rules);
}

static int read_body(struct reading *r)
{
    const struct pc_json_token *root = pc_json_root(&r->doc);
    struct pc_ip_sets_stats stats;
    bool array = pc_json_type(root) == PC_JSON_ARRAY;
    int rc = make_job(r, array ? root->count : 1);
    if (rc == 0 && !array)
        rc = add(r, root);
    PC_JSON_FOREACH(&r->doc, array ? root : NULL, element)
    {
        if (rc == 0)
            rc = add(r, element);
    }
    pc_ip_sets_read_stats(sets_of(r->call), &stats);
    if (rc == 0 && r->op == PC_OP_SET && stats.runtime_rules + r->fresh > PC_IP_RUNTIME_RULES_MAX)
        rc = refuse_full(&r->refusal, &stats);
    return rc;
}

/* ---- the answer ---- */

/* From the Change, not from the view: somebody else may have set it again meanwhile. */
static void put_change(struct pc_buf *b, const struct pc_change *c, int64_t now_ms)
{
    struct pc_ip_listed l = {
        .source = PC_IP_FROM_RUNTIME,
        .rule = {.deny = pc_bytes_eq_str(c->value, "deny"),
                 .expires_at_ms = c->expires_at_ms ? c->expires_at_ms : INT64_MAX,
                 .reason = c->reason},
        .actor = c->actor,
        .at_ms = c->at_ms
    };
    int rc = pc_ip_key_parse(c->id, &l.set, &l.rule.cidr);
    PC_ASSERT(rc == 0);
    pc_buf_lit(b, ",\"rule\":");
    put_rule(b, &l, now_ms);
}

static void answer(struct pc_call *call, const struct pc_job *job)
{
    struct pc_buf b = pc_call_scratch(call);
    const struct pc_change *first = &job->items[0].change;
    bool set = first->op == PC_OP_SET;
    pc_buf_fmt(&b, "{\"message\":\"%u IP rule%s\",\"%s\":%u", job->count,
               set ? (job->count == 1 ? " is in effect" : "s are in effect")
                   : (job->count == 1 ? " was removed" : "s were removed"),
               set ? "set" : "removed", job->count);
    if (set && job->count == 1)
        put_change(&b, first, call->worker->core->now_ms);
    pc_buf_lit(&b, "}\n");
    pc_call_reply_json(call, 200, pc_bytes_of(b.p, b.len));
}

static void answer_failed(struct pc_call *call, const struct pc_job *job)
{
    struct pc_mutation_refusal refusal;
    struct pc_ip_sets_stats stats;
    pc_ip_sets_read_stats(sets_of(call), &stats);
    if (job->result != PC_E_FULL || stats.runtime_rules + job->count <= PC_IP_RUNTIME_RULES_MAX) {
        pc_call_reply_job_failed(call, job->result);
        return;
    }
    refuse_full(&refusal, &stats); /* others were quicker */
    pc_call_reply_error(call, refusal.status, refusal.code, "%s", refusal.text);
}

static void change_done(struct pc_job *job)
{
    struct pc_call *call = pc_call_of_job(job);
    if (call && job->result == 0)
        answer(call, job);
    else if (call)
        answer_failed(call, job);
    if (call)
        pc_call_done(call);
    pc_job_free(job);
}

static void change(struct pc_call *call, struct pc_json_token *tokens, uint32_t max, uint8_t *texts,
                   enum pc_op op)
{
    struct reading r = {.call = call, .op = op, .texts = pc_buf_of(texts, call->body.n)};
    struct pc_json_error error;
    struct pc_why why;
    int rc = pc_json_parse(call->body, tokens, max, NULL, &r.doc, &error);
    if (rc < 0) {
        pc_json_explain(&why, rc, call->body, &error);
        pc_call_reply_error(call, 400, "JSON_INVALID", "%.300s", why.text);
        return;
    }
    if (read_body(&r) == 0) {
        pc_call_submit(call, r.job, change_done);
        return;
    }
    pc_call_reply_error(call, r.refusal.status, r.refusal.code, "%s", r.refusal.text);
    if (r.job)
        pc_job_free(r.job);
}

static void handle(struct pc_call *call, enum pc_op op)
{
    uint32_t max = (uint32_t)pc_min_u64(call->body.n / 2 + 16, BODY_TOKENS_MAX);
    size_t tokens_n = (size_t)max * sizeof(struct pc_json_token);
    uint8_t *memory = malloc(tokens_n + call->body.n + 1);
    if (!memory) {
        pc_call_reply_busy(call, "NO_MEMORY", "no memory to read this body", 1);
        return;
    }
    change(call, (struct pc_json_token *)(void *)memory, max, memory + tokens_n, op);
    free(memory);
}

void pc_handle_ip_rules_set(struct pc_call *call)
{
    handle(call, PC_OP_SET);
}

void pc_handle_ip_rules_remove(struct pc_call *call)
{
    handle(call, PC_OP_UNSET);
}

/* ---- metrics ---- */

void pc_ip_rules_measure(struct pc_server *s)
{
    struct pc_metrics_block *m = pc_metrics_main(s->metrics);
    struct pc_ip_sets_stats stats;
    pc_rcu_online();
    pc_ip_sets_read_stats(pc_server_view(s)->ip_sets, &stats);
    pc_rcu_offline();
    pc_metric_set(m, PC_M_IP_RULES_CONFIGURED, stats.configured_rules);
    pc_metric_set(m, PC_M_IP_RULES_RUNTIME, stats.runtime_rules);
    pc_metric_set(m, PC_M_IP_RULES_DORMANT, stats.dormant_rules);
    pc_metric_set(m, PC_M_IP_BYTES_CONFIGURED, stats.configured_bytes);
    pc_metric_set(m, PC_M_IP_BYTES_RUNTIME, stats.runtime_bytes);
}
