/* SPDX-License-Identifier: Apache-2.0
 * The file seam: every file operation of the journal and its snapshots goes through this table, so
 * that the same code runs on a simulated disk that loses, tears and reorders what was not synced.
 * file_posix.c is the real one; tests/support/sim_disk.h the other.
 *
 * Files are named relative to an open directory. All functions return 0 (or a count, or a
 * descriptor) or -errno, restart themselves after EINTR, and may be called from any thread. */
#ifndef PC_JOURNAL_FILE_H
#define PC_JOURNAL_FILE_H

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pc_file_flags {
    PC_FILE_WRITE = 1,  /* read and write; without it read only */
    PC_FILE_CREATE = 2, /* create with mode 0600 if absent */
    PC_FILE_EMPTY = 4,  /* cut to length 0 */
};

struct pc_file_ops {
    void *ctx;
    /* Opens a directory; create makes it (0700) if absent and syncs its parent. */
    int (*open_dir)(void *ctx, const char *path, bool create);
    int (*open)(void *ctx, int dir, const char *name, unsigned flags);
    /* Files and directories; releases a lock held on the file. */
    void (*close)(void *ctx, int fd);
    /* May read less than n only at the end of the file. */
    int64_t (*pread)(void *ctx, int fd, void *buf, size_t n, uint64_t offset);
    /* May write less than n, which the caller must take for a failure: the disk is full. */
    int64_t (*pwrite)(void *ctx, int fd, const void *buf, size_t n, uint64_t offset);
    /* Reserves blocks and sets the size; -EOPNOTSUPP where the file system cannot. */
    int (*allocate)(void *ctx, int fd, uint64_t size);
    /* Cuts a file off at size; durable with the next sync. */
    int (*truncate)(void *ctx, int fd, uint64_t size);
    /* fdatasync: data, and the size needed to read it. */
    int (*sync)(void *ctx, int fd);
    /* fsync of a directory: creations, renames and removals in it. */
    int (*sync_dir)(void *ctx, int dir);
    int (*size)(void *ctx, int fd, uint64_t *ret_size);
    int (*rename)(void *ctx, int dir, const char *from, const char *to);
    int (*unlink)(void *ctx, int dir, const char *name);
    /* Calls each() for every name except "." and ".."; a non-zero answer ends it and is returned.
     */
    int (*list)(void *ctx, int dir, int (*each)(void *arg, const char *name), void *arg);
    /* Takes an exclusive lock without waiting; -EWOULDBLOCK when another holder has it. */
    int (*lock)(void *ctx, int fd);
};

/* The operating system's files. Never NULL, lives for ever. */
const struct pc_file_ops *pc_file_posix(void);

/* Reads or writes exactly n bytes: 0, -errno, or -ENODATA (short read) / -ENOSPC (short write). */
int pc_file_read_all(const struct pc_file_ops *ops, int fd, void *buf, size_t n, uint64_t offset);
int pc_file_write_all(const struct pc_file_ops *ops, int fd, const void *buf, size_t n,
                      uint64_t offset);

#ifdef __cplusplus
}
#endif
#endif
