/* SPDX-License-Identifier: Apache-2.0
 * Small things that several subcommands need. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define DEFAULT_CONFIG   "portcullis.yaml"
#define DEFAULT_DATA_DIR "./data"

const char *cli_env(const struct cli *c, const char *name)
{
    size_t n = strlen(name);
    for (char *const *v = c->environ; *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
            return (*v)[n + 1] ? *v + n + 1 : NULL;
    return NULL;
}

const char *cli_config_path(const struct cli *c)
{
    const char *path = c->o.config ? c->o.config : cli_env(c, "PORTCULLIS_CONFIG");
    if (path)
        return path;
    return access(DEFAULT_CONFIG, F_OK) == 0 ? DEFAULT_CONFIG : NULL;
}

int cli_load_config(const struct cli *c, struct pc_config **ret_config)
{
    struct pc_why why;
    const struct pc_config_options o = {
        .path = cli_config_path(c),
        .env_file = c->o.env_file,
        .environ = c->environ,
        .dev = c->o.dev,
    };
    int err = pc_config_load(&o, ret_config, &why);
    return err ? cli_fail(CLI_NO, "%s", why.text) : CLI_OK;
}

const char *cli_data_dir(const struct cli *c)
{
    const char *dir = cli_env(c, "PORTCULLIS_DATA_DIR");
    return dir ? dir : DEFAULT_DATA_DIR;
}

bool cli_duration(const struct cli *c, const char *option, const char *text, int64_t *ret_ms)
{
    uint64_t seconds;
    if (pc_duration_parse(pc_bytes_str(text), ret_ms) == 0)
        return true;
    if (pc_bytes_to_u64(pc_bytes_str(text), &seconds) == 0 && seconds <= INT64_MAX / 1000) {
        *ret_ms = (int64_t)seconds * 1000;
        return true;
    }
    cli_usage(c, "%s: \"%s\" is no duration (write 900, 90s, 15m, 24h or 7d)", option, text);
    return false;
}

static char *read_fd(int fd, const char *name, size_t max, size_t *ret_n)
{
    char *text = malloc(max + 2);
    size_t n = 0;
    ssize_t got = 1;
    while (text && n <= max && (got = read(fd, text + n, max + 1 - n)) > 0)
        n += (size_t)got;
    if (!text || got < 0 || n > max) {
        cli_fail(CLI_NO, "%s: %s", name,
                 pc_strerror(!text     ? -ENOMEM
                             : got < 0 ? -errno
                                       : PC_E_TOO_LARGE));
        free(text);
        return NULL;
    }
    text[n] = 0;
    *ret_n = n;
    return text;
}

char *cli_read_file(const char *path, size_t max, size_t *ret_n)
{
    if (strcmp(path, "-") == 0)
        return read_fd(STDIN_FILENO, "standard input", max, ret_n);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        cli_fail(CLI_NO, "%s: %s", path, pc_strerror(-errno));
        return NULL;
    }
    char *text = read_fd(fd, path, max, ret_n);
    close(fd);
    return text;
}

char *cli_read_token(const struct cli *c, const char *argument)
{
    size_t n;
    if (argument && c->o.token_file) {
        cli_usage(c, "either a token or --token-file");
        return NULL;
    }
    bool literal = argument && strcmp(argument, "-") != 0;
    char *token = literal
                      ? strdup(argument)
                      : cli_read_file(c->o.token_file ? c->o.token_file : "-", CLI_TOKEN_MAX, &n);
    if (!token)
        return NULL;
    char *from = token + strspn(token, " \t\r\n");
    n = strcspn(from, " \t\r\n");
    memmove(token, from, n);
    token[n] = 0;
    if (n)
        return token;
    cli_fail(CLI_USAGE, "no token was given");
    free(token);
    return NULL;
}

void cli_format_time(int64_t ms, char ret_text[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == INT64_MAX || !gmtime_r(&seconds, &tm)) {
        snprintf(ret_text, 32, "never");
        return;
    }
    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
