/* SPDX-License-Identifier: Apache-2.0
 * Errands between cores and the main thread: one bounded queue per core, the loop's mailbox back.
 */
#include "edge/api/offload.h"

#include <stdlib.h>

#include "base/spsc.h"

struct pc_offload_queue {
    struct pc_waker *waker;
    unsigned cores;
    struct pc_spsc *from[PC_CORES_MAX];
    uint32_t under_way[PC_CORES_MAX]; /* each touched by its core only */
};

int pc_offload_new(unsigned cores, struct pc_offload_queue **ret_q)
{
    struct pc_offload_queue *q = calloc(1, sizeof *q);
    PC_ASSERT(cores <= PC_CORES_MAX);
    if (!q)
        return -ENOMEM;
    q->cores = cores;
    int rc = pc_waker_new(&q->waker);
    for (unsigned i = 0; i < cores && rc == 0; i++)
        rc = pc_spsc_new(PC_OFFLOAD_ENTRIES, &q->from[i]);
    if (rc < 0) {
        pc_offload_free(q);
        return rc;
    }
    *ret_q = q;
    return 0;
}

static void errand_free(void *errand)
{
    struct pc_errand *e = errand;
    if (e)
        free(e->body);
    free(e);
}

void pc_offload_free(struct pc_offload_queue *q)
{
    if (!q)
        return;
    for (unsigned i = 0; i < q->cores; i++) {
        struct pc_errand *e;
        while (q->from[i] && (e = pc_spsc_pop(q->from[i])))
            errand_free(e);
        pc_spsc_free(q->from[i]);
    }
    pc_waker_free(q->waker);
    free(q);
}

static void hand_over(struct pc_call *call, const char *action,
                      void (*run)(struct pc_server *s, struct pc_errand *e))
{
    struct pc_offload_queue *q = call->worker->server->offload;
    unsigned core = call->worker->core->index;
    struct pc_errand *e = calloc(1, sizeof *e);
    if (e) {
        *e = (struct pc_errand){.discard = errand_free,
                                .ref = pc_conn_ref(call->conn),
                                .core = core,
                                .run = run,
                                .action = action};
        if (action)
            pc_note_origin_of(call, &e->origin);
    }
    if (!e || q->under_way[core] == PC_OFFLOAD_ENTRIES || !pc_spsc_push(q->from[core], e)) {
        free(e);
        pc_call_reply_busy(call, "BUSY", "too many requests of this kind wait already", 1);
        return;
    }
    q->under_way[core]++;
    pc_waker_notify(q->waker);
    pc_call_park(call);
}

void pc_offload(struct pc_call *call, void (*run)(struct pc_server *s, struct pc_errand *e))
{
    hand_over(call, NULL, run);
}

void pc_offload_noted(struct pc_call *call, const char *action,
                      void (*run)(struct pc_server *s, struct pc_errand *e))
{
    hand_over(call, action, run);
}

static void reply(struct pc_call *call, const struct pc_errand *e)
{
    struct pc_reply r = {.status = e->status,
                         .content_type = e->content_type,
                         .body = pc_bytes_of(e->body, e->body_n)};
    if (e->code)
        pc_call_reply_error(call, e->status, e->code, "%s", e->why.text);
    else
        pc_call_reply(call, &r);
}

static void noted(struct pc_call *call, bool audited, void *arg)
{
    struct pc_errand *e = arg;
    if (call && (audited || e->code))
        reply(call, e);
    else if (call)
        pc_note_reply_object(call, e->status, pc_bytes_of(e->body, e->body_n), false);
    errand_free(e);
}

static void note(struct pc_worker *w, struct pc_errand *e)
{
    char detail[160];
    struct pc_buf b = pc_buf_of(detail, sizeof detail);
    pc_buf_fmt(&b, "{\"status\":%u", e->status);
    if (e->code)
        pc_buf_fmt(&b, ",\"code\":\"%.64s\"", e->code);
    pc_buf_char(&b, '}');
    PC_ASSERT(!b.overflow);
    pc_audit_note_later(w, &e->origin, e->action, pc_bytes_of(b.p, b.len), PC_LIT(""), noted, e);
}

void pc_offload_done(struct pc_worker *w, struct pc_errand *e)
{
    PC_ASSERT(w->server->offload->under_way[w->core->index] > 0);
    w->server->offload->under_way[w->core->index]--;
    if (e->action) {
        note(w, e);
        return;
    }
    struct pc_conn *c = pc_conn_get(w->core, e->ref);
    struct pc_call *call = c ? pc_call_of(c) : NULL;
    if (call) {
        reply(call, e);
        pc_call_done(call);
    }
    errand_free(e);
}

void pc_offload_run(struct pc_server *s)
{
    struct pc_offload_queue *q = s->offload;
    for (unsigned i = 0; i < q->cores; i++) {
        struct pc_errand *e;
        if ((e = pc_spsc_pop(q->from[i]))) {
            struct pc_core *core = pc_loop_core(s->loop, i);
            e->run(s, e);
            /* At most PC_OFFLOAD_ENTRIES are under way, and the mailbox holds more. */
            bool posted = pc_core_post(core, q->cores + 1, e);
            PC_ASSERT(posted);
            pc_core_notify(core);
        }
    }
}

struct pc_waker *pc_offload_waker(struct pc_offload_queue *q)
{
    return q->waker;
}

bool pc_offload_empty(const struct pc_offload_queue *q, unsigned cores)
{
    for (unsigned i = 0; i < cores; i++)
        if (!pc_spsc_empty(q->from[i]))
            return false;
    return true;
}
