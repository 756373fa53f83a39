/* SPDX-License-Identifier: Apache-2.0
 * Reading and replacing files that hold secrets. Start-up, reload and the command only. */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void pc_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

/* What is wrong with the file as a place for a secret, before any byte is read. */
static int check_file(int fd, const char *path, struct pc_why *why)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    if (!S_ISREG(st.st_mode))
        return pc_fail(why, -EINVAL, "%s: not a regular file", path);
    if (st.st_mode & 0077)
        return pc_fail(why, -EPERM, "%s: others may access it (mode %04o): chmod 600 it", path,
                       (unsigned)(st.st_mode & 07777));
    if (st.st_size > PC_SECRET_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "%s: larger than %d bytes", path, PC_SECRET_MAX);
    return 0;
}

static int read_all(int fd, struct pc_secret *s)
{
    s->n = 0;
    while (s->n < sizeof s->bytes) {
        ssize_t got = read(fd, s->bytes + s->n, sizeof s->bytes - s->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        s->n += (size_t)got;
    }
    return 0;
}

int pc_secret_read(const char *path, struct pc_secret *ret_secret, struct pc_why *why)
{
    struct pc_secret s = {.n = 0};
    /* O_NONBLOCK: opening a named pipe must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    int err = check_file(fd, path, why);
    if (!err && (err = read_all(fd, &s)) < 0)
        pc_fail(why, err, "%s: %s", path, pc_strerror(err));
    close(fd);
    if (err)
        return err;
    if (s.n && s.bytes[s.n - 1] == '\n')
        s.n--;
    if (s.n == 0)
        return pc_fail(why, -EINVAL, "%s: empty", path);
    *ret_secret = s;
    pc_wipe(&s, sizeof s);
    return 0;
}

static int write_all(int fd, struct pc_bytes content)
{
    while (content.n) {
        ssize_t put = write(fd, content.p, content.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        content = pc_bytes_of(content.p + put, content.n - (size_t)put);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory_of(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return err;
}

int pc_secret_write(const char *path, struct pc_bytes content, struct pc_why *why)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return pc_fail(why, -ENAMETOOLONG, "%s: name too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* creates with mode 0600 */
    if (fd < 0)
        return pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    int err = write_all(fd, content);
    if (close(fd) < 0 && !err)
        err = -errno;
    if (!err && rename(temporary, path) < 0)
        err = -errno;
    if (err) {
        unlink(temporary);
        return pc_fail(why, err, "%s: %s", path, pc_strerror(err));
    }
    if ((err = sync_directory_of(path)) < 0)
        return pc_fail(why, err, "%s: syncing its directory: %s", path, pc_strerror(err));
    return 0;
}
