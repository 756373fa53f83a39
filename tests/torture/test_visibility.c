/* SPDX-License-Identifier: Apache-2.0
 * The visibility oracle: a decision that starts after a revocation was acknowledged is refused, on
 * every core, for every kind, while segments are rebuilt and split, trust snapshots are swapped and
 * snapshots are written. Readers decide as cores do, through pc_decide() and a cache of their own.
 *
 * V1  A probe's epoch is odd from after the acknowledgement of its revocation until before its
 *     un-revocation is pushed. A reader that saw the same odd epoch before and after a decision
 *     and was allowed has seen a violation.
 *
 * The canary announces the acknowledgement before the writer has the job: it must be caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/state/rcu.h"
#include "support/writer_rig.h"

#define READERS 3u
#define SINGLES 200u /* probes revoked once, kinds in turn */
#define LOOKS   4u   /* decisions each reader makes on a probe before the next mutation */
#define NOISE   8u   /* other mutations per round: so many that segments split and are rebuilt */

struct probe {
    enum pc_kind kind;
    const char *issuer;
    char id[PC_THUMBPRINT_CHARS + 1];
    char token[RIG_TOKEN_MAX];
    atomic_uint epoch; /* V1 */
};

enum { BROAD_KEY, BROAD_ISSUER, BROAD_ALL, BROAD_ANY_SUBJECT, BROADS };

struct torture {
    struct rig rig;
    struct probe single[SINGLES], broad[BROADS];
    struct probe *_Atomic hot; /* the one mutated now */
    atomic_uint hot_looks[READERS];
    atomic_bool stop;
    atomic_ulong violations, decisions, refusals;
    bool canary;
};
static struct torture torture;

/* ---- readers ---- */

static void look(struct torture *t, struct rig_core *core, struct probe *p)
{
    unsigned before = atomic_load(&p->epoch);
    enum pc_token_error error = rig_decide(core, &t->rig, p->token);
    unsigned after = atomic_load(&p->epoch);
    atomic_fetch_add(&t->decisions, 1);
    if (error)
        atomic_fetch_add(&t->refusals, 1);
    else if (before % 2 && before == after)
        atomic_fetch_add(&t->violations, 1); /* V1 */
}

struct reader {
    struct torture *t;
    unsigned index;
};

static void *read_on(void *arg)
{
    static _Thread_local struct rig_core core;
    const struct reader *me = arg;
    struct torture *t = me->t;
    uint64_t random = me->index + 1;
    pc_rcu_thread_register();
    rig_core_init(&core, &t->rig);
    while (!atomic_load(&t->stop)) {
        struct probe *hot = atomic_load(&t->hot);
        if (hot) {
            look(t, &core, hot);
            atomic_fetch_add(&t->hot_looks[me->index], 1);
        }
        if (sim_below(&random, 4) == 0)
            look(t, &core, &t->single[sim_below(&random, SINGLES)]);
        if (sim_below(&random, 4) == 0)
            look(t, &core, &t->broad[sim_below(&random, BROADS)]);
        pc_rcu_quiescent();
        if (sim_below(&random, 8) == 0)
            sched_yield();
    }
    rig_core_free(&core);
    pc_rcu_thread_unregister();
    return NULL;
}

/* ---- the mutator ---- */

static void wait_for_looks(struct torture *t)
{
    pc_rcu_offline();
    for (unsigned i = 0; i < READERS; i++) {
        unsigned target = atomic_load(&t->hot_looks[i]) + LOOKS;
        while ((int)(atomic_load(&t->hot_looks[i]) - target) < 0)
            sched_yield();
    }
    pc_rcu_online();
}

static void make_noise(struct torture *t, uint64_t *random)
{
    char id[24];
    for (unsigned i = 0; i < NOISE; i++) {
        snprintf(id, sizeof id, "noise-%u", (unsigned)sim_below(random, 4000));
        struct pc_change c =
            rig_change(sim_below(random, 2) ? PC_KIND_TOKEN : PC_KIND_CLIENT,
                       sim_below(random, 4) ? PC_OP_REVOKE : PC_OP_CLEAR, rig_issuer(0), id);
        int rc = rig_push(&t->rig, 1 + i % (RIG_PRODUCERS - 1), rig_job(&c, 1));
        PC_ASSERT(rc == 0);
    }
}

static void mutate(struct torture *t, struct probe *p, enum pc_op op, size_t others)
{
    struct pc_change c = rig_change(p->kind, op, p->issuer, p->id);
    int rc = rig_push(&t->rig, 0, rig_job(&c, 1));
    PC_ASSERT(rc == 0);
    rig_wait(&t->rig, others + 1);
    for (size_t i = 0; i < t->rig.answers_n; i++)
        PC_ASSERT(t->rig.answers[i]->result == 0);
    rig_forget(&t->rig);
}

static void revoke(struct torture *t, struct probe *p, uint64_t *random)
{
    atomic_store(&t->hot, p);
    wait_for_looks(t); /* cached by every reader */
    make_noise(t, random);
    if (t->canary)
        atomic_fetch_add(&p->epoch, 1);
    mutate(t, p, PC_OP_REVOKE, NOISE);
    if (!t->canary)
        atomic_fetch_add(&p->epoch, 1);
    wait_for_looks(t);
}

static void clear(struct torture *t, struct probe *p)
{
    atomic_fetch_add(&p->epoch, 1);
    mutate(t, p, PC_OP_CLEAR, 0);
}

static int begin_snapshot(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    int rc = pc_writer_begin_snapshot(w);
    return rc == -EBUSY ? 0 : rc;
}

static void run_rounds(struct torture *t, unsigned rounds)
{
    uint64_t random = 42;
    for (unsigned i = 0; i < rounds; i++) {
        revoke(t, &t->single[i], &random);
        if (i % 5 == 4) {
            struct probe *broad = &t->broad[i / 5 % BROADS];
            revoke(t, broad, &random);
            clear(t, broad);
        }
        if (i % 16 == 8) {
            int rc = rig_run(&t->rig, rig_task(begin_snapshot, NULL), NULL);
            PC_ASSERT(rc == 0);
        }
        if (i % 32 == 16) { /* another trust generation, and back */
            t->rig.settings[1].skew_ms ^= 1;
            rig_reload(&t->rig);
        }
    }
}

/* ---- setting up ---- */

static void make_singles(struct torture *t)
{
    static const struct {
        enum pc_kind kind;
        const char *prefix;
    } kinds[] = {
        {PC_KIND_TOKEN,   "jti"},
        {PC_KIND_SESSION, "sid"},
        {PC_KIND_FAMILY,  "fam"},
        {PC_KIND_SUBJECT, "sub"},
        {PC_KIND_CLIENT,  "cli"},
    };
    for (unsigned i = 0; i < SINGLES; i++) {
        struct probe *p = &t->single[i];
        char sub[16], jti[16], more[96];
        p->kind = kinds[i % PC_COUNT(kinds)].kind;
        p->issuer = rig_issuer(0);
        snprintf(p->id, sizeof p->id, "%s-%u", kinds[i % PC_COUNT(kinds)].prefix, i);
        snprintf(sub, sizeof sub, "sub-%u", i);
        snprintf(jti, sizeof jti, "jti-%u", i);
        snprintf(more, sizeof more,
                 ",\"sid\":\"sid-%u\",\"fam\":\"fam-%u\",\"client_id\":\"cli-%u\"", i, i, i);
        rig_token(&t->rig, 0, sub, jti, RIG_WALL_MS / 1000, more, p->token);
    }
}

static void make_broads(struct torture *t)
{
    static const struct {
        enum pc_kind kind;
        const char *issuer, *id;
    } kinds[BROADS] = {
        [BROAD_KEY] = {PC_KIND_KEY,     "issuer-1", NULL     },
        [BROAD_ISSUER] = {PC_KIND_ISSUER,  "issuer-1", ""       },
        [BROAD_ALL] = {PC_KIND_ALL,     "",         ""       },
        [BROAD_ANY_SUBJECT] = {PC_KIND_SUBJECT, "*",        "anybody"},
    };
    for (unsigned i = 0; i < BROADS; i++) {
        struct probe *p = &t->broad[i];
        p->kind = kinds[i].kind;
        p->issuer = kinds[i].issuer;
        if (kinds[i].id)
            snprintf(p->id, sizeof p->id, "%s", kinds[i].id);
        else
            rig_thumbprint(t->rig.keys[1], p->id);
        rig_token(&t->rig, 1, "anybody", "jti", RIG_WALL_MS / 1000, "", p->token);
    }
}

static void run(bool canary, unsigned rounds)
{
    struct torture *t = &torture;
    pthread_t threads[READERS];
    struct reader readers[READERS];
    memset(t, 0, sizeof *t);
    t->canary = canary;
    rig_init(&t->rig, NULL);
    t->rig.segment_entries = 16;
    t->rig.options.segment_bytes = 256 << 10;
    rig_start(&t->rig);
    make_singles(t);
    make_broads(t);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){t, i};
        int rc = pthread_create(&threads[i], NULL, read_on, &readers[i]);
        assert_int_equal(rc, 0);
    }
    run_rounds(t, rounds);
    atomic_store(&t->stop, true);
    pc_rcu_offline();
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    pc_rcu_online();
}

static void finish(void)
{
    rig_close(&torture.rig);
    rig_free(&torture.rig);
}

static int read_stats(struct pc_writer *w, struct pc_job *job)
{
    pc_revocations_read_stats(w->tables->ids, job->task_arg);
    return 0;
}

static void what_was_acknowledged_is_refused_everywhere(void **state)
{
    (void)state;
    struct torture *t = &torture;
    struct pc_revocations_stats stats;
    run(false, SINGLES);
    assert_int_equal(0, rig_run(&t->rig, rig_task(read_stats, &stats), NULL));
    print_message("%lu decisions, %lu refused, %lu rebuilds, %lu splits, %lu segments\n",
                  atomic_load(&t->decisions), atomic_load(&t->refusals),
                  (unsigned long)stats.rebuilds, (unsigned long)stats.splits,
                  (unsigned long)stats.segments);
    assert_true(stats.rebuilds + stats.splits > 10);
    assert_true(t->rig.w->snapshot_position > 0);
    assert_true(atomic_load(&t->refusals) > (unsigned long)SINGLES * READERS);
    assert_int_equal(atomic_load(&t->violations), 0);
    finish();
}

static void a_writer_that_acknowledges_too_early_is_caught(void **state)
{
    (void)state;
    run(true, 40);
    assert_true(atomic_load(&torture.violations) > 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_refused_everywhere),
        cmocka_unit_test(a_writer_that_acknowledges_too_early_is_caught),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
