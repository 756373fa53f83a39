/* SPDX-License-Identifier: Apache-2.0
 * For tests of the journal: records that carry a number and bytes derived from it, so that every
 * one that comes back can be told and checked; a state made of them; snapshots of that state. */
#ifndef PC_TESTS_JOURNAL_KIT_H
#define PC_TESTS_JOURNAL_KIT_H

#include "edge/journal/journal.h"
#include "edge/journal/recovery.h"
#include "edge/journal/snapshot.h"
#include "support/sim_disk.h"

#define KIT_RECORDS_MAX  4096u
#define KIT_RECORD_BYTES 600u
#define KIT_FINDINGS_MAX 32u
#define KIT_SEGMENT      8192u

struct kit_record {
    uint64_t position, number;
};

/* What a server would hold in its tables, in order, and what recovery said. */
struct kit_state {
    struct kit_record records[KIT_RECORDS_MAX];
    size_t n;
    struct pc_finding findings[KIT_FINDINGS_MAX];
    size_t findings_n;
    bool damaged; /* a record came back changed, or out of order */
};

/* A journal on a simulated disk, or in a real directory (disk NULL). */
struct kit {
    struct sim_disk *disk;
    const char *dir;
    enum pc_recover_mode mode;
    uint32_t segment_bytes;
    uint64_t starts; /* gives incarnations */
    struct pc_journal *j;
    struct pc_recovered recovered;
    struct pc_why why;
    struct kit_state state;
};

void kit_init(struct kit *k, struct sim_disk *disk);
/* Recovers into k->state; the journal is then in k->j. */
int kit_open(struct kit *k);
void kit_close(struct kit *k);
/* Appends records with the numbers first … first + n - 1 as one batch and puts them into the state.
 */
int kit_append(struct kit *k, uint64_t number, size_t n);
int kit_sync(struct kit *k);
/* kit_append and kit_sync; asserts that both work. */
void kit_commit(struct kit *k, uint64_t number, size_t n);
/* A snapshot of the first n records of the state, covering up to the position of the last. */
int kit_snapshot(struct kit *k, size_t n);
/* The same in two steps, with anything in between: begin copies the state as it is now. */
int kit_snapshot_begin(struct kit *k, size_t n, struct pc_snapshot_writer **ret_writer);
/* Length and bytes of the record with this number. */
size_t kit_payload(uint64_t number, uint8_t out[KIT_RECORD_BYTES]);
/* Adds a record handed out by replay or pc_journal_read. */
int kit_take(void *state, const struct pc_record *record);
/* The first finding of this condition; NULL = none. */
const struct pc_finding *kit_found(const struct kit *k, enum pc_recovery_condition condition);

#endif
