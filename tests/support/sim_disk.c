/* SPDX-License-Identifier: Apache-2.0
 * See sim_disk.h. Every file keeps two images: what reads see, and what the disk holds; pending
 * writes lead from the second to the first. The directory likewise. */
#include "support/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES  64u
#define FILES_MAX   4096u
#define HANDLES_MAX 64u
#define DIR_HANDLE  1 /* the directory's; files follow */

struct image {
    uint8_t *p;
    size_t n, cap;
};

struct pending_write {
    uint64_t offset;
    uint8_t *p; /* NULL = the file grew to offset, or was cut there */
    size_t n;
    bool cut;
};

struct inode {
    struct image now, disk;
    struct pending_write *writes;
    size_t writes_n, writes_cap;
    int locked_by; /* handle; 0 = nobody */
    unsigned names, handles;
};

struct entry {
    char name[NAME_BYTES];
    struct inode *inode;
};

struct names {
    struct entry *v;
    size_t n, cap;
};

/* link `to` to inode (if any), unlink `from` (if any). */
struct pending_name {
    char from[NAME_BYTES], to[NAME_BYTES];
    struct inode *inode;
};

struct handle {
    struct inode *inode;
    bool used, dir, writable;
};

struct sim_disk {
    struct pc_file_ops ops;
    uint64_t random, trace, operations;
    struct inode *inodes[FILES_MAX];
    size_t inodes_n;
    struct names now, disk;
    struct pending_name *changes;
    size_t changes_n, changes_cap;
    struct handle handles[HANDLES_MAX];
    uint64_t stop_at;
    enum sim_fault fault;
    uint64_t fault_at;
    bool fault_lasting, fault_fired, lie, no_allocate;
};

uint64_t sim_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t sim_below(uint64_t *state, uint64_t n)
{
    return sim_random(state) % n;
}

static void *grown(void *p, size_t n, size_t *cap, size_t each)
{
    if (n < *cap)
        return p;
    *cap = *cap ? 2 * *cap : 8;
    p = realloc(p, *cap * each);
    PC_ASSERT(p);
    return p;
}

static void image_resize(struct image *m, size_t n)
{
    if (n > m->cap) {
        m->cap = n > 2 * m->cap ? n : 2 * m->cap;
        m->p = realloc(m->p, m->cap);
        PC_ASSERT(m->p);
    }
    if (n > m->n)
        memset(m->p + m->n, 0, n - m->n);
    m->n = n;
}

static void image_put(struct image *m, uint64_t offset, const uint8_t *p, size_t n)
{
    if (offset + n > m->n)
        image_resize(m, offset + n);
    if (n)
        memcpy(m->p + offset, p, n);
}

static void image_copy(struct image *dst, const struct image *src)
{
    image_resize(dst, src->n);
    if (src->n)
        memcpy(dst->p, src->p, src->n);
}

static struct entry *find(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->v[i].name, name) == 0)
            return &names->v[i];
    return NULL;
}

static void names_unlink(struct names *names, const char *name)
{
    struct entry *e = find(names, name);
    if (!e)
        return;
    e->inode->names--;
    *e = names->v[--names->n];
}

static void names_link(struct names *names, const char *name, struct inode *inode)
{
    names_unlink(names, name);
    names->v = grown(names->v, names->n, &names->cap, sizeof *names->v);
    struct entry *e = &names->v[names->n++];
    snprintf(e->name, sizeof e->name, "%s", name);
    e->inode = inode;
    inode->names++;
}

static struct inode *inode_new(struct sim_disk *d)
{
    struct inode *inode = calloc(1, sizeof *inode);
    PC_ASSERT(inode && d->inodes_n < FILES_MAX);
    d->inodes[d->inodes_n++] = inode;
    return inode;
}

static void drop_writes(struct inode *inode)
{
    for (size_t i = 0; i < inode->writes_n; i++)
        free(inode->writes[i].p);
    inode->writes_n = 0;
}

static void inode_free(struct inode *inode)
{
    drop_writes(inode);
    free(inode->writes);
    free(inode->now.p);
    free(inode->disk.p);
    free(inode);
}

/* Files that no name and no handle leads to any more, now or after a crash. */
static void collect(struct sim_disk *d)
{
    for (size_t i = 0; i < d->inodes_n;) {
        struct inode *inode = d->inodes[i];
        if (inode->names || inode->handles) {
            i++;
            continue;
        }
        inode_free(inode);
        d->inodes[i] = d->inodes[--d->inodes_n];
    }
}

static void pend_write(struct inode *inode, uint64_t offset, const uint8_t *p, size_t n)
{
    inode->writes =
        grown(inode->writes, inode->writes_n, &inode->writes_cap, sizeof *inode->writes);
    struct pending_write w = {.offset = offset, .n = n};
    if (p) {
        w.p = malloc(n);
        PC_ASSERT(w.p);
        memcpy(w.p, p, n);
    }
    inode->writes[inode->writes_n++] = w;
}

static void pend_name(struct sim_disk *d, const char *from, const char *to, struct inode *inode)
{
    d->changes = grown(d->changes, d->changes_n, &d->changes_cap, sizeof *d->changes);
    struct pending_name *c = &d->changes[d->changes_n++];
    *c = (struct pending_name){.inode = inode};
    if (from)
        snprintf(c->from, sizeof c->from, "%s", from);
    if (to)
        snprintf(c->to, sizeof c->to, "%s", to);
    if (inode)
        inode->names++; /* the pending change keeps it */
}

static void apply_name(struct sim_disk *d, const struct pending_name *c)
{
    if (c->from[0])
        names_unlink(&d->disk, c->from);
    if (c->to[0])
        names_link(&d->disk, c->to, c->inode);
}

static void drop_changes(struct sim_disk *d)
{
    for (size_t i = 0; i < d->changes_n; i++)
        if (d->changes[i].inode)
            d->changes[i].inode->names--;
    d->changes_n = 0;
}

/* Keeps each sector of each pending write with a chance of keep in 4. */
static void settle_writes(struct sim_disk *d, struct inode *inode, uint64_t keep)
{
    for (size_t i = 0; i < inode->writes_n; i++) {
        const struct pending_write *w = &inode->writes[i];
        if (!w->p) {
            bool changes = w->cut ? w->offset < inode->disk.n : w->offset > inode->disk.n;
            if (changes && sim_below(&d->random, 4) < keep)
                image_resize(&inode->disk, w->offset);
            continue;
        }
        for (size_t at = 0; at < w->n;) {
            size_t n = SIM_SECTOR - (size_t)((w->offset + at) % SIM_SECTOR);
            if (n > w->n - at)
                n = w->n - at;
            if (sim_below(&d->random, 4) < keep) {
                size_t hole = inode->disk.n;
                image_put(&inode->disk, w->offset + at, w->p + at, n);
                /* What lies between was allocated, never written. */
                for (; hole < w->offset + at && keep != 4; hole++)
                    inode->disk.p[hole] = (uint8_t)sim_random(&d->random);
            }
            at += n;
        }
    }
    drop_writes(inode);
}

static void trace(struct sim_disk *d, const char *what, const char *name, uint64_t a, uint64_t b)
{
    uint64_t h = d->trace;
    for (; *what; what++)
        h = (h ^ (uint8_t)*what) * 0x100000001b3ull;
    for (; name && *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3ull;
    h = (h ^ a) * 0x100000001b3ull;
    d->trace = (h ^ b) * 0x100000001b3ull;
}

enum kind { READS = 1, CHANGES = 2, SPACE = 4, WRITES = 8, SYNCS = 16 };

static const unsigned kinds_of_fault[SIM_FAULTS] = {
    [SIM_EIO] = READS | CHANGES, [SIM_ENOSPC] = SPACE, [SIM_EROFS] = CHANGES,
    [SIM_SHORT] = WRITES,        [SIM_SYNC] = SYNCS,
};

static const int errno_of_fault[SIM_FAULTS] = {
    [SIM_EIO] = -EIO,      [SIM_ENOSPC] = -ENOSPC, [SIM_EROFS] = -EROFS,
    [SIM_SHORT] = -ENOSPC, [SIM_SYNC] = -EIO,
};

/* What every operation begins with: 0, or the error it must fail with. */
static int begin(struct sim_disk *d, const char *what, const char *name, unsigned kinds, uint64_t a,
                 uint64_t b)
{
    d->operations++;
    trace(d, what, name, a, b);
    if (d->stop_at && d->operations >= d->stop_at)
        return -EIO;
    if (d->fault_at == 0 || !(kinds & kinds_of_fault[d->fault]))
        return 0;
    if (d->fault_at > 1) {
        d->fault_at--;
        return 0;
    }
    d->fault_fired = true;
    if (!d->fault_lasting)
        d->fault_at = 0;
    return errno_of_fault[d->fault];
}

static int handle_new(struct sim_disk *d, struct inode *inode, bool dir, bool writable)
{
    for (int i = DIR_HANDLE; i < (int)HANDLES_MAX; i++) {
        if (d->handles[i].used)
            continue;
        d->handles[i] = (struct handle){inode, true, dir, writable};
        if (inode)
            inode->handles++;
        return i;
    }
    return -EMFILE;
}

static struct inode *file_of(struct sim_disk *d, int fd)
{
    PC_ASSERT(fd >= DIR_HANDLE && fd < (int)HANDLES_MAX && d->handles[fd].used);
    PC_ASSERT(!d->handles[fd].dir);
    return d->handles[fd].inode;
}

static void assert_dir(const struct sim_disk *d, int dir)
{
    PC_ASSERT(dir >= DIR_HANDLE && dir < (int)HANDLES_MAX && d->handles[dir].used);
    PC_ASSERT(d->handles[dir].dir);
}

static int sim_open_dir(void *ctx, const char *path, bool create)
{
    struct sim_disk *d = ctx;
    int err = begin(d, "open_dir", path, create ? READS | CHANGES : READS, create, 0);
    return err ? err : handle_new(d, NULL, true, false);
}

static int sim_open(void *ctx, int dir, const char *name, unsigned flags)
{
    struct sim_disk *d = ctx;
    unsigned kinds = READS | (flags & PC_FILE_WRITE ? CHANGES : 0u);
    assert_dir(d, dir);
    PC_ASSERT(strlen(name) < NAME_BYTES);
    struct entry *e = find(&d->now, name);
    if (flags & PC_FILE_CREATE && !e)
        kinds |= SPACE;
    int err = begin(d, "open", name, kinds, flags, 0);
    if (err)
        return err;
    if (!e && !(flags & PC_FILE_CREATE))
        return -ENOENT;
    struct inode *inode = e ? e->inode : inode_new(d);
    if (!e) {
        pend_name(d, NULL, name, inode);
        names_link(&d->now, name, inode);
    }
    if (flags & PC_FILE_EMPTY) {
        /* A model of O_TRUNC that is durable at once: the journal only empties temporary files. */
        drop_writes(inode);
        image_resize(&inode->now, 0);
        image_resize(&inode->disk, 0);
    }
    return handle_new(d, inode, false, flags & PC_FILE_WRITE);
}

static void close_handle(struct sim_disk *d, int fd)
{
    struct handle *h = &d->handles[fd];
    if (h->inode) {
        h->inode->handles--;
        if (h->inode->locked_by == fd)
            h->inode->locked_by = 0;
    }
    *h = (struct handle){0};
    collect(d);
}

static void sim_close(void *ctx, int fd)
{
    struct sim_disk *d = ctx;
    PC_ASSERT(fd >= DIR_HANDLE && fd < (int)HANDLES_MAX && d->handles[fd].used);
    close_handle(d, fd);
}

static int64_t sim_pread(void *ctx, int fd, void *buf, size_t n, uint64_t offset)
{
    struct sim_disk *d = ctx;
    const struct inode *inode = file_of(d, fd);
    int err = begin(d, "pread", NULL, READS, offset, n);
    if (err)
        return err;
    if (offset >= inode->now.n)
        return 0;
    if (n > inode->now.n - offset)
        n = inode->now.n - offset;
    memcpy(buf, inode->now.p + offset, n);
    return (int64_t)n;
}

static int64_t sim_pwrite(void *ctx, int fd, const void *buf, size_t n, uint64_t offset)
{
    struct sim_disk *d = ctx;
    struct inode *inode = file_of(d, fd);
    PC_ASSERT(d->handles[fd].writable);
    int err = begin(d, "pwrite", NULL, CHANGES | SPACE | WRITES, offset, n);
    if (err && !(d->fault == SIM_SHORT && d->fault_fired && err == -ENOSPC))
        return err;
    if (err)
        n /= 2;
    pend_write(inode, offset, buf, n);
    image_put(&inode->now, offset, buf, n);
    return (int64_t)n;
}

static int sim_allocate(void *ctx, int fd, uint64_t size)
{
    struct sim_disk *d = ctx;
    struct inode *inode = file_of(d, fd);
    int err = begin(d, "allocate", NULL, CHANGES | SPACE, size, 0);
    if (err)
        return err;
    if (d->no_allocate)
        return -EOPNOTSUPP;
    if (size > inode->now.n) {
        pend_write(inode, size, NULL, 0);
        image_resize(&inode->now, size);
    }
    return 0;
}

static int sim_truncate(void *ctx, int fd, uint64_t size)
{
    struct sim_disk *d = ctx;
    struct inode *inode = file_of(d, fd);
    PC_ASSERT(d->handles[fd].writable && size <= inode->now.n);
    int err = begin(d, "truncate", NULL, CHANGES, size, 0);
    if (err)
        return err;
    pend_write(inode, size, NULL, 0);
    inode->writes[inode->writes_n - 1].cut = true;
    image_resize(&inode->now, size);
    return 0;
}

static int sim_sync(void *ctx, int fd)
{
    struct sim_disk *d = ctx;
    struct inode *inode = file_of(d, fd);
    int err = begin(d, "sync", NULL, CHANGES | SPACE | SYNCS, 0, 0);
    if (err && d->stop_at && d->operations >= d->stop_at)
        return err;
    if (err) {
        settle_writes(d, inode, sim_below(&d->random, 5)); /* what is lost stays visible */
        return err;
    }
    if (!d->lie)
        settle_writes(d, inode, 4);
    return 0;
}

static int sim_sync_dir(void *ctx, int dir)
{
    struct sim_disk *d = ctx;
    assert_dir(d, dir);
    int err = begin(d, "sync_dir", NULL, CHANGES | SPACE | SYNCS, 0, 0);
    if (err)
        return err;
    for (size_t i = 0; i < d->changes_n; i++)
        apply_name(d, &d->changes[i]);
    drop_changes(d);
    collect(d);
    return 0;
}

static int sim_size(void *ctx, int fd, uint64_t *ret_size)
{
    struct sim_disk *d = ctx;
    const struct inode *inode = file_of(d, fd);
    int err = begin(d, "size", NULL, READS, 0, 0);
    if (err == 0)
        *ret_size = inode->now.n;
    return err;
}

static int sim_rename(void *ctx, int dir, const char *from, const char *to)
{
    struct sim_disk *d = ctx;
    assert_dir(d, dir);
    int err = begin(d, "rename", from, CHANGES | SPACE, 0, 0);
    struct entry *e = find(&d->now, from);
    if (err || !e)
        return err ? err : -ENOENT;
    struct inode *inode = e->inode;
    pend_name(d, from, to, inode);
    names_unlink(&d->now, from);
    names_link(&d->now, to, inode);
    collect(d);
    return 0;
}

static int sim_unlink(void *ctx, int dir, const char *name)
{
    struct sim_disk *d = ctx;
    assert_dir(d, dir);
    int err = begin(d, "unlink", name, CHANGES, 0, 0);
    if (err || !find(&d->now, name))
        return err ? err : -ENOENT;
    pend_name(d, name, NULL, NULL);
    names_unlink(&d->now, name);
    collect(d);
    return 0;
}

static int sim_list(void *ctx, int dir, int (*each)(void *arg, const char *name), void *arg)
{
    struct sim_disk *d = ctx;
    assert_dir(d, dir);
    int err = begin(d, "list", NULL, READS, 0, 0);
    for (size_t i = 0; err == 0 && i < d->now.n; i++)
        err = each(arg, d->now.v[i].name);
    return err;
}

static int sim_lock(void *ctx, int fd)
{
    struct sim_disk *d = ctx;
    struct inode *inode = file_of(d, fd);
    int err = begin(d, "lock", NULL, READS, 0, 0);
    if (err)
        return err;
    if (inode->locked_by && inode->locked_by != fd)
        return -EWOULDBLOCK;
    inode->locked_by = fd;
    return 0;
}

struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *d = calloc(1, sizeof *d);
    PC_ASSERT(d);
    d->random = seed;
    d->trace = 0xcbf29ce484222325ull;
    d->ops = (struct pc_file_ops){
        .ctx = d,
        .open_dir = sim_open_dir,
        .open = sim_open,
        .close = sim_close,
        .pread = sim_pread,
        .pwrite = sim_pwrite,
        .allocate = sim_allocate,
        .truncate = sim_truncate,
        .sync = sim_sync,
        .sync_dir = sim_sync_dir,
        .size = sim_size,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .list = sim_list,
        .lock = sim_lock,
    };
    return d;
}

struct sim_disk *sim_disk_clone(const struct sim_disk *d)
{
    struct sim_disk *copy = sim_disk_new(d->random);
    for (size_t i = 0; i < d->now.n; i++)
        sim_disk_put(copy, d->now.v[i].name, d->now.v[i].inode->now.p, d->now.v[i].inode->now.n);
    return copy;
}

void sim_disk_free(struct sim_disk *d)
{
    for (size_t i = 0; i < d->inodes_n; i++)
        inode_free(d->inodes[i]);
    free(d->now.v);
    free(d->disk.v);
    free(d->changes);
    free(d);
}

const struct pc_file_ops *sim_disk_ops(struct sim_disk *d)
{
    return &d->ops;
}

void sim_disk_kill(struct sim_disk *d)
{
    for (int i = DIR_HANDLE; i < (int)HANDLES_MAX; i++)
        if (d->handles[i].used)
            close_handle(d, i);
}

void sim_disk_crash(struct sim_disk *d)
{
    uint64_t keep_data = sim_below(&d->random, 5), keep_names = sim_below(&d->random, 5);
    sim_disk_kill(d);
    for (size_t i = 0; i < d->changes_n; i++)
        if (sim_below(&d->random, 4) < keep_names)
            apply_name(d, &d->changes[i]);
    drop_changes(d);
    while (d->now.n)
        names_unlink(&d->now, d->now.v[0].name);
    for (size_t i = 0; i < d->disk.n; i++)
        names_link(&d->now, d->disk.v[i].name, d->disk.v[i].inode);
    collect(d);
    for (size_t i = 0; i < d->inodes_n; i++) {
        settle_writes(d, d->inodes[i], keep_data);
        image_copy(&d->inodes[i]->now, &d->inodes[i]->disk);
    }
    d->stop_at = d->fault_at = 0;
}

void sim_disk_stop_at(struct sim_disk *d, uint64_t k)
{
    d->stop_at = k ? d->operations + k : 0;
}

bool sim_disk_stopped(const struct sim_disk *d)
{
    return d->stop_at && d->operations >= d->stop_at;
}

void sim_disk_fault(struct sim_disk *d, enum sim_fault fault, uint64_t k, bool lasting)
{
    d->fault = fault;
    d->fault_at = k;
    d->fault_lasting = lasting;
    d->fault_fired = false;
}

bool sim_disk_fault_fired(const struct sim_disk *d)
{
    return d->fault_fired;
}

void sim_disk_lie_about_syncs(struct sim_disk *d, bool lie)
{
    d->lie = lie;
}

void sim_disk_without_allocate(struct sim_disk *d)
{
    d->no_allocate = true;
}

unsigned sim_disk_open_files(const struct sim_disk *d)
{
    unsigned n = 0;
    for (size_t i = DIR_HANDLE; i < HANDLES_MAX; i++)
        n += d->handles[i].used;
    return n;
}

uint64_t sim_disk_operations(const struct sim_disk *d)
{
    return d->operations;
}

uint64_t sim_disk_trace(const struct sim_disk *d)
{
    return d->trace;
}

const uint8_t *sim_disk_bytes(const struct sim_disk *d, const char *name, size_t *ret_n)
{
    const struct entry *e = find(&d->now, name);
    if (!e)
        return NULL;
    *ret_n = e->inode->now.n;
    return e->inode->now.p;
}

void sim_disk_flip(struct sim_disk *d, const char *name, size_t offset, uint8_t mask)
{
    struct entry *e = find(&d->now, name);
    PC_ASSERT(e && e->inode->writes_n == 0 && d->changes_n == 0);
    PC_ASSERT(offset < e->inode->now.n && offset < e->inode->disk.n);
    e->inode->now.p[offset] ^= mask;
    e->inode->disk.p[offset] ^= mask;
}

void sim_disk_remove(struct sim_disk *d, const char *name)
{
    char copy[NAME_BYTES]; /* the caller may have it from sim_disk_name */
    snprintf(copy, sizeof copy, "%s", name);
    names_unlink(&d->now, copy);
    names_unlink(&d->disk, copy);
    collect(d);
}

void sim_disk_put(struct sim_disk *d, const char *name, const void *p, size_t n)
{
    sim_disk_remove(d, name);
    struct inode *inode = inode_new(d);
    names_link(&d->now, name, inode);
    names_link(&d->disk, name, inode);
    image_put(&inode->now, 0, p, n);
    image_put(&inode->disk, 0, p, n);
}

const char *sim_disk_name(const struct sim_disk *d, size_t i)
{
    return i < d->now.n ? d->now.v[i].name : NULL;
}
