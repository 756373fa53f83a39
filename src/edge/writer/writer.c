/* SPDX-License-Identifier: Apache-2.0
 * The writer thread: queues, batches, the commit order, and what it does when idle.
 * Invariants I1-I6: writer.h. */
#include "edge/writer/writer_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "edge/state/rcu.h"

/* Changes of a batch whose lines of the tables are fetched while others are dealt with. */
#define LOOK_AHEAD 24

#define ASSERT_ON_WRITER(w) PC_ASSERT(pthread_equal(pthread_self(), (w)->thread))

static int64_t system_wall(void *ctx)
{
    (void)ctx;
    return pc_clock_wall_ms();
}

static int64_t system_mono(void *ctx)
{
    (void)ctx;
    return pc_clock_mono_ns();
}

static uint64_t system_random(void *ctx)
{
    (void)ctx;
    return pc_random_u64();
}

static void set_state(struct pc_writer *w, enum pc_writer_state state)
{
    PC_ASSERT(atomic_load_explicit(&w->state, memory_order_relaxed) != PC_WRITER_FAILED);
    PC_ASSERT(state != PC_WRITER_RECOVERING);
    atomic_store_explicit(&w->state, (int)state, memory_order_release);
}

/* The journal failed: from here on mutations are refused, decisions go on (I5). */
static void become_read_only(struct pc_writer *w, const char *what)
{
    if (atomic_load_explicit(&w->state, memory_order_relaxed) != PC_WRITER_READY)
        return;
    struct pc_journal_status status;
    pc_journal_status(w->journal, &status);
    snprintf(w->why, sizeof w->why,
             "%s: %s; mutations are refused, decisions go on; repair the disk and restart", what,
             status.failed_text[0] ? status.failed_text : "the journal cannot be written");
    set_state(w, PC_WRITER_READ_ONLY);
    pc_metric_set(w->o.metrics, PC_M_JOURNAL_FAILED, 1);
    pc_log_event(PC_LOG_ERROR, "journal_failed", "%s", w->why);
}

/* ---- collecting a batch ---- */

static struct pc_job *take(struct pc_writer *w, unsigned producer)
{
    struct pc_job *job = w->held[producer];
    w->held[producer] = NULL;
    return job ? job : pc_spsc_pop(w->queues[producer]);
}

/* Whether job may join the batch at hand: no mixing of operations (I4), no task beside others, and
 * the whole job within the limits of one journal batch. */
static bool fits(const struct pc_writer *w, const struct pc_job *job, size_t cost)
{
    if (w->batch_jobs == 0)
        return true;
    if (job->task || w->batch[0]->task || w->batch_jobs == w->batch_cap)
        return false;
    if (job->count && job->items[0].change.op != w->batch_op)
        return false;
    return w->batch_changes + job->count <= PC_JOURNAL_BATCH_RECORDS_MAX &&
           w->batch_bytes + cost <= w->batch_bytes_max;
}

static bool add_to_batch(struct pc_writer *w, unsigned producer)
{
    struct pc_job *job = take(w, producer);
    if (!job)
        return false;
    PC_ASSERT(job->producer == producer);
    size_t cost = job->bytes.len + (size_t)job->count * PC_JOB_CHANGE_OVERHEAD;
    if (!fits(w, job, cost)) {
        w->held[producer] = job;
        return false;
    }
    if (w->batch_jobs == 0 && job->count)
        w->batch_op = job->items[0].change.op;
    w->batch[w->batch_jobs++] = job;
    w->batch_changes += job->count;
    w->batch_bytes += cost;
    return true;
}

/* Takes jobs round robin, one from each queue in turn, until nothing more fits. */
static void collect_batch(struct pc_writer *w)
{
    bool any = true;
    w->batch_jobs = 0;
    w->batch_changes = 0;
    w->batch_bytes = 0;
    w->batch_op = PC_OP_NONE;
    while (any) {
        any = false;
        for (unsigned i = 0; i < w->o.producers; i++)
            any |= add_to_batch(w, (w->next_queue + i) % w->o.producers);
    }
    PC_ASSERT(w->o.producers > 0);
    w->next_queue = (w->next_queue + 1) % w->o.producers;
}

static bool queues_empty(const struct pc_writer *w)
{
    for (unsigned i = 0; i < w->o.producers; i++)
        if (w->held[i] || !pc_spsc_empty(w->queues[i]))
            return false;
    return true;
}

/* ---- the commit ---- */

/* The Changes of the batch in a row. */
static void list_items(struct pc_writer *w)
{
    size_t n = 0;
    PC_ASSERT(w->batch_changes <= PC_JOURNAL_BATCH_RECORDS_MAX);
    for (size_t i = 0; i < w->batch_jobs; i++)
        for (uint32_t k = 0; k < w->batch[i]->count; k++)
            w->items[n++] = &w->batch[i]->items[k];
    PC_ASSERT(n == w->batch_changes);
}

/* Gives every Change of the batch its stamp. What a stamp depends on stands in tables far larger
 * than any cache, so the lines of those to come are on their way meanwhile. */
static void stamp_items(struct pc_writer *w, struct pc_room *room)
{
    int64_t wall_ms = pc_writer_wall(w);
    for (size_t i = 0; i < w->batch_changes + LOOK_AHEAD; i++) {
        if (i < w->batch_changes) {
            struct pc_job_item *ahead = w->items[i];
            ahead->fingerprint = pc_writer_fingerprint(w, &ahead->change);
            pc_writer_prefetch(w, ahead);
        }
        if (i < LOOK_AHEAD)
            continue;
        struct pc_job_item *item = w->items[i - LOOK_AHEAD];
        PC_ASSERT(item->change.op == w->batch_op); /* I4 */
        pc_writer_stamp(w, item, wall_ms);
        pc_room_add(room, &item->change);
    }
}

static void encode_items(struct pc_writer *w)
{
    struct pc_buf b = pc_buf_of(w->encoded, PC_JOURNAL_BATCH_BYTES_MAX);
    for (size_t i = 0; i < w->batch_changes; i++) {
        size_t start = b.len;
        pc_change_encode(&w->items[i]->change, &b);
        w->records[i] = pc_bytes_of(b.p + start, b.len - start);
    }
    PC_ASSERT(!b.overflow);
}

/* Stamps and encodes the batch, and reserves what applying it will need. */
static int stamp_batch(struct pc_writer *w)
{
    struct pc_room room = {0};
    list_items(w);
    stamp_items(w, &room);
    encode_items(w);
    if (room.scopes && !pc_scopes_has_room(&w->scopes, room.scopes))
        return PC_E_FULL;
    int rc = pc_writer_reserve(w, &room);
    return rc == 0 ? pc_rules_draft(w, &room) : rc;
}

static int sync_journal(struct pc_writer *w)
{
    uint64_t durable;
    int64_t start = pc_writer_mono(w);
    int rc = pc_journal_sync(w->journal, &durable);
    w->next_sync_ns = 0;
    if (rc < 0)
        return rc;
    w->next_seal_ns = pc_writer_mono(w) + PC_WRITER_SEAL_MS * INT64_C(1000000);
    pc_audit_thread_due(w);
    pc_histogram_record(w->o.metrics, PC_H_JOURNAL_SYNC, (uint64_t)(pc_writer_mono(w) - start), 1);
    return 0;
}

/* Appends the batch and makes it durable as configured. */
static int journal_batch(struct pc_writer *w)
{
    uint64_t first;
    int rc = pc_journal_append(w->journal, w->records, w->batch_changes, pc_writer_wall(w), &first);
    if (rc < 0)
        return rc;
    w->appended_bytes += w->batch_bytes;
    w->last_position = first + w->batch_changes - 1;
    pc_metric_inc(w->o.metrics, PC_M_JOURNAL_BATCHES);
    pc_metric_add(w->o.metrics, PC_M_JOURNAL_RECORDS, w->batch_changes);
    pc_metric_add(w->o.metrics, PC_M_JOURNAL_BYTES, w->batch_bytes);
    pc_histogram_record(w->o.metrics, PC_H_JOURNAL_BATCH, w->batch_changes, 1);
    if (w->next_seal_ns) /* not idle after all */
        w->next_seal_ns = pc_writer_mono(w) + PC_WRITER_SEAL_MS * INT64_C(1000000);
    if (w->o.durability == PC_DURABILITY_GROUP)
        return sync_journal(w);
    if (w->o.durability == PC_DURABILITY_ASYNC && w->next_sync_ns == 0)
        w->next_sync_ns = pc_writer_mono(w) + w->o.async_interval_ms * 1000000;
    return 0;
}

/* Makes the batch visible: tables first, then the view. */
static void apply_batch(struct pc_writer *w)
{
    struct pc_parts parts = {0};
    bool publish = false;
    for (size_t i = 0; i < w->batch_changes; i++) {
        const struct pc_job_item *item = w->items[i];
        if (i + LOOK_AHEAD < w->batch_changes)
            pc_writer_prefetch(w, w->items[i + LOOK_AHEAD]);
        publish |= pc_writer_apply(w, &item->change, item->fingerprint);
    }
    pc_rules_take(w, &parts);
    if (publish)
        parts.trust = w->spare_draft;
    if (parts.trust || parts.flags || parts.ip_sets)
        pc_writer_publish(w, &parts);
}

/* For whoever watches, once it is visible; flags are compared where they are published. */
static void add_events(struct pc_writer *w)
{
    for (size_t i = 0; i < w->batch_changes; i++)
        if (pc_kind_is_revocation(w->items[i]->change.kind))
            pc_events_add_revocation(w->o.events, w->records[i]);
}

static unsigned metric_of(const struct pc_change *c)
{
    if (pc_kind_is_revocation(c->kind))
        return PC_M_MUTATIONS_TOKEN_REVOKE + ((unsigned)c->kind - 1) * 2 + ((unsigned)c->op - 1);
    if (c->kind == PC_KIND_ADMIN)
        return PC_M_MUTATIONS_ADMIN_NOTE;
    return PC_M_MUTATIONS_FLAG_SET + ((unsigned)c->kind - PC_KIND_FLAG) * 2 +
           ((unsigned)c->op - PC_OP_SET);
}

/* A task changes nothing that is counted, whatever its items name. */
static void count_answers(struct pc_writer *w, int result)
{
    if (w->batch[0]->task)
        return;
    atomic_fetch_add_explicit(result < 0 ? &w->refused : &w->changes, w->batch_changes,
                              memory_order_relaxed);
    for (size_t i = 0; result == 0 && i < w->batch_changes; i++)
        pc_metric_inc(w->o.metrics, metric_of(&w->items[i]->change));
}

/* Gives every job of the batch back with its result, in order (I3). */
static void answer_batch(struct pc_writer *w, int result)
{
    count_answers(w, result);
    for (size_t i = 0; i < w->batch_jobs; i++) {
        struct pc_job *job = w->batch[i];
        job->result = result;
        w->woken[job->producer] = true;
        w->o.give_back(w->o.ctx, job);
    }
    for (unsigned i = 0; i < w->o.producers; i++) {
        if (w->woken[i])
            w->o.wake(w->o.ctx, i);
        w->woken[i] = false;
    }
}

static void check_outbox(struct pc_writer *w, uint64_t used_bytes)
{
    bool full = used_bytes > w->o.outbox_max_bytes;
    if (full == atomic_load_explicit(&w->outbox_full, memory_order_relaxed))
        return;
    atomic_store_explicit(&w->outbox_full, full, memory_order_relaxed);
    if (full)
        w->next_tick_ns = 0; /* a snapshot makes room: begin it at once */
}

/* Why no mutation is taken now; 0: they are. */
static int refusal(struct pc_writer *w)
{
    struct pc_journal_status journal;
    if (atomic_load_explicit(&w->state, memory_order_relaxed) != PC_WRITER_READY)
        return PC_E_READ_ONLY;
    pc_journal_status(w->journal, &journal); /* a look at memory */
    check_outbox(w, journal.bytes_used);
    return atomic_load_explicit(&w->outbox_full, memory_order_relaxed) ? PC_E_FULL : 0;
}

/* The order that everything rests on: validate, journal, apply and publish, acknowledge. */
static void commit_batch(struct pc_writer *w)
{
    uint64_t sequence = w->sequence;
    int rc = refusal(w);
    if (rc == 0)
        rc = stamp_batch(w);
    if (rc == 0) {
        rc = journal_batch(w);
        if (pc_journal_failed(w->journal))
            become_read_only(w, "the journal failed");
    }
    if (rc == 0) {
        apply_batch(w);
        if (w->o.events)
            add_events(w);
    } else {
        pc_rules_drop(w);
        w->sequence = sequence; /* readers of the sequence rely on it having no holes */
    }
    atomic_fetch_add_explicit(&w->batches, 1, memory_order_relaxed);
    answer_batch(w, rc);
}

static void run_task(struct pc_writer *w)
{
    struct pc_job *job = w->batch[0];
    answer_batch(w, job->task(w, job));
}

static bool work(struct pc_writer *w)
{
    collect_batch(w);
    if (w->batch_jobs == 0)
        return false;
    if (w->batch[0]->task)
        run_task(w);
    else
        commit_batch(w);
    if (w->o.events)
        pc_events_tell(w->o.events);
    return true;
}

/* ---- when there is time ---- */

static void publish_audit_gauges(struct pc_writer *w)
{
    struct pc_metrics_block *m = w->o.metrics;
    struct pc_audit_status audit;
    if (!w->audit.audit)
        return;
    pc_audit_status(w->audit.audit, &audit);
    pc_metric_set(m, PC_M_AUDIT_FAILING, audit.failing);
    pc_metric_set(m, PC_M_AUDIT_BEHIND, audit.behind);
    pc_metric_set(m, PC_M_AUDIT_LINES, audit.lines);
    pc_metric_set(m, PC_M_AUDIT_FAILURES, audit.failures);
}

static void publish_gauges(struct pc_writer *w)
{
    struct pc_metrics_block *m = w->o.metrics;
    struct pc_revocations_stats ids, cutoffs;
    struct pc_journal_status journal;
    pc_revocations_read_stats(w->tables->ids, &ids);
    pc_revocations_read_stats(w->tables->cutoffs, &cutoffs);
    pc_journal_status(w->journal, &journal);
    pc_metric_set(m, PC_M_REVOCATION_ENTRIES_ABSOLUTE, ids.entries);
    pc_metric_set(m, PC_M_REVOCATION_ENTRIES_CUTOFF, cutoffs.entries);
    pc_metric_set(m, PC_M_REVOCATION_ENTRIES_CLEARED, ids.cleared + cutoffs.cleared);
    pc_metric_set(m, PC_M_REVOCATION_ENTRIES_BROAD, w->scopes.count);
    pc_metric_set(m, PC_M_REVOCATION_SLOTS_ABSOLUTE, ids.slots);
    pc_metric_set(m, PC_M_REVOCATION_SLOTS_CUTOFF, cutoffs.slots);
    pc_metric_set(m, PC_M_REVOCATION_BYTES_ABSOLUTE, ids.resident_bytes);
    pc_metric_set(m, PC_M_REVOCATION_BYTES_CUTOFF, cutoffs.resident_bytes);
    pc_metric_set(m, PC_M_REVOCATION_REBUILDS_ABSOLUTE, ids.rebuilds);
    pc_metric_set(m, PC_M_REVOCATION_REBUILDS_CUTOFF, cutoffs.rebuilds);
    pc_metric_set(m, PC_M_REMOVAL_STOPPED, w->clock.state != PC_CLOCK_TRUSTED);
    pc_metric_set(m, PC_M_JOURNAL_SIZE_BYTES, journal.bytes_used);
    check_outbox(w, journal.bytes_used);
    publish_audit_gauges(w);
}

static void check_clock(struct pc_writer *w, int64_t wall_ms, int64_t mono_ns)
{
    if (pc_clock_guard_tick(&w->clock, wall_ms, mono_ns))
        pc_log_event(PC_LOG_WARN, "clock_stepped",
                     "the wall clock moved by %lld ms: expired revocations are kept until the "
                     "clock is confirmed",
                     (long long)w->clock.step_ms);
    atomic_store_explicit(&w->clock_state, (int)w->clock.state, memory_order_relaxed);
    atomic_store_explicit(&w->clock_step_ms, w->clock.step_ms, memory_order_relaxed);
}

/* Entries are honoured for the issuer's skew beyond their expiry, so that much later they go. */
static void reap(struct pc_writer *w)
{
    int64_t before = pc_clock_guard_expired_before(&w->clock);
    if (before != INT64_MIN)
        before -= pc_trust_max_skew_ms(pc_tables_trust(w->tables));
    uint32_t n = pc_revocations_reap(w->tables->ids, before, PC_WRITER_REAP_SLOTS);
    n += pc_revocations_reap(w->tables->cutoffs, before, PC_WRITER_REAP_SLOTS);
    pc_metric_add(w->o.metrics, PC_M_REVOCATIONS_EXPIRED, n);
}

/* It begins with a sync, which may be what finds the disk failing. */
static int begin_snapshot(struct pc_writer *w)
{
    int rc = pc_background_snapshot(w);
    if (pc_journal_failed(w->journal))
        become_read_only(w, "the sync before a snapshot failed");
    return rc;
}

static void maybe_snapshot(struct pc_writer *w, int64_t wall_ms)
{
    uint64_t since = w->appended_bytes - w->snapshot_base_bytes;
    /* A full journal refuses mutations until segments are freed. Where the newest snapshot says
     * everything already another would free nothing: then it is the audit that is behind. */
    bool full = atomic_load_explicit(&w->outbox_full, memory_order_relaxed) &&
                atomic_load(&w->snapshot_position) < w->last_position;
    bool due = since >= w->o.snapshot_bytes || full ||
               (w->o.snapshot_interval_ms && since &&
                wall_ms - w->last_snapshot_ms >= w->o.snapshot_interval_ms);
    if (due && begin_snapshot(w) == 0)
        w->last_snapshot_ms = wall_ms;
}

static void tick(struct pc_writer *w, int64_t mono_ns)
{
    int64_t wall_ms = pc_writer_wall(w);
    w->next_tick_ns = mono_ns + PC_WRITER_TICK_MS * INT64_C(1000000);
    check_clock(w, wall_ms, mono_ns);
    reap(w);
    pc_rules_tick(w);
    pc_background_collect(w);
    maybe_snapshot(w, wall_ms);
    publish_gauges(w);
    pc_audit_thread_nudge(w); /* what was synced without a batch */
}

/* Marks how far the journal is durable, so that damage is told from a torn write. */
static void seal(struct pc_writer *w)
{
    if (w->next_seal_ns == 0 || pc_journal_failed(w->journal))
        return;
    w->next_seal_ns = 0;
    if (pc_journal_seal(w->journal, pc_writer_wall(w)) < 0 && pc_journal_failed(w->journal))
        become_read_only(w, "sealing the journal failed");
}

static void timers(struct pc_writer *w)
{
    int64_t now = pc_writer_mono(w);
    if (w->next_sync_ns && now >= w->next_sync_ns && sync_journal(w) < 0)
        become_read_only(w, "a periodic sync failed");
    if (w->next_seal_ns && now >= w->next_seal_ns)
        seal(w);
    if (now >= w->next_tick_ns)
        tick(w, now);
    if (w->audit.next_nudge_ns && now >= w->audit.next_nudge_ns)
        pc_audit_thread_nudge(w);
    if (pc_journal_wants_segment(w->journal))
        pc_waker_notify(w->background.waker);
}

static void sleep_until_work(struct pc_writer *w)
{
    int64_t now = pc_writer_mono(w);
    int64_t due = w->next_tick_ns;
    if (w->next_sync_ns)
        due = pc_min_i64(due, w->next_sync_ns);
    if (w->next_seal_ns)
        due = pc_min_i64(due, w->next_seal_ns);
    if (w->audit.next_nudge_ns)
        due = pc_min_i64(due, w->audit.next_nudge_ns);
    pc_waker_prepare(w->waker);
    if (queues_empty(w) && !atomic_load_explicit(&w->stop, memory_order_seq_cst) && due > now) {
        pc_rcu_offline();
        pc_waker_wait(w->waker, due - now);
        pc_rcu_online();
    }
    pc_waker_finish(w->waker);
}

/* ---- life ---- */

static void start_failed(struct pc_writer *w, const struct pc_why *why)
{
    snprintf(w->why, sizeof w->why, "%s", why->text);
    set_state(w, PC_WRITER_FAILED);
    pc_log_event(PC_LOG_ERROR, "recovery_failed", "%s", w->why);
}

/* The threads beside the writer. */
static int start_helpers(struct pc_writer *w, struct pc_why *why)
{
    int rc = pc_background_start(w, why);
    if (rc < 0)
        return rc;
    rc = pc_audit_thread_start(w, why);
    if (rc < 0)
        pc_background_stop(w);
    return rc;
}

bool pc_writer_bring_up(struct pc_writer *w, bool with_background)
{
    struct pc_why why = {{0}};
    int64_t start = pc_writer_mono(w);
    ASSERT_ON_WRITER(w);
    w->audit.by_hand = !with_background;
    if (pc_writer_recover(w, &why) < 0 || pc_audit_thread_new(w, &why) < 0 ||
        (with_background && start_helpers(w, &why) < 0)) {
        start_failed(w, &why);
        return false;
    }
    int64_t now = pc_writer_mono(w);
    atomic_store_explicit(&w->recovery_ms, (now - start) / 1000000, memory_order_relaxed);
    pc_clock_guard_start(&w->clock, pc_writer_wall(w), now,
                         w->recovered.last_time_ms == INT64_MIN ? 0 : w->recovered.last_time_ms);
    tick(w, now);
    pc_metric_set(w->o.metrics, PC_M_READY, 1);
    set_state(w, PC_WRITER_READY); /* I6 */
    return true;
}

bool pc_writer_turn(struct pc_writer *w)
{
    bool busy = work(w);
    timers(w);
    pc_rcu_quiescent();
    return busy;
}

void pc_writer_shut_down(struct pc_writer *w)
{
    struct pc_why why = {{0}};
    while (work(w))
        pc_rcu_quiescent();
    PC_ASSERT(queues_empty(w));
    pc_background_stop(w);
    if (!pc_journal_failed(w->journal) && sync_journal(w) < 0)
        become_read_only(w, "the last sync failed");
    seal(w);
    pc_audit_thread_stop(w);
    if (!pc_journal_failed(w->journal) && pc_writer_snapshot_now(w, &why) < 0)
        pc_log_event(PC_LOG_WARN, "snapshot_failed", "%s", why.text);
}

void pc_writer_close(struct pc_writer *w)
{
    ASSERT_ON_WRITER(w);
    pc_metric_set(w->o.metrics, PC_M_READY, 0);
    pc_audit_thread_free(w); /* it reads the journal */
    pc_journal_close(w->journal);
    w->journal = NULL;
}

static void *writer_main(void *arg)
{
    struct pc_writer *w = arg;
    w->thread = pthread_self();
    pthread_setname_np(w->thread, "pc-writer");
    bool attached = w->o.logger && pc_log_attach(w->o.logger) == 0;
    pc_rcu_thread_register();
    if (pc_writer_bring_up(w, true)) {
        while (!atomic_load_explicit(&w->stop, memory_order_acquire))
            if (!pc_writer_turn(w))
                sleep_until_work(w);
        pc_writer_shut_down(w);
    }
    pc_writer_close(w);
    pc_rcu_thread_unregister();
    if (attached)
        pc_log_detach();
    return NULL;
}

static int make_queues(struct pc_writer *w)
{
    unsigned n = w->o.producers;
    size_t jobs = w->o.queue_jobs;
    w->queues = calloc(n, sizeof(struct pc_spsc *));
    w->held = calloc(n, sizeof(struct pc_job *));
    w->woken = calloc(n, sizeof(bool));
    w->batch_cap = PC_JOURNAL_BATCH_RECORDS_MAX;
    w->batch = calloc(w->batch_cap, sizeof(struct pc_job *));
    w->items = calloc(PC_JOURNAL_BATCH_RECORDS_MAX, sizeof(struct pc_job_item *));
    w->records = calloc(PC_JOURNAL_BATCH_RECORDS_MAX, sizeof *w->records);
    w->encoded = malloc(PC_JOURNAL_BATCH_BYTES_MAX);
    if (!w->queues || !w->held || !w->woken || !w->batch || !w->items || !w->records || !w->encoded)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        int rc = pc_spsc_new(jobs, &w->queues[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void free_memory(struct pc_writer *w)
{
    for (unsigned i = 0; w->queues && i < w->o.producers; i++)
        pc_spsc_free(w->queues[i]);
    pc_waker_free(w->waker);
    pc_waker_free(w->background.waker);
    pc_scopes_free(&w->scopes);
    pc_trust_free(w->spare_draft);
    free(w->spare_view);
    pc_rules_free(w);
    free(w->background.scopes);
    free(w->background.registers);
    free(w->queues);
    free(w->held);
    free(w->woken);
    free(w->batch);
    free(w->items);
    free(w->records);
    free(w->encoded);
    free(w);
}

int pc_writer_new(const struct pc_writer_options *options, struct pc_writer **ret_w,
                  struct pc_why *why)
{
    PC_ASSERT(options->producers > 0 && options->producers <= PC_WRITER_PRODUCERS_MAX);
    struct pc_writer *w = calloc(1, sizeof *w);
    if (!w)
        return pc_fail(why, -ENOMEM, "no memory for the writer");
    w->o = *options;
    /* A batch goes into one segment, behind two sectors at most of headers and padding. */
    uint32_t segment = options->segment_bytes ? options->segment_bytes : PC_JOURNAL_SEGMENT_BYTES;
    PC_ASSERT(segment >= PC_JOURNAL_SEGMENT_BYTES_MIN);
    w->batch_bytes_max = pc_min_u64(PC_JOB_BYTES_MAX, segment - 1024);
    w->o.queue_jobs = options->queue_jobs ? options->queue_jobs : PC_WRITER_QUEUE_JOBS;
    w->o.wall_ms = options->wall_ms ? options->wall_ms : system_wall;
    w->o.mono_ns = options->mono_ns ? options->mono_ns : system_mono;
    w->o.random_u64 = options->random_u64 ? options->random_u64 : system_random;
    w->tables = options->tables;
    w->rules.ip_configured =
        options->ip_configured ? options->ip_configured : w->tables->no_ip_rules;
    w->thread = pthread_self();
    int rc = make_queues(w);
    if (rc == 0)
        rc = pc_waker_new(&w->waker);
    if (rc == 0)
        rc = pc_waker_new(&w->background.waker);
    if (rc < 0) {
        free_memory(w);
        return pc_fail(why, rc, "cannot start the writer: %s", pc_strerror(rc));
    }
    w->rules.flag_file = options->flag_file;
    *ret_w = w;
    return 0;
}

int pc_writer_start(const struct pc_writer_options *options, struct pc_writer **ret_w,
                    struct pc_why *why)
{
    struct pc_writer *w = NULL;
    int rc = pc_writer_new(options, &w, why);
    if (rc < 0)
        return rc;
    pthread_t thread;
    rc = -pthread_create(&thread, NULL, writer_main, w);
    if (rc < 0) {
        w->rules.flag_file = NULL; /* still the caller's */
        free_memory(w);
        return pc_fail(why, rc, "cannot start the writer: %s", pc_strerror(rc));
    }
    w->joinable = thread;
    w->thread_running = true;
    *ret_w = w;
    return 0;
}

int pc_writer_stop(struct pc_writer *w)
{
    if (w->thread_running) {
        atomic_store_explicit(&w->stop, true, memory_order_seq_cst);
        pc_waker_notify(w->waker);
        pthread_join(w->joinable, NULL);
        w->thread_running = false;
    }
    return atomic_load(&w->state) == PC_WRITER_READY ? 0 : PC_E_READ_ONLY;
}

void pc_writer_free(struct pc_writer *w)
{
    if (!w)
        return;
    PC_ASSERT(!w->thread_running);
    free_memory(w);
}

int pc_writer_push(struct pc_writer *w, unsigned producer, struct pc_job *job)
{
    PC_ASSERT(producer < w->o.producers);
    job->producer = producer;
    return pc_spsc_push(w->queues[producer], job) ? 0 : PC_E_FULL;
}

void pc_writer_notify(struct pc_writer *w)
{
    pc_waker_notify(w->waker);
}

void pc_writer_confirm_clock(struct pc_writer *w)
{
    ASSERT_ON_WRITER(w);
    pc_clock_guard_confirm(&w->clock, pc_writer_wall(w), pc_writer_mono(w));
    check_clock(w, pc_writer_wall(w), pc_writer_mono(w));
    pc_log_event(PC_LOG_WARN, "clock_confirmed", "expired revocations are removed again");
}

/* Compiles what the new parts need to go with them. */
static int install_rules(struct pc_writer *w, struct pc_install *in, struct pc_parts *parts)
{
    struct pc_rules *r = &w->rules;
    struct pc_flag_layer *old_file = r->flag_file;
    const struct pc_ip_configured *old_configured = r->ip_configured;
    if (in->flag_file)
        r->flag_file = in->flag_file;
    if (in->settings)
        r->ip_configured = in->ip_configured ? in->ip_configured : w->tables->no_ip_rules;
    int rc = pc_rules_compile(w, parts, in->why);
    if (rc < 0) {
        r->flag_file = old_file;
        r->ip_configured = old_configured;
        return rc;
    }
    if (in->flag_file)
        pc_flag_layer_free(old_file);
    in->flag_file = NULL; /* taken */
    return 0;
}

int pc_writer_install(struct pc_writer *w, struct pc_install *in)
{
    struct pc_parts parts = {0};
    ASSERT_ON_WRITER(w);
    int rc = pc_writer_reserve_view(w);
    if (rc < 0)
        pc_fail(in->why, rc, "no memory for the new configuration");
    else if (in->flag_file || in->settings)
        rc = install_rules(w, in, &parts);
    if (rc < 0) {
        pc_install_free(in);
        return rc;
    }
    parts.trust = in->trust;
    parts.settings = in->settings;
    parts.free_settings = in->free_settings;
    in->trust = NULL;
    in->settings = NULL;
    pc_writer_publish(w, &parts);
    return 0;
}

void pc_install_free(struct pc_install *in)
{
    pc_trust_free(in->trust);
    pc_flag_layer_free(in->flag_file);
    if (in->settings && in->free_settings)
        in->free_settings(in->settings);
    in->trust = NULL;
    in->flag_file = NULL;
    in->settings = NULL;
}

int pc_writer_begin_snapshot(struct pc_writer *w)
{
    ASSERT_ON_WRITER(w);
    pc_background_collect(w);
    return begin_snapshot(w);
}

bool pc_writer_ready(const struct pc_writer *w)
{
    int state = atomic_load_explicit(&w->state, memory_order_acquire);
    return state == PC_WRITER_READY || state == PC_WRITER_READ_ONLY;
}

void pc_writer_health(struct pc_writer *w, struct pc_writer_health *h)
{
    *h = (struct pc_writer_health){0};
    h->state = (enum pc_writer_state)atomic_load_explicit(&w->state, memory_order_acquire);
    h->clock = (enum pc_clock_state)atomic_load_explicit(&w->clock_state, memory_order_relaxed);
    h->clock_step_ms = atomic_load_explicit(&w->clock_step_ms, memory_order_relaxed);
    h->changes = atomic_load_explicit(&w->changes, memory_order_relaxed);
    h->batches = atomic_load_explicit(&w->batches, memory_order_relaxed);
    h->refused = atomic_load_explicit(&w->refused, memory_order_relaxed);
    h->recovery_ms = atomic_load_explicit(&w->recovery_ms, memory_order_relaxed);
    h->journal_full = atomic_load_explicit(&w->outbox_full, memory_order_relaxed);
    if (h->state == PC_WRITER_RECOVERING)
        return;
    h->node = w->node;
    h->incarnation = w->incarnation;
    h->recovered_records = w->recovered.records;
    h->audit = w->audit.audit != NULL;
    if (h->audit)
        pc_audit_status(w->audit.audit, &h->audited);
    if (h->state != PC_WRITER_READY)
        snprintf(h->why, sizeof h->why, "%s", w->why);
    h->snapshot_position = atomic_load_explicit(&w->snapshot_position, memory_order_relaxed);
}
