/* SPDX-License-Identifier: Apache-2.0
 * Parsing a token, choosing its key, verifying its signature. What its claims mean is claims.c.
 * Runs on cores; owns nothing; all memory is the caller's scratch.
 *
 *   BASE64URL(header) "." BASE64URL(payload) "." BASE64URL(signature)
 *   {"alg":…,"typ":…,"kid":…}  {"iss":…,…}    of the bytes before the second dot
 *
 * Members of the header that could bring a key of the sender's choice (jwk, jku, x5u, x5c) are
 * never read. "crit" is refused whatever it names, because no extension is implemented. */
#include "edge/jose/jwt.h"

#include "base/base64url.h"
#include "edge/jose/claims.h"

const struct pc_token_error_info *pc_token_error_info(enum pc_token_error err)
{
#define ERROR_ROW(code, status, rfc6750, text) {#code, text, rfc6750, status},
    static const struct pc_token_error_info rows[] = {
        {"", "", "", 200},
        PC_TOKEN_ERRORS(ERROR_ROW)
    };
#undef ERROR_ROW
    PC_ASSERT(err > PC_TOKEN_OK && err < PC_TOKEN_ERROR_COUNT);
    return &rows[err];
}

struct parts {
    struct pc_bytes header, payload, signature, signed_part;
};

static enum pc_token_error split(struct pc_bytes token, struct parts *ret_parts)
{
    if (token.n == 0)
        return PC_TOKEN_MISSING;
    if (token.n > PC_TOKEN_BYTES_MAX)
        return PC_TOKEN_TOO_LARGE;
    const uint8_t *end = token.p + token.n;
    const uint8_t *one = memchr(token.p, '.', token.n);
    const uint8_t *two = one ? memchr(one + 1, '.', (size_t)(end - one - 1)) : NULL;
    if (!two || memchr(two + 1, '.', (size_t)(end - two - 1)))
        return PC_TOKEN_MALFORMED;
    ret_parts->header = pc_bytes_of(token.p, (size_t)(one - token.p));
    ret_parts->payload = pc_bytes_of(one + 1, (size_t)(two - one - 1));
    ret_parts->signature = pc_bytes_of(two + 1, (size_t)(end - two - 1));
    ret_parts->signed_part = pc_bytes_of(token.p, (size_t)(two - token.p));
    return PC_TOKEN_OK;
}

/* Decodes and parses one part, which must be an object. */
static enum pc_token_error parse_part(struct pc_bytes part, uint8_t room[PC_TOKEN_BYTES_MAX],
                                      struct pc_jwt_scratch *scratch, struct pc_json *ret_doc)
{
    static const struct pc_json_limits limits = {.bytes = PC_TOKEN_BYTES_MAX};
    size_t n;
    if (pc_base64url_decode(part, room, PC_TOKEN_BYTES_MAX, &n))
        return PC_TOKEN_MALFORMED;
    if (pc_json_parse(pc_bytes_of(room, n), scratch->tokens, PC_JWT_VALUES_MAX, &limits, ret_doc,
                      NULL))
        return PC_TOKEN_MALFORMED;
    return pc_json_type(pc_json_root(ret_doc)) == PC_JSON_OBJECT ? PC_TOKEN_OK : PC_TOKEN_MALFORMED;
}

/* --- header ------------------------------------------------------------------------------ */

struct header {
    enum pc_alg alg;
    struct pc_bytes kid, typ; /* n = 0: absent */
};

/* An optional string member. */
static enum pc_token_error header_string(const struct pc_json *doc, const char *name,
                                         struct pc_buf *strings, struct pc_bytes *ret_string)
{
    const struct pc_json_token *t = pc_json_member(doc, pc_json_root(doc), name);
    *ret_string = (struct pc_bytes){NULL, 0};
    if (t && pc_json_string(doc, t, strings, ret_string))
        return PC_TOKEN_MALFORMED;
    return PC_TOKEN_OK;
}

/* "crit" and "b64": what the sender insists on and we do not have. */
static enum pc_token_error check_critical(const struct pc_json *doc)
{
    const struct pc_json_token *root = pc_json_root(doc);
    const struct pc_json_token *crit = pc_json_member(doc, root, "crit");
    if (crit && (pc_json_type(crit) != PC_JSON_ARRAY || crit->count == 0))
        return PC_TOKEN_MALFORMED;
    return crit || pc_json_member(doc, root, "b64") ? PC_TOKEN_CRITICAL : PC_TOKEN_OK;
}

static enum pc_token_error read_header(const struct pc_json *doc, struct pc_buf *strings,
                                       struct header *ret_header)
{
    struct pc_bytes alg, cty;
    struct header h;
    enum pc_token_error err = check_critical(doc);
    if (!err)
        err = header_string(doc, "alg", strings, &alg);
    if (!err)
        err = header_string(doc, "kid", strings, &h.kid);
    if (!err)
        err = header_string(doc, "typ", strings, &h.typ);
    if (!err)
        err = header_string(doc, "cty", strings, &cty);
    if (err)
        return err;
    if (alg.n == 0)
        return PC_TOKEN_MALFORMED;
    h.alg = pc_alg_of_name(alg);
    if (h.alg == PC_ALG_NONE) /* "none" too */
        return PC_TOKEN_ALGORITHM;
    if (pc_bytes_eq_nocase(cty, PC_LIT("JWT"))) /* a token in a token */
        return PC_TOKEN_TYPE;
    *ret_header = h;
    return PC_TOKEN_OK;
}

/* RFC 7515, 4.1.9: "application/" may be left out. */
static struct pc_bytes without_application(struct pc_bytes type)
{
    static const char prefix[] = "application/";
    const size_t n = sizeof prefix - 1;
    if (type.n > n && pc_bytes_eq_nocase(pc_bytes_of(type.p, n), pc_bytes_of(prefix, n)))
        return pc_bytes_of(type.p + n, type.n - n);
    return type;
}

static bool type_accepted(const struct pc_issuer_settings *s, struct pc_bytes typ)
{
    static const struct pc_bytes usual[] = {
        {(const uint8_t *)"JWT",    3},
        {(const uint8_t *)"at+jwt", 6},
        {NULL,                      0}
    };
    const struct pc_bytes *types = s->type_count ? s->types : usual;
    size_t n = s->type_count ? s->type_count : PC_COUNT(usual);
    typ = without_application(typ);
    for (size_t i = 0; i < n; i++)
        if (pc_bytes_eq_nocase(without_application(types[i]), typ))
            return true;
    return false;
}

/* --- issuer and key ---------------------------------------------------------------------- */

static enum pc_token_error find_issuer(const struct pc_trust *trust, const struct pc_json *payload,
                                       struct pc_buf *strings, const struct pc_issuer **ret_issuer)
{
    const struct pc_json_token *t = pc_json_member(payload, pc_json_root(payload), "iss");
    struct pc_bytes name;
    if (!t)
        return PC_TOKEN_CLAIM_MISSING;
    if (pc_json_string(payload, t, strings, &name))
        return PC_TOKEN_MALFORMED;
    const struct pc_issuer *issuer = pc_trust_find_issuer(trust, name);
    if (!issuer)
        return PC_TOKEN_ISSUER_UNKNOWN;
    *ret_issuer = issuer;
    return PC_TOKEN_OK;
}

static enum pc_token_error choose_keys(const struct pc_trust *trust, const struct pc_issuer *issuer,
                                       const struct header *h, struct pc_key_choice *ret_keys)
{
    struct pc_key_choice keys;
    if (!(issuer->s.algorithms & PC_ALG_BIT(h->alg)))
        return PC_TOKEN_ALGORITHM;
    if (!type_accepted(&issuer->s, h->typ))
        return PC_TOKEN_TYPE;
    pc_trust_find_keys(trust, issuer, h->kid, h->alg, &keys);
    if (keys.count == 0)
        return keys.revoked           ? PC_TOKEN_KEY_REVOKED
               : keys.other_algorithm ? PC_TOKEN_ALGORITHM
                                      : PC_TOKEN_KEY_UNKNOWN;
    *ret_keys = keys;
    return PC_TOKEN_OK;
}

static enum pc_token_error decode_signature(struct pc_bytes part, struct pc_jwt_scratch *scratch,
                                            struct pc_bytes *ret_signature)
{
    size_t n;
    int rc = pc_base64url_decode(part, scratch->signature, sizeof scratch->signature, &n);
    if (rc == PC_E_TOO_LARGE)
        return PC_TOKEN_SIGNATURE_INVALID; /* longer than any key's */
    if (rc)
        return PC_TOKEN_MALFORMED;
    *ret_signature = pc_bytes_of(scratch->signature, n);
    return PC_TOKEN_OK;
}

/* --- the three steps --------------------------------------------------------------------- */

enum pc_token_error pc_jwt_peek(const struct pc_trust *trust, struct pc_bytes token,
                                struct pc_jwt_scratch *scratch, struct pc_jwt *ret_jwt)
{
    struct pc_buf strings = pc_buf_of(scratch->strings, sizeof scratch->strings);
    struct pc_jwt jwt = {.trust = trust, .scratch = scratch};
    struct pc_json doc;
    struct parts parts;
    struct header header;
    enum pc_token_error err = split(token, &parts);
    if (!err)
        err = parse_part(parts.header, scratch->header, scratch, &doc);
    if (!err)
        err = read_header(&doc, &strings, &header);
    if (!err) /* from here on the tokens are the payload's */
        err = parse_part(parts.payload, scratch->payload, scratch, &jwt.payload);
    if (!err)
        err = find_issuer(trust, &jwt.payload, &strings, &jwt.issuer);
    if (!err)
        err = choose_keys(trust, jwt.issuer, &header, &jwt.keys);
    if (!err)
        err = decode_signature(parts.signature, scratch, &jwt.signature);
    if (err)
        return err;
    jwt.alg = header.alg;
    for (uint32_t i = 0; i < jwt.keys.count; i++)
        jwt.cost_ns += pc_key_cost_ns(trust->keys[jwt.keys.keys[i]].key, jwt.alg);
    jwt.signed_part = parts.signed_part;
    jwt.strings_used = strings.len;
    *ret_jwt = jwt;
    return PC_TOKEN_OK;
}

enum pc_token_error pc_jwt_verify_peeked(const struct pc_jwt *jwt, struct pc_claims *ret_claims)
{
    for (uint32_t i = 0; i < jwt->keys.count; i++) {
        uint32_t index = jwt->keys.keys[i];
        const struct pc_trusted_key *key = &jwt->trust->keys[index];
        PC_ASSERT(!key->revoked); /* trust.h I3 */
        if (pc_key_verify(key->key, jwt->alg, jwt->signed_part, jwt->signature))
            return pc_claims_read(jwt, index, ret_claims);
    }
    return PC_TOKEN_SIGNATURE_INVALID;
}

enum pc_token_error pc_jwt_verify(const struct pc_trust *trust, struct pc_bytes token,
                                  struct pc_jwt_scratch *scratch, struct pc_claims *ret_claims)
{
    struct pc_jwt jwt;
    enum pc_token_error err = pc_jwt_peek(trust, token, scratch, &jwt);
    return err ? err : pc_jwt_verify_peeked(&jwt, ret_claims);
}
