/* SPDX-License-Identifier: Apache-2.0
 * The timer wheel; see wheel.h. */
#include "edge/loop/wheel.h"

#include <string.h>

#include "edge/loop/core.h"

_Static_assert(INT64_C(1) << WHEEL_TICK_LOG2 == PC_TIMER_TICK_NS, "one tick");

void wheel_init(struct wheel *w, int64_t now_ns)
{
    memset(w->occupied, 0, sizeof w->occupied);
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        w->slots[i].next = w->slots[i].prev = &w->slots[i];
    w->done = (now_ns >> WHEEL_TICK_LOG2) - 1;
}

void wheel_entry_init(struct wheel_entry *e)
{
    *e = (struct wheel_entry){.tick = WHEEL_NEVER};
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
    if (!e->next)
        return;
    unsigned slot = (unsigned)e->tick % WHEEL_SLOTS;
    PC_ASSERT(e->tick > w->done && e->tick < w->done + WHEEL_SLOTS);
    e->next->prev = e->prev;
    e->prev->next = e->next;
    if (w->slots[slot].next == &w->slots[slot])
        w->occupied[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    wheel_entry_init(e);
}

void wheel_put(struct wheel *w, struct wheel_entry *e, int64_t deadline_ns, int64_t now_ns)
{
    wheel_remove(w, e);
    int64_t now = now_ns >> WHEEL_TICK_LOG2;
    int64_t tick = pc_max_i64(deadline_ns >> WHEEL_TICK_LOG2, now);
    tick = pc_max_i64(pc_min_i64(tick, w->done + WHEEL_SLOTS - 1), w->done + 1);
    unsigned slot = (unsigned)tick % WHEEL_SLOTS;
    struct wheel_entry *head = &w->slots[slot];
    e->tick = tick;
    e->prev = head->prev;
    e->next = head;
    head->prev->next = e;
    head->prev = e;
    w->occupied[slot / 64] |= UINT64_C(1) << slot % 64;
}

/* The first occupied tick after `done`, or WHEEL_NEVER. */
static int64_t first_tick(const struct wheel *w)
{
    unsigned start = (unsigned)(w->done + 1) % WHEEL_SLOTS;
    for (unsigned i = 0; i <= WHEEL_SLOTS / 64; i++) {
        unsigned word = (start / 64 + i) % (WHEEL_SLOTS / 64);
        uint64_t bits = w->occupied[word];
        if (i == 0)
            bits &= ~UINT64_C(0) << start % 64;
        else if (i == WHEEL_SLOTS / 64) /* the rest of the word we began in */
            bits &= (UINT64_C(1) << start % 64) - 1;
        if (bits) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzl(bits);
            return w->done + 1 + (slot - start) % WHEEL_SLOTS;
        }
    }
    return WHEEL_NEVER;
}

struct wheel_entry *wheel_next(struct wheel *w, int64_t now_ns)
{
    int64_t past = (now_ns >> WHEEL_TICK_LOG2) - 1; /* I2: the current tick has not passed */
    if (past <= w->done)
        return NULL;
    int64_t tick = first_tick(w);
    if (tick > past) {
        w->done = past;
        return NULL;
    }
    w->done = tick - 1;
    struct wheel_entry *e = w->slots[(unsigned)tick % WHEEL_SLOTS].next;
    PC_ASSERT(e->tick == tick);
    wheel_remove(w, e);
    return e;
}

int64_t wheel_due_ns(const struct wheel *w)
{
    int64_t tick = first_tick(w);
    return tick == WHEEL_NEVER ? WHEEL_NEVER : (tick + 1) << WHEEL_TICK_LOG2;
}
