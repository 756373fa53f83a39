/* SPDX-License-Identifier: Apache-2.0
 * Export and import of the revocation table: the same state comes back, an export that ran while
 * the writer went on is healed by replay, and bytes that are no block change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "edge/state/rcu.h"
#include "edge/state/revocations.h"

/* Where every insert rebuilds, or is watched, fewer do. */
#define SMALL (PC_TORTURE || PC_RCU_TSAN)

#define NOW INT64_C(1800000000000)

enum { BLOCKS_MAX = 4096, HEAD_BYTES = 24 };

struct snapshot {
    struct pc_bytes blocks[BLOCKS_MAX];
    unsigned n;
};

static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static struct pc_revocations *new_table(bool with_cutoff, uint32_t segment_entries)
{
    struct pc_revocations *t = NULL;
    struct pc_revocations_options o = {.with_cutoff = with_cutoff,
                                       .segment_entries = segment_entries};
    assert_int_equal(pc_revocations_new(&o, &t), 0);
    return t;
}

/* Exports the next block into memory of its own; false when complete. */
static bool export_one(const struct pc_revocations *t, struct pc_revocations_cursor *cursor,
                       struct snapshot *s)
{
    static uint8_t buf[PC_REVOCATIONS_BLOCK_MAX_BYTES];
    int64_t size = pc_revocations_export(t, cursor, buf, sizeof buf);
    assert_true(size >= 0);
    if (size == 0)
        return false;
    uint8_t *copy = malloc((size_t)size);
    assert_true(copy && s->n < BLOCKS_MAX);
    memcpy(copy, buf, (size_t)size);
    s->blocks[s->n++] = pc_bytes_of(copy, (size_t)size);
    pc_rcu_quiescent();
    return true;
}

static void export_all(const struct pc_revocations *t, struct snapshot *s)
{
    struct pc_revocations_cursor cursor = {0};
    s->n = 0;
    while (export_one(t, &cursor, s))
        ;
}

static void import_all(struct pc_revocations *t, const struct snapshot *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        assert_int_equal(pc_revocations_import(t, s->blocks[i]), 0);
        pc_rcu_quiescent();
    }
}

static void release(struct snapshot *s)
{
    for (unsigned i = 0; i < s->n; i++)
        free((void *)(uintptr_t)s->blocks[i].p);
    s->n = 0;
}

/* One of many changes to few fingerprints, decided by its number. */
static void change(struct pc_revocations *t, uint64_t number, uint64_t ids)
{
    uint64_t x = hash(number ^ UINT64_C(0xabcdef));
    uint64_t fp = hash(x % ids);
    int64_t at = NOW + (int64_t)(x >> 40 & 31), expires = NOW + (int64_t)(x >> 48 & 31);
    int r = x >> 32 & 3 ? pc_revocations_revoke(t, fp, at, expires, at + 5)
                        : pc_revocations_clear(t, fp, at, expires);
    assert_true(r >= 0);
    pc_rcu_quiescent();
}

static void expect_same(struct pc_revocations *a, struct pc_revocations *b, uint64_t ids)
{
    for (uint64_t i = 0; i < ids; i++) {
        struct pc_revocation_state sa = {0}, sb = {0};
        struct pc_revoked ra = {0}, rb = {0};
        assert_int_equal(pc_revocations_state(a, hash(i), &sa),
                         pc_revocations_state(b, hash(i), &sb));
        assert_true(sa.revoked_at_ms == sb.revoked_at_ms && sa.cleared_at_ms == sb.cleared_at_ms);
        assert_true(sa.expires_at_ms == sb.expires_at_ms && sa.cutoff_ms == sb.cutoff_ms);
        assert_int_equal(sa.refused, sb.refused);
        assert_int_equal(pc_revocations_find(a, hash(i), NOW, &ra),
                         pc_revocations_find(b, hash(i), NOW, &rb));
        assert_memory_equal(&ra, &rb, sizeof ra);
    }
}

static void an_import_into_an_empty_table_gives_the_same_state(void **state)
{
    (void)state;
    const uint64_t changes = SMALL ? 3000 : 60000, ids = changes / 3;
    const uint32_t sizes[] = {64, 1000, 0};
    for (unsigned i = 0; i < 2 * PC_COUNT(sizes); i++) {
        struct snapshot s = {.n = 0};
        struct pc_revocations *a = new_table(i % 2, sizes[i / 2]);
        struct pc_revocations *b = new_table(i % 2, sizes[(i / 2 + 1) % PC_COUNT(sizes)]);
        for (uint64_t n = 0; n < changes; n++)
            change(a, n, ids);
        export_all(a, &s);
        import_all(b, &s);
        expect_same(a, b, ids);
        import_all(b, &s); /* once more changes nothing */
        expect_same(a, b, ids);
        for (uint64_t n = changes; n < changes + 2000; n++) {
            change(a, n, ids);
            change(b, n, ids);
        }
        expect_same(a, b, ids);
        release(&s);
        pc_revocations_free(a);
        pc_revocations_free(b);
    }
}

static void a_bulk_import_keeps_the_shape_and_rebuilds_nothing(void **state)
{
    (void)state;
    const uint64_t n = SMALL ? 2000 : 300000;
    struct snapshot s = {.n = 0};
    struct pc_revocations *a = new_table(false, 0), *b = new_table(false, 0);
    struct pc_revocations_stats sa, sb;
    for (uint64_t i = 0; i < n; i++) {
        pc_revocations_revoke(a, hash(i), NOW, NOW + 1, 0);
        pc_rcu_quiescent();
    }
    export_all(a, &s);
    import_all(b, &s);
    pc_revocations_read_stats(a, &sa);
    pc_revocations_read_stats(b, &sb);
    assert_true(sb.entries == n && sb.segments == sa.segments && sb.rebuilds == 0);
    assert_true(sb.slots <= sa.slots + sa.slots / 8 && sb.slots > n);
    expect_same(a, b, n);
    release(&s);
    pc_revocations_free(a);
    pc_revocations_free(b);
}

/* The argument of R4, for changes at every place of the export. */
static void an_export_during_changes_is_healed_by_replaying_them(void **state)
{
    (void)state;
    enum { BEFORE = SMALL ? 500 : 4000, PER_BLOCK = 40, IDS = 1500 };
    for (unsigned round = 0; round < (SMALL ? 3 : 12); round++) {
        struct snapshot s = {.n = 0};
        struct pc_revocations_cursor cursor = {0};
        struct pc_revocations *a = new_table(round % 2, 64), *b = new_table(round % 2, 64);
        uint64_t base = round * 1000000, n = base;
        while (n < base + BEFORE)
            change(a, n++, IDS);
        while (export_one(a, &cursor, &s))
            for (unsigned k = 0; k < PER_BLOCK; k++)
                change(a, n++, IDS);
        import_all(b, &s);
        for (uint64_t k = base + BEFORE; k < n; k++)
            change(b, k, IDS);
        expect_same(a, b, IDS);
        release(&s);
        pc_revocations_free(a);
        pc_revocations_free(b);
    }
}

/* What was in the table when the export began and is not touched is exported exactly once, though
 * segments split and the directory doubles meanwhile. */
static void entries_are_exported_once_while_the_directory_doubles(void **state)
{
    (void)state;
    const uint64_t n = 300;
    struct snapshot s = {.n = 0};
    struct pc_revocations_cursor cursor = {0};
    struct pc_revocations *t = new_table(false, 64);
    for (uint64_t i = 0; i < n; i++)
        pc_revocations_revoke(t, hash(i), NOW, INT64_MAX, 0);
    for (uint64_t i = n; export_one(t, &cursor, &s);)
        for (uint64_t end = i + 60; i < end; i++) {
            pc_revocations_revoke(t, hash(i), NOW, INT64_MAX, 0);
            pc_rcu_quiescent();
        }
    for (uint64_t i = 0; i < n; i++) {
        unsigned times = 0;
        for (unsigned b = 0; b < s.n; b++)
            for (size_t at = HEAD_BYTES; at < s.blocks[b].n; at += 18)
                times += memcmp(s.blocks[b].p + at, &(uint64_t){hash(i)}, 8) == 0;
        assert_int_equal(times, 1);
    }
    release(&s);
    pc_revocations_free(t);
}

static void a_small_buffer_is_refused(void **state)
{
    (void)state;
    uint8_t buf[64];
    struct pc_revocations_cursor cursor = {0};
    struct pc_revocations *t = new_table(false, 0);
    assert_int_equal(pc_revocations_export(t, &cursor, buf, sizeof buf), PC_E_TOO_LARGE);
    pc_revocations_free(t);
}

static void a_block_of_the_other_kind_of_table_is_refused(void **state)
{
    (void)state;
    struct snapshot s = {.n = 0};
    struct pc_revocations *a = new_table(true, 0), *b = new_table(false, 0);
    pc_revocations_revoke(a, 1, NOW, NOW, NOW);
    export_all(a, &s);
    assert_int_equal(pc_revocations_import(b, s.blocks[0]), PC_E_UNSUPPORTED);
    release(&s);
    pc_revocations_free(a);
    pc_revocations_free(b);
}

/* Whatever one byte is changed to, or wherever it is cut, a block is refused whole or imported
 * whole; it never crashes. */
static void damaged_blocks_change_nothing_or_are_whole(void **state)
{
    (void)state;
    struct snapshot s = {.n = 0};
    struct pc_revocations *a = new_table(false, 16);
    for (uint64_t i = 0; i < 40; i++)
        pc_revocations_revoke(a, hash(i), NOW, NOW, 0);
    pc_revocations_clear(a, hash(0), NOW + 1, NOW);
    export_all(a, &s);
    struct pc_revocations *b = new_table(false, 16);
    for (unsigned i = 0; i < s.n; i++) {
        uint8_t *p = (uint8_t *)(uintptr_t)s.blocks[i].p;
        for (size_t cut = 0; cut < s.blocks[i].n; cut++)
            assert_int_equal(pc_revocations_import(b, pc_bytes_of(p, cut)), PC_E_DAMAGED);
        for (size_t at = 0; at < s.blocks[i].n; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                p[at] ^= (uint8_t)(1u << bit);
                int r = pc_revocations_import(b, s.blocks[i]);
                assert_true(r == 0 || r == PC_E_DAMAGED || r == PC_E_VERSION ||
                            r == PC_E_UNSUPPORTED);
                assert_true(r != 0 || at >= 7); /* magic, format, part and columns count */
                p[at] ^= (uint8_t)(1u << bit);
                pc_rcu_quiescent();
            }
        }
    }
    release(&s);
    pc_revocations_free(a);
    pc_revocations_free(b);
}

static int set_up(void **state)
{
    (void)state;
    pc_rcu_thread_register();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pc_rcu_thread_unregister();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_import_into_an_empty_table_gives_the_same_state),
        cmocka_unit_test(a_bulk_import_keeps_the_shape_and_rebuilds_nothing),
        cmocka_unit_test(an_export_during_changes_is_healed_by_replaying_them),
        cmocka_unit_test(entries_are_exported_once_while_the_directory_doubles),
        cmocka_unit_test(a_small_buffer_is_refused),
        cmocka_unit_test(a_block_of_the_other_kind_of_table_is_refused),
        cmocka_unit_test(damaged_blocks_change_nothing_or_are_whole),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
