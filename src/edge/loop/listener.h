/* SPDX-License-Identifier: Apache-2.0
 * Listening sockets: bound here, or inherited by socket activation. Main thread, before the loop
 * starts. Never accepts. */
#ifndef PC_LOOP_LISTENER_H
#define PC_LOOP_LISTENER_H

#include <sys/types.h>

#include "base/err.h"

#define PC_LISTEN_BACKLOG    4096
#define PC_LISTEN_FDS_START  3
#define PC_LISTEN_FDS_MAX    64
#define PC_LISTENER_NAME_MAX 128
/* How long an address in use is tried again. The kernel takes a killed server's ring apart after
 * the process is gone, and until then its listening sockets live on. */
#define PC_LISTENER_BUSY_MS 1000

/* Opens, binds and listens. Addresses:
 *     127.0.0.1:8080   [::1]:8080   0.0.0.0:0 (any port)   localhost:8080 (127.0.0.1)
 *     [::]:8080 is IPv6 only: give both addresses to listen on both
 *     unix:/run/portcullis.sock     (unix_mode: permissions of the socket file)
 * A Unix socket file that nobody answers on is removed first; one that is answered on, or a file
 * that is no socket, is refused (EADDRINUSE after PC_LISTENER_BUSY_MS, EEXIST). backlog 0:
 * PC_LISTEN_BACKLOG. */
int pc_listener_open(const char *address, int backlog, mode_t unix_mode, int *ret_fd,
                     struct pc_why *why);

/* Is the address well formed, and who can reach it? For configuration checks; opens nothing. */
enum pc_listener_reach { PC_REACH_UNIX, PC_REACH_LOOPBACK, PC_REACH_NETWORK };
int pc_listener_parse(const char *address, enum pc_listener_reach *ret_reach, struct pc_why *why);

/* Descriptors passed by a supervisor (the values of LISTEN_PID and LISTEN_FDS, either may be NULL):
 * how many there are from PC_LISTEN_FDS_START on, 0 when they are not for this process. Each is
 * checked to be a listening stream socket and made close-on-exec. */
int pc_listener_inherited(const char *listen_pid, const char *listen_fds, pid_t self,
                          struct pc_why *why);

/* The bound address in the notation above (port 0 resolved), to match inherited descriptors with
 * the configuration and for logs. */
int pc_listener_name(int fd, char ret_name[PC_LISTENER_NAME_MAX]);

/* Removes the socket file of a `unix:` address; others: nothing. */
void pc_listener_unlink(const char *address);

#endif
