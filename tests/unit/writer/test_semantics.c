/* SPDX-License-Identifier: Apache-2.0
 * What a revocation means (DESIGN, section 2), as properties: merging does not depend on order or
 * duplication, ties refuse, cutoffs reach as far as tokens do, and clocks that jump forget nothing.
 * Decisions are made by the real pc_decide() over the writer's tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "edge/state/rcu.h"
#include "support/writer_rig.h"

#define ISSUER "issuer-0"
#define NOW_S  (RIG_WALL_MS / 1000)

static struct sim_disk *disk;
static struct rig rig;
static struct rig_core core;

static int setup(void **state)
{
    (void)state;
    disk = sim_disk_new(7);
    rig_init(&rig, disk);
    return 0;
}

/* The tests change settings first. */
static void begin(void)
{
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
}

static void restart(void)
{
    rig_core_free(&core);
    rig_close(&rig);
    begin();
}

static int teardown(void **state)
{
    (void)state;
    rig_core_free(&core);
    rig_close(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    return 0;
}

static void revoke(enum pc_kind kind, const char *issuer, const char *id)
{
    assert_int_equal(0, rig_commit(&rig, kind, PC_OP_REVOKE, issuer, id));
}

static void clear(enum pc_kind kind, const char *issuer, const char *id)
{
    assert_int_equal(0, rig_commit(&rig, kind, PC_OP_CLEAR, issuer, id));
}

static void revoke_issuer_until_now(const char *issuer)
{
    struct pc_change c = rig_change(PC_KIND_ISSUER, PC_OP_REVOKE, issuer, "");
    c.cutoff_ms = 1; /* "a cutoff": the writer sets the value */
    assert_int_equal(0, rig_run(&rig, rig_job(&c, 1), NULL));
}

static enum pc_token_error decide(const char *token)
{
    return rig_decide(&core, &rig, token);
}

/* The verdict on a token of issuer 0 made of these. */
static enum pc_token_error verdict(const char *sub, const char *jti, int64_t iat_s,
                                   const char *more)
{
    char token[RIG_TOKEN_MAX];
    return decide(rig_token(&rig, 0, sub, jti, iat_s, more, token));
}

/* ---- merging ---- */

#define CHANGES_MAX 5

struct outcome {
    struct pc_revocation_state state;
    bool absolute, cutoff; /* of the scopes, for kinds that have them */
};

/* Applies the Changes in this order to an id nobody used before. */
static struct outcome apply_in_order(struct pc_change *changes, const unsigned *order, unsigned n)
{
    static unsigned fresh;
    struct pc_change named = {0};
    struct outcome out = {0};
    char name[32];
    snprintf(name, sizeof name, "fresh-%u", ++fresh);
    for (unsigned i = 0; i < n; i++) {
        struct pc_room room = {0};
        named = changes[order[i]];
        if (named.kind == PC_KIND_ISSUER)
            named.issuer = pc_bytes_str(name);
        else if (named.kind != PC_KIND_ALL)
            named.id = pc_bytes_str(name);
        pc_room_add(&room, &named);
        assert_int_equal(0, pc_writer_reserve(rig.w, &room));
        pc_writer_apply(rig.w, &named, pc_writer_fingerprint(rig.w, &named));
        pc_rcu_quiescent();
    }
    pc_writer_look_up(rig.w, &named, &out.state);
    for (int absolute = 0; absolute < 2 && pc_scopes_holds(named.kind); absolute++) {
        const struct pc_scope *s =
            pc_scopes_find(&rig.w->scopes, named.kind, absolute, named.issuer, named.id);
        *(absolute ? &out.absolute : &out.cutoff) = s && pc_scope_refuses(s, 0);
    }
    if (named.kind == PC_KIND_ALL)
        pc_scopes_free(&rig.w->scopes); /* there is only one of it */
    return out;
}

static bool next_permutation(unsigned *v, unsigned n)
{
    unsigned i = n - 1, k = n - 1;
    while (i > 0 && v[i - 1] >= v[i])
        i--;
    if (i == 0)
        return false;
    while (v[k] <= v[i - 1])
        k--;
    unsigned t = v[i - 1];
    v[i - 1] = v[k];
    v[k] = t;
    for (k = n - 1; i < k; i++, k--) {
        t = v[i];
        v[i] = v[k];
        v[k] = t;
    }
    return true;
}

static void same_in_any_order(struct pc_change *changes, unsigned n, bool expect_refused)
{
    unsigned order[CHANGES_MAX] = {0, 1, 2, 3, 4};
    struct outcome first = apply_in_order(changes, order, n);
    assert_int_equal(first.state.refused, expect_refused);
    do {
        struct outcome again = apply_in_order(changes, order, n);
        assert_true(first.state.revoked_at_ms == again.state.revoked_at_ms);
        assert_true(first.state.cleared_at_ms == again.state.cleared_at_ms);
        assert_true(first.state.expires_at_ms == again.state.expires_at_ms);
        assert_true(first.state.cutoff_ms == again.state.cutoff_ms || first.state.refused == false);
        assert_int_equal(first.state.refused, again.state.refused);
        assert_int_equal(first.absolute, again.absolute);
        assert_int_equal(first.cutoff, again.cutoff);
    } while (next_permutation(order, n));
}

static struct pc_change stamped(enum pc_kind kind, enum pc_op op, const char *issuer, int64_t at_ms)
{
    struct pc_change c =
        rig_change(kind, op, kind == PC_KIND_ALL ? "" : issuer, kind < PC_KIND_ISSUER ? "id" : "");
    c.at_ms = RIG_WALL_MS + at_ms;
    c.expires_at_ms = kind == PC_KIND_KEY ? 0 : RIG_WALL_MS + 600000 + at_ms;
    if (op == PC_OP_REVOKE && (pc_kind_has_cutoff(kind) || kind == PC_KIND_ALL))
        c.cutoff_ms = c.at_ms + RIG_SKEW_MS;
    return c;
}

static void order_and_duplication_do_not_matter(void **state)
{
    (void)state;
    static const char *const issuers[] = {ISSUER, "*"};
    begin();
    for (enum pc_kind kind = PC_KIND_TOKEN; kind < PC_REVOCATION_KINDS_END; kind++)
        for (unsigned i = 0; i < PC_COUNT(issuers); i++)
            for (int64_t cleared = 5; cleared <= 25; cleared += 5) {
                /* revoke at 10 (twice: a replay), newer revoke at 20, a clear before, at, between,
                 * at and after them */
                struct pc_change c[CHANGES_MAX] = {
                    stamped(kind, PC_OP_REVOKE, issuers[i], 10),
                    stamped(kind, PC_OP_CLEAR, issuers[i], cleared),
                    stamped(kind, PC_OP_REVOKE, issuers[i], 20),
                    stamped(kind, PC_OP_REVOKE, issuers[i], 10),
                    stamped(kind, PC_OP_CLEAR, issuers[i], cleared - 3),
                };
                same_in_any_order(c, 5, cleared <= 20); /* a tie refuses */
                same_in_any_order(c, 2, cleared <= 10);
            }
}

static void an_issuers_cutoff_and_its_absolute_revocation_merge_apart(void **state)
{
    (void)state;
    begin();
    for (int64_t cleared = 5; cleared <= 25; cleared += 5) {
        struct pc_change c[CHANGES_MAX] = {
            stamped(PC_KIND_ISSUER, PC_OP_REVOKE, ISSUER, 10),
            stamped(PC_KIND_ISSUER, PC_OP_REVOKE, ISSUER, 20),
            stamped(PC_KIND_ISSUER, PC_OP_CLEAR, ISSUER, cleared),
            stamped(PC_KIND_ISSUER, PC_OP_REVOKE, ISSUER, 10),
        };
        c[1].cutoff_ms = c[1].at_ms + RIG_SKEW_MS; /* the newer one is the cutoff */
        same_in_any_order(c, 4, cleared <= 20);
        const unsigned order[] = {0, 1, 2, 3};
        struct outcome o = apply_in_order(c, order, 4);
        assert_int_equal(o.absolute, cleared <= 10);
        assert_int_equal(o.cutoff, cleared <= 20);
    }
}

static void a_shorter_expiry_never_shortens(void **state)
{
    (void)state;
    begin();
    rig_revoke_until(&rig, PC_KIND_TOKEN, "t", RIG_WALL_MS + 900000);
    rig_revoke_until(&rig, PC_KIND_TOKEN, "t", RIG_WALL_MS + 1000);
    assert_int_equal(rig_look_up(&rig, PC_KIND_TOKEN, ISSUER, "t").expires_at_ms,
                     RIG_WALL_MS + 900000);
    rig_revoke_until(&rig, PC_KIND_TOKEN, "t", 0);
    assert_true(rig_look_up(&rig, PC_KIND_TOKEN, ISSUER, "t").expires_at_ms == INT64_MAX);
}

/* ---- stamps ---- */

/* What each kind covers of one token, and how it is then refused. */
static const struct {
    enum pc_kind kind;
    const char *id;
    enum pc_token_error error;
} covers[] = {
    {PC_KIND_TOKEN,   "jti-1", PC_TOKEN_REVOKED    },
    {PC_KIND_SESSION, "sid-1", PC_SESSION_REVOKED  },
    {PC_KIND_FAMILY,  "fam-1", PC_FAMILY_REVOKED   },
    {PC_KIND_SUBJECT, "sub-1", PC_SUBJECT_REVOKED  },
    {PC_KIND_CLIENT,  "cli-1", PC_CLIENT_REVOKED   },
    {PC_KIND_KEY,     NULL,    PC_TOKEN_KEY_REVOKED},
    {PC_KIND_ISSUER,  "",      PC_ISSUER_REVOKED   },
    {PC_KIND_ALL,     "",      PC_ALL_REVOKED      },
};
#define CLAIMS ",\"sid\":\"sid-1\",\"fam\":\"fam-1\",\"client_id\":\"cli-1\""

static void the_last_word_wins_within_one_millisecond_and_behind_a_clock_set_back(void **state)
{
    (void)state;
    char thumbprint[PC_THUMBPRINT_CHARS + 1], token[RIG_TOKEN_MAX], other[RIG_TOKEN_MAX];
    begin();
    rig_thumbprint(rig.keys[0], thumbprint);
    rig_token(&rig, 0, "sub-1", "jti-1", NOW_S, CLAIMS, token);
    rig_token(&rig, 1, "sub-1", "jti-1", NOW_S, CLAIMS, other);
    assert_int_equal(PC_TOKEN_OK, decide(token));
    for (int wild = 0; wild < 2; wild++)
        for (unsigned i = 0; i < PC_COUNT(covers); i++) {
            const char *id = covers[i].id ? covers[i].id : thumbprint;
            bool all = covers[i].kind == PC_KIND_ALL;
            const char *issuer = all ? "" : wild ? "*" : ISSUER;
            for (unsigned k = 0; k < 6; k++) {
                if (k == 3)
                    rig_step(&rig, -2000); /* stamps go on from the hybrid clock */
                revoke(covers[i].kind, issuer, id);
                assert_int_equal(covers[i].error, decide(token));
                enum pc_token_error expected =
                    all || (wild && covers[i].kind != PC_KIND_KEY) ? covers[i].error : PC_TOKEN_OK;
                assert_int_equal(expected, decide(other)); /* another issuer's */
                clear(covers[i].kind, issuer, id);
                assert_int_equal(PC_TOKEN_OK, decide(token));
                assert_int_equal(PC_TOKEN_OK, decide(other));
            }
            rig_step(&rig, 2000);
        }
}

static void a_cutoff_is_the_hybrid_clock_plus_the_skew(void **state)
{
    (void)state;
    static const enum pc_kind kinds[] = {PC_KIND_SUBJECT, PC_KIND_CLIENT, PC_KIND_ISSUER,
                                         PC_KIND_ALL};
    rig.settings[1].skew_ms = 9000;
    rig.settings[1].max_lifetime_ms = 2 * RIG_LIFETIME_MS;
    begin();
    for (unsigned i = 0; i < PC_COUNT(kinds); i++)
        for (int wild = 0; wild < 2; wild++) {
            bool all = kinds[i] == PC_KIND_ALL;
            struct pc_change c = rig_change(kinds[i], PC_OP_REVOKE,
                                            all    ? ""
                                            : wild ? "*"
                                                   : ISSUER,
                                            i < 2 ? "someone" : "");
            struct pc_job *job;
            c.cutoff_ms = kinds[i] == PC_KIND_ISSUER;
            assert_int_equal(0, rig_run(&rig, rig_job(&c, 1), &job));
            c = job->items[0].change;
            int64_t skew = all || wild ? 9000 : RIG_SKEW_MS; /* the largest of those concerned */
            int64_t lifetime = all || wild ? 2 * RIG_LIFETIME_MS : RIG_LIFETIME_MS;
            assert_int_equal(c.cutoff_ms, pc_hlc_ms(c.hlc) + skew);
            assert_int_equal(c.expires_at_ms, c.cutoff_ms + lifetime);
            rig_step(&rig, -1000); /* the hybrid clock stays, and the cutoff with it */
            pc_job_free(job);
        }
}

static void an_issuer_without_a_lifetime_keeps_its_cutoffs_for_ever(void **state)
{
    (void)state;
    rig.settings[0].max_lifetime_ms = 0;
    begin();
    revoke(PC_KIND_SUBJECT, ISSUER, "s");
    revoke(PC_KIND_CLIENT, "*", "c");
    assert_true(rig_look_up(&rig, PC_KIND_SUBJECT, ISSUER, "s").expires_at_ms == INT64_MAX);
    assert_true(rig_look_up(&rig, PC_KIND_CLIENT, "*", "c").expires_at_ms == INT64_MAX);
}

/* ---- how long it is honoured ---- */

static void a_revocation_lasts_as_long_as_its_token(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX];
    begin();
    rig_token(&rig, 0, "u", "t", NOW_S, "", token);
    int64_t exp_ms = RIG_WALL_MS + 900000;
    rig_revoke_until(&rig, PC_KIND_TOKEN, "t", exp_ms);
    for (int i = 0; i < 2; i++) { /* also through a snapshot */
        rig.wall_ms = exp_ms + RIG_SKEW_MS - 1;
        assert_int_equal(PC_TOKEN_REVOKED, decide(token));
        rig.wall_ms = exp_ms + RIG_SKEW_MS;
        assert_int_equal(PC_TOKEN_EXPIRED, decide(token));
        if (i == 0)
            restart();
    }
}

/* The youngest and longest-lived token a cutoff covers: issued by a clock ahead by the whole skew,
 * as long as the issuer may. */
static void a_cutoff_lasts_as_long_as_the_last_token_it_covers(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX], later[RIG_TOKEN_MAX];
    rig.settings[0].max_lifetime_ms = 900000;
    begin();
    revoke(PC_KIND_SUBJECT, ISSUER, "u");
    int64_t iat_s = NOW_S + RIG_SKEW_MS / 1000, end_ms = (iat_s + 900) * 1000 + RIG_SKEW_MS;
    rig_token(&rig, 0, "u", "t", iat_s, "", token);
    rig_token(&rig, 0, "u", "t", iat_s + 1, "", later);
    assert_int_equal(PC_SUBJECT_REVOKED, decide(token));
    rig.wall_ms = RIG_WALL_MS + 1000;
    assert_int_equal(PC_TOKEN_OK, decide(later)); /* issued after the cutoff */
    for (int i = 0; i < 2; i++) {
        rig.wall_ms = end_ms - 1;
        assert_int_equal(PC_SUBJECT_REVOKED, decide(token));
        rig.wall_ms = end_ms;
        assert_int_equal(PC_TOKEN_EXPIRED, decide(token));
        if (i == 0)
            restart();
    }
}

/* ---- iat against cutoffs ---- */

static void a_whole_second_counts_as_its_beginning(void **state)
{
    (void)state;
    rig.settings[0].skew_ms = 0;
    begin();
    rig.wall_ms = RIG_WALL_MS + 1;
    revoke(PC_KIND_SUBJECT, ISSUER, "u"); /* cutoff in the first millisecond of the second */
    assert_int_equal(PC_SUBJECT_REVOKED, verdict("u", "a", NOW_S, ""));
    rig.wall_ms = RIG_WALL_MS + 1000;
    assert_int_equal(PC_SUBJECT_REVOKED, verdict("u", "b", NOW_S, ""));
    assert_int_equal(PC_TOKEN_OK, verdict("u", "c", NOW_S + 1, ""));
    revoke(PC_KIND_SUBJECT, ISSUER, "u"); /* at exactly that iat: at or before is refused */
    assert_int_equal(PC_SUBJECT_REVOKED, verdict("u", "c", NOW_S + 1, ""));
}

static void milliseconds_count_where_they_are_believed(void **state)
{
    (void)state;
    rig.settings[0].skew_ms = 0;
    rig.settings[0].trust_iat_ms = true;
    begin();
    rig.wall_ms = RIG_WALL_MS + 500;
    revoke(PC_KIND_SUBJECT, ISSUER, "u");
    rig.wall_ms = RIG_WALL_MS + 999;
    assert_int_equal(PC_SUBJECT_REVOKED, verdict("u", "a", NOW_S, ",\"iat_ms\":1800000000500"));
    assert_int_equal(PC_TOKEN_OK, verdict("u", "a", NOW_S, ",\"iat_ms\":1800000000501"));
    /* Only if both agree. */
    assert_int_not_equal(PC_TOKEN_OK, verdict("u", "a", NOW_S, ",\"iat_ms\":1800000001501"));
    rig.settings[0].trust_iat_ms = false;
    rig_reload(&rig);
    assert_int_equal(PC_SUBJECT_REVOKED, verdict("u", "a", NOW_S, ",\"iat_ms\":1800000000501"));
}

static const char *token_without_iat(const char *sub, char out[RIG_TOKEN_MAX])
{
    char claims[256];
    struct pc_buf b = pc_buf_of(out, RIG_TOKEN_MAX - 1);
    snprintf(claims, sizeof claims,
             "{\"iss\":\"" ISSUER "\",\"sub\":\"%s\",\"jti\":\"j\",\"exp\":%lld}", sub,
             (long long)NOW_S + 900);
    mint_token(&b, rig.keys[0], PC_ALG_EDDSA, claims);
    out[b.len] = 0;
    return out;
}

static void a_missing_iat_is_before_every_cutoff(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX];
    rig.settings[0].max_lifetime_ms = 0;
    begin();
    token_without_iat("u", token);
    assert_int_equal(PC_TOKEN_OK, decide(token));
    revoke(PC_KIND_SUBJECT, ISSUER, "other");
    assert_int_equal(PC_TOKEN_OK, decide(token));
    revoke(PC_KIND_SUBJECT, ISSUER, "u");
    assert_int_equal(PC_SUBJECT_REVOKED, decide(token));
    clear(PC_KIND_SUBJECT, ISSUER, "u");
    revoke_issuer_until_now(ISSUER);
    assert_int_equal(PC_ISSUER_REVOKED, decide(token));
    clear(PC_KIND_ISSUER, ISSUER, "");
    assert_int_equal(PC_TOKEN_OK, decide(token));
    revoke(PC_KIND_ALL, "", "");
    assert_int_equal(PC_ALL_REVOKED, decide(token));
}

static void an_iat_ahead_by_the_skew_is_covered(void **state)
{
    (void)state;
    begin();
    int64_t ahead = RIG_SKEW_MS / 1000;
    revoke(PC_KIND_ALL, "", "");
    assert_int_equal(PC_ALL_REVOKED, verdict("u", "a", NOW_S + ahead, ""));
    assert_int_equal(PC_TOKEN_ISSUED_IN_FUTURE, verdict("u", "b", NOW_S + ahead + 1, ""));
}

static void the_largest_of_all_cutoffs_decides(void **state)
{
    (void)state;
    static const struct {
        enum pc_kind kind;
        const char *issuer, *id;
    } cutoffs[] = {
        {PC_KIND_SUBJECT, ISSUER, "u"},
        {PC_KIND_SUBJECT, "*",    "u"},
        {PC_KIND_CLIENT,  ISSUER, "c"},
        {PC_KIND_CLIENT,  "*",    "c"},
        {PC_KIND_ISSUER,  ISSUER, "" },
        {PC_KIND_ISSUER,  "*",    "" },
        {PC_KIND_ALL,     "",     "" },
    };
    rig.settings[0].skew_ms = rig.settings[1].skew_ms = 0;
    begin();
    /* Each in its own second; a token issued in the second before the newest is refused. */
    for (unsigned i = 0; i < PC_COUNT(cutoffs); i++) {
        rig_pass(&rig, 1000);
        int64_t now_s = rig.wall_ms / 1000;
        assert_int_equal(PC_TOKEN_OK, verdict("u", "t", now_s, ",\"client_id\":\"c\""));
        if (cutoffs[i].kind == PC_KIND_ISSUER)
            revoke_issuer_until_now(cutoffs[i].issuer);
        else
            revoke(cutoffs[i].kind, cutoffs[i].issuer, cutoffs[i].id);
        assert_int_not_equal(PC_TOKEN_OK, verdict("u", "t", now_s, ",\"client_id\":\"c\""));
        rig_pass(&rig, 1000);
        assert_int_equal(PC_TOKEN_OK, verdict("u", "t", now_s + 1, ",\"client_id\":\"c\""));
    }
}

/* ---- keys ---- */

static void a_revoked_key_stays_out_whatever_it_signs_and_whoever_lists_it(void **state)
{
    (void)state;
    char thumbprint[PC_THUMBPRINT_CHARS + 1], before[RIG_TOKEN_MAX], after[RIG_TOKEN_MAX],
        elsewhere[RIG_TOKEN_MAX];
    begin();
    rig_thumbprint(rig.spare_key, thumbprint);
    rig_token_by(rig.spare_key, ISSUER, "u", "t", NOW_S, "", before);
    rig_token_by(rig.spare_key, "issuer-1", "u", "t", NOW_S, "", elsewhere);
    assert_int_equal(PC_TOKEN_OK, decide(before)); /* cached from here on */
    revoke(PC_KIND_KEY, ISSUER, thumbprint);
    rig_pass(&rig, 5000);
    rig_token_by(rig.spare_key, ISSUER, "u", "t", NOW_S + 5, "", after);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(PC_TOKEN_KEY_REVOKED, decide(before));
        assert_int_equal(PC_TOKEN_KEY_REVOKED, decide(after));
        assert_int_equal(PC_TOKEN_OK, decide(elsewhere)); /* a key is its issuer's */
        if (i == 0)
            rig_reload(&rig); /* the key set lists it again */
        else if (i == 1)
            restart(); /* so does the configuration at a start */
    }
    revoke(PC_KIND_KEY, "*", thumbprint);
    rig_reload(&rig);
    assert_int_equal(PC_TOKEN_KEY_REVOKED, decide(elsewhere));
    clear(PC_KIND_KEY, ISSUER, thumbprint);
    assert_int_equal(PC_TOKEN_KEY_REVOKED, decide(before)); /* "*" still names it */
    clear(PC_KIND_KEY, "*", thumbprint);
    assert_int_equal(PC_TOKEN_OK, decide(before));
    assert_int_equal(PC_TOKEN_OK, decide(elsewhere));
    assert_int_equal(PC_TOKEN_OK, verdict("u", "t", NOW_S, "")); /* another key never suffered */
}

static void a_key_may_be_revoked_before_it_is_ever_listed(void **state)
{
    (void)state;
    char thumbprint[PC_THUMBPRINT_CHARS + 1], token[RIG_TOKEN_MAX];
    struct mint_key *listed = rig.spare_key;
    uint8_t seed[32] = {55};
    struct mint_key *leaked = mint_key_from_seed(seed, "leaked");
    begin();
    rig_thumbprint(leaked, thumbprint);
    rig_token_by(leaked, ISSUER, "u", "t", NOW_S, "", token);
    revoke(PC_KIND_KEY, ISSUER, thumbprint);
    assert_int_equal(PC_TOKEN_KEY_UNKNOWN, decide(token));
    rig.spare_key = leaked;
    rig_reload(&rig);
    assert_int_equal(PC_TOKEN_KEY_REVOKED, decide(token));
    rig.spare_key = listed;
    mint_key_free(leaked);
}

static void issuers_and_all_survive_reloads(void **state)
{
    (void)state;
    begin();
    revoke(PC_KIND_ISSUER, "issuer-1", "");
    revoke(PC_KIND_SESSION, "*", "s");
    for (int i = 0; i < 3; i++) {
        char token[RIG_TOKEN_MAX];
        rig_token(&rig, 1, "u", "t", NOW_S, "", token);
        assert_int_equal(PC_ISSUER_REVOKED, decide(token));
        assert_int_equal(PC_SESSION_REVOKED, verdict("u", "t", NOW_S, ",\"sid\":\"s\""));
        assert_int_equal(PC_TOKEN_OK, verdict("u", "t", NOW_S, ""));
        if (i == 0)
            rig_reload(&rig);
        else if (i == 1)
            restart();
    }
}

/* ---- clocks ---- */

static void pass_seconds(unsigned n)
{
    while (n--) {
        rig_pass(&rig, 1000);
        pc_writer_turn(rig.w);
    }
}

static int confirm(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    pc_writer_confirm_clock(w);
    return 0;
}

static void a_clock_stepped_forward_and_back_forgets_nothing(void **state)
{
    (void)state;
    char token[RIG_TOKEN_MAX];
    begin();
    rig_token(&rig, 0, "u", "t", NOW_S, "", token);
    rig_revoke_until(&rig, PC_KIND_TOKEN, "t", RIG_WALL_MS + 900000);
    revoke(PC_KIND_SUBJECT, ISSUER, "u2");
    pass_seconds(5);
    rig_step(&rig, INT64_C(86400000));
    pass_seconds(300); /* long enough to be removed, were the clock believed */
    assert_int_equal(PC_TOKEN_EXPIRED, decide(token));
    rig_step(&rig, INT64_C(-86400000));
    pass_seconds(1);
    assert_int_equal(PC_TOKEN_REVOKED, decide(token));
    assert_int_equal(PC_SUBJECT_REVOKED, verdict("u2", "x", NOW_S, ""));
    pass_seconds(90);
    assert_int_equal(PC_TOKEN_REVOKED, decide(token));
}

static void a_start_with_another_hour_removes_nothing_until_confirmed(void **state)
{
    (void)state;
    struct pc_revocations_stats stats;
    struct pc_writer_health health;
    begin();
    rig_revoke_until(&rig, PC_KIND_TOKEN, "t", RIG_WALL_MS + 900000);
    rig_core_free(&core);
    rig_close(&rig);
    rig.wall_ms += PC_CLOCK_START_GAP_MS + 1000;
    begin();
    pass_seconds(200);
    pc_writer_health(rig.w, &health);
    assert_int_equal(health.clock, PC_CLOCK_START_GAP);
    pc_revocations_read_stats(rig.tables->ids, &stats);
    assert_int_equal(stats.entries, 1);
    rig_run(&rig, rig_task(confirm, NULL), NULL);
    pass_seconds(65);
    pc_revocations_read_stats(rig.tables->ids, &stats);
    assert_int_equal(stats.entries, 0);
}

static void stamps_never_go_back_whatever_clock_a_start_finds(void **state)
{
    (void)state;
    uint64_t last = 0;
    begin();
    for (int i = 0; i < 6; i++) {
        struct pc_change c = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "t");
        struct pc_job *job;
        assert_int_equal(0, rig_run(&rig, rig_job(&c, 1), &job));
        assert_true(job->items[0].change.hlc > last);
        last = job->items[0].change.hlc;
        pc_job_free(job);
        rig.wall_ms -= 7200000;
        if (i % 2) {
            restart(); /* through a snapshot */
        } else {
            rig_core_free(&core);
            rig_drop(&rig); /* through the journal alone */
            sim_disk_kill(disk);
            begin();
        }
        clear(PC_KIND_TOKEN, ISSUER, "t"); /* and what comes later overrides */
        assert_false(rig_look_up(&rig, PC_KIND_TOKEN, ISSUER, "t").refused);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(order_and_duplication_do_not_matter),
        TEST(an_issuers_cutoff_and_its_absolute_revocation_merge_apart),
        TEST(a_shorter_expiry_never_shortens),
        TEST(the_last_word_wins_within_one_millisecond_and_behind_a_clock_set_back),
        TEST(a_cutoff_is_the_hybrid_clock_plus_the_skew),
        TEST(an_issuer_without_a_lifetime_keeps_its_cutoffs_for_ever),
        TEST(a_revocation_lasts_as_long_as_its_token),
        TEST(a_cutoff_lasts_as_long_as_the_last_token_it_covers),
        TEST(a_whole_second_counts_as_its_beginning),
        TEST(milliseconds_count_where_they_are_believed),
        TEST(a_missing_iat_is_before_every_cutoff),
        TEST(an_iat_ahead_by_the_skew_is_covered),
        TEST(the_largest_of_all_cutoffs_decides),
        TEST(a_revoked_key_stays_out_whatever_it_signs_and_whoever_lists_it),
        TEST(a_key_may_be_revoked_before_it_is_ever_listed),
        TEST(issuers_and_all_survive_reloads),
        TEST(a_clock_stepped_forward_and_back_forgets_nothing),
        TEST(a_start_with_another_hour_removes_nothing_until_confirmed),
        TEST(stamps_never_go_back_whatever_clock_a_start_finds),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
