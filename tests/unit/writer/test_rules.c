/* SPDX-License-Identifier: Apache-2.0
 * Flags and IP rules on the writer: journaled, published, recovered from journal and snapshot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "support/writer_rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, NULL);
    return rig_open(&rig);
}

static int teardown(void **state)
{
    (void)state;
    if (rig.w)
        rig_close(&rig);
    rig_free(&rig);
    return 0;
}

static struct pc_job *set(enum pc_kind kind, const char *id, const char *value, bool ephemeral)
{
    struct pc_change c = {
        .kind = kind,
        .op = value ? PC_OP_SET : PC_OP_UNSET,
        .id = pc_bytes_str(id),
        .value = value ? pc_bytes_str(value) : pc_bytes_of(NULL, 0),
        .actor = PC_LIT("token:ops"),
        .reason = PC_LIT("because"),
        .ephemeral = ephemeral,
    };
    return rig_job(&c, 1);
}

static struct pc_flag flag(const char *key)
{
    const struct pc_flag *f = pc_flags_find(pc_tables_view(rig.tables)->flags, pc_bytes_str(key));
    assert_non_null(f);
    return *f;
}

static bool denied(uint8_t last)
{
    struct pc_ip ip = {
        .family = 4, .b = {192, 0, 2, last}
    };
    struct pc_ip_match match;
    pc_ip_sets_match(pc_tables_view(rig.tables)->ip_sets, PC_IP_GLOBAL, &ip, rig.wall_ms, &match);
    return match.deny;
}

static void reopen(bool crash)
{
    if (crash)
        rig_drop(&rig);
    else
        rig_close(&rig);
    assert_int_equal(rig_open(&rig), 0);
}

static void a_flag_is_published_with_its_acknowledgement(void **state)
{
    (void)state;
    assert_false(pc_tables_view(rig.tables)->flags->maintenance);
    assert_int_equal(
        rig_run(&rig, set(PC_KIND_FLAG, "maintenance.mode_enabled", "true", false), NULL), 0);
    assert_true(pc_tables_view(rig.tables)->flags->maintenance);
    assert_true(pc_bytes_eq_str(flag("maintenance.mode_enabled").source, "admin:ops"));
    assert_int_equal(
        rig_run(&rig, set(PC_KIND_FLAG, "maintenance.mode_enabled", NULL, false), NULL), 0);
    assert_false(pc_tables_view(rig.tables)->flags->maintenance);
}

static void settings_survive_a_crash_and_a_snapshot(void **state)
{
    (void)state;
    for (int crash = 1; crash >= 0; crash--) {
        rig_run(&rig, set(PC_KIND_FLAG, "cache.ttl_seconds", crash ? "7" : "8", false), NULL);
        rig_run(&rig, set(PC_KIND_IP_RULE, "global 192.0.2.0/24", "deny", false), NULL);
        rig_run(&rig, set(PC_KIND_IP_RULE, "global 192.0.2.1/32", "allow", false), NULL);
        reopen(crash);
        assert_true(pc_bytes_eq_str(flag("cache.ttl_seconds").value, crash ? "7" : "8"));
        assert_true(denied(2));
        assert_false(denied(1));
        rig_run(&rig, set(PC_KIND_IP_RULE, "global 192.0.2.0/24", NULL, false), NULL);
        assert_false(denied(2));
        reopen(crash); /* the removal too */
        assert_false(denied(2));
    }
}

static void an_ephemeral_value_ends_with_the_process_and_the_durable_one_is_back(void **state)
{
    (void)state;
    for (int crash = 0; crash <= 1; crash++) {
        rig_run(&rig, set(PC_KIND_FLAG, "cache.ttl_seconds", "1", false), NULL);
        rig_run(&rig, set(PC_KIND_FLAG, "cache.ttl_seconds", "2", true), NULL);
        assert_true(pc_bytes_eq_str(flag("cache.ttl_seconds").value, "2"));
        assert_true(flag("cache.ttl_seconds").ephemeral);
        reopen(crash);
        assert_true(pc_bytes_eq_str(flag("cache.ttl_seconds").value, "1"));
    }
}

static uint64_t runtime_rules(void)
{
    struct pc_ip_sets_stats stats;
    pc_ip_sets_read_stats(pc_tables_view(rig.tables)->ip_sets, &stats);
    return stats.runtime_rules;
}

static void an_expired_ip_rule_leaves_the_view_by_itself(void **state)
{
    struct pc_change c = {.kind = PC_KIND_IP_RULE,
                          .op = PC_OP_SET,
                          .id = PC_LIT("global 192.0.2.1/32"),
                          .value = PC_LIT("deny"),
                          .expires_at_ms = rig.wall_ms + 1000};
    (void)state;
    rig_run(&rig, rig_job(&c, 1), NULL);
    rig_run(&rig, set(PC_KIND_IP_RULE, "global 192.0.2.2/32", "deny", false), NULL);
    assert_true(denied(1) && denied(2));
    rig_pass(&rig, 1000);
    rig_settle(&rig);
    assert_true(!denied(1) && denied(2)); /* expired, though still there */
    assert_int_equal(runtime_rules(), 2);
    rig_pass(&rig, 180 * 1000);
    rig_settle(&rig);
    assert_int_equal(runtime_rules(), 1);
    assert_true(!denied(1) && denied(2));
    reopen(true);
    assert_int_equal(runtime_rules(), 1);
}

static void many_settings_are_replayed(void **state)
{
    (void)state;
    char key[64], value[16];
    enum { N = 3000 };
    for (unsigned i = 0; i < N; i++) {
        snprintf(key, sizeof key, "many.f%u", i % 1500);
        snprintf(value, sizeof value, "%u", i);
        assert_int_equal(rig_run(&rig, set(PC_KIND_FLAG, key, value, false), NULL), 0);
    }
    for (int crash = 1; crash >= 0; crash--) {
        reopen(crash);
        assert_true(pc_bytes_eq_str(flag("many.f0").value, "1500"));
        assert_true(pc_bytes_eq_str(flag("many.f1499").value, "2999"));
        assert_int_equal(pc_tables_view(rig.tables)->flags->runtime_count, 1500);
    }
}

/* So many rules as one job takes, from 10.<from>.0.0 on, that end in a minute. */
static int ban_for_a_minute(unsigned from)
{
    static char ids[PC_JOB_CHANGES_MAX][32];
    static struct pc_change changes[PC_JOB_CHANGES_MAX];
    for (unsigned i = 0; i < PC_JOB_CHANGES_MAX; i++) {
        unsigned host = from * PC_JOB_CHANGES_MAX + i;
        snprintf(ids[i], sizeof ids[i], "global 10.%u.%u.%u/32", host >> 16, host >> 8 & 255,
                 host & 255);
        changes[i] = (struct pc_change){.kind = PC_KIND_IP_RULE,
                                        .op = PC_OP_SET,
                                        .id = pc_bytes_str(ids[i]),
                                        .value = PC_LIT("deny"),
                                        .expires_at_ms = rig.wall_ms + 60000};
    }
    return rig_run(&rig, rig_job(changes, PC_JOB_CHANGES_MAX), NULL);
}

static void pass_hours(unsigned n)
{
    for (unsigned i = 0; i < n * 60; i++) {
        rig_pass(&rig, 60000);
        pc_writer_turn(rig.w);
    }
}

static void step_days(int n)
{
    rig_step(&rig, n * INT64_C(86400000));
    pc_writer_turn(rig.w);
}

/* Whoever bans addresses for minutes at a time is never full of bans that are long over. */
static void bans_that_are_over_make_room(void **state)
{
    (void)state;
    const unsigned jobs = PC_IP_RUNTIME_RULES_MAX / PC_JOB_CHANGES_MAX;
    rig.options.segment_bytes = 2u << 20; /* a job goes into one segment */
    reopen(false);
    for (unsigned job = 0; job < 3 * jobs; job++) {
        assert_int_equal(ban_for_a_minute(job), 0);
        if (job % jobs == jobs - 1)
            pass_hours(2);
    }
    assert_int_equal(
        rig_run(&rig, set(PC_KIND_IP_RULE, "global 192.0.2.0/24", "deny", false), NULL), 0);
    assert_true(denied(1));
}

/* A clock that was set forward for a moment ends no ban for good. */
static void what_a_clock_set_forward_ended_is_back_with_it(void **state)
{
    (void)state;
    struct pc_change ban = {.kind = PC_KIND_IP_RULE,
                            .op = PC_OP_SET,
                            .id = PC_LIT("global 192.0.2.0/24"),
                            .value = PC_LIT("deny"),
                            .expires_at_ms = rig.wall_ms + 10 * INT64_C(86400000)};
    assert_int_equal(rig_run(&rig, rig_job(&ban, 1), NULL), 0);
    pass_hours(1);
    step_days(100);
    rig_run(&rig, set(PC_KIND_IP_RULE, "global 198.51.100.0/24", "deny", false), NULL);
    assert_false(denied(1));
    step_days(-100);
    rig_pass(&rig, PC_WRITER_TICK_MS);
    pc_writer_turn(rig.w);
    assert_true(denied(1)); /* without any other change */
    for (int crash = 1; crash >= 0; crash--) {
        rig_run(&rig, set(PC_KIND_IP_RULE, "global 203.0.113.0/24", "deny", false), NULL);
        assert_true(denied(1));
        reopen(crash);
        assert_true(denied(1));
    }
}

static void a_note_changes_nothing_but_is_a_record(void **state)
{
    (void)state;
    const struct pc_view *before = pc_tables_view(rig.tables);
    struct pc_change note = {.kind = PC_KIND_ADMIN,
                             .op = PC_OP_NOTE,
                             .id = PC_LIT("reload"),
                             .value = PC_LIT("{}"),
                             .actor = PC_LIT("token:ops")};
    struct pc_job *job;
    assert_int_equal(rig_run(&rig, rig_job(&note, 1), &job), 0);
    assert_true(job->items[0].change.sequence > 0 && job->items[0].change.at_ms > 0);
    pc_job_free(job);
    assert_ptr_equal(pc_tables_view(rig.tables), before);
    reopen(true);
    assert_int_equal(rig.w->recovered.records, 1);
}

/* A configuration that arrives is joined with what was set at run time. */
static int install_file(struct pc_writer *w, struct pc_job *job)
{
    return pc_writer_install(w, job->task_arg);
}

static void a_new_flag_file_stands_below_runtime_values(void **state)
{
    (void)state;
    struct pc_why why;
    struct pc_install in = {.why = &why};
    assert_int_equal(
        pc_flag_layer_parse_file_text(PC_LIT("{\"cache.ttl_seconds\": 11, \"new.one\": \"x\"}"),
                                      &in.flag_file, &why),
        0);
    rig_run(&rig, set(PC_KIND_FLAG, "cache.ttl_seconds", "5", false), NULL);
    assert_int_equal(rig_run(&rig, rig_task(install_file, &in), NULL), 0);
    assert_null(in.flag_file); /* taken over */
    assert_true(pc_bytes_eq_str(flag("cache.ttl_seconds").value, "5"));
    assert_true(pc_bytes_eq_str(flag("new.one").value, "\"x\""));
    rig_run(&rig, set(PC_KIND_FLAG, "cache.ttl_seconds", NULL, false), NULL);
    assert_true(pc_bytes_eq_str(flag("cache.ttl_seconds").value, "11"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_flag_is_published_with_its_acknowledgement),
        TEST(settings_survive_a_crash_and_a_snapshot),
        TEST(an_ephemeral_value_ends_with_the_process_and_the_durable_one_is_back),
        TEST(an_expired_ip_rule_leaves_the_view_by_itself),
        TEST(many_settings_are_replayed),
        TEST(bans_that_are_over_make_room),
        TEST(what_a_clock_set_forward_ended_is_back_with_it),
        TEST(a_note_changes_nothing_but_is_a_record),
        TEST(a_new_flag_file_stands_below_runtime_values),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
