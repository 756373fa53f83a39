/* SPDX-License-Identifier: Apache-2.0
 * What operators and orchestrators ask: health, readiness, liveness, metrics. */
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/log.h"
#include "edge/api/endpoint.h"
#include "edge/api/flags_api.h"
#include "edge/api/ip_rules.h"
#include "edge/api/offload.h"
#include "edge/api/settings.h"

static const char *state_name(enum pc_writer_state state)
{
    switch (state) {
    case PC_WRITER_RECOVERING: return "starting";
    case PC_WRITER_READY: return "ok";
    case PC_WRITER_READ_ONLY: return "degraded";
    case PC_WRITER_FAILED: return "failed";
    }
    return "unknown";
}

/* The journal's state is the writer's, but for one that will pass. */
static const char *journal_name(const struct pc_writer_health *h)
{
    return h->state == PC_WRITER_READY && h->journal_full ? "full" : state_name(h->state);
}

static const char *journal_message(const struct pc_writer_health *h)
{
    if (h->state != PC_WRITER_READY || !h->journal_full)
        return h->why;
    return "the journal has reached journal.outbox_max: mutations are refused until a snapshot has "
           "made room; decisions go on";
}

static const char *clock_name(enum pc_clock_state state)
{
    switch (state) {
    case PC_CLOCK_TRUSTED: return "trusted";
    case PC_CLOCK_STEPPED: return "stepped";
    case PC_CLOCK_START_GAP: return "differs from the journal";
    }
    return "unknown";
}

static void put_audit(struct pc_buf *b, const struct pc_writer_health *h)
{
    const struct pc_audit_status *a = &h->audited;
    pc_buf_fmt(b, "},\"audit\":{\"state\":\"%s\",\"position\":%llu,\"behind\":%llu,\"message\":",
               !h->audit    ? "off"
               : a->failing ? "failing"
                            : "ok",
               (unsigned long long)a->position, (unsigned long long)a->behind);
    pc_buf_json_str(b, pc_bytes_str(a->failing ? a->why : ""));
}

static void put_journal(struct pc_buf *b, const struct pc_writer_health *h)
{
    pc_buf_fmt(b,
               ",\"journal\":{\"state\":\"%s\",\"changes\":%llu,\"batches\":%llu,\"refused\":%llu,"
               "\"recovered_records\":%llu,\"recovery_ms\":%lld,\"snapshot_position\":%llu",
               journal_name(h), (unsigned long long)h->changes, (unsigned long long)h->batches,
               (unsigned long long)h->refused, (unsigned long long)h->recovered_records,
               (long long)h->recovery_ms, (unsigned long long)h->snapshot_position);
    pc_buf_lit(b, ",\"message\":");
    pc_buf_json_str(b, pc_bytes_str(journal_message(h)));
    put_audit(b, h);
    pc_buf_fmt(b, "},\"clock\":{\"state\":\"%s\",\"step_ms\":%lld}", clock_name(h->clock),
               (long long)h->clock_step_ms);
}

void pc_handle_health(struct pc_call *call)
{
    struct pc_server *s = call->worker->server;
    struct pc_writer_health h;
    struct pc_buf b = pc_call_scratch(call);
    pc_writer_health(s->writer, &h);
    bool full = h.state == PC_WRITER_READY && h.journal_full;
    pc_buf_fmt(&b,
               "{\"status\":\"%s\",\"version\":\"" PC_VERSION "\",\"uptime_s\":%lld,\"node\":"
               "\"%016llx\",\"cores\":%u",
               full ? "degraded" : state_name(h.state),
               (long long)((call->worker->core->now_ms - s->started_ms) / 1000),
               (unsigned long long)h.node, s->cores);
    pc_buf_lit(&b, ",\"tls_library\":");
    pc_buf_json_str(&b, pc_bytes_str("BoringSSL (" PC_BORINGSSL_ORIGIN ")"));
    pc_buf_fmt(&b, ",\"configuration\":\"%s\"", pc_server_settings(s)->config->hash);
    put_journal(&b, &h);
    pc_buf_lit(&b, "}\n");
    bool good = h.state == PC_WRITER_READY || h.state == PC_WRITER_READ_ONLY;
    pc_call_reply_json(call, good ? 200 : 503, pc_bytes_of(b.p, b.len));
}

void pc_handle_readiness(struct pc_call *call)
{
    const struct pc_server *s = call->worker->server;
    bool ready = pc_writer_ready(s->writer) && !call->worker->core->stopping;
    pc_call_reply_json(call, ready ? 200 : 503,
                       ready ? PC_LIT("{\"ready\":true}\n") : PC_LIT("{\"ready\":false}\n"));
}

void pc_handle_liveness(struct pc_call *call)
{
    pc_call_reply_json(call, 200, PC_LIT("{\"alive\":true}\n"));
}

static void measure_events(struct pc_server *s)
{
    static const struct {
        unsigned added, kept;
    } slots[PC_STREAMS] = {
        [PC_STREAM_FLAGS] = {PC_M_EVENTS_FLAGS,       PC_M_EVENT_HISTORY_FLAGS      },
        [PC_STREAM_REVOCATIONS] = {PC_M_EVENTS_REVOCATIONS, PC_M_EVENT_HISTORY_REVOCATIONS},
    };
    struct pc_metrics_block *m = pc_metrics_main(s->metrics);
    for (unsigned i = 0; i < PC_STREAMS; i++) {
        const struct pc_event_log *log = pc_events_log(s->events, (enum pc_event_stream)i);
        uint64_t floor = pc_event_log_floor(log), next = pc_event_log_next(log);
        pc_metric_set(m, slots[i].added, next - 1);
        pc_metric_set(m, slots[i].kept, next - floor);
    }
    pc_metric_set(m, PC_M_EVENT_HISTORY_BYTES, pc_events_bytes(s->events));
}

#define METRICS_MAX (PC_METRICS_TEXT_MAX + PC_POLICIES_METRICS_MAX)

static void render_metrics(struct pc_server *s, struct pc_errand *e)
{
    struct pc_metrics_process process;
    struct pc_buf b;
    e->status = 200;
    e->content_type = PC_METRICS_CONTENT_TYPE;
    e->body = malloc(METRICS_MAX);
    if (!e->body) {
        e->status = 503;
        e->code = "NO_MEMORY";
        pc_fail(&e->why, 0, "no memory to render the metrics");
        return;
    }
    pc_metrics_sample_process(&process);
    pc_metric_set(pc_metrics_main(s->metrics), PC_M_LOG_DROPPED, pc_log_dropped(s->logger));
    pc_flags_measure(s);
    pc_ip_rules_measure(s);
    measure_events(s);
    process.version = PC_VERSION;
    process.compiler = __VERSION__;
    process.crypto = "BoringSSL (" PC_BORINGSSL_ORIGIN ")";
    b = pc_buf_of(e->body, METRICS_MAX);
    pc_metrics_render(s->metrics, &process, &b);
    pc_policies_write_metrics(s->settings->policies, &b);
    PC_ASSERT(!b.overflow);
    e->body_n = b.len;
}

void pc_handle_metrics(struct pc_call *call)
{
    pc_offload(call, render_metrics);
}
