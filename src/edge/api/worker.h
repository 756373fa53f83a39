/* SPDX-License-Identifier: Apache-2.0
 * A core's own things: made and freed on its thread, and the loop's hooks. */
#ifndef PC_API_WORKER_H
#define PC_API_WORKER_H

#include "edge/api/server.h"

/* Mailbox producers behind the cores themselves. */
#define PC_PRODUCER_WRITER(server) ((server)->cores)
#define PC_PRODUCER_MAIN(server)   ((server)->cores + 1)
#define PC_EXTRA_PRODUCERS         2

/* The hooks of pc_loop_config; `user` is the server. */
void pc_worker_hooks(struct pc_loop_hooks *hooks);

#endif
