/* SPDX-License-Identifier: Apache-2.0
 * Secret files: what is refused, and that replacing one is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/secret.h"

struct place {
    char dir[64], path[96];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/pc-secret-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/secret", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0); /* also: no temporary file was left */
    free(p);
    return 0;
}

static void what_was_written_is_read_without_its_newline(void **state)
{
    struct place *p = *state;
    struct pc_secret s;
    struct pc_why why;
    struct stat st;
    assert_int_equal(pc_secret_write(p->path, PC_LIT("hunter2\n"), &why), 0);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(pc_secret_read(p->path, &s, &why), 0);
    assert_true(pc_bytes_eq_str(pc_secret_bytes(&s), "hunter2"));
    assert_int_equal(pc_secret_write(p->path, PC_LIT("two"), &why), 0);
    assert_int_equal(pc_secret_read(p->path, &s, &why), 0);
    assert_true(pc_bytes_eq_str(pc_secret_bytes(&s), "two"));
}

static void a_file_that_others_may_read_is_refused_and_named(void **state)
{
    struct place *p = *state;
    struct pc_secret s = {.n = 77};
    struct pc_why why;
    assert_int_equal(pc_secret_write(p->path, PC_LIT("x"), &why), 0);
    assert_int_equal(chmod(p->path, 0640), 0);
    assert_int_equal(pc_secret_read(p->path, &s, &why), -EPERM);
    assert_non_null(strstr(why.text, p->path));
    assert_non_null(strstr(why.text, "chmod 600"));
    assert_int_equal(s.n, 77); /* untouched on failure */
}

static void missing_empty_huge_and_odd_files_are_refused(void **state)
{
    struct place *p = *state;
    struct pc_secret s;
    struct pc_why why;
    static uint8_t huge[PC_SECRET_MAX + 1];
    assert_int_equal(pc_secret_read(p->path, &s, &why), -ENOENT);
    assert_int_equal(pc_secret_write(p->path, PC_LIT("\n"), &why), 0);
    assert_int_equal(pc_secret_read(p->path, &s, &why), -EINVAL);
    assert_int_equal(pc_secret_write(p->path, pc_bytes_of(huge, sizeof huge), &why), 0);
    assert_int_equal(pc_secret_read(p->path, &s, &why), PC_E_TOO_LARGE);
    unlink(p->path);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(pc_secret_read(p->path, &s, &why), -EINVAL);
}

static void a_failed_write_leaves_nothing_behind(void **state)
{
    struct place *p = *state;
    struct pc_why why;
    char path[160];
    snprintf(path, sizeof path, "%s/none/secret", p->dir);
    assert_int_equal(pc_secret_write(path, PC_LIT("x"), &why), -ENOENT);
    assert_int_equal(mkdir(p->path, 0700), 0); /* a directory cannot be replaced by a file */
    assert_true(pc_secret_write(p->path, PC_LIT("x"), &why) < 0);
    rmdir(p->path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_without_its_newline),
        TEST(a_file_that_others_may_read_is_refused_and_named),
        TEST(missing_empty_huge_and_odd_files_are_refused),
        TEST(a_failed_write_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
