/* SPDX-License-Identifier: Apache-2.0
 * What the server spent on a run: read at the beginning and at the end of the measured part, from
 * /proc/PID (this machine) or from its /metrics (anywhere). Main thread only; what cannot be read
 * is NAN, never guessed.
 *
 * CPU time is the scheduler's own (ns, /proc/PID/task/TID/schedstat, summed over threads) where the
 * kernel offers it, else ticks of utime + stime; user and system time are ticks. Threads that ended
 * in between are in the ticks only. */
#ifndef LD_SERVER_PROBE_H
#define LD_SERVER_PROBE_H

#include <sys/types.h>

#include "load/options.h"
#include "load/report.h"

enum {
    LD_PROBE_THREADS_MAX = 256,
    LD_METRICS_BYTES_MAX = 4 << 20,
    LD_COUNTERS = 3, /* cycles, instructions, cache misses */
};

/* One reading. */
struct ld_server_sample {
    bool good;
    double cpu_s, user_s, system_s;
    double rss_bytes, pss_bytes;
    double voluntary, involuntary;
    double counters[LD_COUNTERS];
};

struct ld_server_probe {
    pid_t pid;               /* 0: none */
    const char *metrics_url; /* NULL: none */
    struct ld_server_sample before, after;
    int fds[LD_PROBE_THREADS_MAX][LD_COUNTERS]; /* performance counters per thread; -1: none */
    unsigned thread_count;
    char why_no_counters[160];
};

/* Opens the counters. false: there is no such process, or the metrics cannot be read. */
bool ld_server_probe_open(struct ld_server_probe *, const struct ld_options *, struct ld_problem *);
void ld_server_probe_read(const struct ld_server_probe *, struct ld_server_sample *);
/* CPU seconds only: cheap enough for once a second. NAN with --server-metrics. */
double ld_server_probe_cpu_s(const struct ld_server_probe *);
/* Figures from before to after, over so many requests. */
void ld_server_probe_report(const struct ld_server_probe *, uint64_t requests,
                            struct ld_server_figures *);
void ld_server_probe_close(struct ld_server_probe *);

/* The value of a metric without labels in the text format; false: it is not there. Pure. */
bool ld_metric_value(const char *text, const char *name, double *ret_value);

/* The CPU a process is bound to; false: to more than one. */
bool ld_server_probe_cpu(pid_t pid, unsigned *ret_cpu);

#endif
