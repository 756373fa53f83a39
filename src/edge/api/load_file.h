/* SPDX-License-Identifier: Apache-2.0
 * Reading a small file whole: key sets, flags. Main thread; blocks as long as the disk does. */
#ifndef PC_API_LOAD_FILE_H
#define PC_API_LOAD_FILE_H

#include "base/bytes.h"
#include "base/err.h"

/* The bytes of a regular file of at most max bytes, malloced (never NULL on success). *why names
 * the path. PC_E_TOO_LARGE, -EINVAL (no regular file), -ENOMEM or what open and read say. */
int pc_load_file(const char *path, size_t max, uint8_t **ret_p, size_t *ret_n, struct pc_why *why);

#endif
