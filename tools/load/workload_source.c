/* SPDX-License-Identifier: Apache-2.0
 * A workload's source: one per generator thread, everything in it is that thread's own. It chooses
 * requests some steps ahead, so that the lines of a token out of millions are asked for long before
 * they are sent; it paces what goes beside the loop's requests; it shows each revocation that was
 * acknowledged, on whatever thread, to every one of its connections.
 *
 * Cookie of a request: token or key number (0-31), and for a probe the event, for set_flag the
 * value, else the other number (32-63). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "load/expect.h"
#include "load/workload_supply.h"

enum {
    AHEAD = 16,              /* requests chosen before they are sent; a power of two */
    AHEAD_PREFETCH = 6,      /* so long before it is sent a token is asked for */
    PROBES_PER_LOOK = 64,    /* events shown to the connections at once */
    LOOK_NS = 1000000,       /* for revocations that other threads acknowledged */
    PACED_BEHIND_MAX = 1000, /* requests a paced class may lag before they are left out */
    KEY_ROOM = 16,
};

struct chosen {
    uint8_t request;
    uint32_t token, key;
};

struct source {
    struct ld_source base;
    struct ld_workload_supply *s;
    struct ld_place place;
    struct ld_hands hands;
    struct pc_prng random;
    struct chosen ahead[AHEAD];
    unsigned ahead_at;
    int64_t start_ns, phase_end_ns;
    unsigned phase;
    double weight_up_to[LD_WL_REQUESTS_MAX]; /* sums of weights in this phase */
    double shares_up_to[LD_WL_REQUESTS_MAX][LD_TOKEN_KINDS];
    double per_s[LD_WL_REQUESTS_MAX]; /* of this thread, in this phase */
    int64_t paced_ns[LD_WL_REQUESTS_MAX];
    uint64_t number; /* of {n} */
    unsigned next_driven, next_idle;
    uint32_t events_shown;
    uint32_t *left_until_reopen; /* by connection; NULL: never */
    struct ld_wl_counts counts[LD_WL_REQUESTS_MAX];
    uint64_t probes_left_out, paced_left_out;
    char key_text[KEY_ROOM], number_text[24], address_text[16], value_text[24];
    uint8_t scratch[LD_TEMPLATE_SCRATCH];
};

static struct source *source_of(struct ld_source *base)
{
    return PC_CONTAINER_OF(base, struct source, base);
}

/* ---- Choosing. ---- */

static unsigned draw_up_to(struct source *src, const double *up_to, unsigned n)
{
    const double x = ld_draw_unit(&src->random) * up_to[n - 1];
    unsigned i = 0;
    while (i + 1 < n && x >= up_to[i])
        i++;
    return i;
}

static uint64_t draw_of(struct source *src, const struct ld_zipf *z,
                        const struct ld_wl_population *p)
{
    if (p->hot_share > 0 && ld_draw_unit(&src->random) < p->hot_share)
        return 0;
    return ld_zipf_draw(z, &src->random);
}

static uint32_t choose_token(struct source *src, unsigned request)
{
    const struct ld_workload_supply *s = src->s;
    const unsigned kind = draw_up_to(src, src->shares_up_to[request], LD_TOKEN_KINDS);
    return (uint32_t)(s->tokens.first[kind] + draw_of(src, &s->of_kind[kind], &s->w->tokens));
}

static struct chosen choose_for(struct source *src, unsigned request)
{
    const struct ld_workload_supply *s = src->s;
    struct chosen c = {.request = (uint8_t)request};
    if (s->uses_token[request])
        c.token = choose_token(src, request);
    if (s->uses_key[request])
        c.key = (uint32_t)draw_of(src, &s->keys, &s->w->keys);
    return c;
}

static struct chosen choose(struct source *src)
{
    const unsigned n = src->s->w->request_count;
    return choose_for(src, n == 1 ? 0 : draw_up_to(src, src->weight_up_to, n));
}

/* The next request; what comes some steps later is asked for. */
static struct chosen take_chosen(struct source *src)
{
    const struct ld_workload_supply *s = src->s;
    struct chosen *slot = &src->ahead[src->ahead_at % AHEAD];
    const struct chosen taken = *slot;
    const struct chosen *later = &src->ahead[(src->ahead_at + AHEAD_PREFETCH) % AHEAD];
    if (s->uses_token[later->request])
        ld_tokens_prefetch(&s->tokens, later->token);
    *slot = choose(src);
    src->ahead_at++;
    return taken;
}

/* ---- Phases. ---- */

static double weight_in(const struct source *src, unsigned request)
{
    const struct ld_workload *w = src->s->w;
    const double own = w->phase_count ? w->phases[src->phase].weight[request] : NAN;
    return isnan(own) ? w->requests[request].weight : own;
}

static double per_s_in(const struct source *src, unsigned request)
{
    const struct ld_workload *w = src->s->w;
    const double own = w->phase_count ? w->phases[src->phase].per_s[request] : NAN;
    return isnan(own) ? w->requests[request].per_s : own;
}

static int64_t phase_end_ns(const struct source *src)
{
    const struct ld_workload *w = src->s->w;
    double part = 0;
    if (src->phase + 1 >= w->phase_count)
        return INT64_MAX;
    for (unsigned i = 0; i <= src->phase; i++)
        part += w->phases[i].part;
    return src->start_ns + src->place.warmup_ns + (int64_t)(part * (double)src->place.duration_ns);
}

/* Threads take turns, so that the whole is evenly paced; what does not change keeps its pace. */
static void pace(struct source *src, unsigned request, double per_s, int64_t now_ns)
{
    const double turn = (0.5 + src->place.thread) / src->place.threads;
    if (per_s == src->per_s[request] && src->paced_ns[request] != 0)
        return;
    src->per_s[request] = per_s;
    src->paced_ns[request] = per_s > 0 ? now_ns + (int64_t)(1e9 / per_s * turn) : INT64_MAX;
}

static void begin_phase(struct source *src, unsigned phase, int64_t now_ns)
{
    const struct ld_workload *w = src->s->w;
    double sum = 0;
    src->phase = phase;
    src->phase_end_ns = phase_end_ns(src);
    for (unsigned i = 0; i < w->request_count; i++) {
        sum += weight_in(src, i);
        src->weight_up_to[i] = sum;
        pace(src, i, per_s_in(src, i) / src->place.threads, now_ns);
    }
}

static void follow_phases(struct source *src, int64_t now_ns)
{
    while (now_ns >= src->phase_end_ns)
        begin_phase(src, src->phase + 1, now_ns);
}

static double rate_per_s(struct ld_source *base, int64_t since_start_ns)
{
    struct source *src = source_of(base);
    const struct ld_workload *w = src->s->w;
    follow_phases(src, src->start_ns + since_start_ns);
    return src->s->rate_per_s * w->phases[src->phase].rate / src->place.threads;
}

/* ---- Making a request. ---- */

/* Decimal with leading zeros: snprintf would cost more than all the rest. */
static struct pc_bytes put_digits(char *to, const char *prefix, uint64_t value, unsigned digits)
{
    const size_t n = strlen(prefix);
    memcpy(to, prefix, n);
    for (unsigned i = digits; i-- > 0; value /= 10)
        to[n + i] = (char)('0' + value % 10);
    return pc_bytes_of(to, n + digits);
}

static struct pc_bytes key_of(struct source *src, uint32_t key)
{
    return put_digits(src->key_text, "key-", key, 8);
}

static bool render(struct source *src, const struct chosen *c, int64_t value,
                   struct ld_request *ret_request)
{
    const struct ld_workload_supply *s = src->s;
    const struct ld_wl_request *r = &s->w->requests[c->request];
    struct pc_bytes values[LD_VARS] = {
        {NULL, 0}
    };
    if (s->uses_token[c->request]) {
        const struct ld_token token = ld_tokens_at(&s->tokens, c->token);
        values[LD_VAR_TOKEN] = token.text;
        values[LD_VAR_SUB] = token.sub;
        values[LD_VAR_JTI] = pc_bytes_of(token.jti, LD_JTI_CHARS);
    }
    if (s->uses_key[c->request])
        values[LD_VAR_KEY] = key_of(src, c->key);
    if (s->uses_number[c->request])
        values[LD_VAR_N] = put_digits(src->number_text, "",
                                      src->number++ * src->place.threads + src->place.thread, 12);
    if (s->uses_address[c->request]) {
        const uint64_t client = s->uses_key[c->request] ? c->key : c->token;
        values[LD_VAR_IP] =
            pc_bytes_of(src->address_text, ld_client_address(r, client, src->address_text));
    }
    if (r->ask == LD_ASK_SET_FLAG)
        values[LD_VAR_VALUE] =
            pc_bytes_of(src->value_text, (size_t)snprintf(src->value_text, sizeof src->value_text,
                                                          "%lld", (long long)value));
    values[LD_VAR_ADMIN] = s->admin_text;
    values[LD_VAR_ISSUER] = s->issuer_text;
    ret_request->class = c->request;
    ret_request->is_head = !s->w->resp && strcmp(r->method, "HEAD") == 0;
    return ld_template_render(s->templates[c->request], values, src->scratch, ret_request);
}

static bool make(struct source *src, struct chosen *c, struct ld_request *ret_request)
{
    const struct ld_workload_supply *s = src->s;
    const struct ld_wl_request *r = &s->w->requests[c->request];
    int64_t value = 0;
    if (r->ask == LD_ASK_REVOKE) {
        uint64_t token;
        if (!ld_oracle_take_victim(&src->s->oracle, &token))
            return false;
        c->token = (uint32_t)token;
    }
    if (r->ask == LD_ASK_SET_FLAG &&
        !ld_oracle_begin_flag(&src->s->oracle, (unsigned)r->flag, &value))
        return false;
    const bool ok = render(src, c, value, ret_request);
    PC_ASSERT(ok); /* the supply bounded it */
    const uint64_t high = r->ask == LD_ASK_SET_FLAG ? (uint64_t)value : c->key;
    ret_request->cookie = c->token | high << 32;
    return true;
}

static enum ld_next next(struct ld_source *base, unsigned conn, int64_t now_ns,
                         struct ld_request *ret_request)
{
    struct source *src = source_of(base);
    (void)conn;
    follow_phases(src, now_ns);
    struct chosen c = take_chosen(src);
    return make(src, &c, ret_request) ? LD_NEXT_REQUEST : LD_NEXT_NOTHING;
}

/* ---- Beside the loop: paced requests, probes. ---- */

static void note_done(struct source *src, const struct ld_wl_request *r, uint64_t cookie, bool ok);

/* To the connection, if it takes it; one that does not fit in is counted, unless the run is over
 * anyway. */
static bool send_beside(struct source *src, unsigned conn, const struct ld_request *request,
                        uint64_t *left_out)
{
    const int64_t end_ns = src->start_ns + src->place.warmup_ns + src->place.duration_ns;
    if (src->hands.send(src->hands.loop, conn, request))
        return true;
    *left_out += pc_clock_mono_ns() < end_ns;
    return false;
}

static unsigned connection_for(struct source *src, const struct ld_wl_request *r)
{
    if (r->to_idle && src->place.idle)
        return src->place.connections + src->next_idle++ % src->place.idle;
    return src->next_driven++ % src->place.connections;
}

static void send_paced(struct source *src, unsigned i, int64_t now_ns)
{
    const struct ld_wl_request *r = &src->s->w->requests[i];
    const int64_t interval_ns = (int64_t)pc_max_i64(1, (int64_t)(1e9 / src->per_s[i]));
    if (now_ns - src->paced_ns[i] > PACED_BEHIND_MAX * interval_ns) {
        src->paced_left_out += (uint64_t)((now_ns - src->paced_ns[i]) / interval_ns);
        src->paced_ns[i] = now_ns;
    }
    while (src->paced_ns[i] <= now_ns) {
        struct ld_request request;
        struct chosen c = choose_for(src, i);
        src->paced_ns[i] += interval_ns;
        if (make(src, &c, &request) &&
            !send_beside(src, connection_for(src, r), &request, &src->paced_left_out))
            note_done(src, r, request.cookie, false);
    }
}

/* What a probe asks: as the first forward auth of the file. */
static unsigned request_of_probe(const struct ld_workload *w)
{
    unsigned i = 0;
    while (w->requests[i].ask != LD_ASK_AUTH && i + 1 < w->request_count)
        i++;
    return i;
}

/* One probe of an event on each of this thread's connections. */
static void probe_event(struct source *src, uint32_t at, uint32_t token)
{
    struct ld_workload_supply *s = src->s;
    struct ld_request request;
    const struct chosen c = {.request = (uint8_t)request_of_probe(s->w), .token = token};
    for (unsigned conn = 0; conn < src->place.connections; conn++) {
        const bool ok = render(src, &c, 0, &request);
        PC_ASSERT(ok);
        request.class = (uint8_t)s->probe;
        request.cookie = token | (uint64_t)at << 32;
        (void)send_beside(src, conn, &request, &src->probes_left_out);
    }
}

static void look_for_events(struct source *src)
{
    struct ld_oracle *o = &src->s->oracle;
    for (unsigned i = 0; i < PROBES_PER_LOOK; i++) {
        const uint32_t at = src->events_shown;
        if (at >= atomic_load_explicit(&o->event_count, memory_order_relaxed))
            return;
        const uint32_t token = atomic_load_explicit(&o->events[at].token, memory_order_acquire);
        if (token == 0)
            return; /* O2: its writer is about to publish it */
        probe_event(src, at, token - 1);
        src->events_shown++;
    }
}

static void tick(struct ld_source *base, int64_t now_ns)
{
    struct source *src = source_of(base);
    int64_t wake_ns = INT64_MAX;
    follow_phases(src, now_ns);
    for (unsigned i = 0; i < src->s->w->request_count; i++)
        if (src->per_s[i] > 0) {
            send_paced(src, i, now_ns);
            wake_ns = pc_min_i64(wake_ns, src->paced_ns[i]);
        }
    if (src->s->probe >= 0) {
        look_for_events(src);
        wake_ns = pc_min_i64(wake_ns, now_ns + LOOK_NS);
    }
    wake_ns = pc_min_i64(wake_ns, src->phase_end_ns); /* the next one may pace what this did not */
    if (wake_ns < INT64_MAX)
        src->hands.wake_at(src->hands.loop, wake_ns);
}

static void start(struct ld_source *base, int64_t now_ns)
{
    struct source *src = source_of(base);
    ld_oracle_begin(&src->s->oracle, now_ns);
    src->start_ns = now_ns;
    begin_phase(src, 0, now_ns);
    for (unsigned i = 0; i < AHEAD; i++)
        src->ahead[i] = choose(src);
    tick(base, now_ns);
}

/* ---- Answers. ---- */

static void note_done(struct source *src, const struct ld_wl_request *r, uint64_t cookie, bool ok)
{
    struct ld_oracle *o = &src->s->oracle;
    if (r->ask == LD_ASK_REVOKE && ok) {
        /* Read now, not the loop's reading of the clock: this one is after the answer (O1). */
        ld_oracle_acknowledge(o, (uint32_t)cookie, pc_clock_mono_ns(), src->place.all_connections);
        look_for_events(src);
    }
    if (r->ask == LD_ASK_SET_FLAG)
        ld_oracle_end_flag(o, (unsigned)r->flag, (int64_t)(cookie >> 32), ok, pc_clock_mono_ns());
}

static bool is_allow(const struct ld_wl_request *r, const struct ld_answer *a)
{
    return r->ask == LD_ASK_EXISTS ? a->head_bytes > 1 && a->head[1] == '0' : a->status < 300;
}

static void count(struct source *src, unsigned request, const struct ld_answer *a, bool tolerated)
{
    const struct ld_wl_request *r = &src->s->w->requests[request];
    struct ld_wl_counts *c = &src->counts[request];
    c->tolerated += tolerated;
    c->allowed += is_allow(r, a);
    c->refused += !is_allow(r, a);
}

static void count_down_to_reopen(struct source *src, unsigned conn)
{
    if (!src->left_until_reopen || conn >= src->place.connections)
        return;
    if (--src->left_until_reopen[conn] == 0) {
        src->left_until_reopen[conn] = (uint32_t)src->s->w->requests_per_connection;
        src->hands.reopen(src->hands.loop, conn);
    }
}

/* A probe that was refused: this connection has seen the revocation. */
static void note_seen(struct source *src, uint32_t at, const struct ld_answer *a)
{
    struct ld_event *e = &src->s->oracle.events[at];
    const int64_t took_ns = pc_max_i64(1, a->received_ns - e->acked_ns);
    src->hands.record(src->hands.loop, (uint8_t)src->s->seen, took_ns);
    if (atomic_fetch_sub_explicit(&e->left, 1, memory_order_relaxed) == 1)
        src->hands.record(src->hands.loop, (uint8_t)src->s->everywhere, took_ns);
}

static enum ld_verdict judge(struct source *src, unsigned request, uint64_t cookie, bool is_probe,
                             const struct ld_answer *a, char why[LD_WHY_BYTES])
{
    const struct ld_workload_supply *s = src->s;
    struct ld_asked asked = {.w = s->w, .request = request, .is_probe = is_probe};
    bool tolerated;
    if (s->uses_token[request]) {
        asked.token_index = (uint32_t)cookie;
        asked.token = ld_tokens_at(&s->tokens, asked.token_index);
    }
    if (s->uses_key[request]) {
        asked.key_index = cookie >> 32;
        asked.key = key_of(src, (uint32_t)asked.key_index);
    }
    const enum ld_verdict v = ld_expect(&asked, &src->s->oracle, a, &tolerated, why);
    if (!is_probe)
        count(src, request, a, tolerated);
    return v;
}

static enum ld_verdict answered(struct ld_source *base, unsigned conn, uint8_t class,
                                uint64_t cookie, const struct ld_answer *a, char why[LD_WHY_BYTES])
{
    struct source *src = source_of(base);
    const struct ld_workload *w = src->s->w;
    const bool is_probe = class == src->s->probe;
    const unsigned request = is_probe ? request_of_probe(w) : class;
    const enum ld_verdict v = judge(src, request, cookie, is_probe, a, why);
    count_down_to_reopen(src, conn);
    if (is_probe && v == LD_RIGHT && a->status >= 300)
        note_seen(src, (uint32_t)(cookie >> 32), a);
    if (!is_probe)
        note_done(src, &w->requests[request], cookie, v == LD_RIGHT && a->status == 200);
    return v;
}

static void failed(struct ld_source *base, unsigned conn, uint8_t class, uint64_t cookie,
                   enum ld_failure failure)
{
    struct source *src = source_of(base);
    const struct ld_workload *w = src->s->w;
    (void)conn;
    (void)failure;
    if (class < w->request_count)
        note_done(src, &w->requests[class], cookie, false);
}

/* ---- Opening and closing. ---- */

static void close_source(struct ld_source *base)
{
    struct source *src = source_of(base);
    for (unsigned i = 0; i < src->s->w->request_count; i++) {
        atomic_fetch_add(&src->s->allowed[i], src->counts[i].allowed);
        atomic_fetch_add(&src->s->refused[i], src->counts[i].refused);
        atomic_fetch_add(&src->s->tolerated[i], src->counts[i].tolerated);
    }
    atomic_fetch_add(&src->s->probes_left_out, src->probes_left_out);
    atomic_fetch_add(&src->s->paced_left_out, src->paced_left_out);
    free(src->left_until_reopen);
    free(src);
}

static const struct ld_source_ops source_ops = {.start = start,
                                                .next = next,
                                                .answered = answered,
                                                .failed = failed,
                                                .tick = tick,
                                                .rate_per_s = rate_per_s,
                                                .close = close_source};

static void seed(struct source *src, uint64_t seed)
{
    const uint64_t words[4] = {seed, ~seed, UINT64_C(0x9e3779b97f4a7c15), src->place.thread};
    uint8_t bytes[32];
    memcpy(bytes, words, sizeof bytes);
    pc_prng_seed(&src->random, bytes);
    for (int i = 0; i < 16; i++) /* the words differ in few bits between threads */
        (void)pc_prng_u64(&src->random);
}

static void sum_shares(struct source *src)
{
    const struct ld_workload *w = src->s->w;
    for (unsigned i = 0; i < w->request_count; i++) {
        double sum = 0;
        for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
            src->shares_up_to[i][kind] = sum += w->requests[i].shares[kind];
    }
}

/* Connections are opened anew one after the other, not all at once. */
static bool stagger_reopening(struct source *src)
{
    const uint64_t each = src->s->w->requests_per_connection;
    if (each == 0)
        return true;
    src->left_until_reopen = calloc(src->place.connections, sizeof *src->left_until_reopen);
    for (unsigned i = 0; src->left_until_reopen && i < src->place.connections; i++)
        src->left_until_reopen[i] = (uint32_t)(1 + each * (i + 1) / src->place.connections);
    return src->left_until_reopen != NULL;
}

struct ld_source *ld_workload_source(struct ld_supply *supply, const struct ld_place *place,
                                     const struct ld_hands *hands, struct ld_problem *problem)
{
    struct source *src = calloc(1, sizeof *src);
    if (!src) {
        ld_problem_set(problem, "out of memory");
        return NULL;
    }
    src->base.ops = &source_ops;
    src->s = (struct ld_workload_supply *)supply;
    src->place = *place;
    src->hands = *hands;
    /* What an earlier run of a sweep revoked was shown in that run. */
    src->events_shown = atomic_load_explicit(&src->s->oracle.event_count, memory_order_relaxed);
    seed(src, place->seed);
    sum_shares(src);
    if (stagger_reopening(src))
        return &src->base;
    free(src);
    ld_problem_set(problem, "out of memory");
    return NULL;
}
