/* SPDX-License-Identifier: Apache-2.0
 * Administrative calls that change something without a Change of their own (reload, snapshot,
 * resetting a limit) leave a record all the same: a Change of kind ADMIN, op NOTE, whose id is the
 * action and whose value says what was done and with which result.
 *
 * The action is carried out first, then noted, then answered: a note is never about something that
 * did not happen. Where the journal takes no note (it failed, or it is full) the answer says so
 * ("audited": false), the log too, and what was done stays done.
 *
 * Runs on a core. */
#ifndef PC_API_AUDIT_NOTE_H
#define PC_API_AUDIT_NOTE_H

#include "edge/api/submit.h"

/* Longest detail of a note; what is longer is left out. A limit's key, escaped, fits. */
#define PC_NOTE_DETAIL_MAX PC_VALUE_MAX

/* Who did it, kept beyond the call. */
struct pc_note_origin {
    struct pc_conn_ref ref;
    char actor[PC_ACTOR_MAX + 1];
    char request_id[PC_REQUEST_ID_TAKEN_MAX];
    uint8_t request_id_n;
    char source[PC_IP_TEXT_MAX];
    uint8_t source_n;
};
void pc_note_origin_of(const struct pc_call *call, struct pc_note_origin *ret_origin);

/* Runs when the note is durable (`audited`) or could not be made; must reply to the call, unless it
 * is NULL (the client has gone), and free arg. It does not call pc_call_done(). */
typedef void pc_note_then(struct pc_call *call, bool audited, void *arg);

/* From a handler that did what it was asked for and has not replied: notes it and replies through
 * then(). action: lower_case_words, a literal. detail: a JSON object, or empty. reason: the
 * caller's words, may be empty. */
void pc_audit_note(struct pc_call *call, const char *action, struct pc_bytes detail,
                   struct pc_bytes reason, pc_note_then *then, void *arg);

/* The same for a handler whose answer is 200 and this JSON object (at most PC_WORKER_SCRATCH_BYTES
 * less 64), which also is the detail, as far as it is short enough. */
void pc_audit_note_reply(struct pc_call *call, const char *action, struct pc_bytes object);

/* The same when the call may have gone meanwhile: `call` is parked or NULL. */
void pc_audit_note_later(struct pc_worker *w, const struct pc_note_origin *origin,
                         const char *action, struct pc_bytes detail, struct pc_bytes reason,
                         pc_note_then *then, void *arg);

/* Replies with a JSON object, to which ",\"audited\":false" is added where that is so. */
void pc_note_reply_object(struct pc_call *call, unsigned status, struct pc_bytes object,
                          bool audited);

#endif
