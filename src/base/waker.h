/* SPDX-License-Identifier: Apache-2.0
 * The sleep and wake-up handshake between one consumer thread and any number of producers that
 * feed it through queues (base/spsc.h). An eventfd carries the wake-up; an atomic flag says
 * whether one is needed, so that a busy consumer costs its producers no system call.
 *
 *   producer                          consumer
 *   --------                          --------
 *   push to a queue                   pc_waker_prepare()    sleeping := 1; fence
 *   pc_waker_notify()                 all queues empty?     no: pc_waker_finish(), go on working
 *     fence                           block until fd is readable (or a time-out)
 *     sleeping = 1 ? := 0, write fd   pc_waker_finish()     sleeping := 0
 *                                     drain all queues, work, start over
 *
 * Invariants:
 *  I1 No lost wake-up. Both fences are seq_cst, so one comes first in their total order. If the
 *     producer's is first, the consumer's look at the queues sees the push and it does not block.
 *     If the consumer's is first, the producer's load sees sleeping = 1, or a later 0. A later 0
 *     was stored either by another producer, which then writes the eventfd itself, so the consumer
 *     comes back; or by pc_waker_finish(). Either way the consumer looks at its queues again
 *     behind a later prepare's fence, and that fence is after the producer's (were it before, the
 *     load would have had to see its 1), so that look sees the push.
 *  I2 At most one producer writes the eventfd per sleep (the exchange in notify).
 *  I3 A write that arrives late, after the consumer woke by itself, only makes its next sleep
 *     short: a wake-up may be spurious, so consumers look at their queues, not at the counter.
 *
 * A producer that pushed many items notifies once after the last. */
#ifndef PC_BASE_WAKER_H
#define PC_BASE_WAKER_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pc_waker;

/* -errno of eventfd(2), or -ENOMEM. */
int pc_waker_new(struct pc_waker **ret_w);
void pc_waker_free(struct pc_waker *w);

/* Any thread, after its pushes. Returns whether it wrote the eventfd. */
bool pc_waker_notify(struct pc_waker *w);

/* Consumer: declares itself asleep. Look at all queues after this, then block or call finish. */
void pc_waker_prepare(struct pc_waker *w);
/* Consumer: awake again, whatever the reason. Leaves the eventfd's counter alone. */
void pc_waker_finish(struct pc_waker *w);

/* Consumer that blocks on its own (io_uring, poll): the descriptor to wait for (non-blocking). */
int pc_waker_fd(const struct pc_waker *w);
/* Consumer: empties the eventfd's counter without blocking. */
void pc_waker_drain(struct pc_waker *w);
/* Consumer without another way to block, between prepare and finish: sleeps until woken or until
 * timeout_ns from now (negative: for ever) and drains. Returns false on a time-out. */
bool pc_waker_wait(struct pc_waker *w, int64_t timeout_ns);

/* Any thread: what the consumer last declared; for tests and metrics. */
bool pc_waker_sleeping(const struct pc_waker *w);

#ifdef __cplusplus
}
#endif
#endif
