/* SPDX-License-Identifier: Apache-2.0
 * The protobuf wire form of a Change (proto3: default values are not written). */
#include "link/change.h"

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

static void put_varint(struct pc_buf *b, uint64_t v)
{
    uint8_t out[10];
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    pc_buf_put(b, out, n);
}

static void put_tag(struct pc_buf *b, unsigned field, enum wire_type type)
{
    put_varint(b, (uint64_t)field << 3 | type);
}

static void put_number(struct pc_buf *b, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    put_tag(b, field, WIRE_VARINT);
    put_varint(b, v);
}

static void put_fixed64(struct pc_buf *b, unsigned field, uint64_t v)
{
    uint8_t out[8];
    if (v == 0)
        return;
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> (8 * i));
    put_tag(b, field, WIRE_FIXED64);
    pc_buf_put(b, out, sizeof out);
}

static void put_bytes(struct pc_buf *b, unsigned field, struct pc_bytes s)
{
    if (s.n == 0)
        return;
    put_tag(b, field, WIRE_BYTES);
    put_varint(b, s.n);
    pc_buf_bytes(b, s);
}

void pc_change_encode(const struct pc_change *c, struct pc_buf *b)
{
    PC_ASSERT(c->kind > PC_KIND_NONE && c->kind < PC_KIND_COUNT);
    PC_ASSERT(c->op > PC_OP_NONE && c->op < PC_OP_COUNT);
    put_fixed64(b, 1, c->node);
    put_fixed64(b, 2, c->incarnation);
    put_number(b, 3, c->sequence);
    put_fixed64(b, 4, c->hlc);
    put_number(b, 5, c->kind);
    put_number(b, 6, c->op);
    put_bytes(b, 7, c->issuer);
    put_bytes(b, 8, c->id);
    put_number(b, 9, (uint64_t)c->at_ms);
    put_number(b, 10, (uint64_t)c->expires_at_ms);
    put_number(b, 11, (uint64_t)c->cutoff_ms);
    put_bytes(b, 12, c->actor);
    put_bytes(b, 13, c->source);
    put_bytes(b, 14, c->request_id);
    put_bytes(b, 15, c->reason);
    put_number(b, 16, c->remote);
    put_bytes(b, 17, c->value);
    put_number(b, 18, c->ephemeral);
}

static bool get_varint(struct pc_bytes *s, uint64_t *ret_v)
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

/* One field's value: a number, or a run of bytes. */
struct value {
    uint64_t number;
    struct pc_bytes bytes;
};

static bool take(struct pc_bytes *s, size_t n, struct pc_bytes *ret)
{
    if (n > s->n)
        return false;
    *ret = pc_bytes_of(s->p, n);
    s->p += n;
    s->n -= n;
    return true;
}

static bool get_value(struct pc_bytes *s, unsigned type, struct value *ret)
{
    uint64_t n;
    switch (type) {
    case WIRE_VARINT: return get_varint(s, &ret->number);
    case WIRE_FIXED32: return take(s, 4, &ret->bytes);
    case WIRE_FIXED64:
        if (!take(s, 8, &ret->bytes))
            return false;
        ret->number = 0;
        for (unsigned i = 0; i < 8; i++)
            ret->number |= (uint64_t)ret->bytes.p[i] << (8 * i);
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
