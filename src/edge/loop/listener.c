/* SPDX-License-Identifier: Apache-2.0
 * Listening sockets; see listener.h. Main thread only. */
#include "edge/loop/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"

#define UNIX_PREFIX  "unix:"
#define BUSY_STEP_MS 20

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
    struct sockaddr_storage room;
};

struct parsed {
    union address a;
    socklen_t n;
    enum pc_listener_reach reach;
};

/* ---- addresses ---- */

static int parse_unix(const char *path, struct parsed *p, struct pc_why *why)
{
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof p->a.un.sun_path)
        return pc_fail(why, -EINVAL, "unix:%s: the path must have 1 to %zu bytes", path,
                       sizeof p->a.un.sun_path - 1);
    p->a.un.sun_family = AF_UNIX;
    memcpy(p->a.un.sun_path, path, n + 1);
    p->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    p->reach = PC_REACH_UNIX;
    return 0;
}

static int parse_port(const char *address, const char *s, in_port_t *ret_port, struct pc_why *why)
{
    uint64_t port;
    if (pc_bytes_to_u64(pc_bytes_str(s), &port) < 0 || port > 65535)
        return pc_fail(why, -EINVAL, "%s: the port must be a number from 0 to 65535", address);
    *ret_port = htons((in_port_t)port);
    return 0;
}

static bool v6_loopback(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

static int set_host(const char *host, in_port_t port, struct parsed *p)
{
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &p->a.v4.sin_addr) == 1) {
        p->a.v4.sin_family = AF_INET;
        p->a.v4.sin_port = port;
        p->n = sizeof p->a.v4;
        p->reach =
            ntohl(p->a.v4.sin_addr.s_addr) >> 24 == 127 ? PC_REACH_LOOPBACK : PC_REACH_NETWORK;
        return 0;
    }
    size_t n = strlen(host);
    char inner[INET6_ADDRSTRLEN + 1];
    if (n < 2 || n - 2 >= sizeof inner || host[0] != '[' || host[n - 1] != ']')
        return -EINVAL;
    memcpy(inner, host + 1, n - 2);
    inner[n - 2] = 0;
    if (inet_pton(AF_INET6, inner, &p->a.v6.sin6_addr) != 1)
        return -EINVAL;
    p->a.v6.sin6_family = AF_INET6;
    p->a.v6.sin6_port = port;
    p->n = sizeof p->a.v6;
    p->reach = v6_loopback(&p->a.v6.sin6_addr) ? PC_REACH_LOOPBACK : PC_REACH_NETWORK;
    return 0;
}

static int parse(const char *address, struct parsed *p, struct pc_why *why)
{
    char host[PC_LISTENER_NAME_MAX];
    in_port_t port = 0;
    memset(p, 0, sizeof *p);
    if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(address + strlen(UNIX_PREFIX), p, why);
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;
    if (!colon || n >= sizeof host)
        return pc_fail(why, -EINVAL, "%s: an address is HOST:PORT, [IPV6]:PORT or unix:PATH",
                       address);
    memcpy(host, address, n);
    host[n] = 0;
    int err = parse_port(address, colon + 1, &port, why);
    if (!err && set_host(host, port, p) < 0)
        err =
            pc_fail(why, -EINVAL, "%s: the host must be an IP address (IPv6 in brackets)", address);
    return err;
}

int pc_listener_parse(const char *address, enum pc_listener_reach *ret_reach, struct pc_why *why)
{
    struct parsed p;
    int err = parse(address, &p, why);
    if (!err)
        *ret_reach = p.reach;
    return err;
}

/* ---- opening ---- */

/* A socket file nobody answers on is left over from a server that was killed. */
static int remove_stale(const struct parsed *p, struct pc_why *why)
{
    struct stat st;
    const char *path = p->a.un.sun_path;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    if (!S_ISSOCK(st.st_mode))
        return pc_fail(why, -EEXIST, "%s exists and is not a socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pc_fail(why, -errno, "no socket: %s", pc_strerror(-errno));
    int err = connect(fd, &p->a.any, p->n) < 0 ? -errno : 0;
    close(fd);
    /* EAGAIN: its backlog is full, so somebody is there. */
    if (err == 0 || err == -EAGAIN)
        return pc_fail(why, -EADDRINUSE, "%s is in use by another server", path);
    if (err != -ECONNREFUSED)
        return pc_fail(why, err, "%s: cannot tell whether it is in use: %s", path,
                       pc_strerror(err));
    if (unlink(path) < 0 && errno != ENOENT)
        return pc_fail(why, -errno, "%s: cannot remove the old socket: %s", path,
                       pc_strerror(-errno));
    return 0;
}

static int bind_and_listen(int fd, const char *address, const struct parsed *p, int backlog,
                           mode_t unix_mode, struct pc_why *why)
{
    int one = 1;
    bool is_unix = p->reach == PC_REACH_UNIX;
    if (!is_unix)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (p->a.any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    /* A path without loss needs no model of it: others (BBR) time every send. Accepted sockets
     * inherit it; it is always there, and where it is refused nothing is lost. */
    if (p->reach == PC_REACH_LOOPBACK)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (bind(fd, &p->a.any, p->n) < 0)
        return pc_fail(why, -errno, "%s: cannot bind: %s", address, pc_strerror(-errno));
    /* Before listen(): nobody connects with other permissions than these. */
    if (is_unix && chmod(p->a.un.sun_path, unix_mode) < 0)
        return pc_fail(why, -errno, "%s: cannot set mode %o: %s", address, (unsigned)unix_mode,
                       pc_strerror(-errno));
    if (listen(fd, backlog > 0 ? backlog : PC_LISTEN_BACKLOG) < 0)
        return pc_fail(why, -errno, "%s: cannot listen: %s", address, pc_strerror(-errno));
    return 0;
}

static int try_open(const char *address, const struct parsed *p, int backlog, mode_t unix_mode,
                    int *ret_fd, struct pc_why *why)
{
    int err = p->reach == PC_REACH_UNIX ? remove_stale(p, why) : 0;
    if (err)
        return err;
    int fd = socket(p->a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pc_fail(why, -errno, "%s: no socket: %s", address, pc_strerror(-errno));
    err = bind_and_listen(fd, address, p, backlog, unix_mode, why);
    if (err) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

int pc_listener_open(const char *address, int backlog, mode_t unix_mode, int *ret_fd,
                     struct pc_why *why)
{
    struct parsed p;
    int err = parse(address, &p, why);
    if (err)
        return err;
    for (int waited_ms = 0;; waited_ms += BUSY_STEP_MS) {
        err = try_open(address, &p, backlog, unix_mode, ret_fd, why);
        if (err != -EADDRINUSE || waited_ms >= PC_LISTENER_BUSY_MS)
            return err;
        poll(NULL, 0, BUSY_STEP_MS);
    }
}

void pc_listener_unlink(const char *address)
{
    if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        (void)unlink(address + strlen(UNIX_PREFIX)); /* gone already: fine */
}

/* ---- socket activation ---- */

static int check_inherited(int fd, struct pc_why *why)
{
    int listening = 0, type = 0;
    socklen_t n = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0)
        return pc_fail(why, -errno, "inherited descriptor %d is not a socket", fd);
    n = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM || !listening)
        return pc_fail(why, -EINVAL, "inherited descriptor %d is not a listening stream socket",
                       fd);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return pc_fail(why, -errno, "inherited descriptor %d: %s", fd, pc_strerror(-errno));
    return 0;
}

int pc_listener_inherited(const char *listen_pid, const char *listen_fds, pid_t self,
                          struct pc_why *why)
{
    uint64_t pid, count;
    if (!listen_pid || !listen_fds)
        return 0;
    if (pc_bytes_to_u64(pc_bytes_str(listen_pid), &pid) < 0)
        return pc_fail(why, -EINVAL, "LISTEN_PID=%s is not a number", listen_pid);
    if (pid != (uint64_t)self)
        return 0; /* meant for our parent */
    if (pc_bytes_to_u64(pc_bytes_str(listen_fds), &count) < 0 || count > PC_LISTEN_FDS_MAX)
        return pc_fail(why, -EINVAL, "LISTEN_FDS=%s is not a number from 0 to %d", listen_fds,
                       PC_LISTEN_FDS_MAX);
    for (int i = 0; i < (int)count; i++) {
        int err = check_inherited(PC_LISTEN_FDS_START + i, why);
        if (err)
            return err;
    }
    return (int)count;
}

/* ---- names ---- */

int pc_listener_name(int fd, char ret_name[PC_LISTENER_NAME_MAX])
{
    union address a;
    socklen_t n = sizeof a;
    char host[INET6_ADDRSTRLEN];
    memset(&a, 0, sizeof a);
    if (getsockname(fd, &a.any, &n) < 0)
        return -errno;
    if (a.any.sa_family == AF_UNIX) {
        int len = (int)n - (int)offsetof(struct sockaddr_un, sun_path);
        snprintf(ret_name, PC_LISTENER_NAME_MAX, UNIX_PREFIX "%.*s", len > 0 ? len : 0,
                 a.un.sun_path);
    } else if (a.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
        snprintf(ret_name, PC_LISTENER_NAME_MAX, "%s:%u", host, ntohs(a.v4.sin_port));
    } else if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
        snprintf(ret_name, PC_LISTENER_NAME_MAX, "[%s]:%u", host, ntohs(a.v6.sin6_port));
    } else {
        return PC_E_UNSUPPORTED;
    }
    return 0;
}
