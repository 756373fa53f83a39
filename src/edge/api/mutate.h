/* SPDX-License-Identifier: Apache-2.0
 * From what a client asks to a Change: kinds, issuers, expiry and permissions are checked here, for
 * HTTP and RESP alike. Runs on a core. */
#ifndef PC_API_MUTATE_H
#define PC_API_MUTATE_H

#include "edge/api/call.h"

struct pc_mutation_refusal {
    unsigned status; /* of HTTP */
    const char *code;
    char text[256];
};

/* Says why and returns -EINVAL. */
int pc_mutation_refuse(struct pc_mutation_refusal *r, unsigned status, const char *code,
                       const char *fmt, ...) PC_PRINTF(4, 5);

/* A wish as it was written. */
struct pc_wish {
    enum pc_kind kind;
    enum pc_op op;
    bool have_issuer;
    bool issuer_known; /* `issuer` is a name of the trust snapshot in use */
    bool cutoff;       /* kind issuer: a cutoff instead of absolute */
    struct pc_bytes issuer, id, reason;
    int64_t ttl_ms;        /* 0: not given */
    int64_t expires_at_ms; /* 0: not given */
    int64_t token_exp_ms;  /* of the token named, when neither is given; 0: no token */
};

/* Checks the wish and fills in the Change (issuer resolved, expiry decided). Its byte runs are the
 * wish's, or the trust snapshot's. */
int pc_mutation_resolve(struct pc_worker *w, const struct pc_wish *wish, enum pc_admin_role role,
                        struct pc_change *ret_change, struct pc_mutation_refusal *ret_refusal);

/* The id of a genuine token as a wish to revoke it until it expires. */
int pc_mutation_of_token(struct pc_worker *w, struct pc_bytes token, const struct pc_ip *client,
                         struct pc_wish *ret_wish, struct pc_mutation_refusal *ret_refusal);

/* What a failed job means to its client. */
void pc_mutation_explain(int result, struct pc_mutation_refusal *ret_refusal);

#endif
