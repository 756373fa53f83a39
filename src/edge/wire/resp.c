/* SPDX-License-Identifier: Apache-2.0
 * The RESP2 request parser and reply writers. Pure; runs on the connection's core.
 *
 * A command that is there entire is parsed in one go. One that is not leaves in the parser how far
 * it is (pos, argc, done, bulk) and how many bytes make going on worthwhile (need); when its last
 * byte has come, its headers are walked once more to fill argv, because the arguments may have
 * moved with the buffer and a thousand of them per connection would cost too much to keep.
 *
 * I1: between two calls pos is 0 or the first byte not yet judged, and pos <= the n of that call.
 * I2: a verdict depends only on bytes up to a position fixed by the bytes themselves, so it is the
 *     same however the input was cut. */
#include "edge/wire/resp.h"

#include <errno.h>

#include "edge/wire/chars.h"

const struct pc_resp_limits pc_resp_limits_default = {
    .args = PC_RESP_ARGS_MAX,
    .bulk_bytes = PC_RESP_BULK_BYTES,
    .inline_bytes = PC_RESP_INLINE_BYTES,
    .command_bytes = PC_RESP_COMMAND_BYTES,
};

static const char *const error_texts[PC_RESP_ERROR_COUNT] = {
#define ERROR_TEXT(name, text) [PC_RESP_E_##name] = text,
    PC_RESP_ERRORS(ERROR_TEXT)
#undef ERROR_TEXT
};

#define COUNT_DIGITS_MAX 10 /* more cannot be within any limit here */
#define BULK_HEADER_NEXT (-1)

/* Of what parse_short() takes: within all limits of strangers. */
#define SHORT_ARGS  10
#define SHORT_BYTES 6 /* an argument's shortest end, from its length on: 1CRLF.CRLF */
_Static_assert(SHORT_ARGS <= PC_RESP_UNAUTH_ARGS && 999 <= PC_RESP_UNAUTH_BULK_BYTES,
               "strangers' limits are not looked at");

static PC_COLD int fail(struct pc_resp_parser *p, enum pc_resp_error error)
{
    p->error = (uint8_t)error;
    return -EPROTO;
}

static int more(struct pc_resp_parser *p, size_t pos, size_t need)
{
    p->pos = (uint32_t)pos;
    p->need = (uint32_t)need;
    return 0;
}

static void start_over(struct pc_resp_parser *p)
{
    *p = (struct pc_resp_parser){0};
}

/* Browsers made to speak to us send "POST / HTTP/1.1" or "Host: …" (cross-protocol scripting). */
static inline bool is_foreign(struct pc_bytes word)
{
    if (PC_LIKELY(word.n != 4 && word.n != 5))
        return false;
    return pc_bytes_eq_nocase(word, PC_LIT("post")) || pc_bytes_eq_nocase(word, PC_LIT("host:"));
}

/* Reads "<number>CRLF" at p. Returns the bytes read, 0 if more is needed, -1 if it is no number as
 * Redis writes it (no '+', no leading zeros, no "-0"). */
static inline int read_count(const uint8_t *p, const uint8_t *end, int64_t *ret_count)
{
    const uint8_t *q = p;
    int64_t value = 0;
    bool negative = q < end && *q == '-';
    q += negative;
    const uint8_t *digits = q;
    while (q < end && *q >= '0' && *q <= '9' && q - digits < COUNT_DIGITS_MAX)
        value = value * 10 + (*q++ - '0');
    if (q - digits > 1 && *digits == '0')
        return -1;
    if (q == end)
        return 0;
    if (q == digits || *q != '\r' || (negative && *digits == '0'))
        return -1;
    if (q + 1 == end)
        return 0;
    if (q[1] != '\n')
        return -1;
    *ret_count = negative ? -value : value;
    return (int)(q + 2 - p);
}

/* ---- arrays of bulk strings ---- */

/* "*<argc>CRLF" at buf. */
static int read_multibulk_header(struct pc_resp_parser *p, const struct pc_resp_limits *limits,
                                 const uint8_t *buf, const uint8_t *end)
{
    int64_t count;
    int used = read_count(buf + 1, end, &count);
    if (used == 0)
        return more(p, 0, (size_t)(end - buf) + 1);
    if (used < 0 || count > limits->args)
        return fail(p, PC_RESP_E_MULTIBULK_LENGTH);
    if (limits->unauthenticated && count > PC_RESP_UNAUTH_ARGS)
        return fail(p, PC_RESP_E_MULTIBULK_UNAUTH);
    p->pos = (uint32_t)used + 1;
    p->argc = (uint16_t)(count < 0 ? 0 : count);
    p->bulk = BULK_HEADER_NEXT;
    return 1;
}

static int read_bulk_header(struct pc_resp_parser *p, const struct pc_resp_limits *limits,
                            const uint8_t *buf, const uint8_t *end)
{
    const uint8_t *at = buf + p->pos;
    int64_t n;
    if (at == end)
        return more(p, p->pos, p->pos + 1u);
    if (*at != '$') {
        p->got = *at;
        return fail(p, PC_RESP_E_EXPECTED_DOLLAR);
    }
    int used = read_count(at + 1, end, &n);
    if (used == 0)
        return more(p, p->pos, (size_t)(end - buf) + 1);
    if (used < 0 || n < 0 || n > limits->bulk_bytes)
        return fail(p, PC_RESP_E_BULK_LENGTH);
    if (limits->unauthenticated && n > PC_RESP_UNAUTH_BULK_BYTES)
        return fail(p, PC_RESP_E_BULK_UNAUTH);
    p->pos += (uint32_t)used + 1;
    if (p->pos + (uint64_t)n + 2 > limits->command_bytes)
        return fail(p, PC_RESP_E_COMMAND_LARGE);
    p->bulk = (int32_t)n;
    return 1;
}

/* Goes on with the arguments; sets argv where the command came entire. 1: complete. */
static int read_arguments(struct pc_resp_parser *p, const struct pc_resp_limits *limits,
                          const uint8_t *buf, const uint8_t *end, struct pc_bytes *argv)
{
    int rc;
    while (p->done < p->argc) {
        if (p->bulk == BULK_HEADER_NEXT && (rc = read_bulk_header(p, limits, buf, end)) != 1)
            return rc;
        const uint8_t *at = buf + p->pos, *stop = at + p->bulk;
        if (end - at < p->bulk + 2)
            return more(p, p->pos, p->pos + (size_t)p->bulk + 2);
        if (PC_UNLIKELY(stop[0] != '\r' || stop[1] != '\n'))
            return fail(p, PC_RESP_E_BULK_END);
        argv[p->done++] = pc_bytes_of(at, (size_t)p->bulk);
        p->pos += (uint32_t)p->bulk + 2;
        p->bulk = BULK_HEADER_NEXT;
    }
    return 1;
}

/* A command that came in pieces is complete: fill argv from its headers, which are known good. */
static void walk_again(const uint8_t *buf, const uint8_t *end, size_t argc, struct pc_bytes *argv)
{
    int64_t n = 0;
    int used = read_count(buf + 1, end, &n);
    PC_ASSERT(used > 0 && (size_t)n == argc);
    buf += used + 1;
    for (size_t i = 0; i < argc; i++) {
        used = read_count(buf + 1, end, &n);
        PC_ASSERT(used > 0 && n >= 0 && n + 2 <= end - buf - used - 1);
        argv[i] = pc_bytes_of(buf + used + 1, (size_t)n);
        buf += used + 1 + n + 2;
    }
}

/* "<number>CRLF" of one to three digits at p, where at least six bytes are; what is behind it, or
 * NULL: anything else. */
static inline const uint8_t *read_short(const uint8_t *p, uint32_t *ret_value)
{
    uint32_t value = (uint32_t)p[0] - '0', digit;
    if (PC_UNLIKELY(value > 9))
        return NULL;
    if (PC_UNLIKELY(value == 0 && p[1] != '\r'))
        return NULL;
    for (unsigned i = 0; i < 2 && (digit = (uint32_t)p[1] - '0') <= 9; i++, p++)
        value = value * 10 + digit;
    *ret_value = value;
    return PC_LIKELY(p[1] == '\r' && p[2] == '\n') ? p + 3 : NULL;
}

/* What nearly all commands are: there entire, with few and short arguments. Their bytes, or 0:
 * read_arguments() judges. Refuses nothing, and asks for more in nothing. */
static inline int parse_short(const struct pc_resp_limits *limits, const uint8_t *buf, size_t n,
                              struct pc_resp_command *ret)
{
    const uint8_t *p = buf + 1, *end = buf + n;
    uint32_t argc, length;
    if (end - p < SHORT_BYTES || !(p = read_short(p, &argc)) || argc > SHORT_ARGS ||
        argc > limits->args)
        return 0;
    for (uint32_t i = 0; i < argc; i++) {
        if (end - p < 1 + SHORT_BYTES || *p != '$' || !(p = read_short(p + 1, &length)) ||
            length > limits->bulk_bytes || end - p < (ptrdiff_t)length + 2 || p[length] != '\r' ||
            p[length + 1] != '\n')
            return 0;
        ret->argv[i] = pc_bytes_of(p, length);
        p += length + 2;
    }
    ret->argc = argc;
    return (size_t)(p - buf) <= limits->command_bytes ? (int)(p - buf) : 0;
}

static int parse_multibulk(struct pc_resp_parser *p, const struct pc_resp_limits *limits,
                           const uint8_t *buf, size_t n, struct pc_resp_command *ret)
{
    const uint8_t *end = buf + n;
    bool resumed = p->pos != 0;
    int rc = resumed ? 0 : parse_short(limits, buf, n, ret);
    if (PC_LIKELY(rc > 0)) {
        ret->foreign = ret->argc && is_foreign(ret->argv[0]);
        start_over(p);
        return rc;
    }
    rc = resumed ? 1 : read_multibulk_header(p, limits, buf, end);
    if (rc != 1 || (rc = read_arguments(p, limits, buf, end, ret->argv)) != 1)
        return rc;
    if (PC_UNLIKELY(resumed))
        walk_again(buf, end, p->argc, ret->argv);
    ret->argc = p->argc;
    ret->foreign = p->argc && is_foreign(ret->argv[0]);
    rc = (int)p->pos;
    start_over(p);
    return rc;
}

/* ---- inline commands ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The byte that an escape in double quotes stands for; *at is behind the backslash. */
static uint8_t unescape(const uint8_t *line, size_t n, size_t *at)
{
    uint8_t c = line[(*at)++];
    if (c == 'x' && *at + 2 <= n && pc_char_is(line[*at], PC_CHAR_HEX) &&
        pc_char_is(line[*at + 1], PC_CHAR_HEX)) {
        uint8_t byte = (uint8_t)(pc_char_hex(line[*at]) << 4 | pc_char_hex(line[*at + 1]));
        *at += 2;
        return byte;
    }
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Copies a quoted part to out[*len..); *at is behind the opening quote, and behind the closing one
 * afterwards. False: the quotes are unbalanced, or something follows the closing quote. */
static bool take_quoted(uint8_t *line, size_t n, size_t *at, size_t *len, uint8_t quote)
{
    while (*at < n) {
        uint8_t c = line[(*at)++];
        if (c == quote)
            return *at == n || is_space(line[*at]);
        if (c == '\\' && *at < n) {
            if (quote == '"')
                c = unescape(line, n, at);
            else if (line[*at] == '\'')
                c = line[(*at)++];
        }
        line[(*len)++] = c;
    }
    return false;
}

/* One argument, which begins at *at, unquoted in place: the result is never longer. */
static bool take_word(uint8_t *line, size_t n, size_t *at, struct pc_bytes *ret_word)
{
    size_t start = *at, len = start;
    while (*at < n) {
        uint8_t c = line[*at];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            break;
        ++*at;
        if (c == '"' || c == '\'') {
            if (!take_quoted(line, n, at, &len, c))
                return false;
            break; /* blank or end follows */
        }
        line[len++] = c;
    }
    *ret_word = pc_bytes_of(line + start, len - start);
    return true;
}

static int split_inline(struct pc_resp_parser *p, const struct pc_resp_limits *limits,
                        uint8_t *line, size_t n, struct pc_resp_command *ret)
{
    size_t argc = 0, at = 0;
    if (n && memchr(line, 0, n)) /* Redis never sees the end of such a line, and waits */
        return fail(p, PC_RESP_E_INLINE_NUL);
    for (;;) {
        while (at < n && is_space(line[at]))
            at++;
        if (at == n)
            break;
        if (argc == limits->args)
            return fail(p, PC_RESP_E_MULTIBULK_LENGTH);
        if (!take_word(line, n, &at, &ret->argv[argc++]))
            return fail(p, PC_RESP_E_QUOTES);
    }
    ret->argc = argc;
    ret->foreign = argc && is_foreign(ret->argv[0]);
    return 1;
}

static int parse_inline(struct pc_resp_parser *p, const struct pc_resp_limits *limits, uint8_t *buf,
                        size_t n, struct pc_resp_command *ret)
{
    size_t window = n < limits->inline_bytes ? n : limits->inline_bytes;
    const uint8_t *lf = memchr(buf + p->pos, '\n', window - p->pos);
    if (!lf)
        return window < limits->inline_bytes ? more(p, window, window + 1)
                                             : fail(p, PC_RESP_E_INLINE_LONG);
    size_t line_n = (size_t)(lf - buf);
    int used = (int)line_n + 1;
    if (line_n && buf[line_n - 1] == '\r')
        line_n--;
    if (split_inline(p, limits, buf, line_n, ret) != 1)
        return -EPROTO;
    start_over(p);
    return used;
}

int pc_resp_parse(struct pc_resp_parser *p, const struct pc_resp_limits *limits, uint8_t *buf,
                  size_t n, struct pc_resp_command *ret_command)
{
    PC_ASSERT(limits->args <= PC_RESP_ARGS_MAX && limits->command_bytes <= INT32_MAX);
    PC_ASSERT(p->error == PC_RESP_E_NONE && p->pos <= n); /* I1 */
    if (n == 0 || n < p->need)
        return 0;
    if (PC_LIKELY(buf[0] == '*'))
        return parse_multibulk(p, limits, buf, n, ret_command);
    return parse_inline(p, limits, buf, n, ret_command);
}

int pc_resp_to_i64(struct pc_bytes s, int64_t *ret_value)
{
    if (s.n == 0)
        return -EINVAL;
    bool negative = s.p[0] == '-';
    struct pc_bytes digits = {s.p + negative, s.n - negative};
    uint64_t value;
    if (digits.n == 0 || (digits.p[0] == '0' && s.n > 1) || pc_bytes_to_u64(digits, &value) ||
        value > (uint64_t)INT64_MAX + negative)
        return -EINVAL;
    *ret_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

/* ---- replies ---- */

/* Text of a line: CR and LF would end it. */
static void put_line(struct pc_buf *b, struct pc_bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        pc_buf_char(b, text.p[i] == '\r' || text.p[i] == '\n' ? ' ' : (char)text.p[i]);
    pc_buf_lit(b, "\r\n");
}

void pc_resp_write_simple(struct pc_buf *b, const char *text)
{
    pc_buf_char(b, '+');
    put_line(b, pc_bytes_str(text));
}

void pc_resp_write_error(struct pc_buf *b, struct pc_bytes text)
{
    pc_buf_char(b, '-');
    put_line(b, text);
}

void pc_resp_write_int(struct pc_buf *b, int64_t value)
{
    if (PC_LIKELY(value == 0 || value == 1)) {
        pc_buf_put(b, value ? ":1\r\n" : ":0\r\n", 4);
        return;
    }
    pc_buf_char(b, ':');
    pc_buf_i64(b, value);
    pc_buf_lit(b, "\r\n");
}

void pc_resp_write_bulk(struct pc_buf *b, struct pc_bytes value)
{
    pc_buf_char(b, '$');
    pc_buf_u64(b, value.n);
    pc_buf_lit(b, "\r\n");
    pc_buf_bytes(b, value);
    pc_buf_lit(b, "\r\n");
}

void pc_resp_write_null(struct pc_buf *b)
{
    pc_buf_lit(b, "$-1\r\n");
}

void pc_resp_write_null_array(struct pc_buf *b)
{
    pc_buf_lit(b, "*-1\r\n");
}

void pc_resp_write_array(struct pc_buf *b, size_t count)
{
    pc_buf_char(b, '*');
    pc_buf_u64(b, count);
    pc_buf_lit(b, "\r\n");
}

void pc_resp_write_protocol_error(struct pc_buf *b, const struct pc_resp_parser *p)
{
    pc_buf_lit(b, "-ERR Protocol error: ");
    if (p->error == PC_RESP_E_EXPECTED_DOLLAR) {
        pc_buf_lit(b, "expected '$', got '");
        pc_buf_char(b, p->got < 0x20 ? ' ' : (char)p->got);
        pc_buf_lit(b, "'\r\n");
        return;
    }
    PC_ASSERT(p->error < PC_RESP_ERROR_COUNT);
    pc_buf_str(b, error_texts[p->error]);
    pc_buf_lit(b, "\r\n");
}
