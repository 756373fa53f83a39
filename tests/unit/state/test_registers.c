/* SPDX-License-Identifier: Apache-2.0
 * Registers against a naive model: any order, any grouping and any repetition of the same writes
 * gives the same array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"
#include "edge/state/registers.h"

#define WRITES 12
#define KEYS   3

static const char *const keys[KEYS] = {"a", "ab", "b"};

static struct pc_register write_of(struct pc_prng *random, unsigned i)
{
    static const char *const values[] = {"1", "22", "333"};
    return (struct pc_register){
        .key = pc_bytes_str(keys[pc_prng_u64(random) % KEYS]),
        .value = pc_bytes_str(values[pc_prng_u64(random) % 3]),
        .actor = PC_LIT("token:ops"),
        .hlc = 100 + pc_prng_u64(random) % 6,
        .node = i, /* so that no two are the same write */
        .at_ms = 1000,
        .expires_at_ms = INT64_MAX,
        .deleted = pc_prng_u64(random) % 4 == 0,
        .ephemeral = pc_prng_u64(random) % 3 == 0,
    };
}

static bool newer(const struct pc_register *a, const struct pc_register *b)
{
    return a->hlc != b->hlc ? a->hlc > b->hlc : a->node > b->node;
}

/* The newest write to a key, from the list of all. */
static const struct pc_register *model(const struct pc_register *all, const char *key)
{
    const struct pc_register *best = NULL;
    for (unsigned i = 0; i < WRITES; i++)
        if (pc_bytes_eq_str(all[i].key, key) && (!best || newer(&all[i], best)))
            best = &all[i];
    return best;
}

static void assert_same(const struct pc_register *a, const struct pc_register *b)
{
    assert_true(pc_bytes_eq(a->key, b->key) && pc_bytes_eq(a->value, b->value) &&
                pc_bytes_eq(a->actor, b->actor) && pc_bytes_eq(a->reason, b->reason));
    assert_true(a->hlc == b->hlc && a->node == b->node && a->deleted == b->deleted &&
                a->ephemeral == b->ephemeral);
}

static struct pc_registers *merged(struct pc_registers *old, const struct pc_register *c, size_t n)
{
    struct pc_registers *fresh;
    assert_int_equal(pc_registers_merge(old, c, n, 0, SIZE_MAX, &fresh), 0);
    pc_registers_free(old);
    return fresh;
}

static void check(const struct pc_registers *r, const struct pc_register *all)
{
    size_t at = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        const struct pc_register *wanted = model(all, keys[k]);
        const struct pc_register *found = pc_registers_find(r, pc_bytes_str(keys[k]));
        assert_int_equal(found != NULL, wanted != NULL);
        if (wanted)
            assert_same(found, wanted);
        if (wanted && !wanted->deleted)
            assert_same(pc_registers_next(r, &at), wanted);
    }
    assert_null(pc_registers_next(r, &at));
}

static void shuffle(struct pc_prng *random, struct pc_register *all)
{
    for (unsigned i = WRITES - 1; i > 0; i--) {
        unsigned k = (unsigned)(pc_prng_u64(random) % (i + 1));
        struct pc_register t = all[i];
        all[i] = all[k];
        all[k] = t;
    }
}

static void any_order_and_grouping_gives_the_newest_write_of_each_key(void **state)
{
    (void)state;
    struct pc_prng random;
    pc_prng_seed(&random, (const uint8_t *)"any order, any grouping, any tie");
    for (unsigned round = 0; round < 2000; round++) {
        struct pc_register all[WRITES];
        struct pc_registers *r = NULL;
        for (unsigned i = 0; i < WRITES; i++)
            all[i] = write_of(&random, i);
        for (unsigned pass = 0; pass < 2; pass++) { /* the second repeats everything */
            shuffle(&random, all);
            for (size_t at = 0, n; at < WRITES; at += n) {
                n = 1 + pc_prng_u64(&random) % (WRITES - at);
                r = merged(r, all + at, n);
            }
        }
        check(r, all);
        pc_registers_free(r);
    }
}

static void a_restart_without_ephemeral_writes_brings_the_durable_back(void **state)
{
    (void)state;
    struct pc_register durable = {
        .key = PC_LIT("k"), .value = PC_LIT("d"), .hlc = 1, .expires_at_ms = INT64_MAX};
    struct pc_register passing = {.key = PC_LIT("k"),
                                  .value = PC_LIT("e"),
                                  .hlc = 2,
                                  .expires_at_ms = INT64_MAX,
                                  .ephemeral = true};
    struct pc_registers *r = merged(merged(NULL, &durable, 1), &passing, 1);
    assert_int_equal(r->count, 2);
    assert_true(pc_bytes_eq_str(pc_registers_find(r, PC_LIT("k"))->value, "e"));
    assert_true(!r->at[0].ephemeral && pc_bytes_eq_str(r->at[0].value, "d"));
    durable.hlc = 3;
    durable.deleted = true;
    r = merged(r, &durable, 1); /* takes both away */
    assert_int_equal(r->count, 1);
    assert_true(pc_registers_find(r, PC_LIT("k"))->deleted);
    pc_registers_free(r);
}

static void what_is_forgotten_still_hides_what_it_removed(void **state)
{
    (void)state;
    struct pc_register changes[] = {
        {.key = PC_LIT("k"), .hlc = 2, .at_ms = 10,       .expires_at_ms = INT64_MAX, .deleted = true},
        {.key = PC_LIT("k"),                  .hlc = 1,         .at_ms = 99, .expires_at_ms = INT64_MAX,        .ephemeral = true},
        {.key = PC_LIT("l"), .hlc = 1,         .at_ms = 99,         .expires_at_ms = 10                   },
    };
    struct pc_registers *r;
    assert_int_equal(pc_registers_merge(NULL, changes, 3, 50, SIZE_MAX, &r), 0);
    assert_int_equal(r->count, 0);
    pc_registers_free(r);
}

static void more_than_the_limit_are_refused_and_the_old_ones_stay(void **state)
{
    (void)state;
    struct pc_register a = {.key = PC_LIT("a"), .expires_at_ms = INT64_MAX};
    struct pc_register b = {.key = PC_LIT("b"), .expires_at_ms = INT64_MAX};
    struct pc_registers *r = merged(NULL, &a, 1), *more = NULL;
    assert_int_equal(pc_registers_merge(r, &b, 1, 0, 1, &more), PC_E_FULL);
    assert_null(more);
    assert_int_equal(r->count, 1);
    pc_registers_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_and_grouping_gives_the_newest_write_of_each_key),
        cmocka_unit_test(a_restart_without_ephemeral_writes_brings_the_durable_back),
        cmocka_unit_test(what_is_forgotten_still_hides_what_it_removed),
        cmocka_unit_test(more_than_the_limit_are_refused_and_the_old_ones_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
