/* SPDX-License-Identifier: Apache-2.0
 * Private keys that the harness mints tokens with, read by BoringSSL (this program must not bring
 * OpenSSL into the process): an Ed25519 JWK with d, as `portcullis serve --dev` keeps it, or a PEM
 * private key (Ed25519, P-256, P-384, RSA). A key is immutable once made: any thread may sign. */
#ifndef LD_KEYFILE_H
#define LD_KEYFILE_H

#include "base/bytes.h"
#include "load/source.h"

#define LD_KID_MAX       128
#define LD_SIGNATURE_MAX 1024 /* of RSA-8192 */

struct ld_key;

/* alg: NULL for the usual one of the key's type. A failure names the file and what is wrong. */
bool ld_key_load(const char *path, const char *alg, struct ld_key **ret_key, struct ld_problem *);
/* A new Ed25519 key; its kid is its thumbprint. */
bool ld_key_generate(struct ld_key **ret_key, struct ld_problem *);
/* Writes an Ed25519 key as a JWK with d, mode 0600. */
bool ld_key_save(const struct ld_key *k, const char *path, struct ld_problem *);
void ld_key_free(struct ld_key *k);

const char *ld_key_alg(const struct ld_key *k);
/* The file's kid, else the RFC 7638 thumbprint. */
const char *ld_key_kid(const struct ld_key *k);

/* {"keys":[…]} with the public half. false: it does not fit. */
bool ld_key_write_jwks(const struct ld_key *k, struct pc_buf *b);

/* The JWS signature of text, raw: its length, or a negative number. */
int ld_key_sign(const struct ld_key *k, struct pc_bytes text,
                uint8_t ret_signature[LD_SIGNATURE_MAX]);
/* How long signatures of this key are: what a forged one must be, too. */
size_t ld_key_signature_bytes(const struct ld_key *k);

#endif
