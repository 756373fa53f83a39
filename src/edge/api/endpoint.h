/* SPDX-License-Identifier: Apache-2.0
 * The endpoint table: every path this server answers, with the listener role and the permission it
 * needs. A row without either does not compile. Pure look-up; any thread. */
#ifndef PC_API_ENDPOINT_H
#define PC_API_ENDPOINT_H

#include "edge/api/call.h"

/* What a caller must hold. Roles are no ladder (base/admin_tokens.h): each permission names those
 * any of which is enough. */
enum pc_permission {
    PC_PERMISSION_UNSET,    /* never in the table: an empty cell fails the build */
    PC_PERMISSION_NONE,     /* anybody who can reach the listener */
    PC_PERMISSION_DECIDE,   /* a trusted peer, or role gateway */
    PC_PERMISSION_READ,     /* any credential */
    PC_PERMISSION_VIEWER,   /* viewer, operator, admin */
    PC_PERMISSION_GATEWAY,  /* gateway, operator, admin */
    PC_PERMISSION_OPERATOR, /* operator, admin */
    PC_PERMISSION_ADMIN     /* admin */
};

#define PC_ROLE_ANY (PC_ROLE_GATEWAY | PC_ROLE_PUBLIC | PC_ROLE_ADMIN)
/* Any method, those unknown to HTTP included: forward-auth gateways pass on their client's. */
#define PC_METHODS_ALL        0xffffffffu
#define PC_METHOD_BIT(method) (1u << PC_METHOD_##method)

struct pc_endpoint {
    uint32_t methods; /* bits; GET also answers HEAD */
    const char *path; /* {name} is one segment, a final * the rest */
    unsigned roles;   /* listener roles, any of them */
    enum pc_permission permission;
    void (*handle)(struct pc_call *call);
    const char *summary;
    bool while_starting; /* answers before recovery is complete */
    bool routine;        /* what services ask all day long: logged when refused only */
};

extern const struct pc_endpoint pc_endpoints[];
extern const size_t pc_endpoint_count;

/* "none", "decide", …, for people and the documentation. */
const char *pc_permission_name(enum pc_permission permission);
/* The roles any of which is enough (PC_MAY_*); 0 where no credential is needed. */
unsigned pc_permission_roles(enum pc_permission permission);

/* The endpoint of a method and a canonical path (without /api), its parameters set in the call; or
 * NULL: *ret_methods is then 0 for an unknown path, or what the path allows. */
const struct pc_endpoint *pc_endpoint_find(struct pc_call *call, enum pc_http_method method,
                                           struct pc_bytes path, uint32_t *ret_methods);

/* "GET, HEAD, POST": for Allow. */
void pc_methods_write(struct pc_buf *b, uint32_t methods);

/* Whether an Accept field would rather have text/html than JSON: it must be named, and outweigh
 * application/json, or what stands for it. */
bool pc_accept_prefers_html(struct pc_bytes accept);

/* Handlers, by file. */
void pc_handle_index(struct pc_call *call); /* index.c */
void pc_handle_openapi(struct pc_call *call);
void pc_handle_health(struct pc_call *call); /* health.c */
void pc_handle_readiness(struct pc_call *call);
void pc_handle_liveness(struct pc_call *call);
void pc_handle_metrics(struct pc_call *call);
void pc_handle_auth(struct pc_call *call); /* auth.c */
void pc_handle_auth_nginx(struct pc_call *call);
void pc_handle_auth_envoy(struct pc_call *call);
void pc_handle_check(struct pc_call *call); /* check.c */
void pc_handle_explain(struct pc_call *call);
void pc_handle_revoke(struct pc_call *call); /* revoke.c */
void pc_handle_unrevoke(struct pc_call *call);
void pc_handle_revocation(struct pc_call *call);
void pc_handle_events(struct pc_call *call); /* events.c */
void pc_handle_flags(struct pc_call *call);  /* flags.c */
void pc_handle_flag(struct pc_call *call);
void pc_handle_flag_set(struct pc_call *call);
void pc_handle_flag_remove(struct pc_call *call);
void pc_handle_flags_reload(struct pc_call *call);
void pc_handle_ip_rules(struct pc_call *call); /* ip_rules.c */
void pc_handle_ip_rules_set(struct pc_call *call);
void pc_handle_ip_rules_remove(struct pc_call *call);
void pc_handle_limit_take(struct pc_call *call); /* limits.c */
void pc_handle_limit_peek(struct pc_call *call);
void pc_handle_limit_reset(struct pc_call *call);
void pc_handle_limits_top(struct pc_call *call);
void pc_handle_reload(struct pc_call *call); /* admin.c */
void pc_handle_clock_confirm(struct pc_call *call);
void pc_handle_snapshot(struct pc_call *call);

#endif
