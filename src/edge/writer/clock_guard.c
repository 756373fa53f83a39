/* SPDX-License-Identifier: Apache-2.0
 * The removal rule of clock_guard.h: a ring of (wall, monotonic) samples of one unbroken stretch of
 * time. The newest sample that is at least 60 s old tells what was expired then. */
#include "edge/writer/clock_guard.h"

static void restart(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ms)
{
    g->offset_ms = wall_ms - mono_ms;
    g->first = 0;
    g->count = 1;
    g->samples[0].wall_ms = wall_ms;
    g->samples[0].mono_ms = mono_ms;
}

void pc_clock_guard_start(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ns,
                          int64_t journal_ms)
{
    int64_t gap = journal_ms > 0 ? wall_ms - journal_ms : 0;
    *g = (struct pc_clock_guard){.state = PC_CLOCK_TRUSTED};
    if (gap > PC_CLOCK_START_GAP_MS || gap < -PC_CLOCK_START_GAP_MS) {
        g->state = PC_CLOCK_START_GAP;
        g->step_ms = gap;
    }
    restart(g, wall_ms, mono_ns / 1000000);
}

static void keep_sample(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ms)
{
    PC_ASSERT(g->count > 0 && g->count <= PC_CLOCK_SAMPLES);
    unsigned last = (g->first + g->count - 1) % PC_CLOCK_SAMPLES;
    if (mono_ms - g->samples[last].mono_ms < PC_CLOCK_TICK_MS)
        return;
    if (g->count == PC_CLOCK_SAMPLES) {
        g->first = (g->first + 1) % PC_CLOCK_SAMPLES;
        g->count--;
    }
    unsigned at = (g->first + g->count) % PC_CLOCK_SAMPLES;
    g->samples[at].wall_ms = wall_ms;
    g->samples[at].mono_ms = mono_ms;
    g->count++;
}

bool pc_clock_guard_tick(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ns)
{
    int64_t mono_ms = mono_ns / 1000000;
    int64_t moved = wall_ms - mono_ms - g->offset_ms;
    if (moved > PC_CLOCK_STEP_MS || moved < -PC_CLOCK_STEP_MS) {
        g->state = PC_CLOCK_STEPPED;
        g->step_ms = moved;
        restart(g, wall_ms, mono_ms);
        return true;
    }
    /* A slew is followed, so that its sum over days never looks like a step. */
    g->offset_ms = wall_ms - mono_ms;
    keep_sample(g, wall_ms, mono_ms);
    return false;
}

void pc_clock_guard_confirm(struct pc_clock_guard *g, int64_t wall_ms, int64_t mono_ns)
{
    g->state = PC_CLOCK_TRUSTED;
    g->step_ms = 0;
    restart(g, wall_ms, mono_ns / 1000000);
}

int64_t pc_clock_guard_expired_before(const struct pc_clock_guard *g)
{
    PC_ASSERT(g->count > 0);
    if (g->state != PC_CLOCK_TRUSTED)
        return INT64_MIN;
    unsigned last = (g->first + g->count - 1) % PC_CLOCK_SAMPLES;
    int64_t newest = g->samples[last].mono_ms;
    int64_t found = INT64_MIN;
    for (unsigned i = 0; i < g->count; i++) {
        unsigned at = (g->first + i) % PC_CLOCK_SAMPLES;
        if (newest - g->samples[at].mono_ms < PC_CLOCK_HOLD_MS)
            break;
        found = g->samples[at].wall_ms;
    }
    return found;
}
