/* SPDX-License-Identifier: Apache-2.0
 * The limit table against an independent model in another language (tests/model/limits.py): random
 * traces of takes, peeks, givings back and resets over both algorithms go to the model through a
 * pipe, with every value that was answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "edge/state/limits.h"

#define S INT64_C(1000000000)

enum { RULES = 12, KEYS = 24, STEPS = 12000 };

static uint64_t rng_state;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

struct key {
    unsigned rule;
    bool taken; /* the last thing that happened to it was an admitted take */
    struct pc_limit_result last;
    const struct pc_limit_rule *by; /* the rule that gave it */
};

struct rig {
    FILE *model;
    struct pc_limit_rule rules[2 * RULES]; /* and in strict mode */
    struct pc_limit_table *table[RULES];
    struct pc_limit_counters counters;
    struct key keys[KEYS];
    int64_t now_ns;
};

static uint64_t fp_of(unsigned key)
{
    return pc_limit_fingerprint((const uint8_t *)"0123456789abcdef", pc_bytes_of(&key, sizeof key));
}

static void say_rule(const struct rig *g, unsigned i)
{
    const struct pc_limit_rule *r = &g->rules[i];
    fprintf(g->model, "rule %u %s %lld %lld %lld\n", i,
            r->algorithm == PC_LIMIT_GCRA ? "gcra" : "window", (long long)r->count,
            (long long)r->period_ns, (long long)r->burst);
}

static void make_rule(struct rig *g, unsigned i)
{
    static const int64_t periods_ns[] = {S, 7 * S, 60 * S, 900 * S, 3600 * S, 86400 * S};
    struct pc_rate rate = {1 + (int64_t)(rng() % (i % 3 ? 12 : 2000)),
                           periods_ns[rng() % PC_COUNT(periods_ns)]};
    enum pc_limit_algorithm algorithm = i % 2 ? PC_LIMIT_WINDOW : PC_LIMIT_GCRA;
    int64_t burst = algorithm == PC_LIMIT_GCRA && rng() % 2 ? 1 + (int64_t)(rng() % 40) : 0;
    assert_int_equal(pc_limit_rule_set(&g->rules[i], algorithm, &rate, burst, true, NULL), 0);
    g->rules[i + RULES] = pc_limit_rule_halved(&g->rules[i], 1);
    assert_int_equal(pc_limits_new(KEYS * 8, &g->table[i]), 0);
    say_rule(g, i);
    say_rule(g, i + RULES);
}

/* Time in steps of all sizes: within a token, a burst, a window, or long after; often to the very
 * nanosecond at which the last refusal said that waiting helps, or one before it. */
static void pass_time(struct rig *g, const struct key *k)
{
    const struct pc_limit_rule *r = &g->rules[k->rule];
    int64_t retry_ns = k->last.retry_after_ns;
    switch (rng() % 8) {
    case 0:
        if (!k->last.allowed && retry_ns > 1 && retry_ns != PC_LIMIT_NEVER)
            g->now_ns += retry_ns - (int64_t)(rng() % 2);
        break;
    case 1: g->now_ns += (int64_t)(rng() % (uint64_t)r->period_ns); break;
    case 2: g->now_ns += (int64_t)(rng() % (uint64_t)(2 * r->interval_ns)); break;
    case 3: g->now_ns += r->period_ns - g->now_ns % r->period_ns; break; /* a window's beginning */
    case 4: g->now_ns += rng() % 50 ? 1 : 3 * r->period_ns; break;
    default: break;
    }
}

static void decide(struct rig *g, unsigned i)
{
    struct key *k = &g->keys[i];
    bool strict = rng() % 4 == 0;
    const struct pc_limit_rule *rule = &g->rules[k->rule + (strict ? RULES : 0)];
    bool peek = rng() % 5 == 0;
    int64_t cost = rng() % 3 ? 1 : (int64_t)(rng() % (uint64_t)(rule->burst + 2));
    if (peek)
        pc_limits_peek(g->table[k->rule], rule, fp_of(i), cost, g->now_ns, &k->last);
    else
        assert_int_not_equal(pc_limits_take(g->table[k->rule], rule, fp_of(i), cost, g->now_ns,
                                            &g->counters, &k->last),
                             PC_TAKE_NO_ROOM);
    k->taken = !peek && k->last.allowed && cost > 0;
    k->by = rule;
    int64_t retry_ns = k->last.retry_after_ns;
    fprintf(g->model, "%s %u %u %lld %lld = %d %lld %lld %lld %lld\n", peek ? "peek" : "take",
            (unsigned)(rule - g->rules), i, (long long)cost, (long long)g->now_ns, k->last.allowed,
            (long long)k->last.limit, (long long)k->last.remaining, (long long)k->last.reset_ns,
            (long long)(retry_ns == PC_LIMIT_NEVER ? -1 : retry_ns));
}

static void step(struct rig *g)
{
    unsigned i = (unsigned)(rng() % KEYS);
    struct key *k = &g->keys[i];
    if (k->taken && rng() % 4 == 0) {
        pc_limits_give_back(g->table[k->rule], k->by, fp_of(i), &k->last);
        fprintf(g->model, "back %u\n", i);
        k->taken = false;
    } else if (rng() % 200 == 0) {
        pc_limits_reset(g->table[k->rule], fp_of(i), &g->counters);
        fprintf(g->model, "reset %u\n", i);
        k->taken = false;
    } else {
        pass_time(g, k);
        decide(g, i);
    }
}

static void every_answer_is_the_models(uint64_t seed)
{
    struct rig g = {.now_ns = 3000 * 86400 * S};
    rng_state = seed * 0x9e3779b97f4a7c15 + 1;
    g.model = popen("python3 " PC_SOURCE_DIR "/tests/model/limits.py", "w");
    assert_non_null(g.model);
    for (unsigned i = 0; i < RULES; i++)
        make_rule(&g, i);
    for (unsigned i = 0; i < KEYS; i++)
        g.keys[i].rule = i % RULES;
    for (unsigned i = 0; i < STEPS; i++)
        step(&g);
    if (pclose(g.model) != 0)
        fail_msg("seed %llu", (unsigned long long)seed);
    assert_int_equal(g.counters.evicted_active + g.counters.no_room, 0);
    for (unsigned i = 0; i < RULES; i++)
        pc_limits_free(g.table[i]);
}

static void answers_agree_with_a_model_in_another_language(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        every_answer_is_the_models(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_agree_with_a_model_in_another_language),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
