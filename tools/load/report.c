/* SPDX-License-Identifier: Apache-2.0
 * A report to JSON and back (report.h). Each flat object is a table of its fields, so that writing
 * and reading cannot part ways; NAN is null. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/report.h"

enum kind { REAL, U64, UINT, BOOL, TEXT /* char[] in place */, OWNED /* const char *, malloc */ };

struct field {
    const char *name;
    enum kind kind;
    size_t offset, bytes; /* bytes: of TEXT */
};

#define FIELD(type, kind, name, member)                                                            \
    {                                                                                              \
        name, kind, offsetof(type, member), sizeof(((type *)0)->member)                            \
    }

static const struct field latency_fields[] = {
    FIELD(struct ld_latency, REAL, "p50", p50),
    FIELD(struct ld_latency, REAL, "p90", p90),
    FIELD(struct ld_latency, REAL, "p99", p99),
    FIELD(struct ld_latency, REAL, "p99.9", p99_9),
    FIELD(struct ld_latency, REAL, "p99.99", p99_99),
    FIELD(struct ld_latency, REAL, "max", max),
    FIELD(struct ld_latency, REAL, "mean", mean),
    FIELD(struct ld_latency, REAL, "min", min),
    FIELD(struct ld_latency, U64, "count", count),
    FIELD(struct ld_latency, U64, "saturated", saturated),
};

static const struct field class_fields[] = {
    FIELD(struct ld_class_report, TEXT, "name", name),
    FIELD(struct ld_class_report, BOOL, "in_total", in_total),
    FIELD(struct ld_class_report, BOOL, "is_measure", is_measure),
    FIELD(struct ld_class_report, U64, "requests", requests),
    FIELD(struct ld_class_report, REAL, "rate_per_s", rate_per_s),
    FIELD(struct ld_class_report, U64, "wrong_answers", wrong_answers),
    FIELD(struct ld_class_report, U64, "wrong_allows", wrong_allows),
    FIELD(struct ld_class_report, U64, "errors", errors),
};

static const struct field second_fields[] = {
    FIELD(struct ld_second, REAL, "at_s", at_s),
    FIELD(struct ld_second, REAL, "rate_per_s", rate_per_s),
    FIELD(struct ld_second, REAL, "p50_us", p50_us),
    FIELD(struct ld_second, REAL, "p90_us", p90_us),
    FIELD(struct ld_second, REAL, "p99_us", p99_us),
    FIELD(struct ld_second, REAL, "max_us", max_us),
    FIELD(struct ld_second, U64, "requests", requests),
    FIELD(struct ld_second, U64, "errors", errors),
    FIELD(struct ld_second, U64, "wrong_answers", wrong_answers),
    FIELD(struct ld_second, U64, "waiting", waiting),
    FIELD(struct ld_second, REAL, "server_cpu", server_cpu),
};

static const struct field server_fields[] = {
    FIELD(struct ld_server_figures, OWNED, "from", from),
    FIELD(struct ld_server_figures, REAL, "cpu_s", cpu_s),
    FIELD(struct ld_server_figures, REAL, "user_s", user_s),
    FIELD(struct ld_server_figures, REAL, "system_s", system_s),
    FIELD(struct ld_server_figures, REAL, "cpu_us_per_request", cpu_us_per_request),
    FIELD(struct ld_server_figures, REAL, "rss_bytes", rss_bytes),
    FIELD(struct ld_server_figures, REAL, "pss_bytes", pss_bytes),
    FIELD(struct ld_server_figures, REAL, "voluntary_switches_per_request", voluntary_switches),
    FIELD(struct ld_server_figures, REAL, "involuntary_switches_per_request", involuntary_switches),
    FIELD(struct ld_server_figures, REAL, "cycles_per_request", cycles),
    FIELD(struct ld_server_figures, REAL, "instructions_per_request", instructions),
    FIELD(struct ld_server_figures, REAL, "cache_misses_per_request", cache_misses),
    FIELD(struct ld_server_figures, OWNED, "why_no_counters", why_no_counters),
};

static const struct field machine_fields[] = {
    FIELD(struct ld_machine, TEXT, "cpu_model", cpu_model),
    FIELD(struct ld_machine, UINT, "cpus", cpus),
    FIELD(struct ld_machine, TEXT, "kernel", kernel),
    FIELD(struct ld_machine, TEXT, "host", host),
    FIELD(struct ld_machine, REAL, "memory_bytes", memory_bytes),
    FIELD(struct ld_machine, TEXT, "program", program),
};

static const struct field placement_fields[] = {
    FIELD(struct ld_placement, REAL, "before_ns", before_ns),
    FIELD(struct ld_placement, REAL, "after_ns", after_ns),
    FIELD(struct ld_placement, BOOL, "near", near),
};

static const struct field report_fields[] = {
    FIELD(struct ld_report, TEXT, "started_at", started_at),
    FIELD(struct ld_report, OWNED, "command", command),
    FIELD(struct ld_report, BOOL, "interrupted", interrupted),
    FIELD(struct ld_report, REAL, "offered_per_s", offered_per_s),
    FIELD(struct ld_report, REAL, "duration_s", duration_s),
    FIELD(struct ld_report, REAL, "rate_per_s", rate_per_s),
    FIELD(struct ld_report, U64, "requests", requests),
    FIELD(struct ld_report, U64, "all_requests", all_requests),
    FIELD(struct ld_report, U64, "unsent", unsent),
    FIELD(struct ld_report, U64, "unanswered", unanswered),
    FIELD(struct ld_report, U64, "skipped", skipped),
    FIELD(struct ld_report, U64, "wrong_answers", wrong_answers),
    FIELD(struct ld_report, U64, "wrong_allows", wrong_allows),
    FIELD(struct ld_report, U64, "reconnects", reconnects),
    FIELD(struct ld_report, U64, "bytes_sent", bytes_sent),
    FIELD(struct ld_report, U64, "bytes_received", bytes_received),
    FIELD(struct ld_report, REAL, "generator_cpu_s", generator_cpu_s),
};

/* --- tables to JSON and back ---------------------------------------------------------------- */

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *get_field(const void *from, const struct field *f)
{
    const char *at = (const char *)from + f->offset;
    const char *text;
    switch (f->kind) {
    case REAL: return real_or_null(*(const double *)(const void *)at);
    case U64: return json_integer((json_int_t)(*(const uint64_t *)(const void *)at));
    case UINT: return json_integer(*(const unsigned *)(const void *)at);
    case BOOL: return json_boolean(*(const bool *)(const void *)at);
    case TEXT: text = at; break;
    case OWNED:
    default: text = *(const char *const *)(const void *)at; break;
    }
    json_t *value = text ? json_string(text) : NULL; /* NULL too if it is not UTF-8 */
    return value ? value : json_null();
}

static json_t *get_fields(json_t *into, const void *from, const struct field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_object_set_new(into, fields[i].name, get_field(from, &fields[i]));
    return into;
}

static bool bad_field(const struct field *f, struct ld_problem *problem)
{
    return ld_problem_set(problem, "'%s' is missing or of the wrong kind", f->name);
}

static bool set_text(char *at, const struct field *f, const json_t *value,
                     struct ld_problem *problem)
{
    if (!json_is_string(value) && !json_is_null(value))
        return bad_field(f, problem);
    if (f->kind == TEXT) {
        snprintf(at, f->bytes, "%s", json_is_null(value) ? "" : json_string_value(value));
        return true;
    }
    free(*(char **)(void *)at);
    *(char **)(void *)at = json_is_null(value) ? NULL : strdup(json_string_value(value));
    return true;
}

static bool set_field(void *to, const struct field *f, const json_t *value,
                      struct ld_problem *problem)
{
    char *at = (char *)to + f->offset;
    switch (f->kind) {
    case REAL:
        if (!json_is_number(value) && !json_is_null(value))
            return bad_field(f, problem);
        *(double *)(void *)at = json_is_null(value) ? NAN : json_number_value(value);
        return true;
    case U64:
    case UINT:
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return bad_field(f, problem);
        if (f->kind == U64)
            *(uint64_t *)(void *)at = (uint64_t)json_integer_value(value);
        else
            *(unsigned *)(void *)at = (unsigned)json_integer_value(value);
        return true;
    case BOOL:
        if (!json_is_boolean(value))
            return bad_field(f, problem);
        *(bool *)(void *)at = json_is_true(value);
        return true;
    case TEXT:
    case OWNED: return set_text(at, f, value, problem);
    }
    return false;
}

static bool set_fields(void *to, const json_t *from, const struct field *fields, size_t n,
                       struct ld_problem *problem)
{
    for (size_t i = 0; i < n; i++)
        if (!set_field(to, &fields[i], json_object_get(from, fields[i].name), problem))
            return false;
    return true;
}

#define GET(into, from, fields)        get_fields(into, from, fields, PC_COUNT(fields))
#define SET(to, from, fields, problem) set_fields(to, from, fields, PC_COUNT(fields), problem)

/* --- latencies ------------------------------------------------------------------------------ */

/* Shares of the curve: ten steps to each ninth, 0.9, 0.99, … down to one in the count. */
static double next_share(double q)
{
    const double step = (1 - q) / 20;
    return q < 0.5 ? q + 0.05 : q + step;
}

void ld_latency_of(struct ld_latency *l, const struct ld_hdr *h)
{
    *l = (struct ld_latency){.count = h->count, .saturated = h->saturated};
    const struct {
        double *to, q;
    } wanted[] = {
        {&l->p50,    0.5   },
        {&l->p90,    0.9   },
        {&l->p99,    0.99  },
        {&l->p99_9,  0.999 },
        {&l->p99_99, 0.9999},
        {&l->max,    1     }
    };
    for (size_t i = 0; i < PC_COUNT(wanted); i++)
        *wanted[i].to = h->count ? (double)ld_hdr_percentile_ns(h, wanted[i].q) / 1e3 : NAN;
    l->min = h->count ? (double)h->min_ns / 1e3 : NAN;
    l->mean = h->count ? ld_hdr_mean_ns(h) / 1e3 : NAN;
    double q = 0;
    for (struct ld_hdr_step step = {0}; ld_hdr_next(h, &step);) {
        const bool is_last = step.up_to == h->count;
        const double share = (double)step.up_to / (double)h->count;
        if (!is_last && (share < q || l->curve_count >= LD_CURVE_MAX - 1))
            continue;
        const double us = (double)pc_min_i64(step.high_ns, h->max_ns) / 1e3;
        l->curve[l->curve_count++] = (struct ld_curve_point){share, us, step.up_to};
        while (q <= share && q < 1 - 1e-9)
            q = next_share(q);
    }
}

static json_t *latency_to_json(const struct ld_latency *l)
{
    json_t *o = GET(json_object(), l, latency_fields), *curve = json_array();
    for (unsigned i = 0; i < l->curve_count; i++)
        json_array_append_new(curve, json_pack("[f,f,I]", l->curve[i].q, l->curve[i].us,
                                               (json_int_t)l->curve[i].count));
    json_object_set_new(o, "curve", curve);
    return o;
}

static bool latency_from_json(struct ld_latency *l, const json_t *o, struct ld_problem *problem)
{
    const json_t *curve = json_object_get(o, "curve");
    if (!SET(l, o, latency_fields, problem))
        return false;
    if (!json_is_array(curve) || json_array_size(curve) > LD_CURVE_MAX)
        return ld_problem_set(problem, "'curve' is missing or too long");
    l->curve_count = (unsigned)json_array_size(curve);
    for (unsigned i = 0; i < l->curve_count; i++) {
        const json_t *point = json_array_get(curve, i);
        if (!json_is_number(json_array_get(point, 0)) || !json_is_number(json_array_get(point, 1)))
            return ld_problem_set(problem, "'curve': point %u is not [share, us, count]", i);
        l->curve[i] =
            (struct ld_curve_point){json_number_value(json_array_get(point, 0)),
                                    json_number_value(json_array_get(point, 1)),
                                    (uint64_t)json_integer_value(json_array_get(point, 2))};
    }
    return true;
}

/* --- the parts ------------------------------------------------------------------------------ */

static const char *const failure_names[LD_FAILURES] = {
    [LD_FAIL_CONNECT] = "connect",     [LD_FAIL_RESET] = "reset", [LD_FAIL_TIMEOUT] = "timeout",
    [LD_FAIL_MALFORMED] = "malformed", [LD_FAIL_END] = "end",
};

const char *ld_failure_name(enum ld_failure failure)
{
    return failure_names[failure];
}

const char *ld_report_loop_note(const struct ld_report *r)
{
    return r->open_loop ? "open loop: latency counted from the moment a request was due"
                        : "closed loop: does not see waiting (coordinated omission)";
}

uint64_t ld_report_errors(const struct ld_report *r)
{
    uint64_t n = 0;
    for (int i = 0; i < LD_FAIL_END; i++)
        n += r->errors[i];
    return n;
}

static json_t *errors_to_json(const struct ld_report *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "total", json_integer((json_int_t)ld_report_errors(r)));
    for (int i = 0; i < LD_FAIL_END; i++)
        json_object_set_new(o, failure_names[i], json_integer((json_int_t)r->errors[i]));
    return o;
}

static json_t *classes_to_json(const struct ld_report *r)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < r->class_count; i++) {
        json_t *o = GET(json_object(), &r->classes[i], class_fields);
        json_object_set_new(o, "latency_us", latency_to_json(&r->classes[i].latency));
        json_array_append_new(all, o);
    }
    return all;
}

static json_t *seconds_to_json(const struct ld_report *r)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < r->second_count; i++)
        json_array_append_new(all, GET(json_object(), &r->seconds[i], second_fields));
    return all;
}

static json_t *whys_to_json(const struct ld_report *r)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < LD_WHYS_MAX && r->whys[i]; i++) {
        json_t *text = json_string(r->whys[i]);
        json_array_append_new(all, text ? text : json_string("(bytes that are no text)"));
    }
    return all;
}

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

json_t *ld_report_to_json(const struct ld_report *r)
{
    json_t *o = json_object();
    char format[32];
    snprintf(format, sizeof(format), "portcullis-load/%d", LD_REPORT_VERSION);
    json_object_set_new(o, "format", json_string(format));
    json_object_set_new(o, "loop", json_string(r->open_loop ? "open" : "closed"));
    json_object_set_new(o, "loop_note", json_string(ld_report_loop_note(r)));
    GET(o, r, report_fields);
    json_object_set_new(o, "latency_us", latency_to_json(&r->latency));
    json_object_set_new(o, "service_us", latency_to_json(&r->service));
    json_object_set_new(o, "errors", errors_to_json(r));
    json_object_set_new(o, "wrong_examples", whys_to_json(r));
    json_object_set_new(
        o, "server", r->server.known ? GET(json_object(), &r->server, server_fields) : json_null());
    json_object_set_new(o, "placement",
                        isnan(r->placement.before_ns)
                            ? json_null()
                            : GET(json_object(), &r->placement, placement_fields));
    json_object_set_new(o, "machine", GET(json_object(), &r->machine, machine_fields));
    json_object_set_new(o, "options", or_null(r->options));
    json_object_set_new(o, "workload", or_null(r->workload));
    json_object_set_new(o, "classes", classes_to_json(r));
    json_object_set_new(o, "series", seconds_to_json(r));
    return o;
}

/* --- reading -------------------------------------------------------------------------------- */

static bool errors_from_json(struct ld_report *r, const json_t *o, struct ld_problem *problem)
{
    for (int i = 0; i < LD_FAIL_END; i++) {
        const json_t *n = json_object_get(o, failure_names[i]);
        if (!json_is_integer(n))
            return ld_problem_set(problem, "'errors.%s' is missing", failure_names[i]);
        r->errors[i] = (uint64_t)json_integer_value(n);
    }
    return true;
}

static bool classes_from_json(struct ld_report *r, const json_t *all, struct ld_problem *problem)
{
    if (!json_is_array(all) || json_array_size(all) > LD_CLASSES_MAX)
        return ld_problem_set(problem, "'classes' is missing or too long");
    r->classes = calloc(LD_CLASSES_MAX, sizeof(*r->classes));
    if (!r->classes)
        return ld_problem_set(problem, "no memory");
    for (; r->class_count < json_array_size(all); r->class_count++) {
        const json_t *o = json_array_get(all, r->class_count);
        struct ld_class_report *c = &r->classes[r->class_count];
        if (!SET(c, o, class_fields, problem) ||
            !latency_from_json(&c->latency, json_object_get(o, "latency_us"), problem))
            return false;
    }
    return true;
}

static bool seconds_from_json(struct ld_report *r, const json_t *all, struct ld_problem *problem)
{
    const size_t n = json_array_size(all);
    if (!json_is_array(all) || n > LD_SERIES_MAX)
        return ld_problem_set(problem, "'series' is missing or too long");
    r->seconds = calloc(n + 1, sizeof(*r->seconds));
    if (!r->seconds)
        return ld_problem_set(problem, "no memory");
    for (; r->second_count < n; r->second_count++)
        if (!SET(&r->seconds[r->second_count], json_array_get(all, r->second_count), second_fields,
                 problem))
            return false;
    return true;
}

static void whys_from_json(struct ld_report *r, const json_t *all)
{
    for (size_t i = 0; i < LD_WHYS_MAX && i < json_array_size(all); i++) {
        const char *text = json_string_value(json_array_get(all, i));
        r->whys[i] = strdup(text ? text : "");
    }
}

static bool parts_from_json(struct ld_report *r, const json_t *o, struct ld_problem *problem)
{
    const json_t *server = json_object_get(o, "server"),
                 *placement = json_object_get(o, "placement");
    const char *loop = json_string_value(json_object_get(o, "loop"));
    if (!loop)
        return ld_problem_set(problem, "'loop' is missing");
    r->open_loop = strcmp(loop, "open") == 0;
    r->server.known = json_is_object(server);
    r->options = or_null(json_object_get(o, "options"));
    r->workload = or_null(json_object_get(o, "workload"));
    whys_from_json(r, json_object_get(o, "wrong_examples"));
    return SET(r, o, report_fields, problem) &&
           latency_from_json(&r->latency, json_object_get(o, "latency_us"), problem) &&
           latency_from_json(&r->service, json_object_get(o, "service_us"), problem) &&
           errors_from_json(r, json_object_get(o, "errors"), problem) &&
           (!r->server.known || SET(&r->server, server, server_fields, problem)) &&
           (!json_is_object(placement) ||
            SET(&r->placement, placement, placement_fields, problem)) &&
           SET(&r->machine, json_object_get(o, "machine"), machine_fields, problem) &&
           classes_from_json(r, json_object_get(o, "classes"), problem) &&
           seconds_from_json(r, json_object_get(o, "series"), problem);
}

bool ld_report_from_json(struct ld_report *ret_report, const json_t *o, struct ld_problem *problem)
{
    struct ld_report r;
    char wanted[32];
    const char *format = json_string_value(json_object_get(o, "format"));
    snprintf(wanted, sizeof(wanted), "portcullis-load/%d", LD_REPORT_VERSION);
    if (!format || strcmp(format, wanted) != 0)
        return ld_problem_set(problem, "no result of this program: 'format' is not \"%s\"", wanted);
    ld_report_init(&r);
    if (!parts_from_json(&r, o, problem)) {
        ld_report_free(&r);
        return false;
    }
    *ret_report = r;
    return true;
}

/* --- files ---------------------------------------------------------------------------------- */

bool ld_report_write_json(const struct ld_report *r, const char *path, struct ld_problem *problem)
{
    const bool to_stdout = strcmp(path, "-") == 0;
    FILE *f = to_stdout ? stdout : fopen(path, "we");
    if (!f)
        return ld_problem_set(problem, "%s: %s", path, strerror(errno));
    json_t *o = ld_report_to_json(r);
    bool good = json_dumpf(o, f, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0;
    json_decref(o);
    good &= fputc('\n', f) != EOF;
    good &= (to_stdout ? fflush(f) : fclose(f)) == 0;
    return good ? true : ld_problem_set(problem, "%s: %s", path, strerror(errno));
}

bool ld_report_read_json(struct ld_report *ret_report, const char *path, struct ld_problem *problem)
{
    json_error_t error;
    struct ld_problem inner;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!f)
        return ld_problem_set(problem, "%s: %s", path, strerror(errno));
    json_t *o = json_loadf(f, JSON_REJECT_DUPLICATES, &error);
    if (f != stdin)
        fclose(f);
    if (!o)
        return ld_problem_set(problem, "%s:%d: %s", path, error.line, error.text);
    const bool good = ld_report_from_json(ret_report, o, &inner);
    json_decref(o);
    return good ? true : ld_problem_set(problem, "%s: %.400s", path, inner.text);
}

/* --- life ----------------------------------------------------------------------------------- */

void ld_report_init(struct ld_report *r)
{
    *r = (struct ld_report){.offered_per_s = NAN, .generator_cpu_s = NAN, .rate_per_s = NAN};
    r->placement.before_ns = r->placement.after_ns = NAN;
    for (size_t i = 0; i < PC_COUNT(server_fields); i++)
        if (server_fields[i].kind == REAL)
            *(double *)(void *)((char *)&r->server + server_fields[i].offset) = NAN;
}

void ld_report_free(struct ld_report *r)
{
    free((char *)r->command);
    free((char *)r->server.from);
    free((char *)r->server.why_no_counters);
    for (unsigned i = 0; i < LD_WHYS_MAX; i++)
        free(r->whys[i]);
    free(r->classes);
    free(r->seconds);
    json_decref(r->options);
    json_decref(r->workload);
    ld_report_init(r);
}
