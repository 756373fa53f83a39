/* SPDX-License-Identifier: Apache-2.0
 * Reading /proc, /metrics and the performance counters of a server (server_probe.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "load/protocol.h"
#include "load/server_probe.h"
#include "load/target.h"

enum { PROC_BYTES = 8192, METRICS_TIMEOUT_S = 5 };

static const char *const metric_names[] = {
    "process_cpu_seconds_total", "process_cpu_user_seconds_total",
    "process_cpu_system_seconds_total", "process_resident_memory_bytes"};

/* --- /proc ---------------------------------------------------------------------------------- */

static bool read_proc(pid_t pid, const char *name, char text[PROC_BYTES])
{
    char path[320];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t n = read(fd, text, PROC_BYTES - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return true;
}

/* Calls for every thread of the process. */
static bool each_thread(pid_t pid, void (*call)(void *arg, pid_t pid, pid_t tid), void *arg)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own */
    for (const struct dirent *e; (e = readdir(dir));) {
        const long tid = strtol(e->d_name, NULL, 10);
        if (tid > 0)
            call(arg, pid, (pid_t)tid);
    }
    closedir(dir);
    return true;
}

/* The number after "Name:" in a file of such lines; NAN: none. */
static double line_value(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtod(at + strlen(name), NULL) : NAN;
}

struct thread_sums {
    double run_ns, voluntary, involuntary;
    bool has_run;
};

static void add_run_time(void *arg, pid_t pid, pid_t tid)
{
    struct thread_sums *sums = arg;
    char name[64], text[PROC_BYTES];
    snprintf(name, sizeof(name), "task/%d/schedstat", (int)tid);
    if (!read_proc(pid, name, text))
        return;
    sums->run_ns += strtod(text, NULL);
    sums->has_run = true;
}

static void add_thread(void *arg, pid_t pid, pid_t tid)
{
    struct thread_sums *sums = arg;
    char name[64], text[PROC_BYTES];
    add_run_time(arg, pid, tid);
    snprintf(name, sizeof(name), "task/%d/status", (int)tid);
    if (!read_proc(pid, name, text))
        return;
    const double voluntary = line_value(text, "\nvoluntary_ctxt_switches:");
    const double involuntary = line_value(text, "\nnonvoluntary_ctxt_switches:");
    sums->voluntary += isnan(voluntary) ? 0 : voluntary;
    sums->involuntary += isnan(involuntary) ? 0 : involuntary;
}

/* utime and stime: fields 14 and 15, counted after the name, which may contain anything. */
static bool read_ticks(pid_t pid, double *ret_user_s, double *ret_system_s)
{
    char text[PROC_BYTES];
    unsigned long user, system;
    const char *after = read_proc(pid, "stat", text) ? strrchr(text, ')') : NULL;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers here */
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                         &system) != 2)
        return false;
    const double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    *ret_user_s = (double)user / ticks_per_s;
    *ret_system_s = (double)system / ticks_per_s;
    return true;
}

static void read_memory(pid_t pid, struct ld_server_sample *s)
{
    char text[PROC_BYTES];
    if (read_proc(pid, "status", text))
        s->rss_bytes = line_value(text, "\nVmRSS:") * 1024;
    if (read_proc(pid, "smaps_rollup", text))
        s->pss_bytes = line_value(text, "\nPss:") * 1024;
}

static void read_process(const struct ld_server_probe *p, struct ld_server_sample *s)
{
    struct thread_sums sums = {0};
    s->good =
        read_ticks(p->pid, &s->user_s, &s->system_s) && each_thread(p->pid, add_thread, &sums);
    if (!s->good)
        return;
    s->cpu_s = sums.has_run ? sums.run_ns / 1e9 : s->user_s + s->system_s;
    s->voluntary = sums.voluntary;
    s->involuntary = sums.involuntary;
    read_memory(p->pid, s);
}

/* --- /metrics ------------------------------------------------------------------------------- */

bool ld_metric_value(const char *text, const char *name, double *ret_value)
{
    const size_t n = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) != 0 || line[n] != ' ')
            continue;
        char *end;
        const double value = strtod(line + n + 1, &end);
        if (end == line + n + 1)
            return false;
        *ret_value = value;
        return true;
    }
    return false;
}

static bool fetch_all(int fd, const struct ld_target *t, char *text, size_t room, size_t *ret_bytes)
{
    char request[1024];
    size_t n = 0;
    const int bytes =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", t->path, t->authority);
    if (bytes < 0 || (size_t)bytes >= sizeof(request) || write(fd, request, (size_t)bytes) != bytes)
        return false;
    for (ssize_t got; n < room && (got = read(fd, text + n, room - n)) != 0; n += (size_t)got)
        if (got < 0)
            return false;
    *ret_bytes = n;
    return n < room;
}

static bool parse_metrics(const char *text, size_t bytes, struct ld_server_sample *s)
{
    double *const to[] = {&s->cpu_s, &s->user_s, &s->system_s, &s->rss_bytes};
    struct ld_parser parser = {0};
    struct ld_answer a;
    size_t used;
    enum ld_parse done = ld_http1.parse(&parser, (const uint8_t *)text, bytes, false, &used, &a);
    if (done == LD_PARSE_MORE)
        done = ld_http1.end(&parser, &a);
    char *body = done == LD_PARSE_ANSWER && a.status == 200
                     ? strndup(a.body ? (const char *)a.body : "", a.body_bytes)
                     : NULL;
    for (size_t i = 0; body && i < PC_COUNT(to); i++)
        if (ld_metric_value(body, metric_names[i], to[i]) && i == 0)
            s->good = true;
    free(body);
    ld_parser_reset(&parser);
    return s->good;
}

static bool read_metrics(const char *url, struct ld_server_sample *s, struct ld_problem *problem)
{
    const struct timeval timeout = {.tv_sec = METRICS_TIMEOUT_S};
    struct ld_options o = {.url = url};
    struct ld_address address;
    if (!ld_target_parse(url, &o.target, problem) || !ld_target_resolve(&o, &address, problem))
        return false;
    const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *text = malloc(LD_METRICS_BYTES_MAX);
    size_t bytes = 0;
    bool good = fd >= 0 && text;
    if (good)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    good = good && connect(fd, (const void *)&address.storage, address.bytes) == 0 &&
           fetch_all(fd, &o.target, text, LD_METRICS_BYTES_MAX, &bytes);
    if (!good)
        ld_problem_set(problem, "%s: %s", url, strerror(errno));
    else if (!(good = parse_metrics(text, bytes, s)))
        ld_problem_set(problem, "%s: no %s in it", url, metric_names[0]);
    free(text);
    if (fd >= 0)
        close(fd);
    return good;
}

/* --- performance counters ------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint64_t config;
} counters[LD_COUNTERS] = {
    {"cycles",       PERF_COUNT_HW_CPU_CYCLES  },
    {"instructions", PERF_COUNT_HW_INSTRUCTIONS},
    {"cache-misses", PERF_COUNT_HW_CACHE_MISSES}
};

static int open_counter(pid_t tid, uint64_t config)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = config,
                                   .inherit = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void open_thread_counters(void *arg, pid_t pid, pid_t tid)
{
    struct ld_server_probe *p = arg;
    (void)pid;
    if (p->why_no_counters[0] || p->thread_count == LD_PROBE_THREADS_MAX)
        return;
    int *fds = p->fds[p->thread_count++];
    for (int i = 0; i < LD_COUNTERS; i++) {
        fds[i] = open_counter(tid, counters[i].config);
        if (fds[i] >= 0 || p->why_no_counters[0])
            continue;
        snprintf(p->why_no_counters, sizeof(p->why_no_counters), "perf_event_open(%s): %s%s",
                 counters[i].name, strerror(errno),
                 errno == ENOENT || errno == EOPNOTSUPP ? " (the machine shows no such counter)"
                 : errno == EACCES || errno == EPERM    ? " (see kernel.perf_event_paranoid)"
                                                        : "");
    }
}

static void close_counters(struct ld_server_probe *p)
{
    for (unsigned i = 0; i < p->thread_count; i++)
        for (int k = 0; k < LD_COUNTERS; k++)
            if (p->fds[i][k] >= 0)
                close(p->fds[i][k]);
    p->thread_count = 0;
}

static void read_counters(const struct ld_server_probe *p, struct ld_server_sample *s)
{
    if (p->thread_count == 0)
        return;
    for (int k = 0; k < LD_COUNTERS; k++)
        s->counters[k] = 0;
    for (unsigned i = 0; i < p->thread_count; i++)
        for (int k = 0; k < LD_COUNTERS; k++) {
            uint64_t value = 0;
            if (read(p->fds[i][k], &value, sizeof(value)) != (ssize_t)sizeof(value))
                s->counters[k] = NAN;
            s->counters[k] += (double)value;
        }
}

/* --- outside -------------------------------------------------------------------------------- */

void ld_server_probe_read(const struct ld_server_probe *p, struct ld_server_sample *s)
{
    struct ld_problem ignored;
    *s = (struct ld_server_sample){
        .cpu_s = NAN,
        .user_s = NAN,
        .system_s = NAN,
        .rss_bytes = NAN,
        .pss_bytes = NAN,
        .voluntary = NAN,
        .involuntary = NAN,
        .counters = {NAN, NAN, NAN}
    };
    if (p->pid) {
        read_process(p, s);
        read_counters(p, s);
    } else if (p->metrics_url) {
        (void)read_metrics(p->metrics_url, s, &ignored);
    }
}

double ld_server_probe_cpu_s(const struct ld_server_probe *p)
{
    struct thread_sums sums = {0};
    if (!p->pid || !each_thread(p->pid, add_run_time, &sums) || !sums.has_run)
        return NAN;
    return sums.run_ns / 1e9;
}

bool ld_server_probe_open(struct ld_server_probe *p, const struct ld_options *o,
                          struct ld_problem *problem)
{
    *p = (struct ld_server_probe){.pid = (pid_t)o->server_pid, .metrics_url = o->server_metrics};
    if (p->metrics_url) {
        snprintf(p->why_no_counters, sizeof(p->why_no_counters),
                 "counters are read of a process on this machine only (--server-pid)");
        return read_metrics(p->metrics_url, &p->before, problem);
    }
    if (!p->pid)
        return true;
    ld_server_probe_read(p, &p->before);
    if (!p->before.good)
        return ld_problem_set(problem, "--server-pid: there is no process %d, or it is not ours",
                              (int)p->pid);
    each_thread(p->pid, open_thread_counters, p);
    if (p->why_no_counters[0])
        close_counters(p);
    return true;
}

void ld_server_probe_report(const struct ld_server_probe *p, uint64_t requests,
                            struct ld_server_figures *f)
{
    const struct ld_server_sample *a = &p->before, *b = &p->after;
    const double n = requests ? (double)requests : NAN;
    char from[32];
    f->known = a->good && b->good;
    if (!f->known)
        return;
    snprintf(from, sizeof(from), "pid %d", (int)p->pid);
    f->from = strdup(p->pid ? from : p->metrics_url);
    f->cpu_s = b->cpu_s - a->cpu_s;
    f->user_s = b->user_s - a->user_s;
    f->system_s = b->system_s - a->system_s;
    f->cpu_us_per_request = f->cpu_s * 1e6 / n;
    f->rss_bytes = b->rss_bytes;
    f->pss_bytes = b->pss_bytes;
    f->voluntary_switches = (b->voluntary - a->voluntary) / n;
    f->involuntary_switches = (b->involuntary - a->involuntary) / n;
    f->cycles = (b->counters[0] - a->counters[0]) / n;
    f->instructions = (b->counters[1] - a->counters[1]) / n;
    f->cache_misses = (b->counters[2] - a->counters[2]) / n;
    f->why_no_counters = p->why_no_counters[0] ? strdup(p->why_no_counters) : NULL;
}

void ld_server_probe_close(struct ld_server_probe *p)
{
    close_counters(p);
}

bool ld_server_probe_cpu(pid_t pid, unsigned *ret_cpu)
{
    cpu_set_t set;
    if (sched_getaffinity(pid, sizeof(set), &set) < 0 || CPU_COUNT(&set) != 1)
        return false;
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            *ret_cpu = i;
    return true;
}
