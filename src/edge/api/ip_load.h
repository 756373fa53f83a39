/* SPDX-License-Identifier: Apache-2.0
 * From the configuration's IP sets and their list files to compiled ones. Main thread; reads
 * files. */
#ifndef PC_API_IP_LOAD_H
#define PC_API_IP_LOAD_H

#include "base/config.h"
#include "edge/state/ip_sets.h"

/* On failure *why names the set, and the word, or the file and its line. */
int pc_ip_load(const struct pc_config *c, struct pc_ip_configured **ret_c, struct pc_why *why);

#endif
