/* SPDX-License-Identifier: Apache-2.0
 * Durations, sizes, modes and addresses: what is read, what is refused, and the way back. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/config_value.h"

static void durations_need_a_unit_and_come_back_shortest(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int64_t ms;
        const char *shown;
    } good[] = {
        {"5s",      5000,      "5s"    },
        {"100ms",   100,       "100ms" },
        {"90s",     90000,     "90s"   },
        {"15m",     900000,    "15m"   },
        {"24h",     86400000,  "1d"    },
        {"7d",      604800000, "7d"    },
        {"1500ms",  1500,      "1500ms"},
        {"0",       0,         "0s"    },
        {"60000ms", 60000,     "1m"    }
    };
    const char *const bad[] = {"", "5", "s", "5 s", "-5s", "5S", "5s ", "0x5s", "1.5s", "5sec"};
    for (size_t i = 0; i < PC_COUNT(good); i++) {
        int64_t ms = -1;
        char text[32] = "";
        struct pc_buf b = pc_buf_of(text, sizeof text);
        assert_int_equal(pc_duration_parse(pc_bytes_str(good[i].text), &ms), 0);
        assert_int_equal(ms, good[i].ms);
        pc_duration_format(ms, &b);
        assert_string_equal(text, good[i].shown);
    }
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        int64_t ms = -7;
        assert_int_equal(pc_duration_parse(pc_bytes_str(bad[i]), &ms), -EINVAL);
        assert_int_equal(ms, -7);
    }
    int64_t ms;
    assert_int_equal(pc_duration_parse(PC_LIT("99999999999999999999s"), &ms), -ERANGE);
    assert_int_equal(pc_duration_parse(PC_LIT("9223372036854775807d"), &ms), -ERANGE);
    assert_int_equal(pc_duration_parse(PC_LIT("9223372036854775808ms"), &ms), -ERANGE);
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint64_t bytes;
        const char *shown;
    } good[] = {
        {"512",     512,               "512B" },
        {"512B",    512,               "512B" },
        {"16KiB",   16384,             "16KiB"},
        {"1MiB",    1 << 20,           "1MiB" },
        {"1024KiB", 1 << 20,           "1MiB" },
        {"0",       0,                 "0B"   },
        {"3GiB",    UINT64_C(3) << 30, "3GiB" }
    };
    const char *const bad[] = {"", "KiB", "1KB", "1 MiB", "-1B", "1kib", "1MiBs"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < PC_COUNT(good); i++) {
        char text[32] = "";
        struct pc_buf b = pc_buf_of(text, sizeof text);
        assert_int_equal(pc_size_parse(pc_bytes_str(good[i].text), &bytes), 0);
        assert_true(bytes == good[i].bytes);
        pc_size_format(bytes, &b);
        assert_string_equal(text, good[i].shown);
    }
    for (size_t i = 0; i < PC_COUNT(bad); i++)
        assert_int_equal(pc_size_parse(pc_bytes_str(bad[i]), &bytes), -EINVAL);
    assert_int_equal(pc_size_parse(PC_LIT("99999999999GiB"), &bytes), -ERANGE);
}

static void addresses_are_numeric_and_say_whether_they_are_local(void **state)
{
    (void)state;
    const struct {
        const char *text, *shown;
        bool local;
    } good[] = {
        {"127.0.0.1:8080",        "127.0.0.1:8080",   true },
        {"127.9.9.9:1",           "127.9.9.9:1",      true },
        {"0.0.0.0:0",             "0.0.0.0:0",        false},
        {"192.0.2.1:65535",       "192.0.2.1:65535",  false},
        {"[::1]:8080",            "[::1]:8080",       true },
        {"[::]:8080",             "[::]:8080",        false},
        {"[::ffff:127.0.0.1]:80", "127.0.0.1:80",     true },
        {"localhost:80",          "127.0.0.1:80",     true },
        {"unix:/run/p.sock",      "unix:/run/p.sock", true }
    };
    const char *const bad[] = {
        "",           "127.0.0.1",     "127.0.0.1:", "127.0.0.1:65536", ":8080",      "*:80",
        "example:80", "::1:80",        "[::1]",      "unix:",           "unix:a",     "unix:/",
        "[::1]80",    "127.0.0.1:80 ", "127.1:80",   "localhost:x",     "[::1%lo]:80"};
    for (size_t i = 0; i < PC_COUNT(good); i++) {
        struct pc_address a;
        char text[160] = "";
        struct pc_buf b = pc_buf_of(text, sizeof text);
        assert_int_equal(pc_address_parse(pc_bytes_str(good[i].text), &a), 0);
        pc_address_format(&a, &b);
        assert_string_equal(text, good[i].shown);
        assert_int_equal(pc_address_is_local(&a), good[i].local);
    }
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        struct pc_address a;
        if (pc_address_parse(pc_bytes_str(bad[i]), &a) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void socket_paths_fit_the_kernel(void **state)
{
    (void)state;
    char text[200] = "unix:/";
    struct pc_address a;
    memset(text + 6, 'x', sizeof text - 7);
    assert_int_equal(pc_address_parse(pc_bytes_of(text, 5 + PC_UNIX_PATH_MAX), &a), 0);
    assert_int_equal(strlen(a.path), PC_UNIX_PATH_MAX);
    assert_int_equal(pc_address_parse(pc_bytes_of(text, 5 + PC_UNIX_PATH_MAX + 1), &a), -EINVAL);
    assert_int_equal(pc_address_parse(pc_bytes_of("unix:/a\0b", 9), &a), -EINVAL);
}

static void modes_are_octal(void **state)
{
    (void)state;
    uint64_t mode = 0;
    assert_int_equal(pc_mode_parse(PC_LIT("0660"), &mode), 0);
    assert_int_equal(mode, 0660);
    assert_int_equal(pc_mode_parse(PC_LIT("1777"), &mode), -ERANGE);
    assert_int_equal(pc_mode_parse(PC_LIT("0668"), &mode), -EINVAL);
    assert_int_equal(pc_mode_parse(PC_LIT(""), &mode), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_need_a_unit_and_come_back_shortest),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(addresses_are_numeric_and_say_whether_they_are_local),
        cmocka_unit_test(socket_paths_fit_the_kernel),
        cmocka_unit_test(modes_are_octal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
