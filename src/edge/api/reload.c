/* SPDX-License-Identifier: Apache-2.0
 * What changes while the server runs: configuration, keys, flags. Everything new is built here, on
 * the main thread, and put in place by the writer in one publish; what is bad is refused with words
 * and the old stays. */
#include <semaphore.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "edge/api/cpus.h"
#include "edge/api/credentials.h"
#include "edge/api/flags_load.h"
#include "edge/api/server_private.h"
#include "edge/api/trust_load.h"

/* ---- settings ---- */

void pc_server_free_settings(struct pc_settings *s)
{
    if (!s)
        return;
    pc_settings_free_compiled(s);
    pc_admin_tokens_free(&s->admins);
    pc_config_free(s->config);
    free(s);
}

void pc_server_release_settings(struct pc_settings *s)
{
    if (!s->kept)
        pc_server_free_settings(s);
}

static int add_admin(struct pc_settings *s, struct pc_bytes text, struct pc_why *why)
{
    int rc = pc_admin_tokens_add_text(&s->admins, "admin-token-file", PC_ADMIN_ADMIN, text);
    if (rc == -EINVAL)
        return pc_fail(why, rc, "admin.token_file: %s must hold a token of %d to %d bytes",
                       s->config->admin.token_file, PC_ADMIN_TOKEN_TEXT_MIN,
                       PC_ADMIN_TOKEN_TEXT_MAX);
    return rc < 0 ? pc_fail(why, rc, "admin.token_file: %s", pc_strerror(rc)) : 0;
}

static int load_admins(struct pc_settings *s, struct pc_why *why)
{
    const struct pc_config *c = s->config;
    int rc = pc_admin_tokens_load(c->admin.tokens_file, &s->admins, why);
    if (rc < 0)
        return rc;
    if (c->admin.token_file && c->admin.token_file[0]) {
        struct pc_secret secret;
        rc = pc_secret_read(c->admin.token_file, &secret, why);
        if (rc == 0)
            rc = add_admin(s, pc_secret_bytes(&secret), why);
        pc_wipe(&secret, sizeof secret);
    }
    s->have_admins = pc_admin_tokens_any_alive(&s->admins, pc_clock_wall_ms() / 1000);
    return rc;
}

/* At start the configuration decides how many cores there are; later it is the other way round. */
static int compile_settings(struct pc_server *server, struct pc_settings *s, struct pc_why *why)
{
    if (!server->cores)
        server->cores = pc_cores_to_use(s->config);
    return pc_settings_compile(s, server->started_as ? server->started_as : s->config,
                               server->settings, server->cores, server->limit_key, why);
}

int pc_server_load_settings(struct pc_server *server, struct pc_settings **ret, struct pc_why *why)
{
    struct pc_settings *s = calloc(1, sizeof *s);
    if (!s)
        return pc_fail(why, -ENOMEM, "no memory for the settings");
    int rc = pc_config_load(&pc_control_of(server)->options.config, &s->config, why);
    if (rc == 0)
        rc = load_admins(s, why);
    if (rc == 0)
        rc = pc_config_check(s->config, s->have_admins, why);
    if (rc == 0)
        rc = pc_credential_rule(s->config, &s->credential_rule, why);
    if (rc == 0)
        rc = compile_settings(server, s, why);
    if (rc < 0) {
        pc_server_free_settings(s);
        return rc;
    }
    *ret = s;
    return 0;
}

/* ---- reload ---- */

struct waiter {
    sem_t done;
};

static void wake_main(struct pc_job *job)
{
    sem_post(&((struct waiter *)job->owner)->done);
}

int pc_server_run_on_writer(struct pc_server *s, int (*task)(struct pc_writer *, struct pc_job *),
                            void *arg)
{
    struct waiter waiter;
    struct pc_job *job = pc_job_new(0, 0);
    if (!job)
        return -ENOMEM;
    sem_init(&waiter.done, 0, 0);
    job->task = task;
    job->task_arg = arg;
    job->owner = &waiter;
    job->done = wake_main;
    /* The main thread has one job under way at a time: there is always room. */
    int rc = pc_writer_push(s->writer, s->cores, job);
    PC_ASSERT(rc == 0);
    pc_writer_notify(s->writer);
    while (sem_wait(&waiter.done) < 0)
        PC_ASSERT(errno == EINTR);
    rc = job->result;
    sem_destroy(&waiter.done);
    pc_job_free(job);
    return rc;
}

static int install(struct pc_writer *w, struct pc_job *job)
{
    return pc_writer_install(w, job->task_arg);
}

static int run_install(struct pc_server *s, struct pc_install *in)
{
    int rc = pc_server_run_on_writer(s, install, in);
    if (rc < 0 && in->why && !in->why->text[0])
        pc_fail(in->why, rc, "%s", pc_strerror(rc));
    pc_install_free(in); /* what did not reach the writer */
    return rc;
}

/* Reads issuers and keys, and puts them in place together with `fresh` (NULL: as they are). */
static int install_all(struct pc_server *s, const struct pc_config *c, struct pc_settings *fresh,
                       struct pc_why *why)
{
    struct pc_install in = {.free_settings = pc_server_release_settings, .why = why};
    int rc = pc_trust_load(c, &in.trust, why);
    struct pc_metrics_block *m = pc_metrics_main(s->metrics);
    pc_metric_inc(m, rc < 0 ? PC_M_JWKS_REFUSED : PC_M_JWKS_RELOADED);
    if (rc == 0 && fresh)
        rc = pc_flags_load(c, &in.flag_file, why);
    if (rc < 0) {
        pc_trust_free(in.trust);
        pc_server_free_settings(fresh);
        return rc;
    }
    in.settings = fresh;
    in.ip_configured = fresh ? fresh->ip_configured : NULL;
    rc = run_install(s, &in);
    if (rc == 0 && fresh)
        s->settings = fresh;
    return rc;
}

/* Again after each reload: paths may be others, and links may lead elsewhere. */
void pc_server_watch_files(struct control *c)
{
    const struct pc_config *config = c->server.settings->config;
    int rc = 0;
    pc_watch_clear(c->watch, PC_WATCH_KEYS);
    for (unsigned i = 0; i < config->issuer_count && rc == 0; i++) {
        rc = pc_watch_add(c->watch, PC_WATCH_KEYS, config->issuers[i].jwks_file);
        if (rc == 0)
            rc = pc_watch_add(c->watch, PC_WATCH_KEYS, config->issuers[i].hmac_secret_file);
    }
    pc_watch_clear(c->watch, PC_WATCH_FLAGS);
    if (rc == 0)
        rc = pc_watch_add(c->watch, PC_WATCH_FLAGS, config->flags.file);
    if (rc < 0)
        pc_log_event(PC_LOG_WARN, "not_watched", "changed files will only be read at a reload: %s",
                     pc_strerror(rc));
}

static int do_reload(struct pc_server *s, struct pc_why *why)
{
    struct pc_settings *fresh;
    int rc = pc_server_load_settings(s, &fresh, why);
    if (rc < 0)
        return rc;
    rc = install_all(s, fresh->config, fresh, why);
    if (rc < 0)
        return rc;
    pc_log_set_level(s->logger, (enum pc_log_level)fresh->config->log.level);
    pc_server_watch_files(pc_control_of(s));
    return 0;
}

/* Says which changed keys wait for a restart, so that nobody takes them for live. */
static void log_reload(const struct pc_server *s)
{
    char text[512];
    struct pc_buf names = pc_buf_of(text, sizeof text - 1);
    unsigned waiting = pc_config_needs_restart(s->started_as, s->settings->config, &names);
    text[names.len] = 0;
    pc_log_event(PC_LOG_INFO, "reloaded", "configuration %s", s->settings->config->hash);
    if (waiting)
        pc_log_event(PC_LOG_WARN, "restart_needed", "%u changed keys take effect at a restart: %s",
                     waiting, text);
}

/* Why nothing is reloaded at this moment; 0: it may be. */
static int not_now(const struct pc_server *s, struct pc_why *why)
{
    if (s->stopping)
        return pc_fail(why, -EAGAIN, "the server is stopping");
    return pc_writer_ready(s->writer) ? 0 : pc_fail(why, -EAGAIN, "recovery is not complete yet");
}

int pc_server_reload(struct pc_server *s, struct pc_why *why)
{
    struct pc_metrics_block *m = pc_metrics_main(s->metrics);
    int rc = not_now(s, why);
    if (rc == 0)
        rc = do_reload(s, why);
    pc_metric_inc(m, rc < 0 ? PC_M_CONFIG_REFUSED : PC_M_CONFIG_RELOADED);
    if (rc < 0)
        pc_log_event(PC_LOG_ERROR, "reload_refused", "%s; the old configuration stays", why->text);
    else
        log_reload(s);
    return rc;
}

/* ---- flags ---- */

static int install_flags(struct pc_server *s, struct pc_why *why)
{
    struct pc_install in = {.why = why};
    int rc = not_now(s, why);
    if (rc == 0)
        rc = pc_flags_load(s->settings->config, &in.flag_file, why);
    return rc < 0 ? rc : run_install(s, &in);
}

void pc_server_tell_ignored_flags(struct pc_server *s)
{
    pc_rcu_online();
    const struct pc_flags *f = pc_server_view(s)->flags;
    if (f->ignored)
        pc_log_event(PC_LOG_WARN, "flag_values_ignored",
                     "%u flags have a runtime value of another type, which does not count (%.*s is "
                     "the first): set or remove it",
                     f->ignored, (int)f->first_ignored->key.n,
                     (const char *)f->first_ignored->key.p);
    pc_rcu_offline();
}

int pc_server_reload_flags(struct pc_server *s, struct pc_why *why)
{
    int rc = install_flags(s, why);
    pc_metric_inc(pc_metrics_main(s->metrics), rc < 0 ? PC_M_FLAGS_REFUSED : PC_M_FLAGS_RELOADED);
    if (rc < 0) {
        pc_log_event(PC_LOG_ERROR, "flags_refused", "%s; the old flags stay", why->text);
        return rc;
    }
    pc_log_event(PC_LOG_INFO, "flags_reloaded", "the flag file was read again");
    pc_server_tell_ignored_flags(s);
    pc_server_watch_files(pc_control_of(s));
    return 0;
}

int pc_server_load_flags(struct control *c, struct pc_why *why)
{
    struct pc_flags *trial = NULL;
    int rc = pc_flag_layer_from_environ(c->options.config.environ, &c->flag_environment, why);
    if (rc == 0)
        rc = pc_flags_load(c->server.started_as, &c->flag_file, why);
    if (rc == 0)
        rc = pc_flags_compile(c->flag_file, NULL, c->flag_environment, &trial, why);
    pc_flags_free(trial);
    return rc;
}

/* ---- changed files ---- */

static void reload_keys(struct control *c)
{
    struct pc_why why = {{0}};
    if (install_all(&c->server, c->server.settings->config, NULL, &why) < 0)
        pc_log_event(PC_LOG_ERROR, "keys_refused", "%s; the old keys stay", why.text);
    else
        pc_log_event(PC_LOG_INFO, "keys_reloaded", "key files were read again");
}

/* What changes while recovery runs is read when it has ended. */
void pc_server_reload_touched(struct control *c)
{
    struct pc_why why = {{0}};
    c->touched |= pc_watch_due(c->watch, pc_clock_mono_ns());
    if (!c->touched || !pc_writer_ready(c->server.writer))
        return;
    if (c->touched & PC_WATCH_BIT(KEYS))
        reload_keys(c);
    if (c->touched & PC_WATCH_BIT(FLAGS))
        pc_server_reload_flags(&c->server, &why);
    c->touched = 0;
    pc_server_watch_files(c);
}

/* ---- trying a configuration out ---- */

int pc_server_check(const struct pc_server_options *o, struct pc_why *why)
{
    struct control *c = calloc(1, sizeof *c);
    struct pc_settings *settings = NULL;
    struct pc_trust *trust = NULL;
    if (!c)
        return pc_fail(why, -ENOMEM, "no memory");
    c->options = *o;
    int rc = pc_server_load_settings(&c->server, &settings, why);
    if (rc == 0) {
        c->server.started_as = settings->config;
        rc = pc_trust_load(settings->config, &trust, why);
    }
    if (rc == 0)
        rc = pc_server_load_flags(c, why);
    pc_trust_free(trust);
    pc_server_free_settings(settings);
    pc_flag_layer_free(c->flag_file);
    pc_flag_layer_free(c->flag_environment);
    free(c);
    return rc;
}
