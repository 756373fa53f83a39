/* SPDX-License-Identifier: Apache-2.0
 * The strict JSON reader. One pass over the text, a fixed stack of open containers, and no
 * recursion, so hostile nesting costs an error and not the stack. Owns nothing; pure.
 *
 * Tokens of {"a":[1,2],"b":null}     (next: the first token that is not part of the value)
 *
 *   index  0 object  1 name a  2 array  3 one  4 two  5 name b  6 null
 *   next   7         2         5        4      5      6         7
 *   count  2         hash      2        0      0      hash      0
 *
 * The members of an object are walked by name = name's value's next. While an object is open its
 * own `next` is 0; those of complete values in it are set. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>

#include "base/json_run.h"

struct parser {
    const uint8_t *text;
    uint32_t n, at;
    struct pc_json_token *tokens;
    uint32_t max, count;
    uint32_t depth, max_depth, max_members;
    uint32_t open[PC_JSON_DEPTH_MAX]; /* indices of the open containers' tokens */
    struct pc_json_error error;
};

static int refuse_at(struct parser *p, int err, uint32_t offset, const char *what)
{
    p->error = (struct pc_json_error){offset, what};
    return err;
}

static int refuse(struct parser *p, const char *what)
{
    return refuse_at(p, PC_E_SYNTAX, p->at, p->at < p->n ? what : "the text ends too early");
}

static inline void skip_space(struct parser *p)
{
    while (p->at < p->n) {
        uint8_t c = p->text[p->at];
        if (PC_LIKELY(c > ' ') || (c != ' ' && c != '\n' && c != '\r' && c != '\t'))
            return;
        p->at++;
    }
}

static int add_token(struct parser *p, enum pc_json_type type, uint32_t start, uint32_t n)
{
    if (p->count == p->max)
        return refuse_at(p, PC_E_TOO_LARGE, start, "too many values");
    uint32_t i = p->count++;
    p->tokens[i] = (struct pc_json_token){
        .start = start, .n = n, .next = p->count, .count = 0, .type = type, .escaped = false};
    return 0;
}

/* --- strings ----------------------------------------------------------------------------- */

/* Bytes of the valid UTF-8 sequence at s (n > 0 bytes are there), or 0 (Unicode table 3-7). */
static unsigned utf8_length(const uint8_t *s, size_t n)
{
    uint8_t low = 0x80, high = 0xbf;
    unsigned need;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (n < need)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0; /* shorter forms exist */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f; /* beyond U+10FFFF */
    if (s[1] < low || s[1] > high)
        return 0;
    for (unsigned i = 2; i < need; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of four hexadecimal digits, or -1. */
static int32_t hex4(const uint8_t *s)
{
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(s[i]);
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* At a backslash: steps over the escape. */
static int scan_escape(struct parser *p)
{
    const uint8_t *s = p->text + p->at;
    uint32_t left = p->n - p->at;
    if (left < 2)
        return refuse_at(p, PC_E_SYNTAX, p->n, "the text ends too early");
    if (s[1] != 'u') {
        if (s[1] == 0 || !strchr("\"\\/bfnrt", s[1]))
            return refuse(p, "unknown escape");
        p->at += 2;
        return 0;
    }
    int32_t code = left < 6 ? -1 : hex4(s + 2);
    if (code < 0)
        return refuse(p, "\\u without four hexadecimal digits");
    p->at += 6;
    if (code < 0xd800 || code > 0xdfff)
        return 0;
    bool paired = code < 0xdc00 && left >= 12 && s[6] == '\\' && s[7] == 'u';
    int32_t low = paired ? hex4(s + 8) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return refuse_at(p, PC_E_SYNTAX, p->at - 6, "lone surrogate");
    p->at += 6;
    return 0;
}

/* At the opening quote: adds the token and steps over the string. */
static int scan_string(struct parser *p)
{
    uint32_t start = ++p->at;
    bool escaped = false;
    int rc = 0;
    while (rc == 0) {
        p->at = (uint32_t)(pc_json_run(p->text + p->at, p->text + p->n) - p->text);
        if (p->at == p->n)
            return refuse(p, NULL);
        uint8_t c = p->text[p->at];
        if (c == '"')
            break;
        if (c == '\\') {
            escaped = true;
            rc = scan_escape(p);
        } else if (c < 0x20) {
            rc = refuse(p, "control character in a string");
        } else {
            unsigned step = utf8_length(p->text + p->at, p->n - p->at);
            if (step == 0)
                rc = refuse(p, "invalid UTF-8");
            p->at += step;
        }
    }
    if (rc == 0)
        rc = add_token(p, PC_JSON_STRING, start, p->at - start);
    if (rc)
        return rc;
    p->tokens[p->count - 1].escaped = escaped;
    p->at++;
    return 0;
}

static unsigned put_utf8(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    unsigned n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (unsigned i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)((0xf00 >> n) | code);
    return n;
}

/* The next character of a checked string at *at, unescaped; steps *at over it. */
static unsigned unescape(const uint8_t **at, uint8_t out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *s = *at;
    if (s[0] != '\\') {
        out[0] = s[0];
        *at = s + 1;
        return 1;
    }
    if (s[1] != 'u') {
        out[0] = (uint8_t)to[strchr(from, s[1]) - from];
        *at = s + 2;
        return 1;
    }
    uint32_t code = (uint32_t)hex4(s + 2);
    *at = s + 6;
    if (code >= 0xd800 && code <= 0xdfff) { /* scan_escape() saw the other half */
        code = 0x10000 + ((code - 0xd800) << 10) + ((uint32_t)hex4(s + 8) - 0xdc00);
        *at = s + 12;
    }
    return put_utf8(code, out);
}

/* --- names ------------------------------------------------------------------------------- */

/* FNV-1a of the unescaped name. Only saves comparisons: names with equal hashes are compared. */
static uint32_t hash_name(const uint8_t *text, const struct pc_json_token *t)
{
    const uint8_t *s = text + t->start, *end = s + t->n;
    uint32_t h = 2166136261u;
    uint8_t c[4];
    if (PC_LIKELY(!t->escaped)) {
        for (; s < end; s++)
            h = (h ^ *s) * 16777619u;
        return h;
    }
    while (s < end) {
        unsigned n = unescape(&s, c);
        for (unsigned i = 0; i < n; i++)
            h = (h ^ c[i]) * 16777619u;
    }
    return h;
}

static bool same_name(const uint8_t *text, const struct pc_json_token *a,
                      const struct pc_json_token *b)
{
    const uint8_t *s = text + a->start, *s_end = s + a->n;
    const uint8_t *t = text + b->start, *t_end = t + b->n;
    uint8_t c[4], d[4];
    if (!a->escaped && !b->escaped)
        return a->n == b->n && memcmp(s, t, a->n) == 0;
    unsigned have_c = 0, have_d = 0, at_c = 0, at_d = 0;
    for (;;) { /* byte by byte, because \u00e4 stands for two bytes that b may hold plainly */
        if (at_c == have_c && s < s_end) {
            have_c = unescape(&s, c);
            at_c = 0;
        }
        if (at_d == have_d && t < t_end) {
            have_d = unescape(&t, d);
            at_d = 0;
        }
        if (at_c == have_c || at_d == have_d)
            return at_c == have_c && at_d == have_d;
        if (c[at_c++] != d[at_d++])
            return false;
    }
}

/* At a name of the innermost object: adds its token, refuses a repeated one, eats the colon. */
static int scan_name(struct parser *p)
{
    uint32_t object = p->open[p->depth - 1], mine = p->count;
    if (p->at == p->n || p->text[p->at] != '"')
        return refuse(p, "expected a member name");
    int rc = scan_string(p);
    if (rc)
        return rc;
    struct pc_json_token *name = &p->tokens[mine];
    if (p->tokens[object].count++ == p->max_members)
        return refuse_at(p, PC_E_TOO_LARGE, name->start, "too many members");
    name->count = hash_name(p->text, name);
    for (uint32_t i = object + 1; i < mine; i = p->tokens[i + 1].next) {
        if (p->tokens[i].count == name->count && same_name(p->text, &p->tokens[i], name))
            return refuse_at(p, PC_E_DUPLICATE, name->start, "duplicate member");
    }
    skip_space(p);
    if (p->at == p->n || p->text[p->at] != ':')
        return refuse(p, "expected ':'");
    p->at++;
    return 0;
}

/* --- numbers, literals, containers ------------------------------------------------------- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Steps over digits; whether there was one. */
static bool skip_digits(struct parser *p)
{
    uint32_t start = p->at;
    while (p->at < p->n && is_digit(p->text[p->at]))
        p->at++;
    return p->at > start;
}

static bool skip_char(struct parser *p, const char *any_of)
{
    if (p->at == p->n || p->text[p->at] == 0 || !strchr(any_of, p->text[p->at]))
        return false;
    p->at++;
    return true;
}

static int scan_number(struct parser *p)
{
    uint32_t start = p->at;
    skip_char(p, "-");
    if (!skip_char(p, "0") && !skip_digits(p))
        return refuse(p, "unexpected character");
    if (skip_char(p, ".") && !skip_digits(p))
        return refuse(p, "expected a digit");
    if (skip_char(p, "eE")) {
        skip_char(p, "+-");
        if (!skip_digits(p))
            return refuse(p, "expected a digit");
    }
    return add_token(p, PC_JSON_NUMBER, start, p->at - start);
}

static int scan_word(struct parser *p, const char *word, enum pc_json_type type)
{
    uint32_t n = (uint32_t)strlen(word), left = p->n - p->at;
    if (left < n || memcmp(p->text + p->at, word, n) != 0)
        return refuse(p, "unexpected character");
    p->at += n;
    return add_token(p, type, p->at - n, n);
}

static int open_container(struct parser *p, enum pc_json_type type)
{
    if (p->depth == p->max_depth)
        return refuse_at(p, PC_E_TOO_LARGE, p->at, "nested too deeply");
    int rc = add_token(p, type, p->at, 0);
    if (rc)
        return rc;
    p->tokens[p->count - 1].next = 0;
    p->open[p->depth++] = p->count - 1;
    p->at++;
    return 0;
}

static void close_container(struct parser *p)
{
    PC_ASSERT(p->depth > 0);
    struct pc_json_token *t = &p->tokens[p->open[--p->depth]];
    PC_ASSERT(t->next == 0);
    p->at++;
    t->n = p->at - t->start;
    t->next = p->count;
}

/* Whether the next byte closes the innermost container. */
static bool at_close(const struct parser *p)
{
    bool object = p->tokens[p->open[p->depth - 1]].type == PC_JSON_OBJECT;
    return p->at < p->n && p->text[p->at] == (object ? '}' : ']');
}

/* At a value: adds its token; a container is left open. */
static int scan_value(struct parser *p)
{
    skip_space(p);
    if (p->at == p->n)
        return refuse(p, NULL);
    switch (p->text[p->at]) {
    case '"': return scan_string(p);
    case '{': return open_container(p, PC_JSON_OBJECT);
    case '[': return open_container(p, PC_JSON_ARRAY);
    case 't': return scan_word(p, "true", PC_JSON_BOOL);
    case 'f': return scan_word(p, "false", PC_JSON_BOOL);
    case 'n': return scan_word(p, "null", PC_JSON_NULL);
    default: return scan_number(p);
    }
}

/* Before the first value of a container just opened. */
static int enter_container(struct parser *p, bool *ret_value_follows)
{
    skip_space(p);
    *ret_value_follows = !at_close(p);
    if (*ret_value_follows && p->tokens[p->open[p->depth - 1]].type == PC_JSON_OBJECT)
        return scan_name(p);
    if (*ret_value_follows)
        p->tokens[p->open[p->depth - 1]].count++;
    return 0;
}

/* Behind a complete value: closes what ends here, up to the place of the next value. */
static int leave_value(struct parser *p, bool *ret_value_follows)
{
    *ret_value_follows = false;
    while (p->depth > 0) {
        struct pc_json_token *container = &p->tokens[p->open[p->depth - 1]];
        skip_space(p);
        if (at_close(p)) {
            close_container(p);
            continue;
        }
        if (!skip_char(p, ","))
            return refuse(p, "expected ',' or the end of the container");
        *ret_value_follows = true;
        skip_space(p);
        if (container->type == PC_JSON_OBJECT)
            return scan_name(p);
        container->count++;
        return 0;
    }
    return 0;
}

static int parse_all(struct parser *p)
{
    bool value_follows = true;
    int rc = 0;
    while (rc == 0 && value_follows) {
        uint32_t depth = p->depth;
        rc = scan_value(p);
        value_follows = false;
        if (rc == 0 && p->depth > depth)
            rc = enter_container(p, &value_follows);
        if (rc == 0 && !value_follows)
            rc = leave_value(p, &value_follows);
    }
    if (rc)
        return rc;
    skip_space(p);
    if (p->at != p->n)
        return refuse(p, "bytes after the value");
    PC_ASSERT(p->depth == 0 && p->tokens[0].next == p->count);
    return 0;
}

int pc_json_parse(struct pc_bytes text, struct pc_json_token *tokens, uint32_t max_tokens,
                  const struct pc_json_limits *limits, struct pc_json *ret_doc,
                  struct pc_json_error *error)
{
    static const struct pc_json_limits none;
    const struct pc_json_limits *l = limits ? limits : &none;
    uint32_t bytes = l->bytes ? l->bytes : PC_JSON_BYTES_DEFAULT;
    struct parser p = {.text = text.p,
                       .n = (uint32_t)text.n,
                       .tokens = tokens,
                       .max = max_tokens,
                       .max_depth = l->depth ? l->depth : PC_JSON_DEPTH_DEFAULT,
                       .max_members = l->members ? l->members : PC_JSON_MEMBERS_DEFAULT};
    PC_ASSERT(p.max_depth <= PC_JSON_DEPTH_MAX);
    int rc = text.n > bytes ? refuse_at(&p, PC_E_TOO_LARGE, bytes, "longer than its limit")
                            : parse_all(&p);
    if (rc == 0)
        *ret_doc = (struct pc_json){text, tokens, p.count};
    else if (error)
        *error = p.error;
    return rc;
}

void pc_json_place(struct pc_bytes text, uint32_t offset, uint32_t *ret_line, uint32_t *ret_column)
{
    uint32_t line = 1, start = 0;
    for (uint32_t i = 0; i < offset && i < text.n; i++) {
        if (text.p[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    *ret_line = line;
    *ret_column = offset - start + 1;
}

int pc_json_explain(struct pc_why *why, int err, struct pc_bytes text,
                    const struct pc_json_error *error)
{
    uint32_t line, column;
    pc_json_place(text, error->offset, &line, &column);
    return pc_fail(why, err, "line %u column %u: %s", line, column, error->what);
}

/* --- getters ----------------------------------------------------------------------------- */

static uint32_t index_of(const struct pc_json *doc, const struct pc_json_token *t)
{
    PC_ASSERT(t >= doc->tokens && t < doc->tokens + doc->count);
    return (uint32_t)(t - doc->tokens);
}

const struct pc_json_token *pc_json_first(const struct pc_json *doc,
                                          const struct pc_json_token *container)
{
    bool has = container && container->type >= PC_JSON_ARRAY && container->count > 0;
    return has ? &doc->tokens[index_of(doc, container) + 1] : NULL;
}

const struct pc_json_token *pc_json_next(const struct pc_json *doc,
                                         const struct pc_json_token *container,
                                         const struct pc_json_token *at)
{
    uint32_t next = container->type == PC_JSON_OBJECT ? at[1].next : at->next;
    PC_ASSERT(next > index_of(doc, at) && next <= container->next);
    return next < container->next ? &doc->tokens[next] : NULL;
}

static bool equals(const struct pc_json *doc, const struct pc_json_token *t, struct pc_bytes s)
{
    const uint8_t *at = doc->text.p + t->start, *end = at + t->n;
    if (!t->escaped)
        return t->n == s.n && (s.n == 0 || memcmp(at, s.p, s.n) == 0);
    uint8_t c[4];
    while (at < end) {
        unsigned k = unescape(&at, c);
        if (k > s.n || memcmp(s.p, c, k) != 0)
            return false;
        s = pc_bytes_of(s.p + k, s.n - k);
    }
    return s.n == 0;
}

bool pc_json_equals_bytes(const struct pc_json *doc, const struct pc_json_token *t,
                          struct pc_bytes s)
{
    return pc_json_type(t) == PC_JSON_STRING && equals(doc, t, s);
}

bool pc_json_equals(const struct pc_json *doc, const struct pc_json_token *t, const char *s)
{
    /* Tables of names are tried one after another: most differ in the first byte. */
    if (t && !t->escaped && t->n && doc->text.p[t->start] != (uint8_t)s[0])
        return false;
    return pc_json_equals_bytes(doc, t, pc_bytes_str(s));
}

const struct pc_json_token *pc_json_find(const struct pc_json *doc,
                                         const struct pc_json_token *object, struct pc_bytes name)
{
    if (pc_json_type(object) != PC_JSON_OBJECT)
        return NULL;
    PC_JSON_FOREACH(doc, object, member)
    {
        if (equals(doc, member, name))
            return pc_json_value(member);
    }
    return NULL;
}

const struct pc_json_token *pc_json_member(const struct pc_json *doc,
                                           const struct pc_json_token *object, const char *name)
{
    return pc_json_find(doc, object, pc_bytes_str(name));
}

/* 0, -ENOENT or -EINVAL, as every getter begins. */
static int expect(const struct pc_json_token *t, enum pc_json_type type)
{
    if (!t)
        return -ENOENT;
    return t->type == type ? 0 : -EINVAL;
}

int pc_json_string(const struct pc_json *doc, const struct pc_json_token *t, struct pc_buf *scratch,
                   struct pc_bytes *ret_string)
{
    int rc = expect(t, PC_JSON_STRING);
    if (rc)
        return rc;
    const uint8_t *s = doc->text.p + t->start, *end = s + t->n;
    if (!t->escaped) {
        *ret_string = pc_bytes_of(s, t->n);
        return 0;
    }
    if (!scratch || scratch->overflow)
        return PC_E_TOO_LARGE;
    size_t start = scratch->len;
    uint8_t c[4];
    while (s < end) {
        unsigned n = unescape(&s, c);
        pc_buf_put(scratch, c, n);
    }
    if (scratch->overflow)
        return PC_E_TOO_LARGE;
    *ret_string = pc_bytes_of(scratch->p + start, scratch->len - start);
    return 0;
}

int pc_json_bool(const struct pc_json *doc, const struct pc_json_token *t, bool *ret_value)
{
    int rc = expect(t, PC_JSON_BOOL);
    if (rc == 0)
        *ret_value = doc->text.p[t->start] == 't';
    return rc;
}

/* A number of the text: sign, digits of the integral part followed by those of the fraction, and
 * the power of ten that the last of them counts. */
struct decimal {
    bool negative;
    const uint8_t *whole, *fraction;
    uint32_t n_whole, n_fraction;
    int64_t exponent;
};

/* Beyond any power that could still matter, however many digits stand before it: a text is
 * shorter than 2^32. Larger exponents are held here. */
#define EXPONENT_HELD (INT64_C(1) << 40)

static struct decimal split_number(const struct pc_json *doc, const struct pc_json_token *t)
{
    const uint8_t *s = doc->text.p + t->start, *end = s + t->n;
    struct decimal d = {.negative = *s == '-'};
    s += d.negative;
    for (d.whole = s; s < end && is_digit(*s); s++)
        d.n_whole++;
    if (s < end && *s == '.')
        s++;
    for (d.fraction = s; s < end && is_digit(*s); s++)
        d.n_fraction++;
    if (s < end) { /* e or E */
        bool down = s[1] == '-';
        for (s += s[1] == '-' || s[1] == '+' ? 2 : 1; s < end; s++)
            d.exponent = pc_min_i64(d.exponent * 10 + (*s - '0'), EXPONENT_HELD);
        d.exponent = down ? -d.exponent : d.exponent;
    }
    d.exponent -= d.n_fraction;
    return d;
}

/* |d| * 10^digits as an integer, rounded down; whether something was cut. -ERANGE. */
static int scale(const struct decimal *d, unsigned digits, uint64_t *ret_value, bool *ret_cut)
{
    int64_t n = (int64_t)d->n_whole + d->n_fraction, keep = n + d->exponent + digits;
    uint64_t value = 0;
    bool cut = false;
    for (int64_t i = 0; i < n || (value && i < keep); i++) {
        unsigned digit = 0;
        if (i < d->n_whole)
            digit = d->whole[i] - '0';
        else if (i < n)
            digit = d->fraction[i - d->n_whole] - '0';
        if (i >= keep)
            cut |= digit != 0;
        else if (__builtin_mul_overflow(value, 10, &value) ||
                 __builtin_add_overflow(value, digit, &value))
            return -ERANGE;
    }
    *ret_value = value;
    *ret_cut = cut;
    return 0;
}

int pc_json_scaled(const struct pc_json *doc, const struct pc_json_token *t, unsigned digits,
                   int64_t *ret_value, bool *ret_cut)
{
    uint64_t value;
    bool cut;
    PC_ASSERT(digits <= 18);
    int rc = expect(t, PC_JSON_NUMBER);
    if (rc)
        return rc;
    struct decimal d = split_number(doc, t);
    rc = scale(&d, digits, &value, &cut);
    if (rc)
        return rc;
    if (value > INT64_MAX)
        return -ERANGE; /* INT64_MIN too: nobody needs it, and its negation would overflow */
    *ret_value = d.negative ? -(int64_t)value - cut : (int64_t)value;
    if (ret_cut)
        *ret_cut = cut;
    return 0;
}

int pc_json_i64(const struct pc_json *doc, const struct pc_json_token *t, int64_t *ret_value)
{
    int64_t value;
    bool cut;
    int rc = pc_json_scaled(doc, t, 0, &value, &cut);
    if (rc)
        return rc;
    if (cut)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int pc_json_number(const struct pc_json *doc, const struct pc_json_token *t, double *ret_value)
{
    char copy[PC_JSON_NUMBER_MAX + 1];
    int rc = expect(t, PC_JSON_NUMBER);
    if (rc)
        return rc;
    if (t->n > PC_JSON_NUMBER_MAX)
        return -ERANGE;
    memcpy(copy, doc->text.p + t->start, t->n);
    copy[t->n] = 0;
    double value = strtod(copy, NULL); /* no program of ours leaves the C locale */
    if (isinf(value))
        return -ERANGE;
    *ret_value = value;
    return 0;
}

struct pc_bytes pc_json_raw(const struct pc_json *doc, const struct pc_json_token *t)
{
    uint32_t quote = t->type == PC_JSON_STRING;
    return pc_bytes_of(doc->text.p + t->start - quote, t->n + 2 * quote);
}
