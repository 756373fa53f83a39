/* SPDX-License-Identifier: Apache-2.0
 * Requests with places in them: what is rendered, lengths that depend on values, and mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "load/template.h"

static uint8_t scratch[LD_TEMPLATE_SCRATCH];

static const char *render(const struct ld_template *t, const struct pc_bytes values[LD_VARS],
                          unsigned *ret_pieces)
{
    static char text[8192];
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    struct ld_request r;
    assert_true(ld_template_render(t, values, scratch, &r));
    assert_in_range(r.piece_count, 1, LD_PIECES_MAX);
    for (unsigned i = 0; i < r.piece_count; i++)
        pc_buf_put(&b, r.pieces[i].at, r.pieces[i].bytes);
    assert_false(b.overflow);
    text[b.len] = 0;
    if (ret_pieces)
        *ret_pieces = r.piece_count;
    return text;
}

static struct ld_template *http(const char *path, const char *field, const char *body)
{
    const char *const fields[] = {field};
    const struct ld_http_form form = {"POST", "host:1", path, body, fields, field ? 1 : 0};
    struct ld_template *t = NULL;
    struct ld_problem problem = {""};
    if (!ld_template_http(&form, &t, &problem))
        fail_msg("%s", problem.text);
    return t;
}

static void http_places_are_filled_in_and_the_body_is_measured(void **state)
{
    const struct pc_bytes values[LD_VARS] = {[LD_VAR_TOKEN] = PC_LIT("tok"),
                                             [LD_VAR_KEY] = PC_LIT("k-1"),
                                             [LD_VAR_N] = PC_LIT("000007")};
    (void)state;
    struct ld_template *t = http("/v1/limits/p/{key}", "Authorization: Bearer {token}",
                                 "{\"n\":{\"v\":\"{n}{token}\"}}");
    assert_string_equal(render(t, values, NULL),
                        "POST /v1/limits/p/k-1 HTTP/1.1\r\nHost: host:1\r\nAuthorization: Bearer "
                        "tok\r\nContent-Length: 23\r\n\r\n{\"n\":{\"v\":\"000007tok\"}}");
    assert_true(ld_template_uses(t, LD_VAR_N));
    assert_false(ld_template_uses(t, LD_VAR_IP));
    ld_template_free(t);
}

static void without_a_body_there_is_no_length_and_an_empty_one_has_zero(void **state)
{
    const struct pc_bytes values[LD_VARS] = {
        {NULL, 0}
    };
    (void)state;
    struct ld_template *t = http("/a", NULL, NULL);
    assert_string_equal(render(t, values, NULL), "POST /a HTTP/1.1\r\nHost: host:1\r\n\r\n");
    ld_template_free(t);
    t = http("/a", NULL, "");
    assert_string_equal(render(t, values, NULL),
                        "POST /a HTTP/1.1\r\nHost: host:1\r\nContent-Length: 0\r\n\r\n");
    ld_template_free(t);
}

static void long_runs_are_pieces_where_they_stand(void **state)
{
    char token[700];
    unsigned pieces;
    memset(token, 't', sizeof token);
    const struct pc_bytes values[LD_VARS] = {
        [LD_VAR_TOKEN] = {(uint8_t *)token, sizeof token},
          [LD_VAR_IP] = PC_LIT("10.0.0.1")
    };
    struct ld_request r;
    (void)state;
    struct ld_template *t = http("/v1/auth", "X-Forwarded-For: {ip}\tx: {token}", NULL);
    assert_true(ld_template_render(t, values, scratch, &r));
    bool found = false;
    for (unsigned i = 0; i < r.piece_count; i++)
        found = found || (r.pieces[i].at == (uint8_t *)token && r.pieces[i].bytes == sizeof token);
    assert_true(found);
    assert_non_null(strstr(render(t, values, &pieces), "10.0.0.1\tx: ttt"));
    ld_template_free(t);
}

static void many_long_values_still_fit_four_pieces(void **state)
{
    char token[100];
    memset(token, 't', sizeof token);
    const struct pc_bytes values[LD_VARS] = {
        [LD_VAR_TOKEN] = {(uint8_t *)token, sizeof token}
    };
    (void)state;
    struct ld_template *t =
        http("/{token}/{token}/{token}/{token}/{token}", NULL, "{token}{token}");
    const char *text = render(t, values, NULL);
    assert_non_null(strstr(text, "Content-Length: 200\r\n\r\ntttt"));
    assert_int_equal(strlen(text), 5 + 5 * 101 + 9 + 2 + 12 + 2 + 19 + 2 + 2 + 200);
    ld_template_free(t);
}

static void resp_words_have_their_lengths(void **state)
{
    const char *const words[] = {"CL.THROTTLE", "user:{key}", "{key}{key}", ""};
    const struct pc_bytes values[LD_VARS] = {[LD_VAR_KEY] = PC_LIT("17")};
    struct ld_template *t;
    struct ld_problem problem;
    (void)state;
    assert_true(ld_template_resp(words, 4, &t, &problem));
    assert_string_equal(render(t, values, NULL),
                        "*4\r\n$11\r\nCL.THROTTLE\r\n$7\r\nuser:17\r\n$4\r\n1717\r\n$0\r\n\r\n");
    ld_template_free(t);
}

static void braces_that_are_no_place_stand_for_themselves(void **state)
{
    const struct pc_bytes values[LD_VARS] = {[LD_VAR_TOKEN] = PC_LIT("T")};
    (void)state;
    struct ld_template *t = http("/a", NULL, "{{token}{token}{\"a\":{}}{");
    assert_non_null(strstr(render(t, values, NULL), "\r\n\r\n{token}T{\"a\":{}}{"));
    ld_template_free(t);
}

static void assert_refused(const char *path, const char *field, const char *says)
{
    const char *const fields[] = {field};
    const struct ld_http_form form = {"GET", "h", path, NULL, fields, 1};
    struct ld_template *t = NULL;
    struct ld_problem problem = {""};
    assert_false(ld_template_http(&form, &t, &problem));
    if (!strstr(problem.text, says))
        fail_msg("'%s' does not say '%s'", problem.text, says);
}

static void mistakes_are_named(void **state)
{
    char *many = malloc(LD_TEMPLATE_BYTES_MAX + 2);
    (void)state;
    assert_refused("/a/{tokn}", "a: b", "no place {tokn}");
    assert_refused("a", "a: b", "path: 'a'");
    assert_refused("/a b", "a: b", "path: '/a b'");
    assert_refused("/a", "nonsense", "headers: 'nonsense'");
    assert_refused("/a", "a: b\r\nc: d", "headers: 'a: b");
    memset(many, 'x', LD_TEMPLATE_BYTES_MAX + 1);
    many[0] = '/';
    many[LD_TEMPLATE_BYTES_MAX + 1] = 0;
    assert_refused(many, "a: b", "too long");
    for (size_t i = 0; i + 3 <= 600; i += 3)
        memcpy(many + i, "{n}", 4);
    many[0] = '/';
    many[1] = many[2] = 'x';
    assert_refused(many, "a: b", "too long");
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_places_are_filled_in_and_the_body_is_measured),
        cmocka_unit_test(without_a_body_there_is_no_length_and_an_empty_one_has_zero),
        cmocka_unit_test(long_runs_are_pieces_where_they_stand),
        cmocka_unit_test(many_long_values_still_fit_four_pieces),
        cmocka_unit_test(resp_words_have_their_lengths),
        cmocka_unit_test(braces_that_are_no_place_stand_for_themselves),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
