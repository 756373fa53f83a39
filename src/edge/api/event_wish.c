/* SPDX-License-Identifier: Apache-2.0
 * Reading what a client of /v1/events asks for; the format stands in event_wish.h. */
#include "edge/api/event_wish.h"

#define EPOCH_DIGITS 16
#define VALUE_MAX    128 /* of a parameter, decoded */

static const struct pc_bytes stream_names[PC_STREAMS] = {
    [PC_STREAM_FLAGS] = {(const uint8_t *)"flag",       4 },
    [PC_STREAM_REVOCATIONS] = {(const uint8_t *)"revocation", 10},
};

/* The bytes of s before c, which are taken from s, together with c. */
static struct pc_bytes cut(struct pc_bytes *s, uint8_t c)
{
    const uint8_t *end = s->n ? memchr(s->p, c, s->n) : NULL;
    size_t n = end ? (size_t)(end - s->p) : s->n, skip = n + (end != NULL);
    struct pc_bytes part = pc_bytes_of(s->p, n);
    *s = pc_bytes_of(s->p + skip, s->n - skip);
    return part;
}

static int decode(struct pc_bytes raw, struct pc_buf *b)
{
    for (size_t i = 0; i < raw.n; i++) {
        uint8_t c = raw.p[i];
        if (c == '%') {
            if (i + 2 >= raw.n || pc_hex_decode(pc_bytes_of(raw.p + i + 1, 2), &c, 1) < 0)
                return -EINVAL;
            i += 2;
        }
        pc_buf_put(b, &c, 1);
    }
    return b->overflow ? -EINVAL : 0;
}

static int read_types(struct pc_bytes list, unsigned *ret_streams, struct pc_why *why)
{
    unsigned streams = 0;
    do {
        struct pc_bytes name = cut(&list, ',');
        unsigned s = 0;
        while (s < PC_STREAMS && !pc_bytes_eq(name, stream_names[s]))
            s++;
        if (s == PC_STREAMS)
            return pc_fail(why, -EINVAL, "types= takes flag and revocation, separated by a comma");
        streams |= 1u << s;
    } while (list.n);
    *ret_streams = streams;
    return 0;
}

static bool read_id(struct pc_bytes text, struct pc_event_id *ret)
{
    struct pc_bytes epoch = cut(&text, '-'), flags = cut(&text, '-');
    uint8_t raw[EPOCH_DIGITS / 2];
    struct pc_event_id id = {0};
    if (pc_hex_decode(epoch, raw, sizeof raw) < 0 ||
        pc_bytes_to_u64(flags, &id.at[PC_STREAM_FLAGS]) < 0 ||
        pc_bytes_to_u64(text, &id.at[PC_STREAM_REVOCATIONS]) < 0)
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        id.epoch = id.epoch << 8 | raw[i];
    *ret = id;
    return true;
}

static void take_id(struct pc_bytes text, struct pc_event_wish *wish)
{
    wish->resume = true;
    wish->sane = text.n <= PC_EVENT_ID_MAX && read_id(text, &wish->id);
}

static int take_parameter(struct pc_bytes pair, struct pc_event_wish *wish, struct pc_why *why)
{
    uint8_t text[VALUE_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_bytes value = pair, name = cut(&value, '=');
    bool types = pc_bytes_eq_str(name, "types");
    if (!types && !pc_bytes_eq_str(name, "last_event_id"))
        return pc_fail(why, -EINVAL, "the query may hold types=… and last_event_id=…");
    if (types ? wish->streams != 0 : wish->resume)
        return pc_fail(why, -EINVAL, "%s= was given twice", types ? "types" : "last_event_id");
    if (decode(value, &b) < 0)
        return pc_fail(why, -EINVAL, "%s= is too long, or not percent-encoded",
                       types ? "types" : "last_event_id");
    struct pc_bytes decoded = pc_bytes_of(b.p, b.len);
    if (types)
        return read_types(decoded, &wish->streams, why);
    take_id(decoded, wish);
    return 0;
}

int pc_event_wish_read(struct pc_bytes query, struct pc_bytes header, struct pc_event_wish *ret,
                       struct pc_why *why)
{
    struct pc_event_wish wish = {0};
    while (query.n) {
        int rc = take_parameter(cut(&query, '&'), &wish, why);
        if (rc < 0)
            return rc;
    }
    if (header.n)
        take_id(header, &wish);
    *ret = wish;
    return 0;
}

void pc_event_id_write(struct pc_buf *b, const struct pc_event_id *id)
{
    uint8_t raw[EPOCH_DIGITS / 2];
    char digits[EPOCH_DIGITS];
    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(id->epoch >> (56 - 8 * i));
    pc_hex_encode(raw, sizeof raw, digits);
    pc_buf_put(b, digits, sizeof digits);
    for (unsigned s = 0; s < PC_STREAMS; s++) {
        pc_buf_char(b, '-');
        pc_buf_u64(b, id->at[s]);
    }
}
