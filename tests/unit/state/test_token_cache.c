/* SPDX-License-Identifier: Apache-2.0
 * The verified-token cache. Digests are made up here: the cache must be right for any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <signal.h>
#include <stdio.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "edge/state/token_cache.h"

#define NOW 1800000000000

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static struct pc_token_digest digest(uint64_t id)
{
    return (struct pc_token_digest){
        {mix(id), mix(id + 1), id, ~id},
        mix(id ^ 0x9e3779b97f4a7c15)
    };
}

static struct pc_token_cache *cache_of(uint32_t entries, size_t memory_bytes, uint32_t failures)
{
    struct pc_token_cache_options options = {
        .entries = entries, .failures = failures, .memory_bytes = memory_bytes};
    struct pc_token_cache *c = NULL;
    assert_int_equal(pc_token_cache_create(&options, &c), 0);
    return c;
}

static uint8_t blob_bytes[PC_TOKEN_CACHE_BLOB_MAX_BYTES + 1];

/* A token whose every field follows from id and version, so that any mix-up shows. */
static struct pc_cached_token token_of(uint64_t id, uint64_t version, uint64_t generation,
                                       uint32_t blob_size)
{
    struct pc_cached_token t = {
        .trust_generation = generation,
        .exp_ms = NOW + 600000,
        .nbf_ms = PC_TOKEN_TIME_MISSING,
        .iat_ms = (int64_t)version,
        .fp = {id, id + version, 0, id * 3, 0},
        .blob = blob_bytes,
        .blob_bytes = blob_size,
        .issuer = (uint32_t)id,
        .key = (uint32_t)version,
    };
    for (uint32_t i = 0; i < blob_size; i++)
        blob_bytes[i] = (uint8_t)(id * 7 + version + i);
    return t;
}

static void assert_token(const struct pc_cached_token *t, uint64_t id, uint64_t version)
{
    assert_int_equal(t->iat_ms, version);
    assert_int_equal(t->fp[PC_SCOPE_TOKEN], id);
    assert_int_equal(t->fp[PC_SCOPE_SUBJECT], id * 3);
    assert_int_equal(t->issuer, (uint32_t)id);
    assert_int_equal(t->nbf_ms, PC_TOKEN_TIME_MISSING);
    for (uint32_t i = 0; i < t->blob_bytes; i++)
        assert_int_equal(t->blob[i], (uint8_t)(id * 7 + version + i));
}

static struct pc_cached_token *put(struct pc_token_cache *c, uint64_t id, uint64_t version,
                                   uint64_t generation, uint32_t blob_size)
{
    struct pc_token_digest d = digest(id);
    struct pc_cached_token t = token_of(id, version, generation, blob_size);
    return pc_token_cache_insert(c, &d, &t, NOW);
}

static struct pc_cached_token *get(struct pc_token_cache *c, uint64_t id, uint64_t generation)
{
    struct pc_token_digest d = digest(id);
    return pc_token_cache_find(c, &d, generation);
}

static void what_was_inserted_is_found(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(0, 0, 0);
    assert_null(get(c, 1, 5));
    struct pc_cached_token *t = put(c, 1, 2, 5, 333);
    assert_ptr_equal(get(c, 1, 5), t);
    assert_ptr_not_equal(t->blob, blob_bytes);
    assert_int_equal(t->blob_bytes, 333);
    assert_token(t, 1, 2);
    assert_null(get(c, 2, 5));
    struct pc_token_cache_stats s = pc_token_cache_get_stats(c);
    assert_int_equal(s.hits, 1);
    assert_int_equal(s.misses, 2);
    assert_int_equal(s.entries, 1);
    pc_token_cache_destroy(c);
}

static void another_trust_generation_is_a_miss_and_is_replaced(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    put(c, 1, 1, 5, 100);
    assert_null(get(c, 1, 6));
    assert_null(get(c, 1, 4));
    put(c, 1, 2, 6, 10);
    assert_null(get(c, 1, 5));
    assert_token(get(c, 1, 6), 1, 2);
    struct pc_token_cache_stats s = pc_token_cache_get_stats(c);
    assert_int_equal(s.entries, 1);
    assert_int_equal(s.replaced, 1);
    assert_int_equal(s.stale, 3);
    pc_token_cache_destroy(c);
}

static void any_difference_in_the_digest_is_a_miss(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    put(c, 9, 1, 1, 8);
    for (int bit = 0; bit < 256; bit++) {
        struct pc_token_digest d = digest(9);
        d.nh[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_null(pc_token_cache_find(c, &d, 1));
    }
    assert_non_null(get(c, 9, 1));
    pc_token_cache_destroy(c);
}

static void fingerprints_under_any_issuer_are_filled_in_later(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    assert_int_equal(put(c, 1, 1, 1, 8)->fp_any_ready, 0);
    const uint64_t any[PC_SCOPE_COUNT] = {1, 2, 3, 4, 5};
    pc_cached_token_set_any(get(c, 1, 1), any);
    assert_int_equal(get(c, 1, 1)->fp_any_ready, 1);
    assert_memory_equal(get(c, 1, 1)->fp_any, any, sizeof(any));
    pc_token_cache_destroy(c);
}

static void a_blob_above_its_limit_is_not_kept(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    assert_non_null(put(c, 1, 1, 1, PC_TOKEN_CACHE_BLOB_MAX_BYTES));
    assert_null(put(c, 2, 1, 1, PC_TOKEN_CACHE_BLOB_MAX_BYTES + 1));
    assert_null(get(c, 2, 1));
    assert_token(get(c, 1, 1), 1, 1);
    pc_token_cache_destroy(c);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct pc_token_cache *c = NULL;
    struct pc_token_cache_options o = {.entries = PC_TOKEN_CACHE_ENTRIES_MAX + 1};
    assert_int_equal(pc_token_cache_create(&o, &c), -EINVAL);
    o = (struct pc_token_cache_options){.failures = PC_TOKEN_CACHE_ENTRIES_MAX + 1};
    assert_int_equal(pc_token_cache_create(&o, &c), -EINVAL);
    o = (struct pc_token_cache_options){.memory_bytes = (size_t)1 << 40};
    assert_int_equal(pc_token_cache_create(&o, &c), -EINVAL);
    assert_null(c);
}

/* The map a fuzzing loop compares with: what was last put under each id. */
enum { MODEL_IDS = 512 };
struct model {
    uint64_t version, generation;
};

static void model_step(struct pc_token_cache *c, struct model *model, uint64_t generation)
{
    uint64_t id = rng() % MODEL_IDS;
    if (rng() % 3 == 0) {
        uint32_t size = (uint32_t)(rng() % 8 ? rng() % 700 : rng() % PC_TOKEN_CACHE_BLOB_MAX_BYTES);
        model[id] = (struct model){model[id].version + 1, generation};
        assert_token(put(c, id, model[id].version, generation, size), id, model[id].version);
    }
    const struct pc_cached_token *t = get(c, id, generation);
    if (!t)
        return; /* evicted, which is always allowed */
    assert_int_equal(model[id].generation, generation);
    assert_token(t, id, model[id].version);
}

static void random_use_never_returns_anything_but_the_latest(void **state)
{
    (void)state;
    /* Small rings wrap often; small indexes overflow their sets; the last fits all. */
    const struct {
        uint32_t entries;
        size_t bytes;
    } shapes[] = {
        {4,    1      },
        {64,   1      },
        {1000, 20000  },
        {100,  200000 },
        {16,   200000 },
        {4096, 4 << 20}
    };
    for (size_t i = 0; i < PC_COUNT(shapes); i++) {
        struct pc_token_cache *c = cache_of(shapes[i].entries, shapes[i].bytes, 16);
        struct model model[MODEL_IDS] = {
            {0, 0}
        };
        for (uint64_t step = 0; step < 60000; step++)
            model_step(c, model, 1 + step / 20000);
        struct pc_token_cache_stats s = pc_token_cache_get_stats(c);
        assert_true(s.entries <= shapes[i].entries);
        assert_true(s.bytes_used <= s.bytes_total);
        assert_true(s.hits > 0);
        pc_token_cache_destroy(c);
    }
}

static void a_cache_large_enough_keeps_nearly_everything(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct pc_token_cache *c = cache_of(N, (size_t)N * 512, 16);
    for (uint64_t id = 0; id < N; id++)
        put(c, id, 1, 1, 250);
    int kept = 0;
    for (uint64_t id = 0; id < N; id++)
        kept += get(c, id, 1) != NULL;
    assert_in_range(kept, N * 98 / 100, N);
    pc_token_cache_destroy(c);
}

/* The usual way: find, and insert what was not there. */
static bool use(struct pc_token_cache *c, uint64_t id)
{
    if (get(c, id, 1))
        return true;
    put(c, id, 1, 1, 300);
    return false;
}

static void tokens_in_use_outlive_a_scan_of_others(void **state)
{
    (void)state;
    enum { HOT = 500, N = 2000, SCAN = 20 * N };
    struct pc_token_cache *c = cache_of(N, 0, 16);
    int hits = 0;
    for (uint64_t i = 0; i < SCAN; i++) {
        use(c, HOT + i);
        hits += use(c, i % HOT);
    }
    assert_in_range(hits, SCAN * 97 / 100, SCAN);
    assert_true(pc_token_cache_get_stats(c).rescued > HOT);
    pc_token_cache_destroy(c);
}

static void the_expired_go_before_the_good(void **state)
{
    (void)state;
    /* Eight to a set and one set: the ninth must choose. */
    struct pc_token_cache *c = cache_of(16, 0, 4);
    struct pc_token_digest d[9];
    for (uint64_t i = 0; i < PC_COUNT(d); i++) {
        d[i] = digest(i);
        d[i].index = i << 48; /* all in set 0, different tags */
        struct pc_cached_token t = token_of(i, 1, 1, 50);
        if (i == 5)
            t.exp_ms = NOW - 1;
        assert_non_null(pc_token_cache_insert(c, &d[i], &t, NOW));
    }
    for (uint64_t i = 0; i < PC_COUNT(d); i++)
        assert_int_equal(pc_token_cache_find(c, &d[i], 1) != NULL, i != 5);
    struct pc_token_cache_stats s = pc_token_cache_get_stats(c);
    assert_int_equal(s.evicted_dead, 1);
    assert_int_equal(s.evicted_live, 0);
    pc_token_cache_destroy(c);
}

static void a_full_set_spares_what_was_used(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 4);
    struct pc_token_digest d[20];
    for (uint64_t i = 0; i < PC_COUNT(d); i++) {
        d[i] = digest(i);
        d[i].index = i << 48;
        struct pc_cached_token t = token_of(i, 1, 1, 50);
        assert_non_null(pc_token_cache_insert(c, &d[i], &t, NOW));
        assert_non_null(pc_token_cache_find(c, &d[0], 1));
    }
    assert_int_equal(pc_token_cache_get_stats(c).entries, 8);
    pc_token_cache_destroy(c);
}

static void equal_tags_in_a_set_are_told_apart(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 4);
    struct pc_token_digest d[8];
    for (uint64_t i = 0; i < PC_COUNT(d); i++) {
        d[i] = digest(i);
        d[i].index = 0;
        struct pc_cached_token t = token_of(i, 1, 1, 50);
        pc_token_cache_insert(c, &d[i], &t, NOW);
    }
    for (uint64_t i = 0; i < PC_COUNT(d); i++) {
        pc_token_cache_prefetch(c, &d[i]);
        pc_token_cache_prefetch_entry(c, &d[i]);
        assert_token(pc_token_cache_find(c, &d[i], 1), i, 1);
    }
    pc_token_cache_destroy(c);
}

static void a_failure_is_remembered_until_its_time_or_generation(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    struct pc_token_digest d = digest(1);
    uint32_t code = 77;
    assert_false(pc_token_cache_find_failure(c, &d, 3, NOW, &code));
    pc_token_cache_insert_failure(c, &d, 3, 42, NOW + 1000, NOW);
    assert_true(pc_token_cache_find_failure(c, &d, 3, NOW + 999, &code));
    assert_int_equal(code, 42);
    code = 77;
    assert_false(pc_token_cache_find_failure(c, &d, 3, NOW + 1000, &code));
    assert_false(pc_token_cache_find_failure(c, &d, 4, NOW, &code));
    assert_int_equal(code, 77);
    pc_token_cache_insert_failure(c, &d, 4, 43, NOW + 2000, NOW);
    assert_false(pc_token_cache_find_failure(c, &d, 3, NOW, &code));
    assert_true(pc_token_cache_find_failure(c, &d, 4, NOW, &code));
    assert_int_equal(code, 43);
    pc_token_cache_destroy(c);
}

static void bad_tokens_never_evict_good_ones(void **state)
{
    (void)state;
    enum { GOOD = 1000, BAD = 200000 };
    struct pc_token_cache *c = cache_of(2 * GOOD, 0, 64);
    for (uint64_t id = 0; id < GOOD; id++)
        put(c, id, 1, 1, 300);
    int good_before = 0, good_after = 0, bad_remembered = 0;
    for (uint64_t id = 0; id < GOOD; id++)
        good_before += get(c, id, 1) != NULL;
    for (uint64_t id = GOOD; id < GOOD + BAD; id++) {
        struct pc_token_digest d = digest(id);
        pc_token_cache_insert_failure(c, &d, 1, 9, INT64_MAX, NOW);
        uint32_t code = 0;
        bad_remembered += pc_token_cache_find_failure(c, &d, 1, NOW, &code);
    }
    for (uint64_t id = 0; id < GOOD; id++)
        good_after += get(c, id, 1) != NULL;
    assert_int_equal(good_after, good_before);
    assert_int_equal(bad_remembered, BAD);
    pc_token_cache_destroy(c);
}

static void good_tokens_never_evict_failures(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    struct pc_token_digest bad = digest(UINT64_MAX);
    pc_token_cache_insert_failure(c, &bad, 1, 9, INT64_MAX, NOW);
    for (uint64_t id = 0; id < 10000; id++)
        put(c, id, 1, 1, 300);
    uint32_t code = 0;
    assert_true(pc_token_cache_find_failure(c, &bad, 1, NOW, &code));
    pc_token_cache_destroy(c);
}

static void *use_from_elsewhere(void *arg)
{
    get(arg, 1, 1);
    return NULL;
}

static void a_second_thread_is_stopped(void **state)
{
    (void)state;
    struct pc_token_cache *c = cache_of(64, 0, 64);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t other;
        signal(SIGABRT, SIG_DFL); /* cmocka's handler must not run in the child */
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        get(c, 1, 1);
        pthread_create(&other, NULL, use_from_elsewhere, c);
        pthread_join(other, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    pc_token_cache_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_inserted_is_found),
        cmocka_unit_test(another_trust_generation_is_a_miss_and_is_replaced),
        cmocka_unit_test(any_difference_in_the_digest_is_a_miss),
        cmocka_unit_test(fingerprints_under_any_issuer_are_filled_in_later),
        cmocka_unit_test(a_blob_above_its_limit_is_not_kept),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(random_use_never_returns_anything_but_the_latest),
        cmocka_unit_test(a_cache_large_enough_keeps_nearly_everything),
        cmocka_unit_test(tokens_in_use_outlive_a_scan_of_others),
        cmocka_unit_test(the_expired_go_before_the_good),
        cmocka_unit_test(a_full_set_spares_what_was_used),
        cmocka_unit_test(equal_tags_in_a_set_are_told_apart),
        cmocka_unit_test(a_failure_is_remembered_until_its_time_or_generation),
        cmocka_unit_test(bad_tokens_never_evict_good_ones),
        cmocka_unit_test(good_tokens_never_evict_failures),
        cmocka_unit_test(a_second_thread_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
