/* SPDX-License-Identifier: Apache-2.0
 * The protobuf wire form of a Change (proto3: default values are not written). */
#include "link/change.h"

#include <endian.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static const char *const kind_names[PC_KIND_COUNT] = {
    [PC_KIND_TOKEN] = "token",     [PC_KIND_SESSION] = "session", [PC_KIND_FAMILY] = "family",
    [PC_KIND_SUBJECT] = "subject", [PC_KIND_CLIENT] = "client",   [PC_KIND_KEY] = "key",
    [PC_KIND_ISSUER] = "issuer",   [PC_KIND_ALL] = "all",         [PC_KIND_FLAG] = "flag",
    [PC_KIND_IP_RULE] = "ip_rule", [PC_KIND_ADMIN] = "admin",
};

static const char *const op_names[PC_OP_COUNT] = {
    [PC_OP_REVOKE] = "revoke", [PC_OP_CLEAR] = "clear", [PC_OP_SET] = "set",
    [PC_OP_UNSET] = "unset",   [PC_OP_NOTE] = "note",
};

const char *pc_kind_name(enum pc_kind kind)
{
    return (unsigned)kind < PC_KIND_COUNT ? kind_names[kind] : NULL;
}

enum pc_kind pc_kind_of_name(struct pc_bytes name)
{
    for (unsigned k = 1; pc_kind_is_revocation((enum pc_kind)k); k++)
        if (pc_bytes_eq_str(name, kind_names[k]))
            return (enum pc_kind)k;
    return PC_KIND_NONE;
}

const char *pc_op_name(enum pc_op op)
{
    return (unsigned)op < PC_OP_COUNT ? op_names[op] : NULL;
}

bool pc_kind_takes(enum pc_kind kind, enum pc_op op)
{
    if (pc_kind_is_revocation(kind))
        return op == PC_OP_REVOKE || op == PC_OP_CLEAR;
    if (pc_kind_is_register(kind))
        return op == PC_OP_SET || op == PC_OP_UNSET;
    return kind == PC_KIND_ADMIN && op == PC_OP_NOTE;
}

/* The encoder writes through a plain pointer: room for the longest form was made sure of before. */
static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static inline uint8_t *put_number(uint8_t *p, unsigned field, uint64_t v)
{
    return v ? put_varint(put_varint(p, field << 3 | WIRE_VARINT), v) : p;
}

static inline uint8_t *put_fixed64(uint8_t *p, unsigned field, uint64_t v)
{
    if (v == 0)
        return p;
    p = put_varint(p, field << 3 | WIRE_FIXED64);
    v = htole64(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static inline uint8_t *put_bytes(uint8_t *p, unsigned field, struct pc_bytes s)
{
    if (s.n == 0)
        return p;
    p = put_varint(put_varint(p, field << 3 | WIRE_BYTES), s.n);
    memcpy(p, s.p, s.n);
    return p + s.n;
}

static uint8_t *encode(const struct pc_change *c, uint8_t *p)
{
    p = put_fixed64(p, 1, c->node);
    p = put_fixed64(p, 2, c->incarnation);
    p = put_number(p, 3, c->sequence);
    p = put_fixed64(p, 4, c->hlc);
    p = put_number(p, 5, c->kind);
    p = put_number(p, 6, c->op);
    p = put_bytes(p, 7, c->issuer);
    p = put_bytes(p, 8, c->id);
    p = put_number(p, 9, (uint64_t)c->at_ms);
    p = put_number(p, 10, (uint64_t)c->expires_at_ms);
    p = put_number(p, 11, (uint64_t)c->cutoff_ms);
    p = put_bytes(p, 12, c->actor);
    p = put_bytes(p, 13, c->source);
    p = put_bytes(p, 14, c->request_id);
    p = put_bytes(p, 15, c->reason);
    p = put_number(p, 16, c->remote);
    p = put_bytes(p, 17, c->value);
    return put_number(p, 18, c->ephemeral);
}

/* The encoding is no longer than this: beside the texts 160 bytes, as in PC_CHANGE_PLAIN_MAX. */
static size_t encoded_bound(const struct pc_change *c)
{
    return PC_CHANGE_FIXED_MAX + c->issuer.n + c->id.n + c->actor.n + c->source.n +
           c->request_id.n + c->reason.n + c->value.n;
}

/* Where the bound does not fit the encoding may. */
static __attribute__((noinline)) void encode_narrowly(const struct pc_change *c, struct pc_buf *b)
{
    uint8_t whole[PC_CHANGE_ENCODED_MAX];
    if (encoded_bound(c) > sizeof whole) {
        b->overflow = true;
        return;
    }
    pc_buf_put(b, whole, (size_t)(encode(c, whole) - whole));
}

void pc_change_encode(const struct pc_change *c, struct pc_buf *b)
{
    PC_ASSERT(c->kind > PC_KIND_NONE && c->kind < PC_KIND_COUNT);
    PC_ASSERT(c->op > PC_OP_NONE && c->op < PC_OP_COUNT);
    if (PC_UNLIKELY(b->overflow || encoded_bound(c) > b->cap - b->len)) {
        encode_narrowly(c, b);
        return;
    }
    b->len = (size_t)(encode(c, b->p + b->len) - b->p);
}

static bool get_long_varint(struct pc_bytes *s, uint64_t *ret_v)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 10 && i < s->n; i++) {
        if (i == 9 && s->p[i] > 1)
            return false;
        v |= (uint64_t)(s->p[i] & 0x7f) << (7 * i);
        if (s->p[i] < 0x80) {
            s->p += i + 1;
            s->n -= i + 1;
            *ret_v = v;
            return true;
        }
    }
    return false;
}

/* Tags, lengths and small numbers have one byte. */
static inline bool get_varint(struct pc_bytes *s, uint64_t *ret_v)
{
    if (PC_UNLIKELY(s->n == 0 || s->p[0] >= 0x80))
        return get_long_varint(s, ret_v);
    *ret_v = *s->p++;
    s->n--;
    return true;
}

/* One field's value: a number, or a run of bytes. */
struct value {
    uint64_t number;
    struct pc_bytes bytes;
};

static inline bool take(struct pc_bytes *s, size_t n, struct pc_bytes *ret)
{
    if (n > s->n)
        return false;
    *ret = pc_bytes_of(s->p, n);
    s->p += n;
    s->n -= n;
    return true;
}

static inline bool get_value(struct pc_bytes *s, unsigned type, struct value *ret)
{
    uint64_t n;
    switch (type) {
    case WIRE_VARINT: return get_varint(s, &ret->number);
    case WIRE_FIXED32: return take(s, 4, &ret->bytes);
    case WIRE_FIXED64:
        if (!take(s, 8, &ret->bytes))
            return false;
        memcpy(&ret->number, ret->bytes.p, sizeof ret->number);
        ret->number = le64toh(ret->number);
        return true;
    case WIRE_BYTES: return get_varint(s, &n) && n <= s->n && take(s, (size_t)n, &ret->bytes);
    default: return false;
    }
}

/* The wire type each known field must have; 0xff for unknown fields. */
static unsigned type_of_field(uint64_t field)
{
    static const uint8_t types[] = {0xff, 1, 1, 0, 1, 0, 0, 2, 2, 0, 0, 0, 2, 2, 2, 2, 0, 2, 0};
    return field < PC_COUNT(types) ? types[field] : 0xff;
}

static bool set_bytes(struct pc_bytes *dst, struct pc_bytes src, size_t max)
{
    *dst = src;
    return src.n <= max;
}

static bool set_field(struct pc_change *c, uint64_t field, const struct value *v)
{
    switch (field) {
    case 1: c->node = v->number; return true;
    case 2: c->incarnation = v->number; return true;
    case 3: c->sequence = v->number; return true;
    case 4: c->hlc = v->number; return true;
    case 5: c->kind = (enum pc_kind)v->number; return v->number < PC_KIND_COUNT;
    case 6: c->op = (enum pc_op)v->number; return v->number < PC_OP_COUNT;
    case 7: return set_bytes(&c->issuer, v->bytes, PC_ISSUER_MAX);
    case 8: return set_bytes(&c->id, v->bytes, PC_ID_MAX);
    case 9: c->at_ms = (int64_t)v->number; return c->at_ms >= 0;
    case 10: c->expires_at_ms = (int64_t)v->number; return c->expires_at_ms >= 0;
    case 11: c->cutoff_ms = (int64_t)v->number; return c->cutoff_ms >= 0;
    case 12: return set_bytes(&c->actor, v->bytes, PC_ACTOR_MAX);
    case 13: return set_bytes(&c->source, v->bytes, PC_SOURCE_MAX);
    case 14: return set_bytes(&c->request_id, v->bytes, PC_REQUEST_ID_MAX);
    case 15: return set_bytes(&c->reason, v->bytes, PC_REASON_MAX);
    case 16: c->remote = v->number != 0; return v->number <= 1;
    case 17: return set_bytes(&c->value, v->bytes, PC_VALUE_MAX);
    case 18: c->ephemeral = v->number != 0; return v->number <= 1;
    default: return true;
    }
}

int pc_change_decode(struct pc_bytes s, struct pc_change *ret_change)
{
    struct pc_change c = {0};
    while (s.n) {
        uint64_t tag;
        struct value v = {0};
        if (!get_varint(&s, &tag) || tag >> 3 == 0 || !get_value(&s, (unsigned)(tag & 7), &v))
            return PC_E_DAMAGED;
        unsigned known = type_of_field(tag >> 3);
        if (known != 0xff && (known != (tag & 7) || !set_field(&c, tag >> 3, &v)))
            return PC_E_DAMAGED;
    }
    if (!pc_kind_takes(c.kind, c.op))
        return PC_E_DAMAGED;
    *ret_change = c;
    return 0;
}
