/* SPDX-License-Identifier: Apache-2.0
 * base64url without padding (RFC 4648 section 5 as RFC 7515 uses it), strictly: no '=', no white
 * space, no length of 4n+1, and no bits set beyond the last byte, so that every byte string has
 * exactly one encoding. Pure; any thread. Not constant time. */
#ifndef PC_BASE_BASE64URL_H
#define PC_BASE_BASE64URL_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that n characters decode to, and characters that n bytes encode to. */
#define PC_BASE64URL_DECODED(n) ((n) / 4 * 3 + ((n) % 4 ? (n) % 4 - 1 : 0))
#define PC_BASE64URL_ENCODED(n) ((n) / 3 * 4 + ((n) % 3 ? (n) % 3 + 1 : 0))

/* Decodes all of s to dst. PC_E_SYNTAX, or PC_E_TOO_LARGE if cap is less than
 * PC_BASE64URL_DECODED(s.n); dst is undefined then. */
int pc_base64url_decode(struct pc_bytes s, uint8_t *dst, size_t cap, size_t *ret_n);

/* Appends the encoding of s; sets b->overflow when it does not fit. */
void pc_base64url_encode(struct pc_bytes s, struct pc_buf *b);

#ifdef __cplusplus
}
#endif
#endif
