/* SPDX-License-Identifier: Apache-2.0
 * A borrowed run of bytes, and a bounded writer. Neither owns memory nor allocates. */
#ifndef PC_BASE_BYTES_H
#define PC_BASE_BYTES_H

#include <string.h>

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed bytes; p may be NULL only when n is 0. Never NUL-terminated by promise. */
struct pc_bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct pc_bytes pc_bytes_of(const void *p, size_t n)
{
    return (struct pc_bytes){(const uint8_t *)p, n};
}

static inline struct pc_bytes pc_bytes_str(const char *s)
{
    return (struct pc_bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

#define PC_LIT(literal) ((struct pc_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline bool pc_bytes_eq(struct pc_bytes a, struct pc_bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool pc_bytes_eq_str(struct pc_bytes a, const char *s)
{
    return pc_bytes_eq(a, pc_bytes_str(s));
}

/* ASCII letters compare without case. */
bool pc_bytes_eq_nocase(struct pc_bytes a, struct pc_bytes b);

/* Equal in time that depends on the lengths only. */
bool pc_bytes_eq_secret(struct pc_bytes a, struct pc_bytes b);

/* A decimal number without sign, blanks or leading '+': 0, or -EINVAL / -ERANGE. */
int pc_bytes_to_u64(struct pc_bytes s, uint64_t *ret_value);

/* Hexadecimal, lower case; dst holds 2*n bytes and is not terminated. */
void pc_hex_encode(const uint8_t *src, size_t n, char *dst);
/* Either case; -EINVAL unless s is exactly 2*n hexadecimal digits. */
int pc_hex_decode(struct pc_bytes s, uint8_t *dst, size_t n);

/* A bounded writer over memory of the caller. What does not fit sets `overflow` and writes
 * nothing more, so callers check once at the end. */
struct pc_buf {
    uint8_t *p;
    size_t len, cap;
    bool overflow;
};

static inline struct pc_buf pc_buf_of(void *p, size_t cap)
{
    return (struct pc_buf){(uint8_t *)p, 0, cap, false};
}

static inline void pc_buf_put(struct pc_buf *b, const void *src, size_t n)
{
    if (PC_UNLIKELY(b->overflow || n > b->cap - b->len)) {
        b->overflow = true;
        return;
    }
    if (n)
        memcpy(b->p + b->len, src, n);
    b->len += n;
}

static inline void pc_buf_bytes(struct pc_buf *b, struct pc_bytes s)
{
    pc_buf_put(b, s.p, s.n);
}

static inline void pc_buf_str(struct pc_buf *b, const char *s)
{
    pc_buf_put(b, s, strlen(s));
}

#define pc_buf_lit(b, literal) pc_buf_put((b), (literal), sizeof(literal) - 1)

static inline void pc_buf_char(struct pc_buf *b, char c)
{
    pc_buf_put(b, &c, 1);
}

void pc_buf_u64(struct pc_buf *b, uint64_t value);
void pc_buf_i64(struct pc_buf *b, int64_t value);
void pc_buf_fmt(struct pc_buf *b, const char *fmt, ...) PC_PRINTF(2, 3);
/* The bytes as the inside of a JSON string (RFC 8259), without the quotes; bytes that are not
 * UTF-8 become U+FFFD. */
void pc_buf_json(struct pc_buf *b, struct pc_bytes s);
/* The same with quotes around it. */
void pc_buf_json_str(struct pc_buf *b, struct pc_bytes s);

#ifdef __cplusplus
}
#endif
#endif
