/* SPDX-License-Identifier: Apache-2.0
 * The seam between bytes and answers: what a protocol provides. The parsers read bytes of a server
 * nobody vouches for; they are pure but for growing the buffers of their own state.
 *
 * HTTP/1.1 and RESP answer in order on a connection, which is all the engine knows: the answer that
 * comes is that of the oldest request. A protocol that multiplexes (HTTP/2, gRPC) must say in
 * addition which request an answer belongs to (`stream` in ld_answer, an index into the pending
 * requests instead of their head) and frame what is sent (a hook where requests are copied into
 * the send buffer); TLS stands between recv / send and these calls, its own state per connection.
 */
#ifndef LD_PROTOCOL_H
#define LD_PROTOCOL_H

#include "load/source.h"

enum {
    LD_RESP_DEPTH_MAX = 8,          /* arrays in arrays */
    LD_RESP_ELEMENTS_MAX = 1 << 20, /* of one array */
    LD_LINE_MAX = 4096,             /* a line of RESP or memcached, a chunk's size line */
};

enum ld_parse {
    LD_PARSE_MORE,   /* all bytes were taken, the answer is not complete */
    LD_PARSE_ANSWER, /* *ret_used bytes belong to it (and to what preceded it) */
    LD_PARSE_BAD,    /* no answer can come of this */
};

/* Bytes of an answer that came in several pieces. */
struct ld_gather {
    uint8_t *p;
    size_t bytes, room;
};

/* Where a connection stands in its stream of answers. Zeroed: at the start of one. */
struct ld_parser {
    uint8_t stage; /* the protocol's own; 0: between answers */
    bool cut;      /* body beyond LD_BODY_BYTES_MAX was dropped */
    bool closes;   /* the server closes the connection after this answer */
    int status;
    uint64_t body_left; /* of the body or of the chunk; HTTP until the end: UINT64_MAX */
    struct ld_gather head, body;
    /* RESP: how far `body` was understood. */
    size_t scanned;
    uint8_t depth;
    int64_t left[LD_RESP_DEPTH_MAX]; /* elements still to come, per array that is open */
};

struct ld_protocol {
    const char *name;
    /* Takes bytes up to the end of one answer. For LD_PARSE_ANSWER status, head, body and cut of
     * *answer are set; they stay valid until the next call (they may point into p). no_body: the
     * answer is to a HEAD request. */
    enum ld_parse (*parse)(struct ld_parser *, const uint8_t *p, size_t n, bool no_body,
                           size_t *ret_used, struct ld_answer *answer);
    /* The peer closed the connection: an answer that was to last until then, or not. */
    enum ld_parse (*end)(struct ld_parser *, struct ld_answer *answer);
};

extern const struct ld_protocol ld_http1, ld_resp, ld_memcached;

/* Frees what the state owns and zeroes it. */
void ld_parser_reset(struct ld_parser *);

/* Appends; false: more than limit, or no memory. */
bool ld_gather_add(struct ld_gather *, const uint8_t *p, size_t n, size_t limit);

#endif
