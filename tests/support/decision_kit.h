/* SPDX-License-Identifier: Apache-2.0
 * Decisions to be measured: one core over full tables, asked about genuine tokens of one size. For
 * benchmarks (C++), which cannot include what the server is made of. One thread. */
#ifndef PC_TESTS_DECISION_KIT_H
#define PC_TESTS_DECISION_KIT_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

struct decision_kit;

struct decision_kit_options {
    const char *config; /* YAML */
    const char *method, *host, *path;
    uint32_t tokens;  /* different ones, asked about in turn */
    uint32_t entries; /* in each revocation table, and keys in the limit table of `policy` */
    const char *policy;
    uint32_t token_bytes; /* at least; 0: as small as they are */
};

/* Aborts on any failure. The tokens have been decided once: they are in the cache. */
struct decision_kit *decision_kit_new(const struct decision_kit_options *o);
void decision_kit_free(struct decision_kit *k);

struct pc_bytes decision_kit_token(const struct decision_kit *k, uint32_t i);
/* The whole decision about token i; aborts unless it is allowed. */
void decision_kit_decide(struct decision_kit *k, uint32_t i);
/* Only the token: cache, times, revocations. */
void decision_kit_token_only(struct decision_kit *k, uint32_t i);
/* So many nanoseconds pass. */
void decision_kit_pass(struct decision_kit *k, int64_t ns);

/* Another core over the same tables, with a cache of its own, for one more thread: made and freed
 * on that thread. The kit's own thread must be outside of RCU meanwhile (decision_kit_rest()). */
struct decision_kit_hand;
struct decision_kit_hand *decision_kit_hand_new(struct decision_kit *k);
void decision_kit_hand_free(struct decision_kit_hand *h);
void decision_kit_hand_decide(struct decision_kit_hand *h, uint32_t i);
void decision_kit_hand_pass(struct decision_kit_hand *h, int64_t ns);
/* The kit's thread waits for others, or is back. */
void decision_kit_rest(bool resting);

#ifdef __cplusplus
}
#endif
#endif
