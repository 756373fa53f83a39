/* SPDX-License-Identifier: Apache-2.0
 * The decision table of recovery over all of its inputs: every condition is brought about on a disk
 * and met in every mode; the action must be the one written here (a second copy, on purpose), and
 * what was acknowledged must come back unless the action says otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "edge/journal/format.h"
#include "edge/journal/le.h"
#include "support/journal_kit.h"

#define JOURNAL_ID 0xfeedbeefcafeull

static struct kit made, tried;

static struct sim_disk *settled(struct sim_disk *disk)
{
    kit_close(&made);
    struct sim_disk *copy = sim_disk_clone(disk);
    sim_disk_free(disk);
    return copy;
}

/* One start, `batches` synced batches of 2 records, not sealed. */
static struct sim_disk *journal_of(unsigned batches)
{
    struct sim_disk *disk = sim_disk_new(1);
    kit_init(&made, disk);
    assert_int_equal(kit_open(&made), 0);
    for (unsigned i = 0; i < batches; i++)
        kit_commit(&made, 1 + 2 * i, 2);
    return disk;
}

static struct sim_disk *plain(void)
{
    return settled(journal_of(30));
}

static uint32_t last_batch_offset(const struct sim_disk *disk, const char *name)
{
    size_t n;
    const uint8_t *p = sim_disk_bytes(disk, name, &n);
    uint64_t number = strtoull(name + strlen("segment-"), NULL, 10);
    uint32_t last = 0;
    struct pc_batch b;
    for (uint32_t at = PC_SECTOR_BYTES; at < n; at += PC_SECTOR_BYTES)
        if (pc_batch_parse(pc_bytes_of(p, n), at, number, JOURNAL_ID, &b) == PC_BATCH_VALID)
            last = at;
    assert_true(last > 0);
    return last;
}

/* Puts a file back with its version one higher and its checksum right. */
static void make_newer(struct sim_disk *disk, const char *name, size_t header_bytes)
{
    size_t n;
    const uint8_t *p = sim_disk_bytes(disk, name, &n);
    uint8_t *copy = malloc(n);
    assert_non_null(copy);
    memcpy(copy, p, n);
    pc_le_put32(copy + 8, PC_FORMAT_VERSION + 1);
    pc_le_put32(copy + 12, pc_crc32c(pc_crc32c(0, copy, 12), copy + 16, header_bytes - 16));
    sim_disk_put(disk, name, copy, n);
    free(copy);
}

static struct sim_disk *empty(void)
{
    made.state.n = 0;
    return sim_disk_new(1);
}

static struct sim_disk *tail_torn(void)
{
    struct sim_disk *disk = settled(journal_of(5));
    sim_disk_flip(disk, "segment-0000000001", last_batch_offset(disk, "segment-0000000001") + 100,
                  1);
    made.state.n -= 2;
    return disk;
}

static struct sim_disk *tail_stale(void)
{
    struct sim_disk *disk = settled(journal_of(5));
    size_t n;
    const uint8_t *p = sim_disk_bytes(disk, "segment-0000000001", &n);
    uint8_t *copy = malloc(n);
    struct pc_batch b, first;
    assert_non_null(copy);
    memcpy(copy, p, n);
    uint32_t last = last_batch_offset(disk, "segment-0000000001");
    assert_int_equal(pc_batch_parse(pc_bytes_of(p, n), last, 1, JOURNAL_ID, &b), PC_BATCH_VALID);
    assert_int_equal(pc_batch_parse(pc_bytes_of(p, n), 512, 1, JOURNAL_ID, &first), PC_BATCH_VALID);
    memcpy(copy + last + b.padded, p + 512, first.padded);
    sim_disk_put(disk, "segment-0000000001", copy, n);
    free(copy);
    return disk;
}

static struct sim_disk *tail_unsynced(void)
{
    struct sim_disk *disk = journal_of(3);
    size_t n = made.state.n;
    kit_append(&made, 101, 1);
    kit_append(&made, 102, 1);
    made.state.n = n; /* neither was acknowledged */
    disk = settled(disk);
    uint32_t last = last_batch_offset(disk, "segment-0000000001");
    sim_disk_flip(disk, "segment-0000000001", last - 1, 1); /* padding of the one before */
    return disk;
}

static struct sim_disk *damaged(void)
{
    struct sim_disk *disk = plain();
    sim_disk_flip(disk, "segment-0000000001", 1100, 0x40);
    return disk;
}

static struct sim_disk *segment_missing(void)
{
    struct sim_disk *disk = plain();
    sim_disk_remove(disk, "segment-0000000002");
    return disk;
}

static struct sim_disk *segment_header(void)
{
    struct sim_disk *disk = plain();
    sim_disk_flip(disk, "segment-0000000001", 30, 1);
    return disk;
}

static struct sim_disk *segment_size(void)
{
    struct sim_disk *disk = plain();
    size_t n;
    const uint8_t *p = sim_disk_bytes(disk, "segment-0000000001", &n);
    uint8_t *copy = calloc(1, n + 512);
    assert_non_null(copy);
    memcpy(copy, p, n);
    sim_disk_put(disk, "segment-0000000001", copy, n + 512);
    free(copy);
    return disk;
}

static struct sim_disk *segment_version(void)
{
    struct sim_disk *disk = plain();
    make_newer(disk, "segment-0000000001", PC_SECTOR_BYTES);
    return disk;
}

static struct sim_disk *segment_foreign(void)
{
    struct sim_disk *disk = plain();
    uint8_t sector[PC_SECTOR_BYTES], segment[KIT_SEGMENT] = {0};
    struct pc_segment_header h = {77, 2, KIT_SEGMENT};
    pc_segment_header_encode(&h, sector);
    memcpy(segment, sector, sizeof sector);
    sim_disk_put(disk, "segment-0000000002", segment, sizeof segment);
    return disk;
}

static void remove_segments(struct sim_disk *disk)
{
    char name[64];
    for (unsigned i = 1; i < 20; i++) {
        snprintf(name, sizeof name, "segment-%010u", i);
        sim_disk_remove(disk, name);
    }
}

static struct sim_disk *segments_gone(void)
{
    struct sim_disk *disk = plain();
    remove_segments(disk);
    return disk;
}

static struct sim_disk *identity_missing(void)
{
    struct sim_disk *disk = plain();
    sim_disk_remove(disk, "journal.id");
    return disk;
}

static struct sim_disk *identity_damaged(void)
{
    struct sim_disk *disk = plain();
    sim_disk_flip(disk, "journal.id", 17, 1);
    return disk;
}

static struct sim_disk *identity_unknown(void)
{
    struct sim_disk *disk = settled(journal_of(3));
    sim_disk_flip(disk, "journal.id", 17, 1);
    sim_disk_flip(disk, "segment-0000000001", 17, 1);
    return disk;
}

static struct sim_disk *identity_version(void)
{
    struct sim_disk *disk = plain();
    make_newer(disk, "journal.id", PC_IDENTITY_BYTES);
    return disk;
}

static char snapshot_name[64];

/* 30 batches; two snapshots; `retired`: nothing left from before the newer one. */
static struct sim_disk *with_snapshots(bool retired)
{
    struct sim_disk *disk = journal_of(30);
    assert_int_equal(kit_snapshot(&made, 20), 0);
    assert_int_equal(kit_snapshot(&made, 50), 0);
    snprintf(snapshot_name, sizeof snapshot_name, "snapshot-%020llu",
             (unsigned long long)made.state.records[49].position);
    if (retired) {
        unsigned freed;
        assert_int_equal(pc_journal_retire(made.j, UINT64_MAX, &freed), 0);
        assert_true(freed > 0);
    }
    return settled(disk);
}

static struct sim_disk *snapshot_fallback(void)
{
    struct sim_disk *disk = with_snapshots(false);
    sim_disk_flip(disk, snapshot_name, 90, 1);
    return disk;
}

static struct sim_disk *snapshot_damaged(void)
{
    struct sim_disk *disk = with_snapshots(true);
    sim_disk_flip(disk, snapshot_name, 90, 1);
    return disk;
}

static struct sim_disk *snapshot_missing(void)
{
    struct sim_disk *disk = with_snapshots(true);
    while (true) {
        const char *name = NULL;
        for (size_t i = 0; (name = sim_disk_name(disk, i)); i++)
            if (strncmp(name, "snapshot-", 9) == 0)
                break;
        if (!name)
            return disk;
        sim_disk_remove(disk, name);
    }
}

static struct sim_disk *snapshot_ahead(void)
{
    struct sim_disk *later = with_snapshots(false);
    struct sim_disk *disk = settled(journal_of(10));
    size_t n;
    const uint8_t *p = sim_disk_bytes(later, snapshot_name, &n);
    sim_disk_put(disk, snapshot_name, p, n);
    sim_disk_free(later);
    return disk;
}

static struct sim_disk *snapshot_version(void)
{
    struct sim_disk *disk = with_snapshots(false);
    make_newer(disk, snapshot_name, 64);
    return disk;
}

static struct sim_disk *snapshot_foreign(void)
{
    struct sim_disk *disk = with_snapshots(false);
    size_t n;
    const uint8_t *p = sim_disk_bytes(disk, snapshot_name, &n);
    sim_disk_put(disk, "snapshot-00000000000000000033", p, n);
    sim_disk_remove(disk, snapshot_name);
    return disk;
}

/* Errors of the disk come from a seam in front of the simulated one. */
static int open_dir_error, list_error;
static const struct pc_file_ops *behind;

static int failing_open_dir(void *ctx, const char *path, bool create)
{
    return open_dir_error ? open_dir_error : behind->open_dir(ctx, path, create);
}

static int failing_list(void *ctx, int dir, int (*each)(void *arg, const char *name), void *arg)
{
    return list_error ? list_error : behind->list(ctx, dir, each, arg);
}

#define CREATE PC_RECOVERY_CREATE
#define REPORT PC_RECOVERY_REPORT
#define REPAIR PC_RECOVERY_REPAIR
#define CUT    PC_RECOVERY_CUT
#define SKIP   PC_RECOVERY_SKIP
#define REFUSE PC_RECOVERY_REFUSE

struct scenario {
    struct sim_disk *(*make)(void);
    enum pc_recovery_action expected[PC_RECOVER_MODES]; /* normal, strict, salvage */
    int open_dir_error, list_error;
};

/* clang-format off */
static const struct scenario scenarios[PC_FOUND_COUNT] = {
    [PC_FOUND_EMPTY] = {empty, {CREATE, CREATE, CREATE}, 0, 0},
    [PC_FOUND_TAIL_TORN] = {tail_torn, {CUT, REFUSE, CUT}, 0, 0},
    [PC_FOUND_TAIL_STALE] = {tail_stale, {CUT, CUT, CUT}, 0, 0},
    [PC_FOUND_TAIL_UNSYNCED] = {tail_unsynced, {CUT, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_DAMAGED] = {damaged, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SEGMENT_MISSING] = {segment_missing, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SEGMENT_HEADER] = {segment_header, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SEGMENT_SIZE] = {segment_size, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SEGMENT_VERSION] = {segment_version, {REFUSE, REFUSE, REFUSE}, 0, 0},
    [PC_FOUND_SEGMENT_FOREIGN] = {segment_foreign, {REFUSE, REFUSE, REFUSE}, 0, 0},
    [PC_FOUND_SEGMENTS_GONE] = {segments_gone, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_IDENTITY_MISSING] = {identity_missing, {REPAIR, REPAIR, REPAIR}, 0, 0},
    [PC_FOUND_IDENTITY_DAMAGED] = {identity_damaged, {REPAIR, REPAIR, REPAIR}, 0, 0},
    [PC_FOUND_IDENTITY_UNKNOWN] = {identity_unknown, {REFUSE, REFUSE, REFUSE}, 0, 0},
    [PC_FOUND_IDENTITY_VERSION] = {identity_version, {REFUSE, REFUSE, REFUSE}, 0, 0},
    [PC_FOUND_SNAPSHOT_FALLBACK] = {snapshot_fallback, {REPORT, REPORT, REPORT}, 0, 0},
    [PC_FOUND_SNAPSHOT_DAMAGED] = {snapshot_damaged, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SNAPSHOT_MISSING] = {snapshot_missing, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SNAPSHOT_AHEAD] = {snapshot_ahead, {REFUSE, REFUSE, SKIP}, 0, 0},
    [PC_FOUND_SNAPSHOT_VERSION] = {snapshot_version, {REFUSE, REFUSE, REFUSE}, 0, 0},
    [PC_FOUND_SNAPSHOT_FOREIGN] = {snapshot_foreign, {REFUSE, REFUSE, REFUSE}, 0, 0},
    [PC_FOUND_READ_ERROR] = {plain, {REFUSE, REFUSE, REFUSE}, 0, -EIO},
    [PC_FOUND_WRITE_ERROR] = {plain, {REFUSE, REFUSE, REFUSE}, -EIO, 0},
    [PC_FOUND_NO_SPACE] = {plain, {REFUSE, REFUSE, REFUSE}, -ENOSPC, 0},
    [PC_FOUND_READ_ONLY] = {plain, {REFUSE, REFUSE, REFUSE}, -EROFS, 0},
    [PC_FOUND_NO_ACCESS] = {plain, {REFUSE, REFUSE, REFUSE}, -EACCES, 0},
    [PC_FOUND_NOT_FOUND] = {plain, {REFUSE, REFUSE, REFUSE}, -ENOENT, 0},
    [PC_FOUND_NO_MEMORY] = {plain, {REFUSE, REFUSE, REFUSE}, 0, -ENOMEM},
};
/* clang-format on */

static int take_nothing(void *ctx, const struct pc_record *record)
{
    (void)ctx;
    (void)record;
    return 0;
}

static void note_finding(void *ctx, const struct pc_finding *finding)
{
    struct kit_state *s = ctx;
    s->findings[s->findings_n++] = *finding;
}

/* As kit_open, with errors of the disk in front. */
static int open_behind_errors(const struct scenario *s, enum pc_recover_mode mode,
                              struct sim_disk *disk)
{
    struct pc_file_ops ops = *sim_disk_ops(disk);
    behind = sim_disk_ops(disk);
    ops.open_dir = failing_open_dir;
    ops.list = failing_list;
    open_dir_error = s->open_dir_error;
    list_error = s->list_error;
    struct pc_journal_options options = {.dir = "data",
                                         .ops = &ops,
                                         .segment_bytes = KIT_SEGMENT,
                                         .recover = mode,
                                         .incarnation = 1,
                                         .new_id = JOURNAL_ID,
                                         .pid = 1};
    struct pc_replay replay = {&tried.state, NULL, take_nothing, note_finding};
    return pc_journal_open(&options, &replay, &tried.j, &tried.recovered, &tried.why);
}

static void check_finding(enum pc_recovery_condition c, enum pc_recover_mode mode)
{
    const struct pc_finding *f = kit_found(&tried, c);
    if (!f)
        fail_msg("%s was not found in mode %d: %s", pc_recovery_name(c), mode,
                 tried.state.findings_n ? tried.state.findings[0].text : "nothing was");
    assert_int_equal(f->action, scenarios[c].expected[mode]);
    assert_non_null(strstr(f->text, pc_recovery_what(c)));
}

/* Everything the damage left alone is there; after a skip, what is there is part of what was. */
static void check_records(enum pc_recovery_action action)
{
    const struct kit_state *got = &tried.state, *all = &made.state;
    size_t at = 0;
    assert_false(got->damaged);
    if (action != SKIP)
        assert_int_equal(got->n, all->n);
    for (size_t i = 0; i < got->n; i++) {
        while (at < all->n && all->records[at].position < got->records[i].position)
            at++;
        if (at < all->n)
            assert_memory_equal(&all->records[at], &got->records[i], sizeof got->records[0]);
        else
            assert_int_equal(action, SKIP); /* valid, but never acknowledged */
    }
}

/* What was repaired stays repaired, and the next start is an ordinary one. */
static void check_next_start(struct sim_disk *disk, enum pc_recovery_condition c)
{
    size_t n = tried.state.n;
    kit_commit(&tried, 5001, 3);
    kit_close(&tried);
    sim_disk_crash(disk);
    tried.mode = PC_RECOVER_NORMAL;
    int err = kit_open(&tried);
    if (err)
        fail_msg("%s: the next start was refused: %s", pc_recovery_name(c), tried.why.text);
    assert_false(tried.state.damaged);
    assert_int_equal(tried.state.n, n + 3);
    assert_int_equal(tried.state.records[n].number, 5001);
    kit_close(&tried);
}

static void meet(enum pc_recovery_condition c, enum pc_recover_mode mode)
{
    const struct scenario *s = &scenarios[c];
    bool errors = s->open_dir_error || s->list_error;
    assert_non_null(s->make);
    struct sim_disk *disk = s->make();
    kit_init(&tried, disk);
    tried.mode = mode;
    int err = errors ? open_behind_errors(s, mode, disk) : kit_open(&tried);
    check_finding(c, mode);
    if (s->expected[mode] == REFUSE) {
        assert_true(err < 0);
        assert_true(err == PC_E_DAMAGED || err == PC_E_VERSION || err == s->open_dir_error ||
                    err == s->list_error);
        assert_non_null(strstr(tried.why.text, pc_recovery_advice(c)));
        assert_true(strlen(pc_recovery_advice(c)) > 10);
        assert_int_equal(sim_disk_open_files(disk), 0);
    } else {
        if (err)
            fail_msg("%s in mode %d was refused: %s", pc_recovery_name(c), mode, tried.why.text);
        check_records(s->expected[mode]);
        check_next_start(disk, c);
    }
    sim_disk_free(disk);
}

static void every_condition_in_every_mode_leads_to_its_action(void **state)
{
    (void)state;
    for (int c = 0; c < PC_FOUND_COUNT; c++)
        for (int mode = 0; mode < PC_RECOVER_MODES; mode++)
            meet((enum pc_recovery_condition)c, (enum pc_recover_mode)mode);
}

static void damage_an_operator_accepted_is_only_reported(void **state)
{
    (void)state;
    for (int c = 0; c < PC_FOUND_COUNT; c++)
        for (int mode = 0; mode < PC_RECOVER_MODES; mode++) {
            enum pc_recovery_action expected = scenarios[c].expected[mode];
            if (scenarios[c].expected[PC_RECOVER_SALVAGE] == SKIP)
                expected = REPORT;
            assert_int_equal(
                pc_recovery_decide((enum pc_recovery_condition)c, (enum pc_recover_mode)mode, true),
                expected);
        }
}

static void every_errno_has_a_row(void **state)
{
    (void)state;
    for (int e = 1; e < 134; e++) {
        enum pc_recovery_condition r = pc_recovery_of_errno(-e, false);
        enum pc_recovery_condition w = pc_recovery_of_errno(-e, true);
        assert_int_equal(pc_recovery_decide(r, PC_RECOVER_SALVAGE, false), REFUSE);
        assert_int_equal(pc_recovery_decide(w, PC_RECOVER_SALVAGE, false), REFUSE);
    }
    assert_int_equal(pc_recovery_of_errno(-EIO, false), PC_FOUND_READ_ERROR);
    assert_int_equal(pc_recovery_of_errno(-EIO, true), PC_FOUND_WRITE_ERROR);
}

/* Salvage keeps every valid batch; the journal goes on; damage after the mark counts again. */
static void salvage_keeps_every_valid_batch_and_says_so_once(void **state)
{
    (void)state;
    struct sim_disk *disk = damaged();
    kit_init(&tried, disk);
    assert_int_equal(kit_open(&tried), PC_E_DAMAGED);
    tried.mode = PC_RECOVER_SALVAGE;
    assert_int_equal(kit_open(&tried), 0);
    assert_int_equal(tried.state.n, made.state.n - 2); /* the batch that was hit */
    kit_commit(&tried, 7001, 4);
    uint64_t lost = made.state.records[made.state.n - 1].position;
    assert_true(tried.state.records[tried.state.n - 1].position > lost + (1u << 30));
    kit_close(&tried);

    tried.mode = PC_RECOVER_NORMAL;
    assert_int_equal(kit_open(&tried), 0);
    assert_int_equal(kit_found(&tried, PC_FOUND_DAMAGED)->action, REPORT);
    assert_int_equal(tried.state.n, made.state.n - 2 + 4);
    /* Reading back passes over the accepted hole. */
    static struct kit_state read;
    read.n = 0;
    assert_int_equal(pc_journal_read(tried.j, 0, pc_journal_durable(tried.j), kit_take, &read), 0);
    assert_int_equal(read.n, tried.state.n);
    for (unsigned i = 0; i < 10; i++)
        kit_commit(&tried, 8001 + 4 * i, 4);
    struct pc_journal_status status;
    pc_journal_status(tried.j, &status);
    kit_close(&tried);

    struct sim_disk *hurt = sim_disk_clone(disk);
    char name[64];
    const char *last = "";
    for (size_t i = 0; sim_disk_name(hurt, i); i++)
        if (strncmp(sim_disk_name(hurt, i), "segment-", 8) == 0 &&
            strcmp(sim_disk_name(hurt, i), last) > 0)
            last = sim_disk_name(hurt, i);
    snprintf(name, sizeof name, "%s", last);
    sim_disk_flip(hurt, name, 600, 1);
    kit_init(&tried, hurt);
    assert_int_equal(kit_open(&tried), PC_E_DAMAGED);
    sim_disk_free(hurt);
    sim_disk_free(disk);
}

/* After a salvage a snapshot and retiring lead back to a directory without any damage. */
static void a_snapshot_after_salvage_lets_the_damage_go(void **state)
{
    (void)state;
    struct sim_disk *disk = snapshot_damaged();
    kit_init(&tried, disk);
    tried.mode = PC_RECOVER_SALVAGE;
    assert_int_equal(kit_open(&tried), 0);
    kit_commit(&tried, 7001, 4);
    kit_close(&tried);
    tried.mode = PC_RECOVER_NORMAL;
    assert_int_equal(kit_open(&tried), 0); /* accepted */
    for (unsigned i = 0; i < 10; i++)
        kit_commit(&tried, 8001 + 4 * i, 4);
    size_t n = tried.state.n;
    assert_int_equal(kit_snapshot(&tried, n), 0);
    assert_int_equal(pc_journal_retire(tried.j, UINT64_MAX, NULL), 0);
    kit_close(&tried);
    assert_int_equal(kit_open(&tried), 0);
    assert_int_equal(tried.recovered.findings, 0);
    assert_int_equal(tried.state.n, n);
    kit_close(&tried);
    sim_disk_free(disk);
}

/* The oldest segment's first position cannot be read any more, but a snapshot after the salvage
 * makes that unimportant. */
static void damage_of_the_oldest_batch_can_be_salvaged_too(void **state)
{
    (void)state;
    struct sim_disk *disk = with_snapshots(true);
    char oldest[64] = "";
    for (size_t i = 0; sim_disk_name(disk, i); i++)
        if (strncmp(sim_disk_name(disk, i), "segment-", 8) == 0 &&
            (!oldest[0] || strcmp(sim_disk_name(disk, i), oldest) < 0))
            snprintf(oldest, sizeof oldest, "%s", sim_disk_name(disk, i));
    assert_string_not_equal(oldest, "segment-0000000001");
    sim_disk_flip(disk, oldest, 600, 1);
    kit_init(&tried, disk);
    assert_int_equal(kit_open(&tried), PC_E_DAMAGED);
    tried.mode = PC_RECOVER_SALVAGE;
    assert_int_equal(kit_open(&tried), 0);
    kit_commit(&tried, 7001, 4);
    kit_close(&tried);
    tried.mode = PC_RECOVER_NORMAL;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(kit_open(&tried), 0);
        assert_int_equal(kit_snapshot(&tried, tried.state.n), 0);
        kit_close(&tried);
    }
    sim_disk_free(disk);
}

/* What a cut overwrote in memory only may be back after a crash: the log must not stumble over it,
 * also where it went on in the next segment. */
static void a_cut_that_was_not_synced_does_no_harm_later(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct sim_disk *disk = journal_of(3 + i % 10);
        disk = settled(disk);
        const char *name = sim_disk_bytes(disk, "segment-0000000002", &(size_t){0})
                               ? "segment-0000000002"
                               : "segment-0000000001";
        sim_disk_flip(disk, name, last_batch_offset(disk, name) + 100, 1);
        made.state.n -= 2;
        kit_init(&tried, disk);
        sim_disk_fault(disk, SIM_SYNC, 1 + i / 40, false);
        int err = kit_open(&tried);
        sim_disk_fault(disk, SIM_SYNC, 0, false);
        if (err)
            assert_int_equal(kit_open(&tried), 0);
        for (unsigned k = 0; k < 20; k++)
            kit_commit(&tried, 7001 + 4 * k, 4);
        kit_close(&tried);
        sim_disk_crash(disk);
        if (kit_open(&tried))
            fail_msg("%u: %s", i, tried.why.text);
        assert_int_equal(tried.state.n, made.state.n + 80);
        kit_close(&tried);
        sim_disk_free(disk);
    }
}

/* A batch that a later start cut off stays cut off, even if the disk brings it back. */
static void a_batch_of_an_earlier_start_does_not_come_back(void **state)
{
    (void)state;
    struct sim_disk *disk = journal_of(3);
    uint32_t at = 0;
    kit_append(&made, 101, 1);
    disk = settled(disk);
    at = last_batch_offset(disk, "segment-0000000001");
    size_t n;
    uint8_t old[KIT_SEGMENT], now[KIT_SEGMENT];
    memcpy(old, sim_disk_bytes(disk, "segment-0000000001", &n), sizeof old);
    struct pc_batch b;
    assert_int_equal(pc_batch_parse(pc_bytes_of(old, sizeof old), at, 1, JOURNAL_ID, &b),
                     PC_BATCH_VALID);
    uint32_t padded = b.padded;
    /* The next start found it torn, cut it, and wrote two marks in its place. */
    sim_disk_flip(disk, "segment-0000000001", at + 70, 1);
    kit_init(&tried, disk);
    tried.starts = 100;
    assert_int_equal(kit_open(&tried), 0);
    kit_close(&tried);
    struct sim_disk *later = sim_disk_clone(disk);
    memcpy(now, sim_disk_bytes(later, "segment-0000000001", &n), sizeof now);
    /* A copy of it that would follow the start mark in position and place, were it not older. */
    b.offset = at + PC_SECTOR_BYTES;
    b.first += 1;
    memcpy(now + b.offset, old + at, padded);
    pc_batch_finish(&b, JOURNAL_ID, now + b.offset);
    sim_disk_put(later, "segment-0000000001", now, sizeof now);
    kit_init(&tried, later);
    tried.starts = 200;
    assert_int_equal(kit_open(&tried), 0);
    assert_int_equal(tried.state.n, made.state.n - 1);
    assert_non_null(kit_found(&tried, PC_FOUND_TAIL_UNSYNCED));
    kit_close(&tried);
    sim_disk_free(later);
    sim_disk_free(disk);
}

/* Between two syncs there may be more batches than a walk keeps gaps, and of each the machine may
 * have kept or lost what it liked. None was acknowledged, so the start cuts them and goes on. */
static void any_number_of_unsynced_batches_may_be_torn(void **state)
{
    struct sim_disk *disk = sim_disk_new(1);
    (void)state;
    kit_init(&made, disk);
    made.segment_bytes = 8 * KIT_SEGMENT;
    assert_int_equal(kit_open(&made), 0);
    kit_commit(&made, 1, 1);
    size_t acknowledged = made.state.n;
    for (uint64_t i = 0; i < 80; i++)
        assert_int_equal(kit_append(&made, 100 + i, 1), 0);
    kit_close(&made);
    struct sim_disk *later = sim_disk_clone(disk);
    size_t n;
    const uint8_t *p = sim_disk_bytes(later, "segment-0000000001", &n);
    unsigned torn = 0;
    for (uint32_t at = PC_SECTOR_BYTES; at < n; at += PC_SECTOR_BYTES) {
        struct pc_batch b;
        p = sim_disk_bytes(later, "segment-0000000001", &n);
        if (pc_batch_parse(pc_bytes_of(p, n), at, 1, JOURNAL_ID, &b) == PC_BATCH_VALID &&
            b.first % 2 == 0 && b.first > made.state.records[acknowledged - 1].position) {
            sim_disk_flip(later, "segment-0000000001", at + 20, 1);
            torn++;
        }
    }
    assert_true(torn > 33);
    kit_init(&tried, later);
    tried.segment_bytes = 8 * KIT_SEGMENT;
    tried.starts = 100;
    assert_int_equal(kit_open(&tried), 0);
    assert_true(tried.state.n >= acknowledged && !tried.state.damaged);
    assert_non_null(kit_found(&tried, PC_FOUND_TAIL_UNSYNCED));
    kit_close(&tried);
    sim_disk_free(later);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_unsynced_batches_may_be_torn),
        cmocka_unit_test(every_condition_in_every_mode_leads_to_its_action),
        cmocka_unit_test(damage_an_operator_accepted_is_only_reported),
        cmocka_unit_test(every_errno_has_a_row),
        cmocka_unit_test(salvage_keeps_every_valid_batch_and_says_so_once),
        cmocka_unit_test(a_snapshot_after_salvage_lets_the_damage_go),
        cmocka_unit_test(damage_of_the_oldest_batch_can_be_salvaged_too),
        cmocka_unit_test(a_cut_that_was_not_synced_does_no_harm_later),
        cmocka_unit_test(a_batch_of_an_earlier_start_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
