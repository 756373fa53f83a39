/* SPDX-License-Identifier: Apache-2.0
 * The revocation table: what is refused, by 64-bit keyed fingerprint, and until when. It owns its
 * memory and nothing else: no I/O, no clock (time is an argument), no idea of issuers or kinds.
 * Any RCU-registered thread reads, without a lock; one thread, the writer, changes.
 *
 * One instance holds what is absolute (token, session, family: 19 bytes a slot), another, created
 * with_cutoff, what carries a cutoff (subject, client: 24 bytes a slot).
 *
 * R1  The state of an identity is (revoked_at, cleared_at, expires_at, cutoff), each merged by
 *     maximum over all that was ever applied. It is refused while revoked_at >= cleared_at (a
 *     tie refuses) and now <= expires_at. So replay, duplication and order do not matter.
 * R2  A lookup that starts after revoke() returned finds the entry, whatever the writer does
 *     meanwhile (rebuild, split, directory doubling, export).
 * R3  Nothing is removed but by clear() and reap().
 * R4  After an export that ran while the writer went on, import of its blocks plus a replay of
 *     every change applied since the export began gives the same state (revocations.c says why).
 *
 * Wall times are milliseconds since the Unix epoch; INT64_MAX is never. Inside they take 40 bits,
 * milliseconds since 2024, rounded towards refusal: what lies before is held at the first, what
 * lies after 2058 becomes "never". */
#ifndef PC_EDGE_STATE_REVOCATIONS_H
#define PC_EDGE_STATE_REVOCATIONS_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Address space reserved for one instance unless told otherwise; memory is taken as it fills. */
#define PC_REVOCATIONS_MEMORY_DEFAULT_BYTES ((size_t)32 << 30)
/* Most entries of one segment: bounds the time of a rebuild and the size of a block. */
#define PC_REVOCATIONS_SEGMENT_ENTRIES_MAX 16384
/* A caller's buffer of this size holds any block of pc_revocations_export. */
#define PC_REVOCATIONS_BLOCK_MAX_BYTES (360 << 10)
/* Memory that may wait for the end of a grace period unless told otherwise; beyond it rebuilds are
 * put off and segments filled further, and when those are full changes fail with PC_E_FULL. So the
 * writer, too, has to pass quiescent states. */
#define PC_REVOCATIONS_RETIRED_DEFAULT_BYTES ((size_t)512 << 20)

struct pc_revocations;

struct pc_revocations_options {
    bool with_cutoff;           /* keep a cutoff per entry */
    size_t memory_limit_bytes;  /* 0: PC_REVOCATIONS_MEMORY_DEFAULT_BYTES */
    size_t retired_limit_bytes; /* 0: PC_REVOCATIONS_RETIRED_DEFAULT_BYTES */
    uint32_t segment_entries;   /* 0: PC_REVOCATIONS_SEGMENT_ENTRIES_MAX; tests take fewer */
};

/* What a reader learns: maxima over all that is known of the fingerprint. */
struct pc_revoked {
    int64_t revoked_at_ms;
    int64_t expires_at_ms;
    int64_t cutoff_ms; /* INT64_MIN in a table without cutoffs */
};

/* The writer's view (R1). What was never set is INT64_MIN. */
struct pc_revocation_state {
    int64_t revoked_at_ms, cleared_at_ms, expires_at_ms, cutoff_ms;
    bool refused; /* revoked and not cleared since; says nothing about expiry */
};

struct pc_revocations_stats {
    uint64_t entries;        /* identities refused (expired ones count until reaped) */
    uint64_t cleared;        /* identities with a cleared_at that is still remembered */
    uint64_t slots, used;    /* slots of all segments; used: live, copies and dead */
    uint64_t segments;       /* of the main table */
    uint32_t directory_bits; /* of the main table */
    uint64_t used_bytes;     /* in segments and directories */
    uint64_t resident_bytes; /* at most this much memory is taken from the system */
    uint64_t retired_bytes;  /* waiting for the end of a grace period */
    uint64_t rebuilds, splits, doublings;
    uint64_t rebuilds_put_off; /* for want of memory; the segment was filled further instead */
    uint64_t reap_passes;      /* complete rounds of reap() over the table */
};

/* -ENOMEM if the address space is refused (RLIMIT_AS). The creator may be any thread; the first
 * thread to change the table becomes its writer. */
int pc_revocations_new(const struct pc_revocations_options *options, struct pc_revocations **ret_t);
/* No thread may still use it. Waits for grace periods: only tests and shutdown. */
void pc_revocations_free(struct pc_revocations *t);

/* ---- readers: any thread that is registered and online (edge/state/rcu.h) ---- */

/* Begins to fetch the line a find() of fp will look at: prefetch all fingerprints of a decision,
 * then find each. */
void pc_revocations_prefetch(const struct pc_revocations *t, uint64_t fp);
/* The same, and where that line is. It is the state of the table at this moment: only for a find
 * that belongs to the same decision, in the same turn. */
struct pc_revocation_place {
    uint64_t word;
    const uint8_t *home;
    const uint8_t *next; /* the group behind home; NULL: home is a block's last */
};
struct pc_revocation_place pc_revocations_seek(const struct pc_revocations *t, uint64_t fp);
bool pc_revocations_find_at(const struct pc_revocations *t, const struct pc_revocation_place *place,
                            uint64_t fp, int64_t now_ms, struct pc_revoked *ret_revoked);
/* Once that line has arrived: false, and fp is refused at no time; true, and the lines of its entry
 * are on their way for find(), which decides. Worth it where several are looked up together. */
bool pc_revocations_approach(const struct pc_revocations *t, uint64_t fp);
/* Whether fp is refused at now_ms (the caller subtracts the issuer's skew). *ret_revoked is
 * untouched if not; it may be NULL. */
bool pc_revocations_find(const struct pc_revocations *t, uint64_t fp, int64_t now_ms,
                         struct pc_revoked *ret_revoked);

/* ---- the writer: one registered, online thread ---- */

/* Both are visible to every reader when they return 1 (something changed) or 0 (nothing new), and
 * may be repeated when they return -ENOMEM or PC_E_FULL. Ask pc_revocations_has_room before making
 * a change durable, so that applying it cannot fail. cutoff_ms is ignored by a table
 * without cutoffs. */
int pc_revocations_revoke(struct pc_revocations *t, uint64_t fp, int64_t revoked_at_ms,
                          int64_t expires_at_ms, int64_t cutoff_ms);
/* Un-revokes what was revoked before cleared_at_ms and is remembered until the later of
 * expires_at_ms and every expiry seen. Also for fingerprints not revoked (yet). */
int pc_revocations_clear(struct pc_revocations *t, uint64_t fp, int64_t cleared_at_ms,
                         int64_t expires_at_ms);
/* Whether `changes` further changes are sure to find memory. */
bool pc_revocations_has_room(struct pc_revocations *t, uint32_t changes);
/* False if nothing is known of fp. */
bool pc_revocations_state(struct pc_revocations *t, uint64_t fp,
                          struct pc_revocation_state *ret_state);
/* Removes entries (and remembered clears) whose every expiry lies before expired_before_ms,
 * looking at about `budget` slots and going on there at the next call. Returns how many. What
 * never expires stays. The caller answers for expired_before_ms (clock steps). Call it
 * regularly, also when nothing may expire (INT64_MIN): it also takes back memory. */
uint32_t pc_revocations_reap(struct pc_revocations *t, int64_t expired_before_ms, uint32_t budget);
/* The writer becomes whichever thread changes the table next (after recovery, say). */
void pc_revocations_disown(struct pc_revocations *t);
void pc_revocations_read_stats(struct pc_revocations *t, struct pc_revocations_stats *ret_stats);

/* ---- snapshots ---- */

/* Where an export stands; zeroed to begin. */
struct pc_revocations_cursor {
    uint64_t next;
    uint8_t part; /* 0 entries, 1 remembered clears, 2 complete: in this order (R4) */
};

/* Writes the next block (all live entries of one segment) and returns its size, 0 when complete,
 * PC_E_TOO_LARGE if buf is smaller than PC_REVOCATIONS_BLOCK_MAX_BYTES. From any registered,
 * online thread while the writer goes on; pass a quiescent state between calls. */
int64_t pc_revocations_export(const struct pc_revocations *t, struct pc_revocations_cursor *cursor,
                              uint8_t *buf, size_t buf_bytes);
/* The writer merges a block. Blocks of an export, in order, into an empty table build segments of
 * the right size directly (10 M entries in a fraction of a second). PC_E_DAMAGED if it is not a
 * block, PC_E_UNSUPPORTED if it is of the other kind of table; nothing was merged then. */
int pc_revocations_import(struct pc_revocations *t, struct pc_bytes block);

#ifdef __cplusplus
}
#endif
#endif
