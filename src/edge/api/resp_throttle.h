/* SPDX-License-Identifier: Apache-2.0
 * CL.THROTTLE on RESP connections. */
#ifndef PC_API_RESP_THROTTLE_H
#define PC_API_RESP_THROTTLE_H

#include "edge/api/resp_conn.h"
#include "edge/state/throttle.h"

enum pc_resp_outcome pc_resp_throttle(struct pc_resp_conn *r, const struct pc_resp_command *c);

/* A call whose lines were asked for and that is charged and answered a few commands later. What it
 * borrows from the connection's input stays until all of the input was looked at, and so only one
 * connection of a core has any: they are the worker's. */
struct pc_throttle_ahead {
    struct pc_throttle_call call;
    struct pc_bytes key;
};
void pc_resp_throttle_answer(struct pc_resp_conn *r, uint32_t i);

/* Copies what the core counted into its block of metrics; once a second. */
void pc_throttle_publish(const struct pc_worker *w);

#endif
