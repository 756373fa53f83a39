/* SPDX-License-Identifier: Apache-2.0
 * From a target to an address, and a first connection that says clearly what is wrong. Blocks:
 * before a run only. */
#ifndef LD_TARGET_H
#define LD_TARGET_H

#include <sys/socket.h>

#include "load/options.h"

struct ld_address {
    struct sockaddr_storage storage;
    unsigned bytes;
};

bool ld_target_resolve(const struct ld_options *, struct ld_address *ret_address,
                       struct ld_problem *);

#endif
