/* SPDX-License-Identifier: Apache-2.0
 * One HTTP request being answered: what handlers get, and how they reply.
 *
 * There is one call per connection, used again for each request. A handler replies before it
 * returns, or calls pc_call_park() and replies later on the same core; until then the connection
 * reads nothing more, so answers leave in order. What handlers may use after parking is only what
 * is marked [kept]; the rest points into the connection's input.
 *
 * Runs on the connection's core. */
#ifndef PC_API_CALL_H
#define PC_API_CALL_H

#include "edge/api/server.h"
#include "edge/wire/chunked.h"

/* Longest X-Request-ID and traceparent taken over. */
#define PC_REQUEST_ID_TAKEN_MAX PC_REQUEST_ID_MAX
#define PC_TRACEPARENT_BYTES    55
#define PC_CALL_PARAMS_MAX      2
#define PC_CANONICAL_PATH_MAX   8192
#define PC_CORS_ORIGIN_MAX      256
/* Of an administrative call's path, what its log line shows. */
#define PC_CALL_PATH_KEPT_MAX 200

struct pc_call;
struct pc_endpoint;

/* What the owner of a stream is told, on the core. */
struct pc_stream_ops {
    /* Regularly (events.heartbeat), whether anything was written or not. */
    void (*tick)(struct pc_call *call);
    /* Once, last: the peer has gone, the server stops, or pc_call_stream_end() was called. */
    void (*ended)(struct pc_call *call);
};

/* Who asks. */
struct pc_principal {
    enum pc_admin_role role;
    char actor[PC_ACTOR_MAX + 1]; /* "token:ops", "jwt:<subject>": for the audit */
};

struct pc_call {
    /* [kept] */
    struct pc_worker *worker;
    struct pc_conn *conn;
    const struct pc_endpoint *endpoint; /* NULL until routed */
    struct pc_principal principal;
    char request_id[PC_REQUEST_ID_TAKEN_MAX];
    uint8_t request_id_n;
    uint8_t traceparent_n;
    char traceparent[PC_TRACEPARENT_BYTES];
    char cors_origin[PC_CORS_ORIGIN_MAX];
    uint16_t cors_origin_n; /* 0: no CORS headers */
    uint8_t minor;          /* of HTTP/1.x */
    bool head;              /* HEAD: no body */
    bool keep_alive;
    bool parked, replied;
    bool unseen_waits, unseen_due; /* unseen.h: is in its list; has come out of it */
    struct pc_call *unseen_prev, *unseen_next;
    const struct pc_stream_ops *stream; /* the answer goes on; NULL: it is an ordinary one */
    void *stream_state;                 /* its owner's */
    unsigned status;                    /* once replied */
    uint8_t method;                     /* of an administrative call, and the front of its path: */
    uint8_t path_kept_n;
    char path_kept[PC_CALL_PATH_KEPT_MAX];
    int64_t started_ns;
    struct pc_ip client; /* behind trusted proxies; family 0: a Unix socket, nothing forwarded */
    /* What trusted proxies say of the client cannot be read: `client` is one of them. Nothing that
     * depends on the address may be decided. */
    bool client_malformed;

    /* Valid until the handler returns. */
    struct pc_http_request *req;
    struct pc_bytes path; /* canonical, without the /api prefix */
    struct pc_bytes query;
    struct pc_bytes body;
    struct pc_bytes params[PC_CALL_PARAMS_MAX]; /* of {…} in the endpoint's path */
};

/* Defers the answer: the handler has handed the call to somebody who will reply. */
void pc_call_park(struct pc_call *call);

/* The reply to a parked call was given: reading goes on. */
void pc_call_done(struct pc_call *call);
/* The parked call of a connection, or NULL: it was answered meanwhile (a timeout). */
struct pc_call *pc_call_of(struct pc_conn *c);

/* ---- replies: exactly one per call ---- */

struct pc_reply {
    unsigned status;
    const char *content_type; /* NULL: no body, not even an empty one's type */
    struct pc_bytes body;
    struct pc_bytes fields, more; /* rendered header fields, each with CRLF; may be empty */
    unsigned retry_after_s;       /* 0: no Retry-After */
    const char *challenge;        /* value of WWW-Authenticate, or NULL */
    const char *content_policy; /* Content-Security-Policy; NULL: nothing may be loaded or framed */
    bool endless;               /* no Content-Length: see stream.c */
};
void pc_call_reply(struct pc_call *call, const struct pc_reply *reply);

/* Status and a JSON body. */
void pc_call_reply_json(struct pc_call *call, unsigned status, struct pc_bytes body);
/* {"error":{"code","message","request_id"}} */
void pc_call_reply_error(struct pc_call *call, unsigned status, const char *code, const char *fmt,
                         ...) PC_PRINTF(4, 5);
/* 503 with Retry-After. */
void pc_call_reply_busy(struct pc_call *call, const char *code, const char *message,
                        unsigned retry_after_s);

/* The body of an error as above, into b. */
void pc_error_body(struct pc_buf *b, const char *code, struct pc_bytes message,
                   struct pc_bytes request_id);

/* ---- answers that go on (stream.c): server-sent events ---- */

/* Replies 200 and leaves the body open; the handler returns without parking. The connection serves
 * nothing else any more: what the peer still sends is dropped, its deadlines are off, and it holds
 * nothing of RCU. `fields` as in pc_reply. False: there is no stream (HEAD, or the connection is
 * gone) and `ended` will not be called. */
bool pc_call_stream_begin(struct pc_call *call, const char *content_type, struct pc_bytes fields,
                          const struct pc_stream_ops *ops, void *state);
/* One part of the body; leaves at the end of the turn. */
void pc_call_stream_write(struct pc_call *call, struct pc_bytes part);
/* So much is queued that nothing should be added before some of it has left. While it is, or
 * anything is under way, a turn of the core will follow. */
bool pc_call_stream_full(const struct pc_call *call);
/* The last byte was written: ends the body and, once it has left, the connection. */
void pc_call_stream_end(struct pc_call *call);

/* A buffer over the worker's scratch memory for assembling a body; one at a time. */
struct pc_buf pc_call_scratch(struct pc_call *call);

static inline struct pc_bytes pc_call_request_id(const struct pc_call *c)
{
    return pc_bytes_of(c->request_id, c->request_id_n);
}

/* The protocol's table for the loop. `s` supplies limits and timeouts. */
void pc_http_protocol_init(struct pc_protocol *p, const struct pc_config *c);

#endif
