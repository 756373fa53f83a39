/* SPDX-License-Identifier: Apache-2.0
 * The token hash against the formula written down in token_hash.c, computed the slow way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/siphash.h"
#include "edge/state/token_hash.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static struct pc_token_hash_key *random_key(void)
{
    static struct pc_token_hash_key key;
    uint64_t words[sizeof(key) / 8];
    _Static_assert(sizeof(words) == sizeof(key), "a key is whole words");
    for (size_t i = 0; i < PC_COUNT(words); i++)
        words[i] = rng();
    pc_token_hash_key_init(&key, words);
    return &key;
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rng();
}

/* Schoolbook: padded copy, one multiplication at a time, both passes apart. */
static struct pc_token_digest slow_hash(const struct pc_token_hash_key *key, const uint8_t *p,
                                        size_t n)
{
    static uint64_t words[PC_TOKEN_HASH_NH_WORDS];
    memset(words, 0, sizeof(words));
    memcpy(words, p, n < 16 ? n : n / 16 * 16);
    size_t pairs = (n + 15) / 16;
    if (n > 16 && n % 16)
        memcpy(&words[2 * (pairs - 1)], p + n - 16, 16);
    words[2 * pairs++] = n;
    struct pc_token_digest d;
    for (size_t pass = 0; pass < 2; pass++) {
        unsigned __int128 sum = 0;
        for (size_t i = 0; i < pairs; i++) {
            uint64_t a = words[2 * i] + key->nh[2 * i + 2 * pass];
            uint64_t b = words[2 * i + 1] + key->nh[2 * i + 1 + 2 * pass];
            sum += (unsigned __int128)a * b;
        }
        d.nh[2 * pass] = (uint64_t)sum;
        d.nh[2 * pass + 1] = (uint64_t)(sum >> 64);
    }
    d.index = pc_siphash13(key->index, d.nh, sizeof(d.nh));
    return d;
}

static bool same(struct pc_token_digest a, struct pc_token_digest b)
{
    return pc_token_digest_eq(a.nh, b.nh) && a.index == b.index;
}

static void every_length_agrees_with_the_formula(void **state)
{
    (void)state;
    const struct pc_token_hash_key *key = random_key();
    uint8_t *p = malloc(PC_TOKEN_HASH_MAX_BYTES);
    fill(p, PC_TOKEN_HASH_MAX_BYTES);
    for (size_t n = 1; n <= PC_TOKEN_HASH_MAX_BYTES; n += n < 300 ? 1 : 61)
        assert_true(same(pc_token_hash(key, pc_bytes_of(p, n)), slow_hash(key, p, n)));
    assert_true(same(pc_token_hash(key, pc_bytes_of(p, PC_TOKEN_HASH_MAX_BYTES)),
                     slow_hash(key, p, PC_TOKEN_HASH_MAX_BYTES)));
    free(p);
}

static void extreme_words_carry_correctly(void **state)
{
    (void)state;
    uint64_t ones[sizeof(struct pc_token_hash_key) / 8];
    uint8_t token[160];
    memset(ones, 0xff, sizeof(ones));
    static struct pc_token_hash_key key;
    pc_token_hash_key_init(&key, ones);
    for (int byte = 0; byte < 256; byte++) {
        memset(token, byte, sizeof(token));
        assert_true(same(pc_token_hash(&key, pc_bytes_of(token, sizeof(token))),
                         slow_hash(&key, token, sizeof(token))));
    }
}

static void nothing_behind_the_token_is_read_or_matters(void **state)
{
    (void)state;
    const struct pc_token_hash_key *key = random_key();
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    uint8_t token[200];
    fill(token, sizeof(token));
    for (size_t n = 1; n <= sizeof(token); n++) {
        uint8_t *at_end = map + page - n;
        memcpy(at_end, token, n);
        assert_true(same(pc_token_hash(key, pc_bytes_of(at_end, n)),
                         pc_token_hash(key, pc_bytes_of(token, n))));
    }
    munmap(map, 2 * page);
}

static void every_bit_changes_both_passes(void **state)
{
    (void)state;
    const struct pc_token_hash_key *key = random_key();
    uint8_t token[717];
    fill(token, sizeof(token));
    const struct pc_token_digest d = pc_token_hash(key, pc_bytes_of(token, sizeof(token)));
    for (size_t bit = 0; bit < 8 * sizeof(token); bit++) {
        token[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct pc_token_digest e = pc_token_hash(key, pc_bytes_of(token, sizeof(token)));
        token[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(d.nh[0] == e.nh[0] && d.nh[1] == e.nh[1]);
        assert_false(d.nh[2] == e.nh[2] && d.nh[3] == e.nh[3]);
        assert_int_not_equal(d.index, e.index);
    }
}

static void trailing_zeros_and_lengths_are_told_apart(void **state)
{
    (void)state;
    const struct pc_token_hash_key *key = random_key();
    static const uint8_t zeros[256];
    struct pc_token_digest seen[PC_COUNT(zeros)];
    for (size_t n = 1; n < PC_COUNT(zeros); n++) {
        seen[n] = pc_token_hash(key, pc_bytes_of(zeros, n));
        for (size_t i = 1; i < n; i++)
            assert_false(pc_token_digest_eq(seen[i].nh, seen[n].nh));
    }
}

static void another_key_gives_another_digest(void **state)
{
    (void)state;
    const struct pc_bytes token = PC_LIT("header.payload.signature");
    struct pc_token_digest a = pc_token_hash(random_key(), token);
    struct pc_token_digest b = pc_token_hash(random_key(), token);
    assert_false(pc_token_digest_eq(a.nh, b.nh));
    assert_int_not_equal(a.index, b.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_agrees_with_the_formula),
        cmocka_unit_test(extreme_words_carry_correctly),
        cmocka_unit_test(nothing_behind_the_token_is_read_or_matters),
        cmocka_unit_test(every_bit_changes_both_passes),
        cmocka_unit_test(trailing_zeros_and_lengths_are_told_apart),
        cmocka_unit_test(another_key_gives_another_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
