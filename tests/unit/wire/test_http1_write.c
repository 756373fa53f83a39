/* SPDX-License-Identifier: Apache-2.0
 * Response heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "edge/wire/http1_write.h"

static uint8_t memory[1024];

static void assert_written(const struct pc_buf *b, const char *text)
{
    assert_false(b->overflow);
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->p, text, b->len);
}

static void a_head_is_status_date_fields_and_end(void **state)
{
    (void)state;
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    pc_http1_write_status(&b, 429, PC_LIT("Sun, 06 Nov 1994 08:49:37 GMT"));
    pc_http1_write_field(&b, "Content-Type", PC_LIT("application/json"));
    pc_http1_write_field_u64(&b, "Retry-After", 7);
    pc_http1_write_end(&b, 17, PC_HTTP1_CLOSE);
    assert_written(&b, "HTTP/1.1 429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                       "Content-Type: application/json\r\nRetry-After: 7\r\n"
                       "Content-Length: 17\r\nConnection: close\r\n\r\n");
}

static void lengths_and_connections_are_as_asked(void **state)
{
    (void)state;
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    pc_http1_write_status(&b, 204, PC_LIT(""));
    pc_http1_write_end(&b, PC_HTTP1_NO_LENGTH, PC_HTTP1_KEEP);
    pc_http1_write_end(&b, 0, PC_HTTP1_KEEP_10);
    assert_written(&b, "HTTP/1.1 204 No Content\r\n\r\n"
                       "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

static void a_value_can_never_end_its_line(void **state)
{
    (void)state;
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    pc_http1_write_field(&b, "X-Sub",
                         PC_LIT("a\r\nSet-Cookie: x\n\0b\x7f\tc\xc3\xa9 long enough to "
                                "need more than one step of the scanner\r"));
    assert_written(&b, "X-Sub: a  Set-Cookie: x  b \tc\xc3\xa9 long enough to "
                       "need more than one step of the scanner \r\n");
}

static void what_does_not_fit_overflows_and_writes_nothing_behind(void **state)
{
    (void)state;
    memset(memory, 0x5a, sizeof memory);
    struct pc_buf b = pc_buf_of(memory, 20);
    pc_http1_write_status(&b, 200, PC_LIT(""));
    pc_http1_write_field(&b, "X", PC_LIT("0123456789"));
    pc_http1_write_end(&b, 1, PC_HTTP1_KEEP);
    assert_true(b.overflow);
    assert_int_equal(memory[20], 0x5a);
}

static void every_status_of_the_table_has_its_line(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned status = 100; status < 600; status++) {
        const char *text = pc_http_status_text(status);
        char want[128];
        if (!*text)
            continue;
        found++;
        struct pc_buf b = pc_buf_of(memory, sizeof memory);
        pc_http1_write_status(&b, status, PC_LIT(""));
        snprintf(want, sizeof want, "HTTP/1.1 %u %s\r\n", status, text);
        assert_written(&b, want);
    }
    assert_int_equal(found, 40);
}

static void dates_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t s = 0; s < INT64_C(253402300800); s += 86400 * 17 + 12345) {
        char want[64];
        char date[PC_HTTP_DATE_BYTES];
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        pc_http_date(s * 1000 + 999, date);
        assert_memory_equal(date, want, PC_HTTP_DATE_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_status_date_fields_and_end),
        cmocka_unit_test(lengths_and_connections_are_as_asked),
        cmocka_unit_test(a_value_can_never_end_its_line),
        cmocka_unit_test(what_does_not_fit_overflows_and_writes_nothing_behind),
        cmocka_unit_test(every_status_of_the_table_has_its_line),
        cmocka_unit_test(dates_agree_with_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
