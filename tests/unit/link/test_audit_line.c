/* SPDX-License-Identifier: Apache-2.0
 * Lines of the audit: what they look like, which Changes share one, that they are read back, and
 * that nothing in a Change can break one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "link/audit_line.h"
#include "support/sim_disk.h"

#define TIME_MS INT64_C(1763632800123)

static uint8_t buf[PC_AUDIT_LINE_MAX];
static const struct pc_audit_hash zeros;

static struct pc_change change(const char *id)
{
    return (struct pc_change){
        .node = 0xf1,
        .kind = PC_KIND_TOKEN,
        .op = PC_OP_REVOKE,
        .issuer = PC_LIT("main"),
        .id = pc_bytes_str(id),
        .expires_at_ms = 1763636400500,
        .actor = PC_LIT("token:ops"),
        .source = PC_LIT("192.0.2.1"),
        .request_id = PC_LIT("r-1"),
        .reason = PC_LIT("stolen"),
    };
}

static const char *text_of(struct pc_bytes line)
{
    static char text[PC_AUDIT_LINE_MAX];
    assert_int_equal(line.p[line.n - 1], '\n');
    memcpy(text, line.p, line.n - 1);
    text[line.n - 1] = 0;
    return text;
}

static void a_line_is_what_the_header_says(void **state)
{
    (void)state;
    struct pc_audit_line l;
    struct pc_audit_hash hash;
    struct pc_change c = change("a"), d = change("b");
    d.reason = PC_LIT("too");
    d.expires_at_ms = 0;
    pc_audit_line_begin(&l, buf, &c, 12, TIME_MS);
    assert_true(pc_audit_line_takes(&l, &d));
    pc_audit_line_add(&l, &d);
    assert_string_equal(
        text_of(pc_audit_line_end(&l, &zeros, &hash)),
        "{\"v\":1,\"time\":\"2025-11-20T10:00:00.123Z\",\"node\":\"00000000000000f1\",\"first\":12,"
        "\"last\":13,\"actor\":\"token:ops\",\"source\":\"192.0.2.1\",\"request_id\":\"r-1\","
        "\"reason\":\"stolen\",\"changes\":[{\"op\":\"revoke\",\"kind\":\"token\",\"issuer\":"
        "\"main\",\"id\":\"a\",\"expires_at\":1763636400.500},{\"op\":\"revoke\",\"kind\":"
        "\"token\","
        "\"issuer\":\"main\",\"id\":\"b\",\"reason\":\"too\"}],\"prev\":"
        "\"00000000000000000000000000"
        "00000000000000000000000000000000000000\"}");
    char hex[65] = "";
    pc_hex_encode(hash.b, sizeof hash.b, hex);
    struct pc_audit_hash again;
    pc_audit_line_hash(pc_bytes_str(text_of(pc_bytes_of(buf, strlen((char *)buf)))), &again);
    assert_memory_equal(&hash, &again, sizeof hash);
}

static void values_stand_as_json_where_they_are(void **state)
{
    (void)state;
    static const struct {
        enum pc_kind kind;
        const char *value, *expected;
    } cases[] = {
        {PC_KIND_FLAG,    "{\"a\":[1,true]}", ",\"value\":{\"a\":[1,true]}"    },
        {PC_KIND_FLAG,    "nonsense",         ",\"value\":\"nonsense\""        },
        {PC_KIND_FLAG,    "{\"a\":\n1}",      ",\"value\":\"{\\\"a\\\":\\n1}\""},
        {PC_KIND_IP_RULE, "1",                ",\"value\":\"1\""               },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_audit_line l;
        struct pc_audit_hash hash;
        struct pc_change c = change("k");
        c.kind = cases[i].kind;
        c.op = PC_OP_SET;
        c.value = pc_bytes_str(cases[i].value);
        pc_audit_line_begin(&l, buf, &c, 1, TIME_MS);
        assert_non_null(strstr(text_of(pc_audit_line_end(&l, &zeros, &hash)), cases[i].expected));
    }
}

static void what_is_another_call_begins_another_line(void **state)
{
    (void)state;
    struct pc_audit_line l;
    struct pc_change c = change("a");
    pc_audit_line_begin(&l, buf, &c, 1, TIME_MS);
    struct pc_change other[] = {c, c, c, c, c};
    other[0].actor = PC_LIT("token:eve");
    other[1].source = PC_LIT("192.0.2.2");
    other[2].request_id = PC_LIT("r-2");
    other[3].node = 7;
    other[4].op = PC_OP_NONE;
    for (size_t i = 0; i < PC_COUNT(other); i++)
        assert_false(pc_audit_line_takes(&l, &other[i]));
    while (pc_audit_line_takes(&l, &c))
        pc_audit_line_add(&l, &c);
    assert_int_equal(l.changes, PC_AUDIT_LINE_CHANGES);
}

/* The largest Changes, of bytes that are escaped with six each. */
static void the_largest_line_fits(void **state)
{
    (void)state;
    static uint8_t worst[PC_VALUE_MAX];
    struct pc_audit_line l;
    struct pc_audit_hash hash;
    struct pc_audit_entry e;
    memset(worst, 1, sizeof worst);
    struct pc_change c = {
        .node = UINT64_MAX,
        .kind = PC_KIND_FLAG,
        .op = PC_OP_SET,
        .issuer = pc_bytes_of(worst, PC_ISSUER_MAX),
        .id = pc_bytes_of(worst, PC_ID_MAX),
        .value = pc_bytes_of(worst, PC_VALUE_MAX),
        .actor = pc_bytes_of(worst, PC_ACTOR_MAX),
        .source = pc_bytes_of(worst, PC_SOURCE_MAX),
        .request_id = pc_bytes_of(worst, PC_REQUEST_ID_MAX),
        .reason = pc_bytes_of(worst, PC_REASON_MAX),
        .expires_at_ms = INT64_MAX,
        .cutoff_ms = INT64_MAX,
    };
    struct pc_change with_reason = c;
    with_reason.reason = pc_bytes_of(worst, PC_REASON_MAX - 1);
    pc_audit_line_begin(&l, buf, &c, UINT64_MAX - 200, INT64_MAX);
    while (pc_audit_line_takes(&l, &with_reason))
        pc_audit_line_add(&l, &with_reason);
    struct pc_bytes line = pc_audit_line_end(&l, &zeros, &hash);
    assert_true(line.n > PC_AUDIT_LINE_SOFT_BYTES);
    assert_int_equal(0, pc_audit_line_parse(pc_bytes_of(line.p, line.n - 1), &e));
    assert_int_equal(e.first, UINT64_MAX - 200);
    assert_int_equal(e.last, l.last);
}

static void a_record_that_is_no_change_has_a_line_of_its_own(void **state)
{
    (void)state;
    struct pc_audit_line l;
    struct pc_audit_hash hash;
    char digest[2 * PC_SHA256_BYTES];
    struct pc_change c, known = change("a");
    pc_audit_change(PC_LIT("\xff not a Change"), digest, &c);
    assert_int_equal(c.op, PC_OP_NONE);
    pc_audit_line_begin(&l, buf, &c, 5, TIME_MS);
    assert_false(pc_audit_line_takes(&l, &known));
    assert_non_null(strstr(text_of(pc_audit_line_end(&l, &zeros, &hash)),
                           "\"changes\":[{\"op\":\"unknown\",\"sha256\":\""));
}

static void every_line_is_json_and_read_back(void **state)
{
    (void)state;
    uint64_t random = 7;
    static struct pc_json_token tokens[8192];
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t bytes[600];
        struct pc_audit_line l;
        struct pc_audit_hash prev, hash;
        struct pc_audit_entry e;
        struct pc_json doc;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)sim_random(&random);
        memcpy(&prev, bytes, sizeof prev);
        struct pc_change c = change("a");
        c.id = pc_bytes_of(bytes, sim_below(&random, 500));
        c.reason = pc_bytes_of(bytes + 50, sim_below(&random, 500));
        c.actor = pc_bytes_of(bytes + 100, sim_below(&random, PC_ACTOR_MAX));
        pc_audit_line_begin(&l, buf, &c, round + 1, TIME_MS);
        for (uint64_t n = sim_below(&random, 20); n; n--)
            pc_audit_line_add(&l, &c);
        struct pc_bytes line = pc_audit_line_end(&l, &prev, &hash);
        line.n--;
        assert_null(memchr(line.p, '\n', line.n));
        assert_int_equal(0, pc_json_parse(line, tokens, PC_COUNT(tokens), NULL, &doc, NULL));
        assert_int_equal(0, pc_audit_line_parse(line, &e));
        assert_int_equal(e.first, round + 1);
        assert_int_equal(e.last, l.last);
        assert_int_equal(e.node, 0xf1);
        assert_false(e.gap);
        assert_memory_equal(&e.prev, &prev, sizeof prev);
    }
}

static void a_gap_is_told(void **state)
{
    (void)state;
    struct pc_audit_hash hash;
    struct pc_audit_entry e;
    struct pc_bytes line =
        pc_audit_gap(buf, 0xabc, 3, 900, TIME_MS, "it was \"off\"", &zeros, &hash);
    assert_non_null(
        strstr(text_of(line), "\"first\":3,\"last\":900,\"gap\":\"it was \\\"off\\\"\","));
    assert_int_equal(0, pc_audit_line_parse(pc_bytes_of(line.p, line.n - 1), &e));
    assert_true(e.gap);
    assert_int_equal(e.node, 0xabc);
}

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    struct pc_audit_line l;
    struct pc_audit_hash hash;
    struct pc_audit_entry e;
    struct pc_change c = change("a");
    pc_audit_line_begin(&l, buf, &c, 1, TIME_MS);
    struct pc_bytes line = pc_audit_line_end(&l, &zeros, &hash);
    line.n--;
    for (size_t n = 0; n < line.n; n++)
        assert_int_equal(PC_E_DAMAGED, pc_audit_line_parse(pc_bytes_of(line.p, n), &e));
    uint8_t newer[1024];
    memcpy(newer, line.p, line.n);
    newer[5] = '2';
    assert_int_equal(PC_E_VERSION, pc_audit_line_parse(pc_bytes_of(newer, line.n), &e));
}

static void names_of_older_files(void **state)
{
    (void)state;
    char name[PC_AUDIT_NAME_BYTES];
    pc_audit_older_name(4711, name);
    assert_string_equal(name, "audit.00000000000000004711.jsonl");
    assert_int_equal(4711, pc_audit_older_number(name));
    static const char *const others[] = {"audit.jsonl",
                                         "audit.4711.jsonl",
                                         "",
                                         "audit.00000000000000004711.json",
                                         "audit.00000000000000004711.jsonl.gz",
                                         "audit.0000000000000000471x.jsonl"};
    for (size_t i = 0; i < PC_COUNT(others); i++)
        assert_int_equal(0, pc_audit_older_number(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_what_the_header_says),
        cmocka_unit_test(values_stand_as_json_where_they_are),
        cmocka_unit_test(what_is_another_call_begins_another_line),
        cmocka_unit_test(the_largest_line_fits),
        cmocka_unit_test(a_record_that_is_no_change_has_a_line_of_its_own),
        cmocka_unit_test(every_line_is_json_and_read_back),
        cmocka_unit_test(a_gap_is_told),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(names_of_older_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
