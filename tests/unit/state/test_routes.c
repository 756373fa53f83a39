/* SPDX-License-Identifier: Apache-2.0
 * The router against its rules by hand, and against a naive reading of R1 over random rules and
 * requests. */
#include "edge/state/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

/* Words separated by blanks. */
#define WORDS_MAX 8
struct words {
    char text[256];
    const char *v[WORDS_MAX];
    struct pc_words words;
};

static const struct pc_words *words_of(struct words *w, const char *text)
{
    snprintf(w->text, sizeof w->text, "%s", text);
    w->words = (struct pc_words){w->v, 0};
    for (char *save, *s = strtok_r(w->text, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
        assert_true(w->words.n < WORDS_MAX);
        w->v[w->words.n++] = s;
    }
    return &w->words;
}

/* A rule as tests write it. */
struct rule {
    const char *path, *hosts, *methods;
    uint32_t listeners;
};

#define RULES_MAX 1100

static struct words hosts[RULES_MAX], methods[RULES_MAX];
static char names[RULES_MAX][16];

static int compile(const struct rule *rules, unsigned n, struct pc_routes **ret, struct pc_why *why)
{
    static struct pc_route_rule compiled[RULES_MAX];
    assert_true(n <= RULES_MAX);
    for (unsigned i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "r%u", i);
        compiled[i] = (struct pc_route_rule){
            .name = names[i],
            .path = rules[i].path,
            .hosts = words_of(&hosts[i], rules[i].hosts ? rules[i].hosts : ""),
            .methods = words_of(&methods[i], rules[i].methods ? rules[i].methods : ""),
            .listeners = rules[i].listeners,
        };
    }
    return pc_routes_compile(compiled, n, ret, why);
}

static struct pc_routes *routes_of(const struct rule *rules, unsigned n)
{
    struct pc_routes *r = NULL;
    struct pc_why why = {{0}};
    int rc = compile(rules, n, &r, &why);
    if (rc < 0)
        print_error("%s\n", why.text);
    assert_int_equal(rc, 0);
    return r;
}

static uint32_t find(const struct pc_routes *r, const char *method, const char *host,
                     const char *path, unsigned listener)
{
    struct pc_route_request request = {
        .path = pc_bytes_str(path),
        .host = pc_bytes_str(host),
        .method = pc_bytes_str(method),
        .listener = listener,
    };
    return pc_routes_find(r, &request);
}

static uint32_t find_path(const struct pc_routes *r, const char *path)
{
    return find(r, "GET", "any.example", path, 0);
}

#define NONE PC_ROUTE_NONE

/* ---- paths ---- */

static void without_rules_nothing_matches(void **state)
{
    (void)state;
    struct pc_routes *r = routes_of(NULL, 0);
    assert_int_equal(pc_routes_needs(r), 0);
    assert_int_equal(find_path(r, "/"), NONE);
    assert_int_equal(find_path(r, "/a/b"), NONE);
    pc_routes_free(r);
}

static void exact_before_template_before_prefix_before_any(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.path = ""},         {.path = "/*"},         {.path = "/a/*"},
        {.path = "/a/b/*"},   {.path = "/a/{x}/{y}"}, {.path = "/a/{x}/c"},
        {.path = "/a/b/{y}"}, {.path = "/a/b/c"},     {.path = "/{v}/b/{y}"},
    };
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(pc_routes_needs(r), PC_ROUTE_NEEDS_PATH);
    assert_int_equal(find_path(r, "/a/b/c"), 7);
    assert_int_equal(find_path(r, "/a/b/z"), 6); /* literals further left win */
    assert_int_equal(find_path(r, "/a/z/c"), 5);
    assert_int_equal(find_path(r, "/a/z/z"), 4);
    assert_int_equal(find_path(r, "/z/b/z"), 8);
    assert_int_equal(find_path(r, "/a/b"), 3);
    assert_int_equal(find_path(r, "/a/b/c/d"), 3);
    assert_int_equal(find_path(r, "/a"), 2);
    assert_int_equal(find_path(r, "/a/z"), 2);
    assert_int_equal(find_path(r, "/ab"), 1);
    assert_int_equal(find_path(r, "/"), 1);
    pc_routes_free(r);
    r = routes_of(rules, 1);
    assert_int_equal(pc_routes_needs(r), 0);
    assert_int_equal(find_path(r, "/"), 0);
    pc_routes_free(r);
}

static void a_prefix_ends_at_a_segment(void **state)
{
    (void)state;
    const struct rule rules[] = {{.path = "/admin/*"}};
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(find_path(r, "/admin"), 0);
    assert_int_equal(find_path(r, "/admin/"), 0);
    assert_int_equal(find_path(r, "/admin/users/1"), 0);
    assert_int_equal(find_path(r, "/administrator"), NONE);
    assert_int_equal(find_path(r, "/x/admin"), NONE);
    assert_int_equal(find_path(r, "/Admin"), NONE);
    pc_routes_free(r);
}

static void parameters_and_empty_segments_do_not_count(void **state)
{
    (void)state;
    const struct rule rules[] = {{.path = "/admin/*"}, {.path = "/a/b"}, {.path = "/t/{x}"}};
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(find_path(r, "/admin;x=1"), 0);
    assert_int_equal(find_path(r, "/admin;x=1/users"), 0);
    assert_int_equal(find_path(r, "/;x/admin"), 0);
    assert_int_equal(find_path(r, "/;x/;y=2/admin;z/"), 0);
    assert_int_equal(find_path(r, "/a;long-parameter=of-some-length/b;x"), 1);
    assert_int_equal(find_path(r, "/a/b/"), 1);
    assert_int_equal(find_path(r, "/a/;x/b"), 1);
    assert_int_equal(find_path(r, "/t/value;x"), 2);
    assert_int_equal(find_path(r, "/t/;x"), NONE);
    assert_int_equal(find_path(r, "/t/"), NONE);
    pc_routes_free(r);
}

static void prefixes_may_hold_open_segments(void **state)
{
    (void)state;
    const struct rule rules[] = {{.path = "/users/*"},
                                 {.path = "/users/{id}/*"},
                                 {.path = "/users/me/*"},
                                 {.path = "/users/{id}/keys/*"}};
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(find_path(r, "/users"), 0);
    assert_int_equal(find_path(r, "/users/7"), 1);
    assert_int_equal(find_path(r, "/users/7/a/b"), 1);
    assert_int_equal(find_path(r, "/users/me/a"), 2);
    assert_int_equal(find_path(r, "/users/me/keys"), 3); /* the longest prefix first */
    pc_routes_free(r);
}

/* "/a" n times. */
static void repeat_segment(char out[256], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memcpy(out + 2 * i, "/a", 2);
    out[2 * n] = 0;
}

static void paths_longer_than_patterns_reach_prefixes(void **state)
{
    (void)state;
    char deep[256], pattern[256];
    repeat_segment(deep, 40);
    repeat_segment(pattern, PC_ROUTE_SEGMENTS_MAX);
    const struct rule rules[] = {{.path = pattern}, {.path = "/a/*"}};
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(find_path(r, deep), 1);
    deep[2 * PC_ROUTE_SEGMENTS_MAX] = 0;
    assert_int_equal(find_path(r, deep), 0);
    deep[2 * PC_ROUTE_SEGMENTS_MAX - 2] = 0;
    assert_int_equal(find_path(r, deep), 1);
    pc_routes_free(r);
}

static void bytes_behind_the_path_are_not_read(void **state)
{
    (void)state;
    const struct rule rules[] = {{.path = "/abc"}, {.path = "/abcdefghij/klmnopqrstuv"}};
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    const char *paths[] = {"/abc", "/abcdefghij/klmnopqrstuv"};
    for (unsigned i = 0; i < PC_COUNT(paths); i++) {
        size_t n = strlen(paths[i]);
        uint8_t *exact = malloc(n); /* AddressSanitizer watches its end */
        memcpy(exact, paths[i], n);
        struct pc_route_request request = {.path = pc_bytes_of(exact, n)};
        assert_int_equal(pc_routes_find(r, &request), i);
        free(exact);
    }
    pc_routes_free(r);
}

/* ---- host, method, listener ---- */

static void hosts_compare_without_case_and_port(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.path = "",                          .hosts = "Api.Example"             },
        {.path = "",                          .hosts = "*.example"               },
        {.path = "",                          .hosts = "*.deep.example b.example"},
        {.path = ""                         },
        {.path = "", .hosts = "[2001:db8::1] 192.0.2.1"                                   }
    };
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(pc_routes_needs(r), PC_ROUTE_NEEDS_HOST);
    assert_int_equal(find(r, "GET", "api.example", "/", 0), 0);
    assert_int_equal(find(r, "GET", "API.EXAMPLE:8443", "/", 0), 0);
    assert_int_equal(find(r, "GET", "api.example.", "/", 0), 0);
    assert_int_equal(find(r, "GET", "x.example", "/", 0), 1);
    assert_int_equal(find(r, "GET", "x.y.Example:80", "/", 0), 1);
    assert_int_equal(find(r, "GET", "x.deep.example", "/", 0), 2);
    assert_int_equal(find(r, "GET", "b.example", "/", 0), 2);
    assert_int_equal(find(r, "GET", "example", "/", 0), 3);
    assert_int_equal(find(r, "GET", ".example", "/", 0), 3);
    assert_int_equal(find(r, "GET", "notexample", "/", 0), 3);
    assert_int_equal(find(r, "GET", "", "/", 0), 3);
    assert_int_equal(find(r, "GET", "[2001:DB8::1]:443", "/", 0), 4);
    assert_int_equal(find(r, "GET", "2001:db8::1", "/", 0), 4);
    assert_int_equal(find(r, "GET", "192.0.2.1:80", "/", 0), 4);
    char longest[400];
    memset(longest, 'a', sizeof longest);
    memcpy(longest + 380, ".example", sizeof ".example");
    assert_int_equal(find(r, "GET", longest, "/", 0), 3);
    pc_routes_free(r);
}

static void head_belongs_to_get_unless_named(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.path = "/a", .methods = "GET POST"},
        {.path = "/a", .methods = "HEAD"    },
        {.path = "/b", .methods = "GET",      .listeners = 2},
        {.path = "/b"           },
        {.path = "/c", .methods = "PROPFIND"                     }
    };
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(pc_routes_needs(r), PC_ROUTE_NEEDS_PATH | PC_ROUTE_NEEDS_METHOD);
    assert_int_equal(find(r, "GET", "", "/a", 0), 0);
    assert_int_equal(find(r, "POST", "", "/a", 0), 0);
    assert_int_equal(find(r, "HEAD", "", "/a", 0), 1);
    assert_int_equal(find(r, "PUT", "", "/a", 0), NONE);
    assert_int_equal(find(r, "HEAD", "", "/b", 1), 2);
    assert_int_equal(find(r, "GET", "", "/b", 1), 2);
    assert_int_equal(find(r, "GET", "", "/b", 0), 3);
    assert_int_equal(find(r, "PROPFIND", "", "/c", 0), 4);
    assert_int_equal(find(r, "", "", "/c", 0), NONE);
    pc_routes_free(r);
}

static void methods_compare_without_case(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.path = "/a",       .methods = "POST get"},
        {.path = "/a"                 },
        {.path = "/b", .methods = "head"},
        {.path = "/b"},
    };
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    static const char *const named[] = {"POST", "post", "PoSt", "GET", "gEt", "HEAD", "head"};
    for (size_t i = 0; i < PC_COUNT(named); i++)
        assert_int_equal(find(r, named[i], "", "/a", 0), 0);
    assert_int_equal(find(r, "POSTS", "", "/a", 0), 1);
    assert_int_equal(find(r, "HeAD", "", "/b", 0), 2);
    assert_int_equal(find(r, "get", "", "/b", 0), 3);
    pc_routes_free(r);
}

static void what_does_not_match_is_passed_over(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.path = "/a/b",   .methods = "GET"},
        {.path = "/a/{x}", .hosts = "h"    },
        {.path = "/a/*",   .listeners = 1  },
        {.path = "/a/*",   .hosts = "h",     .listeners = 2},
        {.path = "",                .methods = "DELETE"                      }
    };
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(find(r, "GET", "h", "/a/b", 0), 0);
    assert_int_equal(find(r, "PUT", "h", "/a/b", 0), 1);
    assert_int_equal(find(r, "PUT", "x", "/a/b", 0), 2);
    assert_int_equal(find(r, "PUT", "h", "/a/b/c", 1), 3);
    assert_int_equal(find(r, "PUT", "x", "/a/b/c", 1), NONE);
    assert_int_equal(find(r, "DELETE", "x", "/a/b/c", 1), 4);
    pc_routes_free(r);
}

static void host_counts_more_than_method_and_method_more_than_listener(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {.path = "/a",    .hosts = "h"},
        {.path = "/a",               .hosts = "*.h", .methods = "GET", .listeners = 1},
        {.path = "/a",.methods = "GET"},
        {.path = "/a", .listeners = 1},
        {.path = "/a",    .methods = "GET", .listeners = 1},
        {.path = "/a"              }
    };
    struct pc_routes *r = routes_of(rules, PC_COUNT(rules));
    assert_int_equal(find(r, "GET", "h", "/a", 0), 0);
    assert_int_equal(find(r, "GET", "x.h", "/a", 0), 1);
    assert_int_equal(find(r, "GET", "x.h", "/a", 1), 2);
    assert_int_equal(find(r, "GET", "x", "/a", 0), 4);
    assert_int_equal(find(r, "GET", "x", "/a", 1), 2);
    assert_int_equal(find(r, "PUT", "x", "/a", 0), 3);
    assert_int_equal(find(r, "PUT", "x", "/a", 1), 5);
    pc_routes_free(r);
}

/* ---- refusals ---- */

static void assert_refused(const struct rule *rules, unsigned n, const char *part)
{
    struct pc_routes *r = NULL;
    struct pc_why why = {{0}};
    assert_int_equal(compile(rules, n, &r, &why), -EINVAL);
    assert_null(r);
    if (!strstr(why.text, part))
        print_error("\"%s\" does not say \"%s\"\n", why.text, part);
    assert_non_null(strstr(why.text, part));
}

static void patterns_that_never_match_are_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a/b",      "must begin"},
        {"/a//b",    "empty"     },
        {"/a/../b",  "dot"       },
        {"/a/./b",   "dot"       },
        {"/a;x",     "parameters"},
        {"/a?x",     "query"     },
        {"/a#x",     "fragment"  },
        {"/*/b",     "alone"     },
        {"/a*",      "alone"     },
        {"/a/{x",    "whole"     },
        {"/a/x{y}",  "whole"     },
        {"/a/{}",    "whole"     },
        {"/a/{x y}", "whole"     },
        {"/a/%41",   "decoded"   },
        {"/a\\b",    "backslash" },
        {"/a/\x01",  "control"   },
    };
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        struct rule rule = {.path = bad[i][0]};
        assert_refused(&rule, 1, bad[i][1]);
    }
    char deep[256];
    repeat_segment(deep, PC_ROUTE_SEGMENTS_MAX + 1);
    struct rule rule = {.path = deep};
    assert_refused(&rule, 1, "too many segments");
}

static void hosts_and_methods_that_never_match_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"a:80", "[::1]:80", "*", "*.", "a/b", ".a", "*.*.a", "a,b"};
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        struct rule rule = {.path = "", .hosts = bad[i]};
        assert_refused(&rule, 1, "routes[0].hosts");
    }
    struct rule method = {.path = "", .methods = "G,T"};
    assert_refused(&method, 1, "routes[0].methods");
}

static void rules_that_nothing_tells_apart_are_refused(void **state)
{
    (void)state;
    static const struct rule pairs[][2] = {
        {{.path = "/a"},                       {.path = "/a/"}                      },
        {{.path = ""},                         {.path = ""}                         },
        {{.path = "/a/{x}"},                   {.path = "/a/{y}"}                   },
        {{.path = "/a/*"},                     {.path = "/a/*"}                     },
        {{.path = "/a", .methods = "GET PUT"}, {.path = "/a", .methods = "PUT POST"}},
        {{.path = "/a", .hosts = "h i"},       {.path = "/a", .hosts = "I j"}       },
        {{.path = "/a", .hosts = "*.h"},       {.path = "/a", .hosts = "*.H"}       },
        {{.path = "/a", .listeners = 3},       {.path = "/a", .listeners = 6}       },
    };
    for (size_t i = 0; i < PC_COUNT(pairs); i++)
        assert_refused(pairs[i], 2, "routes[0] (r0) and routes[1] (r1)");
    static const struct rule apart[][2] = {
        {{.path = "/a"},                   {.path = "/a/*"}                 },
        {{.path = "/a", .methods = "GET"}, {.path = "/a", .methods = "HEAD"}},
        {{.path = "/a", .methods = "GET"}, {.path = "/a"}                   },
        {{.path = "/a", .hosts = "h"},     {.path = "/a", .hosts = "*.h"}   },
        {{.path = "/a", .listeners = 1},   {.path = "/a", .listeners = 2}   },
        {{.path = "/a", .listeners = 1},   {.path = "/a"}                   },
        {{.path = "/a/{x}/c"},             {.path = "/a/b/{y}"}             },
    };
    for (size_t i = 0; i < PC_COUNT(apart); i++)
        pc_routes_free(routes_of(apart[i], 2));
}

static void too_many_methods_are_refused(void **state)
{
    (void)state;
    static char text[33][40];
    struct rule rules[33];
    for (unsigned i = 0; i < PC_COUNT(rules); i++) {
        snprintf(text[i], sizeof text[i], "METHOD%u", i);
        rules[i] = (struct rule){.path = "/a", .methods = text[i]};
    }
    assert_refused(rules, PC_COUNT(rules), "different methods");
    struct pc_routes *r = routes_of(rules, 32);
    assert_int_equal(find(r, "METHOD31", "", "/a", 0), 31);
    pc_routes_free(r);
}

/* ---- against a naive reading ---- */

#define MODEL_RULES 60

/* Segments of a path or pattern, without parameters and empty ones. */
static unsigned segments_of(const char *path, char out[40][32])
{
    unsigned n = 0;
    while (*path) {
        size_t length = strcspn(path, "/;");
        if (length)
            snprintf(out[n++], 32, "%.*s", (int)length, path);
        path += length;
        path += strcspn(path, "/");
        path += *path == '/';
    }
    return n;
}

/* How well a pattern matches, as text to be compared; "" = not. The later letters matter less. */
static void rank_path(const char *pattern, const char *path, char rank[80])
{
    char want[40][32], have[40][32];
    unsigned n_want = segments_of(pattern, want), n = segments_of(path, have), literals = 0;
    bool prefix = n_want && strcmp(want[n_want - 1], "*") == 0, open = false;
    char mask[40] = "";
    rank[0] = 0;
    if (!*pattern) {
        snprintf(rank, 80, "a");
        return;
    }
    n_want -= prefix;
    if (prefix ? n < n_want : n != n_want)
        return;
    for (unsigned i = 0; i < n_want; i++) {
        bool is_open = want[i][0] == '{';
        if (!is_open && strcmp(want[i], have[i]) != 0)
            return;
        open |= is_open;
        literals += !is_open;
        mask[i] = is_open ? 'a' : 'b';
    }
    snprintf(rank, 80, "%c%02u%c%02u%s", prefix ? 'b' : 'c', prefix ? n_want : 0, open ? 'a' : 'b',
             literals, mask);
}

static void rank_host(const struct pc_words *rule, const char *host, char rank[16])
{
    snprintf(rank, 16, "%s", rule->n ? "" : "a");
    for (unsigned i = 0; i < rule->n; i++) {
        const char *h = rule->v[i];
        size_t n = strlen(h), m = strlen(host);
        if (h[0] == '*' && m > n - 1 && strcmp(host + m - (n - 1), h + 1) == 0 && rank[0] != 'c')
            snprintf(rank, 16, "b%03u", (unsigned)n);
        else if (strcmp(h, host) == 0)
            snprintf(rank, 16, "c");
    }
}

static char rank_method(const struct pc_words *rule, const char *method)
{
    char rank = rule->n ? 0 : 'a';
    for (unsigned i = 0; i < rule->n; i++) {
        if (strcmp(rule->v[i], method) == 0)
            return 'c';
        if (strcmp(rule->v[i], "GET") == 0 && strcmp(method, "HEAD") == 0)
            rank = 'b';
    }
    return rank;
}

static uint32_t naive_find(const struct rule *rules, unsigned n, const char *method,
                           const char *host, const char *path, unsigned listener)
{
    char best[160] = "", rank[160], by_path[80], by_host[16];
    uint32_t found = NONE;
    for (unsigned i = 0; i < n; i++) {
        rank_path(rules[i].path, path, by_path);
        rank_host(&hosts[i].words, host, by_host);
        char by_method = rank_method(&methods[i].words, method);
        uint32_t l = rules[i].listeners;
        if (!by_path[0] || !by_host[0] || !by_method || (l && !(l >> listener & 1)))
            continue;
        snprintf(rank, sizeof rank, "%-79s%-8s%c%c", by_path, by_host, by_method, l ? 'b' : 'a');
        if (strcmp(rank, best) <= 0)
            continue;
        snprintf(best, sizeof best, "%s", rank);
        found = i;
    }
    return found;
}

static const char *pick(struct pc_prng *p, const char *const *list, size_t n)
{
    return list[pc_prng_u64(p) % n];
}

static void random_path(struct pc_prng *p, bool pattern, char out[128])
{
    static const char *const words[] = {"a", "b", "users", "a-segment-of-many-bytes", "12345678"};
    unsigned n = (unsigned)(pc_prng_u64(p) % 5);
    out[0] = 0;
    if (pattern && pc_prng_u64(p) % 16 == 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        bool open = pattern && pc_prng_u64(p) % 4 == 0;
        snprintf(out + strlen(out), 128 - strlen(out), "/%s",
                 open ? "{x}" : pick(p, words, PC_COUNT(words)));
        if (!pattern && pc_prng_u64(p) % 8 == 0)
            snprintf(out + strlen(out), 128 - strlen(out), ";v=%u", i);
    }
    if (pattern && pc_prng_u64(p) % 3 == 0)
        snprintf(out + strlen(out), 128 - strlen(out), "/*");
    else if (n == 0 || pc_prng_u64(p) % 8 == 0)
        snprintf(out + strlen(out), 128 - strlen(out), "/");
}

static const char *const model_hosts[] = {"", "", "h", "*.h", "x.h", "h x.h", "*.x.h", "*.h h"};
static const char *const model_methods[] = {"", "", "GET", "HEAD", "PUT POST", "GET PUT"};

/* Rules that do not collide with those before them. */
static unsigned random_rules(struct pc_prng *p, struct rule *rules, char paths[][128])
{
    unsigned n = 0;
    for (unsigned tries = 0; tries < MODEL_RULES; tries++) {
        struct pc_routes *r = NULL;
        random_path(p, true, paths[n]);
        rules[n] = (struct rule){
            .path = paths[n],
            .hosts = pick(p, model_hosts, PC_COUNT(model_hosts)),
            .methods = pick(p, model_methods, PC_COUNT(model_methods)),
            .listeners = pc_prng_u64(p) % 3 ? 0 : (uint32_t)(pc_prng_u64(p) % 4),
        };
        if (compile(rules, n + 1, &r, NULL) == 0)
            n++;
        pc_routes_free(r);
    }
    return n;
}

static void agrees_with_a_naive_reading(void **state)
{
    (void)state;
    static const char *const ask_hosts[] = {"h", "x.h", "y.x.h", "y.h", "z"};
    static const char *const ask_methods[] = {"GET", "HEAD", "PUT", "POST", "TRACE"};
    static char paths[MODEL_RULES + 1][128];
    struct rule rules[MODEL_RULES + 1];
    struct pc_prng p;
    static const uint8_t seed[32] = {20, 26, 11, 20};
    pc_prng_seed(&p, seed);
    unsigned matched = 0;
    for (unsigned round = 0; round < 60; round++) {
        unsigned n = random_rules(&p, rules, paths);
        struct pc_routes *r = routes_of(rules, n);
        for (unsigned i = 0; i < 400; i++) {
            char path[128];
            random_path(&p, false, path);
            const char *host = pick(&p, ask_hosts, PC_COUNT(ask_hosts));
            const char *method = pick(&p, ask_methods, PC_COUNT(ask_methods));
            unsigned listener = (unsigned)(pc_prng_u64(&p) % 3);
            uint32_t expected = naive_find(rules, n, method, host, path, listener);
            uint32_t found = find(r, method, host, path, listener);
            if (found != expected)
                print_error("%s %s%s on %u: found %d, expected %d\n", method, host, path, listener,
                            (int)found, (int)expected);
            assert_int_equal(found, expected);
            matched += found != NONE;
        }
        pc_routes_free(r);
    }
    assert_true(matched > 1000);
}

static void a_thousand_rules_are_found_each(void **state)
{
    (void)state;
    static char paths[RULES_MAX][64];
    static struct rule rules[RULES_MAX];
    unsigned n = 1000;
    for (unsigned i = 0; i < n; i++) {
        snprintf(paths[i], sizeof paths[i], i % 3 ? "/service-%u/{id}/items" : "/service-%u/*", i);
        rules[i] = (struct rule){.path = paths[i]};
    }
    struct pc_routes *r = routes_of(rules, n);
    for (unsigned i = 0; i < n; i++) {
        char path[64];
        snprintf(path, sizeof path, "/service-%u/77/items", i);
        assert_int_equal(find_path(r, path), i);
    }
    assert_true(pc_routes_bytes(r) < 256 * 1024);
    pc_routes_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_nothing_matches),
        cmocka_unit_test(exact_before_template_before_prefix_before_any),
        cmocka_unit_test(a_prefix_ends_at_a_segment),
        cmocka_unit_test(parameters_and_empty_segments_do_not_count),
        cmocka_unit_test(prefixes_may_hold_open_segments),
        cmocka_unit_test(paths_longer_than_patterns_reach_prefixes),
        cmocka_unit_test(bytes_behind_the_path_are_not_read),
        cmocka_unit_test(hosts_compare_without_case_and_port),
        cmocka_unit_test(head_belongs_to_get_unless_named),
        cmocka_unit_test(what_does_not_match_is_passed_over),
        cmocka_unit_test(host_counts_more_than_method_and_method_more_than_listener),
        cmocka_unit_test(patterns_that_never_match_are_refused),
        cmocka_unit_test(hosts_and_methods_that_never_match_are_refused),
        cmocka_unit_test(rules_that_nothing_tells_apart_are_refused),
        cmocka_unit_test(too_many_methods_are_refused),
        cmocka_unit_test(methods_compare_without_case),
        cmocka_unit_test(agrees_with_a_naive_reading),
        cmocka_unit_test(a_thousand_rules_are_found_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
