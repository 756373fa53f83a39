/* SPDX-License-Identifier: Apache-2.0
 * Character classes and run scanners shared by the parsers of this folder; private to it.
 *
 * The scanners find the first byte that may not continue a run. They read [p, end) and nothing
 * else (the tests put a PROT_NONE page at end) and have a portable twin under PC_PORTABLE. */
#ifndef PC_EDGE_WIRE_CHARS_H
#define PC_EDGE_WIRE_CHARS_H

#include "base/def.h"

#if !PC_PORTABLE && defined(__SSSE3__)
#define PC_CHARS_SSE 1
#include <tmmintrin.h>
#else
#define PC_CHARS_SSE 0
#endif

#define PC_CHAR_TOKEN 0x01 /* RFC 9110 tchar */
#define PC_CHAR_HOST  0x02 /* RFC 3986 unreserved: what a registered name may hold here */
#define PC_CHAR_DIGIT 0x04
#define PC_CHAR_HEX   0x08
#define PC_CHAR_TEXT  0x10 /* field content: visible ASCII, space, tab, obs-text */

extern const uint8_t pc_chars[256];

static inline bool pc_char_is(uint8_t c, uint8_t class_bits)
{
    return pc_chars[c] & class_bits;
}

static inline bool pc_char_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Value of a hexadecimal digit; the caller checked PC_CHAR_HEX. */
static inline uint8_t pc_char_hex(uint8_t c)
{
    return (uint8_t)((c & 15) + (c >> 6) * 9);
}

/* Bytes b with (int8_t)(b + 1) >= floor continue a run. The + 1 moves DEL next to the bytes above
 * 0x7f, so that one signed compare finds control bytes, DEL and those: 0x21 stops below space,
 * 0x22 at space too. */
#define PC_SCAN_PRINTABLE 0x21
#define PC_SCAN_VISIBLE   0x22

#if PC_CHARS_SSE

static inline __m128i pc_scan_stops_of(__m128i x, __m128i floor)
{
    return _mm_cmplt_epi8(_mm_add_epi8(x, _mm_set1_epi8(1)), floor);
}

static inline __m128i pc_scan_stops(const uint8_t *p, __m128i floor)
{
    return pc_scan_stops_of(_mm_loadu_si128((const void *)p), floor);
}

/* Whether the run goes on over 64 bytes: they are floor - 1 .. 0x7e, so that the largest distance
 * from the lower bound tells. */
static inline bool pc_scan_block_runs(const uint8_t *p, int8_t floor)
{
    const __m128i low = _mm_set1_epi8((char)(floor - 1));
    const __m128i span = _mm_set1_epi8((char)(0x7e - (floor - 1)));
    __m128i far = _mm_sub_epi8(_mm_loadu_si128((const void *)p), low);
    far = _mm_max_epu8(far, _mm_sub_epi8(_mm_loadu_si128((const void *)(p + 16)), low));
    far = _mm_max_epu8(far, _mm_sub_epi8(_mm_loadu_si128((const void *)(p + 32)), low));
    far = _mm_max_epu8(far, _mm_sub_epi8(_mm_loadu_si128((const void *)(p + 48)), low));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(far, span), far)) == 0xffff;
}

static inline const uint8_t *pc_scan_run(const uint8_t *p, const uint8_t *end, int8_t floor)
{
    const __m128i f = _mm_set1_epi8(floor);
    int stops;
    /* Most runs end within 32 bytes; the ones that do not are bearer tokens and cookies. */
    for (int i = 0; i < 2 && end - p >= 16; i++, p += 16)
        if ((stops = _mm_movemask_epi8(pc_scan_stops(p, f))) != 0)
            return p + __builtin_ctz((unsigned)stops);
    while (end - p >= 64 && pc_scan_block_runs(p, floor))
        p += 64;
    for (; end - p >= 16; p += 16)
        if ((stops = _mm_movemask_epi8(pc_scan_stops(p, f))) != 0)
            return p + __builtin_ctz((unsigned)stops);
    while (p < end && (int8_t)(uint8_t)(*p + 1) >= floor)
        p++;
    return p;
}

/* Field content with tabs and obs-text: exact, a little slower. */
static inline const uint8_t *pc_scan_text_exact(const uint8_t *p, const uint8_t *end)
{
    const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const void *)p);
        __m128i ctl = _mm_cmpeq_epi8(_mm_min_epu8(x, low), x);
        ctl = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), ctl), _mm_cmpeq_epi8(x, del));
        int stops = _mm_movemask_epi8(ctl);
        if (stops)
            return p + __builtin_ctz((unsigned)stops);
    }
    while (p < end && pc_char_is(*p, PC_CHAR_TEXT))
        p++;
    return p;
}

/* A bit per byte that is not of a class. It is if the bit of its high nibble is set in the row of
 * its low nibble; bytes from 0x80 find an empty bit set. */
static inline int pc_scan_outside(__m128i x, __m128i by_low)
{
    const __m128i by_high = _mm_setr_epi8(0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i row = _mm_shuffle_epi8(by_low, _mm_and_si128(x, nibble));
    __m128i bit = _mm_shuffle_epi8(by_high, _mm_and_si128(_mm_srli_epi16(x, 4), nibble));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(row, bit), _mm_setzero_si128()));
}

static inline const uint8_t *pc_scan_token(const uint8_t *p, const uint8_t *end)
{
    const __m128i by_low = _mm_setr_epi8(0x3a, 0x3f, 0x3e, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3e, 0x3e,
                                         0x3d, 0x15, 0x34, 0x15, 0x3d, 0x1c);
    for (; end - p >= 16; p += 16) {
        int stops = pc_scan_outside(_mm_loadu_si128((const void *)p), by_low);
        if (stops)
            return p + __builtin_ctz((unsigned)stops);
    }
    while (p < end && pc_char_is(*p, PC_CHAR_TOKEN))
        p++;
    return p;
}

#else

static inline const uint8_t *pc_scan_run(const uint8_t *p, const uint8_t *end, int8_t floor)
{
    while (p < end && (int8_t)(uint8_t)(*p + 1) >= floor)
        p++;
    return p;
}

static inline const uint8_t *pc_scan_text_exact(const uint8_t *p, const uint8_t *end)
{
    while (p < end && pc_char_is(*p, PC_CHAR_TEXT))
        p++;
    return p;
}

static inline const uint8_t *pc_scan_token(const uint8_t *p, const uint8_t *end)
{
    while (p < end && pc_char_is(*p, PC_CHAR_TOKEN))
        p++;
    return p;
}

#endif

/* First byte that is not field content. */
static inline const uint8_t *pc_scan_text(const uint8_t *p, const uint8_t *end)
{
    p = pc_scan_run(p, end, PC_SCAN_PRINTABLE);
    if (PC_LIKELY(p == end || !pc_char_is(*p, PC_CHAR_TEXT)))
        return p;
    return pc_scan_text_exact(p, end);
}

/* First byte that is not visible ASCII. */
static inline const uint8_t *pc_scan_visible(const uint8_t *p, const uint8_t *end)
{
    return pc_scan_run(p, end, PC_SCAN_VISIBLE);
}

#endif
