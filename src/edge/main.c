/* SPDX-License-Identifier: Apache-2.0
 * portcullis-edge: the data plane. Reads its arguments, blocks signals, runs the server.
 *
 * Usually started by `portcullis serve`, which holds the listening sockets and passes them on. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "edge/api/main_tasks.h"
#include "edge/loop/listener.h"

static const char usage[] =
    "usage: portcullis-edge [--config FILE] [--overlay FILE] [--env-file FILE] [--dev]\n"
    "                       [--recover=strict|salvage] [--check] [--version] [--help]\n";

struct option {
    const char *name;
    const char **value;
};

/* --name VALUE or --name=VALUE; 1 when argv[*i] is this option. */
static int take_value(int argc, char **argv, int *i, const struct option *o)
{
    size_t n = strlen(o->name);
    if (strncmp(argv[*i], o->name, n) != 0)
        return 0;
    if (argv[*i][n] == '=') {
        *o->value = argv[*i] + n + 1;
        return 1;
    }
    if (argv[*i][n] || *i + 1 >= argc)
        return 0;
    *o->value = argv[++*i];
    return 1;
}

static int parse_recover(const char *value, enum pc_recover_mode *mode)
{
    if (!value)
        return 0;
    if (strcmp(value, "strict") == 0)
        *mode = PC_RECOVER_STRICT;
    else if (strcmp(value, "salvage") == 0)
        *mode = PC_RECOVER_SALVAGE;
    else
        return -1;
    return 0;
}

static int parse(int argc, char **argv, struct pc_server_options *o, bool *check)
{
    const char *recover = NULL;
    const struct option options[] = {
        {"--config",   &o->config.path    },
        {"--overlay",  &o->config.overlay },
        {"--env-file", &o->config.env_file},
        {"--recover",  &recover           }
    };
    for (int i = 1; i < argc; i++) {
        int taken = 0;
        if (strcmp(argv[i], "--dev") == 0) {
            o->config.dev = true;
            continue;
        }
        if (strcmp(argv[i], "--check") == 0) {
            *check = true;
            continue;
        }
        for (size_t k = 0; k < PC_COUNT(options) && !taken; k++)
            taken = take_value(argc, argv, &i, &options[k]);
        if (!taken) {
            fprintf(stderr, "portcullis-edge: unknown argument %s\n%s", argv[i], usage);
            return -1;
        }
    }
    if (parse_recover(recover, &o->recover) < 0) {
        fprintf(stderr, "portcullis-edge: --recover takes strict or salvage\n");
        return -1;
    }
    return 0;
}

/* Threads inherit the mask: only the main thread's signalfd sees these. */
static int block_signals(void)
{
    sigset_t signals;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of the write, as a full disk is */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return -1;
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int check_only(const struct pc_server_options *o)
{
    struct pc_why why = {{0}};
    if (pc_server_check(o, &why) == 0)
        return 0;
    fprintf(stderr, "portcullis-edge: %s\n", why.text);
    return 1;
}

static int run(const struct pc_server_options *o, int signal_fd)
{
    struct pc_why why = {{0}};
    struct pc_server *server;
    if (pc_server_start(o, &server, &why) < 0) {
        fprintf(stderr, "portcullis-edge: %s\n", why.text);
        return 1;
    }
    int status = pc_server_run(server, signal_fd, &why);
    pc_server_free(server);
    if (why.text[0])
        fprintf(stderr, "portcullis-edge: %s\n", why.text);
    return status;
}

int main(int argc, char **argv)
{
    struct pc_server_options o = {.config = {.environ = environ}};
    struct pc_why why = {{0}};
    bool check = false;
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "--help") == 0)) {
        printf("portcullis-edge " PC_VERSION ", BoringSSL (" PC_BORINGSSL_ORIGIN ")\n%s",
               argv[1][2] == 'h' ? usage : "");
        return 0;
    }
    if (parse(argc, argv, &o, &check) < 0)
        return 2;
    if (check)
        return check_only(&o);
    o.inherited = pc_listener_inherited(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getpid(), &why);
    o.inherited_names = getenv("LISTEN_FDNAMES");
    int signal_fd = block_signals();
    if (o.inherited < 0 || signal_fd < 0) {
        fprintf(stderr, "portcullis-edge: %s\n", why.text[0] ? why.text : "cannot block signals");
        return 1;
    }
    return run(&o, signal_fd);
}
