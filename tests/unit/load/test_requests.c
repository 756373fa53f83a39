/* SPDX-License-Identifier: Apache-2.0
 * What a right answer is said to be: its beginning, one of several, and text it must contain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <string.h>

#include "load/requests.h"

static bool holds(const char *expected, bool resp, int status, const char *head, const char *body)
{
    const struct ld_answer a = {.status = status,
                                .head = (const uint8_t *)head,
                                .head_bytes = (uint32_t)strlen(head),
                                .body = (const uint8_t *)body,
                                .body_bytes = body ? (uint32_t)strlen(body) : 0};
    return ld_expectation_holds(expected, strlen(expected), resp, &a);
}

static bool http(const char *expected, int status, const char *body)
{
    return holds(expected, false, status, "HTTP/1.1 200 OK", body);
}

static bool resp(const char *expected, const char *head, const char *body)
{
    return holds(expected, true, head[0], head, body);
}

static void an_answer_begins_as_expected(void **state)
{
    (void)state;
    assert_true(http("", 204, NULL) && !http("", 301, NULL) && !http("", 500, NULL));
    assert_true(http("200", 200, NULL) && !http("200", 403, NULL) && http("4", 403, NULL));
    assert_true(http("*", 500, NULL) && !http("2000", 200, NULL));
    assert_true(resp("", ":0", NULL) && !resp("", "-ERR", NULL) && resp("*", "-ERR", NULL));
    assert_true(resp(":0", ":0", NULL) && !resp(":0", ":1", NULL) && resp("*5", "*5", ":0\r\n"));
}

static void one_of_several_is_enough(void **state)
{
    (void)state;
    assert_true(http("401|503", 401, NULL) && http("401|503", 503, NULL));
    assert_false(http("401|503", 200, NULL));
    assert_true(resp("+OK|:1", ":1", NULL));
    assert_false(http("|", 200, NULL) || http("401|", 200, NULL));
}

static void text_after_a_blank_must_be_in_the_body(void **state)
{
    static const char expected[] = "200 \"allow\":true", spaced[] = "200 a b", any[] = " \"x\"";
    (void)state;
    assert_true(http(expected, 200, "{\"id\":1,\"allow\":true,\"limits\":[]}"));
    assert_false(http(expected, 200, "{\"allow\":false,\"code\":\"TOKEN_REVOKED\"}"));
    assert_false(http(expected, 503, "{\"allow\":true}") || http(expected, 200, NULL));
    assert_true(http(spaced, 200, "a b") && !http(spaced, 200, "ab") && http("200 ", 200, NULL));
    assert_true(http(any, 204, "\"x\"") && !http(any, 500, "\"x\"") && !http(any, 200, "x"));
    assert_true(http("* a|b", 500, "a|b") && !http("* a|b", 500, "a"));
}

static void of_resp_it_may_be_in_the_first_line_or_after_it(void **state)
{
    static const char allowed[] = ":0\r\n:1000\r\n:999\r\n:-1\r\n:1\r\n";
    static const char denied[] = ":1\r\n:1000\r\n:0\r\n:1\r\n:1\r\n";
    (void)state;
    assert_true(resp("*5 :-1", "*5", allowed) && !resp("*5 :-1", "*5", denied));
    assert_true(resp("-ERR max", "-ERR max number", NULL) && !resp("-ERR max", "-ERR x", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_begins_as_expected),
        cmocka_unit_test(one_of_several_is_enough),
        cmocka_unit_test(text_after_a_blank_must_be_in_the_body),
        cmocka_unit_test(of_resp_it_may_be_in_the_first_line_or_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
