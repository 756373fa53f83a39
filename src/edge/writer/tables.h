/* SPDX-License-Identifier: Apache-2.0
 * The tables all cores read and only the writer changes, and how an id becomes a fingerprint.
 *
 * I1  Only the writer thread changes anything reachable from here after pc_tables_new().
 * I2  `trust` is read and published through edge/state/rcu.h only. */
#ifndef PC_WRITER_TABLES_H
#define PC_WRITER_TABLES_H

#include "edge/jose/trust.h"
#include "edge/state/revocations.h"
#include "link/change.h"

struct pc_tables {
    struct pc_revocations *ids;     /* token, session, family */
    struct pc_revocations *cutoffs; /* subject, client: entries with a cutoff */
    struct pc_trust *trust;         /* I2; never NULL */
    /* Keeps outsiders from aiming at a table line or a collision; lives in the data directory,
     * because snapshots hold fingerprints. Constant once set. */
    uint8_t fingerprint_key[16];
};

/* Takes over trust. */
int pc_tables_new(struct pc_trust *trust, struct pc_tables **ret_t, struct pc_why *why);
void pc_tables_free(struct pc_tables *t);

/* Never 0, which readers use for "no such claim". */
uint64_t pc_tables_fingerprint(const struct pc_tables *t, enum pc_kind kind, struct pc_bytes issuer,
                               struct pc_bytes id);

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
