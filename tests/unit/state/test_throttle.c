/* SPDX-License-Identifier: Apache-2.0
 * CL.THROTTLE: examples from redis-cell's documentation, what is refused, and random traces whose
 * every value must be that of an independent model in another language
 * (tests/model/cl_throttle.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/throttle.h"

#define S  INT64_C(1000000000)
#define T0 (3000 * 86400 * S)

enum { KEYS = 16, STEPS = 20000 };

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

struct rig {
    struct pc_limit_table *table;
    struct pc_limit_counters counters;
    struct pc_throttle_answer a;
};

static struct rig new_rig(void)
{
    struct rig g = {0};
    assert_int_equal(pc_limits_new(1024, &g.table), 0);
    return g;
}

static uint64_t fp_of(uint64_t key)
{
    return pc_limit_fingerprint((const uint8_t *)"0123456789abcdef", pc_bytes_of(&key, sizeof key));
}

static enum pc_throttle_error ask(struct rig *g, uint64_t key, struct pc_throttle_call c,
                                  int64_t now_ns)
{
    return pc_throttle(g->table, fp_of(key), &c, now_ns, &g->counters, &g->a);
}

static void assert_answer(const struct rig *g, int limited, int64_t limit, int64_t remaining,
                          int64_t retry_s, int64_t reset_s)
{
    assert_int_equal(g->a.limited, limited);
    assert_int_equal(g->a.limit, limit);
    assert_int_equal(g->a.remaining, remaining);
    assert_int_equal(g->a.retry_after_s, retry_s);
    assert_int_equal(g->a.reset_after_s, reset_s);
}

static void the_documented_examples_hold(void **state)
{
    (void)state;
    struct rig g = new_rig();
    const struct pc_throttle_call user = {15, 30, 60, 1}, one = {0, 1, 2, 1};
    assert_int_equal(ask(&g, 1, user, T0), PC_THROTTLE_OK);
    assert_answer(&g, 0, 16, 15, -1, 2);
    assert_int_equal(ask(&g, 2, one, T0), PC_THROTTLE_OK);
    assert_answer(&g, 0, 1, 0, -1, 2);
    assert_int_equal(ask(&g, 2, one, T0), PC_THROTTLE_OK);
    assert_answer(&g, 1, 1, 0, 2, 2);
    assert_int_equal(ask(&g, 2, one, T0 + 2 * S), PC_THROTTLE_OK);
    assert_answer(&g, 0, 1, 0, -1, 2);
    pc_limits_free(g.table);
}

static void a_quantity_of_zero_only_looks(void **state)
{
    (void)state;
    struct rig g = new_rig();
    assert_int_equal(ask(&g, 1, (struct pc_throttle_call){4, 1, 1, 0}, T0), PC_THROTTLE_OK);
    assert_answer(&g, 0, 5, 5, -1, 0);
    assert_int_equal(g.counters.occupied, 0);
    ask(&g, 1, (struct pc_throttle_call){4, 1, 1, 5}, T0);
    assert_answer(&g, 0, 5, 0, -1, 5);
    ask(&g, 1, (struct pc_throttle_call){4, 1, 1, 0}, T0 + S / 2);
    assert_answer(&g, 0, 5, 0, -1, 5);
    ask(&g, 1, (struct pc_throttle_call){4, 1, 1, 6}, T0);
    assert_answer(&g, 1, 5, 0, -1, 5); /* more than ever passes: waiting does not help */
    pc_limits_free(g.table);
}

static void what_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct pc_throttle_call call;
        enum pc_throttle_error error;
    } rows[] = {
        {{1, 0, 60, 1},                  PC_THROTTLE_ZERO_RATE    },
        {{1, 1, 0, 1},                   PC_THROTTLE_ZERO_RATE    },
        {{1, 2000000000, 1, 1},          PC_THROTTLE_ZERO_RATE    },
        {{1, -1, 60, 1},                 PC_THROTTLE_NEGATIVE_RATE},
        {{1, 1, -60, 1},                 PC_THROTTLE_NEGATIVE_RATE},
        {{INT64_MAX, 1, 1, 1},           PC_THROTTLE_TOO_LARGE    },
        {{INT64_MAX - 1, 1, 1, 1},       PC_THROTTLE_TOO_LARGE    },
        {{INT64_MIN, 1, 1, 1},           PC_THROTTLE_TOO_LARGE    },
        {{1, 1, INT64_MAX, 1},           PC_THROTTLE_TOO_LARGE    },
        {{1, 1, INT64_C(4611686018), 1}, PC_THROTTLE_TOO_LARGE    },
        {{1, 1, 60, -1},                 PC_THROTTLE_EXPIRE       },
        {{1, 1, 60, INT64_MIN},          PC_THROTTLE_EXPIRE       },
    };
    struct rig g = new_rig();
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        g.a.limited = -7;
        assert_int_equal(ask(&g, 1, rows[i].call, T0), rows[i].error);
        assert_int_equal(g.a.limited, -7);
        assert_true(strlen(pc_throttle_error_text(rows[i].error)) > 10);
    }
    assert_int_equal(g.counters.occupied, 0);
    assert_int_equal(ask(&g, 1, (struct pc_throttle_call){1, 1, 60, INT64_MAX}, T0),
                     PC_THROTTLE_OK);
    assert_answer(&g, 1, 2, 2, -1, 0);
    pc_limits_free(g.table);
}

static void without_room_it_says_so(void **state)
{
    (void)state;
    struct rig g = {0};
    unsigned full = 0;
    assert_int_equal(pc_limits_new(4, &g.table), 0);
    for (uint64_t key = 0; key < 100; key++)
        full += ask(&g, key, (struct pc_throttle_call){9, 1, 60, 1}, T0) == PC_THROTTLE_NO_ROOM;
    assert_int_equal(full, g.counters.no_room);
    assert_true(full >= 92);
    assert_int_equal(g.counters.evicted_active, 0);
    pc_limits_free(g.table);
}

/* ---- the model ---- */

static struct pc_throttle_call random_call(unsigned key)
{
    static const int64_t periods_s[] = {1, 2, 7, 60, 900, 86400, 1000000};
    struct pc_throttle_call c = {
        .max_burst = (int64_t)(key * 3 % 40) - (key == 5 ? 20 : 0),
        .count = 1 + (int64_t)(key * 7 % 100),
        .period_s = periods_s[key % PC_COUNT(periods_s)],
        .quantity = rng() % 3 ? 1 : (int64_t)(rng() % 12),
    };
    if (key == 6)
        c.count = 3000000; /* below a microsecond each */
    if (rng() % 20 == 0)   /* the same key by another rule */
        c.max_burst = (int64_t)(rng() % 1000);
    if (rng() % 20 == 0)
        c.count = (int64_t)(rng() % 50);
    if (rng() % 25 == 0)
        c.quantity = -(int64_t)(rng() % 4);
    return c;
}

static void say(FILE *model, const struct rig *g, unsigned key, const struct pc_throttle_call *c,
                int64_t now_ns, enum pc_throttle_error error)
{
    fprintf(model, "throttle %u %lld %lld %lld %lld %lld = ", key, (long long)c->max_burst,
            (long long)c->count, (long long)c->period_s, (long long)c->quantity, (long long)now_ns);
    if (error)
        fprintf(model, "error %s\n",
                error == PC_THROTTLE_ZERO_RATE ? "zero_rate"
                : error == PC_THROTTLE_EXPIRE  ? "expire"
                                               : "unexpected");
    else
        fprintf(model, "%lld %lld %lld %lld %lld\n", (long long)g->a.limited, (long long)g->a.limit,
                (long long)g->a.remaining, (long long)g->a.retry_after_s,
                (long long)g->a.reset_after_s);
}

static void every_value_is_the_models(void **state)
{
    (void)state;
    struct rig g = new_rig();
    int64_t now_ns = T0;
    FILE *model = popen("python3 " PC_SOURCE_DIR "/tests/model/cl_throttle.py", "w");
    assert_non_null(model);
    for (int i = 0; i < STEPS; i++) {
        unsigned key = (unsigned)(rng() % KEYS);
        struct pc_throttle_call c = random_call(key);
        switch (rng() % 5) {
        case 0: now_ns += (int64_t)(rng() % (uint64_t)(c.period_s * S)) / 50; break;
        case 1: now_ns += (int64_t)(rng() % (uint64_t)(2 * S)); break;
        case 2: now_ns += (int64_t)(rng() % 1000000); break;
        default: break;
        }
        say(model, &g, key, &c, now_ns, ask(&g, key, c, now_ns));
    }
    assert_int_equal(pclose(model), 0);
    assert_int_equal(g.counters.no_room, 0);
    pc_limits_free(g.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_examples_hold),
        cmocka_unit_test(a_quantity_of_zero_only_looks),
        cmocka_unit_test(what_cannot_be_kept_is_refused),
        cmocka_unit_test(without_room_it_says_so),
        cmocka_unit_test(every_value_is_the_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
