/* SPDX-License-Identifier: Apache-2.0
 * Random bytes, UUIDv7 and the small generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/random.h"

static void random_bytes_fill_every_length_and_differ(void **state)
{
    (void)state;
    uint8_t a[300] = {0}, b[300] = {0};
    pc_random_bytes(a, sizeof a);
    pc_random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_true(pc_random_u64() != pc_random_u64());
    pc_random_bytes(a, 0);
}

static void uuid7_carries_time_version_and_variant(void **state)
{
    (void)state;
    uint8_t random[16];
    char text[PC_UUID_CHARS + 1] = "";
    /* The example of RFC 9562 appendix A.6. */
    memcpy(random, "\xff\xff\xff\xff\xff\xff\xfc\xc3\xd8\xc4\xdc\x0c\x0c\x07\x39\x8f", 16);
    pc_uuid7(0x017f22e279b0, random, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void uuid7_sorts_by_time(void **state)
{
    (void)state;
    uint8_t low[16] = {0}, high[16];
    char a[PC_UUID_CHARS], b[PC_UUID_CHARS];
    memset(high, 0xff, sizeof high);
    pc_uuid7(1000, high, a);
    pc_uuid7(1001, low, b);
    assert_true(memcmp(a, b, sizeof a) < 0);
}

static void the_generator_depends_on_its_seed_and_never_sticks_at_zero(void **state)
{
    (void)state;
    uint8_t seed[32] = {0};
    struct pc_prng g, h;
    pc_prng_seed(&g, seed);
    seed[31] = 1;
    pc_prng_seed(&h, seed);
    int same = 0, zero = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = pc_prng_u64(&g);
        same += x == pc_prng_u64(&h);
        zero += x == 0;
    }
    assert_true(same <= 1 && zero <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_fill_every_length_and_differ),
        cmocka_unit_test(uuid7_carries_time_version_and_variant),
        cmocka_unit_test(uuid7_sorts_by_time),
        cmocka_unit_test(the_generator_depends_on_its_seed_and_never_sticks_at_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
