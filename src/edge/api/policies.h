/* SPDX-License-Identifier: Apache-2.0
 * The limit policies of a configuration, compiled: rules, how a key is made of a request, and the
 * tables. One immutable object for each configuration, read by any core; what it counts outlives
 * it: a policy's table and counters pass on to the next configuration while name, max_keys and
 * algorithm (for windows also the period) stay the same.
 *
 * A key is text, so that administrators can name it: the parts of the template joined by '|'. In
 * a part '~', '/' and '|' are written ~0, ~1 and ~2; an IPv6 address is cut to ipv6_prefix bits;
 * a value of more than PC_LIMIT_VALUE_MAX bytes is replaced by "~h:" and a hash; where the
 * attribute is missing the client's address stands in as "~ip:192.0.2.1", so that leaving a header
 * out is no way round a limit. No two requests of different attributes make the same text. */
#ifndef PC_API_POLICIES_H
#define PC_API_POLICIES_H

#include "base/config.h"
#include "base/ip.h"
#include "edge/state/limits.h"
#include "edge/state/top_keys.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_LIMIT_PARTS_MAX  6
#define PC_LIMIT_VALUE_MAX  128  /* bytes of an attribute that stand in a key as they are */
#define PC_LIMIT_KEY_MAX    2048 /* no rendered key is longer; keys given by clients neither */
#define PC_POLICY_FIELD_MAX 128
#define PC_POLICY_HEAD_MAX  (2 * PC_POLICY_FIELD_MAX + 96)
#define PC_CHARGES_MAX      16 /* limits of one decision */

/* What a key is made of. Empty: the request does not have it. */
struct pc_limit_subject {
    const struct pc_ip *ip; /* the client; never NULL, family 0 for a Unix socket */
    struct pc_bytes subject, client, session, route;
    /* The first value of a header field, lower-case name; empty if absent. NULL: no headers. */
    struct pc_bytes (*header)(void *ctx, struct pc_bytes name);
    void *header_ctx;
};

enum pc_limit_word {
    PC_KEY_OF_IP,
    PC_KEY_OF_SUBJECT,
    PC_KEY_OF_CLIENT,
    PC_KEY_OF_SESSION,
    PC_KEY_OF_ROUTE,
    PC_KEY_OF_HEADER,
    PC_KEY_OF_LITERAL
};

struct pc_limit_part {
    enum pc_limit_word word;
    struct pc_bytes text; /* of header (lower case) and literal */
};

struct pc_policy_store; /* table and counters; shared by successive configurations */

struct pc_policy {
    const char *name;
    struct pc_limit_rule rule, strict_rule; /* strict: api.rate_limit_strict */
    int64_t cost;                           /* of one decision */
    bool shadow;                            /* counts, refuses nothing */
    bool pre_auth; /* the key needs nothing of the token: charged before it is looked at */
    uint8_t ipv6_prefix;
    unsigned part_count;
    struct pc_limit_part parts[PC_LIMIT_PARTS_MAX];
    struct pc_policy_store *store;
    /* "ip";q=60;w=60 as it stands in RateLimit-Policy, of rule and of strict_rule. */
    char fields[2][PC_POLICY_FIELD_MAX];
    uint8_t field_n[2];
    /* The fields of a decision with this limit alone, up to the first number that changes. */
    char heads[2][PC_POLICY_HEAD_MAX];
    uint16_t head_n[2];
};

struct pc_policies;

/* old: the policies in force, whose tables may be taken over, or NULL. cores: threads that will
 * charge, numbered from 0. secret keys the fingerprints and must be the same for old and new.
 * On failure why names the policy's key: "limit_policies[2].rate: …". */
int pc_policies_compile(const struct pc_config *c, const struct pc_policies *old, unsigned cores,
                        const uint8_t secret[16], struct pc_policies **ret_policies,
                        struct pc_why *why);
/* When no core reads it any more. NULL is allowed. */
void pc_policies_free(struct pc_policies *p);

unsigned pc_policies_count(const struct pc_policies *p);
const struct pc_policy *pc_policies_at(const struct pc_policies *p, unsigned i);
/* NULL: no such policy. The pointer lives as long as p: routes keep it. */
const struct pc_policy *pc_policy_find(const struct pc_policies *p, struct pc_bytes name);

/* ---- charging ---- */

enum pc_limit_outcome {
    PC_LIMIT_PASSED,
    PC_LIMIT_SHADOWED,   /* would have been refused, but the policy is in shadow mode */
    PC_LIMIT_UNCOUNTED,  /* no room for the key: fail_mode open lets it pass */
    PC_LIMIT_EXCEEDED,   /* 429 RATE_LIMITED */
    PC_LIMIT_UNAVAILABLE /* no room for the key: fail_mode closed, 503 LIMIT_UNAVAILABLE */
};
static inline bool pc_limit_passes(enum pc_limit_outcome o)
{
    return o < PC_LIMIT_EXCEEDED;
}

/* Who charges, when. */
struct pc_limit_user {
    unsigned core;           /* of the calling thread */
    bool strict;             /* the flag api.rate_limit_strict */
    int64_t now_ns, now_ms;  /* monotonic, wall */
    struct pc_top_keys *top; /* of this core; NULL: not recorded */
};

/* One limit of a decision. */
struct pc_charge {
    const struct pc_policy *policy;
    uint64_t fp;         /* pc_charge_set_key() */
    struct pc_bytes key; /* its text: borrowed until the decision is over */
    int64_t cost;
    const struct pc_limit_rule *rule; /* that was applied; set with outcome and result */
    enum pc_limit_outcome outcome;
    struct pc_limit_result result; /* limit 0: nothing is known (no room) */
};

/* Sets fp and key of a charge: made of a request by the policy's template, the text appended to
 * `text` (PC_LIMIT_KEY_MAX bytes of room needed) and the line asked for (prefetch). */
void pc_charge_of_subject(struct pc_charge *c, const struct pc_policy *p, int64_t cost,
                          const struct pc_limit_subject *s, struct pc_buf *text);
/* The same of a key as a client or an administrator wrote it; where the template is the single
 * word ip, an address in any notation is the same key as that client's. -EINVAL: empty or longer
 * than PC_LIMIT_KEY_MAX. */
int pc_charge_of_key(struct pc_charge *c, const struct pc_policy *p, int64_t cost,
                     struct pc_bytes key, struct pc_buf *text);

/* All or none: every limit is looked at first, then charged in order; when one refuses, what was
 * charged before it is given back. Sets outcome and result of all n <= PC_CHARGES_MAX; the index
 * of the first that refused, or -1. */
int pc_charges_take(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user);
/* The same without charging, counting or recording anything: for explain and GET. */
int pc_charges_peek(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user);
/* Undoes pc_charges_take() that refused nothing: a later step of the decision refused. */
void pc_charges_give_back(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user);
/* Forgets the key; whether it was known. */
bool pc_charge_reset(const struct pc_charge *c, const struct pc_limit_user *user);

/* Response header fields, each with CRLF: RateLimit-Policy and RateLimit with every limit that is
 * known, X-RateLimit-Limit, -Remaining and -Reset of the one that refused, else of the one with
 * the smallest part left. Nothing for n = 0. */
void pc_limits_write_fields(struct pc_buf *b, const struct pc_charge *charges, unsigned n);
#define PC_LIMIT_FIELDS_MAX(n) (256 + 160 * (size_t)(n)) /* room that is always enough */

/* {"policy":…,"limit":…,"remaining":…,"reset_ms":…,"retry_after_ms":…}: one entry of limits[];
 * retry_after_ms is null where waiting does not help, and 0 when allowed. */
void pc_charge_write_json(struct pc_buf *b, const struct pc_charge *c);
/* For Retry-After: whole seconds, at least 1; 0 where waiting does not help. */
unsigned pc_charge_retry_after_s(const struct pc_charge *c);
static inline int64_t pc_ns_to_ms_up(int64_t ns)
{
    return ns / 1000000 + (ns % 1000000 != 0);
}

/* Any thread: the families portcullis_limit_* in Prometheus text, by policy. */
void pc_policies_write_metrics(const struct pc_policies *p, struct pc_buf *b);
#define PC_POLICIES_METRICS_MAX ((size_t)PC_CONFIG_POLICIES_MAX * 2048 + 4096)

#ifdef __cplusplus
}
#endif
#endif
