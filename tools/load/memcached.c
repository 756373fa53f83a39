/* SPDX-License-Identifier: Apache-2.0
 * Answers of memcached's text protocol that are one line: of the meta commands mg (without v), ms,
 * md, and of what fails. RESP in all else: pipelined, in order, compared by their beginning.
 *
 *     HD CRLF    EN CRLF    NS CRLF    STORED CRLF    SERVER_ERROR text CRLF
 *
 * Answers with a data block (get, mg with v) are malformed here: their first line is no answer. */
#include <string.h>

#include "load/protocol.h"

/* The status is the line's first character, as in RESP. */
static void answer_of(const uint8_t *line, size_t n, struct ld_answer *a)
{
    a->status = *line;
    a->head = line;
    a->head_bytes = (uint32_t)n - 2;
    a->body = NULL;
    a->body_bytes = 0;
    a->cut = false;
}

static bool is_answer(const uint8_t *line, size_t n)
{
    return n >= 4 && n <= LD_LINE_MAX && line[n - 2] == '\r' && *line >= 'A' && *line <= 'Z' &&
           memcmp(line, "VA ", 3) != 0 && !(n > 6 && memcmp(line, "VALUE ", 6) == 0);
}

static enum ld_parse parse_line(struct ld_parser *s, const uint8_t *p, size_t n, bool no_body,
                                size_t *ret_used, struct ld_answer *a)
{
    (void)no_body;
    const uint8_t *nl = memchr(p, '\n', n), *line = p;
    size_t bytes = nl ? (size_t)(nl + 1 - p) : n;
    *ret_used = bytes;
    if (s->stage || !nl) { /* in pieces: what came before is in s->body */
        if (!s->stage)
            s->body.bytes = 0;
        s->stage = !nl;
        if (!ld_gather_add(&s->body, p, bytes, LD_LINE_MAX))
            return LD_PARSE_BAD;
        if (!nl)
            return LD_PARSE_MORE;
        line = s->body.p;
        bytes = s->body.bytes;
    }
    if (!is_answer(line, bytes))
        return LD_PARSE_BAD;
    answer_of(line, bytes, a);
    return LD_PARSE_ANSWER;
}

static enum ld_parse end_line(struct ld_parser *s, struct ld_answer *a)
{
    (void)s;
    (void)a;
    return LD_PARSE_BAD;
}

const struct ld_protocol ld_memcached = {"memcached", parse_line, end_line};
