/* SPDX-License-Identifier: Apache-2.0
 * The open journal: positions, limits, marks, segments, retiring, reading back, the lock; on the
 * simulated disk and, where the operating system matters, on real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge/journal/format.h"
#include "support/journal_kit.h"

static struct kit k;
static struct kit_state read_back;

static void open_new(void)
{
    kit_init(&k, sim_disk_new(1));
    assert_int_equal(kit_open(&k), 0);
}

static void end(void)
{
    kit_close(&k);
    assert_int_equal(sim_disk_open_files(k.disk), 0);
    sim_disk_free(k.disk);
}

static void the_first_start_takes_position_one(void **state)
{
    (void)state;
    open_new();
    assert_true(k.recovered.created);
    assert_int_equal(k.recovered.position, 1);
    assert_int_equal(k.recovered.records, 0);
    assert_int_equal(k.recovered.findings, 0);
    assert_int_equal(k.recovered.last_time_ms, INT64_MIN);
    assert_int_equal(pc_journal_durable(k.j), 1);
    assert_int_equal(kit_append(&k, 1, 3), 0);
    assert_int_equal(k.state.records[0].position, 2);
    assert_int_equal(pc_journal_appended(k.j), 4);
    assert_int_equal(pc_journal_durable(k.j), 1);
    assert_int_equal(kit_sync(&k), 0);
    assert_int_equal(pc_journal_durable(k.j), 4);
    end();
}

static void a_restart_continues_where_the_log_ended(void **state)
{
    (void)state;
    open_new();
    kit_commit(&k, 1, 3);
    uint64_t id = k.recovered.journal_id;
    kit_close(&k);
    assert_int_equal(kit_open(&k), 0);
    assert_false(k.recovered.created);
    assert_int_equal(k.recovered.journal_id, id);
    assert_int_equal(k.recovered.records, 3);
    assert_int_equal(k.recovered.position, 5); /* the mark of the second start */
    assert_int_equal(k.recovered.last_time_ms, 1700000000001);
    kit_commit(&k, 4, 1);
    assert_int_equal(k.state.records[3].position, 6);
    end();
}

static void the_last_time_is_that_of_the_last_batch(void **state)
{
    (void)state;
    uint8_t payload[KIT_RECORD_BYTES];
    uint64_t first, durable;
    open_new();
    struct pc_bytes record = {payload, kit_payload(1, payload)};
    /* A clock that was far ahead for a while. */
    assert_int_equal(pc_journal_append(k.j, &record, 1, 1800000000000, &first), 0);
    record.n = kit_payload(2, payload);
    assert_int_equal(pc_journal_append(k.j, &record, 1, 1700000000777, &first), 0);
    assert_int_equal(pc_journal_sync(k.j, &durable), 0);
    kit_close(&k);
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(k.state.n, 2);
    assert_int_equal(k.recovered.last_time_ms, 1700000000777);
    end();
}

static void a_seal_is_free_when_the_last_batch_is_a_mark(void **state)
{
    (void)state;
    open_new();
    uint64_t operations = sim_disk_operations(k.disk);
    assert_int_equal(pc_journal_seal(k.j, 1), 0);
    assert_int_equal(sim_disk_operations(k.disk), operations);
    assert_int_equal(kit_append(&k, 1, 1), 0);
    assert_int_equal(pc_journal_seal(k.j, 1), 0);
    assert_int_equal(pc_journal_durable(k.j), 3); /* start, record, seal */
    operations = sim_disk_operations(k.disk);
    uint64_t durable;
    assert_int_equal(pc_journal_seal(k.j, 1), 0);
    assert_int_equal(pc_journal_sync(k.j, &durable), 0);
    assert_int_equal(sim_disk_operations(k.disk), operations);
    end();
}

static void a_commit_is_one_write_and_one_sync(void **state)
{
    (void)state;
    open_new();
    uint64_t operations = sim_disk_operations(k.disk);
    kit_commit(&k, 1, 5);
    assert_int_equal(sim_disk_operations(k.disk), operations + 2);
    end();
}

static void what_is_beyond_a_limit_is_refused_and_harms_nothing(void **state)
{
    (void)state;
    static uint8_t big[PC_JOURNAL_RECORD_BYTES_MAX + 1];
    struct pc_bytes records[PC_JOURNAL_BATCH_RECORDS_MAX + 1];
    uint64_t first = 99;
    kit_init(&k, sim_disk_new(1));
    k.segment_bytes = 4u << 20;
    assert_int_equal(kit_open(&k), 0);
    records[0] = pc_bytes_of(big, sizeof big);
    assert_int_equal(pc_journal_append(k.j, records, 1, 1, &first), PC_E_TOO_LARGE);
    for (size_t i = 0; i < PC_COUNT(records); i++)
        records[i] = pc_bytes_of(big, 1);
    assert_int_equal(pc_journal_append(k.j, records, PC_COUNT(records), 1, &first), PC_E_TOO_LARGE);
    for (size_t i = 0; i < 17; i++)
        records[i] = pc_bytes_of(big, PC_JOURNAL_RECORD_BYTES_MAX);
    assert_int_equal(pc_journal_append(k.j, records, 17, 1, &first), PC_E_TOO_LARGE);
    assert_int_equal(first, 99);
    assert_int_equal(pc_journal_failed(k.j), 0);
    assert_int_equal(pc_journal_append(k.j, records, 15, 1, &first), 0);
    for (size_t i = 0; i < PC_COUNT(records); i++)
        records[i] = pc_bytes_of(big, 0);
    assert_int_equal(pc_journal_append(k.j, records, PC_COUNT(records) - 1, 1, &first), 0);
    assert_int_equal(first, 17);
    end();
}

static void a_batch_larger_than_a_segment_is_refused(void **state)
{
    (void)state;
    static uint8_t big[KIT_SEGMENT];
    uint64_t first;
    open_new();
    struct pc_bytes record = {big, KIT_SEGMENT - PC_SECTOR_BYTES - PC_BATCH_HEADER - 4};
    assert_int_equal(pc_journal_append(k.j, &record, 1, 1, &first), 0);
    record.n++;
    assert_int_equal(pc_journal_append(k.j, &record, 1, 1, &first), PC_E_TOO_LARGE);
    end();
}

static void a_wrong_segment_size_is_refused(void **state)
{
    (void)state;
    const uint32_t wrong[] = {512, 4095, 4097, (256u << 20) + 512};
    for (size_t i = 0; i < PC_COUNT(wrong); i++) {
        kit_init(&k, sim_disk_new(1));
        k.segment_bytes = wrong[i];
        assert_int_equal(kit_open(&k), -EINVAL);
        sim_disk_free(k.disk);
    }
}

static void a_prepared_segment_costs_the_writer_no_file_operation_but_the_sync(void **state)
{
    (void)state;
    open_new();
    uint64_t number = 1;
    assert_true(pc_journal_wants_segment(k.j));
    assert_int_equal(pc_journal_prepare_next(k.j), 0);
    assert_false(pc_journal_wants_segment(k.j));
    struct pc_journal_status status;
    do {
        uint64_t operations = sim_disk_operations(k.disk);
        kit_commit(&k, number++, 1);
        pc_journal_status(k.j, &status);
        /* write, sync; where it goes on in the next one: zeros, sync, close of the old one. */
        assert_in_range(sim_disk_operations(k.disk) - operations, 2, 4);
    } while (status.segments == 1);
    assert_true(pc_journal_wants_segment(k.j));
    end();
}

static void a_segment_of_another_size_can_follow(void **state)
{
    (void)state;
    open_new();
    for (unsigned i = 0; i < 10; i++)
        kit_commit(&k, 1 + 4 * i, 4);
    assert_int_equal(pc_journal_prepare_next(k.j), 0);
    kit_close(&k);
    k.segment_bytes = 4 * KIT_SEGMENT;
    assert_int_equal(kit_open(&k), 0);
    assert_true(pc_journal_wants_segment(k.j)); /* the prepared one is too small */
    for (unsigned i = 0; i < 30; i++)
        kit_commit(&k, 101 + 4 * i, 4);
    kit_close(&k);
    k.segment_bytes = KIT_SEGMENT;
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(k.state.n, 160);
    assert_int_equal(k.recovered.findings, 0);
    end();
}

static void only_what_a_snapshot_covers_is_retired(void **state)
{
    (void)state;
    unsigned freed;
    struct pc_journal_status before, after;
    open_new();
    for (unsigned i = 0; i < 20; i++)
        kit_commit(&k, 1 + 4 * i, 4);
    assert_int_equal(pc_journal_retire(k.j, UINT64_MAX, &freed), 0);
    assert_int_equal(freed, 0);
    pc_journal_status(k.j, &before);
    assert_true(before.segments >= 3);
    assert_int_equal(kit_snapshot(&k, 40), 0);
    assert_int_equal(pc_journal_retire(k.j, UINT64_MAX, &freed), 0);
    assert_true(freed > 0);
    pc_journal_status(k.j, &after);
    assert_int_equal(after.segments, before.segments - freed);
    assert_true(after.oldest <= k.state.records[39].position + 1);
    assert_true(after.oldest > before.oldest);
    assert_int_equal(after.snapshot_position, k.state.records[39].position);
    /* The segment appended to is never freed. */
    assert_int_equal(kit_snapshot(&k, k.state.n), 0);
    assert_int_equal(pc_journal_retire(k.j, UINT64_MAX, &freed), 0);
    pc_journal_status(k.j, &after);
    assert_int_equal(after.segments, 1);
    kit_commit(&k, 901, 1);
    end();
}

static int stop_at_third(void *arg, const struct pc_record *record)
{
    (void)record;
    return ++*(unsigned *)arg == 3 ? 42 : 0;
}

static void any_durable_range_can_be_read_back(void **state)
{
    (void)state;
    open_new();
    for (unsigned i = 0; i < 20; i++) {
        kit_commit(&k, 1 + 4 * i, 4);
        if (i % 3 == 0)
            assert_int_equal(pc_journal_seal(k.j, 1), 0);
    }
    assert_int_equal(kit_append(&k, 500, 1), 0); /* not durable */
    for (size_t from = 0; from < 80; from += 3)
        for (size_t to = from; to < 80; to += 7) {
            read_back.n = 0;
            read_back.damaged = false;
            assert_int_equal(pc_journal_read(k.j, k.state.records[from].position - 1,
                                             k.state.records[to].position, kit_take, &read_back),
                             0);
            assert_int_equal(read_back.n, to - from + 1);
            assert_false(read_back.damaged);
            assert_memory_equal(read_back.records, &k.state.records[from],
                                read_back.n * sizeof read_back.records[0]);
        }
    unsigned n = 0;
    uint64_t durable = pc_journal_durable(k.j);
    assert_int_equal(pc_journal_read(k.j, 0, durable, stop_at_third, &n), 42);
    assert_int_equal(n, 3);
    assert_int_equal(pc_journal_read(k.j, 0, durable + 1, stop_at_third, &n), -EINVAL);
    assert_int_equal(pc_journal_read(k.j, durable, durable, stop_at_third, &n), 0);
    assert_int_equal(kit_snapshot(&k, 40), 0);
    assert_int_equal(pc_journal_retire(k.j, UINT64_MAX, NULL), 0);
    assert_int_equal(pc_journal_read(k.j, 0, durable, stop_at_third, &n), -ENOENT);
    end();
}

static void reading_back_tells_a_damaged_disk(void **state)
{
    (void)state;
    open_new();
    for (unsigned i = 0; i < 20; i++)
        kit_commit(&k, 1 + 4 * i, 4);
    kit_close(&k);
    struct sim_disk *copy = sim_disk_clone(k.disk);
    sim_disk_free(k.disk);
    k.disk = copy;
    assert_int_equal(kit_open(&k), 0);
    uint64_t durable = pc_journal_durable(k.j);
    size_t n;
    const uint8_t *p = sim_disk_bytes(copy, "segment-0000000001", &n);
    ((uint8_t *)(uintptr_t)p)[1200] ^= 1; /* under the open journal */
    read_back.n = 0;
    assert_int_equal(pc_journal_read(k.j, 0, durable, kit_take, &read_back), PC_E_DAMAGED);
    assert_true(read_back.n < 80);
    end();
}

static int refuse_record(void *ctx, const struct pc_record *record)
{
    (void)ctx;
    (void)record;
    return -EPROTO;
}

static void an_error_of_the_caller_ends_the_open(void **state)
{
    (void)state;
    open_new();
    kit_commit(&k, 1, 3);
    kit_close(&k);
    struct pc_journal_options options = {.dir = "data",
                                         .ops = sim_disk_ops(k.disk),
                                         .segment_bytes = KIT_SEGMENT,
                                         .incarnation = 1,
                                         .new_id = 1,
                                         .pid = 1};
    struct pc_replay replay = {NULL, NULL, refuse_record, NULL};
    struct pc_journal *j = NULL;
    assert_int_equal(pc_journal_open(&options, &replay, &j, &k.recovered, &k.why), -EPROTO);
    assert_null(j);
    assert_non_null(strstr(k.why.text, "data"));
    end();
}

/* From here on: real files. */

struct real {
    char base[64], dir[80];
};

static void make_base(struct real *r)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(r->base, sizeof r->base, "%.40s/pc-journal-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(r->base));
    snprintf(r->dir, sizeof r->dir, "%s/data", r->base);
    kit_init(&k, NULL);
    k.dir = r->dir;
}

static int remove_one(void *arg, const char *name)
{
    return unlinkat(*(int *)arg, name, 0);
}

static void remove_base(const struct real *r)
{
    const struct pc_file_ops *ops = pc_file_posix();
    int dir = ops->open_dir(ops->ctx, r->dir, false);
    assert_true(dir >= 0);
    assert_int_equal(ops->list(ops->ctx, dir, remove_one, &dir), 0);
    ops->close(ops->ctx, dir);
    assert_int_equal(rmdir(r->dir), 0);
    assert_int_equal(rmdir(r->base), 0);
}

static int check_mode(void *arg, const char *name)
{
    struct stat st;
    assert_int_equal(fstatat(*(int *)arg, name, &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    return 0;
}

static void the_directory_is_ours_alone(void **state)
{
    (void)state;
    struct real r;
    struct stat st;
    mode_t before = umask(0);
    make_base(&r);
    assert_int_equal(kit_open(&k), 0);
    kit_commit(&k, 1, 4);
    assert_int_equal(kit_snapshot(&k, 4), 0);
    assert_int_equal(pc_journal_prepare_next(k.j), 0);
    assert_int_equal(stat(r.dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    const struct pc_file_ops *ops = pc_file_posix();
    int dir = ops->open_dir(ops->ctx, r.dir, false);
    assert_int_equal(ops->list(ops->ctx, dir, check_mode, &dir), 0);
    ops->close(ops->ctx, dir);
    kit_close(&k);
    assert_int_equal(kit_open(&k), 0);
    assert_int_equal(k.recovered.snapshot_position, k.state.records[3].position);
    assert_int_equal(k.state.n, 4);
    kit_close(&k);
    umask(before);
    remove_base(&r);
}

static void a_second_server_is_refused_by_name_and_pid(void **state)
{
    (void)state;
    static struct kit second;
    struct real r;
    make_base(&r);
    assert_int_equal(kit_open(&k), 0);
    kit_init(&second, NULL);
    second.dir = r.dir;
    assert_int_equal(kit_open(&second), PC_E_LOCKED);
    assert_non_null(strstr(second.why.text, r.dir));
    assert_non_null(strstr(second.why.text, "process 4711"));
    kit_close(&k);
    assert_int_equal(kit_open(&second), 0);
    kit_close(&second);
    remove_base(&r);
}

static void a_missing_parent_is_named(void **state)
{
    (void)state;
    struct real r;
    make_base(&r);
    k.dir = "/nonexistent-parent/data";
    assert_int_equal(kit_open(&k), -ENOENT);
    assert_non_null(strstr(k.why.text, "/nonexistent-parent/data"));
    assert_non_null(strstr(k.why.text, "parent"));
    assert_int_equal(rmdir(r.base), 0);
}

static atomic_bool stop_helpers;

/* Does what a background thread of the server does, as fast as it can. */
static void *help(void *arg)
{
    struct pc_journal *j = arg;
    struct pc_journal_status status;
    static struct kit_state mine;
    while (!atomic_load(&stop_helpers)) {
        if (pc_journal_wants_segment(j))
            assert_int_equal(pc_journal_prepare_next(j), 0);
        pc_journal_status(j, &status);
        assert_true(status.durable <= status.appended);
        assert_int_equal(pc_journal_retire(j, status.snapshot_position, NULL), 0);
        pc_journal_status(j, &status);
        mine.n = 0;
        mine.damaged = false;
        uint64_t from = status.oldest ? status.oldest - 1 : 0;
        if (status.durable > from)
            assert_int_equal(
                pc_journal_read(j, from, pc_min_u64(status.durable, from + 100), kit_take, &mine),
                0);
        assert_false(mine.damaged);
        struct pc_snapshot_writer *w;
        static const uint8_t key[PC_SNAPSHOT_KEY_ID_BYTES];
        assert_int_equal(pc_snapshot_begin(j, status.durable, key, 1, &w, NULL), 0);
        assert_int_equal(pc_snapshot_block(w, 1, "content", 7), 0);
        assert_int_equal(pc_snapshot_commit(w, NULL), 0);
    }
    return NULL;
}

static void another_thread_prepares_reads_snapshots_and_retires(void **state)
{
    (void)state;
    struct real r;
    pthread_t helper;
    make_base(&r);
    k.segment_bytes = 16384;
    assert_int_equal(kit_open(&k), 0);
    atomic_store(&stop_helpers, false);
    assert_int_equal(pthread_create(&helper, NULL, help, k.j), 0);
    for (unsigned i = 0; i < 400; i++)
        kit_commit(&k, 1 + 4 * i, 4);
    atomic_store(&stop_helpers, true);
    assert_int_equal(pthread_join(helper, NULL), 0);
    struct pc_journal_status status;
    pc_journal_status(k.j, &status);
    assert_true(status.snapshot_position > 0);
    assert_int_equal(status.durable, pc_journal_appended(k.j));
    kit_close(&k);
    remove_base(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_start_takes_position_one),
        cmocka_unit_test(a_restart_continues_where_the_log_ended),
        cmocka_unit_test(the_last_time_is_that_of_the_last_batch),
        cmocka_unit_test(a_seal_is_free_when_the_last_batch_is_a_mark),
        cmocka_unit_test(a_commit_is_one_write_and_one_sync),
        cmocka_unit_test(what_is_beyond_a_limit_is_refused_and_harms_nothing),
        cmocka_unit_test(a_batch_larger_than_a_segment_is_refused),
        cmocka_unit_test(a_wrong_segment_size_is_refused),
        cmocka_unit_test(a_prepared_segment_costs_the_writer_no_file_operation_but_the_sync),
        cmocka_unit_test(a_segment_of_another_size_can_follow),
        cmocka_unit_test(only_what_a_snapshot_covers_is_retired),
        cmocka_unit_test(any_durable_range_can_be_read_back),
        cmocka_unit_test(reading_back_tells_a_damaged_disk),
        cmocka_unit_test(an_error_of_the_caller_ends_the_open),
        cmocka_unit_test(the_directory_is_ours_alone),
        cmocka_unit_test(a_second_server_is_refused_by_name_and_pid),
        cmocka_unit_test(a_missing_parent_is_named),
        cmocka_unit_test(another_thread_prepares_reads_snapshots_and_retires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
