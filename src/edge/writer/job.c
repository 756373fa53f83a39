/* SPDX-License-Identifier: Apache-2.0
 * Jobs: one allocation that holds the items and their bytes. */
#include "edge/writer/job.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(PC_JOB_SMALL_BYTES > sizeof(struct pc_job) + sizeof(struct pc_job_item) + 160,
               "an issuer, an id and who asked fit a small job");

bool pc_job_fits(uint32_t changes, size_t bytes)
{
    return changes <= PC_JOB_CHANGES_MAX && bytes <= PC_JOB_BYTES_MAX &&
           bytes + (size_t)changes * PC_JOB_CHANGE_OVERHEAD <= PC_JOB_BYTES_MAX;
}

/* Items are zero, texts are not: they are written before they are read. */
static struct pc_job *set_up(struct pc_job *job, uint32_t changes, size_t bytes)
{
    size_t items = (size_t)changes * sizeof(struct pc_job_item);
    memset(job, 0, sizeof *job + items);
    job->discard = free;
    job->cap = changes;
    job->items = (struct pc_job_item *)(job + 1);
    job->bytes = pc_buf_of((uint8_t *)(job + 1) + items, bytes);
    return job;
}

struct pc_job *pc_job_new(uint32_t changes, size_t bytes)
{
    if (!pc_job_fits(changes, bytes))
        return NULL;
    struct pc_job *job = malloc(sizeof *job + (size_t)changes * sizeof(struct pc_job_item) + bytes);
    return job ? set_up(job, changes, bytes) : NULL;
}

void pc_job_free(struct pc_job *job)
{
    free(job);
}

struct pc_job *pc_job_take(struct pc_job_pool *pool, size_t bytes)
{
    if (bytes > PC_JOB_SMALL_BYTES - sizeof(struct pc_job) - sizeof(struct pc_job_item))
        return pc_job_new(1, bytes);
    struct pc_job *job = pool->spare;
    if (job) {
        pool->spare = job->spare_next;
        pool->count--;
    } else {
        job = malloc(PC_JOB_SMALL_BYTES);
    }
    if (job)
        set_up(job, 1, bytes)->small = true;
    return job;
}

void pc_job_give(struct pc_job_pool *pool, struct pc_job *job)
{
    if (!job || !job->small || pool->count == PC_JOB_POOL_SPARE_MAX) {
        free(job);
        return;
    }
    job->spare_next = pool->spare;
    pool->spare = job;
    pool->count++;
}

void pc_job_pool_free(struct pc_job_pool *pool)
{
    while (pool->spare) {
        struct pc_job *next = pool->spare->spare_next;
        free(pool->spare);
        pool->spare = next;
    }
    pool->count = 0;
}

size_t pc_job_text_bytes(const struct pc_change *change)
{
    return change->issuer.n + change->id.n + change->actor.n + change->source.n +
           change->request_id.n + change->reason.n + change->value.n;
}

static struct pc_bytes keep(struct pc_job *job, struct pc_bytes s)
{
    struct pc_bytes kept = pc_bytes_of(job->bytes.p + job->bytes.len, s.n);
    pc_buf_bytes(&job->bytes, s);
    return kept;
}

int pc_job_add(struct pc_job *job, const struct pc_change *change)
{
    if (job->count == job->cap || pc_job_text_bytes(change) > job->bytes.cap - job->bytes.len)
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
