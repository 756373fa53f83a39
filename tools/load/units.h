/* SPDX-License-Identifier: Apache-2.0
 * How quantities are read from people and shown to them: rates ("2M/s"), counts ("50M"), spans
 * ("1ms"), sizes ("16GiB"); three significant digits on the way out. Pure; any thread; knows no
 * locale. */
#ifndef LD_UNITS_H
#define LD_UNITS_H

#include <stddef.h>

#include "load/source.h"

enum ld_unit {
    LD_UNIT_COUNT,   /* 1.5 M */
    LD_UNIT_RATE,    /* 1.5 M/s */
    LD_UNIT_US,      /* microseconds in: 800 ns, 1.5 ms, 2 s */
    LD_UNIT_SECONDS, /* 90 s */
    LD_UNIT_BYTES,   /* 1.5 GiB */
    LD_UNIT_BYTES_PER_S,
    LD_UNIT_BITS_PER_S, /* 1.5 Gbit/s */
    LD_UNIT_PERCENT,    /* 1 is 1 % */
};

#define LD_UNITS_TEXT_MAX 32

/* value as text with its unit; "-" for what is not finite. Always terminated; returns dst. */
const char *ld_units_format(enum ld_unit unit, double value, char dst[LD_UNITS_TEXT_MAX]);

/* A finite number that is not negative, with an optional suffix of the unit: k M G (thousands) and
 * "/s" for counts and rates; ns us ms s m h d for spans (required; the result is in the unit asked
 * for: LD_UNIT_US or LD_UNIT_SECONDS); B KiB MiB GiB TiB for sizes; bit/s kbit/s Mbit/s Gbit/s.
 * what names the option in the message. */
bool ld_units_parse(enum ld_unit unit, const char *text, const char *what, double *ret_value,
                    struct ld_problem *problem);

#endif
