/* SPDX-License-Identifier: Apache-2.0
 * The view: everything a decision reads beside the revocation tables, behind one pointer.
 *
 * A decision loads it once, after its request's bytes arrived, and so never mixes an old and a new
 * configuration. Whatever changes (keys, flags, IP rules, settings), the writer publishes a new
 * view; the old one is retired together with the parts that only it refers to.
 *
 * I1  A published view never changes. Only the writer publishes (after pc_tables_new()).
 * I2  A part lives as long as any view that refers to it can be read. */
#ifndef PC_WRITER_VIEW_H
#define PC_WRITER_VIEW_H

#include "edge/jose/trust.h"
#include "edge/state/flags.h"
#include "edge/state/ip_sets.h"
#include "edge/state/rcu.h"

struct pc_settings; /* the configuration as compiled by whoever decides; the writer never looks */

/* In a call to publish: NULL stays as it is, all else is taken over. */
struct pc_parts {
    struct pc_trust *trust;
    struct pc_flags *flags;
    struct pc_ip_sets *ip_sets;
    struct pc_settings *settings;
    void (*free_settings)(struct pc_settings *settings); /* set with settings */
};

void pc_parts_free(struct pc_parts *p); /* tables.c */

struct pc_view {
    const struct pc_trust *trust;     /* never NULL */
    const struct pc_flags *flags;     /* never NULL */
    const struct pc_ip_sets *ip_sets; /* never NULL */
    const struct pc_settings *settings;
    /* Writer's: how it is retired, and what goes with it. */
    struct pc_rcu_head head;
    struct pc_parts parts, dead;
};

#endif
