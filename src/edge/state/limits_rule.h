/* SPDX-License-Identifier: Apache-2.0
 * What the table of limits asks of a state word beyond pc_limit_evaluate(). Pure; any thread. */
#ifndef PC_EDGE_STATE_LIMITS_RULE_H
#define PC_EDGE_STATE_LIMITS_RULE_H

#include "edge/state/limits.h"

/* Owes nothing on any thread's clock: forgetting it changes no answer. */
bool pc_limit_is_idle(const struct pc_limit_rule *rule, uint64_t state, int64_t now_ns);
/* How much it owes, to compare states of one rule; and whether that is below half the burst. */
int64_t pc_limit_owed(const struct pc_limit_rule *rule, uint64_t state, int64_t now_ns);
bool pc_limit_below_half(const struct pc_limit_rule *rule, int64_t owed);
/* The state without what was taken. */
uint64_t pc_limit_undo(const struct pc_limit_rule *rule, uint64_t state,
                       const struct pc_limit_result *taken);

#endif
