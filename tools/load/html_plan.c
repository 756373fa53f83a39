/* SPDX-License-Identifier: Apache-2.0
 * The page of a plan: the answer in tiles, the warnings before anything that could be believed
 * without them, what breaks first, the fits beside the points they were made from, the model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/html.h"
#include "load/svg_chart.h"

enum { CURVE = 60 }; /* points of a drawn function */

static const char *shown(enum ld_unit unit, double v, char text[LD_UNITS_TEXT_MAX])
{
    return ld_units_format(unit, v, text);
}

static void plan_tiles(FILE *f, const struct ld_plan *p)
{
    char text[LD_UNITS_TEXT_MAX], other[LD_UNITS_TEXT_MAX], more[96], number[32];
    enum ld_tone tone = p->fits ? LD_TONE_GOOD : LD_TONE_BAD;
    ld_html_tiles_begin(f);
    snprintf(number, sizeof(number), "%.0f", p->nodes);
    snprintf(more, sizeof(more), "of %.0f cores; %.0f may be lost", p->cores_per_node,
             p->ask.nodes_lost);
    ld_html_tile(f, tone, "Nodes", number, more);
    snprintf(number, sizeof(number), "%.0f", p->nodes * p->cores_per_node);
    snprintf(more, sizeof(more), "%s of CPU per request",
             shown(LD_UNIT_US, p->service.mean_us, text));
    ld_html_tile(f, LD_TONE_PLAIN, "Cores", number, more);
    snprintf(number, sizeof(number), "%.0f %%", 100 * p->load_normal);
    snprintf(more, sizeof(more), "%.0f %% after losses; %.0f %% allowed", 100 * p->load_lost,
             100 * p->load_allowed);
    ld_html_tile(f, LD_TONE_PLAIN, "Load", number, more);
    for (unsigned i = 0; i < p->ask.slo.n; i++) {
        char name[16];
        ld_slo_term_name(&p->ask.slo.terms[i], name, sizeof(name));
        snprintf(more, sizeof(more), "after losses; asked below %s",
                 shown(LD_UNIT_US, p->ask.slo.terms[i].limit_us, other));
        ld_html_tile(f, p->terms[i].reachable ? LD_TONE_PLAIN : LD_TONE_BAD, name,
                     shown(LD_UNIT_US, p->terms[i].lost_us, text), more);
    }
    ld_html_tile(f, LD_TONE_PLAIN, "Memory per node", shown(LD_UNIT_BYTES, p->memory_bytes, text),
                 "resident");
    snprintf(more, sizeof(more), "in; %s out, per node",
             shown(LD_UNIT_BITS_PER_S, p->out_bits_per_s, other));
    ld_html_tile(f, LD_TONE_PLAIN, "Network", shown(LD_UNIT_BITS_PER_S, p->in_bits_per_s, text),
                 more);
    snprintf(more, sizeof(more), "out of the hub; %s per node",
             shown(LD_UNIT_BITS_PER_S, p->change_bits_per_s, other));
    ld_html_tile(f, LD_TONE_PLAIN, "Revocation fan-out",
                 shown(LD_UNIT_BITS_PER_S, p->hub_bits_per_s, text), more);
    snprintf(more, sizeof(more), "per node; ready %s after a start",
             shown(LD_UNIT_SECONDS, p->start_s, other));
    ld_html_tile(f, LD_TONE_PLAIN, "Journal disk", shown(LD_UNIT_BYTES, p->disk_bytes, text), more);
    ld_html_tiles_end(f);
}

static void needs_chart(FILE *f, const struct ld_plan *p)
{
    struct ld_bar bars[LD_RESOURCES];
    char texts[LD_RESOURCES][96];
    size_t n = 0;
    for (size_t i = 0; i < p->needs_n; i++) {
        const struct ld_need *one = &p->needs[i];
        char used[LD_UNITS_TEXT_MAX], capacity[LD_UNITS_TEXT_MAX];
        if (!(one->used > 0))
            continue;
        snprintf(texts[n], sizeof(texts[n]), "%s of %s", shown(one->unit, one->used, used),
                 shown(one->unit, one->capacity, capacity));
        bars[n] = (struct ld_bar){one->name, one->used / one->capacity, texts[n],
                                  one->factor < 1 ? 1 : 0};
        n++;
    }
    ld_chart_bars_write(f, "needs", "What breaks first",
                        "Each resource against its limit; a full bar has no room left. The CPU's "
                        "limit is the load the objective allows.",
                        bars, n, 1);
}

static void cores_chart(FILE *f, const struct ld_plan *p)
{
    double x[CURVE], law[CURVE], worst[CURVE], ideal[CURVE];
    double mx[LD_POINTS_MAX], my[LD_POINTS_MAX];
    double most = fmax(p->cores_per_node, fmax(p->edge.n_max, 2));
    for (int i = 0; i < CURVE; i++) {
        x[i] = 1 + (most - 1) * i / (CURVE - 1);
        law[i] = ld_usl_rate(&p->law, x[i]);
        worst[i] = ld_usl_rate(&p->worst, x[i]);
        ideal[i] = p->law.lambda * x[i];
    }
    for (size_t i = 0; i < p->points->cpu_n; i++) {
        mx[i] = p->points->cpu[i].cores;
        my[i] = mx[i] * 1e6 / p->points->cpu[i].cpu_us;
    }
    const struct ld_chart_series series[] = {
        {"linear",          x,  ideal, CURVE,            LD_MARK_LINE, 7, true },
        {"the fit used",    x,  law,   CURVE,            LD_MARK_LINE, 0, false},
        {"if all is kappa", x,  worst, CURVE,            LD_MARK_LINE, 1, true },
        {"measured",        mx, my,    p->points->cpu_n, LD_MARK_DOTS, 2, false},
    };
    char name[64];
    struct ld_chart_rule rule = {name, p->edge.n_max, true};
    snprintf(name, sizeof(name), "measured up to here");
    ld_chart_write(f, &(struct ld_chart){
                          .id = "cores",
                          .title = "Capacity of a node over its cores",
                          .description =
                              "Requests a node could serve at full load (known tokens), from "
                              "CPU time per request; to the right of the mark it is "
                              "extrapolation.",
                          .x = {.label = "cores",    .unit = LD_UNIT_COUNT},
                          .y = {.label = "requests", .unit = LD_UNIT_RATE },
                          .series = series,
                          .series_n = 4,
                          .rules = &rule,
                          .rules_n = p->edge.n_max < most,
    });
}

static void load_chart(FILE *f, const struct ld_plan *p)
{
    double x[CURVE], y[2][CURVE], mx[LD_POINTS_MAX], my[LD_POINTS_MAX];
    const struct ld_slo_term *t = &p->ask.slo.terms[0];
    double percentile = fmin(t->percentile, 99.99);
    for (int i = 0; i < CURVE; i++) {
        double rho = 0.02 + 0.96 * i / (CURVE - 1);
        x[i] = 100 * rho;
        y[0][i] = ld_queueing_latency_us(&p->service, &p->floor, rho, percentile);
        y[1][i] = p->floor.n ? ld_queueing_floor_us(&p->floor, rho, percentile, NULL) : NAN;
    }
    size_t n = 0;
    for (size_t i = 0; i < p->floor.n; i++) {
        bool exact = false;
        ld_queueing_floor_us(&p->floor, 0, percentile, &exact);
        if (exact && fabs(p->floor.points[i].percentile - percentile) < 1e-9) {
            mx[n] = 100 * p->floor.points[i].rho;
            my[n++] = p->floor.points[i].us;
        }
    }
    char name[16], limit[64], text[LD_UNITS_TEXT_MAX], planned[64], label[64];
    ld_slo_term_name(t, name, sizeof(name));
    snprintf(limit, sizeof(limit), "%s below %s", name, shown(LD_UNIT_US, t->limit_us, text));
    snprintf(planned, sizeof(planned), "planned, after losses");
    snprintf(label, sizeof(label), "%s (log)", name);
    const struct ld_chart_rule rules[] = {
        {limit,   t->limit_us,        false},
        {planned, 100 * p->load_lost, true },
    };
    const struct ld_chart_series series[] = {
        {"predicted",         x,  y[0], CURVE, LD_MARK_LINE, 0, false},
        {"of it platform",    x,  y[1], CURVE, LD_MARK_LINE, 7, true },
        {"platform measured", mx, my,   n,     LD_MARK_DOTS, 7, false},
    };
    ld_chart_write(f, &(struct ld_chart){
                          .id = "load",
                          .title = "Latency over load",
                          .description =
                              "The platform's floor plus waiting plus service, for the first "
                              "term of the objective.",
                          .x = {.label = "load of a core (%)", .unit = LD_UNIT_COUNT, .max = 100        },
                          .y = {.label = label,                .scale = LD_SCALE_LOG, .unit = LD_UNIT_US},
                          .series = series,
                          .series_n = 3,
                          .rules = rules,
                          .rules_n = isfinite(p->load_lost) && p->load_lost < 1 ? 2 : 1,
    });
}

static void memory_table(FILE *f, const struct ld_plan *p)
{
    struct ld_html_table t =
        ld_html_table_begin(f, "Memory of a node",
                            "table|entries|bytes|per entry (fitted)|fixed (fitted)|measured up to|"
                            "off the line by");
    for (int i = 0; i < LD_TABLES; i++) {
        double entries =
            i == LD_TABLE_CACHED_TOKENS ? p->cache_entries * p->cores_per_node : p->ask.entries[i];
        const struct ld_line *l = &p->memory_line[i];
        ld_html_cell(&t, "%s", ld_table_names[i]);
        ld_html_cell_unit(&t, LD_UNIT_COUNT, entries);
        ld_html_cell_unit(&t, LD_UNIT_BYTES, p->memory_part[i]);
        ld_html_cell_unit(&t, LD_UNIT_BYTES, l->slope);
        ld_html_cell_unit(&t, LD_UNIT_BYTES, l->intercept);
        ld_html_cell_unit(&t, LD_UNIT_COUNT, l->x_max);
        ld_html_cell(&t, "%.1f %%", 100 * l->error_max);
    }
    ld_html_table_end(&t);
}

static void fits_table(FILE *f, const struct ld_plan *p)
{
    const struct {
        const char *name;
        const struct ld_usl *u;
    } rows[] = {
        {"CPU per request over cores",        &p->edge     },
        {"decisions in process over threads", &p->decisions},
        {"used",                              &p->law      },
        {"if all of the loss is kappa",       &p->worst    },
    };
    struct ld_html_table t = ld_html_table_begin(
        f, "Scalability fits", "of|lambda|sigma|kappa|R2|error rms|largest|sizes");
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        const struct ld_usl *u = rows[i].u;
        ld_html_cell(&t, "%s", rows[i].name);
        ld_html_cell_unit(&t, LD_UNIT_RATE, u->lambda);
        ld_html_cell(&t, "%.4f", u->sigma);
        ld_html_cell(&t, "%.5f", u->kappa);
        ld_html_cell(&t, "%.4f", u->r_squared);
        ld_html_cell(&t, "%.1f %%", 100 * u->error_rms);
        ld_html_cell(&t, "%.1f %%", 100 * u->error_max);
        ld_html_cell(&t, "%u", u->distinct);
    }
    ld_html_table_end(&t);
    if (!p->checks_n)
        return;
    t = ld_html_table_begin(f, "Predictions that were measured, too",
                            "what|predicted|measured|off by");
    for (size_t i = 0; i < p->checks_n; i++) {
        ld_html_cell(&t, "%s", p->checks[i].what);
        ld_html_cell_unit(&t, p->checks[i].unit, p->checks[i].predicted);
        ld_html_cell_unit(&t, p->checks[i].unit, p->checks[i].measured);
        ld_html_cell(&t, "%+.0f %%", 100 * p->checks[i].error);
    }
    ld_html_table_end(&t);
}

bool ld_html_write_plan(const struct ld_plan *p, const char *command, const char *path,
                        struct ld_problem *problem)
{
    char title[256], about[512], rate[LD_UNITS_TEXT_MAX];
    snprintf(title, sizeof(title), "Capacity for %s at %s",
             shown(LD_UNIT_RATE, p->ask.target_per_s, rate), p->ask.slo.text);
    snprintf(about, sizeof(about), "from points of %s, measured %s on %s", p->points->path,
             p->points->when, p->points->cpu_model);
    FILE *f = ld_html_begin(path, title, about, problem);
    if (!f)
        return false;
    if (!p->fits)
        ld_html_note(f, LD_TONE_BAD, "This does not carry the target: %s is exceeded.",
                     p->needs[0].name);
    if (!p->reachable)
        ld_html_note(f, LD_TONE_BAD, "The objective is not met at any load on such machines.");
    plan_tiles(f, p);
    needs_chart(f, p);
    if (p->warnings_n)
        ld_html_heading(f, "Where this goes beyond what was measured");
    for (size_t i = 0; i < p->warnings_n; i++)
        ld_html_note(f, LD_TONE_WARN, "%s: %s", p->warnings[i].name, p->warnings[i].text);
    ld_html_heading(f, "The fits");
    cores_chart(f, p);
    load_chart(f, p);
    fits_table(f, p);
    memory_table(f, p);
    ld_html_heading(f, "The model");
    for (unsigned i = 0; ld_plan_model_sentence(i); i++)
        ld_html_note(f, LD_TONE_PLAIN, "%s", ld_plan_model_sentence(i));
    json_t *all = ld_plan_to_json(p, command);
    ld_html_repeat(f, command, NULL, all, NULL);
    json_decref(all);
    return ld_html_end(f, path, problem);
}
