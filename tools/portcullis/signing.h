/* SPDX-License-Identifier: Apache-2.0
 * Private keys that the command signs tokens with: the development issuer's, or a file of the
 * user's. Never used by a server. */
#ifndef PC_CLI_SIGNING_H
#define PC_CLI_SIGNING_H

#include <openssl/evp.h>

#include "cli.h"

#define DEV_ISSUER     "portcullis-dev"
#define DEV_KEY_FILE   "dev/issuer.jwk"   /* below the data directory: the private key, 0600 */
#define DEV_JWKS_FILE  "dev/jwks.json"    /* its public half, for the edge */
#define DEV_OVERLAY    "dev/overlay.yaml" /* the issuer as configuration */
#define DEV_TOKEN_FILE "admin.token"
#define THUMBPRINT_MAX 64
#define SIGNATURE_MAX  1024 /* of RSA-8192 */

struct signing_key {
    EVP_PKEY *key;
    const char *alg;
    char kid[THUMBPRINT_MAX]; /* "" when the file names none */
};

/* A JWK (kty OKP, crv Ed25519, with d) or a PEM private key: Ed25519, P-256, P-384 or RSA. alg may
 * be NULL. A status after saying why. */
int signing_key_load(const char *path, const char *alg, struct signing_key *ret_key);
void signing_key_free(struct signing_key *k);

/* Signs text as JWS; base64url, terminated. */
int signing_sign(const struct signing_key *k, struct pc_bytes text, char *ret_signature,
                 size_t size);

/* A new Ed25519 key pair: the private JWK and the JWKS with its public half, both malloced. */
int signing_generate(char **ret_jwk, char **ret_jwks);

#endif
