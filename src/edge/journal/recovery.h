/* SPDX-License-Identifier: Apache-2.0
 * The decision table of recovery: everything that can be found in a data directory, and what is
 * done about it in each mode. It is the only place where that is decided; survey.c and walk.c find
 * the conditions, open.c carries the actions out, tests go through all of its inputs.
 *
 * The principle: what a crash of this program or of the machine can leave behind is repaired and
 * reported; what it cannot leave behind is damage, and damage that could hide an acknowledged
 * record stops the start, unless an operator asks for salvage. What cannot be told from a crash,
 * inherently: damage of what the last sync wrote (in mode `group`: the last batch) before a later
 * batch or seal says that it was durable. And that the newest segment was removed as a whole shows
 * only if a prepared one, or a snapshot of a position in it, is left; so keep one prepared.
 */
#ifndef PC_JOURNAL_RECOVERY_H
#define PC_JOURNAL_RECOVERY_H

#include "edge/journal/journal.h"

enum pc_recovery_action {
    PC_RECOVERY_CREATE, /* begin a new journal */
    PC_RECOVERY_REPORT, /* say it, change nothing */
    PC_RECOVERY_REPAIR, /* write the missing thing again */
    PC_RECOVERY_CUT,    /* overwrite the tail with zeros and sync */
    PC_RECOVERY_SKIP,   /* go on without it, behind a salvage mark */
    PC_RECOVERY_REFUSE, /* do not start */
    PC_RECOVERY_ACTIONS
};

/* X(condition, what it is, error, normal, strict, salvage, advice when refused) */
#define PC_RECOVERY_TABLE(X)                                                                       \
    X(EMPTY, "the directory holds no journal", 0, CREATE, CREATE, CREATE, NONE)                    \
    X(TAIL_TORN, "a torn write at the end, nothing valid after it", PC_E_DAMAGED, CUT, REFUSE,     \
      CUT, NOT_STRICT)                                                                             \
    X(TAIL_STALE, "bytes of an earlier segment at the end", PC_E_DAMAGED, CUT, CUT, CUT, NONE)     \
    X(TAIL_UNSYNCED, "a torn write, and after it batches that were never synced", PC_E_DAMAGED,    \
      CUT, REFUSE, SKIP, NOT_STRICT)                                                               \
    X(DAMAGED, "damage below a position that was durable", PC_E_DAMAGED, REFUSE, REFUSE, SKIP,     \
      BACKUP)                                                                                      \
    X(SEGMENT_MISSING, "a segment is missing", PC_E_DAMAGED, REFUSE, REFUSE, SKIP, BACKUP)         \
    X(SEGMENT_HEADER, "the header of a segment is damaged", PC_E_DAMAGED, REFUSE, REFUSE, SKIP,    \
      BACKUP)                                                                                      \
    X(SEGMENT_SIZE, "a segment has not the size it was made with", PC_E_DAMAGED, REFUSE, REFUSE,   \
      SKIP, BACKUP)                                                                                \
    X(SEGMENT_VERSION, "a segment was written by a newer version", PC_E_VERSION, REFUSE, REFUSE,   \
      REFUSE, NEWER)                                                                               \
    X(SEGMENT_FOREIGN, "a segment does not belong here", PC_E_DAMAGED, REFUSE, REFUSE, REFUSE,     \
      FOREIGN)                                                                                     \
    X(SEGMENTS_GONE, "there was a journal, but no segment is left", PC_E_DAMAGED, REFUSE, REFUSE,  \
      SKIP, BACKUP)                                                                                \
    X(IDENTITY_MISSING, "journal.id is missing", PC_E_DAMAGED, REPAIR, REPAIR, REPAIR, NONE)       \
    X(IDENTITY_DAMAGED, "journal.id is damaged", PC_E_DAMAGED, REPAIR, REPAIR, REPAIR, NONE)       \
    X(IDENTITY_UNKNOWN, "no readable file says which journal this is", PC_E_DAMAGED, REFUSE,       \
      REFUSE, REFUSE, NO_SALVAGE)                                                                  \
    X(IDENTITY_VERSION, "journal.id was written by a newer version", PC_E_VERSION, REFUSE, REFUSE, \
      REFUSE, NEWER)                                                                               \
    X(SNAPSHOT_FALLBACK, "a snapshot is damaged; the segments reach back to an older state",       \
      PC_E_DAMAGED, REPORT, REPORT, REPORT, NONE)                                                  \
    X(SNAPSHOT_DAMAGED, "a snapshot is damaged and the segments do not reach back further",        \
      PC_E_DAMAGED, REFUSE, REFUSE, SKIP, BACKUP)                                                  \
    X(SNAPSHOT_MISSING, "the journal's beginning is gone and no snapshot stands for it",           \
      PC_E_DAMAGED, REFUSE, REFUSE, SKIP, BACKUP)                                                  \
    X(SNAPSHOT_AHEAD, "a snapshot covers more than the journal holds: its end is lost",            \
      PC_E_DAMAGED, REFUSE, REFUSE, SKIP, BACKUP)                                                  \
    X(SNAPSHOT_VERSION, "a snapshot was written by a newer version", PC_E_VERSION, REFUSE, REFUSE, \
      REFUSE, NEWER)                                                                               \
    X(SNAPSHOT_FOREIGN, "a snapshot does not belong here", PC_E_DAMAGED, REFUSE, REFUSE, REFUSE,   \
      FOREIGN)                                                                                     \
    X(READ_ERROR, "the disk cannot be read", 0, REFUSE, REFUSE, REFUSE, DISK)                      \
    X(WRITE_ERROR, "the disk cannot be written", 0, REFUSE, REFUSE, REFUSE, DISK)                  \
    X(NO_SPACE, "the disk is full", 0, REFUSE, REFUSE, REFUSE, SPACE)                              \
    X(READ_ONLY, "the file system is read-only", 0, REFUSE, REFUSE, REFUSE, WRITABLE)              \
    X(NO_ACCESS, "the permissions do not allow it", 0, REFUSE, REFUSE, REFUSE, ACCESS)             \
    X(NOT_FOUND, "no such file or directory", 0, REFUSE, REFUSE, REFUSE, PARENT)                   \
    X(NO_MEMORY, "not enough memory", 0, REFUSE, REFUSE, REFUSE, MEMORY)

enum pc_recovery_condition {
#define PC_RECOVERY_ENUM(name, what, error, normal, strict, salvage, advice) PC_FOUND_##name,
    PC_RECOVERY_TABLE(PC_RECOVERY_ENUM)
#undef PC_RECOVERY_ENUM
        PC_FOUND_COUNT
};

/* What to do. accepted: the damage lies before a salvage mark, so an operator has agreed to it
 * once; what salvage would skip is then only reported, in every mode. */
enum pc_recovery_action pc_recovery_decide(enum pc_recovery_condition c, enum pc_recover_mode mode,
                                           bool accepted);
const char *pc_recovery_name(enum pc_recovery_condition c); /* "TAIL_TORN" */
const char *pc_recovery_what(enum pc_recovery_condition c);
/* "" for conditions that are never refused. */
const char *pc_recovery_advice(enum pc_recovery_condition c);
/* The row for an -errno of reading (or writing) the disk. */
enum pc_recovery_condition pc_recovery_of_errno(int err, bool writing);

/* Where findings are collected: decides each, tells the caller, remembers the first refusal. */
struct pc_findings {
    enum pc_recover_mode mode;
    void (*tell)(void *ctx, const struct pc_finding *finding); /* NULL allowed */
    void *ctx;
    unsigned count;
    bool skipped; /* some action was SKIP: a salvage mark is due */
    int refused;  /* 0, or the error of the first refusal, whose text is: */
    struct pc_why why;
};

struct pc_found {
    enum pc_recovery_condition condition;
    bool accepted;
    int err; /* for rows whose error is an errno */
    uint64_t segment, offset, position;
    const char *detail; /* NULL, or more words: which file, how many */
};

/* Decides one condition and says so; returns the action. */
enum pc_recovery_action pc_findings_add(struct pc_findings *f, const struct pc_found *found);
/* The error, with its text in why, if something was refused. */
int pc_findings_result(const struct pc_findings *f, struct pc_why *why);

#endif
