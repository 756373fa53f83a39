/* SPDX-License-Identifier: Apache-2.0
 * A writer with everything it needs, without io_uring: tables, trust, clocks under the test's
 * control, and a core's worker that decides through the real pc_decide().
 *
 * By hand (rig_open) the calling thread is the writer: it pushes jobs, and a turn takes what is
 * there, so a test says which jobs make a batch, and a simulation is one thread. Threaded
 * (rig_start) the writer runs as in production and rig_commit() waits for its answers on a
 * condition variable. Either way the calling thread must be registered with RCU and online.
 * What fails unexpectedly aborts. */
#ifndef PC_TESTS_WRITER_RIG_H
#define PC_TESTS_WRITER_RIG_H

#include <pthread.h>

#include "edge/api/decision.h"
#include "edge/writer/writer_private.h"
#include "support/mint.h"
#include "support/sim_disk.h"

#define RIG_PRODUCERS   4u
#define RIG_ISSUERS     2u
#define RIG_DEAD_MAX    32u
#define RIG_ANSWERS_MAX 16384u
#define RIG_TOKEN_MAX   2048u
#define RIG_WALL_MS     INT64_C(1800000000000) /* a whole second; the clocks start here */
#define RIG_SKEW_MS     5000
#define RIG_LIFETIME_MS 3600000

struct rig {
    struct pc_writer *w;
    struct pc_tables *tables;
    struct pc_metrics *metrics;
    struct pc_events *events;             /* of one core, small histories */
    _Atomic unsigned nudges;              /* posted by the writer */
    struct pc_settings *default_settings; /* the default configuration, no administrators */
    struct pc_writer_options options;     /* may be changed before rig_open or rig_start */
    struct sim_disk *disk;                /* NULL: data_dir is a real directory */
    uint32_t segment_entries;             /* of the tables; 0: as in production */
    struct pc_why why;                    /* of the last open that failed */
    bool by_hand;
    char dir[64];
    uint8_t fingerprint_key[16];

    _Atomic int64_t wall_ms, mono_ns; /* what the writer's clocks show */
    uint64_t random;                  /* state of its random numbers */

    /* Freeing a table waits for grace periods: dead ones are freed together. */
    struct pc_tables *dead[RIG_DEAD_MAX];
    unsigned dead_n;

    struct mint_key *keys[RIG_ISSUERS], *spare_key; /* issuer i signs with keys[i] */
    struct pc_issuer_settings settings[RIG_ISSUERS];

    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct pc_job *answers[RIG_ANSWERS_MAX]; /* in the order they were given back; under lock */
    size_t answers_n;
    unsigned wakes[RIG_PRODUCERS];
};

/* "issuer-0", … */
const char *rig_issuer(unsigned i);

/* Clocks, keys, settings and default options; nothing runs. Without a disk it makes a directory of
 * its own, which rig_free() removes. */
void rig_init(struct rig *r, struct sim_disk *disk);
void rig_free(struct rig *r);
/* Makes fresh tables, recovers; 0, or -1 with r->why when recovery refused. */
int rig_open(struct rig *r);
int rig_start(struct rig *r);
/* Ends the writer in order (snapshot and all), and the tables. */
void rig_close(struct rig *r);
/* By hand: ends it as a crash does: nothing is synced or written. */
void rig_drop(struct rig *r);
/* A draft of the trust snapshot as settings and keys are now. */
struct pc_trust *rig_trust(const struct rig *r);
/* Publishes it through the writer, as a reload does. */
void rig_reload(struct rig *r);

/* Moves both clocks, as time does. Threaded: and makes the writer look. */
void rig_pass(struct rig *r, int64_t ms);
/* Moves the wall clock only: a step. */
void rig_step(struct rig *r, int64_t ms);
/* By hand: turns until nothing is left to do, background work included. */
void rig_settle(struct rig *r);

/* ---- jobs ---- */

struct pc_change rig_change(enum pc_kind kind, enum pc_op op, const char *issuer, const char *id);
/* A job of one Change, or of several. */
struct pc_job *rig_job(const struct pc_change *changes, uint32_t n);
struct pc_job *rig_task(int (*task)(struct pc_writer *, struct pc_job *), void *arg);
/* Pushes; 0 or PC_E_FULL. Threaded: also notifies. */
int rig_push(struct rig *r, unsigned producer, struct pc_job *job);
/* Pushes, waits for the answer, and returns its result; the job is freed unless ret_job wants it.
 */
int rig_run(struct rig *r, struct pc_job *job, struct pc_job **ret_job);
int rig_commit(struct rig *r, enum pc_kind kind, enum pc_op op, const char *issuer, const char *id);
/* Revokes until expires_at_ms. */
int rig_revoke_until(struct rig *r, enum pc_kind kind, const char *id, int64_t expires_at_ms);
/* Waits until `n` answers are there (by hand: takes turns). */
void rig_wait(struct rig *r, size_t n);
/* Frees all answers. */
void rig_forget(struct rig *r);
struct pc_revocation_state rig_look_up(struct rig *r, enum pc_kind kind, const char *issuer,
                                       const char *id);

/* ---- settings ---- */

/* Settings of a configuration's text, compiled; aborts when it is refused. */
struct pc_settings *rig_settings(const struct rig *r, const char *yaml);
/* The same, told why not. */
int rig_try_settings(const struct rig *r, const char *yaml, struct pc_settings **ret,
                     struct pc_why *why);
void rig_free_settings(struct pc_settings *s);
/* Puts them in place through the writer, as a reload does. */
void rig_install(struct rig *r, const char *yaml);

/* ---- deciding ---- */

/* A core's worker over the rig's tables; its clock is its own. One thread uses it. */
struct rig_core {
    struct pc_server server;
    struct pc_settings *settings; /* the rig's */
    struct pc_worker worker;
    struct pc_core core;
    struct pc_metrics *metrics;
};
void rig_core_init(struct rig_core *c, const struct rig *r);
void rig_core_free(struct rig_core *c);
/* The verdict on a token now (the core's clock is the rig's wall clock). */
enum pc_token_error rig_decide(struct rig_core *c, const struct rig *r, const char *token);

/* A token of issuer i, signed with its key: {"iss","sub","jti","iat","exp":iat+900 … more}. */
const char *rig_token(const struct rig *r, unsigned issuer, const char *sub, const char *jti,
                      int64_t iat_s, const char *more, char out[RIG_TOKEN_MAX]);
const char *rig_token_by(const struct mint_key *key, const char *issuer, const char *sub,
                         const char *jti, int64_t iat_s, const char *more, char out[RIG_TOKEN_MAX]);
/* The RFC 7638 thumbprint of a key. */
void rig_thumbprint(const struct mint_key *key, char out[PC_THUMBPRINT_CHARS + 1]);

#endif
