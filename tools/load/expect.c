/* SPDX-License-Identifier: Apache-2.0
 * Judging answers. */
#include "load/expect.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const refusal_codes[LD_TOKEN_KINDS] = {
    [LD_TOKEN_GOOD] = "TOKEN_REVOKED", /* once it was */
    [LD_TOKEN_REVOKED] = "TOKEN_REVOKED",
    [LD_TOKEN_EXPIRED] = "TOKEN_EXPIRED",
    [LD_TOKEN_MALFORMED] = "TOKEN_MALFORMED",
    [LD_TOKEN_UNKNOWN_ISSUER] = "TOKEN_ISSUER_UNKNOWN",
    [LD_TOKEN_UNKNOWN_KEY] = "TOKEN_KEY_UNKNOWN",
    [LD_TOKEN_BAD_SIGNATURE] = "TOKEN_SIGNATURE_INVALID",
    [LD_TOKEN_NOT_YET_VALID] = "TOKEN_NOT_YET_VALID",
};

/* Shown of an answer's texts. */
#define SHOWN_MAX 40
#define SHOW(s)   (int)((s).n < SHOWN_MAX ? (s).n : SHOWN_MAX), (const char *)(s).p

static enum ld_verdict say(char *why, enum ld_verdict verdict, const char *fmt, ...)
    PC_PRINTF(3, 4);

static enum ld_verdict say(char *why, enum ld_verdict verdict, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, LD_WHY_BYTES, fmt, args);
    va_end(args);
    return verdict;
}

/* ---- Finding. ---- */

bool ld_find_member(struct pc_bytes json, const char *name, struct pc_bytes *ret_value)
{
    const size_t n = strlen(name);
    const uint8_t *at = json.p, *end = json.p + json.n;
    while (at < end && (at = memmem(at, (size_t)(end - at), name, n)) != NULL) {
        const uint8_t *p = at + n;
        const bool escaped = at > json.p + 1 && at[-2] == '\\';
        const bool quoted = at > json.p && at[-1] == '"' && !escaped && p < end && *p == '"';
        at = p;
        if (!quoted)
            continue;
        for (p++; p < end && *p == ' '; p++)
            ;
        if (p == end || *p != ':')
            continue;
        for (p++; p < end && *p == ' '; p++)
            ;
        const uint8_t *begin = p;
        if (p < end && *p == '"') {
            for (begin = ++p; p < end && *p != '"'; p++)
                p += *p == '\\' && p + 1 < end;
        } else {
            while (p < end && *p != ',' && *p != '}' && *p != ']')
                p++;
        }
        *ret_value = pc_bytes_of(begin, (size_t)(p - begin));
        return true;
    }
    return false;
}

bool ld_find_field(struct pc_bytes head, const char *name, struct pc_bytes *ret_value)
{
    const size_t n = strlen(name);
    const uint8_t *at = head.p, *end = head.p + head.n;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if ((size_t)(end - at) <= n || at[n] != ':' ||
            !pc_bytes_eq_nocase(pc_bytes_of(at, n), pc_bytes_of(name, n)))
            continue;
        const uint8_t *p = at + n + 1;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        const uint8_t *stop = p;
        while (stop < end && *stop != '\r' && *stop != '\n')
            stop++;
        *ret_value = pc_bytes_of(p, (size_t)(stop - p));
        return true;
    }
    return false;
}

static struct pc_bytes body_of(const struct ld_answer *a)
{
    return pc_bytes_of(a->body, a->body_bytes);
}

static struct pc_bytes head_of(const struct ld_answer *a)
{
    return pc_bytes_of(a->head, a->head_bytes);
}

static struct pc_bytes member_of(struct pc_bytes json, const char *name)
{
    struct pc_bytes value = {(const uint8_t *)"", 0};
    (void)ld_find_member(json, name, &value);
    return value;
}

static bool number_of(struct pc_bytes json, const char *name, uint64_t *ret_value)
{
    struct pc_bytes text;
    return ld_find_member(json, name, &text) && pc_bytes_to_u64(text, ret_value) == 0;
}

static const struct ld_wl_request *request_of(const struct ld_asked *q)
{
    return &q->w->requests[q->request];
}

static bool is_tolerated(const struct ld_asked *q, struct pc_bytes code)
{
    const struct ld_wl_request *r = request_of(q);
    for (unsigned i = 0; i < r->tolerate_count; i++)
        if (pc_bytes_eq_str(code, r->tolerate[i]))
            return true;
    return false;
}

/* ---- Decisions. ---- */

/* What a decision about this token has to be. */
static enum ld_standing standing_of(const struct ld_asked *q, const struct ld_oracle *o,
                                    int64_t sent_ns)
{
    if (q->token.text.n == 0)
        return LD_STANDS;
    return q->token.kind == LD_TOKEN_GOOD ? ld_oracle_standing(o, q->token_index, sent_ns)
                                          : LD_REVOKED;
}

/* Limits of a decision: counted, and what is said to be left is possible. */
static enum ld_verdict allowed_by_limit(const struct ld_asked *q, struct ld_oracle *o,
                                        const struct ld_answer *a, char *why)
{
    const struct ld_wl_request *r = request_of(q);
    uint64_t bound;
    if (r->policy < 0)
        return LD_RIGHT;
    const uint64_t key = q->key.n ? q->key_index : q->token_index;
    const uint64_t count = ld_oracle_count_allow(o, q->request, key, a->received_ns, &bound);
    if (count <= bound)
        return LD_RIGHT;
    return say(why, LD_WRONG_ALLOW, "limit %s, key number %llu: allowed %llu times; by now %llu",
               r->policy_name, (unsigned long long)key, (unsigned long long)count,
               (unsigned long long)bound);
}

static enum ld_verdict judge_allow(const struct ld_asked *q, struct ld_oracle *o,
                                   const struct ld_answer *a, struct pc_bytes subject, char *why)
{
    const enum ld_standing standing = standing_of(q, o, a->sent_ns);
    if (standing == LD_REVOKED)
        return say(why, LD_WRONG_ALLOW, "allowed the token of %.*s, which is %s",
                   SHOW(q->token.sub),
                   q->token.kind == LD_TOKEN_GOOD ? "revoked: sent after the acknowledgement"
                                                  : ld_token_kind_name(q->token.kind));
    if (q->token.text.n && !pc_bytes_eq(subject, q->token.sub))
        return say(why, LD_WRONG_ALLOW, "allowed as '%.*s'; asked about '%.*s'", SHOW(subject),
                   SHOW(q->token.sub));
    return allowed_by_limit(q, o, a, why);
}

static enum ld_verdict judge_refusal(const struct ld_asked *q, const struct ld_oracle *o,
                                     const struct ld_answer *a, struct pc_bytes code,
                                     bool *ret_tolerated, char *why)
{
    const enum ld_standing standing = standing_of(q, o, a->sent_ns);
    if (standing != LD_STANDS && pc_bytes_eq_str(code, refusal_codes[q->token.kind]))
        return LD_RIGHT;
    if (request_of(q)->policy >= 0 && pc_bytes_eq_str(code, "RATE_LIMITED"))
        return LD_RIGHT;
    if (is_tolerated(q, code)) {
        *ret_tolerated = true;
        return LD_RIGHT;
    }
    return say(why, LD_WRONG, "refused a token that is %s with '%.*s' (status %d)",
               q->token.text.n ? ld_token_kind_name(q->token.kind) : "none", SHOW(code), a->status);
}

static enum ld_verdict expect_auth(const struct ld_asked *q, struct ld_oracle *o,
                                   const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    struct pc_bytes subject = {(const uint8_t *)"", 0};
    if (a->status < 200 || a->status > 299)
        return judge_refusal(q, o, a, member_of(body_of(a), "code"), ret_tolerated, why);
    if (q->token.text.n)
        (void)ld_find_field(head_of(a), "X-Portcullis-Subject", &subject);
    return judge_allow(q, o, a, subject, why);
}

static enum ld_verdict expect_flag_value(const struct ld_asked *q, const struct ld_oracle *o,
                                         const struct ld_answer *a, struct pc_bytes value,
                                         char *why);

static enum ld_verdict expect_check(const struct ld_asked *q, struct ld_oracle *o,
                                    const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    const struct ld_wl_request *r = request_of(q);
    const struct pc_bytes body = body_of(a), allow = member_of(body, "allow");
    enum ld_verdict verdict;
    if (a->status != 200 && !is_tolerated(q, member_of(body, "code")))
        return say(why, LD_WRONG, "status %d for a check: '%.*s'", a->status,
                   SHOW(member_of(body, "code")));
    if (!pc_bytes_eq_str(allow, "true"))
        return judge_refusal(q, o, a, member_of(body, "code"), ret_tolerated, why);
    verdict = judge_allow(q, o, a, member_of(body, "subject"), why);
    if (verdict == LD_RIGHT && r->flag >= 0)
        verdict = expect_flag_value(q, o, a, member_of(body, r->flag_name), why);
    return verdict;
}

/* ---- Limits by themselves. ---- */

static enum ld_verdict check_limit_fields(const struct ld_asked *q, struct pc_bytes body,
                                          bool allowed, char *why)
{
    uint64_t limit, remaining, retry_ms, reset_ms;
    if (!number_of(body, "limit", &limit) || !number_of(body, "remaining", &remaining) ||
        !number_of(body, "retry_after_ms", &retry_ms) || !number_of(body, "reset_ms", &reset_ms))
        return say(why, LD_WRONG, "limit, remaining, reset_ms or retry_after_ms is missing");
    if (remaining > limit || (allowed && retry_ms > 0) || (!allowed && retry_ms == 0))
        return say(why, LD_WRONG, "%s with remaining %llu of %llu, retry after %llu ms",
                   allowed ? "allowed" : "refused", (unsigned long long)remaining,
                   (unsigned long long)limit, (unsigned long long)retry_ms);
    if (!pc_bytes_eq_str(member_of(body, "policy"), request_of(q)->policy_name) ||
        !pc_bytes_eq(member_of(body, "key"), q->key))
        return say(why, LD_WRONG, "the answer is about %.*s of '%.*s'; asked about '%.*s'",
                   SHOW(member_of(body, "policy")), SHOW(member_of(body, "key")), SHOW(q->key));
    return LD_RIGHT;
}

static enum ld_verdict expect_limit(const struct ld_asked *q, struct ld_oracle *o,
                                    const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    const struct pc_bytes body = body_of(a), code = member_of(body, "code");
    const bool allowed = a->status == 200;
    if (!allowed && (a->status != 429 || !pc_bytes_eq_str(code, "RATE_LIMITED"))) {
        *ret_tolerated = is_tolerated(q, code);
        return *ret_tolerated ? LD_RIGHT
                              : say(why, LD_WRONG, "status %d '%.*s'", a->status, SHOW(code));
    }
    const enum ld_verdict verdict = check_limit_fields(q, body, allowed, why);
    return verdict == LD_RIGHT && allowed ? allowed_by_limit(q, o, a, why) : verdict;
}

/* ---- Flags, revocations, the rest. ---- */

static enum ld_verdict expect_flag_value(const struct ld_asked *q, const struct ld_oracle *o,
                                         const struct ld_answer *a, struct pc_bytes value,
                                         char *why)
{
    const struct ld_wl_request *r = request_of(q);
    const struct ld_wl_flag *f = &q->w->flags[r->flag];
    uint64_t number = 0;
    int64_t least = 0, most = 0;
    if (!o->flags[r->flag].changes) {
        struct pc_bytes set = pc_bytes_str(f->value ? f->value : "");
        if (set.n >= 2 && set.p[0] == '"')
            set = pc_bytes_of(set.p + 1, set.n - 2);
        if (!f->value || pc_bytes_eq(value, set))
            return LD_RIGHT;
        return say(why, LD_WRONG, "flag %s is %.*s; it was set to %s", f->key, SHOW(value),
                   f->value);
    }
    if (pc_bytes_to_u64(value, &number) == 0 &&
        ld_oracle_flag_may_be(o, (unsigned)r->flag, (int64_t)number, a->sent_ns, &least, &most))
        return LD_RIGHT;
    return say(why, LD_WRONG, "flag %s is %.*s; it can only be %lld to %lld", f->key, SHOW(value),
               (long long)least, (long long)most);
}

static enum ld_verdict expect_flag(const struct ld_asked *q, struct ld_oracle *o,
                                   const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    struct pc_bytes value;
    *ret_tolerated = false;
    if (a->status != 200 || !ld_find_member(body_of(a), "value", &value))
        return say(why, LD_WRONG, "status %d for a flag: '%.*s'", a->status,
                   SHOW(member_of(body_of(a), "code")));
    return expect_flag_value(q, o, a, value, why);
}

/* Acknowledged by 200; what follows from it is the caller's to note. */
static enum ld_verdict expect_done(const struct ld_asked *q, struct ld_oracle *o,
                                   const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    const struct pc_bytes code = member_of(body_of(a), "code");
    (void)o;
    if (a->status == 200)
        return LD_RIGHT;
    *ret_tolerated = is_tolerated(q, code);
    return *ret_tolerated ? LD_RIGHT
                          : say(why, LD_WRONG, "not done: status %d '%.*s'", a->status, SHOW(code));
}

static enum ld_verdict expect_exists(const struct ld_asked *q, struct ld_oracle *o,
                                     const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    const bool revoked = q->token.kind == LD_TOKEN_REVOKED;
    const struct pc_bytes head = head_of(a);
    (void)o;
    *ret_tolerated = false;
    if (pc_bytes_eq_str(head, revoked ? ":1" : ":0"))
        return LD_RIGHT;
    return say(why, revoked && pc_bytes_eq_str(head, ":0") ? LD_WRONG_ALLOW : LD_WRONG,
               "'%.*s' for a token that is %s", SHOW(head), ld_token_kind_name(q->token.kind));
}

static enum ld_verdict expect_status(const struct ld_asked *q, struct ld_oracle *o,
                                     const struct ld_answer *a, bool *ret_tolerated, char *why)
{
    const int expected = (int)request_of(q)->status;
    (void)o;
    *ret_tolerated = false;
    if (q->w->resp ? a->status != '-' : a->status == expected)
        return LD_RIGHT;
    return q->w->resp ? say(why, LD_WRONG, "'%.*s'", SHOW(head_of(a)))
                      : say(why, LD_WRONG, "status %d; expected %d", a->status, expected);
}

typedef enum ld_verdict (*expectation)(const struct ld_asked *, struct ld_oracle *,
                                       const struct ld_answer *, bool *, char *);

static const expectation expectations[LD_ASKS] = {
    [LD_ASK_AUTH] = expect_auth,     [LD_ASK_CHECK] = expect_check,   [LD_ASK_LIMIT] = expect_limit,
    [LD_ASK_FLAG] = expect_flag,     [LD_ASK_SET_FLAG] = expect_done, [LD_ASK_REVOKE] = expect_done,
    [LD_ASK_EXISTS] = expect_exists, [LD_ASK_STATUS] = expect_status,
};

enum ld_verdict ld_expect(const struct ld_asked *asked, struct ld_oracle *oracle,
                          const struct ld_answer *answer, bool *ret_tolerated,
                          char why[LD_WHY_BYTES])
{
    *ret_tolerated = false;
    return expectations[request_of(asked)->ask](asked, oracle, answer, ret_tolerated, why);
}
