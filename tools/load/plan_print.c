/* SPDX-License-Identifier: Apache-2.0
 * A plan for people and as JSON. Both state the model, the fit's error, every warning and what
 * breaks first: an answer in nodes without them would be believed. Writes to the FILE given. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "load/plan.h"
#include "load/units.h"

static const char *const model[] = {
    "CPU: 1e6 N / X(N) microseconds per request on N cores, X(N) = lambda N / (1 + sigma (N-1) + "
    "kappa "
    "N (N-1)) (Universal Scalability Law), fitted to CPU per request over cores and to decisions "
    "in "
    "process over threads; the worse of the two counts.",
    "Tokens: a core verifies a token when it first sees it; a token asked about R times in its "
    "life "
    "reaches D = K (1 - (1 - 1/K)^R) of K cores, so D/R of the requests cost a verification more.",
    "Latency: the platform's floor (measured on a responder that does nothing) + waiting + "
    "service, "
    "percentile by percentile; waiting is M/G/1 per core: mean by Pollaczek and Khinchine, "
    "exponential above zero.",
    "Nodes: those left after the losses carry the target at the highest load the objective allows.",
    "Memory: an empty server plus a measured line per table; every node holds every revocation and "
    "may see every limit key.",
    "Cluster: every node applies and journals every Change on one thread; a Change goes once to "
    "the "
    "hub and from there to each node.",
};

const char *ld_plan_model_sentence(unsigned i)
{
    return i < PC_COUNT(model) ? model[i] : NULL;
}

static void line(FILE *to, const char *name, const char *format, ...) PC_PRINTF(3, 4);

static void line(FILE *to, const char *name, const char *format, ...)
{
    va_list args;
    fprintf(to, "  %-24s", name);
    va_start(args, format);
    vfprintf(to, format, args);
    va_end(args);
    fputc('\n', to);
}

struct text {
    char s[LD_UNITS_TEXT_MAX];
};

static struct text shown(enum ld_unit unit, double v)
{
    struct text t;
    ld_units_format(unit, v, t.s);
    return t;
}

static void print_answer(const struct ld_plan *p, FILE *to)
{
    const struct ld_plan_ask *a = &p->ask;
    line(to, "nodes", "%.0f (%.0f may be lost)%s", p->nodes, a->nodes_lost,
         p->fits ? "" : "   NOT ENOUGH: see the warnings");
    line(to, "cores", "%.0f, %.0f per node", p->nodes * p->cores_per_node, p->cores_per_node);
    line(to, "a node carries", "%s at %.0f %% load", shown(LD_UNIT_RATE, p->node_per_s).s,
         100 * p->load_allowed);
    line(to, "load", "%.0f %%; %.0f %% with %.0f nodes lost", 100 * p->load_normal,
         100 * p->load_lost, a->nodes_lost);
    line(to, "CPU per request", "%s (known token %s, %.2g %% of the requests verify one)",
         shown(LD_UNIT_US, p->service.mean_us).s, shown(LD_UNIT_US, p->cpu_us).s,
         100 * p->new_share);
    for (unsigned i = 0; i < a->slo.n; i++) {
        char name[16];
        line(to, ld_slo_term_name(&a->slo.terms[i], name, sizeof(name)),
             "%s, %s after losses (asked %s; of it the platform %s)%s",
             shown(LD_UNIT_US, p->terms[i].normal_us).s, shown(LD_UNIT_US, p->terms[i].lost_us).s,
             shown(LD_UNIT_US, a->slo.terms[i].limit_us).s,
             shown(LD_UNIT_US, p->terms[i].floor_us).s,
             p->terms[i].reachable ? "" : "   NOT REACHED");
    }
    line(to, "memory per node", "%s", shown(LD_UNIT_BYTES, p->memory_bytes).s);
    for (int i = 0; i < LD_TABLES; i++)
        if (p->memory_part[i] > 0) {
            double n =
                i == LD_TABLE_CACHED_TOKENS ? p->cache_entries * p->cores_per_node : a->entries[i];
            line(to, "", "%-14s %10s for %s (%.3g B each)", ld_table_names[i],
                 shown(LD_UNIT_BYTES, p->memory_part[i]).s, shown(LD_UNIT_COUNT, n).s,
                 p->memory_part[i] / n);
        }
    line(to, "network per node", "in %s, out %s", shown(LD_UNIT_BITS_PER_S, p->in_bits_per_s).s,
         shown(LD_UNIT_BITS_PER_S, p->out_bits_per_s).s);
    line(to, "revocation fan-out", "%s into each node, %s out of the hub; %.3g %% of the writer",
         shown(LD_UNIT_BITS_PER_S, p->change_bits_per_s).s,
         shown(LD_UNIT_BITS_PER_S, p->hub_bits_per_s).s, 100 * p->writer_share);
    line(to, "journal disk per node", "%s, %s written", shown(LD_UNIT_BYTES, p->disk_bytes).s,
         shown(LD_UNIT_BYTES_PER_S, p->journal_bytes_per_s).s);
    line(to, "start", "%s until ready", shown(LD_UNIT_SECONDS, p->start_s).s);
}

static void print_law(const struct ld_plan *p, FILE *to)
{
    line(to, "fit",
         "lambda %s, sigma %.4f, kappa %.5f (%s); R2 %.4f, error rms %.1f %%, most %.1f %%",
         shown(LD_UNIT_RATE, p->law.lambda).s, p->law.sigma, p->law.kappa,
         p->law_is_of_decisions ? "of decisions in process" : "of CPU per request",
         p->law.r_squared, 100 * p->law.error_rms, 100 * p->law.error_max);
    line(to, "if all loss is kappa", "kappa %.5f: %.0f nodes instead of %.0f", p->worst.kappa,
         p->nodes_worst, p->nodes_needed);
    for (size_t i = 0; i < p->checks_n; i++) {
        const struct ld_plan_check *c = &p->checks[i];
        line(to, i ? "" : "checked", "%s: predicted %s, measured %s (%+.0f %%)", c->what,
             shown(c->unit, c->predicted).s, shown(c->unit, c->measured).s, 100 * c->error);
    }
}

static void print_needs(const struct ld_plan *p, FILE *to)
{
    for (size_t i = 0; i < p->needs_n; i++) {
        const struct ld_need *n = &p->needs[i];
        if (isinf(n->factor))
            continue;
        char factor[LD_UNITS_TEXT_MAX];
        fprintf(to, "  %-24s%s of %s (%s): %s x\n", n->name, shown(n->unit, n->used).s,
                shown(n->unit, n->capacity).s, n->unit_of,
                ld_units_format(LD_UNIT_COUNT, n->factor, factor));
    }
}

void ld_plan_print(const struct ld_plan *p, FILE *to)
{
    fprintf(to, "%s, %s\n", shown(LD_UNIT_RATE, p->ask.target_per_s).s, p->ask.slo.text);
    print_answer(p, to);
    fputs("\nWhat breaks first (how many times it could grow):\n", to);
    print_needs(p, to);
    fprintf(to, "\nThe model, from %s (%s, %s):\n", p->points->path, p->points->cpu_model,
            p->points->when);
    for (size_t i = 0; i < PC_COUNT(model); i++)
        fprintf(to, "  %s\n", model[i]);
    print_law(p, to);
    if (p->warnings_n)
        fputs("\nWarnings:\n", to);
    for (size_t i = 0; i < p->warnings_n; i++)
        fprintf(to, "  [%s] %s\n", p->warnings[i].name, p->warnings[i].text);
}

/* ---- JSON ---- */

/* Not a number and infinity have no form in JSON. */
static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *law_json(const struct ld_usl *u)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:i}", "lambda_per_s", number(u->lambda), "sigma",
                     number(u->sigma), "kappa", number(u->kappa), "r_squared", number(u->r_squared),
                     "error_rms", number(u->error_rms), "error_max", number(u->error_max),
                     "sizes_measured", (int)u->distinct);
}

static json_t *ask_json(const struct ld_plan_ask *a)
{
    json_t *o = json_pack(
        "{s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "target_per_s", number(a->target_per_s),
        "slo", a->slo.text, "tokens", number(a->tokens), "token_lifetime_s",
        number(a->token_lifetime_s), "cores_per_token", number(a->cores_per_token),
        "revocations_per_s", number(a->revocations_per_s), "nodes_lost", number(a->nodes_lost),
        "load_max", number(a->load_max), "memory_per_node_bytes", number(a->memory_bytes),
        "network_per_node_bits_per_s", number(a->network_bits_per_s), "snapshot_interval_s",
        number(a->snapshot_interval_s));
    for (int i = 0; i < LD_TABLES; i++)
        if (i != LD_TABLE_CACHED_TOKENS)
            json_object_set_new(o, ld_table_names[i], number(a->entries[i]));
    return o;
}

static json_t *terms_json(const struct ld_plan *p)
{
    json_t *list = json_array();
    char name[16];
    for (unsigned i = 0; i < p->ask.slo.n; i++)
        json_array_append_new(
            list,
            json_pack("{s:s,s:o,s:b,s:o,s:o,s:o,s:o}", "percentile",
                      ld_slo_term_name(&p->ask.slo.terms[i], name, sizeof(name)), "limit_us",
                      number(p->ask.slo.terms[i].limit_us), "reachable", p->terms[i].reachable,
                      "load_allowed", number(p->terms[i].load), "floor_us",
                      number(p->terms[i].floor_us), "predicted_us", number(p->terms[i].normal_us),
                      "predicted_after_losses_us", number(p->terms[i].lost_us)));
    return list;
}

static json_t *needs_json(const struct ld_plan *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->needs_n; i++)
        json_array_append_new(list, json_pack("{s:s,s:o,s:o,s:o}", "what", p->needs[i].name, "used",
                                              number(p->needs[i].used), "capacity",
                                              number(p->needs[i].capacity), "could_grow_times",
                                              number(p->needs[i].factor)));
    return list;
}

static json_t *memory_json(const struct ld_plan *p)
{
    json_t *o = json_pack("{s:o,s:o}", "total_bytes", number(p->memory_bytes), "empty_bytes",
                          number(p->points->empty_bytes));
    for (int i = 0; i < LD_TABLES; i++)
        json_object_set_new(o, ld_table_names[i],
                            json_pack("{s:o,s:o,s:o,s:o}", "bytes", number(p->memory_part[i]),
                                      "slope_bytes", number(p->memory_line[i].slope),
                                      "intercept_bytes", number(p->memory_line[i].intercept),
                                      "error_max", number(p->memory_line[i].error_max)));
    return o;
}

static json_t *answer_json(const struct ld_plan *p)
{
    json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:b,s:o,s:o,s:o}", "nodes",
                          number(p->nodes), "nodes_needed", number(p->nodes_needed), "nodes_worst",
                          number(p->nodes_worst), "cores", number(p->nodes * p->cores_per_node),
                          "cores_per_node", number(p->cores_per_node), "node_rate_per_s",
                          number(p->node_per_s), "fits", p->fits, "objective_reachable",
                          p->reachable, "load_allowed", number(p->load_allowed), "load",
                          number(p->load_normal), "load_after_losses", number(p->load_lost));
    json_object_update_new(
        o,
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "cpu_us_per_request",
                  number(p->service.mean_us), "known_token_cpu_us", number(p->cpu_us),
                  "verifying_share", number(p->new_share), "cores_that_see_a_token",
                  number(p->seen_by), "token_cache_entries", number(p->cache_entries),
                  "network_in_bits_per_s", number(p->in_bits_per_s), "network_out_bits_per_s",
                  number(p->out_bits_per_s), "fan_out_bits_per_s_per_node",
                  number(p->change_bits_per_s), "fan_out_bits_per_s_hub", number(p->hub_bits_per_s),
                  "journal_bytes_per_s", number(p->journal_bytes_per_s), "journal_disk_bytes",
                  number(p->disk_bytes), "start_s", number(p->start_s)));
    return o;
}

json_t *ld_plan_to_json(const struct ld_plan *p, const char *command)
{
    json_t *warnings = json_array(), *checks = json_array(), *sentences = json_array();
    for (size_t i = 0; i < p->warnings_n; i++)
        json_array_append_new(warnings, json_pack("{s:s,s:s}", "name", p->warnings[i].name, "text",
                                                  p->warnings[i].text));
    for (size_t i = 0; i < p->checks_n; i++)
        json_array_append_new(checks, json_pack("{s:s,s:o,s:o,s:o}", "what", p->checks[i].what,
                                                "predicted", number(p->checks[i].predicted),
                                                "measured", number(p->checks[i].measured), "error",
                                                number(p->checks[i].error)));
    for (size_t i = 0; i < PC_COUNT(model); i++)
        json_array_append_new(sentences, json_string(model[i]));
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:{s:s,s:s,s:s,s:b},s:o,s:o,s:o,s:o}",
                     "format", "portcullis-plan/1", "command", command, "asked", ask_json(&p->ask),
                     "answer", answer_json(p), "objective", terms_json(p), "memory", memory_json(p),
                     "breaks_first", needs_json(p), "warnings", warnings, "points", "file",
                     p->points->path, "machine", p->points->cpu_model, "when", p->points->when,
                     "quick", p->points->quick, "law", law_json(&p->law), "law_if_all_kappa",
                     law_json(&p->worst), "checks", checks, "model", sentences);
}
