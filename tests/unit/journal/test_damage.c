/* SPDX-License-Identifier: Apache-2.0
 * One bit is flipped, anywhere in the directory, and the journal started again: no acknowledged
 * record may be lost without a word. Likewise for bytes cut off the end of any file and for any
 * file removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/journal/format.h"
#include "support/journal_kit.h"

static struct kit made, tried;

/* A journal of three starts over three segments with a snapshot in the middle; batches of 1 … 4
 * records, each synced before the next, as a server in mode `group` writes them. */
static struct sim_disk *small_journal(bool sealed)
{
    struct sim_disk *disk = sim_disk_new(1);
    uint64_t number = 1;
    kit_init(&made, disk);
    for (unsigned start = 0; start < 3; start++) {
        assert_int_equal(kit_open(&made), 0);
        for (unsigned i = 0; i < 6; i++) {
            kit_commit(&made, number, 1 + i % 4);
            number += 1 + i % 4;
        }
        if (start == 0)
            assert_int_equal(pc_journal_seal(made.j, 1), 0);
        if (start == 1)
            assert_int_equal(kit_snapshot(&made, made.state.n), 0);
        if (start == 2) {
            assert_int_equal(pc_journal_prepare_next(made.j), 0);
            if (sealed)
                assert_int_equal(pc_journal_seal(made.j, 1), 0);
        }
        kit_close(&made);
    }
    struct sim_disk *settled = sim_disk_clone(disk);
    sim_disk_free(disk);
    return settled;
}

/* Number of records in the last batch that holds any, which may go if it was never sealed. */
#define LAST_BATCH 2u

struct tally {
    unsigned refused, whole, last_lost;
};

/* Starts on the damaged copy and judges what came back. */
static void judge(struct sim_disk *disk, const char *what, const char *name, size_t at, bool sealed,
                  struct tally *tally)
{
    kit_init(&tried, disk);
    int err = kit_open(&tried);
    const struct kit_state *s = &tried.state, *all = &made.state;
    if (err) {
        if (err != PC_E_DAMAGED && err != PC_E_VERSION)
            fail_msg("%s %s at %zu: error %d: %s", what, name, at, err, tried.why.text);
        assert_non_null(strstr(tried.why.text, "refused; "));
        tally->refused++;
        assert_int_equal(sim_disk_open_files(disk), 0);
        return;
    }
    bool prefix = !s->damaged && s->n <= all->n &&
                  memcmp(s->records, all->records, s->n * sizeof s->records[0]) == 0;
    if (prefix && s->n == all->n)
        tally->whole++;
    else if (prefix && !sealed && s->n == all->n - LAST_BATCH &&
             kit_found(&tried, PC_FOUND_TAIL_TORN))
        tally->last_lost++;
    else
        fail_msg("%s %s at %zu: %zu of %zu records came back", what, name, at, s->n, all->n);
    kit_close(&tried);
}

/* Every bit where there is something, one of every byte where there are only zeros. */
static void flip_all(const struct sim_disk *base, const char *name, bool sealed,
                     struct tally *tally)
{
    size_t n;
    const uint8_t *bytes = sim_disk_bytes(base, name, &n);
    for (size_t at = 0; at < n; at++) {
        bool zeros = at > 600 && pc_all_zero(bytes + at - 8, n - at < 16 ? n - at : 16);
        if (zeros && at % 7)
            continue;
        for (unsigned bit = zeros ? (unsigned)at % 8 : 0; bit < 8; bit += zeros ? 8 : 3) {
            struct sim_disk *copy = sim_disk_clone(base);
            sim_disk_flip(copy, name, at, (uint8_t)(1u << bit));
            judge(copy, "a bit of", name, at, sealed, tally);
            sim_disk_free(copy);
        }
    }
}

static void flip_everywhere(bool sealed, struct tally *tally)
{
    struct sim_disk *base = small_journal(sealed);
    const char *name;
    for (size_t i = 0; (name = sim_disk_name(base, i)); i++)
        if (strcmp(name, "lock") != 0)
            flip_all(base, name, sealed, tally);
    sim_disk_free(base);
}

static void a_flipped_bit_never_loses_a_record_of_a_sealed_journal(void **state)
{
    (void)state;
    struct tally tally = {0};
    flip_everywhere(true, &tally);
    print_message("refused %u, whole %u\n", tally.refused, tally.whole);
    assert_true(tally.refused > 1000 && tally.whole > 1000);
}

static void a_flipped_bit_loses_at_most_the_last_unsealed_batch(void **state)
{
    (void)state;
    struct tally tally = {0};
    flip_everywhere(false, &tally);
    print_message("refused %u, whole %u, last batch %u\n", tally.refused, tally.whole,
                  tally.last_lost);
    assert_true(tally.last_lost > 100 && tally.refused > 1000);
}

static void a_file_cut_short_never_loses_a_record(void **state)
{
    (void)state;
    struct tally tally = {0};
    struct sim_disk *base = small_journal(true);
    const char *name;
    for (size_t i = 0; (name = sim_disk_name(base, i)); i++) {
        size_t n;
        const uint8_t *bytes = sim_disk_bytes(base, name, &n);
        for (size_t keep = 0; keep < n; keep += 1 + keep / 5) {
            struct sim_disk *copy = sim_disk_clone(base);
            sim_disk_put(copy, name, bytes, keep);
            judge(copy, "bytes cut off", name, keep, true, &tally);
            sim_disk_free(copy);
        }
    }
    sim_disk_free(base);
    assert_true(tally.refused > 50);
}

static void a_removed_file_never_loses_a_record(void **state)
{
    (void)state;
    struct tally tally = {0};
    struct sim_disk *base = small_journal(true);
    const char *name;
    for (size_t i = 0; (name = sim_disk_name(base, i)); i++) {
        struct sim_disk *copy = sim_disk_clone(base);
        sim_disk_remove(copy, name);
        judge(copy, "removed", name, 0, true, &tally);
        sim_disk_free(copy);
    }
    sim_disk_free(base);
    assert_true(tally.refused >= 2); /* the segments in use; the rest is repaired or not needed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_never_loses_a_record_of_a_sealed_journal),
        cmocka_unit_test(a_flipped_bit_loses_at_most_the_last_unsealed_batch),
        cmocka_unit_test(a_file_cut_short_never_loses_a_record),
        cmocka_unit_test(a_removed_file_never_loses_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
