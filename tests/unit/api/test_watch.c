/* SPDX-License-Identifier: Apache-2.0
 * Which changes of files are noticed, and when they are due; and the ring the main thread sleeps
 * on. Times are made up; events are the kernel's, which are queued before the call that causes
 * them returns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge/api/main_ring.h"
#include "edge/api/watch.h"

#define MS    INT64_C(1000000)
#define KEYS  PC_WATCH_BIT(KEYS)
#define FLAGS PC_WATCH_BIT(FLAGS)

struct world {
    char dir[32];
    struct pc_watch *w;
    int64_t now_ns;
};

static const char *in(const struct world *world, const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % PC_COUNT(paths)];
    snprintf(path, PATH_MAX, "%s/%s", world->dir, name);
    return path;
}

static void write_file(const char *path)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs("{}", f);
    fclose(f);
}

static void *begin(struct world *world)
{
    snprintf(world->dir, sizeof world->dir, "/tmp/pc-watch-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    assert_int_equal(pc_watch_new(&world->w), 0);
    world->now_ns = 5000 * MS;
    pc_watch_read(world->w, world->now_ns);
    return world;
}

static void end(struct world *world)
{
    char command[PATH_MAX];
    pc_watch_free(world->w);
    snprintf(command, sizeof command, "rm -r '%s'", world->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own folder */
}

/* What is due after events were read and all was quiet. */
static unsigned due_when_quiet(struct world *world)
{
    pc_watch_read(world->w, world->now_ns);
    assert_int_equal(pc_watch_due(world->w, world->now_ns), 0);
    world->now_ns += PC_WATCH_QUIET_MS * MS;
    return pc_watch_due(world->w, world->now_ns);
}

static void each_group_hears_of_its_own_files(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_KEYS, in(&world, "keys.json")), 0);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, in(&world, "flags.json")), 0);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, ""), 0);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, NULL), 0);
    assert_true(pc_watch_wait_ns(world.w, world.now_ns) < 0);
    write_file(in(&world, "flags.json"));
    assert_int_equal(due_when_quiet(&world), FLAGS);
    write_file(in(&world, "keys.json"));
    assert_int_equal(due_when_quiet(&world), KEYS);
    write_file(in(&world, "other"));
    assert_int_equal(due_when_quiet(&world), 0);
    write_file(in(&world, "keys.json"));
    write_file(in(&world, "flags.json"));
    assert_int_equal(due_when_quiet(&world), KEYS | FLAGS);
    pc_watch_clear(world.w, PC_WATCH_KEYS);
    write_file(in(&world, "keys.json"));
    assert_int_equal(due_when_quiet(&world), 0);
    end(&world);
}

static void a_file_may_be_replaced_by_renaming_or_by_links(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    mkdir(in(&world, "..1"), 0700);
    write_file(in(&world, "..1/flags.json"));
    assert_int_equal(symlink("..1", in(&world, "..data")), 0);
    assert_int_equal(symlink("..data/flags.json", in(&world, "flags.json")), 0);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, in(&world, "flags.json")), 0);
    write_file(in(&world, "new"));
    assert_int_equal(due_when_quiet(&world), 0);
    assert_int_equal(rename(in(&world, "new"), in(&world, "flags.json")), 0);
    assert_int_equal(due_when_quiet(&world), FLAGS);
    /* As Kubernetes does it: another folder, and a link to it that is renamed over the old one. */
    mkdir(in(&world, "..2"), 0700);
    assert_int_equal(symlink("..2", in(&world, "..data_tmp")), 0);
    assert_int_equal(rename(in(&world, "..data_tmp"), in(&world, "..data")), 0);
    assert_int_equal(due_when_quiet(&world), FLAGS);
    end(&world);
}

static void the_target_of_a_link_is_watched_too(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    mkdir(in(&world, "real"), 0700);
    write_file(in(&world, "real/flags-1.json"));
    assert_int_equal(symlink("real/flags-1.json", in(&world, "flags.json")), 0);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, in(&world, "flags.json")), 0);
    write_file(in(&world, "real/flags-1.json"));
    assert_int_equal(due_when_quiet(&world), FLAGS);
    end(&world);
}

static void a_folder_may_come_later_and_come_back(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, in(&world, "late/flags.json")), 0);
    mkdir(in(&world, "late"), 0700);
    assert_int_equal(due_when_quiet(&world), 0);
    world.now_ns += PC_WATCH_RETRY_MS * MS;
    assert_int_equal(due_when_quiet(&world), FLAGS); /* whatever is in it by now */
    write_file(in(&world, "late/flags.json"));
    assert_int_equal(due_when_quiet(&world), FLAGS);
    unlink(in(&world, "late/flags.json"));
    assert_int_equal(rmdir(in(&world, "late")), 0);
    assert_int_equal(due_when_quiet(&world), 0);
    mkdir(in(&world, "late"), 0700);
    write_file(in(&world, "late/flags.json"));
    world.now_ns += PC_WATCH_RETRY_MS * MS;
    assert_int_equal(due_when_quiet(&world), FLAGS);
    end(&world);
}

static void it_is_read_when_quiet_and_in_any_case_some_time_later(void **state)
{
    struct world world;
    (void)state;
    begin(&world);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_FLAGS, in(&world, "flags.json")), 0);
    int64_t first = world.now_ns;
    write_file(in(&world, "flags.json"));
    pc_watch_read(world.w, world.now_ns);
    assert_int_equal(pc_watch_wait_ns(world.w, world.now_ns), PC_WATCH_QUIET_MS * MS);
    /* Somebody writes all the time. */
    while (pc_watch_due(world.w, world.now_ns) == 0) {
        world.now_ns += (PC_WATCH_QUIET_MS - 10) * MS;
        write_file(in(&world, "flags.json"));
        pc_watch_read(world.w, world.now_ns);
        assert_true(world.now_ns - first < 2 * PC_WATCH_LATEST_MS * MS);
    }
    assert_true(world.now_ns - first >= PC_WATCH_LATEST_MS * MS);
    assert_true(pc_watch_wait_ns(world.w, world.now_ns) < 0);
    end(&world);
}

static void too_many_files_are_refused(void **state)
{
    struct world world;
    char name[16];
    (void)state;
    begin(&world);
    for (unsigned i = 0; i < PC_WATCH_FILES_MAX; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_int_equal(pc_watch_add(world.w, PC_WATCH_KEYS, in(&world, name)), 0);
    }
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_KEYS, in(&world, "x")), PC_E_FULL);
    pc_watch_clear(world.w, PC_WATCH_KEYS);
    assert_int_equal(pc_watch_add(world.w, PC_WATCH_KEYS, in(&world, "x")), 0);
    end(&world);
}

/* ---- the ring ---- */

static void bump(int fd)
{
    uint64_t one = 1;
    assert_int_equal(write(fd, &one, sizeof one), sizeof one);
}

static void drain(int fd)
{
    uint64_t n;
    assert_int_equal(read(fd, &n, sizeof n), sizeof n);
}

static void the_ring_tells_what_is_readable_as_long_as_it_is(void **state)
{
    struct pc_main_ring r;
    struct pc_why why = {{0}};
    int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);
    (void)state;
    if (pc_main_ring_open(&r, &why))
        fail_msg("%s", why.text);
    uint32_t bit_a = pc_main_ring_add(&r, a), bit_b = pc_main_ring_add(&r, b);
    assert_true(bit_a && bit_b && bit_a != bit_b);
    assert_int_equal(pc_main_ring_wait(&r, 0), 0);
    assert_int_equal(pc_main_ring_wait(&r, MS), 0);
    bump(a);
    assert_int_equal(pc_main_ring_wait(&r, -1), bit_a);
    assert_int_equal(pc_main_ring_wait(&r, -1), bit_a); /* not read yet */
    drain(a);
    assert_int_equal(pc_main_ring_wait(&r, 0), 0);
    bump(b);
    assert_int_equal(pc_main_ring_wait(&r, -1), bit_b);
    drain(b);
    for (unsigned i = 0; i < 1000; i++) { /* many times the ring's size */
        bump(a);
        bump(b);
        uint32_t seen = 0;
        while (seen != (bit_a | bit_b))
            seen |= pc_main_ring_wait(&r, -1);
        drain(a);
        drain(b);
    }
    pc_main_ring_close(&r);
    close(a);
    close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_group_hears_of_its_own_files),
        cmocka_unit_test(a_file_may_be_replaced_by_renaming_or_by_links),
        cmocka_unit_test(the_target_of_a_link_is_watched_too),
        cmocka_unit_test(a_folder_may_come_later_and_come_back),
        cmocka_unit_test(it_is_read_when_quiet_and_in_any_case_some_time_later),
        cmocka_unit_test(too_many_files_are_refused),
        cmocka_unit_test(the_ring_tells_what_is_readable_as_long_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
