/* SPDX-License-Identifier: Apache-2.0
 * Files of points: every member is read to its place; one that is missing, misspelt, doubled, of
 * another type or out of range is refused with the place in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "load/points.h"

#define WHOLE PC_SOURCE_DIR "/tests/fuzz/corpus/load_points/whole.json"

static void a_file_is_read(void **state)
{
    (void)state;
    static struct ld_points p;
    struct ld_problem problem;
    assert_true(ld_points_read(WHOLE, &p, &problem));
    assert_int_equal(p.cpu_n, 3);
    assert_true(p.cpu[2].cores == 2 && p.cpu[2].cpu_us == 4.9);
    assert_true(p.in_process[1].n == 2 && p.in_process[1].rate == 7800000);
    assert_int_equal(p.memory[LD_TABLE_REVOKED].n, 3);
    assert_true(p.memory[LD_TABLE_LIMIT_KEYS].y[1] == 229000000);
    assert_true(p.latency[0].is_floor && p.latency[0].p99_9_us == 3000);
    assert_string_equal(p.verify_algorithm, "EdDSA");
    assert_false(p.quick);
}

static void the_floor_is_of_the_responder_that_does_nothing(void **state)
{
    (void)state;
    static struct ld_points p;
    struct ld_problem problem;
    struct ld_floor f;
    assert_true(ld_points_read(WHOLE, &p, &problem));
    ld_points_floor(&p, &f);
    assert_int_equal(f.n, 10); /* two loads, five percentiles */
    bool exact = false;
    assert_true(ld_queueing_floor_us(&f, 0.5, 99, &exact) == 700 && exact);
    assert_true(ld_queueing_floor_us(&f, 0.65, 99, &exact) == 800);
    assert_true(ld_queueing_floor_us(&f, 0.1, 99, &exact) == 700);
    assert_true(ld_queueing_floor_us(&f, 0.99, 50, &exact) == 50);
    assert_true(ld_queueing_floor_us(&f, 0.5, 95, &exact) == 700 && !exact);
}

static char *text_of_file(size_t *ret_n)
{
    FILE *f = fopen(WHOLE, "rb");
    char *text = malloc(1 << 16);
    assert_non_null(f);
    assert_non_null(text);
    *ret_n = fread(text, 1, (1 << 16) - 1, f);
    text[*ret_n] = 0;
    fclose(f);
    return text;
}

/* The file with one passage replaced. */
static char *changed(const char *from, const char *to)
{
    size_t n;
    char *text = text_of_file(&n), *at = strstr(text, from);
    char *out = malloc(n + strlen(to) + 1);
    assert_non_null(at);
    assert_non_null(out);
    memcpy(out, text, (size_t)(at - text));
    snprintf(out + (at - text), n + strlen(to) + 1 - (size_t)(at - text), "%s%s", to,
             at + strlen(from));
    free(text);
    return out;
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *from, *to, *named;
    } rows[] = {
        {"portcullis-capacity/1",                                       "portcullis-capacity/2",              "portcullis-capacity/2"          },
        {"\"format\"",                                                  "\"fromat\"",                         "format"                         },
        {"\"cpu_us\": 4.7",                                             "\"cpu_us\": 0",                      "cpu[1].cpu_us: 0 is not between"},
        {"\"cpu_us\": 4.7",                                             "\"cpu_us\": \"4.7\"",                "cpu[1].cpu_us: not a number"    },
        {"\"cpu_us\": 4.7",                                             "\"cpu_ms\": 4.7",                    "cpu[1].cpu_us: missing"         },
        {"\"cpu_us\": 4.7",                                             "\"cpu_us\": 4.7, \"more\": 1",       "cpu[1].more: not a member"      },
        {"\"cpu_us\": 4.7",                                             "\"cpu_us\": 4.7, \"cpu_us\": 5",     "duplicate"                      },
        {"\"cpu_us\": 4.7",                                             "\"cpu_us\": 4.7,",                   "points:"                        },
        {"\"quick\": false",                                            "\"quick\": 0",                       "quick: neither true nor false"  },
        {"\"when\": \"2026",                                            "\"when\": 2026, \"x\": \"",          "when: not a text"               },
        {"\"subjects\": [{\"entries\": 1000000, \"bytes\": 33000000}]", "\"subjects\": []",
         "memory.subjects: 0 elements"                                                                                                         },
        {"\"subjects\": [",                                             "\"subject\": [",                     "memory.subject"                 },
        {"\"entries\": 5000000",                                        "\"entries\": -5",                    "memory.revoked[1].entries"      },
        {"\"machine\": {",                                              "\"machine\": [], \"validation\": {", "machine: not an object"         },
        {"\"load\": 0.5",                                               "\"load\": 1.5",                      "latency[0].load"                },
        {"\"verify_algorithm\": \"EdDSA\"",
         "\"verify_algorithm\": \"a name that is longer than any algorithm has\"",                            "verify_algorithm"               },
        {"\"fsync_us\": 120",                                           "\"fsync_us\": 1e400",                "points:"                        },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        static struct ld_points p;
        struct ld_problem problem = {{0}};
        char *text = changed(rows[i].from, rows[i].to);
        p.quick = true;
        assert_false(ld_points_parse(text, strlen(text), "points", &p, &problem));
        assert_true(p.quick); /* untouched */
        if (!strstr(problem.text, rows[i].named))
            fail_msg("row %zu: %s", i, problem.text);
        free(text);
    }
}

static void no_part_of_a_file_is_taken_for_a_whole(void **state)
{
    (void)state;
    static struct ld_points p;
    struct ld_problem problem;
    size_t n;
    char *text = text_of_file(&n);
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    for (size_t i = 0; i < n; i++)
        assert_false(ld_points_parse(text, i, "points", &p, &problem));
    assert_true(ld_points_parse(text, n, "points", &p, &problem));
    free(text);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    static struct ld_points p;
    struct ld_problem problem;
    assert_false(ld_points_read("/nonexistent/points.json", &p, &problem));
    assert_non_null(strstr(problem.text, "/nonexistent/points.json"));
    assert_false(ld_points_read("/", &p, &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read),
        cmocka_unit_test(the_floor_is_of_the_responder_that_does_nothing),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(no_part_of_a_file_is_taken_for_a_whole),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
