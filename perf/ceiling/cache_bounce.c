/* SPDX-License-Identifier: Apache-2.0
 * How long a cache line takes from one CPU to another, for the rig of perf/ (load/bounce.h).
 * Usage: perf-cache-bounce [CPU CPU]; prints {"one_way_ns":N}. */
#include <stdio.h>
#include <stdlib.h>

#include "load/bounce.h"

int main(int argc, char **argv)
{
    unsigned cpus[2] = {0, 1};
    struct ld_problem problem;
    double one_way_ns;
    for (int i = 0; i < 2 && argc == 3; i++)
        cpus[i] = (unsigned)strtoul(argv[i + 1], NULL, 10);
    if (!ld_bounce_measure(cpus[0], cpus[1], &one_way_ns, &problem)) {
        fprintf(stderr, "perf-cache-bounce: %s\n", problem.text);
        return 1;
    }
    printf("{\"one_way_ns\":%.1f}\n", one_way_ns);
    return 0;
}
