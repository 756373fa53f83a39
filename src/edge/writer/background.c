/* SPDX-License-Identifier: Apache-2.0
 * The writer's helper thread: prepares journal segments and writes snapshots.
 *
 * A snapshot is fuzzy: it is written from the live tables while the writer goes on. It stands for
 * the journal up to a position P that was applied and durable when it began. Everything at or
 * below P is in the tables before the first block is exported; what it catches of later Changes is
 * merged again by the replay of the records behind P, and merging twice changes nothing.
 *
 * With durability async or none the tables run ahead of the disk. Then a crash may lose records
 * behind P whose Changes the snapshot caught: some of what was acknowledged without being durable
 * comes back although older Changes of the same moment do not. */
#include "edge/writer/writer_private.h"

#include <stdlib.h>

#include "base/log.h"
#include "edge/state/rcu.h"

/* ---- what only the writer may read: taken at the start of a snapshot ---- */

static void put_scope(struct pc_buf *b, const struct pc_scope *e, enum pc_op op, int64_t at_ms)
{
    struct pc_change c = {
        .kind = e->kind,
        .op = op,
        .issuer = pc_bytes_str(e->issuer),
        .id = pc_bytes_str(e->id),
        .at_ms = at_ms,
        .expires_at_ms =
            e->expires_at_ms == INT64_MAX || e->expires_at_ms < 0 ? 0 : e->expires_at_ms,
        .cutoff_ms = op == PC_OP_REVOKE && !e->absolute ? e->cutoff_ms : 0,
        .remote = true, /* it has no identity of ours and must never be exported */
    };
    uint32_t n;
    size_t at = b->len;
    pc_buf_put(b, &(uint32_t){0}, sizeof n);
    pc_change_encode(&c, b);
    n = (uint32_t)(b->len - at - sizeof n);
    if (!b->overflow)
        memcpy(b->p + at, &n, sizeof n);
}

static int encode_scopes(struct pc_writer *w)
{
    struct pc_background *bg = &w->background;
    size_t cap = w->scopes.count * 2 * (PC_CHANGE_PLAIN_MAX + sizeof(uint32_t)) + 1;
    free(bg->scopes);
    bg->scopes_n = 0;
    bg->scopes = malloc(cap);
    if (!bg->scopes)
        return -ENOMEM;
    struct pc_buf b = pc_buf_of(bg->scopes, cap);
    for (size_t i = 0; i < w->scopes.count; i++) {
        const struct pc_scope *e = &w->scopes.at[i];
        if (e->revoked_at_ms != INT64_MIN)
            put_scope(&b, e, PC_OP_REVOKE, e->revoked_at_ms);
        if (e->cleared_at_ms != INT64_MIN)
            put_scope(&b, e, PC_OP_CLEAR, e->cleared_at_ms);
    }
    PC_ASSERT(!b.overflow);
    bg->scopes_n = b.len;
    return 0;
}

static int encode_registers(struct pc_writer *w)
{
    struct pc_background *bg = &w->background;
    free(bg->registers);
    bg->registers = NULL;
    bg->registers_n = 0;
    return pc_rules_encode(w, &bg->registers, &bg->registers_n);
}

/* Makes everything applied so far durable and notes what the snapshot will stand for. */
static int begin_snapshot(struct pc_writer *w)
{
    struct pc_background *bg = &w->background;
    int rc = pc_journal_sync(w->journal, &bg->position);
    if (rc == 0)
        rc = encode_scopes(w);
    if (rc == 0)
        rc = encode_registers(w);
    if (rc < 0)
        return rc;
    PC_ASSERT(bg->position == pc_journal_appended(w->journal));
    bg->meta = (struct pc_snapshot_meta){.node = w->node,
                                         .hlc = w->hlc.last,
                                         .wildcard = w->wildcard,
                                         .version = PC_SNAPSHOT_META_VERSION};
    bg->started_ns = pc_writer_mono(w);
    w->snapshot_base_bytes = w->appended_bytes;
    return 0;
}

/* ---- writing it: the helper thread, or the writer at shutdown ---- */

/* While a thread that is online waits for the disk no grace period ends, and what the writer
 * retires meanwhile adds up: so the helper is offline whenever it reads no table. Where the writer
 * does its work (at shutdown, and in simulations) it stays online. */
static bool is_helper(const struct pc_writer *w)
{
    return !pthread_equal(pthread_self(), w->thread);
}

static void disk_begins(const struct pc_writer *w)
{
    if (is_helper(w))
        pc_rcu_offline();
}

static void disk_ends(const struct pc_writer *w)
{
    if (is_helper(w))
        pc_rcu_online();
}

static int export_table(const struct pc_writer *w, struct pc_snapshot_writer *s,
                        const struct pc_revocations *t, enum pc_section section, uint8_t *buf)
{
    struct pc_revocations_cursor cursor = {0};
    for (;;) {
        int64_t n = pc_revocations_export(t, &cursor, buf, PC_REVOCATIONS_BLOCK_MAX_BYTES);
        PC_ASSERT(n >= 0);
        if (n == 0)
            return 0;
        disk_begins(w);
        int rc = pc_snapshot_block(s, (uint32_t)section, buf, (size_t)n);
        disk_ends(w);
        if (rc < 0)
            return rc;
        pc_rcu_quiescent();
    }
}

/* Encoded Changes in blocks that end between two of them. */
static int write_changes(struct pc_snapshot_writer *s, enum pc_section section,
                         const uint8_t *changes, size_t total)
{
    size_t start = 0, at = 0;
    while (at < total) {
        uint32_t n;
        memcpy(&n, changes + at, sizeof n);
        size_t end = at + sizeof n + n;
        if (end - start > PC_SNAPSHOT_BLOCK_BYTES_MAX) {
            int rc = pc_snapshot_block(s, (uint32_t)section, changes + start, at - start);
            if (rc < 0)
                return rc;
            start = at;
        }
        at = end;
    }
    return at > start ? pc_snapshot_block(s, (uint32_t)section, changes + start, at - start) : 0;
}

static int write_blocks(struct pc_writer *w, struct pc_snapshot_writer *s)
{
    struct pc_background *bg = &w->background;
    uint8_t *buf = malloc(PC_REVOCATIONS_BLOCK_MAX_BYTES);
    if (!buf)
        return -ENOMEM;
    int rc = pc_snapshot_block(s, PC_SECTION_META, &bg->meta, sizeof bg->meta);
    if (rc == 0)
        rc = write_changes(s, PC_SECTION_SCOPES, bg->scopes, bg->scopes_n);
    if (rc == 0)
        rc = write_changes(s, PC_SECTION_REGISTERS, bg->registers, bg->registers_n);
    if (rc == 0)
        rc = export_table(w, s, w->tables->ids, PC_SECTION_IDS, buf);
    if (rc == 0)
        rc = export_table(w, s, w->tables->cutoffs, PC_SECTION_CUTOFFS, buf);
    free(buf);
    return rc;
}

/* Frees the segments that nobody needs any more. Those back to the snapshot before the newest stay,
 * as long as there is room: should the newest turn out damaged, that one and they still give
 * everything. And what the audit has no durable line of stays in any case. */
static int retire(struct pc_writer *w)
{
    struct pc_journal_status status;
    pc_journal_status(w->journal, &status);
    bool tight = status.bytes_used > w->o.outbox_max_bytes / 2;
    uint64_t upto = tight ? status.snapshot_position : status.previous_snapshot;
    if (w->audit.audit)
        upto = pc_min_u64(upto, pc_audit_named(w->audit.audit));
    return pc_journal_retire(w->journal, upto, NULL);
}

static int write_snapshot(struct pc_writer *w, struct pc_why *why)
{
    struct pc_snapshot_writer *s;
    int rc = pc_snapshot_begin(w->journal, w->background.position, w->key_id, pc_writer_wall(w), &s,
                               why);
    if (rc < 0)
        return rc;
    rc = write_blocks(w, s);
    if (rc < 0) {
        pc_snapshot_abort(s);
        return pc_fail(why, rc, "cannot write the snapshot: %s", pc_strerror(rc));
    }
    disk_begins(w);
    rc = pc_snapshot_commit(s, why);
    disk_ends(w);
    if (rc < 0)
        return rc;
    struct pc_journal_status status;
    pc_journal_status(w->journal, &status);
    atomic_store(&w->snapshot_position, status.snapshot_position);
    return retire(w);
}

static void do_snapshot(struct pc_writer *w)
{
    struct pc_why why = {{0}};
    int rc = write_snapshot(w, &why);
    if (rc < 0)
        pc_log_event(PC_LOG_ERROR, "snapshot_failed", "%s", why.text);
    atomic_store_explicit(&w->background.snapshot, rc < 0 ? PC_SNAPSHOT_BAD : PC_SNAPSHOT_OK,
                          memory_order_release);
}

bool pc_background_work(struct pc_writer *w)
{
    bool did = pc_audit_thread_work(w);
    if (pc_journal_wants_segment(w->journal)) {
        disk_begins(w);
        did = pc_journal_prepare_next(w->journal) == 0;
        disk_ends(w);
    }
    if (atomic_load_explicit(&w->background.snapshot, memory_order_acquire) ==
        PC_SNAPSHOT_RUNNING) {
        do_snapshot(w);
        did = true;
    } else if (retire(w) < 0) { /* the audit may have got further; it is tried again */
        did = false;
    }
    return did;
}

static void *background_main(void *arg)
{
    struct pc_writer *w = arg;
    struct pc_background *bg = &w->background;
    pthread_setname_np(pthread_self(), "pc-background");
    bool attached = w->o.logger && pc_log_attach(w->o.logger) == 0;
    pc_rcu_thread_register();
    while (!atomic_load_explicit(&bg->stop, memory_order_acquire)) {
        bool did = pc_background_work(w);
        pc_rcu_quiescent();
        if (did)
            continue;
        pc_waker_prepare(bg->waker);
        if (!atomic_load(&bg->stop) && atomic_load(&bg->snapshot) != PC_SNAPSHOT_RUNNING) {
            pc_rcu_offline();
            /* A segment that could not be made (disk full) is tried again after this. */
            pc_waker_wait(bg->waker, PC_WRITER_TICK_MS * INT64_C(1000000));
            pc_rcu_online();
        }
        pc_waker_finish(bg->waker);
    }
    pc_rcu_thread_unregister();
    if (attached)
        pc_log_detach();
    return NULL;
}

/* ---- the writer's side ---- */

int pc_background_start(struct pc_writer *w, struct pc_why *why)
{
    int rc = -pthread_create(&w->background.thread, NULL, background_main, w);
    if (rc < 0)
        return pc_fail(why, rc, "cannot start the background thread: %s", pc_strerror(rc));
    w->background.running = true;
    return 0;
}

void pc_background_stop(struct pc_writer *w)
{
    if (w->background.running) {
        atomic_store_explicit(&w->background.stop, true, memory_order_seq_cst);
        pc_waker_notify(w->background.waker);
        pc_rcu_offline();
        pthread_join(w->background.thread, NULL);
        pc_rcu_online();
        w->background.running = false;
    }
    pc_background_collect(w);
}

int pc_background_snapshot(struct pc_writer *w)
{
    struct pc_background *bg = &w->background;
    if (atomic_load_explicit(&bg->snapshot, memory_order_acquire) != PC_SNAPSHOT_IDLE)
        return -EBUSY;
    int rc = begin_snapshot(w);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&bg->snapshot, PC_SNAPSHOT_RUNNING, memory_order_seq_cst);
    pc_waker_notify(bg->waker);
    return 0;
}

void pc_background_collect(struct pc_writer *w)
{
    struct pc_metrics_block *m = w->o.metrics;
    int result = atomic_load_explicit(&w->background.snapshot, memory_order_acquire);
    if (result != PC_SNAPSHOT_OK && result != PC_SNAPSHOT_BAD)
        return;
    pc_metric_inc(m, result == PC_SNAPSHOT_OK ? PC_M_SNAPSHOTS_WRITTEN : PC_M_SNAPSHOTS_FAILED);
    if (result == PC_SNAPSHOT_OK) {
        pc_metric_set(m, PC_M_SNAPSHOT_LAST_SECONDS, (uint64_t)(pc_writer_wall(w) / 1000));
        pc_histogram_record(m, PC_H_SNAPSHOT,
                            (uint64_t)(pc_writer_mono(w) - w->background.started_ns), 1);
    }
    atomic_store_explicit(&w->background.snapshot, PC_SNAPSHOT_IDLE, memory_order_release);
}

int pc_writer_snapshot_now(struct pc_writer *w, struct pc_why *why)
{
    /* Nothing new since the last one: it still says everything. */
    if (w->appended_bytes == w->snapshot_base_bytes && atomic_load(&w->snapshot_position))
        return 0;
    int rc = begin_snapshot(w);
    return rc < 0 ? pc_fail(why, rc, "cannot begin the snapshot: %s", pc_strerror(rc))
                  : write_snapshot(w, why);
}
