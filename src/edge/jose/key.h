/* SPDX-License-Identifier: Apache-2.0
 * Making verification keys from numbers; private to this folder (jwk.c reads the numbers). */
#ifndef PC_EDGE_JOSE_KEY_H
#define PC_EDGE_JOSE_KEY_H

#include "edge/jose/jwk.h"

/* What every kind of key has. algorithms: not empty, and all of the key's type. */
struct pc_key_head {
    struct pc_bytes kid;
    uint32_t algorithms;
};

/* All: 0, or -ENOMEM / PC_E_UNSUPPORTED with what is wrong with the numbers in why. The key has
 * one reference. */
int pc_key_from_ed25519(const struct pc_key_head *head, struct pc_bytes x,
                        const struct pc_key **ret_key, struct pc_why *why);
/* type is PC_KEY_P256 or PC_KEY_P384; x and y have the curve's full size. */
int pc_key_from_point(const struct pc_key_head *head, enum pc_key_type type, struct pc_bytes x,
                      struct pc_bytes y, const struct pc_key **ret_key, struct pc_why *why);
int pc_key_from_rsa(const struct pc_key_head *head, struct pc_bytes modulus,
                    struct pc_bytes exponent, const struct pc_key **ret_key, struct pc_why *why);
int pc_key_from_secret(const struct pc_key_head *head, struct pc_bytes secret,
                       const struct pc_key **ret_key, struct pc_why *why);

/* Bits of all algorithms of a type. */
uint32_t pc_algs_of_type(enum pc_key_type type);

#endif
