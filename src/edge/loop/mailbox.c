/* SPDX-License-Identifier: Apache-2.0
 * Messages from other threads to a core: one SPSC queue per producer, one waker per core. */
#include "edge/loop/internal.h"

#include <unistd.h>

bool mailbox_post(struct core *k, unsigned producer, void *msg)
{
    PC_ASSERT(producer < k->producers);
    return pc_spsc_push(k->mailbox[producer], msg);
}

bool pc_core_post(struct pc_core *core, unsigned producer, void *msg)
{
    PC_ASSERT(msg && ((uintptr_t)msg & 1) == 0); /* odd ones are the loop's own */
    return mailbox_post(core_in(core), producer, msg);
}

void pc_core_notify(struct pc_core *core)
{
    pc_waker_notify(core_in(core)->waker);
}

bool pc_core_post_room(struct pc_core *core, unsigned producer, size_t n)
{
    struct core *k = core_in(core);
    PC_ASSERT(producer < k->producers);
    return pc_spsc_room(k->mailbox[producer]) >= n;
}

bool mailbox_empty(struct core *k)
{
    for (unsigned i = 0; i < k->producers; i++)
        if (!pc_spsc_empty(k->mailbox[i]))
            return false;
    return true;
}

static void handle(struct core *k, unsigned producer, void *msg)
{
    if ((uintptr_t)msg & 1) {
        accept_handed_over(k, msg);
        return;
    }
    CORE_COUNT(k, messages, 1);
    if (k->config->hooks.message)
        k->config->hooks.message(&k->pub, producer, msg);
    else if (k->config->hooks.discard)
        k->config->hooks.discard(msg);
}

/* At most one queue's worth per producer and turn, so that a producer that never pauses cannot hold
 * the core. */
void mailbox_drain(struct core *k)
{
    void *msgs[MAILBOX_BATCH];
    for (unsigned i = 0; i < k->producers; i++) {
        size_t left = pc_spsc_capacity(k->mailbox[i]);
        size_t n;
        do {
            n = pc_spsc_pop_many(k->mailbox[i], msgs, pc_min_u64(left, MAILBOX_BATCH));
            for (size_t j = 0; j < n; j++)
                handle(k, i, msgs[j]);
            left -= n;
        } while (n == MAILBOX_BATCH && left);
    }
}

/* After the core's thread has ended. */
void mailbox_discard(struct core *k)
{
    for (unsigned i = 0; i < k->producers; i++) {
        void *msg;
        while ((msg = pc_spsc_pop(k->mailbox[i])) != NULL)
            if ((uintptr_t)msg & 1)
                close((int)((uintptr_t)msg >> 24));
            else if (k->config->hooks.discard)
                k->config->hooks.discard(msg);
    }
}
