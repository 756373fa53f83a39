/* SPDX-License-Identifier: Apache-2.0
 * The audit's thread beside the writer, its background and threads that ask how it is: revokes and
 * un-revokes as fast as they go, snapshots, small segments and small files, over several starts. In
 * the end every record of the journal that is left has its line, and the chain is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "edge/state/rcu.h"
#include "support/audit_kit.h"
#include "support/writer_rig.h"

#define STARTS    3
#define MUTATIONS 1500u

static struct rig rig;
static atomic_bool asking;

/* A2: what is synced never passes what was written, nor goes back. */
static void *ask(void *arg)
{
    uint64_t last = 0;
    (void)arg;
    while (atomic_load(&asking)) {
        struct pc_writer_health h;
        pc_writer_health(rig.w, &h);
        if (!h.audit)
            continue;
        PC_ASSERT(h.audited.synced >= last);
        PC_ASSERT(!h.audited.failing);
        last = h.audited.synced;
        sched_yield();
    }
    return NULL;
}

static int begin_snapshot(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    int rc = pc_writer_begin_snapshot(w);
    return rc == -EBUSY ? 0 : rc;
}

static void mutate(unsigned round)
{
    char id[32];
    for (unsigned i = 0; i < MUTATIONS; i++) {
        snprintf(id, sizeof id, "%u-%u", round, i);
        assert_int_equal(0, rig_commit(&rig, PC_KIND_TOKEN, PC_OP_REVOKE, rig_issuer(i % 2), id));
        rig_pass(&rig, 7);
        if (i % 100 == 99)
            assert_int_equal(0, rig_run(&rig, rig_task(begin_snapshot, NULL), NULL));
    }
}

static void verify(void)
{
    static struct audit_kit kit;
    assert_int_equal(0, rig_open(&rig));
    rig_settle(&rig);
    if (audit_kit_verify(&kit, pc_file_posix(), rig.options.data_dir, rig.w->journal))
        fail_msg("%s", kit.first_problem);
    assert_int_equal(0, kit.result.gaps);
    assert_true(kit.files > 3);
    rig_close(&rig);
}

static void it_keeps_up_beside_the_writer(void **state)
{
    (void)state;
    rig_init(&rig, NULL);
    rig.options.audit = true;
    rig.options.audit_file_bytes = 64u << 10;
    rig.options.segment_bytes = 16384;
    rig.options.outbox_max_bytes = 64u << 20;
    for (unsigned round = 0; round < STARTS; round++) {
        pthread_t thread;
        assert_int_equal(0, rig_start(&rig));
        atomic_store(&asking, true);
        assert_int_equal(0, pthread_create(&thread, NULL, ask, NULL));
        mutate(round);
        atomic_store(&asking, false);
        pc_rcu_offline();
        pthread_join(thread, NULL);
        pc_rcu_online();
        rig_close(&rig);
    }
    verify();
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_keeps_up_beside_the_writer)};
    pc_rcu_thread_register();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_thread_unregister();
    return rc;
}
