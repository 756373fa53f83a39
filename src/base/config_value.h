/* SPDX-License-Identifier: Apache-2.0
 * The forms in which configuration and the command write quantities: durations ("15m"), sizes
 * ("1MiB"), addresses ("127.0.0.1:8080", "[::1]:8080", "unix:/run/x") and networks
 * ("10.0.0.0/8"). Pure; any thread. */
#ifndef PC_BASE_CONFIG_VALUE_H
#define PC_BASE_CONFIG_VALUE_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A whole number with its unit: ms, s, m, h, d; "0" needs none. -EINVAL or -ERANGE. */
int pc_duration_parse(struct pc_bytes text, int64_t *ret_ms);
/* The shortest form that gives ms back. */
void pc_duration_format(int64_t ms, struct pc_buf *b);

/* A whole number with B, KiB, MiB or GiB; without a unit, bytes. -EINVAL or -ERANGE. */
int pc_size_parse(struct pc_bytes text, uint64_t *ret_bytes);
void pc_size_format(uint64_t bytes, struct pc_buf *b);

#define PC_UNIX_PATH_MAX 107

enum pc_address_family { PC_ADDRESS_IPV4, PC_ADDRESS_IPV6, PC_ADDRESS_UNIX };

struct pc_address {
    enum pc_address_family family;
    uint16_t port;
    uint8_t ip[16]; /* IPv4 in the first four bytes */
    char path[PC_UNIX_PATH_MAX + 1];
};

/* Numeric addresses only: a name would make the start depend on DNS. */
int pc_address_parse(struct pc_bytes text, struct pc_address *ret_address);
void pc_address_format(const struct pc_address *a, struct pc_buf *b);
/* 127.0.0.0/8, ::1, or a Unix socket. */
bool pc_address_is_local(const struct pc_address *a);

struct pc_cidr {
    uint8_t ip[16];  /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;    /* 0 … 128, of the 16-byte form */
    bool unix_peers; /* the word "unix": every peer of a Unix socket */
};

/* "10.0.0.0/8", "2001:db8::/32", a single address, or "unix". Host bits must be zero. */
int pc_cidr_parse(struct pc_bytes text, struct pc_cidr *ret_cidr);
bool pc_cidr_contains(const struct pc_cidr *c, const uint8_t ip[16]);

#ifdef __cplusplus
}
#endif
#endif
