/* SPDX-License-Identifier: Apache-2.0
 * CL.THROTTLE on RESP connections. */
#ifndef PC_API_RESP_THROTTLE_H
#define PC_API_RESP_THROTTLE_H

#include "edge/api/resp_conn.h"
#include "edge/state/throttle.h"

enum pc_resp_outcome pc_resp_throttle(struct pc_resp_conn *r, const struct pc_resp_command *c);

/* A call that was put off is charged now, and answered. */
void pc_resp_throttle_answer(struct pc_resp_conn *r, uint64_t fp,
                             const struct pc_throttle_ahead *ahead);

/* Copies what the core counted into its block of metrics; once a second. */
void pc_throttle_publish(const struct pc_worker *w);

#endif
