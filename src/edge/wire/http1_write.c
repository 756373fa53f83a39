/* SPDX-License-Identifier: Apache-2.0
 * Response heads. Pure; any thread; no allocation. */
#include "edge/wire/http1_write.h"

#include "edge/wire/chars.h"

/* Status lines whole, so that writing one is a single copy. */
static const struct status_line {
    uint16_t status, n;
    const char *line;
} status_lines[] = {
#define STATUS_LINE(code, reason)                                                                  \
    {code, sizeof "HTTP/1.1 " #code " " reason "\r\n" - 1, "HTTP/1.1 " #code " " reason "\r\n"},
    PC_HTTP_STATUSES(STATUS_LINE)
#undef STATUS_LINE
};

static const struct status_line *find_status(unsigned status)
{
    for (size_t i = 0; i < PC_COUNT(status_lines); i++)
        if (status_lines[i].status == status)
            return &status_lines[i];
    return NULL;
}

const char *pc_http_status_text(unsigned status)
{
    switch (status) {
#define STATUS_CASE(code, reason)                                                                  \
    case code: return reason;
        PC_HTTP_STATUSES(STATUS_CASE)
#undef STATUS_CASE
    default: return "";
    }
}

static void put_two(char *dst, unsigned value)
{
    dst[0] = (char)('0' + value / 10 % 10);
    dst[1] = (char)('0' + value % 10);
}

/* Days since 1970-01-01 as a date of the Gregorian calendar. Eras of 400 years (146,097 days)
 * begin on 1 March, so that the leap day is a year's last. */
static void civil_of_days(int64_t days, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468; /* from 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0: March */
    *ret_day = day_of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(era * 400 + year_of_era + (*ret_month <= 2));
}

void pc_http_date(int64_t now_ms, char ret_date[PC_HTTP_DATE_BYTES])
{
    static const char names[] = "ThuFriSatSunMonTueWed"; /* day 0 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char out[PC_HTTP_DATE_BYTES + 1] = "Thu, 01 Jan 1970 00:00:00 GMT";
    int year;
    unsigned month, day;
    PC_ASSERT(now_ms >= 0);
    int64_t seconds = now_ms / 1000, days = seconds / 86400;
    unsigned second = (unsigned)(seconds % 86400);
    civil_of_days(days, &year, &month, &day);
    PC_ASSERT(year <= 9999); /* RFC 9110 has four digits */
    memcpy(out, names + days % 7 * 3, 3);
    put_two(out + 5, day);
    memcpy(out + 8, months + (month - 1) * 3, 3);
    put_two(out + 12, (unsigned)year / 100);
    put_two(out + 14, (unsigned)year % 100);
    put_two(out + 17, second / 3600);
    put_two(out + 20, second / 60 % 60);
    put_two(out + 23, second % 60);
    memcpy(ret_date, out, PC_HTTP_DATE_BYTES);
}

void pc_http1_write_status(struct pc_buf *b, unsigned status, struct pc_bytes date)
{
    const struct status_line *s = find_status(status);
    PC_ASSERT(s);
    pc_buf_put(b, s->line, s->n);
    PC_ASSERT_SLOW(pc_scan_text(date.p, date.p + date.n) == date.p + date.n);
    if (date.n) {
        pc_buf_lit(b, "Date: ");
        pc_buf_bytes(b, date);
        pc_buf_lit(b, "\r\n");
    }
}

void pc_http1_write_value(struct pc_buf *b, struct pc_bytes value)
{
    if (value.n == 0)
        return;
    const uint8_t *p = value.p, *end = p + value.n;
    while (p < end) {
        const uint8_t *stop = pc_scan_text(p, end);
        pc_buf_put(b, p, (size_t)(stop - p));
        if (stop < end) {
            pc_buf_char(b, ' ');
            stop++;
        }
        p = stop;
    }
}

static void write_name(struct pc_buf *b, const char *name)
{
    size_t n = strlen(name);
    PC_ASSERT_SLOW(n > 0 && pc_scan_token((const uint8_t *)name, (const uint8_t *)name + n) ==
                                (const uint8_t *)name + n);
    pc_buf_put(b, name, n);
    pc_buf_lit(b, ": ");
}

void pc_http1_write_field(struct pc_buf *b, const char *name, struct pc_bytes value)
{
    write_name(b, name);
    pc_http1_write_value(b, value);
    pc_buf_lit(b, "\r\n");
}

void pc_http1_write_field_u64(struct pc_buf *b, const char *name, uint64_t value)
{
    write_name(b, name);
    pc_buf_u64(b, value);
    pc_buf_lit(b, "\r\n");
}

void pc_http1_write_end(struct pc_buf *b, uint64_t content_length,
                        enum pc_http1_connection connection)
{
    if (PC_LIKELY(content_length == 0 && connection == PC_HTTP1_KEEP)) {
        pc_buf_lit(b, "Content-Length: 0\r\n\r\n"); /* of most decisions */
        return;
    }
    if (content_length != PC_HTTP1_NO_LENGTH) {
        pc_buf_lit(b, "Content-Length: ");
        pc_buf_u64(b, content_length);
        pc_buf_lit(b, "\r\n");
    }
    switch (connection) {
    case PC_HTTP1_KEEP: pc_buf_lit(b, "\r\n"); break;
    case PC_HTTP1_KEEP_10: pc_buf_lit(b, "Connection: keep-alive\r\n\r\n"); break;
    case PC_HTTP1_CLOSE: pc_buf_lit(b, "Connection: close\r\n\r\n"); break;
    }
}
