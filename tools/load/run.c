/* SPDX-License-Identifier: Apache-2.0
 * One run from its options to its report (run.h). The main thread: it releases the generator
 * threads, collects what they counted second by second, and adds it up. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "load/bounce.h"
#include "load/engine.h"
#include "load/hdr_log.h"
#include "load/html.h"
#include "load/progress.h"
#include "load/requests.h"
#include "load/run.h"
#include "load/server_probe.h"
#include "load/target.h"
#include "load/workload_supply.h"

enum { COLLECT_MS = 20 };

/* Set by the signal handler; the only global there is. */
static atomic_bool stop_wanted;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop_wanted, true);
}

struct running {
    const struct ld_options *options;
    struct ld_supply *supply;
    struct ld_report *report;
    struct ld_engine *engine;
    struct ld_progress progress;
    struct ld_tally *second, *sum, *drain;
    struct ld_hdr *scratch;
    size_t second_room;
    int64_t start_ns; /* of the measured part */
    double cpu_before_s;
    bool measuring, measured;
    struct ld_server_probe probe;
    struct ld_hdr_log log;
    double server_cpu_s; /* at the last second's end */
    unsigned cpus[LD_THREADS_MAX], cpu_count;
};

/* --- preparation ---------------------------------------------------------------------------- */

/* "1" or "0,2-5". */
static bool parse_cpus(const char *text, unsigned cpus[LD_THREADS_MAX], unsigned *ret_count,
                       struct ld_problem *problem)
{
    unsigned n = 0;
    for (const char *p = text; *p; p += *p == ',') {
        char *end;
        unsigned long first = strtoul(p, &end, 10), last = first;
        if (end != p && *end == '-') {
            p = end + 1;
            last = strtoul(p, &end, 10);
        }
        if (end == p || (*end && *end != ',') || last < first || last >= CPU_SETSIZE)
            return ld_problem_set(problem, "--cpus: '%s' is not a list like 1 or 0,2-5", text);
        for (; first <= last && n < LD_THREADS_MAX; first++)
            cpus[n++] = (unsigned)first;
        p = end;
    }
    if (n == 0)
        return ld_problem_set(problem, "--cpus: no CPU in the list");
    *ret_count = n;
    return true;
}

/* The main thread stays off the server's CPU as well. */
static bool pin_main(const unsigned *cpus, unsigned n, struct ld_problem *problem)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < n; i++)
        CPU_SET(cpus[i], &set);
    if (n && sched_setaffinity(0, sizeof(set), &set) < 0)
        return ld_problem_set(problem, "--cpus: %s", strerror(errno));
    return true;
}

static struct ld_loop_plan plan_of(const struct ld_options *o, struct ld_supply *supply,
                                   const struct ld_address *address)
{
    return (struct ld_loop_plan){.protocol = o->target.memcached ? &ld_memcached
                                             : supply->resp      ? &ld_resp
                                                                 : &ld_http1,
                                 .supply = supply,
                                 .address = address->storage,
                                 .address_bytes = address->bytes,
                                 .open_loop = o->rate_per_s > 0 || supply->has_profile,
                                 .poisson = o->poisson,
                                 .rate_per_s = o->rate_per_s,
                                 .depth = o->pipeline,
                                 .timeout_ns = (int64_t)(o->timeout_s * 1e9),
                                 .warmup_ns = (int64_t)(o->warmup_s * 1e9),
                                 .duration_ns = (int64_t)(o->duration_s * 1e9),
                                 .request_count = o->request_count};
}

static bool open_engine(struct running *r, struct ld_problem *problem)
{
    const struct ld_options *o = r->options;
    struct ld_address address;
    if (r->supply->idle_connections > LD_CONNECTIONS_MAX - o->connections)
        return ld_problem_set(problem, "more than %d connections", LD_CONNECTIONS_MAX);
    if (!ld_target_resolve(o, &address, problem))
        return false;
    const struct ld_engine_setup setup = {.plan = plan_of(o, r->supply, &address),
                                          .threads = o->threads,
                                          .connections = o->connections,
                                          .seed = o->seed,
                                          .cpus = r->cpus,
                                          .cpu_count = r->cpu_count,
                                          .stop = &stop_wanted};
    r->engine = ld_engine_open(&setup, problem);
    return r->engine != NULL;
}

/* The cache-line bounce between the server's CPU and the generator's, if both are known: the
 * server's is given, or its process is bound to one. */
static bool measure_placement(const struct running *r, double *ret_ns, struct ld_problem *problem)
{
    const struct ld_options *o = r->options;
    unsigned cpu = 0;
    char *end = NULL;
    if (o->server_cpu) {
        cpu = (unsigned)strtoul(o->server_cpu, &end, 10);
        if (end == o->server_cpu || *end)
            return ld_problem_set(problem, "--server-cpu: '%s' is not a CPU", o->server_cpu);
    } else if (!o->server_pid || !ld_server_probe_cpu((pid_t)o->server_pid, &cpu)) {
        return true;
    }
    if (r->cpu_count == 0 || r->cpus[0] == cpu)
        return true;
    return ld_bounce_measure(cpu, r->cpus[0], ret_ns, problem);
}

static bool open_running(struct running *r, struct ld_problem *problem)
{
    const unsigned n = r->supply->class_count;
    PC_ASSERT(n >= 1 && n <= LD_CLASSES_MAX);
    r->second = ld_tally_new(n);
    r->sum = ld_tally_new(n);
    r->drain = ld_tally_new(n);
    r->scratch = calloc(1, sizeof(*r->scratch));
    if (!r->second || !r->sum || !r->drain || !r->scratch)
        return ld_problem_set(problem, "no memory");
    const char *cpus = r->options->cpus;
    return (!cpus || parse_cpus(cpus, r->cpus, &r->cpu_count, problem)) &&
           pin_main(r->cpus, r->cpu_count, problem) &&
           ld_server_probe_open(&r->probe, r->options, problem) &&
           measure_placement(r, &r->report->placement.before_ns, problem) &&
           (!r->options->hdr_log ||
            ld_hdr_log_open(&r->log, r->options->hdr_log,
                            (double)pc_clock_wall_ms() / 1e3 + r->options->warmup_s, problem)) &&
           open_engine(r, problem);
}

static void close_running(struct running *r)
{
    if (r->engine)
        ld_engine_close(r->engine);
    ld_server_probe_close(&r->probe);
    struct ld_problem ignored;
    ld_hdr_log_close(&r->log, &ignored); /* finish() has closed it unless the run failed */
    free(r->second);
    free(r->sum);
    free(r->drain);
    free(r->scratch);
}

/* --- while it runs -------------------------------------------------------------------------- */

static double cpu_of_self_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The latencies of all classes in the total, in r->scratch. */
static const struct ld_hdr *total_latency(struct running *r, const struct ld_tally *t)
{
    ld_hdr_reset(r->scratch);
    for (unsigned i = 0; i < t->class_count; i++)
        if (r->supply->classes[i].in_total)
            ld_hdr_merge(r->scratch, &t->classes[i].latency);
    return r->scratch;
}

static uint64_t errors_of(const struct ld_tally *t)
{
    uint64_t n = 0;
    for (int i = 0; i < LD_FAIL_END; i++)
        n += t->errors[i];
    return n;
}

static double percentile_us(const struct ld_hdr *h, double q)
{
    return h->count ? (double)ld_hdr_percentile_ns(h, q) / 1e3 : NAN;
}

static struct ld_second second_of(struct running *r, const struct ld_tally *t)
{
    const struct ld_hdr *h = total_latency(r, t);
    const double seconds = (double)(t->end_ns - t->begin_ns) / 1e9;
    return (struct ld_second){.at_s = (double)(t->end_ns - r->start_ns) / 1e9,
                              .rate_per_s = (double)t->answered_in_total / seconds,
                              .p50_us = percentile_us(h, 0.5),
                              .p90_us = percentile_us(h, 0.9),
                              .p99_us = percentile_us(h, 0.99),
                              .max_us = percentile_us(h, 1),
                              .requests = t->answered_in_total,
                              .errors = errors_of(t),
                              .wrong_answers = t->wrong,
                              .waiting = t->waiting,
                              .server_cpu = NAN};
}

static void keep_second(struct running *r, const struct ld_second *s)
{
    struct ld_report *report = r->report;
    if (report->second_count == LD_SERIES_MAX)
        return;
    if (report->second_count == r->second_room) {
        const size_t room = r->second_room ? 2 * r->second_room : 64;
        struct ld_second *grown = realloc(report->seconds, room * sizeof(*grown));
        if (!grown)
            return;
        report->seconds = grown;
        r->second_room = room;
    }
    report->seconds[report->second_count++] = *s;
}

static void log_interval(struct running *r, const struct ld_tally *t, const struct ld_hdr *h)
{
    if (r->log.file && h->count)
        ld_hdr_log_interval(&r->log, (double)(t->begin_ns - r->start_ns) / 1e9,
                            (double)(t->end_ns - t->begin_ns) / 1e9, h);
}

/* CPUs the server kept busy since this was last asked, over so many seconds. */
static double server_cpus(struct running *r, double seconds)
{
    const double now_s = ld_server_probe_cpu_s(&r->probe), before_s = r->server_cpu_s;
    r->server_cpu_s = now_s;
    return seconds > 0 ? (now_s - before_s) / seconds : NAN;
}

/* The warm-up is not measured, but what was wrong in it is wrong all the same. */
static void keep_wrong_answers(struct ld_tally *sum, const struct ld_tally *t)
{
    sum->wrong += t->wrong;
    sum->wrong_allows += t->wrong_allows;
    for (unsigned i = 0; i < t->class_count; i++) {
        sum->classes[i].wrong += t->classes[i].wrong;
        sum->classes[i].wrong_allows += t->classes[i].wrong_allows;
    }
}

/* What was counted in r->second goes where it belongs. */
static void account_second(struct running *r)
{
    struct ld_tally *t = r->second;
    if (t->warmup)
        keep_wrong_answers(r->sum, t);
    if (!t->warmup && t->end_ns > t->begin_ns) {
        ld_tally_merge(r->sum, t);
        log_interval(r, t, total_latency(r, t));
    }
    if (t->end_ns - t->begin_ns > LD_SECOND_NS / 5) { /* less says nothing about a second */
        struct ld_second s = second_of(r, t);
        s.server_cpu = server_cpus(r, (double)(t->end_ns - t->begin_ns) / 1e9);
        keep_second(r, &s);
        ld_progress_second(&r->progress, &s, errors_of(r->sum), r->sum->wrong);
    }
    ld_tally_reset(t);
}

static void mark_start(struct running *r)
{
    r->measuring = true;
    r->cpu_before_s = cpu_of_self_s();
    if (r->probe.pid || r->probe.metrics_url)
        ld_server_probe_read(&r->probe, &r->probe.before);
}

/* The end of the measured part; a server that was driven hard is done with it at once. */
static void mark_end(struct running *r)
{
    r->measured = true;
    r->report->generator_cpu_s = cpu_of_self_s() - r->cpu_before_s;
    if (r->probe.pid || r->probe.metrics_url)
        ld_server_probe_read(&r->probe, &r->probe.after);
}

/* How long to wait: to the next look, or exactly to the start or the end of the measured part. */
static int64_t next_look_ns(const struct running *r, int64_t now_ns, int64_t end_ns)
{
    int64_t wait_ns = INT64_C(1000000) * COLLECT_MS;
    const int64_t mark_ns = r->measuring ? end_ns : r->start_ns;
    if (!r->measured && mark_ns > now_ns)
        wait_ns = pc_min_i64(wait_ns, mark_ns - now_ns);
    return wait_ns;
}

/* Until the threads are past their drain. */
static void watch(struct running *r)
{
    const struct ld_options *o = r->options;
    const int64_t end_ns =
        o->request_count ? INT64_MAX : r->start_ns + (int64_t)(o->duration_s * 1e9);
    r->server_cpu_s = ld_server_probe_cpu_s(&r->probe);
    while (!ld_engine_ended(r->engine)) {
        const int64_t now_ns = pc_clock_mono_ns();
        if (!r->measuring && now_ns >= r->start_ns)
            mark_start(r);
        if (!r->measured && now_ns >= end_ns)
            mark_end(r);
        const struct timespec ts = {0, (long)next_look_ns(r, now_ns, end_ns)};
        ppoll(NULL, 0, &ts, NULL);
        if (ld_engine_collect(r->engine, r->second))
            account_second(r);
    }
    if (r->measuring && !r->measured)
        mark_end(r);
    while (ld_engine_collect(r->engine, r->second))
        account_second(r);
}

/* --- the report ----------------------------------------------------------------------------- */

static void report_classes(struct running *r)
{
    struct ld_report *report = r->report;
    report->class_count = r->supply->class_count;
    report->classes = calloc(LD_CLASSES_MAX, sizeof(*report->classes));
    PC_ASSERT(report->classes);
    for (unsigned i = 0; i < report->class_count; i++) {
        struct ld_class_report *to = &report->classes[i];
        struct ld_class_tally *from = &r->sum->classes[i], *late = &r->drain->classes[i];
        const struct ld_class *class = &r->supply->classes[i];
        snprintf(to->name, sizeof(to->name), "%s", class->name);
        to->in_total = class->in_total;
        to->is_measure = class->is_measure;
        to->requests = from->requests;
        to->rate_per_s = (double)from->requests / report->duration_s;
        to->wrong_answers = from->wrong + late->wrong;
        to->wrong_allows = from->wrong_allows + late->wrong_allows;
        to->errors = from->errors + late->errors;
        ld_hdr_merge(&from->latency, &late->latency);
        ld_latency_of(&to->latency, &from->latency);
    }
}

static void report_counts(struct running *r)
{
    const struct ld_tally *sum = r->sum, *late = r->drain;
    const struct ld_engine_totals totals = ld_engine_totals(r->engine);
    struct ld_report *report = r->report;
    report->duration_s = (double)(sum->end_ns - sum->begin_ns) / 1e9;
    report->requests = sum->answered_in_total;
    report->all_requests = totals.answered;
    report->rate_per_s = report->duration_s > 0 ? (double)report->requests / report->duration_s : 0;
    for (int i = 0; i < LD_FAIL_END; i++)
        report->errors[i] = sum->errors[i] + late->errors[i];
    report->wrong_answers = totals.wrong; /* the warm-up's too: wrong is wrong */
    report->wrong_allows = totals.wrong_allows;
    report->unsent = late->unsent;
    report->unanswered = late->unanswered;
    report->skipped = sum->skipped;
    report->reconnects = sum->reconnects;
    report->bytes_sent = sum->bytes_sent;
    report->bytes_received = sum->bytes_received;
    report->interrupted = ld_engine_interrupted(r->engine);
}

static bool report_server(struct running *r, struct ld_problem *problem)
{
    struct ld_placement *placement = &r->report->placement;
    uint64_t requests = 0;
    for (unsigned i = 0; i < r->supply->class_count; i++)
        if (!r->supply->classes[i].is_measure)
            requests += r->sum->classes[i].requests;
    ld_server_probe_report(&r->probe, requests, &r->report->server);
    if (isnan(placement->before_ns))
        return true;
    if (!measure_placement(r, &placement->after_ns, problem))
        return false;
    placement->near = placement->before_ns < LD_NEAR_NS && placement->after_ns < LD_NEAR_NS;
    return true;
}

static void report_latencies(struct running *r)
{
    struct ld_report *report = r->report;
    /* The classes hold the drain's answers already: report_classes() put them there. */
    total_latency(r, r->sum);
    ld_hdr_merge(r->scratch, &r->drain->unsent_age);
    ld_latency_of(&report->latency, r->scratch);
    if (report->open_loop) {
        ld_hdr_merge(&r->sum->service, &r->drain->service);
        ld_latency_of(&report->service, &r->sum->service);
    } else {
        report->service = report->latency;
    }
}

static bool finish(struct running *r, struct ld_problem *problem)
{
    if (!ld_engine_finish(r->engine, r->second, r->drain, problem))
        return false;
    account_second(r);
    ld_progress_end(&r->progress);
    /* What came after the end belongs to requests of the run: the log's last interval. */
    total_latency(r, r->drain);
    ld_hdr_merge(r->scratch, &r->drain->unsent_age);
    log_interval(r, r->drain, r->scratch);
    report_counts(r);
    report_classes(r);
    report_latencies(r);
    ld_engine_take_whys(r->engine, r->report->whys);
    return report_server(r, problem) && ld_hdr_log_close(&r->log, problem);
}

static void begin_report(struct running *r)
{
    const struct ld_options *o = r->options;
    struct ld_report *report = r->report;
    struct tm tm;
    const time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(report->started_at, sizeof(report->started_at), "%Y-%m-%dT%H:%M:%SZ", &tm);
    report->command = o->command_line ? strdup(o->command_line) : NULL;
    report->options = ld_options_to_json(o);
    report->open_loop = o->rate_per_s > 0 || r->supply->has_profile;
    report->offered_per_s = o->rate_per_s > 0 ? o->rate_per_s : NAN;
    ld_machine_read(&report->machine);
}

static bool run_opened(struct running *r, struct ld_problem *problem)
{
    struct sigaction action = {.sa_handler = on_signal}, old_int, old_term;
    sigaction(SIGINT, &action, &old_int);
    sigaction(SIGTERM, &action, &old_term);
    ld_progress_begin(&r->progress, r->options->quiet,
                      r->options->request_count ? 0 : r->options->duration_s);
    r->start_ns = pc_clock_mono_ns() + (int64_t)(r->options->warmup_s * 1e9);
    ld_engine_start(r->engine, r->start_ns);
    watch(r);
    const bool good = finish(r, problem);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return good;
}

bool ld_run(const struct ld_options *o, struct ld_supply *supply, struct ld_report *report,
            struct ld_problem *problem)
{
    struct running r = {.options = o, .supply = supply, .report = report};
    ld_report_init(report);
    /* Timers of the generator threads are exact: they inherit this. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
    begin_report(&r);
    const bool good = open_running(&r, problem) && run_opened(&r, problem);
    if (good && supply->ops->describe)
        report->workload = supply->ops->describe(supply);
    close_running(&r);
    if (!good)
        ld_report_free(report);
    return good;
}

/* --- the sub-command ------------------------------------------------------------------------ */

struct ld_supply *ld_run_supply(struct ld_options *o, struct ld_problem *problem)
{
    return o->workload ? ld_workload_supply(o, problem) : ld_requests_open(o, problem);
}

enum ld_exit ld_run_exit_status(const struct ld_options *o, const struct ld_report *r)
{
    if (r->wrong_answers)
        return LD_EXIT_WRONG;
    return ld_report_errors(r) > o->max_errors ? LD_EXIT_ERRORS : LD_EXIT_OK;
}

static int complain(enum ld_exit status, const struct ld_problem *problem)
{
    fprintf(stderr, "portcullis-load run: %s\n", problem->text);
    return status;
}

static bool write_results(const struct ld_options *o, const struct ld_report *report,
                          struct ld_problem *problem)
{
    if (!o->quiet || !o->json)
        ld_report_print(report, o->json && strcmp(o->json, "-") == 0 ? stderr : stdout);
    return (!o->json || ld_report_write_json(report, o->json, problem)) &&
           (!o->html || ld_html_write_run(report, o->html, problem));
}

int ld_run_main(int argc, char **argv)
{
    struct ld_options o;
    struct ld_report report;
    struct ld_problem problem;
    bool help = false;
    if (!ld_options_parse(&o, argc, argv, &help, &problem))
        return complain(LD_EXIT_USAGE, &problem);
    if (help) {
        puts("usage: portcullis-load run --url URL [OPTION...]\n");
        ld_options_help(stdout);
        return LD_EXIT_OK;
    }
    int status = LD_EXIT_BROKEN;
    struct ld_supply *supply = ld_run_supply(&o, &problem);
    if (!supply) {
        status = complain(LD_EXIT_USAGE, &problem);
    } else if (!ld_run(&o, supply, &report, &problem)) {
        status = complain(LD_EXIT_BROKEN, &problem);
    } else {
        status = write_results(&o, &report, &problem) ? (int)ld_run_exit_status(&o, &report)
                                                      : complain(LD_EXIT_BROKEN, &problem);
        ld_report_free(&report);
    }
    if (supply)
        supply->ops->close(supply);
    ld_options_free(&o);
    return status;
}
