/* SPDX-License-Identifier: Apache-2.0
 * portcullis config check, show and keys; version. */
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

int cli_config_check(struct cli *c)
{
    struct pc_config *config;
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    const char *path = cli_config_path(c);
    status = c->o.text_only ? CLI_OK : serve_check(c);
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
