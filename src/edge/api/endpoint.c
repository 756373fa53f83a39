/* SPDX-License-Identifier: Apache-2.0
 * The endpoint table and its look-up. Exact paths are compared by length first; the table is short
 * and the decision endpoints stand on top of it. */
#include "edge/api/endpoint.h"

#define GET    PC_METHOD_BIT(GET)
#define POST   PC_METHOD_BIT(POST)
#define DELETE PC_METHOD_BIT(DELETE)

#define GATEWAY_OR_ADMIN (PC_ROLE_GATEWAY | PC_ROLE_ADMIN)

/* An empty cell is 0, and 0 / 0 is no constant: the build fails. */
#define CELL(value) ((value) / ((value) != 0 ? 1 : 0) * 1)
#define ROW(methods, path, roles, permission, handle, summary)                                     \
    {                                                                                              \
        methods, path, CELL(roles), CELL(permission), handle, summary, false, false                \
    }
#define EARLY(methods, path, roles, permission, handle, summary)                                   \
    {                                                                                              \
        methods, path, CELL(roles), CELL(permission), handle, summary, true, false                 \
    }
#define ROUTINE(methods, path, roles, permission, handle, summary)                                 \
    {                                                                                              \
        methods, path, CELL(roles), CELL(permission), handle, summary, false, true                 \
    }

const struct pc_endpoint pc_endpoints[] = {
    ROW(PC_METHODS_ALL, "/v1/auth", PC_ROLE_GATEWAY, PC_PERMISSION_DECIDE, pc_handle_auth,
        "Forward auth: 200 with identity headers, or 400, 401, 403, 429, 503"),
    ROW(PC_METHODS_ALL, "/v1/auth/nginx", PC_ROLE_GATEWAY, PC_PERMISSION_DECIDE,
        pc_handle_auth_nginx, "The same for nginx auth_request: 200, 401 or 403 only"),
    ROW(PC_METHODS_ALL, "/v1/auth/envoy/*", PC_ROLE_GATEWAY, PC_PERMISSION_DECIDE,
        pc_handle_auth_envoy, "The same for Envoy ext_authz over HTTP, with this as path_prefix"),
    ROW(POST, "/v1/check", PC_ROLE_GATEWAY, PC_PERMISSION_DECIDE, pc_handle_check,
        "Full decision about a token and a request, as JSON"),
    ROW(POST, "/v1/explain", GATEWAY_OR_ADMIN, PC_PERMISSION_VIEWER, pc_handle_explain,
        "The same decision step by step, with why; nothing is charged or counted"),
    ROW(POST, "/v1/revoke", GATEWAY_OR_ADMIN, PC_PERMISSION_GATEWAY, pc_handle_revoke,
        "Revoke a token; every other kind needs role operator"),
    ROW(DELETE, "/v1/revoke", GATEWAY_OR_ADMIN, PC_PERMISSION_OPERATOR, pc_handle_unrevoke,
        "Un-revoke; the same body"),
    ROUTINE(GET, "/v1/revocations/{kind}/{id}", GATEWAY_OR_ADMIN, PC_PERMISSION_READ,
            pc_handle_revocation, "State of one revocation"),
    ROUTINE(POST, "/v1/limits/{policy}/{key}", GATEWAY_OR_ADMIN, PC_PERMISSION_GATEWAY,
            pc_handle_limit_take, "Charge a limit: 200, or 429 with what is left"),
    ROUTINE(GET, "/v1/limits/{policy}/{key}", GATEWAY_OR_ADMIN, PC_PERMISSION_GATEWAY,
            pc_handle_limit_peek, "What is left of a limit; nothing is charged"),
    ROW(DELETE, "/v1/limits/{policy}/{key}", GATEWAY_OR_ADMIN, PC_PERMISSION_OPERATOR,
        pc_handle_limit_reset, "Forget what a key has taken"),
    ROW(GET, "/v1/events", GATEWAY_OR_ADMIN, PC_PERMISSION_READ, pc_handle_events,
        "Changes of flags as server-sent events; role operator is told of revocations too"),
    ROUTINE(GET, "/flags", GATEWAY_OR_ADMIN, PC_PERMISSION_READ, pc_handle_flags,
            "All flags with value, source, type, category and description"),
    ROUTINE(GET, "/flags/{key}", GATEWAY_OR_ADMIN, PC_PERMISSION_READ, pc_handle_flag, "One flag"),
    ROW(POST, "/flags/{key}", PC_ROLE_ADMIN, PC_PERMISSION_OPERATOR, pc_handle_flag_set,
        "Set a flag, until a restart with \"ephemeral\": true"),
    ROW(DELETE, "/flags/{key}", PC_ROLE_ADMIN, PC_PERMISSION_OPERATOR, pc_handle_flag_remove,
        "Remove a flag's runtime value"),
    EARLY(GET, "/", PC_ROLE_ANY, PC_PERMISSION_NONE, pc_handle_index,
          "This list; a page for browsers"),
    EARLY(GET, "/openapi.json", PC_ROLE_ANY, PC_PERMISSION_NONE, pc_handle_openapi,
          "Description of every endpoint (OpenAPI 3.1)"),
    EARLY(GET, "/health", PC_ROLE_ANY, PC_PERMISSION_NONE, pc_handle_health,
          "Status, uptime, versions, journal and clock"),
    EARLY(GET, "/readiness", PC_ROLE_ANY, PC_PERMISSION_NONE, pc_handle_readiness,
          "200 once recovery is complete, 503 before"),
    EARLY(GET, "/liveness", PC_ROLE_ANY, PC_PERMISSION_NONE, pc_handle_liveness,
          "200 while the core answers"),
    EARLY(GET, "/metrics", PC_ROLE_ADMIN, PC_PERMISSION_NONE, pc_handle_metrics,
          "Prometheus text format"),
    ROW(POST, "/admin/reload", PC_ROLE_ADMIN, PC_PERMISSION_ADMIN, pc_handle_reload,
        "Read configuration, keys and administrator tokens again"),
    ROW(POST, "/admin/flags/reload", PC_ROLE_ADMIN, PC_PERMISSION_ADMIN, pc_handle_flags_reload,
        "Read the flag file again"),
    ROW(GET, "/admin/ip-rules", PC_ROLE_ADMIN, PC_PERMISSION_VIEWER, pc_handle_ip_rules,
        "IP rules, configured and added at run time, page by page"),
    ROW(POST, "/admin/ip-rules", PC_ROLE_ADMIN, PC_PERMISSION_OPERATOR, pc_handle_ip_rules_set,
        "Allow or deny networks, at once"),
    ROW(DELETE, "/admin/ip-rules", PC_ROLE_ADMIN, PC_PERMISSION_OPERATOR, pc_handle_ip_rules_remove,
        "Remove rules that were added at run time"),
    ROW(GET, "/admin/limits/top", PC_ROLE_ADMIN, PC_PERMISSION_VIEWER, pc_handle_limits_top,
        "The keys that are refused most, or close to it"),
    ROW(POST, "/admin/clock/confirm", PC_ROLE_ADMIN, PC_PERMISSION_ADMIN, pc_handle_clock_confirm,
        "The wall clock is right: remove expired revocations again"),
    ROW(POST, "/admin/snapshot", PC_ROLE_ADMIN, PC_PERMISSION_ADMIN, pc_handle_snapshot,
        "Write a snapshot now"),
};
const size_t pc_endpoint_count = PC_COUNT(pc_endpoints);

const char *pc_permission_name(enum pc_permission permission)
{
    static const char *const names[] = {"",       "none",    "decide",   "read",
                                        "viewer", "gateway", "operator", "admin"};
    PC_ASSERT((size_t)permission < PC_COUNT(names));
    return names[permission];
}

unsigned pc_permission_roles(enum pc_permission permission)
{
    static const unsigned roles[] = {
        [PC_PERMISSION_UNSET] = PC_MAY_ADMINISTRATE, [PC_PERMISSION_NONE] = 0,
        [PC_PERMISSION_DECIDE] = PC_MAY_GATEWAY,     [PC_PERMISSION_READ] = PC_MAY_READ,
        [PC_PERMISSION_VIEWER] = PC_MAY_VIEW,        [PC_PERMISSION_GATEWAY] = PC_MAY_GATEWAY,
        [PC_PERMISSION_OPERATOR] = PC_MAY_OPERATE,   [PC_PERMISSION_ADMIN] = PC_MAY_ADMINISTRATE,
    };
    PC_ASSERT((size_t)permission < PC_COUNT(roles));
    return roles[permission];
}

static struct pc_bytes segment_of(struct pc_bytes s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != '/')
        n++;
    return pc_bytes_of(s.p, n);
}

/* Whether path is what the pattern describes; sets the parameters on the way. */
static bool match(struct pc_call *call, const char *pattern, struct pc_bytes path)
{
    unsigned param = 0;
    while (*pattern) {
        if (*pattern == '*')
            return true;
        if (*pattern == '{') {
            struct pc_bytes segment = segment_of(path);
            if (segment.n == 0)
                return false;
            PC_ASSERT(param < PC_CALL_PARAMS_MAX);
            call->params[param++] = segment;
            path = pc_bytes_of(path.p + segment.n, path.n - segment.n);
            pattern = strchr(pattern, '}') + 1;
            continue;
        }
        if (path.n == 0 || path.p[0] != (uint8_t)*pattern)
            return false;
        path = pc_bytes_of(path.p + 1, path.n - 1);
        pattern++;
    }
    return path.n == 0;
}

const struct pc_endpoint *pc_endpoint_find(struct pc_call *call, enum pc_http_method method,
                                           struct pc_bytes path, uint32_t *ret_methods)
{
    uint32_t allowed = 0, bit = 1u << method;
    for (size_t i = 0; i < pc_endpoint_count; i++) {
        const struct pc_endpoint *e = &pc_endpoints[i];
        if (!match(call, e->path, path))
            continue;
        uint32_t methods = e->methods | (e->methods & GET ? PC_METHOD_BIT(HEAD) : 0);
        if (methods & bit)
            return e;
        allowed |= methods;
    }
    *ret_methods = allowed;
    return NULL;
}

void pc_methods_write(struct pc_buf *b, uint32_t methods)
{
    static const char *const names[PC_METHOD_COUNT] = {
#define NAME(name) [PC_METHOD_##name] = #name,
        PC_HTTP_METHODS(NAME)
#undef NAME
    };
    bool first = true;
    for (unsigned m = 1; m < PC_METHOD_COUNT; m++) {
        if (!(methods >> m & 1))
            continue;
        if (!first)
            pc_buf_lit(b, ", ");
        pc_buf_str(b, names[m]);
        first = false;
    }
}
