/* SPDX-License-Identifier: Apache-2.0
 * Sweeps in files. Tables name the members once for both directions. No I/O here. */
#include "load/sweep_json.h"

#include <math.h>
#include <string.h>

struct member {
    const char *name;
    size_t offset;
};

#define RUN(member)                                                                                \
    {                                                                                              \
#member, offsetof(struct ld_sweep_run, member)                                             \
    }
static const struct member run_numbers[] = {
    RUN(asked_per_s), RUN(achieved_per_s), RUN(p50_us), RUN(p90_us),         RUN(p99_us),
    RUN(p99_9_us),    RUN(max_us),         RUN(cpu_us), RUN(errors_percent),
};
static const struct member run_counts[] = {
    RUN(requests), RUN(errors), RUN(wrong_answers), RUN(wrong_allows), RUN(due),
};
#define SETTING(member)                                                                            \
    {                                                                                              \
#member, offsetof(struct ld_sweep_settings, member)                                        \
    }
static const struct member settings_numbers[] = {
    SETTING(from_per_s),
    SETTING(to_per_s),
    SETTING(factor),
    SETTING(resolution),
};

static const char *const end_names[] = {"goes on", "found", "all hold", "none holds", "too many"};

/* JSON has neither NaN nor infinity: both are null. */
static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static double double_at(const void *base, size_t offset)
{
    double v;
    memcpy(&v, (const char *)base + offset, sizeof(v));
    return v;
}

static json_t *run_json(const struct ld_sweep_run *r, const struct ld_slo *slo)
{
    json_t *o = json_object(), *objective = json_array();
    for (size_t i = 0; i < PC_COUNT(run_numbers); i++)
        json_object_set_new(o, run_numbers[i].name, number(double_at(r, run_numbers[i].offset)));
    for (size_t i = 0; i < PC_COUNT(run_counts); i++) {
        uint64_t v;
        memcpy(&v, (const char *)r + run_counts[i].offset, sizeof(v));
        json_object_set_new(o, run_counts[i].name, json_integer((json_int_t)v));
    }
    for (unsigned i = 0; i < slo->n; i++)
        json_array_append_new(objective, number(r->objective_us[i]));
    json_object_set_new(o, "objective_us", objective);
    json_object_set_new(o, "far", json_boolean(r->far));
    json_object_set_new(o, "set_aside", json_boolean(r->set_aside));
    json_object_set_new(o, "held", json_boolean(r->held));
    json_object_set_new(o, "why_not", r->why_not ? json_string(r->why_not) : json_null());
    return o;
}

static json_t *spread_json(struct ld_spread s)
{
    return json_pack("{s:o,s:o,s:o}", "median", number(s.median), "least", number(s.least),
                     "greatest", number(s.greatest));
}

static json_t *step_json(const struct ld_sweep *s, const struct ld_sweep_step *step)
{
    json_t *o = json_pack("{s:o,s:b,s:i,s:i,s:i,s:b}", "rate_per_s", number(step->rate_per_s),
                          "holds", step->holds, "judged", (int)step->judged, "held",
                          (int)step->held, "set_aside", (int)step->set_aside, "far", step->far);
    for (size_t i = 0; i < PC_COUNT(run_numbers); i++)
        if (run_numbers[i].offset != offsetof(struct ld_sweep_run, asked_per_s))
            json_object_set_new(o, run_numbers[i].name,
                                spread_json(ld_sweep_spread(s, step, run_numbers[i].offset)));
    json_object_set_new(
        o, "objective_us",
        spread_json(ld_sweep_spread(s, step, offsetof(struct ld_sweep_run, objective_us))));
    return o;
}

static json_t *machine_json(const struct ld_machine *m)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:i,s:o}", "cpu_model", m->cpu_model, "kernel", m->kernel,
                     "host", m->host, "program", m->program, "cpus", (int)m->cpus, "memory_bytes",
                     number(m->memory_bytes));
}

json_t *ld_sweep_to_json(const struct ld_sweep *s, const struct ld_sweep_about *about)
{
    char sentence[256];
    json_t *runs = json_array(), *steps = json_array(), *settings = json_object();
    for (unsigned i = 0; i < s->run_count; i++)
        json_array_append_new(runs, run_json(&s->runs[i], about->slo));
    for (unsigned i = 0; i < s->step_count; i++)
        json_array_append_new(steps, step_json(s, &s->steps[i]));
    for (size_t i = 0; i < PC_COUNT(settings_numbers); i++)
        json_object_set_new(settings, settings_numbers[i].name,
                            number(double_at(&s->settings, settings_numbers[i].offset)));
    json_object_set_new(settings, "repeats", json_integer(s->settings.repeats));
    json_object_set_new(settings, "far_retries", json_integer(s->settings.far_retries));
    ld_sweep_sentence(s, about->slo, sentence, sizeof(sentence));
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:i,s:o,s:o,s:o,s:o,s:O?}", "format",
                     LD_SWEEP_FORMAT, "started_at", about->started_at, "command", about->command,
                     "loop", about->loop_note, "slo", about->slo->text, "result", sentence, "end",
                     end_names[s->end], "holds_per_s", number(s->holds_per_s), "breaks_per_s",
                     number(s->breaks_per_s), "set_aside", (int)s->set_aside, "settings", settings,
                     "steps", steps, "runs", runs, "machine", machine_json(about->machine),
                     "options", about->options);
}

/* ---- reading ---- */

static bool read_double(const json_t *in, const char *name, void *base, size_t offset,
                        struct ld_problem *problem)
{
    const json_t *v = json_object_get(in, name);
    double value = json_is_null(v) ? NAN : json_number_value(v);
    if (!json_is_number(v) && !json_is_null(v))
        return ld_problem_set(problem, "sweep: %s: %s", name, v ? "not a number" : "missing");
    memcpy((char *)base + offset, &value, sizeof(value));
    return true;
}

static bool read_run(const json_t *in, const struct ld_slo *slo, struct ld_sweep_run *r,
                     struct ld_problem *problem)
{
    memset(r, 0, sizeof(*r));
    for (size_t i = 0; i < PC_COUNT(run_numbers); i++)
        if (!read_double(in, run_numbers[i].name, r, run_numbers[i].offset, problem))
            return false;
    for (size_t i = 0; i < PC_COUNT(run_counts); i++) {
        const json_t *v = json_object_get(in, run_counts[i].name);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return ld_problem_set(problem, "sweep: %s: not a count", run_counts[i].name);
        uint64_t value = (uint64_t)json_integer_value(v);
        memcpy((char *)r + run_counts[i].offset, &value, sizeof(value));
    }
    const json_t *objective = json_object_get(in, "objective_us");
    if (json_array_size(objective) != slo->n)
        return ld_problem_set(problem, "sweep: objective_us: not one figure per term");
    for (unsigned i = 0; i < slo->n; i++) {
        const json_t *v = json_array_get(objective, i);
        r->objective_us[i] = json_is_number(v) ? json_number_value(v) : NAN;
    }
    r->far = json_is_true(json_object_get(in, "far"));
    return true;
}

static bool read_settings(const json_t *root, struct ld_sweep_settings *ret,
                          struct ld_problem *problem)
{
    const json_t *in = json_object_get(root, "settings");
    struct ld_sweep_settings o = {.repeats = 0};
    for (size_t i = 0; i < PC_COUNT(settings_numbers); i++)
        if (!read_double(in, settings_numbers[i].name, &o, settings_numbers[i].offset, problem))
            return false;
    if (isnan(o.to_per_s)) /* no end was written as null */
        o.to_per_s = INFINITY;
    json_int_t repeats = json_integer_value(json_object_get(in, "repeats"));
    json_int_t retries = json_integer_value(json_object_get(in, "far_retries"));
    if (repeats < 1 || repeats > LD_SWEEP_REPEATS_MAX || retries < 0 ||
        retries > LD_SWEEP_REPEATS_MAX)
        return ld_problem_set(problem, "sweep: settings: repeats or far_retries out of range");
    o.repeats = (unsigned)repeats;
    o.far_retries = (unsigned)retries;
    *ret = o;
    return true;
}

/* The runs must be those the search would have asked for. */
static bool replay(const json_t *root, const struct ld_slo *slo, struct ld_sweep *s,
                   struct ld_problem *problem)
{
    const json_t *runs = json_object_get(root, "runs");
    for (size_t i = 0; i < json_array_size(runs); i++) {
        struct ld_sweep_run r;
        double rate = ld_sweep_next(s);
        if (!read_run(json_array_get(runs, i), slo, &r, problem))
            return false;
        if (!(rate > 0) || !(fabs(r.asked_per_s / rate - 1) < 1e-6))
            return ld_problem_set(problem, "sweep: run %zu was at %.0f/s; the search was at %.0f/s",
                                  i + 1, r.asked_per_s, rate);
        ld_sweep_add(s, slo, &r);
    }
    ld_sweep_next(s);
    return true;
}

static void copy_text(char *dst, size_t cap, const json_t *v)
{
    const char *text = json_string_value(v);
    snprintf(dst, cap, "%s", text ? text : "?");
}

static const char *text_or_unknown(const json_t *v)
{
    const char *text = json_string_value(v);
    return text ? text : "(not known)";
}

bool ld_sweep_from_json(const json_t *root, struct ld_sweep *ret_sweep,
                        struct ld_sweep_about *ret_about, struct ld_slo *ret_slo,
                        struct ld_machine *ret_machine, struct ld_problem *problem)
{
    const char *slo = json_string_value(json_object_get(root, "slo"));
    struct ld_sweep_settings settings;
    if (!slo)
        return ld_problem_set(problem, "sweep: slo: missing");
    if (!ld_slo_parse(slo, ret_slo, problem) || !read_settings(root, &settings, problem) ||
        !ld_sweep_begin(ret_sweep, &settings, problem) ||
        !replay(root, ret_slo, ret_sweep, problem))
        return false;
    const json_t *machine = json_object_get(root, "machine");
    *ret_machine = (struct ld_machine){.cpus = 0};
    copy_text(ret_machine->cpu_model, sizeof(ret_machine->cpu_model),
              json_object_get(machine, "cpu_model"));
    copy_text(ret_machine->kernel, sizeof(ret_machine->kernel), json_object_get(machine, "kernel"));
    copy_text(ret_machine->host, sizeof(ret_machine->host), json_object_get(machine, "host"));
    copy_text(ret_machine->program, sizeof(ret_machine->program),
              json_object_get(machine, "program"));
    ret_machine->cpus = (unsigned)json_integer_value(json_object_get(machine, "cpus"));
    ret_machine->memory_bytes = json_number_value(json_object_get(machine, "memory_bytes"));
    *ret_about = (struct ld_sweep_about){
        .command = text_or_unknown(json_object_get(root, "command")),
        .started_at = text_or_unknown(json_object_get(root, "started_at")),
        .loop_note = text_or_unknown(json_object_get(root, "loop")),
        .slo = ret_slo,
        .machine = ret_machine,
        .options = json_object_get(root, "options"),
    };
    return true;
}
