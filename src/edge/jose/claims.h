/* SPDX-License-Identifier: Apache-2.0
 * From a verified payload to struct pc_claims; private to this folder. */
#ifndef PC_EDGE_JOSE_CLAIMS_H
#define PC_EDGE_JOSE_CLAIMS_H

#include "edge/jose/jwt.h"

/* The signature must have been verified with pc_trust.keys[key]. */
enum pc_token_error pc_claims_read(const struct pc_jwt *jwt, uint32_t key,
                                   struct pc_claims *ret_claims);

#endif
