/* SPDX-License-Identifier: Apache-2.0
 * Parser of objectives. Strict: what is not understood is refused with the place named, because an
 * objective that is read wrongly gives a wrong capacity without a sign. Pure. */
#include "load/slo.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/units.h"

static bool bad(struct ld_problem *problem, const char *term, const char *what)
{
    return ld_problem_set(problem, "objective '%.60s': %s (example: p99.9<2ms)", term, what);
}

/* "p99.9" or "max" before the comparison; ret_end is where it stops. */
static bool parse_percentile(const char *term, double *ret_percentile, const char **ret_end,
                             struct ld_problem *problem)
{
    if (!strncmp(term, "max", 3)) {
        *ret_percentile = 100;
        *ret_end = term + 3;
        return true;
    }
    if (term[0] != 'p' || !isdigit((unsigned char)term[1]))
        return bad(problem, term, "begins neither with a percentile (p99.9), 'max' nor 'errors'");
    /* By hand: strtod() takes exponents and hexadecimal too. */
    size_t n = strspn(term + 1, "0123456789.");
    char *end = NULL;
    double value = strtod(term + 1, &end);
    if (end != term + 1 + n)
        return bad(problem, term, "has a malformed percentile");
    if (value <= 0 || value >= 100)
        return bad(problem, term,
                   "has a percentile that is not between 0 and 100 ('max' is the maximum)");
    *ret_percentile = value;
    *ret_end = end;
    return true;
}

static bool parse_errors(const char *term, struct ld_slo *s, struct ld_problem *problem)
{
    const char *rest = term + strlen("errors");
    if (*rest++ != '<')
        return bad(problem, term, "has no '<'");
    rest += *rest == '=';
    if (!strchr(rest, '%'))
        return bad(problem, term, "has no share in per cent (errors<0.1%)");
    if (!ld_units_parse(LD_UNIT_PERCENT, rest, "objective", &s->errors_percent, problem))
        return false;
    return s->errors_percent <= 100 || bad(problem, term, "has a share above 100 %");
}

static bool parse_latency(const char *term, struct ld_slo *s, struct ld_problem *problem)
{
    struct ld_slo_term t = {0};
    const char *rest = NULL;
    if (!parse_percentile(term, &t.percentile, &rest, problem))
        return false;
    if (*rest++ != '<')
        return bad(problem, term, "has no '<' behind the percentile");
    t.or_equal = *rest == '=';
    rest += t.or_equal;
    if (!ld_units_parse(LD_UNIT_US, rest, "objective", &t.limit_us, problem))
        return false;
    if (t.limit_us <= 0)
        return bad(problem, term, "has a limit of zero");
    s->terms[s->n++] = t;
    return true;
}

bool ld_slo_parse(const char *text, struct ld_slo *ret_slo, struct ld_problem *problem)
{
    struct ld_slo s = {0};
    if (strlen(text) >= sizeof(s.text))
        return ld_problem_set(problem, "objective: longer than %zu characters", sizeof(s.text) - 1);
    snprintf(s.text, sizeof(s.text), "%s", text);
    const char *at = text;
    for (;;) {
        char term[LD_SLO_TEXT_MAX];
        size_t n = strcspn(at, ",");
        snprintf(term, sizeof(term), "%.*s", (int)n, at);
        if (s.n == LD_SLO_TERMS_MAX)
            return ld_problem_set(problem, "objective: more than %d terms", LD_SLO_TERMS_MAX);
        if (!(!strncmp(term, "errors", 6) ? parse_errors(term, &s, problem)
                                          : parse_latency(term, &s, problem)))
            return false;
        if (!at[n])
            break;
        at += n + 1;
    }
    if (!s.n)
        return ld_problem_set(problem, "objective '%s': names no latency (example: p99.9<2ms)",
                              text);
    *ret_slo = s;
    return true;
}

const char *ld_slo_term_name(const struct ld_slo_term *t, char *dst, size_t cap)
{
    if (t->percentile >= 100)
        snprintf(dst, cap, "max");
    else
        snprintf(dst, cap, "p%.9g", t->percentile);
    return dst;
}

bool ld_slo_term_holds(const struct ld_slo_term *t, double latency_us)
{
    return latency_us < t->limit_us || (t->or_equal && latency_us <= t->limit_us);
}
