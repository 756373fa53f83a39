/* SPDX-License-Identifier: Apache-2.0
 * The tables all cores read and only the writer changes, and how an id becomes a fingerprint.
 *
 * I1  Only the writer thread changes anything reachable from here after pc_tables_new().
 * I2  `view` is read and published through edge/state/rcu.h only. */
#ifndef PC_WRITER_TABLES_H
#define PC_WRITER_TABLES_H

#include "base/siphash.h"
#include "edge/state/revocations.h"
#include "edge/writer/view.h"
#include "link/change.h"

struct pc_tables {
    struct pc_revocations *ids;           /* token, session, family */
    struct pc_revocations *cutoffs;       /* subject, client: entries with a cutoff */
    struct pc_view *view;                 /* I2; never NULL */
    struct pc_ip_configured *no_ip_rules; /* where the settings bring none */
    /* Keeps outsiders from aiming at a table line or a collision; lives in the data directory,
     * because snapshots hold fingerprints. Constant once set. */
    uint8_t fingerprint_key[16];
};

/* The first view: trust and settings (which may be NULL) are taken over; the flags are the built-in
 * ones and there are no IP rules, until the writer has recovered. */
int pc_tables_new(struct pc_trust *trust, struct pc_settings *settings,
                  void (*free_settings)(struct pc_settings *), struct pc_tables **ret_t,
                  struct pc_why *why);
void pc_tables_free(struct pc_tables *t);

/* Parts of the view for a single question; a decision loads the view once instead. */
static inline const struct pc_view *pc_tables_view(const struct pc_tables *t)
{
    return pc_rcu_load(&t->view);
}

static inline const struct pc_trust *pc_tables_trust(const struct pc_tables *t)
{
    return pc_tables_view(t)->trust;
}

/* Never 0, which readers use for "no such claim". */
uint64_t pc_tables_fingerprint(const struct pc_tables *t, enum pc_kind kind, struct pc_bytes issuer,
                               struct pc_bytes id);

/* The same in two steps, for many ids of one kind and issuer. */
void pc_tables_fingerprint_begin(const struct pc_tables *t, enum pc_kind kind,
                                 struct pc_bytes issuer, struct pc_siphash24_head *ret_head);
static inline uint64_t pc_tables_fingerprint_end(const struct pc_siphash24_head *head,
                                                 struct pc_bytes id)
{
    uint64_t fp = pc_siphash24_end(head, id.p, id.n);
    return fp ? fp : 1;
}

/* The largest clock skew any issuer is configured with. */
int64_t pc_trust_max_skew_ms(const struct pc_trust *trust);

/* The table that holds entries of this kind; NULL for key, issuer and all. */
static inline struct pc_revocations *pc_tables_of(const struct pc_tables *t, enum pc_kind kind)
{
    switch (kind) {
    case PC_KIND_TOKEN:
    case PC_KIND_SESSION:
    case PC_KIND_FAMILY: return t->ids;
    case PC_KIND_SUBJECT:
    case PC_KIND_CLIENT: return t->cutoffs;
    default: return NULL;
    }
}

#endif
