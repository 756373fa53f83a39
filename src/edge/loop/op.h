/* SPDX-License-Identifier: Apache-2.0
 * What a submission's user_data says, and the operations there are. Internal to the loop.
 *
 *   63            32 31         8 7      0
 *  +----------------+------------+--------+
 *  |   generation   |    slot    |   op   |
 *  +----------------+------------+--------+
 *
 * For operations of a connection, slot and generation name it; for those of a listener, slot is its
 * index; for the core's own, both are 0. A slot's generation grows whenever its connection goes,
 * so a completion that comes too late is recognised. */
#ifndef PC_LOOP_OP_H
#define PC_LOOP_OP_H

#include "base/def.h"

#define PC_SLOTS_MAX (1u << 24)

/* X(name) */
#define PC_LOOP_OPS(X)                                                                             \
    X(NONE)                                                                                        \
    X(WAKE)                                                                                        \
    X(ACCEPT)                                                                                      \
    X(ACCEPT_CANCEL)                                                                               \
    X(RECV)                                                                                        \
    X(RECV_CANCEL)                                                                                 \
    X(SEND)                                                                                        \
    X(CLOSE)

enum pc_loop_op {
#define PC_LOOP_OP_ENUM(name) PC_OP_LOOP_##name,
    PC_LOOP_OPS(PC_LOOP_OP_ENUM)
#undef PC_LOOP_OP_ENUM
        PC_LOOP_OP_COUNT
};

struct op_token {
    enum pc_loop_op op;
    uint32_t slot;
    uint32_t generation;
};

static inline uint64_t op_encode(enum pc_loop_op op, uint32_t slot, uint32_t generation)
{
    PC_ASSERT(slot < PC_SLOTS_MAX);
    return (uint64_t)generation << 32 | (uint64_t)slot << 8 | (uint64_t)op;
}

static inline struct op_token op_decode(uint64_t user_data)
{
    PC_ASSERT((user_data & 0xff) < PC_LOOP_OP_COUNT);
    return (struct op_token){
        .op = (enum pc_loop_op)(user_data & 0xff),
        .slot = (uint32_t)(user_data >> 8) & (PC_SLOTS_MAX - 1),
        .generation = (uint32_t)(user_data >> 32),
    };
}

#endif
