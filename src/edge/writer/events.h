/* SPDX-License-Identifier: Apache-2.0
 * What the writer tells to whoever watches: flags whose value changed, and revocations. Two
 * histories (state/event_log.h), so that a flood of revocations costs those who watch flags
 * nothing; and the wake-up of the cores that have watchers.
 *
 * Order: the writer publishes a change, appends its events, then pc_events_tell(). A client that
 * read an event and then asks sees at least the state the event speaks of.
 *
 * Wake-up: a core has one nudge, a message without content that is in its mailbox at most once.
 *
 *   writer                               core
 *   ------                               ----
 *   next := n (seq_cst)                  watchers += 1 (seq_cst)
 *   watchers = 0 ? done                  n := next (seq_cst): from here on
 *   told := 1; was it 1 ? done           ...
 *   post the nudge, notify               nudge: told := 0, then read up to next
 *
 *  I1 A core that counts itself a watcher before it loads next misses nothing: either it sees the
 *     new next, or the writer sees the watcher (both orders are seq_cst).
 *  I2 If the writer finds told = 1 the core has not cleared it yet, and will load next after it has
 *     (exchanges on one word are totally ordered, acquire-release): the nudge under way will do.
 *  I3 At most one nudge of a core is under way, so its mailbox needs one place for it, always.
 *  I4 Only the writer appends; the counts of a core are stored by that core alone. */
#ifndef PC_WRITER_EVENTS_H
#define PC_WRITER_EVENTS_H

#include "edge/state/event_log.h"
#include "edge/state/flags.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Memory of the two histories. */
#define PC_EVENTS_FLAG_BYTES       (256u << 10)
#define PC_EVENTS_REVOCATION_BYTES (1u << 20)
/* A publish that changes more flags than this is told as one event. */
#define PC_EVENTS_FLAGS_ONE_BY_ONE 64

enum pc_event_type {
    PC_EVENT_FLAG = 1,      /* JSON: {"key","value","source","type"}, value null: it went */
    PC_EVENT_FLAGS = 2,     /* JSON: {"changed":n,"total":n} */
    PC_EVENT_REVOCATION = 3 /* an encoded Change */
};

/* Which history; the bit of each is 1 << stream. */
enum pc_event_stream { PC_STREAM_FLAGS, PC_STREAM_REVOCATIONS, PC_STREAMS };

struct pc_events;

struct pc_events_options {
    unsigned cores;
    uint64_t epoch; /* random, of this start: ids of another start are not ours */
    size_t flag_bytes, revocation_bytes;
    /* On the writer: posts the nudge to the core's mailbox and wakes the core. */
    void (*post)(void *ctx, unsigned core, void *nudge);
    void *ctx;
};

/* -EINVAL, -ENOMEM. */
int pc_events_new(const struct pc_events_options *options, struct pc_events **ret_events);
void pc_events_free(struct pc_events *e);

/* ---- the writer ---- */

/* The flags in use were `old` and are `fresh` since the last publish; both still exist. */
void pc_events_add_flags(struct pc_events *e, const struct pc_flags *old,
                         const struct pc_flags *fresh);
/* A Change of a revocation was applied; `encoded` is its encoding (link/change.h). */
void pc_events_add_revocation(struct pc_events *e, struct pc_bytes encoded);
/* Shows what was added since the last call, if anything, and nudges the cores that watch it. */
void pc_events_tell(struct pc_events *e);

/* ---- a core ---- */

/* One more (+1) or one less (-1) watcher of the streams (bits) on this core. */
void pc_events_watch(struct pc_events *e, unsigned core, unsigned streams, int by);
/* The nudge of this core arrived; call before reading. */
void pc_events_nudged(struct pc_events *e, unsigned core);

/* ---- any thread ---- */

/* What pc_events_options.post is given for this core. */
void *pc_events_nudge(struct pc_events *e, unsigned core);
const struct pc_event_log *pc_events_log(const struct pc_events *e, enum pc_event_stream stream);
uint64_t pc_events_epoch(const struct pc_events *e);
size_t pc_events_bytes(const struct pc_events *e);

#ifdef __cplusplus
}
#endif
#endif
