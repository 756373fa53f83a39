/* SPDX-License-Identifier: Apache-2.0
 * The options of `run` (and of whatever repeats runs: sweep). One row of the table in options.c per
 * option: name, kind, place in the struct, limits, default, help. Parsing, the help text and the
 * list in the report come from the rows; a new option is a new row. */
#ifndef LD_OPTIONS_H
#define LD_OPTIONS_H

#include <jansson.h>
#include <stdio.h>

#include "load/source.h"

enum {
    LD_LIST_MAX = 64, /* --header and other options that may be repeated */
    LD_THREADS_MAX = 64,
    LD_CONNECTIONS_MAX = 65536, /* over all threads, idle ones too */
    LD_PIPELINE_MAX = 1024,
    LD_HOST_BYTES = 256,
};

struct ld_list {
    unsigned count;
    const char *items[LD_LIST_MAX];
};

/* What --url and --unix come to. */
struct ld_target {
    bool resp;                /* asked and compared as RESP is: lines, not statuses */
    bool memcached;           /* resp, but the answers are memcached's lines */
    char host[LD_HOST_BYTES]; /* numeric or a name; empty with --unix and no --url */
    uint16_t port;
    char authority[LD_HOST_BYTES + 8]; /* for Host: */
    const char *path;                  /* of an HTTP URL, with its query; "/" at least */
};

/* Texts point into argv (or to literals): they live as long as the process. */
struct ld_options {
    const char *url, *unix_path, *host_header;
    const char *method, *body, *body_file, *command, *bearer_file, *requests_file, *workload;
    const char *key_file, *tokens_file, *issuer, *admin_token_file, *admin_url; /* of a workload */
    struct ld_list headers;
    const char *expect; /* NULL: the requests file's, else 2xx (HTTP) or no error (RESP) */
    const char *arrivals;
    double rate_per_s; /* 0: closed loop */
    double duration_s, warmup_s, timeout_s;
    uint64_t request_count; /* 0: for the duration */
    uint64_t counter, seed, max_errors;
    unsigned connections, pipeline, threads;
    const char *cpus;
    uint64_t server_pid;
    const char *server_metrics, *server_cpu;
    const char *json, *html, *hdr_log; /* NULL: not; "-": standard output */
    bool quiet, poisson;
    struct ld_target target;
    uint64_t given;           /* bit i: row i was on the command line */
    const char *command_line; /* as typed, without secrets; ld_options_free() frees it */
};

/* Defaults, then argv[1 …]. false: problem; the caller exits with 2. *ret_help: --help was asked
 * for (nothing else is checked then). */
bool ld_options_parse(struct ld_options *, int argc, char **argv, bool *ret_help,
                      struct ld_problem *);
void ld_options_free(struct ld_options *);
/* Whether the option of that name was on the command line: a workload leaves it alone then. */
bool ld_options_given(const struct ld_options *, const char *name);
/* The checks between options and the target, again after a workload changed some of them. */
bool ld_options_settle(struct ld_options *, struct ld_problem *);
void ld_options_help(FILE *to);
json_t *ld_options_to_json(const struct ld_options *); /* new: every option with its value */

/* "http://host:port/path", "http://[::1]:1", "resp://host:port" to a target. Pure. */
bool ld_target_parse(const char *url, struct ld_target *ret_target, struct ld_problem *);

#endif
