/* SPDX-License-Identifier: Apache-2.0
 * The whole decision over real tables: the order of its steps, what each refuses with, what is
 * charged and what is given back, shadow and sensitive routes, and that explaining changes
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/api/check.h"
#include "support/writer_rig.h"

static const char config[] =
    "routes:\n"
    "  - {name: any, path: \"\", maintenance_exempt: true}\n"
    "  - {name: orders, path: /orders/*, methods: [GET], scopes: [read, list], limits: [by-sub]}\n"
    "  - {name: staff, path: /staff, roles: [editor, \"team lead\"]}\n"
    "  - {name: open, path: /open, authentication: none, limits: [by-ip]}\n"
    "  - {name: maybe, path: /maybe, authentication: optional, limits: [by-ip, by-sub]}\n"
    "  - {name: two, path: /two, limits: [by-sub, by-ip, small]}\n"
    "  - {name: office, path: /office, ip_sets: [office], authentication: none}\n"
    "  - {name: shadow, path: /shadow, shadow: true, scopes: [nobody], limits: [by-sub]}\n"
    "  - {name: shadow-limit, path: /shadow-limit, limits: [watched]}\n"
    "  - {name: flags, path: /flags, authentication: none, flags: [cache.ttl_seconds, no.such]}\n"
    "limit_policies:\n"
    "  - {name: by-sub, rate: 3/min, key: [subject], algorithm: window}\n"
    "  - {name: by-ip, rate: 5/min, key: [ip], algorithm: window}\n"
    "  - {name: small, rate: 1/min, key: [session], algorithm: window}\n"
    "  - {name: watched, rate: 1/min, key: [subject], shadow: true, algorithm: window}\n"
    "  - {name: by-key, rate: 2/min, key: [\"header:x-api-key\"], algorithm: window}\n"
    "ip_sets:\n"
    "  - {name: global, deny: [203.0.113.0/24]}\n"
    "  - {name: office, default: deny, allow: [192.0.2.0/24]}\n";

static struct rig rig;
static struct rig_core core;
static struct pc_decision d;

static int set_up(void **state)
{
    (void)state;
    pc_rcu_thread_register();
    rig_init(&rig, sim_disk_new(1));
    assert_int_equal(rig_open(&rig), 0);
    rig_core_init(&core, &rig);
    rig_install(&rig, config);
    core.core.now_ms = RIG_WALL_MS;
    core.core.now_ns = INT64_C(1000000000000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct sim_disk *disk = rig.disk;
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    pc_rcu_thread_unregister();
    return 0;
}

/* ---- asking ---- */

static const char *token_with(const char *sub, const char *more)
{
    static char text[RIG_TOKEN_MAX];
    static unsigned serial;
    char jti[32];
    snprintf(jti, sizeof jti, "jti-%u", serial++);
    return rig_token(&rig, 0, sub, jti, RIG_WALL_MS / 1000, more, text);
}

static struct pc_question question(const char *path, const char *token)
{
    return (struct pc_question){
        .view = pc_server_view(&core.server),
        .token = pc_bytes_str(token),
        .client = {.family = 4, .b = {192, 0, 2, 1}},
        .said = PC_ROUTE_NEEDS_PATH | PC_ROUTE_NEEDS_HOST | PC_ROUTE_NEEDS_METHOD,
        .method = PC_LIT("GET"),
        .host = PC_LIT("h"),
        .path = pc_bytes_str(path),
    };
}

static enum pc_decision_code decide(const struct pc_question *q)
{
    pc_decision_make(&core.worker, q, &d);
    assert_true(d.allow == (d.code == PC_DECISION_OK) || (d.route && d.route->shadow));
    return d.code;
}

static enum pc_decision_code ask(const char *path, const char *token)
{
    struct pc_question q = question(path, token);
    return decide(&q);
}

static void assert_route(const char *name)
{
    assert_non_null(d.route);
    assert_true(pc_bytes_eq_str(d.route->name, name));
}

/* What is left of a policy for a key, without changing it. */
static int64_t left(const char *policy, const char *key)
{
    uint8_t text[PC_LIMIT_KEY_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_charge c;
    struct pc_limit_user user = {.now_ns = core.core.now_ns, .now_ms = core.core.now_ms};
    const struct pc_settings *s = pc_server_settings(&core.server);
    const struct pc_policy *p = pc_policy_find(s->policies, pc_bytes_str(policy));
    assert_non_null(p);
    assert_int_equal(pc_charge_of_key(&c, p, 0, pc_bytes_str(key), &b), 0);
    pc_charges_peek(&c, 1, &user);
    return c.result.remaining;
}

static uint64_t counted(enum pc_decision_code code)
{
    return pc_metric_get(core.worker.metrics, PC_M_DECISIONS + code);
}

#define READ ",\"scope\":\"read list\""

/* ---- the steps ---- */

static void an_unreadable_client_ends_it_first(void **state)
{
    (void)state;
    struct pc_question q = question("/orders/1", "");
    q.client_malformed = true;
    assert_int_equal(decide(&q), PC_DECISION_CLIENT_ADDRESS_INVALID);
    assert_null(d.route);
    assert_int_equal(counted(PC_DECISION_CLIENT_ADDRESS_INVALID), 1);
}

static void a_request_that_does_not_tell_enough_is_refused(void **state)
{
    (void)state;
    struct pc_question q = question("/orders/1", "");
    q.said = PC_ROUTE_NEEDS_PATH;
    assert_int_equal(decide(&q), PC_DECISION_ORIGINAL_REQUEST_MISSING);
    q.said = PC_ROUTE_NEEDS_METHOD;
    assert_int_equal(decide(&q), PC_DECISION_ORIGINAL_REQUEST_MISSING);
    /* No rule asks for the host. */
    q.said = PC_ROUTE_NEEDS_METHOD | PC_ROUTE_NEEDS_PATH;
    assert_int_equal(decide(&q), PC_TOKEN_MISSING);
    /* A named route needs none. */
    q.said = 0;
    q.route = pc_settings_route(q.view->settings, PC_LIT("open"));
    assert_int_equal(decide(&q), PC_DECISION_OK);
}

static int install_task(struct pc_writer *w, struct pc_job *job)
{
    return pc_writer_install(w, job->task_arg);
}

static void set_flag(const char *text)
{
    struct pc_install in = {0};
    assert_int_equal(pc_flag_layer_parse_file_text(pc_bytes_str(text), &in.flag_file, NULL), 0);
    assert_int_equal(rig_run(&rig, rig_task(install_task, &in), NULL), 0);
}

static void maintenance_refuses_all_but_exempt_routes(void **state)
{
    (void)state;
    set_flag("{\"maintenance.mode_enabled\":true}");
    assert_int_equal(ask("/open", ""), PC_DECISION_MAINTENANCE);
    assert_int_equal(d.retry_after_s, PC_MAINTENANCE_RETRY_S);
    assert_int_equal(ask("/orders/1", token_with("u", READ)), PC_DECISION_MAINTENANCE);
    assert_int_equal(ask("/elsewhere", token_with("u", "")), PC_DECISION_OK);
    assert_route("any");
    assert_int_equal(ask("/shadow", ""), PC_DECISION_MAINTENANCE);
    assert_false(d.allow); /* shadow mode is about the route's own demands */
    set_flag("{}");
    assert_int_equal(ask("/open", ""), PC_DECISION_OK);
}

static void ip_sets_come_before_limits_and_token(void **state)
{
    (void)state;
    struct pc_question q = question("/open", "");
    q.client = (struct pc_ip){
        .family = 4, .b = {203, 0, 113, 9}
    };
    for (int i = 0; i < 10; i++)
        assert_int_equal(decide(&q), PC_DECISION_IP_DENIED);
    assert_int_equal(d.ip_set, PC_IP_GLOBAL);
    assert_int_equal(left("by-ip", "203.0.113.9"), 5);
    struct pc_ip banned = q.client;
    q = question("/shadow", "");
    q.client = banned;
    assert_int_equal(decide(&q), PC_DECISION_IP_DENIED);
    assert_false(d.allow); /* "global" is not the route's own */
    q = question("/office", "");
    assert_int_equal(decide(&q), PC_DECISION_OK);
    q.client.b[0] = 198;
    assert_int_equal(decide(&q), PC_DECISION_IP_DENIED);
    assert_string_equal(pc_ip_sets_name(q.view->ip_sets, d.ip_set), "office");
    q.client = (struct pc_ip){0}; /* a Unix socket's peer */
    assert_int_equal(decide(&q), PC_DECISION_IP_DENIED);
}

static void limits_before_the_token_stay_charged_when_it_is_bad(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask("/two", "bad"), PC_TOKEN_MALFORMED);
    assert_int_equal(d.charge_n, 1);
    assert_int_equal(ask("/two", "bad"), PC_DECISION_RATE_LIMITED);
    assert_string_equal(d.charges[d.refused].policy->name, "by-ip");
    assert_true(d.retry_after_s >= 1 && d.retry_after_s <= 60);
    assert_int_equal(left("by-sub", "u"), 3);
}

static void what_a_refused_decision_charged_is_given_back(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX];
    snprintf(token, sizeof token, "%s", token_with("u", ",\"sid\":\"s\""));
    assert_int_equal(ask("/two", token), PC_DECISION_OK);
    assert_int_equal(d.charge_n, 3);
    assert_int_equal(left("by-ip", "192.0.2.1"), 4);
    assert_int_equal(left("by-sub", "u"), 2);
    assert_int_equal(left("small", "s"), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ask("/two", token), PC_DECISION_RATE_LIMITED);
        assert_string_equal(d.charges[d.refused].policy->name, "small");
        assert_int_equal(d.charge_n, 3);
    }
    assert_int_equal(left("by-ip", "192.0.2.1"), 4);
    assert_int_equal(left("by-sub", "u"), 2);
}

static void a_refusal_of_the_rule_charges_no_later_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask("/orders/1", token_with("u", ",\"scope\":\"read\"")),
                         PC_DECISION_INSUFFICIENT_SCOPE);
    assert_int_equal(d.charge_n, 0);
    assert_int_equal(left("by-sub", "u"), 3);
}

static void routes_demand_scopes_and_roles(void **state)
{
    (void)state;
    static const struct {
        const char *path, *claims;
        enum pc_decision_code code;
    } cases[] = {
        {"/orders/1", READ,                             PC_DECISION_OK                },
        {"/orders/1", ",\"scope\":\"list read more\"",  PC_DECISION_OK                },
        {"/orders/1", ",\"scope\":\"reader list\"",     PC_DECISION_INSUFFICIENT_SCOPE},
        {"/orders/1", "",                               PC_DECISION_INSUFFICIENT_SCOPE},
        {"/staff",    ",\"roles\":[\"x\",\"editor\"]",  PC_DECISION_OK                },
        {"/staff",    ",\"roles\":[\"team lead\"]",     PC_DECISION_OK                },
        {"/staff",    ",\"roles\":[\"team\",\"lead\"]", PC_DECISION_INSUFFICIENT_ROLE },
        {"/staff",    ",\"roles\":[\"team%20lead\"]",   PC_DECISION_INSUFFICIENT_ROLE },
        {"/staff",    "",                               PC_DECISION_INSUFFICIENT_ROLE },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        assert_int_equal(ask(cases[i].path, token_with("u", cases[i].claims)), cases[i].code);
}

/* What a token was found to meet is remembered with it, and means nothing after a reload. */
static void demands_that_changed_are_judged_anew(void **state)
{
    (void)state;
    static const char *const scopes[] = {"read", "write", "read", "list", "read, list", "read"};
    const char *token = token_with("u", ",\"scope\":\"read list\"");
    for (size_t i = 0; i < PC_COUNT(scopes); i++) {
        char yaml[256];
        bool has = strstr("read, list", scopes[i]) != NULL;
        snprintf(yaml, sizeof yaml,
                 "routes:\n  - {name: a, path: /a, scopes: [%s]}\n"
                 "  - {name: b, path: /b, scopes: [write]}\n",
                 scopes[i]);
        rig_install(&rig, yaml);
        for (int again = 0; again < 3; again++) {
            assert_int_equal(ask("/a", token),
                             has ? PC_DECISION_OK : PC_DECISION_INSUFFICIENT_SCOPE);
            assert_int_equal(ask("/b", token), PC_DECISION_INSUFFICIENT_SCOPE);
        }
    }
}

static void authentication_is_required_optional_or_none(void **state)
{
    (void)state;
    assert_int_equal(ask("/elsewhere", ""), PC_TOKEN_MISSING);
    assert_int_equal(ask("/maybe", ""), PC_DECISION_OK);
    assert_null(d.identity);
    struct pc_bytes fields = pc_decision_identity_fields(&d);
    assert_non_null(memmem(fields.p, fields.n, "X-Portcullis-Subject: \r\n", 24));
    assert_int_equal(d.charge_n, 2);
    assert_int_equal(ask("/maybe", "bad"), PC_TOKEN_MALFORMED);
    assert_int_equal(ask("/maybe", token_with("u", "")), PC_DECISION_OK);
    assert_non_null(d.identity);
    assert_int_equal(ask("/open", token_with("u", "")), PC_DECISION_OK);
    assert_null(d.identity);
    assert_int_equal(ask("/open", "bad"), PC_DECISION_OK);
}

static void a_revoked_token_is_refused_on_every_route_that_looks(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX];
    rig_token(&rig, 0, "u", "gone", RIG_WALL_MS / 1000, READ, token);
    assert_int_equal(ask("/orders/1", token), PC_DECISION_OK);
    assert_int_equal(rig_commit(&rig, PC_KIND_TOKEN, PC_OP_REVOKE, rig_issuer(0), "gone"), 0);
    assert_int_equal(ask("/orders/1", token), PC_TOKEN_REVOKED);
    assert_int_equal(ask("/maybe", token), PC_TOKEN_REVOKED);
    assert_int_equal(ask("/open", token), PC_DECISION_OK);
    assert_int_equal(left("by-sub", "u"), 2); /* charged once, when it was good */
}

static void a_shadow_route_counts_and_lets_pass(void **state)
{
    (void)state;
    assert_int_equal(ask("/shadow", token_with("u", "")), PC_DECISION_INSUFFICIENT_SCOPE);
    assert_true(d.allow);
    assert_non_null(d.identity);
    assert_int_equal(ask("/shadow", "bad"), PC_TOKEN_MALFORMED);
    assert_true(d.allow);
    assert_null(d.identity); /* a token that is no good says nothing about anybody */
    assert_int_equal(counted(PC_DECISION_OK), 2);
    assert_int_equal(counted(PC_DECISION_INSUFFICIENT_SCOPE), 0);
    assert_int_equal(
        pc_metric_get(core.worker.metrics, PC_M_SHADOW_DECISIONS + PC_DECISION_INSUFFICIENT_SCOPE),
        1);
    uint8_t text[PC_DECISION_FIELDS_MAX + 1] = {0};
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_decision_write_fields(&b, pc_server_view(&core.server), &d);
    assert_non_null(strstr((char *)text, "X-Portcullis-Shadow: TOKEN_MALFORMED\r\n"));
    assert_non_null(strstr((char *)text, "X-Portcullis-Route: shadow\r\n"));
}

static void a_shadow_policy_only_counts(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(ask("/shadow-limit", token_with("u", "")), PC_DECISION_OK);
    assert_int_equal(d.charges[0].outcome, PC_LIMIT_SHADOWED);
}

static void flags_of_the_route_come_with_an_allow(void **state)
{
    (void)state;
    assert_int_equal(ask("/flags", ""), PC_DECISION_OK);
    uint8_t text[PC_DECISION_FIELDS_MAX + 1] = {0};
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_decision_write_fields(&b, pc_server_view(&core.server), &d);
    assert_non_null(strstr((char *)text, "X-Portcullis-Flags: {\"cache.ttl_seconds\":300}\r\n"));
}

static void flags_that_do_not_fit_are_counted(void **state)
{
    (void)state;
    static char file[20000], value[3000];
    memset(value, 'x', sizeof value - 1);
    snprintf(file, sizeof file, "{\"a\":\"%s\",\"b\":\"%s\",\"c\":1}", value, value);
    set_flag(file);
    rig_install(&rig,
                "routes:\n  - {name: f, path: \"\", authentication: none, flags: [a, b, c]}\n");
    assert_int_equal(ask("/", ""), PC_DECISION_OK);
    uint8_t text[PC_DECISION_FIELDS_MAX + 1] = {0};
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_decision_write_fields(&b, pc_server_view(&core.server), &d);
    assert_false(b.overflow);
    assert_non_null(strstr((char *)text, ",\"c\":1}\r\nX-Portcullis-Flags-Omitted: 1\r\n"));
}

static void a_sensitive_route_refuses_what_cannot_be_counted(void **state)
{
    (void)state;
    static const char text[] =
        "routes:\n"
        "  - {name: s, path: /s, authentication: none, sensitive: true, limits: [wide, tiny]}\n"
        "  - {name: o, path: /o, authentication: none, limits: [tiny]}\n"
        "limit_policies:\n"
        "  - {name: wide, rate: 1000000/s, key: [\"literal:x\"]}\n"
        "  - {name: tiny, rate: 2/h, key: [ip], max_keys: 1024}\n";
    rig_install(&rig, text);
    struct pc_question q = question("/o", "");
    unsigned full = 0;
    /* Keys that owe more than half their burst are never evicted: in the end one finds no room. */
    for (uint32_t i = 0; i < 20000 && full < 10; i++) {
        q.client = (struct pc_ip){
            .family = 4, .b = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}
        };
        q.path = PC_LIT("/o");
        for (int k = 0; k < 2; k++)
            assert_true(decide(&q) == PC_DECISION_OK || d.code == PC_DECISION_RATE_LIMITED);
        if (d.charges[0].outcome != PC_LIMIT_UNCOUNTED)
            continue;
        full++;
        int64_t before = left("wide", "x");
        q.path = PC_LIT("/s");
        assert_int_equal(decide(&q), PC_DECISION_LIMIT_UNAVAILABLE);
        assert_string_equal(d.charges[d.refused].policy->name, "tiny");
        assert_int_equal(left("wide", "x"), before); /* given back */
    }
    assert_int_equal(full, 10);
}

static void without_routes_the_default_route_decides(void **state)
{
    (void)state;
    rig_install(&rig, "");
    struct pc_question q = question("/anything", "");
    q.said = 0;
    assert_int_equal(decide(&q), PC_TOKEN_MISSING);
    assert_route("default");
    assert_int_equal(ask("/anything", token_with("u", "")), PC_DECISION_OK);
    assert_int_equal(d.charge_n, 0);
}

/* ---- checks with limits of their own, and explaining ---- */

static struct pc_check_result result;

static const char *check(const char *body, bool explain)
{
    static char answer[65536];
    struct pc_check_asker asker = {
        .client = {.family = 4, .b = {192, 0, 2, 1}},
          .explain = explain
    };
    int rc = pc_check(&core.worker, pc_bytes_str(body), &asker, &result);
    if (rc == -EINVAL)
        snprintf(answer, sizeof answer, "%s", result.refusal.code);
    else
        snprintf(answer, sizeof answer, "%.*s", (int)result.answer.n,
                 (const char *)result.answer.p);
    return answer;
}

static void assert_says(const char *answer, const char *part)
{
    if (!strstr(answer, part))
        print_error("%s\ndoes not say %s\n", answer, part);
    assert_non_null(strstr(answer, part));
}

static void a_check_may_name_route_limits_and_flags(void **state)
{
    (void)state;
    static const char body[] =
        "{\"route\":\"open\",\"request\":{\"ip\":\"198.51.100.7\",\"headers\":{\"X-API-Key\":["
        "\"k1\"]}},"
        "\"limits\":[{\"policy\":\"by-key\",\"cost\":2},{\"policy\":\"by-sub\",\"key\":\"tenant\"}]"
        ","
        "\"flags\":[\"cache.ttl_seconds\",\"no.such\",\"cache.ttl_seconds\"]}";
    const char *answer = check(body, false);
    assert_says(answer, "\"allow\":true,\"code\":\"OK\",\"status\":200");
    assert_says(answer, "{\"policy\":\"by-ip\",\"limit\":5,\"remaining\":4,");
    assert_says(answer, "{\"policy\":\"by-key\",\"limit\":2,\"remaining\":0,");
    assert_says(answer, "{\"policy\":\"by-sub\",\"limit\":3,\"remaining\":2,");
    assert_says(answer, "\"flags\":{\"cache.ttl_seconds\":300,\"no.such\":null}");
    assert_says(answer, "\"X-Portcullis-Subject\":\"\"");
    assert_says(answer, "\"X-Portcullis-Route\":\"open\"");
    answer = check(body, false);
    assert_says(answer, "\"allow\":false,\"code\":\"RATE_LIMITED\",\"status\":429");
    assert_int_equal(left("by-ip", "198.51.100.7"), 4);
    assert_int_equal(left("by-sub", "tenant"), 2);
    assert_int_equal(left("by-key", "k1"), 0);
}

static void a_check_is_refused_for_what_does_not_exist(void **state)
{
    (void)state;
    assert_says(check("{\"route\":\"nope\"}", false), "ROUTE_UNKNOWN");
    assert_says(check("{\"limits\":[{\"policy\":\"nope\"}]}", false), "POLICY_UNKNOWN");
    assert_says(check("{\"limits\":[{\"policy\":\"by-sub\",\"key\":\"\"}]}", false), "BAD_REQUEST");
    assert_says(check("{\"limits\":[{\"policy\":\"by-sub\",\"cost\":-1}]}", false), "BAD_REQUEST");
    assert_says(check("{\"request\":{\"ip\":\"1.2.3\"}}", false), "BAD_REQUEST");
    assert_says(check("{\"request\":{\"host\":\"a/b\"}}", false), "BAD_REQUEST");
    assert_says(check("{\"request\":{\"headers\":{\"a\":1}}}", false), "BAD_REQUEST");
    assert_says(check("{\"request\":{\"colour\":1}}", false), "BAD_REQUEST");
    /* Routes ask for the path and nobody told it: no weaker rule is applied. */
    assert_says(check("{}", false), "\"code\":\"ORIGINAL_REQUEST_MISSING\",\"status\":400");
}

static void explaining_charges_and_counts_nothing(void **state)
{
    (void)state;
    char body[RIG_TOKEN_MAX + 256];
    snprintf(body, sizeof body,
             "{\"token\":\"%s\",\"request\":{\"method\":\"GET\",\"path\":\"/two\"}}",
             token_with("u", ",\"sid\":\"s\""));
    for (int i = 0; i < 10; i++) {
        const char *answer = check(body, true);
        assert_says(answer, "\"allow\":true,\"code\":\"OK\",\"status\":200,\"route\":\"two\"");
        assert_says(answer,
                    "{\"step\":\"limits_before_token\",\"outcome\":\"pass\",\"detail\":\"by-ip "
                    "for 192.0.2.1: cost 1, 5 of 5 left\"}");
        assert_says(answer, "\"step\":\"limits\",\"outcome\":\"pass\",\"detail\":\"small for s");
    }
    assert_int_equal(left("by-ip", "192.0.2.1"), 5);
    assert_int_equal(counted(PC_DECISION_OK), 0);
    /* After the limit is used up explaining says so, and still changes nothing. */
    assert_says(check(body, false), "\"allow\":true");
    assert_says(check(body, true), "\"code\":\"RATE_LIMITED\",\"status\":429");
    assert_says(check(body, true), "too many");
    assert_int_equal(left("by-sub", "u"), 2);
}

static void explaining_names_the_step_that_refuses(void **state)
{
    (void)state;
    char body[RIG_TOKEN_MAX + 256];
    snprintf(body, sizeof body,
             "{\"token\":\"%s\",\"request\":{\"method\":\"GET\",\"path\":\"/orders/1\"}}",
             token_with("u", ",\"scope\":\"read\""));
    const char *answer = check(body, true);
    assert_says(answer,
                "{\"step\":\"scopes\",\"outcome\":\"refuse\",\"detail\":\"needs all of: read "
                "list; the token has: read\"}]}");
    answer =
        check("{\"request\":{\"ip\":\"203.0.113.1\",\"path\":\"/open\",\"method\":\"GET\"}}", true);
    assert_says(answer,
                "{\"step\":\"ip_set\",\"outcome\":\"refuse\",\"detail\":\"global: configured rule "
                "deny 203.0.113.0/24\"}]}");
    answer = check("{\"request\":{\"path\":\"/shadow\",\"method\":\"GET\"}}", true);
    assert_says(answer,
                "\"allow\":true,\"code\":\"OK\",\"status\":200,\"route\":\"shadow\",\"shadow\":"
                "\"TOKEN_MISSING\"");
    answer = check("{\"request\":{\"path\":\"/flags\",\"method\":\"GET\"}}", true);
    assert_says(answer,
                "{\"step\":\"flag\",\"outcome\":\"skip\",\"detail\":\"no.such: no such flag\"}");
    answer = check("{}", true);
    assert_says(answer, "did not tell: path method");
}

/* ---- settings that cannot be ---- */

static void bad_routes_are_refused_with_their_key(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"routes:\n  - {name: a, path: x}\n",                              "routes[0].path"                 },
        {"routes:\n  - {name: a, hosts: [\"h:80\"]}\n",                    "routes[0].hosts"                },
        {"routes:\n  - {name: a}\n  - {name: b}\n",                        "routes[0] (a) and routes[1] (b)"},
        {"routes:\n  - {name: a, authentication: none, scopes: [x]}\n",    "routes[0].scopes"               },
        {"routes:\n  - {name: a, authentication: optional, roles: [x]}\n", "routes[0].roles"                },
        {"routes:\n  - {name: a, scopes: ['x\"y']}\n",                     "routes[0].scopes"               },
        {"routes:\n  - {name: a, flags: ['.x']}\n",                        "routes[0].flags"                },
        {"routes:\n  - {name: a, limits: [ip, ip]}\n",                     "routes[0].limits"               },
        {"routes:\n  - {name: a, limits: [nope]}\n",                       "routes[0].limits"               },
        {"routes:\n  - {name: a, ip_sets: [nope]}\n",                      "routes[0].ip_sets"              },
        {"log:\n  decisions_reasons: [NOPE]\n",                            "log.decisions_reasons"          },
        {"limit_policies:\n  - {name: p, rate: 1/fortnight}\n",            "limit_policies[0].rate"         },
        {"ip_sets:\n  - {name: s, allow: [192.0.2.1/24]}\n",               "192.0.2.1/24"                   },
    };
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        struct pc_settings *s = NULL;
        struct pc_why why = {{0}};
        assert_true(rig_try_settings(&rig, bad[i][0], &s, &why) < 0);
        assert_says(why.text, bad[i][1]);
    }
}

static void limits_survive_a_reload_and_settings_find_their_routes(void **state)
{
    (void)state;
    assert_int_equal(ask("/open", ""), PC_DECISION_OK);
    assert_int_equal(left("by-ip", "192.0.2.1"), 4);
    rig_install(&rig, config);
    assert_int_equal(left("by-ip", "192.0.2.1"), 4);
    const struct pc_settings *s = pc_server_settings(&core.server);
    for (unsigned i = 0; i < s->config->route_count; i++) {
        struct pc_bytes name = pc_bytes_str(s->config->routes[i].name);
        assert_ptr_equal(pc_settings_route(s, name), &s->routes[i]);
    }
    assert_ptr_equal(pc_settings_route(s, PC_LIT("default")), &s->default_route);
    assert_null(pc_settings_route(s, PC_LIT("")));
    assert_null(pc_settings_route(s, PC_LIT("orders2")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_unreadable_client_ends_it_first),
        TEST(a_request_that_does_not_tell_enough_is_refused),
        TEST(maintenance_refuses_all_but_exempt_routes),
        TEST(ip_sets_come_before_limits_and_token),
        TEST(limits_before_the_token_stay_charged_when_it_is_bad),
        TEST(what_a_refused_decision_charged_is_given_back),
        TEST(a_refusal_of_the_rule_charges_no_later_limit),
        TEST(routes_demand_scopes_and_roles),
        TEST(demands_that_changed_are_judged_anew),
        TEST(authentication_is_required_optional_or_none),
        TEST(a_revoked_token_is_refused_on_every_route_that_looks),
        TEST(a_shadow_route_counts_and_lets_pass),
        TEST(a_shadow_policy_only_counts),
        TEST(flags_of_the_route_come_with_an_allow),
        TEST(flags_that_do_not_fit_are_counted),
        TEST(a_sensitive_route_refuses_what_cannot_be_counted),
        TEST(without_routes_the_default_route_decides),
        TEST(a_check_may_name_route_limits_and_flags),
        TEST(a_check_is_refused_for_what_does_not_exist),
        TEST(explaining_charges_and_counts_nothing),
        TEST(explaining_names_the_step_that_refuses),
        TEST(bad_routes_are_refused_with_their_key),
        TEST(limits_survive_a_reload_and_settings_find_their_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
