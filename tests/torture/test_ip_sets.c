/* SPDX-License-Identifier: Apache-2.0
 * IP sets are compiled and swapped by RCU while readers match and list, as cores do. Generation g
 * of the runtime rules denies exactly the networks whose third octet is congruent to g, and every
 * reason says g, so that a reader can tell how old what it sees is.
 *
 * A1  A look that begins after generation g was published sees g or a newer one.
 * A2  All matches and the whole list of one look are of one generation.
 * A3  What a snapshot returns stays whole until the reader's quiescent state (sanitizers watch).
 *
 * The canary says "published" before it is: A1 must catch it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"
#include "edge/state/ip_sets.h"
#include "edge/state/rcu.h"
#include "edge/state/registers.h"

#define READERS     3u
#define GENERATIONS 400u
#define LOOKS       3u /* of each reader between two generations */
#define NETWORKS    64u
#define CLASSES     4u

struct snapshot {
    struct pc_rcu_head head;
    struct pc_ip_sets *sets;
};

struct torture {
    struct pc_ip_configured *configured;
    struct snapshot *now;  /* pc_rcu_load, pc_rcu_publish */
    atomic_uint published; /* the newest generation told of */
    atomic_uint looks[READERS];
    atomic_bool stop;
    atomic_ulong late, mixed;
    bool canary;
};

/* Network i is 10.7.i.0/24; those of the generation's class are denied, by name. */
static struct pc_registers *rules_of(unsigned generation)
{
    struct pc_register rules[NETWORKS];
    char keys[NETWORKS][32], reason[16];
    struct pc_registers *r;
    size_t n = 0;
    snprintf(reason, sizeof reason, "%u", generation);
    for (unsigned i = generation % CLASSES; i < NETWORKS; i += CLASSES) {
        snprintf(keys[i], sizeof keys[i], "global 10.7.%u.0/24", i);
        rules[n++] = (struct pc_register){.key = pc_bytes_str(keys[i]),
                                          .value = PC_LIT("deny"),
                                          .reason = pc_bytes_str(reason),
                                          .actor = pc_bytes_str(reason),
                                          .hlc = generation,
                                          .expires_at_ms = INT64_MAX};
    }
    int rc = pc_registers_merge(NULL, rules, n, 0, SIZE_MAX, &r);
    PC_ASSERT(rc == 0);
    return r;
}

static struct snapshot *snapshot_of(const struct torture *t, unsigned generation)
{
    struct snapshot *s = malloc(sizeof *s);
    struct pc_registers *r = rules_of(generation);
    PC_ASSERT(s);
    int rc = pc_ip_sets_compile(t->configured, r, 0, &s->sets, NULL);
    PC_ASSERT(rc == 0);
    pc_registers_free(r);
    return s;
}

static void free_snapshot(struct pc_rcu_head *head)
{
    struct snapshot *s = PC_CONTAINER_OF(head, struct snapshot, head);
    pc_ip_sets_free(s->sets);
    free(s);
}

/* The generation a rule is of: its reason, and its author. */
static unsigned generation_of(struct pc_bytes reason)
{
    uint64_t g = 0;
    int rc = pc_bytes_to_u64(reason, &g);
    PC_ASSERT(rc == 0);
    return (unsigned)g;
}

/* Whether every network is decided as generation g says. */
static bool all_of(const struct pc_ip_sets *s, unsigned g)
{
    for (unsigned i = 0; i < NETWORKS; i++) {
        struct pc_ip ip = {
            .family = 4, .b = {10, 7, (uint8_t)i, 1}
        };
        struct pc_ip_match m;
        struct pc_ip_rule rule;
        bool denied = i % CLASSES == g % CLASSES;
        pc_ip_sets_match(s, PC_IP_GLOBAL, &ip, 0, &m);
        if (m.deny != denied || !pc_ip_match_rule(&m, &rule) ||
            (denied && generation_of(rule.reason) != g))
            return false;
    }
    return true;
}

static bool list_is_of(const struct pc_ip_sets *s, unsigned g)
{
    struct pc_ip_place place = {.only = PC_IP_FROM_RUNTIME};
    struct pc_ip_listed l;
    unsigned n = 0;
    for (; pc_ip_sets_next(s, &place, &l); n++)
        if (generation_of(l.actor) != g || generation_of(l.rule.reason) != g)
            return false;
    return n == NETWORKS / CLASSES;
}

static void look(struct torture *t)
{
    unsigned told = atomic_load(&t->published);
    const struct snapshot *s = pc_rcu_load(&t->now);
    struct pc_ip_place place = {.only = PC_IP_FROM_RUNTIME};
    struct pc_ip_listed first;
    bool any = pc_ip_sets_next(s->sets, &place, &first);
    PC_ASSERT(any);
    unsigned g = generation_of(first.actor);
    if (g < told)
        atomic_fetch_add(&t->late, 1); /* A1 */
    if (!all_of(s->sets, g) || !list_is_of(s->sets, g))
        atomic_fetch_add(&t->mixed, 1); /* A2 */
    if (generation_of(first.actor) != g)
        atomic_fetch_add(&t->mixed, 1); /* A3 */
}

struct reader {
    struct torture *t;
    unsigned index;
};

static void *read_loop(void *arg)
{
    struct reader *r = arg;
    pc_rcu_thread_register();
    while (!atomic_load(&r->t->stop)) {
        look(r->t);
        atomic_fetch_add(&r->t->looks[r->index], 1);
        pc_rcu_quiescent();
    }
    pc_rcu_thread_unregister();
    return NULL;
}

/* Until each reader has looked a few times more; this thread holds nothing meanwhile. */
static void let_them_look(struct torture *t)
{
    for (unsigned i = 0; i < READERS; i++) {
        unsigned upto = atomic_load(&t->looks[i]) + LOOKS;
        while (atomic_load(&t->looks[i]) < upto)
            sched_yield();
    }
}

static void swap(struct torture *t, unsigned generation)
{
    struct snapshot *fresh = snapshot_of(t, generation), *old = t->now;
    if (t->canary) {
        atomic_store(&t->published, generation);
        let_them_look(t);
    }
    pc_rcu_publish(&t->now, fresh);
    atomic_store(&t->published, generation);
    pc_rcu_retire(&old->head, free_snapshot);
    pc_rcu_quiescent();
}

static void run(struct torture *t, unsigned generations)
{
    static const char *const allow[] = {"10.7.0.0/16"};
    const struct pc_ip_set_source source = {.name = "global", .allow = allow, .allow_n = 1};
    pthread_t threads[READERS];
    struct reader readers[READERS];
    pc_rcu_thread_register();
    assert_int_equal(pc_ip_configured_new(&source, 1, &t->configured, NULL), 0);
    t->now = snapshot_of(t, 1);
    atomic_store(&t->published, 1);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){t, i};
        assert_int_equal(pthread_create(&threads[i], NULL, read_loop, &readers[i]), 0);
    }
    for (unsigned g = 2; g < generations; g++) {
        swap(t, g);
        if (g % 4 == 0)
            let_them_look(t);
    }
    atomic_store(&t->stop, true);
    pc_rcu_offline(); /* waiting must delay no grace period */
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    pc_rcu_online();
    free_snapshot(&t->now->head);
    pc_rcu_barrier();
    pc_ip_configured_free(t->configured);
    pc_rcu_thread_unregister();
}

static void swaps_are_never_late_and_never_mixed(void **state)
{
    struct torture t = {0};
    (void)state;
    run(&t, GENERATIONS);
    assert_int_equal(atomic_load(&t.late), 0);
    assert_int_equal(atomic_load(&t.mixed), 0);
}

static void a_writer_that_speaks_too_early_is_caught(void **state)
{
    struct torture t = {.canary = true};
    (void)state;
    run(&t, 10);
    assert_true(atomic_load(&t.late) > 0);
    assert_int_equal(atomic_load(&t.mixed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(swaps_are_never_late_and_never_mixed),
        cmocka_unit_test(a_writer_that_speaks_too_early_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
