/* SPDX-License-Identifier: Apache-2.0
 * Start and stop of the whole edge; main thread.
 *
 * Start: configuration, credentials, identity, keys; then the writer (which recovers on its own
 * thread) and the cores, which answer 503 until it has. Stop: cores first (answers in flight need
 * the writer), then the writer, which syncs and writes its snapshot. */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "edge/api/cpus.h"
#include "edge/api/credentials.h"
#include "edge/api/flags_load.h"
#include "edge/api/metric_names.h"
#include "edge/api/offload.h"
#include "edge/api/resp_conn.h"
#include "edge/api/server_private.h"
#include "edge/api/trust_load.h"
#include "edge/api/worker.h"
#include "edge/loop/listener.h"
#include "edge/writer/identity.h"

#define TICK_MS          1000
#define RECOVERY_TICK_MS 10

/* ---- listeners ---- */

/* The inherited socket for a listener: by name, or by its bound address. */
static int inherited_socket(const struct pc_server_options *o, const struct pc_config_listener *l)
{
    const char *names = o->inherited_names;
    for (int i = 0; i < o->inherited; i++) {
        int fd = PC_LISTEN_FDS_START + i;
        char bound[PC_LISTENER_NAME_MAX];
        size_t n = names ? strcspn(names, ":") : 0;
        if (names && n == strlen(l->name) && memcmp(names, l->name, n) == 0)
            return fd;
        if (!names && pc_listener_name(fd, bound) == 0 && strcmp(bound, l->address) == 0)
            return fd;
        names = names && names[n] ? names + n + 1 : names;
    }
    return -1;
}

/* The configuration was checked for its own addresses; a socket that somebody else bound must not
 * open to other machines what was configured for this one. */
static int check_inherited(int fd, unsigned i, const struct pc_config_listener *l,
                           struct pc_why *why)
{
    char bound[PC_LISTENER_NAME_MAX];
    struct pc_address address;
    if (!pc_address_is_local(&l->parsed))
        return 0;
    int rc = pc_listener_name(fd, bound);
    if (rc < 0)
        return pc_fail(why, rc, "listeners[%u]: the socket passed in for %s: %s", i, l->name,
                       pc_strerror(rc));
    if (pc_address_parse(pc_bytes_str(bound), &address) == 0 && pc_address_is_local(&address))
        return 0;
    return pc_fail(
        why, -EINVAL,
        "listeners[%u].address: says %.100s, but the socket passed in for %s is bound to "
        "%.100s, which other machines can reach: set the address to it",
        i, l->address, l->name, bound);
}

static int open_listener(struct control *c, unsigned i, struct pc_why *why)
{
    const struct pc_config_listener *l = &c->server.started_as->listeners[i];
    struct pc_listener *out = &c->listeners[i];
    struct pc_listener_info *info = &c->server.listeners[i];
    int fd = inherited_socket(&c->options, l);
    int rc = fd >= 0
                 ? check_inherited(fd, i, l, why)
                 : pc_listener_open(l->address, (int)l->backlog, (mode_t)l->unix_mode, &fd, why);
    if (rc < 0)
        return rc;
    *info = (struct pc_listener_info){l, l->role_bits, i};
    *out = (struct pc_listener){fd, l->protocol == PC_PROTOCOL_HTTP1 ? &c->http : &c->resp, info};
    c->listener_count = i + 1;
    return 0;
}

/* <data_dir>/listeners.json tells tools and tests where this server really listens (port 0). */
static void write_listeners_file(struct control *c)
{
    char path[4096], bound[PC_LISTENER_NAME_MAX];
    uint8_t text[8192];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_why why;
    pc_buf_fmt(&b, "{\"pid\":%d,\"listeners\":[", (int)getpid());
    for (unsigned i = 0; i < c->listener_count; i++) {
        if (pc_listener_name(c->listeners[i].fd, bound) < 0)
            continue;
        pc_buf_str(&b, i ? ",{\"name\":" : "{\"name\":");
        pc_buf_json_str(&b, pc_bytes_str(c->server.listeners[i].config->name));
        pc_buf_lit(&b, ",\"address\":");
        pc_buf_json_str(&b, pc_bytes_str(bound));
        pc_buf_char(&b, '}');
        pc_log_event(PC_LOG_INFO, "listening", "%s on %s", c->server.listeners[i].config->name,
                     bound);
    }
    pc_buf_lit(&b, "]}\n");
    snprintf(path, sizeof path, "%s/listeners.json", c->server.started_as->data_dir);
    /* Who finds the file also finds in the log how the server started. */
    pc_log_flush(c->server.logger);
    if (!b.overflow && pc_secret_write(path, pc_bytes_of(b.p, b.len), &why) < 0)
        pc_log_event(PC_LOG_WARN, "listeners_file", "%s", why.text);
}

/* ---- the parts ---- */

static void give_back(void *ctx, struct pc_job *job)
{
    struct pc_server *s = ctx;
    if (job->producer == s->cores) { /* the main thread waits itself */
        job->done(job);
        return;
    }
    bool posted = pc_core_post(pc_loop_core(s->loop, job->producer), PC_PRODUCER_WRITER(s), job);
    PC_ASSERT(posted);
}

/* There is always a place for the one nudge of a core that can be under way. */
static void post_nudge(void *ctx, unsigned core, void *nudge)
{
    struct pc_server *s = ctx;
    bool posted = pc_core_post(pc_loop_core(s->loop, core), PC_PRODUCER_WRITER(s), nudge);
    PC_ASSERT(posted);
    pc_core_notify(pc_loop_core(s->loop, core));
}

static void wake(void *ctx, unsigned producer)
{
    struct pc_server *s = ctx;
    if (producer != s->cores)
        pc_core_notify(pc_loop_core(s->loop, producer));
}

static int start_writer(struct control *c, const struct pc_identity *id, struct pc_why *why)
{
    struct pc_server *s = &c->server;
    const struct pc_config *config = s->started_as;
    struct pc_writer_options o = {
        .data_dir = config->data_dir,
        .durability = (enum pc_durability)config->durability,
        .async_interval_ms = config->async_interval_ms,
        .segment_bytes = (uint32_t)config->journal.segment_bytes,
        .snapshot_bytes = config->journal.snapshot_bytes,
        .snapshot_interval_ms = config->journal.snapshot_interval_ms,
        .outbox_max_bytes = config->journal.outbox_max_bytes,
        .audit = config->audit.enabled,
        .audit_file_bytes = config->audit.file_bytes,
        .recover = c->options.recover,
        .node = id->node,
        .producers = s->cores + 1,
        .queue_jobs = (uint32_t)config->limits.writer_queue,
        .tables = s->tables,
        .ip_configured = s->first_settings->ip_configured,
        .flag_file = c->flag_file,
        .flag_environment = c->flag_environment,
        .events = s->events,
        .give_back = give_back,
        .wake = wake,
        .ctx = s,
        .metrics = pc_metrics_writer(s->metrics),
        .logger = s->logger,
    };
    int rc = pc_writer_start(&o, &s->writer, why);
    if (rc == 0)
        c->flag_file = NULL; /* the writer's now */
    return rc;
}

static int start_logging(struct pc_server *s, struct pc_why *why)
{
    enum pc_log_level level = (enum pc_log_level)s->started_as->log.level;
    int rc = pc_log_open(STDERR_FILENO, level, &s->logger);
    if (rc == 0)
        rc = pc_log_attach(s->logger);
    return rc < 0 ? pc_fail(why, rc, "cannot start the logger: %s", pc_strerror(rc)) : 0;
}

static int make_tables(struct control *c, struct pc_identity *id, struct pc_why *why)
{
    struct pc_trust *trust = NULL;
    struct pc_server *s = &c->server;
    int rc = pc_identity_load(s->started_as->data_dir, id, why);
    if (rc == 0)
        rc = pc_trust_load(s->started_as, &trust, why);
    if (rc < 0)
        return rc;
    pc_trust_seal(trust, NULL);
    rc = pc_tables_new(trust, s->first_settings, pc_server_release_settings, &s->tables, why);
    if (rc < 0) {
        pc_trust_free(trust);
        return rc;
    }
    memcpy(s->tables->fingerprint_key, id->fingerprint_key, sizeof id->fingerprint_key);
    return 0;
}

static int make_events(struct pc_server *s)
{
    struct pc_events_options o = {
        .cores = s->cores,
        .epoch = pc_random_u64(),
        .flag_bytes = PC_EVENTS_FLAG_BYTES,
        .revocation_bytes = PC_EVENTS_REVOCATION_BYTES,
        .post = post_nudge,
        .ctx = s,
    };
    return pc_events_new(&o, &s->events);
}

static int make_process(struct control *c, struct pc_why *why)
{
    struct pc_server *s = &c->server;
    struct pc_metrics_names names;
    void *random = malloc(sizeof *s->hash_key);
    pc_metric_names(&names);
    s->started_ms = pc_clock_wall_ms();
    s->workers = calloc(s->cores, sizeof *s->workers);
    s->hash_key = malloc(sizeof *s->hash_key);
    if (!random || !s->workers || !s->hash_key) {
        free(random);
        return pc_fail(why, -ENOMEM, "no memory for %u cores", s->cores);
    }
    for (unsigned i = 0; i < s->cores; i++) {
        if (pc_top_keys_new(&s->workers[i].top) < 0) {
            free(random);
            return pc_fail(why, -ENOMEM, "no memory for %u cores", s->cores);
        }
    }
    pc_random_bytes(random, sizeof *s->hash_key);
    pc_token_hash_key_init(s->hash_key, random);
    pc_wipe(random, sizeof *s->hash_key);
    free(random);
    pc_random_bytes(s->client_key, sizeof s->client_key);
    if (pc_limits_new(s->started_as->resp.throttle_keys, &s->throttle) < 0)
        return pc_fail(why, -ENOMEM, "no memory for resp.throttle_keys");
    if (pc_limits_new(PC_CREDENTIAL_CLIENTS, &s->failed_credentials) < 0)
        return pc_fail(why, -ENOMEM, "no memory for failed credentials");
    int rc = pc_metrics_create(s->cores, &names, &s->metrics);
    if (rc == 0)
        rc = pc_offload_new(s->cores, &s->offload);
    if (rc == 0)
        rc = make_events(s);
    return rc < 0 ? pc_fail(why, rc, "cannot start: %s", pc_strerror(rc)) : 0;
}

static int make_loop(struct control *c, struct pc_why *why)
{
    struct pc_server *s = &c->server;
    const struct pc_config *config = s->started_as;
    struct pc_loop_config o = {
        .cores = s->cores,
        .cpus = pc_cpus_to_pin(config, s->cores, c->cpus) ? c->cpus : NULL,
        .extra_producers = PC_EXTRA_PRODUCERS,
        /* The writer's answers, and its nudge (writer/events.h I3). */
        .mailbox_entries =
            (unsigned)pc_max_u64(config->limits.writer_queue, 2 * PC_OFFLOAD_ENTRIES) + 1,
        .connections_max = (unsigned)(config->limits.max_connections / s->cores + 1),
        .output_max_bytes = config->http.output_buffer_bytes,
        .overload_ms = (unsigned)config->limits.queue_delay_ms,
        .masked_features = pc_masked_features(config),
        .listeners = c->listeners,
        .user = s,
    };
    pc_worker_hooks(&o.hooks);
    pc_http_protocol_init(&c->http, config);
    pc_resp_protocol_init(&c->resp, config);
    for (unsigned i = 0; i < config->listener_count; i++) {
        int rc = open_listener(c, i, why);
        if (rc < 0)
            return rc;
    }
    o.listener_count = c->listener_count;
    return pc_loop_new(&o, &s->loop, why);
}

/* What the main thread sleeps on, but for signals: their descriptor comes when it runs. */
static int make_main_ring(struct control *c, struct pc_why *why)
{
    int rc = pc_watch_new(&c->watch);
    if (rc < 0)
        return pc_fail(why, rc, "cannot watch files: %s", pc_strerror(rc));
    rc = pc_main_ring_open(&c->ring, why);
    if (rc < 0)
        return rc;
    pc_main_ring_add(&c->ring, pc_watch_fd(c->watch));
    pc_main_ring_add(&c->ring, pc_waker_fd(pc_offload_waker(c->server.offload)));
    return 0;
}

/* What runs, with what: the first thing to read in any report. */
static void log_start(const struct pc_server *s)
{
    static const char *const durability[] = {"group", "async", "none"};
    struct pc_log *l = pc_log_begin(PC_LOG_INFO, "started");
    pc_log_str(l, "version", PC_VERSION);
    pc_log_str(l, "tls_library", "BoringSSL (" PC_BORINGSSL_ORIGIN ")");
    pc_log_u64(l, "cores", s->cores);
    pc_log_str(l, "durability", durability[s->started_as->durability]);
    pc_log_bool(l, "io_uring_no_iowait", pc_loop_features(s->loop) & PC_FEATURE_NO_IOWAIT);
    pc_log_bool(l, "development_mode", s->started_as->dev);
    pc_log_end(l);
    if (s->started_as->resp.trust_loopback)
        pc_log_event(PC_LOG_WARN, "resp_trust_loopback",
                     "resp.trust_loopback is on: every process of this machine may revoke tokens "
                     "over RESP without a credential");
}

struct joiner {
    struct pc_server *server;
    atomic_bool joined;
};

static void *join_cores(void *arg)
{
    struct joiner *j = arg;
    pc_loop_join(j->server->loop);
    atomic_store(&j->joined, true);
    pc_waker_notify(pc_offload_waker(j->server->offload));
    return NULL;
}

/* Waits for the cores and meanwhile runs the errands they still wait for. */
static void wait_for_cores(struct pc_server *s)
{
    struct joiner j = {.server = s};
    struct pc_waker *waker = pc_offload_waker(s->offload);
    pthread_t thread;
    if (pthread_create(&thread, NULL, join_cores, &j) != 0) {
        pc_loop_join(s->loop);
        return;
    }
    while (!atomic_load(&j.joined)) {
        pc_offload_run(s);
        pc_waker_prepare(waker);
        if (pc_offload_empty(s->offload, s->cores) && !atomic_load(&j.joined))
            pc_waker_wait(waker, TICK_MS * INT64_C(1000000));
        pc_waker_finish(waker);
    }
    pthread_join(thread, NULL);
}

static int start_cores(struct control *c, struct pc_why *why)
{
    int rc = pc_loop_start(c->server.loop, why);
    c->cores_started = rc == 0;
    return rc;
}

/* Lets requests in flight finish for that long. */
static void stop_cores(struct control *c, unsigned grace_ms)
{
    if (!c->cores_started)
        return;
    pc_loop_stop(c->server.loop, grace_ms);
    wait_for_cores(&c->server);
}

int pc_server_start(const struct pc_server_options *o, struct pc_server **ret_s, struct pc_why *why)
{
    struct control *c = calloc(1, sizeof *c);
    struct pc_identity id;
    if (!c)
        return pc_fail(why, -ENOMEM, "no memory");
    struct pc_server *s = &c->server;
    c->options = *o;
    pc_random_bytes(s->limit_key, sizeof s->limit_key);
    pc_rcu_thread_register();
    pc_rcu_offline();
    int rc = pc_server_load_settings(s, &s->first_settings, why);
    if (rc == 0) {
        s->first_settings->kept = true;
        s->settings = s->first_settings;
        s->started_as = s->settings->config;
        rc = start_logging(s, why);
    }
    if (rc == 0)
        rc = pc_server_load_flags(c, why);
    if (rc == 0)
        rc = make_tables(c, &id, why);
    if (rc == 0)
        rc = make_process(c, why);
    if (rc == 0)
        rc = make_loop(c, why);
    if (rc == 0)
        rc = make_main_ring(c, why);
    if (rc == 0)
        rc = start_writer(c, &id, why);
    /* With sockets of a supervisor's connections wait in the backlog until recovery is complete:
     * a restart refuses none. With our own, 503 tells whoever comes what is going on. */
    if (rc == 0 && o->inherited == 0)
        rc = start_cores(c, why);
    if (rc < 0) {
        pc_server_free(s);
        return rc;
    }
    pc_server_watch_files(c);
    log_start(s);
    *ret_s = s;
    return 0;
}

/* ---- running ---- */

/* Recovery ended: say so, or say why not. */
static int announce(struct control *c, struct pc_why *why)
{
    struct pc_writer_health h;
    pc_writer_health(c->server.writer, &h);
    if (h.state == PC_WRITER_FAILED)
        return pc_fail(why, PC_E_DAMAGED, "%s", h.why);
    if (h.state == PC_WRITER_RECOVERING || c->announced)
        return 0;
    int rc = c->cores_started ? 0 : start_cores(c, why);
    if (rc < 0)
        return rc;
    c->announced = true;
    pc_server_tell_ignored_flags(&c->server);
    write_listeners_file(c);
    pc_log_event(PC_LOG_INFO, "ready",
                 "recovered in %lld ms (%llu journal records), configuration %s",
                 (long long)h.recovery_ms, (unsigned long long)h.recovered_records,
                 c->server.started_as->hash);
    return 0;
}

/* True to stop. */
static bool handle_signals(struct control *c, int signal_fd)
{
    struct signalfd_siginfo info;
    struct pc_why why = {{0}};
    bool stop = false;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            pc_server_reload(&c->server, &why);
        else
            stop = true;
    }
    return stop;
}

static void wait_for_something(struct control *c)
{
    struct pc_server *s = &c->server;
    struct pc_waker *waker = pc_offload_waker(s->offload);
    /* While recovery runs its end is awaited in short steps. */
    int64_t timeout_ns = (c->announced ? TICK_MS : RECOVERY_TICK_MS) * INT64_C(1000000);
    int64_t due_ns = pc_watch_wait_ns(c->watch, pc_clock_mono_ns());
    if (due_ns >= 0)
        timeout_ns = pc_min_i64(timeout_ns, due_ns);
    pc_waker_prepare(waker);
    if (pc_offload_empty(s->offload, s->cores))
        pc_main_ring_wait(&c->ring, timeout_ns);
    pc_waker_finish(waker);
    pc_waker_drain(waker);
    pc_watch_read(c->watch, pc_clock_mono_ns());
}

static int stop(struct control *c, int signal_fd)
{
    struct pc_server *s = &c->server;
    pc_log_event(PC_LOG_INFO, "stopping", "finishing what is in flight");
    s->stopping = true;
    /* A second signal ends the process at once, by its default action. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    close(signal_fd);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    stop_cores(c, (unsigned)s->started_as->shutdown_grace_ms);
    int rc = pc_writer_stop(s->writer);
    pc_log_event(rc < 0 ? PC_LOG_ERROR : PC_LOG_INFO, "stopped", "%s",
                 rc < 0 ? "the journal had failed" : "everything is durable");
    return rc < 0 ? 1 : 0;
}

int pc_server_run(struct pc_server *s, int signal_fd, struct pc_why *why)
{
    struct control *c = pc_control_of(s);
    pc_main_ring_add(&c->ring, signal_fd);
    for (;;) {
        int rc = announce(c, why);
        if (rc < 0) {
            stop_cores(c, 0);
            pc_writer_stop(s->writer);
            return 1;
        }
        wait_for_something(c);
        pc_server_reload_touched(c);
        pc_offload_run(s);
        if (handle_signals(c, signal_fd))
            return stop(c, signal_fd);
    }
}

void pc_server_free(struct pc_server *s)
{
    struct control *c = pc_control_of(s);
    if (s->writer)
        pc_writer_stop(s->writer);
    if (s->loop) {
        pc_loop_free(s->loop);
    } else {
        for (unsigned i = 0; i < c->listener_count; i++)
            close(c->listeners[i].fd);
    }
    pc_writer_free(s->writer);
    pc_rcu_barrier();
    pc_tables_free(s->tables);
    pc_offload_free(s->offload);
    pc_events_free(s->events);
    pc_log_close(s->logger);
    if (s->metrics)
        pc_metrics_destroy(s->metrics);
    pc_limits_free(s->throttle);
    pc_limits_free(s->failed_credentials);
    for (unsigned i = 0; s->workers && i < s->cores; i++)
        pc_top_keys_free(s->workers[i].top);
    free(s->workers);
    free(s->hash_key);
    pc_server_free_settings(s->first_settings);
    pc_flag_layer_free(c->flag_file);
    pc_flag_layer_free(c->flag_environment);
    pc_watch_free(c->watch);
    pc_main_ring_close(&c->ring);
    pc_rcu_online();
    pc_rcu_thread_unregister();
    free(c);
}
