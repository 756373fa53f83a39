/* SPDX-License-Identifier: Apache-2.0
 * CL.THROTTLE key max_burst count period [quantity], with the answers and error texts of
 * redis-cell. Its keys are in a table of their own (resp.throttle_keys), in memory only. Runs on
 * cores. */
#include "edge/api/resp_throttle.h"

#include "edge/wire/resp.h"

#define TOP_POLICY "cl.throttle" /* in /admin/limits/top; no policy of the configuration has it */

/* As Rust parses an i64: a sign may stand in front, zeros too. */
static bool parse_i64(struct pc_bytes s, int64_t *ret_value)
{
    bool negative = s.n && s.p[0] == '-';
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');
    int64_t value = 0;
    if (i == s.n)
        return false;
    for (; i < s.n; i++) {
        int digit = s.p[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) /* below 0: there is one more */
            return false;
    }
    if (!negative && value == INT64_MIN)
        return false;
    *ret_value = negative ? value : -value;
    return true;
}

/* NULL, or the argument that is no number. */
static const struct pc_bytes *parse_call(const struct pc_resp_command *c,
                                         struct pc_throttle_call *call)
{
    int64_t *const values[] = {&call->max_burst, &call->count, &call->period_s, &call->quantity};
    call->quantity = 1;
    for (size_t i = 2; i < c->argc; i++)
        if (!parse_i64(c->argv[i], values[i - 2]))
            return &c->argv[i];
    return NULL;
}

static void count(struct pc_worker *w, struct pc_bytes key, uint64_t fp,
                  const struct pc_throttle_answer *a)
{
    bool near_it = (a->limit - a->remaining) / 4 >= a->remaining; /* a fifth or less is left */
    pc_metric_inc(w->metrics, a->limited ? PC_M_THROTTLE_REFUSED : PC_M_THROTTLE_ALLOWED);
    if (PC_UNLIKELY(a->limited || near_it))
        pc_top_keys_add(w->top, a->limited ? PC_TOP_REFUSED : PC_TOP_NEAR, fp, PC_LIT(TOP_POLICY),
                        key, w->core->now_ns, w->core->now_ms);
}

static void reply(struct pc_resp_conn *r, const struct pc_throttle_answer *a)
{
    uint8_t text[5 * 24 + 8];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    pc_resp_write_array(&b, 5);
    pc_resp_write_int(&b, a->limited);
    pc_resp_write_int(&b, a->limit);
    pc_resp_write_int(&b, a->remaining);
    pc_resp_write_int(&b, a->retry_after_s);
    pc_resp_write_int(&b, a->reset_after_s);
    PC_ASSERT(!b.overflow);
    pc_resp_reply_raw(r, pc_bytes_of(b.p, b.len));
}

void pc_resp_throttle_answer(struct pc_resp_conn *r, uint64_t fp,
                             const struct pc_throttle_ahead *ahead)
{
    struct pc_worker *w = r->worker;
    struct pc_throttle_answer a;
    enum pc_throttle_error error =
        pc_throttle(w->server->throttle, fp, &ahead->call, w->core->now_ns, &w->throttle, &a);
    if (error) {
        pc_resp_reply_error(r, "%s", pc_throttle_error_text(error));
        return;
    }
    if (ahead->call.quantity > 0)
        count(w, pc_bytes_of(ahead->key, ahead->key_n), fp, &a);
    reply(r, &a);
}

/* The lines are asked for now, the limit is charged in its turn (resp_ahead.h). The key lies in the
 * connection's input, which may be gone by then. */
static void put_off(struct pc_resp_conn *r, const struct pc_throttle_call *call,
                    struct pc_bytes key)
{
    struct pc_worker *w = r->worker;
    uint64_t fp = pc_limit_fingerprint(w->server->client_key, key);
    pc_limits_prefetch(w->server->throttle, fp);
    struct pc_resp_lookup *l = pc_resp_ahead_add(w);
    struct pc_throttle_ahead *ahead = &w->ahead.throttle[l - w->ahead.lookup];
    *l = (struct pc_resp_lookup){.conn = r, .fp = fp, .kind = PC_RESP_AHEAD_THROTTLE};
    ahead->call = *call;
    ahead->key_n = (uint8_t)pc_min_u64(key.n, sizeof ahead->key);
    if (key.n)
        memcpy(ahead->key, key.p, ahead->key_n);
}

enum pc_resp_outcome pc_resp_throttle(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    struct pc_throttle_call call;
    if (r->pending)
        return PC_RESP_WAIT; /* its answer follows theirs; nothing is charged yet */
    if (c->argc != 5 && c->argc != 6) {
        pc_resp_reply_error(r, "Cell error: Store error: Usage: cl.throttle <key> <max_burst> "
                               "<count per period> <period> [<quantity>]");
        return PC_RESP_DONE;
    }
    const struct pc_bytes *bad = parse_call(c, &call);
    if (bad)
        pc_resp_reply_error(r, "Cell error: Store error: Couldn't parse as integer: %.*s",
                            (int)pc_min_u64(bad->n, 64), (const char *)bad->p);
    else
        put_off(r, &call, c->argv[1]);
    return PC_RESP_DONE;
}

void pc_throttle_publish(const struct pc_worker *w)
{
    const struct pc_limit_counters *n = &w->throttle;
    pc_metric_set(w->metrics, PC_M_THROTTLE_KEYS, n->occupied);
    pc_metric_set(w->metrics, PC_M_THROTTLE_NO_ROOM, n->no_room);
    pc_metric_set(w->metrics, PC_M_THROTTLE_EVICTED, n->evicted_idle);
}
