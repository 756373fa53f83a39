/* SPDX-License-Identifier: Apache-2.0
 * The logger over a pipe: every line is JSON, nothing blocks, drops are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

/* A temporary file instead of a pipe where the amount is unknown: it never blocks the writer. */
static int scratch_file(void)
{
    char path[] = "/tmp/pc-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static char *content_of(int fd)
{
    off_t n = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)n + 1);
    assert_int_equal(pread(fd, text, (size_t)n, 0), n);
    return text;
}

/* Calls check for each line; every one must be a JSON object within the limit. */
static unsigned each_line(char *text, void (*check)(json_t *line, void *ctx), void *ctx)
{
    unsigned lines = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        assert_true(strlen(line) < PC_LOG_LINE_MAX);
        json_t *doc = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(doc);
        assert_non_null(json_object_get(doc, "time"));
        assert_non_null(json_object_get(doc, "level"));
        if (check)
            check(doc, ctx);
        json_decref(doc);
        lines++;
    }
    return lines;
}

static void check_fields(json_t *line, void *ctx)
{
    (void)ctx;
    assert_string_equal(json_string_value(json_object_get(line, "event")), "revoked");
    assert_string_equal(json_string_value(json_object_get(line, "id")),
                        "a\"b\nc\\\x7f\xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_object_get(line, "n")), -5);
    assert_true(json_is_true(json_object_get(line, "ok")));
    assert_string_equal(json_string_value(json_object_get(line, "error")), "damaged data");
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_int_equal(strlen(json_string_value(json_object_get(line, "time"))), 24);
}

static void fields_arrive_escaped_and_typed(void **state)
{
    (void)state;
    struct pc_logger *logger;
    int fd = scratch_file();
    assert_int_equal(pc_log_open(fd, PC_LOG_INFO, &logger), 0);
    assert_int_equal(pc_log_attach(logger), 0);
    struct pc_log *l = pc_log_begin(PC_LOG_WARN, "revoked");
    pc_log_bytes(l, "id", PC_LIT("a\"b\nc\\\x7f\xff"));
    pc_log_i64(l, "n", -5);
    pc_log_u64(l, "big", UINT64_C(1) << 62);
    pc_log_bool(l, "ok", true);
    pc_log_err(l, PC_E_DAMAGED);
    pc_log_end(l);
    pc_log_close(logger);
    char *text = content_of(fd);
    assert_int_equal(each_line(text, check_fields, NULL), 1);
    free(text);
    close(fd);
}

static void levels_below_the_threshold_cost_nothing_and_a_reload_changes_it(void **state)
{
    (void)state;
    struct pc_logger *logger;
    int fd = scratch_file();
    assert_int_equal(pc_log_open(fd, PC_LOG_WARN, &logger), 0);
    assert_int_equal(pc_log_attach(logger), 0);
    assert_null(pc_log_begin(PC_LOG_INFO, "quiet"));
    pc_log_event(PC_LOG_DEBUG, "quiet", "%s", "x");
    pc_log_set_level(logger, PC_LOG_DEBUG);
    pc_log_event(PC_LOG_DEBUG, "loud", "%d", 1);
    pc_log_close(logger);
    char *text = content_of(fd);
    assert_null(strstr(text, "quiet"));
    assert_int_equal(each_line(text, NULL, NULL), 1);
    free(text);
    close(fd);
}

static void check_truncated(json_t *line, void *ctx)
{
    (void)ctx;
    assert_true(json_is_true(json_object_get(line, "truncated")));
    assert_null(json_object_get(line, "long"));
    assert_int_equal(json_integer_value(json_object_get(line, "after")), 7);
}

static void what_does_not_fit_is_left_out_whole_and_said(void **state) /* I3 */
{
    (void)state;
    struct pc_logger *logger;
    static char longest[4 * PC_LOG_LINE_MAX];
    int fd = scratch_file();
    memset(longest, '"', sizeof longest - 1);
    assert_int_equal(pc_log_open(fd, PC_LOG_INFO, &logger), 0);
    assert_int_equal(pc_log_attach(logger), 0);
    for (size_t n = 400; n < sizeof longest; n += 97) {
        struct pc_log *l = pc_log_begin(PC_LOG_INFO, "e");
        pc_log_bytes(l, "filler", pc_bytes_of(longest, 100));
        pc_log_bytes(l, "long", pc_bytes_of(longest, n));
        pc_log_i64(l, "after", 7);
        pc_log_end(l);
        pc_log_flush(logger);
    }
    pc_log_close(logger);
    char *text = content_of(fd);
    assert_true(each_line(text, check_truncated, NULL) > 10);
    free(text);
    close(fd);
}

static void every_length_of_a_field_gives_a_whole_line(void **state) /* I3 */
{
    (void)state;
    struct pc_logger *logger;
    static char text_in[PC_LOG_LINE_MAX + 1];
    int fd = scratch_file();
    memset(text_in, 'x', PC_LOG_LINE_MAX);
    assert_int_equal(pc_log_open(fd, PC_LOG_INFO, &logger), 0);
    assert_int_equal(pc_log_attach(logger), 0);
    for (size_t n = 0; n <= PC_LOG_LINE_MAX; n++) {
        struct pc_log *l = pc_log_begin(PC_LOG_INFO, "e");
        pc_log_bytes(l, "f", pc_bytes_of(text_in, n));
        pc_log_end(l);
        pc_log_flush(logger);
    }
    pc_log_close(logger);
    char *text = content_of(fd);
    assert_int_equal(each_line(text, NULL, NULL), PC_LOG_LINE_MAX + 1);
    free(text);
    close(fd);
}

static void a_reader_that_stopped_costs_lines_not_time(void **state) /* I4 */
{
    (void)state;
    struct pc_logger *logger;
    int ends[2];
    const unsigned total = 4000; /* more than the pipe, the logger's buffer and the ring hold */
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pc_log_open(ends[1], PC_LOG_INFO, &logger), 0);
    assert_int_equal(pc_log_attach(logger), 0);
    unsigned begun = 0;
    for (unsigned i = 0; i < total; i++) {
        struct pc_log *l = pc_log_begin(PC_LOG_INFO, "e");
        begun += l != NULL;
        pc_log_i64(l, "i", i);
        pc_log_end(l);
    }
    assert_true(begun < total);
    close(ends[0]); /* from here on writes fail (SIGPIPE is ignored below) */
    assert_int_equal(pc_log_dropped(logger), total - begun);
    pc_log_detach();
    assert_int_equal(pc_log_dropped(logger), total - begun);
    pc_log_close(logger);
    close(ends[1]);
}

struct producer {
    struct pc_logger *logger;
    unsigned lines;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    assert_int_equal(pc_log_attach(p->logger), 0);
    for (unsigned i = 0; i < p->lines; i++) {
        struct pc_log *l = pc_log_begin(PC_LOG_INFO, "work");
        pc_log_u64(l, "i", i);
        pc_log_end(l);
    }
    pc_log_detach();
    return NULL;
}

static void count_events(json_t *line, void *ctx)
{
    uint64_t *counts = ctx;
    if (strcmp(json_string_value(json_object_get(line, "event")), "work") == 0)
        counts[0]++;
    else
        counts[1] += (uint64_t)json_integer_value(json_object_get(line, "lines"));
}

static void threads_come_and_go_and_no_line_is_lost_uncounted(void **state) /* I1 I2 I4 */
{
    (void)state;
    struct producer p = {.lines = 2000};
    pthread_t threads[4];
    uint64_t counts[2] = {0, 0};
    int fd = scratch_file();
    assert_int_equal(pc_log_open(fd, PC_LOG_INFO, &p.logger), 0);
    for (size_t i = 0; i < PC_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &p), 0);
    for (int i = 0; i < 50; i++)
        pc_log_flush(p.logger);
    for (size_t i = 0; i < PC_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    uint64_t dropped = pc_log_dropped(p.logger);
    pc_log_close(p.logger);
    char *text = content_of(fd);
    each_line(text, count_events, counts);
    assert_int_equal(counts[0] + dropped, PC_COUNT(threads) * p.lines);
    assert_int_equal(counts[1], dropped); /* the log itself says so too */
    free(text);
    close(fd);
}

static void a_thread_without_a_ring_writes_to_standard_error(void **state)
{
    (void)state;
    int fd = scratch_file(), saved = dup(STDERR_FILENO);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    pc_log_event(PC_LOG_INFO, "early", "before %s", "open");
    pc_log_event(PC_LOG_DEBUG, "hidden", "debug is off");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    char *text = content_of(fd);
    assert_non_null(strstr(text, "\"message\":\"before open\""));
    assert_int_equal(each_line(text, NULL, NULL), 1);
    free(text);
    close(fd);
    close(saved);
}

static void check_time(json_t *line, void *ctx)
{
    struct tm tm = {0};
    const char *text = json_string_value(json_object_get(line, "time"));
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    assert_non_null(rest);
    assert_true(rest[0] == '.' && rest[4] == 'Z' && rest[5] == 0);
    time_t at = timegm(&tm), now = time(NULL);
    assert_true(at >= *(time_t *)ctx - 1 && at <= now);
}

static void the_time_is_now(void **state)
{
    (void)state;
    struct pc_logger *logger;
    time_t before = time(NULL);
    int fd = scratch_file();
    assert_int_equal(pc_log_open(fd, PC_LOG_INFO, &logger), 0);
    assert_int_equal(pc_log_attach(logger), 0);
    pc_log_event(PC_LOG_INFO, "e", "x");
    pc_log_close(logger);
    char *text = content_of(fd);
    assert_int_equal(each_line(text, check_time, &before), 1);
    free(text);
    close(fd);
}

static void level_names_are_read(void **state)
{
    (void)state;
    enum pc_log_level level = PC_LOG_INFO;
    assert_int_equal(pc_log_level_of_name("error", &level), 0);
    assert_int_equal(level, PC_LOG_ERROR);
    assert_int_equal(pc_log_level_of_name("loud", &level), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_arrive_escaped_and_typed),
        cmocka_unit_test(levels_below_the_threshold_cost_nothing_and_a_reload_changes_it),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole_and_said),
        cmocka_unit_test(every_length_of_a_field_gives_a_whole_line),
        cmocka_unit_test(a_reader_that_stopped_costs_lines_not_time),
        cmocka_unit_test(threads_come_and_go_and_no_line_is_lost_uncounted),
        cmocka_unit_test(a_thread_without_a_ring_writes_to_standard_error),
        cmocka_unit_test(the_time_is_now),
        cmocka_unit_test(level_names_are_read),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
