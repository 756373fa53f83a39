/* SPDX-License-Identifier: Apache-2.0
 * Slot n of the decisions is token error n (0: allowed), the last one an exhausted budget; slot n
 * of the commands is command n of the RESP table. */
#include "edge/api/metric_names.h"

#include "edge/api/resp_conn.h"
#include "edge/jose/jwt.h"

static const char *const decisions[] = {
    "result=\"allow\",code=\"OK\"",
#define LABEL(code, status, rfc6750, text) "result=\"deny\",code=\"" #code "\"",
    PC_TOKEN_ERRORS(LABEL)
#undef LABEL
        "result=\"busy\",code=\"VERIFY_BUDGET_EXHAUSTED\"",
};
_Static_assert(PC_COUNT(decisions) == PC_TOKEN_ERROR_COUNT + 1, "a label for every slot");
_Static_assert(PC_COUNT(decisions) <= PC_METRICS_DECISIONS_MAX, "slots for all results");

void pc_metric_names(struct pc_metrics_names *ret_names)
{
    *ret_names = (struct pc_metrics_names){
        .decisions = {decisions,              PC_COUNT(decisions)  },
        .resp_commands = {pc_resp_command_labels, pc_resp_command_count},
    };
}
