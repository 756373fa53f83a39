/* SPDX-License-Identifier: Apache-2.0
 * portcullis serve: what its files share. */
#ifndef PC_CLI_SERVE_H
#define PC_CLI_SERVE_H

#include <sys/types.h>

#include "cli.h"

/* What is handed to every edge that is started. */
struct serve {
    const struct pc_config *config;
    char edge[CLI_PATH_MAX]; /* the program */
    char *argv[16];          /* its arguments, terminated by NULL */
    int sockets[PC_CONFIG_LISTENERS_MAX];
    bool inherited[PC_CONFIG_LISTENERS_MAX]; /* somebody else's: its file stays when we end */
    unsigned socket_count;
    char names[PC_CONFIG_LISTENERS_MAX * 40]; /* LISTEN_FDNAMES */
    char **env;                               /* its environment but for the LISTEN_ variables */
    int lock;                                 /* held as long as we live: see supervise_lock */
};

/* Has the edge's program try the configuration out: routes, policies, keys, lists, flags. */
int serve_check(struct cli *c);

/* Opens the listeners that were not passed in by the caller's own supervisor. */
int serve_open_sockets(struct serve *s, const struct cli *c);

/* The lock file "serve.pid" in the data directory; refused while another serve holds it. */
int supervise_lock(struct serve *s);
/* The process that holds it, 0 if nobody does. */
pid_t supervise_holder(const char *data_dir);
/* Starts the edge and replaces it until a signal says stop; the exit status. */
int supervise_run(struct serve *s);

#endif
