/* SPDX-License-Identifier: Apache-2.0
 * portcullis-load plan: options into a question, points from a file, the answer as text, JSON and
 * page. Exit status: 0 the plan holds, 1 it does not (or the objective cannot be met), 2 the
 * question or the points are wrong. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/command_line.h"
#include "load/commands.h"
#include "load/html.h"
#include "load/plan.h"
#include "load/units.h"

enum { EXIT_HOLDS = 0, EXIT_EXCEEDED = 1, EXIT_WRONG_USE = 2 };

/* Options that are one quantity. */
struct quantity {
    const char *name;
    enum ld_unit unit;
    size_t offset;
    bool whole;    /* a number of things */
    double factor; /* of what was typed to what is kept */
    const char *help;
};

#define AT(member) offsetof(struct ld_plan_ask, member)
#define TABLE(i)   (AT(entries) + (i) * sizeof(double))

static const struct quantity quantities[] = {
    {"--target",            LD_UNIT_RATE,       AT(target_per_s),           false, 1,    "decisions of the whole cluster (2M/s)"       },
    {"--tokens",            LD_UNIT_COUNT,      AT(tokens),                 true,  1,
     "tokens alive at a time (default 0: all are known to every core)"                                                                 },
    {"--token-lifetime",    LD_UNIT_SECONDS,    AT(token_lifetime_s),       false, 1,
     "of a token (default 1h)"                                                                                                         },
    {"--cores-per-token",   LD_UNIT_COUNT,      AT(cores_per_token),        true,  1,
     "cores that see a token, where gateways route by it (default: by chance, all)"                                                    },
    {"--cache-entries",     LD_UNIT_COUNT,      AT(cache_entries),          true,  1,
     "token_cache.entries (default: as many as needed, at most 16777216)"                                                              },
    {"--revoked",           LD_UNIT_COUNT,      TABLE(LD_TABLE_REVOKED),    true,  1,    "revoked tokens held"                         },
    {"--sessions",          LD_UNIT_COUNT,      TABLE(LD_TABLE_SESSIONS),   true,  1,    "revoked sessions held"                       },
    {"--subjects",          LD_UNIT_COUNT,      TABLE(LD_TABLE_SUBJECTS),   true,  1,
     "revoked subjects and clients held"                                                                                               },
    {"--limit-keys",        LD_UNIT_COUNT,      TABLE(LD_TABLE_LIMIT_KEYS), true,  1,    "keys of limits"                              },
    {"--revocations",       LD_UNIT_RATE,       AT(revocations_per_s),      false, 1,
     "revocations accepted by the cluster (100/s)"                                                                                     },
    {"--nodes-lost",        LD_UNIT_COUNT,      AT(nodes_lost),             true,  1,    "nodes that may fail (default 1)"             },
    {"--cores-per-node",    LD_UNIT_COUNT,      AT(cores_per_node),         true,  1,
     "(default: what --nodes needs, or 8)"                                                                                             },
    {"--nodes",             LD_UNIT_COUNT,      AT(nodes),                  true,  1,    "as many, lost ones included (default: found)"},
    {"--load-max",          LD_UNIT_PERCENT,    AT(load_max),               false, 0.01, "of a core, at most (default 80%)"            },
    {"--memory-per-node",   LD_UNIT_BYTES,      AT(memory_bytes),           false, 1,    "(default 64GiB)"                             },
    {"--network-per-node",  LD_UNIT_BITS_PER_S, AT(network_bits_per_s),     false, 1,
     "(default 10Gbit/s)"                                                                                                              },
    {"--snapshot-interval", LD_UNIT_SECONDS,    AT(snapshot_interval_s),    false, 1,
     "journal.snapshot_interval (default 10m)"                                                                                         },
};

static const struct {
    const char *name, *help;
} texts[] = {
    {"--slo",    "objective: p99<1ms, or several: p50<200us,p99.9<5ms" },
    {"--points", "file of measured points (default: the installed one)"},
    {"--json",   "file for the plan as JSON; - for standard output"    },
    {"--html",   "file for the plan as a page"                         },
};

struct given {
    struct ld_plan_ask ask;
    const char *texts[PC_COUNT(texts)];
    bool help;
};
enum { SLO, POINTS, JSON, HTML };

static void print_help(FILE *to)
{
    fputs("usage: portcullis-load plan --target RATE --slo OBJECTIVE [OPTION...]\n\n"
          "Answers in nodes, cores, memory and network from points measured by perf/capacity.\n\n",
          to);
    for (size_t i = 0; i < PC_COUNT(texts); i++)
        fprintf(to, "  %-20s %s\n", texts[i].name, texts[i].help);
    for (size_t i = 0; i < PC_COUNT(quantities); i++)
        fprintf(to, "  %-20s %s\n", quantities[i].name, quantities[i].help);
}

static bool set_quantity(struct ld_plan_ask *ask, const struct quantity *q, const char *text,
                         struct ld_problem *problem)
{
    double value = 0;
    if (!ld_units_parse(q->unit, text, q->name, &value, problem))
        return false;
    if (value > 1e15 || (q->whole && value != floor(value)))
        return ld_problem_set(problem, "%s: '%.40s' is not %s", q->name, text,
                              value > 1e15 ? "a size this can plan" : "a whole number");
    value *= q->factor;
    memcpy((char *)ask + q->offset, &value, sizeof(value));
    return true;
}

static bool set_option(struct given *g, const char *name, const char *value,
                       struct ld_problem *problem)
{
    if (!value)
        return ld_problem_set(problem, "%.60s: needs a value", name);
    for (size_t i = 0; i < PC_COUNT(texts); i++)
        if (!strcmp(name, texts[i].name)) {
            g->texts[i] = value;
            return true;
        }
    for (size_t i = 0; i < PC_COUNT(quantities); i++)
        if (!strcmp(name, quantities[i].name))
            return set_quantity(&g->ask, &quantities[i], value, problem);
    return ld_problem_set(problem, "there is no option '%.60s'; plan --help lists them", name);
}

/* "--name value", "--name=value"; --json may stand alone for standard output. */
static bool parse(struct given *g, int argc, char **argv, struct ld_problem *problem)
{
    ld_plan_ask_init(&g->ask);
    for (int i = 1; i < argc; i++) {
        char name[64];
        const char *equals = strchr(argv[i], '=');
        size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        snprintf(name, sizeof(name), "%.*s", (int)n, argv[i]);
        if (!strcmp(name, "--help")) {
            g->help = true;
            return true;
        }
        bool alone =
            !strcmp(name, "--json") && !equals && (i + 1 == argc || !strncmp(argv[i + 1], "--", 2));
        const char *value = equals ? equals + 1 : alone ? "-" : i + 1 < argc ? argv[++i] : NULL;
        if (strncmp(name, "--", 2) != 0)
            return ld_problem_set(problem, "'%.60s' is no option; plan --help lists them", argv[i]);
        if (!set_option(g, name, value, problem))
            return false;
    }
    if (!g->texts[SLO])
        return ld_problem_set(problem, "--slo: missing (example: --slo 'p99<1ms')");
    return ld_slo_parse(g->texts[SLO], &g->ask.slo, problem);
}

/* Where points lie beside this program: installed, or in the build tree of the sources. */
static const char *const homes[] = {"../share/portcullis/capacity.json",
                                    "../../../perf/results/capacity.json"};

static bool read_points(const char *path, struct ld_points *points, struct ld_problem *problem)
{
    char self[PATH_MAX], found[PATH_MAX + 64];
    if (path)
        return ld_points_read(path, points, problem);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < PC_COUNT(homes); i++) {
        snprintf(found, sizeof(found), "%.*s/%s", (int)(slash - self), self, homes[i]);
        if (access(found, R_OK) == 0)
            return ld_points_read(found, points, problem);
    }
    return ld_problem_set(problem, "--points: not given, and there is no capacity.json beside this "
                                   "program; measure with perf/capacity");
}

static bool write_json(const struct ld_plan *p, const char *command, const char *path,
                       struct ld_problem *problem)
{
    json_t *o = ld_plan_to_json(p, command);
    FILE *f = strcmp(path, "-") ? fopen(path, "w") : stdout;
    bool ok = o && f && json_dumpf(o, f, JSON_INDENT(2)) == 0 && fputc('\n', f) != EOF;
    if (f)
        ok &= f == stdout ? fflush(f) == 0 : fclose(f) == 0;
    json_decref(o);
    return ok || ld_problem_set(problem, "%s: %s", path, strerror(errno));
}

static bool make(const struct given *g, const char *command, struct ld_plan *plan,
                 struct ld_points *points, struct ld_problem *problem)
{
    if (!read_points(g->texts[POINTS], points, problem) ||
        !ld_plan_make(&g->ask, points, plan, problem))
        return false;
    bool to_stdout = g->texts[JSON] && !strcmp(g->texts[JSON], "-");
    if (!to_stdout && !(g->texts[HTML] && !strcmp(g->texts[HTML], "-")))
        ld_plan_print(plan, stdout);
    return (!g->texts[JSON] || write_json(plan, command, g->texts[JSON], problem)) &&
           (!g->texts[HTML] || ld_html_write_plan(plan, command, g->texts[HTML], problem));
}

int ld_plan_main(int argc, char **argv)
{
    struct given g = {.help = false};
    struct ld_problem problem;
    int status = EXIT_WRONG_USE;
    struct ld_plan *plan = malloc(sizeof(*plan));
    struct ld_points *points = malloc(sizeof(*points));
    char *command = ld_command_line(argc, argv);
    if (!plan || !points || !command)
        ld_problem_set(&problem, "out of memory");
    else if (!parse(&g, argc, argv, &problem))
        ;
    else if (g.help) {
        print_help(stdout);
        status = EXIT_HOLDS;
    } else if (make(&g, command, plan, points, &problem)) {
        status = plan->fits && plan->reachable ? EXIT_HOLDS : EXIT_EXCEEDED;
    }
    if (status == EXIT_WRONG_USE)
        fprintf(stderr, "portcullis-load plan: %s\n", problem.text);
    free(command);
    free(points);
    free(plan);
    return status;
}
