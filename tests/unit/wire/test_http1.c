/* SPDX-License-Identifier: Apache-2.0
 * What a parsed request offers: parts of the target, known fields, connection options. Which
 * messages are refused is in tests/wire/test_http1.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "edge/wire/chars.h"
#include "edge/wire/field_table.h"
#include "edge/wire/http1.h"

static struct pc_http_request req;

static const struct pc_http_request *parse(const char *text)
{
    pc_http1_reset(&req);
    int rc = pc_http1_parse(&req, &pc_http1_limits_default, (const uint8_t *)text, strlen(text));
    assert_true(rc > 0);
    assert_int_equal(rc, req.head_n);
    return &req;
}

#define assert_bytes(bytes, text) assert_true(pc_bytes_eq_str((bytes), (text)))

static void origin_form_is_cut_into_path_and_query(void **state)
{
    (void)state;
    const struct pc_http_request *r = parse("POST /a/b?c=d?e HTTP/1.1\r\nHost: h:1\r\n\r\nbody");
    assert_int_equal(r->method, PC_METHOD_POST);
    assert_bytes(pc_http_bytes(r, r->method_name), "POST");
    assert_bytes(pc_http_bytes(r, r->target), "/a/b?c=d?e");
    assert_bytes(pc_http_path(r), "/a/b");
    assert_bytes(pc_http_query(r), "c=d?e");
    assert_bytes(pc_http_authority(r), "h:1");
    assert_true(r->has_query && r->form == PC_FORM_ORIGIN && r->minor == 1);
    r = parse("GET /a? HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(r->has_query && r->query.n == 0);
    r = parse("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(r->has_query);
}

static void absolute_form_replaces_host(void **state)
{
    (void)state;
    const struct pc_http_request *r =
        parse("GET http://example.org:81/x?y HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_int_equal(r->form, PC_FORM_ABSOLUTE);
    assert_bytes(pc_http_authority(r), "example.org:81");
    assert_bytes(pc_http_path(r), "/x");
    assert_bytes(pc_http_query(r), "y");
    assert_bytes(pc_http_value(r, PC_FIELD_HOST), "other");
    r = parse("GET http://example.org HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_bytes(pc_http_path(r), "/");
}

static void asterisk_form_has_the_path_star(void **state)
{
    (void)state;
    const struct pc_http_request *r = parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(r->form, PC_FORM_ASTERISK);
    assert_bytes(pc_http_path(r), "*");
}

static void every_known_name_is_found_in_any_case(void **state)
{
    (void)state;
    for (unsigned id = PC_FIELD_OTHER + 1; id < PC_FIELD_COUNT; id++) {
        struct pc_bytes name = pc_http_field_name((enum pc_http_field_id)id);
        uint8_t upper[PC_FIELD_NAME_MAX];
        for (size_t i = 0; i < name.n; i++)
            upper[i] = name.p[i] >= 'a' ? name.p[i] & 0xdf : name.p[i];
        assert_true(name.n >= PC_FIELD_NAME_MIN && name.n <= PC_FIELD_NAME_MAX);
        assert_int_equal(pc_field_lookup(name.p, name.n), id);
        assert_int_equal(pc_field_lookup(upper, name.n), id);
        assert_int_equal(pc_http_field_of(pc_bytes_of(upper, name.n)), id);
        /* A name that differs in one byte is another field: every byte is compared. */
        for (size_t i = 0; i < name.n; i++) {
            upper[i] ^= 1;
            assert_int_not_equal(pc_field_lookup(upper, name.n), id);
            upper[i] ^= 1;
        }
    }
    assert_int_equal(pc_http_field_of(PC_LIT("x-unknown")), PC_FIELD_OTHER);
    assert_int_equal(pc_field_lookup((const uint8_t *)"a", 1), PC_FIELD_OTHER);
}

static void fields_are_trimmed_counted_and_resolved(void **state)
{
    (void)state;
    const struct pc_http_request *r =
        parse("GET / HTTP/1.1\r\nHost:h\r\nAUTHORIZATION: \t Bearer x \t\r\n"
              "X-Forwarded-For: 1.1.1.1\r\nX-Custom: c\r\n"
              "x-forwarded-for: 2.2.2.2\r\nCookie:\r\n\r\n");
    struct pc_bytes values[1];
    assert_int_equal(r->n_fields, 6);
    assert_bytes(pc_http_value(r, PC_FIELD_AUTHORIZATION), "Bearer x");
    assert_bytes(pc_http_value(r, PC_FIELD_X_FORWARDED_FOR), "1.1.1.1");
    assert_true(pc_http_repeated(r, PC_FIELD_X_FORWARDED_FOR));
    assert_false(pc_http_repeated(r, PC_FIELD_AUTHORIZATION));
    assert_int_equal(pc_http_values(r, PC_FIELD_X_FORWARDED_FOR, values, 1), 2);
    assert_bytes(values[0], "1.1.1.1");
    assert_int_equal(pc_http_values(r, PC_FIELD_ORIGIN, values, 1), 0);
    assert_bytes(pc_http_value_by_name(r, PC_LIT("x-custom")), "c");
    assert_null(pc_http_value_by_name(r, PC_LIT("x-none")).p);
    assert_non_null(pc_http_value(r, PC_FIELD_COOKIE).p);
    assert_int_equal(pc_http_value(r, PC_FIELD_COOKIE).n, 0);
    assert_null(pc_http_value(r, PC_FIELD_ORIGIN).p);
}

static void a_repeated_singleton_is_flagged(void **state)
{
    (void)state;
    const struct pc_http_request *r =
        parse("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n");
    assert_true(pc_http_repeated(r, PC_FIELD_AUTHORIZATION));
    assert_bytes(pc_http_value(r, PC_FIELD_AUTHORIZATION), "a");
}

static void keep_alive_follows_version_and_connection(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n",                                       true },
        {"GET / HTTP/1.0\r\n\r\n",                                                  false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",                        true },
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n",               false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",                 false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n",                 true },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        assert_int_equal(parse(cases[i].text)->keep_alive, cases[i].keep_alive);
}

static void framing_and_expectation_are_told(void **state)
{
    (void)state;
    const struct pc_http_request *r =
        parse("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n");
    assert_true(r->content_length == 12 && !r->chunked && r->expect_continue);
    r = parse("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(r->content_length == 0 && r->chunked && !r->expect_continue);
    r = parse("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
    assert_false(r->expect_continue); /* nobody waits to send nothing */
    r = parse("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_false(r->expect_continue);
}

static void a_request_has_started_with_its_first_byte(void **state)
{
    (void)state;
    const uint8_t *text = (const uint8_t *)"\r\nGET / HTTP/1.1\r\n";
    pc_http1_reset(&req);
    assert_false(pc_http1_started(&req));
    assert_int_equal(pc_http1_parse(&req, &pc_http1_limits_default, text, 2), 0);
    assert_false(pc_http1_started(&req));
    assert_int_equal(pc_http1_parse(&req, &pc_http1_limits_default, text, 3), 0);
    assert_true(pc_http1_started(&req));
    assert_int_equal(pc_http1_parse(&req, &pc_http1_limits_default, text, 18), 0);
    assert_true(pc_http1_started(&req));
}

static void methods_are_case_sensitive(void **state)
{
    (void)state;
    assert_int_equal(pc_http_method_of(PC_LIT("GET")), PC_METHOD_GET);
    assert_int_equal(pc_http_method_of(PC_LIT("OPTIONS")), PC_METHOD_OPTIONS);
    assert_int_equal(pc_http_method_of(PC_LIT("get")), PC_METHOD_OTHER);
    assert_int_equal(pc_http_method_of(PC_LIT("")), PC_METHOD_OTHER);
}

static void character_classes_are_those_of_the_rfcs(void **state)
{
    (void)state;
    static const char token_marks[] = "!#$%&'*+-.^_`|~", host_marks[] = "-._~";
    for (unsigned c = 0; c < 256; c++) {
        bool digit = c >= '0' && c <= '9';
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        bool token = digit || letter || (c && c < 128 && strchr(token_marks, (int)c));
        bool host = digit || letter || (c && c < 128 && strchr(host_marks, (int)c));
        bool text = c == '\t' || (c >= 0x20 && c != 0x7f);
        assert_int_equal(pc_char_is((uint8_t)c, PC_CHAR_DIGIT), digit);
        assert_int_equal(pc_char_is((uint8_t)c, PC_CHAR_HEX), hex);
        assert_int_equal(pc_char_is((uint8_t)c, PC_CHAR_TOKEN), token);
        assert_int_equal(pc_char_is((uint8_t)c, PC_CHAR_HOST), host);
        assert_int_equal(pc_char_is((uint8_t)c, PC_CHAR_TEXT), text);
    }
}

/* Every byte at every place of runs of every length up to beyond the widest step. */
static void scanners_stop_exactly_where_the_classes_end(void **state)
{
    (void)state;
    uint8_t run[200];
    for (size_t at = 0; at < sizeof run; at += at < 100 ? 1 : 7) {
        for (unsigned c = 0; c < 256; c++) {
            memset(run, 'a', sizeof run);
            run[at] = (uint8_t)c;
            const uint8_t *end = run + sizeof run;
            bool token = pc_char_is((uint8_t)c, PC_CHAR_TOKEN);
            bool text = pc_char_is((uint8_t)c, PC_CHAR_TEXT);
            bool visible = c > 0x20 && c < 0x7f;
            assert_ptr_equal(pc_scan_token(run, end), token ? end : run + at);
            assert_ptr_equal(pc_scan_text(run, end), text ? end : run + at);
            assert_ptr_equal(pc_scan_visible(run, end), visible ? end : run + at);
            assert_ptr_equal(pc_scan_text(run, run + at), run + at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origin_form_is_cut_into_path_and_query),
        cmocka_unit_test(absolute_form_replaces_host),
        cmocka_unit_test(asterisk_form_has_the_path_star),
        cmocka_unit_test(every_known_name_is_found_in_any_case),
        cmocka_unit_test(fields_are_trimmed_counted_and_resolved),
        cmocka_unit_test(a_repeated_singleton_is_flagged),
        cmocka_unit_test(keep_alive_follows_version_and_connection),
        cmocka_unit_test(framing_and_expectation_are_told),
        cmocka_unit_test(a_request_has_started_with_its_first_byte),
        cmocka_unit_test(methods_are_case_sensitive),
        cmocka_unit_test(character_classes_are_those_of_the_rfcs),
        cmocka_unit_test(scanners_stop_exactly_where_the_classes_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
