/* SPDX-License-Identifier: Apache-2.0
 * Flags: which layer counts, what a layer refuses and with which words, and the look-up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/flags.h"
#include "edge/state/registers.h"

static struct pc_flag_layer *file_of(const char *text)
{
    struct pc_flag_layer *layer = NULL;
    struct pc_why why = {{0}};
    int rc = pc_flag_layer_parse_file_text(pc_bytes_str(text), &layer, &why);
    if (rc)
        fail_msg("%s: %s", text, why.text);
    return layer;
}

static struct pc_flag_layer *environment_of(const char *a, const char *b)
{
    char *environ[] = {(char *)(uintptr_t) "PATH=/bin", (char *)(uintptr_t)a, (char *)(uintptr_t)b,
                       NULL};
    struct pc_flag_layer *layer = NULL;
    struct pc_why why = {{0}};
    int rc = pc_flag_layer_from_environ(environ, &layer, &why);
    if (rc)
        fail_msg("%s", why.text);
    return layer;
}

/* One register more; hlc grows with each. */
static struct pc_registers *set(struct pc_registers *old, const char *key, const char *value,
                                bool ephemeral)
{
    static uint64_t hlc;
    struct pc_registers *fresh = NULL;
    const struct pc_register reg = {.key = pc_bytes_str(key),
                                    .value = pc_bytes_str(value ? value : ""),
                                    .actor = PC_LIT("token:ops"),
                                    .hlc = ++hlc,
                                    .at_ms = 1,
                                    .expires_at_ms = INT64_MAX,
                                    .deleted = !value,
                                    .ephemeral = ephemeral};
    assert_int_equal(pc_registers_merge(old, &reg, 1, 0, 1000, &fresh), 0);
    pc_registers_free(old);
    return fresh;
}

/* Compiles and frees the layers. */
static struct pc_flags *compile(struct pc_flag_layer *file, struct pc_registers *runtime,
                                struct pc_flag_layer *environment)
{
    struct pc_flags *f = NULL;
    struct pc_why why = {{0}};
    int rc = pc_flags_compile(file, runtime, environment, &f, &why);
    if (rc)
        fail_msg("%s", why.text);
    pc_flag_layer_free(file);
    pc_registers_free(runtime);
    pc_flag_layer_free(environment);
    return f;
}

static void assert_bytes(struct pc_bytes is, const char *expected)
{
    char text[PC_FLAG_VALUE_MAX + 1];
    snprintf(text, sizeof text, "%.*s", (int)is.n, (const char *)is.p);
    assert_string_equal(text, expected);
}

static const struct pc_flag *flag_of(const struct pc_flags *f, const char *key)
{
    const struct pc_flag *flag = pc_flags_find(f, pc_bytes_str(key));
    if (!flag)
        fail_msg("no flag %s", key);
    return flag;
}

static void assert_flag(const struct pc_flags *f, const char *key, const char *value,
                        enum pc_flag_type type, const char *source)
{
    const struct pc_flag *flag = flag_of(f, key);
    assert_bytes(flag->key, key);
    assert_bytes(flag->value, value);
    assert_string_equal(pc_flag_type_name(flag->type), pc_flag_type_name(type));
    assert_bytes(flag->source, source);
}

static void without_layers_there_are_the_built_in_flags(void **state)
{
    (void)state;
    struct pc_flags *f = compile(NULL, NULL, NULL);
    assert_int_equal(f->count, 8);
    assert_flag(f, "auth.enable_2fa", "false", PC_FLAG_BOOLEAN, "default");
    assert_flag(f, "jobs.enable_testing", "false", PC_FLAG_BOOLEAN, "default");
    assert_flag(f, "ui.show_beta_features", "false", PC_FLAG_BOOLEAN, "default");
    assert_flag(f, "api.rate_limit_strict", "false", PC_FLAG_BOOLEAN, "default");
    assert_flag(f, "payment.enable_test_mode", "true", PC_FLAG_BOOLEAN, "default");
    assert_flag(f, "uploads.max_file_size_mb", "10", PC_FLAG_INTEGER, "default");
    assert_flag(f, "cache.ttl_seconds", "300", PC_FLAG_INTEGER, "default");
    assert_flag(f, "maintenance.mode_enabled", "false", PC_FLAG_BOOLEAN, "default");
    assert_false(f->maintenance || f->rate_limit_strict);
    for (uint32_t i = 0; i < f->count; i++)
        assert_true(f->flags[i].description.n > 0 && f->flags[i].category.n > 0);
    assert_bytes(flag_of(f, "cache.ttl_seconds")->category, "cache");
    assert_bytes(flag_of(f, "cache.ttl_seconds")->attach, "\"cache.ttl_seconds\":300");
    assert_null(pc_flags_find(f, PC_LIT("cache.ttl")));
    assert_null(pc_flags_find(f, PC_LIT("")));
    pc_flags_free(f);
}

static void a_later_layer_wins(void **state)
{
    (void)state;
    const char *file = "{\"cache.ttl_seconds\":1,\"uploads.max_file_size_mb\":1,"
                       "\"auth.enable_2fa\":true,\"x.y\":\"file\"}";
    struct pc_registers *r = set(NULL, "cache.ttl_seconds", "2", false);
    r = set(r, "uploads.max_file_size_mb", "2", false);
    struct pc_flags *f =
        compile(file_of(file), r, environment_of("FLAG_CACHE_TTL_SECONDS=3", NULL));
    assert_flag(f, "cache.ttl_seconds", "3", PC_FLAG_INTEGER, "environment");
    assert_bytes(flag_of(f, "cache.ttl_seconds")->variable, "FLAG_CACHE_TTL_SECONDS");
    assert_true(flag_of(f, "cache.ttl_seconds")->has_runtime);
    assert_flag(f, "uploads.max_file_size_mb", "2", PC_FLAG_INTEGER, "admin:ops");
    assert_true(flag_of(f, "uploads.max_file_size_mb")->has_runtime);
    assert_flag(f, "auth.enable_2fa", "true", PC_FLAG_BOOLEAN, "file");
    assert_false(flag_of(f, "auth.enable_2fa")->has_runtime);
    assert_flag(f, "x.y", "\"file\"", PC_FLAG_STRING, "file");
    assert_int_equal(f->count, 9);
    assert_int_equal(f->runtime_count, 2);
    pc_flags_free(f);
}

static void a_removed_runtime_value_uncovers_the_layer_below(void **state)
{
    (void)state;
    struct pc_registers *r = set(NULL, "cache.ttl_seconds", "2", false);
    r = set(r, "new.one", "{\"a\":1}", true);
    struct pc_flags *f = compile(NULL, set(r, "cache.ttl_seconds", NULL, false), NULL);
    assert_flag(f, "cache.ttl_seconds", "300", PC_FLAG_INTEGER, "default");
    assert_false(flag_of(f, "cache.ttl_seconds")->has_runtime);
    assert_flag(f, "new.one", "{\"a\":1}", PC_FLAG_OBJECT, "admin:ops");
    assert_true(flag_of(f, "new.one")->ephemeral);
    pc_flags_free(f);
}

static void maintenance_and_strictness_are_at_hand(void **state)
{
    (void)state;
    struct pc_registers *r = set(NULL, "api.rate_limit_strict", "true", false);
    struct pc_flags *f = compile(file_of("{\"maintenance.mode_enabled\":true}"), r, NULL);
    assert_true(f->maintenance && f->rate_limit_strict);
    pc_flags_free(f);
}

static void definitions_give_their_default_variant(void **state)
{
    (void)state;
    const char *file =
        "{\"$schema\":\"https://flagd.dev/schema/v0/flags.json\",\"metadata\":{\"v\":1},\n"
        " \"flags\":{\n"
        "  \"ui.theme\":{\"state\":\"ENABLED\",\"variants\":{\"d\":\"dark\",\"l\":\"light\"},\n"
        "    \"defaultVariant\":\"l\",\"targeting\":{},\n"
        "    \"metadata\":{\"category\":\"look\",\"description\":\"Colours \\u00e9\",\"n\":5}},\n"
        "  \"off\":{\"state\":\"DISABLED\",\"variants\":{\"a\":1},\"defaultVariant\":\"a\"},\n"
        "  \"cache.ttl_seconds\":{\"state\":\"DISABLED\",\"variants\":{\"a\":1},"
        "\"defaultVariant\":\"a\"},\n"
        "  \"ratio\":{\"variants\":{\"one\":1,\"half\":0.5},\"defaultVariant\":\"one\"},\n"
        "  \"esc\":{\"variants\":{\"\\u0061\":1, \"b\":2},\"defaultVariant\":\"\\u0062\"},\n"
        "  \"plain.object\":{ \"a\" : [ 1, {\"b\" : \" \\\" x\"} ] },\n"
        "  \"auth.enable_2fa\":true\n"
        "}}";
    struct pc_flags *f = compile(file_of(file), NULL, NULL);
    assert_flag(f, "ui.theme", "\"light\"", PC_FLAG_STRING, "file");
    assert_bytes(flag_of(f, "ui.theme")->category, "look");
    assert_bytes(flag_of(f, "ui.theme")->description, "Colours \u00e9");
    assert_null(pc_flags_find(f, PC_LIT("off")));
    assert_flag(f, "cache.ttl_seconds", "300", PC_FLAG_INTEGER, "default");
    assert_flag(f, "ratio", "1", PC_FLAG_NUMBER, "file");
    assert_bytes(flag_of(f, "ratio")->category, "general");
    assert_flag(f, "esc", "2", PC_FLAG_INTEGER, "file");
    assert_flag(f, "plain.object", "{\"a\":[1,{\"b\":\" \\\" x\"}]}", PC_FLAG_OBJECT, "file");
    assert_flag(f, "auth.enable_2fa", "true", PC_FLAG_BOOLEAN, "file");
    pc_flags_free(f);
}

static void a_bad_file_is_refused_with_line_and_column(void **state)
{
    static const struct {
        const char *text;
        int err;
        const char *why;
    } cases[] = {
        {"",                                                                                        PC_E_SYNTAX,      "line 1 column 1: the text ends too early"                      },
        {"{\n \"a\": tru",                                                                          PC_E_SYNTAX,      "line 2 column 7: "                                             },
        {"{\"a\":1,\n\"a\":2}",                                                                     PC_E_DUPLICATE,   "line 2 column 2: duplicate member"                             },
        {"[1]",                                                                                     -EINVAL,          "line 1 column 1: a flag file is a JSON object"                 },
        {"{\"flags\":3}",                                                                           -EINVAL,          "line 1 column 10: flags must be an object"                     },
        {"{\"flags\":{},\n\"ui.x\":1}",                                                             -EINVAL,          "line 2 column 1: a file with \"flags\" has no"                 },
        {"{\"flags\":{},\"$evaluators\":{\"a\":1}}",                                                PC_E_UNSUPPORTED,
         "line 1 column 27: $evaluators are for targeting"                                                                                                                            },
        {"{\n\n   \"a b\": 1}",                                                                     -EINVAL,          "line 3 column 4: a flag's key is made of"                      },
        {"{\"\": 1}",                                                                               -EINVAL,          "line 1 column 2: a flag's key may not be empty"                },
        {"{\"a\": null}",                                                                           -EINVAL,          "line 1 column 7: a: a flag is a boolean, string"               },
        {"{\"a\": [1]}",                                                                            -EINVAL,          "line 1 column 7: a: a flag is a boolean, string"               },
        {"{\"a\": 1e999}",                                                                          -EINVAL,          "line 1 column 7: a: the number is too large"                   },
        {"{\"auth.enable_2fa\":\n  \"yes\"}",                                                       -EINVAL,
         "line 2 column 3: auth.enable_2fa: the flag is a boolean, the value is a string"                                                                                             },
        {"{\"cache.ttl_seconds\": 1.5}",                                                            -EINVAL,
         "line 1 column 23: cache.ttl_seconds: the flag is an integer, the value is a number"                                                                                         },
        {"{\"flags\":{\"a\":{\"variants\":{\"x\":1},\"defaultVariant\":\"x\",\n \"targeting\":"
         "{\"if\":[]}}}}",                                                                 PC_E_UNSUPPORTED, "line 2 column 2: a: targeting is not supported in this version"},
        {"{\"a\":{\"targeting\":{\"if\":[]}}}",                                                     PC_E_UNSUPPORTED,
         "line 1 column 7: a: targeting is not supported in this version"                                                                                                             },
        {"{\"a\":{\"variants\":{\"x\":1}}}",                                                        -EINVAL,
         "line 1 column 6: a: defaultVariant must name one of the variants"                                                                                                           },
        {"{\"a\":{\"variants\":{\"x\":1},\"defaultVariant\":\"y\"}}",                               -EINVAL,
         "line 1 column 43: a: defaultVariant names none of the variants"                                                                                                             },
        {"{\"a\":{\"variants\":{},\"defaultVariant\":\"y\"}}",                                      -EINVAL,
         "line 1 column 18: a: variants must be an object"                                                                                                                            },
        {"{\"a\":{\"variants\":{\"x\":1,\"y\":\"2\"},\"defaultVariant\":\"x\"}}",                   -EINVAL,
         "line 1 column 29: a: variants must be of one type"                                                                                                                          },
        {"{\"cache.ttl_seconds\":{\"variants\":{\"x\":1,\"y\":\"2\"},\"defaultVariant\":\"x\"}}",
         -EINVAL,                                                                                                     "line 1 column 45: cache.ttl_seconds: the flag is an integer"   },
        {"{\"a\":{\"variants\":{\"x\":1},\"defaultVariant\":\"x\",\"state\":\"on\"}}",              -EINVAL,
         "line 1 column 55: a: state must be \"ENABLED\" or \"DISABLED\""                                                                                                             },
        {"{\"a\":{\"variants\":{\"x\":1},\"defaultVariant\":\"x\",\"enabled\":1}}",                 -EINVAL,
         "line 1 column 47: a: a definition has no member \"enabled\""                                                                                                                },
        {"{\"a\":{\"variants\":{\"x\":1},\"defaultVariant\":\"x\",\"metadata\":[]}}",               -EINVAL,
         "line 1 column 58: a: metadata must be an object"                                                                                                                            },
        {"{\"a\":{\"variants\":{\"x\":1},\"defaultVariant\":\"x\",\"metadata\":{\"category\":1}}}",
         -EINVAL,                                                                                                     "line 1 column 70: a: category must be a string"                },
        {"{\"a\":{\"b\":[[[[[[[[]]]]]]]]}}",                                                        PC_E_TOO_LARGE,
         "line 1 column 6: a: a flag's value is nested at most 8 deep"                                                                                                                },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_flag_layer *layer = NULL;
        struct pc_why why = {{0}};
        int rc = pc_flag_layer_parse_file_text(pc_bytes_str(cases[i].text), &layer, &why);
        if (rc != cases[i].err || strncmp(why.text, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("%s: %d \"%s\", not %d \"%s\"", cases[i].text, rc, why.text, cases[i].err,
                     cases[i].why);
        assert_null(layer);
    }
}

static void limits_of_a_file_are_named(void **state)
{
    (void)state;
    size_t cap = 200 * 1024;
    char *text = malloc(cap);
    struct pc_buf b = pc_buf_of(text, cap);
    struct pc_flag_layer *layer = NULL;
    struct pc_why why = {{0}};
    pc_buf_lit(&b, "{\"a\":\"");
    for (unsigned i = 0; i < PC_FLAG_VALUE_MAX - 1; i++)
        pc_buf_char(&b, 'x');
    pc_buf_lit(&b, "\"}");
    assert_int_equal(pc_flag_layer_parse_file_text(pc_bytes_of(b.p, b.len), &layer, &why),
                     PC_E_TOO_LARGE);
    assert_string_equal(why.text, "line 1 column 6: a: a flag's value has at most 4096 bytes");
    b.len = 0;
    for (unsigned i = 0; i <= PC_FLAG_FILE_MAX; i++)
        pc_buf_fmt(&b, "%c\"k%u\":1", i ? ',' : '{', i);
    pc_buf_char(&b, '}');
    assert_false(b.overflow);
    assert_int_equal(pc_flag_layer_parse_file_text(pc_bytes_of(b.p, b.len), &layer, &why),
                     PC_E_TOO_LARGE);
    assert_string_equal(why.text, "line 1 column 1: a flag file has at most 4096 flags");
    b.len = 0;
    for (unsigned i = 0; i < PC_FLAG_FILE_MAX; i++)
        pc_buf_fmt(&b, "%c\"k%u\":1", i ? ',' : '{', i);
    pc_buf_char(&b, '}');
    assert_int_equal(pc_flag_layer_parse_file_text(pc_bytes_of(b.p, b.len), &layer, &why), 0);
    assert_int_equal(pc_flag_layer_count(layer), PC_FLAG_FILE_MAX);
    struct pc_flags *f = compile(layer, NULL, NULL);
    for (unsigned i = 0; i < PC_FLAG_FILE_MAX; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        assert_flag(f, key, "1", PC_FLAG_INTEGER, "file");
    }
    assert_null(pc_flags_find(f, PC_LIT("k4096")));
    pc_flags_free(f);
    free(text);
}

static void variables_name_known_flags_first(void **state)
{
    (void)state;
    struct pc_flags *f =
        compile(file_of("{\"new-checkout.flow_2\":\"old\"}"), NULL,
                environment_of("FLAG_AUTH_ENABLE_2FA=true", "FLAG_NEW_CHECKOUT_FLOW_2=next"));
    assert_flag(f, "auth.enable_2fa", "true", PC_FLAG_BOOLEAN, "environment");
    assert_flag(f, "new-checkout.flow_2", "\"next\"", PC_FLAG_STRING, "environment");
    assert_int_equal(f->count, 9);
    pc_flags_free(f);
    f = compile(NULL, NULL, environment_of("FLAG_NEW_CHECKOUT_FLOW_2=next", "FLAG_SOLO=7"));
    assert_flag(f, "new.checkout_flow_2", "\"next\"", PC_FLAG_STRING, "environment");
    assert_flag(f, "solo", "7", PC_FLAG_INTEGER, "environment");
    pc_flags_free(f);
}

static void variables_are_json_or_plain_strings(void **state)
{
    (void)state;
    struct pc_flags *f = compile(file_of("{\"release\":\"1\",\"ratio\":1.0}"), NULL,
                                 environment_of("FLAG_RELEASE=42", "FLAG_RATIO= 2 "));
    assert_flag(f, "release", "\"42\"", PC_FLAG_STRING, "environment");
    assert_flag(f, "ratio", "2", PC_FLAG_NUMBER, "environment");
    pc_flags_free(f);
    f = compile(NULL, NULL, environment_of("FLAG_A={\"b\": [1, 2]}", "FLAG_B=say \"hi\""));
    assert_flag(f, "a", "{\"b\":[1,2]}", PC_FLAG_OBJECT, "environment");
    assert_flag(f, "b", "\"say \\\"hi\\\"\"", PC_FLAG_STRING, "environment");
    pc_flags_free(f);
    f = compile(NULL, NULL, environment_of("FLAG_A=\"x\"", "FLAG_B="));
    assert_flag(f, "a", "\"x\"", PC_FLAG_STRING, "environment");
    assert_flag(f, "b", "\"\"", PC_FLAG_STRING, "environment");
    pc_flags_free(f);
}

static void a_bad_variable_is_refused_by_name(void **state)
{
    static const struct {
        const char *file, *a, *b, *why;
    } cases[] = {
        {"{}",                        "FLAG_AUTH_ENABLE_2FA=perhaps", NULL,
         "FLAG_AUTH_ENABLE_2FA (flag auth.enable_2fa): the flag is a boolean, the value is a "
         "string"                                                                                                                                  },
        {"{}",                        "FLAG_CACHE_TTL_SECONDS=1.5",   NULL,
         "FLAG_CACHE_TTL_SECONDS (flag cache.ttl_seconds): the flag is an integer, the value is a "
         "number"                                                                                                                                  },
        {"{}",                        "FLAG_X=null",                  NULL,
         "FLAG_X (flag x): a flag is a boolean, string, integer, number or object, the value is "
         "null"                                                                                                                                    },
        {"{\"a.b_c\":1,\"a-b.c\":1}", "FLAG_A_B_C=2",                 NULL,
         "FLAG_A_B_C could be the flag a-b.c or a.b_c"                                                                                             },
        {"{}",                        "FLAG_=1",                      NULL,       "FLAG_: it would be the flag \"\": a flag's key may not be empty"},
        {"{}",                        "FLAG__X=1",                    NULL,       "FLAG__X: it would be the flag \".x\": a flag's key is made of"  },
        {"{}",                        "FLAG_lower=1",                 NULL,
         "FLAG_lower: a flag's variable is FLAG_ and upper-case letters"                                                                           },
        {"{}",                        "FLAG_A=1",                     "FLAG_A=2", "FLAG_A is in the environment twice"                             },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        char *environ[] = {(char *)(uintptr_t)cases[i].a, (char *)(uintptr_t)cases[i].b, NULL};
        struct pc_flag_layer *file = file_of(cases[i].file), *environment = NULL;
        struct pc_flags *f = NULL;
        struct pc_why why = {{0}};
        int rc = pc_flag_layer_from_environ(environ, &environment, &why);
        if (rc == 0)
            rc = pc_flags_compile(file, NULL, environment, &f, &why);
        assert_int_equal(rc, -EINVAL);
        assert_null(f);
        if (strncmp(why.text, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("\"%s\", not \"%s\"", why.text, cases[i].why);
        pc_flag_layer_free(file);
        pc_flag_layer_free(environment);
    }
}

static void limits_of_the_environment_are_named(void **state)
{
    (void)state;
    static char names[PC_FLAG_ENVIRONMENT_MAX + 1][16], large[PC_FLAG_VALUE_MAX + 16];
    char *environ[PC_FLAG_ENVIRONMENT_MAX + 2] = {NULL};
    struct pc_flag_layer *layer = NULL;
    struct pc_why why = {{0}};
    for (unsigned i = 0; i <= PC_FLAG_ENVIRONMENT_MAX; i++) {
        snprintf(names[i], sizeof names[i], "FLAG_K%u=1", i);
        environ[i] = names[i];
    }
    assert_int_equal(pc_flag_layer_from_environ(environ, &layer, &why), PC_E_TOO_LARGE);
    assert_string_equal(why.text, "at most 256 FLAG_ variables, there are 257");
    environ[PC_FLAG_ENVIRONMENT_MAX] = NULL;
    assert_int_equal(pc_flag_layer_from_environ(environ, &layer, &why), 0);
    struct pc_flags *f = compile(NULL, NULL, layer);
    assert_int_equal(f->count, 8 + PC_FLAG_ENVIRONMENT_MAX);
    pc_flags_free(f);
    memset(large, 'x', sizeof large - 1);
    memcpy(large, "FLAG_X=", 7);
    /* The value itself is a byte too long for its quotes. */
    large[7 + PC_FLAG_VALUE_MAX - 1] = 0;
    environ[0] = large;
    environ[1] = NULL;
    struct pc_flag_layer *one = NULL;
    assert_int_equal(pc_flag_layer_from_environ(environ, &one, &why), 0);
    assert_int_equal(pc_flags_compile(NULL, NULL, one, &f, &why), PC_E_TOO_LARGE);
    assert_string_equal(why.text, "FLAG_X (flag x): a flag's value has at most 4096 bytes");
    pc_flag_layer_free(one);
    memset(large, '\1', sizeof large - 1); /* each becomes six bytes */
    memcpy(large, "FLAG_X=", 7);
    large[7 + PC_FLAG_VALUE_MAX] = 0;
    assert_int_equal(pc_flag_layer_from_environ(environ, &one, &why), 0);
    assert_int_equal(pc_flags_compile(NULL, NULL, one, &f, &why), PC_E_TOO_LARGE);
    pc_flag_layer_free(one);
}

static void a_runtime_value_of_another_type_is_ignored_and_reported(void **state)
{
    (void)state;
    /* Set while the flag was a boolean; then the file made it a string. */
    struct pc_registers *r = set(NULL, "x.y", "true", false);
    r = set(r, "z", "5", false);
    struct pc_flags *f = compile(file_of("{\"x.y\":\"text\"}"), r, NULL);
    assert_flag(f, "x.y", "\"text\"", PC_FLAG_STRING, "file");
    assert_true(flag_of(f, "x.y")->has_runtime);
    assert_int_equal(f->ignored, 1);
    assert_ptr_equal(f->first_ignored, flag_of(f, "x.y"));
    assert_flag(f, "z", "5", PC_FLAG_INTEGER, "admin:ops");
    pc_flags_free(f);
}

static void too_many_runtime_values_are_refused(void **state)
{
    (void)state;
    unsigned n = PC_FLAG_RUNTIME_MAX + 1;
    struct pc_register *changes = calloc(n, sizeof *changes);
    char(*keys)[16] = calloc(n, sizeof *keys);
    struct pc_registers *r = NULL;
    struct pc_flags *f = NULL;
    struct pc_why why = {{0}};
    for (unsigned i = 0; i < n; i++) {
        snprintf(keys[i], sizeof keys[i], "k%u", i);
        changes[i] = (struct pc_register){.key = pc_bytes_str(keys[i]),
                                          .value = PC_LIT("1"),
                                          .hlc = 1,
                                          .expires_at_ms = INT64_MAX};
    }
    assert_int_equal(pc_registers_merge(NULL, changes, n, 0, n, &r), 0);
    assert_int_equal(pc_flags_compile(NULL, r, NULL, &f, &why), PC_E_FULL);
    assert_string_equal(why.text, "at most 4096 flags may hold a runtime value");
    pc_registers_free(r);
    assert_int_equal(pc_registers_merge(NULL, changes, n - 1, 0, n, &r), 0);
    f = compile(NULL, r, NULL);
    assert_int_equal(f->runtime_count, PC_FLAG_RUNTIME_MAX);
    pc_flags_free(f);
    free(keys);
    free(changes);
}

static void keys_are_checked(void **state)
{
    static const char *const good[] = {"a", "A.b-c_d.9", "9", "ui.show_beta_features"};
    static const char *const bad[] = {"",    ".",  ".a", "a.",  "a..b",
                                      "a b", "_a", "-a", "a/b", "\xc3"};
    char long_key[PC_FLAG_KEY_MAX + 2] = {0};
    struct pc_why why = {{0}};
    (void)state;
    for (size_t i = 0; i < PC_COUNT(good); i++)
        assert_int_equal(pc_flag_key_check(pc_bytes_str(good[i]), NULL), 0);
    for (size_t i = 0; i < PC_COUNT(bad); i++)
        assert_int_equal(pc_flag_key_check(pc_bytes_str(bad[i]), &why), -EINVAL);
    memset(long_key, 'k', sizeof long_key - 1);
    assert_int_equal(pc_flag_key_check(pc_bytes_str(long_key), &why), -EINVAL);
    assert_string_equal(why.text, "a flag's key has at most 128 bytes, this one 129");
    long_key[PC_FLAG_KEY_MAX] = 0;
    assert_int_equal(pc_flag_key_check(pc_bytes_str(long_key), NULL), 0);
}

static int write_value(const char *json, enum pc_flag_type type, char ret_text[64],
                       enum pc_flag_type *ret_type, struct pc_why *why)
{
    struct pc_json_token tokens[64];
    struct pc_json doc;
    struct pc_buf b = pc_buf_of(ret_text, 63);
    assert_int_equal(pc_json_parse(pc_bytes_str(json), tokens, 64, NULL, &doc, NULL), 0);
    int rc = pc_flag_value_write(&doc, doc.tokens, type, &b, ret_type, why);
    ret_text[b.len] = 0;
    return rc;
}

static void values_keep_the_flags_type(void **state)
{
    static const struct {
        const char *json;
        enum pc_flag_type type, becomes; /* becomes 0: refused */
        const char *text;
    } cases[] = {
        {"1",                    PC_FLAG_NO_TYPE, PC_FLAG_INTEGER, "1"                   },
        {"1.0",                  PC_FLAG_NO_TYPE, PC_FLAG_NUMBER,  "1.0"                 },
        {"1e3",                  PC_FLAG_INTEGER, PC_FLAG_INTEGER, "1000"                },
        {"-0",                   PC_FLAG_INTEGER, PC_FLAG_INTEGER, "0"                   },
        {"1",                    PC_FLAG_NUMBER,  PC_FLAG_NUMBER,  "1"                   },
        {"99999999999999999999", PC_FLAG_NO_TYPE, PC_FLAG_NUMBER,  "99999999999999999999"},
        {"99999999999999999999", PC_FLAG_INTEGER, PC_FLAG_NO_TYPE, ""                    },
        {"1.5",                  PC_FLAG_INTEGER, PC_FLAG_NO_TYPE, ""                    },
        {"true",                 PC_FLAG_INTEGER, PC_FLAG_NO_TYPE, ""                    },
        {"\"1\"",                PC_FLAG_NUMBER,  PC_FLAG_NO_TYPE, ""                    },
        {"{ }",                  PC_FLAG_OBJECT,  PC_FLAG_OBJECT,  "{}"                  },
    };
    char text[64];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        enum pc_flag_type type = PC_FLAG_NO_TYPE;
        int rc = write_value(cases[i].json, cases[i].type, text, &type, NULL);
        assert_int_equal(rc, cases[i].becomes ? 0 : -EINVAL);
        assert_int_equal(type, cases[i].becomes);
        if (rc == 0)
            assert_string_equal(text, cases[i].text);
    }
    struct pc_why why = {{0}};
    assert_int_equal(write_value("\"x\"", PC_FLAG_BOOLEAN, text, NULL, &why), -EINVAL);
    assert_string_equal(why.text, "the flag is a boolean, the value is a string");
}

struct heard {
    char text[256];
    size_t n;
};

static void hear(void *ctx, const struct pc_flag *was, const struct pc_flag *is)
{
    struct heard *h = ctx;
    const struct pc_flag *f = is ? is : was;
    h->n += (size_t)snprintf(h->text + h->n, sizeof h->text - h->n, "%s%.*s ",
                             !was ? "+"
                             : is ? ""
                                  : "-",
                             (int)f->key.n, (const char *)f->key.p);
}

static void comparing_tells_what_changed(void **state)
{
    (void)state;
    struct heard h = {"", 0};
    struct pc_flags *a = compile(file_of("{\"a\":1,\"b\":1,\"c\":1,\"t\":1}"), NULL, NULL);
    struct pc_flags *b = compile(file_of("{\"b\":2,\"c\":1,\"d\":1,\"t\":1.0}"), NULL, NULL);
    pc_flags_compare(a, b, hear, &h);
    assert_string_equal(h.text, "-a b +d t ");
    h.n = 0;
    pc_flags_compare(b, b, hear, &h);
    assert_int_equal(h.n, 0);
    pc_flags_free(a);
    a = compile(NULL, NULL, NULL);
    pc_flags_compare(NULL, a, hear, &h);
    assert_true(h.n > 0 && h.text[0] == '+');
    pc_flags_free(a);
    pc_flags_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_layers_there_are_the_built_in_flags),
        cmocka_unit_test(a_later_layer_wins),
        cmocka_unit_test(a_removed_runtime_value_uncovers_the_layer_below),
        cmocka_unit_test(maintenance_and_strictness_are_at_hand),
        cmocka_unit_test(definitions_give_their_default_variant),
        cmocka_unit_test(a_bad_file_is_refused_with_line_and_column),
        cmocka_unit_test(limits_of_a_file_are_named),
        cmocka_unit_test(variables_name_known_flags_first),
        cmocka_unit_test(variables_are_json_or_plain_strings),
        cmocka_unit_test(a_bad_variable_is_refused_by_name),
        cmocka_unit_test(limits_of_the_environment_are_named),
        cmocka_unit_test(a_runtime_value_of_another_type_is_ignored_and_reported),
        cmocka_unit_test(too_many_runtime_values_are_refused),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(values_keep_the_flags_type),
        cmocka_unit_test(comparing_tells_what_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
