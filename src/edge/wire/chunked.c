/* SPDX-License-Identifier: Apache-2.0
 * The chunked decoder: a byte-wise state machine for the framing, memmove for the data. Pure. */
#include "edge/wire/chunked.h"

#include <string.h>

#include "edge/wire/chars.h"

enum {
    AT_SIZE, /* zeroed memory starts here */
    AT_EXTENSION,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER, /* first byte of a trailer line, or of the empty line */
    AT_TRAILER_NAME,
    AT_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_LAST_LF,
    AT_END, /* ended or refused */
};

#define SIZE_DIGITS_MAX 16 /* all of a uint64_t */

void pc_chunked_init(struct pc_chunked *c, uint64_t body_max)
{
    *c = (struct pc_chunked){.body_max = body_max};
}

static int expect_byte(struct pc_chunked *c, uint8_t byte, uint8_t wanted, uint8_t next_state)
{
    if (byte != wanted)
        return -400;
    c->state = next_state;
    return 0;
}

static int on_size(struct pc_chunked *c, uint8_t byte)
{
    if (pc_char_is(byte, PC_CHAR_HEX)) {
        if (c->digits++ == SIZE_DIGITS_MAX)
            return -400;
        c->chunk_left = c->chunk_left << 4 | pc_char_hex(byte);
        return 0;
    }
    if (c->digits == 0 || (byte != '\r' && byte != ';'))
        return -400;
    if (c->chunk_left > c->body_max - c->body_bytes)
        return -413;
    c->state = byte == ';' ? AT_EXTENSION : AT_SIZE_LF;
    return 0;
}

static int on_extension(struct pc_chunked *c, uint8_t byte)
{
    if (byte == '\r') {
        c->state = AT_SIZE_LF;
        return 0;
    }
    return pc_char_is(byte, PC_CHAR_TEXT) && c->extra_bytes++ < PC_CHUNKED_EXTENSION_BYTES ? 0
                                                                                           : -400;
}

static int on_size_lf(struct pc_chunked *c, uint8_t byte)
{
    bool last = c->chunk_left == 0;
    c->digits = 0;
    if (last)
        c->extra_bytes = 0; /* from here it counts trailer bytes */
    return expect_byte(c, byte, '\n', last ? AT_TRAILER : AT_DATA);
}

static int on_trailer(struct pc_chunked *c, uint8_t byte)
{
    if (byte == '\r' && c->state == AT_TRAILER) {
        c->state = AT_LAST_LF;
        return 0;
    }
    if (c->extra_bytes++ == PC_CHUNKED_TRAILER_BYTES)
        return -431;
    if (c->state == AT_TRAILER_VALUE) {
        c->state = byte == '\r' ? AT_TRAILER_LF : AT_TRAILER_VALUE;
        return byte == '\r' || pc_char_is(byte, PC_CHAR_TEXT) ? 0 : -400;
    }
    if (byte == ':' && c->state == AT_TRAILER_NAME)
        c->state = AT_TRAILER_VALUE;
    else if (pc_char_is(byte, PC_CHAR_TOKEN))
        c->state = AT_TRAILER_NAME;
    else
        return -400;
    return 0;
}

/* One byte of framing: 1 at the end of the body, 0, or -(HTTP status). */
static int on_framing(struct pc_chunked *c, uint8_t byte)
{
    switch (c->state) {
    case AT_SIZE: return on_size(c, byte);
    case AT_EXTENSION: return on_extension(c, byte);
    case AT_SIZE_LF: return on_size_lf(c, byte);
    case AT_DATA_CR: return expect_byte(c, byte, '\r', AT_DATA_LF);
    case AT_DATA_LF: return expect_byte(c, byte, '\n', AT_SIZE);
    case AT_TRAILER:
    case AT_TRAILER_NAME:
    case AT_TRAILER_VALUE: return on_trailer(c, byte);
    case AT_TRAILER_LF: return expect_byte(c, byte, '\n', AT_TRAILER);
    default: return expect_byte(c, byte, '\n', AT_END) ?: 1;
    }
}

/* Moves what raw holds of the current chunk to out; returns how much that is. */
static size_t take_data(struct pc_chunked *c, uint8_t *out, const uint8_t *raw, size_t n)
{
    size_t take = n < c->chunk_left ? n : (size_t)c->chunk_left;
    if (take && out != raw)
        memmove(out, raw, take);
    c->chunk_left -= take;
    c->body_bytes += take;
    PC_ASSERT(c->body_bytes <= c->body_max);
    if (c->chunk_left == 0)
        c->state = AT_DATA_CR;
    return take;
}

int pc_chunked_decode(struct pc_chunked *c, uint8_t *raw, size_t n, size_t *ret_body,
                      size_t *ret_used)
{
    size_t body = 0, used = 0;
    int rc = 0;
    PC_ASSERT(c->state != AT_END);
    while (rc == 0 && used < n) {
        if (c->state == AT_DATA) {
            size_t take = take_data(c, raw + body, raw + used, n - used);
            body += take;
            used += take;
        } else {
            rc = on_framing(c, raw[used++]);
        }
    }
    if (rc < 0) {
        c->state = AT_END;
        return rc;
    }
    *ret_body = body;
    *ret_used = used;
    return rc;
}
