/* SPDX-License-Identifier: Apache-2.0
 * Canonical paths, URI references, authorities. Pure; any thread; no allocation. */
#include "edge/wire/path.h"

#include <errno.h>

#include "base/ip.h"
#include "edge/wire/chars.h"

/* ---- canonical path ---- */

/* Does byte i make the path need work or a refusal? A path without such bytes is canonical. */
static inline bool plain_at(const uint8_t *p, size_t n, size_t i)
{
    if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == '%' || p[i] == '\\')
        return false;
    return p[i] != '/' || i + 1 == n || (p[i + 1] != '/' && p[i + 1] != '.');
}

#if PC_CHARS_SSE
/* The same for 16 bytes x, of which y are the next ones; of a target also without query and
 * fragment. */
static inline bool plain_block(__m128i x, __m128i y, bool target)
{
    const __m128i slash = _mm_set1_epi8('/'), dot = _mm_set1_epi8('.');
    const __m128i percent = _mm_set1_epi8('%'), backslash = _mm_set1_epi8('\\');
    __m128i pair = _mm_or_si128(_mm_cmpeq_epi8(y, slash), _mm_cmpeq_epi8(y, dot));
    pair = _mm_and_si128(pair, _mm_cmpeq_epi8(x, slash));
    __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(x, percent), _mm_cmpeq_epi8(x, backslash));
    odd = _mm_or_si128(odd, pc_scan_stops_of(x, _mm_set1_epi8(PC_SCAN_VISIBLE)));
    if (target)
        odd = _mm_or_si128(odd, _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('?')),
                                             _mm_cmpeq_epi8(x, _mm_set1_epi8('#'))));
    return _mm_movemask_epi8(_mm_or_si128(pair, odd)) == 0;
}

static inline bool plain_block_at(const uint8_t *p, bool target)
{
    return plain_block(_mm_loadu_si128((const void *)p), _mm_loadu_si128((const void *)(p + 1)),
                       target);
}

/* 8 to 15 bytes: the first eight and the last eight, which overlap, so that every pair of
 * neighbours stands in one of them; what comes behind each is taken for 0. */
static inline bool plain_short(const uint8_t *p, size_t n, bool target)
{
    __m128i x = _mm_unpacklo_epi64(_mm_loadl_epi64((const void *)p),
                                   _mm_loadl_epi64((const void *)(p + n - 8)));
    return plain_block(x, _mm_srli_epi64(x, 8), target);
}
#endif

static inline bool is_plain(struct pc_bytes raw, bool target)
{
    size_t i = 0;
#if PC_CHARS_SSE
    if (raw.n >= 8 && raw.n < 16)
        return plain_short(raw.p, raw.n, target);
    for (; i + 17 <= raw.n; i += 16)
        if (!plain_block_at(raw.p + i, target))
            return false;
    if (i) { /* the last 17 bytes again; their last one is the end */
        if (!plain_block_at(raw.p + raw.n - 17, target))
            return false;
        i = raw.n - 1;
    }
#endif
    for (; i < raw.n; i++)
        if (!plain_at(raw.p, raw.n, i) || (target && (raw.p[i] == '?' || raw.p[i] == '#')))
            return false;
    return true;
}

bool pc_path_is_target(struct pc_bytes target)
{
    return target.n > 0 && target.p[0] == '/' && is_plain(target, true);
}

/* Length of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogates); 0 if there is
 * none. */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    static const uint8_t second_min[5] = {0x90, 0x80, 0x80, 0x80, 0x80};
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint8_t low = p[0] == 0xe0 ? 0xa0 : p[0] >= 0xf0 ? second_min[p[0] - 0xf0] : 0x80;
    uint8_t high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (n < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static bool is_utf8(const uint8_t *p, size_t n)
{
    for (size_t i = 0, step; i < n; i += step)
        if ((step = utf8_length(p + i, n - i)) == 0)
            return false;
    return true;
}

/* Decodes the escape at p ("%" and n - 1 more bytes); -EINVAL where path.h refuses. */
static int decode_escape(const uint8_t *p, size_t n, uint8_t *ret_byte)
{
    if (n < 3 || !pc_char_is(p[1], PC_CHAR_HEX) || !pc_char_is(p[2], PC_CHAR_HEX))
        return -EINVAL;
    uint8_t byte = (uint8_t)(pc_char_hex(p[1]) << 4 | pc_char_hex(p[2]));
    if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\')
        return -EINVAL;
    *ret_byte = byte;
    return 0;
}

/* Whether somebody who decodes this once more finds an escape. Looked for in what was decoded,
 * because its digits may have been escaped as well ("%25%32%65", "%252%65"). */
static bool holds_escape(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 2 < n; i++)
        if (p[i] == '%' && pc_char_is(p[i + 1], PC_CHAR_HEX) && pc_char_is(p[i + 2], PC_CHAR_HEX))
            return true;
    return false;
}

/* Decodes raw[*i..) up to the next '/' into out. */
static int decode_segment(struct pc_bytes raw, size_t *i, uint8_t *out, size_t *ret_n)
{
    size_t n = 0;
    bool high = false, percent = false;
    while (*i < raw.n && raw.p[*i] != '/') {
        uint8_t c = raw.p[*i], step = 1;
        if (c == '%') {
            if (decode_escape(raw.p + *i, raw.n - *i, &c))
                return -EINVAL;
            step = 3;
            percent |= c == '%';
        } else if (c <= ' ' || c == 0x7f || c == '\\') {
            return -EINVAL;
        }
        high |= c >= 0x80;
        out[n++] = c;
        *i += step;
    }
    if ((high && !is_utf8(out, n)) || (percent && holds_escape(out, n)))
        return -EINVAL;
    *ret_n = n;
    return 0;
}

/* 1 for ".", 2 for "..", 0 for an ordinary segment, -EINVAL for a dot segment with parameters:
 * some backends cut ";x" off before they resolve the dots. */
static int dots_of(const uint8_t *segment, size_t n)
{
    size_t dots = 0;
    while (dots < n && segment[dots] == '.')
        dots++;
    if (dots == 0 || dots > 2)
        return 0;
    if (dots < n)
        return segment[dots] == ';' ? -EINVAL : 0;
    return (int)dots;
}

/* Appends one decoded segment (already at out[*len + 1..)) with its slash, or resolves it. */
static int apply_segment(uint8_t *out, size_t *len, size_t segment_n, bool last)
{
    int dots = dots_of(out + *len + 1, segment_n);
    if (dots < 0 || (dots == 2 && *len == 0))
        return -EINVAL;
    if (dots == 0) {
        out[*len] = '/';
        *len += 1 + segment_n;
        return 0;
    }
    if (dots == 2)
        do
            --*len;
        while (out[*len] != '/');
    if (last)
        out[(*len)++] = '/';
    return 0;
}

int pc_path_canonical(struct pc_bytes raw, uint8_t *scratch, size_t cap, struct pc_bytes *ret_path)
{
    if (raw.n == 0 || raw.p[0] != '/')
        return -EINVAL;
    if (PC_LIKELY(is_plain(raw, false))) {
        *ret_path = raw;
        return 0;
    }
    if (cap < raw.n)
        return -ENOBUFS;
    size_t len = 0; /* out[0..len) is canonical and does not end in '/' until the last segment */
    for (size_t i = 0; i < raw.n;) {
        size_t n = 0;
        while (i < raw.n && raw.p[i] == '/')
            i++;
        if (decode_segment(raw, &i, scratch + len + 1, &n) ||
            apply_segment(scratch, &len, n, i == raw.n))
            return -EINVAL;
    }
    PC_ASSERT(len > 0 && len <= raw.n && scratch[0] == '/');
    *ret_path = pc_bytes_of(scratch, len);
    return 0;
}

/* ---- URI references ---- */

static bool cut_scheme(struct pc_bytes *uri, struct pc_bytes *ret_scheme)
{
    for (size_t n = 4; n <= 5; n++) {
        if (uri->n < n + 3 || memcmp(uri->p + n, "://", 3))
            continue;
        struct pc_bytes scheme = {uri->p, n};
        if (!pc_bytes_eq_nocase(scheme, n == 4 ? PC_LIT("http") : PC_LIT("https")))
            return false;
        *ret_scheme = scheme;
        *uri = pc_bytes_of(uri->p + n + 3, uri->n - n - 3);
        return true;
    }
    return false;
}

/* No blank, control byte or fragment. */
static bool is_reference_text(struct pc_bytes s)
{
    const uint8_t *end = s.p + s.n;
    for (const uint8_t *p = pc_scan_visible(s.p, end); p < end; p++)
        if (*p <= ' ' || *p == 0x7f)
            return false;
    return !s.n || !memchr(s.p, '#', s.n);
}

int pc_uri_split(struct pc_bytes uri, struct pc_uri *ret_uri)
{
    struct pc_uri u = {0};
    if (uri.n == 0 || !is_reference_text(uri))
        return -EINVAL;
    if (uri.p[0] != '/') {
        if (!cut_scheme(&uri, &u.scheme))
            return -EINVAL;
        size_t n = 0;
        while (n < uri.n && uri.p[n] != '/' && uri.p[n] != '?')
            n++;
        u.authority = pc_bytes_of(uri.p, n);
        uri = pc_bytes_of(uri.p + n, uri.n - n);
        if (n == 0 || !pc_authority_valid(u.authority))
            return -EINVAL;
    }
    const uint8_t *mark = uri.n ? memchr(uri.p, '?', uri.n) : NULL;
    u.path = pc_bytes_of(uri.p, mark ? (size_t)(mark - uri.p) : uri.n);
    if (mark) {
        u.has_query = true;
        u.query = pc_bytes_of(mark + 1, uri.n - u.path.n - 1);
    }
    *ret_uri = u;
    return 0;
}

/* ---- authorities ---- */

static bool is_port(const uint8_t *p, const uint8_t *end)
{
    uint32_t port = 0;
    for (; p < end; p++) {
        if (!pc_char_is(*p, PC_CHAR_DIGIT))
            return false;
        port = port * 10 + (*p - '0');
        if (port > UINT16_MAX)
            return false;
    }
    return true; /* RFC 3986 allows "host:" */
}

/* Whether s is a host's name and nothing else; of fewer than eight bytes nothing is said. The last
 * bytes are looked at once more. */
static bool is_name(struct pc_bytes s)
{
#if PC_CHARS_SSE
    const __m128i by_low = _mm_setr_epi8(0x2a, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
                                         0x3c, 0x14, 0x14, 0x15, 0x35, 0x1c);
    const uint8_t *p = s.p, *last = s.p + s.n;
    if (s.n < 8)
        return false;
    if (s.n < 16)
        return !pc_scan_outside(_mm_unpacklo_epi64(_mm_loadl_epi64((const void *)p),
                                                   _mm_loadl_epi64((const void *)(last - 8))),
                                by_low);
    for (; last - p > 16; p += 16)
        if (pc_scan_outside(_mm_loadu_si128((const void *)p), by_low))
            return false;
    return !pc_scan_outside(_mm_loadu_si128((const void *)(last - 16)), by_low);
#else
    (void)s;
    return false;
#endif
}

bool pc_authority_valid(struct pc_bytes authority)
{
    if (authority.n == 0 || PC_LIKELY(is_name(authority)))
        return true;
    const uint8_t *p = authority.p, *end = p + authority.n;
    if (*p == '[') {
        const uint8_t *close = memchr(p, ']', authority.n);
        struct pc_ip ip;
        if (!close || !memchr(p, ':', (size_t)(close - p)) ||
            pc_ip_parse(pc_bytes_of(p + 1, (size_t)(close - p - 1)), &ip))
            return false;
        p = close + 1;
    } else {
        while (p < end && pc_char_is(*p, PC_CHAR_HOST))
            p++;
        if (p == authority.p) /* a port needs a host */
            return false;
    }
    return p == end || (*p == ':' && is_port(p + 1, end));
}

struct pc_bytes pc_authority_host(struct pc_bytes authority)
{
    if (authority.n && authority.p[0] == '[') {
        const uint8_t *close = memchr(authority.p, ']', authority.n);
        PC_ASSERT(close);
        return pc_bytes_of(authority.p + 1, (size_t)(close - authority.p - 1));
    }
    const uint8_t *colon = authority.n ? memchr(authority.p, ':', authority.n) : NULL;
    return colon ? pc_bytes_of(authority.p, (size_t)(colon - authority.p)) : authority;
}
