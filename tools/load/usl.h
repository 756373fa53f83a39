/* SPDX-License-Identifier: Apache-2.0
 * Gunther's Universal Scalability Law, X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1)), fitted
 * to measured throughputs: sigma is the share that is serial, kappa the cost of keeping N workers
 * coherent. Pure; any thread. */
#ifndef LD_USL_H
#define LD_USL_H

#include <stddef.h>

#include "load/source.h"

#define LD_USL_POINTS_MAX 256

struct ld_usl_point {
    double n;    /* cores or threads, >= 1 */
    double rate; /* measured, per second */
};

/* Which of the two costs a fit may use. With measurements at two numbers of cores only, one of
 * them can be found, not both: whoever extrapolates must then look at either. */
enum ld_usl_form { LD_USL_FULL, LD_USL_SIGMA_ONLY, LD_USL_KAPPA_ONLY };

struct ld_usl {
    double lambda, sigma, kappa; /* sigma, kappa >= 0 */
    double r_squared;            /* of rates; 1 where all points lie on the curve */
    double error_max;            /* largest |predicted - measured| / measured */
    double error_rms;
    double n_max;      /* largest N measured */
    unsigned distinct; /* how many different N */
};

/* Least squares of the relative errors of N / X(N), which is linear in what is sought; negative
 * costs are set to zero and the rest is fitted again. With one N only: linear scaling (sigma =
 * kappa = 0). false for no points, or values that are not finite and positive. */
bool ld_usl_fit(const struct ld_usl_point *points, size_t n, enum ld_usl_form form,
                struct ld_usl *ret_usl, struct ld_problem *problem);

/* Throughput at n cores. */
double ld_usl_rate(const struct ld_usl *u, double n);

/* The number of cores beyond which more of them make it slower; infinity without kappa. */
double ld_usl_peak(const struct ld_usl *u);

/* Intercept and slope of y over x by least squares; with one x only a line through the origin.
 * Used for memory per entry and the like. */
struct ld_line {
    double intercept, slope;
    double r_squared, error_max; /* as above, of y */
    double x_max;
};
bool ld_line_fit(const double *x, const double *y, size_t n, struct ld_line *ret_line,
                 struct ld_problem *problem);

#endif
