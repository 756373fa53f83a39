/* SPDX-License-Identifier: Apache-2.0
 * Canonical paths, URI references, authorities. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "edge/wire/path.h"

#define REFUSED NULL

static const struct row {
    const char *raw, *want;
} rows[] = {
    {"/",                       "/"                             },
    {"/a",                      "/a"                            },
    {"/a/b/",                   "/a/b/"                         },
    {"/v1/auth",                "/v1/auth"                      },
    {"/a-b_c~d.e!$&'()*+,;=:@", "/a-b_c~d.e!$&'()*+,;=:@"       },
    {"/a.b/..c/d..",            "/a.b/..c/d.."                  },
    {"/...",                    "/..."                          },
    {"/.well-known/jwks.json",  "/.well-known/jwks.json"        },
 /* Decoded once. */
    {"/%61",                    "/a"                            },
    {"/%41%7a%7E",              "/Az~"                          },
    {"/a%20b",                  "/a b"                          },
    {"/%3Fx%23y",               "/?x#y"                         },
    {"/%C3%A9",                 "/\xc3\xa9"                     },
    {"/\xc3\xa9",               "/\xc3\xa9"                     },
    {"/%E2%82%AC/%f0%9f%98%80", "/\xe2\x82\xac/\xf0\x9f\x98\x80"},
    {"/100%25",                 "/100%"                         },
    {"/100%25/a",               "/100%/a"                       },
    {"/%25zz",                  "/%zz"                          },
 /* Dot segments and slashes. */
    {"/./a",                    "/a"                            },
    {"/a/./b",                  "/a/b"                          },
    {"/a/.",                    "/a/"                           },
    {"/a/../b",                 "/b"                            },
    {"/a/..",                   "/"                             },
    {"/a/../",                  "/"                             },
    {"/a/b/../../c",            "/c"                            },
    {"/a/%2e%2E/b",             "/b"                            },
    {"/a/%2e/b",                "/a/b"                          },
    {"/.",                      "/"                             },
    {"/./",                     "/"                             },
    {"//",                      "/"                             },
    {"//admin",                 "/admin"                        },
    {"/a//b///c",               "/a/b/c"                        },
    {"/a//",                    "/a/"                           },
    {"/a//..//b",               "/b"                            },
    {"/%2e%2e%2e",              "/..."                          },
 /* Refused. */
    {"",                        REFUSED                         },
    {"a",                       REFUSED                         },
    {"*",                       REFUSED                         },
    {"%2F",                     REFUSED                         },
    {"/..",                     REFUSED                         },
    {"/../a",                   REFUSED                         },
    {"/a/../../b",              REFUSED                         },
    {"/%2e%2e/a",               REFUSED                         },
    {"//..",                    REFUSED                         },
    {"/a%2Fb",                  REFUSED                         },
    {"/a%2fb",                  REFUSED                         },
    {"/a%5Cb",                  REFUSED                         },
    {"/a%5cb",                  REFUSED                         },
    {"/a\\b",                   REFUSED                         },
    {"/a%00",                   REFUSED                         },
    {"/a%1f",                   REFUSED                         },
    {"/a%0d%0a",                REFUSED                         },
    {"/a%7f",                   REFUSED                         },
    {"/a b",                    REFUSED                         },
    {"/a\tb",                   REFUSED                         },
    {"/a\x7f",                  REFUSED                         },
    {"/%252e",                  REFUSED                         },
    {"/%2561",                  REFUSED                         },
    {"/a%252Fb",                REFUSED                         },
    {"/p/%25%32%65%25%32e/a",   REFUSED                         }, /* "%2e%2e", decoded once */
    {"/a%252%66b",              REFUSED                         },
    {"/a%25%32fb",              REFUSED                         },
    {"/%",                      REFUSED                         },
    {"/%4",                     REFUSED                         },
    {"/%4g",                    REFUSED                         },
    {"/%g4",                    REFUSED                         },
    {"/%u0041",                 REFUSED                         },
    {"/a/%",                    REFUSED                         },
    {"/%c0%af",                 REFUSED                         }, /* an overlong '/' */
    {"/%e0%80%af",              REFUSED                         }, /* the same, longer */
    {"/%ed%a0%80",              REFUSED                         }, /* a surrogate */
    {"/%f4%90%80%80",           REFUSED                         },
    {"/%ff",                    REFUSED                         },
    {"/\xff",                   REFUSED                         },
    {"/%c3",                    REFUSED                         },
    {"/%c3/%a9",                REFUSED                         },
    {"/..;/admin",              REFUSED                         },
    {"/a/..;x=1/b",             REFUSED                         },
    {"/a/.;/b",                 REFUSED                         },
    {"/a/%2e%2e;/b",            REFUSED                         },
    {"/a/..%3bx/b",             REFUSED                         },
};

/* The input ends where its allocation ends, so that a sanitizer sees a read too far. */
static int canonical(const char *raw, uint8_t *scratch, size_t cap, struct pc_bytes *ret_path,
                     uint8_t **ret_copy)
{
    size_t n = strlen(raw);
    *ret_copy = malloc(n ? n : 1);
    assert_non_null(*ret_copy);
    memcpy(*ret_copy, raw, n);
    return pc_path_canonical(pc_bytes_of(*ret_copy, n), scratch, cap, ret_path);
}

static void each_path_has_one_spelling_or_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        uint8_t scratch[64], *copy;
        struct pc_bytes path = {NULL, 0};
        int rc = canonical(rows[i].raw, scratch, strlen(rows[i].raw), &path, &copy);
        if (rows[i].want ? rc != 0 || !pc_bytes_eq_str(path, rows[i].want) : rc != -EINVAL)
            fail_msg("%s: %d %.*s", rows[i].raw, rc, (int)path.n, (const char *)path.p);
        free(copy);
    }
}

static void a_canonical_path_is_borrowed_and_stays_itself(void **state)
{
    (void)state;
    uint8_t scratch[64];
    struct pc_bytes raw = PC_LIT("/v1/flags/new-cart/a/b/c/d/e/f/g"), path;
    assert_int_equal(pc_path_canonical(raw, NULL, 0, &path), 0);
    assert_ptr_equal(path.p, raw.p);
    /* Canonical forms of the table: a second pass changes nothing, unless it would decode again,
     * which is why it must never be done. */
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        if (!rows[i].want || strpbrk(rows[i].want, "% "))
            continue;
        assert_int_equal(
            pc_path_canonical(pc_bytes_str(rows[i].want), scratch, sizeof scratch, &path), 0);
        assert_true(pc_bytes_eq_str(path, rows[i].want));
    }
}

static void a_scratch_too_small_is_told(void **state)
{
    (void)state;
    uint8_t scratch[4];
    struct pc_bytes path;
    assert_int_equal(pc_path_canonical(PC_LIT("/a/../b"), scratch, sizeof scratch, &path),
                     -ENOBUFS);
}

/* Every byte at every place of paths of several lengths: the wide steps agree with the rules. */
static void every_byte_is_judged_the_same_at_every_place(void **state)
{
    (void)state;
    for (size_t n = 2; n < 70; n++) {
        for (size_t at = 1; at < n; at++) {
            for (unsigned c = 1; c < 256; c++) {
                uint8_t raw[80], scratch[80];
                struct pc_bytes path;
                memset(raw, 'a', sizeof raw);
                raw[0] = '/';
                raw[at] = (uint8_t)c;
                int rc = pc_path_canonical(pc_bytes_of(raw, n), scratch, sizeof scratch, &path);
                bool refused = c <= 0x20 || c >= 0x7f || c == '%' || c == '\\';
                if (c == '%' && at + 2 < n) /* "%aa" is not UTF-8, so refused as well */
                    refused = true;
                bool shorter = (c == '/' && at == 1) || (c == '.' && n == 2);
                assert_int_equal(rc, refused ? -EINVAL : 0);
                if (rc == 0)
                    assert_int_equal(path.n, shorter ? n - 1 : n);
            }
        }
    }
}

static void uris_are_cut_into_their_parts(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *authority, *path, *query; /* authority NULL: refused */
    } cases[] = {
        {"/a?b",                      "",                "/a",           "b"    },
        {"/a",                        "",                "/a",           NULL   },
        {"/a?",                       "",                "/a",           ""     },
        {"//a/b",                     "",                "//a/b",        NULL   },
        {"/a?b?c/d",                  "",                "/a",           "b?c/d"},
        {"http://h/a?b",              "h",               "/a",           "b"    },
        {"HTTPS://h:443",             "h:443",           "",             NULL   },
        {"http://h?b",                "h",               "",             "b"    },
        {"https://[2001:db8::1]:8/x", "[2001:db8::1]:8", "/x",           NULL   },
        {"/caf\xc3\xa9",              "",                "/caf\xc3\xa9", NULL   },
        {"",                          NULL,              NULL,           NULL   },
        {"a/b",                       NULL,              NULL,           NULL   },
        {"?a",                        NULL,              NULL,           NULL   },
        {"http:",                     NULL,              NULL,           NULL   },
        {"http://",                   NULL,              NULL,           NULL   },
        {"http:///a",                 NULL,              NULL,           NULL   },
        {"http://u:p@h/",             NULL,              NULL,           NULL   },
        {"http://h /",                NULL,              NULL,           NULL   },
        {"http://h/#f",               NULL,              NULL,           NULL   },
        {"/a#f",                      NULL,              NULL,           NULL   },
        {"/a b",                      NULL,              NULL,           NULL   },
        {"/a\r\n",                    NULL,              NULL,           NULL   },
        {"ftp://h/",                  NULL,              NULL,           NULL   },
        {"httpx://h/",                NULL,              NULL,           NULL   },
        {"http://h\\@x/",             NULL,              NULL,           NULL   },
        {"http://:80/",               NULL,              NULL,           NULL   },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_uri u;
        int rc = pc_uri_split(pc_bytes_str(cases[i].uri), &u);
        if ((rc == 0) != (cases[i].authority != NULL))
            fail_msg("%s: %d", cases[i].uri, rc);
        if (rc)
            continue;
        assert_true(pc_bytes_eq_str(u.authority, cases[i].authority));
        assert_true(pc_bytes_eq_str(u.path, cases[i].path));
        assert_int_equal(u.has_query, cases[i].query != NULL);
        assert_true(pc_bytes_eq_str(u.query, cases[i].query));
    }
}

static void authorities_have_a_host_and_maybe_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *host; /* NULL: refused */
    } cases[] = {
        {"",                       ""              },
        {"a",                      "a"             },
        {"a.b-c_d~e",              "a.b-c_d~e"     },
        {"a:80",                   "a"             },
        {"a:",                     "a"             },
        {"a:65535",                "a"             },
        {"127.0.0.1:1",            "127.0.0.1"     },
        {"[::1]",                  "::1"           },
        {"[::1]:80",               "::1"           },
        {"[::ffff:1.2.3.4]",       "::ffff:1.2.3.4"},
        {"a:65536",                NULL            },
        {"a:99999999999999999999", NULL            },
        {"a:-1",                   NULL            },
        {"a:1:1",                  NULL            },
        {":1",                     NULL            },
        {"a b",                    NULL            },
        {"a@b",                    NULL            },
        {"a%20",                   NULL            },
        {"[::1",                   NULL            },
        {"[]",                     NULL            },
        {"[::1]x",                 NULL            },
        {"[::1]80",                NULL            },
        {"::1",                    NULL            },
        {"[1.2.3.4]",              NULL            },
        {"[fe80::1%25eth0]",       NULL            },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_bytes a = pc_bytes_str(cases[i].authority);
        if (pc_authority_valid(a) != (cases[i].host != NULL))
            fail_msg("%s", cases[i].authority);
        if (cases[i].host)
            assert_true(pc_bytes_eq_str(pc_authority_host(a), cases[i].host));
    }
}

/* Each byte at each place of targets of each length: what one look says agrees with cutting the
 * target and canonicalising its path. */
static void a_plain_target_is_its_own_canonical_path(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 52; n++) {
        uint8_t *exact = malloc(n), scratch[64];
        assert_non_null(exact);
        for (size_t at = 0; at < n; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                struct pc_bytes target = pc_bytes_of(exact, n), path;
                struct pc_uri uri;
                for (size_t i = 0; i < n; i++)
                    exact[i] = i % 5 ? 'a' : '/';
                exact[at] = (uint8_t)byte;
                bool same = pc_uri_split(target, &uri) == 0 && uri.scheme.n == 0 &&
                            !uri.has_query &&
                            pc_path_canonical(uri.path, scratch, sizeof scratch, &path) == 0 &&
                            path.p == exact;
                if (pc_path_is_target(target) != same)
                    fail_msg("%.*s", (int)n, (const char *)exact);
            }
        }
        free(exact);
    }
}

/* Each byte at each place of names of each length. */
static void every_byte_of_a_name_is_looked_at(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++) {
        uint8_t *exact = malloc(n);
        assert_non_null(exact);
        memset(exact, 'a', n);
        for (size_t at = 0; at < n; at++) {
            for (unsigned c = 0; c < 256; c++) {
                bool name = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                            (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' || c == '~';
                exact[at] = (uint8_t)c;
                /* A port may be empty, and no letter. */
                bool port = c == ':' && at > 0 && at + 1 == n;
                assert_int_equal(pc_authority_valid(pc_bytes_of(exact, n)), name || port);
            }
            exact[at] = 'a';
        }
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_has_one_spelling_or_is_refused),
        cmocka_unit_test(a_canonical_path_is_borrowed_and_stays_itself),
        cmocka_unit_test(a_scratch_too_small_is_told),
        cmocka_unit_test(every_byte_is_judged_the_same_at_every_place),
        cmocka_unit_test(uris_are_cut_into_their_parts),
        cmocka_unit_test(a_plain_target_is_its_own_canonical_path),
        cmocka_unit_test(authorities_have_a_host_and_maybe_a_port),
        cmocka_unit_test(every_byte_of_a_name_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
