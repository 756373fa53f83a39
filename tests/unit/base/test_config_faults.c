/* SPDX-License-Identifier: Apache-2.0
 * Loading and showing a configuration while the k-th allocation fails, for every k: it is refused
 * with words (or was not needed), and nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"
#include "support/fake_malloc.h"

#define FAULTS_MAX 20000 /* more than a load allocates */

static char path[64];

static int setup(void **state)
{
    static const char text[] =
        "data_dir: d\n"
        "listeners:\n"
        "  - {name: a, address: \"127.0.0.1:1\", trusted_peers: [10.0.0.0/8, unix]}\n"
        "  - {name: b, address: \"unix:/run/b\", protocols: [resp]}\n"
        "issuers: [{name: i, jwks_file: j, audiences: [x, y], claims: {roles: r}}]\n"
        "resp: {prefixes: [{prefix: \"p:\"}]}\n"
        "http: {body: 64KiB}\n";
    (void)state;
    snprintf(path, sizeof path, "/tmp/pc-faults-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1);
    return close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

/* One load with a fault at k; whether the fault was reached. */
static bool load_with_fault(long k, const char *hash)
{
    char env[] = "PORTCULLIS_CORS_ORIGINS=https://a,https://b";
    char *environ_[] = {env, NULL};
    const struct pc_config_options o = {.path = path, .environ = environ_};
    struct pc_config *c = NULL;
    struct pc_why why = {""};
    long before = fake_malloc_live();
    fake_malloc_fail_at(k);
    int err = pc_config_load(&o, &c, &why);
    fake_malloc_fail_at(0);
    bool reached = fake_malloc_fired();
    if (err) {
        assert_null(c);
        assert_true(reached && why.text[0]);
    } else {
        assert_string_equal(c->hash, hash);
        pc_config_free(c);
    }
    assert_int_equal(fake_malloc_live(), before);
    return reached;
}

static void every_allocation_may_fail_and_nothing_leaks(void **state)
{
    (void)state;
    char hash[PC_CONFIG_HASH_CHARS + 1];
    char env[] = "PORTCULLIS_CORS_ORIGINS=https://a,https://b";
    char *environ_[] = {env, NULL};
    struct pc_config *c;
    struct pc_why why = {""};
    assert_int_equal(
        pc_config_load(&(struct pc_config_options){.path = path, .environ = environ_}, &c, &why),
        0);
    memcpy(hash, c->hash, sizeof hash);
    pc_config_free(c);
    long k = 1;
    while (fake_malloc_works() && k < FAULTS_MAX && load_with_fault(k, hash))
        k++;
    assert_true(!fake_malloc_works() || (k > 100 && k < FAULTS_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_allocation_may_fail_and_nothing_leaks, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
