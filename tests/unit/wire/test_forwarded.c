/* SPDX-License-Identifier: Apache-2.0
 * Who the client is behind trusted and untrusted proxies. 10/8 and 2001:db8:f::/48 are trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "edge/wire/forwarded.h"

static struct pc_client_addr client_of(enum pc_forwarded_syntax syntax, const char *peer,
                                       const char *first, const char *second)
{
    struct pc_cidr trusted[2];
    struct pc_ip ip;
    struct pc_client_addr client;
    assert_int_equal(pc_cidr_parse(PC_LIT("10.0.0.0/8"), &trusted[0]), 0);
    assert_int_equal(pc_cidr_parse(PC_LIT("2001:db8:f::/48"), &trusted[1]), 0);
    assert_int_equal(pc_ip_parse(pc_bytes_str(peer), &ip), 0);
    struct pc_bytes values[2] = {pc_bytes_str(first), pc_bytes_str(second)};
    pc_forwarded_client(syntax, values, first ? second ? 2 : 1 : 0, &ip, trusted, 2, &client);
    return client;
}

struct row {
    const char *peer, *first, *second, *client;
    unsigned hops;
    bool malformed;
};

static void check(enum pc_forwarded_syntax syntax, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pc_client_addr c = client_of(syntax, rows[i].peer, rows[i].first, rows[i].second);
        char text[PC_IP_TEXT_MAX + 1] = {0};
        struct pc_buf b = pc_buf_of(text, PC_IP_TEXT_MAX);
        pc_ip_format(&c.ip, &b);
        if (strcmp(text, rows[i].client) || c.hops != rows[i].hops ||
            c.malformed != rows[i].malformed)
            fail_msg("row %zu %s: %s, %u hops%s", i, rows[i].first, text, c.hops,
                     c.malformed ? ", malformed" : "");
    }
}

static void x_forwarded_for_is_walked_from_the_right(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"10.0.0.1",        NULL,                         NULL,       "10.0.0.1",    0, false},
        {"10.0.0.1",        "1.2.3.4",                    NULL,       "1.2.3.4",     1, false},
        {"10.0.0.1",        "6.6.6.6, 1.2.3.4",           NULL,       "1.2.3.4",     1, false},
        {"10.0.0.1",        "6.6.6.6, 1.2.3.4, 10.0.0.2", NULL,       "1.2.3.4",     2, false},
        {"10.0.0.1",        "1.2.3.4,10.0.0.3",           "10.0.0.2", "1.2.3.4",     3, false},
        {"10.0.0.1",        "10.0.0.3",                   "10.0.0.2", "10.0.0.3",    2, false},
 /* A peer that is not trusted may write what it likes. */
        {"1.2.3.4",         "10.0.0.9, 6.6.6.6",          NULL,       "1.2.3.4",     0, false},
        {"1.2.3.4",         "garbage",                    NULL,       "1.2.3.4",     0, false},
 /* What is left of the client is never read. */
        {"10.0.0.1",        "garbage \" \\, 1.2.3.4",     NULL,       "1.2.3.4",     1, false},
        {"10.0.0.1",        "garbage",                    "1.2.3.4",  "1.2.3.4",     1, false},
 /* The entry that should name the client cannot be read. */
        {"10.0.0.1",        "garbage",                    NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "garbage, 10.0.0.2",          NULL,       "10.0.0.2",    1, true },
        {"10.0.0.1",        "unknown",                    NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "1.2.3",                      NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "1.2.3.4.5",                  NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "1.2.3.04",                   NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "1.2.3.4 5",                  NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "fe80::1%eth0",               NULL,       "10.0.0.1",    0, true },
        {"10.0.0.1",        "\"1.2.3.4\"",                NULL,       "10.0.0.1",    0, true },
 /* Forms. */
        {"10.0.0.1",        " ,, 1.2.3.4 ,\t, ",          NULL,       "1.2.3.4",     1, false},
        {"10.0.0.1",        "",                           "",         "10.0.0.1",    0, false},
        {"10.0.0.1",        "1.2.3.4:567",                NULL,       "1.2.3.4",     1, false},
        {"10.0.0.1",        "2001:DB8::1",                NULL,       "2001:db8::1", 1, false},
        {"10.0.0.1",        "[2001:db8::1]:443",          NULL,       "2001:db8::1", 1, false},
        {"2001:db8:f::1",   "1.2.3.4, 2001:db8:f:1::2",   NULL,       "1.2.3.4",     2, false},
 /* One host, one spelling: a mapped address is trusted or not like the IPv4 address. */
        {"::ffff:10.0.0.1", "1.2.3.4, ::ffff:10.0.0.2",   NULL,       "1.2.3.4",     2, false},
        {"10.0.0.1",        "::ffff:1.2.3.4",             NULL,       "1.2.3.4",     1, false},
    };
    check(PC_FORWARDED_X_FOR, rows, PC_COUNT(rows));
}

static void forwarded_is_walked_from_the_right(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"10.0.0.1", "for=1.2.3.4",                                NULL,           "1.2.3.4",     1, false},
        {"10.0.0.1", "For=\"1.2.3.4:80\";proto=https;by=10.0.0.1", NULL,           "1.2.3.4",     1, false},
        {"10.0.0.1", "proto=http; FOR=1.2.3.4 ;host=\"a:1\"",      NULL,           "1.2.3.4",     1, false},
        {"10.0.0.1", "for=6.6.6.6, for=1.2.3.4",                   "for=10.0.0.2", "1.2.3.4",     2, false},
        {"10.0.0.1", "for=\"[2001:db8::1]:80\"",                   NULL,           "2001:db8::1", 1, false},
        {"10.0.0.1", "for=\"[2001:db8::1]\";",                     NULL,           "2001:db8::1", 1, false},
        {"10.0.0.1", "for=1.2.3.4;ext=\"a, for=6.6.6.6\"",         NULL,           "1.2.3.4",     1, false},
 /* An open quote of the client cannot swallow what the proxy appended. */
        {"10.0.0.1", "for=\"6.6.6.6, for=1.2.3.4",                 NULL,           "1.2.3.4",     1, false},
        {"10.0.0.1", "for=\"6.6.6.6",                              "for=1.2.3.4",  "1.2.3.4",     1, false},
        {"10.0.0.1", "for=unknown",                                NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=_hidden",                                NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=\"_hidden:80\", for=10.0.0.2",           NULL,           "10.0.0.2",    1, true },
        {"10.0.0.1", "proto=http",                                 NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=1.2.3.4;for=6.6.6.6",                    NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=2001:db8::1",                            NULL,           "10.0.0.1",    0, true }, /* must be quoted */
        {"10.0.0.1", "for=1.2.3.4:80",                             NULL,           "10.0.0.1",    0, true }, /* so must this */
        {"10.0.0.1", "for =1.2.3.4",                               NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=",                                       NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "=1.2.3.4",                                   NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "1.2.3.4",                                    NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=\"1.2.3.4\"x",                           NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=\"1.2\\.3.4\"",                          NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=\"1.2.3.4",                              NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=1.2.3.4 proto=http",                     NULL,           "10.0.0.1",    0, true },
        {"10.0.0.1", "for=\"1.2.3.4:99999\"",                      NULL,           "10.0.0.1",    0, true },
        {"1.2.3.4",  "for=6.6.6.6",                                NULL,           "1.2.3.4",     0, false},
    };
    check(PC_FORWARDED_RFC7239, rows, PC_COUNT(rows));
}

static void a_chain_longer_than_the_limit_is_malformed(void **state)
{
    (void)state;
    char list[PC_FORWARDED_HOPS_MAX * 16 + 64];
    for (unsigned hops = PC_FORWARDED_HOPS_MAX - 1; hops <= PC_FORWARDED_HOPS_MAX; hops++) {
        struct pc_buf b = pc_buf_of(list, sizeof list - 1);
        pc_buf_lit(&b, "1.2.3.4");
        for (unsigned i = 0; i < hops; i++)
            pc_buf_lit(&b, ", 10.0.0.2");
        list[b.len] = 0;
        struct pc_client_addr c = client_of(PC_FORWARDED_X_FOR, "10.0.0.1", list, NULL);
        assert_int_equal(c.malformed, hops == PC_FORWARDED_HOPS_MAX);
        assert_int_equal(c.hops, PC_FORWARDED_HOPS_MAX);
        assert_int_equal(c.ip.b[0], c.malformed ? 10 : 1);
    }
}

static void a_peer_without_address_is_a_trusted_unix_socket(void **state)
{
    (void)state;
    struct pc_cidr proxies;
    struct pc_ip none = {0};
    struct pc_client_addr client;
    struct pc_bytes value = PC_LIT("1.2.3.4, 10.0.0.1"), unreadable = PC_LIT("1.2.3.4, unknown");
    assert_int_equal(pc_cidr_parse(PC_LIT("10.0.0.0/8"), &proxies), 0);
    pc_forwarded_client(PC_FORWARDED_X_FOR, &value, 1, &none, &proxies, 1, &client);
    assert_int_equal(client.ip.b[0], 1);
    assert_int_equal(client.hops, 2);
    pc_forwarded_client(PC_FORWARDED_X_FOR, &unreadable, 1, &none, &proxies, 1, &client);
    assert_int_equal(client.ip.family, 0);
    assert_true(client.malformed);
    pc_forwarded_client(PC_FORWARDED_X_FOR, &value, 0, &none, &proxies, 1, &client);
    assert_int_equal(client.ip.family, 0);
    assert_false(client.malformed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x_forwarded_for_is_walked_from_the_right),
        cmocka_unit_test(forwarded_is_walked_from_the_right),
        cmocka_unit_test(a_chain_longer_than_the_limit_is_malformed),
        cmocka_unit_test(a_peer_without_address_is_a_trusted_unix_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
