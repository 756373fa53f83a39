/* SPDX-License-Identifier: Apache-2.0
 * Answers of HTTP/1.1 (and 1.0), as RFC 9112 frames them:
 *
 *     status line CRLF (field CRLF)* CRLF
 *       1xx              no answer: the next header block follows     (101 is none we asked for)
 *       204, 304, HEAD   no body
 *       chunked          chunk-size [;extension] CRLF data CRLF … 0 CRLF trailers CRLF
 *       Content-Length   that many bytes
 *       neither          until the connection is closed
 *
 * An answer that is whole in one receive is never copied. One in pieces is gathered: the header
 * block up to LD_HEAD_BYTES_MAX (more is malformed), the body up to LD_BODY_BYTES_MAX (more is
 * read and dropped). A bare LF ends a line too. */
#include <string.h>
#include <strings.h>

#include "load/protocol.h"

enum stage { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, FIRST_TRAILER_BYTE };

/* What a header block says about the answer. */
struct framing {
    int status;
    bool old, chunked, has_length, closes, keeps;
    uint64_t length;
};

static bool parse_status_line(struct framing *f, const uint8_t *p, size_t n)
{
    if (n < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
        return false;
    f->old = p[7] == '0';
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        f->status = f->status * 10 + (p[i] - '0');
    }
    return f->status >= 100 && (n == 12 || p[12] == ' ' || p[12] == '\r');
}

static bool parse_length(struct framing *f, const uint8_t *p, size_t n)
{
    uint64_t value = 0;
    if (n == 0 || n > 18) /* 10^18 bytes are enough */
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    if (f->has_length && f->length != value)
        return false; /* two lengths: whoever is right, nobody knows where the answer ends */
    f->has_length = true;
    f->length = value;
    return true;
}

/* The value without the white space around it. */
static const uint8_t *trimmed(const uint8_t *p, size_t *n)
{
    while (*n && (*p == ' ' || *p == '\t')) {
        p++;
        --*n;
    }
    while (*n && (p[*n - 1] == ' ' || p[*n - 1] == '\t' || p[*n - 1] == '\r'))
        --*n;
    return p;
}

static bool is_word(const uint8_t *p, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp((const char *)p, word, n) == 0;
}

static bool begins(const uint8_t *p, size_t n, const char *name, size_t name_bytes)
{
    return n >= name_bytes && strncasecmp((const char *)p, name, name_bytes) == 0;
}

/* One field line, without its line end. Only three fields matter, so the first letter decides. */
static bool parse_field(struct framing *f, const uint8_t *p, size_t n)
{
    static const char length[] = "content-length:", coding[] = "transfer-encoding:",
                      connection[] = "connection:";
    const uint8_t letter = *p | 0x20;
    if (letter == 'c' && begins(p, n, length, sizeof(length) - 1)) {
        n -= sizeof(length) - 1;
        p = trimmed(p + sizeof(length) - 1, &n);
        return parse_length(f, p, n);
    }
    if (letter == 'c' && begins(p, n, connection, sizeof(connection) - 1)) {
        n -= sizeof(connection) - 1;
        p = trimmed(p + sizeof(connection) - 1, &n);
        f->closes |= is_word(p, n, "close");
        f->keeps |= is_word(p, n, "keep-alive");
    } else if (letter == 't' && begins(p, n, coding, sizeof(coding) - 1)) {
        n -= sizeof(coding) - 1;
        p = trimmed(p + sizeof(coding) - 1, &n);
        f->chunked = is_word(p, n, "chunked");
        return f->chunked; /* we asked for no other coding */
    }
    return true;
}

/* The header block at p: its size; 0: incomplete; -1: malformed. */
static ssize_t parse_head(struct framing *f, const uint8_t *p, size_t n)
{
    const uint8_t *line = p, *end = p + n, *nl;
    while ((nl = memchr(line, '\n', (size_t)(end - line)))) {
        const size_t bytes = (size_t)(nl - line);
        if (bytes == 0 || (bytes == 1 && *line == '\r'))
            return line == p ? -1 : nl + 1 - p;
        if (!(line == p ? parse_status_line(f, line, bytes) : parse_field(f, line, bytes)))
            return -1;
        line = nl + 1;
    }
    return 0;
}

static bool is_interim(const struct framing *f)
{
    return f->status < 200 && f->status != 101;
}

static bool has_no_body(const struct framing *f, bool no_body)
{
    return no_body || f->status == 204 || f->status == 304 ||
           (!f->chunked && f->has_length && f->length == 0);
}

static enum ld_parse answer_of(struct ld_parser *s, struct ld_answer *a)
{
    s->stage = HEAD;
    a->status = s->status;
    a->head = s->head.p;
    a->head_bytes = (uint32_t)s->head.bytes;
    a->body = s->body.bytes ? s->body.p : NULL;
    a->body_bytes = (uint32_t)s->body.bytes;
    a->cut = s->cut;
    s->head.bytes = 0; /* the bytes stay until the next call adds others */
    return LD_PARSE_ANSWER;
}

/* The header block is known and in s->head; what follows is the body. */
static enum ld_parse begin_body(struct ld_parser *s, const struct framing *f, bool no_body,
                                struct ld_answer *a)
{
    s->status = f->status;
    s->closes = f->closes || (f->old && !f->keeps);
    s->cut = false;
    s->body.bytes = 0;
    if (f->status == 101)
        return LD_PARSE_BAD;
    if (has_no_body(f, no_body))
        return answer_of(s, a);
    s->stage = f->chunked ? CHUNK_SIZE : BODY;
    s->body_left = f->chunked ? 0 : f->has_length ? f->length : UINT64_MAX;
    if (!f->chunked && !f->has_length)
        s->closes = true;
    return LD_PARSE_MORE;
}

/* Adds what there is room for; the rest is dropped and said to be. */
static bool keep_body(struct ld_parser *s, const uint8_t *p, size_t n)
{
    const size_t kept = pc_min_u64(n, LD_BODY_BYTES_MAX - s->body.bytes);
    s->cut |= kept < n;
    return ld_gather_add(&s->body, p, kept, LD_BODY_BYTES_MAX);
}

/* The common case: header block and body are here, nothing is copied. */
static enum ld_parse parse_in_place(struct ld_parser *s, const struct framing *f, const uint8_t *p,
                                    size_t head, size_t n, bool no_body, size_t *ret_used,
                                    struct ld_answer *a)
{
    const bool empty = has_no_body(f, no_body);
    const size_t body = empty ? 0 : f->length;
    if (f->status == 101)
        return LD_PARSE_BAD;
    if (!empty &&
        (f->chunked || !f->has_length || f->length > n - head || f->length > LD_BODY_BYTES_MAX))
        return LD_PARSE_MORE;
    s->closes = f->closes || (f->old && !f->keeps);
    a->status = f->status;
    a->head = p;
    a->head_bytes = (uint32_t)head;
    a->body = body ? p + head : NULL;
    a->body_bytes = (uint32_t)body;
    a->cut = false;
    *ret_used = head + body;
    return LD_PARSE_ANSWER;
}

/* Bytes of a header block that comes in pieces: *ret_step of them. */
static enum ld_parse gather_head(struct ld_parser *s, const uint8_t *p, size_t n, bool no_body,
                                 size_t *ret_step, struct ld_answer *a)
{
    struct framing f = {0};
    const size_t before = s->head.bytes;
    const size_t part = pc_min_u64(n, LD_HEAD_BYTES_MAX - before);
    if (part == 0 || !ld_gather_add(&s->head, p, part, LD_HEAD_BYTES_MAX))
        return LD_PARSE_BAD;
    *ret_step = part;
    /* A header block ends in a line end: without a new one there is nothing to look at. */
    if (!memchr(p, '\n', part))
        return LD_PARSE_MORE;
    const ssize_t head = parse_head(&f, s->head.p, s->head.bytes);
    if (head < 0)
        return LD_PARSE_BAD;
    if (head == 0)
        return LD_PARSE_MORE;
    PC_ASSERT((size_t)head > before);
    *ret_step = (size_t)head - before;
    s->head.bytes = is_interim(&f) ? 0 : (size_t)head;
    return is_interim(&f) ? LD_PARSE_MORE : begin_body(s, &f, no_body, a);
}

static enum ld_parse take_head(struct ld_parser *s, const uint8_t *p, size_t n, bool no_body,
                               size_t *ret_step, struct ld_answer *a)
{
    struct framing f = {0};
    const ssize_t head = s->head.bytes ? 0 : parse_head(&f, p, n);
    if (head < 0)
        return LD_PARSE_BAD;
    if (head > LD_HEAD_BYTES_MAX)
        return LD_PARSE_BAD;
    if (head > 0 && is_interim(&f)) {
        *ret_step = (size_t)head;
        return LD_PARSE_MORE;
    }
    if (head > 0) {
        const enum ld_parse done = parse_in_place(s, &f, p, (size_t)head, n, no_body, ret_step, a);
        if (done != LD_PARSE_MORE)
            return done;
    }
    return gather_head(s, p, n, no_body, ret_step, a);
}

static enum ld_parse take_body(struct ld_parser *s, const uint8_t *p, size_t n, size_t *ret_step,
                               struct ld_answer *a)
{
    const size_t part = pc_min_u64(n, s->body_left);
    if (!keep_body(s, p, part))
        return LD_PARSE_BAD;
    *ret_step = part;
    if (s->body_left != UINT64_MAX)
        s->body_left -= part;
    return s->body_left ? LD_PARSE_MORE : answer_of(s, a);
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A chunk's size line, byte by byte: scanned counts the line's bytes, left[0] is 1 in the part
 * after the digits. */
static enum ld_parse take_chunk_size(struct ld_parser *s, uint8_t c)
{
    const int digit = hex_of(c);
    if (c == '\n') {
        if (s->scanned == 0)
            return LD_PARSE_BAD;
        s->stage = s->body_left ? CHUNK_DATA : FIRST_TRAILER_BYTE;
        s->scanned = 0;
        s->left[0] = 0;
        return LD_PARSE_MORE;
    }
    if (++s->scanned > LD_LINE_MAX || (digit < 0 && s->scanned == 1))
        return LD_PARSE_BAD;
    if (digit < 0) {
        if (!s->left[0] && c != ';' && c != ' ' && c != '\t' && c != '\r')
            return LD_PARSE_BAD;
        s->left[0] = 1;
    } else if (!s->left[0]) {
        if (s->body_left >> 55)
            return LD_PARSE_BAD;
        s->body_left = s->body_left << 4 | (uint64_t)digit;
    }
    return LD_PARSE_MORE;
}

static enum ld_parse take_trailer(struct ld_parser *s, uint8_t c, struct ld_answer *a)
{
    const bool line_is_empty = s->stage == FIRST_TRAILER_BYTE;
    if (++s->scanned > LD_HEAD_BYTES_MAX)
        return LD_PARSE_BAD;
    if (c == '\n') {
        s->stage = FIRST_TRAILER_BYTE;
        if (!line_is_empty)
            return LD_PARSE_MORE;
        s->scanned = 0;
        return answer_of(s, a);
    }
    if (c != '\r')
        s->stage = TRAILER;
    return LD_PARSE_MORE;
}

static enum ld_parse take_chunk_end(struct ld_parser *s, uint8_t c)
{
    if (c == '\r')
        return LD_PARSE_MORE;
    s->stage = CHUNK_SIZE;
    return c == '\n' ? LD_PARSE_MORE : LD_PARSE_BAD;
}

static enum ld_parse take_chunk_data(struct ld_parser *s, const uint8_t *p, size_t n,
                                     size_t *ret_step)
{
    const size_t part = pc_min_u64(n, s->body_left);
    *ret_step = part;
    s->body_left -= part;
    if (s->body_left == 0)
        s->stage = CHUNK_END;
    return keep_body(s, p, part) ? LD_PARSE_MORE : LD_PARSE_BAD;
}

static enum ld_parse parse_http1(struct ld_parser *s, const uint8_t *p, size_t n, bool no_body,
                                 size_t *ret_used, struct ld_answer *a)
{
    size_t used = 0;
    enum ld_parse done = LD_PARSE_MORE;
    while (used < n && done == LD_PARSE_MORE) {
        size_t step = 1;
        switch ((enum stage)s->stage) {
        case HEAD: done = take_head(s, p + used, n - used, no_body, &step, a); break;
        case BODY: done = take_body(s, p + used, n - used, &step, a); break;
        case CHUNK_SIZE: done = take_chunk_size(s, p[used]); break;
        case CHUNK_DATA: done = take_chunk_data(s, p + used, n - used, &step); break;
        case CHUNK_END: done = take_chunk_end(s, p[used]); break;
        case TRAILER:
        case FIRST_TRAILER_BYTE: done = take_trailer(s, p[used], a); break;
        }
        used += step;
    }
    *ret_used = used;
    return done;
}

static enum ld_parse end_http1(struct ld_parser *s, struct ld_answer *a)
{
    if (s->stage == BODY && s->body_left == UINT64_MAX)
        return answer_of(s, a);
    return LD_PARSE_BAD;
}

const struct ld_protocol ld_http1 = {"http/1.1", parse_http1, end_http1};
