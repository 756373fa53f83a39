/* SPDX-License-Identifier: Apache-2.0
 * Files and the inotify watches of their folders; see watch.h. Main thread only. */
#include "edge/api/watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define MS         INT64_C(1000000)
#define EVENTS     (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF)
#define EVENT_ROOM 4096

/* A name in a folder. A file that is a symbolic link has two: its own and its target's. */
struct watched {
    enum pc_watch_group group;
    int folder; /* the watch's number; negative: the folder could not be watched yet */
    char *path; /* malloced; the name is its last part */
};

struct touched {
    bool any;
    int64_t first_ns, last_ns;
};

struct pc_watch {
    int fd;
    unsigned count;
    int64_t retry_ns;
    struct touched touched[PC_WATCH_GROUPS];
    struct watched at[PC_WATCH_FILES_MAX];
};

int pc_watch_new(struct pc_watch **ret_w)
{
    struct pc_watch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        int err = -errno;
        free(w);
        return err;
    }
    *ret_w = w;
    return 0;
}

void pc_watch_free(struct pc_watch *w)
{
    if (!w)
        return;
    for (unsigned i = 0; i < w->count; i++)
        free(w->at[i].path);
    close(w->fd);
    free(w);
}

int pc_watch_fd(const struct pc_watch *w)
{
    return w->fd;
}

/* ---- what is watched ---- */

static const char *name_of(const struct watched *at)
{
    const char *slash = strrchr(at->path, '/');
    return slash ? slash + 1 : at->path;
}

/* Folders are watched for good: the kernel keeps one watch of each, and an event about a name
 * nobody asks for is dropped. */
static int watch_folder(int fd, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1,
                     slash ? path : ".");
    if (n < 0 || n >= (int)sizeof folder)
        return -1;
    return inotify_add_watch(fd, folder[0] ? folder : "/", EVENTS | IN_ONLYDIR);
}

static int add(struct pc_watch *w, enum pc_watch_group group, const char *path)
{
    if (w->count == PC_WATCH_FILES_MAX)
        return PC_E_FULL;
    struct watched *at = &w->at[w->count];
    *at = (struct watched){.group = group, .path = strdup(path)};
    if (!at->path)
        return -ENOMEM;
    at->folder = watch_folder(w->fd, path);
    w->count++;
    return 0;
}

void pc_watch_clear(struct pc_watch *w, enum pc_watch_group group)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < w->count; i++) {
        if (w->at[i].group == group)
            free(w->at[i].path);
        else
            w->at[kept++] = w->at[i];
    }
    w->count = kept;
}

int pc_watch_add(struct pc_watch *w, enum pc_watch_group group, const char *path)
{
    char target[PATH_MAX];
    if (!path || !path[0])
        return 0;
    int rc = add(w, group, path);
    if (rc == 0 && realpath(path, target) && strcmp(target, path) != 0)
        rc = add(w, group, target);
    return rc;
}

/* ---- events ---- */

static void touch(struct pc_watch *w, enum pc_watch_group group, int64_t now_ns)
{
    struct touched *t = &w->touched[group];
    if (!t->any)
        t->first_ns = now_ns;
    t->any = true;
    t->last_ns = now_ns;
}

static void take_event(struct pc_watch *w, const struct inotify_event *e, int64_t now_ns)
{
    for (unsigned i = 0; i < w->count; i++) {
        struct watched *at = &w->at[i];
        bool overflow = e->mask & IN_Q_OVERFLOW, gone = e->mask & (IN_IGNORED | IN_MOVE_SELF);
        if (!overflow && e->wd != at->folder)
            continue;
        if (gone)
            at->folder = -1;
        /* Names that begin with ".." are the links by which Kubernetes replaces a folder. */
        if (overflow ||
            (e->len && (strcmp(e->name, name_of(at)) == 0 || strncmp(e->name, "..", 2) == 0)))
            touch(w, at->group, now_ns);
    }
}

/* A folder that was not there, or went and came back. */
static void retry(struct pc_watch *w, int64_t now_ns)
{
    if (now_ns < w->retry_ns)
        return;
    w->retry_ns = now_ns + PC_WATCH_RETRY_MS * MS;
    for (unsigned i = 0; i < w->count; i++) {
        struct watched *at = &w->at[i];
        if (at->folder >= 0)
            continue;
        at->folder = watch_folder(w->fd, at->path);
        if (at->folder >= 0)
            touch(w, at->group, now_ns);
    }
}

void pc_watch_read(struct pc_watch *w, int64_t now_ns)
{
    char events[EVENT_ROOM] __attribute__((aligned(8)));
    ssize_t n;
    while ((n = read(w->fd, events, sizeof events)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(events + at);
            take_event(w, e, now_ns);
            at += (ssize_t)(sizeof *e + e->len);
        }
    }
    retry(w, now_ns);
}

static int64_t due_ns(const struct touched *t)
{
    return pc_min_i64(t->last_ns + PC_WATCH_QUIET_MS * MS, t->first_ns + PC_WATCH_LATEST_MS * MS);
}

unsigned pc_watch_due(struct pc_watch *w, int64_t now_ns)
{
    unsigned groups = 0;
    for (unsigned g = 0; g < PC_WATCH_GROUPS; g++) {
        struct touched *t = &w->touched[g];
        if (!t->any || now_ns < due_ns(t))
            continue;
        t->any = false;
        groups |= 1u << g;
    }
    return groups;
}

int64_t pc_watch_wait_ns(const struct pc_watch *w, int64_t now_ns)
{
    int64_t wait = -1;
    for (unsigned g = 0; g < PC_WATCH_GROUPS; g++) {
        if (!w->touched[g].any)
            continue;
        int64_t left = pc_max_i64(due_ns(&w->touched[g]) - now_ns, 0);
        wait = wait < 0 ? left : pc_min_i64(wait, left);
    }
    return wait;
}
