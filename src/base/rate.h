/* SPDX-License-Identifier: Apache-2.0
 * Rate expressions: how many in how long. Pure; any thread.
 *
 *   rate  = count "/" [number] unit
 *   unit  = ms | s | sec | second | min | minute | h | hour | d | day     (also "m" for min)
 *
 * "60/min", "10/15min", "3/h", "5/100ms". No blanks, no sign, no fraction, no leading zero. */
#ifndef PC_BASE_RATE_H
#define PC_BASE_RATE_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_RATE_COUNT_MAX     INT64_C(1000000000)
#define PC_RATE_PERIOD_MIN_NS INT64_C(1000000)
#define PC_RATE_PERIOD_MAX_NS (INT64_C(366) * 86400 * 1000000000)
#define PC_RATE_TEXT_MAX      32 /* longest text that is looked at, and that format makes */

/* What a rate means; in the order of the configuration's words. */
enum pc_limit_algorithm { PC_LIMIT_GCRA, PC_LIMIT_WINDOW };

struct pc_rate {
    int64_t count;     /* 1 … PC_RATE_COUNT_MAX */
    int64_t period_ns; /* PC_RATE_PERIOD_MIN_NS … PC_RATE_PERIOD_MAX_NS, whole milliseconds */
};

/* 0, or -EINVAL / -ERANGE with words about what is wrong in why (may be NULL). */
int pc_rate_parse(struct pc_bytes text, struct pc_rate *ret_rate, struct pc_why *why);

/* The usual text of the rate, in its largest whole unit: "10/15min". */
void pc_rate_format(const struct pc_rate *rate, struct pc_buf *b);

#ifdef __cplusplus
}
#endif
#endif
