/* SPDX-License-Identifier: Apache-2.0
 * The one writer: the only thread that changes revocations and the trust snapshot, and the only
 * one that appends to the journal.
 *
 * Producers (the cores and the main thread) each own one bounded queue into it. It takes a batch,
 * and in this order (commit_batch() in writer.c): stamps every Change with the hybrid clock,
 * appends to the journal, syncs, applies to the tables, publishes, acknowledges.
 *
 * I1  A job is acknowledged with 0 only after its Changes are durable as configured and every
 *     lookup that starts later, on any thread, sees them.
 * I2  A job that is acknowledged with an error changed nothing in memory.
 * I3  Jobs of one producer are taken, applied and acknowledged in the order they were pushed.
 * I4  A Change is stamped after every Change before it was applied, so that a stamp can be put
 *     above the state it means to override (a batch never mixes revokes and clears).
 * I5  Once the journal failed no job is acknowledged with 0 again.
 * I6  Before recovery is complete pc_writer_ready() is false and nobody may read the tables.
 *
 * Reader threads: pc_writer_push(), pc_writer_ready(), pc_writer_health(). All else is private to
 * the writer thread. */
#ifndef PC_WRITER_WRITER_H
#define PC_WRITER_WRITER_H

#include "base/config.h"
#include "base/metrics.h"
#include "edge/journal/journal.h"
#include "edge/writer/audit.h"
#include "edge/writer/clock_guard.h"
#include "edge/writer/events.h"
#include "edge/writer/hlc.h"
#include "edge/writer/job.h"
#include "edge/writer/scopes.h"
#include "edge/writer/tables.h"

#define PC_WRITER_QUEUE_JOBS    4096 /* per producer by default; a full queue is answered 503 */
#define PC_WRITER_PRODUCERS_MAX 300  /* cores and the main thread */
/* A writer that has synced nothing for so long marks how far the journal is durable. Not at once: a
 * client that waits for each answer would pay two syncs for every change. */
#define PC_WRITER_SEAL_MS    100
#define PC_WRITER_AUDIT_MS   20     /* from a sync to deriving the audit of what it made durable */
#define PC_WRITER_TICK_MS    1000   /* expiry, clock, snapshot and gauge checks */
#define PC_WRITER_REAP_SLOTS 200000 /* looked at per tick and table */

enum pc_writer_state {
    PC_WRITER_RECOVERING,
    PC_WRITER_READY,
    PC_WRITER_READ_ONLY, /* the journal failed: decides, but refuses mutations */
    PC_WRITER_FAILED     /* recovery failed: `why` tells */
};

struct pc_writer_options {
    const char *data_dir;
    const struct pc_file_ops *files; /* the seam; NULL = the real one */
    enum pc_durability durability;
    int64_t async_interval_ms;    /* PC_DURABILITY_ASYNC: longest time between syncs */
    uint32_t segment_bytes;       /* of the journal */
    uint64_t snapshot_bytes;      /* journal written since the last snapshot before a new one */
    int64_t snapshot_interval_ms; /* 0: by size only */
    uint64_t outbox_max_bytes;    /* journal kept at most; beyond it mutations are refused */
    bool audit;                   /* derive audit.jsonl */
    uint64_t audit_file_bytes;    /* 0 = default */
    enum pc_recover_mode recover; /* --recover */
    uint64_t node;                /* this node's id: identity.h */
    unsigned producers;
    uint32_t queue_jobs; /* per producer, a power of two; 0 = PC_WRITER_QUEUE_JOBS */
    struct pc_tables *tables;
    struct pc_flag_layer *flag_file; /* taken over when starting succeeds; NULL: none */
    const struct pc_flag_layer *flag_environment;
    const struct pc_ip_configured *ip_configured; /* NULL: none */
    struct pc_events *events;                     /* told of what changes; NULL: nobody watches */
    /* Gives an answered job back to its producer, on the writer's thread, in order. Never blocks
     * and never fails: a producer has at most PC_WRITER_QUEUE_JOBS jobs under way, and its mailbox
     * holds as many. Jobs of producer 0..producers-1. */
    void (*give_back)(void *ctx, struct pc_job *job);
    /* Called after the last give_back of a batch for this producer: wake it. */
    void (*wake)(void *ctx, unsigned producer);
    void *ctx;
    int64_t (*wall_ms)(void *ctx); /* clocks; NULL = the real ones */
    int64_t (*mono_ns)(void *ctx);
    uint64_t (*random_u64)(void *ctx); /* names of starts; NULL = the real one */
    struct pc_metrics_block *metrics;
    /* So that a standard error nobody reads cannot hold up mutations; NULL: lines are written by
     * the threads themselves. */
    struct pc_logger *logger;
};

/* What health and metrics show; a consistent enough copy, any thread. */
struct pc_writer_health {
    enum pc_writer_state state;
    bool journal_full; /* at outbox_max_bytes: mutations are refused until a snapshot makes room */
    enum pc_clock_state clock;
    int64_t clock_step_ms;
    uint64_t node, incarnation;
    uint64_t snapshot_position;
    uint64_t recovered_records;
    int64_t recovery_ms;
    uint64_t changes, batches, refused;
    bool audit; /* it is derived, and `audited` tells how */
    struct pc_audit_status audited;
    char why[512]; /* of READ_ONLY or FAILED */
};

int pc_writer_start(const struct pc_writer_options *options, struct pc_writer **ret_w,
                    struct pc_why *why);
/* Stops taking jobs once the queues are empty, syncs, writes a snapshot and joins. 0 when all that
 * was possible. Producers may not push any more. */
int pc_writer_stop(struct pc_writer *w);
void pc_writer_free(struct pc_writer *w);

/* Producer `producer` only. PC_E_FULL: the job stays with the caller. */
int pc_writer_push(struct pc_writer *w, unsigned producer, struct pc_job *job);
/* After one or more pushes: wakes the writer if it sleeps. */
void pc_writer_notify(struct pc_writer *w);

/* For a job's task, on the writer's thread: the merged state of what c names (kind, issuer, id),
 * and whether it refuses now. */
void pc_writer_look_up(struct pc_writer *w, const struct pc_change *c,
                       struct pc_revocation_state *ret_state);
/* For a job's task: the wall clock is right, expired entries may be removed again. */
void pc_writer_confirm_clock(struct pc_writer *w);
/* What a reload puts in place, in one publish; NULL members stay as they are, all others are taken
 * over, also when it fails: trust, settings and flag_file are NULL afterwards. */
struct pc_install {
    struct pc_trust *trust; /* issuers and keys built anew */
    struct pc_settings *settings;
    void (*free_settings)(struct pc_settings *settings);
    const struct pc_ip_configured *ip_configured; /* part of settings */
    struct pc_flag_layer *flag_file;              /* an empty layer: no file any more */
    struct pc_why *why;                           /* may be NULL */
};
/* For a job's task. -ENOMEM, or why flags and IP rules do not fit each other: nothing was changed.
 */
int pc_writer_install(struct pc_writer *w, struct pc_install *in);
/* Frees what was not taken over: the job could not even be made. Any thread. */
void pc_install_free(struct pc_install *in);
/* For a job's task: begins a snapshot; -EBUSY while one is being written. */
int pc_writer_begin_snapshot(struct pc_writer *w);

bool pc_writer_ready(const struct pc_writer *w);
void pc_writer_health(struct pc_writer *w, struct pc_writer_health *ret_health);

#endif
