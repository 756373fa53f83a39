/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/events: flags as they change and, to operators and administrators, revocations, as
 * server-sent events. Invariants I1, I2: events.h. Nothing of a stream is an RCU pointer: it keeps
 * numbers of events, and its memory is its state and the connection's bounded output.
 *
 *   : portcullis                      a comment: what this is, and each heartbeat
 *   retry: 2000
 *   id: 5f…-4-0                       where a client stands that saw nothing yet
 *
 *   id: 5f…-5-0
 *   event: flag
 *   data: {"key":"ui.new","value":true,"type":"boolean","source":"admin:token:ops"} */
#include "edge/api/events.h"

#include <stdlib.h>

#include "base/log.h"
#include "edge/api/endpoint.h"
#include "edge/api/event_wish.h"
#include "edge/api/principal.h"

/* A frame at its largest: a Change whose every byte is escaped as six, or a flag's JSON. */
#define FRAME_BYTES_MAX (6u * PC_CHANGE_PLAIN_MAX + 1024)
_Static_assert(PC_EVENT_BYTES_MAX + 1024 > PC_FLAG_VALUE_MAX + 2048, "flags fit as they are");
_Static_assert(PC_EVENTS_TURN_BYTES + FRAME_BYTES_MAX + PC_EVENT_BYTES_MAX <
                   PC_WORKER_SCRATCH_BYTES,
               "a turn's events are written into the scratch memory");

#define ALL_STREAMS ((1u << PC_STREAMS) - 1)

struct pc_event_stream_state {
    struct pc_call *call;
    struct pc_event_stream_state *next, **at_previous;
    struct pc_event_id id; /* the next event of each history; 0: not carried */
    unsigned streams;      /* bits: carried */
    unsigned role;
    unsigned ended_as; /* metric */
    int64_t until_ns;  /* INT64_MAX: as long as its credential stands */
    bool behind;
    bool was_behind; /* at the last heartbeat, and ever since */
};

/* ---- frames ---- */

static void begin_frame(struct pc_buf *b, const struct pc_event_stream_state *s, const char *event)
{
    pc_buf_lit(b, "id: ");
    pc_event_id_write(b, &s->id);
    pc_buf_lit(b, "\nevent: ");
    pc_buf_str(b, event);
    pc_buf_lit(b, "\ndata: ");
}

static void put_time(struct pc_buf *b, const char *name, int64_t ms)
{
    if (ms > 0 && ms < INT64_MAX)
        pc_buf_fmt(b, ",\"%s\":%lld.%03d", name, (long long)(ms / 1000), (int)(ms % 1000));
}

static void put_text(struct pc_buf *b, const char *name, struct pc_bytes text)
{
    if (text.n == 0)
        return;
    pc_buf_fmt(b, ",\"%s\":", name);
    pc_buf_json_str(b, text);
}

/* Never a token: a Change of kind token holds its jti. */
static void put_revocation(struct pc_buf *b, struct pc_bytes encoded)
{
    struct pc_change c;
    int rc = pc_change_decode(encoded, &c);
    PC_ASSERT(rc == 0); /* the writer encoded it */
    pc_buf_fmt(b, "{\"op\":\"%s\",\"kind\":\"%s\",\"issuer\":", pc_op_name(c.op),
               pc_kind_name(c.kind));
    pc_buf_json_str(b, c.issuer);
    pc_buf_lit(b, ",\"id\":");
    pc_buf_json_str(b, c.id);
    put_time(b, "at", c.at_ms);
    put_time(b, "expires_at", c.expires_at_ms);
    put_time(b, "cutoff", c.cutoff_ms);
    put_text(b, "actor", c.actor);
    put_text(b, "source", c.source);
    put_text(b, "request_id", c.request_id);
    put_text(b, "reason", c.reason);
    pc_buf_char(b, '}');
}

static void put_event(struct pc_buf *b, const struct pc_event_stream_state *s, unsigned type,
                      struct pc_bytes event)
{
    static const struct {
        const char *name;
        unsigned metric;
    } types[] = {
        [PC_EVENT_FLAG] = {"flag",       PC_M_EVENTS_SENT_FLAG      },
        [PC_EVENT_FLAGS] = {"flags",      PC_M_EVENTS_SENT_FLAGS     },
        [PC_EVENT_REVOCATION] = {"revocation", PC_M_EVENTS_SENT_REVOCATION},
    };
    PC_ASSERT(type < PC_COUNT(types) && types[type].name);
    begin_frame(b, s, types[type].name);
    if (type == PC_EVENT_REVOCATION)
        put_revocation(b, event);
    else
        pc_buf_bytes(b, event);
    pc_buf_lit(b, "\n\n");
    pc_metric_inc(s->call->worker->metrics, types[type].metric);
}

/* Events were missed: the client has to ask for the state itself. */
static void put_reset(struct pc_buf *b, const struct pc_event_stream_state *s, const char *reason,
                      unsigned streams)
{
    begin_frame(b, s, "reset");
    pc_buf_fmt(b, "{\"reason\":\"%s\",\"types\":[%s%s%s]}\n\n", reason,
               streams & 1u << PC_STREAM_FLAGS ? "\"flag\"" : "", streams == ALL_STREAMS ? "," : "",
               streams & 1u << PC_STREAM_REVOCATIONS ? "\"revocation\"" : "");
    pc_metric_inc(s->call->worker->metrics, PC_M_EVENTS_SENT_RESET);
}

/* ---- writing what is due ---- */

/* Adds what `from` still has for s, until b holds enough for a turn; whether there may be more. */
static bool add_events(struct pc_event_stream_state *s, struct pc_buf *b, enum pc_event_stream from)
{
    const struct pc_event_log *log = pc_events_log(s->call->worker->server->events, from);
    uint8_t text[PC_EVENT_BYTES_MAX];
    while (b->len < PC_EVENTS_TURN_BYTES) {
        struct pc_buf event = pc_buf_of(text, sizeof text);
        unsigned type = 0;
        int rc = pc_event_log_read(log, s->id.at[from], &event, &type);
        if (rc == -EAGAIN)
            return false;
        if (rc == -ESTALE) {
            s->id.at[from] = pc_event_log_next(log);
            put_reset(b, s, "overrun", 1u << from);
            continue;
        }
        s->id.at[from]++;
        put_event(b, s, type, pc_bytes_of(event.p, event.len));
    }
    return true;
}

static void set_behind(struct pc_event_stream_state *s, bool behind)
{
    struct pc_event_streams *all = &s->call->worker->streams;
    if (s->behind != behind)
        all->behind += behind ? 1u : -1u;
    PC_ASSERT(all->behind <= all->count);
    s->behind = behind;
    s->was_behind &= behind;
}

static void pump(struct pc_event_stream_state *s)
{
    struct pc_buf b = pc_call_scratch(s->call);
    bool behind = false;
    if (pc_conn_closing(s->call->conn))
        return;
    if (pc_call_stream_full(s->call)) {
        set_behind(s, true);
        return;
    }
    for (unsigned from = 0; from < PC_STREAMS; from++)
        if (s->streams >> from & 1)
            behind |= add_events(s, &b, (enum pc_event_stream)from);
    PC_ASSERT(!b.overflow && (!behind || b.len > 0)); /* I2 */
    pc_call_stream_write(s->call, pc_bytes_of(b.p, b.len));
    set_behind(s, behind);
}

void pc_event_streams_nudged(struct pc_worker *w)
{
    pc_events_nudged(w->server->events, w->core->index);
    w->streams.nudged = true;
}

void pc_event_streams_turn_end(struct pc_worker *w)
{
    struct pc_event_streams *all = &w->streams;
    if (PC_LIKELY(!all->nudged && !all->behind))
        return;
    for (struct pc_event_stream_state *s = all->first; s; s = s->next)
        if (all->nudged || s->behind)
            pump(s);
    all->nudged = false;
}

/* ---- the life of a stream ---- */

static void ended(struct pc_call *call)
{
    struct pc_event_stream_state *s = call->stream_state;
    struct pc_worker *w = call->worker;
    set_behind(s, false);
    *s->at_previous = s->next;
    if (s->next)
        s->next->at_previous = s->at_previous;
    w->streams.count--;
    pc_events_watch(w->server->events, w->core->index, s->streams, -1);
    if (s->ended_as == PC_M_EVENT_STREAMS_GONE && w->core->stopping)
        s->ended_as = PC_M_EVENT_STREAMS_SHUTDOWN;
    pc_metric_inc(w->metrics, s->ended_as);
    pc_metric_sub(w->metrics, PC_M_EVENT_STREAMS_OPEN, 1);
    free(s);
}

/* Ends a stream from our side, and says why. */
static void drop(struct pc_event_stream_state *s, unsigned metric, const char *reason)
{
    struct pc_call *call = s->call;
    uint8_t text[256];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_log *l = pc_log_begin(PC_LOG_WARN, "event_stream_dropped");
    pc_log_bytes(l, "request_id", pc_call_request_id(call));
    pc_log_str(l, "user", call->principal.actor);
    pc_log_str(l, "reason", reason);
    pc_log_end(l);
    s->ended_as = metric;
    pc_buf_fmt(&b, "event: dropped\ndata: {\"reason\":\"%s\"}\n\n", reason);
    pc_call_stream_write(call, pc_bytes_of(b.p, b.len));
    pc_call_stream_end(call);
}

static bool may_go_on(const struct pc_event_stream_state *s)
{
    return s->call->worker->core->now_ns < s->until_ns &&
           (s->until_ns != INT64_MAX || pc_principal_stands(s->call->worker, &s->call->principal));
}

static void tick(struct pc_call *call)
{
    struct pc_event_stream_state *s = call->stream_state;
    if (!may_go_on(s)) {
        drop(s, PC_M_EVENT_STREAMS_CREDENTIAL, "credential");
    } else if (s->was_behind) {
        drop(s, PC_M_EVENT_STREAMS_SLOW, "slow");
    } else {
        s->was_behind = s->behind;
        if (!pc_call_stream_full(call))
            pc_call_stream_write(call, PC_LIT(": still here\n\n"));
    }
}

static void link_stream(struct pc_worker *w, struct pc_event_stream_state *s)
{
    s->next = w->streams.first;
    s->at_previous = &w->streams.first;
    if (s->next)
        s->next->at_previous = &s->next;
    w->streams.first = s;
    w->streams.count++;
    pc_metric_add(w->metrics, PC_M_EVENT_STREAMS_OPEN, 1);
    pc_events_watch(w->server->events, w->core->index, s->streams, 1); /* I1 */
}

/* Where a stream begins: at the next event, or where the client left off. Returns the streams of
 * which it missed something. */
static unsigned set_start(struct pc_event_stream_state *s, const struct pc_event_wish *wish)
{
    const struct pc_events *e = s->call->worker->server->events;
    bool known = wish->resume && wish->sane && wish->id.epoch == pc_events_epoch(e);
    unsigned missed = 0;
    s->id.epoch = pc_events_epoch(e);
    for (unsigned i = 0; i < PC_STREAMS; i++) {
        const struct pc_event_log *log = pc_events_log(e, (enum pc_event_stream)i);
        uint64_t next = pc_event_log_next(log), at = wish->id.at[i];
        if (!(s->streams >> i & 1))
            continue;
        bool there = known && at <= next && at >= pc_event_log_floor(log);
        s->id.at[i] = there ? at : next;
        /* One that was not carried before was not missed. */
        if (wish->resume && !there && (!known || at != 0))
            missed |= 1u << i;
    }
    return missed;
}

static void greet(struct pc_event_stream_state *s, const struct pc_event_wish *wish)
{
    uint8_t text[512];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    unsigned missed = set_start(s, wish);
    pc_buf_fmt(&b, ": portcullis " PC_VERSION "\nretry: %d\nid: ", PC_EVENTS_RETRY_MS);
    pc_event_id_write(&b, &s->id);
    pc_buf_lit(&b, "\n\n");
    if (missed)
        put_reset(&b, s, "unknown_id", missed);
    PC_ASSERT(!b.overflow);
    pc_call_stream_write(s->call, pc_bytes_of(b.p, b.len));
    pump(s);
}

static bool is_full(const struct pc_worker *w)
{
    uint64_t max = w->server->started_as->events.max_streams, cores = w->server->cores;
    return w->streams.count >= (max + cores - 1) / cores;
}

static void open_stream(struct pc_call *call, const struct pc_event_wish *wish, unsigned streams)
{
    static const struct pc_stream_ops ops = {tick, ended};
    struct pc_event_stream_state *s = is_full(call->worker) ? NULL : calloc(1, sizeof *s);
    if (!s) {
        pc_metric_inc(call->worker->metrics, PC_M_EVENT_STREAMS_REFUSED);
        pc_call_reply_busy(call, "TOO_MANY_STREAMS", "events.max_streams is reached", 5);
        return;
    }
    bool jwt = strncmp(call->principal.actor, "jwt:", 4) == 0;
    *s = (struct pc_event_stream_state){
        .call = call,
        .streams = streams,
        .ended_as = PC_M_EVENT_STREAMS_GONE,
        .until_ns = jwt ? call->worker->core->now_ns + PC_EVENTS_JWT_MS * 1000000 : INT64_MAX,
    };
    /* nginx would hold events back otherwise. */
    if (!pc_call_stream_begin(call, "text/event-stream", PC_LIT("X-Accel-Buffering: no\r\n"), &ops,
                              s)) {
        free(s);
        return;
    }
    link_stream(call->worker, s);
    greet(s, wish);
}

void pc_handle_events(struct pc_call *call)
{
    struct pc_event_wish wish;
    struct pc_why why = {{0}};
    unsigned may = 1u << PC_STREAM_FLAGS;
    if (pc_admin_may(call->principal.role, PC_MAY_OPERATE))
        may |= 1u << PC_STREAM_REVOCATIONS;
    if (pc_event_wish_read(call->query, pc_http_value(call->req, PC_FIELD_LAST_EVENT_ID), &wish,
                           &why) < 0)
        pc_call_reply_error(call, 400, "BAD_REQUEST", "%s", why.text);
    else if (wish.streams & ~may)
        pc_call_reply_error(call, 403, "FORBIDDEN",
                            "revocations are told to role operator; you are %s (%s)",
                            pc_admin_role_name(call->principal.role), call->principal.actor);
    else
        open_stream(call, &wish, wish.streams ? wish.streams : may);
}
