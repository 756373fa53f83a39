/* SPDX-License-Identifier: Apache-2.0
 * Administrators' tokens: named, hashed, expiring, revocable.
 *
 * A token's text is pcadm_<id>_<secret>: id is 16 hexadecimal digits, secret 64 (256 random bits).
 * The file holds SHA-256 of the secret's 64 digits, so reading it lets nobody in; a plain hash is
 * enough because the secret is random, not chosen. Format (JSON, mode 0600, replaced atomically):
 *
 *   {"version":1,"tokens":[{"id":"…","name":"ops","role":"admin","sha256":"…64 hex…",
 *     "created":1700000000,"expires":1702592000,"revoked":null}]}
 *
 * Times are Unix seconds; expires null = never; revoked null or when. The command changes the
 * file; servers read it at start and on reload. The set is immutable once loaded: any thread may
 * verify, without locks. */
#ifndef PC_BASE_ADMIN_TOKENS_H
#define PC_BASE_ADMIN_TOKENS_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/sha256.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_ADMIN_TOKENS_MAX      1024
#define PC_ADMIN_TOKEN_ID_CHARS  16
#define PC_ADMIN_TOKEN_NAME_MAX  64
#define PC_ADMIN_TOKEN_TEXT_MAX  128 /* longest text that is looked at */
#define PC_ADMIN_TOKENS_FILE_MAX (1024 * 1024)
/* A token given as a file's content (admin.token_file) may be any text at least this long. */
#define PC_ADMIN_TOKEN_TEXT_MIN 32

/* Bits: whoever has several roles by its claims has the rights of each. A token has exactly one.
 * gateway (decides, takes limits, revokes tokens) and viewer (reads) include nothing of each other;
 * operator may do what both may, admin everything. So rights are asked for as masks: the roles any
 * of which is enough. */
enum pc_admin_role {
    PC_ADMIN_NONE = 0,
    PC_ADMIN_GATEWAY = 1,
    PC_ADMIN_VIEWER = 2,
    PC_ADMIN_OPERATOR = 4,
    PC_ADMIN_ADMIN = 8
};
#define PC_MAY_ADMINISTRATE ((unsigned)PC_ADMIN_ADMIN)
#define PC_MAY_OPERATE      (PC_MAY_ADMINISTRATE | PC_ADMIN_OPERATOR)
#define PC_MAY_GATEWAY      (PC_MAY_OPERATE | PC_ADMIN_GATEWAY)
#define PC_MAY_VIEW         (PC_MAY_OPERATE | PC_ADMIN_VIEWER)
#define PC_MAY_READ         (PC_MAY_GATEWAY | PC_MAY_VIEW)

static inline bool pc_admin_may(enum pc_admin_role roles, unsigned enough)
{
    return ((unsigned)roles & enough) != 0;
}

struct pc_admin_token {
    char id[PC_ADMIN_TOKEN_ID_CHARS + 1];
    char name[PC_ADMIN_TOKEN_NAME_MAX + 1];
    enum pc_admin_role role;
    uint8_t hash[PC_SHA256_BYTES];
    int64_t created_s, expires_s, revoked_s; /* INT64_MAX: never */
};

struct pc_admin_tokens {
    struct pc_admin_token *tokens;
    size_t count;
};

/* "gateway", "viewer", "operator", "admin"; NULL and PC_ADMIN_NONE for anything else. Of several
 * roles the name of the highest, or "gateway,viewer". */
const char *pc_admin_role_name(enum pc_admin_role role);
enum pc_admin_role pc_admin_role_of_name(struct pc_bytes name);

/* A missing file is an empty set. Refuses a file that others may write or read, a newer version,
 * and anything malformed: a half-read list of credentials is no list. */
int pc_admin_tokens_load(const char *path, struct pc_admin_tokens *ret_tokens, struct pc_why *why);
/* Replaces the file atomically, mode 0600. */
int pc_admin_tokens_save(const char *path, const struct pc_admin_tokens *t, struct pc_why *why);
void pc_admin_tokens_free(struct pc_admin_tokens *t);

/* Adds a token made of random (8 bytes of id, 32 of secret) and writes its text, terminated, to
 * ret_text. Refused: a name that is empty, too long, not of [A-Za-z0-9._-], or in use by a token
 * that is alive (PC_E_DUPLICATE); a full set (PC_E_FULL). */
int pc_admin_tokens_create(struct pc_admin_tokens *t, const char *name, enum pc_admin_role role,
                           int64_t now_s, int64_t expires_s, const uint8_t random[40],
                           char ret_text[PC_ADMIN_TOKEN_TEXT_MAX]);
/* Adds the credential text itself (content of admin.token_file), kept as a hash only. */
int pc_admin_tokens_add_text(struct pc_admin_tokens *t, const char *name, enum pc_admin_role role,
                             struct pc_bytes text);
/* By id or by name (all alive ones of that name); -ENOENT when none is alive. */
int pc_admin_tokens_revoke(struct pc_admin_tokens *t, const char *id_or_name, int64_t now_s);
/* Whether any token is alive: what the check of listeners off loopback asks. */
bool pc_admin_tokens_any_alive(const struct pc_admin_tokens *t, int64_t now_s);

/* The token's entry when text is one that is alive at now_s, else NULL. Its time depends on the
 * length of text and the number of tokens, not on where they differ. */
const struct pc_admin_token *pc_admin_tokens_verify(const struct pc_admin_tokens *t,
                                                    struct pc_bytes text, int64_t now_s);

#ifdef __cplusplus
}
#endif
#endif
