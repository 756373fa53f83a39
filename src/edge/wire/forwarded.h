/* SPDX-License-Identifier: Apache-2.0
 * Who the client is, behind proxies: Forwarded (RFC 7239) and X-Forwarded-For.
 *
 * Every proxy appends the address it was called from, so the list is only as good as who wrote
 * it: it is read from the right, and an entry counts only while everything to its right is a
 * trusted peer. The first address that is not trusted is the client; what it wrote itself, further
 * left, is never read. Pure; any thread. */
#ifndef PC_EDGE_WIRE_FORWARDED_H
#define PC_EDGE_WIRE_FORWARDED_H

#include "base/bytes.h"
#include "base/ip.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_FORWARDED_HOPS_MAX 32 /* trusted hops followed; a longer chain counts as malformed */

enum pc_forwarded_syntax {
    PC_FORWARDED_X_FOR,   /* X-Forwarded-For: 192.0.2.1, 2001:db8::1, [2001:db8::2]:443 */
    PC_FORWARDED_RFC7239, /* Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:80" */
};

struct pc_client_addr {
    struct pc_ip ip; /* the client, or the last trusted hop if its entry cannot be read */
    uint32_t hops;   /* entries believed */
    bool malformed;  /* the entry that should name the client cannot be read (also "unknown",
                      * "_hidden", zones): ip is a proxy, so refuse where the address decides */
};

/* values[0..n): all field values, in their order. The peer of the connection is trusted or not
 * like everybody else; one without an address (family 0, a Unix socket) is trusted: ask for others
 * only. Never fails. */
void pc_forwarded_client(enum pc_forwarded_syntax syntax, const struct pc_bytes *values, size_t n,
                         const struct pc_ip *peer, const struct pc_cidr *trusted, size_t n_trusted,
                         struct pc_client_addr *ret_client);

#ifdef __cplusplus
}
#endif
#endif
