/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop: a whole life of a journal (first start, appends over several segments, seal,
 * snapshot, retire, restart with recovery) runs with the 1st, 2nd, 3rd, … file operation failing,
 * for each kind of fault, until one run ends without the fault having struck. Nothing leaks,
 * nothing asserts, the error says what and where, and what was acknowledged comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/journal_kit.h"

#define RUNS_MAX 2000u

struct life {
    struct sim_disk *disk;
    struct kit kit;
    size_t acknowledged;
    struct kit_state before; /* of the first server's end */
    uint64_t number;
    int first_error; /* of the operation the fault hit */
};

static void failed(struct life *l, int err, const char *text)
{
    assert_true(err < 0);
    assert_true(strlen(text) > 0);
    if (!l->first_error)
        l->first_error = err;
}

static bool live_open(struct life *l)
{
    int err = kit_open(&l->kit);
    if (err == 0)
        return true;
    assert_true(strlen(l->kit.why.text) > 30); /* what and where */
    failed(l, err, l->kit.why.text);
    assert_int_equal(sim_disk_open_files(l->disk), 0);
    return false;
}

static void live_commit(struct life *l)
{
    struct pc_journal_status status;
    int err = kit_append(&l->kit, l->number, 3);
    l->number += 3;
    if (err == 0)
        err = kit_sync(&l->kit);
    if (err == 0) {
        l->acknowledged = l->kit.state.n;
        return;
    }
    pc_journal_status(l->kit.j, &status);
    failed(l, err, pc_strerror(err));
    assert_true(status.failed ? strlen(status.failed_text) > 20 : status.full);
}

static void live_snapshot(struct life *l)
{
    if (l->acknowledged == 0 || l->acknowledged != l->kit.state.n)
        return;
    l->kit.why.text[0] = '\0';
    int err = kit_snapshot(&l->kit, l->acknowledged);
    if (err)
        failed(l, err, l->kit.why.text);
    struct pc_journal_status status;
    pc_journal_status(l->kit.j, &status);
    err = pc_journal_retire(l->kit.j, status.snapshot_position, NULL);
    if (err)
        failed(l, err, pc_strerror(err));
}

/* One server's life; ends early when nothing can go on. */
static void live(struct life *l)
{
    if (!live_open(l))
        return;
    for (unsigned i = 0; i < 14; i++) {
        if (i == 5)
            pc_journal_prepare_next(l->kit.j);
        if (i == 10)
            live_snapshot(l);
        live_commit(l);
    }
    if (pc_journal_seal(l->kit.j, 1) < 0)
        failed(l, -EIO, "seal");
    kit_close(&l->kit);
    assert_int_equal(sim_disk_open_files(l->disk), 0);
    l->before = l->kit.state;
    if (live_open(l)) {
        assert_true(l->kit.state.n >= l->acknowledged);
        kit_close(&l->kit);
    }
}

/* With the fault gone, and in every second run after a crash: all that was acknowledged is there.
 */
static void check_after(struct life *l, bool crash)
{
    sim_disk_fault(l->disk, SIM_EIO, 0, false);
    if (crash)
        sim_disk_crash(l->disk);
    if (kit_open(&l->kit))
        fail_msg("the start without a fault was refused: %s", l->kit.why.text);
    assert_false(l->kit.state.damaged);
    assert_true(l->kit.state.n >= l->acknowledged);
    if (l->acknowledged)
        assert_memory_equal(l->kit.state.records, l->before.records,
                            l->acknowledged * sizeof l->before.records[0]);
    kit_commit(&l->kit, 9001, 2);
    kit_close(&l->kit);
}

static void loop_over_faults(enum sim_fault fault, bool lasting)
{
    static struct life l;
    uint64_t k = 1;
    for (;; k++) {
        assert_true(k < RUNS_MAX);
        l = (struct life){.disk = sim_disk_new(k), .number = 1};
        kit_init(&l.kit, l.disk);
        sim_disk_fault(l.disk, fault, k, lasting);
        live(&l);
        bool fired = sim_disk_fault_fired(l.disk);
        if (fired)
            check_after(&l, k % 2);
        sim_disk_free(l.disk);
        if (!fired)
            break;
    }
    assert_int_equal(l.first_error, 0);
    assert_true(k > 10);
}

static void any_operation_may_fail_once(void **state)
{
    (void)state;
    loop_over_faults(SIM_EIO, false);
}

static void the_disk_may_die(void **state)
{
    (void)state;
    loop_over_faults(SIM_EIO, true);
}

static void the_disk_may_be_full_for_a_moment(void **state)
{
    (void)state;
    loop_over_faults(SIM_ENOSPC, false);
}

static void the_disk_may_be_full(void **state)
{
    (void)state;
    loop_over_faults(SIM_ENOSPC, true);
}

static void the_file_system_may_become_read_only(void **state)
{
    (void)state;
    loop_over_faults(SIM_EROFS, true);
}

static void any_write_may_stop_half_way(void **state)
{
    (void)state;
    loop_over_faults(SIM_SHORT, false);
}

static void any_sync_may_fail(void **state)
{
    (void)state;
    loop_over_faults(SIM_SYNC, false);
}

/* After a failed sync the kernel forgets what it could not write and calls the next sync a success.
 */
static void a_failed_sync_ends_acknowledgements_for_good(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1);
    static struct kit k;
    uint64_t durable = 77, first;
    kit_init(&k, disk);
    assert_int_equal(kit_open(&k), 0);
    kit_commit(&k, 1, 1);
    assert_int_equal(kit_append(&k, 2, 1), 0);
    sim_disk_fault(disk, SIM_SYNC, 1, false);
    uint64_t before = pc_journal_durable(k.j);
    assert_int_equal(pc_journal_sync(k.j, &durable), -EIO);
    uint64_t operations = sim_disk_operations(disk);
    struct pc_bytes record = PC_LIT("x");
    assert_int_equal(pc_journal_sync(k.j, &durable), -EIO);
    assert_int_equal(pc_journal_append(k.j, &record, 1, 1, &first), -EIO);
    assert_int_equal(pc_journal_seal(k.j, 1), -EIO);
    assert_int_equal(durable, 77);
    assert_int_equal(pc_journal_durable(k.j), before);
    assert_int_equal(sim_disk_operations(disk), operations); /* the disk was not even asked */
    assert_int_equal(pc_journal_failed(k.j), -EIO);
    assert_false(pc_journal_wants_segment(k.j));
    struct pc_journal_status status;
    pc_journal_status(k.j, &status);
    assert_non_null(strstr(status.failed_text, "sync of segment-0000000001"));
    kit_close(&k);
    sim_disk_free(disk);
}

/* A full disk refuses what needs a new segment, and only that; it works again when there is room.
 */
static void a_full_disk_is_not_the_end(void **state)
{
    (void)state;
    struct sim_disk *disk = sim_disk_new(1);
    static struct kit k;
    struct pc_journal_status status;
    uint64_t number = 1;
    kit_init(&k, disk);
    assert_int_equal(kit_open(&k), 0);
    while (true) {
        /* Only making files needs space: segments are written before. */
        struct pc_journal_status s;
        pc_journal_status(k.j, &s);
        sim_disk_fault(disk, SIM_ENOSPC, 0, false);
        size_t n = k.state.n;
        if (s.appended > 12)
            sim_disk_fault(disk, SIM_ENOSPC, 1, true);
        int err = s.appended > 12 ? pc_journal_prepare_next(k.j) : kit_append(&k, number++, 4);
        if (err == -ENOSPC)
            break;
        assert_int_equal(err, 0);
        assert_int_equal(k.state.n, n + 4);
        number += 3;
    }
    pc_journal_status(k.j, &status);
    assert_true(status.full);
    assert_false(status.next_ready);
    assert_int_equal(status.failed, 0);
    sim_disk_fault(disk, SIM_ENOSPC, 0, false);
    assert_int_equal(pc_journal_prepare_next(k.j), 0);
    pc_journal_status(k.j, &status);
    assert_false(status.full);
    kit_commit(&k, 5001, 4);
    kit_close(&k);
    sim_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_operation_may_fail_once),
        cmocka_unit_test(the_disk_may_die),
        cmocka_unit_test(the_disk_may_be_full_for_a_moment),
        cmocka_unit_test(the_disk_may_be_full),
        cmocka_unit_test(the_file_system_may_become_read_only),
        cmocka_unit_test(any_write_may_stop_half_way),
        cmocka_unit_test(any_sync_may_fail),
        cmocka_unit_test(a_failed_sync_ends_acknowledgements_for_good),
        cmocka_unit_test(a_full_disk_is_not_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
