/* SPDX-License-Identifier: Apache-2.0
 * The flags' endpoints from bytes to bytes, with the real writer: what a core answers, what the
 * environment holds, what a journal that fails and memory that runs out leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/state/rcu.h"
#include "support/fake_conn.h"
#include "support/fake_malloc.h"

/* ---- the server ---- */

static struct rig rig;
static struct rig_core core;
static struct fake_conn conn;
static struct sim_disk *disk;
static struct pc_flag_layer *environment;
static char credential[PC_ADMIN_TOKEN_TEXT_MAX];
static char request[FAKE_CONN_INPUT_MAX / 2];

static int start(struct sim_disk *on)
{
    static const uint8_t random[40] = {1};
    char *environ[] = {(char *)(uintptr_t) "FLAG_AUTH_ENABLE_2FA=true", NULL};
    assert_int_equal(pc_flag_layer_from_environ(environ, &environment, NULL), 0);
    disk = on;
    rig_init(&rig, disk);
    rig.options.segment_bytes = 4u << 20;
    rig.options.flag_environment = environment;
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
    assert_int_equal(pc_admin_tokens_create(&core.settings->admins, "op", PC_ADMIN_OPERATOR, 1,
                                            INT64_MAX, random, credential),
                     0);
    fake_conn_open_http(&conn, &core);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return start(sim_disk_new(1));
}

/* Simulated disks need memory of their own. */
static int setup_on_files(void **state)
{
    (void)state;
    return start(NULL);
}

static int teardown(void **state)
{
    (void)state;
    fake_conn_close(&conn);
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    if (disk)
        sim_disk_free(disk);
    pc_flag_layer_free(environment);
    return 0;
}

static void write_request(const char *method, const char *path, const char *body)
{
    snprintf(request, sizeof request,
             "%s %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n"
             "%s",
             method, path, credential, strlen(body), body);
}

static unsigned call(const char *method, const char *path, const char *body)
{
    if (conn.closing) {
        fake_conn_close(&conn);
        fake_conn_open_http(&conn, &core);
    }
    write_request(method, path, body);
    fake_conn_ask(&conn, &rig, request);
    return fake_conn_status(&conn);
}

static void answers(const char *text)
{
    if (!strstr((const char *)conn.out, text))
        fail_msg("\"%s\" is not in\n%s", text, (const char *)conn.out);
}

static void a_flag_is_set_read_and_removed(void **state)
{
    (void)state;
    assert_int_equal(200, call("POST", "/flags/cache.ttl_seconds", "{\"value\": 6e1}"));
    answers("\r\n\r\n{\"message\":\"the flag was set\",\"flag\":{\"key\":\"cache.ttl_seconds\","
            "\"value\":60,\"source\":\"admin:op\"}}\n");
    assert_int_equal(200, call("GET", "/flags/cache.ttl_seconds", ""));
    answers("\"flag\":{\"key\":\"cache.ttl_seconds\",\"value\":60,\"source\":\"admin:op\","
            "\"type\":\"integer\",\"category\":\"cache\"}}\n");
    assert_int_equal(200, call("GET", "/api/flags", ""));
    answers("{\"message\":\"8 flags\",\"flags\":{\"api.rate_limit_strict\":{\"value\":false,"
            "\"source\":\"default\",\"type\":\"boolean\",\"category\":\"api\",\"description\":\"");
    answers("},\"total\":8}\n");
    assert_int_equal(200, call("DELETE", "/flags/cache.ttl_seconds", ""));
    answers("{\"message\":\"the runtime value was removed\",\"flag\":{\"key\":"
            "\"cache.ttl_seconds\",\"value\":300,\"source\":\"default\"}}\n");
    assert_int_equal(404, call("DELETE", "/flags/cache.ttl_seconds", ""));
    answers("FLAG_NOT_SET");
}

static void an_ephemeral_flag_comes_with_a_warning_and_goes_with_the_start(void **state)
{
    (void)state;
    assert_int_equal(200, call("POST", "/flags/a.b", "{\"value\":\"x\",\"ephemeral\":true}"));
    answers("\"value\":\"x\",\"source\":\"admin:op\"},\"warning\":\"this value is ephemeral");
    assert_int_equal(200, call("POST", "/flags/c.d", "{\"value\":{\"e\" : [1, 2]}}"));
    fake_conn_close(&conn);
    rig_core_free(&core);
    rig_drop(&rig);
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
    const struct pc_flags *f = pc_tables_view(rig.options.tables)->flags;
    assert_null(pc_flags_find(f, PC_LIT("a.b")));
    const struct pc_flag *kept = pc_flags_find(f, PC_LIT("c.d"));
    assert_non_null(kept);
    assert_true(pc_bytes_eq(kept->value, PC_LIT("{\"e\":[1,2]}")));
    assert_true(pc_bytes_eq(kept->source, PC_LIT("admin:op")));
    fake_conn_open_http(&conn, &core);
}

static void what_the_environment_holds_stays(void **state)
{
    (void)state;
    assert_int_equal(409, call("POST", "/flags/auth.enable_2fa", "{\"value\":false}"));
    answers("FLAG_HELD_BY_ENVIRONMENT");
    answers("FLAG_AUTH_ENABLE_2FA");
    assert_int_equal(404, call("DELETE", "/flags/auth.enable_2fa", ""));
    answers("FLAG_NOT_SET");
    answers("environment");
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_int_equal(400, call("POST", "/flags/cache.ttl_seconds", "{\"value\":true}"));
    answers("cache.ttl_seconds: the flag is an integer, the value is a boolean");
    assert_int_equal(400, call("POST", "/flags/a..b", "{\"value\":true}"));
    answers("FLAG_KEY_INVALID");
    assert_int_equal(400, call("POST", "/flags/a", "{\"value\":true,"));
    answers("JSON_INVALID");
    assert_int_equal(400, call("POST", "/flags/a", "{\"val\":true}"));
    answers("unknown member");
    assert_int_equal(400, call("POST", "/flags/a", "{}"));
    answers("value is missing");
    assert_int_equal(404, call("GET", "/flags/a", ""));
    answers("FLAG_NOT_FOUND");
    assert_int_equal(404, call("DELETE", "/flags/a", ""));
    assert_int_equal(405, call("PUT", "/flags/a", "{}"));
}

static void a_journal_that_fails_refuses_and_nothing_changes(void **state)
{
    (void)state;
    sim_disk_fault(disk, SIM_EIO, 1, true);
    assert_int_equal(503, call("POST", "/flags/cache.ttl_seconds", "{\"value\":1}"));
    answers("nothing was changed: Input/output error");
    assert_int_equal(503, call("POST", "/flags/cache.ttl_seconds", "{\"value\":1}"));
    answers("READ_ONLY");
    assert_int_equal(200, call("GET", "/flags/cache.ttl_seconds", ""));
    answers("\"value\":300");
    sim_disk_fault(disk, SIM_EIO, 0, false);
}

static void a_client_that_went_away_misses_nothing_but_the_answer(void **state)
{
    (void)state;
    write_request("POST", "/flags/gone.client", "{\"value\":1}");
    fake_conn_feed(&conn, pc_bytes_str(request));
    fake_conn_close(&conn);
    fake_conn_open_http(&conn, &core);
    fake_conn_run_writer(&conn, &rig);
    assert_int_equal(200, call("GET", "/flags/gone.client", ""));
}

/* Each allocation of a change fails once, on the core or on the writer: the answer says 503 and
 * the flag is as it was, or it says 200 and the flag is set. */
static void memory_may_run_out_anywhere_in_a_change(void **state)
{
    (void)state;
    if (!fake_malloc_works())
        skip();
    assert_int_equal(200, call("POST", "/flags/first", "{\"value\":1}")); /* threads and buffers */
    unsigned refused = 0;
    bool fired = true;
    for (unsigned k = 1; fired; k++) {
        char body[32], value[32];
        snprintf(body, sizeof body, "{\"value\":%u}", k);
        snprintf(value, sizeof value, "\"value\":%u,", k);
        fake_malloc_fail_at(k);
        unsigned status = call("POST", "/flags/memory", body);
        fake_malloc_fail_at(0);
        fired = fake_malloc_fired();
        assert_true(status == 200 || status == 503);
        refused += status == 503;
        assert_int_equal(status == 200 || k > refused ? 200 : 404,
                         call("GET", "/flags/memory", ""));
        assert_int_equal(status == 200, strstr((const char *)conn.out, value) != NULL);
        assert_true(k < 1000);
    }
    assert_true(refused >= 4); /* the job, the registers, the drafts, the snapshot, the view */
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_flag_is_set_read_and_removed),
        WITH_SERVER(an_ephemeral_flag_comes_with_a_warning_and_goes_with_the_start),
        WITH_SERVER(what_the_environment_holds_stays),
        WITH_SERVER(what_cannot_be_is_refused),
        WITH_SERVER(a_journal_that_fails_refuses_and_nothing_changes),
        WITH_SERVER(a_client_that_went_away_misses_nothing_but_the_answer),
        cmocka_unit_test_setup_teardown(memory_may_run_out_anywhere_in_a_change, setup_on_files,
                                        teardown),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_thread_unregister();
    return failed;
}
