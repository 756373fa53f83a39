/* SPDX-License-Identifier: Apache-2.0
 * Log lines of decisions: those whose code is asked for, and a sample of all. Runs on a core; the
 * line is formatted into the core's ring. */
#include "edge/api/call.h"
#include "edge/api/decision.h"

/* Whether this decision is one of the sample: the fraction is compared with 53 random bits. */
static bool sampled(struct pc_worker *w, double fraction)
{
    if (PC_LIKELY(fraction <= 0))
        return false;
    return (double)(pc_prng_u64(&w->prng) >> 11) * 0x1p-53 < fraction;
}

static void log_token(struct pc_log *l, const struct pc_verdict *v)
{
    if (!v->token)
        return;
    pc_log_bytes(l, "issuer", pc_token_part(v->token, PC_PART_ISSUER));
    pc_log_bytes(l, "subject", pc_token_part(v->token, PC_PART_SUBJECT));
    pc_log_bytes(l, "jti", pc_token_part(v->token, PC_PART_JTI));
}

void pc_log_decision(const struct pc_call *call, const struct pc_settings *s,
                     const struct pc_decision *d)
{
    if (PC_LIKELY(!(s->log_codes >> d->code & 1)) &&
        !sampled(call->worker, s->config->log.decisions_sample))
        return;
    uint8_t client[PC_IP_TEXT_MAX];
    struct pc_buf b = pc_buf_of(client, sizeof client);
    struct pc_log *l = pc_log_begin(PC_LOG_INFO, "decision");
    pc_log_bytes(l, "request_id", pc_bytes_of(call->request_id, call->request_id_n));
    if (call->traceparent_n)
        pc_log_bytes(l, "traceparent", pc_bytes_of(call->traceparent, call->traceparent_n));
    pc_log_str(l, "code", pc_decision_code_info(d->code)->code);
    if (d->allow && d->code)
        pc_log_str(l, "result", "shadow");
    if (d->route)
        pc_log_bytes(l, "route", d->route->name);
    pc_ip_format(&call->client, &b);
    pc_log_bytes(l, "client", pc_bytes_of(b.p, b.len));
    if (d->refused >= 0)
        pc_log_str(l, "policy", d->charges[d->refused].policy->name);
    log_token(l, &d->verdict);
    pc_log_end(l);
}
