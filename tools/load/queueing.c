/* SPDX-License-Identifier: Apache-2.0
 * The queueing model of the planner; the formulas and what they assume stand in the header. Pure.
 */
#include "load/queueing.h"

#include <math.h>

#include "base/def.h"

enum { LOAD_STEPS = 1000 }; /* resolution of the search for a load: a tenth of a per cent */

struct ld_service ld_queueing_mix(const struct ld_service_kind *kinds, size_t n)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        mean += kinds[i].share * kinds[i].mean_us;
        square += kinds[i].share * kinds[i].mean_us * kinds[i].mean_us * (1 + kinds[i].scv);
    }
    if (!(mean > 0))
        return (struct ld_service){0, 0};
    return (struct ld_service){mean, fmax(square / (mean * mean) - 1, 0)};
}

double ld_queueing_wait_us(const struct ld_service *s, double rho, double percentile)
{
    PC_ASSERT(percentile >= 0 && percentile <= 100);
    if (!(rho < 1))
        return INFINITY;
    double beyond = 1 - percentile / 100;
    if (!(rho > beyond)) /* fewer than that wait at all */
        return 0;
    if (beyond <= 0)
        return INFINITY;
    double mean_us = rho * s->mean_us * (1 + s->scv) / (2 * (1 - rho));
    return mean_us / rho * log(rho / beyond);
}

/* The percentile measured that stands for the one asked for: the least not below it. */
static double stands_for(const struct ld_floor *f, double percentile)
{
    double best = NAN, highest = NAN;
    for (size_t i = 0; i < f->n; i++) {
        double p = f->points[i].percentile;
        if (p >= percentile - 1e-9 && !(p >= best))
            best = p;
        highest = fmax(highest, p);
    }
    return isnan(best) ? highest : best;
}

double ld_queueing_floor_us(const struct ld_floor *f, double rho, double percentile,
                            bool *ret_exact)
{
    double p = stands_for(f, percentile);
    const struct ld_floor_point *below = NULL, *above = NULL;
    for (size_t i = 0; i < f->n; i++) {
        const struct ld_floor_point *one = &f->points[i];
        if (one->percentile != p)
            continue;
        if (one->rho <= rho && (!below || one->rho > below->rho))
            below = one;
        if (one->rho >= rho && (!above || one->rho < above->rho))
            above = one;
    }
    if (ret_exact)
        *ret_exact = fabs(p - percentile) < 1e-9;
    if (!below || !above)
        return below ? below->us : above ? above->us : NAN;
    if (above->rho <= below->rho)
        return below->us;
    return below->us + (above->us - below->us) * (rho - below->rho) / (above->rho - below->rho);
}

double ld_queueing_latency_us(const struct ld_service *s, const struct ld_floor *f, double rho,
                              double percentile)
{
    double floor_us = f->n ? ld_queueing_floor_us(f, rho, percentile, NULL) : 0;
    return floor_us + ld_queueing_wait_us(s, rho, percentile) + s->mean_us;
}

double ld_queueing_load(const struct ld_service *s, const struct ld_floor *f, double percentile,
                        double limit_us, double most)
{
    /* By steps from the top, not by bisection: a measured floor need not grow with the load. */
    for (int i = LOAD_STEPS; i > 0; i--) {
        double rho = most * i / LOAD_STEPS;
        if (ld_queueing_latency_us(s, f, rho, percentile) < limit_us)
            return rho;
    }
    return 0;
}
