/* SPDX-License-Identifier: Apache-2.0
 * The life of the server as its main thread sees it: start, reload, stop. Main thread only. */
#ifndef PC_API_MAIN_TASKS_H
#define PC_API_MAIN_TASKS_H

#include "edge/api/server.h"

struct pc_server_options {
    struct pc_config_options config; /* where it comes from, for reloads */
    enum pc_recover_mode recover;
    /* Listening sockets passed by a supervisor: how many, from PC_LISTEN_FDS_START on, and their
     * names separated by colons (LISTEN_FDNAMES; NULL = matched by address). */
    int inherited;
    const char *inherited_names;
};

/* Reads and compiles all that a start would (configuration, administrators' tokens, keys, policies,
 * routes, lists of networks, flags) and starts nothing; why not, names what is wrong. */
int pc_server_check(const struct pc_server_options *o, struct pc_why *why);

/* Starts everything; cores answer at once, with 503 until recovery is complete. */
int pc_server_start(const struct pc_server_options *o, struct pc_server **ret_s,
                    struct pc_why *why);
/* Waits for recovery, serves until `stop_fd` (a signalfd) says so, stops in order and returns the
 * exit status. Reloads on SIGHUP and when key files change. */
int pc_server_run(struct pc_server *s, int signal_fd, struct pc_why *why);
void pc_server_free(struct pc_server *s);

/* Reads configuration, keys and administrators' tokens again. A bad one is refused and the old
 * stays; *why says what is wrong. */
int pc_server_reload(struct pc_server *s, struct pc_why *why);
/* The same for the flag file alone. */
int pc_server_reload_flags(struct pc_server *s, struct pc_why *why);
/* Runs a task on the writer's thread and waits for its result. */
int pc_server_run_on_writer(struct pc_server *s, int (*task)(struct pc_writer *, struct pc_job *),
                            void *arg);

#endif
