/* SPDX-License-Identifier: Apache-2.0
 * portcullis admin-token: changes the file of administrators' tokens. A running server reads it
 * again on a reload (SIGHUP, POST /admin/reload). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/admin_tokens.h"
#include "base/clock.h"
#include "base/random.h"
#include "cli.h"

#define DEFAULT_TTL_MS (INT64_C(90) * 24 * 3600 * 1000)

/* The file under a lock of its own, so that two commands do not lose each other's change. */
struct store {
    char path[CLI_PATH_MAX];
    int lock;
    struct pc_admin_tokens tokens;
};

static int lock_store(struct store *s)
{
    char path[CLI_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.lock", s->path);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0 || flock(s->lock, LOCK_EX) < 0)
        return cli_fail(CLI_NO, "%s: %s", path, pc_strerror(-errno));
    return CLI_OK;
}

static void close_store(struct store *s)
{
    pc_admin_tokens_free(&s->tokens);
    if (s->lock >= 0)
        close(s->lock);
}

static int open_store(const struct cli *c, bool change, struct store *s)
{
    struct pc_config *config;
    struct pc_why why;
    *s = (struct store){.lock = -1};
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    /* The first token is often made before the server ever ran. */
    if (change && mkdir(config->data_dir, 0700) < 0 && errno != EEXIST)
        status = cli_fail(CLI_NO, "%s: %s", config->data_dir, pc_strerror(-errno));
    snprintf(s->path, sizeof s->path, "%s", config->admin.tokens_file);
    pc_config_free(config);
    if (!status && change)
        status = lock_store(s);
    if (!status && pc_admin_tokens_load(s->path, &s->tokens, &why))
        status = cli_fail(CLI_NO, "%s", why.text);
    if (status)
        close_store(s);
    return status;
}

static int save_store(struct store *s)
{
    struct pc_why why;
    return pc_admin_tokens_save(s->path, &s->tokens, &why) ? cli_fail(CLI_NO, "%s", why.text)
                                                           : CLI_OK;
}

static int create(struct cli *c, struct store *s, enum pc_admin_role role, int64_t ttl_ms)
{
    char text[PC_ADMIN_TOKEN_TEXT_MAX], expires[32];
    uint8_t random[40];
    int64_t now_s = pc_clock_wall_ms() / 1000;
    int64_t expires_s = ttl_ms == INT64_MAX ? INT64_MAX : now_s + ttl_ms / 1000;
    pc_random_bytes(random, sizeof random);
    int err = pc_admin_tokens_create(&s->tokens, c->o.name, role, now_s, expires_s, random, text);
    if (err == -EINVAL)
        return cli_usage(c, "--name must be 1 to %d of letters, digits, . _ and -",
                         PC_ADMIN_TOKEN_NAME_MAX);
    if (err)
        return cli_fail(CLI_NO, "%s: %s", c->o.name,
                        err == PC_E_DUPLICATE ? "a token of this name is in use"
                                              : pc_strerror(err));
    int status = save_store(s);
    if (status)
        return status;
    cli_format_time(expires_s == INT64_MAX ? INT64_MAX : expires_s * 1000, expires);
    printf("%s\n", text);
    fprintf(stderr,
            "Keep it: it is not shown again. Role %s, expires %s; a running server takes "
            "it after a reload.\n",
            pc_admin_role_name(role), expires);
    pc_wipe(text, sizeof text);
    return CLI_OK;
}

int cli_admin_token_create(struct cli *c)
{
    struct store s;
    int64_t ttl_ms = DEFAULT_TTL_MS;
    enum pc_admin_role role =
        pc_admin_role_of_name(pc_bytes_str(c->o.role ? c->o.role : "operator"));
    if (!c->o.name)
        return cli_usage(c, "--name is needed");
    if (role == PC_ADMIN_NONE)
        return cli_usage(c, "--role must be gateway, viewer, operator or admin");
    if (c->o.ttl && strcmp(c->o.ttl, "never") == 0)
        ttl_ms = INT64_MAX;
    else if (c->o.ttl && !cli_duration(c, "--ttl", c->o.ttl, &ttl_ms))
        return CLI_USAGE;
    int status = open_store(c, true, &s);
    if (status)
        return status;
    status = create(c, &s, role, ttl_ms);
    close_store(&s);
    return status;
}

static const char *state_of(const struct pc_admin_token *t, int64_t now_s)
{
    return t->revoked_s != INT64_MAX ? "revoked" : now_s >= t->expires_s ? "expired" : "alive";
}

int cli_admin_token_list(struct cli *c)
{
    struct store s;
    char created[32], expires[32];
    int64_t now_s = pc_clock_wall_ms() / 1000;
    int status = open_store(c, false, &s);
    if (status)
        return status;
    printf("%-16s  %-8s  %-8s  %-20s  %-20s  %s\n", "ID", "ROLE", "STATE", "CREATED", "EXPIRES",
           "NAME");
    for (size_t i = 0; i < s.tokens.count; i++) {
        const struct pc_admin_token *t = &s.tokens.tokens[i];
        cli_format_time(t->created_s * 1000, created);
        cli_format_time(t->expires_s == INT64_MAX ? INT64_MAX : t->expires_s * 1000, expires);
        printf("%-16s  %-8s  %-8s  %-20s  %-20s  %s\n", t->id, pc_admin_role_name(t->role),
               state_of(t, now_s), created, expires, t->name);
    }
    close_store(&s);
    return CLI_OK;
}

int cli_admin_token_revoke(struct cli *c)
{
    struct store s;
    int status = open_store(c, true, &s);
    if (status)
        return status;
    if (pc_admin_tokens_revoke(&s.tokens, c->args[0], pc_clock_wall_ms() / 1000))
        status = cli_fail(CLI_NO, "%s: no such token is alive", c->args[0]);
    else
        status = save_store(&s);
    if (!status)
        printf("revoked %s; a running server refuses it after a reload\n", c->args[0]);
    close_store(&s);
    return status;
}
