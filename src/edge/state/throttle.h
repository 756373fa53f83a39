/* SPDX-License-Identifier: Apache-2.0
 * CL.THROTTLE's arithmetic: a limit whose rule comes with every call, and five answers as
 * redis-cell 0.5 gives them, roundings included. Pure: time is an argument; any thread.
 *
 * Where redis-cell goes wrong this refuses instead: numbers whose products do not fit in 64 bits
 * wrap there, which switches a limit off without a word (brandur/redis-cell#50). */
#ifndef PC_EDGE_STATE_THROTTLE_H
#define PC_EDGE_STATE_THROTTLE_H

#include "edge/state/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pc_throttle_call {
    int64_t max_burst, count, period_s, quantity;
};

struct pc_throttle_answer {
    int64_t limited;       /* 0 or 1 */
    int64_t limit;         /* max_burst + 1 */
    int64_t remaining;     /* INT64_MAX with more than 1,000,000 tokens a second */
    int64_t retry_after_s; /* -1: allowed, or waiting does not help */
    int64_t reset_after_s;
};

enum pc_throttle_error {
    PC_THROTTLE_OK,
    PC_THROTTLE_ZERO_RATE,
    PC_THROTTLE_NEGATIVE_RATE,
    PC_THROTTLE_TOO_LARGE,
    PC_THROTTLE_EXPIRE, /* a negative quantity would leave more than a full limit */
    PC_THROTTLE_NO_ROOM,
    PC_THROTTLE_ERRORS
};
/* The text of an error reply. */
const char *pc_throttle_error_text(enum pc_throttle_error error);

/* quantity 0 looks, a negative one gives back. Nothing is changed on an error. */
enum pc_throttle_error pc_throttle(struct pc_limit_table *t, uint64_t fp,
                                   const struct pc_throttle_call *call, int64_t now_ns,
                                   struct pc_limit_counters *counters,
                                   struct pc_throttle_answer *ret_answer);

#ifdef __cplusplus
}
#endif
#endif
