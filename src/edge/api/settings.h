/* SPDX-License-Identifier: Apache-2.0
 * A configuration as decisions use it: routes with what they demand, limit policies, configured IP
 * sets, administrators. Built by the main thread, published by the writer in a view, immutable
 * since; any core reads it. */
#ifndef PC_API_SETTINGS_H
#define PC_API_SETTINGS_H

#include "base/admin_tokens.h"
#include "base/config.h"
#include "edge/api/policies.h"
#include "edge/state/ip_sets.h"
#include "edge/state/limits.h"
#include "edge/state/routes.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_ROUTE_LIMITS_MAX      8    /* of one route */
#define PC_ROUTE_CHALLENGE_BYTES 1024 /* scopes of one route together: they stand in a header */
/* Listeners that are not there until a restart: rules for them match nothing. */
#define PC_LISTENER_ABSENT 31u

struct pc_route_flag {
    struct pc_bytes key;
    uint64_t hash; /* pc_flag_hash(key) */
};

/* What a route demands; the config's route, resolved. */
struct pc_route {
    const struct pc_config_route *config; /* NULL: the default route */
    struct pc_bytes name;  /* "default" where no route of the configuration matches */
    struct pc_bytes field; /* "X-Portcullis-Route: …" with CRLF */
    enum pc_authentication authentication;
    bool sensitive, maintenance_exempt, shadow;
    unsigned scope_n, role_n, limit_n, ip_set_n, flag_n;
    unsigned pre_n;                /* the first of limits: charged before the token */
    const struct pc_bytes *scopes; /* the token needs all */
    const struct pc_bytes *roles;  /* … one, if there are any; as tokens write them */
    const struct pc_policy *const *limits;
    const unsigned *ip_sets; /* without global, which is everybody's */
    const struct pc_route_flag *flags;
    struct pc_bytes scope_list; /* scopes, separated by spaces */
};

/* What a reload replaces. */
struct pc_settings {
    struct pc_config *config;
    struct pc_admin_tokens admins;
    bool have_admins;
    struct pc_limit_rule credential_rule; /* admin.failed_credentials */
    bool kept; /* what the server started with: listeners and limits point into it to the end */
    /* Compiled by pc_settings_compile(). */
    struct pc_policies *policies;
    struct pc_ip_configured *ip_configured;
    struct pc_routes *router;
    struct pc_route *routes;   /* [config->route_count] */
    struct pc_route **by_name; /* the same, sorted */
    struct pc_route default_route;
    /* What routes[i] demands of a token has the number demands_from + i, which no settings before
     * these had: what is kept of a token may name it. Never 0. */
    uint64_t demands_from;
    unsigned needs;                    /* PC_ROUTE_NEEDS_* */
    bool charges;                      /* some route has limits */
    uint64_t log_codes;                /* bit per enum pc_decision_code: always logged */
    struct pc_settings_memory *memory; /* what routes point into */
};

/* Compiles s->config. `running` is the configuration the listeners were opened with (s->config
 * itself at start); `old` the settings in force (NULL at start), whose limit tables may be taken
 * over; `cores` and `secret` as for pc_policies_compile(). Reads the IP sets' list files. On
 * failure *why names the key; what was compiled is freed by pc_settings_free_compiled(). */
int pc_settings_compile(struct pc_settings *s, const struct pc_config *running,
                        const struct pc_settings *old, unsigned cores, const uint8_t secret[16],
                        struct pc_why *why);
void pc_settings_free_compiled(struct pc_settings *s);

/* NULL: no such route; "default" is the default route unless one is configured by that name. */
const struct pc_route *pc_settings_route(const struct pc_settings *s, struct pc_bytes name);

#ifdef __cplusplus
}
#endif
#endif
