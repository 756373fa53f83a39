/* SPDX-License-Identifier: Apache-2.0
 * How many cores to run, where, and with which io_uring features. Main thread, at start. */
#ifndef PC_API_CPUS_H
#define PC_API_CPUS_H

#include "base/config.h"
#include "edge/loop/core.h"

/* The configured number, or the CPUs of the affinity mask, at most the cgroup's quota. */
unsigned pc_cores_to_use(const struct pc_config *c);
/* Fills in the CPU of each core; false when cores should not be pinned: the CPUs are shared with
 * others (a quota, or more cores than CPUs), or the configuration says so. */
bool pc_cpus_to_pin(const struct pc_config *c, unsigned cores, int cpus[PC_CORES_MAX]);
/* Features the configuration masks, as pc_loop_feature bits. */
uint32_t pc_masked_features(const struct pc_config *c);

#endif
