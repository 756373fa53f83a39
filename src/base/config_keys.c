/* SPDX-License-Identifier: Apache-2.0
 * Every configuration key: type, default, range, documentation. Adding a key is adding a row here
 * and a field in config.h; reading, environment, checking, showing and the manual follow. */
#include "base/config_internal.h"

#define MS     INT64_C(1)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    INT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

/* One row: path, type, field of STRUCT, default; then min and max, or choices; then help. */
#define KEY(path, type, field, text, ...)                                                          \
    {                                                                                              \
        path, PC_KEY_##type, offsetof(STRUCT, field), text, __VA_ARGS__                            \
    }

/* ---- listeners[] ---- */

#define STRUCT struct pc_config_listener
static const struct pc_key listener_keys[] = {
    KEY("name", TEXT, name, "http",
        .help = "Name in logs, metrics and LISTEN_FDNAMES: letters, digits, _ and -."),
    KEY("address", TEXT, address, "127.0.0.1:8080",
        .help = "\"127.0.0.1:8080\", \"[::1]:8080\", or \"unix:/run/portcullis/http.sock\"."),
    KEY("protocols", WORDS, protocols, "http1",
        .help = "http1 or resp; one protocol for each listener."),
    KEY("roles", WORDS, roles, "gateway,public,admin",
        .help =
            "What may be asked here: gateway (decisions, RESP), public (login, key sets), admin "
            "(the rest). A listener that other machines can reach must name them."),
    KEY("trusted_peers", WORDS, trusted_peers, "",
        .help = "Networks of proxies whose forwarded headers are believed, as \"10.0.0.0/8\"; the "
                "word unix stands for every client of a Unix socket."),
    KEY("forwarded", ENUM, forwarded, "none", .choices = {"none", "x-forwarded-for", "forwarded"},
        .help = "Where trusted peers say who the client is."),
    KEY("proxy_protocol", BOOL, proxy_protocol, "false",
        .help = "Every connection begins with a PROXY protocol header (version 1 or 2), which only "
                "trusted_peers may send."),
    KEY("unix_mode", MODE, unix_mode, "0660", .help = "Mode of a Unix socket's file."),
    KEY("backlog", UINT, backlog, "4096", 1, 65535,
        .help = "Connections that may wait to be accepted."),
};
#undef STRUCT

/* ---- issuers[] ---- */

#define STRUCT struct pc_config_issuer
static const struct pc_key issuer_keys[] = {
    KEY("name", TEXT, name, "", .help = "The exact iss of its tokens."),
    KEY("jwks_file", FILE, jwks_file, "",
        .help = "Its public keys as a JWKS; watched, and read again when it changes."),
    KEY("algorithms", WORDS, algorithms, "EdDSA,ES256,ES384,RS256,PS256",
        .help =
            "Algorithms accepted: EdDSA ES256 ES384 RS256 RS384 RS512 PS256 PS384 PS512, and with "
            "allow_hmac HS256 HS384 HS512."),
    KEY("audiences", WORDS, audiences, "",
        .help = "One of these must be in aud; empty: aud is not checked."),
    KEY("typ", WORDS, typ, "", .help = "Types of token accepted; empty: JWT, at+jwt, or none."),
    KEY("clock_skew", DURATION, clock_skew_ms, "5s", 0, 10 * MINUTE,
        .help = "How much its clock may differ from ours."),
    KEY("max_token_lifetime", DURATION, max_token_lifetime_ms, "24h", 0, 400 * DAY,
        .help =
            "Longest exp - iat accepted; revocations of a subject or a client live that long. 0: "
            "not enforced, and they live for ever."),
    KEY("require_jti", BOOL, require_jti, "true",
        .help = "Refuse tokens without jti: they cannot be revoked one by one."),
    KEY("require_sid", BOOL, require_sid, "false", .help = "Refuse tokens without a session."),
    KEY("trust_iat_ms", BOOL, trust_iat_ms, "false",
        .help = "Believe its claim iat_ms where it agrees with iat."),
    KEY("allow_hmac", BOOL, allow_hmac, "false",
        .help = "Accept HS*: whoever can verify such a token can also make one."),
    KEY("hmac_secret_file", FILE, hmac_secret_file, "",
        .help = "The shared secret of HS*, 32, 48 or 64 bytes at least, mode 0600."),
    KEY("claims.session", TEXT, claims.session, "sid", .help = "Claim with the session's id."),
    KEY("claims.family", TEXT, claims.family, "fam",
        .help = "Claim with the id of the refresh family."),
    KEY("claims.client", TEXT, claims.client, "client_id",
        .help = "Claim with the client; azp is taken where client_id is absent."),
    KEY("claims.scopes", TEXT, claims.scopes, "scope",
        .help = "Claim with the scopes; scp is taken where scope is absent."),
    KEY("claims.roles", TEXT, claims.roles, "roles",
        .help = "Claim with the roles; dots lead into objects (realm_access.roles)."),
};
#undef STRUCT

/* ---- resp.prefixes[] ---- */

#define STRUCT struct pc_config_prefix
static const struct pc_key prefix_keys[] = {
    KEY("prefix", TEXT, prefix, "bl:", .help = "Keys that begin so are revoked tokens."),
    KEY("issuer", TEXT, issuer, "",
        .help = "Issuer of the ids; may be left out while exactly one is configured."),
    KEY("form", ENUM, form, "jti", .choices = {"jti", "token"},
        .help = "What follows the prefix: the token's jti, or the whole token."),
    KEY("allow_unrevoke", BOOL, allow_unrevoke, "false",
        .help = "DEL needs no more than the role gateway."),
    KEY("value", TEXT, value, "1", .help = "What GET answers for a revoked one."),
};
#undef STRUCT

/* ---- routes[] ---- */

#define STRUCT struct pc_config_route
static const struct pc_key route_keys[] = {
    KEY("name", TEXT, name, "", .help = "Name in answers, logs and metrics."),
    KEY("path", TEXT, path, "",
        .help = "\"/a/b\" (exact), \"/a/{id}/c\" (template), \"/a/*\" (prefix); empty: every path. "
                "The most specific route decides."),
    KEY("listeners", WORDS, listeners, "", .help = "Names of listeners; empty: all."),
    KEY("hosts", WORDS, hosts, "",
        .help = "Hosts, as \"api.example\" or \"*.example\"; empty: all."),
    KEY("methods", WORDS, methods, "", .help = "Methods; GET covers HEAD; empty: all."),
    KEY("authentication", ENUM, authentication, "required",
        .choices = {"required", "optional", "none"},
        .help = "Whether a valid token is needed; optional: a request without one passes as "
                "anonymous, with a bad one it is refused."),
    KEY("scopes", WORDS, scopes, "", .help = "Scopes the token must have, all of them."),
    KEY("roles", WORDS, roles, "", .help = "Roles, one of which the token must have."),
    KEY("limits", WORDS, limits, "", .help = "Names of limit_policies to charge."),
    KEY("ip_sets", WORDS, ip_sets, "",
        .help = "Names of ip_sets the client must pass, beside \"global\"."),
    KEY("flags", WORDS, flags, "", .help = "Flags whose values come with the answer."),
    KEY("sensitive", BOOL, sensitive, "false",
        .help = "Refuse where otherwise a failure would let requests pass."),
    KEY("maintenance_exempt", BOOL, maintenance_exempt, "false",
        .help = "Decide also while the flag maintenance.mode_enabled is true."),
    KEY("shadow", BOOL, shadow, "false",
        .help = "Decide, count and log, but let pass what this route would refuse."),
};
#undef STRUCT

/* ---- limit_policies[] ---- */

#define STRUCT struct pc_config_limit_policy
static const struct pc_key policy_keys[] = {
    KEY("name", TEXT, name, "", .help = "Name in routes, paths, answers and metrics."),
    KEY("rate", TEXT, rate, "", .help = "How many in how long: \"60/min\", \"10/15min\", \"3/h\"."),
    KEY("algorithm", ENUM, algorithm, "gcra", .choices = {"gcra", "window"},
        .help = "gcra: evenly, with a burst; window: so many in any window, by two counters."),
    KEY("burst", UINT, burst, "0", 0, 1000000000,
        .help = "How many may come at once with gcra; 0: the rate's count."),
    KEY("key", WORDS, key, "ip",
        .help = "What is counted together: ip, subject, client, session, route, header:<name>, "
                "literal:<text>, or several of them. Where one is missing the address stands in."),
    KEY("cost", UINT, cost, "1", 1, 1000000, .help = "What one decision takes."),
    KEY("shadow", BOOL, shadow, "false", .help = "Count, but refuse nothing."),
    KEY("fail_mode", ENUM, fail_mode, "open", .choices = {"open", "closed"},
        .help = "What to answer when the table has no room for a key: allow, or 503."),
    KEY("max_keys", UINT, max_keys, "262144", 1024, 1 << 30,
        .help = "Keys counted at one time; 24 bytes of memory each."),
    KEY("ipv6_prefix", UINT, ipv6_prefix, "64", 16, 128,
        .help = "Bits of an IPv6 address that are counted together."),
};
#undef STRUCT

/* ---- ip_sets[] ---- */

#define STRUCT struct pc_config_ip_set
static const struct pc_key ip_set_keys[] = {
    KEY("name", TEXT, name, "",
        .help = "Name in routes and rules; the set \"global\" applies to every decision."),
    KEY("default", ENUM, otherwise, "allow", .choices = {"allow", "deny"},
        .help = "For addresses that no rule of the set names."),
    KEY("allow", WORDS, allow, "", .help = "Networks that may; the longest prefix decides."),
    KEY("deny", WORDS, deny, "", .help = "Networks that may not."),
    KEY("file", FILE, file, "",
        .help = "A file with more rules, one a line: \"deny 192.0.2.0/24 # why\"; no secret."),
};
#undef STRUCT

static const struct pc_list listeners = {
    {listener_keys, PC_COUNT(listener_keys), offsetof(struct pc_config_listener, source)},
    sizeof(struct pc_config_listener),
    offsetof(struct pc_config, listener_count),
    PC_CONFIG_LISTENERS_MAX,
};
static const struct pc_list issuers = {
    {issuer_keys, PC_COUNT(issuer_keys), offsetof(struct pc_config_issuer, source)},
    sizeof(struct pc_config_issuer),
    offsetof(struct pc_config, issuer_count),
    PC_CONFIG_ISSUERS_MAX,
};
static const struct pc_list prefixes = {
    {prefix_keys, PC_COUNT(prefix_keys), offsetof(struct pc_config_prefix, source)},
    sizeof(struct pc_config_prefix),
    offsetof(struct pc_config, prefix_count),
    PC_CONFIG_PREFIXES_MAX,
};

static const struct pc_list routes = {
    {route_keys, PC_COUNT(route_keys), offsetof(struct pc_config_route, source)},
    sizeof(struct pc_config_route),
    offsetof(struct pc_config, route_count),
    PC_CONFIG_ROUTES_MAX,
};
static const struct pc_list limit_policies = {
    {policy_keys, PC_COUNT(policy_keys), offsetof(struct pc_config_limit_policy, source)},
    sizeof(struct pc_config_limit_policy),
    offsetof(struct pc_config, limit_policy_count),
    PC_CONFIG_POLICIES_MAX,
};
static const struct pc_list ip_sets = {
    {ip_set_keys, PC_COUNT(ip_set_keys), offsetof(struct pc_config_ip_set, source)},
    sizeof(struct pc_config_ip_set),
    offsetof(struct pc_config, ip_set_count),
    PC_CONFIG_IP_SETS_MAX,
};

/* ---- The whole; the keys of a section stand together. ---- */

#define STRUCT struct pc_config
static const struct pc_key root_keys[] = {
    KEY("data_dir", TEXT, data_dir, "./data",
        .help = "Journal, snapshots and tokens; created with mode 0700."),
    KEY("cores", UINT, cores, "0", 0, 256,
        .help = "Threads that answer; 0: as many as CPUs may be used."),
    KEY("pin", ENUM, pin, "auto", .choices = {"auto", "on", "off"},
        .help = "Bind threads to CPUs; auto: only when all CPUs are ours."),
    KEY("durability", ENUM, durability, "group", .choices = {"group", "async", "none"},
        .help =
            "When a mutation is acknowledged: group (synced, together with others), async (synced "
            "every async_interval: a power cut loses up to that much), none (left to the system)."),
    KEY("async_interval", DURATION, async_interval_ms, "100ms", 1 * MS, 10 * SECOND,
        .help = "Time between syncs with durability async."),
    KEY("shutdown_grace", DURATION, shutdown_grace_ms, "30s", 0, HOUR,
        .help = "How long requests in flight may take at the end; then they are cut."),
    KEY("listeners", LIST, listeners, NULL, 1, 0, .list = &listeners,
        .help = "Where to listen; default: http on 127.0.0.1:8080 and resp on 127.0.0.1:6380."),
    KEY("issuers", LIST, issuers, NULL, .list = &issuers, .live = true,
        .help = "Whose tokens are accepted; without any, every token is refused."),
    KEY("routes", LIST, routes, NULL, .list = &routes, .live = true,
        .help = "Rules for requests; where none matches a valid token is required."),
    KEY("limit_policies", LIST, limit_policies, NULL, .list = &limit_policies, .live = true,
        .help = "Rate limits, by name; ip, general, login, refresh, password_reset and email are "
                "shipped and replaced by entries of the same name."),
    KEY("ip_sets", LIST, ip_sets, NULL, .list = &ip_sets, .live = true,
        .help = "Networks that may or may not ask."),

    KEY("admin.issuer", TEXT, admin.issuer, "", .live = true,
        .help = "The one issuer whose tokens may administrate, by their roles."),
    KEY("admin.gateway_values", WORDS, admin.gateway_values, "portcullis-gateway", .live = true,
        .help = "Roles of that issuer that give the role gateway."),
    KEY("admin.viewer_values", WORDS, admin.viewer_values, "portcullis-viewer", .live = true,
        .help = "Roles of that issuer that give the role viewer."),
    KEY("admin.operator_values", WORDS, admin.operator_values, "portcullis-operator", .live = true,
        .help = "Roles of that issuer that give the role operator."),
    KEY("admin.admin_values", WORDS, admin.admin_values, "portcullis-admin", .live = true,
        .help = "Roles of that issuer that give the role admin."),
    KEY("admin.tokens_file", FILE, admin.tokens_file, "", .live = true,
        .help = "Administrators' tokens, hashed (portcullis admin-token); default: "
                "admin_tokens.json in data_dir."),
    KEY("admin.token_file", FILE, admin.token_file, "", .live = true,
        .help = "A file with one token that has the role admin; the command sends it too."),
    KEY("admin.failed_credentials", TEXT, admin.failed_credentials, "10/min",
        .help = "Wrong credentials taken from one address before it is refused unheard (429)."),

    KEY("audit.enabled", BOOL, audit.enabled, "true",
        .help = "Derive audit.jsonl in data_dir from the journal."),
    KEY("audit.file_bytes", SIZE, audit.file_bytes, "256MiB", 64 * KIB, 1024 * GIB,
        .help = "Begin a new file of audit records after so much."),

    KEY("flags.file", FILE, flags.file, "", .live = true,
        .help = "Flag definitions as JSON (no secret); watched, and read again when it changes."),

    KEY("resp.trust_loopback", BOOL, resp.trust_loopback, "false",
        .help = "Clients on this machine may change things without AUTH."),
    KEY("resp.max_pipeline", UINT, resp.max_pipeline, "1024", 1, 65536,
        .help = "Commands of one connection answered before others get their turn."),
    KEY("resp.output_buffer", SIZE, resp.output_buffer_bytes, "1MiB", 16 * KIB, 1 * GIB,
        .help = "Answers kept for a client that does not read; beyond it reading from it stops."),
    KEY("resp.idle_timeout", DURATION, resp.idle_timeout_ms, "0s", 0, 30 * DAY,
        .help = "Close a connection that was silent for so long; 0: never, as Redis does."),
    KEY("resp.throttle_keys", UINT, resp.throttle_keys, "262144", 1024, 1 << 30,
        .help = "Keys of CL.THROTTLE at one time; 24 bytes of memory each."),
    KEY("resp.prefixes", LIST, prefixes, NULL, 1, 0, .list = &prefixes, .live = true,
        .help = "Which keys are revocations."),

    KEY("journal.segment", SIZE, journal.segment_bytes, "16MiB", 4 * KIB, 256 * MIB,
        .help = "Size of one segment file, a multiple of 4KiB."),
    KEY("journal.snapshot_interval", DURATION, journal.snapshot_interval_ms, "10m", 1 * SECOND,
        30 * DAY, .help = "Write a snapshot at least so often when something changed."),
    KEY("journal.snapshot_bytes", SIZE, journal.snapshot_bytes, "256MiB", 4 * KIB, 1024 * GIB,
        .help = "Write a snapshot after so much journal."),
    KEY("journal.outbox_max", SIZE, journal.outbox_max_bytes, "4GiB", 4 * KIB, 1024 * GIB,
        .help = "Journal kept at most; beyond it mutations are refused, nothing is dropped."),

    KEY("http.request_line", SIZE, http.request_line_bytes, "8KiB", 256, 32 * KIB,
        .help = "Longest request line (414)."),
    KEY("http.header", SIZE, http.header_bytes, "16KiB", 1 * KIB, 31 * KIB,
        .help = "Longest block of header fields (431)."),
    KEY("http.fields", UINT, http.fields, "100", 8, 100, .help = "Most header fields (431)."),
    KEY("http.body", SIZE, http.body_bytes, "1MiB", 1 * KIB, 64 * MIB,
        .help = "Longest body (413)."),
    KEY("http.output_buffer", SIZE, http.output_buffer_bytes, "1MiB", 16 * KIB, 1 * GIB,
        .help = "Answers kept for a client that does not read; beyond it reading from it stops."),
    KEY("http.header_timeout", DURATION, http.header_timeout_ms, "5s", 10 * MS, 10 * MINUTE,
        .help = "From the first byte of a request to the end of its header (408)."),
    KEY("http.body_timeout", DURATION, http.body_timeout_ms, "30s", 10 * MS, HOUR,
        .help = "From the end of the header to the end of the body (408)."),
    KEY("http.idle_timeout", DURATION, http.idle_timeout_ms, "75s", 10 * MS, DAY,
        .help = "Close a connection without a request after so long."),
    KEY("http.request_timeout", DURATION, http.request_timeout_ms, "30s", 10 * MS, HOUR,
        .help = "From a complete request to its answer (503)."),

    KEY("limits.max_connections", UINT, limits.max_connections, "16384", 1, 4000000,
        .help =
            "Connections at one time, shared evenly by the cores; the file limit must allow them."),
    KEY("limits.queue_delay", DURATION, limits.queue_delay_ms, "5ms", 1 * MS, 10 * SECOND,
        .help = "Requests are shed (503) while work waits longer than this for its core."),
    KEY("limits.writer_queue", UINT, limits.writer_queue, "4096", 16, 1048576,
        .help = "Mutations of each core that may wait to be written, a power of two; then 503."),

    KEY("events.max_streams", UINT, events.max_streams, "1024", 1, 1000000,
        .help = "Open streams of /v1/events, shared evenly by the cores; then 503."),
    KEY("events.heartbeat", DURATION, events.heartbeat_ms, "15s", 50 * MS, 10 * MINUTE,
        .help = "A comment is sent on each stream so often; a reader that has not caught up for so "
                "long is cut off."),

    KEY("token_cache.entries", UINT, token_cache.entries, "65536", 64, 16777216,
        .help = "Verified tokens remembered by each core."),
    KEY("token_cache.failures", UINT, token_cache.failures, "4096", 64, 16777216,
        .help = "Refused tokens remembered by each core, apart from the others."),

    KEY("signature_budget.fraction", FRACTION, signature_budget.fraction, "0.5",
        .help = "Part of a core's time that verifying signatures may take; then 503."),
    KEY("signature_budget.client_share", FRACTION, signature_budget.client_share, "0.05",
        .help = "Part of a core's time that one client's tokens may take while others wait."),

    KEY("cors.origins", WORDS, cors.origins, "", .live = true,
        .help = "Origins whose pages may read answers, as \"https://app.example\"."),
    KEY("cors.allow_all", BOOL, cors.allow_all, "false", .live = true,
        .help = "Every origin may; development mode only."),

    KEY("log.level", ENUM, log.level, "info", .choices = {"debug", "info", "warn", "error"},
        .live = true, .help = "The least severe events that are logged."),
    KEY("log.decisions_sample", FRACTION, log.decisions_sample, "0", .live = true,
        .help = "Part of all decisions that are logged; refusals for internal reasons always are."),
    KEY("log.decisions_reasons", WORDS, log.decisions_reasons, "", .live = true,
        .help = "Codes of decisions that are always logged, as TOKEN_REVOKED."),

    KEY("io_uring.mask", WORDS, io_uring.mask, "",
        .help = "Optional io_uring features to do without, for tests."),
};
#undef STRUCT

_Static_assert(PC_COUNT(root_keys) <= PC_CONFIG_KEYS_MAX, "source[] has a place for every row");
_Static_assert(PC_COUNT(listener_keys) <= PC_CONFIG_KEYS_MAX, "likewise");
_Static_assert(PC_COUNT(issuer_keys) <= PC_CONFIG_KEYS_MAX, "likewise");
_Static_assert(PC_COUNT(route_keys) <= PC_CONFIG_KEYS_MAX, "likewise");

const struct pc_key_table pc_config_root = {
    root_keys,
    PC_COUNT(root_keys),
    offsetof(struct pc_config, source),
};
