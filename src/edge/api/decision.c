/* SPDX-License-Identifier: Apache-2.0
 * The steps of a decision in their order; decision.h says what they mean.
 *
 * Memory that a later step needs is asked for early: the token's place in the cache before the
 * route is looked for, its entry before the IP sets, the lines of the limits that need the token
 * together with those of its revocations. */
#include "edge/api/decision.h"

struct run {
    struct pc_worker *w;
    const struct pc_question *q;
    struct pc_decision *d;
    const struct pc_settings *settings;
    struct pc_limit_subject subject;
    struct pc_limit_user user;
    struct pc_buf keys; /* texts of limit keys */
    struct pc_token_query token;
};

/* ---- address, route, maintenance ---- */

static enum pc_decision_code find_route(struct run *r)
{
    const struct pc_question *q = r->q;
    uint32_t found = PC_ROUTE_NONE;
    if (PC_UNLIKELY(q->client_malformed))
        return PC_DECISION_CLIENT_ADDRESS_INVALID;
    r->d->route = q->route;
    if (q->route)
        return PC_DECISION_OK;
    if (PC_UNLIKELY(r->settings->needs & ~q->said))
        return PC_DECISION_ORIGINAL_REQUEST_MISSING;
    if (r->settings->config->route_count) {
        struct pc_route_request request = {q->path, q->host, q->method, q->listener};
        found = pc_routes_find(r->settings->router, &request);
    }
    r->d->route =
        found == PC_ROUTE_NONE ? &r->settings->default_route : &r->settings->routes[found];
    return PC_DECISION_OK;
}

static enum pc_decision_code check_maintenance(struct run *r)
{
    if (PC_LIKELY(!r->q->view->flags->maintenance) || r->d->route->maintenance_exempt)
        return PC_DECISION_OK;
    r->d->retry_after_s = PC_MAINTENANCE_RETRY_S;
    return PC_DECISION_MAINTENANCE;
}

/* ---- IP sets ---- */

static bool denied_by(struct run *r, unsigned set)
{
    struct pc_ip_match match;
    pc_ip_sets_match(r->q->view->ip_sets, set, &r->q->client, r->w->core->now_ms, &match);
    if (PC_UNLIKELY(r->q->trace != NULL))
        pc_trace_ip_set(r->q->trace, r->q, set, &match);
    if (PC_LIKELY(!match.deny))
        return false;
    r->d->ip = match;
    r->d->ip_set = set;
    return true;
}

static enum pc_decision_code check_ip_sets(struct run *r)
{
    bool denied = denied_by(r, PC_IP_GLOBAL);
    for (unsigned i = 0; i < r->d->route->ip_set_n && !denied; i++)
        denied = denied_by(r, r->d->route->ip_sets[i]);
    return denied ? PC_DECISION_IP_DENIED : PC_DECISION_OK;
}

/* ---- limits ---- */

static void give_back(struct run *r, unsigned n)
{
    if (n && !r->q->dry_run)
        pc_charges_give_back(r->d->charges, n, &r->user);
}

/* On a sensitive route what cannot be counted does not pass. */
static int find_uncounted(const struct pc_decision *d, unsigned from)
{
    for (unsigned i = from; i < d->charge_n; i++)
        if (d->charges[i].outcome == PC_LIMIT_UNCOUNTED)
            return (int)i;
    return -1;
}

/* The limits from..charge_n: all or none of them are charged, and with them those before. */
static enum pc_decision_code charge(struct run *r, unsigned from, const char *step)
{
    struct pc_decision *d = r->d;
    unsigned n = d->charge_n - from;
    if (n == 0)
        return PC_DECISION_OK;
    int refused = r->q->dry_run ? pc_charges_peek(d->charges + from, n, &r->user)
                                : pc_charges_take(d->charges + from, n, &r->user);
    if (PC_UNLIKELY(d->route->sensitive) && refused < 0 &&
        (d->refused = find_uncounted(d, from)) >= 0) {
        give_back(r, d->charge_n);
        d->charges[d->refused].outcome = PC_LIMIT_UNAVAILABLE;
    } else if (PC_UNLIKELY(refused >= 0)) {
        give_back(r, from);
        d->refused = (int)from + refused;
    }
    if (PC_UNLIKELY(r->q->trace != NULL))
        pc_trace_limits(r->q->trace, step, d->charges + from, n);
    if (PC_LIKELY(d->refused < 0))
        return PC_DECISION_OK;
    const struct pc_charge *c = &d->charges[d->refused];
    d->retry_after_s = pc_charge_retry_after_s(c);
    return c->outcome == PC_LIMIT_EXCEEDED ? PC_DECISION_RATE_LIMITED
                                           : PC_DECISION_LIMIT_UNAVAILABLE;
}

static void add_charge(struct run *r, const struct pc_policy *policy, int64_t cost)
{
    struct pc_decision *d = r->d;
    PC_ASSERT(d->charge_n < PC_CHARGES_MAX);
    pc_charge_of_subject(&d->charges[d->charge_n++], policy, cost, &r->subject, &r->keys);
}

/* Those of the route's limits, and of the asked ones, that belong before (or behind) the token.
 * Their lines are on their way when this returns. */
static void add_charges(struct run *r, bool before)
{
    const struct pc_route *route = r->d->route;
    for (unsigned i = before ? 0 : route->pre_n; i < (before ? route->pre_n : route->limit_n); i++)
        add_charge(r, route->limits[i], route->limits[i]->cost);
    for (unsigned i = 0; i < r->q->limit_n; i++) {
        const struct pc_asked_limit *asked = &r->q->limits[i];
        bool own_key = asked->key.p != NULL;
        if (before != (asked->policy->pre_auth && !own_key))
            continue;
        if (own_key) {
            int rc = pc_charge_of_key(&r->d->charges[r->d->charge_n++], asked->policy, asked->cost,
                                      asked->key, &r->keys);
            PC_ASSERT(rc == 0); /* the question was checked */
        } else {
            add_charge(r, asked->policy, asked->cost);
        }
    }
}

static void begin_limits(struct run *r)
{
    const struct pc_question *q = r->q;
    r->keys =
        pc_buf_of(r->w->decision_scratch + PC_DECISION_KEYS_AT, PC_CHARGES_MAX * PC_LIMIT_KEY_MAX);
    r->subject = (struct pc_limit_subject){
        .ip = &q->client,
        .route = r->d->route->name,
        .header = q->header,
        .header_ctx = q->header_ctx,
    };
    r->user = (struct pc_limit_user){
        .core = r->w->core->index,
        .strict = q->view->flags->rate_limit_strict,
        .now_ns = r->w->core->now_ns,
        .now_ms = r->w->core->now_ms,
        .top = r->w->top,
    };
    add_charges(r, true);
}

/* ---- token and revocations ---- */

static bool token_counts(const struct run *r)
{
    enum pc_authentication a = r->d->route->authentication;
    return a == PC_AUTH_REQUIRED || (a == PC_AUTH_OPTIONAL && r->q->token.n);
}

static void identify(struct run *r)
{
    const struct pc_cached_token *t;
    pc_token_identify(r->w, r->q->view->trust, &r->token, &r->q->client, &r->d->verdict);
    t = r->d->verdict.token;
    if (PC_UNLIKELY(!t) || r->d->verdict.error)
        return;
    r->subject.subject = pc_token_part(t, PC_PART_SUBJECT);
    r->subject.client = pc_token_part(t, PC_PART_CLIENT);
    r->subject.session = pc_token_part(t, PC_PART_SESSION);
}

static enum pc_decision_code check_token(struct run *r)
{
    struct pc_decision *d = r->d;
    struct pc_verdict *v = &d->verdict;
    if (!token_counts(r)) {
        add_charges(r, false);
        return PC_DECISION_OK;
    }
    identify(r);
    if (PC_UNLIKELY(v->later)) {
        give_back(r, d->charge_n);
        return PC_DECISION_VERIFY_BUDGET_EXHAUSTED; /* nobody sees it */
    }
    if (PC_UNLIKELY(v->busy)) {
        d->retry_after_s = (unsigned)(v->retry_ns / 1000000000 + 1);
        return PC_DECISION_VERIFY_BUDGET_EXHAUSTED;
    }
    if (PC_UNLIKELY(v->error))
        return (enum pc_decision_code)v->error;
    unsigned before = d->charge_n;
    add_charges(r, false);
    pc_token_check(r->w, r->q->view->trust, v);
    if (PC_UNLIKELY(v->error)) {
        d->charge_n = before; /* those were not looked at */
        return (enum pc_decision_code)v->error;
    }
    d->identity = v->token;
    return PC_DECISION_OK;
}

/* ---- what the route demands ---- */

/* Whether a list separated by single spaces holds the word, which is never empty: the configuration
 * refuses such a word. */
static bool has_word(struct pc_bytes list, struct pc_bytes word)
{
    const uint8_t *p = list.p, *end = p + list.n;
    while ((size_t)(end - p) >= word.n) {
        bool ends_here = (size_t)(end - p) == word.n || p[word.n] == ' ';
        if (ends_here && memcmp(p, word.p, word.n) == 0)
            return true;
        const uint8_t *space = memchr(p, ' ', (size_t)(end - p));
        if (!space)
            return false;
        p = space + 1;
    }
    return false;
}

static bool has_all(struct pc_bytes list, const struct pc_bytes *words, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!has_word(list, words[i]))
            return false;
    return true;
}

static bool has_any(struct pc_bytes list, const struct pc_bytes *words, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (has_word(list, words[i]))
            return true;
    return n == 0;
}

/* Routes that demand scopes or roles demand a token (settings_routes.c). What a token says does not
 * change, nor do the demands of one number, so that the last ones it met need no second look. */
static enum pc_decision_code check_rule(struct run *r)
{
    const struct pc_route *route = r->d->route;
    /* The cache's entry, or the worker's own: both belong to this core. */
    struct pc_cached_token *t = (struct pc_cached_token *)(uintptr_t)r->d->identity;
    if (route->scope_n + route->role_n == 0)
        return PC_DECISION_OK;
    PC_ASSERT(t != NULL && route >= r->settings->routes);
    uint64_t demands = r->settings->demands_from + (uint64_t)(route - r->settings->routes);
    if (PC_LIKELY(t->demands_met == demands))
        return PC_DECISION_OK;
    if (!has_all(pc_token_part(t, PC_PART_SCOPES), route->scopes, route->scope_n))
        return PC_DECISION_INSUFFICIENT_SCOPE;
    if (!has_any(pc_token_part(t, PC_PART_ROLES), route->roles, route->role_n))
        return PC_DECISION_INSUFFICIENT_ROLE;
    t->demands_met = demands;
    return PC_DECISION_OK;
}

/* ---- the whole ---- */

static enum pc_decision_code before_token(struct run *r)
{
    struct pc_trace *trace = r->q->trace;
    pc_token_prefetch(r->w, r->q->token, &r->token);
    r->token.may_wait = r->q->may_wait;
    enum pc_decision_code code = find_route(r);
    pc_token_prefetch_entry(r->w, &r->token);
    if (PC_UNLIKELY(trace != NULL))
        pc_trace_route(trace, r->q, r->d);
    if (code)
        return code;
    code = check_maintenance(r);
    if (PC_UNLIKELY(trace != NULL))
        pc_trace_step(trace, "maintenance", code ? "refuse" : "pass", "%s",
                      code                             ? "the flag maintenance.mode_enabled is true"
                      : r->q->view->flags->maintenance ? "the route is exempt"
                                                       : "the service is not in maintenance");
    return code ? code : check_ip_sets(r);
}

static enum pc_decision_code evaluate(struct run *r)
{
    enum pc_decision_code code = before_token(r);
    if (code)
        return code;
    begin_limits(r);
    code = charge(r, 0, "limits_before_token");
    if (code)
        return code;
    unsigned charged = r->d->charge_n;
    code = check_token(r);
    if (PC_UNLIKELY(r->q->trace != NULL))
        pc_trace_token(r->q->trace, r->q, r->d);
    if (code)
        return code;
    code = check_rule(r);
    if (PC_UNLIKELY(r->q->trace != NULL))
        pc_trace_rule(r->q->trace, r->d, code);
    if (PC_UNLIKELY(code)) {
        r->d->charge_n = charged;
        return code;
    }
    return charge(r, charged, "limits");
}

/* Slot n of a row counts code n. */
static void count(struct pc_worker *w, const struct pc_decision *d)
{
    bool shadowed = d->allow && d->code;
    pc_metric_inc(w->metrics, PC_M_DECISIONS + (shadowed ? PC_DECISION_OK : (unsigned)d->code));
    if (PC_UNLIKELY(shadowed))
        pc_metric_inc(w->metrics, PC_M_SHADOW_DECISIONS + (unsigned)d->code);
}

static void begin(struct pc_decision *d)
{
    d->route = NULL;
    d->identity = NULL;
    pc_verdict_init(&d->verdict);
    d->charge_n = 0;
    d->refused = -1;
    d->retry_after_s = 0;
}

/* Shadow mode is about what the route demands; maintenance and the set "global" are everybody's. */
static bool is_shadowed(const struct pc_decision *d)
{
    return d->route && d->route->shadow && d->code != PC_DECISION_MAINTENANCE &&
           !(d->code == PC_DECISION_IP_DENIED && d->ip_set == PC_IP_GLOBAL);
}

void pc_decision_make(struct pc_worker *w, const struct pc_question *q, struct pc_decision *ret_d)
{
    struct pc_decision *d = ret_d;
    struct run r;
    PC_ASSERT_SLOW(pc_rcu_is_online());
    r.w = w;
    r.q = q;
    r.d = d;
    r.settings = q->view->settings;
    begin(d);
    d->code = evaluate(&r);
    if (PC_UNLIKELY(d->verdict.later))
        return;
    d->allow = d->code == PC_DECISION_OK || is_shadowed(d);
    if (PC_UNLIKELY(q->trace != NULL) && d->allow)
        pc_trace_flags(q->trace, q, d);
    if (!q->dry_run)
        count(w, d);
}

void pc_decision_refuse(struct pc_worker *w, enum pc_decision_code code, struct pc_decision *ret_d)
{
    PC_ASSERT(code != PC_DECISION_OK);
    begin(ret_d);
    ret_d->code = code;
    ret_d->allow = false;
    count(w, ret_d);
}

/* ---- the fields of an answer ---- */

static void write_flags(struct pc_buf *b, const struct pc_flags *flags,
                        const struct pc_route *route)
{
    unsigned omitted = 0;
    size_t from, room = b->len + PC_FLAGS_FIELD_MAX;
    pc_buf_lit(b, "X-Portcullis-Flags: ");
    from = b->len;
    for (unsigned i = 0; i < route->flag_n; i++) {
        const struct pc_route_flag *f = &route->flags[i];
        const struct pc_flag *flag = pc_flags_find_hashed(flags, f->key, f->hash);
        if (!flag)
            continue;
        if (b->len + flag->attach.n + sizeof "{}\r\n" > room) {
            omitted++;
            continue;
        }
        pc_buf_char(b, b->len == from ? '{' : ',');
        pc_buf_bytes(b, flag->attach);
    }
    if (b->len == from)
        pc_buf_char(b, '{');
    pc_buf_lit(b, "}\r\n");
    if (omitted)
        pc_buf_fmt(b, "X-Portcullis-Flags-Omitted: %u\r\n", omitted);
}

void pc_decision_write_fields(struct pc_buf *b, const struct pc_view *view,
                              const struct pc_decision *d)
{
    if (d->charge_n)
        pc_limits_write_fields(b, d->charges, d->charge_n);
    if (PC_UNLIKELY(!d->allow))
        return; /* goes to the client, whom routes and flags do not concern */
    pc_buf_bytes(b, d->route->field);
    if (d->route->flag_n)
        write_flags(b, view->flags, d->route);
    if (PC_UNLIKELY(d->code)) {
        pc_buf_lit(b, "X-Portcullis-Shadow: ");
        pc_buf_str(b, pc_decision_code_info(d->code)->code);
        pc_buf_lit(b, "\r\n");
    }
}

struct pc_bytes pc_decision_identity_fields(const struct pc_decision *d)
{
#define EMPTY_FIELD(part, name) name ": \r\n"
    static const char anonymous[] = PC_IDENTITY_HEADERS(EMPTY_FIELD);
#undef EMPTY_FIELD
    return d->identity ? pc_token_part(d->identity, PC_PART_HEADERS)
                       : pc_bytes_of(anonymous, sizeof anonymous - 1);
}
