/* SPDX-License-Identifier: Apache-2.0
 * A simulated disk behind the journal's file seam: one directory of files in memory, which forgets
 * at a crash what a real one may forget.
 *
 * At a crash, of every write not covered by a completed sync of its file each 512-byte sector is
 * kept or dropped at random; every creation, rename and removal not covered by a completed sync of
 * the directory likewise, a rename as one. Space that was never written reads as zeros or garbage.
 * A sync that fails drops what it should have written, while reads still show it, as Linux does.
 *
 * Deterministic: the same seed and the same calls give the same bytes. One thread. */
#ifndef PC_TESTS_SIM_DISK_H
#define PC_TESTS_SIM_DISK_H

#include "edge/journal/file.h"

#define SIM_SECTOR 512u

struct sim_disk;

struct sim_disk *sim_disk_new(uint64_t seed);
/* The same contents, with nothing pending and nothing open. */
struct sim_disk *sim_disk_clone(const struct sim_disk *d);
void sim_disk_free(struct sim_disk *d);
/* Any path names the one directory. */
const struct pc_file_ops *sim_disk_ops(struct sim_disk *d);

/* The process dies: open files and locks go, the kernel keeps every write. */
void sim_disk_kill(struct sim_disk *d);
/* The machine dies. */
void sim_disk_crash(struct sim_disk *d);
/* From the k-th operation on (1 = the next) nothing has an effect and everything fails with -EIO,
 * as if the machine stopped there; then call sim_disk_crash. 0 = never. */
void sim_disk_stop_at(struct sim_disk *d, uint64_t k);
bool sim_disk_stopped(const struct sim_disk *d);

enum sim_fault { SIM_EIO, SIM_ENOSPC, SIM_EROFS, SIM_SHORT, SIM_SYNC, SIM_FAULTS };

/* The k-th operation from now that can fail this way does so; with `lasting`, so do all later ones.
 * k = 0: no fault. SIM_EIO: anything; SIM_ENOSPC: what needs space; SIM_EROFS: what changes the
 * disk; SIM_SHORT: a write that writes half; SIM_SYNC: a sync. */
void sim_disk_fault(struct sim_disk *d, enum sim_fault fault, uint64_t k, bool lasting);
bool sim_disk_fault_fired(const struct sim_disk *d);

/* The canary: syncs of files succeed without doing anything. */
void sim_disk_lie_about_syncs(struct sim_disk *d, bool lie);
/* allocate() is refused with -EOPNOTSUPP, as on file systems without it. */
void sim_disk_without_allocate(struct sim_disk *d);

unsigned sim_disk_open_files(const struct sim_disk *d);
uint64_t sim_disk_operations(const struct sim_disk *d);
/* Of all calls and their arguments so far. */
uint64_t sim_disk_trace(const struct sim_disk *d);

/* Reaching in from outside, durably; on a disk with nothing pending (a clone). */
const uint8_t *sim_disk_bytes(const struct sim_disk *d, const char *name, size_t *ret_n);
void sim_disk_flip(struct sim_disk *d, const char *name, size_t offset, uint8_t mask);
void sim_disk_remove(struct sim_disk *d, const char *name);
void sim_disk_put(struct sim_disk *d, const char *name, const void *p, size_t n);
/* Names, in no particular order; NULL behind the last. */
const char *sim_disk_name(const struct sim_disk *d, size_t i);

/* A small generator for tests: the same seed, the same numbers. */
uint64_t sim_random(uint64_t *state);
uint64_t sim_below(uint64_t *state, uint64_t n);

#endif
