/* SPDX-License-Identifier: Apache-2.0
 * The error message table and the assert handler. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *pc_strerror(int err)
{
    static _Thread_local char text[128];
    switch (err) {
#define PC_ERROR_CASE(name, words)                                                                 \
    case name: return words;
        PC_ERRORS(PC_ERROR_CASE)
#undef PC_ERROR_CASE
    default: return strerror_r(err < 0 ? -err : err, text, sizeof text);
    }
}

int pc_fail(struct pc_why *why, int err, const char *fmt, ...)
{
    va_list args;
    if (why) {
        va_start(args, fmt);
        vsnprintf(why->text, sizeof why->text, fmt, args);
        va_end(args);
    }
    return err;
}

void pc_assert_failed(const char *what, const char *file, int line)
{
    char text[512];
    int n =
        snprintf(text, sizeof text, "portcullis: assertion failed: %s (%s:%d)\n", what, file, line);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(134); /* nobody listens on standard error: still stop */
    abort();
}
