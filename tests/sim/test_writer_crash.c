/* SPDX-License-Identifier: Apache-2.0
 * Seeded crash simulation of the whole writer on a disk that forgets: random mutations of every
 * kind, snapshots with mutations in their middle, segments that fill, faults, clocks that step,
 * and crashes at any file operation, also within recovery. After each start the oracle compares
 * what is refused with a naive model: everything acknowledged is there, revokes and un-revokes
 * alike, and beyond it only a prefix of what was asked for and not acknowledged.
 *
 * One thread: it is the writer, its background, its clients and the disk. PC_SIM_SEEDS=N runs N
 * seeds, PC_SIM_SEED=S one; a seed gives the same run, byte for byte. A disk that completes syncs
 * without doing them must be caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/state/rcu.h"
#include "support/audit_kit.h"
#include "support/writer_rig.h"

#define SEEDS_DEFAULT 150u
#define STEPS         50u
#define IDS           6u
#define ISSUERS       3u /* two, and "*" */
#define PENDING_MAX   4096u

/* ---- the model: naive, by maximum ---- */

struct entry {
    int64_t revoked, cleared, expires, cutoff;
};

/* One per kind, issuer and id; an issuer has its absolute and its cutoff. */
struct model {
    struct entry at[PC_REVOCATION_KINDS_END + 1][ISSUERS][IDS];
};
#define ROW_ISSUER_CUTOFF PC_REVOCATION_KINDS_END

struct change {
    enum pc_kind kind;
    enum pc_op op;
    unsigned issuer, id;
    int64_t at, expires, cutoff;
};

static const char *const issuer_names[ISSUERS] = {"issuer-0", "issuer-1", "*"};
static char id_names[IDS][PC_THUMBPRINT_CHARS + 1];

static void model_reset(struct model *m)
{
    struct entry *e = &m->at[0][0][0];
    for (size_t i = 0; i < sizeof m->at / sizeof *e; i++)
        e[i] = (struct entry){INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
}

static void raise_to(int64_t *field, int64_t value)
{
    *field = value > *field ? value : *field;
}

static void model_apply(struct model *m, const struct change *c)
{
    int64_t expires = c->expires ? c->expires : INT64_MAX;
    unsigned row = c->kind == PC_KIND_ISSUER && c->cutoff ? ROW_ISSUER_CUTOFF : c->kind;
    struct entry *e = &m->at[row][c->issuer][c->id];
    if (c->op == PC_OP_REVOKE) {
        raise_to(&e->revoked, c->at);
        raise_to(&e->expires, expires);
        if (c->cutoff)
            raise_to(&e->cutoff, c->cutoff);
        return;
    }
    raise_to(&e->cleared, c->at);
    if (c->kind < PC_KIND_KEY)
        raise_to(&e->expires, expires);
    if (c->kind == PC_KIND_ISSUER)
        raise_to(&m->at[ROW_ISSUER_CUTOFF][c->issuer][c->id].cleared, c->at);
}

static bool entry_refuses(const struct entry *e)
{
    return e->revoked != INT64_MIN && e->revoked >= e->cleared;
}

/* What a look-up says: of an issuer both entries together. */
static struct entry model_of(const struct model *m, enum pc_kind kind, unsigned issuer, unsigned id,
                             bool *ret_refused)
{
    struct entry e = m->at[kind][issuer][id];
    *ret_refused = entry_refuses(&e);
    if (kind == PC_KIND_ISSUER) {
        const struct entry *c = &m->at[ROW_ISSUER_CUTOFF][issuer][id];
        *ret_refused |= entry_refuses(c);
        raise_to(&e.revoked, c->revoked);
        raise_to(&e.expires, c->expires);
        raise_to(&e.cutoff, c->cutoff);
    }
    return e;
}

/* ---- a run ---- */

struct run {
    uint64_t random;
    struct rig rig;
    struct pc_file_ops ops;             /* the disk's, with a hook in the middle of snapshots */
    struct model settled;               /* acknowledged and durable */
    struct change pending[PENDING_MAX]; /* behind it, in the order of the journal */
    size_t pending_n;
    uint64_t last_hlc; /* acknowledged and durable */
    bool journal_failed;
    const char *broken;
    char detail[160];
};
static struct run run;

static bool chance(struct run *r, uint64_t one_in)
{
    return sim_below(&r->random, one_in) == 0;
}

static int64_t wall(const struct run *r)
{
    return atomic_load(&r->rig.wall_ms);
}

static struct pc_change as_change(const struct change *c)
{
    bool whole = c->kind >= PC_KIND_ISSUER;
    struct pc_change out =
        rig_change(c->kind, c->op, c->kind == PC_KIND_ALL ? "" : issuer_names[c->issuer],
                   whole ? "" : id_names[c->id]);
    out.expires_at_ms = c->expires;
    out.cutoff_ms = c->cutoff;
    return out;
}

static struct change random_change(struct run *r, enum pc_op op)
{
    static const int64_t lives[] = {0, 20000, 600000, 3600000};
    enum pc_kind kind = (enum pc_kind)(1 + sim_below(&r->random, PC_REVOCATION_KINDS_END - 1));
    struct change c = {.kind = kind, .op = op};
    c.issuer = kind == PC_KIND_ALL ? 0 : (unsigned)sim_below(&r->random, ISSUERS);
    c.id = kind >= PC_KIND_ISSUER ? 0 : (unsigned)sim_below(&r->random, IDS);
    if (op == PC_OP_REVOKE && kind <= PC_KIND_FAMILY) {
        int64_t life = lives[sim_below(&r->random, PC_COUNT(lives))];
        c.expires = life ? wall(r) + life : 0;
    }
    c.cutoff = op == PC_OP_REVOKE && kind == PC_KIND_ISSUER && chance(r, 2);
    return c;
}

static void push_some(struct run *r)
{
    for (uint64_t n = 1 + sim_below(&r->random, 4); n > 0; n--) {
        struct pc_change changes[3];
        uint32_t count = 1 + (uint32_t)sim_below(&r->random, 3);
        enum pc_op op = sim_below(&r->random, 3) ? PC_OP_REVOKE : PC_OP_CLEAR;
        for (uint32_t i = 0; i < count; i++) {
            struct change c = random_change(r, op);
            changes[i] = as_change(&c);
        }
        struct pc_job *job = rig_job(changes, count);
        if (rig_push(&r->rig, (unsigned)sim_below(&r->random, RIG_PRODUCERS), job) < 0)
            pc_job_free(job);
    }
}

static unsigned number_of(struct pc_bytes name, const char *names, size_t stride, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (pc_bytes_eq_str(name, names + i * stride))
            return i;
    return 0;
}

static void note(struct run *r, const struct pc_change *c, int result)
{
    struct change out = {c->kind, c->op, 0, 0, c->at_ms, c->expires_at_ms, c->cutoff_ms};
    if (result < 0 && !pc_journal_failed(r->rig.w->journal))
        return; /* refused before anything was written */
    if (c->at_ms == 0)
        return; /* not even stamped */
    for (unsigned i = 0; i < ISSUERS; i++)
        if (pc_bytes_eq_str(c->issuer, issuer_names[i]))
            out.issuer = i;
    out.id = number_of(c->id, id_names[0], sizeof id_names[0], IDS);
    PC_ASSERT(r->pending_n < PENDING_MAX);
    r->pending[r->pending_n++] = out;
    if (result == 0 && c->hlc <= r->last_hlc)
        r->broken = "a stamp is not above those acknowledged before";
    if (result == 0)
        r->last_hlc = c->hlc;
}

static void settle_pending(struct run *r)
{
    for (size_t i = 0; i < r->pending_n; i++)
        model_apply(&r->settled, &r->pending[i]);
    r->pending_n = 0;
}

/* Takes the answers into the model. What is acknowledged with durability group is durable; once the
 * journal failed nothing is acknowledged, and what failed with it may still be there. */
static void take_answers(struct run *r)
{
    struct rig *rig = &r->rig;
    bool group = rig->options.durability == PC_DURABILITY_GROUP;
    for (size_t i = 0; i < rig->answers_n; i++) {
        const struct pc_job *job = rig->answers[i];
        for (uint32_t k = 0; k < job->count; k++)
            note(r, &job->items[k].change, job->result);
        if (job->result == 0 && r->journal_failed)
            r->broken = "acknowledged although the journal had failed";
        if (job->result == 0 && group)
            settle_pending(r);
        r->journal_failed |= job->result < 0 && pc_journal_failed(rig->w->journal);
    }
    rig_forget(rig);
}

/* A snapshot that overlaps with Changes not yet synced may bring back some of them out of order
 * (background.c): here, where the oracle wants a prefix, it is then written at once. */
static void write_begun_snapshot(struct run *r)
{
    struct pc_writer *w = r->rig.w;
    while (r->rig.options.durability != PC_DURABILITY_GROUP &&
           atomic_load(&w->background.snapshot) == PC_SNAPSHOT_RUNNING)
        pc_background_work(w);
}

static void turn(struct run *r)
{
    write_begun_snapshot(r);
    pc_writer_turn(r->rig.w);
    write_begun_snapshot(r);
    take_answers(r);
    const struct pc_journal *j = r->rig.w->journal;
    if (!pc_journal_failed(j) && pc_journal_durable(j) == pc_journal_appended(j))
        settle_pending(r);
}

/* ---- the oracle ---- */

static bool agrees(const struct run *r, const struct model *m, enum pc_kind kind, unsigned issuer,
                   unsigned id, bool exactly)
{
    struct pc_change c =
        as_change(&(struct change){.kind = kind, .op = PC_OP_CLEAR, .issuer = issuer, .id = id});
    struct pc_revocation_state got;
    bool refused;
    struct entry e = model_of(m, kind, issuer, id, &refused);
    pc_writer_look_up(r->rig.w, &c, &got);
    /* Look-ups end with the skew behind the expiry; what has ended may have been removed. */
    int64_t expires = e.expires > got.expires_at_ms ? e.expires : got.expires_at_ms;
    if (expires <= wall(r))
        return got.refused == false || refused;
    if (got.refused != refused)
        return false;
    if (exactly && (got.revoked_at_ms != e.revoked || got.cleared_at_ms != e.cleared ||
                    got.expires_at_ms != e.expires || got.cutoff_ms != e.cutoff))
        return false;
    return !refused || (got.revoked_at_ms == e.revoked && got.expires_at_ms == e.expires &&
                        got.cutoff_ms == e.cutoff);
}

/* The trust snapshot must say of issuers, keys and all what the entries say. */
static bool trust_agrees(const struct run *r, const struct model *m)
{
    const struct pc_trust *t = pc_tables_trust(r->rig.tables);
    bool ok = true, refused;
    for (unsigned i = 0; i < t->issuer_count; i++) {
        int64_t cutoff = PC_CUTOFF_NONE;
        bool absolute = false;
        for (unsigned k = i; k < ISSUERS; k += 2 - i) {
            const struct entry *c = &m->at[ROW_ISSUER_CUTOFF][k][0];
            absolute |= entry_refuses(&m->at[PC_KIND_ISSUER][k][0]);
            if (entry_refuses(c))
                raise_to(&cutoff, c->cutoff);
        }
        ok &= t->status[i].revoked == absolute && t->status[i].cutoff_ms == cutoff;
    }
    struct entry all = model_of(m, PC_KIND_ALL, 0, 0, &refused);
    ok &= t->all_cutoff_ms == (refused ? all.cutoff : PC_CUTOFF_NONE);
    for (uint32_t i = 0; i < t->key_count; i++) {
        unsigned issuer = i < t->issuers[0].key_count ? 0 : 1;
        unsigned id = number_of(pc_bytes_str(t->keys[i].key->thumbprint), id_names[0],
                                sizeof id_names[0], IDS);
        ok &= t->keys[i].revoked == (entry_refuses(&m->at[PC_KIND_KEY][issuer][id]) ||
                                     entry_refuses(&m->at[PC_KIND_KEY][2][id]));
    }
    return ok;
}

static const char *disagreement(const struct run *r, const struct model *m, bool exactly,
                                char *detail, size_t n)
{
    for (enum pc_kind kind = PC_KIND_TOKEN; kind < PC_REVOCATION_KINDS_END; kind++)
        for (unsigned issuer = 0; issuer < (kind == PC_KIND_ALL ? 1 : ISSUERS); issuer++)
            for (unsigned id = 0; id < (kind >= PC_KIND_ISSUER ? 1 : IDS); id++)
                if (!agrees(r, m, kind, issuer, id, exactly)) {
                    snprintf(detail, n, "%s %s %u", pc_kind_name(kind), issuer_names[issuer], id);
                    return "what is refused is not what was acknowledged";
                }
    if (!trust_agrees(r, m)) {
        snprintf(detail, n, "trust snapshot");
        return "the trust snapshot is not what was acknowledged";
    }
    return NULL;
}

/* The prefix of what was pending with which the model agrees. Clears that show nowhere else are
 * told by all fields; where expired entries were removed, only by what is refused. */
static const char *find_prefix(struct run *r, bool exactly, struct model *ret_m)
{
    struct model m = r->settled;
    const char *broken = NULL;
    for (size_t i = 0;; i++) {
        broken = disagreement(r, &m, exactly, r->detail, sizeof r->detail);
        if (!broken || i == r->pending_n)
            break;
        model_apply(&m, &r->pending[i]);
    }
    if (!broken)
        *ret_m = m;
    return broken;
}

/* What came back must be what was settled and a prefix of what was pending; that is the truth
 * from here on. */
static void check_recovered(struct run *r)
{
    if (find_prefix(r, true, &r->settled)) {
        const char *broken = find_prefix(r, false, &r->settled);
        r->broken = r->broken ? r->broken : broken;
    }
    if (r->rig.w->hlc.last < r->last_hlc && r->rig.options.durability == PC_DURABILITY_GROUP)
        r->broken = "the hybrid clock went back";
    r->pending_n = 0;
    r->journal_failed = false;
    r->last_hlc = r->rig.w->hlc.last;
}

/* ---- steps ---- */

static void disarm(struct run *r)
{
    sim_disk_fault(r->rig.disk, SIM_EIO, 0, false);
}

/* Starts until a start succeeds; crashes and faults may strike in between. */
static void start(struct run *r)
{
    struct sim_disk *disk = r->rig.disk;
    for (unsigned attempt = 0; !r->broken; attempt++) {
        if (attempt < 2 && chance(r, 5))
            sim_disk_stop_at(disk, 1 + sim_below(&r->random, 40));
        else if (attempt < 2 && chance(r, 6))
            sim_disk_fault(disk, (enum sim_fault)sim_below(&r->random, SIM_FAULTS),
                           1 + sim_below(&r->random, 40), false);
        if (rig_open(&r->rig) == 0 && !sim_disk_stopped(disk)) {
            disarm(r);
            check_recovered(r);
            return;
        }
        if (r->rig.w)
            rig_drop(&r->rig);
        if (sim_disk_open_files(disk) && !sim_disk_stopped(disk))
            r->broken = "a failed start left files open";
        if (sim_disk_stopped(disk))
            sim_disk_crash(disk);
        else if (!sim_disk_fault_fired(disk) || attempt > 10) {
            r->broken = "recovery refused what a crash left behind";
            snprintf(r->detail, sizeof r->detail, "%.150s", r->rig.why.text);
        } else
            sim_disk_kill(disk);
        disarm(r);
    }
}

static void go_down(struct run *r, bool crash)
{
    if (!crash && chance(r, 2)) {
        pc_writer_shut_down(r->rig.w);
        take_answers(r);
        if (!pc_journal_failed(r->rig.w->journal))
            settle_pending(r);
    }
    take_answers(r);
    rig_drop(&r->rig);
    if (crash || sim_disk_stopped(r->rig.disk))
        sim_disk_crash(r->rig.disk);
    else
        sim_disk_kill(r->rig.disk);
    disarm(r);
    start(r);
}

static void random_fault(struct run *r)
{
    struct sim_disk *disk = r->rig.disk;
    if (chance(r, 14))
        sim_disk_stop_at(disk, 1 + sim_below(&r->random, 16));
    else if (chance(r, 30))
        sim_disk_fault(disk, (enum sim_fault)sim_below(&r->random, SIM_FAULTS),
                       1 + sim_below(&r->random, 16), false);
}

static void pass(struct run *r)
{
    static const int64_t spans[] = {10, 100, 1000, 30000};
    rig_pass(&r->rig, spans[sim_below(&r->random, PC_COUNT(spans))]);
    if (chance(r, 20))
        rig_step(&r->rig, (int64_t)sim_below(&r->random, 20000) - 10000);
}

static void step(struct run *r)
{
    random_fault(r);
    switch (sim_below(&r->random, 10)) {
    case 0: pc_writer_begin_snapshot(r->rig.w); break;
    case 1: pc_background_work(r->rig.w); break;
    case 2: pass(r); break;
    case 3: break; /* an idle turn seals */
    default: push_some(r);
    }
    turn(r);
    if (r->broken)
        return;
    if (sim_disk_stopped(r->rig.disk) || chance(r, 30))
        go_down(r, true);
    else if (pc_journal_failed(r->rig.w->journal) || chance(r, 30))
        go_down(r, chance(r, 3));
}

/* In the middle of a snapshot (its file is open, or about to get its name) mutations go on. */
static void amid_snapshot(struct run *r)
{
    if (r->rig.w && r->rig.answers_n == 0 && pc_writer_ready(r->rig.w) &&
        r->rig.options.durability == PC_DURABILITY_GROUP && chance(r, 2)) {
        push_some(r);
        turn(r);
    }
}

static int hooked_open(void *ctx, int dir, const char *name, unsigned flags)
{
    int fd = sim_disk_ops(run.rig.disk)->open(ctx, dir, name, flags);
    if (fd >= 0 && (flags & PC_FILE_EMPTY) && strncmp(name, "snapshot", 8) == 0)
        amid_snapshot(&run);
    return fd;
}

static int hooked_rename(void *ctx, int dir, const char *from, const char *to)
{
    if (strncmp(from, "snapshot", 8) == 0)
        amid_snapshot(&run);
    return sim_disk_ops(run.rig.disk)->rename(ctx, dir, from, to);
}

static void set_up(struct run *r, uint64_t seed, bool lie)
{
    struct sim_disk *disk = sim_disk_new(seed ^ 0x5eed);
    sim_disk_lie_about_syncs(disk, lie);
    rig_init(&r->rig, disk);
    r->random = seed;
    r->rig.random = seed ^ 0xabcd;
    r->rig.segment_entries = 16;
    r->ops = *sim_disk_ops(disk);
    r->ops.open = hooked_open;
    r->ops.rename = hooked_rename;
    r->rig.options.files = &r->ops;
    r->rig.options.segment_bytes = chance(r, 2) ? PC_JOURNAL_SEGMENT_BYTES_MIN : 16384;
    r->rig.options.snapshot_bytes = chance(r, 2) ? 8192 : 1 << 30;
    r->rig.options.durability = chance(r, 4) ? PC_DURABILITY_ASYNC : PC_DURABILITY_GROUP;
    r->rig.options.audit = chance(r, 2);
    r->rig.options.audit_file_bytes = chance(r, 2) ? 3000 : 0;
    model_reset(&r->settled);
    /* Some of the key ids are keys that are listed. */
    for (unsigned i = 0; i < IDS; i++)
        snprintf(id_names[i], sizeof id_names[i], "id-%u", i);
    rig_thumbprint(r->rig.keys[0], id_names[0]);
    rig_thumbprint(r->rig.keys[1], id_names[1]);
    rig_thumbprint(r->rig.spare_key, id_names[2]);
}

/* Every durable record has its line, once, over all crashes: segments were not given up before. */
static void check_audit(struct run *r)
{
    static struct audit_kit kit;
    if (!r->rig.options.audit || r->broken)
        return;
    rig_settle(&r->rig);
    take_answers(r);
    unsigned problems = audit_kit_verify(&kit, sim_disk_ops(r->rig.disk), r->rig.options.data_dir,
                                         r->rig.w->journal);
    if (problems == 0 && kit.result.gaps == 0)
        return;
    r->broken = "the audit is not whole";
    snprintf(r->detail, sizeof r->detail, "%u gaps; %.120s", kit.result.gaps, kit.first_problem);
}

static const char *run_seed(uint64_t seed, bool lie, uint64_t *ret_trace)
{
    struct run *r = &run;
    *r = (struct run){0};
    set_up(r, seed, lie);
    start(r);
    for (unsigned i = 0; i < STEPS && !r->broken; i++)
        step(r);
    if (!r->broken)
        go_down(r, true);
    check_audit(r);
    if (r->rig.w)
        rig_drop(&r->rig);
    *ret_trace = sim_disk_trace(r->rig.disk);
    struct sim_disk *disk = r->rig.disk;
    rig_free(&r->rig);
    sim_disk_free(disk);
    return r->broken;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void what_was_acknowledged_survives_any_crash(void **state)
{
    (void)state;
    uint64_t only = from_environment("PC_SIM_SEED", 0), trace;
    uint64_t n = only ? 1 : from_environment("PC_SIM_SEEDS", SEEDS_DEFAULT);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t seed = only ? only : i + 1;
        const char *broken = run_seed(seed, false, &trace);
        if (broken)
            fail_msg("seed %llu: %s (%s); PC_SIM_SEED=%llu repeats it", (unsigned long long)seed,
                     broken, run.detail, (unsigned long long)seed);
    }
}

static void a_seed_repeats_a_run_byte_for_byte(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t first, again;
        run_seed(seed, false, &first);
        run_seed(seed, false, &again);
        assert_int_equal(first, again);
    }
}

static void a_disk_that_lies_about_syncs_is_caught(void **state)
{
    (void)state;
    unsigned caught = 0;
    uint64_t trace;
    for (uint64_t seed = 1; seed <= 20; seed++)
        caught += run_seed(seed, true, &trace) != NULL;
    assert_in_range(caught, 14, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_any_crash),
        cmocka_unit_test(a_seed_repeats_a_run_byte_for_byte),
        cmocka_unit_test(a_disk_that_lies_about_syncs_is_caught),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
