/* SPDX-License-Identifier: Apache-2.0
 * Looking into a data directory offline, for `portcullis journal {ls,dump,verify}`. Read-only: it
 * changes nothing, not even what recovery would repair, and works on a copy, on read-only media and
 * on the directory of a stopped server. One thread per handle. */
#ifndef PC_JOURNAL_INSPECT_H
#define PC_JOURNAL_INSPECT_H

#include "edge/journal/journal.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pc_inspect;

/* ops NULL = pc_file_posix(). A directory that a server uses is refused with PC_E_LOCKED, unless
 * even_if_locked: then the end of the log may look torn. The lock is held until close. */
int pc_inspect_open(const char *dir, const struct pc_file_ops *ops, bool even_if_locked,
                    struct pc_inspect **ret_inspect, struct pc_why *why);
void pc_inspect_close(struct pc_inspect *i);

enum pc_inspect_kind { PC_INSPECT_IDENTITY, PC_INSPECT_SEGMENT, PC_INSPECT_SNAPSHOT };

/* One file of the journal. */
struct pc_inspect_file {
    enum pc_inspect_kind kind;
    char name[40];
    uint64_t bytes;
    uint64_t number;      /* of a segment */
    uint64_t first, last; /* positions in a segment (0 = none); a snapshot covers up to last */
    uint64_t batches, marks, records;
    uint64_t used_bytes;    /* of a segment */
    uint64_t blocks;        /* of a snapshot */
    int64_t from_ms, to_ms; /* times of first and last batch, or when a snapshot was made */
    bool prepared;          /* a segment nothing was written to yet */
    bool damaged;           /* pc_inspect_verify says where */
};

/* Calls each() for every file, segments and snapshots in ascending order. A non-zero answer ends it
 * and is returned. */
int pc_inspect_files(struct pc_inspect *i,
                     int (*each)(void *arg, const struct pc_inspect_file *file), void *arg,
                     struct pc_why *why);

/* Where a record was found. */
struct pc_inspect_place {
    uint64_t segment, offset; /* of its batch */
    uint64_t durable;         /* position known durable when the batch was written */
    bool after_damage;        /* a hole lies before it: only salvage would take it */
};

/* Calls each() for every valid record with after < position <= upto, also behind damage. */
int pc_inspect_records(struct pc_inspect *i, uint64_t after, uint64_t upto,
                       int (*each)(void *arg, const struct pc_record *record,
                                   const struct pc_inspect_place *place),
                       void *arg, struct pc_why *why);

/* How far the journal says of itself that it is durable: in batches behind, and seals. What a
 * server that runs has written beyond may not be. */
int pc_inspect_durable(struct pc_inspect *i, uint64_t *ret_position, struct pc_why *why);

struct pc_inspect_summary {
    unsigned findings;
    uint64_t segments, snapshots, batches, records;
    uint64_t position; /* of the end of the log */
    uint64_t snapshot_position;
    uint64_t journal_id;
    int64_t last_time_ms; /* INT64_MIN = none */
};

/* Reads everything, every snapshot too, and tells what is wrong and what a start in this mode would
 * do about it. 0: it would start (findings may still be reported); else the error it would be
 * refused with, and why in words. *ret_summary is set in both cases. */
int pc_inspect_verify(struct pc_inspect *i, enum pc_recover_mode mode,
                      void (*finding)(void *arg, const struct pc_finding *finding), void *arg,
                      struct pc_inspect_summary *ret_summary, struct pc_why *why);

#ifdef __cplusplus
}
#endif
#endif
