/* SPDX-License-Identifier: Apache-2.0
 * How much signature verification a core may do, and for whom. Charged before a signature is
 * checked; a token found in the cache costs nothing. Pure: time is an argument; one thread.
 *
 * The core has a token bucket of nanoseconds of CPU, filled with a fraction of the time that
 * passes: nothing anybody sends makes verification take more than that. Each client (a keyed hash
 * of its address) has a smaller bucket. A client whose bucket is empty may still spend what the
 * core has above its reserve, so one busy gateway alone is not held back; the reserve is only for
 * clients within their share, so one flooding address leaves the others served. */
#ifndef PC_EDGE_STATE_VERIFY_BUDGET_H
#define PC_EDGE_STATE_VERIFY_BUDGET_H

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_VERIFY_BUDGET_SHARE_DEFAULT_PERMILLE  500 /* of the core's time */
#define PC_VERIFY_BUDGET_CLIENT_DEFAULT_PERMILLE 50  /* of the core's time, for one client */
#define PC_VERIFY_BUDGET_BURST_DEFAULT_MS        100 /* the core's bucket, in CPU time */
#define PC_VERIFY_BUDGET_CLIENTS_DEFAULT         4096
#define PC_VERIFY_BUDGET_CLIENTS_MAX             (1u << 20)

struct pc_verify_budget_options {
    uint32_t share_permille;  /* 1..1000; 0: default */
    uint32_t client_permille; /* 1..share_permille; 0: default, at most share */
    uint32_t burst_ms;        /* 1..10000; 0: default */
    uint32_t clients;         /* addresses remembered; 0: default */
};

struct pc_verify_budget_stats {
    uint64_t charged_ns;
    uint64_t refused_core;   /* the core's bucket was empty */
    uint64_t refused_client; /* the client was above its share and only the reserve was left */
};

struct pc_verify_budget;

/* Buckets start full. 0, -ENOMEM, or -EINVAL for options out of range. */
int pc_verify_budget_create(const struct pc_verify_budget_options *options, int64_t now_ns,
                            struct pc_verify_budget **ret_budget);
void pc_verify_budget_destroy(struct pc_verify_budget *budget);

/* May this client spend cost_ns now? True: it is charged. False: nothing is, and *ret_retry_ns
 * (if given) is how long until the same charge could succeed if nobody else spent anything
 * (INT64_MAX: never, the cost is above the bucket). */
bool pc_verify_budget_charge(struct pc_verify_budget *budget, uint64_t client_hash, int64_t cost_ns,
                             int64_t now_ns, int64_t *ret_retry_ns);

struct pc_verify_budget_stats pc_verify_budget_get_stats(const struct pc_verify_budget *budget);

#ifdef __cplusplus
}
#endif
#endif
