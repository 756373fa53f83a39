/* SPDX-License-Identifier: Apache-2.0
 * Whole runs against a server that misbehaves: nothing of it may be missing from the report. The
 * server is a thread here; it answers connection by connection what its script says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "load/run.h"
#include "load/schedule.h"

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define GO_AWAY   ""
#define NO_ANSWER "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

enum { CONNECTIONS_MAX = 256 };

struct server {
    int listener, fds[CONNECTIONS_MAX];
    unsigned count;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    unsigned answered; /* the server thread's */
    bool deaf;         /* the server thread's: it accepts no more */
    /* What to answer a request with, the n-th of all; NULL: nothing. GO_AWAY: all connections are
     * closed, and those that come then hang. */
    const char *(*answer)(unsigned n);
};

static void go_deaf(struct server *s)
{
    s->deaf = true;
    assert_int_equal(listen(s->listener, 0), 0);
    while (s->count)
        close(s->fds[--s->count]);
}

static void serve_one(struct server *s, unsigned i)
{
    char request[4096];
    const ssize_t n = read(s->fds[i], request, sizeof(request));
    const char *text = n > 0 ? s->answer(s->answered++) : NULL;
    if (text && !*text) {
        go_deaf(s);
        return;
    }
    if (text && write(s->fds[i], text, strlen(text)) < 0)
        return;
    if (n <= 0) {
        close(s->fds[i]);
        s->fds[i] = s->fds[--s->count];
    }
}

static void *serve(void *arg)
{
    struct server *s = arg;
    while (!atomic_load(&s->stop)) {
        struct pollfd p[CONNECTIONS_MAX + 1] = {
            {.fd = s->deaf ? -1 : s->listener, .events = POLLIN}
        };
        for (unsigned i = 0; i < s->count; i++)
            p[i + 1] = (struct pollfd){.fd = s->fds[i], .events = POLLIN};
        const unsigned count = s->count;
        if (poll(p, count + 1, 20) <= 0)
            continue;
        for (unsigned i = count; i-- > 0;) /* one that ends is replaced by a later one */
            if (i < s->count && p[i + 1].revents)
                serve_one(s, i);
        if (p[0].revents && s->count < CONNECTIONS_MAX)
            s->fds[s->count++] = accept(s->listener, NULL, NULL);
    }
    return NULL;
}

static void start(struct server *s, const char *(*answer)(unsigned n))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    *s = (struct server){.listener = socket(AF_INET, SOCK_STREAM, 0), .answer = answer};
    assert_int_equal(bind(s->listener, (void *)&address, bytes), 0);
    assert_int_equal(listen(s->listener, 128), 0);
    assert_int_equal(getsockname(s->listener, (void *)&address, &bytes), 0);
    s->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    for (unsigned i = 0; i < s->count; i++)
        close(s->fds[i]);
    close(s->listener);
}

/* Of a run with these options against a server with these answers; the exit status it has. */
static enum ld_exit run(const char *(*answer)(unsigned n), int argc, const char *const *argv,
                        struct ld_report *report)
{
    struct server server;
    struct ld_options o;
    struct ld_problem problem;
    bool help = false;
    char url[64];
    const char *all[32] = {"run", "--quiet", url};
    start(&server, answer);
    snprintf(url, sizeof(url), "--url=http://127.0.0.1:%u/", server.port);
    memcpy(all + 3, argv, (size_t)argc * sizeof(*argv));
    assert_true(ld_options_parse(&o, argc + 3, (char **)all, &help, &problem));
    struct ld_supply *supply = ld_run_supply(&o, &problem);
    assert_non_null(supply);
    assert_true(ld_run(&o, supply, report, &problem));
    const enum ld_exit status = ld_run_exit_status(&o, report);
    supply->ops->close(supply);
    ld_options_free(&o);
    stop(&server);
    return status;
}

#define RUN(answer, report, ...)                                                                   \
    run(answer, (int)PC_COUNT(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__},     \
        report)

/* --- bytes nobody asked for ----------------------------------------------------------------- */

/* An answer, and the front of another: what is missing comes before the next answer. */
static const char *shifted(unsigned n)
{
    return n == 0 ? OK_ANSWER "HTTP/1.1 200 " : " OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 ";
}

static void the_front_of_an_answer_nobody_asked_for_is_malformed(void **state)
{
    struct ld_report report;
    (void)state;
    assert_int_equal(RUN(shifted, &report, "--connections=1", "--count=3"), LD_EXIT_ERRORS);
    assert_true(report.errors[LD_FAIL_MALFORMED] > 0);
    ld_report_free(&report);
}

/* --- answers that never come ---------------------------------------------------------------- */

static const char *every_other(unsigned n)
{
    return n % 2 ? OK_ANSWER : NULL;
}

static void requests_that_time_out_are_in_the_percentiles(void **state)
{
    struct ld_report report;
    (void)state;
    assert_int_equal(RUN(every_other, &report, "--connections=4", "--warmup=0", "--duration=600ms",
                         "--timeout=100ms"),
                     LD_EXIT_ERRORS);
    assert_true(report.errors[LD_FAIL_TIMEOUT] > 0);
    assert_true(report.latency.count >= report.requests + report.errors[LD_FAIL_TIMEOUT]);
    assert_true(report.latency.p99 >= 100e3);
    ld_report_free(&report);
}

/* --- connections that cannot be made -------------------------------------------------------- */

static const char *go_away(unsigned n)
{
    (void)n;
    return GO_AWAY;
}

/* One of them fits into the listener's queue; the others get no answer at all. */
static void connects_that_hang_time_out(void **state)
{
    struct ld_report report;
    (void)state;
    assert_int_equal(
        RUN(go_away, &report, "--connections=8", "--warmup=0", "--duration=1s", "--timeout=100ms"),
        LD_EXIT_ERRORS);
    assert_true(report.errors[LD_FAIL_TIMEOUT] >= 6);
    ld_report_free(&report);
}

/* --- wrong answers, whenever ---------------------------------------------------------------- */

static const char *wrong_at_first(unsigned n)
{
    return n < 3 ? NO_ANSWER : OK_ANSWER;
}

static void a_wrong_answer_in_the_warm_up_counts(void **state)
{
    struct ld_report report;
    (void)state;
    assert_int_equal(
        RUN(wrong_at_first, &report, "--connections=1", "--warmup=300ms", "--duration=100ms"),
        LD_EXIT_WRONG);
    assert_int_equal(report.wrong_answers, 3);
    assert_non_null(report.whys[0]);
    ld_report_free(&report);
}

/* --- what is random ------------------------------------------------------------------------- */

static void neighbouring_seeds_share_no_arrivals(void **state)
{
    enum { DRAWS = 1000 };
    uint64_t first = ld_schedule_seed(1, 0);
    double draws[DRAWS];
    (void)state;
    for (int i = 0; i < DRAWS; i++)
        draws[i] = ld_schedule_uniform(&first);
    for (uint64_t seed = 1; seed < 4; seed++)
        for (unsigned thread = seed == 1; thread < 3; thread++) {
            uint64_t other = ld_schedule_seed(seed, thread);
            for (int i = 0; i < DRAWS; i++) {
                const double draw = ld_schedule_uniform(&other);
                for (int k = 0; k < DRAWS; k++)
                    assert_true(draw != draws[k]);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_front_of_an_answer_nobody_asked_for_is_malformed),
        cmocka_unit_test(requests_that_time_out_are_in_the_percentiles),
        cmocka_unit_test(connects_that_hang_time_out),
        cmocka_unit_test(a_wrong_answer_in_the_warm_up_counts),
        cmocka_unit_test(neighbouring_seeds_share_no_arrivals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
