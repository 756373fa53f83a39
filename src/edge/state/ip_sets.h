/* SPDX-License-Identifier: Apache-2.0
 * Named IP sets: which clients may ask at all. A set has a default, the rules of the configuration
 * and those administrators added while it ran.
 *
 * Two immutable parts, so that a rule added at run time does not rebuild millions of configured
 * ones: struct pc_ip_configured is compiled by the main thread from words and list files and owned
 * by the settings; struct pc_ip_sets joins it with the runtime rules, is compiled by the writer and
 * published with the view it belongs to. A match asks both: the longest prefix decides, the runtime
 * rule where both are equally long, an expired rule is as if absent.
 *
 * I1  The set at PC_IP_GLOBAL is named "global", always exists and applies to every decision; if
 *     the configuration does not mention it, it is empty and allows.
 * I2  A pc_ip_sets borrows its pc_ip_configured, which must outlive it, and nothing else.
 * I3  A runtime rule of a set that is not configured is kept and listed, but decides nothing.
 *
 * Any thread reads; no clock, no I/O. */
#ifndef PC_EDGE_STATE_IP_SETS_H
#define PC_EDGE_STATE_IP_SETS_H

#include "edge/state/ip_table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_IP_GLOBAL       0u    /* index of the set named "global" */
#define PC_IP_NO_SET       (~0u) /* no set has this index */
#define PC_IP_SET_NAME_MAX 64    /* bytes */
#define PC_IP_RUNTIME_RULES_MAX                                                                    \
    65536u /* of all sets together, dormant ones and those that expired a moment ago included      \
            */
/* "<set> <cidr>": the key of a runtime rule among the registers, the id of its Change. */
#define PC_IP_KEY_MAX (PC_IP_SET_NAME_MAX + 1 + PC_CIDR_TEXT_MAX)

struct pc_registers;

/* ---- the configured part: main thread ---- */

/* One set as written. Borrowed; list_name ("file x.txt") is for messages. */
struct pc_ip_set_source {
    const char *name;
    bool otherwise_deny;
    const char *const *allow; /* CIDRs */
    unsigned allow_n;
    const char *const *deny;
    unsigned deny_n;
    struct pc_bytes list; /* text of its list file, or empty: ip_list.h */
    const char *list_name;
};

struct pc_ip_configured;

/* On failure *why names the set, and the word or the line. */
int pc_ip_configured_new(const struct pc_ip_set_source *sets, unsigned n,
                         struct pc_ip_configured **ret_c, struct pc_why *why);
void pc_ip_configured_free(struct pc_ip_configured *c);
/* PC_IP_NO_SET if there is none. */
unsigned pc_ip_configured_find(const struct pc_ip_configured *c, struct pc_bytes name);
uint64_t pc_ip_configured_rules(const struct pc_ip_configured *c);
size_t pc_ip_configured_bytes(const struct pc_ip_configured *c);

/* ---- the whole: compiled by the writer, read by cores ---- */

struct pc_ip_sets;

/* `runtime` may be NULL: no runtime rules. Copies what it needs of them, except those that expired
 * before expired_before_ms. Registers that are no rules are ignored (pc_ip_key_parse). -ENOMEM, or
 * PC_E_FULL above PC_IP_RUNTIME_RULES_MAX; nothing was changed then. */
int pc_ip_sets_compile(const struct pc_ip_configured *c, const struct pc_registers *runtime,
                       int64_t expired_before_ms, struct pc_ip_sets **ret_s, struct pc_why *why);
void pc_ip_sets_free(struct pc_ip_sets *s);

unsigned pc_ip_sets_count(const struct pc_ip_sets *s);
const char *pc_ip_sets_name(const struct pc_ip_sets *s, unsigned set);
/* PC_IP_NO_SET if there is none. */
unsigned pc_ip_sets_find(const struct pc_ip_sets *s, struct pc_bytes name);

/* Where a verdict comes from. */
enum pc_ip_source {
    PC_IP_FROM_DEFAULT,    /* no rule matched: the set's default */
    PC_IP_FROM_CONFIGURED, /* words or list file */
    PC_IP_FROM_RUNTIME,    /* an administrator's rule */
    PC_IP_FROM_NO_ADDRESS, /* the client has none and the set has rules: denied */
};

struct pc_ip_match {
    bool deny;
    enum pc_ip_source source;
    const struct pc_ip_table *table; /* of the rule, where there is one */
    uint32_t rule;
};

/* Whether the set lets ip pass at now_ms. A client without an address (family 0) gets the default
 * of a set without rules; any other set denies it. */
void pc_ip_sets_match(const struct pc_ip_sets *s, unsigned set, const struct pc_ip *ip,
                      int64_t now_ms, struct pc_ip_match *ret_match);
/* The rule that decided; false if none did. Its reason lives as long as the sets. */
bool pc_ip_match_rule(const struct pc_ip_match *m, struct pc_ip_rule *ret_rule);
/* "default", "configured", "runtime", "no_address". */
const char *pc_ip_source_name(enum pc_ip_source source);

/* When the first runtime rule expires (or expired); INT64_MAX: none does. What has expired decides
 * nothing, but takes room until the sets are compiled again with a later expired_before_ms. */
int64_t pc_ip_sets_next_expiry_ms(const struct pc_ip_sets *s);

/* ---- listing ---- */

struct pc_ip_listed {
    struct pc_bytes set;
    enum pc_ip_source source; /* CONFIGURED or RUNTIME */
    bool dormant;             /* its set is not configured */
    struct pc_ip_rule rule;
    struct pc_bytes actor; /* runtime rules: who, and when */
    int64_t at_ms;
};

/* Where a list goes on: behind this rule. Zeroed to begin; survives a new snapshot. */
struct pc_ip_place {
    char set[PC_IP_SET_NAME_MAX + 1]; /* "": at the beginning */
    enum pc_ip_source source;         /* with a set: CONFIGURED or RUNTIME */
    struct pc_cidr cidr;              /* of family 0: before the source's first rule */
    enum pc_ip_source only;           /* CONFIGURED or RUNTIME: no rules of the other */
};

/* The rule behind *place: sets in the order of their names (dormant ones too), in each the
 * configured rules, then the runtime ones, each in the order of ip_table.h. False at the end;
 * otherwise *place has moved on to it. What it returns points into s. */
bool pc_ip_sets_next(const struct pc_ip_sets *s, struct pc_ip_place *place,
                     struct pc_ip_listed *ret_rule);

/* The runtime rule of exactly this network, dormant or not; false if there is none. */
bool pc_ip_sets_runtime_rule(const struct pc_ip_sets *s, struct pc_bytes set,
                             const struct pc_cidr *cidr, struct pc_ip_listed *ret_rule);

struct pc_ip_sets_stats {
    uint64_t configured_rules, runtime_rules, dormant_rules;
    size_t configured_bytes, runtime_bytes;
};
void pc_ip_sets_read_stats(const struct pc_ip_sets *s, struct pc_ip_sets_stats *ret_stats);

/* ---- keys of runtime rules ---- */

/* "global 192.0.2.0/24": the one spelling of that rule's key. */
void pc_ip_key_format(struct pc_bytes set, const struct pc_cidr *cidr, struct pc_buf *b);
/* Only what pc_ip_key_format() writes; -EINVAL otherwise. *ret_set points into key. */
int pc_ip_key_parse(struct pc_bytes key, struct pc_bytes *ret_set, struct pc_cidr *ret_cidr);
/* Letters, digits, _, - and ., at most PC_IP_SET_NAME_MAX. */
bool pc_ip_set_name_valid(struct pc_bytes name);

#ifdef __cplusplus
}
#endif
#endif
