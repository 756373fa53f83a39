/* SPDX-License-Identifier: Apache-2.0
 * The writer's own state, shared by the files of this folder only. Unless said otherwise a field
 * belongs to the writer thread. */
#ifndef PC_WRITER_PRIVATE_H
#define PC_WRITER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/spsc.h"
#include "base/waker.h"
#include "edge/journal/snapshot.h"
#include "edge/state/rcu.h"
#include "edge/state/registers.h"
#include "edge/writer/audit.h"
#include "edge/writer/writer.h"

/* Snapshot sections; the numbers stand in files. */
enum pc_section {
    PC_SECTION_META = 1,     /* struct pc_snapshot_meta, little endian */
    PC_SECTION_IDS = 2,      /* blocks of pc_revocations_export: token, session, family */
    PC_SECTION_CUTOFFS = 3,  /* the same of subject, client */
    PC_SECTION_SCOPES = 4,   /* encoded Changes, each after its 32-bit length */
    PC_SECTION_REGISTERS = 5 /* the same of flags and IP rules */
};

/* What a snapshot carries beside entries. */
struct pc_snapshot_meta {
    uint64_t node;
    uint64_t hlc;      /* newest stamp given out */
    uint32_t wildcard; /* bit per enum pc_kind: an entry with issuer "*" may exist */
    uint32_t version;
};
#define PC_SNAPSHOT_META_VERSION 1u

enum pc_background_request { PC_BACKGROUND_NONE, PC_BACKGROUND_SNAPSHOT };
enum pc_background_result {
    PC_SNAPSHOT_IDLE,
    PC_SNAPSHOT_RUNNING,
    PC_SNAPSHOT_OK,
    PC_SNAPSHOT_BAD
};

/* A second thread does what may take long and needs no write access: preparing journal segments
 * and writing snapshots of the tables, which it reads like any core. */
struct pc_background {
    pthread_t thread;
    bool running;
    struct pc_waker *waker;
    atomic_bool stop;
    atomic_int snapshot; /* enum pc_background_result: RUNNING is set by the writer, who also takes
                            OK and BAD back to IDLE; the thread sets those */
    /* Written by the writer before RUNNING is stored (release), read by the thread after. */
    uint64_t position;
    struct pc_snapshot_meta meta;
    uint8_t *scopes; /* the section's bytes */
    size_t scopes_n;
    uint8_t *registers; /* likewise */
    size_t registers_n;
    int64_t started_ns;
};

/* A third thread derives the audit. */
struct pc_audit_thread {
    struct pc_audit *audit; /* NULL: no audit */
    bool by_hand; /* no thread: pc_background_work() takes its steps; set before threads */
    pthread_t thread;
    bool running; /* the writer's */
    struct pc_waker *waker;
    atomic_bool stop, nudged;
    int64_t next_nudge_ns; /* the writer's; 0: nothing new is durable */
};

/* Flags and IP rules as set at run time, what their snapshots are compiled from, and what the
 * batch at hand would make of them. */
struct pc_rules {
    struct pc_registers *flag_values, *ip_rules;             /* NULL: none */
    struct pc_flag_layer *flag_file;                         /* NULL: none */
    const struct pc_ip_configured *ip_configured;            /* the settings or the tables own it */
    struct pc_registers *draft_flag_values, *draft_ip_rules; /* NULL: not concerned */
    struct pc_parts draft;                                   /* flags and ip_sets of these */
    int64_t ip_left_out_before_ms; /* what had expired then is not in the IP sets */
};

struct pc_writer {
    struct pc_writer_options o;
    struct pc_tables *tables;
    struct pc_journal *journal;
    struct pc_waker *waker;
    pthread_t thread;   /* who is the writer: set by that thread itself, read by it alone */
    pthread_t joinable; /* of pc_writer_start(), for pc_writer_stop() */
    bool thread_running;
    struct pc_background background;
    struct pc_audit_thread audit;

    struct pc_spsc **queues; /* [producers]: pushed by that producer, popped here */
    struct pc_job **held;    /* [producers]: popped, but not fit for the batch at hand */
    unsigned next_queue;     /* where the next batch starts to look, for fairness */

    struct pc_job **batch; /* the batch at hand */
    size_t batch_jobs, batch_cap;
    uint32_t batch_changes;
    size_t batch_bytes, batch_bytes_max;
    enum pc_op batch_op;
    struct pc_job_item **items; /* its Changes, [PC_JOURNAL_BATCH_RECORDS_MAX] */
    uint8_t *encoded;           /* its records */
    struct pc_bytes *records;   /* [PC_JOURNAL_BATCH_RECORDS_MAX] */
    bool *woken;                /* [producers]: got an answer in this batch */

    uint64_t node, incarnation, sequence;
    struct pc_hlc hlc;
    struct pc_clock_guard clock;
    struct pc_scopes scopes;
    uint32_t wildcard; /* bit per enum pc_kind */
    struct pc_rules rules;
    /* Reserved for the next publish, so that it cannot fail: a copy of the trust snapshot in use
     * where that is to be changed, and the next view. */
    struct pc_trust *spare_draft;
    struct pc_view *spare_view;
    uint8_t key_id[PC_SNAPSHOT_KEY_ID_BYTES];

    int64_t next_tick_ns;
    int64_t next_sync_ns;         /* 0: nothing waits for a sync */
    int64_t next_seal_ns;         /* 0: nothing was synced since the last seal */
    uint64_t snapshot_base_bytes; /* bytes appended when the last snapshot began */
    uint64_t appended_bytes;
    uint64_t last_position; /* of the last record appended; at a start: of its mark */
    int64_t last_snapshot_ms;

    /* Read by any thread. */
    atomic_int state; /* enum pc_writer_state; `why` is complete before FAILED or READ_ONLY */
    atomic_bool stop;
    atomic_bool outbox_full; /* the journal is at its limit: mutations are refused */
    atomic_int clock_state;
    _Atomic int64_t clock_step_ms;
    _Atomic uint64_t changes, batches, refused;
    _Atomic uint64_t snapshot_position;
    struct pc_recovered recovered; /* constant once the state is not RECOVERING */
    _Atomic int64_t recovery_ms;
    char why[512];
};

static inline int64_t pc_writer_wall(const struct pc_writer *w)
{
    return w->o.wall_ms(w->o.ctx);
}

static inline int64_t pc_writer_mono(const struct pc_writer *w)
{
    return w->o.mono_ns(w->o.ctx);
}

/* writer.c: the life of the writer in pieces, in this order. pc_writer_start() runs them on a
 * thread of its own; simulations run them on theirs (registered and online) and so decide what
 * happens when. Without the background thread its work is done by pc_background_work(). */
int pc_writer_new(const struct pc_writer_options *options, struct pc_writer **ret_w,
                  struct pc_why *why);
bool pc_writer_bring_up(struct pc_writer *w, bool with_background);
/* One batch if there are jobs, then what time has made due. Whether there was a batch. */
bool pc_writer_turn(struct pc_writer *w);
void pc_writer_shut_down(struct pc_writer *w);
void pc_writer_close(struct pc_writer *w);

/* apply.c: a Change's fingerprint where it concerns an entry of a table, else 0. */
uint64_t pc_writer_fingerprint(const struct pc_writer *w, const struct pc_change *c);
/* Begins to fetch what stamping or applying a Change with this fingerprint will look at. */
void pc_writer_prefetch(const struct pc_writer *w, const struct pc_job_item *item);
/* Gives a Change its identity, its stamp and what follows from it. */
void pc_writer_stamp(struct pc_writer *w, struct pc_job_item *item, int64_t wall_ms);
/* apply.c: what applying some Changes will need. */
struct pc_room {
    uint32_t ids, cutoffs, scopes, flags, ip_rules; /* Changes for each */
    bool publish;                                   /* and perhaps a new trust snapshot */
};
void pc_room_add(struct pc_room *room, const struct pc_change *c);
/* Merges a Change into the tables; cannot fail after pc_writer_reserve(). Idempotent, order does
 * not matter. Returns whether the trust snapshot must be published anew. */
int pc_writer_reserve(struct pc_writer *w, const struct pc_room *room);
bool pc_writer_apply(struct pc_writer *w, const struct pc_change *c, uint64_t fingerprint);
/* Reserves the next view, and (publish) a copy of the trust snapshot in spare_draft. */
int pc_writer_reserve_view(struct pc_writer *w);
int pc_writer_reserve_publish(struct pc_writer *w);
/* Publishes a view with these parts replaced; trust is made to reflect the scopes. */
void pc_writer_publish(struct pc_writer *w, const struct pc_parts *fresh);

/* rules.c: what the Changes of the batch at hand make of flags and IP rules, as drafts; nothing is
 * changed when that fails. Then either the drafts are taken, as parts to be published, or dropped.
 */
int pc_rules_draft(struct pc_writer *w, const struct pc_room *room);
void pc_rules_take(struct pc_writer *w, struct pc_parts *parts);
void pc_rules_drop(struct pc_writer *w);
void pc_rules_free(struct pc_writer *w);
/* Merges registers without compiling anything: recovery. -ENOMEM */
int pc_rules_merge(struct pc_writer *w, enum pc_kind kind, const struct pc_register *changes,
                   size_t n);
/* Compiles both from what is in effect. */
int pc_rules_compile(struct pc_writer *w, struct pc_parts *parts, struct pc_why *why);
/* Now and then, when ready: takes IP rules that expired out of the view. */
void pc_rules_tick(struct pc_writer *w);
/* All registers that survive a restart as encoded Changes, each after its 32-bit length. */
int pc_rules_encode(const struct pc_writer *w, uint8_t **ret_bytes, size_t *ret_n);
struct pc_register pc_rules_register(const struct pc_change *c);
/* audit_thread.c: after recovery; nothing happens in any of them without an audit. */
int pc_audit_thread_new(struct pc_writer *w, struct pc_why *why);
void pc_audit_thread_free(struct pc_writer *w);
int pc_audit_thread_start(struct pc_writer *w, struct pc_why *why);
/* Ends the thread and derives what is durable by now. */
void pc_audit_thread_stop(struct pc_writer *w);
/* Something became durable: the thread is to be nudged soon. */
void pc_audit_thread_due(struct pc_writer *w);
void pc_audit_thread_nudge(struct pc_writer *w);
/* Without a thread: one step; whether it got further. */
bool pc_audit_thread_work(struct pc_writer *w);
/* recovery.c */
int pc_writer_recover(struct pc_writer *w, struct pc_why *why);
/* background.c */
int pc_background_start(struct pc_writer *w, struct pc_why *why);
void pc_background_stop(struct pc_writer *w);
/* Makes the next segment, or a snapshot, if wanted; whether it did something. */
bool pc_background_work(struct pc_writer *w);
/* Asks for a snapshot of everything applied so far; -EBUSY while one is being written. */
int pc_background_snapshot(struct pc_writer *w);
/* Writes one on the calling thread, the writer, at shutdown. */
int pc_writer_snapshot_now(struct pc_writer *w, struct pc_why *why);
/* Takes back the result of the last one, if it ended. */
void pc_background_collect(struct pc_writer *w);

#endif
