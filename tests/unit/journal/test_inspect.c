/* SPDX-License-Identifier: Apache-2.0
 * Looking into a directory offline: it tells everything and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/journal/inspect.h"
#include "support/journal_kit.h"

static struct kit k;
static struct kit_state dumped;

struct listed {
    struct pc_inspect_file files[32];
    size_t n;
};

static int list_file(void *arg, const struct pc_inspect_file *file)
{
    struct listed *l = arg;
    assert_true(l->n < PC_COUNT(l->files));
    l->files[l->n++] = *file;
    return 0;
}

static int dump_record(void *arg, const struct pc_record *record,
                       const struct pc_inspect_place *place)
{
    unsigned *after_damage = arg;
    assert_true(place->segment > 0 && place->offset >= 512);
    assert_true(place->durable < record->position);
    *after_damage += place->after_damage;
    return kit_take(&dumped, record);
}

/* Twelve batches of four over several segments, a snapshot of twenty; closed, nothing pending. */
static void make_journal(void)
{
    struct sim_disk *disk = sim_disk_new(1);
    kit_init(&k, disk);
    assert_int_equal(kit_open(&k), 0);
    for (unsigned i = 0; i < 12; i++)
        kit_commit(&k, 1 + 4 * i, 4);
    assert_int_equal(kit_snapshot(&k, 20), 0);
    assert_int_equal(pc_journal_prepare_next(k.j), 0);
    assert_int_equal(pc_journal_seal(k.j, 1), 0);
    kit_close(&k);
    k.disk = sim_disk_clone(disk);
    sim_disk_free(disk);
}

static struct pc_inspect *inspect(void)
{
    struct pc_inspect *i;
    assert_int_equal(pc_inspect_open("data", sim_disk_ops(k.disk), false, &i, &k.why), 0);
    return i;
}

static void ls_shows_every_file_with_its_range(void **state)
{
    (void)state;
    struct listed l = {0};
    make_journal();
    struct pc_inspect *i = inspect();
    assert_int_equal(pc_inspect_files(i, list_file, &l, &k.why), 0);
    assert_true(l.n >= 5);
    assert_int_equal(l.files[0].kind, PC_INSPECT_IDENTITY);
    assert_int_equal(l.files[1].kind, PC_INSPECT_SEGMENT);
    assert_int_equal(l.files[1].first, 1);
    uint64_t records = 0, next = 1;
    for (size_t f = 1; f + 1 < l.n; f++) {
        assert_false(l.files[f].damaged);
        assert_int_equal(l.files[f].prepared, f + 2 == l.n);
        if (l.files[f].prepared)
            continue;
        assert_int_equal(l.files[f].first, next);
        next = l.files[f].last + 1;
        records += l.files[f].records;
        assert_true(l.files[f].used_bytes <= l.files[f].bytes);
    }
    assert_int_equal(records, 48);
    const struct pc_inspect_file *snapshot = &l.files[l.n - 1];
    assert_int_equal(snapshot->kind, PC_INSPECT_SNAPSHOT);
    assert_int_equal(snapshot->last, k.state.records[19].position);
    assert_int_equal(snapshot->blocks, 2);
    pc_inspect_close(i);
    assert_int_equal(sim_disk_open_files(k.disk), 0);
    sim_disk_free(k.disk);
}

static void dump_gives_every_record_also_those_behind_damage(void **state)
{
    (void)state;
    unsigned after_damage = 0;
    make_journal();
    struct pc_inspect *i = inspect();
    dumped.n = 0;
    dumped.damaged = false;
    assert_int_equal(pc_inspect_records(i, 0, UINT64_MAX, dump_record, &after_damage, &k.why), 0);
    assert_int_equal(dumped.n, 48);
    assert_memory_equal(dumped.records, k.state.records, 48 * sizeof dumped.records[0]);
    assert_int_equal(after_damage, 0);
    dumped.n = 0;
    assert_int_equal(pc_inspect_records(i, k.state.records[9].position,
                                        k.state.records[19].position, dump_record, &after_damage,
                                        &k.why),
                     0);
    assert_int_equal(dumped.n, 10);
    sim_disk_flip(k.disk, "segment-0000000001", 1200, 1);
    dumped.n = 0;
    assert_int_equal(pc_inspect_records(i, 0, UINT64_MAX, dump_record, &after_damage, &k.why), 0);
    assert_int_equal(dumped.n, 44);
    assert_int_equal(after_damage, 44);
    pc_inspect_close(i);
    sim_disk_free(k.disk);
}

static struct pc_finding seen;
static unsigned seen_n;

static void see(void *arg, const struct pc_finding *finding)
{
    (void)arg;
    seen = *finding;
    seen_n++;
}

static void verify_says_what_is_damaged_where(void **state)
{
    (void)state;
    struct pc_inspect_summary summary;
    make_journal();
    struct pc_inspect *i = inspect();
    seen_n = 0;
    assert_int_equal(pc_inspect_verify(i, PC_RECOVER_STRICT, see, NULL, &summary, &k.why), 0);
    assert_int_equal(seen_n, 0);
    assert_int_equal(summary.findings, 0);
    assert_int_equal(summary.records, 48);
    assert_int_equal(summary.snapshots, 1);
    assert_int_equal(summary.snapshot_position, k.state.records[19].position);
    assert_int_equal(summary.position, k.state.records[47].position + 1);
    assert_int_equal(summary.journal_id, 0xfeedbeefcafe);
    sim_disk_flip(k.disk, "segment-0000000001", 1200, 1);
    assert_int_equal(pc_inspect_verify(i, PC_RECOVER_NORMAL, see, NULL, &summary, &k.why),
                     PC_E_DAMAGED);
    assert_int_equal(seen_n, 1);
    assert_int_equal(seen.condition, PC_FOUND_DAMAGED);
    assert_int_equal(seen.segment, 1);
    assert_int_equal(seen.offset, 1024);
    assert_int_equal(seen.position, 2);
    assert_non_null(strstr(k.why.text, "--recover=salvage"));
    assert_int_equal(pc_inspect_verify(i, PC_RECOVER_SALVAGE, see, NULL, &summary, &k.why), 0);
    pc_inspect_close(i);
    sim_disk_free(k.disk);
}

static void nothing_is_written(void **state)
{
    (void)state;
    struct pc_inspect_summary summary;
    struct listed l = {0};
    unsigned after_damage = 0;
    make_journal();
    /* A torn tail, which a start would cut; and a file system that takes no writes. */
    sim_disk_flip(k.disk, "segment-0000000001", 600, 1);
    sim_disk_fault(k.disk, SIM_EROFS, 1, true);
    struct pc_inspect *i = inspect();
    pc_inspect_verify(i, PC_RECOVER_NORMAL, NULL, NULL, &summary, &k.why);
    pc_inspect_files(i, list_file, &l, &k.why);
    pc_inspect_records(i, 0, UINT64_MAX, dump_record, &after_damage, &k.why);
    pc_inspect_close(i);
    assert_false(sim_disk_fault_fired(k.disk));
    sim_disk_free(k.disk);
}

static void a_directory_in_use_is_refused_unless_told(void **state)
{
    (void)state;
    struct pc_inspect *i;
    struct pc_inspect_summary summary;
    make_journal();
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(pc_inspect_open("data", sim_disk_ops(k.disk), false, &i, &k.why), PC_E_LOCKED);
    assert_non_null(strstr(k.why.text, "process 4711"));
    assert_int_equal(pc_inspect_open("data", sim_disk_ops(k.disk), true, &i, &k.why), 0);
    assert_int_equal(pc_inspect_verify(i, PC_RECOVER_NORMAL, NULL, NULL, &summary, &k.why), 0);
    pc_inspect_close(i);
    kit_close(&k);
    i = inspect();
    assert_int_equal(kit_open(&k), PC_E_LOCKED); /* and the other way round */
    pc_inspect_close(i);
    sim_disk_free(k.disk);
}

static void a_copy_without_a_lock_file_will_do(void **state)
{
    (void)state;
    struct pc_inspect_summary summary;
    make_journal();
    sim_disk_remove(k.disk, "lock");
    struct pc_inspect *i = inspect();
    assert_int_equal(pc_inspect_verify(i, PC_RECOVER_NORMAL, NULL, NULL, &summary, &k.why), 0);
    pc_inspect_close(i);
    assert_int_equal(pc_inspect_open("/nonexistent", NULL, false, &i, &k.why), -ENOENT);
    assert_non_null(strstr(k.why.text, "/nonexistent"));
    sim_disk_free(k.disk);
}

static void any_operation_may_fail(void **state)
{
    (void)state;
    struct pc_inspect_summary summary;
    for (uint64_t fault = 1;; fault++) {
        struct listed l = {0};
        struct pc_inspect *i;
        unsigned after_damage = 0;
        make_journal();
        sim_disk_fault(k.disk, SIM_EIO, fault, false);
        int err = pc_inspect_open("data", sim_disk_ops(k.disk), false, &i, &k.why);
        if (err == 0) {
            int verified = pc_inspect_verify(i, PC_RECOVER_NORMAL, NULL, NULL, &summary, &k.why);
            int listed = pc_inspect_files(i, list_file, &l, &k.why);
            int records = pc_inspect_records(i, 0, UINT64_MAX, dump_record, &after_damage, &k.why);
            dumped.n = 0;
            err = verified ? verified : listed ? listed : records;
            pc_inspect_close(i);
        }
        bool fired = sim_disk_fault_fired(k.disk);
        assert_int_equal(err, fired ? -EIO : 0);
        assert_int_equal(sim_disk_open_files(k.disk), 0);
        sim_disk_free(k.disk);
        if (!fired)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ls_shows_every_file_with_its_range),
        cmocka_unit_test(dump_gives_every_record_also_those_behind_damage),
        cmocka_unit_test(verify_says_what_is_damaged_where),
        cmocka_unit_test(nothing_is_written),
        cmocka_unit_test(a_directory_in_use_is_refused_unless_told),
        cmocka_unit_test(a_copy_without_a_lock_file_will_do),
        cmocka_unit_test(any_operation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
