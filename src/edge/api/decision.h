/* SPDX-License-Identifier: Apache-2.0
 * The whole decision about one request: may it pass?
 *
 *   address -> route -> maintenance -> IP sets -> limits before the token -> token -> revocations
 *   -> what the route demands (scopes, roles) -> the other limits -> flags
 *
 * The first step that refuses ends it. A decision reads one view, which its caller loaded after the
 * request's bytes arrived, so it never mixes two configurations. Nothing allocates, locks or waits;
 * runs on a core.
 *
 * Limits charged by a decision that a limit refuses are given back; those charged before a bad
 * token stay charged, because guessing tokens is what they are for. A route in shadow mode decides,
 * counts and logs, and lets pass what it would have refused itself: `allow` then differs from
 * `code`. Maintenance and addresses that the set "global" denies are refused all the same. */
#ifndef PC_API_DECISION_H
#define PC_API_DECISION_H

#include "edge/api/decide.h"
#include "edge/api/decision_codes.h"
#include "edge/api/policies.h"
#include "edge/api/settings.h"
#include "edge/state/ip_sets.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Limits that a question may name beside the route's own. */
#define PC_ASKED_LIMITS_MAX (PC_CHARGES_MAX - PC_ROUTE_LIMITS_MAX)
#define PC_ASKED_FLAGS_MAX  64
/* Values of flags in the field X-Portcullis-Flags; those that do not fit are left out, counted in
 * X-Portcullis-Flags-Omitted. */
#define PC_FLAGS_FIELD_MAX 4096
/* Room for a canonical path and the texts of all limit keys of one decision. */
#define PC_DECISION_KEYS_AT       (8u << 10) /* the path stands before it */
#define PC_DECISION_SCRATCH_BYTES (PC_DECISION_KEYS_AT + PC_CHARGES_MAX * PC_LIMIT_KEY_MAX)
#define PC_MAINTENANCE_RETRY_S    30

/* One limit named by whoever asks. A key of its own is charged after the token was found good;
 * without one the policy's template makes it. */
struct pc_asked_limit {
    const struct pc_policy *policy;
    struct pc_bytes key; /* p NULL: by the policy's template */
    int64_t cost;
};

struct pc_trace;

/* What is asked. Borrowed until the decision is over. */
struct pc_question {
    const struct pc_view *view;
    struct pc_bytes token;
    struct pc_ip client;
    bool client_malformed;              /* the entry that should name the client cannot be read */
    unsigned listener;                  /* index */
    unsigned said;                      /* PC_ROUTE_NEEDS_*: which of these the request told */
    struct pc_bytes method, host, path; /* the path canonical */
    const struct pc_route *route;       /* NULL: by matching */
    struct pc_bytes (*header)(void *ctx, struct pc_bytes name); /* NULL: no headers */
    void *header_ctx;
    const struct pc_asked_limit *limits;
    unsigned limit_n;
    bool dry_run;           /* nothing is charged or counted */
    bool may_wait;          /* the token may take its turn; see pc_decision_is_later() */
    struct pc_trace *trace; /* NULL: nobody wants to know why */
};

struct pc_decision {
    enum pc_decision_code code;
    bool allow;                   /* code is OK, or what refused is in shadow mode */
    const struct pc_route *route; /* NULL when it ended before one was found */
    struct pc_verdict verdict;    /* of the token; .token NULL: none, or not genuine */
    /* The token if it was found good, revocations included: who the request is. NULL: anonymous. */
    const struct pc_cached_token *identity;
    unsigned charge_n; /* limits that were looked at */
    int refused;       /* index of the limit that refused, or -1 */
    unsigned retry_after_s;
    struct pc_ip_match ip; /* IP_DENIED: what denied */
    unsigned ip_set;
    struct pc_charge charges[PC_CHARGES_MAX];
};

void pc_decision_make(struct pc_worker *w, const struct pc_question *q, struct pc_decision *ret_d);
/* Nothing was decided, charged or counted: the question is to be asked again later (unseen.h). Only
 * of questions that may wait. */
static inline bool pc_decision_is_later(const struct pc_decision *d)
{
    return d->verdict.later;
}
/* A question that could not be asked: the request cannot be read. Counted as every decision. */
void pc_decision_refuse(struct pc_worker *w, enum pc_decision_code code, struct pc_decision *ret_d);

/* Fields of an answer, each with CRLF, beside the identity: RateLimit; of an allow also route,
 * attached flags, shadow. PC_DECISION_FIELDS_MAX is always enough. */
void pc_decision_write_fields(struct pc_buf *b, const struct pc_view *view,
                              const struct pc_decision *d);
#define PC_DECISION_FIELDS_MAX (PC_FLAGS_FIELD_MAX + PC_LIMIT_FIELDS_MAX(PC_CHARGES_MAX) + 512)

/* The identity fields of an allow: empty values for an anonymous one. */
struct pc_bytes pc_decision_identity_fields(const struct pc_decision *d);

/* ---- why: for POST /v1/explain; decision_trace.c ---- */

/* Steps as JSON objects {"step","outcome","detail"}, separated by commas. */
struct pc_trace {
    struct pc_buf *b;
    unsigned steps;
};
void pc_trace_route(struct pc_trace *t, const struct pc_question *q, const struct pc_decision *d);
void pc_trace_step(struct pc_trace *t, const char *step, const char *outcome, const char *fmt, ...)
    PC_PRINTF(4, 5);
void pc_trace_ip_set(struct pc_trace *t, const struct pc_question *q, unsigned set,
                     const struct pc_ip_match *match);
void pc_trace_limits(struct pc_trace *t, const char *step, const struct pc_charge *charges,
                     unsigned n);
void pc_trace_token(struct pc_trace *t, const struct pc_question *q, const struct pc_decision *d);
void pc_trace_rule(struct pc_trace *t, const struct pc_decision *d, enum pc_decision_code code);
void pc_trace_flags(struct pc_trace *t, const struct pc_question *q, const struct pc_decision *d);

struct pc_call;
/* Logs a decision if its code is one of log.decisions_reasons, or by sample
 * (log.decisions_sample): never the token, only what it says. */
void pc_log_decision(const struct pc_call *call, const struct pc_settings *s,
                     const struct pc_decision *d);

#ifdef __cplusplus
}
#endif
#endif
