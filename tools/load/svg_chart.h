/* SPDX-License-Identifier: Apache-2.0
 * Charts as inline SVG: lines and dots over linear, logarithmic and percentile axes, and bars.
 * Colours are the CSS variables --s0 … --s7 of the page (html.c), so one chart serves light and
 * dark; series also differ by dash, for those who do not see the difference of colour. Every chart
 * has role=img, a title, a description and the same figures as a table below it. Writes to a FILE;
 * all texts are escaped here. Any thread. */
#ifndef LD_SVG_CHART_H
#define LD_SVG_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "load/units.h"

enum {
    LD_CHART_COLOURS = 8,       /* series beyond these begin again, with another dash */
    LD_CHART_SERIES_MAX = 34,   /* more are left out of the drawing, and said to be */
    LD_CHART_POINTS_MAX = 1200, /* per series; longer ones are thinned, keeping every peak */
    LD_CHART_ROWS_MAX = 120,    /* of the table; longer ones show every k-th point */
    LD_CHART_RULES_MAX = 8,
};

enum ld_scale {
    LD_SCALE_LINEAR, /* begins at zero */
    LD_SCALE_LOG,    /* values that are not above zero are gaps */
    LD_SCALE_NINES,  /* a share 0 <= q <= 1 drawn at log(1/(1-q)): 50 % 90 % 99 % 99.9 % … */
};

enum ld_mark { LD_MARK_LINE, LD_MARK_LINE_DOTS, LD_MARK_DOTS };

struct ld_axis {
    const char *label; /* without the unit */
    enum ld_scale scale;
    enum ld_unit unit;
    double min, max; /* at least shown from and to; 0, 0: only what the data need */
};

struct ld_chart_series {
    const char *name;    /* NULL: not named in the drawing (more points of another) */
    const double *x, *y; /* n each; what is not finite is a gap */
    size_t n;
    enum ld_mark mark;
    unsigned colour; /* index; the same thing keeps its colour over all charts of a page */
    bool dashed;
};

/* A line across the chart: an objective, a knee. */
struct ld_chart_rule {
    const char *label;
    double at;
    bool vertical;
};

struct ld_chart {
    const char *id; /* [a-z0-9-], unique in its page */
    const char *title, *description;
    struct ld_axis x, y;
    const struct ld_chart_series *series;
    size_t series_n;
    const struct ld_chart_rule *rules;
    size_t rules_n;
    double height; /* 0: the usual one */
};

void ld_chart_write(FILE *f, const struct ld_chart *c);

/* Ticks of a linear axis over [0 or min, max]: steps of 1, 2 or 5 times a power of ten; at most
 * cap, about wanted. Returns how many. */
size_t ld_chart_ticks(double min, double max, unsigned wanted, double *ret_ticks, size_t cap);

/* Horizontal bars with a name before and a value behind each: what is compared by length. A value
 * beyond `full` is drawn as full, with its number. */
struct ld_bar {
    const char *name;
    double value;
    const char *text; /* shown behind the bar */
    unsigned colour;
};
void ld_chart_bars_write(FILE *f, const char *id, const char *title, const char *description,
                         const struct ld_bar *bars, size_t n, double full);

#endif
