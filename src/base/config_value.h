/* SPDX-License-Identifier: Apache-2.0
 * The forms in which configuration and the command write quantities: durations ("15m"), sizes
 * ("1MiB") and the addresses of listeners. Pure; any thread. */
#ifndef PC_BASE_CONFIG_VALUE_H
#define PC_BASE_CONFIG_VALUE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/ip.h"

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

/* "0660": octal digits, at most 0777. */
int pc_mode_parse(struct pc_bytes text, uint64_t *ret_mode);

#define PC_UNIX_PATH_MAX 107 /* of sockaddr_un, without its terminator */

/* Where a listener stands: a numeric IP address and port, or a Unix socket. */
struct pc_address {
    struct pc_ip ip; /* family 0: a Unix socket */
    uint16_t port;
    char path[PC_UNIX_PATH_MAX + 1];
};

/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080" (127.0.0.1), "unix:/path". No other names: a
 * start must not depend on DNS. -EINVAL. */
int pc_address_parse(struct pc_bytes text, struct pc_address *ret_address);
void pc_address_format(const struct pc_address *a, struct pc_buf *b);
/* Loopback or a Unix socket: only this machine can reach it. */
bool pc_address_is_local(const struct pc_address *a);

#ifdef __cplusplus
}
#endif
#endif
