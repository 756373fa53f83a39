/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the body of POST /v1/check: a refusal has a code and a text, an answer is JSON that
 * our own reader takes. */
#include <stdlib.h>

#include "base/json.h"
#include "edge/api/check.h"
#include "edge/state/rcu.h"
#include "support/writer_rig.h"

#define ANSWER_TOKENS 256

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
    PC_ASSERT(atexit(tear_down) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pc_ip client = {
        .family = 4, .b = {127, 0, 0, 1}
    };
    static const struct pc_json_limits limits = {PC_JSON_BYTES_DEFAULT, PC_JSON_DEPTH_DEFAULT,
                                                 PC_JSON_MEMBERS_DEFAULT};
    struct pc_json_token tokens[ANSWER_TOKENS];
    uint8_t text[2 * PC_TOKEN_BYTES_MAX + 4096];
    struct pc_buf answer = pc_buf_of(text, sizeof text);
    struct pc_check_refusal refusal = {0};
    struct pc_verdict verdict;
    struct pc_json doc;
    set_up();
    core.core.now_ms = RIG_WALL_MS;
    core.core.now_ns += 1000000000;
    int rc = pc_check(&core.worker, pc_bytes_of(data, size), &client, &answer, &verdict, &refusal);
    if (rc < 0) {
        PC_ASSERT(refusal.code && refusal.code[0] && refusal.text[0]);
    } else {
        rc = pc_json_parse(pc_bytes_of(answer.p, answer.len), tokens, ANSWER_TOKENS, &limits, &doc,
                           NULL);
        PC_ASSERT(rc == 0 && pc_json_type(pc_json_root(&doc)) == PC_JSON_OBJECT);
    }
    pc_rcu_quiescent();
    return 0;
}
