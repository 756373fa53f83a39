/* SPDX-License-Identifier: Apache-2.0
 * See load_file.h. Opened without blocking, so that a fifo in the place of a file is refused
 * instead of waited for. */
#include "edge/api/load_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, const char *path, uint8_t *buf, size_t cap, size_t *ret_n,
                    struct pc_why *why)
{
    struct stat st;
    size_t n = 0;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return pc_fail(why, -EINVAL, "%s is not a regular file", path);
    while (n < cap) {
        ssize_t got = read(fd, buf + n, cap - n);
        if (got < 0)
            return pc_fail(why, -errno, "cannot read %s: %s", path, pc_strerror(errno));
        if (got == 0)
            break;
        n += (size_t)got;
    }
    if (n == cap)
        return pc_fail(why, PC_E_TOO_LARGE, "%s is larger than %zu bytes", path, cap - 1);
    *ret_n = n;
    return 0;
}

int pc_load_file(const char *path, size_t max, uint8_t **ret_p, size_t *ret_n, struct pc_why *why)
{
    uint8_t *buf = malloc(max + 1);
    if (!buf)
        return pc_fail(why, -ENOMEM, "no memory to read %s", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 ? pc_fail(why, -errno, "cannot open %s: %s", path, pc_strerror(errno))
                    : read_all(fd, path, buf, max + 1, ret_n, why);
    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        free(buf);
        return rc;
    }
    *ret_p = buf;
    return 0;
}
