/* SPDX-License-Identifier: Apache-2.0
 * Attributes, asserts and arithmetic that every file may use. Depends on nothing.
 *
 * PC_ASSERT stays on in production: an authorization server that is wrong must stop, not guess.
 * PC_ASSERT_SLOW is for checks that cost more than a compare (debug and sanitizer builds). */
#ifndef PC_BASE_DEF_H
#define PC_BASE_DEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PC_LIKELY(x)    __builtin_expect(!!(x), 1)
#define PC_UNLIKELY(x)  __builtin_expect(!!(x), 0)
#define PC_COLD         __attribute__((cold, noinline))
#define PC_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define PC_WARN_UNUSED  __attribute__((warn_unused_result))
#define PC_CACHE_LINE   64
#define PC_ALIGNED_LINE __attribute__((aligned(PC_CACHE_LINE)))
#define PC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define PC_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Prints the failed condition with its place to standard error and aborts. */
PC_COLD void pc_assert_failed(const char *what, const char *file, int line)
    __attribute__((noreturn));

#define PC_ASSERT(cond) (PC_LIKELY(cond) ? (void)0 : pc_assert_failed(#cond, __FILE__, __LINE__))
#if PC_EXPENSIVE_ASSERTS
#define PC_ASSERT_SLOW(cond) PC_ASSERT(cond)
#else
#define PC_ASSERT_SLOW(cond) ((void)sizeof((cond) ? 1 : 0))
#endif

static inline uint64_t pc_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t pc_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline int64_t pc_min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t pc_max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* a + b, held at INT64_MAX / INT64_MIN instead of wrapping. */
static inline int64_t pc_add_sat_i64(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

#ifdef __cplusplus
}
#endif
#endif
