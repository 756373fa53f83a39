/* SPDX-License-Identifier: Apache-2.0
 * Sampled log lines of decisions. Runs on a core; the line is formatted into the core's ring. */
#include "edge/api/call.h"
#include "edge/api/decide.h"

/* Whether this decision is one of the sample: the fraction is compared with 53 random bits. */
static bool sampled(struct pc_worker *w, double fraction)
{
    if (PC_LIKELY(fraction <= 0))
        return false;
    return (double)(pc_prng_u64(&w->prng) >> 11) * 0x1p-53 < fraction;
}

void pc_log_decision(const struct pc_call *call, const struct pc_verdict *v)
{
    const struct pc_config *c = pc_server_settings(call->worker->server)->config;
    if (!sampled(call->worker, c->log.decisions_sample))
        return;
    struct pc_log *l = pc_log_begin(PC_LOG_INFO, "decision");
    pc_log_bytes(l, "request_id", pc_bytes_of(call->request_id, call->request_id_n));
    if (call->traceparent_n)
        pc_log_bytes(l, "traceparent", pc_bytes_of(call->traceparent, call->traceparent_n));
    pc_log_str(l, "code", pc_verdict_code(v));
    if (v->token) {
        pc_log_bytes(l, "issuer", pc_token_part(v->token, PC_PART_ISSUER));
        pc_log_bytes(l, "subject", pc_token_part(v->token, PC_PART_SUBJECT));
        pc_log_bytes(l, "jti", pc_token_part(v->token, PC_PART_JTI));
    }
    pc_log_end(l);
}
