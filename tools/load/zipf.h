/* SPDX-License-Identifier: Apache-2.0
 * Drawing from 0 … n-1: uniformly, or by Zipf's law (rank k is drawn in proportion to 1/(k+1)^s),
 * in constant time and without tables, so that millions of keys cost no memory. Zipf by rejection
 * from the inverted integral of the density: W. Hörmann, G. Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", ACM TOMACS 6 (1996) 169-184; fewer than
 * 1.1 tries on average. Pure: the generator of random numbers is the caller's. */
#ifndef LD_ZIPF_H
#define LD_ZIPF_H

#include "base/random.h"

#define LD_ZIPF_EXPONENT_MAX 10.0

struct ld_zipf {
    uint64_t n;
    double exponent; /* 0: uniform */
    double from, to; /* of the integral: what a uniform number is stretched to */
    double cut;      /* a distance to the next whole number at which nothing need be checked */
};

/* n > 0; 0 <= exponent <= LD_ZIPF_EXPONENT_MAX. */
void ld_zipf_init(struct ld_zipf *z, uint64_t n, double exponent);
uint64_t ld_zipf_draw(const struct ld_zipf *z, struct pc_prng *random);

/* Of 0 … n-1, n > 0. */
static inline uint64_t ld_draw_below(struct pc_prng *random, uint64_t n)
{
    return (uint64_t)((unsigned __int128)pc_prng_u64(random) * n >> 64);
}

/* 0 <= x < 1. */
static inline double ld_draw_unit(struct pc_prng *random)
{
    return (double)(pc_prng_u64(random) >> 11) * 0x1p-53;
}

#endif
