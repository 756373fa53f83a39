/* SPDX-License-Identifier: Apache-2.0
 * What a start reads: issuers with their key files, and which CPUs to use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/api/cpus.h"
#include "edge/api/trust_load.h"
#include "support/mint.h"

static char dir[] = "/tmp/pc-start-XXXXXX";
static char jwks_path[64], secret_path[64];
static struct pc_config config;
static struct pc_config_issuer issuers[2];
static struct pc_why why;

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(jwks_path, sizeof jwks_path, "%s/keys.json", dir);
    snprintf(secret_path, sizeof secret_path, "%s/secret", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(jwks_path);
    unlink(secret_path);
    return rmdir(dir);
}

static void write_file(const char *path, const void *text, size_t n, mode_t mode)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
    assert_int_equal(0, chmod(path, mode));
}

/* The configuration of one issuer with a good key file. */
static struct pc_config_issuer *one_issuer(void)
{
    uint8_t seed[32] = {1}, text[1024];
    struct mint_key *key = mint_key_from_seed(seed, "k");
    struct pc_buf b = pc_buf_of(text, sizeof text);
    const struct mint_key *keys[] = {key};
    mint_jwks(&b, keys, 1);
    write_file(jwks_path, b.p, b.len, 0644);
    mint_key_free(key);
    issuers[0] = (struct pc_config_issuer){
        .name = "https://issuer",
        .jwks_file = jwks_path,
        .clock_skew_ms = 3000,
        .max_token_lifetime_ms = 60000,
        .require_jti = true,
        .claims = {.session = "sid",
                   .family = "",
                   .client = "client_id",
                   .scopes = "permissions",
                   .roles = "realm.roles"},
    };
    config = (struct pc_config){.issuers = issuers, .issuer_count = 1};
    return &issuers[0];
}

static void refused(const char *says, const char *and_says)
{
    struct pc_trust *trust = NULL;
    why.text[0] = 0;
    assert_true(pc_trust_load(&config, &trust, &why) < 0);
    assert_null(trust);
    if (!strstr(why.text, says) || !strstr(why.text, and_says))
        fail_msg("\"%s\" says neither \"%s\" nor \"%s\"", why.text, says, and_says);
}

static void settings_and_keys_come_from_the_configuration(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"EdDSA", "ES256"}, *const audiences[] = {"a", "b"};
    struct pc_config_issuer *i = one_issuer();
    struct pc_trust *trust;
    i->algorithms = (struct pc_words){(const char **)(uintptr_t)algorithms, 2};
    i->audiences = (struct pc_words){(const char **)(uintptr_t)audiences, 2};
    assert_int_equal(0, pc_trust_load(&config, &trust, &why));
    pc_trust_seal(trust, NULL);
    const struct pc_issuer_settings *s = &trust->issuers[0].s;
    assert_true(pc_bytes_eq_str(s->name, "https://issuer"));
    assert_int_equal(s->algorithms, PC_ALG_BIT(PC_ALG_EDDSA) | PC_ALG_BIT(PC_ALG_ES256));
    assert_int_equal(s->skew_ms, 3000);
    assert_int_equal(s->max_lifetime_ms, 60000);
    assert_int_equal(s->audience_count, 2);
    assert_true(s->require_jti && !s->require_session && !s->allow_secrets);
    assert_int_equal(s->claims.family.n, 0); /* switched off */
    assert_true(pc_bytes_eq_str(s->claims.client_instead, "azp"));
    assert_int_equal(s->claims.scopes_instead.n, 0); /* a name of one's own has no other */
    assert_int_equal(trust->key_count, 1);
    pc_trust_free(trust);
}

static void no_issuers_are_fine(void **state)
{
    (void)state;
    struct pc_trust *trust;
    config = (struct pc_config){0};
    assert_int_equal(0, pc_trust_load(&config, &trust, &why));
    assert_int_equal(trust->issuer_count, 0);
    pc_trust_free(trust);
}

static void what_is_wrong_with_a_key_file_is_told(void **state)
{
    (void)state;
    struct pc_config_issuer *i = one_issuer();
    static char large[PC_JWKS_BYTES_MAX + 2];
    i->jwks_file = "/nowhere/keys.json";
    refused("https://issuer", "/nowhere/keys.json");
    i->jwks_file = dir;
    refused("https://issuer", "not a regular file");
    i->jwks_file = jwks_path;
    write_file(jwks_path, "{\"keys\":[", 9, 0644);
    refused("https://issuer", jwks_path);
    memset(large, ' ', sizeof large);
    write_file(jwks_path, large, sizeof large, 0644);
    refused(jwks_path, "larger than");
    static const char secret[] = "{\"keys\":[{\"kty\":\"oct\",\"k\":"
                                 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";
    write_file(jwks_path, secret, sizeof secret - 1, 0644);
    refused("https://issuer", jwks_path);
}

static void what_is_wrong_with_settings_is_told(void **state)
{
    (void)state;
    static const char *unknown[] = {"ES257"}, *many[PC_AUDIENCES_MAX + 1];
    struct pc_config_issuer *i = one_issuer();
    i->algorithms = (struct pc_words){unknown, 1};
    refused("https://issuer", "ES257");
    i = one_issuer();
    for (unsigned k = 0; k < PC_COUNT(many); k++)
        many[k] = "a";
    i->audiences = (struct pc_words){many, PC_COUNT(many)};
    refused("https://issuer", "audiences");
    i = one_issuer();
    issuers[1] = issuers[0];
    config.issuer_count = 2;
    refused("https://issuer", "");
}

static void a_shared_secret_is_an_explicit_choice(void **state)
{
    (void)state;
    static const char *algorithms[] = {"HS256"};
    struct pc_config_issuer *i = one_issuer();
    struct pc_trust *trust;
    i->jwks_file = "";
    i->hmac_secret_file = secret_path;
    i->algorithms = (struct pc_words){algorithms, 1};
    refused("https://issuer", secret_path); /* no file yet */
    write_file(secret_path, "0123456789abcdef0123456789abcdef", 32, 0600);
    refused("https://issuer", ""); /* not allowed */
    i->allow_hmac = true;
    assert_int_equal(0, pc_trust_load(&config, &trust, &why));
    assert_int_equal(trust->key_count, 1);
    assert_int_equal(trust->keys[0].key->type, PC_KEY_SECRET);
    pc_trust_free(trust);
    write_file(secret_path, "short", 5, 0600);
    refused("https://issuer", secret_path);
}

/* ---- CPUs ---- */

static void cores_fit_the_machine_unless_configured(void **state)
{
    (void)state;
    cpu_set_t set;
    int cpus[PC_CORES_MAX];
    struct pc_config c = {0};
    assert_int_equal(0, sched_getaffinity(0, sizeof set, &set));
    unsigned n = pc_cores_to_use(&c);
    assert_in_range(n, 1, CPU_COUNT(&set));
    c.cores = 3;
    assert_int_equal(pc_cores_to_use(&c), 3);
    c.cores = 100000;
    assert_int_equal(pc_cores_to_use(&c), PC_CORES_MAX);
    c.pin = PC_PIN_OFF;
    assert_false(pc_cpus_to_pin(&c, 1, cpus));
    c.pin = PC_PIN_ON;
    assert_true(pc_cpus_to_pin(&c, 1, cpus));
    assert_true(CPU_ISSET(cpus[0], &set));
    assert_false(pc_cpus_to_pin(&c, (unsigned)CPU_COUNT(&set) + 1, cpus)); /* too many */
    c.pin = PC_PIN_AUTO;
    assert_false(pc_cpus_to_pin(&c, 1, cpus)); /* one core is left to the scheduler */
}

static void features_are_masked_by_name(void **state)
{
    (void)state;
    static const char *one[] = {"no_iowait"}, *all[] = {"newer-than-6.1"};
    struct pc_config c = {0};
    assert_int_equal(pc_masked_features(&c), 0);
    c.io_uring.mask = (struct pc_words){one, 1};
    assert_int_equal(pc_masked_features(&c), PC_FEATURE_NO_IOWAIT);
    c.io_uring.mask = (struct pc_words){all, 1};
    assert_int_equal(pc_masked_features(&c), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_and_keys_come_from_the_configuration),
        cmocka_unit_test(no_issuers_are_fine),
        cmocka_unit_test(what_is_wrong_with_a_key_file_is_told),
        cmocka_unit_test(what_is_wrong_with_settings_is_told),
        cmocka_unit_test(a_shared_secret_is_an_explicit_choice),
        cmocka_unit_test(cores_fit_the_machine_unless_configured),
        cmocka_unit_test(features_are_masked_by_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
