/* SPDX-License-Identifier: Apache-2.0
 * Minting many tokens at once, on all CPUs, into a run of memory or a file (tokens.h). The same
 * plan gives the same subjects, sessions and jtis; token i of the file belongs to user i. Also the
 * sub-command `mint`. */
#ifndef LD_MINT_H
#define LD_MINT_H

#include "load/keyfile.h"
#include "load/tokens.h"

#define LD_SCOPES_DEFAULT                                                                          \
    "orders:read orders:write invoices:read customers:read customers:write products:read "         \
    "shipments:read shipments:write suppliers:read profile email reports:read"
#define LD_ROLES_DEFAULT      "user,buyer"
#define LD_LIFETIME_S_DEFAULT 86400

struct ld_mint_plan {
    const struct ld_key *key;
    const char *issuer;
    const char *scopes; /* separated by blanks; NULL: LD_SCOPES_DEFAULT */
    const char *roles;  /* separated by commas; NULL: LD_ROLES_DEFAULT */
    uint64_t count_of_kind[LD_TOKEN_KINDS];
    int64_t now_ms; /* wall clock */
    int64_t lifetime_s;
    uint64_t seed;
    unsigned threads; /* 0: as many as CPUs */
};

/* path NULL: into memory. On failure nothing is left but the started file. */
bool ld_mint(const struct ld_mint_plan *plan, const char *path, struct ld_tokens *ret_tokens,
             struct ld_problem *);

/* Shares, in any unit, to counts of kinds that sum up to count; what rounding leaves goes to the
 * first kind that has a share, and every kind with a share gets one at least. Pure. */
void ld_mint_split(uint64_t count, const double share[LD_TOKEN_KINDS],
                   uint64_t ret_count[LD_TOKEN_KINDS]);

/* "good=90,revoked=5,expired=5"; false names what is wrong. Pure. */
bool ld_mint_read_mix(const char *text, double ret_share[LD_TOKEN_KINDS], struct ld_problem *);

int ld_mint_main(int argc, char **argv);

#endif
