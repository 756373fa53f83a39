/* SPDX-License-Identifier: Apache-2.0
 * The audit on a simulated disk: a line per call, new files, starts after kills and crashes at any
 * moment, every file operation failing once or for good; and that the check finds what somebody did
 * to the lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/journal/snapshot.h"
#include "edge/writer/audit.h"
#include "link/audit_line.h"
#include "support/audit_kit.h"
#include "support/sim_disk.h"

#define SEGMENT   8192u
#define WALL_MS   INT64_C(1763632800000)
#define STEPS_MAX 400

struct world {
    struct sim_disk *disk;
    struct pc_journal *j;
    struct pc_audit *a;
    struct pc_recovered recovered;
    struct pc_why why;
    uint64_t starts, sequence, random, file_bytes;
    uint64_t acknowledged; /* position of the last durable record */
    int64_t now_ns;
};

static struct world w;

static int ignore_record(void *ctx, const struct pc_record *record)
{
    (void)ctx;
    (void)record;
    return 0;
}

static int open_journal(void)
{
    struct pc_journal_options o = {
        .dir = "data",
        .ops = sim_disk_ops(w.disk),
        .segment_bytes = SEGMENT,
        .incarnation = 0x1000 + ++w.starts,
        .new_id = 0xfeedbeefcafe,
        .now_ms = WALL_MS,
        .pid = 4711,
    };
    struct pc_replay replay = {.record = ignore_record};
    return pc_journal_open(&o, &replay, &w.j, &w.recovered, &w.why);
}

static void open_audit(void)
{
    struct pc_audit_options o = {.journal = w.j,
                                 .start_position = w.recovered.position,
                                 .data_dir = "data",
                                 .files = sim_disk_ops(w.disk),
                                 .file_bytes = w.file_bytes,
                                 .node = 0xf1};
    assert_int_equal(0, pc_audit_new(&o, &w.a));
}

static void start(void)
{
    assert_int_equal(0, open_journal());
    open_audit();
}

static void begin(uint64_t seed)
{
    w = (struct world){.disk = sim_disk_new(seed), .random = seed, .file_bytes = 1u << 20};
    start();
}

static void stop(void)
{
    pc_audit_free(w.a);
    pc_journal_close(w.j);
    w.a = NULL;
    w.j = NULL;
}

static void end(void)
{
    stop();
    assert_int_equal(sim_disk_open_files(w.disk), 0);
    sim_disk_free(w.disk);
}

/* A batch of calls, each of some Changes; 0 when it became durable. */
static int commit(unsigned calls)
{
    static uint8_t bytes[1u << 16];
    struct pc_bytes records[256];
    struct pc_buf b = pc_buf_of(bytes, sizeof bytes);
    size_t n = 0;
    uint64_t first, durable;
    for (unsigned i = 0; i < calls; i++) {
        char request[32], id[32];
        snprintf(request, sizeof request, "r-%llu", (unsigned long long)w.sequence);
        for (uint64_t k = 1 + sim_below(&w.random, 4); k && n < PC_COUNT(records); k--) {
            snprintf(id, sizeof id, "t-%llu", (unsigned long long)++w.sequence);
            struct pc_change c = {.node = 0xf1,
                                  .incarnation = w.starts,
                                  .sequence = w.sequence,
                                  .hlc = w.sequence,
                                  .kind = PC_KIND_TOKEN,
                                  .op = PC_OP_REVOKE,
                                  .issuer = PC_LIT("main"),
                                  .id = pc_bytes_str(id),
                                  .at_ms = WALL_MS,
                                  .actor = PC_LIT("token:ops"),
                                  .source = PC_LIT("192.0.2.1"),
                                  .request_id = pc_bytes_str(request)};
            size_t at = b.len;
            pc_change_encode(&c, &b);
            records[n++] = pc_bytes_of(b.p + at, b.len - at);
        }
    }
    assert_false(b.overflow);
    int rc = pc_journal_append(w.j, records, n, WALL_MS + (int64_t)w.sequence, &first);
    if (rc == 0)
        rc = pc_journal_sync(w.j, &durable);
    if (rc == 0)
        w.acknowledged = first + n - 1;
    return rc;
}

static int64_t work(bool sync)
{
    w.now_ns += 1000000;
    return pc_audit_work(w.a, w.now_ns, WALL_MS, sync);
}

static void work_to_the_end(void)
{
    for (int i = 0; i < STEPS_MAX; i++)
        if (work(true) == INT64_MAX)
            return;
    fail_msg("the audit does not come to an end: %s", w.why.text);
}

/* ---- the check, as the command does it ---- */

static struct audit_kit check;

/* The number of problems. */
static unsigned verify(void)
{
    return audit_kit_verify(&check, sim_disk_ops(w.disk), "data", w.j);
}

static void assert_whole(void)
{
    if (verify())
        fail_msg("%s", check.first_problem);
    assert_true(check.result.last_position >= w.acknowledged);
}

/* ---- */

static void every_call_gets_a_line_once_it_is_durable(void **state)
{
    (void)state;
    struct pc_audit_status s;
    begin(1);
    assert_int_equal(INT64_MAX, work(false));
    assert_int_equal(0, commit(3));
    pc_audit_status(w.a, &s);
    assert_int_equal(s.lines, 0);
    assert_true(s.behind > 0);
    int64_t due = work(false);
    assert_true(due > 0 && due <= PC_AUDIT_SYNC_MS * INT64_C(1000000)); /* to be synced */
    pc_audit_status(w.a, &s);
    assert_int_equal(s.lines, 3);
    assert_int_equal(s.position, w.acknowledged);
    assert_int_equal(s.behind, 0);
    assert_true(s.synced < w.acknowledged);
    w.now_ns += due;
    assert_int_equal(INT64_MAX, work(false));
    assert_int_equal(pc_audit_synced(w.a), w.acknowledged);
    assert_whole();
    assert_int_equal(check.result.lines, 3);
    assert_int_equal(check.result.compared, 3);
    end();
}

static void a_full_file_gets_a_name_and_the_chain_goes_on(void **state)
{
    (void)state;
    begin(2);
    w.file_bytes = 4096;
    stop();
    start();
    for (int i = 0; i < 60; i++) {
        assert_int_equal(0, commit(2));
        work(i % 3 == 0);
    }
    work_to_the_end();
    assert_whole();
    assert_true(check.files > 5);
    assert_int_equal(check.result.compared, check.result.lines);
    /* Also right behind a new file's beginning a start finds its place. */
    for (int i = 0; i < 20; i++) {
        stop();
        start();
        assert_int_equal(0, commit(1));
        work_to_the_end();
        assert_whole();
    }
    end();
}

static void a_start_goes_on_where_the_file_ends(void **state)
{
    (void)state;
    begin(3);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(0, commit(2));
        if (i % 2)
            work(i % 4 == 1);
        if (i % 3 == 0) {
            pc_audit_free(w.a);
            pc_journal_close(w.j);
            sim_disk_kill(w.disk);
            start();
        }
    }
    work_to_the_end();
    assert_whole();
    end();
}

static int write_snapshot(void)
{
    static const uint8_t key[PC_SNAPSHOT_KEY_ID_BYTES] = {1};
    struct pc_snapshot_writer *s;
    int rc = pc_snapshot_begin(w.j, pc_journal_durable(w.j), key, WALL_MS, &s, &w.why);
    return rc < 0 ? rc : pc_snapshot_commit(s, &w.why);
}

/* Crashes at any operation; the journal gives up what a snapshot covers and, unless it is the
 * canary, the audit has passed. Whether every record has its line in the end. */
static bool survive_crashes(uint64_t seed, bool canary)
{
    begin(seed);
    w.file_bytes = 6000;
    stop();
    start();
    for (int i = 0; i < 25; i++) {
        for (uint64_t n = sim_below(&w.random, 6); n; n--) {
            assert_int_equal(0, commit(1 + (unsigned)sim_below(&w.random, 8)));
            if (sim_below(&w.random, 2)) /* a mark takes a position and has no line */
                assert_int_equal(0, pc_journal_seal(w.j, WALL_MS + (int64_t)w.sequence));
            if (sim_below(&w.random, 2))
                work(sim_below(&w.random, 3) == 0);
        }
        assert_int_equal(0, write_snapshot());
        pc_journal_retire(w.j, canary ? w.acknowledged : pc_audit_named(w.a), NULL);
        if (sim_below(&w.random, 2)) {
            sim_disk_stop_at(w.disk, 1 + sim_below(&w.random, 12));
            commit(1);
            work(true);
        }
        stop();
        sim_disk_stop_at(w.disk, 0);
        sim_disk_crash(w.disk);
        start();
    }
    work_to_the_end();
    unsigned problems = verify();
    bool whole =
        problems == 0 && check.result.gaps == 0 && check.result.last_position >= w.acknowledged;
    end();
    return whole;
}

/* What was durable is not retired before its lines are, so no crash can lose one. */
static void no_crash_loses_or_doubles_a_line(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        if (!survive_crashes(seed, false))
            fail_msg("seed %llu: %u gaps; %s", (unsigned long long)seed, check.result.gaps,
                     check.first_problem);
}

static void retiring_what_has_no_durable_line_would_be_found(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 1; seed <= 10; seed++)
        found += !survive_crashes(seed, true);
    assert_true(found > 0);
}

/* ---- faults ---- */

/* A life in which the audit's operations fail; the journal's own do not, it is another test's. */
static void live(void)
{
    for (int i = 0; i < 8; i++) {
        work(i % 2);
        if (i % 3 == 1) {
            pc_audit_free(w.a);
            open_audit();
        }
    }
}

static void every_operation_may_fail_once(void **state)
{
    (void)state;
    static const enum sim_fault faults[] = {SIM_EIO, SIM_ENOSPC, SIM_EROFS, SIM_SHORT, SIM_SYNC};
    for (size_t f = 0; f < PC_COUNT(faults); f++) {
        bool fired = true;
        for (uint64_t k = 1; fired; k++) {
            assert_true(k < 500);
            begin(100 + k);
            w.file_bytes = 1500;
            stop();
            start();
            for (int i = 0; i < 12; i++)
                assert_int_equal(0, commit(2));
            sim_disk_fault(w.disk, faults[f], k, false);
            live();
            fired = sim_disk_fault_fired(w.disk);
            sim_disk_fault(w.disk, faults[f], 0, false);
            work_to_the_end();
            assert_whole();
            /* Nothing was believed durable that was not. */
            stop();
            sim_disk_crash(w.disk);
            start();
            work_to_the_end();
            assert_whole();
            end();
        }
    }
}

static void a_full_disk_stops_nothing_but_the_audit(void **state)
{
    (void)state;
    struct pc_audit_status s;
    begin(4);
    assert_int_equal(0, commit(2));
    work(true);
    uint64_t synced = pc_audit_synced(w.a);
    assert_int_equal(0, commit(2));
    sim_disk_fault(w.disk, SIM_ENOSPC, 1, true);
    assert_int_equal(PC_AUDIT_RETRY_MS * INT64_C(1000000), work(true));
    pc_audit_status(w.a, &s);
    assert_true(s.failing);
    assert_int_equal(s.failures, 1);
    assert_non_null(strstr(s.why, "audit.jsonl"));
    assert_true(s.behind > 0);
    /* Not every millisecond. */
    assert_true(work(false) > 0);
    pc_audit_status(w.a, &s);
    assert_int_equal(s.failures, 1);
    assert_int_equal(pc_audit_synced(w.a), synced); /* A2 */
    sim_disk_fault(w.disk, SIM_ENOSPC, 0, false);
    work_to_the_end();
    pc_audit_status(w.a, &s);
    assert_false(s.failing);
    assert_whole();
    end();
}

/* ---- gaps ---- */

static void what_was_retired_while_it_was_off_is_a_gap(void **state)
{
    (void)state;
    begin(5);
    assert_int_equal(0, commit(2));
    work_to_the_end();
    for (int i = 0; i < 80; i++)
        assert_int_equal(0, commit(3));
    assert_int_equal(0, write_snapshot());
    unsigned freed;
    assert_int_equal(0, pc_journal_retire(w.j, pc_journal_durable(w.j), &freed));
    assert_true(freed > 1);
    work_to_the_end();
    assert_whole();
    assert_int_equal(check.result.gaps, 1);
    stop();
    start();
    assert_int_equal(0, commit(2));
    work_to_the_end();
    assert_whole();
    assert_int_equal(check.result.gaps, 1);
    end();
}

/* Older lines are damaged, by so much that it is longer than any line, and their records are gone:
 * what stands behind is kept. */
static void damage_of_old_lines_costs_no_others(void **state)
{
    (void)state;
    static uint8_t text[(1u << 19)];
    size_t n, hole = PC_AUDIT_LINE_MAX + 4096, kept;
    begin(8);
    for (int i = 0; i < 80; i++)
        assert_int_equal(0, commit(3));
    work_to_the_end();
    assert_int_equal(0, write_snapshot());
    unsigned freed;
    assert_int_equal(0, pc_journal_retire(w.j, pc_audit_named(w.a), &freed));
    assert_true(freed > 1);
    stop();
    struct sim_disk *copy = sim_disk_clone(w.disk);
    sim_disk_free(w.disk);
    w.disk = copy;
    const uint8_t *bytes = sim_disk_bytes(copy, PC_AUDIT_FILE, &n);
    assert_true(n + hole < sizeof text);
    memset(text, 0, hole);
    memcpy(text + hole, bytes, n); /* zeros run into the first line */
    sim_disk_put(copy, PC_AUDIT_FILE, text, hole + n);
    start();
    assert_int_equal(0, commit(2));
    work_to_the_end();
    bytes = sim_disk_bytes(copy, PC_AUDIT_FILE, &kept);
    assert_true(kept > hole + n);
    assert_memory_equal(bytes, text, hole + n);
    assert_null(memmem(bytes + hole, kept - hole, "\"gap\"", 5));
    end();
}

static void a_journal_that_begins_anew_is_told(void **state)
{
    (void)state;
    begin(6);
    for (int i = 0; i < 10; i++)
        assert_int_equal(0, commit(2));
    work_to_the_end();
    stop();
    struct sim_disk *copy = sim_disk_clone(w.disk);
    sim_disk_free(w.disk);
    w.disk = copy;
    sim_disk_remove(copy, "segment-0000000001");
    sim_disk_remove(copy, "segment-0000000002");
    sim_disk_remove(copy, "journal.id");
    w.acknowledged = 0;
    for (int i = 0; i < 3; i++) {
        start();
        assert_int_equal(0, commit(2));
        work_to_the_end();
        assert_whole();
        assert_int_equal(check.result.gaps, 1);
        stop();
    }
    start();
    end();
}

/* ---- what somebody did ---- */

struct edit {
    const char *what;
    /* Changes the n bytes of audit.jsonl in place; returns how many are left. */
    size_t (*make)(char *p, size_t n);
    bool cut_by_start; /* a start takes it for the end a crash left and derives it again */
};

static char *line_at(char *p, unsigned i)
{
    while (i--)
        p = strchr(p, '\n') + 1;
    return p;
}

static size_t change_a_letter(char *p, size_t n)
{
    char *id = strstr(line_at(p, 5), "\"id\":\"t-");
    id[8] = 'X';
    return n;
}

static size_t change_the_last_line(char *p, size_t n)
{
    char *actor = strstr(line_at(p, 19), "token:ops");
    memcpy(actor, "token:eve", 9);
    return n;
}

static size_t remove_a_line(char *p, size_t n)
{
    char *from = line_at(p, 7), *to = line_at(p, 8);
    memmove(from, to, n - (size_t)(to - p));
    return n - (size_t)(to - from);
}

static size_t swap_two_lines(char *p, size_t n)
{
    static char copy[4096];
    char *a = line_at(p, 3), *b = line_at(p, 4), *c = line_at(p, 5);
    size_t first = (size_t)(b - a), second = (size_t)(c - b);
    memcpy(copy, a, first);
    memmove(a, b, second);
    memcpy(a + second, copy, first);
    return n;
}

static size_t cut_the_end(char *p, size_t n)
{
    (void)n;
    return (size_t)(line_at(p, 12) - p);
}

static size_t cut_in_the_middle(char *p, size_t n)
{
    (void)n;
    return (size_t)(line_at(p, 12) - p) + 40;
}

static size_t remove_the_beginning(char *p, size_t n)
{
    char *from = line_at(p, 2);
    memmove(p, from, n - (size_t)(from - p));
    return n - (size_t)(from - p);
}

/* All hashes behind the change made anew: only the journal can tell. */
static size_t forge(char *p, size_t n)
{
    struct pc_audit_hash hash;
    char hex[65] = "";
    change_a_letter(p, n);
    for (unsigned i = 5; i < 19; i++) {
        char *line = line_at(p, i), *next = line_at(p, i + 1);
        pc_audit_line_hash(pc_bytes_of(line, (size_t)(next - line) - 1), &hash);
        pc_hex_encode(hash.b, sizeof hash.b, hex);
        memcpy(strstr(next, "\"prev\":\"") + 8, hex, 64);
    }
    return n;
}

/* The same, and the line is not changed but gone. */
static size_t forge_a_removal(char *p, size_t n)
{
    struct pc_audit_hash hash;
    char hex[65] = "";
    n = remove_a_line(p, n);
    p[n] = 0;
    for (unsigned i = 6; i < 18; i++) {
        char *line = line_at(p, i), *next = line_at(p, i + 1);
        pc_audit_line_hash(pc_bytes_of(line, (size_t)(next - line) - 1), &hash);
        pc_hex_encode(hash.b, sizeof hash.b, hex);
        memcpy(strstr(next, "\"prev\":\"") + 8, hex, 64);
    }
    return n;
}

static size_t claim_more(char *p, size_t n)
{
    char *last = strstr(line_at(p, 19), "\"last\":");
    last[7] = '9';
    return n;
}

static void what_somebody_did_is_found(void **state)
{
    (void)state;
    static const struct edit edits[] = {
        {"change",           change_a_letter,      false},
        {"change last",      change_the_last_line, false},
        {"remove",           remove_a_line,        false},
        {"swap",             swap_two_lines,       false},
        {"cut",              cut_the_end,          true },
        {"cut in a line",    cut_in_the_middle,    true },
        {"remove beginning", remove_the_beginning, false},
        {"forge",            forge,                false},
        {"forge removal",    forge_a_removal,      false},
        {"claim more",       claim_more,           false},
    };
    for (size_t i = 0; i < PC_COUNT(edits); i++) {
        static char text[1u << 16];
        size_t n;
        begin(7);
        for (int k = 0; k < 20; k++)
            assert_int_equal(0, commit(1));
        work_to_the_end();
        assert_whole();
        assert_int_equal(check.result.lines, 20);
        stop();
        struct sim_disk *copy = sim_disk_clone(w.disk);
        sim_disk_free(w.disk);
        w.disk = copy;
        const uint8_t *bytes = sim_disk_bytes(copy, PC_AUDIT_FILE, &n);
        assert_true(n < sizeof text - 1);
        memcpy(text, bytes, n);
        text[n] = 0;
        n = edits[i].make(text, n);
        sim_disk_put(copy, PC_AUDIT_FILE, text, n);
        assert_int_equal(0, open_journal());
        unsigned problems = verify();
        if (problems == 0)
            fail_msg("nothing was found: %s", edits[i].what);
        assert_int_equal(0, strncmp(check.first_problem, PC_AUDIT_FILE ":", sizeof PC_AUDIT_FILE));
        open_audit();
        if (edits[i].cut_by_start) {
            work_to_the_end();
            assert_whole();
        }
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_gets_a_line_once_it_is_durable),
        cmocka_unit_test(a_full_file_gets_a_name_and_the_chain_goes_on),
        cmocka_unit_test(a_start_goes_on_where_the_file_ends),
        cmocka_unit_test(no_crash_loses_or_doubles_a_line),
        cmocka_unit_test(retiring_what_has_no_durable_line_would_be_found),
        cmocka_unit_test(every_operation_may_fail_once),
        cmocka_unit_test(a_full_disk_stops_nothing_but_the_audit),
        cmocka_unit_test(what_was_retired_while_it_was_off_is_a_gap),
        cmocka_unit_test(damage_of_old_lines_costs_no_others),
        cmocka_unit_test(a_journal_that_begins_anew_is_told),
        cmocka_unit_test(what_somebody_did_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
