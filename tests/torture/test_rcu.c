/* SPDX-License-Identifier: Apache-2.0
 * The age oracle of the RCU accessors. One writer replaces an element all the time; its age tells
 * whether a grace period has ended since it was unpublished, and then its contents are poisoned.
 * A reader must never see an element that has aged, however long it holds it within its turn. The
 * canary frees without waiting, and the oracle has to notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "edge/state/rcu.h"

enum {
    READERS = 3,
    ELEMENTS = 64,
    WORDS = 16,
    REPLACEMENTS = 20000,
    CANARY_LIMIT = 2000000, /* replacements until the canary must have been caught */
};
#define POISON UINT64_MAX

struct element {
    struct pc_rcu_head head;
    uint64_t words[WORDS]; /* all the same while published */
    _Atomic bool free;
};

static struct {
    struct element *current; /* pc_rcu_publish, pc_rcu_load */
    struct element elements[ELEMENTS];
    _Atomic bool stop;
    _Atomic uint64_t violations, turns;
    bool canary;
} w;

/* The canary races by design, so then the accesses have to be atomic for ThreadSanitizer; without
 * it they are plain, so that ThreadSanitizer checks the annotations. */
static uint64_t read_word(const uint64_t *p)
{
    return w.canary ? __atomic_load_n(p, __ATOMIC_RELAXED) : *p;
}

static void write_word(uint64_t *p, uint64_t value)
{
    if (w.canary)
        __atomic_store_n(p, value, __ATOMIC_RELAXED);
    else
        *p = value;
}

static void grow_old(struct pc_rcu_head *head)
{
    struct element *e = PC_CONTAINER_OF(head, struct element, head);
    for (int i = 0; i < WORDS; i++)
        write_word(&e->words[i], POISON);
    atomic_store_explicit(&e->free, true, memory_order_release);
}

static struct element *find_free(void)
{
    for (int i = 0; i < ELEMENTS; i++) {
        struct element *e = &w.elements[i];
        if (atomic_load_explicit(&e->free, memory_order_acquire)) {
            atomic_store_explicit(&e->free, false, memory_order_relaxed);
            return e;
        }
    }
    return NULL;
}

static void replace(uint64_t value)
{
    struct element *e, *old = w.current;
    while (!(e = find_free())) { /* all wait for grace periods */
        pc_rcu_offline();
        sched_yield();
        pc_rcu_online();
    }
    for (int i = 0; i < WORDS; i++)
        write_word(&e->words[i], value);
    pc_rcu_publish(&w.current, e);
    if (w.canary)
        grow_old(&old->head);
    else
        pc_rcu_retire(&old->head, grow_old);
    pc_rcu_quiescent();
}

/* The oracle: within a turn an element keeps its value, and that is no poison. */
static void look(unsigned turn)
{
    const struct element *e = pc_rcu_load(&w.current);
    uint64_t value = read_word(&e->words[0]);
    for (int i = 0; i < WORDS; i++) {
        uint64_t word = read_word(&e->words[i]);
        if (word != value || word == POISON) {
            atomic_fetch_add(&w.violations, 1);
            return;
        }
        if ((turn + (unsigned)i) % 32 == 0)
            sched_yield();
    }
}

static void *reader(void *arg)
{
    pc_rcu_thread_register();
    for (unsigned turn = (unsigned)(uintptr_t)arg; !atomic_load(&w.stop); turn++) {
        look(turn);
        if (turn % 64 == 0) { /* as if asleep */
            pc_rcu_offline();
            sched_yield();
            pc_rcu_online();
        } else {
            pc_rcu_quiescent();
        }
        atomic_fetch_add_explicit(&w.turns, 1, memory_order_relaxed);
    }
    pc_rcu_thread_unregister();
    return NULL;
}

static void run(bool canary, uint64_t limit)
{
    pthread_t threads[READERS];
    w.canary = canary;
    atomic_store(&w.stop, false);
    atomic_store(&w.violations, 0);
    atomic_store(&w.turns, 0);
    for (int i = 0; i < ELEMENTS; i++)
        atomic_store(&w.elements[i].free, i > 0);
    for (int i = 0; i < WORDS; i++)
        write_word(&w.elements[0].words[i], 0);
    pc_rcu_publish(&w.current, &w.elements[0]);
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, (void *)(i + 1)), 0);
    for (uint64_t i = 1; i <= limit && atomic_load(&w.violations) == 0; i++)
        replace(i);
    while (atomic_load(&w.turns) == 0)
        sched_yield();
    atomic_store(&w.stop, true);
    pc_rcu_offline();
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    pc_rcu_online();
    pc_rcu_barrier();
}

static void no_reader_sees_what_a_grace_period_has_freed(void **state)
{
    (void)state;
    run(false, REPLACEMENTS);
    assert_int_equal(atomic_load(&w.violations), 0);
}

static void freeing_without_a_grace_period_is_noticed(void **state)
{
    (void)state;
    run(true, CANARY_LIMIT);
    assert_true(atomic_load(&w.violations) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_reader_sees_what_a_grace_period_has_freed),
        cmocka_unit_test(freeing_without_a_grace_period_is_noticed),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_thread_unregister();
    return failed;
}
