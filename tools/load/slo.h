/* SPDX-License-Identifier: Apache-2.0
 * A service level objective: "p99.9<2ms", several joined by commas ("p50<200us,p99<1ms,max<50ms",
 * "errors<0.1%"). Parsed from outside, judged against what a run measured. Pure; any thread. */
#ifndef LD_SLO_H
#define LD_SLO_H

#include <stdbool.h>
#include <stddef.h>

#include "load/source.h"

#define LD_SLO_TERMS_MAX 8
#define LD_SLO_TEXT_MAX  128

struct ld_slo_term {
    double percentile; /* 0 < p <= 100; 100 is the maximum */
    double limit_us;   /* a latency of exactly this holds only with or_equal */
    bool or_equal;
};

struct ld_slo {
    char text[LD_SLO_TEXT_MAX]; /* as given */
    struct ld_slo_term terms[LD_SLO_TERMS_MAX];
    unsigned n;
    double errors_percent; /* at most; 0 unless stated */
};

/* false: the problem says what is wrong and where. */
bool ld_slo_parse(const char *text, struct ld_slo *ret_slo, struct ld_problem *problem);

/* "p99.9", "max" */
const char *ld_slo_term_name(const struct ld_slo_term *t, char *dst, size_t cap);

/* Whether a latency meets a term. */
bool ld_slo_term_holds(const struct ld_slo_term *t, double latency_us);

#endif
