/* SPDX-License-Identifier: Apache-2.0
 * Pages and charts: always well-formed, whatever names come from outside; nothing is loaded from
 * anywhere; what is drawn lies inside its box. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "load/html.h"
#include "load/html_text.h"
#include "load/svg_chart.h"

static const char *const nasty[] = {
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "a&b'c\"d",
    "\xff\xfe\x80",
    "\xe2\x82",
    "tab\tand\x01\x7f",
    "]]>",
    "\xed\xa0\x80",
    "",
    "ein sehr langer Name, der nirgends hineinpasst: µs €",
};

/* One tag at a time: every element that is opened is closed in its order, attributes are quoted, no
 * stray '<' or '&'. Not all of XML, but what a generator can get wrong. */
static void assert_well_formed(const char *html)
{
    char stack[32][24];
    int depth = 0;
    const char *at = html;
    if (!strncmp(at, "<!DOCTYPE html>", 15))
        at += 15;
    for (; *at; at++) {
        if (*at == '&')
            assert_true(!strncmp(at, "&lt;", 4) || !strncmp(at, "&gt;", 4) ||
                        !strncmp(at, "&amp;", 5) || !strncmp(at, "&quot;", 6) ||
                        !strncmp(at, "&#39;", 5));
        assert_true((unsigned char)*at >= 0x20 || *at == '\n' || *at == '\t');
        if (*at != '<')
            continue;
        const char *end = strchr(at, '>');
        assert_non_null(end);
        char name[24];
        bool closes = at[1] == '/', alone = end[-1] == '/';
        size_t n = strcspn(at + 1 + closes, " />\n");
        assert_true(n > 0 && n < sizeof(name));
        snprintf(name, sizeof(name), "%.*s", (int)n, at + 1 + closes);
        if (closes) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (!alone) {
            assert_true(depth < 32);
            snprintf(stack[depth++], sizeof(stack[0]), "%s", name);
        }
        int quotes = 0;
        for (const char *c = at; c < end; c++)
            quotes += *c == '"';
        assert_int_equal(quotes % 2, 0);
        at = end;
    }
    assert_int_equal(depth, 0);
}

static char *written(void (*write)(FILE *f, const void *what), const void *what)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    write(f, what);
    fclose(f);
    assert_int_equal(strlen(text), n);
    return text;
}

static void write_text(FILE *f, const void *what)
{
    ld_html_text(f, what);
}

static void what_means_something_to_a_browser_is_escaped(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"<b>&\"'",       "&lt;b&gt;&amp;&quot;&#39;"},
        {"p99.9 µs €", "p99.9 µs €"            },
        {"\x01",          "\xef\xbf\xbd"             },
        {"\xff",          "\xef\xbf\xbd"             },
        {"\xc0\x80",      "\xef\xbf\xbd\xef\xbf\xbd" }, /* an overlong NUL */
        {"\xc2\x85",      "\xef\xbf\xbd"             },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        char *text = written(write_text, rows[i].in);
        assert_string_equal(text, rows[i].out);
        free(text);
    }
}

static void write_chart(FILE *f, const void *what)
{
    ld_chart_write(f, what);
}

/* The numbers of all coordinates; none may be NaN or lie outside of the box. */
static void assert_inside(const char *svg)
{
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf "));
    for (const char *at = svg; (at = strstr(at, " x=\"")); at += 4) {
        double x = strtod(at + 4, NULL);
        assert_true(x >= 0 && x <= 760);
    }
    for (const char *at = svg; (at = strstr(at, " y=\"")); at += 4) {
        double y = strtod(at + 4, NULL);
        assert_true(y >= 0 && y <= 400);
    }
}

static void charts_draw_whatever_they_are_given(void **state)
{
    static const double ramp[] = {0, 1, 2, 3, 4}, odd[] = {NAN, 5, -INFINITY, 1e300, 0},
                        tiny[] = {1e-9, 1e-9, 1e-9, 1e-9, 1e-9},
                        shares[] = {0, 0.5, 0.99, 0.9999, 1}, wide[] = {1, 1e3, 1e6, 1e9, 1e12},
                        minus[] = {-3, -2, -1, 0, 1};
    static const double *const columns[] = {ramp, odd, tiny, shares, wide, minus};
    (void)state;
    for (size_t x = 0; x < PC_COUNT(columns); x++)
        for (size_t y = 0; y < PC_COUNT(columns); y++)
            for (int scales = 0; scales < 9; scales++) {
                struct ld_chart_series series[3];
                for (int i = 0; i < 3; i++)
                    series[i] =
                        (struct ld_chart_series){nasty[(x + y + (size_t)i) % PC_COUNT(nasty)],
                                                 columns[x],
                                                 columns[(y + (size_t)i) % PC_COUNT(columns)],
                                                 5,
                                                 (enum ld_mark)i,
                                                 (unsigned)i,
                                                 false};
                struct ld_chart_rule rules[] = {
                    {"<limit>", 2, false},
                    {"here",    1, true }
                };
                struct ld_chart c = {
                    .id = "c",
                    .title = nasty[x],
                    .description = nasty[y],
                    .x = {.label = "x", .scale = (enum ld_scale)(scales / 3)},
                    .y = {.label = "y", .scale = (enum ld_scale)(scales % 3)},
                    .series = series,
                    .series_n = 3,
                    .rules = rules,
                    .rules_n = 2
                };
                char *svg = written(write_chart, &c);
                assert_well_formed(svg);
                assert_inside(svg);
                free(svg);
            }
}

static void a_long_series_is_thinned_and_keeps_its_peak(void **state)
{
    enum { N = 86400 };
    (void)state;
    double *x = calloc(N, sizeof(*x)), *y = calloc(N, sizeof(*y));
    assert_true(x && y);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 10;
    }
    y[50001] = 1000;
    struct ld_chart_series one = {.name = "one", .x = x, .y = y, .n = N};
    struct ld_chart c = {.id = "c",
                         .title = "t",
                         .description = "d",
                         .x = {.label = "x"},
                         .y = {.label = "y"},
                         .series = &one,
                         .series_n = 1};
    char *svg = written(write_chart, &c);
    assert_well_formed(svg);
    assert_true(strlen(svg) < 200000);
    /* The peak is the top of the plot: the value of the uppermost tick. */
    assert_non_null(strstr(svg, " 34.0"));
    free(svg);
    free(x);
    free(y);
}

static void ticks_are_one_two_five(void **state)
{
    static const struct {
        double min, max;
        const char *ticks;
    } rows[] = {
        {0,  10,     "0 2 4 6 8 10 "                },
        {0,  1,      "0 0.2 0.4 0.6 0.8 1 "         },
        {0,  230000, "0 50000 100000 150000 200000 "},
        {-3, 1,      "-3 -2 -1 0 1 "                },
        {5,  5,      ""                             },
        {0,  7,      "0 2 4 6 "                     },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        double ticks[16];
        char text[200] = "";
        size_t n = ld_chart_ticks(rows[i].min, rows[i].max, 5, ticks, 16), used = 0;
        for (size_t k = 0; k < n; k++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%g ",
                                     fabs(ticks[k]) < 1e-12 ? 0 : ticks[k]);
        assert_string_equal(text, rows[i].ticks);
    }
}

static void no_series_is_said_and_not_drawn(void **state)
{
    (void)state;
    struct ld_chart c = {
        .id = "c", .title = "t", .description = "d", .x = {.label = "x"}, .y = {.label = "y"}};
    char *svg = written(write_chart, &c);
    assert_well_formed(svg);
    assert_non_null(strstr(svg, "nothing measured"));
    free(svg);
}

/* ---- pages ---- */

static char *page_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 4 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (4 << 20) - 1, f) > 0);
    fclose(f);
    remove(path);
    return text;
}

static void assert_self_contained(const char *html)
{
    static const char *const loads[] = {"<script", "src=", "href=", "url(", "@import", "<link"};
    for (size_t i = 0; i < PC_COUNT(loads); i++)
        if (strstr(html, loads[i]))
            fail_msg("the page loads: %s", loads[i]);
}

static void temporary(char path[64])
{
    snprintf(path, 64, "/tmp/load_html_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    assert_non_null(f);
    fclose(f);
}

static void a_plan_is_a_page(void **state)
{
    static struct ld_points points;
    static struct ld_plan plan;
    (void)state;
    struct ld_problem problem;
    struct ld_plan_ask ask;
    char path[64];
    temporary(path);
    assert_true(ld_points_read(PC_SOURCE_DIR "/tests/fuzz/corpus/load_points/whole.json", &points,
                               &problem));
    snprintf(points.cpu_model, sizeof(points.cpu_model), "<b>\"&'\x01\xff");
    ld_plan_ask_init(&ask);
    ask.target_per_s = 2e6;
    ask.tokens = 5e7;
    ask.entries[LD_TABLE_REVOKED] = 5e6;
    assert_true(ld_slo_parse("p99<1ms", &ask.slo, &problem));
    assert_true(ld_plan_make(&ask, &points, &plan, &problem));
    assert_true(ld_html_write_plan(&plan, "<plan> & \"more\"", path, &problem));
    char *html = page_of(path);
    assert_well_formed(html);
    assert_self_contained(html);
    assert_null(strstr(html, "<plan>"));
    assert_non_null(strstr(html, "prefers-color-scheme:dark"));
    assert_non_null(strstr(html, "What breaks first"));
    free(html);
}

static void a_page_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    struct ld_problem problem;
    assert_null(ld_html_begin("/nonexistent/page.html", "t", "a", &problem));
    assert_non_null(strstr(problem.text, "/nonexistent/page.html"));
    FILE *f = ld_html_begin("/dev/full", "t", "a", &problem);
    assert_non_null(f);
    assert_false(ld_html_end(f, "/dev/full", &problem));
    assert_non_null(strstr(problem.text, "/dev/full"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_means_something_to_a_browser_is_escaped),
        cmocka_unit_test(charts_draw_whatever_they_are_given),
        cmocka_unit_test(a_long_series_is_thinned_and_keeps_its_peak),
        cmocka_unit_test(ticks_are_one_two_five),
        cmocka_unit_test(no_series_is_said_and_not_drawn),
        cmocka_unit_test(a_plan_is_a_page),
        cmocka_unit_test(a_page_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
