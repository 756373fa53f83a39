/* SPDX-License-Identifier: Apache-2.0
 * Every outcome a decision can have: one table for answers, metrics, logs and documents.
 *
 * The token's errors (jose/jwt.h) come first and keep their numbers, so a verdict about a token is
 * a code as it stands. Pure; any thread. */
#ifndef PC_API_DECISION_CODES_H
#define PC_API_DECISION_CODES_H

#include "edge/jose/jwt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(code, HTTP status, result in metrics, text). Busy: not decided; trying again may help. */
#define PC_DECISION_ONLY_CODES(X)                                                                  \
    X(VERIFY_BUDGET_EXHAUSTED, 503, "busy", "too many signatures to verify")                       \
    X(CLIENT_ADDRESS_INVALID, 400, "deny", "the client's address cannot be read")                  \
    X(ORIGINAL_REQUEST_MISSING, 400, "deny",                                                       \
      "the routes need the original request's path, host or method and the gateway did not say")   \
    X(ORIGINAL_REQUEST_AMBIGUOUS, 400, "deny",                                                     \
      "the original request's path, host or method is told in more than one way")                  \
    X(PATH_AMBIGUOUS, 400, "deny", "the original request's path cannot be read in one way only")   \
    X(MAINTENANCE, 503, "deny", "the service is in maintenance")                                   \
    X(IP_DENIED, 403, "deny", "the client's address is not allowed")                               \
    X(INSUFFICIENT_SCOPE, 403, "deny", "the token lacks a scope this needs")                       \
    X(INSUFFICIENT_ROLE, 403, "deny", "the token has none of the roles this needs")                \
    X(RATE_LIMITED, 429, "deny", "too many requests")                                              \
    X(LIMIT_UNAVAILABLE, 503, "deny", "a limit cannot be counted now, and fails closed")

enum pc_decision_code {
    PC_DECISION_OK = PC_TOKEN_OK,
    PC_DECISION_TOKEN_LAST = PC_TOKEN_ERROR_COUNT - 1,
#define PC_DECISION_CODE_ENUM(code, status, result, text) PC_DECISION_##code,
    PC_DECISION_ONLY_CODES(PC_DECISION_CODE_ENUM)
#undef PC_DECISION_CODE_ENUM
        PC_DECISION_CODES
};

struct pc_decision_code_info {
    const char *code; /* "RATE_LIMITED" */
    const char *text; /* for people */
    unsigned status;  /* of HTTP */
};
#ifndef __cplusplus
/* Of any code, PC_DECISION_OK included. */
const struct pc_decision_code_info *pc_decision_code_info(enum pc_decision_code code);
/* The code of a name ("TOKEN_EXPIRED"), or -ENOENT. */
int pc_decision_code_of(struct pc_bytes name, enum pc_decision_code *ret_code);
#endif

#ifdef __cplusplus
}
#endif
#endif
