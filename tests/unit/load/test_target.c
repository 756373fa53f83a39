/* SPDX-License-Identifier: Apache-2.0
 * URLs of targets, what a right answer is, and metrics in their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "load/requests.h"
#include "load/server_probe.h"

static void urls_are_read(void **state)
{
    static const struct {
        const char *url, *host, *authority, *path;
        unsigned port;
        bool resp;
    } rows[] = {
        {"http://127.0.0.1:8080/v1/auth?x", "127.0.0.1",   "127.0.0.1:8080", "/v1/auth?x", 8080,
         false                                                                                        },
        {"http://example.org",              "example.org", "example.org",    "/",          80,   false},
        {"http://[::1]:81/",                "::1",         "[::1]:81",       "/",          81,   false},
        {"http://[::1]/a",                  "::1",         "[::1]",          "/a",         80,   false},
        {"resp://h:6380",                   "h",           "h:6380",         "/",          6380, true },
        {"redis://h/",                      "h",           "h",              "/",          6379, true },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct ld_target t;
        struct ld_problem problem;
        assert_true(ld_target_parse(rows[i].url, &t, &problem));
        assert_string_equal(t.host, rows[i].host);
        assert_string_equal(t.authority, rows[i].authority);
        assert_string_equal(t.path, rows[i].path);
        assert_int_equal(t.port, rows[i].port);
        assert_int_equal(t.resp, rows[i].resp);
    }
}

static void what_is_no_url_is_refused(void **state)
{
    static const char *const urls[] = {
        "",
        "127.0.0.1:80",
        "https://x/",
        "http://",
        "http://:80/",
        "http:///p",
        "http://x:0/",
        "http://x:65536",
        "http://x:8o/",
        "http://u@x/",
        "http://[::1",
        "resp://x/db",
        "http://x?q",
        "http://[::1]x:1",
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(urls); i++) {
        struct ld_target t = {.port = 4711};
        struct ld_problem problem = {0};
        assert_false(ld_target_parse(urls[i], &t, &problem));
        assert_int_equal(t.port, 4711);
        assert_true(problem.text[0]);
    }
}

static void metrics_are_found_by_their_whole_name(void **state)
{
    static const char text[] = "# HELP a x\na_total 7\na{b=\"c\"} 5\na 1.5e3\nz 3";
    double value = -1;
    (void)state;
    assert_true(ld_metric_value(text, "a", &value) && value == 1500);
    assert_true(ld_metric_value(text, "a_total", &value) && value == 7);
    assert_true(ld_metric_value(text, "z", &value) && value == 3);
    assert_false(ld_metric_value(text, "b", &value));
    assert_false(ld_metric_value("a x\n", "a", &value));
    assert_true(value == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(metrics_are_found_by_their_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
