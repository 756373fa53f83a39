/* SPDX-License-Identifier: Apache-2.0
 * Reading clocks. Only threads' top loops call this; everything below takes time as an argument.
 * Wall time is milliseconds since the Unix epoch (…_ms); monotonic time is nanoseconds (…_ns). */
#ifndef PC_BASE_CLOCK_H
#define PC_BASE_CLOCK_H

#include <time.h>

#include "base/def.h"

static inline int64_t pc_clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline int64_t pc_clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif
