/* SPDX-License-Identifier: Apache-2.0
 * What else the endpoints of IP rules offer inside the server. */
#ifndef PC_API_IP_RULES_H
#define PC_API_IP_RULES_H

#include "edge/api/server.h"

/* Main thread, before the metrics are rendered: how many rules there are, and their memory. */
void pc_ip_rules_measure(struct pc_server *s);

#endif
