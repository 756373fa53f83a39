/* SPDX-License-Identifier: Apache-2.0
 * Between the files of limit policies only: what outlives a configuration. */
#ifndef PC_API_POLICIES_INTERNAL_H
#define PC_API_POLICIES_INTERNAL_H

#include "edge/api/policies.h"

#define PC_LIMIT_GIVEN_BACK  (PC_LIMIT_UNAVAILABLE + 1) /* counted like an outcome */
#define PC_LIMIT_NEAR        (PC_LIMIT_GIVEN_BACK + 1)
#define PC_LIMIT_TALLY_COUNT (PC_LIMIT_NEAR + 1)

/* What one core did; only it writes, any thread reads. */
struct pc_policy_lane {
    struct pc_limit_counters counters;
    uint64_t tally[PC_LIMIT_TALLY_COUNT];
} PC_ALIGNED_LINE;

struct pc_policy_store {
    uint32_t refs; /* configurations that use it; atomic */
    unsigned cores;
    uint8_t secret[16]; /* keys the fingerprints */
    uint64_t id;        /* of the name, for pc_top_keys_add() */
    uint64_t max_keys;
    enum pc_limit_algorithm algorithm;
    int64_t period_ns; /* of a window: its states count in these; 0 for gcra */
    struct pc_limit_table *table;
    struct pc_policy_lane *lanes; /* [cores] */
    char *name;
};

struct pc_policies {
    unsigned count;
    char *texts; /* what parts[].text points into */
    struct pc_policy policies[];
};

/* policies_write.c: sets fields and field_n; false: the name is too long for them. */
bool pc_policy_render_fields(struct pc_policy *p);

static inline void pc_policy_tally(const struct pc_policy *p, unsigned core, unsigned what)
{
    uint64_t *n = &p->store->lanes[core].tally[what];
    __atomic_store_n(n, __atomic_load_n(n, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

#endif
