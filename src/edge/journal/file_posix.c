/* SPDX-License-Identifier: Apache-2.0
 * The file seam on the operating system. No state; any thread. */
#include "edge/journal/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY(call)                                                                                \
    ({                                                                                             \
        __typeof__(call) result_;                                                                  \
        do {                                                                                       \
            result_ = (call);                                                                      \
        } while (result_ < 0 && errno == EINTR);                                                   \
        result_ < 0 ? -(__typeof__(call))errno : result_;                                          \
    })

/* A new directory entry is durable only when its parent is synced. */
static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n >= sizeof parent)
        return -ENAMETOOLONG;
    if (n == 0)
        snprintf(parent, sizeof parent, ".");
    else
        snprintf(parent, sizeof parent, "%.*s", (int)n, path);
    int fd = RETRY(open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return fd;
    int err = RETRY(fsync(fd));
    close(fd);
    return err;
}

static int posix_open_dir(void *ctx, const char *path, bool create)
{
    (void)ctx;
    if (create) {
        bool made = mkdir(path, 0700) == 0;
        if (!made && errno != EEXIST)
            return -errno;
        /* Also when it was there: whoever made it may have died before this. Then its parent may be
         * closed to us, which is no reason to stop. */
        int err = sync_parent(path);
        if (err < 0 && made)
            return err;
    }
    return RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int posix_open(void *ctx, int dir, const char *name, unsigned flags)
{
    (void)ctx;
    int how = O_CLOEXEC | O_NOFOLLOW | (flags & PC_FILE_WRITE ? O_RDWR : O_RDONLY);
    if (flags & PC_FILE_CREATE)
        how |= O_CREAT;
    if (flags & PC_FILE_EMPTY)
        how |= O_TRUNC;
    return RETRY(openat(dir, name, how, 0600));
}

static void posix_close(void *ctx, int fd)
{
    (void)ctx;
    close(fd);
}

static int64_t posix_pread(void *ctx, int fd, void *buf, size_t n, uint64_t offset)
{
    (void)ctx;
    size_t done = 0;
    while (done < n) {
        ssize_t got = RETRY(pread(fd, (char *)buf + done, n - done, (off_t)(offset + done)));
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t posix_pwrite(void *ctx, int fd, const void *buf, size_t n, uint64_t offset)
{
    (void)ctx;
    return RETRY(pwrite(fd, buf, n, (off_t)offset));
}

static int posix_allocate(void *ctx, int fd, uint64_t size)
{
    (void)ctx;
    return RETRY(fallocate(fd, 0, 0, (off_t)size));
}

static int posix_truncate(void *ctx, int fd, uint64_t size)
{
    (void)ctx;
    return RETRY(ftruncate(fd, (off_t)size));
}

static int posix_sync(void *ctx, int fd)
{
    (void)ctx;
    return RETRY(fdatasync(fd));
}

static int posix_sync_dir(void *ctx, int dir)
{
    (void)ctx;
    return RETRY(fsync(dir));
}

static int posix_size(void *ctx, int fd, uint64_t *ret_size)
{
    (void)ctx;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

static int posix_rename(void *ctx, int dir, const char *from, const char *to)
{
    (void)ctx;
    return RETRY(renameat(dir, from, dir, to));
}

static int posix_unlink(void *ctx, int dir, const char *name)
{
    (void)ctx;
    return RETRY(unlinkat(dir, name, 0));
}

static int posix_list(void *ctx, int dir, int (*each)(void *arg, const char *name), void *arg)
{
    (void)ctx;
    /* A descriptor of its own, because fdopendir takes it over and moves its offset. */
    int fd = RETRY(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return fd;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int err = -errno;
        close(fd);
        return err;
    }
    int err = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            err = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        err = each(arg, entry->d_name);
        if (err)
            break;
    }
    closedir(stream);
    return err;
}

static int posix_lock(void *ctx, int fd)
{
    (void)ctx;
    return RETRY(flock(fd, LOCK_EX | LOCK_NB));
}

const struct pc_file_ops *pc_file_posix(void)
{
    static const struct pc_file_ops ops = {
        .open_dir = posix_open_dir,
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwrite = posix_pwrite,
        .allocate = posix_allocate,
        .truncate = posix_truncate,
        .sync = posix_sync,
        .sync_dir = posix_sync_dir,
        .size = posix_size,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .list = posix_list,
        .lock = posix_lock,
    };
    return &ops;
}

int pc_file_read_all(const struct pc_file_ops *ops, int fd, void *buf, size_t n, uint64_t offset)
{
    int64_t got = ops->pread(ops->ctx, fd, buf, n, offset);
    if (got < 0)
        return (int)got;
    return (size_t)got == n ? 0 : -ENODATA;
}

int pc_file_write_all(const struct pc_file_ops *ops, int fd, const void *buf, size_t n,
                      uint64_t offset)
{
    int64_t put = ops->pwrite(ops->ctx, fd, buf, n, offset);
    if (put < 0)
        return (int)put;
    return (size_t)put == n ? 0 : -ENOSPC;
}
