/* SPDX-License-Identifier: Apache-2.0
 * IP addresses and prefixes: parse, format, match. Pure; any thread.
 *
 * An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is the IPv4 address everywhere: otherwise one
 * host would have two spellings and a rule for one would miss the other. Zones ("%eth0") are
 * refused. */
#ifndef PC_BASE_IP_H
#define PC_BASE_IP_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;

#define PC_IP_TEXT_MAX   45 /* the longest text form, without terminator */
#define PC_CIDR_TEXT_MAX (PC_IP_TEXT_MAX + 4)

struct pc_ip {
    uint8_t family; /* 4, 6, or 0: none (a Unix socket's peer) */
    uint8_t b[16];  /* network order; IPv4 in the first four, the rest 0 */
};

struct pc_cidr {
    struct pc_ip ip; /* host bits are 0 */
    uint8_t bits;    /* 0..32 or 0..128 */
};

/* "192.0.2.1" (four decimal numbers without leading zeros) or RFC 4291 text. 0, or -EINVAL. */
int pc_ip_parse(struct pc_bytes s, struct pc_ip *ret_ip);

/* The same, or "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80". *ret_port is 0 when absent. */
int pc_ip_parse_port(struct pc_bytes s, struct pc_ip *ret_ip, uint16_t *ret_port);

/* Of 4 or 16 bytes in network order. */
struct pc_ip pc_ip_of_v4(const uint8_t b[4]);
struct pc_ip pc_ip_of_v6(const uint8_t b[16]);
/* Family 0 for anything but AF_INET and AF_INET6. */
struct pc_ip pc_ip_of_sockaddr(const struct sockaddr *sa);

/* RFC 5952 text; "" for family 0. */
void pc_ip_format(const struct pc_ip *ip, struct pc_buf *b);

static inline bool pc_ip_eq(const struct pc_ip *a, const struct pc_ip *b)
{
    return a->family == b->family && memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* 127.0.0.0/8 and ::1. */
bool pc_ip_is_loopback(const struct pc_ip *ip);

/* "10.0.0.0/8", "2001:db8::/32", or a bare address. 0, or -EINVAL; host bits that are not 0 are
 * refused, they are a slip of the one who wrote them. */
int pc_cidr_parse(struct pc_bytes s, struct pc_cidr *ret_cidr);
/* The same; on failure *why says what is wrong and, for host bits, what was meant. */
int pc_cidr_parse_why(struct pc_bytes s, struct pc_cidr *ret_cidr, struct pc_why *why);
/* "192.0.2.0/24", always with the length. */
void pc_cidr_format(const struct pc_cidr *cidr, struct pc_buf *b);
bool pc_cidr_contains(const struct pc_cidr *cidr, const struct pc_ip *ip);
/* Does any of them contain ip? */
bool pc_cidrs_contain(const struct pc_cidr *cidrs, size_t n, const struct pc_ip *ip);

#ifdef __cplusplus
}
#endif
#endif
