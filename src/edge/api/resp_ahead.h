/* SPDX-License-Identifier: Apache-2.0
 * RESP look-ups that were put off: one queue per core, for all its connections.
 *
 * EXISTS, GET and CL.THROTTLE cost a few accesses to memory that is in no cache, one after the
 * other when each is answered at once. So a command only asks for its line and joins the queue, and
 * is answered with the others: when the queue is full, before anything else is replied or given to
 * the writer, and at the end of the turn. By then the lines have arrived, those that pipelined
 * commands of one connection need as well as those of many connections with one command each.
 *
 *  A1  Only what the command said is kept (the key's fingerprint, the call); the tables are read
 *      when it is answered.
 *  A2  Replies to a connection leave in the order of its commands, since whoever replies anything
 *      empties the queue first.
 *  A3  The queue is empty when the turn's callbacks are over: no connection in it can have gone,
 *      and nothing loaded in the turn (`value_of`) outlives it. */
#ifndef PC_API_RESP_AHEAD_H
#define PC_API_RESP_AHEAD_H

#include "base/config.h"
#include "base/siphash.h"
#include "edge/state/throttle.h"
#include "edge/state/top_keys.h"

struct pc_issuer;
struct pc_resp_conn;
struct pc_view;
struct pc_worker;

/* Cache lines on their way at the same time: more than a core can have misses under way. */
#define PC_RESP_AHEAD_MAX 64

enum pc_resp_ahead_kind { PC_RESP_AHEAD_EXISTS, PC_RESP_AHEAD_GET, PC_RESP_AHEAD_THROTTLE };

/* One command, to be answered when its line has arrived. */
struct pc_resp_lookup {
    struct pc_resp_conn *conn;
    uint64_t fp;
    int64_t now_ms;                          /* less the issuer's skew; not for CL.THROTTLE */
    const struct pc_config_prefix *value_of; /* GET: the prefix whose constant it answers */
    uint8_t kind;                            /* enum pc_resp_ahead_kind */
    bool maybe;                              /* while answering: it is worth a look */
};

/* What CL.THROTTLE needs besides, at the same index. */
struct pc_throttle_ahead {
    struct pc_throttle_call call;
    uint8_t key_n;
    uint8_t key[PC_TOP_TEXT_MAX]; /* as much as the list of top keys keeps */
};

struct pc_resp_ahead {
    uint32_t n;
    struct pc_resp_lookup lookup[PC_RESP_AHEAD_MAX];
    struct pc_throttle_ahead throttle[PC_RESP_AHEAD_MAX];
};

/* What the configured prefixes stand for, found at their first use in a turn. Good for one view:
 * within a turn its address cannot come back as another's, at the end of the turn it is dropped. */
struct pc_resp_names {
    const struct pc_view *view; /* NULL: nothing is known */
    uint32_t known;             /* bit per prefix */
    struct pc_resp_name {
        const struct pc_issuer *issuer;
        struct pc_siphash24_head head; /* of the fingerprints of its tokens */
    } name[PC_CONFIG_PREFIXES_MAX];
};
_Static_assert(PC_CONFIG_PREFIXES_MAX <= 32, "a bit for each");

/* The place for one more; the caller fills it in. */
struct pc_resp_lookup *pc_resp_ahead_add(struct pc_worker *w);
/* Answers all that was put off, in order. */
void pc_resp_answer_ahead(struct pc_worker *w);

#endif
