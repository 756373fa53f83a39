/* SPDX-License-Identifier: Apache-2.0
 * The thread that runs the audit (audit.h) beside the writer, which nudges it when there is
 * something durable to derive. A simulation has no such thread: pc_background_work() takes steps.
 *
 * It is nudged a moment after a sync, not at once: lines of many batches then go out in one write,
 * and the writer pays for no wake-up per batch. */
#include "edge/writer/writer_private.h"

#include "base/clock.h"
#include "base/log.h"

/* When the server stops, how many steps it may take to catch up; each is about a megabyte. */
#define LAST_STEPS_MAX 4096

int pc_audit_thread_new(struct pc_writer *w, struct pc_why *why)
{
    struct pc_audit_options o = {.journal = w->journal,
                                 .start_position = w->recovered.position,
                                 .data_dir = w->o.data_dir,
                                 .files = w->o.files,
                                 .file_bytes = w->o.audit_file_bytes,
                                 .node = w->node};
    if (!w->o.audit)
        return 0;
    int rc = pc_audit_new(&o, &w->audit.audit);
    if (rc == 0)
        rc = pc_waker_new(&w->audit.waker);
    return rc < 0 ? pc_fail(why, rc, "cannot begin the audit: %s", pc_strerror(rc)) : 0;
}

void pc_audit_thread_free(struct pc_writer *w)
{
    PC_ASSERT(!w->audit.running);
    pc_audit_free(w->audit.audit);
    pc_waker_free(w->audit.waker);
    w->audit.audit = NULL;
    w->audit.waker = NULL;
}

static int64_t step(struct pc_writer *w, bool sync)
{
    return pc_audit_work(w->audit.audit, pc_writer_mono(w), pc_writer_wall(w), sync);
}

bool pc_audit_thread_work(struct pc_writer *w)
{
    if (!w->audit.audit || !w->audit.by_hand)
        return false;
    uint64_t before = pc_audit_synced(w->audit.audit);
    step(w, true);
    return pc_audit_synced(w->audit.audit) != before;
}

static bool may_sleep(struct pc_writer *w)
{
    return !atomic_load(&w->audit.stop) && !atomic_exchange(&w->audit.nudged, false);
}

static void *audit_main(void *arg)
{
    struct pc_writer *w = arg;
    struct pc_audit_thread *t = &w->audit;
    pthread_setname_np(pthread_self(), "pc-audit");
    bool attached = w->o.logger && pc_log_attach(w->o.logger) == 0;
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        int64_t due_ns = step(w, false);
        if (due_ns == 0)
            continue;
        pc_waker_prepare(t->waker);
        if (may_sleep(w))
            pc_waker_wait(t->waker, due_ns == INT64_MAX ? -1 : due_ns);
        pc_waker_finish(t->waker);
    }
    if (attached)
        pc_log_detach();
    return NULL;
}

int pc_audit_thread_start(struct pc_writer *w, struct pc_why *why)
{
    if (!w->audit.audit)
        return 0;
    int rc = -pthread_create(&w->audit.thread, NULL, audit_main, w);
    if (rc < 0)
        return pc_fail(why, rc, "cannot start the audit's thread: %s", pc_strerror(rc));
    w->audit.running = true;
    return 0;
}

void pc_audit_thread_due(struct pc_writer *w)
{
    if (w->audit.running && w->audit.next_nudge_ns == 0)
        w->audit.next_nudge_ns = pc_writer_mono(w) + PC_WRITER_AUDIT_MS * INT64_C(1000000);
}

void pc_audit_thread_nudge(struct pc_writer *w)
{
    w->audit.next_nudge_ns = 0;
    if (!w->audit.running)
        return;
    atomic_store(&w->audit.nudged, true);
    pc_waker_notify(w->audit.waker);
}

void pc_audit_thread_stop(struct pc_writer *w)
{
    struct pc_audit_thread *t = &w->audit;
    if (t->running) {
        atomic_store_explicit(&t->stop, true, memory_order_seq_cst);
        pc_waker_notify(t->waker);
        pc_rcu_offline();
        pthread_join(t->thread, NULL);
        pc_rcu_online();
        t->running = false;
    }
    /* What became durable last; a disk that does not take it now gets it after the next start. */
    for (unsigned i = 0; t->audit && i < LAST_STEPS_MAX && step(w, true) == 0; i++)
        ;
}
