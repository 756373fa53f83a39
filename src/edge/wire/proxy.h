/* SPDX-License-Identifier: Apache-2.0
 * The PROXY protocol, versions 1 (a line of text) and 2 (binary): what a proxy that forwards whole
 * connections says about its client before the client's first byte. Pure; no allocation; any
 * thread.
 *
 * Version 2 (big endian):
 *      0  12  0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
 *     12   1  version 2 in the high four bits | 0 LOCAL, 1 PROXY
 *     13   1  family 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix in the high four bits
 *             | transport 0 unspecified, 1 stream, 2 datagram
 *     14   2  length of the rest: addresses, ports, then TLVs {type, length (2), value}
 * A CRC32C TLV (type 3) covers the whole header with its own four bytes as 0. */
#ifndef PC_EDGE_WIRE_PROXY_H
#define PC_EDGE_WIRE_PROXY_H

#include "base/err.h"
#include "base/ip.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_PROXY_V1_MAX     107  /* bytes of a version 1 line with its CR LF */
#define PC_PROXY_HEADER_MAX 4096 /* bytes of a version 2 header that are taken */
#define PC_PROXY_TLVS_MAX   64

struct pc_proxy {
    uint8_t version; /* 1 or 2 */
    bool local;      /* LOCAL: the proxy speaks for itself (a health check) */
    bool known;      /* source and destination are set; false for LOCAL, UNKNOWN and families
                      * without an address here: the connection's own peer stands */
    struct pc_ip source, destination;
    uint16_t source_port, destination_port;
};

/* The header at the front of p[0..n), which may hold more. Returns its length; 0: more bytes are
 * needed; PC_E_SYNTAX (not a PROXY header, or malformed), PC_E_TOO_LARGE (above the limits),
 * PC_E_UNSUPPORTED (another version, datagrams), PC_E_DAMAGED (checksum). What can be refused is
 * refused at once, not when the rest is there. */
int pc_proxy_parse(const uint8_t *p, size_t n, struct pc_proxy *ret_header);

#ifdef __cplusplus
}
#endif
#endif
