/* SPDX-License-Identifier: Apache-2.0
 * What one thread counted in one interval (a second of the run, or what came after its end).
 * Written by its thread while it is the active one, by nobody else; read by the main thread after
 * it was handed over (engine.h). Plain data. */
#ifndef LD_TALLY_H
#define LD_TALLY_H

#include "load/hdr.h"
#include "load/source.h"

struct ld_class_tally {
    uint64_t requests, wrong, wrong_allows, errors;
    struct ld_hdr latency; /* from due */
};

struct ld_tally {
    int64_t begin_ns, end_ns;
    bool warmup;
    uint64_t answered, answered_in_total;
    uint64_t errors[LD_FAILURES];
    uint64_t wrong, wrong_allows;
    uint64_t skipped, reconnects, bytes_sent, bytes_received;
    uint64_t waiting;            /* open loop: due and unsent at end_ns, about */
    uint64_t unsent, unanswered; /* of the last interval only */
    struct ld_hdr service;       /* from sending, classes in_total; open loop only */
    struct ld_hdr unsent_age;    /* the last interval only */
    unsigned class_count;
    struct ld_class_tally classes[];
};

struct ld_tally *ld_tally_new(unsigned class_count); /* NULL: no memory; free() it */
void ld_tally_reset(struct ld_tally *);
/* Counts are added, the time spans joined. */
void ld_tally_merge(struct ld_tally *into, const struct ld_tally *from);

#endif
