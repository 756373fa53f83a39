/* SPDX-License-Identifier: Apache-2.0
 * Counters, histograms and the Prometheus text, which promtool itself must accept. */
#include <setjmp.h>
#include <stdarg.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/metrics.h"

static const char *const decisions[] = {"result=\"allow\",code=\"OK\"",
                                        "result=\"deny\",code=\"TOKEN_EXPIRED\""};
static const char *const commands[] = {"command=\"get\"", "command=\"set\""};
static const struct pc_metrics_names names = {
    .decisions = {decisions, PC_COUNT(decisions)},
    .resp_commands = {commands,  PC_COUNT(commands) },
};

static int setup(void **state)
{
    struct pc_metrics *m;
    assert_int_equal(pc_metrics_create(2, &names, &m), 0);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    pc_metrics_destroy(*state);
    return 0;
}

/* The text, terminated; the caller frees it. */
static char *render(const struct pc_metrics *m, const struct pc_metrics_process *process)
{
    char *text = calloc(1, PC_METRICS_TEXT_MAX + 1);
    struct pc_buf b = pc_buf_of(text, PC_METRICS_TEXT_MAX);
    pc_metrics_render(m, process, &b);
    assert_false(b.overflow);
    return text;
}

static void assert_has(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("missing: %s", line);
}

static void counters_add_up_over_threads(void **state)
{
    struct pc_metrics *m = *state;
    pc_metric_inc(pc_metrics_core(m, 0), PC_M_SHED);
    pc_metric_add(pc_metrics_core(m, 1), PC_M_SHED, 10);
    pc_metric_add(pc_metrics_writer(m), PC_M_SHED, 100);
    pc_metric_add(pc_metrics_main(m), PC_M_SHED, 1000);
    assert_int_equal(pc_metrics_total(m, PC_M_SHED), 1111);
    pc_metric_inc(pc_metrics_core(m, 1), PC_M_DECISIONS + 1);
    char *text = render(m, NULL);
    assert_has(text, "\nportcullis_shed_total 1111\n");
    assert_has(text, "\nportcullis_decisions_total{result=\"deny\",code=\"TOKEN_EXPIRED\"} 1\n");
    free(text);
}

static void a_gauge_may_be_taken_away_by_another_thread(void **state)
{
    struct pc_metrics *m = *state;
    pc_metric_add(pc_metrics_core(m, 0), PC_M_CONNECTIONS_OPEN_HTTP, 3);
    pc_metric_sub(pc_metrics_core(m, 1), PC_M_CONNECTIONS_OPEN_HTTP, 2);
    char *text = render(m, NULL);
    assert_has(text, "\nportcullis_connections_open{protocol=\"http\"} 1\n");
    free(text);
}

static void per_core_families_have_a_line_for_each_core_only(void **state)
{
    struct pc_metrics *m = *state;
    pc_metric_add(pc_metrics_core(m, 1), PC_M_LOOP_QUEUE_DELAY_NS, 1500000000);
    char *text = render(m, NULL);
    assert_has(text, "\nportcullis_loop_queue_delay_seconds{core=\"0\"} 0\n");
    assert_has(text, "\nportcullis_loop_queue_delay_seconds{core=\"1\"} 1.5\n");
    assert_null(strstr(text, "core=\"2\""));
    free(text);
}

static void buckets_are_ordered_and_at_most_a_quarter_wide(void **state)
{
    (void)state;
    unsigned last = 0;
    for (uint64_t v = 0; v < 100000; v++) {
        unsigned b = pc_histogram_bucket_of(v);
        assert_true(b == last || b == last + 1);
        last = b;
    }
    assert_int_equal(pc_histogram_bucket_of(UINT64_MAX), PC_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(pc_histogram_bucket_of((UINT64_C(1) << 42) - 1), PC_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(pc_histogram_bucket_of(UINT64_C(1) << 41), PC_HISTOGRAM_BUCKETS - 4);
}

static void quantiles_are_right_to_a_bucket(void **state)
{
    struct pc_metrics *m = *state;
    assert_int_equal(pc_metrics_quantile(m, PC_H_MUTATION, 0.5), 0);
    for (uint64_t v = 1; v <= 1000; v++)
        pc_histogram_record(pc_metrics_core(m, v % 2), PC_H_MUTATION, v * 1000, 1);
    const struct {
        double q;
        uint64_t exact;
    } cases[] = {
        {0.001, 1000   },
        {0.5,   500000 },
        {0.99,  990000 },
        {1,     1000000}
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        uint64_t got = pc_metrics_quantile(m, PC_H_MUTATION, cases[i].q);
        assert_true(got >= cases[i].exact && got <= cases[i].exact + cases[i].exact / 4);
    }
}

static void histograms_are_cumulative_and_end_in_their_count(void **state) /* I2 */
{
    struct pc_metrics *m = *state;
    pc_histogram_record(pc_metrics_core(m, 0), PC_H_REQUEST_HTTP, 100, 1);
    pc_histogram_record(pc_metrics_core(m, 0), PC_H_REQUEST_HTTP, 700, 16);
    pc_histogram_record(pc_metrics_core(m, 1), PC_H_REQUEST_HTTP, UINT64_C(1) << 50, 2);
    char *text = render(m, NULL);
    static const char prefix[] = "portcullis_request_duration_seconds_bucket{protocol=\"http\",le=";
    uint64_t last = 0, n = 0;
    unsigned lines = 0;
    for (char *at = text; (at = strstr(at, prefix)); at++, lines++) {
        assert_int_equal(sscanf(strchr(at, '}'), "} %" SCNu64, &n), 1);
        assert_true(n >= last);
        last = n;
    }
    assert_true(lines == 34 - 9 + 1 + 1);
    assert_int_equal(last, 19);
    assert_has(text, "\nportcullis_request_duration_seconds_count{protocol=\"http\"} 19\n");
    assert_has(text, "protocol=\"http\",le=\"5.12e-07\"} 1\n");
    assert_has(text, "protocol=\"http\",le=\"1.024e-06\"} 17\n");
    free(text);
}

static void the_process_is_described(void **state)
{
    struct pc_metrics *m = *state;
    struct pc_metrics_process p;
    pc_metrics_sample_process(&p);
    assert_true(p.rss_bytes > 100000 && p.virtual_bytes >= p.rss_bytes && p.threads >= 1);
    assert_true(p.open_fds >= 3 && p.max_fds >= p.open_fds && p.start_time_seconds > 1.6e9);
    char *text = render(m, &p);
    assert_has(text, "\nprocess_resident_memory_bytes ");
    assert_has(text, "\nportcullis_build_info{version=\"" PC_VERSION "\"");
    free(text);
}

static void the_longest_text_fits_its_limit(void **state)
{
    (void)state;
    struct pc_metrics *m;
    static char longest[96];
    static const char *texts[PC_METRICS_DECISIONS_MAX];
    memset(longest, 'x', sizeof longest - 1);
    for (size_t i = 0; i < PC_COUNT(texts); i++)
        texts[i] = longest;
    const struct pc_metrics_names full = {
        {texts, PC_METRICS_DECISIONS_MAX    },
        {texts, PC_METRICS_DECISIONS_MAX    },
        {texts, PC_METRICS_RESP_COMMANDS_MAX}
    };
    assert_int_equal(pc_metrics_create(256, &full, &m), 0);
    for (unsigned core = 0; core < 256; core++)
        for (unsigned slot = 0; slot < PC_M_COUNT; slot++)
            pc_metric_set(pc_metrics_core(m, core), slot, UINT64_MAX);
    struct pc_metrics_process p;
    pc_metrics_sample_process(&p);
    char *text = render(m, &p);
    assert_true(strlen(text) > 10000);
    free(text);
    pc_metrics_destroy(m);
}

static void promtool_accepts_the_text(void **state)
{
    struct pc_metrics *m = *state;
    struct pc_metrics_process p;
    if (access("/usr/bin/promtool", X_OK) != 0)
        skip();
    pc_metrics_sample_process(&p);
    char *text = render(m, &p);
    FILE *tool = popen("promtool check metrics >&2", "w");
    assert_non_null(tool);
    assert_int_equal(fwrite(text, 1, strlen(text), tool), strlen(text));
    int status = pclose(tool);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(text);
}

static void *count_up(void *arg)
{
    struct pc_metrics_block *b = arg;
    for (unsigned i = 0; i < 200000; i++) {
        pc_metric_inc(b, PC_M_BYTES_IN);
        pc_histogram_record(b, PC_H_REQUEST_RESP, i, 1);
    }
    return NULL;
}

static void rendering_while_cores_count_sees_no_step_back(void **state) /* I1 */
{
    struct pc_metrics *m = *state;
    pthread_t threads[2];
    uint64_t last = 0;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, pc_metrics_core(m, i)), 0);
    for (int i = 0; i < 20; i++) {
        uint64_t now = pc_metrics_total(m, PC_M_BYTES_IN);
        assert_true(now >= last);
        last = now;
        free(render(m, NULL));
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(pc_metrics_total(m, PC_M_BYTES_IN), 400000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counters_add_up_over_threads),
        TEST(a_gauge_may_be_taken_away_by_another_thread),
        TEST(per_core_families_have_a_line_for_each_core_only),
        TEST(buckets_are_ordered_and_at_most_a_quarter_wide),
        TEST(quantiles_are_right_to_a_bucket),
        TEST(histograms_are_cumulative_and_end_in_their_count),
        TEST(the_process_is_described),
        TEST(the_longest_text_fits_its_limit),
        TEST(promtool_accepts_the_text),
        TEST(rendering_while_cores_count_sees_no_step_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
