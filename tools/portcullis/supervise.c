/* SPDX-License-Identifier: Apache-2.0
 * Supervision: one edge at a time, started again when it ends, until a signal says stop.
 *
 *            start                 ends
 *   WAITING ───────► RUNNING ─────────────► WAITING (at once, or after a pause if it crashed)
 *      │                │ TERM, INT
 *      │ TERM, INT      ▼
 *      └──────► done   STOPPING ──ends──► done, with the edge's status
 *
 * An old edge has ended, and so has let go of the data directory, before the next is started. The
 * edge is in a process group of its own: Ctrl-C reaches it once, through us. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve.h"

#define LISTEN_FDS_START 3
#define PAUSE_FIRST_MS   100
#define PAUSE_MAX_MS     10000
#define GOOD_RUN_MS      30000 /* after which a crash counts as the first again */
#define STATUS_SIGNAL    128

enum state { WAITING, RUNNING, STOPPING, DONE };

struct supervisor {
    struct serve *s;
    enum state state;
    pid_t edge;          /* RUNNING, STOPPING */
    int64_t started_ns;  /* of the edge */
    int64_t start_at_ns; /* WAITING */
    int64_t pause_ms;
    bool ever_good;  /* some edge has run long enough, or has ended in order */
    bool restarting; /* its end was asked for */
    unsigned stops;  /* TERM and INT seen */
    int status;      /* DONE */
};

/* The one place where the state changes. */
static void set_state(struct supervisor *v, enum state next)
{
    PC_ASSERT(v->state != DONE);
    PC_ASSERT((next == RUNNING || next == STOPPING) == (v->edge != 0));
    v->state = next;
}

/* ---- The lock. ---- */

static int lock_file(const char *data_dir, int flags)
{
    char path[CLI_PATH_MAX];
    snprintf(path, sizeof path, "%s/serve.pid", data_dir);
    return open(path, flags | O_CLOEXEC, 0600);
}

int supervise_lock(struct serve *s)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32];
    s->lock = lock_file(s->config->data_dir, O_RDWR | O_CREAT);
    if (s->lock < 0)
        return cli_fail(CLI_NO, "%s/serve.pid: %s", s->config->data_dir, pc_strerror(-errno));
    if (fcntl(s->lock, F_SETLK, &lock) < 0)
        return cli_fail(CLI_NO, "%s is served already, by process %ld", s->config->data_dir,
                        (long)supervise_holder(s->config->data_dir));
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(s->lock, 0) < 0 || write(s->lock, text, (size_t)n) != n)
        return cli_fail(CLI_NO, "%s/serve.pid: %s", s->config->data_dir, pc_strerror(-errno));
    return CLI_OK;
}

/* The kernel knows who holds the lock; what the file says may be left over. */
pid_t supervise_holder(const char *data_dir)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = lock_file(data_dir, O_RDWR);
    if (fd < 0)
        return 0;
    bool known = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return known ? lock.l_pid : 0;
}

/* ---- Starting an edge. ---- */

/* In the child: sockets to 3, 4, …, which may be where some of them are already. */
static bool place_sockets(const struct serve *s)
{
    int moved[PC_CONFIG_LISTENERS_MAX];
    for (unsigned i = 0; i < s->socket_count; i++) {
        moved[i] =
            fcntl(s->sockets[i], F_DUPFD_CLOEXEC, LISTEN_FDS_START + PC_CONFIG_LISTENERS_MAX);
        if (moved[i] < 0)
            return false;
    }
    for (unsigned i = 0; i < s->socket_count; i++)
        if (dup2(moved[i], LISTEN_FDS_START + (int)i) < 0) /* not close-on-exec */
            return false;
    return true;
}

/* In the child. Does not return. */
static void become_edge(const struct serve *s, char **env)
{
    size_t n = 0;
    char pid[40], fds[40], names[sizeof s->names + 20];
    /* Signals stay blocked: the edge blocks them too, and one that comes before it listens to them
     * waits instead of ending it by default. */
    setpgid(0, 0);
    while (env[n])
        n++;
    snprintf(pid, sizeof pid, "LISTEN_PID=%ld", (long)getpid());
    snprintf(fds, sizeof fds, "LISTEN_FDS=%u", s->socket_count);
    snprintf(names, sizeof names, "LISTEN_FDNAMES=%s", s->names);
    env[n++] = pid;
    env[n++] = fds;
    env[n++] = names;
    env[n] = NULL;
    if (place_sockets(s))
        execve(s->edge, s->argv, env);
    pc_log_event(PC_LOG_ERROR, "edge_not_started", "%s: %s", s->edge, pc_strerror(-errno));
    _exit(127);
}

/* A copy of the environment with room for three more, so that the child need not allocate. */
static char **copy_environment(char *const *env)
{
    size_t n = 0;
    while (env[n])
        n++;
    char **copy = calloc(n + 4, sizeof *copy);
    if (copy)
        memcpy(copy, env, n * sizeof *copy);
    return copy;
}

static void pause_then_start(struct supervisor *v)
{
    v->edge = 0;
    v->start_at_ns = pc_clock_mono_ns() + v->pause_ms * 1000000;
    v->pause_ms = pc_min_i64(v->pause_ms * 2, PAUSE_MAX_MS);
    set_state(v, WAITING);
}

static void start_edge(struct supervisor *v)
{
    char **env = copy_environment(v->s->env);
    pid_t parent = getpid(), pid = env ? fork() : -1;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* no edge outlives its supervisor */
        if (getppid() != parent)          /* it ended before prctl could tell us */
            _exit(127);
        become_edge(v->s, env);
    }
    free(env);
    if (pid < 0) {
        pc_log_event(PC_LOG_ERROR, "edge_not_started", "fork: %s", pc_strerror(-errno));
        pause_then_start(v);
        return;
    }
    v->edge = pid;
    v->started_ns = pc_clock_mono_ns();
    v->restarting = false;
    set_state(v, RUNNING);
    struct pc_log *l = pc_log_begin(PC_LOG_INFO, "edge_started");
    pc_log_i64(l, "pid", pid);
    pc_log_end(l);
}

/* ---- The end of an edge. ---- */

static void log_end(const struct supervisor *v, int wait_status, bool asked)
{
    struct pc_log *l = pc_log_begin(asked ? PC_LOG_INFO : PC_LOG_ERROR, "edge_ended");
    pc_log_i64(l, "pid", v->edge);
    if (WIFSIGNALED(wait_status))
        pc_log_i64(l, "signal", WTERMSIG(wait_status));
    else
        pc_log_i64(l, "status", WEXITSTATUS(wait_status));
    pc_log_end(l);
}

static void finish(struct supervisor *v, int status)
{
    v->edge = 0;
    v->status = status;
    set_state(v, DONE);
}

static void edge_ended(struct supervisor *v, int wait_status)
{
    bool in_order = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    int status =
        WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : STATUS_SIGNAL + WTERMSIG(wait_status);
    int64_t lived_ms = (pc_clock_mono_ns() - v->started_ns) / 1000000;
    log_end(v, wait_status, v->state == STOPPING || in_order);
    if (v->state == STOPPING) {
        finish(v, status);
        return;
    }
    if (in_order || lived_ms >= GOOD_RUN_MS) {
        v->ever_good = true;
        v->pause_ms = PAUSE_FIRST_MS;
    }
    /* The first edge refused to start (configuration, damage, lock): trying again would only hide
     * its message. */
    if (!v->ever_good && WIFEXITED(wait_status)) {
        finish(v, status);
        return;
    }
    if (in_order || v->restarting) {
        v->edge = 0;
        v->start_at_ns = 0;
        set_state(v, WAITING);
        return;
    }
    pause_then_start(v);
}

static void reap(struct supervisor *v)
{
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        if (pid == v->edge)
            edge_ended(v, wait_status);
}

/* ---- Signals. ---- */

static void pass_on(const struct supervisor *v, int signal)
{
    if (v->edge)
        kill(v->edge, signal);
}

static void stop(struct supervisor *v)
{
    v->stops++;
    if (v->state == WAITING) {
        finish(v, CLI_OK);
        return;
    }
    /* One that is being replaced was asked already: asked again it would cut its answers off. */
    if (v->stops > 1 || !v->restarting)
        pass_on(v, v->stops <= 2 ? SIGTERM : SIGKILL); /* the second means at once, to it too */
    if (v->state == RUNNING)
        set_state(v, STOPPING);
}

static void take_signal(struct supervisor *v, int signal)
{
    switch (signal) {
    case SIGCHLD: reap(v); break;
    case SIGHUP: pass_on(v, SIGHUP); break;
    case SIGUSR2:
        if (v->state == RUNNING && !v->restarting) {
            v->restarting = true;
            pass_on(v, SIGTERM);
        }
        break;
    default: stop(v);
    }
}

/* ---- The loop. ---- */

static int timeout_ms(const struct supervisor *v)
{
    if (v->state != WAITING)
        return -1;
    int64_t left_ns = v->start_at_ns - pc_clock_mono_ns();
    return left_ns <= 0 ? 0 : (int)(left_ns / 1000000 + 1);
}

static void run(struct supervisor *v, int signals)
{
    while (v->state != DONE) {
        struct pollfd p = {.fd = signals, .events = POLLIN};
        struct signalfd_siginfo info;
        int ready = poll(&p, 1, timeout_ms(v));
        if (ready > 0 && read(signals, &info, sizeof info) == sizeof info)
            take_signal(v, (int)info.ssi_signo);
        else if (ready == 0 && v->state == WAITING)
            start_edge(v);
    }
}

int supervise_run(struct serve *s)
{
    struct supervisor v = {.s = s, .state = WAITING, .pause_ms = PAUSE_FIRST_MS};
    sigset_t mask;
    sigemptyset(&mask);
    for (const int *signal = (const int[]){SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD, 0}; *signal;
         signal++)
        sigaddset(&mask, *signal);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC);
    if (signals < 0)
        return cli_fail(CLI_NO, "signalfd: %s", pc_strerror(-errno));
    run(&v, signals);
    close(signals);
    return v.status;
}
