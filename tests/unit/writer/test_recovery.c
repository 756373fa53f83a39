/* SPDX-License-Identifier: Apache-2.0
 * Restarts of the writer: after every prefix of a history, from snapshots taken amid mutations,
 * without its identity, and with records or snapshots nobody here can read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sha256.h"
#include "edge/state/rcu.h"
#include "edge/writer/identity.h"
#include "support/writer_rig.h"

#define ISSUER "issuer-0"
#define IDS    4u
#define STEPS  48u

static struct sim_disk *disk;
static struct rig rig, copy;

static int setup(void **state)
{
    (void)state;
    disk = sim_disk_new(3);
    rig_init(&rig, disk);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (rig.w)
        rig_close(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    return 0;
}

static const char *id_of(enum pc_kind kind, unsigned i)
{
    static const char *const ids[IDS] = {"a", "b", "c", "d"};
    return kind >= PC_KIND_ISSUER ? "" : ids[i];
}

static const char *issuer_of(enum pc_kind kind, unsigned i)
{
    return kind == PC_KIND_ALL ? "" : i % 2 ? "*" : ISSUER;
}

static void same_state(struct rig *a, struct rig *b)
{
    for (enum pc_kind kind = PC_KIND_TOKEN; kind < PC_REVOCATION_KINDS_END; kind++)
        for (unsigned i = 0; i < IDS; i++) {
            struct pc_revocation_state x = rig_look_up(a, kind, issuer_of(kind, i), id_of(kind, i));
            struct pc_revocation_state y = rig_look_up(b, kind, issuer_of(kind, i), id_of(kind, i));
            assert_true(x.refused == y.refused && x.revoked_at_ms == y.revoked_at_ms &&
                        x.cleared_at_ms == y.cleared_at_ms && x.expires_at_ms == y.expires_at_ms &&
                        x.cutoff_ms == y.cutoff_ms);
        }
    const struct pc_trust *t = pc_tables_trust(a->tables), *u = pc_tables_trust(b->tables);
    assert_int_equal(t->issuer_count, u->issuer_count);
    for (uint32_t i = 0; i < t->issuer_count; i++) {
        assert_int_equal(t->status[i].revoked, u->status[i].revoked);
        assert_true(t->status[i].cutoff_ms == u->status[i].cutoff_ms);
    }
    assert_true(t->all_cutoff_ms == u->all_cutoff_ms);
    assert_int_equal(t->wildcard_kinds, u->wildcard_kinds);
}

/* ---- histories ---- */

static void mutate_at_random(uint64_t *random)
{
    enum pc_kind kind = (enum pc_kind)(1 + sim_below(random, PC_REVOCATION_KINDS_END - 1));
    unsigned i = (unsigned)sim_below(random, IDS);
    struct pc_change c = rig_change(kind, sim_below(random, 3) ? PC_OP_REVOKE : PC_OP_CLEAR,
                                    issuer_of(kind, i), id_of(kind, i));
    if (c.op == PC_OP_REVOKE && kind <= PC_KIND_FAMILY)
        c.expires_at_ms = rig.wall_ms + 1000000 + (int64_t)sim_below(random, 1000000);
    c.cutoff_ms = c.op == PC_OP_REVOKE && kind == PC_KIND_ISSUER && sim_below(random, 2);
    assert_int_equal(0, rig_run(&rig, rig_job(&c, 1), NULL));
    rig_pass(&rig, (int64_t)sim_below(random, 3));
}

/* The state a start would find now is the state there is. */
static void check_restart(void)
{
    struct sim_disk *d = sim_disk_clone(disk);
    rig_init(&copy, d);
    copy.options.segment_bytes = rig.options.segment_bytes;
    copy.wall_ms = (int64_t)rig.wall_ms;
    assert_int_equal(0, rig_open(&copy));
    same_state(&rig, &copy);
    assert_true(copy.w->hlc.last >= rig.w->hlc.last);
    rig_drop(&copy);
    rig_free(&copy);
    sim_disk_free(d);
}

static void after_every_prefix_the_state_is_the_same(void **state)
{
    (void)state;
    for (unsigned snapshots = 0; snapshots < 2; snapshots++) {
        uint64_t random = 5 + snapshots;
        rig.options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
        assert_int_equal(0, rig_open(&rig));
        for (unsigned i = 0; i < STEPS; i++) {
            mutate_at_random(&random);
            /* Begun here, written two mutations later: it catches some of what comes after. */
            if (snapshots && i % 7 == 3)
                assert_int_equal(0, pc_writer_begin_snapshot(rig.w));
            if (snapshots && i % 7 == 5)
                rig_settle(&rig);
            check_restart();
        }
        assert_true(!snapshots || rig.w->snapshot_position > 0);
        rig_close(&rig);
    }
}

static void an_orderly_restart_replays_nothing(void **state)
{
    (void)state;
    uint64_t random = 9;
    assert_int_equal(0, rig_open(&rig));
    for (unsigned i = 0; i < STEPS; i++)
        mutate_at_random(&random);
    check_restart();
    rig_close(&rig);
    assert_int_equal(0, rig_open(&rig));
    assert_int_equal(rig.w->recovered.records, 0);
    check_restart();
}

/* ---- concurrently ---- */

static void copy_file(const char *from, const char *to, const char *name)
{
    char path[512];
    static uint8_t bytes[4 << 20];
    snprintf(path, sizeof path, "%s/%s", from, name);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/%s", to, name);
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t n = read(in, bytes, sizeof bytes);
    assert_true(n >= 0 && n < (ssize_t)sizeof bytes);
    assert_int_equal(n, write(out, bytes, (size_t)n));
    close(in);
    close(out);
}

static void copy_directory(const char *from, const char *to)
{
    DIR *d = opendir(from);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            copy_file(from, to, e->d_name);
    closedir(d);
}

static int begin_snapshot(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    int rc = pc_writer_begin_snapshot(w);
    return rc == -EBUSY ? 0 : rc;
}

static int background_is_idle(struct pc_writer *w, struct pc_job *job)
{
    pc_background_collect(w);
    *(bool *)job->task_arg = atomic_load(&w->background.snapshot) == PC_SNAPSHOT_IDLE &&
                             !pc_journal_wants_segment(w->journal);
    return 0;
}

/* Until the directory holds still and can be copied. */
static void wait_for_background(struct rig *r)
{
    for (bool idle = false; !idle; sched_yield())
        assert_int_equal(0, rig_run(r, rig_task(background_is_idle, &idle), NULL));
}

/* The background thread writes snapshots while the writer goes on; what is on the disk then, read
 * elsewhere, is what the writer holds. */
static void a_snapshot_amid_mutations_gives_the_same_state(void **state)
{
    (void)state;
    static struct rig live;
    char id[16];
    uint64_t random = 77;
    rig_init(&live, NULL);
    live.segment_entries = 16;
    live.options.segment_bytes = 256 << 10;
    rig_start(&live);
    for (unsigned round = 0; round < 12; round++) {
        rig_push(&live, 0, rig_task(begin_snapshot, NULL));
        for (unsigned i = 0; i < 200; i++) {
            snprintf(id, sizeof id, "id-%u", (unsigned)sim_below(&random, 500));
            struct pc_change c =
                rig_change(sim_below(&random, 2) ? PC_KIND_TOKEN : PC_KIND_SUBJECT,
                           sim_below(&random, 3) ? PC_OP_REVOKE : PC_OP_CLEAR, ISSUER, id);
            assert_int_equal(0, rig_push(&live, i % RIG_PRODUCERS, rig_job(&c, 1)));
        }
        rig_wait(&live, 201);
        assert_int_equal(live.answers[0]->result, 0);
        rig_forget(&live);
    }
    wait_for_background(&live);
    rig_init(&copy, NULL);
    copy.options.segment_bytes = 256 << 10;
    copy_directory(live.dir, copy.dir);
    assert_int_equal(0, rig_open(&copy));
    assert_true(copy.w->recovered.snapshot_position > 0);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(id, sizeof id, "id-%u", i);
        for (enum pc_kind kind = PC_KIND_TOKEN; kind <= PC_KIND_SUBJECT; kind += 3) {
            struct pc_revocation_state x = rig_look_up(&live, kind, ISSUER, id);
            struct pc_revocation_state y = rig_look_up(&copy, kind, ISSUER, id);
            assert_true(x.refused == y.refused && x.revoked_at_ms == y.revoked_at_ms &&
                        x.cleared_at_ms == y.cleared_at_ms);
        }
    }
    rig_drop(&copy);
    rig_free(&copy);
    rig_close(&live);
    rig_free(&live);
}

/* ---- identity ---- */

static void one_snapshot(void)
{
    assert_int_equal(0, rig_open(&rig));
    assert_int_equal(0, rig_commit(&rig, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "a"));
    rig_close(&rig);
}

static void another_fingerprint_key_is_refused_not_guessed(void **state)
{
    (void)state;
    one_snapshot();
    rig.fingerprint_key[0] ^= 1;
    assert_int_equal(-1, rig_open(&rig));
    assert_non_null(strstr(rig.why.text, "identity"));
    rig.fingerprint_key[0] ^= 1;
    assert_int_equal(0, rig_open(&rig)); /* with the right one all is there */
    assert_true(rig_look_up(&rig, PC_KIND_TOKEN, ISSUER, "a").refused);
}

static void write_identity(const char *dir, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/identity", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    assert_int_equal(0, chmod(path, 0600));
}

static void an_identity_is_made_once_and_kept(void **state)
{
    (void)state;
    struct pc_identity first, again;
    struct pc_why why;
    char sub[96];
    rig_init(&copy, NULL);
    snprintf(sub, sizeof sub, "%s/new", copy.dir);
    assert_int_equal(0, pc_identity_load(sub, &first, &why)); /* makes the directory too */
    assert_int_equal(0, pc_identity_load(sub, &again, &why));
    assert_memory_equal(&first, &again, sizeof first);
    assert_int_not_equal(first.node, 0);
    static const char *const bad[] = {
        "",
        "node=0123456789abcdef\n",
        "node=0123456789abcdef\nfingerprint_key=00112233445566778899aabbccddee\n",
        "node=0123456789abcdeX\nfingerprint_key=00112233445566778899aabbccddeeff\n",
        "node=0123456789abcdef\nfingerprint_key=00112233445566778899aabbccddeeffff\n",
    };
    for (unsigned i = 0; i < PC_COUNT(bad); i++) {
        write_identity(sub, bad[i]);
        assert_true(pc_identity_load(sub, &again, &why) < 0);
        assert_non_null(strstr(why.text, "identity"));
    }
    write_identity(sub,
                   "node=0123456789abcdef\nfingerprint_key=00112233445566778899aabbccddeeff\n");
    assert_int_equal(0, pc_identity_load(sub, &again, &why));
    assert_true(again.node == 0x0123456789abcdef);
    snprintf(sub, sizeof sub, "%s/new/identity", copy.dir);
    unlink(sub);
    snprintf(sub, sizeof sub, "%s/new", copy.dir);
    rmdir(sub);
    assert_true(pc_identity_load("/proc/nowhere/at/all", &again, &why) < 0);
    rig_free(&copy);
}

/* ---- what nobody here can read ---- */

static int ignore_snapshot(void *ctx, struct pc_snapshot_reader *r)
{
    (void)ctx, (void)r;
    return 0;
}

static int ignore_record(void *ctx, const struct pc_record *r)
{
    (void)ctx, (void)r;
    return 0;
}

static struct pc_journal *open_below(void)
{
    struct pc_journal_options o = {.dir = "data",
                                   .ops = sim_disk_ops(disk),
                                   .segment_bytes = rig.options.segment_bytes,
                                   .incarnation = 77,
                                   .new_id = 78,
                                   .now_ms = RIG_WALL_MS,
                                   .pid = 1};
    struct pc_replay replay = {NULL, ignore_snapshot, ignore_record, NULL};
    struct pc_recovered recovered;
    struct pc_journal *j;
    assert_int_equal(0, pc_journal_open(&o, &replay, &j, &recovered, NULL));
    return j;
}

static void append_below(struct pc_bytes record)
{
    struct pc_journal *j = open_below();
    uint64_t position;
    assert_int_equal(0, pc_journal_append(j, &record, 1, RIG_WALL_MS, &position));
    assert_int_equal(0, pc_journal_sync(j, &position));
    pc_journal_close(j);
}

static void an_intact_record_that_is_not_understood_is_refused(void **state)
{
    (void)state;
    struct pc_change c = rig_change(PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "a");
    uint8_t bytes[256];
    struct pc_buf b = pc_buf_of(bytes, sizeof bytes);
    c.at_ms = RIG_WALL_MS;
    pc_change_encode(&c, &b);
    append_below(pc_bytes_of(bytes, b.len));
    assert_int_equal(0, rig_open(&rig)); /* a plain one is fine */
    assert_true(rig_look_up(&rig, PC_KIND_TOKEN, ISSUER, "a").refused);
    rig_drop(&rig);
    sim_disk_kill(disk);
    append_below(PC_LIT("\x28\x63")); /* kind 99 */
    assert_int_equal(-1, rig_open(&rig));
    assert_non_null(strstr(rig.why.text, "newer version"));
    assert_int_equal(sim_disk_open_files(disk), 0);
}

static void snapshot_below(uint32_t section, const void *p, size_t n)
{
    uint8_t digest[PC_SHA256_BYTES];
    struct pc_snapshot_writer *s;
    struct pc_why why;
    struct pc_journal *j = open_below();
    pc_sha256(rig.fingerprint_key, sizeof rig.fingerprint_key, digest);
    assert_int_equal(0, pc_snapshot_begin(j, pc_journal_durable(j), digest, RIG_WALL_MS, &s, &why));
    assert_int_equal(0, pc_snapshot_block(s, section, p, n));
    assert_int_equal(0, pc_snapshot_commit(s, &why));
    pc_journal_close(j);
}

static void a_snapshot_that_is_not_understood_is_refused(void **state)
{
    (void)state;
    struct pc_snapshot_meta newer = {.version = PC_SNAPSHOT_META_VERSION + 1};
    static const struct {
        uint32_t section;
        size_t n;
        const char *bytes, *why;
    } bad[] = {
        {9,                  1, "x",                  "section 9"     },
        {PC_SECTION_META,    3, "abc",                "wrong size"    },
        {PC_SECTION_IDS,     4, "junk",               "cannot restore"},
        {PC_SECTION_SCOPES,  3, "abc",                "ends early"    },
        {PC_SECTION_SCOPES,  6, "\x09\0\0\0ab",       "ends early"    },
        {PC_SECTION_SCOPES,  6, "\x02\0\0\0\x28\x63", "not understood"},
        {PC_SECTION_CUTOFFS, 4, "junk",               "cannot restore"},
    };
    for (unsigned i = 0; i < PC_COUNT(bad); i++) {
        snapshot_below(bad[i].section, bad[i].bytes, bad[i].n);
        assert_int_equal(-1, rig_open(&rig));
        assert_non_null(strstr(rig.why.text, bad[i].why));
        assert_int_equal(sim_disk_open_files(disk), 0);
    }
    snapshot_below(PC_SECTION_META, &newer, sizeof newer);
    assert_int_equal(-1, rig_open(&rig));
    assert_non_null(strstr(rig.why.text, "newer version"));
}

static void a_damaged_snapshot_falls_back_to_the_one_before(void **state)
{
    (void)state;
    char newest[64] = "";
    assert_int_equal(0, rig_open(&rig));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(0, rig_commit(&rig, PC_KIND_SESSION, PC_OP_REVOKE, ISSUER, id_of(1, i)));
        assert_int_equal(0, pc_writer_begin_snapshot(rig.w));
        rig_settle(&rig);
    }
    rig_drop(&rig);
    struct sim_disk *after = sim_disk_clone(disk);
    sim_disk_free(disk);
    disk = rig.disk = after;
    rig.options.files = sim_disk_ops(disk);
    for (size_t i = 0; sim_disk_name(disk, i); i++)
        if (strncmp(sim_disk_name(disk, i), "snapshot-", 9) == 0 &&
            strcmp(sim_disk_name(disk, i), newest) > 0)
            snprintf(newest, sizeof newest, "%s", sim_disk_name(disk, i));
    sim_disk_flip(disk, newest, 100, 0x10);
    assert_int_equal(0, rig_open(&rig));
    for (unsigned i = 0; i < 3; i++)
        assert_true(rig_look_up(&rig, PC_KIND_SESSION, ISSUER, id_of(1, i)).refused);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_every_prefix_the_state_is_the_same),
        TEST(an_orderly_restart_replays_nothing),
        TEST(a_snapshot_amid_mutations_gives_the_same_state),
        TEST(another_fingerprint_key_is_refused_not_guessed),
        TEST(an_identity_is_made_once_and_kept),
        TEST(an_intact_record_that_is_not_understood_is_refused),
        TEST(a_snapshot_that_is_not_understood_is_refused),
        TEST(a_damaged_snapshot_falls_back_to_the_one_before),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
