/* SPDX-License-Identifier: Apache-2.0
 * What a client of /v1/events asks for: kinds of events, and where it left off. Pure; any thread.
 *
 * An event's id is "<epoch>-<flags>-<revocations>": the server's start in 16 hexadecimal digits,
 * and of each history the number of the next event, 0 where the stream did not carry it. */
#ifndef PC_API_EVENT_WISH_H
#define PC_API_EVENT_WISH_H

#include "edge/writer/events.h"

#define PC_EVENT_ID_MAX 64 /* longest id, and longest that is looked at */

struct pc_event_id {
    uint64_t epoch;
    uint64_t at[PC_STREAMS];
};

struct pc_event_wish {
    unsigned streams; /* bits; 0: whatever the asker may see */
    bool resume;      /* an id was given … */
    bool sane;        /* … and has the form of ours */
    struct pc_event_id id;
};

/* `header` is Last-Event-ID (empty: none); the query may hold types=flag,revocation and
 * last_event_id=…, each at most once, percent-encoded; the header wins, because that is where a
 * client that reconnects by itself puts what it saw last. -EINVAL names what is wrong. An id that
 * is none is no error: who has a wrong one must be told to begin again. */
int pc_event_wish_read(struct pc_bytes query, struct pc_bytes header, struct pc_event_wish *ret,
                       struct pc_why *why);

void pc_event_id_write(struct pc_buf *b, const struct pc_event_id *id);

#endif
