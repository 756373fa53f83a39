/* SPDX-License-Identifier: Apache-2.0
 * The RESP commands: a token blacklist as applications keep it in Redis, and our own.
 *
 * A key is a configured prefix and an id; the prefix names the issuer and what the id is. Keys
 * stand for revoked tokens, so SET revokes, EXISTS asks, DEL un-revokes. Where this differs from
 * Redis the error says so. */
#include <stdarg.h>
#include <stdio.h>

#include "base/config_value.h"
#include "edge/api/check.h"
#include "edge/api/credentials.h"
#include "edge/api/mutate.h"
#include "edge/api/resp_conn.h"
#include "edge/api/resp_throttle.h"

typedef enum pc_resp_outcome outcome;

/* ---- keys ---- */

/* Why a command is not done, as the client reads it. Whoever finds the reason only writes it down:
 * with mutations under way it may not be replied yet. */
struct reason {
    char text[256];
};

static bool because(struct reason *why, const char *fmt, ...) PC_PRINTF(2, 3);
static bool because(struct reason *why, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why->text, sizeof why->text, fmt, args);
    va_end(args);
    return false;
}

/* An error reply while mutations are under way would overtake theirs. */
#define WAIT_IF_PENDING(r)                                                                         \
    do {                                                                                           \
        if ((r)->pending)                                                                          \
            return PC_RESP_WAIT;                                                                   \
    } while (0)

static outcome reply_text(struct pc_resp_conn *r, const char *text)
{
    WAIT_IF_PENDING(r);
    pc_resp_reply_error(r, "%s", text);
    return PC_RESP_DONE;
}

/* A key, resolved. */
struct key {
    const struct pc_config_prefix *prefix;
    const struct pc_issuer *issuer;
    struct pc_bytes id; /* the jti; borrowed from the command or the token cache */
    int64_t exp_ms;     /* of a whole token; 0: unknown */
    const struct pc_siphash24_head *head; /* of the issuer's fingerprints; NULL: not at hand */
};

static const struct pc_config_prefix *find_prefix(const struct pc_config *c, struct pc_bytes key)
{
    const struct pc_config_prefix *best = NULL;
    size_t best_n = 0;
    for (unsigned i = 0; i < c->prefix_count; i++) {
        size_t n = strlen(c->prefixes[i].prefix);
        if (n <= key.n && (!best || n > best_n) && memcmp(key.p, c->prefixes[i].prefix, n) == 0) {
            best = &c->prefixes[i];
            best_n = n;
        }
    }
    return best;
}

/* NULL where the prefix names none and several are configured. */
static const struct pc_issuer *issuer_of(const struct pc_trust *trust,
                                         const struct pc_config_prefix *prefix)
{
    if (prefix->issuer[0])
        return pc_trust_find_issuer(trust, pc_bytes_str(prefix->issuer));
    return trust->issuer_count == 1 ? &trust->issuers[0] : NULL;
}

/* What a prefix stands for in this view; NULL: nothing, or not one issuer. */
static const struct pc_resp_name *name_of(struct pc_worker *w, const struct pc_view *view,
                                          const struct pc_trust *trust,
                                          const struct pc_config_prefix *prefix, unsigned index)
{
    struct pc_resp_names *names = &w->names;
    struct pc_resp_name *name = &names->name[index];
    if (PC_UNLIKELY(names->view != view)) {
        names->view = view;
        names->known = 0;
    }
    if (PC_LIKELY(names->known & 1u << index))
        return name;
    name->issuer = issuer_of(trust, prefix);
    if (!name->issuer)
        return NULL;
    pc_tables_fingerprint_begin(w->server->tables, PC_KIND_TOKEN, name->issuer->s.name,
                                &name->head);
    names->known |= 1u << index;
    return name;
}

/* The key's id is a whole token: verified and reduced to issuer and jti. */
static bool reduce_token(struct pc_resp_conn *r, struct pc_bytes token, struct key *k,
                         struct reason *why)
{
    struct pc_ip client = pc_conn_ip(r->conn);
    struct pc_verdict v;
    pc_decide(r->worker, token, &client, &v);
    if (!v.token)
        return because(why, "ERR %s the key is not a token that can be verified",
                       pc_verdict_code(&v));
    k->issuer = v.issuer;
    k->id = pc_token_part(v.token, PC_PART_JTI);
    k->exp_ms = v.token->exp_ms == INT64_MAX ? 0 : v.token->exp_ms;
    return k->id.n ? true : because(why, "ERR TOKEN_WITHOUT_ID the token has no jti");
}

static bool resolve(struct pc_resp_conn *r, const struct pc_trust *trust, struct pc_bytes key,
                    struct key *k, struct reason *why)
{
    const struct pc_view *view = pc_server_view(r->worker->server);
    const struct pc_config *c = view->settings->config;
    k->prefix = find_prefix(c, key);
    k->exp_ms = 0;
    k->head = NULL;
    if (!k->prefix)
        return because(why, "ERR key '%.*s' has none of the configured prefixes",
                       (int)pc_min_u64(key.n, 64), (const char *)key.p);
    size_t n = strlen(k->prefix->prefix);
    k->id = pc_bytes_of(key.p + n, key.n - n);
    if (k->prefix->form == PC_PREFIX_TOKEN)
        return reduce_token(r, k->id, k, why);
    if (k->id.n == 0 || k->id.n > PC_ID_MAX)
        return because(why, "ERR the id behind the prefix must have 1 to %d bytes", PC_ID_MAX);
    const struct pc_resp_name *name =
        name_of(r->worker, view, view->trust, k->prefix, (unsigned)(k->prefix - c->prefixes));
    if (PC_LIKELY(name != NULL)) {
        k->issuer = name->issuer;
        k->head = &name->head;
    }
    return name ? true
                : because(why, "ERR prefix '%.64s' names no issuer and %u are configured",
                          k->prefix->prefix, trust->issuer_count);
}

/* Whether the token is revoked by its own id, and until when. */
static bool look_up(const struct pc_resp_conn *r, const struct pc_trust *trust, const struct key *k,
                    struct pc_revoked *ret)
{
    const struct pc_tables *t = r->worker->server->tables;
    int64_t now_ms = r->worker->core->now_ms - k->issuer->s.skew_ms;
    struct pc_revoked any;
    uint64_t fp = pc_tables_fingerprint(t, PC_KIND_TOKEN, k->issuer->s.name, k->id);
    bool found = pc_revocations_find(t->ids, fp, now_ms, ret);
    if (PC_LIKELY(!(trust->wildcard_kinds & 1u << PC_KIND_TOKEN)))
        return found;
    fp = pc_tables_fingerprint(t, PC_KIND_TOKEN, PC_LIT("*"), k->id);
    if (!pc_revocations_find(t->ids, fp, now_ms, &any))
        return found;
    if (!found || any.expires_at_ms > ret->expires_at_ms)
        *ret = any;
    return true;
}

/* ---- reading ---- */

/* Answered later, with others (resp_ahead.h). False: not here (a revocation for every issuer needs
 * a second look-up). */
static bool put_off(struct pc_resp_conn *r, const struct pc_trust *trust, const struct key *k,
                    enum pc_resp_ahead_kind kind)
{
    const struct pc_tables *t = r->worker->server->tables;
    if (PC_UNLIKELY(trust->wildcard_kinds & 1u << PC_KIND_TOKEN))
        return false;
    uint64_t fp = k->head ? pc_tables_fingerprint_end(k->head, k->id)
                          : pc_tables_fingerprint(t, PC_KIND_TOKEN, k->issuer->s.name, k->id);
    pc_revocations_prefetch(t->ids, fp);
    *pc_resp_ahead_add(r->worker) =
        (struct pc_resp_lookup){.conn = r,
                                .fp = fp,
                                .now_ms = r->worker->core->now_ms - k->issuer->s.skew_ms,
                                .value_of = k->prefix,
                                .kind = (uint8_t)kind};
    return true;
}

static outcome exists_one(struct pc_resp_conn *r, struct pc_bytes key)
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct pc_revoked revoked;
    struct reason why;
    struct key k;
    if (!resolve(r, trust, key, &k, &why))
        return reply_text(r, why.text);
    if (!put_off(r, trust, &k, PC_RESP_AHEAD_EXISTS))
        pc_resp_reply_int(r, look_up(r, trust, &k, &revoked));
    return PC_RESP_DONE;
}

static outcome cmd_exists(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    if (PC_LIKELY(c->argc == 2))
        return exists_one(r, c->argv[1]);
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct reason why;
    int64_t found = 0;
    for (size_t i = 1; i < c->argc; i++) {
        struct pc_revoked revoked;
        struct key k;
        if (!resolve(r, trust, c->argv[i], &k, &why))
            return reply_text(r, why.text);
        found += look_up(r, trust, &k, &revoked);
    }
    pc_resp_reply_int(r, found);
    return PC_RESP_DONE;
}

static outcome cmd_get(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct pc_revoked revoked;
    struct reason why;
    struct key k;
    if (!resolve(r, trust, c->argv[1], &k, &why))
        return reply_text(r, why.text);
    if (put_off(r, trust, &k, PC_RESP_AHEAD_GET))
        return PC_RESP_DONE;
    if (look_up(r, trust, &k, &revoked))
        pc_resp_reply_bulk(r, pc_bytes_str(k.prefix->value));
    else
        pc_resp_reply_null(r);
    return PC_RESP_DONE;
}

/* As Redis: -2 where there is nothing, -1 where it never expires. */
static int64_t left_of(const struct pc_resp_conn *r, const struct pc_revoked *revoked, bool found)
{
    if (!found)
        return -2;
    if (revoked->expires_at_ms == INT64_MAX)
        return -1;
    /* Within the issuer's clock skew it is still refused, with nothing left of its time. */
    return pc_max_i64(revoked->expires_at_ms - r->worker->core->now_ms, 0);
}

static outcome reply_ttl(struct pc_resp_conn *r, struct pc_bytes key, bool seconds)
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct pc_revoked revoked;
    struct reason why;
    struct key k;
    if (!resolve(r, trust, key, &k, &why))
        return reply_text(r, why.text);
    int64_t left = left_of(r, &revoked, look_up(r, trust, &k, &revoked));
    pc_resp_reply_int(r, seconds && left > 0 ? (left + 500) / 1000 : left);
    return PC_RESP_DONE;
}

static outcome cmd_ttl(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    return reply_ttl(r, c->argv[1], true);
}

static outcome cmd_pttl(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    return reply_ttl(r, c->argv[1], false);
}

static outcome cmd_check(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    struct pc_check_asker asker = {.client = pc_conn_ip(r->conn),
                                   .listener = pc_listener_of(r->conn)->index,
                                   .may_only_look = !pc_admin_may(pc_resp_role(r), PC_MAY_GATEWAY)};
    struct pc_check_result result;
    int rc = pc_check(r->worker, c->argv[1], &asker, &result);
    if (rc == -EACCES)
        pc_resp_reply_error(r, "%s",
                            pc_resp_role(r) == PC_ADMIN_NONE
                                ? "NOAUTH Authentication required: this may charge a limit."
                                : "NOPERM role viewer may only read, and this may charge a limit");
    else if (rc == -EINVAL)
        pc_resp_reply_error(r, "ERR %s %s", result.refusal.code, result.refusal.text);
    else if (rc < 0)
        pc_resp_reply_error(r,
                            "ERR ANSWER_TOO_LARGE the token's claims or the flags are too large");
    else
        pc_resp_reply_bulk(r, result.answer);
    return PC_RESP_DONE;
}

/* ---- changing ---- */

static outcome fail(struct pc_resp_conn *r, const struct pc_mutation_refusal *refusal)
{
    WAIT_IF_PENDING(r);
    pc_resp_reply_error(r, "%s %s", refusal->status == 403 ? "NOPERM" : "ERR", refusal->text);
    return PC_RESP_DONE;
}

/* As text, once: the mutations of a connection come in a row. */
static struct pc_bytes source_of(struct pc_resp_conn *r)
{
    if (r->source_n == 0) {
        struct pc_buf b = pc_buf_of(r->source, sizeof r->source);
        struct pc_ip client = pc_conn_ip(r->conn);
        pc_ip_format(&client, &b);
        r->source_n = (uint8_t)b.len;
    }
    return pc_bytes_of(r->source, r->source_n);
}

static int change_of(struct pc_resp_conn *r, const struct pc_wish *wish, enum pc_admin_role role,
                     struct pc_change *change, struct pc_mutation_refusal *refusal)
{
    int rc = pc_mutation_resolve(r->worker, wish, role, change, refusal);
    if (rc < 0)
        return rc;
    change->actor = pc_bytes_str(r->principal.role ? r->principal.actor : "resp");
    change->source = source_of(r);
    return 0;
}

static int add_wish(struct pc_resp_conn *r, struct pc_job *job, const struct pc_wish *wish,
                    enum pc_admin_role role, struct pc_mutation_refusal *refusal)
{
    struct pc_change change;
    int rc = change_of(r, wish, role, &change, refusal);
    if (rc < 0)
        return rc;
    if (pc_job_add(job, &change) < 0)
        return pc_mutation_refuse(refusal, 413, "BATCH_TOO_LARGE", "too many keys at once");
    return 0;
}

static outcome submit_one(struct pc_resp_conn *r, const struct pc_wish *wish,
                          void (*done)(struct pc_resp_conn *, struct pc_job *))
{
    struct pc_mutation_refusal refusal;
    struct pc_change change;
    if (change_of(r, wish, pc_resp_role(r), &change, &refusal) < 0)
        return fail(r, &refusal);
    struct pc_job *job = pc_job_take(&r->worker->jobs, pc_job_text_bytes(&change));
    if (!job) {
        pc_mutation_refuse(&refusal, 503, "NO_MEMORY", "no memory");
        return fail(r, &refusal);
    }
    int rc = pc_job_add(job, &change);
    PC_ASSERT(rc == 0);
    return pc_resp_submit(r, job, done);
}

static void done_ok(struct pc_resp_conn *r, struct pc_job *job)
{
    (void)job;
    pc_resp_reply_simple(r, "OK");
}

static void done_one(struct pc_resp_conn *r, struct pc_job *job)
{
    (void)job;
    pc_resp_reply_int(r, 1);
}

/* How many were refused before: what DEL counts. */
static void done_count(struct pc_resp_conn *r, struct pc_job *job)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < job->count; i++)
        n += job->items[i].was_refused;
    pc_resp_reply_int(r, n);
}

/* Sets a wish's expiry from a number and its unit; PXAT and EXAT are absolute. */
static const char *set_expiry(struct pc_wish *wish, struct pc_bytes number, bool milliseconds,
                              bool absolute, const char *command, char *text, size_t cap)
{
    int64_t n;
    if (pc_resp_to_i64(number, &n) < 0)
        return "ERR value is not an integer or out of range";
    if (n <= 0 || n > INT64_MAX / 1000) {
        snprintf(text, cap, "ERR invalid expire time in '%s' command", command);
        return text;
    }
    *(absolute ? &wish->expires_at_ms : &wish->ttl_ms) = milliseconds ? n : n * 1000;
    return NULL;
}

static outcome revoke_key(struct pc_resp_conn *r, struct pc_bytes key, struct pc_wish *wish,
                          void (*done)(struct pc_resp_conn *, struct pc_job *))
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct reason why;
    struct key k;
    if (!resolve(r, trust, key, &k, &why))
        return reply_text(r, why.text);
    wish->kind = PC_KIND_TOKEN;
    wish->op = PC_OP_REVOKE;
    wish->have_issuer = wish->issuer_known = true;
    wish->issuer = k.issuer->s.name;
    wish->id = k.id;
    wish->token_exp_ms = k.exp_ms;
    return submit_one(r, wish, done);
}

/* One option of SET at argv[*i]; NULL, or an error. */
static const char *set_option(const struct pc_resp_command *c, size_t *i, struct pc_wish *wish,
                              char *text, size_t cap)
{
    static const struct {
        const char *name;
        bool milliseconds, absolute;
    } options[] = {
        {"EX",   false, false},
        {"PX",   true,  false},
        {"EXAT", false, true },
        {"PXAT", true,  true }
    };
    for (size_t k = 0; k < PC_COUNT(options); k++) {
        if (!pc_bytes_eq_nocase(c->argv[*i], pc_bytes_str(options[k].name)))
            continue;
        if (*i + 1 >= c->argc || wish->ttl_ms || wish->expires_at_ms)
            return "ERR syntax error";
        return set_expiry(wish, c->argv[++*i], options[k].milliseconds, options[k].absolute, "set",
                          text, cap);
    }
    static const char *const unsupported[] = {"NX", "XX", "GET", "KEEPTTL"};
    for (size_t k = 0; k < PC_COUNT(unsupported); k++)
        if (pc_bytes_eq_nocase(c->argv[*i], pc_bytes_str(unsupported[k])))
            return "ERR SET options NX, XX, GET and KEEPTTL are not supported";
    return "ERR syntax error";
}

static outcome cmd_set(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    struct pc_wish wish = {0};
    char text[96];
    for (size_t i = 3; i < c->argc; i++) {
        const char *error = set_option(c, &i, &wish, text, sizeof text);
        if (error)
            return reply_text(r, error);
    }
    return revoke_key(r, c->argv[1], &wish, done_ok);
}

static outcome set_with_ttl(struct pc_resp_conn *r, const struct pc_resp_command *c,
                            bool milliseconds, const char *name)
{
    struct pc_wish wish = {0};
    char text[96];
    const char *error = set_expiry(&wish, c->argv[2], milliseconds, false, name, text, sizeof text);
    return error ? reply_text(r, error) : revoke_key(r, c->argv[1], &wish, done_ok);
}

static outcome cmd_setex(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    return set_with_ttl(r, c, false, "setex");
}

static outcome cmd_psetex(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    return set_with_ttl(r, c, true, "psetex");
}

/* 1 and a longer life if the key is there, else 0: what it answers depends on the mutations before
 * it. */
static outcome cmd_expire(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct pc_wish wish = {0};
    struct pc_revoked revoked;
    struct reason why;
    struct key k;
    char text[96];
    WAIT_IF_PENDING(r);
    const char *error = set_expiry(&wish, c->argv[2], false, false, "expire", text, sizeof text);
    if (error)
        return reply_text(r, error);
    if (!resolve(r, trust, c->argv[1], &k, &why))
        return reply_text(r, why.text);
    if (!look_up(r, trust, &k, &revoked)) {
        pc_resp_reply_int(r, 0);
        return PC_RESP_DONE;
    }
    return revoke_key(r, c->argv[1], &wish, done_one);
}

static bool may_unrevoke(const struct pc_resp_conn *r, const struct key *k)
{
    return k->prefix->allow_unrevoke || pc_admin_may(pc_resp_role(r), PC_MAY_OPERATE);
}

static int add_del(struct pc_resp_conn *r, struct pc_job *job, const struct key *k,
                   struct pc_mutation_refusal *refusal)
{
    struct pc_wish wish = {.kind = PC_KIND_TOKEN,
                           .op = PC_OP_CLEAR,
                           .have_issuer = true,
                           .issuer_known = true,
                           .issuer = k->issuer->s.name,
                           .id = k->id};
    if (!may_unrevoke(r, k))
        return pc_mutation_refuse(refusal, 403, "FORBIDDEN",
                                  "un-revoking needs role operator, or allow_unrevoke on the "
                                  "prefix");
    return add_wish(r, job, &wish, PC_ADMIN_OPERATOR, refusal);
}

/* Redis counts a key that is named twice once: the second time it is gone. */
static bool named_before(const struct pc_resp_command *c, size_t i)
{
    for (size_t k = 1; k < i; k++)
        if (pc_bytes_eq(c->argv[k], c->argv[i]))
            return true;
    return false;
}

/* A job for all keys of a DEL, or NULL: out of memory, or larger than a journal batch. */
static struct pc_job *job_for_keys(const struct pc_resp_command *c)
{
    uint32_t n = (uint32_t)(c->argc - 1);
    size_t bytes = (size_t)n * (PC_ISSUER_MAX + PC_ACTOR_MAX + PC_SOURCE_MAX);
    size_t room = PC_JOB_BYTES_MAX - (size_t)n * PC_JOB_CHANGE_OVERHEAD;
    for (size_t i = 1; i < c->argc; i++)
        bytes += pc_min_u64(c->argv[i].n, PC_ID_MAX);
    return pc_job_new(n, pc_min_u64(bytes, room));
}
_Static_assert(PC_RESP_ARGS_MAX <= PC_JOB_CHANGES_MAX, "a job holds the keys of any command");

static outcome cmd_del(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    struct pc_mutation_refusal refusal;
    struct reason why;
    struct key k;
    WAIT_IF_PENDING(r);
    struct pc_job *job = job_for_keys(c);
    if (!job)
        return reply_text(r, "ERR no memory");
    for (size_t i = 1; i < c->argc; i++) {
        if (named_before(c, i))
            continue;
        if (!resolve(r, trust, c->argv[i], &k, &why)) {
            pc_job_free(job);
            return reply_text(r, why.text);
        }
        if (add_del(r, job, &k, &refusal) < 0) {
            pc_job_free(job);
            return fail(r, &refusal);
        }
    }
    return pc_resp_submit(r, job, done_count);
}

/* Role gateway revokes tokens of its prefixes' issuers; "*" and all others need an operator. */
static bool of_some_prefix(const struct pc_resp_conn *r, const struct pc_wish *wish)
{
    const struct pc_trust *trust = pc_server_trust(r->worker->server);
    const struct pc_config *c = pc_server_settings(r->worker->server)->config;
    for (unsigned i = 0; i < c->prefix_count; i++) {
        const struct pc_issuer *issuer = issuer_of(trust, &c->prefixes[i]);
        if (issuer && (wish->have_issuer ? pc_bytes_eq(issuer->s.name, wish->issuer)
                                         : trust->issuer_count == 1))
            return true;
    }
    return false;
}

/* What "id" of PC.REVOKE kind id names; NULL, or an error. */
static const char *set_named(struct pc_wish *wish, struct pc_bytes id)
{
    if (wish->kind == PC_KIND_ALL)
        return pc_bytes_eq_str(id, "*") ? NULL : "ERR kind all is revoked by PC.REVOKE all *";
    if (wish->kind != PC_KIND_ISSUER) {
        wish->id = id;
        return NULL;
    }
    wish->have_issuer = true;
    wish->issuer = id;
    return NULL;
}

/* One pair of PC.REVOKE's options; NULL, or an error. */
static const char *set_revoke_option(struct pc_wish *wish, struct pc_bytes name,
                                     struct pc_bytes value, char *text, size_t cap)
{
    if (pc_bytes_eq_nocase(name, PC_LIT("ISSUER")) && !wish->have_issuer) {
        wish->have_issuer = true;
        wish->issuer = value;
        return NULL;
    }
    if (pc_bytes_eq_nocase(name, PC_LIT("REASON"))) {
        wish->reason = value;
        return NULL;
    }
    if (pc_bytes_eq_nocase(name, PC_LIT("TTL")))
        return set_expiry(wish, value, false, false, "pc.revoke", text, cap);
    return "ERR syntax error";
}

/* PC.REVOKE kind id [ISSUER name] [TTL seconds] [REASON text]; also: issuer name, all * */
static outcome cmd_revoke(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    struct pc_wish wish = {.kind = pc_kind_of_name(c->argv[1]), .op = PC_OP_REVOKE};
    char text[96];
    const char *error = c->argc % 2 ? set_named(&wish, c->argv[2]) : "ERR syntax error";
    for (size_t i = 3; i + 1 < c->argc && !error; i += 2)
        error = set_revoke_option(&wish, c->argv[i], c->argv[i + 1], text, sizeof text);
    if (!error && !pc_admin_may(pc_resp_role(r), PC_MAY_OPERATE) && wish.kind == PC_KIND_TOKEN &&
        !of_some_prefix(r, &wish))
        error = "NOPERM role gateway revokes tokens of the issuers of its prefixes only";
    return error ? reply_text(r, error) : submit_one(r, &wish, done_ok);
}

/* ---- connection ---- */

static outcome cmd_ping(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    if (c->argc > 2)
        pc_resp_reply_error(r, "ERR wrong number of arguments for 'ping' command");
    else if (c->argc == 2)
        pc_resp_reply_bulk(r, c->argv[1]);
    else
        pc_resp_reply_simple(r, "PONG");
    return PC_RESP_DONE;
}

/* redis-cli --pipe ends with it. */
static outcome cmd_echo(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    pc_resp_reply_bulk(r, c->argv[1]);
    return PC_RESP_DONE;
}

static bool authenticate(struct pc_resp_conn *r, struct pc_bytes password)
{
    struct pc_ip client = pc_conn_ip(r->conn);
    struct pc_principal found;
    unsigned retry_after_s;
    bool busy;
    if (pc_credential_limited(r->worker, &client, password, &retry_after_s)) {
        pc_resp_reply_error(r,
                            "ERR TOO_MANY_FAILED_CREDENTIALS too many wrong credentials came "
                            "from this address: none is judged for %u seconds",
                            retry_after_s);
        return false;
    }
    pc_principal_of(r->worker, password, &client, &found, &busy);
    if (busy) {
        pc_resp_reply_error(r, "BUSY too many signatures to verify");
        return false;
    }
    if (found.role == PC_ADMIN_NONE) {
        pc_credential_failed(r->worker, &client, PC_LIT(""), "resp");
        pc_resp_reply_error(r, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    pc_credential_accepted(r->worker);
    if (pc_resp_authenticated(r, password, &found))
        return true;
    pc_resp_reply_error(r, "ERR no memory");
    return false;
}

static outcome cmd_auth(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    if (c->argc > 3)
        pc_resp_reply_error(r, "ERR syntax error");
    else if (authenticate(r, c->argv[c->argc - 1]))
        pc_resp_reply_simple(r, "OK");
    return PC_RESP_DONE;
}

static void reply_hello(struct pc_resp_conn *r)
{
    uint8_t text[512];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    pc_resp_write_array(&b, 14);
    pc_resp_write_bulk(&b, PC_LIT("server"));
    pc_resp_write_bulk(&b, PC_LIT("portcullis"));
    pc_resp_write_bulk(&b, PC_LIT("version"));
    pc_resp_write_bulk(&b, PC_LIT(PC_VERSION));
    pc_resp_write_bulk(&b, PC_LIT("proto"));
    pc_resp_write_int(&b, 2);
    pc_resp_write_bulk(&b, PC_LIT("id"));
    pc_resp_write_int(&b, (int64_t)r->id);
    pc_resp_write_bulk(&b, PC_LIT("mode"));
    pc_resp_write_bulk(&b, PC_LIT("standalone"));
    pc_resp_write_bulk(&b, PC_LIT("role"));
    pc_resp_write_bulk(&b, PC_LIT("master"));
    pc_resp_write_bulk(&b, PC_LIT("modules"));
    pc_resp_write_array(&b, 0);
    pc_resp_reply_raw(r, pc_bytes_of(b.p, b.len));
}

#define BAD_NAME "ERR Client names cannot contain spaces, newlines or special characters."

static bool keep_name(struct pc_resp_conn *r, struct pc_bytes name)
{
    if (name.n > PC_RESP_CLIENT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~')
            return false;
    if (name.n)
        memcpy(r->name, name.p, name.n);
    r->name[name.n] = 0;
    return true;
}

/* RESP3 is refused in the words of a Redis that does not know HELLO, on which clients fall back. */
static outcome cmd_hello(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    size_t i = 2;
    if (c->argc > 1 && !pc_bytes_eq_str(c->argv[1], "2")) {
        pc_resp_reply_error(r, "ERR unknown command 'HELLO', with args beginning with: '%.*s' ",
                            (int)pc_min_u64(c->argv[1].n, 64), (const char *)c->argv[1].p);
        return PC_RESP_DONE;
    }
    while (i < c->argc) {
        if (pc_bytes_eq_nocase(c->argv[i], PC_LIT("AUTH")) && i + 2 < c->argc) {
            if (!authenticate(r, c->argv[i + 2]))
                return PC_RESP_DONE;
            i += 3;
        } else if (pc_bytes_eq_nocase(c->argv[i], PC_LIT("SETNAME")) && i + 1 < c->argc) {
            if (!keep_name(r, c->argv[i + 1])) {
                pc_resp_reply_error(r, BAD_NAME);
                return PC_RESP_DONE;
            }
            i += 2;
        } else {
            pc_resp_reply_error(r, "ERR Syntax error in HELLO option '%.*s'",
                                (int)pc_min_u64(c->argv[i].n, 64), (const char *)c->argv[i].p);
            return PC_RESP_DONE;
        }
    }
    if (pc_resp_role(r) == PC_ADMIN_NONE && !pc_conn_is_local(r->conn))
        pc_resp_reply_error(r, "NOAUTH HELLO must be called with the client already authenticated, "
                               "otherwise the HELLO <proto> AUTH <user> <pass> option can be used");
    else
        reply_hello(r);
    return PC_RESP_DONE;
}

static outcome cmd_select(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    int64_t n;
    if (pc_resp_to_i64(c->argv[1], &n) < 0)
        pc_resp_reply_error(r, "ERR value is not an integer or out of range");
    else if (n != 0)
        pc_resp_reply_error(r, "ERR DB index is out of range");
    else
        pc_resp_reply_simple(r, "OK");
    return PC_RESP_DONE;
}

static outcome cmd_quit(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    (void)c;
    pc_resp_reply_simple(r, "OK");
    pc_conn_close_after_flush(r->conn);
    return PC_RESP_DONE;
}

static outcome set_name(struct pc_resp_conn *r, struct pc_bytes name)
{
    if (!keep_name(r, name))
        pc_resp_reply_error(r, BAD_NAME);
    else
        pc_resp_reply_simple(r, "OK");
    return PC_RESP_DONE;
}

static void reply_client_info(struct pc_resp_conn *r)
{
    uint8_t text[256];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_ip ip = pc_conn_ip(r->conn);
    pc_buf_fmt(&b, "id=%llu addr=", (unsigned long long)r->id);
    pc_ip_format(&ip, &b);
    pc_buf_fmt(&b, ":%u name=%s db=0 resp=2\n", r->conn->peer.port, r->name);
    pc_resp_reply_bulk(r, pc_bytes_of(b.p, b.len));
}

static outcome cmd_client(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    struct pc_bytes sub = c->argv[1];
    if (pc_bytes_eq_nocase(sub, PC_LIT("SETNAME")) && c->argc == 3)
        return set_name(r, c->argv[2]);
    if (pc_bytes_eq_nocase(sub, PC_LIT("SETINFO")) && c->argc == 4)
        pc_resp_reply_simple(r, "OK");
    else if (pc_bytes_eq_nocase(sub, PC_LIT("GETNAME")) && c->argc == 2)
        pc_resp_reply_bulk(r, pc_bytes_str(r->name));
    else if (pc_bytes_eq_nocase(sub, PC_LIT("ID")) && c->argc == 2)
        pc_resp_reply_int(r, (int64_t)r->id);
    else if ((pc_bytes_eq_nocase(sub, PC_LIT("INFO")) || pc_bytes_eq_nocase(sub, PC_LIT("LIST"))) &&
             c->argc == 2)
        reply_client_info(r);
    else
        pc_resp_reply_error(r,
                            "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                            "CLIENT SETNAME, GETNAME, SETINFO, ID or INFO.",
                            (int)pc_min_u64(sub.n, 64), (const char *)sub.p);
    return PC_RESP_DONE;
}

static void put_command(struct pc_buf *b, const struct pc_resp_row *row)
{
    pc_resp_write_array(b, 6);
    pc_resp_write_bulk(b, pc_bytes_of(row->name, row->name_n));
    pc_resp_write_int(b, row->arity);
    pc_resp_write_array(b, 1);
    pc_resp_write_simple(b, row->access == PC_RESP_MUTATE ? "write" : "readonly");
    pc_resp_write_int(b, row->first_key);
    pc_resp_write_int(b, row->last_key);
    pc_resp_write_int(b, row->key_step);
}

static outcome cmd_command(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    struct pc_buf b = pc_buf_of(r->worker->scratch, PC_WORKER_SCRATCH_BYTES);
    if (c->argc == 1) {
        pc_resp_write_array(&b, pc_resp_row_count);
        for (size_t i = 0; i < pc_resp_row_count; i++)
            put_command(&b, &pc_resp_rows[i]);
        pc_resp_reply_raw(r, pc_bytes_of(b.p, b.len));
    } else if (pc_bytes_eq_nocase(c->argv[1], PC_LIT("COUNT"))) {
        pc_resp_reply_int(r, (int64_t)pc_resp_row_count);
    } else if (pc_bytes_eq_nocase(c->argv[1], PC_LIT("DOCS"))) {
        pc_resp_write_array(&b, 0);
        pc_resp_reply_raw(r, pc_bytes_of(b.p, b.len));
    } else {
        pc_resp_reply_error(r, "ERR unknown subcommand '%.*s'. Try COMMAND COUNT or DOCS.",
                            (int)pc_min_u64(c->argv[1].n, 64), (const char *)c->argv[1].p);
    }
    return PC_RESP_DONE;
}

/* Clients look for redis_version and loading. */
static outcome cmd_info(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    const struct pc_server *s = r->worker->server;
    uint8_t text[1024];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    (void)c;
    pc_buf_fmt(&b,
               "# Server\r\nredis_version:6.2.0\r\nredis_mode:standalone\r\n"
               "portcullis_version:" PC_VERSION "\r\nuptime_in_seconds:%lld\r\n"
               "# Clients\r\n# Persistence\r\nloading:%d\r\n# Replication\r\nrole:master\r\n"
               "# Keyspace\r\ndb0:keys=%llu,expires=0,avg_ttl=0\r\n",
               (long long)((r->worker->core->now_ms - s->started_ms) / 1000),
               !pc_writer_ready(s->writer),
               (unsigned long long)pc_metrics_total(s->metrics, PC_M_REVOCATION_ENTRIES_ABSOLUTE));
    pc_resp_reply_bulk(r, pc_bytes_of(b.p, b.len));
    return PC_RESP_DONE;
}

/* X(name, arity, access, first key, last key, key step, function) */
#define COMMANDS(X)                                                                                \
    X("EXISTS", -2, PC_RESP_READ, 1, -1, 1, cmd_exists)                                            \
    X("SET", -3, PC_RESP_MUTATE, 1, 1, 1, cmd_set)                                                 \
    X("GET", 2, PC_RESP_READ, 1, 1, 1, cmd_get)                                                    \
    X("CL.THROTTLE", -1, PC_RESP_MUTATE, 1, 1, 1, pc_resp_throttle)                                \
    X("SETEX", 4, PC_RESP_MUTATE, 1, 1, 1, cmd_setex)                                              \
    X("PSETEX", 4, PC_RESP_MUTATE, 1, 1, 1, cmd_psetex)                                            \
    X("TTL", 2, PC_RESP_READ, 1, 1, 1, cmd_ttl)                                                    \
    X("PTTL", 2, PC_RESP_READ, 1, 1, 1, cmd_pttl)                                                  \
    X("DEL", -2, PC_RESP_MUTATE, 1, -1, 1, cmd_del)                                                \
    X("EXPIRE", 3, PC_RESP_MUTATE, 1, 1, 1, cmd_expire)                                            \
    X("PC.CHECK", 2, PC_RESP_READ, 0, 0, 0, cmd_check)                                             \
    X("PC.REVOKE", -3, PC_RESP_MUTATE, 0, 0, 0, cmd_revoke)                                        \
    X("PING", -1, PC_RESP_READ, 0, 0, 0, cmd_ping)                                                 \
    X("ECHO", 2, PC_RESP_READ, 0, 0, 0, cmd_echo)                                                  \
    X("AUTH", -2, PC_RESP_ALWAYS, 0, 0, 0, cmd_auth)                                               \
    X("HELLO", -1, PC_RESP_ALWAYS, 0, 0, 0, cmd_hello)                                             \
    X("SELECT", 2, PC_RESP_READ, 0, 0, 0, cmd_select)                                              \
    X("QUIT", -1, PC_RESP_ALWAYS, 0, 0, 0, cmd_quit)                                               \
    X("CLIENT", -2, PC_RESP_READ, 0, 0, 0, cmd_client)                                             \
    X("COMMAND", -1, PC_RESP_READ, 0, 0, 0, cmd_command)                                           \
    X("INFO", -1, PC_RESP_READ, 0, 0, 0, cmd_info)

const struct pc_resp_row pc_resp_rows[] = {
#define ROW(name, arity, access, first, last, step, run)                                           \
    {name, sizeof(name) - 1, arity, access, first, last, step, run},
    COMMANDS(ROW)
#undef ROW
};
const size_t pc_resp_row_count = PC_COUNT(pc_resp_rows);

const char *const pc_resp_command_labels[] = {
#define LABEL(name, arity, access, first, last, step, run) "command=\"" name "\"",
    COMMANDS(LABEL)
#undef LABEL
};
const unsigned pc_resp_command_count = PC_COUNT(pc_resp_command_labels);
_Static_assert(PC_COUNT(pc_resp_command_labels) <= PC_METRICS_RESP_COMMANDS_MAX,
               "a metric slot for every command");
