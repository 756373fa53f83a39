/* SPDX-License-Identifier: Apache-2.0
 * portcullis serve and restart: everything before the first edge is started. The sockets are opened
 * here and stay open while edges come and go, so connections wait in the backlog and none is
 * refused. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/admin_tokens.h"
#include "base/clock.h"
#include "base/log.h"
#include "client.h"
#include "dev.h"
#include "edge/loop/listener.h"

#define EDGE_NAME        "portcullis-edge"
#define ENV_MAX          768
#define WAIT_DEFAULT_MS  60000
#define WAIT_INTERVAL_MS 50

/* ---- Sockets. ---- */

/* The i-th of the names that came with inherited sockets; *ret_n is 0 when there is none. */
static const char *inherited_name(const char *names, int i, size_t *ret_n)
{
    for (; names && i > 0; i--) {
        names = strchr(names, ':');
        names = names ? names + 1 : NULL;
    }
    *ret_n = names ? strcspn(names, ":") : 0;
    return names;
}

/* A socket that systemd (or another supervisor) opened for this listener, or -1. */
static int take_inherited(const struct cli *c, const char *name)
{
    struct pc_why why;
    int count =
        pc_listener_inherited(cli_env(c, "LISTEN_PID"), cli_env(c, "LISTEN_FDS"), getpid(), &why);
    for (int i = 0; i < count; i++) {
        size_t n;
        const char *given = inherited_name(cli_env(c, "LISTEN_FDNAMES"), i, &n);
        if (given && strlen(name) == n && strncmp(given, name, n) == 0)
            return PC_LISTEN_FDS_START + i;
    }
    return -1;
}

int serve_open_sockets(struct serve *s, const struct cli *c)
{
    struct pc_buf names = pc_buf_of(s->names, sizeof s->names - 1);
    for (unsigned i = 0; i < s->config->listener_count; i++) {
        const struct pc_config_listener *l = &s->config->listeners[i];
        struct pc_why why;
        int fd = take_inherited(c, l->name);
        s->inherited[i] = fd >= 0;
        if (fd < 0 &&
            pc_listener_open(l->address, (int)l->backlog, (mode_t)l->unix_mode, &fd, &why))
            return cli_fail(CLI_NO, "listeners[%u].address: %s", i, why.text);
        /* The edges get copies; without this they would also get the original. */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        s->sockets[s->socket_count++] = fd;
        pc_buf_fmt(&names, "%s%s", i ? ":" : "", l->name);
    }
    PC_ASSERT(!names.overflow); /* names of listeners are short */
    return CLI_OK;
}

static void close_sockets(struct serve *s)
{
    for (unsigned i = 0; i < s->socket_count; i++) {
        close(s->sockets[i]);
        if (!s->inherited[i])
            pc_listener_unlink(s->config->listeners[i].address);
    }
    s->socket_count = 0;
}

/* ---- The edge's program, arguments and environment. ---- */

/* PORTCULLIS_EDGE, or the file beside this program. */
static int find_edge(struct serve *s, const struct cli *c)
{
    const char *named = cli_env(c, "PORTCULLIS_EDGE");
    if (named) {
        snprintf(s->edge, sizeof s->edge, "%s", named);
    } else {
        char self[CLI_PATH_MAX - sizeof EDGE_NAME - 1];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;
        if (!slash)
            return cli_fail(CLI_NO, "cannot find where this program is");
        snprintf(s->edge, sizeof s->edge, "%.*s/" EDGE_NAME, (int)(slash - self), self);
    }
    if (access(s->edge, X_OK) < 0)
        return cli_fail(CLI_NO, "%s: %s (PORTCULLIS_EDGE may name another)", s->edge,
                        pc_strerror(-errno));
    return CLI_OK;
}

static void add_argument(struct serve *s, const char *option, const char *value)
{
    size_t n = 0;
    while (s->argv[n])
        n++;
    PC_ASSERT(n + 2 < PC_COUNT(s->argv));
    s->argv[n] = (char *)(uintptr_t)option;
    s->argv[n + 1] = (char *)(uintptr_t)value;
}

static void build_arguments(struct serve *s, const struct cli *c, const char *overlay)
{
    const char *path = cli_config_path(c);
    s->argv[0] = s->edge;
    if (path)
        add_argument(s, "--config", path);
    if (overlay)
        add_argument(s, "--overlay", overlay);
    if (c->o.env_file)
        add_argument(s, "--env-file", c->o.env_file);
    if (c->o.recover && strcmp(c->o.recover, "normal") != 0)
        add_argument(s, "--recover", c->o.recover);
    if (c->o.dev)
        add_argument(s, "--dev", NULL);
}

/* The edge sees its configuration and little else of our environment. */
static bool passes(const char *variable)
{
    static const char *const prefixes[] = {
        "PORTCULLIS_",   "FLAG_",          "PATH=",         "LANG=",         "LC_",        "TZ=",
        "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LSAN_OPTIONS=", "GCOV_PREFIX"};
    for (size_t i = 0; i < PC_COUNT(prefixes); i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static int build_environment(struct serve *s, const struct cli *c)
{
    size_t n = 0;
    s->env = calloc(ENV_MAX + 1, sizeof *s->env);
    if (!s->env)
        return cli_fail(CLI_NO, "out of memory");
    for (char *const *v = c->environ; *v; v++) {
        if (!passes(*v))
            continue;
        if (n == ENV_MAX)
            return cli_fail(CLI_NO, "more than %d variables to pass on", ENV_MAX);
        s->env[n++] = *v;
    }
    return CLI_OK;
}

/* ---- trying the configuration out ---- */

static int wait_for_check(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return cli_fail(CLI_NO, "waiting for " EDGE_NAME ": %s", pc_strerror(-errno));
    /* What is wrong it has said itself. */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CLI_OK : CLI_NO;
}

int serve_check(struct cli *c)
{
    struct serve s = {.lock = -1};
    pid_t pid;
    int status = find_edge(&s, c);
    if (!status)
        status = build_environment(&s, c);
    if (!status) {
        build_arguments(&s, c, NULL);
        add_argument(&s, "--check", NULL);
        int err = posix_spawn(&pid, s.edge, NULL, NULL, s.argv, s.env);
        status = err ? cli_fail(CLI_NO, "%s: %s", s.edge, pc_strerror(-err)) : wait_for_check(pid);
    }
    free(s.env);
    return status;
}

/* ---- serve ---- */

static int prepare_data_dir(const struct pc_config *config)
{
    struct stat st;
    if (mkdir(config->data_dir, 0700) < 0 && errno != EEXIST)
        return cli_fail(CLI_NO, "data_dir: %s: %s", config->data_dir, pc_strerror(-errno));
    if (stat(config->data_dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return cli_fail(CLI_NO, "data_dir: %s is not a directory", config->data_dir);
    if (!(st.st_mode & 0077))
        return CLI_OK;
    if (chmod(config->data_dir, 0700) < 0)
        return cli_fail(CLI_NO, "data_dir: %s: others may access it (mode %04o): chmod 700 it",
                        config->data_dir, (unsigned)(st.st_mode & 07777));
    pc_log_event(PC_LOG_WARN, "data_dir_made_private", "%s had mode %04o, now 0700",
                 config->data_dir, (unsigned)(st.st_mode & 07777));
    return CLI_OK;
}

static int check_listeners(const struct pc_config *config)
{
    struct pc_admin_tokens tokens;
    struct pc_why why;
    if (pc_admin_tokens_load(config->admin.tokens_file, &tokens, &why))
        return cli_fail(CLI_NO, "%s", why.text);
    bool have = pc_admin_tokens_any_alive(&tokens, pc_clock_wall_ms() / 1000);
    pc_admin_tokens_free(&tokens);
    return pc_config_check(config, have, &why) ? cli_fail(CLI_NO, "%s", why.text) : CLI_OK;
}

/* Connections are file descriptors, and the soft limit is usually 1024. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve_with(struct serve *s, struct cli *c)
{
    char overlay[CLI_PATH_MAX];
    int status = prepare_data_dir(s->config);
    if (!status)
        status = supervise_lock(s);
    if (!status && c->o.dev)
        status = dev_prepare(s->config, overlay);
    if (!status)
        status = check_listeners(s->config);
    if (!status)
        status = find_edge(s, c);
    if (!status)
        status = build_environment(s, c);
    if (!status)
        status = serve_open_sockets(s, c);
    if (status)
        return status;
    build_arguments(s, c, c->o.dev ? overlay : NULL);
    raise_file_limit();
    return supervise_run(s);
}

int cli_serve(struct cli *c)
{
    struct serve s = {.lock = -1};
    struct pc_config *config;
    static const char *const modes[] = {"normal", "strict", "salvage"};
    bool known = !c->o.recover;
    for (size_t i = 0; i < PC_COUNT(modes); i++)
        known |= c->o.recover && strcmp(c->o.recover, modes[i]) == 0;
    if (!known)
        return cli_usage(c, "--recover must be normal, strict or salvage");
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    s.config = config;
    status = serve_with(&s, c);
    close_sockets(&s);
    if (s.lock >= 0)
        close(s.lock);
    free(s.env);
    pc_config_free(config);
    return status;
}

/* ---- restart ---- */

/* The edge that this serve runs now; 0 while there is none. */
static pid_t edge_of(pid_t serve)
{
    char path[64];
    long pid = 0;
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)serve, (long)serve);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%ld", &pid) != 1)
            pid = 0;
        fclose(f);
    }
    return (pid_t)pid;
}

static bool is_ready(const struct client *client)
{
    struct answer a;
    client_call(client, "GET", "/readiness", NULL, &a);
    free(a.body);
    return a.status == 200;
}

static int wait_for_new(const struct client *client, pid_t serve, pid_t old, int64_t wait_ms)
{
    int64_t until_ns = pc_clock_mono_ns() + wait_ms * 1000000;
    while (pc_clock_mono_ns() < until_ns) {
        pid_t now = edge_of(serve);
        if (now && now != old && is_ready(client)) {
            printf("restarted: the server is process %ld now\n", (long)now);
            return CLI_OK;
        }
        if (kill(serve, 0) < 0)
            return cli_fail(CLI_NO, "portcullis serve (process %ld) has ended: see its log",
                            (long)serve);
        poll(NULL, 0, WAIT_INTERVAL_MS);
    }
    return cli_fail(CLI_NO, "the new server was not ready in time: see its log");
}

int cli_restart(struct cli *c)
{
    struct pc_config *config;
    struct client client;
    int64_t wait_ms = WAIT_DEFAULT_MS;
    if (c->o.wait && !cli_duration(c, "--wait", c->o.wait, &wait_ms))
        return CLI_USAGE;
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    pid_t serve = supervise_holder(config->data_dir);
    if (!serve)
        status = cli_fail(CLI_NO, "no portcullis serve runs on %s", config->data_dir);
    pc_config_free(config);
    if (!status)
        status = client_open(c, &client);
    if (status)
        return status;
    pid_t old = edge_of(serve);
    if (kill(serve, SIGUSR2) < 0)
        status = cli_fail(CLI_NO, "process %ld: %s", (long)serve, pc_strerror(-errno));
    else
        status = wait_for_new(&client, serve, old, wait_ms);
    client_close(&client);
    return status;
}
