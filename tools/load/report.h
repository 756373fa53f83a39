/* SPDX-License-Identifier: Apache-2.0
 * What a run found: filled by the engine, written as JSON, read back from it (pages and plans are
 * made from saved results too), printed for people. Plain data, one owner; every absent figure is
 * NAN, every absent text NULL. Times in it are microseconds, so that they read like the JSON. */
#ifndef LD_REPORT_H
#define LD_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "load/hdr.h"
#include "load/source.h"

enum {
    LD_REPORT_VERSION = 1,          /* of the JSON: "format": "portcullis-load/1" */
    LD_CURVE_MAX = 160,             /* points of a percentile curve */
    LD_SERIES_MAX = 86400,          /* seconds of a run that are kept one by one: a day */
    LD_WHYS_MAX = 8,                /* wrong answers shown */
    LD_REPORT_BYTES_MAX = 64 << 20, /* a result file that is read back */
};

struct ld_curve_point {
    double q; /* 0 … 1; the last one is 1 */
    double us;
    uint64_t count; /* at or below */
};

struct ld_latency {
    uint64_t count;
    uint64_t saturated; /* of count: longer than LD_HDR_HIGHEST_NS, counted as that long */
    double min, mean, p50, p90, p99, p99_9, p99_99, max; /* microseconds */
    unsigned curve_count;
    struct ld_curve_point curve[LD_CURVE_MAX];
};

/* Percentiles and curve of a histogram. */
void ld_latency_of(struct ld_latency *, const struct ld_hdr *);

struct ld_class_report {
    char name[LD_NAME_BYTES];
    bool in_total, is_measure;
    uint64_t requests; /* answered, measured part of the run */
    uint64_t wrong_answers, wrong_allows, errors;
    double rate_per_s;
    struct ld_latency latency;
};

/* One second of the run, the warm-up included. */
struct ld_second {
    double at_s; /* its end, since the run began; the warm-up lies below 0 */
    double rate_per_s;
    double p50_us, p90_us, p99_us, max_us;
    uint64_t requests, errors, wrong_answers;
    uint64_t waiting;  /* open loop: due and not sent at its end */
    double server_cpu; /* CPUs busy, NAN if not asked for */
};

struct ld_server_figures {
    bool known;       /* --server-pid or --server-metrics was given and could be read */
    const char *from; /* "pid 17" or the URL; owned */
    double cpu_s, user_s, system_s;
    double cpu_us_per_request;
    double rss_bytes, pss_bytes;
    double voluntary_switches, involuntary_switches; /* per request */
    double cycles, instructions, cache_misses;       /* per request; NAN: see why_no_counters */
    const char *why_no_counters;                     /* owned */
};

struct ld_machine {
    char cpu_model[96], kernel[96], host[64], program[96];
    unsigned cpus;
    double memory_bytes;
};

/* The cache-line bounce between the CPUs of server and generator before and after the run. */
struct ld_placement {
    double before_ns, after_ns; /* NAN: not measured */
    bool near;                  /* both below LD_NEAR_NS */
};
enum { LD_NEAR_NS = 200 };

struct ld_report {
    char started_at[32]; /* RFC 3339, UTC */
    const char *command; /* as typed; owned */
    json_t *options;     /* every option with its value, defaults too: repeats the run; owned */
    json_t *workload;    /* what the supply says of itself, or NULL; owned */
    struct ld_machine machine;
    struct ld_placement placement;
    bool open_loop;
    bool interrupted;      /* Ctrl-C: what there is */
    double offered_per_s;  /* open loop: the rate that was due; NAN otherwise */
    double duration_s;     /* measured part */
    uint64_t requests;     /* answered in it, classes in_total */
    uint64_t all_requests; /* answered ever: of every class, with warm-up and drain */
    double rate_per_s;
    struct ld_latency latency; /* open loop: from due; closed: from sending; with the unsent ones */
    struct ld_latency service; /* from sending, in either loop */
    uint64_t unsent;     /* open loop: due before the end and not sent; in `latency` by their age */
    uint64_t unanswered; /* sent, no answer at the end; in `latency` by their age */
    uint64_t skipped;    /* open loop: arrivals the source had no request for */
    uint64_t errors[LD_FAILURES];         /* by ld_failure; LD_FAIL_END stays 0 */
    uint64_t wrong_answers, wrong_allows; /* of all_requests; allows are among the answers */
    uint64_t reconnects;                  /* connections made after the first ones */
    uint64_t bytes_sent, bytes_received;
    double generator_cpu_s;  /* of this process, measured part */
    char *whys[LD_WHYS_MAX]; /* the first wrong answers, NULL after the last; owned */
    unsigned class_count;
    struct ld_class_report *classes; /* owned */
    unsigned second_count;
    struct ld_second *seconds; /* owned */
    struct ld_server_figures server;
};

void ld_report_init(struct ld_report *); /* all absent */
void ld_report_free(struct ld_report *); /* what it owns, not itself */
uint64_t ld_report_errors(const struct ld_report *);

/* Names as in the JSON. */
const char *ld_failure_name(enum ld_failure);
const char *ld_report_loop_note(const struct ld_report *); /* "open loop: …" / "closed loop: …" */

json_t *ld_report_to_json(const struct ld_report *); /* new; never NULL */
bool ld_report_from_json(struct ld_report *, const json_t *, struct ld_problem *);
/* path "-": standard output / input. */
bool ld_report_write_json(const struct ld_report *, const char *path, struct ld_problem *);
bool ld_report_read_json(struct ld_report *, const char *path, struct ld_problem *);
void ld_report_print(const struct ld_report *, FILE *to);

#endif
