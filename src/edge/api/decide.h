/* SPDX-License-Identifier: Apache-2.0
 * The decision about one token: is it genuine, alive, and not revoked by anything that covers it?
 *
 * A token whose signature this core has checked before is answered from its cache: no allocation,
 * lock or system call. Runs on a core; no clock of its own. */
#ifndef PC_API_DECIDE_H
#define PC_API_DECIDE_H

#include "edge/api/server.h"

/* Parts of a token's blob, in the cache or in the worker's scratch memory. */
enum pc_part {
    PC_PART_SUBJECT,
    PC_PART_CLIENT,
    PC_PART_SESSION,
    PC_PART_JTI,
    PC_PART_ISSUER,
    PC_PART_SCOPES,
    PC_PART_ROLES,
    PC_PART_FAMILY,
    PC_PART_HEADERS, /* the identity header fields, rendered, each with its CRLF */
    PC_PART_COUNT
};

/* X(part, field name): the identity headers of every allow, empty when the claim is absent. */
#define PC_IDENTITY_HEADERS(X)                                                                     \
    X(SUBJECT, "X-Portcullis-Subject")                                                             \
    X(CLIENT, "X-Portcullis-Client")                                                               \
    X(SESSION, "X-Portcullis-Session")                                                             \
    X(JTI, "X-Portcullis-Token-Id")                                                                \
    X(ISSUER, "X-Portcullis-Issuer")                                                               \
    X(SCOPES, "X-Portcullis-Scopes")                                                               \
    X(ROLES, "X-Portcullis-Roles")

struct pc_verdict {
    enum pc_token_error error; /* PC_TOKEN_OK: allow */
    bool busy;                 /* not decided: the signature budget is exhausted */
    bool later;       /* not decided: the token was not seen before, and the query may wait */
    int64_t retry_ns; /* busy: when trying again may help */
    /* The token if it is genuine, whatever became of it since; NULL otherwise. Valid until the
     * next decision on this core. */
    const struct pc_cached_token *token;
    const struct pc_issuer *issuer; /* set with token */
    /* Where its revocations are looked for, until pc_token_check(); set with token. */
    struct pc_revocation_place places[PC_SCOPE_COUNT];
};

/* Nothing decided; the places stay as they are. */
static inline void pc_verdict_init(struct pc_verdict *v)
{
    v->error = PC_TOKEN_OK;
    v->busy = false;
    v->later = false;
    v->retry_ns = 0;
    v->token = NULL;
    v->issuer = NULL;
}

/* All of what follows in one call, under the trust of now. */
void pc_decide(struct pc_worker *w, struct pc_bytes token, const struct pc_ip *client,
               struct pc_verdict *ret_verdict);

/* ---- the same in three steps, so that a decision can do others in between ---- */

struct pc_token_query {
    struct pc_bytes token;
    struct pc_token_digest digest; /* unless the token is missing or too large */
    bool may_wait; /* a token not seen before may take its turn (unseen.h); false after prefetch */
};

/* Begins: the token's place in the cache is on its way. */
void pc_token_prefetch(const struct pc_worker *w, struct pc_bytes token,
                       struct pc_token_query *ret_query);
/* Once that has arrived: its entry is on its way. */
void pc_token_prefetch_entry(const struct pc_worker *w, const struct pc_token_query *query);
/* Is it genuine, and what does it say? Sets error, or busy, or later, or token and issuer; then the
 * lines of its revocations are on their way. */
void pc_token_identify(struct pc_worker *w, const struct pc_trust *trust,
                       const struct pc_token_query *query, const struct pc_ip *client,
                       struct pc_verdict *ret_verdict);
/* Is it alive and not revoked? v is of pc_token_identify() without error; sets error. */
void pc_token_check(struct pc_worker *w, const struct pc_trust *trust, struct pc_verdict *v);

/* A part of a genuine token; empty when the claim is absent. */
struct pc_bytes pc_token_part(const struct pc_cached_token *t, enum pc_part part);

/* "TOKEN_EXPIRED", … */
static inline const char *pc_verdict_code(const struct pc_verdict *v)
{
    return v->busy    ? "VERIFY_BUDGET_EXHAUSTED"
           : v->error ? pc_token_error_info(v->error)->code
                      : "OK";
}

#endif
