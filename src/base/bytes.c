/* SPDX-License-Identifier: Apache-2.0
 * Byte helpers that are too long to inline. Pure; any thread. */
#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/json_run.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool eq_nocase_bytewise(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

/* Four to seven bytes, with case. */
static bool eq_short(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint32_t x[2], y[2];
    memcpy(&x[0], a, 4);
    memcpy(&y[0], b, 4);
    memcpy(&x[1], a + n - 4, 4);
    memcpy(&y[1], b + n - 4, 4);
    return x[0] == y[0] && x[1] == y[1];
}

/* Eight at once. Mostly they are equal as they are; a difference in other bits than 0x20 is one
 * whatever the bytes mean. */
static bool eq_nocase_word(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (PC_LIKELY(x == y))
        return true;
    return !((x ^ y) & ~UINT64_C(0x2020202020202020)) && eq_nocase_bytewise(a, b, sizeof x);
}

bool pc_bytes_eq_nocase(struct pc_bytes a, struct pc_bytes b)
{
    size_t n = a.n;
    if (n != b.n)
        return false;
    if (n < 8)
        return (n >= 4 && eq_short(a.p, b.p, n)) || eq_nocase_bytewise(a.p, b.p, n);
    for (size_t i = 0; i + 8 < n; i += 8)
        if (!eq_nocase_word(a.p + i, b.p + i))
            return false;
    return eq_nocase_word(a.p + n - 8, b.p + n - 8);
}

bool pc_bytes_eq_secret(struct pc_bytes a, struct pc_bytes b)
{
    if (a.n != b.n)
        return false;
    volatile uint8_t diff = 0;
    for (size_t i = 0; i < a.n; i++)
        diff = (uint8_t)(diff | (a.p[i] ^ b.p[i]));
    return diff == 0;
}

int pc_bytes_to_u64(struct pc_bytes s, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
            return -ERANGE;
    }
    *ret_value = value;
    return 0;
}

static const char hex_digits[] = "0123456789abcdef";

void pc_hex_encode(const uint8_t *src, size_t n, char *dst)
{
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = hex_digits[src[i] >> 4];
        dst[2 * i + 1] = hex_digits[src[i] & 15];
    }
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int pc_hex_decode(struct pc_bytes s, uint8_t *dst, size_t n)
{
    if (s.n != 2 * n)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++)
        if (hex_value(s.p[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < n; i++)
        dst[i] = (uint8_t)(hex_value(s.p[2 * i]) * 16 + hex_value(s.p[2 * i + 1]));
    return 0;
}

/* A number of b bits has b * log10(2) digits, or one more. */
static size_t decimal_digits(uint64_t value)
{
    static const uint64_t powers[20] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    unsigned least = (64 - (unsigned)__builtin_clzll(value | 1)) * 1233 >> 12;
    return least + (value >= powers[least]);
}

/* Two digits a division, straight to where they belong. */
void pc_buf_u64(struct pc_buf *b, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    size_t n = decimal_digits(value);
    if (PC_UNLIKELY(b->overflow || n > b->cap - b->len)) {
        b->overflow = true;
        return;
    }
    uint8_t *end = b->p + b->len + n;
    b->len += n;
    for (; value >= 100; value /= 100)
        memcpy(end -= 2, pairs + value % 100 * 2, 2);
    if (value >= 10)
        memcpy(end - 2, pairs + value * 2, 2);
    else
        end[-1] = (uint8_t)('0' + value);
}

void pc_buf_i64(struct pc_buf *b, int64_t value)
{
    if (value < 0) {
        pc_buf_char(b, '-');
        pc_buf_u64(b, 0 - (uint64_t)value);
        return;
    }
    pc_buf_u64(b, (uint64_t)value);
}

void pc_buf_fmt(struct pc_buf *b, const char *fmt, ...)
{
    va_list args;
    if (b->overflow)
        return;
    va_start(args, fmt);
    /* vsnprintf wants room for its NUL even though we do not keep it. */
    int n = vsnprintf((char *)b->p + b->len, b->cap - b->len, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= b->cap - b->len) {
        b->overflow = true;
        return;
    }
    b->len += (size_t)n;
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), or 0. */
static size_t utf8_length(const uint8_t *s, size_t n)
{
    uint8_t c = s[0];
    size_t need = c >= 0xc2 && c <= 0xdf   ? 2
                  : c >= 0xe0 && c <= 0xef ? 3
                  : c >= 0xf0 && c <= 0xf4 ? 4
                                           : 0;
    if (need == 0 || need > n)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return need;
}

static void json_escape(struct pc_buf *b, uint8_t c)
{
    switch (c) {
    case '"': pc_buf_lit(b, "\\\""); break;
    case '\\': pc_buf_lit(b, "\\\\"); break;
    case '\n': pc_buf_lit(b, "\\n"); break;
    case '\r': pc_buf_lit(b, "\\r"); break;
    case '\t': pc_buf_lit(b, "\\t"); break;
    default:
        pc_buf_lit(b, "\\u00");
        pc_buf_char(b, hex_digits[c >> 4]);
        pc_buf_char(b, hex_digits[c & 15]);
    }
}

void pc_buf_json(struct pc_buf *b, struct pc_bytes s)
{
    size_t i = 0;
    while (i < s.n) {
        size_t run = (size_t)(pc_json_run(s.p + i, s.p + s.n) - s.p);
        pc_buf_put(b, s.p + i, run - i);
        i = run;
        if (i == s.n)
            return;
        if (s.p[i] < 0x80) {
            json_escape(b, s.p[i++]);
            continue;
        }
        size_t n = utf8_length(s.p + i, s.n - i);
        if (n)
            pc_buf_put(b, s.p + i, n);
        else
            pc_buf_lit(b, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
}

void pc_buf_json_str(struct pc_buf *b, struct pc_bytes s)
{
    pc_buf_char(b, '"');
    pc_buf_json(b, s);
    pc_buf_char(b, '"');
}
