/* SPDX-License-Identifier: Apache-2.0
 * One spelling per path: routes are matched against the canonical path and nothing else.
 *
 * Canonical: percent-decoded once, dot segments removed, runs of '/' collapsed to one, valid
 * UTF-8. Refused, because gateway, backend and we might read them differently: an encoded slash
 * (%2F) or backslash (%5C), a plain backslash, NUL and other control bytes plain or encoded, double
 * encoding (%25 followed by two hex digits, plain or encoded), '%' without two hex digits, ".."
 * above the root, a dot segment with parameters ("/..;x/"), bytes that are not UTF-8 after
 * decoding. Runs of '/' are collapsed rather than kept because most backends do: "//admin" must
 * meet the rule for "/admin". A trailing slash is kept. Parameters (";x=1") of other segments are
 * kept.
 *
 * Pure; any thread. */
#ifndef PC_EDGE_WIRE_PATH_H
#define PC_EDGE_WIRE_PATH_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* raw: the path as sent, without query. *ret_path borrows raw if it is canonical already,
 * otherwise scratch, which must hold raw.n bytes (cap less than that: -ENOBUFS).
 * 0, or -EINVAL: answer 400. */
int pc_path_canonical(struct pc_bytes raw, uint8_t *scratch, size_t cap, struct pc_bytes *ret_path);

/* Whether a request target, "/path", is its own canonical path: nothing to decode or to remove, no
 * query, no fragment. What pc_uri_split() and pc_path_canonical() would find, in one look. */
bool pc_path_is_target(struct pc_bytes target);

/* A URI reference cut into its parts; nothing is decoded. */
struct pc_uri {
    struct pc_bytes scheme;    /* "http", "https" in any case; empty for /path */
    struct pc_bytes authority; /* host[:port] */
    struct pc_bytes path;      /* empty in http://host */
    struct pc_bytes query;     /* without '?' */
    bool has_query;
};

/* "/path?query" or "http(s)://host[:port][/path][?query]", as in request targets, X-Original-URI,
 * X-Original-URL and X-Forwarded-Uri. -EINVAL for anything else: another scheme, userinfo, a
 * fragment, a bad host, bytes that are not visible. obs-text is allowed in path and query, as
 * gateways pass on raw what they received. */
int pc_uri_split(struct pc_bytes uri, struct pc_uri *ret_uri);

/* host[:port]: a name, an IPv4 address, or [IPv6]; may be empty. Of the names RFC 3986 allows only
 * those made of letters, digits, "-", ".", "_", "~": nobody's host holds an escape or a comma. */
bool pc_authority_valid(struct pc_bytes authority);

/* The host without port and brackets. The authority must be valid. */
struct pc_bytes pc_authority_host(struct pc_bytes authority);

#ifdef __cplusplus
}
#endif
#endif
