/* SPDX-License-Identifier: Apache-2.0
 * What serve --dev creates below the data directory:
 *
 *   dev/issuer.jwk    private key of the issuer "portcullis-dev", for `portcullis token mint`
 *   dev/jwks.json     its public half, all that the server gets
 *   dev/overlay.yaml  the issuer as configuration
 *   admin.token       an administrator's token, whose hash is in the file of tokens
 *
 * All are 0600 and are kept when they are there. */
#include "dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/admin_tokens.h"
#include "base/clock.h"
#include "base/random.h"
#include "signing.h"

#define DEV_TOKEN_NAME "development"

static int write_file(const char *path, const char *text)
{
    struct pc_why why;
    return pc_secret_write(path, pc_bytes_str(text), &why) ? cli_fail(CLI_NO, "%s", why.text)
                                                           : CLI_OK;
}

/* "data_dir/name". */
static int path_in(const struct pc_config *config, const char *name, char ret_path[CLI_PATH_MAX])
{
    int n = snprintf(ret_path, CLI_PATH_MAX, "%s/%s", config->data_dir, name);
    return n > 0 && n < CLI_PATH_MAX ? CLI_OK : cli_fail(CLI_NO, "data_dir: the path is too long");
}

static int make_key(const char *key_path, const char *jwks_path)
{
    char *jwk, *jwks;
    if (access(key_path, F_OK) == 0 && access(jwks_path, F_OK) == 0)
        return CLI_OK;
    int status = signing_generate(&jwk, &jwks);
    if (status)
        return status;
    /* The private half last: while it is missing, both are made again. */
    status = write_file(jwks_path, jwks);
    if (!status)
        status = write_file(key_path, jwk);
    pc_wipe(jwk, strlen(jwk));
    free(jwk);
    free(jwks);
    return status;
}

static int make_overlay(const char *overlay_path, const char *jwks_path)
{
    char text[2 * CLI_PATH_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_buf_lit(&b, "# Made by portcullis serve --dev.\nissuers:\n  - name: \"" DEV_ISSUER "\"\n"
                   "    jwks_file: ");
    pc_buf_json_str(&b, pc_bytes_str(jwks_path)); /* a JSON string is a YAML scalar */
    pc_buf_lit(&b, "\n    algorithms: [\"EdDSA\"]\n");
    if (b.overflow)
        return cli_fail(CLI_NO, "data_dir: the path is too long");
    text[b.len] = 0;
    return write_file(overlay_path, text);
}

static bool token_works(const struct pc_admin_tokens *tokens, const char *path, int64_t now_s)
{
    struct pc_secret secret;
    if (pc_secret_read(path, &secret, NULL))
        return false;
    bool works = pc_admin_tokens_verify(tokens, pc_secret_bytes(&secret), now_s) != NULL;
    pc_wipe(&secret, sizeof secret);
    return works;
}

static int new_token(const struct pc_config *config, struct pc_admin_tokens *tokens,
                     const char *path, int64_t now_s)
{
    char text[PC_ADMIN_TOKEN_TEXT_MAX + 1];
    uint8_t random[40];
    struct pc_why why;
    pc_random_bytes(random, sizeof random);
    /* One left over from a file that was deleted is of no use to anybody. */
    pc_admin_tokens_revoke(tokens, DEV_TOKEN_NAME, now_s);
    int err = pc_admin_tokens_create(tokens, DEV_TOKEN_NAME, PC_ADMIN_ADMIN, now_s, INT64_MAX,
                                     random, text);
    if (err)
        return cli_fail(CLI_NO, "%s: %s", config->admin.tokens_file, pc_strerror(err));
    if (pc_admin_tokens_save(config->admin.tokens_file, tokens, &why))
        return cli_fail(CLI_NO, "%s", why.text);
    size_t n = strlen(text);
    text[n] = '\n';
    text[n + 1] = 0;
    int status = write_file(path, text);
    pc_wipe(text, sizeof text);
    return status;
}

static int make_token(const struct pc_config *config)
{
    char path[CLI_PATH_MAX];
    struct pc_admin_tokens tokens;
    struct pc_why why;
    int64_t now_s = pc_clock_wall_ms() / 1000;
    int status = path_in(config, DEV_TOKEN_FILE, path);
    if (status)
        return status;
    if (pc_admin_tokens_load(config->admin.tokens_file, &tokens, &why))
        return cli_fail(CLI_NO, "%s", why.text);
    if (!token_works(&tokens, path, now_s))
        status = new_token(config, &tokens, path, now_s);
    pc_admin_tokens_free(&tokens);
    return status;
}

int dev_prepare(const struct pc_config *config, char ret_overlay[CLI_PATH_MAX])
{
    char dir[CLI_PATH_MAX], key[CLI_PATH_MAX], jwks[CLI_PATH_MAX];
    int status = path_in(config, "dev", dir);
    if (!status)
        status = path_in(config, DEV_KEY_FILE, key);
    if (!status)
        status = path_in(config, DEV_JWKS_FILE, jwks);
    if (!status)
        status = path_in(config, DEV_OVERLAY, ret_overlay);
    if (!status && mkdir(dir, 0700) < 0 && errno != EEXIST)
        status = cli_fail(CLI_NO, "%s: %s", dir, pc_strerror(-errno));
    if (!status)
        status = make_key(key, jwks);
    if (!status)
        status = make_overlay(ret_overlay, jwks);
    return status ? status : make_token(config);
}
