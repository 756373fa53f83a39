/* SPDX-License-Identifier: Apache-2.0
 * The density is h(x) = x^-s on 1 … n, its integral H(x) = (x^(1-s) - 1) / (1-s), which is ln x for
 * s = 1. A uniform number between H(1.5) - h(1) and H(n + 0.5) is inverted to x and rounded to k;
 * it counts unless it lies in the part of k's bar that sticks out of the density's area. Near s = 1
 * both are computed by expm1 and log1p, which do not cancel there. */
#include "load/zipf.h"

#include <math.h>

#define NEAR_ONE 1e-8

static double density(const struct ld_zipf *z, double x)
{
    return exp(-z->exponent * log(x));
}

static double integral(const struct ld_zipf *z, double x)
{
    const double ln = log(x), q = 1 - z->exponent;
    return fabs(q * ln) > NEAR_ONE ? expm1(q * ln) / q : ln * (1 + q * ln / 2);
}

static double inverse(const struct ld_zipf *z, double u)
{
    const double q = 1 - z->exponent;
    double t = q * u;
    if (t < -1)
        t = -1; /* rounding at the far end */
    return exp(fabs(t) > NEAR_ONE ? log1p(t) / q : u * (1 - t / 2));
}

void ld_zipf_init(struct ld_zipf *z, uint64_t n, double exponent)
{
    PC_ASSERT(n > 0 && exponent >= 0 && exponent <= LD_ZIPF_EXPONENT_MAX);
    *z = (struct ld_zipf){.n = n, .exponent = exponent};
    z->from = integral(z, 1.5) - 1;
    z->to = integral(z, (double)n + 0.5);
    z->cut = 2 - inverse(z, integral(z, 2.5) - density(z, 2));
}

uint64_t ld_zipf_draw(const struct ld_zipf *z, struct pc_prng *random)
{
    if (z->exponent == 0)
        return ld_draw_below(random, z->n);
    for (;;) { /* ends: more than nine of ten tries count */
        const double u = z->to + ld_draw_unit(random) * (z->from - z->to);
        const double x = inverse(z, u);
        double k = floor(x + 0.5);
        k = k < 1 ? 1 : k > (double)z->n ? (double)z->n : k;
        if (k - x <= z->cut || u >= integral(z, k + 0.5) - density(z, k))
            return (uint64_t)k - 1;
    }
}
