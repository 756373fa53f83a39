/* SPDX-License-Identifier: Apache-2.0
 * From a handler to the writer and back: the call is parked while its job is under way.
 * Runs on the call's core. */
#ifndef PC_API_SUBMIT_H
#define PC_API_SUBMIT_H

#include "edge/api/call.h"

/* Hands the job over and parks the call; answers 503 and frees the job when the queue is full.
 * done() runs on this core when the job is back: it replies to pc_call_of_job(), calls
 * pc_call_done() and frees the job. */
void pc_call_submit(struct pc_call *call, struct pc_job *job, void (*done)(struct pc_job *job));
/* The parked call a job belongs to; NULL when its client has gone. */
struct pc_call *pc_call_of_job(struct pc_job *job);
/* Replies what a job's failure means to its client. */
void pc_call_reply_job_failed(struct pc_call *call, int result);

/* Who asks, from where and under which id, for the audit. c->source points into `address`. */
void pc_call_stamp(const struct pc_call *call, struct pc_change *c,
                   uint8_t address[PC_IP_TEXT_MAX]);

#endif
