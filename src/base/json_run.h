/* SPDX-License-Identifier: Apache-2.0
 * Runs of bytes that stand in a JSON string as they are: no quote, backslash, control byte, DEL,
 * and nothing above ASCII. Shared by the reader, which steps over them, and the writer, which
 * copies them. Pure; reads nothing beyond end. */
#ifndef PC_BASE_JSON_RUN_H
#define PC_BASE_JSON_RUN_H

#include <endian.h>

#include "base/bytes.h"

#if !PC_PORTABLE && defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool pc_json_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many of eight bytes are plain, up to the first that is not. A term may also flag bytes behind
 * one it flags rightly; the first is right. */
static inline unsigned pc_json_plain_in_word(const uint8_t *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    w = le64toh(w);
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', del = w ^ ones * 0x7f;
    uint64_t odd = ((quote - ones) | (slash - ones) | (del - ones) | (w - ones * 0x20) | w) & highs;
    return odd ? (unsigned)__builtin_ctzll(odd) / 8 : 8;
}

/* The first byte in [p, end) that is not plain, or end. */
static inline const uint8_t *pc_json_run(const uint8_t *p, const uint8_t *end)
{
#if !PC_PORTABLE && defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i one = _mm_set1_epi8(1), floor = _mm_set1_epi8(0x21);
    for (; end - p >= 16; p += 16) {
        /* + 1 moves DEL next to the bytes above it, so that one signed compare finds those and
         * control bytes. */
        __m128i x = _mm_loadu_si128((const void *)p);
        __m128i odd = _mm_cmplt_epi8(_mm_add_epi8(x, one), floor);
        odd = _mm_or_si128(odd, _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)));
        int stops = _mm_movemask_epi8(odd);
        if (stops)
            return p + __builtin_ctz((unsigned)stops);
    }
#endif
    while (end - p >= 8) {
        unsigned n = pc_json_plain_in_word(p);
        p += n;
        if (n < 8)
            return p;
    }
    while (p < end && pc_json_plain(*p))
        p++;
    return p;
}

#endif
