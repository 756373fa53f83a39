/* SPDX-License-Identifier: Apache-2.0
 * SipHash, CRC-32C and SHA-256 against published vectors, and each against itself split up. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/sha256.h"
#include "base/siphash.h"

static uint8_t counting[1024];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counting; i++)
        counting[i] = (uint8_t)i;
    return 0;
}

static void siphash24_gives_the_vectors_of_its_reference(void **state)
{
    (void)state;
    /* Appendix A of the paper and the reference program's list: key 00…0f, input 00 01 02 …. */
    assert_true(pc_siphash24(counting, counting, 0) == 0x726fdb47dd0e0e31);
    assert_true(pc_siphash24(counting, counting, 1) == 0x74f839c593dc67fd);
    assert_true(pc_siphash24(counting, counting, 8) == 0x93f5f5799a932462);
    assert_true(pc_siphash24(counting, counting, 15) == 0xa129ca6149be45e5);
}

static void siphash24_in_two_parts_is_that_of_the_whole(void **state)
{
    uint8_t text[48];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 37 + 129);
    for (size_t n = 0; n <= sizeof text; n++) {
        uint64_t whole = pc_siphash24(text, text, n);
        for (size_t cut = 0; cut <= n; cut++) {
            struct pc_siphash24_head head;
            pc_siphash24_begin(&head, text, text, cut);
            assert_true(pc_siphash24_end(&head, text + cut, n - cut) == whole);
        }
    }
}

static void siphash13_agrees_with_another_implementation(void **state)
{
    (void)state;
    /* Python 3.11's hash() of bytes 00 01 02 … with PYTHONHASHSEED=0, which is the zero key. */
    static const uint8_t zero[16];
    assert_true(pc_siphash13(zero, counting, 1) == 0x68a914128e01e473);
    assert_true(pc_siphash13(zero, counting, 8) == 0xead411e67ebe2eea);
    assert_true(pc_siphash13(zero, counting, 15) == 0xf30eb725bb91c9ea);
    assert_true(pc_siphash13(zero, counting, 32) == 0x31ef8061c910629b);
}

static void siphash_depends_on_every_bit_of_key_and_input(void **state)
{
    (void)state;
    uint8_t key[16], data[24];
    memcpy(key, counting, sizeof key);
    memcpy(data, counting, sizeof data);
    uint64_t before = pc_siphash24(key, data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof key; bit++) {
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(pc_siphash24(key, data, sizeof data) != before);
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(pc_siphash24(key, data, sizeof data) != before);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void crc32c_gives_the_vectors_of_rfc_3720(void **state)
{
    (void)state;
    uint8_t block[32];
    uint32_t (*const both[])(uint32_t, const void *, size_t) = {pc_crc32c, pc_crc32c_portable};
    for (size_t i = 0; i < PC_COUNT(both); i++) {
        memset(block, 0, sizeof block);
        assert_int_equal(both[i](0, block, 32), 0x8a9136aa);
        memset(block, 0xff, sizeof block);
        assert_int_equal(both[i](0, block, 32), 0x62a8ab43);
        assert_int_equal(both[i](0, counting, 32), 0x46dd794e);
        assert_int_equal(both[i](0, "123456789", 9), 0xe3069283);
        assert_int_equal(both[i](0, "", 0), 0);
    }
}

static void crc32c_is_the_same_however_the_input_is_split(void **state)
{
    (void)state;
    uint32_t whole = pc_crc32c(0, counting, 100);
    for (size_t i = 0; i <= 100; i++) {
        assert_int_equal(pc_crc32c(pc_crc32c(0, counting, i), counting + i, 100 - i), whole);
        assert_int_equal(pc_crc32c_portable(pc_crc32c(0, counting, i), counting + i, 100 - i),
                         whole);
    }
}

static void sha256_is(const void *data, size_t n, const char *hex)
{
    uint8_t digest[PC_SHA256_BYTES];
    char text[2 * PC_SHA256_BYTES + 1] = "";
    pc_sha256(data, n, digest);
    pc_hex_encode(digest, sizeof digest, text);
    assert_string_equal(text, hex);
}

static void sha256_gives_the_vectors_of_fips_180(void **state)
{
    (void)state;
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    sha256_is("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_is(two_blocks, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void sha256_of_a_million_letters_in_odd_pieces(void **state)
{
    (void)state;
    struct pc_sha256 s;
    uint8_t digest[PC_SHA256_BYTES], letters[997];
    char text[2 * PC_SHA256_BYTES + 1] = "";
    memset(letters, 'a', sizeof letters);
    pc_sha256_init(&s);
    for (size_t left = 1000000; left;) {
        size_t n = pc_min_u64(left, sizeof letters);
        pc_sha256_update(&s, letters, n);
        left -= n;
    }
    pc_sha256_final(&s, digest);
    pc_hex_encode(digest, sizeof digest, text);
    assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_pads_every_length_around_a_block_consistently(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n++) {
        uint8_t whole[PC_SHA256_BYTES], split[PC_SHA256_BYTES];
        struct pc_sha256 s;
        pc_sha256(counting, n, whole);
        pc_sha256_init(&s);
        for (size_t i = 0; i < n; i++)
            pc_sha256_update(&s, counting + i, 1);
        pc_sha256_final(&s, split);
        assert_memory_equal(whole, split, sizeof whole);
    }
}

static void sha256_is_the_same_without_the_instructions(void **state)
{
    (void)state;
    for (size_t n = 0; n <= sizeof counting; n++) {
        uint8_t with[PC_SHA256_BYTES], without[PC_SHA256_BYTES];
        struct pc_sha256 s;
        pc_sha256(counting, n, with);
        pc_sha256_init(&s);
        s.portable = true;
        pc_sha256_update(&s, counting, n);
        pc_sha256_final(&s, without);
        assert_memory_equal(with, without, sizeof with);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash24_gives_the_vectors_of_its_reference),
        cmocka_unit_test(siphash24_in_two_parts_is_that_of_the_whole),
        cmocka_unit_test(siphash13_agrees_with_another_implementation),
        cmocka_unit_test(siphash_depends_on_every_bit_of_key_and_input),
        cmocka_unit_test(crc32c_gives_the_vectors_of_rfc_3720),
        cmocka_unit_test(crc32c_is_the_same_however_the_input_is_split),
        cmocka_unit_test(sha256_gives_the_vectors_of_fips_180),
        cmocka_unit_test(sha256_of_a_million_letters_in_odd_pieces),
        cmocka_unit_test(sha256_pads_every_length_around_a_block_consistently),
        cmocka_unit_test(sha256_is_the_same_without_the_instructions),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
