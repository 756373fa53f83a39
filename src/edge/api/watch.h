/* SPDX-License-Identifier: Apache-2.0
 * Which files changed: key files, the flag file. Watches the folders they are in, because files
 * are replaced by renaming, and by the symbolic links with which Kubernetes swaps whole folders.
 *
 * Whoever writes a file in several steps causes several events; a group is due when it was quiet
 * for PC_WATCH_QUIET_MS, and in any case PC_WATCH_LATEST_MS after its first event. What is read too
 * early is refused as any bad file is, and read again at the next event.
 *
 * Main thread only. Time is an argument. */
#ifndef PC_API_WATCH_H
#define PC_API_WATCH_H

#include "base/def.h"
#include "base/err.h"

#define PC_WATCH_QUIET_MS  30
#define PC_WATCH_LATEST_MS 300
#define PC_WATCH_RETRY_MS  1000 /* between attempts to watch a folder that is not there */
#define PC_WATCH_FILES_MAX 256  /* of all groups */

/* What a file belongs to; bits in what pc_watch_due() returns. */
enum pc_watch_group { PC_WATCH_KEYS, PC_WATCH_FLAGS, PC_WATCH_GROUPS };
#define PC_WATCH_BIT(group) (1u << PC_WATCH_##group)

struct pc_watch;

int pc_watch_new(struct pc_watch **ret_w);
void pc_watch_free(struct pc_watch *w);
/* Readable when there are events. */
int pc_watch_fd(const struct pc_watch *w);

/* Forgets the group's files; then its files one by one. Empty and NULL paths are no files. Past
 * PC_WATCH_FILES_MAX: PC_E_FULL, and that file is not watched. */
void pc_watch_clear(struct pc_watch *w, enum pc_watch_group group);
int pc_watch_add(struct pc_watch *w, enum pc_watch_group group, const char *path);

/* Takes the events there are; also to be called without any, now and then. */
void pc_watch_read(struct pc_watch *w, int64_t now_ns);
/* The groups whose files are to be read now; each is told once. */
unsigned pc_watch_due(struct pc_watch *w, int64_t now_ns);
/* Until the next group is due, 0 when one is; negative when none waits. */
int64_t pc_watch_wait_ns(const struct pc_watch *w, int64_t now_ns);

#endif
