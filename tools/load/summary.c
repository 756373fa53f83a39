/* SPDX-License-Identifier: Apache-2.0
 * A report for people: the summary that `run` prints. */
#include <inttypes.h>
#include <math.h>

#include "load/report.h"

static void print_us(FILE *to, const char *name, double us)
{
    if (isnan(us))
        fprintf(to, "  %s -", name);
    else if (us < 1000)
        fprintf(to, "  %s %.1f us", name, us);
    else if (us < 1e6)
        fprintf(to, "  %s %.2f ms", name, us / 1e3);
    else
        fprintf(to, "  %s %.2f s", name, us / 1e6);
}

static void print_latency(FILE *to, const char *title, const struct ld_latency *l)
{
    fprintf(to, "%-12s", title);
    print_us(to, "p50", l->p50);
    print_us(to, "p90", l->p90);
    print_us(to, "p99", l->p99);
    print_us(to, "p99.9", l->p99_9);
    print_us(to, "p99.99", l->p99_99);
    print_us(to, "max", l->max);
    if (l->saturated)
        fprintf(to, "  (%" PRIu64 " beyond the range, counted as an hour)", l->saturated);
    fputc('\n', to);
}

static void print_class(FILE *to, const struct ld_class_report *c)
{
    if (c->is_measure)
        fprintf(to, "%-24s %10" PRIu64 " times", c->name, c->requests);
    else
        fprintf(to, "%-24s %10" PRIu64 " requests  %.0f/s  wrong %" PRIu64 "  errors %" PRIu64,
                c->name, c->requests, c->rate_per_s, c->wrong_answers, c->errors);
    print_us(to, "p50", c->latency.p50);
    print_us(to, "p99", c->latency.p99);
    print_us(to, "max", c->latency.max);
    if (c->latency.saturated)
        fprintf(to, "  (%" PRIu64 " beyond the range)", c->latency.saturated);
    fputc('\n', to);
}

static void print_trouble(const struct ld_report *r, FILE *to)
{
    fprintf(to, "errors       %" PRIu64 " (", ld_report_errors(r));
    for (int i = 0; i < LD_FAIL_END; i++)
        fprintf(to, "%s%s %" PRIu64, i ? ", " : "", ld_failure_name((enum ld_failure)i),
                r->errors[i]);
    fprintf(to, ")   wrong answers %" PRIu64 "   reconnects %" PRIu64 "\n", r->wrong_answers,
            r->reconnects);
    if (r->unsent || r->unanswered || r->skipped)
        fprintf(to,
                "at the end   %" PRIu64 " due and unsent, %" PRIu64 " sent and unanswered (in the "
                "percentiles by their age), %" PRIu64 " skipped\n",
                r->unsent, r->unanswered, r->skipped);
    if (r->wrong_allows)
        fprintf(to, "WRONG ALLOWS %" PRIu64 ": requests were allowed that had to be refused\n",
                r->wrong_allows);
}

/* Of a workload: what it could not send beside the loop's own requests. */
static void print_left_out(const struct ld_report *r, FILE *to)
{
    const json_t *out = json_object_get(r->workload, "left_out");
    const json_int_t probes = json_integer_value(json_object_get(out, "probes"));
    const json_int_t paced = json_integer_value(json_object_get(out, "paced"));
    if (probes || paced)
        fprintf(to,
                "LEFT OUT     %lld probes of revocations, %lld requests beside the loop: too many "
                "were waiting already\n",
                (long long)probes, (long long)paced);
}

static void print_server(const struct ld_report *r, FILE *to)
{
    const struct ld_server_figures *s = &r->server;
    if (!s->known)
        return;
    fprintf(to, "server       %.2f CPU s, %.2f us per request, %.1f MiB resident", s->cpu_s,
            s->cpu_us_per_request, s->rss_bytes / 1048576);
    if (!isnan(s->voluntary_switches))
        fprintf(to, ", context switches per request %.3f voluntary, %.3f involuntary",
                s->voluntary_switches, s->involuntary_switches);
    if (!isnan(s->instructions))
        fprintf(to, ", per request %.0f instructions, %.0f cycles, %.1f cache misses",
                s->instructions, s->cycles, s->cache_misses);
    fputc('\n', to);
}

void ld_report_print(const struct ld_report *r, FILE *to)
{
    fprintf(to, "%s\n", ld_report_loop_note(r));
    fprintf(to, "requests     %" PRIu64 " in %.2f s%s: %.0f per second", r->requests, r->duration_s,
            r->interrupted ? " (interrupted)" : "", r->rate_per_s);
    if (!isnan(r->offered_per_s))
        fprintf(to, " of %.0f that were due", r->offered_per_s);
    fputc('\n', to);
    print_latency(to, "latency", &r->latency);
    if (r->open_loop)
        print_latency(to, "from sending", &r->service);
    for (unsigned i = 0; r->class_count > 1 && i < r->class_count; i++)
        print_class(to, &r->classes[i]);
    print_server(r, to);
    if (!isnan(r->placement.before_ns))
        fprintf(to, "placement    %.0f ns before, %.0f ns after: %s\n", r->placement.before_ns,
                r->placement.after_ns, r->placement.near ? "near" : "not near at both ends");
    print_trouble(r, to);
    print_left_out(r, to);
}
