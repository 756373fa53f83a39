/* SPDX-License-Identifier: Apache-2.0
 * Workload files: what they come to, and that every mistake is named with file, line and key. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "load/workload.h"

#define HEAD "name: w\ndescription: d\n"
#define ASK  "requests:\n  - { name: a, ask: auth, weight: 1, path: /v1/auth }\n"

static struct ld_workload *read_text(const char *text)
{
    struct ld_workload *w = NULL;
    struct ld_problem problem = {""};
    if (!ld_workload_read("f.yaml", pc_bytes_str(text), &w, &problem))
        fail_msg("%s", problem.text);
    return w;
}

static void assert_refused(const char *text, const char *says)
{
    struct ld_workload *w = NULL;
    struct ld_problem problem = {""};
    assert_false(ld_workload_read("f.yaml", pc_bytes_str(text), &w, &problem));
    if (!strstr(problem.text, says))
        fail_msg("'%s' does not say '%s'", problem.text, says);
    assert_memory_equal(problem.text, "f.yaml:", 7);
}

static void the_smallest_file_has_usual_values(void **state)
{
    (void)state;
    struct ld_workload *w = read_text(HEAD ASK);
    assert_string_equal(w->name, "w");
    assert_int_equal(w->request_count, 1);
    assert_string_equal(w->requests[0].method, "GET");
    assert_int_equal(w->requests[0].policy, -1);
    assert_true(w->shares[LD_TOKEN_GOOD] == 1 && w->requests[0].shares[LD_TOKEN_GOOD] == 1);
    assert_false(w->resp);
    assert_int_equal(w->lifetime_s, 86400);
    ld_workload_free(w);
}

static void everything_a_file_may_say_is_read(void **state)
{
    (void)state;
    struct ld_workload *w = read_text(
        HEAD
        "issuer: i\n"
        "tokens: { count: 7, distribution: zipf, exponent: 1.5, lifetime: 15m, prime: true,\n"
        "          scopes: a b, roles: r, shares: { good: 1, expired: 3 } }\n"
        "keys: { count: 9, hot_share: 0.25 }\n"
        "policies:\n  - { name: p, rate: 3/s, burst: 5, algorithm: window }\n"
        "flags:\n  - { key: f, value: \"17\" }\n"
        "requests:\n"
        "  - { name: a, ask: limit, weight: 2, policy: p, path: \"/{key}\", method: POST,\n"
        "      headers: [\"A: b\"], body: x, tolerate: [BUSY], network: 192.0.2.1, clients: 3 }\n"
        "  - { name: b, ask: flag, flag: f, per_second: 4, beside: true, to_idle: true,\n"
        "      path: /f, shares: { revoked: 1 } }\n"
        "arrival: { rate: 100, connections: 3, pipeline: 4, idle: 5, requests_per_connection: 6 }\n"
        "phases:\n  - { name: x, part: 1, rate: 2, weights: { a: 5 } }\n"
        "  - { name: y, part: 3, per_second: { b: 6 } }\n");
    assert_int_equal(w->tokens.count, 7);
    assert_true(w->tokens.exponent == 1.5 && w->prime && w->lifetime_s == 900);
    assert_true(w->keys.exponent == 0 && w->keys.hot_share == 0.25);
    assert_true(w->policies[0].window && w->policies[0].burst == 5);
    assert_int_equal(w->requests[0].policy, 0);
    assert_int_equal(w->requests[0].network, 0xc0000201);
    assert_string_equal(w->requests[0].tolerate[0], "BUSY");
    assert_int_equal(w->requests[1].flag, 0);
    assert_true(w->requests[1].outside && w->requests[1].to_idle);
    assert_true(w->requests[1].shares[LD_TOKEN_REVOKED] == 1 &&
                w->requests[1].shares[LD_TOKEN_GOOD] == 0);
    assert_true(w->requests[0].shares[LD_TOKEN_EXPIRED] == 3);
    assert_int_equal(w->requests_per_connection, 6);
    assert_true(w->phases[0].part == 0.25 && w->phases[1].part == 0.75);
    assert_true(w->phases[0].weight[0] == 5 && isnan(w->phases[0].weight[1]));
    assert_true(w->phases[1].per_s[1] == 6 && w->phases[1].rate == 1);
    ld_workload_free(w);
}

static void mistakes_are_named_with_line_and_key(void **state)
{
    (void)state;
    assert_refused("", "f.yaml:1: the file is empty");
    assert_refused("name: [", "f.yaml:");
    assert_refused("- a\n", "f.yaml:1: workload: expected a mapping");
    assert_refused(HEAD, "the key 'requests' is missing");
    assert_refused(HEAD "nmae: x\n" ASK, "f.yaml:3: workload: there is no key 'nmae'");
    assert_refused(HEAD "name: x\n" ASK, "f.yaml:3: name: given twice");
    assert_refused(HEAD "tokens:\n  count: many\n" ASK, "f.yaml:4: count: expected a whole number");
    assert_refused(HEAD "tokens:\n  count: 0\n" ASK, "f.yaml:4: count: 0 is not between 1 and");
    assert_refused(HEAD "tokens: { count: 1, distribution: pareto }\n" ASK, "'pareto' is neither");
    assert_refused(HEAD "tokens: { count: 1, exponent: 99 }\n" ASK, "exponent: 99 is not between");
    assert_refused(HEAD "tokens: { count: 1, shares: { god: 1 } }\n" ASK, "there is no key 'god'");
    assert_refused(HEAD "tokens: { count: 1, shares: { good: 0 } }\n" ASK, "no kind of token has");
    assert_refused(HEAD "tokens: { count: 1, lifetime: 10 }\n" ASK, "expected a time of at least");
    assert_refused(HEAD "keys: { count: 1, hot_share: 2 }\n" ASK, "hot_share: 2 is not between");
    assert_refused(HEAD "protocol: smtp\n" ASK, "'smtp' is neither http nor resp");
    assert_refused(HEAD "policies: [{ name: p, rate: 3 }]\n" ASK, "f.yaml:3: rate: '3':");
    assert_refused(HEAD "phases: []\n" ASK, "phases: must come after 'requests'");
    assert_refused(HEAD ASK "phases: [{ name: x, part: 1 }]\n", "phases: need arrival.rate");
    assert_refused(HEAD ASK "phases: [{ name: x, part: 1, weights: { b: 1 } }]\n", "no key 'b'");
    assert_refused("name: A b\ndescription: d\n" ASK, "name: 'A b' is none");
}

#define ONE(more) HEAD "requests:\n  - { name: a, weight: 1, " more " }\n"

static void requests_that_could_not_be_judged_are_refused(void **state)
{
    (void)state;
    assert_refused(ONE("path: /"), "the key 'ask' is missing");
    assert_refused(ONE("ask: guess"), "'guess' is none of auth, check");
    assert_refused(ONE("ask: auth"), "a: 'path' is missing");
    assert_refused(ONE("ask: limit, path: /"), "a: 'policy' is missing");
    assert_refused(ONE("ask: limit, path: /, policy: p"), "policy 'p' is not among the policies");
    assert_refused(ONE("ask: flag, path: /"), "a: 'flag' is missing");
    assert_refused(ONE("ask: flag, path: /, flag: f"), "flag 'f' is not among the flags");
    assert_refused(ONE("ask: status, path: /"), "a: 'status' is missing");
    assert_refused(ONE("ask: exists, path: /"), "exists needs protocol: resp");
    assert_refused(ONE("ask: auth, command: [GET]"), "'command' needs protocol: resp");
    assert_refused(ONE("ask: auth, path: /, to_idle: true"), "to_idle needs per_second");
    assert_refused(ONE("ask: auth, path: /, network: here"), "'here' is no IPv4 address");
    assert_refused(HEAD "requests: []\n", "requests: none has a weight");
    assert_refused(HEAD ASK "  - { name: a, ask: auth, path: / }\n",
                   "f.yaml:5: name: 'a' is given");
    assert_refused(HEAD "protocol: resp\n" ASK, "protocol resp needs 'command'");
}

static void every_shipped_file_is_read(void **state)
{
    static const char *const shipped[] = {"auth",   "bad-tokens", "connections", "flags",
                                          "limits", "mixed",      "revoke-storm"};
    (void)state;
    for (size_t i = 0; i < PC_COUNT(shipped); i++) {
        char path[512];
        struct ld_workload *w = NULL;
        struct ld_problem problem = {""};
        snprintf(path, sizeof path, "%s/tools/load/workloads/%s.yaml", PC_SOURCE_DIR, shipped[i]);
        if (!ld_workload_load(path, &w, &problem))
            fail_msg("%s", problem.text);
        assert_string_equal(w->name, shipped[i]);
        ld_workload_free(w);
    }
}

static void a_file_that_is_not_there_is_said(void **state)
{
    struct ld_workload *w = NULL;
    struct ld_problem problem;
    (void)state;
    assert_false(ld_workload_load("/nowhere/w.yaml", &w, &problem));
    assert_string_equal(problem.text, "/nowhere/w.yaml: No such file or directory");
    setenv("PORTCULLIS_WORKLOADS", PC_SOURCE_DIR "/tools/load/workloads", 1);
    assert_false(ld_workload_load("nothing", &w, &problem));
    assert_non_null(strstr(problem.text, "there is no workload 'nothing'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_smallest_file_has_usual_values),
        cmocka_unit_test(everything_a_file_may_say_is_read),
        cmocka_unit_test(mistakes_are_named_with_line_and_key),
        cmocka_unit_test(requests_that_could_not_be_judged_are_refused),
        cmocka_unit_test(every_shipped_file_is_read),
        cmocka_unit_test(a_file_that_is_not_there_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
