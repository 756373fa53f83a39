/* SPDX-License-Identifier: Apache-2.0
 * Threads look flags up while another compiles and publishes snapshots by RCU, as the writer does.
 * Every flag of a snapshot holds the number of the snapshot, so that a mix shows.
 *
 * The age oracle: a reader that has seen `published` = n before it loads gets n or newer, and
 * nothing newer than what was begun when it looks afterwards. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/flags.h"
#include "edge/state/rcu.h"

#define READERS 3
#define SWAPS   400
#define KEYS    24

struct shared {
    struct pc_flags *now; /* by RCU */
    _Atomic uint64_t begun, published;
    _Atomic uint64_t looks;
    atomic_bool done;
};

static struct pc_flags *make(uint64_t n)
{
    char text[2048];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_flag_layer *layer = NULL;
    struct pc_flags *flags = NULL;
    for (unsigned i = 0; i < KEYS; i++)
        pc_buf_fmt(&b, "%c\"k.%u\":%llu", i ? ',' : '{', i, (unsigned long long)n);
    pc_buf_char(&b, '}');
    PC_ASSERT(pc_flag_layer_parse_file_text(pc_bytes_of(b.p, b.len), &layer, NULL) == 0);
    PC_ASSERT(pc_flags_compile(layer, NULL, NULL, &flags, NULL) == 0);
    pc_flag_layer_free(layer);
    return flags;
}

static void retire(struct pc_rcu_head *head)
{
    pc_flags_free(PC_CONTAINER_OF(head, struct pc_flags, head));
}

static uint64_t number_in(const struct pc_flags *f, unsigned i)
{
    char key[16];
    uint64_t n = 0;
    struct pc_buf b = pc_buf_of(key, sizeof key);
    pc_buf_fmt(&b, "k.%u", i);
    const struct pc_flag *flag = pc_flags_find(f, pc_bytes_of(b.p, b.len));
    PC_ASSERT(flag && pc_bytes_to_u64(flag->value, &n) == 0);
    return n;
}

static void *read_loop(void *arg)
{
    struct shared *s = arg;
    pc_rcu_thread_register();
    for (unsigned i = 0; !atomic_load(&s->done); i++) {
        uint64_t at_least = atomic_load(&s->published);
        const struct pc_flags *f = pc_rcu_load(&s->now);
        uint64_t n = number_in(f, i % KEYS);
        PC_ASSERT(n >= at_least && n <= atomic_load(&s->begun));
        for (unsigned k = 0; k < KEYS; k++)
            PC_ASSERT(number_in(f, k) == n);
        PC_ASSERT(!pc_flags_find(f, PC_LIT("k.x")));
        atomic_fetch_add_explicit(&s->looks, 1, memory_order_relaxed);
        pc_rcu_quiescent();
    }
    pc_rcu_thread_unregister();
    return NULL;
}

static void publish(struct shared *s, uint64_t n)
{
    struct pc_flags *fresh = make(n), *old = s->now;
    atomic_store(&s->begun, n);
    pc_rcu_publish(&s->now, fresh);
    atomic_store(&s->published, n); /* from here on an administrator was answered */
    pc_rcu_retire(&old->head, retire);
    pc_rcu_quiescent();
}

static void a_snapshot_is_whole_and_never_older_than_what_was_answered(void **state)
{
    struct shared s = {.now = make(0)};
    pthread_t readers[READERS];
    (void)state;
    pc_rcu_thread_register();
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_loop, &s), 0);
    for (uint64_t n = 1; n <= SWAPS || atomic_load(&s.looks) < SWAPS; n++)
        publish(&s, n);
    atomic_store(&s.done, true);
    pc_rcu_offline();
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    pc_rcu_online();
    pc_rcu_barrier();
    pc_flags_free(s.now);
    pc_rcu_thread_unregister();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_whole_and_never_older_than_what_was_answered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
