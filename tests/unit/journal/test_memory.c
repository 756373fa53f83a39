/* SPDX-License-Identifier: Apache-2.0
 * The k-th allocation fails, for k = 1, 2, 3, … over a journal's life on real files, until none
 * does: the error is -ENOMEM, nothing leaks, nothing acknowledged is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "edge/journal/inspect.h"
#include "support/fake_malloc.h"
#include "support/journal_kit.h"

static struct kit k;
static size_t acknowledged;

static int count_file(void *arg, const struct pc_inspect_file *file)
{
    (void)file;
    ++*(unsigned *)arg;
    return 0;
}

static int live_once(void)
{
    int err = kit_open(&k);
    if (err)
        return err;
    for (unsigned i = 0; err == 0 && i < 8; i++) {
        err = kit_append(&k, 1 + 4 * i, 4);
        if (err == 0)
            err = kit_sync(&k);
        if (err == 0)
            acknowledged = k.state.n;
    }
    if (err == 0)
        err = kit_snapshot(&k, acknowledged);
    static struct kit_state got;
    got.n = 0;
    if (err == 0)
        err = pc_journal_read(k.j, 0, pc_journal_durable(k.j), kit_take, &got);
    kit_close(&k);
    struct pc_inspect *i;
    unsigned files = 0;
    if (err == 0)
        err = pc_inspect_open(k.dir, NULL, false, &i, NULL);
    if (err == 0) {
        err = pc_inspect_files(i, count_file, &files, NULL);
        pc_inspect_close(i);
    }
    return err;
}

static int remove_one(void *arg, const char *name)
{
    return unlinkat(*(int *)arg, name, 0);
}

static void remove_journal(const char *path)
{
    const struct pc_file_ops *ops = pc_file_posix();
    int dir = ops->open_dir(ops->ctx, path, false);
    if (dir < 0)
        return; /* the fault came before it was made */
    assert_int_equal(ops->list(ops->ctx, dir, remove_one, &dir), 0);
    ops->close(ops->ctx, dir);
    assert_int_equal(rmdir(path), 0);
}

static void run_with_fault(const char *path, long at)
{
    kit_init(&k, NULL);
    k.dir = path;
    acknowledged = 0;
    long before = fake_malloc_live();
    fake_malloc_fail_at(at);
    int err = live_once();
    fake_malloc_fail_at(0);
    assert_int_equal(fake_malloc_live(), before);
    /* Some failures are made up for: what could not be removed now is removed next time. */
    assert_true(err == 0 || (err == -ENOMEM && fake_malloc_fired()));
    size_t n = acknowledged;
    if (kit_open(&k))
        fail_msg("allocation %ld: the next start was refused: %s", at, k.why.text);
    assert_false(k.state.damaged);
    assert_true(k.state.n >= n);
    kit_close(&k);
    assert_int_equal(fake_malloc_live(), before);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    char base[64], path[80];
    snprintf(base, sizeof base, "%.40s/pc-memory-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof path, "%s/data", base);
    long at = 1;
    do {
        run_with_fault(path, at++);
        remove_journal(path);
    } while (fake_malloc_fired());
    assert_int_equal(rmdir(base), 0);
    assert_true(!fake_malloc_works() || at > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
