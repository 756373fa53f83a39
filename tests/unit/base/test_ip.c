/* SPDX-License-Identifier: Apache-2.0
 * IP addresses and prefixes, compared with the C library where it has the same function. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "base/ip.h"

static const char *text_of(const struct pc_ip *ip)
{
    static char text[PC_IP_TEXT_MAX + 1];
    struct pc_buf b = pc_buf_of(text, PC_IP_TEXT_MAX);
    pc_ip_format(ip, &b);
    assert_false(b.overflow);
    text[b.len] = 0;
    return text;
}

static void addresses_parse_and_format_in_one_spelling(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0.0.0.0",                "0.0.0.0"             },
        {"255.255.255.255",        "255.255.255.255"     },
        {"::",                     "::"                  },
        {"::1",                    "::1"                 },
        {"1::",                    "1::"                 },
        {"2001:DB8:0:0:1:0:0:1",   "2001:db8::1:0:0:1"   },
        {"2001:db8:0:1:1:1:1:1",   "2001:db8:0:1:1:1:1:1"},
        {"1:0:0:2:0:0:0:3",        "1:0:0:2::3"          },
        {"0:0:0:0:0:0:0:1",        "::1"                 },
        {"1:2:3:4:5:6:7::",        "1:2:3:4:5:6:7:0"     },
        {"::2:3:4:5:6:7:8",        "0:2:3:4:5:6:7:8"     },
        {"1:0:0:0:0:0:0:0",        "1::"                 },
        {"64:ff9b::1.2.3.4",       "64:ff9b::102:304"    },
        {"::ffff:1.2.3.4",         "1.2.3.4"             },
        {"::ffff:102:304",         "1.2.3.4"             },
        {"0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"             },
        {"::1.2.3.4",              "::102:304"           },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_ip ip;
        assert_int_equal(pc_ip_parse(pc_bytes_str(cases[i][0]), &ip), 0);
        assert_string_equal(text_of(&ip), cases[i][1]);
    }
}

static void malformed_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.",
        ".1.2.3.4",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.04",
        "1.2.3.+4",
        "1.2.3. 4",
        "1.2.3.4 ",
        "0x1.2.3.4",
        "1..2.3",
        ":",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1::2::3",
        "::12345",
        "::g",
        "1:",
        ":1",
        "1:2:3:4:5:6:7:8::",
        "::1%eth0",
        "[::1]",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4",
        "1::2:3:4:5:6:7:8",
        "::1:2:3:4:5:6:7:8",
        "localhost",
        "1:2:3:4:5:6:7:",
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_ip ip = {.family = 9};
        if (pc_ip_parse(pc_bytes_str(cases[i]), &ip) != -EINVAL)
            fail_msg("%s", cases[i]);
        assert_int_equal(ip.family, 9);
    }
}

/* Random texts made of address characters: the verdict and the bytes are those of inet_pton(). */
static void random_texts_agree_with_the_c_library(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789abcf::::....1";
    uint64_t seed = 42;
    unsigned valid = 0;
    for (int round = 0; round < 400000; round++) {
        char text[48];
        struct pc_ip ip;
        uint8_t b[16];
        size_t n = 0;
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        size_t want = 2 + (seed >> 40) % 20;
        while (n < want) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            text[n++] = alphabet[(seed >> 33) % (sizeof alphabet - 1)];
        }
        text[n] = 0;
        int family = strchr(text, ':') ? AF_INET6 : AF_INET;
        bool theirs = inet_pton(family, text, b) == 1;
        bool ours = pc_ip_parse(pc_bytes_of(text, n), &ip) == 0;
        if (ours != theirs)
            fail_msg("%s: %d, not %d", text, ours, theirs);
        valid += ours;
        if (ours && ip.family == 6)
            assert_memory_equal(ip.b, b, 16);
    }
    assert_true(valid > 1000);
}

/* Formatting and parsing again gives the address back; inet_ntop() agrees except where it writes
 * dotted quads. */
static void random_addresses_survive_formatting(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 20000; round++) {
        struct pc_ip ip = {.family = 6}, again;
        char theirs[INET6_ADDRSTRLEN];
        for (int i = 0; i < 16; i += 2) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            if (seed >> 62) /* a quarter of the groups are zero */
                memcpy(ip.b + i, &seed, 2);
        }
        assert_int_equal(pc_ip_parse(pc_bytes_str(text_of(&ip)), &again), 0);
        if (again.family == 6)
            assert_true(pc_ip_eq(&ip, &again));
        assert_non_null(inet_ntop(AF_INET6, ip.b, theirs, sizeof theirs));
        if (!strchr(theirs, '.'))
            assert_string_equal(text_of(&ip), theirs);
    }
}

static void ports_and_brackets_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text, *ip; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"1.2.3.4",        "1.2.3.4", 0    },
        {"1.2.3.4:80",     "1.2.3.4", 80   },
        {"[::1]",          "::1",     0    },
        {"[::1]:65535",    "::1",     65535},
        {"::1",            "::1",     0    },
        {"::1:80",         "::1:80",  0    },
        {"1.2.3.4:",       NULL,      0    },
        {"1.2.3.4:65536",  NULL,      0    },
        {"1.2.3.4:x",      NULL,      0    },
        {"[1.2.3.4]",      NULL,      0    },
        {"[::1",           NULL,      0    },
        {"[::1]80",        NULL,      0    },
        {"[::1]:",         NULL,      0    },
        {"[]",             NULL,      0    },
        {"",               NULL,      0    },
        {"[fe80::1%1]:80", NULL,      0    },
        {":80",            NULL,      0    },
        {"1.2.3.4:+80",    NULL,      0    },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_ip ip;
        uint16_t port = 0;
        int rc = pc_ip_parse_port(pc_bytes_str(cases[i].text), &ip, &port);
        if ((rc == 0) != (cases[i].ip != NULL))
            fail_msg("%s: %d", cases[i].text, rc);
        if (rc)
            continue;
        assert_string_equal(text_of(&ip), cases[i].ip);
        assert_int_equal(port, cases[i].port);
    }
}

static void prefixes_match_what_they_cover(void **state)
{
    (void)state;
    static const struct {
        const char *cidr, *ip;
        bool inside;
    } cases[] = {
        {"10.0.0.0/8",          "10.255.255.255",  true },
        {"10.0.0.0/8",          "11.0.0.0",        false},
        {"192.0.2.128/25",      "192.0.2.127",     false},
        {"192.0.2.128/25",      "192.0.2.129",     true },
        {"192.0.2.1",           "192.0.2.1",       true },
        {"192.0.2.1",           "192.0.2.0",       false},
        {"0.0.0.0/0",           "1.2.3.4",         true },
        {"0.0.0.0/0",           "::1",             false},
        {"::/0",                "1.2.3.4",         false},
        {"::/0",                "2001:db8::1",     true },
        {"2001:db8::/33",       "2001:db8:7fff::", true },
        {"2001:db8::/33",       "2001:db8:8000::", false},
        {"::1/128",             "::1",             true },
        {"::ffff:10.0.0.0/104", "10.1.2.3",        true },
        {"::ffff:10.0.0.0/104", "11.1.2.3",        false},
        {"10.0.0.0/8",          "::ffff:10.1.2.3", true },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_cidr cidr;
        struct pc_ip ip;
        assert_int_equal(pc_cidr_parse(pc_bytes_str(cases[i].cidr), &cidr), 0);
        assert_int_equal(pc_ip_parse(pc_bytes_str(cases[i].ip), &ip), 0);
        if (pc_cidr_contains(&cidr, &ip) != cases[i].inside)
            fail_msg("%s in %s", cases[i].ip, cases[i].cidr);
        assert_int_equal(pc_cidrs_contain(&cidr, 1, &ip), cases[i].inside);
        assert_false(pc_cidrs_contain(&cidr, 0, &ip));
    }
}

static void malformed_prefixes_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",           "/8",          "10.0.0.0/",      "10.0.0.0/33",
        "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/-1",    "10.0.0.0/8/8",
        "10/8",       "::/129",      "2001:db8::1/32", "::ffff:0.0.0.0/95",
        "::1/256",    "a/8",         "10.0.0.0/ 8"};
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_cidr cidr;
        if (pc_cidr_parse(pc_bytes_str(cases[i]), &cidr) != -EINVAL)
            fail_msg("%s", cases[i]);
    }
}

static void socket_addresses_and_loopback(void **state)
{
    (void)state;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    in.sin_addr.s_addr = htonl(0x7f000102);
    struct pc_ip ip = pc_ip_of_sockaddr((const struct sockaddr *)&in);
    assert_string_equal(text_of(&ip), "127.0.1.2");
    assert_true(pc_ip_is_loopback(&ip));
    inet_pton(AF_INET6, "::ffff:10.0.0.1", &in6.sin6_addr);
    ip = pc_ip_of_sockaddr((const struct sockaddr *)&in6);
    assert_string_equal(text_of(&ip), "10.0.0.1");
    assert_false(pc_ip_is_loopback(&ip));
    inet_pton(AF_INET6, "::1", &in6.sin6_addr);
    ip = pc_ip_of_sockaddr((const struct sockaddr *)&in6);
    assert_true(pc_ip_is_loopback(&ip));
    ip = pc_ip_of_sockaddr((const struct sockaddr *)&other);
    assert_int_equal(ip.family, 0);
    assert_string_equal(text_of(&ip), "");
    assert_false(pc_ip_is_loopback(&ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_parse_and_format_in_one_spelling),
        cmocka_unit_test(malformed_addresses_are_refused),
        cmocka_unit_test(random_texts_agree_with_the_c_library),
        cmocka_unit_test(random_addresses_survive_formatting),
        cmocka_unit_test(ports_and_brackets_are_understood),
        cmocka_unit_test(prefixes_match_what_they_cover),
        cmocka_unit_test(malformed_prefixes_are_refused),
        cmocka_unit_test(socket_addresses_and_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
