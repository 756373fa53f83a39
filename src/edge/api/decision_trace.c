/* SPDX-License-Identifier: Apache-2.0
 * Why a decision came out as it did, step by step, for POST /v1/explain. Cold: a decision without
 * a trace never comes here. Runs on a core. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "edge/api/decision.h"

/* What a step shows of one text, and how many entries of a list: an answer is bounded, however long
 * the lists of the configuration are and whatever is asked. */
#define SHOWN_BYTES 120
#define SHOWN_LIST  1024 /* bytes of scopes or roles */
#define SHOWN_WORDS 16

static void put_cut(struct pc_buf *b, struct pc_bytes s, size_t max)
{
    pc_buf_json(b, pc_bytes_of(s.p, pc_min_u64(s.n, max)));
    if (s.n > max)
        pc_buf_lit(b, "…");
}

static void begin_step(struct pc_trace *t, const char *step, const char *outcome)
{
    if (t->steps++)
        pc_buf_char(t->b, ',');
    pc_buf_fmt(t->b, "{\"step\":\"%s\",\"outcome\":\"%s\",\"detail\":\"", step, outcome);
}

static void end_step(struct pc_trace *t)
{
    pc_buf_lit(t->b, "\"}");
}

void pc_trace_step(struct pc_trace *t, const char *step, const char *outcome, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    begin_step(t, step, outcome);
    if (n > 0)
        pc_buf_json(t->b, pc_bytes_of(text, pc_min_u64((size_t)n, sizeof text - 1)));
    end_step(t);
}

/* ---- route ---- */

static void put_words(struct pc_buf *b, const char *title, const struct pc_words *words)
{
    if (words->n == 0)
        return;
    pc_buf_fmt(b, "; %s", title);
    for (unsigned i = 0; i < words->n && i < SHOWN_WORDS; i++) {
        pc_buf_char(b, ' ');
        put_cut(b, pc_bytes_str(words->v[i]), SHOWN_BYTES);
    }
    if (words->n > SHOWN_WORDS)
        pc_buf_fmt(b, " and %u more", words->n - SHOWN_WORDS);
}

static void describe_route(struct pc_buf *b, const struct pc_route *route)
{
    static const char *const authentication[] = {"required", "optional", "none"};
    pc_buf_json(b, route->name);
    if (route->config) {
        const struct pc_config_route *c = route->config;
        pc_buf_lit(b, ": path ");
        put_cut(b, c->path[0] ? pc_bytes_str(c->path) : PC_LIT("any"), SHOWN_LIST);
        put_words(b, "hosts", &c->hosts);
        put_words(b, "methods", &c->methods);
        put_words(b, "listeners", &c->listeners);
    }
    pc_buf_fmt(b, "; authentication %s", authentication[route->authentication]);
    if (route->sensitive)
        pc_buf_lit(b, "; sensitive");
    if (route->shadow)
        pc_buf_lit(b, "; shadow: lets pass whatever follows");
}

static void explain_missing(struct pc_trace *t, unsigned missing)
{
    pc_trace_step(t, "route", "refuse", "the routes need what the request did not tell:%s%s%s",
                  missing & PC_ROUTE_NEEDS_PATH ? " path" : "",
                  missing & PC_ROUTE_NEEDS_HOST ? " host" : "",
                  missing & PC_ROUTE_NEEDS_METHOD ? " method" : "");
}

void pc_trace_route(struct pc_trace *t, const struct pc_question *q, const struct pc_decision *d)
{
    uint8_t address[PC_IP_TEXT_MAX];
    struct pc_buf b = pc_buf_of(address, sizeof address);
    pc_ip_format(&q->client, &b);
    if (q->client_malformed) {
        pc_trace_step(t, "client", "refuse", "the client's address cannot be read");
        return;
    }
    pc_trace_step(t, "client", "pass", "%.*s",
                  q->client.family ? (int)b.len : (int)sizeof "no address" - 1,
                  q->client.family ? (const char *)address : "no address");
    if (!d->route) {
        explain_missing(t, q->view->settings->needs & ~q->said);
        return;
    }
    begin_step(t, "route", q->route ? "named" : d->route->config ? "matched" : "default");
    describe_route(t->b, d->route);
    end_step(t);
}

/* ---- IP sets ---- */

void pc_trace_ip_set(struct pc_trace *t, const struct pc_question *q, unsigned set,
                     const struct pc_ip_match *match)
{
    struct pc_ip_rule rule;
    begin_step(t, "ip_set", match->deny ? "refuse" : "pass");
    pc_buf_json(t->b, pc_bytes_str(pc_ip_sets_name(q->view->ip_sets, set)));
    if (pc_ip_match_rule(match, &rule)) {
        pc_buf_fmt(t->b, ": %s rule %s ", pc_ip_source_name(match->source),
                   match->deny ? "deny" : "allow");
        pc_ip_format(&rule.cidr.ip, t->b);
        pc_buf_fmt(t->b, "/%u", rule.cidr.bits);
        if (rule.reason.n) {
            pc_buf_lit(t->b, " (");
            put_cut(t->b, rule.reason, SHOWN_BYTES);
            pc_buf_char(t->b, ')');
        }
    } else if (match->source == PC_IP_FROM_NO_ADDRESS) {
        pc_buf_lit(t->b, ": the client has no address");
    } else {
        pc_buf_fmt(t->b, ": no rule, the default is %s", match->deny ? "deny" : "allow");
    }
    end_step(t);
}

/* ---- limits ---- */

static void explain_limit(struct pc_trace *t, const char *step, const struct pc_charge *c)
{
    static const struct {
        const char *outcome, *text;
    } outcomes[] = {
        [PC_LIMIT_PASSED] = {"pass",   ""                                                    },
        [PC_LIMIT_SHADOWED] = {"shadow", ", would be refused, but the policy is in shadow mode"},
        [PC_LIMIT_UNCOUNTED] = {"pass",   ", no room to count it: fails open"                   },
        [PC_LIMIT_EXCEEDED] = {"refuse", ", too many"                                          },
        [PC_LIMIT_UNAVAILABLE] = {"refuse", ", no room to count it: fails closed"                 },
    };
    PC_ASSERT((size_t)c->outcome < PC_COUNT(outcomes));
    begin_step(t, step, outcomes[c->outcome].outcome);
    pc_buf_json(t->b, pc_bytes_str(c->policy->name));
    pc_buf_lit(t->b, " for ");
    put_cut(t->b, c->key, SHOWN_BYTES);
    pc_buf_fmt(t->b, ": cost %" PRId64 ", %" PRId64 " of %" PRId64 " left%s", c->cost,
               c->result.remaining, c->result.limit, outcomes[c->outcome].text);
    end_step(t);
}

void pc_trace_limits(struct pc_trace *t, const char *step, const struct pc_charge *charges,
                     unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        explain_limit(t, step, &charges[i]);
}

/* ---- token ---- */

static void put_part(struct pc_buf *b, const char *title, const struct pc_cached_token *token,
                     enum pc_part part)
{
    struct pc_bytes value = pc_token_part(token, part);
    if (value.n == 0)
        return;
    pc_buf_fmt(b, "%s ", title);
    put_cut(b, value, 2 * SHOWN_BYTES);
}

/* What a genuine token says, and what refuses it: never the token itself. */
static void explain_token(struct pc_trace *t, const struct pc_decision *d)
{
    const struct pc_verdict *v = &d->verdict;
    bool genuine = v->token != NULL;
    begin_step(t, "token", v->busy || v->error ? "refuse" : "pass");
    if (genuine) {
        put_part(t->b, "issuer", v->token, PC_PART_ISSUER);
        put_part(t->b, "; subject", v->token, PC_PART_SUBJECT);
        put_part(t->b, "; jti", v->token, PC_PART_JTI);
    }
    if (v->busy || v->error) {
        enum pc_decision_code code =
            v->busy ? PC_DECISION_VERIFY_BUDGET_EXHAUSTED : (enum pc_decision_code)v->error;
        pc_buf_fmt(t->b, "%s%s: %s", genuine ? "; " : "", pc_decision_code_info(code)->code,
                   pc_decision_code_info(code)->text);
    } else {
        pc_buf_lit(t->b, "; genuine, alive, not revoked");
    }
    end_step(t);
}

void pc_trace_token(struct pc_trace *t, const struct pc_question *q, const struct pc_decision *d)
{
    if (d->route->authentication == PC_AUTH_NONE)
        pc_trace_step(t, "token", "skip", "the route looks at no token");
    else if (d->route->authentication == PC_AUTH_OPTIONAL && q->token.n == 0)
        pc_trace_step(t, "token", "pass", "none was presented, and none is required: anonymous");
    else
        explain_token(t, d);
}

/* ---- the route's demands, flags ---- */

void pc_trace_rule(struct pc_trace *t, const struct pc_decision *d, enum pc_decision_code code)
{
    const struct pc_route *route = d->route;
    if (route->scope_n) {
        begin_step(t, "scopes", code == PC_DECISION_INSUFFICIENT_SCOPE ? "refuse" : "pass");
        pc_buf_lit(t->b, "needs all of: ");
        pc_buf_json(t->b, route->scope_list);
        pc_buf_lit(t->b, "; the token has: ");
        put_cut(t->b, pc_token_part(d->identity, PC_PART_SCOPES), SHOWN_LIST);
        end_step(t);
    }
    if (route->role_n && code != PC_DECISION_INSUFFICIENT_SCOPE) {
        begin_step(t, "roles", code == PC_DECISION_INSUFFICIENT_ROLE ? "refuse" : "pass");
        pc_buf_lit(t->b, "needs one of:");
        for (unsigned i = 0; i < route->role_n && i < SHOWN_WORDS; i++) {
            pc_buf_char(t->b, ' ');
            put_cut(t->b, route->roles[i], SHOWN_BYTES);
        }
        if (route->role_n > SHOWN_WORDS)
            pc_buf_fmt(t->b, " and %u more", route->role_n - SHOWN_WORDS);
        pc_buf_lit(t->b, "; the token has: ");
        put_cut(t->b, pc_token_part(d->identity, PC_PART_ROLES), SHOWN_LIST);
        end_step(t);
    }
}

void pc_trace_flags(struct pc_trace *t, const struct pc_question *q, const struct pc_decision *d)
{
    const struct pc_route *route = d->route;
    for (unsigned i = 0; i < route->flag_n && i < SHOWN_WORDS; i++) {
        const struct pc_route_flag *f = &route->flags[i];
        const struct pc_flag *flag = pc_flags_find_hashed(q->view->flags, f->key, f->hash);
        begin_step(t, "flag", flag ? "attach" : "skip");
        pc_buf_json(t->b, f->key);
        if (flag) {
            pc_buf_lit(t->b, " = ");
            put_cut(t->b, flag->value, SHOWN_BYTES);
            pc_buf_lit(t->b, " from ");
            put_cut(t->b, flag->source, SHOWN_BYTES);
        } else {
            pc_buf_lit(t->b, ": no such flag");
        }
        end_step(t);
    }
    if (route->flag_n > SHOWN_WORDS)
        pc_trace_step(t, "flag", "attach", "and %u more", route->flag_n - SHOWN_WORDS);
}
