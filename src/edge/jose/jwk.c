/* SPDX-License-Identifier: Apache-2.0
 * Reading JSON Web Key sets. Runs on the writer or at start; allocates, and owns nothing after it
 * returned. What is wrong refuses the whole set, because half a key set looks like a rotation
 * that happened; what is merely of no use to us is skipped with a warning.
 *
 *   {"keys":[ {"kty":"OKP","crv":"Ed25519","x":…},
 *             {"kty":"EC","crv":"P-256"|"P-384","x":…,"y":…},
 *             {"kty":"RSA","n":…,"e":…},
 *             {"kty":"oct","k":…} ]}        each with "kid", "alg", "use", "key_ops" if it likes */
#include "edge/jose/jwk.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/mem.h>

#include "base/base64url.h"
#include "base/json.h"
#include "edge/jose/key.h"

#define VALUES_MAX 8192 /* JSON values and names of one set */
#define SKIP       1    /* a positive result: leave this entry out */

static const struct shape {
    const char *kty, *crv; /* crv NULL: has none */
    enum pc_key_type type;
    const char *number, *other_number; /* NULL: only one */
} shapes[] = {
    {"OKP", "Ed25519", PC_KEY_ED25519, "x", NULL},
    {"EC",  "P-256",   PC_KEY_P256,    "x", "y" },
    {"EC",  "P-384",   PC_KEY_P384,    "x", "y" },
    {"RSA", NULL,      PC_KEY_RSA,     "n", "e" },
    {"oct", NULL,      PC_KEY_SECRET,  "k", NULL},
};

struct reader {
    struct pc_json doc;
    bool allow_secrets;
    pc_warn_fn *warn;
    void *warn_arg;
    struct pc_why *why;
    struct pc_jwks *jwks;
    unsigned entry; /* from 0 */
    struct pc_buf strings;
    struct pc_json_token tokens[VALUES_MAX];
    uint8_t string_bytes[16 << 10];
};

/* Explains what is wrong with the current entry at a token and returns err. */
static int refuse(const struct reader *r, int err, const struct pc_json_token *at, const char *what)
{
    uint32_t line, column;
    pc_json_place(r->doc.text, at->start, &line, &column);
    return pc_fail(r->why, err, "line %u column %u: key %u: %s", line, column, r->entry, what);
}

static int skip(const struct reader *r, const struct pc_json_token *at, const char *what)
{
    struct pc_why text;
    uint32_t line, column;
    pc_json_place(r->doc.text, at->start, &line, &column);
    pc_fail(&text, 0, "line %u column %u: key %u skipped: %s", line, column, r->entry, what);
    if (r->warn)
        r->warn(r->warn_arg, text.text);
    return SKIP;
}

static const struct pc_json_token *member(const struct reader *r, const struct pc_json_token *entry,
                                          const char *name)
{
    return pc_json_member(&r->doc, entry, name);
}

/* An optional string: n = 0 if absent. */
static int string_member(struct reader *r, const struct pc_json_token *entry, const char *name,
                         struct pc_bytes *ret_string)
{
    const struct pc_json_token *t = member(r, entry, name);
    struct pc_bytes s = {NULL, 0};
    char what[64];
    int rc = t ? pc_json_string(&r->doc, t, &r->strings, &s) : 0;
    if (rc) {
        snprintf(what, sizeof what, "\"%s\" is not a usable string", name);
        return refuse(r, PC_E_SYNTAX, t, what);
    }
    *ret_string = s;
    return 0;
}

/* --- what the entry is ------------------------------------------------------------------- */

static int find_shape(struct reader *r, const struct pc_json_token *entry,
                      const struct shape **ret_shape)
{
    struct pc_bytes kty = {NULL, 0}, crv = {NULL, 0};
    int rc = string_member(r, entry, "kty", &kty);
    if (rc == 0)
        rc = string_member(r, entry, "crv", &crv);
    if (rc)
        return rc;
    if (kty.n == 0)
        return refuse(r, PC_E_SYNTAX, entry, "no \"kty\"");
    bool known = false;
    for (size_t i = 0; i < PC_COUNT(shapes); i++) {
        const struct shape *s = &shapes[i];
        if (!pc_bytes_eq_str(kty, s->kty))
            continue;
        known = true;
        if (s->crv ? pc_bytes_eq_str(crv, s->crv) : crv.n == 0) {
            *ret_shape = s;
            return 0;
        }
        if (!s->crv)
            return refuse(r, PC_E_SYNTAX, entry, "\"crv\" does not fit \"kty\"");
    }
    if (known && crv.n == 0)
        return refuse(r, PC_E_SYNTAX, entry, "no \"crv\"");
    return skip(r, entry, known ? "its \"crv\" is not supported" : "its \"kty\" is not supported");
}

static int refuse_private(struct reader *r, const struct pc_json_token *entry)
{
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth"};
    for (size_t i = 0; i < PC_COUNT(names); i++)
        if (member(r, entry, names[i]))
            return refuse(r, PC_E_UNSUPPORTED, entry,
                          "a private key; only its public part belongs here");
    return 0;
}

/* "use": signatures only. */
static int check_use(struct reader *r, const struct pc_json_token *entry)
{
    struct pc_bytes use;
    int rc = string_member(r, entry, "use", &use);
    if (rc || use.n == 0 || pc_bytes_eq(use, PC_LIT("sig")))
        return rc;
    return SKIP;
}

/* "key_ops": must allow verification. */
static int check_ops(struct reader *r, const struct pc_json_token *entry)
{
    const struct pc_json_token *ops = member(r, entry, "key_ops");
    bool verify = false;
    if (!ops)
        return 0;
    if (pc_json_type(ops) != PC_JSON_ARRAY)
        return refuse(r, PC_E_SYNTAX, ops, "\"key_ops\" is no array");
    PC_JSON_FOREACH(&r->doc, ops, op)
    {
        if (pc_json_type(op) != PC_JSON_STRING)
            return refuse(r, PC_E_SYNTAX, op, "\"key_ops\" holds something that is no string");
        verify |= pc_json_equals(&r->doc, op, "verify");
    }
    return verify ? 0 : SKIP;
}

/* "alg": one we know restricts the key to it and must fit its type. */
static int check_alg(struct reader *r, const struct pc_json_token *entry, enum pc_key_type type,
                     uint32_t *ret_algorithms)
{
    struct pc_bytes name;
    int rc = string_member(r, entry, "alg", &name);
    if (rc)
        return rc;
    uint32_t all = pc_algs_of_type(type);
    if (name.n) {
        enum pc_alg alg = pc_alg_of_name(name);
        if (alg == PC_ALG_NONE)
            return SKIP;
        all &= PC_ALG_BIT(alg);
        if (!all)
            return refuse(r, PC_E_UNSUPPORTED, member(r, entry, "alg"),
                          "\"alg\" does not fit \"kty\" and \"crv\"");
    }
    *ret_algorithms = all;
    return 0;
}

/* All that says what the key is for must say the same. */
static int check_purpose(struct reader *r, const struct pc_json_token *entry, enum pc_key_type type,
                         uint32_t *ret_algorithms)
{
    int use = check_use(r, entry), ops = check_ops(r, entry);
    int alg = check_alg(r, entry, type, ret_algorithms);
    if (use < 0 || ops < 0 || alg < 0)
        return use < 0 ? use : ops < 0 ? ops : alg;
    bool says_sign = (member(r, entry, "use") && use == 0) || (member(r, entry, "alg") && alg == 0);
    if (use == 0 && ops == 0 && alg == 0)
        return 0;
    if (alg == SKIP && use == 0 && ops == 0)
        return skip(r, entry, "its \"alg\" is not supported");
    if (says_sign || (ops == 0 && member(r, entry, "key_ops")))
        return refuse(r, PC_E_UNSUPPORTED, entry, "\"use\", \"key_ops\" and \"alg\" disagree");
    return skip(r, entry, "it is not for signatures");
}

/* --- its numbers ------------------------------------------------------------------------- */

static int number_member(struct reader *r, const struct pc_json_token *entry, const char *name,
                         struct pc_bytes *ret_number)
{
    struct pc_bytes text;
    char what[80];
    int rc = string_member(r, entry, name, &text);
    if (rc)
        return rc;
    size_t n = 0, room = r->strings.cap - r->strings.len;
    uint8_t *to = r->strings.p + r->strings.len;
    rc = text.n ? pc_base64url_decode(text, to, room, &n) : PC_E_SYNTAX;
    if (rc) {
        snprintf(what, sizeof what, "\"%s\" is missing or not base64url", name);
        return refuse(r, rc, entry, what);
    }
    r->strings.len += n;
    *ret_number = pc_bytes_of(to, n);
    return 0;
}

static int make_key(struct reader *r, const struct pc_json_token *entry, const struct shape *shape,
                    const struct pc_key_head *head, const struct pc_key **ret_key)
{
    struct pc_bytes a = {NULL, 0}, b = {NULL, 0};
    struct pc_why what = {""};
    int rc = number_member(r, entry, shape->number, &a);
    if (rc == 0 && shape->other_number)
        rc = number_member(r, entry, shape->other_number, &b);
    if (rc)
        return rc;
    switch (shape->type) {
    case PC_KEY_ED25519: rc = pc_key_from_ed25519(head, a, ret_key, &what); break;
    case PC_KEY_P256:
    case PC_KEY_P384: rc = pc_key_from_point(head, shape->type, a, b, ret_key, &what); break;
    case PC_KEY_RSA: rc = pc_key_from_rsa(head, a, b, ret_key, &what); break;
    case PC_KEY_SECRET: rc = pc_key_from_secret(head, a, ret_key, &what); break;
    }
    return rc ? refuse(r, rc, entry, what.text) : 0;
}

/* --- the set ----------------------------------------------------------------------------- */

/* Takes over the reference. A look-up by kid and algorithm must have one answer at most. */
static int add_key(struct reader *r, const struct pc_json_token *entry, const struct pc_key *key)
{
    struct pc_jwks *set = r->jwks;
    int rc = 0;
    for (uint32_t i = 0; i < set->count && rc == 0; i++) {
        const struct pc_key *other = set->keys[i];
        bool same = memcmp(other->thumbprint, key->thumbprint, sizeof key->thumbprint) == 0;
        if (!pc_bytes_eq(other->kid, key->kid) || !(other->algorithms & key->algorithms))
            continue;
        if (same)
            rc = skip(r, entry, "it is repeated");
        else if (key->kid.n)
            rc = refuse(r, PC_E_DUPLICATE, entry, "another key has this \"kid\"");
    }
    if (rc == 0 && set->count == PC_JWKS_KEYS_MAX)
        rc = refuse(r, PC_E_TOO_LARGE, entry, "more keys than a set may have");
    if (rc)
        pc_key_unref(key);
    else
        set->keys[set->count++] = key;
    return rc;
}

static int read_entry(struct reader *r, const struct pc_json_token *entry)
{
    const struct shape *shape = NULL;
    const struct pc_key *key = NULL;
    struct pc_key_head head = {.algorithms = 0};
    r->strings.len = 0;
    if (pc_json_type(entry) != PC_JSON_OBJECT)
        return refuse(r, PC_E_SYNTAX, entry, "it is no object");
    int rc = refuse_private(r, entry);
    if (rc == 0)
        rc = find_shape(r, entry, &shape);
    PC_ASSERT(rc || shape);
    if (rc == 0)
        rc = check_purpose(r, entry, shape->type, &head.algorithms);
    if (rc == 0)
        rc = string_member(r, entry, "kid", &head.kid);
    if (rc)
        return rc;
    if (head.kid.n > PC_KID_MAX)
        return refuse(r, PC_E_TOO_LARGE, entry, "\"kid\" is longer than 256 bytes");
    if (shape->type == PC_KEY_SECRET && !r->allow_secrets)
        return refuse(r, PC_E_UNSUPPORTED, entry,
                      "a shared secret, which the issuer's settings do not allow");
    rc = make_key(r, entry, shape, &head, &key);
    return rc ? rc : add_key(r, entry, key);
}

static int read_set(struct reader *r, struct pc_bytes text)
{
    static const struct pc_json_limits limits = {.bytes = PC_JWKS_BYTES_MAX, .depth = 8};
    struct pc_json_error error;
    int rc = pc_json_parse(text, r->tokens, VALUES_MAX, &limits, &r->doc, &error);
    if (rc)
        return pc_json_explain(r->why, rc, text, &error);
    const struct pc_json_token *root = pc_json_root(&r->doc);
    const struct pc_json_token *keys = pc_json_member(&r->doc, root, "keys");
    if (!keys && pc_json_member(&r->doc, root, "kty"))
        return pc_min_i64(read_entry(r, root), 0);
    if (pc_json_type(keys) != PC_JSON_ARRAY)
        return pc_fail(r->why, PC_E_SYNTAX, "neither a key nor an object with an array \"keys\"");
    PC_JSON_FOREACH(&r->doc, keys, entry)
    {
        rc = read_entry(r, entry);
        if (rc < 0)
            return rc;
        r->entry++;
    }
    return 0;
}

int pc_jwks_parse(struct pc_bytes text, bool allow_secrets, pc_warn_fn *warn, void *warn_arg,
                  struct pc_jwks **ret_jwks, struct pc_why *why)
{
    struct pc_jwks *set = calloc(1, sizeof *set);
    struct reader *r = malloc(sizeof *r);
    int rc;
    if (set && r) {
        *r = (struct reader){.allow_secrets = allow_secrets,
                             .warn = warn,
                             .warn_arg = warn_arg,
                             .why = why,
                             .jwks = set};
        r->strings = pc_buf_of(r->string_bytes, sizeof r->string_bytes);
        rc = read_set(r, text);
        OPENSSL_cleanse(r->string_bytes, sizeof r->string_bytes);
    } else {
        rc = pc_fail(why, -ENOMEM, "out of memory");
    }
    free(r);
    if (rc)
        pc_jwks_free(set);
    else
        *ret_jwks = set;
    return rc;
}

void pc_jwks_free(struct pc_jwks *jwks)
{
    for (uint32_t i = 0; jwks && i < jwks->count; i++)
        pc_key_unref(jwks->keys[i]);
    free(jwks);
}
