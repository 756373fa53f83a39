/* SPDX-License-Identifier: Apache-2.0
 * See writer_rig.h. */
#include "support/writer_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "edge/api/metric_names.h"

static int64_t rig_wall(void *ctx)
{
    return atomic_load(&((struct rig *)ctx)->wall_ms);
}

static int64_t rig_mono(void *ctx)
{
    return atomic_load(&((struct rig *)ctx)->mono_ns);
}

static uint64_t rig_random(void *ctx)
{
    return sim_random(&((struct rig *)ctx)->random);
}

static void give_back(void *ctx, struct pc_job *job)
{
    struct rig *r = ctx;
    pthread_mutex_lock(&r->lock);
    PC_ASSERT(r->answers_n < RIG_ANSWERS_MAX);
    r->answers[r->answers_n++] = job;
    pthread_cond_broadcast(&r->answered);
    pthread_mutex_unlock(&r->lock);
}

static void wake(void *ctx, unsigned producer)
{
    struct rig *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->wakes[producer]++;
    pthread_mutex_unlock(&r->lock);
}

const char *rig_issuer(unsigned i)
{
    static const char *const names[RIG_ISSUERS] = {"issuer-0", "issuer-1"};
    PC_ASSERT(i < RIG_ISSUERS);
    return names[i];
}

/* ---- trust ---- */

static void make_issuers(struct rig *r)
{
    for (unsigned i = 0; i < RIG_ISSUERS; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        r->keys[i] = mint_key_from_seed(seed, i ? "key-1" : "key-0");
        pc_issuer_settings_init(&r->settings[i], pc_bytes_str(rig_issuer(i)));
        r->settings[i].skew_ms = RIG_SKEW_MS;
        r->settings[i].max_lifetime_ms = RIG_LIFETIME_MS;
    }
    uint8_t seed[32] = {99};
    r->spare_key = mint_key_from_seed(seed, "spare");
}

struct pc_trust *rig_trust(const struct rig *r)
{
    struct pc_trust_source sources[RIG_ISSUERS];
    struct pc_jwks *sets[RIG_ISSUERS];
    struct pc_trust *trust;
    for (unsigned i = 0; i < RIG_ISSUERS; i++) {
        const struct mint_key *keys[] = {r->keys[i], r->spare_key};
        sets[i] = mint_read_jwks(keys, 2);
        sources[i] = (struct pc_trust_source){&r->settings[i], sets[i]};
    }
    int rc = pc_trust_build(sources, RIG_ISSUERS, &trust, NULL);
    PC_ASSERT(rc == 0);
    for (unsigned i = 0; i < RIG_ISSUERS; i++)
        pc_jwks_free(sets[i]);
    return trust;
}

static int set_trust(struct pc_writer *w, struct pc_job *job)
{
    struct pc_install in = {.trust = job->task_arg};
    return pc_writer_install(w, &in);
}

void rig_reload(struct rig *r)
{
    int rc = rig_run(r, rig_task(set_trust, rig_trust(r)), NULL);
    PC_ASSERT(rc == 0);
}

void rig_thumbprint(const struct mint_key *key, char out[PC_THUMBPRINT_CHARS + 1])
{
    struct pc_jwks *set = mint_read_jwks(&key, 1);
    PC_ASSERT(set->count == 1);
    memcpy(out, set->keys[0]->thumbprint, PC_THUMBPRINT_CHARS + 1);
    pc_jwks_free(set);
}

/* ---- life ---- */

static void make_dir(struct rig *r)
{
    snprintf(r->dir, sizeof r->dir, "/tmp/pc-writer-rig-XXXXXX");
    char *made = mkdtemp(r->dir);
    PC_ASSERT(made != NULL);
    r->options.data_dir = r->dir;
}

static void count_nudge(void *ctx, unsigned rig_core, void *nudge)
{
    struct rig *r = ctx;
    PC_ASSERT(nudge == pc_events_nudge(r->events, rig_core));
    atomic_fetch_add(&r->nudges, 1);
}

static void make_events(struct rig *r)
{
    struct pc_events_options options = {
        .cores = 1,
        .epoch = 0x65766e7473,
        .flag_bytes = PC_EVENT_LOG_BYTES_MIN,
        .revocation_bytes = PC_EVENT_LOG_BYTES_MIN,
        .post = count_nudge,
        .ctx = r,
    };
    int rc = pc_events_new(&options, &r->events);
    PC_ASSERT(rc == 0);
    r->options.events = r->events;
}

void rig_init(struct rig *r, struct sim_disk *disk)
{
    struct pc_metrics_names names;
    *r = (struct rig){.disk = disk, .wall_ms = RIG_WALL_MS, .mono_ns = 1000000000, .random = 4711};
    r->options = (struct pc_writer_options){
        .data_dir = "data",
        .files = disk ? sim_disk_ops(disk) : NULL,
        .durability = PC_DURABILITY_GROUP,
        .async_interval_ms = 50,
        .segment_bytes = 16u << 10,
        .snapshot_bytes = 1u << 30,
        .outbox_max_bytes = 1u << 30,
        .node = 0x6e6f6465,
        .producers = RIG_PRODUCERS,
        .queue_jobs = 1024,
        .give_back = give_back,
        .wake = wake,
        .ctx = r,
        .wall_ms = rig_wall,
        .mono_ns = rig_mono,
        .random_u64 = rig_random,
    };
    memcpy(r->fingerprint_key, "fingerprint key!", sizeof r->fingerprint_key);
    if (!disk)
        make_dir(r);
    make_issuers(r);
    make_events(r);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->answered, NULL);
    pc_metric_names(&names);
    int rc = pc_metrics_create(1, &names, &r->metrics);
    PC_ASSERT(rc == 0);
    r->options.metrics = pc_metrics_writer(r->metrics);
    r->default_settings = rig_settings(r, "");
    r->options.ip_configured = r->default_settings->ip_configured;
}

/* ---- settings ---- */

static const uint8_t limit_key[16] = "key of the limit";

int rig_try_settings(const struct rig *r, const char *yaml, struct pc_settings **ret,
                     struct pc_why *why)
{
    char path[] = "/tmp/pc-rig-config-XXXXXX";
    struct pc_config_options options = {.path = path};
    int fd = mkstemp(path);
    PC_ASSERT(fd >= 0);
    ssize_t written = write(fd, yaml, strlen(yaml));
    PC_ASSERT(written == (ssize_t)strlen(yaml));
    close(fd);
    struct pc_settings *s = calloc(1, sizeof *s);
    PC_ASSERT(s != NULL);
    int rc = pc_config_load(&options, &s->config, why);
    unlink(path);
    const struct pc_settings *first = r->default_settings;
    const struct pc_settings *old = r->tables ? pc_tables_view(r->tables)->settings : first;
    if (rc == 0)
        rc = pc_settings_compile(s, first ? first->config : s->config, old, 1, limit_key, why);
    if (rc < 0)
        rig_free_settings(s);
    else
        *ret = s;
    return rc;
}

struct pc_settings *rig_settings(const struct rig *r, const char *yaml)
{
    struct pc_settings *s = NULL;
    struct pc_why why = {{0}};
    int rc = rig_try_settings(r, yaml, &s, &why);
    if (rc < 0)
        fprintf(stderr, "%s\n", why.text);
    PC_ASSERT(rc == 0);
    return s;
}

void rig_free_settings(struct pc_settings *s)
{
    pc_settings_free_compiled(s);
    pc_admin_tokens_free(&s->admins);
    pc_config_free(s->config);
    free(s);
}

static int install(struct pc_writer *w, struct pc_job *job)
{
    return pc_writer_install(w, job->task_arg);
}

void rig_install(struct rig *r, const char *yaml)
{
    struct pc_install in = {.settings = rig_settings(r, yaml), .free_settings = rig_free_settings};
    in.ip_configured = in.settings->ip_configured;
    int rc = rig_run(r, rig_task(install, &in), NULL);
    PC_ASSERT(rc == 0);
}

static void remove_dir(const char *path)
{
    char name[512];
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        unlink(name);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static void make_tables(struct rig *r)
{
    struct pc_revocations_options options = {.segment_entries = r->segment_entries,
                                             .memory_limit_bytes = (size_t)1 << 30};
    struct pc_trust *trust = rig_trust(r);
    struct pc_tables *t;
    pc_trust_seal(trust, NULL);
    int rc = pc_tables_new(trust, r->default_settings, NULL, &t, &r->why);
    PC_ASSERT(rc == 0);
    /* Tables of the rig's own size in place of those of production. */
    pc_revocations_free(t->ids);
    pc_revocations_free(t->cutoffs);
    rc = pc_revocations_new(&options, &t->ids);
    options.with_cutoff = true;
    if (rc == 0)
        rc = pc_revocations_new(&options, &t->cutoffs);
    PC_ASSERT(rc == 0);
    memcpy(t->fingerprint_key, r->fingerprint_key, sizeof r->fingerprint_key);
    r->tables = t;
    r->options.tables = t;
}

static void *free_dead(void *tables)
{
    pc_tables_free(tables);
    return NULL;
}

static void bury(struct rig *r)
{
    pthread_t threads[RIG_DEAD_MAX];
    for (unsigned i = 0; i < r->dead_n; i++) {
        int rc = pthread_create(&threads[i], NULL, free_dead, r->dead[i]);
        PC_ASSERT(rc == 0);
    }
    pc_rcu_offline();
    for (unsigned i = 0; i < r->dead_n; i++)
        pthread_join(threads[i], NULL);
    pc_rcu_online();
    r->dead_n = 0;
}

static void free_tables(struct rig *r)
{
    if (r->dead_n == RIG_DEAD_MAX)
        bury(r);
    r->dead[r->dead_n++] = r->tables;
    r->tables = NULL;
}

void rig_free(struct rig *r)
{
    PC_ASSERT(!r->w);
    rig_forget(r);
    bury(r);
    for (unsigned i = 0; i < RIG_ISSUERS; i++)
        mint_key_free(r->keys[i]);
    mint_key_free(r->spare_key);
    pc_metrics_destroy(r->metrics);
    pc_events_free(r->events);
    rig_free_settings(r->default_settings);
    pthread_cond_destroy(&r->answered);
    pthread_mutex_destroy(&r->lock);
    if (r->dir[0])
        remove_dir(r->dir);
}

int rig_open(struct rig *r)
{
    PC_ASSERT(!r->w);
    r->by_hand = true;
    make_tables(r);
    int rc = pc_writer_new(&r->options, &r->w, &r->why);
    if (rc == 0 && pc_writer_bring_up(r->w, false))
        return 0;
    if (rc == 0) {
        struct pc_writer_health health;
        pc_writer_health(r->w, &health);
        PC_ASSERT(health.state == PC_WRITER_FAILED && health.why[0]);
        snprintf(r->why.text, sizeof r->why.text, "%s", health.why);
        rig_drop(r);
    } else {
        free_tables(r);
    }
    return -1;
}

static int nothing(struct pc_writer *w, struct pc_job *job)
{
    (void)w, (void)job;
    return 0;
}

int rig_start(struct rig *r)
{
    PC_ASSERT(!r->w);
    r->by_hand = false;
    make_tables(r);
    int rc = pc_writer_start(&r->options, &r->w, &r->why);
    PC_ASSERT(rc == 0);
    rc = rig_run(r, rig_task(nothing, NULL), NULL);
    PC_ASSERT(rc == 0 && pc_writer_ready(r->w));
    return 0;
}

/* Jobs that were pushed and never taken. */
static void free_queued(struct rig *r)
{
    for (unsigned i = 0; i < r->options.producers; i++) {
        pc_job_free(r->w->held[i]);
        for (struct pc_job *job; (job = pc_spsc_pop(r->w->queues[i]));)
            pc_job_free(job);
    }
}

static void free_writer(struct rig *r)
{
    free_queued(r);
    pc_writer_free(r->w);
    r->w = NULL;
    free_tables(r);
}

void rig_close(struct rig *r)
{
    if (r->by_hand) {
        pc_writer_shut_down(r->w);
        pc_writer_close(r->w);
    } else {
        pc_rcu_offline();
        pc_writer_stop(r->w);
        pc_rcu_online();
    }
    free_writer(r);
}

void rig_drop(struct rig *r)
{
    PC_ASSERT(r->by_hand);
    pc_writer_close(r->w);
    free_writer(r);
}

void rig_settle(struct rig *r)
{
    PC_ASSERT(r->by_hand);
    for (bool busy = true; busy;) {
        busy = pc_writer_turn(r->w);
        busy |= pc_background_work(r->w);
    }
    pc_background_collect(r->w);
}

/* Threaded: the second answer comes after the turn that saw the new time. */
static void look_at_clock(struct rig *r)
{
    for (int i = 0; i < 2 && !r->by_hand; i++)
        rig_run(r, rig_task(nothing, NULL), NULL);
}

void rig_pass(struct rig *r, int64_t ms)
{
    atomic_fetch_add(&r->wall_ms, ms);
    atomic_fetch_add(&r->mono_ns, ms * 1000000);
    look_at_clock(r);
}

void rig_step(struct rig *r, int64_t ms)
{
    atomic_fetch_add(&r->wall_ms, ms);
    look_at_clock(r);
}

/* ---- jobs ---- */

struct pc_change rig_change(enum pc_kind kind, enum pc_op op, const char *issuer, const char *id)
{
    return (struct pc_change){
        .kind = kind,
        .op = op,
        .issuer = pc_bytes_str(issuer),
        .id = pc_bytes_str(id),
        .actor = PC_LIT("rig"),
    };
}

struct pc_job *rig_job(const struct pc_change *changes, uint32_t n)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += changes[i].issuer.n + changes[i].id.n + changes[i].actor.n + changes[i].reason.n +
                 changes[i].value.n;
    struct pc_job *job = pc_job_new(n, bytes);
    PC_ASSERT(job != NULL);
    for (uint32_t i = 0; i < n; i++) {
        int rc = pc_job_add(job, &changes[i]);
        PC_ASSERT(rc == 0);
    }
    return job;
}

struct pc_job *rig_task(int (*task)(struct pc_writer *, struct pc_job *), void *arg)
{
    struct pc_job *job = pc_job_new(0, 0);
    PC_ASSERT(job != NULL);
    job->task = task;
    job->task_arg = arg;
    return job;
}

int rig_push(struct rig *r, unsigned producer, struct pc_job *job)
{
    int rc = pc_writer_push(r->w, producer, job);
    if (rc == 0 && !r->by_hand)
        pc_writer_notify(r->w);
    return rc;
}

void rig_wait(struct rig *r, size_t n)
{
    if (r->by_hand) {
        while (r->answers_n < n) {
            bool busy = pc_writer_turn(r->w);
            PC_ASSERT(busy);
        }
        return;
    }
    /* The waiting thread holds nothing loaded: grace periods must not wait for it. */
    pc_rcu_offline();
    pthread_mutex_lock(&r->lock);
    while (r->answers_n < n)
        pthread_cond_wait(&r->answered, &r->lock);
    pthread_mutex_unlock(&r->lock);
    pc_rcu_online();
}

void rig_forget(struct rig *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->answers_n)
        pc_job_free(r->answers[--r->answers_n]);
    pthread_mutex_unlock(&r->lock);
}

int rig_run(struct rig *r, struct pc_job *job, struct pc_job **ret_job)
{
    PC_ASSERT(r->answers_n == 0);
    int rc = rig_push(r, 0, job);
    PC_ASSERT(rc == 0);
    rig_wait(r, 1);
    PC_ASSERT(r->answers[0] == job);
    rc = job->result;
    if (ret_job) {
        *ret_job = job;
        r->answers_n = 0;
    }
    rig_forget(r);
    return rc;
}

int rig_commit(struct rig *r, enum pc_kind kind, enum pc_op op, const char *issuer, const char *id)
{
    struct pc_change c = rig_change(kind, op, issuer, id);
    return rig_run(r, rig_job(&c, 1), NULL);
}

int rig_revoke_until(struct rig *r, enum pc_kind kind, const char *id, int64_t expires_at_ms)
{
    struct pc_change c = rig_change(kind, PC_OP_REVOKE, rig_issuer(0), id);
    c.expires_at_ms = expires_at_ms;
    return rig_run(r, rig_job(&c, 1), NULL);
}

static int look_up(struct pc_writer *w, struct pc_job *job)
{
    pc_writer_look_up(w, &job->items[0].change, &job->items[0].state);
    return 0;
}

struct pc_revocation_state rig_look_up(struct rig *r, enum pc_kind kind, const char *issuer,
                                       const char *id)
{
    struct pc_change c = rig_change(kind, PC_OP_CLEAR, issuer, id);
    struct pc_job *job = rig_job(&c, 1);
    job->task = look_up;
    int rc = rig_run(r, job, &job);
    PC_ASSERT(rc == 0);
    struct pc_revocation_state state = job->items[0].state;
    pc_job_free(job);
    return state;
}

/* ---- deciding ---- */

void rig_core_init(struct rig_core *c, const struct rig *r)
{
    struct pc_token_cache_options cache = {.entries = 1024, .failures = 64};
    struct pc_verify_budget_options budget = {
        .share_permille = 1000, .client_permille = 1000, .burst_ms = 10000};
    struct pc_metrics_names names;
    uint64_t random = 815;
    static const uint8_t seed[32] = {1};
    *c = (struct rig_core){
        .server = {.tables = r->tables, .writer = r->w, .events = r->events, .cores = 1}
    };
    struct pc_worker *w = &c->worker;
    c->server.hash_key = malloc(sizeof *c->server.hash_key);
    uint8_t *noise = malloc(sizeof *c->server.hash_key);
    w->jwt = malloc(sizeof *w->jwt);
    w->scratch = malloc(PC_WORKER_SCRATCH_BYTES);
    w->blob = malloc(PC_WORKER_BLOB_BYTES);
    w->json = malloc(PC_WORKER_JSON_TOKENS * sizeof *w->json);
    w->decision_scratch = malloc(PC_DECISION_SCRATCH_BYTES);
    w->resp = malloc(sizeof *w->resp);
    PC_ASSERT(c->server.hash_key && noise && w->jwt && w->scratch && w->blob && w->json);
    PC_ASSERT(w->resp && w->decision_scratch);
    for (size_t i = 0; i < sizeof *c->server.hash_key; i++)
        noise[i] = (uint8_t)sim_random(&random);
    pc_token_hash_key_init(c->server.hash_key, noise);
    free(noise);
    pc_metric_names(&names);
    int rc = pc_metrics_create(1, &names, &c->metrics);
    PC_ASSERT(rc == 0);
    rc = pc_token_cache_create(&cache, &w->cache);
    PC_ASSERT(rc == 0);
    rc = pc_top_keys_new(&w->top);
    PC_ASSERT(rc == 0);
    rc = pc_verify_budget_create(&budget, 0, &w->budget);
    PC_ASSERT(rc == 0);
    c->settings = r->default_settings;
    c->server.settings = c->settings;
    c->server.started_as = c->settings->config;
    c->server.metrics = c->metrics;
    w->metrics = pc_metrics_core(c->metrics, 0);
    pc_prng_seed(&w->prng, seed);
    w->date_until_ms = INT64_MIN;
    w->server = &c->server;
    w->core = &c->core;
    c->core.user = w;
}

void rig_core_free(struct rig_core *c)
{
    pc_token_cache_destroy(c->worker.cache);
    pc_verify_budget_destroy(c->worker.budget);
    pc_metrics_destroy(c->metrics);
    free(c->server.hash_key);
    free(c->worker.jwt);
    free(c->worker.scratch);
    free(c->worker.blob);
    free(c->worker.decision_scratch);
    pc_top_keys_free(c->worker.top);
    free(c->worker.json);
    free(c->worker.resp);
    pc_job_pool_free(&c->worker.jobs);
}

enum pc_token_error rig_decide(struct rig_core *c, const struct rig *r, const char *token)
{
    static const struct pc_ip client = {
        .family = 4, .b = {127, 0, 0, 1}
    };
    struct pc_verdict verdict;
    c->core.now_ms = atomic_load(&r->wall_ms);
    c->core.now_ns += 1000000000; /* so that the signature budget never ends */
    pc_decide(&c->worker, pc_bytes_str(token), &client, &verdict);
    PC_ASSERT(!verdict.busy);
    return verdict.error;
}

const char *rig_token_by(const struct mint_key *key, const char *issuer, const char *sub,
                         const char *jti, int64_t iat_s, const char *more, char out[RIG_TOKEN_MAX])
{
    char claims[RIG_TOKEN_MAX / 2];
    struct pc_buf c = pc_buf_of(claims, sizeof claims - 1), t = pc_buf_of(out, RIG_TOKEN_MAX - 1);
    mint_claims(&c, issuer, sub, jti, iat_s, more);
    claims[c.len] = 0;
    mint_token(&t, key, PC_ALG_EDDSA, claims);
    PC_ASSERT(!c.overflow && !t.overflow);
    out[t.len] = 0;
    return out;
}

const char *rig_token(const struct rig *r, unsigned issuer, const char *sub, const char *jti,
                      int64_t iat_s, const char *more, char out[RIG_TOKEN_MAX])
{
    return rig_token_by(r->keys[issuer], rig_issuer(issuer), sub, jti, iat_s, more, out);
}
