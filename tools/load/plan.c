/* SPDX-License-Identifier: Apache-2.0
 * The planner's arithmetic, step by step as the header states the model (P1 … P6), and the warnings
 * that name every place where it goes beyond what was measured. Pure; any thread. */
#include "load/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    USUAL_CORES = 8,              /* per node, where neither cores nor nodes are given */
    ROUNDS = 60,                  /* of P2 and P4 until they agree */
    CACHE_ENTRIES_MAX = 16777216, /* token_cache.entries of the server */
    SNAPSHOTS_KEPT = 2,           /* while one is written, the one before still stands */
};
#define POOR_FIT        0.10 /* relative error from which a fit is warned of */
#define BUDGET_FRACTION 0.5  /* signature_budget.fraction of the server, unless configured */
#define NEAR_MEASURED   1.05 /* so far beyond a measured load still counts as measured */

void ld_plan_ask_init(struct ld_plan_ask *a)
{
    *a = (struct ld_plan_ask){
        .token_lifetime_s = 3600,
        .nodes_lost = 1,
        .load_max = 0.8,
        .memory_bytes = 64 * 0x1p30,
        .network_bits_per_s = 10e9,
        .snapshot_interval_s = 600,
    };
}

static void warn(struct ld_plan *p, const char *name, const char *format, ...) PC_PRINTF(3, 4);

static void warn(struct ld_plan *p, const char *name, const char *format, ...)
{
    if (p->warnings_n == LD_PLAN_WARNINGS_MAX)
        return;
    struct ld_plan_warning *w = &p->warnings[p->warnings_n++];
    snprintf(w->name, sizeof(w->name), "%s", name);
    va_list args;
    va_start(args, format);
    vsnprintf(w->text, sizeof(w->text), format, args);
    va_end(args);
}

static const char *text_of(enum ld_unit unit, double v, char dst[LD_UNITS_TEXT_MAX])
{
    return ld_units_format(unit, v, dst);
}

/* ---- P1: CPU over cores ---- */

static bool fit_edge(const struct ld_points *m, enum ld_usl_form form, struct ld_usl *ret,
                     struct ld_problem *problem)
{
    struct ld_usl_point p[LD_POINTS_MAX];
    for (size_t i = 0; i < m->cpu_n; i++)
        p[i] = (struct ld_usl_point){m->cpu[i].cores, m->cpu[i].cores * 1e6 / m->cpu[i].cpu_us};
    return ld_usl_fit(p, m->cpu_n, form, ret, problem);
}

/* The decision is only part of a request: what it loses weighs as much as it does. */
static struct ld_usl weigh(const struct ld_usl *decisions, const struct ld_usl *edge,
                           double decision_us)
{
    double weight = fmin(decision_us * edge->lambda / 1e6, 1);
    struct ld_usl u = *decisions;
    u.lambda = edge->lambda;
    u.sigma *= weight;
    u.kappa *= weight;
    return u;
}

static bool fit_cores(struct ld_plan *p, double cores, struct ld_problem *problem)
{
    const struct ld_points *m = p->points;
    struct ld_usl edge[2], decisions[2]; /* as well as known; all of it kappa */
    if (!fit_edge(m, LD_USL_FULL, &p->edge, problem) ||
        !ld_usl_fit(m->in_process, m->in_process_n, LD_USL_FULL, &p->decisions, problem))
        return false;
    bool known = p->edge.distinct > 2 && p->decisions.distinct > 2;
    enum ld_usl_form forms[2] = {known ? LD_USL_FULL : LD_USL_SIGMA_ONLY,
                                 known ? LD_USL_FULL : LD_USL_KAPPA_ONLY};
    struct ld_usl chosen[2];
    for (int i = 0; i < 2; i++) {
        if (!fit_edge(m, forms[i], &edge[i], problem) ||
            !ld_usl_fit(m->in_process, m->in_process_n, forms[i], &decisions[i], problem))
            return false;
        struct ld_usl weighed = weigh(&decisions[i], &edge[i], m->decision_us);
        bool worse = ld_usl_rate(&weighed, cores) < ld_usl_rate(&edge[i], cores);
        chosen[i] = worse ? weighed : edge[i];
        if (i == 0)
            p->law_is_of_decisions = worse;
    }
    p->law = chosen[0];
    p->worst = chosen[1];
    p->cpu_us = 1e6 * cores / ld_usl_rate(&p->law, cores);
    return true;
}

/* ---- P2: tokens seen for the first time ---- */

static void see_tokens(struct ld_plan *p, double all_cores)
{
    const struct ld_plan_ask *a = &p->ask;
    p->seen_by = p->new_share = 0;
    if (!(a->tokens > 0))
        return;
    double asked = fmax(a->target_per_s * a->token_lifetime_s / a->tokens, 1e-9);
    double chance = all_cores * -expm1(asked * log1p(-1 / fmax(all_cores, 1 + 1e-12)));
    double seen_by = a->cores_per_token > 0 ? fmin(a->cores_per_token, chance) : chance;
    double first = fmin(seen_by / asked, 1);
    double on_each = a->tokens * seen_by / all_cores;
    double room = a->cache_entries > 0 ? a->cache_entries : CACHE_ENTRIES_MAX;
    double kept = fmin(room / on_each, 1);
    p->seen_by = seen_by;
    p->cache_entries = a->cache_entries > 0 ? a->cache_entries : fmin(ceil(on_each), room);
    p->new_share = first + (1 - first) * (1 - kept);
}

static void mix_service(struct ld_plan *p)
{
    const struct ld_points *m = p->points;
    struct ld_service_kind kinds[] = {
        {1 - p->new_share, p->cpu_us,                m->decision_scv},
        {p->new_share,     p->cpu_us + m->verify_us, 0              },
    };
    p->service = ld_queueing_mix(kinds, PC_COUNT(kinds));
}

/* ---- P3: the load an objective allows ---- */

static void allow_load(struct ld_plan *p)
{
    const struct ld_plan_ask *a = &p->ask;
    p->load_allowed = a->load_max;
    p->reachable = true;
    for (unsigned i = 0; i < a->slo.n; i++) {
        const struct ld_slo_term *t = &a->slo.terms[i];
        struct ld_plan_term *r = &p->terms[i];
        /* No model has a maximum; the highest percentile that was measured stands for it. */
        double percentile = fmin(t->percentile, 99.99);
        r->load = ld_queueing_load(&p->service, &p->floor, percentile, t->limit_us, a->load_max);
        r->reachable = r->load > 0;
        p->reachable &= r->reachable;
        if (r->reachable)
            p->load_allowed = fmin(p->load_allowed, r->load);
    }
}

/* ---- P4: nodes ---- */

static double nodes_for(const struct ld_plan *p, const struct ld_usl *law, double cores)
{
    double cpu_us = 1e6 * cores / ld_usl_rate(law, cores) + p->new_share * p->points->verify_us;
    double node_per_s = p->load_allowed * cores * 1e6 / cpu_us;
    return fmax(ceil(p->ask.target_per_s / node_per_s - 1e-9), 1) + p->ask.nodes_lost;
}

/* P2 to P4 for a number of cores per node until the nodes stay the same. */
static bool size_nodes(struct ld_plan *p, double cores, struct ld_problem *problem)
{
    if (!fit_cores(p, cores, problem))
        return false;
    double nodes = p->ask.nodes > 0 ? p->ask.nodes : 1 + p->ask.nodes_lost;
    for (int round = 0; round < ROUNDS; round++) {
        see_tokens(p, fmax(nodes - p->ask.nodes_lost, 1) * cores);
        mix_service(p);
        allow_load(p);
        double needed = nodes_for(p, &p->law, cores);
        if (needed > LD_PLAN_NODES_MAX)
            return ld_problem_set(problem, "--target: needs more than %d nodes", LD_PLAN_NODES_MAX);
        if (p->ask.nodes > 0 || needed == nodes)
            break;
        /* Upwards only, so that a cycle between two sizes ends at the larger. */
        nodes = fmax(nodes, needed);
    }
    p->nodes = nodes;
    p->nodes_needed = nodes_for(p, &p->law, cores);
    p->nodes_worst = nodes_for(p, &p->worst, cores);
    p->cores_per_node = cores;
    p->node_per_s = p->load_allowed * cores * 1e6 / p->service.mean_us;
    return true;
}

static bool carries(const struct ld_plan *p)
{
    double left = p->nodes - p->ask.nodes_lost;
    return left >= 1 && left * p->node_per_s >= p->ask.target_per_s * (1 - 1e-9);
}

static bool size_cluster(struct ld_plan *p, struct ld_problem *problem)
{
    if (p->ask.cores_per_node > 0)
        return size_nodes(p, p->ask.cores_per_node, problem);
    if (!(p->ask.nodes > 0))
        return size_nodes(p, USUAL_CORES, problem);
    /* More cores need not carry more (kappa), so the first that do are looked for in order. */
    for (unsigned cores = 1; cores <= LD_PLAN_CORES_MAX; cores++) {
        size_t warned = p->warnings_n;
        if (!size_nodes(p, cores, problem))
            return false;
        if (carries(p))
            return true;
        p->warnings_n = warned;
    }
    return ld_problem_set(problem,
                          "--nodes: no number of cores up to %d lets so few carry the target",
                          LD_PLAN_CORES_MAX);
}

static void predict(struct ld_plan *p)
{
    double one_node = p->cores_per_node * 1e6 / p->service.mean_us;
    double left = fmax(p->nodes - p->ask.nodes_lost, 0);
    p->load_normal = p->ask.target_per_s / (p->nodes * one_node);
    p->load_lost = left > 0 ? p->ask.target_per_s / (left * one_node) : INFINITY;
    for (unsigned i = 0; i < p->ask.slo.n; i++) {
        double percentile = fmin(p->ask.slo.terms[i].percentile, 99.99);
        struct ld_plan_term *t = &p->terms[i];
        t->floor_us = ld_queueing_floor_us(&p->floor, p->load_lost, percentile, NULL);
        t->normal_us = ld_queueing_latency_us(&p->service, &p->floor, p->load_normal, percentile);
        t->lost_us = ld_queueing_latency_us(&p->service, &p->floor, p->load_lost, percentile);
    }
}

/* ---- P5, P6 ---- */

static bool size_memory(struct ld_plan *p, struct ld_problem *problem)
{
    p->memory_bytes = p->points->empty_bytes;
    for (int i = 0; i < LD_TABLES; i++) {
        const struct ld_pair_points *m = &p->points->memory[i];
        struct ld_line *l = &p->memory_line[i];
        if (!ld_line_fit(m->x, m->y, m->n, l, problem))
            return false;
        double entries = p->ask.entries[i];
        if (i == LD_TABLE_CACHED_TOKENS)
            entries = p->cache_entries * p->cores_per_node;
        double bytes = entries > 0 ? fmax(l->intercept + l->slope * entries, 0) : 0;
        p->memory_part[i] = bytes;
        p->memory_bytes += bytes;
    }
    return true;
}

static double held_entries(const struct ld_plan *p)
{
    return p->ask.entries[LD_TABLE_REVOKED] + p->ask.entries[LD_TABLE_SESSIONS] +
           p->ask.entries[LD_TABLE_SUBJECTS];
}

static bool size_rest(struct ld_plan *p, struct ld_problem *problem)
{
    const struct ld_points *m = p->points;
    const struct ld_plan_ask *a = &p->ask;
    struct ld_line start;
    if (!ld_line_fit(m->start.x, m->start.y, m->start.n, &start, problem))
        return false;
    double left = fmax(p->nodes - a->nodes_lost, 1);
    p->in_bits_per_s = a->target_per_s / left * m->request_bytes * 8;
    p->out_bits_per_s = a->target_per_s / left * m->answer_bytes * 8;
    p->change_bits_per_s = a->revocations_per_s * m->change_bytes * 8;
    p->hub_bits_per_s = p->change_bits_per_s * p->nodes;
    p->journal_bytes_per_s = a->revocations_per_s * m->change_bytes;
    p->disk_bytes = SNAPSHOTS_KEPT * (held_entries(p) * m->snapshot_entry_bytes +
                                      p->journal_bytes_per_s * a->snapshot_interval_s);
    p->start_s = fmax(start.intercept + start.slope * held_entries(p), 0);
    p->writer_share = a->revocations_per_s * m->apply_cpu_us / 1e6;
    return true;
}

/* ---- what breaks first ---- */

static void need(struct ld_plan *p, enum ld_resource resource, const char *name,
                 const char *unit_of, enum ld_unit unit, double used, double capacity)
{
    struct ld_need n = {resource, name, unit_of, unit, used, capacity, 0};
    n.factor = used > 0 ? capacity / used : INFINITY;
    p->needs[p->needs_n++] = n;
}

static int by_factor(const void *a, const void *b)
{
    double x = ((const struct ld_need *)a)->factor, y = ((const struct ld_need *)b)->factor;
    return (x > y) - (x < y);
}

static void find_needs(struct ld_plan *p)
{
    const struct ld_points *m = p->points;
    const struct ld_plan_ask *a = &p->ask;
    need(p, LD_RESOURCE_CPU, "CPU of the nodes left", "load of a core", LD_UNIT_PERCENT,
         100 * p->load_lost, 100 * p->load_allowed);
    need(p, LD_RESOURCE_MEMORY, "memory of a node", "resident", LD_UNIT_BYTES, p->memory_bytes,
         a->memory_bytes);
    need(p, LD_RESOURCE_NETWORK_IN, "network into a node", "requests and Changes",
         LD_UNIT_BITS_PER_S, p->in_bits_per_s + p->change_bits_per_s, a->network_bits_per_s);
    need(p, LD_RESOURCE_NETWORK_OUT, "network out of a node", "answers", LD_UNIT_BITS_PER_S,
         p->out_bits_per_s, a->network_bits_per_s);
    need(p, LD_RESOURCE_JOURNAL, "journal of a node", "own Changes made durable", LD_UNIT_RATE,
         a->revocations_per_s / fmax(p->nodes - a->nodes_lost, 1), m->durable_per_s);
    need(p, LD_RESOURCE_WRITER, "writer thread", "time applying every Change", LD_UNIT_PERCENT,
         100 * p->writer_share, 100);
    need(p, LD_RESOURCE_FAN_OUT, "fan-out from the hub", "Changes to every node",
         LD_UNIT_BITS_PER_S, p->hub_bits_per_s, a->network_bits_per_s);
    qsort(p->needs, p->needs_n, sizeof(*p->needs), by_factor);
    p->fits = p->needs[0].factor >= 1 - 1e-9;
}

/* ---- where it goes beyond what was measured ---- */

static void warn_of_fits(struct ld_plan *p)
{
    if (p->points->quick)
        warn(p, "quick-points",
             "the points were measured in small sizes (--quick): they show that "
             "the planner runs, not what a machine carries");
    if (p->edge.distinct < 3)
        warn(p, "few-core-counts",
             "CPU per request was measured on %u number%s of cores: sigma and kappa cannot be told "
             "apart; all of the loss taken for kappa asks for %.0f nodes instead of %.0f",
             p->edge.distinct, p->edge.distinct == 1 ? "" : "s", p->nodes_worst, p->nodes_needed);
    double measured = fmax(p->edge.n_max, 1);
    if (p->cores_per_node > measured)
        warn(p, "cores-beyond-measured", "%.0f cores per node; measured up to %.0f",
             p->cores_per_node, measured);
    if (p->cores_per_node > ld_usl_peak(&p->worst))
        warn(p, "cores-beyond-peak",
             "if all of the loss is kappa, a node gets slower beyond %.0f cores",
             ld_usl_peak(&p->worst));
    if (p->edge.error_max > POOR_FIT)
        warn(p, "poor-fit-cores", "the scalability fit is off by up to %.0f %%",
             100 * p->edge.error_max);
    if (p->nodes > 1)
        warn(p, "cluster-not-measured",
             "one node was measured; what nodes cost each other is "
             "computed from the size and the CPU of a Change");
}

static void warn_of_memory(struct ld_plan *p)
{
    char asked[LD_UNITS_TEXT_MAX], most[LD_UNITS_TEXT_MAX], name[40];
    for (int i = 0; i < LD_TABLES; i++) {
        double entries = p->ask.entries[i];
        if (i == LD_TABLE_CACHED_TOKENS)
            entries = p->ask.tokens > 0 ? p->cache_entries * p->cores_per_node : 0;
        if (entries > p->memory_line[i].x_max * NEAR_MEASURED) {
            snprintf(name, sizeof(name), "%s-beyond-measured", ld_table_names[i]);
            warn(p, name, "%s entries of %s in a node; measured up to %s",
                 text_of(LD_UNIT_COUNT, entries, asked), ld_table_names[i],
                 text_of(LD_UNIT_COUNT, p->memory_line[i].x_max, most));
        }
        if (entries > 0 && p->memory_line[i].error_max > POOR_FIT) {
            snprintf(name, sizeof(name), "poor-fit-%s", ld_table_names[i]);
            warn(p, name, "memory of %s is off the line by up to %.0f %%", ld_table_names[i],
                 100 * p->memory_line[i].error_max);
        }
    }
}

static void warn_of_latency(struct ld_plan *p)
{
    char name[16], text[LD_UNITS_TEXT_MAX], limit[LD_UNITS_TEXT_MAX];
    if (!p->floor.n)
        warn(p, "floor-not-measured",
             "no latency of the platform was measured: only waiting and "
             "service are counted");
    double most = 0;
    for (size_t i = 0; i < p->floor.n; i++)
        most = fmax(most, p->floor.points[i].rho);
    if (p->floor.n && p->load_lost > most * NEAR_MEASURED)
        warn(p, "load-beyond-measured",
             "load of %.0f %% after losses; the platform was measured up "
             "to %.0f %%",
             100 * p->load_lost, 100 * most);
    for (unsigned i = 0; i < p->ask.slo.n; i++) {
        const struct ld_slo_term *t = &p->ask.slo.terms[i];
        bool exact = true;
        double floor_us = ld_queueing_floor_us(&p->floor, p->ask.load_max, t->percentile, &exact);
        ld_slo_term_name(t, name, sizeof(name));
        if (p->floor.n && !exact)
            warn(p, "percentile-not-measured",
                 "%s was not measured; another percentile stands for it", name);
        if (!p->terms[i].reachable)
            warn(p, "objective-below-floor",
                 "%s<%s is not met at any load: a responder that does nothing has %s here; nodes "
                 "are "
                 "sized for %.0f %% load instead",
                 name, text_of(LD_UNIT_US, t->limit_us, limit), text_of(LD_UNIT_US, floor_us, text),
                 100 * p->load_allowed);
    }
}

static void warn_of_tokens(struct ld_plan *p)
{
    const struct ld_points *m = p->points;
    char seen[LD_UNITS_TEXT_MAX], room[LD_UNITS_TEXT_MAX];
    if (!(p->ask.tokens > 0))
        return;
    double verifying = p->new_share * m->verify_us / p->service.mean_us;
    double on_each =
        p->ask.tokens * p->seen_by / fmax(p->nodes - p->ask.nodes_lost, 1) / p->cores_per_node;
    if (on_each > p->cache_entries * NEAR_MEASURED)
        warn(p, "cache-too-small",
             "a core sees %s tokens and remembers %s: the others are verified "
             "again",
             text_of(LD_UNIT_COUNT, on_each, seen), text_of(LD_UNIT_COUNT, p->cache_entries, room));
    else if (p->cache_entries > m->cache_entries)
        warn(p, "cache-larger-than-default", "token_cache.entries must be set to %s (default %s)",
             text_of(LD_UNIT_COUNT, p->cache_entries, seen),
             text_of(LD_UNIT_COUNT, m->cache_entries, room));
    if (verifying > 0.2)
        warn(p, "verification-dominates",
             "%.0f %% of the CPU verifies signatures: each token is seen by %.1f cores; sending a "
             "token to the same core each time (--cores-per-token 1) or a longer life saves it",
             100 * verifying, p->seen_by);
    if (verifying * p->load_lost > BUDGET_FRACTION)
        warn(p, "signature-budget",
             "verification takes %.0f %% of a core: signature_budget.fraction "
             "must allow it, or good tokens are answered 503",
             100 * verifying * p->load_lost);
}

static void warn_of_needs(struct ld_plan *p)
{
    char used[LD_UNITS_TEXT_MAX], capacity[LD_UNITS_TEXT_MAX], name[40];
    static const char *const names[LD_RESOURCES] = {
        "cpu", "memory", "network-in", "network-out", "journal", "writer", "fan-out"};
    for (size_t i = 0; i < p->needs_n; i++) {
        const struct ld_need *n = &p->needs[i];
        if (n->factor >= 1 - 1e-9)
            continue;
        snprintf(name, sizeof(name), "exceeds-%s", names[n->resource]);
        warn(p, name, "%s: %s needed, %s there", n->name, text_of(n->unit, n->used, used),
             text_of(n->unit, n->capacity, capacity));
    }
}

/* ---- checks: part of the points predicts the rest ---- */

static struct ld_plan_check *check(struct ld_plan *p, enum ld_unit unit, double predicted,
                                   double measured)
{
    if (p->checks_n == PC_COUNT(p->checks))
        return NULL;
    struct ld_plan_check *c = &p->checks[p->checks_n++];
    *c = (struct ld_plan_check){.predicted = predicted,
                                .measured = measured,
                                .error = measured > 0 ? predicted / measured - 1 : NAN,
                                .unit = unit};
    return c;
}

static double mean_cpu_us(const struct ld_points *m, double cores)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < m->cpu_n; i++)
        if (m->cpu[i].cores == cores) {
            sum += m->cpu[i].cpu_us;
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

/* From CPU on one core and the decisions' scaling in process to CPU on the most cores measured. */
static void check_cores(struct ld_plan *p)
{
    const struct ld_points *m = p->points;
    double one = mean_cpu_us(m, 1), most = p->edge.n_max;
    if (isnan(one) || most < 2)
        return;
    double loss = most * p->decisions.lambda / ld_usl_rate(&p->decisions, most) - 1;
    double predicted = one + m->decision_us * loss;
    struct ld_plan_check *c = check(p, LD_UNIT_US, predicted, mean_cpu_us(m, most));
    if (c)
        snprintf(
            c->what, sizeof(c->what),
            "CPU per request on %.0f cores, from one core and the decision's scaling in process",
            most);
}

static void check_latency_at(struct ld_plan *p, const struct ld_service *known, double load)
{
    static const struct {
        double percentile;
        size_t offset;
    } rows[] = {
        {50, offsetof(struct ld_latency_point, p50_us)},
        {99, offsetof(struct ld_latency_point, p99_us)},
    };
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        double predicted = ld_queueing_latency_us(known, &p->floor, load, rows[i].percentile);
        struct ld_plan_check *c = check(
            p, LD_UNIT_US, predicted, ld_points_latency_us(p->points, false, load, rows[i].offset));
        if (c)
            snprintf(c->what, sizeof(c->what),
                     "p%g at %.0f %% load of one core, from the platform's floor, wait and service",
                     rows[i].percentile, 100 * load);
    }
}

/* From the platform's floor and the queue to the server's latency, at every load measured. */
static void check_latency(struct ld_plan *p)
{
    const struct ld_points *m = p->points;
    struct ld_service known = {mean_cpu_us(m, 1), m->decision_scv};
    if (!p->floor.n || isnan(known.mean_us))
        return;
    for (size_t i = 0; i < m->latency_n; i++) {
        bool first = !m->latency[i].is_floor;
        for (size_t j = 0; j < i && first; j++)
            first = m->latency[j].is_floor || m->latency[j].load != m->latency[i].load;
        if (first)
            check_latency_at(p, &known, m->latency[i].load);
    }
}

static bool check_ask(const struct ld_plan_ask *a, struct ld_problem *problem)
{
    if (!(a->target_per_s > 0))
        return ld_problem_set(problem, "--target: not above zero");
    if (!a->slo.n)
        return ld_problem_set(problem, "--slo: missing (example: p99<1ms)");
    if (a->cores_per_node > LD_PLAN_CORES_MAX)
        return ld_problem_set(problem, "--cores-per-node: more than %d", LD_PLAN_CORES_MAX);
    if (a->nodes > LD_PLAN_NODES_MAX)
        return ld_problem_set(problem, "--nodes: more than %d", LD_PLAN_NODES_MAX);
    if (a->nodes > 0 && a->nodes <= a->nodes_lost)
        return ld_problem_set(problem, "--nodes-lost: %.0f of %.0f nodes leaves none",
                              a->nodes_lost, a->nodes);
    if (!(a->load_max > 0 && a->load_max < 1))
        return ld_problem_set(problem, "--load-max: not between 0 and 100 %%");
    if (!(a->token_lifetime_s > 0))
        return ld_problem_set(problem, "--token-lifetime: not above zero");
    if (!(a->memory_bytes > 0) || !(a->network_bits_per_s > 0))
        return ld_problem_set(problem, "--memory-per-node, --network-per-node: not above zero");
    return true;
}

bool ld_plan_make(const struct ld_plan_ask *ask, const struct ld_points *points,
                  struct ld_plan *ret_plan, struct ld_problem *problem)
{
    if (!check_ask(ask, problem))
        return false;
    struct ld_plan *p = ret_plan;
    memset(p, 0, sizeof(*p));
    p->ask = *ask;
    p->points = points;
    ld_points_floor(points, &p->floor);
    if (!size_cluster(p, problem))
        return false;
    predict(p);
    if (!size_memory(p, problem) || !size_rest(p, problem))
        return false;
    find_needs(p);
    check_cores(p);
    check_latency(p);
    warn_of_needs(p);
    warn_of_latency(p);
    warn_of_tokens(p);
    warn_of_fits(p);
    warn_of_memory(p);
    return true;
}
