/* SPDX-License-Identifier: Apache-2.0
 * portcullis token mint: signs a token with the development issuer's key or a key of the user's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/clock.h"
#include "base/random.h"
#include "signing.h"

#define DEFAULT_TTL_MS INT64_C(900000)
#define TOKEN_TEXT_MAX (16 * 1024)

static int add_text(json_t *claims, const char *name, const char *value)
{
    return value ? json_object_set_new(claims, name, json_string(value)) : 0;
}

/* "a,b" as an array; an empty word would be a role nobody meant. */
static int add_roles(json_t *claims, const char *roles)
{
    json_t *list = roles ? json_array() : NULL;
    if (!roles)
        return 0;
    while (list && *roles) {
        size_t n = strcspn(roles, ",");
        if (n && json_array_append_new(list, json_stringn(roles, n)))
            break;
        roles += n + (roles[n] == ',');
    }
    return json_object_set_new(claims, "roles", list);
}

static json_t *make_claims(const struct cli *c, const char *iss, int64_t ttl_ms)
{
    char jti[PC_UUID_CHARS + 1] = "";
    uint8_t random[16];
    int64_t now_ms = pc_clock_wall_ms();
    pc_random_bytes(random, sizeof random);
    pc_uuid7(now_ms, random, jti);
    json_t *claims = json_pack("{s:s, s:s, s:I, s:I, s:I}", "iss", iss, "sub", c->o.sub, "iat",
                               (json_int_t)(now_ms / 1000), "iat_ms", (json_int_t)now_ms, "exp",
                               (json_int_t)((now_ms + ttl_ms) / 1000));
    int bad = claims == NULL || add_text(claims, "jti", c->o.jti ? c->o.jti : jti) ||
              add_text(claims, "aud", c->o.aud) || add_text(claims, "sid", c->o.sid) ||
              add_text(claims, "fam", c->o.family) || add_text(claims, "client_id", c->o.client) ||
              add_text(claims, "scope", c->o.scope) || add_roles(claims, c->o.roles);
    if (!bad)
        return claims;
    json_decref(claims);
    return NULL;
}

/* Appends a JSON object in base64url. */
static bool put_part(struct pc_buf *b, const json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (text)
        pc_base64url_encode(pc_bytes_str(text), b);
    free(text);
    return text && !b->overflow;
}

static int print_token(const struct cli *c, const struct signing_key *key, const json_t *claims)
{
    static char token[TOKEN_TEXT_MAX], signature[2 * SIGNATURE_MAX];
    struct pc_buf b = pc_buf_of(token, sizeof token);
    const char *kid = c->o.kid ? c->o.kid : key->kid;
    json_t *header =
        json_pack("{s:s, s:s, s:s*}", "alg", key->alg, "typ", "JWT", "kid", *kid ? kid : NULL);
    bool ok = put_part(&b, header);
    json_decref(header);
    pc_buf_char(&b, '.');
    if (!ok || !put_part(&b, claims))
        return cli_fail(CLI_NO, "the claims are too long or not UTF-8");
    int status = signing_sign(key, pc_bytes_of(b.p, b.len), signature, sizeof signature);
    if (status)
        return status;
    printf("%.*s.%s\n", (int)b.len, token, signature);
    return CLI_OK;
}

/* The key named on the command line, or the development issuer's. */
static int find_key(const struct cli *c, struct signing_key *ret_key, const char **ret_iss)
{
    char path[CLI_PATH_MAX];
    struct pc_config *config;
    if (c->o.key) {
        if (!c->o.iss)
            return cli_usage(c, "--key needs --iss");
        *ret_iss = c->o.iss;
        return signing_key_load(c->o.key, c->o.alg, ret_key);
    }
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    snprintf(path, sizeof path, "%s/%s", config->data_dir, DEV_KEY_FILE);
    pc_config_free(config);
    if (access(path, R_OK) != 0)
        return cli_fail(CLI_NO, "%s: %s: run portcullis serve --dev first, or use --key and --iss",
                        path, pc_strerror(-errno));
    *ret_iss = c->o.iss ? c->o.iss : DEV_ISSUER;
    return signing_key_load(path, c->o.alg, ret_key);
}

int cli_token_mint(struct cli *c)
{
    struct signing_key key = {.key = NULL};
    const char *iss = NULL;
    int64_t ttl_ms = DEFAULT_TTL_MS;
    if (!c->o.sub)
        return cli_usage(c, "--sub is needed");
    if (c->o.ttl && !cli_duration(c, "--ttl", c->o.ttl, &ttl_ms))
        return CLI_USAGE;
    if (ttl_ms > INT64_MAX / 4)
        return cli_usage(c, "--ttl is too long");
    int status = find_key(c, &key, &iss);
    if (status)
        return status;
    json_t *claims = make_claims(c, iss, ttl_ms);
    status = claims ? print_token(c, &key, claims)
                    : cli_fail(CLI_NO, "out of memory, or a text that is not UTF-8");
    json_decref(claims);
    signing_key_free(&key);
    return status;
}
