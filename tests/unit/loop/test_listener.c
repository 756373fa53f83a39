/* SPDX-License-Identifier: Apache-2.0
 * Listening sockets: addresses, socket files left behind, socket activation. */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "edge/loop/listener.h"

struct place {
    char dir[32], path[64], address[80];
};

static struct place new_place(void)
{
    struct place p;
    snprintf(p.dir, sizeof p.dir, "/tmp/pc-listener-XXXXXX");
    assert_non_null(mkdtemp(p.dir));
    snprintf(p.path, sizeof p.path, "%s/sock", p.dir);
    snprintf(p.address, sizeof p.address, "unix:%s", p.path);
    return p;
}

static void remove_place(const struct place *p)
{
    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
}

static void addresses_are_parsed_and_classified(void **state)
{
    enum pc_listener_reach reach;
    struct pc_why why;
    (void)state;
    assert_int_equal(pc_listener_parse("127.0.0.1:8080", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_LOOPBACK);
    assert_int_equal(pc_listener_parse("127.9.9.9:1", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_LOOPBACK);
    assert_int_equal(pc_listener_parse("localhost:0", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_LOOPBACK);
    assert_int_equal(pc_listener_parse("[::1]:8080", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_LOOPBACK);
    assert_int_equal(pc_listener_parse("[::ffff:127.0.0.1]:8080", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_LOOPBACK);
    assert_int_equal(pc_listener_parse("0.0.0.0:65535", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_NETWORK);
    assert_int_equal(pc_listener_parse("[::]:8080", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_NETWORK);
    assert_int_equal(pc_listener_parse("unix:/tmp/x", &reach, &why), 0);
    assert_int_equal(reach, PC_REACH_UNIX);
}

static void bad_addresses_are_refused_with_the_reason(void **state)
{
    const char *const bad[] = {"",
                               "8080",
                               ":8080",
                               "127.0.0.1",
                               "127.0.0.1:",
                               "127.0.0.1:65536",
                               "127.0.0.1:-1",
                               "127.0.0.1:80x",
                               "example.com:80",
                               "::1:80",
                               "[::1:80",
                               "[]:80",
                               "[12345678901234567890123456789012345678901234567890]:80",
                               "unix:"};
    (void)state;
    for (size_t i = 0; i < PC_COUNT(bad); i++) {
        enum pc_listener_reach reach;
        struct pc_why why = {""};
        assert_int_equal(pc_listener_parse(bad[i], &reach, &why), -EINVAL);
        assert_true(why.text[0] != 0);
    }
    char too_long[200] = "unix:/";
    memset(too_long + 6, 'a', 150);
    enum pc_listener_reach reach;
    assert_int_equal(pc_listener_parse(too_long, &reach, NULL), -EINVAL);
}

static void the_kernel_chooses_a_port_and_the_name_tells_it(void **state)
{
    const char *const hosts[] = {"127.0.0.1:0", "[::1]:0"};
    (void)state;
    for (size_t i = 0; i < PC_COUNT(hosts); i++) {
        char name[PC_LISTENER_NAME_MAX];
        struct pc_why why;
        int fd;
        if (pc_listener_open(hosts[i], 16, 0, &fd, &why) != 0) {
            assert_true(i == 1); /* a machine without IPv6 */
            continue;
        }
        assert_int_equal(pc_listener_name(fd, name), 0);
        assert_int_equal(strncmp(name, hosts[i], strlen(hosts[i]) - 1), 0);
        assert_true(strtoul(strrchr(name, ':') + 1, NULL, 10) > 0);
        /* A second server on the same port is told so. */
        int second;
        assert_int_equal(pc_listener_open(name, 16, 0, &second, &why), -EADDRINUSE);
        close(fd);
    }
}

static void a_unix_socket_has_its_mode_and_its_name(void **state)
{
    struct place p = new_place();
    char name[PC_LISTENER_NAME_MAX];
    struct pc_why why;
    struct stat st;
    int fd;
    (void)state;
    assert_int_equal(pc_listener_open(p.address, 0, 0640, &fd, &why), 0);
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(pc_listener_name(fd, name), 0);
    assert_string_equal(name, p.address);
    close(fd);
    pc_listener_unlink(p.address);
    assert_int_equal(stat(p.path, &st), -1);
    remove_place(&p);
}

static void a_socket_in_use_is_not_taken_away_but_a_stale_one_is_replaced(void **state)
{
    struct place p = new_place();
    struct pc_why why;
    int first, second;
    (void)state;
    assert_int_equal(pc_listener_open(p.address, 0, 0600, &first, &why), 0);
    assert_int_equal(pc_listener_open(p.address, 0, 0600, &second, &why), -EADDRINUSE);
    close(first); /* the file stays, as after a kill */
    assert_int_equal(pc_listener_open(p.address, 0, 0600, &second, &why), 0);
    close(second);
    remove_place(&p);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct place p = new_place();
    struct pc_why why;
    int fd = open(p.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(pc_listener_open(p.address, 0, 0600, &fd, &why), -EEXIST);
    assert_int_equal(access(p.path, F_OK), 0);
    remove_place(&p);
}

static void inherited_descriptors_count_only_when_they_are_ours(void **state)
{
    struct pc_why why;
    (void)state;
    assert_int_equal(pc_listener_inherited(NULL, "1", 42, &why), 0);
    assert_int_equal(pc_listener_inherited("42", NULL, 42, &why), 0);
    assert_int_equal(pc_listener_inherited("41", "1", 42, &why), 0);
    assert_int_equal(pc_listener_inherited("42", "0", 42, &why), 0);
    assert_int_equal(pc_listener_inherited("x", "1", 42, &why), -EINVAL);
    assert_int_equal(pc_listener_inherited("42", "-1", 42, &why), -EINVAL);
    assert_int_equal(pc_listener_inherited("42", "65", 42, &why), -EINVAL);
}

/* In a child, where descriptor 3 can be anything we like. */
static int inherited_in_child(int fd)
{
    pid_t child = fork();
    if (child == 0) {
        struct pc_why why;
        dup2(fd, PC_LISTEN_FDS_START);
        int n = pc_listener_inherited("7", "1", 7, &why);
        int flags = fcntl(PC_LISTEN_FDS_START, F_GETFD);
        _exit(n == 1 && flags == FD_CLOEXEC ? 0 : n == 1 ? 2 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void an_inherited_descriptor_must_be_a_listening_socket(void **state)
{
    struct pc_why why;
    int listening, pair[2];
    (void)state;
    assert_int_equal(pc_listener_open("127.0.0.1:0", 0, 0, &listening, &why), 0);
    assert_int_equal(inherited_in_child(listening), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(inherited_in_child(pair[0]), 1);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(inherited_in_child(file), 1);
    close(file);
    close(pair[0]);
    close(pair[1]);
    close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_parsed_and_classified),
        cmocka_unit_test(bad_addresses_are_refused_with_the_reason),
        cmocka_unit_test(the_kernel_chooses_a_port_and_the_name_tells_it),
        cmocka_unit_test(a_unix_socket_has_its_mode_and_its_name),
        cmocka_unit_test(a_socket_in_use_is_not_taken_away_but_a_stale_one_is_replaced),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(inherited_descriptors_count_only_when_they_are_ours),
        cmocka_unit_test(an_inherited_descriptor_must_be_a_listening_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
