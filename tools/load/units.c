/* SPDX-License-Identifier: Apache-2.0
 * Quantities as text. One table per family of units serves both directions, so what is printed can
 * be typed in again. Pure; any thread. */
#include "load/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct step {
    double factor;
    const char *suffix;
};

/* Ascending, as the search for the largest that fits expects; ends with an empty suffix pointer. */
static const struct step counts[] = {
    {1,    ""  },
    {1e3,  "k" },
    {1e6,  "M" },
    {1e9,  "G" },
    {1e12, "T" },
    {0,    NULL}
};
static const struct step rates[] = {
    {1,   "/s" },
    {1e3, "k/s"},
    {1e6, "M/s"},
    {1e9, "G/s"},
    {0,   NULL }
};
static const struct step spans_us[] = {
    {1e-3,    "ns"},
    {1,       "us"},
    {1e3,     "ms"},
    {1e6,     "s" },
    {6e7,     "m" },
    {3.6e9,   "h" },
    {8.64e10, "d" },
    {0,       NULL}
};
static const struct step spans_s[] = {
    {1e-6,  "us"},
    {1e-3,  "ms"},
    {1,     "s" },
    {60,    "m" },
    {3600,  "h" },
    {86400, "d" },
    {0,     NULL}
};
static const struct step sizes[] = {
    {1,      "B"  },
    {0x1p10, "KiB"},
    {0x1p20, "MiB"},
    {0x1p30, "GiB"},
    {0x1p40, "TiB"},
    {0,      NULL }
};
static const struct step size_rates[] = {
    {1,   "B/s" },
    {1e3, "kB/s"},
    {1e6, "MB/s"},
    {1e9, "GB/s"},
    {0,   NULL  }
};
static const struct step bit_rates[] = {
    {1,    "bit/s" },
    {1e3,  "kbit/s"},
    {1e6,  "Mbit/s"},
    {1e9,  "Gbit/s"},
    {1e12, "Tbit/s"},
    {0,    NULL    }
};
static const struct step percents[] = {
    {1, "%" },
    {0, NULL}
};

static const struct family {
    const struct step *steps;
    const char *example;
    double shown_up_to; /* longer spans are shown in this step: 300 s, not 5 m */
} families[] = {
    [LD_UNIT_COUNT] = {counts,     "50M",      1e12  },
    [LD_UNIT_RATE] = {rates,      "200k/s",   1e9   },
    [LD_UNIT_US] = {spans_us,   "2ms",      1e6   },
    [LD_UNIT_SECONDS] = {spans_s,    "6s",       1     },
    [LD_UNIT_BYTES] = {sizes,      "16GiB",    0x1p40},
    [LD_UNIT_BYTES_PER_S] = {size_rates, "10MB/s",   1e9   },
    [LD_UNIT_BITS_PER_S] = {bit_rates,  "10Gbit/s", 1e12  },
    [LD_UNIT_PERCENT] = {percents,   "70%",      1     },
};

/* Three significant digits, no exponent, no trailing zeros behind the point. */
static void digits(double value, char *dst, size_t cap)
{
    double size = fabs(value);
    int places = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
    snprintf(dst, cap, "%.*f", places, value);
    if (!strchr(dst, '.'))
        return;
    size_t n = strlen(dst);
    while (n && dst[n - 1] == '0')
        dst[--n] = 0;
    if (n && dst[n - 1] == '.')
        dst[--n] = 0;
}

const char *ld_units_format(enum ld_unit unit, double value, char dst[LD_UNITS_TEXT_MAX])
{
    if (!isfinite(value) || fabs(value) >= 1e18) {
        snprintf(dst, LD_UNITS_TEXT_MAX, "-");
        return dst;
    }
    const struct family *f = &families[unit];
    const struct step *s = f->steps;
    /* 999.6 would be shown as 1000: it belongs to the next step. Zero keeps the plain unit. */
    while (s->factor < 1 && value == 0)
        s++;
    while (s[1].suffix && s[1].factor <= f->shown_up_to && fabs(value) >= s[1].factor * 0.9995)
        s++;
    char number[LD_UNITS_TEXT_MAX - 8];
    digits(value / s->factor, number, sizeof(number));
    const char *suffix = strcmp(s->suffix, "us") ? s->suffix : "µs";
    snprintf(dst, LD_UNITS_TEXT_MAX, "%s%s%s", number, *suffix && *suffix != '/' ? " " : "",
             suffix);
    return dst;
}

/* "/s" may stand behind a count of something per second, and may be left out of a rate. */
static bool suffix_matches(enum ld_unit unit, const char *suffix, const char *text)
{
    if (!strcmp(suffix, text))
        return true;
    size_t n = strlen(suffix);
    return unit == LD_UNIT_RATE && n >= 2 && strlen(text) == n - 2 && !strncmp(suffix, text, n - 2);
}

bool ld_units_parse(enum ld_unit unit, const char *text, const char *what, double *ret_value,
                    struct ld_problem *problem)
{
    const struct family *f = &families[unit];
    /* strtod() also reads "inf", "nan" and hexadecimal; a number of ours begins with a digit. */
    char *end = NULL;
    double value = isdigit((unsigned char)text[0]) && text[1] != 'x' && text[1] != 'X'
                       ? strtod(text, &end)
                       : -1;
    if (!end || !isfinite(value))
        return ld_problem_set(problem, "%s: '%.40s' is not a quantity (example: %s)", what, text,
                              f->example);
    while (*end == ' ')
        end++;
    bool bare = unit == LD_UNIT_BYTES || unit == LD_UNIT_PERCENT;
    for (const struct step *s = f->steps; s->suffix; s++)
        if (suffix_matches(unit, s->suffix, end) || (bare && !*end && s->factor == 1) ||
            (value == 0 && !*end)) {
            *ret_value = value * s->factor;
            return true;
        }
    return ld_problem_set(problem, "%s: '%.40s' has no unit this can have (example: %s)", what,
                          text, f->example);
}
