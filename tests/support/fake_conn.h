/* SPDX-License-Identifier: Apache-2.0
 * A connection without sockets, ring or core threads: the functions of edge/loop that protocols
 * call, over memory. A test feeds bytes and reads what would be sent. Programs that use it link
 * these functions instead of the loop's. One thread; a few connections at a time. */
#ifndef PC_TESTS_FAKE_CONN_H
#define PC_TESTS_FAKE_CONN_H

#include "support/writer_rig.h"

#define FAKE_CONNS_MAX       8
#define FAKE_CONN_INPUT_MAX  (1u << 20)
#define FAKE_CONN_OUTPUT_MAX (1u << 18)

struct fake_conn {
    struct pc_conn conn;
    struct pc_protocol protocol;
    struct pc_listener listener;
    struct pc_listener_info info;
    struct pc_config_listener config; /* may be changed: trusted peers, forwarded */
    uint8_t in[FAKE_CONN_INPUT_MAX];  /* not consumed yet */
    size_t in_n;
    uint8_t out[FAKE_CONN_OUTPUT_MAX + 1];
    size_t out_n;
    bool paused, closing, aborted;
    bool full;          /* a test says so: the peer takes nothing … */
    bool no_memory;     /* … or there is none for output */
    uint32_t deadlines; /* bits of those that run */
};

/* A connection of HTTP from 127.0.0.1 to a listener with all roles. */
void fake_conn_open_http(struct fake_conn *f, struct rig_core *core);
/* The same of RESP. */
void fake_conn_open_resp(struct fake_conn *f, struct rig_core *core);
void fake_conn_close(struct fake_conn *f);
/* Delivers bytes as far as the protocol takes them, within a turn of the core: others may receive
 * in the same turn. */
void fake_conn_receive(struct fake_conn *f, struct pc_bytes bytes);
/* The turn ends, and who waited for that goes on; false: nobody did. */
bool fake_conn_end_turn(struct fake_conn *f);
/* Both, until nobody waits. */
void fake_conn_feed(struct fake_conn *f, struct pc_bytes bytes);
/* Jobs the protocol pushed are committed by the rig's writer (by hand) and answered. */
void fake_conn_run_writer(struct fake_conn *f, struct rig *r);
/* Both, from a clean slate; the whole answer, terminated. */
const char *fake_conn_ask(struct fake_conn *f, struct rig *r, const char *request);
/* The status of the last answer; 0: none. */
unsigned fake_conn_status(const struct fake_conn *f);

#endif
