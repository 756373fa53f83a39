/* SPDX-License-Identifier: Apache-2.0
 * Making, emptying and adding the counts of tally.h. */
#include <stdlib.h>

#include "load/tally.h"

struct ld_tally *ld_tally_new(unsigned class_count)
{
    struct ld_tally *t = calloc(1, sizeof(*t) + class_count * sizeof(t->classes[0]));
    if (t)
        t->class_count = class_count;
    return t;
}

void ld_tally_reset(struct ld_tally *t)
{
    t->begin_ns = t->end_ns = 0;
    t->warmup = false;
    t->answered = t->answered_in_total = 0;
    for (int i = 0; i < LD_FAILURES; i++)
        t->errors[i] = 0;
    t->wrong = t->wrong_allows = t->skipped = t->reconnects = 0;
    t->bytes_sent = t->bytes_received = t->waiting = t->unsent = t->unanswered = 0;
    ld_hdr_reset(&t->service);
    ld_hdr_reset(&t->unsent_age);
    for (unsigned i = 0; i < t->class_count; i++) {
        struct ld_class_tally *c = &t->classes[i];
        c->requests = c->wrong = c->wrong_allows = c->errors = 0;
        ld_hdr_reset(&c->latency);
    }
}

static void merge_class(struct ld_class_tally *into, const struct ld_class_tally *from)
{
    into->requests += from->requests;
    into->wrong += from->wrong;
    into->wrong_allows += from->wrong_allows;
    into->errors += from->errors;
    ld_hdr_merge(&into->latency, &from->latency);
}

void ld_tally_merge(struct ld_tally *into, const struct ld_tally *from)
{
    PC_ASSERT(into->class_count == from->class_count);
    into->begin_ns = into->begin_ns ? pc_min_i64(into->begin_ns, from->begin_ns) : from->begin_ns;
    into->end_ns = pc_max_i64(into->end_ns, from->end_ns);
    into->warmup |= from->warmup;
    into->answered += from->answered;
    into->answered_in_total += from->answered_in_total;
    for (int i = 0; i < LD_FAILURES; i++)
        into->errors[i] += from->errors[i];
    into->wrong += from->wrong;
    into->wrong_allows += from->wrong_allows;
    into->skipped += from->skipped;
    into->reconnects += from->reconnects;
    into->bytes_sent += from->bytes_sent;
    into->bytes_received += from->bytes_received;
    into->waiting += from->waiting;
    into->unsent += from->unsent;
    into->unanswered += from->unanswered;
    ld_hdr_merge(&into->service, &from->service);
    ld_hdr_merge(&into->unsent_age, &from->unsent_age);
    for (unsigned i = 0; i < into->class_count; i++)
        merge_class(&into->classes[i], &from->classes[i]);
}
