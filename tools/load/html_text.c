/* SPDX-License-Identifier: Apache-2.0
 * Escaping. Works on characters, not bytes: a page with half a character in it is not well-formed,
 * and a browser would guess. Any thread; writes to the FILE given. */
#include "load/html_text.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

/* First bytes of well-formed sequences (Unicode 15, table 3-7), with the second byte's range where
 * it is narrower than 80..BF: that excludes overlong forms and surrogates. */
static const struct {
    unsigned char first, last, length, second_min, second_max;
} leads[] = {
    {0x00, 0x7f, 1, 0,    0   },
    {0xc2, 0xdf, 2, 0x80, 0xbf},
    {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf},
    {0xed, 0xed, 3, 0x80, 0x9f},
    {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf},
    {0xf1, 0xf3, 4, 0x80, 0xbf},
    {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t ld_utf8_length(const unsigned char *s, size_t n)
{
    for (size_t i = 0; n && i < PC_COUNT(leads); i++) {
        if (s[0] < leads[i].first || s[0] > leads[i].last)
            continue;
        size_t length = leads[i].length;
        if (length > n)
            return 0;
        if (length > 1 && (s[1] < leads[i].second_min || s[1] > leads[i].second_max))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

static const char *entity(unsigned char c)
{
    switch (c) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: break;
    }
    bool control = (c < 0x20 && c != '\t' && c != '\n') || c == 0x7f;
    return control ? "\xef\xbf\xbd" : NULL;
}

/* C1 controls and the two noncharacters that XML forbids. */
static bool is_forbidden(const unsigned char *s, size_t length)
{
    return (length == 2 && s[0] == 0xc2 && s[1] < 0xa0) ||
           (length == 3 && s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe);
}

void ld_html_text_cut(FILE *f, const char *text, size_t cap)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t left = text ? strlen(text) : 0;
    for (size_t shown = 0; left; shown++) {
        if (shown == cap) {
            fputs("\xe2\x80\xa6", f);
            return;
        }
        size_t length = ld_utf8_length(s, left);
        const char *as = entity(s[0]);
        if (!length || is_forbidden(s, length))
            fputs("\xef\xbf\xbd", f);
        else if (length == 1 && as)
            fputs(as, f);
        else
            fwrite(s, 1, length, f);
        s += length ? length : 1;
        left -= length ? length : 1;
    }
}

void ld_html_text(FILE *f, const char *text)
{
    ld_html_text_cut(f, text, SIZE_MAX);
}

void ld_html_printf(FILE *f, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ld_html_text(f, text);
}
