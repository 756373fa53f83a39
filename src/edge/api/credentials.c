/* SPDX-License-Identifier: Apache-2.0
 * See credentials.h. */
#include "edge/api/credentials.h"

#include <stdio.h>

#include "edge/api/audit_note.h"

#define NS_PER_S INT64_C(1000000000)

int pc_credential_rule(const struct pc_config *c, struct pc_limit_rule *ret_rule,
                       struct pc_why *why)
{
    struct pc_rate rate;
    struct pc_why inner;
    struct pc_bytes text = pc_bytes_str(c->admin.failed_credentials);
    int rc = pc_rate_parse(text, &rate, &inner);
    if (rc == 0)
        rc = pc_limit_rule_set(ret_rule, PC_LIMIT_GCRA, &rate, 0, false, &inner);
    return rc < 0 ? pc_fail(why, rc, "admin.failed_credentials: %s", inner.text) : 0;
}

/* Of IPv6 the first half: who has an address has 2^64 of them. Peers of Unix sockets are one. */
static uint64_t fingerprint(const struct pc_worker *w, const struct pc_ip *client)
{
    uint8_t text[9] = {client->family};
    size_t n = client->family == 6 ? 8 : client->family == 4 ? 4 : 0;
    memcpy(text + 1, client->b, n);
    return pc_limit_fingerprint(w->server->client_key, pc_bytes_of(text, n + 1));
}

static const struct pc_limit_rule *rule_of(const struct pc_worker *w)
{
    return &pc_server_settings(w->server)->credential_rule;
}

/* A good one that was made of random bits, not chosen by somebody. */
static bool is_beyond_guessing(const struct pc_worker *w, struct pc_bytes credential)
{
    const struct pc_admin_token *t = pc_admin_tokens_verify(&pc_server_settings(w->server)->admins,
                                                            credential, w->core->now_ms / 1000);
    return t && t->id[0];
}

bool pc_credential_limited(struct pc_worker *w, const struct pc_ip *client,
                           struct pc_bytes credential, unsigned *ret_retry_after_s)
{
    struct pc_limit_result r;
    if (!w->server->failed_credentials)
        return false;
    pc_limits_peek(w->server->failed_credentials, rule_of(w), fingerprint(w, client), 1,
                   w->core->now_ns, &r);
    if (PC_LIKELY(r.allowed) || is_beyond_guessing(w, credential))
        return false;
    pc_metric_inc(w->metrics, PC_M_CREDENTIALS_LIMITED);
    *ret_retry_after_s =
        (unsigned)pc_min_i64(pc_max_i64((r.retry_after_ns + NS_PER_S - 1) / NS_PER_S, 1), 86400);
    return true;
}

static void log_failure(struct pc_bytes source, struct pc_bytes request_id, const char *protocol)
{
    struct pc_log *l = pc_log_begin(PC_LOG_WARN, "credential_refused");
    if (request_id.n)
        pc_log_bytes(l, "request_id", request_id);
    pc_log_str(l, "protocol", protocol);
    pc_log_bytes(l, "source", source);
    pc_log_end(l);
}

/* Whether one more note may be made now. */
static bool may_note(struct pc_credential_notes *n, int64_t now_ns)
{
    if (n->second != now_ns / NS_PER_S) {
        n->second = now_ns / NS_PER_S;
        n->made = 0;
    }
    return n->made++ < PC_CREDENTIAL_NOTES_PER_S;
}

static void note_failure(struct pc_worker *w, const struct pc_note_origin *o, const char *protocol)
{
    char detail[96];
    struct pc_credential_notes *n = &w->credentials;
    n->unnoted++;
    if (!may_note(n, w->core->now_ns))
        return;
    int len = snprintf(detail, sizeof detail, "{\"protocol\":\"%s\",\"failures\":%llu}", protocol,
                       (unsigned long long)n->unnoted);
    n->unnoted = 0;
    pc_audit_note_later(w, o, "credential_refused", pc_bytes_of(detail, (size_t)len), PC_LIT(""),
                        NULL, NULL);
}

void pc_credential_failed(struct pc_worker *w, const struct pc_ip *client,
                          struct pc_bytes request_id, const char *protocol)
{
    struct pc_note_origin o = {.actor = "", .request_id_n = (uint8_t)request_id.n};
    struct pc_buf b = pc_buf_of(o.source, sizeof o.source);
    struct pc_limit_result r;
    PC_ASSERT(request_id.n <= sizeof o.request_id);
    if (request_id.n)
        memcpy(o.request_id, request_id.p, request_id.n);
    pc_ip_format(client, &b);
    o.source_n = (uint8_t)b.len;
    pc_metric_inc(w->metrics, PC_M_CREDENTIALS_REFUSED);
    log_failure(pc_bytes_of(o.source, o.source_n), request_id, protocol);
    if (w->server->failed_credentials)
        pc_limits_take(w->server->failed_credentials, rule_of(w), fingerprint(w, client), 1,
                       w->core->now_ns, &w->credentials.counters, &r);
    note_failure(w, &o, protocol);
}

void pc_credential_accepted(struct pc_worker *w)
{
    pc_metric_inc(w->metrics, PC_M_CREDENTIALS_ACCEPTED);
}
