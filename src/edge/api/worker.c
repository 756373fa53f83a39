/* SPDX-License-Identifier: Apache-2.0
 * Per-core state, the loop's hooks, and what a core says about its connections. */
#include "edge/api/worker.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/api/decision.h"
#include "edge/api/offload.h"
#include "edge/api/resp_throttle.h"
#include "edge/api/unseen.h"

#define GAUGE_PERIOD_MS 1000

static void free_worker(struct pc_worker *w)
{
    pc_token_cache_destroy(w->cache);
    pc_verify_budget_destroy(w->budget);
    free(w->jwt);
    free(w->scratch);
    free(w->blob);
    free(w->decision_scratch);
    free(w->json);
    free(w->resp);
    pc_job_pool_free(&w->jobs);
}

static int make_memory(struct pc_worker *w)
{
    const struct pc_config *c = w->server->started_as;
    struct pc_token_cache_options cache = {.entries = (uint32_t)c->token_cache.entries,
                                           .failures = (uint32_t)c->token_cache.failures};
    /* Both are parts of the core's time; a client's cannot be more than all clients'. */
    double client = c->signature_budget.client_share < c->signature_budget.fraction
                        ? c->signature_budget.client_share
                        : c->signature_budget.fraction;
    struct pc_verify_budget_options budget = {.share_permille =
                                                  (uint32_t)(c->signature_budget.fraction * 1000),
                                              .client_permille = (uint32_t)(client * 1000)};
    w->jwt = malloc(sizeof *w->jwt);
    w->scratch = malloc(PC_WORKER_SCRATCH_BYTES);
    w->blob = malloc(PC_WORKER_BLOB_BYTES);
    w->decision_scratch = malloc(PC_DECISION_SCRATCH_BYTES);
    w->json = malloc(PC_WORKER_JSON_TOKENS * sizeof *w->json);
    w->resp = malloc(sizeof *w->resp);
    if (!w->jwt || !w->scratch || !w->blob || !w->decision_scratch || !w->json || !w->resp)
        return -ENOMEM;
    int rc = pc_token_cache_create(&cache, &w->cache);
    return rc < 0 ? rc : pc_verify_budget_create(&budget, pc_clock_mono_ns(), &w->budget);
}

static void publish_loop(struct pc_metrics_block *m, const struct pc_core_counters *n)
{
    pc_metric_set(m, PC_M_LOOP_TURNS, n->turns);
    pc_metric_set(m, PC_M_LOOP_SLEEPS, n->sleeps);
    pc_metric_set(m, PC_M_LOOP_COMPLETIONS, n->cqes);
    pc_metric_set(m, PC_M_LOOP_RECEIVES, n->recvs);
    pc_metric_set(m, PC_M_LOOP_NO_BUFFERS, n->recv_no_buffers);
    pc_metric_set(m, PC_M_LOOP_SENDS, n->sends);
    pc_metric_set(m, PC_M_LOOP_SHORT_SENDS, n->short_sends);
    pc_metric_set(m, PC_M_LOOP_OUTPUT_FULL, n->output_full);
    pc_metric_set(m, PC_M_LOOP_MESSAGES, n->messages);
    pc_metric_set(m, PC_M_LOOP_BUFFER_BYTES, n->pool_bytes);
    pc_metric_set(m, PC_M_LOOP_QUEUE_DELAY_NS, n->queue_delay_ns);
}

static void publish_cache(struct pc_metrics_block *m, const struct pc_token_cache *cache)
{
    struct pc_token_cache_stats stats = pc_token_cache_get_stats(cache);
    pc_metric_set(m, PC_M_TOKEN_CACHE_STALE, stats.stale);
    pc_metric_set(m, PC_M_TOKEN_CACHE_ENTRIES, stats.entries);
    pc_metric_set(m, PC_M_TOKEN_CACHE_BYTES_USED, stats.bytes_used);
    pc_metric_set(m, PC_M_TOKEN_CACHE_BYTES_RESERVED, stats.bytes_total);
    pc_metric_set(m, PC_M_TOKEN_CACHE_EVICTED, stats.evicted_live);
}

/* Once a second the core copies what its parts counted into its own block of metrics. */
static void publish_counters(struct pc_core *core, void *arg)
{
    const struct pc_worker *w = arg;
    struct pc_metrics_block *m = w->metrics;
    struct pc_verify_budget_stats budget = pc_verify_budget_get_stats(w->budget);
    struct pc_core_counters n;
    pc_metric_set(m, PC_M_BUDGET_REFUSED_CORE, budget.refused_core);
    pc_metric_set(m, PC_M_BUDGET_REFUSED_CLIENT, budget.refused_client);
    publish_cache(m, w->cache);
    pc_core_counters(core, &n);
    publish_loop(m, &n);
    pc_metric_set(m, PC_M_CORE_CONNECTIONS_OPEN, n.connections);
    pc_metric_set(m, PC_M_BYTES_IN, n.recv_bytes);
    pc_metric_set(m, PC_M_BYTES_OUT, n.send_bytes);
    pc_metric_set(m, PC_M_CONNECTIONS_REFUSED_LIMIT, n.refused_limit);
    pc_metric_set(m, PC_M_CONNECTIONS_REFUSED_OVERLOAD, n.refused_overload);
    pc_metric_set(m, PC_M_CONNECTIONS_REFUSED_RESOURCES, n.accept_errors + n.no_memory);
    pc_metric_set(m, PC_M_CONNECTIONS_CLOSED_ERROR, n.send_errors + n.send_stalls);
    pc_metric_set(m, PC_M_CONNECTIONS_CLOSED_SHUTDOWN, n.cut);
    pc_metric_set(m, PC_M_CONNECTIONS_CLOSED_PROTOCOL, n.input_overflows);
    uint64_t abnormal = pc_metric_get(m, PC_M_CONNECTIONS_CLOSED_IDLE) +
                        pc_metric_get(m, PC_M_CONNECTIONS_CLOSED_TIMEOUT) + n.send_errors +
                        n.send_stalls + n.cut + n.input_overflows;
    /* A close is counted later than its reason; a counter may not go back meanwhile. */
    if (n.closed > abnormal + pc_metric_get(m, PC_M_CONNECTIONS_CLOSED_NORMAL))
        pc_metric_set(m, PC_M_CONNECTIONS_CLOSED_NORMAL, n.closed - abnormal);
    pc_throttle_publish(w);
}

static int thread_start(struct pc_core *core, struct pc_why *why)
{
    struct pc_server *s = core->user;
    struct pc_worker *w = &s->workers[core->index];
    uint8_t seed[32];
    w->server = s;
    w->core = core;
    w->metrics = pc_metrics_core(s->metrics, core->index);
    w->date_until_ms = INT64_MIN;
    pc_random_bytes(seed, sizeof seed);
    pc_prng_seed(&w->prng, seed);
    core->user = w;
    int rc = make_memory(w);
    if (rc == 0)
        rc = pc_core_timer(core, GAUGE_PERIOD_MS, publish_counters, w);
    if (rc < 0) {
        free_worker(w);
        return pc_fail(why, rc, "core %u cannot get its memory: %s", core->index, pc_strerror(rc));
    }
    rc = pc_log_attach(s->logger);
    if (rc < 0) {
        free_worker(w);
        return pc_fail(why, rc, "core %u cannot log: %s", core->index, pc_strerror(rc));
    }
    pc_rcu_thread_register();
    return 0;
}

static void thread_stop(struct pc_core *core)
{
    struct pc_worker *w = core->user;
    publish_counters(core, w);
    pc_rcu_thread_unregister();
    free_worker(w);
    pc_log_detach();
}

/* One clock reading for all requests of the turn: from its beginning to their answers queued. */
static void record_latency(struct pc_worker *w)
{
    if (!w->http_requests && !w->resp_commands)
        return;
    int64_t took = pc_clock_mono_ns() - w->core->now_ns;
    if (w->http_requests)
        pc_histogram_record(w->metrics, PC_H_REQUEST_HTTP, (uint64_t)took, w->http_requests);
    if (w->resp_commands)
        pc_histogram_record(w->metrics, PC_H_REQUEST_RESP, (uint64_t)took, w->resp_commands);
    w->http_requests = w->resp_commands = 0;
}

static void turn_end(struct pc_core *core)
{
    struct pc_worker *w = core->user;
    if (w->ahead.n)
        pc_resp_answer_ahead(w);
    w->names.view = NULL;
    record_latency(w);
    pc_unseen_turn_end(w);
    pc_event_streams_turn_end(w);
    if (w->pushed) {
        w->pushed = 0;
        pc_writer_notify(w->server->writer);
    }
}

static void count_refusal(const struct pc_worker *w, const struct pc_job *job)
{
    if (job->result == PC_E_READ_ONLY)
        pc_metric_add(w->metrics, PC_M_MUTATIONS_REFUSED_READ_ONLY, job->count);
    else if (job->result == PC_E_FULL)
        pc_metric_add(w->metrics, PC_M_MUTATIONS_REFUSED_OUTBOX, job->count);
}

static void message(struct pc_core *core, unsigned producer, void *msg)
{
    struct pc_worker *w = core->user;
    if (producer == PC_PRODUCER_WRITER(w->server)) {
        if (PC_UNLIKELY(msg == pc_events_nudge(w->server->events, core->index))) {
            pc_event_streams_nudged(w);
            return;
        }
        struct pc_job *job = msg;
        PC_ASSERT(w->jobs_under_way > 0);
        w->jobs_under_way--;
        pc_histogram_record(w->metrics, PC_H_MUTATION, (uint64_t)(core->now_ns - job->submitted_ns),
                            1);
        if (PC_UNLIKELY(job->result < 0))
            count_refusal(w, job);
        job->done(job);
        return;
    }
    PC_ASSERT(producer == PC_PRODUCER_MAIN(w->server));
    pc_offload_done(w, msg);
}

/* Both kinds of message begin with the function that frees them. */
static void discard(void *msg)
{
    (*(void (**)(void *))msg)(msg);
}

static void rcu_quiescent(struct pc_core *core)
{
    (void)core;
    pc_rcu_quiescent();
}

static void rcu_offline(struct pc_core *core)
{
    (void)core;
    pc_rcu_offline();
}

static void rcu_online(struct pc_core *core)
{
    (void)core;
    pc_rcu_online();
}

void pc_worker_hooks(struct pc_loop_hooks *hooks)
{
    *hooks = (struct pc_loop_hooks){
        .thread_start = thread_start,
        .thread_stop = thread_stop,
        .turn_end = turn_end,
        .message = message,
        .rcu_quiescent = rcu_quiescent,
        .rcu_offline = rcu_offline,
        .rcu_online = rcu_online,
        .discard = discard,
    };
}

int pc_worker_submit(struct pc_worker *w, struct pc_job *job)
{
    job->submitted_ns = w->core->now_ns;
    /* The mailbox back holds as many as the queue there: an answer always finds room. */
    if (w->jobs_under_way >= w->server->started_as->limits.writer_queue ||
        pc_writer_push(w->server->writer, w->core->index, job) < 0) {
        pc_metric_inc(w->metrics, PC_M_WRITER_QUEUE_FULL);
        return PC_E_FULL;
    }
    w->jobs_under_way++;
    w->pushed++;
    return 0;
}

struct pc_ip pc_conn_ip(const struct pc_conn *c)
{
    struct pc_ip ip = {0};
    if (c->peer.family == PC_PEER_V4 || c->peer.family == PC_PEER_V6) {
        ip.family = c->peer.family == PC_PEER_V4 ? 4 : 6;
        memcpy(ip.b, c->peer.ip, ip.family == 4 ? 4 : 16);
    }
    return ip;
}

bool pc_conn_is_local(const struct pc_conn *c)
{
    if (PC_LIKELY(c->peer.family == PC_PEER_V4)) /* 127/8, as below */
        return c->peer.ip[0] == 127 && !c->peer.unvouched;
    struct pc_ip ip = pc_conn_ip(c);
    return !c->peer.unvouched && (c->peer.family == PC_PEER_UNIX || pc_ip_is_loopback(&ip));
}

bool pc_conn_is_trusted(const struct pc_conn *c)
{
    const struct pc_config_listener *l = pc_listener_of(c)->config;
    if (PC_UNLIKELY(c->peer.unvouched))
        return false;
    if (l->trusted_peers.n == 0)
        return pc_conn_is_local(c);
    if (c->peer.family == PC_PEER_UNIX)
        return l->trust_unix_peers;
    struct pc_ip ip = pc_conn_ip(c);
    return ip.family && pc_cidrs_contain(l->peers, l->peer_count, &ip);
}
