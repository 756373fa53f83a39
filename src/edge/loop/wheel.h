/* SPDX-License-Identifier: Apache-2.0
 * Deadlines of one core's connections: a wheel of PC_TIMER_TICK_NS ticks with lazy re-queueing.
 * Moving a deadline later (what happens with every request) is a store by the caller and does not
 * touch the wheel; when the old place comes up, wheel_next() hands the entry out and the owner puts
 * it back where it belongs now. Time is an argument. Internal to the loop.
 *
 *   ticks:  ... | now | now+1 | ... | now+510 |        slot = tick mod 512
 *   A deadline beyond the horizon waits in the last slot and is put back from there.
 *
 *  I1 An entry is in the slot of a tick not later than its owner's earliest deadline.
 *  I2 A slot comes up when its whole tick has passed, so a deadline is never reported early and at
 *     most one tick late. */
#ifndef PC_LOOP_WHEEL_H
#define PC_LOOP_WHEEL_H

#include "base/def.h"

#define WHEEL_TICK_LOG2 25
#define WHEEL_SLOTS     512
#define WHEEL_NEVER     INT64_MAX

struct wheel_entry {
    struct wheel_entry *next, *prev; /* NULL: not in the wheel */
    int64_t tick;                    /* where it is; WHEEL_NEVER: nowhere */
};

struct wheel {
    struct wheel_entry slots[WHEEL_SLOTS]; /* list heads */
    uint64_t occupied[WHEEL_SLOTS / 64];
    int64_t done; /* all ticks up to this one have come up */
};

void wheel_init(struct wheel *w, int64_t now_ns);
void wheel_entry_init(struct wheel_entry *e);
void wheel_remove(struct wheel *w, struct wheel_entry *e);
/* Puts e where deadline_ns comes up, from wherever it was. */
void wheel_put(struct wheel *w, struct wheel_entry *e, int64_t deadline_ns, int64_t now_ns);
/* Takes out the next entry whose slot has come up, or NULL when there is none (the wheel has then
 * caught up with now_ns). */
struct wheel_entry *wheel_next(struct wheel *w, int64_t now_ns);
/* When the next slot comes up, or WHEEL_NEVER. */
int64_t wheel_due_ns(const struct wheel *w);

/* Makes sure e comes up in time for deadline_ns: usually one compare (I1). */
static inline void wheel_cover(struct wheel *w, struct wheel_entry *e, int64_t deadline_ns,
                               int64_t now_ns)
{
    if (PC_UNLIKELY(deadline_ns >> WHEEL_TICK_LOG2 < e->tick))
        wheel_put(w, e, deadline_ns, now_ns);
}

#endif
