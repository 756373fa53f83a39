/* SPDX-License-Identifier: Apache-2.0
 * What server.c (start and stop) and reload.c (what changes meanwhile) share. Main thread only. */
#ifndef PC_API_SERVER_PRIVATE_H
#define PC_API_SERVER_PRIVATE_H

#include "edge/api/main_ring.h"
#include "edge/api/main_tasks.h"
#include "edge/api/watch.h"

/* What only the main thread needs. */
struct control {
    struct pc_server server;
    struct pc_server_options options;
    struct pc_protocol http, resp;
    struct pc_listener listeners[PC_CONFIG_LISTENERS_MAX];
    unsigned listener_count;
    int cpus[PC_CORES_MAX]; /* the loop reads it when its threads start */
    struct pc_main_ring ring;
    struct pc_watch *watch;
    struct pc_flag_layer *flag_environment; /* constant while the server runs */
    struct pc_flag_layer *flag_file;        /* until the writer takes it over */
    unsigned touched; /* groups of files that changed and were not read again yet */
    bool announced;
    bool cores_started;
};

static inline struct control *pc_control_of(struct pc_server *s)
{
    return PC_CONTAINER_OF(s, struct control, server);
}

/* reload.c: configuration, administrators and everything compiled from them. */
int pc_server_load_settings(struct pc_server *s, struct pc_settings **ret, struct pc_why *why);
void pc_server_free_settings(struct pc_settings *s);
/* The writer's, when no view refers to them any more. */
void pc_server_release_settings(struct pc_settings *s);
/* The flags' layers of file and environment, tried out before anything starts, so that what is
 * wrong with them is the first thing said. */
int pc_server_load_flags(struct control *c, struct pc_why *why);
/* A file may give a flag another type than the value has that an administrator once set: says so.
 */
void pc_server_tell_ignored_flags(struct pc_server *s);
/* Watches the files of the configuration in force; reads those that changed again. */
void pc_server_watch_files(struct control *c);
void pc_server_reload_touched(struct control *c);

#endif
