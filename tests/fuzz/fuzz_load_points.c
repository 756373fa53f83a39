/* SPDX-License-Identifier: Apache-2.0
 * Files of capacity points: whatever the bytes are, they are read whole or refused with a message,
 * and what was read can be planned with. */
#include <stdlib.h>
#include <string.h>

#include "load/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ld_points *points = calloc(1, sizeof(*points));
    struct ld_plan *plan = calloc(1, sizeof(*plan));
    struct ld_problem problem = {{0}};
    PC_ASSERT(points && plan);
    if (!ld_points_parse((const char *)data, n, "points", points, &problem)) {
        PC_ASSERT(strlen(problem.text) > 0);
    } else {
        struct ld_plan_ask ask;
        ld_plan_ask_init(&ask);
        ask.target_per_s = 2e6;
        ask.tokens = 5e7;
        ask.entries[LD_TABLE_REVOKED] = 5e6;
        PC_ASSERT(ld_slo_parse("p99<1ms,max<5s", &ask.slo, &problem));
        if (ld_plan_make(&ask, points, plan, &problem))
            PC_ASSERT(plan->nodes >= 1 && plan->needs_n > 0);
        else
            PC_ASSERT(strlen(problem.text) > 0);
    }
    free(plan);
    free(points);
    return 0;
}
