/* SPDX-License-Identifier: Apache-2.0
 * The hand-written Change codec against protobuf-c's generated one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "link/change.h"
#include "link/change.pb-c.h"

static struct pc_change sample(void)
{
    return (struct pc_change){
        .node = 0x1122334455667788,
        .incarnation = 7,
        .sequence = 300,
        .hlc = UINT64_C(1) << 63,
        .kind = PC_KIND_SUBJECT,
        .op = PC_OP_REVOKE,
        .issuer = PC_LIT("iss"),
        .id = PC_LIT("alice"),
        .at_ms = 1700000000123,
        .expires_at_ms = 1700000900123,
        .cutoff_ms = 1700000005123,
        .actor = PC_LIT("admin:ops"),
        .source = PC_LIT("127.0.0.1"),
        .request_id = PC_LIT("r-1"),
        .reason = PC_LIT("stolen"),
        .remote = true,
    };
}

static void encoding_is_what_protobuf_c_reads(void **state)
{
    (void)state;
    uint8_t mem[PC_CHANGE_ENCODED_MAX];
    struct pc_buf b = pc_buf_of(mem, sizeof mem);
    struct pc_change c = sample();
    pc_change_encode(&c, &b);
    assert_false(b.overflow);
    Portcullis__Change *msg = portcullis__change__unpack(NULL, b.len, mem);
    assert_non_null(msg);
    assert_int_equal(msg->node, c.node);
    assert_int_equal(msg->hlc, c.hlc);
    assert_int_equal(msg->sequence, 300);
    assert_int_equal(msg->kind, PORTCULLIS__KIND__KIND_SUBJECT);
    assert_string_equal(msg->id, "alice");
    assert_string_equal(msg->reason, "stolen");
    assert_int_equal(msg->cutoff_ms, c.cutoff_ms);
    assert_true(msg->remote);
    uint8_t again[PC_CHANGE_ENCODED_MAX];
    size_t n = portcullis__change__pack(msg, again);
    assert_int_equal(n, b.len);
    assert_memory_equal(again, mem, n);
    portcullis__change__free_unpacked(msg, NULL);
}

/* A number of any length in bits, often 0. */
static uint64_t any_number(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    unsigned bits = (unsigned)(*seed >> 58) + 1;
    return *seed >> 40 & 1 ? *seed >> (64 - bits) : 0;
}

static struct pc_bytes any_text(uint64_t *seed, const char *text, size_t max)
{
    return pc_bytes_of(text, (size_t)(any_number(seed) % (max + 1)));
}

static void every_change_has_the_bytes_of_protobuf_c_and_needs_no_more_room(void **state)
{
    (void)state;
    static char text[PC_VALUE_MAX];
    static uint8_t mem[PC_CHANGE_ENCODED_MAX], narrow[PC_CHANGE_ENCODED_MAX],
        packed[PC_CHANGE_ENCODED_MAX];
    uint64_t seed = 1;
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < 3000; i++) {
        struct pc_change c = {
            .node = any_number(&seed),
            .incarnation = any_number(&seed),
            .sequence = any_number(&seed),
            .hlc = any_number(&seed),
            .kind = (enum pc_kind)(1 + i % (PC_KIND_COUNT - 1)),
            .op = (enum pc_op)(1 + i % (PC_OP_COUNT - 1)),
            .issuer = any_text(&seed, text, PC_ISSUER_MAX),
            .id = any_text(&seed, text, PC_ID_MAX),
            .at_ms = (int64_t)(any_number(&seed) >> 1),
            .expires_at_ms = (int64_t)(any_number(&seed) >> 1),
            .cutoff_ms = (int64_t)(any_number(&seed) >> 1),
            .actor = any_text(&seed, text, PC_ACTOR_MAX),
            .source = any_text(&seed, text, PC_SOURCE_MAX),
            .request_id = any_text(&seed, text, PC_REQUEST_ID_MAX),
            .reason = any_text(&seed, text, PC_REASON_MAX),
            .remote = i % 2 != 0,
            .value = any_text(&seed, text, PC_VALUE_MAX),
            .ephemeral = i % 3 == 0,
        };
        struct pc_buf b = pc_buf_of(mem, sizeof mem);
        pc_change_encode(&c, &b);
        Portcullis__Change *msg = portcullis__change__unpack(NULL, b.len, mem);
        assert_non_null(msg);
        assert_true(msg->at_ms == c.at_ms && msg->incarnation == c.incarnation);
        assert_int_equal(strlen(msg->value), c.value.n);
        assert_int_equal(portcullis__change__pack(msg, packed), b.len);
        assert_memory_equal(packed, mem, b.len);
        portcullis__change__free_unpacked(msg, NULL);
        struct pc_buf exact = pc_buf_of(narrow, b.len), less = pc_buf_of(narrow, b.len - 1);
        pc_change_encode(&c, &less);
        assert_true(less.overflow && less.len == 0);
        pc_change_encode(&c, &exact);
        assert_false(exact.overflow);
        assert_memory_equal(narrow, mem, b.len);
    }
}

static void decoding_gives_back_what_was_encoded(void **state)
{
    (void)state;
    uint8_t mem[PC_CHANGE_ENCODED_MAX];
    struct pc_buf b = pc_buf_of(mem, sizeof mem);
    struct pc_change c = sample(), d;
    pc_change_encode(&c, &b);
    assert_int_equal(pc_change_decode(pc_bytes_of(mem, b.len), &d), 0);
    assert_true(pc_bytes_eq(c.issuer, d.issuer) && pc_bytes_eq(c.id, d.id));
    assert_true(c.at_ms == d.at_ms && c.expires_at_ms == d.expires_at_ms &&
                c.cutoff_ms == d.cutoff_ms);
    assert_true(c.kind == d.kind && c.op == d.op && d.remote && c.hlc == d.hlc);
}

static void every_truncation_is_refused_or_shorter(void **state)
{
    (void)state;
    uint8_t mem[PC_CHANGE_ENCODED_MAX];
    struct pc_buf b = pc_buf_of(mem, sizeof mem);
    struct pc_change c = sample(), d;
    pc_change_encode(&c, &b);
    for (size_t n = 0; n < b.len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, mem, n);
        int rc = pc_change_decode(pc_bytes_of(exact, n), &d);
        assert_true(rc == 0 || rc == PC_E_DAMAGED);
        free(exact);
    }
    assert_int_equal(pc_change_decode(pc_bytes_of(mem, 0), &d), PC_E_DAMAGED);
}

static void kind_names_round_trip(void **state)
{
    (void)state;
    for (unsigned k = 1; pc_kind_is_revocation((enum pc_kind)k); k++)
        assert_int_equal(pc_kind_of_name(pc_bytes_str(pc_kind_name((enum pc_kind)k))), k);
    assert_int_equal(pc_kind_of_name(PC_LIT("tokens")), PC_KIND_NONE);
    assert_int_equal(pc_kind_of_name(PC_LIT("flag")), PC_KIND_NONE); /* not to be revoked */
    for (unsigned op = 1; op < PC_OP_COUNT; op++)
        assert_non_null(pc_op_name((enum pc_op)op));
}

static void values_travel_and_have_a_limit(void **state)
{
    (void)state;
    static uint8_t value[PC_VALUE_MAX + 1], mem[PC_CHANGE_ENCODED_MAX + 64];
    struct pc_buf b = pc_buf_of(mem, sizeof mem);
    struct pc_change c = sample(), d;
    memset(value, 'v', sizeof value);
    c.kind = PC_KIND_FLAG;
    c.op = PC_OP_SET;
    c.ephemeral = true;
    c.value = pc_bytes_of(value, PC_VALUE_MAX);
    pc_change_encode(&c, &b);
    assert_true(b.len <= PC_CHANGE_ENCODED_MAX);
    assert_int_equal(pc_change_decode(pc_bytes_of(mem, b.len), &d), 0);
    assert_true(pc_bytes_eq(c.value, d.value) && d.ephemeral);
    Portcullis__Change *msg = portcullis__change__unpack(NULL, b.len, mem);
    assert_non_null(msg);
    assert_int_equal(strlen(msg->value), PC_VALUE_MAX);
    assert_true(msg->ephemeral);
    portcullis__change__free_unpacked(msg, NULL);
    b.len = 0;
    c.value.n++;
    pc_change_encode(&c, &b);
    assert_int_equal(pc_change_decode(pc_bytes_of(mem, b.len), &d), PC_E_DAMAGED);
}

static void an_operation_that_does_not_fit_its_kind_is_refused(void **state)
{
    (void)state;
    uint8_t mem[PC_CHANGE_ENCODED_MAX];
    for (unsigned k = 1; k < PC_KIND_COUNT; k++)
        for (unsigned op = 1; op < PC_OP_COUNT; op++) {
            struct pc_buf b = pc_buf_of(mem, sizeof mem);
            struct pc_change c = sample(), d;
            c.kind = (enum pc_kind)k;
            c.op = (enum pc_op)op;
            bool fits = k <= PC_KIND_ALL       ? op <= PC_OP_CLEAR
                        : k <= PC_KIND_IP_RULE ? op == PC_OP_SET || op == PC_OP_UNSET
                                               : op == PC_OP_NOTE;
            pc_change_encode(&c, &b);
            assert_int_equal(pc_change_decode(pc_bytes_of(mem, b.len), &d),
                             fits ? 0 : PC_E_DAMAGED);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_is_what_protobuf_c_reads),
        cmocka_unit_test(every_change_has_the_bytes_of_protobuf_c_and_needs_no_more_room),
        cmocka_unit_test(decoding_gives_back_what_was_encoded),
        cmocka_unit_test(every_truncation_is_refused_or_shorter),
        cmocka_unit_test(kind_names_round_trip),
        cmocka_unit_test(values_travel_and_have_a_limit),
        cmocka_unit_test(an_operation_that_does_not_fit_its_kind_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
