/* SPDX-License-Identifier: Apache-2.0
 * The keys of a workload file, as tables, and what must hold between them. */
#include <math.h>
#include <stdlib.h>

#include "base/ip.h"
#include "load/workload.h"
#include "load/yaml_reader.h"
#include "load/zipf.h"

#define RATE_MAX        1e9
#define WEIGHT_MAX      1e9
#define LIFETIME_S      86400
#define TOKENS_MAX      ((double)LD_TOKENS_COUNT_MAX)
#define KEYS_MAX        ((double)LD_WL_KEYS_MAX)
#define WL_ROW(name)    ROW(ld_workload, name)
#define ROW(type, name) offsetof(struct type, name)

static const char *const ask_names[LD_ASKS] = {
    [LD_ASK_AUTH] = "auth",     [LD_ASK_CHECK] = "check",       [LD_ASK_LIMIT] = "limit",
    [LD_ASK_FLAG] = "flag",     [LD_ASK_SET_FLAG] = "set_flag", [LD_ASK_REVOKE] = "revoke",
    [LD_ASK_EXISTS] = "exists", [LD_ASK_STATUS] = "status",
};

const char *ld_ask_name(enum ld_ask ask)
{
    return ask_names[ask];
}

/* ---- Populations. ---- */

static bool read_distribution(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_population *p = to;
    const char *text = ld_yaml_text(y, key, node);
    if (!text)
        return false;
    if (strcmp(text, "uniform") == 0)
        p->exponent = 0;
    else if (strcmp(text, "zipf") != 0)
        return ld_yaml_fail(y, node, key, "'%s' is neither uniform nor zipf", text);
    else if (p->exponent == 0)
        p->exponent = 1;
    return true;
}

static bool read_exponent(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_population *p = to;
    return ld_yaml_number(y, key, node, 0.01, LD_ZIPF_EXPONENT_MAX, &p->exponent);
}

/* A mapping of kinds to shares in any unit. */
static bool read_shares(struct ld_yaml *y, const char *key, yaml_node_t *node,
                        double ret_shares[LD_TOKEN_KINDS])
{
    struct ld_yaml_row rows[LD_TOKEN_KINDS];
    double shares[LD_TOKEN_KINDS] = {0}, sum = 0;
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        rows[kind] = (struct ld_yaml_row){.key = ld_token_kind_name((enum ld_token_kind)kind),
                                          .type = LD_YAML_NUMBER,
                                          .offset = kind * sizeof(double),
                                          .max = WEIGHT_MAX};
    if (!ld_yaml_mapping(y, key, node, rows, LD_TOKEN_KINDS, shares))
        return false;
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        sum += shares[kind];
    if (sum <= 0)
        return ld_yaml_fail(y, node, key, "no kind of token has a share");
    memcpy(ret_shares, shares, sizeof shares);
    return true;
}

static bool read_token_shares(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_workload *w = to;
    return read_shares(y, key, node, w->shares);
}

#define KEYS_ROW(name)   ROW(ld_wl_population, name)
#define TOKENS_ROW(name) ROW(ld_workload, tokens) + ROW(ld_wl_population, name)

static bool read_tokens_distribution(struct ld_yaml *y, const char *key, yaml_node_t *node,
                                     void *to)
{
    return read_distribution(y, key, node, &((struct ld_workload *)to)->tokens);
}

static bool read_tokens_exponent(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    return read_exponent(y, key, node, &((struct ld_workload *)to)->tokens);
}

static bool read_tokens(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    static const struct ld_yaml_row rows[] = {
        LD_ROW("count", COUNT, TOKENS_ROW(count), 1, TOKENS_MAX, true),
        LD_ROW_READ("distribution", read_tokens_distribution, false),
        LD_ROW_READ("exponent", read_tokens_exponent, false),
        LD_ROW("hot_share", NUMBER, TOKENS_ROW(hot_share), 0, 1, false),
        LD_ROW_READ("shares", read_token_shares, false),
        LD_ROW("lifetime", SECONDS, ROW(ld_workload, lifetime_s), 0, 0, false),
        LD_ROW("scopes", TEXT, ROW(ld_workload, scopes), 0, 0, false),
        LD_ROW("roles", TEXT, ROW(ld_workload, roles), 0, 0, false),
        LD_ROW("prime", BOOL, ROW(ld_workload, prime), 0, 0, false),
    };
    return ld_yaml_mapping(y, key, node, rows, PC_COUNT(rows), to);
}

static bool read_keys(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    static const struct ld_yaml_row rows[] = {
        LD_ROW("count", COUNT, KEYS_ROW(count), 1, KEYS_MAX, true),
        LD_ROW_READ("distribution", read_distribution, false),
        LD_ROW_READ("exponent", read_exponent, false),
        LD_ROW("hot_share", NUMBER, KEYS_ROW(hot_share), 0, 1, false),
    };
    struct ld_workload *w = to;
    return ld_yaml_mapping(y, key, node, rows, PC_COUNT(rows), &w->keys);
}

/* ---- Requests. ---- */

static bool read_ask(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_request *r = to;
    const char *text = ld_yaml_text(y, key, node);
    unsigned ask = 0;
    if (!text)
        return false;
    while (ask < LD_ASKS && strcmp(text, ask_names[ask]) != 0)
        ask++;
    if (ask == LD_ASKS)
        return ld_yaml_fail(y, node, key,
                            "'%s' is none of auth, check, limit, flag, set_flag, revoke, exists, "
                            "status",
                            text);
    r->ask = (enum ld_ask)ask;
    return true;
}

static bool read_fields(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_request *r = to;
    return ld_yaml_texts(y, key, node, LD_WL_FIELDS_MAX, r->fields, &r->field_count);
}

static bool read_words(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_request *r = to;
    return ld_yaml_texts(y, key, node, LD_WL_WORDS_MAX, r->words, &r->word_count);
}

static bool read_tolerate(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_request *r = to;
    return ld_yaml_texts(y, key, node, LD_WL_TOLERATED_MAX, r->tolerate, &r->tolerate_count);
}

static bool read_request_shares(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_request *r = to;
    r->has_shares = true;
    return read_shares(y, key, node, r->shares);
}

static bool read_network(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_request *r = to;
    struct pc_ip ip;
    const char *text = ld_yaml_text(y, key, node);
    if (!text)
        return false;
    if (pc_ip_parse(pc_bytes_str(text), &ip) || ip.family != 4)
        return ld_yaml_fail(y, node, key, "'%s' is no IPv4 address", text);
    r->network =
        (uint32_t)ip.b[0] << 24 | (uint32_t)ip.b[1] << 16 | (uint32_t)ip.b[2] << 8 | ip.b[3];
    return true;
}

static const struct ld_yaml_row request_rows[] = {
    LD_ROW("name", TEXT, ROW(ld_wl_request, name), 0, 0, true),
    LD_ROW("description", TEXT, ROW(ld_wl_request, help), 0, 0, false),
    LD_ROW_READ("ask", read_ask, true),
    LD_ROW("weight", NUMBER, ROW(ld_wl_request, weight), 0, WEIGHT_MAX, false),
    LD_ROW("per_second", NUMBER, ROW(ld_wl_request, per_s), 0, 1e6, false),
    LD_ROW("beside", BOOL, ROW(ld_wl_request, outside), 0, 0, false),
    LD_ROW("to_idle", BOOL, ROW(ld_wl_request, to_idle), 0, 0, false),
    LD_ROW("method", TEXT, ROW(ld_wl_request, method), 0, 0, false),
    LD_ROW("path", TEXT, ROW(ld_wl_request, path), 0, 0, false),
    LD_ROW_READ("headers", read_fields, false),
    LD_ROW("body", TEXT, ROW(ld_wl_request, body), 0, 0, false),
    LD_ROW_READ("command", read_words, false),
    LD_ROW_READ("shares", read_request_shares, false),
    LD_ROW("policy", TEXT, ROW(ld_wl_request, policy_name), 0, 0, false),
    LD_ROW("flag", TEXT, ROW(ld_wl_request, flag_name), 0, 0, false),
    LD_ROW("status", COUNT, ROW(ld_wl_request, status), 100, 599, false),
    LD_ROW_READ("tolerate", read_tolerate, false),
    LD_ROW_READ("network", read_network, false),
    LD_ROW("clients", COUNT, ROW(ld_wl_request, clients), 1, 16777216, false),
};

static int find_request(const struct ld_workload *w, const char *name)
{
    for (unsigned i = 0; i < w->request_count; i++)
        if (strcmp(w->requests[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool is_name(const char *text)
{
    const size_t n = strlen(text);
    return n > 0 && n < LD_NAME_BYTES &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

/* What an ask needs to be judged. */
static const char *missing_of(const struct ld_workload *w, const struct ld_wl_request *r)
{
    if (w->resp != (r->word_count > 0))
        return w->resp ? "protocol resp needs 'command'" : "'command' needs protocol: resp";
    if (!w->resp && (!r->path || !r->method))
        return "'path' is missing";
    if (w->resp && r->ask != LD_ASK_EXISTS && r->ask != LD_ASK_STATUS)
        return "over resp only exists and status can be asked";
    if (!w->resp && r->ask == LD_ASK_EXISTS)
        return "exists needs protocol: resp";
    if (r->ask == LD_ASK_LIMIT && !r->policy_name)
        return "'policy' is missing: how many may be allowed?";
    if ((r->ask == LD_ASK_FLAG || r->ask == LD_ASK_SET_FLAG) && !r->flag_name)
        return "'flag' is missing";
    if (r->ask == LD_ASK_STATUS && !w->resp && !r->status)
        return "'status' is missing: which one is right?";
    if (r->to_idle && (r->weight > 0 || w->idle == 0))
        return "to_idle needs per_second, no weight, and 'idle' connections";
    return NULL;
}

static bool read_request(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_workload *w = to;
    struct ld_wl_request *r = &w->requests[w->request_count];
    (void)key;
    *r = (struct ld_wl_request){.method = "GET",
                                .help = "",
                                .policy = -1,
                                .flag = -1,
                                .network = UINT32_C(10) << 24,
                                .clients = 65536};
    if (!ld_yaml_mapping(y, "requests", node, request_rows, PC_COUNT(request_rows), r))
        return false;
    if (!is_name(r->name))
        return ld_yaml_fail(y, node, "name", "'%s': letters, digits, _ and - only, at most %d",
                            r->name, LD_NAME_BYTES - 1);
    if (find_request(w, r->name) >= 0)
        return ld_yaml_fail(y, node, "name", "'%s' is given twice", r->name);
    w->request_count++;
    return true;
}

static bool read_requests(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    return ld_yaml_list(y, key, node, LD_WL_REQUESTS_MAX, read_request, to);
}

/* ---- Policies, flags. ---- */

static bool read_rate(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_policy *p = to;
    struct pc_why why = {""};
    const char *text = ld_yaml_text(y, key, node);
    if (!text)
        return false;
    return pc_rate_parse(pc_bytes_str(text), &p->rate, &why)
               ? ld_yaml_fail(y, node, key, "'%s': %s", text, why.text)
               : true;
}

static bool read_algorithm(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_wl_policy *p = to;
    const char *text = ld_yaml_text(y, key, node);
    if (!text)
        return false;
    p->window = strcmp(text, "window") == 0;
    return p->window || strcmp(text, "gcra") == 0
               ? true
               : ld_yaml_fail(y, node, key, "'%s' is neither gcra nor window", text);
}

static bool read_policy(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    static const struct ld_yaml_row rows[] = {
        LD_ROW("name", TEXT, ROW(ld_wl_policy, name), 0, 0, true),
        LD_ROW_READ("rate", read_rate, true),
        LD_ROW("burst", COUNT, ROW(ld_wl_policy, burst), 0, 1e9, false),
        LD_ROW_READ("algorithm", read_algorithm, false),
    };
    struct ld_workload *w = to;
    struct ld_wl_policy *p = &w->policies[w->policy_count];
    if (!ld_yaml_mapping(y, key, node, rows, PC_COUNT(rows), p))
        return false;
    w->policy_count++;
    return true;
}

static bool read_policies(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    return ld_yaml_list(y, key, node, LD_WL_POLICIES_MAX, read_policy, to);
}

static bool read_flag(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    static const struct ld_yaml_row rows[] = {
        LD_ROW("key", TEXT, ROW(ld_wl_flag, key), 0, 0, true),
        LD_ROW("value", TEXT, ROW(ld_wl_flag, value), 0, 0, false),
    };
    struct ld_workload *w = to;
    struct ld_wl_flag *f = &w->flags[w->flag_count];
    if (!ld_yaml_mapping(y, key, node, rows, PC_COUNT(rows), f))
        return false;
    w->flag_count++;
    return true;
}

static bool read_flags(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    return ld_yaml_list(y, key, node, LD_WL_FLAGS_MAX, read_flag, to);
}

/* ---- Phases. ---- */

/* A mapping of requests' names to numbers. */
static bool read_by_name(struct ld_yaml *y, const char *key, yaml_node_t *node, double *to)
{
    const struct ld_workload *w =
        (const struct ld_workload *)PC_CONTAINER_OF(y->texts, struct ld_workload, texts);
    struct ld_yaml_row rows[LD_WL_REQUESTS_MAX];
    for (unsigned i = 0; i < w->request_count; i++)
        rows[i] = (struct ld_yaml_row){.key = w->requests[i].name,
                                       .type = LD_YAML_NUMBER,
                                       .offset = i * sizeof(double),
                                       .max = WEIGHT_MAX};
    return ld_yaml_mapping(y, key, node, rows, w->request_count, to);
}

static bool read_phase_weights(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    return read_by_name(y, key, node, ((struct ld_wl_phase *)to)->weight);
}

static bool read_phase_rates(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    return read_by_name(y, key, node, ((struct ld_wl_phase *)to)->per_s);
}

static bool read_phase(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    static const struct ld_yaml_row rows[] = {
        LD_ROW("name", TEXT, ROW(ld_wl_phase, name), 0, 0, true),
        LD_ROW("part", NUMBER, ROW(ld_wl_phase, part), 0.001, 1e6, true),
        LD_ROW("rate", NUMBER, ROW(ld_wl_phase, rate), 0.001, 1000, false),
        LD_ROW_READ("weights", read_phase_weights, false),
        LD_ROW_READ("per_second", read_phase_rates, false),
    };
    struct ld_workload *w = to;
    struct ld_wl_phase *p = &w->phases[w->phase_count];
    p->rate = 1;
    for (unsigned i = 0; i < LD_WL_REQUESTS_MAX; i++)
        p->weight[i] = p->per_s[i] = NAN;
    if (!ld_yaml_mapping(y, key, node, rows, PC_COUNT(rows), p))
        return false;
    w->phase_count++;
    return true;
}

static bool read_phases(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    const struct ld_workload *w = to;
    if (w->request_count == 0)
        return ld_yaml_fail(y, node, key, "must come after 'requests', whose names it uses");
    return ld_yaml_list(y, key, node, LD_WL_PHASES_MAX, read_phase, to);
}

/* ---- The file. ---- */

static bool read_protocol(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    struct ld_workload *w = to;
    const char *text = ld_yaml_text(y, key, node);
    if (!text)
        return false;
    w->resp = strcmp(text, "resp") == 0;
    return w->resp || strcmp(text, "http") == 0
               ? true
               : ld_yaml_fail(y, node, key, "'%s' is neither http nor resp", text);
}

static bool read_arrival(struct ld_yaml *y, const char *key, yaml_node_t *node, void *to)
{
    static const struct ld_yaml_row rows[] = {
        LD_ROW("rate", NUMBER, ROW(ld_workload, rate_per_s), 0.001, RATE_MAX, false),
        LD_ROW("connections", COUNT, ROW(ld_workload, connections), 1, 65536, false),
        LD_ROW("pipeline", COUNT, ROW(ld_workload, pipeline), 1, 1024, false),
        LD_ROW("idle", COUNT, ROW(ld_workload, idle), 0, 65536, false),
        LD_ROW("requests_per_connection", COUNT, WL_ROW(requests_per_connection), 1, 1e9, false),
    };
    return ld_yaml_mapping(y, key, node, rows, PC_COUNT(rows), to);
}

static const struct ld_yaml_row rows[] = {
    LD_ROW("name", TEXT, ROW(ld_workload, name), 0, 0, true),
    LD_ROW("description", TEXT, ROW(ld_workload, description), 0, 0, true),
    LD_ROW_READ("protocol", read_protocol, false),
    LD_ROW("issuer", TEXT, ROW(ld_workload, issuer), 0, 0, false),
    LD_ROW_READ("arrival", read_arrival, false),
    LD_ROW_READ("tokens", read_tokens, false),
    LD_ROW_READ("keys", read_keys, false),
    LD_ROW_READ("policies", read_policies, false),
    LD_ROW_READ("flags", read_flags, false),
    LD_ROW_READ("requests", read_requests, true),
    LD_ROW_READ("phases", read_phases, false),
};

/* Names of policies and flags become indexes. */
static bool resolve(struct ld_yaml *y, struct ld_workload *w, struct ld_wl_request *r)
{
    const yaml_node_t *root = ld_yaml_root(y);
    for (unsigned i = 0; r->policy_name && i < w->policy_count; i++)
        if (strcmp(w->policies[i].name, r->policy_name) == 0)
            r->policy = (int)i;
    for (unsigned i = 0; r->flag_name && i < w->flag_count; i++)
        if (strcmp(w->flags[i].key, r->flag_name) == 0)
            r->flag = (int)i;
    if (r->policy_name && r->policy < 0)
        return ld_yaml_fail(y, root, r->name, "policy '%s' is not among the policies",
                            r->policy_name);
    if (r->flag_name && r->flag < 0)
        return ld_yaml_fail(y, root, r->name, "flag '%s' is not among the flags", r->flag_name);
    return true;
}

static bool check(struct ld_yaml *y, struct ld_workload *w)
{
    const yaml_node_t *root = ld_yaml_root(y);
    double weight = 0, parts = 0;
    for (unsigned i = 0; i < w->request_count; i++) {
        struct ld_wl_request *r = &w->requests[i];
        const char *missing = missing_of(w, r);
        if (missing)
            return ld_yaml_fail(y, root, r->name, "%s", missing);
        if (!resolve(y, w, r))
            return false;
        if (!r->has_shares)
            memcpy(r->shares, w->shares, sizeof r->shares);
        weight += r->weight;
    }
    for (unsigned i = 0; i < w->phase_count; i++)
        parts += w->phases[i].part;
    if (weight <= 0)
        return ld_yaml_fail(y, root, "requests", "none has a weight");
    if (w->phase_count && w->rate_per_s == 0)
        return ld_yaml_fail(y, root, "phases", "need arrival.rate: the loop is open");
    for (unsigned i = 0; i < w->phase_count; i++)
        w->phases[i].part /= parts;
    return is_name(w->name) ? true : ld_yaml_fail(y, root, "name", "'%s' is none", w->name);
}

bool ld_workload_read(const char *file, struct pc_bytes text, struct ld_workload **ret_workload,
                      struct ld_problem *problem)
{
    struct ld_yaml y;
    struct ld_workload *w = calloc(1, sizeof *w);
    if (!w)
        return ld_problem_set(problem, "out of memory");
    w->issuer = "https://load.portcullis.example";
    w->lifetime_s = LIFETIME_S;
    w->shares[LD_TOKEN_GOOD] = 1;
    w->file = ld_text_keep(&w->texts, file, strlen(file));
    if (text.n > LD_WL_FILE_MAX || !w->file) {
        ld_workload_free(w);
        return ld_problem_set(problem, "%s: larger than %d bytes", file, LD_WL_FILE_MAX);
    }
    if (!ld_yaml_open(&y, file, text, &w->texts, problem)) {
        ld_workload_free(w);
        return false;
    }
    bool ok =
        ld_yaml_mapping(&y, "workload", ld_yaml_root(&y), rows, PC_COUNT(rows), w) && check(&y, w);
    ld_yaml_close(&y);
    if (ok)
        *ret_workload = w;
    else
        ld_workload_free(w);
    return ok;
}

void ld_workload_free(struct ld_workload *w)
{
    if (!w)
        return;
    ld_texts_free(w->texts);
    free(w);
}
