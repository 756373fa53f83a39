/* SPDX-License-Identifier: Apache-2.0
 * What waiting adds to latency at a given load, and the load an objective allows.
 *
 * The model. A core of the edge serves its own connections one request after the other: it is an
 * M/G/1 queue with Poisson arrivals. Its mean wait is Pollaczek and Khinchine's,
 *     W = rho S (1 + C^2) / (2 (1 - rho)),
 * exact for the mean; S is the mean service time and C^2 its squared coefficient of variation, both
 * from a mixture of measured kinds of requests (tokens in the cache, tokens verified anew). Its
 * distribution is taken as exponential above zero: P(wait > t) = rho exp(-rho t / W), exact for
 * M/M/1, the heavy-traffic limit for any other.
 * The platform comes on top: waking a sleeping CPU, a host that takes the CPU away. It is measured
 * on a responder that does nothing, at several loads, and added percentile by percentile; the sum
 * of two percentiles is not below the percentile of the sum where they come together, so the answer
 * errs on the side of caution. Pure; any thread. */
#ifndef LD_QUEUEING_H
#define LD_QUEUEING_H

#include <stdbool.h>
#include <stddef.h>

enum { LD_FLOOR_POINTS_MAX = 64 };

/* One kind of requests in a mixture. */
struct ld_service_kind {
    double share; /* of the requests; the shares of a mixture add up to 1 */
    double mean_us;
    double scv; /* squared coefficient of variation of its own service times */
};

struct ld_service {
    double mean_us, scv;
};
struct ld_service ld_queueing_mix(const struct ld_service_kind *kinds, size_t n);

/* The wait at a percentile (0 <= p < 100) at load rho < 1; infinity at or above 1. */
double ld_queueing_wait_us(const struct ld_service *s, double rho, double percentile);

/* What the platform adds at a percentile, measured at some loads of the same CPU. */
struct ld_floor_point {
    double rho, percentile, us;
};
struct ld_floor {
    struct ld_floor_point points[LD_FLOOR_POINTS_MAX];
    size_t n;
};

/* Linear between measured loads, constant outside them; between percentiles the next measured one
 * above. *ret_exact: whether that percentile was measured itself. NAN without any. */
double ld_queueing_floor_us(const struct ld_floor *f, double rho, double percentile,
                            bool *ret_exact);

/* Latency at a percentile: floor + wait + service. */
double ld_queueing_latency_us(const struct ld_service *s, const struct ld_floor *f, double rho,
                              double percentile);

/* The highest load up to `most` at which the latency stays below the limit; 0 if none does. */
double ld_queueing_load(const struct ld_service *s, const struct ld_floor *f, double percentile,
                        double limit_us, double most);

#endif
