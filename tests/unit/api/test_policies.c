/* SPDX-License-Identifier: Apache-2.0
 * Limit policies: what keys are made of requests, that no two requests share one by accident or by
 * design of a client, charging several limits at once, and what passes on over a reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/api/policies.h"

#define S  INT64_C(1000000000)
#define T0 (5000 * S)

static const uint8_t secret[16] = "0123456789abcdef";

enum { POLICIES = 8 };

/* A configuration of limit policies alone. */
struct rig {
    struct pc_config_limit_policy rows[POLICIES];
    struct pc_config config;
    struct pc_policies *policies;
    struct pc_limit_user user;
    uint8_t memory[PC_CHARGES_MAX * PC_LIMIT_KEY_MAX];
    struct pc_buf text;
};

static const char *const ip_word[] = {"ip"};

static struct pc_config_limit_policy *add(struct rig *g, const char *name, const char *rate,
                                          const char *const *key, unsigned key_n)
{
    struct pc_config_limit_policy *row = &g->rows[g->config.limit_policy_count++];
    assert_true(g->config.limit_policy_count <= POLICIES);
    *row = (struct pc_config_limit_policy){
        .name = name,
        .rate = rate,
        .key = {(const char **)(uintptr_t)key, key_n},
        .cost = 1,
        .max_keys = 1024,
        .ipv6_prefix = 64
    };
    return row;
}

static void compile(struct rig *g)
{
    struct pc_policies *fresh = NULL;
    struct pc_why why = {""};
    g->config.limit_policies = g->rows;
    if (pc_policies_compile(&g->config, g->policies, 1, secret, &fresh, &why))
        fail_msg("refused: %s", why.text);
    pc_policies_free(g->policies);
    g->policies = fresh;
    g->user = (struct pc_limit_user){.now_ns = T0, .now_ms = 1};
    g->text = pc_buf_of(g->memory, sizeof g->memory);
}

static void refused(struct rig *g, const char *says)
{
    struct pc_policies *fresh = NULL;
    struct pc_why why = {""};
    g->config.limit_policies = g->rows;
    assert_true(pc_policies_compile(&g->config, NULL, 1, secret, &fresh, &why) < 0);
    assert_null(fresh);
    if (!strstr(why.text, says))
        fail_msg("says \"%s\", not \"%s\"", why.text, says);
}

static struct pc_ip ip_of(const char *text)
{
    struct pc_ip ip;
    assert_int_equal(pc_ip_parse(pc_bytes_str(text), &ip), 0);
    return ip;
}

static struct pc_bytes header_x(void *ctx, struct pc_bytes name)
{
    assert_true(pc_bytes_eq_str(name, "x-api-key"));
    return pc_bytes_str(ctx);
}

static struct pc_charge key_of(struct rig *g, const char *policy, const struct pc_limit_subject *s)
{
    struct pc_charge c;
    const struct pc_policy *p = pc_policy_find(g->policies, pc_bytes_str(policy));
    assert_non_null(p);
    g->text = pc_buf_of(g->memory, sizeof g->memory);
    pc_charge_of_subject(&c, p, 1, s, &g->text);
    return c;
}

static void assert_key(struct rig *g, const char *policy, const struct pc_limit_subject *s,
                       const char *expected)
{
    struct pc_charge c = key_of(g, policy, s), same;
    if (!pc_bytes_eq_str(c.key, expected))
        fail_msg("%.*s, not %s", (int)c.key.n, (const char *)c.key.p, expected);
    /* The text names the key for administrators. */
    assert_int_equal(pc_charge_of_key(&same, c.policy, 1, pc_bytes_str(expected), &g->text), 0);
    assert_int_equal(same.fp, c.fp);
}

static void keys_are_made_by_the_template(void **state)
{
    (void)state;
    struct rig g = {0};
    static const char *const all[] = {"ip",    "subject",          "client",
                                      "route", "header:X-Api-Key", "literal:v1/a"};
    static const char *const session[] = {"session"};
    add(&g, "ip", "60/min", ip_word, 1);
    add(&g, "all", "60/min", all, 6);
    add(&g, "session", "60/min", session, 1);
    compile(&g);
    struct pc_ip v4 = ip_of("192.0.2.7"), v6 = ip_of("2001:db8:1:2:3:4:5:6"), local = {0};
    struct pc_limit_subject s = {.ip = &v4,
                                 .subject = PC_LIT("al|ice"),
                                 .client = PC_LIT("web"),
                                 .session = PC_LIT("s~1"),
                                 .route = PC_LIT("orders"),
                                 .header = header_x,
                                 .header_ctx = (char[]){"k/1"}};
    assert_key(&g, "ip", &s, "192.0.2.7");
    assert_key(&g, "all", &s, "192.0.2.7|al~2ice|web|orders|k~11|v1~1a");
    assert_key(&g, "session", &s, "s~01");
    s.ip = &v6;
    assert_key(&g, "ip", &s, "2001:db8:1:2::");
    s.ip = &local;
    assert_key(&g, "ip", &s, "unix");
    pc_policies_free(g.policies);
}

static void what_is_missing_is_replaced_by_the_address(void **state)
{
    (void)state;
    struct rig g = {0};
    static const char *const key[] = {"header:x-api-key"}, *const subject[] = {"subject"};
    add(&g, "header", "60/min", key, 1);
    add(&g, "subject", "60/min", subject, 1);
    compile(&g);
    struct pc_ip v4 = ip_of("192.0.2.7");
    struct pc_limit_subject s = {.ip = &v4};
    assert_key(&g, "header", &s, "~ip:192.0.2.7");
    s.header = header_x;
    s.header_ctx = (char[]){""};
    assert_key(&g, "header", &s, "~ip:192.0.2.7");
    s.header_ctx = (char[]){"~ip:192.0.2.7"}; /* cannot be forged */
    assert_key(&g, "header", &s, "~0ip:192.0.2.7");
    assert_key(&g, "subject", &s, "~ip:192.0.2.7");
    pc_policies_free(g.policies);
}

static void long_values_are_hashed(void **state)
{
    (void)state;
    struct rig g = {0};
    static const char *const key[] = {"header:x-api-key"};
    char value[5000];
    add(&g, "header", "60/min", key, 1);
    compile(&g);
    struct pc_ip v4 = ip_of("192.0.2.7");
    struct pc_limit_subject s = {.ip = &v4, .header = header_x, .header_ctx = value};
    memset(value, '/', sizeof value);
    value[128] = 0;
    assert_int_equal(key_of(&g, "header", &s).key.n, 256);
    value[128] = '/';
    value[4999] = 0;
    struct pc_charge c = key_of(&g, "header", &s);
    assert_int_equal(c.key.n, 3 + 16);
    assert_memory_equal(c.key.p, "~h:", 3);
    value[4998] = 'x';
    assert_int_not_equal(key_of(&g, "header", &s).fp, c.fp);
    pc_policies_free(g.policies);
}

static void an_address_is_the_same_key_in_any_notation(void **state)
{
    (void)state;
    struct rig g = {0};
    static const char *const rows[][2] = {
        {"2001:DB8:0:0:1::9", "2001:db8::"    },
        {"2001:db8::",        "2001:db8::"    },
        {"::ffff:192.0.2.1",  "192.0.2.1"     },
        {"not an address",    "not an address"},
    };
    add(&g, "ip", "60/min", ip_word, 1);
    compile(&g);
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_charge c;
        g.text = pc_buf_of(g.memory, sizeof g.memory);
        assert_int_equal(pc_charge_of_key(&c, pc_policies_at(g.policies, 0), 1,
                                          pc_bytes_str(rows[i][0]), &g.text),
                         0);
        assert_true(pc_bytes_eq_str(c.key, rows[i][1]));
    }
    struct pc_charge c;
    assert_int_equal(pc_charge_of_key(&c, pc_policies_at(g.policies, 0), 1, PC_LIT(""), &g.text),
                     -EINVAL);
    assert_int_equal(pc_charge_of_key(&c, pc_policies_at(g.policies, 0), 1,
                                      pc_bytes_of(g.memory, PC_LIMIT_KEY_MAX + 1), &g.text),
                     -EINVAL);
    pc_policies_free(g.policies);
}

static void bits_of_ipv6_are_as_configured(void **state)
{
    (void)state;
    static const struct {
        unsigned bits;
        const char *expected;
    } rows[] = {
        {16,  "ffff::"                                 },
        {17,  "ffff:8000::"                            },
        {48,  "ffff:ffff:ffff::"                       },
        {63,  "ffff:ffff:ffff:fffe::"                  },
        {127, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"},
        {128, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    struct pc_ip ip = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    struct pc_limit_subject s = {.ip = &ip};
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct rig g = {0};
        add(&g, "ip", "60/min", ip_word, 1)->ipv6_prefix = rows[i].bits;
        compile(&g);
        assert_key(&g, "ip", &s, rows[i].expected);
        pc_policies_free(g.policies);
    }
}

static void policies_that_need_no_token_are_known(void **state)
{
    (void)state;
    static const char *const before[] = {"header:x", "ip", "route", "literal:a"};
    static const char *const after[] = {"ip", "client"};
    struct rig g = {0};
    add(&g, "before", "60/min", before, 4);
    add(&g, "after", "60/min", after, 2);
    compile(&g);
    assert_true(pc_policies_at(g.policies, 0)->pre_auth);
    assert_false(pc_policies_at(g.policies, 1)->pre_auth);
    assert_null(pc_policy_find(g.policies, PC_LIT("befor")));
    pc_policies_free(g.policies);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"ip", "user"}, *const space[] = {"header:a b"},
                             *const nothing[] = {"literal:"}, *const none[] = {"header:"};
    struct rig g = {0};
    refused((add(&g, "a", "60", ip_word, 1), &g), "limit_policies[0].rate: \"60\": '/'");
    g.rows[0].rate = "60/min";
    g.rows[0].key = (struct pc_words){(const char **)(uintptr_t)bad, 2};
    refused(&g, "limit_policies[0].key: \"user\" is none of");
    g.rows[0].key.v = (const char **)(uintptr_t)space;
    g.rows[0].key.n = 1;
    refused(&g, "header:a b");
    g.rows[0].key.v = (const char **)(uintptr_t)nothing;
    refused(&g, "literal:");
    g.rows[0].key.v = (const char **)(uintptr_t)none;
    refused(&g, "header:");
    g.rows[0].key.n = 0;
    refused(&g, "limit_policies[0].key: must have 1 to 6 words");
    g.rows[0].key = (struct pc_words){(const char **)(uintptr_t)ip_word, 1};
    g.rows[0].cost = 61;
    refused(&g, "limit_policies[0].cost: 61 is more than ever passes (60)");
    g.rows[0].cost = 1;
    g.rows[0].burst = 5;
    g.rows[0].algorithm = PC_LIMIT_WINDOW;
    refused(&g, "limit_policies[0].burst: a window has no burst");
    g.rows[0].burst = 0;
    g.rows[0].rate = "5/100ms";
    refused(&g, "limit_policies[0].rate: a window must be 1 s");
    g.rows[0].algorithm = PC_LIMIT_GCRA;
    g.rows[0].max_keys = UINT64_C(1) << 40;
    refused(&g, "limit_policies[0].max_keys: no memory");
}

/* ---- charging ---- */

static struct pc_charge charge_of(struct rig *g, const char *policy, const char *key, int64_t cost)
{
    struct pc_charge c;
    const struct pc_policy *p = pc_policy_find(g->policies, pc_bytes_str(policy));
    assert_non_null(p);
    assert_int_equal(pc_charge_of_key(&c, p, cost, pc_bytes_str(key), &g->text), 0);
    return c;
}

static int64_t remaining(struct rig *g, const char *policy, const char *key)
{
    struct pc_charge c = charge_of(g, policy, key, 1);
    pc_charges_peek(&c, 1, &g->user);
    return c.result.remaining;
}

static void three_policies(struct rig *g)
{
    *g = (struct rig){0};
    add(g, "a", "10/min", ip_word, 1);
    add(g, "b", "5/min", ip_word, 1);
    add(g, "c", "2/min", ip_word, 1);
    compile(g);
}

/* The text is in the rig: it may not move. */
static void set_charges(struct rig *g, struct pc_charge c[3])
{
    g->text = pc_buf_of(g->memory, sizeof g->memory);
    c[0] = charge_of(g, "a", "1.1.1.1", 1);
    c[1] = charge_of(g, "b", "1.1.1.1", 1);
    c[2] = charge_of(g, "c", "1.1.1.1", 1);
}

static void all_limits_are_charged_or_none(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_charge c[3];
    for (int i = 0; i < 2; i++) {
        set_charges(&g, c);
        assert_int_equal(pc_charges_take(c, 3, &g.user), -1);
        assert_int_equal(c[0].result.remaining, 9 - i);
    }
    set_charges(&g, c);
    assert_int_equal(pc_charges_take(c, 3, &g.user), 2);
    assert_int_equal(c[0].outcome, PC_LIMIT_PASSED);
    assert_int_equal(c[2].outcome, PC_LIMIT_EXCEEDED);
    assert_int_equal(c[0].result.remaining, 8); /* as it stands: nothing was taken */
    assert_int_equal(remaining(&g, "a", "1.1.1.1"), 8);
    assert_int_equal(remaining(&g, "b", "1.1.1.1"), 3);
    assert_int_equal(pc_charge_retry_after_s(&c[2]), 30);
    assert_int_equal(pc_charge_retry_after_s(&c[0]), 0);
    pc_policies_free(g.policies);
}

/* The same limit twice: each alone would pass, so the second is refused while charging. */
static void what_was_charged_before_a_refusal_is_given_back(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_charge c[3];
    set_charges(&g, c);
    c[1] = charge_of(&g, "c", "1.1.1.1", 2);
    assert_int_equal(pc_charges_take(c, 3, &g.user), 2);
    assert_int_equal(c[0].result.remaining, 10);
    assert_int_equal(remaining(&g, "a", "1.1.1.1"), 10);
    assert_int_equal(remaining(&g, "c", "1.1.1.1"), 2);
    pc_policies_free(g.policies);
}

static void a_decision_that_fails_later_gives_all_back(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_charge c[3];
    set_charges(&g, c);
    assert_int_equal(pc_charges_take(c, 3, &g.user), -1);
    pc_charges_give_back(c, 3, &g.user);
    assert_int_equal(remaining(&g, "a", "1.1.1.1"), 10);
    assert_int_equal(remaining(&g, "c", "1.1.1.1"), 2);
    pc_policies_free(g.policies);
}

static void shadow_mode_counts_and_lets_pass(void **state)
{
    (void)state;
    struct rig g = {0};
    uint8_t text[PC_POLICIES_METRICS_MAX / 8];
    add(&g, "a", "1/min", ip_word, 1)->shadow = true;
    compile(&g);
    struct pc_charge c = charge_of(&g, "a", "1.1.1.1", 1);
    assert_int_equal(pc_charges_take(&c, 1, &g.user), -1);
    assert_int_equal(pc_charges_take(&c, 1, &g.user), -1);
    assert_int_equal(c.outcome, PC_LIMIT_SHADOWED);
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_policies_write_metrics(g.policies, &b);
    assert_false(b.overflow);
    text[b.len] = 0;
    assert_non_null(strstr((char *)text, "takes_total{policy=\"a\",result=\"shadowed\"} 1\n"));
    assert_non_null(strstr((char *)text, "takes_total{policy=\"a\",result=\"allowed\"} 1\n"));
    assert_non_null(strstr((char *)text, "portcullis_limit_near_total{policy=\"a\"} 1\n"));
    assert_non_null(strstr((char *)text, "portcullis_limit_keys{policy=\"a\"} 1\n"));
    pc_policies_free(g.policies);
}

static enum pc_limit_outcome outcome_without_room(unsigned fail_mode, bool shadow)
{
    struct rig g = {0};
    enum pc_limit_outcome seen = PC_LIMIT_PASSED;
    struct pc_config_limit_policy *row = add(&g, "a", "2/min", ip_word, 1);
    row->max_keys = 4;
    row->fail_mode = fail_mode;
    row->shadow = shadow;
    compile(&g);
    for (int i = 0; i < 100 && seen == PC_LIMIT_PASSED; i++) {
        char key[32];
        snprintf(key, sizeof key, "10.0.0.%d", i);
        g.text = pc_buf_of(g.memory, sizeof g.memory);
        struct pc_charge c = charge_of(&g, "a", key, 2);
        pc_charges_take(&c, 1, &g.user);
        seen = c.outcome;
    }
    pc_policies_free(g.policies);
    return seen;
}

static void without_room_the_fail_mode_answers(void **state)
{
    (void)state;
    assert_int_equal(outcome_without_room(PC_FAIL_OPEN, false), PC_LIMIT_UNCOUNTED);
    assert_int_equal(outcome_without_room(PC_FAIL_CLOSED, false), PC_LIMIT_UNAVAILABLE);
    assert_int_equal(outcome_without_room(PC_FAIL_CLOSED, true), PC_LIMIT_UNCOUNTED);
    assert_true(pc_limit_passes(PC_LIMIT_UNCOUNTED) && !pc_limit_passes(PC_LIMIT_UNAVAILABLE));
}

static void strict_mode_halves_every_limit(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_charge c = charge_of(&g, "a", "1.1.1.1", 6);
    g.user.strict = true;
    assert_int_equal(pc_charges_take(&c, 1, &g.user), 0);
    assert_int_equal(c.result.limit, 5);
    g.user.strict = false;
    assert_int_equal(pc_charges_take(&c, 1, &g.user), -1);
    pc_policies_free(g.policies);
}

static void refusals_and_near_limits_are_recorded(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_top_entry e[PC_TOP_KEYS];
    assert_int_equal(pc_top_keys_new(&g.user.top), 0);
    for (int i = 0; i < 6; i++) {
        struct pc_charge c = charge_of(&g, "b", "1.1.1.1", 1);
        pc_charges_take(&c, 1, &g.user);
    }
    assert_int_equal(pc_top_keys_read(g.user.top, e), 1);
    assert_int_equal(e[0].near, 2); /* the fourth and the fifth of five */
    assert_int_equal(e[0].refused, 1);
    assert_string_equal(e[0].policy, "b");
    assert_string_equal(e[0].key, "1.1.1.1");
    pc_top_keys_free(g.user.top);
    pc_policies_free(g.policies);
}

static void what_was_counted_outlives_a_reload(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_charge c[3];
    set_charges(&g, c);
    pc_charges_take(c, 3, &g.user);
    g.rows[0].rate = "20/min";
    g.rows[1].max_keys = 2048;
    g.rows[2].algorithm = PC_LIMIT_WINDOW;
    compile(&g);
    assert_int_equal(remaining(&g, "a", "1.1.1.1"), 18); /* 6 s of debt at one in 3 s */
    assert_int_equal(remaining(&g, "b", "1.1.1.1"), 5);
    assert_int_equal(remaining(&g, "c", "1.1.1.1"), 2);
    pc_policies_free(g.policies);
}

static void fields_and_json_say_what_is_left(void **state)
{
    (void)state;
    struct rig g;
    three_policies(&g);
    struct pc_charge c[3];
    uint8_t text[PC_LIMIT_FIELDS_MAX(3) + 1];
    set_charges(&g, c);
    pc_charges_take(c, 3, &g.user);
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_limits_write_fields(&b, c, 3);
    text[b.len] = 0;
    assert_string_equal((char *)text,
                        "RateLimit-Policy: \"a\";q=10;w=60, \"b\";q=5;w=60, \"c\";q=2;w=60\r\n"
                        "RateLimit: \"a\";r=9;t=6, \"b\";r=4;t=12, \"c\";r=1;t=30\r\n"
                        "X-RateLimit-Limit: 2\r\nX-RateLimit-Remaining: 1\r\n"
                        "X-RateLimit-Reset: 30\r\n");
    b = pc_buf_of(text, sizeof text - 1);
    pc_charge_write_json(&b, &c[2]);
    text[b.len] = 0;
    assert_string_equal((char *)text, "{\"policy\":\"c\",\"limit\":2,\"remaining\":1,"
                                      "\"reset_ms\":30000,\"retry_after_ms\":0}");
    b = pc_buf_of(text, sizeof text - 1);
    pc_limits_write_fields(&b, c, 0);
    assert_int_equal(b.len, 0);
    pc_policies_free(g.policies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_by_the_template),
        cmocka_unit_test(what_is_missing_is_replaced_by_the_address),
        cmocka_unit_test(long_values_are_hashed),
        cmocka_unit_test(an_address_is_the_same_key_in_any_notation),
        cmocka_unit_test(bits_of_ipv6_are_as_configured),
        cmocka_unit_test(policies_that_need_no_token_are_known),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(all_limits_are_charged_or_none),
        cmocka_unit_test(what_was_charged_before_a_refusal_is_given_back),
        cmocka_unit_test(a_decision_that_fails_later_gives_all_back),
        cmocka_unit_test(shadow_mode_counts_and_lets_pass),
        cmocka_unit_test(without_room_the_fail_mode_answers),
        cmocka_unit_test(strict_mode_halves_every_limit),
        cmocka_unit_test(refusals_and_near_limits_are_recorded),
        cmocka_unit_test(what_was_counted_outlives_a_reload),
        cmocka_unit_test(fields_and_json_say_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
