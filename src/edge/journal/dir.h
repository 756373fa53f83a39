/* SPDX-License-Identifier: Apache-2.0
 * The data directory: file names, what lies in it, whole files, the lock. Stateless; any thread. */
#ifndef PC_JOURNAL_DIR_H
#define PC_JOURNAL_DIR_H

#include "edge/journal/file.h"

#define PC_DIR_LOCK         "lock"
#define PC_DIR_IDENTITY     "journal.id"
#define PC_DIR_IDENTITY_NEW "journal.id.new"
#define PC_DIR_SEGMENT_NEW  "segment.new"
#define PC_DIR_SNAPSHOT_NEW "snapshot.new"
#define PC_DIR_NAME_BYTES   40u
/* Files of one kind in a directory. */
#define PC_DIR_FILES_MAX 1000000u

struct pc_dir {
    const struct pc_file_ops *ops;
    int fd;
};

void pc_dir_segment_name(uint64_t number, char ret_name[PC_DIR_NAME_BYTES]);
void pc_dir_snapshot_name(uint64_t position, char ret_name[PC_DIR_NAME_BYTES]);

struct pc_dir_numbers {
    uint64_t *v; /* ascending */
    size_t n, cap;
};

struct pc_dir_listing {
    struct pc_dir_numbers segments, snapshots;
    bool identity, leftovers;
};

/* The caller frees *ret_listing with pc_dir_listing_free, which a zeroed one allows too. */
int pc_dir_list(const struct pc_dir *d, struct pc_dir_listing *ret_listing);
void pc_dir_listing_free(struct pc_dir_listing *l);

/* A buffer that grows to the largest file loaded into it. */
struct pc_dir_image {
    uint8_t *p;
    size_t n, cap;
};

/* Loads at most max bytes from the front of a file; *ret_size is the size of the whole file. */
int pc_dir_load(const struct pc_dir *d, const char *name, size_t max, struct pc_dir_image *image,
                uint64_t *ret_size);
void pc_dir_image_free(struct pc_dir_image *image);

/* Creates or replaces a small file so that after a crash the old or the new one is there. */
int pc_dir_replace(const struct pc_dir *d, const char *temporary, const char *name, const void *p,
                   size_t n);

/* Removes what an interrupted start, segment or snapshot left half made. */
int pc_dir_remove_leftovers(const struct pc_dir *d);

/* Locks the directory and returns the descriptor that holds the lock. With a pid it creates the
 * file and writes the pid into it; with 0 it only looks: -ENOENT if nobody ever locked it.
 * PC_E_LOCKED: why names the directory and the other's pid. */
int pc_dir_lock(const struct pc_dir *d, const char *path, int pid, struct pc_why *why);

#endif
