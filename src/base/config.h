/* SPDX-License-Identifier: Apache-2.0
 * The configuration: what the edge and the command read at start and on a reload.
 *
 * Values come from, later ones winning: defaults, the file (YAML), an overlay file (the development
 * issuer), an env file, the environment. The tables in config_keys.c are the complete list of keys
 * with type, default, range and documentation. Every key http.idle_timeout is also the variable
 * PORTCULLIS_HTTP_IDLE_TIMEOUT; lists of words are separated by commas; keys in lists of mappings
 * carry their index (PORTCULLIS_ISSUERS_0_NAME), and an index one past the end adds an entry.
 * PORTCULLIS_HTTP_PORT and PORTCULLIS_RESP_PORT replace the port of the listeners "http" and
 * "resp". Unknown keys and unknown PORTCULLIS_ variables are refused. Secrets are never in the
 * configuration: a key ending in _file names the file that holds one.
 *
 * A loaded configuration is immutable; any thread may read it. */
#ifndef PC_BASE_CONFIG_H
#define PC_BASE_CONFIG_H

#include "base/bytes.h"
#include "base/config_value.h"
#include "base/err.h"
#include "base/rate.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_CONFIG_LISTENERS_MAX 16
#define PC_CONFIG_ISSUERS_MAX   64
#define PC_CONFIG_PREFIXES_MAX  32
#define PC_CONFIG_ROUTES_MAX    4096
#define PC_CONFIG_POLICIES_MAX  64
#define PC_CONFIG_IP_SETS_MAX   64
#define PC_CONFIG_WORDS_MAX     64 /* entries of one list of words */
#define PC_CONFIG_TEXT_MAX      4096
#define PC_CONFIG_FILE_MAX      (1024 * 1024)
#define PC_CONFIG_KEYS_MAX      80 /* rows of one table */
#define PC_CONFIG_HASH_CHARS    16

enum pc_config_source { PC_FROM_DEFAULT, PC_FROM_FILE, PC_FROM_OVERLAY, PC_FROM_ENV };

struct pc_words {
    const char **v;
    unsigned n;
};

/* Not "enum pc_protocol": struct pc_protocol is the loop's function table. */
enum pc_wire_protocol { PC_PROTOCOL_HTTP1, PC_PROTOCOL_RESP };

/* Roles of a listener: bits. */
#define PC_ROLE_GATEWAY 1u
#define PC_ROLE_PUBLIC  2u
#define PC_ROLE_ADMIN   4u

enum pc_client_source { PC_CLIENT_IS_PEER, PC_CLIENT_X_FORWARDED_FOR, PC_CLIENT_FORWARDED };

struct pc_config_listener {
    const char *name; /* also the name of a socket passed in by LISTEN_FDNAMES */
    const char *address;
    struct pc_words protocols;     /* exactly one, see protocol */
    struct pc_words roles;         /* see role_bits */
    struct pc_words trusted_peers; /* see peers */
    unsigned forwarded;            /* enum pc_client_source */
    bool proxy_protocol;           /* connections begin with a PROXY header */
    uint64_t unix_mode;            /* octal in the file: "0660" */
    uint64_t backlog;
    /* Derived by pc_config_load(). */
    struct pc_address parsed;
    enum pc_wire_protocol protocol;
    unsigned role_bits;
    struct pc_cidr *peers; /* of trusted_peers, without the word "unix" */
    unsigned peer_count;
    bool trust_unix_peers; /* trusted_peers has the word "unix" */
    uint8_t source[PC_CONFIG_KEYS_MAX];
};

struct pc_config_issuer {
    const char *name; /* what tokens carry as iss */
    const char *jwks_file;
    struct pc_words algorithms, audiences, typ;
    int64_t clock_skew_ms, max_token_lifetime_ms; /* lifetime 0: not enforced */
    bool require_jti, require_sid, trust_iat_ms, allow_hmac;
    const char *hmac_secret_file;
    struct {
        const char *session, *family, *client, *scopes, *roles;
    } claims;
    uint8_t source[PC_CONFIG_KEYS_MAX];
};

enum pc_prefix_form { PC_PREFIX_JTI, PC_PREFIX_TOKEN };

struct pc_config_prefix {
    const char *prefix, *issuer; /* issuer "": the only one configured */
    const char *value;           /* what GET answers */
    unsigned form;               /* enum pc_prefix_form */
    bool allow_unrevoke;
    uint8_t source[PC_CONFIG_KEYS_MAX];
};

enum pc_authentication { PC_AUTH_REQUIRED, PC_AUTH_OPTIONAL, PC_AUTH_NONE };

/* A rule for requests; what is empty matches everything. */
struct pc_config_route {
    const char *name;
    const char *path; /* "/a/b", "/a/{id}", "/a/" followed by "*"; "": every path */
    struct pc_words listeners, hosts, methods;
    unsigned authentication;       /* enum pc_authentication */
    struct pc_words scopes, roles; /* all of the scopes, one of the roles */
    struct pc_words limits;        /* names of limit_policies, charged in this order */
    struct pc_words ip_sets;       /* names of ip_sets, beside "global" */
    struct pc_words flags;         /* keys to attach to the answer */
    bool sensitive;                /* refuse rather than decide on less than everything */
    bool maintenance_exempt, shadow;
    uint8_t source[PC_CONFIG_KEYS_MAX];
};

enum pc_fail_mode { PC_FAIL_OPEN, PC_FAIL_CLOSED };

struct pc_config_limit_policy {
    const char *name;
    const char *rate;    /* "60/min": rate.h */
    unsigned algorithm;  /* enum pc_limit_algorithm */
    uint64_t burst;      /* 0: the rate's count */
    struct pc_words key; /* ip subject client session route header:<name> literal:<text> */
    uint64_t cost;       /* of one decision */
    bool shadow;         /* counts, never refuses */
    unsigned fail_mode;  /* enum pc_fail_mode: when there is no room for a key */
    uint64_t max_keys;
    uint64_t ipv6_prefix; /* bits of an IPv6 address that make the key */
    uint8_t source[PC_CONFIG_KEYS_MAX];
};

enum pc_ip_action { PC_IP_ALLOW, PC_IP_DENY };

struct pc_config_ip_set {
    const char *name;
    unsigned otherwise;          /* enum pc_ip_action: for addresses that no rule names */
    struct pc_words allow, deny; /* networks */
    const char *file;            /* more of them, one a line */
    uint8_t source[PC_CONFIG_KEYS_MAX];
};

enum pc_durability { PC_DURABILITY_GROUP, PC_DURABILITY_ASYNC, PC_DURABILITY_NONE };
enum pc_pin { PC_PIN_AUTO, PC_PIN_ON, PC_PIN_OFF };

struct pc_config {
    const char *data_dir;
    uint64_t cores; /* 0: affinity mask, at most the cgroup's quota */
    unsigned pin;   /* enum pc_pin */
    unsigned durability;
    int64_t async_interval_ms, shutdown_grace_ms;
    struct {
        /* tokens_file: hashed tokens (admin_tokens.h); token_file: one token's text. */
        const char *issuer, *tokens_file, *token_file;
        /* Values of the issuer's claim of roles that give the role here. */
        struct pc_words gateway_values, viewer_values, operator_values, admin_values;
        const char *failed_credentials; /* rate per client address: rate.h */
    } admin;
    struct {
        bool enabled;
        uint64_t file_bytes; /* of audit.jsonl before the next one is begun */
    } audit;
    struct {
        const char *file; /* flag definitions, JSON; "": none */
    } flags;
    struct {
        bool trust_loopback;
        uint64_t max_pipeline; /* commands of one connection answered per turn */
        uint64_t output_buffer_bytes;
        int64_t idle_timeout_ms; /* 0: never */
        uint64_t throttle_keys;  /* of CL.THROTTLE */
    } resp;
    struct {
        uint64_t segment_bytes, snapshot_bytes, outbox_max_bytes;
        int64_t snapshot_interval_ms;
    } journal;
    struct {
        uint64_t request_line_bytes, header_bytes, fields, body_bytes, output_buffer_bytes;
        int64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, request_timeout_ms;
    } http;
    struct {
        uint64_t max_connections; /* of the whole process */
        int64_t queue_delay_ms;
        uint64_t writer_queue; /* mutations waiting per core, a power of two */
    } limits;
    struct {
        uint64_t max_streams; /* of the whole process */
        int64_t heartbeat_ms;
    } events;
    struct {
        uint64_t entries, failures; /* per core */
    } token_cache;
    struct {
        double fraction;     /* of a core's time */
        double client_share; /* of a core's time, for one client */
    } signature_budget;
    struct {
        struct pc_words origins;
        bool allow_all;
    } cors;
    struct {
        unsigned level; /* enum pc_log_level */
        double decisions_sample;
        struct pc_words decisions_reasons; /* codes of decisions that are always logged */
    } log;
    struct {
        struct pc_words mask; /* io_uring features to do without; for tests */
    } io_uring;

    struct pc_config_listener *listeners;
    unsigned listener_count;
    struct pc_config_issuer *issuers;
    unsigned issuer_count;
    struct pc_config_prefix *prefixes;
    unsigned prefix_count;
    struct pc_config_route *routes;
    unsigned route_count;
    /* The shipped ones stand behind those of the configuration, which may replace them by name. */
    struct pc_config_limit_policy *limit_policies;
    unsigned limit_policy_count;
    struct pc_config_ip_set *ip_sets;
    unsigned ip_set_count;

    bool dev; /* only by --dev */
    char hash[PC_CONFIG_HASH_CHARS + 1];
    uint8_t source[PC_CONFIG_KEYS_MAX];
    void *memory; /* everything above that is not inline */
};

struct pc_config_options {
    const char *path;     /* NULL: no file */
    const char *overlay;  /* NULL: none; its lists are appended, its values replace */
    const char *env_file; /* NULL: none; lines of NAME=value, # comments */
    char *const *environ; /* NULL: none */
    bool dev;
};

/* Reads and checks everything that can be checked without the file system; on failure *why names
 * file and line, or the key's path. */
int pc_config_load(const struct pc_config_options *o, struct pc_config **ret_config,
                   struct pc_why *why);
void pc_config_free(struct pc_config *c);

/* The rules that concern more than one key; pc_config_load() has applied all but those that depend
 * on have_admin_tokens: a listener off loopback needs roles in the configuration and a way to
 * authenticate administrators. Call it before listening. */
int pc_config_check(const struct pc_config *c, bool have_admin_tokens, struct pc_why *why);

/* How many keys differ that a running server takes only with a restart; their paths are appended to
 * names, separated by commas, as far as they fit (then names->overflow is set). */
unsigned pc_config_needs_restart(const struct pc_config *running, const struct pc_config *fresh,
                                 struct pc_buf *names);

/* Effective values as YAML; with_sources adds where each came from as a comment. Contents of
 * secret files are never read, so never shown. Malloced, terminated; NULL without memory. */
char *pc_config_show(const struct pc_config *c, bool with_sources);

/* The documentation of every key as text for a manual page or an example: calls fn with path (for
 * lists of mappings "listeners[].name"), type, default, help, and whether a reload takes it. */
typedef void pc_config_doc_fn(void *ctx, const char *path, const char *type,
                              const char *default_text, const char *help, bool live);
void pc_config_document(pc_config_doc_fn *fn, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
