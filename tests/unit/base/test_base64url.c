/* SPDX-License-Identifier: Apache-2.0
 * base64url: every byte string has exactly one encoding, and nothing else decodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/base64url.h"

static int decode(const char *s, uint8_t *dst, size_t cap, size_t *n)
{
    return pc_base64url_decode(pc_bytes_str(s), dst, cap, n);
}

static void decodes_the_vectors_of_rfc_4648(void **state)
{
    static const struct {
        const char *plain, *coded;
    } rows[] = {
        {"",       ""        },
        {"f",      "Zg"      },
        {"fo",     "Zm8"     },
        {"foo",    "Zm9v"    },
        {"foob",   "Zm9vYg"  },
        {"fooba",  "Zm9vYmE" },
        {"foobar", "Zm9vYmFy"}
    };
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        uint8_t out[16], text[16];
        size_t n = 99;
        assert_int_equal(decode(rows[i].coded, out, sizeof out, &n), 0);
        assert_true(pc_bytes_eq_str(pc_bytes_of(out, n), rows[i].plain));
        struct pc_buf b = pc_buf_of(text, sizeof text);
        pc_base64url_encode(pc_bytes_str(rows[i].plain), &b);
        assert_false(b.overflow);
        assert_true(pc_bytes_eq_str(pc_bytes_of(text, b.len), rows[i].coded));
        assert_int_equal(b.len, PC_BASE64URL_ENCODED(n));
        assert_int_equal(n, PC_BASE64URL_DECODED(b.len));
    }
}

static void uses_the_url_alphabet(void **state)
{
    uint8_t out[3];
    size_t n;
    (void)state;
    assert_int_equal(decode("-_-_", out, 3, &n), 0);
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
    assert_int_equal(decode("+/+/", out, 3, &n), PC_E_SYNTAX);
}

static void refuses_what_is_not_the_one_encoding(void **state)
{
    static const char *const rows[] = {"A",       "AAAAA",    "Zg==", "Zg=",   "Zh",
                                       "Zm9",     "Zm-",      "Zm 8", "Zm8\n", "Zm9v Zm9v",
                                       "Zm9\x80", "\xff\xff", "AA.A"};
    uint8_t out[16];
    (void)state;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        size_t n = 77;
        assert_int_equal(decode(rows[i], out, sizeof out, &n), PC_E_SYNTAX);
        assert_int_equal(n, 77);
    }
}

static void every_byte_is_judged_in_every_place(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t s[7], out[8];
    size_t n;
    (void)state;
    for (unsigned length = 2; length <= 7; length++) {
        for (unsigned place = 0; place < length && length != 5; place++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(s, 'A', sizeof s);
                s[place] = (uint8_t)c;
                const char *at = c ? strchr(alphabet, (int)c) : NULL;
                unsigned stray = length % 4 == 2 ? 15 : length % 4 == 3 ? 3 : 0;
                bool good = at && !(place == length - 1 && ((at - alphabet) & stray));
                assert_int_equal(pc_base64url_decode(pc_bytes_of(s, length), out, 8, &n),
                                 good ? 0 : PC_E_SYNTAX);
            }
        }
    }
}

static void never_writes_beyond_its_room(void **state)
{
    uint8_t out[4] = {9, 9, 9, 9};
    size_t n;
    (void)state;
    assert_int_equal(decode("Zm9vYg", out, 3, &n), PC_E_TOO_LARGE);
    struct pc_buf b = pc_buf_of(out, 3);
    pc_base64url_encode(PC_LIT("foo"), &b);
    assert_true(b.overflow);
    assert_int_equal(b.len, 0);
    assert_int_equal(out[3], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_the_vectors_of_rfc_4648),
        cmocka_unit_test(uses_the_url_alphabet),
        cmocka_unit_test(refuses_what_is_not_the_one_encoding),
        cmocka_unit_test(every_byte_is_judged_in_every_place),
        cmocka_unit_test(never_writes_beyond_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
