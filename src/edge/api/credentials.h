/* SPDX-License-Identifier: Apache-2.0
 * Failed credentials of administrators: counted per client address, limited, logged and audited.
 *
 * A credential that is there but wrong costs its client (an address; of IPv6 its /64) one of
 * admin.failed_credentials. Once these are used up nothing of that client is judged any more, right
 * or wrong, until the rate allows: who guesses learns nothing from the answers. A good token that
 * portcullis made is the exception: 256 random bits are not guessed, and somebody at the same
 * address (a proxy's, say) could keep operators from revoking otherwise. What the tokens in
 * decisions say is no credential in this sense.
 *
 * Runs on a core. Credentials themselves are seen here by nobody. */
#ifndef PC_API_CREDENTIALS_H
#define PC_API_CREDENTIALS_H

#include "edge/api/call.h"

/* Client addresses remembered. Behind them the oldest that owe nothing go first; when there is no
 * room at all credentials are judged: whoever can use up so many addresses cannot be stopped so. */
#define PC_CREDENTIAL_CLIENTS 65536
/* Notes for the audit that one core makes in a second: a flood must not fill the journal. Failures
 * beyond are logged and counted, and the next note says how many they were. */
#define PC_CREDENTIAL_NOTES_PER_S 5

/* Compiles admin.failed_credentials into *ret_rule. */
int pc_credential_rule(const struct pc_config *c, struct pc_limit_rule *ret_rule,
                       struct pc_why *why);

/* Whether this client's credential is not judged now; then *ret_retry_after_s says how long. */
bool pc_credential_limited(struct pc_worker *w, const struct pc_ip *client,
                           struct pc_bytes credential, unsigned *ret_retry_after_s);
/* A credential was wrong. `protocol`: "http" or "resp". request_id may be empty. */
void pc_credential_failed(struct pc_worker *w, const struct pc_ip *client,
                          struct pc_bytes request_id, const char *protocol);
/* It was right. */
void pc_credential_accepted(struct pc_worker *w);

#endif
