/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the body of POST /flags/{key}, sent by an administrator over a connection in memory:
 * either it is refused with 400 or 413, or it became one job whose Change the codec takes and
 * whose value is a flag's. The first byte chooses a flag of some type. The job is not committed. */
#include <stdio.h>
#include <stdlib.h>

#include "edge/state/rcu.h"
#include "support/fake_conn.h"

#define BODY_MAX (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once, freed when the process ends. */
static struct rig rig;
static struct rig_core core;
static struct fake_conn conn;
static char credential[PC_ADMIN_TOKEN_TEXT_MAX];

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
    static const uint8_t random[40] = {1};
    if (rig.w)
        return;
    pc_rcu_thread_register();
    rig_init(&rig, sim_disk_new(1));
    PC_ASSERT(rig_open(&rig) == 0);
    rig_core_init(&core, &rig);
    PC_ASSERT(atexit(tear_down) == 0);
    int rc = pc_admin_tokens_create(&core.settings->admins, "root", PC_ADMIN_ADMIN, 1, INT64_MAX,
                                    random, credential);
    PC_ASSERT(rc == 0);
}

static void check_change(const struct pc_change *c)
{
    static uint8_t bytes[PC_CHANGE_ENCODED_MAX];
    struct pc_json_token tokens[PC_FLAG_VALUE_TOKENS];
    struct pc_buf b = pc_buf_of(bytes, sizeof bytes);
    struct pc_change again;
    struct pc_json doc;
    pc_change_encode(c, &b);
    PC_ASSERT(!b.overflow && pc_change_decode(pc_bytes_of(b.p, b.len), &again) == 0);
    PC_ASSERT(again.kind == PC_KIND_FLAG && again.op == PC_OP_SET);
    PC_ASSERT(pc_bytes_eq(again.value, c->value) && again.ephemeral == c->ephemeral);
    PC_ASSERT(c->value.n <= PC_FLAG_VALUE_MAX && c->reason.n <= PC_REASON_MAX);
    PC_ASSERT(pc_json_parse(c->value, tokens, PC_FLAG_VALUE_TOKENS, NULL, &doc, NULL) == 0);
}

static unsigned take_jobs(void)
{
    unsigned n = 0;
    for (struct pc_job *job; (job = pc_spsc_pop(rig.w->queues[0])); n++) {
        PC_ASSERT(job->count == 1);
        check_change(&job->items[0].change);
        pc_job_free(job);
    }
    core.worker.jobs_under_way = 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"made.up", "auth.enable_2fa", "cache.ttl_seconds"};
    char head[512];
    if (size == 0 || size > BODY_MAX)
        return 0;
    set_up();
    core.core.now_ms = RIG_WALL_MS;
    core.core.now_ns += 1000000000;
    fake_conn_open_http(&conn, &core);
    snprintf(head, sizeof head,
             "POST /flags/%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n"
             "Content-Length: %zu\r\n\r\n",
             keys[data[0] % PC_COUNT(keys)], credential, size - 1);
    fake_conn_feed(&conn, pc_bytes_str(head));
    fake_conn_feed(&conn, pc_bytes_of(data + 1, size - 1));
    unsigned jobs = take_jobs(), status = fake_conn_status(&conn);
    PC_ASSERT(jobs == 1 ? status == 0 : jobs == 0 && (status == 400 || status == 413));
    fake_conn_close(&conn);
    pc_rcu_quiescent();
    return 0;
}
