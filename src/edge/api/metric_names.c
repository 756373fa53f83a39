/* SPDX-License-Identifier: Apache-2.0
 * Slot n of the decisions counts code n (decision_codes.h); slot n of the commands is command n of
 * the RESP table. */
#include "edge/api/metric_names.h"

#include "edge/api/decision_codes.h"
#include "edge/api/resp_conn.h"

#define TOKEN_LABEL(code, status, rfc6750, text) "result=\"deny\",code=\"" #code "\"",
#define LABEL(code, status, result, text)        "result=\"" result "\",code=\"" #code "\"",
static const char *const decisions[] = {"result=\"allow\",code=\"OK\"",
                                        PC_TOKEN_ERRORS(TOKEN_LABEL) PC_DECISION_ONLY_CODES(LABEL)};
#undef TOKEN_LABEL
#undef LABEL

/* Those allowed anyway are counted among the decisions; the first is never used. */
#define TOKEN_LABEL(code, status, rfc6750, text) "code=\"" #code "\"",
#define LABEL(code, status, result, text)        "code=\"" #code "\"",
static const char *const shadow_decisions[] = {"code=\"OK\"", PC_TOKEN_ERRORS(TOKEN_LABEL)
                                                                  PC_DECISION_ONLY_CODES(LABEL)};
#undef TOKEN_LABEL
#undef LABEL
_Static_assert(PC_COUNT(decisions) == PC_DECISION_CODES, "a label for every slot");
_Static_assert(PC_COUNT(shadow_decisions) == PC_DECISION_CODES, "a label for every slot");
_Static_assert(PC_DECISION_CODES <= PC_METRICS_DECISIONS_MAX, "slots for all results");

void pc_metric_names(struct pc_metrics_names *ret_names)
{
    *ret_names = (struct pc_metrics_names){
        .decisions = {decisions,              PC_COUNT(decisions)       },
        .shadow_decisions = {shadow_decisions,       PC_COUNT(shadow_decisions)},
        .resp_commands = {pc_resp_command_labels, pc_resp_command_count     },
    };
}
