/* SPDX-License-Identifier: Apache-2.0
 * The age oracle of views: flags, IP rules and whole configurations are replaced while readers load
 * a view again and again, as decisions do.
 *
 * A1  A reader that starts after a change was acknowledged sees that change or a newer one.
 * A2  All parts of a view belong together: the flag file and the settings of one reload.
 * A3  What a view refers to is whole as long as it may be read: freed settings are poisoned first.
 *
 * The canary says "acknowledged" before the writer has the job: A1 must catch it. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "support/writer_rig.h"

#define READERS 3u
#define ROUNDS  300u
#define LOOKS   3u /* of each reader between two rounds */
#define WHOLE   UINT64_C(0x77686f6c65)

/* Stands for the compiled configuration; the writer never looks into it. */
struct pc_settings_probe {
    uint64_t magic; /* A3 */
    unsigned reload;
};

struct torture {
    struct rig rig;
    atomic_uint told_flag, told_rule, told_reload; /* A1: the newest acknowledged */
    atomic_uint looks[READERS];
    atomic_bool stop;
    atomic_ulong late, mixed, dead;
    bool canary;
};
static struct torture torture;

static unsigned number_of(const struct pc_flags *flags, const char *key)
{
    const struct pc_flag *f = pc_flags_find(flags, pc_bytes_str(key));
    uint64_t n = 0;
    int rc = f ? pc_bytes_to_u64(f->value, &n) : 0;
    PC_ASSERT(rc == 0);
    return (unsigned)n;
}

/* The newest rule is the one of the largest last octet; every rule denies one address. */
static bool denies(const struct pc_view *v, unsigned round)
{
    struct pc_ip ip = {
        .family = 4, .b = {10, (uint8_t)(round >> 16), (uint8_t)(round >> 8), (uint8_t)round}
    };
    struct pc_ip_match match;
    pc_ip_sets_match(v->ip_sets, PC_IP_GLOBAL, &ip, RIG_WALL_MS, &match);
    return match.deny;
}

static void look(struct torture *t)
{
    unsigned flag = atomic_load(&t->told_flag), rule = atomic_load(&t->told_rule);
    unsigned reload = atomic_load(&t->told_reload);
    const struct pc_view *v = pc_tables_view(t->rig.tables);
    const struct pc_settings_probe *s = (const void *)v->settings;
    unsigned filed = number_of(v->flags, "torture.reload");
    if (number_of(v->flags, "torture.flag") < flag || (rule && !denies(v, rule)) || filed < reload)
        atomic_fetch_add(&t->late, 1); /* A1 */
    if (s->magic != WHOLE)
        atomic_fetch_add(&t->dead, 1); /* A3 */
    if (s->reload != filed)
        atomic_fetch_add(&t->mixed, 1); /* A2 */
}

struct reader {
    struct torture *t;
    unsigned index;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    pc_rcu_thread_register();
    while (!atomic_load(&r->t->stop)) {
        look(r->t);
        pc_rcu_quiescent();
        atomic_fetch_add(&r->t->looks[r->index], 1);
    }
    pc_rcu_thread_unregister();
    return NULL;
}

/* Until every reader has looked that often since. */
static void let_look(struct torture *t)
{
    for (unsigned i = 0; i < READERS; i++) {
        unsigned from = atomic_load(&t->looks[i]);
        while (atomic_load(&t->looks[i]) - from < LOOKS) {
            pc_rcu_quiescent();
            sched_yield();
        }
    }
}

/* ---- the changes ---- */

static void tell(struct torture *t, atomic_uint *told, unsigned round, bool done)
{
    if (done != t->canary)
        atomic_store(told, round);
}

static void change(struct torture *t, atomic_uint *told, unsigned round, enum pc_kind kind,
                   const char *id, const char *value)
{
    struct pc_change c = {.kind = kind,
                          .op = PC_OP_SET,
                          .id = pc_bytes_str(id),
                          .value = pc_bytes_str(value),
                          .actor = PC_LIT("token:torture"),
                          .ephemeral = kind == PC_KIND_FLAG && round % 3 == 0};
    tell(t, told, round, false);
    int rc = rig_run(&t->rig, rig_job(&c, 1), NULL);
    PC_ASSERT(rc == 0);
    tell(t, told, round, true);
}

static void free_probe(struct pc_settings *settings)
{
    struct pc_settings_probe *s = (void *)settings;
    s->magic = 0;
    free(s);
}

static int install(struct pc_writer *w, struct pc_job *job)
{
    return pc_writer_install(w, job->task_arg);
}

static void reload(struct torture *t, unsigned round)
{
    char text[64];
    struct pc_settings_probe *s = malloc(sizeof *s);
    struct pc_install in = {.free_settings = free_probe};
    PC_ASSERT(s != NULL);
    *s = (struct pc_settings_probe){WHOLE, round};
    in.settings = (void *)s;
    if (round % 2)
        in.trust = rig_trust(&t->rig);
    snprintf(text, sizeof text, "{\"torture.reload\": %u}", round);
    int rc = pc_flag_layer_parse_file_text(pc_bytes_str(text), &in.flag_file, NULL);
    PC_ASSERT(rc == 0);
    tell(t, &t->told_reload, round, false);
    rc = rig_run(&t->rig, rig_task(install, &in), NULL);
    PC_ASSERT(rc == 0);
    tell(t, &t->told_reload, round, true);
}

static void run_round(struct torture *t, unsigned round)
{
    char id[64], value[16];
    snprintf(value, sizeof value, "%u", round);
    change(t, &t->told_flag, round, PC_KIND_FLAG, "torture.flag", value);
    let_look(t);
    snprintf(id, sizeof id, "global 10.%u.%u.%u/32", round >> 16 & 255, round >> 8 & 255,
             round & 255);
    change(t, &t->told_rule, round, PC_KIND_IP_RULE, id, "deny");
    let_look(t);
    reload(t, round);
    let_look(t);
}

static void run(bool canary, unsigned rounds)
{
    struct torture *t = &torture;
    pthread_t threads[READERS];
    struct reader readers[READERS];
    memset(t, 0, sizeof *t);
    t->canary = canary;
    rig_init(&t->rig, NULL);
    rig_start(&t->rig);
    reload(t, 0);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){t, i};
        int rc = pthread_create(&threads[i], NULL, read_on, &readers[i]);
        assert_int_equal(rc, 0);
    }
    for (unsigned round = 1; round <= rounds; round++)
        run_round(t, round);
    atomic_store(&t->stop, true);
    pc_rcu_offline();
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    pc_rcu_online();
    rig_close(&t->rig);
    rig_free(&t->rig);
}

static void a_view_is_never_older_than_what_was_acknowledged_nor_mixed(void **state)
{
    (void)state;
    run(false, ROUNDS);
    for (unsigned i = 0; i < READERS; i++)
        assert_true(atomic_load(&torture.looks[i]) >= 3 * LOOKS * ROUNDS);
    assert_int_equal(atomic_load(&torture.late), 0);
    assert_int_equal(atomic_load(&torture.mixed), 0);
    assert_int_equal(atomic_load(&torture.dead), 0);
}

static void a_writer_that_acknowledges_too_early_is_caught(void **state)
{
    (void)state;
    run(true, 40);
    assert_true(atomic_load(&torture.late) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_never_older_than_what_was_acknowledged_nor_mixed),
        cmocka_unit_test(a_writer_that_acknowledges_too_early_is_caught),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
