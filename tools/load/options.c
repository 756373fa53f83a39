/* SPDX-License-Identifier: Apache-2.0
 * The table of options and what reads it: the parser, the help, the list in the report. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/command_line.h"
#include "load/options.h"
#include "load/units.h"

enum kind { TEXT, OPTIONAL_FILE, LIST, COUNT, UNSIGNED, SECONDS, RATE, FLAG };

struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    double min, max; /* of numbers */
    const char *value, *help;
};

#define AT(field) offsetof(struct ld_options, field)

static const struct row rows[] = {
    {"url",              TEXT,          AT(url),              0,     0,                  "URL",           "http://HOST:PORT/PATH or resp://HOST:PORT"         },
    {"unix",             TEXT,          AT(unix_path),        0,     0,                  "PATH",
     "connect to this Unix socket instead of the URL's host"                                                                                                  },
    {"host-header",      TEXT,          AT(host_header),      0,     0,                  "NAME",          "Host field instead of the URL's"                   },
    {"method",           TEXT,          AT(method),           0,     0,                  "NAME",          "HTTP method (GET; POST with a body)"               },
    {"header",           LIST,          AT(headers),          0,     0,                  "'NAME: VALUE'", "header field; may be repeated"                     },
    {"body",             TEXT,          AT(body),             0,     0,                  "TEXT",          "body of the request"                               },
    {"body-file",        TEXT,          AT(body_file),        0,     0,                  "FILE",          "body of the request from a file"                   },
    {"bearer-file",      TEXT,          AT(bearer_file),      0,     0,                  "FILE",
     "tokens, one a line, used in turn as Authorization: Bearer"                                                                                              },
    {"command",          TEXT,          AT(command),          0,     0,                  "TEXT",          "RESP command, words split at blanks"               },
    {"requests",         TEXT,          AT(requests_file),    0,     0,                  "FILE",
     "requests with what each expects, used in turn (see the manual page)"                                                                                    },
    {"workload",         TEXT,          AT(workload),         0,     0,                  "NAME|FILE",
     "a workload: what is asked, by whom, and what is right"                                                                                                  },
    {"key",              TEXT,          AT(key_file),         0,     0,                  "FILE",          "private key to mint the workload's tokens with"    },
    {"issuer",           TEXT,          AT(issuer),           0,     0,                  "NAME",          "iss of those tokens, as the server knows it"       },
    {"tokens",           TEXT,          AT(tokens_file),      0,     0,                  "FILE",          "tokens minted before, by mint --out"               },
    {"admin-token-file", TEXT,          AT(admin_token_file), 0,     0,                  "FILE",
     "an administrator's token, for set-up and revocations"                                                                                                   },
    {"admin-url",        TEXT,          AT(admin_url),        0,     0,                  "URL",           "where set-up asks (default: --url)"                },
    {"expect",           TEXT,          AT(expect),           0,     0,                  "TEXT",
     "what a right answer begins with: a status, a RESP line, a|b, * for any"                                                                                 },
    {"counter",          COUNT,         AT(counter),          0,     999999999999.0,     "N",
     "what the first run of twelve @ becomes"                                                                                                                 },
    {"rate",             RATE,          AT(rate_per_s),       0.001, 1e9,                "RATE",
     "open loop: so many requests per second in all (20000, 20k/s)"                                                                                           },
    {"arrivals",         TEXT,          AT(arrivals),         0,     0,                  "KIND",          "of an open loop: constant or poisson"              },
    {"duration",         SECONDS,       AT(duration_s),       0.001, 604800,             "TIME",          "measured part (6s, 500ms, 2m)"                     },
    {"warmup",           SECONDS,       AT(warmup_s),         0,     86400,              "TIME",          "before it, not counted"                            },
    {"count",            COUNT,         AT(request_count),    1,     1e15,               "N",
     "end after so many requests instead; no warm-up"                                                                                                         },
    {"connections",      UNSIGNED,      AT(connections),      1,     LD_CONNECTIONS_MAX, "N",
     "driven connections, all threads"                                                                                                                        },
    {"pipeline",         UNSIGNED,      AT(pipeline),         1,     LD_PIPELINE_MAX,    "N",
     "requests outstanding per connection"                                                                                                                    },
    {"threads",          UNSIGNED,      AT(threads),          1,     LD_THREADS_MAX,     "N",             "generator threads"                                 },
    {"cpus",             TEXT,          AT(cpus),             0,     0,                  "LIST",          "pin the threads to these CPUs in turn (1 or 1,3-5)"},
    {"timeout",          SECONDS,       AT(timeout_s),        0.001, 3600,               "TIME",
     "an answer later than this is an error, its connection closed"                                                                                           },
    {"max-errors",       COUNT,         AT(max_errors),       0,     1e15,               "N",
     "more than this many errors: exit status 4"                                                                                                              },
    {"seed",             COUNT,         AT(seed),             0,     9e15,               "N",             "of everything random"                              },
    {"server-pid",       COUNT,         AT(server_pid),       1,     4194304,            "PID",
     "CPU, memory and context switches of this process"                                                                                                       },
    {"server-metrics",   TEXT,          AT(server_metrics),   0,     0,                  "URL",
     "the same of a server elsewhere, from its /metrics"                                                                                                      },
    {"server-cpu",       TEXT,          AT(server_cpu),       0,     0,                  "N",
     "its CPU: measures the cache-line bounce to the generator's"                                                                                             },
    {"json",             OPTIONAL_FILE, AT(json),             0,     0,                  "[FILE]",
     "the report as JSON, to standard output or a file"                                                                                                       },
    {"html",             TEXT,          AT(html),             0,     0,                  "FILE",          "the report as a self-contained page"               },
    {"hdr-log",          TEXT,          AT(hdr_log),          0,     0,                  "FILE",
     "a histogram per second in the HdrHistogram log format"                                                                                                  },
    {"quiet",            FLAG,          AT(quiet),            0,     0,                  NULL,            "no progress, no summary"                           },
};

static void *place(const struct ld_options *o, const struct row *row)
{
    return (char *)o + row->offset;
}

/* --- values --------------------------------------------------------------------------------- */

/* Digits, and a fraction where one is wanted; nothing after them. */
static bool plain_number(const char *text, bool whole, double *ret_value)
{
    char *rest;
    if (!isdigit((unsigned char)*text) || text[strspn(text, "0123456789.")])
        return false;
    const double value = strtod(text, &rest);
    if (*rest || (whole && value != floor(value)))
        return false;
    *ret_value = value;
    return true;
}

static bool parse_number(const struct row *row, const char *text, double *ret_value,
                         struct ld_problem *problem)
{
    char what[32];
    snprintf(what, sizeof(what), "--%s", row->name);
    if (row->kind == RATE)
        return ld_units_parse(LD_UNIT_RATE, text, what, ret_value, problem);
    if (plain_number(text, row->kind != SECONDS, ret_value))
        return true;
    if (row->kind == SECONDS)
        return ld_units_parse(LD_UNIT_SECONDS, text, what, ret_value, problem);
    return ld_problem_set(problem, "%s: '%s' is not a whole number", what, text);
}

/* --- parsing -------------------------------------------------------------------------------- */

static bool set_number(struct ld_options *o, const struct row *row, const char *text,
                       struct ld_problem *problem)
{
    double value = 0;
    if (!parse_number(row, text, &value, problem))
        return false;
    if (value < row->min || value > row->max)
        return ld_problem_set(problem, "--%s: %s is not between %.12g and %.12g", row->name, text,
                              row->min, row->max);
    if (row->kind == COUNT)
        *(uint64_t *)place(o, row) = (uint64_t)value;
    else if (row->kind == UNSIGNED)
        *(unsigned *)place(o, row) = (unsigned)value;
    else
        *(double *)place(o, row) = value;
    return true;
}

static bool set_value(struct ld_options *o, const struct row *row, const char *text,
                      struct ld_problem *problem)
{
    struct ld_list *list;
    o->given |= UINT64_C(1) << (row - rows);
    switch (row->kind) {
    case TEXT:
    case OPTIONAL_FILE: *(const char **)place(o, row) = text; return true;
    case LIST:
        list = place(o, row);
        if (list->count == LD_LIST_MAX)
            return ld_problem_set(problem, "--%s: more than %d of them", row->name, LD_LIST_MAX);
        list->items[list->count++] = text;
        return true;
    case FLAG: *(bool *)place(o, row) = true; return true;
    case COUNT:
    case UNSIGNED:
    case SECONDS:
    case RATE: return set_number(o, row, text, problem);
    }
    return false;
}

static const struct row *row_of(const char *name, size_t bytes)
{
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        if (strlen(rows[i].name) == bytes && memcmp(rows[i].name, name, bytes) == 0)
            return &rows[i];
    return NULL;
}

bool ld_options_given(const struct ld_options *o, const char *name)
{
    const struct row *row = row_of(name, strlen(name));
    PC_ASSERT(row && PC_COUNT(rows) <= 64);
    return o->given >> (row - rows) & 1;
}

/* The option at argv[*at] with its value, which may be the next argument. */
static bool parse_one(struct ld_options *o, int argc, char **argv, int *at,
                      struct ld_problem *problem)
{
    const char *name = argv[*at], *equals = strchr(name, '=');
    if (strncmp(name, "--", 2) != 0)
        return ld_problem_set(problem, "'%s' is no option; options begin with --", name);
    name += 2;
    const size_t bytes = equals ? (size_t)(equals - name) : strlen(name);
    const struct row *row = row_of(name, bytes);
    if (!row)
        return ld_problem_set(problem, "there is no option --%.*s; --help lists them", (int)bytes,
                              name);
    if (row->kind == FLAG && equals)
        return ld_problem_set(problem, "--%s takes no value", row->name);
    if (row->kind == FLAG || equals)
        return set_value(o, row, equals ? equals + 1 : NULL, problem);
    const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
    if (row->kind == OPTIONAL_FILE && (!next || strncmp(next, "--", 2) == 0))
        return set_value(o, row, "-", problem);
    if (!next)
        return ld_problem_set(problem, "--%s needs a value: %s", row->name, row->value);
    ++*at;
    return set_value(o, row, next, problem);
}

/* --- the target ----------------------------------------------------------------------------- */

static bool parse_port(const char *text, const char *end, uint16_t *ret_port)
{
    unsigned port = 0;
    if (text == end || end - text > 5)
        return false;
    for (; text < end; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        port = port * 10 + (unsigned)(*text - '0');
    }
    *ret_port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

bool ld_target_parse(const char *url, struct ld_target *ret_target, struct ld_problem *problem)
{
    struct ld_target t = {.path = "/"};
    const bool http = strncmp(url, "http://", 7) == 0;
    t.resp = strncmp(url, "resp://", 7) == 0 || strncmp(url, "redis://", 8) == 0;
    t.memcached = strncmp(url, "memcached://", 12) == 0;
    if (!http && !t.resp && !t.memcached)
        return ld_problem_set(problem, "%s: the URL must begin with http:// or resp://%s", url,
                              strncmp(url, "https:", 6) == 0 ? " (TLS is not spoken yet)" : "");
    const char *host = strstr(url, "://") + 3;
    const char *end = host + strcspn(host, "/?#");
    const bool bracket = *host == '[';
    const char *host_end = bracket ? memchr(host, ']', (size_t)(end - host)) : NULL;
    if (!bracket)
        host_end = memchr(host, ':', (size_t)(end - host));
    else if (host_end)
        host_end++;
    if (bracket && !host_end)
        return ld_problem_set(problem, "%s: '[' without ']'", url);
    host_end = host_end ? host_end : end;
    t.port = http ? 80 : t.resp ? 6379 : 11211;
    t.resp |= t.memcached;
    if (host_end < end && (*host_end != ':' || !parse_port(host_end + 1, end, &t.port)))
        return ld_problem_set(problem, "%s: '%.*s' is not a port", url, (int)(end - host_end),
                              host_end);
    if (host_end == host || (size_t)(end - host) >= LD_HOST_BYTES ||
        memchr(host, '@', (size_t)(end - host)))
        return ld_problem_set(problem, "%s: no host, or not one", url);
    snprintf(t.host, sizeof(t.host), "%.*s", (int)(host_end - host - 2 * bracket), host + bracket);
    snprintf(t.authority, sizeof(t.authority), "%.*s", (int)(end - host), host);
    if (*end == '/' && http)
        t.path = end;
    else if (*end && strcmp(end, "/") != 0)
        return ld_problem_set(problem, "%s: '%s' is not a path", url, end);
    *ret_target = t;
    return true;
}

/* --- what must hold between them ------------------------------------------------------------ */

static bool check_header_lines(const struct ld_options *o, struct ld_problem *problem)
{
    for (unsigned i = 0; i < o->headers.count; i++) {
        const char *line = o->headers.items[i], *colon = strchr(line, ':');
        if (!colon || colon == line || strpbrk(line, "\r\n") ||
            memchr(line, ' ', (size_t)(colon - line)))
            return ld_problem_set(problem, "--header: '%s' is not 'NAME: VALUE'", line);
    }
    return true;
}

static bool check_what_is_asked(struct ld_options *o, struct ld_problem *problem)
{
    const bool plain = !o->requests_file && !o->workload;
    if (o->requests_file && o->workload)
        return ld_problem_set(problem, "--requests and --workload exclude each other");
    if (!plain && (o->body || o->body_file || o->command || o->method || o->headers.count))
        return ld_problem_set(
            problem, "--method, --header, --body, --body-file and --command are for a plain "
                     "request, not for --requests or --workload");
    if (o->body && o->body_file)
        return ld_problem_set(problem, "--body and --body-file exclude each other");
    if (o->target.memcached && !o->requests_file)
        return ld_problem_set(problem, "a memcached:// URL needs --requests");
    if (plain && o->target.resp != (o->command != NULL))
        return ld_problem_set(problem, o->command ? "--command is for resp:// URLs"
                                                  : "a resp:// URL needs --command or --requests");
    if (!o->method && plain)
        o->method = o->body || o->body_file ? "POST" : "GET";
    return check_header_lines(o, problem);
}

static bool check_loop(struct ld_options *o, struct ld_problem *problem)
{
    if (o->arrivals && strcmp(o->arrivals, "constant") != 0 && strcmp(o->arrivals, "poisson") != 0)
        return ld_problem_set(problem, "--arrivals: '%s' is neither constant nor poisson",
                              o->arrivals);
    if (o->arrivals && o->rate_per_s == 0 && !o->workload)
        return ld_problem_set(problem, "--arrivals needs --rate: a closed loop has no arrivals");
    o->poisson = o->arrivals && strcmp(o->arrivals, "poisson") == 0;
    if (o->threads > o->connections)
        return ld_problem_set(problem, "--threads %u: more than the %u connections", o->threads,
                              o->connections);
    if (o->request_count)
        o->warmup_s = 0;
    if (o->server_pid && o->server_metrics)
        return ld_problem_set(problem, "--server-pid and --server-metrics exclude each other");
    return true;
}

bool ld_options_settle(struct ld_options *o, struct ld_problem *problem)
{
    if (!o->url && !o->unix_path)
        return ld_problem_set(problem, "--url is needed (or --unix)");
    if (o->url && !ld_target_parse(o->url, &o->target, problem))
        return false;
    if (!o->url) {
        o->target.resp = o->command != NULL;
        o->target.path = "/";
        snprintf(o->target.authority, sizeof(o->target.authority), "localhost");
    }
    return check_what_is_asked(o, problem) && check_loop(o, problem);
}

/* --- outside -------------------------------------------------------------------------------- */

bool ld_options_parse(struct ld_options *o, int argc, char **argv, bool *ret_help,
                      struct ld_problem *problem)
{
    *o = (struct ld_options){.duration_s = 6,
                             .warmup_s = 1,
                             .timeout_s = 10,
                             .connections = 8,
                             .pipeline = 1,
                             .threads = 1,
                             .seed = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            *ret_help = true;
            return true;
        }
        if (!parse_one(o, argc, argv, &i, problem))
            return false;
    }
    o->command_line = ld_command_line(argc, argv);
    if (ld_options_settle(o, problem))
        return true;
    ld_options_free(o);
    return false;
}

void ld_options_free(struct ld_options *o)
{
    free((char *)o->command_line);
    o->command_line = NULL;
}

void ld_options_help(FILE *to)
{
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
        fprintf(to, "  %-26s %s\n", left, rows[i].help);
    }
}

static json_t *shown_text(const char *text)
{
    char *shown = text ? ld_without_secrets(text) : NULL;
    json_t *value = shown ? json_string(shown) : NULL; /* NULL too if it is not UTF-8 */
    free(shown);
    return value ? value : json_null();
}

static json_t *value_of(const struct ld_options *o, const struct row *row)
{
    const void *at = place(o, row);
    const struct ld_list *list = at;
    const char *text;
    json_t *array;
    switch (row->kind) {
    case TEXT:
    case OPTIONAL_FILE: text = *(const char *const *)at; return shown_text(text);
    case LIST:
        array = json_array();
        for (unsigned i = 0; i < list->count; i++)
            json_array_append_new(array, shown_text(list->items[i]));
        return array;
    case COUNT: return json_integer((json_int_t)(*(const uint64_t *)at));
    case UNSIGNED: return json_integer(*(const unsigned *)at);
    case SECONDS:
    case RATE: return json_real(*(const double *)at);
    case FLAG: return json_boolean(*(const bool *)at);
    }
    return json_null();
}

json_t *ld_options_to_json(const struct ld_options *o)
{
    json_t *all = json_object();
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        json_object_set_new(all, rows[i].name, value_of(o, &rows[i]));
    return all;
}
