/* SPDX-License-Identifier: Apache-2.0
 * From the configuration's issuers and their key files to a draft of the trust snapshot. Main
 * thread; reads files. */
#ifndef PC_API_TRUST_LOAD_H
#define PC_API_TRUST_LOAD_H

#include "base/config.h"
#include "edge/jose/trust.h"

/* On failure *why names the issuer and the file. */
int pc_trust_load(const struct pc_config *c, struct pc_trust **ret_draft, struct pc_why *why);

#endif
