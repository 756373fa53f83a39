/* SPDX-License-Identifier: Apache-2.0
 * No secret that was typed stands in a report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <string.h>

#include "load/command_line.h"
#include "load/options.h"

#define TOKEN "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"

static void check(const char *text, const char *expected)
{
    char *shown = ld_without_secrets(text);
    assert_string_equal(shown, expected);
    free(shown);
}

static void credentials_are_hidden_wherever_they_stand(void **state)
{
    (void)state;
    check("Authorization: Bearer s3cret", "Authorization: [hidden]");
    check("--header=authorization:s3cret", "--header=authorization: [hidden]");
    check("Cookie: a=b", "Cookie: [hidden]");
    check("X-API-Key: k", "X-API-Key: [hidden]");
    check("--command=AUTH s3cret", "--command=AUTH [hidden]");
    check("{\"token\":\"" TOKEN "\",\"x\":1}", "{\"token\":\"[hidden]\",\"x\":1}");
    check("http://h:1/a?t=" TOKEN, "http://h:1/a?t=[hidden]");
    check("X-Token: " TOKEN, "X-Token: [hidden]");
}

static void the_rest_stays_as_it_is(void **state)
{
    (void)state;
    check("", "");
    check("--admin-token-file", "--admin-token-file");
    check("EXISTS bl:eyJ", "EXISTS bl:eyJ");
    check("Host: a.b.c", "Host: a.b.c");
    check("eyJ.a", "eyJ.a");
    check("auth-service.yaml", "auth-service.yaml");
    check("AUTHORS", "AUTHORS");
}

static void neither_command_nor_options_of_a_run_show_one(void **state)
{
    const char *argv[] = {"run",      "--url=http://127.0.0.1:1/",
                          "--header", "Authorization: Bearer s3cret",
                          "--header", "Cookie: s3cret",
                          "--body",   "{\"token\":\"" TOKEN "\"}"};
    struct ld_options o;
    struct ld_problem problem;
    bool help = false;
    (void)state;
    assert_true(ld_options_parse(&o, (int)PC_COUNT(argv), (char **)argv, &help, &problem));
    json_t *all = ld_options_to_json(&o);
    char *text = json_dumps(all, 0);
    for (int i = 0; i < 2; i++) {
        const char *shown = i ? text : o.command_line;
        assert_null(strstr(shown, "s3cret"));
        assert_null(strstr(shown, TOKEN));
        assert_non_null(strstr(shown, "[hidden]"));
    }
    assert_string_equal(o.headers.items[0], "Authorization: Bearer s3cret"); /* it is sent */
    free(text);
    json_decref(all);
    ld_options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials_are_hidden_wherever_they_stand),
        cmocka_unit_test(the_rest_stays_as_it_is),
        cmocka_unit_test(neither_command_nor_options_of_a_run_show_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
