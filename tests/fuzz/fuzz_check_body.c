/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the body of POST /v1/check and /v1/explain: a refusal has a code and a text, an
 * answer is JSON that our own reader takes. */
#include <stdlib.h>

#include "base/json.h"
#include "edge/api/check.h"
#include "edge/state/rcu.h"
#include "support/writer_rig.h"

#define ANSWER_TOKENS 4096

/* Something of everything a body can name. */
static const char config[] = "routes:\n"
                             "  - name: orders\n"
                             "    path: /orders/{id}\n"
                             "    methods: [GET, POST]\n"
                             "    hosts: [\"*.example\"]\n"
                             "    scopes: [read]\n"
                             "    limits: [per-key, general]\n"
                             "    flags: [ui.show_beta_features, cache.ttl_seconds]\n"
                             "  - name: open\n"
                             "    path: /open/*\n"
                             "    authentication: none\n"
                             "    limits: [per-key]\n"
                             "    ip_sets: [office]\n"
                             "  - name: watched\n"
                             "    path: /watched\n"
                             "    shadow: true\n"
                             "limit_policies:\n"
                             "  - name: per-key\n"
                             "    rate: 100/s\n"
                             "    key: [\"header:x-api-key\", route]\n"
                             "ip_sets:\n"
                             "  - name: office\n"
                             "    default: deny\n"
                             "    allow: [192.0.2.0/24]\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once, freed when the process ends. */
static struct rig rig;
static struct rig_core core;

static void tear_down(void)
{
    struct sim_disk *disk = rig.disk;
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    pc_rcu_thread_unregister();
}

static void set_up(void)
{
    if (rig.w)
        return;
    pc_rcu_thread_register();
    rig_init(&rig, sim_disk_new(1));
    PC_ASSERT(rig_open(&rig) == 0);
    rig_core_init(&core, &rig);
    rig_install(&rig, config);
    PC_ASSERT(atexit(tear_down) == 0);
}

static void ask(const uint8_t *data, size_t size, bool explain)
{
    static const struct pc_json_limits limits = {PC_JSON_BYTES_DEFAULT, PC_JSON_DEPTH_DEFAULT,
                                                 PC_JSON_MEMBERS_DEFAULT};
    static struct pc_json_token tokens[ANSWER_TOKENS];
    struct pc_check_asker asker = {
        .client = {.family = 4, .b = {127, 0, 0, 1}},
        .explain = explain,
    };
    struct pc_check_result result = {.refusal = {0}};
    struct pc_json doc;
    int rc = pc_check(&core.worker, pc_bytes_of(data, size), &asker, &result);
    if (rc == -EINVAL) {
        PC_ASSERT(result.refusal.code && result.refusal.code[0] && result.refusal.text[0]);
    } else if (rc == 0) {
        rc = pc_json_parse(result.answer, tokens, ANSWER_TOKENS, &limits, &doc, NULL);
        PC_ASSERT(rc == 0 && pc_json_type(pc_json_root(&doc)) == PC_JSON_OBJECT);
    } else {
        PC_ASSERT(rc == PC_E_TOO_LARGE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    core.core.now_ms = RIG_WALL_MS;
    core.core.now_ns += 1000000000;
    ask(data, size, true);
    ask(data, size, false);
    pc_rcu_quiescent();
    return 0;
}
