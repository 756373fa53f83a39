/* SPDX-License-Identifier: Apache-2.0
 * Keys, values and look-up of flags. Readers of a snapshot touch one line of the table, the flag
 * and its key; nothing is allocated. Owns nothing; any thread. */
#include "edge/state/flags.h"

#include <stdlib.h>

#include "edge/state/flags_internal.h"

const char *pc_flag_type_name(enum pc_flag_type type)
{
    static const char *const names[] = {"none", "boolean", "string", "integer", "number", "object"};
    PC_ASSERT((size_t)type < PC_COUNT(names));
    return names[type];
}

struct pc_bytes pc_flag_actor_name(struct pc_bytes actor)
{
    const struct pc_bytes prefix = PC_LIT("token:");
    if (actor.n <= prefix.n || memcmp(actor.p, prefix.p, prefix.n) != 0)
        return actor;
    return pc_bytes_of(actor.p + prefix.n, actor.n - prefix.n);
}

/* ---- keys ---- */

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

int pc_flag_key_check(struct pc_bytes key, struct pc_why *why)
{
    if (key.n == 0)
        return pc_fail(why, -EINVAL, "a flag's key may not be empty");
    if (key.n > PC_FLAG_KEY_MAX)
        return pc_fail(why, -EINVAL, "a flag's key has at most %d bytes, this one %zu",
                       PC_FLAG_KEY_MAX, key.n);
    for (size_t i = 0; i < key.n; i++) {
        bool first = i == 0 || key.p[i - 1] == '.', last = i + 1 == key.n;
        if (key.p[i] == '.' ? first || last : !is_word(key.p[i]))
            return pc_fail(
                why, -EINVAL,
                "a flag's key is made of letters, digits, '_' and '-' in parts separated "
                "by single dots: byte %zu of this one is not",
                i + 1);
    }
    if (key.p[0] == '_' || key.p[0] == '-')
        return pc_fail(why, -EINVAL, "a flag's key begins with a letter or digit");
    return 0;
}

/* ---- values ---- */

enum pc_flag_type flag_type_of(const struct pc_json *doc, const struct pc_json_token *value)
{
    int64_t integer;
    switch (pc_json_type(value)) {
    case PC_JSON_BOOL: return PC_FLAG_BOOLEAN;
    case PC_JSON_STRING: return PC_FLAG_STRING;
    case PC_JSON_OBJECT: return PC_FLAG_OBJECT;
    case PC_JSON_NUMBER: break;
    default: return PC_FLAG_NO_TYPE;
    }
    /* 1.0 is written by whoever means to allow 1.5 later. */
    struct pc_bytes raw = pc_json_raw(doc, value);
    for (size_t i = 0; i < raw.n; i++)
        if (raw.p[i] == '.' || (raw.p[i] | 0x20) == 'e')
            return PC_FLAG_NUMBER;
    return pc_json_i64(doc, value, &integer) == 0 ? PC_FLAG_INTEGER : PC_FLAG_NUMBER;
}

/* "an integer", for messages. */
static const char *with_article(enum pc_flag_type type)
{
    static const char *const names[] = {"neither",    "a boolean", "a string",
                                        "an integer", "a number",  "an object"};
    return names[type];
}

/* Whether the value can be what the flag is; decides the type. */
static int settle_type(const struct pc_json *doc, const struct pc_json_token *value,
                       enum pc_flag_type wanted, enum pc_flag_type *ret_type, struct pc_why *why)
{
    enum pc_flag_type is = flag_type_of(doc, value);
    int64_t integer;
    double number;
    if (is == PC_FLAG_NO_TYPE)
        return pc_fail(why, -EINVAL,
                       "a flag is a boolean, string, integer, number or object, the value is %s",
                       pc_json_type(value) == PC_JSON_ARRAY ? "an array" : "null");
    if (is == PC_FLAG_NUMBER && pc_json_number(doc, value, &number) < 0)
        return pc_fail(why, -EINVAL, "the number is too large or too long");
    bool fits = wanted == PC_FLAG_NO_TYPE || wanted == is ||
                (wanted == PC_FLAG_NUMBER && is == PC_FLAG_INTEGER) ||
                (wanted == PC_FLAG_INTEGER && is == PC_FLAG_NUMBER &&
                 pc_json_i64(doc, value, &integer) == 0);
    if (!fits)
        return pc_fail(why, -EINVAL, "the flag is %s, the value is %s", with_article(wanted),
                       with_article(is));
    *ret_type = wanted == PC_FLAG_NO_TYPE ? is : wanted;
    return 0;
}

/* Copies JSON without the white space between its tokens; the deepest nesting on the way. */
static unsigned copy_compact(struct pc_bytes raw, struct pc_buf *b)
{
    unsigned depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < raw.n; i++) {
        uint8_t c = raw.p[i];
        if (in_string && c == '\\') {
            pc_buf_put(b, &raw.p[i++], 2); /* the parser has seen that something follows */
            continue;
        }
        if (c == '"')
            in_string = !in_string;
        if (!in_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t'))
            continue;
        if (!in_string && (c == '{' || c == '['))
            deepest = ++depth > deepest ? depth : deepest;
        if (!in_string && (c == '}' || c == ']'))
            depth--;
        pc_buf_char(b, (char)c);
    }
    return deepest;
}

int pc_flag_value_write(const struct pc_json *doc, const struct pc_json_token *value,
                        enum pc_flag_type type, struct pc_buf *b, enum pc_flag_type *ret_type,
                        struct pc_why *why)
{
    size_t start = b->len;
    unsigned depth = 0;
    int64_t integer;
    int rc = settle_type(doc, value, type, &type, why);
    if (rc < 0)
        return rc;
    uint32_t index = (uint32_t)(value - doc->tokens);
    if (value->next - index > PC_FLAG_VALUE_TOKENS)
        return pc_fail(why, PC_E_TOO_LARGE, "a flag's value has at most %d JSON values in it",
                       PC_FLAG_VALUE_TOKENS);
    if (type == PC_FLAG_INTEGER && pc_json_i64(doc, value, &integer) == 0)
        pc_buf_i64(b, integer);
    else
        depth = copy_compact(pc_json_raw(doc, value), b);
    if (depth > PC_FLAG_VALUE_DEPTH_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "a flag's value is nested at most %d deep",
                       PC_FLAG_VALUE_DEPTH_MAX);
    if (b->overflow || b->len - start > PC_FLAG_VALUE_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "a flag's value has at most %d bytes",
                       PC_FLAG_VALUE_MAX);
    if (ret_type)
        *ret_type = type;
    return 0;
}

int flag_value_from_text(struct pc_bytes text, enum pc_flag_type type, struct pc_buf *b,
                         enum pc_flag_type *ret_type, struct pc_why *why)
{
    struct pc_json_token tokens[PC_FLAG_VALUE_TOKENS + 1];
    uint8_t quoted[PC_FLAG_VALUE_MAX + 2];
    struct pc_buf q = pc_buf_of(quoted, sizeof quoted);
    struct pc_json doc;
    int rc = pc_json_parse(text, tokens, PC_COUNT(tokens), NULL, &doc, NULL);
    bool plain = rc == PC_E_SYNTAX || rc == PC_E_DUPLICATE;
    /* FLAG_RELEASE=42 for a flag that is a string means "42". */
    plain |= rc == 0 && type == PC_FLAG_STRING && flag_type_of(&doc, doc.tokens) != PC_FLAG_STRING;
    if (plain) {
        pc_buf_json_str(&q, text);
        rc = q.overflow ? PC_E_TOO_LARGE
                        : pc_json_parse(pc_bytes_of(q.p, q.len), tokens, PC_COUNT(tokens), NULL,
                                        &doc, NULL);
    }
    if (rc < 0)
        return pc_fail(why, PC_E_TOO_LARGE,
                       "a flag's value has at most %d bytes and %d JSON values", PC_FLAG_VALUE_MAX,
                       PC_FLAG_VALUE_TOKENS);
    return pc_flag_value_write(&doc, doc.tokens, type, b, ret_type, why);
}

/* ---- look-up ---- */

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Both halves of the product: every bit of it depends on bits of both factors. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Sixteen bytes a multiplication, the last ones read overlapping. Not keyed: only who may create
 * flags could make keys collide, and the table's longest probe is then theirs to pay for. */
uint64_t pc_flag_hash(struct pc_bytes key)
{
    const uint64_t k1 = 0x9e3779b97f4a7c15, k2 = 0xc2b2ae3d27d4eb4f;
    uint64_t h = key.n * k1, a = 0, b = 0;
    const uint8_t *p = key.p;
    size_t n = key.n;
    for (; n > 16; n -= 16, p += 16)
        h = fold(load64(p) ^ h ^ k1, load64(p + 8) ^ k2);
    if (n >= 8) {
        a = load64(p);
        b = load64(p + n - 8);
    } else if (n >= 4) {
        a = load32(p);
        b = load32(p + n - 4);
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    }
    return fold(fold(a ^ h ^ k1, b ^ k2) ^ k2, h ^ k1);
}

const struct pc_flag *pc_flags_find_hashed(const struct pc_flags *f, struct pc_bytes key,
                                           uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);
    /* Half of the slots are empty (I2), so this ends. */
    for (uint32_t i = (uint32_t)hash & f->mask;; i = (i + 1) & f->mask) {
        struct pc_flag_slot slot = f->slots[i];
        if (slot.index == 0)
            return NULL;
        if (slot.tag != tag)
            continue;
        const struct pc_flag *flag = &f->flags[slot.index - 1];
        if (PC_LIKELY(pc_bytes_eq(flag->key, key)))
            return flag;
    }
}

const struct pc_flag *pc_flags_find(const struct pc_flags *f, struct pc_bytes key)
{
    return pc_flags_find_hashed(f, key, pc_flag_hash(key));
}

void pc_flags_compare(const struct pc_flags *old, const struct pc_flags *fresh,
                      pc_flags_change_fn *fn, void *ctx)
{
    uint32_t i = 0, k = 0, n = old ? old->count : 0;
    while (i < n || k < fresh->count) {
        const struct pc_flag *was = i < n ? &old->flags[i] : NULL;
        const struct pc_flag *is = k < fresh->count ? &fresh->flags[k] : NULL;
        int order = was && is ? flag_key_compare(was->key, is->key) : was ? -1 : 1;
        i += order <= 0;
        k += order >= 0;
        if (order < 0)
            fn(ctx, was, NULL);
        else if (order > 0)
            fn(ctx, NULL, is);
        else if (was->type != is->type || !pc_bytes_eq(was->value, is->value))
            fn(ctx, was, is);
    }
}

void pc_flags_free(struct pc_flags *f)
{
    free(f); /* one allocation: flags_compile.c */
}
