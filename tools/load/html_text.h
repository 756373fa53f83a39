/* SPDX-License-Identifier: Apache-2.0
 * Text on its way into a page or a chart. Names of classes, commands, machines come from outside:
 * nothing reaches HTML but through here. Any thread. */
#ifndef LD_HTML_TEXT_H
#define LD_HTML_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include "base/def.h"

/* text with < > & " ' as entities; control characters and malformed UTF-8 become U+FFFD. Good for
 * contents and for quoted attributes. NULL is nothing. */
void ld_html_text(FILE *f, const char *text);

/* At most cap characters of it, an ellipsis for the rest. */
void ld_html_text_cut(FILE *f, const char *text, size_t cap);

/* Formats first, then escapes all of it; at most 1 KiB. */
void ld_html_printf(FILE *f, const char *format, ...) PC_PRINTF(2, 3);

/* Bytes of the UTF-8 character at s, which has n bytes left; 0: malformed. */
size_t ld_utf8_length(const unsigned char *s, size_t n);

#endif
