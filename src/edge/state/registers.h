/* SPDX-License-Identifier: Apache-2.0
 * Last-writer-wins registers: settings that administrators change at run time (flags, IP rules).
 *
 * An immutable array sorted by key; a change makes a new one. Of two writes to a key the one with
 * the larger (hlc, node) wins, whatever the order they arrive in, so replay, duplication and
 * reordering are harmless. A removal is a register too (deleted), kept until nothing older can
 * arrive any more. What is ephemeral stands beside what is durable under the same key, so that a
 * restart brings the durable one back.
 *
 * Made by the writer, read by any thread. No clock, no I/O. */
#ifndef PC_STATE_REGISTERS_H
#define PC_STATE_REGISTERS_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pc_register {
    struct pc_bytes key, value, actor, reason;
    uint64_t hlc, node;
    int64_t at_ms;         /* when it was set */
    int64_t expires_at_ms; /* INT64_MAX: never; readers compare with their clock */
    bool deleted;
    bool ephemeral;
};

/* Owns all bytes its registers point to. */
struct pc_registers {
    size_t count;
    struct pc_register at[]; /* by key; of one key the durable before the ephemeral */
};

/* `old` (NULL: empty) with the changes merged in, as a new array; the changes may name a key more
 * than once and are not kept. Left out are: deleted and expired ones from before forget_before_ms,
 * and ephemeral ones that a newer durable one hides. PC_E_FULL when more than `max` would remain,
 * -ENOMEM. */
int pc_registers_merge(const struct pc_registers *old, const struct pc_register *changes, size_t n,
                       int64_t forget_before_ms, size_t max, struct pc_registers **ret_r);
void pc_registers_free(struct pc_registers *r);

/* The register in effect under a key (it may be deleted or expired), or NULL. */
const struct pc_register *pc_registers_find(const struct pc_registers *r, struct pc_bytes key);

/* Walks the registers in effect that are not deleted, one of each key, in order of the keys: start
 * with *at = 0; NULL at the end. r may be NULL. */
const struct pc_register *pc_registers_next(const struct pc_registers *r, size_t *at);

#ifdef __cplusplus
}
#endif
#endif
