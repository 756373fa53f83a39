/* SPDX-License-Identifier: Apache-2.0
 * The IP table against a naive model that looks at every rule, over universes so small that rules
 * nest and collide, and over large random ones; the static tree against counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"
#include "edge/state/ip_table.h"
#include "edge/state/ip_tree.h"

#define RULES_MAX 3000

struct model {
    struct pc_ip_rule rules[RULES_MAX];
    unsigned n;
};

static struct pc_ip_table *finish(struct pc_ip_builder *b)
{
    struct pc_ip_table *t;
    struct pc_why why = {{0}};
    int rc = pc_ip_builder_finish(b, &t, &why);
    if (rc < 0)
        fail_msg("%s", why.text);
    pc_ip_builder_free(b);
    return t;
}

static struct pc_ip_table *table_of(const struct model *m)
{
    struct pc_ip_builder *b;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    for (unsigned i = 0; i < m->n; i++)
        assert_int_equal(pc_ip_builder_add(b, &m->rules[i]), 0);
    return finish(b);
}

static const struct pc_ip_rule *naive(const struct model *m, const struct pc_ip *ip, int64_t now_ms)
{
    const struct pc_ip_rule *best = NULL;
    for (unsigned i = 0; i < m->n; i++) {
        const struct pc_ip_rule *r = &m->rules[i];
        if (r->expires_at_ms > now_ms && pc_cidr_contains(&r->cidr, ip) &&
            (!best || r->cidr.bits > best->cidr.bits))
            best = r;
    }
    return best;
}

static bool same_cidr(const struct pc_cidr *a, const struct pc_cidr *b)
{
    return a->bits == b->bits && pc_ip_eq(&a->ip, &b->ip);
}

static void check(const struct model *m, const struct pc_ip_table *t, const struct pc_ip *ip,
                  int64_t now_ms)
{
    const struct pc_ip_rule *want = naive(m, ip, now_ms);
    struct pc_ip_hit hit;
    struct pc_ip_rule got;
    assert_int_equal(pc_ip_table_match(t, ip, now_ms, &hit), want != NULL);
    if (!want)
        return;
    pc_ip_table_rule(t, hit.rule, &got);
    assert_true(same_cidr(&got.cidr, &want->cidr));
    assert_int_equal(got.deny, want->deny);
    assert_int_equal(hit.deny, want->deny);
    assert_int_equal(hit.bits, want->cidr.bits);
    assert_int_equal(got.expires_at_ms, want->expires_at_ms);
    assert_true(pc_bytes_eq(got.reason, want->reason));
}

/* An address that differs from all others in `free_bits` bits at most, spread over its length. */
static struct pc_ip draw_ip(struct pc_prng *random, unsigned family, const uint8_t *free_bits,
                            unsigned n)
{
    struct pc_ip ip = {.family = (uint8_t)family, .b = {0x20}};
    uint64_t bits = pc_prng_u64(random);
    for (unsigned i = 0; i < n; i++)
        if (bits >> i & 1)
            ip.b[free_bits[i] / 8] |= (uint8_t)(0x80 >> free_bits[i] % 8);
    return ip;
}

static void clear_host_bits(struct pc_cidr *c)
{
    for (unsigned i = c->bits; i < 128; i++)
        c->ip.b[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
}

static struct pc_ip_rule draw_rule(struct pc_prng *random, unsigned family,
                                   const uint8_t *free_bits, unsigned n)
{
    static const char *const reasons[] = {"", "a", "bb", "seen in logs"};
    unsigned max = family == 4 ? 32 : 128;
    struct pc_ip_rule r = {.deny = pc_prng_u64(random) % 2,
                           .expires_at_ms = pc_prng_u64(random) % 3 == 0
                                                ? (int64_t)(pc_prng_u64(random) % 4) * 100
                                                : INT64_MAX,
                           .reason = pc_bytes_str(reasons[pc_prng_u64(random) % 4])};
    r.cidr.ip = draw_ip(random, family, free_bits, n);
    uint64_t pick = pc_prng_u64(random) % 4;
    r.cidr.bits = (uint8_t)(pick == 0   ? max
                            : pick == 1 ? free_bits[pc_prng_u64(random) % n] + 1u
                                        : pc_prng_u64(random) % (max + 1));
    clear_host_bits(&r.cidr);
    return r;
}

static bool add_new(struct model *m, const struct pc_ip_rule *r)
{
    for (unsigned i = 0; i < m->n; i++)
        if (same_cidr(&m->rules[i].cidr, &r->cidr))
            return false;
    m->rules[m->n++] = *r;
    return true;
}

static const uint8_t bits4[] = {8, 9, 15, 16, 17, 23, 24, 30, 31};
static const uint8_t bits6[] = {16, 31, 32, 47, 48, 62, 63, 64, 65, 66, 96, 126, 127};

static void random_tables(unsigned rules, unsigned tables, unsigned look_ups)
{
    struct model *m = calloc(1, sizeof *m);
    struct pc_prng random;
    assert_non_null(m);
    pc_prng_seed(&random, (const uint8_t[32]){(uint8_t)rules, 7});
    for (unsigned k = 0; k < tables; k++) {
        m->n = 0;
        for (unsigned i = 0; i < rules; i++) {
            unsigned family = pc_prng_u64(&random) % 2 ? 4 : 6;
            struct pc_ip_rule r = draw_rule(&random, family, family == 4 ? bits4 : bits6,
                                            family == 4 ? PC_COUNT(bits4) : PC_COUNT(bits6));
            add_new(m, &r);
        }
        struct pc_ip_table *t = table_of(m);
        assert_int_equal(pc_ip_table_count(t), m->n);
        for (unsigned i = 0; i < look_ups; i++) {
            unsigned family = pc_prng_u64(&random) % 2 ? 4 : 6;
            struct pc_ip ip = draw_ip(&random, family, family == 4 ? bits4 : bits6,
                                      family == 4 ? PC_COUNT(bits4) : PC_COUNT(bits6));
            check(m, t, &ip, (int64_t)(pc_prng_u64(&random) % 5) * 100);
        }
        pc_ip_table_free(t);
    }
    free(m);
}

static void small_universes_match_the_model(void **state)
{
    (void)state;
    random_tables(1, 100, 50);
    random_tables(5, 200, 100);
    random_tables(40, 100, 200);
    random_tables(300, 10, 500);
    random_tables(2500, 1, 2000);
}

/* Addresses at the edges of every rule: first, last, one before, one behind. */
static void step(struct pc_ip *ip, bool up)
{
    for (unsigned i = ip->family == 4 ? 4 : 16; i-- > 0;) {
        ip->b[i] = (uint8_t)(up ? ip->b[i] + 1 : ip->b[i] - 1);
        if (ip->b[i] != (up ? 0 : 0xff))
            return;
    }
}

static void edges_of_rules_match_the_model(void **state)
{
    struct model *m = calloc(1, sizeof *m);
    struct pc_prng random;
    static uint8_t all[128];
    (void)state;
    assert_non_null(m);
    for (unsigned i = 0; i < 128; i++)
        all[i] = (uint8_t)i;
    pc_prng_seed(&random, (const uint8_t[32]){1});
    for (unsigned i = 0; i < 400; i++) {
        struct pc_ip_rule r = i % 2 ? draw_rule(&random, 4, all, 32)
                                    : draw_rule(&random, 6, i % 4 ? all : all + 60, 60);
        add_new(m, &r);
    }
    struct pc_ip_table *t = table_of(m);
    for (unsigned i = 0; i < m->n; i++) {
        const struct pc_cidr *c = &m->rules[i].cidr;
        struct pc_ip first = c->ip, last = c->ip, around;
        for (unsigned k = c->bits; k < (first.family == 4 ? 32u : 128u); k++)
            last.b[k / 8] |= (uint8_t)(0x80 >> k % 8);
        check(m, t, &first, 0);
        check(m, t, &last, 0);
        around = first;
        step(&around, false);
        check(m, t, &around, 0);
        around = last;
        step(&around, true);
        check(m, t, &around, 0);
    }
    pc_ip_table_free(t);
    free(m);
}

/* Lists that fill little of the address space have a filter in front; it may only say no to what
 * no rule contains. */
static void sparse_lists_match_the_model(void **state)
{
    struct model *m = calloc(1, sizeof *m);
    struct pc_prng random;
    (void)state;
    assert_non_null(m);
    pc_prng_seed(&random, (const uint8_t[32]){5});
    for (unsigned i = 0; i < 800; i++) {
        struct pc_ip_rule r = {.deny = i % 3, .expires_at_ms = INT64_MAX};
        bool v6 = i % 2;
        r.cidr.ip.family = v6 ? 6 : 4;
        for (unsigned k = 0; k < (v6 ? 16u : 4u); k++)
            r.cidr.ip.b[k] = (uint8_t)pc_prng_u64(&random);
        r.cidr.bits =
            (uint8_t)(v6 ? 25 + pc_prng_u64(&random) % 104 : 9 + pc_prng_u64(&random) % 24);
        clear_host_bits(&r.cidr);
        add_new(m, &r);
    }
    struct pc_ip_table *t = table_of(m);
    assert_true(pc_ip_table_bytes(t) > (size_t)2 * 8192); /* both families have one */
    for (unsigned i = 0; i < 20 * m->n; i++) {
        struct pc_ip ip = m->rules[i % m->n].cidr.ip;
        unsigned from = m->rules[i % m->n].cidr.bits, size = ip.family == 4 ? 32 : 128;
        if (i % 4 == 0) /* beside the rule: below one of its bits */
            from = (unsigned)(pc_prng_u64(&random) % from);
        for (unsigned k = from; k < size; k++)
            ip.b[k / 8] ^= (uint8_t)(pc_prng_u64(&random) % 2 << (7 - k % 8));
        check(m, t, &ip, 0);
    }
    pc_ip_table_free(t);
    free(m);
}

static struct pc_cidr cidr(const char *text)
{
    struct pc_cidr c;
    assert_int_equal(pc_cidr_parse(pc_bytes_str(text), &c), 0);
    return c;
}

static struct pc_ip ip_of(const char *text)
{
    struct pc_ip ip;
    assert_int_equal(pc_ip_parse(pc_bytes_str(text), &ip), 0);
    return ip;
}

static int add(struct pc_ip_builder *b, const char *text, bool deny, int64_t expires_at_ms,
               const char *reason)
{
    struct pc_ip_rule r = {cidr(text), deny, expires_at_ms, pc_bytes_str(reason)};
    return pc_ip_builder_add(b, &r);
}

static void an_empty_table_matches_nothing(void **state)
{
    struct pc_ip_builder *b;
    struct pc_ip_hit hit;
    struct pc_ip ip = ip_of("0.0.0.0"), none = {0};
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    struct pc_ip_table *t = finish(b);
    assert_int_equal(pc_ip_table_count(t), 0);
    assert_false(pc_ip_table_match(t, &ip, 0, &hit));
    ip = ip_of("::");
    assert_false(pc_ip_table_match(t, &ip, 0, &hit));
    assert_false(pc_ip_table_match(t, &none, 0, &hit));
    pc_ip_table_free(t);
}

/* The largest keys are also the padding of the tree's blocks. */
static void the_ends_of_the_address_space_match(void **state)
{
    static const char *const hosts[] = {"0.0.0.0", "255.255.255.255",
                                        "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
    struct pc_ip_builder *b;
    struct pc_ip_hit hit;
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    for (size_t i = 0; i < PC_COUNT(hosts); i++)
        assert_int_equal(add(b, hosts[i], true, INT64_MAX, ""), 0);
    assert_int_equal(add(b, "0.0.0.0/0", false, INT64_MAX, ""), 0);
    assert_int_equal(add(b, "::/0", false, INT64_MAX, ""), 0);
    struct pc_ip_table *t = finish(b);
    for (size_t i = 0; i < PC_COUNT(hosts); i++) {
        struct pc_ip ip = ip_of(hosts[i]);
        assert_true(pc_ip_table_match(t, &ip, 0, &hit) && hit.deny);
    }
    struct pc_ip other = ip_of("255.255.255.254");
    assert_true(pc_ip_table_match(t, &other, 0, &hit) && !hit.deny && hit.bits == 0);
    other = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
    assert_true(pc_ip_table_match(t, &other, 0, &hit) && !hit.deny && hit.bits == 0);
    pc_ip_table_free(t);
}

static void an_expired_rule_is_as_if_absent(void **state)
{
    struct pc_ip_builder *b;
    struct pc_ip_hit hit;
    struct pc_ip ip = ip_of("192.0.2.1");
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    assert_int_equal(add(b, "192.0.0.0/16", false, INT64_MAX, ""), 0);
    assert_int_equal(add(b, "192.0.2.0/24", true, 2000, ""), 0);
    assert_int_equal(add(b, "192.0.2.1", false, 1000, ""), 0);
    struct pc_ip_table *t = finish(b);
    assert_true(pc_ip_table_match(t, &ip, 999, &hit) && hit.bits == 32);
    assert_true(pc_ip_table_match(t, &ip, 1000, &hit) && hit.bits == 24 && hit.deny);
    assert_true(pc_ip_table_match(t, &ip, 2000, &hit) && hit.bits == 16 && !hit.deny);
    pc_ip_table_free(t);
}

static void rules_said_twice_become_the_longer_lived_one(void **state)
{
    struct pc_ip_builder *b;
    struct pc_ip_rule r;
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    assert_int_equal(add(b, "192.0.2.0/24", true, 1000, "first"), 0);
    assert_int_equal(add(b, "192.0.2.0/24", true, 3000, "second"), 0);
    assert_int_equal(add(b, "192.0.2.0/24", true, 2000, "third"), 0);
    assert_int_equal(add(b, "2001:db8::/32", true, INT64_MAX, ""), 0);
    assert_int_equal(add(b, "2001:db8::/32", true, INT64_MAX, "why"), 0);
    struct pc_ip_table *t = finish(b);
    assert_int_equal(pc_ip_table_count(t), 2);
    pc_ip_table_rule(t, 0, &r);
    assert_int_equal(r.expires_at_ms, 3000);
    assert_true(pc_bytes_eq_str(r.reason, "second"));
    pc_ip_table_rule(t, 1, &r);
    assert_true(pc_bytes_eq_str(r.reason, "why"));
    pc_ip_table_free(t);
}

static void a_contradiction_is_refused_by_name(void **state)
{
    struct pc_ip_builder *b;
    struct pc_ip_table *t = NULL;
    struct pc_why why = {{0}};
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    assert_int_equal(add(b, "::ffff:192.0.2.0/120", true, INT64_MAX, ""), 0);
    assert_int_equal(add(b, "192.0.2.0/24", false, INT64_MAX, ""), 0);
    assert_int_equal(pc_ip_builder_finish(b, &t, &why), PC_E_DUPLICATE);
    assert_null(t);
    assert_string_equal(why.text, "192.0.2.0/24 is both allowed and denied");
    pc_ip_builder_free(b);
}

static void listing_is_in_order_and_goes_on_behind_any_network(void **state)
{
    static const char *const sorted[] = {"10.0.0.0/8",   "10.0.0.0/9",    "10.0.0.0",
                                         "192.0.2.0/24", "2001:db8::/32", "2001:db8::/64",
                                         "2001:db8::1"};
    struct pc_ip_builder *b;
    struct pc_ip_rule r;
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    for (size_t i = PC_COUNT(sorted); i-- > 0;)
        assert_int_equal(add(b, sorted[i], true, INT64_MAX, ""), 0);
    struct pc_ip_table *t = finish(b);
    for (uint32_t i = 0; i < PC_COUNT(sorted); i++) {
        struct pc_cidr want = cidr(sorted[i]);
        pc_ip_table_rule(t, i, &r);
        assert_true(same_cidr(&r.cidr, &want));
        assert_int_equal(pc_ip_table_seek(t, &want), i + 1);
    }
    struct pc_cidr absent = cidr("10.0.0.0/10"), none = {0};
    assert_int_equal(pc_ip_table_seek(t, &absent), 2);
    absent = cidr("255.0.0.0/8");
    assert_int_equal(pc_ip_table_seek(t, &absent), 4);
    absent = cidr("::/0");
    assert_int_equal(pc_ip_table_seek(t, &absent), 4);
    assert_int_equal(pc_ip_table_seek(t, &none), 0);
    pc_ip_table_free(t);
}

/* Hosts of one /64 share the tree's key: the search goes back among them. */
static void hosts_of_one_network_are_told_apart(void **state)
{
    struct pc_ip_builder *b;
    struct pc_ip_rule r = {.cidr = cidr("2001:db8::"), .deny = true, .expires_at_ms = INT64_MAX};
    struct pc_ip_hit hit;
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    for (unsigned i = 0; i < 1000; i++) {
        r.cidr.ip.b[14] = (uint8_t)(i >> 7);
        r.cidr.ip.b[15] = (uint8_t)(i << 1);
        assert_int_equal(pc_ip_builder_add(b, &r), 0);
    }
    struct pc_ip_table *t = finish(b);
    struct pc_ip ip = r.cidr.ip;
    for (unsigned i = 0; i < 2200; i++) {
        ip.b[14] = (uint8_t)(i >> 8);
        ip.b[15] = (uint8_t)i;
        assert_int_equal(pc_ip_table_match(t, &ip, 0, &hit), i % 2 == 0 && i < 2000);
    }
    pc_ip_table_free(t);
}

static void the_wide_tree_counts_like_a_loop(void **state)
{
    static const uint32_t sizes[] = {0, 1, 7, 8, 9, 71, 72, 73, 80, 81, 647, 648, 649, 5000};
    struct pc_prng random;
    (void)state;
    pc_prng_seed(&random, (const uint8_t[32]){3});
    for (size_t s = 0; s < PC_COUNT(sizes); s++) {
        struct pc_ip_tree t;
        uint32_t n = sizes[s];
        assert_int_equal(pc_ip_tree_new(n, true, &t), 0);
        for (uint32_t i = 0; i < n; i++) /* pairs of equal keys, the last one the largest number */
            pc_ip_tree_set(&t, i, i + 1 == n ? UINT64_MAX : (uint64_t)(i / 2) * 0x0003000300030003);
        pc_ip_tree_index(&t);
        for (uint32_t i = 0; i < 300; i++) {
            uint64_t x =
                i == 0 ? UINT64_MAX : pc_prng_u64(&random) % (0x0004000400040004 * (n + 1));
            uint32_t want = 0;
            for (uint32_t k = 0; k < n; k++)
                want += pc_ip_tree_wide_key(&t, k) <= x;
            assert_int_equal(pc_ip_tree_rank_wide(&t, x), want);
        }
        pc_ip_tree_free(&t);
    }
}

/* The same for 32 bits, whose keys must be sorted as such. */
static void the_narrow_tree_counts_like_a_loop(void **state)
{
    struct pc_prng random;
    (void)state;
    pc_prng_seed(&random, (const uint8_t[32]){4});
    for (uint32_t n = 0; n < 700; n += 23) {
        struct pc_ip_tree t;
        assert_int_equal(pc_ip_tree_new(n, false, &t), 0);
        for (uint32_t i = 0; i < n; i++)
            pc_ip_tree_set(&t, i, i + 1 == n ? UINT32_MAX : i / 2 * 5000000);
        pc_ip_tree_index(&t);
        for (uint32_t i = 0; i < 300; i++) {
            uint32_t x = i == 0 ? UINT32_MAX : (uint32_t)pc_prng_u64(&random), want = 0;
            for (uint32_t k = 0; k < n; k++)
                want += pc_ip_tree_narrow_key(&t, k) <= x;
            assert_int_equal(pc_ip_tree_rank_narrow(&t, x), want);
        }
        pc_ip_tree_free(&t);
    }
}

static void a_builder_is_used_again(void **state)
{
    struct pc_ip_builder *b;
    struct pc_ip_table *t;
    (void)state;
    assert_int_equal(pc_ip_builder_new(&b), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(add(b, "192.0.2.0/24", i % 2, 5000 + i, i ? "again" : ""), 0);
        assert_int_equal(pc_ip_builder_finish(b, &t, NULL), 0);
        assert_int_equal(pc_ip_table_count(t), 1);
        assert_true(pc_ip_table_bytes(t) > 0);
        pc_ip_table_free(t);
    }
    pc_ip_builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_universes_match_the_model),
        cmocka_unit_test(edges_of_rules_match_the_model),
        cmocka_unit_test(sparse_lists_match_the_model),
        cmocka_unit_test(an_empty_table_matches_nothing),
        cmocka_unit_test(the_ends_of_the_address_space_match),
        cmocka_unit_test(an_expired_rule_is_as_if_absent),
        cmocka_unit_test(rules_said_twice_become_the_longer_lived_one),
        cmocka_unit_test(a_contradiction_is_refused_by_name),
        cmocka_unit_test(listing_is_in_order_and_goes_on_behind_any_network),
        cmocka_unit_test(hosts_of_one_network_are_told_apart),
        cmocka_unit_test(the_wide_tree_counts_like_a_loop),
        cmocka_unit_test(the_narrow_tree_counts_like_a_loop),
        cmocka_unit_test(a_builder_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
