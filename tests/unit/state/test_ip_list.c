/* SPDX-License-Identifier: Apache-2.0
 * IP list files: what a line means, and what is refused with which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/ip_list.h"
#include "support/parser_kit.h"

/* Reads a text that ends at a page that must not be touched; "1:deny 192.0.2.0/24 never (why)" for
 * each rule, then the error if any. */
static void trace(const char *text, size_t n, bool bare_deny, char *ret, size_t size)
{
    struct pc_bytes bytes = pc_bytes_of(pc_kit_guarded(pc_bytes_of(text, n)), n);
    struct pc_ip_list list = pc_ip_list_of(bytes, bare_deny);
    struct pc_buf b = pc_buf_of(ret, size - 1);
    struct pc_why why = {{0}};
    struct pc_ip_rule r;
    int rc;
    while ((rc = pc_ip_list_next(&list, &r, &why)) > 0) {
        pc_buf_fmt(&b, "%u:%s ", list.line, r.deny ? "deny" : "allow");
        pc_cidr_format(&r.cidr, &b);
        if (r.expires_at_ms != INT64_MAX)
            pc_buf_fmt(&b, " until %lld", (long long)r.expires_at_ms);
        if (r.reason.n)
            pc_buf_fmt(&b, " (%.*s)", (int)r.reason.n, (const char *)r.reason.p);
        pc_buf_char(&b, '\n');
    }
    if (rc < 0)
        pc_buf_fmt(&b, "! %s", why.text);
    assert_false(b.overflow);
    ret[b.len] = 0;
}

static void check(const char *text, const char *want)
{
    char got[2048];
    trace(text, strlen(text), true, got, sizeof got);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\"\nwanted \"%s\"\ngot    \"%s\"", text, want, got);
}

static void lines_are_rules(void **state)
{
    (void)state;
    check("", "");
    check("\n\n  \t\n", "");
    check("# nothing\n; here\n   # either", "");
    check("192.0.2.1", "1:deny 192.0.2.1/32\n");
    check("192.0.2.0/24\n2001:db8::/32\n", "1:deny 192.0.2.0/24\n2:deny 2001:db8::/32\n");
    check("allow 192.0.2.0/24\r\ndeny 192.0.2.7\r\n",
          "1:allow 192.0.2.0/24\n2:deny 192.0.2.7/32\n");
    check("::ffff:192.0.2.0/120", "1:deny 192.0.2.0/24\n");
    check("\n\tdeny\t10.0.0.0/8\t#  two  words \t\n", "2:deny 10.0.0.0/8 (two  words)\n");
    check("192.0.2.0/24 ; SBL12345 # twice", "1:deny 192.0.2.0/24 (SBL12345 # twice)\n");
    check("192.0.2.0/24#\n0.0.0.0/0;x", "1:deny 192.0.2.0/24\n2:deny 0.0.0.0/0 (x)\n");
}

static void a_network_without_a_word_is_what_the_caller_says(void **state)
{
    char got[256];
    (void)state;
    trace("192.0.2.1\ndeny 192.0.2.2", 24, false, got, sizeof got);
    assert_string_equal(got, "1:allow 192.0.2.1/32\n2:deny 192.0.2.2/32\n");
}

static void times_of_expiry(void **state)
{
    static const struct {
        const char *text;
        long long ms; /* 0: refused */
    } rows[] = {
        {"1970-01-02",           86400000       },
        {"2026-12-24",           1798070400000  },
        {"2026-12-24T18:30:05Z", 1798137005000  },
        {"2024-02-29",           1709164800000  },
        {"2000-02-29T23:59:59Z", 951868799000   },
        {"2100-03-01",           4107542400000  },
        {"9999-12-31T23:59:59Z", 253402300799000},
        {"1798070400",           1798070400000  },
        {"1000000000",           1000000000000  },
        {"999999999",            0              },
        {"20261224",             0              },
        {"1",                    0              },
        {"0",                    0              },
        {"-1",                   0              },
        {"2026-02-29",           0              },
        {"2100-02-29",           0              },
        {"2026-13-01",           0              },
        {"2026-00-01",           0              },
        {"2026-01-00",           0              },
        {"2026-01-32",           0              },
        {"1969-12-31",           0              },
        {"2026-12-24T24:00:00Z", 0              },
        {"2026-12-24T18:60:00Z", 0              },
        {"2026-12-24T18:30:60Z", 0              },
        {"2026-12-24T18:30:05",  0              },
        {"2026-12-24 18:30:05Z", 0              },
        {"253402300800",         0              },
        {"",                     0              },
        {"tomorrow",             0              },
        {"10m",                  0              },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        char line[128], got[512], want[128];
        snprintf(line, sizeof line, "192.0.2.1 expires=%s", rows[i].text);
        snprintf(want, sizeof want, "1:deny 192.0.2.1/32 until %lld\n", rows[i].ms);
        trace(line, strlen(line), true, got, sizeof got);
        if (rows[i].ms ? strcmp(got, want) != 0 : got[0] != '!')
            fail_msg("%s: %s", rows[i].text, got);
    }
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    check("192.0.2.1\n\nnonsense\n192.0.2.2", "1:deny 192.0.2.1/32\n! line 3: \"nonsense\": not an "
                                              "address or network such as 192.0.2.0/24 or "
                                              "2001:db8::/32");
    check("192.0.2.1/24", "! line 1: \"192.0.2.1/24\": bits behind the length are set; the network "
                          "is 192.0.2.0/24");
    check("2001:db8::1/32", "! line 1: \"2001:db8::1/32\": bits behind the length are set; the "
                            "network is 2001:db8::/32");
    check("192.0.2.0/33", "! line 1: \"192.0.2.0/33\": the length behind the slash is no number in "
                          "range");
    check("192.0.2.0/", "! line 1: \"192.0.2.0/\": the length behind the slash is no number in "
                        "range");
    check("192.0.2.0/024", "! line 1: \"192.0.2.0/024\": the length behind the slash is no number "
                           "in range");
    check("fe80::1%eth0", "! line 1: \"fe80::1%eth0\": zones are not taken");
    check("192.0.2.1-192.0.2.9",
          "! line 1: \"192.0.2.1-192.0.2.9\": not an address or network such "
          "as 192.0.2.0/24 or 2001:db8::/32");
    check("deny", "! line 1: the network is missing");
    check("allow # why", "! line 1: the network is missing");
    check("block 192.0.2.1", "! line 1: \"block\": not an address or network such as 192.0.2.0/24 "
                             "or 2001:db8::/32");
    check("192.0.2.1 192.0.2.2", "! line 1: \"192.0.2.2\" is not understood: [allow|deny] network "
                                 "[expires=time] [# reason]");
    check("192.0.2.1 expires=1 expires=2",
          "! line 1: \"expires=1\" is not understood: [allow|deny] "
          "network [expires=time] [# reason]");
    check("192.0.2.1 expires=soon", "! line 1: \"soon\" is no time: write 2026-12-24, "
                                    "2026-12-24T18:00:00Z or Unix seconds");
    check("\xef\xbb\xbf"
          "192.0.2.1",
          "! line 1: \"\xef\xbb\xbf"
          "192.0.2.1\": not an address or "
          "network such as 192.0.2.0/24 or 2001:db8::/32");
    check("192.0.2.1 # \x1b[2J", "! line 1: holds a control character");
    check("a\rb", "! line 1: holds a control character");
}

static void what_is_too_long_is_refused(void **state)
{
    static char line[PC_IP_LIST_LINE_MAX + 2];
    char got[256];
    (void)state;
    memset(line, ' ', sizeof line);
    memcpy(line, "10.0.0.1", 8);
    trace(line, PC_IP_LIST_LINE_MAX, true, got, sizeof got);
    assert_string_equal(got, "1:deny 10.0.0.1/32\n");
    trace(line, PC_IP_LIST_LINE_MAX + 1, true, got, sizeof got);
    assert_string_equal(got, "! line 1: longer than 4096 bytes");
    memset(line, 'r', sizeof line);
    memcpy(line, "10.0.0.1#", 9);
    trace(line, 9 + PC_IP_REASON_MAX + 1, true, got, sizeof got);
    assert_string_equal(got, "! line 1: the reason is longer than 512 bytes");
}

/* Memory that ends anywhere is never read behind its end. */
static void every_prefix_is_read(void **state)
{
    static const char text[] = "allow 192.0.2.0/24 expires=2026-12-24T18:00:00Z # why\r\n2001::/16";
    char got[512];
    (void)state;
    for (size_t n = 0; n < sizeof text; n++)
        trace(text, n, true, got, sizeof got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_rules),
        cmocka_unit_test(a_network_without_a_word_is_what_the_caller_says),
        cmocka_unit_test(times_of_expiry),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(every_prefix_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
