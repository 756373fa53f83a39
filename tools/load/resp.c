/* SPDX-License-Identifier: Apache-2.0
 * Answers of RESP2:
 *
 *     +text CRLF   -error CRLF   :integer CRLF
 *     $bytes CRLF data CRLF      $-1 CRLF: nil
 *     *count CRLF then count answers (arrays in arrays up to LD_RESP_DEPTH_MAX)    *-1 CRLF: nil
 *
 * An answer that is whole in one receive is never copied; one in pieces is gathered and scanned on
 * from where it was understood, so each byte is looked at once. An answer longer than
 * LD_BODY_BYTES_MAX is malformed. */
#include <string.h>

#include "load/protocol.h"

/* The integer of a header line, without CR LF; false: none. */
static bool parse_number(const uint8_t *p, size_t n, int64_t *ret_value)
{
    const bool negative = n && *p == '-';
    uint64_t value = 0;
    if (negative) {
        p++;
        n--;
    }
    if (n == 0 || n > 19) /* of 19 digits none overflows */
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    if (value > INT64_MAX)
        return false;
    *ret_value = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

/* One element was read: arrays that are complete with it are elements themselves. */
static void close_element(struct ld_parser *s)
{
    while (s->depth && --s->left[s->depth - 1] == 0)
        s->depth--;
}

static enum ld_parse open_array(struct ld_parser *s, int64_t count)
{
    if (count < -1 || count > LD_RESP_ELEMENTS_MAX)
        return LD_PARSE_BAD;
    if (count <= 0) {
        close_element(s);
        return LD_PARSE_MORE;
    }
    if (s->depth == LD_RESP_DEPTH_MAX)
        return LD_PARSE_BAD;
    s->left[s->depth++] = count;
    return LD_PARSE_MORE;
}

/* The element at s->scanned: moves past it and returns ANSWER; MORE if it is not all here. */
static enum ld_parse scan_element(struct ld_parser *s, const uint8_t *p, size_t n)
{
    const uint8_t *at = p + s->scanned;
    const size_t here = n - s->scanned;
    const uint8_t *nl = memchr(at, '\n', pc_min_u64(here, LD_LINE_MAX));
    int64_t number = 0;
    if (!nl)
        return here >= LD_LINE_MAX ? LD_PARSE_BAD : LD_PARSE_MORE;
    const size_t line = (size_t)(nl + 1 - at);
    if (line < 3 || nl[-1] != '\r' || !*at || !strchr("+-:$*", *at)) /* strchr() finds NUL, too */
        return LD_PARSE_BAD;
    if (*at != '+' && *at != '-' && !parse_number(at + 1, line - 3, &number))
        return LD_PARSE_BAD;
    if (*at == '*') {
        s->scanned += line;
        return open_array(s, number) == LD_PARSE_BAD ? LD_PARSE_BAD : LD_PARSE_ANSWER;
    }
    size_t all = line;
    if (*at == '$' && (number < -1 || number > LD_BODY_BYTES_MAX))
        return LD_PARSE_BAD;
    if (*at == '$' && number >= 0)
        all += (size_t)number + 2;
    if (all > here)
        return LD_PARSE_MORE;
    if (all > line && memcmp(at + all - 2, "\r\n", 2) != 0)
        return LD_PARSE_BAD;
    s->scanned += all;
    close_element(s);
    return LD_PARSE_ANSWER;
}

/* The whole answer that begins at p; what was understood is kept in s. */
static enum ld_parse scan(struct ld_parser *s, const uint8_t *p, size_t n)
{
    do {
        const enum ld_parse one = s->scanned < n ? scan_element(s, p, n) : LD_PARSE_MORE;
        if (one != LD_PARSE_ANSWER)
            return one;
    } while (s->depth);
    return LD_PARSE_ANSWER;
}

static void answer_of(const struct ld_parser *s, const uint8_t *p, struct ld_answer *a)
{
    const uint8_t *nl = memchr(p, '\n', s->scanned);
    const size_t line = (size_t)(nl + 1 - p);
    a->status = *p;
    a->head = p;
    a->head_bytes = (uint32_t)line - 2;
    a->body = s->scanned > line ? p + line : NULL;
    a->body_bytes = (uint32_t)(s->scanned - line);
    a->cut = false;
    if (*p == '$' && a->body)
        a->body_bytes -= 2;
}

/* Between two answers of the same connection; the gathered bytes stay until the next call. */
static void start_anew(struct ld_parser *s)
{
    s->body.bytes = s->scanned = 0;
    s->depth = 0;
}

static enum ld_parse parse_resp(struct ld_parser *s, const uint8_t *p, size_t n, bool no_body,
                                size_t *ret_used, struct ld_answer *a)
{
    (void)no_body;
    const size_t before = s->body.bytes;
    const uint8_t *from = p;
    size_t bytes = n;
    *ret_used = n;
    if (before) {
        const size_t part = pc_min_u64(n, LD_BODY_BYTES_MAX + LD_LINE_MAX - before);
        if (part == 0 || !ld_gather_add(&s->body, p, part, LD_BODY_BYTES_MAX + LD_LINE_MAX))
            return LD_PARSE_BAD;
        from = s->body.p;
        bytes = s->body.bytes;
    }
    const enum ld_parse done = scan(s, from, bytes);
    if (done == LD_PARSE_MORE) {
        if (before)
            return bytes - before < n ? LD_PARSE_BAD : LD_PARSE_MORE;
        return ld_gather_add(&s->body, p, n, LD_BODY_BYTES_MAX + LD_LINE_MAX) ? LD_PARSE_MORE
                                                                              : LD_PARSE_BAD;
    }
    if (done == LD_PARSE_ANSWER) {
        answer_of(s, from, a);
        *ret_used = s->scanned - before;
        start_anew(s);
    }
    return done;
}

static enum ld_parse end_resp(struct ld_parser *s, struct ld_answer *a)
{
    (void)s;
    (void)a;
    return LD_PARSE_BAD;
}

const struct ld_protocol ld_resp = {"resp", parse_resp, end_resp};
