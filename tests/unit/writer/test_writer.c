/* SPDX-License-Identifier: Apache-2.0
 * What the writer promises to those who push jobs (I1-I6 of writer.h): what makes a batch, in which
 * order things happen, what a failed journal means, and how durable each setting is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "edge/state/rcu.h"
#include "support/writer_rig.h"

#define ISSUER "issuer-0"

struct fixture {
    struct rig rig;
    struct sim_disk *disk;
};
static struct fixture f;

static int setup(void **state)
{
    (void)state;
    f.disk = sim_disk_new(1);
    rig_init(&f.rig, f.disk);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (f.rig.w)
        rig_close(&f.rig);
    rig_free(&f.rig);
    sim_disk_free(f.disk);
    return 0;
}

static struct pc_job *one(enum pc_kind kind, enum pc_op op, const char *id)
{
    struct pc_change c = rig_change(kind, op, kind == PC_KIND_ALL ? "" : ISSUER, id);
    return rig_job(&c, 1);
}

static bool refused(enum pc_kind kind, const char *id)
{
    return rig_look_up(&f.rig, kind, kind == PC_KIND_ALL ? "" : ISSUER, id).refused;
}

static struct pc_writer_health health(void)
{
    struct pc_writer_health h;
    pc_writer_health(f.rig.w, &h);
    return h;
}

/* ---- batches ---- */

static void waiting_jobs_of_all_producers_share_one_batch(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    rig_open(r);
    for (unsigned p = 0; p < RIG_PRODUCERS; p++)
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(0, rig_push(r, p, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a")));
    uint64_t before = health().batches;
    assert_true(pc_writer_turn(r->w));
    assert_int_equal(r->answers_n, 3 * RIG_PRODUCERS);
    assert_int_equal(health().batches, before + 1);
    for (unsigned p = 0; p < RIG_PRODUCERS; p++)
        assert_int_equal(r->wakes[p], 1); /* once, behind its last answer */
}

static void a_batch_never_mixes_revokes_and_clears(void **state) /* I4 */
{
    (void)state;
    struct rig *r = &f.rig;
    rig_open(r);
    rig_push(r, 0, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"));
    rig_push(r, 0, one(PC_KIND_TOKEN, PC_OP_CLEAR, "a"));
    rig_push(r, 0, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"));
    rig_push(r, 1, one(PC_KIND_TOKEN, PC_OP_REVOKE, "b"));
    assert_true(pc_writer_turn(r->w)); /* both revokes; producer 0's clear waits */
    assert_int_equal(r->answers_n, 2);
    assert_true(pc_writer_turn(r->w));
    assert_int_equal(r->answers_n, 3);
    assert_int_equal(r->answers[2]->items[0].change.op, PC_OP_CLEAR);
    assert_true(r->answers[2]->items[0].was_refused);
    assert_true(pc_writer_turn(r->w));
    assert_int_equal(r->answers_n, 4);
    assert_false(r->answers[3]->items[0].was_refused);
    rig_forget(r);
    assert_true(refused(PC_KIND_TOKEN, "a") && refused(PC_KIND_TOKEN, "b"));
}

static void jobs_of_one_producer_stay_in_order(void **state) /* I3 */
{
    (void)state;
    struct rig *r = &f.rig;
    uint64_t random = 3, seen[RIG_PRODUCERS] = {0}, pushed[RIG_PRODUCERS] = {0};
    rig_open(r);
    for (unsigned i = 0; i < 400; i++) {
        unsigned p = (unsigned)sim_below(&random, RIG_PRODUCERS);
        enum pc_op op = sim_below(&random, 2) ? PC_OP_REVOKE : PC_OP_CLEAR;
        struct pc_job *job = one(PC_KIND_SESSION, op, "s");
        job->owner_tag = ++pushed[p];
        assert_int_equal(0, rig_push(r, p, job));
        if (sim_below(&random, 5) == 0)
            pc_writer_turn(r->w);
    }
    rig_wait(r, 400);
    uint64_t last = 0;
    for (size_t i = 0; i < 400; i++) {
        const struct pc_job *job = r->answers[i];
        assert_int_equal(job->owner_tag, ++seen[job->producer]);
        assert_true(job->items[0].change.hlc > last); /* answered in the order of their stamps */
        last = job->items[0].change.hlc;
    }
}

static void a_job_is_never_split(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    static struct pc_change changes[PC_JOB_CHANGES_MAX];
    static char ids[PC_JOB_CHANGES_MAX][16];
    r->options.segment_bytes = 4u << 20;
    rig_open(r);
    for (unsigned i = 0; i < PC_JOB_CHANGES_MAX; i++) {
        snprintf(ids[i], sizeof ids[i], "%u", i);
        changes[i] = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, ids[i]);
    }
    for (unsigned p = 0; p < 3; p++)
        rig_push(r, p, rig_job(changes, PC_JOB_CHANGES_MAX));
    assert_true(pc_writer_turn(r->w));
    assert_int_equal(r->answers_n, 1); /* two of them are more than one journal batch holds */
    rig_wait(r, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(r->answers[i]->result, 0);
    assert_int_equal(health().changes, 3 * PC_JOB_CHANGES_MAX);
}

/* Jobs that fit a segment one by one must not fail because they came together. */
static void a_batch_fits_the_smallest_segment(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    r->options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
    rig_open(r);
    for (unsigned i = 0; i < 300; i++)
        rig_push(r, i % RIG_PRODUCERS, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"));
    rig_wait(r, 300);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(r->answers[i]->result, 0);
}

static void a_full_queue_gives_the_job_back(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    r->options.queue_jobs = 4;
    rig_open(r);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(0, rig_push(r, 1, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a")));
    struct pc_job *job = one(PC_KIND_TOKEN, PC_OP_REVOKE, "b");
    assert_int_equal(PC_E_FULL, rig_push(r, 1, job));
    assert_int_equal(0, rig_push(r, 2, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"))); /* not others' */
    rig_wait(r, 5);
    assert_int_equal(0, rig_push(r, 1, job));
    rig_wait(r, 6);
    rig_forget(r);
    assert_true(refused(PC_KIND_TOKEN, "b"));
}

static int count_call(struct pc_writer *w, struct pc_job *job)
{
    (void)w;
    (*(unsigned *)job->task_arg)++;
    return -EXDEV;
}

static void a_task_runs_alone_in_its_turn(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    unsigned calls = 0;
    rig_open(r);
    uint64_t batches = health().batches;
    rig_push(r, 0, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"));
    rig_push(r, 0, rig_task(count_call, &calls));
    rig_push(r, 0, one(PC_KIND_TOKEN, PC_OP_REVOKE, "b"));
    pc_writer_turn(r->w);
    assert_int_equal(calls, 0);
    pc_writer_turn(r->w);
    assert_int_equal(calls, 1);
    assert_int_equal(r->answers_n, 2);
    assert_int_equal(r->answers[1]->result, -EXDEV);
    rig_wait(r, 3);
    assert_int_equal(health().batches, batches + 2); /* a task is no batch */
}

static void a_look_up_is_not_counted_as_a_mutation(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    rig_open(r);
    struct pc_writer_health before = health();
    assert_false(rig_look_up(r, PC_KIND_TOKEN, ISSUER, "a").refused);
    assert_int_equal(health().changes, before.changes);
    assert_int_equal(health().refused, before.refused);
}

/* ---- what a Change becomes ---- */

static void a_change_gets_its_identity_and_stamp(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    struct pc_job *job[2];
    rig_open(r);
    for (int i = 0; i < 2; i++)
        assert_int_equal(0, rig_run(r, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"), &job[i]));
    const struct pc_change *a = &job[0]->items[0].change, *b = &job[1]->items[0].change;
    assert_int_equal(a->node, r->options.node);
    assert_int_not_equal(a->incarnation, 0);
    assert_int_equal(a->incarnation, b->incarnation);
    assert_int_equal(b->sequence, a->sequence + 1);
    assert_true(b->hlc > a->hlc);
    assert_int_equal(pc_hlc_ms(a->hlc), RIG_WALL_MS);
    assert_int_equal(a->at_ms, RIG_WALL_MS);
    assert_false(job[0]->items[0].was_refused);
    assert_true(job[1]->items[0].was_refused);
    pc_job_free(job[0]);
    pc_job_free(job[1]);
}

static void a_refused_batch_leaves_no_hole_in_the_sequence(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    struct pc_job *job;
    rig_open(r);
    assert_int_equal(0, rig_run(r, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"), &job));
    uint64_t sequence = job->items[0].change.sequence;
    pc_job_free(job);
    r->w->o.outbox_max_bytes = 1;
    assert_int_equal(PC_E_FULL, rig_run(r, one(PC_KIND_TOKEN, PC_OP_REVOKE, "b"), NULL));
    r->w->o.outbox_max_bytes = 1 << 30;
    assert_int_equal(0, rig_run(r, one(PC_KIND_TOKEN, PC_OP_REVOKE, "b"), &job));
    assert_int_equal(job->items[0].change.sequence, sequence + 1);
    pc_job_free(job);
}

static void look_up_knows_every_kind(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    char thumbprint[PC_THUMBPRINT_CHARS + 1];
    rig_open(r);
    rig_thumbprint(r->keys[0], thumbprint);
    for (enum pc_kind kind = PC_KIND_TOKEN; kind <= PC_KIND_ALL; kind++) {
        const char *issuer = kind == PC_KIND_ALL ? "" : ISSUER;
        const char *id = kind >= PC_KIND_ISSUER ? "" : kind == PC_KIND_KEY ? thumbprint : "it";
        assert_false(rig_look_up(r, kind, issuer, id).refused);
        assert_int_equal(0, rig_commit(r, kind, PC_OP_REVOKE, issuer, id));
        struct pc_revocation_state s = rig_look_up(r, kind, issuer, id);
        assert_true(s.refused);
        assert_int_equal(s.revoked_at_ms, RIG_WALL_MS);
        bool cutoff = pc_kind_has_cutoff(kind) || kind == PC_KIND_ALL;
        assert_true(s.cutoff_ms == (cutoff ? RIG_WALL_MS + RIG_SKEW_MS : INT64_MIN));
        assert_true(s.expires_at_ms ==
                    (cutoff ? RIG_WALL_MS + RIG_SKEW_MS + RIG_LIFETIME_MS : INT64_MAX));
        assert_int_equal(0, rig_commit(r, kind, PC_OP_CLEAR, issuer, id));
        s = rig_look_up(r, kind, issuer, id);
        assert_false(s.refused);
        assert_int_equal(s.cleared_at_ms, RIG_WALL_MS + 1); /* above what it overrides */
        assert_int_equal(0, rig_commit(r, kind, PC_OP_REVOKE, issuer, id));
        assert_true(rig_look_up(r, kind, issuer, id).refused); /* a tie refuses */
        assert_int_equal(0, rig_commit(r, kind, PC_OP_CLEAR, issuer, id));
        assert_false(rig_look_up(r, kind, issuer, id).refused);
    }
}

static void what_has_expired_was_not_refused(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    struct pc_job *job;
    rig_open(r);
    rig_revoke_until(r, PC_KIND_TOKEN, "a", RIG_WALL_MS + 1000);
    rig_pass(r, 1000 + RIG_SKEW_MS - 1);
    assert_int_equal(0, rig_run(r, one(PC_KIND_TOKEN, PC_OP_REVOKE, "a"), &job));
    assert_true(job->items[0].was_refused); /* the issuer's skew belongs to its life */
    pc_job_free(job);
    rig_revoke_until(r, PC_KIND_TOKEN, "b", RIG_WALL_MS + 8000);
    rig_pass(r, 8000);
    assert_int_equal(0, rig_run(r, one(PC_KIND_TOKEN, PC_OP_REVOKE, "b"), &job));
    assert_false(job->items[0].was_refused);
    pc_job_free(job);
}

/* ---- the journal fails ---- */

/* The disk holds what it preallocated, but no new segment any more. */
static struct pc_file_ops tight;
static bool disk_full;

static int open_unless_full(void *ctx, int dir, const char *name, unsigned flags)
{
    if (disk_full && (flags & PC_FILE_CREATE))
        return -ENOSPC;
    return sim_disk_ops(f.disk)->open(ctx, dir, name, flags);
}

static void a_failed_append_changes_nothing(void **state) /* I2 */
{
    (void)state;
    struct rig *r = &f.rig;
    struct pc_revocations_stats before, after;
    tight = *sim_disk_ops(f.disk);
    tight.open = open_unless_full;
    r->options.files = &tight;
    r->options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
    rig_open(r);
    rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "good");
    disk_full = true;
    int rc = 0;
    unsigned written = 0;
    while ((rc = rig_commit(r, PC_KIND_SESSION, PC_OP_REVOKE, ISSUER, "s")) == 0 && written < 1000)
        written++;
    assert_int_equal(rc, -ENOSPC);
    pc_revocations_read_stats(r->tables->ids, &before);
    for (enum pc_kind kind = PC_KIND_TOKEN; kind < PC_REVOCATION_KINDS_END; kind++) {
        const char *issuer = kind == PC_KIND_ALL ? "" : ISSUER;
        assert_int_equal(-ENOSPC, rig_commit(r, kind, PC_OP_REVOKE, issuer, "lost"));
        assert_false(rig_look_up(r, kind, issuer, "lost").refused);
    }
    pc_revocations_read_stats(r->tables->ids, &after);
    assert_int_equal(before.entries, after.entries);
    assert_true(pc_trust_find_issuer(pc_tables_trust(r->tables), PC_LIT(ISSUER)) != NULL);
    assert_false(pc_tables_trust(r->tables)->status[0].revoked);
    assert_true(pc_tables_trust(r->tables)->all_cutoff_ms == PC_CUTOFF_NONE);
    /* Not sticky: with room again it goes on. */
    assert_int_equal(health().state, PC_WRITER_READY);
    disk_full = false;
    assert_int_equal(0, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "lost"));
    assert_true(refused(PC_KIND_TOKEN, "lost"));
}

static void a_failed_sync_is_for_good(void **state) /* I5 */
{
    (void)state;
    struct rig *r = &f.rig;
    static struct rig_core core;
    char token[RIG_TOKEN_MAX];
    rig_open(r);
    rig_core_init(&core, r);
    rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "revoked");
    rig_token(r, 0, "u", "revoked", RIG_WALL_MS / 1000, "", token);
    sim_disk_fault(f.disk, SIM_SYNC, 1, false); /* once */
    assert_true(rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "x") < 0);
    assert_true(sim_disk_fault_fired(f.disk));
    assert_int_equal(health().state, PC_WRITER_READ_ONLY);
    assert_true(strlen(health().why) > 0);
    assert_true(pc_writer_ready(r->w));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(PC_E_READ_ONLY, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "x"));
        assert_int_equal(PC_E_READ_ONLY, rig_commit(r, PC_KIND_TOKEN, PC_OP_CLEAR, ISSUER, "x"));
    }
    assert_false(refused(PC_KIND_TOKEN, "x"));
    /* Decisions and trust go on. */
    assert_int_equal(PC_TOKEN_REVOKED, rig_decide(&core, r, token));
    rig_reload(r);
    assert_int_equal(PC_TOKEN_REVOKED, rig_decide(&core, r, token));
    rig_token(r, 0, "u", "other", RIG_WALL_MS / 1000, "", token);
    assert_int_equal(PC_TOKEN_OK, rig_decide(&core, r, token));
    assert_int_equal(pc_metrics_total(r->metrics, PC_M_JOURNAL_FAILED), 1);
    rig_core_free(&core);
}

static void every_moment_a_sync_can_fail_ends_acknowledgements(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    /* Idle seal, periodic sync and the sync before a snapshot find it, without a mutation. */
    for (int moment = 0; moment < 3; moment++) {
        r->options.durability = moment == 0 ? PC_DURABILITY_GROUP : PC_DURABILITY_ASYNC;
        rig_open(r);
        assert_int_equal(0, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "a"));
        sim_disk_fault(f.disk, SIM_SYNC, 1, false);
        if (moment == 2)
            assert_true(pc_writer_begin_snapshot(r->w) < 0);
        else
            rig_pass(r, moment == 1 ? r->options.async_interval_ms : PC_WRITER_SEAL_MS);
        pc_writer_turn(r->w);
        assert_true(sim_disk_fault_fired(f.disk));
        assert_int_equal(health().state, PC_WRITER_READ_ONLY);
        assert_int_equal(PC_E_READ_ONLY, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "b"));
        rig_drop(r);
        sim_disk_fault(f.disk, SIM_SYNC, 0, false);
        sim_disk_kill(f.disk);
    }
}

/* ---- durability ---- */

static bool survives_crash(enum pc_durability durability, int64_t wait_ms)
{
    struct rig *r = &f.rig;
    unsigned kept = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sim_disk *disk = sim_disk_new(seed);
        r->options.files = sim_disk_ops(disk);
        r->options.durability = durability;
        rig_open(r);
        rig_settle(r);
        assert_int_equal(0, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "a"));
        assert_true(refused(PC_KIND_TOKEN, "a")); /* visible in every case */
        rig_pass(r, wait_ms);
        pc_writer_turn(r->w);
        sim_disk_stop_at(disk, 1);
        rig_drop(r);
        sim_disk_crash(disk);
        assert_int_equal(0, rig_open(r));
        kept += refused(PC_KIND_TOKEN, "a");
        rig_drop(r);
        sim_disk_free(disk);
    }
    r->options.files = sim_disk_ops(f.disk);
    assert_true(kept == 8 || durability != PC_DURABILITY_GROUP);
    return kept == 8;
}

static void durability_is_what_was_configured(void **state)
{
    (void)state;
    assert_true(survives_crash(PC_DURABILITY_GROUP, 0));
    assert_false(survives_crash(PC_DURABILITY_ASYNC, 0));
    assert_true(survives_crash(PC_DURABILITY_ASYNC, f.rig.options.async_interval_ms));
    assert_false(survives_crash(PC_DURABILITY_NONE, 900));
}

static void an_orderly_stop_makes_everything_durable(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    for (unsigned d = 0; d < 3; d++) {
        static const enum pc_durability all[] = {PC_DURABILITY_GROUP, PC_DURABILITY_ASYNC,
                                                 PC_DURABILITY_NONE};
        char id[16];
        r->options.durability = all[d];
        rig_open(r);
        snprintf(id, sizeof id, "d%u", d);
        assert_int_equal(0, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, id));
        rig_close(r);
        sim_disk_crash(f.disk);
        assert_int_equal(0, rig_open(r));
        assert_true(refused(PC_KIND_TOKEN, id));
        assert_int_equal(health().recovered_records, 0); /* the snapshot says it all */
        rig_close(r);
    }
}

static void a_full_outbox_refuses_until_a_snapshot_frees_it(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    int rc = 0;
    r->options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
    r->options.outbox_max_bytes = 4 * PC_JOURNAL_SEGMENT_BYTES_MIN;
    rig_open(r);
    for (unsigned i = 0; i < 1000 && rc == 0; i++) {
        rc = rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "a");
        rig_pass(r, PC_WRITER_TICK_MS);
        pc_writer_turn(r->w); /* no background work: the snapshot it asks for does not come */
    }
    assert_int_equal(rc, PC_E_FULL);
    assert_int_equal(health().state, PC_WRITER_READY);
    for (int i = 0; i < 3; i++) {
        rig_settle(r);
        rig_pass(r, PC_WRITER_TICK_MS);
        pc_writer_turn(r->w);
    }
    assert_int_equal(0, rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "b"));
    assert_true(refused(PC_KIND_TOKEN, "b"));
}

static void the_outbox_limit_holds_between_two_ticks(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    struct pc_journal_status journal;
    int rc = 0;
    r->options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
    r->options.outbox_max_bytes = 4 * PC_JOURNAL_SEGMENT_BYTES_MIN;
    rig_open(r);
    for (unsigned i = 0; i < 1000 && rc == 0; i++)
        rc = rig_commit(r, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "a");
    assert_int_equal(rc, PC_E_FULL);
    assert_true(health().journal_full);
    pc_journal_status(r->w->journal, &journal);
    assert_true(journal.bytes_used <=
                r->options.outbox_max_bytes + 2 * PC_JOURNAL_SEGMENT_BYTES_MIN);
}

static int confirm(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    pc_writer_confirm_clock(w);
    return 0;
}

static uint64_t entries(void)
{
    struct pc_revocations_stats stats;
    pc_revocations_read_stats(f.rig.tables->ids, &stats);
    return stats.entries;
}

static void pass_seconds(unsigned n)
{
    while (n--) {
        rig_pass(&f.rig, 1000);
        pc_writer_turn(f.rig.w);
    }
}

static void expired_entries_go_unless_the_clock_stepped(void **state)
{
    (void)state;
    struct rig *r = &f.rig;
    rig_open(r);
    rig_revoke_until(r, PC_KIND_TOKEN, "a", RIG_WALL_MS + 10000);
    pass_seconds(10 + RIG_SKEW_MS / 1000 + 58);
    assert_int_equal(entries(), 1);
    pass_seconds(4);
    assert_int_equal(entries(), 0);
    rig_revoke_until(r, PC_KIND_TOKEN, "b", r->wall_ms + 10000);
    rig_step(r, 2000);
    pass_seconds(200);
    assert_int_equal(entries(), 1);
    assert_int_equal(health().clock, PC_CLOCK_STEPPED);
    assert_int_equal(health().clock_step_ms, 2000);
    assert_int_equal(0, rig_run(r, rig_task(confirm, NULL), NULL));
    assert_int_equal(health().clock, PC_CLOCK_TRUSTED);
    pass_seconds(59);
    assert_int_equal(entries(), 1); /* a fresh minute first */
    pass_seconds(3);
    assert_int_equal(entries(), 0);
}

/* ---- the thread ---- */

static int hold(struct pc_writer *w, struct pc_job *job)
{
    (void)w;
    pthread_mutex_t *gate = job->task_arg;
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return 0;
}

static void the_thread_answers_everything_and_stops_in_order(void **state)
{
    (void)state;
    static struct rig r;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    rig_init(&r, NULL);
    r.options.snapshot_bytes = 4096;
    r.options.wall_ms = NULL;
    r.options.mono_ns = NULL;
    r.options.random_u64 = NULL;
    rig_start(&r);
    pthread_mutex_lock(&gate);
    rig_push(&r, 0, rig_task(hold, &gate));
    for (unsigned i = 0; i < 500; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", i);
        struct pc_change c = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, id);
        assert_int_equal(0, rig_push(&r, i % RIG_PRODUCERS, rig_job(&c, 1)));
    }
    pthread_mutex_unlock(&gate);
    rig_wait(&r, 501);
    for (size_t i = 0; i < 501; i++)
        assert_int_equal(r.answers[i]->result, 0);
    rig_forget(&r);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(0, rig_commit(&r, PC_KIND_SUBJECT, PC_OP_REVOKE, ISSUER, "s"));
    rig_close(&r);
    rig_start(&r);
    assert_true(rig_look_up(&r, PC_KIND_TOKEN, ISSUER, "499").refused);
    rig_close(&r);
    rig_free(&r);
}

static void jobs_keep_to_their_limits(void **state)
{
    (void)state;
    assert_null(pc_job_new(PC_JOB_CHANGES_MAX + 1, 0));
    assert_null(pc_job_new(1, PC_JOB_BYTES_MAX));
    assert_true(pc_job_fits(PC_JOB_CHANGES_MAX,
                            PC_JOB_BYTES_MAX - PC_JOB_CHANGES_MAX * PC_JOB_CHANGE_OVERHEAD));
    struct pc_change c = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "id");
    struct pc_job *job = pc_job_new(2, c.issuer.n + c.id.n + c.actor.n);
    assert_int_equal(0, pc_job_add(job, &c));
    assert_true(pc_bytes_eq(job->items[0].change.id, c.id));
    assert_ptr_not_equal(job->items[0].change.id.p, c.id.p);
    assert_int_equal(PC_E_FULL, pc_job_add(job, &c)); /* no bytes left */
    assert_int_equal(job->count, 1);
    pc_job_free(job);
}

static void a_small_job_is_used_again_and_holds_nothing_of_before(void **state)
{
    (void)state;
    struct pc_job_pool pool = {0};
    struct pc_change c = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "id");
    struct pc_job *job = pc_job_take(&pool, pc_job_text_bytes(&c));
    assert_int_equal(0, pc_job_add(job, &c));
    assert_int_equal(PC_E_FULL, pc_job_add(job, &c));
    job->items[0].was_refused = true;
    job->result = -1;
    pc_job_give(&pool, job);
    assert_ptr_equal(job, pc_job_take(&pool, 1));
    assert_int_equal(job->count, 0);
    assert_int_equal(job->result, 0);
    assert_false(job->items[0].was_refused);
    assert_int_equal(job->items[0].change.op, PC_OP_NONE);
    pc_job_give(&pool, job);
    job = pc_job_take(&pool, PC_JOB_SMALL_BYTES); /* not small */
    assert_int_equal(pool.count, 1);
    pc_job_give(&pool, job);
    pc_job_give(&pool, NULL);
    assert_int_equal(pool.count, 1);
    struct pc_job *many[PC_JOB_POOL_SPARE_MAX + 1];
    for (size_t i = 0; i < PC_COUNT(many); i++)
        many[i] = pc_job_take(&pool, 1);
    for (size_t i = 0; i < PC_COUNT(many); i++)
        pc_job_give(&pool, many[i]);
    assert_int_equal(pool.count, PC_JOB_POOL_SPARE_MAX);
    pc_job_pool_free(&pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waiting_jobs_of_all_producers_share_one_batch),
        TEST(a_batch_never_mixes_revokes_and_clears),
        TEST(jobs_of_one_producer_stay_in_order),
        TEST(a_job_is_never_split),
        TEST(a_batch_fits_the_smallest_segment),
        TEST(a_full_queue_gives_the_job_back),
        TEST(a_task_runs_alone_in_its_turn),
        TEST(a_look_up_is_not_counted_as_a_mutation),
        TEST(a_change_gets_its_identity_and_stamp),
        TEST(a_refused_batch_leaves_no_hole_in_the_sequence),
        TEST(look_up_knows_every_kind),
        TEST(what_has_expired_was_not_refused),
        TEST(a_failed_append_changes_nothing),
        TEST(a_failed_sync_is_for_good),
        TEST(every_moment_a_sync_can_fail_ends_acknowledgements),
        TEST(durability_is_what_was_configured),
        TEST(an_orderly_stop_makes_everything_durable),
        TEST(a_full_outbox_refuses_until_a_snapshot_frees_it),
        TEST(the_outbox_limit_holds_between_two_ticks),
        TEST(expired_entries_go_unless_the_clock_stepped),
        TEST(the_thread_answers_everything_and_stops_in_order),
        TEST(a_small_job_is_used_again_and_holds_nothing_of_before),
        TEST(jobs_keep_to_their_limits),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
