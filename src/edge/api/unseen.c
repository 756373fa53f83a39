/* SPDX-License-Identifier: Apache-2.0
 * The queue of calls with tokens not seen before: a list through the calls themselves. Owned by one
 * core thread. Never answers anybody.
 *
 *   I1  A call is in the list exactly while call->unseen_waits; then its connection is paused.
 *   I2  While the list is not empty, every turn's end takes some out of it and leaves their
 *       connections work to do, so that the core does not sleep on those that wait. */
#include "edge/api/unseen.h"

bool pc_unseen_now(struct pc_worker *w)
{
    if (w->unseen.first || w->unseen.used == PC_UNSEEN_PER_TURN)
        return false;
    w->unseen.used++;
    return true;
}

void pc_unseen_wait(struct pc_call *call)
{
    struct pc_unseen *q = &call->worker->unseen;
    PC_ASSERT(!call->unseen_waits && !call->unseen_due && !call->replied);
    call->unseen_waits = true;
    call->unseen_next = NULL;
    call->unseen_prev = q->last;
    *(q->last ? &q->last->unseen_next : &q->first) = call;
    q->last = call;
    pc_conn_pause(call->conn);
}

void pc_unseen_forget(struct pc_call *call)
{
    struct pc_unseen *q = &call->worker->unseen;
    if (PC_LIKELY(!call->unseen_waits))
        return;
    *(call->unseen_prev ? &call->unseen_prev->unseen_next : &q->first) = call->unseen_next;
    *(call->unseen_next ? &call->unseen_next->unseen_prev : &q->last) = call->unseen_prev;
    call->unseen_waits = false;
}

void pc_unseen_turn_end(struct pc_worker *w)
{
    w->unseen.used = 0;
    while (PC_UNLIKELY(w->unseen.first != NULL) && w->unseen.used < PC_UNSEEN_PER_TURN) {
        struct pc_call *call = w->unseen.first;
        pc_unseen_forget(call);
        call->unseen_due = true;
        w->unseen.used++;
        pc_conn_resume(call->conn);
    }
}
