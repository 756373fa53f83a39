/* SPDX-License-Identifier: Apache-2.0
 * What is trusted: issuers, their settings and keys, and the revocations that are few and stand in
 * no table (keys, issuers, everything). One immutable snapshot of it all.
 *
 * Life of a snapshot: the writer makes a draft (pc_trust_build or pc_trust_clone), changes it with
 * the setters, seals it against the one it replaces, publishes it by RCU, and frees the old one
 * after a grace period. Readers get a const pointer and only look.
 *
 * I1  A sealed snapshot never changes.
 * I2  Two snapshots of one server with equal `generation` have the same issuers in the same order,
 *     with the same settings and the same trusted keys; whatever was concluded from a token's bytes
 *     alone under the one holds under the other. Cutoffs, revoked issuers and wildcards are not
 *     part of it: they are read on every decision.
 * I3  A revoked key is never returned by pc_trust_find_keys(), whatever key set is loaded. */
#ifndef PC_EDGE_JOSE_TRUST_H
#define PC_EDGE_JOSE_TRUST_H

#include "edge/jose/jwk.h"
#include "link/change.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_TRUST_ISSUERS_MAX   256
#define PC_TRUST_TRIES_MAX     4  /* keys tried for a token that names none */
#define PC_AUDIENCES_MAX       32 /* of one issuer */
#define PC_TYPES_MAX           8
#define PC_CLAIM_NAME_MAX      128
#define PC_SKEW_DEFAULT_MS     5000
#define PC_SKEW_MAX_MS         (10 * 60 * 1000)
#define PC_LIFETIME_DEFAULT_MS (INT64_C(24) * 3600 * 1000)

/* No cutoff: before every time. */
#define PC_CUTOFF_NONE INT64_MIN

/* Names of claims. One found as written is taken; otherwise a name with dots is a path through
 * objects ("realm_access.roles"). n = 0: the claim is not read. */
struct pc_claim_names {
    struct pc_bytes session;                /* "sid" */
    struct pc_bytes family;                 /* "fam" */
    struct pc_bytes client, client_instead; /* "client_id", or else "azp" */
    struct pc_bytes scopes, scopes_instead; /* "scope", or else "scp": a string or an array */
    struct pc_bytes roles;                  /* "roles": a string or an array */
};

/* Settings of one issuer. The strings are borrowed until pc_trust_build() returns. */
struct pc_issuer_settings {
    struct pc_bytes name;    /* the exact `iss` value */
    uint32_t algorithms;     /* bits; default PC_ALGS_ASYMMETRIC */
    bool allow_secrets;      /* must be set for HS* in `algorithms` */
    int64_t skew_ms;         /* clocks may differ by this much */
    int64_t max_lifetime_ms; /* exp - iat at most; 0: not enforced, exp and iat may be missing */
    bool require_jti, require_session;
    bool trust_iat_ms; /* believe `iat_ms` where it agrees with a whole-second `iat` */
    const struct pc_bytes *audiences; /* one must be in `aud`; none: `aud` is not checked */
    size_t audience_count;
    const struct pc_bytes *types; /* accepted `typ`, without case and "application/"; an empty
                                   * string accepts tokens without one; none: JWT, at+jwt, "" */
    size_t type_count;
    struct pc_claim_names claims;
};

/* Everything but the name: the defaults above. */
void pc_issuer_settings_init(struct pc_issuer_settings *s, struct pc_bytes name);

/* An issuer in a snapshot: its settings, with strings owned by the snapshot. */
struct pc_issuer {
    struct pc_issuer_settings s;
    uint32_t index;
    uint32_t first_key, key_count; /* in pc_trust.keys, revoked ones included */
};

struct pc_issuer_status {
    bool revoked;      /* absolutely: every token of it is refused */
    int64_t cutoff_ms; /* tokens issued at or before are refused; PC_CUTOFF_NONE */
};

struct pc_trusted_key {
    const struct pc_key *key;
    bool revoked;
};

struct pc_trust_body;
struct pc_trust {
    uint64_t generation; /* I2; 0 while it is a draft */
    uint32_t issuer_count, key_count;
    const struct pc_issuer *issuers;
    struct pc_issuer_status *status; /* by issuer index */
    struct pc_trusted_key *keys;
    int64_t all_cutoff_ms;      /* PC_CUTOFF_NONE */
    uint32_t wildcard_kinds;    /* bit 1 << enum pc_kind: some revocation names the issuer "*" */
    struct pc_trust_body *body; /* what clones share */
    uint8_t digest[32];         /* of all that I2 is about */
};

/* A key set may be NULL (no keys yet). Refused (PC_E_*, why): two issuers of one name, settings out
 * of their range, HS* without allow_secrets, a secret that is a public key of any issuer. Drafts
 * with no issuers are fine. */
struct pc_trust_source {
    const struct pc_issuer_settings *settings;
    const struct pc_jwks *keys;
};
int pc_trust_build(const struct pc_trust_source *sources, size_t n, struct pc_trust **ret_draft,
                   struct pc_why *why);
/* A draft equal to t. Cheap: settings and keys are shared. -ENOMEM. */
int pc_trust_clone(const struct pc_trust *t, struct pc_trust **ret_draft);

/* Setters, on drafts only. `issuer` "*" means all of them. Each returns how many issuers or keys
 * it named, 0 if none is known: the caller keeps its own record and applies it to later drafts. */
unsigned pc_trust_set_key_revoked(struct pc_trust *draft, struct pc_bytes issuer,
                                  struct pc_bytes thumbprint, bool revoked);
unsigned pc_trust_set_issuer_status(struct pc_trust *draft, struct pc_bytes issuer,
                                    struct pc_issuer_status status);

/* Ends the draft: its generation is previous's if I2 holds between them, else one more (1 without
 * a previous one). */
void pc_trust_seal(struct pc_trust *draft, const struct pc_trust *previous);
/* Sealed or draft; NULL is fine. */
void pc_trust_free(struct pc_trust *t);

/* By exact name; NULL if unknown. */
const struct pc_issuer *pc_trust_find_issuer(const struct pc_trust *t, struct pc_bytes name);

/* The keys that may have signed a token of the issuer: with a kid exactly that key, without one
 * (kid.n = 0) all that match the algorithm. */
struct pc_key_choice {
    uint32_t count;
    uint32_t keys[PC_TRUST_TRIES_MAX]; /* indices in pc_trust.keys */
    bool revoked;                      /* count is 0, but a revoked key would have matched */
    bool other_algorithm; /* count is 0, but the kid names a key of another algorithm */
};
/* More than PC_TRUST_TRIES_MAX matches are none: work must not grow with a token's vagueness. */
void pc_trust_find_keys(const struct pc_trust *t, const struct pc_issuer *issuer,
                        struct pc_bytes kid, enum pc_alg alg, struct pc_key_choice *ret_choice);

#ifdef __cplusplus
}
#endif
#endif
