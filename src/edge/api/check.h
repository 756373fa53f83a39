/* SPDX-License-Identifier: Apache-2.0
 * The full decision as JSON, for HTTP (POST /v1/check, POST /v1/explain) and RESP (PC.CHECK). Runs
 * on a core.
 *
 *   {"token": "…",
 *    "request": {"method", "host", "path", "headers": {name: value or [values]}, "ip"},
 *    "route": "name of a route, instead of matching",
 *    "limits": [{"policy", "key"?, "cost"?}], "flags": ["key"], "context": {}}
 *
 * Everything is optional. Whoever asks is a gateway, so what it says about the request is believed;
 * without "ip" the client is whoever asks. */
#ifndef PC_API_CHECK_H
#define PC_API_CHECK_H

#include "edge/api/decision.h"

/* Why a request for a decision was refused: code and text. */
struct pc_check_refusal {
    const char *code;
    char text[256];
};

/* Who asks, and how. */
struct pc_check_asker {
    struct pc_ip client;
    bool client_malformed;
    unsigned listener;
    bool explain; /* charge and count nothing, and answer with the steps instead of the claims */
    bool may_only_look; /* -EACCES where a limit might be charged */
};

struct pc_check_result {
    const struct pc_settings *settings; /* that decided */
    struct pc_decision decision;        /* valid until the next one on this core */
    struct pc_bytes answer;             /* in the worker's scratch memory */
    struct pc_check_refusal refusal;    /* of -EINVAL */
};

/* Reads `body`, decides, and writes the answer. 0, -EINVAL with the refusal set, -EACCES (see
 * may_only_look), or PC_E_TOO_LARGE: the answer has no room. */
int pc_check(struct pc_worker *w, struct pc_bytes body, const struct pc_check_asker *asker,
             struct pc_check_result *ret);

#endif
