/* SPDX-License-Identifier: Apache-2.0
 * Jobs: one allocation that holds the items and their bytes. */
#include "edge/writer/job.h"

#include <stdlib.h>

bool pc_job_fits(uint32_t changes, size_t bytes)
{
    return changes <= PC_JOB_CHANGES_MAX && bytes <= PC_JOB_BYTES_MAX &&
           bytes + (size_t)changes * PC_JOB_CHANGE_OVERHEAD <= PC_JOB_BYTES_MAX;
}

struct pc_job *pc_job_new(uint32_t changes, size_t bytes)
{
    if (!pc_job_fits(changes, bytes))
        return NULL;
    size_t items = (size_t)changes * sizeof(struct pc_job_item);
    struct pc_job *job = calloc(1, sizeof *job + items + bytes);
    if (!job)
        return NULL;
    job->discard = free;
    job->cap = changes;
    job->items = (struct pc_job_item *)(job + 1);
    job->bytes = pc_buf_of((uint8_t *)(job + 1) + items, bytes);
    return job;
}

void pc_job_free(struct pc_job *job)
{
    free(job);
}

static struct pc_bytes keep(struct pc_job *job, struct pc_bytes s)
{
    struct pc_bytes kept = pc_bytes_of(job->bytes.p + job->bytes.len, s.n);
    pc_buf_bytes(&job->bytes, s);
    return kept;
}

int pc_job_add(struct pc_job *job, const struct pc_change *change)
{
    size_t need = change->issuer.n + change->id.n + change->actor.n + change->source.n +
                  change->request_id.n + change->reason.n + change->value.n;
    if (job->count == job->cap || need > job->bytes.cap - job->bytes.len)
        return PC_E_FULL;
    struct pc_change *c = &job->items[job->count++].change;
    *c = *change;
    c->issuer = keep(job, change->issuer);
    c->id = keep(job, change->id);
    c->actor = keep(job, change->actor);
    c->source = keep(job, change->source);
    c->request_id = keep(job, change->request_id);
    c->reason = keep(job, change->reason);
    c->value = keep(job, change->value);
    PC_ASSERT(!job->bytes.overflow);
    return 0;
}
