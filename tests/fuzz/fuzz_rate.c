/* SPDX-License-Identifier: Apache-2.0
 * Rate expressions. Checked: what is accepted is within its limits, its text means the same, and a
 * rule made of it keeps its promises about the first take. */
#include <stdlib.h>

#include "base/rate.h"
#include "edge/state/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct pc_rate *rate)
{
    uint8_t text[PC_RATE_TEXT_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_rate again;
    pc_rate_format(rate, &b);
    PC_ASSERT(!b.overflow);
    int rc = pc_rate_parse(pc_bytes_of(b.p, b.len), &again, NULL);
    PC_ASSERT(rc == 0 && again.count == rate->count && again.period_ns == rate->period_ns);
}

static void check_rule(const struct pc_rate *rate, enum pc_limit_algorithm algorithm)
{
    struct pc_limit_rule rule;
    struct pc_limit_result r;
    uint64_t state = 0;
    if (pc_limit_rule_set(&rule, algorithm, rate, 0, false, NULL) < 0)
        return;
    pc_limit_evaluate(&rule, &state, rate->count, INT64_C(5000000000), &r);
    PC_ASSERT(r.allowed && r.remaining == 0 && r.limit == rate->count && r.reset_ns > 0);
    pc_limit_evaluate(&rule, &state, 1, INT64_C(5000000000), &r);
    PC_ASSERT(!r.allowed && r.retry_after_ns > 0 && r.retry_after_ns != PC_LIMIT_NEVER);
    struct pc_limit_rule half = pc_limit_rule_halved(&rule, 1);
    PC_ASSERT(half.count >= 1 && half.count <= rule.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_rate rate;
    struct pc_why why;
    int rc = pc_rate_parse(pc_bytes_of(data, size), &rate, &why);
    if (rc < 0) {
        PC_ASSERT(why.text[0] != 0);
        return 0;
    }
    PC_ASSERT(rate.count >= 1 && rate.count <= PC_RATE_COUNT_MAX);
    PC_ASSERT(rate.period_ns >= PC_RATE_PERIOD_MIN_NS && rate.period_ns <= PC_RATE_PERIOD_MAX_NS);
    check_text(&rate);
    check_rule(&rate, PC_LIMIT_GCRA);
    check_rule(&rate, PC_LIMIT_WINDOW);
    return 0;
}
