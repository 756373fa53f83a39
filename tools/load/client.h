/* SPDX-License-Identifier: Apache-2.0
 * A blocking HTTP/1.1 client on one connection, for what has to be asked before a run: set-up is
 * in no hurry and must say clearly what went wrong. Requests are written whole and may be
 * pipelined; answers need a Content-Length. */
#ifndef LD_CLIENT_H
#define LD_CLIENT_H

#include "base/bytes.h"
#include "load/options.h"

struct ld_client;

struct ld_client_answer {
    int status;
    struct pc_bytes head, body; /* until the next answer is read */
};

bool ld_client_open(const struct ld_options *o, struct ld_client **ret_client, struct ld_problem *);
void ld_client_close(struct ld_client *c);
bool ld_client_send(struct ld_client *c, const struct ld_request *r, struct ld_problem *);
bool ld_client_read(struct ld_client *c, struct ld_client_answer *ret_answer, struct ld_problem *);

#endif
