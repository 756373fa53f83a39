/* SPDX-License-Identifier: Apache-2.0
 * See decision_kit.h. */
#include "support/decision_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/writer_rig.h"

struct decision_kit {
    struct rig rig;
    struct rig_core core;
    struct decision_kit_options o;
    char (*tokens)[RIG_TOKEN_MAX];
    size_t *lengths;
};

/* Each with its own subject, session and jti: three scopes to look up, and a client. */
static void mint(struct decision_kit *k, uint32_t i)
{
    char more[1024], pad[800] = "", sub[40], jti[40];
    size_t n = 0;
    snprintf(sub, sizeof sub, "user-%08u", i);
    snprintf(jti, sizeof jti, "01a1f8a3-660d-7ff7-b208-%012u", i);
    for (;;) {
        snprintf(more, sizeof more,
                 ",\"sid\":\"session-%08u\",\"client_id\":\"app\",\"scope\":\"read write\","
                 "\"roles\":[\"staff\"],\"pad\":\"%s\"",
                 i, pad);
        rig_token(&k->rig, 0, sub, jti, RIG_WALL_MS / 1000, more, k->tokens[i]);
        k->lengths[i] = strlen(k->tokens[i]);
        if (k->lengths[i] >= k->o.token_bytes)
            return;
        size_t missing = (k->o.token_bytes - k->lengths[i]) * 3 / 4 + 1;
        PC_ASSERT(n + missing < sizeof pad);
        memset(pad + n, 'x', missing);
        n += missing;
    }
}

static void fill_revocations(struct decision_kit *k)
{
    uint64_t random = 4242;
    for (uint32_t i = 0; i < k->o.entries; i++) {
        uint64_t id = sim_random(&random) | 1, cutoff = sim_random(&random) | 1;
        int rc = pc_revocations_revoke(k->rig.tables->ids, id, RIG_WALL_MS, INT64_MAX, INT64_MIN);
        PC_ASSERT(rc >= 0);
        rc = pc_revocations_revoke(k->rig.tables->cutoffs, cutoff, RIG_WALL_MS, INT64_MAX,
                                   RIG_WALL_MS);
        PC_ASSERT(rc >= 0);
        if (i % 1024 == 0)
            pc_rcu_quiescent();
    }
}

static void fill_limits(struct decision_kit *k)
{
    const struct pc_settings *s = pc_server_settings(&k->core.server);
    const struct pc_policy *p = pc_policy_find(s->policies, pc_bytes_str(k->o.policy));
    struct pc_limit_user user = {.now_ns = k->core.core.now_ns, .now_ms = RIG_WALL_MS};
    PC_ASSERT(p != NULL);
    for (uint32_t i = 0; i < k->o.entries; i++) {
        uint8_t text[64], room[PC_LIMIT_KEY_MAX];
        struct pc_buf key = pc_buf_of(text, sizeof text), b = pc_buf_of(room, sizeof room);
        struct pc_charge charge;
        pc_buf_fmt(&key, "other-%u", i);
        int rc = pc_charge_of_key(&charge, p, 1, pc_bytes_of(key.p, key.len), &b);
        PC_ASSERT(rc == 0);
        pc_charges_take(&charge, 1, &user);
    }
}

/* A clock, and room in the cache for all tokens. */
static void prepare_core(const struct decision_kit *k, struct rig_core *core)
{
    struct pc_token_cache_options cache = {.entries = 2 * k->o.tokens + 1024};
    pc_token_cache_destroy(core->worker.cache);
    int rc = pc_token_cache_create(&cache, &core->worker.cache);
    PC_ASSERT(rc == 0);
    core->core.now_ms = RIG_WALL_MS + 1000;
    core->core.now_ns = 1000000000;
}

struct decision_kit *decision_kit_new(const struct decision_kit_options *o)
{
    struct decision_kit *k = calloc(1, sizeof *k);
    PC_ASSERT(k != NULL);
    k->o = *o;
    k->tokens = malloc(o->tokens * sizeof *k->tokens);
    k->lengths = malloc(o->tokens * sizeof *k->lengths);
    PC_ASSERT(k->tokens && k->lengths);
    pc_rcu_thread_register();
    rig_init(&k->rig, sim_disk_new(1));
    int rc = rig_open(&k->rig);
    PC_ASSERT(rc == 0);
    rig_core_init(&k->core, &k->rig);
    rig_install(&k->rig, o->config);
    prepare_core(k, &k->core);
    fill_revocations(k);
    if (o->policy)
        fill_limits(k);
    for (uint32_t i = 0; i < o->tokens; i++) {
        mint(k, i);
        k->core.core.now_ns += 1000000; /* the budget of signatures grows */
        decision_kit_decide(k, i);
    }
    return k;
}

void decision_kit_free(struct decision_kit *k)
{
    struct sim_disk *disk = k->rig.disk;
    rig_core_free(&k->core);
    rig_drop(&k->rig);
    rig_free(&k->rig);
    sim_disk_free(disk);
    pc_rcu_thread_unregister();
    free(k->tokens);
    free(k->lengths);
    free(k);
}

struct pc_bytes decision_kit_token(const struct decision_kit *k, uint32_t i)
{
    return pc_bytes_of(k->tokens[i], k->lengths[i]);
}

static void decide(const struct decision_kit *k, struct rig_core *core, uint32_t i)
{
    struct pc_decision d;
    struct pc_question q = {
        .view = pc_server_view(&core->server),
        .token = decision_kit_token(k, i),
        .client = {.family = 4, .b = {192, 0, 2, 1}},
        .said = PC_ROUTE_NEEDS_PATH | PC_ROUTE_NEEDS_HOST | PC_ROUTE_NEEDS_METHOD,
        .method = pc_bytes_str(k->o.method),
        .host = pc_bytes_str(k->o.host),
        .path = pc_bytes_str(k->o.path),
    };
    pc_decision_make(&core->worker, &q, &d);
    PC_ASSERT(d.allow && d.code == PC_DECISION_OK);
}

void decision_kit_decide(struct decision_kit *k, uint32_t i)
{
    decide(k, &k->core, i);
}

void decision_kit_token_only(struct decision_kit *k, uint32_t i)
{
    static const struct pc_ip client = {
        .family = 4, .b = {192, 0, 2, 1}
    };
    struct pc_verdict v;
    pc_decide(&k->core.worker, decision_kit_token(k, i), &client, &v);
    PC_ASSERT(!v.busy && !v.error);
}

void decision_kit_pass(struct decision_kit *k, int64_t ns)
{
    k->core.core.now_ns += ns;
    pc_rcu_quiescent();
}

struct decision_kit_hand {
    struct decision_kit *kit;
    struct rig_core core;
};

struct decision_kit_hand *decision_kit_hand_new(struct decision_kit *k)
{
    struct decision_kit_hand *h = calloc(1, sizeof *h);
    PC_ASSERT(h != NULL);
    pc_rcu_thread_register();
    h->kit = k;
    rig_core_init(&h->core, &k->rig);
    prepare_core(k, &h->core);
    h->core.core.now_ns = k->core.core.now_ns;
    for (uint32_t i = 0; i < k->o.tokens; i++) {
        h->core.core.now_ns += 1000000; /* the budget of signatures grows */
        decision_kit_hand_decide(h, i);
    }
    return h;
}

void decision_kit_hand_free(struct decision_kit_hand *h)
{
    rig_core_free(&h->core);
    pc_rcu_thread_unregister();
    free(h);
}

void decision_kit_hand_decide(struct decision_kit_hand *h, uint32_t i)
{
    decide(h->kit, &h->core, i);
}

void decision_kit_hand_pass(struct decision_kit_hand *h, int64_t ns)
{
    h->core.core.now_ns += ns;
    pc_rcu_quiescent();
}

void decision_kit_rest(bool resting)
{
    if (resting)
        pc_rcu_offline();
    else
        pc_rcu_online();
}
