/* SPDX-License-Identifier: Apache-2.0
 * Rate expressions: what is read, what is refused and why, and that the text made of a rate is the
 * shortest that means it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rate.h"

#define S INT64_C(1000000000)

static void rates_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t count, period_ns;
    } rows[] = {
        {"60/min",       60,         60 * S         },
        {"10/15min",     10,         900 * S        },
        {"3/h",          3,          3600 * S       },
        {"1/s",          1,          S              },
        {"5/100ms",      5,          S / 10         },
        {"1/ms",         1,          S / 1000       },
        {"7/sec",        7,          S              },
        {"7/2second",    7,          2 * S          },
        {"7/m",          7,          60 * S         },
        {"7/minute",     7,          60 * S         },
        {"7/24hour",     7,          86400 * S      },
        {"7/d",          7,          86400 * S      },
        {"7/366day",     7,          366 * 86400 * S},
        {"1000000000/s", 1000000000, S              },
        {"1/31622400s",  1,          31622400 * S   },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_rate rate;
        assert_int_equal(pc_rate_parse(pc_bytes_str(rows[i].text), &rate, NULL), 0);
        assert_int_equal(rate.count, rows[i].count);
        assert_int_equal(rate.period_ns, rows[i].period_ns);
    }
}

static void what_is_no_rate_is_refused_in_words(void **state)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"",                                   "60/min" },
        {"60",                                 "'/'"    },
        {"60 /min",                            "'/'"    },
        {"/min",                               "count"  },
        {"0/min",                              "count"  },
        {"060/min",                            "count"  },
        {"-1/min",                             "count"  },
        {"+1/min",                             "count"  },
        {"1.5/min",                            "'/'"    },
        {"1000000001/s",                       "count"  },
        {"99999999999999999999999/s",          "count"  },
        {"60/",                                "unit"   },
        {"60/0min",                            "period" },
        {"60/ min",                            "unit"   },
        {"60/15",                              "unit"   },
        {"60/15 min",                          "unit"   },
        {"60/MIN",                             "unit"   },
        {"60/week",                            "unit"   },
        {"60/min ",                            "unit"   },
        {"60/367d",                            "366"    },
        {"60/99999999999d",                    "366"    },
        {"60/999999999999999999999999ms",      "period" },
        {"1/111111111111111111111111111111ms", "written"},
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        struct pc_rate rate = {-1, -1};
        struct pc_why why = {""};
        assert_true(pc_rate_parse(pc_bytes_str(rows[i].text), &rate, &why) < 0);
        assert_int_equal(rate.count, -1);
        if (!strstr(why.text, rows[i].word))
            fail_msg("'%s': %s", rows[i].text, why.text);
    }
}

static void the_text_of_a_rate_is_the_shortest(void **state)
{
    static const char *const rows[][2] = {
        {"60/min",          "60/min"    },
        {"60/60s",          "60/min"    },
        {"1000/900s",       "1000/15min"},
        {"3/60min",         "3/h"       },
        {"3/24h",           "3/d"       },
        {"5/1500ms",        "5/1500ms"  },
        {"5/1000ms",        "5/s"       },
        {"1/366d",          "1/366d"    },
        {"1/31622400000ms", "1/366d"    },
        {"9/90s",           "9/90s"     },
        {"9/90min",         "9/90min"   },
        {"9/second",        "9/s"       },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        uint8_t text[PC_RATE_TEXT_MAX];
        struct pc_buf b = pc_buf_of(text, sizeof text);
        struct pc_rate rate, again;
        assert_int_equal(pc_rate_parse(pc_bytes_str(rows[i][0]), &rate, NULL), 0);
        pc_rate_format(&rate, &b);
        assert_false(b.overflow);
        assert_true(pc_bytes_eq_str(pc_bytes_of(b.p, b.len), rows[i][1]));
        assert_int_equal(pc_rate_parse(pc_bytes_of(b.p, b.len), &again, NULL), 0);
        assert_int_equal(again.period_ns, rate.period_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_read),
        cmocka_unit_test(what_is_no_rate_is_refused_in_words),
        cmocka_unit_test(the_text_of_a_rate_is_the_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
