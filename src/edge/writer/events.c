/* SPDX-License-Identifier: Apache-2.0
 * The two histories and the nudges of cores; invariants I1-I4 stand in events.h. */
#include "edge/writer/events.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "link/change.h"

/* The discard function stands first, as in every message to a core. */
struct nudge {
    void (*discard)(void *nudge);
};

/* What a core and the writer share. */
struct watch {
    PC_ALIGNED_LINE _Atomic uint32_t watchers[PC_STREAMS]; /* stored by the core */
    _Atomic bool told; /* set by the writer, cleared by the core */
    struct nudge nudge;
};

struct pc_events {
    struct pc_events_options o;
    struct pc_event_log *logs[PC_STREAMS];
    uint8_t *text; /* [PC_EVENT_BYTES_MAX]: an event being written */
    /* The writer's, while flags are compared. */
    uint32_t changed;
    struct watch *watches; /* [cores] */
};

/* A flag's event in the worst case: every byte of a text escaped as six. */
_Static_assert(PC_FLAG_KEY_MAX + PC_FLAG_VALUE_MAX + 6 * (PC_ACTOR_MAX + 16) + 128 <
                   PC_EVENT_BYTES_MAX,
               "the event of a flag fits");
_Static_assert(PC_CHANGE_PLAIN_MAX <= PC_EVENT_BYTES_MAX, "the event of a revocation fits");

/* Nudges belong to the events. */
static void keep(void *nudge)
{
    (void)nudge;
}

static int make_watches(struct pc_events *e)
{
    size_t bytes = e->o.cores * sizeof *e->watches;
    e->watches = aligned_alloc(PC_CACHE_LINE, bytes);
    if (!e->watches)
        return -ENOMEM;
    memset(e->watches, 0, bytes);
    for (unsigned i = 0; i < e->o.cores; i++)
        e->watches[i].nudge.discard = keep;
    return 0;
}

int pc_events_new(const struct pc_events_options *options, struct pc_events **ret_events)
{
    struct pc_events *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    PC_ASSERT(options->cores > 0);
    e->o = *options;
    e->text = malloc(PC_EVENT_BYTES_MAX);
    int rc = e->text ? make_watches(e) : -ENOMEM;
    if (rc == 0)
        rc = pc_event_log_new(options->flag_bytes, &e->logs[PC_STREAM_FLAGS]);
    if (rc == 0)
        rc = pc_event_log_new(options->revocation_bytes, &e->logs[PC_STREAM_REVOCATIONS]);
    if (rc < 0) {
        pc_events_free(e);
        return rc;
    }
    *ret_events = e;
    return 0;
}

void pc_events_free(struct pc_events *e)
{
    if (!e)
        return;
    for (unsigned s = 0; s < PC_STREAMS; s++)
        pc_event_log_free(e->logs[s]);
    free(e->watches);
    free(e->text);
    free(e);
}

/* ---- the writer ---- */

static void add(struct pc_events *e, enum pc_event_type type, const struct pc_buf *b)
{
    PC_ASSERT(!b->overflow);
    pc_event_log_append(e->logs[PC_STREAM_FLAGS], type, pc_bytes_of(b->p, b->len));
}

static void count_flag(void *ctx, const struct pc_flag *was, const struct pc_flag *is)
{
    struct pc_events *e = ctx;
    (void)was;
    (void)is;
    e->changed++;
}

/* A flag that went (out of the file, mostly) has no value any more. */
static void add_flag(void *ctx, const struct pc_flag *was, const struct pc_flag *is)
{
    struct pc_events *e = ctx;
    struct pc_buf b = pc_buf_of(e->text, PC_EVENT_BYTES_MAX);
    pc_buf_lit(&b, "{\"key\":");
    pc_buf_json_str(&b, is ? is->key : was->key);
    pc_buf_lit(&b, ",\"value\":");
    pc_buf_bytes(&b, is ? is->value : PC_LIT("null"));
    pc_buf_lit(&b, ",\"type\":");
    pc_buf_json_str(&b, pc_bytes_str(pc_flag_type_name(is ? is->type : was->type)));
    pc_buf_lit(&b, ",\"source\":");
    if (is)
        pc_buf_json_str(&b, is->source);
    else
        pc_buf_lit(&b, "null");
    pc_buf_char(&b, '}');
    add(e, PC_EVENT_FLAG, &b);
}

void pc_events_add_flags(struct pc_events *e, const struct pc_flags *old,
                         const struct pc_flags *fresh)
{
    e->changed = 0;
    pc_flags_compare(old, fresh, count_flag, e);
    if (e->changed <= PC_EVENTS_FLAGS_ONE_BY_ONE) {
        pc_flags_compare(old, fresh, add_flag, e);
        return;
    }
    struct pc_buf b = pc_buf_of(e->text, PC_EVENT_BYTES_MAX);
    pc_buf_fmt(&b, "{\"changed\":%u,\"total\":%u}", e->changed, fresh->count);
    add(e, PC_EVENT_FLAGS, &b);
}

void pc_events_add_revocation(struct pc_events *e, struct pc_bytes encoded)
{
    pc_event_log_append(e->logs[PC_STREAM_REVOCATIONS], PC_EVENT_REVOCATION, encoded);
}

/* Whether the core watches a stream that has news. */
static bool concerns(const struct watch *w, const bool news[PC_STREAMS])
{
    for (unsigned s = 0; s < PC_STREAMS; s++)
        if (news[s] && atomic_load_explicit(&w->watchers[s], memory_order_seq_cst)) /* I1 */
            return true;
    return false;
}

void pc_events_tell(struct pc_events *e)
{
    bool news[PC_STREAMS], any = false;
    for (unsigned s = 0; s < PC_STREAMS; s++)
        any |= news[s] = pc_event_log_publish(e->logs[s]);
    for (unsigned i = 0; any && i < e->o.cores; i++) {
        struct watch *w = &e->watches[i];
        if (concerns(w, news) &&
            !atomic_exchange_explicit(&w->told, true, memory_order_acq_rel)) /* I2 */
            e->o.post(e->o.ctx, i, &w->nudge);
    }
}

/* ---- a core ---- */

void pc_events_watch(struct pc_events *e, unsigned core, unsigned streams, int by)
{
    PC_ASSERT(core < e->o.cores && (by == 1 || by == -1));
    for (unsigned s = 0; s < PC_STREAMS; s++) {
        _Atomic uint32_t *count = &e->watches[core].watchers[s];
        if (!(streams >> s & 1))
            continue;
        uint32_t now = atomic_load_explicit(count, memory_order_relaxed); /* I4 */
        PC_ASSERT(by > 0 || now > 0);
        atomic_store_explicit(count, now + (uint32_t)by, memory_order_seq_cst); /* I1 */
    }
}

void pc_events_nudged(struct pc_events *e, unsigned core)
{
    bool told = atomic_exchange_explicit(&e->watches[core].told, false, memory_order_acq_rel);
    PC_ASSERT(told); /* I3 */
}

/* ---- any thread ---- */

void *pc_events_nudge(struct pc_events *e, unsigned core)
{
    PC_ASSERT(core < e->o.cores);
    return &e->watches[core].nudge;
}

const struct pc_event_log *pc_events_log(const struct pc_events *e, enum pc_event_stream stream)
{
    return e->logs[stream];
}

uint64_t pc_events_epoch(const struct pc_events *e)
{
    return e->o.epoch;
}

size_t pc_events_bytes(const struct pc_events *e)
{
    size_t bytes = sizeof *e + PC_EVENT_BYTES_MAX + e->o.cores * sizeof *e->watches;
    for (unsigned s = 0; s < PC_STREAMS; s++)
        bytes += pc_event_log_bytes(e->logs[s]);
    return bytes;
}
