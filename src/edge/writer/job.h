/* SPDX-License-Identifier: Apache-2.0
 * A job: what a core asks of the writer, and the answer.
 *
 * A core makes a job, fills it and hands it over; from then on until it comes back through the
 * core's mailbox only the writer touches it. Then the core reads the result and frees it. A job
 * travels with its bytes, so nothing in it points into a connection's buffers. */
#ifndef PC_WRITER_JOB_H
#define PC_WRITER_JOB_H

#include "edge/state/revocations.h"
#include "link/change.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_JOB_CHANGES_MAX 4096 /* Changes in one job */
/* What a Change costs in the journal beside its texts, at most: fixed fields, tags, lengths. */
#define PC_JOB_CHANGE_OVERHEAD 128
/* Texts + overhead of one job: it must fit one journal batch, because a job is all or nothing. */
#define PC_JOB_BYTES_MAX (1000u << 10)

struct pc_writer;

/* What happened to one Change. */
struct pc_job_item {
    struct pc_change change; /* in: kind, op, issuer, id, expires_at_ms, audit; out: all of it */
    uint64_t fingerprint;    /* the writer's: of an entry of a table, else 0 */
    bool was_refused;        /* out: whether the id was refused just before */
    struct pc_revocation_state state; /* out, of a task that looks the id up */
};

struct pc_job {
    void (*discard)(void *job); /* first: frees a message nobody will read any more */
    unsigned producer;          /* the queue it went through, and the mailbox it comes back to */
    int result; /* 0: durable as configured and visible; else PC_E_*, nothing was done */
    uint32_t count, cap;
    struct pc_job_item *items;
    struct pc_buf bytes; /* owns what the items' byte runs point to */
    /* Run on the writer instead of a mutation when set: publishing keys, confirming the clock. */
    int (*task)(struct pc_writer *w, struct pc_job *job);
    void *task_arg;
    /* For the owner alone. */
    void (*done)(struct pc_job *job);
    void *owner;
    uint64_t owner_tag;
    uint32_t owner_slot;
    int64_t submitted_ns;
    void (*owner_fn)(void);
    struct pc_job *spare_next; /* while it lies in a pool */
    bool small;                /* PC_JOB_SMALL_BYTES: a pool may keep it */
};

/* Room for `changes` Changes with at most `bytes` bytes of text in all; NULL when out of memory
 * or above the limits (pc_job_fits() tells which). */
bool pc_job_fits(uint32_t changes, size_t bytes);
struct pc_job *pc_job_new(uint32_t changes, size_t bytes);
void pc_job_free(struct pc_job *job);
/* Copies the Change and its bytes. PC_E_FULL when there is no room left. */
int pc_job_add(struct pc_job *job, const struct pc_change *change);
/* The bytes of text a Change brings into its job. */
size_t pc_job_text_bytes(const struct pc_change *change);

/* A core's small jobs that are not in use. A job is made for every mutation; with many under way
 * at once malloc() gave the memory back to the system and asked for it again all the time, which
 * cost more than the mutation. */
struct pc_job_pool {
    struct pc_job *spare;
    uint32_t count;
};
#define PC_JOB_SMALL_BYTES    640  /* the job, one item and texts as they mostly are */
#define PC_JOB_POOL_SPARE_MAX 1024 /* more are freed */

/* As pc_job_new(), for one Change; the pool's owner only. */
struct pc_job *pc_job_take(struct pc_job_pool *pool, size_t bytes);
/* Any job of the owner, instead of pc_job_free(). */
void pc_job_give(struct pc_job_pool *pool, struct pc_job *job);
void pc_job_pool_free(struct pc_job_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
