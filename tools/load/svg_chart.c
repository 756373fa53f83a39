/* SPDX-License-Identifier: Apache-2.0
 * Drawing of charts. A chart is laid out in a fixed box of user units and scaled by the browser:
 *
 *     y label
 *     tick ┤ plot area (grid, rules, series)      │ names of the series
 *     tick ┤                                      │ at the height of their last points
 *          └──┬──────┬──────┬──── ticks ───
 *                          x label
 *
 * Nothing is measured in fonts: texts are kept short and have room. Writes to the FILE; any thread.
 */
#include "load/svg_chart.h"

#include <math.h>
#include <stdlib.h>

#include "load/html_text.h"

enum {
    WIDTH = 760,
    HEIGHT = 320,
    LEFT = 70,
    RIGHT = 24,
    RIGHT_NAMES = 150, /* room for names of series */
    TOP = 34,
    BOTTOM = 48,
    NAME_CHARACTERS = 18,
    NAME_STEP = 16, /* least distance of two names */
    TICKS_MAX = 24,
    TICK_ROOM = 34, /* that the text of a tick on the x axis needs at least */
};

/* How a value becomes a place: place = from + (f(value) - low) / (high - low) * span. */
struct scale {
    const struct ld_axis *axis;
    double low, high; /* transformed */
    double from, span;
};

static double transform(enum ld_scale scale, double v)
{
    switch (scale) {
    case LD_SCALE_LOG: return v > 0 ? log10(v) : NAN;
    case LD_SCALE_NINES: return v >= 0 && v < 1 ? -log10(1 - v) : NAN;
    default: return isfinite(v) ? v : NAN;
    }
}

static double place(const struct scale *s, double v)
{
    return s->from + (transform(s->axis->scale, v) - s->low) / (s->high - s->low) * s->span;
}

/* ---- ranges and ticks ---- */

/* The smallest of 1, 2, 5 times a power of ten that is at least v (v > 0). */
static double step_up(double v)
{
    double power = pow(10, floor(log10(v) + 1e-9));
    double m = v / power;
    return power * (m <= 1.0001 ? 1 : m <= 2.0001 ? 2 : m <= 5.0001 ? 5 : 10);
}

static double step_down(double v)
{
    double power = pow(10, floor(log10(v) + 1e-9));
    double m = v / power;
    return power * (m >= 4.9999 ? 5 : m >= 1.9999 ? 2 : 1);
}

size_t ld_chart_ticks(double min, double max, unsigned wanted, double *ret_ticks, size_t cap)
{
    if (!(max > min) || !wanted || !cap)
        return 0;
    double step = step_up((max - min) / wanted);
    size_t n = 0;
    double first = ceil(min / step - 1e-9);
    while (n < cap) {
        double k = first + (double)n;
        if (k * step > max + step * 1e-9)
            break;
        ret_ticks[n++] = k == 0 ? 0 : k * step; /* ceil() makes a negative zero */
    }
    return n;
}

static size_t log_ticks(const struct scale *s, double *ticks, size_t cap)
{
    static const double mantissas[] = {1, 2, 5};
    double decades = s->high - s->low;
    size_t per_decade = decades <= 2.4 ? 3 : 1, n = 0;
    int skip = decades > 8 ? (int)ceil(decades / 8) : 1;
    int last = (int)floor(s->high + 1e-9);
    for (int d = (int)floor(s->low + 1e-9); d <= last; d += skip)
        for (size_t i = 0; i < per_decade; i++) {
            double t = mantissas[i] * pow(10, d);
            if (n < cap && log10(t) >= s->low - 1e-9 && log10(t) <= s->high + 1e-9)
                ticks[n++] = t;
        }
    return n;
}

/* 0, 50 %, 90 %, 99 %, … */
static size_t nines_ticks(const struct scale *s, double *ticks, size_t cap)
{
    size_t n = 0;
    if (cap > 1) {
        ticks[n++] = 0;
        ticks[n++] = 0.5;
    }
    for (int d = 1; d <= s->high + 1e-9 && n < cap; d++)
        ticks[n++] = 1 - pow(10, -d);
    return n;
}

static void widen(double *low, double *high, double t)
{
    if (!isfinite(t))
        return;
    *low = fmin(*low, t);
    *high = fmax(*high, t);
}

/* What the data and the axis ask for, in transformed units; false: nothing to draw. */
static bool data_range(const struct ld_chart *c, bool is_x, double *ret_low, double *ret_high)
{
    const struct ld_axis *a = is_x ? &c->x : &c->y;
    double low = INFINITY, high = -INFINITY;
    for (size_t s = 0; s < c->series_n; s++)
        for (size_t i = 0; i < c->series[s].n; i++) {
            const struct ld_chart_series *one = &c->series[s];
            double tx = transform(c->x.scale, one->x[i]), ty = transform(c->y.scale, one->y[i]);
            if (isfinite(tx) && isfinite(ty)) /* only what is drawn */
                widen(&low, &high, is_x ? tx : ty);
        }
    if (low > high)
        return false;
    for (size_t r = 0; r < c->rules_n; r++)
        if (c->rules[r].vertical == is_x)
            widen(&low, &high, transform(a->scale, c->rules[r].at));
    if (a->min != 0 || a->max != 0) {
        widen(&low, &high, transform(a->scale, a->min));
        widen(&low, &high, transform(a->scale, a->max));
    }
    *ret_low = low;
    *ret_high = high;
    return true;
}

static bool scale_of(const struct ld_chart *c, bool is_x, struct scale *ret)
{
    double low = 0, high = 0;
    if (!data_range(c, is_x, &low, &high))
        return false;
    struct scale s = {.axis = is_x ? &c->x : &c->y};
    if (s.axis->scale == LD_SCALE_LOG) {
        low = log10(step_down(pow(10, low)));
        high = log10(step_up(pow(10, high)));
        if (high - low < 0.3) /* at least one step from tick to tick */
            high = log10(step_up(pow(10, low) * 2));
    } else if (s.axis->scale == LD_SCALE_NINES) {
        low = 0;
        high = fmax(ceil(high * 2) / 2, 1);
    } else {
        low = fmin(low, 0);
        high = fmax(high, 0);
        if (high - low < 1e-12)
            high = low + 1;
        if (!is_x) /* the uppermost tick is the top */
            high = low + ceil((high - low) / step_up((high - low) / 5) - 1e-9) *
                             step_up((high - low) / 5);
    }
    s.low = low;
    s.high = high;
    *ret = s;
    return true;
}

static size_t ticks_of(const struct scale *s, unsigned wanted, double ticks[TICKS_MAX])
{
    switch (s->axis->scale) {
    case LD_SCALE_LOG: return log_ticks(s, ticks, TICKS_MAX);
    case LD_SCALE_NINES: return nines_ticks(s, ticks, TICKS_MAX);
    default: return ld_chart_ticks(s->low, s->high, wanted, ticks, TICKS_MAX);
    }
}

static const char *tick_text(const struct ld_axis *a, double v, char dst[LD_UNITS_TEXT_MAX])
{
    if (a->scale != LD_SCALE_NINES)
        return ld_units_format(a->unit, v, dst);
    double nines = -log10(1 - v);
    int places = nines < 2.5 ? 0 : (int)floor(nines + 1e-6) - 2;
    snprintf(dst, LD_UNITS_TEXT_MAX, "%.*f %%", places, v * 100);
    return dst;
}

/* ---- drawing ---- */

static void draw_axes(FILE *f, const struct ld_chart *c, const struct scale *x,
                      const struct scale *y)
{
    char text[LD_UNITS_TEXT_MAX];
    double ticks[TICKS_MAX];
    double left = x->from, right = x->from + x->span, bottom = y->from, top = y->from + y->span;
    size_t n = ticks_of(y, 5, ticks);
    for (size_t i = 0; i < n; i++) {
        double at = place(y, ticks[i]);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", left, at, right);
        fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", left - 8,
                at + 4);
        ld_html_text(f, tick_text(y->axis, ticks[i], text));
        fputs("</text>\n", f);
    }
    n = ticks_of(x, 8, ticks);
    double last = -TICK_ROOM;
    for (size_t i = 0; i < n; i++) {
        double at = place(x, ticks[i]);
        fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", at, top, bottom);
        if (at - last < TICK_ROOM) /* 0 % and 50 % of a long percentile axis */
            continue;
        last = at;
        fprintf(f, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", at,
                bottom + 18);
        ld_html_text(f, tick_text(x->axis, ticks[i], text));
        fputs("</text>\n", f);
    }
    fprintf(f, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>", left, bottom, right);
    fprintf(f, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
            (left + right) / 2, bottom + 38);
    ld_html_text(f, c->x.label);
    fprintf(f, "</text><text class=\"label\" x=\"6\" y=\"16\">");
    ld_html_text(f, c->y.label);
    fputs("</text>\n", f);
}

static void draw_rules(FILE *f, const struct ld_chart *c, const struct scale *x,
                       const struct scale *y)
{
    double right = x->from + x->span, top = y->from + y->span;
    for (size_t i = 0; i < c->rules_n && i < LD_CHART_RULES_MAX; i++) {
        const struct ld_chart_rule *r = &c->rules[i];
        double at = place(r->vertical ? x : y, r->at);
        if (!isfinite(at))
            continue;
        if (r->vertical) {
            bool left_of = at > x->from + x->span / 2;
            fprintf(f, "<path class=\"rule\" d=\"M%.1f %.1fV%.1f\"/>", at, top, y->from);
            fprintf(f, "<text class=\"rule-name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                    at + (left_of ? -6 : 6), top + 14 + 16.0 * (double)i,
                    left_of ? "end" : "start");
        } else {
            fprintf(f, "<path class=\"rule\" d=\"M%.1f %.1fH%.1f\"/>", x->from, at, right);
            fprintf(f, "<text class=\"rule-name\" x=\"%.1f\" y=\"%.1f\">", x->from + 6,
                    at < top + 18 ? at + 16 : at - 6);
        }
        ld_html_text_cut(f, r->label, 48);
        fputs("</text>\n", f);
    }
}

/* Colour and dash of a series as attributes. */
static void series_style(FILE *f, const struct ld_chart_series *s)
{
    static const char *const dashes[] = {"", "7 3", "2 3", "9 3 2 3"};
    unsigned dash = s->dashed ? 1 : s->colour / LD_CHART_COLOURS % (unsigned)PC_COUNT(dashes);
    fprintf(f, " style=\"stroke:var(--s%u)%s%s\"", s->colour % LD_CHART_COLOURS,
            dash ? ";stroke-dasharray:" : "", dashes[dash]);
}

static void draw_dots(FILE *f, const struct ld_chart_series *s, const struct scale *x,
                      const struct scale *y)
{
    size_t skip = s->n / LD_CHART_POINTS_MAX + 1;
    for (size_t i = 0; i < s->n; i += skip) {
        double px = place(x, s->x[i]), py = place(y, s->y[i]);
        if (isfinite(px) && isfinite(py))
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" style=\"fill:var(--s%u)\"/>", px,
                    py, s->n > 60 ? "2" : "3.5", s->colour % LD_CHART_COLOURS);
    }
}

/* Index of the least or greatest drawable y in [from, to); to if there is none. */
static size_t extreme(const struct ld_chart_series *s, const struct scale *y, size_t from,
                      size_t to, bool greatest)
{
    size_t best = to;
    for (size_t i = from; i < to; i++) {
        if (!isfinite(place(y, s->y[i])))
            continue;
        if (best == to || (greatest ? s->y[i] > s->y[best] : s->y[i] < s->y[best]))
            best = i;
    }
    return best;
}

static void draw_point(FILE *f, bool *pen_up, double px, double py)
{
    if (!isfinite(px) || !isfinite(py)) {
        *pen_up = true;
        return;
    }
    fprintf(f, "%c%.1f %.1f", *pen_up ? 'M' : 'L', px, py);
    *pen_up = false;
}

/* A long series: per bucket its least and greatest value, in their order, so no peak is lost. */
static void draw_line(FILE *f, const struct ld_chart_series *s, const struct scale *x,
                      const struct scale *y)
{
    fputs("<path class=\"line\"", f);
    series_style(f, s);
    fputs(" d=\"", f);
    size_t bucket = s->n > LD_CHART_POINTS_MAX ? s->n / (LD_CHART_POINTS_MAX / 2) + 1 : 1;
    bool pen_up = true;
    for (size_t i = 0; i < s->n; i += bucket) {
        size_t end = i + bucket < s->n ? i + bucket : s->n;
        size_t low = extreme(s, y, i, end, false), high = extreme(s, y, i, end, true);
        size_t first = low < high ? low : high, second = low < high ? high : low;
        if (low == end) {
            pen_up = true;
            continue;
        }
        draw_point(f, &pen_up, place(x, s->x[first]), place(y, s->y[first]));
        if (second != first)
            draw_point(f, &pen_up, place(x, s->x[second]), place(y, s->y[second]));
    }
    fputs("\"/>\n", f);
}

struct name {
    double wanted, at;
    const struct ld_chart_series *series;
};

static int by_wanted(const void *a, const void *b)
{
    double x = ((const struct name *)a)->wanted, y = ((const struct name *)b)->wanted;
    return (x > y) - (x < y);
}

/* Names at the right edge, at the height of the last points, pushed apart where they would touch.
 */
static void draw_names(FILE *f, const struct ld_chart *c, size_t shown, const struct scale *x,
                       const struct scale *y)
{
    struct name names[LD_CHART_SERIES_MAX];
    size_t n = 0;
    double top = y->from + y->span, bottom = y->from;
    for (size_t i = 0; i < shown; i++) {
        const struct ld_chart_series *s = &c->series[i];
        double last = NAN;
        for (size_t k = 0; k < s->n; k++)
            if (isfinite(place(y, s->y[k])) && isfinite(place(x, s->x[k])))
                last = place(y, s->y[k]);
        if (isfinite(last) && s->name)
            names[n++] = (struct name){last, 0, s};
    }
    qsort(names, n, sizeof(*names), by_wanted);
    for (size_t i = 0; i < n; i++)
        names[i].at = fmax(names[i].wanted, i ? names[i - 1].at + NAME_STEP : top + 4);
    double floor_at = bottom + 4; /* those pushed out below move up again */
    for (size_t i = n; i-- > 0;) {
        names[i].at = fmin(names[i].at, floor_at);
        floor_at = names[i].at - NAME_STEP;
    }
    double left = x->from + x->span + 8;
    for (size_t i = 0; i < n; i++) {
        if (names[i].series->mark == LD_MARK_DOTS) {
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" style=\"fill:var(--s%u)\"/>",
                    left + 7, names[i].at, names[i].series->colour % LD_CHART_COLOURS);
        } else {
            fprintf(f, "<path class=\"line\" d=\"M%.1f %.1fh14\"", left, names[i].at);
            series_style(f, names[i].series);
            fputs("/>", f);
        }
        fprintf(f, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\">", left + 19, names[i].at + 4);
        ld_html_text_cut(f, names[i].series->name, NAME_CHARACTERS);
        fputs("</text>\n", f);
    }
}

/* ---- the same figures as a table ---- */

static void cell(FILE *f, const struct ld_axis *a, double v)
{
    char text[LD_UNITS_TEXT_MAX];
    fputs("<td>", f);
    if (a->scale == LD_SCALE_NINES && isfinite(v))
        fprintf(f, "%.6g %%", v * 100);
    else
        ld_html_text(f, ld_units_format(a->unit, v, text));
    fputs("</td>", f);
}

static void write_table(FILE *f, const struct ld_chart *c, size_t shown)
{
    fputs("<details><summary>The figures</summary><div class=\"scroll\">\n", f);
    for (size_t i = 0; i < shown; i++) {
        const struct ld_chart_series *s = &c->series[i];
        fputs("<table><caption>", f);
        ld_html_text(f, s->name ? s->name : c->title);
        fputs("</caption><thead><tr><th>", f);
        ld_html_text(f, c->x.label);
        fputs("</th><th>", f);
        ld_html_text(f, c->y.label);
        fputs("</th></tr></thead><tbody>\n", f);
        size_t skip = s->n / LD_CHART_ROWS_MAX + 1;
        for (size_t k = 0; k < s->n; k += skip) {
            fputs("<tr>", f);
            cell(f, &c->x, s->x[k]);
            cell(f, &c->y, s->y[k]);
            fputs("</tr>\n", f);
        }
        fputs("</tbody></table>\n", f);
        if (skip > 1)
            fprintf(f, "<p>One row of %zu is shown; the JSON has them all.</p>\n", skip);
    }
    fputs("</div></details>\n", f);
}

static void open_figure(FILE *f, const char *id, const char *title, const char *description,
                        double height)
{
    fputs("<figure><figcaption>", f);
    ld_html_text(f, title);
    fprintf(
        f,
        "</figcaption>\n<svg role=\"img\" aria-labelledby=\"%s-t %s-d\" viewBox=\"0 0 %d %.0f\">"
        "<title id=\"%s-t\">",
        id, id, WIDTH, height, id);
    ld_html_text(f, title);
    fprintf(f, "</title><desc id=\"%s-d\">", id);
    ld_html_text(f, description);
    fputs("</desc>\n", f);
}

void ld_chart_write(FILE *f, const struct ld_chart *c)
{
    struct scale x, y;
    double height = c->height > 0 ? c->height : HEIGHT;
    size_t shown = c->series_n < LD_CHART_SERIES_MAX ? c->series_n : LD_CHART_SERIES_MAX;
    open_figure(f, c->id, c->title, c->description, height);
    bool named = shown > 1;
    bool drawable = scale_of(c, true, &x) && scale_of(c, false, &y);
    if (drawable) {
        x.from = LEFT;
        x.span = WIDTH - LEFT - (named ? RIGHT_NAMES : RIGHT);
        y.from = height - BOTTOM;
        y.span = -(height - BOTTOM - TOP);
        draw_axes(f, c, &x, &y);
        for (size_t i = 0; i < shown; i++) {
            if (c->series[i].mark != LD_MARK_DOTS)
                draw_line(f, &c->series[i], &x, &y);
            if (c->series[i].mark != LD_MARK_LINE)
                draw_dots(f, &c->series[i], &x, &y);
        }
        draw_rules(f, c, &x, &y);
        if (named)
            draw_names(f, c, shown, &x, &y);
    } else {
        fprintf(f,
                "<text class=\"label\" x=\"%d\" y=\"%.0f\" text-anchor=\"middle\">nothing "
                "measured</text>",
                WIDTH / 2, height / 2);
    }
    fputs("</svg>\n<p class=\"about\">", f);
    ld_html_text(f, c->description);
    if (shown < c->series_n)
        ld_html_printf(f, " The first %zu of %zu are drawn.", shown, c->series_n);
    fputs("</p>\n", f);
    if (drawable)
        write_table(f, c, shown);
    fputs("</figure>\n", f);
}

void ld_chart_bars_write(FILE *f, const char *id, const char *title, const char *description,
                         const struct ld_bar *bars, size_t n, double full)
{
    enum { ROW = 28, NAME_WIDTH = 190, TEXT_WIDTH = 190 };
    open_figure(f, id, title, description, 12 + ROW * (double)n);
    for (size_t i = 0; i < n; i++) {
        double top = 6 + ROW * (double)i;
        double share = full > 0 && bars[i].value > 0 ? fmin(bars[i].value / full, 1) : 0;
        double width = share * (WIDTH - NAME_WIDTH - TEXT_WIDTH);
        fprintf(f, "<text class=\"name\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", NAME_WIDTH - 10,
                top + 17);
        ld_html_text_cut(f, bars[i].name, 30);
        fprintf(f,
                "</text><rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\" "
                "style=\"fill:var(--s%u)\"/>",
                NAME_WIDTH, top + 3, fmax(width, 1), ROW - 9, bars[i].colour % LD_CHART_COLOURS);
        fprintf(f, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\">", NAME_WIDTH + width + 8, top + 17);
        ld_html_text_cut(f, bars[i].text, 40);
        fputs("</text>\n", f);
    }
    fputs("</svg>\n<p class=\"about\">", f);
    ld_html_text(f, description);
    fputs("</p></figure>\n", f);
}
