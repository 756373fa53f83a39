/* SPDX-License-Identifier: Apache-2.0
 * The router: which route does a request belong to? Compiled once from the rules of the
 * configuration, immutable afterwards; any thread reads it. No allocation after compiling, no
 * clock, no I/O, no idea of what a route demands.
 *
 * R1  The most specific rule wins, in this order of what counts:
 *       path      exact, then template (more literal segments first, then the one whose literal
 *                 stands further left), then prefix (the longest first; of equally long ones as
 *                 templates), then any path;
 *       host      exact, then "*.suffix" (the longest first), then any;
 *       method    named, then any;
 *       listener  named, then any.
 *     A rule whose path matches but whose host, method or listener does not is passed over for the
 *     next one.
 * R2  Two rules that no request can tell apart are refused when compiling.
 * R3  Paths are compared segment by segment, and a segment without its parameters: "/admin;x=1" and
 *     "/admin" are one path to many backends, so they are one path here. Empty segments do not
 *     count either ("/admin/", "/;x/admin"). Patterns therefore cannot hold ';'. The path given to
 *     pc_routes_find() is canonical (edge/wire/path.h), so it holds no "..", no "%2F".
 * R4  HEAD belongs to whatever GET belongs to, unless a rule names HEAD itself. Methods compare
 *     without case: HTTP tells "post" from "POST", but many a backend does not.
 *
 * Hosts compare without case; a port or the dot that ends an absolute name is not part of them.
 * Patterns: "/a/b" (this path), "/a/{id}/b" (any one segment for {id}), "/a/" followed by "*" (this
 * path and everything below it; may hold {…} too), "" (every path). */
#ifndef PC_EDGE_STATE_ROUTES_H
#define PC_EDGE_STATE_ROUTES_H

#include "base/bytes.h"
#include "base/config.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_ROUTES_MAX         PC_CONFIG_ROUTES_MAX
#define PC_ROUTE_SEGMENTS_MAX 32 /* of one pattern; longer paths can match prefixes only */
#define PC_ROUTE_NONE         UINT32_MAX

/* What a request must say before it can be matched: some rule asks for it. */
#define PC_ROUTE_NEEDS_PATH   1u
#define PC_ROUTE_NEEDS_HOST   2u
#define PC_ROUTE_NEEDS_METHOD 4u

/* One rule. What is empty matches everything. Texts are copied. */
struct pc_route_rule {
    const char *name; /* for refusals */
    const char *path;
    const struct pc_words *hosts, *methods; /* NULL: any */
    uint32_t listeners;                     /* bit per listener; 0: any */
};

/* A request as the router sees it. */
struct pc_route_request {
    struct pc_bytes path; /* canonical; begins with '/' */
    struct pc_bytes host; /* may carry a port */
    struct pc_bytes method;
    unsigned listener; /* index */
};

struct pc_routes;

/* Rule i becomes route i. -EINVAL (a bad pattern, two rules alike: *why names them), -ENOMEM. */
int pc_routes_compile(const struct pc_route_rule *rules, unsigned n, struct pc_routes **ret_routes,
                      struct pc_why *why);
void pc_routes_free(struct pc_routes *r); /* NULL is fine */

/* PC_ROUTE_NEEDS_*: of all rules together. */
unsigned pc_routes_needs(const struct pc_routes *r);

/* The index of the route, or PC_ROUTE_NONE. */
uint32_t pc_routes_find(const struct pc_routes *r, const struct pc_route_request *request);

/* Bytes held. */
size_t pc_routes_bytes(const struct pc_routes *r);

#ifdef __cplusplus
}
#endif
#endif
