/* SPDX-License-Identifier: Apache-2.0
 * What a server has to know before a workload runs: the revoked share is revoked, flags have their
 * values, and, if the workload says so, every good token was asked about once. Main thread, before
 * the run; blocks. */
#ifndef LD_SETUP_H
#define LD_SETUP_H

#include "load/options.h"
#include "load/template.h"
#include "load/workload.h"

struct ld_setup {
    const struct ld_options *options;
    const struct ld_workload *w;
    const struct ld_tokens *tokens;
    struct pc_bytes admin;                /* the administrator's token; n 0: none */
    struct ld_template *const *templates; /* of the workload's requests */
};

/* Whether an administrator's token is needed for it. */
bool ld_setup_needs_admin(const struct ld_workload *w, const struct ld_tokens *tokens);
bool ld_setup_run(const struct ld_setup *s, struct ld_problem *);

/* The address of client number n of a request's network, as text; at least 16 bytes. */
size_t ld_client_address(const struct ld_wl_request *r, uint64_t n, char ret_text[16]);

#endif
