/* SPDX-License-Identifier: Apache-2.0
 * Who is refused most, or close to it: a sketch of fixed size (Metwally's Space-Saving).
 *
 * One per core, written by that core alone on refusals and on takes that leave at most a fifth of
 * a limit; read by any thread at any time without a lock. A key seen more than total / PC_TOP_KEYS
 * times since the last halving is certainly in it; its count is too high by at most `error`.
 * Counts are halved every PC_TOP_HALF_LIFE_NS, so that the list is about now. Pure; no clock.
 *
 *   I1  only the owner writes.
 *   I2  an entry's words are written between two increments of its version (odd: being written),
 *       and a copy is used only if the version was even and the same before and after. */
#ifndef PC_EDGE_STATE_TOP_KEYS_H
#define PC_EDGE_STATE_TOP_KEYS_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_TOP_KEYS         128
#define PC_TOP_TEXT_MAX     96 /* bytes of a key that are kept; more are cut off */
#define PC_TOP_POLICY_MAX   40
#define PC_TOP_HALF_LIFE_NS (INT64_C(600) * 1000000000)
#define PC_TOP_NEAR_PERCENT 80

enum pc_top_event { PC_TOP_NEAR, PC_TOP_REFUSED };

struct pc_top_entry {
    uint64_t id; /* of policy and key; 0: empty */
    uint64_t count, error;
    uint64_t refused, near; /* of count, about: since the entry is this key's */
    int64_t last_ms;        /* wall time */
    char policy[PC_TOP_POLICY_MAX + 1];
    char key[PC_TOP_TEXT_MAX + 1];
} __attribute__((aligned(8)));

struct pc_top_keys;

int pc_top_keys_new(struct pc_top_keys **ret_top);
void pc_top_keys_free(struct pc_top_keys *t);

/* Owner. `id` identifies policy and key together, not 0; the texts are copied only when the key is
 * new to the sketch. */
void pc_top_keys_add(struct pc_top_keys *t, enum pc_top_event event, uint64_t id,
                     struct pc_bytes policy, struct pc_bytes key, int64_t now_ns, int64_t now_ms);

/* Any thread: copies all entries in use to entries[PC_TOP_KEYS]; their number. An entry that is
 * being written for too long is left out. */
unsigned pc_top_keys_read(const struct pc_top_keys *t, struct pc_top_entry *entries);

/* Merges n entries of several sketches in place (same id: sums), those refused most first, then
 * those near a limit most; the number of different ones. Ordered by what was certainly seen, not by
 * count: in a flood of fresh keys every count is mostly error. */
unsigned pc_top_entries_merge(struct pc_top_entry *entries, unsigned n);

#ifdef __cplusplus
}
#endif
#endif
