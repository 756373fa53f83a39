/* SPDX-License-Identifier: Apache-2.0
 * Answering the RESP look-ups that were put off; see resp_ahead.h. Runs on the core that owns the
 * queue. */
#include "edge/api/resp_ahead.h"

#include "edge/api/resp_conn.h"
#include "edge/api/resp_throttle.h"
#include "edge/wire/resp.h"

struct pc_resp_lookup *pc_resp_ahead_add(struct pc_worker *w)
{
    if (w->ahead.n == PC_RESP_AHEAD_MAX)
        pc_resp_answer_ahead(w);
    return &w->ahead.lookup[w->ahead.n++];
}

/* The tags have arrived: most ids are found absent by them alone, for the others the entry they
 * point at is asked for, which lies on other lines. */
static void approach_all(const struct pc_revocations *ids, struct pc_resp_lookup *l, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        l[i].maybe = l[i].kind != PC_RESP_AHEAD_THROTTLE && pc_revocations_approach(ids, l[i].fp);
}

static bool find(const struct pc_revocations *ids, const struct pc_resp_lookup *l)
{
    return l->maybe && pc_revocations_find(ids, l->fp, l->now_ms, NULL);
}

static uint32_t run_of_exists(const struct pc_resp_lookup *l, uint32_t n)
{
    uint32_t same = 1;
    while (same < n && l[same].conn == l->conn && l[same].kind == PC_RESP_AHEAD_EXISTS)
        same++;
    return same;
}

/* The answers to one connection stand in a row: room is made, and counted, once. */
static uint32_t answer_exists(const struct pc_revocations *ids, const struct pc_resp_lookup *l,
                              uint32_t n)
{
    uint32_t run = run_of_exists(l, n);
    uint8_t *p = pc_resp_replies_begin(l->conn, run * PC_RESP_BIT_BYTES);
    if (!p)
        return run;
    for (uint32_t i = 0; i < run; i++)
        pc_resp_put_bit(p + i * PC_RESP_BIT_BYTES, find(ids, &l[i]));
    pc_resp_replies_end(l->conn, run * PC_RESP_BIT_BYTES, run);
    return run;
}

static void answer_get(const struct pc_revocations *ids, const struct pc_resp_lookup *l)
{
    if (find(ids, l))
        pc_resp_reply_bulk(l->conn, pc_bytes_str(l->value_of->value));
    else
        pc_resp_reply_null(l->conn);
}

void pc_resp_answer_ahead(struct pc_worker *w)
{
    const struct pc_revocations *ids = w->server->tables->ids;
    struct pc_resp_lookup *l = w->ahead.lookup;
    uint32_t n = w->ahead.n;
    w->ahead.n = 0; /* replying looks at it (A2) */
    PC_ASSERT(n <= PC_RESP_AHEAD_MAX);
    approach_all(ids, l, n);
    for (uint32_t i = 0; i < n;) {
        if (PC_LIKELY(l[i].kind == PC_RESP_AHEAD_EXISTS)) {
            i += answer_exists(ids, &l[i], n - i);
            continue;
        }
        if (l[i].kind == PC_RESP_AHEAD_GET)
            answer_get(ids, &l[i]);
        else
            pc_resp_throttle_answer(l[i].conn, l[i].fp, &w->ahead.throttle[i]);
        i++;
    }
}
