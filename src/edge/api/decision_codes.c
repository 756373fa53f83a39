/* SPDX-License-Identifier: Apache-2.0
 * The table of outcomes; see decision_codes.h. */
#include "edge/api/decision_codes.h"

#include "base/err.h"

#define TOKEN_ROW(code, status, rfc6750, text) {#code, text, status},
#define ROW(code, status, result, text)        {#code, text, status},
static const struct pc_decision_code_info infos[] = {
    {"OK", "allowed", 200},
    PC_TOKEN_ERRORS(TOKEN_ROW) PC_DECISION_ONLY_CODES(ROW)
};
#undef TOKEN_ROW
#undef ROW
_Static_assert(PC_COUNT(infos) == PC_DECISION_CODES, "a row for every code");

const struct pc_decision_code_info *pc_decision_code_info(enum pc_decision_code code)
{
    PC_ASSERT((unsigned)code < PC_DECISION_CODES);
    return &infos[code];
}

int pc_decision_code_of(struct pc_bytes name, enum pc_decision_code *ret_code)
{
    for (unsigned i = 0; i < PC_DECISION_CODES; i++) {
        if (!pc_bytes_eq_str(name, infos[i].code))
            continue;
        *ret_code = (enum pc_decision_code)i;
        return 0;
    }
    return -ENOENT;
}
