/* SPDX-License-Identifier: Apache-2.0
 * Quantities: what is read, what is refused with its name, and that they are shown with three
 * digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "load/units.h"

static void quantities_are_read(void **state)
{
    static const struct {
        enum ld_unit unit;
        const char *text;
        double value;
    } rows[] = {
        {LD_UNIT_COUNT,      "50000000",  5e7   },
        {LD_UNIT_COUNT,      "50M",       5e7   },
        {LD_UNIT_COUNT,      "1.5 k",     1500  },
        {LD_UNIT_RATE,       "2000000/s", 2e6   },
        {LD_UNIT_RATE,       "2M/s",      2e6   },
        {LD_UNIT_RATE,       "2M",        2e6   },
        {LD_UNIT_RATE,       "100",       100   },
        {LD_UNIT_US,         "1ms",       1000  },
        {LD_UNIT_US,         "800ns",     0.8   },
        {LD_UNIT_US,         "0",         0     },
        {LD_UNIT_SECONDS,    "15m",       900   },
        {LD_UNIT_SECONDS,    "250ms",     0.25  },
        {LD_UNIT_BYTES,      "16GiB",     0x1p34},
        {LD_UNIT_BYTES,      "700",       700   },
        {LD_UNIT_PERCENT,    "70%",       70    },
        {LD_UNIT_PERCENT,    "70",        70    },
        {LD_UNIT_BITS_PER_S, "10Gbit/s",  1e10  },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        double value = -1;
        struct ld_problem problem;
        assert_true(ld_units_parse(rows[i].unit, rows[i].text, "--x", &value, &problem));
        assert_true(fabs(value - rows[i].value) <= 1e-9 * rows[i].value);
    }
}

static void what_is_no_quantity_is_refused_by_name(void **state)
{
    static const struct {
        enum ld_unit unit;
        const char *text;
    } rows[] = {
        {LD_UNIT_COUNT,      ""         },
        {LD_UNIT_COUNT,      "-1"       },
        {LD_UNIT_COUNT,      "inf"      },
        {LD_UNIT_COUNT,      "nan"      },
        {LD_UNIT_COUNT,      "0x10"     },
        {LD_UNIT_COUNT,      "1e999"    },
        {LD_UNIT_COUNT,      "5m"       },
        {LD_UNIT_RATE,       "5/min"    },
        {LD_UNIT_US,         "5"        },
        {LD_UNIT_US,         "5 parsecs"},
        {LD_UNIT_BYTES,      "5kB"      },
        {LD_UNIT_COUNT,      "1 2"      },
        {LD_UNIT_SECONDS,    "10"       },
        {LD_UNIT_BITS_PER_S, "3"        },
        {LD_UNIT_COUNT,      ".5"       },
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        double value = -1;
        struct ld_problem problem;
        assert_false(ld_units_parse(rows[i].unit, rows[i].text, "--x", &value, &problem));
        assert_true(value == -1);
        assert_non_null(strstr(problem.text, "--x"));
    }
}

static void quantities_are_shown_with_three_digits(void **state)
{
    static const struct {
        enum ld_unit unit;
        double value;
        const char *text;
    } rows[] = {
        {LD_UNIT_COUNT,   0,        "0"      },
        {LD_UNIT_COUNT,   999,      "999"    },
        {LD_UNIT_COUNT,   999.9,    "1 k"    },
        {LD_UNIT_COUNT,   1234567,  "1.23 M" },
        {LD_UNIT_RATE,    228000,   "228 k/s"},
        {LD_UNIT_RATE,    12,       "12/s"   },
        {LD_UNIT_US,      0,        "0 µs"  },
        {LD_UNIT_US,      0.85,     "850 ns" },
        {LD_UNIT_US,      1300,     "1.3 ms" },
        {LD_UNIT_US,      9e7,      "90 s"   },
        {LD_UNIT_SECONDS, 900,      "900 s"  },
        {LD_UNIT_BYTES,   1536,     "1.5 KiB"},
        {LD_UNIT_PERCENT, 80,       "80 %"   },
        {LD_UNIT_COUNT,   INFINITY, "-"      },
        {LD_UNIT_COUNT,   NAN,      "-"      },
        {LD_UNIT_COUNT,   1e300,    "-"      },
        {LD_UNIT_COUNT,   -1500,    "-1.5 k" },
        {LD_UNIT_COUNT,   99.96,    "100"    },
    };
    (void)state;
    char text[LD_UNITS_TEXT_MAX];
    for (size_t i = 0; i < PC_COUNT(rows); i++)
        assert_string_equal(ld_units_format(rows[i].unit, rows[i].value, text), rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities_are_read),
        cmocka_unit_test(what_is_no_quantity_is_refused_by_name),
        cmocka_unit_test(quantities_are_shown_with_three_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
