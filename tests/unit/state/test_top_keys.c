/* SPDX-License-Identifier: Apache-2.0
 * The sketch of the busiest keys: what it must hold, how wrong its counts may be, that it forgets,
 * and that copies taken while it is written are never torn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "edge/state/top_keys.h"

#define T0 INT64_C(1000000000000)

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static void add(struct pc_top_keys *t, enum pc_top_event event, uint64_t id, int64_t now_ns)
{
    char key[32];
    int n = snprintf(key, sizeof key, "key-%llu", (unsigned long long)id);
    pc_top_keys_add(t, event, id, PC_LIT("login"), pc_bytes_of(key, (size_t)n), now_ns,
                    now_ns / 1000000);
}

static struct pc_top_keys *new_top(void)
{
    struct pc_top_keys *t = NULL;
    assert_int_equal(pc_top_keys_new(&t), 0);
    return t;
}

static void who_is_refused_most_stands_first(void **state)
{
    (void)state;
    struct pc_top_keys *t = new_top();
    struct pc_top_entry e[PC_TOP_KEYS];
    for (uint64_t id = 1; id <= 5; id++)
        for (uint64_t i = 0; i < id * 10; i++)
            add(t, i % 2 ? PC_TOP_NEAR : PC_TOP_REFUSED, id, T0);
    unsigned n = pc_top_entries_merge(e, pc_top_keys_read(t, e));
    assert_int_equal(n, 5);
    assert_int_equal(e[0].count, 50);
    assert_int_equal(e[0].refused, 25);
    assert_int_equal(e[0].near, 25);
    assert_int_equal(e[0].error, 0);
    assert_string_equal(e[0].key, "key-5");
    assert_string_equal(e[0].policy, "login");
    assert_int_equal(e[0].last_ms, T0 / 1000000);
    assert_int_equal(e[4].count, 10);
    pc_top_keys_free(t);
}

/* Among keys that come once, those that come often are kept, and counted no lower than they came
 * and no higher than their error allows. */
static void who_comes_often_is_found_in_a_flood_of_others(void **state)
{
    (void)state;
    enum { HEAVY = 20, EVENTS = 200000 };
    struct pc_top_keys *t = new_top();
    struct pc_top_entry e[PC_TOP_KEYS];
    uint64_t truth[HEAVY + 1] = {0};
    unsigned found = 0;
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint64_t id = rng() % 2 ? 1 + rng() % HEAVY : 1000 + i;
        if (id <= HEAVY)
            truth[id]++;
        add(t, PC_TOP_REFUSED, id, T0);
    }
    unsigned n = pc_top_keys_read(t, e);
    assert_int_equal(n, PC_TOP_KEYS);
    for (unsigned i = 0; i < n; i++) {
        if (e[i].id > HEAVY)
            continue;
        found++;
        assert_true(e[i].count >= truth[e[i].id]);
        assert_true(e[i].count - e[i].error <= truth[e[i].id]);
    }
    assert_int_equal(found, HEAVY);
    pc_top_keys_free(t);
}

static void counts_halve_with_time(void **state)
{
    (void)state;
    struct pc_top_keys *t = new_top();
    struct pc_top_entry e[PC_TOP_KEYS];
    for (int i = 0; i < 100; i++)
        add(t, PC_TOP_REFUSED, 7, T0);
    add(t, PC_TOP_REFUSED, 8, T0 + 2 * PC_TOP_HALF_LIFE_NS);
    assert_int_equal(pc_top_entries_merge(e, pc_top_keys_read(t, e)), 2);
    assert_int_equal(e[0].count, 25);
    assert_int_equal(e[0].refused, 25);
    add(t, PC_TOP_REFUSED, 8, T0 + 1000 * PC_TOP_HALF_LIFE_NS);
    pc_top_entries_merge(e, pc_top_keys_read(t, e));
    assert_int_equal(e[0].id, 8);
    pc_top_keys_free(t);
}

static void sketches_of_several_cores_are_summed(void **state)
{
    (void)state;
    struct pc_top_keys *a = new_top(), *b = new_top();
    struct pc_top_entry e[2 * PC_TOP_KEYS];
    add(a, PC_TOP_REFUSED, 1, T0);
    add(a, PC_TOP_NEAR, 2, T0);
    add(b, PC_TOP_NEAR, 1, T0 + 5000000);
    unsigned n = pc_top_keys_read(a, e);
    n += pc_top_keys_read(b, e + n);
    assert_int_equal(n, 3);
    assert_int_equal(pc_top_entries_merge(e, n), 2);
    assert_int_equal(e[0].id, 1);
    assert_int_equal(e[0].count, 2);
    assert_int_equal(e[0].last_ms, T0 / 1000000 + 5);
    pc_top_keys_free(a);
    pc_top_keys_free(b);
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct pc_top_keys *t = new_top();
    struct pc_top_entry e[PC_TOP_KEYS];
    uint8_t text[500];
    memset(text, 'x', sizeof text);
    pc_top_keys_add(t, PC_TOP_NEAR, 0, pc_bytes_of(text, 500), pc_bytes_of(text, 500), T0, 1);
    assert_int_equal(pc_top_keys_read(t, e), 1);
    assert_int_equal(strlen(e[0].policy), PC_TOP_POLICY_MAX);
    assert_int_equal(strlen(e[0].key), PC_TOP_TEXT_MAX);
    pc_top_keys_free(t);
}

struct reading {
    struct pc_top_keys *top;
    _Atomic bool stop;
    unsigned copies, torn;
};

static void *read_all_the_time(void *arg)
{
    struct reading *r = arg;
    struct pc_top_entry e[PC_TOP_KEYS];
    do {
        unsigned n = pc_top_keys_read(r->top, e);
        for (unsigned i = 0; i < n; i++) {
            char key[32];
            snprintf(key, sizeof key, "key-%llu", (unsigned long long)e[i].id);
            r->torn +=
                strcmp(key, e[i].key) != 0 || e[i].count - e[i].error != e[i].refused + e[i].near;
            r->copies++;
        }
    } while (!atomic_load(&r->stop));
    return NULL;
}

/* I2 */
static void copies_are_never_torn(void **state)
{
    (void)state;
    struct reading r = {.top = new_top()};
    pthread_t reader;
    add(r.top, PC_TOP_NEAR, 1, T0);
    assert_int_equal(pthread_create(&reader, NULL, read_all_the_time, &r), 0);
    for (uint64_t i = 0; i < 100000; i++)
        add(r.top, PC_TOP_REFUSED, 1 + rng() % 400, T0);
    atomic_store(&r.stop, true);
    pthread_join(reader, NULL);
    assert_true(r.copies > 0);
    assert_int_equal(r.torn, 0);
    pc_top_keys_free(r.top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_refused_most_stands_first),
        cmocka_unit_test(who_comes_often_is_found_in_a_flood_of_others),
        cmocka_unit_test(counts_halve_with_time),
        cmocka_unit_test(sketches_of_several_cores_are_summed),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(copies_are_never_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
