/* SPDX-License-Identifier: Apache-2.0
 * One error space. A function that can fail returns 0 (or a count) on success and a negative
 * number on failure: -errno, or one of PC_E_* below, which start where errno ends. An output
 * parameter is named ret_x and is untouched on failure. */
#ifndef PC_BASE_ERR_H
#define PC_BASE_ERR_H

#include <errno.h>

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text) */
#define PC_ERRORS(X)                                                                               \
    X(PC_E_SYNTAX, "syntax error")                                                                 \
    X(PC_E_TOO_LARGE, "larger than its limit")                                                     \
    X(PC_E_DUPLICATE, "duplicate member")                                                          \
    X(PC_E_UNSUPPORTED, "not supported")                                                           \
    X(PC_E_DAMAGED, "damaged data")                                                                \
    X(PC_E_VERSION, "written by a newer version")                                                  \
    X(PC_E_LOCKED, "in use by another server")                                                     \
    X(PC_E_FULL, "queue or table full")                                                            \
    X(PC_E_READ_ONLY, "mutations are refused")

enum pc_error {
    PC_E_FIRST = -10000,
#define PC_ERROR_ENUM(name, text) name,
    PC_ERRORS(PC_ERROR_ENUM)
#undef PC_ERROR_ENUM
        PC_E_LAST
};

/* Text for either kind of error; never NULL. For errno values the text lives in thread-local
 * storage until the next call on the same thread. */
const char *pc_strerror(int err);

/* Where a function explains a failure in words: what is wrong and where. Callers pass NULL when
 * they do not care. */
struct pc_why {
    char text[512];
};
/* Formats into why (if any) and returns err, so that `return pc_fail(why, err, …)` reads well. */
int pc_fail(struct pc_why *why, int err, const char *fmt, ...) PC_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
