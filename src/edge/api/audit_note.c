/* SPDX-License-Identifier: Apache-2.0
 * See audit_note.h. A note's job carries what then() needs; it comes back to the core it left. */
#include "edge/api/audit_note.h"

#include <stdlib.h>

struct note {
    struct pc_worker *worker;
    struct pc_conn_ref ref;
    pc_note_then *then; /* NULL: nobody waits */
    void *arg;
    const char *action;
};

void pc_note_origin_of(const struct pc_call *call, struct pc_note_origin *o)
{
    uint8_t address[PC_IP_TEXT_MAX];
    struct pc_change c;
    pc_call_stamp(call, &c, address);
    PC_ASSERT(c.actor.n <= PC_ACTOR_MAX && c.source.n <= sizeof o->source);
    o->ref = pc_conn_ref(call->conn);
    memcpy(o->actor, c.actor.p, c.actor.n);
    o->actor[c.actor.n] = 0;
    memcpy(o->request_id, c.request_id.p, c.request_id.n);
    o->request_id_n = (uint8_t)c.request_id.n;
    memcpy(o->source, c.source.p, c.source.n);
    o->source_n = (uint8_t)c.source.n;
}

static struct pc_call *call_of(const struct note *n)
{
    struct pc_conn *c = pc_conn_get(n->worker->core, n->ref);
    return c ? pc_call_of(c) : NULL;
}

static void tell_unaudited(const struct note *n, int err)
{
    struct pc_log *l = pc_log_begin(PC_LOG_ERROR, "not_audited");
    pc_log_str(l, "action", n->action);
    pc_log_err(l, err);
    pc_log_end(l);
}

/* The note is made, or cannot be: the caller's turn. */
static void conclude(struct note *n, struct pc_call *call, int result)
{
    if (result < 0)
        tell_unaudited(n, result);
    if (n->then)
        n->then(call, result == 0, n->arg);
}

static void note_back(struct pc_job *job)
{
    struct note *n = job->task_arg;
    struct pc_call *call = n->then ? call_of(n) : NULL;
    conclude(n, call, job->result);
    if (call)
        pc_call_done(call);
    free(n);
    pc_job_free(job);
}

/* A job that nobody takes back any more: the server ends. */
static void note_discard(void *msg)
{
    struct pc_job *job = msg;
    struct note *n = job->task_arg;
    if (n->then)
        n->then(NULL, false, n->arg);
    free(n);
    pc_job_free(job);
}

static struct pc_job *make_job(const struct pc_change *c)
{
    struct pc_job *job = pc_job_new(1, c->id.n + c->value.n + c->actor.n + c->source.n +
                                           c->request_id.n + c->reason.n);
    if (job && pc_job_add(job, c) < 0) {
        pc_job_free(job);
        job = NULL;
    }
    return job;
}

/* 0: the job is under way and owns a copy of *n. */
static int submit(const struct note *n, const struct pc_change *c)
{
    struct pc_job *job = make_job(c);
    struct note *kept = malloc(sizeof *kept);
    int rc = job && kept ? 0 : -ENOMEM;
    if (rc == 0) {
        *kept = *n;
        job->done = note_back;
        job->discard = note_discard;
        job->owner = n->worker;
        job->task_arg = kept; /* it is no task: the writer leaves this alone */
        rc = pc_worker_submit(n->worker, job);
    }
    if (rc < 0) {
        free(kept);
        pc_job_free(job);
    }
    return rc;
}

static struct pc_change change_of(const struct pc_note_origin *o, const char *action,
                                  struct pc_bytes detail, struct pc_bytes reason)
{
    PC_ASSERT(detail.n <= PC_NOTE_DETAIL_MAX && strlen(action) <= PC_ID_MAX);
    return (struct pc_change){
        .kind = PC_KIND_ADMIN,
        .op = PC_OP_NOTE,
        .id = pc_bytes_str(action),
        .value = detail,
        .actor = pc_bytes_str(o->actor),
        .source = pc_bytes_of(o->source, o->source_n),
        .request_id = pc_bytes_of(o->request_id, o->request_id_n),
        .reason = pc_bytes_of(reason.p, pc_min_u64(reason.n, PC_REASON_MAX)),
    };
}

void pc_audit_note(struct pc_call *call, const char *action, struct pc_bytes detail,
                   struct pc_bytes reason, pc_note_then *then, void *arg)
{
    struct pc_note_origin o;
    pc_note_origin_of(call, &o);
    struct pc_change c = change_of(&o, action, detail, reason);
    struct note n = {call->worker, o.ref, then, arg, action};
    PC_ASSERT(!call->parked && !call->replied && then);
    int rc = submit(&n, &c);
    if (rc == 0)
        pc_call_park(call);
    else
        conclude(&n, call, rc);
}

void pc_note_reply_object(struct pc_call *call, unsigned status, struct pc_bytes object,
                          bool audited)
{
    static const char unaudited[] = ",\"audited\":false}\n";
    struct pc_buf b = pc_call_scratch(call);
    while (!audited && object.n && object.p[object.n - 1] != '}')
        object.n--; /* a newline */
    if (audited || object.n == 0 || object.n + sizeof unaudited > PC_WORKER_SCRATCH_BYTES) {
        pc_call_reply_json(call, status, object);
        return;
    }
    pc_buf_put(&b, object.p, object.n - 1);
    pc_buf_str(&b, unaudited);
    pc_call_reply_json(call, status, pc_bytes_of(b.p, b.len));
}

struct kept_answer {
    size_t n;
    uint8_t object[];
};

static void reply_kept(struct pc_call *call, bool audited, void *arg)
{
    struct kept_answer *a = arg;
    if (call)
        pc_note_reply_object(call, 200, pc_bytes_of(a->object, a->n), audited);
    free(a);
}

void pc_audit_note_reply(struct pc_call *call, const char *action, struct pc_bytes object)
{
    struct kept_answer *a = malloc(sizeof *a + object.n);
    if (!a) {
        tell_unaudited(&(struct note){.action = action}, -ENOMEM);
        pc_note_reply_object(call, 200, object, false);
        return;
    }
    a->n = object.n;
    memcpy(a->object, object.p, object.n);
    size_t n = object.n;
    while (n && object.p[n - 1] == '\n')
        n--;
    pc_audit_note(call, action, pc_bytes_of(a->object, n <= PC_NOTE_DETAIL_MAX ? n : 0), PC_LIT(""),
                  reply_kept, a);
}

void pc_audit_note_later(struct pc_worker *w, const struct pc_note_origin *origin,
                         const char *action, struct pc_bytes detail, struct pc_bytes reason,
                         pc_note_then *then, void *arg)
{
    struct pc_change c = change_of(origin, action, detail, reason);
    struct note n = {w, origin->ref, then, arg, action};
    int rc = submit(&n, &c);
    if (rc == 0)
        return;
    struct pc_call *call = then ? call_of(&n) : NULL;
    conclude(&n, call, rc);
    if (call)
        pc_call_done(call);
}
