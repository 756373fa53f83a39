/* SPDX-License-Identifier: Apache-2.0
 * See dir.h. No state; the caller decides which thread. */
#include "edge/journal/dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define SEGMENT_PREFIX  "segment-"
#define SNAPSHOT_PREFIX "snapshot-"
#define SEGMENT_DIGITS  10
#define SNAPSHOT_DIGITS 20
#define PID_BYTES       12u

void pc_dir_segment_name(uint64_t number, char ret_name[PC_DIR_NAME_BYTES])
{
    snprintf(ret_name, PC_DIR_NAME_BYTES, SEGMENT_PREFIX "%0*llu", SEGMENT_DIGITS,
             (unsigned long long)number);
}

void pc_dir_snapshot_name(uint64_t position, char ret_name[PC_DIR_NAME_BYTES])
{
    snprintf(ret_name, PC_DIR_NAME_BYTES, SNAPSHOT_PREFIX "%0*llu", SNAPSHOT_DIGITS,
             (unsigned long long)position);
}

/* The number in a name of this form; other names (a copy, an editor's leavings) are not ours. */
static bool name_number(const char *name, const char *prefix, size_t digits, uint64_t *ret)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || strlen(name + n) != digits)
        return false;
    return pc_bytes_to_u64(pc_bytes_str(name + n), ret) == 0 && *ret > 0;
}

static int numbers_add(struct pc_dir_numbers *a, uint64_t number)
{
    if (a->n == PC_DIR_FILES_MAX)
        return PC_E_TOO_LARGE;
    if (a->n == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 16;
        uint64_t *v = realloc(a->v, cap * sizeof *v);
        if (!v)
            return -ENOMEM;
        a->v = v;
        a->cap = cap;
    }
    a->v[a->n++] = number;
    return 0;
}

static int numbers_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int list_one(void *arg, const char *name)
{
    struct pc_dir_listing *l = arg;
    uint64_t number;
    if (name_number(name, SEGMENT_PREFIX, SEGMENT_DIGITS, &number))
        return number <= UINT32_MAX ? numbers_add(&l->segments, number) : 0;
    if (name_number(name, SNAPSHOT_PREFIX, SNAPSHOT_DIGITS, &number))
        return numbers_add(&l->snapshots, number);
    if (strcmp(name, PC_DIR_IDENTITY) == 0)
        l->identity = true;
    if (strcmp(name, PC_DIR_SEGMENT_NEW) == 0 || strcmp(name, PC_DIR_SNAPSHOT_NEW) == 0 ||
        strcmp(name, PC_DIR_IDENTITY_NEW) == 0)
        l->leftovers = true;
    return 0;
}

static void numbers_sort(struct pc_dir_numbers *a)
{
    if (a->n)
        qsort(a->v, a->n, sizeof *a->v, numbers_compare);
}

int pc_dir_list(const struct pc_dir *d, struct pc_dir_listing *ret_listing)
{
    struct pc_dir_listing l = {0};
    int err = d->ops->list(d->ops->ctx, d->fd, list_one, &l);
    if (err) {
        pc_dir_listing_free(&l);
        return err;
    }
    numbers_sort(&l.segments);
    numbers_sort(&l.snapshots);
    *ret_listing = l;
    return 0;
}

void pc_dir_listing_free(struct pc_dir_listing *l)
{
    free(l->segments.v);
    free(l->snapshots.v);
    *l = (struct pc_dir_listing){0};
}

static int image_reserve(struct pc_dir_image *image, size_t n)
{
    if (n <= image->cap)
        return 0;
    free(image->p);
    image->cap = 0;
    image->p = malloc(n);
    if (!image->p)
        return -ENOMEM;
    image->cap = n;
    return 0;
}

int pc_dir_load(const struct pc_dir *d, const char *name, size_t max, struct pc_dir_image *image,
                uint64_t *ret_size)
{
    const struct pc_file_ops *ops = d->ops;
    uint64_t size;
    int fd = ops->open(ops->ctx, d->fd, name, 0);
    if (fd < 0)
        return fd;
    int err = ops->size(ops->ctx, fd, &size);
    size_t n = err < 0 || size > max ? max : (size_t)size;
    if (err == 0)
        err = image_reserve(image, n ? n : 1);
    if (err == 0)
        err = pc_file_read_all(ops, fd, image->p, n, 0);
    ops->close(ops->ctx, fd);
    if (err < 0)
        return err;
    image->n = n;
    *ret_size = size;
    return 0;
}

void pc_dir_image_free(struct pc_dir_image *image)
{
    free(image->p);
    *image = (struct pc_dir_image){0};
}

int pc_dir_replace(const struct pc_dir *d, const char *temporary, const char *name, const void *p,
                   size_t n)
{
    const struct pc_file_ops *ops = d->ops;
    int fd = ops->open(ops->ctx, d->fd, temporary, PC_FILE_WRITE | PC_FILE_CREATE | PC_FILE_EMPTY);
    if (fd < 0)
        return fd;
    int err = pc_file_write_all(ops, fd, p, n, 0);
    if (err == 0)
        err = ops->sync(ops->ctx, fd);
    ops->close(ops->ctx, fd);
    if (err == 0)
        err = ops->rename(ops->ctx, d->fd, temporary, name);
    if (err == 0)
        err = ops->sync_dir(ops->ctx, d->fd);
    return err;
}

int pc_dir_remove_leftovers(const struct pc_dir *d)
{
    static const char *const names[] = {PC_DIR_SEGMENT_NEW, PC_DIR_SNAPSHOT_NEW,
                                        PC_DIR_IDENTITY_NEW};
    for (size_t i = 0; i < PC_COUNT(names); i++) {
        int err = d->ops->unlink(d->ops->ctx, d->fd, names[i]);
        if (err < 0 && err != -ENOENT)
            return err;
    }
    return 0;
}

static int refuse_locked(const struct pc_dir *d, const char *path, int fd, struct pc_why *why)
{
    char text[PID_BYTES + 1] = "";
    int64_t n = d->ops->pread(d->ops->ctx, fd, text, PID_BYTES, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strspn(text, "0123456789")] = '\0';
    return pc_fail(why, PC_E_LOCKED,
                   "the data directory %s is in use by another server%s%s: stop that one first, or "
                   "give this one its own directory",
                   path, text[0] ? ", process " : "", text);
}

int pc_dir_lock(const struct pc_dir *d, const char *path, int pid, struct pc_why *why)
{
    const struct pc_file_ops *ops = d->ops;
    int fd = ops->open(ops->ctx, d->fd, PC_DIR_LOCK, pid ? PC_FILE_WRITE | PC_FILE_CREATE : 0);
    if (fd < 0)
        return pc_fail(why, fd, "cannot open %s/" PC_DIR_LOCK ": %s", path, pc_strerror(fd));
    int err = ops->lock(ops->ctx, fd);
    if (err == -EWOULDBLOCK) {
        err = refuse_locked(d, path, fd, why);
    } else if (err < 0) {
        err = pc_fail(why, err, "cannot lock %s/" PC_DIR_LOCK ": %s", path, pc_strerror(err));
    } else if (pid) {
        char text[PID_BYTES + 1];
        snprintf(text, sizeof text, "%-11d\n", pid); /* fixed width: nothing to cut off */
        err = pc_file_write_all(ops, fd, text, PID_BYTES, 0);
        if (err < 0)
            pc_fail(why, err, "cannot write %s/" PC_DIR_LOCK ": %s", path, pc_strerror(err));
    }
    if (err == 0)
        return fd;
    ops->close(ops->ctx, fd);
    return err;
}
