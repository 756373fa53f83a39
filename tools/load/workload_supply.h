/* SPDX-License-Identifier: Apache-2.0
 * A workload as a supply of requests: tokens are minted or mapped, the server is prepared, and each
 * generator thread gets a source. Read-only while threads run, but for the oracle (its own rules)
 * and the sums that sources add when they are closed. */
#ifndef LD_WORKLOAD_SUPPLY_H
#define LD_WORKLOAD_SUPPLY_H

#include "load/oracle.h"
#include "load/run.h"
#include "load/setup.h"
#include "load/zipf.h"

/* What a source found out beside the engine's own counts. */
struct ld_wl_counts {
    uint64_t allowed, refused, tolerated;
};

struct ld_workload_supply {
    struct ld_supply base;
    const struct ld_workload *w;
    struct ld_workload *owned;
    struct ld_tokens tokens;
    char admin[1024]; /* the administrator's token */
    struct pc_bytes admin_text, issuer_text;
    struct ld_template *templates[LD_WL_REQUESTS_MAX];
    bool uses_token[LD_WL_REQUESTS_MAX], uses_key[LD_WL_REQUESTS_MAX];
    bool uses_number[LD_WL_REQUESTS_MAX], uses_address[LD_WL_REQUESTS_MAX];
    struct ld_zipf of_kind[LD_TOKEN_KINDS], keys;
    struct ld_class classes[LD_CLASSES_MAX];
    int probe, seen, everywhere; /* classes; -1: nothing is revoked during the run */
    double rate_per_s;           /* open loop with phases: the whole of it */
    struct ld_oracle oracle;
    /* What went beside the loop and was left out: too many waited already (LD_HANDS_QUEUE_MAX), or
     * it lagged too far behind its pace. */
    _Atomic uint64_t probes_left_out, paced_left_out;
    _Atomic uint64_t allowed[LD_WL_REQUESTS_MAX], refused[LD_WL_REQUESTS_MAX],
        tolerated[LD_WL_REQUESTS_MAX];
};

/* Reads the workload file, gets tokens, prepares the server. Changes options that were not given
 * (connections, pipeline, rate) to what the file says. NULL: problem. */
struct ld_supply *ld_workload_supply(struct ld_options *o, struct ld_problem *);

/* The ops' open(); in workload_source.c. */
struct ld_source *ld_workload_source(struct ld_supply *, const struct ld_place *,
                                     const struct ld_hands *, struct ld_problem *);

#endif
