/* SPDX-License-Identifier: Apache-2.0
 * RESP2 on a connection: parsing, order, authentication.
 *
 * Replies leave in the order of the commands. Mutations may be pipelined: each is handed to the
 * writer at once and replied to when it comes back. Every other command waits until no mutation of
 * its connection is under way, so a command sees the mutations before it. */
#ifndef PC_API_RESP_CONN_H
#define PC_API_RESP_CONN_H

#include "edge/api/principal.h"

#define PC_RESP_CLIENT_NAME_MAX 64

struct pc_resp_conn {
    struct pc_worker *worker;
    struct pc_conn *conn;
    struct pc_resp_parser parser;
    struct pc_principal principal; /* role PC_ADMIN_NONE until AUTH */
    /* AUTH's credential. It is judged again in every turn that brings commands, so that it stops
     * working as soon as it would for HTTP: expired, revoked, or gone from the file of tokens. */
    uint8_t *credential;
    size_t credential_n;
    int64_t judged_ns; /* the turn of the last judgement */
    uint8_t may;       /* bit per enum pc_resp_access: what role and address allow */
    const struct pc_resp_limits *limits; /* by credential and address */
    bool undecided;                      /* the budget for signatures did not allow one */
    uint32_t pending;                    /* mutations given to the writer, not yet replied to */
    bool proxy_due;                      /* a PROXY header must come before the first command */
    bool newcomer;                       /* came while the core was overloaded: shed first */
    bool closing;                        /* closes when pending is 0 */
    bool incomplete;                     /* the client owes us the rest of a command */
    uint64_t id;                         /* CLIENT ID */
    uint8_t source_n;                    /* 0: no mutation asked for it yet */
    uint8_t source[PC_IP_TEXT_MAX];      /* the client's address, for the audit */
    char name[PC_RESP_CLIENT_NAME_MAX + 1];
};

/* What became of a command. */
enum pc_resp_outcome {
    PC_RESP_DONE, /* replied, or will be when the writer gives the job back */
    PC_RESP_WAIT  /* not executed: mutations are under way; run it again when they are done */
};

/* Who may use a command. */
enum pc_resp_access {
    PC_RESP_ALWAYS, /* also before AUTH, from anywhere */
    PC_RESP_READ,   /* the same machine, or AUTH */
    PC_RESP_MUTATE, /* AUTH, or the same machine with resp.trust_loopback */
};

struct pc_resp_row {
    const char *name; /* upper case */
    uint8_t name_n;
    int16_t arity;  /* as Redis counts: with the name; negative: at least */
    uint8_t access; /* enum pc_resp_access */
    int8_t first_key, last_key, key_step;
    enum pc_resp_outcome (*run)(struct pc_resp_conn *r, const struct pc_resp_command *c);
};

extern const struct pc_resp_row pc_resp_rows[];
extern const size_t pc_resp_row_count;
extern const char *const pc_resp_command_labels[];
extern const unsigned pc_resp_command_count;

/* Room for n bytes of replies, or NULL: the connection is gone. All of them are written, then
 * counted. */
uint8_t *pc_resp_replies_begin(struct pc_resp_conn *r, size_t n);
void pc_resp_replies_end(struct pc_resp_conn *r, size_t n, uint32_t replies);

/* Replies; each reserves its own room. */
void pc_resp_reply_error(struct pc_resp_conn *r, const char *fmt, ...) PC_PRINTF(2, 3);
void pc_resp_reply_simple(struct pc_resp_conn *r, const char *text);
void pc_resp_reply_int(struct pc_resp_conn *r, int64_t value);
void pc_resp_reply_bulk(struct pc_resp_conn *r, struct pc_bytes value);
void pc_resp_reply_null(struct pc_resp_conn *r);
void pc_resp_reply_raw(struct pc_resp_conn *r, struct pc_bytes rendered);

/* Keeps the credential that made `principal`; false when out of memory: nothing changed then. */
bool pc_resp_authenticated(struct pc_resp_conn *r, struct pc_bytes credential,
                           const struct pc_principal *principal);

/* The role commands run with: AUTH's, or gateway where loopback is trusted. */
enum pc_admin_role pc_resp_role(const struct pc_resp_conn *r);

/* Gives a job to the writer; `done` runs when it is back and must reply, then free the job. The
 * connection of a job that is back, or NULL when it has gone. */
enum pc_resp_outcome pc_resp_submit(struct pc_resp_conn *r, struct pc_job *job,
                                    void (*done)(struct pc_resp_conn *r, struct pc_job *job));

void pc_resp_protocol_init(struct pc_protocol *p, const struct pc_config *c);

#endif
