/* SPDX-License-Identifier: Apache-2.0
 * The rules about revocations that do not depend on the protocol that brought them. */
#include "edge/api/mutate.h"

#include <stdarg.h>
#include <stdio.h>

#include "edge/api/decide.h"

/* No ttl is longer: past it "never" is what is meant. */
#define TTL_MAX_MS (INT64_C(10) * 366 * 24 * 3600 * 1000)

int pc_mutation_refuse(struct pc_mutation_refusal *r, unsigned status, const char *code,
                       const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    r->status = status;
    r->code = code;
    vsnprintf(r->text, sizeof r->text, fmt, args);
    va_end(args);
    return -EINVAL;
}

static bool has_id(enum pc_kind kind)
{
    return kind != PC_KIND_ISSUER && kind != PC_KIND_ALL;
}

static bool may_expire(const struct pc_wish *wish)
{
    return wish->kind == PC_KIND_TOKEN || wish->kind == PC_KIND_SESSION ||
           wish->kind == PC_KIND_FAMILY;
}

/* Ids stand in header fields and journals: no control characters. */
static bool sane_text(struct pc_bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

static int check_id(const struct pc_wish *wish, struct pc_mutation_refusal *r)
{
    if (!has_id(wish->kind))
        return wish->id.n ? pc_mutation_refuse(r, 400, "ID_NOT_ALLOWED", "kind %s takes no id",
                                               pc_kind_name(wish->kind))
                          : 0;
    if (wish->id.n == 0)
        return pc_mutation_refuse(r, 400, "ID_MISSING", "kind %s needs an id",
                                  pc_kind_name(wish->kind));
    if (wish->id.n > PC_ID_MAX || !sane_text(wish->id))
        return pc_mutation_refuse(r, 400, "ID_INVALID",
                                  "an id is at most %d bytes without control characters",
                                  PC_ID_MAX);
    if (wish->kind == PC_KIND_KEY && wish->id.n != PC_THUMBPRINT_CHARS)
        return pc_mutation_refuse(r, 400, "ID_INVALID",
                                  "a key is named by its RFC 7638 SHA-256 thumbprint (%d "
                                  "characters of base64url), not by its kid",
                                  PC_THUMBPRINT_CHARS);
    return 0;
}

static int check_permission(const struct pc_wish *wish, enum pc_admin_role role,
                            struct pc_mutation_refusal *r)
{
    bool every_issuer = pc_bytes_eq_str(wish->issuer, "*");
    bool narrow = wish->kind == PC_KIND_TOKEN && wish->op == PC_OP_REVOKE && !every_issuer;
    if (pc_admin_may(role, narrow ? PC_MAY_GATEWAY : PC_MAY_OPERATE))
        return 0;
    return pc_mutation_refuse(r, 403, "FORBIDDEN", "to %s a %s%s needs role operator",
                              wish->op == PC_OP_REVOKE ? "revoke" : "un-revoke",
                              pc_kind_name(wish->kind), every_issuer ? " of every issuer" : "");
}

static int resolve_issuer(const struct pc_trust *trust, const struct pc_wish *wish,
                          struct pc_bytes *ret_issuer, struct pc_mutation_refusal *r)
{
    if (wish->kind == PC_KIND_ALL) {
        if (wish->have_issuer && !pc_bytes_eq_str(wish->issuer, "*"))
            return pc_mutation_refuse(r, 400, "ISSUER_NOT_ALLOWED",
                                      "kind all concerns every issuer; use kind issuer");
        *ret_issuer = PC_LIT("");
        return 0;
    }
    if (!wish->have_issuer) {
        if (trust->issuer_count != 1)
            return pc_mutation_refuse(r, 400, "ISSUER_MISSING",
                                      "%u issuers are configured: name one, or \"*\" for all",
                                      trust->issuer_count);
        *ret_issuer = trust->issuers[0].s.name;
        return 0;
    }
    if (!wish->issuer_known && !pc_bytes_eq_str(wish->issuer, "*") &&
        !pc_trust_find_issuer(trust, wish->issuer))
        return pc_mutation_refuse(r, 400, "ISSUER_UNKNOWN", "no issuer \"%.*s\" is configured",
                                  (int)pc_min_u64(wish->issuer.n, 128),
                                  (const char *)wish->issuer.p);
    *ret_issuer = wish->issuer;
    return 0;
}

/* How much longer any token of the issuers concerned can live that was issued by now: their clocks
 * may be ahead of ours by the skew. INT64_MAX when it is unlimited. */
static int64_t longest_life_of(const struct pc_trust *trust, struct pc_bytes issuer)
{
    int64_t longest = 0;
    for (uint32_t i = 0; i < trust->issuer_count; i++) {
        const struct pc_issuer_settings *s = &trust->issuers[i].s;
        int64_t life = s->max_lifetime_ms ? s->skew_ms + s->max_lifetime_ms : INT64_MAX;
        if (pc_bytes_eq_str(issuer, "*") || pc_bytes_eq(issuer, s->name))
            longest = pc_max_i64(longest, life);
    }
    return longest ? longest : INT64_MAX;
}

static int resolve_expiry(const struct pc_worker *w, const struct pc_trust *trust,
                          const struct pc_wish *wish, struct pc_change *c,
                          struct pc_mutation_refusal *r)
{
    bool given = wish->ttl_ms || wish->expires_at_ms;
    int64_t now_ms = w->core->now_ms, expires;
    if (wish->op == PC_OP_CLEAR || !may_expire(wish)) {
        if (given)
            return pc_mutation_refuse(r, 400, "TTL_NOT_ALLOWED",
                                      wish->op == PC_OP_CLEAR
                                          ? "an un-revoke has no ttl"
                                          : "the expiry of a %s is not chosen by the caller",
                                      pc_kind_name(wish->kind));
        return 0;
    }
    if (wish->ttl_ms && wish->expires_at_ms)
        return pc_mutation_refuse(r, 400, "TTL_INVALID", "give ttl or expires_at, not both");
    if (wish->ttl_ms < 0 || wish->ttl_ms > TTL_MAX_MS)
        return pc_mutation_refuse(r, 400, "TTL_INVALID", "ttl is 1 ms to 10 years");
    if (wish->expires_at_ms && wish->expires_at_ms <= now_ms)
        return pc_mutation_refuse(r, 400, "TTL_INVALID", "expires_at is in the past");
    if (wish->expires_at_ms)
        expires = wish->expires_at_ms;
    else if (wish->token_exp_ms && !wish->ttl_ms)
        expires = pc_max_i64(wish->token_exp_ms, now_ms + 1);
    else
        expires =
            pc_add_sat_i64(now_ms, wish->ttl_ms ? wish->ttl_ms : longest_life_of(trust, c->issuer));
    c->expires_at_ms = expires == INT64_MAX ? 0 : expires;
    return 0;
}

int pc_mutation_resolve(struct pc_worker *w, const struct pc_wish *wish, enum pc_admin_role role,
                        struct pc_change *ret_change, struct pc_mutation_refusal *ret_refusal)
{
    const struct pc_trust *trust = pc_server_trust(w->server);
    struct pc_change c = {.kind = wish->kind, .op = wish->op, .id = wish->id};
    int rc = wish->kind == PC_KIND_NONE
                 ? pc_mutation_refuse(ret_refusal, 400, "KIND_MISSING",
                                      "kind must be token, session, family, subject, client, key, "
                                      "issuer or all")
                 : 0;
    if (rc == 0)
        rc = check_permission(wish, role, ret_refusal);
    if (rc == 0)
        rc = check_id(wish, ret_refusal);
    if (rc == 0)
        rc = resolve_issuer(trust, wish, &c.issuer, ret_refusal);
    if (rc == 0)
        rc = resolve_expiry(w, trust, wish, &c, ret_refusal);
    if (rc == 0 && (wish->reason.n > PC_REASON_MAX || !sane_text(wish->reason)))
        rc = pc_mutation_refuse(ret_refusal, 400, "REASON_INVALID",
                                "a reason is at most %d bytes without control characters",
                                PC_REASON_MAX);
    if (rc == 0 && wish->cutoff && wish->kind != PC_KIND_ISSUER)
        rc = pc_mutation_refuse(ret_refusal, 400, "CUTOFF_NOT_ALLOWED",
                                "cutoff is for kind issuer; other kinds have no choice");
    if (rc < 0)
        return rc;
    c.reason = wish->reason;
    c.cutoff_ms = wish->cutoff ? 1 : 0; /* the writer sets the value */
    *ret_change = c;
    return 0;
}

int pc_mutation_of_token(struct pc_worker *w, struct pc_bytes token, const struct pc_ip *client,
                         struct pc_wish *ret_wish, struct pc_mutation_refusal *ret_refusal)
{
    struct pc_verdict v;
    pc_decide(w, token, client, &v);
    if (v.busy)
        return pc_mutation_refuse(ret_refusal, 503, pc_verdict_code(&v),
                                  "too many signatures to verify");
    /* What is genuine but expired or revoked may well be revoked (again). */
    if (!v.token)
        return pc_mutation_refuse(ret_refusal, 400, pc_verdict_code(&v), "%s",
                                  pc_token_error_info(v.error)->text);
    ret_wish->kind = PC_KIND_TOKEN;
    ret_wish->have_issuer = true;
    ret_wish->issuer = v.issuer->s.name;
    ret_wish->id = pc_token_part(v.token, PC_PART_JTI);
    if (ret_wish->id.n == 0)
        return pc_mutation_refuse(ret_refusal, 400, "TOKEN_WITHOUT_ID",
                                  "the token has no jti: revoke its session or subject");
    /* A ttl may still be read behind it. */
    ret_wish->token_exp_ms = v.token->exp_ms == INT64_MAX ? 0 : v.token->exp_ms;
    return 0;
}

void pc_mutation_explain(int result, struct pc_mutation_refusal *r)
{
    switch (result) {
    case PC_E_READ_ONLY:
        pc_mutation_refuse(r, 503, "READ_ONLY",
                           "the journal failed: nothing can be made durable until a restart");
        break;
    case PC_E_FULL:
        pc_mutation_refuse(r, 503, "JOURNAL_FULL",
                           "the journal has reached journal.outbox_max (there is room again after "
                           "the next snapshot, or when audit.jsonl can be written), or too many "
                           "keys and issuers are revoked");
        break;
    case PC_E_TOO_LARGE:
        pc_mutation_refuse(r, 413, "BATCH_TOO_LARGE",
                           "one request must fit one segment of the journal: send less at once, or "
                           "raise journal.segment");
        break;
    default:
        pc_mutation_refuse(r, 503, "NOT_STORED", "nothing was changed: %s", pc_strerror(result));
    }
}
