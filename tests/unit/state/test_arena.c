/* SPDX-License-Identifier: Apache-2.0
 * The block arena: lowest block first, no block twice, huge pages given back, the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "edge/state/arena.h"

static struct pc_arena *new_arena(size_t bytes)
{
    struct pc_arena *a = NULL;
    assert_int_equal(pc_arena_new(bytes, &a), 0);
    assert_int_equal((uintptr_t)pc_arena_base(a) % PC_ARENA_HUGE_BYTES, 0);
    return a;
}

static struct pc_arena_stats stats_of(struct pc_arena *a)
{
    struct pc_arena_stats s;
    pc_arena_read_stats(a, &s);
    return s;
}

static void the_lowest_free_block_is_taken_first(void **state)
{
    (void)state;
    struct pc_arena *a = new_arena(8 * PC_ARENA_HUGE_BYTES);
    for (uint32_t i = 0; i < 300; i++) {
        assert_int_equal(pc_arena_take(a), pc_arena_number(i));
        assert_int_equal(pc_arena_ordinal(pc_arena_number(i)), i);
    }
    pc_arena_give(a, pc_arena_number(200));
    pc_arena_give(a, 3);
    assert_int_equal(pc_arena_take(a), 3);
    assert_int_equal(pc_arena_take(a), pc_arena_number(200));
    assert_int_equal(pc_arena_take(a), pc_arena_number(300));
    assert_int_equal(stats_of(a).used_bytes, 301 * PC_ARENA_BLOCK_BYTES);
    pc_arena_free(a);
}

static void blocks_can_be_written_to_their_last_byte(void **state)
{
    (void)state;
    struct pc_arena *a = new_arena(4 * PC_ARENA_HUGE_BYTES);
    for (uint32_t i = 0; i < 4 * PC_ARENA_HUGE_BLOCKS; i++) {
        int32_t block = pc_arena_take(a);
        assert_true(block >= 0);
        uint8_t *p = pc_arena_block(pc_arena_base(a), (uint32_t)block);
        assert_int_equal((uintptr_t)p % PC_CACHE_LINE, 0);
        memset(p, 0x5a, PC_ARENA_BLOCK_BYTES);
    }
    pc_arena_free(a);
}

static void at_the_limit_there_is_no_block_and_a_given_one_serves_again(void **state)
{
    (void)state;
    struct pc_arena *a = new_arena(1); /* rounded up to one huge page */
    for (uint32_t i = 0; i < PC_ARENA_HUGE_BLOCKS; i++)
        assert_true(pc_arena_take(a) >= 0);
    assert_int_equal(pc_arena_take(a), -ENOMEM);
    pc_arena_give(a, 7);
    assert_int_equal(pc_arena_take(a), 7);
    assert_int_equal(pc_arena_take(a), -ENOMEM);
    pc_arena_free(a);
}

static void wholly_free_huge_pages_go_back_but_for_a_reserve(void **state)
{
    (void)state;
    const uint32_t n = 6 * PC_ARENA_HUGE_BLOCKS;
    struct pc_arena *a = new_arena(64 * PC_ARENA_HUGE_BYTES);
    for (uint32_t i = 0; i < n; i++)
        memset(pc_arena_block(pc_arena_base(a), (uint32_t)pc_arena_take(a)), 1, 64);
    assert_int_equal(stats_of(a).resident_bytes, 6 * PC_ARENA_HUGE_BYTES);
    for (uint32_t i = n; i-- > 0;)
        pc_arena_give(a, pc_arena_number(i));
    assert_int_equal(stats_of(a).resident_bytes, 6 * PC_ARENA_HUGE_BYTES); /* for what comes next */
    pc_arena_trim(a);
    assert_int_equal(stats_of(a).resident_bytes, PC_ARENA_KEEP_HUGE * PC_ARENA_HUGE_BYTES);
    assert_int_equal(stats_of(a).used_bytes, 0);
    assert_int_equal(pc_arena_take(a), 0);
    pc_arena_free(a);
}

static void random_taking_and_giving_never_hands_out_a_block_twice(void **state)
{
    (void)state;
    enum { BLOCKS = 3 * PC_ARENA_HUGE_BLOCKS };
    struct pc_arena *a = new_arena(3 * PC_ARENA_HUGE_BYTES);
    bool taken[BLOCKS] = {false};
    uint32_t seed = 1, used = 0;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t block = (seed >> 8) % BLOCKS;
        if (taken[block] && (seed & 3)) {
            pc_arena_give(a, pc_arena_number(block));
            taken[block] = false;
            used--;
        } else {
            int32_t got = pc_arena_take(a);
            assert_int_equal(got < 0, used == BLOCKS);
            if (got < 0)
                continue;
            got = (int32_t)pc_arena_ordinal((uint32_t)got);
            assert_false(taken[got]);
            for (int32_t lower = 0; lower < got; lower++)
                assert_true(taken[lower]);
            taken[got] = true;
            used++;
        }
        assert_int_equal(stats_of(a).used_bytes, used * PC_ARENA_BLOCK_BYTES);
    }
    pc_arena_free(a);
}

static void a_size_of_nothing_or_too_much_is_refused(void **state)
{
    (void)state;
    struct pc_arena *a = NULL;
    assert_int_equal(pc_arena_new(0, &a), -EINVAL);
    assert_int_equal(pc_arena_new(PC_ARENA_BYTES_MAX + 1, &a), -EINVAL);
    assert_null(a);
    pc_arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_free_block_is_taken_first),
        cmocka_unit_test(blocks_can_be_written_to_their_last_byte),
        cmocka_unit_test(at_the_limit_there_is_no_block_and_a_given_one_serves_again),
        cmocka_unit_test(wholly_free_huge_pages_go_back_but_for_a_reserve),
        cmocka_unit_test(random_taking_and_giving_never_hands_out_a_block_twice),
        cmocka_unit_test(a_size_of_nothing_or_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
