/* SPDX-License-Identifier: Apache-2.0
 * Fixed inputs for counting instructions: decisions over HTTP, RESP commands, revocations. The
 * engine runs in process, on one thread, with fixed keys, tokens and clocks, so that two runs of
 * one build execute the same instructions. perf/budget runs this program under callgrind and
 * compares the counts; without callgrind it only shows that every answer is right.
 *
 *   perf-budget [NAME]     all, or one of them; prints "NAME OPERATIONS" per line
 *
 * Only what stands between begin() and end() is counted. Each input is run once before that, so
 * that first uses (a token's signature, a date, a page) are not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/callgrind.h>

#include "edge/api/resp_conn.h"
#include "edge/api/resp_throttle.h"
#include "edge/api/unseen.h"
#include "edge/state/rcu.h"
#include "support/fake_conn.h"

enum {
    TOKENS = 32,
    TOKEN_BYTES = 700,
    PIPELINE = 16,
    INPUTS = TOKENS / PIPELINE,
    ROUNDS = 8,
    ENTRIES = 20000, /* in each revocation table */
    LIMIT_KEYS = 100000,
    CHANGES = 4096,
    INPUT_BYTES = 64 << 10,
};

/* The engine with one connection. */
struct kit {
    struct rig rig;
    struct rig_core core;
    struct fake_conn conn;
    struct pc_config_prefix prefix;
    char tokens[TOKENS][RIG_TOKEN_MAX];
    uint8_t input[INPUTS][INPUT_BYTES];
    size_t input_n[INPUTS];
};

static const char rules[] =
    "routes:\n"
    "  - {name: health, path: /health, authentication: none}\n"
    "  - {name: list, path: /orders, methods: [GET]}\n"
    "  - {name: order, path: \"/orders/{id}\", methods: [GET], scopes: [scope-3:read, scope-7:read,"
    " scope-11:read], limits: [each-subject]}\n"
    "  - {name: admin, path: /admin/*, roles: [staff]}\n"
    "limit_policies:\n"
    "  - {name: each-subject, rate: 1000000000/s, key: [subject], max_keys: 100000}\n"
    "  - {name: tenant, rate: 1000000000/s, key: [subject], max_keys: 100000}\n"
    "  - {name: upload, rate: 1000000000/h, key: [subject], max_keys: 100000}\n";

static void begin(void)
{
    CALLGRIND_TOGGLE_COLLECT;
}

static void end(void)
{
    CALLGRIND_TOGGLE_COLLECT;
}

/* ---- the kit ---- */

static void fill_revocations(struct kit *k)
{
    uint64_t random = 4242;
    for (uint32_t i = 0; i < ENTRIES; i++) {
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

/* As a gateway's clients have them: every claim that a revocation can name, many scopes. */
static void mint(struct kit *k, unsigned i)
{
    char more[1024], sub[40], jti[40], scopes[256] = "scope-0:read";
    snprintf(sub, sizeof sub, "user-%08u", i);
    snprintf(jti, sizeof jti, "01900000-0000-7000-9000-%012u", i);
    for (int n = 1; n < 14; n++)
        snprintf(scopes + strlen(scopes), sizeof scopes - strlen(scopes), " scope-%d:read", n);
    snprintf(more, sizeof more,
             ",\"sid\":\"session-%08u\",\"fam\":\"family-%08u\",\"client_id\":\"web-%u\","
             "\"scope\":\"%s\",\"pad\":\"%s\"",
             i, i, i % 16, scopes, "................................................");
    rig_token(&k->rig, 0, sub, jti, RIG_WALL_MS / 1000, more, k->tokens[i]);
    PC_ASSERT(strlen(k->tokens[i]) >= TOKEN_BYTES);
}

static struct kit *kit_new(const char *config)
{
    struct kit *k = calloc(1, sizeof *k);
    PC_ASSERT(k != NULL);
    pc_rcu_thread_register();
    rig_init(&k->rig, sim_disk_new(1));
    k->rig.options.segment_bytes = 4u << 20; /* none ends while it is counted */
    int rc = rig_open(&k->rig);
    PC_ASSERT(rc == 0);
    rig_core_init(&k->core, &k->rig);
    rc = pc_limits_new(LIMIT_KEYS, &k->core.server.throttle);
    PC_ASSERT(rc == 0);
    if (config)
        rig_install(&k->rig, config);
    k->core.core.now_ms = RIG_WALL_MS + 1000;
    k->core.core.now_ns = 1000000000;
    fill_revocations(k);
    for (unsigned i = 0; i < TOKENS; i++)
        mint(k, i);
    return k;
}

static void kit_free(struct kit *k)
{
    struct sim_disk *disk = k->rig.disk;
    fake_conn_close(&k->conn);
    pc_limits_free(k->core.server.throttle);
    rig_core_free(&k->core);
    rig_drop(&k->rig);
    rig_free(&k->rig);
    sim_disk_free(disk);
    pc_rcu_thread_unregister();
    free(k);
}

/* ---- inputs ---- */

/* Input i / PIPELINE gets one request more. */
static void add(struct kit *k, unsigned i, const struct pc_buf *request)
{
    unsigned at = i / PIPELINE;
    PC_ASSERT(!request->overflow && k->input_n[at] + request->len <= INPUT_BYTES);
    memcpy(k->input[at] + k->input_n[at], request->p, request->len);
    k->input_n[at] += request->len;
}

static void add_auth(struct kit *k, const char *original)
{
    for (unsigned i = 0; i < TOKENS; i++) {
        uint8_t text[4096];
        struct pc_buf b = pc_buf_of(text, sizeof text);
        pc_buf_fmt(&b,
                   "GET /v1/auth HTTP/1.1\r\nHost: gateway.example\r\n"
                   "Authorization: Bearer %s\r\n%s\r\n",
                   k->tokens[i], original);
        add(k, i, &b);
    }
}

static void add_check(struct kit *k)
{
    for (unsigned i = 0; i < TOKENS; i++) {
        uint8_t text[4096], content[4096];
        struct pc_buf b = pc_buf_of(text, sizeof text), c = pc_buf_of(content, sizeof content);
        pc_buf_fmt(&c,
                   "{\"token\":\"%s\",\"request\":{\"method\":\"GET\",\"path\":\"/health\","
                   "\"ip\":\"192.0.2.%u\"},\"limits\":[{\"policy\":\"tenant\",\"key\":\"t-%u\"},"
                   "{\"policy\":\"upload\",\"key\":\"u-%u\",\"cost\":3}],"
                   "\"flags\":[\"cache.ttl_seconds\",\"maintenance.mode_enabled\"]}",
                   k->tokens[i], i, i, i);
        pc_buf_fmt(&b,
                   "POST /v1/check HTTP/1.1\r\nHost: gateway.example\r\n"
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                   c.len);
        pc_buf_put(&b, c.p, c.len);
        PC_ASSERT(!c.overflow);
        add(k, i, &b);
    }
}

static void add_resp(struct kit *k, const char *const *words, unsigned n)
{
    for (unsigned i = 0; i < TOKENS; i++) {
        uint8_t text[1024];
        struct pc_buf b = pc_buf_of(text, sizeof text);
        pc_buf_fmt(&b, "*%u\r\n", n);
        for (unsigned w = 0; w < n; w++) {
            char word[64];
            bool is_key = w == 1;
            snprintf(word, sizeof word, is_key ? "%s%012u" : "%s", words[w], i);
            pc_buf_fmt(&b, "$%zu\r\n%s\r\n", strlen(word), word);
        }
        add(k, i, &b);
    }
}

/* ---- running ---- */

static unsigned answers_of(const struct kit *k, const char *expected)
{
    unsigned n = 0;
    const uint8_t *p = k->conn.out, *stop = p + k->conn.out_n;
    while ((p = memmem(p, (size_t)(stop - p), expected, strlen(expected)))) {
        p += strlen(expected);
        n++;
    }
    return n;
}

/* One read of the connection, as the loop delivers it; mutations are committed and answered. */
static void deliver(struct kit *k, unsigned input, bool mutates)
{
    struct fake_conn *f = &k->conn;
    begin();
    size_t used = f->protocol.input(&f->conn, k->input[input], k->input_n[input]);
    while (mutates && used < k->input_n[input]) {
        fake_conn_run_writer(f, &k->rig);
        used += f->protocol.input(&f->conn, k->input[input] + used, k->input_n[input] - used);
    }
    if (mutates)
        fake_conn_run_writer(f, &k->rig);
    while (k->core.worker.unseen.first) { /* the round before those that count */
        pc_unseen_turn_end(&k->core.worker);
        used += f->protocol.input(&f->conn, k->input[input] + used, k->input_n[input] - used);
    }
    if (k->core.worker.ahead.n) /* as at the end of a turn */
        pc_resp_answer_ahead(&k->core.worker);
    k->core.worker.names.view = NULL;
    end();
    pc_unseen_turn_end(&k->core.worker);
    PC_ASSERT(used == k->input_n[input] && !f->closing);
}

static unsigned run_inputs(struct kit *k, const char *expected, bool mutates)
{
    unsigned operations = 0;
    for (unsigned round = 0; round <= ROUNDS; round++) {
        if (round == 1)
            CALLGRIND_ZERO_STATS;
        k->core.core.now_ns += 1000000000; /* so that the signature budget never ends */
        for (unsigned i = 0; i < INPUTS; i++) {
            k->conn.out_n = 0;
            deliver(k, i, mutates);
            if (answers_of(k, expected) != PIPELINE) {
                fprintf(stderr, "expected %u times \"%s\", got\n%.*s\n", PIPELINE, expected,
                        (int)k->conn.out_n, (const char *)k->conn.out);
                exit(1);
            }
            operations += round ? PIPELINE : 0;
        }
        pc_rcu_quiescent();
    }
    return operations;
}

static unsigned run_auth(struct kit *k)
{
    fake_conn_open_http(&k->conn, &k->core);
    add_auth(k, "");
    return run_inputs(k, "HTTP/1.1 200 OK\r\n", false);
}

static unsigned run_full(struct kit *k)
{
    fake_conn_open_http(&k->conn, &k->core);
    add_auth(k, "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /orders/4711\r\n");
    return run_inputs(k, "RateLimit: \"each-subject\"", false);
}

static unsigned run_check(struct kit *k)
{
    fake_conn_open_http(&k->conn, &k->core);
    add_check(k);
    return run_inputs(k, "\"allow\":true,", false);
}

static void open_resp(struct kit *k)
{
    static const uint8_t random[40] = {1};
    char token[PC_ADMIN_TOKEN_TEXT_MAX], command[256];
    k->prefix = (struct pc_config_prefix){
        .prefix = "bl:", .issuer = "issuer-0", .value = "1", .form = PC_PREFIX_JTI};
    k->core.settings->config->prefixes = &k->prefix;
    k->core.settings->config->prefix_count = 1;
    pc_admin_tokens_create(&k->core.settings->admins, "gw", PC_ADMIN_GATEWAY, RIG_WALL_MS / 1000,
                           INT64_MAX, random, token);
    fake_conn_open_resp(&k->conn, &k->core);
    snprintf(command, sizeof command, "AUTH %s\r\n", token);
    fake_conn_feed(&k->conn, pc_bytes_str(command));
    PC_ASSERT(answers_of(k, "+OK\r\n") == 1);
}

static unsigned run_exists(struct kit *k)
{
    static const char *const words[] = {"EXISTS", "bl:01900000-0000-7000-8000-"};
    open_resp(k);
    add_resp(k, words, PC_COUNT(words));
    return run_inputs(k, ":0\r\n", false);
}

static unsigned run_set(struct kit *k)
{
    static const char *const words[] = {"SET", "bl:01900000-0000-7000-8000-", "1", "EX", "3600"};
    open_resp(k);
    add_resp(k, words, PC_COUNT(words));
    return run_inputs(k, "+OK\r\n", true);
}

static unsigned run_throttle(struct kit *k)
{
    static const char *const words[] = {"CL.THROTTLE", "limit:", "999", "1000", "1"};
    open_resp(k);
    add_resp(k, words, PC_COUNT(words));
    return run_inputs(k, "*5\r\n:0\r\n", false);
}

/* Changes of tokens never seen before, applied one by one: segments are rebuilt on the way. */
static unsigned run_apply(struct kit *k)
{
    fake_conn_open_http(&k->conn, &k->core);
    for (unsigned i = 0; i < CHANGES; i++) {
        char id[64];
        snprintf(id, sizeof id, "01900000-0000-7000-8000-%012u", i);
        struct pc_change c = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, "issuer-0", id);
        struct pc_room room = {0};
        c.at_ms = RIG_WALL_MS + 1000;
        c.expires_at_ms = RIG_WALL_MS + 3600000;
        pc_room_add(&room, &c);
        begin();
        int rc = pc_writer_reserve(k->rig.w, &room);
        PC_ASSERT(rc == 0);
        pc_writer_apply(k->rig.w, &c, pc_writer_fingerprint(k->rig.w, &c));
        end();
        pc_rcu_quiescent();
    }
    return CHANGES;
}

static const struct {
    const char *name;
    const char *config;
    unsigned (*run)(struct kit *k);
} paths[] = {
    {"http-auth",        NULL,  run_auth    }, /* GET /v1/auth, cached token, every scope */
    {"http-auth-rules",  rules, run_full    }, /* with a route, a scope and a limit */
    {"http-check",       rules, run_check   }, /* POST /v1/check: 2 limits, 2 flags */
    {"resp-exists",      NULL,  run_exists  },
    {"resp-throttle",    NULL,  run_throttle},
    {"resp-set",         NULL,  run_set     }, /* from the bytes to the answer, through the writer */
    {"revocation-apply", NULL,  run_apply   }, /* of an id that was not there */
};

static void run_path(size_t i)
{
    struct kit *k = kit_new(paths[i].config);
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    unsigned operations = paths[i].run(k);
    CALLGRIND_DUMP_STATS_AT(paths[i].name);
    CALLGRIND_STOP_INSTRUMENTATION;
    printf("%s %u\n", paths[i].name, operations);
    kit_free(k);
}

int main(int argc, char **argv)
{
    unsigned ran = 0;
    for (size_t i = 0; i < PC_COUNT(paths); i++) {
        if (argc > 1 && strcmp(argv[1], paths[i].name) != 0)
            continue;
        run_path(i);
        ran++;
    }
    if (ran == 0)
        fprintf(stderr, "perf-budget: there is no \"%s\"\n", argv[1]);
    return ran ? 0 : 2;
}
