/* SPDX-License-Identifier: Apache-2.0
 * The one way in which portcullis-load explains to people why something could not be begun. */
#include <stdarg.h>
#include <stdio.h>

#include "load/source.h"

bool ld_problem_set(struct ld_problem *problem, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it was started the line before */
    vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
    return false;
}
