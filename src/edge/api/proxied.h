/* SPDX-License-Identifier: Apache-2.0
 * Connections that begin with a PROXY protocol header (a listener's key proxy_protocol), for every
 * protocol alike. Such a header is obligatory there, is taken from trusted peers only, and must be
 * complete in time: anything else closes the connection without a word and is counted.
 *
 * Afterwards the connection's peer is who the header names, also for trusted_peers, so that a
 * gateway behind a load balancer needs to be trusted itself. LOCAL leaves the peer. Where the proxy
 * cannot say for whom it speaks (UNKNOWN, a Unix socket) the address stays, but the connection is
 * trusted no more. Runs on the connection's core. */
#ifndef PC_API_PROXIED_H
#define PC_API_PROXIED_H

#include "edge/api/server.h"

/* From accepting to the end of the header, where the protocol has no deadline of its own. */
#define PC_PROXIED_TIMEOUT_MS 5000

/* A new connection: 0, *ret_due says whether a header must come first; -EACCES if this peer may not
 * send one: do not open it. */
int pc_proxied_open(struct pc_conn *c, bool *ret_due);
/* While a header is due: the bytes of the header, which is then done; 0: it is not complete;
 * -EPROTO: the connection is being aborted. */
ptrdiff_t pc_proxied_take(struct pc_conn *c, const uint8_t *p, size_t n);
/* It did not come in time; the caller closes the connection. */
void pc_proxied_timeout(struct pc_conn *c);

#endif
