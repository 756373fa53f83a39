/* SPDX-License-Identifier: Apache-2.0
 * Decides which expired revocations may be removed from memory.
 *
 * An entry may go only after it was seen expired for 60 s of monotonic time during which the wall
 * clock did not step; otherwise a clock set forward for a moment would forget revocations of
 * tokens that are alive again once it is set back. After a step, or a start whose wall clock
 * disagrees with the journal's last time by more than an hour, nothing is removed until somebody
 * confirms the clock.
 *
 * Pure: both clocks are arguments. Owned by the writer thread. */
#ifndef PC_WRITER_CLOCK_GUARD_H
#define PC_WRITER_CLOCK_GUARD_H

#include "base/def.h"

#define PC_CLOCK_STEP_MS      500     /* a larger jump between two ticks is a step */
#define PC_CLOCK_START_GAP_MS 3600000 /* a larger gap to the journal needs a confirmation */
#define PC_CLOCK_HOLD_MS      60000   /* monotonic time an entry must have been expired */
#define PC_CLOCK_TICK_MS      1000    /* the ticks that are kept are at least so far apart */
#define PC_CLOCK_SAMPLES      (PC_CLOCK_HOLD_MS / PC_CLOCK_TICK_MS + 1)

enum pc_clock_state {
    PC_CLOCK_TRUSTED,
    PC_CLOCK_STEPPED,  /* the wall clock jumped while we ran */
    PC_CLOCK_START_GAP /* it disagreed with the journal when we started */
};

struct pc_clock_guard {
    enum pc_clock_state state;
    int64_t offset_ms; /* wall - monotonic at the last tick */
    int64_t step_ms;   /* size of the last step or gap, for health */
    struct {
        int64_t wall_ms, mono_ms;
    } samples[PC_CLOCK_SAMPLES]; /* a ring, oldest at `first` */
    unsigned first, count;
};

/* journal_ms: physical time of the last journal record; 0 when there is none. */
void pc_clock_guard_start(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ns,
                          int64_t journal_ms);
/* Called about once a second. Returns true when this tick found a step. */
bool pc_clock_guard_tick(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ns);
/* An operator says the wall clock is right: removal starts again after a fresh 60 s. */
void pc_clock_guard_confirm(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ns);
/* Entries that expired at or before this may be removed; INT64_MIN = none. */
int64_t pc_clock_guard_expired_before(const struct pc_clock_guard *g);

#endif
