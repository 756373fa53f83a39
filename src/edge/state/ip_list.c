/* SPDX-License-Identifier: Apache-2.0
 * Reading IP list files. Pure; any thread; no allocation. */
#include "edge/state/ip_list.h"

#define SECONDS_PER_DAY INT64_C(86400)
/* Seconds are taken from September 2001 on: a smaller number is a slip, as 20261224 for a date, and
 * would end a rule before it began. */
#define SECONDS_MIN INT64_C(1000000000)
/* Expiry times lie before the year 10000. */
#define SECONDS_MAX INT64_C(253402300799)

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct pc_bytes trim(struct pc_bytes s)
{
    while (s.n && is_blank(s.p[0]))
        s.p++, s.n--;
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* ---- times ---- */

/* Exactly `digits` decimal digits at s.p[at]. */
static bool number_at(struct pc_bytes s, size_t at, unsigned digits, int *ret_number)
{
    uint64_t v;
    if (at + digits > s.n || pc_bytes_to_u64(pc_bytes_of(s.p + at, digits), &v))
        return false;
    *ret_number = (int)v;
    return true;
}

static int days_in(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01 to a date from there on. */
static int64_t days_to(int year, int month, int day)
{
    int y = year - 1;
    int64_t days = INT64_C(365) * (year - 1970) + (y / 4 - y / 100 + y / 400) - 477;
    for (int m = 1; m < month; m++)
        days += days_in(year, m);
    return days + day - 1;
}

/* "2026-12-24" (its beginning) or "2026-12-24T18:00:00Z". */
static bool parse_date(struct pc_bytes s, int64_t *ret_seconds)
{
    int year, month, day, hour = 0, minute = 0, second = 0;
    if (s.n != 10 && s.n != 20)
        return false;
    if (!number_at(s, 0, 4, &year) || s.p[4] != '-' || !number_at(s, 5, 2, &month) ||
        s.p[7] != '-' || !number_at(s, 8, 2, &day))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    if (s.n == 20 && (s.p[10] != 'T' || !number_at(s, 11, 2, &hour) || s.p[13] != ':' ||
                      !number_at(s, 14, 2, &minute) || s.p[16] != ':' ||
                      !number_at(s, 17, 2, &second) || s.p[19] != 'Z'))
        return false;
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *ret_seconds = days_to(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    return true;
}

static bool parse_time(struct pc_bytes s, int64_t *ret_ms)
{
    uint64_t number;
    int64_t seconds;
    if (pc_bytes_to_u64(s, &number) == 0) {
        if (number < SECONDS_MIN || number > SECONDS_MAX)
            return false;
        seconds = (int64_t)number;
    } else if (!parse_date(s, &seconds)) {
        return false;
    }
    *ret_ms = seconds * 1000;
    return true;
}

/* ---- lines ---- */

/* Cuts the first word off. */
static struct pc_bytes word(struct pc_bytes *s)
{
    size_t n = 0;
    *s = trim(*s);
    while (n < s->n && !is_blank(s->p[n]))
        n++;
    struct pc_bytes w = pc_bytes_of(s->p, n);
    *s = pc_bytes_of(s->p + n, s->n - n);
    return w;
}

static int at_line(const struct pc_ip_list *l, struct pc_why *why, int err, const char *what,
                   struct pc_bytes text)
{
    if (text.n == 0)
        return pc_fail(why, err, "line %u: %s", l->line, what);
    return pc_fail(why, err, "line %u: \"%.*s\" %s", l->line, (int)pc_min_u64(text.n, 64),
                   (const char *)text.p, what);
}

static int read_expiry(const struct pc_ip_list *l, struct pc_bytes words, struct pc_ip_rule *rule,
                       struct pc_why *why)
{
    static const char name[] = "expires=";
    size_t n = sizeof name - 1;
    struct pc_bytes w = word(&words);
    if (w.n == 0)
        return 0;
    if (w.n < n || memcmp(w.p, name, n) != 0 || trim(words).n)
        return at_line(l, why, PC_E_SYNTAX,
                       "is not understood: [allow|deny] network [expires=time] [# reason]", w);
    w = pc_bytes_of(w.p + n, w.n - n);
    if (!parse_time(w, &rule->expires_at_ms))
        return at_line(l, why, PC_E_SYNTAX,
                       "is no time: write 2026-12-24, 2026-12-24T18:00:00Z or Unix seconds", w);
    return 0;
}

static int read_rule(const struct pc_ip_list *l, struct pc_bytes words, struct pc_bytes reason,
                     struct pc_ip_rule *ret_rule, struct pc_why *why)
{
    struct pc_ip_rule rule = {.deny = l->bare_deny, .expires_at_ms = INT64_MAX, .reason = reason};
    struct pc_bytes w = word(&words);
    struct pc_why inner;
    if (pc_bytes_eq_str(w, "allow") || pc_bytes_eq_str(w, "deny")) {
        rule.deny = w.n == 4;
        w = word(&words);
        if (w.n == 0)
            return at_line(l, why, PC_E_SYNTAX, "the network is missing", w);
    }
    if (pc_cidr_parse_why(w, &rule.cidr, &inner) < 0)
        return pc_fail(why, PC_E_SYNTAX, "line %u: %s", l->line, inner.text);
    if (reason.n > PC_IP_REASON_MAX)
        return at_line(l, why, PC_E_TOO_LARGE, "the reason is longer than 512 bytes",
                       pc_bytes_of(NULL, 0));
    int rc = read_expiry(l, words, &rule, why);
    if (rc == 0)
        *ret_rule = rule;
    return rc;
}

/* The next line without its end; false at the end of the text. */
static bool next_line(struct pc_ip_list *l, struct pc_bytes *ret_line)
{
    const uint8_t *lf = l->rest.n ? memchr(l->rest.p, '\n', l->rest.n) : NULL;
    size_t n = lf ? (size_t)(lf - l->rest.p) : l->rest.n;
    struct pc_bytes line = pc_bytes_of(l->rest.p, n);
    if (l->rest.n == 0)
        return false;
    n += lf != NULL;
    l->rest = pc_bytes_of(l->rest.p + n, l->rest.n - n);
    l->line++;
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    *ret_line = line;
    return true;
}

static bool has_control(struct pc_bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

int pc_ip_list_next(struct pc_ip_list *l, struct pc_ip_rule *ret_rule, struct pc_why *why)
{
    struct pc_bytes line, none = {NULL, 0};
    while (next_line(l, &line)) {
        size_t n = 0;
        if (line.n > PC_IP_LIST_LINE_MAX)
            return at_line(l, why, PC_E_TOO_LARGE, "longer than 4096 bytes", none);
        if (has_control(line))
            return at_line(l, why, PC_E_SYNTAX, "holds a control character", none);
        while (n < line.n && line.p[n] != '#' && line.p[n] != ';')
            n++;
        struct pc_bytes words = trim(pc_bytes_of(line.p, n)), reason = none;
        if (words.n == 0)
            continue;
        if (n < line.n)
            reason = trim(pc_bytes_of(line.p + n + 1, line.n - n - 1));
        int rc = read_rule(l, words, reason, ret_rule, why);
        return rc < 0 ? rc : 1;
    }
    return 0;
}
