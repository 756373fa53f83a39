/* SPDX-License-Identifier: Apache-2.0
 * When the application's hooks run: RCU is told offline around every sleep and nothing of the
 * application runs meanwhile; the clocks are fresh; io_uring that is refused is explained. */
#include <setjmp.h>
#include <stdarg.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "support/loop_server.h"

/* What the hooks saw; one core's thread writes, and the test reads after it has ended. */
static struct seen {
    bool registered, offline, in_turn;
    int wrong, quiescent, sleeps, starts, ends, inputs;
    int64_t last_ns;
    size_t (*input)(struct pc_conn *c, uint8_t *p, size_t n);
} seen;

static int on_thread_start(struct pc_core *core, struct pc_why *why)
{
    (void)why;
    PC_ASSERT_ON_CORE(core);
    seen.registered = true;
    seen.last_ns = core->now_ns;
    return 0;
}

static void on_thread_stop(struct pc_core *core)
{
    PC_ASSERT_ON_CORE(core);
    seen.wrong += seen.offline || !seen.registered;
    seen.registered = false;
}

static void on_turn_start(struct pc_core *core)
{
    seen.wrong += seen.offline || seen.in_turn || core->now_ns < seen.last_ns || core->now_ms == 0;
    seen.in_turn = true;
    seen.last_ns = core->now_ns;
    seen.starts++;
}

static void on_turn_end(struct pc_core *core)
{
    (void)core;
    seen.wrong += !seen.in_turn;
    seen.ends++;
}

static void on_quiescent(struct pc_core *core)
{
    (void)core;
    seen.wrong += seen.offline || !seen.in_turn;
    seen.in_turn = false;
    seen.quiescent++;
}

static void on_offline(struct pc_core *core)
{
    (void)core;
    seen.wrong += seen.offline || seen.in_turn;
    seen.offline = true;
    seen.sleeps++;
}

static void on_online(struct pc_core *core)
{
    (void)core;
    seen.wrong += !seen.offline;
    seen.offline = false;
}

static size_t on_input(struct pc_conn *c, uint8_t *p, size_t n)
{
    seen.wrong += seen.offline || !seen.in_turn;
    seen.inputs++;
    return seen.input(c, p, n);
}

static void hooks_run_in_their_order(void **state)
{
    struct loop_server s;
    (void)state;
    loop_server_init(&s);
    memset(&seen, 0, sizeof seen);
    seen.input = s.protocol.input;
    s.protocol.input = on_input;
    s.config.hooks.thread_start = on_thread_start;
    s.config.hooks.thread_stop = on_thread_stop;
    s.config.hooks.turn_start = on_turn_start;
    s.config.hooks.turn_end = on_turn_end;
    s.config.hooks.rcu_quiescent = on_quiescent;
    s.config.hooks.rcu_offline = on_offline;
    s.config.hooks.rcu_online = on_online;
    loop_server_start(&s);
    for (int i = 0; i < 20; i++) {
        int fd = loop_client(&s, 0);
        for (int j = 0; j < 20; j++) {
            loop_client_send(fd, "echo x\n");
            loop_client_expect(fd, "x\n");
        }
        close(fd);
    }
    loop_server_stop(&s, 1000);
    assert_int_equal(seen.wrong, 0);
    assert_false(seen.registered);
    assert_true(seen.inputs >= 400 && seen.sleeps > 0);
    assert_int_equal(seen.starts, seen.ends);
    assert_int_equal(seen.starts, seen.quiescent);
}

/* ---- refusals ---- */

/* All io_uring_setup calls of this process fail with err from now on. */
static void forbid_io_uring(unsigned err)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = PC_COUNT(filter), .filter = filter};
    PC_ASSERT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    PC_ASSERT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* The explanation a process gets whose io_uring_setup fails so. */
static void explanation(unsigned err, char *ret_text, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct pc_why why = {""};
        forbid_io_uring(err);
        int got = pc_loop_check(NULL, &why);
        ssize_t n = write(ends[1], why.text, strlen(why.text));
        _exit(got == -(int)err && n > 0 ? 0 : 1);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], ret_text, size - 1);
    ret_text[n > 0 ? n : 0] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_refused_io_uring_is_explained(void **state)
{
    char text[600];
    (void)state;
    explanation(EPERM, text, sizeof text);
    assert_non_null(strstr(text, "seccomp"));
    explanation(ENOSYS, text, sizeof text);
    assert_non_null(strstr(text, "CONFIG_IO_URING"));
    explanation(EINVAL, text, sizeof text);
    assert_non_null(strstr(text, "6.1"));
    explanation(ENOMEM, text, sizeof text);
    assert_non_null(strstr(text, "memory"));
    explanation(EMFILE, text, sizeof text);
    assert_non_null(strstr(text, "LimitNOFILE"));
}

/* Starts and stops a loop where little memory may be locked; as an ordinary user, because the
 * limit does not hold for root. */
static void start_with_little_locked_memory(void)
{
    const struct rlimit little = {.rlim_cur = 64 << 10, .rlim_max = 64 << 10};
    struct pc_loop *loop = NULL;
    struct pc_why why = {""};
    PC_ASSERT(setrlimit(RLIMIT_MEMLOCK, &little) == 0);
    if (geteuid() == 0)
        PC_ASSERT(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    PC_ASSERT(pc_loop_new(&(struct pc_loop_config){.cores = 1}, &loop, &why) == 0);
    int err = pc_loop_start(loop, &why);
    if (err) {
        fprintf(stderr, "%s\n", why.text);
        _exit(1);
    }
    pc_loop_stop(loop, 0);
    pc_loop_join(loop);
    pc_loop_free(loop);
    _exit(0);
}

static void little_locked_memory_is_enough(void **state)
{
    int status;
    (void)state;
    pid_t child = fork();
    if (child == 0)
        start_with_little_locked_memory();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void here_io_uring_is_allowed(void **state)
{
    struct pc_why why = {""};
    uint32_t features = UINT32_MAX;
    (void)state;
    assert_int_equal(pc_loop_check(&features, &why), 0);
    assert_true(features != UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_run_in_their_order),
        cmocka_unit_test(a_refused_io_uring_is_explained),
        cmocka_unit_test(little_locked_memory_is_enough),
        cmocka_unit_test(here_io_uring_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
