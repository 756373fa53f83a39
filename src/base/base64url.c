/* SPDX-License-Identifier: Apache-2.0
 * base64url. Decoding marks bad characters in the sign bit of a table entry and looks at the marks
 * once at the end, so the loop has no branch that depends on the data. Owns nothing; pure. */
#include "base/base64url.h"

#define BAD 0xff

/* Of every byte its value, or BAD. */
static const uint8_t values[256] = {
#define B8  BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD
#define B16 B8, B8
    B16, B16, B8,  BAD, BAD, BAD, BAD, BAD, 62, BAD, BAD, /* up to '/' ; '-' */
    52,  53,  54,  55,  56,  57,  58,  59,  60, 61,       /* 0-9 */
    BAD, BAD, BAD, BAD, BAD, BAD, BAD,                    /* up to '@' */
    0,   1,   2,   3,   4,   5,   6,   7,   8,  9,   10,  11,  12,  13,  14,  15, 16,
    17,  18,  19,  20,  21,  22,  23,  24,  25, BAD, BAD, BAD, BAD, 63, /* A-Z, [\]^ and '_' */
    BAD, 26,  27,  28,  29,  30,  31,  32,  33, 34,  35,  36,  37,  38,  39,  40, 41,
    42,  43,  44,  45,  46,  47,  48,  49,  50, 51,  BAD, BAD, BAD, BAD, BAD, /* `, a-z, {|}~ DEL */
    B16, B16, B16, B16, B16, B16, B16, B16,
#undef B8
#undef B16
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The last 2 or 3 characters; their marks and stray bits end up in the result's upper byte. */
static uint32_t decode_tail(const uint8_t *s, size_t n, uint8_t *dst)
{
    uint32_t a = values[s[0]], b = values[s[1]], c = n == 3 ? values[s[2]] : 0;
    uint32_t bits = (a & 63) << 18 | (b & 63) << 12 | (c & 63) << 6;
    dst[0] = (uint8_t)(bits >> 16);
    if (n == 3)
        dst[1] = (uint8_t)(bits >> 8);
    uint32_t stray = n == 3 ? bits & 0xff : bits & 0xffff;
    return (a | b | c) | (stray ? BAD : 0);
}

int pc_base64url_decode(struct pc_bytes s, uint8_t *dst, size_t cap, size_t *ret_n)
{
    size_t n = PC_BASE64URL_DECODED(s.n), tail = s.n % 4;
    const uint8_t *at = s.p, *end = s.n ? s.p + (s.n - tail) : s.p;
    uint32_t marks = 0;
    if (tail == 1)
        return PC_E_SYNTAX;
    if (n > cap)
        return PC_E_TOO_LARGE;
    for (; at < end; at += 4, dst += 3) {
        uint32_t a = values[at[0]], b = values[at[1]], c = values[at[2]], d = values[at[3]];
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        marks |= a | b | c | d;
        dst[0] = (uint8_t)(bits >> 16);
        dst[1] = (uint8_t)(bits >> 8);
        dst[2] = (uint8_t)bits;
    }
    if (tail)
        marks |= decode_tail(at, tail, dst);
    if (marks & 0x80) /* values are below 64: only BAD has the bit */
        return PC_E_SYNTAX;
    *ret_n = n;
    return 0;
}

void pc_base64url_encode(struct pc_bytes s, struct pc_buf *b)
{
    char out[4];
    size_t i = 0;
    if (PC_BASE64URL_ENCODED(s.n) > b->cap - b->len)
        b->overflow = true;
    for (; i + 3 <= s.n && !b->overflow; i += 3) {
        uint32_t bits = (uint32_t)s.p[i] << 16 | (uint32_t)s.p[i + 1] << 8 | s.p[i + 2];
        for (int k = 0; k < 4; k++)
            out[k] = alphabet[bits >> (18 - 6 * k) & 63];
        pc_buf_put(b, out, 4);
    }
    size_t left = s.n - i;
    if (left == 0 || b->overflow)
        return;
    uint32_t bits = (uint32_t)s.p[i] << 16 | (left == 2 ? (uint32_t)s.p[i + 1] << 8 : 0);
    for (int k = 0; k < 3; k++)
        out[k] = alphabet[bits >> (18 - 6 * k) & 63];
    pc_buf_put(b, out, left + 1);
}
