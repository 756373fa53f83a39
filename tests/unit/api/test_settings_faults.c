/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop over compiling a configuration: routes, policies and IP sets with the first,
 * second, … allocation failing, until one run needs no more. Every failure says so, keeps the
 * limits of the settings in force and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/api/settings.h"
#include "support/fake_malloc.h"

static const char config_text[] =
    "routes:\n"
    "  - {name: a, path: \"/a/{id}\", hosts: [\"*.example\", h], methods: [GET], scopes: [r, w],\n"
    "     roles: [\"x y\"], limits: [ip, p], ip_sets: [s], flags: [cache.ttl_seconds]}\n"
    "  - {name: b, path: /a/*}\n"
    "limit_policies:\n"
    "  - {name: p, rate: 5/min, key: [subject, \"header:x\"], max_keys: 1024}\n"
    "ip_sets:\n"
    "  - {name: s, allow: [192.0.2.0/24], deny: [\"2001:db8::/32\"]}\n";

static struct pc_config *load(void)
{
    char path[] = "/tmp/pc-settings-XXXXXX";
    struct pc_config_options options = {.path = path};
    struct pc_config *c = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, config_text, sizeof config_text - 1) > 0);
    close(fd);
    assert_int_equal(pc_config_load(&options, &c, NULL), 0);
    unlink(path);
    return c;
}

static void every_allocation_of_compiling_may_fail(void **state)
{
    (void)state;
    static const uint8_t secret[16] = {1};
    if (!fake_malloc_works())
        skip();
    struct pc_settings old = {.config = load()}, fresh = {.config = load()};
    struct pc_why why = {{0}};
    assert_int_equal(pc_settings_compile(&old, old.config, NULL, 1, secret, &why), 0);
    long k = 0;
    do { /* a refusal to trim is made up for */
        long before = fake_malloc_live();
        why.text[0] = 0;
        fake_malloc_fail_at(++k);
        int rc = pc_settings_compile(&fresh, old.config, &old, 1, secret, &why);
        fake_malloc_fail_at(0);
        assert_true(rc == 0 || (rc == -ENOMEM && why.text[0]));
        pc_settings_free_compiled(&fresh);
        assert_int_equal(fake_malloc_live(), before);
    } while (fake_malloc_fired());
    assert_true(k > 15);
    /* The old ones still work. */
    struct pc_route_request r = {
        .path = PC_LIT("/a/1"), .host = PC_LIT("h"), .method = PC_LIT("GET")};
    assert_int_equal(pc_routes_find(old.router, &r), 0);
    pc_settings_free_compiled(&old);
    pc_config_free(old.config);
    pc_config_free(fresh.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_of_compiling_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
