/* SPDX-License-Identifier: Apache-2.0
 * A bounded history of events in fixed memory: one thread appends, any thread reads without locks,
 * and nobody waits for anybody. What is old is overwritten; a reader that was too slow is told.
 *
 *   words[2^k], positions grow for ever and are masked on use
 *
 *     | ~ overwritten ~ | event 41 | event 42 | event 43 |   free   |
 *                       ^ floor = 41                     ^ next = 44
 *
 *   event: word 0 its number | word 1 bytes << 8 | type | then the bytes, the last word padded
 *   places[number & mask]: the position of its first word
 *
 * Invariants:
 *  I1 Only the appender stores. Numbers begin at 1 and have no holes; floor and next only grow.
 *  I2 All words of an event are stored before next is stored above its number.
 *  I3 floor is stored above an event's number before its place or one of its words is stored anew.
 *  I4 A reader believes a copy only if floor, loaded after the copy, is not above the number.
 *
 * Memory order. next is stored release and loaded acquire, so I2 holds for readers. Words and
 * places are stored release and loaded acquire too: a reader whose copy holds a word of a later
 * event has synchronised with that store, before which floor was raised (I3), so its load of floor,
 * which an acquire load cannot let pass ahead of it, sees the raised floor and the copy is
 * discarded (I4). No fences: ThreadSanitizer checks exactly this. next is stored and loaded seq_cst
 * for the sake of writer/events.h, whose wake-up needs it.
 *
 * No I/O, no clock; bytes are not interpreted. The atomics live in the .c file. */
#ifndef PC_STATE_EVENT_LOG_H
#define PC_STATE_EVENT_LOG_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of one event. */
#define PC_EVENT_BYTES_MAX (16u << 10)
/* Smallest and largest memory of a log; two of the largest events always fit. */
#define PC_EVENT_LOG_BYTES_MIN (64u << 10)
#define PC_EVENT_LOG_BYTES_MAX (1u << 30)

struct pc_event_log;

/* Room for `bytes` of events, rounded up to a power of two, and for one event per 64 of them.
 * -EINVAL outside the limits, -ENOMEM. */
int pc_event_log_new(size_t bytes, struct pc_event_log **ret_log);
/* Nobody may use it any more. NULL is allowed. */
void pc_event_log_free(struct pc_event_log *log);

/* ---- the appender ---- */

/* Adds an event, dropping the oldest as needed; readers see it after pc_event_log_publish().
 * `type` is the caller's, 0 ... 255; at most PC_EVENT_BYTES_MAX bytes (asserted). */
void pc_event_log_append(struct pc_event_log *log, unsigned type, struct pc_bytes event);
/* Shows all that was appended, with one store. Whether there was anything. */
bool pc_event_log_publish(struct pc_event_log *log);

/* ---- any thread ---- */

/* The number the next event will get: those below it can be read, unless they are too old. */
uint64_t pc_event_log_next(const struct pc_event_log *log);
/* The oldest number that can still be read; equal to next when there is none. */
uint64_t pc_event_log_floor(const struct pc_event_log *log);
/* Copies an event into b (behind what is there; it needs room for PC_EVENT_BYTES_MAX and is
 * unchanged on failure). -EAGAIN: no such event yet; -ESTALE: it was overwritten. */
int pc_event_log_read(const struct pc_event_log *log, uint64_t number, struct pc_buf *b,
                      unsigned *ret_type);
/* Bytes of memory. */
size_t pc_event_log_bytes(const struct pc_event_log *log);

#ifdef __cplusplus
}
#endif
#endif
