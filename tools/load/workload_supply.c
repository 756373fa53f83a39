/* SPDX-License-Identifier: Apache-2.0
 * From a workload file and options to a supply. Main thread only. */
#include "load/workload_supply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/secret.h"
#include "load/mint.h"

#define KEY_CHARS 12 /* "key-00000017" */

/* ---- Tokens. ---- */

static bool uses_tokens(const struct ld_workload_supply *s)
{
    for (unsigned i = 0; i < s->w->request_count; i++)
        if (s->uses_token[i])
            return true;
    return false;
}

/* The shares of all requests together: a kind only one of them asks about is minted, too. */
static void shares_to_mint(const struct ld_workload_supply *s, double ret_share[LD_TOKEN_KINDS])
{
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++) {
        ret_share[kind] = s->w->shares[kind];
        for (unsigned i = 0; i < s->w->request_count; i++)
            if (s->uses_token[i] && ret_share[kind] == 0)
                ret_share[kind] = s->w->requests[i].shares[kind];
    }
}

static bool mint_tokens(struct ld_workload_supply *s, const struct ld_options *o,
                        struct ld_problem *problem)
{
    struct ld_key *key = NULL;
    double share[LD_TOKEN_KINDS];
    if (!ld_key_load(o->key_file, NULL, &key, problem))
        return false;
    struct ld_mint_plan plan = {.key = key,
                                .issuer = o->issuer ? o->issuer : s->w->issuer,
                                .scopes = s->w->scopes,
                                .roles = s->w->roles,
                                .now_ms = pc_clock_wall_ms(),
                                .lifetime_s = s->w->lifetime_s,
                                .seed = o->seed};
    shares_to_mint(s, share);
    ld_mint_split(s->w->tokens.count, share, plan.count_of_kind);
    const int64_t began_ns = pc_clock_mono_ns();
    bool ok = ld_mint(&plan, NULL, &s->tokens, problem);
    ld_key_free(key);
    if (ok && !o->quiet)
        fprintf(stderr, "minted %llu tokens in %.1f s\n", (unsigned long long)s->tokens.count,
                (double)(pc_clock_mono_ns() - began_ns) * 1e-9);
    return ok;
}

static bool check_tokens(const struct ld_workload_supply *s, const struct ld_options *o,
                         struct ld_problem *problem)
{
    const double end_s = (double)pc_clock_wall_ms() / 1000 + o->warmup_s + o->duration_s;
    for (unsigned i = 0; i < s->w->request_count; i++)
        for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
            if (s->uses_token[i] && s->w->requests[i].shares[kind] > 0 &&
                s->tokens.of_kind[kind] == 0)
                return ld_problem_set(problem, "%s: '%s' needs tokens that are %s; there are none",
                                      o->tokens_file ? o->tokens_file : s->w->file,
                                      s->w->requests[i].name,
                                      ld_token_kind_name((enum ld_token_kind)kind));
    if ((double)s->tokens.expires_at_s <= end_s)
        return ld_problem_set(problem, "%s: its good tokens expire before the run would end",
                              o->tokens_file ? o->tokens_file : s->w->file);
    return true;
}

static bool get_tokens(struct ld_workload_supply *s, const struct ld_options *o,
                       struct ld_problem *problem)
{
    if (!uses_tokens(s))
        return true;
    if (s->w->tokens.count == 0)
        return ld_problem_set(problem, "%s: requests use {token}; 'tokens' is missing", s->w->file);
    if (!o->tokens_file && !o->key_file)
        return ld_problem_set(problem,
                              "workload %s needs tokens: give --key FILE and --issuer "
                              "NAME, or --tokens FILE",
                              s->w->name);
    bool ok = o->tokens_file ? ld_tokens_open(o->tokens_file, &s->tokens, problem)
                             : mint_tokens(s, o, problem);
    if (!ok || !check_tokens(s, o, problem))
        return false;
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        if (s->tokens.of_kind[kind])
            ld_zipf_init(&s->of_kind[kind], s->tokens.of_kind[kind], s->w->tokens.exponent);
    return true;
}

/* ---- Requests. ---- */

static bool make_template(struct ld_workload_supply *s, const struct ld_options *o, unsigned i,
                          struct ld_problem *problem)
{
    const struct ld_wl_request *r = &s->w->requests[i];
    struct ld_problem why = {""};
    const struct ld_http_form form = {.method = r->method,
                                      .authority =
                                          o->host_header ? o->host_header : o->target.authority,
                                      .path = r->path,
                                      .body = r->body,
                                      .fields = r->fields,
                                      .field_count = r->field_count};
    bool ok = s->w->resp ? ld_template_resp(r->words, r->word_count, &s->templates[i], &why)
                         : ld_template_http(&form, &s->templates[i], &why);
    if (!ok)
        return ld_problem_set(problem, "%s: request '%s': %s", s->w->file, r->name, why.text);
    const struct ld_template *t = s->templates[i];
    s->uses_token[i] = ld_template_uses(t, LD_VAR_TOKEN) || ld_template_uses(t, LD_VAR_JTI) ||
                       ld_template_uses(t, LD_VAR_SUB);
    s->uses_key[i] = ld_template_uses(t, LD_VAR_KEY);
    s->uses_number[i] = ld_template_uses(t, LD_VAR_N);
    s->uses_address[i] = ld_template_uses(t, LD_VAR_IP);
    if (s->uses_key[i] && s->w->keys.count == 0)
        return ld_problem_set(problem, "%s: request '%s' uses {key}; 'keys' is missing", s->w->file,
                              r->name);
    if (r->ask == LD_ASK_REVOKE && !ld_template_uses(t, LD_VAR_JTI))
        return ld_problem_set(problem, "%s: request '%s' must name the token by {jti}", s->w->file,
                              r->name);
    if (r->ask == LD_ASK_SET_FLAG && !ld_template_uses(t, LD_VAR_VALUE))
        return ld_problem_set(problem, "%s: request '%s' must set {value}", s->w->file, r->name);
    return true;
}

static bool needs_admin(const struct ld_workload_supply *s)
{
    bool needed = ld_setup_needs_admin(s->w, &s->tokens);
    for (unsigned i = 0; i < s->w->request_count; i++)
        needed = needed || ld_template_uses(s->templates[i], LD_VAR_ADMIN);
    return needed;
}

static bool get_admin(struct ld_workload_supply *s, const struct ld_options *o,
                      struct ld_problem *problem)
{
    struct pc_secret secret;
    struct pc_why why = {""};
    if (!o->admin_token_file)
        return needs_admin(s) ? ld_problem_set(problem, "workload %s needs --admin-token-file FILE",
                                               s->w->name)
                              : true;
    if (pc_secret_read(o->admin_token_file, &secret, &why))
        return ld_problem_set(problem, "%s", why.text);
    bool fits = secret.n < sizeof s->admin && !memchr(secret.bytes, '\n', secret.n);
    if (fits)
        memcpy(s->admin, secret.bytes, secret.n);
    pc_wipe(&secret, sizeof secret);
    return fits ? true
                : ld_problem_set(problem, "%s: no administrator's token", o->admin_token_file);
}

static void bound_requests(struct ld_workload_supply *s)
{
    const size_t max[LD_VARS] = {[LD_VAR_TOKEN] = s->tokens.stride,
                                 [LD_VAR_JTI] = LD_JTI_CHARS,
                                 [LD_VAR_SUB] = LD_SUB_MAX,
                                 [LD_VAR_KEY] = KEY_CHARS,
                                 [LD_VAR_IP] = 16,
                                 [LD_VAR_N] = 20,
                                 [LD_VAR_ADMIN] = strlen(s->admin),
                                 [LD_VAR_VALUE] = 20,
                                 [LD_VAR_ISSUER] = LD_ISSUER_MAX};
    for (unsigned i = 0; i < s->w->request_count; i++)
        s->base.request_bytes_max = (uint32_t)pc_max_u64(s->base.request_bytes_max,
                                                         ld_template_bound(s->templates[i], max));
}

/* ---- Classes. ---- */

static int add_class(struct ld_workload_supply *s, const char *name, const char *help,
                     bool in_total, bool is_measure)
{
    const unsigned i = s->base.class_count++;
    PC_ASSERT(i < LD_CLASSES_MAX);
    s->classes[i] = (struct ld_class){name, help, in_total, is_measure};
    return (int)i;
}

static void make_classes(struct ld_workload_supply *s)
{
    bool revokes = false;
    for (unsigned i = 0; i < s->w->request_count; i++) {
        const struct ld_wl_request *r = &s->w->requests[i];
        add_class(s, r->name, r->help, !r->outside, false);
        revokes = revokes || r->ask == LD_ASK_REVOKE;
    }
    s->base.classes = s->classes;
    s->probe = s->seen = s->everywhere = -1;
    if (!revokes)
        return;
    s->probe = add_class(
        s, "probe", "a decision about a token just revoked, one on each connection", false, false);
    s->seen = add_class(s, "revocation-seen",
                        "from the acknowledged revocation to its first refusal on a connection",
                        false, true);
    s->everywhere =
        add_class(s, "revocation-seen-everywhere", "the same, on the last connection", false, true);
}

/* ---- The report. ---- */

static json_t *describe_tokens(const struct ld_workload_supply *s)
{
    json_t *tokens = json_object();
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        if (s->tokens.of_kind[kind])
            json_object_set_new(tokens, ld_token_kind_name((enum ld_token_kind)kind),
                                json_integer((json_int_t)s->tokens.of_kind[kind]));
    return json_pack("{s:s, s:f, s:I, s:o}", "issuer", s->tokens.issuer, "zipf_exponent",
                     s->w->tokens.exponent, "token_bytes",
                     (json_int_t)(s->tokens.count ? ld_tokens_at(&s->tokens, 0).text.n : 0),
                     "count", tokens);
}

static json_t *describe_requests(struct ld_workload_supply *s)
{
    json_t *requests = json_object();
    for (unsigned i = 0; i < s->w->request_count; i++)
        json_object_set_new(requests, s->w->requests[i].name,
                            json_pack("{s:s, s:I, s:I, s:I}", "ask",
                                      ld_ask_name(s->w->requests[i].ask), "allowed",
                                      (json_int_t)atomic_load(&s->allowed[i]), "refused",
                                      (json_int_t)atomic_load(&s->refused[i]), "tolerated",
                                      (json_int_t)atomic_load(&s->tolerated[i])));
    return requests;
}

static json_t *describe(struct ld_supply *base)
{
    struct ld_workload_supply *s = (struct ld_workload_supply *)base;
    json_t *all = json_pack("{s:s, s:s, s:s, s:o}", "name", s->w->name, "file", s->w->file,
                            "description", s->w->description, "requests", describe_requests(s));
    if (s->tokens.count)
        json_object_set_new(all, "tokens", describe_tokens(s));
    if (s->w->keys.count)
        json_object_set_new(all, "keys",
                            json_pack("{s:I, s:f, s:f}", "count", (json_int_t)s->w->keys.count,
                                      "zipf_exponent", s->w->keys.exponent, "hot_share",
                                      s->w->keys.hot_share));
    json_object_set_new(all, "left_out",
                        json_pack("{s:I, s:I}", "probes",
                                  (json_int_t)atomic_load(&s->probes_left_out), "paced",
                                  (json_int_t)atomic_load(&s->paced_left_out)));
    if (s->probe >= 0)
        json_object_set_new(all, "revocations",
                            json_integer((json_int_t)atomic_load(&s->oracle.event_count)));
    return all;
}

/* ---- Opening and closing. ---- */

static void close_supply(struct ld_supply *base)
{
    struct ld_workload_supply *s = (struct ld_workload_supply *)base;
    for (unsigned i = 0; i < LD_WL_REQUESTS_MAX; i++)
        ld_template_free(s->templates[i]);
    ld_oracle_free(&s->oracle);
    ld_tokens_close(&s->tokens);
    ld_workload_free(s->owned);
    pc_wipe(s->admin, sizeof s->admin);
    free(s);
}

static const struct ld_supply_ops supply_ops = {ld_workload_source, describe, close_supply};

/* What the file says where the command line is silent. */
static bool take_arrival(const struct ld_workload_supply *s, struct ld_options *o,
                         struct ld_problem *problem)
{
    const struct ld_workload *w = s->w;
    if (w->connections && !ld_options_given(o, "connections"))
        o->connections = (unsigned)w->connections;
    if (w->pipeline && !ld_options_given(o, "pipeline"))
        o->pipeline = (unsigned)w->pipeline;
    if (w->rate_per_s > 0 && !ld_options_given(o, "rate"))
        o->rate_per_s = w->rate_per_s;
    if (o->target.resp != w->resp)
        return ld_problem_set(problem, "workload %s speaks %s; give such a --url", w->name,
                              w->resp ? "resp://" : "http://");
    return ld_options_settle(o, problem);
}

static bool prepare_server(struct ld_workload_supply *s, const struct ld_options *o,
                           struct ld_problem *problem)
{
    struct ld_options there = *o;
    const struct ld_setup setup = {.options = &there,
                                   .w = s->w,
                                   .tokens = &s->tokens,
                                   .admin = pc_bytes_str(s->admin),
                                   .templates = s->templates};
    if (o->admin_url) {
        there.url = o->admin_url;
        there.unix_path = NULL;
        if (!ld_target_parse(o->admin_url, &there.target, problem))
            return false;
    }
    return ld_setup_run(&setup, problem);
}

static bool init_oracle(struct ld_workload_supply *s, struct ld_problem *problem)
{
    uint64_t counted[LD_WL_REQUESTS_MAX] = {0};
    for (unsigned i = 0; i < s->w->request_count; i++)
        if (s->w->requests[i].policy >= 0)
            counted[i] = s->uses_key[i] ? s->w->keys.count : s->tokens.count;
    return ld_oracle_init(&s->oracle, s->w, &s->tokens, counted, problem);
}

static bool open_supply(struct ld_workload_supply *s, struct ld_options *o,
                        struct ld_problem *problem)
{
    if (!ld_workload_load(o->workload, &s->owned, problem))
        return false;
    s->w = s->owned;
    s->base.name = s->w->name;
    s->base.resp = s->w->resp;
    s->base.idle_connections = (unsigned)s->w->idle;
    if (!take_arrival(s, o, problem))
        return false;
    s->base.has_profile = s->w->phase_count > 0;
    s->rate_per_s = o->rate_per_s;
    for (unsigned i = 0; i < s->w->request_count; i++)
        if (!make_template(s, o, i, problem))
            return false;
    if (s->w->keys.count)
        ld_zipf_init(&s->keys, s->w->keys.count, s->w->keys.exponent);
    make_classes(s);
    if (!get_tokens(s, o, problem) || !get_admin(s, o, problem) || !init_oracle(s, problem))
        return false;
    s->admin_text = pc_bytes_str(s->admin);
    s->issuer_text = pc_bytes_str(s->tokens.issuer);
    bound_requests(s);
    return prepare_server(s, o, problem);
}

struct ld_supply *ld_workload_supply(struct ld_options *o, struct ld_problem *problem)
{
    struct ld_workload_supply *s = calloc(1, sizeof *s);
    if (!s) {
        ld_problem_set(problem, "out of memory");
        return NULL;
    }
    s->base.ops = &supply_ops;
    if (open_supply(s, o, problem))
        return &s->base;
    close_supply(&s->base);
    return NULL;
}
