/* SPDX-License-Identifier: Apache-2.0
 * What else the flags' endpoints offer inside the server. */
#ifndef PC_API_FLAGS_API_H
#define PC_API_FLAGS_API_H

#include "edge/api/server.h"

/* Main thread, before the metrics are rendered: how many flags there are, from where. */
void pc_flags_measure(struct pc_server *s);

#endif
