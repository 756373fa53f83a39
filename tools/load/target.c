/* SPDX-License-Identifier: Apache-2.0
 * Resolving the target and knocking at it once (target.h). */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "load/target.h"

static bool knock(const struct ld_address *a)
{
    const int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool good = fd >= 0 && connect(fd, (const void *)&a->storage, a->bytes) == 0;
    const int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return good;
}

static bool resolve_unix(const char *path, struct ld_address *ret_address,
                         struct ld_problem *problem)
{
    struct ld_address a = {.bytes = sizeof(struct sockaddr_un)};
    struct sockaddr_un *un = (struct sockaddr_un *)&a.storage;
    un->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(un->sun_path))
        return ld_problem_set(problem, "--unix: %s is longer than a socket's path may be", path);
    memcpy(un->sun_path, path, strlen(path) + 1);
    if (!knock(&a))
        return ld_problem_set(problem, "cannot connect to %s: %s", path, strerror(errno));
    *ret_address = a;
    return true;
}

/* The first of the name's addresses that answers. */
bool ld_target_resolve(const struct ld_options *o, struct ld_address *ret_address,
                       struct ld_problem *problem)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    char port[8];
    if (o->unix_path)
        return resolve_unix(o->unix_path, ret_address, problem);
    snprintf(port, sizeof(port), "%u", o->target.port);
    const int err = getaddrinfo(o->target.host, port, &hints, &list);
    if (err)
        return ld_problem_set(problem, "%s: %s", o->target.host, gai_strerror(err));
    bool found = false;
    for (const struct addrinfo *i = list; i && !found; i = i->ai_next) {
        struct ld_address a = {.bytes = i->ai_addrlen};
        memcpy(&a.storage, i->ai_addr, i->ai_addrlen);
        found = knock(&a);
        if (found)
            *ret_address = a;
    }
    if (!found)
        ld_problem_set(problem, "cannot connect to %s: %s", o->target.authority, strerror(errno));
    freeaddrinfo(list);
    return found;
}
