/* SPDX-License-Identifier: Apache-2.0
 * The page of a sweep: the rate that holds, throughput against latency with the objective, CPU per
 * request over the rate, and every step with its spread. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "load/html.h"
#include "load/svg_chart.h"

static int by_rate(const void *a, const void *b)
{
    double x = ((const struct ld_sweep_step *)a)->rate_per_s;
    double y = ((const struct ld_sweep_step *)b)->rate_per_s;
    return (x > y) - (x < y);
}

/* Steps in the order of their rates; the caller frees. */
static struct ld_sweep_step *sorted_steps(const struct ld_sweep *s)
{
    struct ld_sweep_step *steps = calloc(LD_SWEEP_STEPS_MAX, sizeof(*steps));
    if (!steps)
        return NULL;
    memcpy(steps, s->steps, s->step_count * sizeof(*steps));
    qsort(steps, s->step_count, sizeof(*steps), by_rate);
    return steps;
}

#define FIGURE(member) offsetof(struct ld_sweep_run, member)

/* The medians of a figure over the achieved rate: a line as long as the rate was reached, and the
 * overloaded steps apart; joined, they would run back across the chart. */
struct medians {
    double x[LD_SWEEP_STEPS_MAX], y[LD_SWEEP_STEPS_MAX], overloaded[LD_SWEEP_STEPS_MAX];
};

static void medians_of(const struct ld_sweep *s, const struct ld_sweep_step *steps, size_t offset,
                       struct medians *m)
{
    for (unsigned i = 0; i < s->step_count; i++) {
        m->x[i] = ld_sweep_spread(s, &steps[i], FIGURE(achieved_per_s)).median;
        bool reached = m->x[i] >= LD_SWEEP_REACHED * steps[i].rate_per_s;
        double median = ld_sweep_spread(s, &steps[i], offset).median;
        m->y[i] = reached ? median : NAN;
        m->overloaded[i] = reached ? NAN : median;
    }
}

enum { LATENCIES = 4, LINES_MAX = LATENCIES + LD_SLO_TERMS_MAX };

struct latency_lines {
    struct medians medians[LINES_MAX];
    struct ld_chart_series series[2 * LINES_MAX];
    size_t lines, n;
};

static void add_line(struct latency_lines *l, const struct ld_sweep *s,
                     const struct ld_sweep_step *steps, const char *name, size_t offset,
                     unsigned colour)
{
    struct medians *m = &l->medians[l->lines++];
    medians_of(s, steps, offset, m);
    l->series[l->n++] =
        (struct ld_chart_series){name, m->x, m->y, s->step_count, LD_MARK_LINE_DOTS, colour, false};
    l->series[l->n++] = (struct ld_chart_series){NULL,         m->x,   m->overloaded, s->step_count,
                                                 LD_MARK_DOTS, colour, false};
}

static void latency_chart(FILE *f, const struct ld_sweep *s, const struct ld_sweep_about *about,
                          const struct ld_sweep_step *steps)
{
    static const struct {
        const char *name;
        double percentile;
        size_t offset;
        unsigned colour;
    } always[LATENCIES] = {
        {"p50",   50,   FIGURE(p50_us),   0},
        {"p99",   99,   FIGURE(p99_us),   1},
        {"p99.9", 99.9, FIGURE(p99_9_us), 3},
        {"max",   100,  FIGURE(max_us),   7},
    };
    struct ld_chart_rule rules[LD_SLO_TERMS_MAX + 1];
    char names[LD_SLO_TERMS_MAX][16], limits[LD_SLO_TERMS_MAX][64], text[LD_UNITS_TEXT_MAX],
        held[64];
    size_t rules_n = 0;
    struct latency_lines *l = calloc(1, sizeof(*l));
    if (!l)
        return;
    for (size_t i = 0; i < LATENCIES; i++)
        add_line(l, s, steps, always[i].name, always[i].offset, always[i].colour);
    for (unsigned i = 0; i < about->slo->n; i++) {
        const struct ld_slo_term *t = &about->slo->terms[i];
        bool drawn = false;
        ld_slo_term_name(t, names[i], sizeof(names[i]));
        for (size_t k = 0; k < LATENCIES; k++)
            drawn |= always[k].percentile == t->percentile;
        if (!drawn)
            add_line(l, s, steps, names[i], FIGURE(objective_us) + i * sizeof(double), 2);
        snprintf(limits[i], sizeof(limits[i]), "%s below %s", names[i],
                 ld_units_format(LD_UNIT_US, t->limit_us, text));
        rules[rules_n++] = (struct ld_chart_rule){limits[i], t->limit_us, false};
    }
    if (isfinite(s->holds_per_s)) {
        snprintf(held, sizeof(held), "holds: %s",
                 ld_units_format(LD_UNIT_RATE, s->holds_per_s, text));
        rules[rules_n++] = (struct ld_chart_rule){held, s->holds_per_s, true};
    }
    ld_chart_write(f,
                   &(struct ld_chart){
                       .id = "sweep",
                       .title = "Throughput against latency",
                       .description = "Medians of the runs at each rate, over the rate that was "
                                      "achieved; latency counts from the time a request was due. "
                                      "Dots off the lines: the rate asked for was not reached.",
                       .x = {.label = "rate achieved", .unit = LD_UNIT_RATE},
                       .y = { .label = "latency (log)",   .scale = LD_SCALE_LOG,   .unit = LD_UNIT_US},
                       .series = l->series,
                       .series_n = l->n,
                       .rules = rules,
                       .rules_n = rules_n,
                       .height = 380,
    });
    free(l);
}

static void cpu_chart(FILE *f, const struct ld_sweep *s, const struct ld_sweep_step *steps)
{
    double x[LD_SWEEP_RUNS_MAX], y[LD_SWEEP_RUNS_MAX];
    struct medians m;
    size_t n = 0;
    for (unsigned i = 0; i < s->run_count; i++) {
        if (s->runs[i].set_aside || !isfinite(s->runs[i].cpu_us))
            continue;
        x[n] = s->runs[i].achieved_per_s;
        y[n++] = s->runs[i].cpu_us;
    }
    if (!n)
        return;
    medians_of(s, steps, FIGURE(cpu_us), &m);
    const struct ld_chart_series series[] = {
        {"median",   m.x, m.y, s->step_count, LD_MARK_LINE, 2, false},
        {"each run", x,   y,   n,             LD_MARK_DOTS, 2, false},
    };
    ld_chart_write(f,
                   &(struct ld_chart){
                       .id = "cpu",
                       .title = "Server CPU per request",
                       .description = "CPU time of the server's process by its answers; with more "
                                      "load a turn of its loop serves more of them.",
                       .x = {.label = "rate achieved",   .unit = LD_UNIT_RATE},
                       .y = {.label = "CPU per request", .unit = LD_UNIT_US  },
                       .series = series,
                       .series_n = 2,
                       .height = 260,
    });
}

static void spread_cell(struct ld_html_table *t, enum ld_unit unit, struct ld_spread s)
{
    char median[LD_UNITS_TEXT_MAX], least[LD_UNITS_TEXT_MAX], greatest[LD_UNITS_TEXT_MAX];
    ld_html_cell(t, "%s (%s – %s)", ld_units_format(unit, s.median, median),
                 ld_units_format(unit, s.least, least),
                 ld_units_format(unit, s.greatest, greatest));
}

static void steps_table(FILE *f, const struct ld_sweep *s, const struct ld_sweep_step *steps)
{
    static const size_t others[] = {FIGURE(p50_us), FIGURE(p99_us), FIGURE(p99_9_us),
                                    FIGURE(cpu_us)};
    struct ld_html_table t =
        ld_html_table_begin(f, "Every rate: medians, and least to greatest of the runs",
                            "asked|runs held|achieved|objective|p50|p99|p99.9|CPU");
    for (unsigned i = 0; i < s->step_count; i++) {
        const struct ld_sweep_step *one = &steps[i];
        ld_html_cell_unit(&t, LD_UNIT_RATE, one->rate_per_s);
        ld_html_cell(&t, "%u of %u%s%s", one->held, one->judged,
                     one->holds ? ": holds" : ": breaks", one->far ? " (far)" : "");
        spread_cell(&t, LD_UNIT_RATE, ld_sweep_spread(s, one, FIGURE(achieved_per_s)));
        spread_cell(&t, LD_UNIT_US, ld_sweep_spread(s, one, FIGURE(objective_us)));
        for (size_t k = 0; k < PC_COUNT(others); k++)
            ld_html_cell_unit(&t, LD_UNIT_US, ld_sweep_spread(s, one, others[k]).median);
    }
    ld_html_table_end(&t);
}

static void sweep_tiles(FILE *f, const struct ld_sweep *s, const struct ld_sweep_about *about)
{
    char text[LD_UNITS_TEXT_MAX], more[LD_SLO_TEXT_MAX + 64], number[32];
    const struct ld_sweep_step *best = ld_sweep_best(s);
    uint64_t wrong = 0, errors = 0;
    for (unsigned i = 0; i < s->run_count; i++) {
        wrong += s->runs[i].wrong_answers;
        errors += s->runs[i].errors;
    }
    ld_html_tiles_begin(f);
    snprintf(more, sizeof(more), "highest rate that meets %s", about->slo->text);
    ld_html_tile(f, best ? LD_TONE_GOOD : LD_TONE_BAD, "Holds",
                 best ? ld_units_format(LD_UNIT_RATE, best->rate_per_s, text) : "none", more);
    if (best) {
        snprintf(more, sizeof(more), "%u of %u runs held", best->held, best->judged);
        struct ld_spread objective = ld_sweep_spread(s, best, FIGURE(objective_us));
        ld_html_tile(f, LD_TONE_PLAIN, "Latency there",
                     ld_units_format(LD_UNIT_US, objective.median, text), more);
        struct ld_spread cpu = ld_sweep_spread(s, best, FIGURE(cpu_us));
        if (isfinite(cpu.median))
            ld_html_tile(f, LD_TONE_PLAIN, "Server CPU there",
                         ld_units_format(LD_UNIT_US, cpu.median, text), "per request");
    }
    ld_html_tile(f, LD_TONE_PLAIN, "Breaks", ld_units_format(LD_UNIT_RATE, s->breaks_per_s, text),
                 isfinite(s->breaks_per_s) ? "lowest rate that did not hold" : "none broke");
    snprintf(number, sizeof(number), "%u", s->run_count);
    snprintf(more, sizeof(more), "%u set aside: CPUs far apart", s->set_aside);
    ld_html_tile(f, LD_TONE_PLAIN, "Runs", number, more);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)wrong);
    ld_html_tile(f, wrong ? LD_TONE_BAD : LD_TONE_GOOD, "Wrong answers", number, "in all runs");
    snprintf(number, sizeof(number), "%llu", (unsigned long long)errors);
    ld_html_tile(f, errors ? LD_TONE_WARN : LD_TONE_GOOD, "Errors", number, "in all runs");
    ld_html_tiles_end(f);
}

bool ld_html_write_sweep(const struct ld_sweep *s, const struct ld_sweep_about *about,
                         const char *path, struct ld_problem *problem)
{
    char sentence[256];
    struct ld_sweep_step *steps = sorted_steps(s);
    if (!steps)
        return ld_problem_set(problem, "out of memory");
    ld_sweep_sentence(s, about->slo, sentence, sizeof(sentence));
    FILE *f = ld_html_begin(path, "Sweep of the rate", about->started_at, problem);
    bool ok = f != NULL;
    if (ok) {
        ld_html_note(f, ld_sweep_best(s) ? LD_TONE_GOOD : LD_TONE_BAD, "%s", sentence);
        ld_html_loop_note(f, true);
        sweep_tiles(f, s, about);
        latency_chart(f, s, about, steps);
        cpu_chart(f, s, steps);
        ld_html_heading(f, "Figures");
        steps_table(f, s, steps);
        ld_html_repeat(f, about->command, about->machine, about->options, NULL);
        ok = ld_html_end(f, path, problem);
    }
    free(steps);
    return ok;
}
