/* SPDX-License-Identifier: Apache-2.0
 * See audit_line.h, which owns the format. No state. */
#include "link/audit_line.h"

#include <stdio.h>
#include <time.h>

#include "base/json.h"

#define HEX_CHARS  (2 * PC_SHA256_BYTES)
#define TIME_CHARS 24u
#define NODE_CHARS 16u
#define CHANGES    ",\"changes\":["
/* Members that end a line. */
#define PREV       ",\"prev\":\""
#define PREV_CHARS (sizeof PREV - 1 + HEX_CHARS + 2)

#define OLDER_PREFIX "audit."
#define OLDER_SUFFIX ".jsonl"
#define OLDER_DIGITS 20u

void pc_audit_older_name(uint64_t number, char ret_name[PC_AUDIT_NAME_BYTES])
{
    snprintf(ret_name, PC_AUDIT_NAME_BYTES, OLDER_PREFIX "%0*llu" OLDER_SUFFIX, (int)OLDER_DIGITS,
             (unsigned long long)number);
}

uint64_t pc_audit_older_number(const char *name)
{
    size_t prefix = sizeof OLDER_PREFIX - 1;
    uint64_t number;
    if (strncmp(name, OLDER_PREFIX, prefix) != 0 ||
        strlen(name) != prefix + OLDER_DIGITS + sizeof OLDER_SUFFIX - 1 ||
        strcmp(name + prefix + OLDER_DIGITS, OLDER_SUFFIX) != 0 ||
        pc_bytes_to_u64(pc_bytes_of(name + prefix, OLDER_DIGITS), &number) < 0)
        return 0;
    return number;
}

/* ---- writing ---- */

/* Times outside of these years are not told exactly: a line keeps its form. */
static void put_time(struct pc_buf *b, int64_t ms)
{
    ms = pc_min_i64(pc_max_i64(ms, 0), INT64_C(253402300799999));
    time_t s = (time_t)(ms / 1000);
    struct tm tm = {0};
    gmtime_r(&s, &tm);
    pc_buf_fmt(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
               tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

static void put_head(struct pc_buf *b, uint64_t node, int64_t time_ms, uint64_t first)
{
    pc_buf_fmt(b, "{\"v\":%d,\"time\":\"", PC_AUDIT_VERSION);
    put_time(b, time_ms);
    pc_buf_fmt(b, "\",\"node\":\"%016llx\",\"first\":%llu,\"last\":", (unsigned long long)node,
               (unsigned long long)first);
}

static void put_text(struct pc_buf *b, const char *key, struct pc_bytes value)
{
    if (value.n == 0)
        return;
    pc_buf_lit(b, ",\"");
    pc_buf_str(b, key);
    pc_buf_lit(b, "\":");
    pc_buf_json_str(b, value);
}

static void put_seconds(struct pc_buf *b, const char *key, int64_t ms)
{
    unsigned rest = (unsigned)(ms % 1000);
    if (ms <= 0)
        return;
    pc_buf_lit(b, ",\"");
    pc_buf_str(b, key);
    pc_buf_lit(b, "\":");
    pc_buf_u64(b, (uint64_t)ms / 1000);
    char fraction[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                       (char)('0' + rest % 10)};
    pc_buf_put(b, fraction, sizeof fraction);
}

/* Whether these bytes may stand in a line as they are. */
static bool is_json(struct pc_bytes s)
{
    struct pc_json_token tokens[PC_AUDIT_VALUE_TOKENS];
    struct pc_json doc;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20)
            return false;
    return pc_json_parse(s, tokens, PC_COUNT(tokens), NULL, &doc, NULL) == 0;
}

static void put_value(struct pc_buf *b, const struct pc_change *c)
{
    if (c->value.n == 0)
        return;
    if (c->kind == PC_KIND_IP_RULE || !is_json(c->value)) {
        put_text(b, "value", c->value);
        return;
    }
    pc_buf_lit(b, ",\"value\":");
    pc_buf_bytes(b, c->value);
}

static void put_change(struct pc_buf *b, const struct pc_change *c, struct pc_bytes line_reason)
{
    if (c->op == PC_OP_NONE) {
        pc_buf_lit(b, "{\"op\":\"unknown\",\"sha256\":");
        pc_buf_json_str(b, c->id);
        pc_buf_char(b, '}');
        return;
    }
    const char *kind = pc_kind_name(c->kind), *op = pc_op_name(c->op);
    PC_ASSERT(kind && op); /* pc_change_decode() knows no others */
    pc_buf_lit(b, "{\"op\":\"");
    pc_buf_str(b, op);
    pc_buf_lit(b, "\",\"kind\":\"");
    pc_buf_str(b, kind);
    pc_buf_char(b, '"');
    put_text(b, "issuer", c->issuer);
    put_text(b, "id", c->id);
    put_value(b, c);
    if (c->ephemeral)
        pc_buf_lit(b, ",\"ephemeral\":true");
    put_seconds(b, "expires_at", c->expires_at_ms);
    put_seconds(b, "cutoff", c->cutoff_ms);
    if (!pc_bytes_eq(c->reason, line_reason))
        put_text(b, "reason", c->reason);
    pc_buf_char(b, '}');
}

static struct pc_bytes end(struct pc_buf *b, const struct pc_audit_hash *prev,
                           struct pc_audit_hash *ret_hash)
{
    char hex[HEX_CHARS];
    pc_hex_encode(prev->b, sizeof prev->b, hex);
    pc_buf_lit(b, PREV);
    pc_buf_put(b, hex, sizeof hex);
    pc_buf_lit(b, "\"}\n");
    PC_ASSERT(!b->overflow);
    pc_audit_line_hash(pc_bytes_of(b->p, b->len - 1), ret_hash);
    return pc_bytes_of(b->p, b->len);
}

bool pc_audit_line_takes(const struct pc_audit_line *l, const struct pc_change *c)
{
    const struct pc_change *first = &l->first_change;
    return l->changes < PC_AUDIT_LINE_CHANGES && l->text.len < PC_AUDIT_LINE_SOFT_BYTES &&
           c->op != PC_OP_NONE && first->op != PC_OP_NONE && c->node == first->node &&
           pc_bytes_eq(c->request_id, first->request_id) && pc_bytes_eq(c->actor, first->actor) &&
           pc_bytes_eq(c->source, first->source);
}

void pc_audit_line_begin(struct pc_audit_line *l, uint8_t *buf, const struct pc_change *c,
                         uint64_t position, int64_t time_ms)
{
    /* The head is written when the last position is known; the changes go behind its room. */
    *l = (struct pc_audit_line){
        .buf = buf,
        .text = pc_buf_of(buf + PC_AUDIT_HEAD_MAX, PC_AUDIT_LINE_MAX - PC_AUDIT_HEAD_MAX),
        .first_change = *c,
        .first = position,
        .last = position - 1,
        .time_ms = time_ms,
    };
    pc_audit_line_add(l, c);
}

void pc_audit_line_add(struct pc_audit_line *l, const struct pc_change *c)
{
    if (l->changes++)
        pc_buf_char(&l->text, ',');
    l->last++;
    put_change(&l->text, c, l->first_change.reason);
    PC_ASSERT(!l->text.overflow);
}

struct pc_bytes pc_audit_line_end(struct pc_audit_line *l, const struct pc_audit_hash *prev,
                                  struct pc_audit_hash *ret_hash)
{
    const struct pc_change *c = &l->first_change;
    struct pc_buf b = pc_buf_of(l->buf, PC_AUDIT_HEAD_MAX);
    PC_ASSERT(l->changes > 0);
    put_head(&b, c->node, l->time_ms, l->first);
    pc_buf_u64(&b, l->last);
    pc_buf_lit(&b, ",\"actor\":");
    pc_buf_json_str(&b, c->actor);
    pc_buf_lit(&b, ",\"source\":");
    pc_buf_json_str(&b, c->source);
    put_text(&b, "request_id", c->request_id);
    put_text(&b, "reason", c->reason);
    pc_buf_lit(&b, CHANGES);
    PC_ASSERT(!b.overflow);
    /* One piece: head, changes, end. */
    memmove(l->buf + b.len, l->text.p, l->text.len);
    b.len += l->text.len;
    b.cap = PC_AUDIT_LINE_MAX;
    pc_buf_char(&b, ']');
    return end(&b, prev, ret_hash);
}

void pc_audit_change(struct pc_bytes record, char digest[HEX_CHARS], struct pc_change *ret_change)
{
    struct pc_audit_hash hash;
    if (pc_change_decode(record, ret_change) == 0)
        return;
    pc_audit_line_hash(record, &hash);
    pc_hex_encode(hash.b, sizeof hash.b, digest);
    *ret_change = (struct pc_change){.id = pc_bytes_of(digest, HEX_CHARS)};
}

struct pc_bytes pc_audit_gap(uint8_t *buf, uint64_t node, uint64_t first, uint64_t last,
                             int64_t time_ms, const char *why, const struct pc_audit_hash *prev,
                             struct pc_audit_hash *ret_hash)
{
    struct pc_buf b = pc_buf_of(buf, PC_AUDIT_LINE_MAX);
    PC_ASSERT(strlen(why) <= PC_AUDIT_GAP_MAX && first <= last);
    put_head(&b, node, time_ms, first);
    pc_buf_u64(&b, last);
    put_text(&b, "gap", pc_bytes_str(why));
    return end(&b, prev, ret_hash);
}

/* ---- reading ---- */

static bool take(struct pc_bytes *s, struct pc_bytes literal)
{
    if (s->n < literal.n || memcmp(s->p, literal.p, literal.n) != 0)
        return false;
    *s = pc_bytes_of(s->p + literal.n, s->n - literal.n);
    return true;
}

static bool take_n(struct pc_bytes *s, size_t n, struct pc_bytes *ret)
{
    if (s->n < n)
        return false;
    *ret = pc_bytes_of(s->p, n);
    *s = pc_bytes_of(s->p + n, s->n - n);
    return true;
}

static bool take_u64(struct pc_bytes *s, uint64_t *ret)
{
    size_t n = 0;
    struct pc_bytes digits;
    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    return take_n(s, n, &digits) && pc_bytes_to_u64(digits, ret) == 0;
}

static bool take_node(struct pc_bytes *s, uint64_t *ret)
{
    struct pc_bytes hex;
    uint8_t bytes[NODE_CHARS / 2];
    if (!take_n(s, NODE_CHARS, &hex) || pc_hex_decode(hex, bytes, sizeof bytes) < 0)
        return false;
    *ret = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        *ret = *ret << 8 | bytes[i];
    return true;
}

/* The end of a line, which is taken off it. */
static bool take_prev(struct pc_bytes *s, struct pc_audit_hash *ret)
{
    if (s->n < PREV_CHARS)
        return false;
    struct pc_bytes tail = pc_bytes_of(s->p + s->n - PREV_CHARS, PREV_CHARS), hex;
    s->n -= PREV_CHARS;
    return take(&tail, PC_LIT(PREV)) && take_n(&tail, HEX_CHARS, &hex) &&
           pc_hex_decode(hex, ret->b, sizeof ret->b) == 0 && pc_bytes_eq_str(tail, "\"}");
}

/* What stands between head and prev is compared as a whole, if at all; here only whether it could
 * have been written: no byte of it ends a line. */
static bool is_plain(struct pc_bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20)
            return false;
    return true;
}

int pc_audit_line_parse(struct pc_bytes line, struct pc_audit_entry *ret_entry)
{
    struct pc_audit_entry e = {0};
    struct pc_bytes s = line;
    uint64_t version;
    if (line.n >= PC_AUDIT_LINE_MAX || !is_plain(line) || !take(&s, PC_LIT("{\"v\":")) ||
        !take_u64(&s, &version))
        return PC_E_DAMAGED;
    if (version > PC_AUDIT_VERSION)
        return PC_E_VERSION;
    bool head = take(&s, PC_LIT(",\"time\":\"")) && take_n(&s, TIME_CHARS, &e.time) &&
                take(&s, PC_LIT("\",\"node\":\"")) && take_node(&s, &e.node) &&
                take(&s, PC_LIT("\",\"first\":")) && take_u64(&s, &e.first) &&
                take(&s, PC_LIT(",\"last\":")) && take_u64(&s, &e.last);
    if (!head || e.first > e.last || !take_prev(&s, &e.prev))
        return PC_E_DAMAGED;
    e.gap = take(&s, PC_LIT(",\"gap\":\""));
    if (!e.gap && !take(&s, PC_LIT(",\"actor\":\"")))
        return PC_E_DAMAGED;
    *ret_entry = e;
    return 0;
}

void pc_audit_line_hash(struct pc_bytes line, struct pc_audit_hash *ret_hash)
{
    pc_sha256(line.p, line.n, ret_hash->b);
}
