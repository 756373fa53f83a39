/* SPDX-License-Identifier: Apache-2.0
 * Rate expressions. Pure; any thread. */
#include "base/rate.h"

struct unit {
    const char *name;
    int64_t ns;
};

/* The first name of a length of time is the one that is written; from the longest to the shortest,
 * so that the first that divides a period gives the smallest number. */
static const struct unit units[] = {
    {"d",      INT64_C(86400000000000)},
    {"day",    INT64_C(86400000000000)},
    {"h",      INT64_C(3600000000000) },
    {"hour",   INT64_C(3600000000000) },
    {"min",    INT64_C(60000000000)   },
    {"m",      INT64_C(60000000000)   },
    {"minute", INT64_C(60000000000)   },
    {"s",      INT64_C(1000000000)    },
    {"sec",    INT64_C(1000000000)    },
    {"second", INT64_C(1000000000)    },
    {"ms",     INT64_C(1000000)       },
};

/* Takes a number from the front of *s. */
static int take_number(struct pc_bytes *s, int64_t max, int64_t *ret_number)
{
    int64_t n = 0;
    size_t i = 0;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        n = n * 10 + (s->p[i] - '0');
        if (n > max)
            return -ERANGE;
    }
    if (i == 0 || s->p[0] == '0')
        return -EINVAL;
    *s = pc_bytes_of(s->p + i, s->n - i);
    *ret_number = n;
    return 0;
}

static const struct unit *find_unit(struct pc_bytes name)
{
    for (size_t i = 0; i < PC_COUNT(units); i++)
        if (pc_bytes_eq_str(name, units[i].name))
            return &units[i];
    return NULL;
}

static int parse_period(struct pc_bytes s, int64_t *ret_ns, struct pc_why *why)
{
    int64_t n = 1;
    bool number = s.n && s.p[0] >= '0' && s.p[0] <= '9';
    int err = number ? take_number(&s, PC_RATE_PERIOD_MAX_NS / PC_RATE_PERIOD_MIN_NS, &n) : 0;
    if (err)
        return pc_fail(why, err, "the period is no number from 1 up to 366 days");
    const struct unit *unit = find_unit(s);
    if (!unit)
        return pc_fail(why, -EINVAL, "the unit of the period must be ms, s, min, h or d");
    if (n > PC_RATE_PERIOD_MAX_NS / unit->ns)
        return pc_fail(why, -ERANGE, "the period must be 366 days at most");
    *ret_ns = n * unit->ns;
    return 0;
}

int pc_rate_parse(struct pc_bytes text, struct pc_rate *ret_rate, struct pc_why *why)
{
    struct pc_rate rate;
    if (text.n == 0 || text.n > PC_RATE_TEXT_MAX)
        return pc_fail(why, -EINVAL, "a rate is written as 60/min, 10/15min or 3/h");
    int err = take_number(&text, PC_RATE_COUNT_MAX, &rate.count);
    if (err)
        return pc_fail(why, err, "the count must be from 1 to %lld, as in 60/min",
                       (long long)PC_RATE_COUNT_MAX);
    if (text.n == 0 || text.p[0] != '/')
        return pc_fail(why, -EINVAL, "'/' must follow the count, as in 60/min");
    err = parse_period(pc_bytes_of(text.p + 1, text.n - 1), &rate.period_ns, why);
    if (err)
        return err;
    PC_ASSERT(rate.count >= 1 && rate.period_ns >= PC_RATE_PERIOD_MIN_NS);
    *ret_rate = rate;
    return 0;
}

void pc_rate_format(const struct pc_rate *rate, struct pc_buf *b)
{
    const struct unit *unit = units;
    while (rate->period_ns % unit->ns != 0 && unit < &units[PC_COUNT(units) - 1])
        unit++;
    PC_ASSERT(rate->period_ns % unit->ns == 0);
    pc_buf_i64(b, rate->count);
    pc_buf_char(b, '/');
    if (rate->period_ns != unit->ns)
        pc_buf_i64(b, rate->period_ns / unit->ns);
    pc_buf_str(b, unit->name);
}
