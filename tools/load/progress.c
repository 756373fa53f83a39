/* SPDX-License-Identifier: Apache-2.0
 * Progress of a run, see progress.h. */
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "load/progress.h"

void ld_progress_begin(struct ld_progress *p, bool quiet, double total_s)
{
    *p = (struct ld_progress){
        .to = quiet ? NULL : stderr, .terminal = isatty(STDERR_FILENO) == 1, .total_s = total_s};
}

static void put_us(FILE *to, const char *name, double us)
{
    if (isnan(us))
        fprintf(to, "  %s -", name);
    else
        fprintf(to, us < 1000 ? "  %s %.0f us" : "  %s %.2f ms", name, us < 1000 ? us : us / 1000);
}

void ld_progress_second(struct ld_progress *p, const struct ld_second *s, uint64_t errors_so_far,
                        uint64_t wrong_so_far)
{
    if (!p->to)
        return;
    fputs(p->terminal ? "\r\033[K" : "", p->to);
    if (s->at_s < 0.1)
        fprintf(p->to, "warm-up %.0f s  ", s->at_s);
    else if (p->total_s > 0)
        fprintf(p->to, "%.0f of %.0f s  ", s->at_s, p->total_s);
    else
        fprintf(p->to, "%.0f s  ", s->at_s);
    fprintf(p->to, "%.0f/s", s->rate_per_s);
    put_us(p->to, "p50", s->p50_us);
    put_us(p->to, "p99", s->p99_us);
    fprintf(p->to, "  errors %" PRIu64 "  wrong %" PRIu64, errors_so_far, wrong_so_far);
    if (s->waiting)
        fprintf(p->to, "  waiting %" PRIu64, s->waiting);
    fputs(p->terminal ? "" : "\n", p->to);
    fflush(p->to);
    p->drawn = true;
}

void ld_progress_end(struct ld_progress *p)
{
    if (p->to && p->terminal && p->drawn)
        fputs("\r\033[K", p->to);
}
