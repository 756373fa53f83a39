/* SPDX-License-Identifier: Apache-2.0
 * Administrators' tokens: life of a token, and what a damaged or exposed file does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/admin_tokens.h"
#include "base/secret.h"

#define NOW   1700000000
#define NEVER INT64_MAX

static char path[64];

static int setup(void **state)
{
    char dir[] = "/tmp/pc-tokens-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/tokens.json", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    *strrchr(path, '/') = 0;
    return rmdir(path);
}

/* Adds a token with its own random bytes. */
static void create(struct pc_admin_tokens *t, const char *name, enum pc_admin_role role,
                   int64_t expires_s, char text[PC_ADMIN_TOKEN_TEXT_MAX])
{
    uint8_t random[40];
    memset(random, (int)t->count + 1, sizeof random);
    assert_int_equal(pc_admin_tokens_create(t, name, role, NOW, expires_s, random, text), 0);
}

static bool verifies(const struct pc_admin_tokens *t, const char *text, int64_t now_s)
{
    return pc_admin_tokens_verify(t, pc_bytes_str(text), now_s) != NULL;
}

static void a_token_works_until_it_expires_or_is_revoked(void **state)
{
    (void)state;
    struct pc_admin_tokens t = {0};
    char a[PC_ADMIN_TOKEN_TEXT_MAX], b[PC_ADMIN_TOKEN_TEXT_MAX];
    create(&t, "ops", PC_ADMIN_OPERATOR, NOW + 10, a);
    create(&t, "root", PC_ADMIN_ADMIN, NEVER, b);
    assert_int_equal(strlen(a), 6 + 16 + 1 + 64);
    assert_int_equal(pc_admin_tokens_verify(&t, pc_bytes_str(a), NOW)->role, PC_ADMIN_OPERATOR);
    assert_true(verifies(&t, a, NOW + 9));
    assert_false(verifies(&t, a, NOW + 10));
    assert_string_equal(pc_admin_tokens_verify(&t, pc_bytes_str(b), NOW + 10)->name, "root");
    assert_int_equal(pc_admin_tokens_revoke(&t, "root", NOW + 11), 0);
    assert_int_equal(pc_admin_tokens_revoke(&t, "root", NOW + 11), -ENOENT);
    assert_false(verifies(&t, b, NOW + 11));
    assert_false(pc_admin_tokens_any_alive(&t, NOW + 11));
    pc_admin_tokens_free(&t);
}

static void no_other_text_is_accepted(void **state)
{
    (void)state;
    struct pc_admin_tokens t = {0};
    char text[PC_ADMIN_TOKEN_TEXT_MAX], other[PC_ADMIN_TOKEN_TEXT_MAX], huge[4096];
    create(&t, "ops", PC_ADMIN_ADMIN, NEVER, text);
    create(&t, "two", PC_ADMIN_ADMIN, NEVER, other);
    for (size_t i = 0; text[i]; i++) {
        char kept = text[i];
        text[i] = kept == '0' ? '1' : '0';
        assert_false(verifies(&t, text, NOW));
        text[i] = 0; /* every prefix too */
        assert_false(verifies(&t, text, NOW));
        text[i] = kept;
    }
    assert_true(verifies(&t, text, NOW));
    memcpy(other + 6, text + 6, 16); /* one token's id with another's secret */
    assert_false(verifies(&t, other, NOW));
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    assert_false(verifies(&t, huge, NOW));
    assert_false(verifies(&t, "", NOW));
    pc_admin_tokens_free(&t);
}

static void names_are_checked_and_belong_to_one_living_token(void **state)
{
    (void)state;
    struct pc_admin_tokens t = {0};
    char text[PC_ADMIN_TOKEN_TEXT_MAX];
    const uint8_t random[40] = {9};
    create(&t, "ops", PC_ADMIN_ADMIN, NEVER, text);
    const char *const bad[] = {"", "a b", "a/b", "\xc3\xa4"};
    for (size_t i = 0; i < PC_COUNT(bad); i++)
        assert_int_equal(
            pc_admin_tokens_create(&t, bad[i], PC_ADMIN_ADMIN, NOW, NEVER, random, text), -EINVAL);
    assert_int_equal(pc_admin_tokens_create(&t, "ops", PC_ADMIN_ADMIN, NOW, NEVER, random, text),
                     PC_E_DUPLICATE);
    assert_int_equal(pc_admin_tokens_revoke(&t, "ops", NOW), 0);
    assert_int_equal(pc_admin_tokens_create(&t, "ops", PC_ADMIN_ADMIN, NOW, NEVER, random, text),
                     0);
    pc_admin_tokens_free(&t);
}

static void the_file_gives_back_the_set_without_the_secrets(void **state)
{
    (void)state;
    struct pc_admin_tokens t = {0}, loaded;
    struct pc_why why;
    struct pc_secret content;
    char a[PC_ADMIN_TOKEN_TEXT_MAX], b[PC_ADMIN_TOKEN_TEXT_MAX];
    create(&t, "ops", PC_ADMIN_GATEWAY, NOW + 10, a);
    create(&t, "root", PC_ADMIN_ADMIN, NEVER, b);
    assert_int_equal(pc_admin_tokens_revoke(&t, t.tokens[1].id, NOW + 1), 0);
    assert_int_equal(pc_admin_tokens_save(path, &t, &why), 0);
    assert_int_equal(pc_secret_read(path, &content, &why), 0);
    assert_null(memmem(content.bytes, content.n, a + 23, 64));
    assert_int_equal(pc_admin_tokens_load(path, &loaded, &why), 0);
    assert_int_equal(loaded.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct pc_admin_token *x = &t.tokens[i], *y = &loaded.tokens[i];
        assert_string_equal(x->id, y->id);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->hash, y->hash, sizeof x->hash);
        assert_true(x->role == y->role && x->created_s == y->created_s &&
                    x->expires_s == y->expires_s && x->revoked_s == y->revoked_s);
    }
    assert_true(verifies(&loaded, a, NOW));
    assert_false(verifies(&loaded, b, NOW));
    pc_admin_tokens_free(&t);
    pc_admin_tokens_free(&loaded);
}

static void a_missing_file_is_an_empty_set(void **state)
{
    (void)state;
    struct pc_admin_tokens t = {.count = 7};
    struct pc_why why;
    assert_int_equal(pc_admin_tokens_load(path, &t, &why), 0);
    assert_int_equal(t.count, 0);
    assert_false(verifies(&t, "pcadm_", NOW));
    pc_admin_tokens_free(&t);
}

#define TOKEN                                                                                      \
    "{\"id\":\"0123456789abcdef\",\"name\":\"n\",\"role\":\"admin\",\"sha256\":"                   \
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","                        \
    "\"created\":1,\"expires\":null,\"revoked\":null"

static void a_damaged_file_is_refused_whole(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int err;
    } cases[] = {
        {"{\"version\":1,\"tokens\":[" TOKEN "}]}",              0           },
        {"",                                                     PC_E_DAMAGED},
        {"[]",                                                   PC_E_DAMAGED},
        {"{\"version\":1}",                                      PC_E_DAMAGED},
        {"{\"version\":2,\"tokens\":[]}",                        PC_E_VERSION},
        {"{\"version\":1,\"tokens\":[1]}",                       PC_E_DAMAGED},
        {"{\"version\":1,\"tokens\":[" TOKEN ",\"more\":1}]}",   PC_E_DAMAGED},
        {"{\"version\":1,\"tokens\":[" TOKEN ",\"id\":\"0\"}]}", PC_E_DAMAGED},
        {"{\"version\":1,\"tokens\":[" TOKEN "},{}]}",           PC_E_DAMAGED},
        {"{\"version\":1,\"version\":1,\"tokens\":[]}",          PC_E_DAMAGED},
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_admin_tokens t = {0};
        struct pc_why why = {""};
        assert_int_equal(pc_secret_write(path, pc_bytes_str(cases[i].text), &why), 0);
        assert_int_equal(pc_admin_tokens_load(path, &t, &why), cases[i].err);
        assert_true(cases[i].err == 0 || strstr(why.text, path));
        pc_admin_tokens_free(&t);
    }
}

static void a_file_that_others_may_access_is_refused(void **state)
{
    (void)state;
    struct pc_admin_tokens t = {0};
    struct pc_why why;
    assert_int_equal(pc_admin_tokens_save(path, &t, &why), 0);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(pc_admin_tokens_load(path, &t, &why), -EPERM);
    assert_non_null(strstr(why.text, "chmod 600"));
}

static void a_text_from_a_file_works_in_either_form(void **state)
{
    (void)state;
    struct pc_admin_tokens made = {0}, t = {0};
    char text[PC_ADMIN_TOKEN_TEXT_MAX];
    static const char plain[] = "0123456789abcdef0123456789abcdef";
    create(&made, "ops", PC_ADMIN_ADMIN, NEVER, text);
    assert_int_equal(pc_admin_tokens_add_text(&t, "f", PC_ADMIN_ADMIN, PC_LIT("short")), -EINVAL);
    assert_int_equal(pc_admin_tokens_add_text(&t, "f", PC_ADMIN_ADMIN, pc_bytes_str(plain)), 0);
    assert_int_equal(pc_admin_tokens_add_text(&t, "g", PC_ADMIN_ADMIN, pc_bytes_str(text)), 0);
    assert_true(verifies(&t, plain, NOW));
    assert_true(verifies(&t, text, NOW));
    assert_false(verifies(&t, "0123456789abcdef0123456789abcdeX", NOW));
    pc_admin_tokens_free(&made);
    pc_admin_tokens_free(&t);
}

static void roles_have_names(void **state)
{
    (void)state;
    assert_int_equal(pc_admin_role_of_name(PC_LIT("operator")), PC_ADMIN_OPERATOR);
    assert_int_equal(pc_admin_role_of_name(PC_LIT("root")), PC_ADMIN_NONE);
    assert_null(pc_admin_role_name(PC_ADMIN_NONE));
    assert_string_equal(pc_admin_role_name(PC_ADMIN_GATEWAY), "gateway");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_works_until_it_expires_or_is_revoked),
        TEST(no_other_text_is_accepted),
        TEST(names_are_checked_and_belong_to_one_living_token),
        TEST(the_file_gives_back_the_set_without_the_secrets),
        TEST(a_missing_file_is_an_empty_set),
        TEST(a_damaged_file_is_refused_whole),
        TEST(a_file_that_others_may_access_is_refused),
        TEST(a_text_from_a_file_works_in_either_form),
        TEST(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
