/* SPDX-License-Identifier: Apache-2.0
 * portcullis-load sweep and report. A sweep runs `run` in this process again and again at the rates
 * the search (sweep.c) asks for; report makes a page of a result saved before. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/command_line.h"
#include "load/commands.h"
#include "load/run.h"
#include "load/sweep_json.h"
#include "load/units.h"

struct sweep_options {
    const char *slo_text;
    char *command; /* as typed; the runs' own lacks the options of the sweep */
    struct ld_slo slo;
    struct ld_sweep_settings settings;
    bool help;
    struct ld_options run;
};

enum own_option { SLO, FROM, TO, STEP_FACTOR, REPEATS, RESOLUTION, FAR_RETRIES, OWN_OPTIONS };

static const struct {
    const char *name, *value, *help;
} own[OWN_OPTIONS] = {
    {"slo",         "OBJECTIVE", "p99.9<2ms, or several terms: p50<200us,p99<1ms,errors<0.1%"},
    {"from",        "RATE",      "first rate (default 1000/s)"                               },
    {"to",          "RATE",      "highest rate tried (default: until it breaks)"             },
    {"step-factor", "X",         "how the rate is raised (default 1.5)"                      },
    {"repeats",     "N",         "runs judged at each rate, odd (default 3)"                 },
    {"resolution",  "SHARE",     "bisect until the bracket is that narrow (default 5%)"      },
    {"far-retries", "N",
     "runs at each rate that may be set aside while CPUs are far apart "
     "(default 6)"                                                                           },
};

static bool whole(const char *name, const char *text, unsigned *ret, struct ld_problem *problem)
{
    double value = 0;
    if (!ld_units_parse(LD_UNIT_COUNT, text, name, &value, problem))
        return false;
    if (value != floor(value) || value > 1000)
        return ld_problem_set(problem, "%s: '%.40s' is not a whole number up to 1000", name, text);
    *ret = (unsigned)value;
    return true;
}

static bool set_own(struct sweep_options *o, enum own_option option, const char *text,
                    struct ld_problem *problem)
{
    struct ld_sweep_settings *s = &o->settings;
    switch (option) {
    case SLO: o->slo_text = text; return true;
    case FROM: return ld_units_parse(LD_UNIT_RATE, text, "--from", &s->from_per_s, problem);
    case TO: return ld_units_parse(LD_UNIT_RATE, text, "--to", &s->to_per_s, problem);
    case STEP_FACTOR:
        return ld_units_parse(LD_UNIT_COUNT, text, "--step-factor", &s->factor, problem);
    case REPEATS: return whole("--repeats", text, &s->repeats, problem);
    case FAR_RETRIES: return whole("--far-retries", text, &s->far_retries, problem);
    default: break;
    }
    if (!ld_units_parse(LD_UNIT_PERCENT, text, "--resolution", &s->resolution, problem))
        return false;
    s->resolution /= 100;
    return true;
}

/* Whether argv[*i] is one of ours; it is set and *i moves over its value. */
static bool take_own(struct sweep_options *o, int argc, char **argv, int *i, bool *ret_taken,
                     struct ld_problem *problem)
{
    *ret_taken = false;
    if (strncmp(argv[*i], "--", 2) != 0)
        return true;
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    for (int k = 0; k < OWN_OPTIONS; k++) {
        if (strlen(own[k].name) != n || strncmp(own[k].name, name, n) != 0)
            continue;
        const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (!value)
            return ld_problem_set(problem, "--%s: needs a value", own[k].name);
        *ret_taken = true;
        return set_own(o, (enum own_option)k, value, problem);
    }
    return true;
}

static bool parse(struct sweep_options *o, int argc, char **argv, struct ld_problem *problem)
{
    char **rest = calloc((size_t)argc + 1, sizeof(*rest));
    int n = 0;
    bool ok = rest || ld_problem_set(problem, "out of memory");
    o->settings = (struct ld_sweep_settings){.from_per_s = 1000,
                                             .to_per_s = INFINITY,
                                             .factor = 1.5,
                                             .resolution = 0.05,
                                             .repeats = 3,
                                             .far_retries = 6};
    for (int i = 0; ok && i < argc; i++) {
        bool taken = false;
        ok = i == 0 || take_own(o, argc, argv, &i, &taken, problem);
        if (!taken)
            rest[n++] = argv[i];
    }
    ok = ok && ld_options_parse(&o->run, n, rest, &o->help, problem);
    free(rest);
    if (!ok || o->help)
        return ok;
    if (!o->slo_text)
        return ld_problem_set(problem, "--slo: missing (example: --slo 'p99.9<2ms')");
    if (o->run.rate_per_s > 0)
        return ld_problem_set(problem, "--rate: the sweep chooses it (--from, --to)");
    return ld_slo_parse(o->slo_text, &o->slo, problem);
}

static void print_help(FILE *to)
{
    fputs("usage: portcullis-load sweep --url URL --slo OBJECTIVE [OPTION...]\n\n"
          "Raises the rate of an open loop until the objective breaks, then bisects.\n\n",
          to);
    for (int i = 0; i < OWN_OPTIONS; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", own[i].name, own[i].value);
        fprintf(to, "  %-26s %s\n", left, own[i].help);
    }
    fputs("\nAnd those of run; --duration and --warmup are of each run:\n\n", to);
    ld_options_help(to);
}

void ld_sweep_run_of(struct ld_sweep_run *ret_run, const struct ld_slo *slo, double asked_per_s,
                     const struct ld_report *r)
{
    struct ld_sweep_run run = {
        .asked_per_s = asked_per_s,
        .achieved_per_s = r->rate_per_s,
        .p50_us = ld_latency_at_us(&r->latency, 50),
        .p90_us = ld_latency_at_us(&r->latency, 90),
        .p99_us = ld_latency_at_us(&r->latency, 99),
        .p99_9_us = ld_latency_at_us(&r->latency, 99.9),
        .max_us = ld_latency_at_us(&r->latency, 100),
        .cpu_us = r->server.known ? r->server.cpu_us_per_request : NAN,
        .requests = r->requests,
        .errors = ld_report_errors(r),
        .due = r->requests + ld_report_errors(r) + r->unsent + r->unanswered,
        .wrong_answers = r->wrong_answers,
        .wrong_allows = r->wrong_allows,
        .far = isfinite(r->placement.before_ns) && !r->placement.near,
    };
    for (unsigned i = 0; i < slo->n; i++)
        run.objective_us[i] = ld_latency_at_us(&r->latency, slo->terms[i].percentile);
    double all = (double)(run.requests + run.errors);
    run.errors_percent = all > 0 ? 100 * (double)run.errors / all : 0;
    *ret_run = run;
}

/* What a page says about where the runs were made comes from the first of them. */
struct setting {
    const char *loop_note;
    char started_at[32];
    struct ld_machine machine;
    json_t *options;
    bool interrupted;
};

static void keep_setting(struct setting *k, const struct ld_report *r)
{
    if (!k->options) {
        memcpy(k->started_at, r->started_at, sizeof(k->started_at));
        k->loop_note = ld_report_loop_note(r);
        k->machine = r->machine;
        k->options = json_incref(r->options);
    }
    k->interrupted = r->interrupted;
}

static void show_run(const struct ld_sweep *s, const struct ld_slo *slo)
{
    const struct ld_sweep_run *r = &s->runs[s->run_count - 1];
    char asked[LD_UNITS_TEXT_MAX], achieved[LD_UNITS_TEXT_MAX], us[LD_UNITS_TEXT_MAX], name[16];
    fprintf(stderr, "%-10s achieved %-10s", ld_units_format(LD_UNIT_RATE, r->asked_per_s, asked),
            ld_units_format(LD_UNIT_RATE, r->achieved_per_s, achieved));
    for (unsigned i = 0; i < slo->n; i++)
        fprintf(stderr, " %s %-8s", ld_slo_term_name(&slo->terms[i], name, sizeof(name)),
                ld_units_format(LD_UNIT_US, r->objective_us[i], us));
    fprintf(stderr, " %s%s%s\n",
            r->set_aside ? "set aside (far)"
            : r->held    ? "holds"
                         : "breaks: ",
            r->set_aside || r->held ? "" : r->why_not, r->far && !r->set_aside ? " (far)" : "");
}

/* All runs of the sweep. An interrupted run is not judged: the sweep ends with what there is. */
static bool sweep_all(struct sweep_options *o, struct ld_sweep *s, struct setting *kept,
                      struct ld_problem *problem)
{
    struct ld_supply *supply = ld_run_supply(&o->run, problem);
    const uint64_t seed = o->run.seed;
    bool ok = supply != NULL;
    o->run.quiet = true;
    for (double rate; ok && !kept->interrupted && (rate = ld_sweep_next(s)) > 0;) {
        struct ld_report report;
        o->run.rate_per_s = rate;
        o->run.seed = seed + s->run_count; /* repeats that drew the same would hide the spread */
        ok = ld_run(&o->run, supply, &report, problem);
        if (!ok)
            break;
        keep_setting(kept, &report);
        if (!report.interrupted) {
            struct ld_sweep_run run;
            ld_sweep_run_of(&run, &o->slo, rate, &report);
            ld_sweep_add(s, &o->slo, &run);
            show_run(s, &o->slo);
        }
        ld_report_free(&report);
    }
    if (supply)
        supply->ops->close(supply);
    return ok;
}

static bool dump(json_t *o, const char *path, struct ld_problem *problem)
{
    bool ok = strcmp(path, "-") ? json_dump_file(o, path, JSON_INDENT(2)) == 0
                                : json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && puts("") != EOF;
    json_decref(o);
    return ok || ld_problem_set(problem, "%s: cannot be written", path);
}

static void print_result(const struct ld_sweep *s, const struct ld_slo *slo, FILE *to)
{
    char sentence[256], median[LD_UNITS_TEXT_MAX], least[LD_UNITS_TEXT_MAX],
        most[LD_UNITS_TEXT_MAX];
    const struct ld_sweep_step *best = ld_sweep_best(s);
    ld_sweep_sentence(s, slo, sentence, sizeof(sentence));
    fprintf(to, "%s\n", sentence);
    for (unsigned i = 0; best && i < slo->n; i++) {
        char name[16];
        struct ld_spread spread = ld_sweep_spread(
            s, best, offsetof(struct ld_sweep_run, objective_us) + i * sizeof(double));
        fprintf(to, "  %s there: median %s, %s to %s over %u runs\n",
                ld_slo_term_name(&slo->terms[i], name, sizeof(name)),
                ld_units_format(LD_UNIT_US, spread.median, median),
                ld_units_format(LD_UNIT_US, spread.least, least),
                ld_units_format(LD_UNIT_US, spread.greatest, most), best->judged);
    }
    fprintf(to, "  %u runs, %u set aside because the CPUs were far apart%s\n", s->run_count,
            s->set_aside, best && best->far ? "; this rate was judged by far runs" : "");
}

static bool deliver(const struct sweep_options *o, const struct ld_sweep *s,
                    const struct setting *kept, struct ld_problem *problem)
{
    const struct ld_sweep_about about = {
        .command = o->command,
        .started_at = kept->started_at,
        .loop_note = kept->loop_note ? kept->loop_note : "",
        .slo = &o->slo,
        .machine = &kept->machine,
        .options = kept->options,
    };
    bool to_stdout =
        (o->run.json && !strcmp(o->run.json, "-")) || (o->run.html && !strcmp(o->run.html, "-"));
    print_result(s, &o->slo, to_stdout ? stderr : stdout);
    return (!o->run.json || dump(ld_sweep_to_json(s, &about), o->run.json, problem)) &&
           (!o->run.html || ld_html_write_sweep(s, &about, o->run.html, problem));
}

int ld_sweep_main(int argc, char **argv)
{
    struct sweep_options o = {.command = ld_command_line(argc, argv)};
    struct setting kept = {.interrupted = false};
    struct ld_problem problem;
    struct ld_sweep *s = malloc(sizeof(*s));
    int status = LD_EXIT_USAGE;
    if (!s || !o.command || !parse(&o, argc, argv, &problem)) {
        fprintf(stderr, "portcullis-load sweep: %s\n",
                s && o.command ? problem.text : "out of memory");
    } else if (o.help) {
        print_help(stdout);
        status = LD_EXIT_OK;
    } else if (!ld_sweep_begin(s, &o.settings, &problem)) {
        fprintf(stderr, "portcullis-load sweep: %s\n", problem.text);
    } else if (!sweep_all(&o, s, &kept, &problem) || !deliver(&o, s, &kept, &problem)) {
        fprintf(stderr, "portcullis-load sweep: %s\n", problem.text);
        status = LD_EXIT_BROKEN;
    } else {
        status = ld_sweep_best(s) ? LD_EXIT_OK : LD_EXIT_BROKEN;
        for (unsigned i = 0; i < s->run_count; i++)
            if (s->runs[i].wrong_answers)
                status = LD_EXIT_WRONG;
    }
    json_decref(kept.options);
    ld_options_free(&o.run);
    free(o.command);
    free(s);
    return status;
}

/* ---- report ---- */

static bool render_sweep(const json_t *root, const char *html, struct ld_problem *problem)
{
    struct ld_sweep_about about;
    struct ld_machine machine;
    struct ld_slo slo;
    struct ld_sweep *s = malloc(sizeof(*s));
    bool ok = s || ld_problem_set(problem, "out of memory");
    ok = ok && ld_sweep_from_json(root, s, &about, &slo, &machine, problem);
    if (ok && html)
        ok = ld_html_write_sweep(s, &about, html, problem);
    else if (ok)
        print_result(s, &slo, stdout);
    free(s);
    return ok;
}

static bool render_run(const json_t *root, const char *html, struct ld_problem *problem)
{
    struct ld_report report;
    if (!ld_report_from_json(&report, root, problem))
        return false;
    bool ok = true;
    if (html)
        ok = ld_html_write_run(&report, html, problem);
    else
        ld_report_print(&report, stdout);
    ld_report_free(&report);
    return ok;
}

static bool render(const char *path, const char *html, struct ld_problem *problem)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return ld_problem_set(problem, "%s:%d: %s", path, error.line, error.text);
    const char *format = json_string_value(json_object_get(root, "format"));
    bool is_sweep = format && !strcmp(format, LD_SWEEP_FORMAT);
    bool ok = is_sweep ? render_sweep(root, html, problem) : render_run(root, html, problem);
    json_decref(root);
    return ok;
}

int ld_report_main(int argc, char **argv)
{
    static const char usage[] = "usage: portcullis-load report RESULT.json [--html FILE]\n\n"
                                "Shows a saved result of run or sweep; with --html as a page.\n";
    const char *path = NULL, *html = NULL;
    struct ld_problem problem;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            fputs(usage, stdout);
            return LD_EXIT_OK;
        }
        if (!strcmp(argv[i], "--html") && i + 1 < argc)
            html = argv[++i];
        else if (!strncmp(argv[i], "--html=", 7))
            html = argv[i] + 7;
        else if (argv[i][0] != '-' && !path)
            path = argv[i];
        else {
            fprintf(stderr, "portcullis-load report: '%s' is not understood\n%s", argv[i], usage);
            return LD_EXIT_USAGE;
        }
    }
    if (!path) {
        fputs(usage, stderr);
        return LD_EXIT_USAGE;
    }
    if (render(path, html, &problem))
        return LD_EXIT_OK;
    fprintf(stderr, "portcullis-load report: %s\n", problem.text);
    return LD_EXIT_USAGE;
}
