/* SPDX-License-Identifier: Apache-2.0
 * See submit.h. A job names its call by the connection's slot and generation, because the client
 * may be gone, and another in its place, when the job is back. */
#include "edge/api/submit.h"

#include "edge/api/mutate.h"

void pc_call_submit(struct pc_call *call, struct pc_job *job, void (*done)(struct pc_job *job))
{
    struct pc_conn_ref ref = pc_conn_ref(call->conn);
    job->done = done;
    job->owner = call->worker;
    job->owner_slot = ref.slot;
    job->owner_tag = ref.generation;
    if (pc_worker_submit(call->worker, job) < 0) {
        pc_metric_add(call->worker->metrics, PC_M_MUTATIONS_REFUSED_QUEUE, job->count);
        pc_job_free(job);
        pc_call_reply_busy(call, "WRITER_BUSY", "too many mutations wait already", 1);
        return;
    }
    pc_call_park(call);
}

struct pc_call *pc_call_of_job(struct pc_job *job)
{
    struct pc_worker *w = job->owner;
    struct pc_conn_ref ref = {job->owner_slot, (uint32_t)job->owner_tag, w->core->index};
    struct pc_conn *c = pc_conn_get(w->core, ref);
    return c ? pc_call_of(c) : NULL;
}

void pc_call_reply_job_failed(struct pc_call *call, int result)
{
    struct pc_mutation_refusal refusal;
    pc_mutation_explain(result, &refusal);
    if (refusal.status == 503)
        pc_call_reply_busy(call, refusal.code, refusal.text, 5);
    else
        pc_call_reply_error(call, refusal.status, refusal.code, "%s", refusal.text);
}

void pc_call_stamp(const struct pc_call *call, struct pc_change *c, uint8_t address[PC_IP_TEXT_MAX])
{
    struct pc_buf b = pc_buf_of(address, PC_IP_TEXT_MAX);
    pc_ip_format(&call->client, &b);
    c->source = pc_bytes_of(b.p, b.len);
    c->actor = pc_bytes_str(call->principal.actor);
    c->request_id = pc_call_request_id(call);
}
