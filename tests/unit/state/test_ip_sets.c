/* SPDX-License-Identifier: Apache-2.0
 * IP sets: configured and runtime rules together, defaults, keys, listing; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"
#include "edge/state/ip_sets.h"
#include "edge/state/registers.h"

#define NOW 1000000

static struct pc_ip_configured *configured(const struct pc_ip_set_source *sets, unsigned n)
{
    struct pc_ip_configured *c;
    struct pc_why why = {{0}};
    if (pc_ip_configured_new(sets, n, &c, &why) < 0)
        fail_msg("%s", why.text);
    return c;
}

static const char *const office[] = {"192.0.2.0/24", "2001:db8::/32"};
static const char *const guests[] = {"192.0.2.128/25"};

static const struct pc_ip_set_source sources[] = {
    {.name = "office",
     .otherwise_deny = true,
     .allow = office,
     .allow_n = 2,
     .deny = guests,
     .deny_n = 1},
    {.name = "global",
     .list = {(const uint8_t *)"198.51.100.0/24 # SBL1\nallow 198.51.100.7\n", 42},
     .list_name = "file drop.txt"},
    {.name = "empty.deny",                .otherwise_deny = true    },
};

static struct pc_register rule(const char *key, const char *action, int64_t expires_at_ms)
{
    return (struct pc_register){.key = pc_bytes_str(key),
                                .value = pc_bytes_str(action),
                                .actor = PC_LIT("token:ops"),
                                .reason = PC_LIT("seen"),
                                .hlc = 1,
                                .at_ms = 500,
                                .expires_at_ms = expires_at_ms};
}

static struct pc_registers *registers(const struct pc_register *rules, size_t n)
{
    struct pc_registers *r;
    assert_int_equal(pc_registers_merge(NULL, rules, n, 0, SIZE_MAX, &r), 0);
    return r;
}

static struct pc_ip_sets *sets_of(const struct pc_ip_configured *c, const struct pc_register *rules,
                                  size_t n)
{
    struct pc_registers *r = registers(rules, n);
    struct pc_ip_sets *s;
    struct pc_why why = {{0}};
    if (pc_ip_sets_compile(c, r, 0, &s, &why) < 0)
        fail_msg("%s", why.text);
    pc_registers_free(r); /* I2: nothing is borrowed from them */
    return s;
}

/* "deny configured 192.0.2.0/24 (why)" */
static void check(const struct pc_ip_sets *s, const char *set, const char *address,
                  const char *want)
{
    struct pc_ip ip = {0};
    struct pc_ip_match m;
    struct pc_ip_rule r;
    char got[256];
    struct pc_buf b = pc_buf_of(got, sizeof got - 1);
    unsigned index = pc_ip_sets_find(s, pc_bytes_str(set));
    assert_int_not_equal(index, PC_IP_NO_SET);
    assert_string_equal(pc_ip_sets_name(s, index), set);
    if (address[0])
        assert_int_equal(pc_ip_parse(pc_bytes_str(address), &ip), 0);
    pc_ip_sets_match(s, index, &ip, NOW, &m);
    pc_buf_fmt(&b, "%s %s", m.deny ? "deny" : "allow", pc_ip_source_name(m.source));
    if (pc_ip_match_rule(&m, &r)) {
        assert_int_equal(r.deny, m.deny);
        pc_buf_char(&b, ' ');
        pc_cidr_format(&r.cidr, &b);
        if (r.reason.n)
            pc_buf_fmt(&b, " (%.*s)", (int)r.reason.n, (const char *)r.reason.p);
    }
    got[b.len] = 0;
    if (strcmp(got, want) != 0)
        fail_msg("%s %s: wanted \"%s\", got \"%s\"", set, address, want, got);
}

static void the_configured_part_decides_alone(void **state)
{
    struct pc_ip_configured *c = configured(sources, PC_COUNT(sources));
    struct pc_ip_sets *s = sets_of(c, NULL, 0);
    (void)state;
    assert_int_equal(pc_ip_configured_rules(c), 5);
    assert_int_equal(pc_ip_sets_count(s), 3);
    assert_int_equal(pc_ip_sets_find(s, PC_LIT("global")), PC_IP_GLOBAL);
    assert_int_equal(pc_ip_sets_find(s, PC_LIT("glob")), PC_IP_NO_SET);
    check(s, "office", "192.0.2.1", "allow configured 192.0.2.0/24");
    check(s, "office", "192.0.2.200", "deny configured 192.0.2.128/25");
    check(s, "office", "203.0.113.1", "deny default");
    check(s, "office", "::ffff:192.0.2.1", "allow configured 192.0.2.0/24");
    check(s, "office", "2001:db8::1", "allow configured 2001:db8::/32");
    check(s, "global", "198.51.100.1", "deny configured 198.51.100.0/24 (SBL1)");
    check(s, "global", "198.51.100.7", "allow configured 198.51.100.7/32");
    check(s, "global", "203.0.113.1", "allow default");
    check(s, "empty.deny", "203.0.113.1", "deny default");
    pc_ip_sets_free(s);
    pc_ip_configured_free(c);
}

static void without_configuration_global_allows(void **state)
{
    struct pc_ip_configured *c = configured(NULL, 0);
    struct pc_ip_sets *s;
    (void)state;
    assert_int_equal(pc_ip_sets_compile(c, NULL, 0, &s, NULL), 0);
    assert_int_equal(pc_ip_sets_count(s), 1);
    assert_string_equal(pc_ip_sets_name(s, PC_IP_GLOBAL), "global");
    check(s, "global", "192.0.2.1", "allow default");
    check(s, "global", "", "allow default");
    assert_true(pc_ip_sets_next_expiry_ms(s) == INT64_MAX);
    pc_ip_sets_free(s);
    pc_ip_configured_free(c);
}

static void the_longest_prefix_of_both_decides_and_runtime_wins_a_tie(void **state)
{
    const struct pc_register rules[] = {
        rule("global 198.51.100.0/24", "allow", INT64_MAX), /* as long as the configured one */
        rule("global 198.51.100.7/32", "deny", INT64_MAX),
        rule("global 198.51.100.128/25", "deny", INT64_MAX),
        rule("global 198.0.0.0/8", "allow", INT64_MAX),
        rule("office 0.0.0.0/0", "allow", INT64_MAX),
        rule("office 203.0.113.0/24", "deny", NOW), /* just expired: the next longer one decides */
    };
    struct pc_ip_configured *c = configured(sources, PC_COUNT(sources));
    struct pc_ip_sets *s = sets_of(c, rules, PC_COUNT(rules));
    (void)state;
    check(s, "global", "198.51.100.1", "allow runtime 198.51.100.0/24 (seen)");
    check(s, "global", "198.51.100.7", "deny runtime 198.51.100.7/32 (seen)");
    check(s, "global", "198.51.100.200", "deny runtime 198.51.100.128/25 (seen)");
    check(s, "global", "198.1.1.1", "allow runtime 198.0.0.0/8 (seen)");
    check(s, "global", "199.1.1.1", "allow default");
    check(s, "office", "192.0.2.200", "deny configured 192.0.2.128/25");
    check(s, "office", "203.0.113.1", "allow runtime 0.0.0.0/0 (seen)");
    assert_int_equal(pc_ip_sets_next_expiry_ms(s), NOW);
    pc_ip_sets_free(s);
    pc_ip_configured_free(c);
}

static void a_client_without_address_passes_no_set_with_rules(void **state)
{
    const struct pc_register one = rule("empty.deny 192.0.2.1/32", "allow", INT64_MAX);
    struct pc_ip_configured *c = configured(sources, PC_COUNT(sources));
    struct pc_ip_sets *s = sets_of(c, NULL, 0);
    (void)state;
    check(s, "global", "", "deny no_address");
    check(s, "office", "", "deny no_address");
    check(s, "empty.deny", "", "deny default");
    pc_ip_sets_free(s);
    s = sets_of(c, &one, 1);
    check(s, "empty.deny", "", "deny no_address");
    pc_ip_sets_free(s);
    pc_ip_configured_free(c);
}

static void what_is_no_rule_is_ignored_and_expired_ones_leave(void **state)
{
    struct pc_register rules[] = {
        rule("global 192.0.2.1/32", "deny", 100),
        rule("global 192.0.2.2/32", "deny", 200),
        rule("global 192.0.2.3/32", "block", 900),
        rule("global 192.0.2.4", "deny", 900),
        rule("global", "deny", 900),
        rule("glo bal 192.0.2.5/32", "deny", 900),
        rule("a 192.0.2.6/32", "deny", 900),
    };
    struct pc_ip_sets_stats stats;
    struct pc_ip_configured *c = configured(sources, PC_COUNT(sources));
    struct pc_registers *r = registers(rules, PC_COUNT(rules));
    struct pc_ip_sets *s;
    (void)state;
    assert_int_equal(pc_ip_sets_compile(c, r, 101, &s, NULL), 0);
    pc_ip_sets_read_stats(s, &stats);
    assert_int_equal(stats.runtime_rules, 2);
    assert_int_equal(stats.dormant_rules, 1);
    assert_int_equal(stats.configured_rules, 5);
    assert_int_equal(stats.configured_bytes, pc_ip_configured_bytes(c));
    assert_true(stats.runtime_bytes > 0);
    assert_int_equal(pc_ip_sets_next_expiry_ms(s), 200);
    pc_ip_sets_free(s);
    pc_registers_free(r);
    pc_ip_configured_free(c);
}

static void more_rules_than_the_limit_are_refused(void **state)
{
    size_t n = PC_IP_RUNTIME_RULES_MAX + 1, at = 0;
    struct pc_register *rules = calloc(n, sizeof *rules);
    char *keys = malloc(n * 40);
    struct pc_ip_configured *c = configured(NULL, 0);
    struct pc_ip_sets *s = NULL;
    struct pc_why why = {{0}};
    (void)state;
    assert_true(rules && keys);
    for (size_t i = 0; i < n; i++) {
        char *key = keys + i * 40;
        snprintf(key, 40, "global 10.%u.%u.%u/32", (unsigned)(i >> 16), (unsigned)(i >> 8 & 255),
                 (unsigned)(i & 255));
        rules[i] = rule(key, "deny", i ? INT64_MAX : 100);
    }
    struct pc_registers *r = registers(rules, n);
    assert_int_equal(pc_ip_sets_compile(c, r, 0, &s, &why), PC_E_FULL);
    assert_null(s);
    assert_string_equal(why.text, "more than 65536 IP rules at run time");
    assert_int_equal(pc_ip_sets_compile(c, r, 101, &s, &why), 0); /* without the expired one */
    struct pc_ip_place place = {0};
    struct pc_ip_listed listed;
    while (pc_ip_sets_next(s, &place, &listed))
        at++;
    assert_int_equal(at, PC_IP_RUNTIME_RULES_MAX);
    pc_ip_sets_free(s);
    pc_registers_free(r);
    pc_ip_configured_free(c);
    free(keys);
    free(rules);
}

static void listing_goes_through_all_sets_and_survives_a_new_snapshot(void **state)
{
    static const char *const want[] = {
        "dormant runtime deny 10.0.0.1/32 dormant token:ops 500",
        "global configured deny 198.51.100.0/24",
        "global configured allow 198.51.100.7/32",
        "global runtime deny 192.0.2.0/24 token:ops 500",
        "global runtime allow 2001:db8::/32 token:ops 500",
        "office configured allow 192.0.2.0/24",
        "office configured deny 192.0.2.128/25",
        "office configured allow 2001:db8::/32",
        "zzz runtime deny 10.0.0.0/8 dormant token:ops 500",
    };
    const struct pc_register rules[] = {
        rule("zzz 10.0.0.0/8", "deny", INT64_MAX),
        rule("dormant 10.0.0.1/32", "deny", INT64_MAX),
        rule("global 2001:db8::/32", "allow", INT64_MAX),
        rule("global 192.0.2.0/24", "deny", INT64_MAX),
    };
    struct pc_ip_configured *c = configured(sources, PC_COUNT(sources));
    struct pc_ip_place place = {0};
    struct pc_ip_listed l;
    size_t n = 0;
    (void)state;
    for (;; n++) { /* each step on a snapshot of its own */
        struct pc_ip_sets *s = sets_of(c, rules, PC_COUNT(rules));
        char got[256];
        struct pc_buf b = pc_buf_of(got, sizeof got - 1);
        bool more = pc_ip_sets_next(s, &place, &l);
        if (more) {
            assert_true(n < PC_COUNT(want));
            pc_buf_bytes(&b, l.set);
            pc_buf_fmt(&b, " %s %s ", pc_ip_source_name(l.source), l.rule.deny ? "deny" : "allow");
            pc_cidr_format(&l.rule.cidr, &b);
            pc_buf_str(&b, l.dormant ? " dormant" : "");
            if (l.actor.n)
                pc_buf_fmt(&b, " %.*s %d", (int)l.actor.n, (const char *)l.actor.p, (int)l.at_ms);
            got[b.len] = 0;
            assert_string_equal(got, want[n]);
        }
        pc_ip_sets_free(s);
        if (!more)
            break;
    }
    assert_int_equal(n, PC_COUNT(want));
    pc_ip_configured_free(c);
}

static void keys_have_one_spelling(void **state)
{
    static const char *const good[] = {"global 192.0.2.0/24", "a.b-c_D 2001:db8::/32",
                                       "x 0.0.0.0/0", "x ::1/128"};
    static const char *const bad[] = {"",
                                      "global",
                                      "global ",
                                      " 192.0.2.0/24",
                                      "global 192.0.2.1",
                                      "global 192.0.2.1/24",
                                      "global  192.0.2.0/24",
                                      "global 192.0.2.0/24 ",
                                      "glob/al 192.0.2.0/24",
                                      "global ::ffff:192.0.2.0/120",
                                      "global 2001:DB8::/32",
                                      "global 2001:db8:0::/32"};
    struct pc_bytes set;
    struct pc_cidr cidr;
    (void)state;
    for (size_t i = 0; i < PC_COUNT(good); i++) {
        char again[PC_IP_KEY_MAX];
        struct pc_buf b = pc_buf_of(again, sizeof again);
        assert_int_equal(pc_ip_key_parse(pc_bytes_str(good[i]), &set, &cidr), 0);
        pc_ip_key_format(set, &cidr, &b);
        assert_true(pc_bytes_eq_str(pc_bytes_of(b.p, b.len), good[i]));
    }
    for (size_t i = 0; i < PC_COUNT(bad); i++)
        assert_int_equal(pc_ip_key_parse(pc_bytes_str(bad[i]), &set, &cidr), -EINVAL);
}

static void refuse(const struct pc_ip_set_source *sets, unsigned n, const char *want)
{
    struct pc_ip_configured *c = NULL;
    struct pc_why why = {{0}};
    assert_true(pc_ip_configured_new(sets, n, &c, &why) < 0);
    assert_null(c);
    assert_string_equal(why.text, want);
}

static void a_bad_configuration_is_refused_by_name(void **state)
{
    static const char *const words[] = {"192.0.2.0/24", "192.0.2.1/24"};
    static const char *const same[] = {"192.0.2.0/24"};
    struct pc_ip_set_source s[2] = {{.name = "a b"}, {.name = "twice"}};
    (void)state;
    refuse(s, 1, "IP set \"a b\": a name is of letters, digits, _, - and .");
    s[0].name = "twice";
    refuse(s, 2, "IP set twice: configured twice");
    s[0].name = "x";
    s[0].deny = words;
    s[0].deny_n = 2;
    refuse(s, 1,
           "IP set x: \"192.0.2.1/24\": bits behind the length are set; the network is "
           "192.0.2.0/24");
    s[0].deny = s[0].allow = same;
    s[0].deny_n = s[0].allow_n = 1;
    refuse(s, 1, "IP set x: 192.0.2.0/24 is both allowed and denied");
    s[0].deny_n = 0;
    s[0].list = PC_LIT("10.0.0.0/8\nnonsense\n");
    s[0].list_name = "file /x";
    refuse(s, 1,
           "IP set x: file /x: line 2: \"nonsense\": not an address or network such as "
           "192.0.2.0/24 or 2001:db8::/32");
    s[0].list = PC_LIT("192.0.2.0/24\n"); /* a bare network of a set that allows is denied */
    refuse(s, 1, "IP set x: 192.0.2.0/24 is both allowed and denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_configured_part_decides_alone),
        cmocka_unit_test(without_configuration_global_allows),
        cmocka_unit_test(the_longest_prefix_of_both_decides_and_runtime_wins_a_tie),
        cmocka_unit_test(a_client_without_address_passes_no_set_with_rules),
        cmocka_unit_test(what_is_no_rule_is_ignored_and_expired_ones_leave),
        cmocka_unit_test(more_rules_than_the_limit_are_refused),
        cmocka_unit_test(listing_goes_through_all_sets_and_survives_a_new_snapshot),
        cmocka_unit_test(keys_have_one_spelling),
        cmocka_unit_test(a_bad_configuration_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
