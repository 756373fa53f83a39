/* SPDX-License-Identifier: Apache-2.0
 * Keys of requests, and charging them. Runs on cores: no allocation, no lock. */
#include "base/siphash.h"
#include "edge/api/policies_internal.h"

/* ---- keys ---- */

static void put_ip(struct pc_buf *b, const struct pc_policy *p, const struct pc_ip *ip)
{
    struct pc_ip cut = *ip;
    if (ip->family == 0) {
        pc_buf_lit(b, "unix");
        return;
    }
    for (unsigned bit = p->ipv6_prefix; ip->family == 6 && bit < 128; bit = (bit | 7) + 1)
        cut.b[bit / 8] &= (uint8_t)(0xff00 >> bit % 8);
    pc_ip_format(&cut, b);
}

/* Whether one of eight bytes has to be escaped. */
static inline bool escapes_in_word(const uint8_t *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t a = word ^ ones * '~', b = word ^ ones * '/', c = word ^ ones * '|';
    return (((a - ones) & ~a) | ((b - ones) & ~b) | ((c - ones) & ~c)) & tops;
}

static bool escapes_in(struct pc_bytes value)
{
    if (value.n < 8)
        return true; /* as far as we know */
    for (size_t i = 0; i + 8 < value.n; i += 8)
        if (escapes_in_word(value.p + i))
            return true;
    return escapes_in_word(value.p + value.n - 8);
}

static void put_value(struct pc_buf *b, struct pc_bytes value, const uint8_t secret[16])
{
    if (value.n > PC_LIMIT_VALUE_MAX) {
        pc_buf_fmt(b, "~h:%016llx", (unsigned long long)pc_siphash24(secret, value.p, value.n));
        return;
    }
    if (PC_LIKELY(!escapes_in(value))) {
        pc_buf_bytes(b, value);
        return;
    }
    for (size_t i = 0, run = 0; i <= value.n; i++) {
        char c = i < value.n ? (char)value.p[i] : '~'; /* the end is an escape without text */
        if (PC_LIKELY(c != '~' && c != '/' && c != '|'))
            continue;
        pc_buf_put(b, value.p + run, i - run);
        run = i + 1;
        if (i < value.n)
            pc_buf_put(b, c == '~' ? "~0" : c == '/' ? "~1" : "~2", 2);
    }
}

static struct pc_bytes attribute_of(const struct pc_limit_part *part,
                                    const struct pc_limit_subject *s)
{
    switch (part->word) {
    case PC_KEY_OF_SUBJECT: return s->subject;
    case PC_KEY_OF_CLIENT: return s->client;
    case PC_KEY_OF_SESSION: return s->session;
    case PC_KEY_OF_ROUTE: return s->route;
    case PC_KEY_OF_LITERAL: return part->text;
    case PC_KEY_OF_HEADER:
        return s->header ? s->header(s->header_ctx, part->text) : pc_bytes_of(NULL, 0);
    case PC_KEY_OF_IP: break;
    }
    return pc_bytes_of(NULL, 0);
}

static void put_part(struct pc_buf *b, const struct pc_policy *p, const struct pc_limit_part *part,
                     const struct pc_limit_subject *s)
{
    if (part->word == PC_KEY_OF_IP) {
        put_ip(b, p, s->ip);
        return;
    }
    struct pc_bytes value = attribute_of(part, s);
    if (value.n) {
        put_value(b, value, p->store->secret);
        return;
    }
    pc_buf_lit(b, "~ip:");
    put_ip(b, p, s->ip);
}

static void set_key(struct pc_charge *c, const struct pc_policy *p, int64_t cost,
                    struct pc_bytes key)
{
    *c = (struct pc_charge){.policy = p, .key = key, .cost = cost, .rule = &p->rule};
    c->fp = pc_limit_fingerprint(p->store->secret, key);
    pc_limits_prefetch(p->store->table, c->fp);
}

void pc_charge_of_subject(struct pc_charge *c, const struct pc_policy *p, int64_t cost,
                          const struct pc_limit_subject *s, struct pc_buf *text)
{
    size_t from = text->len;
    if (p->part_count == 1 && p->parts[0].word != PC_KEY_OF_IP) {
        /* A value that needs no escape is the key, where it stands. */
        struct pc_bytes value = attribute_of(&p->parts[0], s);
        if (value.n <= PC_LIMIT_VALUE_MAX && !escapes_in(value)) {
            set_key(c, p, cost, value);
            return;
        }
    }
    for (unsigned i = 0; i < p->part_count; i++) {
        if (i)
            pc_buf_char(text, '|');
        put_part(text, p, &p->parts[i], s);
    }
    PC_ASSERT(!text->overflow);
    set_key(c, p, cost, pc_bytes_of(text->p + from, text->len - from));
}

int pc_charge_of_key(struct pc_charge *c, const struct pc_policy *p, int64_t cost,
                     struct pc_bytes key, struct pc_buf *text)
{
    struct pc_ip ip;
    size_t from = text->len;
    if (key.n == 0 || key.n > PC_LIMIT_KEY_MAX)
        return -EINVAL;
    if (p->part_count == 1 && p->parts[0].word == PC_KEY_OF_IP && pc_ip_parse(key, &ip) == 0)
        put_ip(text, p, &ip);
    else
        pc_buf_bytes(text, key);
    PC_ASSERT(!text->overflow);
    set_key(c, p, cost, pc_bytes_of(text->p + from, text->len - from));
    return 0;
}

/* ---- one charge ---- */

static const struct pc_limit_rule *rule_of(const struct pc_policy *p,
                                           const struct pc_limit_user *user)
{
    return user->strict ? &p->strict_rule : &p->rule;
}

static enum pc_limit_outcome outcome_of(const struct pc_policy *p, enum pc_take take)
{
    if (take == PC_TAKE_ALLOWED)
        return PC_LIMIT_PASSED;
    if (take == PC_TAKE_REFUSED)
        return p->shadow ? PC_LIMIT_SHADOWED : PC_LIMIT_EXCEEDED;
    return p->rule.fail_closed && !p->shadow ? PC_LIMIT_UNAVAILABLE : PC_LIMIT_UNCOUNTED;
}

static bool is_near(const struct pc_limit_result *r)
{
    return (r->limit - r->remaining) * 100 >= r->limit * PC_TOP_NEAR_PERCENT;
}
_Static_assert(PC_RATE_COUNT_MAX < INT64_MAX / 100, "no limit overflows this");

/* Counts what became of a charge, and remembers who is close to a limit or beyond it. */
static void record(const struct pc_charge *c, const struct pc_limit_user *user)
{
    const struct pc_policy_store *store = c->policy->store;
    bool refused = c->outcome == PC_LIMIT_SHADOWED || c->outcome == PC_LIMIT_EXCEEDED;
    bool near_it = c->outcome == PC_LIMIT_PASSED && c->cost > 0 && is_near(&c->result);
    pc_policy_tally(c->policy, user->core, c->outcome);
    if (PC_LIKELY(!refused && !near_it))
        return;
    if (near_it)
        pc_policy_tally(c->policy, user->core, PC_LIMIT_NEAR);
    if (user->top)
        pc_top_keys_add(user->top, refused ? PC_TOP_REFUSED : PC_TOP_NEAR, c->fp ^ store->id,
                        pc_bytes_str(c->policy->name), c->key, user->now_ns, user->now_ms);
}

static void take_one(struct pc_charge *c, const struct pc_limit_user *user)
{
    struct pc_policy_store *store = c->policy->store;
    PC_ASSERT(user->core < store->cores && c->fp != 0);
    c->rule = rule_of(c->policy, user);
    c->outcome =
        outcome_of(c->policy, pc_limits_take(store->table, c->rule, c->fp, c->cost, user->now_ns,
                                             &store->lanes[user->core].counters, &c->result));
}

static void peek_one(struct pc_charge *c, const struct pc_limit_user *user)
{
    c->rule = rule_of(c->policy, user);
    pc_limits_peek(c->policy->store->table, c->rule, c->fp, c->cost, user->now_ns, &c->result);
    c->outcome = outcome_of(c->policy, c->result.allowed ? PC_TAKE_ALLOWED : PC_TAKE_REFUSED);
}

static void give_back_one(const struct pc_charge *c, const struct pc_limit_user *user)
{
    if (c->outcome != PC_LIMIT_PASSED || c->result.cost == 0)
        return;
    pc_limits_give_back(c->policy->store->table, c->rule, c->fp, &c->result);
    pc_policy_tally(c->policy, user->core, PC_LIMIT_GIVEN_BACK);
}

/* ---- all of a decision ---- */

static void record_refusals(const struct pc_charge *charges, unsigned n,
                            const struct pc_limit_user *user)
{
    for (unsigned i = 0; i < n; i++)
        if (!pc_limit_passes(charges[i].outcome))
            record(&charges[i], user);
}

int pc_charges_peek(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user)
{
    int first = -1;
    for (unsigned i = 0; i < n; i++) {
        peek_one(&charges[i], user);
        if (first < 0 && !pc_limit_passes(charges[i].outcome))
            first = (int)i;
    }
    return first;
}

/* Charges in order what was seen to pass; somebody else may have been faster. */
static int take_in_order(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user)
{
    struct pc_limit_result seen[PC_CHARGES_MAX];
    for (unsigned i = 0; i < n; i++) {
        seen[i] = charges[i].result;
        take_one(&charges[i], user);
        if (pc_limit_passes(charges[i].outcome))
            continue;
        for (unsigned k = i; k-- > 0;) {
            give_back_one(&charges[k], user);
            charges[k].result = seen[k];
        }
        return (int)i;
    }
    return -1;
}

int pc_charges_take(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user)
{
    int first = -1;
    PC_ASSERT(n <= PC_CHARGES_MAX);
    if (PC_LIKELY(n == 1)) {
        take_one(&charges[0], user);
        record(&charges[0], user);
        return pc_limit_passes(charges[0].outcome) ? -1 : 0;
    }
    first = pc_charges_peek(charges, n, user);
    if (first < 0)
        first = take_in_order(charges, n, user);
    if (first >= 0) {
        record_refusals(charges, n, user);
        return first;
    }
    for (unsigned i = 0; i < n; i++)
        record(&charges[i], user);
    return -1;
}

void pc_charges_give_back(struct pc_charge *charges, unsigned n, const struct pc_limit_user *user)
{
    for (unsigned i = n; i-- > 0;)
        give_back_one(&charges[i], user);
}

bool pc_charge_reset(const struct pc_charge *c, const struct pc_limit_user *user)
{
    struct pc_policy_store *store = c->policy->store;
    PC_ASSERT(user->core < store->cores);
    return pc_limits_reset(store->table, c->fp, &store->lanes[user->core].counters);
}
