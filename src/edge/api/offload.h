/* SPDX-License-Identifier: Apache-2.0
 * What a core may not wait for, done by the main thread: rendering metrics, reloading.
 *
 * A core queues an errand and parks its call; the main thread runs it and posts it back; the core
 * replies. Errands own their memory. */
#ifndef PC_API_OFFLOAD_H
#define PC_API_OFFLOAD_H

#include "base/waker.h"
#include "edge/api/audit_note.h"

#define PC_OFFLOAD_ENTRIES 256 /* errands of one core under way; more are answered 503 */

struct pc_errand {
    void (*discard)(void *errand); /* first, as in struct pc_job */
    struct pc_conn_ref ref;
    unsigned core;
    /* On the main thread: fills in what follows. */
    void (*run)(struct pc_server *s, struct pc_errand *e);
    unsigned status;
    const char *content_type;
    const char *code; /* of an error, with `text` as its message; else NULL */
    struct pc_why why;
    uint8_t *body; /* malloced, or NULL */
    size_t body_n;
    /* Of one that leaves a note (pc_offload_noted()). */
    const char *action; /* NULL: it does not */
    struct pc_note_origin origin;
};

int pc_offload_new(unsigned cores, struct pc_offload_queue **ret_q);
void pc_offload_free(struct pc_offload_queue *q);
/* Core: hands the call's errand over and parks it; answers 503 when that is impossible. */
void pc_offload(struct pc_call *call, void (*run)(struct pc_server *s, struct pc_errand *e));
/* The same for what is to be audited: when it was run its result is noted as `action`, and the
 * reply leaves once that is durable; a JSON object then says if it could not be. */
void pc_offload_noted(struct pc_call *call, const char *action,
                      void (*run)(struct pc_server *s, struct pc_errand *e));
/* Core: the errand is back. */
void pc_offload_done(struct pc_worker *w, struct pc_errand *e);
/* Main thread: runs one errand of each core, if it has any: there may be a signal to look at before
 * the next. */
void pc_offload_run(struct pc_server *s);
/* Main thread: wakes up when there are errands (base/waker.h). */
struct pc_waker *pc_offload_waker(struct pc_offload_queue *q);
bool pc_offload_empty(const struct pc_offload_queue *q, unsigned cores);

#endif
