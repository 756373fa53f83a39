/* SPDX-License-Identifier: Apache-2.0
 * The search as a state machine over its own record: what comes next follows from the bracket
 * (holds, breaks) and the last step. No clock, no I/O. */
#include "load/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/units.h"

bool ld_sweep_begin(struct ld_sweep *s, const struct ld_sweep_settings *settings,
                    struct ld_problem *problem)
{
    const struct ld_sweep_settings *o = settings;
    if (!(o->from_per_s > 0) || !isfinite(o->from_per_s))
        return ld_problem_set(problem, "--from: not above zero");
    if (!(o->to_per_s >= o->from_per_s))
        return ld_problem_set(problem, "--to: below --from");
    if (!(o->factor > 1) || o->factor > 100)
        return ld_problem_set(problem, "--step-factor: not above 1 (and at most 100)");
    /* Finer than that, two rates could be the same number. */
    if (!(o->resolution >= 1e-4) || o->resolution > 1)
        return ld_problem_set(problem, "--resolution: not between 0.01 %% and 100 %%");
    if (!o->repeats || o->repeats > LD_SWEEP_REPEATS_MAX || o->repeats % 2 == 0)
        return ld_problem_set(problem, "--repeats: not an odd number from 1 to %d",
                              LD_SWEEP_REPEATS_MAX);
    if (o->far_retries > LD_SWEEP_REPEATS_MAX)
        return ld_problem_set(problem, "--far-retries: more than %d", LD_SWEEP_REPEATS_MAX);
    memset(s, 0, sizeof(*s));
    s->settings = *o;
    s->holds_per_s = s->breaks_per_s = NAN;
    return true;
}

static unsigned steps_down(const struct ld_sweep *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->step_count; i++)
        n += s->steps[i].rate_per_s < s->settings.from_per_s;
    return n;
}

/* The rate after the steps so far; 0 and s->end if there is none. */
static double choose(struct ld_sweep *s)
{
    const struct ld_sweep_settings *o = &s->settings;
    if (!s->step_count)
        return o->from_per_s;
    if (isnan(s->breaks_per_s)) {
        if (s->holds_per_s >= o->to_per_s) {
            s->end = LD_SWEEP_ALL_HOLD;
            return 0;
        }
        return fmin(s->holds_per_s * o->factor, o->to_per_s);
    }
    if (isnan(s->holds_per_s)) {
        if (steps_down(s) >= LD_SWEEP_DOWN_MAX || s->breaks_per_s < o->factor) {
            s->end = LD_SWEEP_NONE_HOLDS;
            return 0;
        }
        return s->breaks_per_s / o->factor;
    }
    if (s->breaks_per_s / s->holds_per_s <= 1 + o->resolution) {
        s->end = LD_SWEEP_FOUND;
        return 0;
    }
    return sqrt(s->breaks_per_s * s->holds_per_s);
}

double ld_sweep_next(struct ld_sweep *s)
{
    if (s->end != LD_SWEEP_GOES_ON)
        return 0;
    struct ld_sweep_step *last = s->step_count ? &s->steps[s->step_count - 1] : NULL;
    if (last && !last->done)
        return last->rate_per_s;
    double rate = choose(s);
    if (rate <= 0)
        return 0;
    unsigned needed = s->settings.repeats + s->settings.far_retries;
    if (s->step_count == LD_SWEEP_STEPS_MAX || s->run_count + needed > LD_SWEEP_RUNS_MAX) {
        s->end = LD_SWEEP_TOO_MANY;
        return 0;
    }
    s->steps[s->step_count++] =
        (struct ld_sweep_step){.rate_per_s = rate, .first_run = s->run_count};
    return rate;
}

/* W1 */
static const char *why_not(const struct ld_slo *slo, const struct ld_sweep_run *r)
{
    if (r->wrong_allows)
        return "allowed what had to be refused";
    if (r->wrong_answers)
        return "wrong answers";
    if (!r->requests)
        return "no answers";
    if (r->errors_percent > slo->errors_percent)
        return "errors";
    if ((double)(r->requests + r->errors) < LD_SWEEP_REACHED * (double)r->due)
        return "rate not reached";
    for (unsigned i = 0; i < slo->n; i++)
        if (!ld_slo_term_holds(&slo->terms[i], r->objective_us[i]))
            return "latency";
    return NULL;
}

static void settle(struct ld_sweep *s, struct ld_sweep_step *step)
{
    PC_ASSERT(step->judged > 0);
    step->done = true;
    step->holds = 2 * step->held > step->judged;
    double *side = step->holds ? &s->holds_per_s : &s->breaks_per_s;
    *side = step->rate_per_s;
    PC_ASSERT(!(s->holds_per_s >= s->breaks_per_s)); /* W2 */
}

/* Nothing but far runs: better judged by them than not at all. */
static void judge_the_far(struct ld_sweep *s, struct ld_sweep_step *step)
{
    for (unsigned i = step->first_run; i < step->first_run + step->runs; i++) {
        struct ld_sweep_run *r = &s->runs[i];
        r->set_aside = false;
        step->judged++;
        step->held += r->held;
        step->set_aside--;
        s->set_aside--;
    }
    step->far = true;
}

void ld_sweep_add(struct ld_sweep *s, const struct ld_slo *slo, const struct ld_sweep_run *run)
{
    PC_ASSERT(s->step_count && s->run_count < LD_SWEEP_RUNS_MAX);
    struct ld_sweep_step *step = &s->steps[s->step_count - 1];
    PC_ASSERT(!step->done);
    struct ld_sweep_run *r = &s->runs[s->run_count++];
    *r = *run;
    r->why_not = why_not(slo, r);
    r->held = !r->why_not;
    /* W3; what is wrong is wrong wherever the CPUs were. */
    r->set_aside = r->far && !r->wrong_answers;
    step->runs++;
    step->set_aside += r->set_aside;
    s->set_aside += r->set_aside;
    if (!r->set_aside) {
        step->judged++;
        step->held += r->held;
    }
    bool tried_all = step->runs >= s->settings.repeats + s->settings.far_retries;
    if (tried_all && !step->judged)
        judge_the_far(s, step);
    if (tried_all || step->judged >= s->settings.repeats)
        settle(s, step);
}

double ld_latency_at_us(const struct ld_latency *l, double percentile)
{
    if (!l->count)
        return NAN;
    if (percentile >= 100)
        return l->max;
    double q = percentile / 100;
    static const double named[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    const double values[] = {l->p50, l->p90, l->p99, l->p99_9, l->p99_99};
    for (size_t i = 0; i < PC_COUNT(named); i++)
        if (fabs(q - named[i]) < 1e-9)
            return values[i];
    for (unsigned i = 0; i < l->curve_count; i++)
        if (l->curve[i].q >= q - 1e-12)
            return l->curve[i].us;
    return l->max;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct ld_spread ld_sweep_spread(const struct ld_sweep *s, const struct ld_sweep_step *step,
                                 size_t offset)
{
    double values[2 * LD_SWEEP_REPEATS_MAX];
    size_t n = 0;
    for (unsigned i = step->first_run; i < step->first_run + step->runs; i++) {
        double v;
        memcpy(&v, (const char *)&s->runs[i] + offset, sizeof(v));
        if (!s->runs[i].set_aside && isfinite(v) && n < PC_COUNT(values))
            values[n++] = v;
    }
    if (!n)
        return (struct ld_spread){NAN, NAN, NAN};
    qsort(values, n, sizeof(*values), by_value);
    double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    return (struct ld_spread){median, values[0], values[n - 1]};
}

const struct ld_sweep_step *ld_sweep_best(const struct ld_sweep *s)
{
    const struct ld_sweep_step *best = NULL;
    for (unsigned i = 0; i < s->step_count; i++)
        if (s->steps[i].holds && (!best || s->steps[i].rate_per_s > best->rate_per_s))
            best = &s->steps[i];
    return best;
}

void ld_sweep_sentence(const struct ld_sweep *s, const struct ld_slo *slo, char *dst, size_t cap)
{
    char holds[LD_UNITS_TEXT_MAX], breaks[LD_UNITS_TEXT_MAX];
    ld_units_format(LD_UNIT_RATE, s->holds_per_s, holds);
    ld_units_format(LD_UNIT_RATE, s->breaks_per_s, breaks);
    switch (s->end) {
    case LD_SWEEP_FOUND:
        snprintf(dst, cap, "%s holds at %s and breaks at %s", slo->text, holds, breaks);
        break;
    case LD_SWEEP_ALL_HOLD:
        snprintf(dst, cap, "%s holds at %s, the highest rate allowed (--to)", slo->text, holds);
        break;
    case LD_SWEEP_NONE_HOLDS:
        snprintf(dst, cap, "%s holds at no rate: it breaks at %s already", slo->text, breaks);
        break;
    default:
        if (isnan(s->holds_per_s))
            snprintf(dst, cap, "ended early: no rate was shown to meet %s", slo->text);
        else
            snprintf(dst, cap, "ended early: %s holds at %s, not searched higher than %s",
                     slo->text, holds, isnan(s->breaks_per_s) ? "that" : breaks);
        break;
    }
}
