/* SPDX-License-Identifier: Apache-2.0
 * Secrets live in files (configuration keys ending in _file), are read into memory the caller
 * wipes, and are never printed or logged. Start-up, reload and the command only. */
#ifndef PC_BASE_SECRET_H
#define PC_BASE_SECRET_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* No secret file is larger. */
#define PC_SECRET_MAX 4096

struct pc_secret {
    uint8_t bytes[PC_SECRET_MAX];
    size_t n;
};

/* Reads path; one newline at the end is not part of the secret. Refuses a file that others may
 * read (mode & 0077), that is empty (-EINVAL) or too large (PC_E_TOO_LARGE), and anything that is
 * no regular file: pipes and terminals would block a reload. */
int pc_secret_read(const char *path, struct pc_secret *ret_secret, struct pc_why *why);

/* Creates or replaces path atomically with mode 0600: temporary file, fsync, rename, fsync of the
 * directory. A crash leaves the old file or the new one. */
int pc_secret_write(const char *path, struct pc_bytes content, struct pc_why *why);

/* Overwrites memory in a way the compiler keeps. */
void pc_wipe(void *p, size_t n);

static inline struct pc_bytes pc_secret_bytes(const struct pc_secret *s)
{
    return pc_bytes_of(s->bytes, s->n);
}

#ifdef __cplusplus
}
#endif
#endif
