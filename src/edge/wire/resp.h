/* SPDX-License-Identifier: Apache-2.0
 * RESP2 requests (arrays of bulk strings, and inline commands) and replies.
 *
 *   *2\r\n $6\r\nEXISTS\r\n $7\r\nbl:abcd\r\n          (without the blanks)
 *   EXISTS bl:abcd\r\n                                 inline; "quotes", 'quotes' and \x41 as Redis
 *
 * Pure: no I/O, no allocation, any thread. The parser keeps a few words per connection; the
 * arguments point into the connection's buffer. It looks at each byte once (the short "$n" lines
 * of a command that came in pieces are walked once more when it is complete).
 *
 * Errors are worded as Redis words them. Stricter than Redis, which never looks: every line and
 * bulk ends in CRLF (inline lines: LF or CRLF, as Redis). */
#ifndef PC_EDGE_WIRE_RESP_H
#define PC_EDGE_WIRE_RESP_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_RESP_ARGS_MAX          1024       /* arguments of one command, the name included */
#define PC_RESP_BULK_BYTES        65536      /* one argument */
#define PC_RESP_INLINE_BYTES      65536      /* one inline line with its end */
#define PC_RESP_COMMAND_BYTES     (1u << 20) /* one command entire */
#define PC_RESP_UNAUTH_ARGS       10         /* before AUTH, where it is required */
#define PC_RESP_UNAUTH_BULK_BYTES 16384

struct pc_resp_limits {
    uint32_t args; /* at most PC_RESP_ARGS_MAX */
    uint32_t bulk_bytes;
    uint32_t inline_bytes;
    uint32_t command_bytes;
    bool unauthenticated; /* the PC_RESP_UNAUTH_* limits apply too, with Redis's words */
};

extern const struct pc_resp_limits pc_resp_limits_default;

/* X(NAME, text): the text follows "-ERR Protocol error: ". */
#define PC_RESP_ERRORS(X)                                                                          \
    X(NONE, "")                                                                                    \
    X(MULTIBULK_LENGTH, "invalid multibulk length")                                                \
    X(MULTIBULK_UNAUTH, "unauthenticated multibulk length")                                        \
    X(BULK_LENGTH, "invalid bulk length")                                                          \
    X(BULK_UNAUTH, "unauthenticated bulk length")                                                  \
    X(EXPECTED_DOLLAR, "expected '$', got '?'")                                                    \
    X(BULK_END, "bulk is not followed by CRLF")                                                    \
    X(INLINE_LONG, "too big inline request")                                                       \
    X(QUOTES, "unbalanced quotes in request")                                                      \
    X(INLINE_NUL, "NUL byte in inline request")                                                    \
    X(COMMAND_LARGE, "command larger than its limit")

enum pc_resp_error {
#define PC_RESP_ERROR_ENUM(name, text) PC_RESP_E_##name,
    PC_RESP_ERRORS(PC_RESP_ERROR_ENUM)
#undef PC_RESP_ERROR_ENUM
        PC_RESP_ERROR_COUNT
};

/* One per connection. Zeroed memory is ready for use. */
struct pc_resp_parser {
    uint32_t pos;  /* first byte not yet judged; 0: at the start of a command */
    uint32_t need; /* nothing can be decided below this many bytes */
    uint16_t argc; /* arguments announced */
    uint16_t done; /* arguments complete */
    int32_t bulk;  /* length of the bulk being read; -1: its header is next */
    uint8_t error; /* enum pc_resp_error */
    uint8_t got;   /* the byte of EXPECTED_DOLLAR */
};

/* A complete command: argv belongs to the core and is filled anew by every parse. */
struct pc_resp_command {
    size_t argc;  /* 0: an empty command, to be ignored (Redis answers nothing to it either) */
    bool foreign; /* the first word is POST or Host: a browser is made to speak to us; close */
    struct pc_bytes argv[PC_RESP_ARGS_MAX];
};

/* buf[0..n) begins where the last complete command ended; between calls it may grow and move.
 * Returns the bytes of one command (> 0; *ret_command is set, and stays valid as long as these
 * bytes stay in place), 0 if more is needed, or -EPROTO: then p->error says why; answer with
 * pc_resp_write_protocol_error() and close.
 * A complete inline command with quotes is unquoted in place: consume it, do not parse it twice. */
int pc_resp_parse(struct pc_resp_parser *p, const struct pc_resp_limits *limits, uint8_t *buf,
                  size_t n, struct pc_resp_command *ret_command);

/* Is this the name of the command, in any case? */
static inline bool pc_resp_is(const struct pc_resp_command *c, struct pc_bytes upper_name)
{
    return c->argc && pc_bytes_eq_nocase(c->argv[0], upper_name);
}

/* A signed decimal as Redis reads it: no blanks, no '+', no leading zeros, no "-0".
 * 0, or -EINVAL. */
int pc_resp_to_i64(struct pc_bytes s, int64_t *ret_value);

/* 0 or 1 as an integer reply, where room for it is known to be. */
#define PC_RESP_BIT_BYTES 4
static inline void pc_resp_put_bit(uint8_t *p, bool bit)
{
    memcpy(p, bit ? ":1\r\n" : ":0\r\n", PC_RESP_BIT_BYTES);
}

/* Replies. Text in simple strings and errors is cut at nothing, but CR and LF become spaces. */
void pc_resp_write_simple(struct pc_buf *b, const char *text);
void pc_resp_write_error(struct pc_buf *b, struct pc_bytes text); /* "ERR …", "WRONGPASS …" */
void pc_resp_write_int(struct pc_buf *b, int64_t value);
void pc_resp_write_bulk(struct pc_buf *b, struct pc_bytes value);
void pc_resp_write_null(struct pc_buf *b);                /* "$-1" */
void pc_resp_write_null_array(struct pc_buf *b);          /* "*-1" */
void pc_resp_write_array(struct pc_buf *b, size_t count); /* then write count replies */
void pc_resp_write_protocol_error(struct pc_buf *b, const struct pc_resp_parser *p);

#ifdef __cplusplus
}
#endif
#endif
