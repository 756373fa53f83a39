/* SPDX-License-Identifier: Apache-2.0
 * The full decision as JSON, for HTTP (POST /v1/check) and RESP (PC.CHECK). Runs on a core. */
#ifndef PC_API_CHECK_H
#define PC_API_CHECK_H

#include "edge/api/decide.h"

/* Why a request for a decision was refused: code and text. */
struct pc_check_refusal {
    const char *code;
    char text[256];
};

/* Reads `body`, decides, and appends the answer. 0, or -EINVAL with *ret_refusal set. The verdict
 * is valid until the next decision on this core. */
int pc_check(struct pc_worker *w, struct pc_bytes body, const struct pc_ip *client,
             struct pc_buf *answer, struct pc_verdict *ret_verdict,
             struct pc_check_refusal *ret_refusal);

#endif
