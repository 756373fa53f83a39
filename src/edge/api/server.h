/* SPDX-License-Identifier: Apache-2.0
 * The edge server: what its threads share, and what each core owns.
 *
 * Threads: N cores (loop/core.h) answer; the writer (writer/writer.h) changes; the main thread
 * handles signals, reloads and whatever a core may not wait for (offload.h).
 *
 * I1  struct pc_server is constant while cores run, but for what its members guard themselves and
 *     `settings`, which is the main thread's own; cores read the view's.
 * I2  struct pc_worker belongs to its core's thread alone. */
#ifndef PC_API_SERVER_H
#define PC_API_SERVER_H

#include <stdatomic.h>

#include "base/admin_tokens.h"
#include "base/config.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "edge/api/events.h"
#include "edge/api/resp_ahead.h"
#include "edge/api/settings.h"
#include "edge/jose/jwt.h"
#include "edge/loop/conn.h"
#include "edge/loop/core.h"
#include "edge/state/rcu.h"
#include "edge/state/limits.h"
#include "edge/state/token_cache.h"
#include "edge/state/top_keys.h"
#include "edge/state/verify_budget.h"
#include "edge/wire/http1.h"
#include "edge/wire/http1_write.h"
#include "edge/wire/resp.h"
#include "edge/writer/writer.h"

/* Bytes one core assembles an answer's body in; larger answers are made by the main thread. */
#define PC_WORKER_SCRATCH_BYTES (128u << 10)
/* JSON values of one request body that asks for a decision. */
#define PC_WORKER_JSON_TOKENS 4096
/* A token's claims and rendered identity headers, when too large for the cache. */
#define PC_WORKER_BLOB_BYTES (40u << 10)

/* "HTTP/1.1 200 OK", Date, "X-Request-ID: ". */
#define PC_OK_HEAD_BYTES (39 + PC_HTTP_DATE_BYTES)

/* One listener's constants; pc_listener.user points here. */
struct pc_listener_info {
    const struct pc_config_listener *config; /* of the configuration the server started with */
    unsigned roles;                          /* PC_ROLE_* */
    unsigned index;                          /* in that configuration */
};

struct pc_offload_queue;

struct pc_server {
    const struct pc_settings *settings; /* I1: the newest */
    struct pc_settings *first_settings; /* kept until the end: started_as points into them */
    const struct pc_config *started_as; /* the configuration at start */
    struct pc_logger *logger;
    struct pc_tables *tables;
    struct pc_writer *writer;
    struct pc_loop *loop;
    struct pc_metrics *metrics;
    struct pc_offload_queue *offload;
    bool stopping;            /* main thread's own: nothing is reloaded any more */
    struct pc_events *events; /* what the writer tells, for /v1/events */
    struct pc_token_hash_key *hash_key;
    struct pc_limit_table *throttle;           /* CL.THROTTLE's keys; any core */
    struct pc_limit_table *failed_credentials; /* by client; NULL: not limited; any core */
    struct pc_worker *workers;                 /* [cores] */
    unsigned cores;
    struct pc_listener_info listeners[PC_CONFIG_LISTENERS_MAX];
    int64_t started_ms;
    uint8_t client_key[16]; /* keys the hash of client addresses */
    uint8_t limit_key[16];  /* keys the fingerprints of limit keys */
};

/* Failed credentials, as one core saw them (credentials.h). */
struct pc_credential_notes {
    int64_t second;   /* of the core's monotonic clock */
    unsigned made;    /* notes in that second */
    uint64_t unnoted; /* failures since the last note */
    struct pc_limit_counters counters;
};

struct pc_call;

/* Calls whose tokens this core has not seen before and that wait for their turn (unseen.h). */
struct pc_unseen {
    struct pc_call *first, *last;
    unsigned used; /* looked at in this turn, or about to be in the next */
};

/* What one core owns. */
struct pc_worker {
    struct pc_server *server;
    struct pc_core *core;
    struct pc_metrics_block *metrics;
    struct pc_token_cache *cache;
    struct pc_verify_budget *budget;
    struct pc_jwt_scratch *jwt;
    struct pc_prng prng;
    char date[PC_HTTP_DATE_BYTES];       /* of now, to the second */
    char ok_head[PC_OK_HEAD_BYTES];      /* the front of a 200, with that date */
    int64_t date_from_ms, date_until_ms; /* what both are good for */
    uint8_t *scratch;                    /* PC_WORKER_SCRATCH_BYTES: bodies being written */
    uint8_t *blob;                       /* PC_WORKER_BLOB_BYTES */
    uint8_t *decision_scratch;           /* PC_DECISION_SCRATCH_BYTES (decision.h) */
    struct pc_json_token *json;          /* [PC_WORKER_JSON_TOKENS] */
    struct pc_cached_token uncached;
    struct pc_resp_command *resp;
    struct pc_top_keys *top;           /* keys close to a limit; the main thread reads it */
    struct pc_limit_counters throttle; /* what this core did to the server's table */
    struct pc_event_streams streams;   /* of /v1/events */
    int64_t proxied_said_s;            /* when a refused PROXY header was last logged */
    struct pc_credential_notes credentials;
    struct pc_unseen unseen;
    struct pc_job_pool jobs;               /* of RESP, not in use */
    uint32_t jobs_under_way;               /* given to the writer, not yet back */
    uint32_t pushed;                       /* in this turn: the writer is woken at its end */
    uint32_t http_requests, resp_commands; /* answered in this turn */
    struct pc_resp_names names;            /* of this turn */
    struct pc_resp_ahead ahead;            /* empty between turns */
};

static inline const struct pc_view *pc_server_view(const struct pc_server *s)
{
    return pc_tables_view(s->tables);
}

static inline const struct pc_settings *pc_server_settings(const struct pc_server *s)
{
    return pc_server_view(s)->settings;
}

static inline const struct pc_trust *pc_server_trust(const struct pc_server *s)
{
    return pc_server_view(s)->trust;
}

static inline struct pc_worker *pc_worker_of(const struct pc_conn *c)
{
    return c->core->user;
}

static inline const struct pc_listener_info *pc_listener_of(const struct pc_conn *c)
{
    return c->listener->user;
}

/* Gives a job to the writer; it comes back through job->done on this core. PC_E_FULL: the job
 * stays with the caller. */
int pc_worker_submit(struct pc_worker *w, struct pc_job *job);

/* The peer's address, or that of the client a PROXY header named; family 0 for a Unix socket. */
struct pc_ip pc_conn_ip(const struct pc_conn *c);
/* Loopback or a Unix socket: the same machine. */
bool pc_conn_is_local(const struct pc_conn *c);
/* Local on a listener without trusted_peers, or one of the trusted peers: its decisions requests
 * and forwarding headers are believed. */
bool pc_conn_is_trusted(const struct pc_conn *c);

#endif
