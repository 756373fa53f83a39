/* SPDX-License-Identifier: Apache-2.0
 * portcullis config check, show and keys; version. */
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/admin_tokens.h"
#include "base/clock.h"
#include "cli.h"

/* Whether the file of tokens has one that is alive; what a server would find at its start. */
static int have_tokens(const struct pc_config *config, bool *ret_have)
{
    struct pc_admin_tokens tokens;
    struct pc_why why;
    if (pc_admin_tokens_load(config->admin.tokens_file, &tokens, &why))
        return cli_fail(CLI_NO, "%s", why.text);
    *ret_have = pc_admin_tokens_any_alive(&tokens, pc_clock_wall_ms() / 1000);
    pc_admin_tokens_free(&tokens);
    return CLI_OK;
}

int cli_config_check(struct cli *c)
{
    struct pc_config *config;
    struct pc_why why;
    bool have = false;
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    const char *path = cli_config_path(c);
    status = have_tokens(config, &have);
    if (!status && pc_config_check(config, have, &why))
        status = cli_fail(CLI_NO, "%s", why.text);
    if (!status)
        printf("%s is good (hash %s)\n", path ? path : "The default configuration", config->hash);
    pc_config_free(config);
    return status;
}

int cli_config_show(struct cli *c)
{
    struct pc_config *config;
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    char *text = pc_config_show(config, c->o.sources);
    pc_config_free(config);
    if (!text)
        return cli_fail(CLI_NO, "out of memory");
    fputs(text, stdout);
    free(text);
    return CLI_OK;
}

static void print_key(void *ctx, const char *path, const char *type, const char *default_text,
                      const char *help, bool live)
{
    (void)ctx;
    printf("%s (%s%s%s)\n    %s%s\n", path, type, *default_text ? ", default " : "", default_text,
           help, live ? "" : " [restart]");
}

int cli_config_keys(struct cli *c)
{
    (void)c;
    pc_config_document(print_key, NULL);
    return CLI_OK;
}

int cli_version(struct cli *c)
{
    (void)c;
    printf("portcullis %s\nlibcurl: %s\ncryptography: %s\njansson: %s\ncompiler: %s\n", PC_VERSION,
           curl_version(), OpenSSL_version(OPENSSL_VERSION), jansson_version_str(), __VERSION__);
    return CLI_OK;
}
