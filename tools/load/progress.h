/* SPDX-License-Identifier: Apache-2.0
 * What is said on standard error while a run lasts: one line that is rewritten on a terminal, a
 * line per second elsewhere. Main thread. */
#ifndef LD_PROGRESS_H
#define LD_PROGRESS_H

#include "load/report.h"

struct ld_progress {
    FILE *to; /* NULL: quiet */
    bool terminal, drawn;
    double total_s; /* measured part; 0: unknown */
};

void ld_progress_begin(struct ld_progress *, bool quiet, double total_s);
void ld_progress_second(struct ld_progress *, const struct ld_second *, uint64_t errors_so_far,
                        uint64_t wrong_so_far);
void ld_progress_end(struct ld_progress *);

#endif
