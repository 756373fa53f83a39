/* SPDX-License-Identifier: Apache-2.0
 * Which answer is right: one function for each thing that can be asked. Pure but for the counters
 * of the oracle; called for every answer, so they look for what they need and parse nothing else.
 *
 * An allow that has to be a refusal, or that names another subject than was asked about (answers
 * mixed up), is LD_WRONG_ALLOW; anything else that is not expected is LD_WRONG, with words. */
#ifndef LD_EXPECT_H
#define LD_EXPECT_H

#include "load/oracle.h"

struct ld_asked {
    const struct ld_workload *w;
    unsigned request;      /* index in w->requests */
    struct ld_token token; /* text.n 0: none */
    uint64_t token_index, key_index;
    struct pc_bytes key; /* as it was sent; n 0: none */
    int64_t value;       /* set_flag: what it was set to */
    bool is_probe;       /* of a revocation */
};

/* ret_tolerated: a refusal the workload file tolerates. */
enum ld_verdict ld_expect(const struct ld_asked *asked, struct ld_oracle *oracle,
                          const struct ld_answer *answer, bool *ret_tolerated,
                          char why[LD_WHY_BYTES]);

/* The value of the first member of that name in a JSON text: a string without its quotes (escapes
 * stay), or the bare word. false: there is none. Pure. */
bool ld_find_member(struct pc_bytes json, const char *name, struct pc_bytes *ret_value);
/* The value of a header field of an answer's head, without case. Pure. */
bool ld_find_field(struct pc_bytes head, const char *name, struct pc_bytes *ret_value);

#endif
