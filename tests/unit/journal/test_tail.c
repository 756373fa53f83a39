/* SPDX-License-Identifier: Apache-2.0
 * Following the journal: everything once, in order, nothing before it is durable; over segments,
 * retiring, restarts, salvage, failing reads; and beside a writer that goes on writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "edge/journal/tail.h"
#include "support/journal_kit.h"

static struct kit k;
static struct kit_state followed;

static void open_new(void)
{
    kit_init(&k, sim_disk_new(1));
    assert_int_equal(kit_open(&k), 0);
    followed.n = 0;
    followed.damaged = false;
}

static void end(struct pc_tail *t)
{
    pc_tail_close(t);
    kit_close(&k);
    assert_int_equal(sim_disk_open_files(k.disk), 0);
    sim_disk_free(k.disk);
}

static struct pc_tail *tail_from(uint64_t after)
{
    struct pc_tail *t;
    assert_int_equal(pc_tail_open(k.j, after, &t), 0);
    return t;
}

static void take_batch(struct pc_tail_batch *b)
{
    struct pc_record record;
    uint64_t position = b->first;
    while (pc_tail_record(b, &record)) {
        assert_int_equal(record.position, position++);
        assert_int_equal(record.incarnation, b->incarnation);
        kit_take(&followed, &record);
    }
    assert_int_equal(position, b->last + 1);
}

/* Follows until nothing more is durable; the number of batches, or the error. */
static int follow(struct pc_tail *t)
{
    struct pc_tail_batch b;
    int batches = 0, rc;
    while ((rc = pc_tail_next(t, &b)) > 0) {
        take_batch(&b);
        assert_int_equal(pc_tail_position(t), b.last);
        batches++;
    }
    return rc < 0 ? rc : batches;
}

static void assert_followed(size_t from, size_t n)
{
    assert_false(followed.damaged);
    assert_int_equal(followed.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(followed.records[i].position, k.state.records[from + i].position);
        assert_int_equal(followed.records[i].number, k.state.records[from + i].number);
    }
}

static void a_record_is_seen_once_it_is_durable_and_only_once(void **state)
{
    (void)state;
    open_new();
    struct pc_tail *t = tail_from(0);
    assert_int_equal(follow(t), 0);
    assert_int_equal(pc_tail_position(t), 1); /* the start mark */
    assert_int_equal(kit_append(&k, 1, 3), 0);
    assert_int_equal(follow(t), 0);
    assert_int_equal(kit_sync(&k), 0);
    assert_int_equal(follow(t), 1);
    assert_followed(0, 3);
    assert_int_equal(follow(t), 0);
    kit_commit(&k, 4, 1);
    kit_commit(&k, 5, 2);
    assert_int_equal(pc_journal_seal(k.j, 1), 0);
    assert_int_equal(follow(t), 2);
    assert_int_equal(pc_tail_position(t), pc_journal_durable(k.j)); /* T2: the seal too */
    assert_followed(0, 6);
    end(t);
}

static void it_follows_over_segments_restarts_and_from_any_position(void **state)
{
    (void)state;
    open_new();
    for (uint64_t n = 1; n < 200; n += 3)
        kit_commit(&k, n, 3);
    kit_close(&k);
    assert_int_equal(kit_open(&k), 0);
    for (uint64_t n = 1000; n < 1100; n += 4)
        kit_commit(&k, n, 4);
    struct pc_journal_status status;
    pc_journal_status(k.j, &status);
    assert_true(status.segments > 3);
    for (size_t from = 0; from < k.state.n; from += 7) {
        followed.n = 0;
        struct pc_tail *t = tail_from(from ? k.state.records[from - 1].position : 0);
        assert_true(follow(t) > 0);
        assert_followed(from, k.state.n - from);
        pc_tail_close(t);
    }
    end(NULL);
}

static void a_seek_goes_back_and_forth(void **state)
{
    (void)state;
    open_new();
    for (uint64_t n = 1; n < 90; n += 3)
        kit_commit(&k, n, 3);
    struct pc_tail *t = tail_from(k.state.records[k.state.n - 1].position);
    assert_int_equal(follow(t), 0);
    pc_tail_seek(t, k.state.records[4].position);
    assert_true(follow(t) > 0);
    assert_followed(5, k.state.n - 5);
    followed.n = 0;
    pc_tail_seek(t, 0);
    assert_true(follow(t) > 0);
    assert_followed(0, k.state.n);
    end(t);
}

static void what_was_retired_is_told_and_where_the_journal_begins(void **state)
{
    (void)state;
    open_new();
    for (uint64_t n = 1; n < 200; n += 2)
        kit_commit(&k, n, 2);
    struct pc_tail *t = tail_from(0);
    struct pc_tail_batch b;
    assert_int_equal(pc_tail_next(t, &b), 1); /* its segment is open */
    take_batch(&b);
    assert_int_equal(kit_snapshot(&k, k.state.n), 0);
    unsigned freed;
    assert_int_equal(pc_journal_retire(k.j, pc_journal_durable(k.j), &freed), 0);
    assert_true(freed > 2);
    uint64_t before = pc_tail_position(t);
    assert_int_equal(pc_tail_next(t, &b), -ENOENT);
    assert_int_equal(pc_tail_position(t), before);
    uint64_t oldest = pc_tail_oldest(t);
    assert_true(oldest > before + 1);
    pc_tail_seek(t, oldest - 1);
    followed.n = 0;
    assert_true(follow(t) > 0);
    assert_int_equal(followed.records[followed.n - 1].position,
                     k.state.records[k.state.n - 1].position);
    end(t);
}

/* Damage that an operator accepted leaves holes; what is behind them comes. */
static void after_a_salvage_it_gives_what_recovery_gave(void **state)
{
    (void)state;
    open_new();
    for (uint64_t n = 1; n < 120; n += 2)
        kit_commit(&k, n, 2);
    kit_close(&k);
    struct sim_disk *copy = sim_disk_clone(k.disk);
    sim_disk_free(k.disk);
    k.disk = copy;
    sim_disk_flip(k.disk, "segment-0000000002", 512 + 80, 0x40);
    sim_disk_flip(k.disk, "segment-0000000003", 2048 + 80, 0x40);
    assert_int_equal(kit_open(&k), PC_E_DAMAGED);
    k.mode = PC_RECOVER_SALVAGE;
    assert_int_equal(kit_open(&k), 0);
    size_t kept = k.state.n;
    assert_true(kept > 20 && kept < 120);
    kit_commit(&k, 5000, 3);
    struct pc_tail *t = tail_from(0);
    assert_true(follow(t) > 0);
    assert_followed(0, kept + 3);
    end(t);
}

static void damage_is_told_and_nothing_behind_it_is_given(void **state)
{
    (void)state;
    open_new();
    for (uint64_t n = 1; n < 120; n += 2)
        kit_commit(&k, n, 2);
    struct sim_disk *copy = sim_disk_clone(k.disk);
    sim_disk_flip(copy, "segment-0000000002", 512 + 80, 0x40);
    size_t n;
    const uint8_t *bytes = sim_disk_bytes(copy, "segment-0000000002", &n);
    const struct pc_file_ops *ops = sim_disk_ops(k.disk);
    int dir = ops->open_dir(ops->ctx, "data", false);
    int fd = ops->open(ops->ctx, dir, "segment-0000000002", PC_FILE_WRITE);
    assert_int_equal(ops->pwrite(ops->ctx, fd, bytes, n, 0), (int64_t)n);
    ops->close(ops->ctx, fd);
    ops->close(ops->ctx, dir);
    sim_disk_free(copy);
    struct pc_tail *t = tail_from(0);
    assert_int_equal(follow(t), PC_E_DAMAGED);
    size_t seen = followed.n;
    assert_true(seen > 0);
    assert_int_equal(follow(t), PC_E_DAMAGED);
    assert_int_equal(followed.n, seen);
    end(t);
}

/* Every file operation fails once; the call is repeated and nothing is lost or doubled. */
static void a_failing_read_is_repeated(void **state)
{
    (void)state;
    open_new();
    for (uint64_t n = 1; n < 120; n += 2)
        kit_commit(&k, n, 2);
    bool fired = true;
    for (uint64_t fault = 1; fired; fault++) {
        assert_true(fault < 1000);
        followed.n = 0;
        struct pc_tail *t = tail_from(0);
        sim_disk_fault(k.disk, SIM_EIO, fault, false);
        int rc = follow(t);
        fired = sim_disk_fault_fired(k.disk);
        sim_disk_fault(k.disk, SIM_EIO, 0, false);
        if (fired) {
            assert_int_equal(rc, -EIO);
            rc = follow(t);
        }
        assert_true(rc >= 0);
        assert_followed(0, k.state.n);
        pc_tail_close(t);
    }
    end(NULL);
}

/* ---- beside a writer ---- */

#define BESIDE_RECORDS 3000u

static atomic_bool written;

static void *follow_along(void *arg)
{
    struct pc_tail *t = arg;
    struct pc_tail_batch b;
    for (;;) {
        bool last = atomic_load(&written);
        int rc = pc_tail_next(t, &b);
        if (rc > 0)
            take_batch(&b);
        else if (rc < 0 || last)
            return rc < 0 ? arg : NULL;
        else
            sched_yield();
    }
}

static void it_follows_while_the_journal_is_written(void **state)
{
    (void)state;
    char dir[] = "/tmp/pc-tail-XXXXXX";
    pthread_t thread;
    void *failed;
    assert_non_null(mkdtemp(dir));
    kit_init(&k, NULL);
    k.dir = dir;
    followed.n = 0;
    followed.damaged = false;
    atomic_store(&written, false);
    assert_int_equal(kit_open(&k), 0);
    struct pc_tail *t = tail_from(0);
    assert_int_equal(pthread_create(&thread, NULL, follow_along, t), 0);
    for (uint64_t n = 1; n < BESIDE_RECORDS; n += 5)
        kit_commit(&k, n, 5);
    atomic_store(&written, true);
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_followed(0, k.state.n);
    pc_tail_close(t);
    kit_close(&k);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_seen_once_it_is_durable_and_only_once),
        cmocka_unit_test(it_follows_over_segments_restarts_and_from_any_position),
        cmocka_unit_test(a_seek_goes_back_and_forth),
        cmocka_unit_test(what_was_retired_is_told_and_where_the_journal_begins),
        cmocka_unit_test(after_a_salvage_it_gives_what_recovery_gave),
        cmocka_unit_test(damage_is_told_and_nothing_behind_it_is_given),
        cmocka_unit_test(a_failing_read_is_repeated),
        cmocka_unit_test(it_follows_while_the_journal_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
