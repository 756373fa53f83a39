/* SPDX-License-Identifier: Apache-2.0
 * Is a core overloaded? Pure; time is an argument. Internal to the loop.
 *
 * What arrives while a turn works waits until the next turn collects it, so the time from one
 * collection to the next is how long bytes waited, provided the core did not sleep between (then
 * they did not wait at all: 0). A long turn alone means a burst; what means overload is that even
 * the shortest delay within a window stays above the target, because then the queue never empties
 * (the idea of CoDel). Leaving takes a window with a delay under half the target. */
#ifndef PC_LOOP_OVERLOAD_H
#define PC_LOOP_OVERLOAD_H

#include "base/def.h"

#define OVERLOAD_WINDOW_NS INT64_C(100000000)

struct overload {
    int64_t target_ns;
    int64_t window_end_ns;
    int64_t least_ns;    /* shortest delay in this window; INT64_MAX: none yet */
    int64_t smoothed_ns; /* for metrics: 1/8 of each new delay */
    bool overloaded;
};

static inline void overload_init(struct overload *o, int64_t target_ns, int64_t now_ns)
{
    *o = (struct overload){.target_ns = target_ns,
                           .window_end_ns = now_ns + OVERLOAD_WINDOW_NS,
                           .least_ns = INT64_MAX};
}

/* A turn began at now_ns; what it collected had waited delay_ns. Returns whether it just became
 * overloaded. */
static inline bool overload_sample(struct overload *o, int64_t delay_ns, int64_t now_ns)
{
    bool before = o->overloaded;
    o->smoothed_ns += (delay_ns - o->smoothed_ns) / 8;
    o->least_ns = pc_min_i64(o->least_ns, delay_ns);
    if (PC_LIKELY(now_ns < o->window_end_ns))
        return false;
    if (o->least_ns >= o->target_ns)
        o->overloaded = true;
    else if (o->least_ns < o->target_ns / 2)
        o->overloaded = false;
    o->least_ns = INT64_MAX;
    o->window_end_ns = now_ns + OVERLOAD_WINDOW_NS;
    return o->overloaded && !before;
}

#endif
