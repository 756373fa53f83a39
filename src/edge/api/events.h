/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/events on one core: its open streams, and what the turn owes them.
 *
 *  I1 A stream counts as watcher of what it carries from before its first look at the histories to
 *     its end (writer/events.h I1), so it misses nothing.
 *  I2 A stream that is behind has output under way, whose completion brings the next turn: nobody
 *     polls.
 *
 * Runs on the core that owns the streams. */
#ifndef PC_API_EVENTS_H
#define PC_API_EVENTS_H

#include "edge/writer/events.h"

/* Bytes of events given to one stream in a turn, about. */
#define PC_EVENTS_TURN_BYTES (64u << 10)
/* A stream opened with a token of admin.issuer ends after so long: the client comes back by itself,
 * with a credential that is looked at again. Administrators' own tokens are looked up again at each
 * heartbeat. */
#define PC_EVENTS_JWT_MS (INT64_C(5) * 60000)
/* What clients are told to wait before they reconnect. */
#define PC_EVENTS_RETRY_MS 2000

struct pc_call;
struct pc_worker;
struct pc_event_stream_state;

/* A core's streams; zeroed at first. */
struct pc_event_streams {
    struct pc_event_stream_state *first;
    unsigned count;
    unsigned behind; /* of them have more to get than their output took */
    bool nudged;     /* there is news */
};

/* The core's nudge arrived. */
void pc_event_streams_nudged(struct pc_worker *w);
/* At the end of each turn: writes what is due. */
void pc_event_streams_turn_end(struct pc_worker *w);

#endif
