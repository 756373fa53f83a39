/* SPDX-License-Identifier: Apache-2.0
 * The chunked transfer coding (RFC 9112 section 7.1), decoded incrementally and in place.
 *
 *   chunk-size (hex) [;extensions] CRLF data CRLF … 0 [;extensions] CRLF [trailers] CRLF
 *
 * Pure; belongs to the connection's core. Strict: CRLF only, no blanks around the size, at most
 * 16 digits. Extensions and trailer fields are checked, bounded and discarded: nothing in them may
 * change a decision. */
#ifndef PC_EDGE_WIRE_CHUNKED_H
#define PC_EDGE_WIRE_CHUNKED_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_CHUNKED_EXTENSION_BYTES 1024 /* all extensions of one body; 400 */
#define PC_CHUNKED_TRAILER_BYTES   4096 /* all trailer lines of one body; 431 */

struct pc_chunked {
    uint64_t chunk_left;  /* bytes of the current chunk not yet seen */
    uint64_t body_bytes;  /* decoded so far */
    uint64_t body_max;    /* more is 413 */
    uint16_t extra_bytes; /* extensions, then trailers, seen */
    uint8_t state;        /* enum in chunked.c */
    uint8_t digits;       /* of the chunk size being read */
};

void pc_chunked_init(struct pc_chunked *c, uint64_t body_max);

/* Feeds raw[0..n), which continues what was fed before. The decoded bytes among them are moved to
 * raw[0..*ret_body); *ret_used raw bytes were consumed: all n, unless the body ended, when what
 * follows is the next request. Returns 1 at the end of the body, 0 if more is needed, or
 * -(HTTP status): 400, 413 or 431, and the decoder is of no further use. */
int pc_chunked_decode(struct pc_chunked *c, uint8_t *raw, size_t n, size_t *ret_body,
                      size_t *ret_used);

#ifdef __cplusplus
}
#endif
#endif
