/* SPDX-License-Identifier: Apache-2.0
 * The JSON reader: what it accepts, what it refuses and where, and what its getters read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "base/json.h"

#define TOKENS 64

static struct pc_json_token tokens[TOKENS];

static int parse(const char *text, struct pc_json *doc, struct pc_json_error *error)
{
    return pc_json_parse(pc_bytes_str(text), tokens, TOKENS, NULL, doc, error);
}

static struct pc_json parsed(const char *text)
{
    struct pc_json doc;
    struct pc_json_error error;
    if (parse(text, &doc, &error))
        fail_msg("%s: offset %u: %s", text, error.offset, error.what);
    return doc;
}

static void accepts_every_kind_of_value(void **state)
{
    static const struct {
        const char *text;
        enum pc_json_type type;
    } rows[] = {
        {"null",                                     PC_JSON_NULL  },
        {"true",                                     PC_JSON_BOOL  },
        {"false",                                    PC_JSON_BOOL  },
        {"0",                                        PC_JSON_NUMBER},
        {"-0",                                       PC_JSON_NUMBER},
        {"-12.50e+3",                                PC_JSON_NUMBER},
        {"1E0",                                      PC_JSON_NUMBER},
        {"\"\"",                                     PC_JSON_STRING},
        {" \t\r\n[ ] ",                              PC_JSON_ARRAY },
        {"{}",                                       PC_JSON_OBJECT},
        {"[[],{}]",                                  PC_JSON_ARRAY },
        {"{\"\":{}}",                                PC_JSON_OBJECT},
        {"\"\\ud83d\\ude00\"",                       PC_JSON_STRING},
        {"\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"", PC_JSON_STRING},
        {"\"\x7f\"",                                 PC_JSON_STRING},
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_json doc = parsed(rows[i].text);
        assert_int_equal(pc_json_type(pc_json_root(&doc)), rows[i].type);
    }
}

static void refuses_bad_syntax_and_says_where(void **state)
{
    static const struct {
        const char *text;
        uint32_t offset;
    } rows[] = {
        {"",                  0},
        {" ",                 1},
        {"nul",               0},
        {"nullx",             4},
        {"True",              0},
        {"01",                1},
        {"-",                 1},
        {"+1",                0},
        {"1.",                2},
        {".5",                0},
        {"1e",                2},
        {"1e+",               3},
        {"0x1",               1},
        {"NaN",               0},
        {"[",                 1},
        {"[1",                2},
        {"[1,",               3},
        {"[1,]",              3},
        {"[,1]",              1},
        {"[1 2]",             3},
        {"]",                 0},
        {"[}",                1},
        {"{",                 1},
        {"{1:2}",             1},
        {"{\"a\"}",           4},
        {"{\"a\":}",          5},
        {"{\"a\":1,}",        7},
        {"{\"a\" 1}",         5},
        {"{\"a\":1]",         6},
        {"\"",                1},
        {"\"\\",              2},
        {"\"\\x\"",           1},
        {"\"\\u12g4\"",       1},
        {"\"\\u12",           1},
        {"\"a\nb\"",          2},
        {"1 2",               2},
        {"[] []",             3},
        {"\xef\xbb\xbf[]",    0},
        {"'a'",               0},
        {"/**/1",             0},
        {"\"\t\"",            1},
        {"{\"a\":1 \"b\":2}", 7},
        {"\"\\'\"",           1},
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_json doc = {.count = 7};
        struct pc_json_error error = {0, NULL};
        if (parse(rows[i].text, &doc, &error) != PC_E_SYNTAX)
            fail_msg("accepted: %s", rows[i].text);
        if (error.offset != rows[i].offset || !error.what)
            fail_msg("%s: offset %u", rows[i].text, error.offset);
        assert_int_equal(doc.count, 7);
    }
}

static void refuses_invalid_utf8_and_lone_surrogates(void **state)
{
    static const char *const rows[] = {
        "\"\x80\"",
        "\"\xc0\xaf\"",
        "\"\xc1\xbf\"",
        "\"\xc3\"",
        "\"\xc3(\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xe2\x82\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xf0\x9f\x98(\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud83d\\ude0\"",
    };
    struct pc_json doc;
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        if (parse(rows[i], &doc, NULL) != PC_E_SYNTAX)
            fail_msg("accepted row %zu", i);
    assert_int_equal(parse("{\"\xed\xa0\x80\":1}", &doc, NULL), PC_E_SYNTAX);
}

static void refuses_duplicate_members_after_unescaping(void **state)
{
    static const char *const rows[] = {
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"\\u00e4\":1,\"\xc3\xa4\":2}",
        "{\"\\ud83d\\ude00\":1,\"b\":0,\"\xf0\x9f\x98\x80\":2}",
        "{\"x\":[1,{\"y\":{}}],\"z\":{},\"x\":0}",
        "[{\"/\":1,\"\\/\":1}]",
        "{\"\":1,\"\":2}",
    };
    struct pc_json doc;
    struct pc_json_error error;
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        if (parse(rows[i], &doc, &error) != PC_E_DUPLICATE)
            fail_msg("accepted: %s", rows[i]);
        assert_string_equal(error.what, "duplicate member");
    }
    parsed("{\"a\":{\"a\":{\"a\":1}},\"A\":1,\"a\\u0000\":2,\"ab\":3,\"b\":{\"a\":1}}");
}

static int parse_limited(const char *text, uint32_t max, struct pc_json_limits limits,
                         struct pc_json_error *error)
{
    struct pc_json doc;
    return pc_json_parse(pc_bytes_str(text), tokens, max, &limits, &doc, error);
}

static void holds_every_limit(void **state)
{
    struct pc_json_limits l = {.bytes = 8, .depth = 2, .members = 2};
    struct pc_json_error error;
    (void)state;
    assert_int_equal(parse_limited("[[1]]   ", 8, l, &error), 0);
    assert_int_equal(parse_limited("[[1]]    ", 8, l, &error), PC_E_TOO_LARGE);
    assert_int_equal(error.offset, 8);
    assert_int_equal(parse_limited("[[[]]]", 8, l, &error), PC_E_TOO_LARGE);
    assert_string_equal(error.what, "nested too deeply");
    assert_int_equal(parse_limited("[1,2,3]", 4, l, &error), 0);
    assert_int_equal(parse_limited("[1,2,3]", 3, l, &error), PC_E_TOO_LARGE);
    assert_int_equal(error.offset, 5);
    assert_int_equal(parse_limited("1", 0, l, &error), PC_E_TOO_LARGE);
    l.bytes = 0;
    assert_int_equal(parse_limited("{\"a\":1,\"b\":1}", 8, l, &error), 0);
    assert_int_equal(parse_limited("{\"a\":1,\"b\":1,\"c\":1}", 8, l, &error), PC_E_TOO_LARGE);
    assert_string_equal(error.what, "too many members");
}

static void nesting_to_the_hard_limit_needs_no_stack(void **state)
{
    char text[200];
    struct pc_json_limits l = {.depth = PC_JSON_DEPTH_MAX};
    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = 0;
    assert_int_equal(parse_limited(text, TOKENS, l, NULL), 0);
    memset(text, '[', 65);
    assert_int_equal(parse_limited(text, TOKENS, l, NULL), PC_E_TOO_LARGE);
}

static void tells_line_and_column(void **state)
{
    static const char text[] = "{\n  \"a\": 1,\n  \"a\": 2\n}";
    struct pc_json doc;
    struct pc_json_error error;
    struct pc_why why;
    (void)state;
    int rc = parse(text, &doc, &error);
    assert_int_equal(pc_json_explain(&why, rc, pc_bytes_str(text), &error), PC_E_DUPLICATE);
    assert_string_equal(why.text, "line 3 column 4: duplicate member");
}

static void finds_members_and_walks_containers(void **state)
{
    struct pc_json doc = parsed("{\"a\":[1,[2,3],{\"x\":4},5],\"\\u0062\":{},\"c\":null}");
    const struct pc_json_token *root = pc_json_root(&doc), *a = pc_json_member(&doc, root, "a");
    int64_t sum = 0, v;
    unsigned n = 0;
    (void)state;
    assert_int_equal(root->count, 3);
    PC_JSON_FOREACH(&doc, a, element)
    {
        n++;
        if (pc_json_i64(&doc, element, &v) == 0)
            sum += v;
    }
    assert_int_equal(n, 4);
    assert_int_equal(sum, 6);
    n = 0;
    PC_JSON_FOREACH(&doc, root, name)
    {
        static const char *const names[] = {"a", "b", "c"};
        static const enum pc_json_type types[] = {PC_JSON_ARRAY, PC_JSON_OBJECT, PC_JSON_NULL};
        assert_true(pc_json_equals(&doc, name, names[n]));
        assert_int_equal(pc_json_type(pc_json_value(name)), types[n++]);
    }
    assert_int_equal(n, 3);
    assert_null(pc_json_member(&doc, root, "d"));
    assert_null(pc_json_member(&doc, a, "a"));
    assert_null(pc_json_member(&doc, NULL, "a"));
    assert_null(pc_json_first(&doc, pc_json_member(&doc, root, "b")));
    assert_int_equal(pc_json_type(pc_json_member(&doc, root, "no")), PC_JSON_ABSENT);
    assert_true(pc_bytes_eq_str(pc_json_raw(&doc, a), "[1,[2,3],{\"x\":4},5]"));
    assert_true(pc_bytes_eq_str(pc_json_raw(&doc, root + 1), "\"a\""));
}

static void reads_strings_borrowed_or_unescaped(void **state)
{
    struct pc_json doc = parsed("[\"plain\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e4\\u20AC"
                                "\\ud83d\\uDE00z\",1]");
    const struct pc_json_token *t = pc_json_root(&doc) + 1;
    uint8_t room[64], tiny[4];
    struct pc_buf b = pc_buf_of(room, sizeof room), small = pc_buf_of(tiny, sizeof tiny);
    struct pc_bytes s;
    static const char want[] = "\"\\/\b\f\n\r\t\0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
    (void)state;
    assert_int_equal(pc_json_string(&doc, t, NULL, &s), 0);
    assert_ptr_equal(s.p, doc.text.p + t->start);
    assert_true(pc_bytes_eq_str(s, "plain"));
    assert_int_equal(pc_json_string(&doc, t + 1, &b, &s), 0);
    assert_true(pc_bytes_eq(s, pc_bytes_of(want, sizeof want - 1)));
    s = (struct pc_bytes){NULL, 5};
    assert_int_equal(pc_json_string(&doc, t + 1, NULL, &s), PC_E_TOO_LARGE);
    assert_int_equal(pc_json_string(&doc, t + 1, &small, &s), PC_E_TOO_LARGE);
    assert_int_equal(pc_json_string(&doc, t + 2, &b, &s), -EINVAL);
    assert_int_equal(pc_json_string(&doc, NULL, &b, &s), -ENOENT);
    assert_int_equal(s.n, 5);
}

static void compares_strings_without_unescaping_them_first(void **state)
{
    struct pc_json doc = parsed("[\"ab\",\"\\u0061b\",\"a\\u0000\",1]");
    const struct pc_json_token *t = pc_json_root(&doc) + 1;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(pc_json_equals(&doc, t + i, "ab"));
        assert_false(pc_json_equals(&doc, t + i, "a"));
        assert_false(pc_json_equals(&doc, t + i, "abc"));
        assert_false(pc_json_equals(&doc, t + i, "aB"));
    }
    assert_false(pc_json_equals(&doc, t + 2, "a"));
    assert_false(pc_json_equals(&doc, t + 3, "1"));
    assert_false(pc_json_equals(&doc, NULL, ""));
}

static void reads_integers_exactly(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t value;
    } rows[] = {
        {"0",                        0,       0               },
        {"-0",                       0,       0               },
        {"42",                       0,       42              },
        {"-42",                      0,       -42             },
        {"9223372036854775807",      0,       INT64_MAX       },
        {"-9223372036854775807",     0,       -INT64_MAX      },
        {"9223372036854775808",      -ERANGE, 0               },
        {"18446744073709551616",     -ERANGE, 0               },
        {"1e3",                      0,       1000            },
        {"1.5e1",                    0,       15              },
        {"2.000",                    0,       2               },
        {"1200e-2",                  0,       12              },
        {"1.5",                      -ERANGE, 0               },
        {"1e-1",                     -ERANGE, 0               },
        {"0e999999999999999999999",  0,       0               },
        {"1e999999999999999999999",  -ERANGE, 0               },
        {"1e-999999999999999999999", -ERANGE, 0               },
        {"0.0e-5",                   0,       0               },
        {"9007199254740993",         0,       9007199254740993}, /* no double holds it */
        {"true",                     -EINVAL, 0               },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_json doc = parsed(rows[i].text);
        int64_t value = -77;
        if (pc_json_i64(&doc, pc_json_root(&doc), &value) != rows[i].rc)
            fail_msg("%s", rows[i].text);
        assert_int_equal(value, rows[i].rc ? -77 : rows[i].value);
    }
}

static void scales_decimals_rounding_down(void **state)
{
    static const struct {
        const char *text;
        int64_t thousandths;
    } rows[] = {
        {"1.2345",            1234         },
        {"-1.2345",           -1235        },
        {"-1.234",            -1234        },
        {"1700000000.999999", 1700000000999},
        {"1.7e9",             1700000000000},
        {"0.0004",            0            },
        {"-0.0004",           -1           },
        {"1234e-3",           1234         },
        {"0.1",               100          },
        {"1e-400",            0            },
        {"-1e-400",           -1           },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_json doc = parsed(rows[i].text);
        int64_t value;
        assert_int_equal(pc_json_scaled(&doc, pc_json_root(&doc), 3, &value, NULL), 0);
        if (value != rows[i].thousandths)
            fail_msg("%s: %lld", rows[i].text, (long long)value);
    }
}

static void reads_doubles_and_booleans(void **state)
{
    struct pc_json doc = parsed("[1.5e300,-2,1e400,true,false]");
    const struct pc_json_token *t = pc_json_root(&doc) + 1;
    double d = 0;
    bool b = false;
    (void)state;
    assert_int_equal(pc_json_number(&doc, t, &d), 0);
    assert_true(d == 1.5e300);
    assert_int_equal(pc_json_number(&doc, t + 1, &d), 0);
    assert_true(d == -2.0);
    assert_int_equal(pc_json_number(&doc, t + 2, &d), -ERANGE);
    assert_int_equal(pc_json_number(&doc, t + 3, &d), -EINVAL);
    assert_int_equal(pc_json_bool(&doc, t + 3, &b), 0);
    assert_true(b);
    assert_int_equal(pc_json_bool(&doc, t + 4, &b), 0);
    assert_false(b);
    assert_int_equal(pc_json_bool(&doc, t, &b), -EINVAL);
    assert_int_equal(pc_json_bool(&doc, NULL, &b), -ENOENT);
}

/* A page behind which nothing may be read. */
static uint8_t *guarded_end(void)
{
    uint8_t *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(mprotect(p + 4096, 4096, PROT_NONE), 0);
    return p + 4096;
}

static void no_prefix_is_accepted_or_read_beyond(void **state)
{
    static const char text[] =
        "{\"a\\u00e4\\ud83d\\ude00\":[1,-2.5e+3,true,null,\"\xf0\x9f\x98\x80 long plain text\"],"
        "\"b\":{\"c\":\"\\n\"}}";
    uint8_t *end = guarded_end();
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        struct pc_json doc;
        memcpy(end - n, text, n);
        int rc = pc_json_parse(pc_bytes_of(end - n, n), tokens, TOKENS, NULL, &doc, NULL);
        assert_int_equal(rc, n == sizeof text - 1 ? 0 : PC_E_SYNTAX);
    }
    munmap(end - 4096, 8192);
}

/* Every byte at every place of a run, beside a rule that looks at one byte at a time. */
static void escaping_finds_every_byte_that_needs_it_wherever_it_stands(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 19; at++) {
            uint8_t text[19], out[64];
            struct pc_buf b = pc_buf_of(out, sizeof out);
            memset(text, 'a', sizeof text);
            text[at] = (uint8_t)c;
            pc_buf_json(&b, pc_bytes_of(text, sizeof text));
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != 0x7f;
            assert_false(b.overflow);
            assert_int_equal(plain, b.len == sizeof text && memcmp(out, text, b.len) == 0);
            assert_memory_equal(out, text, at);
            assert_memory_equal(out + b.len - (sizeof text - at - 1), text + at + 1,
                                sizeof text - at - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escaping_finds_every_byte_that_needs_it_wherever_it_stands),
        cmocka_unit_test(accepts_every_kind_of_value),
        cmocka_unit_test(refuses_bad_syntax_and_says_where),
        cmocka_unit_test(refuses_invalid_utf8_and_lone_surrogates),
        cmocka_unit_test(refuses_duplicate_members_after_unescaping),
        cmocka_unit_test(holds_every_limit),
        cmocka_unit_test(nesting_to_the_hard_limit_needs_no_stack),
        cmocka_unit_test(tells_line_and_column),
        cmocka_unit_test(finds_members_and_walks_containers),
        cmocka_unit_test(reads_strings_borrowed_or_unescaped),
        cmocka_unit_test(compares_strings_without_unescaping_them_first),
        cmocka_unit_test(reads_integers_exactly),
        cmocka_unit_test(scales_decimals_rounding_down),
        cmocka_unit_test(reads_doubles_and_booleans),
        cmocka_unit_test(no_prefix_is_accepted_or_read_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
