/* SPDX-License-Identifier: Apache-2.0
 * What a workload file says: whom the requests come from (populations), what they ask and which
 * answer is right (requests), how they arrive, how that changes (phases), and what the server must
 * know before (set-up). Read once, immutable then; it owns its texts. The format is described in
 * portcullis-load(1); the table of keys in workload_read.c is its definition. */
#ifndef LD_WORKLOAD_H
#define LD_WORKLOAD_H

#include "base/rate.h"
#include "load/tokens.h"

enum {
    LD_WL_REQUESTS_MAX = 16,
    LD_WL_POLICIES_MAX = 16,
    LD_WL_FLAGS_MAX = 32,
    LD_WL_PHASES_MAX = 48,
    LD_WL_FIELDS_MAX = 16,   /* header fields of a request */
    LD_WL_WORDS_MAX = 16,    /* words of a RESP command */
    LD_WL_TOLERATED_MAX = 8, /* codes */
    LD_WL_FILE_MAX = 256 << 10,
};
#define LD_WL_KEYS_MAX UINT64_C(100000000)

/* What a request asks, and so how its answer is judged (expect.c). */
enum ld_ask {
    LD_ASK_AUTH,     /* forward auth: status, subject or code */
    LD_ASK_CHECK,    /* POST /v1/check: the decision's body, its limits and flags */
    LD_ASK_LIMIT,    /* POST /v1/limits/...: 200 or 429, never more than the policy */
    LD_ASK_FLAG,     /* GET /flags/KEY: the value */
    LD_ASK_SET_FLAG, /* POST /flags/KEY: acknowledged */
    LD_ASK_REVOKE,   /* POST /v1/revoke of one token: acknowledged */
    LD_ASK_EXISTS,   /* RESP EXISTS: whether a token is revoked */
    LD_ASK_STATUS,   /* anything: the status only (HTTP), or no error (RESP) */
    LD_ASKS
};

struct ld_wl_population {
    uint64_t count;
    double exponent;  /* 0: uniform */
    double hot_share; /* of the draws go to number 0 */
};

struct ld_wl_request {
    const char *name, *help;
    enum ld_ask ask;
    double weight; /* among the paced requests; 0: only at per_s */
    double per_s;  /* beside them, over all threads; 0: none */
    bool outside;  /* its latencies stay out of the whole run's */
    bool to_idle;  /* goes to idle connections */
    const char *method, *path, *body;
    const char *fields[LD_WL_FIELDS_MAX];
    unsigned field_count;
    const char *words[LD_WL_WORDS_MAX];
    unsigned word_count;
    bool has_shares;
    double shares[LD_TOKEN_KINDS];
    int policy, flag; /* index, -1: none */
    const char *policy_name, *flag_name;
    uint64_t status;
    const char *tolerate[LD_WL_TOLERATED_MAX]; /* codes of refusals that are no wrong answer */
    unsigned tolerate_count;
    uint32_t network; /* first of the clients' addresses, 10.0.0.0 */
    uint64_t clients; /* how many */
};

struct ld_wl_policy {
    const char *name;
    struct pc_rate rate;
    uint64_t burst; /* 0: the rate's count */
    bool window;
};

struct ld_wl_flag {
    const char *key;
    const char *value; /* as JSON; NULL: not set before the run */
};

struct ld_wl_phase {
    const char *name;
    double part;                                                  /* of the run, in any unit */
    double rate;                                                  /* of the whole rate */
    double weight[LD_WL_REQUESTS_MAX], per_s[LD_WL_REQUESTS_MAX]; /* NAN: as the request says */
};

struct ld_workload {
    const char *file; /* for messages */
    const char *name, *description;
    bool resp;
    const char *issuer;
    int64_t lifetime_s;
    const char *scopes, *roles; /* NULL: the usual ones */
    struct ld_wl_population tokens, keys;
    double shares[LD_TOKEN_KINDS];
    bool prime; /* ask about every good token once before the run, so that the server knows it */
    unsigned request_count, policy_count, flag_count, phase_count;
    struct ld_wl_request requests[LD_WL_REQUESTS_MAX];
    struct ld_wl_policy policies[LD_WL_POLICIES_MAX];
    struct ld_wl_flag flags[LD_WL_FLAGS_MAX];
    struct ld_wl_phase phases[LD_WL_PHASES_MAX];
    double rate_per_s;                    /* 0: closed loop */
    uint64_t connections, pipeline, idle; /* 0: the option's default */
    uint64_t requests_per_connection;     /* then it is opened anew; 0: never */
    struct ld_wl_text *texts;             /* owned */
};

/* name: a path if it has a slash or ends in .yaml, else one of the shipped ones. */
bool ld_workload_load(const char *name, struct ld_workload **ret_workload, struct ld_problem *);
/* The same of text; file is for messages. Pure. */
bool ld_workload_read(const char *file, struct pc_bytes text, struct ld_workload **ret_workload,
                      struct ld_problem *);
void ld_workload_free(struct ld_workload *w);

const char *ld_ask_name(enum ld_ask ask);

/* The folder of the shipped ones: $PORTCULLIS_WORKLOADS, beside the sources, or installed. */
bool ld_workloads_folder(char ret_path[512], struct ld_problem *);
int ld_workloads_main(int argc, char **argv);

#endif
