/* SPDX-License-Identifier: Apache-2.0
 * Credentials and permissions. Administrators' tokens are compared in constant time
 * (base/admin_tokens.h); tokens of the administrators' issuer pass the same decision as everybody
 * else's, revocations included. */
#include "edge/api/principal.h"

#include <stdio.h>

#include "edge/api/credentials.h"
#include "edge/api/decide.h"

struct pc_bytes pc_bearer(const struct pc_http_request *r)
{
    struct pc_bytes v = pc_http_value(r, PC_FIELD_AUTHORIZATION);
    if (v.n < 7 || pc_http_repeated(r, PC_FIELD_AUTHORIZATION) ||
        (memcmp(v.p, "Bearer ", 7) != 0 &&
         !pc_bytes_eq_nocase(pc_bytes_of(v.p, 7), PC_LIT("Bearer "))))
        return pc_bytes_of(NULL, 0);
    size_t at = 7;
    while (at < v.n && v.p[at] == ' ')
        at++;
    return pc_bytes_of(v.p + at, v.n - at);
}

/* Whether a space-separated list shares a word with the configured values. */
static bool any_word(struct pc_bytes list, const struct pc_words *values)
{
    while (list.n) {
        size_t n = 0;
        while (n < list.n && list.p[n] != ' ')
            n++;
        for (unsigned i = 0; i < values->n; i++)
            if (pc_bytes_eq_str(pc_bytes_of(list.p, n), values->v[i]))
                return true;
        size_t skip = n < list.n ? n + 1 : n;
        list = pc_bytes_of(list.p + skip, list.n - skip);
    }
    return false;
}

static enum pc_admin_role role_of_claims(const struct pc_config *c, struct pc_bytes roles)
{
    const struct {
        const struct pc_words *values;
        enum pc_admin_role role;
    } given[] = {
        {&c->admin.admin_values,    PC_ADMIN_ADMIN   },
        {&c->admin.operator_values, PC_ADMIN_OPERATOR},
        {&c->admin.viewer_values,   PC_ADMIN_VIEWER  },
        {&c->admin.gateway_values,  PC_ADMIN_GATEWAY },
    };
    unsigned all = PC_ADMIN_NONE;
    for (size_t i = 0; i < PC_COUNT(given); i++)
        if (any_word(roles, given[i].values))
            all |= (unsigned)given[i].role;
    return (enum pc_admin_role)all;
}

static void principal_of_jwt(struct pc_worker *w, const struct pc_config *c, struct pc_bytes token,
                             const struct pc_ip *client, struct pc_principal *p, bool *ret_busy)
{
    struct pc_verdict v;
    pc_decide(w, token, client, &v);
    *ret_busy = v.busy;
    if (v.busy || v.error || !pc_bytes_eq_str(v.issuer->s.name, c->admin.issuer))
        return;
    struct pc_bytes subject = pc_token_part(v.token, PC_PART_SUBJECT);
    size_t n = pc_min_u64(subject.n, PC_ACTOR_MAX - 8);
    while (n && n < subject.n && (subject.p[n] & 0xc0) == 0x80)
        n--; /* a Change's texts are UTF-8: no character is cut in two */
    p->role = role_of_claims(c, pc_token_part(v.token, PC_PART_ROLES));
    snprintf(p->actor, sizeof p->actor, "jwt:%.*s", (int)n, (const char *)subject.p);
}

void pc_principal_of(struct pc_worker *w, struct pc_bytes credential, const struct pc_ip *client,
                     struct pc_principal *ret_principal, bool *ret_busy)
{
    const struct pc_settings *s = pc_server_settings(w->server);
    *ret_busy = false;
    ret_principal->role = PC_ADMIN_NONE;
    ret_principal->actor[0] = 0;
    if (credential.n == 0)
        return;
    const struct pc_admin_token *t =
        pc_admin_tokens_verify(&s->admins, credential, w->core->now_ms / 1000);
    if (t) {
        ret_principal->role = t->role;
        snprintf(ret_principal->actor, sizeof ret_principal->actor, "token:%s", t->name);
    } else if (s->config->admin.issuer && s->config->admin.issuer[0]) {
        principal_of_jwt(w, s->config, credential, client, ret_principal, ret_busy);
    }
}

bool pc_principal_stands(const struct pc_worker *w, const struct pc_principal *p)
{
    const struct pc_admin_tokens *all = &pc_server_settings(w->server)->admins;
    int64_t now_s = w->core->now_ms / 1000;
    if (strncmp(p->actor, "token:", 6) != 0)
        return false;
    for (size_t i = 0; i < all->count; i++) {
        const struct pc_admin_token *t = &all->tokens[i];
        if (strcmp(t->name, p->actor + 6) == 0 && t->revoked_s == INT64_MAX &&
            now_s < t->expires_s && (t->role & p->role) == p->role)
            return true;
    }
    return false;
}

/* A gateway that is not trusted sends its clients' tokens: what it lacks is not a credential. */
static struct pc_bytes refusal_text(const struct pc_call *call, struct pc_bytes credential)
{
    if (call->endpoint->permission == PC_PERMISSION_DECIDE)
        return PC_LIT("decisions are for the trusted_peers of this listener and for credentials "
                      "of role gateway");
    return credential.n ? PC_LIT("the credential is not that of an administrator")
                        : PC_LIT("this needs an administrator's credential as Bearer token");
}

static bool refuse(struct pc_call *call, struct pc_bytes credential)
{
    struct pc_reply r = {.status = 401};
    uint8_t body[1024];
    struct pc_buf b = pc_buf_of(body, sizeof body);
    if (call->principal.role != PC_ADMIN_NONE) {
        pc_call_reply_error(call, 403, "FORBIDDEN", "this needs role %s; you are %s (%s)",
                            pc_permission_name(call->endpoint->permission),
                            pc_admin_role_name(call->principal.role), call->principal.actor);
        return false;
    }
    r.challenge = credential.n ? "Bearer realm=\"portcullis-admin\", error=\"invalid_token\""
                               : "Bearer realm=\"portcullis-admin\"";
    pc_error_body(&b, credential.n ? "CREDENTIAL_INVALID" : "CREDENTIAL_MISSING",
                  refusal_text(call, credential), pc_call_request_id(call));
    r.content_type = "application/json";
    r.body = pc_bytes_of(b.p, b.len);
    pc_call_reply(call, &r);
    return false;
}

static bool refuse_limited(struct pc_call *call, unsigned retry_after_s)
{
    struct pc_reply r = {.status = 429, .retry_after_s = retry_after_s};
    uint8_t body[1024];
    struct pc_buf b = pc_buf_of(body, sizeof body);
    pc_error_body(&b, "TOO_MANY_FAILED_CREDENTIALS",
                  PC_LIT("too many wrong credentials came from this address: none is judged now"),
                  pc_call_request_id(call));
    r.content_type = "application/json";
    r.body = pc_bytes_of(b.p, b.len);
    pc_call_reply(call, &r);
    return false;
}

bool pc_principal_admit(struct pc_call *call, enum pc_permission permission)
{
    bool busy;
    unsigned retry_after_s;
    PC_ASSERT(permission != PC_PERMISSION_UNSET);
    if (permission == PC_PERMISSION_NONE ||
        (permission == PC_PERMISSION_DECIDE && PC_LIKELY(pc_conn_is_trusted(call->conn))))
        return true;
    struct pc_bytes credential = pc_bearer(call->req);
    if (credential.n &&
        pc_credential_limited(call->worker, &call->client, credential, &retry_after_s))
        return refuse_limited(call, retry_after_s);
    pc_principal_of(call->worker, credential, &call->client, &call->principal, &busy);
    if (busy) {
        pc_call_reply_busy(call, "VERIFY_BUDGET_EXHAUSTED", "too many signatures to verify", 1);
        return false;
    }
    if (call->principal.role != PC_ADMIN_NONE)
        pc_credential_accepted(call->worker);
    else if (credential.n)
        pc_credential_failed(call->worker, &call->client, pc_call_request_id(call), "http");
    return pc_admin_may(call->principal.role, pc_permission_roles(permission)) ||
           refuse(call, credential);
}
