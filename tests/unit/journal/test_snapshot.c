/* SPDX-License-Identifier: Apache-2.0
 * Snapshots: what goes in comes out, they exist only when complete, and recovery takes the newest
 * that is whole if the log continues it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/journal/snapshot_file.h"
#include "support/journal_kit.h"

static struct kit k;
static const uint8_t key_id[PC_SNAPSHOT_KEY_ID_BYTES] = "sixteen  letters";

static void open_new(void)
{
    kit_init(&k, sim_disk_new(1));
    k.segment_bytes = 64 << 10;
    assert_int_equal(kit_open(&k), 0);
    for (unsigned i = 0; i < 10; i++)
        kit_commit(&k, 1 + i, 1);
}

static void end(void)
{
    kit_close(&k);
    assert_int_equal(sim_disk_open_files(k.disk), 0);
    sim_disk_free(k.disk);
}

/* The reader of the snapshot at position, verified. */
static struct pc_snapshot_reader *reader_at(uint64_t position, int *ret_dir)
{
    const struct pc_file_ops *ops = sim_disk_ops(k.disk);
    struct pc_dir d = {ops, ops->open_dir(ops->ctx, "data", false)};
    struct pc_snapshot_reader *r = NULL;
    assert_int_equal(pc_snapshot_reader_open(&d, 0xfeedbeefcafe, position, &r), PC_HEADER_VALID);
    *ret_dir = d.fd;
    return r;
}

static unsigned snapshots_on_disk(void)
{
    unsigned n = 0;
    for (size_t i = 0; sim_disk_name(k.disk, i); i++)
        n += strncmp(sim_disk_name(k.disk, i), "snapshot-", 9) == 0;
    return n;
}

static bool exists(const char *name)
{
    size_t n;
    return sim_disk_bytes(k.disk, name, &n) != NULL;
}

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)sim_random(&seed);
}

static void blocks_of_every_size_come_back_in_order(void **state)
{
    (void)state;
    const size_t sizes[] = {1,     7, 8, 9, 4096, 100000, 1u << 20, 4u << 20, 3, (4u << 20) - 1,
                            65537, 17};
    uint8_t *p = malloc(PC_SNAPSHOT_BLOCK_BYTES_MAX);
    struct pc_snapshot_writer *w;
    uint32_t section;
    struct pc_bytes block;
    int dir;
    assert_non_null(p);
    open_new();
    uint64_t position = pc_journal_durable(k.j);
    assert_int_equal(pc_snapshot_begin(k.j, position, key_id, 1234567, &w, &k.why), 0);
    for (size_t i = 0; i < PC_COUNT(sizes); i++) {
        fill(p, sizes[i], i);
        assert_int_equal(pc_snapshot_block(w, 100 + (uint32_t)i, p, sizes[i]), 0);
    }
    assert_int_equal(pc_snapshot_commit(w, &k.why), 0);
    struct pc_snapshot_reader *r = reader_at(position, &dir);
    const struct pc_snapshot_info *info = pc_snapshot_info(r);
    assert_int_equal(info->position, position);
    assert_int_equal(info->created_ms, 1234567);
    assert_int_equal(info->blocks, PC_COUNT(sizes));
    assert_memory_equal(info->key_id, key_id, sizeof key_id);
    for (size_t i = 0; i < PC_COUNT(sizes); i++) {
        assert_int_equal(pc_snapshot_next(r, &section, &block), 1);
        assert_int_equal(section, 100 + i);
        assert_int_equal(block.n, sizes[i]);
        assert_int_equal((uintptr_t)block.p % 8, 0);
        fill(p, sizes[i], i);
        assert_memory_equal(block.p, p, sizes[i]);
    }
    assert_int_equal(pc_snapshot_next(r, &section, &block), 0);
    assert_int_equal(pc_snapshot_next(r, &section, &block), 0);
    pc_snapshot_reader_close(r);
    sim_disk_ops(k.disk)->close(k.disk, dir);
    free(p);
    end();
}

static void an_empty_snapshot_is_one_too(void **state)
{
    (void)state;
    struct pc_snapshot_writer *w;
    uint32_t section;
    struct pc_bytes block;
    int dir;
    open_new();
    assert_int_equal(pc_snapshot_begin(k.j, 1, key_id, 1, &w, NULL), 0);
    assert_int_equal(pc_snapshot_commit(w, NULL), 0);
    struct pc_snapshot_reader *r = reader_at(1, &dir);
    assert_int_equal(pc_snapshot_next(r, &section, &block), 0);
    pc_snapshot_reader_close(r);
    sim_disk_ops(k.disk)->close(k.disk, dir);
    end();
}

static void a_snapshot_exists_only_when_it_is_complete(void **state)
{
    (void)state;
    struct pc_snapshot_writer *w, *second;
    open_new();
    assert_int_equal(pc_snapshot_begin(k.j, 3, key_id, 1, &w, &k.why), 0);
    assert_int_equal(pc_snapshot_block(w, 1, "x", 1), 0);
    assert_int_equal(snapshots_on_disk(), 0);
    assert_int_equal(pc_snapshot_begin(k.j, 3, key_id, 1, &second, &k.why), -EBUSY);
    pc_snapshot_abort(w);
    assert_false(exists("snapshot.new"));
    pc_snapshot_abort(NULL);
    assert_int_equal(pc_snapshot_begin(k.j, 3, key_id, 1, &w, &k.why), 0);
    assert_int_equal(pc_snapshot_commit(w, &k.why), 0);
    assert_int_equal(snapshots_on_disk(), 1);
    end();
}

static void a_position_that_is_not_durable_is_refused(void **state)
{
    (void)state;
    struct pc_snapshot_writer *w;
    open_new();
    assert_int_equal(kit_append(&k, 50, 1), 0);
    uint64_t appended = pc_journal_appended(k.j);
    assert_int_equal(pc_snapshot_begin(k.j, appended, key_id, 1, &w, &k.why), -EINVAL);
    assert_int_equal(pc_snapshot_begin(k.j, 0, key_id, 1, &w, &k.why), -EINVAL);
    assert_int_equal(kit_sync(&k), 0);
    assert_int_equal(pc_snapshot_begin(k.j, appended, key_id, 1, &w, &k.why), 0);
    assert_int_equal(pc_snapshot_commit(w, &k.why), 0);
    /* An older one would be taken for the newest state. */
    assert_int_equal(pc_snapshot_begin(k.j, appended - 1, key_id, 1, &w, &k.why), -EINVAL);
    end();
}

static void two_are_kept(void **state)
{
    (void)state;
    struct pc_journal_status status;
    open_new();
    for (size_t n = 1; n <= 5; n++)
        assert_int_equal(kit_snapshot(&k, n), 0);
    assert_int_equal(snapshots_on_disk(), PC_SNAPSHOTS_KEPT);
    pc_journal_status(k.j, &status);
    assert_int_equal(status.snapshot_position, k.state.records[4].position);
    assert_int_equal(status.previous_snapshot, k.state.records[3].position);
    kit_close(&k);
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(k.recovered.snapshot_position, k.state.records[4].position);
    assert_int_equal(k.recovered.records, 5);
    assert_int_equal(k.state.n, 10);
    /* After a restart only what was read is relied on. */
    pc_journal_status(k.j, &status);
    assert_int_equal(status.previous_snapshot, 0);
    end();
}

static void a_failed_snapshot_leaves_the_older_one(void **state)
{
    (void)state;
    for (uint64_t fault = 1; fault < 12; fault++) {
        open_new();
        assert_int_equal(kit_snapshot(&k, 3), 0);
        sim_disk_fault(k.disk, SIM_EIO, fault, false);
        k.why.text[0] = '\0';
        int err = kit_snapshot(&k, 6);
        bool fired = sim_disk_fault_fired(k.disk);
        sim_disk_fault(k.disk, SIM_EIO, 0, false);
        if (err) {
            assert_int_equal(err, -EIO);
            assert_non_null(strstr(k.why.text, "data"));
        }
        assert_int_equal(pc_journal_failed(k.j), 0); /* not the journal's failure */
        kit_commit(&k, 100, 1);
        kit_close(&k);
        sim_disk_crash(k.disk);
        assert_int_equal(kit_open(&k), 0);
        assert_int_equal(k.state.n, 11);
        assert_true(k.recovered.snapshot_position >= k.state.records[2].position);
        if (err == 0)
            assert_int_equal(k.recovered.snapshot_position, k.state.records[5].position);
        end();
        if (!fired)
            return;
    }
    fail_msg("the fault struck every time");
}

static void a_damaged_snapshot_gives_way_to_the_one_before(void **state)
{
    (void)state;
    open_new();
    assert_int_equal(kit_snapshot(&k, 3), 0);
    assert_int_equal(kit_snapshot(&k, 6), 0);
    uint64_t older = k.state.records[2].position;
    char name[64];
    snprintf(name, sizeof name, "snapshot-%020llu",
             (unsigned long long)k.state.records[5].position);
    kit_close(&k);
    struct sim_disk *copy = sim_disk_clone(k.disk);
    sim_disk_free(k.disk);
    k.disk = copy;
    sim_disk_flip(copy, name, 80, 4);
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(k.recovered.snapshot_position, older);
    assert_int_equal(k.state.n, 10);
    assert_non_null(kit_found(&k, PC_FOUND_SNAPSHOT_FALLBACK));
    /* The next snapshot removes the damaged one. */
    assert_int_equal(kit_snapshot(&k, 10), 0);
    assert_false(exists(name));
    kit_close(&k);
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(k.recovered.findings, 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_every_size_come_back_in_order),
        cmocka_unit_test(an_empty_snapshot_is_one_too),
        cmocka_unit_test(a_snapshot_exists_only_when_it_is_complete),
        cmocka_unit_test(a_position_that_is_not_durable_is_refused),
        cmocka_unit_test(two_are_kept),
        cmocka_unit_test(a_failed_snapshot_leaves_the_older_one),
        cmocka_unit_test(a_damaged_snapshot_gives_way_to_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
