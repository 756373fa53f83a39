/* SPDX-License-Identifier: Apache-2.0
 * The plain supplies: one request made of the options (with a bearer token of a file of them, in
 * turn), or the requests of a file, used in turn, each connection starting elsewhere:
 *
 *     <bytes> <expected>\n<bytes of request>   <bytes> <expected>\n ...
 *
 * expected is what the answer begins with: the status ("200") for HTTP, the first line (":0",
 * "+OK") for RESP, one of several ("401|503"), or "*" for anything. After a blank comes text that
 * its body must contain (RESP: its first line or what follows), to the end of the line: a denial of
 * a check is 200 too, `200 "allow":true` tells it from an allow. --expect replaces it. Each run of
 * twelve '@' in a request is replaced by twelve digits of a counter (--counter gives its start;
 * threads take turns in it), so that ten million different keys need no file of ten million. Class:
 * "request". */
#ifndef LD_REQUESTS_H
#define LD_REQUESTS_H

#include "load/options.h"

enum {
    LD_COUNTER_DIGITS = 12,
    LD_EXPECT_BYTES = 64,
    LD_REQUESTS_MAX = 64 << 20, /* of one file */
    LD_TOKEN_BYTES_MAX = 16384,
};

/* NULL: problem. Chooses by options: requests_file, else the plain request. */
struct ld_supply *ld_requests_open(const struct ld_options *, struct ld_problem *);

/* Is this what was expected? Before the blank nothing: 2xx, or a RESP answer that is no error.
 * Pure. */
bool ld_expectation_holds(const char *expected, size_t expected_bytes, bool resp,
                          const struct ld_answer *);

#endif
