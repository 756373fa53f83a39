/* SPDX-License-Identifier: Apache-2.0
 * How long a cache line takes from one CPU to another. Hosts move virtual CPUs: loopback figures
 * with them near and far apart cannot be compared, and nothing else shows it. */
#ifndef LD_BOUNCE_H
#define LD_BOUNCE_H

#include "load/source.h"

/* One way, nanoseconds: the median of several rounds, about 50 ms in all, on two threads of its
 * own that are pinned to the CPUs. false: they cannot be. */
bool ld_bounce_measure(unsigned cpu, unsigned other_cpu, double *ret_one_way_ns,
                       struct ld_problem *);

#endif
