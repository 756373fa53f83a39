/* SPDX-License-Identifier: Apache-2.0
 * The k-th fault loop over the writer: a start in an empty directory, a recovery, a write and a
 * snapshot run with the first, second, … file operation failing, then with the first, second, …
 * allocation failing, until they end without a fault. Nothing leaks, nothing asserts, every failure
 * says why, and afterwards all that was acknowledged is there.
 *
 * The writer's sources are compiled into this program with their allocations replaced. */
#include <stdlib.h>

static void *faulty_malloc(size_t n);
static void *faulty_realloc(void *p, size_t n);

#define malloc(n)     faulty_malloc(n)
#define realloc(p, n) faulty_realloc(p, n)
#include "edge/writer/apply.c"      /* NOLINT(bugprone-suspicious-include) */
#include "edge/writer/background.c" /* NOLINT(bugprone-suspicious-include) */
#include "edge/writer/recovery.c"   /* NOLINT(bugprone-suspicious-include) */
#include "edge/writer/scopes.c"     /* NOLINT(bugprone-suspicious-include) */
#undef malloc
#undef realloc

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "support/writer_rig.h"

#define ISSUER "issuer-0"

static unsigned allocations, fails_at;

static bool fails(void)
{
    return ++allocations == fails_at;
}

static void *faulty_malloc(size_t n)
{
    return fails() ? NULL : malloc(n);
}

static void *faulty_realloc(void *p, size_t n)
{
    return fails() ? NULL : realloc(p, n);
}

/* One short life: every step may fail; what was acknowledged is noted. */
struct life {
    struct rig rig;
    struct sim_disk *disk;
    unsigned acknowledged; /* bits: kinds revoked */
    bool started;
};
static struct life life;

static void write_one(struct life *l, enum pc_kind kind)
{
    const char *issuer = kind == PC_KIND_ALL ? "" : ISSUER;
    int rc = rig_commit(&l->rig, kind, PC_OP_REVOKE, issuer, kind >= PC_KIND_ISSUER ? "" : "id");
    if (rc == 0)
        l->acknowledged |= 1u << kind;
    bool refused = rig_look_up(&l->rig, kind, issuer, kind >= PC_KIND_ISSUER ? "" : "id").refused;
    assert_int_equal(refused, rc == 0 || l->acknowledged >> kind & 1);
}

static void live(struct life *l)
{
    l->started = rig_open(&l->rig) == 0;
    if (!l->started) {
        assert_true(strlen(l->rig.why.text) > 10);
        return;
    }
    for (enum pc_kind kind = PC_KIND_TOKEN; kind < PC_REVOCATION_KINDS_END; kind++)
        write_one(l, kind);
    pc_writer_begin_snapshot(l->rig.w);
    rig_settle(&l->rig);
    rig_close(&l->rig);
}

/* Without faults it starts, and everything acknowledged is there. */
static void check_afterwards(struct life *l)
{
    assert_int_equal(0, rig_open(&l->rig));
    for (enum pc_kind kind = PC_KIND_TOKEN; kind < PC_REVOCATION_KINDS_END; kind++)
        if (l->acknowledged >> kind & 1)
            assert_true(rig_look_up(&l->rig, kind, kind == PC_KIND_ALL ? "" : ISSUER,
                                    kind >= PC_KIND_ISSUER ? "" : "id")
                            .refused);
    rig_drop(&l->rig);
}

/* A disk as a first life left it, with a snapshot and records behind it. */
static struct sim_disk *used_disk(struct life *l)
{
    l->disk = sim_disk_new(1);
    rig_init(&l->rig, l->disk);
    l->rig.options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
    assert_int_equal(0, rig_open(&l->rig));
    for (unsigned i = 0; i < 12; i++) {
        write_one(l, PC_KIND_TOKEN);
        write_one(l, PC_KIND_KEY);
    }
    assert_int_equal(0, pc_writer_begin_snapshot(l->rig.w));
    rig_settle(&l->rig);
    write_one(l, PC_KIND_ISSUER);
    rig_drop(&l->rig);
    rig_free(&l->rig);
    struct sim_disk *d = sim_disk_clone(l->disk);
    sim_disk_free(l->disk);
    return d;
}

static void begin(struct life *l, const struct sim_disk *from)
{
    l->disk = from ? sim_disk_clone(from) : sim_disk_new(1);
    l->rig.disk = l->disk;
    l->rig.options.files = sim_disk_ops(l->disk);
    l->rig.options.segment_bytes = PC_JOURNAL_SEGMENT_BYTES_MIN;
    if (!from)
        l->acknowledged = 0;
}

static void end(struct life *l)
{
    sim_disk_free(l->disk);
}

static unsigned with_file_faults(const struct sim_disk *from, unsigned acknowledged,
                                 enum sim_fault fault, bool lasting)
{
    for (unsigned k = 1;; k++) {
        struct life *l = &life;
        l->acknowledged = acknowledged;
        begin(l, from);
        sim_disk_fault(l->disk, fault, k, lasting);
        live(l);
        bool fired = sim_disk_fault_fired(l->disk);
        sim_disk_fault(l->disk, fault, 0, false);
        assert_int_equal(sim_disk_open_files(l->disk), 0);
        assert_true(fired || l->started);
        sim_disk_kill(l->disk);
        check_afterwards(l);
        end(l);
        if (!fired)
            return k;
    }
}

/* One rig for all lives: freeing its tables waits for grace periods. */
static int setup(void **state)
{
    (void)state;
    rig_init(&life.rig, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&life.rig);
    return 0;
}

static void no_file_operation_may_fail_unnoticed(void **state)
{
    (void)state;
    struct life used = {0};
    struct sim_disk *d = used_disk(&used);
    for (enum sim_fault fault = 0; fault < SIM_FAULTS; fault++) {
        assert_true(with_file_faults(NULL, 0, fault, true) > 2);
        assert_true(with_file_faults(d, used.acknowledged, fault, false) > 2);
    }
    sim_disk_free(d);
}

static void with_allocation_faults(const struct sim_disk *from, unsigned acknowledged)
{
    for (unsigned k = 1, fired = 1; fired; k++) {
        struct life *l = &life;
        l->acknowledged = acknowledged;
        begin(l, from);
        allocations = 0;
        fails_at = k;
        live(l);
        fired = allocations >= k;
        fails_at = 0;
        assert_int_equal(sim_disk_open_files(l->disk), 0);
        sim_disk_kill(l->disk);
        check_afterwards(l);
        end(l);
        assert_true(fired || k > 5);
    }
}

static void no_allocation_may_fail_unnoticed(void **state)
{
    (void)state;
    struct life used = {0};
    struct sim_disk *d = used_disk(&used);
    with_allocation_faults(NULL, 0);
    with_allocation_faults(d, used.acknowledged);
    sim_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_file_operation_may_fail_unnoticed, setup, teardown),
        cmocka_unit_test_setup_teardown(no_allocation_may_fail_unnoticed, setup, teardown),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
