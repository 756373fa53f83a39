/* SPDX-License-Identifier: Apache-2.0
 * The page of one run. What is wrong stands first and large; then the loop and what it means for
 * the latencies; then tiles, charts, tables, and what repeats the run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/html.h"
#include "load/html_text.h"
#include "load/svg_chart.h"

/* Most points of all series of a page together stand in one allocation. */
struct columns {
    double *x, *y[8];
    size_t n;
};

static bool columns_make(struct columns *c, size_t n, size_t series)
{
    memset(c, 0, sizeof(*c));
    double *all = calloc((n ? n : 1) * (series + 1), sizeof(*all));
    if (!all)
        return false;
    c->n = n;
    c->x = all;
    for (size_t i = 0; i < series; i++)
        c->y[i] = all + (i + 1) * n;
    return true;
}

static struct ld_chart_series line_of(const char *name, const struct columns *c, size_t column,
                                      unsigned colour)
{
    return (struct ld_chart_series){
        .name = name, .x = c->x, .y = c->y[column], .n = c->n, .colour = colour};
}

static void notes(FILE *f, const struct ld_report *r)
{
    if (r->wrong_allows)
        ld_html_note(
            f, LD_TONE_BAD,
            "%llu WRONG ALLOWS: the server allowed what had to be refused. Nothing else on "
            "this page matters before that is explained.",
            (unsigned long long)r->wrong_allows);
    if (r->wrong_answers)
        ld_html_note(f, LD_TONE_BAD, "%llu wrong answers of %llu.",
                     (unsigned long long)r->wrong_answers, (unsigned long long)r->requests);
    for (unsigned i = 0; i < LD_WHYS_MAX && r->whys[i]; i++)
        ld_html_note(f, LD_TONE_BAD, "%s", r->whys[i]);
    if (ld_report_errors(r))
        ld_html_note(f, LD_TONE_WARN, "%llu requests failed without an answer (below, by kind).",
                     (unsigned long long)ld_report_errors(r));
    if (r->interrupted)
        ld_html_note(f, LD_TONE_WARN, "The run was interrupted: this is what there is.");
    if (isfinite(r->placement.before_ns) && !r->placement.near)
        ld_html_note(f, LD_TONE_WARN,
                     "The CPUs of server and generator were far apart (a cache line took %.0f and "
                     "%.0f ns): do not compare this run with near ones.",
                     r->placement.before_ns, r->placement.after_ns);
    if (r->open_loop && r->rate_per_s < 0.99 * r->offered_per_s)
        ld_html_note(f, LD_TONE_WARN,
                     "The rate that was due was not reached: %.0f of %.0f per second.",
                     r->rate_per_s, r->offered_per_s);
    ld_html_loop_note(f, r->open_loop);
}

static void tile_us(FILE *f, const char *name, double us, const char *about)
{
    char text[LD_UNITS_TEXT_MAX];
    ld_html_tile(f, LD_TONE_PLAIN, name, ld_units_format(LD_UNIT_US, us, text), about);
}

static void tiles(FILE *f, const struct ld_report *r)
{
    char text[LD_UNITS_TEXT_MAX], more[64], number[32];
    const char *from = r->open_loop ? "latency, from due" : "latency, from sending";
    ld_html_tiles_begin(f);
    snprintf(more, sizeof(more), r->open_loop ? "%.0f/s were due" : "closed loop",
             r->offered_per_s);
    ld_html_tile(f, LD_TONE_PLAIN, "Rate", ld_units_format(LD_UNIT_RATE, r->rate_per_s, text),
                 more);
    tile_us(f, "p50", r->latency.p50, from);
    tile_us(f, "p99", r->latency.p99, from);
    tile_us(f, "p99.9", r->latency.p99_9, from);
    tile_us(f, "Maximum", r->latency.max, from);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)r->wrong_answers);
    snprintf(more, sizeof(more), "%llu of them allowed", (unsigned long long)r->wrong_allows);
    ld_html_tile(f, r->wrong_answers ? LD_TONE_BAD : LD_TONE_GOOD, "Wrong answers", number,
                 r->wrong_answers ? more : "every answer was checked");
    snprintf(number, sizeof(number), "%llu", (unsigned long long)ld_report_errors(r));
    ld_html_tile(f, ld_report_errors(r) ? LD_TONE_WARN : LD_TONE_GOOD, "Errors", number,
                 "requests without an answer");
    if (r->server.known) {
        ld_units_format(LD_UNIT_US, r->server.cpu_us_per_request, text);
        ld_html_tile(f, LD_TONE_PLAIN, "Server CPU", text, "per request");
        if (isfinite(r->server.rss_bytes)) {
            ld_units_format(LD_UNIT_BYTES, r->server.rss_bytes, text);
            ld_html_tile(f, LD_TONE_PLAIN, "Server memory", text, "resident");
        }
    }
    ld_html_tiles_end(f);
}

/* The curve's points; the maximum stands where 1 of count would be. */
static void curve_of(const struct ld_latency *l, double *x, double *y)
{
    for (unsigned i = 0; i < l->curve_count; i++) {
        double last = 1 - 1 / fmax((double)l->count + 1, 2);
        x[i] = fmin(l->curve[i].q, last);
        y[i] = l->curve[i].us;
    }
}

static void percentile_chart(FILE *f, const struct ld_report *r)
{
    enum { OVERALL = 2 };
    size_t most = r->class_count + OVERALL, n = 0;
    double *room = calloc(most * 2 * LD_CURVE_MAX, sizeof(*room));
    struct ld_chart_series *series = calloc(most, sizeof(*series));
    if (!room || !series)
        goto done;
    double *at = room;
    for (size_t i = 0; i < most; i++) {
        bool is_class = i >= OVERALL;
        const struct ld_latency *l = i == 0   ? &r->latency
                                     : i == 1 ? &r->service
                                              : &r->classes[i - OVERALL].latency;
        /* With one class the run says the same; from sending differs in open loop only. */
        if (!l->count || (i == 1 && !r->open_loop) || (is_class && r->class_count < 2))
            continue;
        curve_of(l, at, at + LD_CURVE_MAX);
        series[n++] = (struct ld_chart_series){
            .name = i == 0   ? (r->open_loop ? "from due" : "all")
                    : i == 1 ? "from sending"
                             : r->classes[i - OVERALL].name,
            .x = at,
            .y = at + LD_CURVE_MAX,
            .n = l->curve_count,
            .colour = (unsigned)i,
            .dashed = i == 1,
        };
        at += 2 * (size_t)LD_CURVE_MAX;
    }
    ld_chart_write(f,
                   &(struct ld_chart){
                       .id = "percentiles",
                       .title = "Latency by percentile",
                       .description = "Share of the requests that took at most so long; both axes "
                                      "are logarithmic, so each step to the right is ten times "
                                      "rarer.",
                       .x = {.label = "percentile",  .scale = LD_SCALE_NINES},
                       .y = { .label = "latency (log)", .scale = LD_SCALE_LOG,      .unit = LD_UNIT_US},
                       .series = series,
                       .series_n = n,
                       .height = 380,
    });
done:
    free(series);
    free(room);
}

static const struct ld_axis seconds_axis = {.label = "time since the measuring began",
                                            .unit = LD_UNIT_SECONDS};

static void time_chart(FILE *f, const char *id, const char *title, const char *description,
                       struct ld_axis y, const struct ld_chart_series *series, size_t n,
                       double height)
{
    struct ld_chart_rule begin = {"measured from here", 0, true};
    bool warmed = n && series[0].n && series[0].x[0] < 0;
    ld_chart_write(f, &(struct ld_chart){.id = id,
                                         .title = title,
                                         .description = description,
                                         .x = seconds_axis,
                                         .y = y,
                                         .series = series,
                                         .series_n = n,
                                         .rules = &begin,
                                         .rules_n = warmed,
                                         .height = height});
}

static bool any_above_zero(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] > 0)
            return true;
    return false;
}

enum column { RATE, P50, P99, MAX, ERRORS, WRONG, WAITING, CPU, COLUMNS };

static void time_charts(FILE *f, const struct ld_report *r)
{
    struct columns c;
    if (r->second_count < 2 || !columns_make(&c, r->second_count, COLUMNS))
        return;
    for (size_t i = 0; i < c.n; i++) {
        const struct ld_second *s = &r->seconds[i];
        c.x[i] = s->at_s;
        c.y[RATE][i] = s->rate_per_s;
        c.y[P50][i] = s->p50_us;
        c.y[P99][i] = s->p99_us;
        c.y[MAX][i] = s->max_us;
        c.y[ERRORS][i] = (double)s->errors;
        c.y[WRONG][i] = (double)s->wrong_answers;
        c.y[WAITING][i] = (double)s->waiting;
        c.y[CPU][i] = s->rate_per_s > 0 ? s->server_cpu * 1e6 / s->rate_per_s : NAN;
    }
    struct ld_chart_series rate = line_of("rate", &c, RATE, 0);
    time_chart(f, "rate", "Rate over time", "Answers per second.",
               (struct ld_axis){.label = "answers", .unit = LD_UNIT_RATE}, &rate, 1, 240);
    struct ld_chart_series latency[] = {line_of("p50", &c, P50, 0), line_of("p99", &c, P99, 1),
                                        line_of("max", &c, MAX, 7)};
    time_chart(
        f, "latency", "Latency over time", "Median, p99 and maximum of every second.",
        (struct ld_axis){.label = "latency (log)", .scale = LD_SCALE_LOG, .unit = LD_UNIT_US},
        latency, 3, 300);
    struct ld_chart_series bad[] = {line_of("errors", &c, ERRORS, 4),
                                    line_of("wrong", &c, WRONG, 1)};
    if (any_above_zero(c.y[ERRORS], c.n) || any_above_zero(c.y[WRONG], c.n))
        time_chart(f, "errors", "Errors and wrong answers over time", "In every second.",
                   (struct ld_axis){.label = "per second", .unit = LD_UNIT_COUNT}, bad, 2, 220);
    struct ld_chart_series waiting = line_of("waiting", &c, WAITING, 3);
    if (r->open_loop && any_above_zero(c.y[WAITING], c.n))
        time_chart(f, "waiting", "Requests that were due and not sent",
                   "At the end of every second; their wait counts as latency.",
                   (struct ld_axis){.label = "requests", .unit = LD_UNIT_COUNT}, &waiting, 1, 220);
    struct ld_chart_series cpu = line_of("CPU", &c, CPU, 2);
    if (any_above_zero(c.y[CPU], c.n))
        time_chart(f, "cpu", "Server CPU per request over time",
                   "CPU time of the server's process by the answers of the same second.",
                   (struct ld_axis){.label = "CPU per request", .unit = LD_UNIT_US}, &cpu, 1, 240);
    free(c.x);
}

static void latency_row(struct ld_html_table *t, const char *name, const struct ld_latency *l)
{
    const double values[] = {l->min, l->mean, l->p50, l->p90, l->p99, l->p99_9, l->p99_99, l->max};
    ld_html_cell(t, "%s", name);
    for (size_t i = 0; i < PC_COUNT(values); i++)
        ld_html_cell_unit(t, LD_UNIT_US, l->count ? values[i] : NAN);
}

static void tables(FILE *f, const struct ld_report *r)
{
    struct ld_html_table t =
        ld_html_table_begin(f, "Latency", "class|min|mean|p50|p90|p99|p99.9|p99.99|max");
    latency_row(&t, r->open_loop ? "all, from due" : "all", &r->latency);
    latency_row(&t, "all, from sending", &r->service);
    for (unsigned i = 0; i < r->class_count; i++)
        latency_row(&t, r->classes[i].name, &r->classes[i].latency);
    ld_html_table_end(&t);
    t = ld_html_table_begin(f, "Answers", "class|requests|rate|wrong|wrong allows|errors");
    for (unsigned i = 0; i < r->class_count; i++) {
        const struct ld_class_report *c = &r->classes[i];
        ld_html_cell(&t, "%s", c->name);
        ld_html_cell(&t, "%llu", (unsigned long long)c->requests);
        ld_html_cell_unit(&t, LD_UNIT_RATE, c->rate_per_s);
        ld_html_cell(&t, "%llu", (unsigned long long)c->wrong_answers);
        ld_html_cell(&t, "%llu", (unsigned long long)c->wrong_allows);
        ld_html_cell(&t, "%llu", (unsigned long long)c->errors);
    }
    ld_html_table_end(&t);
    t = ld_html_table_begin(f, "What else was counted", "what|count");
    for (int i = 0; i < LD_FAIL_END; i++) {
        ld_html_cell(&t, "errors: %s", ld_failure_name((enum ld_failure)i));
        ld_html_cell(&t, "%llu", (unsigned long long)r->errors[i]);
    }
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"due and not sent by the end",      r->unsent        },
        {"sent and not answered by the end", r->unanswered    },
        {"arrivals without a request",       r->skipped       },
        {"connections made again",           r->reconnects    },
        {"bytes sent",                       r->bytes_sent    },
        {"bytes received",                   r->bytes_received},
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        ld_html_cell(&t, "%s", rows[i].name);
        ld_html_cell(&t, "%llu", (unsigned long long)rows[i].value);
    }
    ld_html_cell(&t, "CPU of the generator");
    ld_html_cell(&t, "%.2f s of %.2f s", r->generator_cpu_s, r->duration_s);
    ld_html_table_end(&t);
}

static void server_table(FILE *f, const struct ld_report *r)
{
    const struct ld_server_figures *s = &r->server;
    if (!s->known)
        return;
    struct ld_html_table t = ld_html_table_begin(f, "The server", "what|figure");
    const struct {
        const char *name;
        enum ld_unit unit;
        double value;
    } rows[] = {
        {"CPU time",                         LD_UNIT_SECONDS, s->cpu_s               },
        {"of it user",                       LD_UNIT_SECONDS, s->user_s              },
        {"of it system",                     LD_UNIT_SECONDS, s->system_s            },
        {"CPU per request",                  LD_UNIT_US,      s->cpu_us_per_request  },
        {"resident",                         LD_UNIT_BYTES,   s->rss_bytes           },
        {"proportional",                     LD_UNIT_BYTES,   s->pss_bytes           },
        {"voluntary switches per request",   LD_UNIT_COUNT,   s->voluntary_switches  },
        {"involuntary switches per request", LD_UNIT_COUNT,   s->involuntary_switches},
        {"cycles per request",               LD_UNIT_COUNT,   s->cycles              },
        {"instructions per request",         LD_UNIT_COUNT,   s->instructions        },
        {"cache misses per request",         LD_UNIT_COUNT,   s->cache_misses        },
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        if (!isfinite(rows[i].value))
            continue;
        ld_html_cell(&t, "%s", rows[i].name);
        ld_html_cell_unit(&t, rows[i].unit, rows[i].value);
    }
    ld_html_table_end(&t);
    if (s->why_no_counters)
        ld_html_note(f, LD_TONE_PLAIN, "No hardware counters: %s", s->why_no_counters);
}

bool ld_html_write_run(const struct ld_report *r, const char *path, struct ld_problem *problem)
{
    char about[256];
    snprintf(about, sizeof(about), "%s; %llu answers in %.1f s; %s loop", r->started_at,
             (unsigned long long)r->requests, r->duration_s, r->open_loop ? "open" : "closed");
    const char *name = json_string_value(json_object_get(r->options, "url"));
    char title[256];
    snprintf(title, sizeof(title), "Run%s%s", name ? " of " : "", name ? name : "");
    FILE *f = ld_html_begin(path, title, about, problem);
    if (!f)
        return false;
    notes(f, r);
    tiles(f, r);
    percentile_chart(f, r);
    time_charts(f, r);
    ld_html_heading(f, "Figures");
    tables(f, r);
    server_table(f, r);
    ld_html_repeat(f, r->command, &r->machine, r->options, r->workload);
    return ld_html_end(f, path, problem);
}
