/* SPDX-License-Identifier: Apache-2.0
 * What limits look like to others: header fields, JSON, metrics. Pure but for reading counters. */
#include "edge/api/policies_internal.h"

#define SECOND_NS INT64_C(1000000000)

static int64_t seconds_up(int64_t ns)
{
    return ns / SECOND_NS + (ns % SECOND_NS != 0);
}

static bool is_known(const struct pc_charge *c)
{
    return c->outcome != PC_LIMIT_UNCOUNTED && c->outcome != PC_LIMIT_UNAVAILABLE;
}

unsigned pc_charge_retry_after_s(const struct pc_charge *c)
{
    if (c->outcome == PC_LIMIT_UNAVAILABLE)
        return 1;
    if (c->outcome != PC_LIMIT_EXCEEDED || c->result.retry_after_ns == PC_LIMIT_NEVER)
        return 0;
    return (unsigned)pc_max_i64(seconds_up(c->result.retry_after_ns), 1);
}

/* ---- header fields ---- */

/* w: whole seconds in which the whole limit comes back; left out where it is a fraction. */
static bool put_field(struct pc_buf *b, const char *name, const struct pc_limit_rule *rule)
{
    unsigned __int128 ns = (unsigned __int128)(uint64_t)rule->period_ns * (uint64_t)rule->burst;
    unsigned __int128 unit = (unsigned __int128)(uint64_t)SECOND_NS * (uint64_t)rule->count;
    pc_buf_fmt(b, "\"%s\";q=%lld", name, (long long)rule->burst);
    if (ns % unit == 0)
        pc_buf_fmt(b, ";w=%llu", (unsigned long long)(ns / unit));
    return !b->overflow;
}

static void render_head(struct pc_policy *p, const struct pc_limit_rule *rule, unsigned strict)
{
    struct pc_buf b = pc_buf_of(p->heads[strict], sizeof p->heads[strict]);
    pc_buf_lit(&b, "RateLimit-Policy: ");
    pc_buf_put(&b, p->fields[strict], p->field_n[strict]);
    pc_buf_fmt(&b, "\r\nX-RateLimit-Limit: %lld\r\nRateLimit: \"%s\";r=", (long long)rule->burst,
               p->name);
    PC_ASSERT(!b.overflow); /* the name fits the field, too */
    p->head_n[strict] = (uint16_t)b.len;
}

bool pc_policy_render_fields(struct pc_policy *p)
{
    const struct pc_limit_rule *rules[] = {&p->rule, &p->strict_rule};
    for (unsigned i = 0; i < PC_COUNT(rules); i++) {
        struct pc_buf b = pc_buf_of(p->fields[i], sizeof p->fields[i]);
        if (!put_field(&b, p->name, rules[i]))
            return false;
        p->field_n[i] = (uint8_t)b.len;
        render_head(p, rules[i], i);
    }
    return true;
}
_Static_assert(PC_POLICY_FIELD_MAX <= UINT8_MAX, "a field's length fits");

static void put_policy(struct pc_buf *b, const struct pc_charge *c)
{
    const struct pc_policy *p = c->policy;
    bool strict = c->rule == &p->strict_rule;
    pc_buf_put(b, p->fields[strict], p->field_n[strict]);
}

/* On the path of decisions: no formatting by the C library. */
static void put_left(struct pc_buf *b, const struct pc_charge *c)
{
    pc_buf_char(b, '"');
    pc_buf_str(b, c->policy->name);
    pc_buf_lit(b, "\";r=");
    pc_buf_i64(b, c->result.remaining);
    pc_buf_lit(b, ";t=");
    pc_buf_i64(b, seconds_up(c->result.reset_ns));
}

/* Whether a says more about what to expect than b: it refused, or has less of its limit left. */
static bool is_tighter(const struct pc_charge *a, const struct pc_charge *b)
{
    bool refused_a = a->outcome == PC_LIMIT_EXCEEDED, refused_b = b->outcome == PC_LIMIT_EXCEEDED;
    if (refused_a != refused_b)
        return refused_a;
    return a->result.remaining * b->result.limit < b->result.remaining * a->result.limit;
}
_Static_assert(PC_RATE_COUNT_MAX <= INT64_C(3000000000), "products of two limits fit");

static void put_list(struct pc_buf *b, const char *name, const struct pc_charge *charges,
                     unsigned n, void (*put)(struct pc_buf *, const struct pc_charge *))
{
    bool first = true;
    pc_buf_str(b, name);
    for (unsigned i = 0; i < n; i++) {
        if (!is_known(&charges[i]))
            continue;
        pc_buf_str(b, first ? ": " : ", ");
        put(b, &charges[i]);
        first = false;
    }
    pc_buf_lit(b, "\r\n");
}

static void again(struct pc_buf *b, size_t from, size_t to)
{
    pc_buf_put(b, b->p + from, to - from);
}

/* The common case: one limit, whose numbers stand in two fields each. */
static void write_single(struct pc_buf *b, const struct pc_charge *c)
{
    const struct pc_policy *p = c->policy;
    bool strict = c->rule == &p->strict_rule;
    PC_ASSERT(c->result.limit == c->rule->burst && c->result.remaining >= 0);
    pc_buf_put(b, p->heads[strict], p->head_n[strict]);
    size_t left = b->len;
    pc_buf_u64(b, (uint64_t)c->result.remaining);
    size_t left_end = b->len;
    pc_buf_lit(b, ";t=");
    size_t reset = b->len;
    pc_buf_i64(b, seconds_up(c->result.reset_ns));
    size_t reset_end = b->len;
    pc_buf_lit(b, "\r\nX-RateLimit-Remaining: ");
    again(b, left, left_end);
    pc_buf_lit(b, "\r\nX-RateLimit-Reset: ");
    again(b, reset, reset_end);
    pc_buf_lit(b, "\r\n");
}

void pc_limits_write_fields(struct pc_buf *b, const struct pc_charge *charges, unsigned n)
{
    const struct pc_charge *tightest = NULL;
    if (PC_LIKELY(n == 1 && is_known(&charges[0]))) {
        write_single(b, &charges[0]);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        if (is_known(&charges[i]) && (!tightest || is_tighter(&charges[i], tightest)))
            tightest = &charges[i];
    if (!tightest)
        return;
    put_list(b, "RateLimit-Policy", charges, n, put_policy);
    put_list(b, "RateLimit", charges, n, put_left);
    pc_buf_lit(b, "X-RateLimit-Limit: ");
    pc_buf_i64(b, tightest->result.limit);
    pc_buf_lit(b, "\r\nX-RateLimit-Remaining: ");
    pc_buf_i64(b, tightest->result.remaining);
    pc_buf_lit(b, "\r\nX-RateLimit-Reset: ");
    pc_buf_i64(b, seconds_up(tightest->result.reset_ns));
    pc_buf_lit(b, "\r\n");
}

/* ---- JSON ---- */

void pc_charge_write_json(struct pc_buf *b, const struct pc_charge *c)
{
    const struct pc_limit_result *r = &c->result;
    pc_buf_lit(b, "{\"policy\":");
    pc_buf_json_str(b, pc_bytes_str(c->policy->name));
    pc_buf_lit(b, ",\"limit\":");
    pc_buf_i64(b, c->rule->burst);
    if (!is_known(c)) {
        pc_buf_lit(b, ",\"remaining\":null,\"reset_ms\":null,\"retry_after_ms\":null}");
        return;
    }
    pc_buf_lit(b, ",\"remaining\":");
    pc_buf_i64(b, r->remaining);
    pc_buf_lit(b, ",\"reset_ms\":");
    pc_buf_i64(b, pc_ns_to_ms_up(r->reset_ns));
    pc_buf_lit(b, ",\"retry_after_ms\":");
    if (r->retry_after_ns == PC_LIMIT_NEVER)
        pc_buf_lit(b, "null");
    else
        pc_buf_i64(b, pc_ns_to_ms_up(r->retry_after_ns));
    pc_buf_char(b, '}');
}

/* ---- metrics ---- */

static uint64_t sum_of(const struct pc_policy *p, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < p->store->cores; i++) {
        const uint8_t *lane = (const uint8_t *)&p->store->lanes[i];
        sum += __atomic_load_n((const uint64_t *)(const void *)(lane + offset), __ATOMIC_RELAXED);
    }
    return sum;
}

#define TALLY(what)    (offsetof(struct pc_policy_lane, tally) + (what) * sizeof(uint64_t))
#define COUNTER(field) offsetof(struct pc_policy_lane, counters.field)

static const struct series {
    const char *name, *type, *label, *help; /* help: of the first of a family */
    size_t offset;
} series[] = {
    {"portcullis_limit_takes_total",      "counter", ",result=\"allowed\"",
     "Charges of limits, by policy and result",                                                                                   TALLY(PC_LIMIT_PASSED)    },
    {"portcullis_limit_takes_total",      "counter", ",result=\"refused\"",     NULL,
     TALLY(PC_LIMIT_EXCEEDED)                                                                                                                               },
    {"portcullis_limit_takes_total",      "counter", ",result=\"shadowed\"",    NULL,
     TALLY(PC_LIMIT_SHADOWED)                                                                                                                               },
    {"portcullis_limit_takes_total",      "counter", ",result=\"uncounted\"",   NULL,
     TALLY(PC_LIMIT_UNCOUNTED)                                                                                                                              },
    {"portcullis_limit_takes_total",      "counter", ",result=\"unavailable\"", NULL,
     TALLY(PC_LIMIT_UNAVAILABLE)                                                                                                                            },
    {"portcullis_limit_given_back_total", "counter", "",
     "Charges undone because another step of the decision refused",                                                               TALLY(PC_LIMIT_GIVEN_BACK)},
    {"portcullis_limit_near_total",       "counter", "",                        "Charges that left at most a fifth of the limit",
     TALLY(PC_LIMIT_NEAR)                                                                                                                                   },
    {"portcullis_limit_keys",             "gauge",   "",                        "Slots of the policy's table in use",             COUNTER(occupied)         },
    {"portcullis_limit_evictions_total",  "counter", ",kind=\"idle\"",
     "Keys that made room for others; active: somebody's limit began anew",                                                       COUNTER(evicted_idle)     },
    {"portcullis_limit_evictions_total",  "counter", ",kind=\"active\"",        NULL,
     COUNTER(evicted_active)                                                                                                                                },
    {"portcullis_limit_no_room_total",    "counter", "",                        "Charges for whose key the table had no room",
     COUNTER(no_room)                                                                                                                                       },
};

static void put_shape(const struct pc_policies *p, struct pc_buf *b, const char *name,
                      const char *help, size_t offset)
{
    pc_buf_fmt(b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
    for (unsigned i = 0; i < p->count; i++) {
        struct pc_limit_shape shape = pc_limits_shape(p->policies[i].store->table);
        uint64_t value;
        memcpy(&value, (const uint8_t *)&shape + offset, sizeof value);
        pc_buf_fmt(b, "%s{policy=\"%s\"} %llu\n", name, p->policies[i].name,
                   (unsigned long long)value);
    }
}

void pc_policies_write_metrics(const struct pc_policies *p, struct pc_buf *b)
{
    for (size_t s = 0; s < PC_COUNT(series); s++) {
        const struct series *each = &series[s];
        if (each->help)
            pc_buf_fmt(b, "# HELP %s %s\n# TYPE %s %s\n", each->name, each->help, each->name,
                       each->type);
        for (unsigned i = 0; i < p->count; i++)
            pc_buf_fmt(b, "%s{policy=\"%s\"%s} %llu\n", each->name, p->policies[i].name,
                       each->label, (unsigned long long)sum_of(&p->policies[i], each->offset));
    }
    put_shape(p, b, "portcullis_limit_slots", "Slots of the policy's table",
              offsetof(struct pc_limit_shape, slots));
    put_shape(p, b, "portcullis_limit_table_bytes", "Memory of the policy's table",
              offsetof(struct pc_limit_shape, bytes));
}
