/* SPDX-License-Identifier: Apache-2.0
 * RESP2 replies and numbers. Which commands parse to what is in tests/wire/test_resp.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "edge/wire/resp.h"

static uint8_t memory[512];

static void assert_written(const struct pc_buf *b, const char *text)
{
    assert_false(b->overflow);
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->p, text, b->len);
}

static void each_reply_is_written_as_the_protocol_says(void **state)
{
    (void)state;
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    pc_resp_write_simple(&b, "OK");
    pc_resp_write_error(&b, PC_LIT("ERR no such key"));
    pc_resp_write_int(&b, 0);
    pc_resp_write_int(&b, 1);
    pc_resp_write_int(&b, -2);
    pc_resp_write_int(&b, INT64_MIN);
    pc_resp_write_bulk(&b, PC_LIT("a\r\nb"));
    pc_resp_write_bulk(&b, PC_LIT(""));
    pc_resp_write_null(&b);
    pc_resp_write_null_array(&b);
    pc_resp_write_array(&b, 17);
    assert_written(&b, "+OK\r\n-ERR no such key\r\n:0\r\n:1\r\n:-2\r\n:-9223372036854775808\r\n"
                       "$4\r\na\r\nb\r\n$0\r\n\r\n$-1\r\n*-1\r\n*17\r\n");
}

static void text_of_a_client_cannot_end_a_line(void **state)
{
    (void)state;
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    pc_resp_write_error(&b, PC_LIT("ERR unknown command 'a\r\n+OK\r\n'"));
    assert_written(&b, "-ERR unknown command 'a  +OK  '\r\n");
}

static void a_full_buffer_is_told(void **state)
{
    (void)state;
    struct pc_buf b = pc_buf_of(memory, 5);
    pc_resp_write_bulk(&b, PC_LIT("abc"));
    assert_true(b.overflow);
}

static void numbers_are_read_as_redis_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0",                    true,  0        },
        {"7",                    true,  7        },
        {"-7",                   true,  -7       },
        {"9223372036854775807",  true,  INT64_MAX},
        {"-9223372036854775808", true,  INT64_MIN},
        {"9223372036854775808",  false, 0        },
        {"-9223372036854775809", false, 0        },
        {"99999999999999999999", false, 0        },
        {"",                     false, 0        },
        {"-",                    false, 0        },
        {"+1",                   false, 0        },
        {"01",                   false, 0        },
        {"-0",                   false, 0        },
        {"-01",                  false, 0        },
        {" 1",                   false, 0        },
        {"1 ",                   false, 0        },
        {"1.0",                  false, 0        },
        {"0x1",                  false, 0        },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        int64_t value = 42;
        int rc = pc_resp_to_i64(pc_bytes_str(cases[i].text), &value);
        assert_int_equal(rc, cases[i].ok ? 0 : -EINVAL);
        assert_true(value == (cases[i].ok ? cases[i].value : 42));
    }
}

static void command_names_match_in_any_case(void **state)
{
    (void)state;
    struct pc_resp_command c = {.argc = 1, .argv = {PC_LIT("eXists")}};
    assert_true(pc_resp_is(&c, PC_LIT("EXISTS")));
    assert_false(pc_resp_is(&c, PC_LIT("EXIST")));
    c.argc = 0;
    assert_false(pc_resp_is(&c, PC_LIT("EXISTS")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reply_is_written_as_the_protocol_says),
        cmocka_unit_test(text_of_a_client_cannot_end_a_line),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(numbers_are_read_as_redis_reads_them),
        cmocka_unit_test(command_names_match_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
