/* SPDX-License-Identifier: Apache-2.0
 * The HTTP/1 request head parser. Pure; runs on the connection's core; keeps nothing but what is
 * in struct pc_http_request.
 *
 * One pass, line by line: method, target, version, then name and value of each field, each found
 * by a run scanner. What concerns the message as a whole (framing, Host, Connection) is judged
 * when the empty line was seen, by looking the known fields up.
 *
 * I1: no byte below scan.pos is looked at again before the head is complete.
 * I2: every verdict depends on the bytes up to a position fixed by the bytes themselves (limits
 *     clip the view), so it is the same however the input was cut.
 * I3: all offsets fit 16 bits: the view never reaches beyond PC_HTTP_HEAD_MAX. */
#include "edge/wire/http1.h"

#include "edge/wire/chars.h"
#include "edge/wire/field_table.h"
#include "edge/wire/path.h"

enum {
    AT_START, /* an empty line may come first */
    AT_METHOD,
    AT_TARGET,
    AT_VERSION,
    AT_NAME,
    AT_VALUE,
    AT_END, /* a verdict was given */
};

#define GO_ON 1 /* internal: this step is complete; never returned to the caller */

const struct pc_http1_limits pc_http1_limits_default = {
    .request_line_bytes = PC_HTTP1_REQUEST_LINE_BYTES,
    .header_bytes = PC_HTTP1_HEADER_BYTES,
    .fields = PC_HTTP_FIELDS_MAX,
    .body_bytes = PC_HTTP1_BODY_BYTES,
};

static const struct {
    uint16_t status;
    const char *text;
} reasons[PC_HTTP1_REASON_COUNT] = {
#define REASON_ROW(name, status, text) [PC_HTTP1_##name] = {status, text},
    PC_HTTP1_REASONS(REASON_ROW)
#undef REASON_ROW
};

/* The readable part of the input: clipped to the limit that applies to the current line. */
struct view {
    const uint8_t *base, *end;
    bool clipped; /* the limit is reached: more bytes cannot help */
};

static struct view view_of(const uint8_t *base, size_t n, size_t limit)
{
    return (struct view){base, base + (n < limit ? n : limit), n >= limit};
}

void pc_http1_reset(struct pc_http_request *r)
{
    memset(r, 0, offsetof(struct pc_http_request, known));
}

bool pc_http1_started(const struct pc_http_request *r)
{
    return r->scan.pos > r->scan.line || r->scan.state > AT_METHOD;
}

enum pc_http1_reason pc_http1_reason(const struct pc_http_request *r)
{
    return (enum pc_http1_reason)r->scan.reason;
}

const char *pc_http1_reason_text(enum pc_http1_reason reason)
{
    PC_ASSERT(reason < PC_HTTP1_REASON_COUNT);
    return reasons[reason].text;
}

static PC_COLD int fail(struct pc_http_request *r, enum pc_http1_reason reason)
{
    r->scan.state = AT_END;
    r->scan.reason = (uint8_t)reason;
    return -(int)reasons[reason].status;
}

/* Input ends at p within a line: remember it, or refuse if the line or block is at its limit. */
static int more(struct pc_http_request *r, struct view v, const uint8_t *p,
                enum pc_http1_reason when_clipped)
{
    PC_ASSERT(p >= v.base + r->scan.pos); /* I1 */
    r->scan.pos = (uint16_t)(p - v.base);
    return v.clipped ? fail(r, when_clipped) : PC_HTTP1_MORE;
}

static struct pc_http_span span_of(const uint8_t *base, struct pc_bytes part)
{
    if (part.n == 0)
        return (struct pc_http_span){0, 0};
    return (struct pc_http_span){(uint16_t)(part.p - base), (uint16_t)part.n};
}

/* ---- request line ---- */

/* RFC 9112 section 2.2: one empty line before the request line is tolerated. */
static int skip_empty_line(struct pc_http_request *r, const uint8_t *base, size_t n)
{
    if (n == 0)
        return PC_HTTP1_MORE;
    if (base[0] == '\n')
        return fail(r, PC_HTTP1_BARE_LF);
    if (base[0] == '\r') {
        if (n == 1)
            return PC_HTTP1_MORE;
        if (base[1] != '\n')
            return fail(r, PC_HTTP1_BARE_CR);
        r->scan.line = r->scan.pos = 2;
    }
    r->scan.state = AT_METHOD;
    return GO_ON;
}

static int read_method(struct pc_http_request *r, struct view v)
{
    const uint8_t *line = v.base + r->scan.line;
    const uint8_t *p = pc_scan_token(v.base + r->scan.pos, v.end);
    if (p - line > PC_HTTP1_METHOD_BYTES)
        return fail(r, PC_HTTP1_METHOD_LONG);
    if (p == v.end)
        return more(r, v, p, PC_HTTP1_LINE_LONG);
    if (*p != ' ' || p == line)
        return fail(r, PC_HTTP1_METHOD);
    r->method_name = (struct pc_http_span){r->scan.line, (uint16_t)(p - line)};
    r->scan.mark = r->scan.pos = (uint16_t)(p + 1 - v.base);
    r->scan.state = AT_TARGET;
    return GO_ON;
}

static int read_target(struct pc_http_request *r, struct view v)
{
    const uint8_t *p = pc_scan_visible(v.base + r->scan.pos, v.end);
    if (p == v.end)
        return more(r, v, p, PC_HTTP1_LINE_LONG);
    if (*p != ' ')
        return fail(r, PC_HTTP1_TARGET_BYTE);
    r->target = (struct pc_http_span){r->scan.mark, (uint16_t)(p - v.base - r->scan.mark)};
    r->scan.pos = (uint16_t)(p + 1 - v.base);
    r->scan.state = AT_VERSION;
    return GO_ON;
}

/* Whether one of the eight bytes at p is `byte`. */
static inline bool has_byte(const uint8_t *p, uint8_t byte)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x;
    memcpy(&x, p, sizeof x);
    x ^= ones * byte;
    return (x - ones) & ~x & ones << 7;
}

/* "/path?query": the common case, without a second look at the path. The version, which was read,
 * stands behind the target: eight bytes from any of its bytes on are there. */
static int split_origin_form(struct pc_http_request *r, struct pc_bytes target)
{
    size_t i = 0;
    while (i < target.n && !has_byte(target.p + i, '?') && !has_byte(target.p + i, '#'))
        i += 8;
    i = i < target.n ? i : target.n;
    while (i < target.n && target.p[i] != '?' && target.p[i] != '#')
        i++;
    r->path = (struct pc_http_span){r->target.off, (uint16_t)i};
    if (i == target.n)
        return GO_ON;
    if (memchr(target.p + i, '#', target.n - i))
        return fail(r, PC_HTTP1_TARGET);
    r->has_query = true;
    r->query =
        (struct pc_http_span){(uint16_t)(r->target.off + i + 1), (uint16_t)(target.n - i - 1)};
    return GO_ON;
}

static int split_absolute_form(struct pc_http_request *r, struct pc_bytes target)
{
    struct pc_uri uri;
    if (pc_uri_split(target, &uri))
        return fail(r, PC_HTTP1_TARGET);
    r->form = PC_FORM_ABSOLUTE;
    r->authority = span_of(r->base, uri.authority);
    r->path = span_of(r->base, uri.path);
    r->query = span_of(r->base, uri.query);
    r->has_query = uri.has_query;
    return GO_ON;
}

static int split_target(struct pc_http_request *r)
{
    struct pc_bytes method = pc_http_bytes(r, r->method_name);
    struct pc_bytes target = pc_http_bytes(r, r->target);
    r->method = (uint8_t)pc_http_method_of(method);
    if (target.n == 0)
        return fail(r, PC_HTTP1_TARGET);
    if (r->method == PC_METHOD_OTHER && pc_bytes_eq(method, PC_LIT("CONNECT")))
        return fail(r, PC_HTTP1_CONNECT);
    if (PC_LIKELY(target.p[0] == '/'))
        return split_origin_form(r, target);
    if (target.n == 1 && target.p[0] == '*' && r->method == PC_METHOD_OPTIONS) {
        r->form = PC_FORM_ASTERISK;
        r->path = r->target;
        return GO_ON;
    }
    return split_absolute_form(r, target);
}

static bool is_preface(const struct pc_http_request *r)
{
    return pc_bytes_eq(pc_http_bytes(r, r->method_name), PC_LIT("PRI")) &&
           pc_bytes_eq(pc_http_bytes(r, r->target), PC_LIT("*"));
}

static int read_version(struct pc_http_request *r, struct view v)
{
    const uint8_t *p = v.base + r->scan.pos;
    if (v.end - p < 10)
        return more(r, v, p, PC_HTTP1_LINE_LONG);
    if (memcmp(p, "HTTP/", 5) || !pc_char_is(p[5], PC_CHAR_DIGIT) || p[6] != '.' ||
        !pc_char_is(p[7], PC_CHAR_DIGIT) || p[8] != '\r' || p[9] != '\n')
        return fail(r, PC_HTTP1_VERSION_SYNTAX);
    if (p[5] != '1') {
        if (p[5] != '2' || p[7] != '0' || !is_preface(r))
            return fail(r, PC_HTTP1_VERSION);
        r->scan.state = AT_END;
        return PC_HTTP1_PREFACE;
    }
    r->minor = p[7] != '0';
    r->scan.line = r->scan.pos = r->scan.fields_at = (uint16_t)(p + 10 - v.base);
    r->scan.state = AT_NAME;
    return split_target(r);
}

static int read_request_line(struct pc_http_request *r, const struct pc_http1_limits *limits,
                             const uint8_t *base, size_t n)
{
    int rc = GO_ON;
    if (r->scan.state == AT_START && (rc = skip_empty_line(r, base, n)) != GO_ON)
        return rc;
    struct view v = view_of(base, n, r->scan.line + limits->request_line_bytes + 2u);
    if (r->scan.state == AT_METHOD && (rc = read_method(r, v)) != GO_ON)
        return rc;
    if (r->scan.state == AT_TARGET && (rc = read_target(r, v)) != GO_ON)
        return rc;
    return read_version(r, v);
}

/* ---- fields ---- */

/* The line does not begin with a name and a colon: which mistake is it? */
static PC_COLD int name_error(struct pc_http_request *r, const uint8_t *line, const uint8_t *p)
{
    if (p == line && pc_char_blank(*p))
        return fail(r, PC_HTTP1_FOLDED);
    if (p == line && *p == '\r')
        return fail(r, PC_HTTP1_BARE_CR);
    return fail(r, p == line && *p == '\n' ? PC_HTTP1_BARE_LF : PC_HTTP1_FIELD_NAME);
}

/* One field line: the name ends at its colon, the value at cr. */
static inline void keep_field(struct pc_http_request *r, const uint8_t *line, const uint8_t *colon,
                              const uint8_t *cr)
{
    const uint8_t *value = colon + 1, *end = cr;
    while (pc_char_blank(*value)) /* stops at cr at the latest */
        value++;
    while (end > value && pc_char_blank(end[-1]))
        end--;
    size_t name_n = (size_t)(colon - line);
    uint8_t id = pc_field_lookup(line, name_n), index = r->n_fields++;
    struct pc_http_field *f = &r->fields[index];
    f->name = (struct pc_http_span){(uint16_t)(line - r->base), (uint16_t)name_n};
    f->value = (struct pc_http_span){(uint16_t)(value - r->base), (uint16_t)(end - value)};
    f->id = id;
    uint64_t bit = UINT64_C(1) << id;
    r->repeated |= r->seen & bit;
    if (!(r->seen & bit))
        r->known[id] = index;
    r->seen |= bit;
}

/* Input ends at p, in the line that begins at `line`; its name ends at colon, if it was seen. */
static int more_fields(struct pc_http_request *r, struct view v, const uint8_t *line,
                       const uint8_t *colon, const uint8_t *p)
{
    r->scan.line = (uint16_t)(line - v.base);
    r->scan.state = colon ? AT_VALUE : AT_NAME;
    if (colon)
        r->scan.mark = (uint16_t)(colon - v.base);
    return more(r, v, p, PC_HTTP1_HEADER_LARGE);
}

/* The bytes at p end no field value properly, or p is where the input ends. */
static int value_error(struct pc_http_request *r, struct view v, const uint8_t *line,
                       const uint8_t *colon, const uint8_t *p)
{
    if (p == v.end || (*p == '\r' && p + 1 == v.end))
        return more_fields(r, v, line, colon, p);
    if (*p == '\r')
        return fail(r, PC_HTTP1_BARE_CR);
    return fail(r, *p == '\n' ? PC_HTTP1_BARE_LF : PC_HTTP1_FIELD_BYTE);
}

/* What stands at p is no name followed by a colon: the empty line, a mistake, or the end of the
 * input. */
static int end_fields(struct pc_http_request *r, struct view v, const uint8_t *line,
                      const uint8_t *p)
{
    if (p == v.end || (p == line && *p == '\r' && p + 1 == v.end))
        return more_fields(r, v, line, NULL, p);
    if (p != line || *p != '\r' || p[1] != '\n')
        return name_error(r, line, p);
    r->head_n = (uint16_t)(p + 2 - v.base);
    return GO_ON;
}

/* Reads field lines up to and with the empty line. The place is kept in locals and written back
 * only where the input ends: this loop is most of what a request costs. */
static int read_fields(struct pc_http_request *r, const struct pc_http1_limits *limits,
                       struct view v)
{
    const uint8_t *line = v.base + r->scan.line, *p = v.base + r->scan.pos;
    const uint8_t *colon = r->scan.state == AT_VALUE ? v.base + r->scan.mark : NULL;
    for (;;) {
        if (PC_LIKELY(!colon)) {
            p = pc_scan_token(p, v.end);
            if (PC_UNLIKELY(p == v.end || *p != ':' || p == line))
                return end_fields(r, v, line, p);
            colon = p++;
        }
        p = pc_scan_text(p, v.end);
        if (PC_UNLIKELY(v.end - p < 2 || p[0] != '\r' || p[1] != '\n'))
            return value_error(r, v, line, colon, p);
        if (PC_UNLIKELY(r->n_fields >= limits->fields))
            return fail(r, PC_HTTP1_FIELDS_MANY);
        keep_field(r, line, colon, p);
        line = p += 2;
        colon = NULL;
    }
}

/* ---- the message as a whole ---- */

/* Cuts the next element off a comma-separated list and trims it; false at the end. */
static bool next_element(struct pc_bytes *list, struct pc_bytes *ret_element)
{
    if (!list->p)
        return false;
    const uint8_t *comma = list->n ? memchr(list->p, ',', list->n) : NULL;
    size_t n = comma ? (size_t)(comma - list->p) : list->n;
    struct pc_bytes e = {list->p, n};
    *list = comma ? pc_bytes_of(comma + 1, list->n - n - 1) : pc_bytes_of(NULL, 0);
    while (e.n && pc_char_blank(e.p[0]))
        e.p++, e.n--;
    while (e.n && pc_char_blank(e.p[e.n - 1]))
        e.n--;
    *ret_element = e;
    return true;
}

static bool is_token(struct pc_bytes s)
{
    return s.n && pc_scan_token(s.p, s.p + s.n) == s.p + s.n;
}

static int judge_host(struct pc_http_request *r)
{
    if (!pc_http_has(r, PC_FIELD_HOST))
        return r->minor ? fail(r, PC_HTTP1_HOST_MISSING) : GO_ON;
    if (pc_http_repeated(r, PC_FIELD_HOST))
        return fail(r, PC_HTTP1_HOST_REPEATED);
    if (!pc_authority_valid(pc_http_value(r, PC_FIELD_HOST)))
        return fail(r, PC_HTTP1_HOST_SYNTAX);
    if (r->form != PC_FORM_ABSOLUTE)
        r->authority = r->fields[r->known[PC_FIELD_HOST]].value;
    return GO_ON;
}

/* One Transfer-Encoding field; scan.any_coding: another coding than chunked was named. */
static int judge_codings(struct pc_http_request *r, struct pc_bytes list)
{
    struct pc_bytes coding;
    while (next_element(&list, &coding)) {
        if (r->chunked || coding.n == 0)
            return fail(r, PC_HTTP1_CODING_SYNTAX);
        if (pc_bytes_eq_nocase(coding, PC_LIT("chunked"))) {
            r->chunked = true;
            continue;
        }
        struct pc_bytes name = coding; /* a known coding takes no parameters */
        const uint8_t *semicolon = memchr(coding.p, ';', coding.n);
        if (semicolon)
            name.n = (size_t)(semicolon - coding.p);
        while (name.n && pc_char_blank(name.p[name.n - 1]))
            name.n--;
        if (!is_token(name) || pc_bytes_eq_nocase(name, PC_LIT("chunked")))
            return fail(r, PC_HTTP1_CODING_SYNTAX);
        r->scan.any_coding = true;
    }
    return GO_ON;
}

static int judge_transfer_encoding(struct pc_http_request *r)
{
    if (pc_http_has(r, PC_FIELD_CONTENT_LENGTH))
        return fail(r, PC_HTTP1_LENGTH_AND_CODING);
    if (r->minor == 0)
        return fail(r, PC_HTTP1_CODING_HTTP10);
    for (unsigned i = r->known[PC_FIELD_TRANSFER_ENCODING]; i < r->n_fields; i++) {
        if (r->fields[i].id != PC_FIELD_TRANSFER_ENCODING)
            continue;
        int rc = judge_codings(r, pc_http_bytes(r, r->fields[i].value));
        if (rc != GO_ON)
            return rc;
    }
    return r->scan.any_coding ? fail(r, PC_HTTP1_CODING_UNKNOWN) : GO_ON;
}

static int judge_content_length(struct pc_http_request *r, const struct pc_http1_limits *limits)
{
    if (pc_http_repeated(r, PC_FIELD_CONTENT_LENGTH))
        return fail(r, PC_HTTP1_LENGTH_REPEATED);
    if (pc_bytes_to_u64(pc_http_value(r, PC_FIELD_CONTENT_LENGTH), &r->content_length))
        return fail(r, PC_HTTP1_LENGTH_SYNTAX);
    return r->content_length > limits->body_bytes ? fail(r, PC_HTTP1_BODY_LARGE) : GO_ON;
}

static int judge_connection(struct pc_http_request *r)
{
    for (unsigned i = r->known[PC_FIELD_CONNECTION]; i < r->n_fields; i++) {
        if (r->fields[i].id != PC_FIELD_CONNECTION)
            continue;
        struct pc_bytes list = pc_http_bytes(r, r->fields[i].value), option;
        while (next_element(&list, &option)) {
            if (option.n && !is_token(option))
                return fail(r, PC_HTTP1_CONNECTION_SYNTAX);
            if (pc_bytes_eq_nocase(option, PC_LIT("close")))
                r->scan.connection_close = true;
            else if (pc_bytes_eq_nocase(option, PC_LIT("keep-alive")))
                r->scan.connection_keep_alive = true;
        }
    }
    return GO_ON;
}

static int judge_expect(struct pc_http_request *r)
{
    if (pc_http_repeated(r, PC_FIELD_EXPECT) ||
        !pc_bytes_eq_nocase(pc_http_value(r, PC_FIELD_EXPECT), PC_LIT("100-continue")))
        return fail(r, PC_HTTP1_EXPECT_UNKNOWN);
    /* RFC 9110 section 10.1.1: ignored in HTTP/1.0, and without a body nobody waits. */
    r->expect_continue = r->minor && (r->chunked || r->content_length);
    return GO_ON;
}

/* The empty line was read: framing, host and connection options. Returns the bytes of the head. */
static int judge_message(struct pc_http_request *r, const struct pc_http1_limits *limits)
{
    int rc = judge_host(r);
    if (rc == GO_ON && pc_http_has(r, PC_FIELD_TRANSFER_ENCODING))
        rc = judge_transfer_encoding(r);
    else if (rc == GO_ON && pc_http_has(r, PC_FIELD_CONTENT_LENGTH))
        rc = judge_content_length(r, limits);
    if (rc == GO_ON && pc_http_has(r, PC_FIELD_CONNECTION))
        rc = judge_connection(r);
    if (rc == GO_ON && pc_http_has(r, PC_FIELD_EXPECT))
        rc = judge_expect(r);
    if (rc != GO_ON)
        return rc;
    r->keep_alive = !r->scan.connection_close && (r->minor || r->scan.connection_keep_alive);
    r->scan.state = AT_END;
    return r->head_n;
}

int pc_http1_parse(struct pc_http_request *r, const struct pc_http1_limits *limits,
                   const uint8_t *base, size_t n)
{
    PC_ASSERT(limits->fields <= PC_HTTP_FIELDS_MAX);
    PC_ASSERT(limits->request_line_bytes + limits->header_bytes + 4u <= PC_HTTP_HEAD_MAX); /* I3 */
    PC_ASSERT(r->scan.state != AT_END && r->scan.pos <= n);
    int rc = GO_ON;
    r->base = base;
    if (r->scan.state < AT_NAME && (rc = read_request_line(r, limits, base, n)) != GO_ON)
        return rc;
    struct view v = view_of(base, n, r->scan.fields_at + limits->header_bytes);
    rc = read_fields(r, limits, v);
    return rc == GO_ON ? judge_message(r, limits) : rc;
}
