/* SPDX-License-Identifier: Apache-2.0
 * The signature budget: one token bucket for the core, one for each client remembered. Owned by
 * one core thread; pure, no clock; fixed memory, one allocation at creation.
 *
 * A charge of `cost` nanoseconds passes when the core's bucket holds it and either the client's
 * own bucket holds it too, or the core would still have its reserve (half its capacity) left.
 *
 *   level of the core's bucket
 *   capacity |------------------| anybody
 *   half     |------------------| only clients within their own share
 *   0        |------------------| nobody: 503
 *
 * Clients are remembered in 4-way sets. A full bucket says nothing, so forgetting an idle client
 * is harmless; if all four of a set are active, a newcomer takes over the fullest bucket as it
 * stands. So one address cannot refill its bucket by being forgotten, and somebody with many
 * addresses gets at most what the core has.
 *
 *   I1  0 <= level <= capacity, for the core and for every client.
 *   I2  What is granted in any span of time T is at most capacity + share * T. */
#include "edge/state/verify_budget.h"

#include <errno.h>
#include <stdlib.h>

enum { CLIENT_WAYS = 4, NS_PER_MS = 1000000 };

struct bucket {
    int64_t level_ns;  /* CPU time that may be spent */
    int64_t filled_ns; /* when level_ns was right */
};

struct client {
    uint64_t hash;
    struct bucket bucket;
};

struct rate {
    int64_t permille; /* of the time that passes */
    int64_t capacity_ns;
};

struct pc_verify_budget {
    struct rate core_rate, client_rate;
    struct bucket core;
    int64_t reserve_ns;
    uint64_t set_mask;
    struct pc_verify_budget_stats stats;
    struct client clients[];
};

static struct bucket full_bucket(struct rate rate, int64_t now_ns)
{
    return (struct bucket){rate.capacity_ns, now_ns};
}

static struct rate rate_of(uint32_t permille, int64_t capacity_ns)
{
    return (struct rate){(int64_t)permille, capacity_ns};
}

static void refill(struct bucket *b, struct rate rate, int64_t now_ns)
{
    PC_ASSERT(b->level_ns >= 0 && b->level_ns <= rate.capacity_ns); /* I1 */
    int64_t passed_ns = now_ns - b->filled_ns;
    if (passed_ns <= 0)
        return;
    /* Longer than it takes to fill an empty bucket makes no difference, and cannot overflow. */
    int64_t enough_ns = rate.capacity_ns / rate.permille * 1000 + 1000;
    int64_t gained_ns = pc_min_i64(passed_ns, enough_ns) * rate.permille / 1000;
    if (gained_ns == 0)
        return; /* keep the time: calls a few ns apart must add up */
    b->level_ns = pc_min_i64(b->level_ns + gained_ns, rate.capacity_ns);
    b->filled_ns = now_ns;
}

/* INT64_MAX if the bucket can never hold as much. */
static int64_t wait_until_ns(const struct bucket *b, struct rate rate, int64_t level_ns)
{
    if (level_ns > rate.capacity_ns)
        return INT64_MAX;
    if (b->level_ns >= level_ns)
        return 0;
    return ((level_ns - b->level_ns) * 1000 + rate.permille - 1) / rate.permille;
}

static uint64_t sets_for(uint32_t clients)
{
    uint64_t sets = 1;
    while (sets * CLIENT_WAYS < clients)
        sets *= 2;
    return sets;
}

static int check(struct pc_verify_budget_options *o)
{
    o->share_permille =
        o->share_permille ? o->share_permille : PC_VERIFY_BUDGET_SHARE_DEFAULT_PERMILLE;
    if (!o->client_permille)
        o->client_permille =
            (uint32_t)pc_min_u64(PC_VERIFY_BUDGET_CLIENT_DEFAULT_PERMILLE, o->share_permille);
    o->burst_ms = o->burst_ms ? o->burst_ms : PC_VERIFY_BUDGET_BURST_DEFAULT_MS;
    o->clients = o->clients ? o->clients : PC_VERIFY_BUDGET_CLIENTS_DEFAULT;
    if (o->share_permille > 1000 || o->client_permille > o->share_permille || o->burst_ms > 10000 ||
        o->clients > PC_VERIFY_BUDGET_CLIENTS_MAX)
        return -EINVAL;
    return 0;
}

int pc_verify_budget_create(const struct pc_verify_budget_options *options, int64_t now_ns,
                            struct pc_verify_budget **ret_budget)
{
    struct pc_verify_budget_options o = *options;
    if (check(&o))
        return -EINVAL;
    uint64_t count = sets_for(o.clients) * CLIENT_WAYS;
    struct pc_verify_budget *b = calloc(1, sizeof(*b) + count * sizeof(b->clients[0]));
    if (!b)
        return -ENOMEM;
    int64_t capacity_ns = (int64_t)o.burst_ms * NS_PER_MS;
    b->core_rate = rate_of(o.share_permille, capacity_ns);
    b->client_rate = rate_of(o.client_permille, capacity_ns * o.client_permille / o.share_permille);
    b->reserve_ns = capacity_ns / 2;
    b->core = full_bucket(b->core_rate, now_ns);
    b->set_mask = count / CLIENT_WAYS - 1;
    for (uint64_t i = 0; i < count; i++)
        b->clients[i].bucket = full_bucket(b->client_rate, now_ns);
    *ret_budget = b;
    return 0;
}

void pc_verify_budget_destroy(struct pc_verify_budget *b)
{
    free(b);
}

/* The client's bucket, refilled; a newcomer takes the fullest of its set over. */
static struct bucket *client_bucket(struct pc_verify_budget *b, uint64_t hash, int64_t now_ns)
{
    struct client *set = &b->clients[(hash & b->set_mask) * CLIENT_WAYS];
    struct client *fullest = set;
    for (int way = 0; way < CLIENT_WAYS; way++) {
        refill(&set[way].bucket, b->client_rate, now_ns);
        if (set[way].hash == hash)
            return &set[way].bucket;
        if (set[way].bucket.level_ns > fullest->bucket.level_ns)
            fullest = &set[way];
    }
    fullest->hash = hash;
    return &fullest->bucket;
}

/* How long until this cost would pass: the core must hold it, and then either the client's share
 * or what is above the reserve. */
static int64_t retry_ns(const struct pc_verify_budget *b, const struct bucket *client,
                        int64_t cost_ns)
{
    int64_t own_ns = pc_max_i64(wait_until_ns(&b->core, b->core_rate, cost_ns),
                                wait_until_ns(client, b->client_rate, cost_ns));
    int64_t surplus_ns =
        wait_until_ns(&b->core, b->core_rate, pc_add_sat_i64(cost_ns, b->reserve_ns));
    return pc_min_i64(own_ns, surplus_ns);
}

bool pc_verify_budget_charge(struct pc_verify_budget *b, uint64_t client_hash, int64_t cost_ns,
                             int64_t now_ns, int64_t *ret_retry_ns)
{
    PC_ASSERT(cost_ns >= 0);
    struct bucket *client = client_bucket(b, client_hash, now_ns);
    refill(&b->core, b->core_rate, now_ns);
    const bool within_share = client->level_ns >= cost_ns;
    const int64_t needed_ns = pc_add_sat_i64(cost_ns, within_share ? 0 : b->reserve_ns);
    if (b->core.level_ns < needed_ns) {
        if (b->core.level_ns < cost_ns)
            b->stats.refused_core++;
        else
            b->stats.refused_client++;
        if (ret_retry_ns)
            *ret_retry_ns = retry_ns(b, client, cost_ns);
        return false;
    }
    b->core.level_ns -= cost_ns;
    client->level_ns = pc_max_i64(client->level_ns - cost_ns, 0);
    b->stats.charged_ns += (uint64_t)cost_ns;
    PC_ASSERT(b->core.level_ns >= 0 && client->level_ns >= 0); /* I1 */
    return true;
}

struct pc_verify_budget_stats pc_verify_budget_get_stats(const struct pc_verify_budget *b)
{
    return b->stats;
}
